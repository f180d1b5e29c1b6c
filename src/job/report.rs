//! What a run did: for people, for machines, and for the lake's own record of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::commit::SliceCounts;
use crate::decode::oddities::{Oddities, PathCount};
use crate::error::{ErrorKind, JobError};
use crate::job::failures::{Failure, Failures};
use crate::job::process::ProcessId;
pub use crate::job::report_parts::CommitDigest;
use crate::job::report_parts::{in_brackets, rate, write_commits, write_paths, write_took};
use crate::scan::ScanCounts;
use crate::text::plain::{PlainText, json_line};
use crate::text::units::{bytes, counted, number};
use crate::window::{Slice, TimeWindow, format_time, parse_time};

/// A window as times to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReportWindow {
    /// The first moment inside.
    pub from: String,
    /// The first moment after it.
    pub until: String,
}

impl From<TimeWindow> for ReportWindow {
    fn from(window: TimeWindow) -> Self {
        Self {
            from: format_time(window.from_ms),
            until: format_time(window.until_ms),
        }
    }
}

impl ReportWindow {
    /// The window as times; none where somebody else wrote what are none.
    pub fn times(&self) -> Option<TimeWindow> {
        Some(TimeWindow {
            from_ms: parse_time(&self.from, 0).ok()?,
            until_ms: parse_time(&self.until, 0).ok()?,
        })
    }
}

/// The status of a run that is at work.
pub const RUNNING: &str = "running";

/// How a run that is at work stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Running {
    /// The process, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessId>,
    /// When the run's first report was put, by the store's time, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_report_ms: Option<i64>,
    /// Seconds since a page came or a slice was committed.
    pub idle_s: u64,
    /// Slices that were begun and have not ended.
    pub in_flight: Vec<String>,
}

/// How the slices of a plan went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SliceTally {
    /// Slices of the window without a commit.
    pub planned: u64,
    /// Committed by this run.
    pub committed: u64,
    /// Committed before.
    pub skipped: u64,
    /// Attempts of an earlier run that were complete, and were committed now.
    pub adopted: u64,
    /// Attempts of this run that another one was faster than.
    pub lost_attempts: u64,
    /// Committed by this run though it asked late: the service may have forgotten some of their
    /// records.
    pub late: u64,
    /// Empty, and asked for by this run so late that it proves nothing: marked instead of committed.
    pub unproven: u64,
    /// Marked so before, and not asked for again.
    pub unproven_before: u64,
    /// Slices that failed.
    pub failed: u64,
    /// Committed by another run since this one planned them, so that it did not begin them.
    pub taken: u64,
    /// Left to a run that began earlier and is at work on them.
    pub left: u64,
}

/// What a run cost.
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// What scanning cost.
    pub scanned: ScanCounts,
    /// Requests to object storage that failed and were sent again, by cause.
    pub store_retries: BTreeMap<String, u64>,
    /// How long it took, in seconds.
    pub elapsed_s: f64,
    /// The most memory that the process held, in bytes, where the system tells.
    pub peak_memory_bytes: Option<u64>,
}

/// The report of one run of `scan`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunReport {
    /// The version of this object.
    pub version: u32,
    /// The command.
    pub command: &'static str,
    /// The run.
    pub run: String,
    /// The program's version.
    pub tool_version: &'static str,
    /// `running`, `planned`, `done`, `yielded` (all that was to do is another run's), `failed` or
    /// `interrupted`.
    #[cfg_attr(test, schemars(extend("enum" = ["running", "planned", "done", "yielded", "failed", "interrupted"])))]
    pub status: &'static str,
    /// The exit code.
    pub exit_code: u8,
    /// The lake.
    pub lake: String,
    /// The service's host.
    pub api_host: String,
    /// The clock of the lake.
    pub clock: String,
    /// When the run started.
    pub started: String,
    /// How it stands, while it is at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// The window as asked for.
    pub window_asked: Option<ReportWindow>,
    /// The window in whole closed slices.
    pub window: Option<ReportWindow>,
    /// The slices to scan, where only the plan was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<String>,
    /// How the slices went.
    pub slices: SliceTally,
    /// What scanning cost.
    #[serde(flatten)]
    pub scanned: ScanCounts,
    /// Requests to object storage that failed and were sent again, by cause.
    pub store_retries: BTreeMap<String, u64>,
    /// Records, rows, rejects and repeats of the committed slices.
    #[serde(flatten)]
    pub counts: SliceCounts,
    /// Paths that the schema does not know, once the run has ended.
    pub unknown_fields: Vec<PathCount>,
    /// Paths whose values were of another form than the schema expects, once the run has ended.
    pub odd_values: Vec<PathCount>,
    /// Both while it goes on.
    #[serde(skip)]
    pub oddities: Oddities,
    /// Files committed.
    pub files: u64,
    /// Bytes of the committed files.
    pub bytes_out: u64,
    /// How long the run took, in seconds.
    pub elapsed_s: f64,
    /// Rows committed a second.
    pub rows_per_s: f64,
    /// The most memory that the process held, in bytes, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// The commits that the run made, oldest slice first.
    pub commits: Vec<CommitDigest>,
    /// Objects that no commit needs and that could not be removed.
    pub not_cleared: u64,
    /// The time up to which every slice since the lake's begin is committed or unproven.
    pub watermark: Option<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// What failed, by cause, oldest slice first.
    pub failures: Failures,
}

