//! What this program says of the table and its files.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};
use twox_hash::XxHash3_128;

use super::TableError;
use super::action::{Action, Add, CommitInfo, Format, Metadata, Protocol, Remove};
use super::remarks::Remarks;
use super::seen::Seen;
use super::snapshot::Snapshot;
use crate::layout::FileName;
use crate::schema::{self, CREATED, EVENT_DATE, TIMESTAMP};
use crate::write::FileEntry;

const ENGINE: &str = concat!("mdca-lake/", env!("CARGO_PKG_VERSION"));
/// Every reader of Delta tables knows this version.
const READER_VERSION: i32 = 1;
/// From this version on a table names what a writer must know, feature by feature.
const WRITER_VERSION: i32 = 7;
/// What a writer must know: the second is this program's own, so that every other one refuses. It would
/// remove, or write anew, files that the commits name.
const WRITER_FEATURES: [&str; 2] = ["appendOnly", "mdcaLake"];

/// Of which columns the files have bounds, so that readers look for no others: some take missing bounds for
/// empty columns, and find nothing.
const STATISTICS: (&str, &str) = ("delta.dataSkippingStatsColumns", "timestamp,created");

/// What is said of the table by one run at one time.
pub(super) struct Facts {
    /// The time, in milliseconds since the epoch.
    now_ms: i64,
    /// What tells this writer from others.
    unique: u128,
    /// What the table was before; none of a new one.
    metadata: Option<Metadata>,
}

impl Facts {
    /// Said now by a run, of a table that was so before.
    pub(super) fn new(run: &str, now_ms: i64, before: Option<&Snapshot>) -> Self {
        Self {
            now_ms,
            unique: XxHash3_128::oneshot(format!("{run} {now_ms}").as_bytes()),
            metadata: before.and_then(|snapshot| snapshot.metadata.clone()),
        }
    }

    /// One version: who writes it and why, what it takes in, and these actions.
    pub(super) fn version(
        &self,
        operation: &str,
        seen: Seen,
        actions: impl IntoIterator<Item = Action>,
    ) -> Vec<Action> {
        let info = CommitInfo {
            timestamp: self.now_ms,
            operation: operation.to_owned(),
            operation_parameters: BTreeMap::new(),
            engine_info: ENGINE.to_owned(),
            txn_id: uuid(self.unique),
        };
        let columns = schema::activity().columns.len();
        std::iter::once(Action::from(info))
            .chain(seen.actions(columns, self.now_ms))
            .chain(actions)
            .collect()
    }

    /// What slices have to remark.
    pub(super) fn remarks(&self, remarks: &Remarks) -> impl Iterator<Item = Action> {
        remarks.actions(self.now_ms)
    }

    /// What a new table is.
    pub(super) fn table(&self) -> [Action; 2] {
        let protocol = Protocol {
            min_reader_version: READER_VERSION,
            min_writer_version: WRITER_VERSION,
            reader_features: None,
            writer_features: Some(WRITER_FEATURES.map(str::to_owned).to_vec()),
        };
        [protocol.into(), self.metadata()]
    }

    /// What the table is, with the columns of this program.
    pub(super) fn metadata(&self) -> Action {
        let schema_string = schema::activity().to_delta();
        let mut metadata = match &self.metadata {
            Some(before) => Metadata {
                schema_string,
                ..before.clone()
            },
            None => Metadata {
                id: uuid(self.unique),
                name: Some("activities".to_owned()),
                description: Some("Activities of Microsoft Defender for Cloud Apps".to_owned()),
                format: Format {
                    provider: "parquet".to_owned(),
                    options: BTreeMap::new(),
                },
                schema_string,
                partition_columns: vec![EVENT_DATE.to_owned()],
                configuration: BTreeMap::from([("delta.appendOnly".to_owned(), "true".to_owned())]),
                created_time: Some(self.now_ms),
            },
        };
        let (key, columns) = STATISTICS;
        metadata
            .configuration
            .insert(key.to_owned(), columns.to_owned());
        metadata.into()
    }

