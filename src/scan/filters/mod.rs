//! What the user asks the service for, beside the time: `--filters` and the flags for the common ones.
//!
//! All of it is checked before the first request: a filter that the service does not know is an error
//! only once it is asked, and one that it knows but reads otherwise is none at all; the lake would
//! lack what nobody misses.

mod exact;
mod table;

use serde_json::{Map, Value, json};

use exact::Exact;
use table::{FILTERS, Filter, Kind, Standing};

/// Filters that have a flag of their own: any of the values of each.
#[derive(Debug, Clone, Default)]
pub struct CommonFilters {
    /// `--service`: apps, by their id.
    pub service: Vec<i64>,
    /// `--app-instance`: instances of apps, by their id.
    pub app_instance: Vec<i64>,
    /// `--user`: user names.
    pub user: Vec<String>,
    /// `--ip`: addresses.
    pub ip: Vec<String>,
    /// `--activity-type`: types such as `EVENT_CATEGORY_LOGIN`.
    pub activity_type: Vec<String>,
}

/// Filters that the service takes, and what the user should know of them.
#[derive(Debug, PartialEq)]
pub struct CheckedFilters {
    /// As they are sent; None where no filter is asked for.
    pub filters: Option<Map<String, Value>>,
    /// What no document promises.
    pub remarks: Vec<String>,
}

/// What the service would refuse, or would read otherwise than it is meant.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(String);

impl CommonFilters {
    /// Puts `--filters`, a JSON object, and the flags together, and checks them against the service's
    /// table of filters (page "Activities API").
    ///
    /// # Errors
    /// The text is not JSON; a key is there twice, or a number would change; the service has no such
    /// filter, the filter no such operator, the operator no such value; a flag and the text set the
    /// same filter.
    pub fn check_with(&self, text: Option<&str>) -> Result<CheckedFilters, FilterError> {
        let mut filters = text.map(parse).transpose()?;
        let mut remarks = Vec::new();
        for (name, operators) in filters.iter().flatten() {
            check(name, operators, &mut remarks)?;
        }
        for (flag, name, values) in self.by_flag() {
            let texts = values.as_array().into_iter().flatten();
            for text in texts.filter_map(Value::as_str) {
                if text.trim().is_empty() {
                    return refused(format!("{flag} is empty"));
                }
                if text.trim() != text {
                    return refused(format!(
                        "{flag}: '{text}' begins or ends with a blank; a comma parts values, and --filters takes one that holds a comma"
                    ));
                }
            }
            let given = values.as_array().is_some_and(|values| !values.is_empty());
            let filters = match (&mut filters, given) {
                (_, false) => continue,
                (filters, true) => filters.get_or_insert_default(),
            };
            if filters.contains_key(name) {
                return refused(format!(
                    "{flag} and --filters both set '{name}'; set it once"
                ));
            }
            filters.insert(name.to_owned(), json!({"eq": values}));
        }
        Ok(CheckedFilters { filters, remarks })
    }

    fn by_flag(&self) -> [(&'static str, &'static str, Value); 5] {
        [
            ("--service", "service", json!(self.service)),
            ("--app-instance", "instance", json!(self.app_instance)),
            ("--user", "user.username", json!(self.user)),
            ("--ip", "ip.address", json!(self.ip)),
            (
                "--activity-type",
                "activity.eventActionType",
                json!(self.activity_type),
            ),
        ]
    }
}

fn parse(text: &str) -> Result<Map<String, Value>, FilterError> {
    // Some editors put a byte-order mark into every file.
    match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(Exact(Value::Object(filters))) => Ok(filters),
        Ok(_) => refused(
            r#"--filters is not a JSON object; use {"<filter>":{"<operator>":<value>}}"#.to_owned(),
        ),
        Err(error) => refused(format!("--filters is not JSON: {error}")),
    }
}

fn check(name: &str, operators: &Value, remarks: &mut Vec<String>) -> Result<(), FilterError> {
    let Some(filter) = FILTERS.iter().find(|filter| filter.name == name) else {
        return refused(format!(
            "--filters: the service has no filter '{name}'{}",
            suggestion(name)
        ));
    };
    let Some(operators) = operators
        .as_object()
        .filter(|operators| !operators.is_empty())
    else {
        return refused(format!(
            r#"--filters: '{name}' has no operators; use {{"{name}":{{"eq":[…]}}}}"#
        ));
    };
    if filter.standing == Standing::Seen {
        remarks.push(format!(
            "--filters: '{name}' is not in the service's documentation; the service may refuse it"
        ));
    }
    if operators.len() > 1 {
        remarks.push(format!(
            "--filters: '{name}' has {} operators; only one is documented",
            operators.len()
        ));
    }
    for (operator, value) in operators {
        check_operator(filter, operator)?;
        check_value(filter, operator, value, remarks)?;
    }
    Ok(())
}

