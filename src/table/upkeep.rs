//! Checkpoints, and the removal of what is too old to be asked for.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use object_store::ObjectMeta;
use object_store::path::Path;
use tracing::warn;

use super::TableError;
use super::checkpoint;
use super::snapshot::{LastCheckpoint, Log, Snapshot};
use crate::layout::LogObject;
use crate::store::{Store, StoreError};

/// Versions after which a checkpoint is written: who opens the table reads it, and those after it.
const VERSIONS: u64 = 50;
/// How long every version of the table can be asked for.
const KEPT: TimeDelta = TimeDelta::days(30);
/// How long a checkpoint remembers files that were removed: what the protocol's default is.
const REMEMBERED: TimeDelta = TimeDelta::days(7);

/// Whether so many versions came after the last checkpoint that another one is due.
pub(super) fn is_due(log: &Log) -> bool {
    let last = log.checkpoints.last().map_or(0, |last| *last);
    let tip = log.tip().unwrap_or_default();
    tip.saturating_sub(last) >= VERSIONS
}

/// Writes a checkpoint of the table as it is.
pub(super) async fn write_checkpoint(
    store: &Store,
    snapshot: &Snapshot,
    now_ms: i64,
) -> Result<(), TableError> {
    let actions = snapshot.actions(now_ms.saturating_sub(REMEMBERED.num_milliseconds()));
    let bytes = checkpoint::encode(&actions)?;
    let version = snapshot.version;
    let size_in_bytes = Some(bytes.len() as u64);
    store
        .put(&LogObject::Checkpoint(version).path(), bytes)
        .await?;
    let last = LastCheckpoint {
        version,
        size: actions.len(),
        size_in_bytes,
    };
    let last = serde_json::to_vec(&last).expect("own types serialise to JSON");
    let path = LogObject::LastCheckpoint.path();
    store.put(&path, Bytes::from(last)).await?;
    Ok(())
}

/// Removes the versions and checkpoints before the last checkpoint that is too old to be asked for,
/// oldest first. What cannot be removed stays: it does no harm.
pub(super) async fn remove_old(store: &Store) {
    let removed = async {
        let log = Log::list(store).await?;
        for path in old(&log.objects) {
            store.delete(&path).await?;
        }
        Ok::<_, TableError>(())
    };
    if let Err(error) = removed.await {
        warn!(
            lake = %store.location(),
            error = %crate::text::plain::chain(&error),
            "cannot remove old versions of the table; no committed slice is affected"
        );
    }
}

/// What is too old, by the times of the store alone: the newest object of the log says what time it is.
fn old(objects: &[ObjectMeta]) -> Vec<Path> {
    let now = objects.iter().map(|object| object.last_modified).max();
    let is_old = |made: DateTime<Utc>| now.is_some_and(|now| now - made > KEPT);
    let named = |object: &ObjectMeta| LogObject::at(object.location.as_ref());
    let checkpoints = objects.iter().filter_map(|object| match named(object) {
        Some(LogObject::Checkpoint(version)) if is_old(object.last_modified) => Some(version),
        _ => None,
    });
    let Some(kept) = checkpoints.max() else {
        return Vec::new();
    };
    let mut old: Vec<(u64, Path)> = objects
        .iter()
        .filter_map(|object| match named(object) {
            Some(LogObject::Version(version) | LogObject::Checkpoint(version))
                if version < kept =>
            {
                Some((version, object.location.clone()))
            }
            _ => None,
        })
        .collect();
    old.sort();
    old.into_iter().map(|(_, path)| path).collect()
}

/// Removes a log that cannot be read, the newest versions first: who reads it meanwhile sees an older
/// one.
pub(super) async fn remove_all(store: &Store, log: &Log) -> Result<(), StoreError> {
    for object in log.objects.iter().rev() {
        store.delete(&object.location).await?;
    }
    Ok(())
}
