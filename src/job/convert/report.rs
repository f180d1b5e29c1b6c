//! What a run of `convert` did: for people, for machines, and for the lake's own record of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;

use crate::commit::{Made, SliceCounts};
use crate::decode::oddities::{Oddities, PathCount};
use crate::error::{ErrorKind, JobError};
use crate::job::report::{RUNNING, Running};
use crate::job::report_parts::{
    CommitDigest, in_brackets, rate, write_commits, write_paths, write_took,
};
use crate::text::plain::{PlainText, chain, json_line};
use crate::text::units::{bytes, counted, number};
use crate::window::format_time;

/// Failures that are shown to people; the lake's record has all of them.
const SHOWN_FAILURES: usize = 20;

/// How the inputs of a run went. Each is one slice of the lake, named by the hash of its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InputTally {
    /// Inputs of this run: all that were named, or its share of them.
    pub planned: u64,
    /// Committed by this run.
    pub committed: u64,
    /// Committed before.
    pub skipped: u64,
    /// The same bytes as another input of this run.
    pub repeated: u64,
    /// Attempts of an earlier run that were complete, and were committed now.
    pub adopted: u64,
    /// Attempts of this run that another one was faster than.
    pub lost_attempts: u64,
    /// Inputs that failed.
    pub failed: u64,
}

/// An input, or the run, that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InputFailure {
    /// The kind, which decides the exit code.
    #[cfg_attr(test, schemars(extend("enum" = ErrorKind::WORDS)))]
    pub kind: &'static str,
    /// The input; none where it is the run that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// What happened, with its causes.
    pub error: String,
    /// What to do about it, where something is known to help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
    #[serde(skip)]
    exit: ErrorKind,
}

/// The report of one run of `convert`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConvertReport {
    /// The version of this object.
    pub version: u32,
    /// The command.
    pub command: &'static str,
    /// The run.
    pub run: String,
    /// The program's version.
    pub tool_version: &'static str,
    /// `running`, `planned`, `done`, `failed` or `interrupted`.
    #[cfg_attr(test, schemars(extend("enum" = ["running", "planned", "done", "failed", "interrupted"])))]
    pub status: &'static str,
    /// The exit code.
    pub exit_code: u8,
    /// The lake.
    pub lake: String,
    /// When the run started.
    pub started: String,
    /// How it stands, while it is at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// The share of the inputs that the run takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Inputs that were named, over all shares.
    pub inputs: u64,
    /// The inputs to convert, where only the plan was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<String>,
    /// How the inputs went.
    pub slices: InputTally,
    /// Records, rows, rejects and repeats of the committed inputs.
    #[serde(flatten)]
    pub counts: SliceCounts,
    /// Paths that the schema does not know, once the run has ended.
    pub unknown_fields: Vec<PathCount>,
    /// Paths whose values were of another form than the schema expects, once the run has ended.
    pub odd_values: Vec<PathCount>,
    /// Both while it goes on.
    #[serde(skip)]
    pub oddities: Oddities<Arc<str>>,
    /// Files committed.
    pub files: u64,
    /// Bytes of the inputs of this run, as they lie there.
    pub bytes_planned: u64,
    /// Bytes of the inputs that were read to be converted, as they lie there.
    pub bytes_in: u64,
    /// Bytes of the committed files.
    pub bytes_out: u64,
    /// Requests to object storage that failed and were sent again, by cause.
    pub store_retries: BTreeMap<String, u64>,
    /// How long the run took, in seconds.
    pub elapsed_s: f64,
    /// Rows committed a second.
    pub rows_per_s: f64,
    /// The most memory that the process held, in bytes, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// The commits that the run made.
    pub commits: Vec<CommitDigest>,
    /// Objects that no commit needs and that could not be removed.
    pub not_cleared: u64,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// What failed, the run first.
    pub failures: Vec<InputFailure>,
}

