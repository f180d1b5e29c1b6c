//! The real program compacts: killed at its calls on the disk, on a disk that fills up, in little memory,
//! and beside itself.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mdca_sim::SimOptions;

use crate::support::process::{BadDisk, Lake, PROGRAM, Place, calls_in, every, shim};
use crate::support::scenario::{age_by_an_hour, assert_same, files_below};

const ENOSPC: u32 = 28;

/// A lake that was scanned, to be copied.
fn scanned(place: &Place) -> Lake<'_> {
    let lake = place.lake();
    let ended = place.run(&mut lake.scan());
    assert_eq!(ended.code(), Some(0), "{ended}");
    lake
}

fn copy<'p>(place: &'p Place, lake: &Lake<'_>) -> Lake<'p> {
    let copy = place.fresh("copy");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(lake.path())
        .arg(&copy)
        .status();
    assert!(copied.unwrap().success());
    place.lake_at(copy)
}

fn compact(lake: &Lake<'_>) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(["compact", "--report", "json", "--lake"])
        .arg(lake.path());
    command
}

/// Every row is there once for who goes by the commits, and a while later for everybody.
fn expect_whole(place: &Place, lake: &Lake<'_>, what: &str) {
    assert_same(&lake.exported_ids(), &place.expected_ids());
    age_by_an_hour(lake.path());
    for _ in 0..2 {
        let ended = place.run(&mut lake.scan());
        assert_eq!(ended.code(), Some(0), "{what}: {ended}");
        let ended = place.run(&mut compact(lake));
        assert_eq!(ended.code(), Some(0), "{what}: {ended}");
        assert_eq!(ended.report()["not_cleared"], 0, "{what}: {ended}");
        age_by_an_hour(lake.path());
    }
    for day in std::fs::read_dir(lake.path().join("activities")).unwrap() {
        let files = files_below(&day.unwrap().path());
        assert_eq!(files.len(), 1, "{what}: {files:?}");
    }
    assert_same(&lake.exported_ids(), &place.expected_ids());
    lake.expect_exact(what);
}

#[test]
fn killed_before_a_call_on_the_disk_a_compaction_loses_and_doubles_nothing() {
    if shim().is_none() {
        return;
    }
    let place = Place::small();
    let whole = scanned(&place);
    let mut killed = 0;
    for at in every(8, 1..) {
        let lake = copy(&place, &whole);
        let log = place.fresh("calls");
        let deadly = BadDisk {
            calls: "create,write,fsync,rename,link,unlink,mkdir",
            at,
            what: "kill",
            log: Some(&log),
            ..BadDisk::default()
        };
        let mut command = compact(&lake);
        deadly.put_below(&mut command, lake.path());
        let dead = place.run(&mut command);
        if dead.code() == Some(0) {
            expect_whole(&place, &lake, "undisturbed");
            break;
        }
        assert_eq!(dead.status.signal(), Some(9), "{dead}");
        killed += 1;
        let what = format!("killed before {:?}", calls_in(&log).last());
        expect_whole(&place, &lake, &what);
        std::fs::remove_dir_all(lake.path()).unwrap();
    }
    println!("killed before {killed} calls");
    assert!(killed > 5, "{killed}");
}

/// From some call on the disk takes nothing more: the day is as it was, and the next run compacts it.
#[test]
fn a_disk_that_fills_up_leaves_the_lake_as_it_was() {
    if shim().is_none() {
        return;
    }
    let place = Place::small();
    let whole = scanned(&place);
    for at in [1, 2, 3, 5, 8, 13, 21, 34] {
        let lake = copy(&place, &whole);
        let full = BadDisk {
            calls: "create,write,mkdir",
            at,
            onwards: true,
            what: &format!("fail {ENOSPC}"),
            ..BadDisk::default()
        };
        let mut command = compact(&lake);
        full.put_below(&mut command, lake.path());
        let ended = place.run(&mut command);
        assert!(matches!(ended.code(), Some(0 | 6)), "{at}: {ended}");
        if ended.code() == Some(6) {
            assert!(ended.stdout.contains("space"), "{at}: {ended}");
        }
        expect_whole(&place, &lake, &format!("full from call {at} on"));
    }
}

const MIB: u64 = 1024 * 1024;

/// Beside `--memory-limit`: the program itself, and a row group that is being unpacked.
const BESIDE_LIMIT: u64 = 64 * MIB;

/// The peak of a compaction of a lake, with a limit.
fn peak_of(place: &Place, whole: &Lake<'_>, limit_mib: u64) -> u64 {
    let lake = copy(place, whole);
    let mut command = compact(&lake);
    let ended = place.run(command.args(["--memory-limit", &format!("{limit_mib}MiB")]));
    assert_eq!(ended.code(), Some(0), "{ended}");
    let report = ended.report();
    assert!(report["days"]["compacted"].as_u64().unwrap() > 0);
    lake.expect_exact("compacted");
    std::fs::remove_dir_all(lake.path()).unwrap();
    let peak = report["peak_memory_bytes"].as_u64().unwrap();
    println!("{} MiB of {limit_mib} and what is beside", peak / MIB);
    peak
}

fn day_of(rows: u64) -> Place {
    Place::new("2026-10-01", "2026-10-02", rows, SimOptions::default())
}

