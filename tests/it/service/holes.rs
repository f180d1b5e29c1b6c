//! What the service does not give, and a service that is down: a bad record costs its millisecond, and
//! an outage is not asked about slice by slice.

use std::time::Duration;

use mdca_lake::commit::Commit;
use mdca_lake::job::report::RunReport;
use mdca_lake::text::report::Report;
use mdca_sim::{At, Change, Fault, What};

use crate::support::scenario::{
    DAY_MS, HOUR_MS, Scenario, Story, assert_same, at, expect_conserved, files_below,
};

/// 240 activities in two hours, no two in one millisecond.
fn small() -> Scenario {
    Scenario::hours(2).activities(240).ties(0).page_cap(40)
}

/// Whatever is asked for, a page with this record goes wrong.
fn poisoned(record: u64, what: What) -> Fault {
    Fault::new(At::Record(record), what).always()
}

fn kinds(report: &RunReport) -> Vec<&str> {
    report.failures.iter().map(|failure| failure.kind).collect()
}

/// All but these records are there, each of these is a hole, and the next run finds nothing to do.
async fn expect_holes(story: &Story, report: &RunReport, records: &[u64]) {
    assert_eq!(
        (
            report.head.exit_code,
            report.slices.committed,
            report.slices.failed
        ),
        (4, 2, 0),
        "{}",
        report.to_text()
    );
    expect_conserved(report);
    let truth = story.truth();
    let (mut ids, mut holes) = (story.expected_ids(), Vec::new());
    for record in records {
        let record = &truth[usize::try_from(*record).unwrap()];
        ids.retain(|id| Some(id) != record.id.as_ref());
        holes.push(record.created_ms);
    }
    assert_same(&story.ids(), &ids);
    story.expect_clean().await;
    story.expect_within_budget(30);

    let mut named = Vec::new();
    for slice in mdca_lake::commit::committed_slices(&story.store())
        .await
        .unwrap()
    {
        let commit = Commit::load(&story.store(), &slice).await.unwrap().unwrap();
        for hole in commit.holes {
            assert_eq!(hole.until_ms, hole.from_ms + 1);
            assert!(!hole.reason.is_empty());
            named.push(hole.from_ms);
        }
    }
    assert_eq!(named, holes);
    let status = story.status().await;
    assert_eq!(status.gaps.len(), holes.len(), "{}", status.to_text());
    assert!(status.gaps.iter().all(|gap| gap.reason.is_some()));

    let again = story.scan(&[]).await;
    assert_eq!((again.head.exit_code, again.scanned.requests), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_service_cannot_give_costs_its_millisecond() {
    let answers = [
        What::gateway(500),
        What::html(503),
        What::gateway(413),
        What::TruncatedJson,
        What::CutBody { after: 1_000 },
        What::PadTo { bytes: 3_000_000 },
    ];
    for what in answers {
        println!("{what:?}");
        let is_page = !matches!(what, What::Answer(_));
        let (story, report) = small()
            .fault(poisoned(70, what))
            .flags(&[
                "--max-page-bytes",
                "1MiB",
                "--max-attempts",
                "3",
                "--parallel",
                "1",
            ])
            .options(|options| options.gzip = false)
            .run()
            .await;
        expect_holes(&story, &report, &[70]).await;
        assert!(report.scanned.controls > 0);
        // What came of a page is kept.
        assert_eq!(
            report.result.counts.rejects.get("unreadable_page").copied(),
            is_page.then_some(1)
        );
        if is_page {
            let kept = files_below(&story.lake().join("_mdca/rejects"));
            let line: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&kept[0]).unwrap()).unwrap();
            let text = line["text"].as_str().unwrap();
            assert!(text.starts_with("{\"data\":[{"), "{text:.40}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_such_records_are_several_holes() {
    let (story, report) = small()
        .fault(poisoned(3, What::gateway(500)))
        .fault(poisoned(50, What::gateway(504)))
        .fault(poisoned(200, What::gateway(502)))
        // One at a time: in simulated time, whoever waits makes the requests of others late.
        .flags(&["--max-attempts", "2", "--parallel", "1"])
        .run()
        .await;
    expect_holes(&story, &report, &[3, 50, 200]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_with_bad_records_never_stop_the_run() {
    let story = Scenario::hours(6)
        .activities(60)
        .ties(0)
        .flags(&["--max-attempts", "2", "--parallel", "1"])
        .start()
        .await;
    story
        .scan(&[
            "--from",
            "2026-11-18T05:00:00Z",
            "--until",
            "2026-11-18T06:00:00Z",
        ])
        .await;
    // All of the first five hours but single milliseconds, which are too many to ask for.
    let until = at("2026-11-18T04:59:00Z");
    let bad = At::asked(move |asked| asked.from_ms < until && asked.range_ms() > 1);
    story
        .sim
        .add_fault(Fault::new(bad, What::gateway(500)).always());
    let report = story.scan(&[]).await;
    assert_eq!(
        (
            report.head.exit_code,
            report.slices.committed,
            report.slices.failed
        ),
        (4, 0, 5),
        "{}",
        report.to_text()
    );
    assert!(
        report
            .failures
            .iter()
            .all(|failure| failure.first_slice.is_some())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_stops_the_run_at_the_third_slice() {
    for (what, per_slice) in [
        // Three tries and the two of the control; nothing that is no page is controlled slice by slice.
        (What::gateway(503), 3 + 2),
        (What::html(200), 3),
        (What::Close, 3),
        (What::html(404), 1),
        (What::error(400, "filter validation error"), 2),
    ] {
        println!("{what:?}");
        let story = Scenario::hours(24)
            .activities(100)
            .flags(&["--max-attempts", "3", "--parallel", "1"])
            .start()
            .await;
        // The lake is there before the service breaks down.
        let first = story
            .scan(&["--from", "2026-11-18", "--until", "2026-11-18T01:00:00Z"])
            .await;
        assert_eq!(first.head.exit_code, 0, "{}", first.to_text());
        story.sim.add_fault(Fault::new(At::Every, what).always());
        let report = story.scan(&[]).await;
        assert_eq!(
            (report.head.exit_code, report.slices.failed),
            (4, 3),
            "{}",
            report.to_text()
        );
        assert!(
            report.scanned.requests <= 3 * per_slice + 2,
            "{}",
            report.scanned.requests
        );
        let text = report.to_text();
        assert!(
            text.contains("the control request fails, too: cannot get "),
            "{text}"
        );
        // Well within a quarter of an hour.
        assert!(
            report.result.elapsed_s < 900.0,
            "{}",
            report.result.elapsed_s
        );
        story.expect_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_rerun_fixes_does_not_advise_one() {
    for what in [What::html(404), What::error(400, "no such filter")] {
        let story = Scenario::hours(1).activities(10).start().await;
        story.scan(&[]).await;
        story.sim.add_fault(Fault::new(At::Every, what).always());
        let report = story
            .scan(&["--from", "2026-11-17", "--until", "2026-11-17T01:00:00Z"])
            .await;
        assert_eq!(report.head.exit_code, 4);
        assert!(
            !report.to_text().contains("run again"),
            "{}",
            report.to_text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_do_not_come_twice_with_the_halves_of_a_range() {
    let (story, report) = small()
        .fault(poisoned(5, What::without_id()))
        .fault(
            Fault::new(
                At::Every,
                What::Stuck {
                    range_at_least_ms: HOUR_MS / 4,
                },
            )
            .always(),
        )
        .run()
        .await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    expect_conserved(&report);
    assert!(report.scanned.halvings > 0);
    assert_eq!(report.result.counts.rejects.get("no_id"), Some(&1));
    assert_same(&story.ids(), &story.expected_ids_but(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_of_rejects_only_is_not_committed_until_the_service_is_about_to_forget_it() {
    let changed = What::EveryRecord(Change::Set {
        pointer: "/timestamp".to_owned(),
        json: "[]".to_owned(),
    });
    let story = small()
        .fault(Fault::new(At::Every, changed).always())
        .start()
        .await;
    let report = story.scan(&[]).await;
    assert_eq!(
        (
            report.head.exit_code,
            report.slices.committed,
            report.slices.failed
        ),
        (5, 0, 2),
        "{}",
        report.to_text()
    );
    assert!(kinds(&report).iter().all(|kind| *kind == "data"));
    assert!(report.to_text().contains("their form may have changed"));
    story.expect_clean().await;

    story
        .clock
        .advance(Duration::from_millis(u64::try_from(20 * DAY_MS).unwrap()));
    let report = story.scan(&[]).await;
    assert_eq!(
        (
            report.head.exit_code,
            report.slices.committed,
            report.result.counts.rows
        ),
        (5, 2, 0),
        "{}",
        report.to_text()
    );
    assert_eq!(report.result.counts.rejects.get("no_timestamp"), Some(&240));
    story.expect_clean().await;
    assert_eq!(story.scan(&[]).await.head.exit_code, 0);
}

/// Rejects that are all alike are kept once, and tell as much as others.
#[tokio::test(flavor = "multi_thread")]
async fn a_slice_of_rejects_that_are_all_alike_is_not_committed() {
    let mut scenario = small();
    for record in 0..240 {
        scenario = scenario.fault(Fault::new(At::Record(record), What::null_row()).always());
    }
    let story = scenario.start().await;
    let report = story.scan(&[]).await;
    let slices = (report.slices.committed, report.slices.failed);
    assert_eq!(
        (report.head.exit_code, slices),
        (5, (0, 2)),
        "{}",
        report.to_text()
    );
    story.expect_clean().await;
}
