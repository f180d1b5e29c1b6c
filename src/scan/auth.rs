//! Credentials of the service, which no log or error can show.

use async_trait::async_trait;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::error::ScanError;

/// Gives every request its `Authorization` header.
#[async_trait]
pub trait Authorize: Send + Sync {
    /// The header's value, marked as sensitive.
    async fn header(&self) -> Result<HeaderValue, ScanError>;

    /// Asks for fresh credentials after the service refused the present ones; false where there
    /// are no others.
    async fn renew(&self) -> Result<bool, ScanError>;

    /// Takes the secret out of a text that the service sent.
    fn redact(&self, text: &str) -> String;
}

/// A token of the portal: `Authorization: Token …` (page "API tokens"). No format is assumed; the
/// service says whether it knows it.
pub struct ApiToken {
    token: SecretString,
    header: HeaderValue,
}

/// Why a text cannot be sent as a token. Never holds it.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    /// There is nothing in it.
    #[error("the token is empty")]
    Empty,
    /// A header cannot carry it.
    #[error(
        "the token holds characters that no header can carry (a line break, a control character)"
    )]
    Unsendable,
}

impl ApiToken {
    /// Takes a token as it stands in a variable or a file; one line break at its end is the file's.
    pub fn try_new(text: &SecretString) -> Result<Self, TokenError> {
        let text = text.expose_secret();
        let token = text.strip_suffix('\n').unwrap_or(text);
        let token = token.strip_suffix('\r').unwrap_or(token);
        if token.trim().is_empty() {
            return Err(TokenError::Empty);
        }
        let mut header =
            HeaderValue::from_str(&format!("Token {token}")).map_err(|_| TokenError::Unsendable)?;
        header.set_sensitive(true);
        Ok(Self {
            token: token.into(),
            header,
        })
    }
}

#[async_trait]
impl Authorize for ApiToken {
    async fn header(&self) -> Result<HeaderValue, ScanError> {
        Ok(self.header.clone())
    }

    async fn renew(&self) -> Result<bool, ScanError> {
        Ok(false)
    }

    fn redact(&self, text: &str) -> String {
        text.replace(self.token.expose_secret(), "[token]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_sent_as_it_is_and_never_shown() {
        let token = ApiToken::try_new(&"s3cret=\n".into()).unwrap();
        let header = token.header().await.unwrap();
        assert_eq!(header, "Token s3cret=");
        assert!(!format!("{header:?}").contains("s3cret"));
        assert_eq!(token.redact("bad token s3cret=!"), "bad token [token]!");
    }

    #[test]
    fn what_no_header_can_carry_is_no_token() {
        assert_eq!(
            ApiToken::try_new(&"\n".into()).err(),
            Some(TokenError::Empty)
        );
        assert_eq!(
            ApiToken::try_new(&"a\nb".into()).err(),
            Some(TokenError::Unsendable)
        );
        assert_eq!(
            ApiToken::try_new(&"a\u{0}b".into()).err(),
            Some(TokenError::Unsendable)
        );
    }
}
