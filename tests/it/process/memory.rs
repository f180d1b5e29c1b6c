//! How much memory the real program takes for records that are made to take much.

use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

use mdca_sim::{At, Fault, SimOptions, What};
use serde_json::Value;

use crate::support::process::{PROGRAM, Place};
use crate::support::script::{Asked, Said, Script};

const MIB: u64 = 1024 * 1024;
/// The odd record's size.
const BYTES: usize = 8 * 1024 * 1024;
/// The default of `--memory-limit`, and what the documents allow beside it: twice the largest page.
const ALLOWED: u64 = 256 * MIB + 2 * (BYTES as u64 + MIB);

fn list_of(element: &str) -> String {
    format!(
        "[{element}{}]",
        format!(",{element}").repeat(BYTES / (element.len() + 1))
    )
}

/// An object whose values are lists as long as are just taken apart.
fn lists_of(element: &str) -> String {
    let list = format!("[{element}{}]", format!(",{element}").repeat((1 << 16) - 1));
    let items = vec![format!("{{\"tags\":{list}}}"); BYTES / list.len()];
    format!("[{}]", items.join(","))
}

fn object_of_keys() -> String {
    let members: Vec<String> = (0..BYTES / 12).map(|n| format!("\"{n:07}\":1")).collect();
    format!("{{{}}}", members.join(","))
}

/// One record of 8 MB, whatever is in it, is a row like the others, within the limit.
#[test]
fn a_large_record_takes_no_more_than_its_share() {
    let shapes = [
        ("/mainInfo/eventObjects", list_of("1")),
        ("/mainInfo/eventObjects", list_of("{}")),
        ("/mainInfo/eventObjects", lists_of("1")),
        ("/mainInfo/eventObjects", lists_of("[]")),
        ("/classifications", list_of("1")),
        ("/user", object_of_keys()),
        ("/description", format!("\"{}\"", "\\n".repeat(BYTES / 2))),
        ("/rawDataJson", list_of("1")),
    ];
    for (path, value) in shapes {
        let begin = value[..20].to_owned();
        let options = SimOptions {
            faults: vec![Fault::new(At::Record(3), What::set(path, &value)).always()],
            ..SimOptions::default()
        };
        let place = Place::new("2026-10-01T23:00:00Z", "2026-10-02T01:00:00Z", 40, options);
        let lake = place.lake();
        let ended = place.run(lake.scan().args(["--parallel", "1"]));
        assert_eq!(ended.code(), Some(0), "{ended}");
        lake.expect_exact(path);
        let report = ended.report();
        let peak = report["peak_memory_bytes"].as_u64().unwrap();
        println!("{path} {begin}… took {} MiB", peak / MIB);
        assert!(peak < ALLOWED, "{path} {begin}… took {} MiB", peak / MIB);
    }
}

/// A record is saved so often.
const EVERY_MS: i64 = 60;

