//! What the flags of `compact` mean.

use std::time::Duration;

use super::{check_file_bytes, memory_bytes};
use crate::cli::CompactArgs;
use crate::error::UsageError;
use crate::job::compact::CompactOptions;
use crate::write::WriteOptions;

/// Reports are kept for so long at least.
const LEAST_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What `compact` is to do.
pub struct CompactConfig {
    /// The lake's location.
    pub lake: String,
    /// The job.
    pub job: CompactOptions,
    /// Whether only the plan is asked for.
    pub dry_run: bool,
}

impl CompactConfig {
    /// Resolves the flags of `compact`.
    pub fn resolve(args: CompactArgs) -> Result<Self, UsageError> {
        let CompactArgs {
            lake,
            before,
            keep_reports,
            memory_limit,
            compression,
            max_file_bytes,
            single_writer,
            dry_run,
            metrics: _,
        } = args;
        check_file_bytes(max_file_bytes)?;
        let memory_bytes = memory_bytes(memory_limit)?;
        if *keep_reports < LEAST_KEPT {
            return Err(UsageError::new(format!(
                "cannot use --keep-reports {keep_reports}: it must be at least {}; `status` explains gaps by reports",
                humantime::format_duration(LEAST_KEPT)
            )));
        }
        Ok(Self {
            lake: lake.lake,
            job: CompactOptions {
                before_ms: i64::try_from(before.as_millis()).unwrap_or(i64::MAX),
                keep_reports_ms: i64::try_from(keep_reports.as_millis()).unwrap_or(i64::MAX),
                single_writer,
                merge_bytes: memory_bytes / 4,
                write: WriteOptions {
                    compression,
                    max_file_bytes: max_file_bytes.as_u64(),
                    buffer_bytes: usize::try_from(memory_bytes / 2).unwrap_or(usize::MAX),
                },
            },
            dry_run,
        })
    }
}
