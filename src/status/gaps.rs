//! The time that is not covered, and why.

use super::lake_status::GapStatus;
use crate::commit::KnownFailure;
use crate::error::JobError;
use crate::job::runs::{self, Begun, EXPLAINING_RUNS, READS, Reports, RunView};
use crate::store::Store;
use crate::window::{SliceLength, TimeWindow};

/// A gap, and why it is one as far as is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) window: TimeWindow,
    reason: Option<KnownFailure>,
}

impl Gap {
    pub(super) fn status(self, length: SliceLength) -> GapStatus {
        GapStatus {
            window: self.window.into(),
            slices: length.slices(self.window).count() as u64,
            reason: self.reason,
        }
    }
}

/// What is not covered from the lake's begin, or the oldest commit where that is older, to the last
/// commit, or to the end of what the last runs were to scan where that is later.
pub(super) fn gaps(coverage: &[TimeWindow], mut from_ms: i64, due_ms: Option<i64>) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let end = due_ms.map(|due_ms| TimeWindow {
        from_ms: due_ms,
        until_ms: due_ms,
    });
    for covered in coverage.iter().copied().chain(end) {
        if covered.from_ms > from_ms {
            let window = TimeWindow {
                from_ms,
                until_ms: covered.from_ms,
            };
            gaps.push(Gap {
                window,
                reason: None,
            });
        }
        from_ms = from_ms.max(covered.until_ms);
    }
    gaps
}

/// The end of what the last runs were to scan. Where none of them was to scan anything, and has ended, more are
/// added until one was, or no more runs are looked at: what a run is at work on is not a gap yet.
pub(super) async fn find_due(
    runs: &mut Vec<RunView>,
    store: &Store,
    reports: &mut Reports<'_>,
) -> Result<Option<i64>, JobError> {
    loop {
        let ended = runs.iter().filter(|run| !run.is_at_work());
        let due_ms = ended.filter_map(RunView::until_ms).max();
        if due_ms.is_some() || runs.len() >= EXPLAINING_RUNS {
            return Ok(due_ms);
        }
        let earlier = reports.take(store, READS).await?;
        if earlier.is_empty() {
            return Ok(None);
        }
        runs.extend(earlier);
    }
}

/// Goes back through the runs until every gap has its reason, or no more runs are looked at.
pub(super) async fn explain(
    gaps: &mut [Gap],
    store: &Store,
    reports: &mut Reports<'_>,
    shown: &[RunView],
    begun: &mut Begun,
) -> Result<(), JobError> {
    let find = |gaps: &mut [Gap], runs: &[RunView]| {
        for gap in gaps.iter_mut().filter(|gap| gap.reason.is_none()) {
            gap.reason = runs.iter().find_map(|run| run.reason_for(gap.window));
        }
    };
    find(gaps, shown);
    let mut looked_at = shown.len();
    while looked_at < EXPLAINING_RUNS && gaps.iter().any(|gap| gap.reason.is_none()) {
        let runs = reports.take(store, READS).await?;
        if runs.is_empty() {
            break;
        }
        find(gaps, &runs);
        for (slice, times) in runs::begun_in_vain(&runs) {
            *begun.entry(slice).or_default() += times;
        }
        looked_at += runs.len();
    }
    Ok(())
}
