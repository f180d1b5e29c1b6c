//! What is asked of the service.

use std::sync::Arc;

use humantime::format_duration;
use serde_json::Value;

use super::{Answer, Checked, failed, lake};
use crate::clock::BothClocks;
use crate::error::{ErrorKind, JobError};
use crate::job::Planned;
use crate::scan::{Asked, ClockField, ScanError, ScanOptions};
use crate::text::units::{counted, number};
use crate::window::{Slice, format_time, parse_time};

/// Records among which the oldest is looked for. Of a single one nobody knows in which order they come.
const OLDEST_LIMIT: u32 = 20;
/// What every tenant takes (page "Investigate activities using the API").
const SAFE_LIMIT: u32 = 500;
const DAY_MINUTES: i64 = 24 * 60;
const DAY_MS: i64 = DAY_MINUTES * 60_000;
/// The retention of activities (page "Data security and privacy").
const RETENTION_DAYS: i64 = 180;
/// What is asked for so late may have been forgotten.
const FORGETS_DAYS: i64 = 29;
/// More than this makes no lake; see `scan`.
const MAX_SKEW_MS: i64 = 60 * 60_000;
/// More than this is said.
const NOTED_SKEW_MS: i64 = 5 * 60_000;
/// Records come later than the end of their time.
const SETTLE_MINUTES: i64 = 15;

/// Asks the service's questions; where it lets nobody in, only the first.
pub(super) async fn ask(checked: &Checked<'_>, planned: Option<&Planned>) -> Vec<Answer> {
    let wish = &checked.options.wish;
    // A lake that is there has its own clock and filters, and a scan asks by those.
    let (clock, filters) = match planned {
        Some(Planned { setup, .. }) => (setup.clock, setup.identity.filters.clone()),
        None => (
            wish.clock.unwrap_or(ClockField::Created),
            wish.filters.clone().unwrap_or_default(),
        ),
    };
    let options = Arc::new(ScanOptions {
        clock,
        filters,
        look_ahead_max_bytes: 0,
        max_records: u64::MAX,
    });
    // The first scan would make the lake.
    let is_new = planned.is_some_and(Planned::is_new);
    let mut answers = vec![host(&wish.api_host)];
    let closed_ms = checked.clock.now_ms() - SETTLE_MINUTES * 60_000;
    let day = Slice::minutes_before(closed_ms, DAY_MINUTES);
    let first = match checked.client.ask_for(1, day, &options).await {
        Ok(first) => first,
        Err(error) if error.is_bad_request() => {
            match checked.client.ask_for(SAFE_LIMIT, day, &options).await {
                Ok(first) => first,
                Err(error) => return refused(is_new, answers, error),
            }
        }
        Err(error) => return refused(is_new, answers, error),
    };
    answers.push(signed_in(checked));
    answers.push(clocks(checked, first.date_ms));
    answers.extend(page(checked, planned, day, &options, &first).await);
    answers.push(oldest(checked, is_new, closed_ms, &options).await);
    answers.push(compression(checked, day, &options).await);
    answers.push(budget(checked));
    answers
}

fn host(host: &str) -> Answer {
    let is_generic = host.starts_with("portal.cloudappsecurity");
    if is_generic {
        return Answer::warn("host", format!("{host} is the generic host: slower, and it may refuse good tokens"))
            .advise("use the tenant's own regional host as --api-url, as the portal shows it (Settings, Cloud Apps, About)");
    }
    Answer::ok("host", host)
}

/// The service lets nobody in, or does not answer: what would end a scan.
fn refused(is_new: bool, mut answers: Vec<Answer>, error: ScanError) -> Vec<Answer> {
    let is_sign_in = error.is_sign_in() || error.is_of_all_requests();
    let question = if is_sign_in { "sign-in" } else { "service" };
    let error = if error.is_bad_request() && is_new {
        JobError::FirstRefused(error)
    } else {
        error.into()
    };
    answers.push(failed(question, &error));
    answers.push(Answer::warn(
        "activities",
        "not asked: the first request was refused",
    ));
    answers
}

fn signed_in(checked: &Checked<'_>) -> Answer {
    let who = &checked.who;
    match checked.client.signed_in_for() {
        Some(left) => {
            let left = std::time::Duration::from_secs(left.as_secs());
            Answer::ok(
                "sign-in",
                format!("as {who}; this token is good for {}", format_duration(left)),
            )
        }
        None if who == "the API token" => Answer::warn(
            "sign-in",
            "with the API token, the older way: it ends with the rights of the user who made it",
        )
        .advise("sign in as an application of Entra (--entra-tenant, --client-id)"),
        None => Answer::ok("sign-in", format!("as {who}")),
    }
}

