//! What a command leaves to be read.

use std::fmt;

use serde::Serialize;

use crate::text::plain::{PlainText, json_line};

/// A report: a text for people, one line of JSON for machines, and the exit code that goes with both.
pub trait Report: Serialize + Sized {
    /// The exit code of the command.
    fn exit_code(&self) -> u8;

    /// Writes the text for people.
    ///
    /// # Errors
    /// None that `out` does not give; a text takes anything.
    fn write(&self, out: &mut PlainText) -> fmt::Result;

    /// The report for people.
    fn to_text(&self) -> String {
        let mut out = PlainText::new();
        self.write(&mut out).expect("a text takes anything");
        out.into_string()
    }

    /// The report as one line of JSON.
    fn to_json(&self) -> String {
        json_line(self)
    }
}
