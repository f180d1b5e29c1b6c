//! A wall clock that is wrong, under the real program: nothing is lost, and a slice that the
//! service's clock does not call closed is not committed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mdca_lake::window::format_time;
use mdca_sim::SimOptions;

use crate::support::process::{Lake, Place, gap};
use crate::support::scenario::at;

const MINUTE_MS: i64 = 60_000;
/// In minutes.
const YEAR: i64 = 365 * 24 * 60;

/// A service with a clock of its own, at 12:40 in the middle of what it holds.
struct Service {
    place: Place,
    now_ms: Arc<AtomicI64>,
}

impl Service {
    fn new() -> Self {
        let now_ms = Arc::new(AtomicI64::new(at("2026-10-01T12:40:00Z")));
        let shared = Arc::clone(&now_ms);
        let options = SimOptions {
            now: Arc::new(move || shared.load(Ordering::SeqCst)),
            ..SimOptions::default()
        };
        Self {
            place: Place::new("2026-10-01T10:00:00Z", "2026-10-01T16:00:00Z", 300, options),
            now_ms,
        }
    }

    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn set(&self, time: &str) {
        self.now_ms.store(at(time), Ordering::SeqCst);
    }

    /// A scan whose wall clock is so many minutes ahead of the service's.
    fn scan(&self, lake: &Lake<'_>, minutes_ahead: i64) -> Command {
        lake.scan_through(self.at(minutes_ahead))
    }

    /// What runs a program whose wall clock is so many minutes ahead of the service's.
    fn at(&self, minutes_ahead: i64) -> Command {
        sweep_shared_memory();
        let time = format_time(self.now_ms() + minutes_ahead * MINUTE_MS);
        let mut faketime = Command::new("faketime");
        faketime
            .arg("-f")
            .arg(format!("@{}", time.replace('T', " ").trim_end_matches('Z')))
            .env("TZ", "UTC")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        faketime
    }
}

