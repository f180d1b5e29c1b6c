//! The main job: the plan, then slice by slice from the service to the commit.
//!
//! [`run`] always returns a report: a failed run still says what it committed. A slice that fails
//! does not stop the others; refused credentials, a failing store and a signal do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tracing::{error, info};

use crate::clock::Clock;
use crate::commit::{self, Commit, Identity, LakeSource, Outcome, Prepared, SliceCounts, paths};
use crate::decode::{Ingest, PageDecoder};
use crate::error::{ErrorKind, JobError};
use crate::partition;
use crate::plan::{Plan, watermark};
use crate::progress::Progress;
use crate::rejects::RejectsWriter;
use crate::report::RunReport;
use crate::scan::{ActivityClient, ClockField, Page, ScanCounters, ScanOptions, SliceScan};
use crate::schema;
use crate::sift::{Sifted, Sifter};
use crate::store::{Store, StoreErrorKind};
use crate::window::{Slice, SliceLength, TimeWindow, format_time};
use crate::write::{Provenance, SliceWriter, WriteOptions};

/// What to do with rejects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnReject {
    /// Keep them beside the rows.
    Keep,
    /// Fail the slice.
    Fail,
}

/// What a lake is to be. What is not given is the lake's own, or the default of a new one.
#[derive(Debug, Clone)]
pub struct LakeWish {
    /// The service's host.
    pub api_host: String,
    /// The clock.
    pub clock: Option<ClockField>,
    /// What narrows the records.
    pub filters: Option<Map<String, Value>>,
    /// The length of a slice.
    pub slice: Option<SliceLength>,
}

/// What a run of `scan` is to do. Plain values.
#[derive(Debug, Clone)]
pub struct JobOptions {
    /// What the lake is to be.
    pub wish: LakeWish,
    /// The start of the window, in milliseconds since the epoch; else the lake's begin.
    pub from_ms: Option<i64>,
    /// The end of the window; else now.
    pub until_ms: Option<i64>,
    /// How far back a new lake begins without `from_ms`.
    pub initial_ms: i64,
    /// How long a slice settles; else the default of the lake's clock.
    pub settle_ms: Option<i64>,
    /// Slices in flight.
    pub parallel: usize,
    /// What to do with rejects.
    pub on_reject: OnReject,
    /// Whether the records' exact text is kept.
    pub keep_raw: bool,
    /// Whether only one run at a time ever writes to the lake.
    pub single_writer: bool,
    /// Answers above this are not fetched ahead, in bytes.
    pub look_ahead_max_bytes: u64,
    /// How files are written.
    pub write: WriteOptions,
}

/// The handful of things that touch reality.
pub struct World {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The lake.
    pub store: Store,
    /// The service.
    pub client: Arc<ActivityClient>,
    /// What the client counts.
    pub counters: Arc<ScanCounters>,
    /// Becomes true when the run is to stop.
    pub interrupted: watch::Receiver<bool>,
    /// Ids of the run and of its attempts.
    pub ids: Ids,
    /// What a person watches.
    pub progress: Progress,
}

/// Makes ids: of a run, of an attempt. Seeded in tests.
#[derive(Debug)]
pub struct Ids(Mutex<fastrand::Rng>);

impl Ids {
    /// Ids from a source of randomness.
    pub fn new(random: fastrand::Rng) -> Self {
        Self(Mutex::new(random))
    }

    /// Sixteen hexadecimal digits; no `-` in them.
    fn next(&self) -> String {
        format!(
            "{:016x}",
            self.0
                .lock()
                .expect("nothing panics while it draws")
                .u64(..)
        )
    }
}

/// Minutes that a slice settles before it is scanned, by the clock of the lake: records are saved
/// minutes after they happen, and become visible minutes after they are saved.
fn default_settle_ms(clock: ClockField) -> i64 {
    match clock {
        ClockField::Created => 15 * 60_000,
        ClockField::Date => 24 * 60 * 60_000,
    }
}

/// The length of a slice where nobody says.
const DEFAULT_SLICE: std::time::Duration = std::time::Duration::from_secs(60 * 60);

