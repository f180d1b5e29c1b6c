//! Why a slice could not be scanned.

use std::time::Duration;

use crate::window::{Slice, format_time};

/// Why a slice could not be scanned to its end.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The service does not know the credentials. Trying again cannot help.
    #[error("sign in to {host} (HTTP 401: {detail})")]
    Unauthorized {
        /// The service.
        host: String,
        /// What it said.
        detail: String,
    },
    /// The credentials lack a right.
    #[error("read activities at {host} (HTTP 403: {detail})")]
    Forbidden {
        /// The service.
        host: String,
        /// What it said.
        detail: String,
    },
    /// The service refused the request for good.
    #[error("ask {host} for activities (HTTP {status}: {detail})")]
    Refused {
        /// The service.
        host: String,
        /// The status.
        status: u16,
        /// What it said.
        detail: String,
    },
    /// The service sent the request elsewhere; credentials do not follow.
    #[error(
        "ask {host} for activities: it redirects to {target}; give --api-url the address it should be"
    )]
    Redirected {
        /// The service.
        host: String,
        /// The host that it names.
        target: String,
    },
    /// Every attempt that the policy allows failed.
    #[error("get page {page} of slice {slice}: gave up after {attempts} attempts in {} s", .elapsed.as_secs())]
    Exhausted {
        /// The slice.
        slice: Slice,
        /// The page, from 0.
        page: u32,
        /// How often it was asked for.
        attempts: u32,
        /// For how long.
        elapsed: Duration,
        /// The last failure.
        #[source]
        last: RequestError,
    },
    /// A page is larger than allowed.
    #[error(
        "take page {page} of slice {slice}: it is larger than {max_bytes} bytes; raise --max-page-bytes or lower --page-limit"
    )]
    PageTooLarge {
        /// The slice.
        slice: Slice,
        /// The page, from 0.
        page: u32,
        /// The bound.
        max_bytes: u64,
    },
    /// Even a single millisecond cannot be paged.
    #[error("page through slice {slice}: the service does not get past {}", format_time(*.at_ms))]
    Stuck {
        /// The slice.
        slice: Slice,
        /// The millisecond, since the epoch.
        at_ms: i64,
    },
    /// Most of what came was not asked for.
    #[error(
        "scan slice {slice}: most records of a range are not of the slice, so the service ignores the filter on the clock"
    )]
    FilterIgnored {
        /// The slice.
        slice: Slice,
    },
    /// More ranges are answered badly than a few bad records explain.
    #[error(
        "scan slice {slice}: {max_ranges} ranges of it and more are answered badly, though the service is well; the last one"
    )]
    TooManyBadRanges {
        /// The slice.
        slice: Slice,
        /// The bound.
        max_ranges: u32,
        /// What was said to the last one.
        #[source]
        last: Box<ScanError>,
    },
    /// The slice does not end.
    #[error("scan slice {slice}: it has more than {max_pages} pages")]
    TooManyPages {
        /// The slice.
        slice: Slice,
        /// The bound.
        max_pages: u32,
    },
    /// The slice has more records than can be told apart.
    #[error(
        "scan slice {slice}: it has more than {max_records} records, which is what --memory-limit leaves room to tell apart; raise it"
    )]
    TooManyRecords {
        /// The slice.
        slice: Slice,
        /// The bound.
        max_records: u64,
    },
    /// Whoever answers is not trusted.
    #[error("trust the certificate of {host}")]
    Certificate {
        /// The service.
        host: String,
        /// Why not.
        #[source]
        source: RequestError,
    },
    /// The system gives this process no further file handle.
    #[error("connect to {host}")]
    NoFileHandle {
        /// The service.
        host: String,
        /// What the system said.
        #[source]
        source: RequestError,
    },
    /// The HTTP client could not be set up.
    #[error("set up the connection to the service")]
    Client(#[source] RequestError),
}

impl ScanError {
    /// Whether another range may be answered though this one was not: the service gave answers, and
    /// none was good.
    pub fn may_be_the_range(&self) -> bool {
        match self {
            Self::PageTooLarge { .. } => true,
            Self::Exhausted { last, .. } => !last.is_connect(),
            _ => false,
        }
    }

    /// Whether the service found fault with the request itself.
    pub fn is_bad_request(&self) -> bool {
        matches!(self, Self::Refused { status: 400, .. })
    }

