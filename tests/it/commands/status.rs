//! What `status` says of a lake, and how long it takes to say it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use mdca_lake::job::process::Machine;
use mdca_lake::status;
use mdca_lake::store::Store;
use mdca_lake::text::report::Report;
use mdca_lake::verify::{self, Depth, Sweep};
use mdca_lake::window::format_time;
use mdca_sim::{At, Fault, What};
use serde_json::{Value, json};

use crate::support::scenario::{HOUR_MS, Scenario, at};
use crate::support::sealed;

/// Commits of a lake that is more than two years old, slice by hour.
const COMMITS: i64 = 20_000;
/// A status or a verification may take this many times as long as reading every commit and parsing
/// it: machines differ, the ratio hardly. Unoptimised, as here, it is about 6.
const MAX_RATIO: f64 = 15.0;

/// After all that is in the lakes here.
fn now_ms() -> i64 {
    at("2026-12-01")
}

fn open(lake: &Path) -> Store {
    Store::open(lake.to_str().unwrap()).unwrap()
}

async fn status_of(lake: &Path) -> Value {
    serde_json::from_str(
        &status::read(&open(lake), now_ms(), &Machine::untold())
            .await
            .unwrap()
            .to_json(),
    )
    .unwrap()
}

fn slice_name(from_ms: i64) -> String {
    let edge = |time_ms: i64| {
        format_time(time_ms)
            .replace([':', '-'], "")
            .replace("00Z", "Z")
    };
    format!("{}-{}", edge(from_ms), edge(from_ms + HOUR_MS))
}

/// A lake made by hand that begins at 2026-01-01, with commits of some of its hours.
fn lake_of(lake: &Path, hours: impl IntoIterator<Item = i64>, with_files: bool) {
    let begin_ms = at("2026-01-01");
    sealed::write(&lake.join("_mdca/lake.json"), &sealed::identity(begin_ms));
    let commits = lake.join("_mdca/commits");
    fs::create_dir_all(&commits).unwrap();
    for hour in hours {
        let from_ms = begin_ms + hour * HOUR_MS;
        let slice = slice_name(from_ms);
        let mut commit = sealed::commit(&slice);
        if with_files {
            let day = &format_time(from_ms)[..10];
            commit["files"] = json!([{
                "path": format!("activities/event_date={day}/{slice}-0123456789abcdef-0.parquet"),
                "rows": 7, "bytes": 1_000, "checksum": sealed::checksum(b""),
                "timestamp_min_ms": from_ms, "timestamp_max_ms": from_ms,
                "created_min_ms": from_ms, "created_max_ms": from_ms,
            }]);
            commit["counts"]["records"] = 7.into();
            commit["counts"]["rows"] = 7.into();
        }
        let text = sealed::seal(&commit.to_string());
        fs::write(commits.join(format!("{slice}.json")), text).unwrap();
    }
}

/// How long the commits of a lake take if each is read and parsed and nothing else.
fn plain_reading(lake: &Path) -> Duration {
    let started = Instant::now();
    for entry in fs::read_dir(lake.join("_mdca/commits")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let commit: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert!(commit["slice"].is_string());
    }
    started.elapsed()
}

