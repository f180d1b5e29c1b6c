//! The tenant's host changes: a region move, a name of its own. Recorded once, when somebody says so.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::Value;

use crate::commit::{self, Change, ChangeKind, Commit, Identity};
use crate::error::{JobError, UsageError};
use crate::job::context::World;
use crate::job::report::RunReport;
use crate::job::setup::{JobOptions, Setup};
use crate::read;
use crate::store::{Creation, Store};
use crate::text::outline::Elements;
use crate::window::Slice;

/// The fields of a record that say whose it is, the one that says most first: the Entra tenant stays
/// the same wherever the service keeps it; the service's own number may not.
const TENANT_FIELDS: [&str; 2] = ["aadTenantId", "tenantId"];
/// Days back in which the service is asked for a record.
const ASKED_DAYS: [i64; 2] = [1, 28];
/// Commits that are looked at for one with rows.
const COMMITS_LOOKED_AT: usize = 200;

/// Whether two hosts answer for one tenant.
#[derive(Debug, PartialEq, Eq)]
enum Likeness {
    /// This field, with this value, is in records of both.
    Same(String),
    /// This field is in records of both, and differs: its name, the lake's value and the host's.
    Other(&'static str, String, String),
}

/// What is there where a record was looked for.
#[derive(Debug, PartialEq)]
enum Found {
    Record(Value),
    /// Records, none of which can be read.
    Unreadable,
    Nothing,
}

/// Makes sure that the lake has the host of this run: where somebody says that it changed, and it
/// does not answer for another tenant, the change is recorded.
pub(crate) async fn record(
    options: &JobOptions,
    world: &World,
    setup: &Setup,
    report: &mut RunReport,
) -> Result<(), JobError> {
    let identity = &setup.identity;
    let Some(from) = setup.former_host.clone() else {
        return Ok(());
    };
    let to = identity.api_host.clone();
    let tenant = match compare(options, world, setup).await? {
        Ok(Likeness::Same(tenant)) => Ok(tenant),
        Ok(Likeness::Other(field, lake, host)) => {
            return Err(JobError::OtherTenant { field, lake, host });
        }
        Err(why) => Err(why),
    };
    report.result.notes.push(match &tenant {
        Ok(tenant) => format!("the host changed from {from} to {to}; both have {tenant}"),
        Err(why) => format!("the host changed from {from} to {to}, unchecked: {why}"),
    });
    let tenant = tenant.ok();
    let change = Change::new(
        identity.changes.next_number(),
        report.head.run.clone(),
        world.clock.now_ms(),
        ChangeKind::ApiHost { from, to, tenant },
    );
    if change.create(&world.store).await? == Creation::Created {
        return Ok(());
    }
    // Another run was faster; what it wrote counts.
    match Identity::load(&world.store).await? {
        Some(now) if now.api_host == identity.api_host => Ok(()),
        _ => Err(UsageError::new(
            "cannot change the lake's host: another run has just changed it to another one",
        )
        .advise("check the host with `status`")
        .into()),
    }
}

/// Compares a record of the lake with one of the host; or says why nothing can be compared.
async fn compare(
    options: &JobOptions,
    world: &World,
    setup: &Setup,
) -> Result<Result<Likeness, &'static str>, JobError> {
    const NO_RECORDS: &str = "there are no records to compare";
    let Some(kept) = kept_record(&world.store).await?.record_of("the lake")? else {
        return Ok(Err(NO_RECORDS));
    };
    let asked = asked_record(options, world, setup).await?;
    let Some(asked) = asked.record_of("the host")? else {
        return Ok(Err(NO_RECORDS));
    };
    Ok(likeness(&kept, &asked).ok_or("the records compared do not both say whose they are"))
}

impl Found {
    /// The record that a text is, if it is one.
    fn of(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(record @ Value::Object(_)) => Self::Record(record),
            Ok(_) | Err(_) => Self::Unreadable,
        }
    }

    /// The first record of an array that can be read: one that cannot costs itself and not the others.
    fn in_array(text: &str) -> Self {
        let Ok(mut elements) = Elements::of(text, 0) else {
            return Self::Unreadable;
        };
        let mut found = Self::Nothing;
        while !found.is_record() {
            match elements.next(text) {
                Ok(Some(range)) => found = Self::of(&text[range]),
                Ok(None) => break,
                Err(_) => return Self::Unreadable,
            }
        }
        found
    }

    /// Takes in one more record, if there is any.
    fn look_at(&mut self, text: Option<String>) {
        if let Some(text) = text {
            *self = Self::of(&text);
        }
    }

    fn is_record(&self) -> bool {
        matches!(self, Self::Record(_))
    }

    /// The record, where there is any: records that cannot be read do not say that nobody has any.
    fn record_of(self, whose: &str) -> Result<Option<Value>, JobError> {
        match self {
            Self::Record(record) => Ok(Some(record)),
            Self::Nothing => Ok(None),
            Self::Unreadable => Err(UsageError::new(format!(
                "cannot change the lake's host: none of the records of {whose} that were looked at can be read, so that they cannot be compared"
            ))
            .advise("use another --lake for this host")
            .into()),
        }
    }
}

