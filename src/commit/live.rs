//! Which files hold the rows of a lake: what commits and compactions name as their own, and no
//! compaction has taken.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt, stream};

use super::damage::Damage;
use super::{CommitError, Compaction, committed_slices, load_commits};
use crate::layout::{self, CompactionName, FileName, OwnObject, PartitionKey};
use crate::store::Store;
use crate::write::FileEntry;

/// Compactions that are fetched at once.
const READS: usize = 64;

/// The compactions of a lake, as far as they can be read.
#[derive(Debug, Default)]
pub struct Compactions {
    /// By day and number; of a day without damage all of them.
    known: BTreeMap<CompactionName, Compaction>,
    /// Paths that a compaction has taken, and which.
    taken: HashMap<String, CompactionName>,
    /// Days of which a compaction is missing or cannot be read: nobody knows which files are live.
    unsure: BTreeSet<PartitionKey>,
    /// What cannot be read, or is missing.
    damaged: Vec<CommitError>,
}

impl Compactions {
    /// Reads the compactions of a lake. To be read after the commits: what was taken meanwhile is then
    /// known to be.
    ///
    /// # Errors
    /// The store. Damage is no error, and costs its day.
    pub async fn load(store: &Store) -> Result<Self, CommitError> {
        Self::load_of(store, |_| true).await
    }

    /// The same of one day.
    pub async fn load_day(store: &Store, day: PartitionKey) -> Result<Self, CommitError> {
        Self::load_of(store, |of| of == day).await
    }

    /// The same of some days; of none without asking.
    pub async fn load_days(
        store: &Store,
        days: &BTreeSet<PartitionKey>,
    ) -> Result<Self, CommitError> {
        if days.is_empty() {
            return Ok(Self::default());
        }
        Self::load_of(store, |of| days.contains(&of)).await
    }

    async fn load_of(
        store: &Store,
        which: impl Fn(PartitionKey) -> bool,
    ) -> Result<Self, CommitError> {
        let mut listed: BTreeMap<PartitionKey, BTreeSet<u32>> = BTreeMap::new();
        for object in store.list(&layout::compactions()).await? {
            if let Some(OwnObject::Compaction { name }) = OwnObject::at(object.location.as_ref())
                && which(name.day)
            {
                listed.entry(name.day).or_default().insert(name.number);
            }
        }
        let mut compactions = Self::default();
        let mut names = Vec::new();
        for (&day, numbers) in &listed {
            names.extend(numbers.iter().map(|&number| CompactionName { day, number }));
        }
        let load = |name| load_one(store, name);
        let mut reads = stream::iter(names).map(load).buffered(READS);
        while let Some((name, read)) = reads.try_next().await? {
            compactions.take(name, read);
        }
        let load = |(day, numbers)| load_unlisted(store, day, numbers);
        let mut days = stream::iter(listed).map(load).buffered(READS);
        while let Some(reads) = days.try_next().await? {
            for (name, read) in reads {
                compactions.take(name, read);
            }
        }
        Ok(compactions)
    }

    pub(super) fn take(
        &mut self,
        name: CompactionName,
        read: Result<Option<Compaction>, CommitError>,
    ) {
        let missing = || CommitError::Damaged {
            path: layout::compaction(name),
            damage: Damage::Gap,
        };
        match read.and_then(|found| found.ok_or_else(missing)) {
            Ok(compaction) => {
                for input in &compaction.inputs {
                    self.taken.entry(input.path.clone()).or_insert(name);
                }
                self.known.insert(name, compaction);
            }
            Err(error) => {
                self.unsure.insert(name.day);
                self.damaged.push(error);
            }
        }
    }

    /// Takes what cannot be read out.
    pub fn take_damaged(&mut self) -> Vec<CommitError> {
        std::mem::take(&mut self.damaged)
    }

    /// The compactions that can be read.
    pub fn iter(&self) -> impl Iterator<Item = &Compaction> {
        self.known.values()
    }

    /// The compaction of a name.
    pub fn get(&self, name: CompactionName) -> Option<&Compaction> {
        self.known.get(&name)
    }

    /// Whether a compaction has taken the rows of a file, so that it is live no more.
    pub fn has_taken(&self, path: &str) -> bool {
        self.taken.contains_key(path)
    }

    /// The compaction that has taken the rows of a file.
    pub(super) fn taker_of(&self, path: &str) -> Option<&Compaction> {
        self.taken.get(path).and_then(|name| self.get(*name))
    }

    /// Whether nobody knows which files of a day are live.
    pub fn is_unsure(&self, day: PartitionKey) -> bool {
        self.unsure.contains(&day)
    }

    /// The number of the next compaction of a day.
    pub fn next_number(&self, day: PartitionKey) -> u32 {
        let of_day = CompactionName { day, number: 0 }..=CompactionName {
            day,
            number: u32::MAX,
        };
        let last = self.known.range(of_day).next_back();
        last.map_or(0, |(name, _)| name.number + 1)
    }

