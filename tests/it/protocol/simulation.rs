//! A scripted service, a store that fails by seed, simulated time, and up to three runs at once
//! that take turns by seed. The lake of even seeds is on a disk, that of odd ones in object storage,
//! where every single request may fail. Each world ends in one undisturbed run and the exact set.
//!
//! A quarter of the worlds have two slices in flight; there the network has a say in who is first, so
//! that one of them may have to be replayed a few times.
//!
//! `MDCA_TEST_SEED=n` replays one world; `MDCA_TEST_SEEDS=n` tries so many: a run of the suite a few
//! hundred, each time others.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::join_all;
use mdca_lake::commit::{self, Commit};
use mdca_lake::text::report::Report;
use mdca_sim::{At, Change, Fault, Repeat, What};

use crate::support::faulty::{Call, Fate, Gate, Turns};
use crate::support::scenario::{Scenario, Story, assert_same, at, expect_conserved};

/// Worlds that are tried where nobody says.
const WORLDS: u64 = 300;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// What all worlds came to.
#[derive(Default)]
struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    fn count(&self, what: &'static str, n: u64) {
        *self.0.lock().unwrap().entry(what).or_default() += n;
    }
}

#[test]
fn every_world_ends_in_the_exact_set() {
    let tally = Tally::default();
    if let Some(seed) = number("MDCA_TEST_SEED") {
        world(seed, &tally);
        println!("{:?}", tally.0.lock().unwrap());
        return;
    }
    let worlds = number("MDCA_TEST_SEEDS").unwrap_or(WORLDS);
    let first = fastrand::u64(..1 << 40);
    let next = AtomicU64::new(first);
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + worlds || failed.lock().unwrap().len() > 4 {
                        return;
                    }
                    if std::panic::catch_unwind(AssertUnwindSafe(|| world(seed, &tally))).is_err() {
                        println!("to see it again: MDCA_TEST_SEED={seed} cargo test --test it every_world");
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    println!(
        "{worlds} worlds from seed {first} on: {:?}",
        tally.0.lock().unwrap()
    );
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "worlds with these seeds failed: {failed:?}"
    );
}

/// What the service may do to any run without a record being lost.
fn trouble(random: &mut fastrand::Rng) -> Fault {
    let place = match random.u32(..4) {
        0 => At::Request(random.u64(..12)),
        1 => At::Page(random.u64(..4)),
        2 => At::PagesFrom(random.u64(..3)),
        _ => At::FirstPages,
    };
    let what = match random.u32(..14) {
        0 => What::gateway(503),
        1 => What::throttled(Some(random.u32(..90))),
        2 => What::html(200),
        3 => What::MalformedJson,
        4 => What::TruncatedJson,
        5 => What::CutBody { after: 300 },
        6 => What::Close,
        7 => What::DataNull,
        8 => What::NextFiltersMissing,
        9 => What::EmptyPage,
        10 => What::Shuffle,
        11 => What::Repeat(Repeat::Exact),
        12 => What::Repeat(Repeat::Reordered),
        _ => What::Record(Change::InvalidUtf8),
    };
    Fault::new(place, what).times(random.u32(1..3))
}

/// What the store does to the calls of one run.
fn plan(mut random: fastrand::Rng) -> impl FnMut(&Call) -> Fate + Send + 'static {
    let trouble_per_mille = [0, 5, 30, 120][random.usize(..4)];
    let dies_at = random.bool().then(|| random.usize(..50));
    move |call| {
        if Some(call.index) == dies_at {
            return [Fate::Die, Fate::DieAfter, Fate::DieLate][random.usize(..3)];
        }
        if random.u32(..1_000) >= trouble_per_mille {
            return Fate::Pass;
        }
        match random.u32(..6) {
            0 => Fate::Refuse,
            5 => Fate::Deny,
            1 | 2 => Fate::LoseAnswer,
            3 => Fate::Conflict,
            _ => Fate::CutBody,
        }
    }
}