/// What a compaction takes does not grow with the day, and stays within the limit, whatever it is: rows that do
/// not fit wait on the disk.
#[test]
fn a_day_of_four_times_the_rows_takes_little_more_memory() {
    let (few, many) = (day_of(1_500), day_of(6_000));
    let lake = scanned(&many);
    let less = peak_of(&few, &scanned(&few), 32);
    for limit_mib in [32, 64] {
        let more = peak_of(&many, &lake, limit_mib);
        assert!(more <= limit_mib * MIB + BESIDE_LIMIT, "{} MiB", more / MIB);
        if limit_mib == 32 {
            assert!(more < less + 24 * MIB, "{less} to {more}");
        }
    }
}

/// Processes at once: one wins each compaction, and scans go on beside them.
#[test]
fn of_three_processes_at_once_one_compacts_each_day() {
    let place = Place::small();
    let whole = scanned(&place);
    for round in 0..5 {
        let lake = copy(&place, &whole);
        let mut runs: Vec<_> = (0..3).map(|_| compact(&lake)).collect();
        runs.push(lake.scan());
        let children: Vec<_> = runs
            .iter_mut()
            .map(|run| run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn())
            .collect();
        for child in children {
            let output = child.unwrap().wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(output.status.code(), Some(0), "{round}: {text}");
        }
        expect_whole(&place, &lake, &format!("round {round}"));
    }
}

fn reports(lake: &Lake<'_>) -> Vec<PathBuf> {
    files_below(&lake.path().join("_mdca/runs"))
}

/// Makes the reports of a lake older, by the time of their files, which is later than what their names then say.
fn age_reports(lake: &Lake<'_>, days: u64) -> Vec<PathBuf> {
    let age = |report: PathBuf| {
        let file = File::options().write(true).open(&report).unwrap();
        let made = file.metadata().unwrap().modified().unwrap();
        file.set_modified(made - Duration::from_secs(days * 24 * 60 * 60))
            .unwrap();
        let name = report.file_name().unwrap().to_str().unwrap();
        let (_, rest) = name.split_once('-').unwrap();
        let aged = report.with_file_name(format!("20200101T000000Z-{rest}"));
        std::fs::rename(&report, &aged).unwrap();
        aged
    };
    reports(lake).into_iter().map(age).collect()
}

/// Reports that are older than `--keep-reports` go, by the time of the newest one that another run left: while
/// no run has come since, and however wrong the own clock is, all stay. Where the disk takes no removal that is
/// said, and the next run makes up for it.
#[test]
fn reports_of_long_ago_are_removed_and_no_wrong_clock_removes_others() {
    let place = Place::small();
    let lake = scanned(&place);
    let removed = |command: &mut Command| {
        let ended = place.run(command);
        assert_eq!(ended.code(), Some(0), "{ended}");
        ended.report()["reports_removed"].as_u64().unwrap()
    };
    let old = age_reports(&lake, 401);
    assert_eq!(old.len(), 1);
    assert_eq!(removed(&mut compact(&lake)), 0, "no run has come since");
    assert_eq!(removed(compact(&lake).arg("--dry-run")), 1, "one has now");
    assert_eq!(removed(compact(&lake).args(["--keep-reports", "402d"])), 0);
    assert!(old[0].exists());

    if shim().is_some() {
        let log = place.fresh("calls");
        let stubborn = BadDisk {
            calls: "unlink",
            at: 1,
            onwards: true,
            what: "fail 1",
            log: Some(&log),
            ..BadDisk::default()
        };
        let mut command = compact(&lake);
        stubborn.put_below(&mut command, lake.path());
        let ended = place.run(&mut command);
        assert_eq!(ended.code(), Some(0), "{ended}");
        let notes = ended.report()["notes"].to_string();
        assert!(
            notes.contains("could not remove 1 of 1 old reports"),
            "{notes}"
        );
        assert!(old[0].exists());
    }
    assert_eq!(removed(&mut compact(&lake)), 1);
    assert!(!old[0].exists());
    let left = reports(&lake).len();
    assert_eq!(removed(&mut compact(&lake)), 0);
    assert_eq!(reports(&lake).len(), left + 1);
    lake.expect_exact("its old reports removed");
}

/// Asked to stop, it stops, and the day is as it was.
#[test]
fn flags_that_help_nobody_are_refused_and_a_place_without_a_lake_too() {
    let place = Place::small();
    let lake = scanned(&place);
    for (flags, code, said) in [
        (["--max-file-bytes", "1KiB"], 2, "1 MiB or more"),
        (["--memory-limit", "1MiB"], 2, "32 MiB or more"),
        (["--before", "yesterday"], 2, "--before"),
        (["--keep-reports", "29d"], 2, "at least 30days"),
    ] {
        let ended = place.run(compact(&lake).args(flags));
        assert_eq!(ended.code(), Some(code), "{ended}");
        assert!(ended.stderr.contains(said), "{ended}");
    }
    let nowhere = place.fresh("nowhere");
    let ended = place.run(
        Command::new(PROGRAM)
            .args(["compact", "--lake"])
            .arg(&nowhere),
    );
    assert_eq!(ended.code(), Some(2), "{ended}");
    assert!(!nowhere.exists());
    let empty = place.fresh("empty");
    std::fs::create_dir(&empty).unwrap();
    let ended = place.run(
        Command::new(PROGRAM)
            .args(["compact", "--lake"])
            .arg(&empty),
    );
    assert_eq!(ended.code(), Some(2), "{ended}");
    assert!(is_empty(&empty), "nothing was made");
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}
