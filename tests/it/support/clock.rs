//! Simulated time, shared by the program and the simulated tenant.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mdca_lake::clock::Clock;
use tokio::sync::watch;

/// A clock whose sleep returns at once and moves time on.
#[derive(Clone)]
pub(crate) struct TestClock {
    start_ms: i64,
    elapsed: Arc<watch::Sender<Duration>>,
}

impl TestClock {
    pub(crate) fn at(start_ms: i64) -> Self {
        Self {
            start_ms,
            elapsed: Arc::new(watch::channel(Duration::ZERO).0),
        }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.elapsed.send_modify(|elapsed| *elapsed += by);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.start_ms + i64::try_from(self.elapsed().as_millis()).unwrap()
    }

    fn elapsed(&self) -> Duration {
        *self.elapsed.borrow()
    }

    async fn sleep(&self, duration: Duration) {
        // Sleepers that began together wake together: their times do not add up.
        let until = self.elapsed() + duration;
        tokio::task::yield_now().await;
        self.elapsed
            .send_modify(|elapsed| *elapsed = until.max(*elapsed));
        // Those for whom time has passed by itself come before what follows.
        tokio::task::yield_now().await;
    }

    async fn passed(&self, duration: Duration) {
        let until = self.elapsed() + duration;
        let mut elapsed = self.elapsed.subscribe();
        // The sender lives in this clock.
        let _ = elapsed.wait_for(|elapsed| *elapsed >= until).await;
    }
}