fn world(seed: u64, tally: &Tally) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut random = fastrand::Rng::with_seed(seed);
        // More than a few of them are asked for in spans, where they are thin.
        let slices = match random.u32(..4) {
            0 => random.i64(4..9),
            _ => random.i64(1..4),
        };
        let from_ms = at("2026-11-18T22:00:00Z");
        let mut scenario = Scenario::window(from_ms, from_ms + slices * 3_600_000)
            .seed(seed)
            .activities(random.u64(1..50))
            .ties([0, 200, 900][random.usize(..3)])
            .page_cap(random.usize(3..40))
            .in_bucket(seed % 2 == 1)
            .flags(&[
                "--parallel",
                ["1", "1", "1", "2"][random.usize(..4)],
                "--requests-per-minute",
                "0",
                "--max-attempts",
                "20",
            ]);
        for _ in 0..random.u32(..4) {
            scenario = scenario.fault(trouble(&mut random));
        }
        let story = scenario.start().await;
        let mut late = Vec::new();
        for _ in 0..random.u32(1..4) {
            let gates = at_once(&story, &mut random, tally).await;
            // What the dead had sent lands now or after everything.
            for gate in gates {
                if random.bool() {
                    tally.count("late puts", gate.land().await as u64);
                } else {
                    late.push(gate);
                }
            }
        }
        // Undisturbed by the store; what is left of the service's troubles may still come.
        let report = story.scan(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        expect_conserved(&report);
        let mut found = story.visible_ids().await;
        found.sort();
        let rows = found.len();
        found.dedup();
        assert_same(&found, &story.expected_ids());
        assert_eq!((rows - found.len()) as u64, kept_twice(&story).await);
        for gate in late {
            tally.count("very late puts", gate.land().await as u64);
        }
        story.expect_clean_in_an_hour().await;
        assert_eq!(story.visible_ids().await.len(), rows);
        let again = story.scan(&[]).await;
        assert_eq!(
            (again.head.exit_code, again.scanned.requests),
            (0, 0),
            "{}",
            again.to_text()
        );
    });
    tally.count("worlds", 1);
    tally.count("worlds in object storage", seed % 2);
}

/// Rows that the commits say came again with other JSON. A record whose bytes were damaged in both
/// answers to a request is one, where it is met again as it was.
async fn kept_twice(story: &Story) -> u64 {
    let lake = story.store();
    let mut rows = 0;
    for slice in commit::committed_slices(&lake).await.unwrap() {
        let commit = Commit::load(&lake, &slice).await.unwrap().unwrap();
        rows += commit.counts.changed_repeats;
    }
    rows
}

/// One to three runs over the lake, taking turns.
async fn at_once(story: &Story, random: &mut fastrand::Rng, tally: &Tally) -> Vec<Arc<Gate>> {
    let runs = random.usize(1..4);
    let turns = Turns::new(random.u64(..), 0..runs);
    let gates: Vec<_> = (0..runs)
        .map(|run| {
            let random = fastrand::Rng::with_seed(random.u64(..));
            Gate::taking_turns(plan(random), Some((Arc::clone(&turns), run)))
        })
        .collect();
    let seed = random.u64(..);
    let ended = join_all(gates.iter().enumerate().map(|(run, gate)| {
        let (guarded, turns) = (story.guarded(gate), Arc::clone(&turns));
        let own_seed = seed.wrapping_add(run as u64);
        let if_running = ["yield", "go"][random.usize(..2)];
        let live = async move {
            let flags = ["--if-running", if_running];
            let report = gate.live(story.scan_on(guarded, own_seed, &flags)).await;
            turns.leave(run);
            report
        };
        AssertUnwindSafe(live).catch_unwind()
    }))
    .await;
    for ended in ended {
        let report = match ended {
            Ok(report) => report,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        tally.count("runs", 1);
        let Some(report) = report else {
            tally.count("runs that died", 1);
            continue;
        };
        assert!(
            matches!(report.head.exit_code, 0 | 6),
            "{}",
            report.to_text()
        );
        expect_conserved(&report);
        tally.count(
            "runs with a storage error",
            u64::from(report.head.exit_code == 6),
        );
        tally.count(
            "runs that yielded",
            u64::from(report.head.status == "yielded"),
        );
        tally.count("lost attempts", report.slices.lost_attempts);
        tally.count("adopted attempts", report.slices.adopted);
        tally.count("spans", report.scanned.spans);
        tally.count("spans given up", report.scanned.spans_given_up);
        tally.count(
            "objects that could not be removed",
            report.result.not_cleared,
        );
        tally.count("service retries", report.scanned.retries.values().sum());
    }
    let calls: usize = gates.iter().map(|gate| gate.calls().len()).sum();
    tally.count("calls on the store", calls as u64);
    gates
}
