//! The conversion of saved files: input by input, from its bytes to its commit.
//!
//! [`run`] always returns a report, as a scan does. An input that fails does not stop the others; a
//! failing store and a signal do. Several runs over one lake and the same inputs are safe: the commit
//! protocol lets one of them win each input. Each begins at an input of its own, so that they share the
//! work even where nobody has dealt it out.

mod input_task;
mod options;
mod records;
pub mod report;

pub use self::options::ConvertOptions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::Map;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::{Id, JoinSet, spawn_blocking};
use tracing::{Instrument, error, error_span, info};

use self::input_task::{InputDone, InputEnd, InputTask, Slices};
use self::records::Workshop;
use self::report::ConvertReport;
use crate::clock::Clock;
use crate::commit::{self, Cleaner, Identity, LakeSource, Outcome};
use crate::convert::{Input, InputFault, Inputs, check_beginning};
use crate::decode::Ingest;
use crate::error::{ErrorKind, JobError, UsageError};
use crate::job::context::{StoreWorld, keepers, refresh_table, slice_of_missing_commit};
use crate::job::peak_memory_bytes;
use crate::job::pulse::{GrowingReport, Pulse};
use crate::job::report_parts::NOT_BEGUN;
use crate::job::slice_memory::SliceMemory;
use crate::layout;
use crate::scan::ClockField;
use crate::schema;
use crate::store::Store;
use crate::text::report::Report;
use crate::text::units::counted;

/// The length of a slice that the identity of every lake has. Slices of converted files have none.
const SLICE_MINUTES: i64 = 60;

/// So many inputs in a row that their store does not give are no fault of theirs.
const MAX_FAILED_READS: u32 = 10;

/// Paths that a note names.
const SHOWN_PATHS: usize = 5;

/// The inputs that a run takes, of all that were named.
struct Plan {
    named: u64,
    inputs: Vec<Input>,
    passed_over: Vec<String>,
}

impl Plan {
    fn new(options: &ConvertOptions, inputs: Inputs) -> Self {
        let Inputs { found, passed_over } = inputs;
        let named = found.len() as u64;
        let mut inputs = found;
        inputs.retain(|input| options.takes(input));
        Self {
            named,
            inputs,
            passed_over,
        }
    }

    fn describe(&self, options: &ConvertOptions, report: &mut ConvertReport) {
        report.shard = options.shard.map(|shard| shard.to_string());
        report.inputs = self.named;
        report.slices.planned = self.inputs.len() as u64;
        report.bytes_planned = self.inputs.iter().map(|input| input.bytes).sum();
        if !self.passed_over.is_empty() {
            let paths = counted(self.passed_over.len() as u64, "path", "paths");
            let mut shown = self.passed_over[..self.passed_over.len().min(SHOWN_PATHS)].join(", ");
            if self.passed_over.len() > SHOWN_PATHS {
                shown.push_str(", …");
            }
            report.result.notes.push(format!(
                "passed over {paths}: pipes, devices, links to folders or to nothing, files that a system leaves, keys that no request can name ({shown})"
            ));
        }
        if self.inputs.is_empty() {
            let note = "nothing to do: no input falls into this share";
            report.result.notes.push(note.to_owned());
        }
    }
}

/// Plans a run, and writes nothing: which inputs it takes, into which lake. Before a lake is made at
/// least one of them has to begin with records; of a pipe that is read for that, what came is kept in
/// `inputs`.
pub async fn plan(
    options: &ConvertOptions,
    inputs: &mut Inputs,
    store: Option<&Store>,
    clock: &dyn Clock,
    mut interrupted: watch::Receiver<bool>,
) -> ConvertReport {
    let location = store.map_or("(new)", Store::location).to_owned();
    let run = String::from(NOT_BEGUN);
    let mut report = ConvertReport::begin(run, location, clock.now_ms());
    let share = options.check_share(&inputs.found);
    let has_lake = match share {
        Ok(()) => has_lake(store).await,
        Err(refused) => Err(refused.into()),
    };
    match has_lake {
        Ok(has_lake) => {
            if !has_lake {
                tokio::select! {
                    biased;
                    () = check_beginnings(options, &mut inputs.found, &mut report) => {}
                    // What comes through a pipe may never come.
                    _ = interrupted.wait_for(|interrupted| *interrupted) => {
                        report.failed(None, &JobError::Interrupted);
                    }
                }
            }
            let plan = Plan::new(options, inputs.clone());
            plan.describe(options, &mut report);
            report.plan = plan.inputs.into_iter().map(|input| input.name).collect();
        }
        Err(error) => report.failed(None, &error),
    }
    report.finish();
    if report.head.exit_code == 0 {
        report.head.planned();
    }
    report
}

