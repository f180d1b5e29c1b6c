//! Records that cannot become rows.

use std::fmt;

/// Why a record is a reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// It is not valid JSON, but its end can be told.
    NotJson,
    /// It is too large for columns.
    TooLarge,
    /// It is not a JSON object.
    NotAnObject,
    /// It has no `_id` that is a non-empty string.
    NoId,
    /// It has no `timestamp` from 0 to 253402300799999 ms.
    NoTimestamp,
    /// An object of it, outside JSON text, has a key twice.
    DuplicateKey,
    /// A key of it is no text (a lone surrogate).
    UndecodableKey,
    /// Its clock lies outside the slice that was asked for.
    OutOfSlice,
    /// The service sent bytes that are not UTF-8; the row holds U+FFFD in their place.
    InvalidUtf8,
}

impl RejectReason {
    /// The word for reports and rejects files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::TooLarge => "too_large",
            Self::NotAnObject => "not_an_object",
            Self::NoId => "no_id",
            Self::NoTimestamp => "no_timestamp",
            Self::DuplicateKey => "duplicate_key",
            Self::UndecodableKey => "undecodable_key",
            Self::OutOfSlice => "out_of_slice",
            Self::InvalidUtf8 => "invalid_utf8",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why one record is a reject, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Why.
    pub reason: RejectReason,
    /// The place in the record, such as `mainInfo.eventObjects[2].name`; empty for the record.
    pub place: String,
}
