//! The metrics of a run, as a text of Prometheus (its page "Text-based format"): the numbers of the run's
//! report, by name. All are gauges: they are of the last run, and go up and down from run to run.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::text::plain::one_line;
use crate::window::parse_time;

/// What every text of metrics begins with.
pub const BEGINNING: &str = "# HELP mdca_lake_";

/// When the last run ended that ended well.
const LAST_SUCCESS: &str = "mdca_lake_last_success_timestamp_seconds";

/// The watermark of the last run that knew it.
const WATERMARK: &str = "mdca_lake_watermark_timestamp_seconds";

/// How a metric comes from what the report says.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A number.
    Number,
    /// A number of milliseconds, in seconds.
    Milliseconds,
    /// A time, in seconds since the epoch.
    Time,
    /// An object of numbers, each with its name as this label.
    Labelled(&'static str),
    /// The sum of `count` over a list.
    Sum,
    /// The same, apart by `kind`; what has no `count` counts once.
    Kinds,
}

/// A metric, where its number stands in the report, and what it means.
struct Family(&'static str, &'static str, Kind, &'static str);

#[rustfmt::skip]
const FAMILIES: &[Family] = &[
    Family("run_start_timestamp_seconds", "/started", Kind::Time, "When the last run started"),
    Family("run_duration_seconds", "/elapsed_s", Kind::Number, "How long the last run took"),
    Family("watermark_timestamp_seconds", "/watermark", Kind::Time, "The time up to which every slice is committed or unproven"),
    Family("freshness_lag_seconds", "/standing/lag_s", Kind::Number, "From the watermark to the end of the last run"),
    Family("open_gaps", "/standing/gaps", Kind::Number, "Times since the lake's begin without a commit or a marker"),
    Family("open_gap_seconds", "/standing/gap_s", Kind::Number, "How long they are together"),
    Family("unproven_seconds", "/standing/unproven_s", Kind::Number, "Time that is marked as unproven"),
    Family("run_slices", "/slices", Kind::Labelled("outcome"), "Slices, or files, of the last run by what became of them"),
    Family("run_requests", "/requests", Kind::Number, "Requests to the service"),
    Family("run_answers", "/answers", Kind::Labelled("status"), "Answers of the service by HTTP status; none where none came"),
    Family("run_retries", "/retries", Kind::Labelled("cause"), "Requests to the service that were sent again"),
    Family("run_store_retries", "/store_retries", Kind::Labelled("cause"), "Requests to object storage that were sent again"),
    Family("run_throttle_wait_seconds", "/budget_wait_ms", Kind::Milliseconds, "Time waited for the request budget, over all slices"),
    Family("run_pages", "/pages", Kind::Number, "Pages of the committed slices"),
    Family("run_records", "/records", Kind::Number, "Records of the committed slices"),
    Family("run_rows", "/rows", Kind::Number, "Rows of the committed slices"),
    Family("run_rejects", "/rejects", Kind::Labelled("reason"), "Records that could not become rows"),
    Family("run_repeats", "/repeats", Kind::Number, "Records that came more than once"),
    Family("run_odd_values", "/odd_values", Kind::Sum, "Values of another form than the schema expects"),
    Family("run_unknown_fields", "/unknown_fields", Kind::Sum, "Values whose path the schema does not know"),
    Family("run_files", "/files", Kind::Number, "Files committed"),
    Family("run_received_bytes", "/bytes_in", Kind::Number, "Bytes of answers, or of inputs that were read"),
    Family("run_written_bytes", "/bytes_out", Kind::Number, "Bytes of the committed files"),
    Family("run_days", "/days", Kind::Labelled("outcome"), "Days of the last compaction by what became of them"),
    Family("run_compacted_files", "/files_before", Kind::Number, "Files that compactions have taken"),
    Family("run_compacted_bytes", "/bytes_before", Kind::Number, "Their bytes"),
    Family("run_merged_files", "/files_after", Kind::Number, "Files that hold their rows now"),
    Family("run_merged_bytes", "/bytes_after", Kind::Number, "Their bytes"),
    Family("table_version", "/table_version", Kind::Number, "The version of the Delta table that takes in what the run made"),
    Family("run_failures", "/failures", Kind::Kinds, "What failed, by kind"),
    Family("run_uncleared_objects", "/not_cleared", Kind::Number, "Objects that no commit needs and that could not be removed"),
    Family("run_peak_memory_bytes", "/peak_memory_bytes", Kind::Number, "The most memory that the process held"),
];

/// Whose metrics they are: what every one of them is labelled with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// The command.
    pub command: &'static str,
    /// The lake.
    pub lake: String,
}

