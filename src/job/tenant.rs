//! Whose records these are: a lake has those of one tenant.
//!
//! A refusal in vain would cost what the service forgets meanwhile, so a few odd records condemn nothing: one
//! id that agrees is enough, and where none does, what else the service has of late is asked for first.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::RecordBatch;
use serde_json::Value;
use tokio::sync::{OnceCell, RwLock};

use crate::commit::{self, Commit, CommitError};
use crate::error::{Difference, JobError};
use crate::layout::{self, FileName};
use crate::read::{self, ReadError, RecordRestorer};
use crate::schema;
use crate::store::Store;
use crate::table;
use crate::text::outline::Elements;
use crate::text::units::counted;

/// The fields of a record that say whose it is, the one that says most first: the Entra tenant stays
/// the same wherever the service keeps it; the service's own number may not.
const TENANT_FIELDS: [&str; 2] = ["aadTenantId", "tenantId"];
/// The newest commits that are looked at for files.
const COMMITS_LOOKED_AT: usize = 20;
/// The files that are looked at for records that say whose they are.
const FILES_LOOKED_AT: usize = 4;
/// Records of each that are looked at.
const RECORDS_OF_A_FILE: usize = 1_000;
/// Records of a slice that are looked at for one of the lake's tenant.
const RECORDS_LOOKED_AT: usize = 1_000;

/// Where a lake does not say whose it is, so many records of a slice do for the rest of the run, if they are of
/// one tenant.
const RECORDS_TO_TELL: usize = 20;

/// Days back in which the service is asked whose its records are, one after the other.
pub(crate) const ASKED_DAYS: [i64; 2] = [1, 28];
/// The records that it is asked for, each time.
pub(crate) const ASKED_RECORDS: u32 = 100;
/// The same where a run got no record at all, before another tenant is suspected.
pub(crate) const FEW_RECORDS: u32 = 20;

/// What records say of their tenant, field by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TenantIds([BTreeSet<String>; 2]);

/// Whether two sets of records are of one tenant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// This field, with this value, is in both.
    Same(String),
    /// This field is in both, and differs.
    Other(Difference),
}

impl TenantIds {
    /// What a record says.
    pub(crate) fn of(record: &Value) -> Self {
        let mut ids = Self::default();
        ids.add([record]);
        ids
    }

    /// What records say more.
    fn add<'r>(&mut self, records: impl IntoIterator<Item = &'r Value>) {
        for record in records {
            for (field, ids) in TENANT_FIELDS.iter().zip(&mut self.0) {
                ids.extend(record.get(field).and_then(id_of));
            }
        }
    }

    /// What others say more.
    pub(crate) fn add_all(&mut self, other: &Self) {
        for (ids, more) in self.0.iter_mut().zip(&other.0) {
            ids.extend(more.iter().cloned());
        }
    }

    /// Whether they are of one tenant.
    fn is_of_one(&self) -> bool {
        self.0.iter().all(|ids| ids.len() <= 1)
    }

    /// Whether they say nothing.
    fn is_empty(&self) -> bool {
        self.0.iter().all(BTreeSet::is_empty)
    }

    /// What the fields say that are in both, the one that says most first.
    fn compare(&self, other: &Self) -> impl Iterator<Item = Likeness> {
        let fields = TENANT_FIELDS.into_iter().zip(self.0.iter().zip(&other.0));
        fields.filter_map(|(field, (lake, other))| {
            if let Some(same) = lake.intersection(other).next() {
                return Some(Likeness::Same(format!("{field}={same}")));
            }
            let (lake, other) = (lake.first()?.clone(), other.first()?.clone());
            Some(Likeness::Other(Difference { field, lake, other }))
        })
    }

    /// The same by any field: one that agrees is enough.
    pub(crate) fn any_likeness(&self, other: &Self) -> Option<Likeness> {
        let (same, others): (Vec<_>, Vec<_>) = self
            .compare(other)
            .partition(|likeness| matches!(likeness, Likeness::Same(_)));
        same.into_iter().chain(others).next()
    }

    /// Whether other records are of the same tenant, by the field that says most; `None` where nobody knows.
    pub(crate) fn likeness(&self, other: &Self) -> Option<Likeness> {
        self.compare(other).next()
    }
}

