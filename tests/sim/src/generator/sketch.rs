//! What filters need to know about a generated activity, drawn without rendering it.
//!
//! The sketch makes the first draws of an activity's random stream; rendering makes the rest, so
//! that both always agree.

use super::kind::Kind;
use super::world::{AGENTS, Agent, PLACES, Person, Place, World};
use crate::random::Random;

/// The drawn attributes of one activity.
#[derive(Debug)]
pub(crate) struct Sketch<'w> {
    pub(crate) id: String,
    /// The GUID of the source event; part of some forms of `_id`.
    pub(crate) source_id: String,
    pub(crate) app_id: i64,
    pub(crate) person: &'w Person,
    pub(crate) agent: &'static Agent,
    pub(crate) place: &'static Place,
    pub(crate) ip: String,
}

impl<'w> Sketch<'w> {
    pub(crate) fn draw(world: &'w World, kind: Kind, created_ms: i64, random: &mut Random) -> Self {
        let app_id = match kind {
            // A sign-in belongs to the application that was signed in to.
            Kind::SignIn | Kind::FailedSignIn => *random.pick(&[11161, 11161, 20893, 20892, 28375]),
            _ => kind.app_id(),
        };
        let source_id = random.guid();
        let id = match kind {
            Kind::SignIn | Kind::FailedSignIn => random.hex(64),
            Kind::Salesforce => format!("{created_ms}_{source_id}"),
            Kind::Identity => random.hex(24),
            _ => format!("{}_{app_id}_{source_id}", world.tenant_id),
        };
        let place = random.pick(&PLACES);
        let ip = if random.chance(80) {
            format!("{}::{}:{}", place.net6, random.hex(4), random.hex(4))
        } else {
            format!("{}.{}.{}", place.net, random.below(256), random.below(256))
        };
        Self {
            id,
            source_id,
            app_id,
            person: random.pick(&world.people),
            agent: random.pick(&AGENTS),
            place,
            ip,
        }
    }
}
