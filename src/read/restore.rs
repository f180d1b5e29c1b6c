//! A row becomes the record that it was: the inverse of the decoder.
//!
//! Text is spliced: the columns are written where they belong, and `unmapped` is laid over them.
//! An object over an object merges; an object over a list that came from a column replaces by
//! index; anything else replaces. Only as deep as the schema does anything here nest, so the
//! depth of a record costs nothing.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch,
    StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::schema::{ACTIVITY_ID, ActivitySchema, Column, Kind, Source, UNMAPPED};

/// What the texts of a record may take in JSON, in bytes; those of a page of the service take less.
pub(super) const MAX_RECORD_BYTES: u64 = 512 * 1024 * 1024;

/// Restores the records of one batch.
pub struct RecordRestorer {
    members: Vec<Member>,
    unmapped: StringViewArray,
}

/// What lies under one key of an object.
struct Member {
    key: String,
    content: Content,
}

enum Content {
    Object(Vec<Member>),
    Text(StringViewArray),
    /// Empty texts stand for the id.
    CopyOfId(StringViewArray, StringViewArray),
    Json(StringViewArray),
    Int64(Int64Array),
    Bool(BooleanArray),
    Double(Float64Array),
    Time(TimestampMicrosecondArray),
    TextList(ListArray, StringViewArray),
    ObjectList(ListArray, Vec<Member>),
}

impl RecordRestorer {
    /// Takes a batch apart; `None` where its columns are not those of the schema. Columns that an
    /// older file does not have yet are absent.
    pub fn new(schema: &ActivitySchema, batch: &RecordBatch) -> Option<Self> {
        let text = |name| texts(batch.column_by_name(name)?);
        let mut members = Vec::new();
        for column in schema
            .columns
            .iter()
            .filter(|column| column.source == Source::Record)
        {
            if let Some(array) = batch.column_by_name(&column.name) {
                let content = if column.copy_of_id {
                    Content::CopyOfId(texts(array)?, text(ACTIVITY_ID)?)
                } else {
                    Content::new(column, array)?
                };
                insert(&mut members, &column.path, content);
            }
        }
        let unmapped = text(UNMAPPED)?;
        Some(Self { members, unmapped })
    }

    /// The most that the texts of a row take in JSON, in bytes. Exact where that is more than is
    /// allowed: then every byte is looked at.
    pub(super) fn record_bytes(&self, row: usize) -> u64 {
        let most = self.measure(row, &|text| ESCAPED_BYTES * text.len() as u64);
        if most <= MAX_RECORD_BYTES {
            return most;
        }
        self.measure(row, &|text| {
            let escaped = text.bytes().filter(|byte| !is_plain(*byte)).count() as u64;
            text.len() as u64 + (ESCAPED_BYTES - 1) * escaped
        })
    }

    fn measure(&self, row: usize, size: &dyn Fn(&str) -> u64) -> u64 {
        let rows = row..row + 1;
        let unmapped = sum(&self.unmapped, rows.clone(), size);
        sum_below(&self.members, &rows, size).saturating_add(unmapped)
    }

    /// Appends the record of a row, as JSON in one line.
    pub fn restore(&self, row: usize, out: &mut String) {
        let overlay = if self.unmapped.is_valid(row) {
            self.unmapped.value(row)
        } else {
            "{}"
        };
        let overlay = Overlay::of_object(overlay).unwrap_or_default();
        write_object(&self.members, row, &overlay, out);
    }
}

/// Texts as views, whether they were read as such or decoded a moment ago.
fn texts(array: &ArrayRef) -> Option<StringViewArray> {
    match array.data_type() {
        DataType::Utf8View => array.as_string_view_opt().cloned(),
        _ => array.as_string_opt::<i32>().map(StringViewArray::from),
    }
}

/// Puts a column's content at its path.
fn insert(members: &mut Vec<Member>, path: &str, content: Content) {
    let Some((key, rest)) = path.split_once('.') else {
        members.push(Member {
            key: path.to_owned(),
            content,
        });
        return;
    };
    let position = members
        .iter()
        .position(|member| member.key == key)
        .unwrap_or_else(|| {
            members.push(Member {
                key: key.to_owned(),
                content: Content::Object(Vec::new()),
            });
            members.len() - 1
        });
    if let Content::Object(below) = &mut members[position].content {
        insert(below, rest, content);
    }
}