/// An id as it is compared: a number has come as a number and as text, a GUID in any case. Nothing but zeros
/// is no id.
fn id_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_ascii_lowercase(),
        Value::Number(number) => match number.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "it is a whole number")]
            Some(whole) if whole.fract() == 0.0 && whole.abs() < 1e15 => (whole as i64).to_string(),
            _ => number.to_string(),
        },
        _ => return None,
    };
    let text = text.trim_matches(['{', '}']).to_owned();
    let is_any = text.bytes().any(|byte| byte != b'0' && byte != b'-');
    is_any.then_some(text)
}

/// Compares records of the service with the lake's; `None` where nobody knows.
///
/// # Errors
/// The store.
pub(crate) async fn compare_with_lake(
    store: &Store,
    records: &[Value],
) -> Result<Option<Likeness>, JobError> {
    let lake = LakeTenant::of(&commit::committed_slices(store).await?);
    let mut seen = TenantIds::default();
    seen.add(records);
    let likeness = lake.all_ids(store).await;
    Ok(likeness.and_then(|lake| lake.any_likeness(&seen)))
}

/// Whose the records of a lake are, once somebody asks: most runs of a quiet tenant bring no rows.
#[derive(Debug)]
pub(crate) struct LakeTenant {
    /// The newest slices that were committed when the run began, the newest first.
    slices: Vec<String>,
    /// The records of its newest file that says whose it is.
    newest: OnceCell<Found>,
    /// Those of more files, for where these differ.
    more: OnceCell<Found>,
    /// Where they do not say it, what the records of a slice of this run do.
    told: OnceLock<TenantIds>,
    refused: OnceLock<Difference>,
    /// Whether a record of the lake's tenant came in this run, or the service was asked for one.
    has_met: AtomicBool,
    /// Slices with records none of which is of the lake's tenant, though others of the service are.
    foreign: AtomicU64,
    /// Slices with records none of which says whose it is.
    silent: AtomicU64,
    /// Held while it is asked whether to refuse.
    doubt: RwLock<()>,
}

impl LakeTenant {
    /// Of a lake with these slices.
    pub(crate) fn of(committed: &BTreeSet<String>) -> Self {
        Self {
            slices: newest(committed),
            newest: OnceCell::new(),
            more: OnceCell::new(),
            told: OnceLock::new(),
            refused: OnceLock::new(),
            has_met: AtomicBool::new(false),
            foreign: AtomicU64::new(0),
            silent: AtomicU64::new(0),
            doubt: RwLock::new(()),
        }
    }

    /// What its newest records say, if they say anything.
    pub(crate) async fn ids(&self, store: &Store) -> Option<&TenantIds> {
        let look = || look_at_kept(store, &self.slices, Enough::Any);
        let newest = self.newest.get_or_init(look).await;
        newest.ids().or_else(|| self.told.get())
    }

    /// The same of more of them: the newest file may have nothing but an odd record.
    pub(crate) async fn all_ids(&self, store: &Store) -> Option<&TenantIds> {
        let look = || look_at_kept(store, &self.slices, Enough::All);
        let more = self.more.get_or_init(look).await;
        more.ids().or_else(|| self.told.get())
    }

    /// Takes note of whose the records of a slice are, where the lake does not say it.
    pub(crate) fn learn(&self, tenant: TenantIds) {
        // They came in this run.
        self.met();
        // The first of several tells it.
        let _ = self.told.set(tenant);
    }

    /// Takes note that the service answers for another tenant: nothing more of this run is committed.
    pub(crate) fn refuse(&self, difference: Difference) {
        // The first of several says it.
        let _ = self.refused.set(difference);
    }

    /// Takes note that a record of the lake's tenant came, or that the service was asked for one.
    pub(crate) fn met(&self) {
        self.has_met.store(true, Ordering::Relaxed);
    }

    /// Whether that is known of this run.
    pub(crate) fn has_met(&self) -> bool {
        self.has_met.load(Ordering::Relaxed)
    }

