//! Hostile texts: in a record, in an answer of the service or of a store, in the objects of a lake.
//! None of them steers the terminal that shows it, and no secret comes back in them.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use mdca_lake::plain_text::is_steering;
use serde_json::{Value, json};

use crate::support::scenario::files_below;
use crate::support::script::{Said, Script};
use crate::support::sealed;

/// Clears the screen, begins a line of its own, turns the direction of writing, ends a paragraph.
const STEERS: &str = "x\u{1b}[2J\r\ny\u{9b}1m\u{202e}z\u{2066}\u{2028}w\u{2029}\u{7f}";

/// The program, without a variable of whoever runs the tests.
fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mdca-lake"));
    command
        .args(args)
        .env_clear()
        .env("MDCA_API_TOKEN", "t0ken-of-the-tests")
        .stdin(Stdio::null());
    command
}

/// What a program said, on both streams.
fn said(output: &Output) -> [String; 2] {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8(bytes.clone()).unwrap())
}

/// No line of either stream steers a terminal; those of JSON are JSON.
fn expect_plain(output: &Output, is_json: bool) {
    for stream in said(output) {
        for line in stream.split('\n').filter(|line| !line.is_empty()) {
            assert!(!line.contains(is_steering), "{line:?}");
            assert!(
                !is_json || serde_json::from_str::<Value>(line).is_ok(),
                "{line}"
            );
        }
    }
}

/// Runs a command in both forms; what it says is plain in each.
fn run_plain(args: &[&str], variables: &[(&str, &str)], code: i32) -> Vec<String> {
    let mut all = Vec::new();
    for form in ["text", "json"] {
        let mut command = program(args);
        command.envs(variables.iter().copied());
        command.args(["--report", form, "--log-format", form, "-vv"]);
        let output = command.output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?} {:?}",
            said(&output)
        );
        expect_plain(&output, form == "json");
        all.extend(said(&output));
    }
    all
}

fn scan_flags<'a>(url: &'a str, lake: &'a str) -> Vec<&'a str> {
    let mut flags = vec!["scan", "--api-url", url, "--lake", lake];
    flags.extend(["--from", "3h", "--max-attempts", "2"]);
    flags
}

fn rewrite(path: &Path, change: impl Fn(&mut Value)) {
    let mut value = sealed::read(path);
    change(&mut value);
    sealed::write(path, &value);
}

#[test]
fn keys_of_a_record_steer_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let service = Script::start(|asked| Said::one_record(asked, &json!({STEERS: {STEERS: 1}})));
    let lake = folder.path().join("lake").display().to_string();
    let all = run_plain(&scan_flags(&service.url(), &lake), &[], 0);
    assert!(!service.asked().is_empty());
    assert!(
        all[0].contains(r"unknown     x\u{1b}[2J\r\ny\u{9b}1m\u{202e}z"),
        "{}",
        all[0]
    );
    run_plain(&["status", "--lake", &lake], &[], 0);
    run_plain(&["verify", "--deep", "--lake", &lake], &[], 0);
    for object in files_below(&Path::new(&lake).join("_mdca/runs")) {
        let text = std::fs::read_to_string(object).unwrap();
        assert!(!text.trim_end().contains(is_steering), "{text}");
    }
}

#[test]
fn objects_of_a_lake_steer_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake").display().to_string();
    let service = Script::start(|asked| Said::one_record(asked, &json!({})));
    run_plain(&scan_flags(&service.url(), &lake), &[], 0);
    let own = Path::new(&lake).join("_mdca");
    let run = files_below(&own.join("runs")).pop().unwrap();
    let mut report: Value = serde_json::from_slice(&std::fs::read(&run).unwrap()).unwrap();
    for key in ["run", "status", "lake"] {
        report[key] = STEERS.into();
    }
    report["failures"] = json!([{"kind": STEERS, "error": STEERS, "advice": STEERS}]);
    std::fs::write(&run, format!("{report}\n")).unwrap();
    run_plain(&["status", "--lake", &lake], &[], 0);
    run_plain(&["verify", "--deep", "--lake", &lake], &[], 5);

    let commit = files_below(&own.join("commits")).pop().unwrap();
    let path = format!("activities/event_date=2026-01-01/{STEERS}.parquet");
    rewrite(&commit, |commit| {
        commit["files"][0]["path"] = path.clone().into();
        commit["run"] = STEERS.into();
    });
    std::fs::write(own.join(format!("runs/{STEERS}.json")), "{}").unwrap();
    for command in ["status", "verify", "export"] {
        let output = program(&[command, "--lake", &lake]).output().unwrap();
        expect_plain(&output, false);
        let output = program(&[command, "--lake", &lake, "--report", "json"]).output();
        expect_plain(&output.unwrap(), false);
    }

    rewrite(&own.join("lake.json"), |identity| {
        identity["api_host"] = STEERS.into();
        identity["filters"] = json!({STEERS: {"eq": [STEERS]}});
    });
    for command in ["status", "verify", "export"] {
        let output = program(&[command, "--lake", &lake]).output().unwrap();
        expect_plain(&output, false);
    }
    let output = program(&scan_flags(&service.url(), &lake))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{:?}", said(&output));
    expect_plain(&output, false);
}
