//! When a run stops asking: a service that is down is not asked slice by slice.

use crate::error::JobError;

/// So many slices in a row that the service failed, and the run asks whether it is well.
const TELLING_SLICES: u32 = 3;

/// The slices in a row that the service has failed.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    in_a_row: u32,
}

impl Outage {
    /// Takes note of how a slice ended. True where the service has to show that it is well, before
    /// more is asked of it.
    pub(crate) fn is_suspected(&mut self, error: Option<&JobError>) -> bool {
        let is_of_service =
            matches!(error, Some(JobError::Scan(error)) if error.may_be_of_every_request());
        self.in_a_row = if is_of_service { self.in_a_row + 1 } else { 0 };
        if self.in_a_row < TELLING_SLICES {
            return false;
        }
        self.in_a_row = 0;
        true
    }
}
