//! Faults do what they say, where and as often as they say.

use std::time::Duration;

use mdca_sim::clock::fixed_now;
use mdca_sim::generator::DEFAULT_FROM_MS as FROM;
use mdca_sim::{
    At, Change, ClockField, Fault, Repeat, Sim, SimOptions, Tenant, TenantOptions, What,
};
use serde_json::{Value, json};

use crate::client::{HOUR_MS, ids, post, scan, scan_body, scan_ids};

const UNTIL: i64 = FROM + 24 * HOUR_MS;

async fn sim(faults: Vec<Fault>) -> Sim {
    let tenant = Tenant::generate(&TenantOptions {
        activities: 60,
        ties_per_mille: 100,
        ..TenantOptions::default()
    });
    let options = SimOptions {
        now: fixed_now(UNTIL),
        faults,
        ..SimOptions::default()
    };
    Sim::start(tenant, options).await.unwrap()
}

fn all(sim: &Sim) -> Vec<String> {
    let records = sim.tenant().records(ClockField::Created, FROM..UNTIL);
    records
        .into_iter()
        .map(|record| record.id.unwrap())
        .collect()
}

fn body() -> Value {
    scan_body("created", FROM..UNTIL, 20)
}

async fn first(what: What) -> Value {
    let sim = sim(vec![Fault::new(At::Page(0), what)]).await;
    let answer = post(&sim, &body()).await.unwrap().json();
    assert_eq!(sim.faults_left(), 0);
    answer
}

#[tokio::test]
async fn errors_have_the_bodies_that_clients_saw() {
    for (what, status, text) in [
        (What::invalid_key_set(), 401, "Invalid JSON Web Key Set"),
        (
            What::missing_role(),
            403,
            "Insufficient role based permissions",
        ),
        (What::html(404), 404, "Page not found"),
        (What::html(500), 500, "__ADALLOM_CONSTS"),
        (What::html(200), 200, "<!DOCTYPE html>"),
        (What::throttled(None), 429, "TOO MANY REQUESTS"),
        (What::throttled_json(Some(5)), 429, "throttled"),
        (What::gateway(504), 504, "upstream"),
        (What::redirect("http://example.com/"), 302, ""),
    ] {
        let sim = sim(vec![Fault::new(At::Page(0), what).times(2)]).await;
        for _ in 0..2 {
            let reply = post(&sim, &body()).await.unwrap();
            assert_eq!(reply.status, status);
            assert!(String::from_utf8(reply.bytes).unwrap().contains(text));
        }
        assert_eq!(scan_ids(&sim, body()).await, all(&sim));
    }
}

#[tokio::test]
async fn connections_break_before_and_inside_answers() {
    for what in [What::Close, What::Reset, What::CutBody { after: 700 }] {
        let sim = sim(vec![Fault::new(At::Page(0), what.clone())]).await;
        assert!(post(&sim, &body()).await.is_err(), "{what:?}");
        assert_eq!(scan_ids(&sim, body()).await, all(&sim));
    }
}

#[tokio::test]
async fn a_slow_body_arrives_whole() {
    let what = What::SlowBody {
        piece: 40_000,
        pause: Duration::from_millis(1),
    };
    let sim = sim(vec![Fault::new(At::Every, what).always()]).await;
    assert_eq!(scan_ids(&sim, body()).await, all(&sim));
}

#[tokio::test]
async fn a_stalled_answer_never_comes() {
    let sim = sim(vec![Fault::new(At::Request(0), What::Stall)]).await;
    let waited = tokio::time::timeout(Duration::from_millis(50), post(&sim, &body())).await;
    assert!(waited.is_err());
}

#[tokio::test]
async fn bodies_are_no_json_or_half_of_it() {
    for what in [
        What::MalformedJson,
        What::TruncatedJson,
        What::Record(Change::InvalidUtf8),
    ] {
        let sim = sim(vec![Fault::new(At::Page(1), what)]).await;
        let mut next = body();
        next["filters"] = post(&sim, &body()).await.unwrap().json()["nextQueryFilters"].clone();
        let reply = post(&sim, &next).await.unwrap();
        assert!(reply.status == 200 && serde_json::from_slice::<Value>(&reply.bytes).is_err());
        assert_eq!(scan_ids(&sim, body()).await, all(&sim));
    }
}

#[tokio::test]
async fn a_page_may_be_huge_when_unpacked() {
    for what in [
        What::PadTo { bytes: 3_000_000 },
        What::GzipBomb { bytes: 3_000_000 },
    ] {
        let sim = sim(vec![Fault::new(At::Page(0), what)]).await;
        let reply = post(&sim, &body()).await.unwrap();
        assert_eq!(reply.bytes.len(), 3_000_000);
        assert!(!reply.ids().is_empty());
    }
}

