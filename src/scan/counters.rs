//! What a run's scanning cost, counted.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters that all slices of a run share.
#[derive(Debug, Default)]
pub struct ScanCounters {
    requests: AtomicU64,
    bytes: AtomicU64,
    waited_ms: AtomicU64,
    halvings: AtomicU64,
    probes: AtomicU64,
    extra_continuations: AtomicU64,
    total_differs: AtomicU64,
    limit_lowered: AtomicU64,
    controls: AtomicU64,
    full_pages: AtomicU64,
    /// Records of the smallest page that was not the last; 0 before there was one.
    page_cap: AtomicU64,
    spans: AtomicU64,
    spans_given_up: AtomicU64,
    retries: Mutex<BTreeMap<&'static str, u64>>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanCounts {
    /// Requests sent.
    pub requests: u64,
    /// Bytes of answers, decompressed.
    pub bytes: u64,
    /// Time waited for the budget, in milliseconds, over all slices.
    pub waited_ms: u64,
    /// Ranges that were stuck and halved.
    pub halvings: u64,
    /// Empty ranges that were asked once more.
    pub probes: u64,
    /// Answers with `nextQueryFilters` beside `hasNext: false`.
    pub extra_continuations: u64,
    /// Ranges whose records were not as many as `total` said.
    pub total_differs: u64,
    /// Whether the service took only the smaller page limit.
    pub limit_lowered: u64,
    /// Requests that asked whether the service is well.
    pub controls: u64,
    /// Ranges of several slices that were read as one.
    pub spans: u64,
    /// Such ranges that were given up, so that their slices were asked for again.
    pub spans_given_up: u64,
    /// Requests sent again, by cause.
    pub retries: BTreeMap<String, u64>,
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

impl ScanCounters {
    pub(super) fn request(&self) {
        add(&self.requests, 1);
    }

    pub(super) fn received(&self, bytes: usize) {
        add(&self.bytes, bytes as u64);
    }

    pub(super) fn waited(&self, wait: Duration) {
        add(
            &self.waited_ms,
            u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        );
    }

    pub(super) fn halving(&self) {
        add(&self.halvings, 1);
    }

    pub(super) fn probe(&self) {
        add(&self.probes, 1);
    }

    pub(super) fn extra_continuation(&self) {
        add(&self.extra_continuations, 1);
    }

    pub(super) fn total_differs(&self) {
        add(&self.total_differs, 1);
    }

    pub(super) fn limit_lowered(&self) {
        add(&self.limit_lowered, 1);
    }

    pub(super) fn control(&self) {
        add(&self.controls, 1);
    }

    pub(super) fn full_page(&self) {
        add(&self.full_pages, 1);
    }

    /// Pages with records so far.
    pub(super) fn full_pages(&self) -> u64 {
        self.full_pages.load(Ordering::Relaxed)
    }

    /// Takes note of the records of a page after which more was to come. An empty one says nothing.
    pub(crate) fn page_with_more(&self, records: u64) {
        let smaller = |cap: u64| (records > 0 && (cap == 0 || records < cap)).then_some(records);
        let _ = self
            .page_cap
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, smaller);
    }

    /// Records of the smallest page after which more was to come.
    pub(super) fn page_cap(&self) -> Option<u64> {
        Some(self.page_cap.load(Ordering::Relaxed)).filter(|cap| *cap > 0)
    }

    /// Takes note of a range of several slices that was read as one.
    pub(crate) fn span(&self) {
        add(&self.spans, 1);
    }

    /// Takes note of a range of several slices that was given up.
    pub(crate) fn span_given_up(&self) {
        add(&self.spans_given_up, 1);
    }

    /// Counts one more try of something, for this cause.
    pub fn retry(&self, cause: &'static str) {
        let mut retries = self.retries.lock().expect("nothing panics while it counts");
        *retries.entry(cause).or_default() += 1;
    }

    /// The counters now.
    pub fn counts(&self) -> ScanCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let retries = self.retries.lock().expect("nothing panics while it counts");
        ScanCounts {
            requests: get(&self.requests),
            bytes: get(&self.bytes),
            waited_ms: get(&self.waited_ms),
            halvings: get(&self.halvings),
            probes: get(&self.probes),
            extra_continuations: get(&self.extra_continuations),
            total_differs: get(&self.total_differs),
            limit_lowered: get(&self.limit_lowered),
            controls: get(&self.controls),
            spans: get(&self.spans),
            spans_given_up: get(&self.spans_given_up),
            retries: retries
                .iter()
                .map(|(cause, count)| ((*cause).to_owned(), *count))
                .collect(),
        }
    }
}
