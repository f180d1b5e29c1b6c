//! One pass over the records of a page: each straight into the builders.
//!
//! The outline says where a record lies. `serde_json` reads and validates it; a cursor follows
//! through the text. Every leaf is taken as a
//! `RawValue`, a slice of the text, so its end says where the cursor stands; from there the next
//! byte tells an object from anything else before serde is asked to read one. Thus no value of
//! the wrong type can break a page, and the text of every record and of every odd value is at
//! hand without a second pass. A record that is no JSON has a row all the same, of what was read up
//! to there, and a flaw.

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
use super::room::Room;
use super::tree::{Expects, ListId, Node, NodeId, ROOT, Tree};
use super::unmapped::{Step, Unmapped};
use crate::decode::oddities::{MAX_PATHS, OTHER_PATHS};
use crate::text::outline::{Broken, Elements};

/// Keys of one object that the schema does not know are compared one by one up to here, and
/// through a set beyond.
const FEW_KEYS: usize = 16;

/// A record above this has no row: its columns, `unmapped` with the positions of lists included,
/// could be too large for Arrow's offsets of 31 bits.
const MAX_RECORD_BYTES: usize = 256 * 1024 * 1024;

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
    /// Items of the lists that have ended.
    items_ended: usize,
}

impl ListBuilder {
    pub(super) fn new() -> Self {
        Self {
            lengths: OffsetBufferBuilder::new(0),
            present: NullBufferBuilder::new(0),
            items_present: NullBufferBuilder::new(0),
            items_ended: 0,
        }
    }

