//! Objects of the lake's own, sealed so that a changed byte is noticed.
//!
//! A sealed object is one line of JSON whose last member is the checksum of everything before it.

use bytes::Bytes;
use object_store::path::Path;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::CommitError;
use super::damage::Damage;
use crate::store::{Checksum, Store, StoreErrorKind};

/// What the objects say of the program that wrote them.
pub(super) const TOOL_VERSION: &str = env!("CARGO_PKG_VERSION");
const MEMBER: &str = ",\"checksum\":\"";
const TAIL: &str = "\"}\n";

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
    seal_text(serde_json::to_string(content).expect("own types serialise to JSON"))
}

/// Seals the text of a JSON object that has at least one member.
pub(super) fn seal_text(mut text: String) -> Bytes {
    text.pop();
    let checksum = Checksum::of(text.as_bytes());
    [text.as_str(), MEMBER, &checksum, TAIL].concat().into()
}

/// Reads a sealed object of a version up to `known`. Members that are not known are passed over.
pub(super) fn open<T: DeserializeOwned>(bytes: &[u8], known: u32) -> Result<T, Damage> {
    if bytes.is_empty() {
        return Err(Damage::Empty);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Damage::Checksum)?;
    let sealed = text
        .strip_suffix(TAIL)
        .and_then(|rest| rest.rsplit_once(MEMBER))
        .filter(|(_, checksum)| checksum.starts_with(Checksum::PREFIX));
    let Some((body, checksum)) = sealed else {
        // A newer program may seal otherwise.
        return Err(match read_version::<IgnoredAny>(text, known) {
            Err(newer @ Damage::Newer { .. }) => newer,
            _ => Damage::Unsealed,
        });
    };
    if Checksum::of(body.as_bytes()) != checksum {
        return Err(Damage::Checksum);
    }
    read_version(&format!("{body}}}"), known)
}

/// Reads the text of an object of a version up to `known`.
pub(super) fn read_version<T: DeserializeOwned>(text: &str, known: u32) -> Result<T, Damage> {
    // The version first: what another one says may not fit. Twice over the text is quicker than once
    // through a tree, and a status reads tens of thousands.
    let Versioned {
        version,
        tool_version,
    } = serde_json::from_str(text).map_err(Damage::Content)?;
    if version > u64::from(known) {
        return Err(Damage::Newer {
            found: version,
            known,
            tool_version,
        });
    }
    serde_json::from_str(text).map_err(Damage::Content)
}

/// What every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
    tool_version: Option<String>,
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
    }

    #[test]
    fn a_newer_version_is_not_damage_however_it_is_sealed() {
        let newer = serde_json::json!({"version": 2, "tool_version": "7.1.0"});
        let otherwise = br#"{"version": 2, "tool_version": "7.1.0", "seal": "x"}"#;
        for bytes in [seal(&newer), Bytes::from_static(otherwise)] {
            let read = open::<serde_json::Value>(&bytes, 1);
            let Err(damage @ Damage::Newer { found: 2, .. }) = read else {
                panic!("{read:?}");
            };
            assert!(damage.to_string().contains("mdca-lake 7.1.0"), "{damage}");
        }
        let old = Bytes::from_static(br#"{"version": 1, "seal": "x"}"#);
        let read = open::<serde_json::Value>(&old, 1);
        assert!(matches!(read, Err(Damage::Unsealed)), "{read:?}");
    }
}
