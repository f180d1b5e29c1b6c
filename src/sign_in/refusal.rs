//! What the authority's refusals mean, and what to do about each.
//!
//! Its codes (`AADSTS…`) are told apart for advice alone: they may change (page "error codes" of the
//! identity platform), and then the advice is a more general one.

use serde::Deserialize;

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
#[derive(Debug, Default, Deserialize)]
pub(super) struct TokenRefusal {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
    #[serde(default)]
    error_codes: Vec<u32>,
}

impl TokenRefusal {
    /// Reads a body; none where it is not a refusal of an authority.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let refusal: Self = serde_json::from_slice(body).ok()?;
        (!refusal.error.is_empty()).then_some(refusal)
    }

    /// Its words.
    pub(super) fn text(&self) -> String {
        match self.error_description.as_str() {
            "" => self.error.clone(),
            description => format!("{}: {description}", self.error),
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
