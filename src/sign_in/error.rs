//! Why nobody could be signed in.

use std::time::Duration;

use crate::https::{ClientError, Distrust, is_of_proxy};
use crate::text::units::counted;

/// What the service said to credentials.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// 401 or 403.
    pub status: u16,
    /// Its words, without secrets.
    pub detail: &'a str,
}

impl Refusal<'_> {
    /// What to do where the host does not know the tenant's keys, of whatever kind the credentials are.
    pub(super) fn advice_of_host(&self) -> Option<&'static str> {
        let detail = self.detail.to_lowercase();
        detail.contains("json web key").then_some(
            "use the tenant's own regional host as --api-url, as the portal shows it (Settings, Cloud Apps, About): others do not know the tenant's keys",
        )
    }
}

/// Why there are no credentials to send.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The authority does not give this application or identity a token. Trying again cannot help.
    #[error("cannot sign in as {who} at {host}: HTTP {status}: {reason}")]
    Refused {
        /// The application or identity.
        who: String,
        /// The authority.
        host: String,
        /// The status.
        status: u16,
        /// What it said, without secrets.
        reason: String,
        /// Whether these are an authority's words; else something before it may have answered.
        is_of_authority: bool,
        /// What to do about it.
        advice: &'static str,
    },
    /// The authority sent the request elsewhere; secrets do not follow.
    #[error("cannot sign in as {who} at {host}: it redirects to {target}")]
    Redirected {
        /// The application or identity.
        who: String,
        /// The authority.
        host: String,
        /// The host that it names.
        target: String,
    },
    /// Every attempt that the policy allows failed.
    #[error("cannot sign in as {who} at {host}: gave up after {} in {} s", counted((*.attempts).into(), "attempt", "attempts"), .elapsed.as_secs())]
    Exhausted {
        /// The application or identity.
        who: String,
        /// The authority.
        host: String,
        /// How often it was asked.
        attempts: u32,
        /// For how long.
        elapsed: Duration,
        /// The last failure.
        #[source]
        last: TokenRequestError,
        /// What to do about it.
        advice: &'static str,
    },
    /// The authority's certificate is not trusted.
    #[error("cannot sign in: the certificate of {host} is not trusted")]
    Certificate {
        /// The authority.
        host: String,
        /// Why not.
        #[source]
        source: Distrust,
    },
    /// What proves who asks cannot be used any more.
    #[error("cannot sign in: {place}: {why}")]
    Proof {
        /// The flag or variable, and the file.
        place: String,
        /// Why not.
        why: String,
    },
    /// The HTTP client could not be set up.
    #[error("cannot set up the connection to {host}")]
    Client {
        /// The authority.
        host: String,
        /// Why not.
        #[source]
        source: ClientError,
    },
}

impl SignInError {
    /// Whether the credentials are what is wrong; else the authority could not be asked.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Proof { .. } => true,
            Self::Redirected { .. }
            | Self::Exhausted { .. }
            | Self::Certificate { .. }
            | Self::Client { .. } => false,
        }
    }

    /// Whether another try cannot end otherwise: the credentials are refused by whom they are for.
    pub(super) fn is_for_good(&self) -> bool {
        match self {
            Self::Refused {
                is_of_authority, ..
            } => *is_of_authority,
            error => error.is_refusal(),
        }
    }

    /// What to do about it, on a line of its own.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Refused { advice, .. } | Self::Exhausted { advice, .. } => advice,
            Self::Redirected { .. } => "correct --authority",
            Self::Certificate { source, .. } => source.advice(),
            Self::Proof { .. } => "correct the file that is named, and run again",
            Self::Client { source, .. } => source.advice(),
        }
    }
}

/// Why one request for a token failed, if it may succeed the next time.
#[derive(Debug, thiserror::Error)]
pub enum TokenRequestError {
    /// A status that passes.
    #[error("HTTP {status}: {detail}")]
    Status {
        /// The status.
        status: u16,
        /// What was said, without secrets.
        detail: String,
    },
    /// The answer cannot be an answer.
    #[error("malformed answer: {reason}")]
    Malformed {
        /// Why.
        reason: &'static str,
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

impl TokenRequestError {
    /// A failure of the HTTP client.
    pub(super) fn transport(source: reqwest::Error) -> Self {
        let what = if source.is_timeout() {
            "the authority took too long"
        } else if is_of_proxy(&source) {
            "the proxy of HTTPS_PROXY or ALL_PROXY gave no connection to the authority"
        } else if source.is_connect() {
            "no connection to the authority"
        } else {
            "the connection to the authority was cut"
        };
        Self::Transport {
            what,
            source: source.without_url(),
        }
    }

    /// The word under which a retry is counted.
    pub(super) fn cause(&self) -> &'static str {
        match self {
            Self::Status { status: 429, .. } => "sign_in_http_429",
            Self::Status { status, .. } if *status >= 500 => "sign_in_http_5xx",
            Self::Status { .. } => "sign_in_http_4xx",
            Self::Malformed { .. } => "sign_in_malformed",
            Self::Transport { source, .. } if source.is_timeout() => "sign_in_timeout",
            Self::Transport { source, .. } if source.is_connect() => "sign_in_connect",
            Self::Transport { .. } => "sign_in_cut",
        }
    }
}
