//! Which time is asked for, and in which pieces it is scanned.
//!
//! A [`TimeWindow`] is half-open, UTC, in milliseconds. [`SliceLength::slices`] cuts it into
//! [`Slice`]s that are aligned to multiples of the slice length since the epoch, so that the
//! slices of one lake never overlap, whichever run scans it. Nothing here reads the clock: "now" is an
//! argument.

mod digits;
mod slice;

pub(crate) use digits::digits;
pub use slice::{Slice, SliceLength, SliceLengthError, SliceNameError};

use std::fmt;

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta};

/// The last millisecond that the archive can hold: 9999-12-31T23:59:59.999Z, the end of the
/// four-digit years that every reader of Parquet agrees on.
pub const MAX_TIME_MS: i64 = 253_402_300_799_999;

/// A half-open span of time, `[from_ms, until_ms)`, in milliseconds since the epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeWindow {
    /// The first millisecond inside.
    pub from_ms: i64,
    /// The first millisecond after it.
    pub until_ms: i64,
}

impl TimeWindow {
    /// Says whether the window holds no time at all.
    pub fn is_empty(&self) -> bool {
        self.from_ms >= self.until_ms
    }

    /// Says whether `time_ms` lies inside.
    pub fn contains(&self, time_ms: i64) -> bool {
        self.from_ms <= time_ms && time_ms < self.until_ms
    }
}

impl fmt::Display for TimeWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} to {}",
            format_time(self.from_ms),
            format_time(self.until_ms)
        )
    }
}

/// Why a text is not a time.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TimeError {
    /// It has none of the three forms.
    #[error(
        "'{text}' is not a valid time; use RFC 3339 (2026-11-19T10:00:00Z), a date (2026-11-19) or a duration before now (24h, 7d)"
    )]
    Syntax {
        /// What was given.
        text: String,
    },
    /// It lies outside the years that the archive can hold.
    #[error("'{text}' is outside the years 1970 to 9999")]
    Range {
        /// What was given.
        text: String,
    },
}

/// Reads a time: RFC 3339, a date (00:00 UTC), or a duration back from `now_ms`. Returns
/// milliseconds since the epoch; parts of a millisecond are cut off.
pub fn parse_time(text: &str, now_ms: i64) -> Result<i64, TimeError> {
    let text = text.trim();
    let time_ms = if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        Some(time.timestamp_millis())
    } else if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        date.and_hms_opt(0, 0, 0)
            .map(|midnight| midnight.and_utc().timestamp_millis())
    } else if let Ok(back) = humantime::parse_duration(text) {
        TimeDelta::from_std(back)
            .ok()
            .and_then(|back| now_ms.checked_sub(back.num_milliseconds()))
    } else {
        return Err(TimeError::Syntax {
            text: text.to_owned(),
        });
    };
    match time_ms {
        Some(time_ms) if (0..=MAX_TIME_MS).contains(&time_ms) => Ok(time_ms),
        _ => Err(TimeError::Range {
            text: text.to_owned(),
        }),
    }
}

/// Writes a time as RFC 3339 in UTC, with milliseconds only where there are some.
pub fn format_time(time_ms: i64) -> String {
    match DateTime::from_timestamp_millis(time_ms) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => format!("{time_ms} ms"),
    }
}

/// Whether a time that should be in milliseconds since the epoch can only be one in seconds: of the years
/// 2001 to 2286, where in milliseconds it would be one of early 1970.
pub fn is_in_seconds(time_ms: i64) -> bool {
    (1_000_000_000..10_000_000_000).contains(&time_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_MS: i64 = 1_795_176_000_000; // 2026-11-20T12:00:00Z

    #[test]
    fn a_time_is_rfc3339_a_date_or_a_duration_back() {
        assert_eq!(parse_time("2026-11-20T12:00:00Z", 0), Ok(NOON_MS));
        assert_eq!(parse_time("2026-11-20T13:00:00+01:00", 0), Ok(NOON_MS));
        assert_eq!(parse_time("2026-11-20T12:00:00.0019Z", 0), Ok(NOON_MS + 1));
        assert_eq!(parse_time("2026-11-20", 0), Ok(NOON_MS - 12 * 3_600_000));
        assert_eq!(parse_time("24h", NOON_MS), Ok(NOON_MS - 86_400_000));
        assert_eq!(parse_time("7d", NOON_MS), Ok(NOON_MS - 7 * 86_400_000));
    }

    #[test]
    fn what_is_not_a_time_is_named() {
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-11-20T25:00:00Z",
            "-5h",
            "1 parsec",
        ] {
            let error = parse_time(text, NOON_MS).unwrap_err();
            assert_eq!(
                error,
                TimeError::Syntax {
                    text: text.to_owned()
                }
            );
        }
        for text in ["1969-12-31", "60000d", "+10000-01-01T00:00:00Z"] {
            assert!(parse_time(text, NOON_MS).is_err(), "{text}");
        }
    }

    #[test]
    fn a_window_holds_its_first_millisecond_and_not_its_end() {
        let [from_ms, until_ms] = [NOON_MS, NOON_MS + 2];
        let window = TimeWindow { from_ms, until_ms };
        let inside = (from_ms - 1..=until_ms).map(|time_ms| window.contains(time_ms));
        assert_eq!(inside.collect::<Vec<_>>(), [false, true, true, false]);
        for (until_ms, is_empty) in [(from_ms - 1, true), (from_ms, true), (from_ms + 1, false)] {
            assert_eq!(TimeWindow { from_ms, until_ms }.is_empty(), is_empty);
        }
        assert_eq!(
            window.to_string(),
            "2026-11-20T12:00:00Z to 2026-11-20T12:00:00.002Z"
        );
    }

    #[test]
    fn times_are_written_as_short_as_exact() {
        assert_eq!(format_time(NOON_MS), "2026-11-20T12:00:00Z");
        assert_eq!(format_time(NOON_MS + 7), "2026-11-20T12:00:00.007Z");
    }
}
