//! What opens exactly the live files of a lake in an engine: the lake's Delta table, by name.

use std::fmt::Write;

use clap::ValueEnum;
use url::Url;

use crate::commit::Identity;
use crate::error::{JobError, UsageError};
use crate::schema::{self, Column};
use crate::store::Store;
use crate::table;

/// An engine that reads Delta tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// SQL for `DuckDB` with its Delta extension.
    Duckdb,
    /// SQL for Spark with Delta.
    Spark,
    /// Python for Polars.
    Polars,
    /// SQL for Trino's Delta Lake connector.
    Trino,
    /// What to do in Fabric.
    Fabric,
    /// Python for `DataFusion`.
    Datafusion,
}

/// Where an engine finds a lake.
struct Place<'a> {
    url: &'a str,
    /// None on a disk.
    scheme: Option<&'a str>,
}

impl Place<'_> {
    fn is_azure(&self) -> bool {
        matches!(self.scheme, Some("az" | "abfs" | "abfss"))
    }

    /// As `DuckDB` opens it: of paths it takes those of ASCII, and of URLs all.
    fn for_duckdb(&self) -> String {
        let is_path = self.scheme.is_none() && self.url.is_ascii() && !self.url.contains('%');
        let url = Url::from_file_path(self.url).ok();
        match url.filter(|_| self.scheme.is_none() && !is_path) {
            Some(url) => url.into(),
            None => self.url.to_owned(),
        }
    }

    /// What an engine makes of the path of a lake on a disk, where it opens another one or none.
    fn warning(&self, engine: Engine) -> Option<&'static str> {
        let has = |mark: fn(char) -> bool| self.scheme.is_none() && self.url.contains(mark);
        let is_odd = |mark: char| !mark.is_ascii_alphanumeric() && !"/._-'".contains(mark);
        let is_no_ascii = |mark: char| mark == ' ' || !mark.is_ascii();
        match engine {
            Engine::Polars if has(is_odd) || self.url.contains(is_no_ascii) => Some(
                "Polars opens paths of ASCII letters, digits, '.', '_' and '-' only: not this one.",
            ),
            Engine::Duckdb | Engine::Datafusion if has(|mark| matches!(mark, '\\' | '%')) => {
                Some("Paths with a backslash or a percent sign may not open: use another one.")
            }
            _ => None,
        }
    }

    /// Whether an engine takes the path of a lake on a disk for that of another one: a percent sign and two
    /// digits are a character to it, however they are written.
    fn is_mistaken_by(&self, engine: Engine) -> bool {
        let is_escape =
            |bytes: &[u8]| bytes[0] == b'%' && bytes[1..].iter().all(u8::is_ascii_hexdigit);
        self.scheme.is_none()
            && matches!(engine, Engine::Duckdb | Engine::Polars | Engine::Datafusion)
            && self.url.as_bytes().windows(3).any(is_escape)
    }

    /// As Hadoop's file systems spell it.
    fn for_hadoop(&self) -> String {
        if let Some(bucket) = self.url.strip_prefix("s3://") {
            return format!("s3a://{bucket}");
        }
        match self.url.strip_prefix("az://") {
            Some(place) => {
                let (container, folder) = place.split_once('/').unwrap_or((place, ""));
                format!("abfss://{container}@<account>.dfs.core.windows.net/{folder}")
            }
            None => self.url.to_owned(),
        }
    }

    /// The same, with S3 by its own name.
    fn for_trino(&self) -> String {
        if self.scheme == Some("s3") {
            return self.url.to_owned();
        }
        self.for_hadoop()
    }

    /// What those who read it that way have to fill in.
    fn gap_for_hadoop(&self, engine: Engine) -> Option<&'static str> {
        let is_read_so = matches!(engine, Engine::Spark | Engine::Trino | Engine::Fabric);
        (is_read_so && self.scheme == Some("az"))
            .then_some("Put the storage account in the place of <account>.")
    }
}

