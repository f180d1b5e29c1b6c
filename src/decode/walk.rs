//! One pass over the text of a page: every record straight into the slots of its leaves.
//!
//! The usual case costs the least: the key that followed the last time, compared with its quotes and
//! its colon at once, and behind it a plain value of the kind that is expected. Whatever else is there
//! is looked at step by step, and its text is at hand for `unmapped`. A record that is not JSON has a row
//! all the same, of what was read up to there, and a flaw.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use super::Record;
use super::columns::Columns;
use super::facts::PieceFacts;
use super::grammar::{self, NotJson, Open};
use super::leaf::{self, Fit};
use super::plain::{Place, Stop, plain_text};
use super::reject::{Flaw, RejectReason};
use super::room::Room;
use super::slots::{decoded_slot, text_len, text_slot};
use super::text;
use super::tree::{Expects, ListId, Node, NodeId, RECORDS, ROOT, Tree};
use super::unmapped::{Step, Unmapped};
use crate::schema::Kind;
use crate::text::look::space;
use crate::text::outline::{Broken, Elements};

/// Keys of one object that the schema does not know are compared one by one up to here, and
/// through a set beyond.
const FEW_KEYS: usize = 16;
/// The columns' size is looked at after a record of more bytes than this, or after so many records.
const DUE_BYTES: usize = 16 * 1024;
const DUE_RECORDS: usize = 16;
/// A record above this has no row: its columns, `unmapped` with the positions of lists included,
/// could be too large for Arrow's offsets of 31 bits.
const MAX_RECORD_BYTES: usize = 256 * 1024 * 1024;

/// What is kept from page to page.
pub(super) struct Memory {
    /// They know which keys followed which.
    pub(super) nodes: Vec<Node>,
    pub(super) columns: Columns,
    /// Numbers the objects, so that a child knows whether it was seen in this one.
    stamp: u64,
    open: Open,
}

impl Memory {
    pub(super) fn new(tree: &Tree, nodes: Vec<Node>) -> Self {
        Self {
            nodes,
            columns: Columns::new(tree),
            stamp: 0,
            open: Open::new(),
        }
    }
}

/// Reads records of a `data` array into the columns, until these hold `max_bytes` or the array ends; the
/// value is whether it does.
pub(super) fn read(
    tree: &Tree,
    memory: &mut Memory,
    array: &str,
    elements: &mut Elements,
    max_bytes: usize,
) -> Result<(PieceFacts, bool), Broken> {
    let mut walk = Walk {
        tree,
        memory,
        text: array,
        bytes: array.as_bytes(),
        unmapped: Unmapped::default(),
        own_keys: Vec::new(),
        in_item: None,
        flaw: None,
        room: Room::new(),
        facts: PieceFacts::new(tree),
    };
    match walk.records(elements, max_bytes) {
        Ok(ended) => {
            walk.memory.columns.end_rows(tree, array.as_bytes());
            Ok((walk.facts, ended))
        }
        Err(broken) => {
            // Nothing of this page is to be found in the next one.
            walk.memory.columns = Columns::new(tree);
            Err(broken)
        }
    }
}

struct Walk<'p> {
    tree: &'p Tree,
    memory: &'p mut Memory,
    text: &'p str,
    bytes: &'p [u8],
    unmapped: Unmapped<'p>,
    /// The keys of the objects on the way that the schema does not know, the innermost's last.
    own_keys: Vec<Cow<'p, str>>,
    /// The list of which an item is being read.
    in_item: Option<ListId>,
    flaw: Option<Flaw>,
    /// For the elements of the record's lists.
    room: Room,
    facts: PieceFacts,
}

/// An object on the way.
struct Object<'p> {
    place: Place,
    /// Where its own keys begin, and more of them than a few.
    own_keys: usize,
    many_keys: Option<HashSet<Cow<'p, str>>>,
}

/// A member whose key was looked up.
enum Member {
    /// A child of the object, and where its value begins.
    Known(NodeId, usize),
    /// Another one, and where it ends.
    Read(usize),
}

