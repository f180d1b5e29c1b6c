//! What commands say as JSON is what the schemas in `schemas/` say, to somebody else's validator.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use mdca_sim::SimOptions;
use serde_json::{Value, json};

use crate::support::process::{Ended, Lake, Place};
use crate::support::readers;
use crate::support::scenario::files_below;

/// Documents, each with the name of its schema, and the story that it comes from.
#[derive(Default)]
struct Said(Vec<(&'static str, String, String)>);

impl Said {
    /// Takes what a command printed; it ended with this code.
    fn take(&mut self, schema: &'static str, story: &str, code: i32, ended: &Ended) {
        assert_eq!(ended.code(), Some(code), "{story}: {ended}");
        self.0
            .push((schema, story.to_owned(), ended.report().to_string()));
    }

    /// The reports that lie in a lake.
    fn take_kept(&mut self, schema: &'static str, lake: &Path) {
        for report in files_below(&lake.join("_mdca/runs")) {
            let text = fs::read_to_string(&report).unwrap();
            self.0
                .push((schema, report.display().to_string(), text.trim().to_owned()));
        }
    }

    /// What is wrong with them, one line each, with the story.
    fn flaws(&self) -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new(readers::python())
            .arg(root.join("tests/readers/schemas.py"))
            .arg(root.join("schemas"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let line =
            |(schema, _, document): &(&str, String, String)| format!("{schema}\t{document}\n");
        let lines: Vec<String> = self.0.iter().map(line).collect();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(lines.concat().as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "the validator failed");
        let said = String::from_utf8(output.stdout).unwrap();
        let story = |line: &str| {
            let (number, flaw) = line.split_once(' ').unwrap();
            format!("{}: {flaw}", self.0[number.parse::<usize>().unwrap()].1)
        };
        said.lines().map(story).collect()
    }
}

/// Reports of scans that go well, badly, late, halfway and not at all.
fn scans(said: &mut Said) {
    let place = Place::small();
    let lake = place.lake();
    let planned = place.run(lake.scan().arg("--dry-run"));
    said.take("scan-report", "a plan", 0, &planned);
    let refused = place.run(lake.scan().env("MDCA_API_TOKEN", "another"));
    said.take("scan-report", "a wrong token", 3, &refused);
    said.take("scan-report", "a scan", 0, &place.run(&mut lake.scan()));
    said.take(
        "scan-report",
        "nothing left",
        0,
        &place.run(&mut lake.scan()),
    );
    said.take_kept("scan-report", lake.path());
    let copy = place.fresh("copy");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(lake.path())
        .arg(&copy)
        .status();
    assert!(copied.unwrap().success());
    compactions(said, &place, &place.lake_at(copy));
    let status = |lake: &mut Command| place.run(lake.args(["--report", "json"]));
    said.take("status", "a lake", 0, &status(&mut lake.command("status")));
    let mut behind = lake.command("status");
    behind.args(["--max-age", "1h"]);
    said.take("status", "a lake that is behind", 5, &status(&mut behind));
    said.take("verify", "a lake that is whole", 0, &lake.verify());
    let file = &files_below(&lake.path().join("activities"))[0];
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    fs::write(lake.path().join("activities/a-letter.txt"), "dear lake").unwrap();
    said.take("verify", "a lake that is damaged", 5, &lake.verify());
    let commit = &files_below(&lake.path().join("_mdca/commits"))[0];
    fs::write(commit, "{").unwrap();
    let status = status(&mut lake.command("status"));
    said.take("status", "a commit that is damaged", 6, &status);
}

fn compactions(said: &mut Said, place: &Place, lake: &Lake<'_>) {
    let compact = |more: &[&str]| {
        let mut compact = lake.command("compact");
        place.run(compact.args(["--report", "json"]).args(more))
    };
    said.take("compact-report", "a plan", 0, &compact(&["--dry-run"]));
    let file = files_below(&lake.path().join("activities")).remove(0);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, "").unwrap();
    let ended = compact(&["--max-file-bytes", "1GiB"]);
    let code = ended.code().unwrap();
    assert!(matches!(code, 0 | 5), "{ended}");
    said.take("compact-report", "a file that is cut", code, &ended);
    fs::write(&file, bytes).unwrap();
    said.take("compact-report", "a compaction", 0, &compact(&[]));
    said.take("compact-report", "nothing left", 0, &compact(&[]));
}

/// Reports of scans of a service that is down, has holes or gets a signal in between.
fn bad_scans(said: &mut Said) {
    let range = ("2026-10-01T22:00:00Z", "2026-10-02T01:00:00Z");
    let place = Place::new(range.0, range.1, 6, SimOptions::default());
    let lake = place.lake();
    let mut scan = lake.scan();
    let ended = place.run(scan.args(["--max-page-bytes", "5KiB"]));
    said.take("scan-report", "a hole", 4, &ended);
    let mut status = lake.command("status");
    let status = place.run(status.args(["--report", "json"]));
    said.take("status", "a lake with a hole", 0, &status);
    said.take_kept("scan-report", lake.path());

    let lake = place.lake();
    let mut scan = lake.scan();
    let mut running = place.start(scan.env("MDCA_REQUESTS_PER_MINUTE", "2"));
    let runs = lake.path().join("_mdca/runs");
    assert!(running.until("report", |_| {
        let whole = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "json");
        runs.is_dir() && files_below(&runs).iter().any(whole)
    }));
    said.take_kept("scan-report", lake.path());
    running.signal("TERM");
    said.take("scan-report", "a signal", 130, &running.wait());
}

fn conversions(said: &mut Said) {
    let place = Place::small();
    let room = place.room();
    let activity =
        json!({"_id": "one", "timestamp": 1_790_000_000_000_i64, "created": "soon", "new": 1});
    fs::write(room.join("good.json"), json!([activity, null]).to_string()).unwrap();
    fs::write(room.join("broken.json"), "[{").unwrap();
    let lake = place.lake();
    let convert = |more: &[&str]| {
        let mut convert = lake.command("convert");
        place.run(
            convert
                .current_dir(room)
                .args(["--report", "json"])
                .args(more),
        )
    };
    said.take(
        "convert-report",
        "a plan",
        0,
        &convert(&["good.json", "--dry-run"]),
    );
    said.take("convert-report", "one file", 0, &convert(&["good.json"]));
    let failed = convert(&["good.json", "broken.json", "--shard", "1/1"]);
    said.take("convert-report", "a broken file", 5, &failed);
    said.take_kept("convert-report", lake.path());
    let mut status = lake.command("status");
    let status = place.run(status.args(["--report", "json"]));
    said.take("status", "a lake of files", 0, &status);
}

fn checks(said: &mut Said) {
    let place = Place::small();
    let check = |token: &str| {
        let lake = place.lake();
        let mut check = lake.command("check");
        let check = check.args(["--report", "json", "--api-url", &place.sim.url()]);
        place.run(check.env("MDCA_API_TOKEN", token))
    };
    said.take("check", "a check", 0, &check("sim-token"));
    said.take("check", "a check with a wrong token", 3, &check("another"));
}

#[test]
fn what_commands_say_as_json_is_what_the_schemas_say() {
    let mut said = Said::default();
    scans(&mut said);
    bad_scans(&mut said);
    conversions(&mut said);
    checks(&mut said);
    assert!(said.0.len() > 20, "{}", said.0.len());
    assert_eq!(said.flaws(), Vec::<String>::new());
    expect_covered(&said);
}

/// A schema that says nothing would pass: of each document, a member that goes, comes or changes its kind
/// is noticed.
fn expect_covered(said: &Said) {
    let mut harmed = Said::default();
    for (schema, story, document) in &said.0 {
        let document: Value = serde_json::from_str(document).unwrap();
        let mut less = document.clone();
        less.as_object_mut().unwrap().remove("version");
        let mut more = document.clone();
        more["invented"] = true.into();
        let mut other = document;
        other["version"] = "one".into();
        for harm in [less, more, other] {
            harmed.0.push((schema, story.clone(), harm.to_string()));
        }
    }
    assert_eq!(harmed.flaws().len(), harmed.0.len());
}
