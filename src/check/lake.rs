//! What is asked of the lake's store. All that is made there is removed again.

use std::path::Path as DiskPath;

use bytes::Bytes;
use object_store::path::Path;
use serde_json::Value;

use super::{Answer, Checked, Plan, failed};
use crate::error::{Difference, ErrorKind, JobError, OTHER_TENANT};
use crate::job::Planned;
use crate::job::host_change;
use crate::job::tenant::{self, Found, Likeness};
use crate::layout;
use crate::store::{Creation, Store, StoreError, StoreErrorKind};
use crate::text::units::bytes;

/// Less than this does not last long.
const LOW_FREE_BYTES: u64 = 1024 * 1024 * 1024;
/// As much of an identity is read.
const MAX_IDENTITY_BYTES: u64 = 1024 * 1024;

/// Asks the lake's questions.
pub(super) async fn ask(checked: &Checked<'_>, plan: &Plan) -> Vec<Answer> {
    let mut answers = vec![identity(plan)];
    let folder = checked.site.folder();
    answers.extend(folder.map(free));
    let identity = match checked.site.store() {
        Some(store) => match store.get(&layout::identity(), MAX_IDENTITY_BYTES).await {
            Ok(identity) => Some((store, identity)),
            // Said above.
            Err(_) => return answers,
        },
        None => None,
    };
    let writers = if checked.options.single_writer {
        Writers::One
    } else {
        Writers::Several
    };
    match (identity, folder) {
        (Some((store, Some(lake))), folder) => {
            answers.extend(in_lake(store, lake, folder, writers).await);
        }
        (Some((store, None)), None) => answers.extend(in_bucket(store, writers).await),
        (_, Some(folder)) => answers.push(can_be_made(folder)),
        (None, None) => {}
    }
    answers
}

/// Whether the flags are those of the lake that is there, and nothing hinders a run.
fn identity(plan: &Plan) -> Answer {
    match plan {
        Ok(planned) if planned.is_new() => {
            Answer::ok("lake", "not there yet; the first scan makes it")
        }
        Ok(planned) if planned.changes_host() => Answer::ok(
            "lake",
            "there, and its clock, filters and slices are those of the flags; a scan changes its host",
        ),
        Ok(_) => Answer::ok(
            "lake",
            "there, and its host, clock, filters and slices are those of the flags",
        ),
        Err(report) => {
            let (kind, failure) = (report.failures.worst(), report.failures.first());
            let found = failure.map_or("it cannot be used", |failure| failure.error.as_str());
            let answer = Answer::fail_as("lake", kind.unwrap_or(ErrorKind::Usage), found);
            match failure.and_then(|failure| failure.advice) {
                Some(advice) => answer.advise(advice),
                None => answer,
            }
        }
    }
}

/// Whether records of the service are of the lake's tenant; `None` where there are none to compare. Where
/// the host is to change, as a scan finds out then.
pub(super) async fn tenant(
    checked: &Checked<'_>,
    planned: Option<&Planned>,
    records: &[Value],
) -> Option<Answer> {
    let store = checked.site.store()?;
    let planned = planned?;
    let likeness = if planned.changes_host() {
        let kept = tenant::kept_records(store, &planned.known.committed).await;
        match host_change::likeness(&kept, &Found::of_values(records)) {
            Ok(likeness) => likeness.ok()?,
            Err(error) => return Some(failed("tenant", &error)),
        }
    } else {
        // What cannot be read of a lake is said where it is asked for.
        tenant::compare_with_lake(store, records).await.ok()??
    };
    Some(match likeness {
        Likeness::Same(id) => Answer::ok("tenant", format!("the lake's: {id}")),
        Likeness::Other(Difference { field, lake, other }) => {
            let found =
                format!("the service's records have {field} {other}, and the lake's have {lake}");
            let answer = Answer::fail_as("tenant", ErrorKind::Usage, found);
            answer.advise(OTHER_TENANT)
        }
    })
}

/// The nearest folder that is there.
fn nearest(folder: &DiskPath) -> &DiskPath {
    let mut folders = folder.ancestors();
    let found = folders.find(|folder| folder.exists());
    found.unwrap_or(DiskPath::new("."))
}

fn free(folder: &DiskPath) -> Answer {
    let stat = match rustix::fs::statvfs(nearest(folder)) {
        Ok(stat) => stat,
        Err(error) => return Answer::warn("free space", format!("not known: {error}")),
    };
    let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    let found = bytes(free_bytes);
    let advice = "free some space, or use another --lake";
    if free_bytes < LOW_FREE_BYTES {
        return Answer::warn("free space", found).advise(advice);
    }
    Answer::ok("free space", found)
}

/// Whether the lake's folder, which has no lake yet, can be made or written to.
fn can_be_made(folder: &DiskPath) -> Answer {
    let mut folders = folder.ancestors();
    if let Some(link) = folders.find(|folder| folder.is_symlink() && !folder.exists()) {
        let found = format!("{} is a link that leads nowhere", link.display());
        return Answer::fail_as("writable", ErrorKind::Storage, found)
            .advise("make the folder that it leads to, or use another --lake");
    }
    let nearest = nearest(folder);
    let place = nearest.display();
    match rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK) {
        Ok(()) => Answer::ok("writable", format!("{place} can be written to")),
        Err(error) => Answer::fail_as(
            "writable",
            ErrorKind::Storage,
            format!("cannot write to {place}: {error}"),
        )
        .advise("give the user who runs this the right to write there, or use another --lake"),
    }
}

