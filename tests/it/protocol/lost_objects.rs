//! Lakes out of which something was lost, or into which an older copy was put back: what is left may be
//! the only copy, and is kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use mdca_lake::clock::SystemClock;
use mdca_lake::commit::{find_orphans, live_files};
use mdca_lake::job::export::export;
use mdca_lake::table::Table;
use mdca_lake::text::plain;
use mdca_lake::text::report::Report;
use mdca_lake::verify::{Depth, FindingKind, Sweep, Verification, verify};
use serde_json::{Value, json};

use super::compact::scanned;
use super::table::commit;
use crate::support::faulty::{Fate, Gate};
use crate::support::scenario::{Scenario, Story, age_by_an_hour, assert_same, at, files_below};
use crate::support::sealed;
use crate::support::table::{expect_live, files, versions};

const SLICE: &str = "20261118T0000Z-20261118T0100Z";
const DAY: &str = "activities/event_date=2026-11-18";
const COMPACTION: &str = "_mdca/compactions/2026-11-18-0.json";

/// A lake of six slices, compacted.
async fn compacted() -> Story {
    let story = scanned(None).await;
    let report = story.compact(&[]).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    story
}

type Contents = BTreeMap<PathBuf, Vec<u8>>;

/// All files of a lake below a folder.
fn copy_of(lake: &Path, folder: &str) -> Contents {
    let paths = files_below(&lake.join(folder)).into_iter();
    paths
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn put_back(copy: &Contents) {
    for (path, bytes) in copy {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// The file that a compaction left on the first day.
fn output(story: &Story) -> PathBuf {
    let mut files = files_below(&story.lake().join(DAY));
    files.retain(|path| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("z-")
    });
    files.remove(0)
}

fn kinds(found: &Verification) -> Vec<(&str, FindingKind)> {
    let findings = found.findings.iter();
    findings.map(|of| (of.path.as_str(), of.what)).collect()
}

/// What is there after a sweep is what was there before.
async fn expect_nothing_swept(story: &Story, what: &str) -> Verification {
    let before = copy_of(story.lake(), "activities");
    let found = story.verify(Sweep::Unnamed).await;
    assert!(found.swept.is_empty(), "{what}: {:?}", found.swept);
    assert!(copy_of(story.lake(), "activities") == before, "{what}");
    assert_eq!(found.exit_code(), 5, "{what}: {}", found.to_text());
    for finding in &found.findings {
        assert!(!finding.remedy.contains("--sweep"), "{what}: {finding:?}");
    }
    found
}

/// The table keeps the files of a day of which a compaction cannot be read, takes in what is committed
/// meanwhile, and is whole again with it. No run writes a version that says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_cannot_be_read_for_a_while_costs_the_table_nothing() {
    let story = scanned(None).await;
    let all = copy_of(story.lake(), "_mdca/commits");
    // The last slice comes later, with rows of the same day.
    let late: Vec<&PathBuf> = all.keys().rev().take(1).collect();
    let named = String::from_utf8(all[late[0]].clone()).unwrap();
    let commit: Value = serde_json::from_str(&named).unwrap();
    let paths = commit["files"].as_array().unwrap().iter();
    let paths: Vec<PathBuf> = paths
        .map(|file| story.lake().join(file["path"].as_str().unwrap()))
        .collect();
    let late_files: Contents = paths
        .iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    for path in paths.iter().chain(late) {
        fs::remove_file(path).unwrap();
    }
    fs::remove_dir_all(story.lake().join("_delta_log")).unwrap();
    assert_eq!(story.compact(&[]).await.head.exit_code, 0);

    let compaction = story.lake().join(COMPACTION);
    let bytes = fs::read(&compaction).unwrap();
    let before = files(&story.store()).await;
    fs::write(&compaction, "").unwrap();
    put_back(&late_files);
    fs::write(all.keys().next_back().unwrap(), &named).unwrap();
    let mut tips = Vec::new();
    for _ in 0..3 {
        let report = story.scan(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        let said = report.result.notes.join("\n");
        assert!(said.contains(COMPACTION), "{said}");
        tips.push(versions(&story.store()).await.len());
    }
    assert_eq!(tips[1..], [tips[0]; 2], "versions that say nothing");
    let meanwhile = files(&story.store()).await;
    assert!(before.keys().all(|path| meanwhile.contains_key(path)));

    fs::write(&compaction, bytes).unwrap();
    let report = story.scan(&[]).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    expect_live(&story.store(), "restored").await;
    assert_eq!(story.verify(Sweep::Never).await.findings, []);
    assert_same(&story.visible_ids().await, &story.expected_ids());
}

/// A commit that was cut short is named by every run, and stops none.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_cannot_be_read_is_said_by_every_run() {
    let story = scanned(None).await;
    let commit = story.lake().join(format!("_mdca/commits/{SLICE}.json"));
    let bytes = fs::read(&commit).unwrap();
    fs::write(&commit, &bytes[..100]).unwrap();
    let tip = versions(&story.store()).await.len();
    for _ in 0..2 {
        let report = story.scan(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        let said = report.result.notes.join("\n");
        assert!(said.contains(SLICE), "{said}");
    }
    assert!(versions(&story.store()).await.len() <= tip + 1);
    fs::write(&commit, bytes).unwrap();
    assert_eq!(story.scan(&[]).await.head.exit_code, 0);
    expect_live(&story.store(), "restored").await;
}

/// The compaction of a recorded attempt is lost, and what it took is gone: its output is the only copy.
#[tokio::test(flavor = "multi_thread")]
async fn the_output_of_a_lost_compaction_is_kept_though_its_attempt_is_recorded() {
    let story = compacted().await;
    let export = story.export().await;
    let compaction = story.lake().join(COMPACTION);
    let bytes = fs::read(&compaction).unwrap();
    let made = sealed::read(&compaction);
    let attempt = made["attempt"].as_str().unwrap().to_owned();
    let attempt = format!("_mdca/attempts/2026-11-18-0/{attempt}.json");
    let attempt = story.lake().join(attempt);
    let body = json!({"version": 1, "tool_version": "0.1.0", "compaction": made});
    sealed::write(&attempt, &body);
    fs::remove_file(&compaction).unwrap();
    fs::remove_dir_all(story.lake().join("_delta_log")).unwrap();
    age_by_an_hour(story.lake());
    age_by_an_hour(story.lake());

    let output = output(&story);
    story.scan(&[]).await;
    story.compact(&[]).await;
    let found = expect_nothing_swept(&story, "a lost compaction").await;
    let is_named =
        |(path, what): &(&str, FindingKind)| *path == COMPACTION && *what == FindingKind::Missing;
    assert!(kinds(&found).iter().any(is_named), "{}", found.to_text());
    assert!(output.exists() && !compaction.exists());

    fs::write(&compaction, bytes).unwrap();
    let report = story.scan(&[]).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    assert_eq!(story.verify(Sweep::Never).await.findings, []);
    assert!(story.export().await == export);
}

/// The only copy of a lost compaction's rows is older than it: with the small files of its day in the place
/// of the merged ones the lake is whole again.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_from_before_a_compaction_brings_its_day_back() {
    for lost in ["object", "file"] {
        let story = scanned(None).await;
        let (older, whole) = (copy_of(story.lake(), DAY), story.export().await);
        assert_eq!(story.compact(&[]).await.head.exit_code, 0);
        let (compaction, output) = (story.lake().join(COMPACTION), output(&story));
        let gone = [(&compaction, "object"), (&output, "file")];
        let gone = gone.into_iter().find(|(_, name)| *name == lost).unwrap();
        fs::remove_file(gone.0).unwrap();
        assert_eq!(story.verify(Sweep::Never).await.exit_code(), 5, "{lost}");
        let exported = export(&story.store(), None, &mut Vec::new()).await;
        let error = exported.unwrap_err();
        let (said, is_loss) = (plain::chain(&error), lost == "object");
        assert_eq!(said.contains("compactions are missing"), is_loss, "{said}");
        let advice = error.advice().unwrap_or_default();
        let is_restore = advice.starts_with(mdca_lake::commit::RESTORE);
        assert_eq!(
            (error.kind().exit_code(), is_restore),
            (5, is_loss),
            "{said}"
        );

        put_back(&older);
        for moved in [&compaction, &output]
            .into_iter()
            .filter(|path| path.exists())
        {
            fs::remove_file(moved).unwrap();
        }
        fs::remove_dir_all(story.lake().join("_delta_log")).unwrap();
        let report = story.scan(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{lost}: {}", report.to_text());
        assert_eq!(story.verify(Sweep::Never).await.findings, [], "{lost}");
        assert!(story.export().await == whole, "{lost}");
        story.expect_exact().await;
        assert_eq!(story.compact(&[]).await.head.exit_code, 0, "{lost}");
        story.expect_exact().await;
    }
}

/// Inputs that were put back stay where the output is not whole.
#[tokio::test(flavor = "multi_thread")]
async fn inputs_that_come_back_stay_while_their_output_is_not_whole() {
    let story = scanned(None).await;
    let inputs = copy_of(story.lake(), DAY);
    assert_eq!(story.compact(&[]).await.head.exit_code, 0);
    let output = output(&story);
    let whole = fs::read(&output).unwrap();
    put_back(&inputs);
    let mut bytes = whole.clone();
    bytes[5_000] ^= 1;
    fs::write(&output, bytes).unwrap();
    let found = expect_nothing_swept(&story, "an output of other bytes").await;
    let taken = kinds(&found).into_iter();
    let taken = taken.filter(|(_, what)| *what == FindingKind::Taken);
    assert_eq!(taken.count(), inputs.len(), "{}", found.to_text());
    fs::write(&output, whole).unwrap();
    let swept = story.verify(Sweep::Unnamed).await;
    assert_eq!(swept.swept.len(), inputs.len(), "{}", swept.to_text());
    assert_eq!(story.verify(Sweep::Never).await.findings, []);
}

/// The output of a day is missing, and a file of an attempt that lost holds rows of it: it may be the only copy.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_no_commit_names_stays_while_the_output_of_its_day_is_missing() {
    let story = scanned(None).await;
    let (input, rows) = copy_of(story.lake(), DAY).pop_first().unwrap();
    assert_eq!(story.compact(&[]).await.head.exit_code, 0);
    let name = input.file_name().unwrap().to_str().unwrap();
    let attempt = name.split('-').nth(2).unwrap();
    let left = input.with_file_name(name.replace(attempt, "00000000000000bb"));
    fs::write(&left, rows).unwrap();
    let output = output(&story);
    let whole = fs::read(&output).unwrap();
    fs::remove_file(&output).unwrap();
    let found = expect_nothing_swept(&story, "a lost output").await;
    let unnamed = kinds(&found).into_iter();
    let unnamed = unnamed.filter(|(_, what)| *what == FindingKind::Unnamed);
    assert_eq!(unnamed.count(), 1, "{}", found.to_text());
    fs::write(&output, whole).unwrap();
    let swept = story.verify(Sweep::Unnamed).await;
    assert_eq!(swept.swept.len(), 1, "{}", swept.to_text());
    assert!(!left.exists());
    story.expect_exact().await;
}

/// A slice was lost and scanned again, then its older commit comes back without its files: those of the
/// second scan are the only whole ones.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_commit_that_comes_back_costs_no_file_of_the_newer_one() {
    let story = scanned(None).await;
    let commit = story.lake().join(format!("_mdca/commits/{SLICE}.json"));
    let older = fs::read(&commit).unwrap();
    let value = sealed::read(&commit);
    for file in value["files"].as_array().unwrap() {
        fs::remove_file(story.lake().join(file["path"].as_str().unwrap())).unwrap();
    }
    fs::remove_file(&commit).unwrap();
    let report = story.scan(&[]).await;
    assert_eq!(report.slices.committed, 1, "{}", report.to_text());
    let newer = fs::read(&commit).unwrap();
    fs::write(&commit, older).unwrap();
    let found = expect_nothing_swept(&story, "an older commit").await;
    let unnamed = kinds(&found).into_iter();
    let mut unnamed = unnamed.filter(|(_, what)| *what == FindingKind::Unnamed);
    assert!(unnamed.next().is_some(), "{}", found.to_text());
    fs::write(&commit, newer).unwrap();
    story.scan(&[]).await;
    story.expect_exact().await;
}

