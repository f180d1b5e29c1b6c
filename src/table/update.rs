//! What the next versions of the table say: live files that it lacks, and those that it has and that a
//! compaction has taken.

use std::collections::{BTreeMap, BTreeSet};

use super::TableError;
use super::action::{Action, Add, Remove};
use super::facts::{self, Facts};
use super::live::{Live, compaction_of};
use super::remarks::Remarks;
use super::seen::Seen;
use super::snapshot::Snapshot;
use crate::layout::{CompactionName, FileName};

/// Files of slices that one version takes in at most, so that it can be read whole. A table that takes in more
/// shows the first of them for a moment. What compactions take and leave is one version, so that no row is there
/// twice or missing: one of them names fewer, and a run takes it in before it makes the next.
const MOST_FILES: usize = 200_000;

/// What is to become of the table.
#[derive(Debug, Default)]
pub(super) struct Update {
    /// Whether there is none so far.
    is_new: bool,
    /// The operation that makes it what it should be, where it is not.
    completion: Option<&'static str>,
    /// Files of slices.
    scanned: Vec<Add>,
    /// Files of compactions, and what these have taken.
    compacted: Vec<Add>,
    removed: Vec<Remove>,
    /// What the new slices have to remark.
    remarks: Remarks,
    /// What it takes in before, with the files of slices, and with all.
    before: Seen,
    with_slices: Seen,
    after: Seen,
}

impl Update {
    /// Of a table that takes in what was seen before, and has these files as far as they matter.
    pub(super) fn of_new(
        live: &Live,
        before: Seen,
        known: &BTreeMap<String, Add>,
        facts: &Facts,
    ) -> Self {
        let with_slices = before + live.commits_seen;
        let update = Self {
            before,
            with_slices,
            after: with_slices + live.compactions_seen,
            ..Self::default()
        };
        update.with_files(live, known, facts)
    }

    /// Compares all that is live with the table, which takes in what was seen before.
    ///
    /// # Errors
    /// The table has what nobody put there.
    pub(super) fn of_all(
        live: &Live,
        before: Seen,
        snapshot: Option<&Snapshot>,
        facts: &Facts,
    ) -> Result<Self, TableError> {
        let none = BTreeMap::new();
        let known = snapshot.map_or(&none, |snapshot| &snapshot.files);
        let is_lost = |path: &&String| {
            !live.files.contains_key(*path)
                && !live.compactions.has_taken(path)
                && !live.has_replaced(path)
                && !live.may_have(path)
        };
        if let Some(path) = known.keys().find(is_lost) {
            return Err(not_named(path));
        }
        let update = Self {
            is_new: snapshot.is_none(),
            completion: snapshot.map_or(Ok(None), facts::completion)?,
            before,
            after: live.seen(),
            ..Self::default()
        };
        Ok(update.with_files(live, known, facts))
    }

    fn with_files(mut self, live: &Live, known: &BTreeMap<String, Add>, facts: &Facts) -> Self {
        self.remarks = Remarks::of(live.remarked());
        let files = live.files.values();
        for file in files.filter(|file| !known.contains_key(&file.path)) {
            match compaction_of(file) {
                // The rows of a compaction are no news where those that it has taken were there.
                Some(name) => {
                    let is_news = self.is_new || !has_inputs(live, name, known);
                    self.compacted.push(facts.add(file, is_news));
                }
                None => self.scanned.push(facts.add(file, true)),
            }
        }
        let replaced = known.keys().filter(|path| live.has_replaced(path));
        let gone: BTreeSet<&String> = live.taken().chain(replaced).collect();
        let removed = gone.into_iter().filter_map(|path| known.get(path));
        self.removed = removed.map(|add| facts.remove(add)).collect();
        self
    }

    /// Whether a table that takes in what was seen `before`, and remarks this, is as it should be.
    pub(super) fn changes_nothing(&self, before: Option<Seen>, known: &Remarks) -> bool {
        // Of commits that are missing only their number tells: a version of those that are left would forget it.
        let is_seen = |before: Seen| before == self.after || before.more_than(self.after) > 0;
        let is_as_it_is = !self.is_new && self.completion.is_none() && before.is_some_and(is_seen);
        let files = self.scanned.len() + self.compacted.len() + self.removed.len();
        is_as_it_is && files == 0 && known.have(&self.remarks)
    }

