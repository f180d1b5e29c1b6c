//! Paging, filters, credentials and the throttle.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mdca_sim::clock::fixed_now;
use mdca_sim::generator::DEFAULT_FROM_MS as FROM;
use mdca_sim::{
    AboveCap, Accepted, ClockField, ContinuationStyle, DEFAULT_AUTHORIZATION, PageLimits, Sim,
    SimOptions, Tenant, TenantOptions, Ties, Total,
};
use serde_json::{Value, json};

use crate::client::{HOUR_MS, client, ids, post, scan, scan_body, scan_ids, send};

const UNTIL: i64 = FROM + 24 * HOUR_MS;

/// What a filter should mean.
type Holds<'a> = Box<dyn Fn(&Value) -> bool + 'a>;

fn tenant(activities: u64, ties_per_mille: u32) -> Tenant {
    Tenant::generate(&TenantOptions {
        seed: activities,
        activities,
        ties_per_mille,
        ..TenantOptions::default()
    })
}

fn settled() -> SimOptions {
    SimOptions {
        now: fixed_now(UNTIL),
        ..SimOptions::default()
    }
}

fn truth(sim: &Sim, clock: ClockField, range: std::ops::Range<i64>) -> Vec<String> {
    let records = sim.tenant().records(clock, range);
    records
        .into_iter()
        .map(|record| record.id.unwrap())
        .collect()
}