/// A slice was lost, scanned again and compacted, then its older commit comes back with its files: its
/// rows are there twice, and that is said.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_back_beside_their_compaction_are_named() {
    let story = scanned(None).await;
    let commit = story.lake().join(format!("_mdca/commits/{SLICE}.json"));
    let value = sealed::read(&commit);
    let mut older = BTreeMap::from([(commit.clone(), fs::read(&commit).unwrap())]);
    for file in value["files"].as_array().unwrap() {
        let path = story.lake().join(file["path"].as_str().unwrap());
        older.insert(path.clone(), fs::read(&path).unwrap());
    }
    for path in older.keys() {
        fs::remove_file(path).unwrap();
    }
    story.scan(&[]).await;
    story.compact(&[]).await;
    assert_eq!(story.verify(Sweep::Never).await.findings, []);
    put_back(&older);
    let found = story.verify(Sweep::Never).await;
    let is_named = |of: &(&str, FindingKind)| of.1 == FindingKind::Contradicts;
    assert!(kinds(&found).iter().any(is_named), "{}", found.to_text());

    // The commit alone is lost: its rows are in a compaction, and no file tells of it.
    let story = compacted().await;
    fs::remove_file(story.lake().join(format!("_mdca/commits/{SLICE}.json"))).unwrap();
    let found = story.verify(Sweep::Never).await;
    let path = format!("_mdca/commits/{SLICE}.json");
    let kinds = kinds(&found);
    assert!(kinds.contains(&(&path, FindingKind::Missing)), "{kinds:?}");
}

