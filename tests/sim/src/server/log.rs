//! What the server was asked and what it answered, for tests to look at.

use serde_json::Value;

/// One request.
#[derive(Clone, Debug)]
pub struct RequestLog {
    /// The server's time of arrival.
    pub at_ms: i64,
    pub method: String,
    pub path: String,
    /// The body as JSON (or the query as an object); null where there is none.
    pub body: Value,
    /// The status answered with; 0 where the connection ended instead.
    pub status: u16,
    /// Its number as in [`At::Page`](crate::At::Page), where it was a list request that was admitted.
    pub page: Option<u64>,
    /// Whether it began a scan.
    pub first: bool,
    /// How many elements `data` had.
    pub records: usize,
    /// `_id` of each element that had one.
    pub ids: Vec<String>,
    /// `hasNext` of the answer.
    pub has_next: Option<bool>,
    /// The body, with [`SimOptions::keep_answers`](crate::SimOptions::keep_answers).
    pub answer: Option<Vec<u8>>,
}

impl RequestLog {
    /// Whether a page of records was answered.
    pub fn is_page(&self) -> bool {
        self.status == 200 && self.has_next.is_some()
    }
}
