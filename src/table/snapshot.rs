//! The table as its log says it is: a checkpoint, and the versions after it.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::TableError;
use super::action::{self, Action, Add, Metadata, Protocol, Remove, Txn};
use super::checkpoint;
use super::seen::Seen;
use crate::layout::LogObject;
use crate::store::{Store, StoreErrorKind};
use crate::text::plain::chain;

/// Versions that are fetched at once.
const READS: usize = 32;
/// The most bytes with which an object of the log is read: some 400 for each of the files that one
/// version takes in at most.
const MOST_BYTES: u64 = 128 * 1024 * 1024;

/// The names in the log.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) versions: BTreeSet<u64>,
    pub(super) checkpoints: BTreeSet<u64>,
    /// All of them, in the order of their paths.
    pub(super) objects: Vec<ObjectMeta>,
}

impl Log {
    /// Lists it.
    pub(super) async fn list(store: &Store) -> Result<Self, TableError> {
        let log = Self::list_once(store).await?;
        if log.gap().is_none() {
            return Ok(log);
        }
        // A disk may leave out what is made while it lists a folder, and list what is made after it.
        Self::list_once(store).await
    }

    async fn list_once(store: &Store) -> Result<Self, TableError> {
        let mut log = Self {
            objects: store.list(&LogObject::folder()).await?,
            ..Self::default()
        };
        for object in &log.objects {
            match LogObject::at(object.location.as_ref()) {
                Some(LogObject::Version(version)) => log.versions.insert(version),
                Some(LogObject::Checkpoint(version)) => log.checkpoints.insert(version),
                Some(LogObject::LastCheckpoint) | None => continue,
            };
        }
        Ok(log)
    }

    /// Looks, without reading all of it, whether engines can read it: that no version is missing behind
    /// the newest checkpoint, which is where they begin, and that the checkpoint is whole that they are
    /// told of.
    ///
    /// # Errors
    /// It cannot be read; or the store.
    pub(super) async fn check(&self, store: &Store) -> Result<(), TableError> {
        if let Some(version) = self.gap() {
            return Err(missing(version));
        }
        let pointer = LogObject::LastCheckpoint.path();
        if self.objects.iter().all(|object| object.location != pointer) {
            return Ok(());
        }
        let last = LastCheckpoint::read(store).await?;
        if self.has_whole(last) {
            return Ok(());
        }
        // Another run may have written it since: the checkpoint is put before what tells of it.
        if Self::list(store).await?.has_whole(last) {
            return Ok(());
        }
        read_checkpoint(store, last.version).await.map(drop)
    }

    /// Reads the versions behind the newest checkpoint, which engines read.
    ///
    /// # Errors
    /// One of them cannot be read; or the store.
    pub(super) async fn check_versions(&self, store: &Store) -> Result<(), TableError> {
        let versions = match self.checkpoints.last() {
            Some(checkpoint) => self.versions.range(checkpoint + 1..),
            None => self.versions.range(..),
        };
        let load = |version| async move { read_version(store, version).await.map(drop) };
        let mut reads = stream::iter(versions.copied()).map(load).buffered(READS);
        while reads.try_next().await?.is_some() {}
        Ok(())
    }

