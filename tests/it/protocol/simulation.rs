//! A scripted service, a store that fails by seed, simulated time, and up to three runs at once
//! that take turns by seed. The lake of even seeds is on a disk, that of odd ones in object storage,
//! where every single request may fail. Each world ends in one undisturbed run and the exact set.
//!
//! A quarter of the worlds have two slices in flight; there the network has a say in who is first, so
//! that one of them may have to be replayed a few times.
//!
//! Other worlds compact meanwhile: up to three runs at once are scans and compactions, and now and then
//! an hour passes, so that what the dead have left is judged.
//!
//! `MDCA_TEST_SEED=n` replays one world; `MDCA_TEST_SEEDS=n` tries so many of each kind: a run of the
//! suite a few hundred, each time others.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::join_all;
use mdca_lake::commit::{self, Commit};
use mdca_lake::job::compact::report::CompactReport;
use mdca_lake::job::report::RunReport;
use mdca_lake::text::report::Report;
use mdca_lake::window::format_time;
use mdca_sim::{At, Change, Fault, Repeat, What};
use serde_json::Value;

use crate::support::faulty::{Call, Fate, Gate, Turns};
use crate::support::scenario::{HOUR_MS, Scenario, Story, assert_same, at, expect_conserved};
use crate::support::table;

/// Worlds that are tried where nobody says.
const WORLDS: u64 = 300;
/// The same of those that compact.
const COMPACTING_WORLDS: u64 = 120;

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
    try_worlds("every_world_ends", WORLDS, world);
}

#[test]
fn every_world_that_compacts_ends_in_the_exact_set() {
    try_worlds(
        "every_world_that_compacts",
        COMPACTING_WORLDS,
        compacting_world,
    );
}

/// Tries worlds of a kind, or the one that is asked for.
fn try_worlds(test: &str, worlds: u64, world: fn(u64, &Tally)) {
    let tally = Tally::default();
    if let Some(seed) = number("MDCA_TEST_SEED") {
        world(seed, &tally);
        println!("{:?}", tally.0.lock().unwrap());
        return;
    }
    let worlds = number("MDCA_TEST_SEEDS").unwrap_or(worlds);
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
                        println!(
                            "to see it again: MDCA_TEST_SEED={seed} cargo test --test it {test}"
                        );
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
fn plan(mut random: fastrand::Rng, kind: Kind) -> impl FnMut(&Call) -> Fate + Send + 'static {
    // A compaction has more calls, and gives up sooner.
    let (calls, troubles) = match kind {
        Kind::Scan(_) => (50, [0, 5, 30, 120]),
        Kind::Compaction => (150, [0, 0, 5, 30]),
    };
    let trouble_per_mille = troubles[random.usize(..4)];
    let dies_at = random.bool().then(|| random.usize(..calls));
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

fn on_one_thread(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(story);
}

/// When a world's window begins.
const FROM: &str = "2026-11-18T22:00:00Z";

/// A time so many hours after it.
fn hour(hours: i64) -> i64 {
    at(FROM) + hours * HOUR_MS
}

/// A tenant of so many hours, and its troubles.
async fn begin(seed: u64, hours: i64, random: &mut fastrand::Rng) -> Story {
    let mut scenario = Scenario::window(hour(0), hour(hours))
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
        scenario = scenario.fault(trouble(random));
    }
    scenario.start().await
}

