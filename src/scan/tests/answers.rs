//! What is taken for an answer: sizes, compression, bytes that are no text.

use serde_json::json;

use super::server::{Reply, gzip};
use super::{NextPage, Setup, TOKEN, last, record};
use crate::scan::{Question, RequestError, ScanError};

/// RFC 1952, section 2.2: of streams that follow each other all are the body.
#[tokio::test]
async fn an_answer_may_be_several_streams_of_gzip() {
    let text = r#"{"data":[{"_id":"a","created":1795082400001}],"hasNext":false}"#;
    let (first, rest) = text.split_at(20);
    let reply = Reply::status(200)
        .bytes([gzip(first.as_bytes()), gzip(rest.as_bytes())].concat())
        .header("Content-Encoding", "gzip");
    let world = Setup::default().script([reply]).await;
    world.scan().await.expect_ids(&["a"]);
}

#[tokio::test]
async fn an_answer_may_be_compressed() {
    let world = Setup::default()
        .script([last(&[record("a", 1)]).gzip()])
        .await;
    world.scan().await.expect_ids(&["a"]);
    let asked = &world.server.asked()[0];
    assert_eq!(asked.header("accept-encoding"), Some("gzip"));
    assert_eq!(
        asked.header("authorization"),
        Some(format!("Token {TOKEN}").as_str())
    );
    let bytes = world.counts().bytes_in;
    let envelope = json!({"data": [record("a", 1)], "hasNext": false}).to_string();
    assert_eq!(bytes, envelope.len() as u64);
}

#[tokio::test]
async fn a_page_above_the_bound_is_not_read_further() {
    let setup = || Setup {
        max_page_bytes: 100_000,
        ..Setup::default()
    };
    let page = |bytes: usize| {
        let text = last(&[]).header("X-Odd", "1");
        let frame = r#"{"data":[],"hasNext":false,"odd":""}"#;
        let pad = "x".repeat(bytes - frame.len());
        text.bytes(frame.replace(r#""""#, &format!(r#""{pad}""#)))
    };
    for reply in [page(100_001), page(100_001).gzip(), page(5_000_000).gzip()] {
        // The service is not well either, so that the page is what fails the slice.
        let world = setup().script([reply, Reply::status(400)]).await;
        let error = world.fail().await;
        assert!(
            matches!(
                error,
                ScanError::PageTooLarge {
                    question: Question::OfSlice { page: 0, .. },
                    max_bytes: 100_000,
                    ..
                }
            ),
            "{error:?}"
        );
        assert_eq!(world.counts().requests, 2);
    }
    let world = setup().script([page(100_000), page(100_000).gzip()]).await;
    world.scan().await.expect_ids(&[]);
}

/// A page whose second record holds bytes that are no UTF-8.
fn damaged(has_next: bool, next: &[u8]) -> Reply {
    let has_next = has_next.to_string();
    let body = [
        br#"{"data":[{"_id":"a","created":1795082400001},{"_id":"b","created":1795082400002,"x":""#,
        &b"\xff"[..],
        br#""}],"hasNext":"#,
        has_next.as_bytes(),
        br#","nextQueryFilters":"#,
        next,
        b"}",
    ];
    Reply::status(200).bytes(body.concat())
}

#[tokio::test]
async fn bytes_that_are_no_text_are_asked_for_once_more() {
    let replies = [damaged(false, b"null"), last(&[record("a", 1)])];
    let world = Setup::default().script(replies).await;
    let page = world.begin().next_page().await.unwrap().unwrap();
    assert!(page.damage.is_none());
    assert_eq!(world.counts().retries.get("malformed"), Some(&1));
}

#[tokio::test]
async fn bytes_that_stay_no_text_are_kept_beside_it() {
    let world = Setup::default().serve(|_| damaged(false, b"null")).await;
    let mut scan = world.begin();
    let page = scan.next_page().await.unwrap().unwrap();
    let damage = page.damage.unwrap();
    let touched = "{\"_id\":\"b\",\"created\":1795082400002,\"x\":\"\u{fffd}\"}";
    let at = page.text.find(touched).unwrap();
    let bytes = damage.raw_record(at..at + touched.len()).unwrap();
    assert_eq!(
        bytes,
        b"{\"_id\":\"b\",\"created\":1795082400002,\"x\":\"\xff\"}"
    );
    let start = page.data.start + 1;
    assert!(damage.raw_record(start..start + 10).is_none());
    assert_eq!(world.counts().requests, 2);
}

#[tokio::test]
async fn bytes_that_are_no_text_and_no_answer_are_given_up() {
    let world = Setup::default()
        .serve(|_| Reply::status(200).bytes(b"{\"datum\":[\xff"))
        .await;
    let error = world.fail().await;
    assert!(
        matches!(
            &error,
            ScanError::Exhausted {
                last: RequestError::Malformed { .. },
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_continuation_that_was_damaged_is_not_sent() {
    for has_next in [true, false] {
        let world = Setup::default()
            .serve(move |asked| {
                let (from, until) = asked.bounds();
                if until - from > 40_000 {
                    damaged(has_next, b"{\"n\":\"\xc3\"}")
                } else {
                    last(&[record("a", from)])
                }
            })
            .await;
        world.scan().await.expect_ids(&["a", "b", "a", "a"]);
        assert_eq!(world.counts().halvings, 1);
        let sent = world.server.asked();
        assert!(sent.iter().all(|asked| !asked.text.contains('\u{fffd}')));
    }
}
