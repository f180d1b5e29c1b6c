//! The checksum of an object's bytes: SHA-256, one kind for everything that is kept.
//!
//! A chain of digests can stand on it, and every system has a tool that makes it again. Hashes that
//! only tell records apart inside a run are [`fingerprint`](crate::text::fingerprint)'s.

use sha2::{Digest, Sha256};

/// Takes bytes as they come.
#[derive(Clone, Default)]
pub struct Checksum(Sha256);

impl Checksum {
    /// What precedes the digits in the text of a checksum.
    pub const PREFIX: &str = "sha256:";

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// `sha256:` and the 64 hexadecimal digits of all bytes so far, in lower case.
    pub fn text(&self) -> String {
        let digest = self.0.clone().finalize();
        let mut text = String::with_capacity(Self::PREFIX.len() + 2 * digest.len());
        text.push_str(Self::PREFIX);
        for byte in digest {
            for digit in [byte >> 4, byte & 0xf] {
                text.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        text
    }

    /// The text of the checksum of some bytes.
    pub fn of(bytes: &[u8]) -> String {
        let mut checksum = Self::default();
        checksum.update(bytes);
        checksum.text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4, examples of SHA-256.
    #[test]
    fn a_checksum_is_sha_256_however_the_bytes_come() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Checksum::default().text(), empty);
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Checksum::of(b"abc"), abc);
        let mut checksum = Checksum::default();
        for piece in [&b"a"[..], b"", b"bc"] {
            checksum.update(piece);
        }
        assert_eq!(checksum.text(), abc);
    }
}
