//! What the flags of `convert` mean.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use super::{BYTES_PER_RECORD, check_file_bytes, memory_bytes};
use crate::cli::{ConvertArgs, WriteArgs};
use crate::convert::TextLimits;
use crate::error::UsageError;
use crate::job::convert::ConvertOptions;
use crate::write::WriteOptions;

/// What a chunk takes on its way: its text, its columns, and what both grow into.
const CHUNK_BYTES: u64 = 6 * 1024 * 1024;
/// So many chunks for each core keep it busy while a row group is encoded.
const CHUNKS_PER_CORE: usize = 8;

/// What `convert` is to do.
pub struct ConvertConfig {
    /// The lake's location.
    pub lake: String,
    /// What names the inputs.
    pub inputs: Vec<String>,
    /// The job.
    pub job: ConvertOptions,
    /// Whether only the plan is asked for.
    pub dry_run: bool,
}

impl ConvertConfig {
    /// Resolves the flags of `convert`.
    pub fn resolve(args: ConvertArgs) -> Result<Self, UsageError> {
        let ConvertArgs {
            inputs,
            lake,
            shard,
            parallel,
            memory_limit,
            dry_run,
            writing,
            metrics: _,
        } = args;
        let WriteArgs {
            on_reject,
            keep_raw,
            compression,
            max_file_bytes,
            single_writer,
        } = writing;
        check_file_bytes(max_file_bytes)?;
        let memory_bytes = memory_bytes(memory_limit)?;
        let share = |of: u64| usize::try_from(memory_bytes / of).unwrap_or(usize::MAX);
        let parallel = usize::from(parallel);
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let chunks = usize::try_from(memory_bytes / 4 / CHUNK_BYTES).unwrap_or(usize::MAX);
        // A quarter is for chunks on their way, and another for the row groups that are being written.
        let slices_bytes = memory_bytes / 2;
        Ok(Self {
            lake: lake.lake,
            inputs,
            job: ConvertOptions {
                shard,
                parallel,
                on_reject: on_reject.into(),
                keep_raw,
                single_writer,
                chunks: chunks.clamp(1, CHUNKS_PER_CORE * cores),
                text: TextLimits {
                    record_bytes: share(4),
                    window_log: share(4).ilog2(),
                },
                slices_bytes,
                max_records: memory_bytes / BYTES_PER_RECORD,
                max_batch_bytes: share(8),
                write: WriteOptions {
                    compression,
                    max_file_bytes: max_file_bytes.as_u64(),
                    buffer_bytes: share(2) / parallel,
                },
            },
            dry_run,
        })
    }
}
