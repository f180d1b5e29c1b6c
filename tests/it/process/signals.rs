//! SIGTERM and SIGINT: the run ends within 10 s whatever holds it up, says so, and what is committed
//! stays.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mdca_sim::{At, Fault, SimOptions, What};
use serde_json::Value;

use crate::support::process::{BadDisk, Ended, Lake, Place, often, random, shim, thread_shim};
use crate::support::scenario::files_below;

/// How long a run may go on after a signal, and a little for a slow machine.
const DUE: Duration = Duration::from_secs(10);
const MOMENTS: usize = 20;

/// A tenant that does `fault` to every answer.
fn place(fault: Option<What>) -> Place {
    let faults = fault.map(|what| Fault::new(At::Every, what).always());
    let options = SimOptions {
        faults: faults.into_iter().collect(),
        ..SimOptions::default()
    };
    Place::new("2026-10-01", "2026-10-01T12:00:00Z", 600, options)
}

/// A tenant that answers for the first slice, so that a lake is made, and throttles all others. With
/// more than one slice at a time the second might be throttled, and hold up the first, before that one
/// is asked for: [`one_by_one`].
fn throttling() -> Place {
    let fault = Fault::new(At::PagesFrom(1), What::throttled(Some(300))).always();
    let options = SimOptions {
        faults: vec![fault],
        ..SimOptions::default()
    };
    Place::new("2026-10-01", "2026-10-01T12:00:00Z", 60, options)
}

/// A scan that asks for the second slice when the first is committed.
fn one_by_one(lake: &Lake<'_>) -> Command {
    let mut command = lake.scan();
    command.args(["--parallel", "1"]);
    command
}

/// The run says that it was interrupted, on stdout and, where it was made, in the lake.
fn expect_said(lake: &Lake<'_>, ended: &Ended) {
    assert_eq!(ended.code(), Some(130), "{ended}");
    let report = ended.report();
    assert_eq!(report["status"], "interrupted", "{ended}");
    assert_eq!(report["exit_code"], 130, "{ended}");
    let run = report["run"].as_str().unwrap();
    if run == "(not begun)" {
        // The service had not answered for a new lake yet.
        assert!(!lake.path().exists(), "{ended}");
        return;
    }
    let kept = lake.path().join("_mdca/runs").join(format!("{run}.json"));
    let kept: Value = serde_json::from_slice(&std::fs::read(kept).unwrap()).unwrap();
    assert_eq!(kept["status"], "interrupted", "{kept}");
}

/// Twenty runs are interrupted, each at a random moment of the time that a whole run takes here. Each
/// ends at once, says what it has committed, and that stays; the runs after it do the rest.
#[test]
fn interrupted_at_any_moment_a_run_says_so_and_the_next_goes_on() {
    let mut random = random();
    let place = place(None);
    let scan = |lake: &Lake<'_>| {
        let mut command = lake.scan();
        command.args(["--page-limit", "20"]);
        place.start(&mut command)
    };
    let undisturbed = scan(&place.lake()).wait();
    assert_eq!(undisturbed.code(), Some(0), "{undisturbed}");
    let moments_us = 0..u64::try_from(undisturbed.elapsed.as_micros()).unwrap();
    let wanted = often(MOMENTS);
    let (mut interrupted, mut unheard, mut finished) = (0, 0, 0);
    let mut slowest = Duration::ZERO;
    let mut lake = place.lake();
    for moment in 0.. {
        if interrupted == wanted {
            break;
        }
        assert!(moment < 6 * wanted, "{interrupted} of {moment} runs heard");
        let before = lake.commits();
        let mut run = scan(&lake);
        run.runs_for(Duration::from_micros(random.u64(moments_us.clone())));
        let signal = if moment % 2 == 0 { "TERM" } else { "INT" };
        run.signal(signal);
        if moment % 3 == 0 {
            // As `timeout` does: to the process, and to its group.
            run.signal(signal);
        }
        let ended = run.wait_within(DUE);
        slowest = slowest.max(ended.waited);
        match ended.code() {
            Some(130) => {
                interrupted += 1;
                expect_said(&lake, &ended);
                let committed = ended.slices("committed") + ended.slices("adopted");
                assert_eq!(lake.commits(), before + usize::try_from(committed).unwrap());
            }
            // Signalled before it could listen, or when it had all but ended.
            None => {
                assert!(matches!(ended.status.signal(), Some(2 | 15)), "{ended}");
                assert!(ended.elapsed < Duration::from_secs(5), "{ended}");
                unheard += 1;
            }
            code => {
                assert_eq!(code, Some(0), "{ended}");
                finished += 1;
                lake.expect_exact("a run that the signal met at its end");
                lake = place.lake();
            }
        }
    }
    lake.expect_recovered("after the signals");
    println!(
        "{interrupted} interrupted, {unheard} before they listened, {finished} had ended; the slowest took {slowest:?}"
    );
}

