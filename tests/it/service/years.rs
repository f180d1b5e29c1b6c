//! What a scheduled scan costs in months: a backfill, then a run every hour, and a service that is down
//! for days. Time is simulated.
//!
//! Tenants are scaled down, records and pages alike, since it is pages that cost requests: 5 records an
//! hour in pages of 100 are 250 in pages of 5,000; 40 in pages of one are 200,000 in pages of 5,000.
//! As a rule some of the time is tried. `MDCA_TEST_YEARS=180` tries so many days of every tenant, which
//! takes a while; run alone (`cargo test --test it years:: -- --nocapture`) its table says what the
//! process took at most, the simulated tenant included.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mdca_lake::job::process::Machine;
use mdca_lake::job::report::RunReport;
use mdca_lake::status;
use mdca_lake::text::report::Report;
use mdca_lake::verify::{Depth, Sweep, verify};
use mdca_lake::window::format_time;
use mdca_sim::{At, Fault, What};

use crate::support::faulty::{Fate, Gate};
use crate::support::scenario::{DAY_MS, HOUR_MS, Scenario, Story, assert_same, at};

/// Requests that the first ranges of a run cost, until they are as long as the time is quiet: two at
/// once, each probed, and seven doublings.
const BEGINNING: u64 = 2 * 2 * 7;
const MINUTE_MS: i64 = 60_000;
/// Runs begin at this minute of the hour.
const MINUTE: i64 = 20;

/// A tenant for so many days.
struct Times {
    name: &'static str,
    days: i64,
    records: u64,
    page_cap: usize,
}

/// What runs came to.
#[derive(Default)]
struct Cost {
    runs: u64,
    requests: u64,
    simulated_s: f64,
    longest_s: f64,
    peak_bytes: u64,
}

impl Cost {
    fn add(&mut self, report: &RunReport) {
        self.runs += 1;
        self.requests += report.scanned.requests;
        self.simulated_s += report.result.elapsed_s;
        self.longest_s = self.longest_s.max(report.result.elapsed_s);
        self.peak_bytes = self
            .peak_bytes
            .max(report.result.peak_memory_bytes.unwrap_or(0));
    }

    fn say(&self, times: &Times, what: &str, slices: i64) {
        println!(
            "{:<6} {what:<24} {slices:>6} slices {:>5} runs {:>7} requests {:>8.1} min {:>6.1} min at most {:>5} MiB",
            times.name,
            self.runs,
            self.requests,
            self.simulated_s / 60.0,
            self.longest_s / 60.0,
            self.peak_bytes >> 20,
        );
    }
}

impl Times {
    /// Requests that so many records may cost: 2.5 for each page of them.
    fn allowed(&self, records: u64) -> u64 {
        records * 5 / 2 / self.page_cap as u64
    }

    /// The tenant, at this time.
    fn scenario(&self, now_ms: i64) -> Scenario {
        let from_ms = at("2026-01-01");
        Scenario::window(from_ms, from_ms + self.days * DAY_MS)
            .activities(self.records)
            .ties(0)
            .page_cap(self.page_cap)
            .in_bucket(true)
            .flags(&["--if-running", "yield"])
            .now(&format_time(now_ms))
    }

    /// All of it by one run.
    async fn backfill(&self) {
        let from_ms = at("2026-01-01");
        let now_ms = from_ms + self.days * DAY_MS + MINUTE * MINUTE_MS;
        let story = self.scenario(now_ms).start().await;
        let report = story.go_on(&["--from", &format_time(from_ms)]).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        let mut cost = Cost::default();
        cost.add(&report);
        cost.say(self, "backfill", self.days * 24);
        expect_no_longer_than_its_work(&report);
        let days = u64::try_from(self.days).unwrap();
        let allowed = days.max(self.allowed(self.records) + BEGINNING);
        assert!(
            report.scanned.requests <= allowed,
            "{}: {} requests, {allowed} allowed",
            self.name,
            report.scanned.requests
        );
        expect_every_record_once(&story).await;
    }