    /// The versions that it is written in: what the table is, the files of slices, those of compactions.
    pub(super) fn versions(self, facts: &Facts) -> Vec<Vec<Action>> {
        let Self {
            scanned,
            compacted,
            removed,
            after,
            remarks,
            ..
        } = self;
        let remarks = facts.remarks(&remarks);
        if self.is_new {
            let files: Vec<Add> = scanned.into_iter().chain(compacted).collect();
            let table = facts.table();
            let mut parts = files.chunks(MOST_FILES).map(<[Add]>::to_vec);
            let first = parts.next().unwrap_or_default();
            let mut rest: Vec<Vec<Add>> = parts.collect();
            let last = rest.pop();
            let first = first.into_iter().map(Action::from);
            let first = table.into_iter().chain(remarks).chain(first);
            let Some(last) = last else {
                return vec![facts.version("CREATE TABLE", after, first)];
            };
            // Nobody knows which commits the first ones lack.
            let mut versions = vec![facts.version("CREATE TABLE", Seen::default(), first)];
            let part = |files: Vec<Add>, seen| {
                facts.version("WRITE", seen, files.into_iter().map(Action::from))
            };
            versions.extend(rest.into_iter().map(|files| part(files, Seen::default())));
            versions.push(part(last, after));
            return versions;
        }
        let mut versions = Vec::new();
        if let Some(completion) = self.completion {
            versions.push(facts.version(completion, self.before, [facts.metadata()]));
        }
        let compacts = !compacted.is_empty() || !removed.is_empty();
        // With the first version that takes in their commits: there may be no other.
        let mut remarks = remarks.peekable();
        if !scanned.is_empty() || remarks.peek().is_some() || !compacts {
            let seen = if compacts { self.with_slices } else { after };
            // Who dies over the first leaves a table that knows of none of their commits, and adds them again.
            let mut files = scanned;
            while files.len() > MOST_FILES {
                let rest = files.split_off(MOST_FILES);
                let part = std::mem::replace(&mut files, rest);
                let part = remarks.by_ref().chain(part.into_iter().map(Action::from));
                versions.push(facts.version("WRITE", self.before, part));
            }
            let files = files.into_iter().map(Action::from);
            versions.push(facts.version("WRITE", seen, remarks.chain(files)));
        }
        if compacts {
            let removed = removed.into_iter().map(Action::from);
            let files = removed.chain(compacted.into_iter().map(Action::from));
            versions.push(facts.version("OPTIMIZE", after, files));
        }
        versions
    }
}

/// Whether the table has all that a compaction has taken.
fn has_inputs(live: &Live, name: CompactionName, known: &BTreeMap<String, Add>) -> bool {
    let made = live.compactions.get(name);
    made.is_some_and(|made| {
        made.inputs
            .iter()
            .all(|input| known.contains_key(&input.path))
    })
}

/// The error of a file of the table that is neither live nor was taken.
fn not_named(path: &str) -> TableError {
    let name = FileName::parse(path);
    let compaction = name.as_ref().and_then(CompactionName::of_file);
    let is_ours = name.is_some();
    let path = path.to_owned();
    match compaction {
        Some(compaction) => TableError::CompactionGone { path, compaction },
        None if is_ours => TableError::CommitMissing { path },
        None => TableError::Foreign { path },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_for_one_version_is_taken_in_by_several_of_which_the_last_says_so() {
        let facts = Facts::new("run", 0, None);
        let add = Add {
            path: "x".to_owned(),
            partition_values: BTreeMap::new(),
            size: 1,
            modification_time: 0,
            data_change: true,
            stats: None,
        };
        let object = |path: &str| object_store::ObjectMeta {
            location: path.into(),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: 1,
            e_tag: None,
            version: None,
        };
        let [before, with_slices, after] =
            [1, 2, 3].map(|objects| Seen::of(&vec![object("commit"); objects]));
        for (scanned, compacted, files, seen) in [
            (MOST_FILES, 0, vec![MOST_FILES], vec![after]),
            (MOST_FILES + 1, 0, vec![MOST_FILES, 1], vec![before, after]),
            (
                MOST_FILES + 1,
                2,
                vec![MOST_FILES, 1, 2],
                vec![before, with_slices, after],
            ),
        ] {
            let update = Update {
                scanned: vec![add.clone(); scanned],
                compacted: vec![add.clone(); compacted],
                before,
                with_slices,
                after,
                ..Update::default()
            };
            let versions = update.versions(&facts);
            let added = versions.iter().map(|version| {
                let adds = version.iter().filter(|action| action.add.is_some());
                adds.count()
            });
            assert_eq!(added.collect::<Vec<_>>(), files);
            let said = versions
                .iter()
                .map(|version| Seen::read(version).unwrap().0);
            assert_eq!(said.collect::<Vec<_>>(), seen);
        }
    }
}
