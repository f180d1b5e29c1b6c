//! What goes wrong, as data: where ([`At`]), what ([`What`]) and how often.
//!
//! Faults touch only requests that the tenant would otherwise answer: one refused by authorisation
//! or by the throttle uses none up. Several may touch one answer; the first that replaces it wins.

mod plan;
mod rows;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub(crate) use plan::{Due, FaultPlan, Moment};
pub(crate) use rows::{Row, mangle};

use crate::clock::ClockField;

/// One fault of a plan.
#[derive(Clone, Debug)]
pub struct Fault {
    pub at: At,
    pub what: What,
    /// How many answers it touches before it is used up.
    pub times: u32,
}

impl Fault {
    /// A fault that happens once.
    pub fn new(at: At, what: What) -> Self {
        Self { at, what, times: 1 }
    }

    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    #[must_use]
    pub fn always(self) -> Self {
        self.times(u32::MAX)
    }
}

/// Which answers a fault touches. All counts begin at 0.
#[derive(Clone)]
pub enum At {
    /// The nth request that was admitted, of any sort.
    Request(u64),
    /// The nth page. A page is a distinct question (filters and order); asking it again is the same
    /// page, so a fault here with `times(2)` spoils the first two tries and lets the third through.
    Page(u64),
    /// The nth page and all after it.
    PagesFrom(u64),
    /// Pages that begin a scan, not those that continue one.
    FirstPages,
    /// Every request.
    Every,
    /// Pages for which this holds.
    Asked(Arc<dyn Fn(&Asked) -> bool + Send + Sync>),
    /// The page that holds the nth record of the tenant, in order of `created`. Has no effect on
    /// faults that decide how a page is cut (`ShortPage`, `IgnoreLimit`, `IgnoreOrder`, `IgnoreFilters`).
    Record(u64),
    /// The page that holds the record with this `_id`; with the same exception.
    RecordId(String),
}

impl At {
    /// Pages for which `predicate` holds.
    pub fn asked(predicate: impl Fn(&Asked) -> bool + Send + Sync + 'static) -> Self {
        Self::Asked(Arc::new(predicate))
    }

    /// Pages whose lower bound on the sort clock lies in `[from_ms, until_ms)`.
    pub fn range(from_ms: i64, until_ms: i64) -> Self {
        Self::asked(move |asked| (from_ms..until_ms).contains(&asked.from_ms))
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(at) => write!(f, "Request({at})"),
            Self::Page(at) => write!(f, "Page({at})"),
            Self::PagesFrom(at) => write!(f, "PagesFrom({at})"),
            Self::FirstPages => f.write_str("FirstPages"),
            Self::Every => f.write_str("Every"),
            Self::Asked(_) => f.write_str("Asked(..)"),
            Self::Record(rank) => write!(f, "Record({rank})"),
            Self::RecordId(id) => write!(f, "RecordId({id})"),
        }
    }
}

/// A page as it was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its number, as in [`At::Page`].
    pub page: u64,
    /// Whether it begins a scan.
    pub first: bool,
    pub clock: ClockField,
    /// Lower bound on the sort clock, inclusive; `i64::MIN` where none is given.
    pub from_ms: i64,
    /// Upper bound on the sort clock, inclusive; `i64::MAX` where none is given.
    pub to_ms: i64,
    pub limit: Option<u64>,
    /// As sent.
    pub filters: Value,
}

impl Asked {
    /// How many milliseconds the range holds.
    pub fn range_ms(&self) -> i64 {
        self.to_ms.saturating_sub(self.from_ms).saturating_add(1)
    }
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum What {
    // Another answer in place of the page.
    /// This status, content type and body; see the constructors for those seen by clients.
    Answer(Canned),
    /// The connection ends before any answer (`FIN`).
    Close,
    /// The connection is reset before any answer (`RST`).
    Reset,
    /// No answer at all, until the client gives up.
    Stall,
    /// A 200 whose body is no JSON.
    MalformedJson,
    /// A 200 with half of the body; `Content-Length` fits the half.
    TruncatedJson,

    // The same page, badly delivered.
    /// `Content-Length` promises the whole body; the connection ends after this many bytes of it.
    CutBody {
        after: usize,
    },
    /// The body arrives in pieces of this size with a pause of real time after each.
    SlowBody {
        piece: usize,
        pause: Duration,
    },
    /// Blanks inside the body, so that it is at least this long.
    PadTo {
        bytes: usize,
    },
    /// The same, compressed, whether the client accepts that or not.
    GzipBomb {
        bytes: usize,
    },
    /// The `Date` header is this many milliseconds ahead.
    DateAhead {
        ms: i64,
    },
    /// No `Date` header.
    DateMissing,

    // The envelope.
    DataMissing,
    DataNull,
    HasNextMissing,
    HasNextText,
    /// `hasNext: true` without `nextQueryFilters`.
    NextFiltersMissing,
    /// `hasNext: true` with `nextQueryFilters: null`.
    NextFiltersNull,
    /// `hasNext: true`, the filters of the request again, no matter how much is left. Only where the
    /// range asked for is at least this many milliseconds, so that halving it helps; 0 is always.
    Stuck {
        range_at_least_ms: i64,
    },
    /// `nextQueryFilters` beside `hasNext: false` on a last page. Asked with them, the service
    /// returns what lies at the end of the range again.
    NextFiltersOnLast,
    /// `hasNext: false` though more is left.
    EndsEarly,

    // Which records the page holds.
    /// No records, `hasNext: true`; the continuation goes on from the same place.
    EmptyPage,
    /// At most this many records.
    ShortPage {
        records: usize,
    },
    /// The page holds this many records whatever `limit` says.
    IgnoreLimit {
        records: usize,
    },
    /// Newest first, whatever was asked for.
    IgnoreOrder,
    /// The records in no order.
    Shuffle,
    /// All filters are ignored, on this page and those that continue it.
    IgnoreFilters,
    /// Only records outside the range asked for, `hasNext: false`.
    OnlyOutside,
    /// One record from outside the range asked for is added.
    Stray,
    /// A first page whose earliest record sits exactly on the lower bound is empty and the last. A
    /// bound 1 ms earlier returns everything, unless a record sits exactly there too.
    ExactBoundEmpty,
    /// The last record of the page before (or of this one, where it is the first) is added once more.
    Repeat(Repeat),

    // The records themselves.
    /// Changes every record of the page.
    EveryRecord(Change),
    /// Changes a record: the one that [`At::Record`] or [`At::RecordId`] names, else the first of the page.
    Record(Change),
}

/// How a repeated record differs from the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Byte for byte the same.
    Exact,
    /// Equal as JSON, other key order and whitespace.
    Reordered,
    /// The same `_id`, another payload.
    Changed,
}

