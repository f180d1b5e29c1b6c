//! The lake as a Delta table: exactly the live files, whatever becomes of its log.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::join_all;
use mdca_lake::clock::SystemClock;
use mdca_lake::job::export::export;
use mdca_lake::job::report::RunReport;
use mdca_lake::status::TableStatus;
use mdca_lake::table::{self, CommittedFiles, Differences, Table, TableError};
use mdca_lake::text::report::Report;
use mdca_lake::verify::{Finding, FindingKind, Sweep};
use mdca_lake::window::{Slice, format_time};
use serde_json::{Value, json};

use crate::support::bucket::SMALL_PARTS;
use crate::support::faulty::{Call, Fate, Gate};
use crate::support::process::every;
use crate::support::readers;
use crate::support::scenario::{DAY_MS, Scenario, Story, at, files_below};
use crate::support::sealed;
use crate::support::table::{
    expect_files_there, expect_live, files, files_by_engine, refused_writes, rows_by_engine,
    versions,
};

/// The window of the first scan; the second takes the rest of six hours.
const FIRST: [&str; 4] = ["--from", "2026-11-18", "--until", "2026-11-18T03:00:00Z"];

async fn begun(parts: Option<usize>) -> Story {
    let story = Scenario::hours(6)
        .activities(120)
        .with_parts(parts)
        .now("2026-11-20")
        .flags(&["--requests-per-minute", "0", "--parallel", "1"])
        .start()
        .await;
    expect_code(&story.scan(&FIRST).await, 0);
    story
}

fn expect_code(report: &RunReport, code: u8) {
    assert_eq!(report.head.exit_code, code, "{}", report.to_text());
}

fn log(story: &Story) -> Vec<PathBuf> {
    files_below(&story.lake().join("_delta_log"))
}

