//! A second reading of a page, to hold the first one against: as plainly as it can be said, value by value
//! through `serde_json`. What a token says to a column is read as in the first.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow::array::{ListBuilder, StringBuilder};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::facts::KeyCounts;
use super::leaf::{self, Fit};
use super::oddities::path_of;
use super::room::MAX_ELEMENTS;
use super::unmapped::{Step, Unmapped};
use super::{Flaw, Ingest, Piece, Record, RejectReason, page_column};
use crate::schema::{self, ActivitySchema, Column, Kind, Source, element_field};
use crate::text::outline::{Broken, Elements, skip_space};

/// Decodes pages, each in one piece.
pub(super) struct ReferenceDecoder {
    schema: &'static ActivitySchema,
    root: Node,
}

impl ReferenceDecoder {
    pub(super) fn new() -> Self {
        let schema = schema::activity();
        Self {
            schema,
            root: Node::of(&schema.columns, ""),
        }
    }

    pub(super) fn decode(&self, array: &str, ingest: &Ingest) -> Result<Piece, Broken> {
        let mut elements = Elements::of(array, 0)?;
        let mut counts = Counts::default();
        let (mut records, mut rows, mut unmapped) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(range) = elements.next(array)? {
            let mut reading = Reading::new(&mut counts);
            let mut row = vec![None; self.schema.columns.len()];
            reading.record(&self.root, &array[range.clone()], &mut row);
            let mut flaw = reading.flaw.take();
            reading
                .unmapped
                .end_record(|text| unmapped.push(text.map(str::to_owned)));
            records.push(self.record(range, &mut row, flaw.take()));
            rows.push(row);
        }
        let at = elements.position();
        if skip_space(array.as_bytes(), at) < array.len() {
            return Err(Broken { at });
        }
        let columns = self.schema.columns.iter().enumerate();
        let columns = columns.map(|(at, column)| match column.source {
            Source::Record => column_of(column, &rows, at),
            _ if column.name == schema::UNMAPPED => Arc::new(StringArray::from(unmapped.clone())),
            _ => page_column(&column.name, &records, array, ingest),
        });
        Ok(Piece {
            batch: RecordBatch::try_new(self.schema.arrow(), columns.collect()).unwrap(),
            first_record: 0,
            unknown: counts.unknown(),
            odd: counts.odd.into_iter().collect(),
            next: None,
            records,
        })
    }

    /// What is told of a record beside its row, in which the copies of its id become empty.
    fn record(&self, range: Range<usize>, row: &mut Row, flaw: Option<Flaw>) -> Record {
        let cell = |name| row[self.schema.index_of(name).unwrap()].clone();
        let time_ms = |name| match cell(name) {
            Some(Cell::Word(time_us)) => Some(time_us / 1_000),
            _ => None,
        };
        let missing = |reason, key: &str| Flaw {
            reason,
            place: key.to_owned(),
        };
        let id = cell(schema::ACTIVITY_ID).filter(|id| *id != Cell::Text(String::new()));
        let flaw = flaw
            .or_else(|| id.is_none().then(|| missing(RejectReason::NoId, "_id")))
            .or_else(|| {
                time_ms(schema::TIMESTAMP)
                    .is_none()
                    .then(|| missing(RejectReason::NoTimestamp, "timestamp"))
            });
        let record = Record {
            range,
            timestamp_ms: time_ms(schema::TIMESTAMP),
            created_ms: time_ms(schema::CREATED),
            flaw,
        };
        for (column, cell) in self.schema.columns.iter().zip(row) {
            if column.copy_of_id && id.is_some() && *cell == id {
                *cell = Some(Cell::Text(String::new()));
            }
        }
        record
    }
}

/// One place of the record.
#[derive(Default)]
struct Node {
    key: String,
    path: String,
    /// The column, by its position among its siblings.
    column: Option<(usize, &'static Column)>,
    /// The objects of a list.
    item: Option<Box<Node>>,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn of(columns: &'static [Column], path: &str) -> Self {
        let mut root = Self {
            path: path.to_owned(),
            ..Self::default()
        };
        for (at, column) in columns.iter().enumerate() {
            if column.source != Source::Record {
                continue;
            }
            let mut node = &mut root;
            for key in column.path.split('.') {
                let dot = if node.path.is_empty() { "" } else { "." };
                let path = format!("{}{dot}{key}", node.path);
                node = node.children.entry(key.to_owned()).or_default();
                node.path = path;
                key.clone_into(&mut node.key);
            }
            node.column = Some((at, column));
            if column.kind == Kind::ObjectList {
                node.item = Some(Box::new(Self::of(
                    &column.items,
                    &format!("{}[]", node.path),
                )));
            }
        }
        root
    }
}

/// What the records hold beside their rows.
#[derive(Default)]
struct Counts {
    unknown: HashMap<String, KeyCounts>,
    odd: BTreeMap<String, u64>,
}

impl Counts {
    fn unknown(&mut self) -> Vec<(String, u64)> {
        let paths = std::mem::take(&mut self.unknown).into_iter();
        let keys = paths.flat_map(|(path, keys)| {
            keys.into_iter()
                .map(move |(key, count)| (path_of(&path, &key), count))
        });
        keys.collect()
    }
}

/// What a column has in one row.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Text(String),
    /// A whole number, or a time in microseconds.
    Word(i64),
    Bool(bool),
    Double(f64),
    Texts(Vec<Option<String>>),
    Items(Vec<Option<Row>>),
}

