//! All that is looked at, in an order that is safe.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use serde::Serialize;
use serde_json::Value;

use super::asked::{Depth, Sweep};
use super::finding::{Finding, FindingKind};
use super::lake::Lake;
use super::slice::{self, SliceCheck};
use crate::commit::{
    self, Attempt, Cleaner, Commit, CommitError, Compaction, Compactions, Identity, Unproven, caps,
};
use crate::error::{ErrorKind, JobError};
use crate::layout::{self, CompactionName, FileName, OwnObject, PartitionKey};
use crate::status::no_lake;
use crate::store::{Store, StoreErrorKind, Stranger};
use crate::table::{self, OnlyCurrent, TableError};
use crate::text::plain::{PlainText, chain};
use crate::text::report::Report;
use crate::text::units::{bytes, counted};

/// A put that is older was not ended by the run that began it.
const DEAD_AFTER: TimeDelta = TimeDelta::hours(1);
/// What is said of a file that no program of this kind gave its name.
const FOREIGN_FILE: &str = "its name is not that of a file of the lake";
/// Slices looked at at once; reading and hashing are work for more than one core.
const SLICES: usize = 4;

/// What was looked at and what was found.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Verification {
    /// The version of this object.
    pub version: u32,
    /// The lake.
    pub lake: String,
    /// Whether every row was looked at.
    pub deep: bool,
    /// Commits read.
    pub commits: u64,
    /// Files and rejects read whole.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Rows that the commits name.
    pub rows: u64,
    /// Attempts at slices without a commit, which wait for the next run; no damage.
    pub attempts: u64,
    /// Committed slices at which the work of other attempts is left; no damage.
    pub unfinished: BTreeSet<String>,
    /// What was removed: objects that no commit names.
    pub swept: Vec<String>,
    /// Puts into a disk that died at least an hour before the last object of the lake's own was
    /// written; no damage.
    pub dead_puts: Vec<String>,
    /// Files that a system has dropped in the lake; no command reads them, and they are no damage.
    pub ignored: Vec<String>,
    /// What was to be removed, and could not be.
    pub not_cleared: u64,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

/// Reads every object that a commit names, and says what no commit names.
///
/// Now is `now_ms`, in milliseconds since the epoch.
pub fn verify(
    store: &Store,
    depth: Depth,
    sweep: Sweep,
    now_ms: i64,
) -> BoxFuture<'_, Result<Verification, JobError>> {
    verify_all(store, depth, sweep, now_ms).boxed()
}

async fn verify_all(
    store: &Store,
    depth: Depth,
    sweep: Sweep,
    now_ms: i64,
) -> Result<Verification, JobError> {
    let mut done = Verification {
        version: 1,
        lake: store.location().to_owned(),
        deep: depth == Depth::Rows,
        ..Verification::default()
    };
    let lake = Arc::new(done.read_identity(store, now_ms).await?);
    let mut listed = done.read_names(store, depth).await?;
    let mut named = Named::default();
    let commits = std::mem::take(&mut listed.commits);
    // After the commits were listed: what was taken meanwhile is then known to be.
    let compactions = Arc::new(done.read_compactions(store, depth, &mut named).await?);
    let known = (Arc::clone(&lake), Arc::clone(&compactions));
    done.read_commits(store, known, commits, depth, &mut named)
        .await?;
    done.read_attempts(store, &listed.attempts, &mut named)
        .await?;
    let of_compactions = &listed.compaction_attempts;
    done.read_compaction_attempts(store, of_compactions, &compactions, &mut named)
        .await?;
    done.read_markers(store, &lake, &listed.unproven).await?;
    let is_writable = done.read_changes(store).await?;
    let sweeper = match sweep {
        Sweep::Unnamed if is_writable => {
            let table = Arc::new(OnlyCurrent(store.clone()));
            Some(Cleaner::new(store.clone(), listed.newest).with_projection(table))
        }
        _ => None,
    };
    done.judge_unfinished(store, &listed, &mut named, sweeper.as_ref())
        .await?;
    done.judge_uploads(store, &named, &compactions, sweeper.as_ref())
        .await;
    if let Some(sweeper) = &sweeper {
        let paths = listed.compaction_attempts.iter().cloned();
        let (_, removed) = commit::recover_compactions(sweeper, paths).await;
        let was_there = |path: &Path| listed.has(path);
        let removed = removed.into_iter().filter(was_there);
        done.swept.extend(removed.map(|path| path.to_string()));
    }
    done.judge_taken(store, &listed, &compactions, sweeper.as_ref())
        .await?;
    for (path, name) in &listed.outputs {
        done.judge_output(store, path, *name, &compactions, &named, sweeper.as_ref())
            .await?;
    }
    let files = listed.files.into_iter().chain(listed.rejects);
    for (path, slice) in files.filter(|(path, _)| !named.objects.contains(path.as_ref())) {
        done.judge_unnamed(store, path, &slice, &named, sweeper.as_ref())
            .await?;
    }
    done.judge_puts(&listed.puts, listed.newest, sweeper.as_ref())
        .await;
    done.judge_table(store, &named).await?;
    done.name_strangers(store).await?;
    done.not_cleared = sweeper.map_or(0, |sweeper| sweeper.not_cleared());
    done.findings.sort();
    done.findings.dedup();
    Ok(done)
}

