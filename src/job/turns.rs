//! Runs of one lake take turns: a run leaves to an earlier one that lives the slices of its plan.
//!
//! No lock: whatever two runs do at once, the commits keep the lake whole. This spares the tenant's
//! budget, which two runs over one backlog would spend twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::TimeDelta;
use object_store::ObjectMeta;
use serde::Deserialize;
use tracing::info;

use crate::commit::caps;
use crate::error::JobError;
use crate::job::beat::{Beat, EVERY};
use crate::job::context::{World, run_stamp};
use crate::job::process::Fate;
use crate::job::report::{RUNNING, ReportWindow, Running};
use crate::layout::{self, OwnObject};
use crate::store::{Store, StoreErrorKind};
use crate::window::{Slice, TimeWindow};

/// A run whose report has not moved for this long has died: three of its reports are missing.
pub(crate) const DIED_AFTER: Duration = Duration::from_secs(3 * EVERY.as_secs());
/// A run that got no page and made no commit for this long does not get any further.
const STUCK_AFTER: Duration = Duration::from_secs(15 * 60);
/// How often a report is looked at of which nobody knows whether its run lives.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A run that began earlier is not at work any more.
const LONGEST_RUN: TimeDelta = TimeDelta::days(40);
/// Runs that are looked at for the reasons of gaps. Three weeks of hourly runs: a gap that no run
/// has met since then was never to be scanned, or nobody looks anyway.
pub(crate) const EXPLAINING_RUNS: usize = 500;
/// Running reports that are read. More are no runs.
const MOST_RUNS: usize = 64;

/// What a run does where another is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfRunning {
    /// It leaves to the other what the other is about to do.
    Yield,
    /// It does its own plan.
    Go,
}

/// The slices of a run, parted.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Those that it scans.
    pub(crate) mine: Vec<Slice>,
    /// Those that it leaves to another.
    pub(crate) left: Vec<Slice>,
    /// To which runs.
    pub(crate) to: BTreeSet<String>,
}

/// Another run whose report is fresh.
struct Other {
    run: String,
    meta: ObjectMeta,
    /// How old the report is, by the store's times.
    age: Duration,
    work: Work,
    running: Running,
}

/// What another run has planned.
struct Work {
    window: TimeWindow,
    /// Whether it does not ask for slices that are marked as unproven.
    skips_marked: bool,
}

impl Work {
    /// Whether a slice is among what it asks for; `marked` are those that are marked as unproven.
    fn has(&self, slice: &Slice, marked: &BTreeSet<String>) -> bool {
        slice.lies_in(self.window) && !(self.skips_marked && marked.contains(&slice.to_string()))
    }
}

/// A report that is watched: how old it was when, and what it was.
struct Watched {
    meta: ObjectMeta,
    age: Duration,
    since: Duration,
}

/// A run's place among the others.
pub(crate) struct Turns<'a> {
    world: &'a World,
    beat: &'a Beat<'a>,
    run: &'a str,
    if_running: IfRunning,
}

impl<'a> Turns<'a> {
    pub(crate) fn new(
        world: &'a World,
        beat: &'a Beat<'a>,
        run: &'a str,
        if_running: IfRunning,
    ) -> Self {
        Self {
            world,
            beat,
            run,
            if_running,
        }
    }

    /// Parts slices into those of this run and those of earlier ones that live. A run of which that
    /// is not known is watched, for three minutes at most. `marked` are the slices that are marked as
    /// unproven; `runs` are the lake's reports, where they were just listed, the own one among them.
    ///
    /// # Errors
    /// The store, or a signal.
    pub(crate) async fn look(
        &self,
        slices: Vec<Slice>,
        marked: &BTreeSet<String>,
        mut runs: Option<Runs>,
    ) -> Result<Turn, JobError> {
        if self.if_running == IfRunning::Go || slices.is_empty() {
            return Ok(Turn {
                mine: slices,
                ..Turn::default()
            });
        }
        let mut watched = BTreeMap::new();
        loop {
            let (mut at_work, mut unsure) = (Vec::new(), false);
            let listed = match runs.take() {
                Some(listed) => listed,
                None => list(&self.world.store, self.world.clock.now_ms()).await?,
            };
            for other in self.earlier(&slices, marked, &listed).await? {
                match self.lives(&other, &mut watched) {
                    Some(true) => at_work.push(other),
                    Some(false) => {}
                    None => unsure = true,
                }
            }
            if !unsure {
                return Ok(part(slices, marked, &at_work));
            }
            self.pause().await?;
        }
    }

    async fn pause(&self) -> Result<(), JobError> {
        let mut interrupted = self.world.interrupted.clone();
        tokio::select! {
            biased;
            _ = interrupted.wait_for(|interrupted| *interrupted) => Err(JobError::Interrupted),
            () = self.world.clock.sleep(LOOK_EVERY) => Ok(()),
        }
    }

    /// Whether a run lives; `None` where only time will tell.
    fn lives(&self, other: &Other, watched: &mut BTreeMap<String, Watched>) -> Option<bool> {
        let fate = other
            .running
            .process
            .as_ref()
            .map(|p| self.world.machine.fate(p));
        if let Some(Fate::Lives | Fate::Dead) = fate {
            return Some(fate == Some(Fate::Lives));
        }
        let now = self.world.clock.elapsed();
        let seen = watched.entry(other.run.clone()).or_insert_with(|| {
            info!(run = %other.run, "watching whether a run lives that began earlier");
            Watched {
                meta: other.meta.clone(),
                age: other.age,
                since: now,
            }
        });
        if seen.meta != other.meta {
            return Some(true);
        }
        (seen.age.saturating_add(now.saturating_sub(seen.since)) > DIED_AFTER).then_some(false)
    }

