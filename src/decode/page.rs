//! One pass over the text of a page: every record straight into the builders.
//!
//! `serde_json` reads and validates; a cursor follows it through the text. Every leaf is taken as a
//! `RawValue`, a slice of the text, so its end says where the cursor stands; from there the next
//! byte tells an object from anything else before serde is asked to read one. Thus no value of
//! the wrong type can break a page, and the text of every record and of every odd value is at
//! hand without a second pass.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use arrow::array::{NullBufferBuilder, OffsetBufferBuilder, StringBuilder};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Record;
use super::leaf::{Fit, Leaf};
use super::reject::{Flaw, RejectReason};
use super::tree::{Expects, ListId, Node, NodeId, ROOT, Tree};
use super::unmapped::{Step, Unmapped};

/// Keys of one object that the schema does not know are compared one by one up to here, and
/// through a set beyond.
const FEW_KEYS: usize = 16;

/// The most records that a page may hold, which is the largest page limit that can be asked for:
/// columns of many tiny records take far more memory than their text does.
const MAX_RECORDS: usize = 100_000;

/// The builders of one page.
pub(super) struct Builders {
    pub(super) leaves: Vec<Leaf>,
    pub(super) lists: Vec<ListBuilder>,
    pub(super) unmapped: StringBuilder,
}

/// The outline of a list of objects; the members have leaves of their own.
pub(super) struct ListBuilder {
    pub(super) lengths: OffsetBufferBuilder<i32>,
    pub(super) present: NullBufferBuilder,
    pub(super) items_present: NullBufferBuilder,
}

impl ListBuilder {
    pub(super) fn new() -> Self {
        Self {
            lengths: OffsetBufferBuilder::new(0),
            present: NullBufferBuilder::new(0),
            items_present: NullBufferBuilder::new(0),
        }
    }

    fn append(&mut self, items: usize, present: bool) {
        self.lengths.push_length(items);
        self.present.append(present);
    }
}

/// What came next the last time: inside an object first, and after a child. Two tables, because a
/// child that is an object has both, and its members are not its siblings.
pub(super) struct Guesses {
    first: Vec<NodeId>,
    after: Vec<NodeId>,
}

impl Guesses {
    /// No guess yet: the root, which is nobody's child.
    pub(super) fn new(tree: &Tree) -> Self {
        Self {
            first: vec![ROOT; tree.nodes.len()],
            after: vec![ROOT; tree.nodes.len()],
        }
    }
}

/// Reads the text of a `data` array into the builders.
pub(super) fn read(
    tree: &Tree,
    builders: &mut Builders,
    guesses: &mut Guesses,
    array: &str,
) -> Result<PageFacts, serde_json::Error> {
    let mut reader = Reader {
        tree,
        builders,
        guesses,
        text: array,
        cursor: 0,
        stamp: 0,
        seen: vec![0; tree.nodes.len()],
        unmapped: Unmapped::default(),
        flaw: None,
        facts: PageFacts {
            records: Vec::new(),
            unknown: vec![HashMap::new(); tree.nodes.len()],
        },
    };
    let mut json = serde_json::Deserializer::from_str(array);
    Page(&mut reader).deserialize(&mut json)?;
    json.end()?;
    Ok(reader.facts)
}

/// What a page held beside the columns.
pub(super) struct PageFacts {
    pub(super) records: Vec<Record>,
    /// For every node of the tree, the keys below it that the schema does not know.
    pub(super) unknown: Vec<HashMap<String, u64>>,
}

struct Reader<'p, 'de> {
    tree: &'p Tree,
    builders: &'p mut Builders,
    guesses: &'p mut Guesses,
    text: &'de str,
    cursor: usize,
    /// Numbers the objects of the page, so that a child knows whether it was seen in this one.
    stamp: u32,
    seen: Vec<u32>,
    unmapped: Unmapped<'p>,
    flaw: Option<Flaw>,
    facts: PageFacts,
}

