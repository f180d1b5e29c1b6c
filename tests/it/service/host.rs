//! A tenant moves to another host: recorded once, when somebody says so, and only where it may be the
//! same tenant.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use mdca_lake::window::format_time;
use mdca_sim::SimOptions;
use serde_json::{Value, json};

use crate::support::process::{Ended, Lake, Place};
use crate::support::scenario::{HOUR_MS, files_below};
use crate::support::sealed;

/// A full hour a while ago, the same for all stories.
fn until_ms() -> i64 {
    static UNTIL_MS: OnceLock<i64> = OnceLock::new();
    *UNTIL_MS.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(now.as_millis()).unwrap() / HOUR_MS * HOUR_MS - HOUR_MS
    })
}

/// A tenant of the last hours, so that a question of today finds something.
fn place(activities: u64) -> Place {
    let until_ms = until_ms();
    let (from, until) = (format_time(until_ms - 2 * HOUR_MS), format_time(until_ms));
    Place::new(&from, &until, activities, SimOptions::default())
}

fn changes(lake: &Lake<'_>) -> usize {
    files_below(&lake.path().join("_mdca/changes")).len()
}

fn host(place: &Place) -> String {
    let url = place.sim.url();
    url.trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned()
}

fn status(place: &Place, lake: &Lake<'_>) -> Value {
    let ended: Ended = place.run(lake.command("status").args(["--report", "json"]));
    assert_eq!(ended.code(), Some(0), "{ended}");
    ended.report()
}

fn change_host(mut scan: Command) -> Command {
    scan.arg("--change-host");
    scan
}

#[test]
fn a_lake_follows_its_tenant_to_another_host_when_it_is_told() {
    let old = place(80);
    let new = place(80);
    let lake = old.lake();
    assert_eq!(old.run(&mut lake.scan()).code(), Some(0));
    let moved = new.lake_at(lake.path().to_owned());

    let refused = new.run(&mut moved.scan());
    assert_eq!(refused.code(), Some(2), "{refused}");
    assert!(
        refused.text().contains("add --change-host once"),
        "{refused}"
    );
    assert_eq!((changes(&lake), new.sim.requests().len()), (0, 0));

    let changed = new.run(&mut change_host(moved.scan()));
    assert_eq!(changed.code(), Some(0), "{changed}");
    assert!(
        changed.text().contains("both have aadTenantId="),
        "{changed}"
    );
    let change = sealed::read(&lake.path().join("_mdca/changes/0.json"));
    assert_eq!(change["change"]["api_host"]["from"], host(&old));
    assert_eq!(change["change"]["api_host"]["to"], host(&new));

    // From now on it is the lake's, with the flag or without.
    assert_eq!(new.run(&mut moved.scan()).code(), Some(0));
    let again = new.run(&mut change_host(moved.scan()));
    assert!(again.text().contains("leave --change-host out"), "{again}");
    assert_eq!((again.code(), changes(&lake)), (Some(0), 1));
    let back = old.run(&mut lake.scan());
    assert_eq!(back.code(), Some(2), "{back}");
    assert_eq!(status(&new, &moved)["api_host"], host(&new));
    moved.expect_exact("after the host changed");
    // And back again.
    assert_eq!(old.run(&mut change_host(lake.scan())).code(), Some(0));
    assert_eq!(
        (changes(&lake), status(&old, &lake)["api_host"].clone()),
        (2, host(&old).into())
    );
}

#[test]
fn where_nothing_can_be_compared_that_is_said() {
    for (in_lake, at_host) in [(0, 80), (80, 0)] {
        let (old, new) = (place(in_lake), place(at_host));
        let lake = old.lake();
        assert_eq!(old.run(&mut lake.scan()).code(), Some(0));
        let moved = new.lake_at(lake.path().to_owned());
        let changed = new.run(&mut change_host(moved.scan()));
        assert_eq!(changed.code(), Some(0), "{changed}");
        assert!(changed.text().contains("unchecked"), "{changed}");
        let change = sealed::read(&lake.path().join("_mdca/changes/0.json"));
        assert_eq!(change["change"]["api_host"]["tenant"], Value::Null);
    }
}

/// What somebody writes at a path.
type Harm<'a> = &'a dyn Fn(&Path);

/// What a newer program changed, or what was lost of it, is not guessed: the lake can be read.
#[test]
fn a_change_that_is_not_understood_makes_the_lake_read_only() {
    let place = place(80);
    let lake = place.lake();
    assert_eq!(place.run(&mut lake.scan()).code(), Some(0));
    let folder = lake.path().join("_mdca/changes");
    let newer = json!({"version": 9, "tool_version": "9.1.0", "number": 0});
    // Which object, what it is, and the exit codes of `scan` and of `verify`.
    let cases: [(&str, Harm<'_>, i32, i32); 3] = [
        ("0.json", &|path| sealed::write(path, &newer), 2, 2),
        ("0.json", &|path| std::fs::write(path, "{}").unwrap(), 6, 5),
        ("1.json", &|path| sealed::write(path, &newer), 6, 5),
    ];
    for (name, write, scan_code, verify_code) in cases {
        std::fs::create_dir_all(&folder).unwrap();
        write(&folder.join(name));
        let before = files_below(lake.path());
        for mut scan in [lake.scan(), change_host(lake.scan())] {
            let refused = place.run(&mut scan);
            assert_eq!(refused.code(), Some(scan_code), "{refused}");
            assert!(refused.text().contains("_mdca/changes/0.json"), "{refused}");
        }
        assert_eq!(files_below(lake.path()), before);
        let told = place.run(lake.command("status").args(["--report", "json"]));
        let (status_code, said) = if scan_code == 2 {
            (0, false)
        } else {
            (6, true)
        };
        assert_eq!(told.code(), Some(status_code), "{told}");
        assert_eq!(told.report()["rows"], 80, "{told}");
        let left_out = told.report()["left_out"].to_string();
        assert_eq!(left_out.contains("_mdca/changes/0.json"), said, "{told}");
        assert_eq!(lake.exported_ids().len(), 80);
        let verified = lake.verify();
        assert_eq!(verified.code(), Some(verify_code), "{verified}");
        assert!(
            verified.text().contains("_mdca/changes/0.json"),
            "{verified}"
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
    lake.expect_exact("in the end");
}

/// The remedy for a damaged change, without a copy of the lake, word for word.
#[test]
fn a_damaged_change_of_the_host_is_made_anew() {
    let (old, new) = (place(80), place(80));
    let lake = old.lake();
    assert_eq!(old.run(&mut lake.scan()).code(), Some(0));
    let moved = new.lake_at(lake.path().to_owned());
    assert_eq!(new.run(&mut change_host(moved.scan())).code(), Some(0));
    let folder = lake.path().join("_mdca/changes");
    let change = folder.join("0.json");
    let text = std::fs::read_to_string(&change).unwrap();
    std::fs::write(&change, text.replace("api_host", "api_hose")).unwrap();

    for mut command in [
        moved.scan(),
        moved.command("status"),
        moved.command("verify"),
    ] {
        let told = new.run(&mut command);
        assert!(matches!(told.code(), Some(5 | 6)), "{told}");
        assert!(
            told.text()
                .contains("move that whole folder away: scan --change-host"),
            "{told}"
        );
    }
    std::fs::rename(&folder, new.fresh("changes")).unwrap();
    assert_eq!(new.run(&mut change_host(moved.scan())).code(), Some(0));
    assert_eq!(status(&new, &moved)["api_host"], host(&new));
    moved.expect_exact("after its change was made anew");
}