/// Plans a run and prints nothing: no request is sent, and nothing is written.
pub async fn plan(options: &JobOptions, store: Option<&Store>, clock: &dyn Clock) -> RunReport {
    let now_ms = clock.now_ms();
    let location = store.map_or("(new)", |store| store.location());
    let mut report = RunReport::begin(String::from("(planned)"), location.to_owned(), now_ms);
    let planned = async {
        let found = match store {
            Some(store) => Identity::load_if_lake(store).await?,
            None => None,
        };
        let setup = Setup::resolve(options, found, now_ms)?;
        let committed = match store {
            Some(store) => commit::committed_slices(store).await?,
            None => BTreeSet::new(),
        };
        setup.describe(&mut report);
        Ok(setup.plan(options, now_ms, &committed))
    };
    match planned.await {
        Ok(plan) => {
            describe_plan(&mut report, &plan);
            report.plan = plan.slices.iter().map(ToString::to_string).collect();
        }
        Err(error) => report.failed(None, &error),
    }
    report.finish(crate::scan::ScanCounts::default(), 0.0, None);
    if report.exit_code == 0 {
        report.status = "planned";
    }
    report
}

/// Scans and commits every closed slice of the window that has no commit.
pub async fn run(options: &JobOptions, mut world: World) -> RunReport {
    if options.single_writer {
        world.store = world.store.for_single_writer();
    }
    let started_ms = world.clock.now_ms();
    let started = world.clock.elapsed();
    let stamp = format_time(started_ms / 1_000 * 1_000).replace([':', '-'], "");
    let run = format!("{stamp}-{}", &world.ids.next()[..8]);
    let mut report = RunReport::begin(run.clone(), world.store.location().to_owned(), started_ms);
    let world = Arc::new(world);
    if let Err(error) = run_slices(options, &world, &mut report, started_ms).await {
        error!(error = %crate::error::chain(&error), "the run stops");
        report.failed(None, &error);
    }
    world.progress.finish();
    let elapsed = world.clock.elapsed().saturating_sub(started);
    report.finish(
        world.counters.counts(),
        elapsed.as_secs_f64(),
        peak_memory_bytes(),
    );
    if report.window.is_some()
        && let Err(error) = save(&world.store, &report).await
    {
        report.failed(None, &error);
        report.finish(
            world.counters.counts(),
            elapsed.as_secs_f64(),
            peak_memory_bytes(),
        );
    }
    report
}

async fn save(store: &Store, report: &RunReport) -> Result<(), JobError> {
    Ok(store
        .put(&paths::run(&report.run), Bytes::from(report.to_json()))
        .await?)
}

async fn run_slices(
    options: &JobOptions,
    world: &Arc<World>,
    report: &mut RunReport,
    now_ms: i64,
) -> Result<(), JobError> {
    let store = &world.store;
    let found = Identity::load(store).await?;
    let setup = Setup::resolve(options, found, now_ms)?;
    commit::check_names(store).await?;
    let identity = setup
        .identity
        .clone()
        .create(store, world.clock.as_ref())
        .await?;
    // Another run may have made the lake a moment ago, and otherwise.
    let setup = Arc::new(Setup::resolve(options, Some(identity), now_ms)?);
    setup.describe(report);
    let committed = commit::committed_slices(store).await?;
    let plan = setup.plan(options, now_ms, &committed);
    describe_plan(report, &plan);
    save(store, report).await?;
    if !options.single_writer {
        Identity::check_create_only(store).await?;
    }

    let covered = |slice: &str| {
        slice
            .parse::<Slice>()
            .is_ok_and(|slice| plan.covers(&slice))
    };
    let recovered = commit::recover(store, world.clock.as_ref(), covered).await?;
    let adopted: BTreeSet<String> = recovered
        .adopted
        .iter()
        .map(|commit| commit.slice.clone())
        .collect();
    for commit in &recovered.adopted {
        report.slices.adopted += 1;
        count_commit(report, commit);
    }
    let slices = plan
        .slices
        .iter()
        .filter(|slice| !adopted.contains(&slice.to_string()));
    let outcome = scan_all(options, world, &setup, slices.copied().collect(), report).await;

    let committed = commit::committed_slices(store).await?;
    report.watermark = Some(format_time(watermark(
        setup.identity.begin_ms,
        setup.length,
        &committed,
    )));
    outcome
}

