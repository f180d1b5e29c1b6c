//! Lakes into which somebody wrote who may, or out of which something was lost: no command changes
//! anything there that it may not, none believes what cannot be so, and one bad object stops nothing
//! else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mdca_lake::error::{ErrorKind, JobError};
use mdca_lake::job::export;
use mdca_lake::job::process::Machine;
use mdca_lake::status;
use mdca_lake::store::Store;
use mdca_lake::text::report::Report;
use mdca_lake::verify::{FindingKind, Sweep};
use serde_json::{Value, json};

use crate::support::scenario::{Scenario, Story, at, files_below};
use crate::support::sealed;

const FORGED: &str = "00000000f0f0f0f0";
/// The slices of the lake, and a file of each.
const SLICES: [&str; 4] = [
    "20261118T0000Z-20261118T0100Z",
    "20261118T0100Z-20261118T0200Z",
    "20261118T0200Z-20261118T0300Z",
    "20261118T0300Z-20261118T0400Z",
];

/// A lake that is about to be harmed.
struct Lake<'l>(&'l Path);

impl Lake<'_> {
    fn own(&self, name: &str) -> PathBuf {
        self.0.join("_mdca").join(name)
    }

    fn commit(&self, slice: &str) -> PathBuf {
        self.own(&format!("commits/{slice}.json"))
    }

    /// What a commit says of its first file.
    fn file_of(&self, slice: &str) -> Value {
        sealed::read(&self.commit(slice))["files"][0].clone()
    }

    /// Takes a slice out of the lake, as if it had never been scanned.
    fn forget(&self, slice: &str) {
        for file in sealed::read(&self.commit(slice))["files"]
            .as_array()
            .unwrap()
        {
            fs::remove_file(self.0.join(file["path"].as_str().unwrap())).unwrap();
        }
        fs::remove_file(self.commit(slice)).unwrap();
        // The table would name what is gone; the next run makes it anew.
        fs::remove_dir_all(self.0.join("_delta_log")).unwrap();
    }

    /// An attempt at a slice that names one file, and says of it what fits the bytes that are there.
    fn forge(&self, slice: &str, names: &str) {
        self.forge_with(slice, names, |_| {});
    }

    fn forge_with(&self, slice: &str, names: &str, change: impl Fn(&mut Value)) {
        let mut file = self.file_of(SLICES[3]);
        let bytes = fs::read(self.0.join(names)).unwrap_or_default();
        file["path"] = names.into();
        file["bytes"] = bytes.len().into();
        file["checksum"] = sealed::checksum(&bytes).into();
        let mut commit = sealed::commit(slice);
        commit["attempt"] = FORGED.into();
        for count in ["records", "rows"] {
            commit["counts"][count] = file["rows"].clone();
        }
        commit["files"] = json!([file]);
        let mut attempt = json!({
            "version": 1, "commit_path": format!("_mdca/commits/{slice}.json"), "commit": commit,
        });
        change(&mut attempt);
        let path = self.own(&format!("attempts/{slice}/{FORGED}.json"));
        sealed::write(&path, &attempt);
    }

    fn reseal(path: &Path, change: impl Fn(&mut Value)) {
        let mut value = sealed::read(path);
        change(&mut value);
        sealed::write(path, &value);
    }
}

