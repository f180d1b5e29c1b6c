//! The schema of an activity: `schemas/activity.v1.json`, loaded once.
//!
//! That file is the single source of truth: ordered columns, each with its name, its kind, its
//! path in the record and a sentence of documentation. The Arrow schema, the decoder, the DDL and
//! the tables of the documentation are derived from it; golden copies of what is derived lie
//! beside it. Within one version columns are only appended, and only nullable ones.

mod render;

pub use render::SchemaFormat;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, SchemaRef, TimeUnit};
use serde::Deserialize;

/// Name of the column with the primary key.
pub const ACTIVITY_ID: &str = "activity_id";
/// Name of the column with the time of the activity, the clock `date`.
pub const TIMESTAMP: &str = "timestamp";
/// Name of the column with the time of saving, the clock `created`.
pub const CREATED: &str = "created";
/// Name of the column with who acted.
pub const USER_NAME: &str = "user_name";
/// Name of the partition column, the UTC day of [`TIMESTAMP`]: in the paths of files, not in them.
pub const EVENT_DATE: &str = "event_date";
/// Name of the column with what the others cannot give back.
pub const UNMAPPED: &str = "unmapped";
/// Name of the column with the run that wrote the row.
pub const INGEST_RUN_ID: &str = "ingest_run_id";
/// Name of the column with the time at which the run received the record.
pub const INGESTED_AT: &str = "ingested_at";
/// Name of the column with the record's exact text.
pub const RAW: &str = "raw";

/// The key of the field metadata that marks columns of JSON text, with the value `json`. They are
/// plain strings to Parquet: its JSON annotation reads slower in `DuckDB` and not at all elsewhere.
pub const KIND_KEY: &str = "mdca.kind";
/// The key of the field metadata that marks columns with [`Column::looked_up`].
pub const LOOKED_UP_KEY: &str = "mdca.looked_up";
/// The key of the field metadata that marks columns with [`Column::unique`].
pub const UNIQUE_KEY: &str = "mdca.unique";

/// The kinds of column there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Text.
    String,
    /// A 64-bit whole number.
    Int64,
    /// True or false.
    Bool,
    /// A double-precision number.
    Double,
    /// A time: milliseconds since the epoch in the record, microseconds UTC in the column.
    Time,
    /// A list of text.
    StringList,
    /// A list of objects, each with the columns named in `items`.
    ObjectList,
    /// The text of any JSON value.
    Json,
}

/// Where the value of a column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The record, at the column's path.
    #[default]
    Record,
    /// The decoder: what the other columns cannot give back.
    Decode,
    /// The run that wrote the row.
    Ingest,
}

/// One column, or one member of the objects in a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and a member of the file"
)]
pub struct Column {
    /// The name: lower snake case, unique when case-folded.
    pub name: String,
    /// The kind.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Path in the record, keys joined by dots; empty where the value is not the record's.
    #[serde(default)]
    pub path: String,
    /// Where the value comes from.
    #[serde(default)]
    pub source: Source,
    /// Whether the column can be null.
    #[serde(default = "nullable")]
    pub nullable: bool,
    /// Whether investigations look for single values in it, which minimum and maximum cannot
    /// answer: it gets bloom filters. Not on columns of few values, whose dictionary answers
    /// already, and not inside of lists, where no reader uses them.
    #[serde(default)]
    pub looked_up: bool,
    /// Whether its values are (nearly) all different: a dictionary would be built and thrown away.
    #[serde(default)]
    pub unique: bool,
    /// Whether the value repeats the record's id in all known records. Where it does, the column
    /// holds an empty text: 64 hexadecimal digits once more would be a twentieth of a file. An
    /// empty text of the record's own goes to [`UNMAPPED`].
    #[serde(default)]
    pub copy_of_id: bool,
    /// One sentence.
    pub doc: String,
    /// The members of an [`Kind::ObjectList`], in order.
    #[serde(default)]
    pub items: Vec<Column>,
}

fn nullable() -> bool {
    true
}

impl Column {
    /// The column as an Arrow field.
    pub fn field(&self) -> Field {
        let marks = [
            (KIND_KEY, "json", self.kind == Kind::Json),
            (LOOKED_UP_KEY, "true", self.looked_up),
            (UNIQUE_KEY, "true", self.unique),
        ];
        let metadata: HashMap<String, String> = marks
            .into_iter()
            .filter(|&(_, _, applies)| applies)
            .map(|(key, value, _)| (key.to_owned(), value.to_owned()))
            .collect();
        Field::new(&self.name, self.data_type(), self.nullable).with_metadata(metadata)
    }

