//! A new lake asks first: what the service refuses makes no lake, not even its folder.

use mdca_lake::text::report::Report;
use mdca_sim::{At, Fault, SimOptions, What};
use serde_json::Value;

use crate::support::faulty::{Fate, Gate};
use crate::support::process::Place;
use crate::support::scenario::{DAY_MS, Scenario, at};
use crate::support::sealed;

const HOUR_ONE: &str = "20261118T0000Z-20261118T0100Z";

fn place(faults: Vec<Fault>) -> Place {
    let options = SimOptions {
        faults,
        ..SimOptions::default()
    };
    // As many as leave no hour of the day empty: what is empty so long ago is asked for again.
    Place::new("2026-10-01", "2026-10-02", 2_000, options)
}

fn always(what: What) -> Vec<Fault> {
    vec![Fault::new(At::Every, what).always()]
}

/// Faults, flags and a token; the exit code, what is said, and the requests that it took.
type Case = (
    Vec<Fault>,
    Vec<String>,
    &'static str,
    i32,
    &'static str,
    usize,
);

#[test]
fn what_the_service_refuses_makes_no_lake() {
    let gone = "http://127.0.0.1:1/".to_owned();
    let date_off = What::DateAhead { ms: 3 * DAY_MS };
    let cases: Vec<Case> = vec![
        (vec![], vec![], "wr0ng", 3, "HTTP 401", 1),
        (
            always(What::error(400, "no filter 'policy' any more")),
            vec!["--filters".into(), r#"{"policy":{"eq":["1"]}}"#.into()],
            "sim-token",
            2,
            "check --filters, --service and --api-url; nothing was created",
            2,
        ),
        (
            always(What::error(403, "no right")),
            vec![],
            "sim-token",
            3,
            "HTTP 403: no right",
            1,
        ),
        (
            always(What::error(404, "not here")),
            vec![],
            "sim-token",
            4,
            "HTTP 404: not here",
            1,
        ),
        (
            always(What::redirect("https://elsewhere.example/")),
            vec![],
            "sim-token",
            4,
            "elsewhere.example",
            1,
        ),
        (
            vec![],
            vec![
                "--api-url".into(),
                gone,
                "--max-attempts".into(),
                "1".into(),
            ],
            "sim-token",
            4,
            "no connection to the service",
            0,
        ),
        (
            always(date_off),
            vec![],
            "sim-token",
            4,
            "this machine's clock is 3days behind",
            1,
        ),
        (
            always(What::DateMissing),
            vec![],
            "sim-token",
            4,
            "no Date header",
            1,
        ),
    ];
    for (faults, flags, token, code, said, requests) in cases {
        for folder_is_there in [false, true] {
            let place = place(faults.clone());
            let lake = place.lake();
            if folder_is_there {
                std::fs::create_dir(lake.path()).unwrap();
            }
            let mut scan = lake.scan();
            if flags.first().is_some_and(|flag| flag == "--api-url") {
                scan = lake.command("scan");
                scan.args(["--report", "json"]);
            }
            let ended = place.run(scan.args(&flags).env("MDCA_API_TOKEN", token));
            assert_eq!(ended.code(), Some(code), "{said}: {ended}");
            assert!(ended.text().contains(said), "{said}: {ended}");
            assert_eq!(place.sim.requests().len(), requests, "{said}: {ended}");
            assert!(ended.report()["elapsed_s"].as_f64() > Some(0.0), "{ended}");
            if folder_is_there {
                assert_eq!(
                    std::fs::read_dir(lake.path()).unwrap().count(),
                    0,
                    "{ended}"
                );
            } else {
                assert!(!lake.path().exists(), "{said}: {ended}");
            }
        }
    }
}

#[test]
fn a_lake_is_made_after_one_request_for_one_record() {
    let place = place(vec![]);
    let lake = place.lake();
    let ended = place.run(&mut lake.scan());
    assert_eq!(ended.code(), Some(0), "{ended}");
    let requests = place.sim.requests();
    // A tie comes whole, so that there may be more records than one.
    assert_eq!(requests[0].body["limit"], 1);
    assert!(requests[0].records > 0);
    // The same question as the first slice's, for one record.
    let filters = |at: usize| &requests[at].body["filters"];
    assert!((1..requests.len()).any(|at| filters(at) == filters(0)));
    lake.expect_exact("a new lake");
    let sent = requests.len();
    let ended = place.run(&mut lake.scan());
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert_eq!(
        place.sim.requests().len(),
        sent,
        "nothing is asked of a lake that is there"
    );
}

/// Whether the service takes so small a limit is not known.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_refuses_a_limit_of_one_is_asked_with_500() {
    let tiny = At::asked(|asked| asked.limit == Some(1));
    let (story, report) = Scenario::hours(2)
        .asks_first()
        .fault(Fault::new(tiny, What::error(400, "limit too small")).always())
        .run()
        .await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    assert_eq!(report.scanned.requests, report.result.counts.pages + 2);
    assert!(!report.scanned.page_limit_lowered);
    story.expect_exact().await;
}

