//! What runs have said of themselves: their reports, read back.

pub(crate) use crate::job::turns::EXPLAINING_RUNS;

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use serde_json::Value;

use crate::commit::{KnownFailure, caps};
use crate::error::JobError;
use crate::job::process::{Fate, Machine};
use crate::job::report::{RUNNING, ReportWindow, Running};
use crate::job::turns::{self, DIED_AFTER, Runs};
use crate::store::{Store, StoreErrorKind};
use crate::window::{Slice, TimeWindow};

/// Reports read at once.
pub(crate) const READS: usize = 32;
/// The status of a run that did not get to its end.
const DIED: &str = "died";
/// Slices that are named where runs died over them.
const NAMED: usize = 5;

/// How often slices were begun by runs that died before they ended.
pub type Begun = BTreeMap<String, u64>;

/// Counts the slices that were in flight when these runs died.
pub(crate) fn begun_in_vain(runs: &[RunView]) -> Begun {
    let mut begun = Begun::new();
    let died = runs.iter().filter(|run| run.text("status") == Some(DIED));
    for slice in died
        .filter_map(RunView::running)
        .flat_map(|run| run.in_flight)
    {
        if slice.parse::<Slice>().is_ok() {
            *begun.entry(slice).or_default() += 1;
        }
    }
    begun
}

/// What the user should know of slices that more than one run died over.
pub(crate) fn remarks(begun: &Begun) -> impl Iterator<Item = String> {
    let often = begun.iter().filter(|(_, times)| **times > 1);
    often.take(NAMED).map(|(slice, times)| {
        format!(
            "slice {slice} was started {times} times and not finished, because its run died; allow more memory (or a lower --memory-limit and --parallel 1) and more time"
        )
    })
}

/// Runs, the newest first, as far back as reasons are looked for.
pub(crate) struct History(Vec<RunView>);

impl History {
    /// Reads what the runs but this one reported.
    pub(crate) async fn before(
        store: &Store,
        run: &str,
        now_ms: i64,
        machine: &Machine,
    ) -> Result<Self, JobError> {
        let mut reports = Reports::list(store, now_ms, machine).await?;
        let mut runs = reports.take(store, EXPLAINING_RUNS).await?;
        runs.retain(|view| view.text("run") != Some(run));
        Ok(Self(runs))
    }

    /// The last failure known of a time.
    pub(crate) fn last_failure(&self, time: TimeWindow) -> Option<KnownFailure> {
        self.0.iter().find_map(|run| run.reason_for(time))
    }
}

/// The reports of a lake's runs that were not read yet, the newest last.
pub(crate) struct Reports<'a> {
    unread: Vec<ObjectMeta>,
    now_ms: i64,
    machine: &'a Machine,
}

impl<'a> Reports<'a> {
    /// Lists them. `now_ms` is what a report's age is told by.
    pub(crate) async fn list(
        store: &Store,
        now_ms: i64,
        machine: &'a Machine,
    ) -> Result<Self, JobError> {
        Ok(Self::of(turns::list(store, now_ms).await?, now_ms, machine))
    }

    /// The same, of reports that were listed.
    pub(crate) fn of(runs: Runs, now_ms: i64, machine: &'a Machine) -> Self {
        Self {
            unread: runs.into_values().collect(),
            now_ms,
            machine,
        }
    }

    /// Reads so many more, the newest first. What cannot be read is left out: `verify` names it.
    pub(crate) async fn take(
        &mut self,
        store: &Store,
        count: usize,
    ) -> Result<Vec<RunView>, JobError> {
        let rest = self.unread.len().saturating_sub(count);
        let newest_first = self.unread.split_off(rest).into_iter().rev();
        let reports: Vec<Option<(ObjectMeta, Bytes)>> = stream::iter(newest_first)
            .map(|meta| async move {
                match store.get(&meta.location, caps::REPORT_BYTES).await {
                    Err(error) if error.kind() == StoreErrorKind::Unfit => Ok(None),
                    read => read.map(|bytes| bytes.map(|bytes| (meta, bytes))),
                }
            })
            .buffered(READS)
            .try_collect()
            .await?;
        Ok(reports
            .into_iter()
            .flatten()
            .filter_map(|(meta, bytes)| {
                let report = serde_json::from_slice(&bytes).ok()?;
                Some(RunView { report }.judged(&meta, self.now_ms, self.machine))
            })
            .collect())
    }
}

