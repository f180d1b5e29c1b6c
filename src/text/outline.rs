//! Where the elements of a JSON array lie, without asking that each of them is valid.
//!
//! Only quotes and brackets are looked at, so an element with a `NaN` or a raw control character
//! in it costs itself and not the array: its end can be told all the same. An element of which that
//! cannot be said (a bracket of the other kind, a string without an end) breaks the array.

use std::ops::Range;

/// The outline of an array is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a JSON array, at byte {at}")]
pub struct Broken {
    /// Where, in bytes from the beginning of the text.
    pub at: usize,
}

/// Goes over the elements of an array, or of lines. Copy it to come back to where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Elements {
    at: usize,
    first: bool,
    in_lines: bool,
}

impl Elements {
    /// Begins before the first element of the array that opens at `start`.
    ///
    /// # Errors
    /// Nothing opens there.
    pub fn of(text: &str, start: usize) -> Result<Self, Broken> {
        let at = skip_space(text.as_bytes(), start);
        if text.as_bytes().get(at) != Some(&b'[') {
            return Err(Broken { at });
        }
        Ok(Self {
            at: at + 1,
            first: true,
            in_lines: false,
        })
    }

    /// Begins before the first of lines that hold an element each. Blank lines hold none. A line is
    /// an element whatever is in it, so nothing breaks them.
    pub fn of_lines() -> Self {
        Self {
            at: 0,
            first: true,
            in_lines: true,
        }
    }

    /// Where the next element lies; `None` behind the last, with the array passed over.
    ///
    /// # Errors
    /// The array does not go on as one, or its element has no end.
    pub fn next(&mut self, text: &str) -> Result<Option<Range<usize>>, Broken> {
        let Some(start) = self.next_start(text)? else {
            return Ok(None);
        };
        Ok(Some(start..self.pass_element(text)?))
    }

    /// Where the next element begins; `None` behind the last, with the array passed over.
    ///
    /// # Errors
    /// The array does not go on as one.
    pub fn next_start(&mut self, text: &str) -> Result<Option<usize>, Broken> {
        let bytes = text.as_bytes();
        let mut at = skip_space(bytes, self.at);
        if self.in_lines {
            self.at = at;
            return Ok((at < bytes.len()).then_some(at));
        }
        match bytes.get(at) {
            Some(b']') => {
                self.at = at + 1;
                return Ok(None);
            }
            Some(b',') if !self.first => at = skip_space(bytes, at + 1),
            Some(_) if self.first => {}
            _ => return Err(Broken { at }),
        }
        self.at = at;
        self.first = false;
        Ok(Some(at))
    }

    /// Passes the element that begins where it stands, and says where that ends.
    ///
    /// # Errors
    /// Its end cannot be told.
    pub fn pass_element(&mut self, text: &str) -> Result<usize, Broken> {
        let bytes = text.as_bytes();
        self.at = if self.in_lines {
            line_end(bytes, self.at)
        } else {
            element_end(bytes, self.at)?
        };
        Ok(self.at)
    }

    /// Whether the element that begins at `start` may end at `end`, by what stands behind it.
    pub fn may_end(&self, text: &str, start: usize, end: usize) -> bool {
        let bytes = text.as_bytes();
        if self.in_lines {
            return line_end(bytes, start) == end;
        }
        matches!(bytes.get(skip_space(bytes, end)), Some(b',' | b']'))
    }

    /// Passes the same where its end is known.
    pub fn pass(&mut self, end: usize) -> usize {
        self.at = end;
        end
    }

    /// Where it stands: behind the element given last, or behind the array.
    pub fn position(&self) -> usize {
        self.at
    }
}

/// The number of elements of the list at the begin of a text; `None` where there are more than `bound`.
/// A list that breaks off has those before the break.
pub fn elements_up_to(text: &str, bound: usize) -> Option<usize> {
    let Ok(mut elements) = Elements::of(text, 0) else {
        return Some(0);
    };
    for count in 0..=bound {
        if !matches!(elements.next(text), Ok(Some(_))) {
            return Some(count);
        }
    }
    None
}

/// The position of the first byte from `at` that is not white space.
pub fn skip_space(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| is_space(**byte)).count()
}

/// Whether a byte is white space between two tokens.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// The position behind the closing quote of the string that opens at `start`.
pub fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The position behind what stands in the line, from `start` on.
fn line_end(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    start + rest[..length].trim_ascii_end().len()
}

/// The position behind the element of an array that begins at `start`.
///
/// # Errors
/// Its end cannot be told: at the end of the bytes where more of them could tell it.
pub fn element_end(bytes: &[u8], start: usize) -> Result<usize, Broken> {
    match bytes.get(start) {
        Some(b'{' | b'[') => container_end(bytes, start),
        Some(b'"') => string_end(bytes, start).ok_or(Broken { at: bytes.len() }),
        _ => scalar_end(bytes, start),
    }
}

