//! Several runs over one lake: what one is at work on another leaves to it, and a dead one delays
//! nobody for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::{join, join3};
use futures::stream::FuturesUnordered;
use mdca_lake::clock::Clock;
use mdca_lake::commit;
use mdca_lake::job::process::Machine;
use mdca_lake::job::report::RunReport;
use mdca_lake::text::report::Report;
use mdca_lake::window::format_time;
use mdca_sim::{At, Fault, SimOptions, What};
use object_store::path::Path;
use serde_json::{Value, json};

use crate::support::faulty::{Fate, Gate};
use crate::support::process::{BadDisk, Place, shim};
use crate::support::scenario::{HOUR_MS, Scenario, Story, at};

const YIELD: [&str; 2] = ["--if-running", "yield"];
const DIED_AFTER_MS: i64 = 3 * 60_000;

/// Hours of which each is pages enough to be asked for alone.
fn backlog(hours: i64) -> Scenario {
    Scenario::hours(hours)
        .activities(hours.unsigned_abs() * 4)
        .page_cap(1)
        .seed(7)
        .in_bucket(true)
}

#[tokio::test]
async fn two_runs_over_one_backlog_send_the_requests_of_one() {
    // One slice after the other, so that the same ones are asked for in one range.
    let backlog = || backlog(120).flags(&["--parallel", "1"]);
    let (alone, report) = backlog().run().await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    let of_one = alone.sim.requests().len();
    for late in [0, 40] {
        let story = backlog().start().await;
        let second = async {
            // It begins when the first is in the middle, or at once.
            story.clock.passed(Duration::from_secs(late)).await;
            story.scan(&YIELD).await
        };
        let (first, second) = join(story.scan(&YIELD), second).await;
        for report in [&first, &second] {
            assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        }
        let (worker, other) = if second.head.status == "yielded" {
            (&first, &second)
        } else {
            (&second, &first)
        };
        assert_eq!(worker.slices.committed, 120, "{}", worker.to_text());
        assert_eq!(other.head.status, "yielded", "{}", other.to_text());
        assert_eq!(other.scanned.requests, 0, "{}", other.to_text());
        assert!(
            other.to_text().contains(&worker.head.run),
            "{}",
            other.to_text()
        );
        println!("one alone {of_one}, two {}", story.sim.requests().len());
        assert_eq!(story.sim.requests().len(), of_one);
        story.expect_clean().await;
    }
}

/// A backlog of five hours of budget, and a scan every hour: each of them scans its newest hour and
/// ends, while the first works off the backlog. No slice is asked for twice.
#[tokio::test]
async fn hourly_runs_beside_a_long_backfill_do_the_new_hour_and_end() {
    let hours = 300;
    let story = Scenario::hours(hours)
        .activities(300)
        .page_cap(1)
        .seed(7)
        .in_bucket(true)
        .now("2026-11-30T12:20:00Z")
        .flags(&["--requests-per-minute", "1", "--parallel", "1"])
        .start()
        .await;
    let from = format_time(at("2026-11-18"));
    let begun_ms = story.clock.now_ms();
    let scan = async |number: usize| {
        let started_ms = story.clock.now_ms();
        let report = story.scan(&[&YIELD[..], &["--from", &from]].concat()).await;
        (number, started_ms, story.clock.now_ms(), report)
    };
    let mut runs = FuturesUnordered::new();
    runs.push(scan(0));
    let mut ended: Vec<(usize, i64, i64, RunReport)> = Vec::new();
    let mut most = 1;
    for hour in 1..=7 {
        let due_ms = begun_ms + hour * HOUR_MS;
        loop {
            let rest =
                Duration::from_millis(u64::try_from(due_ms - story.clock.now_ms()).unwrap_or(0));
            tokio::select! {
                biased;
                () = story.clock.passed(rest) => break,
                run = runs.next() => match run {
                    Some(run) => ended.push(run),
                    // Nobody is at work, so time has to be moved.
                    None => story.clock.advance(rest),
                }
            }
        }
        runs.push(scan(usize::try_from(hour).unwrap()));
        most = most.max(runs.len());
    }
    ended.extend(runs.collect::<Vec<_>>().await);
    let mut committed = 0;
    for (number, started_ms, ended_ms, report) in &ended {
        let minutes = (ended_ms - started_ms) / 60_000;
        println!(
            "run {number}: {minutes} min, {} requests, {} committed, {} left",
            report.scanned.requests, report.slices.committed, report.slices.left
        );
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        assert_eq!(report.slices.lost_attempts, 0);
        committed += report.slices.committed;
        if *number == 0 {
            assert_eq!(report.slices.taken, 0, "{}", report.to_text());
            assert!(minutes > 4 * 60, "the backfill took only {minutes} minutes");
        } else {
            assert!(minutes <= 10, "run {number} took {minutes} minutes");
        }
    }
    assert!(most <= 2, "{most} runs at once");
    let slices = commit::committed_slices(&story.store())
        .await
        .unwrap()
        .len() as u64;
    assert_eq!((committed, slices), (307, 307));
    story.expect_clean().await;
}

