//! Reading a lake with somebody else's readers.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use arrow::array::AsArray;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;

/// A row as a reader sees it: id, partition, `timestamp` in milliseconds.
pub(crate) type Row = (String, String, i64);

#[derive(Deserialize)]
struct ByReader {
    /// None where `DuckDB` cannot read such a place.
    duckdb: Option<Vec<Row>>,
    pyarrow: Vec<Row>,
}

/// The interpreter that has `DuckDB` and pyarrow; `./tests/run` makes it.
fn python() -> PathBuf {
    let named = std::env::var_os("MDCA_TEST_PYTHON").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python"))
}

fn command(lake: &Path, mode: Option<&str>) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/rows.py");
    let mut command = Command::new(python());
    command.arg(script).arg(lake).args(mode);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn run(mut command: Command, input: &str) -> Vec<u8> {
    let mut child = command
        .spawn()
        .expect("run ./tests/run once: it makes the Python environment");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the reader failed");
    output.stdout
}

/// All rows of a lake, sorted; `DuckDB` and pyarrow agree on them, and every row lies in its day.
pub(crate) fn rows(lake: &Path) -> Vec<Row> {
    agreed(&run(command(lake, None), ""))
}

/// The same for a lake in object storage, with the program's own variables.
pub(crate) fn remote_rows(lake: &str, variables: &[(&str, String)]) -> Vec<Row> {
    let mut command = command(Path::new(lake), None);
    // DuckDB keeps its extensions in the home folder.
    let home = tempfile::tempdir().unwrap();
    command
        .envs(variables.iter().cloned())
        .env("HOME", home.path());
    agreed(&run(command, ""))
}

fn agreed(output: &[u8]) -> Vec<Row> {
    let read: ByReader = serde_json::from_slice(output).unwrap();
    let mut rows = read.pyarrow;
    rows.sort();
    if let Some(mut other) = read.duckdb {
        other.sort();
        assert_eq!(rows, other, "DuckDB and pyarrow disagree");
    }
    for (id, day, timestamp_ms) in &rows {
        let time = mdca_lake::window::format_time(*timestamp_ms);
        assert!(
            time.starts_with(day.as_str()),
            "{id} of {time} lies in {day}"
        );
    }
    rows
}

/// The ids in all visible files, sorted; read in the process, for stories by the thousand.
pub(crate) fn visible_ids(lake: &Path) -> Vec<String> {
    let files = super::scenario::files_below(&lake.join("activities"));
    ids_in(files.into_iter().map(|path| {
        let bytes = Bytes::from(std::fs::read(&path).unwrap());
        (path.display().to_string(), bytes)
    }))
}

/// The ids in these files, sorted.
pub(crate) fn ids_in<N: std::fmt::Display>(
    files: impl IntoIterator<Item = (N, Bytes)>,
) -> Vec<String> {
    let mut ids = Vec::new();
    for (name, bytes) in files {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .unwrap_or_else(|error| panic!("{name} is torn: {error}"));
        let columns = ProjectionMask::columns(reader.parquet_schema(), ["activity_id"]);
        for batch in reader.with_projection(columns).build().unwrap() {
            let batch = batch.unwrap();
            let column = batch.column(0).as_string::<i32>();
            ids.extend(column.iter().flatten().map(str::to_owned));
        }
    }
    ids.sort();
    ids
}

/// Runs the DDL in `DuckDB`, fills the table from the lake, and counts its rows.
pub(crate) fn rows_through_ddl(lake: &Path, ddl: &str) -> u64 {
    let read: serde_json::Value =
        serde_json::from_slice(&run(command(lake, Some("--ddl")), ddl)).unwrap();
    read["rows"].as_u64().unwrap()
}

/// Somebody who reads every visible file again and again.
pub(crate) struct Watcher(std::process::Child);

impl Watcher {
    pub(crate) fn start(lake: &Path) -> Self {
        let mut command = command(lake, Some("--watch"));
        Self(
            command
                .spawn()
                .expect("run ./tests/run once: it makes the Python environment"),
        )
    }

    /// Stops, and returns how often everything was read.
    pub(crate) fn stop(mut self) -> u64 {
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().unwrap();
        let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(seen["errors"], serde_json::json!([]));
        seen["reads"].as_u64().unwrap()
    }
}