#[tokio::test]
async fn a_scan_lists_each_activity_once_whatever_the_page_size_and_the_ties() {
    for ties in [0, 500, 950] {
        for limit in [1, 2, 7, 50, 5_000] {
            for style in [ContinuationStyle::MovedBound, ContinuationStyle::TokenOnly] {
                let options = SimOptions {
                    continuation: style,
                    ..settled()
                };
                let sim = Sim::start(tenant(150, ties), options).await.unwrap();
                for (clock, field) in [(ClockField::Created, "created"), (ClockField::Date, "date")]
                {
                    let range = FROM - 10 * 24 * HOUR_MS..UNTIL;
                    let found = scan_ids(&sim, scan_body(field, range.clone(), limit)).await;
                    assert_eq!(
                        found,
                        truth(&sim, clock, range),
                        "{ties} {limit} {style:?} {field}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_descending_scan_lists_the_same_from_the_other_end() {
    let sim = Sim::start(tenant(200, 600), settled()).await.unwrap();
    let mut body = scan_body("created", FROM..UNTIL, 9);
    body["sortDirection"] = json!("desc");
    let answers = scan(&sim, body).await;
    let mut found: Vec<String> = answers.iter().flat_map(ids).collect();
    let mut expected = truth(&sim, ClockField::Created, FROM..UNTIL);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn hours_tile_the_day() {
    let sim = Sim::start(tenant(300, 300), settled()).await.unwrap();
    let mut found = Vec::new();
    for hour in 0..24 {
        let start = FROM + hour * HOUR_MS;
        found.extend(scan_ids(&sim, scan_body("created", start..start + HOUR_MS, 10)).await);
    }
    assert_eq!(found, truth(&sim, ClockField::Created, FROM..UNTIL));
}

#[tokio::test]
async fn pages_end_before_the_tie_group_and_the_last_has_no_continuation() {
    let tenant = Tenant::empty();
    for created in [0, 1, 2, 2, 2, 3, 4] {
        tenant.push_generated(FROM + created);
    }
    let sim = Sim::start(tenant, settled()).await.unwrap();
    let answers = scan(&sim, scan_body("created", FROM..UNTIL, 4)).await;
    let sizes: Vec<usize> = answers.iter().map(|answer| ids(answer).len()).collect();
    assert_eq!(sizes, [2, 3, 2]);
    assert!(answers[2].get("nextQueryFilters").is_none());
}

#[tokio::test]
async fn a_tie_group_above_the_limit_widens_the_page_or_cannot_be_paged() {
    for (ties, pages) in [(Ties::Widen, 1), (Ties::Unpageable, 0)] {
        let tenant = Tenant::empty();
        (0..5).for_each(|_| tenant.push_generated(FROM));
        let sim = Sim::start(tenant, SimOptions { ties, ..settled() })
            .await
            .unwrap();
        let body = scan_body("created", FROM..UNTIL, 3);
        let answer = post(&sim, &body).await.unwrap().json();
        if pages == 1 {
            assert_eq!((ids(&answer).len(), &answer["hasNext"]), (5, &json!(false)));
        } else {
            assert_eq!((ids(&answer).len(), &answer["hasNext"]), (0, &json!(true)));
            assert_eq!(answer["nextQueryFilters"], body["filters"]);
        }
    }
}

#[tokio::test]
async fn a_continuation_that_was_changed_is_refused() {
    let sim = Sim::start(tenant(100, 0), settled()).await.unwrap();
    let mut body = scan_body("created", FROM..UNTIL, 10);
    let next = post(&sim, &body).await.unwrap().json()["nextQueryFilters"].clone();
    body["filters"] = next.clone();
    assert_eq!(post(&sim, &body).await.unwrap().status, 200);
    body["filters"]["created"]["gte"] = json!(FROM + 1);
    assert_eq!(post(&sim, &body).await.unwrap().status, 400);
    body["filters"] = next;
    body["sortField"] = json!("date");
    assert_eq!(post(&sim, &body).await.unwrap().status, 400);
}

#[tokio::test]
async fn the_same_question_has_the_same_continuation() {
    let sim = Sim::start(tenant(100, 0), settled()).await.unwrap();
    let body = scan_body("created", FROM..UNTIL, 10);
    let first = post(&sim, &body).await.unwrap();
    let again = post(&sim, &body).await.unwrap();
    assert_eq!(first.bytes, again.bytes);
    let pages: Vec<_> = sim.requests().iter().map(|request| request.page).collect();
    assert_eq!(pages, [Some(0), Some(0)]);
}

#[tokio::test]
async fn filters_choose_activities() {
    let sim = Sim::start(tenant(400, 100), settled()).await.unwrap();
    let all: Vec<Value> = sim
        .tenant()
        .records(ClockField::Created, FROM..UNTIL)
        .iter()
        .map(|record| serde_json::from_str(&record.json).unwrap())
        .collect();
    let user = |record: &Value| {
        let name = record
            .pointer("/user/userName")
            .or(record.pointer("/failedUserData/userName"));
        name.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let ip = |record: &Value| record["device"]["clientIP"].as_str().unwrap().to_owned();
    let someone = user(&all[0]);
    let id = all[7]["_id"].clone();
    let happened = |record: &Value| {
        let time = &record["timestamp"];
        time.as_i64()
            .unwrap_or_else(|| time.as_str().unwrap().parse().unwrap())
    };
    let cases: Vec<(Value, Holds<'_>)> = vec![
        (
            json!({"service": {"eq": [15600, 20892]}}),
            Box::new(|r| r["appId"] == 15600 || r["appId"] == 20892),
        ),
        (
            json!({"service": {"eq": 15600}}),
            Box::new(|r| r["appId"] == 15600),
        ),
        (
            json!({"service": {"neq": [15600]}}),
            Box::new(|r| r["appId"] != 15600),
        ),
        (
            json!({"activity.id": {"eq": [id]}}),
            Box::new(|r| r["_id"] == id),
        ),
        (
            json!({"user.username": {"eq": [someone]}}),
            Box::new(|r| user(r) == someone),
        ),
        (
            json!({"user.username": {"startswith": ["a", "B"]}}),
            Box::new(|r| user(r).starts_with(['a', 'b'])),
        ),
        (
            json!({"ip.address": {"startswith": "2001:db8"}}),
            Box::new(|r| ip(r).contains(':')),
        ),
        (
            json!({"ip.address": {"doesnotstartwith": ["2001:db8"]}}),
            Box::new(|r| !ip(r).contains(':')),
        ),
        (json!({"ip.address": {"isset": true}}), Box::new(|_| true)),
        (
            json!({"date": {"gte": FROM, "lte": FROM + 8 * HOUR_MS}}),
            Box::new(|r| (FROM..=FROM + 8 * HOUR_MS).contains(&happened(r))),
        ),
        (
            json!({"date": {"range": [{"start": FROM, "end": FROM + HOUR_MS}, {"start": UNTIL - HOUR_MS, "end": UNTIL}]}}),
            Box::new(|r| {
                (FROM..=FROM + HOUR_MS).contains(&happened(r))
                    || (UNTIL - HOUR_MS..=UNTIL).contains(&happened(r))
            }),
        ),
        (
            json!({"date": {"gte_ndays": 1}}),
            Box::new(|r| happened(r) >= FROM),
        ),
        (
            json!({"date": {"lte_ndays": 1}}),
            Box::new(|r| happened(r) <= FROM),
        ),
        (
            json!({"device.type": {"eq": ["DESKTOP"]}}),
            Box::new(|_| true),
        ),
    ];
    for (filters, holds) in cases {
        let mut body = scan_body("created", FROM..UNTIL, 40);
        for (name, operators) in filters.as_object().unwrap() {
            body["filters"][name] = operators.clone();
        }
        let found = scan_ids(&sim, body).await;
        let expected: Vec<String> = all
            .iter()
            .filter(|record| holds(record))
            .map(|record| record["_id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, expected, "{filters}");
    }
}

#[tokio::test]
async fn created_has_strict_bounds_and_date_has_not() {
    let tenant = Tenant::empty();
    for at in 0..5 {
        tenant.push(
            json!({"_id": at.to_string(), "created": FROM + at, "timestamp": FROM + at})
                .to_string(),
        );
    }
    let sim = Sim::start(tenant, settled()).await.unwrap();
    let mut body = scan_body("created", FROM..UNTIL, 100);
    body["filters"] = json!({"created": {"gt": FROM, "lt": FROM + 3}});
    assert_eq!(scan_ids(&sim, body.clone()).await, ["1", "2"]);
    body["filters"] = json!({"created": {"eq": [FROM + 4]}});
    assert_eq!(scan_ids(&sim, body.clone()).await, ["4"]);
    body["filters"] = json!({"date": {"gt": FROM}});
    assert_eq!(post(&sim, &body).await.unwrap().status, 400);
}

#[tokio::test]
async fn an_unknown_filter_is_refused_by_name() {
    let sim = Sim::start(tenant(1, 0), settled()).await.unwrap();
    let reply = post(&sim, &json!({"filters": {"affiliation": {"eq": [1]}}}))
        .await
        .unwrap();
    assert_eq!(reply.status, 400);
    assert_eq!(
        reply.json()["detail"],
        "filter validation error: No filter name 'affiliation' found in metadata entities"
    );
}

#[tokio::test]
async fn lists_without_scan_have_offsets_and_a_total() {
    let sim = Sim::start(tenant(230, 100), settled()).await.unwrap();
    let mut found = Vec::new();
    for skip in [0, 100, 200] {
        let body = json!({"filters": {}, "skip": skip, "limit": 500, "sortField": "created", "sortDirection": "asc"});
        let answer = post(&sim, &body).await.unwrap().json();
        assert_eq!(answer["total"], 230);
        assert_eq!(answer["hasNext"], json!(skip < 200));
        found.extend(ids(&answer));
    }
    assert_eq!(found, truth(&sim, ClockField::Created, FROM..UNTIL));
}

#[tokio::test]
async fn a_scan_may_carry_a_total() {
    let options = SimOptions {
        scan_total: Total::OffBy(17),
        ..settled()
    };
    let sim = Sim::start(tenant(30, 0), options).await.unwrap();
    let answer = post(&sim, &scan_body("created", FROM..UNTIL, 10))
        .await
        .unwrap()
        .json();
    assert_eq!(answer["total"], 47);
}

#[tokio::test]
async fn one_activity_is_answered_without_an_envelope() {
    let sim = Sim::start(tenant(20, 0), settled()).await.unwrap();
    let record = sim
        .tenant()
        .records(ClockField::Created, FROM..UNTIL)
        .remove(3);
    let get = |id: String| {
        send(
            client()
                .get(format!("{}/cas/api/v1/activities/{id}/", sim.url()))
                .header("Authorization", DEFAULT_AUTHORIZATION),
        )
    };
    assert_eq!(
        get(record.id.unwrap()).await.unwrap().bytes,
        record.json.as_bytes()
    );
    assert_eq!(get("nobody".to_owned()).await.unwrap().status, 404);
}

#[tokio::test]
async fn other_paths_are_the_portals_page() {
    let sim = Sim::start(tenant(1, 0), settled()).await.unwrap();
    let reply = send(client().post(format!("{}/api/v1/activities_kusto/", sim.url())))
        .await
        .unwrap();
    assert_eq!(reply.status, 404);
    assert!(
        String::from_utf8(reply.bytes)
            .unwrap()
            .contains("__ADALLOM_CONSTS")
    );
}

#[tokio::test]
async fn credentials_are_whole_header_values_and_end() {
    let now = Arc::new(AtomicI64::new(UNTIL));
    let told = Arc::clone(&now);
    let options = SimOptions {
        now: Arc::new(move || told.load(Ordering::SeqCst)),
        accepted: vec![
            Accepted::always("Token a"),
            Accepted::until("Bearer b", UNTIL + 3_599_000),
        ],
        ..SimOptions::default()
    };
    let sim = Sim::start(tenant(1, 0), options).await.unwrap();
    let status = async |header: &str| {
        let request = client().post(format!("{}/api/v1/activities/", sim.url()));
        send(request.header("Authorization", header))
            .await
            .unwrap()
            .status
    };
    assert_eq!(status("Token a").await, 200);
    assert_eq!(status("Bearer b").await, 200);
    assert_eq!(status("Bearer a").await, 401);
    now.fetch_add(3_599_000, Ordering::SeqCst);
    assert_eq!(status("Bearer b").await, 401);
    sim.accept(Accepted::always("Bearer c"));
    assert_eq!(status("Bearer c").await, 200);
}

#[tokio::test]
async fn the_thirty_first_request_of_a_minute_is_throttled() {
    let now = Arc::new(AtomicI64::new(UNTIL));
    let told = Arc::clone(&now);
    let options = SimOptions {
        now: Arc::new(move || told.load(Ordering::SeqCst)),
        requests_per_minute: Some(30),
        ..SimOptions::default()
    };
    let sim = Sim::start(tenant(1, 0), options).await.unwrap();
    for _ in 0..30 {
        assert_eq!(post(&sim, &json!({})).await.unwrap().status, 200);
        now.fetch_add(500, Ordering::SeqCst);
    }
    let reply = post(&sim, &json!({})).await.unwrap();
    assert_eq!(reply.status, 429);
    assert_eq!(reply.headers["retry-after"], "45");
    now.fetch_add(45_000, Ordering::SeqCst);
    assert_eq!(post(&sim, &json!({})).await.unwrap().status, 200);
    assert_eq!(post(&sim, &json!({})).await.unwrap().status, 429);
}

#[tokio::test]
async fn a_limit_above_the_cap_is_cut_or_refused() {
    for (above, status, records) in [
        (AboveCap::Clamp, 200, 4),
        (AboveCap::Refuse(400), 400, 0),
        (AboveCap::Refuse(500), 500, 0),
    ] {
        let page_limits = PageLimits {
            above,
            ..PageLimits::capped(5)
        };
        let sim = Sim::start(
            tenant(30, 0),
            SimOptions {
                page_limits,
                ..settled()
            },
        )
        .await
        .unwrap();
        let reply = post(&sim, &scan_body("created", FROM..UNTIL, 10))
            .await
            .unwrap();
        assert_eq!(reply.status, status);
        assert_eq!(sim.requests()[0].records, records);
        assert_eq!(
            post(&sim, &scan_body("created", FROM..UNTIL, 5))
                .await
                .unwrap()
                .status,
            200
        );
    }
}

#[tokio::test]
async fn records_appear_when_their_time_has_come() {
    let now = Arc::new(AtomicI64::new(FROM));
    let told = Arc::clone(&now);
    let options = SimOptions {
        now: Arc::new(move || told.load(Ordering::SeqCst)),
        ..SimOptions::default()
    };
    let sim = Sim::start(Tenant::empty(), options).await.unwrap();
    let record = |id: &str, at: i64| json!({"_id": id, "created": at, "timestamp": at}).to_string();
    sim.tenant().push(record("soon", FROM + 10));
    sim.tenant().push_late(record("late", FROM - 10), FROM + 20);
    let body = scan_body("created", FROM - 100..FROM + 100, 10);
    assert!(scan_ids(&sim, body.clone()).await.is_empty());
    now.store(FROM + 10, Ordering::SeqCst);
    assert_eq!(scan_ids(&sim, body.clone()).await, ["soon"]);
    now.store(FROM + 20, Ordering::SeqCst);
    assert_eq!(scan_ids(&sim, body).await, ["late", "soon"]);
}

#[tokio::test]
async fn nothing_older_than_the_history_is_returned() {
    let options = SimOptions {
        history_days: Some(30),
        ..settled()
    };
    let sim = Sim::start(Tenant::empty(), options).await.unwrap();
    let old = UNTIL - 31 * 24 * HOUR_MS;
    sim.tenant()
        .push(json!({"_id": "old", "created": old, "timestamp": old}).to_string());
    sim.tenant()
        .push(json!({"_id": "new", "created": FROM, "timestamp": FROM}).to_string());
    assert_eq!(
        scan_ids(&sim, scan_body("date", 0..UNTIL, 10)).await,
        ["new"]
    );
}

#[tokio::test]
async fn answers_carry_the_servers_date() {
    let sim = Sim::start(Tenant::empty(), settled()).await.unwrap();
    let reply = post(&sim, &json!({})).await.unwrap();
    assert_eq!(reply.headers["date"], "Fri, 20 Nov 2026 00:00:00 GMT");
}

#[tokio::test]
async fn a_query_string_asks_as_a_body_does() {
    let sim = Sim::start(tenant(20, 0), settled()).await.unwrap();
    let url = format!(
        "{}/api/v1/activities/?limit=3&sortField=created&sortDirection=asc&filters=%7B%22created%22%3A%7B%22gte%22%3A{FROM}%7D%7D",
        sim.url()
    );
    let reply = send(
        client()
            .get(url)
            .header("Authorization", DEFAULT_AUTHORIZATION),
    )
    .await
    .unwrap();
    assert_eq!(
        reply.ids(),
        truth(&sim, ClockField::Created, FROM..UNTIL)[..3]
    );
}
