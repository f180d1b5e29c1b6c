//! The real program, in processes of its own, over a tenant that lives in the test.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mdca_lake::window::format_time;
use mdca_sim::{At, ClockField, Fault, Sim, SimOptions, Tenant, TenantOptions, What};
use serde_json::Value;
use tempfile::TempDir;

use super::readers;
use super::scenario::{age_by_an_hour, assert_same, at, files_below};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_mdca-lake");
/// A process that takes longer than this hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Says that this machine cannot have something; where gaps are refused, fails.
pub(crate) fn gap(what: &str) {
    assert!(std::env::var_os("MDCA_REFUSE_GAPS").is_none(), "{what}");
    // Not `eprintln`, which shows only when the test fails.
    let line = format!("GAP: {what}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Seeds a source of randomness, and says with what.
pub(crate) fn random() -> fastrand::Rng {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    fastrand::Rng::with_seed(seed)
}

/// How often a story is told: as often as it says, or `MDCA_TEST_TIMES` times as often.
pub(crate) fn often(times: usize) -> usize {
    let factor = std::env::var("MDCA_TEST_TIMES").map_or(1, |factor| factor.parse().unwrap());
    times.saturating_mul(factor)
}

/// Of positions every so many, from a random one on: runs after runs come to all of them, and
/// `MDCA_TEST_TIMES` to more at once.
pub(crate) fn every<T>(step: usize, positions: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    let step = step.div_ceil(often(1));
    positions.skip(random().usize(..step)).step_by(step)
}

/// A tenant, and room for lakes.
pub(crate) struct Place {
    pub(crate) sim: Sim,
    range_ms: Range<i64>,
    room: TempDir,
    files: AtomicU32,
    /// The record that the service hands out as `null`.
    rejected: Option<u64>,
}

impl Place {
    pub(crate) fn new(from: &str, until: &str, activities: u64, options: SimOptions) -> Self {
        let range_ms = at(from)..at(until);
        let tenant = Tenant::generate(&TenantOptions {
            activities,
            from_ms: range_ms.start,
            until_ms: range_ms.end,
            ..TenantOptions::default()
        });
        Self {
            sim: Sim::start_blocking(tenant, options).unwrap(),
            range_ms,
            room: tempfile::tempdir().unwrap(),
            files: AtomicU32::new(0),
            rejected: None,
        }
    }

    /// Two slices with rows of several days and a reject: little to do, and some of everything.
    pub(crate) fn small() -> Self {
        let options = SimOptions {
            faults: vec![Fault::new(At::Record(3), What::null_row()).always()],
            ..SimOptions::default()
        };
        let mut place = Self::new("2026-10-01T23:00:00Z", "2026-10-02T01:00:00Z", 40, options);
        place.rejected = Some(3);
        place
    }

    /// A folder for what a story needs besides.
    pub(crate) fn room(&self) -> &Path {
        self.room.path()
    }

    /// A path that nothing has yet.
    pub(crate) fn fresh(&self, name: &str) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.room.path().join(format!("{name}-{number}"))
    }

    /// A lake that is not there yet.
    pub(crate) fn lake(&self) -> Lake<'_> {
        self.lake_at(self.fresh("lake"))
    }

    pub(crate) fn lake_at(&self, path: PathBuf) -> Lake<'_> {
        Lake { place: self, path }
    }

    /// The ids of the rows that the window's records should be, sorted.
    pub(crate) fn expected_ids(&self) -> Vec<String> {
        let records = self
            .sim
            .tenant()
            .records(ClockField::Created, self.range_ms.clone());
        let kept = records
            .into_iter()
            .enumerate()
            .filter(|(rank, _)| Some(*rank as u64) != self.rejected);
        let mut ids: Vec<String> = kept.filter_map(|(_, record)| record.id).collect();
        ids.sort();
        ids
    }

    /// Starts a program with its output in files, where no full pipe can stop it.
    pub(crate) fn start(&self, command: &mut Command) -> Running {
        let (stdout, stderr) = (self.fresh("stdout"), self.fresh("stderr"));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Running {
            child,
            started: Instant::now(),
            stdout,
            stderr,
        }
    }

    pub(crate) fn run(&self, command: &mut Command) -> Ended {
        self.start(command).wait()
    }
}

/// A lake of a [`Place`], there or not.
pub(crate) struct Lake<'a> {
    place: &'a Place,
    path: PathBuf,
}