/// A page of a tenant whose records are as small as can be.
fn page_of_many(asked: &Asked) -> Said {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let filters = &body["filters"];
    let bound = |name: &str| filters["created"][name].as_i64().unwrap_or(0);
    let limit = body["limit"].as_i64().unwrap_or(1);
    let page = filters["page"].as_i64().unwrap_or(0);
    let first = (bound("gte") + EVERY_MS - 1).div_euclid(EVERY_MS) + page * limit;
    let end = bound("lte").div_euclid(EVERY_MS) + 1;
    let mut data = String::new();
    for number in first..end.min(first + limit) {
        let time_ms = number * EVERY_MS;
        let comma = if data.is_empty() { "" } else { "," };
        write!(
            data,
            r#"{comma}{{"_id":"i{number}","timestamp":{time_ms},"created":{time_ms}}}"#
        )
        .unwrap();
    }
    let next = if first + limit < end {
        let page = page + 1;
        let created = &filters["created"];
        format!(r#","hasNext":true,"nextQueryFilters":{{"created":{created},"page":{page}}}"#)
    } else {
        r#","hasNext":false"#.to_owned()
    };
    Said::new(200, format!(r#"{{"data":[{data}]{next}}}"#))
}

/// The most memory that a scan takes whose slices have 60,000 records each, with the least limit there is.
fn peak_of_slices(service: &Script, hours: u64, parallel: usize) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(PROGRAM)
        .args(["scan", "--api-url", &service.url(), "--lake"])
        .arg(folder.path().join("lake"))
        .args(["--from", &format!("{hours}h"), "--settle", "0s"])
        .args(["--parallel", &parallel.to_string()])
        .args(["--memory-limit", "32MiB", "--requests-per-minute", "0"])
        .args(["--report", "json", "--progress", "never"])
        .env("MDCA_API_TOKEN", "sim-token")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let slices = report["slices"]["committed"].as_u64().unwrap();
    assert!(slices >= hours - 1, "{report}");
    assert_eq!(report["rows"], slices * 60_000, "{report}");
    let peak = report["peak_memory_bytes"].as_u64().unwrap();
    println!("{slices} slices, {parallel} at once: {} MiB", peak / MIB);
    peak
}

/// What tells the records of a slice apart is of the memory that all slices share: where it would grow
/// too large, the oldest slice goes on alone.
#[test]
fn many_slices_at_once_take_little_more_memory_than_one() {
    let service = Script::start(page_of_many);
    let alone = peak_of_slices(&service, 2, 1);
    let many = peak_of_slices(&service, 17, 16);
    assert!(many < alone + 32 * MIB, "{} MiB", many / MIB);
}

/// A record's text has so many bytes.
const TEXT_BYTES: usize = 48 * 1024;
/// A file has so many records, each a minute after the one before.
const RECORDS: i64 = 100;

/// The most memory that an export of so many files takes whose records are of the same hours. They come in the
/// order of time.
fn peak_of_export(files: i64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let (saved, lake) = (folder.path().join("saved"), folder.path().join("lake"));
    fs::create_dir(&saved).unwrap();
    for file in 0..files {
        let mut text = String::new();
        for number in 0..RECORDS {
            let time_ms = 1_759_000_000_000 + number * 60_000 + file;
            let long = format!("{:08x}", time_ms * 7_919).repeat(TEXT_BYTES / 8);
            writeln!(
                text,
                r#"{{"_id":"{file}-{number}","timestamp":{time_ms},"description":"{long}"}}"#
            )
            .unwrap();
        }
        fs::write(saved.join(format!("{file}.ndjson")), text).unwrap();
    }
    let converted = Command::new(PROGRAM)
        .args(["convert", "--progress", "never"])
        .arg(&saved)
        .arg("--lake")
        .arg(&lake)
        .output()
        .unwrap();
    assert_eq!(converted.status.code(), Some(0), "{converted:?}");
    let mut export = Command::new(PROGRAM)
        .args(["export", "--lake"])
        .arg(&lake)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", export.id());
    let mut out = export.stdout.take().unwrap();
    let (mut times, mut line, mut peak) = (Vec::new(), String::new(), 0);
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        let read = out.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        line.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        while let Some((whole, rest)) = line.split_once('\n') {
            let record: Value = serde_json::from_str(whole).unwrap();
            times.push(record["timestamp"].as_i64().unwrap());
            line = rest.to_owned();
        }
        // It can end while it is asked.
        let status = fs::read_to_string(&status).unwrap_or_default();
        let held = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = held.and_then(|held| held.split_whitespace().next()?.parse().ok());
        peak = peak.max(kib.unwrap_or(0) * 1024);
    }
    assert!(export.wait().unwrap().success());
    let all: Vec<i64> = (0..RECORDS)
        .flat_map(|number| (0..files).map(move |file| 1_759_000_000_000 + number * 60_000 + file))
        .collect();
    assert_eq!(times, all);
    println!("{files} files: {} MiB", peak / MIB);
    peak
}

/// Where more row groups overlap than may be open, the records of the others wait as text, on the disk.
#[test]
fn an_export_of_many_files_of_the_same_hours_takes_little_more_memory_than_of_some() {
    let some = peak_of_export(30);
    let many = peak_of_export(90);
    assert!(
        many < some + 64 * MIB,
        "{} to {} MiB",
        some / MIB,
        many / MIB
    );
}
