//! The tenant's host changes: a region move, a name of its own. Recorded once, when somebody says so.

use std::sync::Arc;

use crate::commit::{Change, ChangeKind, Identity};
use crate::error::{JobError, UsageError};
use crate::job::context::World;
use crate::job::planned::Planned;
use crate::job::report::RunReport;
use crate::job::setup::{JobOptions, Setup};
use crate::job::tenant::{self, Found, Likeness};
use crate::store::Creation;
use crate::text::outline::Elements;
use crate::window::Slice;

/// Days back in which the service is asked for a record.
const ASKED_DAYS: [i64; 2] = [1, 28];

/// Makes sure that the lake has the host of this run: where somebody says that it changed, and it
/// does not answer for another tenant, the change is recorded.
pub(crate) async fn record(
    planned: &Planned,
    world: &World,
    report: &mut RunReport,
) -> Result<(), JobError> {
    let setup = &planned.setup;
    let identity = &setup.identity;
    let Some(from) = setup.former_host.clone() else {
        return Ok(());
    };
    let to = identity.api_host.clone();
    let tenant = match compare(planned, world).await? {
        Ok(Likeness::Same(tenant)) => Ok(tenant),
        Ok(Likeness::Other(difference)) => {
            let (slice, difference) = (None, Box::new(difference));
            return Err(JobError::OtherTenant { slice, difference });
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
    planned: &Planned,
    world: &World,
) -> Result<Result<Likeness, &'static str>, JobError> {
    const NO_RECORDS: &str = "there are no records to compare";
    let kept = tenant::kept_records(&world.store, &planned.known.committed).await;
    if !is_record(&kept, "the lake")? {
        return Ok(Err(NO_RECORDS));
    }
    let asked = asked_record(&planned.options, world, &planned.setup).await?;
    if !is_record(&asked, "the host")? {
        return Ok(Err(NO_RECORDS));
    }
    let both = kept.ids().zip(asked.ids());
    let likeness = both.and_then(|(lake, host)| lake.likeness(host));
    Ok(likeness.ok_or("the records compared do not both say whose they are"))
}

/// The first record of an array that can be read: one that cannot costs itself and not the others.
fn first_of_array(text: &str) -> Found {
    let Ok(mut elements) = Elements::of(text, 0) else {
        return Found::Unreadable;
    };
    let mut found = Found::Nothing;
    while !matches!(found, Found::Records(_)) {
        match elements.next(text) {
            Ok(Some(range)) => found = Found::of(&text[range]),
            Ok(None) => break,
            Err(_) => return Found::Unreadable,
        }
    }
    found
}

/// Whether there is a record. Those that cannot be read do not say that there is none.
fn is_record(found: &Found, whose: &str) -> Result<bool, JobError> {
    match found {
        Found::Records(_) => Ok(true),
        Found::Nothing => Ok(false),
        Found::Unreadable => Err(UsageError::new(format!(
            "cannot change the lake's host: none of the records of {whose} that were looked at can be read, so that they cannot be compared"
        ))
        .advise("use another --lake for this host")
        .into()),
    }
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
        match first_of_array(&asked.records) {
            Found::Nothing => {}
            some => found = some,
        }
        if matches!(found, Found::Records(_)) {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One record that `serde_json` refuses does not hide the others, nor that there are any.
    #[test]
    fn records_are_read_one_by_one() {
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(200), "]".repeat(200));
        let record = || Found::of(r#"{"tenantId": 7}"#);
        for odd in [r#"{"a": NaN}"#, r#"{"a": "\ud800"}"#, &deep, "1"] {
            let array = format!(r#"[{odd}, {{"tenantId": 7}}]"#);
            assert_eq!(first_of_array(&array), record(), "{odd}");
            assert_eq!(first_of_array(&format!("[{odd}]")), Found::Unreadable);
        }
        for array in ["[]", " [ ] "] {
            assert_eq!(first_of_array(array), Found::Nothing);
        }
        assert_eq!(first_of_array("{}"), Found::Unreadable);
        assert!(is_record(&Found::Unreadable, "the host").is_err());
        assert!(!is_record(&Found::Nothing, "the host").unwrap());
    }
}
