//! Signing in: every way of it, tokens that end, an authority that refuses, stalls and breaks, secrets
//! that are replaced.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mdca_lake::config::{SignInEnvironment, Workload};
use mdca_lake::text::report::Report;
use mdca_sim::{At, AuthorityOptions, Fault, SimOptions, What};

use crate::support::process::{Lake, Place};
use crate::support::scenario::{Scenario, Signing, Story, files_below};

const SECRET: &str = "aB3~xY.9_MARKED-Zq7Wr/Tt5+==";
const FEDERATED: &str = "eyJhbGciOiJSUzI1NiJ9.MARKEDpodsOwnToken.c2lnbmF0dXJl";
const IDENTITY_HEADER: &str = "MARKED1c0ffee5-header-of-the-service";

/// Files that the tests of this process share.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = || {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
        fs::write(folder.path().join("federated"), FEDERATED).unwrap();
        folder
    };
    FOLDER.get_or_init(made).path()
}

fn file(name: &str) -> String {
    folder().join(name).display().to_string()
}

fn key(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/keys/{name}.pem"))
}

/// The certificate of a text in PEM, in DER.
fn certificate(name: &str) -> Vec<u8> {
    let pem = fs::read_to_string(key(name)).unwrap();
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----").unwrap();
    let (digits, _) = rest.split_once("-----END CERTIFICATE-----").unwrap();
    BASE64_STANDARD.decode(digits.replace('\n', "")).unwrap()
}

/// An authority that knows the application in every way.
fn authority() -> AuthorityOptions {
    AuthorityOptions {
        secrets: vec![SECRET.to_owned()],
        certificates: vec![certificate("application")],
        federated: vec![FEDERATED.to_owned()],
        identity_header: Some(IDENTITY_HEADER.to_owned()),
        machine_identity: true,
        ..AuthorityOptions::default()
    }
}

fn tenant() -> SimOptions {
    SimOptions {
        authority: Some(authority()),
        ..SimOptions::default()
    }
}

/// The flags of an application, with more.
fn application(url: &str, more: &[&str]) -> Vec<String> {
    let AuthorityOptions {
        tenant, client_id, ..
    } = authority();
    let mut flags = vec!["--entra-tenant", &tenant, "--client-id", &client_id];
    flags.extend(["--authority", url]);
    flags.extend(more);
    flags.into_iter().map(str::to_owned).collect()
}

/// Every way of signing in with a bearer token: its name, and its flags and variables.
fn ways() -> Vec<(&'static str, Signing)> {
    let of_file = |flag: &'static str, path: String| -> Signing {
        Arc::new(move |url| {
            let flags = application(url, &[flag, &path]);
            (flags, SignInEnvironment::default())
        })
    };
    let identity = || vec!["--managed-identity".to_owned()];
    vec![
        (
            "a secret in a variable",
            Arc::new(|url: &str| {
                let environment = SignInEnvironment {
                    client_secret: Some(SECRET.into()),
                    ..SignInEnvironment::default()
                };
                (application(url, &[]), environment)
            }),
        ),
        (
            "a secret in a file",
            of_file("--client-secret-file", file("secret")),
        ),
        (
            "a certificate",
            of_file(
                "--client-certificate-file",
                key("application").display().to_string(),
            ),
        ),
        (
            "a federated token",
            of_file("--federated-token-file", file("federated")),
        ),
        (
            "what Kubernetes gives a pod",
            Arc::new(|url: &str| {
                let AuthorityOptions {
                    tenant, client_id, ..
                } = authority();
                let workload = Workload {
                    tenant: Some(tenant),
                    client_id: Some(client_id),
                    token_file: Some(file("federated")),
                    authority: Some(format!("{url}/")),
                };
                let environment = SignInEnvironment {
                    workload,
                    ..SignInEnvironment::default()
                };
                (Vec::new(), environment)
            }),
        ),
        (
            "the identity of a machine",
            Arc::new(move |url: &str| {
                let environment = SignInEnvironment {
                    machine_endpoint: Some(url.to_owned()),
                    ..SignInEnvironment::default()
                };
                (identity(), environment)
            }),
        ),
        (
            "the identity of a service",
            Arc::new(move |url: &str| {
                let environment = SignInEnvironment {
                    identity_endpoint: Some(format!("{url}/msi/token")),
                    identity_header: Some(IDENTITY_HEADER.into()),
                    ..SignInEnvironment::default()
                };
                (identity(), environment)
            }),
        ),
    ]
}

