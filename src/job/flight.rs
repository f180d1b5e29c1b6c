//! What is in flight of a run: slices, and spans of thin ones, oldest first, until all are done or the
//! run has to stop.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{Id, JoinError, JoinSet};
use tracing::{Instrument, debug, error, error_span, info};

use crate::clock::BothClocks;
use crate::commit::{Commit, Outcome};
use crate::error::{ErrorKind, JobError};
use crate::job::beat::Beat;
use crate::job::outage::Outage;
use crate::job::report::RunReport;
use crate::job::slice_task::{SliceDone, SliceEnd, SliceResult, SliceTask, Telling};
use crate::job::span::SpanLength;
use crate::job::span_read::{GivenUp, SpanEnd};
use crate::job::unless_interrupted;
use crate::job::view::View;
use crate::job::waiting::Waiting;
use crate::scan::SpanError;
use crate::text::plain::chain;
use crate::window::Slice;

/// How many slices or spans are in flight, where so many are scanned at once: beside them one less may
/// wait for the store to commit it. With one at a time nothing goes on beside it, so that its steps have
/// one order.
pub(crate) fn in_flight(parallel: usize) -> usize {
    2 * parallel - 1
}

/// Keeps a few slices or spans in flight, oldest first, until all are done or the run has to stop.
pub(crate) async fn scan_all(
    task: SliceTask,
    slices: Vec<Slice>,
    beat: &Beat<'_>,
    report: &mut RunReport,
) -> Result<(), JobError> {
    let world = &task.world;
    let view = View::new(&world.clock, &world.counters, world.client.per_minute());
    world.progress.begin(slices.len() as u64, view);
    let scanning = Arc::new(Semaphore::new(task.options.parallel));
    let in_flight = in_flight(task.options.parallel);
    let (sender, mut told) = mpsc::unbounded_channel();
    let mut flight = Flight {
        length: SpanLength::new(task.setup.length.as_ms()),
        waiting: Waiting::new(slices),
        tell: Telling(sender),
        flying: BTreeMap::new(),
        outage: Outage::default(),
        stop: false,
        not_closed: None,
        task,
        beat,
        report,
    };
    let mut tasks = JoinSet::new();
    loop {
        let may_begin = !flight.stop && tasks.len() < in_flight && !flight.waiting.is_empty();
        tokio::select! {
            biased;
            Some((id, slice, result)) = told.recv(), if !tasks.is_empty() => {
                flight.slice_ended(id, slice, result).await;
            }
            Some(ended) = tasks.join_next_with_id() => {
                // What it told comes first.
                while let Ok((id, slice, result)) = told.try_recv() {
                    flight.slice_ended(id, slice, result).await;
                }
                flight.task_ended(ended).await;
            }
            Ok(turn) = Arc::clone(&scanning).acquire_owned(), if may_begin => {
                flight.begin(turn, &mut tasks);
            }
            else => break,
        }
    }
    if let Some((slice, clocks)) = flight.not_closed {
        flight.report.plan_ended(slice, clocks);
    }
    unless_interrupted(&flight.task.world)
}

/// A task in flight.
struct Flown {
    /// How many slices it began with.
    slices: usize,
    /// Those that it has not told of yet, oldest first.
    left: Vec<Slice>,
}

struct Flight<'a, 'b> {
    task: SliceTask,
    beat: &'a Beat<'b>,
    report: &'a mut RunReport,
    waiting: Waiting,
    length: SpanLength,
    tell: Telling,
    flying: BTreeMap<Id, Flown>,
    outage: Outage,
    stop: bool,
    /// The first slice that is not closed by the service's clock.
    not_closed: Option<(Slice, BothClocks)>,
}

impl Flight<'_, '_> {
    /// Begins the next slice or span.
    fn begin(&mut self, turn: OwnedSemaphorePermit, tasks: &mut JoinSet<Option<SpanEnd>>) {
        self.stop = *self.task.world.interrupted.borrow();
        if self.stop {
            return;
        }
        let now_ms = self.task.world.clock.now_ms();
        let slices = self.waiting.next(self.length.slices(), now_ms);
        let (task, tell, left) = (self.task.clone(), self.tell.clone(), slices.clone());
        let handle = if let [slice] = slices[..] {
            let work = async move {
                tell.of(slice, task.scan_and_commit(slice, turn).await);
                None
            };
            tasks.spawn(work.instrument(error_span!("slice", %slice)))
        } else {
            let span = Slice::spanning(slices[0], slices[slices.len() - 1]);
            let work = async move { Some(task.scan_span(&slices, turn, tell).await) };
            tasks.spawn(work.instrument(error_span!("span", %span)))
        };
        let slices = left.len();
        self.flying.insert(handle.id(), Flown { slices, left });
        self.say();
    }

