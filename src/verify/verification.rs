//! What was looked at and what was found.

use std::collections::BTreeSet;
use std::fmt::Write;

use object_store::path::Path;
use serde::Serialize;

use super::finding::{Finding, FindingKind};
use super::slice::SliceCheck;
use crate::error::ErrorKind;
use crate::layout::{self, CompactionName};
use crate::table;
use crate::text::plain::PlainText;
use crate::text::report::Report;
use crate::text::units::{bytes, counted};

/// What was looked at and what was found.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Verification {
    /// The version of this object.
    pub version: u32,
    /// The lake.
    pub lake: String,
    /// Whether every row was looked at.
    pub deep: bool,
    /// Commits read.
    pub commits: u64,
    /// Files and rejects read whole.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Rows that the commits name.
    pub rows: u64,
    /// Attempts at slices without a commit, which wait for the next run; no damage.
    pub attempts: u64,
    /// Those of them that are at converted files: they wait until the same bytes are converted again.
    pub attempts_at_files: u64,
    /// Committed slices at which the work of other attempts is left; no damage.
    pub unfinished: BTreeSet<String>,
    /// What was removed: objects that no commit names.
    pub swept: Vec<String>,
    /// Puts into a disk that died at least an hour before the last object of the lake's own was
    /// written; no damage.
    pub dead_puts: Vec<String>,
    /// Files that a system has dropped in the lake; no command reads them, and they are no damage.
    pub ignored: Vec<String>,
    /// Whether the Delta table does not take in everything yet; no damage.
    pub is_table_behind: bool,
    /// What was to be removed, and could not be.
    pub not_cleared: u64,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

impl Verification {
    pub(super) fn find(&mut self, path: &Path, what: FindingKind, detail: impl Into<String>) {
        self.findings.push(Finding::new(path, what, detail.into()));
    }

    /// Takes in what was found of the objects that a commit or a compaction names.
    pub(super) fn take(&mut self, check: SliceCheck) {
        self.files += check.files;
        self.bytes += check.bytes;
        self.findings.extend(check.findings);
    }
}

impl Report for Verification {
    /// The exit code: damage is a matter of the data, what could not be read or removed of the store, and
    /// what only a newer program can read of usage.
    fn exit_code(&self) -> u8 {
        let found = |what: FindingKind| self.findings.iter().any(|of| of.what == what);
        let is_damage = |of: &Finding| !matches!(of.what, FindingKind::Newer | FindingKind::Unread);
        if self.not_cleared > 0 {
            ErrorKind::Storage.exit_code()
        } else if self.findings.iter().any(is_damage) {
            ErrorKind::Data.exit_code()
        } else if found(FindingKind::Unread) {
            ErrorKind::Storage.exit_code()
        } else if found(FindingKind::Newer) {
            ErrorKind::Usage.exit_code()
        } else {
            0
        }
    }

    fn write(&self, o: &mut PlainText) -> std::fmt::Result {
        writeln!(o, "lake        {}", self.lake)?;
        writeln!(
            o,
            "holds       {}, {}, {}, {}{}",
            counted(self.commits, "commit", "commits"),
            counted(self.files, "file", "files"),
            bytes(self.bytes),
            counted(self.rows, "row", "rows"),
            if self.deep { "; checked every row" } else { "" }
        )?;
        let others = self.attempts.saturating_sub(self.attempts_at_files);
        if others > 0 {
            writeln!(
                o,
                "waiting     {} for the next scan to finish",
                counted(others, "attempt", "attempts")
            )?;
        }
        if self.attempts_at_files > 0 {
            writeln!(
                o,
                "waiting     {}: convert the same files again, byte for byte; until then a pattern over activities/ may show their rows",
                counted(
                    self.attempts_at_files,
                    "attempt at a file",
                    "attempts at files"
                )
            )?;
        }
        for slice in &self.unfinished {
            if slice.parse::<CompactionName>().is_ok() {
                writeln!(
                    o,
                    "unfinished  leftovers of compaction {slice}, which is made: the next scan or compact removes them once the compaction is an hour old; until then a pattern over activities/ may show rows twice"
                )?;
                continue;
            }
            let next = if layout::is_converted(slice) {
                "convert"
            } else {
                "scan of it"
            };
            writeln!(
                o,
                "unfinished  leftovers of slice {slice}, which is committed: the next {next} or verify --sweep removes them once the commit is an hour old"
            )?;
        }
        for path in &self.dead_puts {
            writeln!(
                o,
                "unfinished  {path}: its writer has died; verify --sweep removes it"
            )?;
        }
        for path in &self.ignored {
            writeln!(
                o,
                "ignored     {path}: a file of the operating system; no command reads it"
            )?;
        }
        if self.is_table_behind {
            writeln!(o, "table       {}", table::BEHIND)?;
        }
        for what in &self.swept {
            writeln!(o, "removed     {what}")?;
        }
        if self.not_cleared > 0 {
            writeln!(
                o,
                "left        {} that could not be removed",
                counted(self.not_cleared, "object", "objects")
            )?;
        }
        for Finding {
            path,
            what,
            detail,
            remedy,
        } in &self.findings
        {
            writeln!(o, "{:<11} {path}: {detail}", what.as_str())?;
            writeln!(o, "            {remedy}")?;
        }
        match self.findings.len() {
            0 => writeln!(o, "everything matches its commits")?,
            n => writeln!(o, "{}", counted(n as u64, "finding", "findings"))?,
        }
        Ok(())
    }
}
