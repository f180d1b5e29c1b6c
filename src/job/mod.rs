//! The main job: the plan, then slice by slice from the service to the commit.
//!
//! [`run`] always returns a report: a failed run still says what it committed. A slice that fails
//! does not stop the others; refused credentials, a failing store and a signal do.

mod beat;
pub(crate) mod clocks;
pub mod compact;
pub mod connect;
mod context;
pub mod convert;
mod estimate;
pub mod export;
pub mod failures;
mod first_request;
mod flight;
mod holes;
pub(crate) mod host_change;
mod late;
pub mod memory;
pub mod metrics;
mod outage;
pub mod plan;
mod planned;
pub mod process;
pub mod progress;
mod pulse;
pub mod report;
mod report_parts;
pub(crate) mod runs;
mod screen;
mod setup;
mod slice_attempt;
mod slice_memory;
mod slice_task;
mod span;
mod span_read;
mod standing;
pub(crate) mod tenant;
#[cfg(test)]
mod tests;
mod turns;
mod view;
mod waiting;

pub use self::context::{Ids, StoreWorld, World};
pub use self::first_request::Asking;
pub use self::planned::Planned;
pub use self::setup::{JobOptions, LakeWish, OnReject};
pub use self::turns::IfRunning;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tracing::{Instrument, error, error_span};

use self::beat::Beat;
use self::context::{keepers, refresh_table, slice_of_missing_commit};
use self::flight::scan_all;
use self::memory::PageTurns;
use self::plan::{Plan, watermark};
use self::report::{Cost, RunReport};
use self::runs::Reports;
use self::setup::Setup;
use self::slice_memory::SliceMemory;
use self::slice_task::SliceTask;
use self::standing::Standing;
use self::tenant::LakeTenant;
use self::turns::{Runs, Turn, Turns};
use crate::commit::{self, Cleaner, Identity, KnownSlices, SliceCounts};
use crate::error::{ErrorKind, JobError};
use crate::layout;
use crate::scan::ClockField;
use crate::store::Store;
use crate::text::plain::chain;
use crate::text::report::Report;
use crate::text::units::number;
use crate::window::{Slice, format_time};

/// Runs whose reports are looked at for slices that they died over.
const LAST_RUNS: usize = 10;

/// Scans and commits every closed slice of the plan that has no commit.
///
/// The future is boxed, as those of the other commands are: its code is made once, in this library, and
/// not again in each program that waits for it.
pub fn run(planned: Planned, world: World) -> BoxFuture<'static, RunReport> {
    scan(planned, world).boxed()
}

async fn scan(planned: Planned, mut world: World) -> RunReport {
    if planned.options.single_writer {
        world.store = world.store.for_single_writer();
    }
    let started = world.clock.elapsed();
    let run = world.ids.run_at(planned.now_ms);
    let location = world.store.location().to_owned();
    let mut report = RunReport::begin(run.clone(), location, planned.now_ms);
    let world = Arc::new(world);
    let beat = Beat::new(&world);
    // Whatever is logged below says of which run it is.
    let span = error_span!("run", id = run);
    let work = Box::pin(run_slices(planned, &world, &beat, &mut report).instrument(span));
    if let Err(error) = beat.beside(work).await {
        error!(error = %chain(&error), "the run stops");
        report.failed(None, &error);
    }
    report.result.notes.extend(beat.refused());
    world.progress.finish();
    let elapsed = world.clock.elapsed().saturating_sub(started);
    let cost = || Cost {
        scanned: world.counters.counts(),
        store_retries: world.store.retries(),
        elapsed_s: elapsed.as_secs_f64(),
        peak_memory_bytes: peak_memory_bytes(),
    };
    report.finish(cost());
    if report.window.is_some() {
        let saved = save(&world.store, &report.head.run, report.to_json().into()).await;
        // A first report that the store did not take has failed the run.
        if let Err(error) = saved
            && beat.has_begun()
        {
            report.failed(None, &error);
            report.finish(cost());
        }
    }
    report
}

/// Puts the last report in the place of the first, or beside it where a store replaces nothing.
async fn save(store: &Store, run: &str, bytes: Bytes) -> Result<(), JobError> {
    let Err(error) = store.put(&layout::run(run), bytes.clone()).await else {
        return Ok(());
    };
    match store.create(&layout::last_report(run), bytes).await {
        Ok(_) => Ok(()),
        Err(_) => Err(error.into()),
    }
}

