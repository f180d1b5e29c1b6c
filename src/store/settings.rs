//! What the settings of a store may hold: what cannot be sent is refused before a client is made of them
//! (the library stops the program there), and secrets are kept, to be taken out of a store's words.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::text::redact::redact;

/// Settings whose values nobody may see, in lower case. Those of the service count: a proxy of both may
/// repeat them. The signature of a shared access signature is taken from each request.
const SECRETS: [&str; 17] = [
    "aws_secret_access_key",
    "aws_session_token",
    "aws_token",
    "aws_container_authorization_token",
    "aws_sse_customer_key_base64",
    "azure_storage_account_key",
    "azure_storage_access_key",
    "azure_storage_master_key",
    "azure_storage_encryption_key",
    "azure_storage_token",
    "azure_fabric_session_token",
    "azure_client_secret",
    "azure_storage_client_secret",
    "google_bearer_token",
    SERVICE_ACCOUNT_KEY,
    "mdca_api_token",
    "mdca_client_secret",
];
/// A document, of which one member is a secret.
const SERVICE_ACCOUNT_KEY: &str = "google_service_account_key";
/// A shorter secret would be found in every other word.
const MIN_SECRET_BYTES: usize = 6;

/// Settings that are addresses.
const ADDRESSES: [&str; 10] = [
    "aws_endpoint",
    "aws_endpoint_url",
    "aws_endpoint_url_s3",
    "aws_endpoint_url_sts",
    "aws_metadata_endpoint",
    "azure_endpoint",
    "azure_storage_endpoint",
    "azure_identity_endpoint",
    "azure_msi_endpoint",
    "google_base_url",
];
/// Settings that are texts of several lines.
const TEXTS: [&str; 4] = [
    SERVICE_ACCOUNT_KEY,
    "aws_proxy_ca_certificate",
    "azure_proxy_ca_certificate",
    "google_proxy_ca_certificate",
];
/// Settings that are sent as they are, beside the secrets.
const SENT: [&str; 1] = ["aws_access_key_id"];

/// The secrets among the settings. They cannot be printed.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownSecrets(Arc<[SecretString]>);

impl KnownSecrets {
    /// Those among settings: names in lower case, and values.
    pub(super) fn among(settings: &[(String, String)]) -> Self {
        let secrets = settings
            .iter()
            .filter(|(name, _)| SECRETS.contains(&name.as_str()))
            .map(|(name, value)| match name.as_str() {
                SERVICE_ACCOUNT_KEY => private_key(value),
                _ => value.trim().to_owned(),
            })
            .filter(|secret| secret.len() >= MIN_SECRET_BYTES);
        Self(secrets.map(SecretString::from).collect())
    }

    /// A text without them, and without these others.
    pub(super) fn redact(&self, text: &str, others: &[String]) -> String {
        let known = self.0.iter().map(ExposeSecret::expose_secret);
        let secrets: Vec<&str> = known.chain(others.iter().map(String::as_str)).collect();
        redact(text, &secrets)
    }
}

/// The private key of a service account, without the lines that only say that it is one.
fn private_key(account: &str) -> String {
    let account: serde_json::Value = serde_json::from_str(account).unwrap_or_default();
    let key = account["private_key"].as_str().unwrap_or_default();
    let lines = key.lines().filter(|line| !line.starts_with("-----"));
    lines.collect()
}

/// A setting that cannot be meant. Its value is not repeated.
#[derive(Debug)]
pub(super) struct BadSetting {
    name: String,
    flaw: Flaw,
}

#[derive(Debug)]
enum Flaw {
    LineBreak,
    Control,
    NotAscii,
    NoAddress,
}

impl fmt::Display for BadSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flaw = match self.flaw {
            Flaw::LineBreak => "ends with a line break",
            Flaw::Control => "holds a line break or another control character",
            Flaw::NotAscii => "holds a character that is not ASCII",
            Flaw::NoAddress => "is not an http or https URL",
        };
        write!(f, "{} {flaw}", self.name.to_ascii_uppercase())
    }
}

