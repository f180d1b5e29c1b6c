//! What a run of `compact` did: for people, for machines, and for the lake's own record of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::error::{ErrorKind, JobError};
use crate::job::pulse::GrowingReport;
use crate::job::report_parts::{RunHead, in_brackets};
use crate::store::Checksum;
use crate::text::plain::{PlainText, chain};
use crate::text::report::Report;
use crate::text::units::{bytes, counted, number};

/// Days and failures that are shown to people; the lake's record has all of them.
const SHOWN: usize = 20;

/// A compaction that the run made: kept elsewhere, its digest shows whether the lake was changed since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MadeCompaction {
    /// The compaction.
    pub compaction: String,
    /// The SHA-256 of its object, in hexadecimal digits.
    pub sha256: String,
    /// What it changed.
    #[serde(flatten)]
    pub sizes: Sizes,
}

/// A day that is to be compacted. The bytes after it are at most those before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlannedDay {
    /// The day.
    pub day: String,
    /// What is known of it.
    #[serde(flatten)]
    pub sizes: Sizes,
}

/// Files and bytes that are merged, before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sizes {
    /// Rows.
    pub rows: u64,
    /// Files before.
    pub files_before: u64,
    /// Files after.
    pub files_after: u64,
    /// Bytes before.
    pub bytes_before: u64,
    /// Bytes after.
    pub bytes_after: u64,
}

impl Sizes {
    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.files_before += other.files_before;
        self.files_after += other.files_after;
        self.bytes_before += other.bytes_before;
        self.bytes_after += other.bytes_after;
    }
}

/// How the days of a run went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DayTally {
    /// Days with files that are to be merged.
    pub planned: u64,
    /// Compacted by this run.
    pub compacted: u64,
    /// Days that another run was faster at.
    pub lost: u64,
    /// Days that failed, and are as they were.
    pub failed: u64,
}

/// A day, or the run, that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DayFailure {
    /// The kind, which decides the exit code.
    #[cfg_attr(test, schemars(extend("enum" = ErrorKind::WORDS)))]
    pub kind: &'static str,
    /// The day; none where it is the run that failed, or an object of the lake that cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// What happened, with its causes.
    pub error: String,
    /// What to do about it, where something is known to help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
    #[serde(skip)]
    exit: ErrorKind,
}

/// The report of one run of `compact`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CompactReport {
    /// Which run, and how it ended.
    #[serde(flatten)]
    pub head: RunHead,
    /// How the days went.
    pub days: DayTally,
    /// The days to compact, where only the plan was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<PlannedDay>,
    /// What was merged, over all days; of a plan what is to be.
    #[serde(flatten)]
    pub sizes: Sizes,
    /// What earlier runs had left of compactions, and was brought to an end.
    pub recovered: u64,
    /// Reports of old runs that were removed; of a plan those that are to be.
    pub reports_removed: u64,
    /// Requests to object storage that failed and were sent again, by cause.
    pub store_retries: BTreeMap<String, u64>,
    /// How long the run took, in seconds.
    pub elapsed_s: f64,
    /// The most memory that the process held, in bytes, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// The compactions that the run made.
    pub compactions: Vec<MadeCompaction>,
    /// Objects that could not be removed: files that a compaction has taken show their rows twice by a pattern.
    pub not_cleared: u64,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// What failed, the run first.
    pub failures: Vec<DayFailure>,
}

