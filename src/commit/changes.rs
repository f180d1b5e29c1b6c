//! What of a lake was changed since it was made: `_mdca/changes/<n>.json`, numbered, created once.

use serde::de::IgnoredAny;

use super::paths::OwnObject;
use super::{CommitError, caps, paths, sealed};
use crate::store::Store;

/// The version of a change that this program understands: none was ever made.
const VERSION: u32 = 0;

/// Makes sure that nothing was changed in a way that this program does not understand.
///
/// # Errors
/// There is such a change: to this program the lake is one to read.
pub async fn check_writable(store: &Store) -> Result<(), CommitError> {
    for object in store.list(&paths::changes()).await? {
        let path = object.location;
        if !matches!(OwnObject::at(path.as_ref()), Some(OwnObject::Change)) {
            continue;
        }
        let Some(bytes) = sealed::read(store, &path, caps::CHANGE_BYTES).await? else {
            continue;
        };
        let understood = sealed::open::<IgnoredAny>(&bytes, VERSION);
        understood.map_err(|damage| CommitError::Damaged { path, damage })?;
    }
    Ok(())
}