/// The position behind the value of an object's member that begins at `start`.
///
/// # Errors
/// Its end cannot be told.
pub fn value_end(bytes: &[u8], start: usize) -> Result<usize, Broken> {
    if let Some(b'{' | b'[' | b'"') = bytes.get(start) {
        return element_end(bytes, start);
    }
    let rest = bytes.get(start..).unwrap_or_default();
    let end = rest.iter().position(|b| matches!(b, b',' | b'}'));
    end.map(|length| start + length)
        .ok_or(Broken { at: bytes.len() })
}

fn container_end(bytes: &[u8], start: usize) -> Result<usize, Broken> {
    let mut open = Vec::new();
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(bytes, at).ok_or(Broken { at: bytes.len() })?;
                continue;
            }
            b'{' => open.push(b'}'),
            b'[' => open.push(b']'),
            b'}' | b']' => {
                if open.pop() != Some(*byte) {
                    return Err(Broken { at });
                }
                if open.is_empty() {
                    return Ok(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    Err(Broken { at })
}

/// A number, a word, or what stands in the place of one: up to the next mark of the array.
fn scalar_end(bytes: &[u8], start: usize) -> Result<usize, Broken> {
    let rest = bytes.get(start..).unwrap_or_default();
    let is_mark = |b: &u8| matches!(b, b',' | b']' | b'}' | b'{' | b'[' | b'"' | b':');
    let length = rest.iter().position(is_mark).unwrap_or(rest.len());
    let end = start + rest[..length].trim_ascii_end().len();
    match rest.get(length) {
        Some(b',' | b']') if end > start => Ok(end),
        _ => Err(Broken { at: start + length }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn elements(text: &str) -> Result<Vec<&str>, Broken> {
        let mut elements = Elements::of(text, 0)?;
        let mut found = Vec::new();
        while let Some(range) = elements.next(text)? {
            found.push(&text[range]);
        }
        Ok(found)
    }

    #[test]
    fn elements_that_are_no_json_have_an_end() {
        let text =
            " [ {\"a\":NaN , \"b\":\"\u{1}]\"},[01] , -Infinity\n,\"\\\"\", 1 2,{\"a\" 1}] rest";
        assert_eq!(
            elements(text).unwrap(),
            [
                "{\"a\":NaN , \"b\":\"\u{1}]\"}",
                "[01]",
                "-Infinity",
                "\"\\\"\"",
                "1 2",
                "{\"a\" 1}"
            ]
        );
        assert_eq!(elements("[ ]").unwrap(), Vec::<&str>::new());
    }

    #[test]
    fn a_line_is_an_element_whatever_is_in_it() {
        let text = "\n{\"a\":1} \r\n\n {]\n{\"b\"";
        let mut lines = Elements::of_lines();
        let mut found = Vec::new();
        while let Some(range) = lines.next(text).unwrap() {
            assert!(lines.may_end(text, range.start, range.end));
            assert!(!lines.may_end(text, range.start, range.end - 1));
            found.push(&text[range]);
        }
        assert_eq!(found, ["{\"a\":1}", "{]", "{\"b\""]);
    }

    #[test]
    fn a_broken_outline_is_not_an_array() {
        for text in [
            "",
            "{}",
            "[",
            "[{}",
            "[{]}]",
            "[\"]",
            "[,]",
            "[1,]",
            "[1,,2]",
            "[{}{}]",
            "[1 \"x\"]",
            "[\"\\\"]",
            "[\"\\",
        ] {
            assert!(elements(text).is_err(), "{text}");
        }
    }

    #[test]
    fn elements_are_counted_up_to_a_bound() {
        assert_eq!(elements_up_to("[1,2,[3,4]]x", 2), None);
        assert_eq!(elements_up_to("[1,2,[3,4]]x", 3), Some(3));
        assert_eq!(elements_up_to("[]                    ", 0), Some(0));
        assert_eq!(elements_up_to("{                    }", 0), Some(0));
    }

    proptest! {
        #[test]
        fn the_elements_of_valid_arrays_are_those_that_serde_finds(values in proptest::collection::vec(
            prop_oneof![
                "[0-9]{1,3}".prop_map(|digits| format!("1{digits}")),
                ".{0,6}".prop_map(|text| serde_json::to_string(&text).expect("a string")),
                Just("{\"]\" : [ {} ]}".to_owned()),
                Just("null".to_owned()),
            ], 0..6), space in "[ \n\t]{0,2}") {
            let text = format!("{space}[{space}{}{space}]", values.join(&format!("{space},{space}")));
            let raw: Vec<&serde_json::value::RawValue> = serde_json::from_str(&text).expect("an array");
            let raw: Vec<&str> = raw.into_iter().map(serde_json::value::RawValue::get).collect();
            prop_assert_eq!(elements(&text).expect("an array"), raw);
        }
    }
}
