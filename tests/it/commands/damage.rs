//! What `verify` finds in a lake that something happened to.

use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use mdca_lake::error::ErrorKind;
use mdca_lake::job::export::export;
use mdca_lake::store::Store;
use mdca_lake::text::plain::chain;
use mdca_lake::text::report::Report;
use mdca_lake::verify::{self, Depth, Finding, Sweep, Verification};
use mdca_sim::{At, Fault, What};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;

use crate::support::faulty::{Fate, Gate};
use crate::support::process::{often, random};
use crate::support::readers;
use crate::support::scenario::{Scenario, Story, at, files_below};
use crate::support::sealed;

const ATTEMPT: &str = "00000000000000aa";

async fn look(lake: &Path, depth: Depth, sweep: Sweep) -> Verification {
    let store = Store::open(lake.to_str().unwrap()).unwrap();
    verify::verify(&store, depth, sweep, at("2026-11-20"))
        .await
        .unwrap()
}

/// A lake of four slices over two days, with rejects.
async fn story() -> Story {
    let (story, report) = Scenario::hours(4)
        .activities(160)
        .fault(Fault::new(At::Record(3), What::null_row()).always())
        .fault(Fault::new(At::Record(90), What::null_row()).always())
        .run()
        .await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    assert_eq!(report.result.counts.rejects.values().sum::<u64>(), 2);
    story
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A lake that is about to be harmed.
struct Victim<'l> {
    lake: &'l Path,
    random: Rng,
}

impl Victim<'_> {
    fn any(&mut self, folder: &str) -> PathBuf {
        let mut files = files_below(&self.lake.join(folder));
        files.swap_remove(self.random.usize(..files.len()))
    }

    /// Two different objects.
    fn two(&mut self, folder: &str) -> (PathBuf, PathBuf) {
        let mut files = files_below(&self.lake.join(folder));
        self.random.shuffle(&mut files);
        (files.remove(0), files.remove(0))
    }

    fn identity(&self) -> PathBuf {
        self.lake.join("_mdca/lake.json")
    }

    /// Changes one bit somewhere.
    fn flip(&mut self, path: PathBuf) -> PathBuf {
        let mut bytes = fs::read(&path).unwrap();
        let at = self.random.usize(..bytes.len());
        bytes[at] ^= 1 << self.random.u8(..8);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Cuts the end off, one byte at least.
    fn cut(&mut self, path: PathBuf) -> PathBuf {
        let bytes = fs::read(&path).unwrap();
        let length = self.random.usize(..bytes.len());
        fs::write(&path, &bytes[..length]).unwrap();
        path
    }

    /// Changes an object and seals it again, so that its checksum is right.
    fn reseal(path: PathBuf, change: impl FnOnce(&mut Value)) -> PathBuf {
        let mut value = sealed::read(&path);
        change(&mut value);
        sealed::write(&path, &value);
        path
    }

    fn commit_with(&self, has: impl Fn(&Value) -> bool) -> PathBuf {
        files_below(&self.lake.join("_mdca/commits"))
            .into_iter()
            .find(|path| has(&sealed::read(path)))
            .unwrap()
    }
}

fn put(path: PathBuf, text: &str) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

/// Harms a lake; returns what verify has to name, and how.
type Harm = fn(&mut Victim<'_>) -> (PathBuf, &'static str);

const COMMITS: &str = "_mdca/commits";
const REJECTS: &str = "_mdca/rejects";