impl<'p, 'de> Reader<'p, 'de> {
    /// Moves the cursor over white space and returns the byte behind it.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.cursor..)?;
        let space = rest
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\n' | b'\r' | b'\t'))
            .count();
        self.cursor += space;
        rest.get(space).copied()
    }

    /// Moves the cursor over one punctuation mark and the white space around it.
    fn pass<E: Error>(&mut self, mark: u8) -> Result<(), E> {
        if self.peek() != Some(mark) {
            return Err(E::custom("the cursor lost its place in the page"));
        }
        self.cursor += 1;
        Ok(())
    }

    /// Moves the cursor to the next element of a list.
    fn pass_to_element(&mut self, index: usize) -> Option<u8> {
        if index > 0 && self.peek() == Some(b',') {
            self.cursor += 1;
        }
        self.peek()
    }

    /// Moves the cursor to the end of a slice of the text.
    fn pass_slice(&mut self, slice: &[u8]) {
        let start = slice.as_ptr() as usize - self.text.as_ptr() as usize;
        self.cursor = start + slice.len();
    }

    /// Moves the cursor behind a key that serde had to copy because of its escapes.
    fn pass_copied_key<E: Error>(&mut self) -> Result<(), E> {
        if self.peek() == Some(b',') {
            self.cursor += 1;
        }
        self.pass(b'"')?;
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.cursor) {
            match byte {
                b'"' => return Ok(()),
                b'\\' => self.cursor += 2,
                _ => self.cursor += 1,
            }
        }
        Err(E::custom("the cursor lost its place in the page"))
    }

    fn take_raw<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<&'de str, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        self.pass_slice(raw.as_bytes());
        Ok(raw)
    }

    /// Keeps the first flaw of a record.
    fn flawed(&mut self, reason: RejectReason, key: &str) {
        if self.flaw.is_none() {
            self.flaw = Some(Flaw {
                reason,
                place: self.unmapped.place(key),
            });
        }
    }

    fn next_stamp(&mut self) -> u32 {
        self.stamp += 1;
        self.stamp
    }

    /// The child of `parent` under `key`, guessed from the child that came before it, if any did.
    fn child(&mut self, parent: NodeId, before: Option<NodeId>, key: &[u8]) -> Option<NodeId> {
        let guess = match before {
            None => &mut self.guesses.first[parent],
            Some(before) => &mut self.guesses.after[before],
        };
        if *guess == ROOT || self.tree.nodes[*guess].key.as_bytes() != key {
            *guess = self.tree.child(parent, key)?;
        }
        Some(*guess)
    }

    /// Puts a token into its leaf, and what the leaf cannot hold into `unmapped`.
    fn fill(&mut self, leaf: usize, key: &'p str, token: &'de str) {
        match self.builders.leaves[leaf].append(token) {
            Fit::Exact => {}
            Fit::Inexact => self.unmapped.write(Step::Key(key), token),
            Fit::Elements(elements) => {
                self.unmapped.enter(Step::Key(key));
                for (index, element) in elements {
                    self.unmapped.write(Step::Index(index), element);
                }
                self.unmapped.leave();
            }
        }
    }

    /// Gives every member of a list's objects its value in the item just read.
    fn end_item(&mut self, list: ListId, present: bool) {
        let builder = &mut self.builders.lists[list];
        builder.items_present.append(present);
        let items = builder.items_present.len();
        for leaf in &self.tree.lists[list].leaves {
            pad(&mut self.builders.leaves[*leaf], items);
        }
    }

    /// Gives every column its value in the record just read.
    fn end_record(&mut self, start: usize) {
        let records = self.facts.records.len() + 1;
        for leaf in &self.tree.record_leaves {
            pad(&mut self.builders.leaves[*leaf], records);
        }
        for list in &mut self.builders.lists {
            if list.present.len() < records {
                list.append(0, false);
            }
        }
        self.unmapped
            .end_record(|text| self.builders.unmapped.append_option(text));
        let leaf = |leaf: usize| &self.builders.leaves[leaf];
        let timestamp_ms = leaf(self.tree.timestamp_leaf).last_ms();
        let created_ms = leaf(self.tree.created_leaf).last_ms();
        let has_id = leaf(self.tree.id_leaf).last_has_text();
        let missing = |reason, key: &str| {
            Some(Flaw {
                reason,
                place: key.to_owned(),
            })
        };
        let flaw = self.flaw.take().or_else(|| match (has_id, timestamp_ms) {
            (false, _) => missing(RejectReason::NoId, "_id"),
            (true, None) => missing(RejectReason::NoTimestamp, "timestamp"),
            (true, Some(_)) => None,
        });
        let range: Range<usize> = start..self.cursor;
        self.facts.records.push(Record {
            range,
            timestamp_ms,
            created_ms,
            flaw,
        });
    }
}