/// Keeps a few slices in flight, oldest first, until all are done or the run has to stop.
async fn scan_all(
    options: &JobOptions,
    world: &Arc<World>,
    setup: &Arc<Setup>,
    slices: Vec<Slice>,
    report: &mut RunReport,
) -> Result<(), JobError> {
    world.progress.begin(slices.len() as u64);
    let task = SliceTask {
        world: Arc::clone(world),
        setup: Arc::clone(setup),
        options: Arc::new(options.clone()),
        run: report.run.clone(),
    };
    let mut waiting = slices.into_iter();
    let mut flying: BTreeMap<Id, Slice> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let mut stop = false;
    loop {
        while !stop && tasks.len() < options.parallel {
            if *world.interrupted.borrow() {
                stop = true;
                break;
            }
            let Some(slice) = waiting.next() else { break };
            let task = task.clone();
            let handle = tasks.spawn(async move { task.scan_and_commit(slice).await });
            flying.insert(handle.id(), slice);
        }
        let Some(ended) = tasks.join_next_with_id().await else {
            break;
        };
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let slice = flying.remove(&id).expect("every task has its slice");
        let result = match ended {
            Ok((_, result)) => result,
            Err(source) => Err(JobError::Died { slice, source }),
        };
        match result {
            Ok(done) => {
                report.unknown(&slice, &done.unknown);
                match done.outcome {
                    Outcome::Committed => {
                        report.slices.committed += 1;
                        count_commit(report, &done.commit);
                        info!(%slice, rows = done.commit.counts.rows, files = done.commit.files.len(), "committed");
                    }
                    Outcome::Lost => report.slices.lost_attempts += 1,
                }
                if let Some(error) = done.trouble {
                    stop |= error.kind().stops_the_run();
                    error!(%slice, error = %crate::error::chain(&error), "the slice is committed, but not cleared up");
                    report.failed(None, &error);
                }
            }
            Err(error) => {
                stop |= error.kind().stops_the_run();
                if error.kind() == ErrorKind::Interrupted {
                    continue;
                }
                error!(%slice, error = %crate::error::chain(&error), "slice failed");
                report.failed(Some(&slice), &error);
            }
        }
        world.progress.slice_done(report.counts.rows);
    }
    if *world.interrupted.borrow() {
        Err(JobError::Interrupted)
    } else {
        Ok(())
    }
}

fn count_commit(report: &mut RunReport, commit: &Commit) {
    report.counts.add(&commit.counts);
    report.files += commit.files.len() as u64;
    report.bytes_out += commit.files.iter().map(|file| file.bytes).sum::<u64>();
}

fn describe_plan(report: &mut RunReport, plan: &Plan) {
    report.window_asked = Some(plan.asked.into());
    report.window = Some(plan.covered.into());
    report.slices.planned = plan.slices.len() as u64;
    report.slices.skipped = plan.committed;
    report.notes.extend(plan.remarks());
    if plan.slices.is_empty() {
        let what = if plan.covered.is_empty() {
            "no slice of the window is closed yet"
        } else {
            "every closed slice is committed"
        };
        report.notes.push(format!("nothing to do: {what}"));
    }
}

/// The lake and the flags, brought together.
struct Setup {
    identity: Identity,
    clock: ClockField,
    length: SliceLength,
    settle_ms: i64,
}

