//! Steps 5 and 6 of a compaction: what shows the live files is brought up to date, then the files that it
//! has taken are removed, each only while the rows are safe.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};

use futures::future::join_all;
use object_store::path::Path;

use super::{Cleaner, CommitError, Compaction, Compactions};
use crate::layout::{self, CompactionName, FileName, PartitionKey};
use crate::store::Store;

/// Files that are looked at, or removed, at once.
const AT_ONCE: usize = 16;

impl Cleaner {
    /// Brings a compaction to its end that is there: makes it durable, removes what it has taken, then
    /// what the attempt that made it has recorded. What cannot be removed is counted, and stays for the
    /// next run. Returns what was asked to be removed, and is gone.
    pub(super) async fn finish_compaction(&self, compaction: &Compaction) -> Vec<Path> {
        let mut removed = Vec::new();
        if self.gave_up() {
            self.leave(1, None);
            return removed;
        }
        let store = self.store();
        let path = layout::compaction(compaction.name());
        if let Err(error) = store.uploads().persist(&path).await {
            self.leave(1, Some(&error));
            return removed;
        }
        if !self.refresh(compaction.name().day).await {
            return removed;
        }
        let inputs = compaction.inputs.iter();
        let inputs: Vec<Path> = inputs
            .map(|input| Path::from(input.path.as_str()))
            .collect();
        let mut is_clear = true;
        for some in inputs.chunks(AT_ONCE) {
            let removals: Vec<_> = some
                .iter()
                .map(|input| self.remove_taken(compaction, input))
                .collect();
            for (input, is_gone) in some.iter().zip(join_all(removals).await) {
                is_clear &= is_gone;
                removed.extend(is_gone.then(|| input.clone()));
            }
        }
        if let Err(error) = store.uploads().sweep(&compaction.compaction).await {
            self.leave(1, Some(&error));
            is_clear = false;
        }
        let own = layout::attempt(&compaction.compaction, &compaction.attempt);
        if is_clear && self.remove(&own).await {
            removed.push(own);
        }
        store.uploads().tidy(&compaction.compaction).await;
        removed
    }

    /// Removes what was staged for a compaction that another attempt has made at least an hour ago: who died
    /// over it recorded nothing. False where it stays.
    ///
    /// # Errors
    /// The store; a compaction that cannot be read.
    pub async fn sweep_staged(&self, name: CompactionName) -> Result<bool, CommitError> {
        let store = self.store();
        let Some(made) = Compaction::load(store, name).await? else {
            return Ok(false);
        };
        let own = store.look(&layout::compaction(name)).await?;
        let is_old = own.is_some_and(|own| self.is_old(own.last_modified));
        if !is_old || !self.sees_safe(made.named_outputs()).await {
            return Ok(false);
        }
        store.uploads().sweep(&made.compaction).await?;
        store.uploads().tidy(&made.compaction).await;
        Ok(true)
    }

    /// Removes a file that a compaction has taken and that came back, after step 5; true where it is gone.
    pub async fn remove_returned(&self, compaction: &Compaction, input: &Path) -> bool {
        self.refresh(compaction.name().day).await && self.remove_taken(compaction, input).await
    }

    /// Removes a file that a compaction has taken, if all of its rows are where the compaction put them;
    /// true where it is gone.
    async fn remove_taken(&self, compaction: &Compaction, input: &Path) -> bool {
        self.sees_safe(compaction.named_outputs()).await && self.remove(input).await
    }

    /// Whether the rows of files are safe, so that what holds the same rows may go; where they are not, it
    /// is counted.
    pub(super) async fn sees_safe<'f>(&self, files: impl Iterator<Item = NamedFile<'f>>) -> bool {
        match are_safe(self.store(), files).await {
            Ok(true) => return true,
            Err(CommitError::Store(error)) => self.leave(1, Some(&error)),
            Ok(false) | Err(_) => self.leave(1, None),
        }
        false
    }

    /// Removes the files of an attempt that has lost, none of which is a compaction's, while the rows are
    /// safe that it would have taken; false where one stays.
    pub(super) async fn remove_outputs(&self, lost: &Compaction, removed: &mut Vec<Path>) -> bool {
        if !self.sees_safe(lost.named_inputs()).await {
            return false;
        }
        let mut is_clear = true;
        for output in &lost.outputs {
            let path = Path::from(output.path.as_str());
            if self.remove(&path).await {
                removed.push(path);
            } else {
                is_clear = false;
            }
        }
        is_clear
    }
}