/// Writes what opens the lake at `url` (a whole path, or a URL of object storage) as `activities`.
///
/// # Errors
/// No lake or no table is there; the engine does not reach such a place.
pub async fn script(store: &Store, url: &str, engine: Engine) -> Result<String, JobError> {
    let location = || store.location().to_owned();
    if Identity::load_if_lake(store).await?.is_none() {
        return Err(JobError::NoLake {
            location: location(),
        });
    }
    let Some(standing) = table::standing(store).await? else {
        let error = UsageError::new(format!(
            "cannot connect to {}: it has no table yet",
            location()
        ));
        return Err(error
            .advise("run scan, convert or compact once: each makes it")
            .into());
    };
    let place = Place {
        url,
        scheme: url.split_once("://").map(|(scheme, _)| scheme),
    };
    if place.is_mistaken_by(engine) {
        let error = UsageError::new(format!(
            "cannot connect to {}: the engine would open another path, because of its percent sign",
            location()
        ));
        return Err(error.advise("move the lake to a path without one").into());
    }
    let remark = match standing.loss() {
        Some(loss) => vec![
            loss.to_string(),
            loss.advice().unwrap_or_default().to_owned(),
        ],
        None if standing.is_current => Vec::new(),
        None if standing.is_of_others => vec![format!("The table is {}.", table::OF_OTHERS)],
        None => vec![format!("The table is {}.", table::BEHIND)],
    };
    let mut out = String::new();
    let comment = match engine {
        Engine::Polars | Engine::Datafusion => "#",
        _ => "--",
    };
    let remark = remark.iter().map(String::as_str);
    let gap = place.gap_for_hadoop(engine);
    let said = place.warning(engine).into_iter().chain(gap).chain(remark);
    for line in notes(engine, &place).iter().copied().chain(said) {
        writeln!(out, "{comment} {line}").expect("a String takes any text");
    }
    let opens = match engine {
        Engine::Duckdb => duckdb(&place),
        Engine::Spark => format!(
            "CREATE TABLE IF NOT EXISTS activities USING DELTA LOCATION {};\n",
            sql(&place.for_hadoop())
        ),
        Engine::Trino => format!(
            "CALL delta.system.register_table(schema_name => 'default', table_name => 'activities', table_location => {});\n",
            sql(&place.for_trino())
        ),
        Engine::Fabric if place.scheme.is_none() => {
            let error = UsageError::new(format!(
                "cannot connect Fabric to {}: it reaches object storage alone",
                location()
            ));
            return Err(error.into());
        }
        Engine::Fabric => format!(
            "-- {}\nSELECT count(*) FROM activities;\n",
            place.for_trino()
        ),
        Engine::Polars => format!(
            "import polars\n\nactivities = polars.scan_delta({})\n{}",
            python(url),
            columns()
        ),
        Engine::Datafusion => format!(
            "from datafusion import SessionContext\nfrom deltalake import DeltaTable\n\ncontext = SessionContext()\ncontext.register_table(\"activities\", DeltaTable({}))\n{}",
            python(url),
            columns()
        ),
    };
    Ok(out + &opens)
}

/// What an engine needs, line by line.
fn notes(engine: Engine, place: &Place<'_>) -> &'static [&'static str] {
    match engine {
        Engine::Duckdb if place.scheme.is_none() => &[],
        Engine::Duckdb if place.is_azure() => {
            &["Put the storage account in the place of <account>."]
        }
        Engine::Duckdb => &[
            "Another endpoint than that of AWS: add ENDPOINT 'host:port', URL_STYLE 'path' to the secret.",
        ],
        Engine::Spark => &[
            "Spark needs Delta: --packages io.delta:delta-spark_2.13:4.0.0",
            "--conf spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension",
            "--conf spark.sql.catalog.spark_catalog=org.apache.spark.sql.delta.catalog.DeltaCatalog",
            "Read only: no VACUUM, no OPTIMIZE.",
        ],
        Engine::Trino => &[
            "A catalog named delta: connector.name=delta_lake, delta.register-table-procedure.enabled=true",
            "Read only: no vacuum, no optimize.",
        ],
        Engine::Fabric => &[
            "In a lakehouse: New shortcut, below Tables, to the place below; name it activities.",
            "Read only: no VACUUM, no OPTIMIZE.",
        ],
        Engine::Polars => &["pip install polars deltalake"],
        Engine::Datafusion => &["pip install datafusion deltalake"],
    }
}

fn duckdb(place: &Place<'_>) -> String {
    let mut out = String::from("INSTALL delta;\nLOAD delta;\n");
    if place.is_azure() {
        out.push_str("INSTALL azure;\nLOAD azure;\nCREATE OR REPLACE SECRET mdca_lake (TYPE azure, PROVIDER credential_chain, ACCOUNT_NAME '<account>');\n");
    } else if place.scheme.is_some() {
        out.push_str("INSTALL httpfs;\nLOAD httpfs;\nINSTALL aws;\nLOAD aws;\nCREATE OR REPLACE SECRET mdca_lake (TYPE s3, PROVIDER credential_chain);\n");
    }
    let url = sql(&place.for_duckdb());
    out.push_str("CREATE OR REPLACE VIEW activities AS SELECT * FROM delta_scan(");
    out.push_str(&url);
    out.push_str(");\n");
    out.push_str(&schema::activity().duckdb_comments());
    out
}

/// What each column means, as comments.
fn columns() -> String {
    let line = |Column { name, doc, .. }: &Column| format!("# {name}: {doc}\n");
    let lines: String = schema::activity().columns.iter().map(line).collect();
    format!("\n# The columns:\n{lines}")
}

/// A text in SQL.
fn sql(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text in Python; JSON's text is one.
fn python(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