async fn run_slices(
    mut planned: Planned,
    world: &Arc<World>,
    beat: &Beat<'_>,
    report: &mut RunReport,
) -> Result<(), JobError> {
    let store = &world.store;
    planned.make_lake(store, world.clock.as_ref()).await?;
    planned.describe_lake(report);
    host_change::record(&planned, world, report).await?;
    planned.describe_slices(report);
    let Planned {
        options,
        setup,
        plan,
        known,
        now_ms,
        ..
    } = planned;
    let setup = Arc::new(setup);
    beat.begin(report).await?;
    if !options.single_writer {
        Identity::check_create_only(store).await?;
    }

    let runs = turns::list(store, world.clock.now_ms()).await?;
    report
        .result
        .notes
        .extend(remarks_on_begun(world, &plan, &runs, now_ms).await?);
    let (cleaner, table) = keepers(store, &world.clock, &report.head.run).await?;
    let cleaner = Arc::new(cleaner);
    let tenant = Arc::new(LakeTenant::of(&known.committed));
    let start = Start {
        plan: &plan,
        known,
        runs,
        tenant: Arc::clone(&tenant),
    };
    let outcome = scan_in_turn(&options, world, &setup, &cleaner, start, beat, report).await;
    report.result.not_cleared = cleaner.not_cleared();
    let remarks = tenant.remarks(report.slices.committed);
    report.result.notes.extend(remarks);
    let unplaced = unplaced(&report.result.counts).filter(|_| setup.clock == ClockField::Created);
    report.result.notes.extend(unplaced);
    let of_table = refresh_table(&table, &outcome, &mut report.head).await;

    let known = KnownSlices::list(store, world.clock.now_ms()).await?;
    let covered = |slice: &str| slice.parse().is_ok_and(|slice| plan.covers(&slice));
    for damaged in known.damaged(store, covered).await {
        report.failed(None, &damaged.into());
    }
    let notes = of_table.notes(|text| report.failures.iter().any(|failed| failed.error == text));
    report.result.notes.extend(notes);
    if let Some(error) = of_table.error.filter(|error| !is_said(error, report)) {
        report.failed(None, &error);
    }
    let (begin_ms, length) = (setup.identity.begin_ms, setup.length);
    let watermark_ms = watermark(begin_ms, length, &known);
    report.watermark = Some(format_time(watermark_ms));
    let times = [watermark_ms, world.clock.now_ms()];
    let due_ms = plan.covered.until_ms;
    report.standing = Some(Standing::of(&known, length, begin_ms, due_ms, times));
    outcome
}

/// What the user should know where most rows have no time by which they belong to their slices.
fn unplaced(counts: &SliceCounts) -> Option<String> {
    const TELLING_ROWS: u64 = 20;
    let SliceCounts {
        rows, odd_created, ..
    } = *counts;
    (rows >= TELLING_ROWS && odd_created > rows / 2).then(|| {
        format!(
            "{} of {} rows have no usable created: only the service's filter says that they belong to their slices",
            number(odd_created),
            number(rows)
        )
    })
}

/// Whether the table is behind because of a commit that is missing, and its slice has failed for that.
fn is_said(error: &JobError, report: &RunReport) -> bool {
    let slice = slice_of_missing_commit(error);
    let mut failures = report.failures.iter();
    failures.any(|failure| {
        slice.is_some()
            && failure.kind == ErrorKind::Data.as_str()
            && failure.first_slice <= slice
            && slice <= failure.last_slice
    })
}

/// Brings to an end what earlier runs began: of these slices, those that are left to scan.
async fn recover(
    cleaner: &Cleaner,
    world: &World,
    slices: Vec<Slice>,
    committed: &BTreeSet<String>,
    covered: impl Fn(&Slice) -> bool,
    report: &mut RunReport,
) -> Result<Vec<Slice>, JobError> {
    let World { store, clock, .. } = world;
    let covered = |slice: &str| slice.parse::<Slice>().is_ok_and(|slice| covered(&slice));
    let recovered = commit::recover(cleaner, clock.as_ref(), committed, covered).await?;
    let mut waiting: BTreeSet<String> = slices.iter().map(ToString::to_string).collect();
    for made in &recovered.adopted {
        waiting.remove(&made.commit.slice);
        report.slices.adopted += 1;
        report.result.committed(made);
    }
    if !waiting.is_empty() {
        // Names of slices sort by time.
        let first = waiting
            .first()
            .and_then(|slice| slice.parse::<Slice>().ok());
        let from_ms = first.map(|slice| slice.from_ms());
        let orphans = commit::find_orphans(store, from_ms, |slice| waiting.contains(slice));
        for (slice, orphaned) in orphans.await? {
            waiting.remove(&slice);
            report.failed(slice.parse().ok().as_ref(), &orphaned.into());
        }
    }
    let slices = slices.into_iter();
    let slices = slices.filter(|slice| waiting.contains(&slice.to_string()));
    Ok(slices.collect())
}

