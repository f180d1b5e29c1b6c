//! Slices whose commits say more than their files: what the service did not give, or was asked for too
//! late. They are kept in the table as numbers of this program's own, a span of slices each, so that who
//! takes the files from it knows which commits to read all the same. A span may hold other slices, too.

use std::collections::BTreeMap;

use super::action::{Action, Txn};
use crate::window::Slice;

const SPAN: &str = "mdca-lake/remarks/";

/// Spans of slices, each with how many slices of it were found at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Remarks(BTreeMap<Slice, u64>);

impl Remarks {
    /// Of these slices; those that touch are one span. Files that were converted have nothing to remark.
    pub(super) fn of<'s>(slices: impl IntoIterator<Item = &'s String>) -> Self {
        let mut slices: Vec<Slice> = slices
            .into_iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        slices.sort();
        let mut spans: Vec<(Slice, u64)> = Vec::new();
        for slice in slices {
            match spans.last_mut() {
                Some((span, count)) if span.until_ms() >= slice.from_ms() => {
                    *span = Slice::spanning(*span, slice);
                    *count += 1;
                }
                _ => spans.push((slice, 1)),
            }
        }
        Self(spans.into_iter().collect())
    }

    /// What a table's numbers say.
    pub(super) fn read<'t>(txns: impl IntoIterator<Item = &'t Txn>) -> Self {
        let spans = txns.into_iter().filter_map(|txn| {
            let span = txn.app_id.strip_prefix(SPAN)?.parse().ok()?;
            Some((span, txn.version.cast_unsigned()))
        });
        Self(spans.collect())
    }

    /// As a version says them.
    pub(super) fn actions(&self, now_ms: i64) -> impl Iterator<Item = Action> {
        self.0.iter().map(move |(span, count)| {
            let txn = Txn {
                app_id: format!("{SPAN}{span}"),
                version: count.cast_signed(),
                last_updated: Some(now_ms),
            };
            txn.into()
        })
    }

    /// Whether the commit of a slice may say more than its files.
    pub(super) fn may_concern(&self, slice: &Slice) -> bool {
        let mut spans = self.0.keys();
        spans.any(|span| span.from_ms() <= slice.from_ms() && slice.until_ms() <= span.until_ms())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn slices(hours: &[u32]) -> BTreeSet<String> {
        let name = |hour: &u32| format!("202611{:02}T{:02}00Z", 1 + hour / 24, hour % 24);
        let slice = |hour: &u32| format!("{}-{}", name(hour), name(&(hour + 1)));
        hours.iter().map(slice).collect()
    }

    #[test]
    fn slices_that_touch_are_one_span() {
        let remarks = Remarks::of(&slices(&[1, 2, 3, 9, 23, 24]));
        let spans: Vec<(String, u64)> = remarks
            .0
            .iter()
            .map(|(span, count)| (span.to_string(), *count))
            .collect();
        let spans: Vec<(&str, u64)> = spans.iter().map(|(span, n)| (span.as_str(), *n)).collect();
        assert_eq!(
            spans,
            [
                ("20261101T0100Z-20261101T0400Z", 3),
                ("20261101T0900Z-20261101T1000Z", 1),
                ("20261101T2300Z-20261102T0100Z", 2)
            ]
        );
    }

    proptest! {
        #[test]
        fn no_slice_is_forgotten(hours in prop::collection::vec(0_u32..600, 0..40)) {
            let slices = slices(&hours);
            let actions: Vec<Action> = Remarks::of(&slices).actions(1).collect();
            let txns: Vec<Box<Txn>> = actions.into_iter().filter_map(|action| action.txn).collect();
            let read = Remarks::read(txns.iter().map(|txn| &**txn));
            for slice in &slices {
                prop_assert!(read.may_concern(&slice.parse().unwrap()));
            }
            prop_assert_eq!(read.0.values().sum::<u64>(), slices.len() as u64);
        }
    }
}