/// Wherever a run dies, the next one begins its first slice within three minutes, and the lake ends
/// whole.
#[tokio::test]
async fn a_killed_run_delays_nobody_longer_than_three_minutes() {
    let (mut watched, mut died) = (0, 0);
    for dies_at in (8..80).step_by(6) {
        let story = backlog(6).start().await;
        let gate = Gate::new(move |call| {
            if call.index == dies_at {
                Fate::Die
            } else {
                Fate::Pass
            }
        });
        let first = gate
            .live(story.scan_on(story.guarded(&gate), 1, &YIELD))
            .await;
        died += u32::from(first.is_none());
        let sent = story.sim.requests().len();
        let started_ms = story.clock.now_ms();
        let next = story.scan(&YIELD).await;
        assert_eq!(
            (next.head.exit_code, next.slices.left),
            (0, 0),
            "{}",
            next.to_text()
        );
        let asked = story.sim.requests();
        if let Some(first) = asked.get(sent) {
            let delay_ms = first.at_ms - started_ms;
            assert!(
                delay_ms <= DIED_AFTER_MS + 15_000,
                "died at {dies_at}: {delay_ms} ms"
            );
            watched += u32::from(delay_ms > 100_000);
        }
        let mut found = story.visible_ids().await;
        found.sort();
        crate::support::scenario::assert_same(&found, &story.expected_ids());
        story.expect_clean_in_an_hour().await;
    }
    assert!(watched > 3 && died > 6, "{watched} watched, {died} died");
}

fn running(hours: std::ops::Range<i64>, idle_s: u64) -> Value {
    let begin_ms = at("2026-11-18");
    json!({
        "version": 1, "command": "scan", "run": EARLIER, "status": "running",
        "window": {
            "from": format_time(begin_ms + hours.start * HOUR_MS),
            "until": format_time(begin_ms + hours.end * HOUR_MS),
        },
        "running": {"first_report_ms": 1, "idle_s": idle_s, "in_flight": []},
        "failures": [],
    })
}

const EARLIER: &str = "20261118T000000Z-00000001";

async fn put(story: &Story, report: &Value) {
    let path = Path::from(format!("_mdca/runs/{EARLIER}.json"));
    let bytes = Bytes::from(report.to_string());
    story.store().put(&path, bytes).await.unwrap();
}

/// Another run is at work on the first two hours of six, and ends when this one has done some of the
/// other four: what it has left is scanned too.
#[tokio::test]
async fn what_another_run_leaves_when_it_ends_is_scanned_too() {
    for ends in [false, true] {
        let story = backlog(6).start().await;
        put(&story, &running(0..2, 0)).await;
        let other = async {
            let committed = || async {
                commit::committed_slices(&story.store())
                    .await
                    .unwrap()
                    .len()
            };
            for beat in 1..20 {
                story.clock.passed(Duration::from_secs(20)).await;
                if ends && committed().await > 0 {
                    break;
                }
                let mut report = running(0..2, 0);
                report["requests"] = beat.into();
                put(&story, &report).await;
            }
            let mut report = running(0..2, 0);
            report["status"] = "failed".into();
            put(&story, &report).await;
        };
        let done = async {
            let report = story
                .scan(
                    &[
                        &YIELD[..],
                        &["--requests-per-minute", "2", "--parallel", "1"],
                    ]
                    .concat(),
                )
                .await;
            // The other one waits for time to pass.
            for _ in 0..100 {
                story.clock.sleep(Duration::from_secs(20)).await;
            }
            report
        };
        let (report, ()) = join(done, other).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        let expected = if ends { (6, 0) } else { (4, 2) };
        let found = (report.slices.committed, report.slices.left);
        assert_eq!(found, expected, "{}", report.to_text());
        assert_eq!(report.head.status, "done");
    }
}

#[tokio::test]
async fn a_run_that_does_not_get_on_is_not_waited_for() {
    for (report, waits) in [
        (running(0..6, 16 * 60), false),
        // A number that somebody forged.
        (running(0..6, u64::MAX), false),
        // Not a slice of this plan.
        (running(6..9, 0), false),
        (json!({"status": "running"}), false),
        (running(0..6, 10), true),
    ] {
        let story = backlog(6).start().await;
        put(&story, &report).await;
        let started_ms = story.clock.now_ms();
        let scanned = story.scan(&YIELD).await;
        assert_eq!(scanned.slices.committed, 6, "{}", scanned.to_text());
        let delay_ms = story.sim.requests()[0].at_ms - started_ms;
        assert_eq!(delay_ms > 120_000, waits, "{delay_ms} ms: {report}");
    }
}

