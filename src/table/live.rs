//! What is live in a lake: all of it, or what came since a version of the table.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use object_store::ObjectMeta;

use super::TableError;
use super::action::Add;
use super::seen::Seen;
use crate::commit::{self, Commit, CommitError, Compactions};
use crate::layout::{self, CompactionName, FileName, OwnObject, PartitionKey};
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
    commits: CommittedFiles,
    /// The commits that were read, and the compactions: those of which all is known that is live.
    pub(super) commits_seen: Seen,
    pub(super) compactions_seen: Seen,
    /// The commits and compactions that cannot be read, so that what they name is not in here.
    pub(super) left_out: Vec<CommitError>,
    /// Commits and compactions, those that cannot be read among them, and those that were lost.
    objects: usize,
    /// Slices of which a compaction has rows, and whose commit was lost.
    lost: usize,
}

impl Live {
    /// Reads all of a lake, whose commits and compactions these are, and whose table has these files. Where it
    /// has the file of a compaction that is missing, nobody knows which files of that day are live.
    pub(super) async fn read(
        store: &Store,
        there: &[ObjectMeta],
        shown: &BTreeMap<String, Add>,
    ) -> Result<Self, TableError> {
        Self::read_on(store, there, shown, CommittedFiles::default()).await
    }

    /// The same where some of the commits were read before.
    pub(super) async fn read_on(
        store: &Store,
        there: &[ObjectMeta],
        shown: &BTreeMap<String, Add>,
        mut commits: CommittedFiles,
    ) -> Result<Self, TableError> {
        let (mut slices, _) = named(there);
        slices.retain(|slice| !commits.has(slice));
        commits.load(store, slices).await?;
        let mut compactions = Compactions::load(store).await?;
        for path in shown.keys() {
            let name = FileName::parse(path).and_then(|name| CompactionName::of_file(&name));
            let Some(name) = name.filter(|name| compactions.lacks(*name)) else {
                continue;
            };
            // A file that is gone as well keeps no rows: the table is not to keep it.
            if store.size(&path.as_str().into()).await?.is_some() {
                compactions.load_shown(store, name, path).await?;
            }
        }
        let mut left_out = std::mem::take(&mut commits.damaged);
        left_out.extend(compactions.take_damaged());
        // What is of a day of which nobody knows what is live has to be looked at again.
        let unsure = commits.slices_of(|day| compactions.is_unsure(day));
        let is_read = |object: &&ObjectMeta| match OwnObject::at(object.location.as_ref()) {
            Some(OwnObject::Commit { slice }) => {
                commits.read.contains(&slice) && !unsure.contains(&slice)
            }
            Some(OwnObject::Compaction { name }) => {
                compactions.get(name).is_some() && !compactions.is_unsure(name.day)
            }
            _ => false,
        };
        let (of_commits, of_compactions): (Vec<_>, Vec<_>) = there
            .iter()
            .filter(is_read)
            .partition(|object| is_commit(object));
        let (commits_seen, compactions_seen) = (Seen::of(of_commits), Seen::of(of_compactions));
        let lost = lost(store, &compactions, &named(there).0).await?;
        Ok(Self {
            files: by_path(compactions.live(std::mem::take(&mut commits.files))),
            compactions,
            commits,
            commits_seen,
            compactions_seen,
            left_out,
            objects: there.len() + lost,
            lost,
        })
    }

    /// Reads what new commits and compactions made live; `None` where one of them cannot be read, and
    /// where nobody knows which files of their days are live.
    pub(super) async fn of_new(
        store: &Store,
        new: &[ObjectMeta],
    ) -> Result<Option<Self>, TableError> {
        let (slices, made) = named(new);
        let asked = slices.len();
        let mut commits = CommittedFiles::default();
        commits.load(store, slices).await?;
        let mut days: BTreeSet<_> = commits.files.iter().filter_map(day_of).collect();
        days.extend(made.iter().map(|name| name.day));
        let mut compactions = Compactions::load_days(store, &days).await?;
        if commits.read.len() < asked || !compactions.take_damaged().is_empty() {
            return Ok(None);
        }
        let mut files = compactions.live(std::mem::take(&mut commits.files));
        // What earlier compactions left is part of the table already.
        files.retain(|file| compaction_of(file).is_none_or(|name| made.contains(&name)));
        let (of_commits, of_compactions): (Vec<_>, Vec<_>) =
            new.iter().partition(|object| is_commit(object));
        Ok(Some(Self {
            files: by_path(files),
            compactions,
            commits,
            commits_seen: Seen::of(of_commits),
            compactions_seen: Seen::of(of_compactions),
            left_out: Vec::new(),
            objects: new.len(),
            lost: 0,
        }))
    }

    /// All of which it is known what is live. Where something cannot be read, the number is of all that is
    /// there: the table keeps what it has of that, so its loss has to be noticed. What was lost is counted, too:
    /// its loss stays said until it is restored.
    pub(super) fn seen(&self) -> Seen {
        let seen = self.commits_seen + self.compactions_seen;
        if self.is_whole() {
            seen
        } else {
            seen.incomplete(self.objects)
        }
    }

    /// Whether all that is there could be read, and nothing is known to be lost.
    pub(super) fn is_whole(&self) -> bool {
        self.left_out.is_empty() && self.lost == 0
    }

