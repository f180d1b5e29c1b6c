//! Exchange audit events. `MailItemsAccessed` lists every message that was read, up to 10 KB and more.

use super::super::facts::Facts;
use super::super::json::Json;
use crate::random::Random;

pub(super) fn event_objects(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    super::thing(json, 1, 1, "Inbox", Some(&facts.correlation));
    super::property(json, "MailboxOwnerUPN", &facts.sketch.person.upn);
    super::property(json, "LogonType", "Owner");
    super::account_objects(json, facts, 4, random);
}

pub(super) fn mail_items_accessed(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    head(json, facts, 50, random);
    json.list_in("OperationProperties", |json| {
        for (name, value) in [("MailAccessType", "Bind"), ("IsThrottled", "False")] {
            json.object(|json| {
                json.text("Name", name);
                json.text("Value", value);
            });
        }
    });
    json.list_in("Folders", |json| {
        for path in ["\\Inbox", "\\Inbox\\Projects"]
            .iter()
            .take(1 + random.index(2))
        {
            json.object(|json| {
                json.text("Id", &format!("LgAAAA{}AAAB", random.hex(48)));
                json.text("Path", path);
                json.list_in("FolderItems", |json| {
                    for _ in 0..random.between(6, 22) {
                        json.object(|json| {
                            json.text("ClientRequestId", &random.guid());
                            json.text("Id", &format!("RgAAAA{}J", random.hex(48)));
                            json.text(
                                "InternetMessageId",
                                &format!("<{}@mail.contoso.com>", random.hex(32)),
                            );
                            json.int("SizeInBytes", random.between(4_000, 4_000_000));
                        });
                    }
                });
            });
        }
    });
    json.int("OperationCount", random.between(1, 60));
}

pub(super) fn source_event(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    head(
        json,
        facts,
        if facts.operation == "Set-Mailbox" {
            1
        } else {
            2
        },
        random,
    );
    json.object_in("Item", |json| {
        json.text("Id", &format!("RgAAAA{}J", random.hex(96)));
        json.text(
            "InternetMessageId",
            &format!("<{}@mail.contoso.com>", random.hex(32)),
        );
        json.object_in("ParentFolder", |json| {
            json.text("Id", &format!("LgAAAA{}AAAB", random.hex(96)));
            json.text("Path", "\\Drafts");
        });
        json.int("SizeInBytes", random.between(4_000, 4_000_000));
        json.text("Subject", &format!("RE: {}", facts.target));
        if random.chance(80) {
            json.null("Attachments");
        }
    });
    if random.chance(80) {
        json.text("SendAsUserSmtp", &facts.sketch.person.upn);
        json.null("SendOnBehalfOfUserSmtp");
    }
    if !matches!(facts.operation, "Set-Mailbox" | "UpdateInboxRules") {
        return;
    }
    json.list_in("Parameters", |json| {
        for (name, value) in [
            ("Identity", facts.sketch.person.upn.as_str()),
            ("AuditEnabled", "True"),
            ("ForwardingSmtpAddress", ""),
            ("DeliverToMailboxAndForward", "False"),
        ] {
            json.object(|json| {
                json.text("Name", name);
                json.text("Value", value);
            });
        }
    });
}

fn head(json: &mut Json, facts: &Facts<'_>, record_type: i64, random: &mut Random) {
    let person = facts.sketch.person;
    super::audit_head(json, facts, record_type, "Exchange");
    json.text("ResultStatus", "Succeeded");
    json.text("AppId", &random.guid());
    json.text("ClientAppId", "");
    json.text("ClientInfoString", facts.sketch.agent.raw);
    json.text("ClientIPAddress", &facts.sketch.ip);
    json.bool("ExternalAccess", false);
    json.int("InternalLogonType", 0);
    json.int("LogonType", 0);
    json.text(
        "LogonUserSid",
        &format!(
            "S-1-5-21-{}-{}-{}",
            random.below(1 << 31),
            random.below(1 << 31),
            random.below(1 << 24)
        ),
    );
    json.text("MailboxGuid", &random.guid());
    json.text(
        "MailboxOwnerSid",
        &format!(
            "S-1-5-21-{}-{}-{}",
            random.below(1 << 31),
            random.below(1 << 31),
            random.below(1 << 24)
        ),
    );
    json.text("MailboxOwnerUPN", &person.raw_upn);
    json.text("OrganizationName", &facts.world.domain);
    json.text("OriginatingServer", "DB9PR04MB1234 (15.20.4200.000)\r\n");
    json.text("SessionId", &random.guid());
}