/// A second compaction of a day that takes what the first has taken, or did not leave so: rows would be there
/// twice, or too few, though every file is whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_takes_what_nobody_left_for_it_is_named() {
    let story = compacted().await;
    fs::remove_dir_all(story.lake().join("_delta_log")).unwrap();
    let first = sealed::read(&story.lake().join(COMPACTION));
    let left = first["outputs"].as_array().unwrap();
    assert_eq!(left.len(), 1);
    let mut second = first.clone();
    second["compaction"] = json!("2026-11-18-1");
    let path = left[0]["path"].as_str().unwrap().to_owned();
    let next = path.replace("/z-000000-", "/z-000001-");
    fs::copy(story.lake().join(&path), story.lake().join(&next)).unwrap();
    second["outputs"][0]["path"] = json!(next);
    let mut other_bytes = left[0].clone();
    other_bytes["checksum"] = first["inputs"][0]["checksum"].clone();
    let attempt = first["attempt"].as_str().unwrap();
    let mut of_another = left[0].clone();
    of_another["path"] = json!(path.replace(attempt, "00000000000000bb"));
    let own = "_mdca/compactions/2026-11-18-1.json";
    let twice = first["inputs"].as_array().unwrap().clone();
    for (inputs, count, said) in [
        (left.clone(), 0, ""),
        (twice.clone(), twice.len(), "as compaction 2026-11-18-0 has"),
        (vec![other_bytes], 1, "says other rows or bytes of it"),
        (
            vec![of_another],
            1,
            "which compaction 2026-11-18-0 did not leave",
        ),
    ] {
        second["inputs"] = json!(inputs);
        sealed::write(&story.lake().join(own), &second);
        let home = story.store();
        let found = verify(&home, Depth::Bytes, Sweep::Never, story.now_ms());
        let mut found = found.await.unwrap();
        found.findings.retain(|of| of.what != FindingKind::Taken);
        assert_eq!(found.findings.len(), count, "{said}: {}", found.to_text());
        for of in found.findings {
            assert_eq!((of.path.as_str(), of.what), (own, FindingKind::Contradicts));
            assert!(of.detail.contains(said), "{of:?}");
        }
    }
}

