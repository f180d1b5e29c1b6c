//! One slice, range by range: continuations, probes, halvings, and what cannot be had.

use std::panic::resume_unwind;
use std::sync::Arc;

use tracing::{debug, warn};

use super::answer::{Answer, Dates};
use super::client::{ActivityClient, Care, FetchError, PageRequest, UnreadablePage};
use super::error::ScanError;
use super::page::{Page, PageSeen};
use super::question::Question;
use super::range::{Ahead, Doubt, Next, Part, RangeScan};
use super::request::ScanOptions;
use crate::text::plain::chain;
use crate::window::{Slice, TimeWindow};

/// So many ranges that are answered badly are more than a few bad records.
const MAX_BAD_RANGES: u32 = 100;
/// So many empty ranges whose ends are in doubt are more than one record that cannot be had: on the way to that
/// a range is halved some twenty times.
const MAX_EMPTY_IN_DOUBT: u32 = 30;
/// No service has pages of fewer records than this, unless it was asked for such.
const SMALLEST_PAGE: u64 = 10;
/// Weeks of the request budget; a slice that has more pages does not end.
const MAX_PAGES: u32 = 100_000;

/// What comes of a slice.
#[derive(Debug)]
pub enum Scanned {
    /// A page of it.
    Page(Page),
    /// A stretch that the service does not give.
    Hole(Hole),
}

/// A stretch of a slice that cannot be had, though what lies around it was.
#[derive(Debug)]
pub struct Hole {
    /// The stretch.
    pub range: TimeWindow,
    /// Why it cannot be had.
    pub reason: String,
    /// What came in place of its page, if anything did.
    pub body: Vec<u8>,
}

/// Scans one slice.
pub struct SliceScan {
    client: Arc<ActivityClient>,
    options: Arc<ScanOptions>,
    slice: Slice,
    /// The newest slice of the plan, where the service is asked whether it is well.
    newest: Slice,
    /// Ranges still to be scanned, the next one last.
    waiting: Vec<(TimeWindow, Part)>,
    current: Option<RangeScan>,
    /// Milliseconds that could not be had, the oldest first.
    suspects: Vec<TimeWindow>,
    bad_ranges: u32,
    /// Ranges of nothing whose ends were in doubt, and stayed so.
    empty_in_doubt: u32,
    /// Ranges of nothing that were believed to be so.
    believed: Vec<TimeWindow>,
    /// Whether the service was seen to be well since anything else was asked.
    is_well: bool,
    /// Pages with records that the run had when the slice began.
    full_pages_before: u64,
    pages: u32,
    new_records: u64,
    /// Records handed out of ranges that were then halved. They come again with the halves, which
    /// is no sign that the service does not get on.
    due_again: u64,
    dates: Dates,
}

impl SliceScan {
    /// A scan of a slice; nothing is sent yet. `newest` is the newest slice of the plan.
    pub fn new(
        client: Arc<ActivityClient>,
        slice: Slice,
        newest: Slice,
        options: Arc<ScanOptions>,
    ) -> Self {
        Self {
            full_pages_before: client.counters().full_pages(),
            client,
            options,
            slice,
            newest,
            waiting: vec![(slice.window(), Part::Whole)],
            current: None,
            suspects: Vec::new(),
            bad_ranges: 0,
            empty_in_doubt: 0,
            believed: Vec::new(),
            is_well: false,
            pages: 0,
            new_records: 0,
            due_again: 0,
            dates: Dates::default(),
        }
    }

    /// The service's clock on its answers so far.
    pub fn dates(&self) -> Dates {
        self.dates
    }

