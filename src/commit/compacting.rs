//! Steps 2 to 6 of a compaction, and what is made of those that died.
//!
//! 1. The outputs are written into invisible uploads and compared with the inputs (by the caller).
//!    *After a crash:* unfinished uploads, which go with the compaction of that number or as a bucket's
//!    rule says.
//! 2. If the compaction is there already, the attempt is lost. Else the **attempt object** is put, with
//!    the whole compaction to be. From here the owner deletes none of its outputs until it has read a
//!    compaction that names another attempt. *After a crash:* see below.
//! 3. The compaction is looked for once more, then the outputs are published. Whoever reads by a pattern
//!    sees their rows twice until step 6 has ended.
//! 4. The compaction is created, only if none is there; an error or "exists" is read back. A loser puts
//!    its attempt object again, so that its outputs stay findable, and removes them.
//! 5. What else shows which files are live ([`Projection`](super::Projection)) is brought up to date before
//!    anything is removed; where that fails the next run goes on here.
//! 6. The inputs are removed ([`Cleaner::finish_compaction`]), then the own attempt object.
//!
//! An attempt that somebody left is judged by its own compaction: it names the attempt → 5 and 6; it
//! names another → the outputs are removed, and the attempt object an hour after the compaction was made;
//! there is none, and the attempt is an hour old → one is made that takes and leaves nothing, and the
//! attempt has lost. What has lost is removed only while what it would have taken is there, or another
//! compaction has taken it: else its own compaction was made, and is lost. Compactions are made again,
//! never adopted, and nothing of one that nobody has made is removed.

use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use tracing::{debug, info, warn};

use super::compaction::CompactionAttempt;
use super::damage::Damage;
use super::protocol::look_again;
use super::taken::are_safe;
use super::{Cleaner, CommitError, Compaction, caps};
use crate::clock::Clock;
use crate::layout::{self, CompactionName, OwnObject};
use crate::store::{Checksum, Creation, Store, StoreError};
use crate::write::FinishedFile;

/// How often a compaction is put and read back before its outcome is left to the next run.
const TRIES: u32 = 5;
/// The pause between two of these tries.
const PAUSE: Duration = Duration::from_secs(1);

/// An attempt at a compaction with all its uploads sealed, and compared with the inputs.
pub struct PreparedCompaction {
    /// What the compaction is to say.
    pub compaction: Compaction,
    /// Its outputs.
    pub files: Vec<FinishedFile>,
}

/// How an attempt at a compaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompactionOutcome {
    /// Its outputs hold the rows of its inputs now. The SHA-256 of its object.
    Made(String),
    /// Another attempt was faster, or a void took its place.
    Lost,
}

impl PreparedCompaction {
    /// Gives the attempt up before it was recorded.
    pub async fn abort(mut self) {
        for file in &mut self.files {
            file.abort().await;
        }
    }
}

/// Makes a prepared compaction: steps 2 to 6.
///
/// # Errors
/// Before the attempt object is put everything is aborted. After it nothing is: the next run finds out
/// what happened.
pub async fn compact(
    cleaner: &Cleaner,
    clock: &dyn Clock,
    mut prepared: PreparedCompaction,
) -> Result<CompactionOutcome, CommitError> {
    let store = cleaner.store();
    let name = prepared.compaction.name();
    let body = prepared.compaction.seal();
    match record(store, &prepared.compaction, body.len()).await {
        Ok(None) => {}
        Ok(Some(_)) => {
            prepared.abort().await;
            return Ok(CompactionOutcome::Lost);
        }
        Err(error) => {
            prepared.abort().await;
            return Err(error);
        }
    }
    if Compaction::load(store, name).await?.is_some() {
        return Ok(give_up(cleaner, prepared).await);
    }
    if let Err(error) = publish(store, &mut prepared.files).await {
        return match Compaction::load(store, name).await? {
            Some(_) => Ok(give_up(cleaner, prepared).await),
            None => Err(error.into()),
        };
    }
    create(cleaner, clock, &prepared.compaction, body).await
}

