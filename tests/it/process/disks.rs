//! Disks that are full, broken, read-only or forbidden, under the real program: exit code 6, a
//! message that names the place and the remedy, committed slices whole, and the next run goes on.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mdca_sim::SimOptions;

use crate::support::mount::Mount;
use crate::support::process::{
    BadDisk, Ended, Lake, PROGRAM, Place, calls_in, gap, often, random, shim,
};
use crate::support::scenario::{assert_same, files_below};

const ENOENT: u32 = 2;
const EIO: u32 = 5;
const EXDEV: u32 = 18;
const EMFILE: u32 = 24;
const ENOSPC: u32 = 28;

/// What may happen to one kind of call, and what the system would say.
const TROUBLES: [(&str, &str, u32); 12] = [
    ("create", "fail", ENOSPC),
    ("create", "fail", EMFILE),
    ("open", "fail", EIO),
    ("read", "fail", EIO),
    ("write", "fail", ENOSPC),
    ("fsync", "fail", EIO),
    ("fsync", "late", EIO),
    ("rename", "fail", EXDEV),
    ("rename", "late", EIO),
    ("link", "late", EIO),
    ("unlink", "fail", EIO),
    ("mkdir", "fail", ENOSPC),
];

/// Of each trouble at most so many positions are tried in one run of the test; the seed says which.
const POSITIONS: usize = 12;

/// The run failed as a run fails whose store fails.
fn expect_storage(lake: &Lake<'_>, ended: &Ended, what: &str) {
    assert_eq!(ended.code(), Some(6), "{what}: {ended}");
    let root = lake.path().display().to_string();
    if ended.stdout.is_empty() {
        // Not even the lake's folder could be made or opened.
        assert!(ended.stderr.contains(&root), "{what}: {ended}");
        return;
    }
    let report = ended.report();
    let failures = report["failures"].as_array().unwrap();
    let told = failures.iter().any(|failure| {
        failure["kind"] == "storage"
            && failure["error"].as_str().unwrap().contains(&root)
            && failure["advice"].is_string()
    });
    assert!(
        told,
        "{what}: no failure names the place and a remedy: {ended}"
    );
}

/// A run meets an error at one call on the disk; everything else works.
#[test]
fn a_call_that_fails_is_said_and_the_next_run_completes_the_lake() {
    if shim().is_none() {
        return;
    }
    let mut random = random();
    let place = Place::small();
    let (mut tried, mut survived) = (0, 0);
    for (calls, how, error) in TROUBLES {
        let log = place.fresh("calls");
        let counting = BadDisk {
            calls,
            log: Some(&log),
            ..BadDisk::default()
        };
        let lake = place.lake();
        let ended = place.run(&mut lake.scan_on(&counting));
        assert_eq!(ended.code(), Some(0), "{ended}");
        let mut positions: Vec<usize> = (1..=calls_in(&log).len()).collect();
        random.shuffle(&mut positions);
        positions.truncate(often(POSITIONS));
        for at in positions {
            let lake = place.lake();
            let log = place.fresh("calls");
            let action = format!("{how} {error}");
            let broken = BadDisk {
                calls,
                at,
                what: &action,
                log: Some(&log),
                ..BadDisk::default()
            };
            let ended = place.run(&mut lake.scan_on(&broken));
            let met = calls_in(&log).into_iter().nth(at - 1);
            let what = format!("{action} at {calls} {at}, {met:?}");
            tried += 1;
            if ended.code() == Some(0) {
                // What can be repaired at once is.
                println!("went on after {what}");
                survived += 1;
            } else {
                expect_storage(&lake, &ended, &what);
            }
            lake.expect_recovered(&what);
        }
    }
    println!("{tried} calls failed; {survived} runs went on all the same");
}

/// Disks of other kinds: no hard links, no rename that replaces nothing, no way to sync a folder.
#[test]
fn a_disk_that_knows_less_holds_a_lake_as_well() {
    if shim().is_none() {
        return;
    }
    let place = Place::small();
    for lacks in [
        "link",
        "link,foldersync",
        "link,renameat2",
        "link,renameat2,foldersync",
    ] {
        let lake = place.lake();
        let poor = BadDisk {
            lacks,
            ..BadDisk::default()
        };
        let ended = place.run(&mut lake.scan_on(&poor));
        assert_eq!(ended.code(), Some(0), "{lacks}: {ended}");
        let said = ended.stderr.matches("cannot sync a folder").count();
        assert_eq!(
            said,
            usize::from(lacks.contains("sync")),
            "{lacks}: {ended}"
        );
        lake.expect_exact(lacks);
        // What exists is not created again there: the next run looks for that, and a commit that is
        // there wins.
        let ended = place.run(&mut lake.scan_on(&poor));
        assert_eq!(ended.code(), Some(0), "{lacks}: {ended}");
        lake.expect_exact(lacks);
    }
}

