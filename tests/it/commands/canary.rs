//! Marked secrets: whatever a command does with them, and however it ends, they are found nowhere but where
//! they belong.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use mdca_sim::{Accepted, At, AuthorityOptions, Fault, SimOptions, What};
use serde_json::json;

use crate::support::process::{Ended, PROGRAM, Place, thread_shim};
use crate::support::readers;
use crate::support::scenario::files_below;
use crate::support::servers::Server;

const TOKEN: &str = "MARKEDtoken/aB3+xY9=Zq7";
const SECRET: &str = "MARKEDsecret~cD4/eF5+Gh==";
const FEDERATED: &str = "eyJhbGciOiJSUzI1NiJ9.MARKEDfederated_iJ6-kL7.c2ln";
const IDENTITY: &str = "MARKEDidentity-mN8+oP9/qR";
const STORE_KEY: &str = "MARKEDstore/sT0+uV1/wX2yZ3aB4cD5eF6gH7iJ";
const SESSION: &str = "MARKEDsession//kL8+mN9==";
const SIGNATURE: &str = "MARKEDsas+oP0/qR1=";

/// Everything that is looked for, by name.
fn secrets() -> Vec<(&'static str, String)> {
    let key = fs::read_to_string(key_file()).unwrap();
    // A line out of the middle of the private key: no text has it by chance.
    let (_, key) = key.split_once("PRIVATE KEY-----").unwrap();
    let line = key.lines().nth(5).unwrap().to_owned();
    assert!(line.len() > 60 && !line.contains('-'), "{line}");
    let mut secrets = vec![("the certificate's key", line)];
    for (name, secret) in [
        ("the token", TOKEN),
        ("the client secret", SECRET),
        ("the federated token", FEDERATED),
        ("the identity's header", IDENTITY),
        ("the store's key", STORE_KEY),
        ("the store's session", SESSION),
        ("the signature", SIGNATURE),
        // What the simulated authority hands out.
        ("a bearer token", "MARKEDbearer"),
    ] {
        secrets.push((name, secret.to_owned()));
    }
    secrets
}

fn key_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/keys/application.pem")
}

/// The forms in which a secret may have got into something: plain, in a URL, in base64 wherever in a text it
/// stands. Without the ends, which depend on what is beside it.
fn forms(secret: &str) -> BTreeSet<String> {
    let escaped = |keep: fn(char) -> bool| -> String {
        let one = |c: char| {
            if keep(c) {
                c.to_string()
            } else {
                format!("%{:02X}", u32::from(c))
            }
        };
        secret.chars().map(one).collect()
    };
    let mut forms = BTreeSet::from([
        secret.to_owned(),
        escaped(|c| c.is_ascii_alphanumeric()),
        escaped(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c)),
        serde_json::to_string(secret)
            .unwrap()
            .trim_matches('"')
            .to_owned(),
    ]);
    for before in ["", "x", "xx"] {
        let text = format!("{before}{secret}");
        for encoded in [
            BASE64_STANDARD.encode(&text),
            BASE64_URL_SAFE_NO_PAD.encode(&text),
        ] {
            let encoded = encoded.trim_end_matches('=');
            let start = if before.is_empty() { 0 } else { 4 };
            forms.insert(encoded[start..encoded.len() - 2].to_owned());
        }
    }
    forms
}

