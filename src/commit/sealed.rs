//! Objects of the lake's own, sealed so that a changed byte is noticed.
//!
//! A sealed object is one line of JSON whose last member is the checksum of everything before it.

use bytes::Bytes;
use object_store::path::Path;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::CommitError;
use crate::checksum::Checksum;
use crate::store::{Store, StoreError, StoreErrorKind};

const MEMBER: &str = ",\"checksum\":\"";
const TAIL: &str = "\"}\n";

/// Why the bytes of an object are not what was written.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It holds nothing.
    #[error("it is empty, so it has no checksum: it was cut short, or half written")]
    Empty,
    /// It does not end as this program ends its objects.
    #[error(
        "it does not end with its checksum: it was cut short, half written, or is not this program's"
    )]
    Unsealed,
    /// The checksum does not fit the bytes before it.
    #[error("its checksum does not fit what stands before it: it was changed")]
    Checksum,
    /// It has another version than the one that this program knows.
    #[error(
        "it has version {found}, and this program knows version {known}: use the newer program"
    )]
    Version {
        /// What it says.
        found: u64,
        /// What this program reads.
        known: u32,
    },
    /// It says something else than it should.
    #[error("it does not say what it should")]
    Content(#[source] serde_json::Error),
    /// It is no object that is read.
    #[error("it is not what belongs there")]
    Unfit(#[source] StoreError),
    /// It names another place or slice than the one where it lies.
    #[error("it belongs elsewhere: it names {0}")]
    Place(String),
}

/// Reads the bytes of an object of at most so many; `None` where there is none.
pub(super) async fn read(
    store: &Store,
    path: &Path,
    most_bytes: u64,
) -> Result<Option<Bytes>, CommitError> {
    store.get(path, most_bytes).await.map_err(|error| {
        if error.kind() == StoreErrorKind::Unfit {
            CommitError::Damaged {
                path: path.clone(),
                damage: Damage::Unfit(error),
            }
        } else {
            error.into()
        }
    })
}

/// Writes an object that serialises to JSON with at least one member.
pub(super) fn seal(content: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_string(content).expect("own types serialise to JSON");
    text.pop();
    let checksum = Checksum::of(text.as_bytes());
    [text.as_str(), MEMBER, &checksum, TAIL].concat().into()
}

/// Reads a sealed object of a version up to `known`.
pub(super) fn open<T: DeserializeOwned>(bytes: &[u8], known: u32) -> Result<T, Damage> {
    if bytes.is_empty() {
        return Err(Damage::Empty);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Damage::Checksum)?;
    let (body, checksum) = text
        .strip_suffix(TAIL)
        .and_then(|rest| rest.rsplit_once(MEMBER))
        .ok_or(Damage::Unsealed)?;
    if Checksum::of(body.as_bytes()) != checksum {
        return Err(Damage::Checksum);
    }
    let whole = format!("{body}}}");
    // The version first: what another one says may not fit. Twice over the text is quicker than once
    // through a tree, and a status reads tens of thousands.
    let Versioned { version } = serde_json::from_str(&whole).map_err(Damage::Content)?;
    match version {
        Some(found) if found > u64::from(known) => Err(Damage::Version { found, known }),
        _ => serde_json::from_str(&whole).map_err(Damage::Content),
    }
}

/// What every version has.
#[derive(Deserialize)]
struct Versioned {
    version: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_is_noticed() {
        let content = serde_json::json!({"version": 1, "slice": "s", "files": []});
        let sealed = seal(&content);
        assert_eq!(open::<serde_json::Value>(&sealed, 1).unwrap(), content);
        for position in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.to_vec();
                changed[position] ^= 1 << bit;
                assert!(
                    open::<serde_json::Value>(&changed, 1).is_err(),
                    "{position} {bit}"
                );
            }
            assert!(open::<serde_json::Value>(&sealed[..position], 1).is_err());
        }
        assert!(matches!(
            open::<serde_json::Value>(&seal(&serde_json::json!({"version": 2})), 1),
            Err(Damage::Version { found: 2, known: 1 })
        ));
    }
}
