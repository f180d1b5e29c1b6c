//! What a run finds out before it writes: which lake it is, with which settings, and which slices are to
//! be scanned. Found out once, so that nothing is made where the flags are refused.

use std::num::NonZeroU32;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};

use crate::clock::Clock;
use crate::commit::{self, Identity, KnownSlices};
use crate::error::JobError;
use crate::job::clocks::remark_behind;
use crate::job::estimate::{Pace, estimate};
use crate::job::first_request::Asking;
use crate::job::flight::in_flight;
use crate::job::plan::Plan;
use crate::job::report::{Cost, RunReport};
use crate::job::report_parts::NOT_BEGUN;
use crate::job::setup::{JobOptions, Setup};
use crate::store::Store;
use crate::window::{Slice, format_time};

/// A lake that can be scanned into, or made, and the slices that are to be scanned.
pub struct Planned {
    pub(crate) options: JobOptions,
    pub(crate) setup: Setup,
    pub(crate) plan: Plan,
    /// When it was planned, in milliseconds since the epoch.
    pub(crate) now_ms: i64,
    pub(crate) known: KnownSlices,
    is_new: bool,
    /// The store as far as there was one.
    store: Option<Store>,
    /// What is to be said of the service's first answer.
    note: Option<String>,
}

impl Planned {
    /// Whether the lake's host is to change.
    pub(crate) fn changes_host(&self) -> bool {
        self.setup.former_host.is_some()
    }