/// A story of some minutes, whose tokens live little more than one: requests come by the minute, so a
/// token is about to end when it is wanted again.
fn short_lives(sign_in: &Signing) -> Scenario {
    Scenario::hours(48)
        .page_cap(2)
        .flags(&["--slice", "30m", "--requests-per-minute", "30"])
        .signs_in(Arc::clone(sign_in))
        .options(|options| {
            let mut authority = authority();
            authority.life_s = 65;
            options.authority = Some(authority);
            options.accepted = Vec::new();
        })
}

/// The statuses of all requests for activities, other than 200.
fn refused(story: &Story) -> Vec<u16> {
    let requests = story.sim.requests();
    let statuses = requests.iter().map(|request| request.status);
    statuses.filter(|status| *status != 200).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_outlives_its_tokens_in_every_way_of_signing_in() {
    for (way, sign_in) in ways() {
        let (story, report) = short_lives(&sign_in).run().await;
        assert_eq!(report.head.exit_code, 0, "{way}: {}", report.to_text());
        story.expect_exact().await;
        assert_eq!(
            refused(&story),
            Vec::<u16>::new(),
            "{way}: a token was used after its end"
        );
        let tokens = story.sim.token_requests();
        let times: Vec<i64> = tokens.iter().map(|asked| asked.at_ms).collect();
        assert!(tokens.len() >= 3, "{way}: {times:?}");
        for pair in times.windows(2) {
            // A tenth of the life before the end, and not much earlier.
            assert!(pair[1] - pair[0] >= 58_500, "{way}: {times:?}");
        }
        assert!(tokens.iter().all(|asked| asked.status == 200), "{way}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_in_mid_run_is_renewed_once() {
    // A token that lives may be given once more, and a refusal may pass.
    let ways = ways().into_iter();
    let ways = ways
        .flat_map(|(way, sign_in)| [true, false].map(|again| (way, again, Arc::clone(&sign_in))));
    for (way, again, sign_in) in ways {
        let authority = AuthorityOptions {
            repeats_tokens: again,
            ..authority()
        };
        let invalid = What::error(401, "Invalid token");
        let scenario = Scenario::hours(4)
            .signs_in(sign_in)
            .options(|options| options.authority = Some(authority))
            .flags(&["--parallel", "1"]);
        let story = scenario
            .fault(Fault::new(At::Request(2), invalid.clone()))
            .start()
            .await;
        let report = story.scan(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{way}: {}", report.to_text());
        story.expect_exact().await;
        assert_eq!(story.sim.token_requests().len(), 2, "{way}");

        // One that stays refused is not renewed for ever.
        story.sim.add_fault(Fault::new(At::Every, invalid).always());
        let before = story.sim.token_requests().len();
        let more = ["--from", "2026-11-17", "--until", "2026-11-17T02:00:00Z"];
        let report = story.scan(&more).await;
        assert_eq!(report.head.exit_code, 3, "{way}: {}", report.to_text());
        assert_eq!(story.sim.token_requests().len() - before, 2, "{way}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_fails_for_a_while_costs_time_and_nothing_else() {
    let (_, sign_in) = &ways()[0];
    let failures = [
        (What::gateway(503), "sign_in_http_5xx"),
        (What::throttled(Some(7)), "sign_in_http_429"),
        (
            What::entra_refuses(400, "temporarily_unavailable", 90_033),
            "sign_in_http_4xx",
        ),
        (What::html(200), "sign_in_malformed"),
        (What::Close, "sign_in_cut"),
        (What::Stall, "sign_in_timeout"),
    ];
    for (what, cause) in failures {
        // One slice at a time: the wait of another would pass while a request is on its way.
        // No token outlives the minute that the budget lets nothing through, so each is missed at once.
        let scenario = short_lives(sign_in).flags(&["--parallel", "1"]);
        let scenario = scenario.options(|options| options.authority.as_mut().unwrap().life_s = 50);
        let story = scenario.start().await;
        // The first one of all, and the first one that renews.
        for at in [0, 2] {
            let fault = Fault::new(At::Request(at), what.clone());
            story.sim.add_authority_fault(fault);
        }
        let report = story.scan(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{cause}: {}", report.to_text());
        story.expect_exact().await;
        story.expect_within_budget(30);
        assert_eq!(refused(&story), Vec::<u16>::new(), "{cause}");
        assert_eq!(
            report.scanned.retries.get(cause),
            Some(&2),
            "{:?}",
            report.scanned.retries
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_stays_away_ends_the_run_at_once_and_a_rerun_resumes() {
    let (_, sign_in) = &ways()[0];
    let story = short_lives(sign_in).start().await;
    for request in 1..40 {
        let fault = Fault::new(At::Request(request), What::gateway(503));
        story.sim.add_authority_fault(fault);
    }
    // One slice at a time: where two share the simulated clock, the wait of one may end the token of the
    // other's request on its way.
    let report = story
        .scan(&["--max-attempts", "3", "--parallel", "1"])
        .await;
    assert_eq!(report.head.exit_code, 4, "{}", report.to_text());
    let text = report.to_text();
    assert!(text.contains("gave up after 3 attempts"), "{text}");
    assert!(report.slices.committed > 0, "{text}");
    assert_eq!(refused(&story), Vec::<u16>::new(), "{text}");
    // A try now and then before the token's end, and three after it.
    let tries = story.sim.token_requests().len();
    assert!((5..=14).contains(&tries), "{tries}: {text}");
    let report = story.scan(&["--max-attempts", "50"]).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    story.expect_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_replaced_in_mid_run_is_the_new_one_from_then_on() {
    for (flag, member) in [
        ("--client-secret-file", "client_secret"),
        ("--federated-token-file", "client_assertion"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        fs::write(&path, "the-0ld-one\n").unwrap();
        let written = path.clone();
        // Written in the middle of the run, by a fault that never happens.
        let replace = At::asked(move |asked| {
            if asked.page == 20 {
                fs::write(&written, "the-n3w-one\n").unwrap();
            }
            false
        });
        let place = path.display().to_string();
        let sign_in: Signing = Arc::new(move |url| {
            let flags = application(url, &[flag, &place]);
            (flags, SignInEnvironment::default())
        });
        let story = short_lives(&sign_in)
            .fault(Fault::new(replace, What::Close).always())
            .start()
            .await;
        story.sim.rotate_secrets(&["the-0ld-one", "the-n3w-one"]);
        story.sim.rotate_federated(&["the-0ld-one", "the-n3w-one"]);
        let report = story.scan(&[]).await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        let tokens = story.sim.token_requests();
        let sent: Vec<&str> = tokens
            .iter()
            .map(|asked| asked.asked[member].as_str())
            .collect();
        assert_eq!(sent[0], "the-0ld-one");
        assert_eq!(sent.last(), Some(&"the-n3w-one"), "{sent:?}");

        // One that is not good any more ends the next run.
        fs::write(&path, "the-0ld-one").unwrap();
        story.sim.rotate_secrets(&["the-n3w-one"]);
        story.sim.rotate_federated(&["the-n3w-one"]);
        let more = ["--from", "2026-11-17", "--until", "2026-11-17T02:00:00Z"];
        let report = story.scan(&more).await;
        assert_eq!(report.head.exit_code, 3, "{}", report.to_text());
    }
}

/// A `scan` of a real process that signs in as an application.
fn scan(place: &Place, lake: &Lake<'_>, flags: &[String]) -> Command {
    let mut command = lake.scan();
    command.env_remove("MDCA_API_TOKEN").args(flags);
    command
        .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", place.sim.url())
        .args(["--max-attempts", "2"]);
    command
}

/// Neither a secret nor a token, plain, as base64 or in a URL.
fn expect_no_secret(text: &str, place: &str) {
    assert!(!text.contains("MARKED"), "{place}: {text}");
    for secret in [SECRET, FEDERATED, IDENTITY_HEADER] {
        let encoded = BASE64_STANDARD.encode(secret);
        assert!(
            !text.contains(encoded.trim_end_matches('=')),
            "{place}: {text}"
        );
    }
    let (secret, _) = SECRET.split_once("MARKED").unwrap();
    assert!(!text.contains(secret), "{place}: {text}");
}

/// A refusal: what the authority or the service answers, more flags and a secret, the exit code, what is
/// said, and how many tokens were asked for.
struct Refusal {
    authority: Option<What>,
    service: Option<What>,
    flags: Vec<String>,
    secret: Option<&'static str>,
    code: i32,
    said: [&'static str; 2],
    tokens: usize,
}

impl Refusal {
    fn by_authority(what: What, code: i32, said: [&'static str; 2], tokens: usize) -> Self {
        Self {
            authority: Some(what),
            service: None,
            flags: Vec::new(),
            secret: Some(SECRET),
            code,
            said,
            tokens,
        }
    }

    fn by_code(status: u16, error: &str, number: u32, said: [&'static str; 2]) -> Self {
        Self::by_authority(What::entra_refuses(status, error, number), 3, said, 1)
    }

    fn by_service(what: What, said: [&'static str; 2], tokens: usize) -> Self {
        Self {
            authority: None,
            service: Some(what),
            ..Self::by_authority(What::Close, 3, said, tokens)
        }
    }

    fn of_flags(flags: &[&str], secret: Option<&'static str>, said: [&'static str; 2]) -> Self {
        Self {
            authority: None,
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            secret,
            ..Self::by_authority(What::Close, 3, said, 1)
        }
    }
}

fn refusals() -> Vec<Refusal> {
    let tenant = |tenant| ["--entra-tenant", tenant, "--client-id", "x"];
    let another = key("another").display().to_string();
    let wrong_token = file("secret");
    vec![
        Refusal::of_flags(
            &[],
            Some("wr0ng-MARKED"),
            [
                "AADSTS7000215: Invalid client secret",
                "the secret's value, not its id",
            ],
        ),
        Refusal::of_flags(
            &["--client-certificate-file", &another],
            None,
            ["AADSTS700027", "upload the certificate"],
        ),
        Refusal::of_flags(
            &["--federated-token-file", &wrong_token],
            None,
            ["AADSTS700213", "add a federated credential"],
        ),
        Refusal::of_flags(
            &tenant("contoso.example"),
            Some(SECRET),
            ["AADSTS700016", "check --client-id"],
        ),
        Refusal::of_flags(
            &tenant("fabrikam.example"),
            Some(SECRET),
            ["AADSTS90002", "--authority (government tenants"],
        ),
        Refusal::of_flags(
            &["--managed-identity", "--client-id", "another"],
            None,
            [
                "HTTP 400: invalid_request: Identity not found",
                "assign a managed identity",
            ],
        ),
        Refusal::by_code(
            401,
            "invalid_client",
            7_000_222,
            ["expired", "make a new secret"],
        ),
        Refusal::by_code(
            401,
            "invalid_client",
            700_024,
            ["AADSTS700024", "set this machine's clock"],
        ),
        Refusal::by_code(
            400,
            "invalid_resource",
            500_011,
            [
                "AADSTS500011",
                "does not have Microsoft Defender for Cloud Apps",
            ],
        ),
        Refusal::by_code(
            400,
            "invalid_grant",
            501_051,
            ["AADSTS501051", "Investigation.read"],
        ),
        Refusal::by_code(
            400,
            "unauthorized_client",
            7_000_112,
            ["AADSTS7000112", "disabled"],
        ),
        Refusal::by_code(
            401,
            "invalid_client",
            42,
            [
                "HTTP 401: invalid_client: AADSTS42",
                "check --client-id, and the secret",
            ],
        ),
        Refusal::by_code(
            403,
            "unheard_of",
            43,
            [
                "HTTP 403: unheard_of",
                "check --entra-tenant, --client-id and --authority",
            ],
        ),
        Refusal::by_authority(
            What::html(404),
            3,
            ["HTTP 404: no reason was given", "check --entra-tenant"],
            1,
        ),
        Refusal::by_authority(
            What::redirect("https://elsewhere.example/x"),
            4,
            ["redirects to elsewhere.example", "correct --authority"],
            1,
        ),
        Refusal::by_authority(
            What::html(500),
            4,
            ["gave up after 2 attempts", "HTTP 500"],
            2,
        ),
        Refusal::by_authority(
            What::Close,
            4,
            ["the connection to the authority was cut", "run again later"],
            2,
        ),
        Refusal::by_authority(
            What::html(200),
            4,
            ["malformed answer", "check --authority"],
            2,
        ),
        Refusal::by_service(
            What::invalid_key_set(),
            [
                "HTTP 401: Invalid JSON Web Key Set",
                "the tenant's own regional host",
            ],
            2,
        ),
        Refusal::by_service(
            What::error(401, "Invalid token"),
            [
                "HTTP 401: Invalid token",
                "--entra-tenant is the tenant of --api-url",
            ],
            2,
        ),
        Refusal::by_service(
            What::missing_role(),
            [
                "HTTP 403: Insufficient role based permissions",
                "the role Investigation.read",
            ],
            1,
        ),
    ]
}

#[test]
fn every_refusal_has_its_exit_code_its_reason_and_its_remedy() {
    for (n, refusal) in refusals().into_iter().enumerate() {
        let place = Place::new("2026-10-01", "2026-10-01T01:00:00Z", 10, tenant());
        if let Some(what) = refusal.authority {
            let fault = Fault::new(At::Every, what).always();
            place.sim.add_authority_fault(fault);
        }
        if let Some(what) = refusal.service {
            place.sim.add_fault(Fault::new(At::Every, what).always());
        }
        let mut flags = application(&place.sim.url(), &[]);
        if refusal
            .flags
            .first()
            .is_some_and(|flag| flag == "--managed-identity")
        {
            flags.clear();
        } else if refusal
            .flags
            .first()
            .is_some_and(|flag| flag == "--entra-tenant")
        {
            flags.drain(..4);
        }
        flags.extend(refusal.flags);
        flags.extend([
            "--log-format".to_owned(),
            ["text", "json"][n % 2].to_owned(),
        ]);
        let lake = place.lake();
        let mut command = scan(&place, &lake, &flags);
        command.arg("-vvv");
        command.envs(refusal.secret.map(|secret| ("MDCA_CLIENT_SECRET", secret)));
        let ended = place.run(&mut command);
        let text = ended.text();
        let [reason, remedy] = refusal.said;
        assert_eq!(ended.code(), Some(refusal.code), "{reason}: {text}");
        assert!(
            text.contains(reason) && text.contains(remedy),
            "{reason}, {remedy}: {text}"
        );
        assert_eq!(
            place.sim.token_requests().len(),
            refusal.tokens,
            "{reason}: {text}"
        );
        expect_no_secret(&text, reason);
        assert!(!lake.path().exists(), "{reason}: {text}");
    }
}

/// Flags and variables, and what is said of them.
type Misuse<'a> = (Vec<String>, &'a [(&'a str, &'a str)], [&'a str; 2]);

#[test]
fn what_signs_in_is_one_way_whole_and_usable() {
    let place = Place::new("2026-10-01", "2026-10-01T01:00:00Z", 10, tenant());
    let (secret, federated, empty) = (file("secret"), file("federated"), file("empty"));
    fs::write(&empty, "\n").unwrap();
    let (gone, pfx) = (file("gone"), file("pfx"));
    fs::write(&pfx, [0x30, 0x82, 0xff, 0xfe]).unwrap();
    let pem = key("application").display().to_string();
    let elliptic = key("elliptic").display().to_string();
    let app = ["--entra-tenant", "t.example", "--client-id", "x"];
    let with = |more: &[&str]| -> Vec<String> {
        app.iter()
            .chain(more)
            .map(|&flag| flag.to_owned())
            .collect()
    };
    let alone =
        |flags: &[&str]| -> Vec<String> { flags.iter().map(|&flag| flag.to_owned()).collect() };
    let cases: Vec<Misuse<'_>> = vec![
        (
            alone(&[]),
            &[],
            ["there are no credentials", "MDCA_API_TOKEN"],
        ),
        (
            with(&[]),
            &[("MDCA_API_TOKEN", "x")],
            ["--entra-tenant", "MDCA_API_TOKEN are both given"],
        ),
        (
            with(&["--token-file", &secret]),
            &[("MDCA_CLIENT_SECRET", "x")],
            ["--token-file", "MDCA_CLIENT_SECRET are both given"],
        ),
        (
            with(&["--client-secret-file", &secret]),
            &[("MDCA_CLIENT_SECRET", "x")],
            ["MDCA_CLIENT_SECRET", "--client-secret-file are both given"],
        ),
        (
            with(&[
                "--client-secret-file",
                &secret,
                "--client-certificate-file",
                &pem,
            ]),
            &[],
            [
                "--client-secret-file",
                "--client-certificate-file are both given",
            ],
        ),
        (
            with(&[
                "--federated-token-file",
                &federated,
                "--client-certificate-file",
                &pem,
            ]),
            &[],
            [
                "--client-certificate-file",
                "--federated-token-file are both given",
            ],
        ),
        (
            alone(&["--managed-identity"]),
            &[("MDCA_API_TOKEN", "x")],
            ["MDCA_API_TOKEN", "--managed-identity are both given"],
        ),
        (
            with(&["--managed-identity"]),
            &[],
            ["--entra-tenant", "does not go with --managed-identity"],
        ),
        (
            with(&[]),
            &[],
            ["--entra-tenant is given", "set MDCA_CLIENT_SECRET"],
        ),
        (
            alone(&["--client-id", "x"]),
            &[("MDCA_CLIENT_SECRET", "x")],
            ["--entra-tenant is missing", "with MDCA_CLIENT_SECRET"],
        ),
        (
            alone(&["--entra-tenant", "t"]),
            &[("MDCA_CLIENT_SECRET", "x")],
            ["--client-id is missing", "in Entra"],
        ),
        (
            alone(&["--entra-tenant", "common", "--client-id", "x"]),
            &[("MDCA_CLIENT_SECRET", "x")],
            ["--entra-tenant: 'common'", "its id or a domain"],
        ),
        (
            alone(&["--entra-tenant", "../x", "--client-id", "x"]),
            &[("MDCA_CLIENT_SECRET", "x")],
            ["--entra-tenant: '../x'", "its id or a domain"],
        ),
        (
            alone(&["--entra-tenant", "t", "--client-id", "a b"]),
            &[("MDCA_CLIENT_SECRET", "x")],
            ["--client-id", "a GUID"],
        ),
        (
            with(&[]),
            &[("MDCA_CLIENT_SECRET", "s3cret\nMARKED")],
            ["MDCA_CLIENT_SECRET: ", "line break"],
        ),
        (
            with(&["--client-secret-file", &gone]),
            &[],
            ["--client-secret-file", "No such file"],
        ),
        (
            with(&["--client-secret-file", &empty]),
            &[],
            ["--client-secret-file", "it is empty"],
        ),
        (
            with(&["--federated-token-file", &empty]),
            &[],
            ["--federated-token-file", "it is empty"],
        ),
        (
            with(&["--client-certificate-file", &secret]),
            &[],
            ["--client-certificate-file", "openssl pkcs12"],
        ),
        (
            with(&["--client-certificate-file", &pfx]),
            &[],
            ["--client-certificate-file", "openssl pkcs12"],
        ),
        (
            with(&["--client-certificate-file", &elliptic]),
            &[],
            ["--client-certificate-file", "RSA keys"],
        ),
        (
            with(&["--authority", "http://login.example"]),
            &[("MDCA_CLIENT_SECRET", "x")],
            [
                "--authority",
                "plain http would send the secret to login.example",
            ],
        ),
        (
            with(&["--authority", "login.example"]),
            &[("MDCA_CLIENT_SECRET", "x")],
            ["--authority", "not a URL"],
        ),
        (
            alone(&["--managed-identity"]),
            &[
                ("IDENTITY_ENDPOINT", "http://10.0.0.1/x"),
                ("IDENTITY_HEADER", "x"),
            ],
            ["IDENTITY_ENDPOINT", "10.0.0.1 unencrypted"],
        ),
    ];
    for (flags, variables, said) in cases {
        let lake = place.lake();
        let mut command = lake.scan();
        command.env_remove("MDCA_API_TOKEN").args(&flags);
        let ended = place.run(command.envs(variables.iter().copied()));
        let text = ended.text();
        assert_eq!(ended.code(), Some(2), "{flags:?} {variables:?}: {text}");
        for word in said {
            assert!(text.contains(word), "{word}: {text}");
        }
        expect_no_secret(&text, said[0]);
        assert!(!lake.path().exists());
    }
    assert_eq!(
        place.sim.token_requests().len() + place.sim.requests().len(),
        0
    );
}

#[test]
fn nothing_that_is_printed_or_kept_has_a_secret_in_it() {
    let until = "2026-10-01T02:00:00Z";
    for (way, sign_in) in ways() {
        let place = Place::new("2026-10-01", until, 20, tenant());
        let (flags, environment) = sign_in(&place.sim.url());
        let lake = place.lake();
        let mut command = scan(&place, &lake, &flags);
        let client_secret = environment.client_secret.is_some();
        command.envs(client_secret.then_some(("MDCA_CLIENT_SECRET", SECRET)));
        if let Some(url) = environment.identity_endpoint {
            command.env("IDENTITY_ENDPOINT", url);
            command.env("IDENTITY_HEADER", IDENTITY_HEADER);
        }
        let Workload {
            tenant,
            client_id,
            token_file,
            authority,
        } = environment.workload;
        for (name, value) in [
            ("AZURE_TENANT_ID", tenant),
            ("AZURE_CLIENT_ID", client_id),
            ("AZURE_FEDERATED_TOKEN_FILE", token_file),
            ("AZURE_AUTHORITY_HOST", authority),
        ] {
            command.envs(value.map(|value| (name, value)));
        }
        let ended = place.run(command.args(["-vvv", "--log-format", "json"]));
        let text = ended.text();
        assert_eq!(ended.code(), Some(0), "{way}: {text}");
        assert!(text.contains("signed in"), "{way}: {text}");
        expect_no_secret(&text, way);
        for path in files_below(lake.path()) {
            let bytes = fs::read(&path).unwrap();
            expect_no_secret(&String::from_utf8_lossy(&bytes), way);
        }
        lake.expect_exact(way);
    }
}

#[test]
fn requests_for_tokens_are_none_of_the_services_budget() {
    let place = Place::new("2026-10-01", "2026-10-01T02:00:00Z", 20, tenant());
    let lake = place.lake();
    let flags = application(&place.sim.url(), &["--client-secret-file", &file("secret")]);
    let ended = place.run(&mut scan(&place, &lake, &flags));
    assert_eq!(ended.code(), Some(0), "{ended}");
    let report = ended.report();
    assert_eq!(report["requests"], place.sim.requests().len());
    let tokens = place.sim.token_requests();
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].path, "/contoso.example/oauth2/v2.0/token");
}
