//! What the reports of all runs have in common.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::mem;

use serde::{Deserialize, Serialize};

use crate::commit::{Made, SliceCounts};
use crate::decode::oddities::{Oddities, PathCount};
use crate::error::ErrorKind;
use crate::job::process::ProcessId;
use crate::store::Checksum;
use crate::text::plain::PlainText;
use crate::text::units::{bytes, counted, number};
use crate::window::format_time;

/// The status of a run that is at work.
pub const RUNNING: &str = "running";

/// Paths shown to people, of each kind, the commonest; the lake's record has all of them.
const SHOWN_PATHS: usize = 5;

/// Commits whose checksums are shown to people; the lake's record has all of them.
const SHOWN_COMMITS: usize = 4;
/// Commits that a report lists: with more it would become larger than any reader of reports takes.
const MOST_COMMITS: usize = 65_536;

/// In the place of its name, of a run that has not begun: nothing in the lake has that name.
pub(crate) const NOT_BEGUN: &str = "(not begun)";
/// The same of a run whose plan alone was asked for.
const PLANNED: &str = "(planned)";

/// A commit that the run made: kept elsewhere, it shows whether the lake was changed since.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CommitDigest {
    /// The slice.
    pub slice: String,
    /// The SHA-256 of the commit's object, in hexadecimal digits.
    pub sha256: String,
}

impl CommitDigest {
    /// Of a slice whose commit's object has this checksum.
    pub(crate) fn of(slice: &str, checksum: &str) -> Self {
        let digits = checksum.strip_prefix(Checksum::PREFIX).unwrap_or(checksum);
        Self {
            slice: slice.to_owned(),
            sha256: digits.to_owned(),
        }
    }
}

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

/// Which run a report is of, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunHead {
    /// The version of the report.
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
    /// When the run started.
    pub started: String,
    /// The version of the Delta table that takes in what the run made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_version: Option<u64>,
    /// How it stands, while it is at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

impl RunHead {
    /// Of a run that has just started.
    pub(crate) fn begin(command: &'static str, run: String, lake: String, started_ms: i64) -> Self {
        Self {
            version: 1,
            command,
            run,
            tool_version: env!("CARGO_PKG_VERSION"),
            status: RUNNING,
            exit_code: ErrorKind::Interrupted.exit_code(),
            lake,
            started: format_time(started_ms),
            table_version: None,
            running: None,
        }
    }

    /// Takes note of how the run ended: by the worst of its failures.
    pub(crate) fn end(&mut self, worst: Option<ErrorKind>) {
        self.running = None;
        self.exit_code = worst.map_or(0, ErrorKind::exit_code);
        self.status = match worst {
            None => "done",
            Some(ErrorKind::Interrupted) => "interrupted",
            Some(_) => "failed",
        };
    }

    /// Takes note that only the plan was asked for.
    pub(crate) fn planned(&mut self) {
        PLANNED.clone_into(&mut self.run);
        self.status = "planned";
    }

    /// The first lines of a report.
    pub(crate) fn write(&self, o: &mut PlainText) -> std::fmt::Result {
        let Self { run, status, .. } = self;
        // Of a run that is only planned the name says no more than that.
        let name = if run == PLANNED {
            ""
        } else {
            &format!("{run} ")
        };
        writeln!(o, "run {name}{status} (exit code {})", self.exit_code)?;
        writeln!(o, "lake        {}", self.lake)?;
        match self.table_version {
            Some(version) => writeln!(o, "table       version {version}"),
            None => Ok(()),
        }
    }
}

/// What a run made, what it met, and what it took.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunResult {
    /// Records, rows, rejects and repeats of what was committed.
    #[serde(flatten)]
    pub counts: SliceCounts,
    /// Paths that the schema does not know, once the run has ended.
    pub unknown_fields: Vec<PathCount>,
    /// Paths whose values were of another form than the schema expects, once the run has ended.
    pub odd_values: Vec<PathCount>,
    /// Files committed.
    pub files: u64,
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
    /// The commits that the run made, by slice.
    pub commits: Vec<CommitDigest>,
    /// Objects that no commit needs and that could not be removed.
    pub not_cleared: u64,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

impl RunResult {
    /// Copies the report `of` which this is a part without the commits, of which a running report says
    /// how many there are: those of all slices would be copied anew with each.
    pub(crate) fn without_commits<R: Clone>(of: &mut R, part: fn(&mut R) -> &mut Self) -> R {
        let commits = mem::take(&mut part(of).commits);
        let copy = of.clone();
        part(of).commits = commits;
        copy
    }

    /// Takes note of a commit that was made.
    pub(crate) fn committed(&mut self, made: &Made) {
        let Made { commit, checksum } = made;
        self.list(CommitDigest::of(&commit.slice, checksum));
        self.counts.add(&commit.counts);
        self.files += commit.files.len() as u64;
        self.bytes_out += commit.files.iter().map(|file| file.bytes).sum::<u64>();
    }

