//! `SharePoint` and `OneDrive` audit events.

use super::super::facts::Facts;
use super::super::json::Json;
use super::super::kind::Kind;
use crate::random::Random;

pub(super) fn event_objects(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    let site = site_url(facts);
    json.object(|json| {
        json.int("objType", 1);
        json.int("role", 3);
        json.texts("tags", &[]);
        json.text("name", &site);
        json.text("id", &facts.correlation);
        json.text(
            "serviceObjectType",
            if facts.kind == Kind::OneDrive {
                "OneDrive Site Collection"
            } else {
                "SharePoint Site Collection"
            },
        );
    });
    json.object(|json| {
        json.int("objType", 1);
        json.int("role", 1);
        json.texts("tags", &[]);
        json.text("name", &facts.target);
        json.text("id", &facts.sketch.source_id);
        json.text("serviceObjectType", "File");
    });
    super::account_objects(json, facts, 4, random);
}

pub(super) fn source_event(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    let site = site_url(facts);
    let extension = facts.target.rsplit('.').next().unwrap_or_default();
    super::audit_head(
        json,
        facts,
        6,
        if facts.kind == Kind::OneDrive {
            "OneDrive"
        } else {
            "SharePoint"
        },
    );
    json.text("ObjectId", &format!("{site}Documents/{}", facts.target));
    json.text("CorrelationId", &facts.correlation);
    json.text("ListItemUniqueId", &random.guid());
    json.text("EventSource", "SharePoint");
    json.text("SourceFileExtension", extension);
    json.text("UserAgent", facts.sketch.agent.raw);
    json.text("SourceRelativeUrl", "Documents");
    json.text("ItemType", "File");
    json.text("SourceFileName", &facts.target);
    json.text("ApplicationId", &random.guid());
    json.text("ListId", &random.guid());
    json.text("WebId", &random.guid());
    json.text("SiteUrl", &site);
    json.text("Site", &random.guid());
    json.bool("DoNotDistributeEvent", true);
    json.text("AuthenticationType", "OAuth");
    json.text("BrowserName", facts.sketch.agent.name);
    json.text("Platform", facts.sketch.agent.os_name);
    json.bool("IsManagedDevice", random.chance(600));
    json.text("GeoLocation", "EUR");
    json.int("HighPriorityMediaProcessing", 0);
    if random.chance(250) {
        app_access(json, facts, random);
    }
    if facts.operation == "SharingSet" {
        json.null("TargetUserOrGroupName");
        json.text("TargetUserOrGroupType", "SharePointGroup");
        json.text(
            "EventData",
            "<Permissions granted>Read & \"Edit\"</Permissions granted>",
        );
    }
    if random.chance(80) {
        json.text("SensitivityLabelId", &random.guid());
        json.null("SensitivityLabelOwnerEmail");
    }
}

fn site_url(facts: &Facts<'_>) -> String {
    if facts.kind == Kind::OneDrive {
        let folder = facts.sketch.person.upn.replace(['@', '.', '#'], "_");
        format!("https://contoso-my.sharepoint.com/personal/{folder}/")
    } else {
        "https://contoso.sharepoint.com/sites/operations/".to_owned()
    }
}

fn app_access(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    json.object_in("AppAccessContext", |json| {
        json.text("AADSessionId", &random.guid());
        json.text("ClientAppId", &random.guid());
        json.text("ClientAppName", "OneDriveSync");
        json.text("CorrelationId", &facts.correlation);
        json.text("TokenIssuedAtTime", &super::source_time(facts.timestamp_ms));
        json.text("UniqueTokenId", &random.hex(22));
        json.text("UserObjectId", &facts.sketch.person.object_id);
    });
}
