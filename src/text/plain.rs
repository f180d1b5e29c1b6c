//! Text from outside (of a record, an answer, a store, a lake) on its way to a terminal, a log or a
//! report: what would steer a terminal or hide what stands there is written as an escape.
//!
//! This is the one way. Reports for people are written into a [`PlainText`], reports for machines come
//! from [`json_line`], and whatever goes to stderr passes [`one_line`].

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write};

use serde::Serialize;

/// An error with its causes, outermost first, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // A transparent variant says the same as its source.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// Whether a character steers what shows it: control characters, marks that turn the direction of
/// writing (Unicode's UAX 9, section 2), and the separators of lines and paragraphs.
pub fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// The text with each character that steers as an escape of Rust's: `\n`, `\u{1b}`, `\u{202e}`.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_steering) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_steering(c) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    Cow::Owned(plain)
}

/// A value as one line of JSON, its line end included. Characters that steer are escapes of JSON's.
///
/// # Panics
/// If the value does not serialise; those of this program do.
pub fn json_line(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("a report serialises to JSON");
    let mut line = json_text(&json).into_owned();
    line.push('\n');
    line
}

/// A text of JSON that means the same, with each character that steers as an escape. Only inside
/// strings can there be any: `serde_json` writes no white space of its own.
pub fn json_text(json: &str) -> Cow<'_, str> {
    if !json.contains(is_steering) {
        return Cow::Borrowed(json);
    }
    let mut plain = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_steering(c) {
            // All of them lie in the basic plane.
            write!(plain, "\\u{:04x}", u32::from(c)).expect("a String takes any text");
        } else {
            plain.push(c);
        }
    }
    Cow::Owned(plain)
}

/// A text for people, made with `write!` and `writeln!`: whatever they are given stays on its line.
/// The line end with which `writeln!` ends is the only one that ends a line.
#[derive(Debug, Default)]
pub struct PlainText(String);

impl PlainText {
    /// An empty text.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Write for PlainText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(&one_line(text));
        Ok(())
    }

    fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> fmt::Result {
        let written = arguments.to_string();
        match written.strip_suffix('\n') {
            Some(line) => {
                self.write_str(line)?;
                self.0.push('\n');
                Ok(())
            }
            None => self.write_str(&written),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOSTILE: &str =
        "a\u{1b}[2J\r\nb\u{9b}31m\u{7f}\u{202e}c\u{2066}d\u{2028}e\u{2029}\u{61c}\u{200f}é漢🙂";

    #[test]
    fn what_steers_a_terminal_is_shown_as_an_escape() {
        assert_eq!(
            one_line(HOSTILE),
            r"a\u{1b}[2J\r\nb\u{9b}31m\u{7f}\u{202e}c\u{2066}d\u{2028}e\u{2029}\u{61c}\u{200f}é漢🙂"
        );
    }

    #[test]
    fn a_line_of_a_report_stays_one_line() {
        let mut text = PlainText::new();
        writeln!(text, "unknown     {HOSTILE} ({} times)", 3).unwrap();
        write!(text, "no end {HOSTILE}.").unwrap();
        writeln!(text).unwrap();
        let text = text.into_string();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.replace('\n', "").contains(is_steering), "{text}");
    }

    proptest! {
        #[test]
        fn json_means_the_same_and_steers_nothing(text in any::<String>()) {
            for text in [text, HOSTILE.to_owned()] {
                let line = json_line(&vec![&text]);
                let body = line.strip_suffix('\n').unwrap();
                prop_assert!(!body.contains(is_steering));
                let back: Vec<String> = serde_json::from_str(body).unwrap();
                prop_assert_eq!(&back[0], &text);
            }
        }

        #[test]
        fn text_that_steers_nothing_is_left_as_it_is(text in "[ -~é漢🙂]*") {
            let line = one_line(&text);
            prop_assert_eq!(line.as_ref(), text.as_str());
        }
    }
}
