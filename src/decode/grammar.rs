//! JSON's grammar: where a valid value ends. Nothing is made of it, and nesting costs no stack.

use crate::text::look::{chunk, space, string_stop};

/// What is there is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotJson;

/// The brackets that close what stands open. Kept, so that no value needs an allocation.
pub(super) type Open = Vec<u8>;

/// The position behind the value that begins at `at`.
pub(super) fn value(text: &[u8], mut at: usize, open: &mut Open) -> Result<usize, NotJson> {
    open.clear();
    // What closes the innermost container; nothing does where there is none.
    let mut close = 0;
    loop {
        if close == b'}' {
            at = key(text, at)?;
        }
        at = match text.get(at) {
            Some(b'"') => string(text, at)?,
            Some(bracket @ (b'{' | b'[')) => {
                let inside = space(text, at + 1);
                // Both brackets are two before their partners.
                let partner = bracket + 2;
                if text.get(inside) == Some(&partner) {
                    inside + 1
                } else {
                    open.push(close);
                    close = partner;
                    at = inside;
                    continue;
                }
            }
            _ => scalar(text, at)?,
        };
        // A value has ended, and perhaps what it is in.
        while close != 0 {
            at = space(text, at);
            match text.get(at) {
                Some(b',') => break,
                Some(byte) if *byte == close => {
                    close = open.pop().unwrap_or_default();
                    at += 1;
                }
                _ => return Err(NotJson),
            }
        }
        if close == 0 {
            return Ok(at);
        }
        at = space(text, at + 1);
    }
}

/// The position of the value behind the key that begins at `at`.
#[inline]
fn key(text: &[u8], at: usize) -> Result<usize, NotJson> {
    if text.get(at) != Some(&b'"') {
        return Err(NotJson);
    }
    colon(text, string(text, at)?)
}

/// The position of the value behind the colon that comes next.
#[inline]
pub(super) fn colon(text: &[u8], at: usize) -> Result<usize, NotJson> {
    let at = space(text, at);
    if text.get(at) == Some(&b':') {
        Ok(space(text, at + 1))
    } else {
        Err(NotJson)
    }
}

/// The position behind the string that opens at `at`.
#[inline]
pub(super) fn string(text: &[u8], at: usize) -> Result<usize, NotJson> {
    let stop = string_stop(text, at + 1);
    if text.get(stop) == Some(&b'"') {
        Ok(stop + 1)
    } else {
        escaped_string(text, stop)
    }
}

/// The position behind a string whose first escape, if that is what it is, stands at `at`.
fn escaped_string(text: &[u8], mut at: usize) -> Result<usize, NotJson> {
    loop {
        at = match (text.get(at), text.get(at + 1)) {
            (Some(b'"'), _) => return Ok(at + 1),
            (Some(b'\\'), Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => at + 2,
            (Some(b'\\'), Some(b'u')) => match chunk::<4>(text, at + 2) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => at + 6,
                _ => return Err(NotJson),
            },
            _ => return Err(NotJson),
        };
        at = string_stop(text, at);
    }
}

/// The position behind a number or a word.
#[inline]
fn scalar(text: &[u8], at: usize) -> Result<usize, NotJson> {
    let rest = text.get(at..).unwrap_or_default();
    match rest.first() {
        Some(b'0'..=b'9') => number(text, at),
        Some(b'-') => number(text, at + 1),
        Some(b't') if rest.starts_with(b"true") => Ok(at + 4),
        Some(b'f') if rest.starts_with(b"false") => Ok(at + 5),
        Some(b'n') if rest.starts_with(b"null") => Ok(at + 4),
        _ => Err(NotJson),
    }
}

/// The position behind a number without its sign.
fn number(text: &[u8], at: usize) -> Result<usize, NotJson> {
    let mut at = if text.get(at) == Some(&b'0') {
        at + 1
    } else {
        digits(text, at)?
    };
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = matches!(text.get(at + 1), Some(b'+' | b'-'));
        at = digits(text, at + 1 + usize::from(sign))?;
    }
    Ok(at)
}

/// The position behind at least one digit.
#[inline]
fn digits(text: &[u8], start: usize) -> Result<usize, NotJson> {
    let mut at = start;
    while text.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    if at > start { Ok(at) } else { Err(NotJson) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    /// What serde reads first, and where it ends.
    fn by_serde(text: &str) -> Result<usize, NotJson> {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
        match values.next() {
            Some(Ok(value)) => Ok(value.get().len()),
            _ => Err(NotJson),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

        #[test]
        fn a_value_ends_where_serde_says(
            pieces in proptest::collection::vec(
                prop_oneof![
                    proptest::sample::select(vec![
                        "{", "}", "[", "]", ",", ":", " ", "\"", "\"a\":", "null", "true", "false", "-", "0", "01", "1.5",
                        "1e5", "E+", ".", "\\u00e9", "\\n", "\\x", "\u{1}", "{}", "[]", "\"b\"", "NaN",
                    ]).prop_map(str::to_owned),
                    "[0-9a-zé]{0,20}",
                ], 1..14)
        ) {
            let text = pieces.concat();
            // Behind a scalar serde wants an end; the walker looks for one itself.
            let inside = format!("[{text}]");
            prop_assert_eq!(value(inside.as_bytes(), 0, &mut Open::new()), by_serde(&inside), "{}", inside);
        }
    }
}
