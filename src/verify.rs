//! Whether a lake holds what its commits say, whole, and nothing else.

use std::collections::BTreeSet;
use std::fmt::Write;

use object_store::path::Path;
use serde::Serialize;

use crate::commit::{Commit, CommitError, Identity, paths};
use crate::error::{ErrorKind, JobError, chain};
use crate::status::no_lake;
use crate::store::Store;
use crate::window::Slice;

/// Something in the lake that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Where.
    pub path: String,
    /// `missing`, `truncated`, `changed`, `foreign` or `damaged`.
    pub what: &'static str,
    /// More about it.
    pub detail: String,
}

/// What was looked at and what was found.
#[derive(Debug, Default, Serialize)]
pub struct Verification {
    /// The lake.
    pub lake: String,
    /// Commits read.
    pub commits: u64,
    /// Files read whole.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Rows that the commits name.
    pub rows: u64,
    /// Attempts that wait for the next run; no damage.
    pub attempts: u64,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

/// Reads every object that a commit names, and names every object under `activities/` that none
/// does.
pub async fn verify(store: &Store) -> Result<Verification, JobError> {
    let mut done = Verification {
        lake: store.location().to_owned(),
        ..Verification::default()
    };
    match Identity::load(store).await {
        Ok(Some(_)) => {}
        Ok(None) => return Err(no_lake(store)),
        Err(CommitError::Damaged { path, damage }) => done.find(&path, "damaged", chain(&damage)),
        Err(error) => return Err(error.into()),
    }
    let mut named: BTreeSet<String> = BTreeSet::new();
    for object in store.list(&paths::commits()).await? {
        let path = object.location;
        let Some(slice) =
            paths::slice_of_commit(&path).filter(|slice| slice.parse::<Slice>().is_ok())
        else {
            done.find(&path, "foreign", "it is not named like a commit".to_owned());
            continue;
        };
        done.commits += 1;
        let Some(bytes) = store.get(&path).await? else {
            continue;
        };
        match Commit::parse(&bytes, &slice) {
            Ok(commit) => check_commit(store, &commit, &mut named, &mut done).await?,
            Err(damage) => done.find(&path, "damaged", chain(&damage)),
        }
    }
    for (folder, what) in [("activities", "file"), ("_mdca/rejects", "rejects file")] {
        for object in store.list(&Path::from(folder)).await? {
            if !named.contains(object.location.as_ref()) {
                done.find(
                    &object.location,
                    "foreign",
                    format!("no commit names this {what}"),
                );
            }
        }
    }
    done.attempts = store.list(&paths::attempts()).await?.len() as u64;
    done.findings.sort();
    Ok(done)
}

async fn check_commit(
    store: &Store,
    commit: &Commit,
    named: &mut BTreeSet<String>,
    done: &mut Verification,
) -> Result<(), JobError> {
    let rejects = commit
        .rejects
        .iter()
        .map(|rejects| (&rejects.path, rejects.bytes, &rejects.checksum));
    let files = commit
        .files
        .iter()
        .map(|file| (&file.path, file.bytes, &file.checksum));
    for (path, bytes, checksum) in files.chain(rejects) {
        named.insert(path.clone());
        let path = Path::from(path.as_str());
        match store.checksum(&path).await? {
            None => done.find(
                &path,
                "missing",
                format!("slice {} is committed with it", commit.slice),
            ),
            Some((found, _)) if found != bytes => {
                done.find(
                    &path,
                    "truncated",
                    format!("it has {found} bytes, and was committed with {bytes}"),
                );
            }
            Some((_, found)) if found != *checksum => {
                done.find(
                    &path,
                    "changed",
                    format!("its checksum is {found}, and was {checksum}"),
                );
            }
            Some((found, _)) => {
                done.files += 1;
                done.bytes += found;
            }
        }
    }
    done.rows += commit.counts.rows;
    Ok(())
}

impl Verification {
    fn find(&mut self, path: &Path, what: &'static str, detail: String) {
        self.findings.push(Finding {
            path: path.to_string(),
            what,
            detail,
        });
    }

    /// The exit code: damage is a matter of the data.
    pub fn exit_code(&self) -> u8 {
        if self.findings.is_empty() {
            0
        } else {
            ErrorKind::Data.exit_code()
        }
    }

    /// The verification as one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a verification serialises to JSON") + "\n"
    }

    /// The verification for people.
    pub fn to_text(&self) -> String {
        self.text().expect("a String takes any text")
    }

    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        writeln!(
            out,
            "{}: {} commits, {} files, {} bytes, {} rows",
            self.lake, self.commits, self.files, self.bytes, self.rows
        )?;
        if self.attempts > 0 {
            writeln!(
                out,
                "{} attempts wait for the next scan to finish them",
                self.attempts
            )?;
        }
        for Finding { path, what, detail } in &self.findings {
            writeln!(out, "{what:<10} {path}: {detail}")?;
        }
        match self.findings.len() {
            0 => writeln!(out, "all of it is as it was committed")?,
            n => writeln!(
                out,
                "{n} findings: restore what is missing or changed from a copy; move away what is foreign"
            )?,
        }
        Ok(out)
    }
}
