//! The secrets that were sent or received, so that nobody's text shows them.

use std::collections::VecDeque;

use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};

use crate::text::redact::redact;

/// So many are remembered: what another side repeats is what it was just sent.
const KEPT: usize = 8;

/// The last of the secrets.
#[derive(Default)]
pub(super) struct Secrets(Mutex<VecDeque<SecretString>>);

impl Secrets {
    /// Remembers one.
    pub(super) fn keep(&self, secret: SecretString) {
        let mut kept = self.0.lock();
        kept.retain(|known| known.expose_secret() != secret.expose_secret());
        kept.push_back(secret);
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }

    /// The text without them.
    pub(super) fn redact(&self, text: &str) -> String {
        let kept = self.0.lock();
        let known: Vec<&str> = kept.iter().map(ExposeSecret::expose_secret).collect();
        redact(text, &known)
    }
}
