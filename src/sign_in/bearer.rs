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

    /// Another token in time, if it can be had. An authority that does not answer just now holds nothing
    /// up as long as the present one is good.
    async fn renew_early(&self, present: &mut Issued) -> Result<(), SignInError> {
        match self.ask(1).await {
            Ok(fresh) => *present = fresh,
            Err(error) if error.is_refusal() => return Err(error),
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
