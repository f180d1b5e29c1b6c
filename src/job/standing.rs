//! How far a lake has come, in a few numbers to watch.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::commit::KnownSlices;
use crate::window::{Slice, SliceLength};

/// What of the time since its begin a lake has not, by the names of its commits and markers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Standing {
    /// Seconds from the watermark to the end of the run.
    pub lag_s: u64,
    /// Times without a commit or a marker, up to the end of the window or the newest commit.
    pub gaps: u64,
    /// Seconds in them.
    pub gap_s: u64,
    /// Seconds that are marked as unproven.
    pub unproven_s: u64,
}

impl Standing {
    /// Of a lake that begins at `begin_ms` and was to be scanned until `due_ms`; its watermark and now
    /// are given. All in milliseconds since the epoch.
    pub fn of(
        known: &KnownSlices,
        length: SliceLength,
        begin_ms: i64,
        due_ms: i64,
        [watermark_ms, now_ms]: [i64; 2],
    ) -> Self {
        let named = known.committed.iter().chain(&known.unproven);
        let done: BTreeSet<Slice> = named.filter_map(|name| name.parse().ok()).collect();
        let mut reached_ms = length.floor(begin_ms);
        // What was asked for in vain before the lake's begin opens no gap up to there.
        let mut committed = known.committed.iter().filter_map(|name| name.parse().ok());
        if let Some(first) = committed.next().map(|first: Slice| first.from_ms()) {
            reached_ms = reached_ms.min(first);
        }
        let (mut gaps, mut gap_ms) = (0, 0);
        let due = (due_ms, due_ms);
        let times = done.iter().map(|slice| (slice.from_ms(), slice.until_ms()));
        for (from_ms, until_ms) in times.chain([due]) {
            if from_ms > reached_ms {
                gaps += 1;
                gap_ms += from_ms - reached_ms;
            }
            reached_ms = reached_ms.max(until_ms);
        }
        Self {
            lag_s: seconds(now_ms - watermark_ms),
            gaps,
            gap_s: seconds(gap_ms),
            unproven_s: seconds(length.as_ms()) * known.unproven.len() as u64,
        }
    }
}

/// Whole seconds; 0 where the time is negative.
fn seconds(ms: i64) -> u64 {
    u64::try_from(ms / 1_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::window::parse_time;

    fn at(time: &str) -> i64 {
        parse_time(time, 0).unwrap()
    }

    fn names(hours: &[u32]) -> BTreeSet<String> {
        let name = |hour: &u32| format!("20261120T{hour:02}00Z-20261120T{:02}00Z", hour + 1);
        hours.iter().map(name).collect()
    }

    #[test]
    fn gaps_lie_between_the_begin_the_commits_and_the_end_of_the_window() {
        let hour = SliceLength::try_new(Duration::from_secs(3_600)).unwrap();
        let known = KnownSlices {
            committed: names(&[3, 4, 9]),
            unproven: names(&[5]),
            ..KnownSlices::default()
        };
        let standing = |begin: &str, due: &str| {
            let times = [at("2026-11-20T06:00:00Z"), at("2026-11-20T12:00:01Z")];
            let standing = Standing::of(&known, hour, at(begin), at(due), times);
            assert_eq!((standing.lag_s, standing.unproven_s), (21_601, 3_600));
            (standing.gaps, standing.gap_s / 3_600)
        };
        let (two, eleven) = ("2026-11-20T02:10:00Z", "2026-11-20T11:00:00Z");
        assert_eq!(standing(two, eleven), (3, 5));
        assert_eq!(standing(two, two), (2, 4));
        let in_vain = KnownSlices {
            committed: names(&[9]),
            unproven: names(&[1]),
            ..KnownSlices::default()
        };
        // What was asked for in vain before the begin opens no gap up to there.
        let of_markers = Standing::of(
            &in_vain,
            hour,
            at("2026-11-20T09:00:00Z"),
            at(eleven),
            [0, 0],
        );
        assert_eq!((of_markers.gaps, of_markers.gap_s), (1, 3_600));
        // Older than the begin, as an explicit window may be.
        assert_eq!(standing("2026-11-20T04:00:00Z", eleven), (2, 4));
    }
}
