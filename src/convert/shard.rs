//! Which of some inputs one of several processes takes.

use std::fmt;
use std::str::FromStr;

use twox_hash::XxHash3_64;

/// One of several equal shares. Its text is `2/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    of: u32,
}

/// A text that names no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a share; use K/N, where K counts from 0 to N-1 or from 1 to N")]
pub struct ParseShardError(String);

impl Shard {
    /// Whether an input of this name is in the share. Every name is in exactly one, on every machine; `a/b`,
    /// `./a/b` and `a//b` are one name.
    pub fn takes(self, name: &str) -> bool {
        let parts = name.split('/').filter(|part| !["", "."].contains(part));
        let name = parts.collect::<Vec<_>>().join("/");
        XxHash3_64::oneshot(name.as_bytes()) % u64::from(self.of)
            == u64::from(self.number % self.of)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = ParseShardError;

    fn from_str(text: &str) -> Result<Self, ParseShardError> {
        let digits = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|_| is_number)
        };
        text.split_once('/')
            .and_then(|(number, of)| {
                let (number, of) = (digits(number)?, digits(of)?);
                (of > 0 && number <= of).then_some(Self { number, of })
            })
            .ok_or_else(|| ParseShardError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(text: &str) -> Shard {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_has_one_share_however_it_is_spelled() {
        for number in 0..64 {
            let share = |name: &str| (0..7).find(|of| shard(&format!("{of}/7")).takes(name));
            let name = format!("in/a/{number}.json");
            for spelled in [
                format!("./{name}"),
                name.replace('/', "//"),
                format!("./in/./a/{number}.json"),
            ] {
                assert_eq!(share(&spelled), share(&name), "{spelled}");
            }
        }
    }

    #[test]
    fn every_name_is_in_one_share_whether_shares_count_from_0_or_from_1() {
        for of in 1..9_u32 {
            for first in [0, 1] {
                let shards: Vec<Shard> = (first..first + of)
                    .map(|number| shard(&format!("{number}/{of}")))
                    .collect();
                for n in 0..200 {
                    let name = format!("page-{n}.json.gz");
                    let takers = shards.iter().filter(|shard| shard.takes(&name)).count();
                    assert_eq!(takers, 1, "{name} of {shards:?}");
                }
            }
        }
    }

    #[test]
    fn shares_are_about_equal() {
        let names = (0..1_000).map(|n| format!("s3://b/pages/{n}.json"));
        let taken = names.filter(|name| shard("3/4").takes(name)).count();
        assert!((200..300).contains(&taken), "{taken}");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "", "1", "1/", "/1", "0/0", "5/4", "-1/4", "+1/4", "1/4/4", "1/ 4",
        ] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