impl Setup {
    fn resolve(
        options: &JobOptions,
        found: Option<Identity>,
        now_ms: i64,
    ) -> Result<Self, JobError> {
        let JobOptions { wish, .. } = options;
        let default_slice = SliceLength::try_new(DEFAULT_SLICE).expect("an hour is whole minutes");
        let identity = match found {
            Some(identity) => {
                check_wish(wish, &identity)?;
                identity
            }
            None => Identity::new(
                LakeSource::Scan,
                wish.api_host.clone(),
                wish.clock.unwrap_or(ClockField::Created).to_string(),
                wish.filters.clone().unwrap_or_default(),
                wish.slice.unwrap_or(default_slice).minutes(),
                schema::activity().version,
                options
                    .from_ms
                    .unwrap_or((now_ms - options.initial_ms).max(0)),
            ),
        };
        let clock: ClockField = identity.clock.parse().map_err(|_| {
            JobError::Usage(format!(
                "the lake's clock '{}' is not known; use the newer program",
                identity.clock
            ))
        })?;
        let minutes = u64::try_from(identity.slice_minutes).unwrap_or(0);
        let length =
            SliceLength::try_new(std::time::Duration::from_secs(minutes.saturating_mul(60)))
                .map_err(|error| JobError::Usage(format!("the lake's slice length: {error}")))?;
        if clock == ClockField::Created && identity.filters.contains_key("created")
            || clock == ClockField::Date && identity.filters.contains_key("date")
        {
            return Err(JobError::Usage(format!(
                "--filters names the lake's clock '{clock}', which the window decides; take it out and use --from and --until"
            )));
        }
        let settle_ms = options
            .settle_ms
            .unwrap_or_else(|| default_settle_ms(clock));
        Ok(Self {
            identity,
            clock,
            length,
            settle_ms,
        })
    }

    fn plan(&self, options: &JobOptions, now_ms: i64, committed: &BTreeSet<String>) -> Plan {
        let from_ms = options.from_ms.unwrap_or(self.identity.begin_ms);
        let until_ms = options.until_ms.unwrap_or(now_ms).max(from_ms);
        Plan::new(
            TimeWindow { from_ms, until_ms },
            self.length,
            now_ms,
            self.settle_ms,
            committed,
        )
    }

    fn describe(&self, report: &mut RunReport) {
        report.api_host.clone_from(&self.identity.api_host);
        report.clock = self.clock.to_string();
        if self.clock == ClockField::Date {
            let settle = std::time::Duration::from_millis(self.settle_ms.unsigned_abs());
            report.notes.push(format!(
                "by date, a slice settles for {} and misses whatever arrives later; by created it would not",
                humantime::format_duration(settle)
            ));
        }
    }
}

/// Refuses flags that ask for another lake than the one that is there.
fn check_wish(wish: &LakeWish, identity: &Identity) -> Result<(), JobError> {
    let LakeWish {
        api_host,
        clock,
        filters,
        slice,
    } = wish;
    let other = |flag: &str, asked: String, is: String| {
        Err(JobError::Usage(format!(
            "the lake was made with {flag} {is}, and this run says {asked}; leave the flag out, or give another --lake"
        )))
    };
    if identity.source != LakeSource::Scan {
        return Err(JobError::Usage(format!(
            "the lake was made by {}, so scan cannot add to it; give another --lake",
            identity.source
        )));
    }
    if identity.schema_version != schema::activity().version {
        return Err(JobError::Usage(format!(
            "the lake has schema version {}, and this program writes {}; use the matching program",
            identity.schema_version,
            schema::activity().version
        )));
    }
    if *api_host != identity.api_host {
        return other("--api-url", api_host.clone(), identity.api_host.clone());
    }
    if let Some(clock) = clock.filter(|clock| clock.as_str() != identity.clock) {
        return other("--by", clock.to_string(), identity.clock.clone());
    }
    if let Some(filters) = filters
        .as_ref()
        .filter(|filters| **filters != identity.filters)
    {
        let text = |filters: &Map<String, Value>| Value::Object(filters.clone()).to_string();
        return other("--filters", text(filters), text(&identity.filters));
    }
    if let Some(slice) = slice.filter(|slice| slice.minutes() != identity.slice_minutes) {
        return other(
            "--slice",
            slice.to_string(),
            format!("{}m", identity.slice_minutes),
        );
    }
    Ok(())
}

