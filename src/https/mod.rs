//! What the HTTP clients of the service, of its authority and of the stores have in common.

mod issuer;
mod trust;

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use chrono::DateTime;
use http::HeaderMap;
use http::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use rustls::pki_types::CertificateDer;
use url::{Host, Url};

pub use trust::{Distrust, NoAuthorities};

/// What to do where [`NoAuthorities`] are trusted.
pub(crate) const INSTALL_AUTHORITIES: &str = "install the system's certificates of authorities (package ca-certificates), or name a PEM file of them in SSL_CERT_FILE";

/// What to do where a proxy is the reason ([`is_of_proxy`]).
pub(crate) const CHECK_PROXY: &str =
    "check the address, name and password in HTTPS_PROXY or ALL_PROXY, and the hosts in NO_PROXY";

/// Why there is no client to send requests with.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It could trust nobody.
    #[error("it cannot trust anybody")]
    NoAuthorities(#[from] NoAuthorities),
    /// It cannot be set up.
    #[error(transparent)]
    Setup(reqwest::Error),
}

impl ClientError {
    /// What to do about it, on a line of its own.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NoAuthorities(_) => INSTALL_AUTHORITIES,
            Self::Setup(_) => "run again later: what is committed is kept",
        }
    }
}

/// Begins a client that names this program, follows no redirect (one would carry credentials along),
/// speaks the HTTP whose interruptions this program knows (1.1) and uses its only cryptography, `ring`.
pub(crate) fn client_builder() -> ClientBuilder {
    // Set once for the process: a second time changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("mdca-lake/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .http1_only()
}

/// Makes a client that trusts the authorities of this machine, and `more`.
///
/// # Errors
/// This machine trusts nobody, or the client cannot be set up.
pub(crate) fn trusting(
    builder: ClientBuilder,
    more: Vec<CertificateDer<'static>>,
) -> Result<Client, ClientError> {
    let tls = trust::tls(more)?;
    let client = builder.tls_backend_preconfigured(tls).build();
    client.map_err(ClientError::Setup)
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

/// Why the other side's certificate is not trusted, if that is why a request failed.
pub(crate) fn distrust(error: &(dyn Error + 'static)) -> Option<Distrust> {
    causes(error).find_map(Distrust::of)
}

/// Whether a request failed because the proxy that the environment names did not take it further.
pub(crate) fn is_of_proxy(error: &(dyn Error + 'static)) -> bool {
    // The error's type is kept to itself by the library.
    causes(error).any(|cause| cause.to_string().starts_with("tunnel error"))
}

/// Whether a request failed because nobody knows the host's name.
pub(crate) fn is_of_name(error: &(dyn Error + 'static)) -> bool {
    // The error's type is kept to itself by the library.
    causes(error).any(|cause| cause.to_string() == "dns error")
}

/// Whether an error is such a one, itself or one of its causes.
pub(crate) fn has_cause(
    error: &(dyn Error + 'static),
    is_one: fn(&(dyn Error + 'static)) -> bool,
) -> bool {
    causes(error).any(is_one)
}

/// An error and its causes, outermost first.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error: &&'e (dyn Error + 'static)| {
        // An error of the system does not count what it wraps among its causes.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// How long the other side asks to wait: seconds, or a date. More seconds than a number holds are as many as
/// it does.
pub(crate) fn retry_after(headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let until_ms = date_ms(text)?;
    Some(Duration::from_millis(
        u64::try_from(until_ms - now_ms).unwrap_or(0),
    ))
}

/// A date of a header in milliseconds since the epoch: in one of the three forms that HTTP has (RFC 9110,
/// section 5.6.7), or as mail has it, with a zone in numbers.
pub(crate) fn date_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    match httpdate::parse_http_date(text) {
        Ok(date) => {
            let since = date.duration_since(UNIX_EPOCH).ok()?;
            i64::try_from(since.as_millis()).ok()
        }
        Err(_) => Some(DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_in_every_form_that_http_has() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            " Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 09:49:37 +0100",
        ] {
            assert_eq!(date_ms(text), Some(784_111_777_000), "{text}");
        }
        for text in ["", "tomorrow", "1994-11-06T08:49:37Z", "784111777"] {
            assert_eq!(date_ms(text), None, "{text}");
        }
    }
}
