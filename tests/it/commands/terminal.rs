//! What a person sees while a scan is at work, in a terminal of its own.

use std::path::Path;
use std::process::Command;

use mdca_sim::{At, Fault, SimOptions, What};
use serde_json::Value;

use crate::support::process::{Lake, Place};
use crate::support::readers;

/// What came of a scan in a terminal.
struct Seen {
    columns: usize,
    code: i64,
    terminal: String,
    stdout: String,
}

/// Scans in a terminal of this size. Ctrl-C is pressed once `after` was seen.
fn scan(lake: &Lake<'_>, [columns, rows]: [u16; 2], after: &str, flags: &[&str]) -> Seen {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/terminal.py");
    let mut python = Command::new(readers::python());
    python
        .arg(script)
        .args([columns.to_string(), rows.to_string()])
        .arg(after);
    let output = lake.scan_through(python).args(flags).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |name: &str| seen[name].as_str().unwrap().to_owned();
    Seen {
        columns: usize::from(columns),
        code: seen["code"].as_i64().unwrap(),
        terminal: text("terminal"),
        stdout: text("stdout"),
    }
}

impl Seen {
    /// The rows of the terminal, without what steers it. The view fills its rows with spaces.
    fn lines(&self) -> Vec<String> {
        let mut plain = String::new();
        let mut chars = self.terminal.chars();
        while let Some(char) = chars.next() {
            match char {
                '\u{1b}' => {
                    chars.by_ref().find(char::is_ascii_alphabetic);
                }
                '\r' => plain.push('\n'),
                char => plain.push(char),
            }
        }
        let rows = plain.lines().flat_map(|line| {
            let chars: Vec<char> = line.chars().collect();
            let rows: Vec<String> = chars
                .chunks(self.columns)
                .map(|row| row.iter().collect())
                .collect();
            rows
        });
        let rows = rows.map(|row| row.trim_end().to_owned());
        rows.filter(|row| !row.is_empty()).collect()
    }

    /// The rows that are left on the screen in the end, by what a terminal makes of its text.
    fn screen(&self) -> Vec<String> {
        let mut rows = vec![Vec::new()];
        let (mut row, mut column) = (0, 0);
        let mut chars = self.terminal.chars();
        while let Some(char) = chars.next() {
            match char {
                '\r' => column = 0,
                '\n' => row += 1,
                '\u{1b}' => {
                    let steps: String = chars.by_ref().skip(1).collect();
                    let end = steps.find(|char: char| char.is_ascii_alphabetic()).unwrap();
                    let many = steps[..end].parse().unwrap_or(1);
                    match &steps[end..=end] {
                        "A" => row -= many,
                        "B" => row += many,
                        "K" if &steps[..end] == "2" => rows[row].clear(),
                        "K" => rows[row].truncate(column),
                        // Colours.
                        "m" => {}
                        other => panic!("the test's terminal does not know {other}: {steps}"),
                    }
                    chars = self.terminal[self.terminal.len() - steps.len() + end + 1..].chars();
                }
                char => {
                    // A row that is full goes on below with the next character, not before.
                    if column == self.columns {
                        (row, column) = (row + 1, 0);
                    }
                    rows.resize(rows.len().max(row + 1), Vec::new());
                    let length = rows[row].len().max(column + 1);
                    rows[row].resize(length, ' ');
                    rows[row][column] = char;
                    column += 1;
                }
            }
            rows.resize(rows.len().max(row + 1), Vec::new());
            // At the edge every move starts from the last column.
            if matches!(char, '\u{1b}') {
                column = column.min(self.columns - 1);
            }
        }
        let rows = rows.iter().map(|row| row.iter().collect::<String>());
        rows.map(|row| row.trim_end().to_owned()).collect()
    }

    /// Nothing of the view is left.
    fn expect_cleared(&self) {
        for row in self.screen() {
            for words in [
                " slices, ",
                "records (",
                " requests, ",
                "\u{2588}",
                "\u{2591}",
            ] {
                assert!(!row.contains(words), "{row}: {:?}", self.terminal);
            }
        }
    }

    fn has(&self, words: &[&str]) -> bool {
        self.lines()
            .iter()
            .any(|line| words.iter().all(|word| line.contains(word)))
    }

    /// Each line of the view has a row of its own, and the report comes whole.
    fn expect_tidy(&self) {
        for row in self.lines() {
            assert!(!row.contains("records (") || row.contains("/s)"), "{row}");
            assert!(
                !row.contains("request, ") || row.contains("last minute"),
                "{row}"
            );
        }
        self.expect_cleared();
        let report: Value = serde_json::from_str(&self.stdout).unwrap();
        assert_eq!(report["exit_code"], self.code);
    }
}

fn place(faults: Vec<Fault>) -> Place {
    let options = SimOptions {
        faults,
        ..SimOptions::default()
    };
    Place::new("2026-10-01", "2026-10-01T06:00:00Z", 200, options)
}

#[test]
fn the_view_says_slices_records_requests_and_what_is_waited_for() {
    let place = place(vec![Fault::new(At::Page(2), What::throttled(Some(3)))]);
    for size in [[80, 24], [200, 50]] {
        let seen = scan(
            &place.lake(),
            size,
            "",
            &["--requests-per-minute", "30", "--parallel", "1"],
        );
        assert_eq!(seen.code, 0, "{:?}", seen.lines());
        seen.expect_tidy();
        assert!(seen.has(&["of 6 slices"]), "{:?}", seen.lines());
        assert!(seen.has(&["records (", "/s)"]), "{:?}", seen.lines());
        assert!(
            seen.has(&["requests, ", " of 30 in the last minute"]),
            "{:?}",
            seen.lines()
        );
        if size[0] == 80 {
            let pause = ["waits 2 s as the service asked"];
            assert!(seen.has(&pause), "{:?}", seen.lines());
            assert!(seen.terminal.contains("http_429"), "{:?}", seen.lines());
        }
    }
}

#[test]
fn the_view_gives_way_to_a_failure_and_to_ctrl_c() {
    let place = place(vec![]);
    for size in [[80, 24], [200, 50]] {
        let seen = scan(
            &place.lake(),
            size,
            "waits",
            &["--requests-per-minute", "2"],
        );
        assert_eq!(seen.code, 130, "{:?}", seen.lines());
        seen.expect_tidy();
        // The terminal said so itself, in the middle of the view.
        assert!(seen.terminal.contains("^C"), "{:?}", seen.terminal);
        assert!(seen.has(&["for the request budget"]), "{:?}", seen.lines());
    }
    place
        .sim
        .add_fault(Fault::new(At::Every, What::gateway(503)).always());
    let lake = place.lake();
    let seen = scan(&lake, [80, 24], "", &["--max-attempts", "2"]);
    assert_eq!(seen.code, 4, "{:?}", seen.lines());
    seen.expect_tidy();
    assert!(!seen.terminal.contains("\u{1b}[1m"), "{:?}", seen.terminal);
}