/// A name, how often it is tried, and the harm.
const HARMS: &[(&str, u32, Harm)] = &[
    ("a bit of a file", 12, |v| {
        let path = v.any("activities");
        (v.flip(path), "changed")
    }),
    ("a bit of a commit", 8, |v| {
        let path = v.any(COMMITS);
        (v.flip(path), "damaged")
    }),
    ("a bit of the identity", 4, |v| {
        let path = v.identity();
        (v.flip(path), "damaged")
    }),
    ("a bit of rejects", 4, |v| {
        let path = v.any(REJECTS);
        (v.flip(path), "changed")
    }),
    ("a file cut short", 4, |v| {
        let path = v.any("activities");
        (v.cut(path), "truncated")
    }),
    ("a commit cut short", 4, |v| {
        let path = v.any(COMMITS);
        (v.cut(path), "damaged")
    }),
    ("the identity cut short", 2, |v| {
        let path = v.identity();
        (v.cut(path), "damaged")
    }),
    ("rejects cut short", 2, |v| {
        let path = v.any(REJECTS);
        (v.cut(path), "truncated")
    }),
    ("a report cut short", 2, |v| {
        let path = v.any("_mdca/runs");
        (v.cut(path), "damaged")
    }),
    ("an empty file", 1, |v| {
        (put(v.any("activities"), ""), "truncated")
    }),
    ("an empty commit", 1, |v| {
        (put(v.any(COMMITS), ""), "damaged")
    }),
    ("an empty identity", 1, |v| {
        (put(v.identity(), ""), "damaged")
    }),
    ("an empty report", 1, |v| {
        (put(v.any("_mdca/runs"), ""), "damaged")
    }),
    ("a file that grew", 1, |v| {
        let path = v.any("activities");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, [bytes.as_slice(), b"PAR1"].concat()).unwrap();
        (path, "truncated")
    }),
    ("a commit with a second line", 1, |v| {
        let path = v.any(COMMITS);
        let text = fs::read_to_string(&path).unwrap();
        (put(path, &format!("{text}{text}")), "damaged")
    }),
    ("a missing file", 1, |v| {
        let path = v.any("activities");
        fs::remove_file(&path).unwrap();
        (path, "missing")
    }),
    ("missing rejects", 1, |v| {
        let path = v.any(REJECTS);
        fs::remove_file(&path).unwrap();
        (path, "missing")
    }),
    ("a missing identity", 1, |v| {
        fs::remove_file(v.identity()).unwrap();
        (v.identity(), "missing")
    }),
    ("a missing commit", 1, |v| {
        let path = v.commit_with(|commit| commit["files"][0].is_object());
        let file = sealed::read(&path)["files"][0]["path"].clone();
        fs::remove_file(path).unwrap();
        (v.lake.join(file.as_str().unwrap()), "stray")
    }),
    ("a foreign file", 1, |v| {
        let folder = v.any("activities").parent().unwrap().to_owned();
        let path = folder.join("mine.parquet");
        fs::copy(v.any("activities"), &path).unwrap();
        (path, "foreign")
    }),
    ("a file of a foreign partition", 1, |v| {
        let path = v.lake.join("activities/event_date=tomorrow/a.parquet");
        (put(path, "x"), "foreign")
    }),
    ("a file beside the partitions", 1, |v| {
        (put(v.lake.join("activities/_SUCCESS"), ""), "foreign")
    }),
    ("a foreign commit", 1, |v| {
        (
            put(v.lake.join(COMMITS).join("notes.json"), "{}"),
            "foreign",
        )
    }),
    ("a copy of a commit beside it", 1, |v| {
        let path = v.any(COMMITS);
        let copy = path.with_extension("json.bak");
        fs::copy(path, &copy).unwrap();
        (copy, "foreign")
    }),
    ("a foreign object at the top", 1, |v| {
        (put(v.lake.join("_mdca/notes.txt"), "x"), "foreign")
    }),
    ("a foreign attempt", 1, |v| {
        (put(v.lake.join("_mdca/attempts/x"), "x"), "foreign")
    }),
    ("foreign rejects", 1, |v| {
        (put(v.lake.join(REJECTS).join("x.jsonl"), ""), "foreign")
    }),
    ("a foreign report", 1, |v| {
        (put(v.lake.join("_mdca/runs/last.json"), "{}"), "foreign")
    }),
    ("a foreign staged file", 1, |v| {
        (put(v.lake.join("_mdca/staging/x"), ""), "foreign")
    }),
    ("a foreign folder", 1, |v| {
        (put(v.lake.join("_mdca/backup/lake.json"), ""), "foreign")
    }),
    ("swapped files", 2, |v| {
        let (a, b) = v.two("activities");
        let (bytes_a, bytes_b) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
        fs::write(&a, &bytes_b).unwrap();
        fs::write(&b, &bytes_a).unwrap();
        let same_size = bytes_a.len() == bytes_b.len();
        (a, if same_size { "changed" } else { "truncated" })
    }),
    ("a commit in another's place", 2, |v| {
        let (a, b) = v.two(COMMITS);
        fs::copy(a, &b).unwrap();
        (b, "damaged")
    }),
    ("a commit under a slice that has none", 1, |v| {
        let path = v
            .lake
            .join(COMMITS)
            .join("20260101T0000Z-20260101T0100Z.json");
        fs::copy(v.any(COMMITS), &path).unwrap();
        (path, "damaged")
    }),
    ("a commit of a slice of another length", 1, |v| {
        let name = "20260101T0000Z-20260101T0030Z";
        let path = v.lake.join(COMMITS).join(format!("{name}.json"));
        sealed::write(&path, &sealed::commit(name));
        (path, "contradicts")
    }),
    ("a commit that names another's files", 1, |v| {
        let theirs = v.commit_with(|commit| commit["files"][0].is_object());
        let theirs = sealed::read(&theirs)["files"].clone();
        let name = "20260101T0000Z-20260101T0100Z";
        let path = v.lake.join(COMMITS).join(format!("{name}.json"));
        let mut commit = sealed::commit(name);
        commit["files"] = theirs;
        sealed::write(&path, &commit);
        (path, "damaged")
    }),
    ("a commit of a newer version", 1, |v| {
        let path = v.any(COMMITS);
        (
            Victim::reseal(path, |commit| commit["version"] = 9.into()),
            "newer",
        )
    }),
    ("counts that do not add up", 1, |v| {
        let path = v.any(COMMITS);
        let harm = |commit: &mut Value| commit["counts"]["records"] = 9_999.into();
        (Victim::reseal(path, harm), "contradicts")
    }),
    ("an identity of another slice length", 1, |v| {
        let path = v.any(COMMITS);
        Victim::reseal(v.identity(), |identity| {
            identity["slice_minutes"] = 120.into();
        });
        (path, "contradicts")
    }),
    ("an identity of an unknown clock", 1, |v| {
        let harm = |identity: &mut Value| identity["clock"] = "sundial".into();
        (Victim::reseal(v.identity(), harm), "contradicts")
    }),
    ("a damaged attempt", 1, |v| {
        let slice = "20260101T0000Z-20260101T0100Z";
        let path = v
            .lake
            .join(format!("_mdca/attempts/{slice}/{ATTEMPT}.json"));
        (put(path, "{\"version\":1"), "damaged")
    }),
    (
        "a file that the commit of its slice does not name",
        1,
        |v| {
            let path = v.any("activities");
            let name = path.file_name().unwrap().to_str().unwrap();
            let mut parts = name.rsplitn(3, '-');
            let (number, _, slice) = (parts.next().unwrap(), parts.next(), parts.next().unwrap());
            let copy = path.with_file_name(format!("{slice}-{ATTEMPT}-{number}"));
            fs::copy(path, &copy).unwrap();
            (copy, "unnamed")
        },
    ),
    ("rejects of a slice without a commit", 1, |v| {
        let name = format!("20260101T0000Z-20260101T0100Z-{ATTEMPT}.jsonl");
        (put(v.lake.join(REJECTS).join(name), ""), "stray")
    }),
];

