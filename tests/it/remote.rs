//! The program on real object stores: whole runs, killed runs, runs at once, and refusals.

use mdca_lake::text::report::Report;
use std::collections::HashSet;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mdca_sim::{ClockField, Record, Sim, SimOptions, Tenant, TenantOptions};
use object_store::path::Path;

use crate::support::bucket::{Bucket, CreateOnly, SMALL_PARTS};
use crate::support::engines;
use crate::support::mount::Mount;
use crate::support::process::every;
use crate::support::proxy::{Action, Head, Proxy};
use crate::support::readers;
use crate::support::scenario::{Scenario, assert_same, at};
use crate::support::servers::{Reached, Server};

/// The store is given up in this time, and every refusal is said in it.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(60);

/// A tenant, and a lake in a server.
struct Tale {
    sim: Sim,
    server: Reached,
    lake: String,
    truth: Vec<Record>,
    ids: Vec<String>,
}

impl Tale {
    fn begin(server: Reached, activities: u64) -> Self {
        let (from_ms, until_ms) = (at("2026-10-01"), at("2026-10-01T12:00:00Z"));
        let seed = fastrand::u64(..);
        println!("{:?}, seed {seed}", server.server);
        let tenant = Tenant::generate(&TenantOptions {
            activities,
            from_ms,
            until_ms,
            seed,
            ..TenantOptions::default()
        });
        let sim = Sim::start_blocking(tenant, SimOptions::default()).unwrap();
        let truth = sim.tenant().records(ClockField::Created, from_ms..until_ms);
        let ids = truth.iter().filter_map(|record| record.id.clone());
        let mut ids: Vec<String> = ids.collect();
        ids.sort();
        let mut tale = Self {
            sim,
            server,
            lake: String::new(),
            truth,
            ids,
        };
        tale.move_on();
        tale
    }

    /// Leaves this lake for one that is not there yet.
    fn move_on(&mut self) {
        self.lake = self
            .server
            .lake(&format!("tale-{:016x}", fastrand::u64(..)));
    }

    /// The program on the lake.
    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdca-lake"));
        command
            .args([verb, "--report", "json"])
            .env("MDCA_LAKE", &self.lake)
            .envs(self.server.variables())
            .env("MDCA_API_TOKEN", "sim-token")
            .stdin(Stdio::null());
        command
    }

    fn scan(&self) -> Command {
        let mut command = self.command("scan");
        command
            .args(["--api-url", &self.sim.url()])
            .args(["--from", "2026-10-01", "--until", "2026-10-01T12:00:00Z"])
            .args(["--requests-per-minute", "0"])
            .env("MDCA_PAGE_LIMIT", "100");
        command
    }

    /// The lake is exact by the readers' account, and nothing of unfinished work is left.
    fn check(&self) {
        let rows = if self.server.server == Server::Azurite {
            // pyarrow insists on the hierarchical kind of storage, which Azurite is not.
            readers::rows(self.copy().path())
        } else {
            readers::remote_rows(&self.lake, self.server.variables())
        };
        let found: Vec<String> = rows.into_iter().map(|(id, _, _)| id).collect();
        assert_same(&found, &self.ids);
        let swept = self.command("verify").arg("--sweep").output().unwrap();
        assert_eq!(swept.status.code(), Some(0), "{}", text(&swept));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = self.server.store(&self.lake);
        let list = |folder: &str| {
            let listed = runtime.block_on(store.list(&Path::from(folder))).unwrap();
            listed.into_iter().map(|object| object.location.to_string())
        };
        if self.server.server == Server::Rgw {
            // Ending another upload of an object that is committed could cost the object.
            let files: Vec<String> = list("activities").collect();
            for upload in self.server.unfinished(&self.lake) {
                assert!(files.iter().any(|file| upload.ends_with(file)), "{upload}");
            }
        }
        // Attempts that lost stay for an hour. None is at a slice without a commit.
        let commits: Vec<String> = list("_mdca/commits").collect();
        for attempt in list("_mdca/attempts") {
            let slice = attempt.split('/').nth(2).unwrap();
            assert!(
                commits.contains(&format!("_mdca/commits/{slice}.json")),
                "{attempt}"
            );
        }
        let verified = self.command("verify").output().unwrap();
        assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
    }

    /// The files of the lake on a disk.
    fn copy(&self) -> tempfile::TempDir {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (folder, store) = (tempfile::tempdir().unwrap(), self.server.store(&self.lake));
        runtime.block_on(async {
            for object in store.list(&Path::from("activities")).await.unwrap() {
                let path = folder.path().join(object.location.as_ref());
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                let bytes = store
                    .get(&object.location, u64::MAX)
                    .await
                    .unwrap()
                    .unwrap();
                std::fs::write(path, bytes).unwrap();
            }
        });
        folder
    }

    /// Nothing at all is in the lake.
    fn check_untouched(&self) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let objects = runtime.block_on(self.server.store(&self.lake).list(&Path::default()));
        assert_eq!(objects.unwrap(), []);
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn expect_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
}

