//! Filters: which activities a request means (public page "Activities API", table of filters).
//!
//! The clocks, `service`, `activity.id`, `user.username` and `ip.address` are carried out with their
//! documented operators. Every other documented filter is accepted and said to be ignored; an
//! unknown name is refused with the text that clients saw.

use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::clock::ClockField;
use crate::faults::Asked;
use crate::generator::DAY_MS;
use crate::tenant::{Attributes, Entry, lenient_integer};

/// Documented filters that the simulator does not carry out, and older ones that clients use.
#[rustfmt::skip]
const IGNORED: [&str; 29] = [
    "instance", "actionType", "activity.eventActionType", "activity.eventType",
    "activity.actionType", "activity.impersonated", "activity.type", "activity.takenAction",
    "activity.alertId", "activityObject", "user.domain", "user.orgUnit", "user.tags", "entity",
    "device.type", "device.tags", "userAgent.tags", "ip.tags", "userAgent.userAgent",
    "location.country", "location.organizations", "ip.category", "fileSelector", "fileId",
    "fileLabels", "office365url", "text", "policy", "source",
];

/// The conditions of a request, all of which must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    pub(crate) created: Bounds,
    pub(crate) date: Bounds,
    others: Vec<Condition>,
}

/// A set of moments: an interval, cut by unions of intervals.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Inclusive.
    pub(crate) lowest: i64,
    /// Inclusive.
    pub(crate) highest: i64,
    any_of: Vec<Vec<(i64, i64)>>,
}

#[derive(Clone, Debug)]
enum Condition {
    Service { ids: Vec<i64>, negated: bool },
    Id(Vec<String>),
    UserName(TextTest),
    Ip(TextTest),
}

/// A test of a text, without regard to letter case.
#[derive(Clone, Debug)]
enum TextTest {
    Is { values: Vec<String>, negated: bool },
    Starts { values: Vec<String>, negated: bool },
    IsSet(bool),
}

impl Filters {
    pub(crate) fn parse(filters: &Map<String, Value>, now_ms: i64) -> Result<Self, Refusal> {
        let mut parsed = Self::default();
        for (name, operators) in filters {
            parsed.add(name, operators, now_ms)?;
        }
        Ok(parsed)
    }

    /// Only the position of a scan: the bound that its continuation moved.
    pub(crate) fn from_bound(clock: ClockField, asked: &Asked, descending: bool) -> Self {
        let mut filters = Self::default();
        let bounds = filters.bounds_mut(clock);
        if descending {
            bounds.highest = asked.to_ms;
        } else {
            bounds.lowest = asked.from_ms;
        }
        filters
    }

    /// The same, narrowed to one millisecond of a clock.
    pub(crate) fn only(mut self, clock: ClockField, moment: i64) -> Self {
        let bounds = self.bounds_mut(clock);
        bounds.lowest = bounds.lowest.max(moment);
        bounds.highest = bounds.highest.min(moment);
        self
    }

    fn bounds_mut(&mut self, clock: ClockField) -> &mut Bounds {
        match clock {
            ClockField::Created => &mut self.created,
            ClockField::Date => &mut self.date,
        }
    }

    pub(crate) fn bounds(&self, clock: ClockField) -> &Bounds {
        match clock {
            ClockField::Created => &self.created,
            ClockField::Date => &self.date,
        }
    }

    pub(crate) fn match_clocks(&self, entry: &Entry) -> bool {
        self.created.contain(entry.created_ms) && self.date.contain(entry.timestamp_ms)
    }

    /// The conditions apart from the clocks; `attributes` is asked only when there are any.
    pub(crate) fn match_attributes(&self, attributes: impl FnOnce() -> Attributes) -> bool {
        if self.others.is_empty() {
            return true;
        }
        let attributes = attributes();
        self.others
            .iter()
            .all(|condition| condition.holds(&attributes))
    }

    fn add(&mut self, name: &str, operators: &Value, now_ms: i64) -> Result<(), Refusal> {
        let implemented = matches!(
            name,
            "created" | "date" | "service" | "activity.id" | "user.username" | "ip.address"
        );
        if !implemented {
            if IGNORED.contains(&name) {
                tracing::warn!(filter = name, "the simulator ignores this filter");
                return Ok(());
            }
            return Err(Refusal::unknown_filter(name));
        }
        let Value::Object(operators) = operators else {
            return Err(Refusal::bad_request(format!(
                "filter validation error: filter '{name}' must be an object of operators"
            )));
        };
        for (operator, value) in operators {
            match name {
                "created" => self.created.narrow(name, operator, value, now_ms)?,
                "date" => self.date.narrow(name, operator, value, now_ms)?,
                _ => self.others.push(condition(name, operator, value)?),
            }
        }
        Ok(())
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            lowest: i64::MIN,
            highest: i64::MAX,
            any_of: Vec::new(),
        }
    }
}

impl Bounds {
    pub(crate) fn contain(&self, moment: i64) -> bool {
        (self.lowest..=self.highest).contains(&moment)
            && self.any_of.iter().all(|ranges| {
                ranges
                    .iter()
                    .any(|(start, end)| (*start..=*end).contains(&moment))
            })
    }

