//! What is committed, read from the commits of a lake.

use std::collections::BTreeSet;

use futures::{Stream, StreamExt, stream};

use super::{Commit, CommitError, Damage, Unproven};
use crate::layout::{self, OwnObject};
use crate::store::Store;

/// Commits that one task reads.
const CHUNK: usize = 256;
/// Such tasks at once.
const CHUNKS: usize = 4;
/// Commits that a task fetches at once. A disk is as fast with fewer; an object store answers in
/// tens of milliseconds, and with 64 on their way 20,000 commits take seconds.
const READS: usize = 16;

/// The slices that have a commit, by the names of the objects: a lake has tens of thousands. Other
/// names are nobody's business here; `verify` names them.
pub async fn committed_slices(store: &Store) -> Result<BTreeSet<String>, CommitError> {
    let commits = list_commits(store).await?;
    Ok(commits.into_iter().map(|(slice, _)| slice).collect())
}

/// The slices that have a commit, with the bytes of each.
async fn list_commits(store: &Store) -> Result<Vec<(String, u64)>, CommitError> {
    let objects = store.list(&layout::commits()).await?.into_iter();
    let commits = objects.filter_map(|object| match OwnObject::at(object.location.as_ref()) {
        Some(OwnObject::Commit { slice }) => Some((slice, object.size)),
        _ => None,
    });
    Ok(commits.collect())
}

/// The slices that are not scanned again.
#[derive(Debug, Clone, Default)]
pub struct KnownSlices {
    /// Those with a commit.
    pub committed: BTreeSet<String>,
    /// Those with a marker that can be believed: asked for too late to prove anything.
    pub unproven: BTreeSet<String>,
    /// Those whose commit is empty: just on its way, or damaged.
    pub empty: BTreeSet<String>,
}

impl KnownSlices {
    /// Reads the names in a lake, now, in milliseconds since the epoch. A marker is believed that says
    /// something, at a slice that is too old by now: who may write into a lake may put others.
    pub async fn list(store: &Store, now_ms: i64) -> Result<Self, CommitError> {
        // Markers first: a slice that is committed meanwhile outranks its marker.
        let markers = store.list(&layout::unproven()).await?;
        let commits = list_commits(store).await?;
        let slice_of = |path: &str| match OwnObject::at(path) {
            Some(OwnObject::Unproven { slice }) => Some(slice),
            _ => None,
        };
        let believed = markers.iter().filter_map(|object| {
            let slice = slice_of(object.location.as_ref())?;
            let may_be = object.size > 0 && Unproven::is_too_late(&slice, now_ms);
            may_be.then_some(slice)
        });
        let mut unproven: BTreeSet<String> = believed.collect();
        let empty = commits.iter().filter(|(_, bytes)| *bytes == 0);
        let empty = empty.map(|(slice, _)| slice.clone()).collect();
        let committed: BTreeSet<String> = commits.into_iter().map(|(slice, _)| slice).collect();
        unproven.retain(|slice| !committed.contains(slice));
        Ok(Self {
            committed,
            unproven,
            empty,
        })
    }

    /// What is wrong with the commits that were empty, of these slices. They cost their slices, and
    /// no other.
    pub async fn damaged(&self, store: &Store, which: impl Fn(&str) -> bool) -> Vec<CommitError> {
        let mut damaged = Vec::new();
        for slice in self.empty.iter().filter(|slice| which(slice)) {
            damaged.extend(Commit::load(store, slice).await.err());
        }
        damaged
    }

    /// Whether a slice is one of them.
    pub fn contains(&self, slice: &str) -> bool {
        self.committed.contains(slice) || self.unproven.contains(slice)
    }
}

/// Reads the commits of slices, several at once, in no order. No commit is ever removed, so one that is not
/// there was lost, or its store says so for a while: that is damage.
pub fn load_commits(
    store: &Store,
    slices: BTreeSet<String>,
) -> impl Stream<Item = Result<Commit, CommitError>> + use<> {
    let store = store.clone();
    let chunks: Vec<Vec<String>> = slices
        .into_iter()
        .collect::<Vec<_>>()
        .chunks(CHUNK)
        .map(<[String]>::to_vec)
        .collect();
    stream::iter(chunks)
        .map(move |slices| {
            // Tasks of their own: fetching the bytes and reading what they say both take time.
            let chunk = tokio::spawn(load_chunk(store.clone(), slices));
            async move {
                chunk
                    .await
                    .unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic()))
            }
        })
        .buffer_unordered(CHUNKS)
        .flat_map(stream::iter)
}

async fn load_chunk(store: Store, slices: Vec<String>) -> Vec<Result<Commit, CommitError>> {
    let mut commits = Vec::with_capacity(slices.len());
    let mut loads = stream::iter(slices)
        .map(|slice| {
            let store = store.clone();
            async move {
                let commit = Commit::load(&store, &slice).await?;
                commit.ok_or_else(|| CommitError::Damaged {
                    path: layout::commit(&slice),
                    damage: Damage::Vanished,
                })
            }
        })
        .buffer_unordered(READS);
    while let Some(commit) = loads.next().await {
        commits.push(commit);
    }
    commits
}
