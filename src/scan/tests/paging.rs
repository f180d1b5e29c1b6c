//! From page to page: continuations, halvings, probes, and where records belong.

use futures::FutureExt;
use serde_json::{Map, Value, json};

use super::server::Reply;
use super::{
    CONTROL_MS, FROM_MS, NextPage, Setup, TOKEN, UNTIL_MS, World, last, more, newest, record,
};
use crate::scan::{ClockField, ScanError, ScanOptions, SliceScan};
use crate::text::fingerprint::short_fingerprint;
use crate::window::Slice;

#[tokio::test]
async fn the_first_request_has_absolute_bounds_and_the_users_filters() {
    let filters = json!({"service": {"eq": [20893]}});
    let setup = Setup {
        page_limit: 200,
        from: ScanOptions {
            clock: ClockField::Date,
            filters: filters.as_object().unwrap().clone(),
            look_ahead_max_bytes: 0,
            max_records: u64::MAX,
        },
        ..Setup::default()
    };
    let world = setup.script([last(&[record("a", 0)])]).await;
    world.scan().await.expect_ids(&["a"]);
    let asked = &world.server.asked()[0];
    assert!(asked.head.starts_with("POST /api/v1/activities/ HTTP/1.1"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert_eq!(
        asked.body,
        json!({
            "filters": {"date": {"gte": FROM_MS, "lte": UNTIL_MS - 1}, "service": {"eq": [20893]}},
            "isScan": true, "sortField": "date", "sortDirection": "asc", "limit": 200
        })
    );
}

#[tokio::test]
async fn a_continuation_is_sent_as_the_text_that_came() {
    let next = r#"{"b" : [ 1 ,2.50],"a":"é","big":123456789012345678901234567890}"#;
    let page = format!(r#"{{"data":[],"nextQueryFilters": {next} ,"hasNext":true}}"#);
    let replies = [Reply::status(200).json(&page), last(&[record("a", 1)])];
    let world = Setup::default().script(replies).await;
    world.scan().await.expect_ids(&["a"]);
    let asked = world.server.asked();
    assert!(asked[1].text.contains(&format!(r#"{{"filters":{next},"#)));
    for member in ["isScan", "sortField", "sortDirection", "limit"] {
        assert_eq!(asked[0].body[member], asked[1].body[member]);
    }
}

#[tokio::test]
async fn short_and_empty_pages_are_not_the_end() {
    let replies = [
        more(&[record("a", 1)], &json!({"n": 1})),
        more(&[], &json!({"n": 2})),
        more(&[], &json!("a text")),
        last(&[record("b", 2)]),
    ];
    let world = Setup::default().script(replies).await;
    world.scan().await.expect_ids(&["a", "b"]);
}

#[tokio::test]
async fn a_continuation_beside_an_end_is_followed_and_counted() {
    let page = |id, next: Value| {
        Reply::page(&json!({"data": [record(id, 1)], "hasNext": false, "nextQueryFilters": next}))
    };
    let replies = [page("a", json!({"n": 1})), page("b", Value::Null)];
    let world = Setup::default().script(replies).await;
    world.scan().await.expect_ids(&["a", "b"]);
    assert_eq!(world.counts().extra_continuations, 1);

    // A service that repeats its question on the last page says that it is the last.
    let replies = [page("a", json!({"n": 1})), page("b", json!({"n": 1}))];
    let world = Setup::default().script(replies).await;
    world.scan().await.expect_ids(&["a", "b"]);
    let counts = world.counts();
    assert_eq!((counts.extra_continuations, counts.halvings), (2, 0));
}

/// Pages of a service that has ended its range and says all the same where to go on.
fn ended(records: &[Value], next: &Value) -> Reply {
    Reply::page(&json!({"data": records, "hasNext": false, "nextQueryFilters": next}))
}

/// What comes after the end, of what the range has and of what lies outside.
type Extra = fn(&[Value], &[Value]) -> Reply;

#[tokio::test]
async fn a_continuation_beside_an_end_that_brings_nothing_is_given_up() {
    let whole: Vec<Value> = (0..30).map(|n| record(&format!("r{n}"), n)).collect();
    let strays: Vec<Value> = (1..=30)
        .map(|n| record(&format!("s{n}"), -n * 1_000))
        .collect();
    // With how many requests it takes.
    let extras: [(Extra, u64); 5] = [
        (|_, _| ended(&[], &json!({"n": 2})), 3),
        // Who says that more is to come is asked for it.
        (|_, _| more(&[], &json!({"n": 2})), 4),
        (|whole, _| more(whole, &json!({"n": 2})), 4),
        (|_, strays| more(strays, &json!({"n": 2})), 3),
        (|whole, strays| last(&[strays, whole].concat()), 3),
    ];
    for (index, (extra, most)) in extras.into_iter().enumerate() {
        for setup in [Setup::default(), without_look_ahead()] {
            let (first, strays) = (whole.clone(), strays.clone());
            let world = setup
                .serve(move |asked| match &asked.body["filters"]["n"] {
                    Value::Null => ended(&first, &json!({"n": 1})),
                    number if *number == 1 => extra(&first, &strays),
                    _ if most > 3 => ended(&[], &json!({"n": 3})),
                    _ => panic!("a fruitless continuation was followed"),
                })
                .await;
            let story = world.scan().await;
            assert!(story.error.is_none(), "{index}: {:?}", story.error);
            assert_eq!((story.ids.len(), story.holes.len()), (30, 0), "{index}");
            let counts = world.counts();
            let halvings = (counts.halvings, counts.total_differs);
            assert_eq!(halvings, (0, 0), "{index}");
            assert!(counts.requests <= most, "{index}: {}", counts.requests);
        }
    }
}

/// The slice fails for its empty ranges whose ends are in doubt, after fewer requests than these.
async fn expect_given_up(world: &World, most: u64) {
    let error = world.fail().await;
    let is_expected = matches!(error, ScanError::TooManyBadRanges { max_ranges: 30, .. });
    assert!(is_expected, "{error:?}");
    let requests = world.counts().requests;
    assert!(requests < most, "{requests}");
}

/// The same says for ever that more is to come: nothing says that all has come.
#[tokio::test]
async fn pages_of_nothing_after_an_end_come_to_an_end() {
    let world = Setup::default()
        .serve(|asked| match asked.body["filters"]["n"].as_u64() {
            None => ended(&[], &json!({"n": 1})),
            Some(number) => more(&[], &json!({"n": number + 1})),
        })
        .await;
    expect_given_up(&world, 200).await;
}

/// After an end the service says that more is to come, and not from where, or gives nothing ever again: what is
/// left is found in shorter ranges, which end as they should.
#[tokio::test]
async fn an_end_that_is_taken_back_is_none() {
    let extras: [fn(u64) -> Reply; 2] = [
        |_| Reply::page(&json!({"data": [], "hasNext": true})),
        |number| more(&[], &json!({"n": number + 1})),
    ];
    for extra in extras {
        let world = without_look_ahead()
            .serve(move |asked| {
                let filters = &asked.body["filters"];
                if let Some(number) = filters["n"].as_u64() {
                    return extra(number);
                }
                let bound = |name| filters["created"][name].as_i64().unwrap() - FROM_MS;
                let records =
                    (0..60).filter(|n| (bound("gte")..=bound("lte")).contains(&(n * 1_000)));
                let records = records.map(|n| record(&format!("r{n}"), n * 1_000));
                let mut records: Vec<Value> = records.collect();
                if bound("lte") - bound("gte") <= 5_000 {
                    return last(&records);
                }
                records.truncate(10);
                ended(&records, &json!({"n": 1}))
            })
            .await;
        world.scan().await.expect_all(60);
    }
}

/// What a service does whose first pages are empty, and have all of their range behind them.
async fn hidden(
    times: &'static [i64],
    mut fails: impl FnMut(i64, i64) -> Option<Reply> + Send + 'static,
) -> World {
    without_look_ahead()
        .serve(move |asked| {
            let filters = &asked.body["filters"];
            let Some(behind) = filters["behind"].as_array() else {
                let bound = |name| filters["created"][name].as_i64().unwrap() - FROM_MS;
                return ended(&[], &json!({"behind": [bound("gte"), bound("lte")]}));
            };
            let (from_ms, last_ms) = (behind[0].as_i64().unwrap(), behind[1].as_i64().unwrap());
            if let Some(reply) = fails(from_ms, last_ms) {
                return reply;
            }
            let found = times
                .iter()
                .filter(|time| (from_ms..=last_ms).contains(time));
            let found = found.map(|time| record(&format!("r{time}"), *time));
            last(&found.collect::<Vec<_>>())
        })
        .await
}

const HIDDEN: [i64; 6] = [0, 7_000, 15_001, 30_000, 45_000, 59_999];

/// The continuations fail for a while: that an empty page had nothing behind it is believed of none of them.
#[tokio::test]
async fn a_blip_behind_empty_pages_hides_nothing() {
    for fail in [500, 429, 408, 200] {
        for times in [1, 5, 20] {
            let mut left = times;
            let world = hidden(&HIDDEN, move |_, _| {
                left -= i32::from(left > 0);
                (left > 0).then(|| Reply::status(fail))
            })
            .await;
            let mut story = world.scan().await;
            assert!(story.error.is_none(), "{fail}: {:?}", story.error);
            story.ids.sort();
            assert_eq!((story.ids.len(), story.holes.len()), (6, 0), "{fail}");
        }
    }
}

/// A service that is never well there fails the slice, and soon.
#[tokio::test]
async fn continuations_behind_empty_pages_that_always_fail_fail_the_slice() {
    for fail in [500, 200] {
        let world = hidden(&HIDDEN, move |_, _| Some(Reply::status(fail))).await;
        expect_given_up(&world, 150).await;
    }
}

/// One record cannot be had, whatever is said to that: it is a hole, wherever it lies, and the others come.
#[tokio::test]
async fn one_bad_record_behind_empty_pages_is_a_hole() {
    for fail in [400, 500] {
        for bad_ms in HIDDEN {
            let world = hidden(&HIDDEN, move |from_ms, last_ms| {
                (from_ms..=last_ms)
                    .contains(&bad_ms)
                    .then(|| Reply::status(fail))
            })
            .await;
            let story = world.scan().await;
            assert!(story.error.is_none(), "{fail}, {bad_ms}: {:?}", story.error);
            assert_eq!(story.ids.len(), 5, "{fail}, {bad_ms}");
            let holes: Vec<i64> = story.holes.iter().map(|hole| hole.from_ms).collect();
            assert_eq!(holes, [bad_ms], "{fail}");
        }
    }
}

/// A page of up to five of these, the oldest first, as a service gives it that leaves out a tie which does not fit
/// and says beside an end how to go on, and refuses that.
fn up_to_five(found: Vec<(i64, Value)>) -> Reply {
    let edge = found.get(5).map(|(time, _)| *time);
    let records = found
        .into_iter()
        .take_while(|(time, _)| Some(*time) != edge);
    let records: Vec<Value> = records.map(|(_, record)| record).collect();
    match edge {
        None => last(&records),
        Some(_) => ended(&records, &json!({"n": 1})),
    }
}

/// A service that looks at whole seconds gives what lies before a range that begins within one.
#[tokio::test]
async fn bounds_that_are_rounded_to_seconds_hide_no_second() {
    let world = without_look_ahead()
        .serve(move |asked| {
            let filters = &asked.body["filters"];
            if !filters["n"].is_null() {
                return Reply::status(400);
            }
            let second =
                |name| (filters["created"][name].as_i64().unwrap() - FROM_MS).div_euclid(1_000);
            let (from, last) = (second("gte"), second("lte"));
            let ties = (0..30).map(|n| (10 + n / 3, n));
            let found = ties.filter(|(second, _)| (from..=last).contains(second));
            let found = found.map(|(second, n)| (second, record(&format!("r{n}"), second * 1_000)));
            up_to_five(found.collect())
        })
        .await;
    world.scan().await.expect_all(30);
}

/// Records that say nothing of their time do not say either that nothing lies between them.
#[tokio::test]
async fn records_without_a_time_before_an_end_in_doubt_hide_none() {
    let world = without_look_ahead()
        .serve(move |asked| {
            let filters = &asked.body["filters"];
            if !filters["n"].is_null() {
                return Reply::status(400);
            }
            let bound = |name| filters["created"][name].as_i64().unwrap() - FROM_MS;
            let ties = [
                29_900, 29_900, 29_900, 30_100, 30_100, 31_000, 31_000, 31_000, 31_000, 40_000,
            ];
            let found = ties.into_iter().enumerate();
            let found = found.filter(|(_, time)| (bound("gte")..=bound("lte")).contains(time));
            let found = found.map(|(n, time)| (time, json!({"_id": format!("r{n}")})));
            up_to_five(found.collect())
        })
        .await;
    let story = world.scan().await;
    let is_said = story.error.is_some() || !story.holes.is_empty();
    assert!(story.ids.len() == 10 || is_said, "{:?}", story.ids);
}

/// What nothing places is of the slice where nothing else was asked for, and not where the service goes on behind
/// the end that it has said.
#[tokio::test]
async fn records_without_a_time_that_follow_an_end_are_of_no_slice() {
    let unplaced = |id: &str| json!({"_id": id});
    let world = without_look_ahead()
        .serve(move |asked| match &asked.body["filters"]["n"] {
            Value::Null => ended(&[unplaced("own")], &json!({"n": 1})),
            _ => last(&[unplaced("own"), unplaced("later")]),
        })
        .await;
    let story = world.scan().await;
    assert_eq!(story.ids, ["own"]);
    assert!(story.error.is_some(), "nobody knows whose the later one is");

    // Those that have come before are nobody else's.
    let replies = [
        ended(&[unplaced("a"), unplaced("b")], &json!({"n": 1})),
        last(&[unplaced("b")]),
    ];
    let world = Setup::default().script(replies).await;
    world.scan().await.expect_ids(&["a", "b"]);

    // Where shorter ranges end as they should, all of it is found.
    let world = without_look_ahead()
        .serve(move |asked| {
            let filters = &asked.body["filters"];
            let from = filters["n"].as_i64();
            let bound = |name| {
                filters["created"][name]
                    .as_i64()
                    .map_or(0, |ms| ms - FROM_MS)
            };
            let found = (0..20).filter(|n| (bound("gte")..=bound("lte")).contains(&(n * 3_000)));
            let found: Vec<i64> = from.map_or_else(|| found.collect(), |from| (from..20).collect());
            let records: Vec<Value> = found
                .iter()
                .take(5)
                .map(|n| json!({"_id": format!("r{n}")}))
                .collect();
            match found.get(5) {
                Some(next) => ended(&records, &json!({"n": next})),
                None => last(&records),
            }
        })
        .await;
    let story = world.scan().await;
    assert!(story.error.is_none(), "{:?}", story.error);
    assert_eq!(story.ids.len(), 20);
}

#[tokio::test]
async fn what_comes_after_an_end_and_an_empty_page_is_kept() {
    let replies = [
        ended(&[record("a", 1)], &json!({"n": 1})),
        more(&[], &json!({"n": 2})),
        more(&[], &json!({"n": 3})),
        last(&[record("b", 2)]),
    ];
    let world = Setup::default().script(replies).await;
    world.scan().await.expect_ids(&["a", "b"]);
}

/// Strays that come again with each page are no reason to stop at one that brings something of the range.
#[tokio::test]
async fn strays_after_an_end_that_come_again_hide_nothing() {
    let strays = [record("s1", -5), record("s2", -6)];
    let page = |own: &[Value], next: u64| ended(&[&strays, own].concat(), &json!({"n": next}));
    let replies = [
        ended(&[record("a", 1)], &json!({"n": 1})),
        page(&[record("b", 2)], 2),
        page(&[record("c", 3)], 3),
        last(&[record("d", 4)]),
    ];
    let world = Setup::default().script(replies).await;
    world.scan().await.expect_ids(&["a", "b", "c", "d"]);
}

/// Of a service that drops the tie at the end of a page no page says by its length that nothing is left.
#[tokio::test]
async fn a_tie_that_was_dropped_before_an_end_in_doubt_is_found() {
    for is_newest_first in [false, true] {
        let world = without_look_ahead()
            .serve(move |asked| {
                let filters = &asked.body["filters"];
                if !filters["n"].is_null() {
                    return Reply::status(500);
                }
                let bound = |name| filters["created"][name].as_i64().unwrap() - FROM_MS;
                let ties = [
                    1_000, 2_000, 3_000, 4_000, 10_000, 10_000, 10_000, 20_000, 21_000,
                ];
                let mut found: Vec<(usize, i64)> = ties
                    .into_iter()
                    .map(|time_ms| {
                        if is_newest_first {
                            30_000 - time_ms
                        } else {
                            time_ms
                        }
                    })
                    .enumerate()
                    .filter(|(_, time)| (bound("gte")..=bound("lte")).contains(time))
                    .collect();
                let is_last = found.len() <= 5;
                found.truncate(5);
                if !is_last {
                    let (_, dropped) = found[4];
                    found.retain(|(_, time)| *time != dropped);
                }
                let found = found.into_iter();
                let records: Vec<Value> = found
                    .map(|(n, time)| record(&format!("r{n}"), time))
                    .collect();
                if is_last {
                    last(&records)
                } else {
                    ended(&records, &json!({"n": 1}))
                }
            })
            .await;
        world.scan().await.expect_all(9);
    }
}

/// A quiet tenant where every end has a continuation beside it, and that is refused: nothing is missing, so
/// nothing is called so, and what lies before the slice is no reason to ask for each of its milliseconds.
#[tokio::test]
async fn ends_in_doubt_of_quiet_time_are_no_holes_and_take_few_requests() {
    let busy: Vec<i64> = (0..12_000).map(|n| n * 5).collect();
    let quiet: [(&[i64], u64); 7] = [
        (&[], 24),
        (&[-1], 24),
        (&[-1, -1], 24),
        (&[7_777], 60),
        (&[7_777, 7_777], 60),
        (&[1_000, 50_000], 60),
        // A page of 500 takes some twenty.
        (&busy, 1_500),
    ];
    for (times, most) in quiet {
        let times = times.to_vec();
        let all = times.clone();
        let world = without_look_ahead()
            .serve(move |asked| {
                let filters = &asked.body["filters"];
                if !filters["n"].is_null() {
                    return Reply::status(400);
                }
                let bound = |name| filters["created"][name].as_i64().unwrap() - FROM_MS;
                let found = times.iter().enumerate();
                let found = found.filter(|(_, time)| (bound("gte")..=bound("lte")).contains(time));
                let records: Vec<Value> = found
                    .take(500)
                    .map(|(n, time)| record(&format!("r{n}"), *time))
                    .collect();
                ended(&records, &json!({"n": bound("gte")}))
            })
            .await;
        let story = world.scan().await;
        let few = &all[..all.len().min(3)];
        assert!(story.error.is_none(), "{few:?}: {:?}", story.error);
        let own = all.iter().filter(|time| **time >= 0).count();
        assert_eq!((story.ids.len(), story.holes.len()), (own, 0), "{few:?}");
        let requests = world.counts().requests;
        assert!(requests <= most, "{few:?}: {requests}");
    }
}

/// The bytes of a page that breaks off behind an end, at a millisecond that may have more, are kept.
#[tokio::test]
async fn bytes_behind_an_end_of_what_cannot_be_had_are_kept() {
    let world = without_look_ahead()
        .serve(move |asked| {
            let filters = &asked.body["filters"];
            if !filters["n"].is_null() {
                return Reply::status(200).bytes(r#"{"data":[{"_id":"b1","created":"#);
            }
            let bound = |name| filters["created"][name].as_i64().unwrap() - FROM_MS;
            let is_here = (bound("gte")..=bound("lte")).contains(&1_000);
            let ties = (0..12).filter(|_| is_here);
            let records: Vec<Value> = ties.map(|n| record(&format!("a{n}"), 1_000)).collect();
            if is_here {
                ended(&records, &json!({"n": 1}))
            } else {
                last(&[])
            }
        })
        .await;
    let story = world.scan().await;
    let [hole] = story.holes.as_slice() else {
        panic!("{:?}", story.holes)
    };
    assert_eq!((hole.from_ms, hole.until_ms), (1_000, 1_001));
    assert!(hole.body.starts_with(b"{\"data\""), "{:?}", hole.body);
}

/// The service says that a range has ended after every few records, and that it goes on, and fails there: what
/// is left is asked for by its time, whatever the order.
#[tokio::test]
async fn a_continuation_beside_an_end_that_fails_loses_nothing() {
    let fails: [fn() -> Reply; 4] = [
        || Reply::status(400),
        || Reply::status(500),
        || Reply::page(&json!({"data": null, "hasNext": false})),
        || Reply::page(&json!({"data": [record("r9", 9)], "hasNext": "no"})),
    ];
    for (index, fail) in fails.into_iter().enumerate() {
        let is_refused = index == 0;
        for (is_newest_first, setup) in [
            (false, without_look_ahead()),
            (true, without_look_ahead()),
            (false, Setup::default()),
            (true, Setup::default()),
        ] {
            let world = setup
                .serve(move |asked| {
                    let filters = &asked.body["filters"];
                    if !filters["n"].is_null() {
                        return fail();
                    }
                    let bound = |name| filters["created"][name].as_i64().unwrap() - FROM_MS;
                    // Two of a time, so that the edge of a page lies between them, too.
                    let mut records: Vec<Value> = (0..30)
                        .filter(|n| (bound("gte")..=bound("lte")).contains(&(n / 2)))
                        .map(|n| record(&format!("r{n}"), n / 2))
                        .collect();
                    if is_newest_first {
                        records.reverse();
                    }
                    // That nothing is there is believed of who refuses to go on, and of nobody else.
                    if records.is_empty() && !is_refused {
                        return last(&[]);
                    }
                    records.truncate(7);
                    ended(&records, &json!({"n": 1}))
                })
                .await;
            world.scan().await.expect_all(30);
            let counts = world.counts();
            assert_eq!(counts.halvings, 0);
        }
    }
}

/// How a service picks the records of a page.
#[derive(Debug, Clone, Copy)]
enum Picks {
    Oldest,
    Newest,
    Any,
}

/// What a service leaves out at the end of a page that is not the last.
#[derive(Debug, Clone, Copy)]
enum Drops {
    Nothing,
    /// A tie that the page would part.
    PartedTie,
    LastTie,
}

impl Drops {
    /// How many of the first `size` records are left. A page of one tie stays as it is.
    fn left_of(self, size: usize, found: &[(usize, i64)]) -> usize {
        let Some((_, last)) = size.checked_sub(1).and_then(|last| found.get(last)) else {
            return size;
        };
        let drops = match self {
            Self::Nothing => false,
            Self::PartedTie => found.get(size).is_some_and(|(_, next)| next == last),
            Self::LastTie => true,
        };
        match found[..size].iter().position(|(_, time)| time == last) {
            Some(left) if drops && left > 0 => left,
            _ => size,
        }
    }
}

/// Whatever a service hides behind a continuation that fails, it is found, or named as a hole, or the slice
/// fails: pages of any records up to a bound, ties that fill a page or are left out of it, a first page of
/// nothing, records without a time, some ranges that say that more is to come.
#[tokio::test]
async fn nothing_that_a_service_hides_behind_its_end_is_lost_in_silence() {
    let (mut whole, mut holes, mut failed) = (0, 0, 0);
    for case in 0..400 {
        // The first once lost records: ties that were dropped from behind an empty first page.
        let seed = if case == 0 {
            8_399_128_750_261_043_984
        } else {
            fastrand::u64(..)
        };
        println!("case {case}, seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let cap = random.usize(10..24);
        let count = random.i64(0..90);
        let ticks = [1, 5, 1_000, 60_000][random.usize(..4)];
        let times: Vec<i64> = (0..count).map(|_| random.i64(0..ticks)).collect();
        let picks = [Picks::Oldest, Picks::Newest, Picks::Any][random.usize(..3)];
        let has_no_time = random.u8(..8) == 0;
        let drops = match random.usize(..3) {
            0 => Drops::PartedTie,
            1 => Drops::LastTie,
            _ => Drops::Nothing,
        };
        let hides_first = random.u8(..8) == 0;
        let says_more = random.u8(..4) == 0;
        let fails = [0.3, 0.7, 1.0][random.usize(..3)];
        let fail = [400, 404, 500][random.usize(..3)];
        let world = without_look_ahead()
            .serve(move |asked| {
                let filters = &asked.body["filters"];
                let bound = |name| filters["created"][name].as_i64().unwrap() - FROM_MS;
                let (from_ms, last_ms) = (bound("gte"), bound("lte"));
                let continued = filters["n"].as_u64().map(|n| usize::try_from(n).unwrap());
                // The same question has the same answer.
                let text = format!("{seed} {from_ms} {last_ms} {continued:?}");
                let mut chance = fastrand::Rng::with_seed(short_fingerprint(text.as_bytes()));
                if continued.is_some() && chance.f64() < fails {
                    return Reply::status(fail);
                }
                let mut found: Vec<(usize, i64)> = times
                    .iter()
                    .copied()
                    .enumerate()
                    .filter(|(_, time)| (from_ms..=last_ms).contains(time))
                    .collect();
                match picks {
                    Picks::Oldest => found.sort_by_key(|(_, time)| *time),
                    Picks::Newest => found.sort_by_key(|(_, time)| -*time),
                    Picks::Any => fastrand::Rng::with_seed(seed).shuffle(&mut found),
                }
                let is_hidden = hides_first && continued.is_none() && last_ms - from_ms > 30_000;
                let offset = continued.unwrap_or(0);
                let size = if is_hidden { 0 } else { cap };
                let rest = found.split_off(offset.min(found.len()));
                let is_last = rest.len() <= size;
                let record = |(n, time): (usize, i64)| {
                    if has_no_time {
                        json!({"_id": format!("r{n}")})
                    } else {
                        record(&format!("r{n}"), time)
                    }
                };
                let size = if is_last || matches!(picks, Picks::Any) {
                    size
                } else {
                    drops.left_of(size, &rest)
                };
                let records: Vec<Value> = rest.into_iter().take(size).map(record).collect();
                let mut next = filters.clone();
                next["n"] = (offset + size).into();
                match (is_last, says_more && chance.bool()) {
                    (true, _) => last(&records),
                    (false, true) => more(&records, &next),
                    (false, false) => ended(&records, &next),
                }
            })
            .await;
        let story = world.scan().await;
        let mut ids = story.ids;
        ids.sort();
        ids.dedup();
        match (story.error, story.holes.is_empty()) {
            (Some(_), _) => failed += 1,
            (None, false) => holes += 1,
            (None, true) => {
                assert_eq!(
                    ids.len(),
                    usize::try_from(count).unwrap(),
                    "seed {seed}: pages of {cap}, {picks:?}, {drops:?}, {ticks} ticks, first hidden {hides_first}, more {says_more}"
                );
                whole += 1;
            }
        }
    }
    println!("{whole} whole, {holes} with holes, {failed} failed");
    assert!(
        whole > 100 && holes + failed > 10,
        "{whole} {holes} {failed}"
    );
}

/// Who is refused there is refused everywhere.
#[tokio::test]
async fn credentials_that_end_at_a_continuation_beside_an_end_fail_the_slice() {
    let replies = [
        ended(&[record("a", 1)], &json!({"n": 1})),
        Reply::status(403),
    ];
    let world = without_look_ahead().script(replies).await;
    assert!(world.fail().await.is_sign_in());
}

#[tokio::test]
async fn what_a_continuation_beside_an_end_brings_of_the_range_is_kept() {
    let replies = [
        ended(&[record("a", 1)], &json!({"n": 1})),
        // Strays beside it are nobody's.
        ended(&[record("b", 2), record("old", -5)], &json!({"n": 2})),
        last(&[record("c", 3)]),
    ];
    let world = Setup::default().script(replies).await;
    let story = world.scan().await;
    story.expect_ids(&["a", "b", "c"]);
    assert_eq!(story.neighbours, ["old"]);

    // Where more of the range is to come, it was no end: what is stuck then is halved.
    let replies = [
        ended(&[record("a", 1)], &json!({"n": 1})),
        more(&[record("b", 2)], &json!({"n": 1})),
        last(&[record("a", 1), record("b", 2), record("c", 3)]),
        last(&[record("d", 40_000)]),
    ];
    let world = Setup::default().script(replies).await;
    world.scan().await.expect_ids(&["a", "b", "c", "d"]);
    assert_eq!(world.counts().halvings, 1);
}

#[tokio::test]
async fn a_range_of_strays_is_judged_though_a_continuation_beside_its_end_fails() {
    let strays: Vec<Value> = (1..=30).map(|n| record(&format!("s{n}"), -n)).collect();
    let replies = [ended(&strays, &json!({"n": 1})), Reply::status(400)];
    let error = Setup::default().script(replies).await.fail().await;
    assert!(matches!(error, ScanError::FilterIgnored { .. }), "{error}");
}

#[tokio::test]
async fn a_hundred_stuck_ranges_fail_the_slice() {
    // Ten empty pages come before the records of every range.
    let mut number = 0;
    let world = without_look_ahead()
        .serve(move |asked| {
            number += 1;
            if asked.body["filters"]["created"].is_null()
                || asked.bounds() != (CONTROL_MS, CONTROL_MS)
            {
                return more(&[], &json!({ "n": number }));
            }
            last(&[])
        })
        .await;
    let error = world.fail().await;
    let is_expected = matches!(
        &error,
        ScanError::TooManyBadRanges { max_ranges: 100, last, .. }
            if matches!(**last, ScanError::Stuck { .. })
    );
    assert!(is_expected, "{error:?}");
    assert!(
        world.counts().requests <= 1_100,
        "{}",
        world.counts().requests
    );
}

#[tokio::test]
async fn a_range_that_is_stuck_is_scanned_in_halves_the_older_first() {
    let no_continuations = [
        // Where it says nothing of the way on, it is asked once more.
        (2, json!({"data": [record("a", 1)], "hasNext": true})),
        (
            2,
            json!({"data": [record("a", 1)], "hasNext": true, "nextQueryFilters": null}),
        ),
        // What was asked already, in another order.
        (
            1,
            json!({"data": [record("a", 1)], "hasNext": true, "nextQueryFilters":
            {"x": 1, "created": {"lte": UNTIL_MS - 1, "gte": FROM_MS}}}),
        ),
    ];
    for (times, page) in no_continuations {
        let mut setup = Setup::default();
        setup.from.filters = Map::from_iter([("x".to_owned(), json!(1))]);
        let mut replies: Vec<Reply> = (0..times).map(|_| Reply::page(&page)).collect();
        replies.push(last(&[record("a", 1), record("b", 2)]));
        replies.push(last(&[record("c", 30_000)]));
        let world = setup.script(replies).await;
        world.scan().await.expect_ids(&["a", "b", "c"]);
        assert_eq!(
            world.bounds()[times - 1..],
            [(0, 59_999), (0, 29_999), (30_000, 59_999)]
        );
        assert_eq!(world.counts().halvings, 1);
    }
}

#[tokio::test]
async fn a_continuation_that_is_missing_once_costs_one_request() {
    let open = || Reply::page(&json!({"data": [record("b", 2)], "hasNext": true}));
    let replies = [
        more(&[record("a", 1)], &json!({"n": 1})),
        open(),
        more(&[record("b", 2)], &json!({"n": 2})),
        open(),
        last(&[record("b", 2)]),
    ];
    let world = Setup::default().script(replies).await;
    world.scan().await.expect_ids(&["a", "b"]);
    let counts = world.counts();
    assert_eq!((counts.requests, counts.halvings), (5, 0));
    assert_eq!(counts.retries.get("no_continuation"), Some(&2));
}

#[tokio::test]
async fn filters_that_were_sent_before_are_not_sent_again() {
    let replies = [
        more(&[record("a", 1)], &json!({"n": 1, "m": 2})),
        more(&[record("b", 2)], &json!({"n": 2})),
        more(&[record("c", 3)], &json!({"m": 2, "n": 1})),
        last(&[record("a", 1), record("b", 2), record("c", 3)]),
        last(&[record("d", 40_000)]),
    ];
    let world = Setup::default().script(replies).await;
    world.scan().await.expect_ids(&["a", "b", "c", "d"]);
    assert_eq!(world.counts().requests, 5);
}

/// A scan that asks for nothing ahead of time, so that every request is one that was needed.
fn without_look_ahead() -> Setup {
    let mut setup = Setup::default();
    setup.from.look_ahead_max_bytes = 0;
    setup
}

#[tokio::test]
async fn ten_pages_without_a_new_record_are_stuck() {
    let mut requests = 0;
    let world = without_look_ahead()
        .serve(move |asked| {
            requests += 1;
            if asked.body["filters"]["created"].is_null() || requests == 1 {
                more(&[record("a", 1)], &json!({ "n": requests }))
            } else {
                last(&[record("b", asked.bounds().0 + 2)])
            }
        })
        .await;
    world.scan().await.expect_ids(&["a", "b", "b"]);
    // The page with the record, ten that repeat it, and two halves.
    assert_eq!((world.counts().requests, world.counts().halvings), (13, 1));
}

#[tokio::test]
async fn ten_empty_pages_are_stuck_too() {
    let mut requests = 0;
    let world = without_look_ahead()
        .serve(move |asked| {
            requests += 1;
            if requests <= 10 {
                more(&[], &json!({ "n": requests }))
            } else {
                last(&[record("a", asked.bounds().0)])
            }
        })
        .await;
    world.scan().await.expect_ids(&["a", "a"]);
    assert_eq!(world.counts().requests, 12);
}

#[tokio::test]
async fn records_that_come_again_with_the_halves_are_no_standstill() {
    // One record a second and a page; what follows the last page is lost once, so that the halves
    // repeat many more than ten pages.
    let mut lost = 0;
    let world = without_look_ahead()
        .serve(move |asked| {
            let filters = &asked.body["filters"];
            let (at, from, until) = if let Some(at) = filters["at"].as_i64() {
                let bound = |name| filters[name].as_i64().unwrap();
                (at, bound("from"), bound("until"))
            } else {
                let (from, until) = asked.bounds();
                (from / 1000, from, until)
            };
            let records = [record(&format!("{at}"), at * 1000)];
            if at * 1000 + 999 < until {
                more(
                    &records,
                    &json!({"at": at + 1, "from": from, "until": until}),
                )
            } else if lost == 2 {
                last(&records)
            } else {
                lost += 1;
                Reply::page(&json!({"data": records, "hasNext": true}))
            }
        })
        .await;
    let story = world.scan().await;
    assert!(story.error.is_none(), "{:?}", story.error);
    assert_eq!(story.ids.len(), 60);
    assert_eq!((world.counts().halvings, world.counts().requests), (1, 121));
}

#[tokio::test]
async fn a_millisecond_that_cannot_be_paged_is_a_hole() {
    let at_ms = 12_345;
    let world = Setup::default()
        .serve(move |asked| {
            let (from, until) = asked.bounds();
            if (from..=until).contains(&at_ms) {
                Reply::page(&json!({"data": [], "hasNext": true}))
            } else {
                last(&[record("a", from)])
            }
        })
        .await;
    let story = world.scan().await;
    assert!(story.error.is_none(), "{:?}", story.error);
    let [hole] = story.holes.as_slice() else {
        panic!("{:?}", story.holes)
    };
    assert_eq!((hole.from_ms, hole.until_ms), (at_ms, at_ms + 1));
    assert!(
        hole.reason
            .contains("does not get past 2026-11-19T10:00:12.345Z"),
        "{}",
        hole.reason
    );
    // A minute is halved some sixteen times; the half that is stuck is asked for twice each time.
    assert!(world.counts().requests < 60);
}

#[tokio::test]
async fn what_has_failed_is_never_taken_for_done() {
    let world = Setup::default().serve(|_| Reply::status(404)).await;
    let mut scan = world.begin();
    for _ in 0..3 {
        assert!(scan.next_page().await.is_err());
    }
}

#[tokio::test]
async fn an_empty_answer_is_asked_once_more_from_a_millisecond_earlier() {
    let replies = [
        more(&[], &json!({"n": 1})),
        last(&[]),
        last(&[record("neighbour", -1), record("a", 0)]),
    ];
    let world = Setup::default().script(replies).await;
    let story = world.scan().await;
    story.expect_ids(&["a"]);
    assert_eq!(story.neighbours, ["neighbour"]);
    let asked = world.server.asked();
    assert_eq!(asked[0].bounds(), (0, 59_999));
    assert_eq!(asked[2].bounds(), (-1, 59_999));
    assert_eq!(world.counts().probes, 1);

    let world = Setup::default().script([last(&[]), last(&[])]).await;
    world.scan().await.expect_ids(&[]);
    assert_eq!(world.counts().requests, 2);
}

#[tokio::test]
async fn a_probe_that_is_stuck_halves_what_it_probed() {
    let replies = [
        last(&[]),
        Reply::page(&json!({"data": [], "hasNext": true})),
        Reply::page(&json!({"data": [], "hasNext": true})),
        last(&[record("a", 1)]),
        last(&[]),
        last(&[record("a", 1)]),
    ];
    let world = Setup::default().script(replies).await;
    let story = world.scan().await;
    // The record comes with the older half, and with the probe of the newer one.
    story.expect_ids(&["a"]);
    let bounds = [
        (0, 59_999),
        (-1, 59_999),
        (-1, 59_999),
        (0, 29_999),
        (30_000, 59_999),
        (29_999, 59_999),
    ];
    assert_eq!(world.bounds(), bounds);
}

#[tokio::test]
async fn nothing_is_asked_for_before_the_epoch() {
    let world = Setup::default().script([last(&[])]).await;
    let slice: Slice = "19700101T0000Z-19700101T0001Z".parse().unwrap();
    let mut scan = SliceScan::new(world.client, slice, newest(), world.options);
    assert!(scan.next_page().await.unwrap().is_some());
    assert!(scan.next_page().await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_probe_finds_of_the_neighbour_is_no_stray() {
    let replies = [last(&[]), last(&[record("old", -1)])];
    let world = Setup::default().script(replies).await;
    let story = world.scan().await;
    story.expect_ids(&[]);
    assert_eq!(story.neighbours, ["old"]);
}

#[tokio::test]
async fn a_record_without_a_usable_clock_belongs_to_the_slice() {
    let world = Setup::default()
        .script([last(&[json!({"_id": "a"})])])
        .await;
    world.scan().await.expect_ids(&["a"]);
}

#[tokio::test]
async fn a_total_that_differs_is_counted() {
    let page = |total: Value| {
        Reply::page(&json!({"data": [record("a", 1)], "hasNext": false, "total": total}))
    };
    for (total, differs) in [
        (json!(1), 0),
        (json!(2), 1),
        (json!("many"), 1),
        (json!(-1), 1),
        (json!(1.5), 1),
        (json!(1e300), 1),
        (Value::Null, 0),
    ] {
        let world = Setup::default().script([page(total)]).await;
        world.scan().await.expect_ids(&["a"]);
        assert_eq!(world.counts().total_differs, differs);
    }
}

/// Three pages.
async fn three_pages(setup: Setup) -> World {
    let replies = [
        more(&[record("a", 1)], &json!({"n": 1})),
        more(&[record("b", 2)], &json!({"n": 2})),
        last(&[record("c", 3)]),
    ];
    setup.script(replies).await
}

#[tokio::test]
async fn the_next_page_is_fetched_while_one_is_decoded() {
    let world = three_pages(Setup::default()).await;
    let mut scan = world.begin();
    scan.next_page().await.unwrap();
    // Nobody asks for the second page, and yet its request arrives.
    while world.server.asked().len() < 2 {
        tokio::task::yield_now().await;
    }

    let world = three_pages(without_look_ahead()).await;
    let mut scan = world.begin();
    scan.next_page().await.unwrap();
    // Time enough for a request of somebody else.
    world.begin().next_page().await.unwrap();
    assert_eq!(world.server.asked().len(), 2);
}

#[tokio::test]
async fn a_caller_who_stops_waiting_loses_nothing() {
    for setup in [Setup::default(), without_look_ahead()] {
        // A request that nobody waits for may arrive all the same.
        let world = setup
            .serve(|asked| match &asked.body["filters"]["n"] {
                Value::Null => more(&[record("a", 1)], &json!({"n": 1})),
                _ => last(&[record("b", 2)]),
            })
            .await;
        let mut scan = world.begin();
        assert!(scan.next_page().now_or_never().is_none());
        assert!(scan.next_page().await.unwrap().is_some());
        assert!(scan.next_page().now_or_never().is_none());
        let page = scan.next_page().await.unwrap().unwrap();
        assert!(page.text.contains(r#""b""#));
        assert!(scan.next_page().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn the_services_clock_is_told_of_the_earliest_and_of_the_last_answer() {
    let later = "Thu, 19 Nov 2026 12:00:07 GMT";
    let replies = [
        more(&[record("a", 1)], &json!({"n": 1})),
        more(&[record("b", 2)], &json!({"n": 2}))
            .without_date()
            .header("Date", later),
        last(&[record("c", 3)]).without_date(),
    ];
    let world = Setup::default().script(replies).await;
    let mut scan = world.begin();
    let noon_ms = FROM_MS + 2 * 3_600_000;
    for date_ms in [Some(noon_ms), Some(noon_ms + 7_000), None] {
        scan.next_page().await.unwrap();
        assert_eq!(scan.dates().last_ms, date_ms);
        assert_eq!(scan.dates().earliest_ms, Some(noon_ms));
    }
}

#[tokio::test]
async fn members_of_an_answer_that_nobody_has_described_are_counted_by_name() {
    let replies = [
        Reply::page(&json!({
            "data": [record("a", 1)], "hasNext": true, "nextQueryFilters": {"n": 1}, "partial": true,
        })),
        Reply::page(
            &json!({"partial": false, "data": [record("b", 2)], "hasNext": false, "eta": 1}),
        ),
    ];
    let world = Setup::default().script(replies).await;
    world.scan().await.expect_ids(&["a", "b"]);
    let members: Vec<_> = world.counts().unknown_members.into_iter().collect();
    assert_eq!(members, [("eta".to_owned(), 1), ("partial".to_owned(), 2)]);
}

#[tokio::test]
async fn a_member_whose_name_repeats_the_token_is_counted_without_it() {
    let name = format!("{}Token {TOKEN}", "x".repeat(50));
    let answer = json!({"data": [record("a", 1)], "hasNext": false, name.as_str(): 1});
    let world = Setup::default().script([Reply::page(&answer)]).await;
    world.scan().await.expect_ids(&["a"]);
    let members: Vec<_> = world.counts().unknown_members.into_keys().collect();
    assert_eq!(members, [format!("{}Token [secret]", "x".repeat(50))]);
}
