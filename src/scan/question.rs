//! What a request asks for, in the words of logs and errors.

use std::fmt;

use crate::window::Slice;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// A page of a slice.
    OfSlice {
        /// The slice.
        slice: Slice,
        /// The page, from 0.
        page: u32,
    },
    /// A page of a span.
    OfSpan {
        /// The span.
        span: Slice,
        /// The page, from 0.
        page: u32,
    },
    /// The first records of a range, of which nothing is kept.
    FirstRecords(Slice),
    /// The control request: whether the service is well.
    Control,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfSlice { slice, page } => write!(f, "page {page} of slice {slice}"),
            Self::OfSpan { span, page } => write!(f, "page {page} of span {span}"),
            Self::FirstRecords(range) => write!(f, "the first records of {range}"),
            Self::Control => f.write_str("an answer to the control request"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_named_by_what_it_asks_for() {
        let slice: Slice = "20261119T1000Z-20261119T1100Z".parse().unwrap();
        for (question, name) in [
            (
                Question::OfSlice { slice, page: 3 },
                "page 3 of slice 20261119T1000Z-20261119T1100Z",
            ),
            (
                Question::OfSpan {
                    span: slice,
                    page: 0,
                },
                "page 0 of span 20261119T1000Z-20261119T1100Z",
            ),
            (
                Question::FirstRecords(slice),
                "the first records of 20261119T1000Z-20261119T1100Z",
            ),
            (Question::Control, "an answer to the control request"),
        ] {
            assert_eq!(question.to_string(), name);
        }
    }
}
