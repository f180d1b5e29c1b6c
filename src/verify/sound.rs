//! Whether what is named of a slice or a day is as it should be: only then what is left over of it may go.

use std::collections::BTreeSet;

use object_store::path::Path;

use super::{Finding, FindingKind, Verification};
use crate::commit::Compactions;
use crate::layout::{self, CompactionName, FileName, OwnObject, PartitionKey};

/// The remedy for what is left over, where something else is wrong beside it.
const KEEP: &str = "keep it until the rest is restored: it may be the only copy of its rows";
/// The remedy for files that are missing where the compaction is lost that may have taken them.
const COMPACTION_FIRST: &str =
    "add to _mdca what it lacks first, from a copy of the lake: a compaction of its day is lost";

/// The remedy for what a compaction has taken, while the table may still have it.
const TABLE_FIRST: &str =
    "run scan or compact, which brings the table up to date; then verify --sweep removes it";

/// The same where the table has it for good.
const TABLE_ANEW: &str =
    "delete the folder _delta_log; once the next run has made it anew, verify --sweep removes it";

/// The remedy for what is wrong of a slice of which a compaction has rows.
const COMPACTED: &str = "restore it from a copy of the lake; no run makes it anew, because a compaction has rows of its slice";

/// The remedy for what no commit names, of a slice of which a compaction has rows, or may have had.
const KEEP_STRAY: &str = "add to _mdca what it lacks, from a copy of the lake; until then keep it: it may be the only copy of its rows, and no run makes them anew";

/// The slices and days of which something that is named is wrong.
#[derive(Default)]
pub(super) struct Harmed {
    days: BTreeSet<PartitionKey>,
    slices: BTreeSet<String>,
    /// The days of which a compaction is lost.
    without_compaction: BTreeSet<PartitionKey>,
}

impl Harmed {
    /// What these findings say. What is left over harms nothing.
    pub(super) fn of(findings: &[Finding]) -> Self {
        let mut harmed = Self::default();
        for finding in findings {
            let day = day_of(finding);
            match (finding.what, OwnObject::at(&finding.path)) {
                (FindingKind::Unnamed | FindingKind::Taken, _) => continue,
                (FindingKind::Stray, _) => {
                    let is_output = is_of_compaction(&finding.path);
                    harmed.without_compaction.extend(day.filter(|_| is_output));
                    continue;
                }
                (FindingKind::Missing, Some(OwnObject::Compaction { .. })) => {
                    harmed.without_compaction.extend(day);
                }
                _ => {}
            }
            harmed.days.extend(day);
            let path = Path::from(finding.path.as_str());
            harmed.slices.extend(layout::slice_of_object(&path));
        }
        harmed
    }

    /// Whether nothing is wrong with what is named of a day.
    pub(super) fn spares_day(&self, day: PartitionKey) -> bool {
        !self.days.contains(&day)
    }

    /// The same of a slice.
    pub(super) fn spares_slice(&self, slice: &str) -> bool {
        !self.slices.contains(slice)
    }

    /// The same of the slice of a file or rejects, and of a file's day: a compaction of that may have its rows.
    pub(super) fn spares(&self, path: &Path, slice: &str) -> bool {
        let day = FileName::parse(path.as_ref()).map(|file| file.key);
        self.spares_slice(slice) && day.is_none_or(|day| self.spares_day(day))
    }
}

fn is_of_compaction(path: &str) -> bool {
    FileName::parse(path).is_some_and(|file| CompactionName::of_file(&file).is_some())
}

/// Whether what was written is not as it was.
fn is_harm(what: FindingKind) -> bool {
    use FindingKind::{Changed, Contradicts, Damaged, Missing, Truncated};
    matches!(what, Missing | Truncated | Changed | Damaged | Contradicts)
}

/// The slice of a commit, a file or rejects.
fn slice_of(path: &str) -> Option<String> {
    let path = Path::from(path);
    layout::slice_of_commit(&path).or_else(|| layout::slice_of_object(&path))
}

/// The day of a file or of a compaction.
fn day_of(finding: &Finding) -> Option<PartitionKey> {
    match OwnObject::at(&finding.path) {
        Some(OwnObject::Compaction { name }) => Some(name.day),
        _ => FileName::parse(&finding.path).map(|file| file.key),
    }
}

impl Verification {
    /// Gives other remedies to what is left over beside something wrong, and to what a compaction may have
    /// taken that is lost.
    pub(super) fn advise_for_damage(&mut self, compactions: &Compactions, is_table_current: bool) {
        let harmed = Harmed::of(&self.findings);
        let inputs = compactions.iter().flat_map(|made| &made.inputs);
        let compacted: BTreeSet<String> = inputs
            .filter_map(|input| layout::slice_of_object(&Path::from(input.path.as_str())))
            .collect();
        let of_table = self.findings.iter();
        let of_table = of_table.filter(|of| of.what == FindingKind::Table);
        let of_table: BTreeSet<String> = of_table.map(|of| of.path.clone()).collect();
        for finding in &mut self.findings {
            if slice_of(&finding.path).is_some_and(|slice| compacted.contains(&slice)) {
                match finding.what {
                    FindingKind::Stray => finding.remedy = KEEP_STRAY,
                    what if is_harm(what) => finding.remedy = COMPACTED,
                    _ => {}
                }
            }
            let Some(file) = FileName::parse(&finding.path) else {
                continue;
            };
            match finding.what {
                FindingKind::Taken if of_table.contains(&finding.path) => {
                    finding.remedy = TABLE_ANEW;
                }
                FindingKind::Taken if !harmed.spares_day(file.key) => finding.remedy = KEEP,
                FindingKind::Taken if !is_table_current => finding.remedy = TABLE_FIRST,
                FindingKind::Unnamed
                    if !harmed.spares(&Path::from(finding.path.as_str()), &file.slice) =>
                {
                    finding.remedy = KEEP;
                }
                FindingKind::Missing
                    if !is_of_compaction(&finding.path)
                        && harmed.without_compaction.contains(&file.key) =>
                {
                    finding.remedy = COMPACTION_FIRST;
                }
                FindingKind::Stray if harmed.without_compaction.contains(&file.key) => {
                    finding.remedy = KEEP_STRAY;
                }
                _ => {}
            }
        }
    }
}
