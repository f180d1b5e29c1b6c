//! What a run of `convert` did: for people, for machines, and for the lake's own record of it.

use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;

use crate::decode::oddities::Oddities;
use crate::error::{ErrorKind, JobError};
use crate::job::pulse::GrowingReport;
use crate::job::report_parts::{RunHead, RunResult};
use crate::text::plain::{PlainText, chain};
use crate::text::report::Report;
use crate::text::units::{bytes, counted, number};

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
    /// Inputs that a run which had to stop did not come to, or left half done.
    pub not_done: u64,
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
    /// Which run, and how it ended.
    #[serde(flatten)]
    pub head: RunHead,
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
    /// Inputs that came to their end, whichever.
    #[serde(skip)]
    pub ended: u64,
    /// What the run made and took.
    #[serde(flatten)]
    pub result: RunResult,
    /// What the records held that the schema does not expect, while the run goes on.
    #[serde(skip)]
    pub oddities: Oddities<Arc<str>>,
    /// Bytes of the inputs of this run, as they lie there.
    pub bytes_planned: u64,
    /// Bytes of the inputs that were read to be converted, as they lie there.
    pub bytes_in: u64,
    /// What failed, the run first.
    pub failures: Vec<InputFailure>,
}

impl ConvertReport {
    /// The report of a run that has just started.
    pub(crate) fn begin(run: String, lake: String, started_ms: i64) -> Self {
        Self {
            head: RunHead::begin("convert", run, lake, started_ms),
            shard: None,
            inputs: 0,
            plan: Vec::new(),
            slices: InputTally::default(),
            ended: 0,
            result: RunResult::default(),
            oddities: Oddities::default(),
            bytes_planned: 0,
            bytes_in: 0,
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

    /// Ends the report: the exit code, and what it says of the run.
    pub(crate) fn finish(&mut self) {
        self.result.commits.sort();
        self.failures.sort_by(|a, b| a.input.cmp(&b.input));
        if self.plan.is_empty() {
            self.slices.not_done = self.slices.planned - self.ended;
        }
        let kinds = self.failures.iter().map(|failure| failure.exit);
        self.head.end(ErrorKind::worst(kinds));
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
            not_done,
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
        // A plan looks at no commit.
        if self.plan.is_empty() {
            write!(
                o,
                ", {} committed, {} already there",
                number(committed),
                number(skipped)
            )?;
        }
        for (count, what) in [
            (repeated, "with the same bytes as another"),
            (adopted, "adopted"),
            (lost_attempts, "lost to another run"),
            (failed, "failed"),
            (not_done, "not done"),
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
        self.result.write_store_retries(o)?;
        let counts = &self.result.counts;
        writeln!(
            o,
            "records     {}: {}, {}, {}",
            number(counts.records),
            counted(counts.rows, "row", "rows"),
            counted(counts.rejects.values().sum(), "reject", "rejects"),
            counted(counts.repeats, "repeat", "repeats"),
        )?;
        self.result.write_rejects(o)?;
        writeln!(
            o,
            "files       {} with {}, from {}",
            number(self.result.files),
            bytes(self.result.bytes_out),
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

impl GrowingReport for ConvertReport {
    fn head(&mut self) -> &mut RunHead {
        &mut self.head
    }

    fn running(&mut self) -> Self {
        RunResult::without_commits(self, |report| &mut report.result)
    }

    fn spent(&mut self, elapsed_s: f64) {
        self.result.took(elapsed_s);
        self.result.met(&self.oddities);
    }
}

impl Report for ConvertReport {
    fn exit_code(&self) -> u8 {
        self.head.exit_code
    }

    fn write(&self, o: &mut PlainText) -> std::fmt::Result {
        // What was refused before there was a plan has only its error to tell.
        if self.inputs > 0 {
            self.head.write(o)?;
            self.write_inputs(o)?;
        }
        if self.slices.committed + self.slices.adopted > 0 {
            self.write_records(o)?;
        }
        self.result.write_findings(o)?;
        if self.inputs > 0 && self.head.status != "planned" {
            self.result.write_took(o)?;
        }
        self.result.write_notes(o)?;
        self.write_failures(o)
    }
}
