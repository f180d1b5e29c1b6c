//! Teams audit events.

use super::super::facts::Facts;
use super::super::json::Json;
use crate::random::Random;

pub(super) fn event_objects(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    super::thing(json, 1, 1, "Operations – daily", Some(&facts.correlation));
    super::property(json, "CommunicationType", "Channel");
    super::account_objects(json, facts, 4, random);
}

pub(super) fn source_event(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    super::audit_head(json, facts, 25, "MicrosoftTeams");
    json.text("CommunicationType", "Channel");
    json.text("ChannelName", "Operations – daily");
    json.text(
        "ChannelGuid",
        &format!("19:{}@thread.tacv2", random.hex(32)),
    );
    json.text("TeamName", "Operations");
    json.text("TeamGuid", &format!("19:{}@thread.tacv2", random.hex(32)));
    json.text("AADGroupId", &random.guid());
    json.text("ChatThreadId", &format!("19:{}@thread.v2", random.hex(32)));
    json.text("MessageId", &facts.timestamp_ms.to_string());
    json.text("MessageVersion", &facts.created_ms.to_string());
    json.int("MessageSizeInBytes", random.between(10, 9_000));
    json.text("ItemName", &format!("19:{}@thread.tacv2", random.hex(32)));
    json.text("UserAgent", facts.sketch.agent.raw);
    json.list_in("ExtraProperties", |json| {
        for (key, value) in [
            ("TimeZone", "Europe/Amsterdam"),
            ("OsName", facts.sketch.agent.os_name),
            ("OsVersion", facts.sketch.agent.os_version.unwrap_or("")),
            ("Country", facts.sketch.place.country),
            ("ClientName", "skypeteams"),
            ("ClientVersion", "27/1.0.0.2024061109"),
            ("ClientUtcOffsetSeconds", "7200"),
        ] {
            json.object(|json| {
                json.text("Key", key);
                json.text("Value", value);
            });
        }
    });
    json.list_in("MessageURLs", |json| {
        for _ in 0..random.below(4) {
            json.string(&format!(
                "https://contoso.sharepoint.com/sites/operations/{}",
                random.hex(16)
            ));
        }
    });
    json.object_in("ParticipantInfo", |json| {
        json.bool("HasForeignTenantUsers", false);
        json.bool("HasGuestUsers", !facts.sketch.person.resolved);
        json.bool("HasOtherGuestUsers", false);
        json.bool("HasUnauthenticatedUsers", false);
        json.texts("ParticipatingDomains", &[]);
        json.texts("ParticipatingTenantIds", &[&facts.world.entra_tenant]);
    });
    if random.chance(80) {
        json.null("SubscriptionId");
        json.null("HostedContents");
    }
    if facts.operation != "MemberAdded" {
        return;
    }
    json.list_in("Members", |json| {
        for at in 0..random.between(1, 5) {
            json.object(|json| {
                json.text("DisplayName", &facts.sketch.person.display_name);
                json.text("UPN", &facts.sketch.person.raw_upn);
                json.int("Role", at % 2);
            });
        }
    });
}
