//! The one way that requests to object storage take: how long they may take, which are sent again,
//! and what of an answer is passed on.
//!
//! `object_store` retries each operation by itself. What it cannot know of the others, [`CircuitBreaker`] knows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt;
use http::{Method, StatusCode, Uri};
use http_body_util::BodyExt;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use parking_lot::Mutex;
use tracing::warn;

use super::StoreErrorKind;
use super::circuit_breaker::{Admission, CircuitBreaker};
use super::client::{client, is_metadata_service};
use super::error_document::{NoCredentials, Refusal};
use super::listing::{self, NoListing};
use super::location::Provider;
use super::odd_keys::OddKeys;
use super::sent::SentSecrets;
use super::settings::KnownSecrets;
use crate::https::{distrust, is_of_proxy};
use crate::text::plain::chain;
use crate::text::redact::redact;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// From the request to the head of its answer, and between two pieces of its body. A request with a
    /// body may take longer as long as the store answers others: the link may be slow.
    pub(super) answer_within: Duration,
    /// The same for a look at whether the store is there at all.
    pub(super) look_within: Duration,
    /// The slowest link on which bodies go out, in bytes a second, over all that goes out at once.
    pub(super) slowest_bytes_per_s: u64,
}

impl Bounds {
    /// Those of a run: 8 MiB may take nine minutes, as they do for four uploads at once that share 0.5
    /// Mbit/s.
    pub(super) const RUN: Self = Self {
        answer_within: Duration::from_secs(20),
        look_within: Duration::from_secs(6),
        slowest_bytes_per_s: 16 * 1024,
    };

    /// How long a request with a body may take, to the head of its answer.
    fn upload_within(&self, body_bytes: usize) -> Duration {
        let body_ms = body_bytes as u64 * 1000 / self.slowest_bytes_per_s.max(1);
        self.answer_within + Duration::from_millis(body_ms)
    }
}

/// The shortest pause between two tries; pauses are drawn at random from this one up.
const MIN_PAUSE: Duration = Duration::from_millis(200);
/// Retries of one operation by count: more than fit into [`RETRY_WITHIN`] if every pause is the
/// shortest, so that a store that restarts before it is given up is waited for.
const MAX_RETRIES: usize = 1_250;
/// The same by time. Far longer than a store is given that answers nothing: this is met only where
/// other operations get good answers meanwhile, and a part on a slow link must have a second try. Shorter
/// than a signature is good for.
const RETRY_WITHIN: Duration = Duration::from_secs(240);
/// How often a metadata service is asked for credentials that it may not have.
const METADATA_TRIES: u64 = 3;
/// A body that a slow link takes no longer for than a store may take to answer.
const SMALL_BODY_BYTES: usize = 256 * 1024;
/// The most of an error's body that is read to find out why.
const MAX_ERROR_BYTES: usize = 64 * 1024;

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

/// Makes clients that all report to one [`CircuitBreaker`].
#[derive(Debug, Clone)]
pub(super) struct Connector {
    provider: Provider,
    bounds: Bounds,
    known: KnownSecrets,
    asks_the_old_way: bool,
    circuit_breaker: Arc<CircuitBreaker>,
    odd_keys: OddKeys,
    /// The client made last: that of the store itself, after those for its credentials.
    last: Arc<Mutex<Option<HttpClient>>>,
}

impl Connector {
    pub(super) fn new(provider: Provider, bounds: Bounds, known: KnownSecrets) -> Self {
        Self {
            provider,
            bounds,
            known,
            asks_the_old_way: false,
            circuit_breaker: Arc::default(),
            odd_keys: OddKeys::default(),
            last: Arc::default(),
        }
    }

    /// The same, which asks S3's metadata service without a token where it gives none (`AWS_IMDSV1_FALLBACK`).
    pub(super) fn asking_the_old_way(self, asks_the_old_way: bool) -> Self {
        Self {
            asks_the_old_way,
            ..self
        }
    }

    /// The keys that were taken out of listings.
    pub(super) fn odd_keys(&self) -> OddKeys {
        self.odd_keys.clone()
    }

    /// How the store answers its clients.
    pub(super) fn circuit_breaker(&self) -> Arc<CircuitBreaker> {
        Arc::clone(&self.circuit_breaker)
    }

