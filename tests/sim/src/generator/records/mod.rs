//! What differs between the kinds: the event objects and the source event (`rawDataJson`).
//!
//! One file per source; this page dispatches and holds the pieces that several sources share.

mod exchange;
mod files;
mod identity;
mod salesforce;
mod sign_in;
mod teams;

use chrono::{DateTime, Datelike as _, Timelike as _};

use super::facts::Facts;
use super::json::Json;
use super::kind::Kind;
use super::odd::Odd;
use super::world::UNRESOLVED_TAG;
use crate::random::Random;

/// Writes the members of `rawDataJson`.
pub(crate) fn source_event(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    match facts.kind {
        Kind::SignIn | Kind::FailedSignIn => sign_in::source_event(json, facts, random),
        Kind::SharePoint | Kind::OneDrive => files::source_event(json, facts, random),
        Kind::MailItemsAccessed => exchange::mail_items_accessed(json, facts, random),
        Kind::Exchange => exchange::source_event(json, facts, random),
        Kind::Teams => teams::source_event(json, facts, random),
        Kind::Salesforce => salesforce::source_event(json, facts, random),
        Kind::Identity => identity::source_event(json, facts, random),
    }
}

/// Writes the elements of `mainInfo.eventObjects`.
pub(crate) fn event_objects(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    match facts.kind {
        Kind::SignIn | Kind::FailedSignIn => sign_in::event_objects(json, facts, random),
        Kind::SharePoint | Kind::OneDrive => files::event_objects(json, facts, random),
        Kind::MailItemsAccessed | Kind::Exchange => exchange::event_objects(json, facts, random),
        Kind::Teams => teams::event_objects(json, facts, random),
        Kind::Salesforce => salesforce::event_objects(json, facts, random),
        Kind::Identity => identity::event_objects(json, facts, random),
    }
}

/// The acting account by UPN and by object id; by UPN only where it is not resolved.
fn account_objects(json: &mut Json, facts: &Facts<'_>, role: i64, random: &mut Random) {
    let person = facts.sketch.person;
    let mut account = |json: &mut Json, object_type: i64, id: &str, governable: bool| {
        json.object(|json| {
            json.int("objType", object_type);
            json.int("role", role);
            if person.resolved {
                if object_type == 23 {
                    json.texts("tags", &[&person.group]);
                } else {
                    json.texts("tags", &[]);
                }
            } else {
                json.texts("tags", &[UNRESOLVED_TAG]);
            }
            json.text("name", &person.display_name);
            json.int("instanceId", 0);
            json.bool("resolved", person.resolved);
            if facts.is_odd(Odd::ObjectSaasIdAsText) {
                json.text("saasId", "11161");
            } else {
                json.int("saasId", 11161);
            }
            json.text("id", id);
            json.int("link", person.link);
            if facts.kind.is_sign_in() {
                json.bool("governable", governable);
            }
            if random.chance(20) {
                json.list_in("governanceActions", |json| {
                    json.string("suspend");
                    json.null_item();
                });
            }
        });
    };
    if person.resolved {
        account(json, 21, &person.upn, false);
        account(json, 23, &person.object_id, true);
    } else {
        account(json, 22, &person.upn, false);
    }
}

/// A thing that was touched: no account.
fn thing(json: &mut Json, object_type: i64, role: i64, name: &str, id: Option<&str>) {
    json.object(|json| {
        json.int("objType", object_type);
        json.int("role", role);
        json.texts("tags", &[]);
        json.text("name", name);
        if let Some(id) = id {
            json.text("id", id);
        }
    });
}

/// A name and its value as text.
fn property(json: &mut Json, name: &str, value: &str) {
    json.object(|json| {
        json.text("name", name);
        json.int("objType", 7);
        json.int("role", 3);
        json.texts("tags", &[]);
        json.text("value", value);
    });
}

/// The members that every Office 365 audit event begins with.
fn audit_head(json: &mut Json, facts: &Facts<'_>, record_type: i64, workload: &str) {
    let sketch = &facts.sketch;
    json.text("OrganizationId", &facts.world.entra_tenant);
    json.text("CreationTime", &source_time(facts.timestamp_ms));
    json.int("RecordType", record_type);
    json.text("Operation", facts.operation);
    json.int("UserType", 0);
    json.text("Workload", workload);
    json.text("ClientIP", &sketch.ip);
    json.text("UserKey", &sketch.person.object_id);
    json.int("Version", 1);
    json.text("UserId", &sketch.person.raw_upn);
    json.text("Id", &sketch.source_id);
}

/// `2020-07-18T18:18:33.0000000Z`: how source events write times, to 100 ns.
pub(crate) fn source_time(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    let mut text = String::with_capacity(28);
    digits(&mut text, i64::from(time.year()), 4, '-');
    digits(&mut text, i64::from(time.month()), 2, '-');
    digits(&mut text, i64::from(time.day()), 2, 'T');
    digits(&mut text, i64::from(time.hour()), 2, ':');
    digits(&mut text, i64::from(time.minute()), 2, ':');
    digits(&mut text, i64::from(time.second()), 2, '.');
    digits(&mut text, ms.rem_euclid(1000) * 10_000, 7, 'Z');
    text
}

/// `20200718182019`: the prefix of blob names.
pub(crate) fn compact_stamp(ms: i64) -> String {
    source_time(ms)[..19]
        .chars()
        .filter(char::is_ascii_digit)
        .collect()
}

/// Formatting by hand: chrono's format strings would take a tenth of the rendering time.
fn digits(text: &mut String, value: i64, width: u32, after: char) {
    for place in (0..width).rev() {
        let digit = value / 10_i64.pow(place) % 10;
        text.push(
            u32::try_from(digit)
                .ok()
                .and_then(|d| char::from_digit(d, 10))
                .unwrap_or('0'),
        );
    }
    text.push(after);
}
