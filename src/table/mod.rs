//! The lake as a Delta table: `_delta_log/`, which engines open by name, and which says exactly which
//! files are live.
//!
//! It is a projection of commits and compactions: lost or damaged, it is made anew. Where it takes in all
//! of them, who counts or plans asks it instead ([`contents()`]). An update first reads the table, then what
//! was committed since, and writes exactly the next versions, each only if none is there; on a conflict it
//! reads both again. Every version says how many commits and compactions it takes in, and a sum over them
//! ([`seen`]), so that a table which is up to date costs a listing, and one that is behind only what is new.
//!
//! The log is written here, and not by a library: `delta_kernel` with Arrow brings a second TLS stack and
//! every codec of Parquet, and without it needs an engine of our own that is larger than this. What is
//! here is checked by readers of other people's making.

mod action;
mod checkpoint;
mod contents;
mod error;
mod facts;
mod live;
mod remarks;
mod seen;
mod snapshot;
mod standing;
mod update;
mod upkeep;

pub use contents::{Contents, LiveFile, contents, files};
pub use error::TableError;
pub use live::CommittedFiles;
pub(crate) use standing::{BEHIND, OF_OTHERS};
pub use standing::{Standing, standing};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;
use tracing::{info, warn};

use self::action::{Action, to_lines};
use self::facts::Facts;
use self::live::{Live, list};
use self::remarks::Remarks;
use self::seen::Seen;
use self::snapshot::{Log, Snapshot, seen_at};
use self::update::Update;
use crate::clock::Clock;
use crate::commit::{self, CommitError, Projection};
use crate::layout::{LogObject, OwnObject, PartitionKey};
use crate::schema;
use crate::store::{Creation, Store};
use crate::write::FileEntry;

/// How often an update is tried that others were faster with, and a version put and read back.
const TRIES: u32 = 5;
/// Files that are looked for at once.
const LOOKS: usize = 16;
/// The pause between two of these tries.
const PAUSE: Duration = Duration::from_secs(1);

/// The table of a lake.
pub struct Table {
    store: Store,
    clock: Arc<dyn Clock>,
    /// The run that writes it.
    run: String,
    /// What was read of it last.
    known: Mutex<Option<Snapshot>>,
}

/// A table that was brought up to date.
#[derive(Debug)]
pub struct Refreshed {
    /// Its version.
    pub version: u64,
    /// The commits and compactions that cannot be read, so that the table is without what they name.
    pub left_out: Vec<CommitError>,
}

impl Refreshed {
    fn whole(version: u64) -> Self {
        Self {
            version,
            left_out: Vec::new(),
        }
    }

    /// The days of which a compaction cannot be read: the table keeps what it has of them.
    fn unsure_days(&self) -> BTreeSet<PartitionKey> {
        let day_of = |error: &CommitError| match error {
            CommitError::Damaged { path, .. } => match OwnObject::at(path.as_ref()) {
                Some(OwnObject::Compaction { name }) => Some(name.day),
                _ => None,
            },
            _ => None,
        };
        self.left_out.iter().filter_map(day_of).collect()
    }
}

impl Table {
    /// The table of a store's lake; written by a run.
    pub fn new(store: Store, clock: Arc<dyn Clock>, run: String) -> Self {
        Self {
            store,
            clock,
            run,
            known: Mutex::default(),
        }
    }

    /// Brings the table up to date, and makes it where there is none.
    ///
    /// # Errors
    /// The store; a file in it that is nobody's; others that are faster each time. What is committed is
    /// not affected.
    pub async fn refresh(&self) -> Result<Refreshed, TableError> {
        let mut known = self.known.lock().await;
        for attempt in 0..TRIES {
            if attempt > 0 {
                self.clock.sleep(PAUSE).await;
            }
            if let Some(refreshed) = self.try_refresh(&mut known).await? {
                return Ok(refreshed);
            }
        }
        Err(TableError::Contended { tries: TRIES })
    }

