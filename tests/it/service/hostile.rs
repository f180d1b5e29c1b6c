//! Hostile texts: in a record, in an answer of the service or of a store, in the objects of a lake.
//! None of them steers the terminal that shows it, and no secret comes back in them.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mdca_lake::text::plain::is_steering;
use serde_json::{Value, json};

use crate::support::scenario::files_below;
use crate::support::script::{Said, Script};
use crate::support::sealed;

/// The token of stories that are not about it.
const PLAIN_TOKEN: &str = "t0ken-of-the-tests";
/// Clears the screen, begins a line of its own, turns the direction of writing, ends a paragraph.
const STEERS: &str = "x\u{1b}[2J\r\ny\u{9b}1m\u{202e}z\u{2066}\u{2028}w\u{2029}\u{7f}";

/// The program, without a variable of whoever runs the tests.
fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mdca-lake"));
    command
        .args(args)
        .env_clear()
        .env("MDCA_API_TOKEN", PLAIN_TOKEN)
        .stdin(Stdio::null());
    command
}

/// What a program said, on both streams.
fn said(output: &Output) -> [String; 2] {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8(bytes.clone()).unwrap())
}

/// No line of either stream steers a terminal; those of JSON are JSON.
fn expect_plain(output: &Output, is_json: bool) {
    for stream in said(output) {
        for line in stream.split('\n').filter(|line| !line.is_empty()) {
            assert!(!line.contains(is_steering), "{line:?}");
            assert!(
                !is_json || serde_json::from_str::<Value>(line).is_ok(),
                "{line}"
            );
        }
    }
}

/// Runs a command in both forms; what it says is plain in each.
fn run_plain(args: &[&str], variables: &[(&str, &str)], code: i32) -> Vec<String> {
    let mut all = Vec::new();
    for form in ["text", "json"] {
        let mut command = program(args);
        command.envs(variables.iter().copied());
        command.args(["--report", form, "--log-format", form, "-vv"]);
        let output = command.output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?} {:?}",
            said(&output)
        );
        expect_plain(&output, form == "json");
        all.extend(said(&output));
    }
    all
}

fn scan_flags<'a>(url: &'a str, lake: &'a str) -> Vec<&'a str> {
    let mut flags = vec!["scan", "--api-url", url, "--lake", lake];
    flags.extend(["--from", "3h"]);
    flags
}

fn rewrite(path: &Path, change: impl Fn(&mut Value)) {
    let mut value = sealed::read(path);
    change(&mut value);
    sealed::write(path, &value);
}

#[test]
fn keys_of_a_record_steer_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let service = Script::start(|asked| Said::one_record(asked, &json!({STEERS: {STEERS: 1}})));
    let lake = folder.path().join("lake").display().to_string();
    let all = run_plain(&scan_flags(&service.url(), &lake), &[], 0);
    assert!(!service.asked().is_empty());
    assert!(
        all[0].contains(r"unknown     x\u{1b}[2J\r\ny\u{9b}1m\u{202e}z"),
        "{}",
        all[0]
    );
    run_plain(&["status", "--lake", &lake], &[], 0);
    run_plain(&["verify", "--deep", "--lake", &lake], &[], 0);
    for object in files_below(&Path::new(&lake).join("_mdca/runs")) {
        let text = std::fs::read_to_string(object).unwrap();
        assert!(!text.trim_end().contains(is_steering), "{text}");
    }
}

/// Records whose clock is in seconds from now on: rows of the slice that they came with, and counted.
#[test]
fn a_clock_in_seconds_costs_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let service = Script::start(|asked| {
        let seconds = asked.lower_ms() / 1_000;
        Said::records(asked, 30, &json!({"created": seconds}))
    });
    let lake = folder.path().join("lake").display().to_string();
    let url = service.url();
    let mut flags = scan_flags(&url, &lake);
    flags.extend(["--report", "json"]);
    let output = program(&flags).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{:?}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["rows"].as_u64().unwrap();
    assert!(rows >= 30, "{report}");
    let odd = &report["odd_values"][0];
    assert_eq!(
        (&odd["path"], &odd["count"]),
        (&json!("created"), &json!(rows))
    );
    run_plain(&["verify", "--deep", "--lake", &lake], &[], 0);
}

/// Records that have lost their clock are rows all the same, and that is said.
#[test]
fn a_clock_that_is_gone_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let service = Script::start(|asked| Said::records(asked, 30, &json!({"created": null})));
    let lake = folder.path().join("lake").display().to_string();
    let all = run_plain(&scan_flags(&service.url(), &lake), &[], 0);
    let note = "rows have no usable created: only the service's filter";
    assert!(all[0].contains(note), "{}", all[0]);
    run_plain(&["verify", "--deep", "--lake", &lake], &[], 0);
}

