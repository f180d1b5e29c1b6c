//! Whether a lake holds what its commits say, whole, and nothing else.
//!
//! Runs may be at work meanwhile. What looks like nobody's is therefore looked at again before it is
//! called so, in an order that is safe: a file is published after its attempt is recorded, and the
//! attempt goes only after the commit is made.

mod deep;
mod finding;
mod slice;

pub use finding::{Finding, FindingKind};

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use serde::Serialize;
use serde_json::Value;

use crate::commit::paths::{self, OwnObject};
use crate::commit::{self, Attempt, Commit, CommitError, Identity, caps};
use crate::error::{ErrorKind, JobError, chain};
use crate::partition::PartitionKey;
use crate::plain_text::{PlainText, json_line};
use crate::status::no_lake;
use crate::store::{Store, StoreErrorKind, Stranger};
use crate::write::{self, FileName};
use slice::{Lake, SliceCheck};

/// A put that is older was not ended by whoever began it.
const DEAD_AFTER: TimeDelta = TimeDelta::hours(1);
/// Slices looked at at once; reading and hashing are work for more than one core.
const SLICES: usize = 4;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every byte against the commits' checksums.
    Bytes,
    /// Every row as well.
    Rows,
}

/// What to do about files of this program that no commit names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// Say so.
    Never,
    /// Remove them where their slice is committed.
    Unnamed,
}

/// What was looked at and what was found.
#[derive(Debug, Default, Serialize)]
pub struct Verification {
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
    /// Committed slices of which unfinished uploads are left; no damage.
    pub unfinished: Vec<String>,
    /// What was removed: files that no commit names, and slices whose unfinished uploads were.
    pub swept: Vec<String>,
    /// Puts into a disk that died at least an hour before the last object of the lake's own was
    /// written; no damage.
    pub dead_puts: Vec<String>,
    /// Files that a system has dropped in the lake; no command reads them, and they are no damage.
    pub ignored: Vec<String>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

/// Reads every object that a commit names, and says what no commit names.
pub async fn verify(store: &Store, depth: Depth, sweep: Sweep) -> Result<Verification, JobError> {
    let mut done = Verification {
        lake: store.location().to_owned(),
        deep: depth == Depth::Rows,
        ..Verification::default()
    };
    let lake = Arc::new(done.read_identity(store).await?);
    let listed = done.read_names(store, depth).await?;
    let mut named = Named::default();

    let commits = commit::load_commits(store, listed.commits).map(|commit| {
        let (store, lake) = (store.clone(), Arc::clone(&lake));
        async move {
            match commit {
                Ok(commit) => {
                    let slice = commit.slice.clone();
                    let check = tokio::spawn(slice::check(store, lake, commit, depth)).await;
                    let check = check
                        .unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic()))?;
                    Ok((slice, Ok(check)))
                }
                Err(CommitError::Damaged { path, damage }) => {
                    let slice = paths::slice_of_commit(&path).unwrap_or_default();
                    let finding = Finding::new(&path, FindingKind::Damaged, chain(&damage));
                    Ok((slice, Err(finding)))
                }
                Err(error) => Err(JobError::from(error)),
            }
        }
    });
    let mut checks = commits.buffer_unordered(SLICES);
    while let Some((slice, check)) = checks.try_next().await? {
        match check {
            Ok(check) => {
                done.take(&check);
                named.objects.extend(check.named);
                named.committed.insert(slice);
            }
            Err(finding) => {
                done.commits += 1;
                done.findings.push(finding);
                named.unreadable.insert(slice);
            }
        }
    }
    done.read_attempts(store, &listed.attempts, &mut named)
        .await?;
    let files = listed.files.into_iter().chain(listed.rejects);
    for (path, slice) in files.filter(|(path, _)| !named.objects.contains(path.as_ref())) {
        done.judge_unnamed(store, path, &slice, &named, sweep)
            .await?;
    }
    done.judge_unfinished(store, &named, sweep).await?;
    done.judge_puts(store, &listed.puts, listed.newest, sweep)
        .await?;
    done.name_strangers(store).await?;
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
    /// Files and their slices.
    files: Vec<(Path, String)>,
    /// Rejects and their slices.
    rejects: Vec<(Path, String)>,
    /// Objects on their way, and when they were last written.
    puts: Vec<(Path, DateTime<Utc>)>,
    /// When the newest of the lake's own objects was written, by the store's clock.
    newest: Option<DateTime<Utc>>,
}

