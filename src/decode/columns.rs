//! The columns of a piece, made block by block.
//!
//! The walk leaves in every leaf's slots what a value is, or where its text lies, for 64 rows; then each
//! column takes its block at once. An absent value costs the walk nothing: its bit is not set.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Fields};
use arrow::error::ArrowError;

use super::bits::Bits;
use super::slots::{BLOCK_ROWS, Slots, text_of, text_slot};
use super::texts::Texts;
use super::tree::{LeafId, LeafPlan, ListId, TableId, Tree};
use crate::schema::{Kind, element_field};

/// What is filled by the walk over a page.
pub(super) struct Columns {
    /// By leaf.
    pub(super) slots: Vec<Slots>,
    leaves: Vec<Column>,
    /// By table, the rows that have ended.
    rows: Vec<usize>,
    /// By list of objects, which of its items are objects.
    items_present: Vec<Bits>,
    /// Text that is not in the page as it stands: escapes are decoded.
    side: String,
    pub(super) unmapped: Texts,
}

/// A column under construction.
enum Column {
    Texts(Texts),
    /// Numbers and times, 8 bytes each.
    Words(Vec<u64>, Bits),
    Bools(Bits, Bits),
    /// A list: where each ends, and its elements where these are text.
    Lists(Vec<i32>, Bits, Texts),
}

impl Column {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::String | Kind::Json => Self::Texts(Texts::default()),
            Kind::Int64 | Kind::Double | Kind::Time => Self::Words(Vec::new(), Bits::default()),
            Kind::Bool => Self::Bools(Bits::default(), Bits::default()),
            Kind::StringList | Kind::ObjectList => {
                Self::Lists(Vec::new(), Bits::default(), Texts::default())
            }
        }
    }

    /// Takes the block that the slots hold.
    fn push_block(&mut self, slots: &mut Slots, rows: usize, page: &[u8], side: &[u8]) {
        let present = std::mem::take(&mut slots.present);
        let has = |row: &usize| present >> row & 1 == 1;
        match self {
            Self::Texts(texts) => {
                texts.push_block(rows, present, |row| text_of(slots.value(row), page, side));
            }
            Self::Words(words, bits) => {
                words.extend((0..rows).map(|row| if has(&row) { slots.value(row) } else { 0 }));
                bits.push_block(present, rows);
            }
            Self::Bools(values, bits) => {
                let set = (0..rows).filter(has).filter(|row| slots.value(*row) == 1);
                values.push_block(set.fold(0, |word, row| word | 1 << row), rows);
                bits.push_block(present, rows);
            }
            Self::Lists(ends, bits, _) => {
                if ends.is_empty() {
                    ends.push(0);
                }
                let end =
                    |row| i32::try_from(slots.value(row)).expect("pieces have fewer elements");
                ends.extend((0..rows).map(end));
                bits.push_block(present, rows);
            }
        }
    }

    /// The column so far; it starts anew.
    fn finish(&mut self, plan: &LeafPlan) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Texts(texts) => Arc::new(texts.finish(plan.nullable)?),
            Self::Words(words, bits) => {
                let len = words.len();
                let room = len + len / 8;
                let words = std::mem::replace(words, Vec::with_capacity(room));
                let words = Buffer::from_vec(words);
                let nulls = bits.take_nulls().filter(|_| plan.nullable);
                match plan.kind {
                    Kind::Double => Arc::new(Float64Array::try_new(
                        ScalarBuffer::new(words, 0, len),
                        nulls,
                    )?),
                    Kind::Time => {
                        let values = ScalarBuffer::new(words, 0, len);
                        let times = TimestampMicrosecondArray::try_new(values, nulls)?;
                        Arc::new(times.with_timezone("UTC"))
                    }
                    _ => Arc::new(Int64Array::try_new(
                        ScalarBuffer::new(words, 0, len),
                        nulls,
                    )?),
                }
            }
            Self::Bools(values, bits) => {
                Arc::new(BooleanArray::new(values.take(), bits.take_nulls()))
            }
            Self::Lists(_, _, texts) => {
                let elements = Arc::new(texts.finish(true)?);
                Arc::new(self.finish_lists(DataType::Utf8, elements)?)
            }
        })
    }

    fn finish_lists(&mut self, of: DataType, elements: ArrayRef) -> Result<ListArray, ArrowError> {
        let Self::Lists(ends, bits, _) = self else {
            unreachable!("lists are asked for where there are some");
        };
        let mut offsets = std::mem::take(ends);
        if offsets.is_empty() {
            offsets.push(0);
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        ListArray::try_new(element_field(of), offsets, elements, bits.take_nulls())
    }
}