impl Lake<'_> {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A command on the lake that takes no more than `--lake`.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg(name).arg("--lake").arg(&self.path);
        command
    }

    /// A `scan` of the place's window, as fast as it goes.
    pub(crate) fn scan(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        self.scan_args(&mut command);
        command
    }

    /// The same through another program, which is given this one's path and arguments.
    pub(crate) fn scan_through(&self, mut command: Command) -> Command {
        command.arg(PROGRAM);
        self.scan_args(&mut command);
        command
    }

    /// A `scan` of the first part of the place's window.
    pub(crate) fn scan_until(&self, until: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        self.scan_range(&mut command, self.place.range_ms.start..at(until));
        command
    }

    fn scan_args(&self, command: &mut Command) {
        self.scan_range(command, self.place.range_ms.clone());
    }

    fn scan_range(&self, command: &mut Command, Range { start, end }: Range<i64>) {
        self.window_free_args(command);
        command.args(["--from", &format_time(start), "--until", &format_time(end)]);
    }

    /// A `scan` that says no window, through another program.
    pub(crate) fn scan_without_window(&self, command: &mut Command) {
        command.arg(PROGRAM);
        self.window_free_args(command);
    }

    fn window_free_args(&self, command: &mut Command) {
        command
            .args(["scan", "--api-url", &self.place.sim.url(), "--lake"])
            .arg(&self.path)
            .args(["--report", "json"])
            .env("MDCA_REQUESTS_PER_MINUTE", "0")
            .env("MDCA_IF_RUNNING", "go")
            .env("MDCA_API_TOKEN", "sim-token");
    }

    /// A `scan` whose calls on the lake's folder something happens to.
    pub(crate) fn scan_on(&self, disk: &BadDisk<'_>) -> Command {
        let mut command = self.scan();
        disk.put_below(&mut command, &self.path);
        command
    }

    /// The ids of all visible rows, as others' readers see them, sorted.
    pub(crate) fn ids(&self) -> Vec<String> {
        let rows = readers::rows(&self.path);
        rows.into_iter().map(|(id, _, _)| id).collect()
    }

    /// The ids that `export` gives back, sorted.
    pub(crate) fn exported_ids(&self) -> Vec<String> {
        let output = self.command("export").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let id =
            |line: &str| -> Value { serde_json::from_str::<Value>(line).unwrap()["_id"].take() };
        let mut ids: Vec<String> = text
            .lines()
            .map(|line| id(line).as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    }

    pub(crate) fn verify(&self) -> Ended {
        self.place
            .run(self.command("verify").args(["--report", "json"]))
    }

    /// How many slices are committed.
    pub(crate) fn commits(&self) -> usize {
        files_below(&self.path.join("_mdca/commits"))
            .iter()
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .count()
    }

    /// The lake holds exactly what the service holds, nothing is left of unfinished work, and verify
    /// is content.
    pub(crate) fn expect_exact(&self, what: &str) {
        let verified = self.verify();
        assert_eq!(verified.code(), Some(0), "{what}: {verified}");
        let (ids, expected) = (self.ids(), self.place.expected_ids());
        if ids != expected {
            println!("{what}: {}", self.path.display());
        }
        assert_same(&ids, &expected);
        self.expect_swept(what);
    }

    /// Nothing is left of unfinished work, once the attempts that lost have gone: that takes a run that
    /// begins an hour after the commit.
    pub(crate) fn expect_swept(&self, what: &str) {
        if !files_below(&self.path.join("_mdca/attempts")).is_empty() {
            age_by_an_hour(&self.path);
            let ended = self.place.run(&mut self.scan());
            assert_eq!(ended.code(), Some(0), "{what}: {ended}");
        }
        for folder in ["_mdca/attempts", "_mdca/staging"] {
            let mut left = files_below(&self.path.join(folder));
            // Puts that are of no slice go by their age.
            left.retain(|path| {
                let name = path.file_name().unwrap().to_str().unwrap();
                let of_none = ["_mdca!lake.json#", "_mdca!runs!", "_delta_log!"];
                !of_none.iter().any(|start| name.starts_with(start))
            });
            assert_eq!(left, Vec::<PathBuf>::new(), "{what}");
        }
    }

    /// One undisturbed run ends well, and the lake is whole.
    pub(crate) fn expect_recovered(&self, what: &str) {
        let ended = self.place.run(&mut self.scan());
        assert_eq!(ended.code(), Some(0), "{what}: {ended}");
        self.expect_exact(what);
    }
}

