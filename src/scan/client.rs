//! One request, one answer: budget, credentials, retries, and the bound on an answer's size.

use std::error::Error;
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, LOCATION,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::{Client, Response};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::answer::Answer;
use super::body::{Body, Unread, is_gzip};
use super::budget::Budget;
use super::counters::{ScanCounters, Waiting};
use super::envelope::{Envelope, Malformed, begins_as_page};
use super::error::{RequestError, ScanError};
use super::question::Question;
use super::request::ScanOptions;
use super::tries::{End, Failure, Patience, SAFE_LIMIT, Step, Tries, Wait};
use super::url::ApiUrl;
use crate::clock::Clock;
use crate::https::{self, ClientError, client_builder, distrust, has_cause, retry_after, trusting};
use crate::sign_in::{Authorize, Refusal};
use crate::text::damage::Damage;
use crate::window::{Slice, TimeWindow};

/// The first pause between two attempts; each further one doubles.
const MIN_DELAY: Duration = Duration::from_secs(1);
/// The longest pause between two attempts.
const MAX_DELAY: Duration = Duration::from_secs(60);
/// The pause after a 429 that names none; clients have seen "usually 1 minute".
const THROTTLED_DELAY: Duration = Duration::from_secs(60);
/// The longest pause that a 429 may name; the same bound as other clients'.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// An answer that comes faster than this may go on for as long as it likes; a service that sends a
/// byte now and then cannot hold a run for ever.
const SLOWEST_BYTES_PER_S: u64 = 16 * 1024;
/// Credentials that are there so soon are there at once.
const AT_ONCE: Duration = Duration::from_millis(100);
/// So many places in the budget are left empty for credentials that are late: a token may live shorter
/// than it takes to get one.
const MAX_EMPTY_PLACES: u32 = 1;
/// As much of an error's body is read as says what it is.
const MAX_ERROR_BYTES: u64 = 64 * 1024;
/// As much of it is shown.
const MAX_DETAIL_CHARS: usize = 300;
/// As much of the name of a member is shown that nobody has described.
const MAX_NAME_CHARS: usize = 64;

/// How to speak to the service.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The tenant's address.
    pub api_url: ApiUrl,
    /// Records asked for in one page.
    pub page_limit: u32,
    /// The largest answer taken, decompressed, in bytes.
    pub max_page_bytes: u64,
    /// How often one request is tried in all.
    pub max_attempts: u32,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long the service may send nothing.
    pub read_timeout: Duration,
    /// How long a body may take, beside a second for each 16 KiB that have come.
    pub answer_timeout: Duration,
}

/// Sends requests to the service, one at a time for each caller.
pub struct ActivityClient {
    http: Client,
    options: ClientOptions,
    limit: AtomicU32,
    auth: Box<dyn Authorize>,
    budget: Budget,
    clock: Arc<dyn Clock>,
    counters: Arc<ScanCounters>,
}

/// How hard a request is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// As often as is allowed.
    Full,
    /// The same, but a page that is answered badly is not asked for a third time: there are smaller
    /// ones.
    Half,
    /// As often as is allowed, however alike the answers are: the service is not well.
    Stubborn,
    /// At most twice, whatever goes wrong: the service itself calls the page unneeded.
    Unneeded,
    /// Twice.
    Control,
}

impl Care {
    fn patience(self, max_attempts: u32) -> Patience {
        let twice = max_attempts.min(2);
        let (max_tries, max_bad) = match self {
            Self::Full | Self::Stubborn => (max_attempts, max_attempts),
            Self::Half => (max_attempts, twice),
            Self::Unneeded => (twice, twice),
            Self::Control => (2, 2),
        };
        Patience {
            max_tries,
            max_bad,
            ends_on_the_same: self != Self::Stubborn,
        }
    }
}

/// A request for one page.
#[derive(Debug, Clone)]
pub(super) struct PageRequest {
    pub(super) question: Question,
    /// Whether it begins a range: only then can the limit be in question.
    pub(super) first: bool,
    /// Another limit than the run's; only for a question that is no page of a slice.
    pub(super) limit: Option<u32>,
    /// How hard it is tried.
    pub(super) care: Care,
    pub(super) filters: String,
    pub(super) options: Arc<ScanOptions>,
}

/// Why a request came to nothing.
#[derive(Debug)]
pub(super) enum FetchError {
    /// Of the slice, or of all of them.
    Scan(ScanError),
    /// Of this page, as far as can be told: the service may be well.
    Unreadable(UnreadablePage),
}

