//! What the objects of a lake's own say.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use serde_json::Value;

use super::asked::{Depth, Sweep};
use super::lake::Lake;
use super::names::Names;
use super::slice::{self, SliceCheck};
use super::{Finding, FindingKind, Verification};
use crate::commit::{
    self, Attempt, Changes, Cleaner, Commit, CommitError, Compaction, Compactions, Identity,
    Unproven, caps,
};
use crate::error::JobError;
use crate::layout::{self, CompactionName, FileName, OwnObject};
use crate::status::no_lake;
use crate::store::{Store, StoreErrorKind};
use crate::table::{self, CommittedFiles, OnlyCurrent};
use crate::text::plain::chain;
use crate::write::FileEntry;

/// Slices looked at at once; reading and hashing are work for more than one core.
const SLICES: usize = 4;

/// What is known of a lake before it is judged what nothing names.
pub(super) struct Known {
    pub(super) listed: Names,
    pub(super) named: Named,
    pub(super) compactions: Arc<Compactions>,
    /// What the commits say of files, for the table.
    pub(super) committed: CommittedFiles,
    /// Whether the Delta table, where there is one, takes in everything: else readers may still need what
    /// compactions have taken.
    pub(super) is_table_current: bool,
    /// Commits and compactions that the table takes in and that are not there any more, at least.
    pub(super) missing: u64,
    /// Whether this program may change the lake.
    is_writable: bool,
}

impl Known {
    /// What removes objects from the lake, where it may.
    pub(super) fn sweeper(&self, store: &Store, sweep: Sweep) -> Option<Cleaner> {
        let may_sweep = sweep == Sweep::Unnamed && self.is_writable;
        may_sweep.then(|| {
            let table = Arc::new(OnlyCurrent(store.clone()));
            Cleaner::new(store.clone(), self.listed.newest).with_projection(table)
        })
    }
}

/// What the commits, and the attempts, name.
#[derive(Default)]
pub(super) struct Named {
    /// Objects that a commit names, or an attempt that may still become one.
    pub(super) objects: BTreeSet<String>,
    /// Slices whose commit was read.
    pub(super) committed: BTreeSet<String>,
    /// Slices of which a commit or an attempt is there and cannot be read.
    pub(super) unreadable: BTreeSet<String>,
    /// Committed slices at which other attempts are recorded.
    pub(super) lost: BTreeSet<String>,
    /// What those name.
    pub(super) of_lost: BTreeSet<String>,
}

impl Named {
    fn take(&mut self, commit: &Commit) {
        self.objects
            .extend(commit.named_objects().map(str::to_owned));
        self.committed.insert(commit.slice.clone());
    }
}

