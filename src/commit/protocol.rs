//! Steps 2 to 5 of a commit; the room says what they are.

use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use tracing::{info, warn};

use super::{Attempt, Cleaner, Commit, CommitError, RejectsEntry, caps};
use crate::clock::Clock;
use crate::layout;
use crate::store::{Checksum, Creation, Store, StoreError, Upload};
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

    /// The commit's bytes, if they are few enough to be read again.
    fn body(&self) -> Result<Bytes, CommitError> {
        let body = self.commit.seal();
        let bytes = body.len() as u64;
        if bytes <= caps::COMMIT_BYTES {
            return Ok(body);
        }
        Err(CommitError::TooLarge {
            slice: self.commit.slice.clone(),
            bytes,
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

/// A commit that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What it says.
    pub commit: Commit,
    /// The SHA-256 of its object: `sha256:` and its digits.
    pub checksum: String,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its rows are the slice's.
    Committed(Box<Made>),
    /// Another attempt's are.
    Lost,
}

/// Commits a prepared attempt: steps 2 to 5.
///
/// # Errors
/// Before the attempt object is put everything is aborted. After it nothing is: the next run finds
/// out what happened.
pub async fn commit(
    cleaner: &Cleaner,
    clock: &dyn Clock,
    mut prepared: Prepared,
) -> Result<Outcome, CommitError> {
    let checked = prepared.check_conservation();
    let body = match checked.and_then(|()| prepared.body()) {
        Ok(body) => body,
        Err(error) => {
            prepared.abort().await;
            return Err(error);
        }
    };
    let store = cleaner.store();
    let slice = prepared.commit.slice.clone();
    if prepared.files.is_empty() && prepared.rejects.is_none() {
        return create_commit(cleaner, clock, &prepared.commit, body).await;
    }
    match record(store, &prepared.commit).await {
        Ok(None) => {}
        Ok(Some(winner)) => {
            prepared.abort().await;
            cleaner.finish(&winner).await;
            return Ok(Outcome::Lost);
        }
        Err(error) => {
            prepared.abort().await;
            return Err(error);
        }
    }
    if let Some(winner) = Commit::load(store, &slice).await? {
        return Ok(give_up(cleaner, prepared, &winner).await);
    }
    if let Err(error) = publish(store, &mut prepared).await {
        return match Commit::load(store, &slice).await? {
            Some(winner) => Ok(give_up(cleaner, prepared, &winner).await),
            None => Err(error.into()),
        };
    }
    create_commit(cleaner, clock, &prepared.commit, body).await
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
pub(super) async fn look_again(
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
pub(super) async fn create_commit(
    cleaner: &Cleaner,
    clock: &dyn Clock,
    commit: &Commit,
    body: Bytes,
) -> Result<Outcome, CommitError> {
    let store = cleaner.store();
    let path = layout::commit(&commit.slice);
    let mut last: Option<StoreError> = None;
    for attempt in 0..COMMIT_TRIES {
        if attempt > 0 {
            clock.sleep(COMMIT_PAUSE).await;
        }
        match store.create(&path, body.clone()).await {
            Ok(Creation::Created) => return win(cleaner, commit, &body).await,
            Ok(Creation::Existed) => {}
            Err(error) => {
                warn!(slice = %commit.slice, error = &error as &dyn std::error::Error, "the outcome of the commit is unknown; reading it back");
                last = Some(error);
            }
        }
        match Commit::load(store, &commit.slice).await {
            Ok(Some(winner)) if winner == *commit => return win(cleaner, commit, &body).await,
            // It was taken for dead, and what it had published by then was committed for it. The rest
            // of it is left: it may be the only copy.
            Ok(Some(winner)) if winner.attempt == commit.attempt => return Ok(Outcome::Lost),
            Ok(Some(winner)) => return Ok(lose(cleaner, commit, &winner).await),
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

/// The commit is ours: it is made durable, then whatever else was tried is cleared away.
async fn win(cleaner: &Cleaner, commit: &Commit, body: &[u8]) -> Result<Outcome, CommitError> {
    let path = layout::commit(&commit.slice);
    cleaner.store().uploads().persist(&path).await?;
    cleaner.clear(commit).await;
    Ok(Outcome::Committed(Box::new(Made {
        commit: commit.clone(),
        checksum: Checksum::of(body),
    })))
}

/// Another won before everything of ours was published.
async fn give_up(cleaner: &Cleaner, prepared: Prepared, winner: &Commit) -> Outcome {
    let own = prepared.commit.clone();
    prepared.abort().await;
    lose(cleaner, &own, winner).await
}

/// Clears away an attempt of our own after another won. Its attempt object stays until the commit is
/// an hour old: a put of ours whose answer was lost may still be on its way.
async fn lose(cleaner: &Cleaner, own: &Commit, winner: &Commit) -> Outcome {
    info!(slice = %own.slice, attempt = %own.attempt, winner = %winner.attempt, "another attempt won");
    let path = layout::commit(&winner.slice);
    match cleaner.store().uploads().persist(&path).await {
        Ok(()) => {
            // Whoever cleared up before us may have taken the attempt object that names our files.
            cleaner.remove_unnamed(own, winner, &mut Vec::new()).await;
            cleaner.clear(winner).await;
        }
        Err(error) => cleaner.leave(1, Some(&error)),
    }
    Outcome::Lost
}
