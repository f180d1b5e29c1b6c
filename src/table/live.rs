//! What is live in a lake: all of it, or what came since a version of the table.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::TableError;
use super::seen::Seen;
use crate::commit::{self, CommitError, Compactions};
use crate::layout::{self, CompactionName, FileName, OwnObject};
use crate::store::{Store, StoreError};
use crate::write::FileEntry;

/// The commits and compactions of a lake, by name. Commits first: what was taken meanwhile is then known
/// to be.
pub(super) async fn list(store: &Store) -> Result<Vec<ObjectMeta>, StoreError> {
    let mut there = store.list(&layout::commits()).await?;
    there.extend(store.list(&layout::compactions()).await?);
    there.retain(|object| {
        let object = OwnObject::at(object.location.as_ref());
        matches!(
            object,
            Some(OwnObject::Commit { .. } | OwnObject::Compaction { .. })
        )
    });
    Ok(there)
}

/// Live files, from one reading of commits and compactions.
pub(super) struct Live {
    /// By path.
    pub(super) files: BTreeMap<String, FileEntry>,
    pub(super) compactions: Compactions,
    /// Slices whose commit is there, and cannot be read.
    unreadable: BTreeSet<String>,
    /// The commits that were read, and the compactions.
    pub(super) commits_seen: Seen,
    pub(super) compactions_seen: Seen,
}

impl Live {
    /// Reads all of a lake.
    pub(super) async fn read(store: &Store) -> Result<Self, TableError> {
        let slices = commit::committed_slices(store).await?;
        let commits = Commits::load(store, slices).await?;
        let compactions = Compactions::load(store).await?;
        let names = compactions.iter().map(|of| layout::compaction(of.name()));
        Ok(Self {
            compactions_seen: Seen::of(&names.collect::<Vec<_>>()),
            files: by_path(compactions.live(commits.files)),
            compactions,
            unreadable: commits.unreadable,
            commits_seen: Seen::of(&commits.read),
        })
    }

    /// Reads what new commits and compactions made live; `None` where one of them cannot be read, and
    /// where nobody knows which files of their days are live.
    pub(super) async fn of_new(store: &Store, new: &[Path]) -> Result<Option<Self>, TableError> {
        let (mut slices, mut made) = (BTreeSet::new(), BTreeSet::new());
        for path in new {
            match OwnObject::at(path.as_ref()) {
                Some(OwnObject::Commit { slice }) => drop(slices.insert(slice)),
                Some(OwnObject::Compaction { name }) => drop(made.insert(name)),
                _ => {}
            }
        }
        let asked = slices.len();
        let commits = Commits::load(store, slices).await?;
        let mut days: BTreeSet<_> = commits.files.iter().filter_map(day_of).collect();
        days.extend(made.iter().map(|name| name.day));
        let mut compactions = Compactions::load_days(store, &days).await?;
        if commits.read.len() < asked || !compactions.take_damaged().is_empty() {
            return Ok(None);
        }
        let mut files = compactions.live(commits.files);
        // What earlier compactions left is part of the table already.
        files.retain(|file| compaction_of(file).is_none_or(|name| made.contains(&name)));
        let names: Vec<Path> = made.into_iter().map(layout::compaction).collect();
        Ok(Some(Self {
            files: by_path(files),
            compactions,
            unreadable: BTreeSet::new(),
            commits_seen: Seen::of(&commits.read),
            compactions_seen: Seen::of(&names),
        }))
    }

    /// Whether a file may be live, although nothing that can be read says so.
    pub(super) fn may_have(&self, path: &str) -> bool {
        FileName::parse(path).is_some_and(|name| {
            self.compactions.is_unsure(name.key) || self.unreadable.contains(&name.slice)
        })
    }
}

/// The compaction that left a file; `None` where a slice did.
pub(super) fn compaction_of(file: &FileEntry) -> Option<CompactionName> {
    CompactionName::of_file(&FileName::parse(&file.path)?)
}

fn day_of(file: &FileEntry) -> Option<layout::PartitionKey> {
    FileName::parse(&file.path).map(|name| name.key)
}

fn by_path(files: Vec<FileEntry>) -> BTreeMap<String, FileEntry> {
    let files = files.into_iter();
    files.map(|file| (file.path.clone(), file)).collect()
}

/// Commits, as far as they can be read.
#[derive(Default)]
struct Commits {
    read: Vec<Path>,
    files: Vec<FileEntry>,
    unreadable: BTreeSet<String>,
}

impl Commits {
    async fn load(store: &Store, slices: BTreeSet<String>) -> Result<Self, TableError> {
        let mut loaded = Self::default();
        let mut commits = commit::load_commits(store, slices);
        loop {
            match commits.try_next().await {
                Ok(Some(commit)) => {
                    loaded.read.push(layout::commit(&commit.slice));
                    loaded.files.extend(commit.files);
                }
                Ok(None) => return Ok(loaded),
                Err(CommitError::Damaged { path, .. }) => {
                    loaded.unreadable.extend(layout::slice_of_commit(&path));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