impl Verification {
    /// Lists a lake, and reads what its own objects say and what they name.
    pub(super) async fn read(
        &mut self,
        store: &Store,
        depth: Depth,
        now_ms: i64,
    ) -> Result<Known, JobError> {
        let lake = Arc::new(self.read_identity(store, now_ms).await?);
        let listed = self.read_names(store, depth).await?;
        let mut named = Named::default();
        // After the commits were listed: what was taken meanwhile is then known to be.
        let compactions = self.read_compactions(store, depth, &mut named).await?;
        let mut known = Known {
            listed,
            named,
            compactions,
            committed: CommittedFiles::default(),
            is_table_current: false,
            missing: 0,
            is_writable: false,
        };
        self.read_commits(store, &lake, depth, &mut known).await?;
        self.compare_compactions(store, &known).await?;
        self.read_attempts(store, &mut known).await?;
        self.read_compaction_attempts(store, &mut known).await?;
        self.read_markers(store, &lake, &known.listed.unproven)
            .await?;
        known.is_writable = self.read_changes(store, &known.compactions).await?;
        // An error is said where the table is compared.
        if let Ok(standing) = table::standing(store).await {
            known.is_table_current = standing.is_none_or(|standing| standing.is_current);
            known.missing = standing.map_or(0, |standing| standing.missing);
        }
        Ok(known)
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

    /// Whether nothing of the lake was changed in a way that only a newer program understands.
    /// That the lake has compactions is said before the first is made.
    async fn read_changes(
        &mut self,
        store: &Store,
        compactions: &Compactions,
    ) -> Result<bool, JobError> {
        match commit::check_writable(store).await {
            Ok(()) => {
                let has_any = compactions.iter().next().is_some();
                let changes = Changes::load(store).await?;
                if has_any && !changes.say_compactions() {
                    self.find(
                        &layout::change(changes.next_number()),
                        FindingKind::Missing,
                        "the lake has compactions, and no change says so",
                    );
                }
                Ok(true)
            }
            Err(CommitError::Damaged { path, damage }) => {
                self.findings.push(Finding::of_damage(&path, &damage));
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A report carries no checksum: it is whole if it is JSON and of its run.
    pub(super) async fn read_run(
        &mut self,
        store: &Store,
        path: &Path,
        run: &str,
    ) -> Result<(), JobError> {
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

    /// Reads the commits, and what each of them names.
    async fn read_commits(
        &mut self,
        store: &Store,
        lake: &Arc<Lake>,
        depth: Depth,
        known: &mut Known,
    ) -> Result<(), JobError> {
        let compactions = &known.compactions;
        let commits = commit::load_commits(store, known.listed.commits.clone());
        let checks = commits.map(|commit| {
            let (store, lake) = (store.clone(), Arc::clone(lake));
            let compactions = Arc::clone(compactions);
            async move {
                match commit {
                    Ok(commit) => {
                        let commit = Arc::new(commit);
                        let of = Arc::clone(&commit);
                        let check = slice::check(store, lake, compactions, of, depth);
                        Ok(Ok((commit, on_any_core(check).await?)))
                    }
                    Err(CommitError::Damaged { path, damage }) => Ok(Err((path, damage))),
                    Err(error) => Err(JobError::from(error)),
                }
            }
        });
        let mut checks = checks.buffer_unordered(SLICES);
        while let Some(check) = checks.try_next().await? {
            self.commits += 1;
            match check {
                Ok((commit, check)) => {
                    self.rows = self.rows.saturating_add(commit.counts.rows);
                    self.take(check);
                    known.named.take(&commit);
                    known.committed.take(&commit);
                }
                Err((path, damage)) => {
                    let slice = layout::slice_of_commit(&path).unwrap_or_default();
                    self.findings.push(Finding::of_damage(&path, &damage));
                    known.committed.take_unreadable(&slice);
                    known.named.unreadable.insert(slice);
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
    ) -> Result<Arc<Compactions>, JobError> {
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
            let outputs = compaction.outputs.iter();
            named.objects.extend(outputs.map(|file| file.path.clone()));
        }
        let compactions = Arc::new(compactions);
        self.check_compactions(store, &compactions, depth).await?;
        Ok(compactions)
    }

    async fn check_compactions(
        &mut self,
        store: &Store,
        compactions: &Arc<Compactions>,
        depth: Depth,
    ) -> Result<(), JobError> {
        let names: Vec<_> = compactions.iter().map(Compaction::name).collect();
        let checks = stream::iter(names).map(|name| {
            let of = (Arc::clone(compactions), name);
            on_any_core(slice::check_compaction(store.clone(), of, depth))
        });
        let mut checks = checks.buffer_unordered(SLICES);
        while let Some(check) = checks.try_next().await? {
            self.take(check);
        }
        Ok(())
    }

    /// Holds what compactions have taken against what was there: each file was named as it was by the commit
    /// of its slice or by an earlier compaction, and taken once. A compaction leaves as many rows as it takes,
    /// so the live files have as many as the commits.
    async fn compare_compactions(&mut self, store: &Store, known: &Known) -> Result<(), JobError> {
        let compactions = &known.compactions;
        let outputs = compactions.iter().flat_map(|made| &made.outputs);
        let named = known.committed.iter().chain(outputs);
        let named: HashMap<&str, &FileEntry> =
            named.map(|file| (file.path.as_str(), file)).collect();
        let mut takers: HashMap<&str, CompactionName> = HashMap::new();
        for compaction in compactions.iter() {
            let name = compaction.name();
            for input in &compaction.inputs {
                let path = input.path.as_str();
                let flaw = match (takers.insert(path, name), named.get(path)) {
                    (Some(first), _) => format!("as compaction {first} has"),
                    (None, Some(file)) if input.is(file) => continue,
                    (None, Some(_)) => "and says other rows or bytes of it".to_owned(),
                    (None, None) => {
                        self.find_unknown_input(store, known, compaction, path)
                            .await?;
                        continue;
                    }
                };
                let detail = format!("it has taken {path}, {flaw}");
                self.find(&layout::compaction(name), FindingKind::Contradicts, detail);
            }
        }
        Ok(())
    }

    /// What a compaction has taken, and nothing that was read names.
    async fn find_unknown_input(
        &mut self,
        store: &Store,
        known: &Known,
        compaction: &Compaction,
        path: &str,
    ) -> Result<(), JobError> {
        let Some(file) = FileName::parse(path) else {
            return Ok(());
        };
        let own = layout::compaction(compaction.name());
        if let Some(earlier) = CompactionName::of_file(&file) {
            // Of one that cannot be read, or is missing, it is said that it is.
            if known.compactions.get(earlier).is_some() {
                let detail =
                    format!("it has taken {path}, which compaction {earlier} did not leave");
                self.find(&own, FindingKind::Contradicts, detail);
            }
            return Ok(());
        }
        let slice = file.slice;
        if known.named.unreadable.contains(&slice) {
            return Ok(());
        }
        // It may have been committed since the commits were listed.
        match Commit::load(store, &slice).await {
            Ok(Some(commit)) if commit.named_objects().any(|named| named == path) => {}
            Ok(Some(_)) => self.find(
                &own,
                FindingKind::Contradicts,
                format!("it has taken {path}, which the commit of its slice does not name"),
            ),
            Ok(None) => self.find(
                &layout::commit(&slice),
                FindingKind::Missing,
                format!("compaction {} has rows of it", compaction.compaction),
            ),
            // Said of the commit next time.
            Err(CommitError::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Reads the attempts. Those at slices without a commit wait: what they name is theirs. The
    /// others have lost, and what they name is cleared up by the next run.
    async fn read_attempts(&mut self, store: &Store, known: &mut Known) -> Result<(), JobError> {
        let named = &mut known.named;
        for path in &known.listed.attempts {
            match Attempt::load(store, path).await {
                Ok(Some(Attempt { commit, .. })) => {
                    let objects = commit.named_objects().map(str::to_owned);
                    if named.committed.contains(&commit.slice) {
                        named.of_lost.extend(objects);
                        named.lost.insert(commit.slice);
                    } else {
                        self.attempts += 1;
                        self.attempts_at_files += u64::from(layout::is_converted(&commit.slice));
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

    /// Reads the attempts at compactions. Those at one that nobody has made wait: what they name is
    /// theirs. The others are brought to an end by the next run.
    async fn read_compaction_attempts(
        &mut self,
        store: &Store,
        known: &mut Known,
    ) -> Result<(), JobError> {
        let (named, compactions) = (&mut known.named, &known.compactions);
        for path in &known.listed.compaction_attempts {
            match commit::load_compaction_attempt(store, path).await {
                Ok(Some(attempt)) => {
                    let outputs = attempt.outputs.iter().map(|output| output.path.clone());
                    if compactions.get(attempt.name()).is_some() {
                        named.of_lost.extend(outputs);
                        self.unfinished.insert(attempt.compaction);
                    } else if is_lost(store, &attempt, compactions).await? {
                        let path = layout::compaction(attempt.name());
                        named.objects.extend(outputs);
                        self.find(
                            &path,
                            FindingKind::Missing,
                            "what it has taken was removed; an attempt at it is recorded",
                        );
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

    /// Reads the markers of unproven slices. One beside a commit is outranked, and no harm.
    async fn read_markers(
        &mut self,
        store: &Store,
        lake: &Lake,
        slices: &[String],
    ) -> Result<(), JobError> {
        for slice in slices {
            match Unproven::load(store, slice).await {
                Ok(Some(marker)) if marker.is_too_early() && lake.refuses(slice).is_none() => self
                    .find(
                        &layout::unproven_at(slice),
                        FindingKind::Contradicts,
                        "the service had its slice when it was made",
                    ),
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
}

/// Whether the compaction of an attempt was made, and is not there.
async fn is_lost(
    store: &Store,
    attempt: &Compaction,
    compactions: &Compactions,
) -> Result<bool, JobError> {
    if compactions.is_unsure(attempt.name().day) {
        return Ok(false);
    }
    match commit::is_compaction_lost(store, attempt).await {
        Ok(is_lost) => Ok(is_lost),
        // It is there by now, and is said next time.
        Err(CommitError::Damaged { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Has a check run on any core: hashing and reading rows are work.
async fn on_any_core(
    check: impl Future<Output = Result<SliceCheck, JobError>> + Send + 'static,
) -> Result<SliceCheck, JobError> {
    tokio::spawn(check)
        .await
        .unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic()))
}
