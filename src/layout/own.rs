//! Where things lie below `_mdca/`.

use chrono::{DateTime, NaiveDateTime, Utc};
use object_store::path::Path;

use super::{CompactionName, FILES_FOLDER, FileName};
use crate::window::Slice;

/// The folder of everything here.
pub const OWN_FOLDER: &str = "_mdca";

/// What the slice of a converted file begins with.
const CONVERTED: &str = "c-";

/// The lake's identity.
pub fn identity() -> Path {
    Path::from("_mdca/lake.json")
}

/// The slice of a converted file, by the XXH3-128 of its bytes.
pub fn converted(hash: u128) -> String {
    format!("{CONVERTED}{hash:032x}")
}

/// Whether a slice is a converted file.
pub fn is_converted(slice: &str) -> bool {
    slice
        .strip_prefix(CONVERTED)
        .is_some_and(|hash| is_lower_hex(hash, 32))
}

/// The folder of all commits.
pub fn commits() -> Path {
    Path::from("_mdca/commits")
}

/// The commit of a slice.
pub fn commit(slice: &str) -> Path {
    Path::from(format!("_mdca/commits/{slice}.json"))
}

/// The slice whose commit lies at a path.
pub fn slice_of_commit(path: &Path) -> Option<String> {
    let name = path
        .as_ref()
        .strip_prefix("_mdca/commits/")?
        .strip_suffix(".json")?;
    (!name.contains('/')).then(|| name.to_owned())
}

/// The folder of all compactions.
pub fn compactions() -> Path {
    Path::from("_mdca/compactions")
}

/// A compaction of a day.
pub fn compaction(name: CompactionName) -> Path {
    Path::from(format!("_mdca/compactions/{name}.json"))
}

/// The folder of all attempts.
pub fn attempts() -> Path {
    Path::from("_mdca/attempts")
}

/// The folder of the attempts at one slice, or at one compaction.
pub fn attempts_at(slice: &str) -> Path {
    Path::from(format!("_mdca/attempts/{slice}"))
}

/// The commit, or the compaction, that an attempt is about to make.
pub fn attempt(slice: &str, attempt: &str) -> Path {
    Path::from(format!("_mdca/attempts/{slice}/{attempt}.json"))
}

/// The folder of all rejects.
pub fn all_rejects() -> Path {
    Path::from("_mdca/rejects")
}

/// The rejects of an attempt.
pub fn rejects(slice: &str, attempt: &str) -> Path {
    Path::from(format!("_mdca/rejects/{slice}-{attempt}.jsonl"))
}

/// The folder of the changes of the identity.
pub fn changes() -> Path {
    Path::from("_mdca/changes")
}

/// The change of a number.
pub fn change(number: u32) -> Path {
    Path::from(format!("_mdca/changes/{number}.json"))
}

/// The folder of the markers of unproven slices.
pub fn unproven() -> Path {
    Path::from("_mdca/unproven")
}

/// The marker of an unproven slice.
pub fn unproven_at(slice: &str) -> Path {
    Path::from(format!("_mdca/unproven/{slice}.json"))
}

/// The folder of what is on its way, on a disk.
pub fn staging() -> Path {
    Path::from("_mdca/staging")
}

/// The folder of all reports.
pub fn runs() -> Path {
    Path::from("_mdca/runs")
}

/// The report of a run.
pub fn run(run: &str) -> Path {
    Path::from(format!("_mdca/runs/{run}.json"))
}

/// The last report of a run whose first one could not be replaced.
pub fn last_report(run: &str) -> Path {
    Path::from(format!("_mdca/runs/{run}.end.json"))
}

/// An object that a run makes and removes, to see whether it can. Where it dies in between, it is one on
/// its way, whose put has not ended.
pub fn removal_probe(run: &str) -> Path {
    Path::parse(format!("_mdca/staging/check-{run}#1")).expect("a run's id has no odd characters")
}

/// Where no file ever is: a store says of its removal whether files may be removed.
pub fn file_never_made(run: &str) -> Path {
    Path::from(format!("{FILES_FOLDER}/check-{run}"))
}

/// Whether a path is that of a folder. Object stores may show folders as empty objects.
pub fn is_folder(path: &str) -> bool {
    const FOLDERS: [&str; 8] = [
        "changes",
        "commits",
        "compactions",
        "attempts",
        "rejects",
        "unproven",
        "runs",
        "staging",
    ];
    let Some(below) = path.strip_prefix(OWN_FOLDER) else {
        return false;
    };
    let mut parts = below.split('/').skip(1);
    match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => below.is_empty(),
        (Some(folder), None, _) => FOLDERS.contains(&folder),
        (Some("attempts"), Some(at), None) => {
            is_slice_name(at) || at.parse::<CompactionName>().is_ok()
        }
        _ => false,
    }
}

