//! What the slices of a run hold beside their pages: rows that wait to be written, what tells a slice's
//! records apart, and what waits to be sent to object storage.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The memory that the slices in flight share.
///
/// What tells records apart grows with a slice, and goes with it; the bytes of files that are too few for
/// a part of an upload stay as well; rows that wait can be written at any time. So the rows get what the
/// others leave. Where slices have grown so much that they hold more than a quarter, only the oldest goes
/// on until it has ended. A slice cannot have more records than half of it tells apart, so that a quarter
/// is left for rows.
#[derive(Debug)]
pub(crate) struct SliceMemory {
    bytes: u64,
    parallel: u64,
    held: Mutex<Held>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    begun: u64,
    /// What each slice in flight holds, by when it began.
    by_slice: BTreeMap<u64, Holds>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Holds {
    records_bytes: u64,
    uploads_bytes: u64,
}

impl Holds {
    fn bytes(&self) -> u64 {
        self.records_bytes + self.uploads_bytes
    }
}

impl Held {
    fn bytes(&self) -> u64 {
        self.by_slice.values().map(Holds::bytes).sum()
    }
}

impl SliceMemory {
    /// So much memory, for so many slices at once.
    pub(crate) fn new(bytes: u64, parallel: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes,
            parallel: (parallel as u64).max(1),
            held: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// The part of a slice that begins.
    pub(crate) fn begin(self: &Arc<Self>) -> SlicePart {
        let mut held = self.held.lock();
        held.begun += 1;
        let number = held.begun;
        held.by_slice.insert(number, Holds::default());
        drop(held);
        SlicePart {
            memory: Arc::clone(self),
            number,
        }
    }
}

/// What one slice has of it; all of that is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct SlicePart {
    memory: Arc<SliceMemory>,
    number: u64,
}

impl SlicePart {
    /// Waits until the slice may grow by another page.
    pub(crate) async fn may_grow(&self) {
        loop {
            let changed = self.memory.changed.notified();
            tokio::pin!(changed);
            // From here on nothing that changes is missed.
            changed.as_mut().enable();
            if self.is_free() {
                return;
            }
            changed.await;
        }
    }

    fn is_free(&self) -> bool {
        let held = self.memory.held.lock();
        let is_oldest = held.by_slice.keys().next() == Some(&self.number);
        is_oldest || held.bytes() <= self.memory.bytes / 4
    }

    /// Takes note of how much the slice holds to tell its records apart.
    pub(crate) fn holds_for_records(&self, bytes: u64) {
        self.note(|holds| holds.records_bytes = bytes);
    }

    /// Takes note of how much of its files waits to be sent.
    pub(crate) fn holds_for_uploads(&self, bytes: u64) {
        self.note(|holds| holds.uploads_bytes = bytes);
    }

    fn note(&self, note: impl FnOnce(&mut Holds)) {
        let mut held = self.memory.held.lock();
        let before = held.bytes();
        note(held.by_slice.entry(self.number).or_default());
        if held.bytes() < before {
            self.memory.changed.notify_waiters();
        }
    }

    /// How many bytes of its rows may wait now: what the slice itself holds comes out of its own share, so
    /// that it takes no more memory while it grows; what others hold beyond theirs comes out of all.
    pub(crate) fn rows_bytes(&self) -> usize {
        let SliceMemory {
            bytes, parallel, ..
        } = *self.memory;
        let held = self.memory.held.lock();
        let own = held.by_slice.get(&self.number).map_or(0, Holds::bytes);
        let of_its_share = (bytes / parallel).saturating_sub(own);
        let of_all = bytes.saturating_sub(held.bytes()) / parallel;
        let left = of_its_share.min(of_all).max(bytes / 4 / parallel);
        usize::try_from(left).unwrap_or(usize::MAX)
    }
}

impl Drop for SlicePart {
    fn drop(&mut self) {
        self.memory.held.lock().by_slice.remove(&self.number);
        self.memory.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn may_grow(part: &SlicePart) -> bool {
        part.may_grow().now_or_never().is_some()
    }

    #[test]
    fn rows_get_what_the_records_leave_and_never_less_than_a_quarter() {
        let memory = SliceMemory::new(800, 2);
        let (older, newer) = (memory.begin(), memory.begin());
        assert_eq!((older.rows_bytes(), newer.rows_bytes()), (400, 400));
        older.holds_for_records(100);
        newer.holds_for_records(20);
        newer.holds_for_uploads(40);
        assert_eq!((older.rows_bytes(), newer.rows_bytes()), (300, 320));
        older.holds_for_records(2_000);
        assert_eq!((older.rows_bytes(), newer.rows_bytes()), (100, 100));
        drop(older);
        assert_eq!(newer.rows_bytes(), 340);
    }

    #[test]
    fn where_a_quarter_is_held_only_the_oldest_goes_on() {
        let memory = SliceMemory::new(800, 3);
        let parts = [memory.begin(), memory.begin(), memory.begin()];
        for part in &parts {
            part.holds_for_records(66);
            assert!(may_grow(part));
        }
        parts[2].holds_for_uploads(34);
        assert_eq!(parts.each_ref().map(may_grow), [true, false, false]);
        parts[0].holds_for_records(400);
        let [oldest, next, newest] = parts;
        drop(oldest);
        // Of 800 a quarter is 200.
        assert_eq!((may_grow(&next), may_grow(&newest)), (true, true));
        next.holds_for_uploads(35);
        let mut waiting = Box::pin(newest.may_grow());
        assert_eq!(waiting.as_mut().now_or_never(), None);
        next.holds_for_uploads(34);
        assert_eq!(waiting.now_or_never(), Some(()));
        next.holds_for_uploads(35);
        assert_eq!((may_grow(&next), may_grow(&newest)), (true, false));
        drop(next);
        assert!(may_grow(&newest));
    }

    /// Slices of any size, in any order: all of them end, and at no time more is held than three quarters.
    #[tokio::test]
    async fn all_slices_end_however_large_they_are() {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let memory = SliceMemory::new(8_000, 16);
            let tasks = (0..40).map(|_| {
                let memory = Arc::clone(&memory);
                let most = random.u64(1..4_000);
                tokio::spawn(async move {
                    let part = memory.begin();
                    let mut holds = 0;
                    while holds < most {
                        part.may_grow().await;
                        holds = (holds + 50).min(most);
                        part.holds_for_records(holds);
                        let all = memory.held.lock().bytes();
                        assert!(all <= 6_000 + 16 * 50, "{all} bytes are held");
                        tokio::task::yield_now().await;
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.unwrap();
            }
        }
    }
}