    /// The runs that began before this one, whose reports are fresh and say that they are at work on
    /// some of these slices, and have been getting on.
    async fn earlier(
        &self,
        slices: &[Slice],
        marked: &BTreeSet<String>,
        listed: &Runs,
    ) -> Result<Vec<Other>, JobError> {
        let Some(own) = listed.get(self.run) else {
            return Ok(Vec::new());
        };
        let put_ms = own.last_modified.timestamp_millis();
        let own = (self.beat.first_report_ms(put_ms), self.run);
        let now_ms =
            put_ms.saturating_add_unsigned(self.beat.age().as_millis().try_into().unwrap_or(0));
        let age = |meta: &ObjectMeta| {
            let age_ms = now_ms.saturating_sub(meta.last_modified.timestamp_millis());
            Duration::from_millis(u64::try_from(age_ms).unwrap_or(0))
        };
        let fresh = listed
            .iter()
            .rev()
            .filter(|(run, meta)| *run != self.run && age(meta) <= DIED_AFTER);
        let mut earlier = Vec::new();
        for (run, meta) in fresh.take(MOST_RUNS) {
            let Some((work, running)) = at_work(&self.world.store, meta).await? else {
                continue;
            };
            let first_ms = running
                .first_report_ms
                .unwrap_or(meta.last_modified.timestamp_millis());
            let age = age(meta);
            let is_stuck = Duration::from_secs(running.idle_s).saturating_add(age) > STUCK_AFTER;
            let concerns = slices.iter().any(|slice| work.has(slice, marked));
            if (first_ms, run.as_str()) < own && !is_stuck && concerns {
                earlier.push(Other {
                    run: run.clone(),
                    meta: meta.clone(),
                    age,
                    work,
                    running,
                });
            }
        }
        Ok(earlier)
    }
}

/// Parts slices into those that no other run is at work on, and the rest.
fn part(slices: Vec<Slice>, marked: &BTreeSet<String>, at_work: &[Other]) -> Turn {
    let mut turn = Turn::default();
    for slice in slices {
        match at_work.iter().find(|other| other.work.has(&slice, marked)) {
            None => turn.mine.push(slice),
            Some(other) => {
                turn.left.push(slice);
                turn.to.insert(other.run.clone());
            }
        }
    }
    turn
}

/// The last report of every run, by the run.
pub(crate) type Runs = BTreeMap<String, ObjectMeta>;

/// Lists the reports of a lake: in one of years, those of the last weeks are enough.
pub(crate) async fn list(store: &Store, now_ms: i64) -> Result<Runs, JobError> {
    let weeks_ago_ms = now_ms.saturating_sub(LONGEST_RUN.num_milliseconds());
    let (folder, weeks_ago) = (layout::runs(), layout::run(&run_stamp(weeks_ago_ms)));
    let reports = store.list_last(&folder, &weeks_ago, EXPLAINING_RUNS);
    let mut runs = Runs::new();
    for object in reports.await? {
        if let Some(OwnObject::Run { run }) = OwnObject::at(object.location.as_ref()) {
            let is_last = object.location == layout::last_report(&run);
            if is_last || !runs.contains_key(&run) {
                runs.insert(run, object);
            }
        }
    }
    Ok(runs)
}

/// What a running report says, as far as it matters to another run.
#[derive(Deserialize)]
struct View {
    status: String,
    window: Option<ReportWindow>,
    slices: Option<Skipped>,
    running: Option<Running>,
}

impl View {
    /// None where it has ended.
    fn work(self) -> Option<(Work, Running)> {
        let work = Work {
            window: self.window?.times()?,
            skips_marked: self.slices.is_none_or(|slices| slices.unproven_before > 0),
        };
        let running = self.running?;
        (self.status == RUNNING).then_some((work, running))
    }
}

/// The slices of its window that it does not ask for.
#[derive(Deserialize)]
struct Skipped {
    unproven_before: u64,
}

/// What a run is at work on, and how it stands; none where it has ended, or where nobody can read
/// what it says.
async fn at_work(store: &Store, meta: &ObjectMeta) -> Result<Option<(Work, Running)>, JobError> {
    let bytes = match store.get(&meta.location, caps::REPORT_BYTES).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == StoreErrorKind::Unfit => None,
        Err(error) => return Err(error.into()),
    };
    let view = bytes.and_then(|bytes| serde_json::from_slice::<View>(&bytes).ok());
    Ok(view.and_then(View::work))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Of marked slices, only who has passed over none asks for them.
    #[test]
    fn a_marked_slice_is_left_to_nobody_who_does_not_ask_for_it() {
        let slices: Vec<Slice> = [
            "20261119T1000Z-20261119T1100Z",
            "20261119T1100Z-20261119T1200Z",
        ]
        .map(|name| name.parse().unwrap())
        .into();
        let marked = BTreeSet::from([slices[0].to_string()]);
        let report = |slices: Value| {
            let view = json!({
                "status": RUNNING, "slices": slices,
                "window": {"from": "2026-11-19T00:00:00Z", "until": "2026-11-20T00:00:00Z"},
                "running": {"first_report_ms": 1, "idle_s": 0, "in_flight": []},
            });
            serde_json::from_value::<View>(view)
                .unwrap()
                .work()
                .unwrap()
        };
        for (said, left) in [
            (json!({"unproven_before": 1}), 1),
            (Value::Null, 1),
            (json!({"unproven_before": 0, "planned": 2}), 2),
        ] {
            let (work, _) = report(said.clone());
            let found = slices.iter().filter(|slice| work.has(slice, &marked));
            assert_eq!(found.count(), left, "{said}");
        }
    }
}
