//! Where a lake lives: the objects of an `object_store`, and uploads that stay invisible until
//! they are published.
//!
//! Small objects (identity, commits, reports) go through [`Store`]'s own functions. Data files go
//! through an [`Upload`]: written and sealed while no reader can see them, and published by the
//! commit protocol in one step. This is the only module that tells a disk from object storage.

mod checksum;
mod circuit_breaker;
mod client;
mod connect;
mod disk;
mod error;
mod error_document;
mod error_kind;
mod listing;
mod location;
mod objects;
mod odd_keys;
mod open;
mod remote;
mod scratch;
#[cfg(test)]
pub(crate) mod scripted;
mod sent;
mod settings;
mod steady;
mod transport;
mod unfinished;

pub use checksum::Checksum;
pub use error::StoreError;
pub use error_kind::StoreErrorKind;
pub use objects::{Creation, Store, Stranger, Upload, Uploads};
pub use open::Site;
pub use remote::{PART_BYTES, RemoteUploads};
pub use scratch::{ScratchError, ScratchFolder};
pub use unfinished::{Unfinished, UnfinishedError, UnfinishedUpload};
