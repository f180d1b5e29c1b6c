//! Keys of records that the schema does not know, counted by path.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::window::Slice;

/// Paths counted one by one; beyond, they are counted together.
const MAX_PATHS: usize = 1_000;
/// The name of that lump.
const OTHER_PATHS: &str = "(others)";

/// A path that the schema does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownField {
    /// The path in the record.
    pub path: String,
    /// Records that have it.
    pub count: u64,
    /// The first slice that had it.
    pub first_slice: String,
}

/// Counts by path. Bounded: an object whose keys are ids has a new path for every record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnknownFields(BTreeMap<String, (u64, Slice)>);

impl UnknownFields {
    /// Counts `count` more records of a slice that have the path.
    pub fn add(&mut self, path: String, count: u64, slice: Slice) {
        let path = if self.0.len() < MAX_PATHS || self.0.contains_key(&path) {
            path
        } else {
            OTHER_PATHS.to_owned()
        };
        let (counted, first) = self.0.entry(path).or_insert((0, slice));
        *counted += count;
        *first = slice.min(*first);
    }

    /// Adds all that another counted.
    pub fn merge(&mut self, other: Self) {
        for (path, (count, slice)) in other.0 {
            self.add(path, count, slice);
        }
    }

    /// The paths, the most frequent first.
    pub fn to_list(&self) -> Vec<UnknownField> {
        let mut fields: Vec<UnknownField> = self
            .0
            .iter()
            .map(|(path, (count, first))| UnknownField {
                path: path.clone(),
                count: *count,
                first_slice: first.to_string(),
            })
            .collect();
        fields.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.path.cmp(&b.path)));
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_without_number_are_counted_together() {
        let [early, late]: [Slice; 2] = [
            "20260101T0000Z-20260101T0100Z",
            "20260101T0100Z-20260101T0200Z",
        ]
        .map(|name| name.parse().unwrap());
        let mut one = UnknownFields::default();
        let mut other = UnknownFields::default();
        for id in 0..5_000 {
            one.add(format!("map.{id}"), 1, late);
            other.add(format!("map.{id}"), 1, early);
        }
        one.merge(other);
        let fields = one.to_list();
        assert_eq!(fields.len(), MAX_PATHS + 1);
        assert_eq!(fields.iter().map(|field| field.count).sum::<u64>(), 10_000);
        assert_eq!(fields[0].path, OTHER_PATHS);
        assert!(
            fields
                .iter()
                .all(|field| field.first_slice == early.to_string())
        );
    }
}
