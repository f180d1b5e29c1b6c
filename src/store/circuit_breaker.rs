//! How a store has answered lately: when a run gives it up, and what had to be sent again.
//!
//! An operation that fails knows nothing of the one before. Here a store that gives no good answer for
//! [`GIVE_UP_AFTER`] is given up for all operations at once, so that a run ends within a minute.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::error_document::GaveUp;

/// No request is sent to a store that has given no good answer for this long. The last one that
/// was sent may take as long as an answer may take more.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// Failures that lie this far back say nothing about the store of now. Longer than the longest
/// pause between two tries.
const FORGET_AFTER: Duration = Duration::from_secs(15);

/// One request that gets no good answer for this long is given up, however well the store answers
/// others.
const GIVE_UP_ONE_AFTER: Duration = Duration::from_secs(60);

/// What this one request did that long ago says nothing about it. Longer than an answer is waited for and the
/// pause before it together, so that others, which are asked meanwhile, do not make it forgotten.
const FORGET_ONE_AFTER: Duration = Duration::from_secs(40);

/// A look in vain says for so long that the next would be.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How the store has answered lately, and how often it did not.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker {
    trouble: Mutex<Option<Trouble>>,
    /// Requests that fail while others may be answered, and kinds of them of which none is answered: where
    /// nothing can be put, another key is not tried for as long as the first.
    failing: Mutex<BTreeMap<String, Failing>>,
    /// When the store was looked for in vain.
    looked: Mutex<Option<Instant>>,
    retries: Mutex<BTreeMap<String, u64>>,
    metadata_failures: AtomicU64,
}

/// Whether a request is sent.
#[derive(Debug)]
pub(super) enum Admission {
    /// It is.
    Granted,
    /// It is if the store gives a sign of life; else this is said.
    Doubtful(GaveUp),
    /// It is not.
    Refused(GaveUp),
}

/// One request that fails again and again.
#[derive(Debug)]
struct Failing {
    since: Instant,
    last: Instant,
    /// What the last failure was.
    what: String,
}

/// A row of failures without a good answer between them.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    last: Instant,
    /// What the last failure was.
    what: String,
    /// The one request that all of them answered, if they were answers to only one: a store may
    /// always fail at it (Ceph does where an aborted upload is completed) and be well otherwise.
    only: Option<String>,
}

impl CircuitBreaker {
    /// Whether a request makes sense at `now`.
    pub(super) fn admit(&self, request: &str, now: Instant) -> Admission {
        if let Some(given_up) = self.fails_alone(request, now) {
            return Admission::Refused(given_up);
        }
        let looked = *self.looked.lock();
        let mut trouble = self.trouble.lock();
        let Some(Trouble {
            since,
            last,
            what,
            only,
        }) = &*trouble
        else {
            return Admission::Granted;
        };
        let silent = now.saturating_duration_since(*since);
        if now.saturating_duration_since(*last) > FORGET_AFTER {
            *trouble = None;
            return Admission::Granted;
        }
        let is_concerned = only.as_ref().is_none_or(|only| only == request);
        if silent > GIVE_UP_AFTER && is_concerned {
            let last = what.clone();
            let given_up = GaveUp { silent, last };
            // A store that answers badly is there; one that was looked for just now is not.
            let is_known = only.is_some()
                || looked
                    .is_some_and(|looked| now.saturating_duration_since(looked) < LOOK_AGAIN_AFTER);
            return if is_known {
                Admission::Refused(given_up)
            } else {
                Admission::Doubtful(given_up)
            };
        }
        Admission::Granted
    }

    /// Why this one request is given up.
    fn fails_alone(&self, request: &str, now: Instant) -> Option<GaveUp> {
        let mut failing = self.failing.lock();
        failing
            .retain(|_, failing| now.saturating_duration_since(failing.last) <= FORGET_ONE_AFTER);
        [request, kind(request)].into_iter().find_map(|of| {
            let failing = failing.get(of)?;
            let silent = now.saturating_duration_since(failing.since);
            (silent > GIVE_UP_ONE_AFTER).then(|| GaveUp {
                silent,
                last: failing.what.clone(),
            })
        })
    }

    /// A request failed, and not for a slow link: it is sent again within [`GIVE_UP_ONE_AFTER`].
    pub(super) fn fails(&self, request: &str, began: Instant, now: Instant, what: &str) {
        let mut failing = self.failing.lock();
        for of in [request, kind(request)] {
            let since = failing.get(of).map_or(began, |failing| failing.since);
            let (last, what) = (now, what.to_owned());
            failing.insert(of.to_owned(), Failing { since, last, what });
        }
    }

    /// The store was looked for, and gave no sign of life.
    pub(super) fn looked_in_vain(&self, now: Instant) {
        *self.looked.lock() = Some(now);
    }

    /// A request that began at `began` got no good answer by `now`, or, where `answered` names it,
    /// a bad one; true for the first of a row.
    pub(super) fn failed(
        &self,
        answered: Option<&str>,
        began: Instant,
        now: Instant,
        what: String,
    ) -> bool {
        let mut trouble = self.trouble.lock();
        let before = trouble.take();
        let is_first = before.is_none();
        let (since, only) = match before {
            None => (began, answered.map(str::to_owned)),
            Some(Trouble { since, only, .. }) => {
                (since, only.filter(|only| Some(only.as_str()) == answered))
            }
        };
        *trouble = Some(Trouble {
            since,
            last: now,
            what,
            only,
        });
        is_first
    }

    /// The store gave a sign of life.
    pub(super) fn lives(&self) {
        *self.trouble.lock() = None;
    }

    /// A request got a good answer.
    pub(super) fn answered(&self, request: &str) {
        self.lives();
        let mut failing = self.failing.lock();
        failing.remove(request);
        failing.remove(kind(request));
    }

