//! The limit of 30 requests a minute and tenant (documented), as a moving window.

use std::collections::VecDeque;

const MINUTE_MS: i64 = 60_000;

/// Counts the requests of the last 60 s.
#[derive(Debug)]
pub(crate) struct Throttle {
    per_minute: usize,
    admitted: VecDeque<i64>,
}

impl Throttle {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self {
            per_minute: usize::try_from(per_minute).expect("32 bits are a usize"),
            admitted: VecDeque::new(),
        }
    }

    /// Admits a request, or says after how many milliseconds one will be. Refused requests do not
    /// count (whether they do is not known).
    pub(crate) fn admit(&mut self, now_ms: i64) -> Result<(), i64> {
        while self
            .admitted
            .front()
            .is_some_and(|at| now_ms - at >= MINUTE_MS)
        {
            self.admitted.pop_front();
        }
        if self.admitted.len() < self.per_minute {
            self.admitted.push_back(now_ms);
            return Ok(());
        }
        let oldest = self.admitted.front().copied().unwrap_or(now_ms);
        Err(oldest + MINUTE_MS - now_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_minute_holds_more_than_the_limit(
            limit in 1_u32..40,
            gaps in prop::collection::vec(0_i64..5_000, 1..300),
        ) {
            let mut throttle = Throttle::new(limit);
            let mut now = 0;
            let mut admitted: Vec<i64> = Vec::new();
            for gap in gaps {
                now += gap;
                let recent = admitted.iter().filter(|at| now - **at < MINUTE_MS).count();
                match throttle.admit(now) {
                    Ok(()) => {
                        prop_assert!(recent < usize::try_from(limit).unwrap());
                        admitted.push(now);
                    }
                    Err(wait) => {
                        prop_assert_eq!(recent, usize::try_from(limit).unwrap());
                        prop_assert!(wait > 0 && throttle.admit(now + wait).is_ok());
                        admitted.push(now + wait);
                        now += wait;
                    }
                }
            }
        }
    }
}