/// A page that cannot be had.
#[derive(Debug)]
pub(super) struct UnreadablePage {
    pub(super) error: ScanError,
    /// What came of it.
    pub(super) body: Vec<u8>,
    /// Whether tries were left: with a service that is well, they would come to the same.
    pub(super) is_early: bool,
}

impl From<ScanError> for FetchError {
    fn from(error: ScanError) -> Self {
        Self::Scan(error)
    }
}

impl From<FetchError> for ScanError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Scan(error) => error,
            FetchError::Unreadable(UnreadablePage { error, .. }) => error,
        }
    }
}

impl ActivityClient {
    /// A client for one run.
    pub fn new(
        options: ClientOptions,
        auth: Box<dyn Authorize>,
        budget: Budget,
        clock: Arc<dyn Clock>,
        counters: Arc<ScanCounters>,
    ) -> Result<Self, ScanError> {
        let http = http_client(&options)?;
        let limit = AtomicU32::new(options.page_limit);
        Ok(Self {
            http,
            options,
            limit,
            auth,
            budget,
            clock,
            counters,
        })
    }

    /// How many records a page can have, as far as is known: what is asked for, or what the smallest page
    /// had after which more was to come.
    pub fn page_cap(&self) -> u64 {
        let limit = u64::from(self.limit.load(Ordering::Relaxed));
        self.counters.page_cap().map_or(limit, |cap| cap.min(limit))
    }

    /// How many requests a minute there may be; none is no bound.
    pub fn per_minute(&self) -> Option<NonZeroU32> {
        self.budget.per_minute()
    }

    pub(super) fn counters(&self) -> &ScanCounters {
        &self.counters
    }

    /// Asks for a millisecond of a slice, as any page is asked for: an answer says that the service
    /// is well, whatever becomes of other requests.
    ///
    /// # Errors
    /// It is not.
    pub async fn check(&self, newest: Slice, options: &Arc<ScanOptions>) -> Result<(), ScanError> {
        let window = newest.window();
        let millisecond = TimeWindow {
            from_ms: window.until_ms - 1,
            ..window
        };
        let request = PageRequest {
            question: Question::Control,
            first: true,
            limit: Some(SAFE_LIMIT.min(self.limit())),
            care: Care::Control,
            filters: options.filters(millisecond),
            options: Arc::clone(options),
        };
        self.counters.count(|counts| counts.controls += 1);
        self.fetch(&request).await?;
        Ok(())
    }