    /// A run every hour; for `outage_hours` in the middle the service is down.
    async fn every_hour(&self, outage_hours: i64) {
        let from_ms = at("2026-01-01");
        let hours = self.days * 24;
        let begins = (hours - outage_hours) / 2;
        let outage = begins..begins + outage_hours;
        let is_down = Arc::new(AtomicBool::new(false));
        let down = Arc::clone(&is_down);
        let fault = Fault::new(
            At::asked(move |_| down.load(Ordering::Relaxed)),
            What::gateway(503),
        );
        let story = self
            .scenario(from_ms + HOUR_MS + MINUTE * MINUTE_MS)
            .fault(fault.always())
            .start()
            .await;
        let begin = format_time(from_ms);
        let [mut usual, mut failing, mut first_after] = [const { None::<Cost> }; 3];
        for hour in 0..hours {
            is_down.store(outage.contains(&hour), Ordering::Relaxed);
            let due_ms = from_ms + (hour + 1) * HOUR_MS + MINUTE * MINUTE_MS;
            if due_ms < story.now_ms() {
                // The run before was at work: this one would have left it all to that one.
                continue;
            }
            let rest_ms = u64::try_from(due_ms - story.now_ms()).unwrap();
            story.time_passes(Duration::from_millis(rest_ms)).await;
            let first: &[&str] = if hour == 0 { &["--from", &begin] } else { &[] };
            let report = story.go_on(first).await;
            let cost = if outage.contains(&hour) {
                assert_eq!(report.head.exit_code, 4, "{}", report.to_text());
                assert!(report.result.elapsed_s < 3_600.0, "{}", report.to_text());
                &mut failing
            } else {
                assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
                assert_eq!(report.slices.planned, report.slices.committed);
                expect_no_longer_than_its_work(&report);
                if report.slices.planned == 1 {
                    // A page, or an empty one, its probe, and whose the service's records are, of the last day
                    // or else of the last weeks.
                    let pages = report.result.counts.records.div_ceil(self.page_cap as u64);
                    let least = if pages == 0 { 4 } else { 2 };
                    // On a machine with other work an answer may come too late.
                    let retries: u64 = report.scanned.retries.values().sum();
                    assert!(
                        report.scanned.requests <= pages.max(least) + retries,
                        "{}",
                        report.to_text()
                    );
                    &mut usual
                } else {
                    &mut first_after
                }
            };
            cost.get_or_insert_default().add(&report);
        }
        for (what, cost, slices) in [
            ("every hour", &usual, hours - outage_hours),
            ("while it is down", &failing, outage_hours),
            ("afterwards", &first_after, outage_hours),
        ] {
            if let Some(cost) = cost {
                cost.say(self, what, slices);
            }
        }
        expect_caught_up(&story, self, outage_hours, first_after);
        expect_every_record_once(&story).await;
    }
}

/// What the outage left is made up for as a backfill is.
fn expect_caught_up(story: &Story, times: &Times, outage_hours: i64, after: Option<Cost>) {
    if outage_hours == 0 {
        return;
    }
    let after = after.expect("a run has met what the outage left");
    let hours = u64::try_from(outage_hours).unwrap();
    // The share of the records; the busy hours of a day may be over it.
    let records =
        story.truth().len() as u64 * (hours + 12) / u64::try_from(times.days * 24).unwrap();
    let allowed = hours / 24 + times.allowed(records) + BEGINNING * after.runs;
    assert!(
        after.requests <= allowed,
        "{}: {} requests after the outage, {allowed} allowed",
        times.name,
        after.requests
    );
}

/// No run waits for anything but its budget, whose window is half a second longer than a minute.
fn expect_no_longer_than_its_work(report: &RunReport) {
    let windows = report.scanned.requests / 30 + 1;
    #[expect(clippy::cast_precision_loss, reason = "it is a number of windows")]
    let seconds = windows as f64 * 60.5;
    assert!(report.result.elapsed_s <= seconds, "{}", report.to_text());
}

async fn expect_every_record_once(story: &Story) {
    assert_same(&story.visible_ids().await, &story.expected_ids());
}

/// So many days, where nobody asks for more.
fn days(usual: i64) -> i64 {
    let asked = std::env::var("MDCA_TEST_YEARS").ok();
    asked.map_or(usual, |days| days.parse().expect("a number of days"))
}

fn quiet(usual: i64) -> Times {
    let days = days(usual);
    Times {
        name: "quiet",
        days,
        records: days.unsigned_abs(),
        page_cap: 100,
    }
}

fn thin(usual: i64) -> Times {
    let days = days(usual);
    Times {
        name: "thin",
        days,
        records: days.unsigned_abs() * 24 * 5,
        page_cap: 100,
    }
}

fn busy(usual: i64) -> Times {
    let days = days(usual);
    Times {
        name: "busy",
        days,
        records: days.unsigned_abs() * 24 * 40,
        page_cap: 1,
    }
}

/// The service's thirty days are not simulated here: what it still gives of older time is taken.
#[tokio::test]
async fn a_backfill_of_quiet_months_is_at_most_a_request_a_day() {
    quiet(180).backfill().await;
}

#[tokio::test]
async fn a_backfill_of_thin_weeks_is_at_most_two_and_a_half_requests_a_page() {
    thin(12).backfill().await;
}

#[tokio::test]
async fn a_backfill_of_busy_days_is_at_most_two_and_a_half_requests_a_page() {
    busy(1).backfill().await;
}

#[tokio::test]
async fn quiet_weeks_by_the_hour_with_days_of_outage() {
    quiet(8).every_hour(5 * 24).await;
}