    /// The next page or hole; `None` when the slice has been answered whole. Never `None` after an
    /// error, or where the caller stopped waiting: the same is then asked for again.
    ///
    /// # Errors
    /// The slice cannot be scanned to its end; what was handed out of it is worth nothing.
    pub async fn proceed(&mut self) -> Result<Option<Scanned>, ScanError> {
        loop {
            let Some(range) = &self.current else {
                if !self.begin_next().await? {
                    return Ok(None);
                }
                continue;
            };
            let trouble = match &range.next {
                Next::Ask(filters) => {
                    let request = self.request(filters.clone(), range);
                    match self.fetch(&request).await {
                        Ok(answer) => return Ok(Some(Scanned::Page(self.take(answer)?))),
                        Err(error) if self.range().has_ended => match self.doubt_end(error)? {
                            Some(page) => page,
                            None => continue,
                        },
                        Err(FetchError::Scan(error)) => return Err(error),
                        Err(FetchError::Unreadable(page)) => page,
                    }
                }
                Next::Nothing => {
                    self.end();
                    continue;
                }
                Next::InDoubt => {
                    let stuck = self.stuck(range.range);
                    match self.doubt_end(stuck.into())? {
                        Some(page) => page,
                        None => continue,
                    }
                }
                // A range that is stuck may cost more requests than one that is refused.
                Next::Stuck if range.length_ms() > 1 && self.bad_ranges < MAX_BAD_RANGES => {
                    self.bad_ranges += 1;
                    self.halve();
                    continue;
                }
                Next::Stuck => UnreadablePage {
                    error: self.stuck(range.range),
                    body: Vec::new(),
                    is_early: false,
                },
            };
            if let Some(hole) = self.do_without(trouble).await? {
                return Ok(Some(Scanned::Hole(hole)));
            }
        }
    }

    /// Takes note of what the caller saw in the page handed out last.
    ///
    /// # Errors
    /// The service does not look at the filter on the clock, or the slice does not end.
    pub fn observe(&mut self, seen: PageSeen) -> Result<(), ScanError> {
        let repeats = seen.records.saturating_sub(seen.new);
        // What a probe meets is of another range.
        let is_probe = self.current.as_ref().is_some_and(RangeScan::is_probe);
        let due = if is_probe {
            0
        } else {
            repeats.min(self.due_again)
        };
        self.due_again -= due;
        self.new_records += seen.new;
        if self.new_records > self.options.max_records {
            return Err(ScanError::TooManyRecords {
                slice: self.slice,
                max_records: self.options.max_records,
            });
        }
        let Some(range) = &mut self.current else {
            return Ok(());
        };
        if range.has_more {
            self.client.counters().page_with_more(seen.records);
        }
        range.observe(seen, due);
        if range.has_gone_on() {
            self.client.counters().hides();
        }
        if range.is_filter_ignored() {
            return Err(ScanError::FilterIgnored { slice: self.slice });
        }
        Ok(())
    }

    /// Begins the next range; false where none is left.
    async fn begin_next(&mut self) -> Result<bool, ScanError> {
        if let Some((range, part)) = self.waiting.pop() {
            self.begin(range, part, range);
            return Ok(true);
        }
        // What was believed before the service was found to hide records is asked for again.
        if self.client.counters().hides_records() && !self.believed.is_empty() {
            let believed = self.believed.drain(..).rev();
            self.waiting
                .extend(believed.map(|range| (range, Part::Doubted { page: 0 })));
            return Ok(true);
        }
        let Some(suspect) = self.suspects.first().copied() else {
            return Ok(false);
        };
        self.require_well().await?;
        self.suspects.remove(0);
        self.begin(suspect, Part::LastChance, suspect);
        Ok(true)
    }

    fn begin(&mut self, range: TimeWindow, part: Part, asked: TimeWindow) {
        self.current = Some(RangeScan::new(range, part, asked, &self.options));
    }

    /// The range on its way.
    fn range(&mut self) -> &mut RangeScan {
        self.current
            .as_mut()
            .expect("a request belongs to a range on its way")
    }

    fn request(&self, filters: String, range: &RangeScan) -> PageRequest {
        PageRequest {
            question: Question::OfSlice {
                slice: self.slice,
                page: self.pages,
            },
            first: range.is_unanswered(),
            limit: None,
            care: match range.part {
                // Not worth every try: what may be left can be had in pieces.
                _ if range.has_ended => Care::Unneeded,
                _ if range.is_stubborn => Care::Stubborn,
                Part::Whole => Care::Full,
                Part::Half | Part::LastChance | Part::Doubted { .. } => Care::Half,
            },
            filters,
            options: Arc::clone(&self.options),
        }
    }

    /// Gets the page that a request asks for, which may be on its way already.
    async fn fetch(&mut self, request: &PageRequest) -> Result<Answer, FetchError> {
        self.is_well = false;
        // The range keeps what it waits for, so that nothing is forgotten if the caller does not
        // wait to the end.
        let ahead = &mut self.range().ahead;
        let fetched = match ahead {
            Some(fetch) => Some((&mut fetch.0).await),
            None => None,
        };
        *ahead = None;
        match fetched {
            Some(Ok(answer)) => answer,
            Some(Err(died)) if died.is_panic() => resume_unwind(died.into_panic()),
            // There was no such task, or the runtime stopped it.
            Some(Err(_)) | None => self.client.fetch(request).await,
        }
    }

