//! What is there, and no commit names.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use object_store::path::Path;

use super::reading::Known;
use super::sound::Harmed;
use super::{Finding, FindingKind, Verification};
use crate::commit::{self, Attempt, Cleaner, Commit, CommitError, Compaction};
use crate::error::JobError;
use crate::layout::{self, CompactionName, FileName, OwnObject};
use crate::store::{Store, Stranger};

/// A put that is older was not ended by the run that began it.
const DEAD_AFTER: TimeDelta = TimeDelta::hours(1);

/// Judges what is there, and no commit names.
pub(super) struct Judge<'l> {
    pub(super) store: &'l Store,
    pub(super) known: &'l Known,
    /// Removes what nothing names, where it is to be.
    pub(super) sweeper: Option<&'l Cleaner>,
    pub(super) done: &'l mut Verification,
    /// Nothing is removed of these: it may be the only copy.
    pub(super) harmed: Harmed,
}

impl Judge<'_> {
    /// All of it, in an order that is safe.
    pub(super) async fn judge(&mut self) -> Result<(), JobError> {
        let Known { listed, named, .. } = self.known;
        self.unfinished().await?;
        self.uploads().await;
        self.compactions_to_end().await;
        self.taken().await?;
        for (path, name) in &listed.outputs {
            self.output(path, *name).await?;
        }
        let files = listed.files.iter().chain(&listed.rejects);
        for (path, slice) in files.filter(|(path, _)| !named.objects.contains(path.as_ref())) {
            self.unnamed(path, slice).await?;
        }
        self.puts().await;
        self.strangers().await
    }

    /// The work of other attempts at slices that are committed.
    async fn unfinished(&mut self) -> Result<(), JobError> {
        let (store, named) = (self.store, &self.known.named);
        let mut slices = named.lost.clone();
        let left = store.uploads().leftovers().await?;
        self.staged_of_compactions(&left).await?;
        slices.extend(
            left.into_iter()
                .filter(|slice| named.committed.contains(slice)),
        );
        for slice in slices {
            let is_sound = self.harmed.spares_slice(&slice);
            if let Some(sweeper) = self.sweeper.filter(|_| is_sound) {
                match sweeper.clear_up(&slice).await {
                    Ok(removed) => self.sweep_listed(&slice, removed.unwrap_or_default()),
                    // Said of the commit already.
                    Err(CommitError::Damaged { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                // Attempts stay until the commit is an hour old.
                if store.list(&layout::attempts_at(&slice)).await?.is_empty() {
                    continue;
                }
            }
            self.done.unfinished.insert(slice);
        }
        Ok(())
    }

    /// Files of compactions that others have made, which were not published and are there still.
    async fn staged_of_compactions(&mut self, left: &[String]) -> Result<(), JobError> {
        let Known {
            listed,
            compactions,
            ..
        } = self.known;
        let staged: BTreeSet<&String> = listed.staged.iter().map(|(_, of)| of).collect();
        for compaction in left.iter().filter(|name| staged.contains(name)) {
            let name = compaction.parse().ok();
            let Some(name) = name.filter(|name| compactions.get(*name).is_some()) else {
                continue;
            };
            let is_sound = self.harmed.spares_day(name.day);
            let is_swept = match self.sweeper.filter(|_| is_sound) {
                Some(sweeper) => sweeper.sweep_staged(name).await?,
                None => false,
            };
            if is_swept {
                self.sweep_listed(compaction, Vec::new());
            } else {
                self.done.unfinished.insert(compaction.clone());
            }
        }
        Ok(())
    }

    /// Takes note of what was removed of a slice or a compaction, as far as it was there.
    fn sweep_listed(&mut self, slice: &str, removed: Vec<Path>) {
        let listed = &self.known.listed;
        let staged = listed.staged.iter().filter(|(_, of)| of == slice);
        let removed = removed.into_iter().filter(|path| listed.has(path));
        let all = removed.chain(staged.map(|(path, _)| path.clone()));
        self.done.swept.extend(all.map(|path| path.to_string()));
    }

    /// Unfinished uploads into object storage, of slices that are committed and of compactions that are
    /// made. Those of an object that one of them names are left: some stores lose the object.
    async fn uploads(&mut self) {
        let (store, named) = (self.store, &self.known.named);
        let compactions = &self.known.compactions;
        for upload in store.uploads().unfinished().await {
            let file = FileName::parse(upload.path.as_ref());
            let compaction = file.as_ref().and_then(CompactionName::of_file);
            let of = match compaction {
                Some(name) => compactions.get(name).map(|made| made.compaction.clone()),
                None => layout::slice_of_object(&upload.path)
                    .filter(|slice| named.committed.contains(slice)),
            };
            let Some(of) = of.filter(|_| !named.objects.contains(upload.path.as_ref())) else {
                continue;
            };
            if self.sweeper.is_some() && store.uploads().abort(&upload).await {
                self.done
                    .swept
                    .push(format!("an unfinished upload of {}", upload.path));
            } else {
                self.done.unfinished.insert(of);
            }
        }
    }

    /// Attempts at compactions, which are brought to an end as a run does.
    async fn compactions_to_end(&mut self) {
        let Some(sweeper) = self.sweeper else { return };
        if !self.known.is_table_current {
            return;
        }
        let listed = &self.known.listed;
        let is_sound = |path: &&Path| match OwnObject::at(path.as_ref()) {
            Some(OwnObject::CompactionAttempt { name }) => self.harmed.spares_day(name.day),
            _ => false,
        };
        let paths = listed.compaction_attempts.iter().filter(is_sound).cloned();
        let (_, removed) = commit::recover_compactions(sweeper, paths).await;
        let removed = removed.into_iter().filter(|path| listed.has(path));
        self.done.swept.extend(removed.map(|path| path.to_string()));
    }

    /// Files whose rows a compaction has taken, and that are there. While its attempt is recorded it is
    /// at work on them, or the next run will be.
    async fn taken(&mut self) -> Result<(), JobError> {
        let Known {
            listed,
            compactions,
            ..
        } = self.known;
        let there: BTreeSet<&str> = listed
            .files
            .iter()
            .map(|(path, _)| path.as_ref())
            .chain(listed.outputs.iter().map(|(path, _)| path.as_ref()))
            .collect();
        for compaction in compactions.iter() {
            let own = layout::attempt(&compaction.compaction, &compaction.attempt);
            if listed.compaction_attempts.contains(&own) {
                continue;
            }
            let inputs = compaction.inputs.iter().map(|input| input.path.as_str());
            for input in inputs.filter(|input| there.contains(input)) {
                let path = Path::from(input);
                // What was there a moment ago may have been removed as it should be.
                if self.store.size(&path).await?.is_none() {
                    continue;
                }
                let day = compaction.name().day;
                let is_sound = self.known.is_table_current && self.harmed.spares_day(day);
                match self.sweeper.filter(|_| is_sound) {
                    Some(sweeper) if sweeper.remove_returned(compaction, &path).await => {
                        self.done.swept.push(path.to_string());
                    }
                    _ => self.done.find(
                        &path,
                        FindingKind::Taken,
                        format!("compaction {} has its rows", compaction.compaction),
                    ),
                }
            }
        }
        Ok(())
    }

    /// A file of a compaction, which nothing read so far names.
    async fn output(&mut self, path: &Path, name: CompactionName) -> Result<(), JobError> {
        let (store, named) = (self.store, &self.known.named);
        let is_known = named.objects.contains(path.as_ref())
            || named.of_lost.contains(path.as_ref())
            || self.known.compactions.is_unsure(name.day);
        // What was there a moment ago may have been removed, or may be named by now.
        if is_known || store.size(path).await?.is_none() {
            return Ok(());
        }
        let attempts = layout::attempts_at(&name.to_string());
        for attempt in store.list(&attempts).await? {
            match commit::load_compaction_attempt(store, &attempt.location).await {
                Ok(Some(attempt)) if attempt.outputs.iter().all(|of| of.path != path.as_ref()) => {}
                Ok(None) => {}
                Ok(Some(_)) | Err(CommitError::Damaged { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        match Compaction::load(store, name).await {
            Ok(Some(made)) if made.outputs.iter().any(|of| of.path == path.as_ref()) => {}
            // Whoever lost against it has recorded an attempt: this may be what is left of one that was lost.
            Ok(Some(_)) => self.done.find(
                path,
                FindingKind::Stray,
                format!("compaction {name} was made without it, and no attempt names it"),
            ),
            Ok(None) => self.done.find(
                path,
                FindingKind::Stray,
                format!("there is no compaction {name}, and no attempt names it"),
            ),
            // Said of it already, or next time.
            Err(CommitError::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// A file or rejects of this program by name, which nothing read so far names.
    async fn unnamed(&mut self, path: &Path, slice: &str) -> Result<(), JobError> {
        let (store, named) = (self.store, &self.known.named);
        // What was there a moment ago may have been cleared away, or be committed by now.
        if named.unreadable.contains(slice)
            || named.of_lost.contains(path.as_ref()) && self.sweeper.is_none()
            || store.size(path).await?.is_none()
            || is_attempted(store, path, slice).await?
        {
            return Ok(());
        }
        match Commit::load(store, slice).await {
            Ok(Some(commit)) if commit.named_objects().any(|named| named == path.as_ref()) => {}
            Ok(Some(commit)) => match self.sweeper.filter(|_| self.harmed.spares(path, slice)) {
                Some(sweeper) => {
                    if sweeper.remove_beside(&commit, path).await {
                        self.done.swept.push(path.to_string());
                    }
                }
                None => self.done.find(
                    path,
                    FindingKind::Unnamed,
                    format!("slice {slice} is committed without it"),
                ),
            },
            Ok(None) => self.done.find(
                path,
                FindingKind::Stray,
                format!("slice {slice} is not committed, and no attempt names it"),
            ),
            // Said of the commit already, or next time.
            Err(CommitError::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Puts that have not ended. The young ones may be somebody's who is at work.
    async fn puts(&mut self) {
        let listed = &self.known.listed;
        for (path, written) in &listed.puts {
            if listed
                .newest
                .is_none_or(|newest| newest - *written < DEAD_AFTER)
            {
                continue;
            }
            match self.sweeper {
                None => self.done.dead_puts.push(path.to_string()),
                Some(sweeper) => {
                    if sweeper.remove(path).await {
                        self.done.swept.push(path.to_string());
                    }
                }
            }
        }
    }

    /// What is not an object and was not found to be wrong so far.
    async fn strangers(&mut self) -> Result<(), JobError> {
        for Stranger { path, is } in self.store.uploads().strangers().await? {
            let is_it = |finding: &Finding| finding.path == path;
            // That its name is odd is the least of it.
            let is_odd = |finding: &Finding| finding.what == FindingKind::Foreign;
            let findings = &mut self.done.findings;
            findings.retain(|finding| !is_it(finding) || !is_odd(finding));
            if findings.iter().any(is_it) {
                continue;
            }
            let is_own = OwnObject::at(&path).is_some() || FileName::parse(&path).is_some();
            let what = if is_own {
                FindingKind::Damaged
            } else {
                FindingKind::Foreign
            };
            findings.push(Finding::named(path, what, is));
        }
        Ok(())
    }
}

/// Whether an attempt that is recorded names an object, at a slice that is not committed: of one that
/// is, the commit decides.
async fn is_attempted(store: &Store, object: &Path, slice: &str) -> Result<bool, JobError> {
    for attempt in store.list(&layout::attempts_at(slice)).await? {
        let may_name = match Attempt::load(store, &attempt.location).await {
            Ok(Some(attempt)) => {
                let mut named = attempt.commit.named_objects();
                named.any(|named| named == object.as_ref())
            }
            Ok(None) => false,
            Err(CommitError::Damaged { damage, .. }) => damage.is_newer(),
            Err(error) => return Err(error.into()),
        };
        if may_name && !matches!(Commit::load(store, slice).await, Ok(Some(_))) {
            return Ok(true);
        }
    }
    Ok(false)
}