/// What every slice of a run needs.
#[derive(Clone)]
struct SliceTask {
    world: Arc<World>,
    setup: Arc<Setup>,
    options: Arc<JobOptions>,
    run: String,
}

/// A slice that came to its end.
struct SliceDone {
    outcome: Outcome,
    commit: Commit,
    unknown: BTreeMap<String, u64>,
    /// What the store refused after the commit was there.
    trouble: Option<JobError>,
}

/// What the pages of a slice go through, and what they leave behind.
struct Flow {
    decoder: PageDecoder,
    sifter: Sifter,
    counts: SliceCounts,
    unknown: BTreeMap<String, u64>,
}

impl SliceTask {
    /// Scans a slice, writes its rows and commits them.
    async fn scan_and_commit(&self, slice: Slice) -> Result<SliceDone, JobError> {
        let attempt = self.world.ids.next();
        match self.attempt(slice, &attempt).await {
            Err(error) if error.kind() == ErrorKind::Storage => {
                self.judge(slice, &attempt, error).await
            }
            ended => ended,
        }
    }

    /// Looks at the commit before an error of the store counts: whoever commits a slice sweeps away
    /// what others have staged of it, so those who lost meet missing files wherever they are.
    async fn judge(
        &self,
        slice: Slice,
        attempt: &str,
        error: JobError,
    ) -> Result<SliceDone, JobError> {
        let Ok(Some(commit)) = Commit::load(&self.world.store, &slice.to_string()).await else {
            return Err(error);
        };
        let is_own = commit.attempt == attempt;
        let is_swept = error
            .store()
            .is_some_and(|error| error.kind() == StoreErrorKind::Missing);
        if !is_own {
            let reason = crate::error::chain(&error);
            info!(%slice, attempt, winner = %commit.attempt, reason, "another attempt won");
        }
        Ok(SliceDone {
            outcome: if is_own {
                Outcome::Committed
            } else {
                Outcome::Lost
            },
            commit,
            unknown: BTreeMap::new(),
            trouble: (is_own || !is_swept).then_some(error),
        })
    }

    /// One try at a slice.
    async fn attempt(&self, slice: Slice, attempt: &str) -> Result<SliceDone, JobError> {
        let name = slice.to_string();
        let store = &self.world.store;
        let mut writer = SliceWriter::new(
            store.clone(),
            schema::activity().arrow(),
            &name,
            attempt,
            self.options.write,
            Provenance {
                tool_version: concat!("mdca-lake ", env!("CARGO_PKG_VERSION")).to_owned(),
                schema_version: schema::activity().version.to_string(),
                run: self.run.clone(),
                clock: self.setup.clock.to_string(),
            },
        );
        let mut rejects = RejectsWriter::new(store.clone(), &name, attempt);
        let flow = match self.fill(slice, &mut writer, &mut rejects).await {
            Ok(flow) => flow,
            Err(error) => {
                writer.abort().await;
                rejects.abort().await;
                return Err(error);
            }
        };
        let files = match writer.finish().await {
            Ok(files) => files,
            Err(error) => {
                rejects.abort().await;
                return Err(error.into());
            }
        };
        let entries = files.iter().map(|file| file.entry.clone()).collect();
        let commit = |rejects| {
            Commit::new(
                name.clone(),
                attempt.to_owned(),
                self.run.clone(),
                self.world.clock.now_ms(),
                schema::activity().version,
                entries,
                rejects,
                flow.counts.clone(),
            )
        };
        let prepared = match rejects.seal().await {
            Ok(None) => Prepared {
                commit: commit(None),
                files,
                rejects: None,
            },
            Ok(Some((entry, upload))) => Prepared {
                commit: commit(Some(entry)),
                files,
                rejects: Some(upload),
            },
            Err(error) => {
                Prepared {
                    commit: commit(None),
                    files,
                    rejects: None,
                }
                .abort()
                .await;
                return Err(error.into());
            }
        };
        let written: u64 = prepared.files.iter().map(|file| file.entry.rows).sum();
        if !flow.counts.conserve() || written != flow.counts.rows {
            let counts = &flow.counts;
            let accounted = written
                + counts.rejects.values().sum::<u64>()
                + counts.repeats
                + counts.outside_probe
                - counts.copies;
            let records = counts.records;
            prepared.abort().await;
            return Err(JobError::Conservation {
                slice,
                records,
                accounted,
            });
        }
        let commit = prepared.commit.clone();
        let outcome = commit::commit(store, self.world.clock.as_ref(), prepared).await?;
        Ok(SliceDone {
            outcome,
            commit,
            unknown: flow.unknown,
            trouble: None,
        })
    }

