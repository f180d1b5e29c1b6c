//! What a person sees of a scan at work, line by line: slices and the time left, records, requests.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::scan::{ScanCounters, Waiting};
use crate::text::units::{counted, number};

/// The time over which requests are held against the budget.
const MINUTE: Duration = Duration::from_secs(60);
/// What a place in the budget is worth, in seconds, where there are so many a minute.
const MINUTE_S: f64 = 60.5;
/// A shorter wait is not worth a word.
const WORTH_SAYING: Duration = Duration::from_secs(1);

/// The numbers of a scan, as they are when the view is drawn.
pub(crate) struct View {
    clock: Arc<dyn Clock>,
    counters: Arc<ScanCounters>,
    per_minute: Option<NonZeroU32>,
    began: Duration,
    /// How many requests had been sent, at the times when the view was drawn in the last minute.
    drawn: Mutex<VecDeque<(Duration, u64)>>,
}

impl View {
    pub(crate) fn new(
        clock: &Arc<dyn Clock>,
        counters: &Arc<ScanCounters>,
        per_minute: Option<NonZeroU32>,
    ) -> Self {
        Self {
            clock: Arc::clone(clock),
            counters: Arc::clone(counters),
            per_minute,
            began: clock.elapsed(),
            drawn: Mutex::default(),
        }
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Slices that are done, of all, and how long the rest takes.
    pub(crate) fn slices(&self, done: u64, all: u64) -> String {
        let elapsed = self.clock.elapsed().saturating_sub(self.began);
        let pace = Pace {
            done,
            all,
            requests: self.counters.counts().requests,
            elapsed_s: elapsed.as_secs_f64(),
            per_minute: self.per_minute,
            used: self.used(),
        };
        let left = pace
            .left_s()
            .map(|left_s| format!(", about {} to go", rounded(left_s)));
        format!(
            "{} of {}, {}{}",
            number(done),
            counted(all, "slice", "slices"),
            humantime::format_duration(Duration::from_secs(elapsed.as_secs())),
            left.unwrap_or_default()
        )
    }

    /// Pages and records that came.
    pub(crate) fn records(&self, _: u64, _: u64) -> String {
        let (pages, records) = self.counters.pages_and_records();
        let elapsed_s = self.clock.elapsed().saturating_sub(self.began).as_secs();
        format!(
            "{}, {} ({}/s)",
            counted(pages, "page", "pages"),
            counted(records, "record", "records"),
            number(records.checked_div(elapsed_s).unwrap_or(records))
        )
    }

    /// Requests, how much of the budget they are, and what is waited for.
    pub(crate) fn requests(&self, _: u64, _: u64) -> String {
        let requests = counted(self.counters.counts().requests, "request", "requests");
        let used = self.used();
        let used = match self.per_minute {
            Some(most) => format!("{used} of {most} in the last minute"),
            None => format!("{used} in the last minute"),
        };
        let now = self.clock.elapsed();
        let waits = self.counters.waiting().and_then(|Waiting { what, until }| {
            let wait = until.checked_sub(now)?;
            let is_long = wait >= WORTH_SAYING;
            is_long.then(|| format!(", waits {} s {what}", wait.as_secs()))
        });
        format!("{requests}, {used}{}", waits.unwrap_or_default())
    }

    /// Requests of the last minute.
    fn used(&self) -> u64 {
        let (now, sent) = (self.clock.elapsed(), self.counters.counts().requests);
        let mut drawn = self.drawn.lock();
        if drawn.is_empty() {
            drawn.push_back((self.began, 0));
        }
        drawn.push_back((now, sent));
        // The last one from before the minute stays: it says how many there were when it began.
        while drawn.get(1).is_some_and(|(at, _)| *at + MINUTE <= now) {
            drawn.pop_front();
        }
        let before = drawn.front().map_or(0, |(_, sent)| *sent);
        sent.saturating_sub(before)
    }
}

/// How a scan gets on.
#[derive(Debug, Clone, Copy)]
struct Pace {
    done: u64,
    all: u64,
    requests: u64,
    elapsed_s: f64,
    per_minute: Option<NonZeroU32>,
    used: u64,
}

impl Pace {
    /// The seconds that the rest takes, reckoned from the requests that a slice took so far: as many as the
    /// budget has left come at the pace of those before, the others as the budget lets them.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a guess for people, never negative"
    )]
    fn left_s(self) -> Option<u64> {
        let Self {
            done,
            all,
            requests,
            elapsed_s,
            per_minute,
            used,
        } = self;
        if done == 0 || done >= all || requests == 0 {
            return None;
        }
        let left = requests as f64 * (all - done) as f64 / done as f64;
        let each_s = elapsed_s / requests as f64;
        let Some(most) = per_minute.map(|most| f64::from(most.get())) else {
            return Some((left * each_s).ceil() as u64);
        };
        let at_once = (most - used as f64).clamp(0.0, left);
        let due_s = MINUTE_S / most;
        Some((at_once * each_s.min(due_s) + (left - at_once) * due_s).ceil() as u64)
    }
}

/// A time without what nobody can tell: no seconds beyond ten minutes.
fn rounded(seconds: u64) -> humantime::FormattedDuration {
    let seconds = if seconds > 600 {
        seconds / 60 * 60
    } else {
        seconds
    };
    humantime::format_duration(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_s(done: u64, requests: u64, elapsed_s: f64, per_minute: u32, used: u64) -> Option<u64> {
        let pace = Pace {
            done,
            all: 100,
            requests,
            elapsed_s,
            per_minute: NonZeroU32::new(per_minute),
            used,
        };
        pace.left_s()
    }

    #[test]
    fn the_time_left_is_that_of_the_requests_left() {
        assert_eq!(left_s(0, 5, 9.0, 30, 5), None);
        assert_eq!(left_s(100, 100, 9.0, 30, 5), None);
        // No budget: at the pace so far.
        assert_eq!(left_s(10, 20, 10.0, 0, 20), Some(90));
        // The budget is used up: 180 requests at 30 a minute, however fast those before were.
        assert_eq!(left_s(10, 20, 1.0, 30, 30), Some(363));
        // Ten are left of it, and come at once.
        assert_eq!(left_s(10, 20, 1.0, 30, 20), Some(344));
        // All of the rest fits.
        assert_eq!(left_s(90, 9, 9.0, 30, 9), Some(1));
        // The service is slower than the budget.
        assert_eq!(left_s(50, 10, 600.0, 30, 1), Some(21));
    }
}
