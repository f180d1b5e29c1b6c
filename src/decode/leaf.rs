//! One builder for each leaf of the record, and the rule of what a leaf holds exactly.
//!
//! A leaf holds a token exactly when writing the column back gives the same token. Any other
//! token belongs in `unmapped`, and the column holds the obvious reading, or null.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::DataType;
use chrono::DateTime;
use serde_json::value::RawValue;

use super::{number, text};
use crate::schema::{Column, Kind, element_field};
use crate::window::MAX_TIME_MS;

/// What a column made of a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fit<'t> {
    /// The column gives it back.
    Exact,
    /// The whole token belongs in `unmapped`, although it is of the kind that is expected.
    SameKind,
    /// The whole token belongs in `unmapped`: the service has another form for it than the schema.
    Odd,
    /// These elements of the list do, by their index.
    Elements(Vec<(usize, &'t str)>),
}

impl Fit<'_> {
    fn of(exact: bool) -> Self {
        if exact { Self::Exact } else { Self::Odd }
    }
}

/// The builder of one leaf.
pub(super) enum Leaf {
    String(StringLeaf),
    Int64(Int64Builder),
    Bool(BooleanBuilder),
    Double {
        builder: Float64Builder,
        printed: Vec<u8>,
    },
    Time(TimeLeaf),
    StringList(ListBuilder<StringBuilder>),
    Json(StringBuilder),
}

/// Text; where the column cannot be null, an empty text stands for "none".
pub(super) struct StringLeaf {
    builder: StringBuilder,
    required: bool,
    /// An empty text would say that the id is repeated.
    copy_of_id: bool,
    last_bytes: usize,
}

impl StringLeaf {
    fn append(&mut self, text: &str) {
        self.last_bytes = text.len();
        self.builder.append_value(text);
    }

    fn append_null(&mut self) {
        self.last_bytes = 0;
        if self.required {
            self.builder.append_value("");
        } else {
            self.builder.append_null();
        }
    }
}

/// A time; where the column cannot be null, the epoch stands for "none".
pub(super) struct TimeLeaf {
    builder: TimestampMicrosecondBuilder,
    required: bool,
    last_ms: Option<i64>,
}

impl TimeLeaf {
    fn append(&mut self, time_ms: Option<i64>) {
        self.last_ms = time_ms;
        match time_ms {
            Some(time_ms) => self.builder.append_value(time_ms * 1_000),
            None if self.required => self.builder.append_value(0),
            None => self.builder.append_null(),
        }
    }
}

impl Leaf {
    /// The builder for a column; `None` for a list of objects, which is no leaf.
    pub(super) fn for_column(column: &Column) -> Option<Self> {
        let required = !column.nullable;
        Some(match column.kind {
            Kind::String => Self::String(StringLeaf {
                builder: StringBuilder::new(),
                required,
                copy_of_id: column.copy_of_id,
                last_bytes: 0,
            }),
            Kind::Int64 => Self::Int64(Int64Builder::new()),
            Kind::Bool => Self::Bool(BooleanBuilder::new()),
            Kind::Double => Self::Double {
                builder: Float64Builder::new(),
                printed: Vec::new(),
            },
            Kind::Time => {
                let builder = TimestampMicrosecondBuilder::new().with_data_type(column.data_type());
                Self::Time(TimeLeaf {
                    builder,
                    required,
                    last_ms: None,
                })
            }
            Kind::StringList => Self::StringList(
                ListBuilder::new(StringBuilder::new()).with_field(element_field(DataType::Utf8)),
            ),
            Kind::Json => Self::Json(StringBuilder::new()),
            Kind::ObjectList => return None,
        })
    }

    /// The values appended since the last [`Leaf::finish`].
    pub(super) fn len(&self) -> usize {
        match self {
            Self::String(leaf) => leaf.builder.len(),
            Self::Int64(builder) => builder.len(),
            Self::Bool(builder) => builder.len(),
            Self::Double { builder, .. } => builder.len(),
            Self::Time(leaf) => leaf.builder.len(),
            Self::StringList(builder) => builder.len(),
            Self::Json(builder) => builder.len(),
        }
    }

    /// What the elements of lists take in the column beside their text, in bytes.
    pub(super) fn elements_bytes(&self) -> usize {
        match self {
            Self::StringList(builder) => 5 * builder.values_ref().len(),
            _ => 0,
        }
    }

    /// The time appended last, in milliseconds since the epoch, if there was one.
    pub(super) fn last_ms(&self) -> Option<i64> {
        match self {
            Self::Time(leaf) => leaf.last_ms,
            _ => None,
        }
    }

    /// Whether the text appended last says anything.
    pub(super) fn last_has_text(&self) -> bool {
        matches!(self, Self::String(leaf) if leaf.last_bytes > 0)
    }

