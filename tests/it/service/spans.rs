//! Thin neighbouring slices that are asked for in one range, and what makes that range be given up.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::join;
use mdca_lake::commit::{self, Commit};
use mdca_lake::job::report::RunReport;
use mdca_lake::text::report::Report;
use mdca_lake::window::format_time;
use mdca_sim::{Asked, At, Canned, Change, ClockField, Fault, Record, Total, What};
use serde_json::{Value, json};

use crate::support::faulty::{Call, Fate, Gate, Turns};
use crate::support::readers;
use crate::support::scenario::{HOUR_MS, Scenario, Story, assert_same, at, expect_conserved};

const BEGIN: &str = "2026-11-18";

/// Fifteen hours, which one slice after the other would be four ranges: of one, two, four and eight.
fn fifteen_hours() -> Scenario {
    fifteen_hours_by("1")
}

fn fifteen_hours_by(parallel: &str) -> Scenario {
    Scenario::hours(15)
        .activities(60)
        .flags(&["--parallel", parallel])
        .flags(&["--requests-per-minute", "0", "--max-attempts", "2"])
}

/// A range that no slice asks for.
fn is_long(asked: &Asked) -> bool {
    asked.range_ms() > HOUR_MS + 1
}

/// Something that happens to every range of more than a slice, and to no slice.
fn long(what: What) -> Fault {
    Fault::new(At::asked(is_long), what).always()
}

/// Something that happens to a record wherever it is met.
fn of_record(record: u64, what: What) -> Fault {
    Fault::new(At::Record(record), what).always()
}

/// The counts of every slice.
async fn commits(story: &Story) -> BTreeMap<String, Commit> {
    let lake = story.store();
    let mut commits = BTreeMap::new();
    for slice in commit::committed_slices(&lake).await.unwrap() {
        let commit = Commit::load(&lake, &slice).await.unwrap().unwrap();
        commits.insert(slice, commit);
    }
    commits
}

