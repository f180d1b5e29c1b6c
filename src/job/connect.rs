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
    #[value(help = "SQL for DuckDB with its Delta extension")]
    Duckdb,
    /// SQL for Spark with Delta.
    Spark,
    /// Python for Polars.
    Polars,
    /// SQL for Trino's Delta Lake connector.
    Trino,
    /// What to do in Fabric.
    Fabric,
    #[value(help = "Python for DataFusion")]
    Datafusion,
}

/// What stands for a storage account that is not known.
const ACCOUNT: &str = "<account>";
/// Another way in.
const AZURE_KEY: &str = "With an account key or a SAS: CONNECTION_STRING '...' in the place of PROVIDER and ACCOUNT_NAME.";

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

    fn is_google(&self) -> bool {
        self.scheme == Some("gs")
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

    /// The folder in a bucket, or the path on a disk.
    fn folder(&self) -> &str {
        match self.url.split_once("://") {
            Some((_, place)) => place.split_once('/').map_or("", |(_, folder)| folder),
            None => self.url,
        }
    }

    /// The storage account, where the URL says it.
    fn account(&self) -> &str {
        let host = self.url.split_once('@').map(|(_, host)| host);
        let account = host.and_then(|host| host.split_once('.'));
        account
            .filter(|_| self.is_azure())
            .map_or(ACCOUNT, |(account, _)| account)
    }

    /// What an engine may make of the path of a lake on a disk.
    fn warning(&self, engine: Engine) -> Option<&'static str> {
        let is_odd = self.scheme.is_none() && self.url.contains(['\\', '%']);
        (is_odd && matches!(engine, Engine::Duckdb | Engine::Datafusion))
            .then_some("Paths with a backslash or a percent sign may not open: use another one.")
    }

    /// Why an engine does not open the lake, or opens another one.
    fn obstacle(&self, engine: Engine) -> Option<String> {
        let is_on_disk = self.scheme.is_none();
        let is_mistaken = match engine {
            // A percent sign and two digits are a character to it, however they are written.
            Engine::Duckdb | Engine::Polars | Engine::Datafusion if is_on_disk => {
                self.has_escapes()
            }
            // With what follows the folder.
            Engine::Duckdb => self.url.contains('%'),
            _ => false,
        };
        if is_mistaken {
            let other = "the engine would open another path, because of its percent sign";
            return Some(other.to_owned());
        }
        match engine {
            Engine::Polars => self
                .unopened_by_polars()
                .map(|mark| format!("Polars does not open a path with '{mark}'")),
            Engine::Fabric if is_on_disk => Some("Fabric reaches object storage alone".to_owned()),
            _ => None,
        }
    }

    /// What Polars escapes and does not find again, or takes for a partition of its own.
    fn unopened_by_polars(&self) -> Option<char> {
        let is_escaped = |mark: char| !mark.is_ascii() || " \"#<>?`{}\\=".contains(mark);
        let is_unopened = |mark: &char| is_escaped(*mark) || self.scheme.is_none() && *mark == '%';
        self.folder().chars().find(is_unopened)
    }

    fn has_escapes(&self) -> bool {
        let is_escape =
            |bytes: &[u8]| bytes[0] == b'%' && bytes[1..].iter().all(u8::is_ascii_hexdigit);
        self.url.as_bytes().windows(3).any(is_escape)
    }

    /// As Hadoop's file systems spell it.
    fn for_hadoop(&self) -> String {
        if let Some(bucket) = self.url.strip_prefix("s3://") {
            return format!("s3a://{bucket}");
        }
        match self.url.strip_prefix("az://") {
            Some(place) => {
                let (container, folder) = place.split_once('/').unwrap_or((place, ""));
                format!("abfss://{container}@{ACCOUNT}.dfs.core.windows.net/{folder}")
            }
            None => self.url.to_owned(),
        }
    }

    /// The same, with S3 by its own name, and a disk by its scheme.
    fn for_trino(&self) -> String {
        match self.scheme {
            None => format!("file://{}", self.url),
            Some("s3") => self.url.to_owned(),
            Some(_) => self.for_hadoop(),
        }
    }

    /// The connection and the folder that a shortcut of Fabric asks for.
    fn for_fabric(&self) -> String {
        let hadoop = self.for_hadoop();
        let (_, place) = hadoop.split_once("://").unwrap_or_default();
        let (bucket, folder) = place.split_once('/').unwrap_or((place, ""));
        match bucket.split_once('@') {
            Some((container, host)) => format!("https://{host}, sub path /{container}/{folder}"),
            None if self.is_google() => {
                format!("https://{bucket}.storage.googleapis.com, sub path /{folder}")
            }
            None => format!("https://{bucket}.s3.<region>.amazonaws.com, sub path /{folder}"),
        }
    }

    /// How `DataFusion` takes the table: of object storage it knows nothing, and the dataset does.
    fn in_datafusion(&self) -> String {
        let table = format!("DeltaTable({})", python(self.url));
        if self.scheme.is_none() {
            return format!("register_table(\"activities\", {table})");
        }
        format!("register_dataset(\"activities\", {table}.to_pyarrow_dataset())")
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
    if let Some(obstacle) = place.obstacle(engine) {
        let error = UsageError::new(format!("cannot connect to {}: {obstacle}", location()));
        let advice = if place.scheme.is_some() || engine == Engine::Fabric {
            "use another --engine"
        } else {
            "move the lake to another path, or use another --engine"
        };
        return Err(error.advise(advice).into());
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
    let notes = notes(engine, &place);
    for line in notes.iter().map(String::as_str).chain(said) {
        writeln!(out, "{comment} {line}").expect("a String takes any text");
    }
    let opens = match engine {
        Engine::Duckdb => duckdb(&place),
        // A table of that name may be there already, of another lake; a view takes its place.
        Engine::Spark => format!(
            "CREATE OR REPLACE TEMPORARY VIEW activities AS SELECT * FROM delta.`{}`;\n",
            place.for_hadoop().replace('`', "``")
        ),
        Engine::Trino => format!(
            "CALL delta.system.register_table(schema_name => 'default', table_name => 'activities', table_location => {});\n",
            sql(&place.for_trino())
        ),
        Engine::Fabric => format!(
            "-- {}\nSELECT count(*) FROM activities;\n",
            place.for_fabric()
        ),
        Engine::Polars => format!(
            "import polars\n\nactivities = polars.scan_delta({})\n{}",
            python(url),
            columns()
        ),
        Engine::Datafusion => format!(
            "from datafusion import SessionContext\nfrom deltalake import DeltaTable\n\ncontext = SessionContext()\ncontext.{}\n{}",
            place.in_datafusion(),
            columns()
        ),
    };
    Ok(out + &opens)
}

/// What an engine needs, line by line.
fn notes(engine: Engine, place: &Place<'_>) -> Vec<String> {
    let lines: &[&str] = match engine {
        Engine::Duckdb if place.scheme.is_none() => &[],
        Engine::Duckdb if place.is_azure() && place.account() != ACCOUNT => &[AZURE_KEY],
        Engine::Duckdb if place.is_azure() => &[
            "Put the storage account in the place of <account>.",
            AZURE_KEY,
        ],
        Engine::Duckdb if place.is_google() => {
            &["Put an HMAC key of the bucket in the place of <key> and <secret>."]
        }
        Engine::Duckdb => &[
            "Another endpoint than that of AWS: add ENDPOINT 'host:port', URL_STYLE 'path' to the secret,",
            "and USE_SSL false where it is asked by http.",
        ],
        Engine::Spark => return spark_notes(place),
        Engine::Trino => return trino_notes(place),
        Engine::Fabric => &[
            "In a lakehouse: New shortcut, below Tables, to the place below; name it activities.",
            "Read only: no VACUUM, no OPTIMIZE.",
        ],
        Engine::Polars => &["pip install polars deltalake"],
        Engine::Datafusion if place.scheme.is_none() => &["pip install datafusion deltalake"],
        Engine::Datafusion => &["pip install datafusion deltalake pyarrow"],
    };
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn spark_notes(place: &Place<'_>) -> Vec<String> {
    let (packages, more) = if place.is_azure() {
        (",org.apache.hadoop:hadoop-azure:3.4.1", None)
    } else if place.is_google() {
        ("", Some("It needs Google's connector for Hadoop as well."))
    } else if place.scheme.is_some() {
        let endpoint = "Another endpoint than that of AWS: --conf spark.hadoop.fs.s3a.endpoint=URL --conf spark.hadoop.fs.s3a.path.style.access=true";
        (",org.apache.hadoop:hadoop-aws:3.4.1", Some(endpoint))
    } else {
        ("", None)
    };
    let first =
        format!("Spark 4.0 needs Delta: --packages io.delta:delta-spark_2.13:4.0.0{packages}");
    let others = [
        "--conf spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension",
        "--conf spark.sql.catalog.spark_catalog=org.apache.spark.sql.delta.catalog.DeltaCatalog",
    ];
    let others = others.into_iter().chain(more);
    let others = others.chain([
        "The view lasts as long as the session.",
        "Read only: no VACUUM, no OPTIMIZE.",
    ]);
    std::iter::once(first)
        .chain(others.map(str::to_owned))
        .collect()
}

fn trino_notes(place: &Place<'_>) -> Vec<String> {
    let files = if place.is_azure() {
        "fs.native-azure.enabled=true"
    } else if place.is_google() {
        "fs.native-gcs.enabled=true"
    } else if place.scheme.is_some() {
        "fs.native-s3.enabled=true"
    } else {
        "fs.hadoop.enabled=true"
    };
    vec![
        format!("A catalog named delta: connector.name=delta_lake, {files}, a metastore,"),
        "delta.register-table-procedure.enabled=true; and in it a schema named default.".to_owned(),
        "Read only: no vacuum, no optimize.".to_owned(),
    ]
}

fn duckdb(place: &Place<'_>) -> String {
    let mut out = String::from("INSTALL delta;\nLOAD delta;\n");
    if place.is_azure() {
        out.push_str("INSTALL azure;\nLOAD azure;\nCREATE OR REPLACE SECRET mdca_lake (TYPE azure, PROVIDER credential_chain, ACCOUNT_NAME ");
        out.push_str(&sql(place.account()));
        out.push_str(");\n");
    } else if place.is_google() {
        out.push_str("INSTALL httpfs;\nLOAD httpfs;\nCREATE OR REPLACE SECRET mdca_lake (TYPE gcs, KEY_ID '<key>', SECRET '<secret>');\n");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_does_not_open_is_known() {
        use Engine::{Datafusion, Duckdb, Polars, Spark};
        for (url, engine, is_open) in [
            ("/a+b,c@d~(e):f", Polars, true),
            ("/it's[*]|^", Polars, true),
            ("/a b", Polars, false),
            ("/ä", Polars, false),
            ("/100%", Polars, false),
            ("/tenant=7", Polars, false),
            ("/tenant=7", Duckdb, true),
            ("/100%", Duckdb, true),
            ("/100%41", Duckdb, false),
            ("/100%41", Datafusion, false),
            ("/100%41", Spark, true),
            ("s3://bucket/a+b,c@d", Polars, true),
            ("s3://bucket/100%", Polars, true),
            ("s3://bucket/tenant=7", Polars, false),
            ("s3://bucket/a b", Polars, false),
            ("s3://bucket/100%", Duckdb, false),
            ("s3://bucket/100%", Datafusion, true),
            ("abfss://c@account.dfs.core.windows.net/lake", Polars, true),
        ] {
            let scheme = url.split_once("://").map(|(scheme, _)| scheme);
            let obstacle = Place { url, scheme }.obstacle(engine);
            assert_eq!(obstacle.is_none(), is_open, "{url} by {engine:?}");
        }
    }

    #[test]
    fn the_storage_account_is_what_the_url_says() {
        for (url, account) in [
            ("abfss://c@own.dfs.core.windows.net/lake", "own"),
            ("az://c/lake", ACCOUNT),
            ("s3://b/a@b.c", ACCOUNT),
        ] {
            let scheme = url.split_once("://").map(|(scheme, _)| scheme);
            assert_eq!(Place { url, scheme }.account(), account, "{url}");
        }
    }
}
