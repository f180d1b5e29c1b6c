//! Some rows of a batch.

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;

/// Rows of a batch, in its order. They lie where they were decoded: the batch stays in memory as a whole.
#[derive(Debug, Clone)]
pub struct Rows {
    batch: RecordBatch,
    /// Which of its rows; all of them where there is no list.
    picked: Option<Vec<usize>>,
}

impl Rows {
    /// These rows of a batch, by their numbers in it, which ascend.
    pub fn picked(batch: RecordBatch, rows: Vec<usize>) -> Self {
        let picked = Some(rows);
        Self { batch, picked }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let all = self.batch.num_rows();
        self.picked.as_ref().map_or(all, Vec::len)
    }

    /// Says whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batch that they are rows of.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Says whether they are all rows of their batch.
    pub fn are_whole_batch(&self) -> bool {
        self.picked.is_none()
    }

    /// Their numbers in the batch.
    pub fn numbers(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).map(|row| self.picked.as_ref().map_or(row, |picked| picked[row]))
    }

    /// The first `rows` of them, and the others. Both keep the batch.
    pub fn split_at(self, rows: usize) -> (Self, Self) {
        let Self { batch, picked } = self;
        match picked {
            None => {
                let others = batch.num_rows() - rows;
                let others = batch.slice(rows, others);
                (batch.slice(0, rows).into(), others.into())
            }
            Some(mut picked) => {
                let others = picked.split_off(rows);
                (
                    Self::picked(batch.clone(), picked),
                    Self::picked(batch, others),
                )
            }
        }
    }

    /// The batch that they are all rows of, copied unless they are its only ones.
    ///
    /// # Errors
    /// They cannot be copied.
    pub fn into_batch(self) -> Result<RecordBatch, ArrowError> {
        match self.picked {
            None => Ok(self.batch),
            Some(_) => self.copy(),
        }
    }

    /// The same rows in memory of their own.
    ///
    /// # Errors
    /// They cannot be copied.
    pub fn copy(&self) -> Result<RecordBatch, ArrowError> {
        let rows = self.numbers().map(|row| row as u64);
        take_record_batch(&self.batch, &UInt64Array::from_iter_values(rows))
    }
}

/// All rows of a batch.
impl From<RecordBatch> for Rows {
    fn from(batch: RecordBatch) -> Self {
        let picked = None;
        Self { batch, picked }
    }
}