    /// Takes every page of a slice from the service to the writer.
    async fn fill(
        &self,
        slice: Slice,
        writer: &mut SliceWriter,
        rejects: &mut RejectsWriter,
    ) -> Result<Flow, JobError> {
        let scan_options = Arc::new(ScanOptions {
            clock: self.setup.clock,
            filters: self.setup.identity.filters.clone(),
            look_ahead_max_bytes: self.options.look_ahead_max_bytes,
        });
        let mut scan = SliceScan::new(Arc::clone(&self.world.client), slice, scan_options);
        let mut flow = Flow {
            decoder: PageDecoder::new(),
            sifter: Sifter::new(self.setup.clock),
            counts: SliceCounts::default(),
            unknown: BTreeMap::new(),
        };
        let mut interrupted = self.world.interrupted.clone();
        loop {
            let page = tokio::select! {
                biased;
                _ = interrupted.wait_for(|interrupted| *interrupted) => return Err(JobError::Interrupted),
                page = scan.next_page() => page?,
            };
            let Some(page) = page else { break };
            let sifted;
            (flow, sifted) = self.take_page(flow, page).await?;
            scan.observe(sifted.seen)?;
            for (key, part) in partition::split(&sifted.rows)? {
                writer.write(key, part).await?;
            }
            rejects.write(sifted.rejects).await?;
        }
        self.check_rejects(slice, &flow.counts)?;
        self.check_closed(slice, scan.last_date_ms())?;
        Ok(flow)
    }

    /// Decodes and sifts a page where it may take its time.
    async fn take_page(&self, mut flow: Flow, page: Page) -> Result<(Flow, Sifted), JobError> {
        let ingest = Ingest {
            run: self.run.clone(),
            received_ms: self.world.clock.now_ms(),
            keep_raw: self.options.keep_raw,
        };
        let work = tokio::task::spawn_blocking(move || {
            let decoded = flow
                .decoder
                .decode(&page.text[page.data.clone()], &ingest)?;
            let sifted = flow.sifter.sift(&page, &decoded)?;
            flow.counts.add(&sifted.counts);
            for (path, count) in decoded.unknown {
                *flow.unknown.entry(path).or_default() += count;
            }
            Ok((flow, sifted))
        });
        work.await
            .unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic()))
    }

    fn check_rejects(&self, slice: Slice, counts: &SliceCounts) -> Result<(), JobError> {
        let rejects: u64 = counts.rejects.values().sum();
        if self.options.on_reject == OnReject::Keep || rejects == 0 {
            return Ok(());
        }
        let reasons: Vec<String> = counts
            .rejects
            .iter()
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        Err(JobError::Rejects {
            slice,
            rejects,
            reasons: reasons.join(", "),
        })
    }

    /// Makes sure by the service's own clock that nothing can be added to the slice any more: a
    /// local clock that runs fast must not lose records.
    fn check_closed(&self, slice: Slice, service_ms: Option<i64>) -> Result<(), JobError> {
        let Some(service_ms) = service_ms else {
            return Err(JobError::NoDate { slice });
        };
        // A date says the second, which may be all but over.
        if service_ms + 999 - self.setup.settle_ms >= slice.until_ms() {
            Ok(())
        } else {
            Err(JobError::NotClosed { slice, service_ms })
        }
    }
}

/// The most memory that this process held, in bytes, where the system tells.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