    /// Gets a page, trying again as the policy allows.
    pub(super) async fn fetch(&self, request: &PageRequest) -> Result<Answer, FetchError> {
        let started = self.clock.elapsed();
        let mut delays = delays();
        let mut tries = self.tries(request);
        loop {
            let limit = tries.limit(request.limit.unwrap_or_else(|| self.limit()));
            let authorization = self.take_turn().await?;
            let outcome = self.attempt(request, limit, authorization.clone()).await;
            match tries.next(outcome) {
                Step::Take(answer) => {
                    if tries.is_lowered() {
                        self.keep_safe_limit();
                    }
                    if !answer.envelope.is_empty {
                        self.counters.full_page();
                    }
                    return Ok(answer);
                }
                Step::Again => {}
                Step::Wait(wait) => {
                    // The jitter comes on top of a delay, so the bound is set again.
                    let delay = delays.next().unwrap_or(MAX_DELAY).min(MAX_DELAY);
                    self.wait(request, tries.count(), &wait, delay).await;
                }
                Step::Renew(error) => {
                    let renewed = self.auth.renew(&authorization).await;
                    if !renewed.map_err(ScanError::from)? {
                        return Err(error.into());
                    }
                }
                Step::End(end) => return Err(self.failed(request, end, tries.count(), started)),
            }
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    fn tries(&self, request: &PageRequest) -> Tries {
        let may_lower = request.first && request.limit.is_none() && self.limit() > SAFE_LIMIT;
        Tries::new(request.care.patience(self.options.max_attempts), may_lower)
    }

    /// Returns with the credentials when the budget allows a request. To sign in may take a while, and a
    /// request sent that much later than its place in the budget would be one too many there: such a
    /// place is left empty, once.
    async fn take_turn(&self) -> Result<HeaderValue, ScanError> {
        self.auth.header().await?;
        let mut empty_places = 0;
        loop {
            self.budget.take().await;
            let taken = self.clock.elapsed();
            let authorization = self.auth.header().await?;
            let is_at_once = self.clock.elapsed().saturating_sub(taken) < AT_ONCE;
            if is_at_once || empty_places == MAX_EMPTY_PLACES {
                return Ok(authorization);
            }
            empty_places += 1;
        }
    }

    /// What is said of a request that came to nothing after so many tries.
    fn failed(&self, request: &PageRequest, end: End, tries: u32, started: Duration) -> FetchError {
        let exhausted = |last| ScanError::Exhausted {
            question: request.question,
            attempts: tries,
            elapsed: self.clock.elapsed().saturating_sub(started),
            last,
        };
        let (error, body, is_early) = match end {
            End::Refused(error) => return error.into(),
            End::GivenUp(last) => return exhausted(last).into(),
            End::Unreadable { last, body } => {
                (exhausted(last), body, tries < self.options.max_attempts)
            }
            End::TooLarge { error, body } => (error, body, false),
        };
        FetchError::Unreadable(UnreadablePage {
            error,
            body,
            is_early,
        })
    }

    /// Asks as for a page, and looks only at how the answer would travel: whether it is compressed.
    ///
    /// # Errors
    /// There is no answer, or another than a page.
    pub async fn is_compressed(
        &self,
        range: Slice,
        options: &Arc<ScanOptions>,
    ) -> Result<bool, ScanError> {
        let authorization = self.take_turn().await?;
        self.counters.count(|counts| counts.requests += 1);
        let sent = self
            .http
            .post(self.options.api_url.activities())
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))
            .body(options.body(&options.filters(range.window()), SAFE_LIMIT))
            .send()
            .await;
        let status = sent
            .as_ref()
            .ok()
            .map(|response| response.status().as_u16());
        self.counters.answered(status);
        let response = sent.map_err(|error| ScanError::Client(RequestError::transport(error)))?;
        let status = response.status();
        if !status.is_success() {
            return Err(ScanError::Refused {
                host: self.options.api_url.host(),
                status: status.as_u16(),
                detail: "asked whether it compresses".to_owned(),
            });
        }
        Ok(is_gzip(response.headers()))
    }

    /// How long the credentials are good from now on, as far as is known.
    pub fn signed_in_for(&self) -> Option<Duration> {
        self.auth.remaining()
    }

