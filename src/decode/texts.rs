//! A column of text.

use std::ops::Range;

use arrow::array::StringArray;
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::error::ArrowError;

use super::bits::Bits;
use crate::text::look::chunk;

/// Up to here a text is short.
const SHORT: usize = 32;

/// Texts one behind the other, of which some may be null.
#[derive(Debug, Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<i32>,
    present: Bits,
    /// How many bytes and texts there were before: as many are expected.
    room: (usize, usize),
}

impl Texts {
    /// Appends one.
    pub(super) fn push(&mut self, text: Option<&str>) {
        if let Some(text) = text {
            self.bytes.extend_from_slice(text.as_bytes());
        }
        self.end_one();
        self.present.push(text.is_some());
    }

    /// Appends some, by the bits of `present`; a bit that is not set is a null.
    #[inline]
    pub(super) fn push_block<'t>(
        &mut self,
        rows: usize,
        present: u64,
        text: impl Fn(usize) -> (&'t [u8], Range<usize>),
    ) {
        if self.ends.is_empty() {
            self.reserve();
        }
        let Self { bytes, ends, .. } = self;
        if present == 0 {
            let end = ends.last().copied().unwrap_or_default();
            ends.resize(ends.len() + rows, end);
        } else {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_possible_wrap,
                reason = "the last is the largest, and is looked at below"
            )]
            ends.extend((0..rows).map(|row| {
                if present >> row & 1 == 1 {
                    let (source, range) = text(row);
                    copy(bytes, source, range);
                }
                bytes.len() as i32
            }));
            self.end();
        }
        self.present.push_block(present, rows);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.present.len()
    }

    /// How many bytes they have in all.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The column so far; it starts anew.
    pub(super) fn finish(&mut self, nullable: bool) -> Result<StringArray, ArrowError> {
        self.room = (self.bytes.len(), self.ends.len());
        let bytes = Buffer::from_vec(std::mem::take(&mut self.bytes));
        let mut offsets = std::mem::take(&mut self.ends);
        if offsets.is_empty() {
            offsets.push(0);
        }
        let nulls: Option<NullBuffer> = self.present.take_nulls().filter(|_| nullable);
        StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(offsets)), bytes, nulls)
    }

    fn reserve(&mut self) {
        let (bytes, ends) = self.room;
        self.bytes.reserve(bytes + bytes / 8);
        self.ends.reserve(ends + ends / 8 + 1);
        self.ends.push(0);
    }

    fn end(&self) -> i32 {
        i32::try_from(self.bytes.len()).expect("pieces end before 2 GiB")
    }

    fn end_one(&mut self) {
        if self.ends.is_empty() {
            self.reserve();
        }
        let end = self.end();
        self.ends.push(end);
    }
}

/// Appends a part of a text. Bytes of a fixed number are copied without a call, so the short ones take
/// some of what follows them along, which is then cut off.
#[inline]
fn copy(bytes: &mut Vec<u8>, source: &[u8], range: Range<usize>) {
    match chunk::<SHORT>(source, range.start) {
        Some(short) if range.len() <= SHORT => {
            let end = bytes.len() + range.len();
            bytes.extend_from_slice(short);
            bytes.truncate(end);
        }
        _ => bytes.extend_from_slice(&source[range]),
    }
}
