//! When an answer proves nothing: the service forgets, and says nothing of it.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::scan::ClockField;
use crate::window::Slice;
use crate::write::FileEntry;

const HOUR_MS: i64 = 60 * 60_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Days back that the service is sure to answer for. It keeps activities for 180 days, but clients
/// got nothing older than 30 through this endpoint, and no error either (issue 108 of the PowerShell
/// module MCAS); a day less, since nobody knows by which clock, or how punctually, it forgets.
pub(crate) const PROVEN_DAYS: i64 = 29;
/// The beginning of 2010: no record of the service was created before it.
const FIRST_CREATED_MS: i64 = 1_262_304_000_000;
/// What passes between two answers without loss of what the first one proves.
const MEANWHILE_MS: i64 = HOUR_MS;

/// Whether a slice begins further back than the service is sure to answer for.
pub(crate) fn begins_late(slice: &Slice, now_ms: i64) -> bool {
    slice.from_ms() < now_ms.saturating_sub(PROVEN_DAYS * DAY_MS)
}

/// Days back at which the service may begin to have forgotten: what clients saw, and what it says of itself.
const EDGES_DAYS: [i64; 2] = [30, 180];

/// Whether the service may have forgotten a beginning from the one slice to the other and still have what
/// follows: it answers a range that begins too early with nothing, whatever else is in it.
fn meets_an_edge(first: &Slice, last: &Slice, now_ms: i64) -> bool {
    let age_ms = |slice: &Slice| now_ms.saturating_sub(slice.from_ms());
    let (oldest_ms, newest_ms) = (age_ms(first), age_ms(last));
    EDGES_DAYS
        .iter()
        .any(|days| newest_ms <= (days + 1) * DAY_MS && days * DAY_MS - HOUR_MS <= oldest_ms)
}

/// Whether slices that follow each other may be asked for in one range: none goes from what the service may
/// have forgotten to what it has not, and near where it forgets none is longer than an hour.
pub(crate) fn may_be_one_range(first: &Slice, last: &Slice, now_ms: i64) -> bool {
    begins_late(first, now_ms) == begins_late(last, now_ms)
        && (!meets_an_edge(first, last, now_ms) || last.until_ms() - first.from_ms() <= HOUR_MS)
}

/// The oldest records that a run was given, by the lake's clock: so far back the service answers.
#[derive(Debug)]
pub(crate) struct OldestRecord {
    /// The earliest time, in milliseconds since the epoch.
    time_ms: AtomicI64,
    /// The greatest age at the time of the answer. A run may be asleep for days, in which the service forgets.
    age_ms: AtomicI64,
}

impl Default for OldestRecord {
    fn default() -> Self {
        Self {
            time_ms: AtomicI64::new(i64::MAX),
            age_ms: AtomicI64::new(i64::MIN),
        }
    }
}

impl OldestRecord {
    /// Takes note of a record's time, and of that of the answer with it, in milliseconds since the epoch.
    pub(crate) fn note(&self, time_ms: i64, answered_ms: i64) {
        let age_ms = answered_ms.saturating_sub(time_ms);
        self.time_ms.fetch_min(time_ms, Ordering::Relaxed);
        self.age_ms.fetch_max(age_ms, Ordering::Relaxed);
    }

    /// Whether an answer of this time says all that there was in a slice.
    pub(crate) fn proves(&self, slice: &Slice, answered_ms: i64) -> bool {
        let older_ms = slice.from_ms().saturating_sub(DAY_MS);
        let age_ms = answered_ms.saturating_sub(older_ms);
        let given_ms = self.age_ms.load(Ordering::Relaxed);
        !begins_late(slice, answered_ms)
            || self.time_ms.load(Ordering::Relaxed) <= older_ms
                && age_ms <= given_ms.saturating_add(MEANWHILE_MS)
    }
}

