//! What is wrong with an object of a lake.

use crate::store::StoreError;
use crate::window::format_time;

/// What to do where commits or compactions are lost. Objects there are made once and never change, so what
/// is missing can be added, and nothing of it may be replaced by something older.
pub const RESTORE: &str =
    "add to _mdca what it lacks, from a copy of the lake; leave the rest of it as it is";

/// What to do about an object that cannot be read, or is missing.
pub(super) const RESTORE_OBJECT: &str =
    "restore it from a copy of the lake; verify says what to do without one";

/// What to do about a change that cannot be read, or is missing.
pub const RESTORE_CHANGES: &str = "if a newer program made it, use that one; else restore _mdca/changes from a copy, or without one move that whole folder away: scan --change-host and the next compact that merges a day make what is needed anew";

/// Why the bytes of an object are not what was written.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It holds nothing.
    #[error("it is empty: it was cut short")]
    Empty,
    /// It does not end as this program ends its objects.
    #[error(
        "it does not end with its checksum: it was cut short, or this program did not write it"
    )]
    Unsealed,
    /// The checksum does not fit the bytes before it.
    #[error("its checksum does not match its content: it was changed")]
    Checksum,
    /// A newer program wrote it. Nothing is wrong with it.
    #[error("{} wrote it in version {found}, and this program reads version {known}", by(.tool_version.as_ref()))]
    Newer {
        /// The version that it says.
        found: u64,
        /// The version that this program knows.
        known: u32,
        /// The program that wrote it, where it says so.
        tool_version: Option<String>,
    },
    /// It says something else than it should.
    #[error("its content is not what belongs there")]
    Content(#[source] serde_json::Error),
    /// It cannot be an object of the lake.
    #[error("it cannot be read as an object of the lake")]
    Unfit(#[source] StoreError),
    /// It is named, and cannot be read.
    #[error("the lake has it, and reading it finds nothing")]
    Vanished,
    /// It is missing, and what comes after it is there.
    #[error("it is missing, and a later one exists")]
    Gap,
    /// It is missing, and what it has taken is gone.
    #[error("it is missing, and the files that it has taken were removed")]
    Lost,
    /// It is missing, and a file that it has left is there.
    #[error("it is missing, and {0} is there, which may have the rows of what has no commit")]
    Unrecorded(String),
    /// It is missing, and the table has a file that it has left.
    #[error("it is missing, and the table has {0} of it")]
    Shown(String),
    /// It names another place or slice than the one where it lies.
    #[error("it belongs elsewhere: it names {0}")]
    Place(String),
    /// A compaction leaves other rows than it takes.
    #[error("it takes {taken} rows and leaves {left}")]
    Rows {
        /// Rows of its inputs.
        taken: u128,
        /// Rows of its outputs.
        left: u128,
    },
    /// A lake's time begins later than now.
    #[error(
        "the lake begins at {}, and this machine's clock says {}",
        format_time(*.begin_ms),
        format_time(*.now_ms)
    )]
    BeginsLater {
        /// Where it begins.
        begin_ms: i64,
        /// Now.
        now_ms: i64,
    },
    /// It names a file without rows, and no attempt leaves one.
    #[error("it names {0}, which it says has no rows")]
    NoRows(String),
    /// It names something that an attempt at its slice could not have made.
    #[error("it names {0}, which is not its own")]
    NotOwn(String),
}

fn by(tool_version: Option<&String>) -> String {
    match tool_version {
        Some(version) => format!("mdca-lake {version}"),
        None => "a newer program".to_owned(),
    }
}

impl Damage {
    /// Whether it is none: a newer program wrote the object.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::Newer { .. })
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "use the newer program; nothing is to be moved or removed",
            Self::Vanished => "run again; if it is not there then, restore it from a copy",
            Self::Unrecorded(_) | Self::Shown(_) => RESTORE,
            Self::BeginsLater { .. } => {
                "set this machine's clock; if it is right, restore the object from a copy"
            }
            _ => RESTORE_OBJECT,
        }
    }
}