impl ConvertReport {
    /// The report of a run that has just started.
    pub(crate) fn begin(run: String, lake: String, started_ms: i64) -> Self {
        Self {
            version: 1,
            command: "convert",
            run,
            tool_version: env!("CARGO_PKG_VERSION"),
            status: RUNNING,
            exit_code: ErrorKind::Interrupted.exit_code(),
            lake,
            started: format_time(started_ms),
            running: None,
            shard: None,
            inputs: 0,
            plan: Vec::new(),
            slices: InputTally::default(),
            counts: SliceCounts::default(),
            unknown_fields: Vec::new(),
            odd_values: Vec::new(),
            oddities: Oddities::default(),
            files: 0,
            bytes_planned: 0,
            bytes_in: 0,
            bytes_out: 0,
            store_retries: BTreeMap::new(),
            elapsed_s: 0.0,
            rows_per_s: 0.0,
            peak_memory_bytes: None,
            commits: Vec::new(),
            not_cleared: 0,
            notes: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Takes note of a failure, of an input or of the run.
    pub(crate) fn failed(&mut self, input: Option<&str>, error: &JobError) {
        self.slices.failed += u64::from(input.is_some());
        let exit = error.kind();
        self.failures.push(InputFailure {
            kind: exit.as_str(),
            input: input.map(str::to_owned),
            error: chain(error),
            advice: error.advice(),
            exit,
        });
    }

    /// Takes note of a commit that was made.
    pub(crate) fn committed(&mut self, made: &Made) {
        let Made { commit, checksum } = made;
        self.commits.push(CommitDigest::of(&commit.slice, checksum));
        self.counts.add(&commit.counts);
        self.files += commit.files.len() as u64;
        self.bytes_out += commit.files.iter().map(|file| file.bytes).sum::<u64>();
    }

    /// Takes note of how long the run took so far.
    pub(crate) fn spent(&mut self, elapsed_s: f64) {
        self.elapsed_s = elapsed_s;
        self.rows_per_s = rate(self.counts.rows, elapsed_s);
        self.unknown_fields = self.oddities.unknown.to_list();
        self.odd_values = self.oddities.odd.to_list();
    }

    /// Ends the report: the exit code, and what it says of the run.
    pub(crate) fn finish(&mut self) {
        self.commits.sort();
        self.failures.sort_by(|a, b| a.input.cmp(&b.input));
        let worst = ErrorKind::worst(self.failures.iter().map(|failure| failure.exit));
        self.exit_code = worst.map_or(0, ErrorKind::exit_code);
        self.status = match worst {
            None => "done",
            Some(ErrorKind::Interrupted) => "interrupted",
            Some(_) => "failed",
        };
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
        // What was refused before there was a plan has only its error to tell.
        if self.inputs > 0 {
            let Self { run, status, .. } = self;
            writeln!(o, "run {run} {status} (exit code {})", self.exit_code)?;
            writeln!(o, "lake        {}", self.lake)?;
            self.write_inputs(o)?;
        }
        if self.slices.committed + self.slices.adopted > 0 {
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
        if self.inputs > 0 && self.status != "planned" {
            write_took(o, self.elapsed_s, self.rows_per_s, self.peak_memory_bytes)?;
        }
        for note in &self.notes {
            writeln!(o, "note        {note}")?;
        }
        self.write_failures(o)?;
        Ok(out)
    }

    fn write_inputs(&self, o: &mut PlainText) -> std::fmt::Result {
        let InputTally {
            planned,
            committed,
            skipped,
            repeated,
            adopted,
            lost_attempts,
            failed,
        } = self.slices;
        write!(
            o,
            "inputs      {} with {}",
            number(planned),
            bytes(self.bytes_planned)
        )?;
        if let Some(shard) = &self.shard {
            write!(o, " (share {shard} of {})", number(self.inputs))?;
        }
        write!(
            o,
            ", {} committed, {} already there",
            number(committed),
            number(skipped)
        )?;
        for (count, what) in [
            (repeated, "with the same bytes as another"),
            (adopted, "adopted"),
            (lost_attempts, "lost to another run"),
            (failed, "failed"),
        ] {
            if count > 0 {
                write!(o, ", {} {what}", number(count))?;
            }
        }
        writeln!(o)?;
        for input in &self.plan {
            writeln!(o, "            {input}")?;
        }
        Ok(())
    }

    fn write_records(&self, o: &mut PlainText) -> std::fmt::Result {
        if !self.store_retries.is_empty() {
            let again = in_brackets("retries", &self.store_retries);
            writeln!(o, "store      {again}")?;
        }
        let counts = &self.counts;
        writeln!(
            o,
            "records     {}: {}, {}, {}",
            number(counts.records),
            counted(counts.rows, "row", "rows"),
            counted(counts.rejects.values().sum(), "reject", "rejects"),
            counted(counts.repeats, "repeat", "repeats"),
        )?;
        if !counts.rejects.is_empty() {
            let reasons = in_brackets("by reason", &counts.rejects);
            writeln!(o, "rejects    {reasons}")?;
        }
        writeln!(
            o,
            "files       {} with {}, from {}",
            number(self.files),
            bytes(self.bytes_out),
            bytes(self.bytes_in)
        )
    }

    fn write_failures(&self, o: &mut PlainText) -> std::fmt::Result {
        for failure in self.failures.iter().take(SHOWN_FAILURES) {
            writeln!(o, "FAILED      {} ({})", failure.error, failure.kind)?;
            if let Some(advice) = failure.advice {
                writeln!(o, "            {advice}")?;
            }
        }
        if self.failures.len() > SHOWN_FAILURES {
            let more = self.failures.len() - SHOWN_FAILURES;
            writeln!(
                o,
                "            and {} more, in the report as JSON",
                number(more as u64)
            )?;
        }
        Ok(())
    }
}
