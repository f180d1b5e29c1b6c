//! A token of another tenant, or a host that is another tenant's: its records are not mixed into a lake.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use mdca_lake::clock::{Clock, SystemClock};
use mdca_lake::window::format_time;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::process::{Ended, signal};
use crate::support::scenario::{DAY_MS, HOUR_MS, files_below};
use crate::support::script::{Asked, Said, Script};
use crate::support::sealed;

const OWN: &str = "ebac1a16-81bf-449b-8d43-5732c3c1d999";
const OTHER: &str = "cafe1a16-cafe-dead-beef-1337c3c1d999";

/// What a service says.
#[derive(Debug, Clone, Default)]
struct Plan {
    /// What is in the one record of an answer; without it there is none.
    record: Option<Value>,
    /// When the record was saved; else when the range begins that is asked for.
    saved_ms: Option<i64>,
    /// What is in the record of the last day, which no slice asks for; else the same.
    lately: Option<Value>,
}

impl Plan {
    fn answer(&self, asked: &Asked, today_ms: i64) -> Said {
        let is_of_today = asked.lower_ms() > today_ms;
        match (&self.record, &self.lately, self.saved_ms) {
            (_, Some(more), _) if is_of_today => Said::one_record(asked, more),
            (Some(more), _, None) => Said::one_record(asked, more),
            (Some(more), _, Some(at_ms)) if asked.is_within(at_ms) => {
                let mut more = more.clone();
                more["created"] = at_ms.into();
                more["_id"] = format!("id-{at_ms}").into();
                Said::one_record(asked, &more)
            }
            _ => Said::new(200, r#"{"data": [], "hasNext": false}"#),
        }
    }
}

/// A service whose records say of their tenant what they are told to, and a lake.
struct World {
    service: Script,
    plan: Arc<Mutex<Plan>>,
    folder: TempDir,
    first_ms: i64,
}

impl World {
    fn new() -> Self {
        let plan: Arc<Mutex<Plan>> = Arc::default();
        let told = Arc::clone(&plan);
        let now_ms = SystemClock::new().now_ms();
        let today_ms = now_ms - 25 * HOUR_MS;
        let service =
            Script::start(move |asked| told.lock().unwrap().clone().answer(asked, today_ms));
        Self {
            service,
            plan,
            folder: tempfile::tempdir().unwrap(),
            first_ms: now_ms / DAY_MS * DAY_MS - 3 * DAY_MS,
        }
    }

    fn lake(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    /// Scans these hours of the lake, with one record in the first, or none.
    fn scan(&self, hours: [i64; 2], record: Option<Value>) -> Ended {
        self.scan_with(&[], hours, record)
    }

    fn scan_with(&self, flags: &[&str], hours: [i64; 2], record: Option<Value>) -> Ended {
        self.plan.lock().unwrap().record = record;
        self.scan_at(&self.service, flags, hours)
    }

    fn scan_at(&self, service: &Script, flags: &[&str], hours: [i64; 2]) -> Ended {
        Ended::of(&mut self.scan_of(service, flags, hours))
    }

    fn scan_of(&self, service: &Script, flags: &[&str], hours: [i64; 2]) -> Command {
        let [from, until] = hours.map(|hour| format_time(self.first_ms + hour * HOUR_MS));
        let mut command = self.program("scan");
        command.args(["--api-url", &service.url()]);
        command.args(["--from", &from, "--until", &until]);
        command.args(["--requests-per-minute", "0", "--report", "json"]);
        command.args(flags);
        command
    }

    fn check(&self, flags: &[&str]) -> Ended {
        let mut command = self.program("check");
        let command = command.args(["--api-url", &self.service.url()]);
        Ended::of(command.args(flags))
    }

    fn program(&self, command: &str) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_mdca-lake"));
        program
            .env_clear()
            .env("MDCA_API_TOKEN", "t0ken-of-the-tests");
        program.arg(command).arg("--lake").arg(self.lake());
        program
    }

    /// From now on the lake's host is not the one that the service is at.
    fn is_at_another_host(&self) {
        let identity = self.lake().join("_mdca/lake.json");
        let mut lake = sealed::read(&identity);
        lake["api_host"] = "tenant.eu2.portal.example.com".into();
        sealed::write(&identity, &lake);
    }

