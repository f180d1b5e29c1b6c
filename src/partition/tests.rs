use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;

const DAY_US: i64 = 86_400_000_000;

fn batch(times: impl Into<TimestampMicrosecondArray>) -> RecordBatch {
    let times: TimestampMicrosecondArray = times.into();
    let rows = i64::try_from(times.len()).unwrap();
    RecordBatch::try_from_iter_with_nullable([
        (
            "timestamp",
            Arc::new(times.with_timezone("UTC")) as ArrayRef,
            true,
        ),
        (
            "row",
            Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef,
            false,
        ),
    ])
    .unwrap()
}

fn rows(part: &Rows) -> Vec<i64> {
    let part = part.clone().into_batch().unwrap();
    part.column(1).as_primitive::<Int64Type>().values().to_vec()
}

#[test]
fn a_batch_of_one_day_is_passed_on_as_it_is() {
    let batch = batch(vec![DAY_US, 2 * DAY_US - 1, DAY_US + 5]);
    let parts = split(&batch).unwrap();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].0.to_string(), "event_date=1970-01-02");
    let part = parts[0].1.clone().into_batch().unwrap();
    assert_eq!(part, batch);
    assert!(Arc::ptr_eq(part.column(0), batch.column(0)));
}

#[test]
fn each_row_goes_to_its_own_day() {
    let parts = split(&batch(vec![
        3 * DAY_US,
        5,
        3 * DAY_US - 1,
        3 * DAY_US + 1,
        0,
    ]))
    .unwrap();
    let found: Vec<(String, Vec<i64>)> = parts
        .iter()
        .map(|(key, part)| (key.to_string(), rows(part)))
        .collect();
    assert_eq!(
        found,
        [
            ("event_date=1970-01-01".to_owned(), vec![1, 4]),
            ("event_date=1970-01-03".to_owned(), vec![2]),
            ("event_date=1970-01-04".to_owned(), vec![0, 3]),
        ]
    );
}

#[test]
fn most_rows_lie_where_they_are_and_the_others_are_copied() {
    let batch = batch(vec![5, DAY_US + 1, 3, 2]);
    let parts = split(&batch).unwrap();
    let lie_in_it = |part: &Rows| Arc::ptr_eq(part.batch().column(0), batch.column(0));
    let found: Vec<(bool, Vec<i64>)> = parts
        .iter()
        .map(|(_, part)| (lie_in_it(part), rows(part)))
        .collect();
    assert_eq!(found, [(true, vec![0, 2, 3]), (false, vec![1])]);

    let halves = self::batch(vec![5, DAY_US + 1]);
    let is_kept = |part: &Rows| Arc::ptr_eq(part.batch().column(0), halves.column(0));
    let parts = split(&halves).unwrap();
    assert!(!parts.iter().any(|(_, part)| is_kept(part)));
}

#[test]
fn rows_of_very_many_days_lie_where_they_are() {
    for (days, are_copied) in [(MAX_COPIES, true), (MAX_COPIES + 1, false)] {
        let times = (0..i64::try_from(days).unwrap()).map(|day| day * DAY_US);
        let batch = batch(times.collect::<Vec<i64>>());
        let parts = split(&batch).unwrap();
        assert_eq!(parts.len(), days);
        for (row, (_, part)) in parts.iter().enumerate() {
            let lies_in_it = Arc::ptr_eq(part.batch().column(0), batch.column(0));
            assert_eq!((lies_in_it, rows(part).len()), (!are_copied, 1), "{row}");
        }
    }
}

#[test]
fn rows_are_divided_where_asked() {
    let all = batch(vec![1, 2, 3, 4, 5]);
    for part in [all.clone().into(), Rows::picked(all, vec![0, 2, 3, 4])] {
        let expected = rows(&part);
        for at in 0..=part.len() {
            let (first, others) = part.clone().split_at(at);
            assert_eq!(first.len(), at);
            assert_eq!([rows(&first), rows(&others)].concat(), expected);
        }
    }
}

#[test]
fn a_batch_without_rows_has_no_parts() {
    assert!(split(&batch(Vec::<i64>::new())).unwrap().is_empty());
}

#[test]
fn rows_without_a_day_are_errors() {
    let missing = split(&batch(vec![Some(1), None])).unwrap_err();
    assert!(matches!(missing, PartitionError::Missing { row: 1 }));
    let far = split(&batch(vec![1, i64::MAX])).unwrap_err();
    assert!(matches!(far, PartitionError::OutOfRange { row: 1 }));
    let column = RecordBatch::try_from_iter([(
        "timestamp",
        Arc::new(Int64Array::from(vec![1])) as ArrayRef,
    )])
    .unwrap();
    assert!(matches!(split(&column), Err(PartitionError::Column)));
}

proptest! {
    #[test]
    fn every_row_is_in_exactly_one_part_in_its_order(
        times in prop::collection::vec(0..9 * DAY_US, 0..200),
    ) {
        let parts = split(&batch(times.clone())).unwrap();
        let mut expected: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for (row, time) in (0_i64..).zip(&times) {
            expected.entry(time / DAY_US).or_default().push(row);
        }
        prop_assert!(parts.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let found: Vec<(i64, Vec<i64>)> = parts
            .iter()
            .map(|(key, part)| (key.range_us().start / DAY_US, rows(part)))
            .collect();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}
