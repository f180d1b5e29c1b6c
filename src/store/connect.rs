//! From a location and the environment to the store of a lake in object storage.
//!
//! Settings go by `object_store`'s own names (`AWS_*`, `AZURE_*`, `GOOGLE_*`), which this is the
//! only place to read.

use std::str::FromStr;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::ClientConfigKey;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::prefix::PrefixStore;

use super::StoreErrorKind;
use super::client::is_true;
use super::error::{BadSettings, find};
use super::location::{Provider, RemoteLocation};
use super::remote::RemoteUploads;
use super::settings::{self, KnownSecrets};
use super::steady::{Patience, Steady};
use super::transport::{Bounds, Connector, retry};
use super::unfinished::{S3Unfinished, Unfinished};
use super::{Store, StoreError};
use crate::https::NoAuthorities;
use crate::text::plain::chain;

/// What the names of settings begin with, in the environment.
const PREFIXES: [&str; 4] = ["aws_", "azure_", "google_", "mdca_"];

/// Where settings come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Settings<'s> {
    /// The process's environment.
    Environment,
    /// These alone: lower-case names of variables, and values.
    Given(&'s [(String, String)]),
}

impl Settings<'_> {
    /// All of them, and the secrets for the service: lower-case names, and values.
    fn all(self) -> Vec<(String, String)> {
        match self {
            Self::Environment => {
                #[expect(clippy::disallowed_methods, reason = "settings are read here")]
                let all = std::env::vars_os();
                let all = all.filter_map(|(name, value)| {
                    let name = name.to_str()?.to_ascii_lowercase();
                    let is_known = PREFIXES.iter().any(|prefix| name.starts_with(prefix));
                    is_known.then_some((name, value.into_string().ok()?))
                });
                all.collect()
            }
            Self::Given(given) => given.to_vec(),
        }
    }
}

/// Makes the store of a lake. Nothing is sent.
///
/// # Errors
/// The settings do not make a client.
pub(super) fn connect(
    location: &RemoteLocation,
    settings: Settings<'_>,
) -> Result<Store, StoreError> {
    let given = settings.all();
    let known = KnownSecrets::among(&given);
    let old_way = given.iter().find(|(name, _)| name == "aws_imdsv1_fallback");
    let connector = Connector::new(location.provider, Bounds::RUN, known.clone())
        .asking_the_old_way(old_way.is_some_and(|(_, value)| value != "false"));
    let checked = match location.provider {
        Provider::S3 => settings::check::<AmazonS3ConfigKey>(&given),
        Provider::Azure => settings::check::<AzureConfigKey>(&given),
        Provider::Google => settings::check::<GoogleConfigKey>(&given),
    };
    checked.map_err(|bad| {
        let settings = BadSettings {
            provider: location.provider,
            kind: StoreErrorKind::Settings,
            reason: bad.to_string(),
            advice: Some(bad.advice()),
        };
        StoreError::new("open the lake", location.shown.clone(), settings)
    })?;
    let made = match location.provider {
        Provider::S3 => s3(location, settings, &connector),
        Provider::Azure => azure(location, settings, &connector),
        Provider::Google => google(location, settings, &connector),
    };
    let (objects, unfinished) = made.map_err(|Unmade { kind, reason }| {
        let provider = location.provider;
        let settings = BadSettings {
            provider,
            kind,
            reason: known.redact(&reason, &[]),
            advice: None,
        };
        StoreError::new("open the lake", location.shown.clone(), settings)
    })?;
    let objects: Arc<dyn ObjectStore> = Arc::new(Steady::new(objects, Patience::RUN));
    let objects: Arc<dyn ObjectStore> = if location.prefix.as_ref().is_empty() {
        objects
    } else {
        Arc::new(PrefixStore::new(objects, location.prefix.clone()))
    };
    let uploads = RemoteUploads::new(Arc::clone(&objects), location.shown.clone())
        .with_odd_keys(connector.odd_keys(), location.prefix.clone());
    let uploads = match unfinished {
        Some(unfinished) => uploads.with_unfinished(unfinished),
        None => uploads,
    };
    let store = Store::new(objects, Arc::new(uploads), location.shown.clone());
    Ok(store.with_circuit_breaker(connector.circuit_breaker()))
}

/// Why settings do not make a client.
struct Unmade {
    kind: StoreErrorKind,
    reason: String,
}

type Made = (Arc<dyn ObjectStore>, Option<Arc<dyn Unfinished>>);

fn s3(
    location: &RemoteLocation,
    settings: Settings<'_>,
    connector: &Connector,
) -> Result<Made, Unmade> {
    let builder = match settings {
        Settings::Environment => AmazonS3Builder::from_env(),
        Settings::Given(given) => {
            apply(given, AmazonS3Builder::new(), AmazonS3Builder::with_config)?
        }
    };
    let builder = builder
        .with_url(&location.bucket)
        .with_retry(retry())
        // What goes wrong with one object of a removal in bulk stands inside an answer that says 200,
        // and is never tried again. Ceph fails so where two runs clear up one slice at once.
        .with_disable_bulk_delete(true);
    let allow_http = AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp);
    let endpoint = builder
        .get_config_value(&AmazonS3ConfigKey::S3Endpoint)
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint));
    check_plain_http(
        endpoint.as_deref(),
        builder.get_config_value(&allow_http).as_deref(),
    )?;
    let invalid = AmazonS3ConfigKey::Client(ClientConfigKey::AllowInvalidCertificates);
    warn_of_invalid_certificates(builder.get_config_value(&invalid).as_deref(), "AWS");
    let s3 = builder
        .with_http_connector(connector.clone())
        .build()
        .map_err(reason)?;
    let unfinished = connector.client().map(|client| {
        let unfinished = S3Unfinished::new(s3.clone(), client, location.prefix.clone());
        Arc::new(unfinished) as Arc<dyn Unfinished>
    });
    Ok((Arc::new(s3), unfinished))
}