/// Every harm, alone, on a copy of a whole lake: verify names what was harmed, and in which way.
#[tokio::test(flavor = "multi_thread")]
async fn verify_names_everything_that_differs_from_its_commit() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let story = story().await;
    let whole = look(story.lake(), Depth::Rows, Sweep::Never).await;
    assert_eq!((whole.exit_code(), &whole.findings), (0, &vec![]));
    let folder = tempfile::tempdir().unwrap();
    let mut tried = 0;
    for (name, times, harm) in HARMS {
        for turn in 0..*times {
            let lake = folder.path().join(format!("lake-{tried}"));
            copy(story.lake(), &lake);
            let random = random.fork();
            let (path, what) = harm(&mut Victim {
                lake: &lake,
                random,
            });
            let path = path
                .strip_prefix(&lake)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            for depth in [Depth::Bytes, Depth::Rows] {
                // A report has no checksum; only a closer look reads it.
                let is_report = path.starts_with("_mdca/runs/") && what == "damaged";
                if depth == Depth::Bytes && is_report {
                    continue;
                }
                let done = look(&lake, depth, Sweep::Never).await;
                let code = if what == "newer" { 2 } else { 5 };
                assert_eq!(done.exit_code(), code, "{name} {turn}: {}", done.to_text());
                let named = |finding: &Finding| {
                    finding.path == path
                        && finding.what.as_str() == what
                        && !finding.remedy.is_empty()
                };
                assert!(
                    done.findings.iter().any(named),
                    "{name} {turn}: {what} {path}: {}",
                    done.to_text()
                );
            }
            tried += 1;
        }
    }
    println!("{tried} lakes were harmed in {} ways", HARMS.len());
    assert!(tried >= 35);
}

/// The file that a commit names first, its commit, and the entry's place in it.
fn biggest_file(lake: &Path) -> (PathBuf, PathBuf, usize) {
    biggest_of(lake, COMMITS, "files")
}

