//! A law: whatever the ties and the page length, every record of the slice is handed out, but those of
//! milliseconds that really cannot be paged, which are named.
//!
//! The server pages as clients have inferred it: the end of a page is dropped down to the last
//! change of the clock, and the continuation moves the lower bound there.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::server::{Asked, Reply};
use super::{FROM_MS, Setup, last, more, record};

/// Pages through records that were saved at these milliseconds of the slice.
fn page_through(times: &[i64], page_length: usize, asked: &Asked) -> Reply {
    let (from, until) = asked.bounds();
    let found: Vec<(i64, Value)> = times
        .iter()
        .enumerate()
        .filter(|(_, at)| (from..=until).contains(*at))
        .map(|(index, at)| (*at, record(&format!("r{index}"), *at)))
        .collect();
    let Some((edge, _)) = found.get(page_length) else {
        let records: Vec<Value> = found.into_iter().map(|(_, record)| record).collect();
        return last(&records);
    };
    let whole = found.iter().take_while(|(at, _)| at < edge);
    let records: Vec<Value> = whole.map(|(_, record)| record.clone()).collect();
    more(
        &records,
        &json!({"created": {"gte": FROM_MS + edge, "lte": FROM_MS + until}}),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_record_comes_or_its_millisecond_is_named(
        mut times in prop::collection::vec(prop_oneof![-1..12_i64, 0..60_000_i64], 0..24),
        page_length in 1..8_usize,
    ) {
        times.sort_unstable();
        let mut ties = BTreeMap::<i64, usize>::new();
        for at in &times {
            *ties.entry(*at).or_default() += 1;
        }
        let inside: Vec<String> = (0..times.len())
            .filter(|index| times[*index] >= 0)
            .map(|index| format!("r{index}"))
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let served = times.clone();
        let mut story = runtime.block_on(async {
            let world = Setup::default()
                .serve(move |asked| page_through(&served, page_length, asked))
                .await;
            world.scan().await
        });
        let is_dense = |at: i64| ties.get(&at).is_some_and(|ties| *ties > page_length);
        if let Some(error) = story.error {
            // Nothing but what cannot be paged: no answer ever held anything.
            prop_assert!(times.iter().all(|at| is_dense(*at)), "{} {:?}", error, ties);
            return Ok(());
        }
        // Only what really cannot be paged is missing, each millisecond of it by name.
        let holes: Vec<i64> = story.holes.iter().map(|hole| hole.from_ms).collect();
        for at in &holes {
            prop_assert!(is_dense(*at), "{} {:?}", at, ties);
        }
        let mut expected: Vec<String> = inside
            .into_iter()
            .filter(|id| !holes.contains(&times[id[1..].parse::<usize>().unwrap()]))
            .collect();
        expected.sort();
        story.ids.sort();
        prop_assert_eq!(story.ids, expected);
    }
}
