//! What went wrong with a store, and what the operator can do about it.

use std::error::Error;
use std::io;

use super::error_document::{GaveUp, NoCredentials, Refusal};
use super::error_kind::StoreErrorKind;
use super::listing::NoListing;
use super::location::{BadLocation, NoLocation, NothingThere, ParseLocationError, Provider};
use super::scratch::ScratchError;
use crate::https::{CHECK_PROXY, Distrust, INSTALL_AUTHORITIES};
use crate::text::plain::chain;
use crate::text::redact::redact;

type Cause = Box<dyn Error + Send + Sync + 'static>;

/// The name under which the library's errors come from a disk.
pub(super) const DISK: &str = "disk";
/// The action of a create-only put.
pub(super) const CREATE: &str = "create";

/// An operation on the lake's store that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {object}")]
pub struct StoreError {
    action: &'static str,
    object: String,
    #[source]
    source: Cause,
}

/// What lies where an object should be is none that a lake has.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("it has {bytes} bytes, more than the {most_bytes} that such an object can have")]
    TooLarge { bytes: u64, most_bytes: u64 },
    #[error("it is {is}, not a file")]
    NotAFile { is: &'static str },
    #[error("{path} is {is}, not a folder; links inside a lake are not followed")]
    NotAFolder { path: String, is: &'static str },
}

/// A disk that cannot do what two runs at once rest on.
#[derive(Debug, thiserror::Error)]
#[error("this disk does not support create-only writes: it refuses {refused}")]
pub(super) struct CannotCreate {
    pub(super) refused: String,
}

/// Settings from the environment that do not make a client.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(super) struct BadSettings {
    pub(super) provider: Provider,
    pub(super) kind: StoreErrorKind,
    pub(super) reason: String,
    /// What to do, where more is known than the kind.
    pub(super) advice: Option<&'static str>,
}

/// What the library of object stores said, its causes included, without secrets.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
struct Told {
    kind: StoreErrorKind,
    words: String,
}

/// What is done where nothing is written.
const READS: [&str; 3] = ["list", "read", "look at"];

impl From<ParseLocationError> for StoreError {
    fn from(error: ParseLocationError) -> Self {
        Self::new("open the lake", error.shown, error.reason)
    }
}

impl StoreError {
    /// An operation (`action`, a verb) on an object (its full name) that failed.
    pub fn new(action: &'static str, object: String, source: impl Into<Cause>) -> Self {
        Self {
            action,
            object,
            source: source.into(),
        }
    }

    /// The same error of another operation (`action`, a verb).
    pub(super) fn doing(self, action: &'static str) -> Self {
        Self { action, ..self }
    }

    /// The same for an error of the object store. Where the store's own words are known they stand
    /// alone: the layers between would repeat them, with URLs and whole answers.
    pub(super) fn of_objects(
        action: &'static str,
        object: String,
        source: object_store::Error,
    ) -> Self {
        if let Some(refusal) = find::<Refusal>(&source) {
            return Self::new(action, object, refusal.clone());
        }
        if let Some(silent) = find::<GaveUp>(&source) {
            return Self::new(action, object, silent.clone());
        }
        if let Some(none) = find::<NoListing>(&source) {
            return Self::new(action, object, none.clone());
        }
        if let Some(none) = find::<NoCredentials>(&source) {
            return Self::new(action, object, none.clone());
        }
        if let Some(distrust) = find::<Distrust>(&source) {
            return Self::new(action, object, distrust.clone());
        }
        match source {
            object_store::Error::Generic {
                store: DISK,
                source,
            } => Self::new(action, object, source),
            source => {
                let told = Told {
                    kind: kind_of_chain(&source),
                    words: redact(&chain(&source), &[]),
                };
                Self::new(action, object, told)
            }
        }
    }

    /// What the operator can act on, found in the chain of causes.
    pub fn kind(&self) -> StoreErrorKind {
        match kind_of_chain(self.source.as_ref()) {
            // A store may not know other things either.
            StoreErrorKind::CreateOnly if self.action != CREATE => StoreErrorKind::Other,
            kind => kind,
        }
    }

    /// Whether these are words of object storage, not of a disk.
    pub(crate) fn is_of_object_storage(&self) -> bool {
        let source = self.source.as_ref();
        find::<Refusal>(source).is_some() || find::<Told>(source).is_some()
    }

