//! `nextQueryFilters`: issued by the service, opaque to clients, and recognised when it comes back.
//!
//! No public capture exists. The shape here is inferred (the original filters with the bound of the
//! sort clock moved, inclusive) with one more member, a token without meaning, so that a client that
//! builds the next filters itself, or changes them, is found out: a token that was not issued for
//! exactly these filters and this order is refused.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::refusal::Refusal;
use super::request::ListRequest;
use crate::random::{hash_text, mix};

/// The member of the filters that holds the token.
pub(crate) const TOKEN: &str = "_continuation";

/// What `nextQueryFilters` shows of its position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContinuationStyle {
    /// The bound of the sort clock is moved; the token confirms it.
    #[default]
    MovedBound,
    /// The filters stay as they were; only the token knows the position. A client that drops what
    /// it does not know reads the first page for ever.
    TokenOnly,
}

/// The continuations issued so far.
#[derive(Debug, Default)]
pub(crate) struct Continuations {
    issued: HashMap<String, Issued>,
}

#[derive(Clone, Debug)]
struct Issued {
    /// Exactly what the client was given.
    given: Map<String, Value>,
    /// The filters that it stands for, without token.
    meant: Map<String, Value>,
    order: String,
}

impl Continuations {
    /// The filters that a request means, and whether it continues a scan.
    pub(crate) fn resolve(
        &self,
        request: &ListRequest,
    ) -> Result<(Map<String, Value>, bool), Refusal> {
        let Some(token) = request.filters.get(TOKEN) else {
            return Ok((request.filters.clone(), false));
        };
        token
            .as_str()
            .and_then(|token| self.issued.get(token))
            .filter(|issued| issued.given == request.filters && issued.order == order(request))
            .map(|issued| (issued.meant.clone(), true))
            .ok_or_else(|| {
                Refusal::bad_request(
                    "filter validation error: nextQueryFilters were not issued for this scan",
                )
            })
    }

    /// The continuation of `request`, which meant `meant`, from `bound` on; the same position, where there is none.
    pub(crate) fn issue(
        &mut self,
        request: &ListRequest,
        meant: &Map<String, Value>,
        descending: bool,
        bound: Option<i64>,
        style: ContinuationStyle,
    ) -> Value {
        let mut moved = meant.clone();
        if let Some(bound) = bound {
            let operators = moved
                .entry(request.sort_field.name())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(operators) = operators {
                let side = if descending { "lte" } else { "gte" };
                operators.insert(side.to_owned(), json!(bound));
            }
        }
        // The same question has the same continuation, so that a retry is no new page.
        let question = format!(
            "{}{}{bound:?}",
            Value::Object(request.filters.clone()),
            order(request)
        );
        let hash = hash_text(&question);
        let token = format!("{:016x}{:016x}", mix(hash, 1), mix(hash, 2));
        let mut given = match style {
            ContinuationStyle::MovedBound => moved.clone(),
            ContinuationStyle::TokenOnly => {
                let mut first = request.filters.clone();
                first.remove(TOKEN);
                first
            }
        };
        given.insert(TOKEN.to_owned(), json!(token));
        self.issued.insert(
            token,
            Issued {
                given: given.clone(),
                meant: moved,
                order: order(request),
            },
        );
        Value::Object(given)
    }
}

fn order(request: &ListRequest) -> String {
    format!("{}{}", request.sort_field, request.descending)
}
