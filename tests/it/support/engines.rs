//! The twelve questions of `tests/readers/matrix.py` to several engines, about one lake before and after
//! `compact`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mdca_lake::schema;
use mdca_sim::Record;

use super::readers::{self, Variables};

/// By engine and question what is wrong with the answer.
pub(crate) type Answers = BTreeMap<String, BTreeMap<String, Option<String>>>;

/// The engines that share a Python environment, but for Spark.
const TOGETHER: [&str; 5] = ["DuckDB", "pyarrow", "Polars", "DataFusion", "chDB"];

/// Every engine says something of each.
const QUESTIONS: usize = 12;

/// Spark needs Java, and `./tests/run` says so where there is none.
pub(crate) fn has_spark() -> bool {
    std::env::var_os("MDCA_TEST_NO_SPARK").is_none()
}

/// The interpreter that has Sail; `None`, loudly, where it cannot be had.
pub(crate) fn sail() -> Option<PathBuf> {
    let python = std::env::var_os("MDCA_TEST_SAIL_PYTHON").map(PathBuf::from);
    if python.is_none() {
        println!("GAP: MDCA_TEST_SAIL_PYTHON is not set: Sail is not asked");
    }
    python
}

/// What all engines answer about a lake, and about the same after `compact`: what the records say.
/// A copy is left beside the lake.
pub(crate) fn ask(lake: &str, compacted: &str, truth: &[Record], variables: &Variables) -> Answers {
    let room = tempfile::tempdir().unwrap();
    let records = room.path().join("records.ndjson");
    let lines: Vec<&str> = truth.iter().map(|record| record.json.as_str()).collect();
    fs::write(&records, lines.join("\n")).unwrap();
    let schema = schema::activity().arrow();
    let columns: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let columns = serde_json::to_string(&columns).unwrap();
    let asked = |python: &Path, engines: &[&str]| -> Answers {
        let mut arguments = vec![Path::new(lake), Path::new(compacted), &records];
        arguments.push(Path::new(&columns));
        arguments.extend(engines.iter().map(Path::new));
        let found = readers::asked(python, "matrix.py", &arguments, variables);
        serde_json::from_value(found).unwrap()
    };
    let mut together = TOGETHER.to_vec();
    // Spark comes from PyPI without the jar by which it reads from a store.
    if has_spark() && !lake.contains("://") {
        together.push("Spark");
    }
    let mut answers = asked(&readers::python(), &together);
    if let Some(python) = sail() {
        answers.extend(asked(&python, &["Sail"]));
        together.push("Sail");
    }
    together.sort_unstable();
    assert!(
        answers.keys().eq(together),
        "answered by {:?}",
        answers.keys()
    );
    let counts = answers.values().map(BTreeMap::len);
    assert_eq!(counts.min(), Some(QUESTIONS), "{answers:?}");
    let wrong: Vec<String> = answers
        .iter()
        .flat_map(|(engine, answers)| {
            let wrong = move |(question, wrong): (&String, &Option<String>)| {
                Some(format!("{engine}, {question}: {}", wrong.as_ref()?))
            };
            answers.iter().filter_map(wrong)
        })
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
    answers
}
