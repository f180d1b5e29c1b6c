//! One slice, row by row.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::Deserialize;

use super::lake::Lake;
use super::{Finding, FindingKind};
use crate::commit::{Commit, Compaction, RejectsEntry};
use crate::error::JobError;
use crate::layout;
use crate::layout::FileName;
use crate::read::{self, Expected, SliceRows};
use crate::store::Store;
use crate::write::FileEntry;

/// Decodes a file that a compaction left, whose bytes are right. Slices may have a record in common.
pub(super) async fn check_output(
    store: &Store,
    compaction: &Compaction,
    entry: &FileEntry,
) -> Result<Vec<Finding>, JobError> {
    let path = Path::from(entry.path.as_str());
    let expected = Expected {
        entry: entry.clone(),
        day_us: compaction.name().day.range_us(),
        slice: compaction.compaction.clone(),
        attempt: compaction.attempt.clone(),
        run: compaction.run.clone(),
        clock: None,
    };
    let flaws = read::inspect(store, &expected, &mut SliceRows::of_slices()).await?;
    let findings = flaws
        .into_iter()
        .map(|flaw| Finding::new(&path, FindingKind::Contradicts, flaw));
    Ok(findings.collect())
}

/// Decodes the files of a slice whose bytes are right, and its rejects. Those that a compaction has
/// `taken` are not there, and the slice's counts cannot be compared without them.
pub(super) async fn check_rows(
    store: &Store,
    lake: &Lake,
    commit: &Commit,
    taken: &[&FileEntry],
) -> Result<Vec<Finding>, JobError> {
    let mut findings = Vec::new();
    let mut rows = SliceRows::default();
    for entry in commit.files.iter().filter(|entry| !taken.contains(entry)) {
        let path = Path::from(entry.path.as_str());
        let Some(name) = FileName::parse(&entry.path) else {
            continue;
        };
        let expected = Expected {
            entry: entry.clone(),
            day_us: name.key.range_us(),
            slice: commit.slice.clone(),
            attempt: commit.attempt.clone(),
            run: commit.run.clone(),
            clock: lake.clock_of(&commit.slice),
        };
        for flaw in read::inspect(store, &expected, &mut rows).await? {
            findings.push(Finding::new(&path, FindingKind::Contradicts, flaw));
        }
    }
    if findings.is_empty() && taken.is_empty() {
        let own_path = layout::commit(&commit.slice);
        for (what, found, said) in [
            ("rows", rows.rows, commit.counts.rows),
            (
                "records repeated with other JSON",
                rows.changed_repeats(),
                commit.counts.changed_repeats,
            ),
            (
                "rows without a usable created",
                rows.odd_created,
                commit.counts.odd_created,
            ),
        ] {
            if found != said {
                findings.push(Finding::new(
                    &own_path,
                    FindingKind::Contradicts,
                    format!("it counts {said} {what}, and its files hold {found}"),
                ));
            }
        }
    }
    if let Some(entry) = &commit.rejects {
        let flaws = check_rejects(store, entry, &commit.counts.rejects).await?;
        let path = Path::from(entry.path.as_str());
        findings.extend(
            flaws
                .into_iter()
                .map(|flaw| Finding::new(&path, FindingKind::Contradicts, flaw)),
        );
    }
    Ok(findings)
}

/// What is kept of a line of rejects: more than any record takes, and no more than memory has.
const LINE_BYTES: usize = 256 * 1024 * 1024;

/// What is read of a line of rejects.
#[derive(Deserialize)]
struct Reject {
    reason: String,
}

/// Reads the rejects line by line; one line is in memory at a time.
async fn check_rejects(
    store: &Store,
    entry: &RejectsEntry,
    counted: &BTreeMap<String, u64>,
) -> Result<Vec<String>, JobError> {
    let path = Path::from(entry.path.as_str());
    let failed = |source| JobError::Store(store.read_error(&path, source));
    let mut chunks = store
        .objects()
        .get(&path)
        .await
        .map_err(failed)?
        .into_stream();
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    let (mut lines, mut unreadable) = (0, 0);
    let mut line = Vec::new();
    let mut end = |line: &mut Vec<u8>| {
        lines += 1;
        match serde_json::from_slice::<Reject>(line) {
            Ok(Reject { reason }) => *reasons.entry(reason).or_default() += 1,
            Err(_) => unreadable += 1,
        }
        line.clear();
    };
    while let Some(chunk) = chunks.try_next().await.map_err(failed)? {
        let mut rest = chunk.as_ref();
        while let Some(at) = memchr::memchr(b'\n', rest) {
            extend(&mut line, &rest[..at], LINE_BYTES);
            end(&mut line);
            rest = &rest[at + 1..];
        }
        extend(&mut line, rest, LINE_BYTES);
    }
    if !line.is_empty() {
        end(&mut line);
    }
    let mut flaws = Vec::new();
    if unreadable > 0 {
        flaws.push(format!("{unreadable} of its {lines} lines are not rejects"));
    }
    if lines != entry.lines {
        flaws.push(format!(
            "it has {lines} lines, and its commit says {}",
            entry.lines
        ));
    }
    if unreadable == 0 && reasons != *counted {
        flaws.push("its reasons differ from those that its commit counts".to_owned());
    }
    Ok(flaws)
}

/// Adds to a line, up to so many bytes. One that is cut there is not a reject.
fn extend(line: &mut Vec<u8>, piece: &[u8], most_bytes: usize) {
    let room = most_bytes.saturating_sub(line.len());
    line.extend_from_slice(&piece[..piece.len().min(room)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_takes_no_more_memory_than_it_may() {
        let mut line = Vec::new();
        for piece in ["abc", "", "defg", "hi"] {
            extend(&mut line, piece.as_bytes(), 5);
        }
        assert_eq!(line, b"abcde");
    }
}
