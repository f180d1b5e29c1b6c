//! What a lake holds, read from its table, or its commits where that is behind, and from its reports.

pub use crate::job::runs::Begun;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use humantime::format_duration;
use serde::Serialize;
use serde_json::Value;

use crate::commit::{
    self, Commit, CommitError, CommittedHole, Compactions, Identity, KnownFailure, KnownSlices,
    LakeSource, Unproven,
};
use crate::error::{ErrorKind, JobError, UsageError};
use crate::job::clocks::remark_behind;
use crate::job::plan::watermark;
use crate::job::process::Machine;
use crate::job::report::ReportWindow;
use crate::job::runs::{self, EXPLAINING_RUNS, FailureView, READS, Reports, RunView};
use crate::layout::{FileName, PartitionKey};
use crate::store::Store;
use crate::table::{self, TableError};
use crate::text::plain::{PlainText, chain};
use crate::text::report::Report;
use crate::text::units::{bytes, counted, number};
use crate::window::{Slice, SliceLength, TimeWindow, format_time, parse_time};
use crate::write::FileEntry;

/// Runs that are shown.
const SHOWN_RUNS: usize = 5;
/// Markers read at once.
const MARKER_READS: usize = 32;

/// Rows and bytes of one day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DayStatus {
    /// Rows of the day.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// Time without a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GapStatus {
    /// The time, in whole slices.
    #[serde(flatten)]
    pub window: ReportWindow,
    /// Slices of it; 0 where it is a hole in a committed slice.
    pub slices: u64,
    /// The last failure known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<KnownFailure>,
}

impl GapStatus {
    /// What of a committed slice the service did not give.
    fn hole(commit: &Commit, hole: &CommittedHole) -> Self {
        let window = TimeWindow {
            from_ms: hole.from_ms,
            until_ms: hole.until_ms,
        };
        Self {
            window: window.into(),
            slices: 0,
            reason: Some(KnownFailure {
                run: commit.run.clone(),
                slice: Some(commit.slice.clone()),
                error: hole.reason.clone(),
            }),
        }
    }
}

/// Time that was asked for too late: the service may have forgotten all or some of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UnprovenStatus {
    /// The time, in whole slices.
    #[serde(flatten)]
    pub window: ReportWindow,
    /// Slices of it.
    pub slices: u64,
    /// Those that are committed, with rows.
    pub committed: u64,
    /// When the others were asked for, by the service's clock: the last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// Why it was not scanned earlier, as far as is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<KnownFailure>,
}

/// An object of the lake's own that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LeftOut {
    /// `newer` where a newer program wrote it, else `damaged`.
    #[cfg_attr(test, schemars(extend("enum" = ["newer", "damaged"])))]
    pub what: &'static str,
    /// Which, and why not.
    pub error: String,
    /// What to do about it.
    pub advice: Option<&'static str>,
    #[serde(skip)]
    exit: ErrorKind,
}

impl From<CommitError> for LeftOut {
    fn from(error: CommitError) -> Self {
        Self {
            what: if error.is_newer() { "newer" } else { "damaged" },
            error: chain(&error),
            advice: error.advice(),
            exit: JobError::from(error).kind(),
        }
    }
}

/// How the Delta table of a lake stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TableStatus {
    /// Its last version.
    pub version: u64,
    /// Whether it takes in every commit and compaction.
    pub is_current: bool,
    #[serde(skip)]
    is_of_others: bool,
    /// Commits and compactions that it takes in and that are not there any more, at least.
    pub missing: u64,
}

