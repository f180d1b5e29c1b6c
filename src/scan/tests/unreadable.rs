//! Pages that cannot be had, while the service is well: halvings, holes, and what is no reason for
//! either.

use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Asked, Reply};
use super::{CONTROL_MS, Setup, World, last, more, record};
use crate::scan::{RequestError, ScanError};

/// The millisecond of the slice that cannot be had.
const BAD_MS: i64 = 12_345;
/// When the records of the slice were saved.
const TIMES_MS: [i64; 8] = [0, 12_344, 12_345, 12_346, 30_000, 30_001, 59_998, 59_999];

fn is_control(asked: &Asked) -> bool {
    asked.bounds() == (CONTROL_MS, CONTROL_MS)
}

fn is_bad(asked: &Asked) -> bool {
    let (from, until) = asked.bounds();
    (from..=until).contains(&BAD_MS)
}

/// The records of the range that was asked for.
fn records(asked: &Asked) -> Vec<Value> {
    let (from, until) = asked.bounds();
    let inside = TIMES_MS.iter().filter(|at| (from..=until).contains(*at));
    inside.map(|at| record(&format!("r{at}"), *at)).collect()
}

/// A service that answers this way wherever the bad millisecond is asked for.
async fn with_bad(setup: Setup, mut bad: impl FnMut(&Asked) -> Reply + Send + 'static) -> World {
    setup
        .serve(move |asked| {
            if is_bad(asked) {
                bad(asked)
            } else {
                last(&records(asked))
            }
        })
        .await
}

/// Everything of the slice came but the bad millisecond, which is its one hole.
async fn expect_one_hole(world: &World, reason: &str, body: &[u8]) {
    let story = world.scan().await;
    assert!(story.error.is_none(), "{:?}", story.error);
    let mut expected: Vec<String> = TIMES_MS.iter().map(|at| format!("r{at}")).collect();
    expected.retain(|id| id != "r12345");
    let mut ids = story.ids;
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
    let [hole] = story.holes.as_slice() else {
        panic!("{:?}", story.holes)
    };
    assert_eq!((hole.from_ms, hole.until_ms), (BAD_MS, BAD_MS + 1));
    assert!(hole.reason.contains(reason), "{}", hole.reason);
    assert_eq!(hole.body, body);
}

