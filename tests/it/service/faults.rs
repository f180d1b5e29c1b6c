//! Every fault of the service, one at a time.

use mdca_lake::text::report::Report;
use std::time::Duration;

use mdca_sim::{At, Canned, Change, Fault, Repeat, What};
use serde_json::json;

use crate::support::scenario::{HOUR_MS, Scenario, assert_same, at, expect_conserved};

/// 240 activities in two hours, in pages of 40: some six pages.
fn small() -> Scenario {
    Scenario::hours(2).activities(240).page_cap(40)
}

/// Faults that pass: the run retries, and in the end everything is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_passes_costs_a_retry_and_nothing_else() {
    // A page that would be taken, had it not said that it is a part of one.
    let part = json!({"data": [], "hasNext": false});
    let faults = [
        ("http_429", What::throttled(Some(7))),
        ("http_429", What::throttled(None)),
        ("http_429", What::throttled_json(Some(400))),
        ("http_408", What::gateway(408)),
        ("http_500", What::html(500)),
        ("http_500", What::error(500, "internal error")),
        ("http_502", What::gateway(502)),
        ("http_503", What::gateway(503)),
        ("http_504", What::gateway(504)),
        ("malformed", What::html(200)),
        ("malformed", What::Answer(Canned::json(206, &part))),
        ("malformed", What::MalformedJson),
        ("malformed", What::TruncatedJson),
        ("malformed", What::DataMissing),
        ("malformed", What::DataNull),
        ("malformed", What::HasNextMissing),
        ("malformed", What::HasNextText),
        ("no_continuation", What::NextFiltersMissing),
        ("no_continuation", What::NextFiltersNull),
        ("malformed", What::Record(Change::InvalidUtf8)),
        ("cut", What::CutBody { after: 1_000 }),
        ("cut", What::Close),
        ("cut", What::Reset),
        ("timeout", What::Stall),
    ];
    for (cause, what) in faults {
        for page in [0, 3] {
            println!("{what:?} on page {page}");
            let (story, report) = small()
                .fault(Fault::new(At::Page(page), what.clone()))
                .run()
                .await;
            assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
            assert_eq!(story.sim.faults_left(), 0, "the fault did not happen");
            assert_eq!(
                report.scanned.retries.get(cause),
                Some(&1),
                "{:?}",
                report.scanned.retries
            );
            assert_eq!(report.scanned.requests, report.result.counts.pages + 1);
            expect_conserved(&report);
            story.expect_exact().await;
        }
    }
}

