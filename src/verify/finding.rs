//! What can be wrong in a lake, and what to do about it.

use object_store::path::Path;
use serde::Serialize;

use crate::commit::{Damage, RESTORE_CHANGES};
use crate::layout::{self, CompactionName, FileName, OwnObject};
use crate::store::StoreError;
use crate::text::plain::chain;

/// In which way something is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A commit names it, and it is not there.
    Missing,
    /// It has another size than its commit says.
    Truncated,
    /// It has other bytes than its commit says.
    Changed,
    /// An object of the lake's own that cannot be read.
    Damaged,
    /// It is there, and this user may not read it, or not now: nothing is known of it.
    Unread,
    /// An object of the lake's own that a newer program wrote. Nothing is wrong with it.
    Newer,
    /// What it says contradicts the lake, its commit or itself.
    Contradicts,
    /// A whole file of this program that the commit of its slice does not name.
    Unnamed,
    /// A file whose rows a compaction has taken. It was removed then, and came back.
    Taken,
    /// A file of this program whose slice has no commit, and no attempt names it.
    Stray,
    /// The Delta table is not what commits and compactions say.
    Table,
    /// Not this program's.
    Foreign,
}

impl FindingKind {
    /// The word for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Truncated => "truncated",
            Self::Changed => "changed",
            Self::Damaged => "damaged",
            Self::Unread => "unread",
            Self::Newer => "newer",
            Self::Contradicts => "contradicts",
            Self::Unnamed => "unnamed",
            Self::Taken => "taken",
            Self::Stray => "stray",
            Self::Table => "table",
            Self::Foreign => "foreign",
        }
    }

    /// What to do about it, for an object at a path.
    fn remedy(self, path: &str) -> &'static str {
        const LOST: &str = "restore it from a copy of the lake; without one, and only while the service still has its slice (some 30 days), move the slice's commit and files away and scan it again";
        if is_converted(path)
            && let Some(remedy) = self.remedy_of_converted(path)
        {
            return remedy;
        }
        match (self, OwnObject::at(path)) {
            (Self::Missing | Self::Damaged | Self::Contradicts, Some(OwnObject::Identity)) => {
                "restore it from a copy of the lake; nothing else says what the lake is of"
            }
            (Self::Damaged | Self::Contradicts, Some(OwnObject::Commit { .. })) => {
                "restore it from a copy of the lake; without one, and only while the service still has its slice (some 30 days), move it and the files of its slice away and scan the slice again"
            }
            (Self::Missing, Some(OwnObject::Commit { .. })) => {
                "restore it from a copy of the lake; while files of it are there, its slice is not scanned again"
            }
            (Self::Missing, Some(OwnObject::Change { .. })) => {
                "restore _mdca/changes from a copy of the lake; without one, the next compact that merges a day says it again"
            }
            (Self::Damaged, Some(OwnObject::Change { .. })) => RESTORE_CHANGES,
            (Self::Missing | Self::Damaged, Some(OwnObject::Compaction { .. })) => {
                "restore it from a copy of the lake; without one nobody knows which files of its day are live"
            }
            (Self::Contradicts, Some(OwnObject::Compaction { .. })) => {
                "restore it, and the commits of its day, from one copy of the lake"
            }
            (
                Self::Missing | Self::Truncated | Self::Changed | Self::Damaged | Self::Contradicts,
                None,
            ) if is_compacted(path) => {
                "restore it from a copy of the lake: it holds the rows of files that were removed"
            }
            (Self::Stray, None) if is_compacted(path) => {
                "add to _mdca what it lacks, from a copy of the lake; without one keep this file: it may be the only copy of its rows"
            }
            (Self::Damaged, Some(OwnObject::CompactionAttempt { .. })) => {
                "move it away; its day is compacted again"
            }
            (Self::Damaged, Some(OwnObject::Attempt { .. })) => {
                "move it away; its slice is scanned again unless it is committed"
            }
            (Self::Damaged | Self::Contradicts, Some(OwnObject::Unproven { .. })) => {
                "move it away; the next scan asks for its slice again"
            }
            (Self::Damaged, Some(OwnObject::Run { .. })) => {
                "move it away; it is a report and nothing depends on it"
            }
            (Self::Missing | Self::Truncated | Self::Changed | Self::Damaged, _) => LOST,
            (Self::Contradicts, _) => LOST,
            (Self::Unnamed | Self::Taken, _) => "verify --sweep removes it",
            (Self::Stray, _) => {
                "restore _mdca from a copy of the lake; without one, and only while the service still has its slice (some 30 days), move it away and scan its slice"
            }
            (Self::Unread, _) => {
                "allow this user, or these credentials, to read it, and verify again"
            }
            (Self::Newer, _) => "use the newer program; nothing is to be moved or removed",
            (Self::Table, _) => "delete the folder _delta_log; the next run makes it anew",
            (Self::Foreign, _) => "move it away; nothing here reads or removes it",
        }
    }

    /// The same where the slice is a converted file, if that makes a difference.
    fn remedy_of_converted(self, path: &str) -> Option<&'static str> {
        Some(match (self, OwnObject::at(path)) {
            (Self::Damaged | Self::Contradicts, Some(OwnObject::Commit { .. })) => {
                "restore it from a copy of the lake; without one, move it and the files of its slice away and convert its input again"
            }
            (Self::Missing, Some(OwnObject::Commit { .. })) => {
                "restore it from a copy of the lake; while files of it are there, its input is not converted again"
            }
            (Self::Damaged, Some(OwnObject::Attempt { .. })) => {
                "move it away; unless its slice is committed, convert its input again"
            }
            (Self::Stray, None | Some(OwnObject::Rejects { .. })) => {
                "restore _mdca from a copy of the lake; without one, move it away and convert its input again"
            }
            (
                Self::Missing | Self::Truncated | Self::Changed | Self::Damaged | Self::Contradicts,
                None | Some(OwnObject::Rejects { .. }),
            ) => {
                "restore it from a copy of the lake; without one, move its slice's commit and files away and convert its input again"
            }
            _ => return None,
        })
    }
}

