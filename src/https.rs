//! What the HTTP clients of the service, of its authority and of the stores have in common.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use chrono::DateTime;
use http::HeaderMap;
use http::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use url::{Host, Url};

/// Begins a client that names this program, follows no redirect (one would carry credentials along) and
/// uses the only cryptography of this program, `ring`.
pub(crate) fn client_builder() -> ClientBuilder {
    // Set once for the process: a second time changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("mdca-lake/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
}

/// Whether a URL leads to this machine itself, where a plain request meets nobody on its way.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        None => false,
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
    }
}

/// The host of a URL in lower case, with the port where it is not the scheme's own.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().to_lowercase();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// Whether a request failed because the other side's certificate is not trusted.
pub(crate) fn is_distrust(error: &reqwest::Error) -> bool {
    has_cause(error, is_certificate)
}

/// Whether an error is one of a certificate.
fn is_certificate(error: &(dyn Error + 'static)) -> bool {
    matches!(
        error.downcast_ref(),
        Some(rustls::Error::InvalidCertificate(_))
    )
}

/// Whether an error is such a one, itself or one of its causes.
pub(crate) fn has_cause(
    error: &(dyn Error + 'static),
    is_one: fn(&(dyn Error + 'static)) -> bool,
) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if is_one(error) {
            return true;
        }
        // An error of the system does not count what it wraps among its causes.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    false
}

/// How long the other side asks to wait: seconds, or a date.
pub(crate) fn retry_after(headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until_ms = DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis();
    Some(Duration::from_millis(
        u64::try_from(until_ms - now_ms).unwrap_or(0),
    ))
}
