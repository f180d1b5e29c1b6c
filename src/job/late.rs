//! When an answer proves nothing: the service forgets, and says nothing of it.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::window::Slice;

const DAY_MS: i64 = 24 * 60 * 60_000;
/// Days back that the service is sure to answer for. It keeps activities for 180 days, but clients
/// got nothing older than 30 through this endpoint, and no error either (issue 108 of the PowerShell
/// module MCAS); a day less, since nobody knows by which clock, or how punctually, it forgets.
pub(crate) const PROVEN_DAYS: i64 = 29;
/// What passes between two answers without loss of what the first one proves.
const MEANWHILE_MS: i64 = 60 * 60_000;

/// Whether a slice begins further back than the service is sure to answer for.
pub(crate) fn begins_late(slice: &Slice, now_ms: i64) -> bool {
    slice.from_ms() < now_ms.saturating_sub(PROVEN_DAYS * DAY_MS)
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