    /// Takes note of a slice with records of others, though the service answers for the lake's tenant.
    pub(crate) fn met_foreign(&self) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note of a slice of which no record says whose it is.
    pub(crate) fn met_silent(&self) {
        self.silent.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether another slice was found to be another tenant's.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.get().is_some()
    }

    /// Begins to ask whether to refuse: until that is known nobody else learns that nothing is.
    pub(crate) async fn doubt(&self) -> impl Sized {
        self.doubt.write().await
    }

    /// What was refused, once nobody is in doubt.
    pub(crate) async fn refused(&self) -> Option<&Difference> {
        let _settled = self.doubt.read().await;
        self.refused.get()
    }

    /// What the user should know at the end of a run that has committed so many slices.
    pub(crate) fn remarks(&self, committed: u64) -> impl Iterator<Item = String> {
        let count = |slices: &AtomicU64| slices.load(Ordering::Relaxed);
        let said = |slices: u64, what: &str| {
            (slices > 0).then(|| format!("{} {what}", counted(slices, "slice has", "slices have")))
        };
        let foreign = said(
            count(&self.foreign),
            "no record of the lake's tenant, though the service has others that are; look at tenant_id and aad_tenant_id",
        );
        let silent = said(
            count(&self.silent),
            "no record that says whose it is; look at tenant_id and aad_tenant_id",
        );
        let unchecked = self.unchecked(committed);
        [unchecked, foreign, silent].into_iter().flatten()
    }

    fn unchecked(&self, committed: u64) -> Option<String> {
        if self.is_refused() && committed > 0 {
            let slices = counted(committed, "slice was", "slices were");
            return Some(format!(
                "{slices} committed before a record of another tenant came; those without records may have some in the lake's own tenant"
            ));
        }
        let why = match self.newest.get()? {
            Found::Unreadable => "its newest files cannot be read",
            Found::Records(ids) if ids.is_empty() => "its newest records do not say whose they are",
            Found::Records(_) | Found::Nothing => return None,
        };
        Some(format!(
            "whether the records are of the lake's tenant was not checked: {why}"
        ))
    }
}

/// Whether the records of a slice, or of a span, are of the lake's tenant.
#[derive(Default)]
pub(crate) struct TenantCheck {
    looked_at: usize,
    /// Those that say whose they are.
    telling: usize,
    seen: TenantIds,
    is_same: bool,
}

impl TenantCheck {
    /// Takes in the next records; no more of them are made than are looked at, until one agrees.
    pub(crate) fn look_at(
        &mut self,
        records: impl Iterator<Item = Value>,
        lake: Option<&TenantIds>,
    ) {
        if self.is_same {
            return;
        }
        let most = lake.map_or(RECORDS_TO_TELL, |_| RECORDS_LOOKED_AT);
        for record in records.take(most.saturating_sub(self.looked_at)) {
            self.looked_at += 1;
            let ids = TenantIds::of(&record);
            self.telling += usize::from(!ids.is_empty());
            let likeness = lake.and_then(|lake| lake.any_likeness(&ids));
            if matches!(likeness, Some(Likeness::Same(_))) {
                self.is_same = true;
                return;
            }
            self.seen.add_all(&ids);
        }
    }

    /// Whether one of the records is of the lake's tenant.
    pub(crate) fn is_same(&self) -> bool {
        self.is_same
    }

    /// Whether there are records, and none says whose it is.
    pub(crate) fn is_silent(&self) -> bool {
        self.looked_at > 0 && self.telling == 0
    }

    /// What the records say, where they are many and of one tenant.
    pub(crate) fn told(&self) -> Option<&TenantIds> {
        let is_told = self.telling >= RECORDS_TO_TELL && self.seen.is_of_one();
        is_told.then_some(&self.seen)
    }

    /// What the records say, where none of them agrees with the lake's newest.
    pub(crate) fn doubtful(self) -> Option<TenantIds> {
        (!self.is_same && !self.seen.is_empty()).then_some(self.seen)
    }
}