impl Content {
    fn new(column: &Column, array: &ArrayRef) -> Option<Self> {
        Some(match column.kind {
            Kind::String => Self::Text(texts(array)?),
            Kind::Json => Self::Json(texts(array)?),
            Kind::Int64 => Self::Int64(array.as_primitive_opt::<Int64Type>()?.clone()),
            Kind::Bool => Self::Bool(array.as_boolean_opt()?.clone()),
            Kind::Double => Self::Double(array.as_primitive_opt::<Float64Type>()?.clone()),
            Kind::Time => Self::Time(
                array
                    .as_primitive_opt::<TimestampMicrosecondType>()?
                    .clone(),
            ),
            Kind::StringList => {
                let list = array.as_list_opt::<i32>()?.clone();
                let values = texts(list.values())?;
                Self::TextList(list, values)
            }
            Kind::ObjectList => {
                let list = array.as_list_opt::<i32>()?.clone();
                let items = list.values().as_struct_opt()?.clone();
                let mut members = Vec::new();
                for item in &column.items {
                    if let Some(array) = items.column_by_name(&item.name) {
                        insert(&mut members, &item.path, Self::new(item, array)?);
                    }
                }
                Self::ObjectList(list, members)
            }
        })
    }

    /// Adds up the sizes of the texts of rows.
    fn measure(&self, rows: &Range<usize>, size: &dyn Fn(&str) -> u64) -> u64 {
        match self {
            Self::Object(members) => sum_below(members, rows, size),
            Self::Text(array) | Self::Json(array) => sum(array, rows.clone(), size),
            Self::CopyOfId(array, ids) => {
                sum(array, rows.clone(), size).saturating_add(sum(ids, rows.clone(), size))
            }
            Self::TextList(list, values) => sum(values, items(list, rows), size),
            Self::ObjectList(list, members) => sum_below(members, &items(list, rows), size),
            Self::Int64(_) | Self::Bool(_) | Self::Double(_) | Self::Time(_) => 0,
        }
    }

    /// Whether the columns hold anything at a row.
    fn is_present(&self, row: usize) -> bool {
        match self {
            Self::Object(members) => members.iter().any(|member| member.content.is_present(row)),
            Self::Text(array) | Self::CopyOfId(array, _) | Self::Json(array) => array.is_valid(row),
            Self::Int64(array) => array.is_valid(row),
            Self::Bool(array) => array.is_valid(row),
            Self::Double(array) => array.is_valid(row),
            Self::Time(array) => array.is_valid(row),
            Self::TextList(list, _) | Self::ObjectList(list, _) => list.is_valid(row),
        }
    }

    /// Writes what the columns hold at a row, with an object laid over it.
    fn write(&self, row: usize, overlay: &Overlay<'_>, out: &mut String) {
        match self {
            Self::Object(members) => write_object(members, row, overlay, out),
            Self::Text(array) => push_string(out, array.value(row)),
            Self::CopyOfId(array, ids) => push_string(
                out,
                match array.value(row) {
                    "" => ids.value(row),
                    text => text,
                },
            ),
            Self::Json(array) => push_json(out, array.value(row)),
            Self::Int64(array) => push(out, array.value(row)),
            Self::Bool(array) => push(out, array.value(row)),
            Self::Double(array) => push_double(out, array.value(row)),
            Self::Time(array) => push(out, array.value(row).div_euclid(1_000)),
            Self::TextList(list, values) => write_list(list, row, overlay, out, |item, _, out| {
                if values.is_valid(item) {
                    push_string(out, values.value(item));
                } else {
                    out.push_str("null");
                }
            }),
            Self::ObjectList(list, members) => {
                write_list(list, row, overlay, out, |item, overlay, out| {
                    if list.values().is_valid(item) {
                        write_object(members, item, overlay, out);
                    } else {
                        out.push_str("null");
                    }
                });
            }
        }
    }

    /// Whether an object laid over the content at a row is merged into it.
    fn merges(&self, row: usize) -> bool {
        match self {
            Self::Object(_) => true,
            Self::TextList(list, _) | Self::ObjectList(list, _) => list.is_valid(row),
            _ => false,
        }
    }
}

fn sum_below(members: &[Member], rows: &Range<usize>, size: &dyn Fn(&str) -> u64) -> u64 {
    members
        .iter()
        .map(|member| member.content.measure(rows, size))
        .fold(0, u64::saturating_add)
}

