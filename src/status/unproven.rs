//! What was asked for so late that nobody knows what there was.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use super::lake_status::UnprovenStatus;
use crate::commit::{CommitError, Unproven};
use crate::error::JobError;
use crate::store::Store;
use crate::window::{Slice, TimeWindow, format_time};

/// Markers read at once.
const MARKER_READS: usize = 32;

/// What was asked for too late.
pub(super) struct Unprovens {
    /// Slices with a marker, and what it says. One that cannot be read marks its slice all the same:
    /// `verify` names it.
    marked: BTreeMap<String, Option<Unproven>>,
    /// Slices that are committed, and were asked for late.
    pub(super) late: BTreeSet<String>,
}

impl Unprovens {
    pub(super) async fn of_markers(
        store: &Store,
        slices: &BTreeSet<String>,
    ) -> Result<Self, JobError> {
        let load = |slice: String| async move {
            match Unproven::load(store, &slice).await {
                Ok(marker) => Ok((slice, marker)),
                Err(CommitError::Damaged { .. }) => Ok((slice, None)),
                Err(error) => Err(JobError::from(error)),
            }
        };
        let markers = stream::iter(slices.iter().cloned()).map(load);
        Ok(Self {
            marked: markers.buffered(MARKER_READS).try_collect().await?,
            late: BTreeSet::new(),
        })
    }

    /// Joins those that touch.
    pub(super) fn joined(&self) -> Vec<UnprovenStatus> {
        let windows = joined(self.marked.keys().chain(&self.late));
        windows
            .into_iter()
            .map(|window| self.status(window))
            .collect()
    }

    fn status(&self, window: TimeWindow) -> UnprovenStatus {
        let within = |name: &str| {
            let slice = name.parse::<Slice>();
            slice.is_ok_and(|slice| slice.lies_in(window))
        };
        let marked: Vec<_> = self
            .marked
            .iter()
            .filter(|(name, _)| within(name))
            .collect();
        let committed = self.late.iter().filter(|name| within(name)).count();
        let markers = || marked.iter().filter_map(|(_, marker)| marker.as_ref());
        UnprovenStatus {
            window: window.into(),
            slices: (marked.len() + committed) as u64,
            committed: committed as u64,
            asked: markers()
                .map(|marker| marker.asked_ms)
                .max()
                .map(format_time),
            reason: markers().find_map(|marker| marker.last_failure.clone()),
        }
    }
}

/// The time of slices, joined where they touch.
pub(super) fn joined<'a>(names: impl Iterator<Item = &'a String>) -> Vec<TimeWindow> {
    Slice::joined(names).iter().map(Slice::window).collect()
}