    fn list(&mut self, commit: CommitDigest) {
        if self.commits.len() < MOST_COMMITS {
            self.commits.push(commit);
            return;
        }
        let most = number(MOST_COMMITS as u64);
        let note = format!("the report lists the first {most} commits of the run only");
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Takes note of how long the run took so far.
    pub(crate) fn took(&mut self, elapsed_s: f64) {
        self.elapsed_s = elapsed_s;
        self.rows_per_s = rate(self.counts.rows, elapsed_s);
    }

    /// Takes note of what the records held that the schema does not expect.
    pub(crate) fn met<S: Ord + Clone + Display>(&mut self, oddities: &Oddities<S>) {
        self.unknown_fields = oddities.unknown.to_list();
        self.odd_values = oddities.odd.to_list();
    }

    /// The retries of object storage, where there were any.
    pub(crate) fn write_store_retries(&self, o: &mut PlainText) -> std::fmt::Result {
        if self.store_retries.is_empty() {
            return Ok(());
        }
        let again = in_brackets("retries", &self.store_retries);
        writeln!(o, "store      {again}")
    }

    /// The rejects by their reasons, where there are any.
    pub(crate) fn write_rejects(&self, o: &mut PlainText) -> std::fmt::Result {
        let rejects = &self.counts.rejects;
        if rejects.is_empty() {
            return Ok(());
        }
        writeln!(o, "rejects    {}", in_brackets("by reason", rejects))
    }

    /// What the records held that nobody expected, the commits, and what is left.
    pub(crate) fn write_findings(&self, o: &mut PlainText) -> std::fmt::Result {
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
        Ok(())
    }

    /// What the run took.
    pub(crate) fn write_took(&self, o: &mut PlainText) -> std::fmt::Result {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate for people, never negative"
        )]
        let rows_per_s = number(self.rows_per_s.round() as u64);
        write!(
            o,
            "took        {:.1} s, {rows_per_s} rows/s",
            self.elapsed_s
        )?;
        match self.peak_memory_bytes {
            Some(peak) => writeln!(o, ", peak memory {}", bytes(peak)),
            None => writeln!(o),
        }
    }

    /// The remarks.
    pub(crate) fn write_notes(&self, o: &mut PlainText) -> std::fmt::Result {
        for note in &self.notes {
            writeln!(o, "note        {note}")?;
        }
        Ok(())
    }
}

/// So many a second; 0 where no time has passed.
fn rate(rows: u64, elapsed_s: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rows = rows as f64;
    if elapsed_s > 0.0 {
        rows / elapsed_s
    } else {
        0.0
    }
}

/// The first of the commits that a run made.
fn write_commits(o: &mut PlainText, commits: &[CommitDigest]) -> std::fmt::Result {
    for CommitDigest { slice, sha256 } in commits.iter().take(SHOWN_COMMITS) {
        writeln!(o, "commit      {slice} sha256 {sha256}")?;
    }
    if commits.len() > SHOWN_COMMITS {
        let more = number((commits.len() - SHOWN_COMMITS) as u64);
        writeln!(o, "            and {more} more, in the report as JSON")?;
    }
    Ok(())
}

/// Paths that the schema does not expect, the commonest.
fn write_paths(o: &mut PlainText, word: &str, paths: &[PathCount]) -> std::fmt::Result {
    for path in paths.iter().take(SHOWN_PATHS) {
        writeln!(
            o,
            "{word:<11} {} ({}, first in {})",
            path.path,
            counted(path.count, "time", "times"),
            path.first_slice
        )?;
    }
    if paths.len() > SHOWN_PATHS {
        let more = (paths.len() - SHOWN_PATHS) as u64;
        writeln!(
            o,
            "            and {}",
            counted(more, "more path", "more paths")
        )?;
    }
    Ok(())
}

/// Counts with their names: ` (retries: http_503 2)`.
pub(crate) fn in_brackets(what: &str, counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let parts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name} {}", number(*count)))
        .collect();
    format!(" ({what}: {})", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_very_many_commits_says_once_that_it_does_not_list_all() {
        let commit = || CommitDigest {
            slice: String::new(),
            sha256: String::new(),
        };
        let mut result = RunResult::default();
        for extra in 0..=2 {
            while result.commits.len() < MOST_COMMITS {
                result.list(commit());
            }
            assert_eq!(result.notes.len(), usize::from(extra > 0));
            result.list(commit());
        }
        assert_eq!(result.commits.len(), MOST_COMMITS);
        assert_eq!(result.notes.len(), 1, "{:?}", result.notes);
    }

    #[test]
    fn a_running_report_has_everything_but_the_commits() {
        let mut result = RunResult {
            files: 7,
            commits: vec![CommitDigest {
                slice: "s".to_owned(),
                sha256: "c".to_owned(),
            }],
            ..RunResult::default()
        };
        let whole = result.clone();
        let running = RunResult::without_commits(&mut result, |result| result);
        assert_eq!((running.files, running.commits.len()), (7, 0));
        assert_eq!(result, whole);
    }
}
