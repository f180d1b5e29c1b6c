//! Whether this machine's clock and the service's agree. Neither is trusted alone.

use crate::clock::BothClocks;
use crate::error::JobError;
use crate::job::report::RunReport;
use crate::window::{Slice, format_time};

/// Clocks that differ by no more than this agree: a `Date` says whole seconds, and answers take a
/// while.
const AGREE_MS: i64 = 5 * 60_000;
/// A lake's begin is not set while the clocks differ by more than this.
const MOST_MS: i64 = 60 * 60_000;

impl BothClocks {
    /// What is to be said of the clocks of a run that makes a lake; nothing where they agree.
    ///
    /// # Errors
    /// They differ so much that the lake's begin would be a guess.
    pub(crate) fn check_for_new_lake(self) -> Result<Option<String>, JobError> {
        if !self.agree_roughly() {
            return Err(JobError::ClocksDiffer { clocks: self });
        }
        let said = || format!("{}, compared with the service's; set it", self.difference());
        Ok(self.differ_by_more_than(AGREE_MS).then(said))
    }

    /// Whether they are near enough to each other for what is never taken back.
    pub(crate) fn agree_roughly(self) -> bool {
        !self.differ_by_more_than(MOST_MS)
    }
}

/// What is to be said of this machine's clock where a slice that ends at `until_ms` is committed: none is
/// before it has ended.
pub(crate) fn remark_behind(until_ms: i64, now_ms: i64) -> Option<String> {
    (until_ms > now_ms.saturating_add(AGREE_MS)).then(|| {
        format!(
            "a slice that ends at {} is committed, and by this machine's clock it is {} now: the clock is behind, so set it",
            format_time(until_ms),
            format_time(now_ms)
        )
    })
}

impl RunReport {
    /// Ends the plan at a slice that is not closed by the service's clock. Nothing is lost by it: a
    /// later run scans the slice. It is a failure only where the clocks are what is wrong.
    pub(crate) fn plan_ended(&mut self, slice: Slice, clocks: BothClocks) {
        if let Some(window) = &mut self.window {
            window.until = format_time(slice.from_ms());
        }
        if clocks.differ_by_more_than(AGREE_MS) {
            self.failed(Some(&slice), &JobError::NotClosed { slice, clocks });
        } else {
            self.result.notes.push(format!(
                "by the service's clock it was {} when slice {slice} was scanned, so the slice is not closed; the next run takes it and what follows",
                format_time(clocks.service_ms)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(ahead_ms: i64) -> BothClocks {
        BothClocks {
            local_ms: 1_795_082_400_000 + ahead_ms,
            service_ms: 1_795_082_400_000,
        }
    }

    #[test]
    fn a_commit_of_the_future_says_that_the_clock_is_behind() {
        let now_ms = 1_795_082_400_000;
        assert_eq!(remark_behind(now_ms + AGREE_MS, now_ms), None);
        let said = remark_behind(now_ms + MOST_MS, now_ms).unwrap();
        assert!(
            said.contains("2026-11-19T11:00:00Z") && said.contains("behind"),
            "{said}"
        );
    }

    #[test]
    fn a_new_lake_wants_clocks_that_agree() {
        for ahead_ms in [0, AGREE_MS, -AGREE_MS] {
            assert!(clocks(ahead_ms).check_for_new_lake().unwrap().is_none());
        }
        for (ahead_ms, said) in [
            (AGREE_MS + 1, "5m ahead"),
            (-MOST_MS, "1h behind"),
            (MOST_MS, "1h ahead"),
        ] {
            let note = clocks(ahead_ms).check_for_new_lake().unwrap().unwrap();
            assert!(note.contains(said), "{note}");
        }
        for ahead_ms in [MOST_MS + 1, -MOST_MS - 1, i64::MIN, i64::MAX / 2] {
            assert!(clocks(ahead_ms).check_for_new_lake().is_err(), "{ahead_ms}");
        }
    }
}