    /// The same; `None` where another was faster, or the log has to be read again.
    async fn try_refresh(
        &self,
        known: &mut Option<Snapshot>,
    ) -> Result<Option<Refreshed>, TableError> {
        let store = &self.store;
        let log = Log::list(store).await?;
        if !self.is_readable(&log, log.check(store).await).await? {
            return Ok(None);
        }
        let tip = log.tip();
        let before = match tip {
            Some(tip) => seen_at(store, tip).await?,
            None => None,
        };
        let there = list(store).await?;
        let own = schema::activity().columns.len();
        if let (Some(tip), Some((seen, columns))) = (tip, before)
            && columns >= own
        {
            if seen == Seen::of(&there) {
                let is_kept_up = self.keep_up(&log, known).await?;
                return Ok(is_kept_up.then(|| Refreshed::whole(tip)));
            }
            if let Some(new) = seen.missing(&there)
                && let Some(live) = Live::of_new(store, &new).await?
                && !live.has_later_than(&there)
            {
                let written = self.add(&live, seen, &log, known).await?;
                return Ok(written.map(Refreshed::whole));
            }
        }
        if !log.is_empty() && !self.read(&log, known).await? {
            return Ok(None);
        }
        let snapshot = known.as_ref().filter(|_| tip.is_some());
        if snapshot.is_none() {
            self.check_whole().await?;
        }
        let facts = self.facts(snapshot);
        let none = BTreeMap::new();
        let shown = snapshot.map_or(&none, |snapshot| &snapshot.files);
        let mut live = Live::read(store, &there, shown).await?;
        if snapshot.is_none()
            && let Some(error) = live.left_out.pop()
        {
            return Err(TableError::Unsound(error));
        }
        let before = before.map(|(seen, _)| seen);
        let update = Update::of_all(&live, before.unwrap_or_default(), snapshot, &facts)?;
        let remarks = snapshot.map(|snapshot| Remarks::read(snapshot.txns()));
        let written = match tip {
            Some(tip) if update.changes_nothing(before, &remarks.unwrap_or_default()) => {
                self.keep_up(&log, known).await?.then_some(tip)
            }
            _ => self.write(update, &facts, tip, known).await?,
        };
        let left_out = live.left_out;
        Ok(written.map(|version| Refreshed { version, left_out }))
    }

    /// Makes sure that a table that is made anew has all rows: of a compaction that was lost, nothing but its
    /// files tells any more.
    async fn check_whole(&self) -> Result<(), TableError> {
        match commit::find_lost_compaction(&self.store).await? {
            None => Ok(()),
            Some((path, compaction)) => Err(TableError::CompactionMissing {
                path: path.to_string(),
                compaction,
            }),
        }
    }

    /// Makes sure, before a log is removed, that all can be read that the table is made anew from: engines may
    /// still read what is left of the log.
    async fn check_replaceable(&self) -> Result<(), TableError> {
        self.check_whole().await?;
        let there = list(&self.store).await?;
        let mut live = Live::read(&self.store, &there, &BTreeMap::new()).await?;
        live.left_out
            .pop()
            .map_or(Ok(()), |error| Err(TableError::Unsound(error)))
    }

    /// Writes what is new since the last version. What the table has matters only to compactions.
    async fn add(
        &self,
        live: &Live,
        before: Seen,
        log: &Log,
        known: &mut Option<Snapshot>,
    ) -> Result<Option<u64>, TableError> {
        let compacts = live.compactions_seen != Seen::default();
        let is_read = if compacts {
            self.read(log, known).await?
        } else {
            // Nobody could read what is written behind a version that is cut short.
            let looked = log.check_versions(&self.store).await;
            self.is_readable(log, looked).await?
        };
        if !is_read {
            return Ok(None);
        }
        let facts = self.facts(None);
        let none = BTreeMap::new();
        let files = known.as_ref().filter(|_| compacts);
        let files = files.map_or(&none, |known| &known.files);
        let update = Update::of_new(live, before, files, &facts);
        self.write(update, &facts, log.tip(), known).await
    }

    fn facts(&self, before: Option<&Snapshot>) -> Facts {
        let now_ms = self.clock.now_ms();
        Facts::new(&self.run, now_ms, before)
    }

    /// Reads the table; false where its log could not be read, and was removed.
    async fn read(&self, log: &Log, known: &mut Option<Snapshot>) -> Result<bool, TableError> {
        let snapshot = self.snapshot(log, known.take()).await;
        let read = snapshot.map(|snapshot| *known = Some(snapshot));
        self.is_readable(log, read).await
    }

