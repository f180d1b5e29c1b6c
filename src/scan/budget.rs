//! The tenant's request budget: 30 a minute for all its clients (page "Introduction").
//!
//! A moving window, not a token bucket: a short scan may burst, and no 60 seconds of a process ever
//! hold more. A bucket would allow twice that.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::counters::ScanCounters;
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
        while let Some(wait) = self.try_take().await {
            self.counters.waited(wait);
            self.clock.sleep(wait).await;
        }
    }

    /// Takes a place in the window, or says how long there is none.
    async fn try_take(&self) -> Option<Duration> {
        let mut state = self.state.lock().await;
        let now = self.clock.elapsed();
        if now < state.paused_until {
            return Some(state.paused_until.saturating_sub(now));
        }
        let per_minute = self.per_minute?;
        while state.sent.front().is_some_and(|sent| *sent + WINDOW <= now) {
            state.sent.pop_front();
        }
        match state.sent.front() {
            Some(oldest) if state.sent.len() >= per_minute.get() as usize => {
                Some((*oldest + WINDOW).saturating_sub(now))
            }
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
