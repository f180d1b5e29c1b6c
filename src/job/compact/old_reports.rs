//! The reports of runs of long ago: a lake of years has them by the ten thousand, and every run lists them.

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;

use crate::error::JobError;
use crate::layout::{self, OwnObject};
use crate::store::{Store, StoreError};

/// Removed at once.
const REMOVALS: usize = 16;

/// The reports that are older than this, but for those of the run `own`.
///
/// What time it is says the newest report of another run, or this machine's clock, `now_ms` since the epoch,
/// where that is earlier: no clock that is wrong by itself removes any.
///
/// # Errors
/// The store.
pub(super) async fn list(
    store: &Store,
    own: &str,
    kept: TimeDelta,
    now_ms: i64,
) -> Result<Vec<Path>, JobError> {
    let mut reports = store.list(&layout::runs()).await?;
    reports.retain(|object| run_of(&object.location).is_some_and(|run| run != own));
    let now = DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
    Ok(older(reports, kept, now))
}

fn older(reports: Vec<ObjectMeta>, kept: TimeDelta, now: DateTime<Utc>) -> Vec<Path> {
    let newest = reports.iter().map(|report| report.last_modified).max();
    let is_old = |time: DateTime<Utc>| newest.is_some_and(|newest| newest.min(now) - time > kept);
    let old = reports.into_iter().filter(|of| is_old(time_of(of)));
    old.map(|report| report.location).collect()
}

/// When a run wrote its report: not before it began, which its name says. In a copy it may have an earlier time.
fn time_of(report: &ObjectMeta) -> DateTime<Utc> {
    let began = run_of(&report.location).and_then(|run| layout::run_began(&run));
    began.map_or(report.last_modified, |began| {
        report.last_modified.max(began)
    })
}

fn run_of(path: &Path) -> Option<String> {
    match OwnObject::at(path.as_ref()) {
        Some(OwnObject::Run { run }) => Some(run),
        _ => None,
    }
}

/// Removes reports, and says how many. The first error is handed on; what is left is the next run's.
pub(super) async fn remove(store: &Store, reports: Vec<Path>) -> (u64, Result<(), StoreError>) {
    let removals = stream::iter(reports).map(|path| async move { store.delete(&path).await });
    let mut removals = removals.buffer_unordered(REMOVALS);
    let mut removed = 0;
    while let Some(outcome) = removals.next().await {
        if let Err(error) = outcome {
            return (removed, Err(error));
        }
        removed += 1;
    }
    (removed, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_as_old_as_the_newest_is_newer() {
        let report = |name: &str, day: i64| ObjectMeta {
            location: Path::from(name),
            last_modified: DateTime::UNIX_EPOCH + TimeDelta::days(day),
            size: 1,
            e_tag: None,
            version: None,
        };
        let old = |days: &[i64], today: i64| {
            let reports = days.iter().map(|&day| report(&day.to_string(), day));
            let now = DateTime::UNIX_EPOCH + TimeDelta::days(today);
            older(reports.collect(), TimeDelta::days(400), now).len()
        };
        assert_eq!(old(&[], 1_000), 0);
        assert_eq!(old(&[0], 1_000), 0);
        assert_eq!(old(&[0, 400], 1_000), 0);
        assert_eq!(old(&[0, 1, 401], 1_000), 1);
        assert_eq!(old(&[0, 1, 900], 1_000), 2);
        // One has a time that has not come.
        assert_eq!(old(&[0, 1, 900], 401), 1);
        assert_eq!(old(&[0, 1, 900], 2), 0);
    }

    #[test]
    fn a_report_of_a_copy_is_not_older_than_its_run() {
        let report = |run: &str, day: i64| ObjectMeta {
            location: layout::run(run),
            last_modified: DateTime::UNIX_EPOCH + TimeDelta::days(day),
            size: 1,
            e_tag: None,
            version: None,
        };
        let today = 20_776;
        let reports = vec![
            report("20200101T000000Z-00000001", 0),
            report("20261110T000000Z-00000002", 0),
            report("20261119T000000Z-00000003", today),
        ];
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(today);
        let old = older(reports, TimeDelta::days(400), now);
        assert_eq!(old, [layout::run("20200101T000000Z-00000001")]);
    }
}