/// A store that replaces nothing: the run goes on, warns of it, and its last report has a name of its
/// own, which is the one that counts.
#[tokio::test]
async fn where_reports_cannot_be_rewritten_the_last_one_has_a_name_of_its_own() {
    let story = backlog(6)
        .flags(&["--requests-per-minute", "1"])
        .start()
        .await;
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    let gate = Gate::new(move |call| {
        if call.verb == "put" && call.path.starts_with("_mdca/runs/") {
            count.fetch_add(1, Ordering::Relaxed);
            return Fate::Refuse;
        }
        Fate::Pass
    });
    let report = story.scan_on(story.guarded(&gate), 1, &YIELD).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    assert!(refused.load(Ordering::Relaxed) > 3);
    let notes: Vec<_> = report
        .result
        .notes
        .iter()
        .filter(|note| note.contains("could not be rewritten"))
        .collect();
    assert_eq!(notes.len(), 1, "{}", report.to_text());
    let status = mdca_lake::status::read(&story.store(), 0, &Machine::untold())
        .await
        .unwrap();
    assert_eq!(status.runs.len(), 1);
    assert_eq!(status.runs[0]["status"], "done");
    story.expect_clean().await;
    // Nobody takes it for one that is at work.
    let again = story.scan(&YIELD).await;
    assert_eq!(
        (again.head.exit_code, again.scanned.requests),
        (0, 0),
        "{}",
        again.to_text()
    );
}

fn place(faults: Vec<Fault>) -> Place {
    let options = SimOptions {
        faults,
        ..SimOptions::default()
    };
    Place::new("2026-10-01T20:00:00Z", "2026-10-02T02:00:00Z", 60, options)
}

/// Processes of one machine: one that lives is left its work at once, one that was killed delays
/// nobody at all.
#[test]
fn a_process_of_this_machine_is_known_to_live_or_to_be_dead() {
    let place = place(vec![Fault::new(At::PagesFrom(1), What::Stall).times(2)]);
    let lake = place.lake();
    let scan = || {
        let mut command = lake.scan();
        command.env("MDCA_IF_RUNNING", "yield");
        command
    };
    let mut first = place.start(&mut scan());
    // The first slice is committed, and the other two that were begun get no answer.
    assert!(first.until("commit", |_| lake.commits() == 1));
    first.runs_for(Duration::from_millis(500));
    let second = place.run(&mut scan());
    assert_eq!(second.code(), Some(0), "{second}");
    assert_eq!(second.report()["status"], "yielded", "{second}");
    assert_eq!(second.slices("left"), 5, "{second}");
    first.signal("KILL");
    assert_eq!(first.wait().code(), None);
    let third = place.run(&mut scan());
    assert_eq!(third.code(), Some(0), "{third}");
    assert_eq!(third.slices("committed"), 5, "{third}");
    assert!(third.elapsed < Duration::from_secs(60), "{third}");
    lake.expect_exact("after a process that was killed");
}

/// A run sleeps anywhere before its first request while another one does all the work: it sends none.
#[test]
fn before_its_first_page_every_slice_is_looked_for_once_more() {
    if shim().is_none() {
        return;
    }
    let place = place(Vec::new());
    let (mut slept, mut spared) = (0, 0);
    for at in 1.. {
        let lake = place.lake();
        let sleepy = BadDisk {
            calls: "create,rename,link",
            at,
            what: "stop",
            ..BadDisk::default()
        };
        let before = place.sim.requests().len();
        let mut first = place.start(lake.scan_on(&sleepy).args(["--parallel", "1"]));
        // A new lake asks for one record before it is made.
        if !first.stops() || place.sim.requests().len() > before + 1 {
            break;
        }
        slept += 1;
        let second = place.run(&mut lake.scan());
        assert_eq!(second.code(), Some(0), "{second}");
        let sent = place.sim.requests().len();
        first.signal("CONT");
        let first = first.wait();
        assert_eq!(first.code(), Some(0), "{first}");
        assert_eq!(place.sim.requests().len(), sent, "stopped at {at}: {first}");
        spared += first.slices("taken");
    }
    println!("slept {slept} times; {spared} slices were not asked for twice");
    assert!(spared >= 6, "{slept} sleeps, {spared} slices");
}

/// Three runs that begin at the same moment are no more at work than one.
#[tokio::test]
async fn of_three_runs_that_begin_at_once_one_works() {
    for seed in 0..10 {
        let story = backlog(4).seed(seed).start().await;
        let (a, b, c) = join3(story.scan(&YIELD), story.scan(&YIELD), story.scan(&YIELD)).await;
        let reports = [&a, &b, &c];
        for report in reports {
            assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        }
        let worked = reports
            .iter()
            .filter(|report| report.scanned.requests > 0)
            .count();
        assert_eq!(worked, 1, "{}{}{}", a.to_text(), b.to_text(), c.to_text());
        story.expect_clean().await;
    }
}

/// Where nobody watches a bar, a line a minute says how far a run is.
#[tokio::test]
async fn a_line_a_minute_says_how_far_a_run_is() {
    let (story, report) = backlog(12)
        .flags(&["--requests-per-minute", "2", "--parallel", "1"])
        .run()
        .await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    let lines = story.lines.lock().unwrap().clone();
    let minutes = report.result.elapsed_s / 60.0;
    assert!(minutes > 4.0, "{minutes} minutes");
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let off = lines.len() as f64 - minutes;
    assert!(
        (-1.5..=1.0).contains(&off),
        "{lines:?} in {minutes} minutes"
    );
    assert!(lines[1].contains(" of 12 slices, "), "{lines:?}");
}
