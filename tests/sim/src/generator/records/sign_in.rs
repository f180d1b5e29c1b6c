//! Entra sign-ins, good and failed: 32 members of which eight or nine are null (seen in samples).

use super::super::facts::Facts;
use super::super::json::Json;
use crate::random::Random;

pub(super) fn event_objects(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    let person = facts.sketch.person;
    super::thing(
        json,
        6,
        1,
        facts.app_name(),
        Some("00000002-0000-0ff1-ce00-000000000000"),
    );
    super::thing(json, 7, 3, "Request ID", Some(&facts.sketch.source_id));
    super::property(json, "Pass-through authentication", "false");
    json.object(|json| {
        json.text("id", &person.object_id);
        json.text("name", &person.upn);
        json.int("objType", 2);
        json.bool("resolved", person.resolved);
        json.int("role", 2);
        json.texts("tags", &[]);
    });
    super::account_objects(json, facts, 5, random);
}

pub(super) fn source_event(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    let sketch = &facts.sketch;
    let person = sketch.person;
    json.text("ApplicationId", "00000002-0000-0ff1-ce00-000000000000");
    json.text("ApplicationName", facts.app_name());
    if random.chance(500) {
        json.text("BrowserId", &random.guid());
    } else {
        json.null("BrowserId");
    }
    json.text("Call", facts.operation);
    json.text("CorrelationId", &facts.correlation);
    json.null("DataSource");
    json.text("DeviceInfo", sketch.agent.sign_in);
    json.text("DeviceTrustType", "");
    json.text("EventType", "MCASLoginEvent");
    json.text("HomeTenantUserObjectId", &person.object_id);
    json.text("IpAddress", &sketch.ip);
    json.bool("IsDeviceCompliantAndManaged", false);
    json.null("IsInteractive");
    json.bool("IsInteractiveComputed", true);
    json.int(
        "LoginErrorCode",
        facts.failure.map_or(0, |failure| failure.code),
    );
    json.text(
        "LoginStatus",
        if facts.failure.is_none() {
            "Success"
        } else {
            "Failure"
        },
    );
    json.null("MfaAuthMethod");
    json.null("MfaMaskedDeviceId");
    json.bool("MfaRequired", random.chance(300));
    json.null("MfaResult");
    json.null("MfaStatusRaw");
    json.text("MsodsTenantRegionScope", "EU");
    json.text("RequestId", &sketch.source_id);
    json.null("SasStatus");
    json.text("TenantId", &facts.world.entra_tenant);
    json.text("TimeStamp", &super::source_time(facts.timestamp_ms));
    json.text("Upn", &person.raw_upn);
    json.bool("UserIsPassthru", false);
    json.text("UserName", "");
    json.text("UserPrincipalObjectID", &person.object_id);
    if person.resolved {
        json.text("UserTenantId", &facts.world.entra_tenant);
        json.text("UserTenantMsodsRegionScope", "EU");
    } else {
        json.null("UserTenantId");
        json.null("UserTenantMsodsRegionScope");
    }
}
