//! What the service answers with.

use super::envelope::Envelope;
use crate::text::damage::Damage;

/// The service's clock on its answers, in milliseconds since the epoch, to the second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dates {
    /// The earliest: what was not there by then may be missing.
    pub earliest_ms: Option<i64>,
    /// That of the last answer; none where it had none.
    pub last_ms: Option<i64>,
}

impl Dates {
    /// Takes note of an answer.
    pub(super) fn note(&mut self, date_ms: Option<i64>) {
        self.last_ms = date_ms;
        self.earliest_ms = self.earliest_ms.into_iter().chain(date_ms).min();
    }
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