fn up(servers: &[Server]) -> impl Iterator<Item = Reached> {
    servers.iter().copied().filter_map(Server::up)
}

/// Waits until a process ended, looking every few milliseconds.
fn ends_within(child: &mut Child, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
    child.try_wait().unwrap().is_some()
}

#[test]
fn a_scan_into_object_storage_is_exact_and_a_rerun_sends_nothing() {
    for server in up(&Server::ALL) {
        let tale = Tale::begin(server, 2_400);
        expect_code(&tale.scan().output().unwrap(), 0);
        tale.check();
        let sent = tale.sim.requests().len();
        let again = tale.scan().output().unwrap();
        expect_code(&again, 0);
        assert_eq!(tale.sim.requests().len(), sent);
        let status = tale.command("status").output().unwrap();
        expect_code(&status, 0);
        let exported = tale.command("export").output().unwrap();
        expect_code(&exported, 0);
        let lines = String::from_utf8(exported.stdout).unwrap().lines().count();
        assert_eq!(lines, tale.ids.len());
    }
}

/// What `connect` prints, run as it is.
#[test]
fn what_is_printed_for_python_opens_a_lake_in_object_storage() {
    for server in up(&[Server::Rgw]) {
        let tale = Tale::begin(server, 300);
        expect_code(&tale.scan().output().unwrap(), 0);
        let room = tempfile::tempdir().unwrap();
        for engine in ["polars", "datafusion"] {
            let printed = tale.command("connect").args(["--engine", engine]).output();
            let printed = printed.unwrap();
            expect_code(&printed, 0);
            let script = room.path().join(engine);
            std::fs::write(&script, printed.stdout).unwrap();
            let arguments = [std::path::Path::new(engine), &script];
            let variables = tale.server.variables();
            let opened = readers::asked(&readers::python(), "connect.py", &arguments, &variables);
            assert_eq!(opened["rows"], tale.ids.len(), "{engine}");
        }
    }
}

#[test]
fn files_of_several_parts_are_exact_though_every_request_fails_once() {
    for server in up(&Server::ALL) {
        let mut tale = Tale::begin(server, 12_000);
        let direct = tale.server.endpoint.clone();
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let proxy = failing_once(&direct, move || PASSING[random.usize(..PASSING.len())]);
        tale.server.endpoint = proxy.endpoint();
        let mut command = tale.scan();
        command.args(["--slice", "12h", "--page-limit", "5000", "--keep-raw"]);
        let output = command.args(["--compression", "zstd:1"]).output().unwrap();
        println!("faults of seed {seed}");
        expect_code(&output, 0);
        tale.server.endpoint = direct;
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let files = runtime
            .block_on(
                tale.server
                    .store(&tale.lake)
                    .list(&Path::from("activities")),
            )
            .unwrap();
        let largest = files.iter().map(|file| file.size).max().unwrap();
        assert!(largest > 8 << 20, "{largest} bytes are one part");
        tale.check();
    }
}

