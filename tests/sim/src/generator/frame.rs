//! Writes what all records have, in the order of Office 365 records; source events come from `records`.
//!
//! Field names, types and which of them may be absent follow the public sample records.

use super::facts::Facts;
use super::json::Json;
use super::kind::Kind;
use super::odd::Odd;
use super::records;
use super::world::UNRESOLVED_TAG;
use crate::random::Random;

/// Writes one whole record.
pub(crate) fn write(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    json.object(|json| {
        identity(json, facts);
        times(json, facts, random);
        types(json, facts);
        routing(json, facts);
        device(json, facts, random);
        location(json, facts, random);
        user(json, facts);
        user_agent(json, facts, random);
        json.object_in("internals", |json| {
            json.texts("otherIPs", &[&facts.sketch.ip]);
        });
        main_info(json, facts, random);
        provenance(json, facts, random);
        json.object_in("rawDataJson", |json| {
            records::source_event(json, facts, random);
            if facts.is_odd(Odd::CollidingRawKeys) {
                json.text("Level", "Information");
                json.int("level", 4);
                json.text("EventName", facts.operation);
                json.null("eventName");
            }
        });
        actor(json, facts);
        json.text("uid", &facts.sketch.id);
        json.text("appName", facts.app_name());
        json.text("eventTypeName", facts.event_type().category);
        classifications(json, facts);
        entity_data(json, facts, random);
        description(json, facts);
        json.text("genericEventType", facts.event_type().generic);
        json.text("severity", "INFO");
        unknown_keys(json, random);
    });
}

fn identity(json: &mut Json, facts: &Facts<'_>) {
    json.text("_id", &facts.sketch.id);
    if facts.is_odd(Odd::TenantIdAsText) {
        json.text("tenantId", &facts.world.tenant_id.to_string());
    } else {
        json.int("tenantId", facts.world.tenant_id);
    }
    json.text("aadTenantId", &facts.world.entra_tenant);
    json.int("appId", facts.sketch.app_id);
    json.int("saasId", facts.sketch.app_id);
}

fn times(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    if facts.is_odd(Odd::TimestampAsText) {
        json.text("timestamp", &facts.timestamp_ms.to_string());
    } else {
        json.int("timestamp", facts.timestamp_ms);
    }
    json.int("timestampRaw", facts.timestamp_ms);
    let built = facts
        .created_ms
        .saturating_sub(random.between(100, 3_000))
        .max(facts.timestamp_ms);
    json.int("instantiation", built);
    json.int("instantiationRaw", built);
    if facts.is_odd(Odd::CreatedAsText) {
        json.text("created", &facts.created_ms.to_string());
    } else {
        json.int("created", facts.created_ms);
    }
    json.int("createdRaw", facts.created_ms);
}

fn types(json: &mut Json, facts: &Facts<'_>) {
    let event = facts.event_type();
    json.int("eventType", event.number);
    json.text("eventTypeValue", event.value);
}

fn routing(json: &mut Json, facts: &Facts<'_>) {
    json.object_in("eventRouting", |json| {
        json.bool("scubaUnpacker", false);
        json.bool("lograbber", true);
        json.bool("auditing", true);
        if facts.kind.is_sign_in() {
            json.bool("dispersed", true);
        }
    });
}

fn device(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    let sketch = &facts.sketch;
    json.object_in("device", |json| {
        json.text("clientIP", &sketch.ip);
        json.text(
            "userAgent",
            if facts.kind.is_sign_in() {
                sketch.agent.sign_in
            } else {
                sketch.agent.raw
            },
        );
        // Seen by clients: two dashes where the country is unknown.
        json.text(
            "countryCode",
            if random.chance(15) {
                "--"
            } else {
                sketch.place.country
            },
        );
        if random.chance(40) {
            json.text("deviceId", &random.guid());
            json.object_in("compliance", |json| {
                json.bool("managed", true);
                json.null("trustType");
            });
        }
    });
}

fn location(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    if facts.is_odd(Odd::LocationNull) {
        json.null("location");
        return;
    }
    let place = facts.sketch.place;
    json.object_in("location", |json| {
        json.text("countryCode", place.country);
        if facts.kind.is_sign_in() {
            // Later records write places in lower case and carry postal code and carrier.
            json.text("city", &place.city.to_lowercase());
            json.text("region", &place.region.to_lowercase());
            json.text("postalCode", place.postal_code);
            json.text("carrier", place.carrier);
        } else {
            json.text("city", place.city);
            json.text("regionCode", place.region_code);
            json.text("region", place.region);
        }
        if facts.is_odd(Odd::CoordinatesAsIntegers) {
            json.raw(
                "longitude",
                place.longitude.split('.').next().unwrap_or("0"),
            );
            json.raw("latitude", place.latitude.split('.').next().unwrap_or("0"));
        } else {
            json.raw("longitude", place.longitude);
            json.raw("latitude", place.latitude);
        }
        json.text("organizationSearchable", place.organization);
        json.bool("anonymousProxy", place.proxy);
        json.bool("isSatelliteProvider", false);
        json.int("category", place.category);
        json.text("categoryValue", place.category_value);
        if let Some(tag) = place.ip_tag {
            json.texts("ipTags", &[tag]);
        }
        if random.chance(40) {
            json.int("asn", random.between(1_000, 70_000));
        }
    });
}