/// Whether a lake is there, which can be converted into.
async fn has_lake(store: Option<&Store>) -> Result<bool, JobError> {
    let Some(store) = store else { return Ok(false) };
    commit::check_writable(store).await?;
    match Identity::load_if_lake(store).await? {
        Some(identity) => check_source(&identity).map(|()| true),
        None => Ok(false),
    }
}

/// Finds an input of this run that begins with records. Where none does, all of them are failures.
async fn check_beginnings(
    options: &ConvertOptions,
    inputs: &mut [Input],
    report: &mut ConvertReport,
) {
    let (limits, mut failures) = (options.text, Vec::new());
    for input in inputs.iter_mut().filter(|input| options.takes(input)) {
        let (name, mut of, runtime) = (input.name.clone(), input.clone(), Handle::current());
        let check = move || {
            let readable = of.readable()?;
            Ok((of, check_beginning(&readable, &runtime, limits)))
        };
        let fault = match spawn_blocking(check).await {
            Ok(Ok((kept, checked))) => {
                *input = kept;
                match checked {
                    Ok(()) => return,
                    Err(fault) => fault,
                }
            }
            Ok(Err(fault)) => fault,
            Err(died) => InputFault::Died(died),
        };
        failures.push(fault.of(&name));
    }
    for error in failures {
        let input = error.input.clone();
        report.failed(Some(&input), &error.into());
    }
}

/// Converts and commits every input that has no commit.
pub fn run(
    options: &ConvertOptions,
    world: StoreWorld,
    inputs: Inputs,
) -> BoxFuture<'_, ConvertReport> {
    convert(options, world, inputs).boxed()
}

async fn convert(options: &ConvertOptions, mut world: StoreWorld, inputs: Inputs) -> ConvertReport {
    if options.single_writer {
        world.store = world.store.for_single_writer();
    }
    let started_ms = world.clock.now_ms();
    let run = world.ids.run_at(started_ms);
    let location = world.store.location().to_owned();
    let mut report = ConvertReport::begin(run.clone(), location, started_ms);
    let world = Arc::new(world);
    let pulse = Pulse::new(&world);
    let stores = inputs.stores();
    let span = error_span!("run", id = run);
    let work = run_inputs(options, &world, &pulse, inputs, &mut report).instrument(span);
    if let Err(error) = pulse.beside(Box::pin(work)).await {
        error!(error = %crate::text::plain::chain(&error), "the run stops");
        report.failed(None, &error);
    }
    world.progress.finish();
    report.result.store_retries = retries(std::iter::once(&world.store).chain(&stores));
    report.result.peak_memory_bytes = peak_memory_bytes();
    report.spent(pulse.elapsed_s());
    report.finish();
    if pulse.has_tried() {
        let bytes = Bytes::from(report.to_json());
        let saved = crate::job::save(&world.store, &report.head.run, bytes).await;
        // A first report that the store did not take has failed the run.
        if let Err(error) = saved
            && pulse.has_begun()
        {
            report.failed(None, &error);
            report.finish();
        }
    }
    report
}

/// What had to be sent again to some stores, by cause.
fn retries<'s>(stores: impl Iterator<Item = &'s Store>) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for (cause, count) in stores.flat_map(Store::retries) {
        *all.entry(cause).or_default() += count;
    }
    all
}