    /// Whether looking at the log, or reading it, went well; a log that cannot be read is removed where it can
    /// be made anew, and of what only tells engines where to begin nothing else: they begin without it.
    async fn is_readable(
        &self,
        log: &Log,
        looked: Result<(), TableError>,
    ) -> Result<bool, TableError> {
        let error = match looked {
            Ok(()) => return Ok(true),
            Err(error @ TableError::Unreadable { .. }) => error,
            Err(error) => return Err(error),
        };
        let pointer = LogObject::LastCheckpoint.path();
        let is_pointer = matches!(&error, TableError::Unreadable { path, .. } if *path == pointer);
        let lake = self.store.location();
        let error = crate::text::plain::chain(&error);
        if is_pointer {
            warn!(%lake, %error, "it is removed, and the next checkpoint makes it anew");
            self.store.delete(&pointer).await?;
        } else {
            if let Err(reason) = self.check_replaceable().await {
                warn!(%lake, %error, "the log stays as it is: the table cannot be made anew now");
                return Err(reason);
            }
            warn!(%lake, %error, "the table is made anew from the commits");
            upkeep::remove_all(&self.store, log).await?;
        }
        Ok(false)
    }

    async fn snapshot(&self, log: &Log, known: Option<Snapshot>) -> Result<Snapshot, TableError> {
        if let Some(mut snapshot) = known
            && snapshot.is_of(&self.store, log).await?
        {
            snapshot.catch_up(&self.store, log).await?;
            return Ok(snapshot);
        }
        Snapshot::read(&self.store, log).await
    }

    /// Writes an update as the next versions; `None` where another was faster.
    async fn write(
        &self,
        update: Update,
        facts: &Facts,
        tip: Option<u64>,
        known: &mut Option<Snapshot>,
    ) -> Result<Option<u64>, TableError> {
        let mut next = tip.map_or(0, |tip| tip + 1);
        let mut is_known = known
            .as_ref()
            .is_some_and(|known| Some(known.version) == tip);
        if tip.is_none() {
            *known = Some(Snapshot::default());
            is_known = true;
        }
        for actions in update.versions(facts) {
            if !self.create(next, &actions).await? {
                return Ok(None);
            }
            if let Some(known) = known.as_mut().filter(|_| is_known) {
                known.apply(next, actions);
            }
            next += 1;
        }
        let version = next - 1;
        info!(version, "the table is up to date");
        let log = Log::list(&self.store).await?;
        Ok(self.keep_up(&log, known).await?.then_some(version))
    }

    /// Creates one version; false where another is there. On a disk it is durable then.
    async fn create(&self, version: u64, actions: &[Action]) -> Result<bool, TableError> {
        let path = LogObject::Version(version).path();
        let bytes = bytes::Bytes::from(to_lines(actions));
        let mut unreadable = None;
        for attempt in 0..TRIES {
            if attempt > 0 {
                self.clock.sleep(PAUSE).await;
            }
            let created = self.store.create(&path, bytes.clone()).await;
            let is_ours = match created {
                Ok(Creation::Created) => Some(true),
                // An answer that was lost may come back as either.
                Ok(Creation::Existed) | Err(_) => match snapshot::read(&self.store, &path).await {
                    Ok(there) => Some(there == bytes),
                    Err(error @ TableError::Unreadable { .. }) => {
                        unreadable = Some(error);
                        None
                    }
                    Err(error) => return Err(error),
                },
            };
            match is_ours {
                Some(true) => {
                    self.store.uploads().persist(&path).await?;
                    return Ok(true);
                }
                Some(false) => return Ok(false),
                None => {}
            }
            if let Err(error) = created
                && attempt + 1 == TRIES
            {
                return Err(error.into());
            }
        }
        Err(unreadable.unwrap_or(TableError::Unknown {
            version,
            tries: TRIES,
        }))
    }

    /// Writes a checkpoint where one is due, and removes what is too old; false where the log could not
    /// be read.
    async fn keep_up(&self, log: &Log, known: &mut Option<Snapshot>) -> Result<bool, TableError> {
        if !upkeep::is_due(log) {
            return Ok(true);
        }
        if !self.read(log, known).await? {
            return Ok(false);
        }
        if let Some(snapshot) = known {
            upkeep::write_checkpoint(&self.store, snapshot, self.clock.now_ms()).await?;
            upkeep::remove_old(&self.store).await;
        }
        Ok(true)
    }
}

#[async_trait]
impl Projection for Table {
    async fn refresh(
        &self,
    ) -> Result<BTreeSet<PartitionKey>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.refresh().await?.unsure_days())
    }
}

/// The table, for who only looks: what it may show is up to date, or there is none.
#[derive(Debug)]
pub struct OnlyCurrent(pub Store);

