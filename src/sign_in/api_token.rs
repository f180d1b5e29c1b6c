//! The API token of the portal: the older way to sign in.

use std::path::PathBuf;

use async_trait::async_trait;
use http::HeaderValue;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tracing::warn;

use super::Authorize;
use super::error::{Refusal, SignInError};
use crate::text::redact::redact;

/// A token of the portal: `Authorization: Token …` (page "API tokens", which calls this path one on its
/// way out). No format is assumed; the
/// service says whether it knows it.
pub struct ApiToken {
    /// Every token so far, the present one last: what the service says may repeat an older one.
    tokens: Mutex<Vec<Sendable>>,
    /// Where it stands, if it can change.
    file: Option<PathBuf>,
}

/// A token that a header can carry.
struct Sendable {
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
        "the token has characters that a header cannot carry (a line break, a control character)"
    )]
    Unsendable,
}

impl ApiToken {
    /// Takes a token as it stands in a variable or a file; a byte-order mark, and one line break at its end,
    /// are the file's.
    pub fn try_new(text: &SecretString) -> Result<Self, TokenError> {
        Ok(Self {
            tokens: Mutex::new(vec![Sendable::try_new(text)?]),
            file: None,
        })
    }

    /// The same, read from this file again when the service does not know it any more.
    #[must_use]
    pub fn kept_in(self, file: PathBuf) -> Self {
        Self {
            file: Some(file),
            ..self
        }
    }

    fn present(&self) -> HeaderValue {
        let tokens = self.tokens.lock();
        let present = tokens.last().expect("there is a token from the beginning");
        present.header.clone()
    }

    /// The token that the file holds now, if it can be read and sent.
    fn read_again(&self) -> Option<Sendable> {
        let file = self.file.as_ref()?;
        // A pipe gives its text once, and then lets nobody in until somebody writes again.
        if std::fs::metadata(file).is_ok_and(|found| !found.is_file()) {
            return None;
        }
        let text = match std::fs::read_to_string(file) {
            Ok(text) => SecretString::from(text),
            Err(error) => {
                warn!(file = %file.display(), %error, "cannot read the token file again");
                return None;
            }
        };
        match Sendable::try_new(&text) {
            Ok(token) => Some(token),
            Err(error) => {
                warn!(file = %file.display(), %error, "cannot read the token file again");
                None
            }
        }
    }
}

impl Sendable {
    /// Takes a token as it stands in a variable or a file; one line break at its end is the file's.
    fn try_new(text: &SecretString) -> Result<Self, TokenError> {
        let text = text.expose_secret();
        let token = text.strip_prefix('\u{feff}').unwrap_or(text);
        let token = token.strip_suffix('\n').unwrap_or(token);
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
    async fn header(&self) -> Result<HeaderValue, SignInError> {
        Ok(self.present())
    }

    async fn renew(&self, refused: &HeaderValue) -> Result<bool, SignInError> {
        if self.present() != refused {
            // Another request has read it again meanwhile.
            return Ok(true);
        }
        let fresh = self.read_again().filter(|token| token.header != refused);
        let is_there = fresh.is_some();
        self.tokens.lock().extend(fresh);
        Ok(is_there)
    }

    fn advice(&self, refusal: Refusal<'_>) -> &'static str {
        refusal.advice_of_host().unwrap_or(
            "renew the token (MDCA_API_TOKEN or --token-file) or have its rights checked",
        )
    }

    fn redact(&self, text: &str) -> String {
        let tokens = self.tokens.lock();
        let known: Vec<&str> = tokens
            .iter()
            .map(|known| known.token.expose_secret())
            .collect();
        redact(text, &known)
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
        assert_eq!(token.redact("bad token s3cret=!"), "bad token [secret]!");
    }

    #[test]
    fn a_host_that_does_not_know_the_tenant_is_no_reason_to_renew() {
        let token = ApiToken::try_new(&"s3cret=".into()).unwrap();
        let advice = |detail| {
            let status = 401;
            token.advice(Refusal { status, detail })
        };
        assert!(advice("Invalid token").starts_with("renew the token"));
        assert!(advice("Invalid JSON Web Key Set").contains("--api-url"));
    }

    #[tokio::test]
    async fn a_token_in_a_file_is_read_again_when_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let token = ApiToken::try_new(&"0ld=".into()).unwrap();
        let token = token.kept_in(file.clone());
        let old = token.header().await.unwrap();
        // There is none, it is the same, it cannot be sent.
        assert!(!token.renew(&old).await.unwrap());
        for text in ["0ld=\n", "", "a\nb"] {
            std::fs::write(&file, text).unwrap();
            assert!(!token.renew(&old).await.unwrap());
        }
        std::fs::write(&file, "n3w=\n").unwrap();
        assert!(token.renew(&old).await.unwrap());
        let new = token.header().await.unwrap();
        assert_eq!(new, "Token n3w=");
        // A second request that was refused with the old one only needs the new one.
        assert!(token.renew(&old).await.unwrap());
        assert!(!token.renew(&new).await.unwrap());
        assert_eq!(token.redact("0ld= n3w="), "[secret] [secret]");
    }

    #[tokio::test]
    async fn a_pipe_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("token");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let token = ApiToken::try_new(&"s3cret=".into()).unwrap().kept_in(pipe);
        let header = token.header().await.unwrap();
        assert!(!token.renew(&header).await.unwrap());
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
