//! When two records are the same JSON.
//!
//! White space, the order of keys and the way a string is escaped do not matter; everything else
//! does, numbers by their token. In an object that has a key twice the order matters, too: readers take the
//! first value of such a key, or the last.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use twox_hash::{XxHash3_64, XxHash3_128};

use super::look::{scalar_stop, string_stop};
use super::outline::value_end;

/// Seeds that keep apart what has the same bytes: `[]` and `{}`, a list's item and an object's member.
const SCALAR: u64 = 1;
const MEMBER: u64 = 2;
const LIST: u64 = 3;
const OBJECT: u64 = 4;
const OBJECT_WITH_REPEATS: u64 = 5;

/// Containers of a usual record that are open at once, at most.
const USUAL_DEPTH: usize = 8;
/// Keys of those.
const USUAL_KEYS: usize = 128;

/// Containers that are open at once, at most. What is deeper is the same only if its bytes are: a record
/// of nothing but brackets would otherwise take many times its size.
const MAX_DEPTH: usize = 4_096;

/// What makes this process's fingerprints its own. They live in memory only.
static SEED: AtomicU64 = AtomicU64::new(0);

/// Has all fingerprints from now on depend on a number that nobody outside knows, so that nobody can
/// make two records with one fingerprint. To be called before the first is made; tests do without.
pub fn seed_with(secret: u64) {
    SEED.store(secret, Ordering::Relaxed);
}

fn seed() -> u64 {
    SEED.load(Ordering::Relaxed)
}

/// Sixteen bytes that are the same for the same bytes.
pub fn fingerprint_of_bytes(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot_with_seed(seed(), bytes)
}

/// Eight bytes that are the same for the same bytes; for what is only counted.
pub fn short_fingerprint(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed(), bytes)
}

/// Sixteen bytes that are the same for the same JSON, and for other JSON with a chance of 2⁻¹²⁸.
///
/// `json` is one valid JSON value: `serde_json` has read it before. Nesting costs no stack.
pub fn fingerprint(json: &str) -> u128 {
    fingerprint_with(json, seed())
}

fn fingerprint_with(json: &str, seed: u64) -> u128 {
    let mut containers = Containers::new(seed);
    let mut at = 0;
    while let Some(byte) = json.as_bytes().get(at) {
        let whole = match byte {
            b'"' => containers.text(json, &mut at),
            b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => {
                at += 1;
                None
            }
            b'{' | b'[' if containers.open.len() == MAX_DEPTH => {
                let start = at;
                at = value_end(json.as_bytes(), start).unwrap_or(json.len());
                containers.scalar(&json[start..at])
            }
            b'{' | b'[' => {
                at += 1;
                let kind = if *byte == b'{' { OBJECT } else { LIST };
                containers.begin(kind);
                None
            }
            b'}' | b']' => {
                at += 1;
                containers.end()
            }
            _ => {
                let start = at;
                // It has one byte at least, whatever that is: what is no JSON comes to an end, too.
                at = scalar_stop(json.as_bytes(), start + 1);
                containers.scalar(&json[start..at])
            }
        };
        if let Some(value) = whole {
            return value;
        }
    }
    0
}

/// The hashes of one seed.
#[derive(Clone, Copy)]
struct Hashes(u64);

impl Hashes {
    #[inline]
    fn of(self, bytes: &[u8], kind: u64) -> u128 {
        XxHash3_128::oneshot_with_seed(self.0.wrapping_add(kind), bytes)
    }
}

/// The containers that are being read, the outermost first. What ends the whole value gives its fingerprint.
struct Containers<'j> {
    hashes: Hashes,
    open: Vec<Open<'j>>,
    /// Fingerprints of the keys of all that are open.
    keys: Vec<u64>,
    scratch: Vec<u8>,
}

/// A container that is being read.
struct Open<'j> {
    kind: u64,
    sum: u128,
    /// In an object, its members so far, the sum of them, each times its number, and where its keys begin
    /// among those of all that are open.
    members: u128,
    ordered: u128,
    keys: usize,
    /// In an object, the token of the key whose value comes next.
    key: Option<Cow<'j, str>>,
}

