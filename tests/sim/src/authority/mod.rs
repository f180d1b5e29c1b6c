//! Who hands out bearer tokens: Entra's token endpoint, and the endpoints of managed identities.
//!
//! A reading of the pages "client credentials flow", "certificate credentials", "workload identity
//! federation" and "managed identities" of Microsoft's identity platform; refusals have the codes and the
//! form that Entra's have.

mod assertion;
mod refusal;

use std::collections::{BTreeMap, HashSet};

use serde_json::json;

use crate::faults::{Canned, Fault, FaultPlan, Moment};
use crate::server::{Accepted, Answer, Received, replacement};
use assertion::check_assertion;
use refusal::{Refused, refuse};

/// The service's own id in Entra (documented).
const SERVICE: &str = "05a65629-4c1b-48c1-a78b-804c4abdd4af";

/// Whom an authority knows.
#[derive(Clone, Debug)]
pub struct AuthorityOptions {
    pub tenant: String,
    pub client_id: String,
    /// Secrets of the application; there may be several while they are rotated.
    pub secrets: Vec<String>,
    /// Its certificates, in DER.
    pub certificates: Vec<Vec<u8>>,
    /// Tokens of another issuer that the application trusts.
    pub federated: Vec<String>,
    /// The header that a service's endpoint for managed identities wants; none, no such endpoint.
    pub identity_header: Option<String>,
    /// Whether a machine has an identity.
    pub machine_identity: bool,
    /// How long a token lives, in seconds (3,599, documented).
    pub life_s: u32,
    /// Whether a token is given again while it lives, as endpoints for managed identities do.
    pub repeats_tokens: bool,
    /// What goes wrong; [`At::Request`](crate::At::Request) counts requests for tokens from 0.
    pub faults: Vec<Fault>,
}

impl Default for AuthorityOptions {
    fn default() -> Self {
        Self {
            tenant: "contoso.example".to_owned(),
            client_id: "11111111-2222-3333-4444-555555555555".to_owned(),
            secrets: Vec::new(),
            certificates: Vec::new(),
            federated: Vec::new(),
            identity_header: None,
            machine_identity: false,
            life_s: 3_599,
            repeats_tokens: false,
            faults: Vec::new(),
        }
    }
}

/// One request for a token.
#[derive(Clone, Debug)]
pub struct TokenRequestLog {
    pub at_ms: i64,
    pub path: String,
    /// The members of the form or of the query.
    pub asked: BTreeMap<String, String>,
    /// 0 where there was no answer.
    pub status: u16,
}

/// An authority at work.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) options: AuthorityOptions,
    pub(crate) plan: FaultPlan,
    pub(crate) log: Vec<TokenRequestLog>,
    /// Ids of assertions that were taken: each is good once.
    seen: HashSet<String>,
    issued: u32,
}

/// What a request was answered with, and the credential that goes with it.
pub(crate) struct Issued {
    pub(crate) answer: Answer,
    pub(crate) accepted: Option<Accepted>,
}

impl Authority {
    pub(crate) fn new(mut options: AuthorityOptions) -> Self {
        Self {
            plan: FaultPlan::new(std::mem::take(&mut options.faults)),
            options,
            log: Vec::new(),
            seen: HashSet::new(),
            issued: 0,
        }
    }

    /// Answers a request for a token; none where it is another request.
    pub(crate) fn handle(&mut self, received: &Received, now_ms: i64) -> Option<Issued> {
        let path = received.path.as_str();
        let is_machine = path == "/metadata/identity/oauth2/token";
        let is_service = path == "/msi/token";
        let tenant = path
            .strip_suffix("/oauth2/v2.0/token")
            .and_then(|tenant| tenant.strip_prefix('/'));
        if !is_machine && !is_service && tenant.is_none() {
            return None;
        }
        let text = match tenant {
            Some(_) => String::from_utf8_lossy(&received.body).into_owned(),
            None => received.query.clone().unwrap_or_default(),
        };
        let asked: BTreeMap<String, String> = form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .collect();
        let number = self.log.len() as u64;
        self.log.push(TokenRequestLog {
            at_ms: now_ms,
            path: path.to_owned(),
            asked: asked.clone(),
            status: 0,
        });
        if let Some(answer) = self.fault(number) {
            self.note(&answer);
            return Some(Issued {
                answer,
                accepted: None,
            });
        }
        let judged = match tenant {
            Some(tenant) => self.judge_application(tenant, &asked, received, now_ms),
            None => self.judge_identity(is_service, &asked, received),
        };
        let issued = match judged {
            Ok(()) => self.issue(tenant.is_none(), is_service, now_ms),
            Err(refused) => Issued {
                answer: refused.answer(),
                accepted: None,
            },
        };
        self.note(&issued.answer);
        Some(issued)
    }

