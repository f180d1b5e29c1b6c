//! A token as it was issued: what the answer says of it, and how long it is good.

use std::time::Duration;

use http::HeaderValue;
use secrecy::SecretString;
use serde_json::{Map, Value};

/// A token is renewed so long before its end, or a tenth of its life where that is shorter.
const MARGIN: Duration = Duration::from_secs(60);
/// A token that says that it lives longer does not.
const MAX_LIFE_S: i64 = 24 * 60 * 60;

/// A bearer token.
pub(super) struct Issued {
    pub(super) header: HeaderValue,
    pub(super) token: SecretString,
    /// When it was asked for, by the clock that never goes back.
    asked: Duration,
    /// How long it is good from then on; none where the answer does not say.
    pub(super) life: Option<Duration>,
    /// Not renewed before, where that has been tried in vain.
    put_off_until: Duration,
}

impl Issued {
    /// Reads an answer (RFC 6749, section 5.1). Entra says `expires_in` as a number; endpoints of
    /// managed identities say it, or only `expires_on`, in seconds since the epoch, as a text.
    ///
    /// # Errors
    /// What the answer lacks.
    pub(super) fn parse(body: &[u8], asked: Duration, now_ms: i64) -> Result<Self, &'static str> {
        let answer: Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| "it is not a JSON object")?;
        let kind = answer.get("token_type").and_then(Value::as_str);
        if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err("its token_type is not Bearer");
        }
        let token = answer.get("access_token").and_then(Value::as_str);
        let token = token.filter(|token| !token.trim().is_empty());
        let token = token.ok_or("it has no access_token")?;
        let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| "a header cannot carry its access_token")?;
        header.set_sensitive(true);
        let life_s = seconds(answer.get("expires_in")).or_else(|| {
            let until_s = seconds(answer.get("expires_on"))?;
            Some(until_s.saturating_sub(now_ms / 1_000))
        });
        let life_s = life_s.filter(|life_s| *life_s > 0);
        let life_s = life_s.and_then(|life_s| u64::try_from(life_s.min(MAX_LIFE_S)).ok());
        Ok(Self {
            header,
            token: token.into(),
            asked,
            life: life_s.map(Duration::from_secs),
            put_off_until: Duration::ZERO,
        })
    }

    /// Whether it is time for another one.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        let is_near = |life: Duration| now >= self.asked + life.saturating_sub(margin(life));
        now >= self.put_off_until && self.life.is_some_and(is_near)
    }

    /// Lets a part of the time pass that is left before its end.
    pub(super) fn put_off(&mut self, now: Duration) {
        self.put_off_until = now + self.life.map_or(MARGIN, margin) / 4;
    }

    /// How long it is good from now on, where that is known.
    pub(super) fn remaining(&self, now: Duration) -> Option<Duration> {
        Some((self.asked + self.life?).saturating_sub(now))
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.life.is_some_and(|life| now >= self.asked + life)
    }
}

/// How long before its end a token of such a life is renewed.
fn margin(life: Duration) -> Duration {
    MARGIN.min(life / 10)
}

/// A whole number of seconds, as a number or a text.
fn seconds(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_082_400_000;

    fn parse(body: &str) -> Result<Issued, &'static str> {
        Issued::parse(body.as_bytes(), Duration::from_secs(100), NOW_MS)
    }

    #[test]
    fn the_life_is_read_in_every_form_in_which_it_is_said() {
        let cases = [
            (r#""expires_in":3599"#, Some(3_599)),
            (r#""expires_in":"86399""#, Some(86_399)),
            (r#""expires_on":"1795086000""#, Some(3_600)),
            (r#""expires_in":"","expires_on":1795086000"#, Some(3_600)),
            (r#""expires_in":99999999999"#, Some(86_400)),
            (r#""expires_in":0"#, None),
            (r#""expires_on":"12""#, None),
            (r#""expires_on":"11/05/2026 15:18:31 +00:00""#, None),
            (r#""expires_in":null"#, None),
            (r#""x":1"#, None),
        ];
        for (life, seconds) in cases {
            let issued = parse(&format!(r#"{{"access_token":"t",{life}}}"#))
                .ok()
                .unwrap();
            assert_eq!(issued.life, seconds.map(Duration::from_secs), "{life}");
        }
    }

    #[test]
    fn a_token_is_due_a_minute_or_a_tenth_of_its_life_before_its_end() {
        for (life_s, due_s) in [(3_599, 3_539), (600, 540), (100, 90), (10, 9)] {
            let issued = parse(&format!(r#"{{"access_token":"t","expires_in":{life_s}}}"#));
            let issued = issued.ok().unwrap();
            let at = |s: u64| Duration::from_secs(100 + s);
            assert!(
                !issued.is_due(at(due_s - 1)) && issued.is_due(at(due_s)),
                "{life_s}"
            );
            assert!(!issued.is_over(at(life_s - 1)) && issued.is_over(at(life_s)));
        }
        let mut late = parse(r#"{"access_token":"t","expires_in":600}"#)
            .ok()
            .unwrap();
        late.put_off(Duration::from_secs(640));
        assert!(!late.is_due(Duration::from_secs(654)) && late.is_due(Duration::from_secs(655)));
        let endless = parse(r#"{"access_token":"t"}"#).ok().unwrap();
        assert!(!endless.is_due(Duration::MAX) && !endless.is_over(Duration::MAX));
    }

    #[test]
    fn an_answer_without_a_token_to_send_is_none() {
        for body in [
            "",
            "[]",
            "<html>",
            "{}",
            r#"{"access_token":""}"#,
            r#"{"access_token":7}"#,
            r#"{"access_token":"a\nb"}"#,
            r#"{"access_token":"t","token_type":"MAC"}"#,
        ] {
            assert!(parse(body).is_err(), "{body}");
        }
        assert!(parse(r#"{"access_token":"t","token_type":"bearer"}"#).is_ok());
    }
}
