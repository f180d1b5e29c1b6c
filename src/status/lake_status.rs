//! The figures of a lake, and whether it is behind what was asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use humantime::format_duration;
use serde::Serialize;
use serde_json::Value;

use crate::commit::{Commit, CommitError, CommittedHole, KnownFailure, LakeSource};
use crate::error::{ErrorKind, JobError, UsageError};
use crate::job::clocks::remark_behind;
use crate::job::report::ReportWindow;
use crate::job::runs::Begun;
use crate::text::plain::chain;
use crate::text::units::counted;
use crate::window::{TimeWindow, parse_time};

/// Rows and bytes of one day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DayStatus {
    /// Rows of the day.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// Time without a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GapStatus {
    /// The time, in whole slices.
    #[serde(flatten)]
    pub window: ReportWindow,
    /// Slices of it; 0 where it is a hole in a committed slice.
    pub slices: u64,
    /// The last failure known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<KnownFailure>,
}

impl GapStatus {
    /// What of a committed slice the service did not give.
    pub(super) fn hole(commit: &Commit, hole: &CommittedHole) -> Self {
        let window = TimeWindow {
            from_ms: hole.from_ms,
            until_ms: hole.until_ms,
        };
        Self {
            window: window.into(),
            slices: 0,
            reason: Some(KnownFailure {
                run: commit.run.clone(),
                slice: Some(commit.slice.clone()),
                error: hole.reason.clone(),
            }),
        }
    }
}

/// Time that was asked for too late: the service may have forgotten all or some of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UnprovenStatus {
    /// The time, in whole slices.
    #[serde(flatten)]
    pub window: ReportWindow,
    /// Slices of it.
    pub slices: u64,
    /// Those that are committed, with rows.
    pub committed: u64,
    /// When the others were asked for, by the service's clock: the last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// Why it was not scanned earlier, as far as is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<KnownFailure>,
}

/// An object of the lake's own that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LeftOut {
    /// `newer` where a newer program wrote it, else `damaged`.
    #[cfg_attr(test, schemars(extend("enum" = ["newer", "damaged"])))]
    pub what: &'static str,
    /// Which, and why not.
    pub error: String,
    /// What to do about it.
    pub advice: Option<&'static str>,
    #[serde(skip)]
    pub(super) exit: ErrorKind,
}

impl From<CommitError> for LeftOut {
    fn from(error: CommitError) -> Self {
        Self {
            what: if error.is_newer() { "newer" } else { "damaged" },
            error: chain(&error),
            advice: error.advice(),
            exit: JobError::from(error).kind(),
        }
    }
}

/// How the Delta table of a lake stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TableStatus {
    /// Its last version.
    pub version: u64,
    /// Whether it takes in every commit and compaction.
    pub is_current: bool,
    #[serde(skip)]
    pub(super) is_of_others: bool,
    /// Commits and compactions that it takes in and that are not there any more, at least.
    pub missing: u64,
}

/// What a lake holds.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LakeStatus {
    /// The version of this object.
    pub version: u32,
    /// The lake.
    pub lake: String,
    /// Where its records come from: scans of the service, or files.
    pub source: LakeSource,
    /// The service's host; empty in a lake of files.
    pub api_host: String,
    /// The lake's clock.
    pub clock: String,
    /// Where the lake begins; of a lake of files, when it was made.
    pub begin: String,
    /// The time up to which every slice since the begin is committed or unproven; none in a lake of
    /// files, which says nothing of time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<String>,
    /// Committed slices; in a lake of files each is one of them.
    pub slices: u64,
    /// The committed slices, joined where they touch, but for those asked for late.
    pub coverage: Vec<ReportWindow>,
    /// What is not committed since the lake's begin, or since the first commit where that is older.
    pub gaps: Vec<GapStatus>,
    /// Slices that runs had begun when they died, and that have no commit yet: how often.
    pub begun_in_vain: Begun,
    /// What of the lake is behind what was asked for.
    pub behind: Vec<String>,
    /// What was asked for so late that nobody knows what there was: neither covered nor a gap.
    pub unproven: Vec<UnprovenStatus>,
    /// The lake as a Delta table; none before the first run that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<TableStatus>,
    /// Rows in all.
    pub rows: u64,
    /// Bytes in all.
    pub bytes: u64,
    /// Commits and other objects that could not be read, so that the figures lack them.
    pub left_out: Vec<LeftOut>,
    /// By day of the activity.
    pub days: BTreeMap<String, DayStatus>,
    /// The last runs, newest first, as they were reported.
    pub runs: Vec<Value>,
}

impl LakeStatus {
    /// Says whether the lake is behind: its newest committed slice ended longer than `max_age` ago, or
    /// it has more gaps than `max_gaps`.
    ///
    /// # Errors
    /// The lake is of files, so nothing tells what it lacks.
    pub fn judge(
        &mut self,
        max_age: Option<Duration>,
        max_gaps: Option<u64>,
        now_ms: i64,
    ) -> Result<(), UsageError> {
        if self.source == LakeSource::Convert && (max_age.is_some() || max_gaps.is_some()) {
            return Err(UsageError::new(
                "cannot use --max-age and --max-gaps: the lake was made by convert, which says nothing of what it lacks",
            )
            .advise("leave them out"));
        }
        let last = self.coverage.last();
        let newest = last.map_or(&self.begin, |last| &last.until);
        let newest_ms = parse_time(newest, now_ms).unwrap_or(0);
        let age = Duration::from_millis(u64::try_from(now_ms - newest_ms).unwrap_or(0));
        if let Some(max_age) = max_age.filter(|max_age| age > *max_age) {
            let what = if last.is_some() {
                "the newest committed slice ended"
            } else {
                "no slice is committed, and the lake begins"
            };
            self.behind.push(format!(
                "{what} {} ago, at {newest}; --max-age is {}",
                format_duration(Duration::from_secs(age.as_secs())),
                format_duration(max_age)
            ));
        }
        // By a clock that is behind no lake is.
        let is_asked = last.is_some() && (max_age.is_some() || max_gaps.is_some());
        self.behind
            .extend(remark_behind(newest_ms, now_ms).filter(|_| is_asked));
        let gaps = self.gaps.len() as u64;
        if let Some(max_gaps) = max_gaps.filter(|max_gaps| gaps > *max_gaps) {
            let slices: u64 = self.gaps.iter().map(|gap| gap.slices).sum();
            self.behind.push(format!(
                "there are more gaps than --max-gaps {max_gaps}: {} ({})",
                counted(gaps, "gap", "gaps"),
                counted(slices, "slice", "slices")
            ));
        }
        Ok(())
    }
}
