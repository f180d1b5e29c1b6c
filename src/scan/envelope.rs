//! The outline of an answer: `data`, `hasNext`, `nextQueryFilters`, `total`.

use std::fmt;
use std::ops::Range;

use memchr::memmem;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::text::outline::{Broken, Elements, skip_space, string_end, value_end};

/// What some write before UTF-8; JSON has no place for it.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The longest continuation that is sent back: filters of a few hundred bytes are all that clients
/// have seen.
const MAX_NEXT_BYTES: usize = 1024 * 1024;

/// An answer, cut open; the records stay text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    /// Where the `data` array lies in the answer's text.
    pub(super) data: Range<usize>,
    /// Whether the array is `[]`.
    pub(super) is_empty: bool,
    /// Whether the service says that more is to come.
    pub(super) has_next: bool,
    /// What the next request is to send as its filters: opaque JSON.
    pub(super) next: Option<String>,
    /// How many records there are in all, by the service's own, approximate count.
    pub(super) total: Option<Total>,
    /// Members that nobody has described, some of them; their names may repeat what was sent.
    pub(super) unknown: Vec<String>,
}

/// What an answer gives as its `total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Total {
    /// So many records.
    Records(u64),
    /// Something that can be no count.
    Odd,
}

impl Total {
    fn parse(text: &str) -> Self {
        text.parse().map_or(Self::Odd, Self::Records)
    }

    /// The count, if it is one.
    pub(super) fn records(self) -> Option<u64> {
        match self {
            Self::Records(records) => Some(records),
            Self::Odd => None,
        }
    }
}

#[derive(Deserialize)]
struct Members<'a> {
    data: Cut,
    #[serde(rename = "hasNext")]
    has_next: bool,
    #[serde(borrow, rename = "nextQueryFilters")]
    next: Option<&'a RawValue>,
    #[serde(borrow)]
    total: Option<&'a RawValue>,
}

/// The members of an answer (pages "List activities" and "Investigate activities using the API").
const KNOWN: [&str; 4] = ["data", "hasNext", "nextQueryFilters", "total"];

/// Unknown members of an answer that are named, and as much of a name as is looked at, in characters: more than
/// is shown of it, so that a secret can be found in it before it is cut short.
const MAX_UNKNOWN: usize = 16;
const MAX_NAME_CHARS: usize = 1024;

/// The members of an answer that are not known.
struct Unknown(Vec<String>);

impl<'de> Deserialize<'de> for Unknown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Unknown;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unknown, A::Error> {
                let mut unknown = Vec::new();
                while let Some((name, _)) = members.next_entry::<String, IgnoredAny>()? {
                    if !KNOWN.contains(&name.as_str()) && unknown.len() < MAX_UNKNOWN {
                        unknown.push(name.chars().take(MAX_NAME_CHARS).collect());
                    }
                }
                Ok(Unknown(unknown))
            }
        }

        deserializer.deserialize_map(Names)
    }
}

/// What stands for the records while the rest of the answer is read.
#[derive(Deserialize)]
struct Cut([(); 0]);

/// Why a text is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// What is wrong with it.
    pub(super) reason: String,
    /// The byte at which a page is broken; none where it is no page at all.
    pub(super) at: Option<usize>,
}

impl Malformed {
    fn no_page(reason: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            at: None,
        }
    }
}

/// Whether a body begins as a page does: an object with a list called `data`, as far as it goes.
pub(super) fn begins_as_page(body: &[u8]) -> bool {
    let Some(rest) = body.trim_ascii_start().strip_prefix(b"{") else {
        return false;
    };
    let data = memmem::find(rest, b"\"data\"").map(|at| rest[at + 6..].trim_ascii_start());
    let list = data.and_then(|rest| rest.strip_prefix(b":"));
    list.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"["))
}

