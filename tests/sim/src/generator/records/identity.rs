//! Defender for Identity events: everything worth knowing is a name/value event object (seen by clients).

use super::super::facts::Facts;
use super::super::json::Json;
use crate::random::Random;

pub(super) fn event_objects(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    super::property(json, "SourceAccountUpnName", &facts.sketch.person.upn);
    super::property(
        json,
        "SourceComputerDnsName",
        &format!("pc-{}.corp.contoso.com", random.hex(6)),
    );
    super::property(json, "DestinationComputerDnsName", "dc01.corp.contoso.com");
    super::property(
        json,
        "Protocol",
        if facts.operation == "LDAP query" {
            "Ldap"
        } else {
            "Kerberos"
        },
    );
    super::account_objects(json, facts, 4, random);
}

pub(super) fn source_event(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    json.text("ActivityType", facts.operation);
    json.text("StartTime", &super::source_time(facts.timestamp_ms));
    json.text("SourceIpAddress", &facts.sketch.ip);
    json.text(
        "SourceAccountSid",
        &format!(
            "S-1-5-21-{}-{}",
            random.below(1 << 31),
            random.below(1 << 31)
        ),
    );
    json.text("SourceAccountObjectId", &facts.sketch.person.object_id);
    json.text("DestinationIpAddress", "10.0.0.4");
    json.int("DestinationPort", 88);
    json.null("ErrorCode");
    json.list_in("ResourceAccess", |json| {
        for at in 0..random.between(3, 9) {
            json.object(|json| {
                json.text(
                    "ResourceIdentifier",
                    &format!("krbtgt/CORP.CONTOSO.COM/{}", random.hex(8)),
                );
                json.text("ComputerId", &random.guid());
                json.int("EncryptionType", 18);
                json.bool("IsSuccess", at != 1);
                json.null("Ticket");
            });
        }
    });
}
