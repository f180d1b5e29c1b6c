//! A real process, killed at random moments, and before every call on its disk.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mdca_sim::{ClockField, Sim, SimOptions, Tenant, TenantOptions};

use crate::support::process::{BadDisk, Lake, Place, calls_in, shim};
use crate::support::readers::{self, Watcher};
use crate::support::scenario::{age_by_an_hour, assert_same, at, files_below};

const KILLS: u32 = 30;

fn command(lake: &str, url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mdca-lake"));
    command
        .args([
            "scan",
            "--lake",
            lake,
            "--api-url",
            url,
            "--from",
            "2026-10-01",
            "--until",
            "2026-10-01T12:00:00Z",
        ])
        .args(["--requests-per-minute", "0", "--page-limit", "50"])
        .env("MDCA_API_TOKEN", "sim-token")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Kills 30 runs, each at a random moment of the time that a whole run takes here, lets one end, and
/// looks: everything is there once, and nothing is left of the dead. Meanwhile somebody reads whatever
/// shows.
#[test]
fn killed_at_any_moment_the_next_run_completes_the_lake() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (from_ms, until_ms) = (at("2026-10-01"), at("2026-10-01T12:00:00Z"));
    let tenant = Tenant::generate(&TenantOptions {
        activities: 2_400,
        from_ms,
        until_ms,
        seed,
        ..TenantOptions::default()
    });
    let sim = Sim::start_blocking(tenant, SimOptions::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let (lake_text, url) = (lake.display().to_string(), sim.url());
    let begun = Instant::now();
    let undisturbed = folder.path().join("undisturbed").display().to_string();
    assert!(command(&undisturbed, &url).status().unwrap().success());
    let moments_us = 0..u64::try_from(begun.elapsed().as_micros()).unwrap();
    let mut watcher = Some(Watcher::start(&lake));
    let mut reads = 0;
    let mut killed = 0;
    let mut runs = 0;
    while killed < KILLS {
        runs += 1;
        assert!(
            runs <= 6 * KILLS,
            "{killed} of {runs} runs lived to be killed"
        );
        let mut child = command(&lake_text, &url).spawn().unwrap();
        let die_at = Instant::now() + Duration::from_micros(random.u64(moments_us.clone()));
        let mut ended = false;
        while Instant::now() < die_at && !ended {
            std::thread::park_timeout(Duration::from_micros(300));
            ended = child.try_wait().unwrap().is_some();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        killed += u32::from(!ended);
        if ended {
            // The lake is complete: look at it, and begin another one.
            reads += watcher.take().unwrap().stop();
            check(&lake, &sim, from_ms, until_ms);
            std::fs::remove_dir_all(&lake).unwrap();
            watcher = Some(Watcher::start(&lake));
        }
    }
    assert!(command(&lake_text, &url).status().unwrap().success());
    reads += watcher.take().unwrap().stop();
    check(&lake, &sim, from_ms, until_ms);
    println!("killed {killed} of {runs} runs; everything visible was read {reads} times meanwhile");
}

fn check(lake: &std::path::Path, sim: &Sim, from_ms: i64, until_ms: i64) {
    let ids: Vec<String> = readers::rows(lake)
        .into_iter()
        .map(|(id, _, _)| id)
        .collect();
    let truth = sim.tenant().records(ClockField::Created, from_ms..until_ms);
    let mut expected: Vec<String> = truth.into_iter().filter_map(|record| record.id).collect();
    expected.sort();
    assert_same(&ids, &expected);
    // Attempts that lost go with a run that begins an hour after the commit.
    age_by_an_hour(lake);
    let later = command(&lake.display().to_string(), &sim.url()).status();
    assert!(later.unwrap().success());
    for folder in ["_mdca/attempts", "_mdca/staging"] {
        assert_eq!(
            files_below(&lake.join(folder)),
            Vec::<std::path::PathBuf>::new()
        );
    }
    let verified = Command::new(env!("CARGO_BIN_EXE_mdca-lake"))
        .args(["verify", "--lake"])
        .arg(lake)
        .output()
        .unwrap();
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stdout)
    );
}

/// Kills a run before each of its calls on the disk, lets the next one end, and looks. A kill at
/// random moments hits the long stretches; this one hits all the short ones.
#[test]
fn killed_before_any_call_on_the_disk_the_next_run_completes_the_lake() {
    if shim().is_none() {
        return;
    }
    let place = Place::small();
    let (mut killed, mut adopted, mut visible) = (0, 0, 0);
    for at in 1.. {
        let lake = place.lake();
        let log = place.fresh("calls");
        let deadly = BadDisk {
            calls: "create,write,fsync,rename,link,unlink,mkdir",
            at,
            what: "kill",
            log: Some(&log),
            ..BadDisk::default()
        };
        let dead = place.run(lake.scan_on(&deadly).args(["--parallel", "1"]));
        if dead.code() == Some(0) {
            lake.expect_exact("undisturbed");
            break;
        }
        assert_eq!(dead.status.signal(), Some(9), "{dead}");
        killed += 1;
        let what = format!("killed before {:?}", calls_in(&log).last());
        // What shows of a slice without a commit is whole files of an attempt.
        visible += u32::from(readers::visible_ids(lake.path()).len() > lake_rows(&lake));
        let next = place.run(&mut lake.scan());
        assert_eq!(next.code(), Some(0), "{what}: {next}");
        adopted += next.slices("adopted");
        lake.expect_exact(&what);
        // A put that was killed leaves a name that nobody lists; none of a committed slice stays.
        for left in files_below(&lake.path().join("_mdca/commits")) {
            assert!(
                left.extension().is_some_and(|e| e == "json"),
                "{what}: {left:?}"
            );
        }
    }
    println!(
        "killed before {killed} calls; {visible} times files of an unfinished slice showed, {adopted} attempts were adopted"
    );
    assert!(
        killed > 60 && adopted > 0,
        "{killed} kills, {adopted} adopted"
    );
}

/// The rows that the commits name.
fn lake_rows(lake: &Lake<'_>) -> usize {
    if lake.commits() == 0 {
        0
    } else {
        lake.exported_ids().len()
    }
}