/// Whatever the service makes a run wait for, a signal ends the wait.
#[test]
fn no_wait_for_the_service_outlasts_a_signal() {
    let slow = What::SlowBody {
        piece: 1,
        pause: Duration::from_secs(5),
    };
    let waits = [
        ("a pause of 60 s after a 429", What::throttled(Some(60))),
        ("a 429 that names no pause", What::throttled(None)),
        ("no answer at all", What::Stall),
        ("a body that comes byte by byte", slow),
        ("pauses between tries after a 503", What::gateway(503)),
    ];
    std::thread::scope(|scope| {
        for (what, fault) in waits {
            scope.spawn(move || {
                let place = place(Some(fault));
                let lake = place.lake();
                let mut run = place.start(&mut lake.scan());
                let asked = |_: &_| !place.sim.requests().is_empty();
                // A request that is never answered is not in the log.
                let stalls = what == "no answer at all";
                if stalls {
                    run.runs_for(Duration::from_millis(700));
                } else {
                    assert!(run.until("ask", asked), "{what}");
                    run.runs_for(Duration::from_millis(100));
                }
                run.signal("TERM");
                let ended = run.wait_within(DUE);
                assert_eq!(ended.code(), Some(130), "{what}: {ended}");
                expect_said(&lake, &ended);
                println!("{what}: ended after {:?}", ended.waited);
                assert_eq!(lake.commits(), 0, "{what}");
            });
        }
    });
}

/// The request budget, used up, makes a run wait for most of a minute; a signal ends that too.
#[test]
fn a_wait_for_the_budget_ends_with_the_signal() {
    let place = place(None);
    let lake = place.lake();
    let mut command = lake.scan();
    command.args(["--requests-per-minute", "1"]);
    let mut run = place.start(&mut command);
    assert!(run.until("ask", |_| !place.sim.requests().is_empty()));
    run.signal("INT");
    let ended = run.wait_within(DUE);
    assert_eq!(ended.code(), Some(130), "{ended}");
    expect_said(&lake, &ended);
    lake.expect_recovered("after a wait for the budget");
}

/// Nobody reads the log any more, and its pipe is full: the run stands still in the middle of a
/// line. A signal ends it all the same.
#[test]
fn a_full_pipe_does_not_outlast_a_signal() {
    let place = place(None);
    for name in ["TERM", "INT"] {
        let lake = place.lake();
        let (reader, mut writer) = std::io::pipe().unwrap();
        // As much as a pipe holds on Linux.
        writer.write_all(&vec![b'.'; 64 * 1024]).unwrap();
        let mut child = lake
            .scan()
            .arg("-vvv")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(writer)
            .spawn()
            .unwrap();
        std::thread::park_timeout(Duration::from_millis(300));
        assert!(child.try_wait().unwrap().is_none(), "the pipe is not full");
        crate::support::process::signal(child.id(), name);
        let asked = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if asked.elapsed() > DUE {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("SIG{name} did not end it within {DUE:?}");
            }
            std::thread::park_timeout(Duration::from_millis(1));
        };
        assert_eq!(status.code(), Some(130));
        println!("SIG{name}: ended after {:?}", asked.elapsed());
        drop(reader);
        lake.expect_recovered("after a full pipe");
    }
}

