//! Conversions that die, are interrupted, run at once, or take little memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;
use clap::Parser;
use mdca_lake::cli::{self, Cli};
use mdca_lake::config::ConvertConfig;
use mdca_lake::convert::find_inputs;
use mdca_lake::job::convert;
use mdca_lake::job::convert::report::ConvertReport;
use mdca_lake::job::process::Machine;
use mdca_lake::job::progress::Progress;
use mdca_lake::job::{Ids, StoreWorld};
use mdca_lake::store::{Site, Store};
use mdca_lake::text::report::Report;
use mdca_lake::verify::{self, Depth, Sweep};
use mdca_sim::{ClockField, SimOptions, Tenant, TenantOptions};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::support::bucket::{Bucket, CreateOnly, SMALL_PARTS};
use crate::support::clock::TestClock;
use crate::support::faulty::{Call, Fate, Gate};
use crate::support::process::{Ended, PROGRAM, Place};
use crate::support::readers;
use crate::support::scenario::{age_by_an_hour, assert_same, at};
use crate::support::script::{Said, Script};
use crate::support::servers::Server;

/// The id and the exact text of some activities.
fn activities(count: u64) -> Vec<(String, String)> {
    let (from_ms, until_ms) = (at("2026-11-18T22:00:00Z"), at("2026-11-19T02:00:00Z"));
    let tenant = Tenant::generate(&TenantOptions {
        activities: count,
        from_ms,
        until_ms,
        ..TenantOptions::default()
    });
    let records = tenant.records(ClockField::Created, from_ms..until_ms);
    let with_id = |record: mdca_sim::Record| Some((record.id?, record.json));
    records.into_iter().filter_map(with_id).collect()
}

fn page<'r>(records: impl IntoIterator<Item = &'r str>) -> String {
    let records: Vec<&str> = records.into_iter().collect();
    format!("{{\"data\":[{}]}}", records.join(","))
}

/// Two small files, and a lake on a disk or in a bucket, in memory.
struct Study {
    room: TempDir,
    bucket: Option<Arc<Bucket>>,
    clock: TestClock,
    ids: Vec<String>,
}

impl Study {
    fn new(in_bucket: bool) -> Self {
        let room = tempfile::tempdir().unwrap();
        let records = activities(16);
        fs::create_dir(room.path().join("in")).unwrap();
        for (n, records) in records.chunks(8).enumerate() {
            let bad = (n == 0).then_some("17");
            // In the other file a record comes again with a space more: it is read twice.
            let again = (n == 1).then(|| format!("{{ {}", &records[0].1[1..]));
            let records = records.iter().map(|(_, json)| json.as_str());
            let page = page(records.chain(bad).chain(again.as_deref()));
            fs::write(room.path().join(format!("in/{n}.json")), page).unwrap();
        }
        let mut ids: Vec<String> = records.into_iter().map(|(id, _)| id).collect();
        ids.sort();
        Self {
            room,
            bucket: in_bucket.then(|| Bucket::new(CreateOnly::Honoured)),
            clock: TestClock::at(at("2026-11-26")),
            ids,
        }
    }

    fn lake(&self) -> PathBuf {
        self.room.path().join("lake")
    }

    fn store(&self) -> Store {
        match &self.bucket {
            Some(bucket) => bucket.store(SMALL_PARTS),
            None => Store::make(self.lake().to_str().unwrap()).unwrap(),
        }
    }

    async fn convert(&self, store: Store) -> ConvertReport {
        let (lake, inputs) = (self.lake(), self.room.path().join("in"));
        let args = [
            "mdca-lake",
            "convert",
            inputs.to_str().unwrap(),
            "--parallel",
            "1",
            "--lake",
        ];
        let args = args.into_iter().chain([lake.to_str().unwrap()]);
        let cli::Command::Convert(args) = Cli::parse_from(args).command else {
            unreachable!()
        };
        let config = ConvertConfig::resolve(*args).unwrap();
        let site = Site::look(lake.to_str().unwrap()).unwrap();
        let inputs = find_inputs(&config.inputs, &site).await.unwrap();
        // The sender is kept: nobody interrupts.
        let (_interrupt, interrupted) = watch::channel(false);
        let world = StoreWorld {
            clock: Arc::new(self.clock.clone()),
            store,
            interrupted,
            ids: Ids::new(fastrand::Rng::with_seed(fastrand::u64(..))),
            machine: Machine::untold(),
            progress: Progress::never(),
        };
        convert::run(&config.job, world, inputs).await
    }