/// The objects of a lake, by their names.
#[derive(Default)]
struct Names {
    /// Slices with a commit.
    commits: BTreeSet<String>,
    attempts: Vec<Path>,
    compaction_attempts: Vec<Path>,
    /// Slices marked as unproven.
    unproven: Vec<String>,
    /// Files and their slices.
    files: Vec<(Path, String)>,
    /// Files of compactions.
    outputs: Vec<(Path, CompactionName)>,
    /// Rejects and their slices.
    rejects: Vec<(Path, String)>,
    /// Objects on their way, and when they were last written.
    puts: Vec<(Path, DateTime<Utc>)>,
    /// Files that are not published, and their slices.
    staged: Vec<(Path, String)>,
    /// When the newest of the lake's own objects was written, by the store's clock.
    newest: Option<DateTime<Utc>>,
}

impl Names {
    /// Whether an object was there when the lake was listed.
    fn has(&self, object: &Path) -> bool {
        let files = self.files.iter().chain(&self.rejects).chain(&self.staged);
        let outputs = self.outputs.iter().map(|(path, _)| path);
        let attempts = self.attempts.iter().chain(&self.compaction_attempts);
        let mut all = files.map(|(path, _)| path).chain(outputs).chain(attempts);
        all.any(|path| path == object)
    }
}

/// What the commits, and the attempts, name.
#[derive(Default)]
struct Named {
    /// Objects that a commit names, or an attempt that may still become one.
    objects: BTreeSet<String>,
    /// Slices whose commit was read.
    committed: BTreeSet<String>,
    /// Slices of which a commit or an attempt is there and cannot be read.
    unreadable: BTreeSet<String>,
    /// Committed slices at which other attempts are recorded.
    lost: BTreeSet<String>,
    /// What those name.
    of_lost: BTreeSet<String>,
}

impl Verification {
    fn find(&mut self, path: &Path, what: FindingKind, detail: impl Into<String>) {
        self.findings.push(Finding::new(path, what, detail.into()));
    }

