//! The lake's live files as the table has them: for who counts or plans, and would read every commit of
//! years otherwise. It is never evidence: `verify` holds it against the commits.

use std::collections::BTreeMap;

use object_store::ObjectMeta;
use serde::Deserialize;

use super::TableError;
use super::action::Add;
use super::live::list;
use super::remarks::Remarks;
use super::seen::Seen;
use super::snapshot::{Log, Snapshot, seen_at};
use crate::layout::{FileName, OwnObject, PartitionKey};
use crate::store::Store;
use crate::window::Slice;

/// What a table says that takes in every commit and compaction.
#[derive(Debug)]
pub struct Contents {
    /// The live files.
    pub files: Vec<LiveFile>,
    remarks: Remarks,
}

/// A live file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveFile {
    /// What its path says.
    pub name: FileName,
    /// Its rows.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

impl Contents {
    /// Whether the commit of a slice may say more than its files.
    pub fn has_remarks(&self, slice: &str) -> bool {
        let slice = slice.parse::<Slice>();
        slice.is_ok_and(|slice| self.remarks.may_concern(&slice))
    }
}

/// Reads what the table of a lake says; `None` where it does not take in everything that was committed, or
/// is not as this program writes it: then the commits are to be read.
///
/// # Errors
/// The store.
pub async fn contents(store: &Store) -> Result<Option<Contents>, TableError> {
    let log = Log::list(store).await?;
    let Some(tip) = log.tip() else {
        return Ok(None);
    };
    let seen = seen_at(store, tip).await?;
    let there = list(store).await?;
    let is_current = seen.is_some_and(|(seen, _)| seen == Seen::of(&there));
    if !is_current || lacks_compactions(&there) || !log.is_readable(store).await? {
        return Ok(None);
    }
    let snapshot = match Snapshot::read(store, &log).await {
        Ok(snapshot) => snapshot,
        Err(TableError::Unreadable { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let files: Option<Vec<LiveFile>> = snapshot.files.values().map(live_file).collect();
    Ok(files.map(|files| Contents {
        files,
        remarks: Remarks::read(snapshot.txns()),
    }))
}

/// The files that the table of a lake names, whether it takes in everything or not.
///
/// # Errors
/// The store; a log that cannot be read.
pub async fn files(store: &Store) -> Result<Vec<LiveFile>, TableError> {
    let log = Log::list(store).await?;
    if log.is_empty() {
        return Ok(Vec::new());
    }
    let snapshot = Snapshot::read(store, &log).await?;
    Ok(snapshot.files.values().filter_map(live_file).collect())
}

/// Whether a number is missing among the compactions of a day: nobody knows then which of its files are live.
fn lacks_compactions(there: &[ObjectMeta]) -> bool {
    let mut days: BTreeMap<PartitionKey, (u32, u32)> = BTreeMap::new();
    for object in there {
        if let Some(OwnObject::Compaction { name }) = OwnObject::at(object.location.as_ref()) {
            let (count, last) = days.entry(name.day).or_default();
            (*count, *last) = (*count + 1, name.number.max(*last));
        }
    }
    days.values().any(|(count, last)| *count != last + 1)
}

/// What the table says of a file; `None` where it is not as this program writes it.
pub(super) fn live_file(add: &Add) -> Option<LiveFile> {
    #[derive(Deserialize)]
    struct Statistics {
        #[serde(rename = "numRecords")]
        rows: u64,
    }

    let statistics: Statistics = serde_json::from_str(add.stats.as_deref()?).ok()?;
    Some(LiveFile {
        name: FileName::parse(&add.path)?,
        rows: statistics.rows,
        bytes: u64::try_from(add.size).ok()?,
    })
}