/// The metrics of a run that ended with `exit_code` at `ended_ms`, in milliseconds since the epoch.
/// `before` is the text of the run before it, which knows when one ended well last, and the watermark where
/// this one ended before it was known.
pub fn metrics(
    labels: &Labels,
    report: Option<&Value>,
    exit_code: u8,
    ended_ms: i64,
    before: &str,
) -> String {
    let mut text = Text {
        labels,
        out: String::new(),
    };
    let ended = seconds(ended_ms);
    text.family("run_exit_code", "The exit code of the last run");
    text.sample("run_exit_code", None, &exit_code.to_string());
    text.family("run_end_timestamp_seconds", "When the last run ended");
    text.sample("run_end_timestamp_seconds", None, &ended);
    let last_success = match exit_code {
        0 => Some(ended),
        _ => text.kept(LAST_SUCCESS, before),
    };
    if let Some(time) = last_success {
        let name = LAST_SUCCESS.trim_start_matches("mdca_lake_");
        text.family(name, "When the last run ended that ended well");
        text.sample(name, None, &time);
    }
    for Family(name, pointer, kind, help) in FAMILIES {
        let value = report.and_then(|report| report.pointer(pointer));
        let mut samples = value.map_or_else(Vec::new, |value| samples(value, *kind));
        if samples.is_empty() && WATERMARK.ends_with(name) {
            samples.extend(text.kept(WATERMARK, before).map(|time| (None, time)));
        }
        if !samples.is_empty() {
            text.family(name, help);
        }
        for (label, value) in samples {
            text.sample(name, label, &value);
        }
    }
    text.out
}

/// A label beside those that all have.
type Label = (&'static str, String);

/// The samples of a metric. What is not known has none.
fn samples(value: &Value, kind: Kind) -> Vec<(Option<Label>, String)> {
    let one = |value: Option<String>| value.map(|value| (None, value)).into_iter().collect();
    match kind {
        Kind::Number => one(value.is_number().then(|| value.to_string())),
        Kind::Milliseconds => one(value.as_i64().map(seconds)),
        Kind::Time => one(value
            .as_str()
            .and_then(|time| parse_time(time, 0).ok())
            .map(seconds)),
        Kind::Labelled(label) => {
            let members = value.as_object().into_iter().flatten();
            let sample =
                |(name, count): (&String, &Value)| (Some((label, name.clone())), count.to_string());
            members.map(sample).collect()
        }
        Kind::Sum => {
            let counts = value.as_array().into_iter().flatten();
            let sum: u64 = counts.filter_map(|each| each["count"].as_u64()).sum();
            one(Some(sum.to_string()))
        }
        Kind::Kinds => {
            let mut by_kind: BTreeMap<&str, u64> = BTreeMap::new();
            for failure in value.as_array().into_iter().flatten() {
                let count = failure["count"].as_u64().unwrap_or(1);
                *by_kind
                    .entry(failure["kind"].as_str().unwrap_or_default())
                    .or_default() += count;
            }
            let sample =
                |(kind, count): (&str, u64)| (Some(("kind", kind.to_owned())), count.to_string());
            by_kind.into_iter().map(sample).collect()
        }
    }
}

/// Milliseconds as a text of seconds.
fn seconds(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    format!("{sign}{}.{:03}", ms / 1_000, ms % 1_000)
}

/// A text of metrics.
struct Text<'a> {
    labels: &'a Labels,
    out: String,
}

