//! What a run of `compact` is to do.

use chrono::TimeDelta;

use crate::write::WriteOptions;

/// What a run of `compact` is to do. Plain values.
#[derive(Debug, Clone)]
pub struct CompactOptions {
    /// Days are compacted that ended so long ago, in milliseconds.
    pub before_ms: i64,
    /// Reports of runs are removed that are older than this, in milliseconds.
    pub keep_reports_ms: i64,
    /// Whether only one run at a time ever writes to the lake.
    pub single_writer: bool,
    /// Memory for the rows of a day while they are merged, in bytes.
    pub merge_bytes: u64,
    /// How files are written.
    pub write: WriteOptions,
}

impl CompactOptions {
    /// How long the report of a run is kept.
    pub(super) fn kept(&self) -> TimeDelta {
        TimeDelta::milliseconds(self.keep_reports_ms)
    }
}
