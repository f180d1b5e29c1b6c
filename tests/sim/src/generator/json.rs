//! A writer of JSON text for generated records: appends to one string, allocates nothing per member.
//!
//! Objects keep the order in which members are written, or are put into alphabetical order when
//! they close; both occur in real records. Keys must need no escaping.

use std::fmt::Write as _;

/// The text written so far.
#[derive(Debug, Default)]
pub(crate) struct Json {
    out: String,
    /// The members of the objects that are open.
    members: Vec<Member>,
    scratch: String,
    alphabetical: bool,
}

/// Ordered by key; the first eight bytes as a number decide nearly always, at a tenth of the cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    prefix: u64,
    key: &'static str,
    start: usize,
}

impl Json {
    /// An empty text whose objects will be `alphabetical` or stay as written.
    pub(crate) fn new(alphabetical: bool) -> Self {
        Self {
            out: String::with_capacity(8 * 1024),
            members: Vec::with_capacity(96),
            scratch: String::new(),
            alphabetical,
        }
    }

    pub(crate) fn finish(mut self) -> String {
        self.out.shrink_to_fit();
        self.out
    }

    pub(crate) fn object(&mut self, body: impl FnOnce(&mut Self)) {
        self.separate_item();
        let first = self.members.len();
        let start = self.out.len() + 1;
        self.out.push('{');
        body(self);
        if self.alphabetical && !self.members[first..].is_sorted() {
            self.reorder(first, start);
        }
        self.members.truncate(first);
        self.out.push('}');
    }

    pub(crate) fn list(&mut self, body: impl FnOnce(&mut Self)) {
        self.separate_item();
        self.out.push('[');
        body(self);
        self.out.push(']');
    }

    /// Begins a member; a value must follow.
    pub(crate) fn key(&mut self, key: &'static str) -> &mut Self {
        if self.out.as_bytes().last() != Some(&b'{') {
            self.out.push(',');
        }
        let prefix = if self.alphabetical { prefix(key) } else { 0 };
        self.members.push(Member {
            prefix,
            key,
            start: self.out.len(),
        });
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
        self
    }

    pub(crate) fn text(&mut self, key: &'static str, value: &str) {
        self.key(key).string(value);
    }

    pub(crate) fn int(&mut self, key: &'static str, value: i64) {
        self.key(key);
        self.number(value);
    }

    pub(crate) fn null_item(&mut self) {
        self.separate_item();
        self.out.push_str("null");
    }

    pub(crate) fn bool(&mut self, key: &'static str, value: bool) {
        self.key(key);
        self.out.push_str(if value { "true" } else { "false" });
    }

    pub(crate) fn null(&mut self, key: &'static str) {
        self.raw(key, "null");
    }

    /// A member whose value is JSON text already.
    pub(crate) fn raw(&mut self, key: &'static str, json: &str) {
        self.key(key);
        self.out.push_str(json);
    }

    pub(crate) fn object_in(&mut self, key: &'static str, body: impl FnOnce(&mut Self)) {
        self.key(key).object(body);
    }

    pub(crate) fn list_in(&mut self, key: &'static str, body: impl FnOnce(&mut Self)) {
        self.key(key).list(body);
    }

    pub(crate) fn texts(&mut self, key: &'static str, values: &[&str]) {
        self.list_in(key, |json| {
            for value in values {
                json.string(value);
            }
        });
    }

    /// A string, as the value of the key before it or as an element.
    pub(crate) fn string(&mut self, value: &str) {
        self.separate_item();
        self.out.push('"');
        // Without a branch per byte, so that it is done many bytes at a time: nearly all texts are clean.
        if !value
            .bytes()
            .fold(false, |found, byte| found | needs_escape(byte))
        {
            self.out.push_str(value);
            self.out.push('"');
            return;
        }
        let mut clean_from = 0;
        for (at, byte) in value.bytes().enumerate() {
            if !needs_escape(byte) {
                continue;
            }
            self.out.push_str(&value[clean_from..at]);
            match byte {
                b'"' => self.out.push_str("\\\""),
                b'\\' => self.out.push_str("\\\\"),
                b'\n' => self.out.push_str("\\n"),
                _ => self.push(format_args!("\\u{byte:04x}")),
            }
            clean_from = at + 1;
        }
        self.out.push_str(&value[clean_from..]);
        self.out.push('"');
    }

    fn number(&mut self, value: i64) {
        self.out.push_str(itoa::Buffer::new().format(value));
    }

    fn push(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.out
            .write_fmt(arguments)
            .expect("writing into a string cannot fail");
    }

    /// A comma where the text ends in an element of a list. A key ends in `:`, an opening in `[`.
    fn separate_item(&mut self) {
        if !matches!(self.out.as_bytes().last(), None | Some(b'[' | b':')) {
            self.out.push(',');
        }
    }

    fn reorder(&mut self, first: usize, start: usize) {
        let end = self.out.len();
        let mut spans: Vec<(Member, usize)> = Vec::with_capacity(self.members.len() - first);
        for at in first..self.members.len() {
            let until = self.members.get(at + 1).map_or(end, |next| next.start - 1);
            spans.push((self.members[at], until));
        }
        spans.sort_unstable();
        self.scratch.clear();
        for (at, (member, until)) in spans.into_iter().enumerate() {
            if at > 0 {
                self.scratch.push(',');
            }
            self.scratch.push_str(&self.out[member.start..until]);
        }
        self.out.truncate(start);
        self.out.push_str(&self.scratch);
    }
}

fn prefix(key: &str) -> u64 {
    let mut bytes = [0; 8];
    let len = key.len().min(8);
    bytes[..len].copy_from_slice(&key.as_bytes()[..len]);
    u64::from_be_bytes(bytes)
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(alphabetical: bool) -> String {
        let mut json = Json::new(alphabetical);
        json.object(|o| {
            o.text("b", "x\"\\\n\u{1}é");
            o.int("a", -7);
            o.list_in("c", |l| {
                l.string("one");
                l.object(|o| {
                    o.bool("z", true);
                    o.null("y");
                });
                l.list(|_| {});
            });
        });
        json.finish()
    }

    #[test]
    fn objects_keep_the_written_order() {
        assert_eq!(
            example(false),
            r#"{"b":"x\"\\\n\u0001é","a":-7,"c":["one",{"z":true,"y":null},[]]}"#
        );
    }

    #[test]
    fn alphabetical_objects_are_ordered_at_every_level() {
        assert_eq!(
            example(true),
            r#"{"a":-7,"b":"x\"\\\n\u0001é","c":["one",{"y":null,"z":true},[]]}"#
        );
    }
}
