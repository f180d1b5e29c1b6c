//! Cuts a page out of what a request means.
//!
//! 1. Visible activities that match are taken in the order asked for, one more than the limit.
//! 2. No more than the limit: the last page.
//! 3. Else the tie group at the page's end is dropped, so that the next page begins with it whole
//!    (documented as "the last few records are dropped"). The clock of that group is the next bound.
//! 4. A tie group that fills the page cannot be dropped: the page is widened to hold all of it, or,
//!    when the tenant is told so, stays empty with the same continuation for ever.

use super::filters::Filters;
use crate::clock::ClockField;
use crate::tenant::Holdings;

/// What happens when one millisecond holds more records than a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ties {
    /// The page is widened.
    #[default]
    Widen,
    /// An empty page, `hasNext: true` and the same filters again.
    Unpageable,
}

/// What a page is cut from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) filters: &'a Filters,
    pub(crate) clock: ClockField,
    pub(crate) descending: bool,
    pub(crate) now_ms: i64,
    /// Nothing that happened before this is returned.
    pub(crate) history_from_ms: i64,
}

/// A page, as indices into the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) entries: Vec<u32>,
    pub(crate) next: Next,
}

/// How a scan goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This was the last page.
    End,
    /// The clock at which the next page begins, inclusive.
    From(i64),
    /// The service cannot advance.
    Stuck,
}

impl<'a> Question<'a> {
    /// Everything that matches, in the order asked for.
    pub(crate) fn matches(self, held: &'a Holdings) -> impl Iterator<Item = u32> + 'a {
        let bounds = self.filters.bounds(self.clock);
        let indices = held.indices(self.clock, bounds.lowest, bounds.highest);
        let count = indices.len();
        (0..count)
            .map(move |at| indices[if self.descending { count - 1 - at } else { at }])
            .filter(move |at| {
                let entry = held.entry(*at);
                entry.is_visible(self.now_ms)
                    && entry.timestamp_ms >= self.history_from_ms
                    && self.filters.match_clocks(entry)
                    && self.filters.match_attributes(|| held.attributes(*at))
            })
    }

    /// One page of a scan.
    pub(crate) fn scan_page(self, held: &Holdings, limit: usize, ties: Ties) -> Cut {
        let mut matches = self.matches(held).peekable();
        let mut entries: Vec<u32> = matches.by_ref().take(limit).collect();
        let clock = |at: u32| held.entry(at).clock(self.clock);
        let (Some(last), true) = (entries.last(), matches.peek().is_some()) else {
            return Cut {
                entries,
                next: Next::End,
            };
        };
        let tie = clock(*last);
        let kept = entries.partition_point(|at| clock(*at) != tie);
        if kept > 0 {
            entries.truncate(kept);
            return Cut {
                entries,
                next: Next::From(tie),
            };
        }
        if ties == Ties::Unpageable {
            return Cut {
                entries: Vec::new(),
                next: Next::Stuck,
            };
        }
        while let Some(at) = matches.next_if(|at| clock(*at) == tie) {
            entries.push(at);
        }
        let next = matches
            .peek()
            .map_or(Next::End, |at| Next::From(clock(*at)));
        Cut { entries, next }
    }

    /// One page by offset.
    pub(crate) fn offset_page(self, held: &Holdings, skip: usize, limit: usize) -> Cut {
        let mut matches = self.matches(held).skip(skip);
        let entries: Vec<u32> = matches.by_ref().take(limit).collect();
        let next = matches.next().map_or(Next::End, |_| Next::Stuck);
        Cut { entries, next }
    }
}