    fn append(&mut self, items: usize, present: bool) {
        self.lengths.push_length(items);
        self.items_ended += items;
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

/// Reads records of a `data` array into the builders, until the columns hold `max_bytes` or the array
/// ends; the value is whether it does.
pub(super) fn read(
    tree: &Tree,
    builders: &mut Builders,
    guesses: &mut Guesses,
    array: &str,
    elements: &mut Elements,
    max_bytes: usize,
) -> Result<(PageFacts, bool), Broken> {
    let mut reader = Reader {
        tree,
        builders,
        guesses,
        text: array,
        cursor: 0,
        record_end: 0,
        room: Room::default(),
        stamp: 0,
        seen: vec![0; tree.nodes.len()],
        unmapped: Unmapped::default(),
        flaw: None,
        facts: PageFacts {
            records: Vec::new(),
            unknown: vec![KeyCounts::default(); tree.nodes.len()],
            odd: vec![0; tree.nodes.len()],
        },
    };
    let mut bytes = 0;
    while let Some(range) = elements.next(array)? {
        bytes += range.len();
        reader.read_record(range);
        if bytes + reader.columns_bytes() >= max_bytes {
            return Ok((reader.facts, false));
        }
    }
    Ok((reader.facts, true))
}

/// What records held beside the columns.
pub(super) struct PageFacts {
    pub(super) records: Vec<Record>,
    /// For every node of the tree, the keys below it that the schema does not know.
    pub(super) unknown: Vec<KeyCounts>,
    /// For every node of the tree, how many of its values were of another form.
    pub(super) odd: Vec<u64>,
}

struct Reader<'p, 'de> {
    tree: &'p Tree,
    builders: &'p mut Builders,
    guesses: &'p mut Guesses,
    text: &'de str,
    cursor: usize,
    /// Where the text of the record ends that is being read.
    record_end: usize,
    room: Room,
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

    /// Whether the list that the cursor stands before can be taken apart.
    fn has_room(&mut self) -> bool {
        self.room.take(&self.text[self.cursor..self.record_end])
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

    /// Reads the record that lies there.
    fn read_record(&mut self, range: Range<usize>) {
        self.cursor = range.start;
        self.record_end = range.end;
        self.room = Room::of_record(range.len());
        if range.len() > MAX_RECORD_BYTES {
            self.flawed(RejectReason::TooLarge, "");
        } else if let Err(flaw) = self.read_json(&self.text[range.clone()]) {
            self.close_lists();
            self.flaw = Some(flaw);
        }
        self.end_record(range);
    }

    /// Reads a record, or says where it is no JSON.
    fn read_json(&mut self, record: &'de str) -> Result<(), Flaw> {
        let mut json = serde_json::Deserializer::from_str(record);
        let read = if record.starts_with('{') {
            let object = Object {
                reader: &mut *self,
                node: ROOT,
            };
            object.deserialize(&mut json).map(|_| ())
        } else {
            self.flawed(RejectReason::NotAnObject, "");
            self.take_raw(&mut json).map(|_| ())
        };
        read.and_then(|()| json.end()).map_err(|_| Flaw {
            reason: RejectReason::NotJson,
            place: self.unmapped.place(""),
        })
    }

    /// Ends a list whose record broke off in the middle of it.
    fn close_lists(&mut self) {
        for list in 0..self.builders.lists.len() {
            let items = self.builders.lists[list].items_present.len();
            let leaves = &self.tree.lists[list].leaves;
            if leaves
                .iter()
                .any(|leaf| self.builders.leaves[*leaf].len() > items)
            {
                self.end_item(list, true);
            }
            let builder = &mut self.builders.lists[list];
            let open = builder.items_present.len() - builder.items_ended;
            if open > 0 {
                builder.append(open, true);
            }
        }
    }

    /// What the columns take beside the records' own text, in bytes.
    fn columns_bytes(&self) -> usize {
        let records = self.facts.records.len() * self.tree.record_bytes;
        let items: usize = (self.builders.lists.iter().zip(&self.tree.lists))
            .map(|(builder, list)| builder.items_present.len() * list.item_bytes)
            .sum();
        let elements: usize = self.builders.leaves.iter().map(Leaf::elements_bytes).sum();
        records + items + elements + self.builders.unmapped.values_slice().len()
    }

    /// Takes note of a value of another form than the schema expects. A null is none: it says the
    /// same as an absent value.
    fn odd(&mut self, node: NodeId, token: &str) {
        self.facts.odd[node] += u64::from(token != "null");
    }

    /// Puts a token into its leaf, and what the leaf cannot hold into `unmapped`.
    fn fill(&mut self, node: NodeId, leaf: usize, key: &'p str, token: &'de str) {
        let leaf = &mut self.builders.leaves[leaf];
        let fit = if leaf.is_list() && !self.room.take(token) {
            leaf.append_null();
            Fit::Odd
        } else {
            leaf.append(token)
        };
        match fit {
            Fit::Exact => {}
            Fit::SameKind => self.unmapped.write(Step::Key(key), token),
            Fit::Odd => {
                self.odd(node, token);
                self.unmapped.write(Step::Key(key), token);
            }
            Fit::Elements(elements) => {
                self.facts.odd[node] += elements.len() as u64;
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
    fn end_record(&mut self, range: Range<usize>) {
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
                        reader.facts.unknown[node].add(key);
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
                    reader.fill(child, *leaf, key, token);
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
                Expects::List { list, item } if first == Some(b'[') && reader.has_room() => {
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
                    reader.odd(child, token);
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
            reader.odd(node, token);
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

/// How often keys were met that the schema does not know: bounded, as the report is.
#[derive(Debug, Default, Clone)]
pub(super) struct KeyCounts(HashMap<String, u64>);

impl KeyCounts {
    fn add(&mut self, key: &str) {
        if let Some(count) = self.0.get_mut(key) {
            *count += 1;
            return;
        }
        let key = if self.0.len() < MAX_PATHS {
            key
        } else {
            OTHER_PATHS
        };
        *self.0.entry(key.to_owned()).or_default() += 1;
    }

    /// The keys and their counts.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (String, u64)> {
        self.0.into_iter()
    }
}
