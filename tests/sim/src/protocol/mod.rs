//! The activities API as its public documentation and its clients describe it: one reading of it.
//!
//! Pure: a request body and the tenant go in, the records of a page and its continuation come out.
//! Knows nothing of HTTP connections or scripted faults.

pub(crate) mod continuation;
pub(crate) mod filters;
pub(crate) mod paging;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod throttle;