    fn export(&self) -> String {
        let output = self.program("export").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn exported(&self) -> usize {
        self.export().lines().count()
    }
}

fn commits(lake: &Path) -> usize {
    files_below(&lake.join("_mdca/commits")).len()
}

fn own() -> Value {
    json!({"aadTenantId": OWN, "tenantId": 97_134_000})
}

fn other() -> Value {
    json!({"aadTenantId": OTHER, "tenantId": 31_000_002})
}

#[test]
fn records_of_another_tenant_stay_out() {
    let world = World::new();
    assert_eq!(world.scan([0, 1], Some(own())).code(), Some(0));
    let files = files_below(&world.lake().join("activities"));
    let refused = world.scan([1, 3], Some(other()));
    assert_eq!(refused.code(), Some(2), "{refused}");
    let failure = &refused.report()["failures"][0];
    let error = failure["error"].as_str().unwrap();
    assert!(
        error.ends_with(&format!(
            "the service's records have aadTenantId {OTHER}, and the lake's have {OWN}"
        )),
        "{error}"
    );
    let advice = failure["advice"].as_str().unwrap();
    assert!(advice.contains("check the token"), "{advice}");
    assert_eq!(files_below(&world.lake().join("activities")), files);
    assert_eq!((commits(&world.lake()), world.exported()), (1, 1));
    assert!(files_below(&world.lake().join("_mdca/staging")).is_empty());
    let checked = world.check(&[]);
    assert_eq!(checked.code(), Some(2), "{checked}");
    assert!(
        checked.text().contains(&format!(
            "fail  tenant           the service's records have aadTenantId {OTHER}"
        )),
        "{checked}"
    );
    // With the right token all goes on where it was.
    let right = world.scan([1, 3], Some(own()));
    assert_eq!(right.code(), Some(0), "{right}");
    assert_eq!((commits(&world.lake()), world.exported()), (3, 3));
}

/// Records that become no rows say as well whose they are.
#[test]
fn rejects_of_another_tenant_stay_out() {
    let world = World::new();
    assert_eq!(world.scan([0, 1], Some(own())).code(), Some(0));
    let mut reject = other();
    reject["timestamp"] = Value::Null;
    let refused = world.scan([1, 2], Some(reject.clone()));
    assert_eq!(refused.code(), Some(2), "{refused}");
    assert_eq!(commits(&world.lake()), 1);
    assert!(files_below(&world.lake().join("_mdca/rejects")).is_empty());
    reject["aadTenantId"] = OWN.into();
    let kept = world.scan([1, 2], Some(reject));
    assert_eq!(kept.code(), Some(0), "{kept}");
    assert_eq!(commits(&world.lake()), 2);
}

/// The token is exchanged in the middle of the first run: what came before tells whose the lake is, where it is
/// not too little.
#[test]
fn a_first_run_whose_tenant_changes_stops_there() {
    for (count, code) in [(20, 2), (19, 0)] {
        let world = World::new();
        let (first_ms, is_exchanged) = (world.first_ms, AtomicBool::new(false));
        let service = Script::start(move |asked| {
            if asked.lower_ms() >= first_ms + 3 * HOUR_MS {
                is_exchanged.store(true, Ordering::SeqCst);
            }
            let is_exchanged = is_exchanged.load(Ordering::SeqCst);
            Said::records(asked, count, &if is_exchanged { other() } else { own() })
        });
        let ended = world.scan_at(&service, &["--parallel", "1"], [0, 6]);
        assert_eq!(ended.code(), Some(code), "{count}: {ended}");
        let said = format!("{ended}{}", world.export());
        assert_eq!(ended.text().contains(OTHER), code == 2, "{said}");
        assert_eq!(world.export().contains(OTHER), code == 0, "{said}");
    }
}

/// Where the newest records of a lake say nothing, that is said.
#[test]
fn a_lake_that_does_not_say_whose_it_is_is_noted() {
    let world = World::new();
    assert_eq!(world.scan([0, 1], Some(json!({}))).code(), Some(0));
    let scanned = world.scan([1, 2], Some(other()));
    assert_eq!(scanned.code(), Some(0), "{scanned}");
    let said = "its newest records do not say whose they are";
    assert!(scanned.text().contains(said), "{scanned}");
}

/// A refusal in vain would cost what the service forgets meanwhile: one field that agrees is enough, and so
/// is silence.
#[test]
fn records_that_may_be_of_the_tenant_come_in() {
    let world = World::new();
    assert_eq!(world.scan([0, 1], Some(own())).code(), Some(0));
    let upper = OWN.to_ascii_uppercase();
    for (hour, record) in (1..).zip([
        json!({}),
        json!({"aadTenantId": null, "tenantId": null}),
        json!({"aadTenantId": upper, "tenantId": 31_000_002}),
        json!({"aadTenantId": {"id": OTHER}}),
        own(),
        json!({"aadTenantId": OTHER, "tenantId": 97_134_000}),
        json!({"aadTenantId": OTHER, "tenantId": "97134000"}),
        own(),
    ]) {
        let text = record.to_string();
        let says = ["tenantId", "aadTenantId"].map(|field| record[field].clone());
        let is_silent = says.iter().all(|id| id.is_null() || id.is_object());
        let scanned = world.scan([hour, hour + 1], Some(record));
        assert_eq!(scanned.code(), Some(0), "{text}: {scanned}");
        let note = "1 slice has no record that says whose it is";
        assert_eq!(
            scanned.text().contains(note),
            is_silent,
            "{text}: {scanned}"
        );
    }
    assert_eq!(world.exported(), 9);
}

/// Where the newest commit is damaged, where a compaction has taken its files, and where the newest ones
/// have no rows.
#[test]
fn a_quiet_lake_still_knows_whose_it_is() {
    let world = World::new();
    for hours in [[0, 1], [1, 2]] {
        assert_eq!(world.scan(hours, Some(own())).code(), Some(0));
    }
    let refused = |hours: [i64; 2]| {
        let refused = world.scan(hours, Some(other()));
        let failures = refused.report()["failures"].to_string();
        assert!(failures.contains(OTHER), "{refused}");
    };
    let newest = files_below(&world.lake().join("_mdca/commits")).pop();
    let newest = newest.unwrap();
    let good = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, "{}").unwrap();
    refused([2, 3]);
    std::fs::write(&newest, good).unwrap();

