//! The values of one leaf in 64 rows, as the walk leaves them.

use std::ops::Range;

use super::bits::BLOCK;

/// Rows in a block: as many as a word has bits.
pub(super) const BLOCK_ROWS: usize = BLOCK;
/// The bit of a text's slot that says that it was decoded, and lies in the side text.
const DECODED: u64 = 1 << 63;

/// What the rows of the present block have.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    values: [u64; BLOCK_ROWS],
    /// A bit for every row that has a value.
    pub(super) present: u64,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self {
            values: [0; BLOCK_ROWS],
            present: 0,
        }
    }

    /// Gives a row its value.
    #[inline]
    pub(super) fn set(&mut self, row: usize, slot: u64) {
        self.values[row % BLOCK_ROWS] = slot;
        self.present |= 1 << (row % BLOCK_ROWS);
    }

    /// Says where a list's elements end; whether there is a list is for [`Slots::mark`] to say.
    #[inline]
    pub(super) fn set_end(&mut self, row: usize, end: usize) {
        self.values[row % BLOCK_ROWS] = end as u64;
    }

    /// Says that a row has a list.
    #[inline]
    pub(super) fn mark(&mut self, row: usize) {
        self.present |= 1 << (row % BLOCK_ROWS);
    }

    /// What a row has, if it has anything.
    #[inline]
    pub(super) fn get(&self, row: usize) -> Option<u64> {
        let row = row % BLOCK_ROWS;
        (self.present >> row & 1 == 1).then_some(self.values[row])
    }

    /// What a row has; anything where it has nothing.
    #[inline]
    pub(super) fn value(&self, row: usize) -> u64 {
        self.values[row % BLOCK_ROWS]
    }
}

/// The slot of a text: where it lies in the page.
#[inline]
pub(super) fn text_slot(start: usize, end: usize) -> u64 {
    (start as u64) << 32 | (end - start) as u64
}

/// The slot of a text that was decoded: where it lies in the side text.
pub(super) fn decoded_slot(start: usize, end: usize) -> u64 {
    text_slot(start, end) | DECODED
}

/// The length of a slot's text, in bytes.
pub(super) fn text_len(slot: u64) -> usize {
    (slot & 0xffff_ffff) as usize
}

/// Where a slot's text lies, and in what.
#[inline]
pub(super) fn text_of<'t>(slot: u64, page: &'t [u8], side: &'t [u8]) -> (&'t [u8], Range<usize>) {
    let source = if slot & DECODED == 0 { page } else { side };
    let start = (slot >> 32 & 0x7fff_ffff) as usize;
    (source, start..start + text_len(slot))
}
