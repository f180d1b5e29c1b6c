//! Slices whose commits say more than their files: what the service did not give, or was asked for too
//! late. They are kept in the table as numbers of this program's own, a span of slices each, so that who
//! takes the files from it knows which commits to read all the same. A span may hold other slices, too.

use std::collections::BTreeSet;

use super::action::{Action, Txn};
use crate::window::Slice;

const SPAN: &str = "mdca-lake/remarks/";

/// Spans of slices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Remarks(BTreeSet<Slice>);

impl Remarks {
    /// Of these slices; those that touch are one span. Files that were converted have nothing to remark.
    pub(super) fn of<'s>(slices: impl IntoIterator<Item = &'s String>) -> Self {
        Self(Slice::joined(slices).into_iter().collect())
    }

    /// What a table's numbers say.
    pub(super) fn read<'t>(txns: impl IntoIterator<Item = &'t Txn>) -> Self {
        let names = txns
            .into_iter()
            .filter_map(|txn| txn.app_id.strip_prefix(SPAN));
        Self(names.filter_map(|span| span.parse().ok()).collect())
    }

    /// As a version says them: it is their names that say it.
    pub(super) fn actions(&self, now_ms: i64) -> impl Iterator<Item = Action> {
        self.0.iter().map(move |span| {
            let txn = Txn {
                app_id: format!("{SPAN}{span}"),
                version: 1,
                last_updated: Some(now_ms),
            };
            txn.into()
        })
    }

    /// Whether all of these are among them.
    pub(super) fn have(&self, others: &Self) -> bool {
        self.0.is_superset(&others.0)
    }

    /// Whether the commit of a slice may say more than its files.
    pub(super) fn may_concern(&self, slice: &Slice) -> bool {
        self.0.iter().any(|span| slice.lies_in(span.window()))
    }
}

#[cfg(test)]
mod tests {
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
        let spans: Vec<String> = remarks.0.iter().map(Slice::to_string).collect();
        assert_eq!(
            spans,
            [
                "20261101T0100Z-20261101T0400Z",
                "20261101T0900Z-20261101T1000Z",
                "20261101T2300Z-20261102T0100Z"
            ]
        );
    }

    proptest! {
        #[test]
        fn no_slice_is_forgotten_and_none_is_added(hours in prop::collection::vec(0_u32..600, 0..40)) {
            let remarked = slices(&hours);
            let actions: Vec<Action> = Remarks::of(&remarked).actions(1).collect();
            let txns: Vec<Box<Txn>> = actions.into_iter().filter_map(|action| action.txn).collect();
            let read = Remarks::read(txns.iter().map(|txn| &**txn));
            let all: Vec<u32> = (0..600).collect();
            for slice in slices(&all) {
                let is_one = remarked.contains(&slice);
                prop_assert_eq!(read.may_concern(&slice.parse().unwrap()), is_one, "{}", slice);
            }
        }
    }
}
