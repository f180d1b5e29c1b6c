//! The text of an input, chunk by chunk, and whether its bytes are those that were hashed.

use std::io::{self, Read};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use twox_hash::xxhash3_128;

use super::buffers::TextBuffers;
use super::fault::InputFault;
use super::framing::{Chunk, Framer};
use super::input::{InputHash, Readable, fault_of};
use super::unpack::unpack;

/// How much memory reading may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLimits {
    /// For a record, in bytes.
    pub record_bytes: usize,
    /// For what a compressed text looks back into, as a power of two.
    pub window_log: u32,
}

/// Reads the chunks of an input.
pub struct InputText {
    chunks: Framer<Box<dyn Read + Send>>,
    bytes: Arc<Mutex<Counted>>,
    expected: InputHash,
}

/// The bytes that were read, as they are: compressed or not.
#[derive(Default)]
struct Counted {
    hash: xxhash3_128::Hasher,
    bytes: u64,
    /// Why they could not be read on. What unpacks them would wrap it.
    failed: Option<io::Error>,
}

impl InputText {
    /// Begins to read an input that has this hash; the text of its chunks may be given back to `buffers`.
    /// Blocks, as all of it.
    pub fn begin(
        input: &Readable,
        runtime: &Handle,
        expected: InputHash,
        limits: TextLimits,
        buffers: TextBuffers,
    ) -> Result<Self, InputFault> {
        let bytes = Arc::<Mutex<Counted>>::default();
        let source = CountedReader {
            source: input.open(runtime)?,
            counted: Arc::clone(&bytes),
        };
        let text = unpack(source, limits.window_log)
            .map_err(|source| InputFault::Unreadable { at: 0, source })
            .map_err(|fault| own_fault(&bytes, fault))?;
        Ok(Self {
            chunks: Framer::new(text, limits.record_bytes, buffers),
            bytes,
            expected,
        })
    }

    /// Bytes read so far, as they lie there.
    pub fn bytes_read(&self) -> u64 {
        self.bytes.lock().bytes
    }

    /// The next chunk; `None` at the end.
    ///
    /// # Errors
    /// The text is broken or cut, or is not of the bytes that were hashed.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, InputFault> {
        let next = self.chunks.next_chunk();
        let next = next.map_err(|fault| own_fault(&self.bytes, fault))?;
        if next.is_none() && self.bytes.lock().hash.finish_128() != self.expected {
            return Err(InputFault::Changed);
        }
        Ok(next)
    }
}

/// Whether an input begins with records: its first chunk is read.
///
/// # Errors
/// It does not, or cannot be read. Blocks.
pub fn check_beginning(
    input: &Readable,
    runtime: &Handle,
    limits: TextLimits,
) -> Result<(), InputFault> {
    let mut text = InputText::begin(input, runtime, 0, limits, TextBuffers::default())?;
    // The first may be the first record alone.
    for _ in 0..2 {
        let chunk = text.chunks.next_chunk();
        chunk.map_err(|fault| own_fault(&text.bytes, fault))?;
    }
    Ok(())
}

/// The fault of reading the bytes, where there is one: it is behind that of unpacking them.
fn own_fault(counted: &Mutex<Counted>, fault: InputFault) -> InputFault {
    counted.lock().failed.take().map_or(fault, fault_of)
}

/// Counts and hashes what is read through it.
struct CountedReader {
    source: Box<dyn Read + Send>,
    counted: Arc<Mutex<Counted>>,
}

impl Read for CountedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.source.read(buffer) {
            Ok(read) => {
                let mut counted = self.counted.lock();
                counted.hash.write(&buffer[..read]);
                counted.bytes += read as u64;
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.counted.lock().failed = Some(error);
                Err(kind.into())
            }
        }
    }
}
