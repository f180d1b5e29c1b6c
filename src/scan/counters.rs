//! What a run's scanning cost, counted.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

/// Names of members that are counted one by one; beyond, they are counted together.
const MAX_UNKNOWN_MEMBERS: usize = 100;
/// The name of that lump.
const OTHERS: &str = "(others)";

/// What scanning cost so far, as a report says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ScanCounts {
    /// Requests sent.
    pub requests: u64,
    /// Answers by HTTP status; `none` where none came.
    pub answers: BTreeMap<String, u64>,
    /// Requests sent again, by cause.
    pub retries: BTreeMap<String, u64>,
    /// Time waited for the budget, in milliseconds, over all slices.
    pub budget_wait_ms: u64,
    /// Ranges that were halved because they could not be had at once.
    pub halvings: u64,
    /// Empty ranges asked once more.
    pub probes: u64,
    /// Ranges of several thin slices that were read as one.
    pub spans: u64,
    /// Such ranges that were given up, so that their slices were asked for again.
    pub spans_given_up: u64,
    /// Answers with a continuation after the end was said.
    pub extra_continuations: u64,
    /// Ranges whose records were not as many as the service's `total`.
    pub total_differs: u64,
    /// Answers with a member that nobody has described, by its name.
    pub unknown_members: BTreeMap<String, u64>,
    /// Whether the tenant took only the smaller page limit.
    pub page_limit_lowered: bool,
    /// Requests that asked whether the service is well.
    pub controls: u64,
    /// Bytes of answers, decompressed.
    pub bytes_in: u64,
}

/// Counters that all slices of a run share.
#[derive(Debug, Default)]
pub struct ScanCounters(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    counts: ScanCounts,
    full_pages: u64,
    /// Records of the smallest page after which more was to come.
    page_cap: Option<u64>,
    /// Records of all pages.
    records: u64,
    /// What was last waited for.
    waiting: Option<Waiting>,
    /// Whether a range had records behind its end, or behind a page of none.
    hides_records: bool,
}

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// What for, a word like `for` first.
    pub what: &'static str,
    /// Until when, by the clock's elapsed time.
    pub until: Duration,
}

impl ScanCounters {
    /// The counters now.
    pub fn counts(&self) -> ScanCounts {
        self.0.lock().counts.clone()
    }

    /// Counts something.
    pub(crate) fn count(&self, count: impl FnOnce(&mut ScanCounts)) {
        count(&mut self.0.lock().counts);
    }

    /// Counts the members of an answer that nobody has described; says which of them are new.
    pub(super) fn unknown_members<'n>(&self, names: &'n [String]) -> Vec<&'n str> {
        let mut new = Vec::new();
        let known = &mut self.0.lock().counts.unknown_members;
        for name in names {
            if let Some(count) = known.get_mut(name) {
                *count += 1;
            } else if known.len() < MAX_UNKNOWN_MEMBERS {
                known.insert(name.clone(), 1);
                new.push(name.as_str());
            } else {
                *known.entry(OTHERS.to_owned()).or_default() += 1;
            }
        }
        new
    }

    /// Counts a request that is sent again, by a word for the cause.
    pub fn retry(&self, cause: &'static str) {
        self.count(|counts| *counts.retries.entry(cause.to_owned()).or_default() += 1);
    }

    /// Counts an answer by its status; none where none came.
    pub(super) fn answered(&self, status: Option<u16>) {
        let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.count(|counts| *counts.answers.entry(status).or_default() += 1);
    }

    /// Takes note of the records of a page.
    pub(crate) fn received(&self, records: u64) {
        self.0.lock().records += records;
    }

    /// Pages with records, and their records, so far.
    pub fn pages_and_records(&self) -> (u64, u64) {
        let seen = self.0.lock();
        (seen.full_pages, seen.records)
    }

    /// Takes note that a request waits.
    pub(super) fn waits(&self, waiting: Waiting) {
        self.0.lock().waiting = Some(waiting);
    }

    /// What was last waited for, be it over or not.
    pub fn waiting(&self) -> Option<Waiting> {
        self.0.lock().waiting
    }

    pub(super) fn waited(&self, wait: Duration) {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.count(|counts| counts.budget_wait_ms += wait_ms);
    }

    pub(super) fn full_page(&self) {
        self.0.lock().full_pages += 1;
    }

    /// Pages with records so far.
    pub(super) fn full_pages(&self) -> u64 {
        self.0.lock().full_pages
    }

    /// Takes note of the records of a page after which more was to come. An empty one says nothing.
    pub(crate) fn page_with_more(&self, records: u64) {
        if records > 0 {
            let mut seen = self.0.lock();
            seen.page_cap = Some(seen.page_cap.map_or(records, |cap| cap.min(records)));
        }
    }

    /// Takes note that a range had records behind its end, or behind a page of none.
    pub(super) fn hides(&self) {
        self.0.lock().hides_records = true;
    }

    /// Whether any range had: then an empty page proves nothing.
    pub(super) fn hides_records(&self) -> bool {
        self.0.lock().hides_records
    }

    /// Records of the smallest page after which more was to come.
    pub(super) fn page_cap(&self) -> Option<u64> {
        self.0.lock().page_cap
    }
}