fn clocks(checked: &Checked<'_>, date_ms: Option<i64>) -> Answer {
    let Some(service_ms) = date_ms else {
        return Answer::fail_as(
            "clock",
            ErrorKind::Service,
            "the service's answer has no Date header, so nothing says that a slice is closed",
        )
        .advise(
            "check what stands between this machine and the service: a proxy may remove the header",
        );
    };
    let clocks = BothClocks {
        local_ms: checked.clock.now_ms(),
        service_ms,
    };
    let apart_ms = i64::try_from(clocks.local_ms.abs_diff(service_ms)).unwrap_or(i64::MAX);
    let advice = "set this machine's clock";
    match apart_ms {
        0..=NOTED_SKEW_MS => Answer::ok("clock", "that of the service, to five minutes"),
        ..=MAX_SKEW_MS => Answer::warn("clock", clocks.difference()).advise(advice),
        _ => Answer::fail_as("clock", ErrorKind::Service, clocks.difference()).advise(advice),
    }
}

/// The records of an answer; none where they cannot be read.
fn records(asked: &Asked) -> Option<Vec<Value>> {
    serde_json::from_str(&asked.records).ok()
}

/// The times of records, on the clock that was asked by: numbers, or text.
fn times(records: &[Value], clock: ClockField) -> Vec<i64> {
    let time = |record: &Value| match &record[clock.record_key()] {
        Value::String(text) => parse_time(text, 0).ok(),
        time => time.as_i64(),
    };
    records.iter().filter_map(time).collect()
}

/// Asks for a page of the day, and looks at what came.
async fn page(
    checked: &Checked<'_>,
    planned: Option<&Planned>,
    day: Slice,
    options: &Arc<ScanOptions>,
    first: &Asked,
) -> Vec<Answer> {
    let wanted = checked.page_limit;
    let (asked, limit, is_refused) = match checked.client.ask_for(wanted, day, options).await {
        Ok(asked) => (asked, wanted, false),
        Err(error) if wanted > SAFE_LIMIT && error.is_about_a_limit() => {
            match checked.client.ask_for(SAFE_LIMIT, day, options).await {
                Ok(asked) => (asked, SAFE_LIMIT, true),
                Err(error) => return vec![failed("page", &JobError::from(error))],
            }
        }
        Err(error) => return vec![failed("page", &JobError::from(error))],
    };
    let Some(records) = records(&asked) else {
        return vec![Answer::warn(
            "page",
            "its records are not all JSON; a scan keeps those that are not as rejects",
        )];
    };
    let times = times(&records, options.clock);
    let one = self::records(first).unwrap_or_default();
    let one = self::times(&one, options.clock);
    let is_honoured = is_within(&times, limit as usize) && is_within(&one, 1);
    let mut answers = vec![
        filter(&times, records.len(), day, options.clock),
        order(&times, options.clock),
        page_limit(&asked, records.len(), limit, is_honoured, is_refused),
        total(&asked),
    ];
    answers.extend(lake::tenant(checked, planned, &records).await);
    answers
}

fn filter(times: &[i64], records: usize, day: Slice, clock: ClockField) -> Answer {
    let window = day.window();
    let inside = |time: &&i64| (window.from_ms..window.until_ms).contains(*time);
    let outside = times.iter().filter(|time| !inside(time)).count();
    let of = counted(times.len() as u64, "record", "records");
    if times.is_empty() {
        let found = if records == 0 {
            format!("not known: the last day has no records by {clock}")
        } else {
            format!("not known: the records of the last day have no {clock} that can be read")
        };
        return Answer::warn("filter", found);
    }
    if outside == 0 {
        return Answer::ok(
            "filter",
            format!("{clock} is honoured ({of} of the last day)"),
        );
    }
    let found = format!("{outside} of {of} lie outside the time that was asked for");
    if outside * 2 > times.len() {
        return Answer::fail_as("filter", ErrorKind::Service, found).advise(
            "send this report to the service's support: the filter on the clock is ignored",
        );
    }
    Answer::warn("filter", found)
}

fn order(times: &[i64], clock: ClockField) -> Answer {
    if times.len() < 2 {
        return Answer::warn(
            "order",
            "not known: there are too few records in the last day",
        );
    }
    if times.is_sorted() {
        return Answer::ok(
            "order",
            format!("records come by {clock}, the earliest first"),
        );
    }
    Answer::warn(
        "order",
        format!("records do not come by {clock}; a scan does not rely on it"),
    )
}