/// The same of the files that the objects of a folder name in a list.
fn biggest_of(lake: &Path, folder: &str, list: &str) -> (PathBuf, PathBuf, usize) {
    let mut all = Vec::new();
    for object in files_below(&lake.join(folder)) {
        let files = sealed::read(&object)[list].as_array().unwrap().clone();
        for (index, file) in files.iter().enumerate() {
            let path = lake.join(file["path"].as_str().unwrap());
            all.push((file["rows"].as_u64().unwrap(), path, object.clone(), index));
        }
    }
    let (_, path, object, index) = all.into_iter().max().unwrap();
    (path, object, index)
}

/// Makes a commit say the size and the checksum that its file has now.
fn cover_up(file: &Path, commit: PathBuf, index: usize) {
    cover_up_in(file, commit, "files", index);
}

/// The same of any object with a list of files. The table, which says the file's size, too, is gone.
fn cover_up_in(file: &Path, object: PathBuf, list: &str, index: usize) {
    let bytes = fs::read(file).unwrap();
    let lake = object.ancestors().nth(3).unwrap();
    fs::remove_dir_all(lake.join("_delta_log")).unwrap();
    Victim::reseal(object, |object| {
        let entry = &mut object[list][index];
        entry["bytes"] = bytes.len().into();
        entry["checksum"] = sealed::checksum(&bytes).into();
    });
}

/// One kind for files, rejects and the seals of own objects; every byte counts.
#[tokio::test(flavor = "multi_thread")]
async fn every_checksum_of_a_lake_is_the_sha_256_of_the_bytes() {
    let story = story().await;
    let lake = story.lake();
    let mut checked = 0;
    for path in files_below(&lake.join("_mdca/commits")) {
        let text = fs::read_to_string(&path).unwrap();
        let (body, seal) = text.rsplit_once(",\"checksum\":").unwrap();
        assert_eq!(
            seal,
            format!("\"{}\"}}\n", sealed::checksum(body.as_bytes()))
        );
        let commit = sealed::read(&path);
        let files = commit["files"].as_array().unwrap().iter();
        for entry in files.chain(commit["rejects"].is_object().then(|| &commit["rejects"])) {
            let bytes = fs::read(lake.join(entry["path"].as_str().unwrap())).unwrap();
            assert_eq!(entry["checksum"], sealed::checksum(&bytes).as_str());
            checked += 1;
        }
    }
    assert!(checked > 4, "files and rejects: {checked}");
}

/// Files that were written anew and whose commits fit them: only the rows tell.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_deep_look_finds_what_fits_its_checksum() {
    let story = story().await;
    let folder = tempfile::tempdir().unwrap();
    let harms = [
        ("unsorted", "not sorted by timestamp"),
        ("duplicate", "the slice has the same record already: 1 rows"),
        ("wrong_day", "outside the folder's day: 1 rows"),
        ("outside_slice", "the clock lies outside the slice: 1 rows"),
        ("row_missing", "and its commit"),
        ("column_missing", "its schema is not that of the activities"),
        (
            "column_other_type",
            "its schema is not that of the activities",
        ),
        ("column_unknown", "and this version knows"),
        (
            "footer",
            "its footer says 20200101T0000Z-20200101T0100Z as mdca.slice",
        ),
        ("unsealed_order", "does not declare that it is sorted"),
        ("no_parquet", "cannot be decoded"),
        ("commit_times", "and its commit says"),
        ("changed_repeats", "records repeated with other JSON"),
        ("odd_created", "rows without a usable created"),
        ("reject_reasons", "its reasons differ"),
    ];
    for (harm, message) in harms {
        let lake = folder.path().join(harm);
        copy(story.lake(), &lake);
        let (file, commit, index) = biggest_file(&lake);
        let mut named = file.clone();
        match harm {
            "no_parquet" => {
                let mut bytes = fs::read(&file).unwrap();
                let end = bytes.len() - 40;
                bytes[end..].fill(7);
                fs::write(&file, bytes).unwrap();
            }
            "commit_times" => {
                Victim::reseal(commit.clone(), |commit| {
                    let time = &mut commit["files"][index]["created_max_ms"];
                    *time = (time.as_i64().unwrap() + 1).into();
                });
            }
            "changed_repeats" | "odd_created" => {
                named = Victim::reseal(commit.clone(), |commit| commit["counts"][harm] = 1.into());
            }
            "reject_reasons" => {
                let path = Victim {
                    lake: &lake,
                    random: Rng::with_seed(0),
                }
                .commit_with(|commit| commit["rejects"].is_object());
                let path = Victim::reseal(path, |commit| {
                    commit["counts"]["rejects"] = serde_json::json!({"no_id": 1});
                });
                let rejects = sealed::read(&path)["rejects"]["path"].clone();
                named = lake.join(rejects.as_str().unwrap());
            }
            harm => readers::rewrite(&file, harm),
        }
        cover_up(&file, commit, index);
        let shallow = look(&lake, Depth::Bytes, Sweep::Never).await;
        assert_eq!(shallow.findings, [], "{harm}");
        let deep = look(&lake, Depth::Rows, Sweep::Never).await;
        assert_eq!(deep.exit_code(), 5, "{harm}");
        let named = named.strip_prefix(&lake).unwrap().to_str().unwrap();
        assert!(
            deep.findings
                .iter()
                .any(|finding| finding.path == named && finding.detail.contains(message)),
            "{harm} {named}: {}",
            deep.to_text()
        );
    }
}