impl Columns {
    /// Columns without rows.
    pub(super) fn new(tree: &Tree) -> Self {
        Self {
            slots: vec![Slots::new(); tree.leaves.len()],
            leaves: tree
                .leaves
                .iter()
                .map(|leaf| Column::of(leaf.kind))
                .collect(),
            rows: vec![0; tree.tables.len()],
            items_present: tree.lists.iter().map(|_| Bits::default()).collect(),
            side: String::new(),
            unmapped: Texts::default(),
        }
    }

    /// The rows of a table that have ended, which is the number of the one that has not.
    #[inline]
    pub(super) fn rows(&self, table: TableId) -> usize {
        self.rows[table]
    }

    /// Keeps a text that is not in the page as it stands, and says where it lies.
    pub(super) fn keep(&mut self, text: &str) -> (usize, usize) {
        let start = self.side.len();
        self.side.push_str(text);
        (start, self.side.len())
    }

    /// The elements of a leaf that is a list of text.
    pub(super) fn elements(&mut self, leaf: LeafId) -> &mut Texts {
        match &mut self.leaves[leaf] {
            Column::Lists(_, _, elements) => elements,
            _ => unreachable!("only lists have elements"),
        }
    }

    /// Makes texts empty that repeat the record's id.
    pub(super) fn empty_copies(&mut self, tree: &Tree, row: usize, page: &[u8]) {
        let text = |slot| {
            let (source, range) = text_of(slot, page, self.side.as_bytes());
            &source[range]
        };
        let id = self.slots[tree.id_leaf].get(row).map(text);
        for copy in &tree.copies_of_id {
            if id.is_some() && self.slots[*copy].get(row).map(text) == id {
                self.slots[*copy].set(row, text_slot(0, 0));
            }
        }
    }

    /// Ends a row of a table.
    pub(super) fn end_row(&mut self, tree: &Tree, table: TableId, page: &[u8]) {
        let row = self.rows[table];
        for leaf in &tree.tables[table].lists {
            let end = match tree.leaves[*leaf].items {
                Some(items) => self.rows[items],
                None => self.elements(*leaf).len(),
            };
            self.slots[*leaf].set_end(row, end);
        }
        self.rows[table] = row + 1;
        if (row + 1).is_multiple_of(BLOCK_ROWS) {
            self.push_block(tree, table, BLOCK_ROWS, page);
        }
    }

    /// Ends an item of a list of objects.
    pub(super) fn end_item(&mut self, tree: &Tree, list: ListId, present: bool, page: &[u8]) {
        self.items_present[list].push(present);
        self.end_row(tree, tree.lists[list].items, page);
    }

    /// What the columns take beside the records' own text, in bytes.
    pub(super) fn bytes(&self, tree: &Tree) -> usize {
        let rows = self.rows.iter().zip(&tree.tables);
        let rows: usize = rows.map(|(rows, table)| rows * table.row_bytes).sum();
        let elements = self.leaves.iter().map(|column| match column {
            Column::Lists(_, _, elements) => 5 * elements.len(),
            _ => 0,
        });
        rows + elements.sum::<usize>() + self.unmapped.bytes()
    }

    /// Takes the rows that no block has taken yet.
    pub(super) fn end_rows(&mut self, tree: &Tree, page: &[u8]) {
        for table in 0..tree.tables.len() {
            let rows = self.rows[table] % BLOCK_ROWS;
            if rows > 0 {
                self.push_block(tree, table, rows, page);
            }
            self.rows[table] = 0;
        }
        self.side.clear();
    }

    /// A leaf's column; it starts anew.
    pub(super) fn finish(&mut self, tree: &Tree, leaf: LeafId) -> Result<ArrayRef, ArrowError> {
        self.leaves[leaf].finish(&tree.leaves[leaf])
    }

    /// The column of a list of objects; it starts anew.
    pub(super) fn finish_list(
        &mut self,
        tree: &Tree,
        list: ListId,
        fields: Fields,
    ) -> Result<ArrayRef, ArrowError> {
        let plan = &tree.lists[list];
        let members = tree.tables[plan.items].leaves.iter();
        let members = members.map(|leaf| self.finish(tree, *leaf));
        let members = members.collect::<Result<Vec<_>, _>>()?;
        let nulls = self.items_present[list].take_nulls();
        let items = StructArray::try_new(fields.clone(), members, nulls)?;
        let of = DataType::Struct(fields);
        Ok(Arc::new(
            self.leaves[plan.leaf].finish_lists(of, Arc::new(items))?,
        ))
    }

    fn push_block(&mut self, tree: &Tree, table: TableId, rows: usize, page: &[u8]) {
        for leaf in &tree.tables[table].leaves {
            let slots = &mut self.slots[*leaf];
            self.leaves[*leaf].push_block(slots, rows, page, self.side.as_bytes());
        }
    }
}