impl RunReport {
    /// The report of a run that has just started.
    pub fn begin(run: String, lake: String, started_ms: i64) -> Self {
        Self {
            version: 1,
            command: "scan",
            run,
            tool_version: env!("CARGO_PKG_VERSION"),
            status: RUNNING,
            exit_code: ErrorKind::Interrupted.exit_code(),
            lake,
            api_host: String::new(),
            clock: String::new(),
            started: format_time(started_ms),
            running: None,
            window_asked: None,
            window: None,
            plan: Vec::new(),
            slices: SliceTally::default(),
            scanned: ScanCounts::default(),
            store_retries: BTreeMap::new(),
            counts: SliceCounts::default(),
            unknown_fields: Vec::new(),
            odd_values: Vec::new(),
            oddities: Oddities::default(),
            files: 0,
            bytes_out: 0,
            elapsed_s: 0.0,
            rows_per_s: 0.0,
            peak_memory_bytes: None,
            commits: Vec::new(),
            not_cleared: 0,
            watermark: None,
            notes: Vec::new(),
            failures: Failures::default(),
        }
    }

    /// Takes note of a failure, of a slice or of the run. Returns whether it is worth a line in the
    /// log.
    pub fn failed(&mut self, slice: Option<&Slice>, error: &JobError) -> bool {
        self.slices.failed += u64::from(slice.is_some());
        self.failures.add(slice, error)
    }

    /// Takes note of a commit that was made, and the checksum of its object.
    pub fn committed(&mut self, slice: &str, checksum: &str) {
        self.commits.push(CommitDigest::of(slice, checksum));
    }

    /// Ends the report: what scanning and storing cost, how long it took, and the exit code.
    pub fn finish(&mut self, cost: Cost) {
        self.spent(cost);
        self.commits.sort();
        self.failures.sort();
        let worst = self.failures.worst();
        self.exit_code = worst.map_or(0, ErrorKind::exit_code);
        self.status = match worst {
            None if self.slices.left > 0 && self.slices.committed + self.slices.adopted == 0 => {
                "yielded"
            }
            None => "done",
            Some(ErrorKind::Interrupted) => "interrupted",
            Some(_) => "failed",
        };
    }

    /// Takes note of what scanning and storing have cost, and how long it took.
    pub fn spent(&mut self, cost: Cost) {
        let Cost {
            scanned,
            store_retries,
            elapsed_s,
            peak_memory_bytes,
        } = cost;
        self.scanned = scanned;
        self.store_retries = store_retries;
        self.elapsed_s = elapsed_s;
        self.rows_per_s = rate(self.counts.rows, elapsed_s);
        self.peak_memory_bytes = peak_memory_bytes;
        self.unknown_fields = self.oddities.unknown.to_list();
        self.odd_values = self.oddities.odd.to_list();
    }

    /// The report as one line of JSON.
    pub fn to_json(&self) -> String {
        json_line(self)
    }

    /// The report for people.
    pub fn to_text(&self) -> String {
        self.text().expect("a text takes anything").into_string()
    }

