//! What `verify` finds in a lake that something happened to.

use std::fs;
use std::path::{Path, PathBuf};

use mdca_lake::store::Store;
use mdca_lake::verify::{self, Depth, Finding, Sweep};

use crate::support::scenario::{Scenario, files_below};

async fn findings(lake: &Path) -> (u8, Vec<Finding>) {
    let store = Store::open(lake.to_str().unwrap()).unwrap();
    let done = verify::verify(&store, Depth::Rows, Sweep::Never)
        .await
        .unwrap();
    (done.exit_code(), done.findings)
}

fn data_files(lake: &Path) -> Vec<PathBuf> {
    files_below(&lake.join("activities"))
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_names_whatever_is_not_as_it_was_committed() {
    type Harm = fn(&Path) -> PathBuf;
    let harms: [(&str, Harm); 6] = [
        ("changed", |lake| {
            let path = data_files(lake).remove(0);
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).unwrap();
            path
        }),
        ("truncated", |lake| {
            let path = data_files(lake).remove(0);
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
            path
        }),
        ("missing", |lake| {
            let path = data_files(lake).remove(0);
            fs::remove_file(&path).unwrap();
            path
        }),
        ("foreign", |lake| {
            let path = lake.join("activities/event_date=2026-11-18/mine.parquet");
            fs::copy(data_files(lake).remove(0), &path).unwrap();
            path
        }),
        ("damaged", |lake| {
            let path = files_below(&lake.join("_mdca/commits")).remove(0);
            let text = fs::read_to_string(&path)
                .unwrap()
                .replacen("\"rows\":", "\"rows\":1", 1);
            fs::write(&path, text).unwrap();
            path
        }),
        ("damaged", |lake| {
            let path = lake.join("_mdca/lake.json");
            fs::write(&path, "{}").unwrap();
            path
        }),
    ];
    for (what, harm) in harms {
        let (story, _) = Scenario::hours(2).activities(100).run().await;
        assert_eq!(findings(story.lake()).await, (0, vec![]));
        let lake = story.lake().canonicalize().unwrap();
        let path = harm(&lake);
        let (exit_code, found) = findings(&lake).await;
        assert_eq!(exit_code, 5);
        let path = path
            .strip_prefix(&lake)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            found
                .iter()
                .any(|finding| finding.path == path && finding.what.as_str() == what),
            "{what} {path}: {found:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_of_the_lake_stops_a_scan_and_is_left_alone() {
    let (story, _) = Scenario::hours(2).activities(100).run().await;
    let lake_json = story.lake().join("_mdca/lake.json");
    let good = fs::read_to_string(&lake_json).unwrap();
    let newer = good.replace("\"version\":1", "\"version\":2");
    for (text, message) in [
        ("{}", "checksum"),
        (newer.as_str(), "checksum"),
        ("", "checksum"),
    ] {
        fs::write(&lake_json, text).unwrap();
        let sent = story.sim.requests().len();
        let report = story.scan(&[]).await;
        assert_eq!(report.exit_code, 6, "{}", report.to_text());
        let error = &report.failures[0].error;
        assert!(
            error.contains("_mdca/lake.json") && error.contains(message),
            "{error}"
        );
        assert_eq!(story.sim.requests().len(), sent);
        assert_eq!(fs::read_to_string(&lake_json).unwrap(), text);
    }
}
