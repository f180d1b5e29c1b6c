//! Rows that wait to be merged, in blocks: those that are needed last wait on the disk.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::scratch::{Packed, Scratch};
use crate::store::{ScratchError, ScratchFolder};

/// What stands before a row: its time, and its length.
const HEAD_BYTES: usize = 12;

/// Where a block has its place: the time of its first row, its run, and its number there.
type Key = (i64, usize, usize);

/// Rows of a run, one after the other: the time, the length, and the bytes of each.
#[derive(Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    /// Where the next row begins.
    at: usize,
}

impl Block {
    /// Adds a row.
    pub(super) fn push(&mut self, time_us: i64, row: &[u8]) {
        // No row has 4 GiB: a row group is at most one.
        let length = u32::try_from(row.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&time_us.to_le_bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(row);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The time of the next row; `None` behind the last.
    pub(super) fn next_us(&self) -> Option<i64> {
        let time = self.bytes.get(self.at..)?.first_chunk()?;
        Some(i64::from_le_bytes(*time))
    }

    /// The next row.
    pub(super) fn next_row(&mut self) -> Option<&[u8]> {
        let head = self.bytes.get(self.at..self.at + HEAD_BYTES)?;
        let length = u32::from_le_bytes(*head.last_chunk()?);
        let begin = self.at + HEAD_BYTES;
        let end = begin + usize::try_from(length).ok()?;
        self.at = end;
        self.bytes.get(begin..end)
    }
}

/// The rows of a run, in order, as blocks.
pub(super) struct Run {
    /// Its place among the others.
    position: usize,
    /// The blocks that wait.
    waiting: VecDeque<Key>,
    /// The block that is being merged.
    block: Block,
}

impl Run {
    /// One without rows yet.
    pub(super) fn new(position: usize) -> Self {
        Self {
            position,
            waiting: VecDeque::new(),
            block: Block::default(),
        }
    }

    /// Has the next rows wait. All are put before the first is taken.
    ///
    /// # Errors
    /// The disk takes no more.
    pub(super) async fn put(
        &mut self,
        blocks: &mut Blocks,
        block: Block,
    ) -> Result<(), ScratchError> {
        let Some(first_us) = block.next_us() else {
            return Ok(());
        };
        let key = (first_us, self.position, self.waiting.len());
        self.waiting.push_back(key);
        blocks.put(key, block).await
    }

    /// The time of the next row, going on to the next block where one is used up; `None` behind the last.
    ///
    /// # Errors
    /// The disk does not give the block back.
    pub(super) async fn next_us(
        &mut self,
        blocks: &mut Blocks,
    ) -> Result<Option<i64>, ScratchError> {
        if self.block.next_us().is_none() {
            self.block = match self.waiting.pop_front() {
                None => Block::default(),
                Some(key) => {
                    let taken = blocks.take(key).await?;
                    taken.expect("it was put before the first was taken")
                }
            };
        }
        Ok(self.block.next_us())
    }

    /// The next row of the block that is being merged.
    pub(super) fn next_row(&mut self) -> Option<&[u8]> {
        self.block.next_row()
    }

    /// The block that is being merged.
    pub(super) fn block(&mut self) -> &mut Block {
        &mut self.block
    }
}

/// The blocks of all runs that are not being merged yet.
pub(super) struct Blocks {
    memory_bytes: usize,
    in_memory: BTreeMap<Key, Block>,
    held_bytes: usize,
    on_disk: HashMap<Key, Packed>,
    scratch: Scratch,
}

impl Blocks {
    /// So many bytes are in memory; the rest is in a file in this folder, without a name.
    pub(super) fn new(memory_bytes: usize, folder: ScratchFolder) -> Self {
        Self {
            memory_bytes,
            in_memory: BTreeMap::new(),
            held_bytes: 0,
            on_disk: HashMap::new(),
            scratch: Scratch::new(folder),
        }
    }

    /// Keeps a block until it is taken.
    ///
    /// # Errors
    /// The disk takes no more.
    pub(super) async fn put(&mut self, key: Key, mut block: Block) -> Result<(), ScratchError> {
        block.bytes.shrink_to_fit();
        self.held_bytes += block.bytes();
        self.in_memory.insert(key, block);
        while self.held_bytes > self.memory_bytes
            && let Some((key, last)) = self.in_memory.pop_last()
        {
            self.held_bytes -= last.bytes();
            let packed = self.scratch.put(last.bytes).await?;
            self.on_disk.insert(key, packed);
        }
        Ok(())
    }

    /// Gives a block back; `None` where there is none of this key.
    ///
    /// # Errors
    /// The disk does not give it back.
    pub(super) async fn take(&mut self, key: Key) -> Result<Option<Block>, ScratchError> {
        if let Some(block) = self.in_memory.remove(&key) {
            self.held_bytes -= block.bytes();
            return Ok(Some(block));
        }
        let Some(packed) = self.on_disk.remove(&key) else {
            return Ok(None);
        };
        let bytes = self.scratch.get(packed).await?;
        Ok(Some(Block { bytes, at: 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(time_us: i64, rows: usize) -> Block {
        let mut block = Block::default();
        for row in 0..rows {
            block.push(time_us, &vec![7; row]);
        }
        block
    }

    #[test]
    fn rows_come_back_with_their_times_the_empty_one_too() {
        let mut block = block(-5, 3);
        for row in 0..3 {
            assert_eq!(block.next_us(), Some(-5));
            assert_eq!(block.next_row().map(<[u8]>::len), Some(row));
        }
        assert_eq!((block.next_us(), block.next_row()), (None, None));
    }

    #[tokio::test]
    async fn what_is_needed_last_waits_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut blocks = Blocks::new(
            3 * block(0, 9).bytes(),
            ScratchFolder::of_lake(folder.path().to_owned()),
        );
        for time_us in [4, 0, 9, 1, 8, 2] {
            let key = (time_us, 0, 0);
            blocks.put(key, block(time_us, 9)).await.unwrap();
        }
        let held: Vec<i64> = blocks.in_memory.keys().map(|key| key.0).collect();
        assert_eq!(held, [0, 1, 2]);
        for time_us in [0, 1, 2, 4, 8, 9] {
            let taken = blocks.take((time_us, 0, 0)).await.unwrap().unwrap();
            assert_eq!(taken.next_us(), Some(time_us));
        }
        assert!(blocks.take((0, 0, 0)).await.unwrap().is_none());
        assert_eq!(blocks.held_bytes, 0);
    }
}
