//! A range of many slices, page by page, as long as it is thin: whatever is not plain ends it.

use std::collections::VecDeque;
use std::sync::Arc;

use tracing::{debug, warn};

use super::answer::{Answer, Dates};
use super::client::{ActivityClient, Care, PageRequest};
use super::envelope::Total;
use super::error::ScanError;
use super::page::Page;
use super::question::Question;
use super::range::{Next, Part, RangeScan};
use super::request::ScanOptions;
use crate::text::outline::elements_up_to;
use crate::window::{Slice, TimeWindow};

/// A span with more pages is not thin.
const MOST_PAGES: usize = 2;

/// Why a span cannot be read as one range.
#[derive(Debug, thiserror::Error)]
pub enum SpanError {
    /// It has more than two pages, or more bytes than are kept of a span.
    #[error("it is more than {MOST_PAGES} pages of usual size")]
    TooLong,
    /// Its pages lead nowhere.
    #[error("its pages do not come to an end")]
    Stuck,
    /// None of its records came.
    #[error("the service counts {total} of its records, and gives none")]
    Withheld {
        /// The records that the service counts.
        total: u64,
    },
    /// The service does not give it.
    #[error(transparent)]
    Scan(#[from] ScanError),
}

/// Scans a range of neighbouring slices. Nothing is halved, and nothing tried as hard as for a slice:
/// its slices can be asked for one by one.
pub struct SpanScan {
    client: Arc<ActivityClient>,
    options: Arc<ScanOptions>,
    span: Slice,
    pages: u32,
    bytes: u64,
    dates: Dates,
}

impl SpanScan {
    /// A scan of a span; nothing is sent yet.
    pub fn new(client: Arc<ActivityClient>, span: Slice, options: Arc<ScanOptions>) -> Self {
        Self {
            client,
            options,
            span,
            pages: 0,
            bytes: 0,
            dates: Dates::default(),
        }
    }

    /// The service's clock on its answers so far.
    pub fn dates(&self) -> Dates {
        self.dates
    }

    /// All of the span.
    ///
    /// # Errors
    /// It is not to be had in two pages.
    pub async fn read(&mut self) -> Result<ReadRange, SpanError> {
        self.read_range(self.span.window()).await
    }

    /// A stretch of the span that was answered with nothing, once more and from 1 ms earlier: the
    /// service has answered an exact bound with nothing.
    ///
    /// # Errors
    /// As for [`SpanScan::read`].
    pub async fn probe(&mut self, stretch: TimeWindow) -> Result<ReadRange, SpanError> {
        self.client.counters().count(|counts| counts.probes += 1);
        let asked = TimeWindow {
            from_ms: (stretch.from_ms - 1).max(0),
            ..stretch
        };
        self.read_range(asked).await
    }

    /// Compares how many records the span had with what the service said.
    ///
    /// # Errors
    /// There were none, though the service counts some.
    pub fn check_total(&self, read: &ReadRange, records: u64) -> Result<(), SpanError> {
        match read.total {
            Some(Total::Records(total)) if records == 0 && total > 0 => {
                Err(SpanError::Withheld { total })
            }
            Some(total) if total != Total::Records(records) => {
                warn!(span = %self.span, ?total, records, "the service's total differs");
                self.client
                    .counters()
                    .count(|counts| counts.total_differs += 1);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn read_range(&mut self, asked: TimeWindow) -> Result<ReadRange, SpanError> {
        let mut range = RangeScan::new(self.span.window(), Part::Half, asked, &self.options);
        let mut read = ReadRange {
            pages: VecDeque::new(),
            total: None,
        };
        while let Next::Ask(filters) = &range.next {
            let is_extra = range.has_ended;
            if read.pages.len() >= MOST_PAGES && !is_extra {
                // Pages of nothing do not come to an end for shorter ranges either.
                return Err(if range.any {
                    SpanError::TooLong
                } else {
                    SpanError::Stuck
                });
            }
            let request = PageRequest {
                question: Question::OfSpan {
                    span: self.span,
                    page: self.pages,
                },
                first: range.is_unanswered(),
                limit: None,
                care: Care::Half,
                filters: filters.clone(),
                options: Arc::clone(&self.options),
            };
            let answer = match self.client.fetch(&request).await {
                Ok(answer) => answer,
                Err(error) => return Err(ScanError::from(error).into()),
            };
            self.dates.note(answer.date_ms);
            if range.learn(&answer.envelope) {
                self.client
                    .counters()
                    .count(|counts| counts.extra_continuations += 1);
            }
            if is_extra {
                // Whether what comes after the end is new is seen where slices are asked for alone.
                return if answer.envelope.is_empty && !answer.envelope.has_next {
                    Ok(read)
                } else {
                    Err(SpanError::Stuck)
                };
            }
            self.bytes += answer.text.len() as u64;
            if answer.envelope.has_next {
                let records =
                    elements_up_to(&answer.text[answer.envelope.data.clone()], usize::MAX);
                let records = records.map_or(0, |records| records as u64);
                self.client.counters().page_with_more(records);
            }
            if self.bytes > self.options.look_ahead_max_bytes {
                return Err(SpanError::TooLong);
            }
            read.total = read.total.or(answer.envelope.total);
            let page = self.page(answer, asked);
            read.pages.push_back(page);
        }
        match range.next {
            Next::Stuck => Err(SpanError::Stuck),
            _ => Ok(read),
        }
    }

    /// The next page of the span, as it was answered.
    fn page(&mut self, answer: Answer, asked: TimeWindow) -> Page {
        let page = Page {
            index: self.pages,
            is_counted: true,
            data: answer.envelope.data,
            damage: answer.damage,
            slice: self.span,
            asked,
            strays: None,
            text: answer.text,
        };
        self.pages += 1;
        debug!(span = %self.span, page = page.index, bytes = page.text.len(), more = answer.envelope.has_next, "got a page of a span");
        page
    }
}

/// A range that was answered whole.
#[derive(Debug)]
pub struct ReadRange {
    /// Its pages, in the order they came.
    pub pages: VecDeque<Page>,
    total: Option<Total>,
}