    /// Whose settings the advice is about.
    fn provider(&self) -> Option<Provider> {
        let source = self.source.as_ref();
        find::<Refusal>(source)
            .map(|refusal| refusal.provider)
            .or_else(|| find::<BadSettings>(source).map(|settings| settings.provider))
            .or_else(|| find::<NoCredentials>(source).map(|none| none.provider))
    }

    /// One sentence on what to do.
    pub fn advice(&self) -> &'static str {
        if let Some(scratch) = find::<ScratchError>(self.source.as_ref()) {
            return scratch.advice();
        }
        if find::<NothingThere>(self.source.as_ref()).is_some() {
            return "check the path; the first scan or convert makes a lake";
        }
        let settings = find::<BadSettings>(self.source.as_ref());
        if let Some(advice) = settings.and_then(|settings| settings.advice) {
            return advice;
        }
        match (self.kind(), self.provider()) {
            (StoreErrorKind::NoLocation | StoreErrorKind::Location, _) => {
                "use a folder, a path where one can be made, or the URL of a bucket as --lake"
            }
            (StoreErrorKind::Bucket, Some(Provider::Azure)) => {
                "create the container first, or correct --lake or AZURE_STORAGE_ACCOUNT_NAME"
            }
            (StoreErrorKind::Bucket, Some(Provider::Google)) => {
                "create the bucket first, or correct --lake"
            }
            (StoreErrorKind::Bucket, _) => {
                "create the bucket first, or correct --lake, AWS_ENDPOINT or AWS_REGION"
            }
            (StoreErrorKind::Region, _) => "set AWS_REGION to the region of the bucket",
            (StoreErrorKind::Redirected, Some(Provider::Azure)) => {
                "set AZURE_STORAGE_ENDPOINT to the final address; credentials do not follow redirects"
            }
            (StoreErrorKind::Redirected, Some(Provider::Google)) => {
                "check the proxies between this machine and the store; credentials do not follow redirects"
            }
            (StoreErrorKind::Redirected, _) => {
                "set AWS_ENDPOINT to the final address and AWS_REGION to the region of the bucket; credentials do not follow redirects"
            }
            (StoreErrorKind::Proxy, _) => CHECK_PROXY,
            (StoreErrorKind::PlainHttp, Some(Provider::Azure)) => {
                "use an https endpoint, or set AZURE_ALLOW_HTTP=true on a network that you trust"
            }
            (StoreErrorKind::PlainHttp, _) => {
                "use an https endpoint, or set AWS_ALLOW_HTTP=true on a network that you trust"
            }
            (StoreErrorKind::Settings, Some(Provider::Azure)) => "correct that AZURE_… variable",
            (StoreErrorKind::Settings, Some(Provider::Google)) => "correct that GOOGLE_… variable",
            (StoreErrorKind::Settings, _) => "correct that AWS_… variable",
            (StoreErrorKind::Immutable, _) => {
                "remove policies, holds and leases that forbid changes below the lake's prefix: a lake removes its own attempts and rewrites a run's report"
            }
            (StoreErrorKind::Archived, _) => {
                "restore it from the archive tier, and keep rules that archive objects off the lake's prefix"
            }
            (StoreErrorKind::Credentials, Some(Provider::Azure)) => {
                "set AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or with AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET, to valid credentials"
            }
            (StoreErrorKind::Credentials, Some(Provider::Google)) => {
                "set GOOGLE_SERVICE_ACCOUNT to the file of a valid service account key"
            }
            (StoreErrorKind::Credentials, _) => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for temporary keys) to valid credentials"
            }
            (StoreErrorKind::Clock, _) => "set this machine's clock and run again",
            (StoreErrorKind::NoFileHandle, _) => "raise the limit on open files (ulimit -n)",
            (StoreErrorKind::Full, _) => {
                "free some space, or inodes (df -i shows them), or raise ulimit -f where a file is too large, and run again; committed slices are kept"
            }
            (StoreErrorKind::Denied, Some(Provider::Azure)) => {
                "check AZURE_STORAGE_ACCOUNT_KEY (or the other credentials) and the account's firewall, and allow listing, reading, writing and deleting in the container (commands that only read need listing and reading)"
            }
            (StoreErrorKind::Denied, Some(_)) => {
                "allow these credentials to list, read, write and delete below the lake's prefix (commands that only read need listing and reading), and run again"
            }
            (StoreErrorKind::Denied, None) if READS.contains(&self.action) => {
                "allow this user to read the lake, and run again"
            }
            (StoreErrorKind::Denied, None) => {
                "allow this user to write to the lake (or mount it writable), and run again"
            }
            (StoreErrorKind::Unfit, _) => {
                "move it away; if one of the lake's own objects was there, restore that from a copy"
            }
            (StoreErrorKind::CreateOnly, _) => {
                "use another store, or --single-writer if only one run at a time ever writes"
            }
            (StoreErrorKind::Untrusted, _) => {
                find::<Distrust>(self.source.as_ref()).map_or(INSTALL_AUTHORITIES, Distrust::advice)
            }
            (StoreErrorKind::Silent, _) => {
                "check the network and the store's endpoint (AWS_ENDPOINT, AZURE_STORAGE_ENDPOINT), and run again; committed slices are kept"
            }
            (StoreErrorKind::Missing, _) => "check the lake's location; committed slices are kept",
            (StoreErrorKind::Parted, _) => {
                "have all folders of the lake in one file system: nothing inside it may be a mount of its own"
            }
            (StoreErrorKind::Other, None) => {
                "check the disk and the system's log; committed slices are kept"
            }
            (StoreErrorKind::Other, Some(_)) => "check the store's logs; committed slices are kept",
        }
    }
}