/// A merged file has another order than those that it was made of.
#[tokio::test(flavor = "multi_thread")]
async fn a_deep_look_holds_a_merged_file_to_the_order_that_it_declares() {
    let (story, report) = Scenario::hours(8).activities(400).run().await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    let report = story.compact(&[]).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    let folder = tempfile::tempdir().unwrap();
    let by_user = "sorted by user_name,timestamp";
    let harms = [
        ("rewritten", None),
        ("unsorted", Some(format!("not {by_user}:"))),
        (
            "unsealed_order",
            Some(format!("does not declare that it is {by_user}")),
        ),
    ];
    for (harm, message) in harms {
        let lake = folder.path().join(harm);
        copy(story.lake(), &lake);
        let (file, compaction, index) = biggest_of(&lake, "_mdca/compactions", "outputs");
        readers::rewrite(&file, harm);
        cover_up_in(&file, compaction, "outputs", index);
        let deep = look(&lake, Depth::Rows, Sweep::Never).await;
        let found = |message: &String| {
            let mut findings = deep.findings.iter();
            findings.any(|finding| finding.detail.contains(message))
        };
        assert_eq!(
            deep.findings.is_empty(),
            message.is_none(),
            "{harm}: {}",
            deep.to_text()
        );
        assert!(
            message.as_ref().is_none_or(found),
            "{harm}: {}",
            deep.to_text()
        );
    }
}

/// Only large row groups have them.
#[tokio::test(flavor = "multi_thread")]
async fn a_deep_look_finds_a_bloom_filter_that_is_missing_or_wrong() {
    let (story, report) = Scenario::hours(1).activities(6_000).run().await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    let folder = tempfile::tempdir().unwrap();
    let harms = [
        ("none", None),
        ("rewritten", Some("has no bloom filter for activity_id")),
        ("emptied", Some("lacks the activity_id of")),
    ];
    for (name, message) in harms {
        let lake = folder.path().join(name);
        copy(story.lake(), &lake);
        let (file, commit, index) = biggest_file(&lake);
        match name {
            "none" => {}
            "emptied" => empty_bloom(&file),
            harm => readers::rewrite(&file, harm),
        }
        cover_up(&file, commit, index);
        let deep = look(&lake, Depth::Rows, Sweep::Never).await;
        let found = |message| {
            deep.findings
                .iter()
                .any(|finding| finding.detail.contains(message))
        };
        assert_eq!(deep.findings.is_empty(), message.is_none(), "{name}");
        assert!(message.is_none_or(found), "{name}: {}", deep.to_text());
    }
}

/// Takes everything out of the bloom filter of the ids.
fn empty_bloom(path: &Path) {
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let group = reader.metadata().row_group(0);
    let column = group
        .columns()
        .iter()
        .find(|column| column.column_path().string() == "activity_id")
        .unwrap();
    let start = usize::try_from(column.bloom_filter_offset().unwrap()).unwrap();
    let length = usize::try_from(column.bloom_filter_length().unwrap()).unwrap();
    let mut bytes = fs::read(path).unwrap();
    // The header stays; the filter is what is left of a multiple of 32 bytes.
    let end = start + length;
    bytes[end - length / 32 * 32..end].fill(0);
    fs::write(path, bytes).unwrap();
}

