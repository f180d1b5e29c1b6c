//! Files of other kinds, told by their first bytes, so that an error names what the file is.

use std::fmt;

/// First bytes that are looked at.
pub(super) const HEAD_BYTES: usize = 6;

/// What each kind begins with. What is packed in one of the ways that are read shows only where it was
/// packed twice.
const KINDS: [(&[u8], Foreign); 12] = [
    (b"\xff\xfe", Foreign::Utf16),
    (b"\xfe\xff", Foreign::Utf16),
    (b"{\0", Foreign::Utf16),
    (b"[\0", Foreign::Utf16),
    (b"\0{", Foreign::Utf16),
    (b"\0[", Foreign::Utf16),
    (b"PK\x03\x04", Foreign::Packed("a zip archive")),
    (b"\xfd7zXZ\0", Foreign::Packed("packed with xz")),
    (b"BZh", Foreign::Packed("packed with bzip2")),
    (b"\x1f\x8b", Foreign::Packed("packed twice")),
    (b"\x28\xb5\x2f\xfd", Foreign::Packed("packed twice")),
    (b"PAR1", Foreign::Parquet),
];

/// A kind of file that holds no text that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// Text, as Windows PowerShell writes it.
    Utf16,
    /// Packed in a way that is not undone here.
    Packed(&'static str),
    /// Parquet, as this program writes it.
    Parquet,
}

impl Foreign {
    /// The kind of a file with these first bytes, where it is one of these.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let mut kinds = KINDS.iter();
        kinds.find_map(|&(begin, kind)| head.starts_with(begin).then_some(kind))
    }

    /// What to do about it.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Utf16 => {
                "write it as UTF-8: 'iconv -f UTF-16 -t UTF-8' does, as does PowerShell 7"
            }
            Self::Packed(_) => "unpack it first: plain text, gzip and zstd are read",
            Self::Parquet => "give the JSON that was saved, or what 'mdca-lake export' writes",
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf16 => "UTF-16 text",
            Self::Packed(how) => how,
            Self::Parquet => "a Parquet file",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_told_by_its_first_bytes() {
        let utf_16 = |order: fn(u16) -> [u8; 2], text: &str| -> Vec<u8> {
            text.encode_utf16().flat_map(order).collect()
        };
        for text in ["\u{feff}{\"_id\"", "{\"_id\"", "[{"] {
            for order in [u16::to_le_bytes, u16::to_be_bytes] {
                let kind = Foreign::of(&utf_16(order, text));
                assert_eq!(kind, Some(Foreign::Utf16), "{text}");
            }
        }
        for text in [
            "",
            "{",
            "{\"_id\"",
            " [",
            "\u{feff}{",
            "Activity,User",
            "PK",
        ] {
            assert_eq!(Foreign::of(text.as_bytes()), None, "{text}");
        }
    }
}