    /// Plans a run: no request is sent to the service, and nothing is written.
    ///
    /// # Errors
    /// The report of a run that ends here.
    pub fn read<'a>(
        options: &'a JobOptions,
        store: Option<&'a Store>,
        clock: &'a dyn Clock,
    ) -> BoxFuture<'a, Result<Self, Box<RunReport>>> {
        let (now_ms, began) = (clock.now_ms(), clock.elapsed());
        let planned = Self::try_read(options, store, now_ms);
        let planned = planned.map_err(move |error| {
            let report = begin(NOT_BEGUN, store, now_ms);
            ended(
                report,
                &error,
                stored(store, clock.elapsed().saturating_sub(began)),
            )
        });
        planned.boxed()
    }

    async fn try_read(
        options: &JobOptions,
        store: Option<&Store>,
        now_ms: i64,
    ) -> Result<Self, JobError> {
        let found = match store {
            Some(store) => {
                commit::check_writable(store).await?;
                Identity::load_if_lake(store).await?
            }
            None => None,
        };
        let is_new = found.is_none();
        let setup = Setup::resolve(options, found, now_ms)?;
        let known = match store {
            Some(store) => KnownSlices::list(store, now_ms).await?,
            None => KnownSlices::default(),
        };
        Ok(Self {
            plan: setup.plan(options, now_ms, &known),
            options: options.clone(),
            setup,
            now_ms,
            known,
            is_new,
            store: store.cloned(),
            note: None,
        })
    }

    /// Whether there is no lake yet.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// What is worth a warning before the plan is carried out.
    pub fn warnings(&self) -> Vec<String> {
        self.plan.warnings()
    }

    /// The report of a plan that is not carried out; it would be with so many requests a minute.
    pub fn report(&self, per_minute: Option<NonZeroU32>) -> RunReport {
        let mut report = begin(NOT_BEGUN, self.store.as_ref(), self.now_ms);
        self.describe_lake(&mut report);
        self.describe_slices(&mut report);
        let pace = Pace {
            length_ms: self.setup.length.as_ms(),
            in_flight: in_flight(self.options.parallel),
            before: u64::from(self.is_new),
            per_minute,
            now_ms: self.now_ms,
        };
        let estimate = estimate(&self.plan.slices, pace);
        report.result.notes.extend(estimate);
        report.result.notes.extend(self.setup.remark_on_host());
        report.plan = self.plan.slices.iter().map(ToString::to_string).collect();
        report.finish(stored(self.store.as_ref(), Duration::ZERO));
        report.head.planned();
        report
    }

    /// Asks what a new lake asks before it is made, and makes nothing. Of a lake that is there nothing
    /// is asked.
    ///
    /// # Errors
    /// The report of a run that ends here.
    pub fn ask_first(self, asking: Asking<'_>) -> BoxFuture<'_, Result<Self, Box<RunReport>>> {
        self.ask(asking).boxed()
    }

    async fn ask(mut self, asking: Asking<'_>) -> Result<Self, Box<RunReport>> {
        if !self.is_new {
            return Ok(self);
        }
        let (counters, clock) = (asking.counters, asking.clock);
        let began = clock.elapsed();
        match asking.ask(&self.options, &self.setup, &self.plan).await {
            Ok(note) => self.note = note,
            Err(error) => {
                let mut report = begin(NOT_BEGUN, self.store.as_ref(), self.now_ms);
                report.api_host.clone_from(&self.options.wish.api_host);
                let mut cost = stored(self.store.as_ref(), clock.elapsed().saturating_sub(began));
                cost.scanned = counters.counts();
                return Err(ended(report, &error, cost));
            }
        }
        Ok(self)
    }

    /// Makes the lake where it is new. If another run has made it since, the plan is made anew: it may
    /// be another lake than the flags ask for.
    pub(crate) async fn make_lake(
        &mut self,
        store: &Store,
        clock: &dyn Clock,
    ) -> Result<(), JobError> {
        if !self.is_new {
            return Ok(());
        }
        let identity = self.setup.identity.clone().create(store, clock).await?;
        if identity != self.setup.identity {
            self.setup = Setup::resolve(&self.options, Some(identity), self.now_ms)?;
            self.known = KnownSlices::list(store, self.now_ms).await?;
            self.plan = self.setup.plan(&self.options, self.now_ms, &self.known);
        }
        Ok(())
    }

    /// Says in a report which lake it is.
    pub(crate) fn describe_lake(&self, report: &mut RunReport) {
        report.result.notes.extend(self.note.clone());
        self.setup.describe(&self.options, report);
    }

    /// Says in a report which slices are to be scanned.
    pub(crate) fn describe_slices(&self, report: &mut RunReport) {
        let plan = &self.plan;
        report
            .result
            .notes
            .extend(self.setup.remark_before(plan, &self.known));
        let newest = self
            .known
            .committed
            .last()
            .and_then(|name| name.parse::<Slice>().ok());
        let behind = newest.and_then(|slice| remark_behind(slice.until_ms(), self.now_ms));
        report.result.notes.extend(behind);
        report.window_asked = Some(plan.asked.into());
        report.window = Some(plan.covered.into());
        report.slices.planned = plan.slices.len() as u64;
        report.slices.skipped = plan.committed;
        report.slices.unproven_before = plan.unproven;
        report.result.notes.extend(plan.remarks());
        if plan.slices.is_empty() {
            let why = match plan.first_closes_ms {
                Some(closes_ms) => format!(
                    "no slice of the window is closed yet; the first closes at {}",
                    format_time(closes_ms)
                ),
                None if plan.unproven > 0 => {
                    "every closed slice is committed or marked as unproven".to_owned()
                }
                None => "every closed slice is committed".to_owned(),
            };
            report.result.notes.push(format!("nothing to do: {why}"));
        }
    }
}

fn begin(run: &str, store: Option<&Store>, now_ms: i64) -> RunReport {
    let location = store.map_or("(new)", Store::location);
    RunReport::begin(run.to_owned(), location.to_owned(), now_ms)
}

/// What the store and its answers have cost.
fn stored(store: Option<&Store>, elapsed: Duration) -> Cost {
    Cost {
        elapsed_s: elapsed.as_secs_f64(),
        store_retries: store.map(Store::retries).unwrap_or_default(),
        ..Cost::default()
    }
}

/// The report of a run that an error ends before it has begun.
fn ended(mut report: RunReport, error: &JobError, cost: Cost) -> Box<RunReport> {
    report.failed(None, error);
    report.finish(cost);
    Box::new(report)
}