/// Removes what faketime shares between processes, where those are dead: it goes by their numbers, and a new
/// process that has one of these is refused.
fn sweep_shared_memory() {
    let Ok(there) = fs::read_dir("/dev/shm") else {
        return;
    };
    for entry in there.flatten() {
        let name = entry.file_name();
        let of_faketime = name.to_str().filter(|name| name.contains("faketime_s"));
        let process = of_faketime.and_then(|name| name.rsplit('_').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // Another test may be faster.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn there_is_no_faketime() -> bool {
    sweep_shared_memory();
    let works = Command::new("faketime")
        .args(["-f", "+0", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        gap("faketime is not on this machine: no clock can be set wrong");
    }
    !works
}

/// A clock that is ahead makes slices look closed that are not. The service's own time says
/// otherwise: the plan ends there, in one failure, and they are scanned whole when their time has come.
#[test]
fn a_clock_that_is_ahead_loses_nothing() {
    if there_is_no_faketime() {
        return;
    }
    let service = Service::new();
    for minutes_ahead in [36, 60, 12 * 60] {
        service.set("2026-10-01T12:00:00Z");
        let lake = service.place.lake();
        let ended = service.place.run(&mut service.scan(&lake, 0));
        assert_eq!((ended.code(), lake.commits()), (Some(0), 1), "{ended}");
        // By the service, only what ends by 12:25 is closed; then what ends by 14:25.
        for (time, commits) in [("2026-10-01T12:40:00Z", 2), ("2026-10-01T14:40:00Z", 4)] {
            service.set(time);
            let ended = service.place.run(&mut service.scan(&lake, minutes_ahead));
            assert_eq!(ended.code(), Some(4), "{minutes_ahead}: {ended}");
            assert_eq!(ended.slices("failed"), 1, "{ended}");
            assert!(ended.text().contains("this machine's clock is"), "{ended}");
            assert_eq!(lake.commits(), commits, "{minutes_ahead}: {ended}");
        }
        service.set("2026-10-01T16:15:00Z");
        let ended = service.place.run(&mut service.scan(&lake, 0));
        assert_eq!(ended.code(), Some(0), "{minutes_ahead}: {ended}");
        lake.expect_exact("after a clock that was ahead");
    }
    println!("3 clocks were ahead");
}

/// Where the clocks agree within minutes, a slice that is not quite closed waits for the next run.
#[test]
fn a_clock_that_is_a_little_ahead_is_not_a_failure() {
    if there_is_no_faketime() {
        return;
    }
    let service = Service::new();
    service.set("2026-10-01T12:12:00Z");
    let lake = service.place.lake();
    let ended = service.place.run(&mut service.scan(&lake, 4));
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert_eq!((lake.commits(), ended.slices("failed")), (1, 0), "{ended}");
    assert!(ended.text().contains("the next run takes it"), "{ended}");
    service.set("2026-10-01T16:15:00Z");
    let ended = service.place.run(&mut service.scan(&lake, 0));
    assert_eq!(ended.code(), Some(0), "{ended}");
    lake.expect_exact("after a clock that was a little ahead");
}

/// A clock that is behind only makes a run come later.
#[test]
fn a_clock_that_is_behind_only_delays() {
    if there_is_no_faketime() {
        return;
    }
    let service = Service::new();
    // What ends by 12:40 and by 14:20, less the clock's error and 15 minutes to settle.
    for (minutes_behind, slices) in [(20, [2, 3]), (60, [1, 3])] {
        let lake = service.place.lake();
        for (time, slices) in ["2026-10-01T12:40:00Z", "2026-10-01T14:20:00Z"]
            .iter()
            .zip(slices)
        {
            service.set(time);
            let ended = service.place.run(&mut service.scan(&lake, -minutes_behind));
            assert_eq!(ended.code(), Some(0), "{minutes_behind}: {ended}");
            assert_eq!(lake.commits(), slices, "{minutes_behind}: {ended}");
        }
        service.set("2026-10-01T16:15:00Z");
        let ended = service.place.run(&mut service.scan(&lake, 0));
        assert_eq!(ended.code(), Some(0), "{minutes_behind}: {ended}");
        lake.expect_exact("after a clock that was behind");
    }
}

/// A lake's begin is not set by a clock that nobody would trust: 3 days fast it would scan nothing
/// and promise what is to come, at 1970 it would plan half a million slices.
#[test]
fn a_new_lake_is_not_made_by_a_clock_that_is_wrong() {
    if there_is_no_faketime() {
        return;
    }
    let service = Service::new();
    let hours_since_1970 = at("2026-10-01T12:00:00Z") / MINUTE_MS / 60;
    for minutes_ahead in [
        62,
        -62,
        3 * 24 * 60,
        -3 * 24 * 60,
        -hours_since_1970 * 60,
        10 * YEAR,
    ] {
        for window in [&[][..], &["--from", "5m"]] {
            let lake = service.place.lake();
            let mut scan = service.at(minutes_ahead);
            lake.scan_without_window(&mut scan);
            let ended = service.place.run(scan.args(window));
            assert_eq!(ended.code(), Some(4), "{minutes_ahead}: {ended}");
            assert!(
                ended.text().contains("cannot make the lake")
                    || ended.text().contains(
                        "make the lake: by the service's clock it is 2026-10-01T12:40:00Z"
                    ),
                "{minutes_ahead}: {ended}"
            );
            assert!(!lake.path().exists(), "{minutes_ahead}: {ended}");
        }
    }
    for (minutes_ahead, said) in [(4, false), (6, true), (-58, true)] {
        let lake = service.place.lake();
        let mut scan = service.at(minutes_ahead);
        lake.scan_without_window(&mut scan);
        let ended = service.place.run(&mut scan);
        assert!(lake.path().exists(), "{minutes_ahead}: {ended}");
        assert_eq!(
            ended.report()["notes"]
                .to_string()
                .contains(", compared with the service's; set it"),
            said,
            "{minutes_ahead}: {ended}"
        );
    }
}

/// Under a lake that is there, such a clock does no work, and no harm.
#[test]
fn a_clock_that_is_nowhere_near_does_no_harm() {
    if there_is_no_faketime() {
        return;
    }
    let service = Service::new();
    for (minutes_ahead, code) in [(-50 * YEAR, 2), (10 * YEAR, 4)] {
        let lake = service.place.lake();
        let ended = service.place.run(&mut service.scan(&lake, 0));
        assert_eq!(ended.code(), Some(0), "{ended}");
        let ended = service.place.run(&mut service.scan(&lake, minutes_ahead));
        assert_eq!(ended.code(), Some(code), "{minutes_ahead}: {ended}");
        service.set("2026-10-01T16:15:00Z");
        let ended = service.place.run(&mut service.scan(&lake, 0));
        assert_eq!(ended.code(), Some(0), "{minutes_ahead}: {ended}");
        lake.expect_exact("after a clock that was nowhere near");
        service.set("2026-10-01T12:40:00Z");
    }
}
