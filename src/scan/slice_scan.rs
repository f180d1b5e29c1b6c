//! One slice, page by page: ranges, continuations, probes and halvings.

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::client::{ActivityClient, Answer, FetchError, PageRequest};
use super::error::ScanError;
use super::page::{Page, PageSeen};
use super::request::ScanOptions;
use crate::fingerprint::fingerprint;
use crate::window::{Slice, TimeWindow};

/// So many pages in a row without a new record mean that the service does not get on.
const MAX_PAGES_WITHOUT_NEW: u32 = 10;

/// Scans one slice.
pub struct SliceScan {
    client: Arc<ActivityClient>,
    options: Arc<ScanOptions>,
    slice: Slice,
    /// Ranges still to be scanned, the next one last.
    waiting: Vec<TimeWindow>,
    current: Option<RangeScan>,
    /// Fingerprints of all filters sent for this slice.
    sent: HashSet<u128>,
    pages: u32,
    pages_without_new: u32,
    /// Records handed out of ranges that were then halved. They come again with the halves, which
    /// is no sign that the service does not get on.
    due_again: u64,
    last_date_ms: Option<i64>,
}

/// One range on its way.
struct RangeScan {
    range: TimeWindow,
    /// What is asked for: the range, or 1 ms more at its start.
    asked: TimeWindow,
    next: Next,
    first: bool,
    /// Whether an answer held anything.
    any: bool,
    records: u64,
    total: Option<u64>,
    ahead: Option<Ahead>,
}

/// What a range needs next.
enum Next {
    Ask(String),
    Nothing,
    Stuck,
}

/// A page that is fetched while the one before it is decoded. Dropping it stops the request.
struct Ahead(JoinHandle<Result<Answer, FetchError>>);

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RangeScan {
    fn new(range: TimeWindow, asked: TimeWindow, options: &ScanOptions) -> Self {
        Self {
            range,
            asked,
            next: Next::Ask(options.filters(asked)),
            first: true,
            any: false,
            records: 0,
            total: None,
            ahead: None,
        }
    }

    fn is_probe(&self) -> bool {
        self.asked != self.range
    }
}

impl SliceScan {
    /// A scan of a slice; nothing is sent yet.
    pub fn new(client: Arc<ActivityClient>, slice: Slice, options: Arc<ScanOptions>) -> Self {
        Self {
            client,
            options,
            slice,
            waiting: vec![slice.window()],
            current: None,
            sent: HashSet::new(),
            pages: 0,
            pages_without_new: 0,
            due_again: 0,
            last_date_ms: None,
        }
    }

    /// The service's clock on its last answer, in milliseconds since the epoch, to the second.
    pub fn last_date_ms(&self) -> Option<i64> {
        self.last_date_ms
    }

    /// The next page; `None` when the slice has been answered whole. Never `None` after an error,
    /// or where the caller stopped waiting: the same page is then asked for again.
    ///
    /// # Errors
    /// The slice cannot be scanned to its end; what was handed out of it is worth nothing.
    pub async fn next_page(&mut self) -> Result<Option<Page>, ScanError> {
        let Some(request) = self.next_request()? else {
            return Ok(None);
        };
        // The range keeps what it waits for, so that nothing is forgotten if the caller does not
        // wait to the end.
        let ahead = &mut self.range().ahead;
        let fetched = match ahead {
            Some(fetch) => Some((&mut fetch.0).await),
            None => None,
        };
        *ahead = None;
        let answer = match fetched {
            Some(Ok(answer)) => answer?,
            Some(Err(died)) if died.is_panic() => resume_unwind(died.into_panic()),
            // There was no such task, or the runtime stopped it.
            Some(Err(_)) | None => self.client.fetch(&request).await?,
        };
        Ok(Some(self.take(answer)))
    }

    /// Takes note of what the caller saw in the page handed out last.
    ///
    /// # Errors
    /// The page holds nothing of what was asked for.
    pub fn observe(&mut self, seen: PageSeen) -> Result<(), ScanError> {
        if seen.records > 0 && seen.inside == 0 {
            return Err(ScanError::FilterIgnored {
                slice: self.slice,
                page: self.pages.saturating_sub(1),
            });
        }
        let repeats = seen.records.saturating_sub(seen.new);
        let due = repeats.min(self.due_again);
        self.due_again -= due;
        self.pages_without_new = if seen.new > 0 || due > 0 {
            0
        } else {
            self.pages_without_new + 1
        };
        if let Some(range) = &mut self.current {
            range.records += seen.records;
            if self.pages_without_new >= MAX_PAGES_WITHOUT_NEW && matches!(range.next, Next::Ask(_))
            {
                range.ahead = None;
                range.next = Next::Stuck;
            }
        }
        Ok(())
    }