/// What the user should know of slices of the plan that the last runs died over.
async fn remarks_on_begun(
    world: &World,
    plan: &Plan,
    runs: &Runs,
    now_ms: i64,
) -> Result<Vec<String>, JobError> {
    let mut reports = Reports::of(runs.clone(), now_ms, &world.machine);
    let runs = reports.take(&world.store, LAST_RUNS).await?;
    let mut begun = runs::begun_in_vain(&runs);
    begun.retain(|name, _| plan.slices.iter().any(|slice| slice.to_string() == *name));
    Ok(runs::remarks(&begun).collect())
}

/// What a run begins with. A lake of years takes long to list: nothing is listed twice.
struct Start<'a> {
    plan: &'a Plan,
    /// The slices that have a commit or a marker.
    known: KnownSlices,
    /// The reports of runs, the own one among them.
    runs: Runs,
    tenant: Arc<LakeTenant>,
}

/// Scans what no earlier run is at work on; where such a run ends meanwhile, what it has left too.
async fn scan_in_turn(
    options: &JobOptions,
    world: &Arc<World>,
    setup: &Arc<Setup>,
    cleaner: &Arc<Cleaner>,
    start: Start<'_>,
    beat: &Beat<'_>,
    report: &mut RunReport,
) -> Result<(), JobError> {
    let Start {
        plan,
        known:
            KnownSlices {
                mut committed,
                unproven: mut marked,
                ..
            },
        runs,
        tenant,
    } = start;
    let store = &world.store;
    let mut runs = Some(runs);
    let run = report.head.run.clone();
    let (oldest, history) = (Arc::default(), Arc::default());
    let turns = Turns::new(world, beat, &run, options.if_running);
    let mut slices = plan.slices.clone();
    loop {
        let Turn { mine, left, to } = turns.look(slices, &marked, runs.take()).await?;
        report.slices.left = left.len() as u64;
        let is_last = left.is_empty() || mine.is_empty();
        let covered = |slice: &Slice| plan.covers(slice) && left.binary_search(slice).is_err();
        let mine = recover(cleaner, world, mine, &committed, covered, report).await?;
        if let Some(newest) = plan.slices.last().copied() {
            let task = SliceTask {
                world: Arc::clone(world),
                setup: Arc::clone(setup),
                options: Arc::new(options.clone()),
                run: run.clone(),
                newest,
                cleaner: Arc::clone(cleaner),
                pages: Arc::new(PageTurns::new(options.memory.page_bytes)),
                memory: SliceMemory::new(options.memory.slices_bytes, options.parallel),
                oldest: Arc::clone(&oldest),
                history: Arc::clone(&history),
                tenant: Arc::clone(&tenant),
            };
            scan_all(task, mine, beat, report).await?;
        }
        if is_last || !report.failures.is_empty() {
            report.result.notes.extend(left_to(left.len(), &to));
            return unless_interrupted(world);
        }
        beat.rewrite().await;
        let listed = KnownSlices::list(store, world.clock.now_ms()).await?;
        let known = Setup::not_again(options, &listed);
        (committed, marked) = (listed.committed, listed.unproven);
        let before = left.len();
        slices = left;
        slices.retain(|slice| !known.contains(&slice.to_string()));
        report.slices.taken += (before - slices.len()) as u64;
    }
}

/// What the user should know of the slices that are left to others.
fn left_to(slices: usize, runs: &BTreeSet<String>) -> Option<String> {
    let runs: Vec<&str> = runs.iter().map(String::as_str).collect();
    (slices > 0).then(|| {
        format!(
            "{slices} slices are left to a run that began earlier and is at work on them: {}",
            runs.join(", ")
        )
    })
}

pub(crate) fn unless_interrupted(world: &World) -> Result<(), JobError> {
    if *world.interrupted.borrow() {
        Err(JobError::Interrupted)
    } else {
        Ok(())
    }
}

/// The most memory that this process held, in bytes, where the system tells.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
