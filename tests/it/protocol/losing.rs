//! Somebody else is at work on the same lake: at every single call of a run.

use std::collections::BTreeSet;
use std::path::PathBuf;

use mdca_lake::commit::{self, Cleaner};
use mdca_lake::job::report::RunReport;
use mdca_lake::store::{Store, Upload};
use mdca_lake::text::report::Report;
use mdca_lake::verify::Sweep;
use mdca_sim::{At, Fault, What};
use object_store::path::Path;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::support::bucket::{LARGE_PARTS, SMALL_PARTS};
use crate::support::faulty::{Call, Fate, Gate};
use crate::support::scenario::{Scenario, Story, files_below};
use crate::support::sealed;

const SLICE: &str = "20261118T0000Z-20261118T0100Z";

/// The record that the service hands out as `null`.
const REJECT: u64 = 3;

/// Where the lake is: on a disk, or in object storage with parts of a size. The files are uploads of
/// several parts, or plain puts like the rejects.
type Home = Option<usize>;
const HOMES: [Home; 3] = [None, Some(SMALL_PARTS), Some(LARGE_PARTS)];

/// One slice with rows of several days and a reject, on a disk.
async fn story() -> Story {
    story_in(None).await
}

async fn story_in(home: Home) -> Story {
    Scenario::hours(1)
        .activities(30)
        .with_parts(home)
        .fault(Fault::new(At::Record(REJECT), What::null_row()).always())
        .flags(&["--parallel", "1", "--requests-per-minute", "0"])
        .start()
        .await
}

/// A run of which somebody else is faster: their commit, of a slice without rows, is there before
/// the call at this position, and they have cleared up. `fate` says what becomes of its own calls;
/// where it dies there is no report.
async fn losing_run(
    story: &Story,
    at: usize,
    mut fate: impl FnMut(&Call) -> Fate + Send + 'static,
) -> (Option<RunReport>, Vec<Call>) {
    let lake = story.store();
    let gate = Gate::new(move |call| {
        if call.index == at {
            they_commit(&lake);
            assert!(now(cleaner(&lake).clear_up(SLICE)).unwrap().is_some());
        }
        fate(call)
    });
    let report = gate.live(story.scan_on(story.guarded(&gate), 1, &[])).await;
    (report, gate.calls())
}

/// Somebody else who clears up, and has just made the commit.
fn cleaner(lake: &Store) -> Cleaner {
    Cleaner::new(lake.clone(), None)
}

/// Commits the slice for somebody else, without rows.
fn they_commit(lake: &Store) {
    let commit = sealed::seal(&sealed::commit(SLICE).to_string());
    now(lake.create(&commit_path(), commit.into())).unwrap();
}

/// Waits for something inside a call.
fn now<T>(future: impl Future<Output = T>) -> T {
    block_in_place(|| Handle::current().block_on(future))
}

fn commit_path() -> Path {
    Path::from(format!("_mdca/commits/{SLICE}.json"))
}

fn is_look(call: &Call) -> bool {
    call.verb == "get" && call.path == commit_path().as_ref()
}

fn is_record(call: &Call) -> bool {
    call.verb == "put" && call.path.starts_with("_mdca/attempts/")
}

