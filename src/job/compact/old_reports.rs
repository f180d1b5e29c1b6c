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
/// What time it is says the newest report of another run, so that no clock which is wrong removes any.
///
/// # Errors
/// The store.
pub(super) async fn list(store: &Store, own: &str, kept: TimeDelta) -> Result<Vec<Path>, JobError> {
    let mut reports = store.list(&layout::runs()).await?;
    reports.retain(|object| match OwnObject::at(object.location.as_ref()) {
        Some(OwnObject::Run { run }) => run != own,
        _ => false,
    });
    Ok(older(reports, kept))
}

fn older(reports: Vec<ObjectMeta>, kept: TimeDelta) -> Vec<Path> {
    let newest = reports.iter().map(|report| report.last_modified).max();
    let is_old = |time: DateTime<Utc>| newest.is_some_and(|newest| newest - time > kept);
    let old = reports.into_iter().filter(|of| is_old(of.last_modified));
    old.map(|report| report.location).collect()
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
        let old = |days: &[i64]| {
            let reports = days.iter().map(|&day| report(&day.to_string(), day));
            older(reports.collect(), TimeDelta::days(400)).len()
        };
        assert_eq!(old(&[]), 0);
        assert_eq!(old(&[0]), 0);
        assert_eq!(old(&[0, 400]), 0);
        assert_eq!(old(&[0, 1, 401]), 1);
        assert_eq!(old(&[0, 1, 900]), 2);
    }
}
