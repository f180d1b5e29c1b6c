//! Finished files become visible and are recorded, once.
//!
//! The steps, and what a crash after each of them leaves behind:
//!
//! 1. The files of an attempt are written into invisible uploads and sealed (`write`). *After a
//!    crash:* unfinished uploads; readers see nothing; they are swept once the slice is committed.
//! 2. Conservation is checked. If the slice has a commit already the attempt is lost and its
//!    uploads are aborted and swept. Else the **attempt object** is put, which holds the whole commit
//!    to be. From here the owner deletes nothing of its own until it has read a commit that names
//!    another attempt. *After a crash:* an attempt object whose files are missing; the slice is
//!    scanned again.
//! 3. The commit is looked for once more, then the rejects and each file are published: after the
//!    attempt object, so that nothing is ever there that no attempt names. An error is an unknown
//!    outcome: a file of the right size is there. *After a crash:* some whole files of an attempt
//!    without a commit, or all of them: then the next run adopts the attempt.
//! 4. The commit is created, only if none is there. On an error or "exists" it is read back: this
//!    attempt → committed; another → lost; none → tried again. Who lost puts its attempt object
//!    again, which may have been removed while files of it were still to show, and removes those
//!    files itself. *After a crash:* the commit is there or it is not; the next run finishes step 5
//!    or adopts the attempt.
//! 5. The commit is made durable, and unfinished uploads of the slice are swept: what is not
//!    published by now never will be. Then the files of every other attempt at the slice that the
//!    commit does not name are removed, then those attempt objects, the own attempt object last.
//!    *After a crash:* the next run does this step again.
//!
//! Unfinished work is swept only once its slice is committed: until then it may be somebody's who
//! is still running. Nothing here scans or reads Parquet.

mod body;
pub mod caps;
mod committed;
mod error;
mod identity;
pub mod paths;
mod recovery;
mod sealed;

pub use body::{Attempt, Commit, CommittedHole, RejectsEntry, SliceCounts};
pub use committed::{committed_slices, load_commits};
pub use error::CommitError;
pub use identity::{Identity, LakeSource};
pub use recovery::{Recovered, recover};
pub use sealed::Damage;

use std::collections::HashSet;
use std::time::Duration;

use object_store::path::Path;
use paths::OwnObject;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::store::{Creation, Store, StoreError, Upload};
use crate::write::FinishedFile;

/// How often a commit is put and read back before its outcome is left to the next run.
const COMMIT_TRIES: u32 = 5;
/// The pause between two of these tries.
const COMMIT_PAUSE: Duration = Duration::from_secs(1);

/// An attempt with all its uploads sealed.
pub struct Prepared {
    /// What the commit is to say.
    pub commit: Commit,
    /// The files it names.
    pub files: Vec<FinishedFile>,
    /// The upload of the rejects it names.
    pub rejects: Option<Box<dyn Upload>>,
}

impl Prepared {
    /// Whether every record went somewhere, and every row is in a file.
    fn check_conservation(&self) -> Result<(), CommitError> {
        let Commit { slice, counts, .. } = &self.commit;
        let written: u64 = self.files.iter().map(|file| file.entry.rows).sum();
        if counts.conserve() && written == counts.rows {
            return Ok(());
        }
        let rejects: u64 = counts.rejects.values().sum();
        let found = written + rejects + counts.repeats + counts.outside_probe;
        Err(CommitError::Conservation {
            slice: slice.clone(),
            records: counts.records,
            accounted: found.saturating_sub(counts.copies),
        })
    }

