//! One request, one answer: budget, credentials, retries, and the bound on an answer's size.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::DateTime;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use tracing::warn;

use super::auth::Authorize;
use super::budget::Budget;
use super::counters::ScanCounters;
use super::envelope::Envelope;
use super::error::{RequestError, ScanError};
use super::page::Damage;
use super::request::ScanOptions;
use super::url::ApiUrl;
use crate::clock::Clock;
use crate::window::Slice;

/// The first pause between two attempts; each further one doubles.
const MIN_DELAY: Duration = Duration::from_secs(1);
/// The longest pause between two attempts.
const MAX_DELAY: Duration = Duration::from_secs(60);
/// The pause after a 429 that names none; clients have seen "usually 1 minute".
const THROTTLED_DELAY: Duration = Duration::from_secs(60);
/// The longest pause that a 429 may name; the same bound as other clients'.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// The longest that one answer may take in all, so that a service that sends a byte now and then
/// cannot hold a run for ever: the largest page by default needs 220 KB a second.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);
/// The page limit that every tenant takes (page "Investigate activities using the API").
pub(super) const SAFE_LIMIT: u32 = 500;
/// So many 500s in a row on a first page are taken as a limit that the tenant does not take; fewer
/// where half of the attempts are fewer.
const ERRORS_BEFORE_SAFE_LIMIT: u32 = 3;
/// As much of an error's body is read as says what it is.
const MAX_ERROR_BYTES: u64 = 64 * 1024;
/// As much of it is shown.
const MAX_DETAIL_CHARS: usize = 300;

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

/// A request for one page.
#[derive(Debug, Clone)]
pub(super) struct PageRequest {
    pub(super) slice: Slice,
    pub(super) page: u32,
    /// Whether it begins a range: only then can the limit be in question.
    pub(super) first: bool,
    /// Another limit than the run's; only for a question that is no page of a slice.
    pub(super) limit: Option<u32>,
    pub(super) filters: String,
    pub(super) options: Arc<ScanOptions>,
}

/// A page of the service, cut open.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) damage: Option<Damage>,
    pub(super) envelope: Envelope,
    /// The service's clock, in milliseconds since the epoch, to the second.
    pub(super) date_ms: Option<i64>,
}

/// Whether a first page is asked for with the smaller limit.
enum Trial {
    /// Not yet.
    Possible,
    /// Now; with what the service said to the larger one, if that was final.
    Running(Option<ScanError>),
    /// The smaller limit was no better.
    Over,
}

