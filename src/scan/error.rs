//! Why a slice could not be scanned.

use std::time::Duration;

use super::question::Question;
use crate::https::{CHECK_PROXY, ClientError, Distrust, is_of_name, is_of_proxy};
use crate::sign_in::SignInError;
use crate::text::units::counted;
use crate::window::{Slice, format_time};

/// Why a slice could not be scanned to its end.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// There are no credentials to send with a request.
    #[error(transparent)]
    SignIn(Box<SignInError>),
    /// The service does not know the credentials. Trying again cannot help.
    #[error("cannot sign in to {host}: HTTP 401: {detail}")]
    Unauthorized {
        /// The service.
        host: String,
        /// What it said.
        detail: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// The credentials lack a right.
    #[error("cannot read activities from {host}: HTTP 403: {detail}")]
    Forbidden {
        /// The service.
        host: String,
        /// What it said.
        detail: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// The service refused the request for good.
    #[error("cannot get activities from {host}: HTTP {status}: {detail}")]
    Refused {
        /// The service.
        host: String,
        /// The status.
        status: u16,
        /// What it said.
        detail: String,
    },
    /// The service sent the request elsewhere; credentials do not follow.
    #[error("cannot get activities from {host}: it redirects to {target}")]
    Redirected {
        /// The service.
        host: String,
        /// The host that it names.
        target: String,
    },
    /// Every attempt that the policy allows failed.
    #[error("cannot get {question}: gave up after {} in {} s", counted((*.attempts).into(), "attempt", "attempts"), .elapsed.as_secs())]
    Exhausted {
        /// What was asked for.
        question: Question,
        /// How often it was asked for.
        attempts: u32,
        /// For how long.
        elapsed: Duration,
        /// The last failure.
        #[source]
        last: RequestError,
    },
    /// A page is larger than allowed.
    #[error("cannot get {question}: it is larger than {max_bytes} bytes (--max-page-bytes)")]
    PageTooLarge {
        /// What was asked for.
        question: Question,
        /// The bound.
        max_bytes: u64,
    },
    /// Even a single millisecond cannot be paged.
    #[error("cannot page through slice {slice}: the service does not get past {}", format_time(*.at_ms))]
    Stuck {
        /// The slice.
        slice: Slice,
        /// The millisecond, since the epoch.
        at_ms: i64,
    },
    /// Most of what came was not asked for.
    #[error(
        "cannot scan slice {slice}: most records of a range lie outside it, so the service ignores the filter on the clock"
    )]
    FilterIgnored {
        /// The slice.
        slice: Slice,
    },
    /// More ranges are answered badly than a few bad records explain.
    #[error(
        "cannot scan slice {slice}: {max_ranges} or more ranges of it fail while the control request succeeds; the last one"
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
    #[error("cannot scan slice {slice}: it has more than {max_pages} pages")]
    TooManyPages {
        /// The slice.
        slice: Slice,
        /// The bound.
        max_pages: u32,
    },
    /// The slice has more records than can be told apart.
    #[error(
        "cannot scan slice {slice}: it has more than {max_records} records, the most that --memory-limit leaves room for"
    )]
    TooManyRecords {
        /// The slice.
        slice: Slice,
        /// The bound.
        max_records: u64,
    },
    /// Whoever answers is not trusted.
    #[error("cannot trust the certificate of {host}")]
    Certificate {
        /// The service.
        host: String,
        /// Why not.
        #[source]
        source: Box<Distrust>,
    },
    /// The system gives this process no further file handle.
    #[error("cannot connect to {host}")]
    NoFileHandle {
        /// The service.
        host: String,
        /// What the system said.
        #[source]
        source: RequestError,
    },
    /// The HTTP client could not be set up.
    #[error("cannot set up the connection to the service")]
    NoClient(#[source] ClientError),
    /// No answer came to a request that is sent once.
    #[error("cannot set up the connection to the service")]
    Client(#[source] RequestError),
}

impl From<SignInError> for ScanError {
    fn from(error: SignInError) -> Self {
        Self::SignIn(Box::new(error))
    }
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

    /// Whether a smaller page may be answered.
    pub fn is_about_a_limit(&self) -> bool {
        self.is_bad_request()
            || matches!(self, Self::Exhausted { last, .. } if last.is_about_the_page())
    }

    /// Whether the service found fault with the request itself.
    pub fn is_bad_request(&self) -> bool {
        matches!(self, Self::Refused { status: 400, .. })
    }

    /// Whether the service will not answer this request, however often it is sent.
    pub(super) fn is_of_the_request(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if (400..500).contains(status))
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

    /// What to do about it, on a line of its own. A rerun is advised only where it may help.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::SignIn(error) => Some(error.advice()),
            Self::Unauthorized { advice, .. } | Self::Forbidden { advice, .. } => Some(advice),
            Self::Refused { status: 400, .. } => Some(
                "check the filters, if there are any, or use --page-limit 100: a rerun sends the same request",
            ),
            Self::Refused { status: 404, .. } => {
                Some("check --api-url: this address does not serve activities")
            }
            Self::Refused { .. } => Some(
                "check the proxy or gateway before the service: a rerun sends the same request",
            ),
            Self::Certificate { source, .. } => Some(source.advice()),
            Self::NoClient(error) => Some(error.advice()),
            Self::NoFileHandle { .. } => Some("raise the limit on open files (ulimit -n)"),
            Self::FilterIgnored { .. } => Some("run again once the service honours its filters"),
            Self::Redirected { .. } => Some(
                "correct --api-url; where the tenant has moved to that host, add --change-host once",
            ),
            Self::PageTooLarge { .. } => Some("raise --max-page-bytes or lower --page-limit"),
            Self::TooManyPages { .. } => None,
            Self::TooManyRecords { .. } => Some("raise --memory-limit"),
            Self::Exhausted {
                last: RequestError::Transport { source, .. },
                ..
            } if is_of_proxy(source) => Some(CHECK_PROXY),
            Self::Exhausted {
                last: RequestError::Transport { source, .. },
                ..
            } if is_of_name(source) => Some(
                "check the host in --api-url, and whether this machine finds other hosts; then run again",
            ),
            Self::Exhausted {
                last: RequestError::Status { status: 429, .. },
                ..
            } => Some(
                "run again later; where other clients of the tenant use up its 30 requests a minute, lower --requests-per-minute",
            ),
            Self::Exhausted {
                last: RequestError::Malformed { .. },
                ..
            } => Some(
                "run again later; if it happens again, check --api-url and the proxies on the way: another server may be answering",
            ),
            Self::Exhausted { .. }
            | Self::Stuck { .. }
            | Self::TooManyBadRanges { .. }
            | Self::Client(_) => Some("run again later: what is committed is kept"),
        }
    }

    /// Whether the service, or the authority before it, refused the credentials.
    pub fn is_sign_in(&self) -> bool {
        match self {
            Self::SignIn(error) => error.is_refusal(),
            Self::Unauthorized { .. } | Self::Forbidden { .. } => true,
            _ => false,
        }
    }

    /// Whether no request can be sent any more, whatever it asks for.
    pub fn is_of_all_requests(&self) -> bool {
        matches!(self, Self::SignIn(_))
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
    #[error("malformed answer: {reason}")]
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
        } else if is_of_proxy(&source) {
            "the proxy of HTTPS_PROXY or ALL_PROXY gave no connection to the service"
        } else if source.is_connect() {
            "no connection to the service"
        } else {
            "the connection to the service failed"
        };
        Self::Transport {
            what,
            source: source.without_url(),
        }
    }
}
