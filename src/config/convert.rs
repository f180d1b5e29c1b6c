//! What the flags of `convert` mean.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use super::{memory_bytes, write_options};
use crate::cli::ConvertArgs;
use crate::convert::TextLimits;
use crate::error::UsageError;
use crate::job::convert::ConvertOptions;
use crate::job::memory::{DEFAULT_LIMIT_BYTES, MemoryShares};

/// What a chunk takes on its way: its text, its columns, and what both grow into.
const CHUNK_BYTES: u64 = 6 * 1024 * 1024;
/// So many chunks for each core keep it busy while a row group is encoded.
const CHUNKS_PER_CORE: usize = 8;

/// The most that zstd looks back, as a power of two: it refuses to be allowed more.
const MAX_WINDOW_LOG: u32 = 31;

/// Whether the limit of a conversion leaves room for memory that is kept although it is free: from the
/// default on, the peak is below the limit all the same.
pub fn may_keep_memory(args: &ConvertArgs) -> bool {
    memory_bytes(args.memory_limit).is_ok_and(|limit| limit >= DEFAULT_LIMIT_BYTES)
}

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
        let memory_bytes = memory_bytes(memory_limit)?;
        let parallel = usize::from(parallel);
        let memory = MemoryShares::of(memory_bytes, parallel);
        let quarter = usize::try_from(memory_bytes / 4).unwrap_or(usize::MAX);
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        // A quarter is for chunks on their way, and another for the row groups that are being written.
        let chunks = usize::try_from(memory_bytes / 4 / CHUNK_BYTES).unwrap_or(usize::MAX);
        Ok(Self {
            lake: lake.lake,
            inputs,
            job: ConvertOptions {
                shard,
                parallel,
                on_reject: writing.on_reject.into(),
                keep_raw: writing.keep_raw,
                single_writer: writing.single_writer,
                chunks: chunks.clamp(1, CHUNKS_PER_CORE * cores),
                text: TextLimits {
                    record_bytes: quarter,
                    window_log: quarter.ilog2().min(MAX_WINDOW_LOG),
                },
                memory,
                write: write_options(&writing, &memory)?,
            },
            dry_run,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;
    use crate::cli::{Cli, Command, command_with};

    #[test]
    fn zstd_takes_the_window_of_every_memory_limit() {
        for limit in ["32MiB", "256MiB", "16GiB", "1TiB"] {
            let args = [
                "mdca-lake",
                "convert",
                "x",
                "--lake",
                "l",
                "--memory-limit",
                limit,
            ];
            let matches = command_with(&|_| false).try_get_matches_from(args).unwrap();
            let Command::Convert(args) = Cli::from_arg_matches(&matches).unwrap().command else {
                panic!("it is a conversion");
            };
            let config = ConvertConfig::resolve(*args).ok().unwrap();
            let mut text = zstd::Decoder::new(&[][..]).unwrap();
            let taken = text.window_log_max(config.job.text.window_log);
            assert!(taken.is_ok(), "{limit}");
        }
    }
}
