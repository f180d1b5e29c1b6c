//! What failed in a run, by cause: a service that is down for months fails ten thousand slices for one
//! reason, which is worth one line.

use std::ops::Deref;

use serde::Serialize;

use crate::error::{ErrorKind, JobError};
use crate::text::plain::chain;
use crate::window::Slice;

/// Causes that are told apart; what comes beyond them is one more line for each kind.
const MAX_CAUSES: usize = 20;
/// Failures of one cause that are logged as they come.
const LOGGED: u64 = 3;

/// Slices that failed for one cause, or a reason for which the whole run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Failure {
    /// The kind, which decides the exit code.
    #[cfg_attr(test, schemars(extend("enum" = ErrorKind::WORDS)))]
    pub kind: &'static str,
    /// What happened to the first of them, with its causes.
    pub error: String,
    /// What to do about it, where something is known to help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
    /// How many slices.
    pub count: u64,
    /// The oldest of them; none where it is the run that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_slice: Option<String>,
    /// The newest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_slice: Option<String>,
    #[serde(skip)]
    exit: ErrorKind,
    #[serde(skip)]
    cause: String,
}

impl Failure {
    fn is_like(&self, other: &Self) -> bool {
        let is_of_slices = self.first_slice.is_some() == other.first_slice.is_some();
        is_of_slices && self.exit == other.exit && self.cause == other.cause
    }

    /// Takes in another one of the same cause. The oldest slice's error is shown.
    fn take_in(&mut self, other: Self) {
        self.count += other.count;
        if other.first_slice < self.first_slice {
            self.error = other.error;
            self.first_slice = other.first_slice;
        }
        self.last_slice = other.last_slice.max(self.last_slice.take());
    }
}

/// The failures of a run, at most one line for each cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Failures(Vec<Failure>);

impl Deref for Failures {
    type Target = [Failure];

    fn deref(&self) -> &[Failure] {
        &self.0
    }
}

impl Failures {
    /// Takes note of a failure, of a slice or of the run. Returns whether it is worth a line in the
    /// log: one of the first of its cause.
    pub fn add(&mut self, slice: Option<&Slice>, error: &JobError) -> bool {
        let (exit, text) = (error.kind(), chain(error));
        let slice = slice.map(ToString::to_string);
        let mut failure = Failure {
            kind: exit.as_str(),
            cause: cause(&text),
            error: text,
            advice: error.advice(),
            count: 1,
            first_slice: slice.clone(),
            last_slice: slice,
            exit,
        };
        let is_known = self.0.iter().any(|known| known.is_like(&failure));
        if !is_known && self.0.len() >= MAX_CAUSES {
            "failures of other causes, which the log names".clone_into(&mut failure.error);
            failure.cause = String::new();
        }
        if let Some(known) = self.0.iter_mut().find(|known| known.is_like(&failure)) {
            known.take_in(failure);
            known.count <= LOGGED
        } else {
            self.0.push(failure);
            true
        }
    }

    /// The failure that decides the exit code.
    pub fn worst(&self) -> Option<ErrorKind> {
        ErrorKind::worst(self.0.iter().map(|failure| failure.exit))
    }

    /// Puts the failures of the run first, then those of slices, oldest first.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| a.first_slice.cmp(&b.first_slice));
    }
}

/// What a failure has in common with others of its cause: its text without what differs from slice to
/// slice, such as names, times and counts. The status of an answer stays.
fn cause(error: &str) -> String {
    let mut cause = String::new();
    for word in error.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let is_status = cause.ends_with("HTTP ");
        if is_status || !word.bytes().any(|b| b.is_ascii_digit()) {
            cause.push_str(word);
        } else if !cause.ends_with('#') {
            cause.push('#');
        }
    }
    cause
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::UsageError;
    use crate::window::{SliceLength, TimeWindow};

    fn slices(count: usize) -> Vec<Slice> {
        let hour = SliceLength::try_new(std::time::Duration::from_secs(3_600)).unwrap();
        let window = TimeWindow {
            from_ms: 1_790_000_000_000,
            until_ms: i64::MAX / 1_000_000,
        };
        hour.slices(window).take(count).collect()
    }

    #[test]
    fn ten_thousand_failures_of_one_cause_are_one_line() {
        let mut failures = Failures::default();
        let slices = slices(10_000);
        let mut logged = 0;
        for (n, slice) in slices.iter().enumerate().rev() {
            let error = JobError::from(UsageError::new(format!(
                "get page 0 of slice {slice}: gave up after 8 attempts in {n} s: HTTP 503: id 7f{n:x}"
            )));
            logged += u64::from(failures.add(Some(slice), &error));
        }
        assert_eq!((failures.len(), logged), (1, LOGGED));
        assert_eq!(failures[0].count, 10_000);
        assert_eq!(failures[0].first_slice, Some(slices[0].to_string()));
        assert_eq!(failures[0].last_slice, Some(slices[9_999].to_string()));
        assert!(failures[0].error.contains(&slices[0].to_string()));
    }

    #[test]
    fn other_answers_other_kinds_and_the_run_itself_are_told_apart() {
        let mut failures = Failures::default();
        let slice = slices(1)[0];
        let usage = |text: &str| JobError::from(UsageError::new(text));
        failures.add(Some(&slice), &usage("get a page: HTTP 503"));
        failures.add(Some(&slice), &usage("get a page: HTTP 504"));
        failures.add(None, &usage("get a page: HTTP 503"));
        failures.add(None, &JobError::Interrupted);
        failures.sort();
        assert_eq!(failures.len(), 4);
        assert!(failures[0].first_slice.is_none() && failures[3].first_slice.is_some());
        assert_eq!(failures.worst(), Some(ErrorKind::Interrupted));
    }

    #[test]
    fn causes_are_capped_and_none_is_uncounted() {
        let mut failures = Failures::default();
        for (n, slice) in slices(500).iter().enumerate() {
            let word = "x".repeat(n + 1);
            failures.add(Some(slice), &UsageError::new(word).into());
        }
        assert_eq!(failures.len(), MAX_CAUSES + 1);
        let all: u64 = failures.iter().map(|failure| failure.count).sum();
        assert_eq!(all, 500);
    }
}