/// A file of a compaction that nothing names any more, because the number was used again, is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_compaction_whose_number_was_used_again_is_kept() {
    let story = compacted().await;
    let output = output(&story);
    let name = output.file_name().unwrap().to_str().unwrap().to_owned();
    let attempt = name.split('-').nth(2).unwrap().to_owned();
    let stray = output.with_file_name(name.replace(&attempt, "00000000000000bb"));
    fs::copy(&output, &stray).unwrap();
    let found = expect_nothing_swept(&story, "a number that was used again").await;
    let strays = kinds(&found).into_iter();
    let strays = strays.filter(|(_, what)| *what == FindingKind::Stray);
    assert_eq!(strays.count(), 1, "{}", found.to_text());
}

/// A folder in the place of an object hides it, and is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_the_name_of_an_object_is_named() {
    for object in [
        format!("_mdca/commits/{SLICE}.json"),
        COMPACTION.to_owned(),
        "_mdca/compactions/2026-11-18-1.json".to_owned(),
        format!("{DAY}/x.parquet"),
        "_delta_log/00000000000000000001.json".to_owned(),
    ] {
        let story = compacted().await;
        let path = story.lake().join(&object);
        if path.exists() {
            fs::remove_file(&path).unwrap();
        }
        fs::create_dir_all(&path).unwrap();
        let found = story.verify(Sweep::Unnamed).await;
        let mut findings = found.findings.iter();
        assert!(findings.any(|of| of.path == object), "{}", found.to_text());
    }
    let story = compacted().await;
    let log = story.lake().join("_delta_log");
    fs::remove_dir_all(&log).unwrap();
    fs::write(&log, "").unwrap();
    let found = story.verify(Sweep::Never).await;
    assert_eq!(kinds(&found), [("_delta_log", FindingKind::Table)]);
}

