//! The invented records: always the same, of believable size, and with every documented field.

use std::collections::BTreeSet;

use mdca_sim::generator::{page, records};
use mdca_sim::{ClockField, Tenant, TenantOptions};
use serde_json::Value;

/// The paths of the public sample records. `collected`, raw data and the like are free-form below these.
const PATHS: &str = "
    _id uid tenantId aadTenantId appId saasId srcAppId appName timestamp timestampRaw instantiation
    instantiationRaw created createdRaw eventType eventTypeValue eventTypeName genericEventType severity
    confidenceLevel source classifications eventRouting.lograbber eventRouting.auditing
    eventRouting.scubaUnpacker eventRouting.dispersed lograbberService.o365EventGrabber
    lograbberService.gediEvent lograbberService.scubaUnpacker collected.o365.blobCreated
    collected.o365.blobId collected.aadLogins.MCAS_Router collected.aadLogins.correlationId
    collected.aadLogins.enqueueTime collected.aadLogins.routingTime device.clientIP device.userAgent
    device.countryCode location.countryCode location.city location.region
    location.organizationSearchable location.regionCode location.postalCode location.carrier
    location.longitude location.latitude location.anonymousProxy location.isSatelliteProvider
    location.category location.categoryValue location.ipTags user.userName user.userTags
    failedUserData.userName userAgent.family userAgent.name userAgent.type userAgent.typeName
    userAgent.deviceType userAgent.os userAgent.browser userAgent.nativeBrowser
    userAgent.operatingSystem.name userAgent.operatingSystem.family userAgent.operatingSystem.version
    userAgent.major userAgent.minor userAgent.version userAgent.tags internals.otherIPs mainInfo.type
    mainInfo.rawOperationName mainInfo.prettyOperationName mainInfo.activityResult.isSuccess
    mainInfo.activityResult.message mainInfo.eventObjects.objType mainInfo.eventObjects.role
    mainInfo.eventObjects.name mainInfo.eventObjects.tags mainInfo.eventObjects.id
    mainInfo.eventObjects.instanceId mainInfo.eventObjects.saasId mainInfo.eventObjects.link
    mainInfo.eventObjects.resolved mainInfo.eventObjects.governable mainInfo.eventObjects.value
    mainInfo.eventObjects.serviceObjectType resolvedActor.id resolvedActor.name resolvedActor.saasId
    resolvedActor.instanceId resolvedActor.objType resolvedActor.role resolvedActor.resolved
    resolvedActor.tags resolvedActor.governable resolvedActorAccount.id resolvedActorAccount.role
    entityData.0.displayName entityData.0.id.id entityData.0.id.saas entityData.0.id.inst
    entityData.0.resolved description description_id description_metadata.target_object
    description_metadata.operation_name description_metadata.colon description_metadata.dash
    description_metadata.activity_result_message description_metadata.event_category rawDataJson";

fn paths(value: &Value, prefix: &str, found: &mut BTreeSet<String>) {
    found.insert(prefix.to_owned());
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let path = if prefix.is_empty() {
                    key.clone()
                } else {
                    format!("{prefix}.{key}")
                };
                paths(member, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, prefix, found)),
        _ => {}
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.values().any(has_null),
        Value::Array(items) => items.iter().any(has_null),
        _ => false,
    }
}

#[test]
fn every_documented_path_occurs() {
    let mut found = BTreeSet::new();
    for record in records(5, 2_000) {
        paths(&serde_json::from_str(&record).unwrap(), "", &mut found);
    }
    let missing: Vec<&str> = PATHS
        .split_whitespace()
        .filter(|path| !found.contains(*path))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_mean_size_is_that_of_real_records() {
    let sizes: Vec<usize> = records(1, 4_000).iter().map(String::len).collect();
    let mean = sizes.iter().sum::<usize>() / sizes.len();
    let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
    assert!(
        (4_200..=5_000).contains(&mean),
        "mean {mean}, {least} to {most}"
    );
    assert!(
        *least >= 3_000 && *most >= 10_000,
        "mean {mean}, {least} to {most}"
    );
}

#[test]
fn about_half_of_the_records_hold_nulls_or_keys_that_nobody_knows() {
    let known: BTreeSet<&str> = PATHS
        .split_whitespace()
        .map(|path| path.split('.').next().unwrap())
        .collect();
    let all = records(3, 2_000);
    let odd = all
        .iter()
        .filter(|record| {
            let record: Value = serde_json::from_str(record).unwrap();
            let unknown = record
                .as_object()
                .unwrap()
                .keys()
                .any(|key| !known.contains(key.as_str()) && key != "resolvedActorAccount");
            unknown || has_null(&record)
        })
        .count();
    assert!((800..1_500).contains(&odd), "{odd} of 2000");
}

#[test]
fn a_seed_gives_the_same_records_and_another_gives_others() {
    assert_eq!(records(9, 300), records(9, 300));
    assert_ne!(records(9, 300), records(10, 300));
    let options = TenantOptions {
        seed: 9,
        activities: 300,
        ..TenantOptions::default()
    };
    let held = Tenant::generate(&options).records(ClockField::Created, 0..i64::MAX);
    assert!(
        held.into_iter()
            .map(|record| record.json)
            .eq(records(9, 300))
    );
}

#[test]
fn ids_are_unique_and_have_every_known_form() {
    let held = Tenant::generate(&TenantOptions {
        activities: 3_000,
        ..TenantOptions::default()
    })
    .records(ClockField::Created, 0..i64::MAX);
    let ids: BTreeSet<String> = held
        .iter()
        .map(|record| record.id.clone().unwrap())
        .collect();
    assert_eq!(ids.len(), 3_000);
    let hex =
        |id: &str, digits: usize| id.len() == digits && id.bytes().all(|b| b.is_ascii_hexdigit());
    assert!(ids.iter().any(|id| hex(id, 64)));
    assert!(ids.iter().any(|id| hex(id, 24)));
    assert!(ids.iter().any(|id| id.split('_').count() == 3));
    assert!(ids.iter().any(|id| id.split('_').count() == 2));
}

#[test]
fn what_the_tenant_says_is_what_the_text_says() {
    for record in Tenant::generate(&TenantOptions::default()).records(ClockField::Date, 0..i64::MAX)
    {
        let value: Value = serde_json::from_str(&record.json).unwrap();
        assert_eq!(value["_id"].as_str(), record.id.as_deref());
        assert_eq!(value["createdRaw"], record.created_ms);
        assert_eq!(value["timestampRaw"], record.timestamp_ms);
        assert!(record.timestamp_ms <= record.created_ms);
    }
}

#[test]
fn a_page_is_one_answer() {
    let answer: Value = serde_json::from_str(&page(2, 25)).unwrap();
    assert_eq!(answer["data"].as_array().unwrap().len(), 25);
    assert_eq!(answer["hasNext"], false);
}
