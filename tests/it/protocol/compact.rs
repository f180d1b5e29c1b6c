//! Small files of past days become large ones: the same rows, whatever happens meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use futures::future::join_all;
use mdca_lake::commit;
use mdca_lake::job::compact::report::CompactReport;
use mdca_lake::read::{MergedRows, ReadError, RowSum};
use mdca_lake::store::{ScratchFolder, Store};
use mdca_lake::text::report::Report;
use mdca_lake::verify::{FindingKind, Sweep};
use mdca_lake::write::FileEntry;
use mdca_sim::{At, Fault, What};
use serde_json::{Value, json};

use crate::support::bucket::{LARGE_PARTS, SMALL_PARTS};
use crate::support::faulty::{Call, Fate, Gate, Turns};
use crate::support::process::{every, random};
use crate::support::readers;
use crate::support::scenario::{Scenario, Story, assert_same, at, files_below};
use crate::support::sealed;
use crate::support::table;

const SLICE: &str = "20261118T0000Z-20261118T0100Z";
const DAY: &str = "activities/event_date=2026-11-18";
const FORGED: &str = "00000000f0f0f0f0";

/// A lake of six slices over several days.
pub(super) async fn scanned(parts: Option<usize>) -> Story {
    scan(six_hours().with_parts(parts)).await
}

fn six_hours() -> Scenario {
    Scenario::hours(6)
        .activities(240)
        .now("2026-11-20")
        .flags(&["--requests-per-minute", "0", "--parallel", "1"])
}

async fn scan(scenario: Scenario) -> Story {
    let (story, report) = scenario.run().await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    story
}

/// A lake with small files, and with one above a megabyte.
async fn scanned_with_a_large_file() -> Story {
    let mut random = random();
    let text: String = (0..3_000_000).map(|_| random.alphanumeric()).collect();
    let large = What::set("/large", &format!("\"{text}\""));
    scan(six_hours().fault(Fault::new(At::Record(100), large).always())).await
}

/// The records of an export, in no order.
fn records(export: &str) -> Vec<&str> {
    let mut records: Vec<&str> = export.lines().collect();
    records.sort_unstable();
    records
}

/// The times of an export never go back.
fn expect_by_time(export: &str) {
    let time = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["timestamp"].as_i64().unwrap()
    };
    let times: Vec<i64> = export.lines().map(time).collect();
    assert!(times.is_sorted());
}

/// The live files by day.
async fn live(story: &Story) -> BTreeMap<String, Vec<String>> {
    let (files, left_out) = commit::live_files(&story.store()).await.unwrap();
    assert!(left_out.is_empty(), "{left_out:?}");
    let mut days: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let day = file.path.split('/').nth(1).unwrap().to_owned();
        days.entry(day).or_default().push(file.path);
    }
    days
}

async fn expect_compacted(story: &Story, before: &str) {
    for (day, files) in live(story).await {
        assert_eq!(files.len(), 1, "{day}: {files:?}");
    }
    let after = story.export().await;
    expect_by_time(&after);
    assert!(before == after, "another export");
    assert_same(&story.visible_ids().await, &story.expected_ids());
}

fn expect_code(report: &CompactReport, code: u8) {
    assert_eq!(report.head.exit_code, code, "{}", report.to_text());
}