async fn run_inputs(
    options: &ConvertOptions,
    world: &Arc<StoreWorld>,
    pulse: &Pulse<'_, ConvertReport>,
    inputs: Inputs,
    report: &mut ConvertReport,
) -> Result<(), JobError> {
    let store = &world.store;
    let now_ms = world.clock.now_ms();
    if let Some(identity) = Identity::load_if_lake(store).await? {
        check_source(&identity)?;
    }
    commit::check_writable(store).await?;
    let identity = new_identity(now_ms).create(store, world.clock.as_ref());
    // Another run may have made the lake a moment ago, and otherwise.
    check_source(&identity.await?)?;
    let mut plan = Plan::new(options, inputs);
    plan.describe(options, report);
    pulse.begin(report).await?;
    if !options.single_writer {
        Identity::check_create_only(store).await?;
    }
    let (cleaner, table) = keepers(store, &world.clock, &report.head.run).await?;
    let cleaner = Arc::new(cleaner);
    let slices = recover(world, &cleaner, report).await?;
    if options.shard.is_none() && !plan.inputs.is_empty() {
        let begin = world.ids.below(plan.inputs.len());
        plan.inputs.rotate_left(begin);
    }
    let task = InputTask {
        world: Arc::clone(world),
        options: Arc::new(options.clone()),
        run: report.head.run.clone(),
        ingest: Arc::new(Ingest {
            run: report.head.run.clone(),
            received_ms: now_ms,
            keep_raw: options.keep_raw,
        }),
        cleaner: Arc::clone(&cleaner),
        workshop: Arc::new(Workshop::new(
            options.chunks,
            options.text,
            options.memory.max_batch_bytes,
            options.memory.max_slice_records,
        )),
        memory: SliceMemory::new(options.memory.slices_bytes, options.parallel),
        slices: Arc::new(slices),
    };
    let outcome = convert_all(&task, plan.inputs, pulse, report).await;
    report.result.not_cleared = cleaner.not_cleared();
    let of_table = refresh_table(&table, &outcome, &mut report.head).await;
    let notes = of_table.notes(|text| report.failures.iter().any(|failed| failed.error == text));
    report.result.notes.extend(notes);
    if let Some(error) = of_table.error.filter(|error| !is_said(error, report)) {
        report.failed(None, &error);
    }
    outcome
}

/// Whether the table is behind because of a commit that is missing, and an input has failed for that.
fn is_said(error: &JobError, report: &ConvertReport) -> bool {
    slice_of_missing_commit(error).is_some_and(|slice| {
        let mut failures = report.failures.iter();
        failures.any(|failure| failure.error.contains(&slice))
    })
}

/// What a new lake is. It has the clock that footers name; no slice of it is told by time.
fn new_identity(now_ms: i64) -> Identity {
    Identity::new(
        LakeSource::Convert,
        String::new(),
        ClockField::Created.to_string(),
        Map::new(),
        SLICE_MINUTES,
        schema::activity().version,
        now_ms,
    )
}

/// Refuses a lake that is not of conversions, or of another schema.
fn check_source(identity: &Identity) -> Result<(), JobError> {
    if identity.source != LakeSource::Convert {
        return Err(UsageError::new(format!(
            "cannot convert into the lake: it was made by {}",
            identity.source
        ))
        .advise("use another --lake")
        .into());
    }
    let version = schema::activity().version;
    if identity.schema_version != version {
        return Err(UsageError::new(format!(
            "cannot convert into the lake: it has schema version {}, and this program writes {version}",
            identity.schema_version,
        ))
        .into());
    }
    Ok(())
}

/// Brings to an end what earlier runs began, and finds out which slices may have lost their commit.
async fn recover(
    world: &StoreWorld,
    cleaner: &Cleaner,
    report: &mut ConvertReport,
) -> Result<Slices, JobError> {
    let (store, clock) = (&world.store, world.clock.as_ref());
    let committed = commit::committed_slices(store).await?;
    let recovered = commit::recover(cleaner, clock, &committed, layout::is_converted).await?;
    for made in &recovered.adopted {
        report.slices.adopted += 1;
        report.result.committed(made);
    }
    let adopted: BTreeSet<String> = recovered
        .adopted
        .into_iter()
        .map(|made| made.commit.slice)
        .collect();
    let may_be_made = |slice: &str| {
        layout::is_converted(slice) && !committed.contains(slice) && !adopted.contains(slice)
    };
    let orphans = commit::find_orphans(store, None, may_be_made).await?;
    Ok(Slices {
        met: Mutex::default(),
        adopted,
        orphans: Mutex::new(orphans),
    })
}