fn azure(
    location: &RemoteLocation,
    settings: Settings<'_>,
    connector: &Connector,
) -> Result<Made, Unmade> {
    let builder = match settings {
        Settings::Environment => MicrosoftAzureBuilder::from_env(),
        Settings::Given(given) => apply(
            given,
            MicrosoftAzureBuilder::new(),
            MicrosoftAzureBuilder::with_config,
        )?,
    };
    let builder = builder.with_url(&location.bucket).with_retry(retry());
    check_plain_http(
        builder
            .get_config_value(&AzureConfigKey::Endpoint)
            .as_deref(),
        builder
            .get_config_value(&AzureConfigKey::Client(ClientConfigKey::AllowHttp))
            .as_deref(),
    )?;
    let invalid = AzureConfigKey::Client(ClientConfigKey::AllowInvalidCertificates);
    warn_of_invalid_certificates(builder.get_config_value(&invalid).as_deref(), "AZURE");
    let azure = builder
        .with_http_connector(connector.clone())
        .build()
        .map_err(reason)?;
    // Blocks that were never made a blob expire after a week by themselves.
    Ok((Arc::new(azure), None))
}

fn google(
    location: &RemoteLocation,
    settings: Settings<'_>,
    connector: &Connector,
) -> Result<Made, Unmade> {
    let builder = match settings {
        Settings::Environment => GoogleCloudStorageBuilder::from_env(),
        Settings::Given(given) => apply(
            given,
            GoogleCloudStorageBuilder::new(),
            |builder, key: GoogleConfigKey, value| builder.with_config(key, value),
        )?,
    };
    let invalid = GoogleConfigKey::Client(ClientConfigKey::AllowInvalidCertificates);
    warn_of_invalid_certificates(builder.get_config_value(&invalid).as_deref(), "GOOGLE");
    let google = builder
        .with_url(&location.bucket)
        .with_retry(retry())
        .with_http_connector(connector.clone())
        .build()
        .map_err(reason)?;
    tracing::info!(
        "lakes in Google Cloud Storage are experimental: unfinished uploads are not swept, so have a lifecycle rule of the bucket remove them"
    );
    Ok((Arc::new(google), None))
}

/// Sets each of the given settings.
fn apply<B, K: FromStr>(
    given: &[(String, String)],
    builder: B,
    set: impl Fn(B, K, String) -> B,
) -> Result<B, Unmade> {
    given.iter().try_fold(builder, |builder, (name, value)| {
        let key: K = name.parse().map_err(|_| Unmade {
            kind: StoreErrorKind::Settings,
            reason: format!("the setting '{name}' is not known"),
        })?;
        Ok(set(builder, key, value.clone()))
    })
}

/// Refuses at once what every request would be refused for, after all its retries.
fn check_plain_http(endpoint: Option<&str>, allowed: Option<&str>) -> Result<(), Unmade> {
    let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    if is_plain && !allowed.is_some_and(is_true) {
        return Err(Unmade {
            kind: StoreErrorKind::PlainHttp,
            reason: "the endpoint is plain http".to_owned(),
        });
    }
    Ok(())
}

/// Says on every run that anybody may pose as the store.
fn warn_of_invalid_certificates(allowed: Option<&str>, variables: &str) {
    if allowed.is_some_and(is_true) {
        tracing::warn!(
            "{variables}_ALLOW_INVALID_CERTIFICATES is set: anyone between this machine and the store can read and change what is sent, credentials included"
        );
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is given to map_err, as a name"
)]
fn reason(error: object_store::Error) -> Unmade {
    let reason = chain(&error);
    // The library's kinds are its own; its words for what is missing are these.
    let is_missing = ["Missing", "must be specified", "redential"]
        .iter()
        .any(|word| reason.contains(word));
    let kind = if find::<NoAuthorities>(&error).is_some() {
        StoreErrorKind::Untrusted
    } else if is_missing {
        StoreErrorKind::Credentials
    } else {
        StoreErrorKind::Settings
    };
    Unmade { kind, reason }
}

#[cfg(test)]
mod tests {
    use super::super::StoreErrorKind;
    use super::*;

    fn open(location: &str, settings: &[(&str, &str)]) -> Result<Store, StoreError> {
        let settings: Vec<(String, String)> = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Store::open_with(location, &settings)
    }

    #[test]
    fn settings_that_make_no_client_are_refused_before_anything_is_sent() {
        let half = open("s3://b/l", &[("aws_access_key_id", "hunter2")]).unwrap_err();
        assert_eq!(half.kind(), StoreErrorKind::Credentials);
        assert!(half.advice().contains("AWS_SECRET_ACCESS_KEY"));
        assert!(!format!("{half:?}").contains("hunter2"));

        let no_account = open("az://c/l", &[]).unwrap_err();
        assert_eq!(no_account.kind(), StoreErrorKind::Credentials);
        assert!(no_account.advice().contains("AZURE_STORAGE_ACCOUNT_NAME"));

        let plain = [
            ("aws_endpoint", "http://127.0.0.1:1"),
            ("aws_access_key_id", "a"),
            ("aws_secret_access_key", "s"),
        ];
        let refused = open("s3://b/l", &plain).unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::PlainHttp);
        assert!(refused.advice().contains("AWS_ALLOW_HTTP=true"));

        let broken = [plain[0], plain[1], plain[2], ("aws_allow_http", "perhaps")];
        let refused = open("s3://b/l", &broken).unwrap_err();
        assert!(
            !refused.advice().contains("AWS_ACCESS_KEY_ID"),
            "{refused:?}"
        );
    }
}