impl<'p> Walk<'p> {
    /// Reads records until the columns hold `max_bytes` or the array ends, which is the value.
    fn records(&mut self, elements: &mut Elements, max_bytes: usize) -> Result<bool, Broken> {
        let begin = elements.position();
        while let Some(start) = elements.next_start(self.text)? {
            let end = self.record(start, elements)?;
            // A look at all columns takes a while, so that tiny records share it.
            let is_due =
                end - start > DUE_BYTES || self.facts.records.len().is_multiple_of(DUE_RECORDS);
            if is_due && end - begin + self.memory.columns.bytes(self.tree) >= max_bytes {
                return Ok(false);
            }
        }
        let at = space(self.bytes, elements.position());
        if at < self.bytes.len() {
            return Err(Broken { at });
        }
        Ok(true)
    }

    /// Reads the record that begins at `start`, and says where it ends.
    fn record(&mut self, start: usize, elements: &mut Elements) -> Result<usize, Broken> {
        let read = if self.is_too_large(start, *elements) {
            self.flawed(RejectReason::TooLarge, "");
            Err(NotJson)
        } else if self.bytes.get(start) == Some(&b'{') {
            self.object(ROOT, self.memory.columns.rows(RECORDS), start)
                .map(|(end, _)| end)
        } else {
            self.flawed(RejectReason::NotAnObject, "");
            self.value(start)
        };
        let read = read
            .ok()
            .filter(|end| elements.may_end(self.text, start, *end));
        let end = if let Some(end) = read {
            elements.pass(end)
        } else {
            self.break_off();
            elements.pass_element(self.text)?
        };
        self.end_record(start..end);
        Ok(end)
    }

    /// Whether the record that begins at `start` is too large for columns.
    fn is_too_large(&self, start: usize, mut elements: Elements) -> bool {
        if self.bytes.len() - start <= MAX_RECORD_BYTES {
            return false;
        }
        let end = elements.pass_element(self.text);
        end.is_ok_and(|end| end - start > MAX_RECORD_BYTES)
    }

    /// Ends a record in the middle: it is not JSON, unless it was left alone for its size.
    fn break_off(&mut self) {
        let place = self.unmapped.place("");
        let is_left_alone = |flaw: &Flaw| flaw.reason == RejectReason::TooLarge;
        self.flaw = self.flaw.take().filter(is_left_alone).or(Some(Flaw {
            reason: RejectReason::NotJson,
            place,
        }));
        if let Some(list) = self.in_item.take() {
            self.end_item(list, true);
        }
    }

    /// Gives every column its value in the record just read.
    fn end_record(&mut self, range: Range<usize>) {
        let columns = &mut self.memory.columns;
        let row = columns.rows(RECORDS);
        let slot = |leaf: usize| columns.slots[leaf].get(row);
        #[expect(clippy::cast_possible_wrap, reason = "a time is not negative")]
        let time_ms = |leaf| slot(leaf).map(|time_us| time_us as i64 / 1_000);
        let timestamp_ms = time_ms(self.tree.timestamp_leaf);
        let created_ms = time_ms(self.tree.created_leaf);
        let has_id = slot(self.tree.id_leaf).is_some_and(|id| text_len(id) > 0);
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
        self.unmapped.end_record(|text| columns.unmapped.push(text));
        self.own_keys.clear();
        self.room = Room::new();
        columns.empty_copies(self.tree, row, self.bytes);
        columns.end_row(self.tree, RECORDS, self.bytes);
        self.facts.records.push(Record {
            range,
            timestamp_ms,
            created_ms,
            flaw,
        });
    }

    fn end_item(&mut self, list: ListId, present: bool) {
        let columns = &mut self.memory.columns;
        columns.end_item(self.tree, list, present, self.bytes);
    }

    /// The position behind any valid value.
    fn value(&mut self, at: usize) -> Result<usize, NotJson> {
        grammar::value(self.bytes, at, &mut self.memory.open)
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

    /// Takes note of a value of another form than the schema expects. A null is none: it says the
    /// same as an absent value.
    fn odd(&mut self, node: NodeId, token: &str) {
        self.facts.odd[usize::from(node)] += u64::from(token != "null");
    }

    fn key_of(&self, node: NodeId) -> &'p str {
        &self.tree.names[usize::from(node)].key
    }