#[tokio::test]
async fn thin_days_by_the_hour_with_an_outage() {
    thin(7).every_hour(5 * 24).await;
}

#[tokio::test]
async fn a_busy_day_by_the_hour_with_an_outage() {
    let times = busy(1);
    let outage_hours = if times.days > 10 { 5 * 24 } else { 6 };
    times.every_hour(outage_hours).await;
}

/// A store gives names by the thousand. In ten years the commits are 88 pages, and the files of days that
/// were compacted 4; of others 88. Of reports, those of the last weeks are a page; where they are few, as
/// here, all of them are listed, too.
#[tokio::test]
async fn before_its_first_request_a_run_asks_the_store_for_pages_of_names_and_little_else() {
    let times = quiet(90);
    let from_ms = at("2026-01-01");
    let has_asked = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&has_asked);
    let waits = At::asked(move |_| {
        asks.store(true, Ordering::Relaxed);
        false
    });
    let story = times
        .scenario(from_ms + times.days * DAY_MS + MINUTE * MINUTE_MS)
        .fault(Fault::new(waits, What::Close).always())
        .start()
        .await;
    let report = story.go_on(&["--from", &format_time(from_ms)]).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    let hour = Duration::from_millis(HOUR_MS.unsigned_abs());
    story.time_passes(hour).await;

    has_asked.store(false, Ordering::Relaxed);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (seen, is_later) = (Arc::clone(&calls), Arc::clone(&has_asked));
    let gate = Gate::new(move |call| {
        if !is_later.load(Ordering::Relaxed) {
            seen.lock().unwrap().push((call.verb, call.path.clone()));
        }
        Fate::Pass
    });
    let report = story.go_on_with(story.guarded(&gate)).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    assert_eq!(report.slices.committed, 1, "{}", report.to_text());

    let calls = calls.lock().unwrap().clone();
    let mut listed: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, folder) in calls.iter().filter(|(verb, _)| *verb == "list") {
        *listed.entry(folder).or_default() += 1;
    }
    for (folder, count) in [("_mdca/commits", 1), ("_mdca/runs", 2), ("activities", 1)] {
        assert_eq!(listed[folder], count, "{folder}: {calls:?}");
    }
    let compacted = calls.len() - 1 + 87 + 3;
    let never = calls.len() - 1 + 87 + 87;
    println!(
        "{} calls, in ten years {compacted}, never compacted {never}: {calls:?}",
        calls.len()
    );
    assert!(compacted <= 120 && never <= 200, "{calls:?}");
}

/// What the table says is not read from the commits of years, but where these say more than their files:
/// here of slices that were asked for late.
#[tokio::test]
async fn a_status_and_a_plan_read_only_the_commits_that_say_more_than_the_table() {
    const DAYS: i64 = 33;
    const LATE_DAYS: i64 = 4;
    let from_ms = at("2026-01-01");
    let now_ms = from_ms + DAYS * DAY_MS;
    let story = Scenario::window(from_ms, now_ms)
        .activities(3_300)
        .ties(0)
        .in_bucket(true)
        .now(&format_time(now_ms))
        .start()
        .await;
    let report = story.go_on(&["--from", &format_time(from_ms)]).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    let compacted = story.compact(&[]).await;
    assert_eq!(compacted.head.exit_code, 0, "{}", compacted.to_text());

    let commits = Arc::new(Mutex::new(0));
    let read = Arc::clone(&commits);
    let gate = Gate::new(move |call| {
        if call.verb == "get" && call.path.starts_with("_mdca/commits/") {
            *read.lock().unwrap() += 1;
        }
        Fate::Pass
    });
    let plan = story
        .compact_on(story.guarded(&gate), 1, &["--dry-run"])
        .await;
    assert_eq!((plan.head.exit_code, plan.days.planned), (0, 0));
    assert_eq!(*commits.lock().unwrap(), 0, "the plan");

    let guarded = story.guarded(&gate);
    let status = status::read(&guarded, story.now_ms(), &Machine::untold()).await;
    let status = status.unwrap();
    let late: u64 = status.unproven.iter().map(|late| late.committed).sum();
    let read = std::mem::take(&mut *commits.lock().unwrap());
    println!("{read} of {} commits read", status.slices);
    assert!(late > 0 && late <= read, "{late} late, {read} read");
    assert!(read <= LATE_DAYS.unsigned_abs() * 24, "{read}");
    assert_eq!(status.rows, report.result.counts.rows);
    // Without the table it is the same.
    assert_eq!(story.status().await.rows, status.rows);

    let verified = verify(&guarded, Depth::Bytes, Sweep::Never, story.now_ms()).await;
    let verified = verified.unwrap();
    assert_eq!(verified.findings, [], "{}", verified.to_text());
    let read = *commits.lock().unwrap();
    assert_eq!(
        read, verified.commits,
        "each commit once, for its files and for the table"
    );
}
