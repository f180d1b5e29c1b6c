//! As whom, and where, a token is asked for: the question, without the asking.

use std::fmt::Display;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method};
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use url::{Url, form_urlencoded};

use super::authority::{Authority, IdentityEndpoint};
use super::error::SignInError;
use super::proof::{Proof, Shown};

/// The service, as Entra knows it: "Microsoft Cloud App Security" (page "Application context").
const SERVICE: &str = "05a65629-4c1b-48c1-a78b-804c4abdd4af";
/// What kind of assertion goes along (RFC 7523, section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// As whom a token is asked for.
pub enum Way {
    /// As an application of a tenant.
    Application {
        /// Who answers.
        authority: Authority,
        /// The tenant's id or domain.
        tenant: String,
        /// The application's id.
        client_id: String,
        /// What it shows.
        proof: Proof,
    },
    /// As the identity of the machine or service of Azure that this is.
    ManagedIdentity {
        /// Who answers.
        endpoint: IdentityEndpoint,
        /// Which one, where there are several.
        client_id: Option<String>,
    },
}

/// A request for a token, and the secrets in it.
pub(super) struct TokenRequest {
    pub(super) request: RequestBuilder,
    pub(super) secrets: Vec<SecretString>,
}

impl Way {
    /// As whom, for errors.
    pub(super) fn who(&self) -> String {
        match self {
            Self::Application {
                tenant, client_id, ..
            } => format!("application {client_id} of tenant {tenant}"),
            Self::ManagedIdentity {
                client_id: Some(id),
                ..
            } => format!("managed identity {id}"),
            Self::ManagedIdentity {
                client_id: None, ..
            } => "the managed identity of this machine".to_owned(),
        }
    }

    /// Who answers, for errors.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Application { authority, .. } => authority.host(),
            Self::ManagedIdentity { endpoint, .. } => endpoint.host(),
        }
    }

    /// Whether the question stays near, so that no proxy may come between.
    pub(super) fn is_near(&self) -> bool {
        match self {
            Self::Application { authority, .. } => authority.is_plain(),
            Self::ManagedIdentity { .. } => true,
        }
    }

    /// The question, as it is asked now.
    pub(super) fn request(&self, http: &Client, now_ms: i64) -> Result<TokenRequest, SignInError> {
        match self {
            Self::Application {
                authority,
                tenant,
                client_id,
                proof,
            } => ask_as_application(http, &authority.token_url(tenant), client_id, proof, now_ms),
            Self::ManagedIdentity {
                endpoint,
                client_id,
            } => {
                let url = endpoint.token_url(SERVICE, client_id.as_deref());
                let (name, value) = endpoint
                    .header()
                    .ok_or_else(|| unusable("IDENTITY_HEADER", &"a header cannot carry it"))?;
                let secret = value.to_str().ok().filter(|_| value.is_sensitive());
                Ok(TokenRequest {
                    secrets: secret.into_iter().map(SecretString::from).collect(),
                    request: http.request(Method::GET, url).header(name, value),
                })
            }
        }
    }
}

/// The client credentials flow: the secret, or what stands for it, in the form that is posted.
fn ask_as_application(
    http: &Client,
    url: &Url,
    client_id: &str,
    proof: &Proof,
    now_ms: i64,
) -> Result<TokenRequest, SignInError> {
    let shown = proof
        .show()
        .map_err(|error| unusable(&proof.place(), &error))?;
    let (name, secret) = match shown {
        Shown::Secret(secret) => ("client_secret", secret),
        Shown::Assertion(token) => ("client_assertion", token),
        Shown::Certificate(certificate) => {
            let assertion = certificate.assertion(client_id, url.as_str(), now_ms);
            let assertion = assertion.map_err(|error| unusable(&proof.place(), &error))?;
            ("client_assertion", assertion)
        }
    };
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials")
        .append_pair("client_id", client_id)
        .append_pair("scope", &format!("{SERVICE}/.default"))
        .append_pair(name, secret.expose_secret());
    if name == "client_assertion" {
        form.append_pair("client_assertion_type", ASSERTION_TYPE);
    }
    let request = http
        .post(url.clone())
        .header(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        )
        .header(ACCEPT, HeaderValue::from_static("application/json"))
        .body(form.finish());
    Ok(TokenRequest {
        request,
        secrets: vec![secret],
    })
}

fn unusable(place: &str, why: &dyn Display) -> SignInError {
    SignInError::Proof {
        place: place.to_owned(),
        why: why.to_string(),
    }
}