#[tokio::test]
async fn the_envelope_may_lack_anything() {
    assert!(first(What::DataMissing).await.get("data").is_none());
    assert!(first(What::DataNull).await["data"].is_null());
    assert!(first(What::HasNextMissing).await.get("hasNext").is_none());
    assert_eq!(first(What::HasNextText).await["hasNext"], "true");
    assert!(
        first(What::NextFiltersMissing)
            .await
            .get("nextQueryFilters")
            .is_none()
    );
    assert_eq!(
        first(What::NextFiltersNull).await["nextQueryFilters"],
        Value::Null
    );
    let stuck = first(What::Stuck {
        range_at_least_ms: 0,
    })
    .await;
    assert_eq!(
        (&stuck["hasNext"], &stuck["nextQueryFilters"]),
        (&json!(true), &body()["filters"])
    );
    assert_eq!(first(What::EndsEarly).await["hasNext"], false);
}

#[tokio::test]
async fn a_stuck_scan_goes_on_when_the_range_is_halved() {
    let sim = sim(vec![
        Fault::new(
            At::Every,
            What::Stuck {
                range_at_least_ms: 13 * HOUR_MS,
            },
        )
        .always(),
    ])
    .await;
    let middle = FROM + 12 * HOUR_MS;
    let mut found = scan_ids(&sim, scan_body("created", FROM..middle, 20)).await;
    found.extend(scan_ids(&sim, scan_body("created", middle..UNTIL, 20)).await);
    assert_eq!(found, all(&sim));
}

#[tokio::test]
async fn a_continuation_beside_the_end_leads_to_nothing() {
    let sim = sim(vec![
        Fault::new(At::Every, What::NextFiltersOnLast).always(),
    ])
    .await;
    let mut body = scan_body("created", FROM..UNTIL, 500);
    let answer = post(&sim, &body).await.unwrap().json();
    assert_eq!(answer["hasNext"], false);
    body["filters"] = answer["nextQueryFilters"].clone();
    let answer = post(&sim, &body).await.unwrap().json();
    assert!(ids(&answer).is_empty() && answer.get("nextQueryFilters").is_none());
}

#[tokio::test]
async fn empty_and_short_pages_lose_nothing() {
    let faults = vec![
        Fault::new(At::PagesFrom(1), What::EmptyPage).times(4),
        Fault::new(At::PagesFrom(6), What::ShortPage { records: 2 }).times(2),
    ];
    let sim = sim(faults).await;
    let answers = scan(&sim, body()).await;
    assert_eq!(
        answers
            .iter()
            .filter(|answer| ids(answer).is_empty())
            .count(),
        4
    );
    assert_eq!(answers.iter().flat_map(ids).collect::<Vec<_>>(), all(&sim));
    assert_eq!(sim.faults_left(), 0);
}

