//! The schema as people and engines read it: tables, and the DDL of `DuckDB` and Spark.

use std::fmt::Write;
use std::str::FromStr;

use super::{ActivitySchema, Column, Kind};

/// The forms in which the schema can be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaFormat {
    /// Columns side by side, for a terminal.
    Table,
    /// The Arrow schema, a field a line.
    Arrow,
    /// The Parquet message type.
    Parquet,
    /// A `CREATE TABLE` for `DuckDB`.
    Duckdb,
    /// A `CREATE TABLE` for Spark.
    Spark,
    /// A Markdown table.
    Markdown,
}

impl SchemaFormat {
    /// Every format, with its name.
    pub const ALL: [(&str, Self); 6] = [
        ("table", Self::Table),
        ("arrow", Self::Arrow),
        ("parquet", Self::Parquet),
        ("duckdb", Self::Duckdb),
        ("spark", Self::Spark),
        ("markdown", Self::Markdown),
    ];
}

impl FromStr for SchemaFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Self::ALL.iter().find(|(name, _)| *name == text) {
            Some((_, format)) => Ok(*format),
            None => Err(format!(
                "one of {}",
                Self::ALL.map(|(name, _)| name).join(", ")
            )),
        }
    }
}

/// Writing into a `String` cannot fail.
macro_rules! line {
    ($out:expr, $($arg:tt)*) => { writeln!($out, $($arg)*).expect("a String takes any text") };
}

impl ActivitySchema {
    /// Columns side by side, for a terminal.
    pub fn to_table(&self) -> String {
        let mut out = String::new();
        let rows: Vec<[String; 3]> = self.described().collect();
        let width = |i: usize| rows.iter().map(|row| row[i].len()).max().unwrap_or(0);
        let (name, kind) = (width(0), width(1));
        for row in &rows {
            line!(out, "{:name$}  {:kind$}  {}", row[0], row[1], row[2]);
        }
        out
    }

    /// The Arrow schema, a field a line.
    pub fn to_arrow_text(&self) -> String {
        let mut out = String::new();
        for field in self.arrow().fields() {
            let null = if field.is_nullable() { "" } else { " not null" };
            line!(out, "{}: {}{null}", field.name(), field.data_type());
        }
        out
    }

    /// A Markdown table of name, type and meaning.
    pub fn to_markdown(&self) -> String {
        let mut out = String::from("| column | type | meaning |\n|---|---|---|\n");
        for [name, kind, doc] in self.described() {
            line!(out, "| `{name}` | `{kind}` | {} |", doc.replace('|', "\\|"));
        }
        out
    }

    /// A `CREATE TABLE` for `DuckDB`, with the partition column that readers see.
    pub fn to_duckdb(&self) -> String {
        let columns = self.columns.iter().map(|column| {
            let null = if column.nullable { "" } else { " NOT NULL" };
            format!("  \"{}\" {}{null}", column.name, duckdb_type(column))
        });
        let columns: Vec<String> = columns
            .chain(["  \"event_date\" DATE".to_owned()])
            .collect();
        format!("CREATE TABLE activities (\n{}\n);\n", columns.join(",\n"))
    }

    /// A `CREATE TABLE` for Spark over the lake's files.
    pub fn to_spark(&self) -> String {
        let columns = self.columns.iter().map(|column| {
            let null = if column.nullable { "" } else { " NOT NULL" };
            let doc = column.doc.replace('\'', "\\'");
            format!(
                "  `{}` {}{null} COMMENT '{doc}'",
                column.name,
                spark_type(column)
            )
        });
        let columns: Vec<String> = columns.chain(["  `event_date` DATE".to_owned()]).collect();
        format!(
            "CREATE TABLE activities (\n{}\n)\nUSING PARQUET\nPARTITIONED BY (event_date)\nLOCATION '<lake>/activities';\n",
            columns.join(",\n")
        )
    }

    /// Every column and every member of its objects: name, type, meaning with the path.
    fn described(&self) -> impl Iterator<Item = [String; 3]> + '_ {
        let row = |name: String, column: &Column| {
            let doc = if column.path.is_empty() {
                column.doc.clone()
            } else {
                format!("{} (`{}`)", column.doc, column.path)
            };
            [name, kind_name(column.kind).to_owned(), doc]
        };
        self.columns.iter().flat_map(move |column| {
            let items = column
                .items
                .iter()
                .map(move |item| row(format!("{}[].{}", column.name, item.name), item));
            std::iter::once(row(column.name.clone(), column)).chain(items)
        })
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "string",
        Kind::Int64 => "int64",
        Kind::Bool => "bool",
        Kind::Double => "double",
        Kind::Time => "timestamp",
        Kind::StringList => "list<string>",
        Kind::ObjectList => "list<struct>",
        Kind::Json => "string (JSON)",
    }
}

fn duckdb_type(column: &Column) -> String {
    match column.kind {
        Kind::String | Kind::Json => "VARCHAR".to_owned(),
        Kind::Int64 => "BIGINT".to_owned(),
        Kind::Bool => "BOOLEAN".to_owned(),
        Kind::Double => "DOUBLE".to_owned(),
        Kind::Time => "TIMESTAMP WITH TIME ZONE".to_owned(),
        Kind::StringList => "VARCHAR[]".to_owned(),
        Kind::ObjectList => {
            let members = column
                .items
                .iter()
                .map(|item| format!("\"{}\" {}", item.name, duckdb_type(item)));
            format!("STRUCT({})[]", members.collect::<Vec<_>>().join(", "))
        }
    }
}

fn spark_type(column: &Column) -> String {
    match column.kind {
        Kind::String | Kind::Json => "STRING".to_owned(),
        Kind::Int64 => "BIGINT".to_owned(),
        Kind::Bool => "BOOLEAN".to_owned(),
        Kind::Double => "DOUBLE".to_owned(),
        Kind::Time => "TIMESTAMP".to_owned(),
        Kind::StringList => "ARRAY<STRING>".to_owned(),
        Kind::ObjectList => {
            let members = column
                .items
                .iter()
                .map(|item| format!("`{}`: {}", item.name, spark_type(item)));
            format!("ARRAY<STRUCT<{}>>", members.collect::<Vec<_>>().join(", "))
        }
    }
}