/// Nobody reads the log any more, or the disk that it goes to is full: the run goes on without it.
#[test]
fn a_log_that_cannot_be_written_stops_no_run() {
    let place = place(None);
    for what in ["a pipe without a reader", "a full disk"] {
        for format in ["text", "json"] {
            let stderr = if what == "a full disk" {
                let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
                Stdio::from(full.unwrap())
            } else {
                let (_, gone) = std::io::pipe().unwrap();
                Stdio::from(gone)
            };
            let lake = place.lake();
            let mut scan = lake.scan();
            scan.args(["-vv", "--log-format", format]);
            let output = scan.stderr(stderr).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{what}: {output:?}");
            lake.expect_exact(what);
        }
    }
}

/// A disk that hangs, as a network mount without its server does, cannot hold up the end; a second
/// signal, a moment later, does not even wait.
#[test]
fn a_disk_that_hangs_does_not_outlast_a_signal() {
    if shim().is_none() {
        return;
    }
    let place = place(None);
    std::thread::scope(|scope| {
        for (calls, at, again) in [
            ("fsync", 20, false),
            ("rename", 3, false),
            ("write", 12, true),
            ("open", 1, true),
        ] {
            let lake = place.lake();
            let log = place.fresh("calls");
            let mut run = {
                let hanging = BadDisk {
                    calls,
                    at,
                    onwards: true,
                    what: "hang",
                    log: Some(&log),
                    ..BadDisk::default()
                };
                place.start(&mut lake.scan_on(&hanging))
            };
            let hangs = |_: &_| crate::support::process::calls_in(&log).len() >= at;
            assert!(run.until("hang", hangs), "{calls}");
            scope.spawn(move || {
                run.signal("TERM");
                if again {
                    // Not the same signal, sent to the process and to its group.
                    run.runs_for(Duration::from_millis(500));
                    run.signal("TERM");
                }
                let due = if again { Duration::from_secs(3) } else { DUE };
                let ended = run.wait_within(due);
                assert_eq!(ended.code(), Some(130), "{calls}: {ended}");
                assert!(ended.stderr.contains("interrupted"), "{calls}: {ended}");
                println!("{calls} hung: ended after {:?}", ended.waited);
            });
        }
    });
    for folder in std::fs::read_dir(place.room()).unwrap() {
        let folder = folder.unwrap().path();
        if folder.is_dir() {
            place
                .lake_at(folder)
                .expect_recovered("after a disk that hung");
        }
    }
}

/// A terminal that is closed ends a run like any other signal, unless it was started so that it
/// outlives its terminal.
#[test]
fn a_hangup_ends_a_run_that_does_not_ignore_it() {
    let place = throttling();
    let lake = place.lake();
    // The tests themselves may have been started so.
    let mut heeding = Command::new("env");
    heeding.arg("--default-signal=HUP");
    let mut run = place.start(lake.scan_through(heeding).args(["--parallel", "1"]));
    assert!(run.until("commit", |_| lake.commits() > 0));
    run.signal("HUP");
    let ended = run.wait_within(DUE);
    expect_said(&lake, &ended);

    let lake = place.lake();
    let mut outliving = Command::new("sh");
    outliving.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]);
    let mut run = place.start(lake.scan_through(outliving).args(["--parallel", "1"]));
    assert!(run.until("commit", |_| lake.commits() > 0));
    run.signal("HUP");
    assert!(!run.runs_for(Duration::from_millis(500)), "it ended");
    run.signal("TERM");
    expect_said(&lake, &run.wait_within(DUE));
}

/// However few threads the system gives, a run does its work or says at once what is missing; it
/// never panics, and a signal ends it.
#[test]
fn a_limit_of_threads_is_named_or_lived_with() {
    let Some(threads) = thread_shim() else {
        return;
    };
    let place = place(None);
    let stalled = throttling();
    let (mut refused, mut worked) = (0, 0);
    for most in 0.. {
        let few = |command: &mut Command| {
            command
                .env("LD_PRELOAD", threads)
                .env("SHIM_THREADS", most.to_string());
        };
        let lake = place.lake();
        let mut command = lake.scan();
        few(&mut command);
        let ended = place.run(&mut command);
        assert!(!ended.text().contains("panicked"), "{most}: {ended}");
        match ended.code() {
            Some(1) => {
                assert!(ended.text().contains("ulimit"), "{most}: {ended}");
                assert!(ended.elapsed < Duration::from_secs(10), "{most}: {ended}");
                refused += 1;
                continue;
            }
            code => assert_eq!(code, Some(0), "{most}: {ended}"),
        }
        lake.expect_exact(&format!("with {most} threads"));
        let lake = stalled.lake();
        let mut command = one_by_one(&lake);
        few(&mut command);
        let mut run = stalled.start(&mut command);
        assert!(run.until("commit", |_| lake.commits() > 0));
        run.signal("TERM");
        expect_said(&lake, &run.wait_within(DUE));
        worked += 1;
        if worked == 3 {
            break;
        }
    }
    println!("{refused} limits were too low");
    assert!(refused > 1, "{refused}");
}

