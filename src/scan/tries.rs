//! What to do after each try of a request: a decision that needs no world.
//!
//! [`Tries`] remembers what the tries of one request came to, and says what is next. The client
//! sends, waits and counts as it is told.

use std::collections::HashSet;
use std::time::Duration;

use super::answer::Answer;
use super::error::{RequestError, ScanError};

/// The page limit that every tenant takes (page "Investigate activities using the API").
pub(super) const SAFE_LIMIT: u32 = 500;
/// So many 5xx and time-outs on a first page are taken as a limit that the tenant does not take.
const TRIES_BEFORE_SAFE_LIMIT: u32 = 2;

/// How long one request is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Tries in all.
    pub(super) max_tries: u32,
    /// Answers that are bad about this very page.
    pub(super) max_bad: u32,
    /// Whether a page that is broken at the same place twice is given up.
    pub(super) ends_on_the_same: bool,
}

/// How one try ended, if not with a page.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may succeed the next time; with a pause for everybody if the service asked for one.
    Passing(RequestError, Option<Duration>),
    /// It began as a page and cannot be read from this byte on.
    Broken {
        error: RequestError,
        at: usize,
        body: Vec<u8>,
    },
    /// The page is too large: for this client or, with 413, for somebody on the way. No other try
    /// makes it smaller.
    TooLarge { error: ScanError, body: Vec<u8> },
    /// Its bytes are no UTF-8; what it is with U+FFFD in their place.
    InvalidUtf8(Box<Result<Answer, Failure>>),
    /// The service does not know the credentials.
    Unauthorized(ScanError),
    /// The service finds fault with the request.
    BadRequest(ScanError),
    /// Nothing will change it.
    Final(ScanError),
}

/// What is next.
#[derive(Debug)]
pub(super) enum Step {
    /// This is the page.
    Take(Answer),
    /// The same once more, at once: the limit has changed.
    Again,
    /// The same once more after a wait.
    Wait(Wait),
    /// The same once more with fresh credentials; where there are none, this error.
    Renew(ScanError),
    /// The request has failed for good.
    End(End),
}

/// Why a request came to nothing.
#[derive(Debug)]
pub(super) enum End {
    /// No other try would change it.
    Refused(ScanError),
    /// No more tries are left.
    GivenUp(RequestError),
    /// This page cannot be had, though the service may be well: what was wrong the last time, and what
    /// came of the page the last time that anything did.
    Unreadable { last: RequestError, body: Vec<u8> },
    /// This page cannot be had, since it is too large.
    TooLarge { error: ScanError, body: Vec<u8> },
}

/// Why a page is asked for again, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wait {
    /// The word under which it is counted.
    pub(super) cause: &'static str,
    /// How long everybody waits; none, the usual delay.
    pub(super) pause: Option<Duration>,
}

/// What is met with patience once in a request.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Once {
    Unauthorized,
    InvalidUtf8,
    NoContinuation,
}

/// The limit that a request is tried with.
#[derive(Debug)]
enum Limit {
    /// The one that was asked for, and no other.
    Fixed,
    /// The one that was asked for; it may be what is wrong.
    InQuestion,
    /// The one that every tenant takes; with what was said to the larger one, if that was final.
    Safe(Option<ScanError>),
}

/// The tries of one request so far.
#[derive(Debug)]
pub(super) struct Tries {
    patience: Patience,
    limit: Limit,
    so_far: u32,
    bad: u32,
    met: HashSet<Once>,
    broken_at: Option<usize>,
    body: Vec<u8>,
}

impl Tries {
    /// None so far. `may_lower` says that the limit may be what is wrong.
    pub(super) fn new(patience: Patience, may_lower: bool) -> Self {
        Self {
            patience,
            limit: if may_lower {
                Limit::InQuestion
            } else {
                Limit::Fixed
            },
            so_far: 0,
            bad: 0,
            met: HashSet::new(),
            broken_at: None,
            body: Vec::new(),
        }
    }

    /// How many there were.
    pub(super) fn count(&self) -> u32 {
        self.so_far
    }