/// How one attempt ended, if not with an answer.
enum Failure {
    /// It may succeed the next time; with a pause if the service asked for one.
    Passing(RequestError, Option<Duration>),
    /// The answer's bytes are no UTF-8.
    InvalidUtf8 {
        text: String,
        damage: Damage,
        date_ms: Option<i64>,
    },
    /// The service does not know the credentials.
    Unauthorized(ScanError),
    /// The service finds fault with the request.
    BadRequest(ScanError),
    /// Nothing will change it.
    Final(ScanError),
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
        let mut http = Client::builder()
            .user_agent(concat!("mdca-lake/", env!("CARGO_PKG_VERSION")))
            // A redirect would carry the credentials along; the address is the user's to set.
            .redirect(Policy::none())
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.read_timeout)
            .timeout(REQUEST_TIMEOUT)
            .gzip(true);
        if options.api_url.is_plain() {
            // A proxy would be given the token readable; plain requests stay in this machine, and
            // need none of its certificates, which take a while to load.
            http = http.no_proxy().tls_certs_only([]);
        }
        let http = http
            .build()
            .map_err(|source| ScanError::Client(RequestError::transport(source)))?;
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

    pub(super) fn counters(&self) -> &ScanCounters {
        &self.counters
    }

    /// Gets a page, trying again as the policy allows.
    pub(super) async fn fetch(&self, request: &PageRequest) -> Result<Answer, ScanError> {
        let started = self.clock.elapsed();
        let mut delays = ExponentialBuilder::default()
            .with_min_delay(MIN_DELAY)
            .with_max_delay(MAX_DELAY)
            .with_factor(2.0)
            .with_jitter()
            .without_max_times()
            .build();
        let mut attempts = 0;
        let mut renewed = false;
        let mut invalid_utf8 = false;
        let mut server_errors = 0;
        let enough_errors = ERRORS_BEFORE_SAFE_LIMIT.min((self.options.max_attempts / 2).max(1));
        let mut trial = Trial::Possible;
        loop {
            let kept = request
                .limit
                .unwrap_or_else(|| self.limit.load(Ordering::Relaxed));
            let on_trial = matches!(trial, Trial::Running(_));
            let limit = if on_trial { SAFE_LIMIT.min(kept) } else { kept };
            self.budget.take().await;
            attempts += 1;
            let failure = match self.attempt(request, limit).await {
                Ok(answer) => {
                    if on_trial {
                        self.keep_safe_limit(request);
                    }
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let may_lower = request.first && matches!(trial, Trial::Possible) && kept > SAFE_LIMIT;
            let (last, pause) = match failure {
                Failure::Final(error) => return Err(error),
                Failure::Unauthorized(error) => {
                    if renewed || !self.auth.renew().await? {
                        return Err(error);
                    }
                    renewed = true;
                    continue;
                }
                Failure::BadRequest(error) if may_lower => {
                    trial = Trial::Running(Some(error));
                    continue;
                }
                Failure::BadRequest(error) => {
                    return Err(match trial {
                        Trial::Running(Some(original)) => original,
                        _ => error,
                    });
                }
                Failure::InvalidUtf8 {
                    text,
                    damage,
                    date_ms,
                } if invalid_utf8 => match Envelope::parse(&text) {
                    Ok(mut envelope) => {
                        envelope.distrust_continuation();
                        if on_trial {
                            self.keep_safe_limit(request);
                        }
                        return Ok(Answer {
                            text,
                            damage: Some(damage),
                            envelope,
                            date_ms,
                        });
                    }
                    Err(reason) => (RequestError::Malformed { reason }, None),
                },
                Failure::InvalidUtf8 { .. } => {
                    invalid_utf8 = true;
                    (
                        RequestError::Malformed {
                            reason: "its bytes are no UTF-8".to_owned(),
                        },
                        None,
                    )
                }
                Failure::Passing(last, pause) => (last, pause),
            };
            let is_500 = matches!(last, RequestError::Status { status: 500, .. });
            let gives_up = attempts >= self.options.max_attempts;
            if on_trial && (is_500 || gives_up) {
                // The smaller limit is no better: what was said to the other one counts, and if
                // that was nothing final, it has the remaining attempts.
                if let Trial::Running(Some(original)) = std::mem::replace(&mut trial, Trial::Over) {
                    return Err(original);
                }
            }
            if gives_up {
                let elapsed = self.clock.elapsed().saturating_sub(started);
                let PageRequest { slice, page, .. } = request;
                return Err(ScanError::Exhausted {
                    slice: *slice,
                    page: *page,
                    attempts,
                    elapsed,
                    last,
                });
            }
            self.counters.retry(last.cause());
            server_errors = if is_500 { server_errors + 1 } else { 0 };
            if may_lower && server_errors >= enough_errors {
                trial = Trial::Running(None);
            }
            // The jitter comes on top of a delay, so the bound is set again.
            let delay = || delays.next().unwrap_or(MAX_DELAY).min(MAX_DELAY);
            let wait = pause.unwrap_or_else(delay);
            warn!(
                slice = %request.slice, page = request.page, attempts, cause = last.cause(),
                wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), "trying again"
            );
            if pause.is_some() {
                self.budget.pause(wait).await;
            } else {
                self.clock.sleep(wait).await;
            }
        }
    }

    fn keep_safe_limit(&self, request: &PageRequest) {
        if self.limit.swap(SAFE_LIMIT, Ordering::Relaxed) != SAFE_LIMIT {
            warn!(slice = %request.slice, limit = SAFE_LIMIT, "the tenant takes only the smaller page limit");
            self.counters.limit_lowered();
        }
    }

    /// Sends a request once.
    async fn attempt(&self, request: &PageRequest, limit: u32) -> Result<Answer, Failure> {
        let authorization = self.auth.header().await.map_err(Failure::Final)?;
        self.counters.request();
        let response = self
            .http
            .post(self.options.api_url.activities())
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .body(request.options.body(&request.filters, limit))
            .send()
            .await
            .map_err(passing)?;
        let status = response.status();
        let date_ms = date_ms(response.headers());
        if !status.is_success() {
            return Err(self.refusal(status, response).await);
        }
        let body = match read_body(response, self.options.max_page_bytes).await {
            Ok(Body::Whole(body)) => body,
            Ok(Body::Cut(_)) => {
                return Err(Failure::Final(ScanError::PageTooLarge {
                    slice: request.slice,
                    page: request.page,
                    max_bytes: self.options.max_page_bytes,
                }));
            }
            Err(error) => return Err(passing(error)),
        };
        self.counters.received(body.len());
        let (text, damage) = Damage::decode(body);
        if let Some(damage) = damage {
            return Err(Failure::InvalidUtf8 {
                text,
                damage,
                date_ms,
            });
        }
        match Envelope::parse(&text) {
            Ok(envelope) => Ok(Answer {
                text,
                damage: None,
                envelope,
                date_ms,
            }),
            Err(reason) => Err(Failure::Passing(RequestError::Malformed { reason }, None)),
        }
    }

    /// What an answer other than 2xx means.
    async fn refusal(&self, status: StatusCode, response: Response) -> Failure {
        let host = self.options.api_url.host();
        let retry_after = retry_after(response.headers(), self.clock.now_ms());
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        if status.is_redirection() {
            let target = location.and_then(|to| response.url().join(to).ok());
            let target = target
                .as_ref()
                .and_then(|url| url.host_str())
                .unwrap_or("nowhere")
                .to_owned();
            return Failure::Final(ScanError::Redirected { host, target });
        }
        let detail = match read_body(response, MAX_ERROR_BYTES).await {
            // Redacted before it is cut short, lest the beginning of a token is left.
            Ok(Body::Whole(body) | Body::Cut(body)) => shorten(&self.auth.redact(&detail(&body))),
            Err(_) => "no reason was given".to_owned(),
        };
        let code = status.as_u16();
        match code {
            401 => Failure::Unauthorized(ScanError::Unauthorized { host, detail }),
            403 => Failure::Final(ScanError::Forbidden { host, detail }),
            400 => Failure::BadRequest(ScanError::Refused {
                host,
                status: code,
                detail,
            }),
            429 => {
                // At least a second: a service that says 0 is not asked again at once.
                let pause = retry_after.unwrap_or(THROTTLED_DELAY);
                let pause = pause.clamp(MIN_DELAY, MAX_RETRY_AFTER);
                Failure::Passing(
                    RequestError::Status {
                        status: code,
                        detail,
                    },
                    Some(pause),
                )
            }
            408 | 500..=599 => Failure::Passing(
                RequestError::Status {
                    status: code,
                    detail,
                },
                None,
            ),
            _ => Failure::Final(ScanError::Refused {
                host,
                status: code,
                detail,
            }),
        }
    }
}