    /// A run through a gate; `None` where it died.
    async fn convert_through(&self, gate: &Arc<Gate>) -> Option<ConvertReport> {
        let guarded = match &self.bucket {
            Some(bucket) => gate.guard_bucket(bucket, SMALL_PARTS),
            None => gate.guard(&self.store()),
        };
        gate.live(self.convert(guarded)).await
    }

    /// One undisturbed run, and an hour later another one, leave a whole lake and nothing else.
    async fn expect_recovered(&self, what: &str) -> ConvertReport {
        let report = self.convert(self.store()).await;
        assert_eq!(report.head.exit_code, 0, "{what}: {}", report.to_text());
        let found = match &self.bucket {
            Some(bucket) => readers::ids_in(bucket.below("activities").await),
            None => readers::visible_ids(&self.lake()),
        };
        assert_same(&found, &self.ids);
        self.clock.advance(Duration::from_secs(3_600));
        match &self.bucket {
            Some(bucket) => bucket.advance(TimeDelta::hours(1)).await,
            None => age_by_an_hour(&self.lake()),
        }
        let after = self.convert(self.store()).await;
        assert_eq!(
            (after.head.exit_code, after.slices.skipped),
            (0, 2),
            "{what}: {}",
            after.to_text()
        );
        let now_ms = mdca_lake::clock::Clock::now_ms(&self.clock);
        let verified = verify::verify(&self.store(), Depth::Rows, Sweep::Unnamed, now_ms).await;
        assert_eq!(verified.unwrap().findings, [], "{what}");
        report
    }
}

async fn calls_of_a_whole_run(in_bucket: bool) -> Vec<Call> {
    let study = Study::new(in_bucket);
    let gate = Gate::new(|_| Fate::Pass);
    let report = study.convert_through(&gate).await.unwrap();
    assert_eq!(
        (report.head.exit_code, report.slices.committed),
        (0, 2),
        "{}",
        report.to_text()
    );
    assert_eq!(report.result.counts.rejects.values().sum::<u64>(), 1);
    gate.calls()
}

fn only(index: usize, fate: Fate) -> impl FnMut(&Call) -> Fate + Send + 'static {
    move |call| {
        if call.index == index {
            fate
        } else {
            Fate::Pass
        }
    }
}

/// Where a file is changed after its conversion died, only its old bytes end what was begun.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_at_a_file_waits_for_the_same_bytes_and_is_said() {
    let study = Study::new(false);
    let gate = Gate::new(|call| {
        let is_commit = call.verb == "create" && call.path.starts_with("_mdca/commits/");
        if is_commit { Fate::Die } else { Fate::Pass }
    });
    assert!(study.convert_through(&gate).await.is_none());
    let now_ms = mdca_lake::clock::Clock::now_ms(&study.clock);
    let store = study.store();
    let verified = verify::verify(&store, Depth::Bytes, Sweep::Never, now_ms).await;
    let verified = verified.unwrap();
    let text = verified.to_text();
    assert_eq!(
        (verified.attempts, verified.attempts_at_files),
        (1, 1),
        "{text}"
    );
    assert!(text.contains("convert the same files again"), "{text}");
    assert!(!text.contains("next scan"), "{text}");
}

