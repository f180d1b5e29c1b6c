//! Which failures are tried again, after how long, and how often.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderValue;
use serde_json::json;

use super::server::Reply;
use super::{NextPage, Setup, TOKEN, TestClock, last, more, record};
use crate::clock::Clock;
use crate::scan::{Question, RequestError, ScanError};
use crate::sign_in::{Authorize, Refusal, SignInError};

fn page() -> Reply {
    last(&[record("a", 1)])
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let failures = [
        ("http_408", Reply::status(408)),
        ("http_429", Reply::status(429)),
        ("http_500", Reply::status(500).bytes("<html>500</html>")),
        ("http_502", Reply::status(502)),
        ("http_503", Reply::status(503)),
        ("http_504", Reply::status(504)),
        ("http_5xx", Reply::status(599)),
        (
            "malformed",
            Reply::status(200).bytes("<!doctype html><html></html>"),
        ),
        ("malformed", Reply::status(200)),
        ("malformed", Reply::status(204)),
        (
            "malformed",
            Reply::status(200).json(r#"{"data":[],"hasNext":"#),
        ),
        (
            "malformed",
            Reply::status(200).json(r#"{"data":null,"hasNext":false}"#),
        ),
        ("malformed", Reply::status(200).json(r#"{"data":[]}"#)),
        (
            "malformed",
            Reply::status(200).json(r#"{"data":[],"hasNext":false,"hasNext":false}"#),
        ),
        ("cut", page().cut(10)),
        ("cut", page().gzip().cut(30)),
        (
            "malformed",
            Reply::status(200)
                .bytes("no gzip")
                .header("Content-Encoding", "gzip"),
        ),
        ("cut", Reply::close()),
    ];
    for (cause, failure) in failures {
        let world = Setup::default().script([failure, page()]).await;
        world.scan().await.expect_ids(&["a"]);
        let counts = world.counts();
        assert_eq!(
            counts.retries.get(cause),
            Some(&1),
            "{cause}: {:?}",
            counts.retries
        );
        assert_eq!(counts.requests, 2);
        let asked = world.server.asked();
        assert_eq!(asked[0].text, asked[1].text);
    }
}

#[tokio::test]
async fn a_service_that_says_nothing_is_asked_again() {
    let setup = Setup {
        read_timeout: Duration::from_millis(50),
        ..Setup::default()
    };
    let world = setup.script([Reply::stall(), page()]).await;
    world.scan().await.expect_ids(&["a"]);
    assert_eq!(world.counts().retries.get("timeout"), Some(&1));
}

#[tokio::test]
async fn a_service_that_is_not_there_is_given_up() {
    let world = Setup::default().script([]).await;
    // The port is closed once the server's task has ended.
    world.server.stop().await;
    let error = world.fail().await;
    assert!(
        matches!(
            &error,
            ScanError::Exhausted {
                last: RequestError::Transport { .. },
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(world.counts().retries.get("connect"), Some(&3));
    assert_eq!(world.counts().controls, 0);
}

#[tokio::test]
async fn delays_double_up_to_a_minute_and_attempts_are_bounded() {
    let setup = Setup {
        max_attempts: 10,
        ..Setup::default()
    };
    let world = setup
        .serve(|_| Reply::status(503).json(r#"{"detail":"busy"}"#))
        .await;
    let error = world.fail().await;
    let slept = world.clock.slept();
    // And one between the two tries of the control request.
    assert_eq!(slept.len(), 10);
    let slept = &slept[..9];
    for (index, slept) in slept.iter().enumerate() {
        let least = Duration::from_secs(60.min(1 << index));
        let most = Duration::from_secs(60.min(2 << index));
        assert!((least..=most).contains(slept), "{index}: {slept:?}");
    }
    match &error {
        ScanError::Exhausted {
            attempts,
            elapsed,
            last,
            question,
            ..
        } => {
            assert_eq!(*attempts, 10);
            assert!(matches!(question, Question::OfSlice { page: 0, .. }));
            assert_eq!(*elapsed, slept.iter().sum::<Duration>());
            assert_eq!(last.to_string(), "HTTP 503: busy");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.counts().requests, 10 + 2);
    assert!(!error.is_sign_in());
}

#[tokio::test]
async fn a_page_that_fails_is_named() {
    let mut replies = vec![more(&[record("a", 1)], &json!({"n": 1}))];
    replies.extend((0..4 + 2).map(|_| Reply::status(502)));
    let world = Setup::default().script(replies).await;
    let error = world.fail().await;
    assert!(
        matches!(
            error,
            ScanError::Exhausted {
                question: Question::OfSlice { page: 1, .. },
                attempts: 4,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again() {
    for status in [400, 402, 403, 404, 405, 410, 418, 451] {
        let world = Setup::default()
            .script([Reply::status(status).json(r#"{"detail":"no"}"#), page()])
            .await;
        let error = world.fail().await;
        match &error {
            ScanError::Forbidden { detail, .. } => {
                assert_eq!((status, detail.as_str()), (403, "no"));
            }
            ScanError::Refused {
                status: said,
                detail,
                ..
            } => {
                assert_eq!((*said, detail.as_str()), (status, "no"));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(error.is_sign_in(), status == 403);
        let advice = error.advice().unwrap();
        assert!(!advice.contains("run again"), "{status}: {advice}");
        assert_eq!(world.counts().requests, 1, "{status}");
    }
}

#[tokio::test]
async fn a_429_and_a_503_wait_as_long_as_they_say_within_bounds() {
    // Simulated time begins at the end of the slice, 10:01:00.
    let waits = [
        (429, Some("7"), 7),
        (429, Some("0"), 1),
        (429, Some("301"), 300),
        (429, Some("Thu, 19 Nov 2026 10:01:30 GMT"), 30),
        (429, Some("Thu, 19 Nov 2026 09:00:00 GMT"), 1),
        (429, Some("Fri, 20 Nov 2026 10:00:00 GMT"), 300),
        (429, Some("soon"), 60),
        (429, None, 60),
        (503, Some("7"), 7),
        (503, Some("301"), 300),
        (429, Some("99999999999999999999"), 300),
        (503, Some("Thu, 19 Nov 2026 10:01:30 GMT"), 30),
    ];
    for (status, retry_after, seconds) in waits {
        let mut throttled = Reply::status(status).bytes("TOO MANY REQUESTS");
        if let Some(value) = retry_after {
            throttled = throttled.header("Retry-After", value);
        }
        let world = Setup::default().script([throttled, page()]).await;
        world.scan().await.expect_ids(&["a"]);
        assert_eq!(
            world.clock.elapsed(),
            Duration::from_secs(seconds),
            "{retry_after:?}"
        );
        assert_eq!(world.counts().budget_wait_ms, seconds * 1000);
    }
    // One that says nothing makes nobody else wait.
    let world = Setup::default().script([Reply::status(503), page()]).await;
    world.scan().await.expect_ids(&["a"]);
    assert_eq!(world.counts().budget_wait_ms, 0);
}

#[tokio::test]
async fn a_429_pauses_all_slices() {
    let clock = TestClock::default();
    let times = Arc::new(Mutex::new(Vec::new()));
    let setup = Setup {
        clock: clock.clone(),
        ..Setup::default()
    };
    let log = Arc::clone(&times);
    let mut requests = 0;
    let world = setup
        .serve(move |_| {
            log.lock().unwrap().push(clock.elapsed().as_secs());
            requests += 1;
            if requests == 1 {
                Reply::status(429).header("Retry-After", "7")
            } else {
                page()
            }
        })
        .await;
    let mut throttled = world.begin();
    // The first slice learns of the 429 and waits; the second one begins after that.
    let (first, second) = tokio::join!(throttled.next_page(), async {
        while world.counts().retries.is_empty() {
            tokio::task::yield_now().await;
        }
        world.begin().next_page().await
    });
    first.unwrap();
    second.unwrap();
    assert_eq!(*times.lock().unwrap(), [0, 7, 7]);
}

/// Credentials that can be renewed.
struct Renewing {
    renewals: Mutex<u32>,
}

#[async_trait]
impl Authorize for Renewing {
    async fn header(&self) -> Result<HeaderValue, SignInError> {
        let renewals = *self.renewals.lock().unwrap();
        Ok(HeaderValue::from_str(&format!("Bearer number-{renewals}")).unwrap())
    }

    async fn renew(&self, _: &HeaderValue) -> Result<bool, SignInError> {
        *self.renewals.lock().unwrap() += 1;
        Ok(true)
    }

    fn advice(&self, _: Refusal<'_>) -> &'static str {
        "renew it"
    }

    fn redact(&self, text: &str) -> String {
        text.to_owned()
    }
}

/// Credentials that are over before they are there: each asking takes longer than they live.
struct Late(TestClock);

#[async_trait]
impl Authorize for Late {
    async fn header(&self) -> Result<HeaderValue, SignInError> {
        self.0.sleep(Duration::from_millis(1_200)).await;
        Ok(HeaderValue::from_static("Bearer late"))
    }

    async fn renew(&self, _: &HeaderValue) -> Result<bool, SignInError> {
        Ok(false)
    }

    fn advice(&self, _: Refusal<'_>) -> &'static str {
        "renew it"
    }

    fn redact(&self, text: &str) -> String {
        text.to_owned()
    }
}

#[tokio::test]
async fn credentials_that_are_always_late_are_sent_all_the_same() {
    let clock = TestClock::default();
    let setup = Setup {
        auth: Box::new(Late(clock.clone())),
        clock,
        ..Setup::default()
    };
    let world = setup.script([page()]).await;
    world.scan().await.expect_ids(&["a"]);
    // Before the budget, at the place that is left empty, and at the next.
    assert_eq!(world.clock.slept().len(), 3);
}

#[tokio::test]
async fn a_401_renews_the_credentials_once() {
    let refusal = || Reply::status(401).json(r#"{"detail":"Invalid JSON Web Key Set"}"#);
    let renewing = || Setup {
        auth: Box::new(Renewing {
            renewals: Mutex::default(),
        }),
        ..Setup::default()
    };
    let world = renewing().script([refusal(), page()]).await;
    world.scan().await.expect_ids(&["a"]);
    let asked = world.server.asked();
    let sent: Vec<_> = asked
        .iter()
        .map(|asked| asked.header("authorization"))
        .collect();
    assert_eq!(sent, [Some("Bearer number-0"), Some("Bearer number-1")]);

    for (setup, requests) in [(renewing(), 2), (Setup::default(), 1)] {
        let world = setup.serve(move |_| refusal()).await;
        let error = world.fail().await;
        assert!(error.is_sign_in());
        assert!(
            error.to_string().contains("Invalid JSON Web Key Set"),
            "{error}"
        );
        assert_eq!(world.counts().requests, requests);
    }
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect() {
    for status in [301, 302, 303, 307, 308] {
        let moved = |to: &str| Reply::status(status).header("Location", to);
        let world = Setup::default()
            .script([moved("https://Elsewhere.example/x?y"), page()])
            .await;
        let error = world.fail().await;
        assert!(
            matches!(&error, ScanError::Redirected { target, .. } if target == "https://elsewhere.example"),
            "{error:?}"
        );
        assert_eq!(world.counts().requests, 1);
    }
}

#[tokio::test]
async fn no_error_shows_the_token() {
    let bodies = [
        format!(r#"{{"detail":"the token {TOKEN} is not known"}}"#),
        format!(r#"{{"error":"{TOKEN}"}}"#),
        format!("Token {TOKEN}"),
        // Where the text is cut, half of the token would be left.
        format!("{}{TOKEN}", "x".repeat(290)),
        format!("{}{TOKEN}", "x".repeat(283)),
    ];
    for body in bodies {
        for status in [400, 401, 403, 404, 503] {
            let body = body.clone();
            let world = Setup::default()
                .serve(move |_| Reply::status(status).bytes(&body))
                .await;
            let error = world.fail().await;
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(&TOKEN[..6]), "{shown}");
        }
    }
}

#[tokio::test]
async fn what_the_service_says_is_shown_in_short_and_without_control_characters() {
    let long = "y".repeat(5_000);
    let bodies = [
        (
            r#"{"detail":"filter\u001b[31m \nerror"}"#.to_owned(),
            "filter[31m  error".to_owned(),
        ),
        (
            "<!DOCTYPE html>\n<html>var __ADALLOM_CONSTS</html>".to_owned(),
            "an HTML page".to_owned(),
        ),
        (" \n".to_owned(), "no reason was given".to_owned()),
        (
            serde_json::json!({"detail": long}).to_string(),
            long[..300].to_owned(),
        ),
        (
            "\u{feff}TOO MANY\r\nREQUESTS".to_owned(),
            "a body without a `detail`".to_owned(),
        ),
        (
            r#"{"error":"x"}"#.to_owned(),
            "a body without a `detail`".to_owned(),
        ),
    ];
    for (body, shown) in bodies {
        let world = Setup::default()
            .script([Reply::status(404).bytes(body)])
            .await;
        match world.fail().await {
            ScanError::Refused { detail, .. } => assert_eq!(detail, shown),
            other => panic!("{other:?}"),
        }
    }
}