/// A marker is believed where its slice was too old when it was put, and it says something.
#[tokio::test(flavor = "multi_thread")]
async fn a_marker_at_a_recent_slice_hides_no_records() {
    let story = scanned(None).await;
    let commit = story.lake().join(format!("_mdca/commits/{SLICE}.json"));
    let value = sealed::read(&commit);
    for file in value["files"].as_array().unwrap() {
        fs::remove_file(story.lake().join(file["path"].as_str().unwrap())).unwrap();
    }
    fs::remove_file(&commit).unwrap();
    fs::remove_dir_all(story.lake().join("_delta_log")).unwrap();
    let marker = story.lake().join(format!("_mdca/unproven/{SLICE}.json"));
    fs::create_dir_all(marker.parent().unwrap()).unwrap();
    fs::write(&marker, "").unwrap();
    let found = verify(&story.store(), Depth::Bytes, Sweep::Never, story.now_ms()).await;
    assert_eq!(found.unwrap().exit_code(), 5);
    let report = story.scan(&[]).await;
    assert_eq!(report.slices.committed, 1, "{}", report.to_text());
    fs::remove_file(&marker).unwrap();
    story.expect_exact().await;
}

/// Moves the objects below `_mdca` away, but for the identity and the reports, or puts an older copy of
/// them in their place.
fn replace_own(story: &Story, older: &Contents) {
    for folder in ["commits", "compactions", "attempts", "changes"] {
        let folder = story.lake().join("_mdca").join(folder);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
    }
    put_back(older);
}

/// Commits and compactions were lost together, or an older copy of them was put back: what lies in the
/// files of lost compactions is not scanned a second time.
#[tokio::test(flavor = "multi_thread")]
async fn rows_in_the_files_of_lost_compactions_are_not_scanned_over() {
    for (has_older, has_table) in [(false, true), (false, false), (true, true), (true, false)] {
        let what = format!("an older copy: {has_older}, a table: {has_table}");
        let story = scanned(None).await;
        // As `_mdca` was when half of the slices were committed.
        let mut older = copy_of(story.lake(), "_mdca/commits");
        while older.len() > 3 || !has_older && !older.is_empty() {
            older.pop_last();
        }
        assert_eq!(story.compact(&[]).await.head.exit_code, 0, "{what}");
        let whole = copy_of(story.lake(), "_mdca");
        replace_own(&story, &older);
        if !has_table {
            fs::remove_dir_all(story.lake().join("_delta_log")).unwrap();
        }
        let report = story.scan(&[]).await;
        assert_ne!(report.head.exit_code, 0, "{what}: {}", report.to_text());
        assert_eq!(report.slices.committed, 0, "{what}: {}", report.to_text());
        assert_eq!(report.slices.failed, 6 - older.len() as u64, "{what}");
        let failure = &report.failures[0];
        assert!(failure.error.contains("z-000000-"), "{}", failure.error);
        assert_eq!(failure.advice, Some(mdca_lake::commit::RESTORE), "{what}");
        assert_same(&story.visible_ids().await, &story.expected_ids());

        put_back(&whole);
        let report = story.scan(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{what}: {}", report.to_text());
        story.expect_exact().await;
    }
}

/// Nothing but the files of lost compactions tells that a table made anew would lack their rows.
#[tokio::test(flavor = "multi_thread")]
async fn no_table_is_made_anew_without_the_rows_of_lost_compactions() {
    let story = compacted().await;
    let compactions = copy_of(story.lake(), "_mdca/compactions");
    for path in compactions.keys() {
        fs::remove_file(path).unwrap();
    }
    let log = story.lake().join("_delta_log");
    fs::remove_dir_all(&log).unwrap();
    for _ in 0..2 {
        let report = story.scan(&[]).await;
        assert_eq!(report.head.exit_code, 5, "{}", report.to_text());
        let failure = &report.failures[0];
        assert!(failure.error.contains("/z-000000-"), "{}", failure.error);
        assert_eq!(failure.advice, Some(mdca_lake::commit::RESTORE));
        assert_eq!(files_below(&log), Vec::<PathBuf>::new());
    }
    put_back(&compactions);
    assert_eq!(story.scan(&[]).await.head.exit_code, 0);
    story.expect_exact().await;
}

/// The same of converted files, whose slices nobody can tell beforehand: none is converted.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_converted_where_a_compaction_was_lost() {
    let story = compacted().await;
    let identity = story.lake().join("_mdca/lake.json");
    let mut value = sealed::read(&identity);
    value["source"] = json!("convert");
    sealed::write(&identity, &value);
    let orphans = || async { find_orphans(&story.store(), None, |_| true).await };
    assert!(orphans().await.unwrap().is_empty());
    fs::remove_file(story.lake().join(COMPACTION)).unwrap();
    let error = orphans().await.unwrap_err();
    assert!(plain::chain(&error).contains("z-000000-"), "{error:?}");
    assert!(
        error
            .advice()
            .unwrap()
            .contains("add to _mdca what it lacks")
    );
}

