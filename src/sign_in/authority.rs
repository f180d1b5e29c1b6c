//! Where tokens come from: Entra's authority, or the endpoint of a managed identity.

use std::str::FromStr;

use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::https::{host_of, is_loopback};

/// Entra of the public cloud, and of GCC.
const COMMERCIAL: &str = "https://login.microsoftonline.com";
/// Entra of the United States' government cloud (GCC High), as other clients have it.
const GOVERNMENT: &str = "https://login.microsoftonline.us";
/// The service's hosts that belong to it (page "Network requirements").
const GOVERNMENT_HOSTS: &str = ".cloudappsecurity.us";
/// Where machines of Azure ask for tokens of their identity.
const MACHINE_METADATA: &str = "http://169.254.169.254";

/// Entra's address, such as `https://login.microsoftonline.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    base: Url,
}

/// Why a text is not the address of something that hands out tokens.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AuthorityError {
    /// It is not a URL.
    #[error("this is not a URL; use https://login.microsoftonline.com")]
    Syntax,
    /// It has another scheme.
    #[error("the scheme '{0}' is not supported; use https://…")]
    Scheme(String),
    /// Plain http to another machine would show the secret to everyone on the way.
    #[error("plain http would send the secret to {0} unencrypted; use https://…")]
    Insecure(String),
    /// It has parts that the address cannot have.
    #[error("the address cannot have a user, password, query or fragment; use https://<host>")]
    Parts,
}

impl Authority {
    /// That of the cloud to which a host of the service belongs.
    pub fn of_service(api_host: &str) -> Self {
        let name = api_host.split(':').next().unwrap_or_default();
        let base = if name.ends_with(GOVERNMENT_HOSTS) {
            GOVERNMENT
        } else {
            COMMERCIAL
        };
        base.parse().expect("the addresses above are addresses")
    }

    /// The host in lower case, with the port where it is not the scheme's own.
    pub(super) fn host(&self) -> String {
        host_of(&self.base)
    }

    /// Whether requests travel unencrypted, inside this machine.
    pub(super) fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// Where tokens of a tenant are asked for (page "client credentials flow").
    pub(super) fn token_url(&self, tenant: &str) -> Url {
        let mut url = self.base.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{tenant}/oauth2/v2.0/token"));
        url
    }
}

impl FromStr for Authority {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let base = address(text)?;
        if base.scheme() == "http" && !is_loopback(&base) {
            return Err(AuthorityError::Insecure(host_of(&base)));
        }
        Ok(Self { base })
    }
}

/// Reads an address of http or https.
fn address(text: &str) -> Result<Url, AuthorityError> {
    let text = text.trim();
    if !text.contains("://") {
        return Err(AuthorityError::Syntax);
    }
    let base = Url::parse(text).map_err(|_| AuthorityError::Syntax)?;
    let has_login = !base.username().is_empty() || base.password().is_some();
    if has_login || base.query().is_some() || base.fragment().is_some() {
        return Err(AuthorityError::Parts);
    }
    match base.scheme() {
        "http" | "https" if base.host().is_some() => Ok(base),
        "http" | "https" => Err(AuthorityError::Syntax),
        other => Err(AuthorityError::Scheme(other.to_owned())),
    }
}

/// Where a machine or service of Azure asks for tokens of its identity (page "managed identities").
pub struct IdentityEndpoint {
    url: Url,
    version: &'static str,
    header: HeaderName,
    value: SecretString,
}

impl IdentityEndpoint {
    /// That of a service that tells its address and a header to send (App Service, Functions,
    /// Container Apps): the variables `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`.
    pub fn of_service(url: &str, header: SecretString) -> Result<Self, AuthorityError> {
        Ok(Self {
            url: near(url)?,
            version: "2019-08-01",
            header: HeaderName::from_static("x-identity-header"),
            value: header,
        })
    }

    /// That of a machine: the usual one, or another that stands in for it
    /// (`AZURE_POD_IDENTITY_AUTHORITY_HOST`).
    pub fn of_machine(base: Option<&str>) -> Result<Self, AuthorityError> {
        let mut url = near(base.unwrap_or(MACHINE_METADATA))?;
        url.set_path("/metadata/identity/oauth2/token");
        Ok(Self {
            url,
            version: "2018-02-01",
            header: HeaderName::from_static("metadata"),
            value: "true".into(),
        })
    }

