//! What can be wrong with an input.

use std::io;

use super::foreign::Foreign;
use crate::decode::DecodeError;
use crate::store::{ScratchError, StoreError, StoreErrorKind};
use crate::text::units::bytes;

/// An input that cannot be converted.
#[derive(Debug, thiserror::Error)]
#[error("cannot convert {input}")]
pub struct InputError {
    /// Its name, as it was given or found.
    pub input: String,
    /// Why not.
    #[source]
    pub fault: InputFault,
}

/// Why an input cannot be converted. Positions are in its text, decompressed, in bytes from the
/// beginning.
#[derive(Debug, thiserror::Error)]
pub enum InputFault {
    /// There is no such file or object.
    #[error("nothing is there")]
    Missing,
    /// A pattern matches nothing.
    #[error("no file matches")]
    NoMatch,
    /// A pattern is none.
    #[error("it is not a valid pattern")]
    Pattern(#[source] glob::PatternError),
    /// A folder, or a prefix in object storage, has no files.
    #[error("no file is in it")]
    NoFiles,
    /// It is a part of the lake.
    #[error("it lies in the lake itself")]
    InLake,
    /// The system does not give its bytes.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// The object store does not give its bytes.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its bytes cannot be kept to be read twice.
    #[error("its bytes cannot be kept")]
    Spool(#[from] ScratchError),
    /// Its bytes are others than when they were first read.
    #[error("it was changed while it was read")]
    Changed,
    /// Its text could not be read on, for a reason that is found out where it is read from.
    #[error("its text cannot be read beyond byte {at}")]
    Unreadable {
        /// Where.
        at: u64,
        /// What reading said.
        #[source]
        source: io::Error,
    },
    /// What it is packed with looks back farther than memory allows.
    #[error("what unpacks it needs more memory than it may take")]
    Window(#[source] io::Error),
    /// Its text ends in the middle of a value.
    #[error("its text breaks off at byte {at}")]
    Cut {
        /// Where it ends.
        at: u64,
    },
    /// It is a file of another kind.
    #[error("it is {kind}")]
    Foreign {
        /// Which.
        kind: Foreign,
    },
    /// Its text is none that holds records.
    #[error("its text is not a page, an array or lines of JSON, at byte {at}")]
    NotJson {
        /// Where.
        at: u64,
    },
    /// An object looks like a page and like a record.
    #[error("its text has an object with an array 'data' that is not a plain page, at byte {at}")]
    Mixed {
        /// Where the member is that says so.
        at: u64,
    },
    /// What should be a record is a page or a list of them.
    #[error("several records stand where one should, at byte {at}")]
    NotOneRecord {
        /// Where it begins.
        at: u64,
    },
    /// A record is larger than memory allows.
    #[error("its record at byte {at} is larger than {}", bytes(*.most_bytes))]
    RecordTooLarge {
        /// Where it begins.
        at: u64,
        /// What is allowed.
        most_bytes: u64,
    },
    /// It has more records than can be told apart in memory.
    #[error("it has more than {most} different records")]
    TooManyRecords {
        /// What is allowed.
        most: u64,
    },
    /// The decoder refuses a chunk.
    #[error("its text cannot be decoded, from byte {at} on")]
    Decode {
        /// Where the chunk begins.
        at: u64,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// None of its records can be a row.
    #[error(
        "none of its {rejects} records can become a row ({reasons}); their form may have changed"
    )]
    AllRejects {
        /// How many.
        rejects: u64,
        /// Reasons and counts.
        reasons: String,
    },
    /// Its task died.
    #[error("its task died, which is a bug")]
    Died(#[source] tokio::task::JoinError),
    /// Rejects, where the user wants none.
    #[error("{rejects} of its records cannot become rows ({reasons}), and --on-reject is fail")]
    Rejects {
        /// How many.
        rejects: u64,
        /// Reasons and counts.
        reasons: String,
    },
}

impl InputFault {
    /// The same, of an input with this name.
    pub fn of(self, input: &str) -> InputError {
        InputError {
            input: input.to_owned(),
            fault: self,
        }
    }

    /// What to do about it; none where nothing is known to help.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) => Some(match error.kind() {
                StoreErrorKind::NoLocation | StoreErrorKind::Location => {
                    "use a path, or the URL of an object or of a prefix"
                }
                StoreErrorKind::Bucket => "correct the input's URL, or the store's settings",
                StoreErrorKind::Denied => "allow these credentials to list and read the inputs",
                _ => error.advice(),
            }),
            Self::Read(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Some("allow this user to read it")
            }
            Self::InLake => Some("give the folder that holds the saved files, not the lake"),
            Self::Spool(error) => Some(error.advice()),
            Self::Foreign { kind } => Some(kind.advice()),
            Self::Changed => Some("run again once nothing writes it any more"),
            Self::Cut { .. } | Self::Unreadable { .. } => {
                Some("get a whole copy of the file; nothing of it was committed")
            }
            Self::NotOneRecord { .. } => Some(
                "write one record on each line, or lists and pages of them after each other; nothing of it was committed",
            ),
            Self::Window(_) => {
                Some("use a higher --memory-limit: a quarter of it may be taken to unpack a file")
            }
            Self::RecordTooLarge { .. } | Self::TooManyRecords { .. } => {
                Some("use a higher --memory-limit, or split the file")
            }
            Self::AllRejects { .. } => Some(
                "check that the file holds activities; if so, use the newest version of this program",
            ),
            Self::Rejects { .. } => {
                Some("use --on-reject keep to store them under _mdca/rejects/ and commit the file")
            }
            _ => None,
        }
    }
}
