//! Several real processes over one lake: at once, and one that sleeps while another wins.

use std::time::Duration;

use mdca_sim::SimOptions;

use crate::support::process::{BadDisk, Place, Running, calls_in, often, random, shim};
use crate::support::scenario::{assert_same, files_below};

/// Rounds with two and with four processes.
const ROUNDS: [(usize, usize); 2] = [(2, 6), (4, 5)];

/// Processes that begin within moments of each other share the work and undo nothing of it: every
/// row is there once, everybody is content, and what was done in vain is counted.
#[test]
fn processes_that_run_at_once_fill_the_lake_once() {
    let mut random = random();
    let place = Place::new(
        "2026-10-01T20:00:00Z",
        "2026-10-02T04:00:00Z",
        400,
        SimOptions::default(),
    );
    let (mut rounds, mut lost, mut adopted) = (0, 0, 0);
    for (processes, times) in ROUNDS {
        for _ in 0..often(times) {
            let lake = place.lake();
            let mut running = Vec::new();
            for _ in 0..processes {
                running.push(place.start(lake.scan().args(["--page-limit", "50"])));
                std::thread::park_timeout(Duration::from_micros(random.u64(0..60_000)));
            }
            let mut committed = 0;
            for running in running {
                let ended = running.wait();
                assert_eq!(ended.code(), Some(0), "{ended}");
                let done = ended.slices("committed") + ended.slices("adopted");
                assert_eq!(
                    done + ended.slices("lost_attempts") + ended.slices("taken"),
                    ended.slices("planned"),
                    "{ended}"
                );
                committed += done;
                lost += ended.slices("lost_attempts");
                adopted += ended.slices("adopted");
            }
            // A slice that one process adopted from another that still runs is counted by both.
            assert!(committed >= 8, "{committed} of 8 slices are somebody's");
            lake.expect_exact("after several at once");
            rounds += 1;
        }
    }
    println!("{rounds} rounds: {lost} attempts were lost, {adopted} adopted");
    assert!(lost > 0, "nobody ever met anybody");
}

/// A process is stopped before one of its calls on the disk, another one does all the work, and the
/// first wakes up. Once for every call with which a run changes the lake.
#[test]
fn a_process_that_sleeps_while_another_wins_spoils_nothing() {
    if shim().is_none() {
        return;
    }
    let place = Place::small();
    let (mut stopped, mut lost) = (0, 0);
    for at in 1.. {
        let lake = place.lake();
        let log = place.fresh("calls");
        let sleepy = BadDisk {
            calls: "create,rename,link,unlink,mkdir",
            at,
            what: "stop",
            log: Some(&log),
            ..BadDisk::default()
        };
        let mut first = place.start(lake.scan_on(&sleepy).args(["--parallel", "1"]));
        if !first.stops() {
            let ended = first.wait();
            assert_eq!(ended.code(), Some(0), "{ended}");
            lake.expect_exact("undisturbed");
            break;
        }
        stopped += 1;
        let what = format!("asleep before {:?}", calls_in(&log).last());
        let second = place.run(&mut lake.scan());
        assert_eq!(second.code(), Some(0), "{what}: {second}");
        assert_same(&lake.exported_ids(), &place.expected_ids());
        first.signal("CONT");
        let first = first.wait();
        assert_eq!(first.code(), Some(0), "{what}: {first}");
        lost += first.slices("lost_attempts");
        lake.expect_exact(&what);
    }
    println!("stopped before {stopped} calls; {lost} attempts were lost");
    assert!(stopped > 40 && lost > 10, "{stopped} stops, {lost} lost");
}