#[tokio::test]
async fn order_may_be_ignored_without_losing_anything() {
    for what in [What::IgnoreOrder, What::Shuffle] {
        let sim = sim(vec![Fault::new(At::Every, what).always()]).await;
        let mut found = scan_ids(&sim, body()).await;
        let mut expected = all(&sim);
        assert_ne!(found, expected);
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn filters_may_be_ignored() {
    let ignored = sim(vec![Fault::new(At::Every, What::IgnoreFilters).always()]).await;
    let noon = FROM + 12 * HOUR_MS;
    assert_eq!(
        scan_ids(&ignored, scan_body("created", noon..noon + HOUR_MS, 20)).await,
        all(&ignored)
    );

    let outside = sim(vec![Fault::new(At::Every, What::OnlyOutside).always()]).await;
    let page = post(&outside, &scan_body("created", noon..UNTIL, 500))
        .await
        .unwrap()
        .ids();
    let before = outside.tenant().records(ClockField::Created, FROM..noon);
    assert!(before.into_iter().map(|record| record.id.unwrap()).eq(page));
}

#[tokio::test]
async fn one_record_may_come_from_outside() {
    let noon = FROM + 12 * HOUR_MS;
    let sim = sim(vec![Fault::new(At::FirstPages, What::Stray)]).await;
    let page = post(&sim, &scan_body("created", noon..UNTIL, 500))
        .await
        .unwrap()
        .ids();
    let inside = sim.tenant().records(ClockField::Created, noon..UNTIL);
    assert_eq!(page.len(), inside.len() + 1);
}

#[tokio::test]
async fn an_exact_bound_may_be_answered_with_nothing() {
    let sim = sim(vec![
        Fault::new(At::FirstPages, What::ExactBoundEmpty).always(),
    ])
    .await;
    let start = sim.tenant().records(ClockField::Created, FROM..UNTIL)[0].created_ms;
    assert!(
        scan_ids(&sim, scan_body("created", start..UNTIL, 20))
            .await
            .is_empty()
    );
    assert_eq!(
        scan_ids(&sim, scan_body("created", start - 1..UNTIL, 20)).await,
        all(&sim)
    );
}

#[tokio::test]
async fn a_record_may_be_repeated_on_the_next_page() {
    for how in [Repeat::Exact, Repeat::Reordered, Repeat::Changed] {
        let sim = sim(vec![Fault::new(At::Page(1), What::Repeat(how))]).await;
        let answers = scan(&sim, body()).await;
        let before = answers[0]["data"].as_array().unwrap().last().unwrap();
        let again = answers[1]["data"].as_array().unwrap().last().unwrap();
        assert_eq!(before["_id"], again["_id"]);
        assert_eq!(before == again, how != Repeat::Changed);
        assert_eq!(answers.iter().flat_map(ids).count(), 61);
    }
}

#[tokio::test]
async fn one_record_is_damaged_and_the_others_are_not() {
    for (what, damaged) in [
        (What::null_row(), Value::Null),
        (What::Record(Change::Replace("[1]".to_owned())), json!([1])),
    ] {
        let sim = sim(vec![Fault::new(At::Record(5), what)]).await;
        let answers = scan(&sim, body()).await;
        assert_eq!(answers[0]["data"][5], damaged);
        assert_eq!(answers.iter().flat_map(ids).count(), 59);
    }
    let set = first(What::set("/entityData", "[null]")).await;
    assert_eq!(set["data"][0]["entityData"], json!([null]));
    assert!(
        first(What::without_id()).await["data"][0]
            .get("_id")
            .is_none()
    );
    let twice = sim(vec![Fault::new(
        At::Page(0),
        What::Record(Change::AppendMember("\"_id\":\"x\"".to_owned())),
    )])
    .await;
    let text = String::from_utf8(post(&twice, &body()).await.unwrap().bytes).unwrap();
    assert!(text.contains(",\"_id\":\"x\"}"));
}

#[tokio::test]
async fn a_named_record_is_found_wherever_it_lies() {
    let sim = sim(vec![]).await;
    let id = all(&sim)[47].clone();
    sim.add_fault(Fault::new(
        At::RecordId(id.clone()),
        What::set("/severity", "\"HIGH\""),
    ));
    let answers = scan(&sim, body()).await;
    let rows = answers
        .iter()
        .flat_map(|answer| answer["data"].as_array().unwrap());
    let changed: Vec<&Value> = rows.filter(|row| row["severity"] == "HIGH").collect();
    assert!(changed.len() == 1 && changed[0]["_id"] == id.as_str());
    assert_eq!(sim.faults_left(), 0);
}

#[tokio::test]
async fn ranges_are_chosen_by_a_predicate() {
    let sim = sim(vec![Fault::new(
        At::range(FROM + HOUR_MS, FROM + 2 * HOUR_MS),
        What::error(503, "later"),
    )])
    .await;
    let status = async |from: i64| {
        post(&sim, &scan_body("created", from..from + HOUR_MS, 20))
            .await
            .unwrap()
            .status
    };
    assert_eq!(status(FROM).await, 200);
    assert_eq!(status(FROM + HOUR_MS).await, 503);
    assert_eq!(status(FROM + HOUR_MS).await, 200);
}

#[tokio::test]
async fn the_date_may_be_wrong_or_missing() {
    let sim = sim(vec![
        Fault::new(At::Request(0), What::DateAhead { ms: -HOUR_MS }),
        Fault::new(At::Request(1), What::DateMissing),
    ])
    .await;
    let reply = post(&sim, &body()).await.unwrap();
    assert_eq!(reply.headers["date"], "Thu, 19 Nov 2026 23:00:00 GMT");
    assert!(
        !post(&sim, &body())
            .await
            .unwrap()
            .headers
            .contains_key("date")
    );
}

#[tokio::test]
async fn a_limit_may_be_ignored() {
    let sim = sim(vec![
        Fault::new(At::Every, What::IgnoreLimit { records: 7 }).always(),
    ])
    .await;
    let answers = scan(&sim, body()).await;
    assert!(answers.iter().all(|answer| ids(answer).len() <= 7));
    assert_eq!(answers.iter().flat_map(ids).collect::<Vec<_>>(), all(&sim));
}