/// Appends null unless the leaf has its value already.
fn pad(leaf: &mut Leaf, len: usize) {
    if leaf.len() < len {
        leaf.append_null();
    }
}

/// The `data` array.
struct Page<'r, 'p, 'de>(&'r mut Reader<'p, 'de>);

impl<'de> DeserializeSeed<'de> for Page<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Page<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<(), A::Error> {
        self.0.pass(b'[')?;
        loop {
            let records_read = self.0.facts.records.len();
            if records_read > MAX_RECORDS {
                return Err(A::Error::custom(format_args!(
                    "more than {MAX_RECORDS} records"
                )));
            }
            let first = self.0.pass_to_element(records_read);
            if records
                .next_element_seed(OneRecord {
                    reader: &mut *self.0,
                    first,
                })?
                .is_none()
            {
                return Ok(());
            }
        }
    }
}

/// One element of the `data` array.
struct OneRecord<'r, 'p, 'de> {
    reader: &'r mut Reader<'p, 'de>,
    first: Option<u8>,
}

impl<'de> DeserializeSeed<'de> for OneRecord<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let start = self.reader.cursor;
        if self.first == Some(b'{') {
            Object {
                reader: &mut *self.reader,
                node: ROOT,
            }
            .deserialize(deserializer)?;
        } else {
            self.reader.take_raw(deserializer)?;
            self.reader.flawed(RejectReason::NotAnObject, "");
        }
        self.reader.end_record(start);
        Ok(())
    }
}

/// An object that the schema knows; the value is whether it had any key.
struct Object<'r, 'p, 'de> {
    reader: &'r mut Reader<'p, 'de>,
    node: NodeId,
}

impl<'de> DeserializeSeed<'de> for Object<'_, '_, 'de> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, '_, 'de> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let Self { reader, node } = self;
        let stamp = reader.next_stamp();
        let mut own_keys = OwnKeys::default();
        let mut any = false;
        let mut before = None;
        reader.pass(b'{')?;
        while let Some(key) = members.next_key_seed(Key)? {
            any = true;
            match &key {
                KeyBytes::Slice(bytes) => reader.pass_slice(bytes),
                KeyBytes::Copy(_) => reader.pass_copied_key()?,
            }
            reader.pass(b'"')?;
            reader.pass(b':')?;
            let first = reader.peek();
            let bytes = key.as_bytes();
            let Some(child) = reader.child(node, before, bytes) else {
                let token = members.next_value_seed(Raw(&mut *reader))?;
                match std::str::from_utf8(bytes) {
                    Ok(key) if own_keys.insert(key) => {
                        reader.unmapped.write_unknown(key, token);
                        count(&mut reader.facts.unknown[node], key);
                    }
                    Ok(key) => reader.flawed(RejectReason::DuplicateKey, key),
                    Err(_) => reader.flawed(RejectReason::UndecodableKey, ""),
                }
                continue;
            };
            before = Some(child);
            let tree = reader.tree;
            let Node { key, expects, .. } = &tree.nodes[child];
            if reader.seen[child] == stamp {
                members.next_value_seed(Raw(&mut *reader))?;
                reader.flawed(RejectReason::DuplicateKey, key);
                continue;
            }
            reader.seen[child] = stamp;
            match expects {
                Expects::Leaf(leaf) => {
                    let token = members.next_value_seed(Raw(&mut *reader))?;
                    reader.fill(*leaf, key, token);
                }
                Expects::Object(_) if first == Some(b'{') => {
                    reader.unmapped.enter(Step::Key(key));
                    let any = members.next_value_seed(Object {
                        reader: &mut *reader,
                        node: child,
                    })?;
                    reader.unmapped.leave();
                    if !any {
                        // No column would bring it back.
                        reader.unmapped.write(Step::Key(key), "{}");
                    }
                }
                Expects::List { list, item } if first == Some(b'[') => {
                    reader.unmapped.enter(Step::Key(key));
                    members.next_value_seed(ObjectList {
                        reader: &mut *reader,
                        list: *list,
                        item: *item,
                    })?;
                    reader.unmapped.leave();
                }
                Expects::Object(_) | Expects::List { .. } => {
                    let token = members.next_value_seed(Raw(&mut *reader))?;
                    reader.unmapped.write(Step::Key(key), token);
                }
            }
        }
        reader.pass(b'}')?;
        Ok(any)
    }
}