    fn text(&self) -> Result<PlainText, std::fmt::Error> {
        let mut out = PlainText::new();
        let o = &mut out;
        let has_asked = self.scanned.requests > 0;
        // What was refused before there was a plan has only its error to tell.
        if has_asked || self.window.is_some() || self.failures.is_empty() {
            self.write_plan(o)?;
        }
        if has_asked {
            self.write_records(o)?;
        }
        write_paths(o, "unknown", &self.unknown_fields)?;
        write_paths(o, "odd", &self.odd_values)?;
        write_commits(o, &self.commits)?;
        if self.not_cleared > 0 {
            writeln!(
                o,
                "left        {} that no commit needs and that could not be removed",
                counted(self.not_cleared, "object", "objects")
            )?;
        }
        if let Some(watermark) = &self.watermark {
            writeln!(o, "watermark   {watermark}")?;
        }
        if has_asked {
            self.write_cost(o)?;
        }
        for note in &self.notes {
            writeln!(o, "note        {note}")?;
        }
        for failure in self.failures.iter() {
            write_failure(o, failure)?;
        }
        Ok(out)
    }

    fn write_plan(&self, o: &mut PlainText) -> std::fmt::Result {
        let Self { run, status, .. } = self;
        writeln!(o, "run {run} {status} (exit code {})", self.exit_code)?;
        writeln!(o, "lake        {}", self.lake)?;
        if let Some(window) = &self.window {
            writeln!(
                o,
                "window      {} to {} by {}",
                window.from, window.until, self.clock
            )?;
        }
        self.write_slices(o)
    }

    fn write_slices(&self, o: &mut PlainText) -> std::fmt::Result {
        let SliceTally {
            planned,
            committed,
            skipped,
            adopted,
            lost_attempts,
            late,
            unproven,
            unproven_before,
            failed,
            taken,
            left,
        } = self.slices;
        write!(
            o,
            "slices      {} planned, {} committed, {} already there",
            number(planned),
            number(committed),
            number(skipped)
        )?;
        for (count, what) in [
            (adopted, "adopted"),
            (lost_attempts, "lost to another run"),
            (late, "committed late"),
            (unproven, "unproven"),
            (unproven_before, "unproven before"),
            (failed, "failed"),
            (taken, "committed by another run meanwhile"),
            (left, "left to a run that is at work"),
        ] {
            if count > 0 {
                write!(o, ", {} {what}", number(count))?;
            }
        }
        writeln!(o)?;
        for slice in &self.plan {
            writeln!(o, "            {slice}")?;
        }
        Ok(())
    }

    fn write_records(&self, o: &mut PlainText) -> std::fmt::Result {
        writeln!(
            o,
            "requests    {}{}",
            number(self.scanned.requests),
            in_brackets("retries", &self.scanned.retries)
        )?;
        if !self.store_retries.is_empty() {
            let again = in_brackets("retries", &self.store_retries);
            writeln!(o, "store      {again}")?;
        }
        let counts = &self.counts;
        writeln!(
            o,
            "records     {} in {}: {}, {}, {}, {} belonging to a neighbouring slice",
            number(counts.records),
            counted(counts.pages, "page", "pages"),
            counted(counts.rows, "row", "rows"),
            counted(counts.rejects.values().sum(), "reject", "rejects"),
            counted(counts.repeats, "repeat", "repeats"),
            number(counts.outside_probe)
        )?;
        if !counts.rejects.is_empty() {
            writeln!(
                o,
                "rejects    {}",
                in_brackets("by reason", &counts.rejects)
            )?;
        }
        writeln!(
            o,
            "files       {} with {}, from {} of JSON",
            number(self.files),
            bytes(self.bytes_out),
            bytes(self.scanned.bytes_in)
        )
    }

    fn write_cost(&self, o: &mut PlainText) -> std::fmt::Result {
        write_took(o, self.elapsed_s, self.rows_per_s, self.peak_memory_bytes)
    }
}

fn write_failure(out: &mut impl Write, failure: &Failure) -> std::fmt::Result {
    write!(out, "FAILED      ")?;
    if let (Some(first), Some(last)) = (&failure.first_slice, &failure.last_slice)
        && failure.count > 1
    {
        write!(
            out,
            "{} slices from {first} to {last}, the first: ",
            number(failure.count)
        )?;
    } else if failure.count > 1 {
        write!(out, "{} times, the first: ", number(failure.count))?;
    }
    writeln!(out, "{} ({})", failure.error, failure.kind)?;
    if let Some(advice) = failure.advice {
        writeln!(out, "            {advice}")?;
    }
    Ok(())
}
