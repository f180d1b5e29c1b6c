//! One range on its way: what it needs next, and what was seen in it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;

use super::answer::Answer;
use super::client::FetchError;
use super::envelope::{Envelope, Total};
use super::page::{PageSeen, spanned};
use super::request::ScanOptions;
use crate::text::fingerprint::fingerprint;
use crate::window::TimeWindow;

/// So many pages in a row without a new record mean that the service does not get on.
const MAX_PAGES_WITHOUT_NEW: u32 = 10;
/// The same after the service has said that a range has ended.
const MAX_EXTRA_PAGES_WITHOUT_NEW: u32 = 3;
/// So many records say whether the service looks at the filters; fewer may all be strays.
const TELLING_RECORDS: u64 = 20;
/// So many pages are judged by what they hold though more are to come: without a filter they would be
/// all of the tenant's.
const TELLING_PAGES: u32 = 10;

/// What a range is to its slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// A piece of a range that could not be had at once.
    Half,
    /// A millisecond that could not be had, asked once more when all the others were.
    LastChance,
    /// A piece of a range whose end was in doubt.
    Doubted {
        /// Records of the largest page of that range; none where nothing is known to be in the piece.
        page: u64,
    },
}

/// Bounds that a service does not look at to the millisecond it looks at to the second.
const SECOND_MS: i64 = 1_000;

/// What an end is worth that is said beside a continuation which fails.
pub(super) enum Doubt {
    /// Nothing can be left.
    Settled,
    /// Something may be, in any of these.
    Pieces(Vec<TimeWindow>),
    /// Something may be, where all of it that came was known: before the oldest or after the newest of that.
    Beside(Vec<TimeWindow>),
    /// Something may be, and there is nothing smaller to ask for.
    Unsplittable,
}

/// One range on its way.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct RangeScan {
    pub(super) range: TimeWindow,
    pub(super) part: Part,
    /// What is asked for: the range, or 1 ms more at its start.
    pub(super) asked: TimeWindow,
    pub(super) next: Next,
    /// Whether it has every try that is allowed, because the service was not well.
    pub(super) is_stubborn: bool,
    /// Whether an answer held anything.
    pub(super) any: bool,
    pub(super) records: u64,
    /// Whether the last answer said that more is to come.
    pub(super) has_more: bool,
    pub(super) ahead: Option<Ahead>,
    /// Whether the service has said that it ends. What is followed then must bring something.
    pub(super) has_ended: bool,
    /// Strays of the last page, where that came after the end.
    pub(super) strays: Option<Arc<AtomicU64>>,
    total: Option<Total>,
    outside: u64,
    pages: u32,
    pages_without_new: u32,
    /// The same of pages after the end.
    extra_without_new: u32,
    /// Whether a page after the end brought something new.
    has_gone_on: bool,
    /// Whether one brought what nothing places.
    has_unplaced: bool,
    /// Records of the slice itself, and those of them that were not met before.
    own: u64,
    new_own: u64,
    /// Records that were handed out, those after the end among them: they come again if it is asked for again.
    pub(super) handed_out: u64,
    /// Whether its first page was empty.
    begins_empty: bool,
    /// Records of its last page, and of its largest; of a probe those of the slice.
    last_page: u64,
    pub(super) largest_page: u64,
    /// The oldest and the newest time of its records.
    times_ms: Option<(i64, i64)>,
    /// Fingerprints of all filters sent for it.
    sent: HashSet<u128>,
}

/// What a range needs next.
pub(super) enum Next {
    Ask(String),
    Nothing,
    Stuck,
    /// It has ended, and what came after that says otherwise.
    InDoubt,
}

