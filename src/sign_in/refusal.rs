//! What the authority's refusals mean, and what to do about each.
//!
//! Its codes (`AADSTS…`) are told apart for advice alone: they may change (page "error codes" of the
//! identity platform), and then the advice is a more general one.

use serde_json::{Map, Value};

/// What the role for activities is called (page "Application context").
pub(super) const ROLE_ADVICE: &str = "give the application the role Investigation.read of Microsoft Cloud App Security (application permission, with admin consent)";

const AADSTS: [(&[u32], &str); 10] = [
    (
        &[7_000_215],
        "set the secret's value, not its id, as MDCA_CLIENT_SECRET or in --client-secret-file, and check --client-id",
    ),
    (
        &[7_000_222],
        "make a new secret for the application in Entra, and set MDCA_CLIENT_SECRET or --client-secret-file",
    ),
    (
        &[700_016, 700_038],
        "check --client-id and --entra-tenant: this tenant does not know this application",
    ),
    (
        &[90_002, 900_023, 900_382, 900_432, 90_038],
        "check --entra-tenant and --authority (government tenants have https://login.microsoftonline.us)",
    ),
    (
        &[700_024],
        "set this machine's clock, and have the federated token renewed, if it is one",
    ),
    (
        &[700_027],
        "upload the certificate of --client-certificate-file to the application in Entra",
    ),
    (
        &[70_021, 700_211, 700_212, 700_213, 700_223],
        "add a federated credential with the issuer, subject and audience of the token to the application in Entra",
    ),
    (
        &[500_011, 650_052, 650_057],
        "check --entra-tenant: this tenant does not have Microsoft Defender for Cloud Apps",
    ),
    (&[501_051, 50_105], ROLE_ADVICE),
    (
        &[7_000_112, 53_003, 530_003],
        "ask the tenant's administrator: the application is disabled, or a policy blocks it from this network",
    ),
];

/// The members of a refusal (RFC 6749, section 5.2; `error_codes` is Entra's own).
#[derive(Debug, Default)]
pub(super) struct TokenRefusal {
    error: String,
    error_description: String,
    error_codes: Vec<u32>,
}

impl TokenRefusal {
    /// Reads a body; none where it is not a refusal of an authority. A member of another form than is known
    /// costs only itself.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let members: Map<String, Value> = serde_json::from_slice(body).ok()?;
        let text = |name: &str| {
            let text = members.get(name).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let code = |code: &Value| match code {
            Value::String(text) => text.parse().ok(),
            code => u32::try_from(code.as_u64()?).ok(),
        };
        let codes = members.get("error_codes").and_then(Value::as_array);
        let mut refusal = Self {
            error: text("error"),
            error_description: text("error_description"),
            error_codes: codes.into_iter().flatten().filter_map(code).collect(),
        };
        // The services of Azure that have an identity refuse in their own form.
        if refusal.error.is_empty() && members.contains_key("statusCode") {
            refusal.error_description = text("message");
            return (!refusal.error_description.is_empty()).then_some(refusal);
        }
        (!refusal.error.is_empty()).then_some(refusal)
    }

    /// Whether it has the form that authorities have agreed on: nothing that stands before one speaks so.
    pub(super) fn is_of_authority(&self) -> bool {
        !self.error.is_empty()
    }

    /// Its words.
    pub(super) fn text(&self) -> String {
        match (self.error.as_str(), self.error_description.as_str()) {
            ("", words) | (words, "") => words.to_owned(),
            (error, description) => format!("{error}: {description}"),
        }
    }

    /// Whether the authority says that it could answer another time.
    pub(super) fn is_passing(&self) -> bool {
        ["temporarily_unavailable", "server_error"].contains(&self.error.as_str())
    }

    /// What to do about it.
    pub(super) fn advice(&self) -> &'static str {
        let codes = self.codes();
        let known = AADSTS
            .iter()
            .find(|(of, _)| of.iter().any(|code| codes.contains(code)));
        match (known, self.error.as_str()) {
            (Some((_, advice)), _) => advice,
            (None, "invalid_client" | "invalid_grant") => {
                "check --client-id, and the secret, certificate or federated token that goes with it"
            }
            (None, "unauthorized_client") => "check --client-id and --entra-tenant",
            (None, _) => "check --entra-tenant, --client-id and --authority",
        }
    }

    /// The codes that it names, in its list or in its words.
    fn codes(&self) -> Vec<u32> {
        let mut codes = self.error_codes.clone();
        for after in self.error_description.split("AADSTS").skip(1) {
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            codes.extend(digits.parse::<u32>().ok());
        }
        codes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_of_another_form_costs_only_itself() {
        for (body, said) in [
            (
                r#"{"error":"invalid_client","error_description":null}"#,
                "invalid_client",
            ),
            (r#"{"error":"x","error_codes":["7000215"]}"#, "x"),
            (r#"{"error":"x","error_codes":[99999999999,7000215]}"#, "x"),
            (
                r#"{"error":"x","error_description":"y","error_codes":7}"#,
                "x: y",
            ),
            (
                r#"{"statusCode":400,"message":"No identity."}"#,
                "No identity.",
            ),
        ] {
            let refusal = TokenRefusal::parse(body.as_bytes()).unwrap();
            assert_eq!(refusal.text(), said);
            assert_eq!(body.contains("7000215"), refusal.codes() == [7_000_215]);
        }
        for body in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"error":7}"#,
            r#"{"message":"x"}"#,
        ] {
            assert!(TokenRefusal::parse(body.as_bytes()).is_none(), "{body}");
        }
    }
}
