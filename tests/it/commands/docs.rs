//! The documents: what they tell people to run is run, in order, by somebody who has nothing but them; what they
//! link to is there.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mdca_lake::clock::{Clock, SystemClock};
use mdca_lake::error::ErrorKind;
use mdca_lake::schema;
use mdca_lake::window::format_time;
use mdca_sim::{AuthorityOptions, SimOptions};

use crate::support::process::{PROGRAM, Place};
use crate::support::readers;
use crate::support::scenario::DAY_MS;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn page(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// The blocks of a page that are marked so, in their order.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    for part in text.split("\n```").skip(1).step_by(2) {
        let (mark, block) = part.split_once('\n').unwrap();
        blocks.push((mark.to_owned(), block.to_owned()));
    }
    blocks
}

/// Somebody who follows a page, at a tenant with activities until now.
struct Reader {
    place: Place,
    secret: String,
}

impl Reader {
    fn new() -> Self {
        let now_ms = SystemClock::new().now_ms();
        let authority = AuthorityOptions::default();
        let secret = "a-s3cret~of-the-docs".to_owned();
        let options = SimOptions {
            authority: Some(AuthorityOptions {
                secrets: vec![secret.clone()],
                ..authority
            }),
            ..SimOptions::default()
        };
        let (from, until) = (format_time(now_ms - 3 * DAY_MS), format_time(now_ms));
        let place = Place::new(&from, &until, 300, options);
        fs::create_dir(place.room().join("bin")).unwrap();
        symlink(PROGRAM, place.room().join("bin/mdca-lake")).unwrap();
        Self { place, secret }
    }

    /// The text as it is for this reader.
    fn own(&self, text: &str) -> String {
        let AuthorityOptions {
            tenant, client_id, ..
        } = AuthorityOptions::default();
        let lake = self.place.room().join("lake").display().to_string();
        text.replace(
            "https://contoso.eu2.portal.cloudappsecurity.com",
            &self.place.sim.url(),
        )
        .replace("contoso.onmicrosoft.com", &tenant)
        .replace("00000000-0000-0000-0000-000000000000", &client_id)
        .replace(
            "MDCA_CLIENT_SECRET=…",
            &format!("MDCA_CLIENT_SECRET='{}'", self.secret),
        )
        .replace("/srv/lake", &lake)
    }

    /// Runs lines in a shell that stops at the first that fails.
    fn run(&self, lines: &str) -> Output {
        let AuthorityOptions {
            tenant, client_id, ..
        } = AuthorityOptions::default();
        let path = std::env::var("PATH").unwrap();
        let bin = self.place.room().join("bin");
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", lines])
            .current_dir(self.place.room())
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("MDCA_AUTHORITY", self.place.sim.url())
            .env("MDCA_ENTRA_TENANT", tenant)
            .env("MDCA_CLIENT_ID", client_id)
            .env("MDCA_CLIENT_SECRET", &self.secret)
            .env("MDCA_REQUESTS_PER_MINUTE", "0")
            .output()
            .unwrap()
    }
}

/// What `DuckDB` answers.
fn query(sql: &str) -> String {
    let script = "import duckdb, sys; print(duckdb.sql(sys.argv[1]).fetchall())";
    let output = Command::new(readers::python())
        .args(["-c", script, sql])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{sql}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_the_pages_tell_to_run_runs() {
    let reader = Reader::new();
    let mut ran = 0;
    for name in [
        "first-query.md",
        "scheduling.md",
        "exit-codes.md",
        "backfill.md",
        "moving-over.md",
    ] {
        // What one block exports, the next has.
        let mut before = String::new();
        for (mark, block) in blocks(&page(name)) {
            let block = reader.own(&block);
            match mark.as_str() {
                "sh" => {
                    ran += 1;
                    let lines = format!("{before}\n{block}");
                    let output = reader.run(&lines);
                    let said = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success(), "{name}: {block}: {said}");
                    let exports = block.lines().filter(|line| line.starts_with("export "));
                    before.extend(exports.map(|line| format!("{line}\n")));
                }
                "sql" => assert!(query(&block).len() > 10, "{block}"),
                other => panic!("{name}: {other}"),
            }
        }
    }
    assert!(ran >= 10, "{ran}");
}

#[test]
fn what_the_pages_name_is_there() {
    let names: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let index = page("README.md");
    for name in names.iter().filter(|name| *name != "README.md") {
        assert!(
            index.contains(&format!("]({name})")),
            "{name} is not in the index"
        );
    }
    for name in &names {
        for link in page(name).split("](").skip(1) {
            let link = link.split([')', '#']).next().unwrap();
            let is_outside = link.starts_with("http") || link.is_empty();
            assert!(is_outside || folder().join(link).exists(), "{name}: {link}");
        }
    }
}

#[test]
fn the_columns_of_the_agents_fields_are_columns() {
    let arrow = schema::activity().arrow();
    let columns: BTreeSet<&str> = arrow
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let text = page("moving-over.md");
    let (_, table) = text.split_once("| column here |").unwrap();
    let rows: Vec<&str> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(rows.len() >= 8, "{rows:?}");
    for row in rows {
        let column = row.trim_end_matches(" |").rsplit('`').nth(1).unwrap();
        assert!(columns.contains(column), "{row}");
    }
}

#[test]
fn every_exit_code_has_its_line() {
    let text = page("exit-codes.md");
    let codes = [
        ErrorKind::Internal,
        ErrorKind::Usage,
        ErrorKind::SignIn,
        ErrorKind::Service,
        ErrorKind::Data,
        ErrorKind::Storage,
        ErrorKind::Interrupted,
    ];
    for code in codes.map(ErrorKind::exit_code).into_iter().chain([0]) {
        assert!(text.contains(&format!("\n| {code} | ")), "{code}");
    }
}

#[test]
fn the_policy_for_s3_is_json() {
    let text = page("rights.md");
    let blocks = blocks(&text);
    assert_eq!(blocks[0].0, "json");
    let policy: serde_json::Value = serde_json::from_str(&blocks[0].1).unwrap();
    let actions = policy["Statement"][1]["Action"].as_array().unwrap();
    let readme = fs::read_to_string(folder().join("../README.md")).unwrap();
    for action in actions {
        assert!(readme.contains(action.as_str().unwrap()), "{action}");
    }
}
