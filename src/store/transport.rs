//! The one way that requests to object storage take: how long they may take, which are sent again,
//! and what of an answer is passed on.
//!
//! `object_store` retries each operation by itself. What it cannot know of the others, [`Health`] knows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::{Method, StatusCode, Uri};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use tracing::warn;

use super::health::Health;
use super::location::Provider;
use super::refusal::{NoCredentials, Refusal};
use crate::error::chain;

/// A request has this long from its first byte to the head of its answer, a body this long between
/// two pieces: a part of 8 MiB goes out in it at 3.4 Mbit/s.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// The shortest pause between two tries; pauses are drawn at random from this one up.
const MIN_PAUSE: Duration = Duration::from_millis(200);
/// Retries of one operation by count: more than fit into [`RETRY_WITHIN`] if every pause is the
/// shortest, so that a store that restarts before it is given up is waited for.
const MAX_RETRIES: usize = 250;
/// The same by time. Longer than a store is given, which says more of what happened: this is met only
/// where other operations get good answers meanwhile.
const RETRY_WITHIN: Duration = Duration::from_secs(45);
/// How often a metadata service is asked for credentials that it may not have.
const METADATA_TRIES: u64 = 3;
/// The most of an answer's body that is kept to find out why.
const MAX_BODY_CHARS: usize = 300;

/// How often and how long one operation is tried.
pub(super) fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: MIN_PAUSE,
            max_backoff: Duration::from_secs(4),
            base: 2.0,
        },
        max_retries: MAX_RETRIES,
        retry_timeout: RETRY_WITHIN,
    }
}

/// Makes clients that all report to one [`Health`].
#[derive(Debug, Clone)]
pub(super) struct Connector {
    provider: Provider,
    health: Arc<Health>,
    /// The client made last: that of the store itself, after those for its credentials.
    last: Arc<Mutex<Option<HttpClient>>>,
}

impl Connector {
    pub(super) fn new(provider: Provider) -> Self {
        Self {
            provider,
            health: Arc::default(),
            last: Arc::default(),
        }
    }

    /// How the store answers its clients.
    pub(super) fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// The client of the store, once it is built.
    pub(super) fn client(&self) -> Option<HttpClient> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // A bound on the whole of an answer would cut the reading of large files.
        let options = options
            .clone()
            .with_timeout_disabled()
            .with_read_timeout(ANSWER_WITHIN);
        let client = HttpClient::new(Transport {
            inner: ReqwestConnector::default().connect(&options)?,
            provider: self.provider,
            health: Arc::clone(&self.health),
        });
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }
}

#[derive(Debug)]
struct Transport {
    inner: HttpClient,
    provider: Provider,
    health: Arc<Health>,
}

impl Transport {
    fn failed(&self, answered: Option<&str>, began: Instant, what: &dyn std::fmt::Display) {
        let what = what.to_string();
        if self
            .health
            .failed(answered, began, Instant::now(), what.clone())
        {
            warn!(%what, "the store does not answer as it should");
        }
    }

    /// An error that `object_store` does not retry, and that [`super::StoreError`] finds again.
    fn refuse(error: impl std::error::Error + Send + Sync + 'static) -> HttpError {
        HttpError::new(HttpErrorKind::Unknown, error)
    }

    async fn ask_metadata(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.inner.execute(request).await;
        // With 401 some services ask for another request, and S3's say with 403 to ask another way.
        let has_none = answer.as_ref().is_ok_and(|answer| match answer.status() {
            StatusCode::NOT_FOUND => true,
            StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => self.provider != Provider::S3,
            _ => false,
        });
        if has_none {
            return Err(Self::refuse(NoCredentials {
                provider: self.provider,
            }));
        }
        if answer.is_err() && self.health.metadata_failed() >= METADATA_TRIES {
            return Err(Self::refuse(NoCredentials {
                provider: self.provider,
            }));
        }
        answer
    }

    /// Counts a request whose answer got lost, and has `object_store` send it again. By itself it does
    /// so only where it knows that twice is no more than once. Here that is so of all: who creates
    /// reads back what is there, and what is removed already is no failure.
    fn to_be_sent_again(&self, error: HttpError) -> HttpError {
        let kind = error.kind();
        // The words are those under which the scan protocol counts.
        let cause = match kind {
            HttpErrorKind::Timeout => "timeout",
            HttpErrorKind::Connect => "connect",
            HttpErrorKind::Request | HttpErrorKind::Interrupted => "cut",
            _ => return error,
        };
        self.health.sent_again(cause.to_owned());
        match kind {
            HttpErrorKind::Timeout | HttpErrorKind::Interrupted => {
                HttpError::new(HttpErrorKind::Request, error)
            }
            _ => error,
        }
    }

