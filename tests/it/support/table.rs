//! The Delta table of a lake, by an independent reading of its log, and by other people's engines.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mdca_lake::job::process::Machine;
use mdca_lake::status::{self, LakeStatus};
use mdca_lake::store::Store;
use mdca_lake::text::report::Report;
use serde_json::Value;

use super::readers::{Row, python};

/// Engines that read the table on a disk.
const ENGINES: [&str; 5] = ["duckdb", "deltalake", "polars", "datafusion", "chdb"];

/// The versions of the log, each a list of actions; none is missing.
pub(crate) async fn versions(store: &Store) -> Vec<Vec<Value>> {
    let mut versions = Vec::new();
    for object in store.list(&"_delta_log".into()).await.unwrap() {
        let name = object.location.filename().unwrap().to_owned();
        let Some(digits) = name.strip_suffix(".json") else {
            continue;
        };
        assert_eq!(digits.parse(), Ok(versions.len()), "a version is missing");
        let bytes = store.get(&object.location, u64::MAX).await.unwrap();
        let text = String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        versions.push(lines.collect());
    }
    versions
}

/// The files of the table and their rows.
pub(crate) async fn files(store: &Store) -> BTreeMap<String, u64> {
    let mut files = BTreeMap::new();
    for action in versions(store).await.into_iter().flatten() {
        let path = |of: &Value| of["path"].as_str().unwrap().to_owned();
        if let Some(add) = action.get("add") {
            let stats: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
            let rows = stats["numRecords"].as_u64().unwrap();
            let before = files.insert(path(add), rows);
            assert_eq!(before, None, "{} is added twice", path(add));
        }
        if let Some(remove) = action.get("remove") {
            assert_eq!(remove["dataChange"], false);
            let before = files.remove(&path(remove));
            assert!(before.is_some(), "{} is not there", path(remove));
        }
    }
    files
}

/// Every file that the table names is there.
pub(crate) async fn expect_files_there(store: &Store, what: &str) {
    for path in files(store).await.into_keys() {
        let size = store.size(&path.as_str().into()).await.unwrap();
        assert!(size.is_some(), "{what}: the table names {path}");
    }
}

/// The table has the live files and no others.
pub(crate) async fn expect_live(store: &Store, what: &str) {
    let (live, _) = mdca_lake::commit::live_files(store).await.unwrap();
    let live: BTreeMap<String, u64> = live.into_iter().map(|of| (of.path, of.rows)).collect();
    assert_eq!(files(store).await, live, "{what}");
    expect_files_there(store, what).await;
}

/// The status of a lake. What it takes from the table, the commits say, too.
pub(crate) async fn status_of(store: &Store, now_ms: i64) -> LakeStatus {
    let read = async || {
        status::read(store, now_ms, &Machine::untold())
            .await
            .unwrap()
    };
    let status = read().await;
    let mut log = Vec::new();
    for object in store.list(&"_delta_log".into()).await.unwrap() {
        let bytes = store.get(&object.location, u64::MAX).await.unwrap();
        store.delete(&object.location).await.unwrap();
        log.push((object.location, bytes.unwrap()));
    }
    let by_commits = read().await;
    for (path, bytes) in log {
        store.put(&path, bytes).await.unwrap();
    }
    let said = |status: &LakeStatus| {
        let mut said: Value = serde_json::from_str(&status.to_json()).unwrap();
        said.as_object_mut().unwrap().remove("table");
        said
    };
    assert_eq!(said(&status), said(&by_commits));
    status
}

fn ask(question: &str, lake: &Path) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/table.py");
    let mut command = Command::new(python());
    command.arg(script).arg(question).arg(lake);
    command
        .stdout(Stdio::piped())
        .spawn()
        .expect("run ./tests/run once: it makes the Python environment")
}

fn lines(child: Child, question: &str) -> Vec<String> {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{question} cannot read the table");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The rows that each engine finds in the table, sorted.
pub(crate) fn rows_by_engine(lake: &Path) -> Vec<(&'static str, Vec<Row>)> {
    let asked: Vec<Child> = ENGINES.iter().map(|engine| ask(engine, lake)).collect();
    let answers = ENGINES.into_iter().zip(asked).map(|(engine, child)| {
        let lines = lines(child, engine);
        let rows = lines.iter().map(|line| serde_json::from_str(line).unwrap());
        let mut rows: Vec<Row> = rows.collect();
        rows.sort();
        (engine, rows)
    });
    answers.collect()
}

/// The files of the table as another program reads its log, checkpoints and all.
pub(crate) fn files_by_engine(lake: &Path) -> Vec<String> {
    let mut files = lines(ask("files", lake), "files");
    files.sort();
    files
}

/// Which writes other programs refuse.
pub(crate) fn refused_writes(lake: &Path) -> Vec<String> {
    lines(ask("writes", lake), "writes")
}
