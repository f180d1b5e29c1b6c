//! Time as an argument: the one door to the wall clock and to timers.
//!
//! Tests put a simulated clock in its place, whose sleep returns at once and moves time on.

use std::time::Duration;

use async_trait::async_trait;

/// Tells the time and waits.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock, in milliseconds since the epoch. May jump.
    fn now_ms(&self) -> i64;

    /// Time since the clock was made. Never goes back, whatever happens to the wall clock.
    fn elapsed(&self) -> Duration;

    /// Returns after `duration`.
    async fn sleep(&self, duration: Duration);

    /// Returns once `duration` has passed by itself, which nothing waits for: for what is done beside
    /// the work from time to time. Simulated time moves by sleeps alone, never by this.
    async fn passed(&self, duration: Duration) {
        self.sleep(duration).await;
    }
}

/// The clock of the machine.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// A clock whose [`Clock::elapsed`] starts at zero now.
    #[expect(
        clippy::new_without_default,
        reason = "a default that reads the time would surprise"
    )]
    pub fn new() -> Self {
        Self {
            started: std::time::Instant::now(),
        }
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    fn now_ms(&self) -> i64 {
        let now = std::time::SystemTime::now();
        match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            // A clock before 1970: nothing is closed, so nothing is scanned, which is said.
            Err(_) => 0,
        }
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The time on both clocks at once, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BothClocks {
    /// This machine's.
    pub local_ms: i64,
    /// The `Date` of an answer that came just now.
    pub service_ms: i64,
}

impl BothClocks {
    /// How far apart they are, as a sentence's part.
    pub fn difference(self) -> String {
        let ahead_ms = self.local_ms.saturating_sub(self.service_ms);
        // Whole minutes: a `Date` says seconds, and answers take a while.
        let minutes = (ahead_ms.unsigned_abs().saturating_add(30_000)) / 60_000;
        let by = Duration::from_secs(minutes * 60);
        format!(
            "this machine's clock is {} {}",
            humantime::format_duration(by),
            if ahead_ms < 0 { "behind" } else { "ahead" }
        )
    }

    /// Whether they are further apart than so many milliseconds.
    pub(crate) fn differ_by_more_than(self, most_ms: i64) -> bool {
        self.local_ms.abs_diff(self.service_ms) > most_ms.unsigned_abs()
    }
}