    /// Whether the limit is now the one that every tenant takes.
    pub(super) fn is_lowered(&self) -> bool {
        matches!(self.limit, Limit::Safe(_))
    }

    /// The limit of the next try, where this one was asked for.
    pub(super) fn limit(&self, asked: u32) -> u32 {
        if self.is_lowered() {
            SAFE_LIMIT.min(asked)
        } else {
            asked
        }
    }

    /// Takes note of how a try ended, and says what is next.
    pub(super) fn next(&mut self, outcome: Result<Answer, Failure>) -> Step {
        self.so_far += 1;
        self.judge(outcome)
    }

    fn judge(&mut self, outcome: Result<Answer, Failure>) -> Step {
        match outcome {
            Ok(answer) => self.take(answer),
            Err(Failure::Passing(error, pause)) => {
                self.bad += u32::from(error.is_about_the_page());
                self.lower_after_errors(&error);
                self.again(error, pause)
            }
            Err(Failure::Broken { error, at, body }) => {
                self.bad += 1;
                self.body = body;
                let is_the_same = self.broken_at.replace(at) == Some(at);
                if is_the_same && self.patience.ends_on_the_same {
                    return self.unreadable(error);
                }
                self.again(error, None)
            }
            Err(Failure::TooLarge { error, body }) => self.end(End::TooLarge { error, body }),
            Err(Failure::InvalidUtf8(replaced)) => {
                if self.met.insert(Once::InvalidUtf8) {
                    return self.again(RequestError::malformed("its bytes are not UTF-8"), None);
                }
                self.judge(replaced.map(|mut answer| {
                    answer.envelope.distrust_continuation();
                    answer
                }))
            }
            Err(Failure::Unauthorized(error)) => {
                if self.met.insert(Once::Unauthorized) {
                    return Step::Renew(error);
                }
                Step::End(End::Refused(error))
            }
            Err(Failure::BadRequest(error)) if matches!(self.limit, Limit::InQuestion) => {
                self.limit = Limit::Safe(Some(error));
                Step::Again
            }
            Err(Failure::BadRequest(error) | Failure::Final(error)) => {
                self.end(End::Refused(error))
            }
        }
    }

    /// Takes a page, unless it says that more is to come and not from where: that is asked once more
    /// before the range counts as stuck.
    fn take(&mut self, answer: Answer) -> Step {
        let is_open = answer.envelope.has_next && answer.envelope.next.is_none();
        let may_ask = self.so_far < self.patience.max_tries;
        if !is_open || !may_ask || !self.met.insert(Once::NoContinuation) {
            return Step::Take(answer);
        }
        Step::Wait(Wait {
            cause: "no_continuation",
            pause: None,
        })
    }

    fn lower_after_errors(&mut self, error: &RequestError) {
        let enough = TRIES_BEFORE_SAFE_LIMIT.min(self.patience.max_tries.div_ceil(2));
        let is_in_question = matches!(self.limit, Limit::InQuestion);
        if is_in_question && error.is_about_the_page() && self.bad >= enough {
            self.limit = Limit::Safe(None);
        }
    }

    fn again(&mut self, error: RequestError, pause: Option<Duration>) -> Step {
        let is_bad = error.is_about_the_page();
        let is_over = self.so_far >= self.patience.max_tries;
        if is_bad && (is_over || self.bad >= self.patience.max_bad) {
            return self.unreadable(error);
        }
        if is_over {
            return self.end(End::GivenUp(error));
        }
        Step::Wait(Wait {
            cause: error.cause(),
            pause,
        })
    }

    fn unreadable(&mut self, last: RequestError) -> Step {
        let body = std::mem::take(&mut self.body);
        self.end(End::Unreadable { last, body })
    }

    /// What the service said to the larger limit, if that was final, is what counts: the smaller one
    /// was no better.
    fn end(&mut self, end: End) -> Step {
        let refused = match &mut self.limit {
            Limit::Safe(refused) => refused.take(),
            Limit::Fixed | Limit::InQuestion => None,
        };
        Step::End(refused.map_or(end, End::Refused))
    }
}
