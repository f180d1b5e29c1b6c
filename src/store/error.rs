//! What went wrong with a store, and what the operator can do about it.

use std::error::Error;
use std::io;

type Cause = Box<dyn Error + Send + Sync + 'static>;

/// An operation on the lake's store that failed.
#[derive(Debug, thiserror::Error)]
#[error("{action} {object}")]
pub struct StoreError {
    action: &'static str,
    object: String,
    #[source]
    source: Cause,
}

/// Why a store refused, as far as an operator acts differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The location itself cannot be a lake: unknown scheme, a file, no such folder.
    Location,
    /// The store is full, or a quota is.
    Full,
    /// The store cannot be written, or this user may not.
    Denied,
    /// Something that was there is gone.
    Missing,
    /// Anything else.
    Other,
}

/// A location that cannot be a lake's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadLocation(pub(super) String);

impl StoreError {
    /// An operation (`action`, a verb) on an object (its full name) that failed.
    pub fn new(action: &'static str, object: String, source: impl Into<Cause>) -> Self {
        Self {
            action,
            object,
            source: source.into(),
        }
    }

    /// What the operator can act on, found in the chain of causes.
    pub fn kind(&self) -> StoreErrorKind {
        let mut cause: Option<&(dyn Error + 'static)> = Some(self.source.as_ref());
        while let Some(error) = cause {
            if error.is::<BadLocation>() {
                return StoreErrorKind::Location;
            }
            if let Some(error) = error.downcast_ref::<object_store::Error>()
                && matches!(
                    error,
                    object_store::Error::PermissionDenied { .. }
                        | object_store::Error::Unauthenticated { .. }
                )
            {
                return StoreErrorKind::Denied;
            }
            if let Some(object_store::Error::NotFound { .. }) = error.downcast_ref() {
                return StoreErrorKind::Missing;
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                match error.kind() {
                    io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::FileTooLarge => {
                        return StoreErrorKind::Full;
                    }
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                        return StoreErrorKind::Denied;
                    }
                    io::ErrorKind::NotFound => return StoreErrorKind::Missing,
                    io::ErrorKind::NotADirectory => return StoreErrorKind::Location,
                    _ => {}
                }
            }
            cause = error.source();
        }
        StoreErrorKind::Other
    }

    /// One sentence on what to do.
    pub fn advice(&self) -> &'static str {
        match self.kind() {
            StoreErrorKind::Location => "give --lake a folder, or a path where one can be made",
            StoreErrorKind::Full => "free some space and run again; committed slices stay",
            StoreErrorKind::Denied => {
                "let this user write to the lake (or mount it writable) and run again"
            }
            StoreErrorKind::Missing | StoreErrorKind::Other => {
                "check the lake's location and run again; committed slices stay"
            }
        }
    }
}