    /// Waits before a request is sent again: all of the run, if the service asked for a pause.
    async fn wait(&self, request: &PageRequest, tries: u32, wait: &Wait, delay: Duration) {
        let Wait { cause, pause } = *wait;
        self.counters.retry(cause);
        let length = pause.unwrap_or(delay);
        warn!(
            question = %request.question, tries, cause,
            wait_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX), "trying again"
        );
        if pause.is_some() {
            self.budget.pause(length).await;
        } else {
            self.counters.waits(Waiting {
                what: "for the next try",
                until: self.clock.elapsed() + length,
            });
            self.clock.sleep(length).await;
        }
    }

    fn keep_safe_limit(&self) {
        if self.limit.swap(SAFE_LIMIT, Ordering::Relaxed) != SAFE_LIMIT {
            warn!(
                limit = SAFE_LIMIT,
                "the tenant takes only the smaller page limit"
            );
            self.counters
                .count(|counts| counts.page_limit_lowered = true);
        }
    }

    /// Sends a request once.
    async fn attempt(
        &self,
        request: &PageRequest,
        limit: u32,
        authorization: HeaderValue,
    ) -> Result<Answer, Failure> {
        self.counters.count(|counts| counts.requests += 1);
        let sent = self
            .http
            .post(self.options.api_url.activities())
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))
            .body(request.options.body(&request.filters, limit))
            .send()
            .await;
        let answered = sent.as_ref().ok();
        self.counters
            .answered(answered.map(|response| response.status().as_u16()));
        let response = sent.map_err(|error| self.unsent(error))?;
        let status = response.status();
        let date_ms = date_of(response.headers());
        if !status.is_success() {
            return Err(self.refusal(status, response).await);
        }
        if status == StatusCode::PARTIAL_CONTENT {
            let error = RequestError::malformed("it is a part of an answer (status 206)");
            return Err(Failure::Passing(error, None));
        }
        if let Some(encoding) = unknown_encoding(response.headers()) {
            let encoding = self.shown(&encoding, MAX_DETAIL_CHARS);
            let reason = format!("its body is packed with '{encoding}', and gzip was asked for");
            return Err(Failure::Passing(RequestError::malformed(&reason), None));
        }
        let body = match self.read_body(response, self.options.max_page_bytes).await {
            Ok(body) => body,
            Err(Unread::TooLong(body)) => {
                let error = ScanError::PageTooLarge {
                    question: request.question,
                    max_bytes: self.options.max_page_bytes,
                };
                return Err(Failure::TooLarge { error, body });
            }
            Err(Unread::Cut { error, body }) => return Err(cut(error, body)),
        };
        let bytes_in = body.len() as u64;
        self.counters.count(|counts| counts.bytes_in += bytes_in);
        let (text, damage) = Damage::decode(body);
        let is_damaged = damage.is_some();
        let answer = read_answer(text, damage, date_ms);
        if is_damaged {
            return Err(Failure::InvalidUtf8(Box::new(answer)));
        }
        if let Ok(answer) = &answer {
            let unknown = answer.envelope.unknown.iter();
            let unknown: Vec<String> = unknown
                .map(|name| self.shown(name, MAX_NAME_CHARS))
                .collect();
            for member in self.counters.unknown_members(&unknown) {
                warn!(
                    member,
                    "answers have a member that this program does not know"
                );
            }
        }
        answer
    }

    /// What it means that no answer came.
    fn unsent(&self, error: reqwest::Error) -> Failure {
        let host = self.options.api_url.host();
        if let Some(source) = distrust(&error) {
            let source = Box::new(source);
            return Failure::Final(ScanError::Certificate { host, source });
        }
        let is_limit = has_cause(&error, is_limit);
        let source = RequestError::transport(error);
        if is_limit {
            return Failure::Final(ScanError::NoFileHandle { host, source });
        }
        Failure::Passing(source, None)
    }

    /// Reads a body up to a bound of decompressed bytes. It may take its time as long as it comes.
    async fn read_body(&self, mut response: Response, max_bytes: u64) -> Result<Vec<u8>, Unread> {
        let mut body = Body::begin(response.headers(), response.content_length(), max_bytes);
        let begun = Instant::now();
        loop {
            let in_all = self.options.answer_timeout + time_for(body.len());
            let error = match timeout_at(begun + in_all, response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    body.push(&chunk)?;
                    continue;
                }
                Ok(Ok(None)) => return body.finish(),
                Ok(Err(error)) => RequestError::transport(error),
                Err(_) => RequestError::Slow {
                    bytes: body.len(),
                    seconds: in_all.as_secs(),
                },
            };
            let body = body.take();
            return Err(Unread::Cut { error, body });
        }
    }

    /// What an answer other than 2xx means.
    async fn refusal(&self, status: StatusCode, response: Response) -> Failure {
        if status.is_redirection()
            && let Some(target) = target_of(&response)
        {
            return Failure::Final(ScanError::Redirected {
                host: self.options.api_url.host(),
                target: self.shown(&target, MAX_DETAIL_CHARS),
            });
        }
        let retry_after = retry_after(response.headers(), self.clock.now_ms());
        let detail = match self.read_body(response, MAX_ERROR_BYTES).await {
            Ok(body) | Err(Unread::TooLong(body)) => self.shown(&detail(&body), MAX_DETAIL_CHARS),
            Err(Unread::Cut { .. }) => "no reason was given".to_owned(),
        };
        self.failure(status.as_u16(), detail, retry_after)
    }

    /// As much of the service's words as is shown: redacted before they are cut short, lest the beginning of a
    /// token is left.
    fn shown(&self, text: &str, max_chars: usize) -> String {
        self.auth.redact(text).chars().take(max_chars).collect()
    }

    /// What a status means of which the service says this.
    fn failure(&self, status: u16, detail: String, retry_after: Option<Duration>) -> Failure {
        let host = self.options.api_url.host();
        let refused = |detail| ScanError::Refused {
            host: self.options.api_url.host(),
            status,
            detail,
        };
        match status {
            401 | 403 => {
                let advice = self.auth.advice(Refusal {
                    status,
                    detail: &detail,
                });
                if status == 401 {
                    Failure::Unauthorized(ScanError::Unauthorized {
                        host,
                        detail,
                        advice,
                    })
                } else {
                    Failure::Final(ScanError::Forbidden {
                        host,
                        detail,
                        advice,
                    })
                }
            }
            400 => Failure::BadRequest(refused(detail)),
            413 => Failure::TooLarge {
                error: refused(detail),
                body: Vec::new(),
            },
            408 | 429 | 500..=599 => {
                let error = RequestError::Status { status, detail };
                Failure::Passing(error, pause(status, retry_after))
            }
            _ => Failure::Final(refused(detail)),
        }
    }
}

