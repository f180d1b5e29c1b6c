//! `--metrics-file`: what is watched is what the report says, whatever a run comes to; and alerts and
//! dashboard name only what there is.

#![expect(
    clippy::float_cmp,
    reason = "it is the same number, written down twice"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mdca_lake::window::parse_time;
use mdca_sim::{At, Fault, SimOptions, What};
use serde_json::{Value, json};

use crate::support::process::{Ended, PROGRAM, Place};
use crate::support::readers;

fn read(mode: &str, file: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/metrics.py");
    let output = Command::new(readers::python())
        .arg(script)
        .arg(mode)
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", file.display());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The metrics of a file: each name with its own label, `rejects{not_an_object}`, and its value.
struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Those of a command over a lake, and no others.
    fn read(file: &Path, command: &str, lake: &Path) -> Self {
        let samples = read("text", file);
        let sample = |sample: &Value| {
            let mut labels = sample[1].as_object().unwrap().clone();
            assert_eq!(labels.remove("command"), Some(command.into()));
            assert_eq!(labels.remove("lake"), Some(lake.to_str().into()));
            let name = sample[0].as_str().unwrap().strip_prefix("mdca_lake_");
            let label = labels.values().next().and_then(Value::as_str);
            let label = label.map_or_else(String::new, |label| format!("{{{label}}}"));
            let value = sample[2].as_f64().unwrap();
            (format!("{}{label}", name.unwrap()), value)
        };
        Self(samples.as_array().unwrap().iter().map(sample).collect())
    }

    fn get(&self, name: &str) -> f64 {
        self.0
            .get(name)
            .copied()
            .unwrap_or_else(|| panic!("{name}: {:?}", self.0))
    }

    /// The names without labels.
    fn names(&self) -> BTreeSet<String> {
        let name = |name: &String| format!("mdca_lake_{}", name.split('{').next().unwrap());
        self.0.keys().map(name).collect()
    }

    /// They say what a report says.
    fn expect_of(&self, report: &Value) {
        let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64);
        for (name, pointer, unit) in [
            ("run_exit_code", "/exit_code", 1.0),
            ("run_duration_seconds", "/elapsed_s", 1.0),
            ("freshness_lag_seconds", "/standing/lag_s", 1.0),
            ("open_gaps", "/standing/gaps", 1.0),
            ("open_gap_seconds", "/standing/gap_s", 1.0),
            ("unproven_seconds", "/standing/unproven_s", 1.0),
            ("run_requests", "/requests", 1.0),
            ("run_throttle_wait_seconds", "/budget_wait_ms", 1_000.0),
            ("run_pages", "/pages", 1.0),
            ("run_records", "/records", 1.0),
            ("run_rows", "/rows", 1.0),
            ("run_repeats", "/repeats", 1.0),
            ("run_files", "/files", 1.0),
            ("run_received_bytes", "/bytes_in", 1.0),
            ("run_written_bytes", "/bytes_out", 1.0),
            ("run_uncleared_objects", "/not_cleared", 1.0),
            ("run_peak_memory_bytes", "/peak_memory_bytes", 1.0),
            ("run_compacted_files", "/files_before", 1.0),
            ("run_compacted_bytes", "/bytes_before", 1.0),
            ("run_merged_files", "/files_after", 1.0),
            ("run_merged_bytes", "/bytes_after", 1.0),
            ("table_version", "/table_version", 1.0),
        ] {
            let expected = number(pointer).map(|value| value / unit);
            assert_eq!(self.0.get(name).copied(), expected, "{name}: {report}");
        }
        for (name, pointer) in [
            ("run_slices", "/slices"),
            ("run_days", "/days"),
            ("run_answers", "/answers"),
            ("run_retries", "/retries"),
            ("run_store_retries", "/store_retries"),
            ("run_rejects", "/rejects"),
        ] {
            let label = |full: &String| {
                let label = full.strip_prefix(name)?.strip_prefix('{')?;
                Some(label.trim_end_matches('}').to_owned())
            };
            let labelled = |(full, value): (&String, &f64)| Some((label(full)?, *value));
            let found: BTreeMap<String, f64> = self.0.iter().filter_map(labelled).collect();
            let said = report.pointer(pointer).and_then(Value::as_object);
            let said = said.into_iter().flatten();
            let said = said.map(|(label, value)| (label.clone(), value.as_f64().unwrap()));
            assert_eq!(found, said.collect(), "{name}");
        }
        for (name, list) in [
            ("run_odd_values", "odd_values"),
            ("run_unknown_fields", "unknown_fields"),
        ] {
            let counts = report[list].as_array().map(|list| list.iter());
            let count = |each: &Value| each["count"].as_f64().unwrap();
            let sum = counts.map(|counts| counts.map(count).sum::<f64>());
            assert_eq!(self.0.get(name).copied(), sum, "{name}");
        }
        for (name, member) in [
            ("run_start_timestamp_seconds", "started"),
            ("watermark_timestamp_seconds", "watermark"),
        ] {
            let time = report.get(member).and_then(Value::as_str);
            let said = time.map(|time| parse_time(time, 0).unwrap());
            #[expect(clippy::cast_possible_truncation, reason = "a time")]
            let found = self.0.get(name).map(|time| (time * 1_000.0).round() as i64);
            assert_eq!(found, said, "{name}");
        }
    }
}