/// What no commit names goes only if its name is ours and its slice is committed.
#[tokio::test(flavor = "multi_thread")]
async fn sweep_removes_what_is_nobodys_and_nothing_else() {
    let story = story().await;
    let lake = story.lake();
    let before = files_below(lake);
    let own = files_below(&lake.join("activities")).remove(0);
    let folder = own.parent().unwrap().to_owned();
    let slice = files_below(&lake.join(COMMITS)).remove(0);
    let slice = slice.file_stem().unwrap().to_str().unwrap().to_owned();
    let other = "20260101T0000Z-20260101T0100Z";
    let ours = [
        folder.join(format!("{slice}-{ATTEMPT}-0.parquet")),
        lake.join(REJECTS).join(format!("{slice}-{ATTEMPT}.jsonl")),
        lake.join(format!("_mdca/staging/{slice}/{ATTEMPT}/x.staged")),
    ];
    // Of a slice that somebody may be publishing.
    let others = [
        folder.join(format!("{other}-{ATTEMPT}-0.parquet")),
        lake.join(REJECTS).join(format!("{other}-{ATTEMPT}.jsonl")),
        lake.join(format!("_mdca/staging/{other}/{ATTEMPT}/x.staged")),
    ];
    let foreign = [
        folder.join("mine.parquet"),
        folder.join(format!("{slice}-{ATTEMPT}-0.parquet.bak")),
        folder.join(format!("{slice}-{ATTEMPT}-00.parquet")),
        lake.join("_mdca/notes.txt"),
        lake.join("README.txt"),
    ];
    for path in ours.iter().chain(&others).chain(&foreign) {
        put(path.clone(), "x");
    }
    let said = look(lake, Depth::Bytes, Sweep::Never).await;
    assert_eq!(
        (said.swept.len(), said.unfinished),
        (0, [slice.clone()].into())
    );
    let all = before.len() + ours.len() + others.len() + foreign.len();
    assert_eq!(files_below(lake).len(), all);

    let done = look(lake, Depth::Bytes, Sweep::Unnamed).await;
    assert_eq!(done.swept.len(), ours.len(), "{}", done.to_text());
    assert_eq!(
        done.exit_code(),
        5,
        "the others' and the foreign ones are said"
    );
    for path in &ours {
        assert!(!path.exists(), "{}", path.display());
    }
    for path in before.iter().chain(&others).chain(&foreign) {
        assert!(path.exists(), "{}", path.display());
    }
    for path in others.iter().chain(&foreign) {
        fs::remove_file(path).unwrap();
    }
    let again = look(lake, Depth::Rows, Sweep::Unnamed).await;
    assert_eq!(
        (again.exit_code(), again.swept.len()),
        (0, 0),
        "{}",
        again.to_text()
    );
    assert_eq!(files_below(lake), before);

    // Nothing else is wrong: 0, and what was removed is said.
    put(ours[0].clone(), "x");
    let done = look(lake, Depth::Bytes, Sweep::Unnamed).await;
    let said = done.to_text();
    assert_eq!(done.exit_code(), 0, "{said}");
    assert!(said.contains("removed     activities/"), "{said}");
}