    fn note(&mut self, answer: &Answer) {
        let status = if answer.is_sent() { answer.status } else { 0 };
        if let Some(last) = self.log.last_mut() {
            last.status = status;
        }
    }

    fn fault(&mut self, request: u64) -> Option<Answer> {
        let due = self.plan.due(Moment {
            request,
            asked: None,
        });
        let (due, answer) = due
            .into_iter()
            .find_map(|due| replacement(&due.what).map(|answer| (due, answer)))?;
        self.plan.use_up(&due);
        Some(answer)
    }

    fn judge_application(
        &mut self,
        tenant: &str,
        form: &BTreeMap<String, String>,
        received: &Received,
        now_ms: i64,
    ) -> Result<(), Refused> {
        let member = |name: &str| form.get(name).map_or("", String::as_str);
        let is_form = received.header("content-type") == Some("application/x-www-form-urlencoded");
        if received.method != "POST" || !is_form || member("grant_type") != "client_credentials" {
            return Err(refuse(400, "unsupported_grant_type", 70_003));
        }
        if tenant != self.options.tenant {
            return Err(refuse(400, "invalid_request", 90_002));
        }
        if member("client_id") != self.options.client_id {
            return Err(refuse(400, "unauthorized_client", 700_016));
        }
        if member("scope") != format!("{SERVICE}/.default") {
            return Err(refuse(400, "invalid_scope", 70_011));
        }
        if let Some(secret) = form.get("client_secret") {
            return if self.options.secrets.contains(secret) {
                Ok(())
            } else {
                Err(refuse(401, "invalid_client", 7_000_215))
            };
        }
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let assertion = member("client_assertion");
        if member("client_assertion_type") != kind || assertion.is_empty() {
            return Err(refuse(401, "invalid_client", 7_000_218));
        }
        if self
            .options
            .federated
            .iter()
            .any(|token| token == assertion)
        {
            return Ok(());
        }
        let audience = format!(
            "http://{}{}",
            received.header("host").unwrap_or_default(),
            received.path
        );
        let id = check_assertion(assertion, &self.options, &audience, now_ms)?;
        if !self.seen.insert(id) {
            return Err(refuse(401, "invalid_client", 700_028));
        }
        Ok(())
    }

    fn judge_identity(
        &self,
        is_service: bool,
        query: &BTreeMap<String, String>,
        received: &Received,
    ) -> Result<(), Refused> {
        let version = query.get("api-version").map(String::as_str);
        let (is_allowed, expected) = if is_service {
            let wanted = self.options.identity_header.as_deref();
            let sent = received.header("x-identity-header");
            (wanted.is_some() && wanted == sent, "2019-08-01")
        } else {
            let sent = received.header("metadata");
            (sent == Some("true"), "2018-02-01")
        };
        if !is_allowed || received.method != "GET" || version != Some(expected) {
            return Err(Refused::plain(
                400,
                "invalid_request",
                "Required header not specified",
            ));
        }
        let id = query.get("client_id");
        let is_known = id.is_none_or(|id| *id == self.options.client_id);
        if !is_known || (!is_service && !self.options.machine_identity) {
            return Err(Refused::plain(400, "invalid_request", "Identity not found"));
        }
        if query.get("resource").map(String::as_str) != Some(SERVICE) {
            return Err(refuse(400, "invalid_resource", 500_011));
        }
        Ok(())
    }

    /// A token, in the form of who is asked: Entra says numbers, machines texts, services only an end.
    fn issue(&mut self, is_identity: bool, is_service: bool, now_ms: i64) -> Issued {
        self.issued += 1;
        let life_s = i64::from(self.options.life_s);
        let until_s = now_ms / 1_000 + life_s;
        let number = if self.options.repeats_tokens {
            1
        } else {
            self.issued
        };
        let token = format!("eyJzaW0iOjF9.issued{number:04}MARKEDbearer.c2lnbmVk");
        let body = match (is_identity, is_service) {
            (false, _) => json!({
                "token_type": "Bearer", "expires_in": life_s, "ext_expires_in": life_s,
                "access_token": token,
            }),
            (true, false) => json!({
                "access_token": token, "client_id": self.options.client_id,
                "expires_in": life_s.to_string(), "expires_on": until_s.to_string(),
                "resource": SERVICE, "token_type": "Bearer",
            }),
            (true, true) => json!({
                "access_token": token, "expires_on": until_s.to_string(),
                "resource": SERVICE, "token_type": "Bearer", "client_id": self.options.client_id,
            }),
        };
        Issued {
            answer: Answer::canned(&Canned::json(200, &body)),
            accepted: Some(Accepted::until(
                format!("Bearer {token}"),
                now_ms + life_s * 1_000,
            )),
        }
    }
}
