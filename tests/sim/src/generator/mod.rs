//! Invents activities that look like real ones, from a seed.
//!
//! An activity is a few numbers ([`Seedling`]); its text is rendered when somebody asks for it, so
//! that a tenant with hundreds of thousands of activities stays small. Hands text to the tenant and
//! to benches; knows nothing of requests or pages of a scan.

mod facts;
mod frame;
mod json;
mod kind;
mod odd;
mod records;
mod sketch;
mod spread;
mod world;

pub use kind::Kind;

pub(crate) use sketch::Sketch;
pub(crate) use spread::{seedling, seedlings};
pub(crate) use world::World;

use facts::Facts;
use json::Json;

use crate::random::Random;

/// Milliseconds in a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// 2026-11-19T00:00:00Z, the default start of generated activities.
pub const DEFAULT_FROM_MS: i64 = 1_795_046_400_000;

/// What a generated tenant holds.
#[derive(Clone, Debug)]
pub struct TenantOptions {
    /// The same seed gives the same activities, byte for byte.
    pub seed: u64,
    pub activities: u64,
    /// Start of the window over which `created` is spread, with a daily rhythm.
    pub from_ms: i64,
    /// End of that window, exclusive.
    pub until_ms: i64,
    /// Share of activities saved in the same millisecond as another, in a thousand: what makes pages
    /// end inside a tie group.
    pub ties_per_mille: u32,
    /// Share of records with a rare irregularity at a documented path, in a thousand.
    pub odd_per_mille: u32,
}

impl Default for TenantOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            activities: 1_000,
            from_ms: DEFAULT_FROM_MS,
            until_ms: DEFAULT_FROM_MS + DAY_MS,
            ties_per_mille: 200,
            odd_per_mille: 10,
        }
    }
}

/// A generated activity before it is rendered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seedling {
    pub(crate) seed: u64,
    pub(crate) kind: Kind,
    pub(crate) created_ms: i64,
    pub(crate) timestamp_ms: i64,
}

/// Renders an activity as compact JSON text.
pub(crate) fn render(world: &World, seedling: Seedling, odd_per_mille: u32) -> String {
    let mut random = Random::new(seedling.seed);
    let facts = Facts::draw(
        world,
        seedling.kind,
        seedling.created_ms,
        seedling.timestamp_ms,
        odd_per_mille,
        &mut random,
    );
    // The public samples come in both orders: Office 365 as the pipeline built it, sign-ins sorted.
    let mut json = Json::new(!seedling.kind.has_whole_seconds());
    frame::write(&mut json, &facts, &mut random);
    json.finish()
}

/// `count` records of a tenant with this seed, in order of `created`, as compact JSON texts.
pub fn records(seed: u64, count: u64) -> Vec<String> {
    let options = TenantOptions {
        seed,
        activities: count,
        ..TenantOptions::default()
    };
    let world = World::new(seed);
    seedlings(&options)
        .into_iter()
        .map(|seedling| render(&world, seedling, options.odd_per_mille))
        .collect()
}

/// One answer with `count` records: `{"data":[…],"hasNext":false}`.
pub fn page(seed: u64, count: u64) -> String {
    format!(
        "{{\"data\":[{}],\"hasNext\":false}}",
        records(seed, count).join(",")
    )
}
