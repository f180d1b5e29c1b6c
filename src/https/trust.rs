//! Whose certificates this program trusts, and what it says of one that it does not.
//!
//! Authorities are those of the system, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR` in their place: the
//! two variables that OpenSSL reads (its page "`SSL_CTX_set_default_verify_paths`").

use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use tracing::warn;

use super::issuer::issuer;

/// No authority is trusted, so that nobody's certificate can be.
#[derive(Debug, Clone, thiserror::Error)]
#[error("there is no certificate of an authority to trust: {why}")]
pub struct NoAuthorities {
    why: String,
}

/// The other side's certificate is not trusted.
#[derive(Debug, Clone)]
pub struct Distrust {
    reason: CertificateError,
    issuer: Option<String>,
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuer = self.issuer.as_deref().unwrap_or("without a name");
        match &self.reason {
            CertificateError::UnknownIssuer => {
                write!(f, "this machine does not trust its issuer ({issuer})")
            }
            CertificateError::Other(reason) => write!(f, "{reason}; its issuer is {issuer}"),
            reason => write!(f, "{reason}; its issuer is {issuer}"),
        }
    }
}

impl Error for Distrust {}

impl Distrust {
    /// What to do about it, on a line of its own.
    pub fn advice(&self) -> &'static str {
        match &self.reason {
            CertificateError::UnknownIssuer => {
                "if that issuer is your own network's, add its certificate to this machine's store, or name in SSL_CERT_FILE a PEM file that has it and those that other hosts need"
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                "check this machine's clock; if it is right, the host, or the proxy before it, needs a new certificate"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "correct the address, or ask for a certificate with this name for the host, or the proxy before it"
            }
            _ => "ask for a valid certificate for the host, or the proxy before it",
        }
    }

    /// Finds what [`Verifier`] said, if that is what an error is.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        match error.downcast_ref()? {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(said))) => {
                said.downcast_ref().cloned()
            }
            _ => None,
        }
    }
}

/// What TLS goes by: the authorities of this machine, and more.
///
/// # Errors
/// There are none.
pub(super) fn tls(more: Vec<CertificateDer<'static>>) -> Result<ClientConfig, NoAuthorities> {
    let mut authorities = authorities()?;
    authorities.add_parsable_certificates(more);
    let inner = WebPkiServerVerifier::builder(Arc::new(authorities))
        .build()
        .map_err(|error| NoAuthorities {
            why: error.to_string(),
        })?;
    let mut tls = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { inner }))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

/// The authorities of this machine, read once for the process.
fn authorities() -> Result<RootCertStore, NoAuthorities> {
    static READ: OnceLock<Result<RootCertStore, NoAuthorities>> = OnceLock::new();
    READ.get_or_init(read).clone()
}

fn read() -> Result<RootCertStore, NoAuthorities> {
    let found = rustls_native_certs::load_native_certs();
    let mut authorities = RootCertStore::empty();
    // Systems carry some that no current rules allow; they are of no use to anybody.
    authorities.add_parsable_certificates(found.certs);
    let unread: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    if authorities.is_empty() {
        let why = if unread.is_empty() {
            "neither this machine's store has one, nor what SSL_CERT_FILE or SSL_CERT_DIR name where they are set".to_owned()
        } else {
            unread.join("; ")
        };
        return Err(NoAuthorities { why });
    }
    for error in unread {
        warn!(%error, "cannot read the certificate of an authority");
    }
    Ok(authorities)
}

/// Checks certificates as `WebPKI` does, and keeps who issued one that is refused.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        verified.map_err(|error| match error {
            rustls::Error::InvalidCertificate(reason) => {
                let issuer = issuer(end_entity, intermediates);
                let said = OtherError(Arc::new(Distrust { reason, issuer }));
                rustls::Error::InvalidCertificate(CertificateError::Other(said))
            }
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
