//! A bearer token that is always good: asked for when it is needed, renewed in time, and once more when
//! the service refuses it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderValue;
use tokio::sync::Mutex;
use tracing::warn;

use super::Authorize;
use super::endpoint::{Endpoint, OnRetry, TokenPatience};
use super::error::{Refusal, SignInError};
use super::issued::Issued;
use super::refusal::ROLE_ADVICE;
use super::secrets::Secrets;
use super::way::Way;
use crate::clock::Clock;
use crate::text::plain::chain;

/// The token of a run, for all its requests.
pub(super) struct BearerToken {
    endpoint: Endpoint,
    clock: Arc<dyn Clock>,
    /// Locked while a token is asked for: requests at the same time wait for the same one.
    present: Mutex<Option<Issued>>,
    secrets: Secrets,
}

impl BearerToken {
    pub(super) fn new(
        way: Way,
        patience: TokenPatience,
        clock: Arc<dyn Clock>,
        on_retry: OnRetry,
    ) -> Result<Self, SignInError> {
        Ok(Self {
            endpoint: Endpoint::new(way, patience, Arc::clone(&clock), on_retry)?,
            clock,
            present: Mutex::new(None),
            secrets: Secrets::default(),
        })
    }

    async fn ask(&self, max_attempts: u32) -> Result<Issued, SignInError> {
        self.endpoint.fetch(max_attempts, &self.secrets).await
    }

    /// Another token in time, if it can be had. An authority that does not answer just now, and what
    /// answers in its place, hold nothing up as long as the present one is good.
    async fn renew_early(&self, present: &mut Issued) -> Result<(), SignInError> {
        match self.ask(1).await {
            Ok(fresh) => *present = fresh,
            Err(error) if error.is_for_good() => return Err(error),
            Err(error) => {
                warn!(error = %chain(&error), "cannot renew the token yet");
                present.put_off(self.clock.elapsed());
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Authorize for BearerToken {
    async fn header(&self) -> Result<HeaderValue, SignInError> {
        let mut present = self.present.lock().await;
        let now = self.clock.elapsed();
        if let Some(token) = present.as_mut()
            && !token.is_over(now)
        {
            if token.is_due(now) {
                self.renew_early(token).await?;
            }
            if !token.is_over(self.clock.elapsed()) {
                return Ok(token.header.clone());
            }
        }
        let fresh = self.ask(self.endpoint.max_attempts()).await?;
        Ok(present.insert(fresh).header.clone())
    }

    async fn renew(&self, refused: &HeaderValue) -> Result<bool, SignInError> {
        let mut present = self.present.lock().await;
        if present
            .as_ref()
            .is_some_and(|token| token.header != refused)
        {
            // Another request has renewed it meanwhile.
            return Ok(true);
        }
        // Who issues it may give the same one again until it ends, and a refusal may pass.
        *present = Some(self.ask(self.endpoint.max_attempts()).await?);
        Ok(true)
    }

    fn advice(&self, refusal: Refusal<'_>) -> &'static str {
        if let Some(advice) = refusal.advice_of_host() {
            return advice;
        }
        if refusal.status == 403 {
            return ROLE_ADVICE;
        }
        "check that --entra-tenant is the tenant of --api-url, and that the application has the role Investigation.read"
    }

    fn remaining(&self) -> Option<Duration> {
        let present = self.present.try_lock().ok()?;
        present.as_ref()?.remaining(self.clock.elapsed())
    }

    fn redact(&self, text: &str) -> String {
        self.secrets.redact(text)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use parking_lot::Mutex as Lock;

    use super::super::{KeptSecret, Proof};
    use super::*;

    /// A clock that stands where it is put.
    #[derive(Default)]
    struct Put(Lock<Duration>);

    #[async_trait]
    impl Clock for Put {
        fn now_ms(&self) -> i64 {
            0
        }

        fn elapsed(&self) -> Duration {
            *self.0.lock()
        }

        async fn sleep(&self, _: Duration) {}
    }

    /// An authority that gives these answers, one for each request.
    fn authority(answers: &'static [(u16, &'static str)]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for (status, body) in answers {
                let mut client = BufReader::new(listener.accept().unwrap().0);
                let mut length = 0;
                let mut line = String::new();
                while client.read_line(&mut line).unwrap() > 2 {
                    let lower = line.to_lowercase();
                    if let Some(value) = lower.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                client.read_exact(&mut vec![0; length]).unwrap();
                let length = body.len();
                write!(
                    client.get_mut(),
                    "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                )
                .unwrap();
            }
        });
        url
    }

    fn token(answers: &'static [(u16, &'static str)]) -> (BearerToken, Arc<Put>) {
        let way = Way::Application {
            authority: authority(answers).parse().unwrap(),
            tenant: "contoso".to_owned(),
            client_id: "application".to_owned(),
            proof: Proof::Secret(KeptSecret::of_variable("X", "s3cret".into())),
        };
        let patience = TokenPatience {
            max_attempts: 1,
            connect_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(30),
        };
        let clock = Arc::new(Put::default());
        let shared: Arc<dyn Clock> = Arc::<Put>::clone(&clock);
        let token = BearerToken::new(way, patience, shared, Box::new(|_| {}));
        (token.unwrap(), clock)
    }

    const ISSUED: (u16, &str) = (200, r#"{"access_token":"first","expires_in":600}"#);

    #[tokio::test]
    async fn a_page_of_something_before_the_authority_does_not_end_a_token_that_is_good() {
        let (token, clock) = token(&[
            ISSUED,
            (403, "<html>blocked</html>"),
            (401, r#"{"error":"invalid_client"}"#),
        ]);
        let first = token.header().await.unwrap();
        *clock.0.lock() = Duration::from_secs(550);
        assert_eq!(token.header().await.unwrap(), first);
        // What the authority itself says is meant.
        *clock.0.lock() = Duration::from_secs(590);
        assert!(token.header().await.unwrap_err().is_refusal());
    }

    #[tokio::test]
    async fn a_refusal_with_status_200_is_said_in_its_words() {
        let (token, _) = token(&[(
            200,
            r#"{"error":"invalid_scope","error_description":"No."}"#,
        )]);
        let error = token.header().await.unwrap_err();
        assert!(
            error.to_string().ends_with("HTTP 200: invalid_scope: No."),
            "{error}"
        );
    }
}
