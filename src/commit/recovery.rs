//! What crashed runs left behind, judged by the commits alone.

use object_store::path::Path;
use tracing::{debug, info};

use super::body::Attempt;
use super::paths::OwnObject;
use super::{Commit, CommitError, Outcome, finish, paths, settle};
use crate::clock::Clock;
use crate::store::Store;

/// What a run found at its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Slices whose attempt had all its files and was committed now.
    pub adopted: Vec<Commit>,
    /// Committed slices whose leftovers were cleared away.
    pub finished: u64,
}

/// Goes through the attempts and unfinished uploads that earlier runs left, as far as `in_window`
/// says that their slice is this run's business.
///
/// An attempt whose slice is committed is cleared away. One without a commit whose files are all
/// there is adopted: they are made durable and its commit is made now. Any other is left until its
/// slice is committed.
pub async fn recover(
    store: &Store,
    clock: &dyn Clock,
    in_window: impl Fn(&str) -> bool,
) -> Result<Recovered, CommitError> {
    let mut recovered = Recovered::default();
    for object in store.list(&paths::attempts()).await? {
        let Some(OwnObject::Attempt { slice }) = OwnObject::at(object.location.as_ref()) else {
            continue;
        };
        if !in_window(&slice) {
            debug!(path = %object.location, "left alone: not of this run's window");
            continue;
        }
        // What an earlier turn of this loop cleared away is gone.
        let Some(attempt) = Attempt::load(store, &object.location).await? else {
            continue;
        };
        if let Some(winner) = Commit::load(store, &slice).await? {
            finish(store, &winner).await?;
            recovered.finished += 1;
        } else if has_all_files(store, &attempt.commit).await? {
            for path in attempt.commit.named_objects() {
                store.uploads().persist(&Path::from(path)).await?;
            }
            info!(%slice, attempt = %attempt.commit.attempt, "adopting the files of an earlier run");
            match settle(store, clock, &attempt.commit).await? {
                Outcome::Committed => recovered.adopted.push(attempt.commit),
                Outcome::Lost => recovered.finished += 1,
            }
        }
    }
    for slice in store.uploads().leftovers().await? {
        if in_window(&slice) && Commit::load(store, &slice).await?.is_some() {
            store.uploads().sweep(&slice).await?;
            store.uploads().tidy(&slice).await;
            recovered.finished += 1;
        }
    }
    Ok(recovered)
}

/// Whether an attempt has files, and all of them are there with their size.
async fn has_all_files(store: &Store, attempt: &Commit) -> Result<bool, CommitError> {
    for file in &attempt.files {
        if store.size(&Path::from(file.path.as_str())).await? != Some(file.bytes) {
            return Ok(false);
        }
    }
    if let Some(rejects) = &attempt.rejects
        && store.size(&Path::from(rejects.path.as_str())).await? != Some(rejects.bytes)
    {
        return Ok(false);
    }
    Ok(!attempt.files.is_empty())
}
