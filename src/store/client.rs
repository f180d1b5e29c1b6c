//! The HTTP client of a store. The one that `object_store` makes by itself follows redirects, and takes
//! the session token of S3 along to any host; this one follows none. Nor does it show a proxy what stays on
//! this machine or its link: credentials for the asking, and plain requests.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use http::Uri;
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpError, HttpRequest, HttpResponse, HttpService,
};
use reqwest::{Client, NoProxy, Proxy};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::https::{client_builder, trusting};

/// A connection that does not come about in this time will not, where no setting says otherwise.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Sends each request on its way: by the proxy, where one is set, or straight.
#[derive(Debug)]
struct Routes {
    usual: Client,
    straight: Client,
}

#[async_trait]
impl HttpService for Routes {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let client = if is_near(request.uri()) {
            &self.straight
        } else {
            &self.usual
        };
        client.call(request).await
    }
}

/// Whether a request leaves neither this machine, in plain, nor its link: a proxy would ask another machine,
/// with these credentials, or hand out its own.
fn is_near(uri: &Uri) -> bool {
    if is_metadata_service(uri) {
        return true;
    }
    let host = uri.host().unwrap_or_default();
    let is_plain = uri.scheme_str() == Some("http");
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(ip)) => ip.is_link_local() || is_plain && ip.is_loopback(),
        Ok(IpAddr::V6(ip)) => ip.is_unicast_link_local() || is_plain && ip.is_loopback(),
        Err(_) => is_plain && host.eq_ignore_ascii_case("localhost"),
    }
}

/// The addresses where clouds hand out credentials to their machines.
pub(super) fn is_metadata_service(uri: &Uri) -> bool {
    matches!(
        uri.host(),
        Some(
            "169.254.169.254"
                | "169.254.170.2"
                | "169.254.170.23"
                | "[fd00:ec2::254]"
                | "[fd00:ec2::23]"
                | "metadata.google.internal"
                | "metadata"
        )
    )
}

/// Makes a client of `object_store`'s settings. With `read_timeout` an answer, or the next piece of it,
/// is waited for as long; without it for ever.
///
/// # Errors
/// A setting cannot be read, or the system has no certificates.
pub(super) fn client(
    options: &ClientOptions,
    read_timeout: Option<Duration>,
) -> object_store::Result<HttpClient> {
    Ok(HttpClient::new(Routes {
        usual: client_by(options, read_timeout, true)?,
        straight: client_by(options, read_timeout, false)?,
    }))
}

fn client_by(
    options: &ClientOptions,
    read_timeout: Option<Duration>,
    by_proxy: bool,
) -> object_store::Result<Client> {
    let text = |key| {
        options
            .get_config_value(&key)
            .filter(|text| !text.is_empty())
    };
    let is_set = |key| text(key).is_some_and(|text| is_true(&text));
    let duration = |key| {
        let parsed = text(key).map(|text| humantime::parse_duration(&text));
        parsed.transpose().map_err(broken)
    };
    let mut builder = client_builder()
        // Compressed, an answer would not be as long as the object.
        .no_gzip()
        .https_only(!is_set(ClientConfigKey::AllowHttp))
        .connect_timeout(duration(ClientConfigKey::ConnectTimeout)?.unwrap_or(CONNECT_WITHIN));
    if let Some(timeout) = read_timeout {
        builder = builder.read_timeout(timeout);
    }
    if let Some(headers) = options.get_default_headers() {
        builder = builder.default_headers(headers.clone());
    }
    if let Some(timeout) = duration(ClientConfigKey::PoolIdleTimeout)? {
        builder = builder.pool_idle_timeout(timeout);
    }
    if !by_proxy {
        builder = builder.no_proxy();
    }
    let mut more = Vec::new();
    if let Some(url) = text(ClientConfigKey::ProxyUrl).filter(|_| by_proxy) {
        let excludes = text(ClientConfigKey::ProxyExcludes);
        let proxy = Proxy::all(url).map_err(broken)?;
        builder =
            builder.proxy(proxy.no_proxy(excludes.and_then(|hosts| NoProxy::from_string(&hosts))));
        if let Some(pem) = text(ClientConfigKey::ProxyCaCertificate) {
            more = CertificateDer::pem_slice_iter(pem.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(broken)?;
        }
    }
    if is_set(ClientConfigKey::AllowInvalidCertificates) {
        let anybody = builder.tls_danger_accept_invalid_certs(true);
        return anybody.build().map_err(broken);
    }
    trusting(builder, more).map_err(broken)
}

/// Whether a setting is switched on, in `object_store`'s words.
pub(super) fn is_true(text: &str) -> bool {
    matches!(
        &*text.to_ascii_lowercase(),
        "true" | "1" | "yes" | "on" | "y" | "t"
    )
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic {
        store: "HTTP client",
        source: Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_services_and_plain_requests_to_this_machine_meet_no_proxy() {
        for (uri, near) in [
            ("http://169.254.169.254/latest/api/token", true),
            ("http://169.254.170.2/v2/credentials", true),
            ("http://169.254.1.1/", true),
            ("https://[fe80::1]:8443/", true),
            ("http://[fd00:ec2::254]/", true),
            ("http://metadata.google.internal/computeMetadata/v1/", true),
            ("http://127.0.0.1:9000/bucket", true),
            ("http://[::1]:9000/bucket", true),
            ("http://LocalHost:9000/bucket", true),
            ("https://127.0.0.1:9000/bucket", false),
            ("http://10.0.0.7:9000/bucket", false),
            ("https://b.s3.amazonaws.com/", false),
            ("http://localhost.contoso.com/", false),
        ] {
            assert_eq!(is_near(&uri.parse().unwrap()), near, "{uri}");
        }
    }
}