/// Every slice has the rows that the service holds of it, and its files hold no other times.
async fn expect_in_their_slices(story: &Story) {
    let held = story.truth();
    for (name, commit) in commits(story).await {
        let slice: mdca_lake::window::Slice = name.parse().unwrap();
        let is_here = |time_ms: i64| slice.window().contains(time_ms);
        let due = held.iter().filter(|record| is_here(record.created_ms));
        let rejects: u64 = commit.counts.rejects.values().sum();
        let found = commit.counts.rows + rejects - commit.counts.copies;
        assert_eq!(found, due.count() as u64, "{name}");
        for file in &commit.files {
            let bounds = [file.created_min_ms, file.created_max_ms];
            assert!(
                bounds.into_iter().flatten().all(is_here),
                "{name}: {file:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thin_slices_are_asked_for_in_one_range_and_committed_one_by_one() {
    let (story, report) = fifteen_hours().run().await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    assert_eq!(
        (report.scanned.spans, report.scanned.spans_given_up),
        (3, 0)
    );
    assert_eq!(report.slices.committed, 15);
    // One for each range, one for each probe of an empty stretch.
    assert_eq!(report.scanned.requests, 4 + report.scanned.probes);
    assert_eq!(report.result.counts.pages, report.scanned.requests);
    expect_conserved(&report);
    expect_in_their_slices(&story).await;
    story.expect_exact().await;
    let again = story.scan(&[]).await;
    assert_eq!((again.scanned.requests, again.slices.skipped), (0, 15));
}

/// Why a span is given up: what happens, and the record that becomes a reject by it.
fn reasons() -> Vec<(&'static str, Vec<Fault>, Option<u64>)> {
    let from_ms = at(BEGIN);
    let begins_at = |hour: i64| {
        At::asked(move |asked| is_long(asked) && asked.from_ms == from_ms + hour * HOUR_MS)
    };
    vec![
        (
            "a record without a clock",
            vec![of_record(30, What::set_aside("/created"))],
            None,
        ),
        (
            "a record that is no object",
            vec![of_record(30, What::null_row())],
            Some(30),
        ),
        (
            "a record that is no JSON",
            vec![of_record(
                30,
                What::Record(Change::Replace("{nonsense}".to_owned())),
            )],
            Some(30),
        ),
        (
            "a clock of another time",
            vec![of_record(30, What::set("/created", "1"))],
            Some(30),
        ),
        ("a stray", vec![long(What::Stray)], None),
        ("only strays", vec![long(What::OnlyOutside)], None),
        ("no filters", vec![long(What::IgnoreFilters)], None),
        ("no way on", vec![long(What::NextFiltersMissing)], None),
        (
            "the same page again",
            vec![long(What::Stuck {
                range_at_least_ms: 0,
            })],
            None,
        ),
        (
            "a page that says there is more, and never has any",
            vec![long(What::EmptyPage)],
            None,
        ),
        (
            "bytes that are no UTF-8",
            vec![long(What::Record(Change::InvalidUtf8))],
            None,
        ),
        ("a body cut short", vec![long(What::TruncatedJson)], None),
        ("no JSON", vec![long(What::MalformedJson)], None),
        ("no data", vec![long(What::DataNull)], None),
        ("no answer", vec![long(What::Close)], None),
        ("a page of HTML", vec![long(What::html(500))], None),
        ("a gateway's error", vec![long(What::gateway(504))], None),
        (
            "a range refused",
            vec![long(What::error(400, "the range is too long"))],
            None,
        ),
        (
            "an answer too large",
            vec![long(What::error(413, "too large"))],
            None,
        ),
        ("no such page", vec![long(What::error(404, "what"))], None),
        (
            "records that are counted and not given",
            vec![long(What::Answer(Canned::json(
                200,
                &json!({"data": [], "hasNext": false, "total": 3}),
            )))],
            None,
        ),
        (
            "a stretch that is empty only when asked for with others",
            vec![
                Fault::new(begins_at(7), What::ShortPage { records: 1 }).always(),
                Fault::new(begins_at(7), What::EndsEarly).always(),
            ],
            None,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_that_is_not_plain_is_given_up_and_its_slices_are_scanned_one_by_one() {
    for (reason, faults, reject) in reasons() {
        let mut scenario = fifteen_hours();
        for fault in faults {
            scenario = scenario.fault(fault);
        }
        let (story, report) = scenario.run().await;
        println!(
            "{reason}: {} requests, {} spans, {} given up",
            report.scanned.requests, report.scanned.spans, report.scanned.spans_given_up
        );
        assert_eq!(report.head.exit_code, 0, "{reason}: {}", report.to_text());
        assert!(report.scanned.spans_given_up > 0, "{reason}");
        assert_eq!(report.slices.committed, 15, "{reason}");
        expect_conserved(&report);
        let expected = reject.map_or_else(
            || story.expected_ids(),
            |record| story.expected_ids_but(record),
        );
        assert_same(&story.ids(), &expected);
        let rejects: u64 = report.result.counts.rejects.values().sum();
        assert_eq!(rejects, u64::from(reject.is_some()), "{reason}");
        story.expect_clean().await;
        let again = story.scan(&[]).await;
        assert_eq!(
            (again.head.exit_code, again.scanned.requests),
            (0, 0),
            "{reason}"
        );
    }
}

/// Quiet hours, one hour of many pages, quiet hours.
#[tokio::test(flavor = "multi_thread")]
async fn a_span_that_meets_a_busy_hour_is_asked_for_again_at_half_its_length() {
    let story = fifteen_hours().activities(0).page_cap(10).start().await;
    let from_ms = at(BEGIN);
    for record in 0..95 {
        let tenant = story.sim.tenant();
        tenant.push_generated(from_ms + 10 * HOUR_MS + record * 1_000);
    }
    let report = story.scan(&[]).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    assert!(report.scanned.spans_given_up > 0);
    // Ten pages of the busy hour, two for each range of the others, and two for each that was too long.
    assert!(
        report.scanned.requests < 40,
        "{} requests",
        report.scanned.requests
    );
    expect_in_their_slices(&story).await;
    story.expect_exact().await;
}

/// What a hostile or odd service may do that is no reason to ask again.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_lie_inside_a_span_cost_no_record() {
    let early = Fault::new(At::asked(is_long), What::NextFiltersOnLast).always();
    let cases: Vec<(&str, Scenario)> = vec![
        (
            "total too high",
            fifteen_hours().options(|sim| sim.scan_total = Total::OffBy(7)),
        ),
        (
            "total too low",
            fifteen_hours().options(|sim| sim.scan_total = Total::OffBy(-7)),
        ),
        (
            "total exact",
            fifteen_hours().options(|sim| sim.scan_total = Total::Exact),
        ),
        ("more is said after the end", fifteen_hours().fault(early)),
        (
            "an exact bound is answered with nothing",
            fifteen_hours().fault(Fault::new(At::FirstPages, What::ExactBoundEmpty).always()),
        ),
        (
            "records in no order",
            fifteen_hours().fault(Fault::new(At::Every, What::Shuffle).always()),
        ),
        (
            "the newest first",
            fifteen_hours().fault(Fault::new(At::Every, What::IgnoreOrder).always()),
        ),
        (
            "records twice",
            fifteen_hours()
                .fault(Fault::new(At::Every, What::Repeat(mdca_sim::Repeat::Reordered)).always()),
        ),
        ("pages of three", fifteen_hours().page_cap(3).activities(25)),
    ];
    for (what, scenario) in cases {
        let (story, report) = scenario.run().await;
        println!(
            "{what}: {} requests, {} spans, {} given up, totals {}",
            report.scanned.requests,
            report.scanned.spans,
            report.scanned.spans_given_up,
            report.scanned.total_differs
        );
        assert_eq!(report.head.exit_code, 0, "{what}: {}", report.to_text());
        assert!(report.scanned.spans > 0, "{what}");
        assert_eq!(
            report.scanned.total_differs > 0,
            what == "total too high" || what == "total too low",
            "{what}"
        );
        expect_conserved(&report);
        expect_in_their_slices(&story).await;
        story.expect_exact().await;
    }
}

/// Records on the first and the last millisecond of slices in the middle of a span, several at a
/// time, and beside its ends.
#[tokio::test(flavor = "multi_thread")]
async fn records_at_the_bounds_of_slices_go_to_their_own() {
    let from_ms = at(BEGIN);
    for ties in [1, 3] {
        // Which bounds have records: none, one, or all of them, so that stretches of every length
        // begin behind a record.
        for every in [1, 2, 5, 14] {
            let story = fifteen_hours().activities(0).start().await;
            for hour in (0..=15).step_by(every) {
                for tie in 0..ties {
                    let bound_ms = from_ms + hour * HOUR_MS;
                    story.sim.tenant().push_generated(bound_ms - 1);
                    if (hour + tie) % 2 == 0 {
                        story.sim.tenant().push_generated(bound_ms);
                    }
                }
            }
            let report = story.scan(&[]).await;
            assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
            assert_eq!(
                (report.scanned.spans, report.scanned.spans_given_up),
                (3, 0)
            );
            expect_conserved(&report);
            expect_in_their_slices(&story).await;
            story.expect_exact().await;
        }
    }
}

/// By their number two of these hours would be one range; their bytes are more than is kept of one.
#[tokio::test(flavor = "multi_thread")]
async fn hours_of_large_records_are_asked_for_one_by_one() {
    let story = Scenario::hours(6)
        .activities(0)
        .flags(&["--memory-limit", "32MiB", "--parallel", "1"])
        .start()
        .await;
    let from_ms = at("2026-11-18");
    let text = "x".repeat(130_000);
    for number in 0..6 * 40 {
        let created_ms = from_ms + number * HOUR_MS / 40;
        story.sim.tenant().push(format!(
            r#"{{"_id":"{number}","timestamp":{created_ms},"created":{created_ms},"description":"{text}"}}"#
        ));
    }
    let report = story.scan(&[]).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    assert_eq!(
        (report.scanned.spans, report.scanned.spans_given_up),
        (0, 0)
    );
    assert_eq!(report.scanned.requests, 6);
    story.expect_exact().await;
}

/// An activity that happened days before it was saved, and one that shows minutes after: both are in
/// the slice of their `created`, in the folder of their day.
#[tokio::test(flavor = "multi_thread")]
async fn late_records_of_a_span_are_in_the_slice_of_their_clock() {
    let story = fifteen_hours().start().await;
    let (bound_ms, now_ms) = (at("2026-11-18T10:00:00Z"), story.now_ms());
    let tenant = story.sim.tenant();
    let late = |created_ms: i64, timestamp_ms: i64| {
        let id = format!("late-{created_ms}-{timestamp_ms}");
        format!(r#"{{"_id":"{id}","timestamp":{timestamp_ms},"created":{created_ms}}}"#)
    };
    for (created_ms, days) in [(bound_ms - 1, 5), (bound_ms, 5), (bound_ms, 40)] {
        tenant.push(late(created_ms, created_ms - days * 24 * HOUR_MS));
    }
    tenant.push_late(late(bound_ms + 1, bound_ms - 1), now_ms - 1);
    let report = story.scan(&[]).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    assert_eq!(
        (report.scanned.spans, report.scanned.spans_given_up),
        (3, 0)
    );
    expect_in_their_slices(&story).await;
    story.expect_exact().await;
}

/// Seven hours with a reject: slices alone and spans of two and four.
async fn seven_hours(in_bucket: bool) -> Story {
    Scenario::hours(7)
        .activities(12)
        .in_bucket(in_bucket)
        .flags(&["--parallel", "1", "--requests-per-minute", "0"])
        .start()
        .await
}

/// A run through a gate; `None` where it died.
async fn run(story: &Story, gate: &Arc<Gate>) -> Option<RunReport> {
    gate.live(story.scan_on(story.guarded(gate), fastrand::u64(..), &[]))
        .await
}

async fn dies_inside_a_span(in_bucket: bool) {
    let story = seven_hours(in_bucket).await;
    let gate = Gate::new(|_| Fate::Pass);
    let report = run(&story, &gate).await.unwrap();
    assert_eq!(
        (report.scanned.spans, report.scanned.spans_given_up),
        (2, 0)
    );
    let calls = gate.calls();
    // Three commits are there when the span of four begins.
    let is_commit = |call: &&Call| call.verb == "create" && call.path.starts_with("_mdca/commits/");
    let commits: Vec<usize> = calls
        .iter()
        .filter(is_commit)
        .map(|call| call.index)
        .collect();
    assert_eq!(commits.len(), 7);
    let (mut tried, mut left) = (0, BTreeMap::new());
    for call in &calls[commits[2] + 1..] {
        let index = call.index;
        let story = seven_hours(in_bucket).await;
        let fate = if fastrand::bool() {
            Fate::Die
        } else {
            Fate::DieAfter
        };
        let gate = Gate::new(move |call| {
            if call.index == index {
                fate
            } else {
                Fate::Pass
            }
        });
        let what = format!("{fate:?} at {call}");
        assert!(run(&story, &gate).await.is_none(), "{what}: it lives");
        let committed = commit::committed_slices(&story.store()).await.unwrap();
        *left.entry(committed.len()).or_insert(0) += 1;
        let report = story.scan(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{what}: {}", report.to_text());
        assert_same(&story.visible_ids().await, &story.expected_ids());
        expect_in_their_slices(&story).await;
        story.expect_clean_in_an_hour().await;
        tried += 1;
    }
    println!("died at {tried} calls; commits then: {left:?}");
    assert_eq!(left.keys().copied().collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_inside_a_span_is_completed_by_the_next_on_a_disk() {
    dies_inside_a_span(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_inside_a_span_is_completed_by_the_next_in_object_storage() {
    dies_inside_a_span(true).await;
}

/// Two runs over the same hours, neither of which yields, by seed.
#[tokio::test(flavor = "multi_thread")]
async fn two_runs_with_spans_over_the_same_time_commit_every_slice_once() {
    let mut tally = BTreeMap::new();
    for _ in 0..12 {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let story = fifteen_hours_by(["1", "2"][random.usize(..2)])
            .seed(seed)
            .in_bucket(random.bool())
            .start()
            .await;
        let turns = Turns::new(seed, 0..2);
        let runs = [0, 1].map(|number| {
            let (story, turns) = (&story, Arc::clone(&turns));
            let gate = Gate::taking_turns(|_| Fate::Pass, Some((Arc::clone(&turns), number)));
            let live = async move {
                let guarded = story.guarded(&gate);
                let report = story.scan_on(guarded, seed ^ number as u64, &[]).await;
                turns.leave(number);
                report
            };
            AssertUnwindSafe(live).catch_unwind()
        });
        let [one, other] = runs;
        let (one, other) = join(one, other).await;
        let mut committed = 0;
        for report in [one.unwrap(), other.unwrap()] {
            assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
            expect_conserved(&report);
            committed += report.slices.committed;
            *tally.entry("spans").or_insert(0) += report.scanned.spans;
            *tally.entry("lost attempts").or_insert(0) += report.slices.lost_attempts;
            *tally.entry("taken").or_insert(0) += report.slices.taken;
        }
        assert_eq!(committed, 15);
        assert_same(&story.visible_ids().await, &story.expected_ids());
        expect_in_their_slices(&story).await;
        story.expect_clean_in_an_hour().await;
    }
    println!("{tally:?}");
    assert!(tally["spans"] > 0 && tally["taken"] + tally["lost attempts"] > 0);
}

/// What the lake holds of every slice: its counts without what asking cost.
async fn held(story: &Story) -> BTreeMap<String, (u64, BTreeMap<String, u64>)> {
    let commits = commits(story).await.into_iter();
    commits
        .map(|(slice, commit)| (slice, (commit.counts.rows, commit.counts.rejects)))
        .collect()
}

/// A lake that was filled by spans is the same, to other readers too, as one for which every slice was
/// asked for alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_lake_filled_by_spans_is_the_same_as_one_filled_slice_by_slice() {
    let (mut spans, mut given_up) = (0, 0);
    // Ten worlds, and more where no span of those was given up.
    for world in 0..100 {
        if world >= 10 && spans > 0 && given_up > 0 {
            break;
        }
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let scenario = || {
            let mut random = fastrand::Rng::with_seed(seed);
            let hours = random.i64(3..30);
            let mut scenario = Scenario::hours(hours)
                .seed(seed)
                .activities(random.u64(0..120))
                .ties([0, 200, 900][random.usize(..3)])
                .page_cap([3, 20, 500][random.usize(..3)])
                .flags(&["--parallel", ["1", "2", "5"][random.usize(..3)]])
                .flags(&["--requests-per-minute", "0"])
                .flags(&["--by", ["created", "date"][random.usize(..2)]])
                .now("2026-11-23");
            for _ in 0..random.usize(..3) {
                let record = random.u64(..120);
                let what = match random.u32(..4) {
                    0 => What::null_row(),
                    1 => What::set_aside("/created"),
                    2 => What::without_id(),
                    _ => What::set("/timestamp", "\"soon\""),
                };
                scenario = scenario.fault(of_record(record, what));
            }
            (scenario, hours)
        };
        let (by_spans, report) = scenario().0.run().await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        spans += report.scanned.spans;
        given_up += report.scanned.spans_given_up;
        let (one_by_one, hours) = scenario();
        let one_by_one = one_by_one.start().await;
        for hour in 0..hours {
            let [from, until] =
                [hour, hour + 1].map(|hour| format_time(at(BEGIN) + hour * HOUR_MS));
            let report = one_by_one.scan(&["--from", &from, "--until", &until]).await;
            assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
            assert_eq!(report.scanned.spans + report.scanned.spans_given_up, 0);
        }
        assert_eq!(held(&by_spans).await, held(&one_by_one).await);
        assert_eq!(
            readers::rows(by_spans.lake()),
            readers::rows(one_by_one.lake())
        );
        by_spans.expect_clean().await;
    }
    println!("{spans} spans, {given_up} given up");
    assert!(spans > 0 && given_up > 0);
}

/// Asked for beyond what the service is sure to remember, a span proves nothing: its slices are marked
/// one by one, and no range goes over that line.
#[tokio::test(flavor = "multi_thread")]
async fn no_span_goes_over_the_line_behind_which_the_service_may_have_forgotten() {
    let scenario = Scenario::window(at("2026-10-18"), at("2026-10-22"))
        .activities(40)
        .now("2026-11-19T00:30:00Z")
        .flags(&["--parallel", "1"])
        .options(|sim| sim.history_days = Some(30));
    let (story, report) = scenario.run().await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    assert!(report.scanned.spans > 3 && report.slices.unproven > 0);
    let line_ms = at("2026-10-21T00:00:00Z");
    for asked in story.sim.requests() {
        let Some((from_ms, to_ms)) = bounds(&asked.body) else {
            continue;
        };
        assert!(
            from_ms > line_ms || to_ms <= line_ms + HOUR_MS,
            "a range from {} to {}",
            format_time(from_ms),
            format_time(to_ms)
        );
    }
    let visible: Vec<Record> = story
        .sim
        .tenant()
        .records(ClockField::Created, line_ms..at("2026-10-22"));
    let mut expected: Vec<String> = visible.into_iter().filter_map(|record| record.id).collect();
    expected.sort();
    let ids = story.ids();
    assert!(expected.iter().all(|id| ids.contains(id)));
}

/// A service that has forgotten what is older than thirty days answers a range that begins before with nothing,
/// and has the rest of it all the same: whatever a slice gets when it is asked for alone is a row.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_still_has_is_not_hidden_by_what_it_has_forgotten_before_it() {
    let edge_ms = at("2026-10-20T00:30:00Z");
    let nothing = Canned::json(200, &json!({"data": [], "hasNext": false}));
    let begins_forgotten = At::asked(move |asked| asked.from_ms < edge_ms);
    let story = Scenario::window(at("2026-10-12"), at("2026-10-22"))
        .activities(400)
        .now("2026-11-19T00:30:00Z")
        .flags(&["--parallel", "2", "--requests-per-minute", "0"])
        .fault(Fault::new(begins_forgotten, What::Answer(nothing)).always());
    let (story, report) = story.run().await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    assert!(report.scanned.spans > 3 && report.slices.unproven > 100);
    let still_there = at("2026-10-20T01:00:00Z")..at("2026-10-22");
    let tenant = story.sim.tenant();
    let due = tenant.records(ClockField::Created, still_there);
    let mut due: Vec<String> = due.into_iter().filter_map(|record| record.id).collect();
    due.sort();
    assert_same(&story.ids(), &due);
}

/// The bounds on `created` that a request asked for, both inclusive.
fn bounds(body: &Value) -> Option<(i64, i64)> {
    let created = &body["filters"]["created"];
    Some((created["gte"].as_i64()?, created["lte"].as_i64()?))
}
