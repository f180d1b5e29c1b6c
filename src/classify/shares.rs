//! The pages of a span, shared out among its slices by the lake's clock.

use std::collections::VecDeque;
use std::ops::Range;

use crate::decode::Record;
use crate::scan::{ClockField, Page};
use crate::window::{Slice, TimeWindow};

/// Why a span cannot be shared out: something in it belongs to no single slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("a record of it has no usable clock")]
    NoClock,
    #[error("a record of it was not asked for")]
    Stray,
    #[error("bytes of it are not UTF-8")]
    Damaged,
    #[error("a stretch of it that was empty is not, when asked for once more")]
    Contradicted,
    #[error("it reaches further back than the service is sure to answer for")]
    Forgotten,
}

/// What a slice got of a span.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) slice: Slice,
    /// Its records, in pages.
    pub(crate) pages: VecDeque<Page>,
    is_empty: bool,
}

/// What the slices of a span got.
#[derive(Debug)]
pub(crate) struct Shares {
    clock: ClockField,
    slices: Vec<Share>,
    /// Records in all.
    pub(crate) records: u64,
    /// Bytes of all pages.
    pub(crate) bytes: u64,
}

impl Shares {
    /// Nothing yet, for slices that follow each other.
    pub(crate) fn new(slices: &[Slice], clock: ClockField) -> Self {
        let share = |slice: &Slice| Share {
            slice: *slice,
            pages: VecDeque::new(),
            is_empty: true,
        };
        Self {
            clock,
            slices: slices.iter().map(share).collect(),
            records: 0,
            bytes: 0,
        }
    }

    /// Shares out a page, whose records these are.
    pub(crate) fn take(&mut self, page: &Page, records: &[Record]) -> Result<(), Unfit> {
        if page.damage.is_some() {
            return Err(Unfit::Damaged);
        }
        let mut parts: Vec<Vec<Range<usize>>> = vec![Vec::new(); self.slices.len()];
        for record in records {
            let time_ms = match self.clock {
                ClockField::Created => record.created_ms,
                ClockField::Date => record.timestamp_ms,
            };
            let time_ms = time_ms.ok_or(Unfit::NoClock)?;
            let place = self.place(page, time_ms)?;
            parts[place].push(record.range.clone());
            let share = &mut self.slices[place];
            share.is_empty &= !share.slice.window().contains(time_ms);
        }
        // A page counts for one slice: the first that has anything of it.
        let counted = parts.iter().position(|part| !part.is_empty()).unwrap_or(0);
        for (place, part) in parts.iter().enumerate() {
            if part.is_empty() && place != counted {
                continue;
            }
            let share = &mut self.slices[place];
            let page = page.share(share.slice, part, place == counted);
            share.pages.push_back(page);
        }
        self.records += records.len() as u64;
        self.bytes += page.text.len() as u64;
        Ok(())
    }

    /// Which slice a record belongs to. What a probe meets before the first one goes with that, which
    /// counts it as its neighbour's.
    fn place(&self, page: &Page, time_ms: i64) -> Result<usize, Unfit> {
        if !page.asked().contains(time_ms) {
            return Err(Unfit::Stray);
        }
        let behind = self
            .slices
            .partition_point(|share| share.slice.from_ms() <= time_ms);
        Ok(behind.saturating_sub(1))
    }

    /// The longest stretch of slices without a record; none where every slice has one.
    pub(crate) fn longest_empty(&self) -> Option<TimeWindow> {
        let stretches = self.slices.chunk_by(|a, b| a.is_empty && b.is_empty);
        let empty = stretches.filter(|stretch| stretch[0].is_empty);
        let longest = empty.max_by_key(|stretch| stretch.len())?;
        Some(Slice::spanning(longest[0].slice, longest[longest.len() - 1].slice).window())
    }

    /// Whether any record lies in a stretch of whole slices.
    pub(crate) fn any_in(&self, stretch: TimeWindow) -> bool {
        self.slices
            .iter()
            .any(|share| !share.is_empty && stretch.contains(share.slice.from_ms()))
    }

    /// The shares, oldest slice first.
    pub(crate) fn into_shares(self) -> Vec<Share> {
        self.slices
    }
}