    /// The client of the store, once it is built.
    pub(super) fn client(&self) -> Option<HttpClient> {
        let last = self.last.lock();
        last.clone()
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = HttpClient::new(Transport {
            // A bound on the whole of an answer would cut the reading of large files.
            quick: client(options, Some(self.bounds.answer_within))?,
            uploads: client(options, None)?,
            bounds: self.bounds,
            provider: self.provider,
            known: self.known.clone(),
            asks_the_old_way: self.asks_the_old_way,
            circuit_breaker: Arc::clone(&self.circuit_breaker),
            odd_keys: self.odd_keys.clone(),
        });
        *self.last.lock() = Some(client.clone());
        Ok(client)
    }
}

#[derive(Debug)]
struct Transport {
    /// For requests without a body: their answers are due at once.
    quick: HttpClient,
    /// For requests with a body, which take as long as the link does.
    uploads: HttpClient,
    bounds: Bounds,
    provider: Provider,
    known: KnownSecrets,
    /// Whether S3's metadata service is asked without a token where it gives none.
    asks_the_old_way: bool,
    circuit_breaker: Arc<CircuitBreaker>,
    odd_keys: OddKeys,
}

impl Transport {
    fn failed(&self, answered: Option<&str>, began: Instant, what: &dyn std::fmt::Display) {
        let (what, now) = (what.to_string(), Instant::now());
        if let Some(request) = answered {
            self.circuit_breaker.fails(request, began, now, &what);
        }
        if self
            .circuit_breaker
            .failed(answered, began, now, what.clone())
        {
            warn!(%what, "the store answers badly");
        }
    }

    /// An error that `object_store` does not retry, and that [`super::StoreError`] finds again.
    fn refuse(error: impl std::error::Error + Send + Sync + 'static) -> HttpError {
        HttpError::new(HttpErrorKind::Unknown, error)
    }

    async fn ask_metadata(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.quick.execute(request).await;
        // With 401 some services ask for another request; with 403 S3's may say to ask the old way.
        let has_none = answer.as_ref().is_ok_and(|answer| match answer.status() {
            StatusCode::NOT_FOUND => true,
            StatusCode::FORBIDDEN => !self.asks_the_old_way,
            StatusCode::BAD_REQUEST => self.provider != Provider::S3,
            _ => false,
        });
        if has_none {
            return Err(Self::refuse(NoCredentials {
                provider: self.provider,
            }));
        }
        if answer.is_err() && self.circuit_breaker.metadata_failed() >= METADATA_TRIES {
            return Err(Self::refuse(NoCredentials {
                provider: self.provider,
            }));
        }
        answer
    }

    /// Counts a request whose answer got lost, and has `object_store` send it again. By itself it does
    /// so only where the request is idempotent. Here all are: a create reads
    /// back what is there, and what is removed already is not a failure.
    fn to_be_sent_again(&self, error: HttpError) -> HttpError {
        let kind = error.kind();
        // The words are those under which the scan protocol counts.
        let cause = match kind {
            HttpErrorKind::Timeout => "timeout",
            HttpErrorKind::Connect => "connect",
            HttpErrorKind::Request | HttpErrorKind::Interrupted => "cut",
            _ => return error,
        };
        self.circuit_breaker.sent_again(cause.to_owned());
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
        let is_read_here = request.method() == Method::POST || listing_root(&request).is_some();
        let body_bytes = request.body().content_length();
        let response = if body_bytes == 0 {
            self.quick.execute(request).await?
        } else {
            self.upload(request, body_bytes).await?
        };
        if !is_read_here || !response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = tokio::time::timeout(self.bounds.upload_within(body_bytes), body.bytes());
        let body = body.await.map_err(|_| timed_out())??;
        Ok(HttpResponse::from_parts(parts, body.into()))
    }

    /// Sends a request with a body. Whether the link is slow or the store is dead only another request
    /// can tell: as long as one is answered, this one is waited for, up to its bound.
    async fn upload(
        &self,
        request: HttpRequest,
        body_bytes: usize,
    ) -> Result<HttpResponse, HttpError> {
        let uri = request.uri().clone();
        let began = Instant::now();
        let mut exchange = std::pin::pin!(self.uploads.execute(request));
        let within = self.bounds.upload_within(body_bytes);
        loop {
            let left = within.saturating_sub(began.elapsed());
            let waited =
                tokio::time::timeout(self.bounds.answer_within.min(left), exchange.as_mut());
            if let Ok(answer) = waited.await {
                return answer;
            }
            let is_there = tokio::select! {
                answer = exchange.as_mut() => return answer,
                is_there = self.is_there(&uri) => is_there,
            };
            if !is_there || began.elapsed() >= within {
                return Err(timed_out());
            }
        }
    }

