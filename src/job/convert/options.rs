//! What a run of `convert` is to do, and where.

use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::convert::{Shard, TextLimits};
use crate::job::context::Ids;
use crate::job::memory::MemoryShares;
use crate::job::process::Machine;
use crate::job::progress::Progress;
use crate::job::setup::OnReject;
use crate::store::Store;
use crate::write::WriteOptions;

/// What a run of `convert` is to do. Plain values.
#[derive(Debug, Clone)]
pub struct ConvertOptions {
    /// The share of the inputs that it takes; else all.
    pub shard: Option<Shard>,
    /// Inputs that are converted at once.
    pub parallel: usize,
    /// What to do with rejects.
    pub on_reject: OnReject,
    /// Whether the records' exact text is kept.
    pub keep_raw: bool,
    /// Whether only one run at a time ever writes to the lake.
    pub single_writer: bool,
    /// So many chunks of records are on their way at once, over all inputs.
    pub chunks: usize,
    /// What reading may take.
    pub text: TextLimits,
    /// What may be held at once.
    pub memory: MemoryShares,
    /// How files are written.
    pub write: WriteOptions,
}

/// The handful of things that touch reality.
pub struct ConvertWorld {
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
