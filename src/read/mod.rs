//! Committed files are read again: for `export`, which gives back the original records, and for
//! `verify`, which looks at every row.
//!
//! Beside `write` the only stage that knows Parquet. It reads what commits name and nothing else.

mod error;
mod export;
mod inspect;
mod object;
mod restore;

pub use error::ReadError;
pub use export::{ExportFile, export};
pub use inspect::{Expected, SliceRows, inspect};
pub use restore::RecordRestorer;
