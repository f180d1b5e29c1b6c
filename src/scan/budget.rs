//! The tenant's request budget: 30 a minute for all its clients (page "Introduction").
//!
//! A moving window, not a token bucket: a short scan may burst, and no 60 seconds of a process ever
//! hold more. A bucket would allow twice that.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::counters::{ScanCounters, Waiting};
use crate::clock::Clock;

/// The window, with a guard: the service counts arrivals, and a request may travel a little faster
/// than one that was sent a minute before it.
const WINDOW: Duration = Duration::from_millis(60_500);

/// Lets requests go when the budget allows. Shared by all slices of a process.
pub struct Budget {
    per_minute: Option<NonZeroU32>,
    clock: Arc<dyn Clock>,
    counters: Arc<ScanCounters>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the requests of the last window were sent, by the clock's elapsed time.
    sent: VecDeque<Duration>,
    /// No request before this.
    paused_until: Duration,
}

impl Budget {
    /// A budget of so many requests a minute; `None` is no bound.
    pub fn new(
        per_minute: Option<NonZeroU32>,
        clock: Arc<dyn Clock>,
        counters: Arc<ScanCounters>,
    ) -> Self {
        Self {
            per_minute,
            clock,
            counters,
            state: Mutex::default(),
        }
    }

    /// Returns when a request may be sent; it counts from then on.
    pub(super) async fn take(&self) {
        while let Some((what, wait)) = self.try_take().await {
            let until = self.clock.elapsed() + wait;
            self.counters.waits(Waiting { what, until });
            self.counters.waited(wait);
            self.clock.sleep(wait).await;
        }
    }

    /// How many requests a minute there may be; none is no bound.
    pub(super) fn per_minute(&self) -> Option<NonZeroU32> {
        self.per_minute
    }

    /// Takes a place in the window, or says for what and how long there is none.
    async fn try_take(&self) -> Option<(&'static str, Duration)> {
        let mut state = self.state.lock().await;
        let now = self.clock.elapsed();
        if now < state.paused_until {
            let wait = state.paused_until.saturating_sub(now);
            return Some(("as the service asked", wait));
        }
        let per_minute = self.per_minute?;
        while state.sent.front().is_some_and(|sent| *sent + WINDOW <= now) {
            state.sent.pop_front();
        }
        match state.sent.front() {
            Some(oldest) if state.sent.len() >= per_minute.get() as usize => Some((
                "for the request budget",
                (*oldest + WINDOW).saturating_sub(now),
            )),
            _ => {
                state.sent.push_back(now);
                None
            }
        }
    }

    /// Lets no request go for so long: the service said that there were too many.
    pub(super) async fn pause(&self, duration: Duration) {
        let until = self.clock.elapsed() + duration;
        let mut state = self.state.lock().await;
        state.paused_until = state.paused_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as SyncMutex;

    use async_trait::async_trait;
    use futures::future::join_all;
    use proptest::prelude::*;

    use super::*;

    /// A clock whose sleep returns at once and moves time on.
    #[derive(Default)]
    struct TestClock(SyncMutex<Duration>);

    #[async_trait]
    impl Clock for TestClock {
        fn now_ms(&self) -> i64 {
            0
        }

        fn elapsed(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        async fn sleep(&self, duration: Duration) {
            let until = self.elapsed() + duration;
            tokio::task::yield_now().await;
            let mut now = self.0.lock().unwrap();
            *now = until.max(*now);
        }
    }

    fn budget(per_minute: u32) -> (Budget, Arc<TestClock>, Arc<ScanCounters>) {
        let clock = Arc::new(TestClock::default());
        let counters = Arc::new(ScanCounters::default());
        let budget = Budget::new(
            NonZeroU32::new(per_minute),
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::clone(&counters),
        );
        (budget, clock, counters)
    }

    /// When requests of several slices go that each pause so long before the next one.
    fn sent(per_minute: u32, slices: &[Vec<u64>]) -> Vec<Duration> {
        let (budget, clock, _) = budget(per_minute);
        let sent = SyncMutex::new(Vec::new());
        let (budget, clock, log) = (&budget, &clock, &sent);
        let slices = slices.iter().map(|pauses_ms| async move {
            for pause_ms in pauses_ms {
                clock.sleep(Duration::from_millis(*pause_ms)).await;
                budget.take().await;
                log.lock().unwrap().push(clock.elapsed());
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(join_all(slices));
        sent.into_inner().unwrap()
    }

    #[test]
    fn a_short_scan_may_burst_and_a_long_one_waits_for_the_window() {
        let sent = sent(30, &[vec![0; 61]]);
        let at = |index: usize| sent[index].as_millis();
        assert_eq!((at(0), at(29)), (0, 0));
        assert_eq!((at(30), at(59)), (60_500, 60_500));
        assert_eq!(at(60), 121_000);
    }

    #[tokio::test]
    async fn no_bound_is_no_wait() {
        let (budget, clock, counters) = budget(0);
        for _ in 0..1000 {
            budget.take().await;
        }
        assert_eq!(clock.elapsed(), Duration::ZERO);
        budget.pause(Duration::from_secs(7)).await;
        budget.pause(Duration::from_secs(3)).await;
        budget.take().await;
        assert_eq!(clock.elapsed(), Duration::from_secs(7));
        assert_eq!(counters.counts().budget_wait_ms, 7_000);
    }

    proptest! {
        #[test]
        fn no_minute_holds_more_than_the_budget(
            per_minute in 1..8_u32,
            slices in prop::collection::vec(prop::collection::vec(0..30_000_u64, 0..30), 1..5),
        ) {
            let sent = sent(per_minute, &slices);
            prop_assert_eq!(sent.len(), slices.iter().map(Vec::len).sum::<usize>());
            for pair in sent.windows(per_minute as usize + 1) {
                prop_assert!(pair[per_minute as usize] >= pair[0] + WINDOW, "{:?}", pair);
            }
        }
    }
}
