//! Imports go one way. The rooms of `src` (a file or a folder at its top) stand here in their order, and
//! each may use only those before it, so no circle can close.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Layers and their rooms, the lowest first.
const LAYERS: [(&str, &[&str]); 4] = [
    (
        "vocabulary",
        &[
            "checksum",
            "clock",
            "fingerprint",
            "https",
            "outline",
            "plain_text",
            "process",
            "redact",
            "schema",
            "units",
            "window",
            "oddities",
            "memory",
            "progress",
        ],
    ),
    (
        "stages",
        &[
            "late",
            "scan",
            "decode",
            "partition",
            "store",
            "write",
            "commit",
            "plan",
            "sift",
            "rejects",
            "holes",
            "read",
        ],
    ),
    (
        "job",
        &[
            "error",
            "failures",
            "report",
            "clocks",
            "outage",
            "world",
            "beat",
            "turns",
            "runs",
            "setup",
            "first_request",
            "host_change",
            "attempt",
            "job",
        ],
    ),
    (
        "shell",
        &["status", "verify", "stop", "cli", "config", "demo"],
    ),
];

/// What may use everything: the map, and what puts the program together.
const ROOTS: [&str; 2] = ["lib", "main"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(source()).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str();
    first.unwrap().trim_end_matches(".rs").to_owned()
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "tests" || name == "tests.rs" {
            continue;
        }
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The rooms that a source names, its comments and unit tests left out.
fn used_by(source: &str) -> BTreeSet<String> {
    let code = source.split("\n#[cfg(test)]\nmod tests").next().unwrap();
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    let code: String = lines.collect::<Vec<_>>().join("\n");
    let mut used = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let names = match after.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap(),
            None => after,
        };
        let is_group = after.starts_with('{');
        for name in names.split(',').take(if is_group { usize::MAX } else { 1 }) {
            let name = name.trim();
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
            let name = &name[..end.unwrap_or(name.len())];
            used.insert(name.to_owned());
        }
    }
    used
}

#[test]
fn a_room_uses_only_rooms_before_it() {
    let order: Vec<&str> = LAYERS
        .iter()
        .flat_map(|(_, rooms)| *rooms)
        .copied()
        .collect();
    let place = |room: &str| order.iter().position(|name| *name == room);
    let mut sources = Vec::new();
    files(&source(), &mut sources);
    let mut wrong = Vec::new();
    let mut arrows = 0;
    for path in &sources {
        let room = room_of(path);
        if ROOTS.contains(&room.as_str()) {
            continue;
        }
        let Some(own) = place(&room) else {
            wrong.push(format!(
                "src/{room} is in no layer: give it its place in LAYERS"
            ));
            continue;
        };
        for used in used_by(&fs::read_to_string(path).unwrap()) {
            let Some(other) = place(&used) else {
                continue;
            };
            arrows += usize::from(other != own);
            if other > own {
                wrong.push(format!(
                    "{} uses {used}, which comes after {room}",
                    path.display()
                ));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(arrows > 100, "the imports were found: {arrows}");
}

#[test]
fn the_rooms_that_a_source_uses_are_found() {
    let source = "use crate::window::{Slice, TimeWindow};\nuse crate::{clock, commit::Commit};\n// crate::job\nlet x = crate::error::E;\n#[cfg(test)]\nmod tests { use crate::demo; }";
    let used: Vec<String> = used_by(source).into_iter().collect();
    assert_eq!(used, ["clock", "commit", "error", "window"]);
}
