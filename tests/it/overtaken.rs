//! Somebody else commits a slice while a run works on it: at every single call.

use std::fs;

use mdca_lake::report::RunReport;
use serde_json::Value;

use crate::support::faulty::{Call, Fate, Gate};
use crate::support::scenario::{Scenario, Story};
use crate::support::sealed;

const SLICE: &str = "20261118T0000Z-20261118T0100Z";

/// One slice with rows of several days, so that there are several files to publish.
async fn story() -> Story {
    Scenario::hours(1)
        .activities(30)
        .flags(&["--parallel", "1", "--requests-per-minute", "0"])
        .start()
        .await
}

/// A run of which somebody else is faster: their commit, of a slice without rows, is there before
/// the call at this position, and the attempt object that they found is swept.
async fn overtaken(story: &Story, at: usize) -> (RunReport, Vec<Call>) {
    let commit = story.lake().join(format!("_mdca/commits/{SLICE}.json"));
    let attempts = story.lake().join(format!("_mdca/attempts/{SLICE}"));
    let gate = Gate::new(move |call| {
        if call.index == at && !commit.exists() {
            sealed::write(&commit, &sealed::commit(SLICE));
            // Nobody may have recorded an attempt yet.
            let _ = fs::remove_dir_all(&attempts);
        }
        Fate::Pass
    });
    let report = story.scan_on(story.guarded(&gate), 1, &[]).await;
    (report, gate.calls())
}

fn is_look(call: &Call) -> bool {
    call.verb == "get" && call.path == format!("_mdca/commits/{SLICE}.json")
}

fn is_record(call: &Call) -> bool {
    call.verb == "put" && call.path.starts_with("_mdca/attempts/")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_overtaken_leaves_nothing_and_stops_at_the_next_look() {
    let whole = story().await;
    let gate = Gate::new(|_| Fate::Pass);
    let report = whole.scan_on(whole.guarded(&gate), 1, &[]).await;
    assert_eq!((report.exit_code, report.slices.committed), (0, 1));
    let calls = gate.calls();
    let place = |what: &dyn Fn(&Call) -> bool| calls.iter().position(what).unwrap();
    let record = place(&is_record);
    let publish = place(&|call| call.verb == "publish");
    let create = place(&|call| call.verb == "create" && call.path.contains("/commits/"));
    // The looks of steps 2 and 3: the last before the attempt object, and before the first file.
    let look_before = |end: usize| calls[..end].iter().rposition(is_look).unwrap();
    let (first_look, second_look) = (look_before(record), look_before(publish));
    assert!(first_look < record && record < second_look && second_look < publish);

    let began = place(&|call| call.verb == "begin");
    for at in began..calls.len() {
        let story = story().await;
        let (report, calls) = overtaken(&story, at).await;
        let lost = u64::from(at <= create);
        assert_eq!(
            (report.exit_code, report.slices.lost_attempts),
            (0, lost),
            "at {at}: {}",
            report.to_text()
        );
        assert_eq!(calls.iter().any(is_record), at > first_look, "at {at}");
        assert_eq!(
            calls.iter().any(|call| call.verb == "publish"),
            at > second_look,
            "at {at}"
        );
        if lost > 0 {
            assert_eq!(story.visible_ids().await, Vec::<String>::new(), "at {at}");
            let commit = sealed::read(&story.lake().join(format!("_mdca/commits/{SLICE}.json")));
            assert_eq!(commit["files"], Value::Array(Vec::new()), "at {at}");
        } else {
            assert_eq!(story.visible_ids().await, story.expected_ids(), "at {at}");
        }
        story.expect_clean().await;
    }
    println!("overtaken at {} positions", calls.len() - began);
}