#[test]
fn an_answer_that_is_packed_otherwise_than_asked_for_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let service = Script::start(|asked| Said {
        headers: "Content-Encoding: br\r\n".to_owned(),
        ..Said::one_record(asked, &json!({}))
    });
    let lake = folder.path().join("lake").display().to_string();
    let url = service.url();
    let mut flags = scan_flags(&url, &lake);
    flags.extend(["--max-attempts", "1"]);
    let all = run_plain(&flags, &[], 4);
    assert!(all[0].contains("packed with 'br'"), "{}", all[0]);
    assert!(!Path::new(&lake).exists());
}

/// A service may repeat what it was sent wherever it names something.
#[test]
fn a_service_that_repeats_the_token_in_names_does_not_have_it_shown_or_kept() {
    let folder = tempfile::tempdir().unwrap();
    let echo = format!("echo Token {PLAIN_TOKEN}");
    let member = json!({"data": [], "hasNext": false, echo.as_str(): 1}).to_string();
    for (name, headers, body, code) in [
        ("member", String::new(), member.clone(), 0),
        (
            "encoding",
            format!("Content-Encoding: {echo}\r\n"),
            member,
            4,
        ),
    ] {
        let lake = folder.path().join(name);
        let service = Script::start(move |_| Said {
            headers: headers.clone(),
            ..Said::new(200, body.clone())
        });
        let url = service.url();
        let shown = lake.display().to_string();
        let mut flags = scan_flags(&url, &shown);
        flags.extend(["--max-attempts", "1"]);
        let all = run_plain(&flags, &[], code);
        for text in &all {
            assert!(!text.contains(PLAIN_TOKEN), "{name}: {text}");
        }
        assert!(
            all.concat().contains("[secret]"),
            "{name}: {}",
            all.concat()
        );
        expect_no_secret_below(folder.path(), PLAIN_TOKEN);
    }
}

#[test]
fn objects_of_a_lake_steer_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake").display().to_string();
    let service = Script::start(|asked| Said::one_record(asked, &json!({})));
    run_plain(&scan_flags(&service.url(), &lake), &[], 0);
    let own = Path::new(&lake).join("_mdca");
    let run = files_below(&own.join("runs")).pop().unwrap();
    let mut report: Value = serde_json::from_slice(&std::fs::read(&run).unwrap()).unwrap();
    for key in ["run", "status", "lake"] {
        report[key] = STEERS.into();
    }
    report["failures"] = json!([{"kind": STEERS, "error": STEERS, "advice": STEERS}]);
    std::fs::write(&run, format!("{report}\n")).unwrap();
    run_plain(&["status", "--lake", &lake], &[], 0);
    run_plain(&["verify", "--deep", "--lake", &lake], &[], 5);

    let commit = files_below(&own.join("commits")).pop().unwrap();
    let path = format!("activities/event_date=2026-01-01/{STEERS}.parquet");
    rewrite(&commit, |commit| {
        commit["files"][0]["path"] = path.clone().into();
        commit["run"] = STEERS.into();
    });
    std::fs::write(own.join(format!("runs/{STEERS}.json")), "{}").unwrap();
    for command in ["status", "verify", "export"] {
        let output = program(&[command, "--lake", &lake]).output().unwrap();
        expect_plain(&output, false);
        let output = program(&[command, "--lake", &lake, "--report", "json"]).output();
        expect_plain(&output.unwrap(), false);
    }

    rewrite(&own.join("lake.json"), |identity| {
        identity["api_host"] = STEERS.into();
        identity["filters"] = json!({STEERS: {"eq": [STEERS]}});
    });
    for command in ["status", "verify", "export"] {
        let output = program(&[command, "--lake", &lake]).output().unwrap();
        expect_plain(&output, false);
    }
    let output = program(&scan_flags(&service.url(), &lake))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{:?}", said(&output));
    expect_plain(&output, false);
}

/// A secret with all that is escaped anywhere.
const TOKEN: &str = "aB3/xY+9%k==Zq7&W_r.Tt5<MARKED";