fn passing(source: reqwest::Error) -> Failure {
    Failure::Passing(RequestError::transport(source), None)
}

/// A body, whole or cut at the bound.
enum Body {
    Whole(Vec<u8>),
    Cut(Vec<u8>),
}

/// Reads a body up to a bound of decompressed bytes.
async fn read_body(mut response: Response, max_bytes: u64) -> Result<Body, reqwest::Error> {
    let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    // What the service announces is a hint, and no reason to allocate more than the bound.
    let announced = response
        .content_length()
        .and_then(|bytes| usize::try_from(bytes).ok());
    let mut body = Vec::with_capacity(announced.unwrap_or(0).min(max_bytes));
    while let Some(chunk) = response.chunk().await? {
        if chunk.len() > max_bytes - body.len() {
            return Ok(Body::Cut(body));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Body::Whole(body))
}

/// What an error's body says: the `detail` of a JSON object, or what kind of body it is.
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
        if start.is_empty() {
            "no reason was given".to_owned()
        } else if start.starts_with('<') {
            "an HTML page".to_owned()
        } else {
            start.to_owned()
        }
    })
}

/// As much of a text as an error shows.
fn shorten(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_DETAIL_CHARS)
        .collect()
}

/// The `Date` of an answer, in milliseconds since the epoch.
fn date_ms(headers: &HeaderMap) -> Option<i64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(date).ok()?.timestamp_millis())
}

/// How long a 429 asks to wait: seconds, or a date.
fn retry_after(headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until_ms = DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis();
    Some(Duration::from_millis(
        u64::try_from(until_ms - now_ms).unwrap_or(0),
    ))
}
