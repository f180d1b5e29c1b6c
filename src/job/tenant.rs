//! Whose records these are: a lake has those of one tenant.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::commit::{self, Commit, CommitError};
use crate::error::{Difference, JobError};
use crate::layout::{self, FileName};
use crate::read::{self, ReadError, RecordRestorer};
use crate::schema;
use crate::store::Store;
use crate::table;
use crate::window::Slice;

/// The fields of a record that say whose it is, the one that says most first: the Entra tenant stays
/// the same wherever the service keeps it; the service's own number may not.
const TENANT_FIELDS: [&str; 2] = ["aadTenantId", "tenantId"];
/// The newest commits, and then live files, that are looked at for a record that says whose it is.
const OBJECTS_LOOKED_AT: usize = 20;
/// Records of a slice that are looked at for one of the lake's tenant.
const RECORDS_LOOKED_AT: usize = 100;

/// What a record says of its tenant, field by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantIds([Option<String>; 2]);

/// Whether two records are of one tenant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// This field, with this value, is in both.
    Same(String),
    /// This field is in both, and differs.
    Other(Difference),
}

impl TenantIds {
    /// What a record says; `None` where it says nothing.
    pub(crate) fn of(record: &Value) -> Option<Self> {
        let ids = TENANT_FIELDS.map(|field| record.get(field).and_then(text_of));
        ids.iter().any(Option::is_some).then_some(Self(ids))
    }

    /// What the fields say that are in both, the one that says most first.
    fn compare(&self, other: &Self) -> impl Iterator<Item = Likeness> {
        let fields = TENANT_FIELDS.into_iter().zip(self.0.iter().zip(&other.0));
        fields.filter_map(|(field, (lake, other))| {
            let (lake, other) = (lake.clone()?, other.clone()?);
            Some(if lake == other {
                Likeness::Same(format!("{field}={lake}"))
            } else {
                Likeness::Other(Difference { field, lake, other })
            })
        })
    }

    /// Whether another record is of the same tenant, by the field that says most; `None` where nobody knows.
    pub(crate) fn likeness(&self, other: &Self) -> Option<Likeness> {
        self.compare(other).next()
    }
}

/// A tenant's number has come as a number and as text, a GUID in any case.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_ascii_lowercase()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Whether records that come are of the lake's tenant. One field of one record that agrees is enough: what
/// is refused may be forgotten before somebody looks.
struct Comparison<'l> {
    lake: &'l TenantIds,
    same: Option<Likeness>,
    other: Option<Likeness>,
}

impl<'l> Comparison<'l> {
    fn with(lake: &'l TenantIds) -> Self {
        let (same, other) = (None, None);
        Self { lake, same, other }
    }

    /// Takes in a record.
    fn take(&mut self, record: &Value) {
        let Some(ids) = TenantIds::of(record) else {
            return;
        };
        for likeness in self.lake.compare(&ids) {
            let seen = match &likeness {
                Likeness::Same(_) => &mut self.same,
                Likeness::Other(_) => &mut self.other,
            };
            seen.get_or_insert(likeness);
        }
    }

    /// What came of it; `None` where nobody knows.
    fn end(self) -> Option<Likeness> {
        self.same.or(self.other)
    }
}

/// Compares records of the service with the lake's; `None` where nobody knows.
///
/// # Errors
/// The store.
pub(crate) async fn compare_with_lake(
    store: &Store,
    records: &[Value],
) -> Result<Option<Likeness>, JobError> {
    let committed = commit::committed_slices(store).await?;
    let kept = kept_record(store, &committed).await?;
    Ok(kept.tenant().and_then(|lake| {
        let mut comparison = Comparison::with(&lake);
        for record in records {
            comparison.take(record);
        }
        comparison.end()
    }))
}

/// Whose the records of a lake are, once somebody asks: most runs of a quiet tenant bring no rows.
#[derive(Debug)]
pub(crate) struct LakeTenant {
    /// The newest slices that were committed when the run began, the newest first.
    slices: Vec<String>,
    ids: OnceCell<Option<TenantIds>>,
}

