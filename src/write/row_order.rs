//! In which order the rows of a row group lie, and how its footer says so.

use std::fmt;

use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData, SortingColumn};
use parquet::schema::types::ColumnPath;

use crate::schema::{TIMESTAMP, USER_NAME};

/// The order of the rows of a row group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOrder {
    /// By `timestamp`: as a scan and a conversion write them.
    Time,
    /// By `user_name`, those without one first, then by `timestamp`: as a compaction writes them. Columns
    /// of one user are alike, so files are 8 % smaller, and a user's rows lie in few places
    /// (`benches/lookups.py`).
    User,
}

impl RowOrder {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Time, Self::User];

    /// The columns that rows are sorted by, the first one first.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Time => &[TIMESTAMP],
            Self::User => &[USER_NAME, TIMESTAMP],
        }
    }

    /// The order that a footer says of a row group; `None` where it says another one, or none.
    pub fn declared_by(group: &RowGroupMetaData) -> Option<Self> {
        let columns = group.columns().iter();
        let leaves: Vec<&ColumnPath> = columns.map(ColumnChunkMetaData::column_path).collect();
        let said = group.sorting_columns()?;
        let is_said = |order: &Self| order.sorting(&leaves).is_some_and(|own| own == *said);
        Self::ALL.into_iter().find(is_said)
    }

    /// What a footer says of it, by the leaves of a file; `None` where the file lacks a column.
    pub(super) fn sorting(self, leaves: &[&ColumnPath]) -> Option<Vec<SortingColumn>> {
        let position = |name: &&str| {
            let leaf = leaves.iter().position(|leaf| leaf.string() == *name)?;
            Some(SortingColumn {
                column_idx: i32::try_from(leaf).ok()?,
                descending: false,
                nulls_first: *name == USER_NAME,
            })
        };
        self.columns().iter().map(position).collect()
    }
}

/// The columns, with commas: what a footer says of all its row groups.
impl fmt::Display for RowOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.columns().join(","))
    }
}