/// A lost compaction costs the table that day: what it has of it stays, and everything else goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_compaction_costs_the_table_its_day_and_no_other() {
    let story = compacted().await;
    let compaction = story.lake().join(COMPACTION);
    let before = files(&story.store()).await;
    fs::remove_file(&compaction).unwrap();
    let clock = Arc::new(SystemClock::new());
    let table = Table::new(story.store(), clock, "next".to_owned());
    for hour in 0..2 {
        let added = commit(&story, hour);
        let refreshed = table.refresh().await.unwrap();
        let [left_out] = &refreshed.left_out[..] else {
            panic!("{:?}", refreshed.left_out);
        };
        let said = plain::chain(left_out);
        assert!(
            said.contains(COMPACTION) && said.contains("z-000000-"),
            "{said}"
        );
        assert_eq!(left_out.advice(), Some(mdca_lake::commit::RESTORE));
        let mut now = files(&story.store()).await;
        assert!(now.remove(&added).is_some());
        assert!(before.keys().all(|path| now.contains_key(path)));
        let again = table.refresh().await.unwrap();
        assert_eq!(
            again.version, refreshed.version,
            "a version that says nothing"
        );
    }
    assert_eq!(story.status().await.table.unwrap().missing, 1);
    let found = story.verify(Sweep::Never).await;
    let is_named = |of: &(&str, FindingKind)| *of == (COMPACTION, FindingKind::Missing);
    assert!(kinds(&found).iter().any(is_named), "{}", found.to_text());

    // Where its file is gone as well, there is nothing to keep.
    let output = output(&story);
    fs::rename(&output, output.with_extension("away")).unwrap();
    commit(&story, 2);
    let said = plain::chain(&table.refresh().await.unwrap_err());
    assert!(
        said.contains("neither that file nor its compaction"),
        "{said}"
    );
}

/// `_mdca`, the table and the small files are those from before a compaction, and its file is still there: no
/// other compaction takes its number, so that it can be restored.
#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_a_lost_compaction_is_not_taken_while_its_file_is_there() {
    let story = scanned(None).await;
    let older: Vec<Contents> = ["activities", "_delta_log"]
        .map(|folder| copy_of(story.lake(), folder))
        .into();
    assert_eq!(story.compact(&[]).await.head.exit_code, 0);
    let newer = ["_mdca/compactions", "_mdca/changes"];
    let newer = newer.map(|folder| copy_of(story.lake(), folder));
    for path in newer.iter().flat_map(BTreeMap::keys) {
        fs::remove_file(path).unwrap();
    }
    fs::remove_dir_all(story.lake().join("_delta_log")).unwrap();
    older.iter().for_each(put_back);
    let output = output(&story);
    for flags in [&["--dry-run"] as &[&str], &[]] {
        let report = story.compact(flags).await;
        let text = report.to_text();
        assert_eq!(report.head.exit_code, 5, "{text}");
        assert_eq!(report.days.compacted, 0, "{text}");
        assert!(text.contains("z-000000-"), "{text}");
        assert!(text.contains(mdca_lake::commit::RESTORE), "{text}");
    }
    assert!(output.exists() && !story.lake().join(COMPACTION).exists());
    newer.iter().for_each(put_back);
    assert_eq!(story.scan(&[]).await.head.exit_code, 0);
    assert!(!story.verify(Sweep::Unnamed).await.swept.is_empty());
    expect_live(&story.store(), "restored").await;
    story.expect_exact().await;
}

fn set_time(path: &Path, time: &str) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let since = Duration::from_millis(at(time).unsigned_abs());
    file.set_modified(SystemTime::UNIX_EPOCH + since).unwrap();
}

