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
use parquet::file::reader::ChunkReader;
use tokio::task::spawn_blocking;

use super::error::ObjectError;
use super::pages;
use crate::store::{Store, StoreErrorKind};

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
    /// All bytes of one.
    Memory(Bytes),
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

    /// A reader of all bytes of one.
    pub(super) fn of_memory(bytes: Bytes) -> Self {
        Self {
            bytes: bytes.len() as u64,
            place: Place::Memory(bytes),
        }
    }

    /// Why ranges of an object do not come. A store refuses those that lie behind the end of one that was
    /// cut short, too, each store in its own words.
    async fn failed(&self, store: &Store, path: &Path, error: object_store::Error) -> ParquetError {
        let mut error = ObjectError::of(store.read_error(path, error));
        if let ObjectError::Store(refused) = &error
            && refused.kind() == StoreErrorKind::Other
            && let Ok(found) = store.size(path).await
        {
            let expected = self.bytes;
            error = match found {
                None => ObjectError::Gone,
                Some(bytes) if bytes != expected => {
                    ObjectError::Unfit(format!("it has {bytes} bytes instead of {expected}"))
                }
                Some(_) => error,
            };
        }
        ParquetError::External(Box::new(error))
    }

    async fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match &self.place {
            Place::Object(store, path) => {
                let read = store.objects().get_ranges(path, ranges).await;
                match read {
                    Ok(read) => Ok(read),
                    Err(error) => Err(self.failed(store, path, error).await),
                }
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
            Place::Memory(bytes) => {
                let part = |range: &Range<u64>| {
                    let length = usize::try_from(range.end - range.start)
                        .map_err(|error| ParquetError::External(Box::new(error)))?;
                    bytes.get_bytes(range.start, length)
                };
                ranges.iter().map(part).collect()
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

#[cfg(test)]
mod tests {
    use super::super::error::ReadError;
    use super::*;
    use crate::store::scripted::Scripted;

    /// What is said of a file of ten bytes that the store answers so.
    async fn said(answers: &[(u16, &'static str)]) -> ReadError {
        let store = Scripted::start(answers).store();
        let mut reader = ObjectReader::new(&store, "f", 10);
        ReadError::of("f", reader.get_bytes(2..10).await.unwrap_err())
    }

    #[tokio::test]
    async fn what_the_store_says_of_a_whole_file_is_no_damage() {
        let whole = (200, "0123456789");
        for refusal in [
            (400, "<Error><Code>BadRequest</Code></Error>"),
            (409, "<Error><Code>Conflict</Code></Error>"),
            (416, "<Error><Code>InvalidRange</Code></Error>"),
            (200, "<html/>"),
        ] {
            let error = said(&[refusal, whole]).await;
            assert!(
                matches!(error, ReadError::Store(_)),
                "{refusal:?}: {error:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_file_that_was_cut_short_is_damaged_whatever_the_store_says() {
        let error = said(&[
            (416, "<Error><Code>InvalidRange</Code></Error>"),
            (200, "0123"),
        ])
        .await;
        let words = "cannot read f: it has 4 bytes instead of 10";
        assert_eq!(error.to_string(), words);
    }
}
