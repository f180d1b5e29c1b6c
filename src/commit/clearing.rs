//! Step 5: leaves nothing of a committed slice but what its commit names, as far as the store lets
//! it. What cannot be removed is warned of once and counted; it never fails a committed slice.

use std::collections::{BTreeSet, HashSet};
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use object_store::path::Path;
use tracing::warn;

use super::{Attempt, Commit, CommitError};
use crate::clock::Clock;
use crate::layout;
use crate::layout::{FileName, OwnObject, PartitionKey};
use crate::store::{Store, StoreError};

/// From this age of the winning commit on the attempt objects of those who lost go: until then one
/// of them may be asleep before its last put, and what it will show has to stay findable.
const ASLEEP_AT_MOST: TimeDelta = TimeDelta::hours(1);
/// A commit that is made so much later than now was made before the store's clock was set back.
const CLOCK_SET_BACK: TimeDelta = TimeDelta::days(1);
/// After so many refusals in a row no more is asked for: a bucket that is written once would be asked
/// for every attempt of years.
const MAX_REFUSALS: u64 = 16;

/// What shows others which files are live, and follows the commits and compactions.
#[async_trait]
pub trait Projection: Debug + Send + Sync {
    /// Brings it up to date. Returns the days of which it may still show what compactions have taken, because
    /// one of their compactions cannot be read.
    async fn refresh(
        &self,
    ) -> Result<BTreeSet<PartitionKey>, Box<dyn std::error::Error + Send + Sync>>;
}

/// Clears up after the attempts at committed slices.
#[derive(Debug)]
pub struct Cleaner {
    store: Store,
    projection: Option<Arc<dyn Projection>>,
    now: Option<DateTime<Utc>>,
    since: Option<Since>,
    not_cleared: AtomicU64,
    refusals: AtomicU64,
}

/// How long ago it was `now`. A run may take days: what was put meanwhile does not come from a time
/// before the store's clock was set back.
struct Since(Arc<dyn Clock>, Duration);

impl Since {
    fn passed(&self) -> TimeDelta {
        let Self(clock, then) = self;
        TimeDelta::from_std(clock.elapsed().saturating_sub(*then)).unwrap_or(TimeDelta::MAX)
    }
}

impl Debug for Since {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.passed().fmt(f)
    }
}

impl Cleaner {
    /// Clears up in a store whose own clock says `now`, or is not known: then nothing is old.
    pub fn new(store: Store, now: Option<DateTime<Utc>>) -> Self {
        Self {
            store,
            projection: None,
            now,
            since: None,
            not_cleared: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
        }
    }

    /// For a run whose report was just put: the store says when.
    pub async fn of_run(
        store: Store,
        clock: &Arc<dyn Clock>,
        run: &str,
    ) -> Result<Self, StoreError> {
        let since = Since(Arc::clone(clock), clock.elapsed());
        let report = store.look(&layout::run(run)).await?;
        Ok(Self {
            since: Some(since),
            ..Self::new(store, report.map(|report| report.last_modified))
        })
    }

    /// The same, where something else shows which files are live: nothing that it may show is removed
    /// before it is up to date.
    #[must_use]
    pub fn with_projection(self, projection: Arc<dyn Projection>) -> Self {
        Self {
            projection: Some(projection),
            ..self
        }
    }

