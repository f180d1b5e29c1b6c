//! Secrets taken out of a text that somebody else wrote: an answer may repeat what it was sent, whole
//! or in part, escaped, encoded, or with something in between.
//!
//! A text is looked at in several readings at once: as it stands, with its escapes undone (JSON's,
//! percent signs, XML's), those undone again, and what its runs of base64 and hexadecimal digits stand
//! for. What a secret shows up in, in any of them, is left out of the text.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::text::plain::is_steering;

/// What stands for that which was left out.
const LEFT_OUT: &str = "[secret]";
/// So many letters and digits of a secret in a row are part of it, not chance.
const PIECE: usize = 10;
/// A secret with fewer letters and digits is only looked for as it stands.
const MIN_PIECE: usize = 4;
/// How often escapes are undone: an answer that quotes an answer that quotes a URL.
const ROUNDS: usize = 3;
/// Shorter runs of base64 or hexadecimal digits are words.
const MIN_RUN: usize = 8;
/// A value behind a colon is a secret from this length on; a shorter one is a word.
const MIN_VALUE: usize = 16;

/// What is written before a secret, in lower case. Behind `=` the value is one whatever its length.
const NAMES: [&str; 15] = [
    "accesskey",
    "accountkey",
    "api_key",
    "apikey",
    "authorization",
    "client_assertion",
    "credential",
    "password",
    "secret",
    "sig",
    "signature",
    "token",
    "x-amz-security-token",
    "bearer",
    "cookie",
];

/// A character of a reading, and the bytes of the text that it is read from.
#[derive(Debug, Clone, Copy)]
struct Read {
    c: char,
    from: usize,
    to: usize,
}

/// The text without these secrets, without what looks like one by its name (`sig=…`,
/// `security-token: …`), and without characters that steer a terminal.
pub fn redact(text: &str, secrets: &[&str]) -> String {
    let mut found = vec![false; text.len()];
    for reading in readings(text) {
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            mark_secret(&reading, secret, &mut found);
        }
        mark_named(&reading, &mut found);
    }
    let mut clean = String::with_capacity(text.len());
    let mut within = false;
    for (at, c) in text.char_indices() {
        if found[at] {
            if !within {
                clean.push_str(LEFT_OUT);
            }
            within = true;
            continue;
        }
        within = false;
        match c {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => clean.push(' '),
            c if is_steering(c) => {}
            c => clean.push(c),
        }
    }
    clean
}

fn readings(text: &str) -> Vec<Vec<Read>> {
    let as_it_stands: Vec<Read> = text
        .char_indices()
        .map(|(from, c)| Read {
            c,
            from,
            to: from + c.len_utf8(),
        })
        .collect();
    let mut readings = vec![as_it_stands];
    for _ in 0..ROUNDS {
        let last = readings.last().expect("there is a first reading");
        let next = undo_escapes(last);
        if next.len() == last.len() {
            break;
        }
        readings.push(next);
    }
    let encoded: Vec<Vec<Read>> = readings.iter().flat_map(|text| undo_codes(text)).collect();
    readings.extend(encoded);
    readings
}

/// Undoes one layer of escapes.
fn undo_escapes(text: &[Read]) -> Vec<Read> {
    let mut undone = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.first() {
        let (c, length) = escape(rest).unwrap_or((first.c, 1));
        undone.push(Read {
            c,
            from: first.from,
            to: rest[length - 1].to,
        });
        rest = &rest[length..];
    }
    undone
}

/// The character that an escape at the beginning stands for, and the escape's length.
fn escape(text: &[Read]) -> Option<(char, usize)> {
    let code = |from: usize, digits: usize| -> Option<char> {
        let text: String = text
            .get(from..from + digits)?
            .iter()
            .map(|read| read.c)
            .collect();
        char::from_u32(u32::from_str_radix(&text, 16).ok()?)
    };
    match (text.first()?.c, text.get(1)?.c) {
        ('%', _) => Some((code(1, 2)?, 3)),
        ('\\', 'u') => Some((code(2, 4)?, 6)),
        ('\\', 'x') => Some((code(2, 2)?, 4)),
        ('\\', 'n' | 'r' | 't' | 'b' | 'f') => Some((' ', 2)),
        ('\\', c) => Some((c, 2)),
        ('&', _) => entity(text),
        _ => None,
    }
}

