//! The columns of a file that an older program may have written: those that were appended since are
//! empty. A column that this program does not know is never passed over.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::ReadError;
use super::file::{CommittedFile, with_views};
use super::inspect::check_schema;
use crate::schema;

/// All columns of the schema, texts as views.
pub(super) struct Columns {
    schema: SchemaRef,
}

impl Columns {
    /// Those of a file.
    ///
    /// # Errors
    /// It has others than the schema.
    pub(super) fn of(file: &CommittedFile, path: &str) -> Result<Self, ReadError> {
        let columns = file.footer().file_metadata().schema_descr();
        match check_schema(columns) {
            None => Ok(Self::known()),
            Some(flaw) => Err(ReadError::Schema {
                path: path.to_owned(),
                flaw,
            }),
        }
    }

    /// Those that this program knows.
    pub(super) fn known() -> Self {
        let known = schema::activity().arrow();
        let fields: Fields = known.fields().iter().map(with_views).collect();
        Self {
            schema: Arc::new(Schema::new(fields)),
        }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A batch of a file with the columns that it lacks.
    pub(super) fn complete(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let rows = batch.num_rows();
        let column = |field: &FieldRef| -> ArrayRef {
            let found = batch.column_by_name(field.name());
            found.map_or_else(|| new_null_array(field.data_type(), rows), Arc::clone)
        };
        let columns = self.schema.fields().iter().map(column).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

/// A batch of all columns as it is written: its texts in buffers of their own.
pub(super) fn to_write(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let known = schema::activity().arrow();
    let columns = known.fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, column)| cast(column, field.data_type()));
    RecordBatch::try_new(Arc::clone(&known), columns.collect::<Result<_, _>>()?)
}
