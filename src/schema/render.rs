//! The schema as people and engines read it: tables, and the DDL of engines over a lake's files.

use std::fmt::Write;
use std::str::FromStr;

use serde_json::{Value, json};

use super::{ActivitySchema, Column, EVENT_DATE, Kind};

/// The forms in which the schema can be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaFormat {
    /// Columns side by side, for a terminal.
    Table,
    /// The Arrow schema, a field a line.
    Arrow,
    /// The Parquet message type.
    Parquet,
    /// A view for `DuckDB`.
    Duckdb,
    /// A table for Spark.
    Spark,
    /// A table for Trino's Hive connector.
    Trino,
    /// A table for Athena.
    Athena,
    /// The columns of a Delta table, as its log has them.
    Delta,
    /// A Markdown table.
    Markdown,
}

impl SchemaFormat {
    /// Every format, with its name.
    pub const ALL: [(&str, Self); 9] = [
        ("table", Self::Table),
        ("arrow", Self::Arrow),
        ("parquet", Self::Parquet),
        ("duckdb", Self::Duckdb),
        ("spark", Self::Spark),
        ("trino", Self::Trino),
        ("athena", Self::Athena),
        ("delta", Self::Delta),
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

    /// A view for `DuckDB` over the lake's files, with the meaning of each column.
    pub fn to_duckdb(&self) -> String {
        let mut out = String::from(
            "CREATE OR REPLACE VIEW activities AS\nSELECT * FROM read_parquet('<lake>/activities/**/*.parquet',\n  hive_partitioning = true, hive_types = {'event_date': DATE}, union_by_name = true);\n",
        );
        out.push_str(&self.duckdb_comments());
        out
    }

    /// The meaning of each column of the view `activities`, for `DuckDB`.
    pub fn duckdb_comments(&self) -> String {
        let mut out = String::new();
        for Column { name, doc, .. } in &self.columns {
            let doc = doc.replace('\'', "''");
            line!(out, "COMMENT ON COLUMN activities.\"{name}\" IS '{doc}';");
        }
        out
    }

    /// A table for Spark over the lake's files.
    pub fn to_spark(&self) -> String {
        let columns = self.declared(|column| {
            let null = if column.nullable { "" } else { " NOT NULL" };
            let doc = column.doc.replace('\'', "\\'");
            let kind = SPARK.spell(column);
            format!("`{}` {kind}{null} COMMENT '{doc}'", column.name)
        });
        format!(
            "CREATE TABLE activities (\n{columns},\n  `event_date` DATE\n)\nUSING PARQUET\nPARTITIONED BY (event_date)\nLOCATION '<lake>/activities';\n\n-- Finds the days: once, and after each scan that made a new one.\nMSCK REPAIR TABLE activities;\n"
        )
    }

    /// A table for Trino's Hive connector over the lake's files.
    pub fn to_trino(&self) -> String {
        let columns = self.declared(|column| {
            let doc = column.doc.replace('\'', "''");
            let kind = TRINO.spell(column);
            format!("\"{}\" {kind} COMMENT '{doc}'", column.name)
        });
        format!(
            "CREATE TABLE activities (\n{columns},\n  \"event_date\" DATE\n)\nWITH (\n  format = 'PARQUET',\n  external_location = '<lake>/activities',\n  partitioned_by = ARRAY['event_date']\n);\n\n-- Finds the days: once, and after each scan that made a new one.\nCALL system.sync_partition_metadata(schema_name => '<schema>', table_name => 'activities', mode => 'ADD');\n"
        )
    }

    /// A table for Athena over the lake's files; it reckons which days there are, and needs no repair.
    pub fn to_athena(&self) -> String {
        let columns = self.declared(|column| {
            let doc = column.doc.replace('\'', "\\'");
            let kind = ATHENA.spell(column);
            format!("`{}` {kind} COMMENT '{doc}'", column.name)
        });
        format!(
            "CREATE EXTERNAL TABLE activities (\n{columns}\n)\nPARTITIONED BY (`event_date` date)\nSTORED AS PARQUET\nLOCATION '<lake>/activities/'\nTBLPROPERTIES (\n  'projection.enabled' = 'true',\n  'projection.event_date.type' = 'date',\n  'projection.event_date.format' = 'yyyy-MM-dd',\n  'projection.event_date.range' = '2015-01-01,NOW',\n  'storage.location.template' = '<lake>/activities/event_date=${{event_date}}/'\n);\n"
        )
    }

    /// The columns of a Delta table as its log has them: one line of JSON.
    pub fn to_delta(&self) -> String {
        let field = |name: &str, kind: Value, nullable: bool, doc: &str| json!({"name": name, "type": kind, "nullable": nullable, "metadata": {"comment": doc}});
        let own = self.columns.iter();
        let own = own.map(|of| field(&of.name, delta_type(of), of.nullable, &of.doc));
        let day = field(EVENT_DATE, json!("date"), true, "UTC day of `timestamp`.");
        let fields: Vec<Value> = own.chain([day]).collect();
        json!({"type": "struct", "fields": fields}).to_string()
    }

    /// The columns of the files as a table declares them, a line each.
    fn declared(&self, spell: impl Fn(&Column) -> String) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("  {}", spell(column)))
            .collect();
        columns.join(",\n")
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

fn delta_type(column: &Column) -> Value {
    let list = |of: Value| json!({"type": "array", "elementType": of, "containsNull": true});
    match column.kind {
        Kind::String | Kind::Json => json!("string"),
        Kind::Int64 => json!("long"),
        Kind::Bool => json!("boolean"),
        Kind::Double => json!("double"),
        Kind::Time => json!("timestamp"),
        Kind::StringList => list(json!("string")),
        Kind::ObjectList => {
            let member = |of: &Column| {
                json!({"name": of.name, "type": delta_type(of), "nullable": of.nullable,
                    "metadata": {"comment": of.doc}})
            };
            let members: Vec<Value> = column.items.iter().map(member).collect();
            list(json!({"type": "struct", "fields": members}))
        }
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

/// How an engine spells types.
struct Types {
    text: &'static str,
    int64: &'static str,
    bool: &'static str,
    double: &'static str,
    time: &'static str,
    /// What encloses the items of a list.
    list: [&'static str; 2],
    /// What encloses the members of an object.
    object: [&'static str; 2],
    /// What stands around a member's name, and between it and its type.
    quote: char,
    between: &'static str,
}

const SPARK: Types = Types {
    text: "STRING",
    int64: "BIGINT",
    bool: "BOOLEAN",
    double: "DOUBLE",
    time: "TIMESTAMP",
    list: ["ARRAY<", ">"],
    object: ["STRUCT<", ">"],
    quote: '`',
    between: ": ",
};

const TRINO: Types = Types {
    text: "VARCHAR",
    list: ["ARRAY(", ")"],
    object: ["ROW(", ")"],
    quote: '"',
    between: " ",
    ..SPARK
};

const ATHENA: Types = Types {
    text: "string",
    int64: "bigint",
    bool: "boolean",
    double: "double",
    time: "timestamp",
    list: ["array<", ">"],
    object: ["struct<", ">"],
    between: ":",
    ..SPARK
};

impl Types {
    fn spell(&self, column: &Column) -> String {
        let [list, end_of_list] = self.list;
        match column.kind {
            Kind::String | Kind::Json => self.text.to_owned(),
            Kind::Int64 => self.int64.to_owned(),
            Kind::Bool => self.bool.to_owned(),
            Kind::Double => self.double.to_owned(),
            Kind::Time => self.time.to_owned(),
            Kind::StringList => format!("{list}{}{end_of_list}", self.text),
            Kind::ObjectList => {
                let [object, end_of_object] = self.object;
                let Self { quote, between, .. } = self;
                let members = column.items.iter().map(|item| {
                    format!("{quote}{}{quote}{between}{}", item.name, self.spell(item))
                });
                let members = members.collect::<Vec<_>>().join(", ");
                format!("{list}{object}{members}{end_of_object}{end_of_list}")
            }
        }
    }
}