    /// Whether a compaction was not read, of a day of which nothing else is known to be wrong.
    pub fn lacks(&self, name: CompactionName) -> bool {
        !self.known.contains_key(&name) && !self.is_unsure(name.day)
    }

    /// Asks by key for a compaction whose file the table shows: it was made, so it is missing where it is not
    /// there.
    ///
    /// # Errors
    /// The store.
    pub async fn load_shown(
        &mut self,
        store: &Store,
        name: CompactionName,
        file: &str,
    ) -> Result<(), CommitError> {
        let missing = || CommitError::Damaged {
            path: layout::compaction(name),
            damage: Damage::Shown(file.to_owned()),
        };
        let (_, read) = load_one(store, name).await?;
        let read = read.and_then(|found| found.ok_or_else(missing));
        self.take(name, read.map(Some));
        if self.is_unsure(name.day) {
            return Ok(());
        }
        // Of a day all are known, or it is unsure.
        let of_day = self.known.keys().filter(|known| known.day == name.day);
        let listed = of_day.map(|known| known.number).collect();
        for (name, read) in load_unlisted(store, name.day, listed).await? {
            self.take(name, read);
        }
        Ok(())
    }

    /// The live files of a lake whose commits name these files. Those of a day of which nobody knows
    /// which are live are none of them.
    pub fn live(&self, committed: impl IntoIterator<Item = FileEntry>) -> Vec<FileEntry> {
        let left = self
            .known
            .values()
            .flat_map(|of| of.outputs.iter().cloned());
        let is_live = |file: &FileEntry| {
            let is_known = FileName::parse(&file.path).is_none_or(|name| !self.is_unsure(name.key));
            is_known && !self.has_taken(&file.path)
        };
        committed.into_iter().chain(left).filter(is_live).collect()
    }
}

/// A compaction as it was read: `None` where it is missing, and an error where it is damaged.
type Read = (CompactionName, Result<Option<Compaction>, CommitError>);

async fn load_one(store: &Store, name: CompactionName) -> Result<Read, CommitError> {
    match Compaction::load(store, name).await {
        Err(CommitError::Store(error)) => Err(CommitError::Store(error)),
        read => Ok((name, read)),
    }
}

/// Asks by key for the numbers that a listing lacks, up to the first that is missing: one costs its day,
/// and somebody's number of six digits should not cost a million look-ups.
async fn load_unlisted(
    store: &Store,
    day: PartitionKey,
    listed: BTreeSet<u32>,
) -> Result<Vec<Read>, CommitError> {
    let mut reads = Vec::new();
    let last = listed.last().copied().unwrap_or_default();
    for number in (0..last).filter(|number| !listed.contains(number)) {
        let read = load_one(store, CompactionName { day, number }).await?;
        let is_there = matches!(read, (_, Ok(Some(_))));
        reads.push(read);
        if !is_there {
            break;
        }
    }
    Ok(reads)
}

/// The live files of a lake, and the commits and compactions that cannot be read, so that theirs are
/// missing here.
///
/// # Errors
/// The store.
pub async fn live_files(store: &Store) -> Result<(Vec<FileEntry>, Vec<CommitError>), CommitError> {
    let (files, _, left_out) = read_live(store).await?;
    Ok((files, left_out))
}

/// The same with the compactions, from one reading.
pub async fn read_live(
    store: &Store,
) -> Result<(Vec<FileEntry>, Compactions, Vec<CommitError>), CommitError> {
    let (files, mut left_out) = files_of(store, committed_slices(store).await?).await?;
    let mut compactions = Compactions::load(store).await?;
    left_out.extend(compactions.take_damaged());
    Ok((compactions.live(files), compactions, left_out))
}

/// The same of some days, whose files came from these slices.
pub async fn read_live_days(
    store: &Store,
    days: &BTreeSet<PartitionKey>,
    slices: BTreeSet<String>,
) -> Result<(Vec<FileEntry>, Compactions, Vec<CommitError>), CommitError> {
    let (mut files, mut left_out) = files_of(store, slices).await?;
    files.retain(|file| FileName::parse(&file.path).is_some_and(|name| days.contains(&name.key)));
    let mut compactions = Compactions::load_days(store, days).await?;
    left_out.extend(compactions.take_damaged());
    Ok((compactions.live(files), compactions, left_out))
}

/// The files that the commits of slices name, and the commits that cannot be read.
async fn files_of(
    store: &Store,
    slices: BTreeSet<String>,
) -> Result<(Vec<FileEntry>, Vec<CommitError>), CommitError> {
    let (mut files, mut left_out) = (Vec::new(), Vec::new());
    let mut commits = load_commits(store, slices);
    while let Some(commit) = commits.next().await {
        match commit {
            Ok(commit) => files.extend(commit.files),
            Err(error @ CommitError::Damaged { .. }) => left_out.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok((files, left_out))
}