    /// Gives the attempt up before it was recorded.
    pub async fn abort(mut self) {
        for file in &mut self.files {
            file.abort().await;
        }
        if let Some(rejects) = &mut self.rejects {
            rejects.abort().await;
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its rows are the slice's.
    Committed,
    /// Another attempt's are.
    Lost,
}

/// Commits a prepared attempt: steps 2 to 5.
///
/// # Errors
/// Before the attempt object is put everything is aborted. After it nothing is: the next run finds
/// out what happened.
pub async fn commit(
    store: &Store,
    clock: &dyn Clock,
    mut prepared: Prepared,
) -> Result<Outcome, CommitError> {
    if let Err(error) = prepared.check_conservation() {
        prepared.abort().await;
        return Err(error);
    }
    let slice = prepared.commit.slice.clone();
    if prepared.files.is_empty() && prepared.rejects.is_none() {
        return settle(store, clock, &prepared.commit).await;
    }
    match record(store, &prepared.commit).await {
        Ok(None) => {}
        Ok(Some(winner)) => {
            prepared.abort().await;
            finish(store, &winner).await?;
            return Ok(Outcome::Lost);
        }
        Err(error) => {
            prepared.abort().await;
            return Err(error);
        }
    }
    if let Some(winner) = Commit::load(store, &slice).await? {
        return lose(store, &prepared.commit, &winner).await;
    }
    if let Err(error) = publish(store, &mut prepared).await {
        return match Commit::load(store, &slice).await? {
            Some(winner) => lose(store, &prepared.commit, &winner).await,
            None => Err(error.into()),
        };
    }
    settle(store, clock, &prepared.commit).await
}

/// Step 3: makes the rejects and the files visible.
async fn publish(store: &Store, prepared: &mut Prepared) -> Result<(), StoreError> {
    let rejects = prepared
        .rejects
        .as_mut()
        .zip(prepared.commit.rejects.as_ref());
    if let Some((upload, RejectsEntry { path, bytes, .. })) = rejects {
        let published = upload.publish().await;
        look_again(store, path, *bytes, published).await?;
    }
    for file in &mut prepared.files {
        let published = file.publish().await;
        look_again(store, &file.entry.path, file.entry.bytes, published).await?;
    }
    Ok(())
}

/// An error in publishing is an unknown outcome: what is there with its size has been published.
/// A store that does not answer has nothing to show.
async fn look_again(
    store: &Store,
    path: &str,
    bytes: u64,
    published: Result<(), StoreError>,
) -> Result<(), StoreError> {
    let Err(error) = published else { return Ok(()) };
    warn!(%path, error = &error as &dyn std::error::Error, "publishing failed; looking at the store");
    match store.size(&Path::from(path)).await {
        Ok(Some(size)) if size == bytes => store.uploads().persist(&Path::from(path)).await,
        _ => Err(error),
    }
}

/// Step 2, unless the slice has a commit already: then that one.
async fn record(store: &Store, commit: &Commit) -> Result<Option<Commit>, CommitError> {
    let winner = Commit::load(store, &commit.slice).await?;
    if winner.is_none() {
        Attempt::put(store, commit).await?;
    }
    Ok(winner)
}

/// Steps 4 and 5 for an attempt whose files are all there.
async fn settle(store: &Store, clock: &dyn Clock, commit: &Commit) -> Result<Outcome, CommitError> {
    let path = paths::commit(&commit.slice);
    let mut last: Option<StoreError> = None;
    for attempt in 0..COMMIT_TRIES {
        if attempt > 0 {
            clock.sleep(COMMIT_PAUSE).await;
        }
        match store.create(&path, commit.seal()).await {
            Ok(Creation::Created) => {
                finish(store, commit).await?;
                return Ok(Outcome::Committed);
            }
            Ok(Creation::Existed) => {}
            Err(error) => {
                warn!(slice = %commit.slice, error = &error as &dyn std::error::Error, "the outcome of the commit is unknown; reading it back");
                last = Some(error);
            }
        }
        match Commit::load(store, &commit.slice).await {
            Ok(Some(winner)) if winner.attempt == commit.attempt => {
                finish(store, &winner).await?;
                return Ok(Outcome::Committed);
            }
            Ok(Some(winner)) => return lose(store, commit, &winner).await,
            Ok(None) => {}
            Err(CommitError::Store(error)) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(CommitError::Unknown {
        slice: commit.slice.clone(),
        tries: COMMIT_TRIES,
        last,
    })
}

/// Clears away an attempt of our own after another won.
async fn lose(store: &Store, own: &Commit, winner: &Commit) -> Result<Outcome, CommitError> {
    info!(slice = %own.slice, attempt = %own.attempt, winner = %winner.attempt, "another attempt won");
    // A file of ours may still have been on its way when our attempt object was swept. Recorded
    // again, it is cleared away by the next run should this one die.
    if let Err(error) = Attempt::put(store, own).await {
        warn!(slice = %own.slice, error = &error as &dyn std::error::Error, "the lost attempt is not recorded again");
    }
    // What was recorded may go again before it is listed: the winner looks for the files first.
    remove_unnamed(store, own, winner).await?;
    finish(store, winner).await?;
    Ok(Outcome::Lost)
}

/// Step 5: leaves nothing of a committed slice but what its commit names.
async fn finish(store: &Store, winner: &Commit) -> Result<(), CommitError> {
    // Whoever made the commit may have died before it was durable, and what is removed now is
    // needed without it.
    let commit = paths::commit(&winner.slice);
    store.uploads().persist(&commit).await?;
    // First of all: whoever lost and does not know it can publish nothing more that is to be removed.
    store.uploads().sweep(&winner.slice).await?;
    let own = paths::attempt(&winner.slice, &winner.attempt);
    for object in store.list(&paths::attempts_at(&winner.slice)).await? {
        let is_attempt = matches!(
            OwnObject::at(object.location.as_ref()),
            Some(OwnObject::Attempt { .. })
        );
        if object.location == own || !is_attempt {
            continue;
        }
        if let Some(attempt) = Attempt::load(store, &object.location).await? {
            remove_unnamed(store, &attempt.commit, winner).await?;
            store.delete(&object.location).await?;
        }
    }
    store.delete(&own).await?;
    store.uploads().tidy(&winner.slice).await;
    Ok(())
}

/// Clears away what attempts at a committed slice have left: step 5 for it. False where the slice
/// has no commit; then nothing is touched.
pub async fn clear_up(store: &Store, slice: &str) -> Result<bool, CommitError> {
    match Commit::load(store, slice).await? {
        Some(winner) => finish(store, &winner).await.map(|()| true),
        None => Ok(false),
    }
}

/// Removes the files of an attempt that the winning commit does not name.
async fn remove_unnamed(
    store: &Store,
    attempt: &Commit,
    winner: &Commit,
) -> Result<(), CommitError> {
    let named: HashSet<&str> = winner.named_objects().collect();
    for path in attempt.named_objects().filter(|path| !named.contains(path)) {
        let path = Path::from(path);
        store.delete(&path).await?;
        // The attempt object that names it goes next.
        store.uploads().persist(&path).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
