//! The HTTP client of a store. The one that `object_store` makes by itself follows redirects, and takes
//! the session token of S3 along to any host; this one follows none.

use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::ClientConfigKey;
use reqwest::{Client, NoProxy, Proxy};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::https::{client_builder, trusting};

/// A connection that does not come about in this time will not, where no setting says otherwise.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Makes a client of `object_store`'s settings. With `read_timeout` an answer, or the next piece of it,
/// is waited for as long; without it for ever.
///
/// # Errors
/// A setting cannot be read, or the system has no certificates.
pub(super) fn client(
    options: &ClientOptions,
    read_timeout: Option<Duration>,
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
    let mut more = Vec::new();
    if let Some(url) = text(ClientConfigKey::ProxyUrl) {
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