#[test]
fn a_disk_that_can_create_nothing_only_once_is_refused_with_the_reason() {
    if shim().is_none() {
        return;
    }
    let place = Place::small();
    let poor = BadDisk {
        lacks: "link,renameat2,claim",
        ..BadDisk::default()
    };
    let lake = place.lake();
    let ended = place.run(&mut lake.scan_on(&poor));
    expect_storage(&lake, &ended, "nothing is created only once");
    let said = ended.text();
    for words in [
        "this disk does not support create-only writes",
        "hard links (",
        "a rename that replaces nothing (",
        "--single-writer",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(lake.commits(), 0);
    // Whoever writes alone needs no such thing.
    let ended = place.run(lake.scan_on(&poor).arg("--single-writer"));
    assert_eq!(ended.code(), Some(0), "{ended}");
    lake.expect_exact("written by one alone");
}

/// From some call on nothing works any more, as on a disk that is full or gone.
#[test]
fn a_disk_that_fails_for_good_ends_the_run_in_time() {
    if shim().is_none() {
        return;
    }
    let mut random = random();
    let place = Place::small();
    let mut tried = 0;
    for (calls, error) in [
        ("create,write,mkdir", ENOSPC),
        ("create,write,mkdir,fsync,rename,link,unlink", EIO),
        ("create,open,read,write,mkdir,fsync,rename,link,unlink", EIO),
        ("rename", EXDEV),
        ("create,open", EMFILE),
    ] {
        let action = format!("fail {error}");
        let mut at = 1 + random.usize(0..4);
        loop {
            let lake = place.lake();
            let log = place.fresh("calls");
            let broken = BadDisk {
                calls,
                at,
                onwards: true,
                what: &action,
                log: Some(&log),
                ..BadDisk::default()
            };
            let ended = place.run(&mut lake.scan_on(&broken));
            let met = calls_in(&log).into_iter().nth(at - 1);
            let Some(met) = met else {
                assert_eq!(ended.code(), Some(0), "{ended}");
                break;
            };
            let what = format!("{action} from {calls} {at} on, {met:?}");
            tried += 1;
            if ended.code() != Some(0) {
                expect_storage(&lake, &ended, &what);
            }
            assert!(ended.elapsed.as_secs() < 60, "{what}: {ended}");
            lake.expect_recovered(&what);
            at += 1 + random.usize(0..if calls == "rename" { 1 } else { 24 });
        }
    }
    println!("{tried} times a disk failed for good");
}

/// Bytes run out, then file names do, at many sizes; with more of them the next run goes on.
#[test]
fn a_full_file_system_is_said_and_leaves_whole_slices() {
    let place = Place::new(
        "2026-10-01",
        "2026-10-01T08:00:00Z",
        600,
        SimOptions::default(),
    );
    let (mut full, mut enough) = (0, 0);
    for options in ["size=64k", "size=200k", "size=500k", "size=900k"]
        .into_iter()
        .chain([
            "nr_inodes=2",
            "nr_inodes=6",
            "nr_inodes=14",
            "nr_inodes=25",
            "nr_inodes=40",
        ])
    {
        let Some(mount) = Mount::new(place.fresh("mount"), options) else {
            return;
        };
        let lake = place.lake_at(mount.path().join("lake"));
        let ended = place.run(&mut lake.scan());
        if ended.code() == Some(0) {
            enough += 1;
        } else {
            full += 1;
            assert_eq!(ended.code(), Some(6), "{options}: {ended}");
            let said = ended.text();
            assert!(
                said.contains("No space left on device") && said.contains("free some space"),
                "{options}: {said}"
            );
        }
        if lake.commits() > 0 {
            let verified = lake.verify();
            let findings = verified.report()["findings"].clone();
            // Files that wait to be adopted, or swept, with their attempt.
            let waiting = verified.report()["attempts"].as_u64().unwrap() > 0;
            assert!(
                findings == serde_json::json!([]) || waiting,
                "{options}: {verified}"
            );
        }
        mount.remount("size=64m,nr_inodes=4096");
        lake.expect_recovered(options);
    }
    println!("{full} file systems were full, {enough} large enough");
    assert!(full > 4, "{full}");
}

/// An input that comes through a pipe is kept in a temporary file, because every input is read twice.
#[test]
fn an_input_from_a_pipe_that_finds_no_room_is_said_with_the_folder() {
    let place = Place::small();
    let lake = place.lake_at(place.fresh("lake"));
    let input = place.fresh("input.ndjson");
    let record = r#"{"_id":"a","timestamp":1790000000000,"created":1790000000000}"#;
    std::fs::write(&input, format!("{record}\n").repeat(5_000)).unwrap();
    let convert = || {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$@\" < \"$0\""]).arg(&input);
        shell.args([PROGRAM, "convert", "-", "--lake"]);
        shell.arg(lake.path());
        shell
    };
    for options in ["size=64k", "nr_inodes=1", "ro"] {
        let Some(mount) = Mount::new(place.fresh("mount"), options) else {
            return;
        };
        let ended = place.run(convert().env("TMPDIR", mount.path()));
        assert_eq!(ended.code(), Some(6), "{options}: {ended}");
        let folder = mount.path().display().to_string();
        for said in [&folder, "set TMPDIR"] {
            assert!(ended.text().contains(said), "{options}: {ended}");
        }
        assert_eq!(lake.commits(), 0, "{options}");
    }
    let ended = place.run(&mut convert());
    assert_eq!(ended.code(), Some(0), "{ended}");
}

