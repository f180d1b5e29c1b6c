//! One input: what it is called, and its bytes, which are read twice.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use twox_hash::xxhash3_128;

use super::fault::InputFault;
use crate::store::{ScratchFolder, Store};

/// Read at once.
const BLOCK_BYTES: usize = 1024 * 1024;
/// Pieces of an object that are read ahead.
const READ_AHEAD: usize = 8;

/// A file, an object, or what comes through a pipe.
#[derive(Clone)]
pub struct Input {
    /// Its name, as it was given or found.
    pub name: String,
    /// Its size, where that is known.
    pub bytes: u64,
    pub(super) place: Place,
}

/// Where the bytes of an input are.
#[derive(Clone)]
pub(super) enum Place {
    /// Where they can be read twice.
    Readable(Readable),
    /// In a pipe, which can be read once.
    Pipe(PathBuf),
    /// On the standard input.
    Stdin,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Bytes that can be read twice.
#[derive(Clone)]
pub enum Readable {
    /// On a disk.
    File(PathBuf),
    /// In object storage.
    Object(Store, Path),
    /// What came through a pipe, in a file that has no name.
    Kept(Arc<File>),
}

/// The XXH3-128 of all bytes of an input.
pub type InputHash = u128;

impl Input {
    /// What tells it from other inputs: two names of files may look alike.
    pub(super) fn identity(&self) -> OsString {
        match &self.place {
            Place::Readable(Readable::File(path)) | Place::Pipe(path) => path.into(),
            Place::Readable(_) | Place::Stdin => (&self.name).into(),
        }
    }

    /// Whether it comes through a pipe, so that no other process has it.
    pub fn is_of_pipe(&self) -> bool {
        matches!(self.place, Place::Pipe(_) | Place::Stdin)
    }

    /// Its bytes, so that they can be read twice: what comes through a pipe is kept in a temporary file
    /// without a name, and has a size from then on. May block.
    pub fn readable(&mut self) -> Result<Readable, InputFault> {
        let file = match &self.place {
            Place::Readable(readable) => return Ok(readable.clone()),
            Place::Pipe(path) => keep(File::open(path).map_err(of_file)?)?,
            Place::Stdin => keep(io::stdin().lock())?,
        };
        let failed = |error| ScratchFolder::of_system().failed(error);
        self.bytes = file.metadata().map_err(failed)?.len();
        let readable = Readable::Kept(Arc::new(file));
        self.place = Place::Readable(readable.clone());
        Ok(readable)
    }
}

fn keep(mut pipe: impl Read) -> Result<File, InputFault> {
    let scratch = ScratchFolder::of_system();
    let failed = |error| scratch.failed(error);
    let mut file = scratch.file().map_err(failed)?;
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let read = match pipe.read(&mut block) {
            Ok(0) => return Ok(file),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(InputFault::Read(error)),
        };
        io::Write::write_all(&mut file, &block[..read]).map_err(failed)?;
    }
}

impl Readable {
    /// The hash of its bytes. `go_on` is asked from time to time; where it says no, there is none.
    ///
    /// Blocks; not to be called where tasks run.
    pub fn hash(
        &self,
        runtime: &Handle,
        go_on: impl Fn() -> bool,
    ) -> Result<Option<InputHash>, InputFault> {
        let mut bytes = self.open(runtime)?;
        let mut hash = xxhash3_128::Hasher::new();
        let mut block = vec![0; BLOCK_BYTES];
        while go_on() {
            match bytes.read(&mut block) {
                Ok(0) => return Ok(Some(hash.finish_128())),
                Ok(read) => hash.write(&block[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(fault_of(error)),
            }
        }
        Ok(None)
    }

    /// Its bytes from the beginning.
    pub(super) fn open(&self, runtime: &Handle) -> Result<Box<dyn Read + Send>, InputFault> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path).map_err(of_file)?),
            Self::Object(store, path) => {
                Box::new(ObjectReader::begin(store.clone(), path.clone(), runtime))
            }
            Self::Kept(file) => {
                let failed = |error| ScratchFolder::of_system().failed(error);
                let mut file = file.try_clone().map_err(failed)?;
                file.rewind().map_err(failed)?;
                Box::new(file)
            }
        })
    }
}

/// What opening a file said.
pub(super) fn of_file(error: io::Error) -> InputFault {
    match error.kind() {
        ErrorKind::NotFound => InputFault::Missing,
        _ => InputFault::Read(error),
    }
}

/// What reading the bytes of an input said: a fault of its object store goes through as it is.
pub(super) fn fault_of(error: io::Error) -> InputFault {
    match error.downcast::<InputFault>() {
        Ok(fault) => fault,
        Err(error) => InputFault::Read(error),
    }
}

/// Reads an object, ahead of whoever reads here.
struct ObjectReader {
    pieces: mpsc::Receiver<Result<Bytes, InputFault>>,
    piece: Bytes,
}

impl ObjectReader {
    fn begin(store: Store, path: Path, runtime: &Handle) -> Self {
        let (sender, pieces) = mpsc::channel(READ_AHEAD);
        runtime.spawn(async move {
            let failed = |error| match error {
                object_store::Error::NotFound { .. } => InputFault::Missing,
                error => InputFault::Store(store.read_error(&path, error)),
            };
            let mut stream = match store.objects().get(&path).await {
                Ok(object) => object.into_stream(),
                Err(error) => {
                    // Nobody reads any more where it cannot be sent.
                    let _ = sender.send(Err(failed(error))).await;
                    return;
                }
            };
            while let Some(piece) = stream.next().await {
                let is_last = piece.is_err();
                let sent = sender.send(piece.map_err(failed)).await;
                if is_last || sent.is_err() {
                    return;
                }
            }
        });
        Self {
            pieces,
            piece: Bytes::new(),
        }
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(fault)) => return Err(io::Error::other(fault)),
            }
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}