/// A page that is fetched while the one before it is decoded. Dropping it stops the request.
pub(super) struct Ahead(pub(super) JoinHandle<Result<Answer, FetchError>>);

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RangeScan {
    pub(super) fn new(
        range: TimeWindow,
        part: Part,
        asked: TimeWindow,
        options: &ScanOptions,
    ) -> Self {
        let filters = options.filters(asked);
        Self {
            range,
            part,
            asked,
            sent: HashSet::from([fingerprint(&filters)]),
            next: Next::Ask(filters),
            is_stubborn: false,
            any: false,
            records: 0,
            has_more: false,
            ahead: None,
            has_ended: false,
            strays: None,
            total: None,
            outside: 0,
            pages: 0,
            pages_without_new: 0,
            extra_without_new: 0,
            has_gone_on: false,
            has_unplaced: false,
            own: 0,
            new_own: 0,
            handed_out: 0,
            begins_empty: false,
            last_page: 0,
            largest_page: 0,
            times_ms: None,
        }
    }

    pub(super) fn is_probe(&self) -> bool {
        self.asked != self.range
    }

    /// Whether its first page is still to come.
    pub(super) fn is_unanswered(&self) -> bool {
        self.pages == 0
    }

    pub(super) fn length_ms(&self) -> i64 {
        self.range.until_ms - self.range.from_ms
    }

    /// What the end is worth that the service has said, where it has also said how to go on, and that fails.
    /// A page of fewer than `smallest_page` records has not ended for want of room; one of none says something
    /// only where `trusts_empty`.
    pub(super) fn doubt(&self, smallest_page: u64, trusts_empty: bool) -> Doubt {
        let says_more = self.says_more();
        let has_room =
            !says_more && self.last_page < smallest_page && (self.own > 0 || trusts_empty);
        if let Part::Doubted { page } = self.part
            && self.new_own == 0
        {
            if self.own == 0 && page == 0 && trusts_empty {
                return Doubt::Settled;
            }
            // What a probe meets, or a service that looks at whole seconds, is of another piece.
            let is_of_other = if self.is_probe() {
                has_room
            } else {
                trusts_empty && self.second_within().is_none()
            };
            if self.is_all_beside() && is_of_other {
                return Doubt::Settled;
            }
            // With room for more in the last page, whatever lies between its records has come. What is left may
            // be a tie, which the service leaves out where it does not fit. Records without times say nothing of
            // what lies between them.
            if self.own > 0 && !says_more && self.last_page < page && self.times_ms.is_some() {
                let beside = self.beside();
                return if beside.is_empty() {
                    Doubt::Settled
                } else {
                    Doubt::Beside(beside)
                };
            }
        }
        if self.length_ms() > 1 {
            return Doubt::Pieces(self.pieces());
        }
        if has_room {
            Doubt::Settled
        } else {
            Doubt::Unsplittable
        }
    }

    /// Whether something says that its end was none.
    pub(super) fn says_more(&self) -> bool {
        self.has_more || self.has_unplaced || matches!(self.next, Next::InDoubt)
    }

    /// Whether nothing came of it, not even what came before.
    pub(super) fn is_of_nothing(&self) -> bool {
        self.own == 0
    }

    /// Whether it had records, and its first page did not say so.
    pub(super) fn has_hidden(&self) -> bool {
        self.begins_empty && self.own > 0
    }

    /// Whether a page after the end brought something new of the slice.
    pub(super) fn has_gone_on(&self) -> bool {
        self.has_gone_on
    }

    /// Whether all records that came lie outside of the range, as far as they have times.
    fn is_all_beside(&self) -> bool {
        let TimeWindow { from_ms, until_ms } = self.range;
        self.times_ms
            .is_some_and(|(oldest_ms, newest_ms)| newest_ms < from_ms || oldest_ms >= until_ms)
    }

    /// The bound between two seconds within the range that is the nearest to what came from beside it.
    fn second_within(&self) -> Option<i64> {
        let TimeWindow { from_ms, until_ms } = self.range;
        let first_ms = (from_ms.div_euclid(SECOND_MS) + 1) * SECOND_MS;
        let last_ms = (until_ms - 1).div_euclid(SECOND_MS) * SECOND_MS;
        let is_before = self
            .times_ms
            .is_none_or(|(oldest_ms, _)| oldest_ms < from_ms);
        (first_ms < until_ms).then_some(if is_before { first_ms } else { last_ms })
    }

    /// What of the range lies before the oldest and after the newest of its records.
    fn beside(&self) -> Vec<TimeWindow> {
        let TimeWindow { from_ms, until_ms } = self.range;
        let within = |time_ms: i64| time_ms.clamp(from_ms, until_ms);
        let Some((oldest_ms, newest_ms)) = self.times_ms else {
            return Vec::new();
        };
        windows([
            (from_ms, within(oldest_ms)),
            (within(newest_ms.saturating_add(1)), until_ms),
        ])
    }

    /// Pieces of the range, with some of its records in each as far as they have times.
    fn pieces(&self) -> Vec<TimeWindow> {
        let TimeWindow { from_ms, until_ms } = self.range;
        let within = |time_ms: i64| time_ms.clamp(from_ms, until_ms - 1);
        let middle_ms = from_ms + self.length_ms() / 2;
        let edges = match self.times_ms {
            None => vec![middle_ms],
            Some(_) if self.is_all_beside() => vec![self.second_within().unwrap_or(middle_ms)],
            Some((oldest_ms, newest_ms)) => match (within(oldest_ms), within(newest_ms)) {
                (oldest_ms, newest_ms) if oldest_ms < newest_ms => {
                    vec![oldest_ms + (newest_ms - oldest_ms) / 2 + 1]
                }
                (only_ms, _) => vec![only_ms, only_ms + 1],
            },
        };
        let starts = std::iter::once(from_ms).chain(edges.iter().copied());
        let ends = edges.iter().copied().chain([until_ms]);
        windows(starts.zip(ends))
    }

    /// Whether the service's count of the range differs from what came.
    pub(super) fn total_differs(&self) -> Option<Total> {
        let records = Total::Records(self.records);
        self.total.filter(|total| *total != records)
    }

    /// Learns from an answer what to ask next. True where a continuation came beside the end.
    pub(super) fn learn(&mut self, envelope: &Envelope) -> bool {
        self.strays = self.has_ended.then(Arc::default);
        self.any |= !envelope.is_empty && !self.has_ended;
        self.has_ended |= !envelope.has_next;
        self.has_more = envelope.has_next;
        if self.is_unanswered() {
            self.total = envelope.total;
        }
        self.pages += 1;
        self.next = match &envelope.next {
            Some(next) if self.sent.insert(fingerprint(next)) => Next::Ask(next.clone()),
            // It has been followed: this is a last page that repeats what it was asked.
            Some(_) if !envelope.has_next => Next::Nothing,
            None if !envelope.has_next => Next::Nothing,
            Some(_) | None => Next::Stuck,
        };
        envelope.next.is_some() && !envelope.has_next
    }

    /// Takes note of what was seen in the page handed out last; `due` records of it were to come
    /// again.
    pub(super) fn observe(&mut self, seen: PageSeen, due: u64) {
        self.begins_empty |= self.pages == 1 && seen.records == 0;
        self.own += seen.own;
        self.new_own += seen.new_own;
        self.handed_out += seen.records;
        self.last_page = if self.is_probe() {
            seen.own
        } else {
            seen.records
        };
        self.largest_page = self.largest_page.max(self.last_page);
        self.times_ms = spanned(self.times_ms, seen.times_ms);
        if let Some(strays) = &self.strays {
            let strays = strays.load(Ordering::Relaxed);
            self.observe_extra(seen, strays, due);
            self.doubt_where_unplaced();
            return;
        }
        self.pages_without_new = if seen.new > 0 || due > 0 {
            0
        } else {
            self.pages_without_new + 1
        };
        self.records += seen.records;
        self.outside += seen.records.saturating_sub(seen.inside);
        let gets_on = self.pages_without_new < MAX_PAGES_WITHOUT_NEW;
        if !gets_on && !self.has_ended && matches!(self.next, Next::Ask(_)) {
            self.ahead = None;
            self.next = Next::Stuck;
        }
        self.doubt_where_unplaced();
    }

    /// What nothing places may be of the range, and was not taken to be: it has to come with a piece.
    fn doubt_where_unplaced(&mut self) {
        if self.has_unplaced && matches!(self.next, Next::Nothing) {
            self.next = Next::InDoubt;
        }
    }

    /// The same of a page after the end. It is not judged. A reason to go on is one that brings something new
    /// of the range, and for a while one that says that more is to come; where all of it is of the range, too,
    /// it was no end. One that leads nowhere and says so all the same, or that brings what nothing places, puts
    /// the end in doubt.
    fn observe_extra(&mut self, seen: PageSeen, strays: u64, due: u64) {
        let new = seen.new_own;
        self.records += new;
        self.any |= new > 0;
        self.has_gone_on |= new > 0;
        self.has_unplaced |= seen.unplaced > 0;
        let gets_on = new > 0 || due > 0;
        self.extra_without_new = if gets_on {
            0
        } else {
            self.extra_without_new + 1
        };
        let says_more = self.has_more && strays == 0;
        let may_get_on = says_more && self.extra_without_new < MAX_EXTRA_PAGES_WITHOUT_NEW;
        if new > 0 && says_more {
            self.has_ended = false;
        } else if !(gets_on || may_get_on) || matches!(self.next, Next::Stuck) {
            self.ahead = None;
            self.next = if says_more {
                Next::InDoubt
            } else {
                Next::Nothing
            };
        }
    }

    /// Whether the service cannot have looked at the filter on the clock.
    pub(super) fn is_filter_ignored(&self) -> bool {
        let is_over = self.has_ended || !matches!(self.next, Next::Ask(_));
        let is_telling = self.pages >= TELLING_PAGES || is_over;
        is_telling && self.records >= TELLING_RECORDS && self.outside > self.records / 2
    }
}

/// Windows of these bounds, but for those of nothing.
fn windows(bounds: impl IntoIterator<Item = (i64, i64)>) -> Vec<TimeWindow> {
    bounds
        .into_iter()
        .map(|(from_ms, until_ms)| TimeWindow { from_ms, until_ms })
        .filter(|window| window.from_ms < window.until_ms)
        .collect()
}