/// Whose commit cannot be read may have been named by it.
#[tokio::test(flavor = "multi_thread")]
async fn sweep_leaves_the_files_of_a_damaged_commit() {
    let story = story().await;
    let before = files_below(story.lake());
    for commit in files_below(&story.lake().join(COMMITS)) {
        let text = fs::read_to_string(&commit).unwrap();
        put(commit, &text.replacen("\"rows\":", "\"rows\":1", 1));
    }
    let done = look(story.lake(), Depth::Rows, Sweep::Unnamed).await;
    assert_eq!((done.exit_code(), done.swept), (5, vec![]));
    assert_eq!(files_below(story.lake()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_of_the_lake_stops_a_scan_and_is_left_alone() {
    let (story, _) = Scenario::hours(2).activities(100).run().await;
    let lake_json = story.lake().join("_mdca/lake.json");
    let good = fs::read_to_string(&lake_json).unwrap();
    let newer = good.replace("\"version\":1", "\"version\":2");
    let cases = [
        ("_mdca/lake.json", "{}", "does not end with its checksum"),
        ("_mdca/lake.json", newer.as_str(), "checksum does not match"),
        ("_mdca/lake.json", "", "it is empty"),
    ];
    for (path, text, message) in cases {
        let place = story.lake().join(path);
        let was = fs::read(&place).ok();
        put(place.clone(), text);
        let sent = story.sim.requests().len();
        let report = story.scan(&[]).await;
        assert_eq!(report.head.exit_code, 6, "{path}: {}", report.to_text());
        let error = &report.failures[0].error;
        assert!(error.contains(path) && error.contains(message), "{error}");
        assert_eq!(story.sim.requests().len(), sent);
        assert_eq!(fs::read_to_string(&place).unwrap(), text);
        match was {
            Some(bytes) => fs::write(&place, bytes).unwrap(),
            None => fs::remove_file(&place).unwrap(),
        }
    }
    // The folders that are left are cleared away like any run's.
    assert_eq!(story.scan(&[]).await.head.exit_code, 0);
    story.expect_exact().await;
}

/// Takes away all of a slice, so that it is scanned again.
fn take_away(lake: &Path, commit: &Path) {
    let files = sealed::read(commit)["files"].clone();
    for file in files.as_array().unwrap() {
        fs::remove_file(lake.join(file["path"].as_str().unwrap())).unwrap();
    }
    fs::remove_file(commit).unwrap();
}

/// A commit that lost its bytes costs its slice, which nobody scans over, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_commit_is_said_on_every_run_and_stops_no_other_slice() {
    let (story, _) = Scenario::hours(3).activities(90).run().await;
    let commits = files_below(&story.lake().join(COMMITS));
    let empty = &commits[0];
    let was = fs::read(empty).unwrap();
    fs::write(empty, "").unwrap();
    take_away(story.lake(), &commits[2]);
    for committed in [1, 0] {
        let report = story.scan(&[]).await;
        let text = report.to_text();
        assert_eq!(
            (report.head.exit_code, report.slices.committed),
            (6, committed),
            "{text}"
        );
        let name = empty.file_name().unwrap().to_str().unwrap();
        assert!(
            text.contains(name) && text.contains("it is empty"),
            "{text}"
        );
        assert_eq!(fs::metadata(empty).unwrap().len(), 0);
    }
    fs::write(empty, was).unwrap();
    assert_eq!(story.scan(&[]).await.head.exit_code, 0);
    story.expect_exact().await;
}

/// One bit of a file may be another value of a record, and no decoder notices.
#[tokio::test(flavor = "multi_thread")]
async fn no_record_of_a_changed_file_is_exported() {
    let (story, _) = Scenario::hours(1).activities(60).run().await;
    let whole = story.export().await;
    let mut victim = Victim {
        lake: story.lake(),
        random: random(),
    };
    for _ in 0..often(40) {
        let file = victim.any("activities");
        let was = fs::read(&file).unwrap();
        victim.flip(file.clone());
        let mut out = Vec::new();
        let exported = export(&story.store(), None, &mut out).await;
        let error = exported.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        let name = file.file_name().unwrap().to_str().unwrap();
        let said = error.to_string();
        assert!(
            said.contains(name) && said.contains("it was changed"),
            "{said}"
        );
        let out = String::from_utf8(out).unwrap();
        assert!(out.lines().all(|line| whole.contains(line)), "{out}");
        fs::write(&file, was).unwrap();
    }
    assert_eq!(story.export().await, whole);
}

/// A table that is made anew has nothing of a commit that cannot be read: it would lack its rows, and say
/// nothing of them.
#[tokio::test(flavor = "multi_thread")]
async fn no_table_is_made_anew_while_a_commit_cannot_be_read() {
    let (story, _) = Scenario::hours(3).activities(90).run().await;
    let commits = files_below(&story.lake().join(COMMITS));
    let was = fs::read(&commits[0]).unwrap();
    fs::write(&commits[0], &was[..was.len() / 2]).unwrap();
    let log = story.lake().join("_delta_log");
    fs::remove_dir_all(&log).unwrap();
    let report = story.scan(&[]).await;
    let said = report.to_text();
    assert_eq!(report.head.exit_code, 5, "{said}");
    assert!(said.contains("cannot make the table anew"), "{said}");
    assert!(!log.join("00000000000000000000.json").exists());
    fs::write(&commits[0], was).unwrap();
    assert_eq!(story.scan(&[]).await.head.exit_code, 0);
    story.expect_exact().await;
}

/// A store may list a commit and say that it is not there. No row is left out in silence.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_listed_and_not_there_is_said() {
    let (story, _) = Scenario::hours(3).activities(90).run().await;
    let whole = story.export().await;
    let commit = files_below(&story.lake().join(COMMITS)).remove(1);
    let name = commit.file_name().unwrap().to_str().unwrap().to_owned();
    let gate = Gate::new(move |call| {
        let is_read = call.verb == "get" && call.path.ends_with(&name);
        if is_read { Fate::Hide } else { Fate::Pass }
    });
    let guarded = story.guarded(&gate);
    let mut out = Vec::new();
    let exported = export(&guarded, None, &mut out).await.unwrap();
    assert!(out.len() < whole.len());
    let [left_out] = &exported.left_out[..] else {
        panic!("{:?}", exported.left_out);
    };
    let said = chain(left_out);
    assert!(said.contains("reading it finds nothing"), "{said}");
    let now_ms = at("2026-11-20");
    let verified = verify::verify(&guarded, Depth::Bytes, Sweep::Never, now_ms);
    let found = verified.await.unwrap().findings;
    // Nothing of it is called a stranger's.
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].detail.contains("reading it finds nothing"),
        "{found:?}"
    );
    assert_eq!(story.export().await, whole);
}