/// Oddities that need no retry: everything is there at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_odd_page_is_taken_as_it_is() {
    let faults = [
        Fault::new(
            At::Page(1),
            What::SlowBody {
                piece: 20_000,
                pause: Duration::from_millis(5),
            },
        ),
        Fault::new(At::Page(1), What::PadTo { bytes: 3_000_000 }),
        Fault::new(At::Page(1), What::GzipBomb { bytes: 6_000_000 }),
        Fault::new(At::Every, What::IgnoreOrder).always(),
        Fault::new(At::Every, What::Shuffle).always(),
        Fault::new(At::Page(1), What::EmptyPage).times(3),
        Fault::new(At::Page(1), What::ShortPage { records: 1 }),
        Fault::new(At::Every, What::IgnoreLimit { records: 100 }).always(),
        Fault::new(At::Every, What::NextFiltersOnLast),
        Fault::new(At::Page(2), What::Repeat(Repeat::Exact)),
        Fault::new(At::Page(2), What::Repeat(Repeat::Reordered)),
    ];
    for fault in faults {
        println!("{fault:?}");
        let repeats = u64::from(matches!(fault.what, What::Repeat(_)));
        let (story, report) = small().fault(fault).run().await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        assert!(
            report.scanned.retries.is_empty(),
            "{:?}",
            report.scanned.retries
        );
        assert!(
            report.result.counts.repeats >= repeats,
            "{:?}",
            report.result.counts
        );
        expect_conserved(&report);
        story.expect_exact().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_comes_with_other_json_is_kept_twice_and_counted() {
    let (story, report) = small()
        .fault(Fault::new(At::Page(2), What::Repeat(Repeat::Changed)))
        .run()
        .await;
    assert_eq!(
        (report.head.exit_code, report.result.counts.changed_repeats),
        (0, 1),
        "{}",
        report.to_text()
    );
    let mut ids = story.ids();
    assert_eq!(ids.len(), 241);
    ids.dedup();
    assert_same(&ids, &story.expected_ids());
}

/// Continuations that lead nowhere: the range is halved until they do.
#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_range_is_halved_through() {
    let faults = [
        Fault::new(At::Page(1), What::NextFiltersMissing).times(2),
        Fault::new(At::Page(1), What::NextFiltersNull).times(2),
        Fault::new(
            At::Every,
            What::Stuck {
                range_at_least_ms: HOUR_MS / 4,
            },
        )
        .always(),
    ];
    for fault in faults {
        println!("{fault:?}");
        let (story, report) = small().fault(fault).run().await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        assert!(report.scanned.halvings > 0);
        expect_conserved(&report);
        story.expect_exact().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_that_cannot_be_paged_at_all_fails_and_no_other_does() {
    let hour = at("2026-11-18T01:00:00Z");
    let stuck = At::asked(move |asked| asked.from_ms >= hour - 1);
    let (story, report) = small()
        .fault(
            Fault::new(
                stuck,
                What::Stuck {
                    range_at_least_ms: 0,
                },
            )
            .always(),
        )
        .run()
        .await;
    assert_eq!(
        (
            report.head.exit_code,
            report.slices.committed,
            report.slices.failed
        ),
        (4, 1, 1)
    );
    let failure = &report.failures[0];
    assert_eq!(
        failure.first_slice.as_deref(),
        Some("20261118T0100Z-20261118T0200Z")
    );
    assert!(
        failure.error.contains("100 or more ranges of it fail"),
        "{}",
        failure.error
    );
    let expected: Vec<String> = story
        .truth()
        .into_iter()
        .filter(|record| record.created_ms < hour)
        .filter_map(|record| record.id)
        .collect();
    let mut expected = expected;
    expected.sort();
    assert_same(&story.ids(), &expected);
}

/// Faults that a rerun gets over: the slice fails, nothing of it shows, and the next run completes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_slice_that_fails_shows_nothing_and_the_next_run_completes_it() {
    let faults = [
        (
            3,
            What::invalid_key_set(),
            "HTTP 401: Invalid JSON Web Key Set",
        ),
        (
            3,
            What::missing_role(),
            "HTTP 403: Insufficient role based permissions",
        ),
        (4, What::html(404), "HTTP 404: an HTML page"),
        (
            4,
            What::error(400, "filter validation error"),
            "HTTP 400: filter validation error",
        ),
        (
            4,
            What::redirect("https://elsewhere.example/x"),
            "redirects to https://elsewhere.example",
        ),
        (4, What::OnlyOutside, "ignores the filter on the clock"),
        (
            4,
            What::DateAhead { ms: -48 * HOUR_MS },
            "by the service's clock it was",
        ),
        (
            4,
            What::DateAhead {
                ms: 40 * 24 * HOUR_MS,
            },
            "only by one of them the service may have forgotten",
        ),
        (4, What::DateMissing, "no Date header"),
    ];
    for (exit_code, what, message) in faults {
        println!("{what:?}");
        let hour = at("2026-11-18T01:00:00Z");
        let second = At::asked(move |asked| asked.from_ms >= hour);
        let fault = Fault::new(second, what).times(20);
        let (story, report) = small().fault(fault).flags(&["--parallel", "1"]).run().await;
        assert_eq!(
            (report.head.exit_code, report.slices.committed),
            (exit_code, 1),
            "{}",
            report.to_text()
        );
        let text = report.to_text();
        assert!(text.contains(message), "{text}");
        assert!(!text.contains("sim-token"));
        let shown = story.ids();
        assert!(shown.len() < 240 && !shown.is_empty());
        story.expect_clean().await;

        while story.sim.faults_left() > 0 {
            story.scan(&["--max-attempts", "1"]).await;
        }
        let report = story.scan(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        story.expect_exact().await;
    }
}

/// What was not there yet when the first page was answered may be missing, however late the last one came.
#[tokio::test(flavor = "multi_thread")]
async fn a_slice_has_to_be_closed_when_its_first_page_is_answered() {
    let hour = at("2026-11-18T01:00:00Z");
    let first = At::asked(move |asked| asked.from_ms == hour);
    let early = What::DateAhead { ms: -48 * HOUR_MS };
    let story = small()
        .fault(Fault::new(first, early))
        .flags(&["--parallel", "1"]);
    let (story, report) = story.run().await;
    assert_eq!(story.sim.faults_left(), 0, "the fault did not happen");
    let found = (report.head.exit_code, report.slices.committed);
    assert_eq!(found, (0, 1), "{}", report.to_text());
    assert!(report.to_text().contains("the slice is not closed"));
    let report = story.scan(&[]).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    story.expect_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_says_how_often_and_for_how_long() {
    let (_, report) = small()
        .fault(Fault::new(At::Every, What::gateway(503)).always())
        .flags(&["--max-attempts", "3", "--parallel", "1"])
        .run()
        .await;
    assert_eq!(
        (
            report.head.exit_code,
            report.slices.failed,
            report.scanned.requests
        ),
        // Three tries of each slice, and two of the question whether the service is well.
        (4, 2, 2 * (3 + 2))
    );
    assert!(
        report.failures[0]
            .error
            .contains("gave up after 3 attempts in"),
        "{}",
        report.failures[0].error
    );
    assert!(
        report.failures[0]
            .error
            .ends_with("HTTP 503: a body without a `detail`")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_cannot_be_rows_are_kept_as_rejects() {
    let faults = [
        ("not_an_object", What::null_row()),
        ("no_id", What::without_id()),
        ("no_id", What::set("/_id", "7")),
        ("no_timestamp", What::set_aside("/timestamp")),
        ("no_timestamp", What::set("/timestamp", "-1")),
        (
            "duplicate_key",
            What::Record(Change::AppendMember(
                r#""severity":"X","severity":"Y""#.to_owned(),
            )),
        ),
        (
            "undecodable_key",
            What::Record(Change::AppendMember(r#""\ud800":1"#.to_owned())),
        ),
        ("out_of_slice", What::Stray),
    ];
    for (reason, what) in faults {
        println!("{what:?}");
        // On a first page: what a stray of a later page is may have been on the page before.
        let at = if matches!(what, What::Stray) {
            At::Page(0)
        } else {
            At::Record(5)
        };
        let (story, report) = small()
            .fault(Fault::new(at, what.clone()).always())
            .run()
            .await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        expect_conserved(&report);
        let expected = if matches!(what, What::Stray) {
            240
        } else {
            239
        };
        assert_eq!(report.result.counts.rows, expected, "{reason}");
        assert_eq!(
            report.result.counts.rejects.get(reason),
            Some(&1),
            "{:?}",
            report.result.counts.rejects
        );
        story.expect_clean().await;
        let kept = crate::support::scenario::files_below(&story.lake().join("_mdca/rejects"));
        assert_eq!(kept.len(), 1);
        let line: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&kept[0]).unwrap()).unwrap();
        assert_eq!(line["reason"], reason);
        assert!(!line["text"].as_str().unwrap().is_empty());

        let (story, report) = small()
            .fault(
                Fault::new(
                    match what {
                        What::Stray => At::Page(0),
                        _ => At::Record(5),
                    },
                    what,
                )
                .always(),
            )
            .flags(&["--on-reject", "fail"])
            .run()
            .await;
        assert_eq!(
            (report.head.exit_code, report.slices.failed),
            (5, 1),
            "{}",
            report.to_text()
        );
        story.expect_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_stay_invalid_are_a_row_and_a_reject() {
    let fault = Fault::new(At::Record(5), What::Record(Change::InvalidUtf8)).always();
    let (story, report) = small().fault(fault).run().await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    expect_conserved(&report);
    assert_eq!(
        (report.result.counts.rows, report.result.counts.copies),
        (240, 1)
    );
    assert_eq!(report.result.counts.rejects.get("invalid_utf8"), Some(&1));
    story.expect_exact().await;
    let kept = crate::support::scenario::files_below(&story.lake().join("_mdca/rejects"));
    let line: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&kept[0]).unwrap()).unwrap();
    assert!(line["base64"].is_string(), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_above_the_bound_is_an_error_and_not_an_allocation() {
    let (story, report) = small()
        .fault(Fault::new(At::Every, What::GzipBomb { bytes: 8_000_000 }).always())
        .flags(&["--max-page-bytes", "1MiB", "--parallel", "1"])
        .run()
        .await;
    assert_eq!(
        (report.head.exit_code, report.slices.failed),
        (4, 2),
        "{}",
        report.to_text()
    );
    assert!(
        report.failures[0]
            .error
            .contains("larger than 1048576 bytes"),
        "{}",
        report.failures[0].error
    );
    assert!(story.ids().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_comes_too_early_is_seen_by_nobody_but_the_total() {
    let (_, report) = small()
        .fault(Fault::new(At::Page(0), What::EndsEarly))
        .options(|options| options.scan_total = mdca_sim::Total::Exact)
        .run()
        .await;
    assert_eq!(
        (report.head.exit_code, report.scanned.total_differs),
        (0, 1),
        "{}",
        report.to_text()
    );
}
