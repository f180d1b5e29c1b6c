//! Why a committed file could not be read.

use std::error::Error;

use parquet::errors::ParquetError;

use super::restore::MAX_RECORD_BYTES;
use crate::store::{ScratchError, StoreError, StoreErrorKind};
use crate::text::plain::chain;

/// What libraries put before each other's errors.
const LAYERS: [&str; 6] = [
    "Arrow: ",
    "External: ",
    "EOF: ",
    "Parquet argument error: ",
    "Parquet error: ",
    "Schema error: ",
];

/// Why an object does not give its bytes.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObjectError {
    /// It is not there.
    #[error("nothing is there")]
    Gone,
    /// It is no file, or has other bytes than are asked for.
    #[error("{0}")]
    Unfit(String),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl ObjectError {
    /// What the store said of reading an object. Only what its bytes say is damage. Whether it was cut
    /// short, and is refused therefore, its size tells.
    pub(super) fn of(error: StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::Missing => Self::Gone,
            StoreErrorKind::Other if error.is_of_object_storage() => Self::Store(error),
            StoreErrorKind::Other | StoreErrorKind::Unfit | StoreErrorKind::Location => {
                Self::Unfit(error.source().map_or_else(|| error.to_string(), chain))
            }
            _ => Self::Store(error),
        }
    }
}

/// Why a committed file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not there.
    #[error("cannot read {path}: nothing is there")]
    Gone {
        /// The file, relative to the lake's root.
        path: String,
    },
    /// The store does not give its bytes.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is cut short or changed, or no Parquet.
    #[error("cannot read {path}: {flaw}")]
    File {
        /// The file, relative to the lake's root.
        path: String,
        /// What the decoder said, or the store of the object.
        flaw: String,
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
    /// What reading a file said, with the words of the libraries between left out.
    pub(super) fn of(path: impl Into<String>, error: ParquetError) -> Self {
        let path = path.into();
        let said = match error {
            ParquetError::External(source) => match source.downcast::<ObjectError>() {
                Ok(error) => {
                    return Self::why(path, *error);
                }
                Err(source) => source.to_string(),
            },
            error => error.to_string(),
        };
        let mut said = said.as_str();
        while let Some(rest) = LAYERS.iter().find_map(|layer| said.strip_prefix(layer)) {
            said = rest;
        }
        let flaw = format!("it cannot be decoded: {said}");
        Self::File { path, flaw }
    }

    /// What the store said of a file.
    pub(super) fn of_object(path: impl Into<String>, error: StoreError) -> Self {
        Self::why(path.into(), ObjectError::of(error))
    }

    fn why(path: String, error: ObjectError) -> Self {
        match error {
            ObjectError::Gone => Self::Gone { path },
            ObjectError::Unfit(flaw) => Self::File { path, flaw },
            ObjectError::Store(error) => error.into(),
        }
    }

    /// The file that is not there, where that is why.
    pub fn gone(&self) -> Option<&str> {
        match self {
            Self::Gone { path } => Some(path),
            _ => None,
        }
    }

    /// Whether the reader of the output has gone away, which is not a failure.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}
