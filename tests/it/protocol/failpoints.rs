//! A run that dies at every single call on the store, or meets an error there, and what the next
//! runs make of it.

use std::sync::Arc;

use mdca_lake::job::report::RunReport;
use mdca_lake::text::report::Report;
use mdca_lake::verify::Sweep;
use mdca_sim::{At, Fault, What};

use crate::support::bucket::{LARGE_PARTS, SMALL_PARTS};
use crate::support::faulty::{Call, Fate, Gate};
use crate::support::process::{every, random};
use crate::support::scenario::{Scenario, Story, assert_same};

/// Where the lake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Home {
    /// On a disk: each call on the store's two halves counts.
    Disk,
    /// In object storage, in memory: each request counts, those of an upload too.
    Bucket,
    /// The same with parts so large that every file is a plain put.
    Puts,
}

impl Home {
    fn part_bytes(self) -> Option<usize> {
        match self {
            Self::Disk => None,
            Self::Bucket => Some(SMALL_PARTS),
            Self::Puts => Some(LARGE_PARTS),
        }
    }
}

/// The record that the service hands out as `null`.
const REJECT: u64 = 3;

/// Two slices with rows of several days and a reject: every step of the protocol has something to
/// do.
async fn story(home: Home) -> Story {
    let scenario = Scenario::window(
        crate::support::scenario::at("2026-11-18T23:00:00Z"),
        crate::support::scenario::at("2026-11-19T01:00:00Z"),
    );
    scenario
        .activities(40)
        .page_cap(15)
        .with_parts(home.part_bytes())
        .fault(Fault::new(At::Record(REJECT), What::null_row()).always())
        .flags(&["--parallel", "1", "--requests-per-minute", "0"])
        .start()
        .await
}

/// One run through a gate; `None` where it died.
async fn run(story: &Story, gate: &Arc<Gate>) -> Option<RunReport> {
    let guarded = story.guarded(gate);
    gate.live(story.scan_on(guarded, fastrand::u64(..), &[]))
        .await
}

fn at(index: usize, fate: Fate) -> impl FnMut(&Call) -> Fate + Send + 'static {
    move |call| {
        if call.index == index {
            fate
        } else {
            Fate::Pass
        }
    }
}

/// One undisturbed run, whose report this is, and the lake is whole.
async fn expect_recovered(story: &Story, what: &str) -> RunReport {
    let report = story.scan(&[]).await;
    assert_eq!(report.head.exit_code, 0, "{what}: {}", report.to_text());
    let expected = story.expected_ids_but(REJECT);
    let found = story.visible_ids().await;
    if found != expected {
        println!("{what}");
    }
    assert_same(&found, &expected);
    story.expect_clean_in_an_hour().await;
    report
}

async fn calls_of_a_whole_run(home: Home) -> Vec<Call> {
    let story = story(home).await;
    let gate = Gate::new(|_| Fate::Pass);
    let report = run(&story, &gate).await.unwrap();
    assert_eq!((report.head.exit_code, report.slices.committed), (0, 2));
    assert_eq!(report.result.counts.rejects.values().sum::<u64>(), 1);
    assert!(report.result.files > 2, "rows of several days");
    let calls = gate.calls();
    if home == Home::Bucket {
        for verb in ["begin", "put part", "complete", "put", "create"] {
            assert!(calls.iter().any(|call| call.verb == verb), "no {verb}");
        }
        assert!(!calls.iter().any(|call| call.verb == "list uploads"));
        let of_rejects = |call: &&Call| call.path.starts_with("_mdca/rejects/");
        assert!(
            calls
                .iter()
                .filter(of_rejects)
                .any(|call| call.verb == "put")
        );
    }
    calls
}

async fn dies_anywhere(home: Home) {
    let calls = calls_of_a_whole_run(home).await;
    let (mut tried, mut adopted) = (0, 0);
    for call in every(2, calls.iter()) {
        for fate in [Fate::Die, Fate::DieAfter] {
            let story = story(home).await;
            let gate = Gate::new(at(call.index, fate));
            let what = format!("{fate:?} at {call}");
            assert!(run(&story, &gate).await.is_none(), "{what}: it lives");
            let report = expect_recovered(&story, &what).await;
            tried += 1;
            adopted += report.slices.adopted;
        }
    }
    println!(
        "{home:?}: died at {tried} positions of {} calls; {adopted} attempts adopted",
        calls.len()
    );
    // A slice whose files are all there is not asked for again: the service may have forgotten it.
    assert!(adopted > 0);
}

/// Of all pairs of positions a sample, from a random one on; `MDCA_TEST_TIMES` makes it denser.
async fn dies_twice(home: Home) {
    let mut random = random();
    let calls = calls_of_a_whole_run(home).await;
    let mut tried = 0;
    for first in every(12, calls.iter()) {
        let first = first.index;
        // Every so many calls of the second run, from a random one on.
        let every = if home == Home::Disk { 8 } else { 40 };
        let mut second = random.usize(..every);
        loop {
            let story = story(home).await;
            assert!(
                run(&story, &Gate::new(at(first, Fate::Die)))
                    .await
                    .is_none()
            );
            let gate = Gate::new(at(second, Fate::Die));
            let died = run(&story, &gate).await.is_none();
            expect_recovered(&story, &format!("died at {first}, then at {second}")).await;
            if !died {
                break;
            }
            tried += 1;
            second += every;
        }
    }
    println!("{home:?}: died twice at {tried} pairs of positions");
}

