//! The program as a user meets it: bad input gets a clear error, its exit code, and no lake.

use std::path::Path;
use std::process::{Command, Output};

use clap::{ArgAction, CommandFactory};
use mdca_lake::cli::Cli;
use mdca_sim::{Sim, SimOptions, Tenant, TenantOptions};
use tempfile::TempDir;

use crate::support::process::{PROGRAM, Place};
use crate::support::scenario::at;

/// A lake, flags, a token, and the exit code and the message that they lead to.
type Case<'a> = (&'a str, &'a [&'a str], Option<&'a str>, u8, &'a str);

struct User {
    folder: TempDir,
    sim: Sim,
}

impl User {
    async fn new() -> Self {
        let tenant = Tenant::generate(&TenantOptions {
            activities: 50,
            from_ms: at("2026-10-01"),
            until_ms: at("2026-10-01T02:00:00Z"),
            ..TenantOptions::default()
        });
        Self {
            folder: tempfile::tempdir().unwrap(),
            sim: Sim::start(tenant, SimOptions::default()).await.unwrap(),
        }
    }

    fn lake(&self) -> String {
        self.folder.path().join("lake").display().to_string()
    }

    /// A `scan` that would work, with other flags; `token` is put into the environment.
    fn scan(&self, lake: &str, flags: &[&str], token: Option<&str>) -> Output {
        let url = self.sim.url();
        let mut args = vec!["scan", "--lake", lake];
        if !flags.contains(&"--api-url") {
            args.extend(["--api-url", &url]);
        }
        if !flags.contains(&"--from") {
            args.extend(["--from", "2026-10-01", "--until", "2026-10-01T02:00:00Z"]);
        }
        args.extend(flags);
        run(&args, token)
    }
}

