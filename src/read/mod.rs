//! Committed files are read again: for `export`, which gives back the original records.
//!
//! Beside `write` the only stage that knows Parquet. It reads what commits name and nothing else.

mod error;
mod export;
mod object;
mod restore;

pub use error::ReadError;
pub use export::{ExportFile, export};
pub use restore::RecordRestorer;
