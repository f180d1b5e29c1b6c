//! The compaction of past days: their many small files become a few large ones.
//!
//! [`run`] always returns a report, as a scan does. A day that fails is left as it is and does not stop
//! the others; a failing store and a signal do. Several runs at once are safe: one of them wins each
//! compaction. What the protocol is, and what a crash between any two of its steps leaves, says
//! [`commit`].

mod day;
mod old_reports;
mod options;
mod pick;
pub mod report;
mod spool;

pub use self::options::CompactOptions;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use tracing::{Instrument, error, error_span};

use self::day::{Compactor, Day, DayEnd};
use self::pick::gains;
use self::report::{CompactReport, Sizes};
use crate::commit::{self, Compactions, Identity};
use crate::error::JobError;
use crate::job::context::{StoreWorld, keepers, refresh_table};
use crate::job::peak_memory_bytes;
use crate::job::pulse::Pulse;
use crate::job::report_parts::NOT_BEGUN;
use crate::layout::{self, CompactionName, FileName, OwnObject, PartitionKey};
use crate::store::{ScratchFolder, Store};
use crate::table::{self, LiveFile};
use crate::text::plain::chain;
use crate::text::report::Report;
use crate::write::FileEntry;

/// Plans a run, and writes nothing: which days, and how many files and bytes of each.
pub async fn plan(options: &CompactOptions, store: &Store, now_ms: i64) -> CompactReport {
    let location = store.location().to_owned();
    let mut report = CompactReport::begin(NOT_BEGUN.to_owned(), location, now_ms);
    let read = match commit::check_writable(store).await {
        Ok(()) => begin_reading(options, store, now_ms, &mut report).await,
        Err(error) => Err(error.into()),
    };
    match read {
        Ok((_, days)) => {
            for day in days {
                let inputs = day.picked(options);
                let sizes = sizes_of(&inputs, options.write.max_file_bytes);
                report.planned(day.date(), sizes);
            }
            match old_reports::list(store, "", options.kept(), now_ms).await {
                Ok(reports) => report.reports_removed = reports.len() as u64,
                Err(error) => report.failed(None, &error),
            }
        }
        Err(error) => report.failed(None, &error),
    }
    report.finish();
    if report.head.exit_code == 0 {
        report.head.planned();
    }
    report
}

/// What is known of a compaction before it is made: as many bytes are left as are taken, at most.
fn sizes_of(inputs: &[FileEntry], max_file_bytes: u64) -> Sizes {
    let sum = |of: fn(&FileEntry) -> u64| inputs.iter().map(of).fold(0, u64::saturating_add);
    let bytes = sum(|file| file.bytes);
    Sizes {
        rows: sum(|file| file.rows),
        files_before: inputs.len() as u64,
        files_after: bytes.div_ceil(max_file_bytes.max(1)),
        bytes_before: bytes,
        bytes_after: bytes,
    }
}

/// Compacts the days that gain by it. What is written is copied into the folder `scratch`, without a name,
/// to be read back.
pub fn run<'a>(
    options: &'a CompactOptions,
    world: StoreWorld,
    scratch: &'a ScratchFolder,
) -> BoxFuture<'a, CompactReport> {
    compact(options, world, scratch).boxed()
}