    /// A request failed, for this cause, so that it is sent again.
    pub(super) fn sent_again(&self, cause: String) {
        let mut retries = self.retries.lock();
        *retries.entry(cause).or_default() += 1;
    }

    /// What was sent again, by cause.
    pub(super) fn retries(&self) -> BTreeMap<String, u64> {
        let retries = self.retries.lock();
        retries.clone()
    }

    /// A cloud's metadata service failed; returns how often it has.
    pub(super) fn metadata_failed(&self) -> u64 {
        self.metadata_failures.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// The method of a request.
fn kind(request: &str) -> &str {
    request
        .split_once(' ')
        .map_or(request, |(method, _)| method)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_store_that_fails_all_the_time_is_given_up() {
        let (circuit_breaker, start) = (CircuitBreaker::default(), Instant::now());
        assert!(circuit_breaker.failed(None, start, start + s(10), String::new()));
        assert!(matches!(
            circuit_breaker.admit("GET /a", start + s(11)),
            Admission::Granted
        ));
        assert!(!circuit_breaker.failed(None, start + s(11), start + s(29), String::new()));
        assert!(matches!(
            circuit_breaker.admit("GET /a", start + s(30)),
            Admission::Granted
        ));
        assert!(!matches!(
            circuit_breaker.admit("GET /a", start + s(31)),
            Admission::Granted
        ));
    }

    #[test]
    fn one_good_answer_makes_up_for_all_failures() {
        let (circuit_breaker, start) = (CircuitBreaker::default(), Instant::now());
        circuit_breaker.failed(None, start, start + s(29), String::new());
        circuit_breaker.answered("GET /a");
        assert!(matches!(
            circuit_breaker.admit("GET /a", start + s(31)),
            Admission::Granted
        ));
        assert!(circuit_breaker.failed(None, start + s(31), start + s(32), String::new()));
        assert!(matches!(
            circuit_breaker.admit("GET /a", start + s(33)),
            Admission::Granted
        ));
    }

    #[test]
    fn failures_of_long_ago_say_nothing() {
        let (circuit_breaker, start) = (CircuitBreaker::default(), Instant::now());
        circuit_breaker.failed(None, start, start + s(1), String::new());
        assert!(matches!(
            circuit_breaker.admit("GET /a", start + s(40)),
            Admission::Granted
        ));
        circuit_breaker.failed(None, start + s(40), start + s(41), String::new());
        assert!(matches!(
            circuit_breaker.admit("GET /a", start + s(42)),
            Admission::Granted
        ));
    }

    #[test]
    fn a_store_that_always_fails_at_one_request_is_asked_others() {
        let (circuit_breaker, start) = (CircuitBreaker::default(), Instant::now());
        circuit_breaker.failed(Some("POST /a"), start, start + s(29), String::new());
        circuit_breaker.failed(Some("POST /a"), start, start + s(31), String::new());
        assert!(!matches!(
            circuit_breaker.admit("POST /a", start + s(32)),
            Admission::Granted
        ));
        assert!(matches!(
            circuit_breaker.admit("HEAD /a", start + s(32)),
            Admission::Granted
        ));
        circuit_breaker.failed(Some("HEAD /a"), start + s(32), start + s(33), String::new());
        assert!(!matches!(
            circuit_breaker.admit("GET /a", start + s(34)),
            Admission::Granted
        ));
    }

    #[test]
    fn one_request_that_always_fails_is_given_up_while_others_are_answered() {
        let (circuit_breaker, start) = (CircuitBreaker::default(), Instant::now());
        // It is never answered at all; others are asked and answered all the time.
        for at in (0..=48).step_by(24) {
            assert!(matches!(
                circuit_breaker.admit("GET /a", start + s(at)),
                Admission::Granted
            ));
            for second in 0..20 {
                let _ = circuit_breaker.admit("GET /b", start + s(at + second));
                circuit_breaker.answered("GET /b");
            }
            circuit_breaker.fails("GET /a", start + s(at), start + s(at + 20), "");
        }
        assert!(matches!(
            circuit_breaker.admit("GET /a", start + s(72)),
            Admission::Refused(_)
        ));
        assert!(matches!(
            circuit_breaker.admit("GET /b", start + s(72)),
            Admission::Granted
        ));
        // Asked for later, it is asked for anew.
        assert!(matches!(
            circuit_breaker.admit("GET /a", start + s(120)),
            Admission::Granted
        ));
    }

    #[test]
    fn where_nothing_can_be_put_another_key_is_not_tried_as_long() {
        let (circuit_breaker, start) = (CircuitBreaker::default(), Instant::now());
        for at in (0..=48).step_by(24) {
            circuit_breaker.answered("GET /b");
            circuit_breaker.fails("PUT /a", start + s(at), start + s(at + 20), "");
        }
        let admitted = |request: &str| {
            let admission = circuit_breaker.admit(request, start + s(72));
            matches!(admission, Admission::Granted)
        };
        assert!(!admitted("PUT /a") && !admitted("PUT /c") && admitted("GET /c"));
        circuit_breaker.answered("PUT /d");
        assert!(!admitted("PUT /a") && admitted("PUT /c"));
    }

    #[test]
    fn a_good_answer_ends_the_failures_of_its_request() {
        let (circuit_breaker, start) = (CircuitBreaker::default(), Instant::now());
        circuit_breaker.fails("GET /a", start, start + s(55), "");
        circuit_breaker.answered("GET /a");
        circuit_breaker.fails("GET /a", start + s(56), start + s(61), "");
        assert!(matches!(
            circuit_breaker.admit("GET /a", start + s(62)),
            Admission::Granted
        ));
    }
}
