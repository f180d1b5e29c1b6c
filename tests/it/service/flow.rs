//! The main job against a tenant that behaves.

use mdca_lake::text::report::Report;
use std::time::Duration;

use mdca_sim::{At, Fault, Kind, Total, What};
use serde_json::Value;

use crate::support::readers;
use crate::support::scenario::{DAY_MS, HOUR_MS, Scenario, assert_same, at, expect_conserved};

#[tokio::test(flavor = "multi_thread")]
async fn every_activity_of_the_window_is_a_row_once() {
    let (story, report) = Scenario::hours(6)
        .activities(1_200)
        .page_cap(100)
        .run()
        .await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    assert_eq!((report.slices.planned, report.slices.committed), (6, 6));
    expect_conserved(&report);
    story.expect_exact().await;
    story.expect_within_budget(30);
    // One request for each page, and none wasted.
    assert_eq!(report.scanned.requests, story.sim.requests().len() as u64);
    assert_eq!(report.scanned.requests, report.result.counts.pages);
}

#[tokio::test(flavor = "multi_thread")]
async fn ties_over_the_edges_of_pages_are_neither_lost_nor_doubled() {
    for (seed, cap) in [(1, 7), (2, 50), (3, 333)] {
        println!("seed {seed}, page cap {cap}");
        let (story, report) = Scenario::hours(2)
            .activities(400)
            .seed(seed)
            .page_cap(cap)
            .flags(&["--requests-per-minute", "0"])
            .run()
            .await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        expect_conserved(&report);
        story.expect_exact().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_full_of_one_millisecond_is_taken_whole() {
    let story = Scenario::hours(1)
        .activities(20)
        .page_cap(100)
        .start()
        .await;
    for _ in 0..350 {
        story.sim.tenant().push_kind(
            Kind::SignIn,
            at("2026-11-18T00:30:00Z"),
            at("2026-11-18T00:29:00Z"),
        );
    }
    let report = story.scan(&[]).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    story.expect_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_of_a_committed_window_sends_nothing() {
    let (story, _) = Scenario::hours(3).run().await;
    let sent = story.sim.requests().len();
    let report = story.scan(&[]).await;
    assert_eq!(
        (
            report.head.exit_code,
            report.scanned.requests,
            report.slices.skipped
        ),
        (0, 0, 3)
    );
    assert_eq!(story.sim.requests().len(), sent);
    story.expect_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_becomes_visible_while_its_slice_settles_is_there() {
    let story = Scenario::hours(1)
        .activities(50)
        .now("2026-11-18T01:16:00Z")
        .start()
        .await;
    let created = at("2026-11-18T00:59:59.500Z");
    let json = format!(
        r#"{{"_id":"late","timestamp":{},"created":{created}}}"#,
        created - 3 * DAY_MS
    );
    story
        .sim
        .tenant()
        .push_late(json, at("2026-11-18T01:14:00Z"));
    let report = story.scan(&[]).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    story.expect_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_slices_are_probed_once_a_span_and_committed_without_files() {
    let (story, report) = Scenario::hours(5)
        .activities(0)
        .flags(&["--parallel", "1"])
        .run()
        .await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    assert_eq!(
        (
            report.slices.committed,
            report.result.files,
            report.scanned.requests,
            report.scanned.probes,
            report.scanned.spans
        ),
        // One slice alone, then two in one range, then the two that are left.
        (5, 0, 6, 3, 2)
    );
    story.expect_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_on_the_exact_bound_is_found_by_the_probe_and_the_neighbours_is_left_alone() {
    let bound = at("2026-11-18T01:00:00Z");
    let on_bound = At::asked(move |asked| asked.from_ms == bound);
    let story = Scenario::hours(2)
        .activities(0)
        .fault(Fault::new(on_bound, What::ExactBoundEmpty).always())
        .start()
        .await;
    for (id, created) in [("before", bound - 1), ("on", bound)] {
        let record = format!(r#"{{"_id":"{id}","timestamp":{created},"created":{created}}}"#);
        story.sim.tenant().push(record);
    }
    let report = story.scan(&[]).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    expect_conserved(&report);
    assert_eq!(report.result.counts.outside_probe, 1);
    story.expect_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn midnight_and_the_end_of_a_month_part_the_rows() {
    let from = at("2026-10-31T22:00:00Z");
    let (story, report) = Scenario::window(from, from + 4 * HOUR_MS)
        .activities(400)
        .run()
        .await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    story.expect_exact().await;
    let rows = readers::rows(story.lake());
    for day in ["2026-10-31", "2026-11-01"] {
        assert!(
            rows.iter().any(|(_, event_date, _)| event_date == day),
            "no row of {day}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_in_slices_of_a_day_stays_within_the_budget() {
    let from = at("2026-10-01");
    let (story, report) = Scenario::window(from, from + 30 * DAY_MS)
        .activities(3_000)
        .page_cap(100)
        .flags(&["--slice", "1d"])
        .run()
        .await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    assert_eq!(report.slices.committed, 30);
    story.expect_exact().await;
    story.expect_within_budget(30);
}

/// Every request is a page, and every minute but the last has as many as it may have.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_scan_wastes_no_request_and_no_second_of_the_budget() {
    let from = at("2026-10-01");
    let (story, report) = Scenario::window(from, from + DAY_MS)
        .activities(9_000)
        .ties(0)
        .page_cap(100)
        .flags(&["--slice", "1d"])
        .run()
        .await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    story.expect_exact().await;
    let requests = story.sim.requests();
    // The service may end a page before a group of ties: 90 pages and a few.
    assert!((90..=92).contains(&requests.len()), "{}", requests.len());
    assert!(requests.iter().all(|request| request.records > 0));
    // The window is half a second longer than a minute: requests travel at different speeds.
    let full_windows = u32::try_from((requests.len() - 1) / 30).unwrap();
    let due_s = f64::from(full_windows) * 60.5;
    let elapsed_s = report.result.elapsed_s;
    assert!((due_s..due_s + 0.2).contains(&elapsed_s), "{elapsed_s} s");
    story.expect_within_budget(30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_without_from_goes_on_where_the_lake_ends() {
    let story = Scenario::hours(4)
        .activities(200)
        .now("2026-11-18T02:20:00Z")
        .start()
        .await;
    let first = story
        .scan(&["--from", "2026-11-18", "--initial", "1h"])
        .await;
    assert_eq!(
        (first.head.exit_code, first.slices.committed),
        (0, 2),
        "{}",
        first.to_text()
    );
    story.clock.advance(Duration::from_secs(2 * 3_600));
    let second = story
        .scan(&[
            "--from",
            "2026-11-18T01:30:00Z",
            "--until",
            "2026-11-18T04:00:00Z",
        ])
        .await;
    assert_eq!(
        (
            second.head.exit_code,
            second.slices.committed,
            second.slices.skipped
        ),
        (0, 2, 1)
    );
    assert_eq!(second.watermark.as_deref(), Some("2026-11-18T04:00:00Z"));
    story.expect_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_holds_nothing_to_do_says_why() {
    let story = Scenario::hours(2)
        .activities(50)
        .now("2026-11-18T02:20:00Z")
        .start()
        .await;
    let late = [
        "--from",
        "2026-11-18T02:05:00Z",
        "--until",
        "2026-11-18T02:15:00Z",
    ];
    assert_eq!(story.scan(&[]).await.head.exit_code, 0);
    let before = story.go_on(&["--until", "2026-11-17T12:00:00Z"]).await;
    let text = before.to_text();
    assert_eq!(before.head.exit_code, 2, "{text}");
    assert!(
        text.contains("is not after the begin of the lake, 2026-11-18T00:00:00Z"),
        "{text}"
    );
    let short = story.go_on(&late).await;
    let text = short.to_text();
    assert_eq!(
        (short.head.exit_code, short.slices.planned),
        (0, 0),
        "{text}"
    );
    assert!(
        text.contains("the first closes at 2026-11-18T03:15:00Z"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_by_date_holds_what_happened_in_its_window() {
    let story = Scenario::hours(3)
        .activities(0)
        .now("2026-11-20")
        .flags(&["--by", "date"])
        .start()
        .await;
    let from = at("2026-11-18");
    for n in 0..90 {
        let happened = from + n * 2 * 60_000;
        let created = happened + 20 * 60_000;
        story.sim.tenant().push(format!(
            r#"{{"_id":"a{n:02}","timestamp":{happened},"created":{created}}}"#
        ));
    }
    let report = story.scan(&[]).await;
    assert_eq!(
        (report.head.exit_code, report.result.counts.rows),
        (0, 90),
        "{}",
        report.to_text()
    );
    let expected: Vec<String> = (0..90).map(|n| format!("a{n:02}")).collect();
    assert_same(&story.ids(), &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_the_schema_does_not_know_are_counted_from_their_first_slice_on() {
    let (story, report) = Scenario::hours(3).activities(300).run().await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    let records: Vec<(i64, Value)> = story
        .truth()
        .iter()
        .map(|record| {
            (
                record.created_ms,
                serde_json::from_str(&record.json).unwrap(),
            )
        })
        .collect();
    for field in &report.result.unknown_fields {
        println!("{field:?}");
    }
    // What the simulated tenant adds to what is documented.
    for key in ["sessionId", "riskHints", "policy.matched"] {
        let with_key = || {
            records
                .iter()
                .filter(|(_, record)| record.get(key).is_some())
        };
        let hour = |(created, _): &(i64, Value)| (created - at("2026-11-18")) / HOUR_MS;
        let first = with_key().map(hour).min().unwrap();
        let field = report
            .result
            .unknown_fields
            .iter()
            .find(|field| field.path == key)
            .unwrap();
        assert_eq!(field.count, with_key().count() as u64, "{key}");
        assert!(
            field
                .first_slice
                .starts_with(&format!("20261118T{first:02}")),
            "{key}: {}",
            field.first_slice
        );
    }
    let text = report.to_text();
    for field in &report.result.unknown_fields[..5] {
        assert!(text.contains(&field.path), "{text}");
    }
    let more = report.result.unknown_fields.len() - 5;
    assert!(text.contains(&format!("and {more} more path")), "{text}");
    // A field with a column is not among them.
    assert!(
        !report
            .result
            .unknown_fields
            .iter()
            .any(|field| field.path == "_id")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_differs_is_reported() {
    let (_, report) = Scenario::hours(1)
        .options(|options| options.scan_total = Total::Exact)
        .run()
        .await;
    assert_eq!(
        (report.head.exit_code, report.scanned.total_differs),
        (0, 0)
    );
}