fn run(args: &[&str], token: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mdca-lake"));
    command.args(args).env_remove("MDCA_API_TOKEN");
    if let Some(token) = token {
        command.env("MDCA_API_TOKEN", token);
    }
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_a_clear_error_and_leaves_no_lake() {
    let user = User::new().await;
    let file = user.folder.path().join("a-file");
    std::fs::write(&file, "x").unwrap();
    let missing = user.folder.path().join("missing").display().to_string();
    let at_missing = format!("@{missing}");
    let lake = user.lake();
    let file = file.display().to_string();
    let good = Some("sim-token");
    let cases: [Case<'_>; 27] = [
        (
            &lake,
            &["--from", "yesterday"],
            good,
            2,
            "'yesterday' is not a valid time",
        ),
        (
            &lake,
            &["--from", "2026-10-02", "--until", "2026-10-01"],
            good,
            2,
            "--until is not after --from",
        ),
        (
            &lake,
            &["--from", "2199-01-01"],
            good,
            2,
            "--from is not in the past",
        ),
        (
            &lake,
            &["--filters", "[1]"],
            good,
            2,
            "--filters is not a JSON object",
        ),
        (&lake, &["--filters", "{"], good, 2, "--filters is not JSON"),
        (&lake, &["--filters", &at_missing], good, 2, "missing"),
        (
            &lake,
            &["--filters", "@/dev/zero"],
            good,
            2,
            "--filters @/dev/zero: it has more than 1 MiB",
        ),
        (
            &lake,
            &["--filters", r#"{"created":{"gte":1}}"#],
            good,
            2,
            "sets 'created', the lake's clock",
        ),
        (
            &lake,
            &["--by", "date", "--filters", r#"{"date":{"gte":1}}"#],
            good,
            2,
            "sets 'date', the lake's clock",
        ),
        (
            &lake,
            &["--filters", r#"{"date":{"gte_ndays":1}}"#],
            good,
            2,
            "gte_ndays",
        ),
        (
            &lake,
            &["--filters", r#"{"service":1}"#],
            good,
            2,
            "has no operators",
        ),
        (
            &lake,
            &["--filters", r#"{"service":{"eq":[1]}}"#, "--service", "2"],
            good,
            2,
            "both set 'service'",
        ),
        (&lake, &[], None, 2, "set MDCA_API_TOKEN or --token-file"),
        (&lake, &[], Some("a\nb"), 2, "a header cannot carry"),
        (
            &lake,
            &[],
            Some(""),
            2,
            "set MDCA_API_TOKEN or --token-file",
        ),
        (&lake, &["--token-file", &missing], None, 2, "--token-file"),
        (
            &lake,
            &["--api-url", "contoso.example"],
            good,
            2,
            "is not a URL",
        ),
        (
            &lake,
            &["--api-url", "http://contoso.example"],
            good,
            2,
            "plain http",
        ),
        (
            &lake,
            &["--api-url", "ftp://contoso.example"],
            good,
            2,
            "scheme 'ftp'",
        ),
        (&lake, &["--slice", "90s"], good, 2, "use whole minutes"),
        (&lake, &["--memory-limit", "1MiB"], good, 2, "too little"),
        (
            &lake,
            &["--memory-limit", "much"],
            good,
            2,
            "use a size such as 64MiB",
        ),
        (
            &lake,
            &["--slice", "long"],
            good,
            2,
            "use a duration such as 30m, 2h or 7d",
        ),
        (&lake, &["--compression", "lz4"], good, 2, "lz4"),
        (&lake, &["--no-such-flag"], good, 2, "--no-such-flag"),
        (&file, &[], good, 6, "it is a file"),
        (
            "nfs://host/x",
            &[],
            good,
            2,
            "scheme 'nfs' is not supported",
        ),
    ];
    for (lake, flags, token, exit_code, message) in cases {
        let output = user.scan(lake, flags, token);
        let said = text(&output);
        assert_eq!(
            output.status.code(),
            Some(i32::from(exit_code)),
            "{flags:?}: {said}"
        );
        assert!(said.contains(message), "{flags:?}: {said}");
        assert!(!said.contains("sim-token"), "{said}");
        assert!(!Path::new(&user.lake()).exists(), "{flags:?} made a lake");
    }
    assert_eq!(user.sim.requests().len(), 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_of_another_identity_is_refused_before_the_first_request() {
    let user = User::new().await;
    let made = user.scan(&user.lake(), &[], Some("sim-token"));
    assert_eq!(made.status.code(), Some(0), "{}", text(&made));
    let sent = user.sim.requests().len();
    let other: [(&[&str], &str); 4] = [
        (
            &["--by", "date"],
            "cannot use --by date: the lake was made with created",
        ),
        (&["--slice", "2h"], "made with 60m"),
        (&["--service", "1"], "made with {}"),
        (
            &["--api-url", "http://127.0.0.1:1"],
            "add --change-host once",
        ),
    ];
    for (flags, message) in other {
        let output = user.scan(&user.lake(), flags, Some("sim-token"));
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains(message), "{}", text(&output));
        // The error and its advice, and no page of zeros.
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with("FAILED      cannot "), "{said}");
        assert_eq!(said.lines().count(), 2, "{said}");
    }
    let same = user.scan(
        &user.lake(),
        &["--by", "created", "--slice", "1h", "--filters", "{}"],
        Some("sim-token"),
    );
    assert_eq!(same.status.code(), Some(0), "{}", text(&same));
    assert_eq!(user.sim.requests().len(), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_exit_code_3_and_never_shown() {
    let user = User::new().await;
    for flags in [
        &["-vvv"][..],
        &["--report", "json", "--log-format", "json", "-vvv"][..],
    ] {
        let output = user.scan(&user.lake(), flags, Some("wr0ng-t0ken"));
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        assert!(!text(&output).contains("wr0ng-t0ken"), "{}", text(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_sends_nothing_and_writes_nothing() {
    let user = User::new().await;
    let output = user.scan(&user.lake(), &["--dry-run", "--report", "json"], None);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        report["plan"],
        serde_json::json!([
            "20261001T0000Z-20261001T0100Z",
            "20261001T0100Z-20261001T0200Z"
        ])
    );
    assert!(!Path::new(&user.lake()).exists());
    assert_eq!(user.sim.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_of_a_year_is_summed_up() {
    let user = User::new().await;
    let flags = ["--dry-run", "--from", "2025-11-20", "--until", "2026-11-20"];
    let output = user.scan(&user.lake(), &flags, None);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    for words in [
        "2025-11-20T00:00:00Z to 2026-11-20T00:00:00Z: 8,760 slices",
        "without records this takes about",
        "8,761 requests (4h 57m at 30 a minute)",
        "begin more than 29 days ago",
        "begin more than 180 days ago",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(said.lines().count() < 12, "{said}");
    assert_eq!(user.sim.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn stdout_carries_the_report_and_nothing_else() {
    let user = User::new().await;
    let output = user.scan(
        &user.lake(),
        &["--report", "json", "-vv"],
        Some("sim-token"),
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["status"], "done");
    assert_eq!(report["rows"], 50);
    for command in ["status", "verify"] {
        let output = run(&[command, "--lake", &user.lake(), "--report", "json"], None);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["rows"], 50);
    }
}

/// Every variable that the program knows, by the help of `scan`.
fn variables_of_scan() -> Vec<String> {
    let help = text(&run(&["scan", "--help"], None));
    let mut variables: Vec<String> = help
        .split("[env: ")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('=')?.0.to_owned()))
        .collect();
    variables.push("MDCA_API_TOKEN".to_owned());
    assert!(variables.len() > 20, "{variables:?}");
    variables
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_variable_is_one_that_is_not_set() {
    let user = User::new().await;
    let empty = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdca-lake"));
        for variable in variables_of_scan() {
            command.env(variable, "");
        }
        command
    };
    let bare = empty().arg("scan").output().unwrap();
    assert_eq!(bare.status.code(), Some(2), "{}", text(&bare));
    for flag in ["--api-url", "--lake"] {
        assert!(text(&bare).contains(flag), "{}", text(&bare));
    }
    let token = user.folder.path().join("token");
    std::fs::write(&token, "sim-token").unwrap();
    let scanned = empty()
        .args(["scan", "--lake", &user.lake(), "--api-url", &user.sim.url()])
        .args(["--from", "2026-10-01", "--until", "2026-10-01T02:00:00Z"])
        .args(["--token-file", token.to_str().unwrap()])
        .args(["--report", "json"])
        .output()
        .unwrap();
    assert_eq!(scanned.status.code(), Some(0), "{}", text(&scanned));
    let report: serde_json::Value = serde_json::from_slice(&scanned.stdout).unwrap();
    assert_eq!(report["rows"], 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_is_on_or_off_by_the_usual_words() {
    let user = User::new().await;
    for (word, plans) in [
        ("1", true),
        ("yes", true),
        ("on", true),
        ("true", true),
        ("TRUE", true),
        ("0", false),
        ("no", false),
        ("off", false),
        ("false", false),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_mdca-lake"))
            .args(["scan", "--lake", &user.lake(), "--api-url", &user.sim.url()])
            .args(["--from", "2026-10-01", "--until", "2026-10-01T02:00:00Z"])
            .env("MDCA_DRY_RUN", word)
            .env_remove("MDCA_API_TOKEN")
            .output()
            .unwrap();
        // A plan needs no token; a scan does.
        let code = if plans { 0 } else { 2 };
        assert_eq!(
            output.status.code(),
            Some(code),
            "{word}: {}",
            text(&output)
        );
    }
    // Of every switch.
    let every = Cli::command();
    for command in every.get_subcommands() {
        for arg in command.get_arguments() {
            let switch = matches!(arg.get_action(), ArgAction::SetTrue);
            let Some(variable) = arg.get_env().filter(|_| switch) else {
                continue;
            };
            let output = Command::new(env!("CARGO_BIN_EXE_mdca-lake"))
                .arg(command.get_name())
                .env(variable, "on")
                .output()
                .unwrap();
            let said = text(&output);
            assert!(!said.contains("invalid value"), "{variable:?}: {said}");
        }
    }
    let unknown = Command::new(env!("CARGO_BIN_EXE_mdca-lake"))
        .args(["verify", "--lake", &user.lake()])
        .env("MDCA_SWEEP", "perhaps")
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(2), "{}", text(&unknown));
    assert!(text(&unknown).contains("--sweep"), "{}", text(&unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_window_of_a_scheduled_scan_does_not_cut_what_is_exported() {
    let user = User::new().await;
    let made = user.scan(&user.lake(), &[], Some("sim-token"));
    assert_eq!(made.status.code(), Some(0), "{}", text(&made));
    let exported = Command::new(env!("CARGO_BIN_EXE_mdca-lake"))
        .args(["export", "--lake", &user.lake()])
        .env("MDCA_FROM", "2026-10-01T01:59:00Z")
        .env("MDCA_UNTIL", "2026-10-01T01:59:30Z")
        .output()
        .unwrap();
    assert_eq!(exported.status.code(), Some(0), "{}", text(&exported));
    let lines = String::from_utf8(exported.stdout).unwrap();
    assert_eq!(lines.lines().count(), 50);
}

/// Whatever a scheduled scan is told by variables, the demo makes its own lake, and that one only.
#[test]
fn the_demo_obeys_its_own_flags_only() {
    let folder = tempfile::tempdir().unwrap();
    let production = folder.path().join("production");
    std::fs::create_dir(&production).unwrap();
    let demo = |more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_mdca-lake"))
            .args(["demo", "--activities", "20"])
            .args(more)
            .current_dir(folder.path())
            .env("MDCA_LAKE", &production)
            .env("MDCA_ACTIVITIES", "1000000")
            .env("MDCA_API_URL", "https://contoso.example")
            .env("MDCA_API_TOKEN", "sim-token")
            .env("MDCA_FROM", "2026-10-01")
            .env("MDCA_SERVICE", "1")
            .env("MDCA_DRY_RUN", "true")
            .output()
            .unwrap()
    };
    let made = demo(&[]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made));
    assert!(text(&made).contains("20 rows"), "{}", text(&made));
    assert!(folder.path().join("demo-lake/_mdca/lake.json").exists());
    assert_eq!(std::fs::read_dir(&production).unwrap().count(), 0);
    let bucket = demo(&["--lake", "s3://bucket/lake"]);
    assert_eq!(bucket.status.code(), Some(2), "{}", text(&bucket));
    assert!(text(&bucket).contains("use a path"), "{}", text(&bucket));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_says_how_many_slices_it_leaves_before_it() {
    let user = User::new().await;
    let hour = ["--from", "2026-10-01T01:00:00Z"];
    let until = ["--until", "2026-10-01T02:00:00Z"];
    let made = user.scan(
        &user.lake(),
        &[
            "--from",
            "2026-09-30T20:00:00Z",
            "--until",
            "2026-09-30T21:00:00Z",
        ],
        Some("sim-token"),
    );
    assert_eq!(made.status.code(), Some(0), "{}", text(&made));
    assert!(
        !text(&made).contains("are not committed"),
        "{}",
        text(&made)
    );
    let later = user.scan(&user.lake(), &[hour, until].concat(), Some("sim-token"));
    assert_eq!(later.status.code(), Some(0), "{}", text(&later));
    assert!(
        text(&later).contains("4 slices are not committed between the lake's begin 2026-09-30T20:00:00Z and the window"),
        "{}",
        text(&later)
    );
}

#[test]
fn a_missing_lake_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().display().to_string();
    let missing = folder.path().join("x").display().to_string();
    for lake in [&empty, &missing] {
        for command in ["status", "verify"] {
            let output = run(&[command, "--lake", lake], None);
            assert_eq!(output.status.code(), Some(2), "{}", text(&output));
            assert!(text(&output).contains(lake.as_str()), "{}", text(&output));
        }
    }
}

#[test]
fn every_form_of_the_schema_is_printed() {
    for (format, _) in mdca_lake::schema::SchemaFormat::ALL {
        let output = run(&["schema", "--format", format], None);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert!(
            text(&output).contains("main_info_event_objects"),
            "{format}"
        );
    }
}

/// Nobody listens there: a few tries, an exit code that says "later", and the next run does it all.
#[test]
fn a_service_that_cannot_be_reached_is_given_up_and_a_rerun_resumes() {
    let place = Place::new(
        "2026-10-01",
        "2026-10-01T02:00:00Z",
        50,
        SimOptions::default(),
    );
    // A port that was free a moment ago; the lake keeps the address, so the service comes up there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let lake = place.lake();
    let scan = |attempts: &str| {
        let mut command = lake.command("scan");
        command
            .args(["--api-url", &format!("http://{address}")])
            .args(["--from", "2026-10-01", "--until", "2026-10-01T02:00:00Z"])
            .args(["--max-attempts", attempts, "--report", "json"])
            .env("MDCA_API_TOKEN", "sim-token");
        command
    };
    let ended = place.run(&mut scan("3"));
    assert_eq!(ended.code(), Some(4), "{ended}");
    assert!(
        ended.text().contains("no connection to the service"),
        "{ended}"
    );
    assert!(ended.text().contains("after 3 attempts"), "{ended}");
    assert!(
        ended.elapsed < std::time::Duration::from_secs(30),
        "{ended}"
    );
    assert_eq!(lake.commits(), 0);
    let options = SimOptions {
        port: address.port(),
        ..SimOptions::default()
    };
    // Somebody else may have taken the port meanwhile; then there is nothing to see here.
    let Ok(_sim) = Sim::start_blocking(place.sim.tenant(), options) else {
        return;
    };
    let ended = place.run(&mut scan("3"));
    assert_eq!(ended.code(), Some(0), "{ended}");
    lake.expect_exact("after the service came up");
}

/// Every first step of somebody new, in the order in which they would be taken: the help, a guess,
/// what is missing, Ctrl-C in the middle, and again.
#[test]
fn somebody_new_gets_to_a_whole_lake() {
    let place = Place::new(
        "2026-10-01",
        "2026-10-01T12:00:00Z",
        600,
        SimOptions::default(),
    );
    let lake = place.lake();
    let help = run(&["--help"], None);
    assert_eq!(help.status.code(), Some(0), "{}", text(&help));
    for word in ["scan", "status", "verify", "export", "schema"] {
        assert!(text(&help).contains(word), "{word}: {}", text(&help));
    }
    let bare = run(&["scan"], None);
    assert_eq!(bare.status.code(), Some(2), "{}", text(&bare));
    assert!(text(&bare).contains("--api-url"), "{}", text(&bare));
    assert!(text(&bare).contains("--lake"), "{}", text(&bare));
    let guessed = place.run(lake.scan().arg("--parralel=4"));
    assert_eq!(guessed.code(), Some(2), "{guessed}");
    assert!(guessed.text().contains("--parallel"), "{guessed}");
    let tokenless = place.run(lake.scan().env_remove("MDCA_API_TOKEN"));
    assert_eq!(tokenless.code(), Some(2), "{tokenless}");
    assert!(!lake.path().exists());
    let mut first = place.start(lake.scan().args(["--page-limit", "10", "--parallel", "1"]));
    assert!(first.until("commit", |_| lake.commits() > 1));
    first.signal("INT");
    let first = first.wait();
    assert!(matches!(first.code(), Some(0 | 130)), "{first}");
    let status = place.run(&mut lake.command("status"));
    assert_eq!(status.code(), Some(0), "{status}");
    let commits = lake.commits() as u64;
    let again = place.run(&mut lake.scan());
    assert_eq!(again.code(), Some(0), "{again}");
    assert_eq!(again.slices("skipped"), commits, "{again}");
    lake.expect_exact("in the end");
}

/// What the process may leave behind when it dies: no core file, which would hold the token.
#[test]
fn no_core_file_holds_the_token() {
    let service = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}", service.local_addr().unwrap());
    let mut scan = Command::new(env!("CARGO_BIN_EXE_mdca-lake"))
        .args(["scan", "--api-url", &url, "--from", "3h", "--lake"])
        .arg(folder.path().join("lake"))
        .env("MDCA_API_TOKEN", "x")
        .spawn()
        .unwrap();
    // It has begun when it asks; nobody answers.
    let asked = service.accept().unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", scan.id())).unwrap();
    scan.kill().unwrap();
    scan.wait().unwrap();
    drop(asked);
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core.unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "{limits}");
}

#[test]
fn a_full_stdout_is_not_a_usage_error() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mdca-lake"));
    let output = command.arg("schema").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("free space where stdout goes"),
        "{}",
        text(&output)
    );
}

#[test]
fn errors_are_json_where_the_logs_are() {
    let cases: [(&[&str], i32); 3] = [
        (
            &["status", "--lake", "/dev/null/x", "--log-format", "json"],
            6,
        ),
        (&["scan", "--no-such-flag", "--log-format", "json"], 2),
        (&["status", "--lake", "~/x", "--log-format=json"], 2),
    ];
    for (args, code) in cases {
        let output = run(args, None);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        let said = String::from_utf8(output.stderr).unwrap();
        let line: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(line["level"], "ERROR", "{said}");
        assert_eq!(line["fields"]["exit_code"], code, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_the_log_says_its_run_and_its_slice() {
    let user = User::new().await;
    let flags = [
        "-v",
        "--log-format",
        "json",
        "--requests-per-minute",
        "31",
        "--settle",
        "0s",
    ];
    let output = user.scan(&user.lake(), &flags, Some("sim-token"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let said = String::from_utf8(output.stderr).unwrap();
    for warning in ["above the 30 that the service allows", "--settle 0s"] {
        assert!(said.contains(warning), "{said}");
    }
    let lines: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let committed = |line: &&serde_json::Value| line["fields"]["message"] == "committed";
    assert!(lines.iter().filter(committed).count() > 0, "{said}");
    for line in lines.iter().filter(committed) {
        assert!(line["spans"][0]["id"].is_string(), "{line}");
    }
}

#[test]
fn a_lake_that_is_no_location_is_exit_code_2_and_its_secret_is_not_said() {
    let folder = tempfile::tempdir().unwrap();
    for lake in [
        "",
        "s3:/bucket/lake",
        "S3:bucket",
        "az:/container",
        "http://host/x",
        "s3://",
        "s3://key:hunter2@bucket/lake",
        "s3://bucket/lake?sig=hunter2",
    ] {
        for command in ["status", "verify", "export", "compact", "check", "connect"] {
            let mut program = Command::new(PROGRAM);
            program
                .current_dir(folder.path())
                .args([command, "--lake", lake]);
            if command == "check" {
                program.args(["--api-url", "https://contoso.portal.cloudappsecurity.com"]);
            }
            let output = program.env("MDCA_API_TOKEN", "token").output().unwrap();
            let said = text(&output);
            assert_eq!(output.status.code(), Some(2), "{command} {lake}: {said}");
            assert!(!said.contains("hunter2"), "{command} {lake}: {said}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_secret_of_endless_bytes_is_refused() {
    let flags = ["check", "--lake", "/nowhere/x", "--token-file", "/dev/zero"];
    let output = run(
        &[
            &flags[..],
            &["--api-url", "https://contoso.portal.cloudappsecurity.com"],
        ]
        .concat(),
        None,
    );
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("more than"), "{}", text(&output));
}

#[test]
fn a_tilde_that_no_shell_replaced_is_refused() {
    let output = run(&["status", "--lake", "~/x"], None);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        text(&output).contains("the shell did not expand '~'"),
        "{}",
        text(&output)
    );
}

#[test]
fn the_version_says_what_was_built() {
    let said = text(&run(&["--version"], None));
    assert!(
        said.starts_with("mdca-lake 0.") && said.contains('('),
        "{said}"
    );
}