impl Text<'_> {
    fn family(&mut self, name: &str, help: &str) {
        writeln!(self.out, "# HELP mdca_lake_{name} {help}").expect("a String takes any text");
        writeln!(self.out, "# TYPE mdca_lake_{name} gauge").expect("a String takes any text");
    }

    fn sample(&mut self, name: &str, label: Option<Label>, value: &str) {
        let series = self.series(&format!("mdca_lake_{name}"), label);
        writeln!(self.out, "{series} {value}").expect("a String takes any text");
    }

    /// A metric with its labels.
    fn series(&self, name: &str, label: Option<Label>) -> String {
        let Labels { command, lake } = self.labels;
        let more = label.map_or_else(String::new, |(name, value)| {
            format!(",{name}=\"{}\"", escaped(&value))
        });
        format!(
            "{name}{{command=\"{command}\",lake=\"{}\"{more}}}",
            escaped(lake)
        )
    }

    /// A metric without a label of its own, as the text of an earlier run says.
    fn kept(&self, name: &str, before: &str) -> Option<String> {
        let series = self.series(name, None);
        let value = before
            .lines()
            .find_map(|line| line.strip_prefix(&series)?.strip_prefix(' '))?;
        value.parse::<f64>().is_ok().then(|| value.to_owned())
    }
}

/// The value of a label, as it stands between quotes.
fn escaped(value: &str) -> Cow<'_, str> {
    let plain = one_line(value);
    if plain.contains(['\\', '"']) {
        return plain.replace('\\', r"\\").replace('"', "\\\"").into();
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(lake: &str) -> Labels {
        Labels {
            command: "scan",
            lake: lake.to_owned(),
        }
    }

    #[test]
    fn a_run_that_fails_keeps_the_time_of_the_last_that_did_not() {
        let of = |code, ended_ms, before: &str| metrics(&labels("l"), None, code, ended_ms, before);
        let good = of(0, 5_000, "");
        let line = "mdca_lake_last_success_timestamp_seconds{command=\"scan\",lake=\"l\"} 5.000\n";
        assert!(good.contains(line) && good.starts_with(BEGINNING), "{good}");
        let bad = of(4, 9_000, &good);
        assert!(bad.contains(line), "{bad}");
        assert!(of(4, 9_500, &bad).contains(line));
        let other = metrics(&labels("other"), None, 4, 9_000, &good);
        assert!(!other.contains(LAST_SUCCESS), "{other}");
        assert!(!of(4, 9_000, "garbage").contains(LAST_SUCCESS));
    }

    #[test]
    fn a_run_that_does_not_come_to_the_watermark_keeps_that_of_the_last_that_did() {
        let report = json!({"watermark": "1970-01-01T00:01:00Z"});
        let good = metrics(&labels("l"), Some(&report), 0, 5_000, "");
        let line = "mdca_lake_watermark_timestamp_seconds{command=\"scan\",lake=\"l\"} 60.000\n";
        assert!(good.contains(line), "{good}");
        let refused = metrics(&labels("l"), None, 2, 9_000, &good);
        assert!(refused.contains(line), "{refused}");
        let without = json!({"watermark": null});
        assert!(metrics(&labels("l"), Some(&without), 6, 9_000, &refused).contains(line));
        let later = json!({"watermark": "1970-01-01T00:02:00Z"});
        assert!(!metrics(&labels("l"), Some(&later), 0, 9_000, &refused).contains(line));
    }

    #[test]
    fn a_label_holds_any_text() {
        let text = metrics(&labels("a\\b\"c\nd\u{202e}"), None, 0, 0, "");
        let line = r#"mdca_lake_run_exit_code{command="scan",lake="a\\b\"c\\nd\\u{202e}"} 0"#;
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn what_the_report_does_not_say_has_no_line() {
        let report =
            json!({"rows": 3, "watermark": null, "rejects": {}, "failures": [{"kind": "data"}]});
        let text = metrics(&labels("l"), Some(&report), 5, 1_500, "");
        assert!(text.contains("run_rows{command=\"scan\",lake=\"l\"} 3\n"));
        assert!(text.contains("run_failures{command=\"scan\",lake=\"l\",kind=\"data\"} 1\n"));
        for absent in ["watermark", "rejects", "requests", "null"] {
            assert!(!text.contains(absent), "{text}");
        }
    }
}