    let compact = world.program("compact").output().unwrap();
    assert!(compact.status.success(), "{compact:?}");
    assert_eq!(files_below(&world.lake().join("activities")).len(), 1);
    refused([2, 3]);
    assert_eq!(world.scan([2, 40], None).code(), Some(0));
    refused([40, 41]);
    assert_eq!(world.scan([40, 41], Some(own())).code(), Some(0));
    assert_eq!(world.exported(), 3);
}

/// A tenant that is younger than the lake has nothing where the lake's own may have records: its silence is not
/// committed as the lake's. To ask for that costs a request, or two where the last day has nothing, and only a run that
/// got no record.
#[test]
fn the_silence_of_another_tenant_says_nothing_of_the_lakes() {
    let world = World::new();
    assert_eq!(world.scan([0, 1], Some(own())).code(), Some(0));
    world.plan.lock().unwrap().saved_ms = Some(world.first_ms + 30 * HOUR_MS);
    let refused = world.scan([1, 3], Some(other()));
    assert_eq!(refused.code(), Some(2), "{refused}");
    assert_eq!(commits(&world.lake()), 1, "{refused}");
    let asked = |hours, record| {
        let before = world.service.asked().len();
        let right = world.scan_with(&["--parallel", "1"], hours, record);
        assert_eq!(right.code(), Some(0), "{right}");
        world.service.asked().len() - before
    };
    // The page and the probe of each hour, and the questions.
    assert_eq!(asked([1, 3], Some(own())), 2 * 2 + 2);
    assert_eq!(asked([3, 4], None), 2 + 2);
    world.plan.lock().unwrap().saved_ms = None;
    assert_eq!(asked([4, 5], Some(own())), 1);
    assert_eq!(commits(&world.lake()), 5);
}

/// Hours without a record, read in one range with one that has: none of them is covered.
#[test]
fn nothing_of_a_span_of_another_tenant_is_committed() {
    let world = World::new();
    assert_eq!(world.scan([0, 1], Some(own())).code(), Some(0));
    world.plan.lock().unwrap().saved_ms = Some(world.first_ms + 5 * HOUR_MS + 1);
    let refused = world.scan_with(&["--parallel", "1"], [1, 20], Some(other()));
    assert_eq!(refused.code(), Some(2), "{refused}");
    assert_eq!(commits(&world.lake()), 1, "{refused}");
    let right = world.scan([1, 20], Some(own()));
    assert_eq!(right.code(), Some(0), "{right}");
    assert!(right.report()["spans"].as_u64() > Some(0), "{right}");
    assert_eq!((commits(&world.lake()), world.exported()), (20, 2));
}

/// Odd records, whatever wrote them, neither block the archive nor become what the lake is held to: the
/// service has others of the tenant when it is asked.
#[test]
fn a_few_odd_records_condemn_nothing() {
    let world = World::new();
    assert_eq!(world.scan([0, 1], Some(own())).code(), Some(0));
    world.plan.lock().unwrap().lately = Some(own());
    for (hour, odd) in (1..).zip([
        json!({"aadTenantId": "", "tenantId": 0}),
        json!({"aadTenantId": "00000000-0000-0000-0000-000000000000"}),
        json!({"tenantId": 97_134_000.0}),
        json!({"aadTenantId": "no-guid", "tenantId": "x"}),
        own(),
        other(),
    ]) {
        let text = odd.to_string();
        let is_foreign = odd == other();
        let scanned = world.scan([hour, hour + 1], Some(odd));
        assert_eq!(scanned.code(), Some(0), "{text}: {scanned}");
        let note = "1 slice has no record of the lake's tenant";
        assert!(
            !is_foreign || scanned.text().contains(note),
            "{text}: {scanned}"
        );
    }
    assert_eq!(world.exported(), 7);
}

/// What cannot be read, for whatever reason, stops no archive, and is said.
#[test]
fn files_that_cannot_be_read_stop_no_scan() {
    let world = World::new();
    assert_eq!(world.scan([0, 1], Some(own())).code(), Some(0));
    for file in files_below(&world.lake().join("activities")) {
        std::fs::write(file, "no file").unwrap();
    }
    let scanned = world.scan([1, 2], Some(other()));
    assert_eq!(scanned.code(), Some(0), "{scanned}");
    let notes = scanned.report()["notes"].to_string();
    assert!(notes.contains("was not checked"), "{scanned}");
}

/// A bit of the newest file is turned, wherever: its decoder may stop, and no scan does.
#[test]
fn a_file_that_is_damaged_anywhere_stops_no_scan() {
    const TIMES: i64 = 40;
    let world = World::new();
    assert_eq!(world.scan([0, 1], Some(own())).code(), Some(0));
    for hour in 1..=TIMES {
        let files = files_below(&world.lake().join("activities"));
        let newest = files.iter().max_by_key(|file| file.file_name()).unwrap();
        let mut bytes = std::fs::read(newest).unwrap();
        let at = bytes.len() * usize::try_from(hour - 1).unwrap() / usize::try_from(TIMES).unwrap();
        bytes[at] ^= 1 << (hour % 8);
        std::fs::write(newest, bytes).unwrap();
        let scanned = world.scan([hour, hour + 1], Some(own()));
        assert_eq!(
            scanned.code(),
            Some(0),
            "byte {at} of {newest:?}: {scanned}"
        );
    }
}

/// A host that had nothing when it was changed has another tenant's records later.
#[test]
fn a_host_that_was_empty_when_it_was_changed_is_found_out() {
    let world = World::new();
    assert_eq!(world.scan([0, 1], Some(own())).code(), Some(0));
    world.is_at_another_host();
    let changed = world.scan_with(&["--change-host"], [1, 2], None);
    assert!(changed.text().contains("unchecked"), "{changed}");
    assert_eq!(changed.code(), Some(0), "{changed}");
    let refused = world.scan([2, 3], Some(other()));
    assert_eq!(refused.code(), Some(2), "{refused}");
    assert_eq!(world.exported(), 1);
}

/// The service's own number may be the same at another host.
#[test]
fn a_host_of_another_tenant_is_refused() {
    let own_number = json!({"aadTenantId": OTHER, "tenantId": 97_134_000});
    for foreign in [other(), own_number] {
        let world = World::new();
        assert_eq!(world.scan([0, 1], Some(own())).code(), Some(0));
        world.is_at_another_host();
        let before = files_below(&world.lake());
        let refused = world.scan_with(&["--change-host"], [1, 2], Some(foreign));
        let checked = world.check(&["--change-host"]);
        for (ended, advice) in [
            (&refused, "use another --lake for this tenant"),
            (&checked, "check the token"),
        ] {
            assert_eq!(ended.code(), Some(2), "{ended}");
            for said in [OTHER, advice] {
                assert!(ended.text().contains(said), "{ended}");
            }
        }
        assert_eq!(files_below(&world.lake()), before);
    }
}

/// A host that does not answer outlasts no signal.
#[test]
fn a_change_of_the_host_ends_with_a_signal() {
    let world = World::new();
    assert_eq!(world.scan([0, 1], Some(own())).code(), Some(0));
    world.is_at_another_host();
    let before = files_below(&world.lake());
    let (met, is_met) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let service = Script::start(move |_| {
        met.send(()).unwrap();
        let _ = released.lock().unwrap().recv();
        Said::new(200, "")
    });
    let mut scan = world.scan_of(&service, &["--change-host"], [1, 2]);
    let child = scan.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap();
    is_met.recv().unwrap();
    signal(child.id(), "INT");
    let output = child.wait_with_output().unwrap();
    drop(release);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["exit_code"], 130, "{report}");
    assert_eq!(files_below(&world.lake()), before);
}

/// Neither the newest record of the lake nor that of the new host speaks for all of them.
#[test]
fn an_odd_record_on_either_side_stops_no_change_of_the_host() {
    for (newest, lately) in [(own(), other()), (other(), own()), (json!({}), other())] {
        let world = World::new();
        assert_eq!(world.scan([0, 1], Some(own())).code(), Some(0));
        world.plan.lock().unwrap().lately = Some(own());
        assert_eq!(world.scan([1, 2], Some(newest)).code(), Some(0));
        world.is_at_another_host();
        world.plan.lock().unwrap().lately = Some(lately);
        let changed = world.scan_with(&["--change-host"], [2, 3], Some(own()));
        assert_eq!(changed.code(), Some(0), "{changed}");
        let both = format!("both have aadTenantId={OWN}");
        assert!(changed.text().contains(&both), "{changed}");
        assert_eq!(world.exported(), 3);
    }
}
