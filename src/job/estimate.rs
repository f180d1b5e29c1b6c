//! What a plan comes to: the time that it covers, the requests that it takes, and how long those do.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::job::span::{Fill, SpanLength};
use crate::job::waiting::Waiting;
use crate::text::units::{counted, number};
use crate::window::Slice;

/// How long the budget keeps a place, in seconds: a minute, and a little.
const MINUTE_S: u64 = 61;
/// An empty range is asked for once more.
const WITH_PROBE: u64 = 2;

/// Slices that follow each other without a gap: the first, the last, and how many.
pub(crate) fn stretches(slices: &[Slice]) -> Vec<(Slice, Slice, usize)> {
    let mut stretches: Vec<(Slice, Slice, usize)> = Vec::new();
    for slice in slices {
        match stretches.last_mut() {
            Some((_, last, count)) if last.until_ms() == slice.from_ms() => {
                *last = *slice;
                *count += 1;
            }
            _ => stretches.push((*slice, *slice, 1)),
        }
    }
    stretches
}

/// How a plan is carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The length of a slice, in milliseconds.
    pub(crate) length_ms: i64,
    /// Slices, or spans, that are on their way at once.
    pub(crate) in_flight: usize,
    /// Requests before the first slice.
    pub(crate) before: u64,
    /// None is no bound.
    pub(crate) per_minute: Option<NonZeroU32>,
    /// When it begins, in milliseconds since the epoch.
    pub(crate) now_ms: i64,
}

/// How many requests the slices of a plan take, without records and with a page each, and how long.
pub(crate) fn estimate(slices: &[Slice], pace: Pace) -> Option<String> {
    let Pace {
        before, per_minute, ..
    } = pace;
    if slices.is_empty() {
        return None;
    }
    let say = |requests: u64| {
        let takes = counted(requests, "request", "requests");
        match per_minute {
            Some(per_minute) => format!("{takes} ({})", takes_at(requests, per_minute)),
            None => takes,
        }
    };
    let (quiet, alone) = (quiet_requests(slices, pace), slices.len() as u64);
    let (quiet, alone) = (before + quiet, before + alone);
    let pages = format!(
        "with a page in each slice {}, and every further page takes one more",
        say(alone)
    );
    Some(if quiet < alone {
        format!("without records this takes about {}, {pages}", say(quiet))
    } else {
        pages
    })
}

/// Requests where there are no records: spans as long as they get.
fn quiet_requests(slices: &[Slice], pace: Pace) -> u64 {
    let mut length = SpanLength::new(pace.length_ms);
    let mut in_flight = VecDeque::new();
    let mut waiting = Waiting::new(slices.iter().copied());
    let mut requests = 0;
    while !waiting.is_empty() {
        // A span is as long as those that have ended let it be.
        if in_flight.len() == pace.in_flight
            && let Some(ended) = in_flight.pop_front()
        {
            length.read(ended, Fill::of(0, 1));
        }
        let span = waiting.next(length.slices(), pace.now_ms);
        in_flight.push_back(span.len());
        requests += WITH_PROBE;
    }
    requests
}

/// How long so many requests take: those of a minute come at once.
fn takes_at(requests: u64, per_minute: NonZeroU32) -> String {
    let per_minute = u64::from(per_minute.get());
    let seconds = requests.saturating_sub(1) / per_minute * MINUTE_S;
    if seconds == 0 {
        return "less than a minute".to_owned();
    }
    let minutes = Duration::from_secs((seconds + 30) / 60 * 60);
    format!(
        "{} at {} a minute",
        humantime::format_duration(minutes),
        number(per_minute)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::{SliceLength, TimeWindow, parse_time};

    const HOUR: Duration = Duration::from_secs(3_600);

    fn hours(from: &str, until: &str) -> Vec<Slice> {
        let window = TimeWindow {
            from_ms: parse_time(from, 0).unwrap(),
            until_ms: parse_time(until, 0).unwrap(),
        };
        SliceLength::try_new(HOUR).unwrap().slices(window).collect()
    }

    fn say(slices: &[Slice], per_minute: u32) -> Option<String> {
        let pace = Pace {
            length_ms: 3_600_000,
            in_flight: 3,
            before: 1,
            per_minute: NonZeroU32::new(per_minute),
            now_ms: parse_time("2026-06-30", 0).unwrap(),
        };
        estimate(slices, pace)
    }

    #[test]
    fn half_a_year_is_said_in_requests_and_hours() {
        let slices = hours("2026-01-01", "2026-06-30");
        let said = say(&slices, 30).unwrap();
        assert_eq!(
            said,
            "without records this takes about 181 requests (6m at 30 a minute), with a page in each slice 4,321 requests (2h 26m at 30 a minute), and every further page takes one more"
        );
        assert!(say(&slices, 0).unwrap().contains("4,321 requests, and"));
    }

    #[test]
    fn a_slice_or_two_take_no_time() {
        let one = say(&hours("2026-01-01", "2026-01-01T01:00:00Z"), 30).unwrap();
        assert_eq!(
            one,
            "with a page in each slice 2 requests (less than a minute), and every further page takes one more"
        );
        assert_eq!(say(&[], 30), None);
    }

    #[test]
    fn stretches_end_at_gaps() {
        let mut slices = hours("2026-01-01", "2026-01-03");
        slices.remove(10);
        let lengths: Vec<usize> = stretches(&slices)
            .into_iter()
            .map(|(.., count)| count)
            .collect();
        assert_eq!(lengths, [10, 37]);
    }
}