/// A character reference of XML and HTML.
fn entity(text: &[Read]) -> Option<(char, usize)> {
    let end = text.iter().take(12).position(|read| read.c == ';')?;
    let name: String = text[1..end].iter().map(|read| read.c).collect();
    let c = match name.as_str() {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        name => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((c, end + 1))
}

/// What the runs of base64 and hexadecimal digits stand for. All that is read from a run stands for
/// the whole of it.
fn undo_codes(text: &[Read]) -> Vec<Vec<Read>> {
    let is_digit = |read: &Read| read.c.is_ascii_alphanumeric() || "+/-_".contains(read.c);
    text.split(|read| !is_digit(read))
        .filter(|run| run.len() >= MIN_RUN)
        .flat_map(|run| {
            let digits: Vec<u8> = run
                .iter()
                .filter_map(|read| u8::try_from(read.c).ok())
                .collect();
            let (from, to) = (run[0].from, run[run.len() - 1].to);
            let decoded = decode_base64(&digits)
                .into_iter()
                .chain(decode_hex(&digits));
            decoded
                .map(|bytes| {
                    let chars = bytes.into_iter().map(char::from);
                    chars.map(|c| Read { c, from, to }).collect()
                })
                .collect::<Vec<Vec<Read>>>()
        })
        .collect()
}

/// The run may begin in the middle of four digits that belong together.
fn decode_base64(digits: &[u8]) -> Vec<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let engines = [STANDARD, URL_SAFE].map(|alphabet| GeneralPurpose::new(&alphabet, config));
    let mut decoded = Vec::new();
    for start in 0..4.min(digits.len()) {
        let digits = &digits[start..];
        // A single digit at the end stands for nothing.
        let digits = &digits[..digits.len() - usize::from(digits.len() % 4 == 1)];
        decoded.extend(
            engines
                .iter()
                .filter_map(|engine| engine.decode(digits).ok()),
        );
    }
    decoded
}

fn decode_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digits = std::str::from_utf8(digits).ok()?;
    (0..digits.len() / 2)
        .map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).ok())
        .collect()
}

fn mark(read: &[Read], found: &mut [bool]) {
    // All that is read from one run stands for the whole of it, which is marked once.
    for same in read.chunk_by(|one, next| (one.from, one.to) == (next.from, next.to)) {
        found[same[0].from..same[0].to].fill(true);
    }
}

/// Finds a secret as it stands, and pieces of it whatever stands between their letters and digits.
fn mark_secret(text: &[Read], secret: &str, found: &mut [bool]) {
    let whole: Vec<char> = secret.chars().collect();
    for at in text
        .windows(whole.len())
        .enumerate()
        .filter(|(_, window)| window.iter().map(|read| read.c).eq(whole.iter().copied()))
        .map(|(at, _)| at)
    {
        mark(&text[at..at + whole.len()], found);
    }
    let letters: Vec<char> = secret.chars().filter_map(letter).collect();
    if letters.len() < MIN_PIECE {
        return;
    }
    let length = letters.len().min(PIECE);
    let pieces: std::collections::HashSet<&[char]> = letters.windows(length).collect();
    let text: Vec<Read> = text
        .iter()
        .filter_map(|read| {
            Some(Read {
                c: letter(read.c)?,
                ..*read
            })
        })
        .collect();
    let plain: Vec<char> = text.iter().map(|read| read.c).collect();
    for (at, window) in plain.windows(length).enumerate() {
        if pieces.contains(window) {
            let (first, last) = (text[at].from, text[at + length - 1].to);
            if first < last {
                found[first..last].fill(true);
            }
        }
    }
}

/// A letter or a digit, in lower case.
fn letter(c: char) -> Option<char> {
    c.is_ascii_alphanumeric().then_some(c.to_ascii_lowercase())
}

/// Finds what has the name of a secret before it, in a time that grows as the text does: names may stand
/// close together, and what follows one of them reach to the end.
fn mark_named(text: &[Read], found: &mut [bool]) {
    let word_ends = ends_of(text, |c| c.is_whitespace() || "&\"'<>,;\\".contains(c));
    let space_ends = ends_of(text, |c| c != ' ');
    let mut marked = 0;
    for (at, _) in text.iter().enumerate() {
        let Some(name) = NAMES.iter().find(|name| begins_with(&text[at..], name)) else {
            continue;
        };
        let behind = at + name.len();
        let is_between = |read: &&Read| " =:\"'\\>".contains(read.c);
        let between = text[behind..].iter().take_while(is_between).count();
        let start = behind + between;
        let mut end = word_ends[start];
        // `Authorization: Token …` is two words.
        if matches!(*name, "authorization" | "cookie") {
            end = word_ends[space_ends[end]];
        }
        let has_sign = text[behind..start].iter().any(|read| read.c == '=');
        let is_secret = has_sign && end > start || between > 0 && end - start >= MIN_VALUE;
        if is_secret {
            // What comes before was marked with an earlier name.
            mark(&text[start.max(marked).min(end)..end], found);
            marked = marked.max(end);
        }
    }
}

/// For each place of a text, and the one behind it, where next something is of this kind.
fn ends_of(text: &[Read], is_end: impl Fn(char) -> bool) -> Vec<usize> {
    let mut ends = vec![text.len(); text.len() + 1];
    for (at, read) in text.iter().enumerate().rev() {
        ends[at] = if is_end(read.c) { at } else { ends[at + 1] };
    }
    ends
}