    /// Whether every other request may fail in the same way: it is for the control request to say.
    pub(crate) fn may_be_of_every_request(&self) -> bool {
        matches!(
            self,
            Self::Exhausted { .. }
                | Self::Refused { .. }
                | Self::Redirected { .. }
                | Self::Certificate { .. }
        )
    }

    /// One more sentence on what to do, where the message does not say it. A rerun is advised only
    /// where it may help.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Unauthorized { .. } | Self::Forbidden { .. } => {
                Some("renew the token (MDCA_API_TOKEN or --token-file) or have its rights checked")
            }
            Self::Refused { status: 400, .. } => {
                Some("check --filters and --service: a rerun sends the same request")
            }
            Self::Refused { status: 404, .. } => {
                Some("check --api-url: nothing at this address answers for activities")
            }
            Self::Refused { .. } => {
                Some("ask who runs what stands before the service: a rerun sends the same request")
            }
            Self::Certificate { .. } => Some(
                "have this machine trust who issued the certificate, or use a network whose proxy does not open TLS",
            ),
            Self::NoFileHandle { .. } => Some("raise the limit on open files (ulimit -n)"),
            Self::FilterIgnored { .. } => {
                Some("scan the slice again once the service answers what it is asked")
            }
            Self::Redirected { .. }
            | Self::PageTooLarge { .. }
            | Self::TooManyPages { .. }
            | Self::TooManyRecords { .. } => None,
            Self::Exhausted { .. }
            | Self::Stuck { .. }
            | Self::TooManyBadRanges { .. }
            | Self::Client(_) => Some("run again later; nothing is lost, a rerun resumes"),
        }
    }

    /// Whether the service refused the credentials.
    pub fn is_sign_in(&self) -> bool {
        matches!(self, Self::Unauthorized { .. } | Self::Forbidden { .. })
    }
}

/// Why one request failed, if it may succeed the next time.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The service answered with a status that passes.
    #[error("HTTP {status}: {detail}")]
    Status {
        /// The status.
        status: u16,
        /// What the service said.
        detail: String,
    },
    /// The answer cannot be an answer.
    #[error("the answer is malformed: {reason}")]
    Malformed {
        /// Why.
        reason: String,
    },
    /// The answer came, but not fast enough to ever be whole.
    #[error("the answer came too slowly: {bytes} bytes in {seconds} s")]
    Slow {
        /// What came of it.
        bytes: usize,
        /// How long it took.
        seconds: u64,
    },
    /// The connection failed, or was cut, or took too long.
    #[error("{what}")]
    Transport {
        /// What happened.
        what: &'static str,
        /// The client's own error, without the URL.
        #[source]
        source: reqwest::Error,
    },
}

impl RequestError {
    /// Whether the service was not even reached.
    fn is_connect(&self) -> bool {
        matches!(self, Self::Transport { source, .. } if source.is_connect())
    }

    /// The word under which a retry is counted.
    pub(super) fn cause(&self) -> &'static str {
        match self {
            Self::Status { status: 408, .. } => "http_408",
            Self::Status { status: 429, .. } => "http_429",
            Self::Status { status: 500, .. } => "http_500",
            Self::Status { status: 502, .. } => "http_502",
            Self::Status { status: 503, .. } => "http_503",
            Self::Status { status: 504, .. } => "http_504",
            Self::Status { .. } => "http_5xx",
            Self::Malformed { .. } => "malformed",
            Self::Slow { .. } => "timeout",
            Self::Transport { source, .. } if source.is_timeout() => "timeout",
            Self::Transport { source, .. } if source.is_connect() => "connect",
            Self::Transport { .. } => "cut",
        }
    }

    /// Whether another range may be answered better: the service said that it could not answer, or
    /// took too long over it. A connection that does not come about says nothing of the range.
    pub(super) fn is_about_the_page(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status >= 500,
            Self::Malformed { .. } => false,
            Self::Slow { .. } => true,
            Self::Transport { source, .. } => source.is_timeout() && !source.is_connect(),
        }
    }

    /// An answer that cannot be one.
    pub(super) fn malformed(reason: &str) -> Self {
        Self::Malformed {
            reason: reason.to_owned(),
        }
    }

    /// A failure of the HTTP client.
    pub(super) fn transport(source: reqwest::Error) -> Self {
        let what = if source.is_timeout() {
            "the service took too long"
        } else if source.is_connect() {
            "no connection to the service"
        } else {
            "the connection to the service was cut"
        };
        Self::Transport {
            what,
            source: source.without_url(),
        }
    }
}