    /// Sends a request. The answer is whole if `object_store` would not ask again for what is missing:
    /// that of a listing and of a POST. Objects it reads on from where an answer ended.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_read_here = request.method() == Method::POST || is_listing(&request);
        let response = self.inner.execute(request).await?;
        if !is_read_here {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = body.bytes().await?;
        Ok(HttpResponse::from_parts(parts, body.into()))
    }

    /// Reads why an answer is no success, and passes on what `object_store` knows to handle.
    async fn look_into(&self, response: HttpResponse) -> Result<HttpResponse, HttpError> {
        let (mut parts, body) = response.into_parts();
        let status = parts.status;
        let body = body.bytes().await.unwrap_or_default();
        if let Some(refusal) = Refusal::read(self.provider, status, &body) {
            // A key that is missing is an answer like any other.
            let is_missing_key =
                status == StatusCode::NOT_FOUND && refusal.kind() != super::StoreErrorKind::Bucket;
            if !is_missing_key {
                return Err(Self::refuse(refusal));
            }
        } else if status != StatusCode::NOT_FOUND && !status.is_client_error() {
            return Err(Self::refuse(Refusal {
                provider: self.provider,
                status,
                code: status.canonical_reason().unwrap_or("unknown").to_owned(),
                words: String::new(),
            }));
        }
        parts.headers.remove(http::header::CONTENT_LENGTH);
        let text = String::from_utf8_lossy(&body);
        let short: String = text.chars().take(MAX_BODY_CHARS).collect();
        Ok(HttpResponse::from_parts(parts, short.into()))
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if is_metadata_service(request.uri()) {
            return self.ask_metadata(request).await;
        }
        let began = Instant::now();
        let name = format!("{} {}", request.method(), request.uri());
        self.health.admit(&name, began).map_err(Self::refuse)?;
        let without_body = request.method() == Method::HEAD;
        let response = match self.send(request).await {
            Ok(response) => response,
            Err(error) => {
                self.failed(None, began, &chain(&error));
                return Err(self.to_be_sent_again(error));
            }
        };
        let status = response.status();
        if is_trouble(status) {
            self.failed(Some(&name), began, &status);
            self.health.sent_again(format!("http_{}", status.as_u16()));
            return Ok(response);
        }
        self.health.answered();
        if status.is_success() || is_part_of_the_protocol(status) || without_body {
            return Ok(response);
        }
        self.look_into(response).await
    }
}

/// Whether a request lists objects, in the words of S3 and Google, and of Azure.
fn is_listing(request: &HttpRequest) -> bool {
    asks_for(request, "list-type=2") || asks_for(request, "comp=list")
}

/// Whether a request has this in its query.
fn asks_for(request: &HttpRequest, what: &str) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|pair| pair == what)
}

/// Answers that another try may change.
fn is_trouble(status: StatusCode) -> bool {
    status.is_server_error()
        && status != StatusCode::NOT_IMPLEMENTED
        && status != StatusCode::INSUFFICIENT_STORAGE
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
}

/// Answers to conditions and ranges.
fn is_part_of_the_protocol(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_MODIFIED
            | StatusCode::CONFLICT
            | StatusCode::PRECONDITION_FAILED
            | StatusCode::RANGE_NOT_SATISFIABLE
    )
}

/// The addresses where clouds hand out credentials to their machines.
fn is_metadata_service(uri: &Uri) -> bool {
    matches!(
        uri.host(),
        Some(
            "169.254.169.254"
                | "169.254.170.2"
                | "169.254.170.23"
                | "metadata.google.internal"
                | "metadata"
        )
    )
}

#[cfg(test)]
mod tests {
    use super::super::health::GIVE_UP_AFTER;
    use super::*;

    /// With sixty retries a run of short pauses was over before the store was given up, and the
    /// error did not say what to do.
    #[test]
    fn short_pauses_do_not_use_up_the_retries_before_the_time() {
        let RetryConfig {
            backoff,
            max_retries,
            retry_timeout,
        } = retry();
        let shortest = backoff.init_backoff * u32::try_from(max_retries).unwrap();
        assert!(shortest > retry_timeout && retry_timeout > GIVE_UP_AFTER);
    }
}