/// A time at which a record of a file was there, in milliseconds since the epoch. What happened long ago and
/// was saved lately proves nothing: by `date` it has to be that old on both clocks.
pub(crate) fn oldest_ms(file: &FileEntry, clock: ClockField) -> Option<i64> {
    let (created_min_ms, created_max_ms) = (file.created_min_ms?, file.created_max_ms?);
    // A time before there was a service, as one in seconds is, says nothing, and hides which is the next.
    if created_min_ms < FIRST_CREATED_MS {
        return None;
    }
    Some(match clock {
        ClockField::Created => created_min_ms,
        // That which was saved first happened by the file's end; that which happened first was saved by then.
        ClockField::Date => i64::min(
            created_min_ms.max(file.timestamp_max_ms),
            file.timestamp_min_ms.max(created_max_ms),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_where_the_service_forgets_ranges_are_of_an_hour() {
        let slice: Slice = "20261119T1000Z-20261119T1100Z".parse().unwrap();
        let next: Slice = "20261119T1100Z-20261119T1200Z".parse().unwrap();
        let may_be_one = |age_ms: i64| may_be_one_range(&slice, &next, slice.from_ms() + age_ms);
        for days in EDGES_DAYS {
            let edge_ms = days * DAY_MS;
            assert!(may_be_one(edge_ms - HOUR_MS - 1));
            assert!(!may_be_one(edge_ms - HOUR_MS));
            assert!(!may_be_one(edge_ms + DAY_MS + HOUR_MS));
            assert!(may_be_one(edge_ms + DAY_MS + HOUR_MS + 1));
            assert!(may_be_one_range(&slice, &slice, slice.from_ms() + edge_ms));
        }
        assert!(!may_be_one(PROVEN_DAYS * DAY_MS + 1));
    }

    /// Slices longer than the time in which the service forgets: one begins before it, the next after.
    #[test]
    fn no_range_leads_over_where_the_service_forgets() {
        let slice: Slice = "20261118T0000Z-20261119T1600Z".parse().unwrap();
        let next: Slice = "20261119T1600Z-20261121T0800Z".parse().unwrap();
        for days in EDGES_DAYS {
            let now_ms = slice.from_ms() + (days + 1) * DAY_MS + HOUR_MS;
            for between in [&slice, &next] {
                assert!(!meets_an_edge(between, between, now_ms));
            }
            assert!(!may_be_one_range(&slice, &next, now_ms));
        }
    }

    #[test]
    fn a_late_answer_proves_nothing_until_something_older_came() {
        let slice: Slice = "20261119T1000Z-20261119T1100Z".parse().unwrap();
        let late_ms = slice.from_ms() + PROVEN_DAYS * DAY_MS + 1;
        let oldest = OldestRecord::default();
        assert!(oldest.proves(&slice, late_ms - 1));
        assert!(!oldest.proves(&slice, late_ms));
        oldest.note(slice.from_ms() - DAY_MS + 1, late_ms);
        assert!(!oldest.proves(&slice, late_ms));
        oldest.note(slice.from_ms() - DAY_MS, late_ms);
        oldest.note(slice.from_ms(), late_ms);
        assert!(oldest.proves(&slice, late_ms));
        // Meanwhile the service may have forgotten.
        assert!(oldest.proves(&slice, late_ms + MEANWHILE_MS));
        assert!(!oldest.proves(&slice, late_ms + MEANWHILE_MS + 1));
    }

    #[test]
    fn a_record_that_was_created_in_seconds_says_nothing_of_time() {
        let file = |created_ms: [i64; 2], timestamp_ms: [i64; 2]| FileEntry {
            path: String::new(),
            rows: 2,
            bytes: 1,
            checksum: String::new(),
            timestamp_min_ms: timestamp_ms[0],
            timestamp_max_ms: timestamp_ms[1],
            created_min_ms: Some(created_ms[0]),
            created_max_ms: Some(created_ms[1]),
        };
        let [old_ms, new_ms] = [1_790_000_000_000, 1_795_000_000_000];
        let clocks = [ClockField::Created, ClockField::Date];
        for clock in clocks {
            let sound = file([old_ms, new_ms], [old_ms, new_ms]);
            assert!(oldest_ms(&sound, clock).is_some());
            for odd_ms in [1, old_ms / 1_000, -5] {
                for created_max_ms in [odd_ms, new_ms] {
                    let odd = file([odd_ms, created_max_ms], [old_ms, new_ms]);
                    assert_eq!(oldest_ms(&odd, clock), None, "{odd_ms} by {clock}");
                }
            }
        }
    }
}
