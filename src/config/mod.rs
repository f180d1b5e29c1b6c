//! What the command line and the environment mean: defaults, checks across flags, secrets.
//!
//! Nothing else looks at the environment, but for clap's own `env` on flags.

mod compact;
mod convert;
mod credentials;
mod environment;
mod scan;

pub use self::compact::CompactConfig;
pub use self::convert::{ConvertConfig, may_keep_memory};
pub use self::credentials::{SignInEnvironment, Workload, no_credentials};
pub use self::environment::{
    Environment, RefusedRun, asks_for_json_logs, command_line, refused_run,
};
pub use self::scan::ScanConfig;

use std::fs::File;
use std::io::{self, Read as _};

use bytesize::ByteSize;

use crate::cli::{WindowArgs, WriteArgs};
use crate::error::UsageError;
use crate::job::memory::{self, MemoryShares};
use crate::window::{TimeWindow, parse_time};
use crate::write::WriteOptions;

/// Less than this does not hold one row group and one page.
const MIN_MEMORY_BYTES: u64 = 32 * 1024 * 1024;
/// Smaller files help nobody.
const MIN_FILE_BYTES: u64 = 1024 * 1024;

/// A token, a certificate or filters are far smaller.
const MAX_FLAG_FILE_BYTES: u64 = 1024 * 1024;

/// Reads a file that a flag names; one that is too large, or has no end, is refused.
fn read_flag_file(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(MAX_FLAG_FILE_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FLAG_FILE_BYTES {
        return Err(io::Error::other("it has more than 1 MiB"));
    }
    Ok(text)
}

fn wrong(what: impl Into<String>) -> UsageError {
    UsageError::new(what)
}

/// Resolves `--memory-limit`.
fn memory_bytes(limit: Option<ByteSize>) -> Result<u64, UsageError> {
    match limit {
        Some(limit) if limit.as_u64() < MIN_MEMORY_BYTES => Err(wrong(format!(
            "--memory-limit: {limit} is too little; use 32 MiB or more"
        ))),
        Some(limit) => Ok(limit.as_u64()),
        None => Ok(memory::default_limit_bytes()),
    }
}

/// Refuses a `--max-file-bytes` that helps nobody.
fn check_file_bytes(bytes: ByteSize) -> Result<(), UsageError> {
    if bytes.as_u64() >= MIN_FILE_BYTES {
        return Ok(());
    }
    Err(wrong(format!(
        "--max-file-bytes: {bytes} is too little; use 1 MiB or more"
    )))
}

/// Resolves how files are written.
fn write_options(args: &WriteArgs, memory: &MemoryShares) -> Result<WriteOptions, UsageError> {
    check_file_bytes(args.max_file_bytes)?;
    Ok(WriteOptions {
        compression: args.compression,
        max_file_bytes: args.max_file_bytes.as_u64(),
        buffer_bytes: memory.buffer_bytes,
    })
}

/// Resolves `--from` and `--until`, in milliseconds since the epoch.
fn resolve_window(
    from: Option<&str>,
    until: Option<&str>,
    now_ms: i64,
) -> Result<(Option<i64>, Option<i64>), UsageError> {
    let time = |flag: &str, text: Option<&str>| {
        let parsed = text.map(|text| parse_time(text, now_ms)).transpose();
        parsed.map_err(|error| wrong(format!("{flag}: {error}")))
    };
    let from_ms = time("--from", from)?;
    let until_ms = time("--until", until)?;
    match (from_ms, until_ms) {
        (Some(from_ms), Some(until_ms)) if until_ms <= from_ms => {
            Err(wrong("--until is not after --from, so the window is empty"))
        }
        _ => Ok((from_ms, until_ms)),
    }
}

/// Resolves the window of a command that reads: what is not given is unbounded.
pub fn read_window(args: &WindowArgs, now_ms: i64) -> Result<Option<TimeWindow>, UsageError> {
    let WindowArgs { from, until } = args;
    let (from_ms, until_ms) = resolve_window(from.as_deref(), until.as_deref(), now_ms)?;
    if from_ms.is_none() && until_ms.is_none() {
        return Ok(None);
    }
    Ok(Some(TimeWindow {
        from_ms: from_ms.unwrap_or(i64::MIN),
        until_ms: until_ms.unwrap_or(i64::MAX),
    }))
}