/// A client for the service. What it packs is unpacked here: of several streams that follow each other the
/// HTTP library reads the first.
fn http_client(options: &ClientOptions) -> Result<Client, ScanError> {
    let http = client_builder()
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout)
        .no_gzip();
    let client = if options.api_url.is_plain() {
        // A proxy would be given the token readable; plain requests stay in this machine, and need
        // none of its certificates, which take a while to load.
        let http = http.no_proxy().tls_certs_only([]).build();
        http.map_err(ClientError::Setup)
    } else {
        trusting(http, Vec::new())
    };
    client.map_err(ScanError::NoClient)
}

/// Whether an error says that this process, or the system, has no file handle left.
fn is_limit(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    let code = error.and_then(io::Error::raw_os_error);
    matches!(code, Some(libc::EMFILE | libc::ENFILE))
}

/// The delays between the tries of one request.
fn delays() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(MIN_DELAY)
        .with_max_delay(MAX_DELAY)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}

/// How long everybody waits after a status, if at all: where the service says so, and after a 429
/// anyway. At least a second: a service that says 0 is not asked again at once.
fn pause(status: u16, retry_after: Option<Duration>) -> Option<Duration> {
    let asked = match status {
        429 => Some(retry_after.unwrap_or(THROTTLED_DELAY)),
        503 => retry_after,
        _ => None,
    };
    asked.map(|pause| pause.clamp(MIN_DELAY, MAX_RETRY_AFTER))
}

/// Takes a text for an answer, or says what is wrong with it.
fn read_answer(
    text: String,
    damage: Option<Damage>,
    date_ms: Option<i64>,
) -> Result<Answer, Failure> {
    match Envelope::parse(&text) {
        Ok(envelope) => Ok(Answer {
            text,
            damage,
            envelope,
            date_ms,
        }),
        Err(Malformed { reason, at }) => {
            let error = RequestError::Malformed { reason };
            Err(match at {
                Some(at) => Failure::Broken {
                    error,
                    at,
                    body: damage.map_or(text.into_bytes(), Damage::into_raw),
                },
                None => Failure::Passing(error, None),
            })
        }
    }
}

/// What a body means that ended before it should: a page that ends at the same byte every time is
/// no matter of the connection.
fn cut(error: RequestError, body: Vec<u8>) -> Failure {
    if error.is_about_the_page() || !begins_as_page(&body) {
        return Failure::Passing(error, None);
    }
    Failure::Broken {
        error,
        at: body.len(),
        body,
    }
}

/// Where an answer sends those who ask: of the same origin the path, which is what is wrong then, else the
/// origin.
fn target_of(response: &Response) -> Option<String> {
    let to = response.headers().get(LOCATION)?.to_str().ok()?;
    let target = response.url().join(to).ok()?;
    let origin = target.origin().ascii_serialization();
    let is_same = target.origin() == response.url().origin();
    Some(if is_same {
        target.path().to_owned()
    } else {
        origin
    })
}

/// What an error's body says: the `detail` of a JSON object, decoded, or what kind of body it is.
/// Nothing else of a body is ever shown: it may be anybody's, with anything in it.
fn detail(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let said = match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(value) => value
            .get("detail")
            .and_then(|detail| detail.as_str())
            .map(str::to_owned),
        Err(_) => None,
    };
    said.unwrap_or_else(|| {
        let start = text.trim_start();
        let kind = if start.is_empty() {
            "no reason was given"
        } else if start.starts_with('<') {
            "an HTML page"
        } else {
            "a body without a `detail`"
        };
        kind.to_owned()
    })
}

/// What a body is packed with, where it cannot be unpacked.
fn unknown_encoding(headers: &HeaderMap) -> Option<String> {
    if is_gzip(headers) {
        return None;
    }
    let encoding = headers.get(CONTENT_ENCODING)?;
    let encoding = String::from_utf8_lossy(encoding.as_bytes());
    let is_none = encoding.is_empty() || encoding.eq_ignore_ascii_case("identity");
    (!is_none).then(|| encoding.into_owned())
}

/// The `Date` of an answer, in milliseconds since the epoch.
fn date_of(headers: &HeaderMap) -> Option<i64> {
    https::date_ms(headers.get(DATE)?.to_str().ok()?)
}

/// How long so many bytes may take.
fn time_for(bytes: usize) -> Duration {
    Duration::from_secs(bytes as u64 / SLOWEST_BYTES_PER_S)
}