/// All rows of files, merged in so much memory.
async fn merged(
    store: &Store,
    files: &[FileEntry],
    memory_bytes: u64,
    scratch: &Path,
) -> Result<(RecordBatch, RowSum), ReadError> {
    let scratch = ScratchFolder::of_lake(scratch.to_owned());
    let mut rows = MergedRows::open(store, files, memory_bytes, &scratch).await?;
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await? {
        batches.push(batch);
    }
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    Ok((all, rows.sum()))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_wait_on_the_disk_are_merged_as_those_in_memory() {
    let story = scanned(None).await;
    let lake = story.store();
    let (files, _) = commit::live_files(&lake).await.unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let of = |memory_bytes, folder| merged(&lake, &files, memory_bytes, folder);
    let in_memory = of(1 << 30, scratch.path()).await.unwrap();
    let on_disk = of(0, scratch.path()).await.unwrap();
    assert!(in_memory == on_disk, "other rows");
    assert_eq!(in_memory.0.num_rows() as u64, in_memory.1.rows);
    assert!(files_below(scratch.path()).is_empty());

    let nowhere = scratch.path().join("nowhere");
    of(1 << 30, &nowhere).await.unwrap();
    let failed = of(0, &nowhere).await.unwrap_err();
    assert!(matches!(failed, ReadError::Scratch(_)), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_lake_has_the_same_rows_in_one_file_a_day() {
    for parts in [None, Some(SMALL_PARTS), Some(LARGE_PARTS)] {
        let story = scanned(parts).await;
        let before = story.export().await;
        let files: usize = live(&story).await.values().map(Vec::len).sum();
        let days = live(&story).await.len();

        let planned = story.compact(&["--dry-run"]).await;
        assert_eq!(planned.head.status, "planned");
        assert!(planned.sizes.files_before > planned.sizes.files_after);
        assert_eq!(story.export().await, before, "a plan changes nothing");

        let report = story.compact(&[]).await;
        expect_code(&report, 0);
        println!("{}", report.to_text());
        assert_eq!(report.days.planned, report.days.compacted);
        assert_eq!(planned.sizes.files_before, report.sizes.files_before);
        assert!(report.sizes.bytes_after < report.sizes.bytes_before);
        let now: usize = live(&story).await.values().map(Vec::len).sum();
        assert!(files > days && now == days, "{files} to {now} in {days}");
        expect_compacted(&story, &before).await;
        story.expect_clean().await;
        for made in &report.compactions {
            let path = format!("_mdca/compactions/{}.json", made.compaction);
            let path = object_store::path::Path::from(path);
            let bytes = story.store().get(&path, u64::MAX).await.unwrap().unwrap();
            assert_eq!(sealed::checksum(&bytes), format!("sha256:{}", made.sha256));
        }

        let again = story.compact(&[]).await;
        expect_code(&again, 0);
        assert_eq!(again.days.planned, 0, "{}", again.to_text());
        let status = story.status().await;
        assert_eq!(status.rows, story.expected_ids().len() as u64);
        assert!(status.days.values().all(|day| day.files == 1));
        let more = story.scan(&[]).await;
        assert_eq!((more.head.exit_code, more.slices.planned), (0, 0));
    }
}

/// Somebody else's readers, by a pattern.
#[tokio::test(flavor = "multi_thread")]
async fn every_reader_sees_the_same_rows_before_and_after() {
    let story = scanned(None).await;
    let before = readers::rows(story.lake());
    expect_code(&story.compact(&[]).await, 0);
    assert_eq!(readers::rows(story.lake()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn late_records_do_not_rewrite_a_day_until_they_are_many() {
    let story = Scenario::hours(24)
        .activities(1_500)
        .now("2026-11-20")
        .flags(&["--requests-per-minute", "0"])
        .start()
        .await;
    let first = ["--from", "2026-11-18", "--until", "2026-11-18T23:00:00Z"];
    let report = story.scan(&first).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    expect_code(&story.compact(&[]).await, 0);
    let compacted = live(&story).await;
    let more = story.scan(&[]).await;
    assert_eq!(more.head.exit_code, 0, "{}", more.to_text());
    let before = story.export().await;
    let again = story.compact(&[]).await;
    expect_code(&again, 0);
    let now = live(&story).await;
    let mut left = 0;
    for (day, files) in &compacted {
        let is_rewritten = !now[day].contains(&files[0]);
        let made = again.compactions.iter();
        let made: Vec<_> = made
            .filter(|made| day.ends_with(made.compaction.rsplit_once('-').unwrap().0))
            .collect();
        assert_eq!(is_rewritten, !made.is_empty(), "{day}");
        left += u32::from(!is_rewritten && now[day].len() > 1);
        for made in made {
            // Worth it: what came late is a quarter of what is there, or many files.
            assert!(made.sizes.files_before >= 2);
        }
    }
    assert!(left > 0, "no day got few late rows");
    let after = story.export().await;
    assert!(before == after);
    story.expect_clean().await;
}

// --- what goes wrong between any two calls -------------------------------------------------------

fn at_call(index: usize, fate: Fate) -> impl FnMut(&Call) -> Fate + Send + 'static {
    move |call| {
        if call.index == index {
            fate
        } else {
            Fate::Pass
        }
    }
}

/// One compaction through a gate; `None` where it died.
async fn run(story: &Story, gate: &Arc<Gate>) -> Option<CompactReport> {
    let guarded = story.guarded(gate);
    gate.live(story.compact_on(guarded, fastrand::u64(..), &[]))
        .await
}

/// A lake of two slices: little to do, and several days.
async fn small(parts: Option<usize>) -> Story {
    let (story, report) = Scenario::window(at("2026-11-18T23:00:00Z"), at("2026-11-19T01:00:00Z"))
        .activities(40)
        .with_parts(parts)
        .now("2026-11-21")
        .flags(&["--requests-per-minute", "0", "--parallel", "1"])
        .run()
        .await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    story
}

/// The days that are compacted.
async fn calls_of_a_whole_run(parts: Option<usize>) -> Vec<Call> {
    let story = small(parts).await;
    let gate = Gate::new(|_| Fate::Pass);
    let report = run(&story, &gate).await.unwrap();
    expect_code(&report, 0);
    assert!(report.days.compacted > 0, "{}", report.to_text());
    gate.calls()
}

/// Whoever reads the commits and compactions sees every row once at any time; an hour and a run later
/// so does whoever reads by a pattern, and nothing is left.
async fn expect_recovered(story: &Story, what: &str) {
    let mut ids: Vec<String> = records(&story.export().await)
        .iter()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            record["_id"].as_str().unwrap().to_owned()
        })
        .collect();
    ids.sort();
    assert_same(&ids, &story.expected_ids());
    let mut visible = story.visible_ids().await;
    visible.dedup();
    assert_same(&visible, &story.expected_ids());
    table::expect_files_there(&story.store(), what).await;
    let found = story.verify(Sweep::Never).await.findings;
    assert_eq!(found, [], "{what}");

    story.an_hour_passes().await;
    let scan = story.scan(&[]).await;
    assert_eq!(scan.head.exit_code, 0, "{what}: {}", scan.to_text());
    let report = story.compact(&[]).await;
    expect_code(&report, 0);
    assert_eq!(report.not_cleared, 0, "{what}");
    for (day, files) in live(story).await {
        assert_eq!(files.len(), 1, "{what}: {day}: {files:?}");
    }
    story.an_hour_passes().await;
    expect_code(&story.compact(&[]).await, 0);
    if story.visible_ids().await != story.expected_ids() {
        println!("{what}");
    }
    assert_same(&story.visible_ids().await, &story.expected_ids());
    table::expect_live(&story.store(), what).await;
    story.expect_clean().await;
}

/// The calls at which something happens: every so many on a disk, from a random one on, and fewer in object
/// storage, where each part of an upload is one. `MDCA_TEST_TIMES` makes it denser.
fn sample(calls: &[Call], parts: Option<usize>, step: usize) -> Vec<Call> {
    let step = if parts.is_some() { 4 * step } else { step };
    every(step, calls.iter().cloned()).collect()
}

const HOMES: [Option<usize>; 3] = [None, Some(SMALL_PARTS), Some(LARGE_PARTS)];

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_dies_before_or_after_any_call_loses_and_doubles_nothing() {
    for parts in HOMES {
        let calls = sample(&calls_of_a_whole_run(parts).await, parts, 2);
        for call in &calls {
            for fate in [Fate::Die, Fate::DieAfter] {
                let story = small(parts).await;
                let what = format!("{fate:?} at {call}");
                let died = run(&story, &Gate::new(at_call(call.index, fate))).await;
                assert!(died.is_none(), "{what}: it lives");
                expect_recovered(&story, &what).await;
            }
        }
        println!("{parts:?}: died at each of {} calls, twice", calls.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_any_call_of_a_compaction_loses_and_doubles_nothing() {
    for parts in HOMES {
        let calls = sample(&calls_of_a_whole_run(parts).await, parts, 5);
        let mut survived = 0;
        for call in &calls {
            for fate in [
                Fate::Refuse,
                Fate::LoseAnswer,
                Fate::Conflict,
                Fate::CutBody,
                Fate::Deny,
            ] {
                let story = small(parts).await;
                let what = format!("{fate:?} at {call}");
                let report = run(&story, &Gate::new(at_call(call.index, fate))).await;
                let report = report.expect("nobody died");
                assert!(
                    matches!(report.head.exit_code, 0 | 5 | 6),
                    "{what}: {}",
                    report.to_text()
                );
                survived += u32::from(report.head.exit_code == 0);
                expect_recovered(&story, &what).await;
            }
        }
        println!(
            "{parts:?}: errors at {} calls, {survived} survived",
            calls.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_and_the_recovery_that_die_are_brought_to_an_end() {
    let mut random = random();
    for parts in HOMES {
        let calls = calls_of_a_whole_run(parts).await;
        for first in calls.iter().skip(random.usize(..12)).step_by(12) {
            let mut second = random.usize(..16);
            loop {
                let story = small(parts).await;
                run(&story, &Gate::new(at_call(first.index, Fate::Die))).await;
                story.an_hour_passes().await;
                let gate = Gate::new(at_call(second, Fate::DieAfter));
                let died = run(&story, &gate).await.is_none();
                expect_recovered(&story, &format!("{first}, then call {second}")).await;
                if !died {
                    break;
                }
                second += 16;
            }
        }
    }
}

/// A put of the dead lands before the next run, or an hour and a run later.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_dead_had_sent_may_land_at_any_time() {
    for parts in [Some(SMALL_PARTS), Some(LARGE_PARTS)] {
        let calls = calls_of_a_whole_run(parts).await;
        let puts = |call: &&Call| matches!(call.verb, "put" | "create" | "complete");
        for call in calls.iter().filter(puts) {
            for is_very_late in [false, true] {
                let story = small(parts).await;
                let gate = Gate::new(at_call(call.index, Fate::DieLate));
                assert!(run(&story, &gate).await.is_none());
                if is_very_late {
                    story.an_hour_passes().await;
                    expect_code(&story.compact(&[]).await, 0);
                }
                gate.land().await;
                let what = format!("{call} lands, very late: {is_very_late}");
                let swept = story.verify(Sweep::Unnamed).await;
                println!("{what}: {:?}", swept.swept);
                expect_recovered(&story, &what).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_compactions_and_a_scan_at_once_lose_and_double_nothing() {
    let mut random = random();
    for round in 0..30 {
        let parts = HOMES[round % 3];
        let story = small(parts).await;
        let turns = Turns::new(random.u64(..), 0..3);
        let gates: Vec<_> = (0..3)
            .map(|run| Gate::taking_turns(|_| Fate::Pass, Some((Arc::clone(&turns), run))))
            .collect();
        let seed = random.u64(..);
        let codes = join_all(gates.iter().enumerate().map(|(run, gate)| {
            let (guarded, turns, story) = (story.guarded(gate), Arc::clone(&turns), &story);
            async move {
                let code = if run == 2 {
                    story.scan_on(guarded, seed, &[]).await.head.exit_code
                } else {
                    let report = story
                        .compact_on(guarded, seed.wrapping_add(run as u64 + 1), &[])
                        .await;
                    report.head.exit_code
                };
                turns.leave(run);
                code
            }
        }));
        assert_eq!(codes.await, [0, 0, 0], "round {round}");
        expect_recovered(&story, &format!("round {round}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_be_removed_nothing_is_compacted() {
    for parts in HOMES {
        let story = small(parts).await;
        let before = story.export().await;
        // Nowhere, and nothing below the files: a right may end there.
        for below in ["", "activities/"] {
            let gate = Gate::new(move |call| match call.verb {
                "delete" if call.path.starts_with(below) => Fate::Deny,
                _ => Fate::Pass,
            });
            let report = run(&story, &gate).await.unwrap();
            expect_code(&report, 6);
            assert!(report.to_text().contains("cannot be removed"));
            assert!(report.compactions.is_empty());
            assert_eq!(story.export().await, before);
        }
        // Removals that fail later cost nothing but time.
        let gate = Gate::new(|call| match call.verb {
            "delete" if call.path.starts_with("activities/event_date") => Fate::Deny,
            _ => Fate::Pass,
        });
        let report = run(&story, &gate).await.unwrap();
        expect_code(&report, 0);
        assert!(report.not_cleared > 0, "{}", report.to_text());
        expect_recovered(&story, "deletes are allowed again").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_goes_on_where_a_compaction_takes_its_files() {
    let story = scanned_with_a_large_file().await;
    let reads = {
        let gate = Gate::new(|_| Fate::Pass);
        let mut out = Vec::new();
        let guarded = story.guarded(&gate);
        mdca_lake::job::export::export(&guarded, None, &mut out)
            .await
            .unwrap();
        gate.calls().len()
    };
    for index in (0..reads).step_by(7) {
        let story = scanned_with_a_large_file().await;
        let expected = story.export().await;
        let lake = story.lake().to_owned();
        // Before that call somebody compacts the lake, in a process of its own.
        let gate = Gate::new(move |call| {
            if call.index == index {
                compact_by_program(&lake);
            }
            Fate::Pass
        });
        let mut out = Vec::new();
        let guarded = story.guarded(&gate);
        let exported = mdca_lake::job::export::export(&guarded, None, &mut out);
        let exported = exported.await.unwrap();
        let found = String::from_utf8(out).unwrap();
        expect_by_time(&found);
        assert_eq!(exported.records, found.lines().count() as u64);
        assert!(found == expected, "before call {index}");
    }
}

/// Small files are asked for once: a lake that was never compacted has some twenty thousand a year.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_asks_for_a_small_file_once() {
    let story = scanned_with_a_large_file().await;
    let gate = Gate::new(|_| Fate::Pass);
    let guarded = story.guarded(&gate);
    let exported = mdca_lake::job::export::export(&guarded, None, &mut Vec::new()).await;
    assert_eq!(exported.unwrap().records, 240);
    let mut reads: BTreeMap<String, usize> = BTreeMap::new();
    for call in gate.calls() {
        if call.path.starts_with("activities/") {
            *reads.entry(call.path).or_default() += 1;
        }
    }
    let files = live(&story).await.into_values().flatten();
    let large = |file: &String| fs::metadata(story.lake().join(file)).unwrap().len() > 1024 * 1024;
    let (large, small): (Vec<String>, Vec<String>) = files.partition(large);
    assert_eq!((large.len(), small.len()), (1, reads.len() - 1));
    assert!(reads[&large[0]] > 1, "{reads:?}");
    assert!(small.iter().all(|file| reads[file] == 1), "{reads:?}");
}

fn compact_by_program(lake: &Path) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mdca-lake"))
        .args(["compact", "--before", "0s", "--lake"])
        .arg(lake)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
}

// --- lakes in which something is wrong -----------------------------------------------------------

/// All files of a lake but the reports, which every run adds to.
fn contents(lake: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files_below(lake)
        .into_iter()
        .filter(|path| !path.starts_with(lake.join("_mdca/runs")))
        .filter(|path| !path.starts_with(lake.join("_mdca/changes")))
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect()
}

fn file_of(lake: &Path, path: &str, rows: u64) -> Value {
    let bytes = fs::read(lake.join(path)).unwrap_or_default();
    json!({
        "path": path, "rows": rows, "bytes": bytes.len(), "checksum": sealed::checksum(&bytes),
        "timestamp_min_ms": 0, "timestamp_max_ms": 0, "created_min_ms": null, "created_max_ms": null,
    })
}

fn forged(name: &str, inputs: &[Value], outputs: &[Value]) -> Value {
    json!({
        "version": 1, "compaction": name, "attempt": FORGED, "run": "20261121T071800Z-0a1b2c3d",
        "prepared_ms": 0, "schema_version": 1, "inputs": inputs, "outputs": outputs,
    })
}

/// A compaction that names what it may not is named, never believed, and nothing that it names is
/// touched; the other days are compacted.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_compaction_acts_on_nothing() {
    let other_day = |lake: &Path| {
        let files = files_below(&lake.join("activities"));
        let file = files
            .iter()
            .find(|path| !path.to_str().unwrap().contains("2026-11-18"));
        let path = file.unwrap().strip_prefix(lake).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for case in 0..7 {
        let story = scanned(None).await;
        let lake = story.lake();
        let output = format!("{DAY}/z-000000-{FORGED}-0.parquet");
        let own = files_below(&lake.join(DAY));
        let own = own[0].strip_prefix(lake).unwrap().to_str().unwrap();
        let taken = match case {
            0 => "_mdca/lake.json".to_owned(),
            1 => format!("_mdca/commits/{SLICE}.json"),
            2 => other_day(lake),
            3 => format!("{DAY}/../../_mdca/lake.json"),
            _ => own.to_owned(),
        };
        let inputs = [file_of(lake, &taken, 1)];
        let outputs = match case {
            // All that it takes is gone.
            4 => vec![],
            // Its output is another's file.
            5 => vec![file_of(
                lake,
                &format!("{DAY}/{SLICE}-{FORGED}-0.parquet"),
                1,
            )],
            // It leaves fewer rows.
            6 => vec![file_of(lake, &output, 0)],
            _ => vec![file_of(lake, &output, 1)],
        };
        let compaction = forged("2026-11-18-0", &inputs, &outputs);
        sealed::write(
            &lake.join("_mdca/compactions/2026-11-18-0.json"),
            &compaction,
        );
        let attempt = json!({"version": 1, "compaction": compaction});
        let attempts = lake.join("_mdca/attempts/2026-11-18-0");
        sealed::write(&attempts.join(format!("{FORGED}.json")), &attempt);
        let before = contents(lake);
        story.an_hour_passes().await;
        assert_eq!(
            story.scan(&[]).await.head.exit_code,
            0,
            "case {case}: a scan"
        );
        let report = story.compact(&[]).await;
        expect_code(&report, 6);
        assert!(report.to_text().contains("2026-11-18-0"), "case {case}");
        assert!(report.days.compacted > 0, "case {case}: other days");
        let swept = story.verify(Sweep::Unnamed).await;
        assert!(swept.findings.iter().any(|finding| {
            finding.what == FindingKind::Damaged && finding.path.contains("compactions")
        }));
        let after = contents(lake);
        for (path, bytes) in before {
            let shown = path.display().to_string();
            let is_of_day = shown.contains("2026-11-18") || shown.contains("_mdca");
            if is_of_day {
                assert_eq!(after.get(&path), Some(&bytes), "case {case}: {shown}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_a_live_file_that_is_missing_or_changed_is_left() {
    for case in 0..3 {
        let story = scanned(None).await;
        let file = files_below(&story.lake().join(DAY)).remove(0);
        match case {
            0 => fs::remove_file(&file).unwrap(),
            1 => {
                let mut bytes = fs::read(&file).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(&file, bytes).unwrap();
            }
            _ => {
                // A column of a program to come; the commit knows the bytes.
                readers::rewrite(&file, "column_unknown");
                let commit = commits_that_name(story.lake(), &file);
                let path = file.strip_prefix(story.lake()).unwrap();
                let path = path.to_str().unwrap().to_owned();
                let mut value = sealed::read(&commit);
                for entry in value["files"].as_array_mut().unwrap() {
                    if entry["path"] == path.as_str() {
                        let rows = entry["rows"].as_u64().unwrap();
                        *entry = file_of(story.lake(), &path, rows);
                    }
                }
                sealed::write(&commit, &value);
            }
        }
        let before = files_below(&story.lake().join(DAY));
        let report = story.compact(&[]).await;
        expect_code(&report, 5);
        println!("{}", report.to_text());
        assert_eq!(report.days.failed, 1);
        assert!(report.days.compacted > 0, "other days");
        assert_eq!(files_below(&story.lake().join(DAY)), before, "case {case}");
        assert_eq!(
            files_below(&story.lake().join("_mdca/staging")),
            Vec::<PathBuf>::new()
        );
    }
}

fn commits_that_name(lake: &Path, file: &Path) -> PathBuf {
    let name = file.file_name().unwrap().to_str().unwrap();
    let commits = files_below(&lake.join("_mdca/commits"));
    let names = |path: &PathBuf| fs::read_to_string(path).unwrap().contains(name);
    commits.into_iter().find(names).unwrap()
}

/// Inputs that come back are named, and swept where the outputs are there.
#[tokio::test(flavor = "multi_thread")]
async fn inputs_that_come_back_are_named_and_swept_while_the_outputs_are_there() {
    let story = scanned(None).await;
    let copies: Vec<(PathBuf, Vec<u8>)> = files_below(&story.lake().join(DAY))
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    let export = story.export().await;
    expect_code(&story.compact(&[]).await, 0);
    let output = files_below(&story.lake().join(DAY)).remove(0);
    for (path, bytes) in &copies {
        fs::write(path, bytes).unwrap();
    }
    assert_eq!(story.export().await, export);
    let found = story.verify(Sweep::Never).await.findings;
    assert_eq!(found.len(), copies.len());
    assert!(found.iter().all(|found| found.what == FindingKind::Taken));
    // Not while their rows are nowhere else.
    let kept = fs::read(&output).unwrap();
    fs::remove_file(&output).unwrap();
    let swept = story.verify(Sweep::Unnamed).await;
    assert!(swept.swept.is_empty(), "{:?}", swept.swept);
    assert!(copies.iter().all(|(path, _)| path.exists()));
    fs::write(&output, kept).unwrap();
    let swept = story.verify(Sweep::Unnamed).await;
    assert_eq!(swept.swept.len(), copies.len());
    assert_eq!(story.verify(Sweep::Never).await.findings, []);
    assert_same(&story.visible_ids().await, &story.expected_ids());
}

/// A slice whose commit was lost is not scanned again where a compaction has its rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_commit_whose_rows_are_compacted_is_not_scanned_over() {
    let story = scanned(None).await;
    expect_code(&story.compact(&[]).await, 0);
    let lost = story.lake().join(format!("_mdca/commits/{SLICE}.json"));
    let copy = fs::read(&lost).unwrap();
    fs::remove_file(&lost).unwrap();
    let report = story.scan(&[]).await;
    assert_eq!(report.head.exit_code, 5, "{}", report.to_text());
    assert!(report.to_text().contains("add to _mdca what it lacks"));
    assert_same(&story.visible_ids().await, &story.expected_ids());
    for flags in [&["--dry-run"] as &[&str], &[]] {
        let report = story.compact(flags).await;
        expect_code(&report, 0);
        let is_said = |note: &String| note.starts_with("commits or compactions are missing");
        assert!(report.notes.iter().any(is_said), "{}", report.to_text());
    }
    fs::write(&lost, copy).unwrap();
    let report = story.compact(&[]).await;
    assert!(
        !report.to_text().contains("missing"),
        "{}",
        report.to_text()
    );
    assert_eq!(story.scan(&[]).await.head.exit_code, 0);
    story.expect_clean().await;
}

/// A compaction that is missing among those of its day, or of a newer program, costs that day.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_whose_compactions_cannot_all_be_read_is_left_alone_and_named() {
    for case in 0..2 {
        let story = scanned(None).await;
        let before = story.export().await;
        expect_code(&story.compact(&[]).await, 0);
        let own = story.lake().join("_mdca/compactions/2026-11-18-0.json");
        let bytes = fs::read(&own).unwrap();
        if case == 0 {
            let void = forged("2026-11-18-1", &[], &[]);
            sealed::write(&own.with_file_name("2026-11-18-1.json"), &void);
            fs::remove_file(&own).unwrap();
        } else {
            let newer = json!({"version": 2, "tool_version": "9.0.0"});
            sealed::write(&own, &newer);
        }
        println!("case {case}");
        let (files, left_out) = commit::live_files(&story.store()).await.unwrap();
        assert_eq!(left_out.len(), 1);
        assert!(files.iter().all(|file| !file.path.starts_with(DAY)));
        let report = story.compact(&[]).await;
        expect_code(&report, if case == 0 { 6 } else { 2 });
        let found = story.verify(Sweep::Unnamed).await;
        assert_eq!(found.findings.len(), 1, "{:?}", found.findings);
        assert!(found.swept.is_empty());
        assert_eq!(story.scan(&[]).await.head.exit_code, 0);
        fs::write(&own, bytes).unwrap();
        assert!(story.export().await == before);
    }
}

/// A compactor was killed in the merge of a day that another had compacted by then: what it staged goes with the
/// next run, an hour later, while the rows are safe.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_staged_for_a_compaction_that_another_made_goes_in_an_hour() {
    for sweeps in [false, true] {
        let story = scanned(None).await;
        expect_code(&story.compact(&[]).await, 0);
        let folder = format!("_mdca/staging/2026-11-18-0/{FORGED}");
        let staged = story.lake().join(format!("{folder}/z-000000-0.staged"));
        fs::create_dir_all(staged.parent().unwrap()).unwrap();
        fs::write(&staged, "rows").unwrap();
        let found = story.verify(Sweep::Unnamed).await;
        assert_eq!(found.swept, Vec::<String>::new());
        let unfinished: Vec<&String> = found.unfinished.iter().collect();
        assert_eq!(unfinished, ["2026-11-18-0"], "{}", found.to_text());
        expect_code(&story.compact(&[]).await, 0);
        assert!(staged.exists());

        if sweeps {
            let made = story.lake().join("_mdca/compactions/2026-11-18-0.json");
            let made = fs::File::options().write(true).open(made).unwrap();
            let earlier = SystemTime::now() - Duration::from_secs(3_700);
            made.set_modified(earlier).unwrap();
            // Where the day is harmed it may be the only copy.
            let output = files_below(&story.lake().join(DAY)).remove(0);
            let bytes = fs::read(&output).unwrap();
            let mut harmed = bytes.clone();
            harmed[bytes.len() / 2] ^= 1;
            fs::write(&output, harmed).unwrap();
            let found = story.verify(Sweep::Unnamed).await;
            assert_eq!(
                (found.exit_code(), staged.exists()),
                (5, true),
                "{}",
                found.to_text()
            );
            fs::write(&output, bytes).unwrap();
            let swept = story.verify(Sweep::Unnamed).await.swept;
            let path = staged.strip_prefix(story.lake()).unwrap();
            assert_eq!(swept, [path.to_str().unwrap()]);
        } else {
            story.an_hour_passes().await;
            let report = story.compact(&[]).await;
            expect_code(&report, 0);
        }
        assert!(!staged.exists());
        story.expect_clean().await;
    }
}

/// A run has died between a compaction and the table, then an earlier compaction of the day is cut short: the
/// table leaves that day as it is, so what it still names stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_table_names_of_a_day_that_it_leaves_alone_is_not_removed() {
    let story = six_hours().start().await;
    let first = ["--from", "2026-11-18", "--until", "2026-11-18T03:00:00Z"];
    for flags in [&first as &[&str], &[]] {
        let report = story.scan(flags).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        if !flags.is_empty() {
            expect_code(&story.compact(&[]).await, 0);
        }
    }
    let mut is_made = false;
    let gate = Gate::new(move |call| {
        is_made |= call.verb == "create" && call.path.ends_with("/2026-11-18-1.json");
        if is_made && call.path.starts_with("_delta_log/") {
            Fate::Die
        } else {
            Fate::Pass
        }
    });
    assert!(run(&story, &gate).await.is_none());
    let earlier = story.lake().join("_mdca/compactions/2026-11-18-0.json");
    let bytes = fs::read(&earlier).unwrap();
    fs::write(&earlier, &bytes[..100]).unwrap();
    for _ in 0..2 {
        expect_code(&story.compact(&[]).await, 6);
        table::expect_files_there(&story.store(), "a day that is left alone").await;
    }
    fs::write(&earlier, bytes).unwrap();
    expect_code(&story.compact(&[]).await, 0);
    table::expect_live(&story.store(), "restored").await;
    story.expect_clean().await;
}

/// A store that overwrites what it was asked only to create is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_creates_twice_is_refused() {
    use crate::support::bucket::{Bucket, CreateOnly};
    let bucket = Bucket::new(CreateOnly::Ignored);
    let story = scanned(None).await;
    let lake: Store = bucket.store(LARGE_PARTS);
    for path in files_below(story.lake()) {
        let name = path.strip_prefix(story.lake()).unwrap().to_str().unwrap();
        let name = object_store::path::Path::from(name);
        lake.put(&name, fs::read(&path).unwrap().into())
            .await
            .unwrap();
    }
    let report = story.compact_on(lake.clone(), 1, &[]).await;
    expect_code(&report, 6);
    assert!(report.compactions.is_empty());
    let report = story.compact_on(lake, 2, &["--single-writer"]).await;
    expect_code(&report, 0);
    assert!(!report.compactions.is_empty());
}