impl LakeTenant {
    /// Of a lake with these slices.
    pub(crate) fn of(committed: &BTreeSet<String>) -> Self {
        Self {
            slices: newest(committed),
            ids: OnceCell::new(),
        }
    }

    /// What its records say, if there are any.
    ///
    /// # Errors
    /// The store.
    pub(crate) async fn ids(&self, store: &Store) -> Result<Option<&TenantIds>, JobError> {
        let look = async || Ok(look_at_kept(store, &self.slices).await?.tenant());
        self.ids.get_or_try_init(look).await.map(Option::as_ref)
    }
}

/// Whether the records of a slice, or of a span, are of the lake's tenant.
#[derive(Default)]
pub(crate) struct TenantCheck {
    looked_at: usize,
    /// What the records say so far.
    likeness: Option<Likeness>,
}

impl TenantCheck {
    /// Takes in the next records; no more of them are made than are looked at. Of a lake that does not say
    /// whose it is nothing is refused.
    pub(crate) fn look_at(
        &mut self,
        records: impl Iterator<Item = Value>,
        lake: Option<&TenantIds>,
    ) {
        let left = RECORDS_LOOKED_AT - self.looked_at;
        let is_settled = matches!(self.likeness, Some(Likeness::Same(_)));
        let Some(lake) = lake.filter(|_| !is_settled) else {
            return;
        };
        let mut comparison = Comparison::with(lake);
        for record in records.take(left) {
            self.looked_at += 1;
            comparison.take(&record);
            if comparison.same.is_some() {
                break;
            }
        }
        let likeness = comparison.end();
        self.likeness = likeness.or_else(|| self.likeness.take());
    }

    /// Refuses a slice with records that say whose they are, none of which agrees with the lake in any field.
    pub(crate) fn end(self, slice: Slice) -> Result<(), JobError> {
        match self.likeness {
            Some(Likeness::Other(difference)) => Err(JobError::OtherTenant {
                slice: Some(slice),
                difference: Box::new(difference),
            }),
            Some(Likeness::Same(_)) | None => Ok(()),
        }
    }
}

/// The records that some rows were.
pub(crate) fn records_of(rows: &RecordBatch) -> impl Iterator<Item = Value> {
    let restorer = RecordRestorer::new(schema::activity(), rows);
    let restored = move |row| {
        let mut text = String::new();
        restorer.as_ref()?.restore(row, &mut text);
        serde_json::from_str(&text).ok()
    };
    (0..rows.num_rows()).filter_map(restored)
}

/// What is there where a record was looked for.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    Record(Value),
    /// Records, none of which can be read.
    Unreadable,
    Nothing,
}

impl Found {
    /// The record that a text is, if it is one.
    pub(crate) fn of(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(record @ Value::Object(_)) => Self::Record(record),
            Ok(_) | Err(_) => Self::Unreadable,
        }
    }

    /// What the record says of its tenant.
    pub(crate) fn tenant(&self) -> Option<TenantIds> {
        match self {
            Self::Record(record) => TenantIds::of(record),
            Self::Unreadable | Self::Nothing => None,
        }
    }

    /// Looks at the first record of a file, for one that says whose it is. A file that is gone, or damaged,
    /// costs itself only.
    async fn look_at(&mut self, store: &Store, path: &str, bytes: u64) -> Result<(), JobError> {
        let seen = match read::first_record(store, path, bytes, &TENANT_FIELDS).await {
            Ok(None) | Err(ReadError::Gone { .. }) => return Ok(()),
            Ok(Some(text)) => Self::of(&text),
            Err(ReadError::Store(error)) => return Err(error.into()),
            Err(_) => Self::Unreadable,
        };
        if !matches!(self, Self::Record(_)) || seen.tenant().is_some() {
            *self = seen;
        }
        Ok(())
    }
}

