//! The simplest client that follows the documented scan loop.

use std::sync::LazyLock;

use mdca_sim::{DEFAULT_AUTHORIZATION, Sim};
use reqwest::Client;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

pub(crate) const HOUR_MS: i64 = 3_600_000;

/// One answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        ids(&self.json())
    }
}

pub(crate) fn ids(answer: &Value) -> Vec<String> {
    let rows = answer["data"].as_array().unwrap().iter();
    rows.filter_map(|row| Some(row.get("_id")?.as_str()?.to_owned()))
        .collect()
}

pub(crate) fn scan_body(clock: &str, range: std::ops::Range<i64>, limit: u64) -> Value {
    json!({
        "filters": { clock: { "gte": range.start, "lte": range.end - 1 } },
        "isScan": true, "sortField": clock, "sortDirection": "asc", "limit": limit,
    })
}

/// One client for all tests, because making one reads the system's certificates. It keeps no
/// connection: each test has a runtime of its own.
pub(crate) fn client() -> &'static Client {
    static CLIENT: LazyLock<Client> = LazyLock::new(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder()
            .redirect(Policy::none())
            .pool_max_idle_per_host(0)
            .build()
            .unwrap()
    });
    &CLIENT
}

pub(crate) async fn post(sim: &Sim, body: &Value) -> reqwest::Result<Reply> {
    send(
        client()
            .post(format!("{}/api/v1/activities/", sim.url()))
            .header("Authorization", DEFAULT_AUTHORIZATION)
            .body(body.to_string()),
    )
    .await
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
    let response = request.send().await?;
    Ok(Reply {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        bytes: response.bytes().await?.to_vec(),
    })
}

/// Follows `nextQueryFilters` to the end; every answer.
pub(crate) async fn scan(sim: &Sim, mut body: Value) -> Vec<Value> {
    let mut answers = Vec::new();
    loop {
        let reply = post(sim, &body).await.unwrap();
        assert_eq!(
            reply.status,
            200,
            "{}",
            String::from_utf8_lossy(&reply.bytes)
        );
        let answer = reply.json();
        let more = answer["hasNext"] == json!(true);
        body["filters"] = answer["nextQueryFilters"].clone();
        answers.push(answer);
        if !more {
            return answers;
        }
        assert!(answers.len() < 10_000, "the scan does not end");
    }
}

pub(crate) async fn scan_ids(sim: &Sim, body: Value) -> Vec<String> {
    scan(sim, body).await.iter().flat_map(ids).collect()
}