/// What happens to one record.
#[derive(Clone, Debug)]
pub enum Change {
    /// Another JSON text in its place: `null`, `"text"`, `{}`.
    Replace(String),
    /// A value at a JSON pointer; parents that are missing are made.
    Set { pointer: String, json: String },
    /// The member at a JSON pointer is taken out.
    Remove { pointer: String },
    /// A member written a second time, as text before the closing brace: `"_id":"x"`.
    AppendMember(String),
    /// A byte that is no UTF-8 inside one of its strings.
    InvalidUtf8,
}

/// A fixed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canned {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
    pub headers: Vec<(String, String)>,
}

impl What {
    /// `{"detail": …}`, the form of the service's JSON errors.
    pub fn error(status: u16, detail: &str) -> Self {
        Self::Answer(Canned::json(
            status,
            &serde_json::json!({ "detail": detail }),
        ))
    }

    /// 401 of a region that does not hold the tenant.
    pub fn invalid_key_set() -> Self {
        Self::error(401, "Invalid JSON Web Key Set")
    }

    /// 403 of a token without the role.
    pub fn missing_role() -> Self {
        Self::error(403, "Insufficient role based permissions")
    }

    /// 429 as plain text, with or without `Retry-After` in seconds.
    pub fn throttled(retry_after_s: Option<u32>) -> Self {
        let mut canned = Canned::text(429, "TOO MANY REQUESTS");
        canned.retry_after(retry_after_s);
        Self::Answer(canned)
    }

    /// 429 as JSON, with or without `Retry-After` in seconds.
    pub fn throttled_json(retry_after_s: Option<u32>) -> Self {
        let mut canned = Canned::json(
            429,
            &serde_json::json!({ "detail": "Request was throttled. Expected available in 1 minute." }),
        );
        canned.retry_after(retry_after_s);
        Self::Answer(canned)
    }

    /// The HTML page that the portal answers with; seen with 404 and 500, and worth trying with 200.
    pub fn html(status: u16) -> Self {
        Self::Answer(Canned::html(status))
    }

    /// A status with a short plain text, as gateways send.
    pub fn gateway(status: u16) -> Self {
        Self::Answer(Canned::text(status, "upstream connect error"))
    }

    /// 302 to another address.
    pub fn redirect(location: &str) -> Self {
        let mut canned = Canned::text(302, "");
        canned
            .headers
            .push(("Location".to_owned(), location.to_owned()));
        Self::Answer(canned)
    }

    /// The record becomes `null`.
    pub fn null_row() -> Self {
        Self::Record(Change::Replace("null".to_owned()))
    }

    /// The record loses its `_id`.
    pub fn without_id() -> Self {
        Self::set_aside("/_id")
    }

    /// The record loses the member at `pointer`.
    pub fn set_aside(pointer: &str) -> Self {
        Self::Record(Change::Remove {
            pointer: pointer.to_owned(),
        })
    }

    /// The record's value at `pointer` becomes this JSON text.
    pub fn set(pointer: &str, json: &str) -> Self {
        Self::Record(Change::Set {
            pointer: pointer.to_owned(),
            json: json.to_owned(),
        })
    }
}

impl Canned {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    pub fn text(status: u16, body: &str) -> Self {
        Self::new(status, "text/plain", body.to_owned())
    }

    /// Seen by clients: the marker `__ADALLOM_CONSTS`, whatever the status.
    pub fn html(status: u16) -> Self {
        let message = if status == 404 {
            "<h1>404</h1><p>Page not found</p>"
        } else {
            "<h1>500</h1><p>Internal error</p><p>If the problem persists, contact support.</p>"
        };
        Self::new(
            status,
            "text/html; charset=utf-8",
            format!(
                "<!DOCTYPE html>\n<html><head><script>var __ADALLOM_CONSTS = {{}};</script></head><body>{message}</body></html>\n"
            ),
        )
    }

    fn new(status: u16, content_type: &str, body: String) -> Self {
        Self {
            status,
            content_type: content_type.to_owned(),
            body: body.into_bytes(),
            headers: Vec::new(),
        }
    }

    fn retry_after(&mut self, seconds: Option<u32>) {
        if let Some(seconds) = seconds {
            self.headers
                .push(("Retry-After".to_owned(), seconds.to_string()));
        }
    }
}
