//! The page limit: asked for as set, lowered once for a tenant that does not take it.

use serde_json::json;

use super::server::{Asked, Reply};
use super::{Setup, World, last, more, record};
use crate::scan::{RequestError, ScanError};

fn wide() -> Setup {
    Setup {
        page_limit: 5000,
        max_attempts: 8,
        ..Setup::default()
    }
}

fn limit(asked: &Asked) -> u64 {
    asked.body["limit"].as_u64().unwrap()
}

fn limits(world: &World) -> Vec<u64> {
    world.server.asked().iter().map(limit).collect()
}

/// A tenant that refuses every limit above 500.
fn narrow(status: u16) -> impl FnMut(&Asked) -> Reply + Send + 'static {
    move |asked| {
        if limit(asked) > 500 {
            Reply::status(status).json(r#"{"detail":"limit"}"#)
        } else if asked.body["filters"]["created"].is_null() {
            last(&[record("b", 2)])
        } else {
            more(&[record("a", 1)], &json!({"n": 1}))
        }
    }
}

#[tokio::test]
async fn a_limit_that_the_tenant_refuses_is_lowered_for_the_run() {
    for (status, sent) in [
        (400, vec![5000, 500, 500]),
        (500, vec![5000, 5000, 500, 500]),
        (503, vec![5000, 5000, 500, 500]),
    ] {
        let world = wide().serve(narrow(status)).await;
        world.scan().await.expect_ids(&["a", "b"]);
        assert_eq!(limits(&world), sent);
        world.scan().await.expect_ids(&["a", "b"]);
        assert_eq!(limits(&world)[sent.len()..], [500, 500]);
        assert!(world.counts().page_limit_lowered);
    }
}

#[tokio::test]
async fn a_request_that_is_refused_with_any_limit_fails_as_it_did_at_first() {
    for second in [400, 404, 413] {
        let replies = [
            Reply::status(400).json(r#"{"detail":"first"}"#),
            Reply::status(second).json(r#"{"detail":"second"}"#),
        ];
        let world = wide().script(replies).await;
        match world.fail().await {
            ScanError::Refused {
                status: 400,
                detail,
                ..
            } => assert_eq!(detail, "first"),
            other => panic!("{other:?}"),
        }
        assert_eq!(limits(&world), [5000, 500]);
        assert!(!world.counts().page_limit_lowered);
    }
}

#[tokio::test]
async fn errors_that_do_not_come_of_the_limit_do_not_lower_it() {
    // Every request, the one that asks whether the service is well included, is answered with 500.
    let world = wide().serve(|_| Reply::status(500)).await;
    let error = world.fail().await;
    assert!(
        matches!(
            &error,
            ScanError::Exhausted {
                attempts: 8,
                last: RequestError::Status { status: 500, .. },
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        limits(&world)[..8],
        [5000, 5000, 500, 500, 500, 500, 500, 500]
    );
    assert!(!world.counts().page_limit_lowered);

    // What says nothing of the page says nothing of its limit.
    let failures = [Reply::status(429), Reply::close(), Reply::status(408)];
    let mut replies: Vec<Reply> = failures.into_iter().collect();
    replies.push(Reply::status(200).bytes("<html>"));
    replies.push(last(&[record("a", 1)]));
    let world = wide().script(replies).await;
    world.scan().await.expect_ids(&["a"]);
    assert_eq!(limits(&world), [5000; 5]);
}

#[tokio::test]
async fn the_trial_survives_what_passes() {
    let replies = [
        Reply::status(400),
        Reply::status(503),
        Reply::status(429),
        last(&[record("a", 1)]),
    ];
    let world = wide().script(replies).await;
    world.scan().await.expect_ids(&["a"]);
    assert_eq!(limits(&world), [5000, 500, 500, 500]);
    assert!(world.counts().page_limit_lowered);
}

#[tokio::test]
async fn only_a_first_page_and_a_large_limit_are_in_question() {
    let replies = [
        more(&[record("a", 1)], &json!({"n": 1})),
        Reply::status(400),
    ];
    let world = wide().script(replies).await;
    assert!(matches!(
        world.fail().await,
        ScanError::Refused { status: 400, .. }
    ));
    assert_eq!(limits(&world), [5000, 5000]);

    let world = Setup::default().script([Reply::status(400)]).await;
    assert!(matches!(
        world.fail().await,
        ScanError::Refused { status: 400, .. }
    ));
    assert_eq!(limits(&world), [500]);
}
