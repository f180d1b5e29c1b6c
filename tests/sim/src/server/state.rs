//! What a server shares between its connections.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use super::log::RequestLog;
use super::options::{Accepted, SimOptions};
use crate::authority::Authority;
use crate::clock::ClockField;
use crate::faults::{FaultPlan, Row};
use crate::protocol::continuation::Continuations;
use crate::protocol::throttle::Throttle;
use crate::tenant::Tenant;

/// A server without its sockets.
pub(crate) struct State {
    pub(crate) options: SimOptions,
    pub(crate) tenant: Tenant,
    changing: Mutex<Changing>,
}

/// What requests change.
pub(crate) struct Changing {
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) throttle: Option<Throttle>,
    pub(crate) plan: FaultPlan,
    pub(crate) continuations: Continuations,
    /// Number of each distinct question.
    pub(crate) pages: HashMap<String, u64>,
    /// Requests that were admitted.
    pub(crate) admitted: u64,
    /// The last record of the last page of each scan (sort clock and far bound), for repeats across pages.
    pub(crate) last_rows: HashMap<(ClockField, i64), Row>,
    pub(crate) log: Vec<RequestLog>,
    pub(crate) authority: Option<Authority>,
}

impl State {
    pub(crate) fn new(tenant: Tenant, mut options: SimOptions) -> Self {
        let changing = Changing {
            accepted: std::mem::take(&mut options.accepted),
            throttle: options.requests_per_minute.map(Throttle::new),
            plan: FaultPlan::new(std::mem::take(&mut options.faults)),
            continuations: Continuations::default(),
            pages: HashMap::new(),
            admitted: 0,
            last_rows: HashMap::new(),
            log: Vec::new(),
            authority: options.authority.take().map(Authority::new),
        };
        Self {
            options,
            tenant,
            changing: Mutex::new(changing),
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        (self.options.now)()
    }

    pub(crate) fn changing(&self) -> MutexGuard<'_, Changing> {
        // A predicate of a test may panic while it is held; the next request should still work.
        self.changing
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Changing {
    /// The number of this question: a new one, or the one it had before.
    pub(crate) fn page_number(&mut self, question: String) -> u64 {
        let next = self.pages.len() as u64;
        *self.pages.entry(question).or_insert(next)
    }
}