    fn say(&mut self) {
        let in_flight = self.flying.values().flat_map(|flown| &flown.left);
        self.beat.tell(self.report, in_flight);
    }

    /// A task told how a slice ended.
    async fn slice_ended(&mut self, id: Id, slice: Slice, result: SliceResult) {
        if let Some(flown) = self.flying.get_mut(&id) {
            flown.left.retain(|left| *left != slice);
            if flown.slices == 1
                && let Ok(Some(SliceDone {
                    fill: Some(fill), ..
                })) = &result
            {
                self.length.read(1, *fill);
            }
        }
        self.take_note(slice, result).await;
        self.say();
    }

    /// A task has ended: what it has not told of goes back, if it is to be scanned.
    async fn task_ended(&mut self, ended: Result<(Id, Option<SpanEnd>), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(Flown { slices, left }) = self.flying.remove(&id) else {
            return;
        };
        let counters = &self.task.world.counters;
        match ended {
            Ok((_, None)) => {}
            Ok((_, Some(SpanEnd::Parted))) => self.waiting.put_back(&left, false),
            Ok((_, Some(SpanEnd::Read(fill)))) => {
                counters.count(|counts| counts.spans += 1);
                self.length.read(slices, fill);
            }
            Ok((_, Some(SpanEnd::GivenUp(GivenUp::Job(error))))) if error.stops_the_run() => {
                self.first_failed(&left, error).await;
            }
            Ok((_, Some(SpanEnd::GivenUp(reason)))) => {
                counters.count(|counts| counts.spans_given_up += 1);
                let is_too_long = matches!(reason, GivenUp::Scan(SpanError::TooLong));
                info!(first = %left[0], slices, reason = %chain(&reason), "a span is given up");
                if is_too_long {
                    // Half of it may still be worth one request: alone its slices would cost one each.
                    self.length.overflowed(slices);
                } else {
                    self.length.given_up(slices);
                }
                self.waiting.put_back(&left, !is_too_long);
            }
            Err(source) => {
                if let Some((&slice, others)) = left.split_first() {
                    self.waiting.put_back(others, true);
                    self.first_failed(&[slice], JobError::Died { slice, source })
                        .await;
                }
            }
        }
        self.say();
    }

    /// Takes note of an error of the first of these.
    async fn first_failed(&mut self, slices: &[Slice], error: JobError) {
        if let Some(first) = slices.first() {
            self.take_note(*first, Err(error)).await;
        }
    }

    /// Takes note of how a slice ended.
    async fn take_note(&mut self, slice: Slice, result: SliceResult) {
        if self.outage.is_suspected(result.as_ref().err())
            && !self.stop
            && let Err(error) = self.task.check_service().await
        {
            self.stop = true;
            error!(error = %chain(&error), "the run stops");
            self.report.failed(None, &error);
        }
        match result {
            Ok(None) => {
                debug!(%slice, "another run has committed it meanwhile");
                self.report.slices.taken += 1;
            }
            Ok(Some(done)) => self.take_done(slice, done),
            Err(JobError::NotClosed { slice, clocks }) => {
                self.waiting.end_at(slice);
                if self.not_closed.is_none_or(|(first, _)| slice < first) {
                    self.not_closed = Some((slice, clocks));
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.stop = true;
                return;
            }
            Err(error) => self.take_failure(slice, &error),
        }
        self.task
            .world
            .progress
            .slice_done(self.report.result.counts.rows);
    }

    fn take_done(&mut self, slice: Slice, done: SliceDone) {
        let report = &mut *self.report;
        report.oddities.merge(done.oddities);
        match done.end {
            SliceEnd::Settled(Outcome::Committed(made)) => {
                report.slices.committed += 1;
                report.slices.late += u64::from(made.commit.late);
                report.slices.with_holes += u64::from(!made.commit.holes.is_empty());
                report.result.committed(&made);
                let Commit { counts, files, .. } = &made.commit;
                info!(%slice, rows = counts.rows, files = files.len(), "committed");
            }
            SliceEnd::Settled(Outcome::Lost) => report.slices.lost_attempts += 1,
            SliceEnd::Unproven => {
                report.slices.unproven += 1;
                info!(%slice, "empty, and asked for too late to prove anything");
            }
        }
        for flaw in &done.flaws {
            if report.failed(None, flaw) {
                error!(%slice, error = %chain(flaw), "the slice is committed with a flaw");
            }
        }
    }

    fn take_failure(&mut self, slice: Slice, error: &JobError) {
        self.stop |= error.stops_the_run();
        if self.report.failed(Some(&slice), error) {
            error!(%slice, error = %chain(error), "slice failed");
        } else {
            debug!(%slice, error = %chain(error), "slice failed, like others before");
        }
    }
}