fn is_publish(call: &Call) -> bool {
    match call.verb {
        "publish" | "complete" => true,
        "put" => call.path.starts_with("_mdca/rejects/") || call.path.starts_with("activities/"),
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_losing_run_leaves_no_files_and_stops_at_the_next_look_on_a_disk() {
    losing_anywhere(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_losing_run_leaves_no_files_and_stops_at_the_next_look_in_object_storage() {
    losing_anywhere(Some(SMALL_PARTS)).await;
    losing_anywhere(Some(LARGE_PARTS)).await;
}

async fn losing_anywhere(home: Home) {
    let whole = story_in(home).await;
    let gate = Gate::new(|_| Fate::Pass);
    let report = whole.scan_on(whole.guarded(&gate), 1, &[]).await;
    assert_eq!((report.head.exit_code, report.slices.committed), (0, 1));
    let calls = gate.calls();
    let place = |what: &dyn Fn(&Call) -> bool| calls.iter().position(what).unwrap();
    let record = place(&is_record);
    let publish = place(&is_publish);
    let create = place(&|call| call.verb == "create" && call.path.contains("/commits/"));
    // The looks of steps 2 and 3: the last before the attempt object, and before the first file.
    let look_before = |end: usize| calls[..end].iter().rposition(is_look).unwrap();
    let (first_look, second_look) = (look_before(record), look_before(publish));
    assert!(first_look < record && record < second_look && second_look < publish);

    let began = place(&|call| call.verb == "begin" || is_look(call));
    // Whoever wins with files says so itself; without any there is nothing to take back.
    let cleared = |calls: &[Call]| calls.iter().any(|call| call.verb == "list uploads");
    assert!(!cleared(&calls), "no commit looks for uploads");
    for at in began..calls.len() {
        let story = story_in(home).await;
        let (report, calls) = losing_run(&story, at, |_| Fate::Pass).await;
        let report = report.expect("nobody died");
        let lost = u64::from(at <= create);
        assert_eq!(
            (report.head.exit_code, report.slices.lost_attempts),
            (0, lost),
            "at {at}: {}",
            report.to_text()
        );
        assert_eq!(calls.iter().any(is_record), at > first_look, "at {at}");
        assert_eq!(calls.iter().any(is_publish), at > second_look, "at {at}");
        if lost > 0 {
            assert_eq!(story.visible_ids().await, Vec::<String>::new(), "at {at}");
            let commit = story
                .store()
                .get(&commit_path(), u64::MAX)
                .await
                .unwrap()
                .unwrap();
            let commit: Value = serde_json::from_slice(&commit).unwrap();
            assert_eq!(commit["files"], Value::Array(Vec::new()), "at {at}");
        } else {
            assert_eq!(
                story.visible_ids().await,
                story.expected_ids_but(REJECT),
                "at {at}"
            );
        }
        story.expect_clean_in_an_hour().await;
    }
    println!("lost at {} positions", calls.len() - began);
}

/// Of a run that lost and died, nothing is left but what its attempt names: the next run clears
/// that away, and the attempt once the commit is an hour old. A put of the dead may land even later.
#[tokio::test(flavor = "multi_thread")]
async fn a_losing_run_that_dies_is_cleared_away() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for home in HOMES {
        let (_, calls) = losing_run(&story_in(home).await, usize::MAX, |_| Fate::Pass).await;
        let place = |what: &dyn Fn(&Call) -> bool| calls.iter().position(what).unwrap();
        let began = place(&|call| call.verb == "begin" || is_look(call));
        let create = place(&|call| call.verb == "create" && call.path.contains("/commits/"));
        let (mut died, mut landed) = (0, 0);
        for at in began..=create {
            const FATES: [Fate; 3] = [Fate::Die, Fate::DieAfter, Fate::DieLate];
            // At once in every way, and later in any.
            let at_once = FATES.map(|fate| (0, fate));
            let later = [1, 1 + random.usize(..8), 1 + random.usize(..30)];
            let later = later.map(|later| (later, FATES[random.usize(..3)]));
            for (later, fate) in at_once.into_iter().chain(later) {
                let story = story_in(home).await;
                let lake = story.store();
                let gate = Gate::new(move |call| {
                    if call.index == at {
                        they_commit(&lake);
                        now(cleaner(&lake).clear_up(SLICE)).unwrap();
                    }
                    match call.index {
                        index if index >= at + later => fate,
                        _ => Fate::Pass,
                    }
                });
                let ran = gate.live(story.scan_on(story.guarded(&gate), 1, &[])).await;
                died += u32::from(ran.is_none());
                let what = format!("{home:?}: lost at {at}, {fate:?} {later} later");
                let next = story.scan(&[]).await;
                assert_eq!(next.head.exit_code, 0, "{what}: {}", next.to_text());
                assert_eq!(story.visible_ids().await, Vec::<String>::new(), "{what}");
                // What the dead had sent shows only now.
                landed += gate.land().await;
                story.expect_clean_in_an_hour().await;
                assert_eq!(story.visible_ids().await, Vec::<String>::new(), "{what}");
            }
        }
        println!("{home:?}: {died} died after they lost, of which {landed} had a put on its way");
        assert!(died > 0 && (home.is_none() || landed > 0));
    }
}

/// A losing run may be unable to remove its files: then its attempt object names them still.
#[tokio::test(flavor = "multi_thread")]
async fn a_losing_run_that_cannot_clear_up_leaves_that_to_the_next_run() {
    for home in HOMES {
        let (_, calls) = losing_run(&story_in(home).await, usize::MAX, |_| Fate::Pass).await;
        let (mut tried, mut failed) = (0, 0);
        for at in calls.iter().position(is_record).unwrap()..calls.len() {
            for refused in ["delete", "put", "list", "head", "sweep"] {
                let story = story_in(home).await;
                let mut is_first = true;
                let refuses = move |call: &Call| match call {
                    call if call.index > at && call.verb == refused && is_first => {
                        is_first = false;
                        Fate::Refuse
                    }
                    _ => Fate::Pass,
                };
                let (report, _) = losing_run(&story, at, refuses).await;
                let what = format!("lost at {at}, and then the first {refused} fails");
                let next = story.scan(&[]).await;
                assert_eq!(next.head.exit_code, 0, "{what}: {}", next.to_text());
                let visible = story.visible_ids().await.len();
                let committed = story
                    .store()
                    .get(&commit_path(), u64::MAX)
                    .await
                    .unwrap()
                    .unwrap();
                let committed: Value = serde_json::from_slice(&committed).unwrap();
                assert_eq!(committed["counts"]["rows"], visible, "{what}");
                story.expect_clean_in_an_hour().await;
                tried += 1;
                failed += u32::from(report.unwrap().result.not_cleared > 0);
            }
        }
        println!("{home:?}: {tried} tried, {failed} could not clear up");
        assert!(failed > 0);
    }
}

/// Who wins may look for a loser's files before they show, and remove what names them after: at any
/// call of the loser from the first file on.
#[tokio::test(flavor = "multi_thread")]
async fn a_loser_whose_attempt_object_goes_away_clears_up_all_the_same() {
    for home in HOMES {
        let (_, calls) = losing_run(&story_in(home).await, usize::MAX, |_| Fate::Pass).await;
        let publish = calls.iter().position(is_publish).unwrap();
        for at in publish.. {
            let story = story_in(home).await;
            let lake = story.store();
            let gate = Gate::new(move |call| {
                if call.index == publish {
                    they_commit(&lake);
                }
                if call.index == at {
                    for attempt in now(lake.list(&Path::from("_mdca/attempts"))).unwrap() {
                        now(lake.delete(&attempt.location)).unwrap();
                    }
                }
                Fate::Pass
            });
            let report = story.scan_on(story.guarded(&gate), 1, &[]).await;
            let what = format!("{home:?}: at {at}");
            assert_eq!(
                (report.head.exit_code, report.slices.lost_attempts),
                (0, 1),
                "{what}: {}",
                report.to_text()
            );
            assert_eq!(story.visible_ids().await, Vec::<String>::new(), "{what}");
            story.expect_clean_in_an_hour().await;
            if at >= gate.calls().len() {
                println!("{home:?}: at {} calls", at - publish);
                break;
            }
        }
    }
}

/// A loser who does not know it yet shows a file between any two calls of somebody who clears up, and
/// dies: an hour after the commit it is cleared away, or could not be shown any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_while_another_clears_up_is_cleared_away() {
    for home in HOMES {
        let (mut at, mut shown) = (0, 0);
        loop {
            let story = story_in(home).await;
            assert_eq!(story.scan(&[]).await.head.exit_code, 0);
            let lake = story.store();
            let (file, mut upload) = loser(&lake).await;
            let (outcomes, outcome) = std::sync::mpsc::channel();
            let gate = Gate::new(move |call| {
                if call.index == at {
                    outcomes.send(now(upload.publish()).is_ok()).unwrap();
                }
                Fate::Pass
            });
            let cleared = cleaner(&story.guarded(&gate)).clear_up(SLICE).await;
            assert!(cleared.unwrap().is_some());
            let Ok(was_shown) = outcome.try_recv() else {
                break;
            };
            let what = format!("{home:?}: {}", gate.calls()[at]);
            assert!(
                !gate.calls().iter().any(|call| call.verb == "abort upload"),
                "{what}"
            );
            story.expect_clean_in_an_hour().await;
            assert_eq!(lake.size(&file).await.unwrap(), None, "{what}");
            assert_eq!(
                story.visible_ids().await,
                story.expected_ids_but(REJECT),
                "{what}"
            );
            at += 1;
            shown += u32::from(was_shown);
        }
        println!("{home:?}: at {at} calls, shown {shown} times");
        assert!(shown > 0);
    }
}

/// Another attempt at the committed slice, recorded, with its first file ready to be published.
async fn loser(lake: &Store) -> (Path, Box<dyn Upload>) {
    const ATTEMPT: &str = "00000000105e0000";
    let committed = lake.get(&commit_path(), u64::MAX).await.unwrap().unwrap();
    let mut commit: Value = serde_json::from_slice(&committed).unwrap();
    commit.as_object_mut().unwrap().remove("checksum").unwrap();
    let winner = commit["attempt"].as_str().unwrap();
    let commit: Value = serde_json::from_str(&commit.to_string().replace(winner, ATTEMPT)).unwrap();
    let file = Path::from(commit["files"][0]["path"].as_str().unwrap());
    let attempt = json!({"version": 1, "commit_path": commit_path().as_ref(), "commit": commit});
    let path = Path::from(format!("_mdca/attempts/{SLICE}/{ATTEMPT}.json"));
    let sealed = sealed::seal(&attempt.to_string());
    lake.put(&path, sealed.into()).await.unwrap();

    let begun = lake.uploads().begin(&file, SLICE, ATTEMPT).await;
    let mut upload = begun.unwrap();
    upload.write(vec![0; 2 * SMALL_PARTS].into()).await.unwrap();
    upload.seal().await.unwrap();
    (file, upload)
}

/// Uploads that nobody completed are invisible. No commit and no recovery looks for them; `verify`
/// ends those of a committed slice, and never one of an object that the commit names: some stores
/// then lose the object.
#[tokio::test(flavor = "multi_thread")]
async fn only_verify_ends_uploads_and_none_of_an_object_that_a_commit_names() {
    let story = story_in(Some(SMALL_PARTS)).await;
    assert_eq!(story.scan(&[]).await.head.exit_code, 0);
    let lake = story.store();
    let committed = lake.get(&commit_path(), u64::MAX).await.unwrap().unwrap();
    let committed: Value = serde_json::from_slice(&committed).unwrap();
    let named = committed["files"][0]["path"].as_str().unwrap();
    let day = "activities/event_date=2026-11-18";
    let lost = format!("{day}/{SLICE}-00000000105e0000-0.parquet");
    let waits = format!("{day}/20261118T0100Z-20261118T0200Z-00000000105e0000-0.parquet");
    for path in [named, &lost, &waits] {
        let path = Path::from(path);
        let mut upload = lake.uploads().begin(&path, "", "").await.unwrap();
        upload.write(vec![0; 2 * SMALL_PARTS].into()).await.unwrap();
    }
    let left = async || -> BTreeSet<String> {
        let uploads = lake.uploads().unfinished().await;
        uploads
            .iter()
            .map(|upload| upload.path.to_string())
            .collect()
    };
    assert_eq!(story.scan(&[]).await.head.exit_code, 0);
    assert_eq!(left().await.len(), 3);
    let looked = story.verify(Sweep::Never).await;
    assert_eq!(
        (looked.findings, looked.unfinished),
        (vec![], [SLICE.to_owned()].into())
    );
    let swept = story.verify(Sweep::Unnamed).await;
    assert_eq!(swept.swept, [format!("an unfinished upload of {lost}")]);
    assert_eq!(left().await, [named.to_owned(), waits].into());
    assert_eq!(story.visible_ids().await, story.expected_ids_but(REJECT));
}

/// A run that begins looks after what others left. Of one that is still at work it takes nothing but
/// an attempt that is whole, which it commits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_begins_spoils_nothing_of_one_that_is_at_work() {
    for home in HOMES {
        let whole = story_in(home).await;
        let gate = Gate::new(|_| Fate::Pass);
        whole.scan_on(whole.guarded(&gate), 1, &[]).await;
        let (calls, mut adopted) = (gate.calls().len(), 0);
        for at in 0..calls {
            let story = story_in(home).await;
            let (lake, clock) = (story.store(), story.clock.clone());
            let (outcomes, outcome) = std::sync::mpsc::channel();
            let gate = Gate::new(move |call| {
                if call.index == at {
                    let cleaner = cleaner(&lake);
                    let none = BTreeSet::new();
                    let recovered = now(commit::recover(&cleaner, &clock, &none, |_| true));
                    outcomes.send(recovered.unwrap()).unwrap();
                }
                Fate::Pass
            });
            let report = story.scan_on(story.guarded(&gate), 1, &[]).await;
            assert_eq!(
                (report.head.exit_code, report.slices.committed),
                (0, 1),
                "at {at}: {}",
                report.to_text()
            );
            adopted += outcome.recv().unwrap().adopted.len();
            assert_eq!(
                story.visible_ids().await,
                story.expected_ids_but(REJECT),
                "at {at}"
            );
            story.expect_clean().await;
        }
        println!("{home:?}: began at {calls} positions, adopted {adopted}");
        assert!(adopted > 0);
    }
}

/// Two that make a lake at once, and not the same: who comes second adds nothing to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_another_makes_otherwise_is_theirs() {
    let whole = story().await;
    let gate = Gate::new(|_| Fate::Pass);
    whole.scan_on(whole.guarded(&gate), 1, &[]).await;
    let calls = gate.calls();
    let is_making = |call: &Call| call.verb == "create" && call.path == "_mdca/lake.json";
    let made = calls.iter().position(is_making).unwrap();
    let mut theirs = sealed::identity(0);
    theirs["filters"] = json!({"service": {"eq": [20892]}});
    for at in 0..=made {
        let story = story().await;
        let identity = story.lake().join("_mdca/lake.json");
        let (path, value) = (identity.clone(), theirs.clone());
        let gate = Gate::new(move |call| {
            if call.index == at {
                sealed::write(&path, &value);
            }
            Fate::Pass
        });
        let report = story.scan_on(story.guarded(&gate), 1, &[]).await;
        assert_eq!(report.head.exit_code, 2, "at {at}: {}", report.to_text());
        assert_eq!(sealed::read(&identity), theirs, "at {at}");
        assert_eq!(story.sim.requests().len(), 0, "at {at}");
        let below = story.lake().join("_mdca");
        let made = ["commits", "attempts", "staging", "runs"].map(|name| below.join(name));
        let made = made.iter().flat_map(|folder| files_below(folder));
        assert_eq!(made.collect::<Vec<_>>(), Vec::<PathBuf>::new(), "at {at}");
    }
}