impl<'j> Containers<'j> {
    fn new(seed: u64) -> Self {
        Self {
            hashes: Hashes(seed),
            open: Vec::with_capacity(USUAL_DEPTH),
            keys: Vec::with_capacity(USUAL_KEYS),
            scratch: Vec::new(),
        }
    }

    fn begin(&mut self, kind: u64) {
        self.open.push(Open {
            kind,
            sum: 0,
            members: 0,
            ordered: 0,
            keys: self.keys.len(),
            key: None,
        });
    }

    fn end(&mut self) -> Option<u128> {
        let Self {
            hashes,
            open,
            keys,
            scratch,
        } = self;
        let closed = open.pop()?;
        let value = if has_repeats(&mut keys[closed.keys..]) {
            hashes.of(&closed.ordered.to_le_bytes(), OBJECT_WITH_REPEATS)
        } else {
            hashes.of(&closed.sum.to_le_bytes(), closed.kind)
        };
        keys.truncate(closed.keys);
        let Some(container) = open.last_mut() else {
            return Some(value);
        };
        let key = container.key.take();
        scratch.clear();
        scratch.extend_from_slice(key.as_ref().map_or(b"", |key| key.as_bytes()));
        scratch.extend_from_slice(&value.to_le_bytes());
        container.add(*hashes, scratch, closed.kind);
        None
    }

    /// Takes in the text that begins at `at`: a key, with the plain members that follow each other from it
    /// on, or a value.
    #[inline]
    fn text(&mut self, json: &'j str, at: &mut usize) -> Option<u128> {
        let (bytes, start, hashes) = (json.as_bytes(), *at, self.hashes);
        let object = self.open.last_mut();
        let mut object = object.filter(|open| open.kind == OBJECT && open.key.is_none());
        if let Some(object) = &mut object {
            *at = plain_members(bytes, start, |member, key| {
                object.add(hashes, member, MEMBER);
                self.keys.push(short_fingerprint(key));
            });
            if *at > start {
                return None;
            }
        }
        let (end, is_usual) = string_end(bytes, start);
        *at = end;
        let token = same_token(&json[start..end], is_usual);
        match object {
            Some(object) => {
                self.keys.push(short_fingerprint(token.as_bytes()));
                object.key = Some(token);
                None
            }
            None => self.scalar(&token),
        }
    }

    /// Takes in a value that is no container.
    #[inline]
    fn scalar(&mut self, token: &str) -> Option<u128> {
        let Self {
            hashes,
            open,
            scratch,
            ..
        } = self;
        let Some(container) = open.last_mut() else {
            return Some(hashes.of(token.as_bytes(), SCALAR));
        };
        match container.key.take() {
            None => container.add(*hashes, token.as_bytes(), SCALAR),
            Some(key) => {
                scratch.clear();
                scratch.extend_from_slice(key.as_bytes());
                scratch.push(b':');
                scratch.extend_from_slice(token.as_bytes());
                container.add(*hashes, scratch, MEMBER);
            }
        }
        None
    }
}

impl Open<'_> {
    /// Takes in what comes next: an item, or a member with its key.
    fn add(&mut self, hashes: Hashes, bytes: &[u8], kind: u64) {
        let next = hashes.of(bytes, kind);
        if self.kind == OBJECT {
            // Members are added up, so their order does not matter.
            self.sum = self.sum.wrapping_add(next);
            self.members += 1;
            self.ordered = self.ordered.wrapping_add(next.wrapping_mul(self.members));
        } else {
            let mut both = [0; 32];
            both[..16].copy_from_slice(&self.sum.to_le_bytes());
            both[16..].copy_from_slice(&next.to_le_bytes());
            self.sum = hashes.of(&both, LIST);
        }
    }
}