    /// Whether its values are lists.
    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::StringList(_))
    }

    /// Appends an absent value.
    pub(super) fn append_null(&mut self) {
        match self {
            Self::String(leaf) => leaf.append_null(),
            Self::Int64(builder) => builder.append_null(),
            Self::Bool(builder) => builder.append_null(),
            Self::Double { builder, .. } => builder.append_null(),
            Self::Time(leaf) => leaf.append(None),
            Self::StringList(builder) => builder.append_null(),
            Self::Json(builder) => builder.append_null(),
        }
    }

    /// Appends what a token says, and tells whether the column can give the token back.
    pub(super) fn append<'t>(&mut self, token: &'t str) -> Fit<'t> {
        match self {
            Self::Json(builder) => {
                builder.append_value(token);
                Fit::Exact
            }
            Self::String(leaf) => {
                let (text, exact) = read_text(token);
                let text = text.filter(|text| !(leaf.copy_of_id && text.is_empty()));
                let exact = exact && text.is_some();
                match text {
                    // A key that is a number is no key: it would not be the same one as a string.
                    Some(text) if exact || !leaf.required => leaf.append(&text),
                    _ => leaf.append_null(),
                }
                Fit::of(exact)
            }
            Self::Int64(builder) => {
                let (value, exact) = read_integer(token);
                builder.append_option(value);
                Fit::of(exact)
            }
            Self::Bool(builder) => {
                let (value, exact) = read_bool(token);
                builder.append_option(value);
                Fit::of(exact)
            }
            Self::Double { builder, printed } => {
                let value = read_double(token);
                builder.append_option(value);
                match value {
                    Some(value) if prints_as(value, token, printed) => Fit::Exact,
                    // `34` and `34.50` are numbers like any other.
                    Some(_) => Fit::SameKind,
                    None => Fit::Odd,
                }
            }
            Self::Time(leaf) => {
                let (value, exact) = read_time(token);
                leaf.append(value);
                Fit::of(exact)
            }
            Self::StringList(builder) => append_list(builder, token),
        }
    }

    /// The column so far; the builder starts anew.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::String(leaf) => Arc::new(leaf.builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Bool(builder) => Arc::new(builder.finish()),
            Self::Double { builder, .. } => Arc::new(builder.finish()),
            Self::Time(leaf) => Arc::new(leaf.builder.finish()),
            Self::StringList(builder) => Arc::new(builder.finish()),
            Self::Json(builder) => Arc::new(builder.finish()),
        }
    }
}

fn is_number(token: &str) -> bool {
    token.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

/// Text: a string exactly, a number as its token.
fn read_text(token: &str) -> (Option<Cow<'_, str>>, bool) {
    if token.starts_with('"') {
        let text = text::decoded(token);
        let exact = text.is_some();
        (text, exact)
    } else if is_number(token) {
        (Some(Cow::Borrowed(token)), false)
    } else {
        (None, false)
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
fn read_integer(token: &str) -> (Option<i64>, bool) {
    if let Some(value) = number::exact_integer(token) {
        return (Some(value), true);
    }
    let value = match number::floor(token) {
        Some((value, true)) => Some(value),
        Some((_, false)) => None,
        None => digits_in_string(token),
    };
    (value, false)
}

/// The time that a string token says in RFC 3339, in milliseconds.
fn rfc3339_in_string(token: &str) -> Option<i64> {
    let text = text::decoded(token)?;
    let time = DateTime::parse_from_rfc3339(&text).ok()?;
    Some(time.timestamp_millis())
}

/// A time in whole milliseconds, rounded down; times that Parquet's readers disagree on are none.
fn read_time(token: &str) -> (Option<i64>, bool) {
    let usable = |time_ms: &i64| (0..=MAX_TIME_MS).contains(time_ms);
    if let Some(time_ms) = number::exact_integer(token).filter(usable) {
        return (Some(time_ms), true);
    }
    let time_ms = number::floor(token)
        .map(|(time_ms, _)| time_ms)
        .or_else(|| digits_in_string(token))
        .or_else(|| rfc3339_in_string(token));
    (time_ms.filter(usable), false)
}

fn read_bool(token: &str) -> (Option<bool>, bool) {
    match token {
        "true" => (Some(true), true),
        "false" => (Some(false), true),
        "\"true\"" => (Some(true), false),
        "\"false\"" => (Some(false), false),
        _ => (None, false),
    }
}

fn read_double(token: &str) -> Option<f64> {
    if is_number(token) {
        token.parse().ok().filter(|value: &f64| value.is_finite())
    } else {
        None
    }
}

/// Whether `serde_json` prints `value` as `token`.
fn prints_as(value: f64, token: &str, printed: &mut Vec<u8>) -> bool {
    printed.clear();
    serde_json::to_writer(&mut *printed, &value).is_ok() && printed == token.as_bytes()
}

/// A list of text: element by element; a lone text or number is a list of one.
fn append_list<'t>(builder: &mut ListBuilder<StringBuilder>, token: &'t str) -> Fit<'t> {
    if !token.starts_with('[') {
        match read_text(token).0 {
            Some(text) => {
                builder.values().append_value(text);
                builder.append(true);
            }
            None => builder.append_null(),
        }
        return Fit::Odd;
    }
    let elements: Vec<&'t RawValue> =
        serde_json::from_str(token).expect("a token of a list was parsed as one before");
    let mut inexact = Vec::new();
    for (index, element) in elements.into_iter().enumerate() {
        let element = element.get();
        let (text, exact) = read_text(element);
        match text {
            Some(text) => builder.values().append_value(text),
            None => builder.values().append_null(),
        }
        if !exact && element != "null" {
            inexact.push((index, element));
        }
    }
    builder.append(true);
    if inexact.is_empty() {
        Fit::Exact
    } else {
        Fit::Elements(inexact)
    }
}