/// Whether a path is of a file that systems drop wherever they look: no command reads it.
pub fn is_dropped_by_a_system(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_named = [".DS_Store", "Thumbs.db", "desktop.ini"]
        .iter()
        .any(|dropped| name.eq_ignore_ascii_case(dropped));
    // What ends in `.parquet` is read by everyone who reads the lake by a pattern.
    let is_kind = [".nfs", "._"]
        .iter()
        .any(|dropped| name.starts_with(dropped));
    is_named || is_kind && !name.ends_with(".parquet")
}

/// What an object below `_mdca/` is, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnObject {
    /// The lake's identity.
    Identity,
    /// The commit of a slice.
    Commit {
        /// The slice.
        slice: String,
    },
    /// What an attempt is about to commit.
    Attempt {
        /// The slice.
        slice: String,
    },
    /// A compaction of a day.
    Compaction {
        /// Which.
        name: CompactionName,
    },
    /// The compaction that an attempt is about to make.
    CompactionAttempt {
        /// Which.
        name: CompactionName,
    },
    /// The rejects of an attempt.
    Rejects {
        /// The slice.
        slice: String,
    },
    /// The marker of a slice that was asked for too late to prove anything.
    Unproven {
        /// The slice.
        slice: String,
    },
    /// A change of the identity.
    Change {
        /// Its number, from 0.
        number: u32,
    },
    /// The report of a run.
    Run {
        /// The run.
        run: String,
    },
    /// An object on its way, on a disk. Its put has not ended, or never will.
    Put,
    /// A file on its way, on a disk.
    Staged {
        /// The slice, or the compaction.
        slice: String,
    },
}

impl OwnObject {
    /// Reads a path; `None` where this program gives nothing such a name.
    pub fn at(path: &str) -> Option<Self> {
        let below = path.strip_prefix("_mdca/")?;
        if below == "lake.json" {
            return Some(Self::Identity);
        }
        let (folder, name) = below.split_once('/')?;
        match folder {
            "commits" => {
                slice_named(name.strip_suffix(".json")?).map(|slice| Self::Commit { slice })
            }
            "attempts" => {
                let (at, attempt) = name.split_once('/')?;
                if !is_attempt_id(attempt.strip_suffix(".json")?) {
                    return None;
                }
                match at.parse() {
                    Ok(name) => Some(Self::CompactionAttempt { name }),
                    Err(_) => slice_named(at).map(|slice| Self::Attempt { slice }),
                }
            }
            "compactions" => {
                let name = name.strip_suffix(".json")?.parse().ok()?;
                Some(Self::Compaction { name })
            }
            "rejects" => {
                let (slice, attempt) = name.strip_suffix(".jsonl")?.rsplit_once('-')?;
                is_attempt_id(attempt)
                    .then(|| slice_named(slice))?
                    .map(|slice| Self::Rejects { slice })
            }
            "unproven" => {
                slice_named(name.strip_suffix(".json")?).map(|slice| Self::Unproven { slice })
            }
            "changes" => {
                let number: u32 = name.strip_suffix(".json")?.parse().ok()?;
                // One name a number.
                (change(number).as_ref() == path).then_some(Self::Change { number })
            }
            "runs" => {
                let run = name.strip_suffix(".json")?;
                let run = run.strip_suffix(".end").unwrap_or(run);
                is_run_id(run).then(|| Self::Run {
                    run: run.to_owned(),
                })
            }
            "staging" if !name.contains('/') => {
                let (_, n) = name.rsplit_once('#')?;
                let is_number = !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
                is_number.then_some(Self::Put)
            }
            "staging" => {
                let (slice, rest) = name.split_once('/')?;
                let (attempt, file) = rest.split_once('/')?;
                let is_file = file.ends_with(".staged") && !file.contains('/');
                let is_ours = is_slice_name(slice) || slice.parse::<CompactionName>().is_ok();
                (is_attempt_id(attempt) && is_file && is_ours).then(|| Self::Staged {
                    slice: slice.to_owned(),
                })
            }
            _ => None,
        }
    }
}

/// The slice whose attempt a file or rejects are of, by the name.
pub fn slice_of_object(path: &Path) -> Option<String> {
    match OwnObject::at(path.as_ref()) {
        Some(OwnObject::Rejects { slice }) => Some(slice),
        _ => FileName::parse(path.as_ref())
            .filter(|name| CompactionName::of_file(name).is_none())
            .map(|name| name.slice),
    }
}

fn slice_named(name: &str) -> Option<String> {
    is_slice_name(name).then(|| name.to_owned())
}

/// Whether a text names a slice: a piece of time, or a converted file by the hash of its bytes.
pub fn is_slice_name(name: &str) -> bool {
    name.parse::<Slice>().is_ok() || is_converted(name)
}

/// Whether a text is the id of an attempt: sixteen hexadecimal digits.
pub fn is_attempt_id(text: &str) -> bool {
    is_lower_hex(text, 16)
}