fn check_operator(filter: &Filter, operator: &str) -> Result<(), FilterError> {
    let name = filter.name;
    if operator.ends_with("_ndays") {
        return refused(format!(
            "--filters: '{operator}' of '{name}' would mean another time on every page; use --from and --until"
        ));
    }
    if filter.operators.contains(&operator) {
        return Ok(());
    }
    refused(format!(
        "--filters: '{name}' takes {}, not '{operator}'",
        filter.operators.join(", ")
    ))
}

fn check_value(
    filter: &Filter,
    operator: &str,
    value: &Value,
    remarks: &mut Vec<String>,
) -> Result<(), FilterError> {
    let name = filter.name;
    let wrong = |value: &Value, due: &str| {
        refused(format!(
            "--filters: '{operator}' of '{name}' takes {due}, not {value}"
        ))
    };
    match operator {
        "isset" | "isnotset" if value.is_boolean() => Ok(()),
        "isset" | "isnotset" => wrong(value, "true or false"),
        "range" => match value.as_array() {
            Some(ranges) if !ranges.is_empty() && ranges.iter().all(is_range) => Ok(()),
            _ => wrong(value, r#"a list of {"start":…,"end":…} in milliseconds"#),
        },
        "gt" | "gte" | "lt" | "lte" | "text" | "startswithsingle" => {
            if filter.kind.takes(value) {
                Ok(())
            } else {
                wrong(value, &format!("one {}", filter.kind.as_str()))
            }
        }
        _ => {
            let due = format!("a list of {}s", filter.kind.as_str());
            let values = match value {
                Value::Array(values) if values.is_empty() => return wrong(value, &due),
                Value::Array(values) => values.as_slice(),
                one => {
                    remarks.push(format!(
                        "--filters: '{operator}' of '{name}' has one value where a list is documented; use [{one}]"
                    ));
                    std::slice::from_ref(one)
                }
            };
            match values.iter().find(|value| !filter.kind.takes(value)) {
                Some(odd) => wrong(odd, &due),
                None => Ok(()),
            }
        }
    }
}

fn is_range(range: &Value) -> bool {
    let of = |bound| range.get(bound).is_some_and(Value::is_i64);
    of("start") && of("end")
}

/// The nearest filters, where any are near: what was meant but for a slip, or for one of its parts.
fn suggestion(name: &str) -> String {
    const NEAR: f64 = 0.85;
    const SHOWN: usize = 3;
    let name = name.to_lowercase();
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |filter: &str| {
        let filter = filter.to_lowercase();
        if filter.split('.').next() == Some(&name) {
            return 1.0;
        }
        let whole = strsim::jaro_winkler(&filter, &name);
        whole.max(strsim::jaro_winkler(&last(&filter), &last(&name)) * 0.95)
    };
    let mut near: Vec<(f64, &str)> = FILTERS
        .iter()
        .map(|filter| (likeness(filter.name), filter.name))
        .filter(|(likeness, _)| *likeness > NEAR)
        .collect();
    near.sort_by(|one, other| other.0.total_cmp(&one.0));
    near.truncate(SHOWN);
    let near: Vec<String> = near.iter().map(|(_, name)| format!("'{name}'")).collect();
    if near.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", near.join(" or "))
    }
}

fn refused<T>(what: String) -> Result<T, FilterError> {
    Err(FilterError(what))
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Integer => "whole number",
            Self::Text | Self::TextOrNull | Self::Tags => "text",
            Self::Bool => "true or false value",
            Self::Time => "time in milliseconds",
            Self::Entity => r#"{"id":"…","inst":0} object"#,
            Self::Source => "text such as \"t:2\"",
            Self::Any => "value",
        }
    }

    fn takes(self, value: &Value) -> bool {
        // Old clients send integers as text: "i:20893".
        let old_integer = |text: &str| {
            text.strip_prefix("i:")
                .is_some_and(|digits| digits.parse::<i64>().is_ok())
        };
        match (self, value) {
            (Self::Integer | Self::Time, Value::Number(number)) => number.is_i64(),
            (Self::Integer | Self::Time, Value::String(text)) => old_integer(text),
            (Self::Text, Value::String(_))
            | (Self::TextOrNull, Value::String(_) | Value::Null)
            | (Self::Bool, Value::Bool(_))
            | (Self::Any, _) => true,
            (Self::Source, Value::String(text)) => text.starts_with("s:") || text.starts_with("t:"),
            (Self::Entity, Value::Object(entity)) => entity.get("id").is_some_and(Value::is_string),
            // A selector of roles may stand before the groups.
            (Self::Tags, Value::String(_) | Value::Object(_)) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