    /// Reads an object that the schema knows: where it ends, and whether it has any member.
    fn object(&mut self, node: NodeId, row: usize, at: usize) -> Result<(usize, bool), NotJson> {
        self.memory.stamp += 1;
        let mut object = Object {
            place: Place {
                node,
                row,
                stamp: self.memory.stamp,
                before: ROOT,
            },
            own_keys: self.own_keys.len(),
            many_keys: None,
        };
        let mut at = space(self.bytes, at + 1);
        if self.bytes.get(at) == Some(&b'}') {
            return Ok((at + 1, false));
        }
        loop {
            at = self.members(&mut object, at)?;
            at = space(self.bytes, at);
            match self.bytes.get(at) {
                Some(b',') => at = space(self.bytes, at + 1),
                Some(b'}') => break,
                _ => return Err(NotJson),
            }
        }
        self.own_keys.truncate(object.own_keys);
        Ok((at + 1, true))
    }

    /// Reads all members up to one that is not plain, and that one; says where it ends.
    fn members(&mut self, object: &mut Object<'p>, at: usize) -> Result<usize, NotJson> {
        let Memory {
            nodes,
            columns,
            open,
            ..
        } = &mut *self.memory;
        let place = &mut object.place;
        let (stop, at) = place.read_plain(self.bytes, nodes, &mut columns.slots, open, at);
        match stop {
            Stop::Key => match self.other_child(object, at)? {
                Member::Known(child, at) => self.known(object, child, at),
                Member::Read(end) => Ok(end),
            },
            Stop::Value(child) => self.known(object, child, at),
            Stop::End => Ok(at),
        }
    }

    /// The child whose key stands at `at`, looked up; any other member is read.
    #[inline(never)]
    fn other_child(&mut self, object: &mut Object<'p>, at: usize) -> Result<Member, NotJson> {
        let start = space(self.bytes, at);
        if self.bytes.get(start) != Some(&b'"') {
            return Err(NotJson);
        }
        let end = grammar::string(self.bytes, start)?;
        let at = grammar::colon(self.bytes, end)?;
        let Some(key) = text::decoded(&self.text[start..end]) else {
            self.flawed(RejectReason::UndecodableKey, "");
            return self.value(at).map(Member::Read);
        };
        let Some(child) = self.tree.child(object.place.node, key.as_bytes()) else {
            return self.unknown(object, key, at).map(Member::Read);
        };
        let guesses = object.place.guesses(&mut self.memory.nodes);
        if guesses[0] != child {
            *guesses = [child, guesses[0]];
        }
        Ok(Member::Known(child, at))
    }

    /// Reads the value of a member that the schema does not know.
    fn unknown(
        &mut self,
        object: &mut Object<'p>,
        key: Cow<'p, str>,
        at: usize,
    ) -> Result<usize, NotJson> {
        let end = self.value(at)?;
        let few = &self.own_keys[object.own_keys..];
        let many = object.many_keys.as_ref();
        if few.contains(&key) || many.is_some_and(|many| many.contains(&key)) {
            self.flawed(RejectReason::DuplicateKey, &key);
            return Ok(end);
        }
        self.unmapped.write_unknown(&key, &self.text[at..end]);
        self.facts.unknown[usize::from(object.place.node)].add(&key);
        if few.len() < FEW_KEYS {
            self.own_keys.push(key);
        } else {
            object.many_keys.get_or_insert_default().insert(key);
        }
        Ok(end)
    }

    /// Reads any value of a member that the schema knows.
    fn known(
        &mut self,
        object: &mut Object<'p>,
        child: NodeId,
        at: usize,
    ) -> Result<usize, NotJson> {
        let Place { row, stamp, .. } = object.place;
        object.place.before = child;
        let node = &mut self.memory.nodes[usize::from(child)];
        if node.seen == stamp {
            let end = self.value(at)?;
            self.flawed(RejectReason::DuplicateKey, self.key_of(child));
            return Ok(end);
        }
        node.seen = stamp;
        match node.expects {
            Expects::Leaf(kind, leaf) => self.leaf(child, kind, usize::from(leaf), row, at),
            Expects::Object => self.inner_object(child, row, at),
            Expects::List(list, item) => self.list(child, usize::from(list), item, row, at),
        }
    }

