//! What the HTTP clients of the service and of the stores have in common.

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

/// Begins a client that names this program, follows no redirect (one would carry credentials along) and
/// uses the only cryptography of this program, `ring`.
pub(crate) fn client_builder() -> ClientBuilder {
    // Set once for the process: a second time changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("mdca-lake/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
}