/// Whether a key is there twice. The order of the keys is lost.
fn has_repeats(keys: &mut [u64]) -> bool {
    keys.sort_unstable();
    keys.windows(2).any(|both| both[0] == both[1])
}

/// Gives members from `at` on to `add`, each with its key, that stand there just as they are hashed, as almost
/// all do: key and scalar without white space, strings spelled as usual. Says where it stops.
#[inline]
fn plain_members(bytes: &[u8], mut at: usize, mut add: impl FnMut(&[u8], &[u8])) -> usize {
    while bytes.get(at) == Some(&b'"') {
        let (key_end, is_usual) = string_end(bytes, at);
        if !is_usual || bytes.get(key_end) != Some(&b':') {
            break;
        }
        let value = key_end + 1;
        let (end, is_usual) = match bytes.get(value) {
            None | Some(b'{' | b'[' | b' ' | b'\n' | b'\r' | b'\t') => break,
            Some(b'"') => string_end(bytes, value),
            Some(_) => (scalar_stop(bytes, value), true),
        };
        if !is_usual {
            break;
        }
        add(&bytes[at..end], &bytes[at..key_end]);
        at = end;
        if bytes.get(at) != Some(&b',') {
            break;
        }
        at += 1;
    }
    at
}

/// The one token of all that stand for the same text; that of what is not text (a lone surrogate) stays
/// as it is. One that is spelled as usual is it.
fn same_token(token: &str, is_usual: bool) -> Cow<'_, str> {
    if is_usual {
        return Cow::Borrowed(token);
    }
    match serde_json::from_str::<String>(token) {
        Ok(text) => Cow::Owned(serde_json::Value::from(text).to_string()),
        Err(_) => Cow::Borrowed(token),
    }
}

