//! Whether what is named of a slice or a day is as it should be: only then what is left over of it may go.

use object_store::path::Path;

use super::{Finding, FindingKind, Verification};
use crate::layout::{self, CompactionName, FileName, OwnObject, PartitionKey};

/// The remedy for what is left over, where something else is wrong beside it.
const KEEP: &str = "keep it until the rest is restored: it may be the only copy of its rows";
/// The remedy for files that are missing where the compaction is lost that may have taken them.
const COMPACTION_FIRST: &str =
    "restore _mdca/compactions from a copy of the lake first: a compaction of its day is lost";

/// What a finding may concern.
#[derive(Clone, Copy)]
pub(super) enum Of<'s> {
    Day(PartitionKey),
    Slice(&'s str),
}

impl Of<'_> {
    fn has(self, finding: &Finding) -> bool {
        let file = FileName::parse(&finding.path);
        match self {
            Self::Day(day) => match OwnObject::at(&finding.path) {
                Some(OwnObject::Compaction { name }) => name.day == day,
                _ => file.is_some_and(|file| file.key == day),
            },
            Self::Slice(slice) => {
                let path = Path::from(finding.path.as_str());
                layout::slice_of_object(&path).is_some_and(|of| of == slice)
            }
        }
    }
}

impl Verification {
    /// Whether nothing was found to be wrong with what is named of a slice or a day.
    pub(super) fn is_sound(&self, of: Of<'_>) -> bool {
        let left_over = [FindingKind::Unnamed, FindingKind::Taken, FindingKind::Stray];
        let mut findings = self.findings.iter();
        !findings.any(|finding| !left_over.contains(&finding.what) && of.has(finding))
    }

    /// Gives other remedies to what is left over beside something wrong, and to what a compaction may have
    /// taken that is lost.
    pub(super) fn advise_for_damage(&mut self) {
        let advise = |finding: &Finding| {
            let name = FileName::parse(&finding.path)?;
            let day = Of::Day(name.key);
            let is_of_compaction = CompactionName::of_file(&name).is_some();
            match finding.what {
                FindingKind::Taken if !self.is_sound(day) => Some(KEEP),
                FindingKind::Unnamed if !self.is_sound(Of::Slice(&name.slice)) => Some(KEEP),
                FindingKind::Missing if !is_of_compaction && self.has_lost_compaction(day) => {
                    Some(COMPACTION_FIRST)
                }
                _ => None,
            }
        };
        let remedies: Vec<_> = self.findings.iter().map(advise).collect();
        for (finding, remedy) in self.findings.iter_mut().zip(remedies) {
            finding.remedy = remedy.unwrap_or(finding.remedy);
        }
    }

    fn has_lost_compaction(&self, day: Of<'_>) -> bool {
        let mut findings = self.findings.iter().filter(|finding| day.has(finding));
        findings.any(|finding| match OwnObject::at(&finding.path) {
            Some(OwnObject::Compaction { .. }) => finding.what == FindingKind::Missing,
            _ => finding.what == FindingKind::Stray,
        })
    }
}