/// A file that is named: its path, and its size where that is known.
pub(super) type NamedFile<'f> = (&'f str, Option<u64>);

impl Compaction {
    fn named_outputs(&self) -> impl Iterator<Item = NamedFile<'_>> {
        let outputs = self.outputs.iter();
        outputs.map(|output| (output.path.as_str(), Some(output.bytes)))
    }

    pub(super) fn named_inputs(&self) -> impl Iterator<Item = NamedFile<'_>> {
        let inputs = self.inputs.iter();
        inputs.map(|input| (input.path.as_str(), None))
    }
}

/// Whether the rows of files are safe without any other: each is there with its size, or a compaction has
/// taken it whose outputs are.
pub(super) async fn are_safe<'f>(
    store: &Store,
    files: impl Iterator<Item = NamedFile<'f>>,
) -> Result<bool, CommitError> {
    let mut taken: BTreeMap<PartitionKey, Compactions> = BTreeMap::new();
    for file in files {
        if is_there(store, file).await? {
            continue;
        }
        let Some(name) = FileName::parse(file.0) else {
            return Ok(false);
        };
        let of_day = match taken.entry(name.key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Compactions::load_day(store, name.key).await?),
        };
        if !is_kept(store, of_day, file.0).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the rows of a file that is not there are in the outputs of compactions. Each file is judged
/// once: numbers only grow, so nothing goes round, but compactions that somebody forged may name one file
/// in many ways.
async fn is_kept(
    store: &Store,
    compactions: &Compactions,
    path: &str,
) -> Result<bool, CommitError> {
    let mut judged: HashSet<&str> = HashSet::from([path]);
    let mut gone = vec![path];
    while let Some(path) = gone.pop() {
        let is_unsure = FileName::parse(path).is_none_or(|name| compactions.is_unsure(name.key));
        let Some(taker) = compactions.taker_of(path).filter(|_| !is_unsure) else {
            return Ok(false);
        };
        for output in taker.named_outputs() {
            if judged.insert(output.0) && !is_there(store, output).await? {
                gone.push(output.0);
            }
        }
    }
    Ok(true)
}

async fn is_there(store: &Store, (path, bytes): NamedFile<'_>) -> Result<bool, CommitError> {
    let size = store.size(&Path::from(path)).await?;
    Ok(size.is_some() && bytes.is_none_or(|bytes| size == Some(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::CompactedInput;
    use crate::layout::CompactionName;
    use crate::write::FileEntry;

    /// Compactions that somebody forged: each takes both files that the one before it left.
    #[tokio::test]
    async fn each_file_is_judged_once_however_many_ways_lead_to_it() {
        const NUMBERS: u32 = 200;
        const ATTEMPT: &str = "0123456789abcdef";
        let folder = tempfile::tempdir().unwrap();
        let store = Store::make(folder.path().to_str().unwrap()).unwrap();
        let name = |number| {
            format!("2026-11-19-{number}")
                .parse::<CompactionName>()
                .unwrap()
        };
        let output = |number, file| FileEntry {
            path: name(number).file(ATTEMPT, file).to_string(),
            rows: 1,
            bytes: 1,
            checksum: String::new(),
            timestamp_min_ms: 0,
            timestamp_max_ms: 0,
            created_min_ms: None,
            created_max_ms: None,
        };
        let outputs = |number| vec![output(number, 0), output(number, 1)];
        let mut compactions = Compactions::default();
        for number in 1..NUMBERS {
            let inputs = outputs(number - 1)
                .iter()
                .map(CompactedInput::from)
                .collect();
            let forged = Compaction::new(
                name(number),
                ATTEMPT.to_owned(),
                String::new(),
                0,
                1,
                inputs,
                outputs(number),
            );
            compactions.take(name(number), Ok(Some(forged)));
        }
        let first = output(0, 0).path;
        assert!(!is_kept(&store, &compactions, &first).await.unwrap());
        for last in outputs(NUMBERS - 1) {
            store.put(&Path::from(last.path), "x".into()).await.unwrap();
        }
        assert!(is_kept(&store, &compactions, &first).await.unwrap());
    }
}
