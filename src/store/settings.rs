//! What the settings of a store may hold: what cannot be sent is refused before a client is made of them
//! (the library stops the program there), and secrets are kept, to be taken out of a store's words.

use std::fmt;
use std::fs;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;
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
const ADDRESSES: [&str; 14] = [
    "aws_endpoint",
    "aws_endpoint_url",
    "aws_endpoint_url_s3",
    "aws_endpoint_url_sts",
    "aws_metadata_endpoint",
    CONTAINER_CREDENTIALS,
    "azure_authority_host",
    "azure_storage_authority_host",
    "azure_fabric_token_service_url",
    "azure_endpoint",
    "azure_storage_endpoint",
    "azure_identity_endpoint",
    "azure_msi_endpoint",
    "google_base_url",
];
/// Those of them that are asked only where no other credentials are given: empty they hurt nobody else.
const LAST_RESORTS: [&str; 4] = [
    CONTAINER_CREDENTIALS,
    "azure_authority_host",
    "azure_storage_authority_host",
    "azure_fabric_token_service_url",
];
/// An address that is asked as it is, query included: the library adds nothing to it.
const CONTAINER_CREDENTIALS: &str = "aws_container_credentials_full_uri";
/// A file whose text is sent as it is.
const CONTAINER_TOKEN_FILE: &str = "aws_container_authorization_token_file";
/// Settings that become a part of an address.
const PARTS: [&str; 7] = [
    "aws_region",
    "aws_default_region",
    "azure_storage_account_name",
    "azure_tenant_id",
    "azure_storage_tenant_id",
    "azure_authority_id",
    "azure_storage_authority_id",
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
    MoreThanAddress,
    NoPart,
    TokenFile,
}

impl fmt::Display for BadSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flaw = match self.flaw {
            Flaw::LineBreak => "ends with a line break",
            Flaw::Control => "holds a line break or another control character",
            Flaw::NotAscii => "holds a character that is not ASCII",
            Flaw::NoAddress => "is not an http or https URL",
            Flaw::MoreThanAddress => "holds a name, a password or a query",
            Flaw::NoPart => "holds a blank or another character that no address has",
            Flaw::TokenFile => {
                "names a file that holds a line break or another character that cannot be sent"
            }
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
            Flaw::NoAddress => {
                "set it to an address that begins with https://, without blanks, or unset it"
            }
            Flaw::MoreThanAddress => {
                "set it to the address alone; credentials have variables of their own"
            }
            Flaw::NoPart => "set the variable again, without blanks",
            Flaw::TokenFile => {
                "write the token alone into the file, without a line break at its end"
            }
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
    if PARTS.contains(&name) {
        return (!is_part(value)).then_some(Flaw::NoPart);
    }
    if name == CONTAINER_TOKEN_FILE {
        return (!can_be_sent(value)).then_some(Flaw::TokenFile);
    }
    if !ADDRESSES.contains(&name) || value.is_empty() && LAST_RESORTS.contains(&name) {
        return None;
    }
    let Some(uri) = address(value) else {
        return Some(Flaw::NoAddress);
    };
    let has_name = uri.authority().is_some_and(|at| at.as_str().contains('@'));
    let has_query = uri.query().is_some() && name != CONTAINER_CREDENTIALS;
    (has_name || has_query).then_some(Flaw::MoreThanAddress)
}

/// An address as the library sends it: a `Url` alone would be read with blanks around it, and without slashes.
fn address(value: &str) -> Option<Uri> {
    let uri: Uri = value.parse().ok()?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    (is_web && Url::parse(value).is_ok_and(|url| url.has_host())).then_some(uri)
}

fn is_part(value: &str) -> bool {
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    value.bytes().all(is_one)
}

/// Whether a file that is there holds what a header may. One that is not, or is a pipe, is for the library.
fn can_be_sent(path: &str) -> bool {
    if !fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return true;
    }
    let bytes = fs::read(path).unwrap_or_default();
    let is_one = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    bytes.iter().all(is_one)
}

#[cfg(test)]
mod tests {
    use object_store::aws::AmazonS3ConfigKey;
    use object_store::azure::AzureConfigKey;

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
            (
                "aws_endpoint",
                "http://127.0.0.1:1 ",
                "AWS_ENDPOINT is not an http or https URL",
            ),
            (
                "aws_endpoint",
                "http:127.0.0.1:1",
                "AWS_ENDPOINT is not an http or https URL",
            ),
            (
                "aws_endpoint",
                "https://jane:hunter2@127.0.0.1:1",
                "AWS_ENDPOINT holds a name, a password or a query",
            ),
            (
                "aws_endpoint",
                "https://127.0.0.1:1/?x=hunter2",
                "AWS_ENDPOINT holds a name, a password or a query",
            ),
            (
                "aws_metadata_endpoint",
                "http://127.0.0.1:1 ",
                "AWS_METADATA_ENDPOINT is not an http or https URL",
            ),
            (
                "aws_container_credentials_full_uri",
                " http://127.0.0.1:1",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI is not an http or https URL",
            ),
            (
                "aws_region",
                "eu west",
                "AWS_REGION holds a blank or another character that no address has",
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
            ("aws_region", "eu-west-1"),
            (
                "aws_container_credentials_full_uri",
                "http://127.0.0.1:1/get?role=x",
            ),
            ("aws_container_credentials_full_uri", ""),
            ("aws_container_authorization_token_file", "/not/there"),
        ] {
            assert!(
                check::<AmazonS3ConfigKey>(&given(name, value)).is_ok(),
                "{name}"
            );
        }
    }

    #[test]
    fn what_azure_is_asked_by_is_refused_with_a_blank() {
        for (name, value) in [
            ("azure_tenant_id", "t "),
            ("azure_authority_host", "https://login.contoso.test "),
            ("azure_msi_endpoint", " http://127.0.0.1:1"),
        ] {
            let refused = check::<AzureConfigKey>(&given(name, value)).unwrap_err();
            let said = refused.to_string();
            assert!(said.starts_with(&name.to_ascii_uppercase()), "{said}");
        }
    }

    #[test]
    fn a_file_whose_token_cannot_be_sent_is_refused_by_its_variable() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let setting = given(CONTAINER_TOKEN_FILE, file.path().to_str().unwrap());
        fs::write(file.path(), "hunter2").unwrap();
        assert!(check::<AmazonS3ConfigKey>(&setting).is_ok());
        fs::write(file.path(), "hunter2\n").unwrap();
        let refused = check::<AmazonS3ConfigKey>(&setting).unwrap_err();
        let said = refused.to_string();
        assert!(said.starts_with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names a file"));
    }
}
