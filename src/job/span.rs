//! How many neighbouring slices are asked for in one range: the rule by which a span grows.

/// The longest span, in milliseconds: four days.
const LONGEST_MS: i64 = 4 * 24 * 60 * 60_000;

/// How many pages the next span is to fill, in thousandths. A span may have two, and nobody knows how
/// busy the next hours are.
const AIM: u64 = 1_400;

/// How many pages a range filled, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fill(u64);

impl Fill {
    /// How full so many records are of pages that take `cap`.
    pub(crate) fn of(records: u64, cap: u64) -> Self {
        Self(records.saturating_mul(1_000) / cap.max(1))
    }
}

/// The length of the next span, in slices.
///
/// It is what would have filled not quite one and a half pages of the last one, at most twice and at least
/// half as long. A span costs a probe too, so that one which fills half a page, or a bit more than one,
/// would cost more requests than its records are worth. A span that was given up halves the bound too, which
/// comes back with the slices that are read well: a service that cannot answer long ranges is not asked for
/// them all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanLength {
    slices: usize,
    most: usize,
    longest: usize,
    /// Slices that were read since the bound was last moved.
    since: usize,
}

impl SpanLength {
    /// Begins at one slice, for slices of this length in milliseconds.
    pub(crate) fn new(slice_ms: i64) -> Self {
        let longest = usize::try_from(LONGEST_MS / slice_ms).unwrap_or(1).max(1);
        Self {
            slices: 1,
            most: longest,
            longest,
            since: 0,
        }
    }

    /// How many slices the next span has at most.
    pub(crate) fn slices(self) -> usize {
        self.slices
    }

    /// Takes note of so many slices that were read in one range.
    pub(crate) fn read(&mut self, slices: usize, fill: Fill) {
        self.since += slices;
        if self.since >= self.longest {
            self.since = 0;
            self.most = (self.most * 2).min(self.longest);
        }
        let fitting = (slices as u64).saturating_mul(AIM) / fill.0.max(1);
        let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
        // Spans of different lengths are on their way at once: the shortest that was too long counts, and
        // one that is cut off by its neighbours is no reason for shorter ones.
        if fitting > slices {
            self.slices = fitting.min(slices * 2).max(self.slices).min(self.most);
        } else {
            self.slices = fitting.max(slices / 2).clamp(1, self.slices);
        }
    }

    /// Takes note of a span of so many slices that had too many records to be one.
    pub(crate) fn overflowed(&mut self, slices: usize) {
        self.halve(slices);
    }

    /// Takes note of a span of so many slices that was given up for another reason.
    pub(crate) fn given_up(&mut self, slices: usize) {
        self.halve(slices);
        self.most = (slices / 2).clamp(1, self.most);
        self.slices = self.slices.min(self.most);
        self.since = 0;
    }

    fn halve(&mut self, slices: usize) {
        self.slices = (slices / 2).clamp(1, self.slices);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR_MS: i64 = 60 * 60_000;

    #[test]
    fn quiet_time_is_asked_for_in_spans_of_four_days() {
        let mut length = SpanLength::new(HOUR_MS);
        let mut lengths = Vec::new();
        for _ in 0..9 {
            lengths.push(length.slices());
            length.read(length.slices(), Fill::of(0, 500));
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 64, 96, 96]);
        assert_eq!(SpanLength::new(96 * HOUR_MS + 1).longest, 1);
        assert_eq!(SpanLength::new(60_000).longest, 4 * 24 * 60);
    }

    #[test]
    fn a_slice_of_which_two_are_more_than_one_and_a_half_pages_is_asked_for_alone() {
        let mut length = SpanLength::new(HOUR_MS);
        for records in [3_505, 5_000, 200_000] {
            length.read(1, Fill::of(records, 5_000));
            assert_eq!(length.slices(), 1, "{records}");
        }
        length.read(1, Fill::of(3_500, 5_000));
        assert_eq!(length.slices(), 2);
    }

    #[test]
    fn what_a_service_cannot_answer_is_not_asked_for_all_the_time() {
        let mut length = SpanLength::new(HOUR_MS);
        let (mut given_up, mut read) = (0, 0);
        while read < 180 * 24 {
            let slices = length.slices();
            if slices > 12 {
                length.given_up(slices);
                given_up += 1;
                for _ in 0..slices {
                    length.read(1, Fill(0));
                }
            } else {
                length.read(slices, Fill(0));
            }
            read += slices;
        }
        assert!(given_up <= 180 * 24 / 96 + 1, "{given_up}");
    }

    /// Requests for so many hours of a tenant with so many records an hour.
    fn requests(hours: usize, an_hour: u64, cap: u64) -> (u64, u64) {
        let mut length = SpanLength::new(HOUR_MS);
        let (mut at, mut requests) = (0, 0);
        while at < hours {
            let slices = length.slices().min(hours - at);
            let records = slices as u64 * an_hour;
            let pages = records.div_ceil(cap).max(1);
            if slices > 1 && pages > 2 {
                requests += 2;
                length.overflowed(slices);
                continue;
            }
            requests += pages;
            length.read(slices, Fill::of(records, cap));
            at += slices;
        }
        (requests, hours as u64 * an_hour)
    }

    proptest! {
        #[test]
        fn a_span_has_one_to_ninety_six_hours_and_doubles_and_halves(
            steps in prop::collection::vec((0_u64..7_000, 1_usize..97, 0..4_u8), 0..300),
        ) {
            let mut length = SpanLength::new(HOUR_MS);
            for (records, cut, kind) in steps {
                let before = length.slices();
                // The plan may have fewer neighbours than asked for.
                let slices = before.min(cut);
                let fill = Fill::of(records, 5_000);
                match kind {
                    0 => length.overflowed(slices),
                    1 => length.given_up(slices),
                    _ => length.read(slices, fill),
                }
                let after = length.slices();
                prop_assert!((1..=96).contains(&after));
                let law = match kind {
                    0 | 1 => after <= before && after == (slices / 2).max(1),
                    _ if after > before => fill < Fill(AIM) && after <= slices * 2,
                    _ => after == before || after >= (slices / 2).max(1),
                };
                prop_assert!(law, "{before} slices, {slices} read with {records} records, now {after}");
            }
        }

        #[test]
        fn a_thin_tenant_costs_at_most_two_and_a_half_times_its_pages(
            an_hour in 1_u64..3_000, cap in prop::sample::select(vec![500_u64, 1_000, 5_000]),
        ) {
            let hours = 180 * 24;
            let (requests, records) = requests(hours, an_hour, cap);
            // Spans end at four days: what they cost then is less than a request a day.
            let floor = (hours / 24) as u64;
            let bound = ((5 * records).div_ceil(2 * cap) + 20).max(floor);
            prop_assert!(requests <= bound, "{requests} requests for {records} records, bound {bound}");
        }
    }
}