    fn narrow(
        &mut self,
        filter: &str,
        operator: &str,
        value: &Value,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let strict = filter == "created";
        let bad_value = || Refusal::bad_value(filter, operator);
        let moment = || moment(value).ok_or_else(bad_value);
        let days_ago = || {
            let days = lenient_integer(value).ok_or_else(bad_value)?;
            Ok(now_ms.saturating_sub(days.saturating_mul(DAY_MS)))
        };
        match operator {
            "gte" => self.lowest = self.lowest.max(moment()?),
            "lte" => self.highest = self.highest.min(moment()?),
            "gt" if strict => self.lowest = self.lowest.max(moment()?.saturating_add(1)),
            "lt" if strict => self.highest = self.highest.min(moment()?.saturating_sub(1)),
            "eq" if strict => {
                let moments: Option<Vec<_>> =
                    values(value).iter().map(|one| self::moment(one)).collect();
                let moments = moments.ok_or_else(bad_value)?;
                self.any_of
                    .push(moments.into_iter().map(|one| (one, one)).collect());
            }
            "gte_ndays" if !strict => self.lowest = self.lowest.max(days_ago()?),
            "lte_ndays" if !strict => self.highest = self.highest.min(days_ago()?),
            "range" => {
                let ranges: Option<Vec<_>> = values(value).iter().map(|one| range(one)).collect();
                self.any_of.push(ranges.ok_or_else(bad_value)?);
            }
            _ => return Err(Refusal::unknown_operator(filter, operator)),
        }
        Ok(())
    }
}

impl Condition {
    fn holds(&self, attributes: &Attributes) -> bool {
        match self {
            Self::Service { ids, negated } => {
                attributes.app_id.is_some_and(|id| ids.contains(&id)) != *negated
            }
            Self::Id(ids) => attributes.id.as_ref().is_some_and(|id| ids.contains(id)),
            // A failed sign-in has its user in another field; the portal finds it all the same.
            Self::UserName(test) => test.holds(attributes.user_name.as_deref()),
            Self::Ip(test) => test.holds(attributes.ip.as_deref()),
        }
    }
}

impl TextTest {
    fn parse(filter: &str, operator: &str, value: &Value) -> Result<Self, Refusal> {
        let texts = || texts(value).ok_or_else(|| Refusal::bad_value(filter, operator));
        Ok(match operator {
            "eq" | "neq" => Self::Is {
                values: texts()?,
                negated: operator == "neq",
            },
            "startswith" => Self::Starts {
                values: texts()?,
                negated: false,
            },
            "doesnotstartwith" if filter == "ip.address" => Self::Starts {
                values: texts()?,
                negated: true,
            },
            "isset" | "isnotset" => {
                let positive = value
                    .as_bool()
                    .ok_or_else(|| Refusal::bad_value(filter, operator))?;
                Self::IsSet(positive == (operator == "isset"))
            }
            _ => return Err(Refusal::unknown_operator(filter, operator)),
        })
    }

    fn holds(&self, text: Option<&str>) -> bool {
        let text = text.map(str::to_lowercase);
        match self {
            Self::Is { values, negated } => {
                text.is_some_and(|text| values.contains(&text)) != *negated
            }
            Self::Starts { values, negated } => {
                text.is_some_and(|text| values.iter().any(|value| text.starts_with(value)))
                    != *negated
            }
            Self::IsSet(set) => text.is_some() == *set,
        }
    }
}

fn condition(name: &str, operator: &str, value: &Value) -> Result<Condition, Refusal> {
    let bad_value = || Refusal::bad_value(name, operator);
    match (name, operator) {
        ("service", "eq" | "neq") => {
            let ids: Option<Vec<i64>> = values(value).iter().map(|one| moment(one)).collect();
            Ok(Condition::Service {
                ids: ids.ok_or_else(bad_value)?,
                negated: operator == "neq",
            })
        }
        ("activity.id", "eq") => {
            let ids: Option<Vec<String>> = values(value)
                .iter()
                .map(|one| one.as_str().map(str::to_owned))
                .collect();
            Ok(Condition::Id(ids.ok_or_else(bad_value)?))
        }
        ("user.username", _) => Ok(Condition::UserName(TextTest::parse(name, operator, value)?)),
        ("ip.address", _) => Ok(Condition::Ip(TextTest::parse(name, operator, value)?)),
        _ => Err(Refusal::unknown_operator(name, operator)),
    }
}

/// Clients send a scalar where a list is documented.
fn values(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        scalar => vec![scalar],
    }
}

/// A number, its digits, or the old typed form `i:<number>`.
fn moment(value: &Value) -> Option<i64> {
    let typed = value.as_str().and_then(|text| text.strip_prefix("i:"));
    typed.map_or_else(|| lenient_integer(value), |digits| digits.parse().ok())
}

fn range(value: &Value) -> Option<(i64, i64)> {
    Some((moment(value.get("start")?)?, moment(value.get("end")?)?))
}

fn texts(value: &Value) -> Option<Vec<String>> {
    values(value)
        .iter()
        .map(|one| one.as_str().map(str::to_lowercase))
        .collect()
}
