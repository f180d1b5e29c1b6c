//! One activity as the tenant keeps it: the numbers that scans go by, and where its text comes from.

use std::sync::Arc;

use serde_json::Value;

use crate::clock::ClockField;
use crate::generator::Kind;

/// An activity of the tenant.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) created_ms: i64,
    pub(crate) timestamp_ms: i64,
    /// Not listed before this moment, even when `created` is earlier.
    pub(crate) visible_from_ms: i64,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Generated { seed: u64, kind: Kind },
    Scripted(Arc<Scripted>),
}

/// A record given by a test, with what filters look at.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) json: String,
    pub(crate) attributes: Attributes,
}

/// What filters look at, apart from the clocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) id: Option<String>,
    pub(crate) app_id: Option<i64>,
    pub(crate) user_name: Option<String>,
    pub(crate) ip: Option<String>,
}

impl Entry {
    pub(crate) fn clock(&self, clock: ClockField) -> i64 {
        match clock {
            ClockField::Created => self.created_ms,
            ClockField::Date => self.timestamp_ms,
        }
    }
}

impl Attributes {
    /// Reads what is there, whatever the types: numbers may come as text.
    pub(crate) fn read(record: &Value) -> Self {
        let text = |pointer: &str| {
            record
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        Self {
            id: text("/_id"),
            app_id: record.get("appId").and_then(lenient_integer),
            user_name: text("/user/userName").or_else(|| text("/failedUserData/userName")),
            ip: text("/device/clientIP"),
        }
    }
}

/// An integer, or its digits as text.
pub(crate) fn lenient_integer(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str()?.trim().parse().ok())
}
