//! Simulated time, shared by the program and the simulated tenant.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mdca_lake::clock::Clock;

/// A clock whose sleep returns at once and moves time on.
#[derive(Clone)]
pub(crate) struct TestClock {
    start_ms: i64,
    elapsed: Arc<Mutex<Duration>>,
}

impl TestClock {
    pub(crate) fn at(start_ms: i64) -> Self {
        Self {
            start_ms,
            elapsed: Arc::default(),
        }
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.elapsed.lock().unwrap() += by;
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.start_ms + i64::try_from(self.elapsed().as_millis()).unwrap()
    }

    fn elapsed(&self) -> Duration {
        *self.elapsed.lock().unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        // Sleepers that began together wake together: their times do not add up.
        let until = self.elapsed() + duration;
        tokio::task::yield_now().await;
        let mut elapsed = self.elapsed.lock().unwrap();
        *elapsed = until.max(*elapsed);
    }
}