    /// What the lake is of, as far as that can be read.
    async fn read_identity(&mut self, store: &Store, now_ms: i64) -> Result<Lake, JobError> {
        match Identity::load_if_lake(store).await {
            Ok(Some(identity)) => {
                if let Err(CommitError::Damaged { path, damage }) = identity.check_begin(now_ms) {
                    self.findings.push(Finding::of_damage(&path, &damage));
                }
                let (lake, flaws) = Lake::of(&identity);
                for flaw in flaws {
                    self.find(&layout::identity(), FindingKind::Contradicts, flaw);
                }
                Ok(lake)
            }
            Ok(None) => Err(no_lake(store)),
            Err(CommitError::Damaged { path, damage }) => {
                self.findings.push(Finding::of_damage(&path, &damage));
                Ok(Lake::default())
            }
            Err(CommitError::IdentityMissing { path, found }) => {
                self.find(&path, FindingKind::Missing, format!("{found} exists"));
                Ok(Lake::default())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Lists the lake. What has no name of this program's is foreign.
    async fn read_names(&mut self, store: &Store, depth: Depth) -> Result<Names, JobError> {
        let mut listed = Names::default();
        for object in store.list(&Path::from(layout::FILES_FOLDER)).await? {
            let path = object.location;
            match FileName::parse(path.as_ref()) {
                Some(name) if layout::is_slice_name(&name.slice) => {
                    listed.files.push((path, name.slice));
                }
                Some(FileName { attempt, .. }) if !layout::is_attempt_id(&attempt) => {
                    self.find(&path, FindingKind::Foreign, FOREIGN_FILE);
                }
                Some(name) if CompactionName::of_file(&name).is_some() => {
                    let compaction = CompactionName::of_file(&name);
                    listed.outputs.extend(compaction.map(|name| (path, name)));
                }
                _ if object.size == 0 && is_folder_of_files(&path) => {}
                _ if layout::is_dropped_by_a_system(path.as_ref()) => {
                    self.ignored.push(path.to_string());
                }
                _ => self.find(&path, FindingKind::Foreign, FOREIGN_FILE),
            }
        }
        for object in store.list(&Path::from(layout::OWN_FOLDER)).await? {
            let path = object.location;
            listed.newest = listed.newest.max(Some(object.last_modified));
            match OwnObject::at(path.as_ref()) {
                Some(OwnObject::Identity | OwnObject::Change { .. }) => {}
                Some(OwnObject::Staged { slice }) => listed.staged.push((path, slice)),
                Some(OwnObject::Put) => listed.puts.push((path, object.last_modified)),
                Some(OwnObject::Commit { slice }) => {
                    listed.commits.insert(slice);
                }
                // Read once the commits are listed.
                Some(OwnObject::Compaction { .. }) => {}
                Some(OwnObject::Attempt { .. }) => listed.attempts.push(path),
                Some(OwnObject::CompactionAttempt { .. }) => listed.compaction_attempts.push(path),
                Some(OwnObject::Unproven { slice }) => listed.unproven.push(slice),
                Some(OwnObject::Rejects { slice }) => listed.rejects.push((path, slice)),
                Some(OwnObject::Run { run }) => {
                    if object.size == 0 || object.size > caps::REPORT_BYTES || depth == Depth::Rows
                    {
                        self.read_run(store, &path, &run).await?;
                    }
                }
                None if object.size == 0 && layout::is_folder(path.as_ref()) => {}
                None if layout::is_dropped_by_a_system(path.as_ref()) => {
                    self.ignored.push(path.to_string());
                }
                None => self.find(
                    &path,
                    FindingKind::Foreign,
                    "its name is not that of an object of the lake",
                ),
            }
        }
        Ok(listed)
    }

    /// Puts that have not ended. The young ones may be somebody's who is at work.
    async fn judge_puts(
        &mut self,
        puts: &[(Path, DateTime<Utc>)],
        newest: Option<DateTime<Utc>>,
        sweeper: Option<&Cleaner>,
    ) {
        for (path, written) in puts {
            if newest.is_none_or(|newest| newest - *written < DEAD_AFTER) {
                continue;
            }
            match sweeper {
                None => self.dead_puts.push(path.to_string()),
                Some(sweeper) => {
                    if sweeper.remove(path).await {
                        self.swept.push(path.to_string());
                    }
                }
            }
        }
    }

    /// What is not an object and was not found to be wrong so far.
    async fn name_strangers(&mut self, store: &Store) -> Result<(), JobError> {
        for Stranger { path, is } in store.uploads().strangers().await? {
            let is_it = |finding: &Finding| finding.path == path;
            // That its name is odd is the least of it.
            let is_odd = |finding: &Finding| finding.what == FindingKind::Foreign;
            self.findings
                .retain(|finding| !is_it(finding) || !is_odd(finding));
            if self.findings.iter().any(is_it) {
                continue;
            }
            let is_own = OwnObject::at(&path).is_some() || FileName::parse(&path).is_some();
            let what = if is_own {
                FindingKind::Damaged
            } else {
                FindingKind::Foreign
            };
            self.findings.push(Finding::named(path, what, is));
        }
        Ok(())
    }

    /// Whether nothing of the lake was changed in a way that only a newer program understands.
    async fn read_changes(&mut self, store: &Store) -> Result<bool, JobError> {
        match commit::check_writable(store).await {
            Ok(()) => Ok(true),
            Err(CommitError::Damaged { path, damage }) => {
                self.findings.push(Finding::of_damage(&path, &damage));
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A report carries no checksum: it is whole if it is JSON and of its run.
    async fn read_run(&mut self, store: &Store, path: &Path, run: &str) -> Result<(), JobError> {
        let bytes = match store.get(path, caps::REPORT_BYTES).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == StoreErrorKind::Unfit => {
                self.find(path, FindingKind::Damaged, chain(&error));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(_) if !bytes.ends_with(b"\n") => {
                self.find(path, FindingKind::Damaged, "the report was cut short");
            }
            Ok(report) if report.get("run").and_then(Value::as_str) == Some(run) => {}
            Ok(_) => self.find(
                path,
                FindingKind::Damaged,
                "it is not the report of the run that it is named after",
            ),
            Err(error) => self.find(
                path,
                FindingKind::Damaged,
                format!("the report cannot be read: {error}"),
            ),
        }
        Ok(())
    }

    fn take(&mut self, check: &SliceCheck) {
        self.commits += 1;
        self.files += check.files;
        self.bytes += check.bytes;
        self.rows = self.rows.saturating_add(check.rows);
        self.findings.extend(check.findings.iter().cloned());
    }

    /// Reads the commits, and what each of them names.
    async fn read_commits(
        &mut self,
        store: &Store,
        (lake, compactions): (Arc<Lake>, Arc<Compactions>),
        slices: BTreeSet<String>,
        depth: Depth,
        named: &mut Named,
    ) -> Result<(), JobError> {
        let commits = commit::load_commits(store, slices).map(|commit| {
            let (store, lake) = (store.clone(), Arc::clone(&lake));
            let compactions = Arc::clone(&compactions);
            async move {
                match commit {
                    Ok(commit) => {
                        let slice = commit.slice.clone();
                        let check = slice::check(store, lake, compactions, commit, depth);
                        let check = tokio::spawn(check)
                            .await
                            .unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic()))?;
                        Ok((slice, Ok(check)))
                    }
                    Err(CommitError::Damaged { path, damage }) => {
                        let slice = layout::slice_of_commit(&path).unwrap_or_default();
                        Ok((slice, Err(Finding::of_damage(&path, &damage))))
                    }
                    Err(error) => Err(JobError::from(error)),
                }
            }
        });
        let mut checks = commits.buffer_unordered(SLICES);
        while let Some((slice, check)) = checks.try_next().await? {
            match check {
                Ok(check) => {
                    self.take(&check);
                    named.objects.extend(check.named);
                    named.committed.insert(slice);
                }
                Err(finding) => {
                    self.commits += 1;
                    self.findings.push(finding);
                    named.unreadable.insert(slice);
                }
            }
        }
        Ok(())
    }

    /// Reads the compactions, and what each of them leaves.
    async fn read_compactions(
        &mut self,
        store: &Store,
        depth: Depth,
        named: &mut Named,
    ) -> Result<Compactions, JobError> {
        let mut compactions = Compactions::load(store).await?;
        for error in compactions.take_damaged() {
            match error {
                CommitError::Damaged { path, damage } => {
                    self.findings.push(Finding::of_damage(&path, &damage));
                }
                error => return Err(error.into()),
            }
        }
        for compaction in compactions.iter() {
            let check = slice::check_compaction(store, &compactions, compaction, depth).await?;
            self.files += check.files;
            self.bytes += check.bytes;
            self.findings.extend(check.findings);
            named.objects.extend(check.named);
        }
        Ok(compactions)
    }

    /// Reads the attempts at compactions. Those at one that nobody has made wait: what they name is
    /// theirs. The others are brought to an end by the next run.
    async fn read_compaction_attempts(
        &mut self,
        store: &Store,
        attempts: &[Path],
        compactions: &Compactions,
        named: &mut Named,
    ) -> Result<(), JobError> {
        for path in attempts {
            match commit::load_compaction_attempt(store, path).await {
                Ok(Some(attempt)) => {
                    let outputs = attempt.outputs.iter().map(|output| output.path.clone());
                    if compactions.get(attempt.name()).is_some() {
                        named.of_lost.extend(outputs);
                        self.unfinished.insert(attempt.compaction);
                    } else {
                        self.attempts += 1;
                        named.objects.extend(outputs);
                    }
                }
                Ok(None) => {}
                Err(CommitError::Damaged { path, damage }) => {
                    self.findings.push(Finding::of_damage(&path, &damage));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Compares the Delta table with what is live. What an attempt names is for the next scan to judge.
    async fn judge_table(&mut self, store: &Store, named: &Named) -> Result<(), JobError> {
        let differences = match table::compare(store).await {
            Ok(differences) => differences.unwrap_or_default(),
            Err(TableError::Unreadable { path, is }) => {
                self.find(&path, FindingKind::Table, is);
                return Ok(());
            }
            // What lies in the place of commits is named as a stranger.
            Err(error)
                if error
                    .store()
                    .is_some_and(|of| of.kind() == StoreErrorKind::Unfit) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let not_live = differences.not_live.into_iter();
        for path in not_live.filter(|path| !named.objects.contains(path)) {
            let detail = "the table has it, and no commit or compaction does".to_owned();
            let finding = Finding::named(path, FindingKind::Table, detail);
            self.findings.push(finding);
        }
        let not_remarked = differences.not_remarked.into_iter();
        let commits = not_remarked.map(|slice| layout::commit(&slice).to_string());
        let lists = [
            (differences.lacking, "it is live, and the table lacks it"),
            (
                differences.other,
                "the table says other rows or bytes of it than its commit or compaction",
            ),
            (
                commits.collect(),
                "it says more than its files, and the table does not know of it",
            ),
        ];
        for (paths, detail) in lists {
            let findings = paths
                .into_iter()
                .map(|path| Finding::named(path, FindingKind::Table, detail.to_owned()));
            self.findings.extend(findings);
        }
        Ok(())
    }

    /// Files whose rows a compaction has taken, and that are there. While its attempt is recorded it is
    /// at work on them, or the next run will be.
    async fn judge_taken(
        &mut self,
        store: &Store,
        listed: &Names,
        compactions: &Compactions,
        sweeper: Option<&Cleaner>,
    ) -> Result<(), JobError> {
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
                if store.size(&path).await?.is_none() {
                    continue;
                }
                match sweeper {
                    Some(sweeper) if sweeper.remove_returned(compaction, &path).await => {
                        self.swept.push(path.to_string());
                    }
                    _ => self.find(
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
    async fn judge_output(
        &mut self,
        store: &Store,
        path: &Path,
        name: CompactionName,
        compactions: &Compactions,
        named: &Named,
        sweeper: Option<&Cleaner>,
    ) -> Result<(), JobError> {
        let is_known = named.objects.contains(path.as_ref())
            || named.of_lost.contains(path.as_ref())
            || compactions.is_unsure(name.day);
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
            Ok(Some(_)) => match sweeper {
                Some(sweeper) if sweeper.remove(path).await => self.swept.push(path.to_string()),
                Some(_) => {}
                None => self.find(
                    path,
                    FindingKind::Unnamed,
                    format!("compaction {name} was made without it"),
                ),
            },
            Ok(None) => self.find(
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

    /// Reads the markers of unproven slices. One beside a commit is outranked, and no harm.
    async fn read_markers(
        &mut self,
        store: &Store,
        lake: &Lake,
        slices: &[String],
    ) -> Result<(), JobError> {
        for slice in slices {
            match Unproven::load(store, slice).await {
                Ok(_) => {}
                Err(CommitError::Damaged { path, damage }) => {
                    self.findings.push(Finding::of_damage(&path, &damage));
                }
                Err(error) => return Err(error.into()),
            }
            if let Some(reason) = lake.refuses(slice) {
                self.find(
                    &layout::unproven_at(slice),
                    FindingKind::Contradicts,
                    reason,
                );
            }
        }
        Ok(())
    }

    /// Reads the attempts. Those at slices without a commit wait: what they name is theirs. The
    /// others have lost, and what they name is cleared up by the next run.
    async fn read_attempts(
        &mut self,
        store: &Store,
        attempts: &[Path],
        named: &mut Named,
    ) -> Result<(), JobError> {
        for path in attempts {
            match Attempt::load(store, path).await {
                Ok(Some(Attempt { commit, .. })) => {
                    let objects = commit.named_objects().map(str::to_owned);
                    if named.committed.contains(&commit.slice) {
                        named.of_lost.extend(objects);
                        named.lost.insert(commit.slice);
                    } else {
                        self.attempts += 1;
                        named.objects.extend(objects);
                    }
                }
                Ok(None) => {}
                Err(CommitError::Damaged { path, damage }) => {
                    self.findings.push(Finding::of_damage(&path, &damage));
                    if let Some(OwnObject::Attempt { slice }) = OwnObject::at(path.as_ref())
                        && damage.is_newer()
                    {
                        named.unreadable.insert(slice);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The work of other attempts at slices that are committed.
    async fn judge_unfinished(
        &mut self,
        store: &Store,
        listed: &Names,
        named: &mut Named,
        sweeper: Option<&Cleaner>,
    ) -> Result<(), JobError> {
        let mut slices = std::mem::take(&mut named.lost);
        let left = store.uploads().leftovers().await?.into_iter();
        slices.extend(left.filter(|slice| named.committed.contains(slice)));
        for slice in slices {
            if let Some(sweeper) = sweeper {
                match sweeper.clear_up(&slice).await {
                    Ok(removed) => self.sweep_listed(listed, &slice, removed.unwrap_or_default()),
                    // Said of the commit already.
                    Err(CommitError::Damaged { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                // Attempts stay until the commit is an hour old.
                if store.list(&layout::attempts_at(&slice)).await?.is_empty() {
                    continue;
                }
            }
            self.unfinished.insert(slice);
        }
        Ok(())
    }

    /// Takes note of what was removed of a slice, as far as it was there.
    fn sweep_listed(&mut self, listed: &Names, slice: &str, removed: Vec<Path>) {
        let staged = listed.staged.iter().filter(|(_, of)| of == slice);
        let removed = removed.into_iter().filter(|path| listed.has(path));
        let all = removed.chain(staged.map(|(path, _)| path.clone()));
        self.swept.extend(all.map(|path| path.to_string()));
    }

    /// Unfinished uploads into object storage, of slices that are committed and of compactions that are
    /// made. Those of an object that one of them names are left: some stores lose the object.
    async fn judge_uploads(
        &mut self,
        store: &Store,
        named: &Named,
        compactions: &Compactions,
        sweeper: Option<&Cleaner>,
    ) {
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
            if sweeper.is_some() && store.uploads().abort(&upload).await {
                self.swept
                    .push(format!("an unfinished upload of {}", upload.path));
            } else {
                self.unfinished.insert(of);
            }
        }
    }

    /// A file or rejects of this program by name, which nothing read so far names.
    async fn judge_unnamed(
        &mut self,
        store: &Store,
        path: Path,
        slice: &str,
        named: &Named,
        sweeper: Option<&Cleaner>,
    ) -> Result<(), JobError> {
        // What was there a moment ago may have been cleared away, or be committed by now.
        if named.unreadable.contains(slice)
            || named.of_lost.contains(path.as_ref()) && sweeper.is_none()
            || store.size(&path).await?.is_none()
            || is_attempted(store, &path, slice).await?
        {
            return Ok(());
        }
        match Commit::load(store, slice).await {
            Ok(Some(commit)) if commit.named_objects().any(|named| named == path.as_ref()) => {}
            Ok(Some(_)) => match sweeper {
                Some(sweeper) => {
                    if sweeper.remove(&path).await {
                        self.swept.push(path.to_string());
                    }
                }
                None => self.find(
                    &path,
                    FindingKind::Unnamed,
                    format!("slice {slice} is committed without it"),
                ),
            },
            Ok(None) => self.find(
                &path,
                FindingKind::Stray,
                format!("slice {slice} is not committed, and no attempt names it"),
            ),
            // Said of the commit already, or next time.
            Err(CommitError::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl Report for Verification {
    /// The exit code: damage is a matter of the data, what could not be removed of the store, and what
    /// only a newer program can read of usage.
    fn exit_code(&self) -> u8 {
        let is_damage = |finding: &Finding| finding.what != FindingKind::Newer;
        if self.not_cleared > 0 {
            ErrorKind::Storage.exit_code()
        } else if self.findings.iter().any(is_damage) {
            ErrorKind::Data.exit_code()
        } else if self.findings.is_empty() {
            0
        } else {
            ErrorKind::Usage.exit_code()
        }
    }

    fn write(&self, o: &mut PlainText) -> std::fmt::Result {
        writeln!(o, "lake        {}", self.lake)?;
        writeln!(
            o,
            "holds       {}, {}, {}, {}{}",
            counted(self.commits, "commit", "commits"),
            counted(self.files, "file", "files"),
            bytes(self.bytes),
            counted(self.rows, "row", "rows"),
            if self.deep { "; checked every row" } else { "" }
        )?;
        if self.attempts > 0 {
            writeln!(
                o,
                "waiting     {} for the next scan to finish",
                counted(self.attempts, "attempt", "attempts")
            )?;
        }
        for slice in &self.unfinished {
            writeln!(
                o,
                "unfinished  leftovers of slice {slice}, which is committed: the next scan of it or verify --sweep removes them once the commit is an hour old"
            )?;
        }
        for path in &self.dead_puts {
            writeln!(
                o,
                "unfinished  {path}: its writer has died; verify --sweep removes it"
            )?;
        }
        for path in &self.ignored {
            writeln!(
                o,
                "ignored     {path}: a file of the operating system; no command reads it"
            )?;
        }
        for what in &self.swept {
            writeln!(o, "removed     {what}")?;
        }
        if self.not_cleared > 0 {
            writeln!(
                o,
                "left        {} that could not be removed",
                counted(self.not_cleared, "object", "objects")
            )?;
        }
        for Finding {
            path,
            what,
            detail,
            remedy,
        } in &self.findings
        {
            writeln!(o, "{:<11} {path}: {detail}", what.as_str())?;
            writeln!(o, "            {remedy}")?;
        }
        match self.findings.len() {
            0 => writeln!(o, "everything matches its commits")?,
            n => writeln!(o, "{}", counted(n as u64, "finding", "findings"))?,
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

/// Object stores may show the folders themselves as empty objects.
fn is_folder_of_files(path: &Path) -> bool {
    let mut parts = path.as_ref().split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(layout::FILES_FOLDER), None, _) => true,
        (Some(layout::FILES_FOLDER), Some(day), None) => day.parse::<PartitionKey>().is_ok(),
        _ => false,
    }
}
