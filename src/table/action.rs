//! What the log of a Delta table says, as far as this program writes or reads it: the actions of the
//! protocol, one a line. Members that are not known are passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One line of a version, or one row of a checkpoint: one of its members is there. They are boxed, since a
/// version may have a hundred thousand lines.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Action {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) commit_info: Option<Box<CommitInfo>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) protocol: Option<Box<Protocol>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) meta_data: Option<Box<Metadata>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) txn: Option<Box<Txn>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) add: Option<Box<Add>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remove: Option<Box<Remove>>,
}

/// Who wrote a version, and what it is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CommitInfo {
    #[serde(default)]
    pub(super) timestamp: i64,
    #[serde(default)]
    pub(super) operation: String,
    #[serde(default)]
    pub(super) operation_parameters: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) engine_info: String,
    /// No two writers give the same: whose version it is that is there.
    #[serde(default)]
    pub(super) txn_id: String,
}

/// What programs must know to read and to write the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Protocol {
    pub(super) min_reader_version: i32,
    pub(super) min_writer_version: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reader_features: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) writer_features: Option<Vec<String>>,
}

/// What the table is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    pub(super) format: Format,
    /// The columns, as JSON.
    pub(super) schema_string: String,
    pub(super) partition_columns: Vec<String>,
    #[serde(default)]
    pub(super) configuration: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created_time: Option<i64>,
}

/// What the files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Format {
    pub(super) provider: String,
    #[serde(default)]
    pub(super) options: BTreeMap<String, String>,
}

/// A number that a writer keeps in the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Txn {
    pub(super) app_id: String,
    pub(super) version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_updated: Option<i64>,
}

/// A file that is part of the table from this version on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Add {
    pub(super) path: String,
    pub(super) partition_values: BTreeMap<String, Option<String>>,
    pub(super) size: i64,
    pub(super) modification_time: i64,
    pub(super) data_change: bool,
    /// Rows, and the bounds of columns, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stats: Option<String>,
}

/// A file that is part of the table no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Remove {
    pub(super) path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deletion_timestamp: Option<i64>,
    pub(super) data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) extended_file_metadata: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) partition_values: Option<BTreeMap<String, Option<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<i64>,
}

macro_rules! action_of {
    ($($member:ident: $kind:ty),+) => {$(
        impl From<$kind> for Action {
            fn from(member: $kind) -> Self {
                Self {
                    $member: Some(Box::new(member)),
                    ..Self::default()
                }
            }
        }
    )+};
}

action_of!(
    commit_info: CommitInfo,
    protocol: Protocol,
    meta_data: Metadata,
    txn: Txn,
    add: Add,
    remove: Remove
);

/// Writes actions, one a line.
pub(super) fn to_lines<'a>(actions: impl IntoIterator<Item = &'a Action>) -> Vec<u8> {
    let mut lines = Vec::new();
    for action in actions {
        serde_json::to_writer(&mut lines, action).expect("own types serialise to JSON");
        lines.push(b'\n');
    }
    lines
}

/// Reads lines with one action each.
pub(super) fn of_lines(lines: &[u8]) -> Result<Vec<Action>, serde_json::Error> {
    serde_json::Deserializer::from_slice(lines)
        .into_iter()
        .collect()
}