/// What a story leaves to be searched.
struct Search {
    forms: Vec<(&'static str, BTreeSet<String>)>,
    looked_at: usize,
}

impl Search {
    fn new(more: &[(&'static str, String)]) -> Self {
        let all = secrets().into_iter().chain(more.iter().cloned());
        let forms = all.map(|(name, secret)| (name, forms(&secret))).collect();
        Self {
            forms,
            looked_at: 0,
        }
    }

    /// The secret that is in a text, if any is.
    fn find(&mut self, text: &str) -> Option<&'static str> {
        self.looked_at += 1;
        let has = |forms: &BTreeSet<String>| forms.iter().any(|form| text.contains(form));
        self.forms
            .iter()
            .find(|(_, forms)| has(forms))
            .map(|(name, _)| *name)
    }

    fn expect_none(&mut self, what: &str, text: &str) {
        assert_eq!(self.find(text), None, "{what}: {text}");
    }

    fn expect_none_in(&mut self, what: &str, ended: &Ended) {
        self.expect_none(what, &ended.stdout);
        self.expect_none(what, &ended.stderr);
    }

    /// Every object of a lake, and of each Parquet file what is compressed in it: rows and footer.
    fn expect_none_below(&mut self, folder: &Path) {
        for path in files_below(folder) {
            let bytes = fs::read(&path).unwrap();
            let place = path.display().to_string();
            self.expect_none(&place, &String::from_utf8_lossy(&bytes));
        }
        self.expect_none("rows and footers", &readers::everything(folder));
    }
}

#[test]
fn the_search_finds_a_secret_in_every_form() {
    let mut search = Search::new(&[]);
    for (name, secret) in secrets() {
        for (before, after) in [("", ""), ("Token ", "\n"), ("ab", "xyz")] {
            let text = format!("{before}{secret}{after}");
            let url: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            for form in [
                text.clone(),
                format!("GET /x?q={url}&y"),
                format!("Basic {}", BASE64_STANDARD.encode(&text)),
                BASE64_URL_SAFE_NO_PAD.encode(&text),
                json!({ "token": text }).to_string(),
            ] {
                assert_eq!(search.find(&form), Some(name), "{form}");
            }
        }
    }
    assert_eq!(search.find("MARKED by nobody"), None);
}

/// A way of signing in: flags and variables.
type Way = (&'static str, Vec<String>, Vec<(&'static str, String)>);

fn options() -> SimOptions {
    let key = fs::read_to_string(key_file()).unwrap();
    let (_, rest) = key.split_once("-----BEGIN CERTIFICATE-----").unwrap();
    let (certificate, _) = rest.split_once("-----END CERTIFICATE-----").unwrap();
    SimOptions {
        accepted: vec![Accepted::always(format!("Token {TOKEN}"))],
        authority: Some(AuthorityOptions {
            secrets: vec![SECRET.to_owned()],
            certificates: vec![
                BASE64_STANDARD
                    .decode(certificate.replace('\n', ""))
                    .unwrap(),
            ],
            federated: vec![FEDERATED.to_owned()],
            identity_header: Some(IDENTITY.to_owned()),
            ..AuthorityOptions::default()
        }),
        faults: vec![Fault::new(At::Record(3), What::null_row()).always()],
        ..SimOptions::default()
    }
}

fn place() -> Place {
    Place::new(
        "2026-10-01T23:00:00Z",
        "2026-10-02T01:00:00Z",
        30,
        options(),
    )
}

fn ways(place: &Place) -> Vec<Way> {
    let file = |name: &str, text: &str| {
        let path = place.room().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let url = place.sim.url();
    let known = AuthorityOptions::default();
    let application = |more: &[&str]| {
        let mut flags = vec![
            "--entra-tenant",
            &known.tenant,
            "--client-id",
            &known.client_id,
        ];
        flags.extend(["--authority", &url]);
        flags.extend(more);
        flags.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    vec![
        (
            "a token",
            vec![],
            vec![("MDCA_API_TOKEN", TOKEN.to_owned())],
        ),
        (
            "a token file",
            vec!["--token-file".to_owned(), file("token", TOKEN)],
            vec![],
        ),
        (
            "a secret",
            application(&[]),
            vec![("MDCA_CLIENT_SECRET", SECRET.to_owned())],
        ),
        (
            "a certificate",
            application(&[
                "--client-certificate-file",
                &key_file().display().to_string(),
            ]),
            vec![],
        ),
        (
            "a federated token",
            application(&["--federated-token-file", &file("federated", FEDERATED)]),
            vec![],
        ),
        (
            "an identity",
            vec!["--managed-identity".to_owned()],
            vec![
                ("IDENTITY_ENDPOINT", format!("{url}/msi/token")),
                ("IDENTITY_HEADER", IDENTITY.to_owned()),
            ],
        ),
    ]
}

/// What a store would be reached with. Of a lake on a disk it means nothing, and is there all the same.
fn of_stores(command: &mut Command) {
    command
        .env("AWS_ACCESS_KEY_ID", "id")
        .env("AWS_SECRET_ACCESS_KEY", STORE_KEY)
        .env("AWS_SESSION_TOKEN", SESSION)
        .env(
            "AZURE_STORAGE_ACCOUNT_KEY",
            BASE64_STANDARD.encode(STORE_KEY),
        )
        .env(
            "AZURE_STORAGE_SAS_TOKEN",
            format!("sv=2022-11-02&sig={SIGNATURE}"),
        );
}

/// The arguments of every command, over a lake.
fn commands(place: &Place, lake: &Path, metrics: &Path) -> Vec<(&'static str, Vec<String>)> {
    let lake = lake.to_str().unwrap();
    let saved = place.room().join("saved.json");
    fs::write(&saved, r#"[{"_id":"one","timestamp":1790000000000},null]"#).unwrap();
    let (saved, converted) = (saved.display().to_string(), format!("{lake}-converted"));
    let (demo, url) = (format!("{lake}-demo"), place.sim.url());
    let metrics = ["--metrics-file", metrics.to_str().unwrap()];
    let scan = [
        "--api-url",
        &url,
        "--lake",
        lake,
        "--requests-per-minute",
        "0",
    ];
    let window = [
        "--from",
        "2026-10-01T23:00:00Z",
        "--until",
        "2026-10-02T01:00:00Z",
    ];
    let own = |name: &str, more: &[&[&str]]| -> Vec<String> {
        let more = more.iter().copied().flatten().copied();
        [name].into_iter().chain(more).map(str::to_owned).collect()
    };
    vec![
        ("check", own("check", &[&scan, &window])),
        ("scan", own("scan", &[&scan, &window, &metrics])),
        ("status", own("status", &[&["--lake", lake]])),
        (
            "verify",
            own("verify", &[&["--lake", lake, "--deep", "--sweep"]]),
        ),
        ("export", own("export", &[&["--lake", lake]])),
        (
            "convert",
            own("convert", &[&[&saved, "--lake", &converted], &metrics]),
        ),
        (
            "demo",
            own("demo", &[&["--lake", &demo, "--activities", "20"]]),
        ),
        ("schema", own("schema", &[])),
    ]
}

/// Runs every command in one way of signing in, with everything logged.
fn run_all(
    place: &Place,
    (way, flags, variables): &Way,
    mut ended: impl FnMut(&str, &Path, Ended),
) {
    let lake = place.fresh("lake");
    let metrics = place.fresh("metrics");
    for (n, (name, args)) in commands(place, &lake, &metrics).into_iter().enumerate() {
        let mut command = Command::new(PROGRAM);
        of_stores(&mut command);
        command
            .args(args)
            .args(["-vvv", "--log-format", ["json", "text"][n % 2]]);
        command
            .args(["--report", ["text", "json"][n % 2]])
            .env("RUST_BACKTRACE", "1");
        if ["check", "scan"].contains(&name) {
            command.args(flags).args(["--max-attempts", "1"]);
        }
        if name != "demo" {
            command.envs(variables.iter().cloned());
        }
        ended(
            &format!("{name} with {way}"),
            &lake,
            place.run(&mut command),
        );
    }
}

#[test]
fn no_command_shows_or_keeps_a_secret() {
    let place = place();
    let mut search = Search::new(&[]);
    for way in ways(&place) {
        let mut lakes = BTreeSet::new();
        run_all(&place, &way, |what, lake, ended| {
            assert_eq!(ended.code(), Some(0), "{what}: {ended}");
            search.expect_none_in(what, &ended);
            lakes.insert(lake.to_owned());
        });
        let lake = lakes.first().unwrap();
        assert!(!files_below(&lake.join("activities")).is_empty());
        search.expect_none_below(lake);
        let beside = fs::read_dir(place.room()).unwrap();
        for metrics in beside.map(|entry| entry.unwrap().path()) {
            let name = metrics.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("metrics") {
                search.expect_none(&name, &fs::read_to_string(&metrics).unwrap());
            }
        }
    }
    assert!(search.looked_at > 150, "{}", search.looked_at);
}

/// What the service and the authority are sent in one way of signing in, and may repeat.
fn sent_in(way: &str) -> (&'static str, &'static str) {
    match way {
        "a token" | "a token file" => (TOKEN, ""),
        "a secret" => ("", SECRET),
        "a federated token" => ("", FEDERATED),
        "an identity" => ("", IDENTITY),
        _ => ("", ""),
    }
}

#[test]
fn no_failure_shows_or_keeps_a_secret() {
    let says: [fn(&str) -> What; 5] = [
        |sent| What::error(401, &format!("no good: {sent}")),
        |sent| What::error(400, &format!("Token {}", BASE64_STANDARD.encode(sent))),
        |sent| What::error(503, &format!("q={sent}")),
        |_| What::Close,
        |_| What::html(200),
    ];
    for say in says {
        for number in 0..6 {
            let place = place();
            let way = ways(&place).swap_remove(number);
            let (to_service, to_authority) = sent_in(way.0);
            place
                .sim
                .add_fault(Fault::new(At::Every, say(to_service)).always());
            place
                .sim
                .add_authority_fault(Fault::new(At::Every, say(to_authority)).always());
            let mut search = Search::new(&[]);
            run_all(&place, &way, |what, lake, ended| {
                search.expect_none_in(what, &ended);
                if lake.exists() {
                    search.expect_none_below(lake);
                }
            });
        }
    }
}

#[test]
fn no_panic_shows_a_secret() {
    let Some(shim) = thread_shim() else { return };
    let place = place();
    let mut search = Search::new(&[]);
    let mut died = BTreeSet::new();
    for way in ways(&place) {
        for threads in 1..10 {
            let lake = place.fresh("lake");
            let (_, args) = commands(&place, &lake, &place.fresh("metrics")).swap_remove(1);
            let mut command = Command::new(PROGRAM);
            of_stores(&mut command);
            command
                .args(args)
                .args(&way.1)
                .arg("-vvv")
                .envs(way.2.iter().cloned());
            command.env("RUST_BACKTRACE", "full");
            command
                .env("LD_PRELOAD", shim)
                .env("SHIM_THREADS", threads.to_string());
            let ended = place.run(&mut command);
            search.expect_none_in(&format!("{threads} threads with {}", way.0), &ended);
            died.insert(ended.code());
        }
    }
    assert!(died.contains(&Some(1)), "{died:?}");
}

#[test]
fn no_lake_in_object_storage_has_a_secret_in_it() {
    for server in Server::ALL {
        let Some(reached) = server.up() else { continue };
        let place = place();
        let own = [("the store's own key", reached.secret.clone())];
        // Servers for tests come with short ones.
        let mut search = Search::new(if reached.secret.len() > 20 { &own } else { &[] });
        let lake = reached.lake(&format!("canary-{:016x}", fastrand::u64(..)));
        for (name, more) in [
            (
                "scan",
                vec!["--api-url", "URL", "--from", "2026-10-01T23:00:00Z"],
            ),
            ("status", vec![]),
            ("verify", vec!["--deep"]),
            ("export", vec![]),
        ] {
            let url = place.sim.url();
            let more = more
                .into_iter()
                .map(|arg| if arg == "URL" { url.as_str() } else { arg });
            let mut command = Command::new(PROGRAM);
            command.args([name, "--lake", &lake, "-vvv"]).args(more);
            if name == "scan" {
                command
                    .args(["--until", "2026-10-02T01:00:00Z"])
                    .env("MDCA_API_TOKEN", TOKEN);
            }
            let ended = place.run(command.envs(reached.variables()));
            assert_eq!(ended.code(), Some(0), "{name}: {ended}");
            search.expect_none_in(name, &ended);
        }
        let store = reached.store(&lake);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let objects = runtime.block_on(async {
            let mut objects = Vec::new();
            for object in store
                .list(&object_store::path::Path::default())
                .await
                .unwrap()
            {
                let bytes = store
                    .get(&object.location, u64::MAX)
                    .await
                    .unwrap()
                    .unwrap();
                objects.push((object.location.to_string(), bytes));
            }
            objects
        });
        assert!(objects.len() > 4, "{objects:?}");
        for (name, bytes) in objects {
            search.expect_none(&name, &String::from_utf8_lossy(&bytes));
        }
    }
}
