//! What is asked for.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use crate::window::TimeWindow;

/// The clock of a lake: which of a record's times decides the slice that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockField {
    /// When the service saved the record.
    Created,
    /// When the activity happened.
    Date,
}

impl ClockField {
    /// The name of the filter and of the sort field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Date => "date",
        }
    }

    /// The key under which a record carries it.
    pub fn record_key(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Date => "timestamp",
        }
    }
}

impl fmt::Display for ClockField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ClockField {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "created" => Ok(Self::Created),
            "date" => Ok(Self::Date),
            _ => Err("one of created, date".to_owned()),
        }
    }
}

/// How slices are scanned.
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// The lake's clock.
    pub clock: ClockField,
    /// What narrows the records, beside the clock.
    pub filters: Map<String, Value>,
    /// Answers above this many bytes are not fetched ahead of time.
    pub look_ahead_max_bytes: u64,
    /// A slice with more new records than this is given up.
    pub max_records: u64,
}

impl ScanOptions {
    /// The filters that ask for a range: inclusive bounds on the clock, and the user's own.
    pub(super) fn filters(&self, range: TimeWindow) -> String {
        let mut filters = self.filters.clone();
        let bounds = json!({"gte": range.from_ms, "lte": range.until_ms - 1});
        filters.insert(self.clock.as_str().to_owned(), bounds);
        Value::Object(filters).to_string()
    }

    /// The body of a request for these filters, which are JSON.
    pub(super) fn body(&self, filters: &str, limit: u32) -> String {
        let clock = self.clock;
        format!(
            r#"{{"filters":{filters},"isScan":true,"sortField":"{clock}","sortDirection":"asc","limit":{limit}}}"#
        )
    }
}
