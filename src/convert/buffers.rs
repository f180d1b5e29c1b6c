//! Memory for the text of chunks that is used again. Fresh memory costs more than reading into it: the
//! system hands it out page by page, each one zeroed.

use std::sync::Arc;

use parking_lot::Mutex;

/// A larger buffer had a large record in it, and is not kept.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Buffers that wait at once, at most. A text waits only from the moment its rows are sorted until the next
/// one is read.
const MOST_IDLE: usize = 4;

/// The buffers that nobody needs at the moment.
#[derive(Debug, Clone, Default)]
pub struct TextBuffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl TextBuffers {
    /// An empty buffer with room for so many bytes.
    pub(super) fn take(&self, bytes: usize) -> Vec<u8> {
        let mut buffer = self.0.lock().pop().unwrap_or_default();
        buffer.reserve(bytes);
        buffer
    }

    /// Takes back the buffer of a text that was read.
    pub fn give_back(&self, mut buffer: Vec<u8>) {
        let mut idle = self.0.lock();
        if buffer.capacity() <= MOST_BYTES && idle.len() < MOST_IDLE {
            buffer.clear();
            idle.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_unless_it_grew_large() {
        let buffers = TextBuffers::default();
        let mut buffer = buffers.take(100);
        buffer.push(b'x');
        let place = buffer.as_ptr();
        buffers.give_back(buffer);
        let again = buffers.take(50);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        buffers.give_back(Vec::with_capacity(MOST_BYTES + 1));
        assert!(buffers.0.lock().is_empty());
    }

    #[test]
    fn what_is_given_back_and_not_needed_does_not_add_up() {
        let buffers = TextBuffers::default();
        (0..100).for_each(|_| buffers.give_back(Vec::with_capacity(1_000)));
        assert_eq!(buffers.0.lock().len(), MOST_IDLE);
    }
}