/// The times of a copy say nothing of what a compaction has taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_slice_is_not_scanned_over_in_a_copy_with_times_of_long_ago() {
    let story = compacted().await;
    for folder in ["_mdca/compactions", "activities"] {
        for path in files_below(&story.lake().join(folder)) {
            set_time(&path, "1970-01-02");
        }
    }
    fs::remove_file(story.lake().join(format!("_mdca/commits/{SLICE}.json"))).unwrap();
    for is_lost in [false, true] {
        if is_lost {
            fs::remove_file(story.lake().join(COMPACTION)).unwrap();
        }
        let from_ms = Some(at("2026-11-18"));
        let orphans = find_orphans(&story.store(), from_ms, |_| true).await;
        assert!(orphans.unwrap().contains_key(SLICE), "{is_lost}");
        let report = story.scan(&[]).await;
        assert_eq!(report.head.exit_code, 5, "{}", report.to_text());
        assert_eq!(report.slices.committed, 0, "{}", report.to_text());
    }
}

/// A compaction that is lost stops no slice that ended an hour after its file was made.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_compaction_stops_no_slice_that_ended_later() {
    let story = compacted().await;
    for path in files_below(&story.lake().join("activities")) {
        set_time(&path, "2026-11-19");
    }
    let orphans = || async {
        find_orphans(&story.store(), Some(0), |_| true)
            .await
            .unwrap()
    };
    fs::remove_file(story.lake().join(COMPACTION)).unwrap();
    let mut stopped = orphans().await.into_keys();
    let last = stopped.next_back();
    assert_eq!(last.as_deref(), Some("20261119T0000Z-20261119T0100Z"));
}

/// That the lake has compactions is said by a change, without which an older program would take what they
/// have taken for lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_change_that_tells_of_compactions_is_named() {
    let story = compacted().await;
    let change = "_mdca/changes/0.json";
    fs::remove_file(story.lake().join(change)).unwrap();
    let found = story.verify(Sweep::Never).await;
    assert_eq!(kinds(&found), [(change, FindingKind::Missing)]);
}

/// The commit of a slice is lost, some of whose rows are in a compaction and some in a file of its own: no run
/// makes them anew, so nobody is told to move that file away.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_slice_beside_a_compaction_is_kept() {
    let story = compacted().await;
    fs::remove_file(story.lake().join(format!("_mdca/commits/{SLICE}.json"))).unwrap();
    let day = story.lake().join("activities/event_date=2026-11-19");
    fs::create_dir_all(&day).unwrap();
    let of_slice = day.join(format!("{SLICE}-0123456789abcdef-0.parquet"));
    fs::copy(output(&story), of_slice).unwrap();
    let found = story.verify(Sweep::Never).await;
    let strays: Vec<_> = found
        .findings
        .iter()
        .filter(|of| of.what == FindingKind::Stray)
        .collect();
    assert!(!strays.is_empty(), "{}", found.to_text());
    for stray in strays {
        assert!(stray.path.contains(SLICE), "{stray:?}");
        assert!(stray.remedy.contains("until then keep it"), "{stray:?}");
    }
}

/// A compaction that is recorded while `verify` is at work is no damage of the table, which comes after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_is_recorded_meanwhile_is_no_finding() {
    let story = scanned(None).await;
    let table = copy_of(story.lake(), "_delta_log");
    let inputs = copy_of(story.lake(), "activities");
    assert_eq!(story.compact(&[]).await.head.exit_code, 0);
    fs::remove_dir_all(story.lake().join("_delta_log")).unwrap();
    put_back(&table);
    put_back(&inputs);
    let recorded = copy_of(story.lake(), "_mdca/compactions");
    for at in 0.. {
        for path in recorded.keys() {
            fs::remove_file(path).unwrap();
        }
        let (gate, calls) = putting_back(recorded.clone(), at);
        let watched = story.guarded(&gate);
        let found = verify(&watched, Depth::Bytes, Sweep::Never, story.now_ms());
        let found = found.await.unwrap();
        let of_table = found
            .findings
            .iter()
            .find(|of| of.what == FindingKind::Table);
        assert!(of_table.is_none(), "recorded at call {at}: {of_table:?}");
        if calls.load(Ordering::Relaxed) <= at {
            assert!(at > 20, "{at}");
            break;
        }
    }
}

/// A gate that puts objects back at one call, with the number of calls.
fn putting_back(objects: Contents, at: usize) -> (Arc<Gate>, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let gate = Gate::new(move |_| {
        if counted.fetch_add(1, Ordering::Relaxed) == at {
            put_back(&objects);
        }
        Fate::Pass
    });
    (gate, calls)
}

