//! One slice: what its commit names, and what the commit says of itself.

use std::sync::Arc;

use object_store::path::Path;

use super::{Depth, Finding, FindingKind, deep};
use crate::commit::{Commit, Identity, LakeSource, paths};
use crate::error::JobError;
use crate::plain_text::chain;
use crate::scan::ClockField;
use crate::schema::{self, CREATED, TIMESTAMP};
use crate::store::{Store, StoreErrorKind};
use crate::window::{Slice, SliceLength, TimeWindow};

/// What the identity says that every slice has to fit; nothing where it cannot be read.
#[derive(Debug, Default)]
pub(super) struct Lake {
    source: Option<LakeSource>,
    length: Option<SliceLength>,
    clock: Option<ClockField>,
}

impl Lake {
    /// The lake of an identity, and what is wrong with that.
    pub(super) fn of(identity: &Identity) -> (Self, Vec<String>) {
        let mut flaws = Vec::new();
        let clock = identity.clock.parse().ok();
        if clock.is_none() {
            flaws.push(format!(
                "its clock '{}' is unknown to this version",
                identity.clock
            ));
        }
        let length = identity.slice_length().ok();
        if length.is_none() {
            flaws.push(format!(
                "{} minutes is not a valid length of a slice",
                identity.slice_minutes
            ));
        }
        if identity.schema_version != schema::activity().version {
            flaws.push(format!(
                "it has schema version {}, and this program reads {}",
                identity.schema_version,
                schema::activity().version
            ));
        }
        let lake = Self {
            source: Some(identity.source),
            length,
            clock,
        };
        (lake, flaws)
    }

    /// The lake's clock in a slice: the name of its column, and the time that it may show.
    pub(super) fn clock_of(&self, slice: &str) -> Option<(&'static str, TimeWindow)> {
        let window = slice.parse::<Slice>().ok()?.window();
        Some(match self.clock? {
            ClockField::Created => (CREATED, window),
            ClockField::Date => (TIMESTAMP, window),
        })
    }

    /// Why a slice is none of this lake's.
    pub(super) fn refuses(&self, slice: &str) -> Option<String> {
        let time = slice.parse::<Slice>().ok();
        match (self.source?, time) {
            (LakeSource::Convert, None) => None,
            (LakeSource::Convert, Some(_)) => {
                Some("it names a slice of time, and the lake was made by convert".to_owned())
            }
            (LakeSource::Scan, None) => {
                Some("it does not name a slice of time, and the lake was made by scan".to_owned())
            }
            (LakeSource::Scan, Some(time)) => {
                let length = self.length?;
                let fits = length.floor(time.from_ms()) == time.from_ms()
                    && time.until_ms() - time.from_ms() == length.as_ms();
                (!fits).then(|| {
                    format!("it is not a slice of this lake, whose slices are {length} long")
                })
            }
        }
    }
}

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
    let own_path = paths::commit(&commit.slice);
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