    /// Whether the store answers anything at all, asked without credentials what the object is: that it
    /// refuses to say is a sign of life, that a gateway before it is in trouble is none.
    async fn is_there(&self, uri: &Uri) -> bool {
        let without_query = uri.path().to_owned();
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = without_query.parse().ok();
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::HEAD;
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        let look = self.quick.execute(request);
        let answer = tokio::time::timeout(self.bounds.look_within, look).await;
        let is_there =
            answer.is_ok_and(|answer| answer.is_ok_and(|answer| !is_trouble(answer.status())));
        if !is_there {
            self.circuit_breaker.looked_in_vain(Instant::now());
        }
        is_there
    }

    /// Whether a request makes sense. Before the store is given up it is looked at once.
    async fn admit(&self, name: &str, uri: &Uri) -> Result<(), HttpError> {
        match self.circuit_breaker.admit(name, Instant::now()) {
            Admission::Granted => Ok(()),
            Admission::Refused(given_up) => Err(Self::refuse(given_up)),
            Admission::Doubtful(given_up) => {
                if self.is_there(uri).await {
                    self.circuit_breaker.lives();
                    Ok(())
                } else {
                    Err(Self::refuse(given_up))
                }
            }
        }
    }

    /// S3 completes an upload with 200 before it knows how that ends: an error document in such an answer
    /// is what the status would have said.
    async fn unmask(
        &self,
        response: HttpResponse,
        sent: &SentSecrets,
    ) -> Result<HttpResponse, HttpError> {
        if !response.status().is_success() {
            return Ok(response);
        }
        let (mut parts, body) = response.into_parts();
        // It was read already.
        let body = body.bytes().await?;
        if let Some(read) = Refusal::read(self.provider, parts.status, &body, sent) {
            parts.status = match read.code.as_str() {
                "InternalError" | "SlowDown" | "ServiceUnavailable" | "RequestTimeout" => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                _ => StatusCode::BAD_REQUEST,
            };
        }
        Ok(HttpResponse::from_parts(parts, body.into()))
    }

    /// Makes sure that an answer is the listing that was asked for, and takes odd keys out of it.
    async fn check_listing(
        &self,
        response: HttpResponse,
        root: &str,
        sent: &SentSecrets,
    ) -> Result<Result<HttpResponse, NoListing>, HttpError> {
        let (mut parts, body) = response.into_parts();
        // It was read already.
        let body = body.bytes().await?;
        Ok(match listing::check(&body, root) {
            Ok(()) => {
                let body = match self.odd_keys.take_out(&body) {
                    Some(page) => page.into(),
                    None => body.into(),
                };
                parts.headers.remove(http::header::CONTENT_LENGTH);
                Ok(HttpResponse::from_parts(parts, body))
            }
            Err(none) => {
                let said = Refusal::read(self.provider, parts.status, &body, sent);
                Err(none.saying(said.as_ref()))
            }
        })
    }

    /// The same answer; where its body breaks off, `object_store` asks for the rest, and that is counted.
    fn counting_cuts(&self, response: HttpResponse) -> HttpResponse {
        let circuit_breaker = Arc::clone(&self.circuit_breaker);
        response.map(|body| {
            HttpResponseBody::new(body.map_err(move |error| {
                circuit_breaker.sent_again("cut".to_owned());
                error
            }))
        })
    }