    /// The first version that is missing behind the newest checkpoint, where one is.
    fn gap(&self) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        let tip = self.tip().unwrap_or_default();
        match self.checkpoints.last() {
            Some(checkpoint) if *checkpoint > tip => Some(*checkpoint),
            Some(checkpoint) => (checkpoint + 1..=tip).find(|of| !self.versions.contains(of)),
            None => (0..=tip).find(|of| !self.versions.contains(of)),
        }
    }

    /// Whether engines can read it, as far as [`Self::check`] looks.
    pub(super) async fn is_readable(&self, store: &Store) -> Result<bool, TableError> {
        match self.check(store).await {
            Ok(()) => Ok(true),
            Err(TableError::Unreadable { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a checkpoint is listed with the size that it was told with.
    fn has_whole(&self, told: LastCheckpoint) -> bool {
        let path = LogObject::Checkpoint(told.version).path();
        let mut listed = self.objects.iter();
        let listed = listed.find(|object| object.location == path);
        listed.is_some_and(|listed| told.size_in_bytes.is_none_or(|bytes| bytes == listed.size))
    }

    /// Whether nothing is there.
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The last version.
    pub(super) fn tip(&self) -> Option<u64> {
        self.versions.last().copied()
    }

    /// The versions after one, where none is missing.
    fn after(&self, version: u64) -> Result<impl Iterator<Item = u64> + use<>, TableError> {
        let tip = self.tip().unwrap_or_default();
        match (version..tip).find(|before| !self.versions.contains(&(before + 1))) {
            Some(before) => Err(missing(before + 1)),
            None => Ok(version + 1..=tip),
        }
    }
}

/// `_last_checkpoint`, which tells engines where to begin.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LastCheckpoint {
    pub(super) version: u64,
    /// Actions in it.
    pub(super) size: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size_in_bytes: Option<u64>,
}

impl LastCheckpoint {
    async fn read(store: &Store) -> Result<Self, TableError> {
        let path = LogObject::LastCheckpoint.path();
        let bytes = read(store, &path).await?;
        serde_json::from_slice(&bytes).map_err(|error| TableError::Unreadable {
            path,
            is: format!("cannot be read: {error}"),
        })
    }
}

fn missing(version: u64) -> TableError {
    TableError::Unreadable {
        path: LogObject::Version(version).path(),
        is: "is missing".to_owned(),
    }
}

/// The table at one version.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub(super) version: u64,
    pub(super) protocol: Option<Protocol>,
    pub(super) metadata: Option<Metadata>,
    /// Its files, by path.
    pub(super) files: BTreeMap<String, Add>,
    /// Files that were part of it.
    removed: BTreeMap<String, Remove>,
    txns: BTreeMap<String, Txn>,
    /// Whose version this is.
    txn_id: Option<String>,
}

impl Snapshot {
    /// Reads the table at its last version.
    ///
    /// # Errors
    /// The log lacks something, or something of it cannot be read.
    pub(super) async fn read(store: &Store, log: &Log) -> Result<Self, TableError> {
        if let Some(checkpoint) = log.checkpoints.last() {
            return Self::read_from(store, log, *checkpoint).await;
        }
        let mut snapshot = Self::default();
        snapshot.apply(0, read_version(store, 0).await?);
        snapshot.catch_up(store, log).await?;
        Ok(snapshot)
    }

    async fn read_from(store: &Store, log: &Log, version: u64) -> Result<Self, TableError> {
        log.after(version).map(drop)?;
        let actions = read_checkpoint(store, version).await?;
        let mut snapshot = Self::default();
        snapshot.apply(version, actions);
        snapshot.catch_up(store, log).await?;
        Ok(snapshot)
    }

    /// Reads the versions after the one that is known.
    pub(super) async fn catch_up(&mut self, store: &Store, log: &Log) -> Result<(), TableError> {
        let load = |version| async move {
            let actions = read_version(store, version).await?;
            Ok::<_, TableError>((version, actions))
        };
        let mut reads = stream::iter(log.after(self.version)?)
            .map(load)
            .buffered(READS);
        while let Some((version, actions)) = reads.try_next().await? {
            self.apply(version, actions);
        }
        Ok(())
    }

    /// Takes in what a version says.
    pub(super) fn apply(&mut self, version: u64, actions: Vec<Action>) {
        self.version = version;
        self.txn_id = txn_id(&actions);
        for action in actions {
            self.protocol = action.protocol.map(|of| *of).or(self.protocol.take());
            self.metadata = action.meta_data.map(|of| *of).or(self.metadata.take());
            if let Some(txn) = action.txn {
                self.txns.insert(txn.app_id.clone(), *txn);
            }
            if let Some(remove) = action.remove {
                self.files.remove(&remove.path);
                self.removed.insert(remove.path.clone(), *remove);
            }
            if let Some(add) = action.add {
                self.removed.remove(&add.path);
                self.files.insert(add.path.clone(), *add);
            }
        }
    }

    /// The numbers that writers keep in it.
    pub(super) fn txns(&self) -> impl Iterator<Item = &Txn> {
        self.txns.values()
    }

    /// Whether the log still has this very version.
    pub(super) async fn is_of(&self, store: &Store, log: &Log) -> Result<bool, TableError> {
        if !log.versions.contains(&self.version) || self.txn_id.is_none() {
            return Ok(false);
        }
        let actions = read_version(store, self.version).await?;
        Ok(txn_id(&actions) == self.txn_id)
    }

    /// What a checkpoint of it says; files that were removed before `since_ms` are forgotten.
    pub(super) fn actions(&self, since_ms: i64) -> Vec<Action> {
        let is_known = |remove: &&Remove| remove.deletion_timestamp.unwrap_or(0) >= since_ms;
        let removed = self.removed.values().filter(is_known).cloned();
        let files = self.files.values().cloned().map(|add| Add {
            data_change: false,
            ..add
        });
        let protocol = self.protocol.clone().map(Action::from);
        let metadata = self.metadata.clone().map(Action::from);
        let txns = self.txns.values().cloned().map(Action::from);
        protocol
            .into_iter()
            .chain(metadata)
            .chain(txns)
            .chain(removed.map(Action::from))
            .chain(files.map(Action::from))
            .collect()
    }
}

fn txn_id(actions: &[Action]) -> Option<String> {
    let mut infos = actions
        .iter()
        .filter_map(|action| action.commit_info.as_ref());
    infos.next().map(|info| info.txn_id.clone())
}

/// Which commits and compactions the last version takes in, with the number of columns; `None` where
/// another program wrote it, or it cannot be read.
pub(super) async fn seen_at(
    store: &Store,
    version: u64,
) -> Result<Option<(Seen, usize)>, TableError> {
    match read_version(store, version).await {
        Ok(actions) => Ok(Seen::read(&actions)),
        Err(TableError::Unreadable { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn read_version(store: &Store, version: u64) -> Result<Vec<Action>, TableError> {
    let path = LogObject::Version(version).path();
    let bytes = read(store, &path).await?;
    match action::of_lines(&bytes) {
        Ok(actions) if actions.is_empty() => Err(TableError::Unreadable {
            path,
            is: "is not a version: it says nothing".to_owned(),
        }),
        Ok(actions) => Ok(actions),
        Err(error) => Err(TableError::Unreadable {
            path,
            is: format!("is not a version: {error}"),
        }),
    }
}

async fn read_checkpoint(store: &Store, version: u64) -> Result<Vec<Action>, TableError> {
    let path = LogObject::Checkpoint(version).path();
    let bytes = read(store, &path).await?;
    checkpoint::decode(bytes)
        .await
        .map_err(|error| TableError::Unreadable {
            path,
            is: format!("is not a checkpoint: {error}"),
        })
}

/// Reads an object of the log whole.
pub(super) async fn read(store: &Store, path: &Path) -> Result<bytes::Bytes, TableError> {
    let unreadable = |is: String| TableError::Unreadable {
        path: path.clone(),
        is,
    };
    match store.get(path, MOST_BYTES).await {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(unreadable("is missing".to_owned())),
        Err(error) if error.kind() == StoreErrorKind::Unfit => {
            Err(unreadable(format!("cannot be used: {}", chain(&error))))
        }
        Err(error) => Err(error.into()),
    }
}