type Row = Vec<Option<Cell>>;

/// A record that is being read.
struct Reading<'n> {
    unmapped: Unmapped<'n>,
    flaw: Option<Flaw>,
    /// Elements of lists that may still be taken apart.
    left: usize,
    counts: &'n mut Counts,
}

impl<'n> Reading<'n> {
    fn new(counts: &'n mut Counts) -> Self {
        Self {
            unmapped: Unmapped::default(),
            flaw: None,
            left: MAX_ELEMENTS,
            counts,
        }
    }

    fn flawed(&mut self, reason: RejectReason, key: &str) {
        let place = self.unmapped.place(key);
        self.flaw.get_or_insert(Flaw { reason, place });
    }

    fn odd(&mut self, node: &Node, token: &str) {
        if token != "null" {
            *self.counts.odd.entry(node.path.clone()).or_default() += 1;
        }
    }

    fn record(&mut self, root: &'n Node, text: &str, row: &mut Row) {
        if serde_json::from_str::<IgnoredAny>(text).is_err() {
            self.flawed(RejectReason::NotJson, "");
        } else if text.starts_with('{') {
            self.object(root, text, row);
        } else {
            self.flawed(RejectReason::NotAnObject, "");
        }
    }

    /// Reads an object, and says whether it has any member.
    fn object(&mut self, node: &'n Node, text: &str, row: &mut Row) -> bool {
        let Members(members) = serde_json::from_str(text).unwrap();
        let mut keys = HashSet::new();
        for (key, value) in &members {
            let Some(key) = key else {
                self.flawed(RejectReason::UndecodableKey, "");
                continue;
            };
            if !keys.insert(key) {
                self.flawed(RejectReason::DuplicateKey, key);
            } else if let Some(child) = node.children.get(key) {
                self.member(child, value.get(), row);
            } else {
                self.unmapped.write_unknown(key, value.get());
                let unknown = &mut self.counts.unknown;
                unknown.entry(node.path.clone()).or_default().add(key);
            }
        }
        !members.is_empty()
    }

    fn member(&mut self, node: &'n Node, token: &str, row: &mut Row) {
        let key = Step::Key(&node.key);
        let read = match node.column {
            None if token.starts_with('{') => {
                self.unmapped.enter(key);
                let any = self.object(node, token, row);
                self.unmapped.leave();
                if !any {
                    self.unmapped.write(key, "{}");
                }
                return;
            }
            None => (None, Fit::Odd),
            Some((_, column)) => match column.kind {
                Kind::ObjectList | Kind::StringList if token.starts_with('[') => {
                    self.list(node, column.kind, token)
                }
                _ => scalar(column, token),
            },
        };
        if let Some((at, _)) = node.column {
            row[at] = read.0;
        }
        if read.1 == Fit::Odd {
            self.odd(node, token);
        }
        if read.1 != Fit::Exact {
            self.unmapped.write(key, token);
        }
    }

    fn list(&mut self, node: &'n Node, kind: Kind, token: &str) -> (Option<Cell>, Fit) {
        let elements: Vec<&RawValue> = serde_json::from_str(token).unwrap();
        let Some(left) = self.left.checked_sub(elements.len()) else {
            return (None, Fit::Odd);
        };
        self.left = left;
        self.unmapped.enter(Step::Key(&node.key));
        let elements = elements.into_iter().map(RawValue::get).enumerate();
        let cell = if kind == Kind::ObjectList {
            let item = node.item.as_ref().unwrap();
            Cell::Items(
                elements
                    .map(|(index, token)| self.item(item, index, token))
                    .collect(),
            )
        } else {
            Cell::Texts(
                elements
                    .map(|(index, token)| self.text(node, index, token))
                    .collect(),
            )
        };
        self.unmapped.leave();
        (Some(cell), Fit::Exact)
    }

    fn item(&mut self, node: &'n Node, index: usize, token: &str) -> Option<Row> {
        if !token.starts_with('{') {
            self.odd_element(node, index, token);
            return None;
        }
        let items = node.children.values().map(columns_below).sum();
        let mut row = vec![None; items];
        self.unmapped.enter(Step::Index(index));
        self.object(node, token, &mut row);
        self.unmapped.leave();
        Some(row)
    }

    fn text(&mut self, node: &Node, index: usize, token: &str) -> Option<String> {
        let (text, fit) = leaf::read_text(token);
        if fit != Fit::Exact {
            self.odd_element(node, index, token);
        }
        text.map(Cow::into_owned)
    }

    fn odd_element(&mut self, node: &Node, index: usize, token: &str) {
        self.odd(node, token);
        if token != "null" {
            self.unmapped.write(Step::Index(index), token);
        }
    }
}

