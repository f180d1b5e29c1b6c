//! Why a committed file could not be read.

use parquet::errors::ParquetError;

use super::restore::MAX_RECORD_BYTES;
use crate::store::ScratchError;

/// Why a committed file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is missing, cut short, or no Parquet.
    #[error("cannot read {path}")]
    File {
        /// The file, relative to the lake's root.
        path: String,
        /// What Parquet or the store said.
        #[source]
        source: ParquetError,
    },
    /// Its columns are not those of the schema.
    #[error("cannot read {path}: its columns are not those of the schema")]
    Columns {
        /// The file, relative to the lake's root.
        path: String,
    },
    /// It has a column that this program does not know, or another type.
    #[error("cannot read {path}: {flaw}")]
    Schema {
        /// The file, relative to the lake's root.
        path: String,
        /// What is different.
        flaw: String,
    },
    /// Rows that wait to be merged cannot be kept on the disk.
    #[error("cannot keep rows that wait")]
    Scratch(#[from] ScratchError),
    /// A record is larger than any that this program could have written.
    #[error("cannot read {path}: a record has {bytes} bytes, more than {MAX_RECORD_BYTES}")]
    Record {
        /// The file, relative to the lake's root.
        path: String,
        /// What its texts take in JSON.
        bytes: u64,
    },
    /// What was read could not be handed on.
    #[error("cannot write the records")]
    Output(#[source] std::io::Error),
}

impl ReadError {
    /// The file that is not there, where that is why.
    pub fn gone(&self) -> Option<&str> {
        let Self::File {
            path,
            source: ParquetError::External(source),
        } = self
        else {
            return None;
        };
        let is_gone = matches!(
            source.downcast_ref(),
            Some(object_store::Error::NotFound { .. })
        );
        is_gone.then_some(path)
    }

    /// Whether the reader of the output has gone away, which is not a failure.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}
