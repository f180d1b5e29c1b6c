//! The key of a part: the UTC day of a row's `timestamp`, and its segment in a path.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate};

use crate::window::digits;

/// Microseconds of a day. UTC as Arrow counts it has no leap seconds.
const DAY_US: i64 = 86_400_000_000;

/// What precedes the day in a path. Engines read it as the column `event_date` of type
/// DATE; it is therefore no column in the file, where the two could disagree.
const PREFIX: &str = "event_date=";

/// The day that the rows of a part share. Sorts by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    day: NaiveDate,
}

/// A path segment that names no partition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a partition, such as event_date=2026-11-19")]
pub struct ParseKeyError(String);

impl PartitionKey {
    /// The key of a row with this `timestamp`, in microseconds since the epoch. `None` where the
    /// year does not have four digits: no path segment for it is understood by every reader.
    pub fn of_timestamp_us(timestamp_us: i64) -> Option<Self> {
        let day = i32::try_from(timestamp_us.div_euclid(DAY_US)).ok()?;
        Self::new(NaiveDate::from_epoch_days(day)?)
    }

    fn new(day: NaiveDate) -> Option<Self> {
        (0..=9999).contains(&day.year()).then_some(Self { day })
    }

    /// The day.
    pub fn date(self) -> NaiveDate {
        self.day
    }

    /// The timestamps that belong to this key, in microseconds since the epoch.
    pub fn range_us(self) -> Range<i64> {
        let start = i64::from(self.day.to_epoch_days()) * DAY_US;
        start..start + DAY_US
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.day.format("%Y-%m-%d"))
    }
}

impl FromStr for PartitionKey {
    type Err = ParseKeyError;

    fn from_str(segment: &str) -> Result<Self, ParseKeyError> {
        segment
            .strip_prefix(PREFIX)
            .and_then(day)
            .and_then(Self::new)
            .ok_or_else(|| ParseKeyError(segment.to_owned()))
    }
}

/// Reads a day. Every digit has its place: two names for one day would be two partitions.
fn day(text: &str) -> Option<NaiveDate> {
    let (year, rest) = text.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    if [year.len(), month.len(), day.len()] != [4, 2, 2] {
        return None;
    }
    NaiveDate::from_ymd_opt(digits(year)?.cast_signed(), digits(month)?, digits(day)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_segment_is_the_utc_day() {
        let key = PartitionKey::of_timestamp_us(1_795_132_799_999_999).unwrap();
        assert_eq!(key.to_string(), "event_date=2026-11-19");
        let next = PartitionKey::of_timestamp_us(1_795_132_800_000_000).unwrap();
        assert_eq!(next.to_string(), "event_date=2026-11-20");
        assert!(key < next);
    }

    #[test]
    fn one_microsecond_before_the_epoch_is_the_day_before() {
        let key = PartitionKey::of_timestamp_us(-1).unwrap();
        assert_eq!(key.to_string(), "event_date=1969-12-31");
    }

    #[test]
    fn a_day_has_exactly_one_name() {
        for segment in [
            "event_date=2026-1-9",
            "event_date=+2026-01-09",
            "event_date=2026-02-30",
            "event_date=2026-11-19/",
            "event_date=",
            "date=2026-11-19",
            "2026-11-19",
        ] {
            assert!(segment.parse::<PartitionKey>().is_err(), "{segment}");
        }
    }

    #[test]
    fn years_without_four_digits_have_no_key() {
        assert_eq!(PartitionKey::of_timestamp_us(i64::MAX), None);
        assert_eq!(PartitionKey::of_timestamp_us(i64::MIN), None);
        assert!(PartitionKey::of_timestamp_us(253_402_300_799_999_999).is_some());
        assert!(PartitionKey::of_timestamp_us(253_402_300_800_000_000).is_none());
    }

    proptest! {
        #[test]
        fn a_key_is_its_path_segment(timestamp_us in 0..253_402_300_800_000_000_i64) {
            let key = PartitionKey::of_timestamp_us(timestamp_us).unwrap();
            prop_assert_eq!(key.to_string().parse::<PartitionKey>(), Ok(key));
            prop_assert!(key.range_us().contains(&timestamp_us));
        }
    }
}
