//! Bits in a row: which values of a column are there.

use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};

/// So many bits are appended at once at most.
pub(super) const BLOCK: usize = 64;

/// A growing row of bits.
#[derive(Debug, Default)]
pub(super) struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends one bit.
    pub(super) fn push(&mut self, bit: bool) {
        let place = self.len % BLOCK;
        if place == 0 {
            self.words.push(0);
        }
        if let Some(word) = self.words.last_mut() {
            *word |= u64::from(bit) << place;
        }
        self.len += 1;
    }

    /// Appends the lowest bits of a word. Only the last block may be shorter than a word.
    pub(super) fn push_block(&mut self, word: u64, bits: usize) {
        debug_assert!(self.len.is_multiple_of(BLOCK), "blocks are aligned");
        self.words.push(word);
        self.len += bits;
    }

    /// The bits so far; the row starts anew.
    pub(super) fn take(&mut self) -> BooleanBuffer {
        let Self { words, len } = std::mem::take(self);
        BooleanBuffer::new(Buffer::from_vec(words), 0, len)
    }

    /// The bits so far as what says which values are null; the row starts anew.
    pub(super) fn take_nulls(&mut self) -> Option<NullBuffer> {
        Some(NullBuffer::new(self.take())).filter(|nulls| nulls.null_count() > 0)
    }
}