fn world(seed: u64, tally: &Tally) {
    on_one_thread(async {
        let mut random = fastrand::Rng::with_seed(seed);
        // More than a few of them are asked for in spans, where they are thin.
        let hours = match random.u32(..4) {
            0 => random.i64(4..9),
            _ => random.i64(1..4),
        };
        let story = begin(seed, hours, &mut random).await;
        let mut late = Vec::new();
        for _ in 0..random.u32(1..4) {
            let runs = vec![Kind::Scan(hours); random.usize(1..4)];
            let gates = at_once(&story, &runs, &mut random, tally).await;
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
        let found = story.visible_ids().await;
        let rows = found.len();
        expect_each_once(&story, found).await;
        for gate in late {
            tally.count("very late puts", gate.land().await as u64);
        }
        story.expect_clean_in_an_hour().await;
        assert_eq!(story.visible_ids().await.len(), rows);
        expect_nothing_to_do(&story).await;
    });
    tally.count("worlds", 1);
    tally.count("worlds in object storage", seed % 2);
}

fn compacting_world(seed: u64, tally: &Tally) {
    on_one_thread(async {
        let mut random = fastrand::Rng::with_seed(seed);
        let hours = random.i64(3..9);
        let story = begin(seed, hours, &mut random).await;
        let mut late = Vec::new();
        // Two slices to begin with: else there is nothing to compact.
        let until = format_time(hour(2));
        let report = story.scan(&["--from", FROM, "--until", &until]).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        for _ in 0..random.u32(2..6) {
            let scan = Kind::Scan(random.i64(2..=hours));
            let runs = match random.u32(..3) {
                0 => vec![Kind::Compaction, scan],
                1 => vec![Kind::Compaction; 2],
                _ => vec![Kind::Compaction, scan, Kind::Compaction],
            };
            late.extend(at_once(&story, &runs, &mut random, tally).await);
            // Who goes by the commits and compactions never sees a row twice.
            expect_no_row_twice(&story).await;
            if random.bool() {
                continue;
            }
            // No put is under way for longer.
            for gate in late.drain(..) {
                tally.count("late puts", gate.land().await as u64);
            }
            story.an_hour_passes().await;
            tally.count("hours", 1);
        }
        let report = story.scan(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        expect_each_once(&story, exported_ids(&story).await).await;
        for gate in late {
            tally.count("very late puts", gate.land().await as u64);
        }
        expect_each_once(&story, exported_ids(&story).await).await;
        // An hour for the attempts of the dead, and one for what took their place.
        for _ in 0..2 {
            story.an_hour_passes().await;
            let report = story.compact(&[]).await;
            assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
            assert_eq!(report.not_cleared, 0, "{}", report.to_text());
        }
        story.expect_clean_in_an_hour().await;
        expect_each_once(&story, story.visible_ids().await).await;
        expect_each_once(&story, exported_ids(&story).await).await;
        table::expect_live(&story.store(), "at the end").await;
        expect_nothing_to_do(&story).await;
    });
    tally.count("worlds", 1);
    tally.count("worlds in object storage", seed % 2);
}

/// All records of the service are rows, each once.
async fn expect_each_once(story: &Story, mut found: Vec<String>) {
    found.sort();
    let rows = found.len();
    found.dedup();
    assert_same(&found, &story.expected_ids());
    assert_eq!((rows - found.len()) as u64, kept_twice(story).await);
}

async fn expect_no_row_twice(story: &Story) {
    let mut found = exported_ids(story).await;
    found.sort();
    let rows = found.len();
    found.dedup();
    assert_eq!((rows - found.len()) as u64, kept_twice(story).await);
}

/// The ids of all rows in live files.
async fn exported_ids(story: &Story) -> Vec<String> {
    let id = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["_id"].as_str().unwrap().to_owned()
    };
    story.export().await.lines().map(id).collect()
}

async fn expect_nothing_to_do(story: &Story) {
    let again = story.scan(&[]).await;
    assert_eq!(
        (again.head.exit_code, again.scanned.requests),
        (0, 0),
        "{}",
        again.to_text()
    );
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

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Of the first so many hours.
    Scan(i64),
    Compaction,
}

/// What a run said at its end.
enum Said {
    Scan(Box<RunReport>),
    Compaction(Box<CompactReport>),
}

/// Runs over the lake that take turns.
async fn at_once(
    story: &Story,
    runs: &[Kind],
    random: &mut fastrand::Rng,
    tally: &Tally,
) -> Vec<Arc<Gate>> {
    let turns = Turns::new(random.u64(..), 0..runs.len());
    let gate = |(run, kind): (usize, &Kind)| {
        let random = fastrand::Rng::with_seed(random.u64(..));
        Gate::taking_turns(plan(random, *kind), Some((Arc::clone(&turns), run)))
    };
    let gates: Vec<_> = runs.iter().enumerate().map(gate).collect();
    let seed = random.u64(..);
    let ended = join_all(
        gates
            .iter()
            .zip(runs)
            .enumerate()
            .map(|(run, (gate, kind))| {
                let (guarded, turns) = (story.guarded(gate), Arc::clone(&turns));
                let own_seed = seed.wrapping_add(run as u64);
                let if_running = ["yield", "go"][random.usize(..2)];
                let live = async move {
                    let said = async {
                        match kind {
                            Kind::Scan(hours) => {
                                let until = format_time(hour(*hours));
                                let flags = [
                                    "--if-running",
                                    if_running,
                                    "--from",
                                    FROM,
                                    "--until",
                                    &until,
                                ];
                                let report = story.scan_on(guarded, own_seed, &flags).await;
                                Said::Scan(Box::new(report))
                            }
                            Kind::Compaction => {
                                let report = story.compact_on(guarded, own_seed, &[]).await;
                                Said::Compaction(Box::new(report))
                            }
                        }
                    };
                    let said = gate.live(said).await;
                    turns.leave(run);
                    said
                };
                AssertUnwindSafe(live).catch_unwind()
            }),
    )
    .await;
    for ended in ended {
        let said = match ended {
            Ok(said) => said,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        tally.count("runs", 1);
        match said {
            None => tally.count("runs that died", 1),
            Some(Said::Scan(report)) => expect_scan(&report, tally),
            Some(Said::Compaction(report)) => expect_compaction(&report, tally),
        }
    }
    let calls: usize = gates.iter().map(|gate| gate.calls().len()).sum();
    tally.count("calls on the store", calls as u64);
    gates
}

fn expect_scan(report: &RunReport, tally: &Tally) {
    assert!(
        matches!(report.head.exit_code, 0 | 6),
        "{}",
        report.to_text()
    );
    expect_conserved(report);
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

fn expect_compaction(report: &CompactReport, tally: &Tally) {
    let code = report.head.exit_code;
    assert!(matches!(code, 0 | 5 | 6), "{}", report.to_text());
    tally.count("compactions with an error", u64::from(code != 0));
    tally.count("compacted days", report.days.compacted);
    tally.count("days that another compacted", report.days.lost);
    tally.count("compactions brought to an end", report.recovered);
    tally.count("inputs that could not be removed", report.not_cleared);
}
