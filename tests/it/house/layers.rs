//! The house: which room may use which, and that no two files use each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The rooms of `src`, and what each may use. An import that is not here is either a mistake or a
/// decision: then it is written down here.
const ROOMS: &[(&str, &str)] = &[
    ("cli", "convert job scan schema write"),
    ("config", "cli convert error job scan sign_in window write"),
    ("check", "clock error job layout scan store text window"),
    (
        "status",
        "commit error job layout store table text window write",
    ),
    (
        "verify",
        "commit error layout read scan schema status store table text window write",
    ),
    (
        "job",
        "classify clock commit convert decode error layout partition read scan schema store table text window write",
    ),
    (
        "error",
        "clock commit convert decode partition read scan store table window write",
    ),
    (
        "table",
        "clock commit layout read schema store text window write",
    ),
    ("read", "schema store text window write"),
    (
        "classify",
        "commit decode layout scan schema store text window",
    ),
    ("commit", "clock layout store text window write"),
    ("write", "layout partition schema store"),
    ("partition", "layout schema"),
    ("convert", "decode layout store text"),
    ("decode", "schema text window"),
    ("scan", "clock https sign_in text window"),
    ("sign_in", "clock https text"),
    ("store", "https text"),
    ("layout", "window"),
    ("schema", ""),
    ("window", ""),
    ("text", ""),
    ("clock", ""),
    ("https", ""),
];

/// A file of `src` by its names from the root: `job/report.rs` is `["job", "report"]`.
type Module = Vec<String>;

/// The modules of `src`, their code without tests and comments.
fn modules() -> BTreeMap<Module, String> {
    let mut found = BTreeMap::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            if path.is_dir() && name != "tests" {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") && name != "tests" {
                let below = path.strip_prefix(&root).unwrap().with_extension("");
                let mut module: Module = below
                    .iter()
                    .map(|name| name.to_str().unwrap().to_owned())
                    .collect();
                module.retain(|name| name != "mod");
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
                let lines = code.lines().map(|line| line.split("//").next().unwrap());
                found.insert(module, lines.collect::<Vec<_>>().join("\n"));
            }
        }
    }
    found
}

/// What follows each `start` in a text, as far as it is a path: `a::{b, c::d}` is two.
fn paths_after(code: &str, start: &str) -> Vec<Module> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices(start) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        expand(&code[at + start.len()..], &[], &mut paths);
    }
    paths
}

/// Reads one path with its groups; returns what stands behind it.
fn expand<'t>(mut text: &'t str, above: &[String], paths: &mut Vec<Module>) -> &'t str {
    let mut path = above.to_vec();
    loop {
        text = text.trim_start();
        if let Some(mut group) = text.strip_prefix('{') {
            loop {
                group = expand(group, &path, paths).trim_start();
                match group.strip_prefix(',') {
                    Some(next) => group = next,
                    None => return group.strip_prefix('}').unwrap_or(group),
                }
            }
        }
        let end = text
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(text.len());
        if end > 0 && &text[..end] != "self" {
            path.push(text[..end].to_owned());
        }
        match text[end..].strip_prefix("::") {
            Some(next) => text = next,
            None => break,
        }
    }
    if path.len() > above.len() || !path.is_empty() {
        paths.push(path);
    }
    let end = text.find([',', '}', ';']).unwrap_or(text.len());
    &text[end..]
}

/// The names that a room's face hands on, and the file that each comes from.
fn handed_on(modules: &BTreeMap<Module, String>) -> BTreeMap<Module, Module> {
    let mut from = BTreeMap::new();
    for (room, code) in modules {
        for start in ["pub use ", "pub(crate) use ", "pub(super) use "] {
            for path in paths_after(code, start) {
                let file: Module = room.iter().chain(&path[..1]).cloned().collect();
                if modules.contains_key(&file) && path.len() > 1 {
                    let name: Module = room.iter().chain(path.last()).cloned().collect();
                    from.insert(name, file);
                }
            }
        }
    }
    from
}

/// Which file uses which.
fn uses(modules: &BTreeMap<Module, String>) -> BTreeMap<&Module, BTreeSet<Module>> {
    let handed_on = handed_on(modules);
    let file_of = |path: &[String]| {
        (1..=path.len()).rev().find_map(|length| {
            let path = path[..length].to_vec();
            let known = modules.contains_key(&path).then(|| path.clone());
            handed_on.get(&path).cloned().or(known)
        })
    };
    let mut found: BTreeMap<&Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, code) in modules {
        let above = &module[..module.len().saturating_sub(1)];
        let higher = &above[..above.len().saturating_sub(1)];
        // The program in `bin/mdca-lake` is a crate of its own.
        let root = if module[0] == "bin" { 2 } else { 0 };
        let from = [
            ("crate::", &module[..root]),
            ("super::super::", higher),
            ("super::", above),
        ];
        for (start, base) in from {
            for path in paths_after(code, start) {
                if path[0] == "super" {
                    continue;
                }
                let path: Module = base.iter().chain(&path).cloned().collect();
                // A face names the files of its room: that is what it is for.
                let target = file_of(&path).filter(|target| !target.starts_with(module));
                found.entry(module).or_default().extend(target);
            }
        }
    }
    found
}

#[test]
fn each_room_uses_only_the_rooms_that_it_may() {
    let modules = modules();
    let rooms: BTreeMap<&str, BTreeSet<&str>> = ROOMS
        .iter()
        .map(|(room, may)| {
            (
                *room,
                may.split(' ').filter(|may| !may.is_empty()).collect(),
            )
        })
        .collect();
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let graph = uses(&modules);
    for (module, targets) in &graph {
        if ["bin", "lib"].contains(&module[0].as_str()) {
            continue;
        }
        let others = targets.iter().map(|other| other[0].as_str());
        let others = others.filter(|other| *other != module[0]);
        used.entry(&module[0]).or_default().extend(others);
    }
    for (room, used) in &used {
        let may = rooms
            .get(room)
            .unwrap_or_else(|| panic!("{room} is a new room"));
        let not_allowed: Vec<_> = used.difference(may).collect();
        assert!(not_allowed.is_empty(), "{room} uses {not_allowed:?}");
    }
    assert_eq!(
        used["job"].len(),
        rooms["job"].len(),
        "the table says more than there is"
    );
}

#[test]
fn no_two_files_use_each_other_by_any_way() {
    let modules = modules();
    let graph = uses(&modules);
    assert!(
        graph.values().map(BTreeSet::len).sum::<usize>() > 300,
        "too little was read"
    );
    let mut done = BTreeSet::new();
    for module in modules.keys() {
        walk(module, &graph, &mut Vec::new(), &mut done);
    }
}

/// Follows the uses of a file; one that is met again on its own way is a circle.
fn walk(
    module: &Module,
    graph: &BTreeMap<&Module, BTreeSet<Module>>,
    way: &mut Vec<Module>,
    done: &mut BTreeSet<Module>,
) {
    if done.contains(module) {
        return;
    }
    assert!(
        !way.contains(module),
        "a circle: {way:?} and {module:?} again"
    );
    way.push(module.clone());
    for next in graph.get(module).into_iter().flatten() {
        walk(next, graph, way, done);
    }
    way.pop();
    done.insert(module.clone());
}
