//! The things that touch reality, handed in: time, the lake, the service, chance, a person.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::commit::{Cleaner, CommitError, Projection};
use crate::error::{ErrorKind, JobError};
use crate::job::process::Machine;
use crate::job::progress::Progress;
use crate::job::report_parts::RunHead;
use crate::layout::FileName;
use crate::scan::{ActivityClient, ScanCounters};
use crate::store::Store;
use crate::table::{Refreshed, Table, TableError};
use crate::text::plain::chain;
use crate::window::format_time;

/// The handful of things that touch reality.
pub struct World {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The lake.
    pub store: Store,
    /// The service.
    pub client: Arc<ActivityClient>,
    /// What the client counts.
    pub counters: Arc<ScanCounters>,
    /// Becomes true when the run is to stop.
    pub interrupted: watch::Receiver<bool>,
    /// Ids of the run and of its attempts.
    pub ids: Ids,
    /// This machine's processes.
    pub machine: Machine,
    /// What a person watches.
    pub progress: Progress,
}

impl World {
    /// What some work comes to, unless a signal comes first.
    pub(crate) async fn unless_interrupted<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, JobError> {
        let mut interrupted = self.interrupted.clone();
        tokio::select! {
            biased;
            _ = interrupted.wait_for(|interrupted| *interrupted) => Err(JobError::Interrupted),
            done = work => Ok(done),
        }
    }
}

/// The same for a run that asks no service.
pub struct StoreWorld {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The lake.
    pub store: Store,
    /// Becomes true when the run is to stop.
    pub interrupted: watch::Receiver<bool>,
    /// Ids of the run and of its attempts.
    pub ids: Ids,
    /// This machine's processes.
    pub machine: Machine,
    /// What a person watches.
    pub progress: Progress,
}

/// Who clears up after a run, and the table that it brings up to date first.
pub(crate) async fn keepers(
    store: &Store,
    clock: &Arc<dyn Clock>,
    run: &str,
) -> Result<(Cleaner, Arc<Table>), JobError> {
    let table = Table::new(store.clone(), Arc::clone(clock), run.to_owned());
    let table = Arc::new(table);
    let cleaner = Cleaner::of_run(store.clone(), clock, run).await?;
    let projection: Arc<dyn Projection> = Arc::<Table>::clone(&table);
    Ok((cleaner.with_projection(projection), table))
}

/// So many objects that cannot be read are named.
const SHOWN_DAMAGE: usize = 5;

/// What is to be said of the table at the end of a run.
#[derive(Default)]
pub(crate) struct TableEnd {
    /// Why it is not up to date.
    pub(crate) error: Option<JobError>,
    /// The commits and compactions that cannot be read.
    left_out: Vec<CommitError>,
}

impl TableEnd {
    /// What cannot be read, but for what `is_said` says was said: it costs its slice or its day, and no run.
    pub(crate) fn notes(&self, is_said: impl Fn(&str) -> bool) -> Vec<String> {
        let damaged = self.left_out.iter().map(|error| chain(error));
        let damaged = damaged.filter(|text| !is_said(text));
        let note = |text| format!("{text}; what it names is left as it is in the table");
        let mut notes: Vec<String> = damaged.map(note).collect();
        let more = notes.len().saturating_sub(SHOWN_DAMAGE);
        notes.truncate(SHOWN_DAMAGE);
        if more > 0 {
            notes.push(format!("{more} more cannot be read; verify names them"));
        }
        notes
    }
}

/// Brings the table up to date at the end of a run, whatever came of it, unless the run has to end now.
pub(crate) async fn refresh_table(
    table: &Table,
    outcome: &Result<(), JobError>,
    head: &mut RunHead,
) -> TableEnd {
    let mut end = TableEnd::default();
    let ends_now =
        |error: &JobError| matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::Storage);
    if outcome.as_ref().is_err_and(ends_now) {
        return end;
    }
    match table.refresh().await {
        Ok(Refreshed { version, left_out }) => {
            head.table_version = Some(version);
            end.left_out = left_out;
            end.left_out.retain(|error| !error.is_newer());
        }
        Err(error) => end.error = Some(error.into()),
    }
    end
}

/// The slice whose missing commit keeps the table behind.
pub(crate) fn slice_of_missing_commit(error: &JobError) -> Option<String> {
    match error {
        JobError::Table(TableError::CommitMissing { path }) => {
            FileName::parse(path).map(|name| name.slice)
        }
        _ => None,
    }
}

/// What the id of a run begins with that starts at this time, in milliseconds since the epoch: ids sort by it.
pub(crate) fn run_stamp(now_ms: i64) -> String {
    format_time(now_ms / 1_000 * 1_000).replace([':', '-'], "")
}

/// Makes ids: of a run, of an attempt. Seeded in tests.
#[derive(Debug)]
pub struct Ids(Mutex<fastrand::Rng>);

impl Ids {
    /// Ids from a source of randomness.
    pub fn new(random: fastrand::Rng) -> Self {
        Self(Mutex::new(random))
    }

    /// Sixteen hexadecimal digits; no `-` in them.
    pub(crate) fn next(&self) -> String {
        format!("{:016x}", self.0.lock().u64(..))
    }

    /// The id of a run that starts now, in milliseconds since the epoch.
    pub(crate) fn run_at(&self, now_ms: i64) -> String {
        format!("{}-{}", run_stamp(now_ms), &self.next()[..8])
    }

    /// A number below another one, which is not 0.
    pub(crate) fn below(&self, bound: usize) -> usize {
        self.0.lock().usize(..bound)
    }
}
