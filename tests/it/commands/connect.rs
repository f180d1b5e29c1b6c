//! What `connect` prints opens exactly the live rows.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use mdca_lake::schema;
use serde_json::Value;

use crate::support::engines;
use crate::support::process::PROGRAM;
use crate::support::readers;
use crate::support::scenario::{Scenario, Story, files_below};

fn connect(lake: &Path, engine: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["connect", "--engine", engine, "--lake"]);
    command.arg(lake).output().unwrap()
}

/// What an engine makes of what is printed.
fn opened(lake: &Path, engine: &str) -> Value {
    opened_by(&readers::python(), lake, engine, engine)
}

/// What a reader in this environment makes of what is printed for an engine.
fn opened_by(python: &Path, lake: &Path, engine: &str, reads: &str) -> Value {
    let printed = connect(lake, engine);
    assert_eq!(printed.status.code(), Some(0), "{printed:?}");
    let room = tempfile::tempdir().unwrap();
    let script = room.path().join("script");
    fs::write(&script, printed.stdout).unwrap();
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/connect.py");
    let output = Command::new(python)
        .arg(reader)
        .arg(reads)
        .arg(&script)
        .env("HOME", room.path())
        .output()
        .expect("run ./tests/run once: it makes the Python environment");
    assert!(output.status.success(), "{engine}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn scanned() -> Story {
    let (story, report) = Scenario::hours(3).activities(90).run().await;
    assert_eq!(report.head.exit_code, 0);
    // Everyone who reads by a pattern sees this one.
    let file = files_below(&story.lake().join("activities")).remove(0);
    fs::copy(&file, file.with_file_name("stranger.parquet")).unwrap();
    story
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_opens_the_live_rows_and_says_what_columns_mean() {
    let story = scanned().await;
    let rows = story.expected_ids().len();
    let columns = &schema::activity().columns;
    let timestamp = columns.iter().find(|of| of.name == "timestamp").unwrap();
    for engine in ["duckdb", "polars", "datafusion"] {
        let opened = opened(story.lake(), engine);
        assert_eq!(opened["rows"], rows, "{engine}");
        let comment = opened["comment"].as_str().unwrap();
        assert!(comment.contains(&timestamp.doc), "{engine}: {comment}");
    }
    if let Some(python) = engines::sail() {
        let opened = opened_by(&python, story.lake(), "spark", "sail");
        assert_eq!(opened["rows"], rows, "Sail");
    }
    let lake = story.lake().to_str().unwrap();
    for (engine, opens) in [
        ("spark", format!("FROM delta.`{lake}`")),
        ("trino", format!("table_location => 'file://{lake}'")),
    ] {
        let opened = opened(story.lake(), engine);
        let statements = opened["statements"].as_array().unwrap();
        assert_eq!(statements.len(), 1, "{engine}: {statements:?}");
        let printed = connect(story.lake(), engine);
        let printed = String::from_utf8(printed.stdout).unwrap();
        assert!(printed.contains(&opens), "{engine}: {printed}");
    }
}

/// Engines take paths in ways of their own: what is printed opens the lake, or says that it does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_an_engine_cannot_open_is_said() {
    let story = scanned().await;
    let rows = story.expected_ids().len();
    let room = tempfile::tempdir().unwrap();
    for name in [
        "it's-plain",
        "a+b,c@d",
        "a b",
        "a=b",
        "a#b?c",
        "ü ☃",
        "100%",
    ] {
        let lake = room.path().join(name);
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(story.lake()).arg(&lake);
        assert!(copy.status().unwrap().success());
        assert_eq!(opened(&lake, "duckdb")["rows"], rows, "{name}");
        let output = connect(&lake, "polars");
        let is_open = ["it's-plain", "a+b,c@d"].contains(&name);
        let code = if is_open { 0 } else { 2 };
        assert_eq!(output.status.code(), Some(code), "{name}: {output:?}");
        if is_open {
            assert_eq!(opened(&lake, "polars")["rows"], rows, "{name}");
        }
    }
    // Two lakes, of which an engine takes the first for the second.
    for name in ["100%41", "100A"] {
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(story.lake()).arg(room.path().join(name));
        assert!(copy.status().unwrap().success());
    }
    for engine in ["duckdb", "polars", "datafusion"] {
        let output = connect(&room.path().join("100%41"), engine);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("would open another path"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_is_refused_and_what_is_behind_is_said() {
    let story = scanned().await;
    let refused = |engine: &str, says: &str| {
        let output = connect(story.lake(), engine);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(says), "{said}");
    };
    refused("fabric", "Fabric reaches object storage alone");
    refused("excel", "possible values: duckdb, spark, polars");
    let printed = || String::from_utf8(connect(story.lake(), "duckdb").stdout).unwrap();
    // A commit that the table does not know.
    let commits = story.lake().join("_mdca/commits");
    let commit = files_below(&commits).remove(0);
    let another = commits.join("20261118T0400Z-20261118T0500Z.json");
    fs::copy(&commit, &another).unwrap();
    let behind = printed();
    assert!(behind.starts_with("-- The table is behind"), "{behind}");
    fs::remove_file(another).unwrap();
    // One that it knows, and that is missing.
    fs::rename(&commit, story.lake().join("commit")).unwrap();
    let lost = printed();
    assert!(
        lost.starts_with("-- commits or compactions are missing"),
        "{lost}"
    );
    fs::remove_dir_all(story.lake().join("_delta_log")).unwrap();
    refused("duckdb", "it has no table yet");
    fs::remove_file(story.lake().join("_mdca/lake.json")).unwrap();
    let output = connect(story.lake(), "duckdb");
    assert_ne!(output.status.code(), Some(0));
}
