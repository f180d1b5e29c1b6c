//! Committed files are read again: for `export`, which gives back the original records, and for
//! `verify`, which looks at every row.
//!
//! Beside `write`, and the checkpoints of `table`, the only stage that knows Parquet. It reads what commits name and nothing else, and
//! trusts no more than that: a file may be anybody's who can write to the lake.

mod blocks;
mod by_time;
mod columns;
mod digest;
mod error;
mod export;
mod file;
mod first;
mod inspect;
mod merge;
mod object;
mod pages;
mod restore;
mod scratch;
mod sorted;

pub use by_time::ExportFile;
pub use digest::{RowSum, sum_rows};
pub use error::ReadError;
pub use export::Export;
pub use file::in_decoder;
pub(crate) use file::{guarded, with_views};
pub use first::first_records;
pub use inspect::{Expected, SliceRows, inspect};
pub use merge::MergedRows;
pub use restore::RecordRestorer;