async fn compact(
    options: &CompactOptions,
    mut world: StoreWorld,
    scratch: &ScratchFolder,
) -> CompactReport {
    if options.single_writer {
        world.store = world.store.for_single_writer();
    }
    let started_ms = world.clock.now_ms();
    let run = world.ids.run_at(started_ms);
    let location = world.store.location().to_owned();
    let mut report = CompactReport::begin(run.clone(), location, started_ms);
    let pulse = Pulse::new(&world);
    let span = error_span!("run", id = run);
    let work = run_days(options, &world, scratch, &pulse, &mut report).instrument(span);
    if let Err(error) = pulse.beside(Box::pin(work)).await {
        error!(error = %chain(&error), "the run stops");
        report.failed(None, &error);
    }
    world.progress.finish();
    report.store_retries = world.store.retries();
    report.peak_memory_bytes = peak_memory_bytes();
    report.elapsed_s = pulse.elapsed_s();
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

async fn run_days(
    options: &CompactOptions,
    world: &StoreWorld,
    scratch: &ScratchFolder,
    pulse: &Pulse<'_, CompactReport>,
    report: &mut CompactReport,
) -> Result<(), JobError> {
    let (store, now_ms) = (&world.store, world.clock.now_ms());
    load_identity(store).await?;
    commit::check_writable(store).await?;
    pulse.begin(report).await?;
    let (cleaner, table) = keepers(store, &world.clock, &report.head.run).await?;
    // Before anything is taken out of it: else who reads it would meet files that are gone.
    report.head.table_version = Some(table.refresh().await?.version);
    let attempts = store.list(&layout::attempts()).await?;
    let attempts = attempts.into_iter().map(|object| object.location);
    let is_of_compaction = |path: &Path| {
        matches!(
            OwnObject::at(path.as_ref()),
            Some(OwnObject::CompactionAttempt { .. })
        )
    };
    let attempts: Vec<Path> = attempts.filter(is_of_compaction).collect();
    let has_left = !attempts.is_empty();
    // Recovery makes voids, which must not take the place of a compaction.
    if has_left && !options.single_writer {
        Identity::check_create_only(store).await?;
    }
    let (recovered, _) = commit::recover_compactions(&cleaner, attempts).await;
    commit::clear_staged(&cleaner).await;
    report.recovered = recovered;
    let (identity, days) = begin_reading(options, store, now_ms, report).await?;
    if !days.is_empty() {
        if !has_left && !options.single_writer {
            Identity::check_create_only(store).await?;
        }
        check_removal(store, &report.head.run).await?;
        commit::announce_compactions(store, &report.head.run, now_ms).await?;
    }
    let bytes = days.iter().flat_map(|day| day.picked(options));
    let bytes = bytes.map(|file| file.bytes).fold(0, u64::saturating_add);
    world.progress.begin_bytes(bytes);
    let run = report.head.run.clone();
    let compactor = Compactor {
        options,
        world,
        scratch,
        cleaner: &cleaner,
        run: &run,
        clock: &identity.clock,
    };
    let outcome = match compact_all(&compactor, days, pulse, report).await {
        Ok(()) => remove_old_reports(&compactor, report).await,
        ended => ended,
    };
    report.not_cleared = cleaner.not_cleared();
    // What cannot be read is said of its days.
    if let Some(error) = refresh_table(&table, &outcome, &mut report.head)
        .await
        .error
    {
        report.failed(None, &error);
    }
    outcome
}

/// Removes the reports of old runs. What cannot be removed stays: it does no harm.
async fn remove_old_reports(
    compactor: &Compactor<'_>,
    report: &mut CompactReport,
) -> Result<(), JobError> {
    let (store, now_ms) = (&compactor.world.store, compactor.world.clock.now_ms());
    let kept = compactor.options.kept();
    let old = old_reports::list(store, compactor.run, kept, now_ms).await?;
    let count = old.len() as u64;
    let mut interrupted = compactor.world.interrupted.clone();
    let removal = old_reports::remove(store, old);
    let (removed, ended) = tokio::select! {
        biased;
        _ = interrupted.wait_for(|interrupted| *interrupted) => return Err(JobError::Interrupted),
        ended = removal => ended,
    };
    report.reports_removed = removed;
    if let Err(error) = ended {
        let (left, why) = (count - removed, chain(&error));
        report.notes.push(format!(
            "could not remove {left} of {count} old reports: {why}; the next run tries again"
        ));
    }
    Ok(())
}

/// Compacts one day after the other, each until nothing more is gained.
async fn compact_all(
    compactor: &Compactor<'_>,
    days: Vec<Day>,
    pulse: &Pulse<'_, CompactReport>,
    report: &mut CompactReport,
) -> Result<(), JobError> {
    for mut day in days {
        let date = day.date();
        pulse.tell(report, [date.clone()]);
        let mut was_made = false;
        loop {
            match compactor.compact(&mut day).await {
                Ok(DayEnd::Made {
                    name,
                    inputs,
                    outputs,
                    checksum,
                }) => {
                    was_made = true;
                    let sizes = sizes_after(&inputs, &outputs);
                    report.made(name.to_string(), &checksum, sizes);
                    compactor.world.progress.bytes_done(sizes.bytes_before);
                    compactor.world.progress.rows(report.sizes.rows);
                }
                Ok(DayEnd::Done) => break,
                Ok(DayEnd::Lost) => {
                    report.days.lost += 1;
                    break;
                }
                Err(error @ JobError::Interrupted) => return Err(error),
                Err(error) => {
                    error!(day = date, error = %chain(&error), "day failed");
                    report.failed(Some(date.clone()), &error);
                    if error.stops_the_run() {
                        return Ok(());
                    }
                    break;
                }
            }
        }
        report.days.compacted += u64::from(was_made);
    }
    Ok(())
}

fn sizes_after(inputs: &[FileEntry], outputs: &[FileEntry]) -> Sizes {
    let bytes = |files: &[FileEntry]| {
        files
            .iter()
            .map(|file| file.bytes)
            .fold(0, u64::saturating_add)
    };
    Sizes {
        rows: outputs
            .iter()
            .map(|file| file.rows)
            .fold(0, u64::saturating_add),
        files_before: inputs.len() as u64,
        files_after: outputs.len() as u64,
        bytes_before: bytes(inputs),
        bytes_after: bytes(outputs),
    }
}

async fn load_identity(store: &Store) -> Result<Identity, JobError> {
    let location = || store.location().to_owned();
    let identity = Identity::load_if_lake(store).await?;
    identity.ok_or_else(|| JobError::NoLake {
        location: location(),
    })
}

/// Reads the lake: what it is, and the days that gain by a compaction. What cannot be read is a failure
/// of this run, and costs only its own days.
async fn begin_reading(
    options: &CompactOptions,
    store: &Store,
    now_ms: i64,
    report: &mut CompactReport,
) -> Result<(Identity, Vec<Day>), JobError> {
    let identity = load_identity(store).await?;
    let (files, compactions, left_out) = if let Some(table) = table::contents(store).await? {
        let (days, slices) = gaining(&table, options, now_ms);
        commit::read_live_days(store, &days, slices).await?
    } else {
        report.notes.extend(loss_of(store).await?);
        commit::read_live(store).await?
    };
    for error in left_out {
        report.failed(None, &error.into());
    }
    let mut days = days_of(files, &compactions);
    days.retain(|day| is_past(day.key, options, now_ms) && !day.picked(options).is_empty());
    if days.is_empty() {
        let note = "nothing to do: no past day has small files that are worth merging";
        report.notes.push(note.to_owned());
    }
    let days = without_lost(store, days, report).await?;
    report.days.planned = days.len() as u64;
    Ok((identity, days))
}

/// The days of which no compaction is known to be lost. Its file may have the rows of what is there, and its
/// number is free: the next compaction would take its place, and it could not be restored any more.
async fn without_lost(
    store: &Store,
    days: Vec<Day>,
    report: &mut CompactReport,
) -> Result<Vec<Day>, JobError> {
    let mut whole = Vec::with_capacity(days.len());
    for day in days {
        match commit::find_lost_compaction_of(store, day.key).await? {
            None => whole.push(day),
            Some(error) => report.failed(Some(day.date()), &error.into()),
        }
    }
    Ok(whole)
}

/// What the table takes in and the lake has lost, to be said while there may be a copy.
async fn loss_of(store: &Store) -> Result<Option<String>, JobError> {
    let loss = table::standing(store).await?.and_then(|table| table.loss());
    Ok(loss.map(|loss| match loss.advice() {
        Some(advice) => format!("{loss}; {advice}"),
        None => loss.to_string(),
    }))
}

/// The days that gain by a compaction, as the table has their files, and the slices these came from: of a
/// lake of years only their commits are read.
fn gaining(
    table: &table::Contents,
    options: &CompactOptions,
    now_ms: i64,
) -> (BTreeSet<PartitionKey>, BTreeSet<String>) {
    let mut days: BTreeMap<PartitionKey, Vec<&LiveFile>> = BTreeMap::new();
    let past = |file: &&LiveFile| is_past(file.name.key, options, now_ms);
    for file in table.files.iter().filter(past) {
        days.entry(file.name.key).or_default().push(file);
    }
    days.retain(|_, files| {
        let bytes = files.iter().map(|file| file.bytes);
        gains(bytes, options.write.max_file_bytes)
    });
    let names = days.values().flatten().map(|file| &file.name);
    let of_slices = names.filter(|name| CompactionName::of_file(name).is_none());
    let slices = of_slices.map(|name| name.slice.clone()).collect();
    (days.into_keys().collect(), slices)
}

fn is_past(day: PartitionKey, options: &CompactOptions, now_ms: i64) -> bool {
    let end_ms = day.range_us().end / 1_000;
    end_ms <= now_ms.saturating_sub(options.before_ms)
}

/// The live files by day.
fn days_of(files: Vec<FileEntry>, compactions: &Compactions) -> Vec<Day> {
    let mut days: BTreeMap<PartitionKey, Vec<FileEntry>> = BTreeMap::new();
    for file in files {
        if let Some(name) = FileName::parse(&file.path) {
            days.entry(name.key).or_default().push(file);
        }
    }
    let days = days.into_iter().map(|(key, files)| Day {
        key,
        number: compactions.next_number(key),
        files,
    });
    days.collect()
}

/// Makes sure that an object can be removed here: else the rows of a day would be there twice for good.
async fn check_removal(store: &Store, run: &str) -> Result<(), JobError> {
    let path = layout::removal_probe(run);
    let refused = |source| JobError::CannotRemove {
        location: store.location().to_owned(),
        source,
    };
    // Whether it can be removed is asked first: else it would stay. Of files that alone is asked, since a right
    // may end at their folder, and nothing may be made there that somebody's pattern sees.
    for path in [&layout::file_never_made(run), &path] {
        store
            .delete(path)
            .await
            .map_err(|error| refused(Some(error)))?;
    }
    store.create(&path, Bytes::from_static(b"compact")).await?;
    store
        .delete(&path)
        .await
        .map_err(|error| refused(Some(error)))?;
    match store.size(&path).await? {
        None => Ok(()),
        Some(_) => Err(refused(None)),
    }
}