/// A lake that may only be read is read; `scan` says what it needs.
#[test]
fn a_read_only_lake_can_be_read_and_a_scan_says_why_it_cannot_go_on() {
    let place = Place::small();
    let Some(mount) = Mount::new(place.fresh("mount"), "size=16m") else {
        return;
    };
    let lake = place.lake_at(mount.path().join("lake"));
    let ended = place.run(&mut lake.scan_until("2026-10-02T00:00:00Z"));
    assert_eq!(ended.code(), Some(0), "{ended}");
    mount.remount("ro");
    for command in ["status", "verify", "export"] {
        let ended = place.run(&mut lake.command(command));
        assert_eq!(ended.code(), Some(0), "{command}: {ended}");
    }
    let mut compact = lake.command("compact");
    compact.args(["--report", "json"]);
    for mut writes in [lake.scan(), compact] {
        let ended = place.run(&mut writes);
        expect_storage(&lake, &ended, "read-only");
        assert!(ended.text().contains("mount it writable"), "{ended}");
        assert!(ended.text().contains("Read-only file system"), "{ended}");
        let failures = &ended.report()["failures"];
        assert_eq!(failures.as_array().unwrap().len(), 1, "{ended}");
    }
    mount.remount("rw");
    lake.expect_recovered("writable again");

    mount.remount("ro");
    let none = place.lake_at(mount.path().join("not-there-yet"));
    let ended = place.run(&mut none.scan());
    assert_eq!(ended.code(), Some(6), "{ended}");
    assert!(ended.text().contains("mount it writable"), "{ended}");
    // Everything is committed: there is nothing to do but to say so, which needs no writing either.
    let ended = place.run(lake.scan().arg("--dry-run"));
    assert_eq!(ended.code(), Some(0), "{ended}");
}

/// Another user than the lake's, where this one may become another; else this one, for whom
/// permissions hold.
struct Stranger {
    program: PathBuf,
    becomes: bool,
}

impl Stranger {
    fn new(place: &Place) -> Option<Self> {
        let becomes = Command::new("id")
            .arg("-u")
            .output()
            .is_ok_and(|output| output.stdout == b"0\n");
        if becomes {
            let may = nobody("true").status();
            if !may.as_ref().is_ok_and(std::process::ExitStatus::success) {
                gap(&format!("no way to become another user: {may:?}"));
                return None;
            }
        }
        // Where it is built, others may not look. Not copied by this process: what another test starts meanwhile would
        // hold the new file open, and a file that is open for writing cannot be run.
        let program = place.room().join("mdca-lake");
        let mut copy = Command::new("cp");
        assert!(copy.arg(PROGRAM).arg(&program).status().unwrap().success());
        set_mode(place.room(), 0o755);
        set_mode(&program, 0o755);
        Some(Self { program, becomes })
    }

    /// The same command as the stranger.
    fn does(&self, command: &Command) -> Command {
        let mut other = if self.becomes {
            nobody(&self.program)
        } else {
            Command::new(&self.program)
        };
        other.args(command.get_args());
        for (name, value) in command.get_envs() {
            other.env(name, value.unwrap());
        }
        other
    }
}