    /// Turns an answer into a page, and learns from it what to ask next.
    fn take(&mut self, answer: Answer) -> Result<Page, ScanError> {
        if self.pages >= MAX_PAGES {
            return Err(ScanError::TooManyPages {
                slice: self.slice,
                max_pages: MAX_PAGES,
            });
        }
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
        self.dates.note(date_ms);
        if range.learn(&envelope) {
            self.client
                .counters()
                .count(|counts| counts.extra_continuations += 1);
        }
        let page = Page {
            index: self.pages,
            is_counted: true,
            data: envelope.data,
            damage,
            slice: self.slice,
            asked: range.asked,
            strays: range.strays.clone(),
            text,
        };
        self.pages += 1;
        debug!(slice = %self.slice, page = page.index, bytes = page.text.len(), more = envelope.has_next, "got a page");
        if let Next::Ask(filters) = &range.next
            // What comes after the end is followed only where this page turns out to bring something.
            && range.strays.is_none()
            && page.text.len() as u64 <= self.options.look_ahead_max_bytes
        {
            let client = Arc::clone(&self.client);
            let request = self.request(filters.clone(), &range);
            range.ahead = Some(Ahead(tokio::spawn(
                async move { client.fetch(&request).await },
            )));
        }
        self.current = Some(range);
        Ok(page)
    }

    /// The service has said that the range has ended, and how to go on, and that fails. What may be left is
    /// asked for in pieces, until one brings nothing new, its last page had room, and nothing lies beside.
    /// That nothing came of a piece is believed of a service that refuses to go on, and never had anything there.
    /// Returns what cannot be had: a millisecond, or a piece of nothing that is not believed.
    fn doubt_end(&mut self, failed: FetchError) -> Result<Option<UnreadablePage>, ScanError> {
        let is_refused = matches!(&failed, FetchError::Scan(error) if error.is_of_the_request());
        let failed = match failed {
            FetchError::Unreadable(page) => page,
            FetchError::Scan(error) if error.is_sign_in() => return Err(error),
            FetchError::Scan(error) => UnreadablePage {
                error,
                body: Vec::new(),
                is_early: false,
            },
        };
        warn!(slice = %self.slice, error = %chain(&failed.error), "the end of a range is in doubt");
        let smallest_page = SMALLEST_PAGE.min(u64::from(self.client.limit())).max(2);
        if self.range().has_hidden() {
            self.client.counters().hides();
        }
        let says_more = self.range().says_more();
        let trusts_empty = is_refused && !says_more && !self.client.counters().hides_records();
        if self.range().is_of_nothing() && !trusts_empty {
            self.empty_in_doubt += 1;
            if self.empty_in_doubt > MAX_EMPTY_IN_DOUBT {
                return Err(self.too_many(MAX_EMPTY_IN_DOUBT, failed.error));
            }
            // The whole slice is looked at in pieces first: it may be one blip.
            if self.range().part != Part::Whole {
                return Ok(Some(failed));
            }
        }
        let range = self.range();
        let (pieces, page) = match range.doubt(smallest_page, trusts_empty) {
            Doubt::Settled => {
                range.next = Next::Nothing;
                let is_believed = range.is_of_nothing() && !range.is_probe();
                let believed = is_believed.then_some(range.range);
                self.believed.extend(believed);
                return Ok(None);
            }
            Doubt::Unsplittable => return Ok(Some(failed)),
            Doubt::Pieces(pieces) => {
                let (handed_out, page) = (range.handed_out, range.largest_page);
                self.count_bad_range(failed.error)?;
                self.due_again += handed_out;
                (pieces, page)
            }
            // Of what was handed out nothing lies there.
            Doubt::Beside(pieces) => (pieces, 0),
        };
        self.current = None;
        // The last is asked for first.
        let pieces = pieces.into_iter().rev();
        self.waiting
            .extend(pieces.map(|piece| (piece, Part::Doubted { page })));
        Ok(None)
    }