    /// Whether a compaction was made after these commits and compactions were listed.
    pub(super) fn has_later_than(&self, there: &[ObjectMeta]) -> bool {
        let (_, listed) = named(there);
        let mut known = self.compactions.iter();
        known.any(|compaction| !listed.contains(&compaction.name()))
    }

    /// Slices whose commits say more than their files.
    pub(super) fn remarked(&self) -> impl Iterator<Item = &String> {
        self.commits.remarked.iter()
    }

    /// Whether a file may be live, although nothing that can be read says so.
    pub(super) fn may_have(&self, path: &str) -> bool {
        FileName::parse(path).is_some_and(|name| {
            self.compactions.is_unsure(name.key) || self.commits.unreadable.contains(&name.slice)
        })
    }

    /// Whether a file is of a slice that is committed without it: its commit was lost, and made again.
    pub(super) fn has_replaced(&self, path: &str) -> bool {
        let name = FileName::parse(path);
        name.is_some_and(|name| self.commits.read.contains(&name.slice))
            && !self.files.contains_key(path)
            && !self.may_have(path)
    }

    /// Files that compactions have taken, of days of which it is known what is live.
    pub(super) fn taken(&self) -> impl Iterator<Item = &String> {
        let made = self.compactions.iter();
        let made = made.filter(|made| !self.compactions.is_unsure(made.name().day));
        made.flat_map(|made| made.inputs.iter().map(|input| &input.path))
    }
}

fn is_commit(object: &ObjectMeta) -> bool {
    layout::slice_of_commit(&object.location).is_some()
}

/// The slices of commits, and the compactions, that are among these objects.
pub(super) fn named(objects: &[ObjectMeta]) -> (BTreeSet<String>, BTreeSet<CompactionName>) {
    let (mut slices, mut made) = (BTreeSet::new(), BTreeSet::new());
    for object in objects {
        match OwnObject::at(object.location.as_ref()) {
            Some(OwnObject::Commit { slice }) => drop(slices.insert(slice)),
            Some(OwnObject::Compaction { name }) => drop(made.insert(name)),
            _ => {}
        }
    }
    (slices, made)
}

/// How many slices have rows in these compactions, and no commit.
async fn lost(
    store: &Store,
    compactions: &Compactions,
    slices: &BTreeSet<String>,
) -> Result<usize, CommitError> {
    let inputs = compactions.iter().flat_map(|made| &made.inputs);
    let names = inputs.filter_map(|input| FileName::parse(&input.path));
    let of_slices = names.filter(|name| CompactionName::of_file(name).is_none());
    let taken: BTreeSet<String> = of_slices.map(|name| name.slice).collect();
    let mut lost = 0;
    for slice in taken.difference(slices) {
        // It may have been committed, and taken, since the slices were listed.
        match Commit::load(store, slice).await {
            Ok(None) => lost += 1,
            Ok(Some(_)) | Err(CommitError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(lost)
}

/// The compaction that left a file; `None` where a slice did.
pub(super) fn compaction_of(file: &FileEntry) -> Option<CompactionName> {
    CompactionName::of_file(&FileName::parse(&file.path)?)
}

fn day_of(file: &FileEntry) -> Option<PartitionKey> {
    FileName::parse(&file.path).map(|name| name.key)
}

fn by_path(files: Vec<FileEntry>) -> BTreeMap<String, FileEntry> {
    let files = files.into_iter();
    files.map(|file| (file.path.clone(), file)).collect()
}

/// What commits say of files, as far as they can be read.
#[derive(Default)]
pub struct CommittedFiles {
    /// Their slices.
    read: BTreeSet<String>,
    files: Vec<FileEntry>,
    /// Those that say more than their files.
    remarked: BTreeSet<String>,
    /// Slices whose commit is there, and cannot be read.
    unreadable: BTreeSet<String>,
    /// Why not, of those that were read here.
    damaged: Vec<CommitError>,
}

impl CommittedFiles {
    /// Takes in what a commit says.
    pub fn take(&mut self, commit: &Commit) {
        if commit.has_remarks() {
            self.remarked.insert(commit.slice.clone());
        }
        self.read.insert(commit.slice.clone());
        self.files.extend(commit.files.iter().cloned());
    }

    /// Takes note that the commit of a slice is there, and cannot be read.
    pub fn take_unreadable(&mut self, slice: &str) {
        self.unreadable.insert(slice.to_owned());
    }

    /// The files that they name.
    pub fn iter(&self) -> impl Iterator<Item = &FileEntry> {
        self.files.iter()
    }

    fn has(&self, slice: &str) -> bool {
        self.read.contains(slice) || self.unreadable.contains(slice)
    }

    async fn load(&mut self, store: &Store, slices: BTreeSet<String>) -> Result<(), TableError> {
        let mut commits = commit::load_commits(store, slices);
        while let Some(commit) = commits.next().await {
            match commit {
                Ok(commit) => self.take(&commit),
                Err(CommitError::Damaged { path, damage }) => {
                    self.unreadable.extend(layout::slice_of_commit(&path));
                    self.damaged.push(CommitError::Damaged { path, damage });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The slices with files of some days.
    fn slices_of(&self, which: impl Fn(PartitionKey) -> bool) -> BTreeSet<String> {
        let names = self.files.iter();
        let names = names.filter_map(|file| FileName::parse(&file.path));
        let of_days = names.filter(|name| which(name.key));
        of_days.map(|name| name.slice).collect()
    }
}