/// A record of the lake, as new as possible, that says whose it is; else any that was looked at. Only its
/// fields that say so are there.
///
/// # Errors
/// The store.
pub(crate) async fn kept_record(
    store: &Store,
    committed: &BTreeSet<String>,
) -> Result<Found, JobError> {
    look_at_kept(store, &newest(committed)).await
}

/// The slices that are looked at.
fn newest(committed: &BTreeSet<String>) -> Vec<String> {
    let newest = committed.iter().rev().take(OBJECTS_LOOKED_AT);
    newest.cloned().collect()
}

async fn look_at_kept(store: &Store, slices: &[String]) -> Result<Found, JobError> {
    let mut found = Found::Nothing;
    for slice in slices {
        let commit = match Commit::load(store, slice).await {
            Ok(commit) => commit,
            Err(CommitError::Damaged { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(file) = commit.and_then(|commit| commit.files.into_iter().next()) {
            found.look_at(store, &file.path, file.bytes).await?;
        }
        if found.tenant().is_some() {
            return Ok(found);
        }
    }
    if slices.is_empty() {
        return Ok(found);
    }
    // Quiet weeks; or compactions have taken the files.
    let mut files = match table::files(store).await {
        Ok(files) => files,
        Err(error) if error.store().is_none() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    files.sort_by_key(|file| Reverse(file.name.key));
    for file in files.iter().take(OBJECTS_LOOKED_AT) {
        let FileName {
            key,
            slice,
            attempt,
            number,
        } = &file.name;
        let path = layout::file_path(*key, slice, attempt, *number);
        found.look_at(store, path.as_ref(), file.bytes).await?;
        if found.tenant().is_some() {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ids(record: &Value) -> Option<TenantIds> {
        TenantIds::of(record)
    }

    #[test]
    fn the_entra_tenant_decides_and_then_the_number() {
        let same = |text: &str| Some(Likeness::Same(text.to_owned()));
        let other = |field, lake: &str, other: &str| {
            let (lake, other) = (lake.to_owned(), other.to_owned());
            Some(Likeness::Other(Difference { field, lake, other }))
        };
        let lake = ids(&json!({"aadTenantId": "AB-1", "tenantId": 7})).unwrap();
        for (host, expected) in [
            (
                json!({"aadTenantId": "ab-1", "tenantId": 8}),
                same("aadTenantId=ab-1"),
            ),
            (json!({"tenantId": "7"}), same("tenantId=7")),
            (
                json!({"aadTenantId": "cd-2", "tenantId": 7}),
                other("aadTenantId", "ab-1", "cd-2"),
            ),
            (json!({"tenantId": 8}), other("tenantId", "7", "8")),
            (json!({}), None),
            (json!({"tenantId": null, "aadTenantId": []}), None),
        ] {
            let likeness = ids(&host).and_then(|host| lake.likeness(&host));
            assert_eq!(likeness, expected, "{host}");
        }
    }

    #[test]
    fn one_field_of_one_record_that_agrees_is_enough() {
        let lake = ids(&json!({"aadTenantId": "ab-1", "tenantId": 7})).unwrap();
        let guest = json!({"aadTenantId": "cd-2"});
        let other = json!({"aadTenantId": "cd-2", "tenantId": 8});
        let moved = json!({"aadTenantId": "AB-1", "tenantId": 9});
        let silent = json!({"_id": "x"});
        let agrees = |records: &[&Value]| {
            let mut comparison = Comparison::with(&lake);
            for record in records {
                comparison.take(record);
            }
            comparison
                .end()
                .map(|likeness| matches!(likeness, Likeness::Same(_)))
        };
        for (records, expected) in [
            (&[&silent][..], None),
            (&[&silent, &guest], Some(false)),
            (&[&other, &guest], Some(false)),
            (&[&other, &moved], Some(true)),
            (&[&moved, &other], Some(true)),
        ] {
            assert_eq!(agrees(records), expected, "{records:?}");
        }
    }
}