/// Where one thread is all that may block, reading and decoding take turns on it.
#[test]
fn a_conversion_lives_with_few_threads_or_names_the_limit() {
    let Some(threads) = thread_shim() else {
        return;
    };
    let place = place(None);
    let record = |n: u32| format!("{{\"_id\":\"{n}\",\"timestamp\":1795000000000}}\n");
    let files = ["a", "b"].map(|name| place.room().join(name));
    for file in &files {
        let name = file.display();
        let records: String = (0..8_000).map(record).collect();
        std::fs::write(file, format!("{records}{{\"{name}\":1}}\n")).unwrap();
    }
    let (mut refused, mut worked) = (0, 0);
    for most in 0.. {
        let lake = place.lake();
        let mut command = lake.command("convert");
        command
            .args(&files)
            .env("LD_PRELOAD", threads)
            .env("SHIM_THREADS", most.to_string());
        let ended = place.start(&mut command).wait_within(DUE);
        assert!(!ended.text().contains("panicked"), "{most}: {ended}");
        if ended.code() == Some(1) {
            assert!(ended.text().contains("ulimit"), "{most}: {ended}");
            refused += 1;
            continue;
        }
        assert_eq!(ended.code(), Some(0), "{most}: {ended}");
        assert_eq!(lake.commits(), 2, "{most}: {ended}");
        worked += 1;
        if worked == 4 {
            break;
        }
    }
    assert!(refused > 1, "{refused}");
}

/// With as few threads as do, and a disk that hangs, a signal still ends the run.
#[test]
fn a_limit_of_threads_and_a_disk_that_hangs_do_not_outlast_a_signal() {
    let (Some(threads), Some(disk)) = (thread_shim(), shim()) else {
        return;
    };
    let place = place(None);
    for most in 3.. {
        let lake = place.lake();
        let log = place.fresh("calls");
        let hanging = BadDisk {
            calls: "rename",
            at: 3,
            onwards: true,
            what: "hang",
            log: Some(&log),
            ..BadDisk::default()
        };
        let mut command = lake.scan_on(&hanging);
        command
            .env(
                "LD_PRELOAD",
                format!("{}:{}", threads.display(), disk.display()),
            )
            .env("SHIM_THREADS", most.to_string());
        let mut run = place.start(&mut command);
        if !run.until("hang", |_| {
            crate::support::process::calls_in(&log).len() >= 3
        }) {
            continue;
        }
        run.signal("TERM");
        let ended = run.wait_within(DUE);
        assert_eq!(ended.code(), Some(130), "{ended}");
        assert!(ended.stderr.contains("interrupted"), "{ended}");
        assert!(!ended.text().contains("panicked"), "{ended}");
        return;
    }
}

/// `verify` and `export` write nothing and so have nothing to bring to an end.
#[test]
fn reading_commands_end_at_once() {
    let place = place(None);
    let lake = place.lake();
    lake.expect_recovered("at first");
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = lake
        .command("export")
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // 600 records are more than a pipe holds, and nobody reads them.
    std::thread::park_timeout(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none(), "the pipe is not full");
    let asked = Instant::now();
    crate::support::process::signal(child.id(), "INT");
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(asked.elapsed() < Duration::from_secs(3), "export goes on");
        std::thread::park_timeout(Duration::from_millis(1));
    };
    assert_eq!(status.code(), Some(130));
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "error: interrupted\n");
    drop(reader);
    assert_eq!(files_below(&lake.path().join("_mdca/attempts")).len(), 0);
}