/// A process that runs. Dropped, it is killed.
pub(crate) struct Running {
    child: Child,
    started: Instant,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, by its name: `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until the whole process is stopped; false where it ended instead.
    pub(crate) fn stops(&mut self) -> bool {
        let stat = format!("/proc/{}/stat", self.id());
        self.until("stop", |_| {
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            let state = stat
                .rsplit_once(") ")
                .and_then(|(_, rest)| rest.chars().next());
            state == Some('T')
        })
    }

    /// Waits until `holds`; false where the process ended before.
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if holds(self) {
                return true;
            }
            if self.has_ended() {
                return false;
            }
            assert!(
                Instant::now() < deadline,
                "it does not {what} in {PATIENCE:?}"
            );
            std::thread::park_timeout(Duration::from_micros(500));
        }
    }

    /// Lets it run for a while; true where it ended meanwhile.
    pub(crate) fn runs_for(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline && !self.has_ended() {
            std::thread::park_timeout(Duration::from_micros(300));
        }
        self.has_ended()
    }

    pub(crate) fn wait(self) -> Ended {
        self.wait_within(PATIENCE)
    }

    /// Waits for its end, which is due.
    pub(crate) fn wait_within(mut self, time: Duration) -> Ended {
        let asked = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if asked.elapsed() > time {
                let said = self.said();
                panic!("it hangs: no end within {time:?}; it said {said}");
            }
            std::thread::park_timeout(Duration::from_millis(1));
        };
        Ended {
            status,
            waited: asked.elapsed(),
            elapsed: self.started.elapsed(),
            stdout: std::fs::read_to_string(&self.stdout).unwrap(),
            stderr: std::fs::read_to_string(&self.stderr).unwrap(),
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.stdout);
        let _ = std::fs::remove_file(&self.stderr);
    }
}

/// A process that ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// From the call of `wait` on.
    pub(crate) waited: Duration,
    pub(crate) elapsed: Duration,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        let asked = Instant::now();
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            status: output.status,
            waited: asked.elapsed(),
            elapsed: asked.elapsed(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Its exit code; `None` where a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// What it printed as JSON.
    pub(crate) fn report(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// A number of the report's slices.
    pub(crate) fn slices(&self, which: &str) -> u64 {
        self.report()["slices"][which].as_u64().unwrap()
    }

    /// Everything it said.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} after {:?}: {}",
            self.status,
            self.elapsed,
            self.text()
        )
    }
}

pub(crate) fn signal(process: u32, name: &str) {
    let line = format!("kill -{name} {process}");
    // The process may be gone.
    let _ = Command::new("sh")
        .args(["-c", &line])
        .stderr(Stdio::null())
        .status();
}

/// What happens to the calls that touch the lake's folder; see `tests/shim/disk.c`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BadDisk<'a> {
    /// Which calls; all but reads where it is empty.
    pub(crate) calls: &'a str,
    /// The position, from 1; 0 is none.
    pub(crate) at: usize,
    /// Whether every later call is met as well.
    pub(crate) onwards: bool,
    /// What happens.
    pub(crate) what: &'a str,
    /// After how many more calls the process is killed; 0 is never.
    pub(crate) then_killed: usize,
    /// Where the calls are written down.
    pub(crate) log: Option<&'a Path>,
    /// Where the bytes go that a power cut could not take.
    pub(crate) keep: Option<&'a Path>,
    /// What the disk does not know at all.
    pub(crate) lacks: &'a str,
}

impl BadDisk<'_> {
    pub(crate) fn put_below(&self, command: &mut Command, lake: &Path) {
        let Self {
            calls,
            at,
            onwards,
            what,
            then_killed,
            log,
            keep,
            lacks,
        } = *self;
        command
            .env("LD_PRELOAD", shim().expect("the story asked for the shim"))
            .env("SHIM_ROOT", lake)
            .env("SHIM_AT", format!("{at}{}", if onwards { "+" } else { "" }))
            .env("SHIM_DO", what)
            .env("SHIM_LACKS", lacks);
        if !calls.is_empty() {
            command.env("SHIM_CALLS", calls);
        }
        if then_killed > 0 {
            command.env("SHIM_THEN", format!("kill {then_killed}"));
        }
        if let Some(log) = log {
            command.env("SHIM_LOG", log);
        }
        if let Some(keep) = keep {
            command.env("SHIM_KEEP", keep);
        }
    }
}

/// A call on the disk that a shim wrote down.
#[derive(Clone, Debug)]
pub(crate) struct DiskCall {
    /// From 1.
    pub(crate) position: usize,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// Where a `rename` or `link` leads; else empty.
    pub(crate) to: PathBuf,
    /// Whether it did what it should; known only where bytes are kept.
    pub(crate) done: bool,
}

pub(crate) fn calls_in(log: &Path) -> Vec<DiskCall> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let mut calls: Vec<DiskCall> = Vec::new();
    for line in text.lines() {
        let mut words = line.split('\t');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let position: usize = word().parse().unwrap();
        let name = word();
        if name == "done" {
            let call = calls
                .iter_mut()
                .rev()
                .find(|call| call.position == position);
            call.unwrap().done = true;
        } else {
            calls.push(DiskCall {
                position,
                name,
                path: word().into(),
                to: word().into(),
                done: false,
            });
        }
    }
    calls
}

/// The shim before the disk, made once; `None`, and a gap, where no C compiler is there or the system
/// is no Linux.
pub(crate) fn shim() -> Option<&'static Path> {
    static SHIM: OnceLock<Option<PathBuf>> = OnceLock::new();
    SHIM.get_or_init(|| made_shim("disk")).as_deref()
}

/// The same before the making of threads; see `tests/shim/threads.c`.
pub(crate) fn thread_shim() -> Option<&'static Path> {
    static SHIM: OnceLock<Option<PathBuf>> = OnceLock::new();
    SHIM.get_or_init(|| made_shim("threads")).as_deref()
}

fn made_shim(name: &str) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/shim/{name}.c"));
    let library =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.so", std::process::id()));
    let made = Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output();
    match made {
        Ok(output) if output.status.success() && cfg!(target_os = "linux") => Some(library),
        other => {
            gap(&format!("no shim {name}: {other:?}"));
            None
        }
    }
}
