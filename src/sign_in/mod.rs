//! Signs in to the service: where every request gets its `Authorization` header from.
//!
//! | way | what proves who asks | what is sent |
//! |---|---|---|
//! | application of Entra | a secret, a certificate, or a token of an issuer that it trusts | `Bearer …` |
//! | managed identity | the machine or service of Azure that asks | `Bearer …` |
//! | API token, the older way | the token itself | `Token …` |
//!
//! A bearer token is asked for when it is first needed, again shortly before it ends, and once more
//! when the service refuses it. What proves who asks is read from its file each time, so that it can be
//! replaced while a run goes on.
//!
//! Nothing here can be printed that is secret: types that hold it have no `Debug`, headers are marked,
//! and texts of others are shown without it ([`Authorize::redact`]).
//!
//! Sources: the pages "Application context" and "API tokens" of the service's documentation; "client
//! credentials flow", "certificate credentials", "workload identity federation" and "managed identities"
//! of Microsoft's identity platform.

mod api_token;
mod authority;
mod bearer;
mod certificate;
mod endpoint;
mod error;
mod issued;
mod proof;
mod refusal;
mod secrets;
mod way;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderValue;

pub use api_token::{ApiToken, TokenError};
pub use authority::{Authority, AuthorityError, IdentityEndpoint};
pub use certificate::UnusableCertificate;
pub use endpoint::{OnRetry, TokenPatience};
pub use error::{Refusal, SignInError, TokenRequestError};
pub use proof::{KeptSecret, Proof, UnusableProof};
pub use way::Way;

use crate::clock::Clock;
use bearer::BearerToken;

/// Gives every request its `Authorization` header.
#[async_trait]
pub trait Authorize: Send + Sync {
    /// The header's value, marked as sensitive.
    async fn header(&self) -> Result<HeaderValue, SignInError>;

    /// Asks for credentials anew, as the service refused these; false where there can be no others. To be
    /// called once for a request.
    async fn renew(&self, refused: &HeaderValue) -> Result<bool, SignInError>;

    /// What to do about a refusal.
    fn advice(&self, refusal: Refusal<'_>) -> &'static str;

    /// How long the credentials are good from now on, as far as is known.
    fn remaining(&self) -> Option<Duration> {
        None
    }

    /// Takes the secret, in whatever form it comes back, out of a text that somebody else sent.
    fn redact(&self, text: &str) -> String;
}

/// How a run signs in, before it does.
pub enum SignIn {
    /// With a token of the portal.
    ApiToken(ApiToken),
    /// With tokens that somebody hands out.
    Bearer(Way, TokenPatience),
}

impl SignIn {
    /// As whom, for people.
    pub fn who(&self) -> String {
        match self {
            Self::ApiToken(_) => "the API token".to_owned(),
            Self::Bearer(way, _) => way.who(),
        }
    }

    /// Begins. Nothing is asked for yet.
    ///
    /// # Errors
    /// The HTTP client cannot be set up.
    pub fn begin(
        self,
        clock: Arc<dyn Clock>,
        on_retry: OnRetry,
    ) -> Result<Box<dyn Authorize>, SignInError> {
        Ok(match self {
            Self::ApiToken(token) => Box::new(token),
            Self::Bearer(way, patience) => {
                Box::new(BearerToken::new(way, patience, clock, on_retry)?)
            }
        })
    }
}