fn columns_below(node: &Node) -> usize {
    let below: usize = node.children.values().map(columns_below).sum();
    below + usize::from(node.column.is_some())
}

/// What a token says to a column that takes it as one.
fn scalar(column: &Column, token: &str) -> (Option<Cell>, Fit) {
    fn cell<T>((value, fit): (Option<T>, Fit), cell: impl Fn(T) -> Cell) -> (Option<Cell>, Fit) {
        (value.map(cell), fit)
    }
    match column.kind {
        Kind::String => match leaf::read_text(token) {
            (Some(text), _) if column.copy_of_id && text.is_empty() => (None, Fit::Odd),
            (_, Fit::Odd) if !column.nullable => (None, Fit::Odd),
            read => cell(read, |text| Cell::Text(text.into_owned())),
        },
        Kind::Int64 => cell(leaf::read_integer(token), Cell::Word),
        Kind::Bool => cell(leaf::read_bool(token), Cell::Bool),
        Kind::Double => cell(leaf::read_double(token), Cell::Double),
        Kind::Time => cell(leaf::read_time(token), |ms| Cell::Word(ms * 1_000)),
        Kind::StringList => {
            let (text, _) = leaf::read_text(token);
            let text = text.map(|text| Cell::Texts(vec![Some(text.into_owned())]));
            (text, Fit::Odd)
        }
        Kind::ObjectList => (None, Fit::Odd),
        Kind::Json => (Some(Cell::Text(token.to_owned())), Fit::Exact),
    }
}

/// The members of an object in order; a key that is not text is none.
struct Members<'t>(Vec<(Option<String>, &'t RawValue)>);

impl<'t> Deserialize<'t> for Members<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'t> Visitor<'t> for MembersVisitor {
    type Value = Members<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Members<'t>, A::Error> {
        let mut members = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            members.push((key, map.next_value()?));
        }
        Ok(Members(members))
    }
}

/// Read as bytes, a key with a lone surrogate is accepted.
struct Key(Option<String>);

impl<'t> Deserialize<'t> for Key {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Key, E> {
        Ok(Key(std::str::from_utf8(bytes).ok().map(str::to_owned)))
    }
}

/// The array of a column in some rows.
fn column_of(column: &Column, rows: &[Row], at: usize) -> ArrayRef {
    let cells = || rows.iter().map(|row| row[at].as_ref());
    let texts = cells().map(|cell| match cell {
        Some(Cell::Text(text)) => Some(text.as_str()),
        _ => (!column.nullable).then_some(""),
    });
    let words = cells().map(|cell| match cell {
        Some(Cell::Word(word)) => Some(*word),
        _ => (!column.nullable).then_some(0),
    });
    let bools = cells().map(|cell| match cell {
        Some(Cell::Bool(value)) => Some(*value),
        _ => None,
    });
    let doubles = cells().map(|cell| match cell {
        Some(Cell::Double(value)) => Some(*value),
        _ => None,
    });
    match column.kind {
        Kind::String | Kind::Json => Arc::new(texts.collect::<StringArray>()),
        Kind::Int64 => Arc::new(words.collect::<Int64Array>()),
        Kind::Time => {
            let times = words.collect::<TimestampMicrosecondArray>();
            Arc::new(times.with_timezone("UTC"))
        }
        Kind::Bool => Arc::new(bools.collect::<BooleanArray>()),
        Kind::Double => Arc::new(doubles.collect::<Float64Array>()),
        Kind::StringList => {
            let builder = ListBuilder::new(StringBuilder::new());
            let mut builder = builder.with_field(element_field(DataType::Utf8));
            for cell in cells() {
                if let Some(Cell::Texts(texts)) = cell {
                    builder.append_value(texts.iter().cloned());
                } else {
                    builder.append_null();
                }
            }
            Arc::new(builder.finish())
        }
        Kind::ObjectList => Arc::new(objects_of(column, &cells().collect::<Vec<_>>())),
    }
}

/// The array of a list of objects.
fn objects_of(column: &Column, cells: &[Option<&Cell>]) -> ListArray {
    let lists = cells.iter().map(|cell| match cell {
        Some(Cell::Items(items)) => items.as_slice(),
        _ => &[],
    });
    let offsets = OffsetBuffer::from_lengths(lists.clone().map(<[_]>::len));
    let items: Vec<&Option<Row>> = lists.flatten().collect();
    let present: NullBuffer = items.iter().map(|item| item.is_some()).collect();
    let absent = vec![None; column.items.len()];
    let rows: Vec<Row> = items
        .into_iter()
        .map(|item| item.clone().unwrap_or_else(|| absent.clone()))
        .collect();
    let members = column.items.iter().enumerate();
    let members = members.map(|(at, member)| column_of(member, &rows, at));
    let fields = column.item_fields();
    let items = StructArray::new(fields.clone(), members.collect(), Some(present));
    let lists = cells.iter().map(Option::is_some).collect::<NullBuffer>();
    let of = element_field(DataType::Struct(fields));
    ListArray::new(of, offsets, Arc::new(items), Some(lists))
}
