//! The tenant's host changes: a region move, a name of its own. Recorded once, when somebody says so.

use std::sync::Arc;

use serde_json::Value;

use crate::commit::{self, Change, ChangeKind, Commit, Identity};
use crate::error::{JobError, UsageError};
use crate::job::context::World;
use crate::job::report::RunReport;
use crate::job::setup::{JobOptions, Setup};
use crate::read;
use crate::store::{Creation, Store};
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
        Some(Likeness::Same(tenant)) => Some(tenant),
        Some(Likeness::Other(field, lake, host)) => {
            return Err(JobError::OtherTenant { field, lake, host });
        }
        None => None,
    };
    report.result.notes.push(match &tenant {
        Some(tenant) => format!("the host changed from {from} to {to}; both have {tenant}"),
        None => format!(
            "the host changed from {from} to {to}, unchecked: there are no records to compare"
        ),
    });
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

/// Compares a record of the lake with one of the host; `None` where either has none, or they share no
/// field that says whose they are.
async fn compare(
    options: &JobOptions,
    world: &World,
    setup: &Setup,
) -> Result<Option<Likeness>, JobError> {
    let Some(kept) = kept_record(&world.store).await? else {
        return Ok(None);
    };
    let Some(asked) = asked_record(options, world, setup).await? else {
        return Ok(None);
    };
    Ok(likeness(&kept, &asked))
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

/// A record of the newest slice that has any.
async fn kept_record(store: &Store) -> Result<Option<Value>, JobError> {
    let committed = commit::committed_slices(store).await?;
    for slice in committed.iter().rev().take(COMMITS_LOOKED_AT) {
        let Some(commit) = Commit::load(store, slice).await? else {
            continue;
        };
        if let Some(file) = commit.files.first() {
            match read::first_record(store, &file.path, file.bytes).await {
                // A compaction has taken it, perhaps: any live file has records of the same tenant.
                Err(error) if error.gone().is_some() => return any_record(store).await,
                record => return Ok(parsed(record?)),
            }
        }
    }
    Ok(None)
}

/// A record of a live file.
async fn any_record(store: &Store) -> Result<Option<Value>, JobError> {
    let (files, _) = commit::live_files(store).await?;
    let newest = files.iter().max_by_key(|file| file.timestamp_max_ms);
    match newest {
        Some(file) => Ok(parsed(
            read::first_record(store, &file.path, file.bytes).await?,
        )),
        None => Ok(None),
    }
}

fn parsed(record: Option<String>) -> Option<Value> {
    serde_json::from_str(&record?).ok()
}

/// A record that the host has now.
async fn asked_record(
    options: &JobOptions,
    world: &World,
    setup: &Setup,
) -> Result<Option<Value>, JobError> {
    let scan_options = Arc::new(setup.scan_options(options));
    for days in ASKED_DAYS {
        let range = Slice::minutes_before(world.clock.now_ms(), days * 24 * 60);
        let asked = world.client.ask(range, &scan_options).await?;
        let records: Vec<Value> = serde_json::from_str(&asked.records).unwrap_or_default();
        if let Some(record) = records.into_iter().find(Value::is_object) {
            return Ok(Some(record));
        }
    }
    Ok(None)
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
}
