//! How the table stands beside the commits and compactions: up to date, behind them, or with more than are
//! there, which is how a loss is noticed.

use std::collections::BTreeSet;

use object_store::ObjectMeta;

use super::TableError;
use super::live::{list, named};
use super::seen::Seen;
use super::snapshot::{Log, Snapshot, seen_at};
use crate::layout::{CompactionName, FileName};
use crate::store::Store;

/// What is said of a table that does not take in everything.
pub(crate) const BEHIND: &str = "behind the commits: the next run brings it up to date";
/// What is said of one that takes in as many commits, of which nobody has looked whether they are these.
pub(crate) const OF_OTHERS: &str = "older than these commits, which were copied or restored: the next run compares them, and so does verify";

/// How the table stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its last version.
    pub version: u64,
    /// Whether it takes in every commit and compaction.
    pub is_current: bool,
    /// Whether it takes in as many as are there, and others: in a copy of a lake they have other times.
    pub is_of_others: bool,
    /// Commits and compactions that it took in and that are not there any more, at least.
    pub missing: u64,
}

impl Standing {
    /// That objects of the lake were lost, where the table knows it: none is ever removed.
    pub fn loss(&self) -> Option<TableError> {
        let missing = self.missing;
        (missing > 0).then_some(TableError::Missing { missing })
    }
}

/// How the table of a lake stands; `None` where there is none.
///
/// # Errors
/// The store.
pub async fn standing(store: &Store) -> Result<Option<Standing>, TableError> {
    let log = Log::list(store).await?;
    let Some(version) = log.tip() else {
        return Ok(None);
    };
    let seen = seen_at(store, version).await?;
    let objects = list(store).await?;
    let there = Seen::of(&objects);
    let is_readable = log.is_readable(store).await?;
    let seen = seen.map(|(seen, _)| seen);
    let is_current = is_readable && seen == Some(there);
    let unnamed = if is_readable && !is_current {
        unnamed(store, &log, &objects).await?
    } else {
        0
    };
    Ok(Some(Standing {
        version,
        is_current,
        is_of_others: is_readable && seen.is_some_and(|seen| seen.is_of_others_than(there)),
        missing: seen.map_or(0, |seen| seen.more_than(there)).max(unnamed),
    }))
}

/// How many commits and compactions are missing, of those whose files the table has: since they were lost as
/// many others may have come, so that their number does not tell.
async fn unnamed(store: &Store, log: &Log, there: &[ObjectMeta]) -> Result<u64, TableError> {
    let snapshot = match Snapshot::read(store, log).await {
        Ok(snapshot) => snapshot,
        Err(TableError::Unreadable { .. }) => return Ok(0),
        Err(error) => return Err(error),
    };
    let (slices, compactions) = named(there);
    let (mut lost_slices, mut lost_compactions) = (BTreeSet::new(), BTreeSet::new());
    for name in snapshot
        .files
        .keys()
        .filter_map(|path| FileName::parse(path))
    {
        match CompactionName::of_file(&name) {
            Some(made) if compactions.contains(&made) => {}
            Some(made) => drop(lost_compactions.insert(made)),
            None if slices.contains(&name.slice) => {}
            None => drop(lost_slices.insert(name.slice)),
        }
    }
    Ok((lost_slices.len() + lost_compactions.len()) as u64)
}
