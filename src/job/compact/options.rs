//! What a run of `compact` is to do, and where.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::job::context::Ids;
use crate::job::process::Machine;
use crate::job::progress::Progress;
use crate::store::Store;
use crate::write::WriteOptions;

/// What a run of `compact` is to do. Plain values.
#[derive(Debug, Clone)]
pub struct CompactOptions {
    /// Days are compacted that ended so long ago, in milliseconds.
    pub before_ms: i64,
    /// Whether only one run at a time ever writes to the lake.
    pub single_writer: bool,
    /// Memory for the rows of a day while they are merged, in bytes.
    pub merge_bytes: u64,
    /// How files are written.
    pub write: WriteOptions,
}

/// The handful of things that touch reality.
pub struct CompactWorld {
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
    /// A folder for copies of what is written, to be read back; they have no names there.
    pub scratch: PathBuf,
}
