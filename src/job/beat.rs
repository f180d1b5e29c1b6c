//! The report of a run that is at work: put at its start and written anew every minute, so that
//! others see that the run lives, and what it had in flight if it dies.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::warn;

use crate::clock::Clock;
use crate::error::JobError;
use crate::job::context::World;
use crate::job::report::{Cost, RunReport, RunResult, Running};
use crate::layout;
use crate::store::StoreError;
use crate::text::plain::chain;
use crate::text::report::Report;
use crate::window::Slice;

/// How often a running report is written anew.
pub(crate) const EVERY: Duration = Duration::from_secs(60);
/// When it is for the first time: most runs have ended by then.
const FIRST: Duration = Duration::from_secs(10);

/// Puts the reports of a run while it is at work.
pub(crate) struct Beat<'a> {
    world: &'a World,
    began: Duration,
    state: Mutex<State>,
    /// One report is put after the other.
    putting: tokio::sync::Mutex<()>,
}

struct State {
    /// How the run stood when it last said so; none before it has a plan.
    report: Option<RunReport>,
    running: Running,
    /// Slices that were begun and have not ended; a span of short ones has thousands.
    in_flight: Vec<Slice>,
    /// What moves with every page and every commit, and when it last did.
    mark: (u64, u64),
    moved: Duration,
    /// Whether the first report was put.
    has_begun: bool,
    /// When the report was last put.
    put: Duration,
    /// Why it could not be written anew, where it could not.
    refused: Option<String>,
}

impl<'a> Beat<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let now = world.clock.elapsed();
        Self {
            world,
            began: now,
            state: Mutex::new(State {
                report: None,
                running: Running {
                    process: world.machine.own().cloned(),
                    ..Running::default()
                },
                in_flight: Vec::new(),
                mark: (0, 0),
                moved: now,
                has_begun: false,
                put: now,
                refused: None,
            }),
            putting: tokio::sync::Mutex::default(),
        }
    }

    /// Puts the first report. A late answer to it can replace no later one: it is created.
    ///
    /// # Errors
    /// The store does not take it.
    pub(crate) async fn begin(&self, report: &mut RunReport) -> Result<(), JobError> {
        self.tell(report, []);
        let Some(bytes) = self.now() else {
            return Ok(());
        };
        let path = layout::run(&report.head.run);
        self.world.store.create(&path, bytes).await?;
        let mut state = self.state.lock();
        state.has_begun = true;
        state.put = self.world.clock.elapsed();
        Ok(())
    }

    /// Whether the store took the first report.
    pub(crate) fn has_begun(&self) -> bool {
        self.state.lock().has_begun
    }

    /// Takes note of how the run stands.
    pub(crate) fn tell<'s>(
        &self,
        report: &mut RunReport,
        in_flight: impl IntoIterator<Item = &'s Slice>,
    ) {
        let mut state = self.state.lock();
        state.report = Some(RunResult::without_commits(report, |report| {
            &mut report.result
        }));
        state.in_flight.clear();
        state.in_flight.extend(in_flight);
    }

    /// The store's own time of the first report, in milliseconds since the epoch, where the last one
    /// bears this time.
    pub(crate) fn first_report_ms(&self, last_ms: i64) -> i64 {
        let mut state = self.state.lock();
        *state.running.first_report_ms.get_or_insert(last_ms)
    }

    /// How long ago the report was last put.
    pub(crate) fn age(&self) -> Duration {
        self.world
            .clock
            .elapsed()
            .saturating_sub(self.state.lock().put)
    }

    /// Writes the report anew. Where that is not possible it is warned of once: the run goes on.
    pub(crate) async fn rewrite(&self) {
        let _one_after_the_other = self.putting.lock().await;
        let (Some(bytes), Some(run)) = (self.now(), self.run()) else {
            return;
        };
        match self.world.store.put(&layout::run(&run), bytes).await {
            Ok(()) => self.state.lock().put = self.world.clock.elapsed(),
            Err(error) => self.refuse(&error),
        }
    }

    fn refuse(&self, error: &StoreError) {
        let why = chain(error);
        if self.state.lock().refused.replace(why.clone()).is_none() {
            warn!(error = %why, "cannot rewrite the running report: after three minutes other runs take this one for dead, and share its budget");
        }
    }

    /// What the user should know where the report could not be written anew.
    pub(crate) fn refused(&self) -> Option<String> {
        let why = self.state.lock().refused.clone()?;
        Some(format!(
            "the report could not be rewritten during the run, so other runs could not see it: {why}"
        ))
    }

    fn run(&self) -> Option<String> {
        Some(self.state.lock().report.as_ref()?.head.run.clone())
    }

    /// The report of this moment.
    fn now(&self) -> Option<Bytes> {
        let mut state = self.state.lock();
        let mut report = state.report.clone()?;
        let scanned = self.world.counters.counts();
        let now = self.world.clock.elapsed();
        let mark = (scanned.bytes_in, report.slices.committed);
        if mark != state.mark {
            state.mark = mark;
            state.moved = now;
        }
        state.running.idle_s = now.saturating_sub(state.moved).as_secs();
        report.head.running = Some(Running {
            in_flight: state.in_flight.iter().map(ToString::to_string).collect(),
            ..state.running.clone()
        });
        report.spent(Cost {
            scanned,
            store_retries: self.world.store.retries(),
            elapsed_s: now.saturating_sub(self.began).as_secs_f64(),
            peak_memory_bytes: None,
        });
        Some(Bytes::from(report.to_json()))
    }

    /// Does the work, and rewrites the report beside it. One that is on its way when the work ends is
    /// waited for: it must not come after the last one.
    pub(crate) async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let tick = |is_minute| async move {
            if is_minute {
                let requests = self.world.counters.counts().requests;
                self.world.progress.minute(requests);
            }
            self.rewrite().await;
        };
        beside(self.world.clock.as_ref(), work, tick).await
    }
}

/// Does the work, and something else beside it: after ten seconds and after each minute, of which it is
/// told. What is being done when the work ends is waited for.
pub(crate) async fn beside<T, Ticked: Future<Output = ()>>(
    clock: &dyn Clock,
    work: impl Future<Output = T>,
    tick: impl Fn(bool) -> Ticked,
) -> T {
    let (end, mut ended) = oneshot::channel::<()>();
    let working = async {
        let done = work.await;
        drop(end);
        done
    };
    let beating = async {
        for beat in 0_u64.. {
            let pause = match beat {
                0 => FIRST,
                1 => EVERY.saturating_sub(FIRST),
                _ => EVERY,
            };
            tokio::select! {
                biased;
                _ = &mut ended => return,
                () = clock.passed(pause) => {}
            }
            tick(beat > 0).await;
        }
    };
    join(working, beating).await.0
}
