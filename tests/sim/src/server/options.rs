//! What a simulated service is told to be like.

use crate::authority::AuthorityOptions;
use crate::clock::{Now, system_now};
use crate::faults::Fault;
use crate::protocol::continuation::ContinuationStyle;
use crate::protocol::paging::Ties;

/// The `Authorization` value that a server accepts unless told otherwise.
pub const DEFAULT_AUTHORIZATION: &str = "Token sim-token";

/// Settings of one server.
#[derive(Clone)]
pub struct SimOptions {
    /// 0 lets the system choose; tests never give one.
    pub port: u16,
    /// Accepted `Authorization` values.
    pub accepted: Vec<Accepted>,
    /// The server's time: decides what is visible, the throttle, the `Date` header.
    pub now: Now,
    pub page_limits: PageLimits,
    /// None switches the throttle off. The service has 30 (documented).
    pub requests_per_minute: Option<u32>,
    pub throttled: Throttled,
    /// Compresses answers for clients that accept it (whether the service does is not known).
    pub gzip: bool,
    /// `total` in answers to scans (whether the service sends it is not known).
    pub scan_total: Total,
    pub ties: Ties,
    pub continuation: ContinuationStyle,
    /// Nothing that happened more than this many days ago is returned (30, seen by clients).
    pub history_days: Option<u32>,
    pub faults: Vec<Fault>,
    /// Keeps every answer's body in the log, before compression and damage in delivery.
    pub keep_answers: bool,
    /// Who hands out bearer tokens, at this server's own address; none, nobody does.
    pub authority: Option<AuthorityOptions>,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            port: 0,
            accepted: vec![Accepted::always(DEFAULT_AUTHORIZATION)],
            now: system_now(),
            page_limits: PageLimits::default(),
            requests_per_minute: None,
            throttled: Throttled::default(),
            gzip: true,
            scan_total: Total::Absent,
            ties: Ties::Widen,
            continuation: ContinuationStyle::MovedBound,
            history_days: None,
            faults: Vec::new(),
            keep_answers: false,
            authority: None,
        }
    }
}

/// A credential: the whole value of the `Authorization` header, `Token …` or `Bearer …`.
#[derive(Clone, PartialEq, Eq)]
pub struct Accepted {
    pub header: String,
    /// Refused from this moment on (Bearer tokens live 3,599 s).
    pub until_ms: Option<i64>,
}

impl Accepted {
    pub fn always(header: impl Into<String>) -> Self {
        Self {
            header: header.into(),
            until_ms: None,
        }
    }

    pub fn until(header: impl Into<String>, until_ms: i64) -> Self {
        Self {
            header: header.into(),
            until_ms: Some(until_ms),
        }
    }
}

impl std::fmt::Debug for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accepted")
            .field("until_ms", &self.until_ms)
            .finish_non_exhaustive()
    }
}

/// What becomes of `limit` in a scan. The documentation says 500 to 5000 with 500 as default;
/// clients saw less. Smaller limits are honoured, so that tests need few records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// Where a request gives none.
    pub default: usize,
    /// The most records of a page.
    pub cap: usize,
    pub above: AboveCap,
}

/// What happens when `limit` is above the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AboveCap {
    /// The page holds as many as the cap.
    Clamp,
    /// The request is refused with this status: 400 or 500.
    Refuse(u16),
}

impl Default for PageLimits {
    fn default() -> Self {
        Self {
            default: 500,
            cap: 5_000,
            above: AboveCap::Clamp,
        }
    }
}

impl PageLimits {
    /// Pages of at most `cap` records, whatever is asked for.
    pub fn capped(cap: usize) -> Self {
        Self {
            default: cap.min(500),
            cap,
            above: AboveCap::Clamp,
        }
    }
}

/// How the throttle answers (neither is known).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// `Retry-After` in seconds, rounded up.
    pub retry_after: bool,
    /// JSON instead of plain text.
    pub json: bool,
}

impl Default for Throttled {
    fn default() -> Self {
        Self {
            retry_after: true,
            json: false,
        }
    }
}

/// `total` in scan answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    Absent,
    /// What is left of the scan, this page included.
    Exact,
    /// The same, wrong by so much.
    OffBy(i64),
}
