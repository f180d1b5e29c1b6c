//! The text of a page becomes a record batch, with nothing lost.
//!
//! What comes in is the text of a page's `data` array. What goes out are [`Piece`]s, as a rule one a
//! page: a batch with one row for every record, and for every record where its text lies, its clocks
//! and whether it can be a row. A page whose columns would take more than their share of memory is
//! decoded in several. A column holds a value exactly when writing it back gives the same
//! token; every other token, and every key that the schema does not know, goes verbatim to the
//! column `unmapped`, which mirrors the record's nesting.
//!
//! Neither the service nor the lake is known here, and no clock is read. Rows are masked by the
//! caller, who also knows of slices and repeats.

mod bits;
mod columns;
mod facts;
mod grammar;
mod leaf;
mod number;
pub mod oddities;
mod plain;
mod reject;
mod room;
mod slots;
mod text;
mod texts;
mod tree;
mod unmapped;
mod walk;

pub use reject::{Flaw, RejectReason};

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

use crate::schema::{self, ActivitySchema};
use crate::text::outline::{Broken, Elements};
use oddities::path_of;
use tree::{Output, Tree};
use walk::Memory;

/// What a run adds to every row.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// The run.
    pub run: String,
    /// When the page was received, in milliseconds since the epoch.
    pub received_ms: i64,
    /// Whether the record's exact text is kept in the column `raw`.
    pub keep_raw: bool,
}

/// One record of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where its text lies in the text of the `data` array.
    pub range: Range<usize>,
    /// The usable reading of `timestamp`, in milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// The usable reading of `created`, in milliseconds since the epoch.
    pub created_ms: Option<i64>,
    /// Why the record cannot be a row.
    pub flaw: Option<Flaw>,
}

/// Where the decoding of a page goes on.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    elements: Elements,
    records: usize,
}

impl Position {
    /// The beginning of a text that is no array but lines, with a record each.
    pub fn of_lines() -> Self {
        Self {
            elements: Elements::of_lines(),
            records: 0,
        }
    }
}

/// Records of a page that follow each other, as columns.
#[derive(Debug)]
pub struct Piece {
    /// One row for every record, in the page's order. Rows of flawed records are to be masked.
    pub batch: RecordBatch,
    /// The records, in the same order.
    pub records: Vec<Record>,
    /// The position in the page of the first of them.
    pub first_record: usize,
    /// Paths that the schema does not know, with how often they were met.
    pub unknown: Vec<(String, u64)>,
    /// Paths whose values were of another form than the schema expects, with how often.
    pub odd: Vec<(String, u64)>,
    /// Where the next piece begins, if the page has more.
    pub next: Option<Position>,
}

/// Slots say in 31 bits where a text lies.
const MAX_ARRAY_BYTES: usize = (1 << 31) - 1;
/// Arrow's offsets have 31 bits; a record may come on top.
const MAX_BATCH_BYTES: usize = 1 << 29;

/// Why a page could not be decoded at all.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The text is not a JSON array.
    #[error("cannot read the page's `data` as a JSON array")]
    Syntax(#[source] Broken),
    /// It is larger than can be decoded at once.
    #[error("cannot decode a page of {bytes} bytes: the most is 2 GiB")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The columns did not fit together.
    #[error("cannot assemble the page's columns")]
    Batch(#[source] ArrowError),
}

/// Decodes pages. Make one and keep it: it learns in which order keys come.
pub struct PageDecoder {
    schema: &'static ActivitySchema,
    arrow: SchemaRef,
    tree: Tree,
    memory: Memory,
    max_batch_bytes: usize,
}

impl PageDecoder {
    /// A decoder for the schema of activities whose batches end where they reach `max_batch_bytes`.
    pub fn new(max_batch_bytes: usize) -> Self {
        let schema = schema::activity();
        let (tree, nodes) = Tree::compile(schema);
        Self {
            schema,
            arrow: schema.arrow(),
            memory: Memory::new(&tree, nodes),
            tree,
            max_batch_bytes: max_batch_bytes.min(MAX_BATCH_BYTES),
        }
    }

    /// Decodes the text of a `data` array from a position, or from its beginning.
    ///
    /// # Errors
    /// The text is not a JSON array. A single odd record does not fail: it has a [`Flaw`].
    pub fn decode(
        &mut self,
        array: &str,
        from: Option<Position>,
        ingest: &Ingest,
    ) -> Result<Piece, DecodeError> {
        if array.len() > MAX_ARRAY_BYTES {
            return Err(DecodeError::TooLarge { bytes: array.len() });
        }
        let Position {
            mut elements,
            records: first_record,
        } = match from {
            Some(position) => position,
            None => Position {
                elements: Elements::of(array, 0).map_err(DecodeError::Syntax)?,
                records: 0,
            },
        };
        let (facts, ended) = walk::read(
            &self.tree,
            &mut self.memory,
            array,
            &mut elements,
            self.max_batch_bytes,
        )
        .map_err(DecodeError::Syntax)?;
        let records = facts.records;
        let columns = self.columns(&records, array, ingest);
        let batch = columns
            .and_then(|columns| RecordBatch::try_new(Arc::clone(&self.arrow), columns))
            .map_err(DecodeError::Batch)?;
        let nodes = &self.tree.names;
        let unknown = nodes.iter().zip(facts.unknown).flat_map(|(node, keys)| {
            keys.into_iter()
                .map(|(key, count)| (path_of(&node.path, &key), count))
        });
        let odd = nodes.iter().zip(facts.odd).filter(|(_, count)| *count > 0);
        Ok(Piece {
            batch,
            first_record,
            unknown: unknown.collect(),
            odd: odd
                .map(|(node, count)| (node.path.clone(), count))
                .collect(),
            next: (!ended).then_some(Position {
                elements,
                records: first_record + records.len(),
            }),
            records,
        })
    }

    fn columns(
        &mut self,
        records: &[Record],
        array: &str,
        ingest: &Ingest,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let Self {
            schema,
            tree,
            memory,
            ..
        } = self;
        let columns = &mut memory.columns;
        let column = |output: &Output| match output {
            Output::Leaf(leaf) => columns.finish(tree, *leaf),
            Output::List(list, position) => {
                columns.finish_list(tree, *list, schema.columns[*position].item_fields())
            }
            Output::Page(name) if name == schema::UNMAPPED => {
                let texts = columns.unmapped.finish(true);
                texts.map(|texts| Arc::new(texts) as ArrayRef)
            }
            Output::Page(name) => Ok(page_column(name, records, array, ingest)),
        };
        tree.outputs.iter().map(column).collect()
    }
}

/// A column that is not read from the records.
fn page_column(name: &str, records: &[Record], array: &str, ingest: &Ingest) -> ArrayRef {
    let rows = records.len();
    match name {
        schema::INGEST_RUN_ID => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
            ingest.run.as_str(),
            rows,
        ))),
        schema::INGESTED_AT => {
            let column = TimestampMicrosecondArray::from(vec![ingest.received_ms * 1_000; rows]);
            Arc::new(column.with_timezone("UTC"))
        }
        schema::RAW if ingest.keep_raw => Arc::new(StringArray::from_iter_values(
            records.iter().map(|record| &array[record.range.clone()]),
        )),
        schema::RAW => new_null_array(&DataType::Utf8, rows),
        other => unreachable!("the schema has no column {other} of the run's"),
    }
}

#[cfg(test)]
mod differential;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
