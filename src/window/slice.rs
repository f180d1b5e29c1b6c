//! A slice: the piece of time that is scanned and committed as one.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, NaiveDate};

use super::digits::digits;
use super::{MAX_TIME_MS, TimeWindow};

const MINUTE_MS: i64 = 60_000;
const NAME_FORMAT: &str = "%Y%m%dT%H%MZ";

/// A piece of time that is scanned and committed as one: half-open, whole minutes, never empty.
///
/// Its name sorts by time: `20261119T1000Z-20261119T1100Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slice {
    from_ms: i64,
    until_ms: i64,
}

impl Slice {
    /// The first millisecond inside, since the epoch.
    pub fn from_ms(&self) -> i64 {
        self.from_ms
    }

    /// The first millisecond after it, since the epoch.
    pub fn until_ms(&self) -> i64 {
        self.until_ms
    }

    /// The last so many whole minutes before a time in milliseconds since the epoch; the first of all
    /// where there are not as many.
    pub fn minutes_before(time_ms: i64, minutes: i64) -> Self {
        let length_ms = minutes.max(1) * MINUTE_MS;
        let whole_ms = time_ms - time_ms.rem_euclid(MINUTE_MS);
        let until_ms = whole_ms.clamp(length_ms, MAX_TIME_MS);
        Self {
            from_ms: until_ms - length_ms,
            until_ms,
        }
    }

    /// A slice from the first to the last of these.
    pub fn spanning(first: Self, last: Self) -> Self {
        Self {
            from_ms: first.from_ms.min(last.from_ms),
            until_ms: first.until_ms.max(last.until_ms),
        }
    }

    /// Joins the slices of these names where they touch, sorted; other names are passed over.
    pub fn joined<'n>(names: impl IntoIterator<Item = &'n String>) -> Vec<Self> {
        let names = names.into_iter();
        let mut slices: Vec<Self> = names.filter_map(|name| name.parse().ok()).collect();
        slices.sort();
        let mut joined: Vec<Self> = Vec::new();
        for slice in slices {
            match joined.last_mut() {
                Some(last) if last.until_ms >= slice.from_ms => {
                    *last = Self::spanning(*last, slice);
                }
                _ => joined.push(slice),
            }
        }
        joined
    }

    /// Whether all of it lies in a window.
    pub fn lies_in(&self, window: TimeWindow) -> bool {
        window.from_ms <= self.from_ms && self.until_ms <= window.until_ms
    }

    /// The slice as a window.
    pub fn window(&self) -> TimeWindow {
        TimeWindow {
            from_ms: self.from_ms,
            until_ms: self.until_ms,
        }
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let edge = |time_ms| {
            DateTime::from_timestamp_millis(time_ms)
                .expect("slices lie inside the years 1970 to 9999")
        };
        let (from, until) = (edge(self.from_ms), edge(self.until_ms));
        write!(
            f,
            "{}-{}",
            from.format(NAME_FORMAT),
            until.format(NAME_FORMAT)
        )
    }
}

/// A text that does not name a slice.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a slice, such as 20261119T1000Z-20261119T1100Z")]
pub struct SliceNameError(String);

impl FromStr for Slice {
    type Err = SliceNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let slice = name.split_once('-').and_then(|(from, until)| {
            let (from_ms, until_ms) = (edge(from)?, edge(until)?);
            (from_ms < until_ms).then_some(Self { from_ms, until_ms })
        });
        slice.ok_or_else(|| SliceNameError(name.to_owned()))
    }
}

/// Reads one edge of a name. Every digit has its place, so that there is one name a slice; by hand,
/// because a lake of ten years has names by the hundred thousand.
fn edge(text: &str) -> Option<i64> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    if day.len() != 8 || time.len() != 4 {
        return None;
    }
    let (day, time) = (digits(day)?, digits(time)?);
    let day = NaiveDate::from_ymd_opt((day / 10_000).cast_signed(), day / 100 % 100, day % 100)?;
    let time_ms = day
        .and_hms_opt(time / 100, time % 100, 0)?
        .and_utc()
        .timestamp_millis();
    (0..=MAX_TIME_MS).contains(&time_ms).then_some(time_ms)
}

/// The length of every slice of a lake: whole minutes, at least one, at most 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceLength {
    length_ms: i64,
}

/// Why a duration cannot be a slice's length.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{} is not a valid length; use whole minutes, from 1m to 366d", humantime::format_duration(*.0))]
pub struct SliceLengthError(Duration);

impl SliceLength {
    /// Takes a duration of whole minutes.
    pub fn try_new(length: Duration) -> Result<Self, SliceLengthError> {
        const MAX_MS: i64 = 366 * 24 * 60 * MINUTE_MS;
        match i64::try_from(length.as_millis()) {
            Ok(length_ms)
                if (MINUTE_MS..=MAX_MS).contains(&length_ms)
                    && length_ms % MINUTE_MS == 0
                    && length.subsec_nanos() == 0 =>
            {
                Ok(Self { length_ms })
            }
            _ => Err(SliceLengthError(length)),
        }
    }

    /// The length in whole minutes.
    pub fn minutes(&self) -> i64 {
        self.length_ms / MINUTE_MS
    }

    /// The length in milliseconds.
    pub fn as_ms(&self) -> i64 {
        self.length_ms
    }

    /// The start of the slice that holds `time_ms`.
    pub fn floor(&self, time_ms: i64) -> i64 {
        time_ms - time_ms.rem_euclid(self.length_ms)
    }

