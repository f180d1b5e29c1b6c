//! From a request to an answer: route, authorisation, throttle, then the page or one record.

use hyper::http::HeaderMap;
use serde_json::Value;

use super::answer::{Answer, Delivery};
use super::list;
use super::log::RequestLog;
use super::state::{Changing, State};
use crate::faults::{Asked, Canned, Moment, What};
use crate::protocol::refusal::Refusal;
use crate::protocol::request::ListRequest;

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What a request wants.
#[derive(Debug)]
enum Route {
    List(Result<ListRequest, Refusal>),
    One(String),
}

/// Answers one request and notes both.
pub(crate) fn handle(state: &State, received: &Received) -> Answer {
    let now_ms = state.now_ms();
    let mut changing = state.changing();
    if let Some(answer) = token(&mut changing, received, now_ms) {
        return answer;
    }
    let mut log = RequestLog {
        at_ms: now_ms,
        method: received.method.clone(),
        path: received.path.clone(),
        body: serde_json::from_slice(&received.body).unwrap_or(Value::Null),
        status: 0,
        page: None,
        first: false,
        records: 0,
        ids: Vec::new(),
        has_next: None,
        answer: None,
    };
    let mut answer = admit(state, &mut changing, received, &mut log);
    // A fault has already moved the date, or taken it away, where it says so.
    let moved = std::mem::take(&mut answer.date_ahead_ms);
    answer.date_ms = moved.map(|ahead| now_ms.saturating_add(ahead));
    if answer.is_sent() {
        log.status = answer.status;
    }
    if state.options.keep_answers {
        log.answer = Some(answer.body.clone());
    }
    tracing::debug!(
        status = log.status,
        page = log.page,
        records = log.records,
        "answered"
    );
    changing.log.push(log);
    answer
}

/// The answer to a request for a token, if it is one.
fn token(changing: &mut Changing, received: &Received, now_ms: i64) -> Option<Answer> {
    let issued = changing.authority.as_mut()?.handle(received, now_ms)?;
    changing.accepted.extend(issued.accepted);
    let mut answer = issued.answer;
    answer.date_ms = Some(now_ms);
    Some(answer)
}

fn admit(
    state: &State,
    changing: &mut Changing,
    received: &Received,
    log: &mut RequestLog,
) -> Answer {
    let now_ms = log.at_ms;
    let Some(route) = route(received) else {
        return Answer::canned(&Canned::html(404));
    };
    let authorized = changing.accepted.iter().any(|accepted| {
        received.header("authorization") == Some(&accepted.header)
            && accepted.until_ms.is_none_or(|until| now_ms < until)
    });
    if !authorized {
        return Answer::refusal(&Refusal {
            status: 401,
            detail: if received.header("authorization").is_some() {
                "Invalid token".to_owned()
            } else {
                "Authentication credentials were not provided.".to_owned()
            },
        });
    }
    if let Some(Err(wait_ms)) = changing
        .throttle
        .as_mut()
        .map(|throttle| throttle.admit(now_ms))
    {
        return throttled(state, wait_ms);
    }
    let request_number = changing.admitted;
    changing.admitted += 1;
    match route {
        Route::List(Ok(request)) => {
            log.body.clone_from(&request.body);
            list::answer(state, changing, &request, request_number, log)
        }
        Route::List(Err(refusal)) => {
            replaced(changing, request_number, None).unwrap_or_else(|| Answer::refusal(&refusal))
        }
        Route::One(id) => {
            replaced(changing, request_number, None).unwrap_or_else(|| one(state, &id, now_ms))
        }
    }
}

fn route(received: &Received) -> Option<Route> {
    let path = received.path.strip_prefix("/cas").unwrap_or(&received.path);
    let rest = path.strip_prefix("/api/v1/activities/")?;
    match (received.method.as_str(), rest) {
        ("POST", "") => Some(Route::List(ListRequest::from_json(&received.body))),
        // Clients send a body with GET, or a query string.
        ("GET", "") => Some(Route::List(match &received.query {
            Some(query) if received.body.is_empty() => ListRequest::from_query(query),
            _ => ListRequest::from_json(&received.body),
        })),
        ("GET", pk) => {
            let id = pk.strip_suffix('/')?;
            (!id.is_empty() && !id.contains('/')).then(|| Route::One(id.to_owned()))
        }
        _ => None,
    }
}

fn one(state: &State, id: &str, now_ms: i64) -> Answer {
    let held = state.tenant.read();
    held.find(id)
        .filter(|at| held.entry(*at).is_visible(now_ms))
        .map_or_else(
            || {
                Answer::refusal(&Refusal {
                    status: 404,
                    detail: "Not found.".to_owned(),
                })
            },
            |at| Answer::json(held.text(at).into_bytes()),
        )
}

fn throttled(state: &State, wait_ms: i64) -> Answer {
    let seconds = u32::try_from((wait_ms + 999) / 1000).unwrap_or(u32::MAX);
    let retry_after = state.options.throttled.retry_after.then_some(seconds);
    let what = if state.options.throttled.json {
        What::throttled_json(retry_after)
    } else {
        What::throttled(retry_after)
    };
    replacement(&what).expect("a canned answer replaces the page")
}

/// The answer of the first fault due that replaces whatever the answer would be.
pub(crate) fn replaced(
    changing: &mut Changing,
    request: u64,
    asked: Option<&Asked>,
) -> Option<Answer> {
    let due = changing.plan.due(Moment { request, asked });
    let (fault, answer) = due
        .into_iter()
        .filter(|due| !due.is_at_record())
        .find_map(|due| replacement(&due.what).map(|answer| (due, answer)))?;
    changing.plan.use_up(&fault);
    Some(answer)
}

/// The answer in place of a page, for those faults that replace it without looking at it.
pub(crate) fn replacement(what: &What) -> Option<Answer> {
    match what {
        What::Answer(canned) => Some(Answer::canned(canned)),
        What::Close => Some(Answer::no_answer(Delivery::Close)),
        What::Reset => Some(Answer::no_answer(Delivery::Reset)),
        What::Stall => Some(Answer::no_answer(Delivery::Stall)),
        _ => None,
    }
}
