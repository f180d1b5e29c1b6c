//! One token from who hands them out: the asking, with its retries.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use http::header::LOCATION;
use reqwest::{Client, Response};
use tracing::{info, warn};

use super::error::{SignInError, TokenRequestError};
use super::issued::Issued;
use super::refusal::TokenRefusal;
use super::secrets::Secrets;
use super::way::{TokenRequest, Way};
use crate::clock::Clock;
use crate::https::{CHECK_PROXY, client_builder, distrust, is_of_proxy, retry_after, trusting};

/// The first pause between two tries; each further one doubles.
const MIN_DELAY: Duration = Duration::from_secs(1);
/// The longest pause between two tries.
const MAX_DELAY: Duration = Duration::from_secs(60);
/// The longest pause that an answer may name.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// The endpoint of a machine is there at once, or this is not such a machine.
const NEAR_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer is a few kilobytes; what is longer is something else.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// As much of a refusal is shown: a description with its trace id.
const MAX_REASON_CHARS: usize = 400;

/// How hard a token is asked for.
#[derive(Debug, Clone, Copy)]
pub struct TokenPatience {
    /// Tries in all.
    pub max_attempts: u32,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long an answer may take, whole.
    pub answer_timeout: Duration,
}

/// What is told of each try that failed and is made again: the word under which it is counted.
pub type OnRetry = Box<dyn Fn(&'static str) + Send + Sync>;

/// Asks for tokens.
pub(super) struct Endpoint {
    http: Client,
    way: Way,
    patience: TokenPatience,
    clock: Arc<dyn Clock>,
    on_retry: OnRetry,
}

/// How one try ended, if not with a token.
enum Failure {
    Passing(TokenRequestError, Option<Duration>),
    Final(SignInError),
}

impl Endpoint {
    pub(super) fn new(
        way: Way,
        patience: TokenPatience,
        clock: Arc<dyn Clock>,
        on_retry: OnRetry,
    ) -> Result<Self, SignInError> {
        let mut http = client_builder()
            .connect_timeout(patience.connect_timeout)
            .timeout(patience.answer_timeout);
        if way.is_near() {
            // A proxy would be given the secret readable, and knows nothing of this machine's identity.
            http = http
                .no_proxy()
                .connect_timeout(patience.connect_timeout.min(NEAR_CONNECT_TIMEOUT));
        }
        let http = trusting(http, Vec::new()).map_err(|source| SignInError::Client {
            host: way.host(),
            source,
        })?;
        Ok(Self {
            http,
            way,
            patience,
            clock,
            on_retry,
        })
    }

    /// Gets a token, trying at most so often.
    pub(super) async fn fetch(
        &self,
        max_attempts: u32,
        secrets: &Secrets,
    ) -> Result<Issued, SignInError> {
        let began = self.clock.elapsed();
        let mut delays = ExponentialBuilder::default()
            .with_min_delay(MIN_DELAY)
            .with_max_delay(MAX_DELAY)
            .with_factor(2.0)
            .with_jitter()
            .without_max_times()
            .build();
        let mut tries = 0;
        loop {
            tries += 1;
            let (last, pause) = match self.attempt(secrets).await {
                Ok(issued) => return Ok(issued),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(last, pause)) => (last, pause),
            };
            if tries >= max_attempts {
                return Err(self.exhausted(tries, began, last));
            }
            (self.on_retry)(last.cause());
            warn!(tries, cause = last.cause(), "asking for a token again");
            let delay = delays.next().unwrap_or(MAX_DELAY);
            let pause = pause.map(|pause| pause.clamp(MIN_DELAY, MAX_RETRY_AFTER));
            self.clock.sleep(pause.unwrap_or(delay)).await;
        }
    }

    /// As often as is allowed.
    pub(super) fn max_attempts(&self) -> u32 {
        self.patience.max_attempts
    }

    pub(super) fn is_managed_identity(&self) -> bool {
        matches!(self.way, Way::ManagedIdentity { .. })
    }

    fn exhausted(&self, attempts: u32, began: Duration, last: TokenRequestError) -> SignInError {
        let is_of_proxy =
            matches!(&last, TokenRequestError::Transport { source, .. } if is_of_proxy(source));
        SignInError::Exhausted {
            who: self.way.who(),
            host: self.way.host(),
            attempts,
            elapsed: self.clock.elapsed().saturating_sub(began),
            last,
            advice: if self.is_managed_identity() {
                "run on a machine or service of Azure that has a managed identity, or sign in as an application (--entra-tenant, --client-id)"
            } else if is_of_proxy {
                CHECK_PROXY
            } else {
                "check --authority and the way to it, or run again later: what is committed is kept"
            },
        }
    }

    /// Asks once.
    async fn attempt(&self, secrets: &Secrets) -> Result<Issued, Failure> {
        let (asked, now_ms) = (self.clock.elapsed(), self.clock.now_ms());
        let TokenRequest {
            request,
            secrets: sent,
        } = self
            .way
            .request(&self.http, now_ms)
            .map_err(Failure::Final)?;
        for secret in sent {
            secrets.keep(secret);
        }
        let response = request.send().await.map_err(|error| self.unsent(error))?;
        if !response.status().is_success() {
            return Err(self.refusal(response, secrets).await);
        }
        let status = response.status().as_u16();
        let body = read(response).await.map_err(|error| self.unsent(error))?;
        let issued = Issued::parse(&body, asked, now_ms).map_err(|reason| {
            match TokenRefusal::parse(&body) {
                // It refuses, whatever the status says.
                Some(refusal) => self.refused(status, Some(refusal), None, secrets),
                None => Failure::Passing(TokenRequestError::Malformed { reason }, None),
            }
        })?;
        secrets.keep(issued.token.clone());
        info!(
            who = %self.way.who(), at = %self.way.host(),
            life_s = issued.life.map(|life| life.as_secs()), "signed in"
        );
        Ok(issued)
    }

    /// What it means that no answer came.
    fn unsent(&self, error: reqwest::Error) -> Failure {
        if let Some(source) = distrust(&error) {
            let host = self.way.host();
            return Failure::Final(SignInError::Certificate { host, source });
        }
        Failure::Passing(TokenRequestError::transport(error), None)
    }

    /// What an answer other than 2xx means.
    async fn refusal(&self, response: Response, secrets: &Secrets) -> Failure {
        let status = response.status();
        if status.is_redirection() {
            let (who, host) = (self.way.who(), self.way.host());
            let location = response.headers().get(LOCATION);
            let target = location
                .and_then(|to| response.url().join(to.to_str().ok()?).ok())
                .and_then(|url| url.host_str().map(str::to_owned));
            let target = shorten(&secrets.redact(target.as_deref().unwrap_or("nowhere")));
            return Failure::Final(SignInError::Redirected { who, host, target });
        }
        let pause = retry_after(response.headers(), self.clock.now_ms());
        let refusal = match read(response).await {
            Ok(body) => TokenRefusal::parse(&body),
            Err(_) => None,
        };
        self.refused(status.as_u16(), refusal, pause, secrets)
    }

    /// What a refusal means, as far as it can be read.
    fn refused(
        &self,
        status: u16,
        refusal: Option<TokenRefusal>,
        pause: Option<Duration>,
        secrets: &Secrets,
    ) -> Failure {
        let said = refusal.as_ref().map(TokenRefusal::text);
        let reason = said.unwrap_or_else(|| "no reason was given".to_owned());
        // Redacted before it is cut short, lest the beginning of a secret is left.
        let reason = shorten(&secrets.redact(&reason));
        let is_passing = refusal.as_ref().is_some_and(TokenRefusal::is_passing);
        if is_passing || self.passes(status) {
            let error = TokenRequestError::Status {
                status,
                detail: reason,
            };
            return Failure::Passing(error, pause);
        }
        Failure::Final(SignInError::Refused {
            who: self.way.who(),
            host: self.way.host(),
            status,
            reason,
            is_of_authority: refusal.as_ref().is_some_and(TokenRefusal::is_of_authority),
            advice: if self.is_managed_identity() {
                "assign a managed identity to this machine or service, or correct --client-id"
            } else {
                refusal.unwrap_or_default().advice()
            },
        })
    }

    /// Whether a status may be another one the next time. The endpoint of a machine says 404 and 410
    /// while it is being updated (page "managed identities").
    fn passes(&self, status: u16) -> bool {
        match status {
            408 | 429 | 500..=599 => true,
            404 | 410 => self.is_managed_identity(),
            _ => false,
        }
    }
}

/// Reads as much of an answer as one can have.
async fn read(mut response: Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            break;
        }
    }
    Ok(body)
}

/// As much of a text as an error shows, on one line.
fn shorten(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(MAX_REASON_CHARS).collect()
}