async fn dies_anywhere(in_bucket: bool) {
    let (mut tried, mut adopted) = (0, 0);
    for call in calls_of_a_whole_run(in_bucket).await {
        for fate in [Fate::Die, Fate::DieAfter] {
            let study = Study::new(in_bucket);
            let what = format!("{fate:?} at {call}");
            let gate = Gate::new(only(call.index, fate));
            // Which input comes first is a matter of chance, so that a call may be missing.
            if study.convert_through(&gate).await.is_none() {
                adopted += study.expect_recovered(&what).await.slices.adopted;
                tried += 1;
            }
        }
    }
    println!("died at {tried} positions; {adopted} attempts adopted");
    assert!(tried > 40 && adopted > 0, "{tried}, {adopted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_that_dies_before_or_after_any_call_is_completed_by_the_next_on_a_disk() {
    dies_anywhere(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_that_dies_before_or_after_any_call_is_completed_by_the_next_in_a_bucket() {
    dies_anywhere(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_any_call_of_a_conversion_is_said_or_survived() {
    for call in calls_of_a_whole_run(true).await {
        for fate in [Fate::Refuse, Fate::LoseAnswer] {
            let study = Study::new(true);
            let what = format!("{fate:?} at {call}");
            let gate = Gate::new(only(call.index, fate));
            let report = study.convert_through(&gate).await.expect("nobody died");
            assert!(
                matches!(report.head.exit_code, 0 | 6),
                "{what}: {}",
                report.to_text()
            );
            study.expect_recovered(&what).await;
        }
    }
}

/// A prefix whose name an empty object has, too, as some programs mark a folder, and a lake below it.
#[test]
fn inputs_in_object_storage_are_all_below_a_prefix_but_the_lake() {
    let Some(server) = Server::Rgw.up() else {
        return;
    };
    let folder = server.lake(&format!("around-{:016x}", fastrand::u64(..)));
    let store = server.store(&folder);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let put = |name: &str, text: String| {
        let path = object_store::path::Path::from(name);
        runtime.block_on(store.put(&path, text.into())).unwrap();
    };
    let records = activities(20);
    put("saved", String::new());
    for (n, records) in records.chunks(10).enumerate() {
        let page = page(records.iter().map(|(_, json)| json.as_str()));
        put(&format!("saved/{n}.json"), page);
    }
    let place = Place::small();
    let lake = format!("{folder}/saved/lake");
    let convert = |input: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(["convert", &format!("{folder}/{input}"), "--lake", &lake]);
        place.run(command.args(["--report", "json"]).envs(server.variables()))
    };
    for committed in [2, 0] {
        let ended = convert("saved");
        let found = (
            ended.code(),
            ended.slices("committed"),
            ended.slices("skipped"),
        );
        assert_eq!(found, (Some(0), committed, 2 - committed), "{ended}");
    }
    for within in ["saved/lake", "saved/lake/_mdca"] {
        let refused = convert(within);
        assert_eq!(refused.code(), Some(2), "{refused}");
        assert!(
            refused.text().contains("lies in the lake itself"),
            "{refused}"
        );
    }
}

/// An S3 bucket with so many saved records, each in its own object, which says of a record's object what it is
/// told to.
fn saved(objects: usize, say: impl Fn(usize) -> Option<Said> + Send + Sync + 'static) -> Script {
    Script::start(move |asked| {
        let path = asked.head.split(' ').nth(1).unwrap();
        let number = path
            .strip_prefix("/bucket/saved/")
            .and_then(|name| name.strip_suffix(".json")?.parse().ok());
        let Some(number) = number else {
            let listed: Vec<String> = (0..objects)
                .map(|n| {
                    format!(
                        "<Contents><Key>saved/{n}.json</Key><Size>{}</Size><ETag>\"e\"</ETag>\
                         <LastModified>2026-11-01T00:00:00.000Z</LastModified></Contents>",
                        record(n).len()
                    )
                })
                .collect();
            let listed = listed.concat();
            let is_list = path.contains("list-type=2");
            let body = format!(
                "<ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
            );
            return Said::new(
                if is_list { 200 } else { 404 },
                if is_list { body } else { String::new() },
            );
        };
        say(number).unwrap_or_else(|| Said {
            headers: "ETag: \"e\"\r\nLast-Modified: Sun, 01 Nov 2026 00:00:00 GMT\r\n".to_owned(),
            ..Said::new(200, record(number))
        })
    })
}

fn record(n: usize) -> String {
    json!({"_id": format!("id-{n:03}"), "timestamp": 1_790_000_000_000_u64 + n as u64}).to_string()
}

fn convert_saved(place: &Place, store: &Script, lake: &Path) -> Ended {
    let mut command = Command::new(PROGRAM);
    command.args(["convert", "s3://bucket/saved/", "--report", "json"]);
    command.arg("--lake").arg(lake);
    command.envs([
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "key"),
        ("AWS_ENDPOINT", &store.url()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
    ]);
    place.run(&mut command)
}

/// An object that was moved to an archive, or that these credentials may not read, costs itself only. What
/// had to be asked for again is in the report.
#[test]
fn an_input_that_its_store_refuses_does_not_stop_the_others() {
    let asked = AtomicUsize::new(0);
    let store = saved(9, move |n| match n {
        3 => Some(Said::new(
            403,
            "<Error><Code>InvalidObjectState</Code></Error>",
        )),
        5 if asked.fetch_add(1, Ordering::SeqCst) == 0 => Some(Said::new(503, "")),
        _ => None,
    });
    let place = Place::small();
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    for committed in [8, 0] {
        let ended = convert_saved(&place, &store, &lake);
        let slices =
            ["committed", "skipped", "failed", "not_done"].map(|which| ended.slices(which));
        assert_eq!(slices, [committed, 8 - committed, 1, 0], "{ended}");
        let report = ended.report();
        let failure = &report["failures"][0];
        assert_eq!(failure["input"], "s3://bucket/saved/3.json", "{ended}");
        assert_eq!(
            (ended.code(), &failure["kind"]),
            (Some(6), &"storage".into())
        );
        let retries = report["store_retries"]["http_503"].as_u64().unwrap_or(0);
        assert_eq!(retries, u64::from(committed > 0), "{ended}");
    }
}

/// Where the store refuses one after another it is not the inputs, and the run does not go through all of them.
#[test]
fn a_store_that_refuses_every_input_stops_the_run() {
    let store = saved(500, |_| {
        Some(Said::new(403, "<Error><Code>AccessDenied</Code></Error>"))
    });
    let place = Place::small();
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    // A lake is made where one input at least begins with records.
    let good = saved(1, |_| None);
    assert_eq!(convert_saved(&place, &good, &lake).code(), Some(0));
    let ended = convert_saved(&place, &store, &lake);
    let [failed, not_done] = ["failed", "not_done"].map(|which| ended.slices(which));
    assert_eq!((ended.code(), failed + not_done), (Some(6), 500), "{ended}");
    assert!((10..20).contains(&failed), "{ended}");
}

/// Four processes convert the same inputs, which lie in object storage as the lake does: with shares,
/// and without.
#[test]
fn four_processes_share_inputs_in_object_storage() {
    let Some(server) = Server::Rgw.up() else {
        return;
    };
    let records = activities(480);
    let mut ids: Vec<String> = records.iter().map(|(id, _)| id.clone()).collect();
    ids.sort();
    let name = format!("convert-{:016x}", fastrand::u64(..));
    let inputs = server.lake(&format!("{name}-in"));
    let store = server.store(&inputs);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (n, records) in records.chunks(40).enumerate() {
        let page = page(records.iter().map(|(_, json)| json.as_str()));
        let packed = zstd::encode_all(page.as_bytes(), 1).unwrap();
        let path = object_store::path::Path::from(format!("a/{n}.json.zst"));
        runtime
            .block_on(store.put(&path, Bytes::from(packed)))
            .unwrap();
    }
    let place = Place::small();
    for shares in [true, false] {
        let lake = server.lake(&format!("{name}-lake-{shares}"));
        let running: Vec<_> = (0..4)
            .map(|share| {
                let mut command = Command::new(PROGRAM);
                command
                    .args(["convert", &inputs, "--lake", &lake, "--report", "json"])
                    .envs(server.variables());
                if shares {
                    command.args(["--shard", &format!("{share}/4")]);
                }
                place.start(&mut command)
            })
            .collect();
        let (mut planned, mut committed, mut lost) = (0, 0, 0);
        for running in running {
            let ended = running.wait();
            assert_eq!(ended.code(), Some(0), "{ended}");
            planned += ended.slices("planned");
            committed += ended.slices("committed") + ended.slices("adopted");
            lost += ended.slices("lost_attempts");
        }
        println!("shares: {shares}: {committed} committed, {lost} lost");
        assert_eq!(planned, if shares { 12 } else { 48 });
        assert!(
            committed >= 12 && (!shares || lost == 0),
            "{committed}, {lost}"
        );
        let rows = readers::remote_rows(&lake, server.variables());
        let found: Vec<String> = rows.into_iter().map(|(id, _, _)| id).collect();
        assert_same(&found, &ids);
        let mut verify = Command::new(PROGRAM);
        verify
            .args(["verify", "--lake", &lake])
            .envs(server.variables());
        let verified = place.run(&mut verify);
        assert_eq!(verified.code(), Some(0), "{verified}");
        // One object by its own URL, again.
        let mut again = Command::new(PROGRAM);
        again.args([
            "convert",
            &format!("{inputs}/a/3.json.zst"),
            "--lake",
            &lake,
            "--report",
            "json",
        ]);
        let again = place.run(again.envs(server.variables()));
        assert_eq!(
            (again.code(), again.slices("skipped")),
            (Some(0), 1),
            "{again}"
        );
        let mut missing = Command::new(PROGRAM);
        missing.args(["convert", &format!("{inputs}/b/"), "--lake", &lake]);
        let missing = place.run(missing.envs(server.variables()));
        assert_eq!(missing.code(), Some(2), "{missing}");
    }
}

fn commits(lake: &Path) -> usize {
    fs::read_dir(lake.join("_mdca/commits")).map_or(0, Iterator::count)
}

#[test]
fn an_interrupted_conversion_keeps_what_is_committed_and_is_continued_by_the_next() {
    let place = Place::new(
        "2026-11-18",
        "2026-11-18T01:00:00Z",
        1,
        SimOptions::default(),
    );
    let records = activities(2_400);
    let inputs = place.fresh("in");
    fs::create_dir(&inputs).unwrap();
    for (n, records) in records.chunks(60).enumerate() {
        let page = page(records.iter().map(|(_, json)| json.as_str()));
        fs::write(inputs.join(format!("{n}.json")), page).unwrap();
    }
    let lake = place.fresh("lake");
    let command = || {
        let mut command = Command::new(PROGRAM);
        command.arg("convert").arg(&inputs).arg("--lake").arg(&lake);
        command.args(["--report", "json"]);
        command
    };
    let mut running = place.start(&mut command());
    assert!(
        running.until("commit", |_| commits(&lake) > 1),
        "it ended too soon"
    );
    running.signal("INT");
    let ended = running.wait_within(Duration::from_secs(10));
    assert_eq!(ended.code(), Some(130), "{ended}");
    assert_eq!(ended.report()["status"], "interrupted");
    let kept = commits(&lake) as u64;
    assert!((2..40).contains(&kept), "{kept}");
    assert_eq!(ended.slices("committed"), kept, "{ended}");
    let ended = place.run(&mut command());
    assert_eq!(
        (ended.code(), ended.slices("skipped")),
        (Some(0), kept),
        "{ended}"
    );
    let mut ids: Vec<String> = records.into_iter().map(|(id, _)| id).collect();
    ids.sort();
    assert_same(&place.lake_at(lake).ids(), &ids);
}

/// A single line that is larger than memory may be: an array, and records after each other.
#[test]
fn memory_does_not_grow_with_the_size_of_a_file() {
    let place = Place::small();
    let records = activities(1_000);
    let peak = |[begin, between, end]: [&str; 3], copies: usize| {
        let mut text = begin.to_owned();
        for copy in 0..copies {
            for (id, json) in &records {
                if text.len() > begin.len() {
                    text += between;
                }
                text += &json.replace(id.as_str(), &format!("{copy}-{id}"));
            }
        }
        text += end;
        let input = place.fresh("big.json");
        fs::write(&input, &text).unwrap();
        let mut command = Command::new(PROGRAM);
        command
            .arg("convert")
            .arg(&input)
            .arg("--lake")
            .arg(place.fresh("lake"));
        let ended = place.run(command.args(["--memory-limit", "32MiB", "--report", "json"]));
        assert_eq!(ended.code(), Some(0), "{ended}");
        let report: Value = ended.report();
        assert_eq!(report["rows"], (copies * records.len()) as u64, "{ended}");
        (
            text.len() as u64,
            report["peak_memory_bytes"].as_u64().unwrap(),
        )
    };
    for form in [["[", ",", "]"], ["", " ", ""]] {
        // Both are more than the limit: what a run holds is full.
        let ((small, before), (large, after)) = (peak(form, 9), peak(form, 36));
        println!("{small} bytes took {before}, {large} bytes took {after}");
        assert!(small > 32 << 20);
        assert!(after < before + before / 4, "{before}, then {after}");
        assert!(after < 96 << 20, "{after}");
    }
}
