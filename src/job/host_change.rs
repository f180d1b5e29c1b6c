//! The tenant's host changes: a region move, a name of its own. Recorded once, when somebody says so.

use std::sync::Arc;

use crate::commit::{Change, ChangeKind, Identity};
use crate::error::{JobError, UsageError};
use crate::job::context::World;
use crate::job::planned::Planned;
use crate::job::report::RunReport;
use crate::job::tenant::{self, ASKED_DAYS, ASKED_RECORDS, Found, Likeness};
use crate::store::Creation;
use crate::window::Slice;

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

/// Compares records of the lake with those that the host has now; or says why nothing can be compared.
///
/// By the Entra tenant wherever both have one: the service's own number may be another tenant's at another host.
async fn compare(
    planned: &Planned,
    world: &World,
) -> Result<Result<Likeness, &'static str>, JobError> {
    let kept = tenant::kept_records(&world.store, &planned.known.committed).await;
    let mut asked = Found::Nothing;
    let mut compared = likeness(&kept, &asked);
    if !matches!(kept, Found::Records(_)) {
        return compared;
    }
    let options = Arc::new(planned.setup.scan_options(&planned.options));
    for days in ASKED_DAYS {
        let range = Slice::minutes_before(world.clock.now_ms(), days * 24 * 60);
        let answer = world.client.ask_up_to(ASKED_RECORDS, range, &options);
        let answer = world.unless_interrupted(answer).await??;
        asked.add(Found::of_array(&answer.records));
        // One odd record does not speak for a host.
        compared = likeness(&kept, &asked);
        if matches!(compared, Ok(Ok(Likeness::Same(_)))) {
            break;
        }
    }
    compared
}

/// Whether the records of a lake and those of a host are of one tenant, or why nobody knows.
///
/// # Errors
/// There are records, and none can be read.
pub(crate) fn likeness(
    kept: &Found,
    asked: &Found,
) -> Result<Result<Likeness, &'static str>, JobError> {
    if !is_record(kept, "the lake")? || !is_record(asked, "the host")? {
        return Ok(Err("there are no records to compare"));
    }
    let both = kept.ids().zip(asked.ids());
    let likeness = both.and_then(|(lake, host)| lake.likeness(host));
    Ok(likeness.ok_or("the records compared do not both say whose they are"))
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
