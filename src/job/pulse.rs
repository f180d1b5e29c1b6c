//! The report of a run that asks no service, while it is at work: put at its start, rewritten every
//! minute.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use parking_lot::Mutex;
use tracing::debug;

use crate::error::JobError;
use crate::job::beat::beside;
use crate::job::context::StoreWorld;
use crate::job::report_parts::{RunHead, Running};
use crate::layout;
use crate::text::plain::chain;
use crate::text::report::Report;

/// A report that grows while its run is at work.
pub(crate) trait GrowingReport: Report + Clone {
    /// Which run it is of.
    fn head(&mut self) -> &mut RunHead;

    /// Copies what a running report says.
    fn running(&mut self) -> Self {
        self.clone()
    }

    /// Takes note of how long the run took so far.
    fn spent(&mut self, elapsed_s: f64);
}

/// Puts the reports of a run while it is at work.
pub(crate) struct Pulse<'a, R> {
    world: &'a StoreWorld,
    started: Duration,
    /// How the run stood when it last said so; none before it has begun.
    last: Mutex<Option<R>>,
    has_begun: AtomicBool,
}

impl<'a, R: GrowingReport> Pulse<'a, R> {
    pub(crate) fn new(world: &'a StoreWorld) -> Self {
        Self {
            world,
            started: world.clock.elapsed(),
            last: Mutex::default(),
            has_begun: AtomicBool::new(false),
        }
    }

    /// How long the run took so far, in seconds.
    pub(crate) fn elapsed_s(&self) -> f64 {
        let elapsed = self.world.clock.elapsed();
        elapsed.saturating_sub(self.started).as_secs_f64()
    }

    /// Whether the run has tried to put a report.
    pub(crate) fn has_tried(&self) -> bool {
        self.last.lock().is_some()
    }

    /// Whether the store took the first report.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Puts the first report.
    ///
    /// # Errors
    /// The store does not take it.
    pub(crate) async fn begin(&self, report: &mut R) -> Result<(), JobError> {
        self.tell(report, []);
        if let Some((path, bytes)) = self.now() {
            self.world.store.create(&path, bytes).await?;
            self.has_begun.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Takes note of how the run stands, and of what it is at work on.
    pub(crate) fn tell(&self, report: &mut R, in_flight: impl IntoIterator<Item = String>) {
        let mut report = report.running();
        report.head().running = Some(Running {
            process: self.world.machine.own().cloned(),
            in_flight: in_flight.into_iter().collect(),
            ..Running::default()
        });
        *self.last.lock() = Some(report);
    }

    /// Does the work, and rewrites the report beside it.
    pub(crate) async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let tick = |is_minute| self.rewrite(is_minute);
        beside(self.world.clock.as_ref(), work, tick).await
    }

    async fn rewrite(&self, is_minute: bool) {
        if is_minute {
            self.world.progress.minute_of_bytes(self.elapsed_s());
        }
        if let Some((path, bytes)) = self.now()
            && let Err(error) = self.world.store.put(&path, bytes).await
        {
            debug!(error = %chain(&error), "the running report cannot be rewritten");
        }
    }

    fn now(&self) -> Option<(Path, Bytes)> {
        let mut report = self.last.lock().clone()?;
        report.spent(self.elapsed_s());
        let path = layout::run(&report.head().run);
        Some((path, Bytes::from(report.to_json())))
    }
}