/// Letters and digits in lower case.
fn letters(text: &str) -> String {
    let letters = text.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

/// The forms in which an answer may repeat a secret: JSON's own escapes, all of them, percent signs,
/// XML's, something in between, base64 of it and of the header, a part.
fn forms_of(secret: &str) -> Vec<String> {
    let every = |form: fn(u32) -> String| secret.chars().map(|c| form(u32::from(c))).collect();
    vec![
        secret.to_owned(),
        serde_json::to_string(secret).unwrap(),
        every(|c| format!("\\u{c:04x}")),
        every(|c| format!("%{c:02X}")),
        every(|c| format!("%25{c:02x}")),
        every(|c| format!("&#{c};")),
        every(|c| format!("{}\u{1b}", char::from_u32(c).unwrap())),
        BASE64_STANDARD.encode(secret),
        BASE64_STANDARD.encode(format!("Token {secret}")),
        secret[..secret.len() - 4].to_owned(),
    ]
}

/// Neither a form of the secret nor a piece of it is in a text.
fn expect_no_secret(text: &str, secret: &str, place: &str) {
    for form in forms_of(secret) {
        assert!(!text.contains(&form), "{place}: {text}");
    }
    let (text, secret) = (letters(text), letters(secret));
    for start in 0..secret.len() - 10 {
        let piece = &secret[start..start + 10];
        assert!(!text.contains(piece), "{place}: {piece} in {text}");
    }
}

fn expect_no_secret_below(folder: &Path, secret: &str) {
    for path in files_below(folder) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        expect_no_secret(&text, secret, &path.display().to_string());
    }
}