impl BadSetting {
    /// What to do about it.
    pub(super) fn advice(&self) -> &'static str {
        match self.flaw {
            Flaw::LineBreak => "remove the line break at its end",
            Flaw::Control => "remove it, or set the variable again",
            Flaw::NotAscii => "set the variable again, as the store gave its value",
            Flaw::NoAddress => "set it to an address that begins with https://, or unset it",
        }
    }
}

/// Looks at each setting that is a `K`: names in lower case, and values.
///
/// # Errors
/// One of them cannot be sent, or is no address where it should be one.
pub(super) fn check<K: FromStr>(settings: &[(String, String)]) -> Result<(), BadSetting> {
    let known = settings
        .iter()
        .filter(|(name, _)| name.parse::<K>().is_ok());
    for (name, value) in known {
        if let Some(flaw) = flaw(name, value) {
            let name = name.clone();
            return Err(BadSetting { name, flaw });
        }
    }
    Ok(())
}

fn flaw(name: &str, value: &str) -> Option<Flaw> {
    if TEXTS.contains(&name) {
        return None;
    }
    if value.chars().any(char::is_control) {
        let is_at_end = !value
            .trim_end_matches(['\r', '\n'])
            .contains(char::is_control);
        return Some(if is_at_end {
            Flaw::LineBreak
        } else {
            Flaw::Control
        });
    }
    let is_sent = SECRETS.contains(&name) || SENT.contains(&name);
    if is_sent && !value.is_ascii() {
        return Some(Flaw::NotAscii);
    }
    (ADDRESSES.contains(&name) && !is_address(value)).then_some(Flaw::NoAddress)
}

fn is_address(value: &str) -> bool {
    Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use object_store::aws::AmazonS3ConfigKey;

    use super::*;

    fn given(name: &str, value: &str) -> [(String, String); 1] {
        [(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn every_secret_is_taken_out_of_a_text() {
        for name in SECRETS {
            let value = match name {
                SERVICE_ACCOUNT_KEY => {
                    r#"{"private_key":"-----BEGIN PRIVATE KEY-----\nSecr3tSecr3t\n"}"#
                }
                _ => "Secr3tSecr3t",
            };
            let known = KnownSecrets::among(&given(name, value));
            let clean = known.redact("not with <Secr3tSecr3t>", &[]);
            assert_eq!(clean, "not with <[secret]>", "{name}");
            assert!(!format!("{known:?}").contains("Secr3t"), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused_by_its_name() {
        for (name, value, said) in [
            (
                "aws_access_key_id",
                "hunter2\n",
                "AWS_ACCESS_KEY_ID ends with a line break",
            ),
            (
                "aws_session_token",
                "hun\u{1}ter2",
                "AWS_SESSION_TOKEN holds a line break or another control character",
            ),
            (
                "aws_session_token",
                "hünter2",
                "AWS_SESSION_TOKEN holds a character that is not ASCII",
            ),
            (
                "aws_endpoint",
                "::hunter2",
                "AWS_ENDPOINT is not an http or https URL",
            ),
            (
                "aws_endpoint_url",
                "hunter2:9000",
                "AWS_ENDPOINT_URL is not an http or https URL",
            ),
        ] {
            let refused = check::<AmazonS3ConfigKey>(&given(name, value)).unwrap_err();
            assert_eq!(refused.to_string(), said);
        }
        for (name, value) in [
            ("aws_endpoint", "http://127.0.0.1:9000/path"),
            ("aws_web_identity_token_file", "/srv/größe"),
            ("aws_proxy_ca_certificate", "-----BEGIN\nCERTIFICATE-----\n"),
            ("aws_pager", "more\n"),
        ] {
            assert!(
                check::<AmazonS3ConfigKey>(&given(name, value)).is_ok(),
                "{name}"
            );
        }
    }
}
