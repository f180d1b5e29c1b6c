//! The Delta table against what is live.

use super::reading::Named;
use super::{Finding, FindingKind, Verification};
use crate::error::JobError;
use crate::layout;
use crate::store::{Store, StoreErrorKind};
use crate::table::{self, CommittedFiles, TableError};

impl Verification {
    /// Compares the Delta table with what is live. What an attempt names is for the next scan to judge.
    pub(super) async fn judge_table(
        &mut self,
        store: &Store,
        named: &Named,
        committed: CommittedFiles,
    ) -> Result<(), JobError> {
        let differences = match table::compare(store, committed).await {
            Ok(differences) => differences.unwrap_or_default(),
            Err(TableError::Unreadable { path, is }) => {
                self.find(&path, FindingKind::Table, is);
                return Ok(());
            }
            // What lies in the place of commits is named as a stranger.
            Err(error)
                if error
                    .store()
                    .is_some_and(|of| of.kind() == StoreErrorKind::Unfit) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let not_live = differences.not_live.into_iter();
        for path in not_live.filter(|path| !named.objects.contains(path)) {
            let detail = "the table has it, and no commit or compaction does".to_owned();
            let finding = Finding::named(path, FindingKind::Table, detail);
            self.findings.push(finding);
        }
        let not_remarked = differences.not_remarked.into_iter();
        let commits = not_remarked.map(|slice| layout::commit(&slice).to_string());
        let lists = [
            (differences.lacking, "it is live, and the table lacks it"),
            (
                differences.other,
                "the table says other rows or bytes of it than its commit or compaction",
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
        Ok(())
    }
}
