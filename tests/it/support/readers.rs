//! Reading a lake with somebody else's readers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use arrow::array::AsArray;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use tempfile::TempDir;

/// A row as a reader sees it: id, partition, `timestamp` in milliseconds.
pub(crate) type Row = (String, String, i64);

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Rows {
        /// None where `DuckDB` cannot read such a place.
        duckdb: Option<Vec<Row>>,
        pyarrow: Vec<Row>,
    },
    Failed {
        error: String,
    },
}

/// The variables with which the readers reach a lake; none for a disk.
pub(crate) type Variables = Vec<(&'static str, String)>;

/// The readers in processes that stay, by their variables: starting them takes longer than reading
/// a small lake.
static SERVING: Mutex<BTreeMap<Variables, Serving>> = Mutex::new(BTreeMap::new());

/// Readers that wait for the next lake.
struct Serving {
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// `DuckDB` keeps its extensions in the home folder.
    _home: TempDir,
}

impl Serving {
    fn start(variables: &Variables) -> Self {
        let home = tempfile::tempdir().unwrap();
        #[expect(
            clippy::zombie_processes,
            reason = "the readers end with the tests, when their stdin does"
        )]
        let mut child = command("serve", None)
            .envs(variables.iter().cloned())
            .env("HOME", home.path())
            .spawn()
            .expect("run ./tests/run once: it makes the Python environment");
        Self {
            questions: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            _home: home,
        }
    }
}

/// The interpreter that has `DuckDB` and pyarrow; `./tests/run` makes it.
pub(crate) fn python() -> PathBuf {
    let named = std::env::var_os("MDCA_TEST_PYTHON").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python"))
}

fn command(mode: &str, lake: Option<&Path>) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/rows.py");
    let mut command = Command::new(python());
    command.arg(script).arg(mode).args(lake);
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

fn ask(lake: &str, variables: Variables) -> Answer {
    // A test that failed inside left the readers in no known state: they are started again.
    let mut serving = SERVING.lock().unwrap_or_else(|poisoned| {
        let mut serving = poisoned.into_inner();
        serving.clear();
        SERVING.clear_poison();
        serving
    });
    let readers = serving.entry(variables).or_insert_with_key(Serving::start);
    writeln!(readers.questions, "{lake}").unwrap();
    let mut answer = String::new();
    readers.answers.read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).expect("the readers answer in JSON")
}

/// What a script of the readers prints, as JSON.
pub(crate) fn asked(
    python: &Path,
    script: &str,
    arguments: &[&Path],
    variables: &Variables,
) -> serde_json::Value {
    let home = tempfile::tempdir().unwrap();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers");
    let output = Command::new(python)
        .arg(scripts.join(script))
        .args(arguments)
        .envs(variables.iter().cloned())
        .env("HOME", home.path())
        .current_dir(home.path())
        .output()
        .expect("run ./tests/run once: it makes the Python environment");
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// How delta-rs is asked for the rows of each user, by both of its ways through pyarrow.
const BY_USER: &str = r#"
import json, os, sys
import deltalake, pyarrow.compute as pc
table = deltalake.DeltaTable(sys.argv[1])
dataset = table.to_pyarrow_dataset()
names = table.to_pyarrow_table(columns=["user_name"])["user_name"].to_pylist()
counts = {}
for name in set(names) - {None}:
    by_dataset = dataset.to_table(filter=pc.field("user_name") == name, columns=["activity_id"])
    by_table = table.to_pyarrow_table(filters=[("user_name", "=", name)], columns=["activity_id"])
    counts[name] = [names.count(name), by_dataset.num_rows, by_table.num_rows]
print(json.dumps(counts))
sys.stdout.flush()
# Its threads do not always end by themselves.
os._exit(0)
"#;

/// The rows of each user in the table: all of them, and those that delta-rs finds by the user's name.
pub(crate) fn rows_by_user(lake: &Path) -> BTreeMap<String, [u64; 3]> {
    let output = Command::new(python())
        .args(["-c", BY_USER])
        .arg(lake)
        .output()
        .expect("run ./tests/run once: it makes the Python environment");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All rows of a lake, sorted; `DuckDB` and pyarrow agree on them, and every row lies in its day.
pub(crate) fn rows(lake: &Path) -> Vec<Row> {
    agreed(ask(lake.to_str().unwrap(), Variables::new()))
}

/// The same for a lake in object storage, with the program's own variables.
pub(crate) fn remote_rows(lake: &str, variables: Variables) -> Vec<Row> {
    agreed(ask(lake, variables))
}

fn agreed(answer: Answer) -> Vec<Row> {
    let (duckdb, mut rows) = match answer {
        Answer::Rows { duckdb, pyarrow } => (duckdb, pyarrow),
        Answer::Failed { error } => panic!("read the lake: {error}"),
    };
    rows.sort();
    if let Some(mut other) = duckdb {
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

/// Writes a file anew with one thing wrong, by pyarrow.
pub(crate) fn rewrite(file: &Path, harm: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/rewrite.py");
    let status = Command::new(python())
        .arg(script)
        .arg(file)
        .arg(harm)
        .status()
        .expect("run ./tests/run once: it makes the Python environment");
    assert!(status.success(), "{harm}");
}

/// The number of rows of two lakes, which `DuckDB` finds to be the same in every column but those of the
/// runs. The column `raw` counts only where it `is_kept`.
pub(crate) fn same_rows(lake: &Path, other: &Path, raw_is_kept: bool) -> u64 {
    let mut command = command("same", Some(lake));
    command.arg(other).args(raw_is_kept.then_some("raw"));
    let read: serde_json::Value = serde_json::from_slice(&run(command, "")).unwrap();
    assert_eq!(read["differ"], serde_json::json!([]), "the lakes differ");
    read["rows"].as_u64().unwrap()
}

/// The columns of a file: name, type to `DuckDB`, type to pyarrow.
pub(crate) fn types(file: &Path) -> Vec<(String, String, String)> {
    serde_json::from_slice(&run(command("types", Some(file)), "")).unwrap()
}

/// All that is in the Parquet files below a folder, uncompressed, as pyarrow reads it.
pub(crate) fn everything(folder: &Path) -> String {
    String::from_utf8(run(command("everything", Some(folder)), "")).unwrap()
}

/// Somebody who reads every visible file again and again.
pub(crate) struct Watcher(std::process::Child);

impl Watcher {
    pub(crate) fn start(lake: &Path) -> Self {
        let mut command = command("watch", Some(lake));
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