    /// Reads any value of a leaf: what the column cannot give back goes to `unmapped`.
    fn leaf(
        &mut self,
        node: NodeId,
        kind: Kind,
        leaf: usize,
        row: usize,
        at: usize,
    ) -> Result<usize, NotJson> {
        if kind == Kind::StringList && self.bytes.get(at) == Some(&b'[') {
            return self.texts(node, leaf, row, at);
        }
        let end = self.value(at)?;
        if kind == Kind::Json {
            self.memory.columns.slots[leaf].set(row, text_slot(at, end));
            return Ok(end);
        }
        let token = &self.text[at..end];
        let fit = self.set(kind, leaf, row, at, token);
        if fit == Fit::Odd {
            self.odd(node, token);
        }
        if fit != Fit::Exact {
            self.unmapped.write(Step::Key(self.key_of(node)), token);
        }
        Ok(end)
    }

    /// Puts what a token says into its slot.
    fn set(&mut self, kind: Kind, leaf: usize, row: usize, at: usize, token: &str) -> Fit {
        let columns = &mut self.memory.columns;
        let (slot, fit) = match kind {
            Kind::String => {
                let plan = &self.tree.leaves[leaf];
                let (text, fit) = match leaf::read_text(token) {
                    // It would say that the id is repeated.
                    (Some(text), _) if plan.copy_of_id && text.is_empty() => (None, Fit::Odd),
                    read => read,
                };
                // A number is not a key: it would not be the same one as a string.
                let is_usable = plan.nullable || fit == Fit::Exact;
                let slot = text.filter(|_| is_usable).map(|text| match text {
                    Cow::Borrowed(text) => {
                        let start = at + usize::from(text.len() < token.len());
                        text_slot(start, start + text.len())
                    }
                    Cow::Owned(text) => {
                        let (start, end) = columns.keep(&text);
                        decoded_slot(start, end)
                    }
                });
                (slot, fit)
            }
            Kind::Int64 => {
                let (value, fit) = leaf::read_integer(token);
                (value.map(i64::cast_unsigned), fit)
            }
            Kind::Time => {
                let (time_ms, fit) = leaf::read_time(token);
                (
                    time_ms.map(|time_ms| (time_ms * 1_000).cast_unsigned()),
                    fit,
                )
            }
            Kind::Double => {
                let (value, fit) = leaf::read_double(token);
                (value.map(f64::to_bits), fit)
            }
            Kind::Bool => {
                let (value, fit) = leaf::read_bool(token);
                (value.map(u64::from), fit)
            }
            // A lone text or number is a list of one.
            Kind::StringList => {
                let text = leaf::read_text(token).0;
                if let Some(text) = &text {
                    columns.elements(leaf).push(Some(text));
                }
                (text.map(|_| 0), Fit::Odd)
            }
            Kind::Json | Kind::ObjectList => unreachable!("read elsewhere"),
        };
        if let Some(slot) = slot {
            columns.slots[leaf].set(row, slot);
        }
        fit
    }

    /// Reads a list of text, element by element.
    fn texts(
        &mut self,
        node: NodeId,
        leaf: usize,
        row: usize,
        start: usize,
    ) -> Result<usize, NotJson> {
        let begun = self.unmapped.begun();
        self.unmapped.enter(Step::Key(self.key_of(node)));
        let mut index = 0;
        let mut at = start;
        while let Some(element) = self.next_element(start, at)? {
            if !self.room.take(self.text, start, index) {
                self.unmapped.back_to(begun);
                return self.keep_whole(node, start);
            }
            at = self.text_element(node, leaf, index, element)?;
            index += 1;
        }
        self.unmapped.leave();
        self.memory.columns.slots[leaf].mark(row);
        self.list_end(start, at)
    }

