//! The text of the column `unmapped`: what the other columns cannot give back.
//!
//! It mirrors the record's nesting. Objects are opened only when something is written below them,
//! so that a record without oddities has no text at all; positions in a list are keys of an object.

use super::text;

/// One step of the path from the record to what is being decoded.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'t> {
    /// A key that the schema knows.
    Key(&'t str),
    /// A position in a list.
    Index(usize),
}

/// The text of one record's `unmapped`, written while the record is decoded.
#[derive(Debug, Default)]
pub(super) struct Unmapped<'t> {
    text: String,
    path: Vec<Step<'t>>,
    /// How many steps of the path stand open in the text.
    open: usize,
}

/// A state of [`Unmapped`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    text: usize,
    path: usize,
    open: usize,
}

impl<'t> Unmapped<'t> {
    /// Goes one step down.
    pub(super) fn enter(&mut self, step: Step<'t>) {
        self.path.push(step);
    }

    /// Goes one step up, closing what was opened.
    pub(super) fn leave(&mut self) {
        self.path.pop();
        if self.open > self.path.len() {
            self.open = self.path.len();
            self.text.push('}');
        }
    }

    /// Writes a value under a key that the schema knows, or at a position.
    pub(super) fn write(&mut self, step: Step<'_>, token: &str) {
        self.open_path();
        push_step(&mut self.text, step);
        self.text.push_str(token);
    }

    /// Writes a value under a key of the record's own.
    pub(super) fn write_unknown(&mut self, key: &str, token: &str) {
        self.open_path();
        push_key(&mut self.text, key);
        self.text.push_str(token);
    }

    /// Where it stands, to come back to.
    pub(super) fn begun(&self) -> Begun {
        Begun {
            text: self.text.len(),
            path: self.path.len(),
            open: self.open,
        }
    }

    /// Takes back what was written since.
    pub(super) fn back_to(&mut self, begun: Begun) {
        self.text.truncate(begun.text);
        self.path.truncate(begun.path);
        self.open = begun.open;
    }

    /// Ends the record: its text, if there is any. The next record starts anew.
    pub(super) fn end_record(&mut self, take: impl FnOnce(Option<&str>)) {
        self.path.clear();
        self.open = 0;
        if self.text.is_empty() {
            take(None);
        } else {
            self.text.push('}');
            take(Some(&self.text));
            self.text.clear();
        }
    }

    /// The place below the present path, for people: `mainInfo.eventObjects[2].name`.
    pub(super) fn place(&self, key: &str) -> String {
        let mut place = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) if place.is_empty() => place.push_str(key),
                Step::Key(key) => {
                    place.push('.');
                    place.push_str(key);
                }
                Step::Index(index) => {
                    place.push('[');
                    place.push_str(&index.to_string());
                    place.push(']');
                }
            }
        }
        if !place.is_empty() && !key.is_empty() {
            place.push('.');
        }
        place + key
    }

    fn open_path(&mut self) {
        if self.text.is_empty() {
            self.text.push('{');
        }
        for step in &self.path[self.open..] {
            push_step(&mut self.text, *step);
            self.text.push('{');
        }
        self.open = self.path.len();
    }
}

fn push_step(out: &mut String, step: Step<'_>) {
    match step {
        Step::Key(key) => push_key(out, key),
        Step::Index(index) => push_key(out, &index.to_string()),
    }
}

fn push_key(out: &mut String, key: &str) {
    // No value ends with an opening brace, so one means that this is the first member.
    if !out.ends_with('{') {
        out.push(',');
    }
    text::push_token(out, key);
    out.push(':');
}