    /// The first slice edge at or after `time_ms`.
    pub fn ceil(&self, time_ms: i64) -> i64 {
        let floor = self.floor(time_ms);
        if floor == time_ms {
            floor
        } else {
            floor + self.length_ms
        }
    }

    /// Widens a window outward to whole slices.
    pub fn widen(&self, window: TimeWindow) -> TimeWindow {
        TimeWindow {
            from_ms: self.floor(window.from_ms),
            until_ms: self.ceil(window.until_ms),
        }
    }

    /// The slices that tile the widened window, oldest first. Slices that would end after the
    /// year 9999 are left out.
    pub fn slices(&self, window: TimeWindow) -> impl Iterator<Item = Slice> + use<> {
        let length_ms = self.length_ms;
        let wide = self.widen(window);
        let mut from_ms = wide.from_ms;
        std::iter::from_fn(move || {
            let slice = Slice {
                from_ms,
                until_ms: from_ms + length_ms,
            };
            if window.is_empty() || slice.until_ms > wide.until_ms.min(MAX_TIME_MS) {
                return None;
            }
            from_ms = slice.until_ms;
            Some(slice)
        })
    }
}

impl fmt::Display for SliceLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = Duration::from_millis(self.length_ms.unsigned_abs());
        write!(f, "{}", humantime::format_duration(length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minutes(minutes: u64) -> SliceLength {
        SliceLength::try_new(Duration::from_secs(60 * minutes)).unwrap()
    }

    #[test]
    fn names_sort_by_time_and_read_back() {
        let window = TimeWindow {
            from_ms: 1_795_082_400_000,
            until_ms: 1_795_086_000_001,
        };
        let names: Vec<String> = minutes(60)
            .slices(window)
            .map(|slice| slice.to_string())
            .collect();
        assert_eq!(
            names,
            [
                "20261119T1000Z-20261119T1100Z",
                "20261119T1100Z-20261119T1200Z"
            ]
        );
        assert!(names.is_sorted());
    }

    #[test]
    fn a_slice_lies_in_a_window_that_holds_all_of_it() {
        let slice: Slice = "20261119T1000Z-20261119T1100Z".parse().unwrap();
        for (earlier_ms, later_ms, lies_in_it) in
            [(0, 0, true), (1, 1, true), (-1, 0, false), (0, -1, false)]
        {
            let window = TimeWindow {
                from_ms: slice.from_ms() - earlier_ms,
                until_ms: slice.until_ms() + later_ms,
            };
            assert_eq!(slice.lies_in(window), lies_in_it, "{window}");
        }
    }

    #[test]
    fn slices_are_joined_where_they_touch() {
        let name = |from: u32, until: u32| format!("20261119T{from:02}00Z-20261119T{until:02}00Z");
        let names = [
            name(3, 4),
            name(1, 3),
            name(1, 2),
            name(6, 7),
            "c-1".to_owned(),
        ];
        let joined = Slice::joined(&names).into_iter();
        let joined: Vec<String> = joined.map(|slice| slice.to_string()).collect();
        assert_eq!(joined, [name(1, 4), name(6, 7)]);
    }

    #[test]
    fn there_are_always_minutes_before() {
        for (time_ms, minutes, name) in [
            (1_795_082_459_999, 1, "20261119T0959Z-20261119T1000Z"),
            (1_795_082_459_999, 1_440, "20261118T1000Z-20261119T1000Z"),
            (-900_000, 1, "19700101T0000Z-19700101T0001Z"),
        ] {
            assert_eq!(Slice::minutes_before(time_ms, minutes).to_string(), name);
        }
    }

    #[test]
    fn only_whole_minutes_are_a_length() {
        for odd in [
            Duration::ZERO,
            Duration::from_secs(59),
            Duration::from_secs(61),
            Duration::from_millis(60_001),
        ] {
            assert_eq!(SliceLength::try_new(odd), Err(SliceLengthError(odd)));
        }
        assert!(SliceLength::try_new(Duration::from_secs(u64::MAX)).is_err());
    }

    #[test]
    fn other_texts_are_no_slice() {
        for name in [
            "",
            "20261119T1000Z",
            "20261119T1100Z-20261119T1000Z",
            "20261119T1000Z-20261119T1000Z",
            "20261119T1000Z-20261119T11Z",
            "+20261119T1000Z-20261119T1100Z",
            "20261119T1000Z-20261119T1100Z ",
            "c-0123456789abcdef0123456789abcdef",
        ] {
            assert!(name.parse::<Slice>().is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn slices_tile_the_widened_window(from_ms in 0..MAX_TIME_MS / 2, length_ms in 0..40 * 86_400_000_i64, slice in 1..3_000_u64) {
            let window = TimeWindow { from_ms, until_ms: from_ms + length_ms };
            let length = minutes(slice);
            let slices: Vec<Slice> = length.slices(window).take(100_000).collect();
            prop_assert_eq!(slices.is_empty(), window.is_empty());
            for pair in slices.windows(2) {
                prop_assert_eq!(pair[0].until_ms(), pair[1].from_ms());
            }
            if let (Some(first), Some(last)) = (slices.first(), slices.last()) {
                prop_assert!(first.from_ms() <= window.from_ms && window.from_ms < first.until_ms());
                prop_assert!(last.from_ms() < window.until_ms && window.until_ms <= last.until_ms());
                prop_assert_eq!(first.from_ms() % length.as_ms(), 0);
                prop_assert_eq!(first.to_string().parse::<Slice>(), Ok(*first));
            }
        }
    }
}
