//! Which slices a run scans. Pure: "now" and the commits are arguments.

use crate::commit::KnownSlices;
use crate::job::late::{PROVEN_DAYS, begins_late};
use crate::text::units::counted;
use crate::window::{Slice, SliceLength, TimeWindow};

/// How long the service keeps activities (page "Data security and privacy practices").
const KEPT_DAYS: i64 = 180;
const DAY_MS: i64 = 24 * 60 * 60_000;

/// What the user asked for, and what a run does about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The window as asked for.
    pub asked: TimeWindow,
    /// The window in whole closed slices; empty where nothing is closed.
    pub covered: TimeWindow,
    /// Slices without a commit, oldest first.
    pub slices: Vec<Slice>,
    /// Slices of the window that have one.
    pub committed: u64,
    /// Slices of the window that are marked as unproven, and not asked for again.
    pub unproven: u64,
    /// Slices of this plan that begin further back than the service is sure to answer for.
    pub forgotten: u64,
    /// Those of them that begin further back than the service keeps anything.
    pub gone: u64,
    /// When the first slice of the window closes, where none has; in milliseconds since the epoch.
    pub first_closes_ms: Option<i64>,
    /// The end of the last closed slice, in the window or not; in milliseconds since the epoch.
    pub closed_until_ms: i64,
}

impl Plan {
    /// Plans a window: widened outward to whole slices, its end cut back to the last closed one.
    pub fn new(
        asked: TimeWindow,
        length: SliceLength,
        now_ms: i64,
        settle_ms: i64,
        known: &KnownSlices,
    ) -> Self {
        let wide = length.widen(asked);
        let closed_ms = length.floor(now_ms.saturating_sub(settle_ms));
        let covered = TimeWindow {
            from_ms: wide.from_ms,
            until_ms: wide.until_ms.min(closed_ms).max(wide.from_ms),
        };
        let (mut committed, mut unproven) = (0, 0);
        let mut slices = Vec::new();
        for slice in length.slices(covered) {
            let name = slice.to_string();
            if known.committed.contains(&name) {
                committed += 1;
            } else if known.unproven.contains(&name) {
                unproven += 1;
            } else {
                slices.push(slice);
            }
        }
        let first_ends_ms = wide.from_ms.saturating_add(length.as_ms());
        let first_closes_ms = covered
            .is_empty()
            .then(|| first_ends_ms.saturating_add(settle_ms));
        let forgotten = slices.partition_point(|slice| begins_late(slice, now_ms));
        let gone = slices.partition_point(|slice| slice.from_ms() < now_ms - KEPT_DAYS * DAY_MS);
        Self {
            asked,
            covered,
            slices,
            committed,
            unproven,
            forgotten: forgotten as u64,
            gone: gone as u64,
            first_closes_ms,
            closed_until_ms: closed_ms,
        }
    }

    /// What the user should know of the plan.
    pub fn remarks(&self) -> Vec<String> {
        self.change().into_iter().chain(self.warnings()).collect()
    }

    /// What the user should know of it beforehand: time that may be asked for in vain.
    pub fn warnings(&self) -> Vec<String> {
        let gone = (self.gone > 0).then(|| {
            format!(
                "{} more than {KEPT_DAYS} days ago: the service keeps activities for {KEPT_DAYS} days",
                counted(self.gone, "slice begins", "slices begin")
            )
        });
        let forgotten = (self.forgotten > 0).then(|| {
            format!(
                "{} more than {PROVEN_DAYS} days ago, where the service may return nothing and no error; empty ones are marked as unproven instead of committed",
                counted(self.forgotten, "slice begins", "slices begin")
            )
        });
        forgotten.into_iter().chain(gone).collect()
    }

    /// How the window was changed, if it was.
    fn change(&self) -> Option<String> {
        if self.asked == self.covered {
            return None;
        }
        let what = match (
            self.covered.from_ms < self.asked.from_ms
                || self.covered.until_ms > self.asked.until_ms,
            self.covered.until_ms < self.asked.until_ms,
        ) {
            (true, true) => "widened to whole slices and cut back to the last closed one",
            (true, false) => "widened to whole slices",
            _ => "cut back to the last closed slice",
        };
        Some(format!("the window was {what}"))
    }

    /// Whether a slice lies in the covered window.
    pub fn covers(&self, slice: &Slice) -> bool {
        slice.lies_in(self.covered)
    }
}