/// What a lake holds.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LakeStatus {
    /// The version of this object.
    pub version: u32,
    /// The lake.
    pub lake: String,
    /// Where its records come from: scans of the service, or files.
    pub source: LakeSource,
    /// The service's host; empty in a lake of files.
    pub api_host: String,
    /// The lake's clock.
    pub clock: String,
    /// Where the lake begins; of a lake of files, when it was made.
    pub begin: String,
    /// The time up to which every slice since the begin is committed or unproven; none in a lake of
    /// files, which says nothing of time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<String>,
    /// Committed slices; in a lake of files each is one of them.
    pub slices: u64,
    /// The committed slices, joined where they touch, but for those asked for late.
    pub coverage: Vec<ReportWindow>,
    /// What is not committed since the lake's begin, or since the first commit where that is older.
    pub gaps: Vec<GapStatus>,
    /// Slices that runs had begun when they died, and that have no commit yet: how often.
    pub begun_in_vain: Begun,
    /// What of the lake is behind what was asked for.
    pub behind: Vec<String>,
    /// What was asked for so late that nobody knows what there was: neither covered nor a gap.
    pub unproven: Vec<UnprovenStatus>,
    /// The lake as a Delta table; none before the first run that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<TableStatus>,
    /// Rows in all.
    pub rows: u64,
    /// Bytes in all.
    pub bytes: u64,
    /// Commits and other objects that could not be read, so that the figures lack them.
    pub left_out: Vec<LeftOut>,
    /// By day of the activity.
    pub days: BTreeMap<String, DayStatus>,
    /// The last runs, newest first, as they were reported.
    pub runs: Vec<Value>,
}

/// Reads the status of a lake.
///
/// `now_ms` is compared with the store's times of running reports: a run whose report has not moved for
/// three minutes has died, and so has a process of this `machine` that is not there.
pub fn read<'a>(
    store: &'a Store,
    now_ms: i64,
    machine: &'a Machine,
) -> BoxFuture<'a, Result<LakeStatus, JobError>> {
    read_all(store, now_ms, machine).boxed()
}

