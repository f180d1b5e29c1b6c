//! A list request: the body keys of the public list and scan pages, from JSON or from a query string.

use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::clock::ClockField;

/// What a client asks for, before its filters are looked into.
#[derive(Clone, Debug)]
pub(crate) struct ListRequest {
    pub(crate) filters: Map<String, Value>,
    pub(crate) is_scan: bool,
    pub(crate) limit: Option<u64>,
    pub(crate) skip: u64,
    pub(crate) sort_field: ClockField,
    pub(crate) descending: bool,
    /// The whole body, for the log.
    pub(crate) body: Value,
}

impl ListRequest {
    /// From a JSON body; an empty one asks for everything.
    pub(crate) fn from_json(body: &[u8]) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Self::from_value(Value::Object(Map::new()));
        }
        let value = serde_json::from_slice(body)
            .map_err(|error| Refusal::bad_request(format!("JSON parse error - {error}")))?;
        Self::from_value(value)
    }

    /// From a query string, where `filters` is JSON text (seen in clients).
    pub(crate) fn from_query(query: &str) -> Result<Self, Refusal> {
        let mut body = Map::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let text = percent_decode(value);
            // `limit=5`, `isScan=true` and `filters={…}` are JSON, `sortField=date` is not.
            let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            body.insert(percent_decode(key), value);
        }
        Self::from_value(Value::Object(body))
    }

    fn from_value(body: Value) -> Result<Self, Refusal> {
        let Value::Object(members) = &body else {
            return Err(Refusal::bad_request("the body must be an object"));
        };
        let filters = match members.get("filters") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(filters)) => filters.clone(),
            Some(_) => return Err(Refusal::bad_request("filters must be an object")),
        };
        let sort_field = match members.get("sortField").map(Value::as_str) {
            None | Some(Some("date")) => ClockField::Date,
            Some(Some("created")) => ClockField::Created,
            Some(_) => return Err(Refusal::bad_request("sortField must be date or created")),
        };
        // The default is not documented; every answer seen without it has the newest first.
        let descending = match members.get("sortDirection").map(Value::as_str) {
            None | Some(Some("desc")) => true,
            Some(Some("asc")) => false,
            Some(_) => return Err(Refusal::bad_request("sortDirection must be asc or desc")),
        };
        let is_scan = match members.get("isScan") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(is_scan)) => *is_scan,
            Some(_) => return Err(Refusal::bad_request("isScan must be a boolean")),
        };
        let limit = count(members, "limit")?;
        if limit == Some(0) {
            return Err(Refusal::bad_request("limit must be positive"));
        }
        Ok(Self {
            filters,
            is_scan,
            limit,
            skip: count(members, "skip")?.unwrap_or(0),
            sort_field,
            descending,
            body,
        })
    }
}

/// A count of 32 signed bits, as the documentation types integers.
fn count(members: &Map<String, Value>, key: &str) -> Result<Option<u64>, Refusal> {
    match members.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .filter(|count| *count <= u64::from(i32::MAX.unsigned_abs()))
            .map(Some)
            .ok_or_else(|| Refusal::bad_request(format!("{key} must be a 32-bit integer"))),
    }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escaped = tail
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, escaped) {
            (_, Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', None) => bytes.push(b' '),
            (other, None) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_string_means_the_same_as_a_body() {
        let query = ListRequest::from_query(
            "isScan=true&limit=7&sortField=created&sortDirection=asc&filters=%7B%22created%22%3A%7B%22gte%22%3A5%7D%7D",
        )
        .unwrap();
        let body = ListRequest::from_json(
            br#"{"isScan":true,"limit":7,"sortField":"created","sortDirection":"asc","filters":{"created":{"gte":5}}}"#,
        )
        .unwrap();
        assert_eq!(query.body, body.body);
        assert!(query.is_scan && !query.descending);
        assert_eq!(query.limit, Some(7));
    }

    #[test]
    fn the_newest_come_first_unless_asked_otherwise() {
        let request = ListRequest::from_json(b"").unwrap();
        assert!(request.descending && !request.is_scan);
        assert_eq!(request.sort_field, ClockField::Date);
    }
}
