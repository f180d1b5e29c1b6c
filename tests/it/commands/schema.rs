//! What is derived from the schema: golden copies beside it.

use std::fs;
use std::path::Path;

use mdca_lake::schema;
use mdca_lake::write;

/// Set this to write the golden copies anew.
const UPDATE: &str = "UPDATE_SCHEMAS";

#[test]
fn the_golden_copies_are_what_the_schema_says() {
    let activity = schema::activity();
    let derived = [
        ("arrow.txt", activity.to_arrow_text()),
        (
            "parquet.txt",
            write::message_type(activity.arrow()).unwrap(),
        ),
        ("duckdb.sql", activity.to_duckdb()),
        ("spark.sql", activity.to_spark()),
        ("trino.sql", activity.to_trino()),
        ("athena.sql", activity.to_athena()),
        ("delta.json", activity.to_delta() + "\n"),
        ("md", activity.to_markdown()),
    ];
    for (ending, text) in derived {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/activity.v1.{ending}"));
        if std::env::var_os(UPDATE).is_some() {
            fs::write(&path, &text).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            golden == text,
            "{} is out of date: run with {UPDATE}=1 and look at the diff",
            path.display()
        );
    }
}
