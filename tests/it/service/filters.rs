//! What a user asks the service for, beside the time.

use std::collections::{BTreeMap, BTreeSet};

use mdca_sim::SimOptions;
use serde_json::Value;

use crate::support::process::{Lake, Place};

fn place() -> Place {
    let options = SimOptions::default();
    Place::new("2026-10-01", "2026-10-01T03:00:00Z", 400, options)
}

/// The records that a lake gives back.
fn exported(place: &Place, lake: &Lake<'_>) -> Vec<Value> {
    let ended = place.run(&mut lake.command("export"));
    assert_eq!(ended.code(), Some(0), "{ended}");
    let lines = ended.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn ids<'r>(records: impl IntoIterator<Item = &'r Value>) -> BTreeSet<&'r str> {
    let id = |record: &'r Value| record["_id"].as_str().unwrap();
    records.into_iter().map(id).collect()
}

/// A value, as it is given to a flag.
fn text_at(record: &Value, pointer: &str) -> Option<String> {
    let value = record.pointer(pointer)?;
    let text = value.as_str().map(String::from);
    Some(text.unwrap_or_else(|| value.to_string()))
}

/// The value at a place that most of the records have.
fn commonest(records: &[Value], pointer: &str) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for value in records.iter().filter_map(|record| text_at(record, pointer)) {
        *counts.entry(value).or_default() += 1;
    }
    let (value, _) = counts.into_iter().max_by_key(|(_, count)| *count).unwrap();
    value
}

#[test]
fn a_scan_of_one_user_address_or_app_keeps_what_belongs_to_it() {
    let place = place();
    let all = place.lake();
    let ended = place.run(&mut all.scan());
    assert_eq!(ended.code(), Some(0), "{ended}");
    let all = exported(&place, &all);
    for (flag, pointer) in [
        ("--user", "/user/userName"),
        ("--ip", "/device/clientIP"),
        ("--service", "/appId"),
    ] {
        let value = commonest(&all, pointer);
        let lake = place.lake();
        let ended = place.run(lake.scan().args([flag, &value]));
        assert_eq!(ended.code(), Some(0), "{ended}");
        let kept = exported(&place, &lake);
        let due = all
            .iter()
            .filter(|record| text_at(record, pointer).as_ref() == Some(&value));
        let due = ids(due);
        assert!(!due.is_empty() && due.len() < all.len(), "{flag} {value}");
        assert_eq!(ids(&kept), due, "{flag} {value}");
        // They are the lake's identity: another scan may leave the flag out, and may not change it.
        let again = place.run(&mut lake.scan());
        assert_eq!(again.code(), Some(0), "{again}");
        let other = place.run(lake.scan().args([flag, "7"]));
        assert_eq!(other.code(), Some(2), "{other}");
    }
}

#[test]
fn a_filter_that_the_service_does_not_have_is_refused_before_it_is_asked() {
    let place = place();
    for (flags, said) in [
        (
            vec!["--filters", r#"{"user.userName":{"eq":["ada"]}}"#],
            "did you mean 'user.username'",
        ),
        (
            vec!["--filters", r#"{"ip.address":{"contains":["1"]}}"#],
            "takes eq, neq, startswith, doesnotstartwith, isset, isnotset, not 'contains'",
        ),
        (
            vec!["--filters", r#"{"service":{"eq":["20893"]}}"#],
            "takes a list of whole numbers",
        ),
        (
            vec![
                "--filters",
                r#"{"service":{"eq":[1]},"service":{"eq":[2]}}"#,
            ],
            "the key 'service' is there twice",
        ),
        (
            vec![
                "--user",
                "a",
                "--filters",
                r#"{"user.username":{"eq":["b"]}}"#,
            ],
            "--user and --filters both set 'user.username'; set it once",
        ),
        (vec!["--app-instance", "one"], "--app-instance"),
    ] {
        let lake = place.lake();
        let ended = place.run(lake.scan().args(&flags));
        assert_eq!(ended.code(), Some(2), "{flags:?}: {ended}");
        assert!(ended.stderr.contains(said), "{flags:?}: {ended}");
        assert!(!lake.path().exists(), "{flags:?}");
    }
    assert!(place.sim.requests().is_empty());
}

#[test]
fn a_filter_that_only_clients_know_is_asked_with_a_warning() {
    let place = place();
    let lake = place.lake();
    let filters = r#"{"activity.eventType":{"eq":["EVENT_CATEGORY_LOGIN"]}}"#;
    let ended = place.run(lake.scan().args(["--filters", filters]));
    assert_eq!(ended.code(), Some(0), "{ended}");
    let said = "'activity.eventType' is not in the service's documentation";
    assert!(ended.stderr.contains(said), "{ended}");
}
