//! An answer as it will go over the wire, before HTTP.

use std::time::Duration;

use serde_json::json;

use crate::faults::Canned;
use crate::protocol::refusal::Refusal;

/// What one request is answered with.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) delivery: Delivery,
    pub(crate) compression: Compression,
    /// Blanks before the last byte of the body.
    pub(crate) blanks: usize,
    /// How far the `Date` header is ahead of the server's time; none, no header.
    pub(crate) date_ahead_ms: Option<i64>,
    /// The `Date` header, in milliseconds since the epoch; set when the answer is complete.
    pub(crate) date_ms: Option<i64>,
}

/// How the body travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Whole,
    Cut { after: usize },
    Slow { piece: usize, pause: Duration },
    Close,
    Reset,
    Stall,
}

/// Whether the body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Where the client accepts it and the server is told to.
    Negotiated,
    Forced,
}

impl Answer {
    pub(crate) fn json(body: Vec<u8>) -> Self {
        Self::new(200, "application/json", body)
    }

    pub(crate) fn refusal(refusal: &Refusal) -> Self {
        let body = json!({ "detail": refusal.detail }).to_string();
        Self::new(refusal.status, "application/json", body.into_bytes())
    }

    pub(crate) fn canned(canned: &Canned) -> Self {
        let mut answer = Self::new(canned.status, &canned.content_type, canned.body.clone());
        answer.headers.clone_from(&canned.headers);
        answer
    }

    pub(crate) fn no_answer(delivery: Delivery) -> Self {
        let mut answer = Self::json(Vec::new());
        answer.delivery = delivery;
        answer
    }

    /// Whether anything comes.
    pub(crate) fn is_sent(&self) -> bool {
        !matches!(
            self.delivery,
            Delivery::Close | Delivery::Reset | Delivery::Stall
        )
    }

    fn new(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self {
            status,
            content_type: content_type.to_owned(),
            headers: Vec::new(),
            body,
            delivery: Delivery::Whole,
            compression: Compression::Negotiated,
            blanks: 0,
            date_ahead_ms: Some(0),
            date_ms: None,
        }
    }
}