/// What the operator can act on, found in a chain of causes.
fn kind_of_chain(error: &(dyn Error + 'static)) -> StoreErrorKind {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(kind) = kind_of(error) {
            return kind;
        }
        cause = error.source();
    }
    StoreErrorKind::Other
}

fn kind_of(error: &(dyn Error + 'static)) -> Option<StoreErrorKind> {
    if error.is::<NoLocation>() || error.is::<NothingThere>() {
        return Some(StoreErrorKind::NoLocation);
    }
    if error.is::<BadLocation>() {
        return Some(StoreErrorKind::Location);
    }
    if error.is::<Unfit>() {
        return Some(StoreErrorKind::Unfit);
    }
    if error.is::<CannotCreate>() {
        return Some(StoreErrorKind::CreateOnly);
    }
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return Some(refusal.kind());
    }
    if error.is::<GaveUp>() || error.is::<NoListing>() {
        return Some(StoreErrorKind::Silent);
    }
    if error.is::<Distrust>() {
        return Some(StoreErrorKind::Untrusted);
    }
    if error.is::<NoCredentials>() {
        return Some(StoreErrorKind::Credentials);
    }
    if let Some(settings) = error.downcast_ref::<BadSettings>() {
        return Some(settings.kind);
    }
    if let Some(told) = error.downcast_ref::<Told>() {
        return Some(told.kind);
    }
    if let Some(error) = error.downcast_ref::<object_store::client::HttpError>() {
        use object_store::client::HttpErrorKind;
        return match error.kind() {
            HttpErrorKind::Connect
            | HttpErrorKind::Request
            | HttpErrorKind::Timeout
            | HttpErrorKind::Interrupted => Some(StoreErrorKind::Silent),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<object_store::Error>() {
        return match error {
            object_store::Error::PermissionDenied { .. } => Some(StoreErrorKind::Denied),
            object_store::Error::Unauthenticated { .. } => Some(StoreErrorKind::Credentials),
            object_store::Error::NotFound { .. } => Some(StoreErrorKind::Missing),
            object_store::Error::NotImplemented { .. }
            | object_store::Error::NotSupported { .. } => Some(StoreErrorKind::CreateOnly),
            _ => None,
        };
    }
    let error = error.downcast_ref::<io::Error>()?;
    // Its own `source` passes over the error that it was made of.
    if let Some(kind) = error.get_ref().and_then(|inner| kind_of(inner)) {
        return Some(kind);
    }
    if let Some(libc::EMFILE | libc::ENFILE) = error.raw_os_error() {
        return Some(StoreErrorKind::NoFileHandle);
    }
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Some(StoreErrorKind::Full)
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some(StoreErrorKind::Denied)
        }
        io::ErrorKind::NotFound => Some(StoreErrorKind::Missing),
        io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
            Some(StoreErrorKind::Location)
        }
        io::ErrorKind::CrossesDevices => Some(StoreErrorKind::Parted),
        _ => None,
    }
}

/// The first cause of a type, the error itself included.
pub(super) fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
