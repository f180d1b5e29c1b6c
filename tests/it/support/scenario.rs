//! A story: a tenant, faults, runs, and what must be true afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use clap::Parser;
use mdca_lake::cli::{Cli, Command};
use mdca_lake::clock::Clock;
use mdca_lake::config::{CompactConfig, Environment, ScanConfig, SignInEnvironment};
use mdca_lake::job::compact::report::CompactReport;
use mdca_lake::job::process::Machine;
use mdca_lake::job::progress::Progress;
use mdca_lake::job::report::RunReport;
use mdca_lake::job::{self, Asking, Ids, Planned, StoreWorld, World};
use mdca_lake::scan::{ActivityClient, Budget, ScanCounters};
use mdca_lake::sign_in::SignIn;
use mdca_lake::status::LakeStatus;
use mdca_lake::store::{ScratchFolder, Store};
use mdca_lake::text::report::Report;
use mdca_lake::verify::{self, Depth, Sweep, Verification};
use mdca_lake::window::{format_time, parse_time};
use mdca_sim::{ClockField, Fault, PageLimits, Record, Sim, SimOptions, Tenant, TenantOptions};
use tempfile::TempDir;
use tokio::sync::watch;

use super::bucket::{Bucket, CreateOnly, SMALL_PARTS};
use super::clock::TestClock;
use super::faulty::Gate;
use super::{readers, table};

pub(crate) const HOUR_MS: i64 = 60 * 60_000;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

pub(crate) fn at(time: &str) -> i64 {
    parse_time(time, 0).unwrap()
}

/// With which flags and variables a story signs in, for the tenant's address.
pub(crate) type Signing = Arc<dyn Fn(&str) -> (Vec<String>, SignInEnvironment) + Send + Sync>;

fn with_the_token(_: &str) -> (Vec<String>, SignInEnvironment) {
    let environment = SignInEnvironment {
        token: Some("sim-token".into()),
        ..SignInEnvironment::default()
    };
    (Vec::new(), environment)
}

/// What a story begins with.
pub(crate) struct Scenario {
    tenant: TenantOptions,
    options: SimOptions,
    from_ms: i64,
    until_ms: i64,
    now_ms: i64,
    flags: Vec<String>,
    asks_first: bool,
    sign_in: Signing,
    /// The size of a part in object storage; none where the lake is on a disk.
    part_bytes: Option<usize>,
}

impl Scenario {
    /// A tenant whose activities were saved in these hours of 2026-11-18, and were long ago.
    pub(crate) fn hours(hours: i64) -> Self {
        let from_ms = at("2026-11-18");
        Self::window(from_ms, from_ms + hours * HOUR_MS)
    }

    pub(crate) fn window(from_ms: i64, until_ms: i64) -> Self {
        Self {
            tenant: TenantOptions {
                activities: 300,
                from_ms,
                until_ms,
                ..TenantOptions::default()
            },
            options: SimOptions::default(),
            from_ms,
            until_ms,
            now_ms: until_ms + DAY_MS,
            flags: Vec::new(),
            asks_first: false,
            sign_in: Arc::new(with_the_token),
            part_bytes: None,
        }
    }

    /// Whether the lake is in object storage, in memory; else it is on a disk.
    pub(crate) fn in_bucket(self, in_bucket: bool) -> Self {
        self.with_parts(in_bucket.then_some(SMALL_PARTS))
    }

    /// The same with parts of this size: a file that is smaller is a plain put.
    pub(crate) fn with_parts(mut self, part_bytes: Option<usize>) -> Self {
        self.part_bytes = part_bytes;
        self
    }

    /// A run that makes the lake sends its first request too. Other stories are of what comes after
    /// it, and count requests without it.
    pub(crate) fn asks_first(mut self) -> Self {
        self.asks_first = true;
        self
    }

    pub(crate) fn activities(mut self, activities: u64) -> Self {
        self.tenant.activities = activities;
        self
    }

    pub(crate) fn seed(mut self, seed: u64) -> Self {
        self.tenant.seed = seed;
        self
    }

    /// Activities saved in the same millisecond as another, in a thousand.
    pub(crate) fn ties(mut self, per_mille: u32) -> Self {
        self.tenant.ties_per_mille = per_mille;
        self
    }

    pub(crate) fn page_cap(mut self, cap: usize) -> Self {
        self.options.page_limits = PageLimits::capped(cap);
        self
    }

    pub(crate) fn fault(mut self, fault: Fault) -> Self {
        self.options.faults.push(fault);
        self
    }

    pub(crate) fn now(mut self, time: &str) -> Self {
        self.now_ms = at(time);
        self
    }