fn report(lake: &Path, run: &str, report: &Value) {
    let runs = lake.join("_mdca/runs");
    fs::create_dir_all(&runs).unwrap();
    let mut report = report.clone();
    report["run"] = run.into();
    fs::write(runs.join(format!("{run}.json")), report.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_commits_are_read_while_somebody_waits() {
    let folder = tempfile::tempdir().unwrap();
    for with_files in [true, false] {
        let lake = folder.path().join(format!("lake-{with_files}"));
        // A gap in every thousand.
        lake_of(
            &lake,
            (0..COMMITS).filter(|hour| hour % 1_000 != 500),
            with_files,
        );
        // Before and after: what else the machine does just then may end in between.
        let before = plain_reading(&lake);
        let started = Instant::now();
        let took = if with_files {
            let status = status_of(&lake).await;
            let took = started.elapsed();
            assert_eq!(status["slices"], COMMITS - 20);
            assert_eq!(status["rows"], (COMMITS - 20) * 7);
            assert_eq!(status["gaps"].as_array().unwrap().len(), 20);
            took
        } else {
            let done = verify::verify(&open(&lake), Depth::Bytes, Sweep::Never, now_ms())
                .await
                .unwrap();
            let took = started.elapsed();
            assert_eq!(done.findings, []);
            assert_eq!(done.commits, COMMITS.unsigned_abs() - 20);
            took
        };
        let what = if with_files { "status" } else { "verify" };
        let plain = before.max(plain_reading(&lake));
        println!("{what} of {COMMITS} commits took {took:?}, plain reading {plain:?}");
        assert!(took < plain.mul_f64(MAX_RATIO));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_reach_from_the_begin_to_what_the_last_runs_were_to_scan() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path();
    lake_of(lake, [2, 3, 5], false);
    let window = json!({"from": "2026-01-01T00:00:00Z", "until": "2026-01-01T08:00:00Z"});
    let failed = |slice: i64, error: &str| {
        let slice = slice_name(at("2026-01-01") + slice * HOUR_MS);
        json!({"first_slice": slice, "last_slice": slice, "count": 1, "kind": "service", "error": error})
    };
    report(
        lake,
        "20260101T090000Z-00000001",
        &json!({"status": "failed", "window": window, "failures": [failed(4, "older"), failed(0, "the first")]}),
    );
    report(
        lake,
        "20260101T100000Z-00000002",
        &json!({"status": "failed", "window": window, "failures": [failed(4, "newer")]}),
    );
    // Neither a report of another program nor a torn one is in the way.
    fs::write(
        lake.join("_mdca/runs/20260101T103000Z-00000003.json"),
        "{\"ru",
    )
    .unwrap();
    report(
        lake,
        "20260101T110000Z-00000004",
        &json!({"status": "running", "window": {"from": "2026-01-01T06:00:00Z", "until": "2026-01-01T09:00:00Z"}, "failures": []}),
    );
    let status = status_of(lake).await;
    let gaps: Vec<[&str; 4]> = status["gaps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gap| {
            [
                &gap["from"],
                &gap["until"],
                &gap["reason"]["run"],
                &gap["reason"]["error"],
            ]
            .map(|text| text.as_str().unwrap())
        })
        .collect();
    assert_eq!(
        gaps,
        [
            [
                "2026-01-01T00:00:00Z",
                "2026-01-01T02:00:00Z",
                "20260101T090000Z-00000001",
                "the first"
            ],
            [
                "2026-01-01T04:00:00Z",
                "2026-01-01T05:00:00Z",
                "20260101T100000Z-00000002",
                "newer"
            ],
            [
                "2026-01-01T06:00:00Z",
                "2026-01-01T09:00:00Z",
                "20260101T110000Z-00000004",
                "the run died while it was at work on it",
            ],
        ]
    );
}

/// Runs that were to scan nothing end no gap, however many they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_stays_one_while_later_runs_scan_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path();
    lake_of(lake, [0, 1], false);
    let window = json!({"from": "2026-01-01T00:00:00Z", "until": "2026-01-01T03:00:00Z"});
    let failures = json!([{"kind": "service", "error": "no answer"}]);
    report(
        lake,
        "20260101T040000Z-00000001",
        &json!({"status": "failed", "window": window, "failures": failures}),
    );
    for run in 10..50 {
        let run = format!("20260101T05{run}00Z-000000{run}");
        let compacted = json!({"status": "succeeded", "command": "compact", "failures": []});
        report(lake, &run, &compacted);
    }
    let status = status_of(lake).await;
    let gaps = status["gaps"].as_array().unwrap();
    assert_eq!(gaps.len(), 1, "{status}");
    assert_eq!(gaps[0]["until"], "2026-01-01T03:00:00Z");
    assert_eq!(gaps[0]["reason"]["error"], "no answer");
    assert_eq!(status["runs"].as_array().unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_slice_is_a_gap_with_its_reason_until_it_is_scanned() {
    for record in [0, 60] {
        let story = Scenario::hours(4)
            .activities(100)
            .fault(Fault::new(At::Record(record), What::null_row()).always())
            .start()
            .await;
        let report = story.scan(&["--on-reject", "fail"]).await;
        assert_eq!(report.head.exit_code, 5, "{}", report.to_text());
        let failed = report.failures[0].first_slice.clone().unwrap();
        let status = status_of(story.lake()).await;
        let gap = &status["gaps"][0];
        assert_eq!(status["gaps"].as_array().unwrap().len(), 1, "{status}");
        assert_eq!(gap["reason"]["slice"], failed.as_str());
        assert_eq!(gap["reason"]["run"], report.head.run.as_str());
        assert_eq!(gap["slices"], 1);
        let error = gap["reason"]["error"].as_str().unwrap();
        assert!(error.contains("cannot become rows"), "{error}");

        let report = story.scan(&["--on-reject", "keep"]).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        assert_eq!(status_of(story.lake()).await["gaps"], json!([]));
    }
}

/// Sixty slices that fail for one cause are one line for people, one object for machines, few lines of
/// the log; a gap among them still has its reason.
#[tokio::test(flavor = "multi_thread")]
async fn slices_that_fail_for_one_cause_are_one_line() {
    let mut scenario = Scenario::hours(60).activities(100).flags(&[
        "--on-reject",
        "fail",
        "--requests-per-minute",
        "0",
    ]);
    for record in 0..100 {
        scenario = scenario.fault(Fault::new(At::Record(record), What::null_row()).always());
    }
    let (story, report) = scenario.run().await;
    assert_eq!(report.head.exit_code, 5, "{}", report.to_text());
    assert!(report.slices.failed > 30, "{}", report.to_text());
    let of_slices: Vec<_> = report
        .failures
        .iter()
        .filter(|failure| failure.first_slice.is_some())
        .collect();
    assert_eq!(of_slices.len(), 1, "{}", report.to_text());
    assert_eq!(of_slices[0].count, report.slices.failed);
    assert_eq!(
        report.to_text().matches("FAILED").count(),
        report.failures.len()
    );
    let failures = serde_json::to_string(&report.failures).unwrap();
    assert!(failures.len() < 1_024, "{failures}");
    let status = status_of(story.lake()).await;
    let error = status["gaps"][0]["reason"]["error"].as_str().unwrap();
    let said = format!("{} slices from 2026111", report.slices.failed);
    assert!(
        error.starts_with(&said) && error.contains("cannot become rows"),
        "{error}"
    );
}

/// Runs that die over one slice again and again are named with it, in `status` and in the next run's
/// report, until it is committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_slice_that_runs_die_over_is_named_with_the_remedy() {
    let story = Scenario::hours(4).activities(40).start().await;
    let lake = story.lake();
    let first = "20261118T0100Z-20261118T0200Z";
    let died = |run: &str| {
        let window = json!({"from": "2026-11-18T00:00:00Z", "until": "2026-11-18T04:00:00Z"});
        let running = json!({"idle_s": 40, "in_flight": [first, "no slice"]});
        let told =
            json!({"status": "running", "window": window, "running": running, "failures": []});
        report(lake, run, &told);
        let file = lake.join(format!("_mdca/runs/{run}.json"));
        let old = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let file = fs::File::options().write(true).open(file).unwrap();
        file.set_modified(old).unwrap();
    };
    sealed::write(
        &lake.join("_mdca/lake.json"),
        &sealed::identity(at("2026-11-18")),
    );
    for run in 1..4 {
        died(&format!("20261118T0{run}0000Z-0000000{run}"));
    }
    let status = status::read(&open(lake), at("2026-11-20"), &Machine::untold())
        .await
        .unwrap();
    assert_eq!(status.begun_in_vain, [(first.to_owned(), 3)].into());
    let said = format!("slice {first} was started 3 times and not finished");
    assert!(status.to_text().contains(&said), "{}", status.to_text());
    assert!(status.to_text().contains("--memory-limit"));
    assert!(status.runs.iter().all(|run| run["status"] == "died"));
    let gap = &status.gaps[0].reason.as_ref().unwrap().error;
    assert!(gap.contains("the run died"), "{gap}");
}

/// For monitoring: what is late, or lacks more than may be, is named, and decides the exit code.
#[test]
fn a_lake_that_is_behind_is_exit_code_5() {
    let folder = tempfile::tempdir().unwrap();
    lake_of(folder.path(), [0, 1, 3, 4], false);
    let status = |flags: &[&str], variables: &[(&str, &str)]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_mdca-lake"))
            .args(["status", "--lake", folder.path().to_str().unwrap()])
            .args(flags)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), text)
    };
    for (flags, variables, code, said) in [
        (&[][..], &[][..], 0, vec![]),
        (&["--max-age", "20years", "--max-gaps", "1"], &[], 0, vec![]),
        (
            &["--max-gaps", "0"],
            &[],
            5,
            vec!["more gaps than --max-gaps 0: 1 gap (1 slice)"],
        ),
        (
            &["--max-age", "2h"],
            &[],
            5,
            vec!["at 2026-01-01T05:00:00Z; --max-age is 2h"],
        ),
        (
            &[],
            &[("MDCA_MAX_AGE", "2h"), ("MDCA_MAX_GAPS", "0")],
            5,
            vec!["--max-age", "--max-gaps"],
        ),
        (
            &[],
            &[("MDCA_MAX_AGE", ""), ("MDCA_MAX_GAPS", "")],
            0,
            vec![],
        ),
    ] {
        let (found, text) = status(flags, variables);
        assert_eq!(found, code, "{flags:?}: {text}");
        assert_eq!(text.matches("BEHIND").count(), said.len(), "{text}");
        for said in said {
            assert!(text.contains(said), "{text}");
        }
    }
    let (_, json) = status(&["--max-gaps", "0", "--report", "json"], &[]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["behind"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_without_their_identity_are_no_new_lake() {
    let (story, _) = Scenario::hours(2).activities(50).run().await;
    let identity = story.lake().join("_mdca/lake.json");
    let bytes = fs::read(&identity).unwrap();
    fs::remove_file(&identity).unwrap();
    let error = status::read(&open(story.lake()), now_ms(), &Machine::untold())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("_mdca/lake.json"), "{error}");
    let sent = story.sim.requests().len();
    let report = story.scan(&[]).await;
    assert_eq!(report.head.exit_code, 6, "{}", report.to_text());
    assert_eq!(story.sim.requests().len(), sent);
    assert!(!identity.exists());
    fs::write(&identity, bytes).unwrap();
    story.expect_exact().await;
}