    fn begin(&mut self, range: TimeWindow, asked: TimeWindow) {
        self.pages_without_new = 0;
        let range = RangeScan::new(range, asked, &self.options);
        if let Next::Ask(filters) = &range.next {
            self.sent.insert(fingerprint(filters));
        }
        self.current = Some(range);
    }

    /// The range on its way.
    fn range(&mut self) -> &mut RangeScan {
        self.current
            .as_mut()
            .expect("a request belongs to a range on its way")
    }

    /// Goes on to the next request, over ends and halvings; `None` when no range is left.
    fn next_request(&mut self) -> Result<Option<PageRequest>, ScanError> {
        loop {
            let Some(range) = &self.current else {
                let Some(range) = self.waiting.pop() else {
                    return Ok(None);
                };
                self.begin(range, range);
                continue;
            };
            match &range.next {
                Next::Ask(filters) => {
                    return Ok(Some(self.request(filters.clone(), range.first)));
                }
                Next::Nothing => self.end(),
                Next::Stuck => self.halve()?,
            }
        }
    }

    fn request(&self, filters: String, first: bool) -> PageRequest {
        PageRequest {
            slice: self.slice,
            page: self.pages,
            first,
            limit: None,
            max_bad: None,
            filters,
            options: Arc::clone(&self.options),
        }
    }

    /// Turns an answer into a page, and learns from it what to ask next.
    fn take(&mut self, answer: Answer) -> Page {
        let mut range = self
            .current
            .take()
            .expect("an answer belongs to a range on its way");
        let Answer {
            text,
            damage,
            envelope,
            date_ms,
        } = answer;
        self.last_date_ms = date_ms;
        let page = Page {
            index: self.pages,
            data: envelope.data,
            damage,
            slice: self.slice,
            asked: range.asked,
            text,
        };
        self.pages += 1;
        debug!(slice = %self.slice, page = page.index, bytes = page.text.len(), more = envelope.has_next, "got a page");
        range.any |= !envelope.is_empty;
        if range.first {
            range.total = envelope.total;
            range.first = false;
        }
        range.next = match envelope.next {
            Some(next) => {
                if !envelope.has_next {
                    self.client.counters().extra_continuation();
                }
                if self.sent.insert(fingerprint(&next)) {
                    Next::Ask(next)
                } else if envelope.has_next {
                    Next::Stuck
                } else {
                    // It has been followed: this is a last page that repeats what it was asked.
                    Next::Nothing
                }
            }
            None if envelope.has_next => Next::Stuck,
            None => Next::Nothing,
        };
        if let Next::Ask(filters) = &range.next
            && page.text.len() as u64 <= self.options.look_ahead_max_bytes
        {
            let client = Arc::clone(&self.client);
            let request = self.request(filters.clone(), false);
            range.ahead = Some(Ahead(tokio::spawn(
                async move { client.fetch(&request).await },
            )));
        }
        self.current = Some(range);
        page
    }

    /// Ends the range on its way, or probes it once if all of it was empty.
    fn end(&mut self) {
        let Some(range) = self.current.take() else {
            return;
        };
        if !range.any && !range.is_probe() && range.range.from_ms > 0 {
            self.client.counters().probe();
            let asked = TimeWindow {
                from_ms: range.range.from_ms - 1,
                ..range.range
            };
            self.begin(range.range, asked);
            return;
        }
        if range.total.is_some_and(|total| total != range.records) {
            warn!(slice = %self.slice, total = range.total, records = range.records, "the service's total differs");
            self.client.counters().total_differs();
        }
    }

    /// Leaves the range on its way, which is stuck, and puts its halves in its place.
    fn halve(&mut self) -> Result<(), ScanError> {
        let RangeScan { range, records, .. } = *self.range();
        let length_ms = range.until_ms - range.from_ms;
        if length_ms <= 1 {
            return Err(ScanError::Stuck {
                slice: self.slice,
                at_ms: range.from_ms,
            });
        }
        warn!(slice = %self.slice, from_ms = range.from_ms, length_ms, "stuck; halving the range");
        self.client.counters().halving();
        self.due_again += records;
        self.current = None;
        let middle_ms = range.from_ms + length_ms / 2;
        self.waiting.push(TimeWindow {
            from_ms: middle_ms,
            until_ms: range.until_ms,
        });
        self.waiting.push(TimeWindow {
            from_ms: range.from_ms,
            until_ms: middle_ms,
        });
        Ok(())
    }
}