    /// The column's type in Arrow.
    pub fn data_type(&self) -> DataType {
        match self.kind {
            Kind::String | Kind::Json => DataType::Utf8,
            Kind::Int64 => DataType::Int64,
            Kind::Bool => DataType::Boolean,
            Kind::Double => DataType::Float64,
            Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::StringList => list_of(DataType::Utf8),
            Kind::ObjectList => list_of(DataType::Struct(self.item_fields())),
        }
    }

    /// The Arrow fields of the objects in a list.
    pub fn item_fields(&self) -> Fields {
        self.items.iter().map(Column::field).collect()
    }
}

/// The field inside every list. Parquet's own name for it, so that files need no second name.
pub fn element_field(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", data_type, true))
}

fn list_of(data_type: DataType) -> DataType {
    DataType::List(element_field(data_type))
}

/// The columns of an activity, in order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivitySchema {
    /// What the rows are.
    pub name: String,
    /// The version; readers refuse one that they do not know.
    pub version: u32,
    /// The columns.
    pub columns: Vec<Column>,
}

impl ActivitySchema {
    /// The Arrow schema of every batch and of every file.
    pub fn arrow(&self) -> SchemaRef {
        let fields: Fields = self.columns.iter().map(Column::field).collect();
        Arc::new(arrow::datatypes::Schema::new(fields))
    }

    /// Names of the columns in which investigations look for single values.
    pub fn looked_up(&self) -> impl Iterator<Item = &str> {
        self.columns
            .iter()
            .filter(|column| column.looked_up)
            .map(|column| column.name.as_str())
    }

    /// The position of a column.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// The schema that this program writes and reads.
pub fn activity() -> &'static ActivitySchema {
    static SCHEMA: LazyLock<ActivitySchema> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../../schemas/activity.v1.json"))
            .expect("the schema is part of the program, and a test reads it")
    });
    &SCHEMA
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn all_columns() -> impl Iterator<Item = &'static Column> {
        activity()
            .columns
            .iter()
            .chain(activity().columns.iter().flat_map(|column| &column.items))
    }

    #[test]
    fn names_are_snake_case_and_unique_when_case_folded() {
        let names = activity()
            .columns
            .iter()
            .map(|column| column.name.to_lowercase());
        assert_eq!(
            names.collect::<HashSet<_>>().len(),
            activity().columns.len()
        );
        for column in all_columns() {
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(column.name.chars().all(allowed), "{}", column.name);
        }
    }

    #[test]
    fn only_the_id_and_the_time_cannot_be_null() {
        let fixed: Vec<&str> = all_columns()
            .filter(|column| !column.nullable)
            .map(|column| column.name.as_str())
            .collect();
        assert_eq!(fixed, [ACTIVITY_ID, TIMESTAMP]);
    }

    #[test]
    fn a_column_follows_its_path_or_the_run() {
        for column in all_columns() {
            assert_eq!(
                column.path.is_empty(),
                column.source != Source::Record,
                "{}",
                column.name
            );
            assert_eq!(
                column.items.is_empty(),
                column.kind != Kind::ObjectList,
                "{}",
                column.name
            );
            if column.source == Source::Record {
                assert_eq!(column.name, name_of(&column.path), "{}", column.path);
            }
        }
    }

    /// The naming rule, stated a second time.
    fn name_of(path: &str) -> String {
        if path == "_id" {
            return ACTIVITY_ID.to_owned();
        }
        let mut words: Vec<String> = Vec::new();
        let mut parent = String::new();
        for key in path.split('.') {
            let own = key
                .strip_prefix(parent.as_str())
                .filter(|own| !own.is_empty())
                .unwrap_or(key);
            words.push(snake_case(own));
            key.clone_into(&mut parent);
        }
        words.join("_")
    }

    fn snake_case(key: &str) -> String {
        let chars: Vec<char> = key.chars().collect();
        let mut name = String::new();
        for (i, c) in chars.iter().enumerate() {
            let after_lower =
                i > 0 && (chars[i - 1].is_ascii_lowercase() || chars[i - 1].is_ascii_digit());
            if c.is_ascii_uppercase() && after_lower {
                name.push('_');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    }
}