/// A run's report, as far as it can be understood: an older or newer program may have written it.
pub(crate) struct RunView {
    pub(crate) report: Value,
}

impl RunView {
    /// The same run, which has died if it says that it is at work, and cannot be.
    fn judged(mut self, meta: &ObjectMeta, now_ms: i64, machine: &Machine) -> Self {
        if self.is_at_work() {
            let age_ms = now_ms.saturating_sub(meta.last_modified.timestamp_millis());
            let is_old = u128::try_from(age_ms).unwrap_or(0) > DIED_AFTER.as_millis();
            let process = self.running().and_then(|running| running.process);
            let is_dead = process.is_some_and(|process| machine.fate(&process) == Fate::Dead);
            if is_old || is_dead {
                self.report["status"] = DIED.into();
            }
        }
        self
    }

    fn running(&self) -> Option<Running> {
        serde_json::from_value(self.report.get("running")?.clone()).ok()
    }

    /// Whether the run is at work, as far as can be told.
    pub(crate) fn is_at_work(&self) -> bool {
        self.text("status") == Some(RUNNING)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.report.get(key)?.as_str()
    }

    fn window(&self) -> Option<TimeWindow> {
        let window = self.report.get("window")?.clone();
        serde_json::from_value::<ReportWindow>(window).ok()?.times()
    }

    /// The end of what the run was to scan.
    pub(crate) fn until_ms(&self) -> Option<i64> {
        self.window().map(|window| window.until_ms)
    }

    fn failures(&self) -> impl Iterator<Item = FailureView<'_>> {
        let failures = || self.report.get("failures")?.as_array();
        failures().into_iter().flatten().map(FailureView)
    }

    /// Why a gap is one, if this run met it.
    pub(crate) fn reason_for(&self, gap: TimeWindow) -> Option<KnownFailure> {
        let touches =
            |window: TimeWindow| window.from_ms < gap.until_ms && gap.from_ms < window.until_ms;
        let reason = |slice: Option<&str>, error: &str| KnownFailure {
            run: self.text("run").unwrap_or("?").to_owned(),
            slice: slice.map(str::to_owned),
            error: error.to_owned(),
        };
        let failures: Vec<FailureView> = self.failures().collect();
        // Of several causes in about this time, the one that says most exactly where.
        let of_slices = failures.iter().filter_map(|failure| {
            let window = failure.window().filter(|window| touches(*window))?;
            Some((window.until_ms - window.from_ms, failure))
        });
        if let Some((_, failure)) = of_slices.min_by_key(|(length, _)| *length) {
            return Some(reason(failure.only_slice(), &failure.to_string()));
        }
        if !self.window().is_some_and(touches) {
            return None;
        }
        let of_run = failures
            .iter()
            .find(|failure| failure.window().is_none())
            .map(ToString::to_string);
        match of_run {
            Some(error) => Some(reason(None, &error)),
            None => match self.text("status") {
                Some(RUNNING) => Some(reason(None, "a run is at work on it")),
                Some(DIED) => Some(reason(None, "the run died while it was at work on it")),
                _ => None,
            },
        }
    }
}

/// Failures of one cause, as a report has them.
pub(crate) struct FailureView<'a>(pub(crate) &'a Value);

impl FailureView<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    /// From the oldest slice to the newest that failed for this cause; none where the run did.
    fn window(&self) -> Option<TimeWindow> {
        let slice = |key: &str| self.text(key)?.parse::<Slice>().ok();
        Some(TimeWindow {
            from_ms: slice("first_slice")?.from_ms(),
            until_ms: slice("last_slice")?.until_ms(),
        })
    }

    /// The slice, where only one failed for this cause.
    fn only_slice(&self) -> Option<&str> {
        let is_one = self.text("first_slice") == self.text("last_slice");
        self.text("first_slice").filter(|_| is_one)
    }
}

impl std::fmt::Display for FailureView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let (Some(first), Some(last), None) = (
            self.text("first_slice"),
            self.text("last_slice"),
            self.only_slice(),
        ) {
            let count = self.0.get("count").and_then(Value::as_u64).unwrap_or(0);
            write!(f, "{count} slices from {first} to {last}, the first: ")?;
        }
        f.write_str(self.text("error").unwrap_or("?"))
    }
}
