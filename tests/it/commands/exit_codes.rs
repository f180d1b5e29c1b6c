//! Every exit code that the documents promise of a command, reached by that command as a real process, and
//! no other: what is said names what it is about.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::process::{BadDisk, Lake, Place, calls_in, gap, shim};
use crate::support::scenario::files_below;

/// A tenant, and a lake that was scanned whole.
struct World {
    place: Place,
    lake: PathBuf,
}

impl World {
    fn new() -> Self {
        let place = Place::small();
        let lake = place.lake().path().to_owned();
        let world = Self { place, lake };
        let ended = world.place.run(&mut world.whole().scan());
        assert_eq!(ended.code(), Some(0), "{ended}");
        world
    }

    fn whole(&self) -> Lake<'_> {
        self.place.lake_at(self.lake.clone())
    }

    /// A copy of the lake, to be harmed.
    fn copy(&self) -> Lake<'_> {
        let copy = self.place.fresh("copy");
        let mut cp = Command::new("cp");
        let copied = cp.arg("-a").arg(&self.lake).arg(&copy).status();
        assert!(copied.unwrap().success());
        self.place.lake_at(copy)
    }

    /// A file that is here, and no lake.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.place.fresh(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A copy of the lake in which every file of a folder is cut to half.
    fn cut(&self, folder: &str) -> Lake<'_> {
        let lake = self.copy();
        for path in files_below(&lake.path().join(folder)) {
            let file = File::options().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }
        lake
    }

    /// A copy of the lake that lacks its first slice.
    fn lacking(&self) -> Lake<'_> {
        let lake = self.copy();
        let mut commits = files_below(&lake.path().join("_mdca/commits"));
        commits.sort();
        fs::remove_file(&commits[0]).unwrap();
        lake
    }

    /// A command to a service that is not there.
    fn unheard(&self, name: &str) -> Command {
        let mut command = self.place.lake().command(name);
        command
            .args(["--api-url", "http://127.0.0.1:1", "--max-attempts", "1"])
            .env("MDCA_API_TOKEN", "sim-token");
        command
    }

    /// A command that would work, over a lake.
    fn command(&self, name: &str, lake: &Lake<'_>) -> Command {
        match name {
            "scan" => lake.scan(),
            "schema" => {
                let mut schema = Command::new(crate::support::process::PROGRAM);
                schema.arg("schema");
                schema
            }
            _ => {
                let mut command = lake.command(name);
                match name {
                    "check" => {
                        command
                            .args(["--api-url", &self.place.sim.url()])
                            .env("MDCA_API_TOKEN", "sim-token");
                    }
                    "convert" => {
                        command.arg(
                            self.file("saved", r#"[{"_id":"one","timestamp":1790000000000}]"#),
                        );
                    }
                    "demo" => {
                        command.args(["--activities", "20"]);
                    }
                    _ => {}
                }
                command
            }
        }
    }

    /// The lake that a command takes: one that is there for those that need one.
    fn lake_for(&self, name: &str) -> Lake<'_> {
        match name {
            "scan" | "check" | "convert" | "demo" => self.place.lake(),
            _ => self.copy(),
        }
    }

    fn works(&self, name: &str) -> Command {
        self.command(name, &self.lake_for(name))
    }
}

/// A command, the code, and what the error names; an empty word where nothing is said.
type Row = (&'static str, u8, fn(&World) -> Command, &'static str);

