//! The outline of an answer: `data`, `hasNext`, `nextQueryFilters`, `total`.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

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
    pub(super) total: Option<u64>,
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(rename = "hasNext")]
    has_next: bool,
    #[serde(borrow, rename = "nextQueryFilters")]
    next: Option<&'a RawValue>,
    #[serde(borrow)]
    total: Option<&'a RawValue>,
}

impl Envelope {
    /// Cuts an answer open, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let first = text.trim_start().chars().next();
        match first {
            Some('{') => {}
            Some('<') => return Err("it is HTML".to_owned()),
            None => return Err("it is empty".to_owned()),
            Some(_) => return Err("it is not a JSON object".to_owned()),
        }
        // The category and the place, never the text around it.
        let members: Members<'_> = serde_json::from_str(text).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Eof => "it ends too early",
                serde_json::error::Category::Data => {
                    "`data`, `hasNext` or `nextQueryFilters` are not as documented"
                }
                _ => "it is not JSON",
            };
            format!(
                "{what}, at byte {} of line {}",
                error.column(),
                error.line()
            )
        })?;
        let data = members.data.get();
        if !data.starts_with('[') {
            return Err("`data` is not an array".to_owned());
        }
        let start = data.as_ptr() as usize - text.as_ptr() as usize;
        Ok(Self {
            data: start..start + data.len(),
            is_empty: data[1..data.len() - 1].trim().is_empty(),
            has_next: members.has_next,
            next: members.next.map(|next| next.get().to_owned()),
            total: members.total.and_then(|total| total.get().parse().ok()),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_is_an_object_with_data_and_has_next() {
        let text = r#" {"nextQueryFilters":{"b":[ 1]},"total":7,"data" : [{"x":"]"}] ,"hasNext":true,"odd":{}} "#;
        let envelope = Envelope::parse(text).unwrap();
        assert_eq!(&text[envelope.data.clone()], r#"[{"x":"]"}]"#);
        assert_eq!(envelope.next.as_deref(), Some(r#"{"b":[ 1]}"#));
        assert_eq!(
            (envelope.has_next, envelope.is_empty, envelope.total),
            (true, false, Some(7))
        );
        let last = Envelope::parse(
            r#"{"data":[ ],"hasNext":false,"nextQueryFilters":null,"total":"many"}"#,
        )
        .unwrap();
        assert_eq!((last.next, last.is_empty, last.total), (None, true, None));
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
