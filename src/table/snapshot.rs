//! The table as its log says it is: a checkpoint, and the versions after it.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;

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
        let tip = log.tip().ok_or_else(|| missing(0))?;
        let mut failed = None;
        for checkpoint in log.checkpoints.range(..=tip).rev() {
            match Self::read_from(store, log, *checkpoint).await {
                Err(error @ TableError::Unreadable { .. }) => failed = failed.or(Some(error)),
                other => return other,
            }
        }
        if !log.versions.contains(&0) {
            return Err(failed.unwrap_or_else(|| missing(0)));
        }
        let mut snapshot = Self::default();
        snapshot.apply(0, read_version(store, 0).await?);
        snapshot.catch_up(store, log).await?;
        Ok(snapshot)
    }

    async fn read_from(store: &Store, log: &Log, version: u64) -> Result<Self, TableError> {
        log.after(version).map(drop)?;
        let path = LogObject::Checkpoint(version).path();
        let bytes = read(store, &path).await?;
        let actions = checkpoint::decode(bytes).map_err(|error| TableError::Unreadable {
            path,
            is: format!("is not a checkpoint: {error}"),
        })?;
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
    action::of_lines(&bytes).map_err(|error| TableError::Unreadable {
        path,
        is: format!("is not a version: {error}"),
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
