//! A slice becomes pages: the scan protocol of the service, as far as it can be known.
//!
//! 1. The first request asks for the slice's range by absolute, inclusive bounds on the lake's
//!    clock, in scan mode (`isScan`), sorted by that clock.
//! 2. Every answer with `nextQueryFilters` is followed by the same request with its `filters`
//!    replaced by that value, which nobody outside the service understands. The length of a page
//!    means nothing, and its order is not trusted.
//! 3. The range is done when an answer has no continuation and `hasNext` is false. A continuation
//!    beside `hasNext: false` is followed as long as it brings something new of the range; strays there
//!    mean nothing. Where it fails, or says that more is to come and leads nowhere, the range is asked for in pieces,
//!    until one brings nothing new, and its last page had room for more. An empty piece is believed only of a service
//!    that refuses to go on, and was never found to have records behind an end. If all its answers were empty the range is asked once more from 1 ms
//!    earlier: the service has answered an exact bound with nothing.
//! 4. A range that is **stuck** (more is said to come, but not from where; filters that were sent
//!    already; ten pages without a new record) is halved, and the halves are scanned, the older
//!    first, down to a millisecond. So is one with a page that **cannot be had** (too large, answered
//!    with 5xx or not in time every time, broken at the same place twice), as long as a **control
//!    request** for another millisecond is answered well: else the service is down. A hundred such
//!    ranges, of either kind, fail the slice. A millisecond
//!    that cannot be had is asked once more when the slice has all else, and is a **hole** then.
//! 5. Where slices are thin a **span** of neighbours is asked for as one range ([`SpanScan`]), and its
//!    pages are shared out. Nothing is tried hard there: what is not plain is asked for slice by slice.
//! 6. Requests share one [`Budget`]; the status decides what is tried again, and how often.
//!
//! Sources: the pages "Activities API", "Investigate activities using the API" and "Introduction"
//! of Microsoft's documentation; what clients have seen beyond them is marked where it is used.
//!
//! Records are not looked at here. The caller says of every page what it saw in it
//! ([`SliceScan::observe`]).

mod answer;
mod ask;
mod body;
mod budget;
mod client;
mod counters;
mod envelope;
mod error;
mod filters;
mod page;
mod question;
mod range;
mod request;
mod slice_scan;
mod span_scan;
#[cfg(test)]
mod tests;
mod tries;
mod url;

pub use crate::https::{ClientError, Distrust, NoAuthorities};
pub use answer::Dates;
pub use ask::Asked;
pub use budget::Budget;
pub use client::{ActivityClient, ClientOptions};
pub use counters::{ScanCounters, ScanCounts, Waiting};
pub use error::{RequestError, ScanError};
pub use filters::{CheckedFilters, CommonFilters, FilterError};
pub use page::{Page, PageSeen, Place};
pub use question::Question;
pub use request::{ClockField, ScanOptions};
pub use slice_scan::{Hole, Scanned, SliceScan};
pub use span_scan::{ReadRange, SpanError, SpanScan};
pub use url::{ApiUrl, ApiUrlError};