    /// That a file is part of the table. Of its content only the bounds of both times are said: never a
    /// user or an address.
    pub(super) fn add(&self, file: &FileEntry, data_change: bool) -> Add {
        Add {
            path: file.path.clone(),
            partition_values: partition_of(&file.path),
            size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
            modification_time: self.now_ms,
            data_change,
            stats: Some(statistics(file).to_string()),
        }
    }

    /// That a file is part of it no more, though its rows are.
    pub(super) fn remove(&self, add: &Add) -> Remove {
        Remove {
            path: add.path.clone(),
            deletion_timestamp: Some(self.now_ms),
            data_change: false,
            extended_file_metadata: Some(true),
            partition_values: Some(add.partition_values.clone()),
            size: Some(add.size),
        }
    }
}

/// Whether an entry says of a file what this program does: its day, its size, its rows and their bounds, by
/// which readers pass over it.
pub(super) fn are_of(add: &Add, file: &FileEntry) -> bool {
    let said = add.stats.as_deref().map(serde_json::from_str::<Value>);
    add.partition_values == partition_of(&file.path)
        && u64::try_from(add.size) == Ok(file.bytes)
        && said.is_some_and(|said| said.is_ok_and(|said| said == statistics(file)))
}

/// The rows of a file, and the bounds of both times.
fn statistics(file: &FileEntry) -> Value {
    let bounds = |timestamp: i64, created: Option<i64>| {
        let mut bounds = serde_json::Map::new();
        bounds.insert(TIMESTAMP.to_owned(), time(timestamp).into());
        if let Some(created) = created {
            bounds.insert(CREATED.to_owned(), time(created).into());
        }
        bounds
    };
    json!({
        "numRecords": file.rows,
        "minValues": bounds(file.timestamp_min_ms, file.created_min_ms),
        "maxValues": bounds(file.timestamp_max_ms, file.created_max_ms),
    })
}

fn partition_of(path: &str) -> BTreeMap<String, Option<String>> {
    let day = FileName::parse(path).map(|name| name.key.date().to_string());
    BTreeMap::from([(EVENT_DATE.to_owned(), day)])
}

/// A time as statistics spell it. Records have whole milliseconds, so nothing is rounded.
fn time(time_ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(time_ms).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn uuid(of: u128) -> String {
    let hex = format!("{of:032x}");
    format!(
        "{}-{}-4{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    )
}

/// The operation by which a table becomes what this program makes, where it is not: it lacks columns, or does
/// not say which of them have bounds.
///
/// # Errors
/// The table was changed by another program, or has other columns than any version of this one.
pub(super) fn completion(snapshot: &Snapshot) -> Result<Option<&'static str>, TableError> {
    let changed = |what| Err(TableError::Changed { what });
    let protocol = snapshot.protocol.as_ref();
    let is_ours = protocol.is_some_and(|protocol| {
        protocol.min_reader_version == READER_VERSION && protocol.reader_features.is_none()
    });
    if !is_ours {
        return changed("protocol");
    }
    let Some(metadata) = &snapshot.metadata else {
        return changed("metadata");
    };
    if metadata.partition_columns != [EVENT_DATE] {
        return changed("partitions");
    }
    let (own, its) = (schema::activity().to_delta(), &metadata.schema_string);
    let names = |text: &str| -> Option<Vec<Value>> {
        let schema: Value = serde_json::from_str(text).ok()?;
        let fields = schema.get("fields")?.as_array()?;
        let kind = |field: &Value| json!([field["name"], field["type"]]);
        Some(fields.iter().map(kind).collect())
    };
    let Some((own, its)) = names(&own).zip(names(its)) else {
        return changed("columns");
    };
    let has_all =
        |these: &[Value], those: &[Value]| those.iter().all(|field| these.contains(field));
    let (key, columns) = STATISTICS;
    let says_bounds = metadata.configuration.get(key).map(String::as_str) == Some(columns);
    match (has_all(&own, &its), has_all(&its, &own)) {
        (true, false) => Ok(Some("ADD COLUMNS")),
        (true, true) => Ok((!says_bounds).then_some("SET TBLPROPERTIES")),
        // A newer version of this program has more.
        (false, true) => Ok(None),
        (false, false) => changed("columns"),
    }
}