/// The records that some rows were. Of most pages nobody asks for one, and then nothing is made of it.
pub(crate) fn records_of(rows: &RecordBatch) -> impl Iterator<Item = Value> {
    let mut made = None;
    let record_of = move |row| {
        let restorer = made.get_or_insert_with(|| RecordRestorer::new(schema::activity(), rows));
        let mut text = String::new();
        restorer.as_ref()?.restore(row, &mut text);
        serde_json::from_str(&text).ok()
    };
    (0..rows.num_rows()).filter_map(record_of)
}

/// The records that some rejects were, by the lines that are kept of them.
pub(crate) fn records_of_rejects(lines: &str) -> impl Iterator<Item = Value> {
    let texts = lines.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        serde_json::from_str(line.get("text")?.as_str()?).ok()
    });
    texts.filter(Value::is_object)
}

/// What is there where records were looked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Some, and what they say.
    Records(TenantIds),
    /// Some, none of which can be read.
    Unreadable,
    Nothing,
}

impl Found {
    /// The record that a text is, if it is one.
    fn of(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(record @ Value::Object(_)) => Self::Records(TenantIds::of(&record)),
            Ok(_) | Err(_) => Self::Unreadable,
        }
    }

    /// Records that were read.
    pub(crate) fn of_values(records: &[Value]) -> Self {
        if records.is_empty() {
            return Self::Nothing;
        }
        let mut ids = TenantIds::default();
        ids.add(records);
        Self::Records(ids)
    }

    /// The records of an array, each by itself: one that cannot be read costs itself and not the others.
    pub(crate) fn of_array(text: &str) -> Self {
        let Ok(mut elements) = Elements::of(text, 0) else {
            return Self::Unreadable;
        };
        let mut found = Self::Nothing;
        loop {
            match elements.next(text) {
                Ok(Some(range)) => found.add(Self::of(&text[range])),
                Ok(None) => return found,
                Err(_) => {
                    found.add(Self::Unreadable);
                    return found;
                }
            }
        }
    }

    /// What was found elsewhere, too.
    pub(crate) fn add(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Records(ids), Self::Records(more)) => ids.add_all(&more),
            (Self::Records(_), _) | (_, Self::Nothing) => {}
            (_, other) => *self = other,
        }
    }

    /// What the records say, if they say anything.
    pub(crate) fn ids(&self) -> Option<&TenantIds> {
        match self {
            Self::Records(ids) => Some(ids).filter(|ids| !ids.is_empty()),
            Self::Unreadable | Self::Nothing => None,
        }
    }

    fn is_enough(&self, enough: Enough) -> bool {
        enough == Enough::Any && self.ids().is_some()
    }

    /// Looks at the records of a file. Returns whether the store gave an answer: one that fails would fail
    /// again, and no archive waits for that.
    async fn look_at(&mut self, store: &Store, path: &str, bytes: u64) -> bool {
        let records = read::first_records(store, path, bytes, &TENANT_FIELDS, RECORDS_OF_A_FILE);
        let seen = records.await;
        let is_answered = !matches!(seen, Err(ReadError::Store(_)));
        let texts = seen.unwrap_or_default();
        if texts.is_empty() {
            self.add(Self::Unreadable);
        }
        for text in &texts {
            self.add(Self::of(text));
        }
        is_answered
    }
}

/// How many files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Enough {
    /// Until one says whose it is.
    Any,
    /// As many as are ever looked at.
    All,
}

/// What records of the lake, as new as possible, say of their tenant.
pub(crate) async fn kept_records(store: &Store, committed: &BTreeSet<String>) -> Found {
    look_at_kept(store, &newest(committed), Enough::All).await
}

/// The slices that are looked at.
fn newest(committed: &BTreeSet<String>) -> Vec<String> {
    let newest = committed.iter().rev().take(COMMITS_LOOKED_AT);
    newest.cloned().collect()
}

