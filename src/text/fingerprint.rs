//! When two records are the same JSON.
//!
//! White space, the order of keys and the way a string is escaped do not matter; everything else
//! does, numbers by their token.

use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// Seeds that keep apart what has the same bytes: the text `1` and the number 1, `[]` and `{}`.
const STRING: u64 = 1;
const SCALAR: u64 = 2;
const LIST: u64 = 3;
const OBJECT: u64 = 4;

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
    xxh3_128_with_seed(bytes, seed())
}

/// Eight bytes that are the same for the same bytes; for what is only counted.
pub fn short_fingerprint(bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, seed())
}

/// A container that is being read.
struct Open {
    kind: u64,
    sum: u128,
    /// In an object, the key whose value comes next.
    key: Option<u128>,
}

/// Sixteen bytes that are the same for the same JSON, and for other JSON with a chance of 2⁻¹²⁸.
///
/// `json` is one valid JSON value: `serde_json` has read it before. Nesting costs no stack.
pub fn fingerprint(json: &str) -> u128 {
    fingerprint_with(json, seed())
}

fn fingerprint_with(json: &str, seed: u64) -> u128 {
    let hash = |bytes: &[u8], kind: u64| xxh3_128_with_seed(bytes, seed.wrapping_add(kind));
    let mix = |a: u128, b: u128| {
        let mut both = [0; 32];
        both[..16].copy_from_slice(&a.to_le_bytes());
        both[16..].copy_from_slice(&b.to_le_bytes());
        hash(&both, 0)
    };
    let bytes = json.as_bytes();
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let value = match byte {
            b'{' | b'[' => {
                let kind = if *byte == b'{' { OBJECT } else { LIST };
                open.push(Open {
                    kind,
                    sum: 0,
                    key: None,
                });
                at += 1;
                continue;
            }
            b'}' | b']' => {
                at += 1;
                let Some(closed) = open.pop() else { break };
                hash(&closed.sum.to_le_bytes(), closed.kind)
            }
            b'"' => {
                let end = string_end(bytes, at);
                let token = &json[at..end];
                at = end;
                let hash = hash_string(token, hash);
                if let Some(object) = open
                    .last_mut()
                    .filter(|open| open.kind == OBJECT && open.key.is_none())
                {
                    object.key = Some(hash);
                    continue;
                }
                hash
            }
            b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => {
                at += 1;
                continue;
            }
            _ => {
                let rest = &bytes[at..];
                let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
                let end = at + rest.iter().position(ends).unwrap_or(rest.len());
                let hash = hash(&bytes[at..end], SCALAR);
                at = end;
                hash
            }
        };
        match open.last_mut() {
            None => return value,
            Some(container) => match container.key.take() {
                // Members of an object are added up, so their order does not matter.
                Some(key) => container.sum = container.sum.wrapping_add(mix(key, value)),
                None => container.sum = mix(container.sum, value),
            },
        }
    }
    0
}

/// A string by the text that it stands for; one that is not text (a lone surrogate) by its token.
fn hash_string(token: &str, hash: impl Fn(&[u8], u64) -> u128) -> u128 {
    let inner = &token[1..token.len() - 1];
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return hash(inner.as_bytes(), STRING);
    }
    match serde_json::from_str::<String>(token) {
        Ok(text) => hash(text.as_bytes(), STRING),
        Err(_) => hash(token.as_bytes(), SCALAR),
    }
}

/// The position behind the closing quote of the string that opens at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
    {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
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
    fn nesting_costs_no_stack() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert_ne!(fingerprint(&deep), 0);
    }
}
