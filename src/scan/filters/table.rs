//! The service's filters of activities, as its page "Activities API" lists them (the table is the same
//! from 2023 to 2025), and what clients send beyond it.

/// What a filter's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Text,
    /// Null stands for activities that have none.
    TextOrNull,
    Bool,
    /// Milliseconds since 1970, UTC.
    Time,
    /// An object with the entity's `id`, and the instance of its app.
    Entity,
    /// A stream's id (`s:…`) or a type of source (`t:…`).
    Source,
    /// Ids of groups; clients put a selector of roles before them.
    Tags,
    /// What is not documented.
    Any,
}

/// Who says that there is such a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Documented,
    /// Clients send it, and it was documented once or never.
    Seen,
}

pub(super) struct Filter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) operators: &'static [&'static str],
    pub(super) standing: Standing,
}

const fn documented(name: &'static str, kind: Kind, operators: &'static [&'static str]) -> Filter {
    Filter {
        name,
        kind,
        operators,
        standing: Standing::Documented,
    }
}

const fn seen(name: &'static str, kind: Kind, operators: &'static [&'static str]) -> Filter {
    Filter {
        name,
        kind,
        operators,
        standing: Standing::Seen,
    }
}

const EQ: &[&str] = &["eq"];
const EQ_NEQ: &[&str] = &["eq", "neq"];
const SET: &[&str] = &["eq", "neq", "isset", "isnotset"];
const SET_STARTS: &[&str] = &["eq", "neq", "isset", "isnotset", "startswith"];

pub(super) const FILTERS: &[Filter] = &[
    documented("service", Kind::Integer, EQ_NEQ),
    documented("instance", Kind::Integer, EQ_NEQ),
    documented(
        "actionType",
        Kind::Text,
        &["contains", "eq", "neq", "isset", "isnotset"],
    ),
    documented("activity.eventActionType", Kind::Text, EQ_NEQ),
    documented("activity.id", Kind::Text, EQ),
    documented("activity.impersonated", Kind::Bool, EQ),
    documented("activity.type", Kind::Bool, EQ),
    documented("activity.takenAction", Kind::TextOrNull, EQ_NEQ),
    documented("activity.alertId", Kind::Text, EQ),
    documented("activityObject", Kind::Text, EQ_NEQ),
    documented("user.username", Kind::Text, SET_STARTS),
    documented("user.domain", Kind::Text, SET),
    documented("user.orgUnit", Kind::Text, SET),
    documented("user.tags", Kind::Tags, SET_STARTS),
    documented("entity", Kind::Entity, SET_STARTS),
    documented("device.type", Kind::TextOrNull, EQ_NEQ),
    documented("device.tags", Kind::Text, EQ_NEQ),
    documented("userAgent.tags", Kind::Text, EQ_NEQ),
    documented("ip.tags", Kind::Text, EQ_NEQ),
    documented(
        "userAgent.userAgent",
        Kind::Text,
        &["contains", "ncontains"],
    ),
    documented("location.country", Kind::Text, SET),
    documented(
        "location.organizations",
        Kind::Text,
        &["eq", "neq", "isset", "isnotset", "contains"],
    ),
    documented(
        "ip.address",
        Kind::Text,
        &[
            "eq",
            "neq",
            "startswith",
            "doesnotstartwith",
            "isset",
            "isnotset",
        ],
    ),
    documented("ip.category", Kind::Integer, EQ_NEQ),
    documented("fileSelector", Kind::Any, EQ_NEQ),
    documented("fileId", Kind::Text, EQ),
    documented(
        "office365url",
        Kind::Text,
        &["startswith", "eq", "endswith"],
    ),
    documented("text", Kind::Text, &["eq", "startswithsingle", "text"]),
    documented("date", Kind::Time, &["lte", "gte", "range"]),
    documented(
        "created",
        Kind::Time,
        &["lte", "gte", "range", "gt", "lt", "eq"],
    ),
    documented("policy", Kind::Text, SET),
    documented("source", Kind::Source, EQ_NEQ),
    // In an older revision of the table.
    seen("fileLabels", Kind::Text, EQ_NEQ),
    seen("activity.eventType", Kind::Text, EQ_NEQ),
    seen("activity.actionType", Kind::Text, EQ),
];