async fn look_at_kept(store: &Store, slices: &[String], enough: Enough) -> Found {
    let mut found = Found::Nothing;
    let mut left = FILES_LOOKED_AT;
    for slice in slices {
        let commit = match Commit::load(store, slice).await {
            Ok(commit) => commit,
            Err(CommitError::Damaged { .. }) => None,
            Err(_) => return Found::Unreadable,
        };
        let Some(file) = commit.and_then(|commit| commit.files.into_iter().next()) else {
            continue;
        };
        if !found.look_at(store, &file.path, file.bytes).await {
            return found;
        }
        left -= 1;
        if left == 0 || found.is_enough(enough) {
            break;
        }
    }
    if slices.is_empty() || found.is_enough(enough) {
        return found;
    }
    // Quiet weeks; or compactions have taken the files.
    let mut files = table::files(store).await.unwrap_or_default();
    files.sort_by_key(|file| Reverse(file.name.key));
    for file in files.iter().take(FILES_LOOKED_AT) {
        let FileName {
            key,
            slice,
            attempt,
            number,
        } = &file.name;
        let path = layout::file_path(*key, slice, attempt, *number);
        if !found.look_at(store, path.as_ref(), file.bytes).await || found.is_enough(enough) {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_entra_tenant_decides_and_then_the_number() {
        let same = |text: &str| Some(Likeness::Same(text.to_owned()));
        let other = |field, lake: &str, other: &str| {
            let (lake, other) = (lake.to_owned(), other.to_owned());
            Some(Likeness::Other(Difference { field, lake, other }))
        };
        let lake = TenantIds::of(&json!({"aadTenantId": "AB-1", "tenantId": 7}));
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
            (json!({"tenantId": 0, "aadTenantId": " "}), None),
            (
                json!({"aadTenantId": "00000000-0000-0000-0000-000000000000"}),
                None,
            ),
            (json!({"aadTenantId": " {AB-1}"}), same("aadTenantId=ab-1")),
            (json!({"tenantId": 7.0}), same("tenantId=7")),
        ] {
            assert_eq!(lake.likeness(&TenantIds::of(&host)), expected, "{host}");
        }
    }

    #[test]
    fn one_field_of_one_record_that_agrees_is_enough() {
        let lake = TenantIds::of(&json!({"aadTenantId": "ab-1", "tenantId": 7}));
        let guest = json!({"aadTenantId": "cd-2"});
        let other = json!({"aadTenantId": "cd-2", "tenantId": 8});
        let moved = json!({"aadTenantId": "AB-1", "tenantId": 9});
        let silent = json!({"_id": "x"});
        let agrees = |records: &[&Value]| {
            let mut seen = TenantIds::default();
            seen.add(records.iter().copied());
            lake.any_likeness(&seen)
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

    /// A lake without records is told whose it is by many that say it, all of them alike.
    #[test]
    fn a_few_records_tell_nothing() {
        let of = |number: u32, times: usize| vec![json!({"tenantId": number}); times];
        let silent = |times: usize| vec![json!({}); times];
        for (records, is_told) in [
            (of(7, 20), true),
            (of(7, 30), true),
            (of(7, 19), false),
            ([of(7, 10), of(8, 10)].concat(), false),
            ([of(7, 1), silent(29)].concat(), false),
            (silent(30), false),
        ] {
            let mut check = TenantCheck::default();
            check.look_at(records.clone().into_iter(), None);
            assert_eq!(check.told().is_some(), is_told, "{records:?}");
        }
    }

    /// One record that `serde_json` refuses does not hide the others, nor that there are any.
    #[test]
    fn records_are_read_one_by_one() {
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(200), "]".repeat(200));
        let records = |texts: &[&str]| Found::of_array(&format!("[{}]", texts.join(", ")));
        let (seven, eight) = (r#"{"tenantId": 7}"#, r#"{"tenantId": "8"}"#);
        let both = TenantIds([BTreeSet::new(), ["7", "8"].map(str::to_owned).into()]);
        for odd in [r#"{"a": NaN}"#, r#"{"a": "\ud800"}"#, &deep, "1"] {
            let found = records(&[seven, odd, eight]);
            assert_eq!(found, Found::Records(both.clone()), "{odd}");
            assert_eq!(records(&[odd]), Found::Unreadable);
        }
        for array in ["[]", " [ ] "] {
            assert_eq!(Found::of_array(array), Found::Nothing);
        }
        assert_eq!(Found::of_array("{}"), Found::Unreadable);
        assert_eq!(Found::of_array(r#"[{"tenantId": 7}, {"#), Found::of(seven));
    }
}
