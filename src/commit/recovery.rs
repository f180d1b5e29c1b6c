//! What crashed runs left behind, judged by the commits alone.

use std::collections::{BTreeMap, BTreeSet};

use object_store::path::Path;
use tracing::{debug, info};

use super::compacting::{clear_staged, recover_compactions};
use super::objects::Attempt;
use super::protocol::create_commit;
use super::{Cleaner, Commit, CommitError, Made, Outcome};
use crate::clock::Clock;
use crate::layout::{self, OwnObject};
use crate::store::Store;

/// What a run found at its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Slices whose attempt had all its files and was committed now.
    pub adopted: Vec<Made>,
    /// Committed slices whose leftovers were cleared away.
    pub finished: u64,
}

/// Goes through the attempts that earlier runs left, and on a disk through what they had not yet
/// published, as far as `in_window` says that their slice is this run's business. `committed` are
/// the slices that had a commit a moment ago.
///
/// An attempt whose slice is committed is cleared away. One without a commit whose files are all
/// there, byte for byte, is adopted: they are made durable and its commit is made now. Any other is
/// left until its slice is committed. What cannot be read is left alone: `verify` names it.
pub async fn recover(
    cleaner: &Cleaner,
    clock: &dyn Clock,
    committed: &BTreeSet<String>,
    in_window: impl Fn(&str) -> bool,
) -> Result<Recovered, CommitError> {
    let store = cleaner.store();
    let mut recovered = Recovered::default();
    let mut attempts: BTreeMap<String, Vec<Path>> = BTreeMap::new();
    let mut of_compactions = Vec::new();
    for object in store.list(&layout::attempts()).await? {
        match OwnObject::at(object.location.as_ref()) {
            Some(OwnObject::Attempt { slice }) if in_window(&slice) => {
                attempts.entry(slice).or_default().push(object.location);
            }
            Some(OwnObject::CompactionAttempt { .. }) => of_compactions.push(object.location),
            _ => debug!(path = %object.location, "left alone: not of this run's window"),
        }
    }
    for (slice, paths) in attempts {
        if committed.contains(&slice) && cleaner.gave_up() {
            cleaner.leave(paths.len() as u64, None);
            continue;
        }
        match cleaner.clear_up(&slice).await {
            Ok(Some(_)) => recovered.finished += 1,
            Ok(None) => adopt(cleaner, clock, &paths, &mut recovered).await?,
            Err(CommitError::Damaged { path, damage }) => {
                debug!(%path, %damage, "left alone: the commit cannot be read");
            }
            Err(error) => return Err(error),
        }
    }
    for slice in store.uploads().leftovers().await? {
        if in_window(&slice)
            && let Ok(Some(_)) = cleaner.clear_up(&slice).await
        {
            recovered.finished += 1;
        }
    }
    recover_compactions(cleaner, of_compactions).await;
    clear_staged(cleaner).await;
    cleaner.clear_dead_puts().await;
    Ok(recovered)
}

/// Commits the first of the attempts at a slice without a commit whose files are all there.
async fn adopt(
    cleaner: &Cleaner,
    clock: &dyn Clock,
    attempts: &[Path],
    recovered: &mut Recovered,
) -> Result<(), CommitError> {
    let store = cleaner.store();
    for path in attempts {
        let attempt = match Attempt::load(store, path).await {
            Ok(Some(attempt)) => attempt,
            Ok(None) => continue,
            Err(CommitError::Damaged { path, damage }) => {
                debug!(%path, %damage, "left alone: the attempt cannot be read");
                continue;
            }
            Err(error) => return Err(error),
        };
        let Commit {
            slice, attempt: id, ..
        } = &attempt.commit;
        if !has_all_files(store, &attempt.commit).await? {
            continue;
        }
        for path in attempt.commit.named_objects() {
            store.uploads().persist(&Path::from(path)).await?;
        }
        info!(%slice, attempt = %id, "adopting the files of an earlier run");
        match create_commit(cleaner, clock, &attempt.commit, attempt.body).await? {
            Outcome::Committed(made) => recovered.adopted.push(*made),
            Outcome::Lost => recovered.finished += 1,
        }
        return Ok(());
    }
    Ok(())
}

/// Whether an attempt has files, and all of them are there byte for byte, with its rejects.
async fn has_all_files(store: &Store, attempt: &Commit) -> Result<bool, CommitError> {
    for (path, bytes, checksum) in attempt.sums() {
        let path = Path::from(path);
        match store.checksum(&path, bytes).await? {
            Some((found, Some(sum))) if found == bytes && sum == checksum => {}
            _ => return Ok(false),
        }
    }
    Ok(!attempt.files.is_empty())
}