/// How many runs write at once, by the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writers {
    /// One, for which a store need not create only once.
    One,
    Several,
}

impl Writers {
    /// The store as a scan of so many writes to it.
    fn store(self, store: &Store) -> Store {
        match self {
            Self::One => store.clone().for_single_writer(),
            Self::Several => store.clone(),
        }
    }
}

/// A name that no object of a lake has, below a folder of it.
fn probe(folder: &str) -> Path {
    Path::from(format!("{folder}/check-{:016x}", fastrand::u64(..)))
}

/// The folders that a scan writes to, as far as they are on this disk: each may have its own rights.
fn written_to(lake: &DiskPath) -> Vec<String> {
    let own = [
        layout::commits(),
        layout::attempts(),
        layout::all_rejects(),
        layout::unproven(),
        layout::runs(),
    ];
    let own = own.iter().map(ToString::to_string);
    let shared = [layout::FILES_FOLDER, layout::LOG_FOLDER].map(str::to_owned);
    let folders = own.chain(shared);
    folders
        .filter(|folder| lake.join(folder).exists())
        .collect()
}

/// In a lake: its own identity, created once more, says whether the store creates only once.
async fn in_lake(
    store: &Store,
    lake: Bytes,
    folder: Option<&DiskPath>,
    writers: Writers,
) -> Vec<Answer> {
    let staging = folder.map(|folder| folder.join("_mdca/staging"));
    let is_new = staging.as_ref().is_some_and(|staging| !staging.exists());
    let again = store.create(&layout::identity(), lake).await;
    let mut answers = vec![created_once(again, writers)];
    let store = writers.store(store);
    answers.extend(made_and_removed(&store, &probe(layout::OWN_FOLDER)).await);
    if answers.iter().all(|answer| !answer.is_fail()) {
        for folder in folder.map(written_to).unwrap_or_default() {
            answers.extend(not_writable(&store, &probe(&folder)).await);
        }
    }
    if let Some(staging) = staging.filter(|_| is_new) {
        // Where it is not empty it is a run's by now.
        let _ = std::fs::remove_dir(staging);
    }
    answers
}

/// In a bucket without a lake: an object that is made twice.
async fn in_bucket(store: &Store, writers: Writers) -> Vec<Answer> {
    let path = probe(layout::OWN_FOLDER);
    let mut answers = made_and_removed(&writers.store(store), &path).await;
    if answers.iter().all(Answer::is_ok) {
        let object = || Bytes::from_static(b"check");
        let first = store.create(&path, object()).await;
        let second = store.create(&path, object()).await;
        answers.push(created_once(first.and(second), writers));
        answers.extend(store.delete(&path).await.err().map(not_removed));
    }
    answers
}

fn created_once(creation: Result<Creation, StoreError>, writers: Writers) -> Answer {
    let is_needed = writers == Writers::Several;
    match creation {
        Ok(Creation::Existed) => Answer::ok("create-only", "the store creates an object only once"),
        Ok(Creation::Created) if !is_needed => not_needed(),
        Err(error) if !is_needed && error.kind() == StoreErrorKind::CreateOnly => not_needed(),
        Ok(Creation::Created) => Answer::fail_as(
            "create-only",
            ErrorKind::Storage,
            "the store creates an object that is there already, so two runs could overwrite each other",
        )
        .advise("use another store, or --single-writer if only one run at a time ever writes"),
        Err(error) => failed("create-only", &JobError::from(error)),
    }
}

fn not_needed() -> Answer {
    let found =
        "the store creates an object that is there already, which a single writer never asks it to";
    Answer::warn("create-only", found)
        .advise("see that only one run at a time ever writes, as --single-writer says")
}

fn not_removed(error: StoreError) -> Answer {
    let error = JobError::from(error);
    let text = crate::text::plain::chain(&error);
    Answer::warn("deletes", format!("refused: {text}"))
        .advise("allow deletes below the lake, or accept that what is left of lost attempts stays")
}

/// What is wrong with a folder of a lake on disk, where this object is made and removed.
async fn not_writable(store: &Store, path: &Path) -> Option<Answer> {
    if let Err(error) = store.create(path, Bytes::from_static(b"check")).await {
        return Some(failed("writable", &JobError::from(error)));
    }
    store.delete(path).await.err().map(not_removed)
}

/// Makes an object and removes it. Whether it could be removed is asked first: else it would stay.
async fn made_and_removed(store: &Store, path: &Path) -> Vec<Answer> {
    if let Err(error) = store.delete(path).await {
        return vec![
            not_removed(error),
            Answer::warn(
                "writable",
                "not tried: what is made could not be removed again",
            ),
        ];
    }
    if let Err(error) = store.create(path, Bytes::from_static(b"check")).await {
        return vec![failed("writable", &JobError::from(error))];
    }
    let writable = Answer::ok("writable", "an object was made");
    let removed = match store.delete(path).await {
        Ok(()) => Answer::ok("deletes", "an object was removed"),
        Err(error) => not_removed(error),
    };
    vec![writable, removed]
}