/// One slice that cannot be had is no reason to have no lake.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_slice_that_cannot_be_had_does_not_hinder_the_lake() {
    let first = at("2026-11-18T01:00:00Z");
    let poisoned = At::asked(move |asked| asked.to_ms < first);
    let (_, report) = Scenario::hours(3)
        .asks_first()
        .flags(&["--max-attempts", "2"])
        .fault(Fault::new(poisoned, What::gateway(504)).always())
        .run()
        .await;
    assert!(report.slices.committed >= 2, "{}", report.to_text());
}

/// Where nothing is closed yet the last closed minute is asked for, and the lake begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_lake_is_made_before_its_first_slice_is_closed() {
    let story = Scenario::hours(1)
        .asks_first()
        .now("2026-11-18T00:30:00Z")
        .start()
        .await;
    let report = story.scan(&[]).await;
    assert_eq!(
        (report.head.exit_code, report.scanned.requests),
        (0, 1),
        "{}",
        report.to_text()
    );
    let filters = &story.sim.requests()[0].body["filters"]["created"];
    assert_eq!(filters["gte"], at("2026-11-18T00:14:00Z"));
    assert_eq!(filters["lte"], at("2026-11-18T00:15:00Z") - 1);
    let identity = sealed::read(&story.lake().join("_mdca/lake.json"));
    assert_eq!(identity["begin_ms"], at("2026-11-18"));
}

/// Two first runs race. Whoever comes second takes the lake as it is, or says that it wanted another.
#[tokio::test(flavor = "multi_thread")]
async fn the_loser_of_the_race_for_a_new_lake_takes_it_or_is_refused() {
    for (minutes, exit_code) in [(60, 0), (30, 2)] {
        let story = Scenario::hours(2)
            .asks_first()
            .flags(&["--slice", "1h"])
            .start()
            .await;
        let lake = story.store();
        let mut theirs: Value = sealed::identity(at("2026-11-17"));
        theirs["slice_minutes"] = minutes.into();
        theirs["api_host"] = story.sim.url().split('/').nth(2).unwrap().into();
        let path = story.lake().join("_mdca/lake.json");
        let (there, made) = (path.clone(), theirs.clone());
        let gate = Gate::new(move |call| {
            if call.verb == "create" && call.path.ends_with("lake.json") && !there.exists() {
                sealed::write(&there, &made);
            }
            Fate::Pass
        });
        let report = story.scan_on(gate.guard(&lake), 1, &[]).await;
        assert_eq!(report.head.exit_code, exit_code, "{}", report.to_text());
        assert_eq!(sealed::read(&path), theirs);
        let requests = story.sim.requests().len();
        if exit_code == 0 {
            assert!(
                story
                    .lake()
                    .join(format!("_mdca/commits/{HOUR_ONE}.json"))
                    .exists()
            );
        } else {
            assert_eq!(requests, 1);
            assert!(
                report.to_text().contains("made with 30m"),
                "{}",
                report.to_text()
            );
        }
    }
}
