//! Hostile lakes on a disk, as data: things that are too large, that are no files, that lead out of
//! the lake, or that are named oddly. Every command ends soon, takes little memory, says what is the
//! matter, and changes nothing outside.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::process::{Lake, PROGRAM, Place, gap};
use crate::support::scenario::files_below;

const GIB: u64 = 1024 * 1024 * 1024;
/// Address space that a command gets; the largest of these objects has forty times as much.
const MEMORY: &str = "--as=1073741824";
/// A command that takes longer hangs.
const SOON: Duration = Duration::from_secs(30);

/// The commands, in the order of a row's exit codes.
const COMMANDS: [&[&str]; 5] = [
    &["scan"],
    &["status"],
    &["verify"],
    &["verify", "--sweep"],
    &["export"],
];

/// A lake with one slice committed and one to be scanned.
struct Victim<'v> {
    lake: &'v Path,
    /// A folder of somebody else's.
    outside: &'v Path,
}

impl Victim<'_> {
    fn at(&self, path: &str) -> PathBuf {
        self.lake.join(path)
    }

    /// The first object of a folder.
    fn first(&self, folder: &str) -> PathBuf {
        files_below(&self.at(folder)).remove(0)
    }

    /// The committed slice.
    fn slice(&self) -> String {
        let commit = self.first("_mdca/commits");
        commit.file_stem().unwrap().to_str().unwrap().to_owned()
    }
}

fn put(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "x").unwrap();
}

/// Puts a file of so many bytes in the place of what is there; the disk keeps none of them.
fn sparse(path: &Path, bytes: u64) {
    let _ = fs::remove_file(path);
    File::create(path).unwrap().set_len(bytes).unwrap();
}

/// Puts something that a program of the system makes in the place of what is there.
fn made_by(program: &str, path: &Path, last: &[&str]) {
    let _ = fs::remove_file(path);
    let made = Command::new(program).arg(path).args(last).status();
    assert!(made.unwrap().success(), "{program} {}", path.display());
}

fn pipe(path: &Path) {
    made_by("mkfifo", path, &[]);
}

/// Moves what is there out of the lake, and a link to it in its place.
fn led_out(victim: &Victim<'_>, path: &str) {
    let (inside, outside) = (victim.at(path), victim.outside.join("led-out"));
    if inside.exists() {
        fs::rename(&inside, &outside).unwrap();
    } else {
        fs::create_dir_all(&outside).unwrap();
        fs::create_dir_all(inside.parent().unwrap()).unwrap();
    }
    symlink(outside, inside).unwrap();
}

/// A name, what is done to the lake, the exit codes of the commands, and what each of them says that
/// ends with another code than 0.
type Row = (&'static str, fn(&Victim<'_>), [i32; 5], &'static str);

