//! What people and machines read, word by word. `INSTA_UPDATE=always cargo test --test it snapshots`
//! writes it anew.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use mdca_lake::job::process::Machine;
use mdca_lake::status;
use mdca_lake::store::Store;
use mdca_lake::text::report::Report;
use mdca_lake::text::units::bytes;
use mdca_lake::verify::{self, Depth, Sweep};
use mdca_sim::{At, Fault, What};
use serde_json::Value;

use crate::support::scenario::{Scenario, Story, files_below};

const SEED: u64 = 7;

/// A lake of three hours, of which the second failed, by the same run every time.
async fn tiny() -> (Story, mdca_lake::job::report::RunReport) {
    let story = Scenario::hours(3)
        .activities(30)
        .seed(SEED)
        .fault(Fault::new(At::Record(15), What::null_row()).always())
        .flags(&[
            "--parallel",
            "1",
            "--requests-per-minute",
            "0",
            "--on-reject",
            "fail",
        ])
        .start()
        .await;
    let lake = Store::make(story.lake().to_str().unwrap()).unwrap();
    let report = story.scan_on(lake, SEED, &[]).await;
    (story, report)
}

/// Text and JSON as they are, but for what differs from machine to machine.
fn told(story: &Story, text: &str, json: &str, machine: &[(String, &str)]) -> String {
    let json: Value = serde_json::from_str(json).unwrap();
    let mut all = format!("{text}\n{json:#}\n");
    let mut replaced: Vec<(String, &str)> = vec![
        (
            fs::canonicalize(story.lake())
                .unwrap()
                .display()
                .to_string(),
            "<lake>",
        ),
        (
            story
                .sim
                .url()
                .trim_start_matches("http://")
                .trim_end_matches('/')
                .to_owned(),
            "<host>",
        ),
    ];
    replaced.extend_from_slice(machine);
    for (machine, word) in replaced {
        all = all.replace(&machine, word);
    }
    all
}

#[test]
fn help_of_every_command() {
    let mut all = String::new();
    for command in [
        "", "scan", "convert", "demo", "status", "verify", "export", "schema",
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_mdca-lake"))
            .args([command, "--help"].iter().filter(|arg| !arg.is_empty()))
            .env("COLUMNS", "100")
            .output()
            .unwrap();
        assert!(output.status.success());
        let help = String::from_utf8(output.stdout).unwrap();
        writeln!(all, "$ mdca-lake {command} --help\n{help}").unwrap();
    }
    insta::assert_snapshot!("help", all);
}

#[tokio::test(flavor = "multi_thread")]
async fn report_of_a_run() {
    let (story, report) = tiny().await;
    let memory = report.result.peak_memory_bytes.unwrap_or_default();
    let mut machine = vec![
        (format!("memory {}", bytes(memory)), "memory <memory>"),
        (memory.to_string(), "\"<memory>\""),
        (
            format!("with {}", bytes(report.result.bytes_out)),
            "with <bytes>",
        ),
        (report.result.bytes_out.to_string(), "\"<bytes>\""),
    ];
    for commit in &report.result.commits {
        machine.push((commit.sha256.clone(), "<sha256>"));
    }
    insta::assert_snapshot!(
        "report",
        told(&story, &report.to_text(), &report.to_json(), &machine)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn status_of_a_lake() {
    let (story, report) = tiny().await;
    let lake = Store::open(story.lake().to_str().unwrap()).unwrap();
    let mut status = status::read(&lake, story.now_ms(), &Machine::untold())
        .await
        .unwrap();
    // The report has a snapshot of its own.
    for run in &mut status.runs {
        run.as_object_mut()
            .unwrap()
            .retain(|key, _| ["run", "status", "failures"].contains(&key.as_str()));
    }
    let machine = vec![
        (report.result.bytes_out.to_string(), "\"<bytes>\""),
        (bytes(report.result.bytes_out), "<bytes>"),
    ];
    insta::assert_snapshot!(
        "status",
        told(&story, &status.to_text(), &status.to_json(), &machine)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_of_a_lake() {
    let (story, _) = tiny().await;
    let lake = Store::open(story.lake().to_str().unwrap()).unwrap();
    let whole = verify::verify(&lake, Depth::Rows, Sweep::Never, story.now_ms())
        .await
        .unwrap();
    fs::remove_file(files_below(&story.lake().join("activities")).remove(0)).unwrap();
    fs::write(story.lake().join("_mdca/notes.txt"), "x").unwrap();
    fs::write(
        files_below(&story.lake().join("_mdca/commits")).remove(1),
        "",
    )
    .unwrap();
    let harmed = verify::verify(&lake, Depth::Rows, Sweep::Never, story.now_ms())
        .await
        .unwrap();
    let text = format!("{}\n{}", whole.to_text(), harmed.to_text());
    let machine = [
        (whole.bytes.to_string(), "\"<bytes>\""),
        (bytes(whole.bytes), "<bytes>"),
    ];
    insta::assert_snapshot!(
        "verification",
        told(&story, &text, &harmed.to_json(), &machine)
    );
}