    pub(crate) fn flags(mut self, flags: &[&str]) -> Self {
        self.flags
            .extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    pub(crate) fn options(mut self, change: impl FnOnce(&mut SimOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Signs in otherwise than with the token.
    pub(crate) fn signs_in(mut self, sign_in: Signing) -> Self {
        self.sign_in = sign_in;
        self
    }

    /// Starts the tenant; nothing is scanned yet.
    pub(crate) async fn start(self) -> Story {
        let clock = TestClock::at(self.now_ms);
        let mut options = self.options;
        let shared = clock.clone();
        options.now = Arc::new(move || shared.now_ms());
        let sim = Sim::start(Tenant::generate(&self.tenant), options)
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("lake");
        Story {
            lines: Arc::default(),
            sim,
            clock,
            lake,
            bucket: self
                .part_bytes
                .map(|part_bytes| (Bucket::new(CreateOnly::Honoured), part_bytes)),
            folder,
            from_ms: self.from_ms,
            until_ms: self.until_ms,
            flags: self.flags,
            asks_first: self.asks_first,
            sign_in: self.sign_in,
        }
    }

    /// Starts the tenant and scans the window once.
    pub(crate) async fn run(self) -> (Story, RunReport) {
        let story = self.start().await;
        let report = story.scan(&[]).await;
        (story, report)
    }
}

/// A tenant and a lake.
pub(crate) struct Story {
    /// What runs said of their progress.
    pub(crate) lines: Arc<Mutex<Vec<String>>>,
    pub(crate) sim: Sim,
    pub(crate) clock: TestClock,
    lake: PathBuf,
    bucket: Option<(Arc<Bucket>, usize)>,
    folder: TempDir,
    from_ms: i64,
    until_ms: i64,
    flags: Vec<String>,
    asks_first: bool,
    sign_in: Signing,
}

impl Story {
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(crate) fn lake(&self) -> &Path {
        &self.lake
    }

    /// The store of the lake, wherever it is.
    pub(crate) fn store(&self) -> Store {
        match &self.bucket {
            Some((bucket, part_bytes)) => bucket.store(*part_bytes),
            None => Store::make(self.lake.to_str().unwrap()).unwrap(),
        }
    }

    /// The same behind a gate. In a bucket every single request passes it.
    pub(crate) fn guarded(&self, gate: &Arc<Gate>) -> Store {
        match &self.bucket {
            Some((bucket, part_bytes)) => gate.guard_bucket(bucket, *part_bytes),
            None => gate.guard(&self.store()),
        }
    }

    /// The ids in all visible files, sorted; read in the process, for stories by the thousand.
    pub(crate) async fn visible_ids(&self) -> Vec<String> {
        match &self.bucket {
            Some((bucket, _)) => readers::ids_in(bucket.below("activities").await),
            None => readers::visible_ids(&self.lake),
        }
    }

    /// Runs `scan` over the story's window, with more flags.
    pub(crate) async fn scan(&self, more: &[&str]) -> RunReport {
        self.scan_on(self.store(), fastrand::u64(..), more).await
    }

    /// Runs `scan` as it goes on from where the lake ends, without `--from`.
    pub(crate) async fn go_on(&self, more: &[&str]) -> RunReport {
        self.scan_with(self.store(), fastrand::u64(..), more).await
    }

    /// The same on a store that may stand before the lake's own.
    pub(crate) async fn go_on_with(&self, store: Store) -> RunReport {
        self.scan_with(store, fastrand::u64(..), &[]).await
    }

    /// Runs `scan` on a store that may stand before the lake's own; the seed makes the ids.
    pub(crate) async fn scan_on(&self, store: Store, seed: u64, more: &[&str]) -> RunReport {
        let (from, until) = (format_time(self.from_ms), format_time(self.until_ms));
        let window = ["--from", &from, "--until", &until];
        let with_window = [&window, more].concat();
        let is_said = more.contains(&"--from");
        let flags = if is_said { more } else { &with_window };
        Box::pin(self.scan_with(store, seed, flags)).await
    }

    async fn scan_with(&self, store: Store, seed: u64, more: &[&str]) -> RunReport {
        let url = self.sim.url();
        let mut command = vec![
            "mdca-lake",
            "scan",
            "--api-url",
            &url,
            "--lake",
            self.lake.to_str().unwrap(),
        ];
        command.extend(self.flags.iter().map(String::as_str));
        let (sign_in, environment) = (self.sign_in)(&url);
        command.extend(sign_in.iter().map(String::as_str));
        command.extend(more);
        // Stories of runs at the same time are about what they do to each other's commits.
        if !command.contains(&"--if-running") {
            command.extend(["--if-running", "go"]);
        }
        let Command::Scan(args) = Cli::parse_from(command).command else {
            unreachable!()
        };
        let environment = Environment {
            sign_in: environment,
        };
        let mut config = ScanConfig::resolve(*args, environment, self.clock.now_ms()).unwrap();
        config.client.read_timeout = Duration::from_secs(3);
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let counters = Arc::new(ScanCounters::default());
        let budget = Budget::new(
            config.requests_per_minute,
            Arc::clone(&clock),
            Arc::clone(&counters),
        );
        let counted = Arc::clone(&counters);
        let on_retry = Box::new(move |cause| counted.retry(cause));
        let mut sign_in = config.sign_in.unwrap();
        if let SignIn::Bearer(_, patience) = &mut sign_in {
            patience.answer_timeout = Duration::from_secs(1);
        }
        let client = ActivityClient::new(
            config.client,
            sign_in.begin(Arc::clone(&clock), on_retry).unwrap(),
            budget,
            Arc::clone(&clock),
            Arc::clone(&counters),
        )
        .unwrap();
        // The sender is kept: a story is not interrupted.
        let (_interrupt, interrupted) = watch::channel(false);
        let world = World {
            clock,
            store,
            client: Arc::new(client),
            counters,
            interrupted,
            ids: Ids::new(fastrand::Rng::with_seed(seed)),
            // A run that a story kills lives in the story's own process.
            machine: Machine::untold(),
            progress: {
                let lines = Arc::clone(&self.lines);
                Progress::lines(move |line| lines.lock().unwrap().push(line.to_owned()))
            },
        };
        let planned = async {
            let planned = Planned::read(&config.job, Some(&world.store), &self.clock).await?;
            if !self.asks_first {
                return Ok(planned);
            }
            let asking = Asking {
                clock: &self.clock,
                client: &world.client,
                counters: &world.counters,
                interrupted: world.interrupted.clone(),
            };
            planned.ask_first(asking).await
        };
        match planned.await {
            Ok(planned) => job::run(planned, world).await,
            Err(report) => *report,
        }
    }

    /// Compacts the days that have ended, with more flags.
    pub(crate) async fn compact(&self, more: &[&str]) -> CompactReport {
        self.compact_on(self.store(), fastrand::u64(..), more).await
    }

    /// The same on a store that may stand before the lake's own; the seed makes the ids.
    pub(crate) async fn compact_on(&self, store: Store, seed: u64, more: &[&str]) -> CompactReport {
        let mut command = vec!["mdca-lake", "compact", "--before", "0s", "--lake"];
        command.push(self.lake.to_str().unwrap());
        command.extend(more);
        let Command::Compact(args) = Cli::parse_from(command).command else {
            unreachable!()
        };
        let config = CompactConfig::resolve(args).unwrap();
        if config.dry_run {
            return job::compact::plan(&config.job, &store, self.now_ms()).await;
        }
        let (_interrupt, interrupted) = watch::channel(false);
        let world = StoreWorld {
            clock: Arc::new(self.clock.clone()),
            store,
            interrupted,
            ids: Ids::new(fastrand::Rng::with_seed(seed)),
            machine: Machine::untold(),
            progress: Progress::never(),
        };
        let scratch = ScratchFolder::of_lake(self.folder.path().to_owned());
        job::compact::run(&config.job, world, &scratch).await
    }

    /// The records of the lake as `export` gives them.
    pub(crate) async fn export(&self) -> String {
        let mut out = Vec::new();
        let exported = job::export::export(&self.store(), None, &mut out)
            .await
            .unwrap();
        assert!(exported.left_out.is_empty(), "{:?}", exported.left_out);
        String::from_utf8(out).unwrap()
    }

    /// What the service holds of the window, by `created`.
    pub(crate) fn truth(&self) -> Vec<Record> {
        self.sim
            .tenant()
            .records(ClockField::Created, self.from_ms..self.until_ms)
    }

    /// The ids of the rows that the window's records should be, sorted.
    pub(crate) fn expected_ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self
            .truth()
            .into_iter()
            .filter_map(|record| record.id)
            .collect();
        ids.sort();
        ids
    }

    /// The same without one record, which a fault makes a reject.
    pub(crate) fn expected_ids_but(&self, record: u64) -> Vec<String> {
        let rejected = &self.truth()[usize::try_from(record).unwrap()].id;
        let mut ids = self.expected_ids();
        ids.retain(|id| Some(id) != rejected.as_ref());
        ids
    }

    /// The ids of the lake's rows, sorted.
    pub(crate) fn ids(&self) -> Vec<String> {
        readers::rows(&self.lake)
            .into_iter()
            .map(|(id, _, _)| id)
            .collect()
    }

    /// The lake holds exactly what the service holds, nothing is left of unfinished work, and verify
    /// is content.
    pub(crate) async fn expect_exact(&self) {
        assert_same(&self.ids(), &self.expected_ids());
        self.expect_clean().await;
        if !self
            .flags
            .iter()
            .any(|flag| flag == "--requests-per-minute")
        {
            self.expect_within_budget(30);
        }
    }

    pub(crate) async fn expect_clean(&self) {
        assert_eq!(
            files_below(&self.lake.join("_mdca/attempts")),
            Vec::<PathBuf>::new()
        );
        assert_eq!(
            files_below(&self.lake.join("_mdca/staging")),
            Vec::<PathBuf>::new()
        );
        if let Some((bucket, _)) = &self.bucket {
            assert_eq!(bucket.below("_mdca/attempts").await, []);
            // What nobody completed is invisible and ends by the bucket's own rule, or so.
            if !bucket.unfinished().is_empty() {
                let swept = self.verify(Sweep::Unnamed).await.swept;
                assert!(
                    swept.iter().all(|what| what.contains("unfinished upload")),
                    "{swept:?}"
                );
            }
            assert_eq!(bucket.unfinished(), Vec::<String>::new());
        }
        let verification = self.verify(Sweep::Never).await;
        assert_eq!(verification.findings, []);
        assert!(verification.unfinished.is_empty());
        self.status().await;
    }

    /// What the lake holds, by its table and by its commits.
    pub(crate) async fn status(&self) -> LakeStatus {
        table::status_of(&self.store(), self.now_ms()).await
    }

    pub(crate) async fn verify(&self, sweep: Sweep) -> Verification {
        verify::verify(&self.store(), Depth::Rows, sweep, self.now_ms())
            .await
            .unwrap()
    }

    /// Time passes, for a store in memory as well.
    pub(crate) async fn time_passes(&self, by: Duration) {
        self.clock.advance(by);
        if let Some((bucket, _)) = &self.bucket {
            bucket.advance(TimeDelta::from_std(by).unwrap()).await;
        }
    }

    /// An hour passes, for the lake's store as well.
    pub(crate) async fn an_hour_passes(&self) {
        self.clock.advance(Duration::from_secs(3_600));
        match &self.bucket {
            Some((bucket, _)) => bucket.advance(TimeDelta::hours(1)).await,
            None => age_by_an_hour(&self.lake),
        }
    }

    /// What is left of those who lost goes with the first run that begins an hour after the commit.
    pub(crate) async fn expect_clean_in_an_hour(&self) {
        self.an_hour_passes().await;
        let report = self.scan(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        self.expect_clean().await;
    }

    /// No 60 seconds of simulated time hold more requests than the budget.
    pub(crate) fn expect_within_budget(&self, per_minute: usize) {
        let times: Vec<i64> = self
            .sim
            .requests()
            .iter()
            .map(|request| request.at_ms)
            .collect();
        for window in times.windows(per_minute + 1) {
            assert!(
                window[per_minute] - window[0] >= 60_000,
                "{} requests in 60 s",
                per_minute + 1
            );
        }
    }
}

/// Compares two sorted lists of ids, and says which ones differ.
pub(crate) fn assert_same(found: &[String], expected: &[String]) {
    let count = |ids: &[String]| {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for id in ids {
            *counts.entry(id.clone()).or_default() += 1;
        }
        counts
    };
    let mut difference = count(found);
    for (id, n) in count(expected) {
        *difference.entry(id).or_default() -= n;
    }
    difference.retain(|_, n| *n != 0);
    let some: Vec<_> = difference.iter().take(5).collect();
    assert!(
        difference.is_empty(),
        "{} ids differ (found − expected), such as {some:?}",
        difference.len()
    );
}

/// Conservation, stated a second time.
pub(crate) fn expect_conserved(report: &RunReport) {
    let counts = &report.result.counts;
    let rejects: u64 = counts.rejects.values().sum();
    assert_eq!(
        counts.records + counts.copies,
        counts.rows + rejects + counts.repeats + counts.outside_probe,
        "{counts:?}"
    );
}

/// Makes the own objects of a lake on a disk an hour older.
pub(crate) fn age_by_an_hour(lake: &Path) {
    for path in files_below(&lake.join("_mdca")) {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        let earlier = modified - Duration::from_secs(3_600);
        file.set_modified(earlier).unwrap();
    }
}

pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}
