//! The original records of a lake, from its live files.

use std::collections::BTreeSet;
use std::io::Write;

use futures::FutureExt;
use futures::future::BoxFuture;
use tracing::debug;

use crate::commit::{self, CommitError, Identity};
use crate::error::JobError;
use crate::read::{Export, ExportFile};
use crate::store::Store;
use crate::table::{self, TableError};
use crate::text::plain::chain;
use crate::window::TimeWindow;

/// What an export came to.
#[derive(Debug)]
pub struct Exported {
    /// Records written.
    pub records: u64,
    /// Commits and compactions that cannot be read, so that their records are missing.
    pub left_out: Vec<CommitError>,
    /// That commits or compactions are missing, where the table knows of them.
    pub loss: Option<TableError>,
}

/// Writes the records of a lake whose `timestamp` lies in the window, one a line, by time. Where a
/// compaction takes a file meanwhile, it goes on with the one that holds its rows now.
///
/// # Errors
/// No lake is there, a live file cannot be read, or the output takes no more. A reader of it that has
/// gone away is no error.
pub fn export<'a, W: Write + Send>(
    store: &'a Store,
    window: Option<TimeWindow>,
    out: &'a mut W,
) -> BoxFuture<'a, Result<Exported, JobError>> {
    export_all(store, window, out).boxed()
}

async fn export_all(
    store: &Store,
    window: Option<TimeWindow>,
    mut out: &mut (dyn Write + Send),
) -> Result<Exported, JobError> {
    if Identity::load_if_lake(store).await?.is_none() {
        let location = store.location().to_owned();
        return Err(JobError::NoLake { location });
    }
    let mut export = Export::new(window);
    let mut gone = BTreeSet::new();
    loop {
        let (files, left_out) = commit::live_files(store).await?;
        let files = files.into_iter().map(|file| ExportFile {
            path: file.path,
            bytes: file.bytes,
            checksum: file.checksum,
            timestamp_ms: (file.timestamp_min_ms, file.timestamp_max_ms),
        });
        match export.write(store, files.collect(), &mut out).await {
            // One that is live and gone a second time is lost.
            Err(error)
                if export.can_go_on()
                    && error
                        .gone()
                        .is_some_and(|path| gone.insert(path.to_owned())) => {}
            Err(error) if !error.is_broken_pipe() => {
                // Where its compaction was lost, the file is not what has to be restored.
                let loss = match error.gone() {
                    Some(_) => loss(store).await,
                    None => None,
                };
                return Err(loss.map_or_else(|| error.into(), JobError::from));
            }
            _ => {
                let records = export.records();
                return Ok(Exported {
                    records,
                    left_out,
                    loss: loss(store).await,
                });
            }
        }
    }
}

/// What the table tells of commits and compactions that are missing. The records were written without it: a
/// table that cannot be read says nothing.
async fn loss(store: &Store) -> Option<TableError> {
    let standing = table::standing(store).await;
    let standing = standing.inspect_err(|error| {
        debug!(error = %chain(error), "the table cannot be asked for what is missing");
    });
    standing.ok().flatten()?.loss()
}