/// Keeps a few inputs in flight until all are done or the run has to stop: as many are read at once as
/// asked for; beside them one less may wait for the store to commit it.
async fn convert_all(
    task: &InputTask,
    inputs: Vec<Input>,
    pulse: &Pulse<'_, ConvertReport>,
    report: &mut ConvertReport,
) -> Result<(), JobError> {
    let world = &task.world;
    world.progress.begin_bytes(report.bytes_planned);
    let reading = Arc::new(Semaphore::new(task.options.parallel));
    let most = 2 * task.options.parallel - 1;
    let mut waiting = inputs.into_iter();
    let mut flying: BTreeMap<Id, String> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let mut stop = false;
    let mut failed_reads = 0;
    loop {
        let may_begin = !stop && tasks.len() < most && waiting.len() > 0;
        let ended = tokio::select! {
            biased;
            Some(ended) = tasks.join_next_with_id() => ended,
            Ok(turn) = Arc::clone(&reading).acquire_owned(), if may_begin => {
                stop = *world.interrupted.borrow();
                if !stop && let Some(input) = waiting.next() {
                    let task = task.clone();
                    let name = input.name.clone();
                    let span = error_span!("input", name);
                    let work = async move { task.convert(input, turn).await };
                    let handle = tasks.spawn(work.instrument(span));
                    flying.insert(handle.id(), name);
                    pulse.tell(report, flying.values().cloned());
                }
                continue;
            }
            else => break,
        };
        let (id, result) = match ended {
            Ok((id, result)) => (id, Ok(result)),
            Err(error) => (error.id(), Err(error)),
        };
        let name = flying.remove(&id).expect("every task has its input");
        let result = result.unwrap_or_else(|died| Err(InputFault::Died(died).of(&name).into()));
        failed_reads = match &result {
            Err(error) if is_failed_read(error) => failed_reads + 1,
            _ => 0,
        };
        stop |= failed_reads == MAX_FAILED_READS;
        stop |= take_note(report, &name, result);
        pulse.tell(report, flying.values().cloned());
        world.progress.rows(report.result.counts.rows);
    }
    if *world.interrupted.borrow() {
        return Err(JobError::Interrupted);
    }
    Ok(())
}

/// Whether an input's own store does not give it: a right may be missing, or it lies in an archive.
fn is_failed_read(error: &JobError) -> bool {
    let JobError::Input(error) = error else {
        return false;
    };
    matches!(error.fault, InputFault::Store(_))
}

/// Takes note of how an input ended; true where the run is to stop.
fn take_note(report: &mut ConvertReport, input: &str, result: Result<InputDone, JobError>) -> bool {
    let done = match result {
        Ok(done) => done,
        Err(error) if error.kind() == ErrorKind::Interrupted => return true,
        Err(error) => {
            report.ended += 1;
            error!(error = %crate::text::plain::chain(&error), "input failed");
            report.failed(Some(input), &error);
            return error.stops_the_run() && !is_failed_read(&error);
        }
    };
    report.ended += 1;
    report.oddities.merge(done.oddities);
    report.bytes_in += done.bytes_in;
    match done.end {
        InputEnd::Skipped => report.slices.skipped += 1,
        InputEnd::Repeated => report.slices.repeated += 1,
        InputEnd::Adopted => {}
        InputEnd::Settled(Outcome::Lost) => report.slices.lost_attempts += 1,
        InputEnd::Settled(Outcome::Committed(made)) => {
            report.slices.committed += 1;
            report.result.committed(&made);
            let commit = &made.commit;
            info!(input, slice = %commit.slice, rows = commit.counts.rows, "committed");
        }
    }
    false
}
