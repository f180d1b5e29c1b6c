//! The names in a lake: every path, folder and file name is spelled and read here, and nowhere else.
//!
//! ```text
//! activities/event_date=2026-11-19/<slice>-<attempt>-0.parquet    FileName, PartitionKey
//! activities/event_date=2026-11-19/z-000000-<attempt>-0.parquet   CompactionName
//! _mdca/…                                                         OwnObject, and a function for each
//! _delta_log/00000000000000000000.json                            LogObject
//! ```

mod compaction_name;
mod file_name;
mod log_object;
mod own;
mod partition_key;

pub use compaction_name::{CompactionName, ParseCompactionError};
pub use file_name::{FILES_FOLDER, FileName, file_path};
pub use log_object::{LOG_FOLDER, LogObject};
pub use own::{
    OWN_FOLDER, OwnObject, all_rejects, attempt, attempts, attempts_at, change, changes, commit,
    commits, compaction, compactions, converted, file_never_made, identity, is_attempt_id,
    is_converted, is_dropped_by_a_system, is_folder, is_slice_name, last_report, rejects,
    removal_probe, run, run_began, runs, slice_of_commit, slice_of_object, staging, unproven,
    unproven_at,
};
pub use partition_key::{ParseKeyError, PartitionKey};