#[async_trait]
impl Projection for OnlyCurrent {
    async fn refresh(
        &self,
    ) -> Result<BTreeSet<PartitionKey>, Box<dyn std::error::Error + Send + Sync>> {
        match standing(&self.0).await? {
            Some(Standing {
                is_current: false, ..
            }) => Err(TableError::Behind.into()),
            _ => Ok(BTreeSet::new()),
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("lake", &self.store.location())
            .finish_non_exhaustive()
    }
}

/// What in a table is not as the commits and compactions say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Files that it has, and that nothing names.
    pub not_live: Vec<String>,
    /// Files that it has, though it takes in the compactions that have taken them.
    pub taken: Vec<String>,
    /// Files that it has, that compactions have taken which it does not take in, and that are gone: it was
    /// brought up to date before they were removed.
    pub gone: Vec<String>,
    /// Whether there is more than it takes in, and nothing else is wrong with that: somebody is at work, or the
    /// next run is.
    pub is_behind: bool,
    /// Live files that it lacks, though it takes in every commit and compaction.
    pub lacking: Vec<String>,
    /// Live files of which it says another day, other rows, bytes or bounds of times.
    pub other: Vec<String>,
    /// Slices whose commits say more than their files, though it does not know of them.
    pub not_remarked: Vec<String>,
}

/// Compares the table of a lake with its live files; `None` where there is none. Commits that were read
/// before are not read again.
///
/// # Errors
/// The store; a log that cannot be read.
pub async fn compare(
    store: &Store,
    committed: CommittedFiles,
) -> Result<Option<Differences>, TableError> {
    let log = Log::list(store).await?;
    if log.is_empty() {
        return Ok(None);
    }
    log.check(store).await?;
    let snapshot = Snapshot::read(store, &log).await?;
    facts::completion(&snapshot)?;
    let there = list(store).await?;
    let live = Live::read_on(store, &there, &BTreeMap::new(), committed).await?;
    let read = live.seen();
    let seen = seen_at(store, snapshot.version).await?;
    let seen = seen.map(|(seen, _)| seen);
    let is_nobodys = |path: &&String| !live.files.contains_key(*path) && !live.may_have(path);
    let nobodys = snapshot.files.keys().filter(is_nobodys).cloned();
    let (mut taken, not_live): (Vec<String>, Vec<String>) =
        nobodys.partition(|path| live.compactions.has_taken(path));
    // In a copy they have other times: as many are taken to be the same, where the table has nothing that they
    // do not name. Else some were lost, and as many have come that it does not know of.
    let has_no_others = not_live.is_empty() && taken.is_empty();
    let is_copied = |seen: Seen| seen.is_of_others_than(read) && has_no_others;
    let is_current =
        seen.is_some_and(|seen| seen == read || is_copied(seen)) && !live.has_later_than(&there);
    let mut gone = Vec::new();
    if !is_current {
        gone = gone_of(store, std::mem::take(&mut taken), snapshot.version).await?;
    }
    let lost = seen.map_or(0, |seen| seen.more_than(read));
    let lacks = |path: &&String| is_current && !snapshot.files.contains_key(*path);
    let is_other = |file: &&FileEntry| {
        let said = snapshot.files.get(&file.path);
        said.is_some_and(|said| !facts::are_of(said, file))
    };
    let remarks = Remarks::read(snapshot.txns());
    let is_unknown = |slice: &&String| {
        let slice = slice.parse();
        is_current && slice.is_ok_and(|slice| !remarks.may_concern(&slice))
    };
    let other = live.files.values().filter(is_other);
    Ok(Some(Differences {
        other: other.map(|file| file.path.clone()).collect(),
        not_remarked: live.remarked().filter(is_unknown).cloned().collect(),
        is_behind: !is_current && lost == 0 && live.is_whole(),
        not_live,
        taken,
        gone,
        lacking: live.files.keys().filter(lacks).cloned().collect(),
    }))
}

/// Those of some files of a version of the table that are not there, where it is the last version still: else
/// they were removed as they should be, after a later one.
async fn gone_of(
    store: &Store,
    files: Vec<String>,
    version: u64,
) -> Result<Vec<String>, TableError> {
    let look = |path: String| async move {
        let size = store.size(&path.as_str().into()).await?;
        Ok::<_, TableError>(size.is_none().then_some(path))
    };
    let looks = stream::iter(files).map(look).buffered(LOOKS);
    let gone: Vec<Option<String>> = looks.try_collect().await?;
    let gone: Vec<String> = gone.into_iter().flatten().collect();
    if gone.is_empty() || Log::list(store).await?.tip() == Some(version) {
        return Ok(gone);
    }
    Ok(Vec::new())
}
