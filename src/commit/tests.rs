use async_trait::async_trait;
use bytes::Bytes;

use object_store::path::Path;

use super::counts::SliceCounts;
use super::*;
use crate::clock::SystemClock;
use crate::layout;
use crate::store::{Store, StoreError, Upload};

const ATTEMPT: &str = "0123456789abcdef";

/// Commits a slice without files that has these counts.
fn attempted(slice: &str, rejects: Option<RejectsEntry>, counts: SliceCounts) -> Commit {
    let mut commit = Commit::empty(slice.to_owned(), ATTEMPT.to_owned(), "run".to_owned(), 0, 1);
    commit.rejects = rejects;
    commit.counts = counts;
    commit
}

async fn commit_without_files(counts: SliceCounts) -> (Result<Outcome, CommitError>, bool) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::make(folder.path().to_str().unwrap()).unwrap();
    let slice = "20261119T1000Z-20261119T1100Z".to_owned();
    let prepared = Prepared {
        commit: attempted(&slice, None, counts),
        files: Vec::new(),
        rejects: None,
    };
    let cleaner = Cleaner::new(store.clone(), None);
    let outcome = commit(&cleaner, &SystemClock::new(), prepared).await;
    let is_committed = Commit::load(&store, &slice).await.unwrap().is_some();
    (outcome, is_committed)
}

#[tokio::test]
async fn a_slice_without_records_is_committed() {
    let (outcome, is_committed) = commit_without_files(SliceCounts::default()).await;
    assert!(matches!(outcome.unwrap(), Outcome::Committed(_)));
    assert!(is_committed);
}

#[tokio::test]
async fn records_that_went_nowhere_stop_the_commit() {
    let lost = SliceCounts {
        records: 3,
        repeats: 2,
        ..SliceCounts::default()
    };
    let (outcome, is_committed) = commit_without_files(lost).await;
    assert!(matches!(
        outcome,
        Err(CommitError::Conservation {
            records: 3,
            accounted: 2,
            ..
        })
    ));
    assert!(!is_committed);
}

#[tokio::test]
async fn rows_that_are_in_no_file_stop_the_commit() {
    let unwritten = SliceCounts {
        records: 3,
        rows: 3,
        ..SliceCounts::default()
    };
    let (outcome, is_committed) = commit_without_files(unwritten).await;
    assert!(matches!(
        outcome,
        Err(CommitError::Conservation {
            records: 3,
            accounted: 0,
            ..
        })
    ));
    assert!(!is_committed);
}

/// An upload whose publishing fails and leaves some bytes all the same.
struct Torn {
    store: Store,
    path: Path,
    leaves: &'static str,
}

#[async_trait]
impl Upload for Torn {
    async fn write(&mut self, _bytes: Bytes) -> Result<(), StoreError> {
        Ok(())
    }

    async fn seal(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn publish(&mut self) -> Result<(), StoreError> {
        let bytes = Bytes::from_static(self.leaves.as_bytes());
        self.store.put(&self.path, bytes).await?;
        let error = std::io::Error::other("no answer");
        Err(StoreError::new("publish", self.path.to_string(), error))
    }

    async fn abort(&mut self) {}
}

#[tokio::test]
async fn what_an_error_in_publishing_left_counts_by_its_size() {
    const WHOLE: &str = "{\"reason\":\"invalid_json\"}\n";
    for (leaves, is_whole) in [(WHOLE, true), (&WHOLE[..9], false), ("", false)] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::make(folder.path().to_str().unwrap()).unwrap();
        let slice = "20261119T1000Z-20261119T1100Z";
        let path = Path::from(format!("_mdca/rejects/{slice}-{ATTEMPT}.jsonl"));
        let counts = SliceCounts {
            records: 1,
            rejects: [("invalid_json".to_owned(), 1)].into(),
            ..SliceCounts::default()
        };
        let entry = RejectsEntry {
            path: path.to_string(),
            lines: 1,
            bytes: WHOLE.len() as u64,
            checksum: String::new(),
        };
        let prepared = Prepared {
            commit: attempted(slice, Some(entry), counts),
            files: Vec::new(),
            rejects: Some(Box::new(Torn {
                store: store.clone(),
                path,
                leaves,
            })),
        };
        let cleaner = Cleaner::new(store.clone(), None);
        let outcome = commit(&cleaner, &SystemClock::new(), prepared).await;
        assert_eq!(outcome.is_ok(), is_whole, "{leaves}: {outcome:?}");
        let is_committed = Commit::load(&store, slice).await.unwrap().is_some();
        assert_eq!(is_committed, is_whole, "{leaves}");
    }
}

#[tokio::test]
async fn a_commit_that_nobody_could_read_again_is_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::make(folder.path().to_str().unwrap()).unwrap();
    let slice = "20261119T1000Z-20261119T1100Z";
    for (bytes, is_made) in [(1 << 20, true), (caps::COMMIT_BYTES, false)] {
        let hole = CommittedHole {
            from_ms: 0,
            until_ms: 1,
            reason: "x".repeat(usize::try_from(bytes).unwrap()),
        };
        let prepared = Prepared {
            commit: attempted(slice, None, SliceCounts::default()).with_holes(vec![hole]),
            files: Vec::new(),
            rejects: None,
        };
        let cleaner = Cleaner::new(store.clone(), None);
        let outcome = commit(&cleaner, &SystemClock::new(), prepared).await;
        let is_committed = Commit::load(&store, slice).await.unwrap().is_some();
        assert_eq!(is_committed, is_made);
        assert_eq!(
            matches!(outcome, Err(CommitError::TooLarge { .. })),
            !is_made,
            "{outcome:?}"
        );
        store.delete(&layout::commit(slice)).await.unwrap();
    }
}