/// The time up to which every slice since `begin_ms` has a commit or is marked as unproven, in
/// milliseconds since the epoch.
pub fn watermark(begin_ms: i64, length: SliceLength, known: &KnownSlices) -> i64 {
    let from_ms = length.floor(begin_ms);
    let window = TimeWindow {
        from_ms,
        until_ms: crate::window::MAX_TIME_MS,
    };
    let tiled = length
        .slices(window)
        .take_while(|slice| known.contains(&slice.to_string()));
    tiled.last().map_or(from_ms, |slice| slice.until_ms())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::window::parse_time;

    fn at(time: &str) -> i64 {
        parse_time(time, 0).unwrap()
    }

    fn plan(from: &str, until: &str, now: &str, committed: &[&str]) -> Plan {
        let asked = TimeWindow {
            from_ms: at(from),
            until_ms: at(until),
        };
        let hour = SliceLength::try_new(Duration::from_secs(3_600)).unwrap();
        Plan::new(asked, hour, at(now), 15 * 60_000, &known(committed))
    }

    fn known(committed: &[&str]) -> KnownSlices {
        KnownSlices {
            committed: committed.iter().map(|name| (*name).to_owned()).collect(),
            ..KnownSlices::default()
        }
    }

    fn names(plan: &Plan) -> Vec<String> {
        plan.slices.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn edges_are_widened_and_the_end_is_cut_back_to_what_is_closed() {
        let plan = plan(
            "2026-11-20T10:30:00Z",
            "2026-11-20T13:10:00Z",
            "2026-11-20T13:14:59Z",
            &[],
        );
        assert_eq!(
            names(&plan),
            [
                "20261120T1000Z-20261120T1100Z",
                "20261120T1100Z-20261120T1200Z"
            ]
        );
        assert_eq!(
            plan.remarks(),
            ["the window was widened to whole slices and cut back to the last closed one"]
        );
    }

    #[test]
    fn slices_that_the_service_may_have_forgotten_are_counted() {
        let plan = plan(
            "2026-10-21T22:00:00Z",
            "2026-10-22T02:00:00Z",
            "2026-11-20",
            &[],
        );
        assert_eq!((plan.slices.len(), plan.forgotten), (4, 2));
        assert!(plan.remarks()[0].starts_with("2 slices begin more than 29 days ago"));
    }

    #[test]
    fn slices_older_than_what_the_service_keeps_are_warned_of() {
        let window = ("2026-05-23T22:00:00Z", "2026-05-24T02:00:00Z");
        let plan = plan(window.0, window.1, "2026-11-20", &[]);
        assert_eq!((plan.forgotten, plan.gone), (4, 2));
        let warnings = plan.warnings();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[1].starts_with("2 slices begin more than 180 days ago"));
    }

    #[test]
    fn a_slice_is_closed_when_its_end_has_settled() {
        let window = ("2026-11-20T12:00:00Z", "2026-11-20T13:00:00Z");
        assert!(
            plan(window.0, window.1, "2026-11-20T13:14:59.999Z", &[])
                .slices
                .is_empty()
        );
        assert_eq!(
            plan(window.0, window.1, "2026-11-20T13:15:00Z", &[])
                .slices
                .len(),
            1
        );
    }

    #[test]
    fn a_window_without_a_closed_slice_says_when_the_first_one_closes() {
        let now = "2026-11-20T10:40:00Z";
        let first = |from| plan(from, now, now, &[]).first_closes_ms;
        assert_eq!(
            first("2026-11-20T10:20:00Z"),
            Some(at("2026-11-20T11:15:00Z"))
        );
        assert_eq!(first("2026-11-20T09:20:00Z"), None);
    }

    #[test]
    fn committed_slices_are_left_out_and_gaps_are_filled() {
        let committed = [
            "20261120T1000Z-20261120T1100Z",
            "20261120T1200Z-20261120T1300Z",
        ];
        let plan = plan(
            "2026-11-20T10:00:00Z",
            "2026-11-20T14:00:00Z",
            "2026-11-21",
            &committed,
        );
        assert_eq!(
            names(&plan),
            [
                "20261120T1100Z-20261120T1200Z",
                "20261120T1300Z-20261120T1400Z"
            ]
        );
        assert_eq!(plan.committed, 2);
        let hour = SliceLength::try_new(Duration::from_secs(3_600)).unwrap();
        let committed = known(&committed);
        assert_eq!(
            watermark(at("2026-11-20T10:20:00Z"), hour, &committed),
            at("2026-11-20T11:00:00Z")
        );
        assert_eq!(
            watermark(at("2026-11-19"), hour, &committed),
            at("2026-11-19")
        );
    }

    #[test]
    fn nothing_closed_is_an_empty_plan() {
        let plan = plan(
            "2026-11-20T10:00:00Z",
            "2026-11-20T11:00:00Z",
            "2026-11-20T10:30:00Z",
            &[],
        );
        assert!(plan.slices.is_empty() && plan.covered.is_empty());
    }
}
