//! `check`: a world with one fault each, the line that says so, its remedy and the exit code.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use mdca_lake::clock::{Clock, SystemClock};
use mdca_sim::{
    AboveCap, At, AuthorityOptions, Fault, PageLimits, Sim, SimOptions, Tenant, TenantOptions,
    Total, What,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::PROGRAM;
use crate::support::scenario::{DAY_MS, files_below};
use crate::support::script::{Asked, Said, Script};

const SECRET: &str = "s3cret~MARKED-Zq7Wr.Tt5+==";

/// A fault of the world, and what comes of it: the question, the verdict, the words of the answer and of its
/// remedy, the exit code.
struct Case {
    name: &'static str,
    change: fn(&mut SimOptions, &mut TenantOptions),
    fault: Option<What>,
    /// Whether a lake of slices of two hours is there, and slices of one are asked for.
    has_other_lake: bool,
    expected: (&'static str, &'static str, [&'static str; 2], i32),
}

impl Case {
    fn of_service(
        name: &'static str,
        what: What,
        expected: (&'static str, &'static str, [&'static str; 2], i32),
    ) -> Self {
        Self {
            name,
            change: |_, _| {},
            fault: Some(what),
            has_other_lake: false,
            expected,
        }
    }

    fn of_world(
        name: &'static str,
        change: fn(&mut SimOptions, &mut TenantOptions),
        expected: (&'static str, &'static str, [&'static str; 2], i32),
    ) -> Self {
        Self {
            name,
            change,
            fault: None,
            has_other_lake: false,
            expected,
        }
    }
}

fn authority(options: &mut SimOptions) -> &mut AuthorityOptions {
    options.authority.as_mut().unwrap()
}

fn refusing(cap: usize, status: u16) -> PageLimits {
    PageLimits {
        cap,
        above: AboveCap::Refuse(status),
        ..PageLimits::default()
    }
}

fn cases() -> Vec<Case> {
    let (ok, warn, fail) = ("ok", "warn", "fail");
    vec![
        Case::of_world("nothing", |_, _| {}, ("sign-in", ok, ["good for", ""], 0)),
        Case::of_world(
            "a secret that is wrong",
            |sim, _| authority(sim).secrets.clear(),
            ("sign-in", fail, ["AADSTS7000215", "the secret's value"], 3),
        ),
        Case::of_world(
            "an authority that is down",
            |sim, _| {
                authority(sim).faults = vec![Fault::new(At::Every, What::gateway(503)).always()];
            },
            (
                "sign-in",
                fail,
                ["gave up after 1 attempt", "--authority"],
                4,
            ),
        ),
        Case::of_service(
            "a role that is missing",
            What::missing_role(),
            ("sign-in", fail, ["HTTP 403", "Investigation.read"], 3),
        ),
        Case::of_service(
            "another region",
            What::invalid_key_set(),
            (
                "sign-in",
                fail,
                ["Invalid JSON Web Key Set", "regional host"],
                3,
            ),
        ),
        Case::of_service(
            "an address that is wrong",
            What::html(404),
            ("service", fail, ["HTTP 404", "check --api-url"], 4),
        ),
        Case::of_service(
            "a page of HTML",
            What::html(200),
            ("service", fail, ["malformed answer", "run again later"], 4),
        ),
        Case::of_service(
            "a service that is down",
            What::gateway(503),
            ("service", fail, ["HTTP 503", "run again later"], 4),
        ),
        Case::of_service(
            "a connection that breaks",
            What::Close,
            (
                "service",
                fail,
                ["the connection to the service failed", "run again later"],
                4,
            ),
        ),
        Case::of_service(
            "a redirect",
            What::redirect("https://elsewhere.example/"),
            (
                "service",
                fail,
                [
                    "redirects to https://elsewhere.example",
                    "correct --api-url",
                ],
                4,
            ),
        ),
        Case::of_service(
            "a budget that others use",
            What::throttled(Some(1)),
            ("service", fail, ["HTTP 429", "run again later"], 4),
        ),
        Case::of_service(
            "no date",
            What::DateMissing,
            ("clock", fail, ["no Date header", "a proxy may remove"], 4),
        ),
        Case::of_service(
            "a clock that is hours off",
            What::DateAhead { ms: 7_200_000 },
            ("clock", fail, ["2h behind", "set this machine's clock"], 4),
        ),
        Case::of_service(
            "a clock that is minutes off",
            What::DateAhead { ms: 600_000 },
            ("clock", warn, ["10m behind", "set this machine's clock"], 0),
        ),
        Case::of_service(
            "a filter that is ignored",
            What::IgnoreFilters,
            ("filter", fail, ["lie outside the time", "support"], 4),
        ),
        Case::of_service(
            "an order that is ignored",
            What::IgnoreOrder,
            ("order", warn, ["do not come by created", ""], 0),
        ),
        Case::of_service(
            "records of which nobody knows the oldest",
            What::IgnoreOrder,
            (
                "oldest record",
                warn,
                ["not known: records do not come by created", ""],
                0,
            ),
        ),
        Case::of_world(
            "a budget that others use at times",
            |sim, _| {
                sim.faults = vec![Fault::new(At::Request(3), What::throttled(Some(1)))];
            },
            ("budget", warn, ["too many", "--requests-per-minute"], 0),
        ),
        Case::of_service(
            "a limit that is ignored",
            What::IgnoreLimit { records: 50 },
            (
                "page limit",
                warn,
                ["more records than were asked for", ""],
                0,
            ),
        ),
        Case::of_world(
            "a limit that is refused with 400",
            |sim, _| sim.page_limits = refusing(500, 400),
            (
                "page limit",
                warn,
                ["takes 500 and refuses more", "--page-limit 500"],
                0,
            ),
        ),
        Case::of_world(
            "a limit that is refused with 500",
            |sim, _| sim.page_limits = refusing(500, 500),
            (
                "page limit",
                warn,
                ["takes 500 and refuses more", "--page-limit 500"],
                0,
            ),
        ),
        Case::of_world(
            "pages that are small",
            |sim, _| sim.page_limits = PageLimits::capped(20),
            ("page limit", ok, ["5,000 asked for, pages of", ""], 0),
        ),
        Case::of_world(
            "answers at full length",
            |sim, _| sim.gzip = false,
            ("compression", warn, ["full length", ""], 0),
        ),
        Case::of_world(
            "answers that are compressed",
            |_, _| {},
            ("compression", ok, ["gzip", ""], 0),
        ),
        Case::of_world(
            "a total",
            |sim, _| sim.scan_total = Total::Exact,
            ("total", ok, ["given: ", ""], 0),
        ),
        Case::of_world(
            "a tenant without activities",
            |_, tenant| tenant.activities = 0,
            ("filter", warn, ["the last day has no records", ""], 0),
        ),
        Case::of_world(
            "a service that forgets",
            |sim, _| sim.history_days = Some(20),
            ("oldest record", warn, ["days ago", "begin soon"], 0),
        ),
        Case::of_world(
            "a service that remembers",
            |_, _| {},
            ("oldest record", ok, ["days ago", ""], 0),
        ),
        Case::of_world(
            "a lake that is not there",
            |_, _| {},
            ("lake", ok, ["the first scan makes it", ""], 0),
        ),
        Case {
            has_other_lake: true,
            ..Case::of_world(
                "flags of another lake",
                |_, _| {},
                ("lake", fail, ["--slice", ""], 2),
            )
        },
    ]
}

/// A world, and the check's answers in it.
struct World {
    sim: Sim,
    folder: TempDir,
}

impl World {
    fn new(change: fn(&mut SimOptions, &mut TenantOptions)) -> Self {
        let now_ms = SystemClock::new().now_ms();
        let mut tenant = TenantOptions {
            activities: 4_000,
            from_ms: now_ms - 40 * DAY_MS,
            until_ms: now_ms,
            ..TenantOptions::default()
        };
        let mut options = SimOptions {
            authority: Some(AuthorityOptions {
                secrets: vec![SECRET.to_owned()],
                ..AuthorityOptions::default()
            }),
            ..SimOptions::default()
        };
        change(&mut options, &mut tenant);
        Self {
            sim: Sim::start_blocking(Tenant::generate(&tenant), options).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn lake(&self) -> String {
        self.folder.path().join("lake").display().to_string()
    }

    /// A command that takes the flags of `scan`.
    fn command(&self, name: &str, lake: &str, flags: &[&str]) -> Command {
        let AuthorityOptions {
            tenant, client_id, ..
        } = AuthorityOptions::default();
        let url = self.sim.url();
        let mut command = Command::new(PROGRAM);
        command
            .args([name, "--api-url", &url, "--authority", &url, "--lake", lake])
            .args(["--entra-tenant", &tenant, "--client-id", &client_id])
            .args(flags)
            .env_remove("MDCA_API_TOKEN")
            .env("MDCA_CLIENT_SECRET", SECRET)
            .stdin(Stdio::null());
        command
    }

    fn check(&self, lake: &str, flags: &[&str]) -> (Output, Value) {
        let flags = [flags, &["--report", "json", "-vvv"]].concat();
        let output = self.command("check", lake, &flags).output().unwrap();
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|_| panic!("{output:?}"));
        (output, report)
    }
}

/// The answer to a question.
fn answer<'a>(report: &'a Value, question: &str) -> &'a Value {
    let answers = report["answers"].as_array().unwrap();
    let found = answers.iter().find(|answer| answer["question"] == question);
    found.unwrap_or_else(|| panic!("{question} in {report}"))
}

fn expect_answer(
    name: &str,
    (output, report): &(Output, Value),
    (question, verdict, [found, advice], code): (&str, &str, [&str; 2], i32),
) {
    let answer = answer(report, question);
    assert_eq!(answer["verdict"], verdict, "{name}: {report}");
    assert!(
        answer["found"].as_str().unwrap().contains(found),
        "{name}: {report}"
    );
    let said = answer["advice"].as_str().unwrap_or_default();
    assert!(said.contains(advice), "{name}: {report}");
    assert_eq!(output.status.code(), Some(code), "{name}: {report}");
    assert_eq!(report["exit_code"], code, "{name}: {report}");
    for stream in [&output.stdout, &output.stderr] {
        assert!(
            !String::from_utf8_lossy(stream).contains("MARKED"),
            "{name}"
        );
    }
}

#[test]
fn every_fault_has_its_line_its_remedy_and_its_exit_code() {
    for case in cases() {
        let world = World::new(case.change);
        let lake = world.lake();
        let mut flags: &[&str] = &[];
        if case.has_other_lake {
            let hours = ["--slice", "2h", "--from", "6h", "--until", "3h"];
            let made = world.command("scan", &lake, &hours).output().unwrap();
            assert_eq!(made.status.code(), Some(0), "{made:?}");
            world.sim.clear_requests();
            flags = &["--slice", "1h"];
        }
        if let Some(what) = case.fault {
            world.sim.add_fault(Fault::new(At::Every, what).always());
        }
        let before = files_below(world.folder.path());
        let checked = world.check(&lake, flags);
        expect_answer(case.name, &checked, case.expected);
        let requests = world.sim.requests().len();
        assert!(requests <= 6, "{}: {requests}", case.name);
        assert_eq!(checked.1["requests"], requests, "{}", case.name);
        assert_eq!(files_below(world.folder.path()), before, "{}", case.name);
        assert_eq!(
            Path::new(&lake).exists(),
            case.has_other_lake,
            "{}",
            case.name
        );
    }
}

#[test]
fn a_lake_that_is_there_is_tried_and_left_as_it_was() {
    let world = World::new(|_, _| {});
    let lake = world.lake();
    let hours = ["--from", "6h", "--until", "3h"];
    let made = world.command("scan", &lake, &hours).output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let before = files_below(world.folder.path());
    let checked = world.check(&lake, &[]);
    let questions = ["lake", "tenant", "free space", "create-only", "writable"];
    for question in questions.into_iter().chain(["deletes"]) {
        expect_answer(question, &checked, (question, "ok", ["", ""], 0));
    }
    assert_eq!(files_below(world.folder.path()), before);
    // A scan needs every folder that it writes to, and no right to write makes a file one.
    for folder in ["_mdca/commits", "_mdca/runs", "activities", "_delta_log"] {
        let folder = Path::new(&lake).join(folder);
        let aside = folder.with_extension("aside");
        std::fs::rename(&folder, &aside).unwrap();
        std::fs::write(&folder, "").unwrap();
        let checked = world.check(&lake, &[]);
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(checked.0.status.code(), Some(6), "{name}: {}", checked.1);
        assert!(checked.1.to_string().contains(&name), "{}", checked.1);
        std::fs::remove_file(&folder).unwrap();
        std::fs::rename(&aside, &folder).unwrap();
    }
    assert_eq!(files_below(world.folder.path()), before);
    let text = world.command("check", &lake, &[]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with("ok    host"), "{text}");
    assert!(text.ends_with("\nok (exit code 0, 4 requests)\n"), "{text}");
}

/// A `scan` or a `check` of a scripted service.
fn of_script(verb: &str, service: &Script, lake: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .args([verb, "--api-url", &service.url(), "--lake"])
        .arg(lake)
        .args(more)
        .env("MDCA_API_TOKEN", "t0ken")
        .env("MDCA_REQUESTS_PER_MINUTE", "0");
    command.output().unwrap()
}

#[test]
fn a_check_asks_by_the_clock_and_the_filters_of_the_lake() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let service = Script::start(|_| Said::new(200, r#"{"data":[],"hasNext":false}"#));
    let filters = r#"{"service":{"eq":[20893]}}"#;
    let own = ["--from", "2h", "--by", "date", "--filters", filters];
    let made = of_script("scan", &service, &lake, &own);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let before = service.asked().len();
    let checked = of_script("check", &service, &lake, &[]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    let asked = service.asked().split_off(before);
    assert!(asked.len() > 2);
    for Asked { body, .. } in asked {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let filters = &body["filters"];
        assert!(filters["date"].is_object(), "{body}");
        assert!(filters["service"].is_object(), "{body}");
    }
}

#[test]
fn a_link_that_leads_nowhere_is_no_place_for_a_lake() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    std::os::unix::fs::symlink(folder.path().join("nowhere"), &lake).unwrap();
    let service = Script::start(|_| Said::new(200, r#"{"data":[],"hasNext":false}"#));
    let checked = of_script("check", &service, &lake, &[]);
    assert_eq!(checked.status.code(), Some(6), "{checked:?}");
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(text.contains("is a link that leads nowhere"), "{text}");
}

#[test]
fn the_api_token_is_said_to_be_the_older_way() {
    let world = World::new(|_, _| {});
    for (token, expected) in [
        (
            "sim-token",
            (
                "sign-in",
                "warn",
                ["the older way", "an application of Entra"],
                0,
            ),
        ),
        (
            "wrong",
            ("sign-in", "fail", ["HTTP 401", "renew the token"], 3),
        ),
    ] {
        let url = world.sim.url();
        let output = Command::new(PROGRAM)
            .args([
                "check",
                "--api-url",
                &url,
                "--lake",
                &world.lake(),
                "--report",
                "json",
            ])
            .env("MDCA_API_TOKEN", token)
            .output()
            .unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap();
        expect_answer(token, &(output, report), expected);
    }
}

/// What a store in a script does otherwise than it should.
#[derive(Clone, Copy, PartialEq)]
enum Odd {
    Nothing,
    CreatesTwice,
    RefusesPuts,
    RefusesDeletes,
}

/// A bucket that holds at most one object.
fn bucket(odd: Odd) -> Script {
    let held = AtomicUsize::new(0);
    let refusal = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
    Script::start(move |asked: &Asked| {
        let method = asked.head.split(' ').next().unwrap_or_default();
        match method {
            "PUT" if odd == Odd::RefusesPuts => Said::new(403, refusal),
            "PUT" => {
                let was = held.swap(1, Ordering::SeqCst);
                let is_refused = was == 1 && odd != Odd::CreatesTwice;
                let said = if is_refused {
                    Said::new(412, "")
                } else {
                    Said::new(200, "")
                };
                Said {
                    headers: "ETag: \"1\"\r\n".to_owned(),
                    ..said
                }
            }
            "DELETE" if odd == Odd::RefusesDeletes => Said::new(403, refusal),
            "DELETE" => {
                held.store(0, Ordering::SeqCst);
                Said::new(204, "")
            }
            "GET" if asked.head.contains("list-type") => Said::new(
                200,
                "<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>",
            ),
            _ => Said::new(
                404,
                "<Error><Code>NoSuchKey</Code><Message>no</Message></Error>",
            ),
        }
    })
}

#[test]
fn a_store_that_is_not_fit_is_told_without_leaving_anything_in_it() {
    let world = World::new(|_, _| {});
    let one: &[&str] = &["--single-writer"];
    let cases: [(Odd, &[&str], _); 5] = [
        (
            Odd::Nothing,
            &[],
            ("create-only", "ok", ["only once", ""], 0),
        ),
        (
            Odd::CreatesTwice,
            one,
            (
                "create-only",
                "warn",
                ["never asks it to", "only one run at a time"],
                0,
            ),
        ),
        (
            Odd::CreatesTwice,
            &[],
            (
                "create-only",
                "fail",
                ["two runs could overwrite", "--single-writer"],
                6,
            ),
        ),
        (
            Odd::RefusesPuts,
            &[],
            ("writable", "fail", ["AccessDenied", ""], 6),
        ),
        (
            Odd::RefusesDeletes,
            &[],
            ("deletes", "warn", ["refused", "allow deletes"], 0),
        ),
    ];
    for (odd, flags, expected) in cases {
        let store = bucket(odd);
        let output = world
            .command(
                "check",
                "s3://bucket/lake",
                &[flags, &["--report", "json"]].concat(),
            )
            .env("AWS_ACCESS_KEY_ID", "id")
            .env("AWS_SECRET_ACCESS_KEY", "never sent")
            .env("AWS_ENDPOINT", store.url())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ALLOW_HTTP", "true")
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        expect_answer(&format!("{report}"), &(output, report), expected);
        let asked = store.asked();
        let last = |method: &str| {
            asked
                .iter()
                .rposition(|asked| asked.head.starts_with(method))
        };
        if odd == Odd::RefusesDeletes {
            assert_eq!(last("PUT"), None, "something was made that stays");
        } else {
            assert!(last("DELETE") > last("PUT") || odd == Odd::RefusesPuts);
        }
    }
}
