//! Slices still to be scanned, and how many of them are asked for in one range.

use std::collections::BTreeMap;

use crate::job::late::may_be_one_range;
use crate::window::Slice;

/// Slices still to be scanned, and whether alone.
#[derive(Debug)]
pub(crate) struct Waiting {
    slices: BTreeMap<Slice, bool>,
    /// The first slice that is not closed by the service's clock: from there on none is scanned.
    end: Option<Slice>,
}

impl Waiting {
    /// The slices of a plan.
    pub(crate) fn new(slices: impl IntoIterator<Item = Slice>) -> Self {
        Self {
            slices: slices.into_iter().map(|slice| (slice, false)).collect(),
            end: None,
        }
    }

    /// Whether none is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// Takes slices back that were not scanned.
    pub(crate) fn put_back(&mut self, slices: &[Slice], alone: bool) {
        let slices = slices.iter().map(|slice| (*slice, alone));
        self.slices.extend(slices);
        self.leave_out();
    }

    /// Leaves out a slice that is not closed, and what follows it.
    pub(crate) fn end_at(&mut self, slice: Slice) {
        self.end = Some(self.end.map_or(slice, |end| end.min(slice)));
        self.leave_out();
    }

    fn leave_out(&mut self) {
        if let Some(end) = self.end {
            self.slices.retain(|slice, _| *slice < end);
        }
    }

    /// The oldest slice, and those that follow it without a gap, as many as are asked for at most.
    pub(crate) fn next(&mut self, most: usize, now_ms: i64) -> Vec<Slice> {
        let mut span: Vec<Slice> = Vec::new();
        while let Some(entry) = self.slices.first_entry() {
            let (slice, alone) = (*entry.key(), *entry.get());
            let follows = |last: &Slice| last.until_ms() == slice.from_ms();
            let fits = match (span.first(), span.last()) {
                (Some(first), Some(last)) => {
                    span.len() < most
                        && !alone
                        && follows(last)
                        && may_be_one_range(first, &slice, now_ms)
                }
                _ => true,
            };
            if !fits {
                break;
            }
            entry.remove();
            span.push(slice);
            if alone {
                break;
            }
        }
        span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(hours: std::ops::Range<u32>) -> Vec<Slice> {
        let slice = |hour| format!("20261119T{hour:02}00Z-20261119T{:02}00Z", hour + 1);
        hours.map(|hour| slice(hour).parse().unwrap()).collect()
    }

    #[test]
    fn a_slice_that_is_not_closed_leaves_those_before_it() {
        let all = slices(0..8);
        let mut waiting = Waiting::new(all.clone());
        let begun = waiting.next(4, 0);
        assert_eq!(begun, all[..4]);
        waiting.end_at(all[6]);
        waiting.end_at(all[7]);
        // What was begun beside it, and is given up.
        waiting.put_back(&all[2..4], true);
        waiting.put_back(&all[7..], true);
        let rest = [&all[2..3], &all[3..4], &all[4..6]];
        for some in rest {
            assert_eq!(waiting.next(4, 0), some);
        }
        assert!(waiting.is_empty());
    }
}