fn begins_with(text: &[Read], name: &str) -> bool {
    text.len() >= name.len()
        && text
            .iter()
            .zip(name.chars())
            .all(|(read, c)| read.c.to_ascii_lowercase() == c)
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "aB3/xY+9\"k==Zq7-W_r.Tt5";

    fn percent(text: &str, every: bool) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() && !every;
        text.chars()
            .map(|c| {
                if plain(c) {
                    c.to_string()
                } else {
                    format!("%{:02X}", u32::from(c))
                }
            })
            .collect()
    }

    #[test]
    fn a_secret_is_left_out_in_whatever_form_it_comes_back() {
        let json = serde_json::to_string(SECRET).unwrap();
        let every = |form: fn(u32) -> String| -> String {
            SECRET.chars().map(|c| form(u32::from(c))).collect()
        };
        let units = every(|c| format!("\\u{c:04x}"));
        let entities = every(|c| format!("&#{c};"));
        let hex = every(|c| format!("{c:02x}"));
        for form in [
            SECRET.to_owned(),
            SECRET.to_uppercase(),
            SECRET[..16].to_owned(),
            SECRET[5..].to_owned(),
            json.clone(),
            serde_json::to_string(&json).unwrap(),
            units,
            entities,
            hex,
            percent(SECRET, false),
            percent(SECRET, true),
            percent(&percent(SECRET, true), false),
            SECRET.chars().flat_map(|c| [c, '\u{7}']).collect(),
            SECRET.chars().flat_map(|c| [c, '\u{200b}', ' ']).collect(),
            BASE64_STANDARD.encode(SECRET),
            BASE64_STANDARD.encode(format!("Token {SECRET}")),
            BASE64_URL_SAFE_NO_PAD.encode(format!("x{SECRET}y")),
            percent(&BASE64_STANDARD.encode(SECRET), false),
        ] {
            let clean = redact(&format!("the one: {form} - no"), &[SECRET]);
            assert!(
                clean.starts_with("the one: ") && clean.ends_with(" - no"),
                "{form}: {clean}"
            );
            assert!(
                clean.contains(LEFT_OUT) && clean.len() < 50,
                "{form}: {clean}"
            );
        }
    }

    #[test]
    fn what_has_the_name_of_a_secret_is_left_out() {
        for (text, clean) in [
            ("?sv=1&sig=a%2Fb%3D&se=2", "?sv=1&sig=[secret]&se=2"),
            (
                "X-Amz-Security-Token: IQoJb3JpZ2luX2VjEJr//",
                "X-Amz-Security-Token: [secret]",
            ),
            (
                r#"{"access_token":"eyJ0eXAiOiJKV1QiLCJ"}"#,
                r#"{"access_token":"[secret]"}"#,
            ),
            (
                "Authorization: Bearer eyJ0eXAiOiJKV1Qi x",
                "Authorization: [secret] x",
            ),
            ("AccountKey=ab;x", "AccountKey=[secret];x"),
            ("%3Fsig%3Dabc%26x", "%3Fsig%3D[secret]%26x"),
        ] {
            assert_eq!(redact(text, &[]), clean);
        }
    }

    #[test]
    fn an_ordinary_message_is_left_as_it_is() {
        for text in [
            "Invalid token: it has expired.",
            "The request signature we calculated does not match the signature you provided.",
            "Rate limit exceeded; try again in 60 seconds (100%).",
            "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.",
            "größer als 5000 \\ zu groß & mehr",
        ] {
            assert_eq!(redact(text, &[SECRET]), text);
        }
    }

    #[test]
    fn a_text_of_nothing_but_names_of_secrets_takes_no_time() {
        let began = std::time::Instant::now();
        for name in ["sig", "sig=", "cookie=", "token: "] {
            let text = name.repeat(600_000 / name.len());
            redact(&text, &[SECRET]);
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(20));
    }

    #[test]
    fn a_short_secret_is_left_out_as_it_stands() {
        assert_eq!(redact("a=b, a=c", &["a=b"]), "[secret], a=c");
        assert_eq!(redact("x", &[""]), "x");
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in any::<String>(), secret in any::<String>()) {
            let clean = redact(&text, &[&secret]);
            prop_assert!(!clean.contains(is_steering));
        }

        #[test]
        fn a_secret_never_stays(before in "[ -~]{0,20}", secret in "[!-~]{6,60}", after in "[ -~]{0,20}") {
            prop_assume!(!LEFT_OUT.contains(&secret) && secret.chars().filter_map(letter).count() >= MIN_PIECE);
            let clean = redact(&format!("{before}{secret}{after}"), &[&secret]);
            prop_assert!(!clean.contains(&secret), "{}", clean);
        }
    }
}
