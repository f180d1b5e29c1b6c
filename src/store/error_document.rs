//! What a store says when it refuses, in its own code and words.
//!
//! The bodies of refusals are not passed on: AWS repeats the whole canonical request in some of
//! them, session token included.

use std::time::Duration;

use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use url::Url;

use super::error_kind::StoreErrorKind;
use super::location::Provider;
use super::sent::SentSecrets;

/// The most of a store's words that a message repeats, in characters.
const MAX_WORDS: usize = 200;
/// The code of an answer that sends elsewhere and names no code of its own.
const REDIRECT: &str = "Redirect";

/// A store answered that it will not.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{provider} refused: HTTP {}, {code}{}", .status.as_u16(), with_comma(.words))]
pub(super) struct Refusal {
    pub(super) provider: Provider,
    pub(super) status: StatusCode,
    pub(super) code: String,
    pub(super) words: String,
}

/// The store has not answered for so long that the run gives up.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the store has not answered properly for {} s; the last answer: {last}", .silent.as_secs())]
pub(super) struct GaveUp {
    pub(super) silent: Duration,
    /// The last failure, without a URL.
    pub(super) last: String,
}

/// Neither the environment nor the machine has credentials.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no credentials for {provider} in the environment or from instance metadata")]
pub(super) struct NoCredentials {
    pub(super) provider: Provider,
}

fn with_comma(words: &str) -> String {
    if words.is_empty() {
        String::new()
    } else {
        format!(", {words}")
    }
}

/// The members of an error document that are read. S3, Azure and Google agree on these two.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorDocument {
    code: Option<String>,
    #[serde(default)]
    message: String,
    /// STS puts the error one level deeper.
    error: Option<Box<ErrorDocument>>,
    /// Azure says here that the clock is wrong.
    #[serde(default)]
    authentication_error_detail: String,
}

