//! What the records of a piece held beside the columns.

use std::collections::HashMap;

use super::Record;
use super::oddities::{MAX_PATHS, OTHER_PATHS};
use super::tree::Tree;

/// What is known of a piece when its walk ends.
pub(super) struct PieceFacts {
    pub(super) records: Vec<Record>,
    /// For every node of the tree, the keys below it that the schema does not know.
    pub(super) unknown: Vec<KeyCounts>,
    /// For every node of the tree, how many of its values were of another form.
    pub(super) odd: Vec<u64>,
}

impl PieceFacts {
    pub(super) fn new(tree: &Tree) -> Self {
        Self {
            records: Vec::new(),
            unknown: vec![KeyCounts::default(); tree.names.len()],
            odd: vec![0; tree.names.len()],
        }
    }
}

/// How often keys were met that the schema does not know: bounded, as the report is.
#[derive(Debug, Default, Clone)]
pub(super) struct KeyCounts(HashMap<String, u64>);

impl KeyCounts {
    pub(super) fn add(&mut self, key: &str) {
        if let Some(count) = self.0.get_mut(key) {
            *count += 1;
            return;
        }
        let key = if self.0.len() < MAX_PATHS {
            key
        } else {
            OTHER_PATHS
        };
        *self.0.entry(key.to_owned()).or_default() += 1;
    }

    /// The keys and their counts.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (String, u64)> {
        self.0.into_iter()
    }
}
