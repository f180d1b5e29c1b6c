//! A lake's figures, gathered.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use super::gaps::{explain, find_due, gaps};
use super::lake_status::{DayStatus, GapStatus, LakeStatus, LeftOut, TableStatus};
use super::unproven::{Unprovens, joined};
use crate::commit::{self, CommitError, Compactions, Identity, KnownSlices, LakeSource};
use crate::error::{JobError, UsageError};
use crate::job::plan::watermark;
use crate::job::process::Machine;
use crate::job::report::ReportWindow;
use crate::job::runs::{self, Reports};
use crate::layout::{FileName, PartitionKey};
use crate::store::Store;
use crate::table;
use crate::window::format_time;
use crate::write::FileEntry;

/// Runs that are shown.
const SHOWN_RUNS: usize = 5;

/// Reads the status of a lake.
///
/// `now_ms` is compared with the store's times of running reports: a run whose report has not moved for
/// three minutes has died, and so has a process of this `machine` that is not there.
pub fn read<'a>(
    store: &'a Store,
    now_ms: i64,
    machine: &'a Machine,
) -> BoxFuture<'a, Result<LakeStatus, JobError>> {
    read_all(store, now_ms, machine).boxed()
}

async fn read_all(store: &Store, now_ms: i64, machine: &Machine) -> Result<LakeStatus, JobError> {
    let identity = load_identity(store).await?;
    let mut left_out: Vec<LeftOut> = Vec::new();
    left_out.extend(identity.check_begin(now_ms).err().map(LeftOut::from));
    match commit::check_writable(store).await {
        Err(error @ CommitError::Damaged { .. }) if !error.is_newer() => {
            left_out.push(error.into());
        }
        // What a newer program has changed is read all the same.
        Ok(()) | Err(CommitError::Damaged { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let length = identity
        .slice_length()
        .map_err(|error| UsageError::new(format!("cannot use the lake's slice length: {error}")))?;
    let known = KnownSlices::list(store, now_ms).await?;
    let mut unproven = Unprovens::of_markers(store, &known.unproven).await?;
    let committed = Committed::read(store, &known).await?;
    unproven.late.extend(committed.late);
    left_out.extend(committed.left_out);
    let days = committed.days;
    let mut reports = Reports::list(store, now_ms, machine).await?;
    let mut runs = reports.take(store, SHOWN_RUNS).await?;
    let shown = runs.len();
    let due_ms = match identity.source {
        LakeSource::Scan => find_due(&mut runs, store, &mut reports).await?,
        LakeSource::Convert => None,
    };
    let asked_for = joined(known.committed.iter().chain(&known.unproven));
    let on_time = |slice: &&String| !unproven.late.contains(*slice);
    let coverage = joined(known.committed.iter().filter(on_time));
    let oldest = joined(known.committed.iter())
        .first()
        .map(|first| first.from_ms);
    let begin_ms = length.floor(identity.begin_ms);
    let from_ms = oldest.unwrap_or(begin_ms).min(begin_ms);
    let mut gaps = gaps(&asked_for, from_ms, due_ms);
    let mut begun = runs::begun_in_vain(&runs);
    explain(&mut gaps, store, &mut reports, &runs, &mut begun).await?;
    begun.retain(|slice, _| !known.contains(slice));
    let table = table::standing(store).await?;
    let mut gaps: Vec<GapStatus> = gaps.into_iter().map(|gap| gap.status(length)).collect();
    gaps.extend(committed.holes);
    gaps.sort_by(|a, b| a.window.from.cmp(&b.window.from));
    Ok(LakeStatus {
        version: 1,
        lake: store.location().to_owned(),
        watermark: (identity.source == LakeSource::Scan)
            .then(|| format_time(watermark(identity.begin_ms, length, &known))),
        source: identity.source,
        begin: format_time(identity.begin_ms),
        api_host: identity.api_host,
        clock: identity.clock,
        slices: known.committed.len() as u64,
        coverage: coverage.into_iter().map(ReportWindow::from).collect(),
        begun_in_vain: begun,
        behind: Vec::new(),
        gaps,
        unproven: unproven.joined(),
        table: table.map(|of| TableStatus {
            version: of.version,
            is_current: of.is_current,
            is_of_others: of.is_of_others,
            missing: of.missing,
        }),
        rows: total(&days, |day| day.rows),
        bytes: total(&days, |day| day.bytes),
        left_out,
        days,
        runs: runs.into_iter().take(shown).map(|run| run.report).collect(),
    })
}

/// What the commits of a lake say.
#[derive(Default)]
struct Committed {
    days: BTreeMap<String, DayStatus>,
    holes: Vec<GapStatus>,
    /// Slices that were asked for too late to be proven.
    late: Vec<String>,
    left_out: Vec<LeftOut>,
}

impl Committed {
    /// Reads what the table says of the files, and of the commits those that say more; all of them where it
    /// is not up to date.
    async fn read(store: &Store, known: &KnownSlices) -> Result<Self, JobError> {
        let mut committed = known.committed.clone();
        let Some(table) = table::contents(store).await? else {
            let (mut all, files) = Self::of(store, committed).await?;
            let mut compactions = Compactions::load(store).await?;
            let damaged = compactions.take_damaged().into_iter();
            all.left_out.extend(damaged.map(LeftOut::from));
            let live = compactions.live(files).into_iter();
            all.days = days_of(live.map(|file| {
                let day = FileName::parse(&file.path).map(|name| name.key);
                (day, file.rows, file.bytes)
            }));
            return Ok(all);
        };
        committed.retain(|slice| table.has_remarks(slice));
        let (mut all, _) = Self::of(store, committed).await?;
        let files = table.files.into_iter();
        all.days = days_of(files.map(|file| (Some(file.name.key), file.rows, file.bytes)));
        Ok(all)
    }

    /// Reads the commits of slices, one after another.
    async fn of(
        store: &Store,
        slices: BTreeSet<String>,
    ) -> Result<(Self, Vec<FileEntry>), CommitError> {
        let (mut all, mut files) = (Self::default(), Vec::new());
        let mut commits = commit::load_commits(store, slices);
        while let Some(commit) = commits.next().await {
            let commit = match commit {
                Ok(commit) => commit,
                Err(error @ CommitError::Damaged { .. }) => {
                    all.left_out.push(error.into());
                    continue;
                }
                Err(error) => return Err(error),
            };
            let holes = commit.holes.iter();
            all.holes
                .extend(holes.map(|hole| GapStatus::hole(&commit, hole)));
            if commit.late {
                all.late.push(commit.slice);
            }
            files.extend(commit.files);
        }
        Ok((all, files))
    }
}

/// A commit that is wrong may say any number; `verify` says so.
fn total(days: &BTreeMap<String, DayStatus>, of: impl Fn(&DayStatus) -> u64) -> u64 {
    days.values().map(of).fold(0, u64::saturating_add)
}

async fn load_identity(store: &Store) -> Result<Identity, JobError> {
    Identity::load_if_lake(store)
        .await?
        .ok_or_else(|| no_lake(store))
}

/// Rows, files and bytes by day: of each file its day, where its path says one, its rows and its bytes.
fn days_of(
    files: impl Iterator<Item = (Option<PartitionKey>, u64, u64)>,
) -> BTreeMap<String, DayStatus> {
    let mut days: BTreeMap<String, DayStatus> = BTreeMap::new();
    for (key, rows, bytes) in files {
        let day = key.map_or_else(|| "?".to_owned(), |key| key.date().to_string());
        let day = days.entry(day).or_default();
        day.rows = day.rows.saturating_add(rows);
        day.files += 1;
        day.bytes = day.bytes.saturating_add(bytes);
    }
    days
}

/// The error for a location where no lake is.
pub fn no_lake(store: &Store) -> JobError {
    JobError::NoLake {
        location: store.location().to_owned(),
    }
}