fn user(json: &mut Json, facts: &Facts<'_>) {
    let person = facts.sketch.person;
    if facts.is_odd(Odd::UserNull) {
        json.null("user");
    } else {
        json.object_in("user", |json| {
            if facts.failure.is_none() {
                json.text("userName", &person.upn);
            }
            json.texts("userTags", &[&person.group]);
        });
    }
    if facts.failure.is_some() {
        json.object_in("failedUserData", |json| json.text("userName", &person.upn));
    }
}

fn user_agent(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    let agent = facts.sketch.agent;
    json.object_in("userAgent", |json| {
        json.text("family", agent.family);
        json.text("name", agent.name);
        json.object_in("operatingSystem", |json| {
            json.text("name", agent.os_name);
            json.text("family", agent.os_family);
            if let Some(version) = agent.os_version {
                json.text("version", version);
            }
        });
        json.text("type", agent.kind);
        json.text("typeName", agent.kind);
        json.text("deviceType", agent.device);
        json.bool("nativeBrowser", agent.native);
        if let Some((major, minor, version)) = agent.version {
            json.text("major", major);
            json.text("minor", minor);
            json.text("version", version);
        }
        if let Some(tag) = agent.tag {
            json.texts("tags", &[tag]);
        }
        json.text("os", agent.os);
        json.text("browser", agent.family);
        if random.chance(30) {
            json.text("engine", "BLINK");
        }
    });
}

fn main_info(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    json.object_in("mainInfo", |json| {
        json.list_in("eventObjects", |json| {
            records::event_objects(json, facts, random);
        });
        json.text("rawOperationName", facts.operation);
        json.text("prettyOperationName", facts.operation);
        json.text("type", facts.event_type().main);
        if facts.kind.is_sign_in() || facts.kind == Kind::Exchange {
            json.object_in("activityResult", |json| {
                if facts.is_odd(Odd::SuccessAsText) {
                    json.text(
                        "isSuccess",
                        if facts.failure.is_none() {
                            "true"
                        } else {
                            "false"
                        },
                    );
                } else {
                    json.bool("isSuccess", facts.failure.is_none());
                }
                if let Some(failure) = facts.failure {
                    json.text("message", failure.message);
                }
            });
        }
        if random.chance(40) {
            json.list_in("correlatedRequests", |json| {
                json.string(&random.guid());
                json.string(&random.guid());
            });
        }
    });
}

fn provenance(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    let confidence = if facts.kind.is_sign_in() { 30 } else { 20 };
    if facts.is_odd(Odd::ConfidenceAsText) {
        json.text("confidenceLevel", &confidence.to_string());
    } else if facts.is_odd(Odd::ConfidenceAsDouble) {
        json.raw("confidenceLevel", "20.0");
    } else {
        json.int("confidenceLevel", confidence);
    }
    json.int("source", if facts.kind == Kind::Identity { 6 } else { 2 });
    json.object_in("lograbberService", |json| {
        if facts.kind.has_whole_seconds() {
            json.bool("o365EventGrabber", true);
            json.bool("gediEvent", true);
        } else {
            json.bool("scubaUnpacker", true);
        }
    });
    json.int("srcAppId", facts.src_app_id());
    json.object_in("collected", |json| match facts.kind {
        Kind::SignIn | Kind::FailedSignIn => json.object_in("aadLogins", |json| {
            let queued = facts
                .created_ms
                .saturating_sub(random.between(2_000, 150_000));
            json.bool("MCAS_Router", random.chance(100));
            json.text("correlationId", &facts.correlation);
            json.int("enqueueTime", queued);
            json.int(
                "routingTime",
                queued.saturating_add(random.between(20, 200)),
            );
        }),
        Kind::Salesforce => json.object_in("salesforce", |json| {
            json.text("logFileId", &random.hex(18));
        }),
        Kind::Identity => json.object_in("mdi", |json| json.bool("streamed", true)),
        _ => json.object_in("o365", |json| {
            let stamp = records::compact_stamp(facts.created_ms);
            json.text("blobCreated", &records::source_time(facts.created_ms));
            json.text(
                "blobId",
                &format!(
                    "{stamp}{:09}${stamp}{:09}$audit_general$Audit_General$emea{:04}",
                    random.below(1_000_000_000),
                    random.below(1_000_000_000),
                    random.below(100)
                ),
            );
        }),
    });
}

