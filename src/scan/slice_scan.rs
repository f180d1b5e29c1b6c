//! One slice, page by page: ranges, continuations, probes and halvings.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::client::{ActivityClient, Answer, PageRequest};
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
struct Ahead(JoinHandle<Result<Answer, ScanError>>);

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
            last_date_ms: None,
        }
    }

    /// The service's clock on its last answer, in milliseconds since the epoch, to the second.
    pub fn last_date_ms(&self) -> Option<i64> {
        self.last_date_ms
    }

    /// The next page; `None` when the slice has been answered whole.
    ///
    /// # Errors
    /// The slice cannot be scanned to its end; what was handed out of it is worth nothing.
    pub async fn next_page(&mut self) -> Result<Option<Page>, ScanError> {
        loop {
            let Some(mut range) = self.current.take() else {
                let Some(range) = self.waiting.pop() else {
                    return Ok(None);
                };
                self.begin(range, range);
                continue;
            };
            match std::mem::replace(&mut range.next, Next::Nothing) {
                Next::Ask(filters) => {
                    let answer = self.answer(&mut range, filters).await?;
                    return Ok(Some(self.take(range, answer)));
                }
                Next::Nothing => self.end(&range),
                Next::Stuck => self.halve(range.range)?,
            }
        }
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
        self.pages_without_new = if seen.new > 0 {
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

    async fn answer(&self, range: &mut RangeScan, filters: String) -> Result<Answer, ScanError> {
        match range.ahead.take() {
            Some(mut ahead) => match (&mut ahead.0).await {
                Ok(answer) => answer,
                // The task was stopped or died: the page is simply asked for here.
                Err(_) => self.client.fetch(&self.request(filters, false)).await,
            },
            None => self.client.fetch(&self.request(filters, range.first)).await,
        }
    }

    fn request(&self, filters: String, first: bool) -> PageRequest {
        PageRequest {
            slice: self.slice,
            page: self.pages,
            first,
            filters,
            options: Arc::clone(&self.options),
        }
    }

    /// Turns an answer into a page, and learns from it what to ask next.
    fn take(&mut self, mut range: RangeScan, answer: Answer) -> Page {
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
                } else {
                    Next::Stuck
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

    /// Ends a range, or probes it once if all of it was empty.
    fn end(&mut self, range: &RangeScan) {
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

    /// Leaves a range that is stuck, and puts its halves in its place.
    fn halve(&mut self, range: TimeWindow) -> Result<(), ScanError> {
        let length_ms = range.until_ms - range.from_ms;
        if length_ms <= 1 {
            return Err(ScanError::Stuck {
                slice: self.slice,
                at_ms: range.from_ms,
            });
        }
        warn!(slice = %self.slice, from_ms = range.from_ms, length_ms, "stuck; halving the range");
        self.client.counters().halving();
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