const ROWS: &[Row] = &[
    (
        "an identity of 40 GiB",
        |v| sparse(&v.at("_mdca/lake.json"), 40 * GIB),
        [6, 6, 5, 5, 6],
        "it has 42949672960 bytes, more than the 1048576 that such an object can have",
    ),
    (
        "a commit of 3 GiB",
        |v| sparse(&v.first("_mdca/commits"), 3 * GIB),
        [0, 6, 5, 5, 6],
        "it has 3221225472 bytes, more than the 67108864 that such an object can have",
    ),
    (
        "a report of 3 GiB",
        |v| sparse(&v.first("_mdca/runs"), 3 * GIB),
        [0, 0, 5, 5, 0],
        "it has 3221225472 bytes, more than the 16777216 that such an object can have",
    ),
    (
        "a version of the table of 3 GiB",
        |v| sparse(&v.first("_delta_log"), 3 * GIB),
        [0, 0, 5, 5, 0],
        "it has 3221225472 bytes, more than the 134217728 that such an object can have",
    ),
    (
        "a version of the table that is all brackets",
        |v| fs::write(v.first("_delta_log"), "[".repeat(1 << 20)).unwrap(),
        [0, 0, 5, 5, 0],
        "is not a version",
    ),
    (
        "a pipe for a version of the table",
        |v| pipe(&v.first("_delta_log")),
        [0, 0, 5, 5, 0],
        "it is a named pipe, not a file",
    ),
    (
        "a file of 40 GiB",
        |v| sparse(&v.first("activities"), 40 * GIB),
        [0, 0, 5, 5, 5],
        ".parquet",
    ),
    (
        "a pipe for an identity",
        |v| pipe(&v.at("_mdca/lake.json")),
        [6, 6, 5, 5, 6],
        "it is a named pipe, not a file",
    ),
    (
        "a pipe for a commit",
        |v| pipe(&v.first("_mdca/commits")),
        [6, 6, 5, 5, 6],
        "it is a named pipe, not a file",
    ),
    (
        "a pipe for a report",
        |v| pipe(&v.first("_mdca/runs")),
        [0, 0, 5, 5, 0],
        "it is a named pipe, not a file",
    ),
    (
        "a pipe for a file",
        |v| pipe(&v.first("activities")),
        [0, 0, 5, 5, 5],
        "it is a named pipe, not a file",
    ),
    (
        "a folder for an identity",
        |v| {
            fs::remove_file(v.at("_mdca/lake.json")).unwrap();
            fs::create_dir(v.at("_mdca/lake.json")).unwrap();
        },
        [6, 6, 5, 5, 6],
        "it is a folder, not a file",
    ),
    (
        "a device for a report",
        |v| made_by("mknod", &v.first("_mdca/runs"), &["c", "1", "5"]),
        [0, 0, 5, 5, 0],
        "it is a device, not a file",
    ),
    (
        "a link for an identity",
        |v| led_out(v, "_mdca/lake.json"),
        [6, 6, 5, 5, 6],
        "it is a symbolic link, not a file",
    ),
    (
        "a link for a commit",
        |v| {
            let commit = v.first("_mdca/commits");
            led_out(v, commit.strip_prefix(v.lake).unwrap().to_str().unwrap());
        },
        [0, 6, 5, 5, 6],
        "it is a symbolic link, not a file",
    ),
    (
        "a link for all commits",
        |v| led_out(v, "_mdca/commits"),
        [6, 6, 5, 5, 6],
        "is a symbolic link, not a f",
    ),
    (
        "a link for the files that wait",
        |v| {
            fs::create_dir_all(v.at("_mdca/staging")).unwrap();
            fs::remove_dir_all(v.at("_mdca/staging")).unwrap();
            led_out(v, "_mdca/staging");
            put(&v.outside.join(format!("led-out/{}/precious", v.slice())));
        },
        [6, 0, 6, 6, 0],
        "_mdca/staging is a symbolic link, not a folder",
    ),
    (
        "a link for the files of a slice that wait",
        |v| led_out(v, &format!("_mdca/staging/{}", v.slice())),
        [0, 0, 5, 5, 0],
        "it is a symbolic link, not a file",
    ),
    (
        "a link for the attempts at a slice",
        |v| led_out(v, &format!("_mdca/attempts/{}", v.slice())),
        [0, 0, 5, 5, 0],
        "it is a symbolic link, not a file",
    ),
    (
        "a link for all attempts",
        |v| led_out(v, "_mdca/attempts"),
        [6, 0, 6, 6, 0],
        "_mdca/attempts is a symbolic link, not a folder",
    ),
    (
        "a link for all reports",
        |v| led_out(v, "_mdca/runs"),
        [6, 6, 5, 5, 0],
        "is a symbolic link, not a f",
    ),
    (
        "a link for all files",
        |v| led_out(v, "activities"),
        [6, 0, 6, 6, 5],
        "activities is a symbolic link, not a folder",
    ),
    (
        "a link for a day that is to be written",
        |v| led_out(v, "activities/event_date=2026-10-02"),
        [6, 0, 5, 5, 0],
        "is a symbolic link, not a f",
    ),
    (
        "a link for a file",
        |v| {
            let file = v.first("activities");
            led_out(v, file.strip_prefix(v.lake).unwrap().to_str().unwrap());
        },
        [0, 0, 5, 5, 5],
        "it is a symbolic link, not a file",
    ),
    (
        "what the system drops",
        |v| {
            for folder in ["", "activities", "_mdca", "_mdca/commits", "_mdca/runs"] {
                for name in [
                    ".DS_Store",
                    "._x",
                    ".nfs000000000001",
                    "Thumbs.db",
                    "desktop.ini",
                ] {
                    put(&v.at(folder).join(name));
                }
            }
            put(&v.at(&format!("_mdca/attempts/{}/.DS_Store", v.slice())));
        },
        [0, 0, 0, 0, 0],
        "",
    ),
    (
        "odd names",
        |v| {
            for path in [
                "_mdca/runs/notes.txt",
                "_mdca/runs/last run.json",
                "_mdca/runs/x#1",
                "_mdca/commits/x.json",
                "_mdca/lake.json#1",
                "_mdca/attempts/x",
                "_mdca/staging/x",
                "_mdca/rejects/x",
                "_mdca/backup/lake.json",
            ] {
                put(&v.at(path));
            }
        },
        [0, 0, 5, 5, 0],
        "_mdca/runs/notes.txt: its name is not that of an object of the lake",
    ),
    (
        "names that no object has",
        |v| {
            use std::os::unix::ffi::OsStrExt;
            for name in [&b"a\nb\x1b[2J"[..], b"\xff\xfe"] {
                let name = std::ffi::OsStr::from_bytes(name);
                put(&v.at("_mdca/runs").join(name));
                put(&v.at("activities").join(name));
            }
        },
        [0, 0, 5, 5, 0],
        "an object cannot have its name",
    ),
    (
        "folders within folders",
        |v| {
            let mut folder = v.at(&format!("_mdca/staging/{}", v.slice()));
            folder.extend(std::iter::repeat_n("d", 900));
            fs::create_dir_all(&folder).unwrap();
        },
        [0, 0, 5, 5, 0],
        "it is a folder deeper than any in a lake",
    ),
];