async fn read_all(store: &Store, now_ms: i64, machine: &Machine) -> Result<LakeStatus, JobError> {
    let identity = load_identity(store).await?;
    let mut left_out: Vec<LeftOut> = Vec::new();
    left_out.extend(identity.check_begin(now_ms).err().map(LeftOut::from));
    match commit::check_writable(store).await {
        Err(error @ CommitError::Damaged { .. }) if !error.is_newer() => {
            left_out.push(error.into());
        }
        // What a newer program has changed is read all the same.
        Ok(()) | Err(CommitError::Damaged { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let length = identity
        .slice_length()
        .map_err(|error| UsageError::new(format!("cannot use the lake's slice length: {error}")))?;
    let known = KnownSlices::list(store, now_ms).await?;
    let mut unproven = Unprovens::of_markers(store, &known.unproven).await?;
    let committed = Committed::read(store, &known).await?;
    unproven.late.extend(committed.late);
    left_out.extend(committed.left_out);
    let days = committed.days;
    let mut reports = Reports::list(store, now_ms, machine).await?;
    let runs = reports.take(store, SHOWN_RUNS).await?;
    let asked_for = joined(known.committed.iter().chain(&known.unproven));
    let on_time = |slice: &&String| !unproven.late.contains(*slice);
    let coverage = joined(known.committed.iter().filter(on_time));
    // What a run is at work on is not a gap yet.
    let ended = runs.iter().filter(|run| !run.is_at_work());
    let due_ms = ended.filter_map(RunView::until_ms).max();
    let oldest = joined(known.committed.iter())
        .first()
        .map(|first| first.from_ms);
    let begin_ms = length.floor(identity.begin_ms);
    let mut gaps = gaps(&asked_for, oldest.unwrap_or(begin_ms).min(begin_ms), due_ms);
    let mut begun = runs::begun_in_vain(&runs);
    explain(&mut gaps, store, &mut reports, &runs, &mut begun).await?;
    begun.retain(|slice, _| !known.contains(slice));
    let table = table::standing(store).await?;
    let mut gaps: Vec<GapStatus> = gaps.into_iter().map(|gap| gap.status(length)).collect();
    gaps.extend(committed.holes);
    gaps.sort_by(|a, b| a.window.from.cmp(&b.window.from));
    Ok(LakeStatus {
        version: 1,
        lake: store.location().to_owned(),
        watermark: (identity.source == LakeSource::Scan)
            .then(|| format_time(watermark(identity.begin_ms, length, &known))),
        source: identity.source,
        begin: format_time(identity.begin_ms),
        api_host: identity.api_host,
        clock: identity.clock,
        slices: known.committed.len() as u64,
        coverage: coverage.into_iter().map(ReportWindow::from).collect(),
        begun_in_vain: begun,
        behind: Vec::new(),
        gaps,
        unproven: unproven.joined(),
        table: table.map(|of| TableStatus {
            version: of.version,
            is_current: of.is_current,
            is_of_others: of.is_of_others,
            missing: of.missing,
        }),
        rows: total(&days, |day| day.rows),
        bytes: total(&days, |day| day.bytes),
        left_out,
        days,
        runs: runs.into_iter().map(|run| run.report).collect(),
    })
}

/// What the commits of a lake say.
#[derive(Default)]
struct Committed {
    days: BTreeMap<String, DayStatus>,
    holes: Vec<GapStatus>,
    /// Slices that were asked for too late to be proven.
    late: Vec<String>,
    left_out: Vec<LeftOut>,
}

impl Committed {
    /// Reads what the table says of the files, and of the commits those that say more; all of them where it
    /// is not up to date.
    async fn read(store: &Store, known: &KnownSlices) -> Result<Self, JobError> {
        let mut committed = known.committed.clone();
        let Some(table) = table::contents(store).await? else {
            let (mut all, files) = Self::of(store, committed).await?;
            let mut compactions = Compactions::load(store).await?;
            let damaged = compactions.take_damaged().into_iter();
            all.left_out.extend(damaged.map(LeftOut::from));
            let live = compactions.live(files).into_iter();
            all.days = days_of(live.map(|file| {
                let day = FileName::parse(&file.path).map(|name| name.key);
                (day, file.rows, file.bytes)
            }));
            return Ok(all);
        };
        committed.retain(|slice| table.has_remarks(slice));
        let (mut all, _) = Self::of(store, committed).await?;
        let files = table.files.into_iter();
        all.days = days_of(files.map(|file| (Some(file.name.key), file.rows, file.bytes)));
        Ok(all)
    }

    /// Reads the commits of slices, one after another.
    async fn of(
        store: &Store,
        slices: BTreeSet<String>,
    ) -> Result<(Self, Vec<FileEntry>), CommitError> {
        let (mut all, mut files) = (Self::default(), Vec::new());
        let mut commits = commit::load_commits(store, slices);
        while let Some(commit) = commits.next().await {
            let commit = match commit {
                Ok(commit) => commit,
                Err(error @ CommitError::Damaged { .. }) => {
                    all.left_out.push(error.into());
                    continue;
                }
                Err(error) => return Err(error),
            };
            let holes = commit.holes.iter();
            all.holes
                .extend(holes.map(|hole| GapStatus::hole(&commit, hole)));
            if commit.late {
                all.late.push(commit.slice);
            }
            files.extend(commit.files);
        }
        Ok((all, files))
    }
}

/// A commit that is wrong may say any number; `verify` says so.
fn total(days: &BTreeMap<String, DayStatus>, of: impl Fn(&DayStatus) -> u64) -> u64 {
    days.values().map(of).fold(0, u64::saturating_add)
}

async fn load_identity(store: &Store) -> Result<Identity, JobError> {
    Identity::load_if_lake(store)
        .await?
        .ok_or_else(|| no_lake(store))
}

/// Rows, files and bytes by day: of each file its day, where its path says one, its rows and its bytes.
fn days_of(
    files: impl Iterator<Item = (Option<PartitionKey>, u64, u64)>,
) -> BTreeMap<String, DayStatus> {
    let mut days: BTreeMap<String, DayStatus> = BTreeMap::new();
    for (key, rows, bytes) in files {
        let day = key.map_or_else(|| "?".to_owned(), |key| key.date().to_string());
        let day = days.entry(day).or_default();
        day.rows = day.rows.saturating_add(rows);
        day.files += 1;
        day.bytes = day.bytes.saturating_add(bytes);
    }
    days
}

/// The error for a location where no lake is.
pub fn no_lake(store: &Store) -> JobError {
    JobError::NoLake {
        location: store.location().to_owned(),
    }
}

/// What was asked for too late.
struct Unprovens {
    /// Slices with a marker, and what it says. One that cannot be read marks its slice all the same:
    /// `verify` names it.
    marked: BTreeMap<String, Option<Unproven>>,
    /// Slices that are committed, and were asked for late.
    late: BTreeSet<String>,
}

impl Unprovens {
    async fn of_markers(store: &Store, slices: &BTreeSet<String>) -> Result<Self, JobError> {
        let load = |slice: String| async move {
            match Unproven::load(store, &slice).await {
                Ok(marker) => Ok((slice, marker)),
                Err(CommitError::Damaged { .. }) => Ok((slice, None)),
                Err(error) => Err(JobError::from(error)),
            }
        };
        let markers = stream::iter(slices.iter().cloned()).map(load);
        Ok(Self {
            marked: markers.buffered(MARKER_READS).try_collect().await?,
            late: BTreeSet::new(),
        })
    }

    /// Joins those that touch.
    fn joined(&self) -> Vec<UnprovenStatus> {
        let windows = joined(self.marked.keys().chain(&self.late));
        windows
            .into_iter()
            .map(|window| self.status(window))
            .collect()
    }

    fn status(&self, window: TimeWindow) -> UnprovenStatus {
        let within = |name: &str| {
            let slice = name.parse::<Slice>();
            slice.is_ok_and(|slice| slice.lies_in(window))
        };
        let marked: Vec<_> = self
            .marked
            .iter()
            .filter(|(name, _)| within(name))
            .collect();
        let committed = self.late.iter().filter(|name| within(name)).count();
        let markers = || marked.iter().filter_map(|(_, marker)| marker.as_ref());
        UnprovenStatus {
            window: window.into(),
            slices: (marked.len() + committed) as u64,
            committed: committed as u64,
            asked: markers()
                .map(|marker| marker.asked_ms)
                .max()
                .map(format_time),
            reason: markers().find_map(|marker| marker.last_failure.clone()),
        }
    }
}

/// The time of slices, joined where they touch.
fn joined<'a>(names: impl Iterator<Item = &'a String>) -> Vec<TimeWindow> {
    Slice::joined(names).iter().map(Slice::window).collect()
}

/// A gap, and why it is one as far as is known.
#[derive(Debug, PartialEq, Eq)]
struct Gap {
    window: TimeWindow,
    reason: Option<KnownFailure>,
}

impl Gap {
    fn status(self, length: SliceLength) -> GapStatus {
        GapStatus {
            window: self.window.into(),
            slices: length.slices(self.window).count() as u64,
            reason: self.reason,
        }
    }
}

/// What is not covered from the lake's begin, or the oldest commit where that is older, to the last
/// commit, or to the end of what the last runs were to scan where that is later.
fn gaps(coverage: &[TimeWindow], mut from_ms: i64, due_ms: Option<i64>) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let end = due_ms.map(|due_ms| TimeWindow {
        from_ms: due_ms,
        until_ms: due_ms,
    });
    for covered in coverage.iter().copied().chain(end) {
        if covered.from_ms > from_ms {
            let window = TimeWindow {
                from_ms,
                until_ms: covered.from_ms,
            };
            gaps.push(Gap {
                window,
                reason: None,
            });
        }
        from_ms = from_ms.max(covered.until_ms);
    }
    gaps
}

/// Goes back through the runs until every gap has its reason, or no more runs are looked at.
async fn explain(
    gaps: &mut [Gap],
    store: &Store,
    reports: &mut Reports<'_>,
    shown: &[RunView],
    begun: &mut Begun,
) -> Result<(), JobError> {
    let find = |gaps: &mut [Gap], runs: &[RunView]| {
        for gap in gaps.iter_mut().filter(|gap| gap.reason.is_none()) {
            gap.reason = runs.iter().find_map(|run| run.reason_for(gap.window));
        }
    };
    find(gaps, shown);
    let mut looked_at = shown.len();
    while looked_at < EXPLAINING_RUNS && gaps.iter().any(|gap| gap.reason.is_none()) {
        let runs = reports.take(store, READS).await?;
        if runs.is_empty() {
            break;
        }
        find(gaps, &runs);
        for (slice, times) in runs::begun_in_vain(&runs) {
            *begun.entry(slice).or_default() += times;
        }
        looked_at += runs.len();
    }
    Ok(())
}

impl LakeStatus {
    /// Says whether the lake is behind: its newest committed slice ended longer than `max_age` ago, or
    /// it has more gaps than `max_gaps`.
    ///
    /// # Errors
    /// The lake is of files, so nothing tells what it lacks.
    pub fn judge(
        &mut self,
        max_age: Option<Duration>,
        max_gaps: Option<u64>,
        now_ms: i64,
    ) -> Result<(), UsageError> {
        if self.source == LakeSource::Convert && (max_age.is_some() || max_gaps.is_some()) {
            return Err(UsageError::new(
                "cannot use --max-age and --max-gaps: the lake was made by convert, which says nothing of what it lacks",
            )
            .advise("leave them out"));
        }
        let last = self.coverage.last();
        let newest = last.map_or(&self.begin, |last| &last.until);
        let newest_ms = parse_time(newest, now_ms).unwrap_or(0);
        let age = Duration::from_millis(u64::try_from(now_ms - newest_ms).unwrap_or(0));
        if let Some(max_age) = max_age.filter(|max_age| age > *max_age) {
            let what = if last.is_some() {
                "the newest committed slice ended"
            } else {
                "no slice is committed, and the lake begins"
            };
            self.behind.push(format!(
                "{what} {} ago, at {newest}; --max-age is {}",
                format_duration(Duration::from_secs(age.as_secs())),
                format_duration(max_age)
            ));
        }
        // By a clock that is behind no lake is.
        let is_asked = last.is_some() && (max_age.is_some() || max_gaps.is_some());
        self.behind
            .extend(remark_behind(newest_ms, now_ms).filter(|_| is_asked));
        let gaps = self.gaps.len() as u64;
        if let Some(max_gaps) = max_gaps.filter(|max_gaps| gaps > *max_gaps) {
            let slices: u64 = self.gaps.iter().map(|gap| gap.slices).sum();
            self.behind.push(format!(
                "there are more gaps than --max-gaps {max_gaps}: {} ({})",
                counted(gaps, "gap", "gaps"),
                counted(slices, "slice", "slices")
            ));
        }
        Ok(())
    }

    fn write_table(&self, o: &mut PlainText) -> std::fmt::Result {
        let Some(table) = &self.table else {
            return writeln!(o, "table       none: the next run makes it");
        };
        let TableStatus {
            version,
            is_current,
            is_of_others,
            missing,
        } = *table;
        write!(o, "table       version {version}")?;
        if missing > 0 {
            let loss = TableError::Missing { missing };
            writeln!(o, "; {loss}")?;
            if let Some(advice) = loss.advice() {
                writeln!(o, "            {advice}")?;
            }
            return Ok(());
        }
        match (is_current, self.left_out.is_empty()) {
            (true, _) => {}
            (false, true) if is_of_others => write!(o, ", {}", table::OF_OTHERS)?,
            (false, true) => write!(o, ", {}", table::BEHIND)?,
            (false, false) => write!(o, ", behind the commits, of which some cannot be read")?,
        }
        writeln!(o)
    }

    fn write_gaps(&self, o: &mut PlainText) -> std::fmt::Result {
        for GapStatus {
            window,
            slices,
            reason,
        } in &self.gaps
        {
            match slices {
                0 => writeln!(o, "hole        {} to {}", window.from, window.until)?,
                _ => writeln!(
                    o,
                    "gap         {} to {} ({})",
                    window.from,
                    window.until,
                    counted(*slices, "slice", "slices")
                )?,
            }
            match reason {
                Some(KnownFailure { run, error, .. }) => writeln!(o, "            {run}: {error}")?,
                None if self.table.as_ref().is_some_and(|table| table.missing > 0) => writeln!(
                    o,
                    "            no run says why; its commit may be one of those that are missing"
                )?,
                None => writeln!(
                    o,
                    "            no run says why; scan --from {} --until {} fills it",
                    window.from, window.until
                )?,
            }
        }
        Ok(())
    }

    fn write_unproven(&self, o: &mut PlainText) -> std::fmt::Result {
        for UnprovenStatus {
            window,
            slices,
            committed,
            asked,
            reason,
        } in &self.unproven
        {
            writeln!(
                o,
                "unproven    {} to {} ({}, {} of them with rows)",
                window.from,
                window.until,
                counted(*slices, "slice", "slices"),
                number(*committed)
            )?;
            if let Some(asked) = asked {
                writeln!(
                    o,
                    "            the service returned nothing for the rest on {asked}; it may no longer have it"
                )?;
            }
            if let Some(KnownFailure { run, error, .. }) = reason {
                writeln!(o, "            {run}: {error}")?;
            }
        }
        Ok(())
    }

    fn write_runs(&self, o: &mut PlainText) -> std::fmt::Result {
        for run in &self.runs {
            let text = |key: &str| {
                run.get(key)
                    .and_then(Value::as_str)
                    .unwrap_or("?")
                    .to_owned()
            };
            writeln!(o, "run         {} {}", text("run"), text("status"))?;
            let failures = run.get("failures").and_then(Value::as_array);
            for failure in failures.into_iter().flatten() {
                writeln!(o, "            {}", FailureView(failure))?;
            }
        }
        Ok(())
    }
}

impl Report for LakeStatus {
    /// The exit code: 5 where the lake is behind; what could not be read decides it, too.
    fn exit_code(&self) -> u8 {
        let behind = (!self.behind.is_empty()).then_some(ErrorKind::Data);
        let kinds = self.left_out.iter().map(|left_out| left_out.exit);
        ErrorKind::worst(kinds.chain(behind)).map_or(0, ErrorKind::exit_code)
    }

    fn write(&self, o: &mut PlainText) -> std::fmt::Result {
        let slices = match self.source {
            LakeSource::Scan => {
                let Self { lake, clock, .. } = self;
                writeln!(o, "lake        {lake} ({} by {clock})", self.api_host)?;
                writeln!(o, "begin       {}", self.begin)?;
                counted(self.slices, "slice", "slices")
            }
            LakeSource::Convert => {
                writeln!(o, "lake        {} (converted files)", self.lake)?;
                counted(self.slices, "input", "inputs")
            }
        };
        if let Some(watermark) = &self.watermark {
            writeln!(o, "watermark   {watermark}")?;
        }
        writeln!(
            o,
            "holds       {}, {}, {slices}",
            counted(self.rows, "row", "rows"),
            bytes(self.bytes),
        )?;
        self.write_table(o)?;
        for window in &self.coverage {
            writeln!(o, "covers      {} to {}", window.from, window.until)?;
        }
        self.write_gaps(o)?;
        for remark in runs::remarks(&self.begun_in_vain) {
            writeln!(o, "begun       {remark}")?;
        }
        for LeftOut {
            what,
            error,
            advice,
            ..
        } in &self.left_out
        {
            writeln!(o, "{what:<11} {error}")?;
            if let Some(advice) = advice {
                writeln!(o, "            {advice}")?;
            }
        }
        self.write_unproven(o)?;
        for (day, of_day) in &self.days {
            writeln!(
                o,
                "{day}  {:>14}  {:>11}  {:>9}",
                counted(of_day.rows, "row ", "rows"),
                counted(of_day.files, "file ", "files"),
                bytes(of_day.bytes)
            )?;
        }
        self.write_runs(o)?;
        for behind in &self.behind {
            writeln!(o, "BEHIND      {behind}")?;
        }
        Ok(())
    }
}
