//! The address of the service.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::https::{host_of, is_loopback};

/// The address of a tenant's API, such as `https://contoso.eu2.portal.cloudappsecurity.com`.
///
/// The portal shows it with or without `/api` (page "Introduction"); both are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiUrl {
    base: Url,
}

/// Why a text is not an address of the service.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ApiUrlError {
    /// It is not a URL.
    #[error("'{0}' is not a URL; use https://<tenant>.<region>.portal.cloudappsecurity.com")]
    Syntax(String),
    /// It has another scheme.
    #[error("the scheme '{0}' is not supported; use https://…")]
    Scheme(String),
    /// Plain http to another machine would show the token to everyone on the way.
    #[error("plain http would send the token to {0} unencrypted; use https://…")]
    Insecure(String),
    /// It has parts that the API's address cannot have.
    #[error(
        "the API's address cannot have a user, password, query or fragment; use https://<host>"
    )]
    Parts,
}

impl ApiUrl {
    /// The host in lower case, with the port where it is not the scheme's own.
    pub fn host(&self) -> String {
        host_of(&self.base)
    }

    /// Whether requests travel unencrypted, inside this machine.
    pub(crate) fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// Where activities are asked for.
    pub(super) fn activities(&self) -> Url {
        let mut url = self.base.clone();
        let path = url.path().trim_end_matches('/');
        let base = path.strip_suffix("/activities").unwrap_or(path);
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let base = base.strip_suffix("/api").unwrap_or(base).to_owned();
        url.set_path(&format!("{base}/api/v1/activities/"));
        url
    }
}

impl FromStr for ApiUrl {
    type Err = ApiUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let syntax = || {
            // What stands before an @ may be a password.
            let shown = text.rsplit('@').next().unwrap_or_default();
            ApiUrlError::Syntax(shown.to_owned())
        };
        if !text.contains("://") {
            return Err(syntax());
        }
        let base = Url::parse(text).map_err(|_| syntax())?;
        if base.host().is_none() {
            return Err(syntax());
        }
        let has_login = !base.username().is_empty() || base.password().is_some();
        if has_login || base.query().is_some() || base.fragment().is_some() {
            return Err(ApiUrlError::Parts);
        }
        match base.scheme() {
            "https" => Ok(Self { base }),
            "http" if is_loopback(&base) => Ok(Self { base }),
            "http" => Err(ApiUrlError::Insecure(
                base.host_str().unwrap_or_default().to_owned(),
            )),
            other => Err(ApiUrlError::Scheme(other.to_owned())),
        }
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_that_the_portal_shows_leads_to_the_same_place() {
        for text in [
            "https://Contoso.eu2.portal.cloudappsecurity.com",
            "https://contoso.eu2.portal.cloudappsecurity.com/api",
            "https://contoso.eu2.portal.cloudappsecurity.com/api/v1/",
            "https://contoso.eu2.portal.cloudappsecurity.com:443/api/v1/activities/",
        ] {
            let url: ApiUrl = text.parse().unwrap();
            assert_eq!(url.host(), "contoso.eu2.portal.cloudappsecurity.com");
            assert_eq!(
                url.activities().as_str(),
                "https://contoso.eu2.portal.cloudappsecurity.com/api/v1/activities/"
            );
        }
        let cas: ApiUrl = "https://portal.cloudappsecurity.com/cas/api"
            .parse()
            .unwrap();
        assert_eq!(cas.activities().path(), "/cas/api/v1/activities/");
    }

    #[test]
    fn only_the_machine_itself_is_spoken_to_in_plain() {
        for text in [
            "http://127.0.0.1:8080",
            "http://localhost:1",
            "http://[::1]:2",
        ] {
            assert!(text.parse::<ApiUrl>().is_ok(), "{text}");
        }
        let refused = [
            (
                "http://contoso.example",
                ApiUrlError::Insecure("contoso.example".to_owned()),
            ),
            (
                "ftp://contoso.example",
                ApiUrlError::Scheme("ftp".to_owned()),
            ),
            (
                "contoso.example",
                ApiUrlError::Syntax("contoso.example".to_owned()),
            ),
            ("https://", ApiUrlError::Syntax("https://".to_owned())),
            (
                "https://me:secret@conto so",
                ApiUrlError::Syntax("conto so".to_owned()),
            ),
            (
                "http://localhost.contoso.example",
                ApiUrlError::Insecure("localhost.contoso.example".to_owned()),
            ),
            ("https://u:p@contoso.example", ApiUrlError::Parts),
            ("https://contoso.example?x=1", ApiUrlError::Parts),
        ];
        for (text, error) in refused {
            assert_eq!(text.parse::<ApiUrl>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in ".*", tail in "(https?|s3)://.*") {
            let _ = text.parse::<ApiUrl>();
            let _ = tail.parse::<ApiUrl>();
        }
    }
}