/// What is done to a lake, and the exit codes of `scan`, `verify --sweep`, `status` and `export`.
struct Harm {
    name: &'static str,
    does: fn(&Lake<'_>),
    scan: u8,
    verify: u8,
    status: u8,
    export: u8,
    /// Whether all rows are there after the scan, once.
    is_whole: bool,
}

const SOUND: Harm = Harm {
    name: "",
    does: |_| {},
    scan: 0,
    verify: 0,
    status: 0,
    export: 0,
    is_whole: true,
};

const HARMS: &[Harm] = &[
    Harm {
        name: "an attempt at a committed slice names the identity",
        does: |lake| lake.forge(SLICES[0], "_mdca/lake.json"),
        verify: 5,
        ..SOUND
    },
    Harm {
        name: "an attempt at a committed slice names another's commit",
        does: |lake| lake.forge(SLICES[0], &format!("_mdca/commits/{}.json", SLICES[1])),
        verify: 5,
        ..SOUND
    },
    Harm {
        name: "an attempt at a committed slice names another's file",
        does: |lake| {
            let file = lake.file_of(SLICES[1]);
            lake.forge(SLICES[0], file["path"].as_str().unwrap());
        },
        verify: 5,
        ..SOUND
    },
    Harm {
        name: "an attempt at a committed slice names another attempt's file of a slice not there",
        does: |lake| {
            let stray = format!(
                "activities/event_date=2026-11-18/{}-{FORGED}-0.parquet",
                SLICES[1]
            );
            lake.forge(SLICES[0], &stray);
        },
        verify: 5,
        ..SOUND
    },
    Harm {
        name: "an attempt at a committed slice names rejects that are a commit",
        does: |lake| {
            let other = format!("_mdca/commits/{}.json", SLICES[1]);
            lake.forge_with(SLICES[0], "x", |attempt| {
                let rejects = json!({"path": other, "lines": 1, "bytes": 1, "checksum": ""});
                attempt["commit"]["files"] = json!([]);
                attempt["commit"]["rejects"] = rejects;
            });
        },
        verify: 5,
        ..SOUND
    },
    Harm {
        name: "an attempt at a slice without a commit names another's file",
        does: |lake| {
            lake.forget(SLICES[2]);
            let file = lake.file_of(SLICES[1]);
            lake.forge(SLICES[2], file["path"].as_str().unwrap());
        },
        verify: 5,
        ..SOUND
    },
    Harm {
        name: "an attempt at a slice without a commit names its own file, whose bytes are others",
        does: |lake| {
            lake.forget(SLICES[2]);
            let name = format!(
                "activities/event_date=2026-11-18/{}-{FORGED}-0.parquet",
                SLICES[2]
            );
            let theirs = lake.file_of(SLICES[1])["path"].clone();
            fs::copy(lake.0.join(theirs.as_str().unwrap()), lake.0.join(&name)).unwrap();
            lake.forge_with(SLICES[2], &name, |attempt| {
                attempt["commit"]["files"][0]["checksum"] = sealed::checksum(b"other").into();
            });
        },
        ..SOUND
    },
    Harm {
        name: "an attempt that lies at another slice",
        does: |lake| {
            lake.forge(SLICES[1], "x");
            let path = lake.own(&format!("attempts/{}/{FORGED}.json", SLICES[1]));
            let there = lake.own(&format!("attempts/{}", SLICES[0]));
            fs::create_dir_all(&there).unwrap();
            fs::rename(path, there.join(format!("{FORGED}.json"))).unwrap();
        },
        verify: 5,
        ..SOUND
    },
    Harm {
        name: "an attempt that is half written",
        does: |lake| {
            lake.forge(SLICES[0], "x");
            let path = lake.own(&format!("attempts/{}/{FORGED}.json", SLICES[0]));
            fs::write(path, "{\"version\":1,").unwrap();
        },
        verify: 5,
        ..SOUND
    },
    Harm {
        name: "an attempt of a newer program",
        does: |lake| lake.forge_with(SLICES[0], "x", |attempt| attempt["version"] = 9.into()),
        verify: 2,
        ..SOUND
    },
    Harm {
        name: "an attempt that is to make a newer commit",
        does: |lake| {
            lake.forge_with(SLICES[0], "x", |attempt| {
                attempt["commit"]["version"] = 9.into();
            });
        },
        verify: 2,
        ..SOUND
    },
    Harm {
        name: "a commit that names the identity",
        does: |lake| {
            let path = lake.commit(SLICES[1]);
            Lake::reseal(&path, |commit| {
                commit["files"][0]["path"] = "_mdca/lake.json".into();
            });
        },
        verify: 5,
        status: 6,
        export: 6,
        ..SOUND
    },
    Harm {
        name: "a commit of a newer program",
        does: |lake| {
            let path = lake.commit(SLICES[1]);
            Lake::reseal(&path, |commit| {
                commit["version"] = 9.into();
                commit["tool_version"] = "9.1.0".into();
                commit["holes"] = json!([]);
            });
        },
        verify: 2,
        status: 2,
        export: 2,
        ..SOUND
    },
    Harm {
        name: "a commit that says more than is known",
        does: |lake| {
            let path = lake.commit(SLICES[1]);
            Lake::reseal(&path, |commit| {
                commit["note"] = json!({"a": 1});
                commit["files"][0]["note"] = 1.into();
                commit["counts"]["note"] = 1.into();
            });
        },
        ..SOUND
    },
    Harm {
        name: "a change of the lake by a newer program",
        does: |lake| {
            let change = json!({"version": 9, "tool_version": "9.1.0", "api_host": "new.example"});
            sealed::write(&lake.own("changes/0.json"), &change);
        },
        scan: 2,
        verify: 2,
        ..SOUND
    },
    Harm {
        name: "an identity of a newer program",
        does: |lake| {
            let path = lake.own("lake.json");
            Lake::reseal(&path, |identity| identity["version"] = 9.into());
        },
        scan: 2,
        verify: 2,
        status: 2,
        export: 2,
        ..SOUND
    },
    Harm {
        name: "a lake that begins in 2100",
        does: |lake| {
            let path = lake.own("lake.json");
            Lake::reseal(&path, |identity| {
                identity["begin_ms"] = at("2100-01-01").into();
            });
        },
        scan: 6,
        verify: 5,
        status: 6,
        ..SOUND
    },
    Harm {
        name: "a commit that was lost",
        does: |lake| fs::remove_file(lake.commit(SLICES[1])).unwrap(),
        scan: 5,
        verify: 5,
        status: 5,
        ..SOUND
    },
    Harm {
        name: "all commits were lost",
        does: |lake| fs::remove_dir_all(lake.own("commits")).unwrap(),
        scan: 5,
        verify: 5,
        status: 5,
        ..SOUND
    },
    Harm {
        name: "a commit was lost, and another slice was never scanned",
        does: |lake| {
            fs::remove_file(lake.commit(SLICES[1])).unwrap();
            lake.forget(SLICES[2]);
        },
        scan: 5,
        verify: 5,
        ..SOUND
    },
    Harm {
        name: "the identity was lost",
        does: |lake| fs::remove_file(lake.own("lake.json")).unwrap(),
        scan: 6,
        verify: 5,
        status: 6,
        export: 6,
        ..SOUND
    },
    Harm {
        name: "all of the lake's own objects were lost",
        does: |lake| fs::remove_dir_all(lake.own("")).unwrap(),
        scan: 6,
        verify: 5,
        status: 6,
        export: 6,
        ..SOUND
    },
];

/// All files of a lake but the reports, which every run adds to.
fn contents(lake: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files_below(lake)
        .into_iter()
        .filter(|path| !path.starts_with(lake.join("_mdca/runs")))
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect()
}

/// What was there is there still, as it was.
fn expect_untouched(before: &BTreeMap<PathBuf, Vec<u8>>, lake: &Path, what: &str) {
    let now = contents(lake);
    for (path, bytes) in before {
        let name = path.display();
        assert_eq!(now.get(path), Some(bytes), "{what}: {name}");
    }
}

async fn export(lake: &Path) -> u8 {
    let store = Store::open(lake.to_str().unwrap()).unwrap();
    let exported = match export::export(&store, None, &mut Vec::new()).await {
        Ok(exported) => exported,
        Err(error) => return error.kind().exit_code(),
    };
    let kinds = exported
        .left_out
        .into_iter()
        .map(|error| JobError::from(error).kind());
    ErrorKind::worst(kinds).map_or(0, ErrorKind::exit_code)
}

async fn status_of(story: &Story) -> u8 {
    match status::read(&story.store(), story.now_ms(), &Machine::untold()).await {
        Ok(status) => {
            let table = status.table.as_ref();
            let is_short = table.is_some_and(|table| table.missing > 0);
            let is_whole = status.left_out.is_empty() && !is_short;
            assert_eq!(is_whole, status.exit_code() == 0);
            status.exit_code()
        }
        Err(error) => error.kind().exit_code(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_forged_or_lost_no_command_touches_what_it_may_not() {
    for harm in HARMS {
        let (story, report) = Scenario::hours(4).activities(120).run().await;
        assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
        (harm.does)(&Lake(story.lake()));
        let what = harm.name;
        println!("{what}");
        let before = contents(story.lake());

        assert_eq!(status_of(&story).await, harm.status, "{what}: status");
        assert_eq!(export(story.lake()).await, harm.export, "{what}: export");
        let looked = story.verify(Sweep::Never).await;
        assert!(harm.verify == 0 || !looked.findings.is_empty(), "{what}");
        assert_eq!(
            contents(story.lake()),
            before,
            "{what}: readers write nothing"
        );

        let swept = story.verify(Sweep::Unnamed).await;
        assert_eq!(
            swept.exit_code(),
            harm.verify,
            "{what}: {}",
            swept.to_text()
        );
        assert_eq!(swept.swept, Vec::<String>::new(), "{what}");
        assert_eq!(
            contents(story.lake()),
            before,
            "{what}: nothing is to be swept"
        );

        let report = story.scan(&[]).await;
        assert_eq!(
            report.head.exit_code,
            harm.scan,
            "{what}: {}",
            report.to_text()
        );
        if what.contains("whose bytes are others") {
            // The attempt has lost now, by its own names.
            let attempt = files_below(&story.lake().join("_mdca/attempts")).remove(0);
            let mut kept = before.clone();
            kept.retain(|path, _| !path.display().to_string().contains(FORGED));
            kept.insert(attempt.clone(), fs::read(&attempt).unwrap());
            expect_untouched(&kept, story.lake(), what);
        } else {
            expect_untouched(&before, story.lake(), what);
        }
        if harm.is_whole {
            assert_eq!(story.visible_ids().await, story.expected_ids(), "{what}");
        }

        let swept = story.verify(Sweep::Unnamed).await;
        let left = |what| {
            swept
                .findings
                .iter()
                .filter(|found| found.what == what)
                .count()
        };
        assert_eq!(
            left(FindingKind::Missing) > 0,
            // Nothing else tells of a commit where the table was lost with it.
            what.contains("lost") && !what.contains("never scanned"),
            "{what}: {}",
            swept.to_text()
        );
        assert_eq!(swept.swept, Vec::<String>::new(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_commit_fails_its_slice_with_the_remedy_and_no_other_slice() {
    let (story, _) = Scenario::hours(4).activities(120).run().await;
    let lake = Lake(story.lake());
    let file = lake.file_of(SLICES[1]);
    fs::remove_file(lake.commit(SLICES[1])).unwrap();
    lake.forget(SLICES[3]);
    let sent = story.sim.requests().len();
    let report = story.scan(&[]).await;
    assert_eq!((report.slices.committed, report.slices.failed), (1, 1));
    let failure = &report.failures[0];
    assert_eq!(failure.first_slice.as_deref(), Some(SLICES[1]));
    assert!(
        failure.error.contains(file["path"].as_str().unwrap()),
        "{}",
        failure.error
    );
    assert!(
        failure
            .advice
            .unwrap()
            .contains("restore _mdca from a copy")
    );
    assert!(story.sim.requests().len() > sent);
    assert_eq!(story.visible_ids().await, story.expected_ids());

    // Restored, or moved away: then all is well again.
    fs::remove_file(story.lake().join(file["path"].as_str().unwrap())).unwrap();
    for file in files_below(&story.lake().join("activities")) {
        if file.display().to_string().contains(SLICES[1]) {
            fs::remove_file(file).unwrap();
        }
    }
    assert_eq!(story.scan(&[]).await.head.exit_code, 0);
    story.expect_exact().await;
}

/// Each run says the SHA-256 of the commits that it made, by which a log elsewhere can tell that the
/// lake was changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_the_sha_256_of_the_commits_it_made() {
    let (story, report) = Scenario::hours(4).activities(60).run().await;
    let slices: Vec<&str> = report
        .result
        .commits
        .iter()
        .map(|made| &*made.slice)
        .collect();
    assert_eq!(slices, SLICES);
    for made in &report.result.commits {
        let bytes = fs::read(Lake(story.lake()).commit(&made.slice)).unwrap();
        assert_eq!(format!("sha256:{}", made.sha256), sealed::checksum(&bytes));
    }
    assert!(report.to_text().contains(&report.result.commits[0].sha256));
    assert_eq!(story.scan(&[]).await.result.commits, []);
}

/// A newer program of the same version may say more: who adopts its attempt makes its commit, not a
/// copy without what is not known.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_adopted_word_for_word() {
    let (story, _) = Scenario::hours(4).activities(120).run().await;
    let lake = Lake(story.lake());
    let mut commit = sealed::read(&lake.commit(SLICES[1]));
    fs::remove_file(lake.commit(SLICES[1])).unwrap();
    commit["note"] = json!({"z": 1, "a": [2.50]});
    let id = commit["attempt"].as_str().unwrap();
    let path = lake.own(&format!("attempts/{}/{id}.json", SLICES[1]));
    let commit_path = format!("_mdca/commits/{}.json", SLICES[1]);
    let attempt = json!({"version": 1, "note": 3, "commit_path": commit_path, "commit": commit});
    sealed::write(&path, &attempt);
    let report = story.scan(&[]).await;
    assert_eq!((report.head.exit_code, report.slices.adopted), (0, 1));
    assert_eq!(sealed::read(&lake.commit(SLICES[1])), commit);
    let bytes = fs::read(lake.commit(SLICES[1])).unwrap();
    let made = format!("sha256:{}", report.result.commits[0].sha256);
    assert_eq!(made, sealed::checksum(&bytes));
    story.expect_exact().await;
}