    pub(super) fn host(&self) -> String {
        host_of(&self.url)
    }

    /// Where the token for a resource is asked for, as one of several identities where one is named.
    pub(super) fn token_url(&self, resource: &str, client_id: Option<&str>) -> Url {
        let mut url = self.url.clone();
        let mut query = url.query_pairs_mut();
        query.append_pair("api-version", self.version);
        query.append_pair("resource", resource);
        query.extend_pairs(client_id.map(|id| ("client_id", id)));
        drop(query);
        url
    }

    /// The header that goes with the question, which no redirected request has; none where it cannot
    /// be sent.
    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let mut value = HeaderValue::from_str(self.value.expose_secret()).ok()?;
        value.set_sensitive(self.header != "metadata");
        Some((self.header.clone(), value))
    }
}

/// Reads the address of something that answers inside this machine, or for it alone.
fn near(text: &str) -> Result<Url, AuthorityError> {
    let url = address(text)?;
    let is_link_local = matches!(url.host(), Some(Host::Ipv4(ip)) if ip.is_link_local());
    if url.scheme() == "http" && !is_link_local && !is_loopback(&url) {
        return Err(AuthorityError::Insecure(host_of(&url)));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_that_of_the_cloud_of_the_service() {
        let hosts = [
            ("contoso.eu2.portal.cloudappsecurity.com", COMMERCIAL),
            ("contoso.us1.portal.cloudappsecuritygov.com", COMMERCIAL),
            ("contoso.us1.portal.cloudappsecurity.us", GOVERNMENT),
            ("contoso.us1.portal.cloudappsecurity.us:8443", GOVERNMENT),
            ("127.0.0.1:80", COMMERCIAL),
        ];
        for (host, authority) in hosts {
            let url = Authority::of_service(host).token_url("contoso.example");
            let expected = format!("{authority}/contoso.example/oauth2/v2.0/token");
            assert_eq!(url.as_str(), expected, "{host}");
        }
    }

    #[test]
    fn secrets_go_in_plain_to_this_machine_only() {
        for text in [
            "https://login.microsoftonline.us/",
            "http://127.0.0.1:1/base/",
            "http://[::1]:1",
        ] {
            assert!(text.parse::<Authority>().is_ok(), "{text}");
        }
        let insecure = |host: &str| AuthorityError::Insecure(host.to_owned());
        let refused = [
            ("http://login.example", insecure("login.example")),
            ("http://169.254.169.254", insecure("169.254.169.254")),
            (
                "http://localhost.example:8",
                insecure("localhost.example:8"),
            ),
            ("login.example", AuthorityError::Syntax),
            ("https://", AuthorityError::Syntax),
            (
                "ftp://login.example",
                AuthorityError::Scheme("ftp".to_owned()),
            ),
            ("https://a:b@login.example", AuthorityError::Parts),
            ("https://login.example?x", AuthorityError::Parts),
        ];
        for (text, error) in refused {
            assert_eq!(text.parse::<Authority>(), Err(error), "{text}");
        }
        for (url, is_near) in [
            ("http://169.254.130.2:8081/msi/token", true),
            ("http://localhost:42356/msi/token", true),
            ("http://10.0.0.1/msi/token", false),
            ("http://identity.example", false),
        ] {
            let endpoint = IdentityEndpoint::of_service(url, "x".into());
            assert_eq!(endpoint.is_ok(), is_near, "{url}");
        }
    }

    #[test]
    fn a_machine_and_a_service_are_asked_in_their_own_ways() {
        let machine = IdentityEndpoint::of_machine(None).unwrap();
        assert_eq!(
            machine.token_url("the-api", None).as_str(),
            "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=the-api"
        );
        assert_eq!(machine.header().unwrap().0, "metadata");
        let service = IdentityEndpoint::of_service("http://localhost:7/msi/token", "h".into());
        let service = service.unwrap();
        assert_eq!(
            service.token_url("the-api", Some("me")).as_str(),
            "http://localhost:7/msi/token?api-version=2019-08-01&resource=the-api&client_id=me"
        );
        let (name, value) = service.header().unwrap();
        assert_eq!(
            (name.as_str(), value.is_sensitive()),
            ("x-identity-header", true)
        );
    }
}
