//! Time that was asked for too late: the service may have forgotten it, and says nothing of that.

use std::fs;
use std::time::Duration;

use mdca_lake::clock::Clock;
use mdca_lake::text::report::Report;
use mdca_lake::verify::{self, Depth, FindingKind, Sweep};
use mdca_sim::{At, Canned, Fault, What};
use serde_json::{Value, json};

use crate::support::faulty::{Call, Fate, Gate};
use crate::support::scenario::{DAY_MS, HOUR_MS, Scenario, Story, assert_same, at, files_below};
use crate::support::sealed;

const FORTY_DAYS: Duration = Duration::from_secs(40 * 24 * 60 * 60);
const SECOND: &str = "20261118T0100Z-20261118T0200Z";
const UNTIL: [&str; 2] = ["--until", "2026-11-18T03:00:00Z"];

async fn status_of(story: &Story) -> Value {
    serde_json::from_str(&story.status().await.to_json()).unwrap()
}

fn marker(story: &Story) -> std::path::PathBuf {
    story.lake().join(format!("_mdca/unproven/{SECOND}.json"))
}

/// Three hours of which the second failed; forty days later the service answers for it with nothing.
async fn forgotten() -> Story {
    let (from, until) = (at("2026-11-18T01:00:00Z"), at("2026-11-18T02:00:00Z"));
    let second = At::asked(move |asked| from - 1 <= asked.from_ms && asked.from_ms < until);
    let story = Scenario::hours(3)
        .activities(90)
        // Once with the third hour in one range, once alone.
        .fault(Fault::new(second.clone(), What::error(422, "gone for now")).times(2))
        .flags(&["--parallel", "1", "--requests-per-minute", "0"])
        .start()
        .await;
    let report = story.scan(&[]).await;
    assert_eq!(
        (report.slices.committed, report.slices.failed),
        (2, 1),
        "{}",
        report.to_text()
    );
    let nothing = Canned::json(200, &json!({"data": [], "hasNext": false}));
    // The page and its probe.
    let forgotten = Fault::new(second, What::Answer(nothing)).times(2);
    story.sim.add_fault(forgotten);
    story.clock.advance(FORTY_DAYS);
    story
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_that_the_service_forgot_is_unproven_and_never_covered() {
    let story = forgotten().await;
    let failed_run = status_of(&story).await["runs"][0]["run"].clone();
    let report = story.go_on(&UNTIL).await;
    let slices = &report.slices;
    assert_eq!(
        (
            report.head.exit_code,
            slices.planned,
            slices.committed,
            slices.unproven
        ),
        (0, 1, 0, 1),
        "{}",
        report.to_text()
    );
    assert!(
        report.to_text().contains("1 unproven"),
        "{}",
        report.to_text()
    );
    assert_eq!(report.watermark.as_deref(), Some("2026-11-18T03:00:00Z"));
    let marked = sealed::read(&marker(&story));
    assert_eq!(
        marked["asked_ms"].as_i64().unwrap() / 60_000,
        story.clock.now_ms() / 60_000
    );
    assert_eq!(marked["last_failure"]["run"], failed_run);

    let status = status_of(&story).await;
    assert_eq!(status["gaps"], json!([]));
    assert_eq!(status["watermark"], "2026-11-18T03:00:00Z");
    assert_eq!(
        status["coverage"],
        json!([
            {"from": "2026-11-18T00:00:00Z", "until": "2026-11-18T01:00:00Z"},
            {"from": "2026-11-18T02:00:00Z", "until": "2026-11-18T03:00:00Z"},
        ])
    );
    let unproven = &status["unproven"][0];
    assert_eq!(
        (
            &unproven["from"],
            &unproven["until"],
            &unproven["slices"],
            &unproven["committed"]
        ),
        (
            &json!("2026-11-18T01:00:00Z"),
            &json!("2026-11-18T02:00:00Z"),
            &json!(1),
            &json!(0)
        )
    );
    let reason = unproven["reason"]["error"].as_str().unwrap();
    assert!(reason.contains("gone for now"), "{reason}");
    story.expect_clean().await;

    // It is not asked for again, unless somebody says so; then a commit outranks the marker.
    let sent = story.sim.requests().len();
    let report = story.go_on(&UNTIL).await;
    assert_eq!(
        (report.head.exit_code, report.slices.unproven_before),
        (0, 1)
    );
    assert_eq!(story.sim.requests().len(), sent);
    let report = story.scan(&[]).await;
    assert_eq!(
        (report.slices.committed, report.slices.late),
        (1, 1),
        "{}",
        report.to_text()
    );
    assert!(marker(&story).exists());
    let status = status_of(&story).await;
    assert_eq!(status["unproven"][0]["committed"], 1);
    assert_eq!(status["coverage"].as_array().unwrap().len(), 2);
    story.expect_exact().await;
}

/// Five pieces of half a day, sixty days back, of a service that has forgotten nothing.
#[tokio::test(flavor = "multi_thread")]
async fn late_rows_are_said_to_be_late_until_something_older_came() {
    let from = at("2026-09-18");
    for last_with_rows in [5, 1] {
        let until = from + 5 * DAY_MS / 2;
        let story = Scenario::window(from, until)
            .activities(0)
            .now("2026-11-18")
            .flags(&["--slice", "12h", "--parallel", "1"])
            .start()
            .await;
        for hour in 0..12 * last_with_rows {
            let created = from + hour * HOUR_MS;
            story.sim.tenant().push(format!(
                r#"{{"_id":"a{hour}","timestamp":{created},"created":{created}}}"#
            ));
        }
        let report = story.scan(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        // The first record came with the first slice; a day later begins what it proves.
        let (late, unproven) = if last_with_rows == 5 { (2, 0) } else { (1, 1) };
        let slices = &report.slices;
        assert_eq!(
            (
                slices.committed + slices.unproven,
                slices.late,
                slices.unproven
            ),
            (5, late, unproven),
            "{}",
            report.to_text()
        );
        let status = status_of(&story).await;
        assert_eq!(status["unproven"][0]["until"], "2026-09-19T00:00:00Z");
        assert_eq!(status["unproven"][0]["committed"], late);
        assert_eq!(
            status["coverage"],
            json!([{"from": "2026-09-19T00:00:00Z", "until": "2026-09-20T12:00:00Z"}])
        );
        assert_eq!(report.watermark.as_deref(), Some("2026-09-20T12:00:00Z"));
        story.expect_clean().await;
    }
}

/// What happened long ago and was saved lately says nothing of how far back the service remembers.
#[tokio::test(flavor = "multi_thread")]
async fn by_date_a_record_that_was_saved_late_proves_nothing() {
    let from = at("2026-09-18");
    let story = Scenario::window(from, from + 2 * DAY_MS)
        .activities(0)
        .now("2026-11-18")
        .flags(&["--by", "date", "--slice", "12h", "--parallel", "1"])
        .start()
        .await;
    let saved = at("2026-11-12");
    story.sim.tenant().push(format!(
        r#"{{"_id":"a","timestamp":{from},"created":{saved}}}"#
    ));
    let report = story.scan(&[]).await;
    let slices = &report.slices;
    assert_eq!(
        (slices.committed, slices.late, slices.unproven),
        (1, 1, 3),
        "{}",
        report.to_text()
    );
    let status = status_of(&story).await;
    assert_eq!(status["coverage"], json!([]));
    story.expect_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_are_verified_and_one_that_is_damaged_stops_nobody() {
    let story = forgotten().await;
    story.go_on(&UNTIL).await;
    let verify = async || {
        let done = verify::verify(
            &story.store(),
            Depth::Bytes,
            Sweep::Never,
            story.clock.now_ms(),
        )
        .await
        .unwrap();
        let findings = done.findings.into_iter();
        findings
            .map(|finding| (finding.what, finding.path))
            .collect::<Vec<_>>()
    };
    assert_eq!(verify().await, []);
    let path = format!("_mdca/unproven/{SECOND}.json");
    fs::write(marker(&story), "{").unwrap();
    assert_eq!(verify().await, [(FindingKind::Damaged, path)]);
    assert_eq!(status_of(&story).await["unproven"][0]["slices"], 1);
    assert_eq!(story.go_on(&UNTIL).await.head.exit_code, 0);
    // One that is empty is none; the next run that asks for its slice puts it again.
    fs::write(marker(&story), "").unwrap();
    assert_eq!(status_of(&story).await["gaps"].as_array().unwrap().len(), 1);
    let nothing = Canned::json(200, &json!({"data": [], "hasNext": false}));
    story
        .sim
        .add_fault(Fault::new(At::Every, What::Answer(nothing)).times(2));
    assert_eq!(story.go_on(&UNTIL).await.slices.unproven, 1);
    assert_eq!(verify().await, []);
    assert_eq!(status_of(&story).await["gaps"].as_array().unwrap().len(), 0);
    fs::remove_file(marker(&story)).unwrap();
    let odd = "20261118T0100Z-20261118T0130Z";
    let odd_path = format!("_mdca/unproven/{odd}.json");
    let odd_marker =
        json!({"version": 1, "slice": odd, "run": "r", "asked_ms": 0, "last_failure": null});
    sealed::write(&story.lake().join(&odd_path), &odd_marker);
    assert_eq!(verify().await, [(FindingKind::Contradicts, odd_path)]);
}

/// A run died while it published; weeks later the service has forgotten the slice. What shows of it
/// is committed, once nobody can be at work on it any more, and what is missing is a hole.
#[tokio::test(flavor = "multi_thread")]
async fn what_shows_of_a_forgotten_slice_is_committed_and_the_rest_is_a_hole() {
    for published in [0, 1] {
        let story = Scenario::hours(1)
            .activities(60)
            .flags(&["--parallel", "1", "--requests-per-minute", "0"])
            .options(|options| options.history_days = Some(30))
            .start()
            .await;
        let mut seen = 0;
        let gate = Gate::new(move |call: &Call| {
            seen += usize::from(call.verb == "publish");
            if call.verb == "publish" && seen > published {
                Fate::Die
            } else {
                Fate::Pass
            }
        });
        let died = gate.live(story.scan_on(story.guarded(&gate), 1, &[])).await;
        assert!(died.is_none());
        let files = files_below(&story.lake().join("activities"));
        assert_eq!(files.len(), published);
        let shown = story.visible_ids().await;
        story.clock.advance(FORTY_DAYS);
        if published > 0 {
            let report = story.scan(&[]).await;
            assert_eq!((report.head.exit_code, report.slices.failed), (4, 1));
            let text = report.to_text();
            assert!(text.contains("may still be at work"), "{text}");
            assert_eq!(files_below(&story.lake().join("activities")), files);
            story.an_hour_passes().await;
        }
        let report = story.scan(&[]).await;
        let (unproven, committed) = if published == 0 { (1, 0) } else { (0, 1) };
        let text = report.to_text();
        assert_eq!(
            (
                report.slices.unproven,
                report.slices.committed,
                report.slices.failed
            ),
            (unproven, committed, 0),
            "{text}"
        );
        assert_eq!(files_below(&story.lake().join("activities")), files);
        if published == 0 {
            continue;
        }
        assert_eq!(report.head.exit_code, 4, "{text}");
        assert!(text.contains("published 1 of "), "{text}");
        let status = status_of(&story).await;
        assert_eq!(status["unproven"][0]["committed"], 1, "{status}");
        assert_eq!(status["gaps"].as_array().map(Vec::len), Some(1), "{status}");
        assert!(!shown.is_empty());
        assert_same(&story.ids(), &shown);
        story.expect_clean().await;
        assert_eq!(story.scan(&[]).await.head.exit_code, 0);
    }
}