/// Whether an object is of a slice that is a converted file.
fn is_converted(path: &str) -> bool {
    let slice = match OwnObject::at(path) {
        Some(OwnObject::Commit { slice } | OwnObject::Attempt { slice }) => Some(slice),
        _ => layout::slice_of_object(&Path::from(path)),
    };
    slice.is_some_and(|slice| layout::is_converted(&slice))
}

fn is_compaction(path: &Path) -> bool {
    matches!(
        OwnObject::at(path.as_ref()),
        Some(OwnObject::Compaction { .. })
    )
}

fn is_compacted(path: &str) -> bool {
    FileName::parse(path).is_some_and(|name| CompactionName::of_file(&name).is_some())
}

/// Something in the lake that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// Where.
    pub path: String,
    /// In which way.
    pub what: FindingKind,
    /// More about it.
    pub detail: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Finding {
    /// What is wrong with an object that cannot be read, if anything is.
    pub(super) fn of_damage(path: &Path, damage: &Damage) -> Self {
        let what = match damage {
            Damage::Newer { .. } => FindingKind::Newer,
            Damage::Vanished => FindingKind::Missing,
            Damage::Gap if is_compaction(path) => FindingKind::Missing,
            _ => FindingKind::Damaged,
        };
        Self::new(path, what, chain(damage))
    }

    /// What a store does not give, though it is there.
    pub(super) fn of_refusal(path: &Path, error: &StoreError) -> Self {
        Self {
            remedy: error.advice(),
            ..Self::new(path, FindingKind::Unread, chain(error))
        }
    }

    pub(super) fn new(path: &Path, what: FindingKind, detail: String) -> Self {
        Self::named(path.to_string(), what, detail)
    }

    /// The same for what has a name that no object can have.
    pub(super) fn named(path: String, what: FindingKind, detail: String) -> Self {
        let remedy = what.remedy(&path);
        Self {
            path,
            what,
            detail,
            remedy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_converted_is_converted_again_and_not_scanned() {
        let slice = "c-0123456789abcdef0123456789abcdef";
        let attempt = "0123456789abcdef";
        let file = format!("activities/event_date=2026-11-19/{slice}-{attempt}-0.parquet");
        let commit = layout::commit(slice).to_string();
        let rejects = layout::rejects(slice, attempt).to_string();
        let attempt = layout::attempt(slice, attempt).to_string();
        for (what, path) in [
            (FindingKind::Missing, &file),
            (FindingKind::Changed, &file),
            (FindingKind::Stray, &file),
            (FindingKind::Missing, &rejects),
            (FindingKind::Stray, &rejects),
            (FindingKind::Damaged, &commit),
            (FindingKind::Missing, &commit),
            (FindingKind::Damaged, &attempt),
        ] {
            let remedy = what.remedy(path);
            let is_fit = remedy.contains("convert") && !remedy.contains("scan");
            assert!(is_fit, "{what:?} {path}: {remedy}");
        }
        let compacted = "activities/event_date=2026-11-19/z-000000-0123456789abcdef-0.parquet";
        assert!(!FindingKind::Stray.remedy(compacted).contains("convert"));
    }
}
