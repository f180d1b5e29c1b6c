//! Tenants that differ in what nobody knows for sure of the service.

use mdca_lake::text::report::Report;
use std::collections::BTreeMap;

use mdca_sim::{AboveCap, Accepted, At, ContinuationStyle, Fault, PageLimits, Ties, Total, What};

use crate::support::scenario::{DAY_MS, HOUR_MS, Scenario, Story, at, expect_conserved};

/// Pages that a slice of these times takes when each page drops the millisecond it would cut, and
/// takes it whole where it has nothing else: the model, stated a second time.
fn pages(times: &[i64], cap: usize) -> u64 {
    let (mut pages, mut from) = (0, 0);
    loop {
        pages += 1;
        if from + cap >= times.len() {
            return pages;
        }
        let cut = times[from + cap - 1];
        let start = times.partition_point(|time| *time < cut);
        from = if start > from {
            start
        } else {
            times.partition_point(|time| *time <= cut)
        };
        if from == times.len() {
            return pages;
        }
    }
}

/// Requests that the story's window takes where nothing goes wrong: its pages, and a probe for
/// each slice without records.
fn planned_requests(story: &Story, from_ms: i64, hours: i64, cap: usize) -> u64 {
    let mut slices: BTreeMap<i64, Vec<i64>> = (0..hours).map(|hour| (hour, Vec::new())).collect();
    for record in story.truth() {
        let time = record.created_ms;
        slices
            .get_mut(&((time - from_ms) / HOUR_MS))
            .unwrap()
            .push(time);
    }
    slices
        .values_mut()
        .map(|times| {
            times.sort_unstable();
            pages(times, cap) + u64::from(times.is_empty())
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn however_a_tenant_pages_every_request_is_one_that_was_needed() {
    let mut seed = 0;
    for continuation in [ContinuationStyle::MovedBound, ContinuationStyle::TokenOnly] {
        for total in [Total::Absent, Total::Exact] {
            for gzip in [true, false] {
                for (activities, ties, cap) in
                    [(0, 0, 10), (90, 0, 9), (200, 300, 10), (150, 900, 40)]
                {
                    seed += 1;
                    println!(
                        "{continuation:?}, {total:?}, gzip {gzip}, {activities} activities, {ties} ties, cap {cap}, seed {seed}"
                    );
                    let (story, report) = Scenario::hours(3)
                        .seed(seed)
                        .activities(activities)
                        .ties(ties)
                        .page_cap(cap)
                        .options(|options| {
                            options.continuation = continuation;
                            options.scan_total = total;
                            options.gzip = gzip;
                        })
                        .run()
                        .await;
                    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
                    assert_eq!(
                        (report.scanned.total_differs, report.scanned.halvings),
                        (0, 0)
                    );
                    let planned = planned_requests(&story, at("2026-11-18"), 3, cap);
                    assert_eq!(report.scanned.requests, planned, "{}", report.to_text());
                    expect_conserved(&report);
                    story.expect_exact().await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_cannot_page_a_tie_costs_its_millisecond_and_nothing_else() {
    let story = Scenario::hours(3)
        .activities(60)
        .page_cap(30)
        .options(|options| options.ties = Ties::Unpageable)
        .flags(&["--requests-per-minute", "0"])
        .start()
        .await;
    for _ in 0..50 {
        story.sim.tenant().push_kind(
            mdca_sim::Kind::SignIn,
            at("2026-11-18T01:30:00Z"),
            at("2026-11-18T01:29:00Z"),
        );
    }
    let report = story.scan(&[]).await;
    assert_eq!(
        (
            report.head.exit_code,
            report.slices.committed,
            report.slices.failed
        ),
        (4, 3, 0),
        "{}",
        report.to_text()
    );
    assert_eq!(story.ids().len(), 60);
    assert!(
        report.failures[0].error.contains("2026-11-18T01:30:00"),
        "{}",
        report.failures[0].error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_ignores_the_filters_fails_every_slice_and_shows_nothing() {
    let (story, report) = Scenario::hours(3)
        .activities(120)
        .page_cap(10)
        .fault(Fault::new(At::Every, What::IgnoreFilters).always())
        .run()
        .await;
    assert_eq!(
        (
            report.head.exit_code,
            report.slices.committed,
            report.slices.failed
        ),
        (4, 0, 3),
        "{}",
        report.to_text()
    );
    assert!(story.ids().is_empty());
    story.expect_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_forgot_proves_nothing() {
    let now = at("2026-11-18T12:00:00Z");
    let from = now - 30 * DAY_MS - 12 * HOUR_MS;
    let (story, report) = Scenario::window(from, from + DAY_MS)
        .activities(400)
        .now("2026-11-18T12:00:00Z")
        .options(|options| options.history_days = Some(30))
        .run()
        .await;
    let slices = &report.slices;
    assert_eq!(
        (
            report.head.exit_code,
            slices.committed,
            slices.late,
            slices.unproven
        ),
        (0, 12, 12, 12),
        "{}",
        report.to_text()
    );
    assert!(
        report
            .result
            .notes
            .iter()
            .any(|note| note.starts_with("24 slices begin more than 29 days ago")),
        "{:?}",
        report.result.notes
    );
    assert!(report.result.counts.rows > 0 && report.result.counts.rows < 400);
    story.expect_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_in_the_middle_ends_the_run_and_keeps_what_is_committed() {
    let now = at("2026-11-19");
    let (story, report) = Scenario::hours(12)
        .now("2026-11-19")
        .activities(600)
        .page_cap(10)
        .flags(&["--parallel", "1"])
        .options(|options| {
            options.accepted = vec![Accepted::until("Token sim-token", now + 65_000)];
        })
        .run()
        .await;
    assert_eq!(report.head.exit_code, 3, "{}", report.to_text());
    assert!(
        (1..12).contains(&report.slices.committed),
        "{}",
        report.to_text()
    );
    assert_eq!(report.slices.failed, 1, "the others are not even asked for");
    expect_conserved(&report);
    assert_eq!(story.ids().len() as u64, report.result.counts.rows);
    story.expect_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_refuses_large_pages_costs_one_more_request() {
    for status in [400, 500] {
        let (story, report) = Scenario::hours(1)
            .activities(900)
            .ties(0)
            .options(|options| {
                options.page_limits = PageLimits {
                    cap: 500,
                    above: AboveCap::Refuse(status),
                    ..PageLimits::default()
                };
            })
            .run()
            .await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        assert!(report.scanned.page_limit_lowered);
        let planned = planned_requests(&story, at("2026-11-18"), 1, 500);
        let refused = if status == 400 { 1 } else { 2 };
        assert_eq!(
            report.scanned.requests,
            planned + refused,
            "{}",
            report.to_text()
        );
        story.expect_exact().await;
    }
}
