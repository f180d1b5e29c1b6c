//! A slice that the service has forgotten, of which an attempt that died has published something: that
//! is committed, and the rest is a hole.

use std::collections::HashSet;

use object_store::path::Path;

use super::protocol::create_commit;
use super::{Attempt, Cleaner, Commit, CommitError, CommittedHole, Outcome};
use crate::clock::Clock;
use crate::layout;
use crate::store::Store;
use crate::window::Slice;

/// What became of a slice that the service has forgotten.
#[derive(Debug, PartialEq, Eq)]
pub enum Rescue {
    /// No attempt has left anything of it.
    Nothing,
    /// One has, and may still be at work.
    TooSoon,
    /// What was there is committed.
    Done(Outcome),
}

/// Commits what the attempts at a forgotten slice have left of it.
///
/// An attempt publishes its files in one order, so the one that shows the most rows has all that the
/// others have. It is left alone for an hour: its owner may be asleep.
pub async fn rescue(
    cleaner: &Cleaner,
    clock: &dyn Clock,
    slice: Slice,
) -> Result<Rescue, CommitError> {
    let store = cleaner.store();
    let mut best: Option<Commit> = None;
    for object in store.list(&layout::attempts_at(&slice.to_string())).await? {
        let attempt = match Attempt::load(store, &object.location).await {
            Ok(Some(attempt)) => attempt.commit,
            Ok(None) | Err(CommitError::Damaged { .. }) => continue,
            Err(error) => return Err(error),
        };
        let there = objects_there(store, &attempt).await?;
        if there.is_empty() {
            continue;
        }
        if !cleaner.is_old(object.last_modified) {
            return Ok(Rescue::TooSoon);
        }
        let kept = keep(attempt, &there, slice);
        if best
            .as_ref()
            .is_none_or(|best| best.counts.rows < kept.counts.rows)
        {
            best = Some(kept);
        }
    }
    let Some(commit) = best else {
        return Ok(Rescue::Nothing);
    };
    for path in commit.named_objects() {
        store.uploads().persist(&Path::from(path)).await?;
    }
    let outcome = create_commit(cleaner, clock, &commit, commit.seal()).await?;
    Ok(Rescue::Done(outcome))
}

/// The objects of an attempt that are there, byte for byte.
async fn objects_there(store: &Store, attempt: &Commit) -> Result<HashSet<String>, CommitError> {
    let mut there = HashSet::new();
    for (path, bytes, checksum) in attempt.sums() {
        let found = store.checksum(&Path::from(path), bytes).await?;
        if found.is_some_and(|(_, sum)| sum.as_deref() == Some(checksum)) {
            there.insert(path.to_owned());
        }
    }
    Ok(there)
}

/// What an attempt would have committed, less what is not there.
fn keep(attempt: Commit, there: &HashSet<String>, slice: Slice) -> Commit {
    let mut commit = attempt.late(true);
    let all = commit.named_objects().count();
    let (files, lost): (Vec<_>, Vec<_>) = std::mem::take(&mut commit.files)
        .into_iter()
        .partition(|file| there.contains(&file.path));
    commit.files = files;
    let counts = &mut commit.counts;
    // An attempt that somebody else wrote may say any number.
    let lost_rows = lost.iter().map(|file| file.rows);
    let lost_rows = lost_rows.fold(0, u64::saturating_add);
    counts.rows = counts.rows.saturating_sub(lost_rows);
    counts.records = counts.records.saturating_sub(lost_rows);
    if let Some(rejects) = commit
        .rejects
        .take_if(|rejects| !there.contains(&rejects.path))
    {
        let records = rejects.lines.saturating_sub(counts.copies);
        counts.records = counts.records.saturating_sub(records);
        counts.rejects.clear();
        counts.copies = 0;
    }
    if there.len() == all {
        return commit;
    }
    let mut holes = commit.holes.clone();
    holes.push(CommittedHole {
        from_ms: slice.from_ms(),
        until_ms: slice.until_ms(),
        reason: format!(
            "an earlier run died after it had published {} of {all} objects, and the service has forgotten the rest",
            there.len()
        ),
    });
    commit.with_holes(holes)
}
