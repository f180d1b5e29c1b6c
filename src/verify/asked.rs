//! What is asked of a verification.

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every byte against the commits' checksums.
    Bytes,
    /// Every row as well.
    Rows,
}

/// What to do about files of this program that no commit names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// Say so.
    Never,
    /// Remove them where their slice is committed.
    Unnamed,
}