impl Envelope {
    /// Cuts an answer open, or says what is wrong with it. A record that is no JSON is not: it
    /// costs itself alone, as long as its end can be told.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let start = text.len() - text.trim_start_matches(BYTE_ORDER_MARK).len();
        match text[start..].trim_start().chars().next() {
            Some('{') => {}
            Some('<') => return Err(Malformed::no_page("it is HTML")),
            None => return Err(Malformed::no_page("it is empty")),
            Some(_) => return Err(Malformed::no_page("it is not a JSON object")),
        }
        let data =
            data_range(text, start).map_err(|broken| broken_at(&text[start..], broken, start))?;
        let Some(data) = data else {
            return Err(Malformed::no_page("`data` is missing or not an array"));
        };
        let rest = [&text[start..data.start], "[]", &text[data.end..]].concat();
        // The category and the place, never the text around it.
        let members: Members<'_> = serde_json::from_str(&rest).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Eof => "it ends too early",
                serde_json::error::Category::Data => {
                    "`data`, `hasNext` or `nextQueryFilters` are not as documented"
                }
                _ => "it is not JSON",
            };
            let (line, column) = (error.line(), error.column());
            Malformed {
                reason: format!("{what}, at byte {column} of line {line}, its records left out"),
                at: Some(data.len() + position(&rest, line, column)),
            }
        })?;
        let Cut([]) = members.data;
        let next_bytes = members.next.map_or(0, |next| next.get().len());
        if next_bytes > MAX_NEXT_BYTES {
            return Err(Malformed::no_page(&format!(
                "`nextQueryFilters` are {next_bytes} bytes, more than {MAX_NEXT_BYTES}, and are not sent back"
            )));
        }
        let unknown =
            serde_json::from_str(&rest).map_or_else(|_| Vec::new(), |Unknown(names)| names);
        Ok(Self {
            unknown,
            is_empty: text[data.start + 1..data.end - 1].trim().is_empty(),
            data,
            has_next: members.has_next,
            next: members.next.map(|next| next.get().to_owned()),
            total: members.total.map(|total| Total::parse(total.get())),
        })
    }

    /// Takes a continuation that may have been damaged on its way as one that is missing, so that
    /// the range is halved: asked with it, the service would answer some other question.
    pub(super) fn distrust_continuation(&mut self) {
        let is_damaged = |next: &mut String| next.contains(char::REPLACEMENT_CHARACTER);
        if self.next.take_if(is_damaged).is_some() {
            self.has_next = true;
        }
    }
}

/// What a break at a byte of the answer means, whose object is `text` and begins at `start`.
fn broken_at(text: &str, Broken { at }: Broken, start: usize) -> Malformed {
    let what = if at >= start + text.len() {
        "it ends too early"
    } else {
        "it is not JSON"
    };
    Malformed {
        reason: format!("{what}, at byte {at}"),
        at: begins_as_page(text.as_bytes()).then_some(at),
    }
}

/// The byte of a text that its line and its column name, both from 1.
fn position(text: &str, line: usize, column: usize) -> usize {
    let mut lines = memchr::memchr_iter(b'\n', text.as_bytes());
    let start = line.checked_sub(2).and_then(|nth| lines.nth(nth));
    start.map_or(0, |newline| newline + 1) + column
}

