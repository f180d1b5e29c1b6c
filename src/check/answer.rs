//! The answers, for people and as JSON.

use std::fmt::Write;

use serde::Serialize;

use crate::error::{ErrorKind, JobError};
use crate::text::plain::{PlainText, chain};
use crate::text::report::Report;

/// How an answer is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// A scan runs; this is worth knowing, or could not be found out.
    Warn,
    /// A scan does not run, or not as it should.
    Fail,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Answer {
    /// The question, in a word or two.
    pub question: &'static str,
    /// Whether all is well, something is odd, or a scan would fail.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    #[serde(skip)]
    kind: Option<ErrorKind>,
}

impl Answer {
    fn new(question: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            question,
            verdict,
            found: found.into(),
            advice: None,
            kind: None,
        }
    }

    pub(super) fn ok(question: &'static str, found: impl Into<String>) -> Self {
        Self::new(question, Verdict::Ok, found)
    }

    pub(super) fn warn(question: &'static str, found: impl Into<String>) -> Self {
        Self::new(question, Verdict::Warn, found)
    }

    /// What would end a scan.
    pub(super) fn fail(question: &'static str, error: &JobError) -> Self {
        Self {
            advice: error.advice().map(str::to_owned),
            kind: Some(error.kind()),
            ..Self::new(question, Verdict::Fail, chain(error))
        }
    }

    /// What would end a scan, or spoil it, in other words.
    pub(super) fn fail_as(
        question: &'static str,
        kind: ErrorKind,
        found: impl Into<String>,
    ) -> Self {
        Self {
            kind: Some(kind),
            ..Self::new(question, Verdict::Fail, found)
        }
    }

    pub(super) fn is_ok(&self) -> bool {
        self.verdict == Verdict::Ok
    }

    pub(super) fn is_fail(&self) -> bool {
        self.verdict == Verdict::Fail
    }

    pub(super) fn advise(self, advice: impl Into<String>) -> Self {
        Self {
            advice: Some(advice.into()),
            ..self
        }
    }
}

/// All answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Check {
    /// The version of this object.
    version: u32,
    /// The service's host.
    pub api_host: String,
    /// The lake's location.
    pub lake: String,
    /// The worst of the answers.
    pub verdict: Verdict,
    /// The exit code, which is the one that a scan would end with.
    pub exit_code: u8,
    /// Requests sent to the service.
    pub requests: u64,
    /// The answers, in the order of the questions.
    pub answers: Vec<Answer>,
}

impl Check {
    pub(super) fn new(api_host: String, lake: String, requests: u64, answers: Vec<Answer>) -> Self {
        let kinds = answers.iter().filter_map(|answer| answer.kind);
        let worst = answers.iter().map(|answer| answer.verdict).max();
        Self {
            version: 1,
            api_host,
            lake,
            verdict: worst.unwrap_or(Verdict::Ok),
            exit_code: ErrorKind::worst(kinds).map_or(0, ErrorKind::exit_code),
            requests,
            answers,
        }
    }
}

impl Report for Check {
    fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// One line for each question, and one for each remedy.
    fn write(&self, o: &mut PlainText) -> std::fmt::Result {
        for answer in &self.answers {
            let verdict = answer.verdict.as_str();
            writeln!(o, "{verdict:<5} {:<16} {}", answer.question, answer.found)?;
            if let Some(advice) = &answer.advice {
                writeln!(o, "{:<22} {advice}", "")?;
            }
        }
        let Self {
            verdict,
            exit_code,
            requests,
            ..
        } = self;
        let verdict = verdict.as_str();
        writeln!(o, "{verdict} (exit code {exit_code}, {requests} requests)")
    }
}
