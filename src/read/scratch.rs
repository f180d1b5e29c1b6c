//! A file without a name for what does not fit into memory, packed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use zstd::bulk::{Compressor, decompress};

use crate::store::{ScratchError, ScratchFolder};

/// The fastest that packs.
const LEVEL: i32 = 1;

/// Bytes that were put away.
pub(super) struct Packed {
    at: u64,
    /// Packed.
    length: usize,
    /// Unpacked.
    bytes: usize,
}

/// A file in a folder, made with the first bytes that are put away, and gone with this.
pub(super) struct Scratch {
    folder: ScratchFolder,
    file: Option<Arc<File>>,
    end: u64,
}

impl Scratch {
    pub(super) fn new(folder: ScratchFolder) -> Self {
        Self {
            folder,
            file: None,
            end: 0,
        }
    }

    /// Puts bytes away.
    ///
    /// # Errors
    /// The file cannot be made or takes no more.
    pub(super) async fn put(&mut self, bytes: Vec<u8>) -> Result<Packed, ScratchError> {
        let (file, at) = (self.file().await?, self.end);
        let write = move || {
            let mut compressor = Compressor::new(LEVEL)?;
            compressor.include_checksum(true)?;
            let packed = compressor.compress(&bytes)?;
            file.write_all_at(&packed, at)?;
            Ok(Packed {
                at,
                length: packed.len(),
                bytes: bytes.len(),
            })
        };
        let packed = self.folder.blocking(write).await?;
        self.end += packed.length as u64;
        Ok(packed)
    }

    /// Gives back what was put away.
    ///
    /// # Errors
    /// It cannot be read, or is not what was put away.
    pub(super) async fn get(&mut self, packed: Packed) -> Result<Vec<u8>, ScratchError> {
        let file = self.file().await?;
        let read = move || {
            let mut bytes = vec![0; packed.length];
            file.read_exact_at(&mut bytes, packed.at)?;
            decompress(&bytes, packed.bytes)
        };
        self.folder.blocking(read).await
    }

    async fn file(&mut self) -> Result<Arc<File>, ScratchError> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let folder = self.folder.clone();
        let file = Arc::new(self.folder.blocking(move || folder.file()).await?);
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_put_away_comes_back_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(ScratchFolder::of_lake(folder.path().to_owned()));
        let blocks: Vec<Vec<u8>> = (0..20_u8)
            .map(|n| vec![n; 1_000 * usize::from(n)])
            .collect();
        let mut kept = Vec::new();
        for block in &blocks {
            kept.push(scratch.put(block.clone()).await.unwrap());
        }
        for (block, packed) in blocks.iter().zip(kept).rev() {
            assert_eq!(*block, scratch.get(packed).await.unwrap());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn bytes_that_changed_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(ScratchFolder::of_lake(folder.path().to_owned()));
        let packed = scratch.put(b"0123456789".repeat(100)).await.unwrap();
        let file = scratch.file().await.unwrap();
        file.write_all_at(&[0x55], packed.length as u64 - 1)
            .unwrap();
        scratch.get(packed).await.unwrap_err();
    }
}