/// A place whose service throttles once and has a reject; a folder for metrics.
fn place() -> (Place, PathBuf) {
    let options = SimOptions {
        faults: vec![
            Fault::new(At::Record(3), What::null_row()).always(),
            Fault::new(At::Page(1), What::throttled(Some(1))),
        ],
        ..SimOptions::default()
    };
    let place = Place::new("2026-10-01T22:00:00Z", "2026-10-02T01:00:00Z", 40, options);
    let file = place.room().join("metrics/mdca-lake.prom");
    fs::create_dir(file.parent().unwrap()).unwrap();
    (place, file)
}

/// Nothing but the file lies beside it, and whoever collects may read it.
fn expect_alone(file: &Path) {
    let beside = fs::read_dir(file.parent().unwrap()).unwrap();
    let names: Vec<_> = beside.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names, [file]);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o444, 0o444);
}

#[test]
fn the_metrics_of_a_run_are_what_its_report_says() {
    let (place, file) = place();
    let lake = place.lake();
    let scan = |more: &mut dyn FnMut(&mut Command)| -> (Ended, Metrics) {
        let mut scan = lake.scan();
        scan.arg("--metrics-file").arg(&file);
        more(&mut scan);
        let ended = place.run(&mut scan);
        expect_alone(&file);
        let metrics = Metrics::read(&file, "scan", lake.path());
        assert_eq!(
            f64::from(ended.code().unwrap()),
            metrics.get("run_exit_code")
        );
        (ended, metrics)
    };
    let (refused, metrics) = scan(&mut |scan| {
        scan.env("MDCA_API_TOKEN", "another");
    });
    assert_eq!(refused.code(), Some(3), "{refused}");
    metrics.expect_of(&refused.report());
    assert_eq!(metrics.get("run_answers{401}"), 1.0);
    assert_eq!(metrics.get("run_failures{sign-in}"), 1.0);
    assert!(!metrics.0.contains_key("last_success_timestamp_seconds"));
    let mut names = metrics.names();

    let (good, metrics) = scan(&mut |_| {});
    assert_eq!(good.code(), Some(0), "{good}");
    metrics.expect_of(&good.report());
    assert_eq!(metrics.get("run_answers{429}"), 1.0);
    assert!(metrics.get("run_throttle_wait_seconds") >= 1.0);
    assert_eq!(metrics.get("run_rejects{not_an_object}"), 1.0);
    assert_eq!(metrics.get("run_slices{committed}"), 3.0);
    let last_success = metrics.get("last_success_timestamp_seconds");
    assert_eq!(last_success, metrics.get("run_end_timestamp_seconds"));
    let watermark = metrics.get("watermark_timestamp_seconds");
    names.extend(metrics.names());

    // Refused before there is a report, by the service, and by a signal.
    let (wrong, metrics) = scan(&mut |scan| {
        scan.args(["--slice", "2h"]);
    });
    assert_eq!(wrong.code(), Some(2), "{wrong}");
    assert_eq!(metrics.get("last_success_timestamp_seconds"), last_success);
    let (unread, metrics) = scan(&mut |scan| {
        scan.args(["--filters", "{"]);
    });
    assert_eq!(unread.code(), Some(2), "{unread}");
    assert_eq!(metrics.get("last_success_timestamp_seconds"), last_success);
    let kept = |metrics: &Metrics| {
        assert_eq!(metrics.0.len(), 4, "{:?}", metrics.0);
        assert_eq!(metrics.get("run_exit_code"), 2.0);
        assert_eq!(metrics.get("last_success_timestamp_seconds"), last_success);
        assert_eq!(metrics.get("watermark_timestamp_seconds"), watermark);
    };
    kept(&metrics);
    // What the parser itself refuses, of a flag and of a variable.
    let (refused, metrics) = scan(&mut |scan| {
        scan.args(["--parallel", "0"]);
    });
    assert_eq!(refused.code(), Some(2), "{refused}");
    kept(&metrics);
    // A run that was to plan alone writes nothing.
    fs::write(&file, "kept").unwrap();
    for dry_run in ["true", "1"] {
        let mut plan = lake.scan();
        plan.args(["--parallel", "0"]).env("MDCA_DRY_RUN", dry_run);
        let refused = place.run(plan.arg("--metrics-file").arg(&file));
        assert_eq!(refused.code(), Some(2), "{refused}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    }
    fs::remove_file(&file).unwrap();
    let (refused, metrics) = scan(&mut |scan| {
        scan.env("MDCA_PARALLEL", "x");
    });
    assert_eq!(refused.code(), Some(2), "{refused}");
    assert_eq!(metrics.0.len(), 2, "{:?}", metrics.0);
    expect_named(&names);
}

/// Alerts and dashboard name no metric but these.
fn expect_named(known: &BTreeSet<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let alerts = read("alerts", &root.join("deploy/prometheus/alerts.yml"));
    let dashboard = read("dashboard", &root.join("deploy/grafana/mdca-lake.json"));
    let all: Vec<&Value> = [&alerts, &dashboard]
        .into_iter()
        .flat_map(|each| each.as_array().unwrap())
        .collect();
    assert!(all.len() > 20, "{}", all.len());
    for each in &all {
        let named = each[3].as_array().unwrap();
        assert!(!named.is_empty(), "{each}");
        for name in named {
            assert!(known.contains(name.as_str().unwrap()), "{each}: {known:?}");
        }
    }
    for alert in alerts.as_array().unwrap() {
        let severity = &alert[1]["severity"];
        assert!(["info", "warning", "critical"].contains(&severity.as_str().unwrap()));
        assert!(alert[2]["summary"].is_string(), "{alert}");
    }
    let places: BTreeSet<String> = dashboard
        .as_array()
        .unwrap()
        .iter()
        .map(|panel| panel[1].to_string())
        .collect();
    assert_eq!(
        places.len(),
        dashboard.as_array().unwrap().len(),
        "panels cover each other"
    );
}

#[test]
fn a_run_that_is_interrupted_leaves_metrics() {
    let (place, file) = place();
    let lake = place.lake();
    let mut scan = lake.scan();
    scan.env("MDCA_REQUESTS_PER_MINUTE", "1")
        .env("MDCA_METRICS_FILE", &file);
    let mut running = place.start(&mut scan);
    assert!(running.until("begin", |_| lake.path().join("_mdca/lake.json").is_file()));
    running.signal("TERM");
    let ended = running.wait();
    assert_eq!(ended.code(), Some(130), "{ended}");
    let metrics = Metrics::read(&file, "scan", lake.path());
    metrics.expect_of(&ended.report());
    assert_eq!(metrics.get("run_failures{interrupted}"), 1.0);
    expect_alone(&file);
}

#[test]
fn a_conversion_leaves_metrics() {
    let (place, file) = place();
    let lake = place.lake();
    let input = place.room().join("one.json");
    let activity = json!({"_id": "one", "timestamp": 1_790_000_000_000_i64, "new": 1});
    fs::write(&input, json!([activity, null]).to_string()).unwrap();
    let mut convert = lake.command("convert");
    convert
        .arg(&input)
        .args(["--report", "json"])
        .arg("--metrics-file")
        .arg(&file);
    let ended = place.run(&mut convert);
    assert_eq!(ended.code(), Some(0), "{ended}");
    let metrics = Metrics::read(&file, "convert", lake.path());
    metrics.expect_of(&ended.report());
    assert_eq!(metrics.get("run_slices{committed}"), 1.0);
    assert_eq!(metrics.get("run_unknown_fields"), 1.0);
}

#[test]
fn a_compaction_leaves_metrics_and_its_plan_none() {
    let (place, file) = place();
    let lake = place.lake();
    assert_eq!(place.run(&mut lake.scan()).code(), Some(0));
    for (flag, writes) in [("--dry-run", false), ("--single-writer", true)] {
        let mut compact = lake.command("compact");
        compact.args(["--before", "0s", "--report", "json", flag]);
        let ended = place.run(compact.arg("--metrics-file").arg(&file));
        assert_eq!(ended.code(), Some(0), "{ended}");
        assert_eq!(file.exists(), writes);
        if writes {
            let metrics = Metrics::read(&file, "compact", lake.path());
            metrics.expect_of(&ended.report());
            assert!(metrics.get("run_days{compacted}") > 0.0);
            assert!(metrics.get("table_version") > 0.0);
        }
    }
}

#[test]
fn a_file_that_cannot_be_written_is_said_before_anything_is_done() {
    let (place, file) = place();
    let folder = file.parent().unwrap();
    fs::write(folder.join("a-file"), "").unwrap();
    let missing = folder.join("missing/mdca-lake.prom");
    // A pipe would be waited for, or be replaced by a file.
    let pipe = folder.join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for path in [
        &missing,
        &folder.join("a-file/x.prom"),
        &folder.to_owned(),
        &pipe,
    ] {
        for command in ["scan", "check", "convert", "compact"] {
            let lake = place.lake();
            let mut command = match command {
                "scan" => lake.scan(),
                "convert" => {
                    let mut convert = lake.command("convert");
                    convert.arg("nothing.json");
                    convert
                }
                "compact" => lake.command("compact"),
                command => {
                    let mut check = lake.command(command);
                    check.args(["--api-url", &place.sim.url()]);
                    check
                }
            };
            let ended = place.run(command.arg("--metrics-file").arg(path));
            assert_eq!(ended.code(), Some(2), "{ended}");
            let text = ended.text();
            assert!(
                text.contains(&format!("cannot write the metrics file {}", path.display())),
                "{text}"
            );
            assert!(text.contains("MDCA_METRICS_FILE"), "{text}");
            assert!(!lake.path().exists());
        }
    }
    assert_eq!(place.sim.requests().len(), 0);
    // What a link leads to is written, and the link stays.
    let (target, link) = (folder.join("target.prom"), folder.join("link.prom"));
    fs::write(&target, "").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let other = place.lake_at(folder.join("other"));
    let ran = place.run(other.scan().arg("--metrics-file").arg(&link));
    assert_eq!(ran.code(), Some(0), "{ran}");
    assert!(link.is_symlink() && fs::read_to_string(&target).unwrap().contains("mdca_lake"));

    let lake = place.lake();
    let planned = place.run(
        lake.scan()
            .arg("--dry-run")
            .arg("--metrics-file")
            .arg(&file),
    );
    assert_eq!(planned.code(), Some(0), "{planned}");
    assert!(!file.exists());
}

#[test]
fn a_file_of_anything_else_is_never_overwritten() {
    let (place, file) = place();
    let lake = place.lake();
    assert_eq!(place.run(&mut lake.scan()).code(), Some(0));
    fs::write(&file, "a token\n").unwrap();
    let requests = place.sim.requests().len();
    for path in [&file, &lake.path().join("_mdca/lake.json")] {
        let before = fs::read(path).unwrap();
        let ended = place.run(lake.scan().arg("--metrics-file").arg(path));
        assert_eq!(ended.code(), Some(2), "{ended}");
        let said = "it holds something else than metrics of this program";
        assert!(ended.text().contains(said), "{ended}");
        // A command line that is refused leaves metrics as well.
        let refused = place.run(
            lake.scan()
                .arg("--metrics-file")
                .arg(path)
                .arg("--nonsense"),
        );
        assert_eq!(refused.code(), Some(2), "{refused}");
        assert_eq!(fs::read(path).unwrap(), before);
    }
    assert_eq!(place.sim.requests().len(), requests);
}

#[test]
fn no_secret_of_a_location_is_a_label() {
    let (place, file) = place();
    let mut scan = Command::new(PROGRAM);
    scan.args(["scan", "--api-url", &place.sim.url()])
        .args(["--lake", "s3://key:hunter2@bucket/lake"])
        .env("MDCA_API_TOKEN", "sim-token")
        .arg("--metrics-file")
        .arg(&file);
    let ended = place.run(&mut scan);
    assert_eq!(ended.code(), Some(2), "{ended}");
    let text = fs::read_to_string(&file).unwrap() + &ended.text();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("lake=\"s3://…\"} 2\n"), "{text}");
}