fn sum(texts: &StringViewArray, rows: Range<usize>, size: &dyn Fn(&str) -> u64) -> u64 {
    rows.filter(|&row| texts.is_valid(row))
        .map(|row| size(texts.value(row)))
        .fold(0, u64::saturating_add)
}

/// The elements of lists.
fn items(list: &ListArray, rows: &Range<usize>) -> Range<usize> {
    let offsets = list.value_offsets();
    let position = |at: usize| usize::try_from(offsets[at]).expect("offsets are not negative");
    position(rows.start)..position(rows.end)
}

/// The most that a byte of text becomes in JSON: `\u0000`.
const ESCAPED_BYTES: u64 = 6;

fn write_object(members: &[Member], row: usize, overlay: &Overlay<'_>, out: &mut String) {
    out.push('{');
    for Member { key, content } in members {
        let over = overlay.get(key);
        if over.is_none() && !content.is_present(row) {
            continue;
        }
        push_key(out, key);
        match over {
            None => content.write(row, &Overlay::default(), out),
            Some(text) => match Overlay::of_object(text).filter(|_| content.merges(row)) {
                Some(overlay) => content.write(row, &overlay, out),
                None => push_json(out, text),
            },
        }
    }
    for (key, text) in &overlay.0 {
        if !members.iter().any(|member| member.key == *key) {
            push_key(out, key);
            push_json(out, text);
        }
    }
    out.push('}');
}

/// Writes a list that came from a column; members of the overlay replace elements by index, an
/// object over an object merges.
fn write_list(
    list: &ListArray,
    row: usize,
    overlay: &Overlay<'_>,
    out: &mut String,
    write_item: impl Fn(usize, &Overlay<'_>, &mut String),
) {
    let is_object_list = list.values().as_struct_opt().is_some();
    let over = overlay.by_index();
    out.push('[');
    for (index, item) in items(list, &(row..row + 1)).enumerate() {
        if index > 0 {
            out.push(',');
        }
        match over.get(&index) {
            None => write_item(item, &Overlay::default(), out),
            Some(text) => {
                let merges = is_object_list && list.values().is_valid(item);
                match Overlay::of_object(text).filter(|_| merges) {
                    Some(overlay) => write_item(item, &overlay, out),
                    None => push_json(out, text),
                }
            }
        }
    }
    out.push(']');
}

/// One level of `unmapped`: keys and the texts of their values.
#[derive(Default)]
struct Overlay<'t>(Vec<(Cow<'t, str>, &'t str)>);

impl<'t> Overlay<'t> {
    /// The members of an object's text; `None` if the text is not an object.
    fn of_object(text: &'t str) -> Option<Self> {
        if !text.starts_with('{') {
            return None;
        }
        serde_json::from_str(text).ok()
    }

    fn get(&self, key: &str) -> Option<&'t str> {
        self.0
            .iter()
            .find(|(own, _)| own == key)
            .map(|(_, text)| *text)
    }

    /// The texts by position in a list. A list is asked for each of its elements, and may have tens
    /// of thousands.
    fn by_index(&self) -> HashMap<usize, &'t str> {
        let mut texts = HashMap::with_capacity(self.0.len());
        for (key, text) in &self.0 {
            if let Ok(index) = key.parse() {
                texts.entry(index).or_insert(*text);
            }
        }
        texts
    }
}

impl<'de> Deserialize<'de> for Overlay<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Overlay<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some((key, value)) = members.next_entry::<Key<'de>, &'de RawValue>()? {
                    all.push((key.0, value.get()));
                }
                Ok(Overlay(all))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'t>(#[serde(borrow)] Cow<'t, str>);

fn push_key(out: &mut String, key: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    push_string(out, key);
    out.push(':');
}

/// Appends the text of a JSON value on one line: a raw line end in it can only be white space, for
/// strings have theirs escaped.
fn push_json(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        out.push(' ');
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

fn push(out: &mut String, value: impl fmt::Display) {
    use fmt::Write;
    write!(out, "{value}").expect("a String takes any text");
}

fn push_double(out: &mut String, value: f64) {
    // The text that the decoder compared with.
    out.push_str(&serde_json::to_string(&value).expect("a column holds finite numbers only"));
}

/// Whether a byte of text stands in JSON as it is.
fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

fn push_string(out: &mut String, text: &str) {
    if text.bytes().all(is_plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}
