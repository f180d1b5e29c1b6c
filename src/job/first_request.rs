//! What a new lake asks before it is made: one record of its first slice.
//!
//! The answer proves host, credentials, filters and clock, so that a typo in any of them makes no
//! lake.

use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::{BothClocks, Clock};
use crate::error::JobError;
use crate::job::plan::Plan;
use crate::job::setup::{JobOptions, Setup};
use crate::scan::{ActivityClient, Asked, ScanCounters, ScanError};
use crate::window::Slice;

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

impl Asking<'_> {
    /// Asks for one record of the first slice of a plan, or of the last closed minute: where nothing
    /// is closed, and where that slice itself may be what cannot be had. Returns what is to be said of the clocks: the
    /// lake may be made.
    pub(crate) async fn ask(
        mut self,
        options: &JobOptions,
        setup: &Setup,
        plan: &Plan,
    ) -> Result<Option<String>, JobError> {
        let closed_ms = self.clock.now_ms().saturating_sub(setup.settle_ms);
        let last_minute = Slice::minutes_before(closed_ms, 1);
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
        clocks.check_for_new_lake()
    }
}

fn refused(error: ScanError) -> JobError {
    if error.is_bad_request() {
        JobError::FirstRefused(error)
    } else {
        error.into()
    }
}
