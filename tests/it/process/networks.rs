//! The networks of companies: proxies that open TLS, authorities that only they trust, lines that break.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use mdca_sim::{AuthorityOptions, SimOptions};

use crate::support::process::{Ended, PROGRAM, Place};
use crate::support::servers::Server;
use crate::support::tls_proxy::{Authority, Line, TlsProxy, https_before};

const SERVICE: &str = "contoso.eu2.portal.cloudappsecurity.test";
const SIGN_IN: &str = "login.microsoftonline.test";
const SECRET: &str = "secret-of-the-application";
const PASSWORD: &str = "MARKED-password";
/// What a shell may have set.
const AROUND: [&str; 9] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_DIR",
];

fn place() -> Place {
    let authority = AuthorityOptions {
        secrets: vec![SECRET.to_owned()],
        ..AuthorityOptions::default()
    };
    let options = SimOptions {
        authority: Some(authority),
        ..SimOptions::default()
    };
    Place::new("2026-10-01T23:00:00Z", "2026-10-02T01:00:00Z", 40, options)
}

/// Where a lake is: its location, and the variables of its store. The store keeps its address, of which it
/// would take a name for a bucket or an account; it speaks no TLS, so that only the proxy can be answering.
struct Home {
    /// Where it is, for the proxy as for the program.
    host: String,
    lake: String,
    variables: Vec<(&'static str, String)>,
}

/// The object stores that are up.
fn stores() -> Vec<Home> {
    let reached = [Server::Moto, Server::Azurite].into_iter();
    let homes = reached.filter_map(Server::up).map(|reached| {
        let upstream = reached.endpoint.trim_start_matches("http://");
        let (upstream, path) = upstream.split_once('/').unwrap_or((upstream, ""));
        let mut variables = reached.variables();
        variables.retain(|(name, _)| !name.ends_with("_ALLOW_HTTP"));
        for (name, value) in &mut variables {
            if name.ends_with("ENDPOINT") {
                *value = format!("https://{upstream}/{path}");
                *value = value.trim_end_matches('/').to_owned();
            }
        }
        Home {
            lake: reached.lake(&format!("network-{:016x}", fastrand::u64(..))),
            host: upstream.to_owned(),
            variables,
        }
    });
    homes.collect()
}

/// Everything behind one proxy.
fn proxy(
    place: &Place,
    authority: &Arc<Authority>,
    homes: &[Home],
    line: impl Fn(usize) -> Line + Send + Sync + 'static,
) -> TlsProxy {
    let url = place.sim.url();
    let service = url.trim_start_matches("http://");
    let mut routes = vec![
        (format!("{SERVICE}:443"), service.to_owned()),
        (format!("{SIGN_IN}:443"), service.to_owned()),
    ];
    routes.extend(
        homes
            .iter()
            .map(|home| (home.host.clone(), home.host.clone())),
    );
    TlsProxy::start(authority, routes, line)
}

/// The program in a network that trusts the authorities of a file.
fn program(verb: &str, trusted: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    for name in AROUND {
        command.env_remove(name);
    }
    command.env("SSL_CERT_FILE", trusted).arg(verb);
    command
}

/// A `scan` of the place's window.
fn scan(service: &str, trusted: &Path) -> Command {
    let mut command = program("scan", trusted);
    command
        .args(["--api-url", service, "--report", "json"])
        .args(["--from", "2026-10-01T23:00:00Z"])
        .args(["--until", "2026-10-02T01:00:00Z"])
        .env("MDCA_REQUESTS_PER_MINUTE", "0");
    command
}

fn with_token(command: &mut Command) {
    command.env("MDCA_API_TOKEN", "sim-token");
}

fn as_application(command: &mut Command, authority: &str) {
    let AuthorityOptions {
        tenant, client_id, ..
    } = AuthorityOptions::default();
    command
        .args(["--entra-tenant", &tenant, "--client-id", &client_id])
        .args(["--authority", authority])
        .env("MDCA_CLIENT_SECRET", SECRET);
}

fn service() -> String {
    format!("https://{SERVICE}")
}

fn sign_in() -> String {
    format!("https://{SIGN_IN}")
}

fn expect_words(ended: &Ended, what: &str, words: &[&str]) {
    assert!(!matches!(ended.code(), None | Some(0)), "{what}: {ended}");
    for word in words {
        assert!(
            ended.text().contains(word),
            "{what}: no '{word}' in {ended}"
        );
    }
    assert!(!ended.text().contains(PASSWORD), "{what}: {ended}");
}

#[test]
fn service_authority_and_stores_are_reached_through_a_proxy_that_opens_tls() {
    let (place, authority) = (place(), Arc::new(Authority::new("Contoso Proxy")));
    let homes = stores();
    let proxy = proxy(&place, &authority, &homes, |_| Line::Holds);

    let lake = place.lake();
    let mut command = scan(&service(), &authority.file());
    as_application(&mut command, &sign_in());
    command
        .env("HTTPS_PROXY", proxy.url(PASSWORD))
        .arg("--lake")
        .arg(lake.path());
    let ended = place.run(&mut command);
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert_eq!(lake.ids(), place.expected_ids());

    for home in &homes {
        let mut command = scan(&service(), &authority.file());
        as_application(&mut command, &sign_in());
        command
            .env("https_proxy", proxy.url(PASSWORD))
            .envs(home.variables.iter().cloned())
            .args(["--lake", &home.lake]);
        let ended = place.run(&mut command);
        assert_eq!(ended.code(), Some(0), "{}: {ended}", home.host);
        let mut verify = program("verify", &authority.file());
        verify
            .env("HTTPS_PROXY", proxy.url(PASSWORD))
            .envs(home.variables.iter().cloned())
            .args(["--deep", "--lake", &home.lake]);
        let ended = place.run(&mut verify);
        assert_eq!(ended.code(), Some(0), "{}: {ended}", home.host);
    }

    let asked = proxy.asked();
    let hosts = homes.iter().map(|home| home.host.clone());
    for host in hosts.chain([format!("{SERVICE}:443"), format!("{SIGN_IN}:443")]) {
        let line = format!("CONNECT {host} ");
        assert!(asked.iter().any(|head| head.starts_with(&line)), "{host}");
    }
    let has_password = |head: &String| head.to_lowercase().contains("proxy-authorization: basic ");
    assert!(asked.iter().all(has_password), "{asked:?}");
}

#[test]
fn no_proxy_leads_past_a_proxy() {
    let (place, authority) = (place(), Arc::new(Authority::new("Contoso")));
    let url = place.sim.url();
    let front = https_before(&authority, url.trim_start_matches("http://"));
    let url = format!("https://{front}");
    let dead = "http://127.0.0.1:1";
    for (proxy, past, is_past) in [
        ("HTTPS_PROXY", Some(("NO_PROXY", "127.0.0.1")), true),
        (
            "https_proxy",
            Some(("no_proxy", "10.0.0.0/8,127.0.0.0/8")),
            true,
        ),
        ("ALL_PROXY", Some(("NO_PROXY", "127.0.0.1,*")), true),
        ("HTTPS_PROXY", Some(("NO_PROXY", "contoso.test")), false),
        ("HTTPS_PROXY", None, false),
        // What is empty is not set, and this is no program of a web server.
        ("https_proxy", Some(("HTTPS_PROXY", "")), false),
        ("all_proxy", Some(("HTTPS_PROXY", "")), false),
        ("HTTPS_PROXY", Some(("REQUEST_METHOD", "GET")), false),
    ] {
        let lake = place.lake();
        let mut command = scan(&url, &authority.file());
        with_token(&mut command);
        command
            .env(proxy, dead)
            .envs(past)
            .args(["--max-attempts", "1", "--lake"])
            .arg(lake.path());
        let ended = place.run(&mut command);
        if is_past {
            assert_eq!(ended.code(), Some(0), "{past:?}: {ended}");
            assert_eq!(lake.ids(), place.expected_ids());
        } else {
            let words = ["the proxy of HTTPS_PROXY or ALL_PROXY", "NO_PROXY"];
            expect_words(&ended, "a dead proxy", &words);
        }
    }
}

#[test]
fn an_empty_variable_of_authorities_is_one_that_is_not_set() {
    let (place, authority) = (place(), Arc::new(Authority::new("Contoso")));
    let url = place.sim.url();
    let front = https_before(&authority, url.trim_start_matches("http://"));
    let folder = place.room().join("authorities");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(authority.file(), folder.join("contoso.pem")).unwrap();
    let lake = place.lake();
    let mut command = scan(&format!("https://{front}"), Path::new(""));
    with_token(&mut command);
    command
        .env("SSL_CERT_DIR", &folder)
        .arg("--lake")
        .arg(lake.path());
    let ended = place.run(&mut command);
    assert_eq!(ended.code(), Some(0), "{ended}");
    let warning = "cannot read the certificate of an authority";
    assert!(!ended.text().contains(warning), "{ended}");
}

#[test]
fn a_variable_that_names_no_proxy_is_refused_and_its_password_is_not_said() {
    let (place, authority) = (place(), Arc::new(Authority::new("Contoso")));
    for (variable, proxy) in [
        ("HTTPS_PROXY", "http://jane:pass word@proxy:8080"),
        ("https_proxy", "ftp://jane:password@proxy"),
        ("HTTPS_PROXY", "http://"),
        ("ALL_PROXY", "socks5://jane:password@127.0.0.1:1080"),
    ] {
        let lake = place.lake();
        let mut command = scan(&service(), &authority.file());
        with_token(&mut command);
        command.env(variable, proxy).arg("--lake").arg(lake.path());
        let ended = place.run(&mut command);
        assert_eq!(ended.code(), Some(2), "{proxy}: {ended}");
        expect_words(&ended, proxy, &[variable, "http://proxy.contoso.com:8080"]);
        assert!(!ended.text().contains("jane"), "{ended}");
        assert!(!lake.path().exists(), "{proxy}");
    }
}

#[test]
fn a_proxy_that_refuses_is_named_by_its_variable() {
    let (place, authority) = (place(), Arc::new(Authority::new("Contoso Proxy")));
    let proxy = proxy(&place, &authority, &[], |_| Line::Refused(407));
    let lake = place.lake();
    for signs_in in [false, true] {
        let mut command = scan(&service(), &authority.file());
        if signs_in {
            as_application(&mut command, &sign_in());
        } else {
            with_token(&mut command);
        }
        command
            .env("HTTPS_PROXY", proxy.url(PASSWORD))
            .args(["--max-attempts", "1", "--lake"])
            .arg(lake.path());
        let ended = place.run(&mut command);
        let words = [
            "the proxy of HTTPS_PROXY or ALL_PROXY",
            "authorization required",
        ];
        expect_words(&ended, "a proxy that refuses", &words);
    }
}

#[test]
fn a_certificate_that_is_not_trusted_is_said_with_its_issuer_and_the_variable() {
    let (place, authority) = (place(), Arc::new(Authority::new("Contoso Proxy")));
    let other = Authority::new("Another");
    let homes = stores();
    let proxy = proxy(&place, &authority, &homes, |_| Line::Holds);
    let words = ["CN=Contoso Proxy", "SSL_CERT_FILE", "issuer"];

    for (signs_in, host) in [(false, SERVICE), (true, SIGN_IN)] {
        let lake = place.lake();
        let mut command = scan(&service(), &other.file());
        if signs_in {
            as_application(&mut command, &sign_in());
        } else {
            with_token(&mut command);
        }
        command
            .env("HTTPS_PROXY", proxy.url(PASSWORD))
            .arg("--lake")
            .arg(lake.path());
        let ended = place.run(&mut command);
        expect_words(&ended, host, &words);
        expect_words(&ended, host, &[host]);
    }
    for home in &homes {
        let mut status = program("status", &other.file());
        status
            .env("HTTPS_PROXY", proxy.url(PASSWORD))
            .envs(home.variables.iter().cloned())
            .args(["--lake", &home.lake]);
        let before = proxy.asked().len();
        let ended = place.run(&mut status);
        expect_words(&ended, &home.host, &words);
        expect_words(&ended, &home.host, &[&home.lake]);
        let tried = proxy.asked().len() - before;
        assert!(tried <= 2, "it was tried {tried} times");
    }
}

#[test]
fn authorities_that_cannot_be_read_are_said_with_the_file() {
    let (place, lake) = (place(), "s3://lakes/nowhere");
    let missing = place.fresh("no-such-authority.pem");
    let mut command = scan(&service(), &missing);
    with_token(&mut command);
    command.arg("--lake").arg(place.fresh("lake"));
    let words = [missing.to_str().unwrap(), "SSL_CERT_FILE", "PEM"];
    expect_words(&place.run(&mut command), "the service", &words);

    let mut status = program("status", &missing);
    status
        .args(["--lake", lake])
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    expect_words(&place.run(&mut status), "the store", &words);
}

#[test]
fn a_line_that_hangs_and_breaks_is_waited_for() {
    let (place, authority) = (place(), Arc::new(Authority::new("Contoso VPN")));
    let homes = stores();
    for home in homes.iter().map(Some).chain([None]) {
        let at_home = home.map_or(&[][..], std::slice::from_ref);
        let proxy = proxy(&place, &authority, at_home, |number| match number {
            0 | 3 => Line::BreaksBeforeTls,
            1 | 4 => Line::BreaksInTheAnswer,
            _ => Line::Holds,
        });
        let lake = place.lake();
        let mut command = scan(&service(), &authority.file());
        as_application(&mut command, &sign_in());
        command
            .env("HTTPS_PROXY", proxy.url(PASSWORD))
            .arg("--lake");
        match home {
            Some(home) => command.arg(&home.lake).envs(home.variables.iter().cloned()),
            None => command.arg(lake.path()),
        };
        let ended = place.run(&mut command);
        assert_eq!(ended.code(), Some(0), "{ended}");
        assert!(proxy.asked().len() > 5, "the line did not break");
        if home.is_none() {
            assert_eq!(lake.ids(), place.expected_ids());
        }
    }
}