/// Everything below a folder: its kind, its rights, and its bytes or where it leads.
fn picture(folder: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let found = fs::symlink_metadata(&path).unwrap();
            let bytes = if found.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else if found.is_file() && found.len() < GIB {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            all.push((path, found.mode(), bytes));
        }
    }
    all.sort();
    all
}

/// A command on the lake with little memory.
fn frugal(lake: &Lake<'_>, args: &[&str]) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(MEMORY);
    if args == ["scan"] {
        return lake.scan_through(command);
    }
    command
        .arg(PROGRAM)
        .args(args)
        .arg("--lake")
        .arg(lake.path());
    command
}

#[test]
fn a_hostile_lake_costs_no_command_much_and_changes_nothing_outside() {
    let place = Place::small();
    let works = Command::new("prlimit").args([MEMORY, "true"]).status();
    if !works.as_ref().is_ok_and(std::process::ExitStatus::success) {
        gap(&format!("no way to limit memory: {works:?}"));
        return;
    }
    let whole = place.lake();
    let first = whole.scan_until("2026-10-02T00:00:00Z");
    assert_eq!(place.run(&mut { first }).code(), Some(0));
    let mut wrong = Vec::new();
    for (name, harm, codes, words) in ROWS {
        for (args, code) in COMMANDS.iter().zip(codes) {
            let lake = place.lake();
            let outside = place.fresh("outside");
            fs::create_dir(&outside).unwrap();
            put(&outside.join("precious"));
            let copied = Command::new("cp")
                .arg("-a")
                .args([whole.path(), lake.path()])
                .status();
            assert!(copied.unwrap().success());
            harm(&Victim {
                lake: lake.path(),
                outside: &outside,
            });
            let before = picture(&outside);
            let ended = place.start(&mut frugal(&lake, args)).wait_within(SOON);
            let said = ended.text();
            let shown: String = said.chars().take(1_000).collect();
            let shown = format!("{:?}, {shown}", ended.code());
            if ended.code() != Some(*code) {
                wrong.push(format!("{name}, {args:?}: not {code}: {shown}"));
            } else if *code != 0 && !said.contains(words) {
                wrong.push(format!("{name}, {args:?}: not '{words}': {shown}"));
            }
            if before != picture(&outside) {
                wrong.push(format!(
                    "{name}, {args:?}: changed what lies outside: {shown}"
                ));
            }
            fs::remove_dir_all(lake.path()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the program itself makes others cannot look into; what is there keeps its rights.
#[test]
fn a_lake_that_the_program_makes_is_for_its_owner_alone() {
    let place = Place::small();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let new = place.lake_at(place.fresh("above").join("lake"));
    new.expect_recovered("new");
    assert_eq!(mode(new.path()), 0o700);
    let there = place.lake();
    fs::create_dir(there.path()).unwrap();
    fs::set_permissions(there.path(), fs::Permissions::from_mode(0o751)).unwrap();
    there.expect_recovered("there");
    assert_eq!(mode(there.path()), 0o751);
}

/// A lake that is reached through a link is a lake.
#[test]
fn the_lake_itself_may_be_reached_through_a_link() {
    let place = Place::small();
    let real = place.fresh("real");
    fs::create_dir(&real).unwrap();
    let lake = place.lake();
    symlink(&real, lake.path()).unwrap();
    lake.expect_recovered("through a link");
    assert!(real.join("_mdca/lake.json").is_file());
}

#[test]
fn a_token_file_that_everybody_can_read_is_warned_of() {
    let place = Place::small();
    for (mode, warned) in [(0o600, false), (0o640, false), (0o604, true), (0o644, true)] {
        let token = place.fresh("token");
        fs::write(&token, "sim-token").unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(mode)).unwrap();
        let lake = place.lake();
        let mut scan = lake.scan();
        scan.env_remove("MDCA_API_TOKEN")
            .arg("--token-file")
            .arg(&token);
        let ended = place.run(&mut scan);
        assert_eq!(ended.code(), Some(0), "{ended}");
        let said = ended.stderr.contains("every user of this machine can read");
        assert_eq!(said, warned, "{mode:o}: {ended}");
        assert!(!ended.text().contains("sim-token"));
    }
}