    /// Brings what shows the live files of a day up to date; false where that fails.
    pub(super) async fn refresh(&self, day: PartitionKey) -> bool {
        let Some(projection) = &self.projection else {
            return true;
        };
        match projection.refresh().await {
            Ok(unsure) if !unsure.contains(&day) => return true,
            Ok(_) => warn!(
                lake = %self.store.location(),
                day = %day.date(),
                "what compactions have taken of this day stays: one of them cannot be read"
            ),
            Err(error) => warn!(
                lake = %self.store.location(),
                error = %crate::text::plain::chain(error.as_ref()),
                "what compactions have taken stays until the table is up to date"
            ),
        }
        self.leave(1, None);
        false
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Objects that could not be removed so far.
    pub fn not_cleared(&self) -> u64 {
        self.not_cleared.load(Ordering::Relaxed)
    }

    /// Whether the store has refused so often that nothing more is asked of it.
    pub(super) fn gave_up(&self) -> bool {
        self.refusals.load(Ordering::Relaxed) >= MAX_REFUSALS
    }

    /// Takes note of objects that stay, for a reason or unasked.
    pub(super) fn leave(&self, objects: u64, error: Option<&StoreError>) {
        let before = self.not_cleared.fetch_add(objects, Ordering::Relaxed);
        self.refusals.fetch_add(1, Ordering::Relaxed);
        if let Some(error) = error.filter(|_| before == 0) {
            warn!(
                lake = %self.store.location(),
                error = %crate::text::plain::chain(error),
                "cannot remove what earlier attempts left; no committed slice is affected"
            );
        }
    }

    /// Removes an object for good; false where the store refuses.
    pub async fn remove(&self, path: &Path) -> bool {
        let removed = async {
            self.store.delete(path).await?;
            // What names it goes next.
            self.store.uploads().persist(path).await
        };
        match removed.await {
            Ok(()) => {
                self.refusals.store(0, Ordering::Relaxed);
                true
            }
            Err(error) => {
                self.leave(1, Some(&error));
                false
            }
        }
    }

    /// Clears up after the attempts at a slice: what was asked to be removed, and is gone. `None`
    /// where the slice has no commit; then nothing is touched.
    ///
    /// # Errors
    /// The commit cannot be read.
    pub async fn clear_up(&self, slice: &str) -> Result<Option<Vec<Path>>, CommitError> {
        match Commit::load(&self.store, slice).await? {
            Some(winner) => Ok(Some(self.finish(&winner).await)),
            None => Ok(None),
        }
    }

    /// Clears up after a commit that somebody made who may have died before it was durable: what is
    /// removed now is needed without it.
    pub(super) async fn finish(&self, winner: &Commit) -> Vec<Path> {
        if self.gave_up() {
            self.leave(1, None);
            return Vec::new();
        }
        let commit = layout::commit(&winner.slice);
        match self.store.uploads().persist(&commit).await {
            Ok(()) => self.clear(winner).await,
            Err(error) => {
                self.leave(1, Some(&error));
                Vec::new()
            }
        }
    }

    /// The same for a commit that is durable.
    pub(super) async fn clear(&self, winner: &Commit) -> Vec<Path> {
        if self.gave_up() {
            self.leave(1, None);
            return Vec::new();
        }
        let mut removed = Vec::new();
        if let Err(error) = self.clear_losers(winner, &mut removed).await {
            self.leave(1, Some(&error));
        }
        if let Err(error) = self.store.uploads().sweep(&winner.slice).await {
            self.leave(1, Some(&error));
        }
        // A commit without files had no attempt object.
        if winner.named_objects().next().is_some() {
            let own = layout::attempt(&winner.slice, &winner.attempt);
            if self.remove(&own).await {
                removed.push(own);
            }
        }
        self.store.uploads().tidy(&winner.slice).await;
        removed
    }

    /// Removes what the other attempts at a slice name, and the attempts once that is safe.
    async fn clear_losers(
        &self,
        winner: &Commit,
        removed: &mut Vec<Path>,
    ) -> Result<(), StoreError> {
        let own = layout::attempt(&winner.slice, &winner.attempt);
        let attempts = self.store.list(&layout::attempts_at(&winner.slice)).await?;
        let is_other = |path: &Path| {
            *path != own
                && matches!(
                    OwnObject::at(path.as_ref()),
                    Some(OwnObject::Attempt { .. })
                )
        };
        let others: Vec<Path> = attempts
            .into_iter()
            .map(|object| object.location)
            .filter(is_other)
            .collect();
        if others.is_empty() {
            return Ok(());
        }
        let commit = self.store.look(&layout::commit(&winner.slice)).await?;
        let is_old = commit.is_some_and(|commit| self.is_old(commit.last_modified));
        for path in others {
            match Attempt::load(&self.store, &path).await {
                Ok(Some(attempt)) => {
                    let is_clear = self.remove_unnamed(&attempt.commit, winner, removed).await;
                    if is_clear && is_old && self.remove(&path).await {
                        removed.push(path);
                    }
                }
                // Nothing is known of what it names: verify says so.
                Ok(None) | Err(CommitError::Damaged { .. }) => {}
                Err(CommitError::Store(error)) => self.leave(1, Some(&error)),
                Err(_) => self.leave(1, None),
            }
        }
        Ok(())
    }

    /// Removes the files of an attempt that the winning commit does not name, while what that names is
    /// safe; false where one stays.
    pub(super) async fn remove_unnamed(
        &self,
        attempt: &Commit,
        winner: &Commit,
        removed: &mut Vec<Path>,
    ) -> bool {
        let named: HashSet<&str> = winner.named_objects().collect();
        let sums = winner.sums();
        let winners = sums.map(|(path, bytes, _)| (path, Some(bytes)));
        if !self.sees_safe(winners).await {
            return false;
        }
        let mut is_clear = true;
        for path in attempt.named_objects().filter(|path| !named.contains(path)) {
            let path = Path::from(path);
            if self.remove(&path).await {
                removed.push(path);
            } else {
                is_clear = false;
            }
        }
        is_clear
    }

    /// Removes a file or rejects of a committed slice that nothing names, while the files that its commit
    /// names of the same day, or its rejects, are safe; false where it stays.
    pub async fn remove_beside(&self, winner: &Commit, path: &Path) -> bool {
        let day_of = |path: &str| FileName::parse(path).map(|file| file.key);
        let day = day_of(path.as_ref());
        let beside = winner.sums().filter(|(named, ..)| day_of(named) == day);
        let beside = beside.map(|(named, bytes, _)| (named, Some(bytes)));
        self.sees_safe(beside).await && self.remove(path).await
    }

    /// Removes the objects on their way, on a disk, whose put nobody ends any more.
    pub(super) async fn clear_dead_puts(&self) {
        let staged = match self.store.list(&layout::staging()).await {
            Ok(staged) => staged,
            Err(error) => return self.leave(1, Some(&error)),
        };
        for object in staged {
            let is_put = matches!(
                OwnObject::at(object.location.as_ref()),
                Some(OwnObject::Put)
            );
            if is_put && self.is_old(object.last_modified) && !self.gave_up() {
                self.remove(&object.location).await;
            }
        }
    }

    /// Whether an object is so old that nobody is asleep any more who has put it, or lost against it.
    pub(super) fn is_old(&self, made: DateTime<Utc>) -> bool {
        let Some(now) = self.now else { return false };
        let age = now - made;
        let passed = self.since.as_ref().map_or(TimeDelta::zero(), Since::passed);
        age >= ASLEEP_AT_MOST || -age > CLOCK_SET_BACK.checked_add(&passed).unwrap_or(passed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::ObjectStore;
    use object_store::memory::InMemory;

    use super::*;
    use crate::store::RemoteUploads;

    struct StoppedClock(Duration);

    #[async_trait]
    impl Clock for StoppedClock {
        fn now_ms(&self) -> i64 {
            0
        }

        fn elapsed(&self) -> Duration {
            self.0
        }

        async fn sleep(&self, _: Duration) {}
    }

    #[test]
    fn an_attempt_is_old_an_hour_after_the_commit_or_when_the_stores_clock_was_set_back() {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let uploads = RemoteUploads::new(Arc::clone(&objects), "memory".to_owned());
        let store = Store::new(objects, Arc::new(uploads), "memory".to_owned());
        let now = DateTime::from_timestamp_millis(1_795_082_400_000).unwrap();
        let cleaner = Cleaner::new(store.clone(), Some(now));
        for (minutes, is_old) in [
            (0, false),
            (59, false),
            (60, true),
            (100_000, true),
            (-1, false),
            (-24 * 60, false),
            (-24 * 60 - 1, true),
        ] {
            let made = now - TimeDelta::minutes(minutes);
            assert_eq!(cleaner.is_old(made), is_old, "{minutes}");
        }
        assert!(!Cleaner::new(store.clone(), None).is_old(DateTime::UNIX_EPOCH));

        // In a run of ten days, what was put since it began.
        let clock = StoppedClock(Duration::from_secs(10 * 86_400 + 3));
        let cleaner = Cleaner {
            since: Some(Since(Arc::new(clock), Duration::from_secs(3))),
            ..Cleaner::new(store, Some(now))
        };
        for (days, is_old) in [(9, false), (11, false), (12, true), (-1, true)] {
            assert_eq!(
                cleaner.is_old(now + TimeDelta::days(days)),
                is_old,
                "{days}"
            );
        }
    }
}