/// A list of objects that the schema knows.
struct ObjectList<'r, 'p, 'de> {
    reader: &'r mut Reader<'p, 'de>,
    list: ListId,
    item: NodeId,
}

impl<'de> DeserializeSeed<'de> for ObjectList<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ObjectList<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { reader, list, item } = self;
        reader.pass(b'[')?;
        let mut index = 0;
        loop {
            let first = reader.pass_to_element(index);
            let seed = Item {
                reader: &mut *reader,
                list,
                node: item,
                index,
                first,
            };
            if items.next_element_seed(seed)?.is_none() {
                break;
            }
            index += 1;
        }
        reader.pass(b']')?;
        reader.builders.lists[list].append(index, true);
        Ok(())
    }
}

/// One element of a list of objects.
struct Item<'r, 'p, 'de> {
    reader: &'r mut Reader<'p, 'de>,
    list: ListId,
    node: NodeId,
    index: usize,
    first: Option<u8>,
}

impl<'de> DeserializeSeed<'de> for Item<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self {
            reader,
            list,
            node,
            index,
            first,
        } = self;
        let is_object = first == Some(b'{');
        if is_object {
            reader.unmapped.enter(Step::Index(index));
            Object {
                reader: &mut *reader,
                node,
            }
            .deserialize(deserializer)?;
            reader.unmapped.leave();
        } else {
            let token = reader.take_raw(deserializer)?;
            if token != "null" {
                reader.unmapped.write(Step::Index(index), token);
            }
        }
        reader.end_item(list, is_object);
        Ok(())
    }
}

/// Any value, as its text.
struct Raw<'r, 'p, 'de>(&'r mut Reader<'p, 'de>);

impl<'de> DeserializeSeed<'de> for Raw<'_, '_, 'de> {
    type Value = &'de str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'de str, D::Error> {
        self.0.take_raw(deserializer)
    }
}

/// A key as bytes: `serde_json` checks neither surrogates nor control characters in these, so a
/// key that is no text flaws its record instead of the page.
struct Key;

enum KeyBytes<'de> {
    Slice(&'de [u8]),
    Copy(Vec<u8>),
}

impl KeyBytes<'_> {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Copy(bytes) => bytes,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Key {
    type Value = KeyBytes<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<KeyBytes<'de>, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = KeyBytes<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<KeyBytes<'de>, E> {
        if bytes.iter().any(|b| *b < 0x20) {
            return Err(E::custom("control character in a key"));
        }
        Ok(KeyBytes::Slice(bytes))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<KeyBytes<'de>, E> {
        Ok(KeyBytes::Copy(bytes.to_vec()))
    }
}

/// The keys of one object that the schema does not know.
#[derive(Default)]
struct OwnKeys {
    few: Vec<String>,
    many: HashSet<String>,
}

impl OwnKeys {
    /// Takes a key; `false` where the object had it already.
    fn insert(&mut self, key: &str) -> bool {
        if self.few.iter().any(|other| other == key) {
            return false;
        }
        if self.few.len() < FEW_KEYS {
            self.few.push(key.to_owned());
            return true;
        }
        self.many.insert(key.to_owned())
    }
}

fn count(keys: &mut HashMap<String, u64>, key: &str) {
    match keys.get_mut(key) {
        Some(count) => *count += 1,
        None => {
            keys.insert(key.to_owned(), 1);
        }
    }
}