/// What the table has of a commit that cannot be read stays in it, also in the versions that follow: so its
/// loss is known, when it is moved away.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_commit_that_is_moved_away_is_missed() {
    let (story, _) = Scenario::hours(3).activities(90).run().await;
    let commits = files_below(&story.lake().join(COMMITS));
    let damaged = &commits[0];
    let was = fs::read(damaged).unwrap();
    fs::write(damaged, &was[..was.len() / 2]).unwrap();
    // A slice for the next run, so that the table gets a version.
    take_away(story.lake(), &commits[2]);
    let report = story.scan(&[]).await;
    assert_eq!(report.slices.committed, 1, "{}", report.to_text());
    let missing = async || {
        let status = story.status().await;
        let exported = export(&story.store(), None, &mut Vec::new()).await.unwrap();
        let missing = status.table.unwrap().missing;
        assert_eq!(exported.loss.is_some(), missing > 0);
        missing
    };
    assert_eq!(missing().await, 0);
    fs::remove_file(damaged).unwrap();
    assert_eq!(missing().await, 1);
    fs::write(damaged, was).unwrap();
    assert_eq!(story.scan(&[]).await.head.exit_code, 0);
    assert_eq!(missing().await, 0);
    story.expect_exact().await;
}

/// Rows that a compaction has are not scanned a second time, so nobody is told to.
#[tokio::test(flavor = "multi_thread")]
async fn the_remedies_of_a_compacted_day_are_those_that_work() {
    let (story, _) = Scenario::hours(8).activities(400).run().await;
    let report = story.compact(&[]).await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    let mut victim = Victim {
        lake: story.lake(),
        random: random(),
    };
    let merged = |path: &PathBuf| path.to_str().unwrap().contains("/z-");
    let merged = files_below(&story.lake().join("activities"))
        .into_iter()
        .find(merged);
    for (place, says) in [
        (victim.any(COMMITS), "no run makes it anew"),
        (
            merged.unwrap(),
            "it holds the rows of files that were removed",
        ),
    ] {
        let was = fs::read(&place).unwrap();
        for harm in [Victim::flip, Victim::cut] {
            harm(&mut victim, place.clone());
            let found = look(story.lake(), Depth::Bytes, Sweep::Never).await;
            let path = place.strip_prefix(story.lake()).unwrap().to_str().unwrap();
            let finding = found.findings.iter().find(|finding| finding.path == path);
            let remedy = finding.unwrap().remedy;
            assert!(remedy.contains(says), "{path}: {remedy}");
            fs::write(&place, &was).unwrap();
        }
    }
}

/// What a put left when its process died is told from what somebody writes now, and what a system
/// drops in the lake is named and is no damage.
#[tokio::test(flavor = "multi_thread")]
async fn dead_puts_are_swept_by_age_and_what_a_system_drops_is_named() {
    let (story, _) = Scenario::hours(2).activities(40).run().await;
    let lake = story.lake();
    let now = fs::metadata(lake.join("_mdca/lake.json"))
        .unwrap()
        .modified()
        .unwrap();
    let left = |name: &str, minutes: u64| {
        let path = put(lake.join("_mdca/staging").join(name), "x");
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(now - std::time::Duration::from_secs(60 * minutes))
            .unwrap();
        path
    };
    let dead = [
        left("_mdca!lake.json#1", 61),
        left("_mdca!runs!x.json#2", 3_000),
    ];
    let alive = left("_mdca!lake.json#2", 30);
    let dropped = put(lake.join("activities/.DS_Store"), "x");

    let said = look(lake, Depth::Rows, Sweep::Never).await;
    assert_eq!(
        (said.exit_code(), said.dead_puts.len()),
        (0, 2),
        "{}",
        said.to_text()
    );
    assert_eq!(said.ignored, ["activities/.DS_Store"]);
    assert!(said.to_text().contains("ignored     activities/.DS_Store"));
    let done = look(lake, Depth::Rows, Sweep::Unnamed).await;
    assert_eq!(
        (done.exit_code(), done.swept.len()),
        (0, 2),
        "{}",
        done.to_text()
    );
    assert!(dead.iter().all(|path| !path.exists()));
    assert!(alive.exists() && dropped.exists());
}