async fn fails_anywhere(home: Home) {
    let calls = calls_of_a_whole_run(home).await;
    let (mut tried, mut survived) = (0, 0);
    for call in every(2, calls.iter()) {
        for fate in [
            Fate::Refuse,
            Fate::LoseAnswer,
            Fate::Conflict,
            Fate::CutBody,
        ] {
            let story = story(home).await;
            let gate = Gate::new(at(call.index, fate));
            let what = format!("{fate:?} at {call}");
            let report = run(&story, &gate).await.expect("nobody died");
            assert!(
                matches!(report.head.exit_code, 0 | 6),
                "{what}: {}",
                report.to_text()
            );
            // What was done is found out, and the run goes on.
            let is_found_out = match call.verb {
                "publish" | "complete" => true,
                "put" => call.path.starts_with("activities/"),
                "create" => call.path.starts_with("_mdca/commits/"),
                _ => false,
            };
            assert!(
                fate != Fate::LoseAnswer || !is_found_out || report.head.exit_code == 0,
                "{what}: {}",
                report.to_text()
            );
            survived += u32::from(report.head.exit_code == 0);
            expect_recovered(&story, &what).await;
            tried += 1;
        }
    }
    println!("{home:?}: {tried} errors, of which {survived} were survived");
}

async fn fails_for_good(home: Home) {
    let calls = calls_of_a_whole_run(home).await;
    for call in every(2, calls.iter()) {
        for fate in [Fate::Refuse, Fate::LoseAnswer] {
            let (story, from) = (story(home).await, call.index);
            let gate = Gate::new(move |call| if call.index >= from { fate } else { Fate::Pass });
            let what = format!("{fate:?} from {call} on");
            let report = run(&story, &gate).await.expect("nobody died");
            assert_eq!(report.head.exit_code, 6, "{what}: {}", report.to_text());
            expect_recovered(&story, &what).await;
        }
    }
    println!(
        "{home:?}: the store failed for good from every other of {} positions on",
        calls.len()
    );
}

/// A put of the dead lands before the next run, after it, or when even an hour later nobody expects
/// it any more: then `verify` names it, and sweeps it.
async fn lands_late(home: Home) {
    let calls = calls_of_a_whole_run(home).await;
    let puts = |call: &&Call| matches!(call.verb, "put" | "create" | "complete");
    let (mut landed, mut swept) = (0, 0);
    for call in calls.iter().filter(puts) {
        for runs_before in 0..3 {
            let story = story(home).await;
            let gate = Gate::new(at(call.index, Fate::DieLate));
            let what = format!("{call} lands after {runs_before} runs");
            assert!(run(&story, &gate).await.is_none(), "{what}: it lives");
            for _ in 0..runs_before {
                assert_eq!(story.scan(&[]).await.head.exit_code, 0, "{what}");
                if runs_before == 2 {
                    story.an_hour_passes().await;
                }
            }
            landed += gate.land().await;
            if runs_before == 2 {
                story.verify(Sweep::Unnamed).await;
                swept += 1;
            }
            expect_recovered(&story, &what).await;
        }
    }
    println!("{home:?}: {landed} puts landed late, {swept} of them when nobody expected them");
    assert!(landed > 30);
}

/// Nothing can be removed: no slice fails, and it is said how much stays.
async fn nothing_can_be_removed(home: Home) {
    let calls = calls_of_a_whole_run(home).await;
    let is_published = |call: &&Call| {
        call.verb == "publish" || call.verb == "complete" || call.path.starts_with("activities/")
    };
    let last = calls.iter().rfind(is_published).unwrap();
    let story = story(home).await;
    assert!(
        run(&story, &Gate::new(at(last.index, Fate::Die)))
            .await
            .is_none()
    );
    let denying = || {
        Gate::new(|call| match call.verb {
            "delete" => Fate::Deny,
            _ => Fate::Pass,
        })
    };
    for committed in [1, 0] {
        let gate = denying();
        let report = run(&story, &gate).await.unwrap();
        assert_eq!(
            (report.head.exit_code, report.slices.committed),
            (0, committed),
            "{}",
            report.to_text()
        );
        let denied = gate
            .calls()
            .iter()
            .filter(|call| call.verb == "delete")
            .count();
        assert!(denied > 1);
        assert_eq!(
            report.result.not_cleared,
            denied as u64,
            "{}",
            report.to_text()
        );
    }
    expect_recovered(&story, "deletes are allowed again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_before_or_after_any_call_is_completed_by_the_next_on_a_disk() {
    dies_anywhere(Home::Disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_before_or_after_any_call_is_completed_by_the_next_in_object_storage() {
    dies_anywhere(Home::Bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_and_another_that_dies_recovering_are_completed_by_a_third_on_a_disk() {
    dies_twice(Home::Disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_and_another_that_dies_recovering_are_completed_by_a_third_in_object_storage()
 {
    dies_twice(Home::Bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_any_call_is_said_or_survived_and_the_next_run_completes_the_lake_on_a_disk() {
    fails_anywhere(Home::Disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_any_call_is_said_or_survived_and_the_next_run_completes_the_lake_in_object_storage()
 {
    fails_anywhere(Home::Bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_from_any_call_on_leaves_a_lake_that_the_next_run_completes_on_a_disk() {
    fails_for_good(Home::Disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_from_any_call_on_leaves_a_lake_that_the_next_run_completes_in_object_storage()
 {
    fails_for_good(Home::Bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_files_are_plain_puts_that_dies_anywhere_is_completed_by_the_next() {
    dies_anywhere(Home::Puts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_lands_after_its_run_has_died_is_cleared_away() {
    lands_late(Home::Bucket).await;
    lands_late(Home::Puts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_be_removed_slices_are_committed_all_the_same() {
    for home in [Home::Disk, Home::Bucket, Home::Puts] {
        nothing_can_be_removed(home).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_any_call_of_a_run_whose_files_are_plain_puts_is_said_or_survived() {
    fails_anywhere(Home::Puts).await;
}
