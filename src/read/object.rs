//! A committed file as Parquet's reader wants it: ranges of bytes and a footer.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use tokio::task::spawn_blocking;

use super::error::ObjectError;
use super::pages;
use crate::store::Store;

/// What a row group may take when it is unpacked, in bytes. One that this program wrote has 32 MiB,
/// or a single row as large as a page of the service.
const MAX_ROW_GROUP_BYTES: u64 = 1024 * 1024 * 1024;
/// What a footer may take, in bytes. A file of 512 MiB has one of some hundred kilobytes.
const MAX_FOOTER_BYTES: u64 = 64 * 1024 * 1024;

/// Where the bytes are.
#[derive(Debug, Clone)]
enum Place {
    Object(Store, Path),
    /// A copy of what is on its way to be an object.
    Copy(Arc<File>),
}

/// Reads one object of a store, or the copy of one.
#[derive(Debug, Clone)]
pub(super) struct ObjectReader {
    place: Place,
    bytes: u64,
}

impl ObjectReader {
    /// A reader of an object of so many bytes.
    pub(super) fn new(store: &Store, path: &str, bytes: u64) -> Self {
        Self {
            place: Place::Object(store.clone(), Path::from(path)),
            bytes,
        }
    }

    /// A reader of the copy of one.
    pub(super) fn of_copy(copy: Arc<File>, bytes: u64) -> Self {
        Self {
            place: Place::Copy(copy),
            bytes,
        }
    }

    async fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match &self.place {
            Place::Object(store, path) => {
                let read = store.objects().get_ranges(path, ranges).await;
                read.map_err(|error| failed(store, path, error))
            }
            Place::Copy(copy) => {
                let (copy, ranges) = (Arc::clone(copy), ranges.to_vec());
                let read = move || {
                    let ranges = ranges.into_iter();
                    ranges.map(|range| read_range(&copy, range)).collect()
                };
                let read: io::Result<Vec<Bytes>> = match spawn_blocking(read).await {
                    Ok(read) => read,
                    Err(died) => Err(died.into()),
                };
                read.map_err(|error| ParquetError::External(Box::new(error)))
            }
        }
    }
}

fn read_range(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}

fn failed(store: &Store, path: &Path, error: object_store::Error) -> ParquetError {
    let error = ObjectError::of(store.read_error(path, error));
    ParquetError::External(Box::new(error))
}

fn refused(what: String) -> ParquetError {
    ParquetError::General(what)
}

impl ObjectReader {
    /// Makes sure that ranges lie in the object. No two bytes of it are asked for twice, so they do
    /// not have more bytes together.
    fn check(&self, ranges: &[Range<u64>]) -> Result<()> {
        let inside = |range: &Range<u64>| range.start <= range.end && range.end <= self.bytes;
        let total: u64 = ranges
            .iter()
            .filter(|range| inside(range))
            .map(|range| range.end - range.start)
            .fold(0, u64::saturating_add);
        if ranges.iter().all(inside) && total <= self.bytes {
            Ok(())
        } else {
            let bytes = self.bytes;
            Err(refused(format!(
                "its footer names more than its {bytes} bytes"
            )))
        }
    }
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            let range = std::slice::from_ref(&range);
            self.check(range)?;
            let mut found = self.ranges(range).await?;
            Ok(found.pop().unwrap_or_default())
        }
        .boxed()
    }

    /// The column chunks of a row group; what they unpack to is looked up here.
    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            self.check(&ranges)?;
            let chunks = self.ranges(&ranges).await?;
            match pages::unpacked_bytes(chunks.iter().map(Bytes::as_ref)) {
                None => Err(refused("its columns are not pages".to_owned())),
                Some(bytes) if bytes > MAX_ROW_GROUP_BYTES => Err(refused(format!(
                    "a row group takes {bytes} bytes when it is unpacked, and at most {MAX_ROW_GROUP_BYTES} are read"
                ))),
                Some(_) => Ok(chunks),
            }
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move {
            let bytes = self.bytes;
            let end = self.get_bytes(bytes.saturating_sub(8)..bytes).await?;
            let footer = end
                .first_chunk()
                .map_or(0, |four| u32::from_le_bytes(*four));
            if u64::from(footer) > MAX_FOOTER_BYTES {
                return Err(refused(format!(
                    "its footer has {footer} bytes, and at most {MAX_FOOTER_BYTES} are read"
                )));
            }
            let footer = ParquetMetaDataReader::new()
                .load_and_finish(self, bytes)
                .await?;
            Ok(Arc::new(footer))
        }
        .boxed()
    }
}
