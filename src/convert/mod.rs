//! Saved files become chunks of records: what the inputs are, which of them a process takes, and where
//! in their text records begin and end.
//!
//! An input is read twice: once for the hash of its bytes, which names its slice, and once for its
//! text. What comes through a pipe is kept in a temporary file for that. The hash is taken again the
//! second time, so that rows are never committed under the name of other bytes. No runtime is needed
//! but for objects: all of it reads where it is called, and blocks.
//!
//! Neither the lake nor the decoder's work is known here.

mod buffers;
mod fault;
mod find;
mod foreign;
mod framing;
mod input;
mod shard;
mod text;
mod unpack;

pub use buffers::TextBuffers;
pub use fault::{InputError, InputFault};
pub use find::{Inputs, STDIN, find_inputs};
pub use framing::{Chunk, Framer, goes_on, has_records};
pub use input::{Input, InputHash, Readable};
pub use shard::{ParseShardError, Shard};
pub use text::{InputText, TextLimits, check_beginning};
