//! What the service answers with.

use super::envelope::Envelope;
use crate::text::damage::Damage;

/// A page of the service, cut open.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) damage: Option<Damage>,
    pub(super) envelope: Envelope,
    /// The service's clock, in milliseconds since the epoch, to the second.
    pub(super) date_ms: Option<i64>,
}