#[test]
fn killed_at_any_moment_the_next_run_completes_the_lake() {
    const KILLS: usize = 15;
    for server in up(&[Server::Rgw, Server::Moto, Server::Azurite]) {
        let mut tale = Tale::begin(server, 2_400);
        let started = Instant::now();
        expect_code(&tale.scan().output().unwrap(), 0);
        let whole_run = started.elapsed();
        tale.move_on();
        let (mut killed, mut begun) = (0, 0);
        while killed < KILLS {
            begun += 1;
            assert!(begun < 6 * KILLS, "{killed} of {begun} runs were killed");
            let mut command = tale.scan();
            let mut child = command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let ended = ends_within(&mut child, whole_run.mul_f64(fastrand::f64() * 0.6));
            child.kill().unwrap();
            child.wait().unwrap();
            killed += usize::from(!ended);
            if ended {
                tale.check();
                tale.move_on();
            }
        }
        expect_code(&tale.scan().output().unwrap(), 0);
        tale.check();
        println!("killed {killed} of {begun} runs, a whole run takes {whole_run:?}");
    }
}

/// Killed at any moment, and at last left to end: the rows are the same, in a file a day.
#[test]
fn a_lake_in_object_storage_is_compacted_whatever_dies_meanwhile() {
    const KILLS: usize = 6;
    for server in up(&Server::ALL) {
        let tale = Tale::begin(server, 1_200);
        expect_code(&tale.scan().output().unwrap(), 0);
        let before = tale.command("export").output().unwrap().stdout;
        let mut killed = 0;
        for _ in 0..KILLS {
            let mut command = tale.command("compact");
            let mut child = command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let time = Duration::from_millis(fastrand::u64(20..1_500));
            let ended = ends_within(&mut child, time);
            child.kill().unwrap();
            child.wait().unwrap();
            killed += u32::from(!ended);
            let after = tale.command("export").output().unwrap();
            expect_code(&after, 0);
            expect_same_lines(&before, &after.stdout);
        }
        expect_code(&tale.command("compact").output().unwrap(), 0);
        let after = tale.command("export").output().unwrap().stdout;
        expect_same_lines(&before, &after);
        let verified = tale.command("verify").output().unwrap();
        expect_code(&verified, 0);
        let status = tale.command("status").output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        for (day, of_day) in status["days"].as_object().unwrap() {
            assert_eq!(of_day["files"], 1, "{day}");
        }
        println!("killed {killed} of {KILLS}");
        // What died within the last hour may still be asleep: without it everybody sees each row once.
        if verified_waits(&verified) == 0 {
            tale.check();
        }
    }
}

/// What is written is kept a second time on the machine's own disk, to be read back.
#[test]
fn a_compaction_without_room_for_temporary_files_says_where_and_leaves_the_lake_as_it_was() {
    let Some(server) = Server::Rgw.up() else {
        return;
    };
    let tale = Tale::begin(server, 600);
    expect_code(&tale.scan().output().unwrap(), 0);
    let before = tale.command("export").output().unwrap().stdout;
    let room = tempfile::tempdir().unwrap();
    for options in ["size=4k", "size=64k", "nr_inodes=1", "ro"] {
        let Some(mount) = Mount::new(room.path().join(options), options) else {
            return;
        };
        let mut compact = tale.command("compact");
        let ended = compact.env("TMPDIR", mount.path()).output().unwrap();
        expect_code(&ended, 6);
        assert!(
            text(&ended).contains("TMPDIR"),
            "{options}: {}",
            text(&ended)
        );
        let after = tale.command("export").output().unwrap();
        expect_code(&after, 0);
        expect_same_lines(&before, &after.stdout);
        expect_code(&tale.command("verify").output().unwrap(), 0);
    }
    expect_code(&tale.command("compact").output().unwrap(), 0);
    tale.check();
}

