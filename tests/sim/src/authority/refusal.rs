//! Refusals as Entra words them.

use serde_json::json;

use crate::faults::{Canned, What};
use crate::server::Answer;

/// A refusal.
#[derive(Clone, Debug)]
pub(crate) struct Refused(Canned);

impl Refused {
    /// One without a code, as endpoints of managed identities have it.
    pub(crate) fn plain(status: u16, error: &str, description: &str) -> Self {
        Self(Canned::json(
            status,
            &json!({"error": error, "error_description": description}),
        ))
    }

    pub(crate) fn answer(&self) -> Answer {
        Answer::canned(&self.0)
    }
}

/// A refusal by its code.
pub(crate) fn refuse(status: u16, error: &str, code: u32) -> Refused {
    let words = match code {
        7_000_215 => {
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '11111111-2222-3333-4444-555555555555'."
        }
        7_000_222 => {
            "The provided client secret keys for app '11111111-2222-3333-4444-555555555555' are expired."
        }
        700_016 => "Application was not found in the directory 'contoso.example'.",
        90_002 => {
            "Tenant was not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
        }
        700_024 => "Client assertion is not within its valid time range.",
        700_027 => "The certificate with this thumbprint is not registered on the application.",
        700_028 => "The assertion was used before.",
        700_213 => "No matching federated identity record found for presented assertion subject.",
        500_011 => "The resource principal was not found in the tenant.",
        501_051 => "The application is not assigned to a role for the application.",
        _ => "The request is not one that can be answered.",
    };
    let description = format!(
        "AADSTS{code}: {words} Trace ID: 0000aaaa-11bb-cccc-dd22-eeeeee333333 Correlation ID: aaaa0000-bb11-2222-33cc-444444dddddd Timestamp: 2026-11-20 10:00:00Z"
    );
    Refused(Canned::json(
        status,
        &json!({
            "error": error, "error_description": description, "error_codes": [code],
            "timestamp": "2026-11-20 10:00:00Z", "trace_id": "0000aaaa-11bb-cccc-dd22-eeeeee333333",
            "correlation_id": "aaaa0000-bb11-2222-33cc-444444dddddd",
        }),
    ))
}

impl What {
    /// Entra refuses with one of its codes.
    pub fn entra_refuses(status: u16, error: &str, code: u32) -> Self {
        Self::Answer(refuse(status, error, code).0)
    }
}