/// A compaction that is recorded while the table takes in what is new is part of it, or comes after it: no
/// version lacks rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_is_recorded_meanwhile_costs_the_table_no_row() {
    let story = scanned(None).await;
    let table = |store| Table::new(store, Arc::new(SystemClock::new()), "a run".to_owned());
    let mut first = copy_of(story.lake(), "_mdca/commits");
    let rest = first.split_off(&first.keys().nth(3).unwrap().clone());
    for path in rest.keys() {
        fs::remove_file(path).unwrap();
    }
    fs::remove_dir_all(story.lake().join("_delta_log")).unwrap();
    table(story.store()).refresh().await.unwrap();
    let older = copy_of(story.lake(), "_delta_log");
    put_back(&rest);
    let inputs = copy_of(story.lake(), "activities");
    let (live, _) = live_files(&story.store()).await.unwrap();
    let rows: u64 = live.iter().map(|file| file.rows).sum();
    assert_eq!(story.compact(&[]).await.head.exit_code, 0);
    put_back(&inputs);
    let recorded = copy_of(story.lake(), "_mdca/compactions");
    for at in 0.. {
        fs::remove_dir_all(story.lake().join("_delta_log")).unwrap();
        put_back(&older);
        for path in recorded.keys() {
            fs::remove_file(path).unwrap();
        }
        let (gate, calls) = putting_back(recorded.clone(), at);
        table(story.guarded(&gate)).refresh().await.unwrap();
        let in_table: u64 = files(&story.store()).await.values().sum();
        assert_eq!(in_table, rows, "recorded at call {at}");
        if calls.load(Ordering::Relaxed) <= at {
            assert!(at > 5, "{at}");
            break;
        }
    }
}

/// A number of six digits in a name costs its day, and not a million look-ups.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_with_a_high_number_costs_few_calls() {
    let story = compacted().await;
    let far = "_mdca/compactions/2026-11-18-999999.json";
    fs::write(story.lake().join(far), "").unwrap();
    let gate = Gate::new(|_| Fate::Pass);
    let (files, left_out) = live_files(&story.guarded(&gate)).await.unwrap();
    assert!(files.iter().all(|file| !file.path.starts_with(DAY)));
    assert!(gate.calls().len() < 100, "{}", gate.calls().len());
    let said: Vec<String> = left_out.iter().map(ToString::to_string).collect();
    let gap = "cannot read _mdca/compactions/2026-11-18-1.json";
    assert_eq!(said, [format!("cannot read {far}"), gap.to_owned()]);
}

/// A file that may not be read costs only itself: what is wrong beside it is named, and it is not called damaged.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_hides_nothing_that_is_wrong_beside_it() {
    let (story, _) = Scenario::hours(6).activities(200).run().await;
    let files = files_below(&story.lake().join("activities"));
    let name_of = |file: &PathBuf| {
        let name = file.strip_prefix(story.lake()).unwrap();
        name.to_str().unwrap().to_owned()
    };
    let [denied, lost, ..] = &files[..] else {
        panic!("{files:?}")
    };
    let (denied, lost_name) = (name_of(denied), name_of(lost));
    let bytes = fs::read(lost).unwrap();
    for (is_lost, code) in [(false, 6), (true, 5)] {
        if is_lost {
            fs::remove_file(lost).unwrap();
        }
        for depth in [Depth::Bytes, Depth::Rows] {
            let path = denied.clone();
            let gate = Gate::new(move |call| {
                if call.path == path && call.verb == "get" {
                    Fate::Deny
                } else {
                    Fate::Pass
                }
            });
            let lake = story.guarded(&gate);
            let done = verify(&lake, depth, Sweep::Unnamed, story.now_ms());
            let done = done.await.unwrap();
            let found = done.findings.iter().map(|of| (of.what, of.path.as_str()));
            let mut due = vec![(FindingKind::Unread, denied.as_str())];
            if is_lost {
                due.push((FindingKind::Missing, lost_name.as_str()));
            }
            let mut found: Vec<_> = found.collect();
            found.sort_by_key(|(_, path)| *path != denied);
            assert_eq!(found, due);
            assert_eq!(done.exit_code(), code, "{}", done.to_text());
            assert!(
                done.findings[0].remedy.contains("allow"),
                "{}",
                done.to_text()
            );
        }
    }
    fs::write(lost, bytes).unwrap();
    story.expect_clean().await;
}