/// Whether a page has no more records than were asked for. Those of one moment may come together: a
/// page never ends between them.
fn is_within(times: &[i64], limit: usize) -> bool {
    times.len() <= limit || times.iter().all(|time| *time == times[0])
}

fn page_limit(
    asked: &Asked,
    records: usize,
    limit: u32,
    is_honoured: bool,
    is_refused: bool,
) -> Answer {
    let most = number(limit.into());
    if is_refused {
        return Answer::warn(
            "page limit",
            format!("the tenant takes {most} and refuses more"),
        )
        .advise("set --page-limit 500, which saves a request of each run");
    }
    if !is_honoured {
        return Answer::warn("page limit", "pages hold more records than were asked for");
    }
    let records = number(records as u64);
    if asked.has_next {
        return Answer::ok(
            "page limit",
            format!("{most} asked for, pages of {records}"),
        );
    }
    Answer::ok(
        "page limit",
        format!("{most} is taken; the last day has {records} records"),
    )
}

fn total(asked: &Asked) -> Answer {
    match asked.total {
        Some(total) => Answer::ok("total", format!("given: {}", number(total))),
        None => Answer::ok("total", "not given in a scan"),
    }
}

/// The oldest record that can be had.
async fn oldest(
    checked: &Checked<'_>,
    is_new: bool,
    closed_ms: i64,
    options: &Arc<ScanOptions>,
) -> Answer {
    let range = Slice::minutes_before(closed_ms, RETENTION_DAYS * DAY_MINUTES);
    let unknown = |why: String| Answer::warn("oldest record", format!("not known: {why}"));
    let asked = match checked.client.ask_for(OLDEST_LIMIT, range, options).await {
        Ok(asked) => asked,
        Err(error) => return unknown(crate::text::plain::chain(&error)),
    };
    let clock = options.clock;
    let times = times(&records(&asked).unwrap_or_default(), clock);
    let Some(first_ms) = times.iter().min().copied() else {
        return match (asked.records.contains('{'), asked.has_next) {
            (true, _) => unknown(format!("the first records have no {clock}")),
            (false, true) => unknown("the first page is empty, and more is to come".to_owned()),
            (false, false) => Answer::warn(
                "oldest record",
                "none: the tenant has no activities, or the filters leave none",
            ),
        };
    };
    if asked.has_next && !times.is_sorted() {
        return unknown(format!("records do not come by {clock}"));
    }
    let days = (checked.clock.now_ms() - first_ms) / DAY_MS;
    let found = format!(
        "{}, {} ago",
        format_time(first_ms),
        counted(days.unsigned_abs(), "day", "days")
    );
    // A lake that is there has begun.
    if days > FORGETS_DAYS || !is_new {
        return Answer::ok("oldest record", found);
    }
    Answer::warn("oldest record", found)
        .advise("begin soon: the service is known to return nothing beyond about 30 days, so what is older cannot be had")
}

async fn compression(checked: &Checked<'_>, day: Slice, options: &Arc<ScanOptions>) -> Answer {
    match checked.client.is_compressed(day, options).await {
        Ok(true) => Answer::ok("compression", "gzip"),
        Ok(false) => Answer::warn("compression", "none: answers travel at full length"),
        Err(error) => {
            let text = crate::text::plain::chain(&error);
            Answer::warn("compression", format!("not known: {text}"))
        }
    }
}

fn budget(checked: &Checked<'_>) -> Answer {
    let counts = checked.counters.counts();
    let sent = counted(counts.requests, "request", "requests");
    let refused = counts.answers.get("429").copied().unwrap_or_default();
    if refused > 0 {
        let found = format!("{refused} of {sent} within a minute were too many");
        return Answer::warn("budget", found).advise(
            "set a lower --requests-per-minute, or find out who else asks with these credentials",
        );
    }
    Answer::ok(
        "budget",
        format!("{sent} within a minute were not too many"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_be_text() {
        let records = [
            serde_json::json!({"created": 1_795_082_400_000_i64}),
            serde_json::json!({"created": "2026-11-19T10:00:00Z"}),
            serde_json::json!({"created": {}}),
        ];
        let times = times(&records, ClockField::Created);
        assert_eq!(times, [1_795_082_400_000; 2]);
    }

    #[test]
    fn a_page_is_longer_than_asked_for_where_its_records_are_of_more_than_one_moment() {
        for (times, limit, within) in [
            (&[][..], 1, true),
            (&[7], 1, true),
            (&[7, 7, 7], 1, true),
            (&[7, 8], 1, false),
            (&[7, 7, 8], 2, false),
            (&[7, 7, 8], 3, true),
        ] {
            assert_eq!(is_within(times, limit), within, "{times:?}");
        }
    }
}
