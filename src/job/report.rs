//! What a run did: for people, for machines, and for the lake's own record of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::decode::oddities::Oddities;
use crate::error::JobError;
use crate::job::estimate::stretches;
use crate::job::failures::{Failure, Failures};
use crate::job::report_parts::in_brackets;
pub use crate::job::report_parts::{CommitDigest, RUNNING, RunHead, RunResult, Running};
use crate::job::standing::Standing;
use crate::scan::ScanCounts;
use crate::text::plain::PlainText;
use crate::text::report::Report;
use crate::text::units::{bytes, counted, number};
use crate::window::{Slice, TimeWindow, format_time, parse_time};

/// Stretches of a plan that are shown to people; the report as JSON has all slices.
const SHOWN_STRETCHES: usize = 10;

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
    /// Committed by this run though the service did not give all of it: `status` has the holes.
    pub with_holes: u64,
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
    /// Which run, and how it ended.
    #[serde(flatten)]
    pub head: RunHead,
    /// The service's host.
    pub api_host: String,
    /// The clock of the lake.
    pub clock: String,
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
    /// What the run made and took.
    #[serde(flatten)]
    pub result: RunResult,
    /// What the records held that the schema does not expect, while the run goes on.
    #[serde(skip)]
    pub oddities: Oddities,
    /// The time up to which every slice since the lake's begin is committed or unproven.
    pub watermark: Option<String>,
    /// How far the lake has come, once the run has ended.
    pub standing: Option<Standing>,
    /// What failed, by cause, oldest slice first.
    pub failures: Failures,
}

impl RunReport {
    /// The report of a run that has just started.
    pub fn begin(run: String, lake: String, started_ms: i64) -> Self {
        Self {
            head: RunHead::begin("scan", run, lake, started_ms),
            api_host: String::new(),
            clock: String::new(),
            window_asked: None,
            window: None,
            plan: Vec::new(),
            slices: SliceTally::default(),
            scanned: ScanCounts::default(),
            result: RunResult::default(),
            oddities: Oddities::default(),
            watermark: None,
            standing: None,
            failures: Failures::default(),
        }
    }

    /// Takes note of a failure, of a slice or of the run. Returns whether it is worth a line in the
    /// log.
    pub fn failed(&mut self, slice: Option<&Slice>, error: &JobError) -> bool {
        self.slices.failed += u64::from(slice.is_some());
        self.failures.add(slice, error)
    }

    /// Ends the report: what scanning and storing cost, how long it took, and the exit code.
    pub fn finish(&mut self, cost: Cost) {
        self.spent(cost);
        self.result.commits.sort();
        self.failures.sort();
        let worst = self.failures.worst();
        self.head.end(worst);
        let SliceTally {
            left,
            committed,
            adopted,
            ..
        } = self.slices;
        if worst.is_none() && left > 0 && committed + adopted == 0 {
            self.head.status = "yielded";
        }
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
        self.result.store_retries = store_retries;
        self.result.peak_memory_bytes = peak_memory_bytes;
        self.result.took(elapsed_s);
        self.result.met(&self.oddities);
    }

    fn write_plan(&self, o: &mut PlainText) -> std::fmt::Result {
        self.head.write(o)?;
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
            with_holes,
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
            (with_holes, "committed with holes"),
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
        self.write_stretches(o)
    }

    /// The slices of a plan, joined where they touch.
    fn write_stretches(&self, o: &mut PlainText) -> std::fmt::Result {
        let slices = self.plan.iter().filter_map(|name| name.parse().ok());
        let stretches = stretches(&slices.collect::<Vec<Slice>>());
        for (first, last, count) in stretches.iter().take(SHOWN_STRETCHES) {
            let (from, until) = (format_time(first.from_ms()), format_time(last.until_ms()));
            let count = counted(*count as u64, "slice", "slices");
            writeln!(o, "            {from} to {until}: {count}")?;
        }
        if stretches.len() > SHOWN_STRETCHES {
            let more = number((stretches.len() - SHOWN_STRETCHES) as u64);
            writeln!(
                o,
                "            and {more} more stretches, in the report as JSON"
            )?;
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
        self.result.write_store_retries(o)?;
        let counts = &self.result.counts;
        writeln!(
            o,
            "records     {} in {}: {}, {}, {}, {} of other slices",
            number(counts.records),
            counted(counts.pages, "page", "pages"),
            counted(counts.rows, "row", "rows"),
            counted(counts.rejects.values().sum(), "reject", "rejects"),
            counted(counts.repeats, "repeat", "repeats"),
            number(counts.outside_probe)
        )?;
        self.result.write_rejects(o)?;
        self.write_oddities(o)?;
        let members = &self.scanned.unknown_members;
        if !members.is_empty() {
            writeln!(
                o,
                "answers    {}",
                in_brackets("with unknown members", members)
            )?;
        }
        writeln!(
            o,
            "files       {} with {}, from {} of JSON",
            number(self.result.files),
            bytes(self.result.bytes_out),
            bytes(self.scanned.bytes_in)
        )
    }

    /// What answers and records had that they usually do not have.
    fn write_oddities(&self, o: &mut PlainText) -> std::fmt::Result {
        let (scanned, counts) = (&self.scanned, &self.result.counts);
        let oddities = [
            (scanned.halvings, "ranges halved"),
            (scanned.extra_continuations, "pages beyond the last"),
            (scanned.total_differs, "totals that differ"),
            (counts.changed_repeats, "repeats with other JSON"),
            (counts.odd_created, "rows without a usable created"),
        ];
        let met = oddities.iter().filter(|(count, _)| *count > 0);
        let met: Vec<String> = met
            .map(|(count, what)| format!("{} {what}", number(*count)))
            .collect();
        if met.is_empty() {
            return Ok(());
        }
        writeln!(o, "oddities    {}", met.join(", "))
    }
}

impl Report for RunReport {
    fn exit_code(&self) -> u8 {
        self.head.exit_code
    }

    fn write(&self, o: &mut PlainText) -> std::fmt::Result {
        let has_asked = self.scanned.requests > 0;
        // What was refused before there was a plan has only its error to tell.
        if has_asked || self.window.is_some() || self.failures.is_empty() {
            self.write_plan(o)?;
        }
        if has_asked {
            self.write_records(o)?;
        }
        self.result.write_findings(o)?;
        if let Some(watermark) = &self.watermark {
            writeln!(o, "watermark   {watermark}")?;
        }
        if has_asked {
            self.result.write_took(o)?;
        }
        self.result.write_notes(o)?;
        self.failures
            .iter()
            .try_for_each(|failure| write_failure(o, failure))
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