/// Step 2, unless the compaction is there already: then that one.
async fn record(
    store: &Store,
    compaction: &Compaction,
    bytes: usize,
) -> Result<Option<Compaction>, CommitError> {
    if bytes as u64 > caps::COMPACTION_BYTES {
        return Err(CommitError::CompactionTooLarge {
            compaction: compaction.compaction.clone(),
            bytes: bytes as u64,
        });
    }
    let winner = Compaction::load(store, compaction.name()).await?;
    if winner.is_none() {
        CompactionAttempt::put(store, compaction).await?;
    }
    Ok(winner)
}

/// Step 3: makes the outputs visible.
async fn publish(store: &Store, files: &mut [FinishedFile]) -> Result<(), StoreError> {
    for file in files {
        let published = file.publish().await;
        look_again(store, &file.entry.path, file.entry.bytes, published).await?;
    }
    Ok(())
}

/// Steps 4 to 6.
async fn create(
    cleaner: &Cleaner,
    clock: &dyn Clock,
    compaction: &Compaction,
    body: Bytes,
) -> Result<CompactionOutcome, CommitError> {
    let store = cleaner.store();
    let name = compaction.name();
    let path = layout::compaction(name);
    let mut last: Option<StoreError> = None;
    for attempt in 0..TRIES {
        if attempt > 0 {
            clock.sleep(PAUSE).await;
        }
        match store.create(&path, body.clone()).await {
            Ok(Creation::Created) => return win(cleaner, compaction, &body).await,
            Ok(Creation::Existed) => {}
            Err(error) => {
                warn!(%name, error = &error as &dyn std::error::Error, "the outcome of the compaction is unknown; reading it back");
                last = Some(error);
            }
        }
        match Compaction::load(store, name).await {
            Ok(Some(winner)) if winner == *compaction => {
                return win(cleaner, compaction, &body).await;
            }
            Ok(Some(_)) => return Ok(lose(cleaner, compaction).await),
            Ok(None) => {}
            Err(CommitError::Store(error)) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(CommitError::CompactionUnknown {
        compaction: compaction.compaction.clone(),
        tries: TRIES,
        last,
    })
}

/// The compaction is ours: it is made durable, then what it has taken is removed.
async fn win(
    cleaner: &Cleaner,
    compaction: &Compaction,
    body: &[u8],
) -> Result<CompactionOutcome, CommitError> {
    cleaner.finish_compaction(compaction).await;
    Ok(CompactionOutcome::Made(Checksum::of(body)))
}

/// Another won before everything of ours was published.
async fn give_up(cleaner: &Cleaner, prepared: PreparedCompaction) -> CompactionOutcome {
    let own = prepared.compaction.clone();
    prepared.abort().await;
    lose(cleaner, &own).await
}

/// Clears away an attempt of our own after another won. Its attempt object stays until the compaction is
/// an hour old: a put of ours whose answer was lost may still be on its way.
async fn lose(cleaner: &Cleaner, own: &Compaction) -> CompactionOutcome {
    info!(compaction = %own.compaction, attempt = %own.attempt, "another attempt won");
    let store = cleaner.store();
    let winner = layout::compaction(own.name());
    let recorded = async {
        store.uploads().persist(&winner).await?;
        // Whoever cleared up before us may have taken it.
        CompactionAttempt::put(store, own).await
    };
    match recorded.await {
        Ok(()) => {
            cleaner.remove_outputs(own, &mut Vec::new()).await;
        }
        Err(error) => cleaner.leave(1, Some(&error)),
    }
    CompactionOutcome::Lost
}

/// Judges the attempts at compactions that are among these paths. What cannot be read or removed is left:
/// none of it stops a run. Returns how many were brought to an end.
pub async fn recover_compactions(
    cleaner: &Cleaner,
    paths: impl IntoIterator<Item = Path>,
) -> (u64, Vec<Path>) {
    let (mut finished, mut removed) = (0, Vec::new());
    for path in paths {
        let Some(OwnObject::CompactionAttempt { name }) = OwnObject::at(path.as_ref()) else {
            continue;
        };
        if cleaner.gave_up() {
            cleaner.leave(1, None);
            continue;
        }
        match recover_one(cleaner, name, &path, &mut removed).await {
            Ok(is_finished) => finished += u64::from(is_finished),
            Err(CommitError::Damaged { path, damage }) => {
                warn!(%path, %damage, "left alone: the compaction or the attempt cannot be read");
            }
            Err(error) => {
                warn!(%path, error = %crate::text::plain::chain(&error), "what is left of a compaction cannot be cleared up now; the next run tries again");
            }
        }
    }
    (finished, removed)
}

/// Removes what was staged for compactions by those that died before they recorded an attempt, and others have
/// made. What cannot be read or removed is left: none of it stops a run.
pub async fn clear_staged(cleaner: &Cleaner) {
    if let Err(error) = sweep_staged(cleaner).await {
        warn!(error = %crate::text::plain::chain(&error), "what was staged for compactions cannot be cleared up now; the next run tries again");
    }
}

async fn sweep_staged(cleaner: &Cleaner) -> Result<(), CommitError> {
    if cleaner.gave_up() {
        return Ok(());
    }
    for left in cleaner.store().uploads().leftovers().await? {
        let Ok(name) = left.parse::<CompactionName>() else {
            continue;
        };
        match cleaner.sweep_staged(name).await {
            Ok(_) | Err(CommitError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Judges one attempt by its own compaction; false where it is left as it is.
async fn recover_one(
    cleaner: &Cleaner,
    name: CompactionName,
    path: &Path,
    removed: &mut Vec<Path>,
) -> Result<bool, CommitError> {
    let store = cleaner.store();
    let Some(attempt) = CompactionAttempt::load(store, path).await? else {
        return Ok(false);
    };
    let made = match Compaction::load(store, name).await? {
        Some(made) => made,
        None if !is_old(cleaner, path).await? => return Ok(false),
        // What it has taken is gone, so it was made, and is the only copy.
        None if !are_safe(store, attempt.named_inputs()).await? => {
            return Err(CommitError::Damaged {
                path: layout::compaction(name),
                damage: Damage::Lost,
            });
        }
        None => match make_void(store, name).await? {
            Some(made) => made,
            None => return Ok(false),
        },
    };
    if made.attempt == attempt.attempt {
        removed.extend(cleaner.finish_compaction(&made).await);
        return Ok(true);
    }
    let key = layout::compaction(name);
    store.uploads().persist(&key).await?;
    let is_clear = cleaner.remove_outputs(&attempt, removed).await;
    if is_clear && is_old(cleaner, &key).await? && cleaner.remove(path).await {
        removed.push(path.clone());
        store.uploads().sweep(&attempt.compaction).await?;
        store.uploads().tidy(&attempt.compaction).await;
    }
    Ok(true)
}

/// Whether nothing but a compaction that is not there can have removed what this attempt would take. To be
/// asked of an attempt whose compaction was missing when it was read.
///
/// # Errors
/// The store; a compaction of the day that cannot be read.
pub async fn is_compaction_lost(store: &Store, attempt: &Compaction) -> Result<bool, CommitError> {
    let is_safe = are_safe(store, attempt.named_inputs()).await?;
    // It may have been made a moment ago.
    Ok(!is_safe && Compaction::load(store, attempt.name()).await?.is_none())
}

/// Whether an object is there, and so old that nobody who has put it is asleep any more.
async fn is_old(cleaner: &Cleaner, path: &Path) -> Result<bool, CommitError> {
    let found = cleaner.store().look(path).await?;
    Ok(found.is_some_and(|found| cleaner.is_old(found.last_modified)))
}

/// Makes a compaction that takes and leaves nothing, unless there is one: returns the one that is.
async fn make_void(store: &Store, name: CompactionName) -> Result<Option<Compaction>, CommitError> {
    let void = Compaction::void(name);
    let created = store.create(&layout::compaction(name), void.seal()).await;
    if let Err(error) = created {
        debug!(%name, error = &error as &dyn std::error::Error, "the outcome of a void is unknown; reading it back");
    }
    Compaction::load(store, name).await
}
