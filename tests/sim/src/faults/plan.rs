//! Which faults of a plan touch an answer, and how much of each is left.

use super::{Asked, At, Fault, What};

/// The faults of a server.
#[derive(Debug, Default)]
pub(crate) struct FaultPlan {
    faults: Vec<Fault>,
}

/// What a fault's position is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment<'a> {
    pub(crate) request: u64,
    /// Absent for requests that are no list request.
    pub(crate) asked: Option<&'a Asked>,
}

/// A fault that touches this answer; [`FaultPlan::use_up`] says that it did.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    place: usize,
    pub(crate) at: At,
    pub(crate) what: What,
}

impl FaultPlan {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        Self { faults }
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// The faults that are due. Those at a record are due on every page; the page decides.
    pub(crate) fn due(&self, moment: Moment<'_>) -> Vec<Due> {
        self.faults
            .iter()
            .enumerate()
            .filter(|(_, fault)| fault.times > 0 && moment.meets(&fault.at))
            .map(|(place, fault)| Due {
                place,
                at: fault.at.clone(),
                what: fault.what.clone(),
            })
            .collect()
    }

    /// How often faults have yet to happen, those that happen always left out.
    pub(crate) fn left(&self) -> u64 {
        self.faults
            .iter()
            .filter(|fault| fault.times != u32::MAX)
            .map(|fault| u64::from(fault.times))
            .sum()
    }

    pub(crate) fn use_up(&mut self, due: &Due) {
        let times = &mut self.faults[due.place].times;
        if *times != u32::MAX {
            *times = times.saturating_sub(1);
        }
    }
}

impl Due {
    /// Whether only the page's records decide if it is here.
    pub(crate) fn is_at_record(&self) -> bool {
        matches!(self.at, At::Record(_) | At::RecordId(_))
    }
}

impl Moment<'_> {
    fn meets(self, at: &At) -> bool {
        match (at, self.asked) {
            (At::Request(request), _) => *request == self.request,
            (At::Every, _) => true,
            (_, None) => false,
            (At::Page(page), Some(asked)) => *page == asked.page,
            (At::PagesFrom(page), Some(asked)) => *page <= asked.page,
            (At::FirstPages, Some(asked)) => asked.first,
            (At::Asked(predicate), Some(asked)) => predicate(asked),
            (At::Record(_) | At::RecordId(_), Some(_)) => true,
        }
    }
}
