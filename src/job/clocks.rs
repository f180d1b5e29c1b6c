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
        if self.differ_by_more_than(MOST_MS) {
            return Err(JobError::ClocksDiffer { clocks: self });
        }
        let said = || format!("{}, compared with the service's; set it", self.difference());
        Ok(self.differ_by_more_than(AGREE_MS).then(said))
    }
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
