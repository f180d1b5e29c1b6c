//! Whether an assertion was signed with a certificate of the application (page "certificate
//! credentials"; RFC 7515, RFC 7523).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::CertificateDer;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use webpki::{EndEntityCert, ring};

use super::AuthorityOptions;
use super::refusal::{Refused, refuse};

/// An assertion may lie so far in the future: clocks differ.
const SKEW_S: i64 = 300;

/// Checks an assertion, and returns its id.
pub(crate) fn check_assertion(
    assertion: &str,
    options: &AuthorityOptions,
    audience: &str,
    now_ms: i64,
) -> Result<String, Refused> {
    let bad = || refuse(401, "invalid_client", 700_027);
    let parts: Vec<&str> = assertion.split('.').collect();
    let [head, claims, signature] = parts[..] else {
        return Err(refuse(401, "invalid_client", 700_213));
    };
    let json = |part: &str| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    let header = json(head).ok_or_else(bad)?;
    let read = json(claims).ok_or_else(bad)?;
    if header["alg"] != "PS256" {
        return Err(refuse(401, "invalid_client", 700_213));
    }
    let thumbprint = header["x5t#S256"].as_str().ok_or_else(bad)?;
    let known = options.certificates.iter();
    let certificate = known
        .map(Vec::as_slice)
        .find(|der| URL_SAFE_NO_PAD.encode(Sha256::digest(der)) == thumbprint)
        .ok_or_else(bad)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| bad())?;
    let der = CertificateDer::from(certificate);
    let signed = format!("{head}.{claims}");
    EndEntityCert::try_from(&der)
        .and_then(|certificate| {
            certificate.verify_signature(
                ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
                signed.as_bytes(),
                &signature,
            )
        })
        .map_err(|_| bad())?;
    let second = now_ms / 1_000;
    let time = |name: &str| read[name].as_i64().unwrap_or(i64::MIN);
    let is_now = time("nbf") <= second + SKEW_S && time("exp") > second - SKEW_S;
    if !is_now || time("exp") - time("nbf") > 24 * 3_600 {
        return Err(refuse(401, "invalid_client", 700_024));
    }
    let is_own = read["iss"] == *options.client_id && read["sub"] == *options.client_id;
    if !is_own || read["aud"] != *audience {
        return Err(refuse(401, "invalid_client", 700_023));
    }
    let id = read["jti"].as_str().filter(|id| !id.is_empty());
    id.map(str::to_owned).ok_or_else(bad)
}
