//! The certificate of an application: it signs an assertion that this program is the application
//! (page "certificate credentials"; RFC 7523).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, Signer};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};

/// How long an assertion holds, in seconds: as long as those of Microsoft's own libraries.
const LIFE_S: i64 = 600;

/// A certificate and its private key.
pub(super) struct ClientCertificate {
    /// SHA-256 of the certificate, as base64url: by it the authority knows which one it is.
    thumbprint: String,
    signer: Box<dyn Signer>,
}

/// Why a file is not a certificate to sign in with. Never holds anything of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableCertificate {
    /// There is no certificate.
    #[error(
        "it has no certificate in PEM (-----BEGIN CERTIFICATE-----); of a PFX make one with: openssl pkcs12 -in FILE.pfx -out FILE.pem -nodes"
    )]
    NoCertificate,
    /// There is no key.
    #[error("it has no private key in PEM (-----BEGIN PRIVATE KEY-----) beside the certificate")]
    NoKey,
    /// The key is encrypted.
    #[error("its private key is encrypted; decrypt it with: openssl pkey -in FILE.pem")]
    Encrypted,
    /// The key is not of RSA.
    #[error("its private key cannot sign for Entra, which takes RSA keys of 2048 to 4096 bits")]
    NotRsa,
    /// The key is another one's.
    #[error("its private key is not that of its first certificate")]
    OtherKey,
    /// The key does not sign.
    #[error("its private key does not sign")]
    CannotSign,
}

impl ClientCertificate {
    /// Reads the first certificate and the first private key of a text in PEM.
    pub(super) fn from_pem(pem: &SecretString) -> Result<Self, UnusableCertificate> {
        // Some editors begin a file with a mark.
        let pem = pem.expose_secret().trim_start_matches('\u{feff}');
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| UnusableCertificate::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
            if pem.contains("ENCRYPTED") {
                UnusableCertificate::Encrypted
            } else {
                UnusableCertificate::NoKey
            }
        })?;
        let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(&certificate));
        let key = any_supported_type(&key).map_err(|_| UnusableCertificate::NotRsa)?;
        let signer = key
            .choose_scheme(&[SignatureScheme::RSA_PSS_SHA256])
            .ok_or(UnusableCertificate::NotRsa)?;
        CertifiedKey::new(vec![certificate], key)
            .keys_match()
            .map_err(|_| UnusableCertificate::OtherKey)?;
        Ok(Self { thumbprint, signer })
    }

    /// A signed assertion that the bearer is this application, for the one who reads it at this address.
    pub(super) fn assertion(
        &self,
        client_id: &str,
        audience: &str,
        now_ms: i64,
    ) -> Result<SecretString, UnusableCertificate> {
        let issued = now_ms / 1_000;
        let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint});
        let claims = json!({
            "aud": audience, "iss": client_id, "sub": client_id,
            "jti": format!("{:032x}", fastrand::u128(..)),
            "iat": issued, "nbf": issued, "exp": issued + LIFE_S,
        });
        let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.signer.sign(signed.as_bytes());
        let signature = signature.map_err(|_| UnusableCertificate::CannotSign)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPLICATION: &str = include_str!("../../tests/it/keys/application.pem");
    const ANOTHER: &str = include_str!("../../tests/it/keys/another.pem");
    const ELLIPTIC: &str = include_str!("../../tests/it/keys/elliptic.pem");
    const ENCRYPTED: &str = include_str!("../../tests/it/keys/encrypted.pem");

    /// The key and the certificate of a text.
    fn halves(pem: &str) -> (&str, &str) {
        pem.split_at(pem.find("-----BEGIN CERTIFICATE").unwrap())
    }

    #[test]
    fn key_and_certificate_may_stand_in_any_order() {
        let (key, certificate) = halves(APPLICATION);
        for pem in [APPLICATION.to_owned(), format!("{certificate}\n{key}")] {
            assert!(ClientCertificate::from_pem(&pem.into()).is_ok());
        }
    }

    #[test]
    fn what_cannot_sign_is_refused_with_the_reason() {
        let (key, certificate) = halves(APPLICATION);
        let cases = [
            (String::new(), UnusableCertificate::NoCertificate),
            (key.to_owned(), UnusableCertificate::NoCertificate),
            (certificate.to_owned(), UnusableCertificate::NoKey),
            (ENCRYPTED.to_owned(), UnusableCertificate::Encrypted),
            (ELLIPTIC.to_owned(), UnusableCertificate::NotRsa),
            (
                format!("{}{certificate}", halves(ANOTHER).0),
                UnusableCertificate::OtherKey,
            ),
            (
                APPLICATION.replace("MII", "MIJ"),
                UnusableCertificate::NotRsa,
            ),
        ];
        for (pem, why) in cases {
            let refused = ClientCertificate::from_pem(&pem.clone().into()).err();
            assert_eq!(refused, Some(why), "{pem}");
        }
    }

    #[test]
    fn no_two_assertions_are_alike() {
        let certificate = ClientCertificate::from_pem(&APPLICATION.into()).unwrap();
        let assertion = || {
            certificate
                .assertion("me", "https://login.example", 0)
                .unwrap()
        };
        assert_ne!(assertion().expose_secret(), assertion().expose_secret());
    }

    #[test]
    fn a_mark_at_the_beginning_is_the_editors() {
        let pem = format!("\u{feff}{APPLICATION}");
        assert!(ClientCertificate::from_pem(&pem.into()).is_ok());
        // As some write them: the certificate first.
        let (key, certificate) = halves(APPLICATION);
        let pem = format!("\u{feff}{certificate}{key}");
        assert!(ClientCertificate::from_pem(&pem.into()).is_ok());
    }
}
