//! A server whose certificate nobody vouches for.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::Setup;
use super::server::{Reply, Server};
use crate::scan::ScanError;
use crate::text::plain::chain;

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_final_at_once() {
    let certificate = CertificateDer::from(include_bytes!("untrusted/certificate.der").to_vec());
    let key = PrivatePkcs8KeyDer::from(include_bytes!("untrusted/key.der").to_vec());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certificate], key.into())
    .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // The client goes away in the middle of it.
            acceptor.accept(stream).await.ok();
        }
    });

    let idle = Server::start(Box::new(|_| Reply::status(404))).await;
    let world = Setup::default().speak(idle, url.parse().unwrap());
    let error = world.fail().await;
    assert!(
        matches!(&error, ScanError::Certificate { host, .. } if host.starts_with("127.0.0.1")),
        "{error:?}"
    );
    assert_eq!(world.counts().requests, 1);
    let (said, advice) = (chain(&error), error.advice().unwrap());
    // It is an authority's own: trusting that would not help.
    assert!(said.contains("its issuer is CN=localhost"), "{said}");
    assert!(advice.contains("a valid certificate"), "{advice}");
}
