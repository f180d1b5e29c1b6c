//! When activities happen and when they are saved: a daily rhythm, ties, and lateness.

use super::kind::Kind;
use super::{DAY_MS, Seedling, TenantOptions};
use crate::random::{Random, mix};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// How busy each hour of the day is, in percent of the busiest.
const RHYTHM: [u64; 24] = [
    12, 10, 10, 10, 12, 18, 30, 55, 85, 100, 98, 92, 80, 90, 96, 92, 84, 66, 45, 34, 28, 24, 18, 14,
];

/// The activities of a tenant in order of `created`.
pub(crate) fn seedlings(options: &TenantOptions) -> Vec<Seedling> {
    let mut random = Random::new(mix(options.seed, 0x5eed_0002));
    let mut moments = Vec::new();
    for _ in 0..options.activities {
        let moment = match moments.last() {
            Some(before) if random.chance(options.ties_per_mille) => *before,
            _ => moment(options, &mut random),
        };
        moments.push(moment);
    }
    moments.sort_unstable();
    moments
        .into_iter()
        .enumerate()
        .map(|(at, created_ms)| seedling(mix(options.seed, at as u64), created_ms))
        .collect()
}

/// The activity with this seed, saved at `created_ms`.
pub(crate) fn seedling(seed: u64, created_ms: i64) -> Seedling {
    let mut random = Random::new(mix(seed, 0x5eed_0003));
    let kind = Kind::draw(&mut random);
    let happened = created_ms.saturating_sub(lateness(&mut random)).max(0);
    Seedling {
        seed,
        kind,
        created_ms,
        timestamp_ms: if kind.has_whole_seconds() {
            happened - happened % 1000
        } else {
            happened
        },
    }
}

/// A moment of the window, more often in busy hours.
fn moment(options: &TenantOptions, random: &mut Random) -> i64 {
    // Bounded, because a window inside one quiet hour would otherwise try for long.
    for _ in 0..8 {
        let moment = random.between(options.from_ms, options.until_ms);
        let hour =
            usize::try_from(moment.rem_euclid(DAY_MS) / HOUR_MS).expect("an hour is 0 to 23");
        if random.below(100) < RHYTHM[hour] {
            return moment;
        }
    }
    random.between(options.from_ms, options.until_ms)
}

/// `created` less `timestamp`: 170 to 340 s in the samples, with a tail of hours to days.
fn lateness(random: &mut Random) -> i64 {
    match random.below(1000) {
        0..850 => random.between(MINUTE_MS, 6 * MINUTE_MS),
        850..970 => random.between(6 * MINUTE_MS, HOUR_MS),
        970..997 => random.between(HOUR_MS, DAY_MS),
        _ => random.between(DAY_MS, 5 * DAY_MS),
    }
}
