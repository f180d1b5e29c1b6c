//! What records hold that the schema does not expect, counted by path.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::window::Slice;

/// Paths counted one by one; beyond, they are counted together.
pub const MAX_PATHS: usize = 1_000;
/// The name of that lump.
pub const OTHER_PATHS: &str = "(others)";

/// The path of a key in an object, which has a path itself; the record has the empty one.
pub fn path_of(object: &str, key: &str) -> String {
    let dot = if object.is_empty() { "" } else { "." };
    let key = if key.is_empty() { "\"\"" } else { key };
    format!("{object}{dot}{key}")
}

/// How often a path was met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PathCount {
    /// The path in the record; elements of a list as `[]`, an empty key as `""`.
    pub path: String,
    /// How often it was met.
    pub count: u64,
    /// The first slice that had it.
    pub first_slice: String,
}

/// What a run met that the schema does not expect. Slices are named by an `S`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oddities<S = Slice> {
    /// Keys that the schema does not know.
    pub unknown: PathCounts<S>,
    /// Values of another form than the schema expects.
    pub odd: PathCounts<S>,
}

impl<S> Default for Oddities<S> {
    fn default() -> Self {
        Self {
            unknown: PathCounts::default(),
            odd: PathCounts::default(),
        }
    }
}

impl<S: Ord + Clone + fmt::Display> Oddities<S> {
    /// Counts what a piece of a slice has: paths, with how often each was met.
    pub fn add(
        &mut self,
        unknown: impl IntoIterator<Item = (String, u64)>,
        odd: impl IntoIterator<Item = (String, u64)>,
        slice: &S,
    ) {
        for (path, count) in unknown {
            self.unknown.add(path, count, slice.clone());
        }
        for (path, count) in odd {
            self.odd.add(path, count, slice.clone());
        }
    }

    /// Adds all that another counted.
    pub fn merge(&mut self, other: Self) {
        self.unknown.merge(other.unknown);
        self.odd.merge(other.odd);
    }
}

/// Counts by path. Bounded: an object whose keys are ids has a new path for every record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathCounts<S = Slice>(BTreeMap<String, (u64, S)>);

impl<S> Default for PathCounts<S> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<S: Ord + Clone + fmt::Display> PathCounts<S> {
    /// Counts a path of a slice `count` times more.
    pub fn add(&mut self, path: String, count: u64, slice: S) {
        let path = if self.0.len() < MAX_PATHS || self.0.contains_key(&path) {
            path
        } else {
            OTHER_PATHS.to_owned()
        };
        let (counted, first) = self.0.entry(path).or_insert_with(|| (0, slice.clone()));
        *counted += count;
        if slice < *first {
            *first = slice;
        }
    }

    /// Adds all that another counted.
    pub fn merge(&mut self, other: Self) {
        for (path, (count, slice)) in other.0 {
            self.add(path, count, slice);
        }
    }

    /// The paths, the most frequent first.
    pub fn to_list(&self) -> Vec<PathCount> {
        let mut paths: Vec<PathCount> = self
            .0
            .iter()
            .map(|(path, (count, first))| PathCount {
                path: path.clone(),
                count: *count,
                first_slice: first.to_string(),
            })
            .collect();
        paths.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.path.cmp(&b.path)));
        paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_key_can_be_seen() {
        assert_eq!(path_of("", ""), "\"\"");
        assert_eq!(path_of("user", ""), "user.\"\"");
        assert_eq!(path_of("user", "name"), "user.name");
    }

    #[test]
    fn paths_without_number_are_counted_together() {
        let [early, late]: [Slice; 2] = [
            "20260101T0000Z-20260101T0100Z",
            "20260101T0100Z-20260101T0200Z",
        ]
        .map(|name| name.parse().unwrap());
        let mut one = PathCounts::default();
        let mut other = PathCounts::default();
        for id in 0..5_000 {
            one.add(format!("map.{id}"), 1, late);
            other.add(format!("map.{id}"), 1, early);
        }
        one.merge(other);
        let paths = one.to_list();
        assert_eq!(paths.len(), MAX_PATHS + 1);
        assert_eq!(paths.iter().map(|path| path.count).sum::<u64>(), 10_000);
        assert_eq!(paths[0].path, OTHER_PATHS);
        assert!(
            paths
                .iter()
                .all(|path| path.first_slice == early.to_string())
        );
    }
}
