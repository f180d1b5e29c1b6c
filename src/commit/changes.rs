//! What of a lake's identity changed after it was made: `_mdca/changes/<n>.json`, numbered from 0,
//! each created once.

use serde::{Deserialize, Serialize};

use super::checked_json;
use super::damage::Damage;
use super::{CommitError, caps};
use crate::layout::{self, OwnObject};
use crate::store::{Creation, Store};

const VERSION: u32 = 1;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    version: u32,
    /// Its place among the changes, from 0.
    pub number: u32,
    /// The run that made it.
    pub run: String,
    /// When, in milliseconds since the epoch.
    pub made_ms: i64,
    /// What changed.
    pub change: ChangeKind,
}

/// What can change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The tenant's host.
    ApiHost {
        /// What it was.
        from: String,
        /// What it is.
        to: String,
        /// The tenant that both answer for, as `<field>=<value>`; none where nothing could be
        /// compared.
        tenant: Option<String>,
    },
    /// Which files are live is said by compactions, too: a program that does not know them would take
    /// what they have taken for lost.
    Compactions,
}

/// The changes of a lake, oldest first, up to the first that this program does not understand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes(Vec<Change>);

impl Change {
    /// A change of the version that this program writes.
    pub fn new(number: u32, run: String, made_ms: i64, change: ChangeKind) -> Self {
        Self {
            version: VERSION,
            number,
            run,
            made_ms,
            change,
        }
    }

    /// Records the change, unless there is one of its number already.
    pub async fn create(&self, store: &Store) -> Result<Creation, CommitError> {
        let path = layout::change(self.number);
        Ok(store.create(&path, checked_json::seal(self)).await?)
    }

    /// Reads the change of a number.
    async fn load(store: &Store, number: u32) -> Result<Self, CommitError> {
        let path = layout::change(number);
        let bytes = checked_json::read(store, &path, caps::CHANGE_BYTES).await?;
        let read = match bytes {
            Some(bytes) => checked_json::open::<Self>(&bytes, VERSION),
            None => Err(Damage::Gap),
        };
        match read {
            Ok(change) if change.number == number => Ok(change),
            Ok(change) => Err(CommitError::Damaged {
                path,
                damage: Damage::Place(layout::change(change.number).to_string()),
            }),
            Err(damage) => Err(CommitError::Damaged { path, damage }),
        }
    }
}

impl Changes {
    /// Reads the changes of a lake. What this program does not understand is left out: the lake can
    /// be read without it, and not be written ([`check_writable`]).
    pub async fn load(store: &Store) -> Result<Self, CommitError> {
        Ok(read(store).await?.0)
    }

    /// The number of the next change.
    pub fn next_number(&self) -> u32 {
        self.0.last().map_or(0, |last| last.number + 1)
    }

    /// Whether they say that the lake has compactions.
    pub fn say_compactions(&self) -> bool {
        let mut changes = self.0.iter();
        changes.any(|change| change.change == ChangeKind::Compactions)
    }

    /// The tenant's host now, where it changed.
    pub fn api_host(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|change| match &change.change {
            ChangeKind::ApiHost { to, .. } => Some(to.as_str()),
            ChangeKind::Compactions => None,
        })
    }
}

/// How often it is said that a lake has compactions, while others change it.
const ANNOUNCE_TRIES: u32 = 8;

/// Says that the lake has compactions, unless that was said.
pub async fn announce_compactions(
    store: &Store,
    run: &str,
    now_ms: i64,
) -> Result<(), CommitError> {
    for _ in 0..ANNOUNCE_TRIES {
        let changes = Changes::load(store).await?;
        if changes.say_compactions() {
            return Ok(());
        }
        let number = changes.next_number();
        let change = Change::new(number, run.to_owned(), now_ms, ChangeKind::Compactions);
        if change.create(store).await? == Creation::Created {
            return Ok(());
        }
    }
    Err(CommitError::Damaged {
        path: layout::changes(),
        damage: Damage::Gap,
    })
}

/// Makes sure that nothing was changed in a way that this program does not understand.
///
/// # Errors
/// There is such a change: to this program the lake is one to read.
pub async fn check_writable(store: &Store) -> Result<(), CommitError> {
    read(store).await?.1.map_or(Ok(()), Err)
}

/// The changes, and why the first that cannot be understood is none of them.
async fn read(store: &Store) -> Result<(Changes, Option<CommitError>), CommitError> {
    let listed = store.list(&layout::changes()).await?;
    let number_of = |path: &str| match OwnObject::at(path) {
        Some(OwnObject::Change { number }) => Some(number),
        _ => None,
    };
    let numbers = listed
        .iter()
        .filter_map(|object| number_of(object.location.as_ref()));
    let mut changes = Changes::default();
    let Some(last) = numbers.max() else {
        return Ok((changes, None));
    };
    for number in 0..=last {
        match Change::load(store, number).await {
            Ok(change) => changes.0.push(change),
            Err(error @ CommitError::Damaged { .. }) => return Ok((changes, Some(error))),
            Err(error) => return Err(error),
        }
    }
    Ok((changes, None))
}