    /// Takes note of a range that was answered badly; the error comes back where the slice may go on.
    fn count_bad_range(&mut self, last: ScanError) -> Result<ScanError, ScanError> {
        self.bad_ranges += 1;
        if self.bad_ranges <= MAX_BAD_RANGES {
            return Ok(last);
        }
        Err(self.too_many(MAX_BAD_RANGES, last))
    }

    fn too_many(&self, max_ranges: u32, last: ScanError) -> ScanError {
        ScanError::TooManyBadRanges {
            slice: self.slice,
            max_ranges,
            last: Box::new(last),
        }
    }

    fn stuck(&self, range: TimeWindow) -> ScanError {
        ScanError::Stuck {
            slice: self.slice,
            at_ms: range.from_ms,
        }
    }

    /// Ends the range on its way, or probes it once if all of it was empty.
    fn end(&mut self) {
        let Some(range) = self.current.take() else {
            return;
        };
        if !range.any && !range.is_probe() && range.range.from_ms > 0 {
            self.client.counters().count(|counts| counts.probes += 1);
            let asked = TimeWindow {
                from_ms: range.range.from_ms - 1,
                ..range.range
            };
            self.begin(range.range, range.part, asked);
            return;
        }
        if let Some(total) = range.total_differs() {
            warn!(slice = %self.slice, ?total, records = range.records, "the service's total differs");
            self.client
                .counters()
                .count(|counts| counts.total_differs += 1);
        }
    }

    /// Goes on without a page that cannot be had, if the service is well otherwise: with the halves of
    /// its range, or with the others first where it is a millisecond. A hole where it was its last
    /// chance.
    async fn do_without(&mut self, page: UnreadablePage) -> Result<Option<Hole>, ScanError> {
        let UnreadablePage {
            error,
            body,
            is_early,
        } = page;
        if let Err(of_control) = self.require_well().await {
            if of_control.is_sign_in() || of_control.is_of_all_requests() {
                return Err(of_control);
            }
            let range = self.range();
            if !is_early || range.is_stubborn {
                return Err(error);
            }
            range.is_stubborn = true;
            return Ok(None);
        }
        let error = self.count_bad_range(error)?;
        let range = self.range();
        let (stretch, part, is_probe) = (range.range, range.part, range.is_probe());
        if range.length_ms() > 1 {
            self.halve();
            return Ok(None);
        }
        if is_probe {
            // It was answered with nothing; what fails is the millisecond before it, which is
            // somebody else's.
            warn!(slice = %self.slice, from_ms = stretch.from_ms, error = %chain(&error), "cannot probe an empty millisecond");
            self.current = None;
            return Ok(None);
        }
        if part == Part::LastChance {
            return self.hole(stretch, error, body).map(Some);
        }
        self.due_again += range.handed_out;
        self.current = None;
        self.suspects.push(stretch);
        Ok(None)
    }

    /// A hole in the slice, unless all that the service has given in the meantime is nothing: one that
    /// fails wherever there are records is not well, whatever it says of an empty millisecond.
    fn hole(
        &mut self,
        range: TimeWindow,
        error: ScanError,
        body: Vec<u8>,
    ) -> Result<Hole, ScanError> {
        if self.client.counters().full_pages() == self.full_pages_before {
            return Err(error);
        }
        let reason = chain(&error);
        warn!(slice = %self.slice, from_ms = range.from_ms, %reason, "the service does not return a millisecond");
        self.current = None;
        Ok(Hole {
            range,
            reason,
            body,
        })
    }

    /// Makes sure that the service answers an ordinary request.
    async fn require_well(&mut self) -> Result<(), ScanError> {
        if !self.is_well {
            self.client.check(self.newest, &self.options).await?;
            self.is_well = true;
        }
        Ok(())
    }

    /// Leaves the range on its way and puts its halves in its place.
    fn halve(&mut self) {
        let RangeScan {
            range, handed_out, ..
        } = *self.range();
        let length_ms = range.until_ms - range.from_ms;
        warn!(slice = %self.slice, from_ms = range.from_ms, length_ms, "halving the range");
        self.client.counters().count(|counts| counts.halvings += 1);
        self.due_again += handed_out;
        self.current = None;
        let middle_ms = range.from_ms + length_ms / 2;
        let newer = TimeWindow {
            from_ms: middle_ms,
            ..range
        };
        let older = TimeWindow {
            until_ms: middle_ms,
            ..range
        };
        self.waiting.push((newer, Part::Half));
        self.waiting.push((older, Part::Half));
    }
}
