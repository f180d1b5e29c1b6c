//! The Delta table against what is live.

use std::collections::BTreeSet;

use object_store::path::Path;

use super::names::Names;
use super::reading::Known;
use super::{Finding, FindingKind, Verification};
use crate::error::JobError;
use crate::layout::{self, CompactionName, FileName, LogObject, OwnObject};
use crate::store::{Store, StoreErrorKind};
use crate::table::{self, CommittedFiles, TableError};
use crate::text::plain::chain;

/// What is said of a file that the table has since before it was compacted.
const GONE: &str = "the table has it, and it is not there: a compaction has its rows, which the table does not take in";
/// The remedy for what the next run mends.
const BRING_UP: &str = "run scan or compact, which brings the table up to date";

impl Verification {
    /// Compares the Delta table with what is live. What an attempt names is for the next scan to judge. Before
    /// anything is swept: what the table names is not. Returns why it cannot be compared, where what else is
    /// found may say it.
    pub(super) async fn judge_table(
        &mut self,
        store: &Store,
        known: &Known,
        committed: CommittedFiles,
    ) -> Result<Option<TableError>, JobError> {
        let differences = match table::compare(store, committed).await {
            Ok(differences) => differences.unwrap_or_default(),
            Err(TableError::Unreadable { path, is }) => {
                self.find(&path, FindingKind::Table, is);
                return Ok(None);
            }
            Err(error @ TableError::Changed { .. }) => {
                self.find(&LogObject::folder(), FindingKind::Table, chain(&error));
                return Ok(None);
            }
            Err(error)
                if error
                    .store()
                    .is_some_and(|of| of.kind() == StoreErrorKind::Unfit) =>
            {
                return Ok(Some(error));
            }
            Err(error) => return Err(error.into()),
        };
        let mut not_live = differences.not_live;
        not_live.retain(|path| !known.named.objects.contains(path));
        if !not_live.is_empty() {
            let Names { files, outputs, .. } = &known.listed;
            let files = files.iter().map(|(path, _)| path);
            let there: BTreeSet<&Path> =
                files.chain(outputs.iter().map(|(path, _)| path)).collect();
            for path in not_live {
                self.find_not_live(&path, known, &there);
            }
        }
        let not_remarked = differences.not_remarked.into_iter();
        self.is_table_behind = differences.is_behind && known.missing == 0;
        for path in differences.gone {
            let finding = Finding::named(path, FindingKind::Table, GONE.to_owned());
            let remedy = BRING_UP;
            self.findings.push(Finding { remedy, ..finding });
        }
        let commits = not_remarked.map(|slice| layout::commit(&slice).to_string());
        let lists = [
            (
                differences.taken,
                "the table has it, and a compaction has its rows",
            ),
            (differences.lacking, "it is live, and the table lacks it"),
            (
                differences.other,
                "the table says another day, other rows, bytes or times of it than its commit or compaction",
            ),
            (
                commits.collect(),
                "it says more than its files, and the table does not know of it",
            ),
        ];
        for (paths, detail) in lists {
            let findings = paths
                .into_iter()
                .map(|path| Finding::named(path, FindingKind::Table, detail.to_owned()));
            self.findings.extend(findings);
        }
        Ok(None)
    }

    /// Says why the table cannot be compared, unless what lies in the place of commits is named as a stranger.
    pub(super) fn judge_incomparable(&mut self, error: &TableError) {
        let own = [layout::commits(), layout::compactions()];
        let own = own.map(|path| path.to_string());
        if !self.findings.iter().any(|found| own.contains(&found.path)) {
            self.find(&LogObject::folder(), FindingKind::Table, chain(error));
        }
    }

    /// Says that commits or compactions are missing which the table knows of, where they are more than were
    /// found by what they have left: of one without files nothing else tells.
    pub(super) fn judge_loss(&mut self, missing: u64) {
        let is_named = |finding: &&Finding| {
            let object = OwnObject::at(&finding.path);
            let is_one = matches!(
                object,
                Some(OwnObject::Commit { .. } | OwnObject::Compaction { .. })
            );
            finding.what == FindingKind::Missing && is_one
        };
        let named = self.findings.iter().filter(is_named);
        let named: BTreeSet<&str> = named.map(|finding| finding.path.as_str()).collect();
        if missing > named.len() as u64 {
            let loss = TableError::Missing { missing };
            let own = Path::from(layout::OWN_FOLDER);
            let finding = Finding::new(&own, FindingKind::Missing, chain(&loss));
            self.findings.push(match loss.advice() {
                Some(remedy) => Finding { remedy, ..finding },
                None => finding,
            });
        }
    }

    /// A file of the table that nothing names: its commit or compaction is missing, or it is nobody's.
    fn find_not_live(&mut self, path: &str, known: &Known, there: &BTreeSet<&Path>) {
        let name = FileName::parse(path);
        let compaction = name.as_ref().and_then(CompactionName::of_file);
        let (object, detail) = match (name, compaction) {
            (_, Some(name)) if known.compactions.get(name).is_none() => {
                (layout::compaction(name), "the table has files of it")
            }
            (Some(name), None) if !known.named.committed.contains(&name.slice) => {
                (layout::commit(&name.slice), "the table has files of it")
            }
            _ => {
                let detail = "the table has it, and no commit or compaction does".to_owned();
                let finding = Finding::named(path.to_owned(), FindingKind::Table, detail);
                return self.findings.push(finding);
            }
        };
        self.find(&object, FindingKind::Missing, detail);
        let file = Path::from(path);
        if !there.contains(&file) {
            let detail = "the table has it, and it is not there, nor what names it";
            self.find(&file, FindingKind::Missing, detail);
        }
    }
}