/// The same, and the first one is killed soon after it woke. The winner has swept its staged files
/// away, so there is nothing left that it could still make visible, and what else it leaves is swept
/// by the next run.
#[test]
fn a_process_that_dies_after_it_woke_leaves_nothing_behind() {
    if shim().is_none() {
        return;
    }
    let place = Place::small();
    let (mut killed, mut waited) = (0, 0);
    'all: for then_killed in [1, 3] {
        for at in 1.. {
            let lake = place.lake();
            let sleepy = BadDisk {
                calls: "create,rename,link",
                at,
                what: "stop",
                then_killed,
                ..BadDisk::default()
            };
            let mut first = place.start(lake.scan_on(&sleepy).args(["--parallel", "1"]));
            if !first.stops() {
                let ended = first.wait();
                assert_eq!(ended.code(), Some(0), "{ended}");
                continue 'all;
            }
            let second = place.run(&mut lake.scan());
            assert_eq!(second.code(), Some(0), "{second}");
            first.signal("CONT");
            let first = first.wait();
            killed += u32::from(first.code().is_none());
            let what = format!("killed {then_killed} calls after it slept at {at}");
            // By the commits the lake is whole all the time.
            assert_same(&lake.exported_ids(), &place.expected_ids());
            assert_eq!(lake.verify().code(), Some(0), "{what}");
            waited += lake.verify().report()["attempts"].as_u64().unwrap();
            lake.expect_recovered(&what);
            let commits = files_below(&lake.path().join("_mdca/commits"));
            assert_eq!(commits.len(), lake.commits(), "{what}: {commits:?}");
        }
    }
    println!("killed {killed} times after it woke; {waited} attempts were left to sweep");
    assert!(killed > 20, "{killed}");
}

/// How often a crowd comes together, and what befalls it each time.
const CROWDS: usize = 6;
const BLOWS: u32 = 12;

/// Three processes at a time over one lake, and one of them is killed, stopped, woken or asked to
/// end every few moments, and another one takes its place. Whoever is left ends well, and the next
/// run finds nothing to mend that it could not.
#[test]
fn a_crowd_that_is_killed_stopped_and_woken_leaves_a_whole_lake() {
    let mut random = random();
    let place = Place::new(
        "2026-10-01T20:00:00Z",
        "2026-10-02T04:00:00Z",
        400,
        SimOptions::default(),
    );
    let (mut killed, mut stopped, mut asked, mut lost, mut ended_well) = (0, 0, 0, 0, 0);
    for crowd in 0..often(CROWDS) {
        let lake = place.lake();
        let start = || place.start(lake.scan().args(["--page-limit", "50"]));
        let mut gone: Vec<Running> = Vec::new();
        let mut crowded: Vec<Running> = (0..3).map(|_| start()).collect();
        for _ in 0..BLOWS {
            let at = random.usize(0..crowded.len());
            crowded[at].runs_for(Duration::from_micros(random.u64(0..60_000)));
            match random.u32(0..5) {
                0 | 1 => {
                    crowded[at].signal("KILL");
                    killed += 1;
                }
                2 | 3 => {
                    crowded[at].signal("STOP");
                    stopped += 1;
                }
                _ => {
                    crowded[at].signal("TERM");
                    asked += 1;
                }
            }
            let hit = std::mem::replace(&mut crowded[at], start());
            gone.push(hit);
            // One of those who sleep wakes up.
            gone[random.usize(0..gone.len())].signal("CONT");
        }
        for running in gone.into_iter().chain(crowded) {
            running.signal("CONT");
            let ended = running.wait();
            // Killed, or asked to end before it could listen.
            let by_signal = ended.code().is_none();
            assert!(
                by_signal || matches!(ended.code(), Some(0 | 130)),
                "crowd {crowd}: {ended}"
            );
            if !by_signal && !ended.stdout.is_empty() {
                lost += ended.slices("lost_attempts");
                ended_well += 1;
            }
        }
        lake.expect_recovered(&format!("after crowd {crowd}"));
    }
    println!(
        "{killed} were killed, {stopped} stopped, {asked} asked to end; {ended_well} ended by themselves with {lost} lost attempts"
    );
    assert!(lost > 0 && killed > 0 && stopped > 0);
}
