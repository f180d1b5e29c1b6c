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

/// How old the oldest record was that a run was given, when it was given: so far back the service answers.
/// A run may be asleep for days, in which the service forgets; so it is an age, and no time.
#[derive(Debug)]
pub(crate) struct OldestRecord(AtomicI64);

impl Default for OldestRecord {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl OldestRecord {
    /// Takes note of a record's time, and of that of the answer with it, in milliseconds since the epoch.
    pub(crate) fn note(&self, time_ms: i64, answered_ms: i64) {
        let age_ms = answered_ms.saturating_sub(time_ms);
        self.0.fetch_max(age_ms, Ordering::Relaxed);
    }

    /// Whether an answer of this time says all that there was in a slice.
    pub(crate) fn proves(&self, slice: &Slice, answered_ms: i64) -> bool {
        let age_ms = answered_ms.saturating_sub(slice.from_ms());
        let proven_ms = self.0.load(Ordering::Relaxed).saturating_sub(DAY_MS);
        !begins_late(slice, answered_ms) || age_ms <= proven_ms.saturating_add(MEANWHILE_MS)
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
        oldest.note(slice.from_ms() - DAY_MS + MEANWHILE_MS + 1, late_ms);
        assert!(!oldest.proves(&slice, late_ms));
        oldest.note(slice.from_ms() - DAY_MS, late_ms);
        oldest.note(slice.from_ms(), late_ms);
        assert!(oldest.proves(&slice, late_ms));
        // Meanwhile the service may have forgotten.
        assert!(oldest.proves(&slice, late_ms + MEANWHILE_MS));
        assert!(!oldest.proves(&slice, late_ms + MEANWHILE_MS + 1));
    }
}