/// Where the array `data` lies in the object that opens behind `start`, if it has one.
fn data_range(text: &str, start: usize) -> Result<Option<Range<usize>>, Broken> {
    let bytes = text.as_bytes();
    let mut at = skip_space(bytes, start) + 1;
    loop {
        at = skip_space(bytes, at);
        if bytes.get(at) != Some(&b'"') {
            return Ok(None);
        }
        let key = at;
        at = string_end(bytes, at).ok_or(Broken { at: bytes.len() })?;
        let is_data = &text[key..at] == "\"data\"";
        at = skip_space(bytes, at);
        if bytes.get(at) != Some(&b':') {
            return Err(Broken { at });
        }
        at = skip_space(bytes, at + 1);
        if is_data {
            let Ok(mut records) = Elements::of(text, at) else {
                return Ok(None);
            };
            while records.next(text)?.is_some() {}
            return Ok(Some(at..records.position()));
        }
        at = skip_space(bytes, value_end(bytes, at)?);
        if bytes.get(at) == Some(&b',') {
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_that_nobody_has_described_are_named() {
        let text = r#"{"partial":true,"data":[],"hasNext":false,"total":1,"warnings":[{"a":1}]}"#;
        let envelope = Envelope::parse(text).unwrap();
        assert_eq!(envelope.unknown, ["partial", "warnings"]);
        let many: Vec<String> = (0..1000).map(|nth| format!("\"{nth:02000}\":0,")).collect();
        let many = many.concat();
        let text = format!("{{{many}\"data\":[],\"hasNext\":false}}");
        let names = Envelope::parse(&text).unwrap().unknown;
        assert_eq!(names.len(), MAX_UNKNOWN);
        assert!(names.iter().all(|name| name.len() == MAX_NAME_CHARS));
    }

    #[test]
    fn an_answer_is_an_object_with_data_and_has_next() {
        let text = r#" {"nextQueryFilters":{"b":[ 1]},"total":7,"data" : [{"x":"]"}] ,"hasNext":true,"odd":{}} "#;
        let envelope = Envelope::parse(text).unwrap();
        assert_eq!(&text[envelope.data.clone()], r#"[{"x":"]"}]"#);
        assert_eq!(envelope.next.as_deref(), Some(r#"{"b":[ 1]}"#));
        assert_eq!(
            (envelope.has_next, envelope.is_empty, envelope.total),
            (true, false, Some(Total::Records(7)))
        );
        let last = Envelope::parse(
            r#"{"data":[ ],"hasNext":false,"nextQueryFilters":null,"total":"many"}"#,
        )
        .unwrap();
        assert_eq!(
            (last.next, last.is_empty, last.total),
            (None, true, Some(Total::Odd))
        );
    }

    #[test]
    fn a_record_that_is_no_json_does_not_break_the_answer() {
        let records =
            "[{\"a\":NaN},{\"b\":01,\"c\":\"\u{1}\n\"},{\"d\":\"\\x\"} , -Infinity,{\"e\" 1}]";
        let text =
            format!("{{\"hasNext\":true,\"data\":{records},\"nextQueryFilters\":{{\"x\":1}}}}");
        let envelope = Envelope::parse(&text).unwrap();
        assert_eq!(&text[envelope.data], records);
        assert_eq!(envelope.next.as_deref(), Some("{\"x\":1}"));
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        let text = "\u{feff} {\"data\":[7],\"hasNext\":false}";
        let envelope = Envelope::parse(text).unwrap();
        assert_eq!(&text[envelope.data], "[7]");
        assert_eq!(
            Envelope::parse("\u{feff}").unwrap_err().reason,
            "it is empty"
        );
    }

    #[test]
    fn anything_else_is_malformed() {
        for text in [
            "",
            "null",
            "[]",
            "[[],false]",
            "<html>",
            "{}",
            r#"{"data":[]}"#,
            r#"{"hasNext":false}"#,
            r#"{"data":null,"hasNext":false}"#,
            r#"{"data":{},"hasNext":false}"#,
            r#"{"data":[],"hasNext":"false"}"#,
            r#"{"data":[],"hasNext":null}"#,
            r#"{"data":[],"data":[],"hasNext":false}"#,
            r#"{"data":[],"hasNext":false"#,
            r#"{"data":[}],"hasNext":false}"#,
            r#"{"data":[],"hasNext":false}x"#,
            r#"{"data":[{"a":1}{"b":2}],"hasNext":false}"#,
            r#"{"data":[1,,2],"hasNext":false}"#,
            r#"{"data":[{"a":"b}],"hasNext":false}"#,
            r#"{"data":[{"a":1]}],"hasNext":false}"#,
            r#"{"data":[],"hasNext":false,"total":NaN}"#,
            r#"{"total":NaN,"data":[],"hasNext":false}"#,
            "{\"data\":[],\u{feff}\"hasNext\":false}",
        ] {
            assert!(Envelope::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in ".*", data in "[\\[\\]{}\",:0-9a-z ]*") {
            let _ = Envelope::parse(&text);
            let _ = Envelope::parse(&format!("{{\"data\":{data},\"hasNext\":false}}"));
        }
    }
}