/// The position behind the closing quote of the string that opens at `start`, and whether it is spelled
/// as usual: what has to be escaped has its short escape, and nothing else is.
#[inline]
fn string_end(bytes: &[u8], start: usize) -> (usize, bool) {
    let mut at = string_stop(bytes, start + 1);
    let mut is_usual = true;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return (at + 1, is_usual),
            b'\\' => {
                is_usual &= !matches!(bytes.get(at + 1), Some(b'u' | b'/'));
                at += 2;
            }
            _ => at += 1,
        }
        at = string_stop(bytes, at);
    }
    (bytes.len(), is_usual)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::Value;

    use super::*;

    #[test]
    fn order_of_keys_white_space_and_escapes_do_not_matter() {
        let one = fingerprint(r#"{"a":[1,{"x":"é","y":null}],"b":"q\"w"}"#);
        assert_eq!(
            one,
            fingerprint("{ \"b\" : \"q\\u0022w\",\n\"a\":[1, {\"y\":null,\"x\":\"\\u00e9\"} ] }")
        );
    }

    #[test]
    fn everything_else_does() {
        let different = [
            "{}",
            "[]",
            "[[]]",
            "[{}]",
            "0",
            "\"0\"",
            "null",
            "\"null\"",
            "1",
            "1.0",
            "[1,2]",
            "[2,1]",
            "[12]",
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"b":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":1,"b":1}"#,
            r#"{"a":"b"}"#,
            r#"{"b":"a"}"#,
            r#"["a","b"]"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":2,"a":1}"#,
            r#"{"a":2,"a":3}"#,
            r#"{"a":3,"a":2}"#,
            r#"{"a":{"b":1},"a":{"b":2}}"#,
            r#"{"a":{"b":2},"a":{"b":1}}"#,
            r#"{"a":{"b":2,"b":1}}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"["\ud800"]"#,
            r#"["\ud801"]"#,
            r#"{"a":null}"#,
            "[null]",
            "[null,null]",
        ];
        for (i, a) in different.iter().enumerate() {
            for b in &different[..i] {
                assert_ne!(fingerprint(a), fingerprint(b), "{a} {b}");
            }
        }
    }

    #[test]
    fn another_seed_makes_other_fingerprints_and_the_same_of_the_same() {
        let (one, same) = (
            r#"{"a":["x",1],"b":{}}"#,
            r#"{"b": {}, "a": ["\u0078", 1]}"#,
        );
        for json in [one, "\"x\"", "1", "[]", "{}"] {
            assert_ne!(fingerprint_with(json, 1), fingerprint_with(json, 1 << 40));
        }
        assert_eq!(
            fingerprint_with(one, 1 << 40),
            fingerprint_with(same, 1 << 40)
        );
    }

    #[test]
    fn what_is_no_json_comes_to_an_end() {
        let parts = [
            "\u{1}", "\u{b}", "{", "[", "]", "}", ",", ":", "\"", "\\", "x", " ",
        ];
        for first in parts {
            for second in parts {
                for third in parts {
                    for text in [
                        [first, second, third].concat(),
                        format!("[{first}{second}{third}]"),
                    ] {
                        let all = format!("{{\"a\":{text}}}");
                        fingerprint(&text);
                        fingerprint(&all);
                    }
                }
            }
        }
    }

    #[test]
    fn nesting_costs_no_stack() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert_ne!(fingerprint(&deep), 0);
    }

    #[test]
    fn what_is_very_deep_is_the_same_by_its_bytes_and_what_is_around_it_as_ever() {
        let deep = |inner: &str| "[".repeat(10_000) + inner + &"]".repeat(10_000);
        let record = |inner: &str| fingerprint(&format!(r#"{{"a":1,"b":{}}}"#, deep(inner)));
        let other = fingerprint(&format!(r#"{{ "b" : {}, "a":1}}"#, deep("1")));
        assert_eq!(record("1"), other);
        assert_ne!(record("1"), record("2"));
        assert_ne!(record("1"), record(" 1"));
    }

    fn any_value(random: &mut fastrand::Rng, depth: u32) -> Value {
        let text = |random: &mut fastrand::Rng| -> String {
            let chars = [
                'a', 'é', '"', '\\', '\n', '\u{7f}', '\u{2028}', '😀', '1', ':',
            ];
            (0..random.usize(..4))
                .map(|_| chars[random.usize(..chars.len())])
                .collect()
        };
        match random.u32(..if depth == 0 { 4 } else { 6 }) {
            0 => Value::Null,
            1 => random.bool().into(),
            2 => random.i64(-20..20).into(),
            3 => text(random).into(),
            4 => (0..random.usize(..4))
                .map(|_| any_value(random, depth - 1))
                .collect(),
            _ => {
                let members =
                    (0..random.usize(..4)).map(|_| (text(random), any_value(random, depth - 1)));
                Value::Object(members.collect())
            }
        }
    }

    /// The same value, written with white space, the last key first, and every character escaped.
    fn otherwise(value: &Value) -> String {
        let text = |text: &str| {
            let units: Vec<String> = text
                .encode_utf16()
                .map(|unit| format!("\\u{unit:04X}"))
                .collect();
            format!("\"{}\"", units.concat())
        };
        match value {
            Value::String(string) => text(string),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(otherwise).collect();
                format!("[ {} ]", items.join("\n, "))
            }
            Value::Object(members) => {
                let members = members.iter().rev();
                let members: Vec<String> = members
                    .map(|(key, value)| format!("{} :\t{}", text(key), otherwise(value)))
                    .collect();
                format!("{{ {} }}", members.join(" , "))
            }
            scalar => scalar.to_string(),
        }
    }

    #[test]
    fn values_are_the_same_exactly_when_their_fingerprints_are() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut seen: HashMap<u128, Value> = HashMap::new();
        for _ in 0..20_000 {
            let value = any_value(&mut random, 3);
            let print = fingerprint(&value.to_string());
            assert_eq!(print, fingerprint(&otherwise(&value)), "{value}");
            let known = seen.entry(print).or_insert_with(|| value.clone());
            assert_eq!(*known, value);
        }
        let mut prints: HashMap<String, u128> = HashMap::new();
        for (print, value) in seen {
            assert_eq!(prints.insert(value.to_string(), print), None, "{value}");
        }
    }
}