fn nobody(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program.as_ref());
    command
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A user who may not write, or not even look.
#[test]
fn a_lake_of_somebody_else_is_left_alone() {
    let place = Place::small();
    let Some(stranger) = Stranger::new(&place) else {
        return;
    };
    let lake = place.lake();
    lake.expect_recovered("at first");
    // Everybody may look, nobody may write.
    let folders: Vec<PathBuf> = ["", "_mdca", "_mdca/commits", "_mdca/runs", "activities"]
        .iter()
        .map(|folder| lake.path().join(folder))
        .collect();
    for folder in &folders {
        set_mode(folder, 0o555);
    }
    for command in ["status", "verify", "export"] {
        let ended = place.run(&mut stranger.does(&lake.command(command)));
        assert_eq!(ended.code(), Some(0), "{command}: {ended}");
    }
    let ended = place.run(&mut stranger.does(&lake.scan()));
    expect_storage(&lake, &ended, "a stranger scans");
    assert!(
        ended
            .text()
            .contains("allow this user to write to the lake"),
        "{ended}"
    );
    // Nobody may look.
    for hidden in [2, 1, 0] {
        set_mode(&folders[hidden], 0o000);
        for command in ["status", "verify", "export"] {
            let ended = place.run(&mut stranger.does(&lake.command(command)));
            assert_eq!(ended.code(), Some(6), "{command} {hidden}: {ended}");
            let root = lake.path().display().to_string();
            assert!(ended.text().contains(&root), "{command} {hidden}: {ended}");
        }
        let ended = place.run(&mut stranger.does(&lake.scan()));
        assert_eq!(ended.code(), Some(6), "scan {hidden}: {ended}");
    }
    for folder in folders {
        set_mode(&folder, 0o755);
    }
    lake.expect_exact("after the stranger");
    // A place where the stranger may make nothing.
    let forbidden = place.fresh("forbidden");
    std::fs::create_dir(&forbidden).unwrap();
    set_mode(&forbidden, 0o555);
    let none = place.lake_at(forbidden.join("lake"));
    let ended = place.run(&mut stranger.does(&none.scan()));
    assert_eq!(ended.code(), Some(6), "{ended}");
    assert!(
        ended
            .text()
            .contains("allow this user to write to the lake"),
        "{ended}"
    );
    assert_same(&lake.exported_ids(), &place.expected_ids());
}

/// The limit on open files, reached: it is said, and nothing is lost.
#[test]
fn a_process_without_file_handles_says_so() {
    let place = Place::small();
    let limited = |files: u32| {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={files}"));
        command
    };
    let works = limited(64).arg("true").status();
    if !works.as_ref().is_ok_and(std::process::ExitStatus::success) {
        gap(&format!("no way to limit open files: {works:?}"));
        return;
    }
    let mut refused = 0;
    for files in [10, 12, 14, 16, 18, 20, 24] {
        let lake = place.lake();
        let ended = place.run(&mut lake.scan_through(limited(files)));
        let code = ended.code();
        // Without a handle for the connection it is the service that cannot be reached; with fewer
        // still the program cannot begin.
        assert!(matches!(code, Some(0 | 1 | 4 | 6)), "{files}: {ended}");
        let said = ended.text();
        assert!(
            code != Some(1) || said.contains("Too many open files") && said.contains("ulimit"),
            "{files}: {ended}"
        );
        refused += u32::from(code != Some(0));
        lake.expect_recovered("with handles again");
    }
    println!("{refused} of 7 runs had too few file handles");
}

/// An error number that a disk gives for what is there is taken for what it says, once.
#[test]
fn what_is_missing_for_a_moment_is_not_taken_for_done() {
    if shim().is_none() {
        return;
    }
    let place = Place::small();
    let mut tried = 0;
    for at in (1..60).step_by(4) {
        let lake = place.lake();
        let action = format!("fail {ENOENT}");
        let broken = BadDisk {
            calls: "rename,fsync",
            at,
            what: &action,
            ..BadDisk::default()
        };
        let ended = place.run(&mut lake.scan_on(&broken));
        assert!(matches!(ended.code(), Some(0 | 6)), "{at}: {ended}");
        tried += 1;
        lake.expect_recovered("after what was missing");
    }
    println!("{tried} calls found nothing where something was");
}

/// The table is the only witness that a commit was there once: what exports or looks at the lake hears it.
#[test]
fn commits_that_the_table_knows_and_that_are_missing_are_said() {
    let place = Place::small();
    let lake = place.lake();
    lake.expect_recovered("at first");
    let commits = files_below(&lake.path().join("_mdca/commits"));
    std::fs::remove_file(&commits[0]).unwrap();
    for command in ["export", "status"] {
        let ended = place.run(&mut lake.command(command));
        assert_eq!(ended.code(), Some(5), "{ended}");
        let said = ended.text();
        assert!(said.contains("the table takes in 1 that"), "{ended}");
        assert!(said.contains("add to _mdca what it lacks"), "{ended}");
        assert!(!said.contains("brings it up to date"), "{ended}");
    }
}

/// Who passes the limit gets a signal that ends a process by default.
#[test]
fn a_limit_of_the_size_of_files_is_an_error_of_the_disk() {
    let place = Place::small();
    let lake = place.lake();
    let mut limited = Command::new("prlimit");
    // Enough for the report.
    limited.arg("--fsize=16384");
    let ended = place.run(&mut lake.scan_through(limited));
    expect_storage(&lake, &ended, "a limit of 16 KiB");
    lake.expect_recovered("after a limit");
}