async fn standing(story: &Story) -> TableStatus {
    story.status().await.table.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_engines_see_exactly_the_live_rows() {
    let story = begun(None).await;
    expect_code(&story.scan(&[]).await, 0);
    let rows = readers::rows(story.lake());
    // A stranger lies in a folder of the lake: everyone who reads by a pattern sees its rows twice.
    let file = files_below(&story.lake().join("activities")).remove(0);
    fs::copy(&file, file.with_file_name("stranger.parquet")).unwrap();
    assert!(readers::rows(story.lake()).len() > rows.len());
    for compacted in [false, true] {
        if compacted {
            assert_eq!(story.compact(&[]).await.head.exit_code, 0);
        }
        for (engine, found) in rows_by_engine(story.lake()) {
            assert_eq!(found, rows, "{engine}, compacted: {compacted}");
        }
        // Bounds are said of the times alone: nobody takes those of a name for empty.
        let by_user = readers::rows_by_user(story.lake());
        assert!(!by_user.is_empty());
        for (user, [all, by_dataset, by_table]) in by_user {
            assert_eq!([by_dataset, by_table], [all; 2], "{user}: {compacted}");
        }
        expect_live(&story.store(), "").await;
    }
    assert_eq!(
        refused_writes(story.lake()),
        ["append", "overwrite", "delete", "optimize"]
    );
    expect_live(&story.store(), "after what others tried to write").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_is_a_version_of_its_own_and_a_steady_table_is_not_read() {
    for parts in [None, Some(SMALL_PARTS)] {
        let story = begun(parts).await;
        assert_eq!(versions(&story.store()).await.len(), 1);
        let report = story.scan(&[]).await;
        assert_eq!(report.head.table_version, Some(1), "{}", report.to_text());
        let gate = Gate::new(|_| Fate::Pass);
        let again = story.scan_on(story.guarded(&gate), 1, &[]).await;
        assert_eq!(again.head.table_version, Some(1));
        let reads = |call: &&Call| call.verb == "get";
        let calls = gate.calls();
        let of = |folder: &str| -> Vec<String> {
            let calls = calls
                .iter()
                .filter(reads)
                .filter(|call| call.path.starts_with(folder));
            calls.map(ToString::to_string).collect()
        };
        assert_eq!(of("_mdca/commits").len(), 0, "{:?}", of("_mdca/commits"));
        assert_eq!(of("_delta_log").len(), 1, "{:?}", of("_delta_log"));
        let report = story.compact(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        let versions = versions(&story.store()).await;
        let news = |actions: &Vec<Value>| -> Vec<bool> {
            let adds = actions.iter().filter_map(|action| action.get("add"));
            adds.map(|add| add["dataChange"].as_bool().unwrap())
                .collect()
        };
        assert!(versions[..2].iter().flat_map(news).all(|is_news| is_news));
        assert!(!versions[2..].iter().flat_map(news).any(|is_news| is_news));
        assert_eq!(versions.len() as u64, 2 + report.days.compacted);
        expect_live(&story.store(), "").await;
        assert!(standing(&story).await.is_current);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_say_how_many_rows_and_when_and_never_who() {
    let story = begun(None).await;
    for action in versions(&story.store()).await.into_iter().flatten() {
        let Some(add) = action.get("add") else {
            continue;
        };
        let stats: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
        for bounds in ["minValues", "maxValues"] {
            let columns: Vec<&String> = stats[bounds].as_object().unwrap().keys().collect();
            assert_eq!(columns, ["created", "timestamp"]);
        }
        let day = add["partitionValues"]["event_date"].as_str().unwrap();
        for bounds in ["minValues", "maxValues"] {
            assert!(
                stats[bounds]["timestamp"]
                    .as_str()
                    .unwrap()
                    .starts_with(day)
            );
        }
    }
}

/// What a call on the log meets.
const FATES: [Fate; 8] = [
    Fate::Die,
    Fate::DieAfter,
    Fate::DieLate,
    Fate::Refuse,
    Fate::LoseAnswer,
    Fate::Conflict,
    Fate::CutBody,
    Fate::Deny,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_or_fails_at_any_call_on_the_log_leaves_it_to_the_next() {
    for parts in [None, Some(SMALL_PARTS)] {
        let story = begun(parts).await;
        let gate = Gate::new(|_| Fate::Pass);
        expect_code(&story.scan_on(story.guarded(&gate), 1, &[]).await, 0);
        let calls = gate.calls();
        let is_of_log = |call: &&Call| call.path.contains("_delta_log");
        let names: BTreeSet<String> = calls
            .iter()
            .filter(is_of_log)
            .map(|call| format!("{} {}", call.verb, call.path))
            .collect();
        assert!(!names.is_empty());
        for name in names {
            for fate in every(3, FATES.into_iter()) {
                let story = begun(parts).await;
                let what = format!("{fate:?} at {name}");
                let at = name.clone();
                let gate = Gate::new(move |call| {
                    let is_it = format!("{} {}", call.verb, call.path) == at;
                    if is_it { fate } else { Fate::Pass }
                });
                let run = story.scan_on(story.guarded(&gate), 1, &[]);
                if let Some(report) = gate.live(run).await {
                    let code = report.head.exit_code;
                    assert!(matches!(code, 0 | 6), "{what}: {}", report.to_text());
                    // Whatever became of the table, the slices are committed.
                    assert_eq!(report.slices.committed, 3, "{what}");
                }
                expect_files_there(&story.store(), &what).await;
                assert_eq!(story.verify(Sweep::Never).await.findings, [], "{what}");
                gate.land().await;
                expect_code(&story.scan(&[]).await, 0);
                expect_live(&story.store(), &what).await;
                story.expect_clean().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_at_once_write_every_version_once() {
    for parts in [None, Some(SMALL_PARTS)] {
        let story = begun(parts).await;
        for begins_anew in [false, true] {
            if begins_anew {
                for object in story.store().list(&"_delta_log".into()).await.unwrap() {
                    story.store().delete(&object.location).await.unwrap();
                }
            } else {
                let denied = Gate::new(|call| {
                    let is_log = call.path.contains("_delta_log") && call.verb != "list";
                    if is_log { Fate::Deny } else { Fate::Pass }
                });
                let report = story.scan_on(story.guarded(&denied), 1, &[]).await;
                expect_code(&report, 6);
                assert!(!standing(&story).await.is_current);
            }
            let tables = (0..6).map(|run| {
                let home = story.store();
                async move {
                    let clock = Arc::new(SystemClock::new());
                    Table::new(home, clock, format!("run {run}"))
                        .refresh()
                        .await
                }
            });
            for refreshed in join_all(tables).await {
                assert_eq!(refreshed.unwrap().version, u64::from(!begins_anew));
            }
            expect_live(&story.store(), "").await;
            assert!(standing(&story).await.is_current);
        }
    }
}

/// What others count by the table is held against the commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_says_other_numbers_than_the_commits_is_named() {
    let story = begun(None).await;
    expect_code(&story.scan(&[]).await, 0);
    // Of the day and the bounds of times readers pass over a file, without a look at it.
    let harms = [
        (r#"\"numRecords\":"#, r#"\"numRecords\":9"#),
        (r#""size":"#, r#""size":9"#),
        (
            r#""partitionValues":{"event_date":"2026-11-1"#,
            r#""partitionValues":{"event_date":"2026-10-1"#,
        ),
        (
            r#"\"minValues\":{"#,
            r#"\"minValues\":{\"user_name\":\"z\","#,
        ),
        (
            r#"\"timestamp\":\"2026-11-1"#,
            r#"\"timestamp\":\"2026-12-1"#,
        ),
    ];
    let what = "another day, other rows, bytes or times";
    for (member, other) in harms {
        let first = &log(&story)[0];
        let text = fs::read_to_string(first).unwrap();
        assert!(text.contains(member), "{member}: {text}");
        fs::write(first, text.replacen(member, other, 1)).unwrap();
        let found = story.verify(Sweep::Never).await.findings;
        let said: Vec<_> = found
            .iter()
            .map(|of| (of.what, of.detail.as_str()))
            .collect();
        assert!(
            matches!(said[..], [(FindingKind::Table, detail)] if detail.contains(what)),
            "{member}: {said:?}"
        );
        fs::write(first, text).unwrap();
    }
    story.expect_clean().await;
}

/// A copy has new times, and nobody may ever scan into it: its table is held against its commits as before.
#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_a_copied_lake_is_compared_with_its_commits() {
    let story = begun(None).await;
    expect_code(&story.scan(&[]).await, 0);
    for commit in files_below(&story.lake().join("_mdca/commits")) {
        let bytes = fs::read(&commit).unwrap();
        fs::remove_file(&commit).unwrap();
        fs::write(&commit, bytes).unwrap();
    }
    let text = story.status().await.to_text();
    assert!(text.contains("which were copied or restored"), "{text}");
    story.expect_clean().await;
    let last = log(&story).pop().unwrap();
    let text = fs::read_to_string(&last).unwrap();
    let lines = text.lines().filter(|line| !line.contains("\"add\""));
    let lines: Vec<String> = lines.map(|line| format!("{line}\n")).collect();
    fs::write(&last, lines.concat()).unwrap();
    let found = story.verify(Sweep::Never).await.findings;
    let lacks = |finding: &Finding| {
        finding.what == FindingKind::Table && finding.detail.contains("the table lacks it")
    };
    assert!(!found.is_empty() && found.iter().all(lacks), "{found:?}");
    // The next run compares them as well.
    let report = story.scan(&[]).await;
    expect_code(&report, 0);
    assert!(standing(&story).await.is_current);
    story.expect_clean().await;
}

/// A commit whose rows are all in a compaction.
fn taken_commit(story: &Story) -> PathBuf {
    let files = files_below(&story.lake().join("activities"));
    let is_taken = |commit: &PathBuf| {
        let slice = commit.file_stem().unwrap().to_str().unwrap();
        let has_file = |file: &PathBuf| file.to_str().unwrap().contains(slice);
        !files.iter().any(has_file)
    };
    let commits = files_below(&story.lake().join("_mdca/commits"));
    commits.into_iter().find(is_taken).unwrap()
}

/// A run that has nothing to do forgets no loss, and what is gone with its commit is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_said_after_another_run_and_the_files_are_named() {
    let story = begun(None).await;
    let first = files_below(&story.lake().join("_mdca/commits")).remove(0);
    let slice = first.file_stem().unwrap().to_str().unwrap().to_owned();
    let of_slice = |path: &PathBuf| path.to_str().unwrap().contains(&slice);
    let files = files_below(&story.lake().join("activities"));
    let gone: Vec<&PathBuf> = files.iter().filter(|path| of_slice(path)).collect();
    let kept = fs::read(&first).unwrap();
    fs::remove_file(&first).unwrap();
    for file in &gone {
        fs::rename(file, file.with_extension("away")).unwrap();
    }
    let missing = story.verify(Sweep::Never).await.findings;
    let missing = missing.iter().filter(|of| of.what == FindingKind::Missing);
    assert_eq!(missing.count(), 1 + gone.len());
    for file in &gone {
        fs::rename(file.with_extension("away"), file).unwrap();
    }
    fs::write(&first, kept).unwrap();

    assert_eq!(story.compact(&[]).await.head.exit_code, 0);
    fs::remove_file(taken_commit(&story)).unwrap();
    for run in ["before", "after"] {
        assert_eq!(standing(&story).await.missing, 1, "{run} another run");
        let report = story.compact(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    }
}

/// The rows of a lost commit are all in a compaction, and other days are compacted since: the loss stays said
/// until the commit is restored.
#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_said_after_other_compactions() {
    let story = begun(None).await;
    assert_eq!(story.compact(&[]).await.head.exit_code, 0);
    let commit = taken_commit(&story);
    let kept = fs::read(&commit).unwrap();
    fs::remove_file(&commit).unwrap();
    let report = story.scan(&[]).await;
    assert_eq!(report.slices.committed, 3, "{}", report.to_text());
    for _ in 0..3 {
        assert_eq!(standing(&story).await.missing, 1);
        let exported = export(&story.store(), None, &mut Vec::new()).await;
        assert!(exported.unwrap().loss.is_some());
        let report = story.compact(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    }
    fs::write(&commit, kept).unwrap();
    expect_code(&story.scan(&[]).await, 0);
    assert_eq!(standing(&story).await.missing, 0);
    assert!(standing(&story).await.is_current);
    expect_live(&story.store(), "restored").await;
}

/// As many slices are committed after a loss as were lost, or more: their number does not tell of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_said_however_many_commits_come_after_it() {
    for lost in [1, 3] {
        let story = begun(None).await;
        let commits = files_below(&story.lake().join("_mdca/commits"));
        let gone = commits[..lost].iter();
        let kept: Vec<Vec<u8>> = gone.clone().map(|path| fs::read(path).unwrap()).collect();
        gone.clone().for_each(|path| fs::remove_file(path).unwrap());
        for run in ["before", "after"] {
            assert_eq!(standing(&story).await.missing, lost as u64, "{run} a scan");
            let exported = export(&story.store(), None, &mut Vec::new()).await;
            assert!(exported.unwrap().loss.is_some(), "{run} a scan");
            let report = story.scan(&[]).await;
            expect_code(&report, 5);
            let committed = if run == "before" { 3 } else { 0 };
            assert_eq!(report.slices.committed, committed);
        }
        for (path, bytes) in gone.zip(kept) {
            fs::write(path, bytes).unwrap();
        }
        expect_code(&story.scan(&[]).await, 0);
        assert_eq!(standing(&story).await.missing, 0);
        expect_live(&story.store(), "restored").await;
    }
}

/// Of a commit without files nothing is left when it is lost, but that the table takes it in.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_commit_without_files_is_said_by_verify_and_status() {
    let (story, report) = Scenario::hours(6).activities(3).run().await;
    expect_code(&report, 0);
    let commits = files_below(&story.lake().join("_mdca/commits"));
    let has_no_files = |commit: &&PathBuf| sealed::read(commit)["files"] == json!([]);
    let lost = commits.iter().find(has_no_files).unwrap();
    let kept = fs::read(lost).unwrap();
    fs::remove_file(lost).unwrap();
    let found = story.verify(Sweep::Never).await;
    assert_eq!(found.exit_code(), 5, "{}", found.to_text());
    let [
        Finding {
            path, what, remedy, ..
        },
    ] = &found.findings[..]
    else {
        panic!("{}", found.to_text());
    };
    assert_eq!((path.as_str(), *what), ("_mdca", FindingKind::Missing));
    assert!(remedy.starts_with(mdca_lake::commit::RESTORE), "{remedy}");
    let status = story.status().await;
    assert_eq!(status.exit_code(), 5, "{}", status.to_text());
    fs::write(lost, kept).unwrap();
    assert_eq!(story.status().await.exit_code(), 0);
    story.expect_exact().await;
}

/// A commit was lost, and one has come that the table does not know of: their number is the same. The log that
/// proves the loss is not called wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_proves_a_loss_is_not_called_wrong() {
    let story = begun(None).await;
    let lost = files_below(&story.lake().join("_mdca/commits")).remove(0);
    let older = log(&story);
    let next = [
        "--from",
        "2026-11-18T03:00:00Z",
        "--until",
        "2026-11-18T04:00:00Z",
    ];
    let report = story.scan(&next).await;
    assert_eq!(report.slices.committed, 1, "{}", report.to_text());
    for version in log(&story) {
        if !older.contains(&version) {
            fs::remove_file(version).unwrap();
        }
    }
    fs::remove_file(&lost).unwrap();
    let found = story.verify(Sweep::Never).await.findings;
    let path = lost.strip_prefix(story.lake()).unwrap().to_str().unwrap();
    let is_it = |of: &Finding| of.path == path && of.what == FindingKind::Missing;
    assert!(found.iter().any(is_it), "{found:?}");
    let of_table = found.iter().find(|of| of.what == FindingKind::Table);
    assert_eq!(of_table, None);
}

/// Takes the first line that removes a file out of the log: the table goes on showing that file, which it names.
fn unremove(story: &Story) -> String {
    for version in log(story).iter().rev() {
        let text = fs::read_to_string(version).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        if let Some(at) = lines.iter().position(|line| line.contains("\"remove\"")) {
            let action: Value = lines.remove(at).parse().unwrap();
            fs::write(version, lines.join("\n") + "\n").unwrap();
            return action["remove"]["path"].as_str().unwrap().to_owned();
        }
    }
    panic!("no version removes a file");
}

/// The table says that it takes in a compaction, and shows what that has taken: readers miss the file, or meet
/// its rows twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_shows_what_a_compaction_has_taken_is_named_and_what_it_shows_is_kept() {
    let story = begun(None).await;
    let before: Vec<(PathBuf, Vec<u8>)> = files_below(&story.lake().join("activities"))
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    assert_eq!(story.compact(&[]).await.head.exit_code, 0);
    let shown = unremove(&story);
    let now = table::standing(&story.store()).await.unwrap();
    assert!(now.is_some_and(|now| now.is_current));
    for is_back in [false, true] {
        if is_back {
            let (path, bytes) = before.iter().find(|of| of.0.ends_with(&shown)).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let found = story.verify(Sweep::Unnamed).await;
        let is_it = |of: &&Finding| of.path == shown && of.what == FindingKind::Table;
        let of_table = found.findings.iter().find(is_it);
        let remedy = of_table
            .unwrap_or_else(|| panic!("{}", found.to_text()))
            .remedy;
        assert!(
            remedy.starts_with("delete the folder _delta_log"),
            "{remedy}"
        );
        assert_eq!(found.swept, Vec::<String>::new(), "is back: {is_back}");
        assert_eq!(story.lake().join(&shown).exists(), is_back);
    }
    fs::remove_dir_all(story.lake().join("_delta_log")).unwrap();
    expect_code(&story.scan(&FIRST).await, 0);
    assert_eq!(story.verify(Sweep::Unnamed).await.swept, [shown]);
    expect_live(&story.store(), "made anew").await;
    story.expect_clean().await;
}

/// The version was lost that a compaction is taken in by: its table names what is gone. One that is only behind
/// is said to be, and is no damage.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_its_last_version_is_named_where_it_misses_files() {
    let story = begun(None).await;
    assert!(!story.verify(Sweep::Never).await.is_table_behind);
    let first = log(&story);
    expect_code(&story.scan(&[]).await, 0);
    for version in log(&story) {
        if !first.contains(&version) {
            fs::remove_file(version).unwrap();
        }
    }
    let found = story.verify(Sweep::Never).await;
    assert!(found.is_table_behind && found.to_text().contains("behind the commits"));
    assert_eq!(found.findings, []);
    assert_eq!(story.compact(&[]).await.head.exit_code, 0);
    assert!(!story.verify(Sweep::Never).await.is_table_behind);
    fs::remove_file(log(&story).pop().unwrap()).unwrap();
    let found = story.verify(Sweep::Unnamed).await;
    assert!(!found.findings.is_empty(), "{}", found.to_text());
    for finding in &found.findings {
        assert_eq!(finding.what, FindingKind::Table, "{finding:?}");
        assert!(finding.remedy.contains("up to date"), "{finding:?}");
    }
    expect_code(&story.scan(&[]).await, 0);
    expect_live(&story.store(), "").await;
    story.expect_clean().await;
}

/// A hole that the table does not know of would be left out of a status.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_does_not_know_of_a_late_slice_is_named_and_one_of_an_earlier_program_is_completed()
 {
    let from_ms = at("2026-01-01");
    let now_ms = from_ms + 31 * DAY_MS;
    let story = Scenario::window(from_ms, from_ms + DAY_MS)
        .activities(100)
        .now(&format_time(now_ms))
        .start()
        .await;
    expect_code(&story.scan(&[]).await, 0);
    let late = story.status().await.unproven;
    assert!(late.iter().any(|late| late.committed > 0), "{late:?}");
    let hide = |hidden: &str| {
        for path in log(&story) {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().filter(|line| !line.contains(hidden));
            let lines: Vec<String> = lines.map(|line| format!("{line}\n")).collect();
            fs::write(&path, lines.concat()).unwrap();
        }
    };
    hide("mdca-lake/remarks/");
    let found = story.verify(Sweep::Never).await.findings;
    assert!(!found.is_empty());
    for finding in found {
        assert_eq!(finding.what, FindingKind::Table);
        assert!(finding.path.starts_with("_mdca/commits/"), "{finding:?}");
    }
    // So it was written by programs that knew no remarks: the next run reads everything once.
    hide("mdca-lake/remarks");
    assert!(!standing(&story).await.is_current);
    story.status().await;
    expect_code(&story.scan(&[]).await, 0);
    assert!(standing(&story).await.is_current);
    story.expect_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_lost_or_damaged_is_made_anew() {
    type Harm = fn(&[PathBuf]);
    let harms: [(&str, Harm); 8] = [
        ("the only version is empty", |log| {
            for path in &log[1..] {
                fs::remove_file(path).unwrap();
            }
            fs::write(&log[0], "").unwrap();
        }),
        ("its first version is empty", |log| {
            fs::write(&log[0], "").unwrap();
        }),
        ("all of it is gone", |log| {
            for path in log {
                fs::remove_file(path).unwrap();
            }
        }),
        ("its first version is gone", |log| {
            fs::remove_file(&log[0]).unwrap();
        }),
        ("its last version is gone", |log| {
            fs::remove_file(log.last().unwrap()).unwrap();
        }),
        ("a version is cut short", |log| {
            let bytes = fs::read(&log[0]).unwrap();
            fs::write(&log[0], &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("the last version is cut short", |log| {
            let last = log.last().unwrap();
            let bytes = fs::read(last).unwrap();
            fs::write(last, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("the last version is empty", |log| {
            fs::write(log.last().unwrap(), "").unwrap();
        }),
    ];
    for (what, harm) in harms {
        let story = begun(None).await;
        expect_code(&story.scan(&[]).await, 0);
        assert_eq!(story.compact(&[]).await.head.exit_code, 0);
        harm(&log(&story));
        let rows = readers::rows(story.lake());
        expect_code(&story.scan(&[]).await, 0);
        // A version that is damaged in the middle is met by who has to read it.
        let found = story.verify(Sweep::Never).await.findings;
        for finding in &found {
            assert_eq!(finding.what, FindingKind::Table, "{what}: {found:?}");
        }
        if !found.is_empty() {
            for path in log(&story) {
                fs::remove_file(path).unwrap();
            }
            expect_code(&story.scan(&[]).await, 0);
        }
        expect_live(&story.store(), what).await;
        assert_eq!(readers::rows(story.lake()), rows, "{what}");
        story.expect_clean().await;
    }
}

/// What engines cannot open is named, and the next run makes the table anew, though it has read nothing
/// else of the log. Where they cannot read only where to begin, its versions stay.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_no_engine_can_open_is_made_anew() {
    type Harm = fn(&Path);
    let version = |log: &Path, version: u64| log.join(format!("{version:020}.json"));
    let harms: [(&str, Harm); 6] = [
        ("a checkpoint is above the last version", |log| {
            for path in files_below(log) {
                let name = path.file_name().unwrap().to_str().unwrap();
                if *name >= *"00000000000000000048"
                    && path.extension().is_some_and(|of| of == "json")
                {
                    fs::remove_file(path).unwrap();
                }
            }
        }),
        ("the checkpoint is cut short", |log| {
            let checkpoint = log.join(format!("{:020}.checkpoint.parquet", 50));
            let bytes = fs::read(&checkpoint).unwrap();
            fs::write(&checkpoint, &bytes[..3_000]).unwrap();
        }),
        ("the checkpoint is gone", |log| {
            fs::remove_file(log.join(format!("{:020}.checkpoint.parquet", 50))).unwrap();
        }),
        ("it is told of another checkpoint", |log| {
            let text = r#"{"version":60,"size":3}"#;
            fs::write(log.join("_last_checkpoint"), text).unwrap();
        }),
        ("what it is told of the checkpoint is no JSON", |log| {
            fs::write(log.join("_last_checkpoint"), "{").unwrap();
        }),
        ("a version behind the checkpoint is gone", |log| {
            fs::remove_file(log.join(format!("{:020}.json", 52))).unwrap();
        }),
    ];
    let story = begun(None).await;
    let clock = Arc::new(SystemClock::new());
    let table = Table::new(story.store(), clock, "other".to_owned());
    for hour in 0..55 {
        commit(&story, hour);
        table.refresh().await.unwrap();
    }
    let log = story.lake().join("_delta_log");
    assert!(version(&log, 54).exists());
    let whole: Vec<(PathBuf, Vec<u8>)> = files_below(&log)
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    let expected = files_by_engine(story.lake());
    assert!(expected.len() >= 55, "{}", expected.len());
    for (what, harm) in harms {
        fs::remove_dir_all(&log).unwrap();
        fs::create_dir(&log).unwrap();
        for (path, bytes) in &whole {
            fs::write(path, bytes).unwrap();
        }
        assert!(standing(&story).await.is_current, "{what}");
        harm(&log);
        let compared = table::compare(&story.store(), CommittedFiles::default()).await;
        assert!(
            matches!(compared, Err(TableError::Unreadable { .. })),
            "{what}: {compared:?}"
        );
        let now = table::standing(&story.store()).await.unwrap();
        assert!(now.is_some_and(|now| !now.is_current), "{what}");
        let clock = Arc::new(SystemClock::new());
        let next = Table::new(story.store(), clock, "next".to_owned());
        let tip = if what.ends_with("no JSON") { 55 } else { 0 };
        assert_eq!(next.refresh().await.unwrap().version, tip, "{what}");
        assert_eq!(files_by_engine(story.lake()), expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_program_wrote_stops_the_update_and_nothing_else() {
    let story = begun(None).await;
    let foreign = json!({"add": {
        "path": "activities/event_date=2026-11-18/part-0.parquet",
        "partitionValues": {"event_date": "2026-11-18"}, "size": 1, "modificationTime": 0,
        "dataChange": true,
    }});
    let version = story.lake().join("_delta_log/00000000000000000001.json");
    fs::write(&version, foreign.to_string()).unwrap();
    let report = story.scan(&[]).await;
    expect_code(&report, 6);
    assert_eq!(report.slices.committed, 3);
    let failure = &report.failures.iter().next().unwrap();
    assert!(failure.error.contains("part-0.parquet"), "{failure:?}");
    let found = story.verify(Sweep::Never).await.findings;
    assert!(
        found
            .iter()
            .any(|found| found.path.ends_with("part-0.parquet")),
        "{found:?}"
    );
    let compacted = story.compact(&[]).await;
    assert_eq!(compacted.head.exit_code, 6, "{}", compacted.to_text());
    assert_eq!(
        compacted.days.compacted, 0,
        "a table that is behind would lose files"
    );
    for path in log(&story) {
        fs::remove_file(path).unwrap();
    }
    assert_eq!(story.compact(&[]).await.head.exit_code, 0);
    expect_live(&story.store(), "").await;
    story.expect_clean().await;
}

/// Where step 5 fails nothing is removed, and the next run goes on there.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_table_still_names_is_not_removed() {
    for parts in [None, Some(SMALL_PARTS)] {
        let story = begun(parts).await;
        let gate = Gate::new(|call| {
            let is_next = call.path.ends_with("00000000000000000001.json");
            if is_next && call.verb != "get" {
                Fate::Deny
            } else {
                Fate::Pass
            }
        });
        let run = story.compact_on(story.guarded(&gate), 1, &[]);
        let report = gate.live(run).await.unwrap();
        assert_eq!(report.head.exit_code, 6, "{}", report.to_text());
        expect_files_there(&story.store(), "").await;
        assert_eq!(
            story.verify(Sweep::Unnamed).await.swept,
            Vec::<String>::new()
        );
        expect_files_there(&story.store(), "after a sweep").await;
        assert_eq!(story.compact(&[]).await.head.exit_code, 0);
        expect_live(&story.store(), "").await;
        story.expect_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_gets_the_columns_that_it_lacks() {
    let story = begun(None).await;
    let path = log(&story).remove(0);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<String> = text
        .lines()
        .map(|line| older(line.parse().unwrap()))
        .collect();
    fs::write(&path, lines.join("\n")).unwrap();
    expect_code(&story.scan(&[]).await, 0);
    let versions = versions(&story.store()).await;
    let widened: Vec<bool> = versions
        .iter()
        .map(|actions| {
            actions
                .iter()
                .any(|action| action.get("metaData").is_some())
        })
        .collect();
    assert_eq!(widened, [true, true, false]);
    let rows = readers::rows(story.lake());
    for (engine, found) in rows_by_engine(story.lake()) {
        assert_eq!(found, rows, "{engine}");
    }
    story.expect_clean().await;
}

/// An action of a table without the last column of the files.
fn older(mut action: Value) -> String {
    if action["txn"]["appId"] == "mdca-lake/columns" {
        let columns = action["txn"]["version"].as_i64().unwrap();
        action["txn"]["version"] = json!(columns - 1);
    }
    if let Some(schema) = action["metaData"]
        .get("schemaString")
        .and_then(Value::as_str)
    {
        let mut schema: Value = serde_json::from_str(schema).unwrap();
        let fields = schema["fields"].as_array_mut().unwrap();
        fields.remove(fields.len() - 2);
        action["metaData"]["schemaString"] = json!(schema.to_string());
    }
    // Indexing has made members that were not there.
    action
        .as_object_mut()
        .unwrap()
        .retain(|_, member| !member.is_null());
    action.to_string()
}

/// A table of a program that did not say which columns have bounds says it after the next run, and once.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_does_not_say_which_columns_have_bounds_is_completed() {
    const BOUNDS: &str = "delta.dataSkippingStatsColumns";
    let story = begun(None).await;
    let path = log(&story).remove(0);
    let text = fs::read_to_string(&path).unwrap();
    let mut earlier = Vec::new();
    for line in text.lines() {
        let mut action: Value = line.parse().unwrap();
        if let Some(metadata) = action.get_mut("metaData") {
            let removed = metadata["configuration"]
                .as_object_mut()
                .unwrap()
                .remove(BOUNDS);
            assert_eq!(removed, Some(json!("timestamp,created")));
        }
        if !line.contains("mdca-lake/bounds") {
            earlier.push(action.to_string());
        }
    }
    fs::write(&path, earlier.join("\n")).unwrap();
    assert!(standing(&story).await.is_current);
    expect_code(&story.scan(&FIRST).await, 0);
    let completed = versions(&story.store()).await;
    let mut actions = completed[1..].iter().flatten();
    let metadata = actions.find_map(|action| action.get("metaData")).unwrap();
    assert_eq!(metadata["configuration"][BOUNDS], "timestamp,created");
    assert_eq!(metadata["configuration"]["delta.appendOnly"], "true");
    expect_code(&story.scan(&FIRST).await, 0);
    assert_eq!(versions(&story.store()).await.len(), completed.len());
    expect_live(&story.store(), "").await;
    story.expect_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_written_and_read() {
    let story = begun(None).await;
    let clock = Arc::new(SystemClock::new());
    let table_of_run = Table::new(story.store(), clock, "run".to_owned());
    let mut expected: BTreeSet<String> = files(&story.store()).await.into_keys().collect();
    let first = expected.len();
    for hour in 0..120 {
        expected.insert(commit(&story, hour));
        table_of_run.refresh().await.unwrap();
    }
    let names = |story: &Story| -> Vec<String> {
        let names = log(story).into_iter();
        names
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    let checkpoints: Vec<String> = names(&story)
        .into_iter()
        .filter(|name| name.contains("checkpoint"))
        .collect();
    assert_eq!(
        checkpoints,
        [
            "00000000000000000050.checkpoint.parquet",
            "00000000000000000100.checkpoint.parquet",
            "_last_checkpoint"
        ]
    );
    let expected: Vec<String> = expected.into_iter().collect();
    assert_eq!(files_by_engine(story.lake()), expected);
    // The versions before it are needed no more, and neither is the name of the last one.
    for path in log(&story) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if *name < *"00000000000000000100" || name == "_last_checkpoint" {
            fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(files_by_engine(story.lake()), expected);
    let differences = table::compare(&story.store(), CommittedFiles::default())
        .await
        .unwrap();
    assert_eq!(differences, Some(Differences::default()));
    // Where it is damaged, and the versions before it are gone, the log is made anew when the next one
    // is due.
    let checkpoint = story.lake().join("_delta_log").join(&checkpoints[1]);
    fs::write(checkpoint, "PAR1").unwrap();
    let compared = table::compare(&story.store(), CommittedFiles::default()).await;
    assert!(
        matches!(compared, Err(TableError::Unreadable { .. })),
        "{compared:?}"
    );
    let table_of_run = Table::new(
        story.store(),
        Arc::new(SystemClock::new()),
        "other".to_owned(),
    );
    let mut expected = expected;
    for hour in 120.. {
        expected.push(commit(&story, hour));
        if table_of_run.refresh().await.unwrap().version == 0 {
            break;
        }
    }
    expected.sort();
    assert_eq!(expected.len(), 150 + first);
    assert_eq!(files_by_engine(story.lake()), expected);
}

/// A version behind the last checkpoint is cut short, and is not the last: no engine reads what is written
/// after it, so the table is made anew, once all can be read that it is made of.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_cut_short_is_met_by_who_adds_one_and_removed_only_for_another_log() {
    let story = begun(None).await;
    let mut expected: BTreeSet<String> = files(&story.store()).await.into_keys().collect();
    let refresh = async || {
        let clock = Arc::new(SystemClock::new());
        let table = Table::new(story.store(), clock, "next".to_owned());
        table.refresh().await
    };
    for hour in 0..2 {
        expected.insert(commit(&story, hour));
        refresh().await.unwrap();
    }
    let cut = &log(&story)[1];
    let bytes = fs::read(cut).unwrap();
    fs::write(cut, &bytes[..bytes.len() / 2]).unwrap();
    expected.insert(commit(&story, 2));
    let damaged = files_below(&story.lake().join("_mdca/commits")).remove(0);
    let whole = fs::read(&damaged).unwrap();
    fs::write(&damaged, &whole[..100]).unwrap();
    let before = log(&story);
    let refused = refresh().await.unwrap_err();
    assert!(matches!(refused, TableError::Unsound(_)), "{refused:?}");
    assert_eq!(log(&story), before);
    fs::write(&damaged, whole).unwrap();
    assert_eq!(refresh().await.unwrap().version, 0);
    let found: BTreeSet<String> = files(&story.store()).await.into_keys().collect();
    assert_eq!(found, expected);
}

/// Commits a slice with one file, which nobody reads.
pub(super) fn commit(story: &Story, hour: i64) -> String {
    let slice = Slice::minutes_before((hour + 1) * 3_600_000, 60).to_string();
    let path = format!("activities/event_date=1970-01-01/{slice}-0123456789abcdef-0.parquet");
    let mut commit = sealed::commit(&slice);
    commit["files"] = json!([{
        "path": path, "rows": 1, "bytes": 1, "checksum": "sha256:0", "timestamp_min_ms": 0,
        "timestamp_max_ms": 0, "created_min_ms": 0, "created_max_ms": 0,
    }]);
    let object = story.lake().join(format!("_mdca/commits/{slice}.json"));
    sealed::write(&object, &commit);
    path
}