/// Whether a text is the id of a run: its start and eight hexadecimal digits.
fn is_run_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(stamp, id)| {
        is_lower_hex(id, 8)
            && stamp.len() == "20261119T100000Z".len()
            && stamp.bytes().enumerate().all(|(at, b)| match at {
                8 => b == b'T',
                15 => b == b'Z',
                _ => b.is_ascii_digit(),
            })
    })
}

/// When a run began, which its id says; `None` where that is not a time.
pub fn run_began(run: &str) -> Option<DateTime<Utc>> {
    let (stamp, _) = run.split_once('-')?;
    let began = NaiveDateTime::parse_from_str(stamp, "%Y%m%dT%H%M%SZ").ok()?;
    Some(began.and_utc())
}

fn is_lower_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: &str = "20261119T1000Z-20261119T1100Z";
    const ATTEMPT: &str = "0123456789abcdef";

    fn day() -> CompactionName {
        "2026-11-19-3".parse().unwrap()
    }

    #[test]
    fn every_path_is_read_back() {
        let slice = || SLICE.to_owned();
        for (path, object) in [
            (identity(), OwnObject::Identity),
            (commit(SLICE), OwnObject::Commit { slice: slice() }),
            (
                attempt(SLICE, ATTEMPT),
                OwnObject::Attempt { slice: slice() },
            ),
            (compaction(day()), OwnObject::Compaction { name: day() }),
            (
                attempt(&day().to_string(), ATTEMPT),
                OwnObject::CompactionAttempt { name: day() },
            ),
            (change(12), OwnObject::Change { number: 12 }),
            (unproven_at(SLICE), OwnObject::Unproven { slice: slice() }),
            (
                rejects(SLICE, ATTEMPT),
                OwnObject::Rejects { slice: slice() },
            ),
        ] {
            assert_eq!(OwnObject::at(path.as_ref()), Some(object), "{path}");
        }
        assert_eq!(
            OwnObject::at("_mdca/staging/_mdca!lake.json#12"),
            Some(OwnObject::Put)
        );
        assert_eq!(
            OwnObject::at(removal_probe("20261121T071800Z-0a1b2c3d").as_ref()),
            Some(OwnObject::Put)
        );
        let converted = "c-0123456789abcdef0123456789abcdef";
        assert_eq!(
            OwnObject::at(rejects(converted, ATTEMPT).as_ref()),
            Some(OwnObject::Rejects {
                slice: converted.to_owned()
            })
        );
        let id = "20261121T071800Z-0a1b2c3d";
        for path in [run(id), last_report(id)] {
            let object = OwnObject::Run { run: id.to_owned() };
            assert_eq!(OwnObject::at(path.as_ref()), Some(object));
        }
    }

    #[test]
    fn what_systems_drop_is_told_from_what_readers_would_read() {
        for (path, dropped) in [
            ("activities/event_date=2026-11-19/.DS_Store", true),
            ("_mdca/commits/._20261119T1000Z-20261119T1100Z.json", true),
            ("_mdca/.nfs00000000", true),
            ("THUMBS.DB", true),
            ("activities/Desktop.ini", true),
            ("activities/event_date=2026-11-19/._a.parquet", false),
            ("_mdca/DS_Store", false),
            ("_mdca/.DS_Store.json", false),
        ] {
            assert_eq!(is_dropped_by_a_system(path), dropped, "{path}");
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        for path in [
            "_mdca/lake.json.bak",
            "_mdca/notes.txt",
            "_mdca/commits/notes.json",
            "_mdca/commits/20261119T1000Z-20261119T1100Z.json.bak",
            "_mdca/commits/20261119T1000Z-20261119T1100Z/x.json",
            "_mdca/commits/20261119T1100Z-20261119T1000Z.json",
            "_mdca/compactions/2026-11-19.json",
            "_mdca/compactions/2026-11-19-00.json",
            "_mdca/compactions/2026-11-19-0/x.json",
            "_mdca/attempts/2026-11-19-01/0123456789abcdef.json",
            "_mdca/attempts/20261119T1000Z-20261119T1100Z.json",
            "_mdca/attempts/20261119T1000Z-20261119T1100Z/0123456789abcdeF.json",
            "_mdca/rejects/20261119T1000Z-20261119T1100Z.jsonl",
            "_mdca/rejects/20261119T1000Z-20261119T1100Z-0123456789abcdef.json",
            "_mdca/unproven/notes.json",
            "_mdca/changes/01.json",
            "_mdca/changes/+1.json",
            "_mdca/runs/last.json",
            "_mdca/runs/20261121X071800Z-0a1b2c3d.json",
            "_mdca/staging/20261119T1000Z-20261119T1100Z/0123456789abcdef/f.parquet",
            "_mdca/staging/x",
            "_mdca/staging/x#",
            "_mdca/staging/x#1a",
            "_mdca/staging/20261119T1000Z-20261119T1100Z/x#1",
            "activities/x",
            "_mdca",
            "",
        ] {
            assert_eq!(OwnObject::at(path), None, "{path}");
        }
    }
}