fn actor(json: &mut Json, facts: &Facts<'_>) {
    let person = facts.sketch.person;
    let account = |json: &mut Json, with_type: bool| {
        json.text(
            "id",
            if person.resolved {
                &person.object_id
            } else {
                &person.upn
            },
        );
        if facts.is_odd(Odd::ActorSaasIdAsNumber) {
            json.int("saasId", 11161);
        } else {
            json.text("saasId", "11161");
        }
        json.text("instanceId", "0");
        let tag = if person.resolved {
            person.group.as_str()
        } else {
            UNRESOLVED_TAG
        };
        json.texts("tags", &[tag]);
        if with_type {
            json.text("objType", if person.resolved { "23" } else { "22" });
        }
        json.text("name", &person.display_name);
        json.text("role", if facts.kind.is_sign_in() { "2" } else { "4" });
        json.bool("resolved", person.resolved);
        if facts.kind.is_sign_in() {
            json.bool("governable", person.resolved);
        }
    };
    json.object_in("resolvedActor", |json| account(json, true));
    if !person.resolved {
        json.object_in("resolvedActorAccount", |json| account(json, false));
    }
}

fn classifications(json: &mut Json, facts: &Facts<'_>) {
    if facts.is_odd(Odd::ClassificationsNull) {
        json.null("classifications");
    } else if facts.is_odd(Odd::ScalarClassification) {
        json.text("classifications", "access");
    } else if facts.kind.is_sign_in() {
        json.texts("classifications", &["access"]);
    } else {
        json.texts("classifications", &[]);
    }
}

/// An object keyed "0", "1", "2" with null members, a list, null or nothing (all seen).
fn entity_data(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    let person = facts.sketch.person;
    let entity = |json: &mut Json, id: &str| {
        json.text("displayName", &person.display_name);
        json.object_in("id", |json| {
            json.text("id", id);
            json.int("saas", 11161);
            json.int("inst", 0);
        });
        json.bool("resolved", person.resolved);
    };
    if random.chance(10) {
        return;
    }
    if facts.is_odd(Odd::EntityDataNull) || random.chance(5) {
        json.null("entityData");
    } else if facts.kind.is_sign_in() && random.chance(800) {
        json.list_in("entityData", |json| {
            json.object(|json| entity(json, &person.upn));
            if person.resolved {
                json.object(|json| entity(json, &person.object_id));
            }
        });
    } else {
        json.object_in("entityData", |json| {
            json.object_in("0", |json| entity(json, &person.upn));
            if random.chance(100) {
                json.null("1");
            }
            if person.resolved {
                json.object_in("2", |json| entity(json, &person.object_id));
            }
        });
    }
}

fn description(json: &mut Json, facts: &Facts<'_>) {
    if let Some(failure) = facts.failure {
        let message = format!("(Failure message: {})", failure.message);
        json.text("description_id", "EVENT_DESCRIPTION_FAILED_LOGIN");
        json.object_in("description_metadata", |json| {
            json.text("activity_result_message", &message);
            json.text("colon", "");
            json.text("dash", "");
            json.text("event_category", "Failed log on");
        });
        json.text("description", &format!("Failed log on {message}"));
        return;
    }
    let is_file = matches!(facts.kind, Kind::SharePoint | Kind::OneDrive);
    let target = if is_file { facts.target.as_str() } else { "" };
    json.text("description_id", "EVENT_DESCRIPTION_BASIC_EVENT");
    json.object_in("description_metadata", |json| {
        json.text("target_object", target);
        json.text("operation_name", facts.operation);
        json.text("colon", ": ");
        json.text("dash", "");
    });
    if facts.is_odd(Odd::EscapedText) {
        json.raw(
            "description",
            r#""caf\u00e9 \/ line one\nline two\ttab \ud83d\ude00 \"quoted\" \\ back 日本""#,
        );
    } else {
        json.text(
            "description",
            &if target.is_empty() {
                facts.operation.to_owned()
            } else {
                format!("{}: file <b>{target}</b>", facts.operation)
            },
        );
    }
}

/// Keys that no public description of the record knows.
fn unknown_keys(json: &mut Json, random: &mut Random) {
    if random.chance(60) {
        json.text("sessionId", &random.guid());
    }
    if random.chance(40) {
        json.object_in("riskHints", |json| {
            json.raw("score", "12.5");
            json.null("reason");
            json.list_in("signals", |json| {
                json.string("newCountry");
                json.object(|json| json.int("weight", 3));
            });
        });
    }
    if random.chance(30) {
        json.bool("policy.matched", false);
    }
}
