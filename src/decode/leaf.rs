//! What a token says to a leaf, and the rule of what a leaf holds exactly.
//!
//! A leaf holds a token exactly when writing the column back gives the same token. Any other
//! token belongs in `unmapped`, and the column holds the obvious reading, or null. The usual tokens
//! are read in the walk itself; here is the rule for all.

use std::borrow::Cow;

use chrono::DateTime;

use super::{number, text};
use crate::window::MAX_TIME_MS;

/// Whether a column can give a token back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It can.
    Exact,
    /// It cannot, although the token is of the kind that is expected.
    SameKind,
    /// It cannot: the service has another form for it than the schema.
    Odd,
}

impl Fit {
    fn of(exact: bool) -> Self {
        if exact { Self::Exact } else { Self::Odd }
    }
}

fn is_number(token: &str) -> bool {
    token.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

/// Text: a string exactly, a number as its token.
pub(super) fn read_text(token: &str) -> (Option<Cow<'_, str>>, Fit) {
    if token.starts_with('"') {
        let text = text::decoded(token);
        let exact = text.is_some();
        (text, Fit::of(exact))
    } else if is_number(token) {
        (Some(Cow::Borrowed(token)), Fit::Odd)
    } else {
        (None, Fit::Odd)
    }
}

/// The digits inside a string token, if it holds nothing else.
fn digits_in_string(token: &str) -> Option<i64> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    let unsigned = inner.strip_prefix('-').unwrap_or(inner);
    let digits = !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit());
    if digits { inner.parse().ok() } else { None }
}

/// A whole number: plain digits exactly, an integral number or digits in a string by its value.
pub(super) fn read_integer(token: &str) -> (Option<i64>, Fit) {
    if let Some(value) = number::exact_integer(token) {
        return (Some(value), Fit::Exact);
    }
    let value = match number::floor(token) {
        Some((value, true)) => Some(value),
        Some((_, false)) => None,
        None => digits_in_string(token),
    };
    (value, Fit::Odd)
}

/// Whether readers of Parquet agree on a time in milliseconds.
pub(super) fn is_usable_time(time_ms: i64) -> bool {
    (0..=MAX_TIME_MS).contains(&time_ms)
}

/// The time that a string token says in RFC 3339, in milliseconds.
fn rfc3339_in_string(token: &str) -> Option<i64> {
    let text = text::decoded(token)?;
    let time = DateTime::parse_from_rfc3339(&text).ok()?;
    Some(time.timestamp_millis())
}

/// A time in whole milliseconds, rounded down; times that Parquet's readers disagree on are none.
pub(super) fn read_time(token: &str) -> (Option<i64>, Fit) {
    let usable = |time_ms: &i64| is_usable_time(*time_ms);
    if let Some(time_ms) = number::exact_integer(token).filter(usable) {
        return (Some(time_ms), Fit::Exact);
    }
    let time_ms = number::floor(token)
        .map(|(time_ms, _)| time_ms)
        .or_else(|| digits_in_string(token))
        .or_else(|| rfc3339_in_string(token));
    (time_ms.filter(usable), Fit::Odd)
}

/// True or false, as a word exactly or as a string.
pub(super) fn read_bool(token: &str) -> (Option<bool>, Fit) {
    match token {
        "true" => (Some(true), Fit::Exact),
        "false" => (Some(false), Fit::Exact),
        "\"true\"" => (Some(true), Fit::Odd),
        "\"false\"" => (Some(false), Fit::Odd),
        _ => (None, Fit::Odd),
    }
}

/// A number: exactly as `serde_json` prints it.
pub(super) fn read_double(token: &str) -> (Option<f64>, Fit) {
    let value = Some(token).filter(|token| is_number(token));
    let value = value.and_then(|token| token.parse::<f64>().ok());
    let value = value.filter(|value| value.is_finite());
    let fit = match value {
        Some(value) if prints_as(value, token) => Fit::Exact,
        // `34` and `34.50` are numbers like any other.
        Some(_) => Fit::SameKind,
        None => Fit::Odd,
    };
    (value, fit)
}

/// Whether `serde_json` prints `value` as `token`.
fn prints_as(value: f64, token: &str) -> bool {
    serde_json::to_string(&value).is_ok_and(|printed| printed == token)
}
