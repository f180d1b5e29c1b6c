//! What people ask a lake: the page of queries, and one set of questions to seven engines.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mdca_lake::schema;
use serde_json::Value;

use crate::support::engines::{self, Answers, has_spark};
use crate::support::readers;
use crate::support::scenario::{DAY_MS, Scenario, Story, at};

/// Set this to write the answers and the table anew.
const UPDATE: &str = "UPDATE_DOCS";

/// Where the table of engines stands in the README.
const BEGIN: &str = "<!-- engines: written by tests/it/commands/queries.rs -->\n";
const END: &str = "<!-- end of engines -->\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The lake that the page is about.
async fn three_days(activities: u64) -> Story {
    let from_ms = at("2026-10-01");
    let days = Scenario::window(from_ms, from_ms + 3 * DAY_MS);
    let (story, report) = days.activities(activities).run().await;
    assert_eq!(report.head.exit_code, 0);
    story
}

/// The engines that speak SQL of their own.
fn with_sql() -> &'static [&'static str] {
    if has_spark() {
        &["duckdb", "spark"]
    } else {
        &["duckdb"]
    }
}

fn asked(script: &str, arguments: &[&Path]) -> Value {
    readers::asked(&readers::python(), script, arguments, &Vec::new())
}

/// Holds a document against what it should be, or writes it so.
fn expect_document(path: &PathBuf, expected: &str) {
    if std::env::var_os(UPDATE).is_some() {
        fs::write(path, expected).unwrap();
    }
    let found = fs::read_to_string(path).unwrap();
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected, "run with {UPDATE}=1 and look at the diff");
    }
    assert_eq!(found.len(), expected.len(), "{}", path.display());
}

/// The page with these answers below its queries.
fn answered(page: &str, answers: &[(String, String)]) -> String {
    let mut rest = page;
    let mut out = String::new();
    for (query, answer) in answers {
        let fenced = format!("```sql\n{query}```\n");
        let at = rest.find(&fenced).expect("a query of the page") + fenced.len();
        out.push_str(&rest[..at]);
        write!(out, "\n{answer}").unwrap();
        rest = rest[at..].trim_start_matches('\n');
        // The answer that stands there is a table: its lines begin so.
        while rest.starts_with('|') {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        }
        rest = rest.trim_start_matches('\n');
        out.push_str(if rest.is_empty() { "" } else { "\n" });
    }
    out + rest
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_queries_shows_the_answers_that_duckdb_and_spark_give() {
    let story = three_days(4_000).await;
    let path = root().join("docs/queries.md");
    for engine in with_sql() {
        let answers = asked("queries.py", &[Path::new(engine), &path, story.lake()]);
        let answers: Vec<(String, String)> = serde_json::from_value(answers).unwrap();
        let page = fs::read_to_string(&path).unwrap();
        assert_eq!(answers.len(), page.matches("```sql\n").count());
        for (query, answer) in &answers {
            assert!(
                answer.lines().count() > 2,
                "{engine} found nothing: {query}"
            );
        }
        expect_document(&path, &answered(&page, &answers));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ddl_of_duckdb_and_spark_opens_a_lake() {
    let story = three_days(300).await;
    let room = tempfile::tempdir().unwrap();
    let page = room.path().join("page.md");
    let activity = schema::activity();
    for engine in with_sql() {
        let ddl = match *engine {
            "duckdb" => activity.to_duckdb(),
            _ => activity.to_spark(),
        };
        let ddl = ddl.replace("<lake>", "demo-lake");
        let query =
            "SELECT count(*) AS found FROM activities WHERE event_date >= DATE '2015-01-01'\n";
        let text = format!("```sql {engine}\n{ddl}```\n```sql\n{query}```\n");
        fs::write(&page, text).unwrap();
        let answers = asked("queries.py", &[Path::new(engine), &page, story.lake()]);
        let rows = story.expected_ids().len();
        assert_eq!(
            answers[0][1],
            format!("| found |\n|---|\n| {rows} |\n"),
            "{engine}"
        );
    }
}

/// Neither engine can be had here; somebody else's parser knows what they take.
#[test]
fn the_ddl_of_trino_and_athena_is_one_table_to_a_parser() {
    let activity = schema::activity();
    for (dialect, ddl) in [
        ("trino", activity.to_trino()),
        ("athena", activity.to_athena()),
    ] {
        let found = asked("ddl.py", &[Path::new(dialect), Path::new(&ddl)]);
        let schema = activity.arrow();
        let mut expected: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        expected.push("event_date");
        assert_eq!(found["columns"], serde_json::json!(expected), "{dialect}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seven_engines_answer_twelve_questions_as_the_records_do_before_and_after_compaction() {
    let story = three_days(1_500).await;
    let room = tempfile::tempdir().unwrap();
    let lake = room.path().join("lake");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(story.lake())
        .arg(&lake)
        .status();
    assert!(copied.unwrap().success());
    let report = story.compact(&[]).await;
    assert!(report.head.exit_code == 0 && report.days.compacted >= 3);
    let [lake, compacted] = [&lake, story.lake()].map(|path| path.to_str().unwrap());
    let found = engines::ask(lake, compacted, &story.truth(), &Vec::new());
    if found.len() == 7 {
        let readme = root().join("README.md");
        let text = fs::read_to_string(&readme).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let table = table(&found);
        expect_document(&readme, &format!("{before}{BEGIN}{table}{END}{after}"));
    }
}

/// The engines and what they were asked, as a table in Markdown.
fn table(found: &Answers) -> String {
    let engines: Vec<&str> = found.keys().map(String::as_str).collect();
    let mut out = format!("| | {} |\n", engines.join(" | "));
    writeln!(out, "|{}", "---|".repeat(engines.len() + 1)).unwrap();
    let questions: Vec<&String> = found.values().next().unwrap().keys().collect();
    for question in questions {
        let right = found.values().map(|answers| match answers[question] {
            None => " yes |",
            Some(_) => " no |",
        });
        writeln!(out, "| {question} |{}", right.collect::<String>()).unwrap();
    }
    out
}