fn likeness(kept: &Value, asked: &Value) -> Option<Likeness> {
    TENANT_FIELDS.into_iter().find_map(|field| {
        let (lake, host) = (text_of(kept.get(field)?), text_of(asked.get(field)?));
        Some(if lake == host {
            Likeness::Same(format!("{field}={lake}"))
        } else {
            Likeness::Other(field, lake, host)
        })
    })
}

/// A tenant's number has come as a number and as text, a GUID in any case.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_ascii_lowercase(),
        value => value.to_string(),
    }
}

/// A record of the newest slice that has one that can be read.
async fn kept_record(store: &Store) -> Result<Found, JobError> {
    let committed = commit::committed_slices(store).await?;
    let mut found = Found::Nothing;
    for slice in committed.iter().rev().take(COMMITS_LOOKED_AT) {
        let Some(commit) = Commit::load(store, slice).await? else {
            continue;
        };
        let Some(file) = commit.files.first() else {
            continue;
        };
        match read::first_record(store, &file.path, file.bytes).await {
            // A compaction has taken it, perhaps: any live file has records of the same tenant.
            Err(error) if error.gone().is_some() => return live_record(store).await,
            record => found.look_at(record?),
        }
        if found.is_record() {
            break;
        }
    }
    Ok(found)
}

/// The same of a live file.
async fn live_record(store: &Store) -> Result<Found, JobError> {
    let (mut files, _) = commit::live_files(store).await?;
    files.sort_by_key(|file| Reverse(file.timestamp_max_ms));
    let mut found = Found::Nothing;
    for file in files.iter().take(COMMITS_LOOKED_AT) {
        found.look_at(read::first_record(store, &file.path, file.bytes).await?);
        if found.is_record() {
            break;
        }
    }
    Ok(found)
}

/// A record that the host has now.
async fn asked_record(
    options: &JobOptions,
    world: &World,
    setup: &Setup,
) -> Result<Found, JobError> {
    let scan_options = Arc::new(setup.scan_options(options));
    let mut found = Found::Nothing;
    for days in ASKED_DAYS {
        let range = Slice::minutes_before(world.clock.now_ms(), days * 24 * 60);
        let asked = world.client.ask(range, &scan_options).await?;
        match Found::in_array(&asked.records) {
            Found::Nothing => {}
            some => found = some,
        }
        if found.is_record() {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_entra_tenant_decides_and_then_the_number() {
        let same = |text: &str| Some(Likeness::Same(text.to_owned()));
        let lake = json!({"aadTenantId": "AB-1", "tenantId": 7});
        for (host, expected) in [
            (
                json!({"aadTenantId": "ab-1", "tenantId": 8}),
                same("aadTenantId=ab-1"),
            ),
            (json!({"tenantId": "7"}), same("tenantId=7")),
            (
                json!({"aadTenantId": "cd-2", "tenantId": 7}),
                Some(Likeness::Other("aadTenantId", "ab-1".into(), "cd-2".into())),
            ),
            (
                json!({"tenantId": 8}),
                Some(Likeness::Other("tenantId", "7".into(), "8".into())),
            ),
            (json!({}), None),
        ] {
            assert_eq!(likeness(&lake, &host), expected, "{host}");
        }
    }

    /// One record that `serde_json` refuses does not hide the others, nor that there are any.
    #[test]
    fn records_are_read_one_by_one() {
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(200), "]".repeat(200));
        let record = || Found::Record(json!({"tenantId": 7}));
        for odd in [r#"{"a": NaN}"#, r#"{"a": "\ud800"}"#, &deep, "1"] {
            let array = format!(r#"[{odd}, {{"tenantId": 7}}]"#);
            assert_eq!(Found::in_array(&array), record(), "{odd}");
            assert_eq!(Found::in_array(&format!("[{odd}]")), Found::Unreadable);
        }
        for array in ["[]", " [ ] "] {
            assert_eq!(Found::in_array(array), Found::Nothing);
        }
        assert_eq!(Found::in_array("{}"), Found::Unreadable);
        assert!(Found::Unreadable.record_of("the host").is_err());
        assert_eq!(Found::Nothing.record_of("the host").unwrap(), None);
    }
}