    fn text_element(
        &mut self,
        node: NodeId,
        leaf: usize,
        index: usize,
        at: usize,
    ) -> Result<usize, NotJson> {
        if let Some((_, end)) = plain_text(self.bytes, at) {
            let text = &self.text[at + 1..end - 1];
            self.memory.columns.elements(leaf).push(Some(text));
            return Ok(end);
        }
        let end = self.value(at)?;
        let token = &self.text[at..end];
        let (text, fit) = leaf::read_text(token);
        self.memory.columns.elements(leaf).push(text.as_deref());
        if fit != Fit::Exact && token != "null" {
            self.facts.odd[usize::from(node)] += 1;
            self.unmapped.write(Step::Index(index), token);
        }
        Ok(end)
    }

    /// Leaves a value to `unmapped`, although the schema knows its key.
    fn keep_whole(&mut self, node: NodeId, at: usize) -> Result<usize, NotJson> {
        let end = self.value(at)?;
        let token = &self.text[at..end];
        self.odd(node, token);
        self.unmapped.write(Step::Key(self.key_of(node)), token);
        Ok(end)
    }

    /// Reads a member's value where the schema has an object.
    fn inner_object(&mut self, node: NodeId, row: usize, at: usize) -> Result<usize, NotJson> {
        if self.bytes.get(at) != Some(&b'{') {
            return self.keep_whole(node, at);
        }
        let key = Step::Key(self.key_of(node));
        self.unmapped.enter(key);
        let (end, any) = self.object(node, row, at)?;
        self.unmapped.leave();
        if !any {
            // No column would bring it back.
            self.unmapped.write(key, "{}");
        }
        Ok(end)
    }

    /// Reads a member's value where the schema has a list of objects.
    fn list(
        &mut self,
        node: NodeId,
        list: ListId,
        item: NodeId,
        row: usize,
        start: usize,
    ) -> Result<usize, NotJson> {
        if self.bytes.get(start) != Some(&b'[') {
            return self.keep_whole(node, start);
        }
        let begun = self.unmapped.begun();
        let was_flawed = self.flaw.is_some();
        self.unmapped.enter(Step::Key(self.key_of(node)));
        let mut index = 0;
        let mut at = start;
        while let Some(element) = self.next_element(start, at)? {
            if !self.room.take(self.text, start, index) {
                self.unmapped.back_to(begun);
                self.flaw.take_if(|_| !was_flawed);
                return self.keep_whole(node, start);
            }
            at = self.item(list, item, index, element)?;
            index += 1;
        }
        self.unmapped.leave();
        let leaf = self.tree.lists[list].leaf;
        self.memory.columns.slots[leaf].mark(row);
        self.list_end(start, at)
    }

    /// The position of the next element of the list that begins at `start`, behind the one that ends at
    /// `at`, or of the first where that is the start itself; none at the list's end.
    #[inline]
    fn next_element(&self, start: usize, at: usize) -> Result<Option<usize>, NotJson> {
        if at == start {
            let first = space(self.bytes, at + 1);
            return Ok((self.bytes.get(first) != Some(&b']')).then_some(first));
        }
        let at = space(self.bytes, at);
        match self.bytes.get(at) {
            Some(b',') => Ok(Some(space(self.bytes, at + 1))),
            Some(b']') => Ok(None),
            _ => Err(NotJson),
        }
    }

    /// The position behind the list of which all elements are read.
    fn list_end(&self, start: usize, at: usize) -> Result<usize, NotJson> {
        let close = space(self.bytes, at + usize::from(at == start));
        if self.bytes.get(close) == Some(&b']') {
            Ok(close + 1)
        } else {
            Err(NotJson)
        }
    }

    fn item(
        &mut self,
        list: ListId,
        node: NodeId,
        index: usize,
        at: usize,
    ) -> Result<usize, NotJson> {
        if self.bytes.get(at) == Some(&b'{') {
            let row = self.memory.columns.rows(self.tree.lists[list].items);
            self.unmapped.enter(Step::Index(index));
            self.in_item = Some(list);
            let (end, _) = self.object(node, row, at)?;
            self.in_item = None;
            self.unmapped.leave();
            self.end_item(list, true);
            return Ok(end);
        }
        let end = self.value(at)?;
        let token = &self.text[at..end];
        self.odd(node, token);
        if token != "null" {
            self.unmapped.write(Step::Index(index), token);
        }
        self.end_item(list, false);
        Ok(end)
    }
}