impl Refusal {
    /// Reads an answer's body; `None` if it is not an error document. What the request carried is taken
    /// out of the words.
    pub(super) fn read(
        provider: Provider,
        status: StatusCode,
        body: &[u8],
        sent: &SentSecrets,
    ) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let text = text.trim_start_matches('\u{feff}');
        let document: ErrorDocument = quick_xml::de::from_str(text).ok()?;
        let document = match document.error {
            Some(inner) => *inner,
            None => document,
        };
        let mut code = document.code?;
        if document.authentication_error_detail.contains("too old")
            || document
                .authentication_error_detail
                .contains("Request date header")
        {
            "RequestTimeTooSkewed".clone_into(&mut code);
        }
        let words = document.message.trim().lines().next().unwrap_or_default();
        let shown = |text: &str| sent.redact(text.trim()).chars().take(MAX_WORDS).collect();
        Some(Self {
            provider,
            status,
            code: shown(&code),
            words: shown(words),
        })
    }

    /// An answer without an error document; its body is not shown, it may be anybody's.
    pub(super) fn bare(provider: Provider, status: StatusCode) -> Self {
        Self {
            provider,
            status,
            code: status.canonical_reason().unwrap_or("unknown").to_owned(),
            words: String::new(),
        }
    }

    /// An answer that sends the request elsewhere. Credentials do not follow.
    pub(super) fn redirect(
        provider: Provider,
        status: StatusCode,
        headers: &HeaderMap,
        read: Option<Self>,
        sent: &SentSecrets,
    ) -> Self {
        let header = |name: &str| headers.get(name)?.to_str().ok();
        let to = header(LOCATION.as_str()).and_then(|to| Url::parse(to).ok());
        let host = to.as_ref().and_then(Url::host_str);
        let region = header("x-amz-bucket-region").filter(|_| provider == Provider::S3);
        let mut words = Vec::new();
        words.extend(host.map(|host| format!("it redirects to {host}")));
        words.extend(region.map(|region| format!("the bucket is in the region {region}")));
        let (mut code, said) = read.map_or((REDIRECT.to_owned(), String::new()), |read| {
            (read.code, read.words)
        });
        if region.is_some() {
            "PermanentRedirect".clone_into(&mut code);
        }
        let words = if words.is_empty() {
            said
        } else {
            words.join(", ")
        };
        Self {
            provider,
            status,
            code,
            words: sent.redact(&words).chars().take(MAX_WORDS).collect(),
        }
    }

    /// Whether another try may end otherwise, whatever the status says: S3 waited in vain for the rest
    /// of a body, or two conditional requests met.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self.code.as_str(),
            "RequestTimeout" | "ConditionalRequestConflict" | "OperationAborted"
        )
    }

    /// What the operator can act on.
    pub(super) fn kind(&self) -> StoreErrorKind {
        match self.code.as_str() {
            "NoSuchBucket"
            | "InvalidBucketName"
            | "ContainerNotFound"
            | "FilesystemNotFound"
            | "InvalidResourceName"
            | "ContainerBeingDeleted" => StoreErrorKind::Bucket,
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException" => StoreErrorKind::Region,
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "InvalidSecurity"
            | "MissingSecurityHeader"
            | "AuthenticationFailed"
            | "InvalidAuthenticationInfo"
            | "NoAuthenticationInformation"
            | "AuthenticationRequired"
            | "InvalidIdentityToken"
            | "InvalidClientTokenId"
            | "ExpiredTokenException"
            | "UnauthenticatedAccess" => StoreErrorKind::Credentials,
            "RequestTimeTooSkewed" | "RequestExpired" => StoreErrorKind::Clock,
            "QuotaExceeded"
            | "XMinioStorageFull"
            | "InsufficientCapacity"
            | "StorageQuotaExceeded"
            | "EntityTooLarge" => StoreErrorKind::Full,
            "InvalidObjectState" | "BlobArchived" | "BlobBeingRehydrated" => {
                StoreErrorKind::Archived
            }
            // A policy of the container, a legal hold, a lease: nobody may change what is there.
            "BlobImmutableDueToPolicy"
            | "BlobImmutableDueToLegalHold"
            | "ContainerImmutableDueToPolicy"
            | "BlobModifiedWhileImmutable"
            | "LeaseIdMissing"
            | "retentionPolicyNotMet"
            | "ObjectLocked"
            | "InvalidRetentionPeriod" => StoreErrorKind::Immutable,
            _ => match self.status {
                status if status.is_redirection() => StoreErrorKind::Redirected,
                StatusCode::NOT_IMPLEMENTED => StoreErrorKind::CreateOnly,
                StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => StoreErrorKind::Denied,
                StatusCode::UNAUTHORIZED => StoreErrorKind::Credentials,
                StatusCode::PROXY_AUTHENTICATION_REQUIRED => StoreErrorKind::Proxy,
                StatusCode::INSUFFICIENT_STORAGE => StoreErrorKind::Full,
                // An upload that the winner of its slice has swept, for one.
                StatusCode::NOT_FOUND => StoreErrorKind::Missing,
                _ => StoreErrorKind::Other,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::client::{HttpRequest, HttpRequestBody};

    use super::super::StoreError;
    use super::super::settings::KnownSecrets;
    use super::*;
    use crate::https::CHECK_PROXY;

    fn read(provider: Provider, body: &[u8]) -> Option<Refusal> {
        let request = HttpRequest::new(HttpRequestBody::empty());
        let sent = SentSecrets::of(&request, &KnownSecrets::default());
        Refusal::read(provider, StatusCode::FORBIDDEN, body, &sent)
    }

    #[test]
    fn codes_are_read_and_nothing_but_the_first_words_is_repeated() {
        let body = br#"<?xml version="1.0" encoding="UTF-8"?>
            <Error><Code>SignatureDoesNotMatch</Code><Message>It does not match.
            hunter2</Message><StringToSign>hunter2</StringToSign><CanonicalRequest>x-amz-security-token:hunter2</CanonicalRequest></Error>"#;
        let refusal = read(Provider::S3, body).unwrap();
        assert_eq!(refusal.kind(), StoreErrorKind::Credentials);
        assert_eq!(
            refusal.to_string(),
            "S3 refused: HTTP 403, SignatureDoesNotMatch, It does not match."
        );
        assert!(!format!("{refusal:?}").contains("hunter2"));
    }

    #[test]
    fn what_lies_in_an_archive_tier_is_a_kind_of_its_own() {
        for (provider, code) in [
            (Provider::S3, "InvalidObjectState"),
            (Provider::Azure, "BlobArchived"),
            (Provider::Azure, "BlobBeingRehydrated"),
        ] {
            let body = format!("<Error><Code>{code}</Code><Message>No.</Message></Error>");
            let refusal = read(provider, body.as_bytes()).unwrap();
            assert_eq!(refusal.kind(), StoreErrorKind::Archived);
        }
    }

    #[test]
    fn azure_says_what_is_wrong_with_the_clock_in_a_place_of_its_own() {
        let body = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>AuthenticationFailed</Code><Message>Server failed.\nRequestId:1</Message><AuthenticationErrorDetail>Request date header too old: 'x'</AuthenticationErrorDetail></Error>";
        let refusal = read(Provider::Azure, body.as_bytes());
        assert_eq!(refusal.unwrap().kind(), StoreErrorKind::Clock);
    }

    #[test]
    fn a_proxy_that_wants_a_password_is_a_kind_of_its_own() {
        let status = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        let refusal = Refusal::bare(Provider::S3, status);
        let error = StoreError::new("read", "s3://b/l".to_owned(), refusal);
        assert_eq!(error.advice(), CHECK_PROXY);
    }

    #[test]
    fn what_is_not_an_error_document_is_left_alone() {
        for body in ["", "<html>403</html>", "{\"error\":1}", "<Error/>"] {
            let read = read(Provider::S3, body.as_bytes());
            assert!(read.is_none(), "{body}");
        }
    }
}