fn broken(asked: &Asked) -> String {
    let (from, _) = asked.bounds();
    format!(r#"{{"data":[{{"_id":"r{from}","x":]}}],"hasNext":false}}"#)
}

#[tokio::test]
async fn a_millisecond_that_cannot_be_had_is_a_hole_and_costs_nothing_else() {
    let status = |status| move |_: &Asked| Reply::status(status).json(r#"{"detail":"no"}"#);
    for said in [500, 502, 503, 504, 599] {
        let world = with_bad(Setup::default(), status(said)).await;
        expect_one_hole(&world, &format!("HTTP {said}: no"), b"").await;
        let counts = world.counts();
        let levels = counts.halvings;
        assert!((15..=16).contains(&levels), "{levels}");
        // One before each level, one before the millisecond is put off, and two around its last chance.
        assert_eq!(counts.controls, levels + 1 + 2);
        // Four tries of the whole; of two halves the bad one twice and the other once.
        let expected = 4 + levels * 3 + counts.probes + counts.controls + 2;
        assert_eq!(counts.requests, expected);
    }
    let world = with_bad(Setup::default(), status(413)).await;
    expect_one_hole(&world, "HTTP 413: no", b"").await;
    let counts = world.counts();
    let expected = 1 + counts.halvings * 2 + counts.probes + counts.controls + 1;
    assert_eq!(counts.requests, expected);
}

#[tokio::test]
async fn a_page_that_takes_too_long_every_time_is_halved() {
    let setup = Setup {
        read_timeout: Duration::from_millis(250),
        max_attempts: 2,
        ..Setup::default()
    };
    let world = setup
        .serve(|asked| {
            let (from, until) = asked.bounds();
            if until - from >= 20_000 {
                Reply::stall()
            } else {
                last(&records(asked))
            }
        })
        .await;
    let story = world.scan().await;
    assert!(story.error.is_none(), "{:?}", story.error);
    assert_eq!((story.ids.len(), story.holes.len()), (TIMES_MS.len(), 0));
    assert_eq!(world.counts().halvings, 3);
}

#[tokio::test]
async fn what_came_of_a_page_that_is_broken_at_one_place_is_kept() {
    let text = r#"{"data":[{"_id":"r12345","x":]}],"hasNext":false}"#;
    let world = with_bad(Setup::default(), |asked| {
        Reply::status(200).json(&broken(asked))
    })
    .await;
    expect_one_hole(&world, "it is not JSON", text.as_bytes()).await;

    let world = with_bad(Setup::default(), |asked| last(&records(asked)).cut(30)).await;
    expect_one_hole(
        &world,
        "the connection to the service failed",
        br#"{"data":[{"_id":"r12345","crea"#,
    )
    .await;
}

/// Two answers that break off at one place say that the page is bad only where the service is well.
#[tokio::test]
async fn a_page_that_breaks_while_the_service_is_down_has_all_its_tries() {
    let mut asked_so_far = 0;
    let world = Setup::default()
        .serve(move |asked| {
            asked_so_far += 1;
            match asked_so_far {
                _ if is_control(asked) => Reply::status(502),
                1..=5 => Reply::status(200).json(&broken(asked)),
                _ => last(&records(asked)),
            }
        })
        .await;
    let story = world.scan().await;
    assert!(story.error.is_none(), "{:?}", story.error);
    assert_eq!((story.ids.len(), story.holes.len()), (TIMES_MS.len(), 0));
    let counts = world.counts();
    // Two tries, two of the control request, one more bad one and the good one.
    assert_eq!((counts.halvings, counts.requests), (0, 2 + 2 + 1 + 1));
}

#[tokio::test]
async fn a_page_above_the_bound_is_halved_and_what_came_of_it_is_kept() {
    let setup = Setup {
        max_page_bytes: 2_000,
        ..Setup::default()
    };
    let world = with_bad(setup, |_| Reply::status(200).bytes("x".repeat(5_000))).await;
    let story = world.scan().await;
    assert!(story.error.is_none(), "{:?}", story.error);
    assert_eq!(story.ids.len(), TIMES_MS.len() - 1);
    assert!(story.holes[0].reason.contains("larger than 2000 bytes"));
    assert!(story.holes[0].body.len() <= 2_000);
}

#[tokio::test]
async fn a_service_that_is_down_is_not_halved() {
    let world = Setup::default().serve(|_| Reply::status(503)).await;
    let error = world.fail().await;
    assert!(
        matches!(error, ScanError::Exhausted { attempts: 4, .. }),
        "{error:?}"
    );
    let counts = world.counts();
    assert_eq!((counts.halvings, counts.requests), (0, 4 + 2));
}

#[tokio::test]
async fn what_is_no_page_at_all_is_no_reason_to_halve() {
    let answers: [fn() -> Reply; 5] = [
        || Reply::status(200).bytes("<html>"),
        || Reply::status(200),
        || Reply::status(200).json("[]"),
        || Reply::status(200).json(r#"{"data":null,"hasNext":false}"#),
        Reply::close,
    ];
    for answer in answers {
        let world = with_bad(Setup::default(), move |_| answer()).await;
        let error = world.fail().await;
        assert!(
            matches!(error, ScanError::Exhausted { attempts: 4, .. }),
            "{error:?}"
        );
        let counts = world.counts();
        assert_eq!((counts.halvings, counts.controls), (0, 0));
    }
}

#[tokio::test]
async fn a_body_that_is_broken_at_another_place_each_time_is_no_reason_to_halve() {
    let mut length = 20;
    let world = with_bad(Setup::default(), move |asked| {
        length += 1;
        last(&records(asked)).cut(length)
    })
    .await;
    world.fail().await;
    assert_eq!(world.counts().halvings, 0);
}

#[tokio::test]
async fn a_millisecond_that_can_be_had_in_the_end_is_no_hole() {
    let mut asked_alone = 0;
    let world = with_bad(Setup::default(), move |asked| {
        asked_alone += u32::from(asked.bounds() == (BAD_MS, BAD_MS));
        if asked_alone > 2 {
            last(&records(asked))
        } else {
            Reply::status(500)
        }
    })
    .await;
    let story = world.scan().await;
    assert!(story.error.is_none(), "{:?}", story.error);
    assert_eq!((story.ids.len(), story.holes.len()), (TIMES_MS.len(), 0));
    assert_eq!(story.ids.last().unwrap(), "r12345");
}

#[tokio::test]
async fn a_service_that_breaks_down_before_or_after_the_last_chance_makes_no_hole() {
    let well = with_bad(Setup::default(), |_| Reply::status(500)).await;
    well.scan().await;
    let needed = well.counts().controls;
    for good in [needed - 2, needed - 1] {
        let mut controlled = 0;
        let world = Setup::default()
            .serve(move |asked| {
                if is_control(asked) {
                    controlled += 1;
                    if controlled > good {
                        return Reply::status(502);
                    }
                }
                if is_bad(asked) {
                    Reply::status(500)
                } else {
                    last(&records(asked))
                }
            })
            .await;
        let story = world.scan().await;
        assert!(story.holes.is_empty());
        let error = story.error.expect("the service is down");
        assert!(matches!(error, ScanError::Exhausted { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn credentials_that_end_meanwhile_are_said() {
    let world = Setup::default()
        .serve(|asked| Reply::status(if is_control(asked) { 401 } else { 500 }))
        .await;
    assert!(world.fail().await.is_sign_in());
}

#[tokio::test]
async fn a_hundred_bad_ranges_are_more_than_a_few_bad_records() {
    let world = Setup::default()
        .serve(|asked| {
            let (from, until) = asked.bounds();
            if is_control(asked) || from == until && from % 7 > 0 {
                last(&records(asked))
            } else {
                Reply::status(500)
            }
        })
        .await;
    let error = world.fail().await;
    assert!(
        matches!(
            error,
            ScanError::TooManyBadRanges {
                max_ranges: 100,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_service_that_answers_only_where_there_is_nothing_is_not_well() {
    let world = Setup::default()
        .serve(|asked| {
            if is_bad(asked) {
                Reply::status(500)
            } else {
                last(&[])
            }
        })
        .await;
    let story = world.scan().await;
    assert!(story.holes.is_empty());
    assert!(
        matches!(story.error, Some(ScanError::Exhausted { .. })),
        "{:?}",
        story.error
    );
}

#[tokio::test]
async fn the_neighbours_bad_millisecond_is_no_hole_of_an_empty_slice() {
    let world = Setup::default()
        .serve(|asked| {
            if asked.bounds().0 < 0 {
                Reply::status(500)
            } else {
                last(&[])
            }
        })
        .await;
    let story = world.scan().await;
    story.expect_ids(&[]);
    assert!(story.holes.is_empty());
}

/// So many records of the slice, and so many of long before it.
fn mixed(inside: i64, outside: i64) -> Vec<Value> {
    let of_slice = (0..inside).map(|n| record(&format!("in{n}"), n));
    let strays = (0..outside).map(|n| record(&format!("out{n}"), -100_000 - n));
    of_slice.chain(strays).collect()
}

#[tokio::test]
async fn a_range_of_mostly_strays_says_that_the_filter_is_ignored() {
    for (inside, outside, is_ignored) in [
        (0, 1, false),
        (0, 19, false),
        (0, 20, true),
        (9, 11, true),
        (10, 10, false),
        (200, 150, false),
        (100, 150, true),
    ] {
        let records = mixed(inside, outside);
        // In one page, and spread over three.
        let pages = [
            vec![last(&records)],
            vec![
                more(&records[..1], &json!({"n": 1})),
                more(&records[1..], &json!({"n": 2})),
                last(&[]),
            ],
        ];
        for replies in pages {
            let story = Setup::default().script(replies).await.scan().await;
            let found = matches!(story.error, Some(ScanError::FilterIgnored { .. }));
            assert_eq!(found, is_ignored, "{inside} {outside} {:?}", story.error);
        }
    }
}

#[tokio::test]
async fn strays_without_end_are_not_read_to_the_end() {
    let mut page = 0;
    let world = Setup::default()
        .serve(move |_| {
            page += 1;
            let strays: Vec<Value> = (0..50)
                .map(|n| record(&format!("{page}-{n}"), -page * 100 - n))
                .collect();
            more(&strays, &json!({ "n": page }))
        })
        .await;
    let error = world.fail().await;
    assert!(matches!(error, ScanError::FilterIgnored { .. }), "{error}");
    assert!(world.counts().requests <= 11);
}

#[tokio::test]
async fn a_slice_with_more_records_than_can_be_told_apart_is_given_up() {
    let mut setup = Setup::default();
    setup.from.max_records = 1_000;
    let mut page = 0;
    let world = setup
        .serve(move |_| {
            page += 1;
            let records: Vec<Value> = (0..50).map(|n| record(&format!("{page}-{n}"), n)).collect();
            more(&records, &json!({ "n": page }))
        })
        .await;
    let error = world.fail().await;
    assert!(
        error.to_string().contains("more than 1000 records"),
        "{error}"
    );
}

#[tokio::test]
async fn a_continuation_of_megabytes_is_not_sent_back() {
    let next = json!({"n": "x".repeat(1024 * 1024)});
    let setup = Setup {
        max_page_bytes: 8 * 1024 * 1024,
        ..Setup::default()
    };
    let world = setup.serve(move |_| more(&[record("a", 1)], &next)).await;
    let error = world.fail().await;
    match &error {
        ScanError::Exhausted {
            last: RequestError::Malformed { reason },
            ..
        } => assert!(reason.contains("more than 1048576"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let asked = world.server.asked();
    assert!(asked.iter().all(|asked| asked.text.len() < 1_000));
}

#[tokio::test]
async fn a_page_that_comes_slowly_is_waited_for_and_one_that_hardly_comes_is_not() {
    let setup = || Setup {
        answer_timeout: Duration::from_millis(300),
        max_attempts: 1,
        ..Setup::default()
    };
    let pad = "x".repeat(400_000);
    let page = json!({"data": [record("a", 1)], "hasNext": false, "pad": pad});
    let page = page.to_string();
    // Half a second for a page that is allowed 24 seconds more for its size.
    let slow = page.clone();
    let pause = Duration::from_millis(25);
    let world = setup()
        .serve(move |_| Reply::status(200).json(&slow).slow(20_000, pause))
        .await;
    world.scan().await.expect_ids(&["a"]);

    let world = setup()
        .serve(move |_| Reply::status(200).json(&page).slow(10, pause))
        .await;
    let error = world.fail().await;
    let said = crate::text::plain::chain(&error);
    assert!(said.contains("came too slowly"), "{said}");
}
