//! Salesforce events: numbers and booleans as text, as that service delivers them.

use super::super::facts::Facts;
use super::super::json::Json;
use crate::random::Random;

pub(super) fn event_objects(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    super::thing(json, 1, 1, "Pipeline by region", Some(&facts.correlation));
    super::property(json, "Rows processed", &random.below(90_000).to_string());
    super::account_objects(json, facts, 4, random);
}

pub(super) fn source_event(json: &mut Json, facts: &Facts<'_>, random: &mut Random) {
    let sketch = &facts.sketch;
    json.text("EVENT_TYPE", facts.operation);
    json.text("TIMESTAMP", &super::compact_stamp(facts.timestamp_ms));
    json.text("TIMESTAMP_DERIVED", &super::source_time(facts.timestamp_ms));
    json.text("REQUEST_ID", &random.hex(22));
    json.text("ORGANIZATION_ID", &random.hex(15));
    json.text("USER_ID", &random.hex(15));
    json.text("USER_ID_DERIVED", &random.hex(18));
    json.text("USER_NAME", &sketch.person.upn);
    json.text("SESSION_KEY", &random.hex(16));
    json.text("LOGIN_KEY", &random.hex(16));
    json.text("CLIENT_IP", &sketch.ip);
    json.text("BROWSER_TYPE", sketch.agent.raw);
    json.text("ROW_COUNT", &random.below(90_000).to_string());
    json.text("CPU_TIME", &random.below(9_000).to_string());
    json.text("RUN_TIME", &random.below(60_000).to_string());
    json.text(
        "DB_TOTAL_TIME",
        &random.below(1_000_000_000_000).to_string(),
    );
    json.text("REPORT_ID", &random.hex(18));
    json.text("REPORT_DESCRIPTION", "");
    json.text("ORIGIN", "ReportExported");
    json.text("RENDERING_TYPE", "W");
    json.text("DISPLAY_TYPE", "S");
    json.null("DELEGATED_USER_ID");
    json.list_in("COLUMNS", |json| {
        for column in [
            "Account.Name",
            "Opportunity.Amount",
            "Opportunity.StageName",
            "Owner.Region__c",
        ] {
            json.object(|json| {
                json.text("api_name", column);
                json.text("label", column.rsplit('.').next().unwrap_or_default());
                json.text("cardinality", &random.below(5_000).to_string());
                json.text("visible", "true");
            });
        }
    });
    json.text("QUERY", "SELECT Account.Name, Opportunity.Amount, Opportunity.StageName FROM Opportunity WHERE CloseDate = THIS_QUARTER AND Owner.Region__c IN ('EMEA', 'APAC') ORDER BY Opportunity.Amount DESC LIMIT 2000");
}
