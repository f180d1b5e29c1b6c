//! Kinds of refusals.

/// Why a store refused, as far as an operator acts differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The location is none: an unknown scheme, no bucket, a secret in it.
    NoLocation,
    /// What is at the location cannot be a lake: a file, no such folder.
    Location,
    /// The bucket or container does not exist.
    Bucket,
    /// The bucket is in another region than the one asked.
    Region,
    /// There are no credentials, or they are wrong or expired.
    Credentials,
    /// This machine's clock is too far from the store's.
    Clock,
    /// This process, or the system, has no file handle left.
    NoFileHandle,
    /// The store is full, or a quota is.
    Full,
    /// The store cannot be written, or this user may not.
    Denied,
    /// What is there may not be changed: a policy, a legal hold or a lease keeps it.
    Immutable,
    /// What is there is in an archive tier, and cannot be read until it is restored.
    Archived,
    /// Another host is to be asked.
    Redirected,
    /// A proxy on the way wants another name and password.
    Proxy,
    /// The endpoint is plain http, and nothing says that it may be.
    PlainHttp,
    /// A setting cannot be meant.
    Settings,
    /// Something that was there is gone.
    Missing,
    /// What lies there is none of a lake's objects: too large, or on a disk no file at all.
    Unfit,
    /// The lake's folders are in several file systems.
    Parted,
    /// The store does not know how to create only.
    CreateOnly,
    /// The certificate of the store is not trusted, or no certificate is.
    Untrusted,
    /// The store does not answer.
    Silent,
    /// Anything else.
    Other,
}