#[test]
fn an_answer_that_repeats_the_token_shows_it_nowhere() {
    let answers: Mutex<Vec<Said>> = Mutex::default();
    let answers = Arc::new(answers);
    let next = Arc::clone(&answers);
    let service = Script::start(move |_| next.lock().unwrap()[0].clone());
    let mut bodies: Vec<String> = Vec::new();
    for form in forms_of(TOKEN) {
        bodies.push(json!({"detail": format!("bad token {form}, sorry")}).to_string());
        bodies.push(format!(r#"{{"detail":"bad token {form}, sorry"}}"#));
        bodies.push(format!("bad token {form}"));
        bodies.push(json!({"error": {"token": form}}).to_string());
        bodies.push(format!("<html>{form}</html>"));
    }
    for (n, body) in bodies.iter().enumerate() {
        let status = [400, 401, 403, 404, 500][n % 5];
        *answers.lock().unwrap() = vec![Said::new(status, body.as_bytes())];
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("lake").display().to_string();
        let mut command = program(&scan_flags(&service.url(), &lake));
        command.args(["--report", ["text", "json"][n % 2], "-vvv"]);
        command.args(["--max-attempts", "1", "--requests-per-minute", "0"]);
        let output = command.env("MDCA_API_TOKEN", TOKEN).output().unwrap();
        assert!(
            matches!(output.status.code(), Some(2..=4)),
            "{:?}",
            said(&output)
        );
        expect_plain(&output, false);
        for stream in said(&output) {
            expect_no_secret(&stream, TOKEN, body);
        }
        expect_no_secret_below(folder.path(), TOKEN);
    }
}

/// A bearer token with all that its letters allow.
const BEARER: &str = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJNQVJLRUQifQ.q7_W-rTt5zMARKEDx9kLmN";

/// A scan that signs in as an application at the address where the service is, with the flags of one way.
fn scan_as_application(url: &str, lake: &str, file: &str, n: usize) -> Command {
    let mut command = program(&scan_flags(url, lake));
    command.args(["--report", ["text", "json"][n % 2], "-vvv"]);
    command.args(["--max-attempts", "1", "--requests-per-minute", "0"]);
    command.env_remove("MDCA_API_TOKEN");
    if n % 3 == 2 {
        command.arg("--managed-identity");
        command.env("IDENTITY_ENDPOINT", format!("{url}/msi/token"));
        command.env("IDENTITY_HEADER", TOKEN);
        return command;
    }
    command.args([
        "--entra-tenant",
        "t",
        "--client-id",
        "x",
        "--authority",
        url,
    ]);
    if n % 3 == 1 {
        command.args(["--federated-token-file", file]);
    } else {
        command.env("MDCA_CLIENT_SECRET", TOKEN);
    }
    command
}

#[test]
fn an_authority_that_repeats_what_it_was_sent_shows_it_nowhere() {
    let answer: Arc<Mutex<Said>> = Arc::default();
    let next = Arc::clone(&answer);
    let authority = Script::start(move |_| next.lock().unwrap().clone());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("federated").display().to_string();
    std::fs::write(&file, TOKEN).unwrap();
    let lake = folder.path().join("lake").display().to_string();
    let mut bodies: Vec<String> = Vec::new();
    for form in forms_of(TOKEN) {
        let said = format!("AADSTS7000215: not {form}, sorry");
        bodies.push(json!({"error": "invalid_client", "error_description": said}).to_string());
        bodies.push(json!({"error": form}).to_string());
        bodies.push(json!({"access_token": format!("{form}\n")}).to_string());
        bodies.push(format!("client_secret={form}"));
    }
    for (n, body) in bodies.iter().enumerate() {
        let status = [401, 400, 403, 500, 200, 302][n % 6];
        *answer.lock().unwrap() = Said {
            headers: format!("Location: https://{}/\r\n", &TOKEN[17..]),
            ..Said::new(status, body.as_bytes())
        };
        let output = scan_as_application(&authority.url(), &lake, &file, n).output();
        let output = output.unwrap();
        let code = output.status.code();
        assert!(matches!(code, Some(3 | 4)), "{body}: {:?}", said(&output));
        expect_plain(&output, false);
        for stream in said(&output) {
            expect_no_secret(&stream, TOKEN, body);
        }
        assert!(!Path::new(&lake).exists());
    }
}

#[test]
fn a_service_that_repeats_a_bearer_token_shows_it_nowhere() {
    let answer: Arc<Mutex<Said>> = Arc::default();
    let next = Arc::clone(&answer);
    let service = Script::start(move |asked| {
        if asked.head.contains("/api/v1/activities/") {
            return next.lock().unwrap().clone();
        }
        let token = json!({"token_type": "Bearer", "expires_in": 3_599, "access_token": BEARER});
        Said::new(200, token.to_string())
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("federated").display().to_string();
    std::fs::write(&file, TOKEN).unwrap();
    let lake = folder.path().join("lake").display().to_string();
    for (n, form) in forms_of(BEARER).iter().enumerate() {
        for status in [401, 403, 400, 500] {
            let body = json!({"detail": format!("not with {form}, sorry")}).to_string();
            *answer.lock().unwrap() = Said::new(status, body.as_bytes());
            let output = scan_as_application(&service.url(), &lake, &file, n).output();
            let output = output.unwrap();
            let code = output.status.code();
            assert!(matches!(code, Some(2..=4)), "{body}: {:?}", said(&output));
            for stream in said(&output) {
                expect_no_secret(&stream, BEARER, &body);
                expect_no_secret(&stream, TOKEN, &body);
            }
        }
    }
}

#[test]
fn what_signs_in_follows_no_redirect() {
    let elsewhere = Script::start(|_| Said::new(200, json!({"access_token": "x"}).to_string()));
    let target = elsewhere.url();
    let authority = Script::start(move |_| Said {
        headers: format!("Location: {target}/token\r\n"),
        ..Said::new(307, "")
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("federated").display().to_string();
    std::fs::write(&file, TOKEN).unwrap();
    let lake = folder.path().join("lake").display().to_string();
    for n in 0..3 {
        let output = scan_as_application(&authority.url(), &lake, &file, n).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(4), "{:?}", said(&output));
        let said = said(&output).concat();
        assert!(said.contains("redirects to 127.0.0.1"), "{said}");
    }
    assert_eq!((authority.asked().len(), elsewhere.asked().len()), (3, 0));
}

/// The session token of S3, and the signature of a URL of Azure's.
const STORE_SECRET: &str = "IQoJb3+x/Zq7MARKED9kTt5session==";

/// A lake in a store that a script plays, and the variables with which it is reached.
fn in_a_store(url: &str, azure: bool) -> (&'static str, Vec<(&'static str, String)>) {
    let text = str::to_owned;
    if azure {
        let encoded = forms_of(STORE_SECRET).swap_remove(3);
        let variables = vec![
            ("AZURE_STORAGE_ACCOUNT_NAME", text("account")),
            (
                "AZURE_STORAGE_SAS_TOKEN",
                format!("sv=2022-11-02&sp=rwdl&sig={encoded}"),
            ),
            ("AZURE_STORAGE_ENDPOINT", text(url)),
            ("AZURE_ALLOW_HTTP", text("true")),
        ];
        return ("az://container/lake", variables);
    }
    let variables = vec![
        ("AWS_ACCESS_KEY_ID", text("id")),
        ("AWS_SECRET_ACCESS_KEY", text("never sent")),
        ("AWS_SESSION_TOKEN", text(STORE_SECRET)),
        ("AWS_ENDPOINT", text(url)),
        ("AWS_REGION", text("us-east-1")),
        ("AWS_ALLOW_HTTP", text("true")),
    ];
    ("s3://bucket/lake", variables)
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[test]
fn a_store_that_repeats_what_it_was_sent_shows_it_nowhere() {
    let answer: Arc<Mutex<Said>> = Arc::default();
    let next = Arc::clone(&answer);
    let store = Script::start(move |_| next.lock().unwrap().clone());
    let service = Script::start(|asked| Said::one_record(asked, &json!({})));
    let mut bodies = Vec::new();
    for form in forms_of(STORE_SECRET) {
        let shown = xml(&form);
        bodies.push(format!(
            "<Error><Code>AccessDenied</Code><Message>not with {shown}</Message></Error>"
        ));
        bodies.push(format!(
            "<Error><Code>{shown}</Code><Message>{STEERS}</Message></Error>"
        ));
        bodies.push(format!("x-amz-security-token: {form}\nsig={form}"));
        bodies.push(json!({"error": {"message": form}}).to_string());
    }
    for (n, body) in bodies.iter().enumerate() {
        let status = [400, 403, 409, 412, 416][n % 5];
        *answer.lock().unwrap() = Said::new(status, body.as_bytes());
        let (lake, variables) = in_a_store(&store.url(), n % 2 == 0);
        let url = service.url();
        let scan = scan_flags(&url, lake);
        let commands: [&[&str]; 4] = [
            &scan,
            &["status", "--lake", lake],
            &["verify", "--lake", lake],
            &["export", "--lake", lake],
        ];
        let mut command = program(commands[n % 4]);
        let output = command.args(["-vvv"]).envs(variables).output().unwrap();
        assert_eq!(output.status.code(), Some(6), "{body}: {:?}", said(&output));
        expect_plain(&output, false);
        for stream in said(&output) {
            expect_no_secret(&stream, STORE_SECRET, body);
        }
    }
}

#[test]
fn credentials_of_a_store_follow_no_redirect() {
    let elsewhere = Script::start(|_| Said::new(200, ""));
    let target = elsewhere.url();
    let store = Script::start(move |_| Said {
        headers: format!("Location: {target}/bucket\r\nx-amz-bucket-region: eu-west-1\r\n"),
        ..Said::new(307, "")
    });
    for (azure, words) in [
        (
            false,
            ["the bucket is in the region eu-west-1", "AWS_REGION"],
        ),
        (
            true,
            [
                "it redirects to 127.0.0.1",
                "credentials do not follow redirects",
            ],
        ),
    ] {
        let (lake, variables) = in_a_store(&store.url(), azure);
        let mut command = program(&["status", "--lake", lake]);
        let output = command.envs(variables).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(6), "{said:?}");
        for word in words {
            assert!(said[1].contains(word), "{said:?}");
        }
    }
    assert!(!store.asked().is_empty());
    assert_eq!(elsewhere.asked().len(), 0);
}

#[test]
fn what_a_store_refuses_has_the_remedy_that_applies() {
    let cases = [
        (
            409,
            "<Error><Code>BlobImmutableDueToPolicy</Code><Message>policy</Message></Error>",
            "remove policies, holds and leases",
            "run again",
        ),
        (
            400,
            "<Error><Code>InvalidArgument</Code></Error>",
            "check the store's logs",
            "run again",
        ),
    ];
    for (status, body, advice, not) in cases {
        let store = Script::start(move |_| Said::new(status, body));
        let (lake, variables) = in_a_store(&store.url(), true);
        let mut command = program(&["status", "--lake", lake]);
        let output = command.envs(variables).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(6), "{said:?}");
        assert!(
            said[1].contains(advice) && !said[1].contains(not),
            "{said:?}"
        );
    }
    let (lake, mut variables) = in_a_store("http://127.0.0.1:1", false);
    variables.retain(|(name, _)| *name != "AWS_ALLOW_HTTP");
    let output = program(&["status", "--lake", lake])
        .envs(variables)
        .output()
        .unwrap();
    let said_text = said(&output);
    assert_eq!(output.status.code(), Some(6), "{said_text:?}");
    assert!(
        said_text[1].contains("AWS_ALLOW_HTTP=true"),
        "{said_text:?}"
    );
    assert!(!said_text[1].contains("AWS_ACCESS_KEY_ID"), "{said_text:?}");
}

#[test]
fn certificates_that_are_not_checked_are_warned_of_on_every_run() {
    let store = Script::start(|_| Said::new(403, ""));
    for (azure, variable) in [
        (false, "AWS_ALLOW_INVALID_CERTIFICATES"),
        (true, "AZURE_ALLOW_INVALID_CERTIFICATES"),
    ] {
        let (lake, variables) = in_a_store(&store.url(), azure);
        for (value, is_said) in [("true", true), ("false", false)] {
            let mut command = program(&["status", "--lake", lake]);
            command.envs(variables.clone()).env(variable, value);
            let said = said(&command.output().unwrap());
            assert_eq!(said[1].contains(variable), is_said, "{said:?}");
        }
    }
}