/// What the commits, and the attempts that wait, name.
#[derive(Default)]
struct Named {
    objects: BTreeSet<String>,
    /// Slices whose commit was read.
    committed: BTreeSet<String>,
    /// Slices whose commit is there and cannot be read.
    unreadable: BTreeSet<String>,
}

impl Verification {
    fn find(&mut self, path: &Path, what: FindingKind, detail: impl Into<String>) {
        self.findings.push(Finding::new(path, what, detail.into()));
    }

    /// What the lake is of, as far as that can be read.
    async fn read_identity(&mut self, store: &Store) -> Result<Lake, JobError> {
        match Identity::load_if_lake(store).await {
            Ok(Some(identity)) => {
                let (lake, flaws) = Lake::of(&identity);
                for flaw in flaws {
                    self.find(&paths::identity(), FindingKind::Contradicts, flaw);
                }
                Ok(lake)
            }
            Ok(None) => Err(no_lake(store)),
            Err(CommitError::Damaged { path, damage }) => {
                self.find(&path, FindingKind::Damaged, chain(&damage));
                Ok(Lake::default())
            }
            Err(CommitError::IdentityMissing { path }) => {
                self.find(&path, FindingKind::Missing, "slices are committed");
                Ok(Lake::default())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Lists the lake. What has no name of this program's is foreign.
    async fn read_names(&mut self, store: &Store, depth: Depth) -> Result<Names, JobError> {
        let mut listed = Names::default();
        for object in store.list(&Path::from(write::FOLDER)).await? {
            let path = object.location;
            match FileName::parse(path.as_ref()) {
                Some(name) if paths::is_slice_name(&name.slice) => {
                    listed.files.push((path, name.slice));
                }
                _ if object.size == 0 && is_folder_of_files(&path) => {}
                _ if paths::is_dropped_by_a_system(path.as_ref()) => {
                    self.ignored.push(path.to_string());
                }
                _ => self.find(
                    &path,
                    FindingKind::Foreign,
                    "it is not named like a file of the lake",
                ),
            }
        }
        for object in store.list(&Path::from(paths::FOLDER)).await? {
            let path = object.location;
            listed.newest = listed.newest.max(Some(object.last_modified));
            match OwnObject::at(path.as_ref()) {
                Some(OwnObject::Identity | OwnObject::Staged { .. }) => {}
                Some(OwnObject::Put) => listed.puts.push((path, object.last_modified)),
                Some(OwnObject::Commit { slice }) => {
                    listed.commits.insert(slice);
                }
                Some(OwnObject::Attempt { .. }) => listed.attempts.push(path),
                Some(OwnObject::Rejects { slice }) => listed.rejects.push((path, slice)),
                Some(OwnObject::Run { run }) => {
                    if object.size == 0 || object.size > caps::REPORT_BYTES || depth == Depth::Rows
                    {
                        self.read_run(store, &path, &run).await?;
                    }
                }
                None if object.size == 0 && paths::is_folder(path.as_ref()) => {}
                None if paths::is_dropped_by_a_system(path.as_ref()) => {
                    self.ignored.push(path.to_string());
                }
                None => self.find(
                    &path,
                    FindingKind::Foreign,
                    "it is not named like an object of the lake",
                ),
            }
        }
        Ok(listed)
    }

    /// Puts that have not ended. The young ones may be somebody's who is at work.
    async fn judge_puts(
        &mut self,
        store: &Store,
        puts: &[(Path, DateTime<Utc>)],
        newest: Option<DateTime<Utc>>,
        sweep: Sweep,
    ) -> Result<(), JobError> {
        for (path, written) in puts {
            if newest.is_none_or(|newest| newest - *written < DEAD_AFTER) {
                continue;
            }
            match sweep {
                Sweep::Never => self.dead_puts.push(path.to_string()),
                Sweep::Unnamed => {
                    store.delete(path).await?;
                    self.swept.push(path.to_string());
                }
            }
        }
        Ok(())
    }

    /// What is no object and was not found to be wrong so far.
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

    /// Reads the attempts. Those at slices without a commit wait: what they name is theirs.
    async fn read_attempts(
        &mut self,
        store: &Store,
        attempts: &[Path],
        named: &mut Named,
    ) -> Result<(), JobError> {
        for path in attempts {
            match Attempt::load(store, path).await {
                Ok(Some(attempt)) if !named.committed.contains(&attempt.commit.slice) => {
                    self.attempts += 1;
                    let objects = attempt.commit.named_objects().map(str::to_owned);
                    named.objects.extend(objects);
                }
                Ok(_) => {}
                Err(CommitError::Damaged { path, damage }) => {
                    self.find(&path, FindingKind::Damaged, chain(&damage));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// A file or rejects of this program by name, which nothing read so far names.
    async fn judge_unnamed(
        &mut self,
        store: &Store,
        path: Path,
        slice: &str,
        named: &Named,
        sweep: Sweep,
    ) -> Result<(), JobError> {
        // What was there a moment ago may have been cleared away, or be committed by now.
        if named.unreadable.contains(slice)
            || store.size(&path).await?.is_none()
            || is_attempted(store, &path, slice).await?
        {
            return Ok(());
        }
        match Commit::load(store, slice).await {
            Ok(Some(commit)) if commit.named_objects().any(|named| named == path.as_ref()) => {}
            Ok(Some(_)) if sweep == Sweep::Unnamed => {
                store.delete(&path).await?;
                self.swept.push(path.to_string());
            }
            Ok(Some(_)) => self.find(
                &path,
                FindingKind::Unnamed,
                format!("slice {slice} is committed without it"),
            ),
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

    /// Unfinished uploads and attempts of slices that are committed.
    async fn judge_unfinished(
        &mut self,
        store: &Store,
        named: &Named,
        sweep: Sweep,
    ) -> Result<(), JobError> {
        for slice in store.uploads().leftovers().await? {
            if !named.committed.contains(&slice) {
                continue;
            }
            if sweep == Sweep::Never {
                self.unfinished.push(slice);
                continue;
            }
            match commit::clear_up(store, &slice).await {
                Ok(_) => self.swept.push(format!("unfinished uploads of {slice}")),
                // Said of the attempt already.
                Err(CommitError::Damaged { .. }) => self.unfinished.push(slice),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The exit code: damage is a matter of the data.
    pub fn exit_code(&self) -> u8 {
        if self.findings.is_empty() {
            0
        } else {
            ErrorKind::Data.exit_code()
        }
    }

    /// The verification as one line of JSON.
    pub fn to_json(&self) -> String {
        json_line(self)
    }

    /// The verification for people.
    pub fn to_text(&self) -> String {
        self.text().expect("a text takes anything").into_string()
    }

    fn text(&self) -> Result<PlainText, std::fmt::Error> {
        let mut out = PlainText::new();
        let o = &mut out;
        writeln!(o, "lake        {}", self.lake)?;
        writeln!(
            o,
            "holds       {} commits, {} files, {} bytes, {} rows{}",
            self.commits,
            self.files,
            self.bytes,
            self.rows,
            if self.deep {
                "; every row was looked at"
            } else {
                ""
            }
        )?;
        if self.attempts > 0 {
            writeln!(
                o,
                "waiting     {} attempts, for the next scan to finish them",
                self.attempts
            )?;
        }
        for slice in &self.unfinished {
            writeln!(
                o,
                "unfinished  uploads of {slice}, which is committed: the next scan of it or verify --sweep removes them"
            )?;
        }
        for path in &self.dead_puts {
            writeln!(
                o,
                "unfinished  {path}, which nobody writes any more: verify --sweep removes it"
            )?;
        }
        for path in &self.ignored {
            writeln!(
                o,
                "ignored     {path}: dropped there by a system; no command reads it"
            )?;
        }
        for what in &self.swept {
            writeln!(o, "removed     {what}")?;
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
            0 => writeln!(o, "all of it is as it was committed")?,
            n => writeln!(o, "{n} findings")?,
        }
        Ok(out)
    }
}

/// Whether an attempt that is recorded names an object.
async fn is_attempted(store: &Store, object: &Path, slice: &str) -> Result<bool, JobError> {
    for attempt in store.list(&paths::attempts_at(slice)).await? {
        match Attempt::load(store, &attempt.location).await {
            Ok(Some(attempt)) => {
                let is_it = |named: &str| named == object.as_ref();
                // A committed slice has no use for attempts: its commit decides.
                if attempt.commit.named_objects().any(is_it)
                    && Commit::load(store, slice).await?.is_none()
                {
                    return Ok(true);
                }
            }
            Ok(None) | Err(CommitError::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// Object stores may show the folders themselves as empty objects.
fn is_folder_of_files(path: &Path) -> bool {
    let mut parts = path.as_ref().split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(write::FOLDER), None, _) => true,
        (Some(write::FOLDER), Some(day), None) => day.parse::<PartitionKey>().is_ok(),
        _ => false,
    }
}
