//! What a caller decides about files, and what every footer says about where rows come from.

use std::fmt;
use std::str::FromStr;

/// How files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteOptions {
    /// Compression of all columns (the column `raw` is compressed harder where this is less).
    pub compression: CompressionLevel,
    /// A file that has reached this size in bytes is finished, and its part goes on in a new one.
    /// Checked after each row group, so files end up to one row group above it.
    pub max_file_bytes: u64,
    /// Arrow memory in bytes that rows may take up while they wait for their row group, over all
    /// parts. The largest parts are flushed early to stay below it.
    pub buffer_bytes: usize,
}

/// A level of zstd, 1 (fast) to 22 (small). Its text is `zstd:3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CompressionLevel(u8);

/// A text that names no compression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a compression; use zstd:1 to zstd:22")]
pub struct ParseCompressionError(String);

impl CompressionLevel {
    /// On these records the higher ones up to 3 make nothing smaller (within 3 %) and take half as
    /// much time again.
    pub const DEFAULT: Self = Self(1);

    /// For `raw`: a third of a file's bytes that no query reads, so size counts and time does not.
    pub(super) const RAW: Self = Self(9);

    /// The level as zstd counts it.
    pub fn level(self) -> u8 {
        self.0
    }
}

impl fmt::Display for CompressionLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zstd:{}", self.0)
    }
}

impl FromStr for CompressionLevel {
    type Err = ParseCompressionError;

    fn from_str(text: &str) -> Result<Self, ParseCompressionError> {
        text.strip_prefix("zstd:")
            .and_then(|level| level.parse().ok())
            .map(Self)
            .filter(|level| (1..=22).contains(&level.0) && level.to_string() == text)
            .ok_or_else(|| ParseCompressionError(text.to_owned()))
    }
}

/// Where the rows of a file come from, as far as its slice and attempt do not say it. Every footer
/// holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Name and version of the program.
    pub tool_version: String,
    /// Version of the schema.
    pub schema_version: String,
    /// The run.
    pub run: String,
    /// The clock of the lake.
    pub clock: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compression_is_its_text() {
        for level in 1..=22 {
            let compression = CompressionLevel(level);
            assert_eq!(compression.to_string().parse(), Ok(compression));
        }
    }

    #[test]
    fn other_codecs_and_levels_are_refused() {
        for text in [
            "zstd:0", "zstd:23", "zstd:03", "zstd:+3", "zstd:", "zstd", "snappy", "3",
        ] {
            assert!(text.parse::<CompressionLevel>().is_err(), "{text}");
        }
    }
}
