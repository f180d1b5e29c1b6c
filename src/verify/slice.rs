//! One slice: what its commit names, and what the commit says of itself.

use std::sync::Arc;

use object_store::path::Path;

use super::asked::Depth;
use super::lake::Lake;
use super::{Finding, FindingKind, deep};
use crate::commit::Commit;
use crate::error::JobError;
use crate::layout;
use crate::schema;
use crate::store::{Store, StoreErrorKind};
use crate::text::plain::chain;

/// What a slice was found to be.
#[derive(Debug, Default)]
pub(super) struct SliceCheck {
    /// Objects that the commit names.
    pub(super) named: Vec<String>,
    /// Of them, those that are whole.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Rows, as the commit says.
    pub(super) rows: u64,
    /// What is wrong.
    pub(super) findings: Vec<Finding>,
}

/// Reads what a commit names.
pub(super) async fn check(
    store: Store,
    lake: Arc<Lake>,
    commit: Commit,
    depth: Depth,
) -> Result<SliceCheck, JobError> {
    let mut check = SliceCheck {
        named: commit.named_objects().map(str::to_owned).collect(),
        rows: commit.counts.rows,
        ..SliceCheck::default()
    };
    let own_path = layout::commit(&commit.slice);
    for flaw in flaws_of_commit(&lake, &commit) {
        let finding = Finding::new(&own_path, FindingKind::Contradicts, flaw);
        check.findings.push(finding);
    }
    let rejects = commit
        .rejects
        .iter()
        .map(|rejects| (&rejects.path, rejects.bytes, &rejects.checksum));
    let files = commit
        .files
        .iter()
        .map(|file| (&file.path, file.bytes, &file.checksum));
    for (path, bytes, checksum) in files.chain(rejects) {
        let path = Path::from(path.as_str());
        let (what, detail) = match store.checksum(&path, bytes).await {
            Ok(None) => (
                FindingKind::Missing,
                format!("slice {} is committed with it", commit.slice),
            ),
            Ok(Some((found, None))) => (
                FindingKind::Truncated,
                format!("it has {found} bytes, and was committed with {bytes}"),
            ),
            Ok(Some((_, Some(found)))) if found != *checksum => (
                FindingKind::Changed,
                format!("its checksum is {found}, and was {checksum}"),
            ),
            Ok(Some(_)) => {
                check.files += 1;
                check.bytes += bytes;
                continue;
            }
            Err(error) if error.kind() == StoreErrorKind::Unfit => {
                (FindingKind::Damaged, chain(&error))
            }
            Err(error) => return Err(error.into()),
        };
        check.findings.push(Finding::new(&path, what, detail));
    }
    let whole = check.findings.is_empty();
    if depth == Depth::Rows && whole {
        check
            .findings
            .extend(deep::check_rows(&store, &lake, &commit).await?);
    }
    Ok(check)
}

/// What a commit says that cannot be so.
fn flaws_of_commit(lake: &Lake, commit: &Commit) -> Vec<String> {
    let Commit {
        slice,
        schema_version,
        files,
        rejects,
        counts,
        ..
    } = commit;
    let mut flaws: Vec<String> = lake.refuses(slice).into_iter().collect();
    if *schema_version != schema::activity().version {
        flaws.push(format!(
            "it has schema version {schema_version}, and this program reads {}",
            schema::activity().version
        ));
    }
    if !counts.conserve() {
        flaws.push("its counts do not account for every record".to_owned());
    }
    // Wide: a commit that is wrong may say any number.
    let in_files: u128 = files.iter().map(|file| u128::from(file.rows)).sum();
    if in_files != u128::from(counts.rows) {
        flaws.push(format!(
            "it counts {} rows, and {in_files} in its files",
            counts.rows
        ));
    }
    let rejected: u128 = counts.rejects.values().copied().map(u128::from).sum();
    let lines = rejects.as_ref().map_or(0, |rejects| rejects.lines);
    if rejected != u128::from(lines) {
        flaws.push(format!(
            "it counts {rejected} rejects, and {lines} in its rejects file"
        ));
    }
    flaws
}
