//! The secrets that a request carries and those that it is made with, to take them out of its answer.

use http::header::AUTHORIZATION;
use object_store::client::HttpRequest;
use url::form_urlencoded;

use super::settings::KnownSecrets;

/// The header in which S3's temporary credentials travel.
const SESSION_TOKEN: &str = "x-amz-security-token";
/// Names of parameters, in a query or a form, whose values are secrets: of signed URLs and of sign-ins.
const PARAMETERS: [&str; 6] = [
    "sig",
    "x-amz-signature",
    "x-amz-security-token",
    "client_secret",
    "client_assertion",
    "assertion",
];

/// What of a request nobody may see, and of what it is made with. It cannot be printed.
pub(super) struct SentSecrets {
    carried: Vec<String>,
    known: KnownSecrets,
}

impl SentSecrets {
    /// The secrets of a request, beside those that are known.
    pub(super) fn of(request: &HttpRequest, known: &KnownSecrets) -> Self {
        let header = |name| {
            let value = request.headers().get(name)?.to_str().ok()?;
            // Of `AWS4-HMAC-SHA256 …, Signature=x`, `Bearer x` and `SharedKey account:x` the x.
            let last = value.rsplit([' ', ':']).next()?;
            Some(last.strip_prefix("Signature=").unwrap_or(last).to_owned())
        };
        let mut secrets: Vec<String> = [AUTHORIZATION.as_str(), SESSION_TOKEN]
            .into_iter()
            .filter_map(header)
            .collect();
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let form = request
            .headers()
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|kind| {
                kind.as_bytes()
                    .starts_with(b"application/x-www-form-urlencoded")
            });
        let form = request.body().as_bytes().filter(|_| form);
        for text in [Some(query), form.map(AsRef::as_ref)].into_iter().flatten() {
            let secret = |(name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
                let is_secret = PARAMETERS
                    .iter()
                    .any(|known| name.eq_ignore_ascii_case(known));
                is_secret.then(|| value.into_owned())
            };
            secrets.extend(form_urlencoded::parse(text).filter_map(secret));
        }
        Self {
            carried: secrets,
            known: known.clone(),
        }
    }

    /// A text of the answer without them.
    pub(super) fn redact(&self, text: &str) -> String {
        self.known.redact(text, &self.carried)
    }
}

#[cfg(test)]
mod tests {
    use object_store::client::HttpRequestBody;

    use super::*;

    #[test]
    fn what_a_request_carries_is_taken_out_of_its_answer() {
        let request = |body: &'static str| {
            http::Request::builder()
                .uri("https://a.example/c?sv=1&sig=s1gn%2Fature%3D&comp=list")
                .header(
                    "authorization",
                    "AWS4-HMAC-SHA256 Credential=id/us-east-1, Signature=00ff11ee",
                )
                .header("x-amz-security-token", "Sess10n+Token/==")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(HttpRequestBody::from(body.to_owned()))
                .unwrap()
        };
        let secrets = SentSecrets::of(
            &request("grant_type=x&client_secret=Cl1ent%7Esecret"),
            &KnownSecrets::default(),
        );
        for secret in [
            "s1gn/ature=",
            "00ff11ee",
            "Sess10n+Token/==",
            "Cl1ent~secret",
            "s1gn%2Fature%3D",
        ] {
            let clean = secrets.redact(&format!("not with <{secret}>, us-east-1"));
            assert_eq!(clean, "not with <[secret]>, us-east-1");
        }
    }
}