/// What makes a command of this exit with this code where no more than the name of the command differs.
macro_rules! rows {
    ($code:literal, $named:literal, $how:expr, [$($name:literal),+]) => {
        [$(($name, $code, (|world: &World| { let how: fn(&World, &'static str) -> Command = $how; how(world, $name) }) as fn(&World) -> Command, $named)),+]
    };
}

fn with(mut command: Command, args: &[&str]) -> Command {
    command.args(args);
    command
}

/// The case of each command that is its own.
#[rustfmt::skip]
const OWN: &[Row] = &[
    ("scan", 3, |world| { let mut scan = world.works("scan"); scan.env("MDCA_API_TOKEN", "another"); scan }, "token"),
    ("check", 3, |world| { let mut check = world.works("check"); check.env("MDCA_API_TOKEN", "another"); check }, "token"),
    ("scan", 4, |world| world.unheard("scan"), "no connection to the service"),
    ("check", 4, |world| world.unheard("check"), "no connection to the service"),
    ("scan", 5, |world| with(world.works("scan"), &["--on-reject", "fail"]), "--on-reject"),
    ("convert", 5, |world| {
        let mut convert = world.works("convert");
        convert.arg(world.file("cut-off", r#"[{"_id":"one","timestamp":17"#));
        convert
    }, "cut-off"),
    ("status", 5, |world| with(world.command("status", &world.lacking()), &["--max-gaps", "0"]), "--max-gaps"),
    ("status", 5, |world| with(world.command("status", &world.copy()), &["--max-age", "1h"]), "--max-age"),
    ("verify", 5, |world| world.command("verify", &world.cut("activities")), "activities/"),
    ("compact", 5, |world| world.command("compact", &world.cut("activities")), "activities/"),
    ("export", 5, |world| world.command("export", &world.cut("activities")), "activities/"),
    ("export", 6, |world| world.command("export", &world.cut("_mdca/commits")), "_mdca/commits/"),
];

fn rows() -> Vec<Row> {
    let mut rows = OWN.to_vec();
    rows.extend(rows!(
        0,
        "",
        World::works,
        [
            "scan", "check", "convert", "demo", "status", "verify", "compact", "export", "connect",
            "schema"
        ]
    ));
    rows.extend(rows!(
        1,
        "stdout",
        |world, name| {
            let mut command = world.works(name);
            command.stdout(File::options().write(true).open("/dev/full").unwrap());
            command
        },
        [
            "scan", "check", "convert", "demo", "status", "verify", "compact", "export", "connect",
            "schema"
        ]
    ));
    rows.extend(rows!(
        2,
        "--no-such-flag",
        |world, name| with(world.works(name), &["--no-such-flag"]),
        [
            "scan", "check", "convert", "demo", "status", "verify", "compact", "export", "connect",
            "schema"
        ]
    ));
    rows.extend(rows!(
        6,
        "a-file",
        |world, name| { world.command(name, &world.place.lake_at(world.file("a-file", "x"))) },
        [
            "scan", "check", "convert", "demo", "status", "verify", "compact", "export", "connect"
        ]
    ));
    rows
}

/// What a document says: the codes of each command, in its table of commands.
fn documented() -> BTreeSet<(String, u8)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/exit-codes.md");
    let text = fs::read_to_string(path).unwrap();
    let (meanings, commands) = text.split_once("| command |").unwrap();
    let cells = |line: &str| {
        line.split('|')
            .map(|cell| cell.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let lines = commands.lines().filter(|line| line.starts_with("| `"));
    let pairs: BTreeSet<(String, u8)> = lines
        .flat_map(|line| {
            let cells = cells(line);
            let codes: Vec<u8> = cells[2]
                .split(", ")
                .map(|code| code.parse().unwrap())
                .collect();
            let name = cells[1].trim_matches('`').to_owned();
            codes.into_iter().map(move |code| (name.clone(), code))
        })
        .collect();
    let meant = meanings
        .lines()
        .filter_map(|line| cells(line).get(1)?.parse().ok());
    let reached = pairs.iter().map(|(_, code)| *code);
    assert_eq!(meant.collect::<BTreeSet<u8>>(), reached.collect());
    pairs
}

/// Commands that a signal finds at work: over a disk that hangs from this call on.
const INTERRUPTED: [(&str, &str); 9] = [
    ("scan", "create"),
    ("check", "open"),
    ("convert", "create"),
    ("demo", "create"),
    ("compact", "open"),
    ("status", "open"),
    ("verify", "open"),
    ("export", "open"),
    ("connect", "open"),
];

fn expect_interrupted(world: &World, name: &str, calls: &str) {
    // A lake that is not there is nothing to open.
    let lake = match name {
        "check" => world.copy(),
        _ => world.lake_for(name),
    };
    let log = world.place.fresh("calls");
    let hanging = BadDisk {
        calls,
        at: 1,
        onwards: true,
        what: "hang",
        log: Some(&log),
        ..BadDisk::default()
    };
    let mut command = world.command(name, &lake);
    hanging.put_below(&mut command, lake.path());
    let mut running = world.place.start(&mut command);
    assert!(
        running.until("hang", |_| !calls_in(&log).is_empty()),
        "{name}"
    );
    // The second does not wait for the disk.
    running.signal("TERM");
    running.signal("INT");
    let ended = running.wait();
    assert_eq!(ended.code(), Some(130), "{name}: {ended}");
}

#[test]
fn every_command_reaches_every_exit_code_that_is_documented_and_says_why() {
    let world = World::new();
    let mut reached = BTreeSet::new();
    let mut wrong = Vec::new();
    for (name, code, command, named) in rows() {
        let output = command(&world).stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        if output.status.code() != Some(i32::from(code)) || !said.contains(named) {
            wrong.push(format!(
                "{name} {code} {named}: {:?}\n{said}",
                output.status
            ));
        }
        reached.insert((name.to_owned(), code));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut documented = documented();
    if shim().is_some() {
        for (name, calls) in INTERRUPTED {
            expect_interrupted(&world, name, calls);
            reached.insert((name.to_owned(), 130));
        }
    } else {
        gap("no shim for the disk: no command is interrupted");
        documented.retain(|(_, code)| *code != 130);
    }
    assert_eq!(reached, documented);
}