    /// Reads why an answer is not a success, and passes on what `object_store` knows to handle, with no
    /// more of the body than the store's own words. A refusal that passes is made one that it sends again.
    async fn look_into(
        &self,
        name: &str,
        began: Instant,
        response: HttpResponse,
        sent: &SentSecrets,
    ) -> Result<HttpResponse, HttpError> {
        let (mut parts, body) = response.into_parts();
        let status = parts.status;
        let body = first_bytes(body, self.bounds.answer_within).await;
        let read = Refusal::read(self.provider, status, &body, sent);
        let passing = read.as_ref().filter(|read| read.is_passing());
        if passing.is_some() {
            parts.status = StatusCode::SERVICE_UNAVAILABLE;
        }
        if is_trouble(parts.status) {
            let what = passing.map_or_else(|| status.to_string(), ToString::to_string);
            self.failed(Some(name), began, &what);
            self.circuit_breaker
                .sent_again(format!("http_{}", status.as_u16()));
        } else {
            self.circuit_breaker.answered(name);
        }
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            let refusal = Refusal::redirect(self.provider, status, &parts.headers, read, sent);
            return Err(Self::refuse(refusal));
        }
        let is_final = match (&read, parts.status) {
            // A key that is missing is an answer like any other.
            (None, StatusCode::NOT_FOUND) => false,
            (Some(read), StatusCode::NOT_FOUND) => read.kind() == StoreErrorKind::Bucket,
            // That something is there is one, too; that it may not be changed is a refusal.
            (Some(read), StatusCode::CONFLICT) => matches!(
                read.kind(),
                StoreErrorKind::Immutable | StoreErrorKind::Archived | StoreErrorKind::Bucket
            ),
            (_, status) => !is_part_of_the_protocol(status) && !is_trouble(status),
        };
        let read = read.unwrap_or_else(|| Refusal::bare(self.provider, status));
        if is_final {
            return Err(Self::refuse(read));
        }
        parts.headers.remove(http::header::CONTENT_LENGTH);
        let words = format!("{} {}", read.code, read.words);
        Ok(HttpResponse::from_parts(parts, words.into()))
    }
}

/// The beginning of an error's body; what does not come in time is not waited for.
async fn first_bytes(body: HttpResponseBody, within: Duration) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut pieces = body.bytes_stream();
    let read = async {
        while let Some(Ok(piece)) = pieces.next().await {
            let room = MAX_ERROR_BYTES - bytes.len();
            bytes.extend_from_slice(&piece[..piece.len().min(room)]);
            if bytes.len() == MAX_ERROR_BYTES {
                break;
            }
        }
    };
    // What came is looked at all the same.
    let _ = tokio::time::timeout(within, read).await;
    bytes
}

/// The error of a request that took too long.
fn timed_out() -> HttpError {
    HttpError::new(
        HttpErrorKind::Timeout,
        std::io::Error::from(std::io::ErrorKind::TimedOut),
    )
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if is_metadata_service(request.uri()) {
            return self.ask_metadata(request).await;
        }
        let began = Instant::now();
        let name = format!("{} {}", request.method(), request.uri());
        self.admit(&name, request.uri()).await?;
        let sent = SentSecrets::of(&request, &self.known);
        let listing = listing_root(&request);
        let is_post = request.method() == Method::POST;
        let body_bytes = request.body().content_length();
        let response = match self.send(request).await {
            Ok(response) => response,
            Err(error) => {
                if let Some(distrust) = distrust(&error) {
                    return Err(Self::refuse(distrust));
                }
                let words = words(&error);
                let is_slow =
                    body_bytes > SMALL_BODY_BYTES && began.elapsed() >= self.bounds.answer_within;
                if !is_slow {
                    self.circuit_breaker
                        .fails(&name, began, Instant::now(), &words);
                }
                self.failed(None, began, &words);
                return Err(self.to_be_sent_again(error));
            }
        };
        let response = if is_post {
            self.unmask(response, &sent).await?
        } else {
            response
        };
        let response = match listing.filter(|_| response.status().is_success()) {
            Some(root) => match self.check_listing(response, root, &sent).await? {
                Ok(listing) => listing,
                Err(none) => {
                    self.failed(Some(&name), began, &none);
                    self.circuit_breaker.sent_again("no_listing".to_owned());
                    // As an answer that was cut: it is asked for again.
                    return Err(HttpError::new(HttpErrorKind::Request, none));
                }
            },
            None => response,
        };
        if response.status().is_success() {
            self.circuit_breaker.answered(&name);
            return Ok(self.counting_cuts(response));
        }
        self.look_into(&name, began, response, &sent).await
    }
}

/// Why a request got no answer, without secrets.
fn words(error: &HttpError) -> String {
    let words = redact(&chain(error), &[]);
    if is_of_proxy(error) {
        return format!("the proxy of HTTPS_PROXY or ALL_PROXY gave no connection: {words}");
    }
    words
}

