//! Rare irregularities that a typed reader must survive, at paths of the documented record.
//!
//! Seen by clients or plausible from what they saw; about one record in a hundred by default.

use crate::random::Random;

/// One irregularity of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Odd {
    TenantIdAsText,
    ConfidenceAsText,
    ConfidenceAsDouble,
    SuccessAsText,
    ActorSaasIdAsNumber,
    ObjectSaasIdAsText,
    TimestampAsText,
    CreatedAsText,
    UserNull,
    LocationNull,
    ClassificationsNull,
    CoordinatesAsIntegers,
    /// Keys of the source event that differ only by case.
    CollidingRawKeys,
    /// Escapes where plain text would do, control characters, surrogate pairs.
    EscapedText,
    ScalarClassification,
    EntityDataNull,
}

impl Odd {
    const ALL: [Self; 16] = [
        Self::TenantIdAsText,
        Self::ConfidenceAsText,
        Self::ConfidenceAsDouble,
        Self::SuccessAsText,
        Self::ActorSaasIdAsNumber,
        Self::ObjectSaasIdAsText,
        Self::TimestampAsText,
        Self::CreatedAsText,
        Self::UserNull,
        Self::LocationNull,
        Self::ClassificationsNull,
        Self::CoordinatesAsIntegers,
        Self::CollidingRawKeys,
        Self::EscapedText,
        Self::ScalarClassification,
        Self::EntityDataNull,
    ];

    pub(crate) fn draw(random: &mut Random, per_mille: u32) -> Option<Self> {
        let odd = random.chance(per_mille);
        let which = *random.pick(&Self::ALL);
        odd.then_some(which)
    }
}
