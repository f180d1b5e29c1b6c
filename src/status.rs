//! What a lake holds, read from its commits and reports alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde_json::Value;

use crate::commit::{self, Commit, Identity, paths};
use crate::error::JobError;
use crate::plan::watermark;
use crate::report::ReportWindow;
use crate::store::Store;
use crate::window::{Slice, SliceLength, TimeWindow, format_time};
use crate::write::FileEntry;

/// Runs that are shown.
const SHOWN_RUNS: usize = 5;
/// Objects read at once.
const READS: usize = 32;

/// Rows and bytes of one day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DayStatus {
    /// Rows of the day.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// What a lake holds.
#[derive(Debug, Serialize)]
pub struct LakeStatus {
    /// The lake.
    pub lake: String,
    /// The service's host.
    pub api_host: String,
    /// The lake's clock.
    pub clock: String,
    /// Where the lake begins.
    pub begin: String,
    /// The time up to which every slice since the begin is committed.
    pub watermark: String,
    /// Committed slices.
    pub slices: u64,
    /// The committed slices, joined where they touch.
    pub coverage: Vec<ReportWindow>,
    /// What lies between them.
    pub gaps: Vec<ReportWindow>,
    /// Rows in all.
    pub rows: u64,
    /// Bytes in all.
    pub bytes: u64,
    /// By day of the activity.
    pub days: BTreeMap<String, DayStatus>,
    /// The last runs, newest first, as they were reported.
    pub runs: Vec<Value>,
}

/// Reads the status of a lake.
pub async fn read(store: &Store) -> Result<LakeStatus, JobError> {
    let identity = Identity::load(store).await?.ok_or_else(|| no_lake(store))?;
    let minutes = u64::try_from(identity.slice_minutes).unwrap_or(0);
    let length = SliceLength::try_new(std::time::Duration::from_secs(60 * minutes))
        .map_err(|error| JobError::Usage(format!("the lake's slice length: {error}")))?;
    let committed = commit::committed_slices(store).await?;
    let mut days: BTreeMap<String, DayStatus> = BTreeMap::new();
    for file in files_of(store, &committed).await? {
        let day = file
            .path
            .split('/')
            .find_map(|part| part.strip_prefix("event_date="))
            .unwrap_or("?");
        let day = days.entry(day.to_owned()).or_default();
        day.rows += file.rows;
        day.files += 1;
        day.bytes += file.bytes;
    }
    let (coverage, gaps) = coverage(&committed);
    Ok(LakeStatus {
        lake: store.location().to_owned(),
        watermark: format_time(watermark(identity.begin_ms, length, &committed)),
        begin: format_time(identity.begin_ms),
        api_host: identity.api_host,
        clock: identity.clock,
        slices: committed.len() as u64,
        coverage,
        gaps,
        rows: days.values().map(|day| day.rows).sum(),
        bytes: days.values().map(|day| day.bytes).sum(),
        days,
        runs: last_runs(store).await?,
    })
}

/// The files that the commits of a lake name.
pub async fn committed_files(store: &Store) -> Result<Vec<FileEntry>, JobError> {
    Identity::load(store).await?.ok_or_else(|| no_lake(store))?;
    files_of(store, &commit::committed_slices(store).await?).await
}

async fn files_of(store: &Store, committed: &BTreeSet<String>) -> Result<Vec<FileEntry>, JobError> {
    let commits: Vec<Option<Commit>> = stream::iter(committed.clone())
        .map(|slice| async move { Commit::load(store, &slice).await })
        .buffer_unordered(READS)
        .try_collect()
        .await?;
    Ok(commits
        .into_iter()
        .flatten()
        .flat_map(|commit| commit.files)
        .collect())
}

/// The error for a location where no lake is.
pub fn no_lake(store: &Store) -> JobError {
    JobError::Usage(format!(
        "there is no lake at {}: a scan makes one; check --lake",
        store.location()
    ))
}

/// Joins slices that touch, and names what lies between them.
fn coverage(committed: &BTreeSet<String>) -> (Vec<ReportWindow>, Vec<ReportWindow>) {
    let mut slices: Vec<Slice> = committed
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    slices.sort();
    let mut joined: Vec<TimeWindow> = Vec::new();
    for slice in slices {
        match joined.last_mut() {
            Some(last) if last.until_ms == slice.from_ms() => last.until_ms = slice.until_ms(),
            _ => joined.push(slice.window()),
        }
    }
    let gaps = joined
        .windows(2)
        .map(|pair| {
            TimeWindow {
                from_ms: pair[0].until_ms,
                until_ms: pair[1].from_ms,
            }
            .into()
        })
        .collect();
    (joined.into_iter().map(ReportWindow::from).collect(), gaps)
}

async fn last_runs(store: &Store) -> Result<Vec<Value>, JobError> {
    let listed = store.list(&paths::runs()).await?;
    let mut runs = Vec::new();
    for object in listed.iter().rev().take(SHOWN_RUNS) {
        let report = store.get(&object.location).await?;
        runs.extend(report.and_then(|bytes| serde_json::from_slice(&bytes).ok()));
    }
    Ok(runs)
}

impl LakeStatus {
    /// The status as one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a status serialises to JSON") + "\n"
    }

    /// The status for people.
    pub fn to_text(&self) -> String {
        self.text().expect("a String takes any text")
    }

    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        let o = &mut out;
        writeln!(
            o,
            "lake        {} ({} by {})",
            self.lake, self.api_host, self.clock
        )?;
        writeln!(o, "begin       {}", self.begin)?;
        writeln!(o, "watermark   {}", self.watermark)?;
        writeln!(
            o,
            "holds       {} rows, {} bytes, {} slices",
            self.rows, self.bytes, self.slices
        )?;
        for (what, windows) in [("covers", &self.coverage), ("gap", &self.gaps)] {
            for window in windows {
                writeln!(o, "{what:<11} {} to {}", window.from, window.until)?;
            }
        }
        for (day, DayStatus { rows, files, bytes }) in &self.days {
            writeln!(
                o,
                "{day}  {rows:>9} rows  {files:>5} files  {bytes:>12} bytes"
            )?;
        }
        for run in &self.runs {
            let text = |key: &str| {
                run.get(key)
                    .and_then(Value::as_str)
                    .unwrap_or("?")
                    .to_owned()
            };
            writeln!(o, "run         {} {}", text("run"), text("status"))?;
            for failure in run
                .get("failures")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let error = failure.get("error").and_then(Value::as_str).unwrap_or("?");
                writeln!(o, "            {error}")?;
            }
        }
        Ok(out)
    }
}