/// What the listing begins with that a request asks for, if it does: that of S3 and Google, or Azure's.
fn listing_root(request: &HttpRequest) -> Option<&'static str> {
    if asks_for(request, "list-type=2") {
        Some(listing::OF_OBJECTS)
    } else {
        asks_for(request, "comp=list").then_some(listing::OF_BLOBS)
    }
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::super::circuit_breaker::GIVE_UP_AFTER;
    use super::*;

    /// A store in small: a hundredth of the time of a run.
    const BOUNDS: Bounds = Bounds {
        answer_within: Duration::from_millis(200),
        look_within: Duration::from_millis(100),
        slowest_bytes_per_s: 1024 * 1024,
    };
    const BODY_BYTES: usize = 2 * 1024 * 1024;

    /// What a store does with a request that has a body, and with one that has none.
    #[derive(Clone, Copy, PartialEq)]
    enum Does {
        /// Takes 64 KiB every 20 ms, then answers: two thirds of a second for the body.
        TakesItsTime,
        Answers,
        IsMute,
    }

    fn store(with_body: Does, without: Does) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                std::thread::spawn(move || serve(client, with_body, without).ok());
            }
        });
        format!("http://{address}/bucket/lake/object?x=1")
    }

    fn serve(mut client: TcpStream, with_body: Does, without: Does) -> std::io::Result<()> {
        let mut piece = vec![0; 64 * 1024];
        let mut left = client.read(&mut piece)?;
        let is_upload = piece.starts_with(b"PUT");
        let does = if is_upload { with_body } else { without };
        if does == Does::IsMute {
            while client.read(&mut piece)? > 0 {}
            return Ok(());
        }
        while is_upload && left < BODY_BYTES {
            std::thread::park_timeout(Duration::from_millis(20));
            left += client.read(&mut piece)?;
        }
        let answer = if is_upload { "200 OK" } else { "403 Forbidden" };
        write!(
            client,
            "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    }

    fn connect() -> (Connector, HttpClient) {
        let connector = Connector::new(Provider::S3, BOUNDS, KnownSecrets::default());
        let options = ClientOptions::new().with_allow_http(true);
        let client = connector.connect(&options).unwrap();
        (connector, client)
    }

    fn request(url: &str, method: Method) -> HttpRequest {
        let body = if method == Method::PUT {
            vec![7; BODY_BYTES].into()
        } else {
            HttpRequestBody::empty()
        };
        let mut request = HttpRequest::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = url.parse().unwrap();
        request
    }

    #[tokio::test]
    async fn an_upload_on_a_slow_link_is_waited_for() {
        let url = store(Does::TakesItsTime, Does::Answers);
        let (connector, client) = connect();
        let began = Instant::now();
        let answer = client.execute(request(&url, Method::PUT)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(
            began.elapsed() > 2 * BOUNDS.answer_within,
            "the link was not slow"
        );
        assert_eq!(connector.circuit_breaker().retries().len(), 0);
    }

    #[tokio::test]
    async fn an_upload_to_a_store_that_is_dead_is_given_up_after_one_look() {
        let url = store(Does::IsMute, Does::IsMute);
        let began = Instant::now();
        let error = connect().1.execute(request(&url, Method::PUT)).await;
        assert!(error.is_err());
        let bound = BOUNDS.answer_within + BOUNDS.look_within;
        assert!(began.elapsed() >= bound && began.elapsed() < 5 * bound);
    }

    #[tokio::test]
    async fn an_upload_that_is_never_answered_is_given_up_by_its_size() {
        let url = store(Does::IsMute, Does::Answers);
        let began = Instant::now();
        let error = connect().1.execute(request(&url, Method::PUT)).await;
        assert!(error.is_err());
        let bound = BOUNDS.upload_within(BODY_BYTES);
        assert!(began.elapsed() >= bound && began.elapsed() < 3 * bound);
    }

    #[tokio::test]
    async fn an_object_that_breaks_off_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/bucket/object", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let _ = client.read(&mut [0; 4096]).unwrap();
            write!(client, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345").unwrap();
        });
        let (connector, client) = connect();
        let answer = client.execute(request(&url, Method::GET)).await.unwrap();
        assert!(answer.into_body().bytes().await.is_err());
        let retries = connector.circuit_breaker().retries();
        assert_eq!(retries.get("cut"), Some(&1));
    }

    #[tokio::test]
    async fn before_a_store_is_given_up_it_is_looked_at() {
        for (without, is_sent) in [(Does::Answers, true), (Does::IsMute, false)] {
            let url = store(Does::Answers, without);
            let (connector, client) = connect();
            let now = Instant::now();
            let long_ago = now.checked_sub(2 * GIVE_UP_AFTER).unwrap();
            connector
                .circuit_breaker()
                .failed(None, long_ago, now, String::new());
            let answer = client.execute(request(&url, Method::PUT)).await;
            assert_eq!(answer.is_ok(), is_sent);
        }
    }

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
