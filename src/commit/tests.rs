use super::*;
use crate::clock::SystemClock;

/// Commits a slice without files that has these counts.
async fn commit_without_files(counts: SliceCounts) -> (Result<Outcome, CommitError>, bool) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::make(folder.path().to_str().unwrap()).unwrap();
    let slice = "20261119T1000Z-20261119T1100Z".to_owned();
    let prepared = Prepared {
        commit: Commit::new(
            slice.clone(),
            "k3v9".to_owned(),
            "run".to_owned(),
            0,
            1,
            Vec::new(),
            None,
            counts,
        ),
        files: Vec::new(),
        rejects: None,
    };
    let outcome = commit(&store, &SystemClock::new(), prepared).await;
    let is_committed = Commit::load(&store, &slice).await.unwrap().is_some();
    (outcome, is_committed)
}

#[tokio::test]
async fn a_slice_without_records_is_committed() {
    let (outcome, is_committed) = commit_without_files(SliceCounts::default()).await;
    assert_eq!(outcome.unwrap(), Outcome::Committed);
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
