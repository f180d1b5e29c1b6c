//! What a new lake asks before it is made: one record of its first slice.
//!
//! The answer proves host, credentials, filters and clock, so that a typo in any of them makes no
//! lake.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::clocks::BothClocks;
use crate::error::JobError;
use crate::plan::Plan;
use crate::scan::{ActivityClient, Asked, ScanCounters, ScanError};
use crate::setup::{JobOptions, Setup};
use crate::window::{Slice, SliceLength, TimeWindow};
use crate::world::World;

/// What of the world the first request needs: there may be no lake yet.
pub struct Asking<'a> {
    /// Time.
    pub clock: &'a dyn Clock,
    /// The service.
    pub client: &'a ActivityClient,
    /// What the client counts.
    pub counters: &'a ScanCounters,
    /// Becomes true when the run is to stop.
    pub interrupted: watch::Receiver<bool>,
}

/// The service has answered, and the clocks agree: the lake may be made.
#[derive(Debug, Clone)]
pub struct FirstAnswer {
    /// What is to be said of the clocks.
    pub note: Option<String>,
}

impl<'a> Asking<'a> {
    pub(crate) fn in_world(world: &'a World) -> Self {
        Self {
            clock: world.clock.as_ref(),
            client: &world.client,
            counters: &world.counters,
            interrupted: world.interrupted.clone(),
        }
    }

    /// Asks for one record of the first slice of a plan, or of the last closed minute: where nothing
    /// is closed, and where that slice itself may be what cannot be had.
    pub(crate) async fn ask(
        mut self,
        options: &JobOptions,
        setup: &Setup,
        plan: &Plan,
    ) -> Result<FirstAnswer, JobError> {
        let last_minute = last_minute_before(self.clock.now_ms().saturating_sub(setup.settle_ms));
        let slice = plan.slices.first().copied().unwrap_or(last_minute);
        let scan_options = Arc::new(setup.scan_options(options));
        let client = self.client;
        let ask = async {
            match client.ask(slice, &scan_options).await {
                Err(error) if slice != last_minute && error.may_be_the_range() => {
                    let asked = client.ask(last_minute, &scan_options).await;
                    // If that cannot be had either, the first is what is said.
                    asked.map_err(|_| error)
                }
                asked => asked,
            }
        };
        let asked = tokio::select! {
            biased;
            _ = self.interrupted.wait_for(|interrupted| *interrupted) => Err(JobError::Interrupted),
            asked = ask => asked.map_err(refused),
        };
        let Asked { date_ms, .. } = asked?;
        let clocks = BothClocks {
            local_ms: self.clock.now_ms(),
            service_ms: date_ms.ok_or(JobError::NoDate { slice })?,
        };
        Ok(FirstAnswer {
            note: clocks.check_for_new_lake()?,
        })
    }
}

fn refused(error: ScanError) -> JobError {
    if error.is_bad_request() {
        JobError::FirstRefused(error)
    } else {
        error.into()
    }
}

/// The last whole minute before a time; the first of all where the clock is wrong.
fn last_minute_before(time_ms: i64) -> Slice {
    let minute = SliceLength::try_new(Duration::from_secs(60)).expect("a minute is whole minutes");
    let until_ms = minute.floor(time_ms).max(minute.as_ms());
    let window = TimeWindow {
        from_ms: until_ms - minute.as_ms(),
        until_ms,
    };
    minute.slices(window).next().expect("the window is a slice")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_minute_is_always_closed() {
        for (time_ms, name) in [
            (1_795_082_459_999, "20261119T0959Z-20261119T1000Z"),
            (-900_000, "19700101T0000Z-19700101T0001Z"),
        ] {
            assert_eq!(last_minute_before(time_ms).to_string(), name);
        }
    }
}