/// Two lakes of the same records, one of them compacted.
#[test]
fn engines_answer_from_a_gateway_as_the_records_do_before_and_after_compaction() {
    let Some(server) = Server::Rgw.up() else {
        return;
    };
    let mut tale = Tale::begin(server, 600);
    expect_code(&tale.scan().output().unwrap(), 0);
    let lake = tale.lake.clone();
    tale.move_on();
    expect_code(&tale.scan().output().unwrap(), 0);
    let compacted = tale.command("compact").output().unwrap();
    expect_code(&compacted, 0);
    let report: serde_json::Value = serde_json::from_slice(&compacted.stdout).unwrap();
    assert!(report["days"]["compacted"].as_u64() >= Some(1), "{report}");
    let variables = tale.server.variables();
    engines::ask(&lake, &tale.lake, &tale.truth, &variables);
}

fn expect_same_lines(one: &[u8], other: &[u8]) {
    let sorted = |text: &[u8]| {
        let text = String::from_utf8(text.to_vec()).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert!(sorted(one) == sorted(other), "other records");
}

/// Attempts that wait to be judged.
fn verified_waits(output: &Output) -> u64 {
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let unfinished = found["unfinished"].as_array().map_or(0, Vec::len);
    found["attempts"].as_u64().unwrap() + unfinished as u64
}

#[test]
fn of_four_processes_at_once_each_slice_is_committed_by_one() {
    for server in up(&Server::ALL) {
        let tale = Tale::begin(server, 1_200);
        let runs: Vec<Child> = (0..4)
            .map(|_| {
                let mut command = tale.scan();
                command
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let mut lost = 0;
        for run in runs {
            let output = run.wait_with_output().unwrap();
            expect_code(&output, 0);
            let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            lost += report["slices"]["lost_attempts"].as_u64().unwrap();
        }
        // A run that lost in its last step leaves that step to the next.
        expect_code(&tale.scan().output().unwrap(), 0);
        tale.check();
        println!("{lost} attempts lost");
    }
}

#[test]
fn a_signal_in_mid_upload_ends_the_run_in_time_and_leaves_nothing_visible() {
    for server in up(&[Server::Rgw]) {
        let mut tale = Tale::begin(server, 12_000);
        let direct = tale.server.endpoint.clone();
        let proxy = Proxy::before(&direct, |head: &Head| {
            if head.method == "PUT" && head.target.contains("partNumber") {
                Action::Hold(Duration::from_secs(8))
            } else {
                Action::Pass
            }
        });
        tale.server.endpoint = proxy.endpoint();
        let mut command = tale.scan();
        command.args(["--slice", "12h", "--page-limit", "5000", "--keep-raw"]);
        command.args(["--compression", "zstd:1"]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while proxy.disturbed() == 0 {
            assert!(
                !ends_within(&mut child, Duration::from_millis(20)),
                "it ended by itself"
            );
        }
        let asked = Instant::now();
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert!(
            ends_within(&mut child, Duration::from_secs(11)),
            "it does not end"
        );
        println!("ended {:?} after the signal", asked.elapsed());
        assert!(asked.elapsed() < Duration::from_secs(10));
        assert_eq!(child.wait().unwrap().code(), Some(130));

        tale.server.endpoint = direct;
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = tale.server.store(&tale.lake);
        let files = runtime
            .block_on(store.list(&Path::from("activities")))
            .unwrap();
        assert_eq!(files, []);
        let mut command = tale.scan();
        expect_code(
            &command
                .args(["--slice", "12h", "--page-limit", "5000"])
                .output()
                .unwrap(),
            0,
        );
        tale.check();
    }
}

/// Faults that are over when the request is sent again.
const PASSING: [Action; 5] = [
    Action::Break,
    Action::LoseAnswer,
    Action::Reset,
    Action::CutAnswer,
    Action::Refuse(503, "SlowDown"),
];

/// A proxy where the first try of each request meets a fault.
fn failing_once(endpoint: &str, mut fault: impl FnMut() -> Action + Send + 'static) -> Proxy {
    let mut seen = HashSet::new();
    Proxy::before(endpoint, move |head: &Head| {
        if seen.insert((head.method.clone(), head.target.clone())) {
            fault()
        } else {
            Action::Pass
        }
    })
}

/// What a second try would do is done, whatever the request: the first try of each fails.
#[test]
fn a_store_that_fails_once_at_every_request_fails_no_run() {
    for server in up(&Server::ALL) {
        // Each server meets two of them, and in some runs all.
        for fault in every(3, PASSING.into_iter()) {
            let mut tale = Tale::begin(server.clone(), 600);
            let direct = tale.server.endpoint.clone();
            let proxy = failing_once(&direct, move || fault);
            tale.server.endpoint = proxy.endpoint();
            let output = tale.scan().output().unwrap();
            expect_code(&output, 0);
            let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let disturbed = proxy.disturbed();
            println!(
                "{fault:?}: {disturbed} requests disturbed, {}",
                report["store_retries"]
            );
            // Objects that are cut are read on, which nobody counts.
            let cause = match fault {
                Action::Refuse(..) => "http_503",
                _ => "cut",
            };
            let counted = report["store_retries"][cause].as_u64().unwrap();
            assert!(counted >= disturbed as u64 || fault == Action::CutAnswer);
            // What only reads has requests of its own.
            let mut verify = tale.command("verify");
            expect_code(&verify.arg("--deep").output().unwrap(), 0);
            assert!(proxy.disturbed() > disturbed);
            tale.server.endpoint = direct;
            tale.check();
        }
    }
}

/// The requests of a recorded run, every third of them, met by every fault: the next run makes the exact set.
#[test]
fn a_fault_at_any_request_is_said_or_survived_and_the_next_run_completes_the_lake() {
    for server in up(&[Server::Moto]) {
        let faults = [Action::Reset, Action::Refuse(403, "AccessDenied")];
        let (mut tried, mut survived) = (0, 0);
        let mut tale = Tale::begin(server, 60);
        let direct = tale.server.endpoint.clone();
        // Few slices, one after the other: every step of the protocol has its turn.
        let scan = |tale: &Tale| {
            let mut command = tale.scan();
            command.args(["--slice", "6h", "--parallel", "1"]);
            command.output().unwrap()
        };
        for fault in faults {
            for position in every(3, 0..) {
                tale.move_on();
                let mut requests = 0;
                let proxy = Proxy::before(&direct, move |_: &Head| {
                    requests += 1;
                    if requests == position + 1 {
                        fault
                    } else {
                        Action::Pass
                    }
                });
                tale.server.endpoint = proxy.endpoint();
                let output = scan(&tale);
                let code = output.status.code().unwrap();
                let may_fail = fault != Action::Reset;
                assert!(code == 0 || may_fail && code == 6, "{}", text(&output));
                tale.server.endpoint.clone_from(&direct);
                expect_code(&scan(&tale), 0);
                tale.check();
                if proxy.disturbed() == 0 {
                    break;
                }
                tried += 1;
                survived += u32::from(code == 0);
            }
        }
        println!("{tried} faults, of which {survived} were survived");
    }
}

/// The first answer to a listing, and the first with an object, stop short of their end and stay so.
#[test]
fn an_answer_that_stalls_is_asked_for_again() {
    for server in up(&[Server::Moto]) {
        let mut tale = Tale::begin(server, 60);
        let direct = tale.server.endpoint.clone();
        expect_code(&tale.scan().output().unwrap(), 0);
        let mut seen = HashSet::new();
        let proxy = Proxy::before(&direct, move |head: &Head| {
            let is_object = head.target.ends_with("/_mdca/lake.json");
            let is_commits = head.target.contains("list-type") && head.target.contains("commits");
            if (is_object || is_commits) && seen.insert(is_object) {
                Action::Stall
            } else {
                Action::Pass
            }
        });
        tale.server.endpoint = proxy.endpoint();
        expect_code(&tale.command("status").output().unwrap(), 0);
        assert_eq!(proxy.disturbed(), 2, "{:?}", proxy.seen());
    }
}

/// Killed after any answer of the tenant, whatever the run is doing with the store just then.
#[test]
fn a_gateway_that_is_killed_and_comes_back_is_waited_for() {
    const SLICES: usize = 12;
    let Some(server) = Server::Rgw.up() else {
        return;
    };
    let configuration = std::env::var("MDCA_TEST_RGW_CONF").unwrap();
    let mut tale = Tale::begin(server, 2_400);
    let shared = tale.server.endpoint.clone();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let gateway = || {
        let mut command = Command::new("radosgw");
        command
            .args(["-c", &configuration, "-f", "-n", "client.rgw.a"])
            .arg(format!(
                "--rgw_frontends=beast endpoint=127.0.0.1:{port} tcp_nodelay=1"
            ))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let mut current = gateway();
    for answers in (1..=SLICES).step_by(2) {
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        tale.move_on();
        tale.server.endpoint = format!("http://127.0.0.1:{port}");
        let before = tale.sim.requests().len();
        let mut command = tale.scan();
        let run = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while tale.sim.requests().len() < before + answers {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        current.kill().unwrap();
        current.wait().unwrap();
        current = gateway();
        expect_code(&run.wait_with_output().unwrap(), 0);
        tale.server.endpoint.clone_from(&shared);
        tale.check();
        println!("killed after {answers} answers");
    }
    current.kill().unwrap();
    current.wait().unwrap();
}

/// Runs a scan that must be refused: exit 6 within the minute, these words, and no secret.
fn expect_refused(tale: &Tale, mut command: Command, words: &[&str]) {
    let started = Instant::now();
    let output = command.arg("-vvv").output().unwrap();
    let took = started.elapsed();
    expect_code(&output, 6);
    assert!(took < GIVEN_UP_WITHIN, "{took:?}");
    let said = text(&output);
    for word in words {
        assert!(said.contains(word), "no '{word}' in: {said}");
    }
    assert!(!said.contains(&tale.server.secret), "{said}");
    println!("{took:?}: {words:?}");
}

#[test]
fn what_a_store_refuses_is_said_with_the_remedy() {
    for server in up(&Server::ALL) {
        let tale = Tale::begin(server, 10);
        let azure = tale.server.server == Server::Azurite;
        let key_variable = if azure {
            "AZURE_STORAGE_ACCOUNT_KEY"
        } else {
            "AWS_SECRET_ACCESS_KEY"
        };

        let mut missing = tale.scan();
        let scheme = if azure { "az" } else { "s3" };
        missing.env("MDCA_LAKE", format!("{scheme}://no-such-place/lake"));
        let thing = if azure {
            "create the container first"
        } else {
            "create the bucket first"
        };
        expect_refused(&tale, missing, &["no-such-place", thing]);

        let mut wrong = tale.scan();
        let other = if azure { "b3RoZXIta2V5" } else { "hunter2" };
        wrong.env(key_variable, other);
        expect_refused(&tale, wrong, &[key_variable, &tale.lake]);

        if !azure {
            let mut unknown = tale.scan();
            unknown.env("AWS_ACCESS_KEY_ID", "nobody");
            expect_refused(&tale, unknown, &["AWS_ACCESS_KEY_ID", &tale.lake]);
        }
        let mut none = tale.scan();
        none.env_remove(key_variable);
        expect_refused(&tale, none, &[key_variable]);
        tale.check_untouched();
    }
}

#[test]
fn a_reader_may_not_write_and_a_full_account_takes_no_more() {
    let Some(server) = Server::Rgw.up() else {
        return;
    };
    let mut tale = Tale::begin(server, 600);
    tale.lake = tale.lake.replace("s3://lakes/", "s3://read-only/");
    let as_user = |name: &str, command: &mut Command| {
        command
            .env("AWS_ACCESS_KEY_ID", format!("{name}-key"))
            .env("AWS_SECRET_ACCESS_KEY", format!("{name}-secret"));
    };
    let mut reader = tale.scan();
    as_user("reader", &mut reader);
    expect_refused(
        &tale,
        reader,
        &["AccessDenied", "list, read, write and delete"],
    );
    let mut stranger = tale.scan();
    as_user("stranger", &mut stranger);
    expect_refused(
        &tale,
        stranger,
        &["AccessDenied", "list, read, write and delete"],
    );
    tale.check_untouched();

    tale.lake = tale.lake.replace("s3://read-only/", "s3://tight/");
    let mut full = tale.scan();
    as_user("tight", &mut full);
    expect_refused(&tale, full, &["QuotaExceeded", "free some space"]);
}

/// What servers at hand do not do is scripted.
#[test]
fn clocks_tokens_regions_and_silence_are_said_with_the_remedy() {
    let Some(server) = Server::Moto.up() else {
        return;
    };
    let answers: [(Action, &str); 7] = [
        (
            Action::Refuse(403, "RequestTimeTooSkewed"),
            "set this machine's clock",
        ),
        (Action::Refuse(400, "ExpiredToken"), "AWS_SESSION_TOKEN"),
        (
            Action::Refuse(400, "AuthorizationHeaderMalformed"),
            "set AWS_REGION",
        ),
        (Action::Refuse(503, "SlowDown"), "AWS_ENDPOINT"),
        (Action::Refuse(500, "InternalError"), "AWS_ENDPOINT"),
        (Action::Break, "AWS_ENDPOINT"),
        (Action::Hold(Duration::from_secs(90)), "AWS_ENDPOINT"),
    ];
    std::thread::scope(|scope| {
        for (action, words) in answers {
            let server = server.clone();
            scope.spawn(move || {
                let mut tale = Tale::begin(server, 10);
                let proxy = Proxy::before(&tale.server.endpoint, move |_: &Head| action);
                tale.server.endpoint = proxy.endpoint();
                expect_refused(&tale, tale.scan(), &[words, &tale.lake]);
                println!("{action:?}: {} requests", proxy.seen().len());
            });
        }
        let server = server.clone();
        scope.spawn(move || {
            let mut tale = Tale::begin(server, 10);
            let gone = std::net::TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap();
            tale.server.endpoint = format!("http://{gone}");
            expect_refused(&tale, tale.scan(), &["AWS_ENDPOINT", &tale.lake]);
        });
    });
}

#[test]
fn a_store_that_cannot_create_only_is_refused_unless_one_run_writes() {
    let Some(server) = Server::Moto.up() else {
        return;
    };
    let mut tale = Tale::begin(server, 300);
    let direct = tale.server.endpoint.clone();
    let proxy = Proxy::before(&direct, |head: &Head| {
        if head.creates {
            Action::Refuse(501, "NotImplemented")
        } else {
            Action::Pass
        }
    });
    tale.server.endpoint = proxy.endpoint();
    expect_refused(&tale, tale.scan(), &["--single-writer", "cannot create"]);
    expect_code(&tale.scan().arg("--single-writer").output().unwrap(), 0);
    tale.server.endpoint = direct;
    tale.check();
}

#[tokio::test]
async fn a_store_that_overwrites_is_refused_unless_one_run_writes() {
    let story = Scenario::hours(2).activities(50).start().await;
    let bucket: Arc<Bucket> = Bucket::new(CreateOnly::Ignored);
    let report = story.scan_on(bucket.store(SMALL_PARTS), 1, &[]).await;
    assert_eq!(report.head.exit_code, 6);
    assert!(
        report.to_text().contains("--single-writer"),
        "{}",
        report.to_text()
    );
    assert_eq!(
        (report.scanned.requests, bucket.below("activities").await),
        (0, vec![])
    );
    let report = story
        .scan_on(bucket.store(SMALL_PARTS), 1, &["--single-writer"])
        .await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    assert_same(
        &readers::ids_in(bucket.below("activities").await),
        &story.expected_ids(),
    );
}
