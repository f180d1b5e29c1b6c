//! One slice: what its commit names, and what the commit says of itself.

use std::sync::Arc;

use object_store::path::Path;

use super::asked::Depth;
use super::lake::Lake;
use super::{Finding, FindingKind, deep};
use crate::commit::{Commit, Compactions};
use crate::error::JobError;
use crate::layout::{self, CompactionName, FileName};
use crate::schema;
use crate::store::{Store, StoreErrorKind};
use crate::text::plain::chain;
use crate::write::FileEntry;

/// What was found of the objects that a commit or a compaction names.
#[derive(Debug, Default)]
pub(super) struct SliceCheck {
    /// Objects that are named, and whole.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// What is wrong.
    pub(super) findings: Vec<Finding>,
}

/// Reads what a commit names and no compaction has taken.
pub(super) async fn check(
    store: Store,
    lake: Arc<Lake>,
    compactions: Arc<Compactions>,
    commit: Arc<Commit>,
    depth: Depth,
) -> Result<SliceCheck, JobError> {
    let mut check = SliceCheck::default();
    let own_path = layout::commit(&commit.slice);
    for flaw in flaws_of_commit(&lake, &commit) {
        let finding = Finding::new(&own_path, FindingKind::Contradicts, flaw);
        check.findings.push(finding);
    }
    let is_taken = |file: &&FileEntry| compactions.has_taken(&file.path);
    let (mut taken, files): (Vec<&FileEntry>, Vec<&FileEntry>) =
        commit.files.iter().partition(is_taken);
    let why = format!("slice {} is committed with it", commit.slice);
    for file in files {
        let is_whole = check.look_at(&store, Object::of(file), &why).await?;
        if !is_whole && check.look_for_taker(&store, &compactions, file).await? {
            taken.push(file);
        }
    }
    if let Some(rejects) = &commit.rejects {
        let rejects = Object {
            path: &rejects.path,
            bytes: rejects.bytes,
            checksum: &rejects.checksum,
        };
        check.look_at(&store, rejects, &why).await?;
    }
    while depth == Depth::Rows && check.findings.is_empty() {
        let error = match deep::check_rows(&store, &lake, &commit, &taken).await {
            Ok(flaws) => {
                check.findings.extend(flaws);
                break;
            }
            Err(error) => error,
        };
        // A compaction may have taken a file since its bytes were read.
        let file = commit.files.iter().find(|file| is_gone(&error, file));
        let Some(file) = file else { return Err(error) };
        if check.look_at(&store, Object::of(file), &why).await? {
            return Err(error);
        }
        if check.look_for_taker(&store, &compactions, file).await? {
            taken.push(file);
        }
    }
    Ok(check)
}

/// Reads what a compaction leaves, as far as no later one has taken it.
pub(super) async fn check_compaction(
    store: Store,
    (compactions, name): (Arc<Compactions>, CompactionName),
    depth: Depth,
) -> Result<SliceCheck, JobError> {
    let mut check = SliceCheck::default();
    let Some(compaction) = compactions.get(name) else {
        return Ok(check);
    };
    let why = format!("compaction {} put rows there", compaction.compaction);
    for file in &compaction.outputs {
        if compactions.has_taken(&file.path) {
            continue;
        }
        if !check.look_at(&store, Object::of(file), &why).await? {
            check.look_for_taker(&store, &compactions, file).await?;
        } else if depth == Depth::Rows {
            match deep::check_output(&store, compaction, file).await {
                Ok(flaws) => check.findings.extend(flaws),
                Err(error) if is_gone(&error, file) => {
                    check.look_at(&store, Object::of(file), &why).await?;
                    check.look_for_taker(&store, &compactions, file).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(check)
}

/// Whether a store may refuse one object so, and give the others.
fn is_of_one(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::Denied | StoreErrorKind::Archived)
}

/// Whether this is the error of a file that is not there.
fn is_gone(error: &JobError, file: &FileEntry) -> bool {
    matches!(error, JobError::Read(error) if error.gone() == Some(&file.path))
}

/// An object that is named with its size and checksum.
struct Object<'o> {
    path: &'o str,
    bytes: u64,
    checksum: &'o str,
}

impl<'o> Object<'o> {
    fn of(file: &'o FileEntry) -> Self {
        Self {
            path: &file.path,
            bytes: file.bytes,
            checksum: &file.checksum,
        }
    }
}

impl SliceCheck {
    /// Reads an object whole; false where it is not there, or not as it should be.
    async fn look_at(
        &mut self,
        store: &Store,
        object: Object<'_>,
        why: &str,
    ) -> Result<bool, JobError> {
        let Object {
            path,
            bytes,
            checksum,
        } = object;
        let path = Path::from(path);
        let (what, detail) = match store.checksum(&path, bytes).await {
            Ok(None) => (FindingKind::Missing, why.to_owned()),
            Ok(Some((found, None))) => (
                FindingKind::Truncated,
                format!("it has {found} bytes, and was committed with {bytes}"),
            ),
            Ok(Some((_, Some(found)))) if found != *checksum => (
                FindingKind::Changed,
                format!("its checksum is {found}, and was {checksum}"),
            ),
            Ok(Some(_)) => {
                self.files += 1;
                self.bytes += bytes;
                return Ok(true);
            }
            Err(error) if error.kind() == StoreErrorKind::Unfit => {
                (FindingKind::Damaged, chain(&error))
            }
            // Others may be given, and worse may be wrong with them.
            Err(error) if is_of_one(error.kind()) => {
                self.findings.push(Finding::of_refusal(&path, &error));
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        self.findings.push(Finding::new(&path, what, detail));
        Ok(false)
    }

    /// A file that is missing may have been taken meanwhile; of a day of which a compaction cannot be
    /// read nobody knows. True where that explains it.
    async fn look_for_taker(
        &mut self,
        store: &Store,
        compactions: &Compactions,
        file: &FileEntry,
    ) -> Result<bool, JobError> {
        let is_it =
            |finding: &Finding| finding.what == FindingKind::Missing && finding.path == file.path;
        let day = FileName::parse(&file.path).map(|name| name.key);
        let (Some(day), true) = (day, self.findings.iter().any(is_it)) else {
            return Ok(false);
        };
        let is_explained = compactions.is_unsure(day) || {
            let now = Compactions::load_day(store, day).await?;
            now.is_unsure(day) || now.has_taken(&file.path)
        };
        if is_explained {
            self.findings.retain(|finding| !is_it(finding));
        }
        Ok(is_explained)
    }
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