impl CompactReport {
    /// The report of a run that has just started.
    pub(crate) fn begin(run: String, lake: String, started_ms: i64) -> Self {
        Self {
            head: RunHead::begin("compact", run, lake, started_ms),
            days: DayTally::default(),
            plan: Vec::new(),
            sizes: Sizes::default(),
            recovered: 0,
            reports_removed: 0,
            store_retries: BTreeMap::new(),
            elapsed_s: 0.0,
            peak_memory_bytes: None,
            compactions: Vec::new(),
            not_cleared: 0,
            notes: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Takes note of a failure, of a day or of the run.
    pub(crate) fn failed(&mut self, day: Option<String>, error: &JobError) {
        self.days.failed += u64::from(day.is_some());
        let exit = error.kind();
        self.failures.push(DayFailure {
            kind: exit.as_str(),
            day,
            error: chain(error),
            advice: error.advice(),
            exit,
        });
    }

    /// Takes note of a day that is to be compacted.
    pub(crate) fn planned(&mut self, day: String, sizes: Sizes) {
        self.sizes.add(&sizes);
        self.plan.push(PlannedDay { day, sizes });
    }

    /// Takes note of a compaction that was made, whose object has this checksum.
    pub(crate) fn made(&mut self, compaction: String, checksum: &str, sizes: Sizes) {
        let digits = checksum.strip_prefix(Checksum::PREFIX).unwrap_or(checksum);
        self.sizes.add(&sizes);
        self.compactions.push(MadeCompaction {
            compaction,
            sha256: digits.to_owned(),
            sizes,
        });
    }

    /// Ends the report: the exit code, and what it says of the run.
    pub(crate) fn finish(&mut self) {
        self.failures.sort_by(|a, b| a.day.cmp(&b.day));
        let kinds = self.failures.iter().map(|failure| failure.exit);
        self.head.end(ErrorKind::worst(kinds));
    }

    fn write_compactions(&self, o: &mut PlainText) -> std::fmt::Result {
        let plan = self.plan.iter().map(|of| (&of.day, of.sizes));
        let made = self.compactions.iter();
        let made = made.map(|of| (&of.compaction, of.sizes));
        for (name, sizes) in plan.chain(made).take(SHOWN) {
            self.write_sizes(o, &format!("            {name}: "), &sizes)?;
        }
        let more = (self.plan.len() + self.compactions.len()).saturating_sub(SHOWN);
        if more > 0 {
            writeln!(
                o,
                "            and {} more, in the report as JSON",
                number(more as u64)
            )?;
        }
        Ok(())
    }

    fn write_days(&self, o: &mut PlainText) -> std::fmt::Result {
        let DayTally {
            planned,
            compacted,
            lost,
            failed,
        } = self.days;
        write!(o, "days        {} to compact", number(planned))?;
        for (count, what) in [
            (compacted, "compacted"),
            (lost, "lost to another run"),
            (failed, "failed"),
        ] {
            if count > 0 {
                write!(o, ", {} {what}", number(count))?;
            }
        }
        writeln!(o)?;
        if self.sizes.files_before > 0 {
            self.write_sizes(o, "files       ", &self.sizes)?;
        }
        Ok(())
    }

    /// What is merged. How large that will be a plan knows by its bound only.
    fn write_sizes(&self, o: &mut PlainText, what: &str, sizes: &Sizes) -> std::fmt::Result {
        let Sizes {
            rows,
            files_before,
            files_after,
            bytes_before,
            bytes_after,
        } = *sizes;
        let most = if self.plan.is_empty() { "" } else { "at most " };
        writeln!(
            o,
            "{what}{} with {} become {} with {most}{}, {}",
            counted(files_before, "file", "files"),
            bytes(bytes_before),
            number(files_after),
            bytes(bytes_after),
            counted(rows, "row", "rows")
        )
    }
}

impl GrowingReport for CompactReport {
    fn head(&mut self) -> &mut RunHead {
        &mut self.head
    }

    fn spent(&mut self, elapsed_s: f64) {
        self.elapsed_s = elapsed_s;
    }
}

impl Report for CompactReport {
    fn exit_code(&self) -> u8 {
        self.head.exit_code
    }

    fn write(&self, o: &mut PlainText) -> std::fmt::Result {
        self.head.write(o)?;
        self.write_days(o)?;
        self.write_compactions(o)?;
        if self.reports_removed > 0 {
            let reports = counted(self.reports_removed, "report", "reports");
            let is_plan = self.head.status == "planned";
            let what = if is_plan { "to remove" } else { "removed" };
            writeln!(o, "reports     {reports} of old runs {what}")?;
        }
        if !self.store_retries.is_empty() {
            let again = in_brackets("retries", &self.store_retries);
            writeln!(o, "store      {again}")?;
        }
        if self.not_cleared > 0 {
            writeln!(
                o,
                "left        {} that could not be removed; the next run tries again",
                counted(self.not_cleared, "object", "objects")
            )?;
            writeln!(
                o,
                "            until then a pattern over activities/ may show rows twice; the table and export do not"
            )?;
        }
        if self.head.status != "planned" {
            write!(o, "took        {:.1} s", self.elapsed_s)?;
            match self.peak_memory_bytes {
                Some(peak) => writeln!(o, ", peak memory {}", bytes(peak))?,
                None => writeln!(o)?,
            }
        }
        for note in &self.notes {
            writeln!(o, "note        {note}")?;
        }
        for failure in self.failures.iter().take(SHOWN) {
            writeln!(o, "FAILED      {} ({})", failure.error, failure.kind)?;
            if let Some(advice) = failure.advice {
                writeln!(o, "            {advice}")?;
            }
        }
        Ok(())
    }
}
