//! What the reports of all runs have in common.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::decode::oddities::PathCount;
use crate::store::Checksum;
use crate::text::plain::PlainText;
use crate::text::units::{bytes, counted, number};

/// Paths shown to people, of each kind, the commonest; the lake's record has all of them.
const SHOWN_PATHS: usize = 5;

/// Commits whose checksums are shown to people; the lake's record has all of them.
const SHOWN_COMMITS: usize = 4;

/// A commit that the run made: kept elsewhere, it shows whether the lake was changed since.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CommitDigest {
    /// The slice.
    pub slice: String,
    /// The SHA-256 of the commit's object, in hexadecimal digits.
    pub sha256: String,
}

impl CommitDigest {
    /// Of a slice whose commit's object has this checksum.
    pub(crate) fn of(slice: &str, checksum: &str) -> Self {
        let digits = checksum.strip_prefix(Checksum::PREFIX).unwrap_or(checksum);
        Self {
            slice: slice.to_owned(),
            sha256: digits.to_owned(),
        }
    }
}

/// So many a second; 0 where no time has passed.
pub(crate) fn rate(rows: u64, elapsed_s: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rows = rows as f64;
    if elapsed_s > 0.0 {
        rows / elapsed_s
    } else {
        0.0
    }
}

/// The first of the commits that a run made.
pub(crate) fn write_commits(o: &mut PlainText, commits: &[CommitDigest]) -> std::fmt::Result {
    for CommitDigest { slice, sha256 } in commits.iter().take(SHOWN_COMMITS) {
        writeln!(o, "commit      {slice} sha256 {sha256}")?;
    }
    if commits.len() > SHOWN_COMMITS {
        let more = number((commits.len() - SHOWN_COMMITS) as u64);
        writeln!(o, "            and {more} more, in the report as JSON")?;
    }
    Ok(())
}

/// What a run took.
pub(crate) fn write_took(
    o: &mut PlainText,
    elapsed_s: f64,
    rows_per_s: f64,
    peak_memory_bytes: Option<u64>,
) -> std::fmt::Result {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for people, never negative"
    )]
    let rows_per_s = number(rows_per_s.round() as u64);
    write!(o, "took        {elapsed_s:.1} s, {rows_per_s} rows/s")?;
    match peak_memory_bytes {
        Some(peak) => writeln!(o, ", peak memory {}", bytes(peak)),
        None => writeln!(o),
    }
}

/// Paths that the schema does not expect, the commonest.
pub(crate) fn write_paths(o: &mut PlainText, word: &str, paths: &[PathCount]) -> std::fmt::Result {
    for path in paths.iter().take(SHOWN_PATHS) {
        writeln!(
            o,
            "{word:<11} {} ({}, first in {})",
            path.path,
            counted(path.count, "time", "times"),
            path.first_slice
        )?;
    }
    if paths.len() > SHOWN_PATHS {
        let more = (paths.len() - SHOWN_PATHS) as u64;
        writeln!(
            o,
            "            and {}",
            counted(more, "more path", "more paths")
        )?;
    }
    Ok(())
}

/// Counts with their names: ` (retries: http_503 2)`.
pub(crate) fn in_brackets(what: &str, counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let parts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name} {}", number(*count)))
        .collect();
    format!(" ({what}: {})", parts.join(", "))
}
