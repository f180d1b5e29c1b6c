//! Why rows could not be written.

use std::error::Error;

use crate::layout::PartitionKey;
use crate::store::StoreError;

/// Whatever failed below; kept as the source, never put into the text.
pub(super) type Cause = Box<dyn Error + Send + Sync + 'static>;

/// Why the rows of an attempt could not be written. The attempt is over: abort it.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The store did not take the bytes of a file. The operator looks at the store.
    #[error("cannot write {path}")]
    Store {
        /// The file, relative to the lake's root.
        path: String,
        /// What the store said.
        #[source]
        source: StoreError,
    },

    /// Rows were lost or doubled between the stage's entrance and the files' footers. A bug; nothing
    /// of the attempt may be published.
    #[error(
        "cannot write {place}: {handed_rows} rows came in and the footer counts {counted_rows}"
    )]
    Conservation {
        /// The file, relative to the lake's root, or the slice as a whole.
        place: String,
        /// Rows that were handed in.
        handed_rows: u64,
        /// Rows that the footer counts.
        counted_rows: u64,
    },

    /// A row of the part has a timestamp outside of the part's day. A bug of the caller.
    #[error("cannot write {path}: a row lies outside its day")]
    Misplaced {
        /// The file, relative to the lake's root.
        path: String,
    },

    /// A batch has other columns than the schema says. A bug of the caller.
    #[error("cannot write rows of {key}: the batch has other columns than the schema")]
    Columns {
        /// The part.
        key: PartitionKey,
    },

    /// The schema cannot be laid out as Parquet, or lacks a column that files are made by.
    #[error("cannot lay out the schema as Parquet")]
    Layout {
        /// What is wrong with it.
        #[source]
        source: Cause,
    },

    /// Rows could not be arranged or encoded.
    #[error("cannot encode rows of {place}")]
    Encode {
        /// The file, relative to the lake's root, or the part.
        place: String,
        /// What Arrow or Parquet said.
        #[source]
        source: Cause,
    },

    /// The writer was used after an error, or after a call that was cancelled half-way.
    #[error("cannot write slice {slice}: an earlier call did not finish")]
    Unfinished {
        /// The slice.
        slice: String,
    },
}
