//! The words that people read: help, README, and every text in the sources. One form for errors (*what
//! could not be done: why*), and no turn of phrase that makes a reader stop.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Turns of phrase that are not used, each as it would stand in a text.
const AVOIDED: [&str; 12] = [
    " is no ",
    " are no ",
    "mend",
    "whoever",
    "who is overtaken",
    "go on:",
    ": give ",
    "; give ",
    "of a neighbour",
    "in all\n",
    "will be found out",
    "on their way",
];

/// Words that hold one of those and are meant.
const MEANT: [&str; 5] = [
    "recommend",
    "amend",
    "commend",
    "there are no ",
    "there is no ",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The text of a source that a user may meet: string literals, and doc comments of flags. Plain
/// comments and unit tests are ours.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("\n#[cfg(test)]\nmod tests").next().unwrap();
    let mut literals = Vec::new();
    let mut chars = source.chars().peekable();
    let mut before = ' ';
    while let Some(char) = chars.next() {
        match char {
            '/' if chars.peek() == Some(&'/') => {
                chars.by_ref().find(|char| *char == '\n');
            }
            // A character, which may be a quote; not a lifetime.
            '\'' => {
                let first = chars.next();
                if first == Some('\\') {
                    chars.next();
                }
                if chars.peek() == Some(&'\'') || first == Some('\\') {
                    chars.by_ref().find(|char| *char == '\'');
                }
            }
            '"' => literals.push(literal(&mut chars, before == 'r')),
            '#' if before == 'r' && chars.peek() == Some(&'"') => {
                chars.next();
                literals.push(raw(&mut chars));
            }
            _ => {}
        }
        before = char;
    }
    literals
}

fn literal(chars: &mut impl Iterator<Item = char>, is_raw: bool) -> String {
    let mut text = String::new();
    while let Some(char) = chars.next() {
        match char {
            '"' => break,
            '\\' if !is_raw => text.extend(chars.next()),
            char => text.push(char),
        }
    }
    text
}

fn raw(chars: &mut impl Iterator<Item = char>) -> String {
    let mut text = String::new();
    for char in chars {
        if char == '#' && text.ends_with('"') {
            text.pop();
            break;
        }
        text.push(char);
    }
    text
}

/// Whichever of the turns a text holds.
fn avoided_in(text: &str) -> Vec<&'static str> {
    let mut text = text.to_lowercase();
    for meant in MEANT {
        text = text.replace(meant, "…");
    }
    let found = AVOIDED.iter().filter(|turn| text.contains(**turn));
    found.copied().collect()
}

fn expect_plain(place: &str, text: &str, wrong: &mut Vec<String>) {
    for turn in avoided_in(text) {
        wrong.push(format!("{place}: '{turn}' in: {}", text.trim()));
    }
}

#[test]
fn no_text_for_people_has_a_turn_of_phrase_that_is_avoided() {
    let mut wrong = Vec::new();
    for command in ["", "scan", "demo", "status", "verify", "export", "schema"] {
        let output = Command::new(env!("CARGO_BIN_EXE_mdca-lake"))
            .args([command, "--help"].iter().filter(|arg| !arg.is_empty()))
            .output()
            .unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        for line in help.lines() {
            expect_plain(&format!("{command} --help"), line, &mut wrong);
        }
    }
    for document in ["README.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for line in text.lines() {
            expect_plain(document, line, &mut wrong);
        }
    }
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut seen = 0;
    for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
        for literal in literals(&fs::read_to_string(file).unwrap()) {
            seen += 1;
            expect_plain(&file.display().to_string(), &literal, &mut wrong);
        }
    }
    assert!(seen > 1_000, "the texts were found: {seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What could not be done stands first in every error that names an action.
#[test]
fn errors_begin_with_what_could_not_be_done() {
    const VERBS: [&str; 22] = [
        "accept", "account", "ask", "change", "commit", "connect", "create", "get", "go", "have",
        "learn", "lay", "make", "open", "page", "pick", "read", "rely", "scan", "sign", "split",
        "write",
    ];
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for attribute in text.split("#[error(").skip(1) {
            let Some(message) = literals(attribute).into_iter().next() else {
                continue;
            };
            seen += 1;
            let first = message.split(' ').next().unwrap();
            if VERBS.contains(&first) {
                wrong.push(format!("{}: {message}", file.display()));
            }
        }
    }
    assert!(seen > 60, "the errors were found: {seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_texts_of_a_source_are_found() {
    let source = r##"
        // "not this"
        let a = "one \"quoted\" text"; let b = '"'; let c: &'static str = r#"a "raw" one"#;
        let d = '\''; let e = "last";
"##;
    assert_eq!(
        literals(source),
        ["one \"quoted\" text", "a \"raw\" one", "last"]
    );
    assert_eq!(avoided_in("I recommend: there is no lake"), [""; 0]);
    assert_eq!(
        avoided_in("'x' is no time; give one"),
        [" is no ", "; give "]
    );
}

/// Documents go out of date where they name files that have moved.
#[test]
fn documents_name_files_that_exist() {
    for document in ["README.md", ".github/CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let words = text.split(|c: char| !c.is_alphanumeric() && !"/_.-".contains(c));
        let named = words.filter(|word| word.starts_with("src/") || word.starts_with("tests/"));
        let named: Vec<&str> = named.map(|word| word.trim_end_matches('.')).collect();
        assert!(named.len() > 3, "{document}: {named:?}");
        for path in named {
            assert!(root().join(path).exists(), "{document} names {path}");
        }
    }
}
