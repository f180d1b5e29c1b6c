//! Saved files become a lake.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use mdca_sim::{ClockField, SimOptions, Tenant, TenantOptions};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::{PROGRAM, Place, signal};
use crate::support::readers;
use crate::support::scenario::{assert_same, at, files_below};

/// The exact texts of some activities, and room for files and lakes.
struct Desk {
    records: Vec<String>,
    room: TempDir,
}

/// What a run of the program came to.
struct Ran {
    code: i32,
    report: Value,
    text: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        Self {
            code: output.status.code().unwrap(),
            report: serde_json::from_str(&stdout).unwrap_or_default(),
            text: stdout + &String::from_utf8_lossy(&output.stderr),
        }
    }

    fn number(&self, pointer: &str) -> u64 {
        let number = self.report.pointer(pointer).and_then(Value::as_u64);
        number.unwrap_or_else(|| panic!("{pointer}: {}", self.text))
    }

    /// Planned, committed, skipped, failed.
    fn tally(&self) -> [u64; 4] {
        ["planned", "committed", "skipped", "failed"]
            .map(|which| self.number(&format!("/slices/{which}")))
    }
}

impl Desk {
    fn with(activities: u64) -> Self {
        let (from_ms, until_ms) = (at("2026-11-18"), at("2026-11-20"));
        let tenant = Tenant::generate(&TenantOptions {
            activities,
            from_ms,
            until_ms,
            ..TenantOptions::default()
        });
        let records = tenant.records(ClockField::Created, from_ms..until_ms);
        Self {
            records: records.into_iter().map(|record| record.json).collect(),
            room: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn command(&self, lake: &str, inputs: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .current_dir(self.room.path())
            .args(["convert", "--lake", lake, "--report", "json"])
            .args(inputs)
            .stdin(Stdio::null());
        command
    }

    fn convert(&self, lake: &str, inputs: &[&str]) -> Ran {
        Ran::of(&self.command(lake, inputs).output().unwrap())
    }

    /// The ids of a lake's rows, as others' readers see them, sorted.
    fn ids(&self, lake: &str) -> Vec<String> {
        let rows = readers::rows(&self.path(lake));
        rows.into_iter().map(|(id, _, _)| id).collect()
    }

    fn expect_whole(&self, lake: &str) {
        let mut command = Command::new(PROGRAM);
        command.args(["verify", "--deep", "--lake"]);
        let verified = Ran::of(&command.arg(self.path(lake)).output().unwrap());
        assert_eq!(verified.code, 0, "{}", verified.text);
        assert_eq!(
            files_below(&self.path(lake).join("_mdca/staging")),
            Vec::<PathBuf>::new()
        );
        assert_eq!(
            files_below(&self.path(lake).join("_mdca/attempts")),
            Vec::<PathBuf>::new()
        );
    }
}

fn ids_of(records: &[String]) -> Vec<String> {
    let id = |record: &String| -> Option<String> {
        let record: Value = serde_json::from_str(record).ok()?;
        Some(record["_id"].as_str()?.to_owned())
    };
    let mut ids: Vec<String> = records.iter().filter_map(id).collect();
    ids.sort();
    ids
}

fn page(records: &[String]) -> String {
    format!(
        r#"{{"data":[{}],"hasNext":false,"total":{}}}"#,
        records.join(","),
        records.len()
    )
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// A text as it is, and packed.
fn packings(text: &str) -> [(&'static str, Vec<u8>); 3] {
    let bytes = text.as_bytes();
    [
        ("plain", bytes.to_vec()),
        ("gz", gzip(bytes)),
        ("zst", zst(bytes)),
    ]
}

/// The same records in every form that is known, some of them in several pages.
fn forms(records: &[String]) -> Vec<(&'static str, String)> {
    let half = records.len() / 2;
    let pretty = |record: &String| {
        let value: Value = serde_json::from_str(record).unwrap();
        serde_json::to_string_pretty(&value).unwrap()
    };
    let plain: Vec<String> = records.iter().map(pretty).collect();
    vec![
        ("page", page(records)),
        (
            "pages",
            page(&records[..half]) + "\n" + &page(&records[half..]),
        ),
        ("array", format!("[{}]\n", records.join(",\n "))),
        ("lines", records.join("\n") + "\n"),
        ("lines without an end", records.join("\n")),
        ("pretty", plain.join("\n")),
    ]
}

#[test]
fn an_export_that_is_converted_has_the_rows_of_the_scan_in_every_column() {
    let place = Place::new(
        "2026-11-18",
        "2026-11-18T06:00:00Z",
        900,
        SimOptions::default(),
    );
    for keep_raw in [false, true] {
        let flags: &[&str] = if keep_raw { &["--keep-raw"] } else { &[] };
        let lake = place.lake();
        let scanned = place.run(lake.scan().args(flags));
        assert_eq!(scanned.code(), Some(0), "{scanned}");
        let exported = lake.command("export").output().unwrap();
        let desk = Desk::with(0);
        desk.write("all.ndjson", &exported.stdout);
        let ran = Ran::of(
            &desk
                .command("out", &["all.ndjson"])
                .args(flags)
                .output()
                .unwrap(),
        );
        assert_eq!(ran.code, 0, "{}", ran.text);
        let rows = readers::same_rows(lake.path(), &desk.path("out"), keep_raw);
        assert_eq!(rows, place.expected_ids().len() as u64);
        desk.expect_whole("out");
        let again = Command::new(PROGRAM)
            .args(["export", "--lake"])
            .arg(desk.path("out"))
            .output()
            .unwrap();
        assert_eq!(sorted_lines(&again.stdout), sorted_lines(&exported.stdout));
    }
}

fn sorted_lines(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn every_form_and_packing_of_the_same_records_gives_the_same_rows() {
    let desk = Desk::with(300);
    let expected = ids_of(&desk.records);
    let mut first: Option<PathBuf> = None;
    for (form, text) in forms(&desk.records) {
        for (packing, bytes) in packings(&text) {
            // The name says nothing of what is inside.
            let name = format!("{form} {packing}.dat");
            desk.write(&name, bytes);
            let lake = format!("lake {form} {packing}");
            let ran = desk.convert(&lake, &[&name]);
            assert_eq!(ran.code, 0, "{name}: {}", ran.text);
            assert_eq!(ran.tally(), [1, 1, 0, 0], "{name}: {}", ran.text);
            assert_same(&desk.ids(&lake), &expected);
            desk.expect_whole(&lake);
            if form == "pretty" {
                // What is kept as text has other white space.
                continue;
            }
            let first = first.get_or_insert_with(|| desk.path(&lake));
            let rows = readers::same_rows(first, &desk.path(&lake), false);
            assert_eq!(rows, desk.records.len() as u64, "{name}");
        }
    }
}

#[test]
fn a_file_is_converted_once_whatever_its_name() {
    let desk = Desk::with(60);
    desk.write("a.json", page(&desk.records[..30]));
    desk.write("b.json", page(&desk.records[30..]));
    desk.write("copy of a.json", page(&desk.records[..30]));
    let ran = desk.convert(
        "lake",
        &["a.json", "b.json", "copy of a.json", "./a.json", "a.json"],
    );
    assert_eq!((ran.code, ran.tally()), (0, [4, 2, 0, 0]), "{}", ran.text);
    assert_eq!(ran.number("/slices/repeated"), 2, "{}", ran.text);
    assert_same(&desk.ids("lake"), &ids_of(&desk.records));
    fs::rename(desk.path("b.json"), desk.path("c.json")).unwrap();
    let more = Desk::with(90);
    desk.write("d.json", page(&more.records[60..]));
    let ran = desk.convert("lake", &["a.json", "c.json", "d.json"]);
    assert_eq!((ran.code, ran.tally()), (0, [3, 1, 2, 0]), "{}", ran.text);
    desk.expect_whole("lake");
}

#[test]
fn a_record_that_comes_again_in_a_file_is_a_row_once() {
    let desk = Desk::with(40);
    let twice = [&desk.records[..], &desk.records[..10]].concat();
    desk.write("twice.ndjson", twice.join("\n"));
    let ran = desk.convert("lake", &["twice.ndjson"]);
    assert_eq!((ran.code, ran.number("/repeats")), (0, 10), "{}", ran.text);
    assert_same(&desk.ids("lake"), &ids_of(&desk.records));
}

/// Such a file is read twice, and the files behind it are told apart by their JSON from the beginning.
#[test]
fn a_record_that_comes_again_spelled_otherwise_is_a_row_once() {
    let desk = Desk::with(6_000);
    let respelled = |record: &String| format!("{{ {}", &record[1..]);
    let changed = |record: &String| format!("{{\"changed\":1,{}", &record[1..]);
    for (name, records) in [("a", &desk.records[..3_000]), ("b", &desk.records[3_000..])] {
        let spelled = records[..10].iter().map(respelled);
        let others: Vec<String> = records[10..15].iter().map(changed).collect();
        let others_again = others.iter().map(respelled);
        let lines: Vec<String> = records
            .iter()
            .cloned()
            .chain(spelled)
            .chain(others.clone())
            .chain(others_again)
            .collect();
        desk.write(&format!("in/{name}.ndjson"), lines.join("\n"));
    }
    // A row group is full long before the first record comes again.
    let flags = ["-v", "--memory-limit", "32MiB", "--parallel", "1", "in"];
    let ran = desk.convert("lake", &flags);
    assert_eq!((ran.code, ran.tally()), (0, [2, 2, 0, 0]), "{}", ran.text);
    let counts = ["/repeats", "/changed_repeats"].map(|count| ran.number(count));
    assert_eq!(counts, [30, 10], "{}", ran.text);
    let bytes: u64 = ["in/a.ndjson", "in/b.ndjson"]
        .map(|name| fs::metadata(desk.path(name)).unwrap().len())
        .iter()
        .sum();
    assert_eq!(ran.number("/bytes_in"), bytes, "{}", ran.text);
    let once_more = ran.text.matches("reading once more").count();
    assert_eq!(once_more, 1, "{}", ran.text);
    let twice = [&desk.records[10..15], &desk.records[3_010..3_015]].concat();
    assert_same(
        &desk.ids("lake"),
        &ids_of(&[&desk.records[..], &twice].concat()),
    );
    desk.expect_whole("lake");
}

/// Cut anywhere, a file is a failed file that is named with the place, and nothing of it is seen; the
/// others are committed. A cut between two lines is none.
#[test]
fn a_file_that_is_cut_anywhere_fails_alone() {
    let desk = Desk::with(24);
    let good = page(&desk.records[..12]);
    desk.write("good.json", &good);
    let kept = ids_of(&desk.records[..12]);
    let (mut failed, mut whole) = (0, 0);
    for (form, text) in forms(&desk.records[12..]) {
        for (packing, bytes) in packings(&text) {
            for tenth in 1..8 {
                let cut = bytes.len() * tenth / 8 + tenth % 3;
                let name = format!("cut {form} {packing} {tenth}");
                desk.write(&name, &bytes[..cut]);
                let lake = format!("lake of {name}");
                let ran = desk.convert(&lake, &["good.json", &name]);
                let is_whole_text = packing == "plain" && {
                    let rest = text[..cut].trim_end();
                    rest.len() == text.trim_end().len()
                        || form.starts_with("lines")
                            && rest.ends_with('}')
                            && text[rest.len()..].starts_with('\n')
                };
                if is_whole_text {
                    assert_eq!(ran.code, 0, "{name}: {}", ran.text);
                    whole += 1;
                    continue;
                }
                assert_eq!(
                    (ran.code, ran.tally()),
                    (5, [2, 1, 0, 1]),
                    "{name}: {}",
                    ran.text
                );
                let failure = &ran.report["failures"][0];
                assert_eq!(failure["input"], name.as_str(), "{}", ran.text);
                let error = failure["error"].as_str().unwrap();
                assert!(error.contains("byte "), "{error}");
                if packing == "plain" {
                    assert!(
                        error.ends_with(&format!("breaks off at byte {cut}")),
                        "{error}"
                    );
                }
                assert_same(&desk.ids(&lake), &kept);
                desk.expect_whole(&lake);
                failed += 1;
            }
        }
    }
    println!("{failed} cut files failed, {whole} cuts were between lines");
    assert!(failed > 100);
}

#[test]
fn broken_files_are_named_with_the_place_and_the_others_go_on() {
    let desk = Desk::with(10);
    let good = page(&desk.records);
    desk.write("good.json", &good);
    let array = format!("[{}]", desk.records.join(","));
    for (name, text, place) in [
        ("no JSON", "activities,by,day\n1,2,3\n".to_owned(), 0),
        ("behind", format!("{good} more"), good.len() + 1),
        ("twice closed", format!("{array}]"), array.len()),
        ("zeros", format!("{array}\0\0\0"), array.len()),
        (
            "no comma",
            format!("[{} {}]", desk.records[0], desk.records[1]),
            desk.records[0].len() + 2,
        ),
        (
            "two data",
            good.replacen("\"total\"", "\"data\"", 1),
            good.find(",\"total\"").unwrap(),
        ),
        ("pages in an array", format!("[{good},{good}]"), 1),
        (
            "a page behind a record",
            format!("{}\n{}\n{good}\n", desk.records[0], desk.records[1]),
            desk.records[0].len() + desk.records[1].len() + 2,
        ),
    ] {
        desk.write(name, &text);
        let lake = format!("lake {name}");
        let ran = desk.convert(&lake, &[name, "good.json"]);
        assert_eq!(
            (ran.code, ran.tally()),
            (5, [2, 1, 0, 1]),
            "{name}: {}",
            ran.text
        );
        let error = ran.report["failures"][0]["error"].as_str().unwrap();
        assert!(
            error.contains(name) && error.ends_with(&format!("byte {place}")),
            "{error}, {place}"
        );
        assert_same(&desk.ids(&lake), &ids_of(&desk.records));
        desk.expect_whole(&lake);
    }
}

#[test]
fn a_file_of_another_kind_is_called_what_it_is_and_the_others_go_on() {
    let desk = Desk::with(10);
    desk.write("good.json", page(&desk.records));
    let text = desk.records.join("\n");
    let utf_16 = |order: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("\u{feff}{text}")
            .encode_utf16()
            .flat_map(order)
            .collect()
    };
    for (bytes, said, advice) in [
        (utf_16(u16::to_le_bytes), "it is UTF-16 text", "as UTF-8"),
        (utf_16(u16::to_be_bytes), "it is UTF-16 text", "as UTF-8"),
        (
            gzip(&utf_16(u16::to_le_bytes)),
            "it is UTF-16 text",
            "as UTF-8",
        ),
        (
            gzip(&gzip(text.as_bytes())),
            "it is packed twice",
            "unpack it first",
        ),
        (
            b"PK\x03\x04\x14\0".to_vec(),
            "it is a zip archive",
            "unpack it first",
        ),
        (b"PAR1\x15\x04".to_vec(), "it is a Parquet file", "export"),
    ] {
        desk.write("odd", bytes);
        let ran = desk.convert("lake", &["odd", "good.json"]);
        assert_eq!(ran.code, 5, "{}", ran.text);
        let failure = &ran.report["failures"][0];
        assert!(
            failure["error"].as_str().unwrap().contains(said),
            "{failure}"
        );
        assert!(
            failure["advice"].as_str().unwrap().contains(advice),
            "{failure}"
        );
        assert_same(&desk.ids("lake"), &ids_of(&desk.records));
    }
}

#[test]
fn a_record_that_cannot_be_a_row_costs_only_itself() {
    let desk = Desk::with(30);
    let bad = [
        "{\"_id\":\"x\",\"timestamp\":NaN}",
        "17",
        "{\"timestamp\":1}",
        "{\"_id\":\"x\",\"timestamp\":01}",
    ];
    for (form, separator) in [("lines", "\n"), ("array", ",")] {
        let mut records: Vec<&str> = desk.records.iter().map(String::as_str).collect();
        for (n, bad) in bad.iter().enumerate() {
            records.insert(1 + 7 * n, bad);
        }
        let mut text = records.join(separator);
        if form == "array" {
            text = format!("[{text}]");
        } else {
            // Its end cannot be told, but that of its line can.
            text += "\n{\"_id\":\"x\"]\n";
        }
        desk.write(form, text);
        let lake = format!("lake {form}");
        let ran = desk.convert(&lake, &[form]);
        assert_eq!(ran.code, 0, "{}", ran.text);
        let rejects = files_below(&desk.path(&lake).join("_mdca/rejects"));
        let lines = fs::read_to_string(&rejects[0]).unwrap();
        let found: Vec<(u64, String)> = lines
            .lines()
            .map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                (
                    line["record"].as_u64().unwrap(),
                    line["text"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        for (n, bad) in bad.iter().enumerate() {
            assert!(
                found.contains(&(1 + 7 * n as u64, (*bad).to_owned())),
                "{found:?}"
            );
        }
        assert_eq!(found.len(), if form == "array" { 4 } else { 5 });
        assert_same(&desk.ids(&lake), &ids_of(&desk.records));
        desk.expect_whole(&lake);
        let strict = Ran::of(
            &desk
                .command("strict", &[form])
                .args(["--on-reject", "fail"])
                .output()
                .unwrap(),
        );
        assert_eq!(
            (strict.code, strict.tally()),
            (5, [1, 0, 0, 1]),
            "{}",
            strict.text
        );
    }
}

#[test]
fn bytes_that_are_no_text_are_kept() {
    let desk = Desk::with(20);
    let mut bytes = page(&desk.records).into_bytes();
    let needle = b"\"_id\":\"";
    let at = bytes
        .windows(needle.len())
        .position(|bytes| bytes == needle)
        .unwrap();
    bytes[at + needle.len() + 2] = 0xff;
    desk.write("odd.json", &bytes);
    let ran = desk.convert("lake", &["odd.json"]);
    assert_eq!(ran.code, 0, "{}", ran.text);
    assert_eq!(ran.number("/rejects/invalid_utf8"), 1, "{}", ran.text);
    assert_eq!(ran.number("/rows"), 20, "{}", ran.text);
    desk.expect_whole("lake");
}

#[test]
fn clocks_in_seconds_are_counted() {
    let desk = Desk::with(0);
    let line = |id: u32| {
        format!("{{\"_id\":\"{id}\",\"timestamp\":1795000000000,\"created\":1795000000}}\n")
    };
    desk.write("seconds.ndjson", [line(1), line(2), line(2)].concat());
    let ran = desk.convert("lake", &["seconds.ndjson"]);
    assert_eq!(ran.code, 0, "{}", ran.text);
    assert_eq!(ran.number("/rows"), 2, "{}", ran.text);
    assert_eq!(
        ran.report["odd_values"][0]["path"], "created",
        "{}",
        ran.text
    );
    assert_eq!(ran.number("/odd_values/0/count"), 3, "{}", ran.text);
    desk.expect_whole("lake");
}

/// Two ids that differ in a byte that is no UTF-8 look alike as text: one is a row, and the bytes of both are kept.
#[test]
fn records_that_differ_in_bytes_that_are_no_text_are_all_kept() {
    let desk = Desk::with(0);
    let line = |byte: u8| {
        let mut line = b"{\"_id\":\"Andr".to_vec();
        line.push(byte);
        line.extend_from_slice(b"\",\"timestamp\":1795000000000,\"created\":1795000000000}\n");
        line
    };
    desk.write(
        "latin1.ndjson",
        [line(0xe9), line(0xe8), line(0xe9)].concat(),
    );
    let ran = desk.convert("lake", &["latin1.ndjson"]);
    assert_eq!(ran.code, 0, "{}", ran.text);
    assert_eq!(ran.number("/rows"), 1, "{}", ran.text);
    assert_eq!(ran.number("/rejects/invalid_utf8"), 2, "{}", ran.text);
    assert_eq!(ran.number("/repeats"), 1, "{}", ran.text);
    desk.expect_whole("lake");
}

/// Of a key that is there twice some readers take the first value, and others the last.
#[test]
fn records_with_a_key_twice_in_another_order_are_two() {
    let desk = Desk::with(0);
    let record = |first: &str, second: &str| {
        format!(
            r#"{{"_id":"a","timestamp":1795000000000,"created":1795000000000,"rawDataJson":{{"Actor":"{first}","Actor":"{second}"}}}}"#
        )
    };
    let lines = [
        record("alice", "bob"),
        record("bob", "alice"),
        record("alice", "bob"),
    ];
    desk.write("twice.ndjson", lines.join("\n"));
    let ran = desk.convert("lake", &["twice.ndjson"]);
    assert_eq!(ran.code, 0, "{}", ran.text);
    assert_eq!(ran.number("/rows"), 2, "{}", ran.text);
    assert_eq!(ran.number("/changed_repeats"), 1, "{}", ran.text);
    desk.expect_whole("lake");
}

/// Many records would be one reject.
#[test]
fn a_list_of_records_that_stands_where_one_should_fails_its_file() {
    let desk = Desk::with(12);
    let list = format!("[{}]", desk.records.join(","));
    let files = [
        ("lists.json", format!("[{list},{list}]")),
        ("lines.ndjson", format!("{}\n{list}\n", desk.records[0])),
        (
            "value.json",
            format!(r#"{{"@odata.context":"x","value":{list}}}"#),
        ),
        (
            "spelled.json",
            format!(r#"{{"@odata.context":"x","v\u0061lue":{list}}}"#),
        ),
    ];
    // Whatever else is wrong with them.
    let flawed = format!("{},{{\"_id\":\"x\",\"n\":NaN}}", desk.records[1]);
    let behind = [
        ("page", format!(r#"{{"data":[{flawed}],"hasNext":false}}"#)),
        ("list", format!("[{flawed}]")),
        ("twice", format!(r#"{{"data":{list},"a":1,"a":2}}"#)),
        ("odd key", format!(r#"{{"data":{list},"\ud800":1}}"#)),
        (
            "time",
            format!(r#"{{"timestamp":"x","value":{list},"_id":"z"}}"#),
        ),
    ]
    .map(|(name, behind)| (name, format!("{}\n{behind}\n", desk.records[0])));
    for (name, text) in files.into_iter().chain(behind) {
        desk.write(name, text);
        let ran = desk.convert("lake", &[name]);
        assert_eq!(ran.code, 5, "{name}: {}", ran.text);
        let said = "several records stand where one should";
        assert!(ran.text.contains(said), "{name}: {}", ran.text);
    }
}

/// The place is one of the file: bytes that are no text are longer as text, and white space between records is
/// dropped.
#[test]
fn a_list_that_stands_where_one_record_should_is_named_with_its_place_in_the_file() {
    let desk = Desk::with(4);
    let list = format!("{{\"value\":[{}]}}", desk.records[..2].join(","));
    let odd = b"{\"_id\":\"\xff\xfe\xff\",\"timestamp\":1795000000000}".to_vec();
    let record = desk.records[2].as_bytes();
    let pretty = b"{\n\"_id\":\"x\", \"timestamp\":1795000000000}".to_vec();
    for (name, parts) in [
        ("lines", vec![record, b"\n", &odd, b"\n"]),
        ("array", vec![b"[", &odd, b",", record, b", "]),
        (
            "others",
            vec![&pretty, b"\n\n   ", &odd, b"  ", record, b" \n"],
        ),
    ] {
        let before = parts.concat();
        let end: &[u8] = if name == "array" { b"]" } else { b"\n" };
        desk.write(name, [&before, list.as_bytes(), end].concat());
        let ran = desk.convert("lake", &[name]);
        let said = format!(
            "several records stand where one should, at byte {}\"",
            before.len()
        );
        assert_eq!(ran.code, 5, "{name}: {}", ran.text);
        assert!(ran.text.contains(&said), "{name}, {said}: {}", ran.text);
    }
}

#[test]
fn white_space_is_no_record_however_much_there_is() {
    let desk = Desk::with(4);
    let spaces = " ".repeat(10 << 20);
    let [a, b, c] = [0, 1, 2].map(|n| desk.records[n].as_str());
    for (name, text) in [
        (
            "lines",
            format!("{a}{spaces}\n{spaces}\n{b}{spaces}\n{c}\n{spaces}"),
        ),
        (
            "array",
            format!("[{spaces}{a}{spaces},{spaces}{b}{spaces},{c}]{spaces}"),
        ),
        (
            "blank lines",
            format!("{a}\n{b}{}{c}", "\n".repeat(10 << 20)),
        ),
    ] {
        desk.write(name, gzip(text.as_bytes()));
        let mut command = desk.command(&format!("lake {name}"), &[name]);
        // A quarter of it is less than the white space.
        let ran = Ran::of(&command.args(["--memory-limit", "32MiB"]).output().unwrap());
        assert_eq!(
            (ran.code, ran.number("/rows")),
            (0, 3),
            "{name}: {}",
            ran.text
        );
    }
}

/// Three times as much text came of them, and 32 bytes for each were held beside it.
#[test]
fn a_record_without_any_text_takes_no_more_memory_than_a_large_one() {
    let desk = Desk::with(0);
    let mut record = b"{\"_id\":\"x\",\"timestamp\":1795000000000,\"description\":\"".to_vec();
    record.extend_from_slice(&b"\xff".repeat(7 << 20));
    record.extend_from_slice(b"\"}\n");
    desk.write("odd", record);
    let mut command = desk.command("lake", &["odd"]);
    let ran = Ran::of(&command.args(["--memory-limit", "32MiB"]).output().unwrap());
    assert_eq!((ran.code, ran.number("/rows")), (0, 1), "{}", ran.text);
    let peak = ran.number("/peak_memory_bytes");
    assert!(peak < 30 * (7 << 20), "{peak}");
}

#[test]
fn pages_without_records_are_counted() {
    let desk = Desk::with(1);
    let empty = page(&[]);
    for (name, text, pages) in [
        ("one", empty.clone(), 1),
        ("last", page(&desk.records) + &empty, 2),
    ] {
        desk.write(name, text);
        let ran = desk.convert("lake", &[name]);
        assert_eq!(
            (ran.code, ran.number("/pages")),
            (0, pages),
            "{name}: {}",
            ran.text
        );
    }
    desk.expect_whole("lake");
}

/// Line by line they would be rejects, and those that are alike would be repeats of each other.
#[test]
fn what_is_pretty_printed_behind_a_line_fails_its_file() {
    let desk = Desk::with(12);
    let pretty = |text: &str| {
        let value: Value = serde_json::from_str(text).unwrap();
        serde_json::to_string_pretty(&value).unwrap()
    };
    let list = format!("[{}]", desk.records.join(","));
    let first = &desk.records[0];
    for (name, behind) in [
        ("page", pretty(&page(&desk.records))),
        ("list", pretty(&list)),
        ("record", pretty(&desk.records[1])),
        (
            "record a line",
            format!("{{\"data\":[\n{}\n]}}", desk.records.join(",\n")),
        ),
    ] {
        desk.write(name, format!("{first}\n{behind}\n"));
        let ran = desk.convert("lake", &[name]);
        assert_eq!(
            (ran.code, ran.tally()),
            (5, [1, 0, 0, 1]),
            "{name}: {}",
            ran.text
        );
        let place = first.len() + 1;
        let said = format!("several records stand where one should, at byte {place}");
        assert!(ran.text.contains(&said), "{name}: {}", ran.text);
    }
    // A line that was torn costs only itself: in a key, behind a colon, a comma, a bracket.
    let whole = &desk.records[1];
    let [key, comma] = ["\":", ",\""].map(|mark| whole.find(mark).unwrap());
    for length in [key, key + 2, comma + 1, 1] {
        let torn = &whole[..length];
        desk.write("torn", format!("{first}\n{torn}\n{}\n", desk.records[2]));
        let ran = desk.convert("lake", &["torn"]);
        let counts = (
            ran.code,
            ran.number("/rows"),
            ran.number("/rejects/not_json"),
        );
        assert_eq!(counts, (0, 2, 1), "{torn}: {}", ran.text);
    }
}

#[test]
fn a_file_of_other_things_is_not_committed() {
    let desk = Desk::with(0);
    let lines: Vec<String> = (0..30).map(|n| format!("{{\"alert\":{n}}}")).collect();
    desk.write("alerts.ndjson", lines.join("\n"));
    let ran = desk.convert("lake", &["alerts.ndjson"]);
    assert_eq!((ran.code, ran.tally()), (5, [1, 0, 0, 1]), "{}", ran.text);
    assert!(ran.text.contains("none of its 30 records"), "{}", ran.text);
    // They tell as much where they are all alike.
    desk.write("alike.ndjson", "{\"alert\":1}\n".repeat(30));
    let ran = desk.convert("lake", &["alike.ndjson"]);
    assert_eq!((ran.code, ran.tally()), (5, [1, 0, 0, 1]), "{}", ran.text);
    desk.expect_whole("lake");
}

#[test]
fn what_names_no_input_is_exit_code_2_and_makes_no_lake() {
    let desk = Desk::with(1);
    desk.write("a.json", page(&desk.records));
    fs::create_dir(desk.path("empty")).unwrap();
    for (inputs, says) in [
        (vec![], "required arguments"),
        (
            vec!["a.json", "missing.json"],
            "cannot convert missing.json: nothing is there",
        ),
        (
            vec!["a.json", "*.ndjson"],
            "cannot convert *.ndjson: no file matches",
        ),
        (vec!["empty"], "cannot convert empty: no file is in it"),
        (
            vec!["ftp://host/x"],
            "cannot convert ftp://…: cannot open the input ftp://…",
        ),
        (vec!["a.json", "--shard", "5/4"], "5/4"),
        (
            vec!["a.json", "-", "--shard", "1/4"],
            "cannot take a share of -",
        ),
        (vec!["a.json", "--memory-limit", "1KiB"], "--memory-limit"),
    ] {
        let ran = desk.convert("lake", &inputs);
        assert_eq!(ran.code, 2, "{inputs:?}: {}", ran.text);
        assert!(ran.text.contains(says), "{inputs:?}: {}", ran.text);
        assert!(!desk.path("lake").exists(), "{inputs:?}");
    }
}

#[test]
fn an_input_with_a_secret_in_its_url_is_refused_and_the_secret_is_not_said() {
    let desk = Desk::with(1);
    desk.write("a.json", page(&desk.records));
    for url in [
        "s3://key:hunter2@bucket/x",
        "s3://bucket/x?X-Amz-Signature=hunter2",
        "S3://bucket/x?X-Amz-Signature=hunter2",
        "s3a://key:hunter2@bucket/x",
        "az://container/x?sv=1&sig=hunter2",
        "abfss://c:hunter2@account.dfs.core.windows.net/x",
        "https://account.blob.core.windows.net/c/x?sig=hunter2",
        "http://user:hunter2@host/x",
        "gs://bucket/x?sig=hunter2",
    ] {
        for more in [&[][..], &["--dry-run"], &["--report", "json"]] {
            let ran = Ran::of(
                &desk
                    .command("lake", &["a.json", url])
                    .args(more)
                    .output()
                    .unwrap(),
            );
            assert_eq!(ran.code, 2, "{url}: {}", ran.text);
            assert!(!ran.text.contains("hunter2"), "{url}: {}", ran.text);
            assert!(!desk.path("lake").exists(), "{url}");
        }
    }
}

#[test]
fn lakes_of_scans_and_lakes_of_files_are_told_apart() {
    let place = Place::small();
    let lake = place.lake();
    assert_eq!(place.run(&mut lake.scan()).code(), Some(0));
    let desk = Desk::with(5);
    desk.write("a.json", page(&desk.records));
    let before = files_below(lake.path());
    for flags in [&[][..], &["--dry-run"]] {
        let mut command = desk.command(lake.path().to_str().unwrap(), &["a.json"]);
        let ran = Ran::of(&command.args(flags).output().unwrap());
        assert_eq!(ran.code, 2, "{}", ran.text);
        assert!(ran.text.contains("it was made by scan"), "{}", ran.text);
    }
    assert_eq!(files_below(lake.path()), before);

    assert_eq!(desk.convert("files", &["a.json"]).code, 0);
    let requests = place.sim.requests().len();
    let other = place.lake_at(desk.path("files"));
    let refused = place.run(&mut other.scan());
    assert_eq!(refused.code(), Some(2), "{refused}");
    assert!(
        refused.text().contains("it was made by convert"),
        "{refused}"
    );
    assert_eq!(place.sim.requests().len(), requests, "nothing was asked");
}

#[test]
fn the_status_of_a_lake_of_files_says_nothing_of_time() {
    let desk = Desk::with(50);
    desk.write("a.json", page(&desk.records));
    assert_eq!(desk.convert("lake", &["a.json"]).code, 0);
    let status = |flags: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(["status", "--lake"]).arg(desk.path("lake"));
        Ran::of(&command.args(flags).output().unwrap())
    };
    let json = status(&["--report", "json"]);
    assert_eq!(
        (json.code, json.number("/slices"), json.number("/rows")),
        (0, 1, 50)
    );
    assert_eq!(json.report["source"], "convert");
    assert_eq!(json.report["gaps"], serde_json::json!([]));
    assert!(json.report.get("watermark").is_none());
    let text = status(&[]).text;
    assert!(
        text.contains("(converted files)") && text.contains("1 input\n"),
        "{text}"
    );
    assert!(
        !text.contains("watermark") && !text.contains("gap"),
        "{text}"
    );
    let aged = status(&["--max-age", "1h"]);
    assert_eq!(aged.code, 2, "{}", aged.text);
}

#[test]
fn folders_patterns_links_and_pipes_name_inputs() {
    let desk = Desk::with(60);
    for (n, records) in desk.records.chunks(10).enumerate() {
        desk.write(
            [
                "in/b.json",
                "in/a/x.json.gz",
                "in/a/y",
                "other-1.json",
                "other-2.json",
                "piped",
            ][n],
            page(records),
        );
    }
    desk.write("in/.DS_Store", "no JSON");
    // Nobody writes into it.
    let made = Command::new("mkfifo")
        .arg(desk.path("other-3.json"))
        .status();
    assert!(made.unwrap().success());
    std::os::unix::fs::symlink(desk.path("in"), desk.path("in/a/around")).unwrap();
    let planned = desk.convert("in/lake", &["in", "other-*.json", "--dry-run"]);
    let plan: Vec<&str> = planned.report["plan"]
        .as_array()
        .unwrap()
        .iter()
        .map(|input| input.as_str().unwrap())
        .collect();
    assert_eq!(
        plan,
        [
            "in/a/x.json.gz",
            "in/a/y",
            "in/b.json",
            "other-1.json",
            "other-2.json"
        ]
    );
    let note = planned.report["notes"][0].as_str().unwrap();
    let passed_over = "(in/.DS_Store, in/a/around, other-3.json)";
    assert!(note.ends_with(passed_over), "{note}");
    let below = desk.convert("in/lake", &["in/**", "--dry-run"]);
    assert_eq!(below.report["plan"].as_array().unwrap()[..], plan[..3]);
    assert!(!desk.path("in/lake").exists());
    // The lake's own files are not taken for inputs, even in the second run.
    for (round, committed) in [(0, 6), (1, 0)] {
        let mut command = desk.command("in/lake", &["in", "other-*.json", "-"]);
        let piped = fs::File::open(desk.path("piped")).unwrap();
        let mut cat = Command::new("cat")
            .stdin(piped)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ran = Ran::of(&command.stdin(cat.stdout.take().unwrap()).output().unwrap());
        cat.wait().unwrap();
        assert_eq!(
            (ran.code, ran.tally()),
            (0, [6, committed, 6 - committed, 0]),
            "{round}: {}",
            ran.text
        );
    }
    assert_same(&desk.ids("in/lake"), &ids_of(&desk.records));
    desk.expect_whole("in/lake");
    let refused = desk.convert("in/lake", &["in/lake/_mdca"]);
    assert_eq!(refused.code, 2, "{}", refused.text);
}

/// A folder that this user may not look into costs only itself, as a file does.
#[test]
fn a_folder_that_cannot_be_read_is_named_and_the_others_go_on() {
    let desk = Desk::with(10);
    desk.write("in/a.json", page(&desk.records));
    desk.write("in/b/hidden.json", page(&desk.records));
    fs::set_permissions(desk.path("in/b"), fs::Permissions::from_mode(0o000)).unwrap();
    let may_look = || fs::read_dir(desk.path("in/b")).is_ok();
    for input in ["in", "in/*"] {
        let lake = format!("lake {}", input.len());
        let mut command = desk.command(&lake, &[input]);
        if may_look() {
            command = without_rights(&command);
        }
        let ran = Ran::of(&command.output().unwrap());
        assert_eq!((ran.code, ran.tally()), (2, [2, 1, 0, 1]), "{}", ran.text);
        let failure = &ran.report["failures"][0];
        assert_eq!(failure["input"], "in/b", "{failure}");
        assert_eq!(failure["advice"], "allow this user to read it", "{failure}");
        assert_same(&desk.ids(&lake), &ids_of(&desk.records));
    }
    fs::set_permissions(desk.path("in/b"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// The same command for a root for whom permissions hold.
fn without_rights(command: &Command) -> Command {
    let mut other = Command::new("setpriv");
    other
        .arg("--bounding-set=-dac_override,-dac_read_search")
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap())
        .stdin(Stdio::null());
    other
}

#[test]
fn shares_take_every_input_once() {
    let desk = Desk::with(120);
    for (n, records) in desk.records.chunks(10).enumerate() {
        desk.write(&format!("in/{n}.json"), page(records));
    }
    let mut planned = 0;
    for (share, spelled) in ["in", "./in", "in/", ".//in/"].into_iter().enumerate() {
        let shard = format!("{share}/4");
        let ran = Ran::of(
            &desk
                .command("lake", &[spelled, "--shard", &shard])
                .output()
                .unwrap(),
        );
        assert_eq!(ran.code, 0, "{}", ran.text);
        assert_eq!(ran.number("/inputs"), 12);
        planned += ran.number("/slices/planned");
    }
    assert_eq!(planned, 12);
    assert_same(&desk.ids("lake"), &ids_of(&desk.records));
    desk.expect_whole("lake");
}

/// Of what lies in the files of a compaction that was lost nobody knows which inputs it came from.
#[test]
fn a_lost_compaction_stops_a_conversion_as_damage() {
    let desk = Desk::with(60);
    for (n, records) in desk.records.chunks(3).enumerate() {
        desk.write(&format!("in/{n}.json"), page(records));
    }
    assert_eq!(desk.convert("lake", &["in"]).code, 0);
    let mut compact = Command::new(PROGRAM);
    compact.args(["compact", "--before", "0s", "--lake"]);
    let compacted = Ran::of(&compact.arg(desk.path("lake")).output().unwrap());
    assert_eq!(compacted.code, 0, "{}", compacted.text);
    let made = files_below(&desk.path("lake/_mdca/compactions")).remove(0);
    fs::rename(&made, desk.path("away")).unwrap();
    let ran = desk.convert("lake", &["in"]);
    assert_eq!(ran.code, 5, "{}", ran.text);
    assert!(
        ran.text.contains("add to _mdca what it lacks"),
        "{}",
        ran.text
    );
    fs::rename(desk.path("away"), made).unwrap();
    assert_eq!(desk.convert("lake", &["in"]).code, 0);
    desk.expect_whole("lake");
}

#[test]
fn files_of_which_none_begins_with_records_make_no_lake() {
    let desk = Desk::with(5);
    desk.write("a.csv", "activities,by,day\n");
    desk.write("b.json.gz", &gzip(page(&desk.records).as_bytes())[..100]);
    let ran = desk.convert("lake", &["a.csv", "b.json.gz"]);
    assert_eq!(
        (ran.code, ran.number("/slices/failed")),
        (5, 2),
        "{}",
        ran.text
    );
    assert!(!desk.path("lake").exists());
    desk.write("c.json", page(&desk.records));
    let ran = desk.convert("lake", &["a.csv", "b.json.gz", "c.json"]);
    assert_eq!((ran.code, ran.tally()), (5, [3, 1, 0, 2]), "{}", ran.text);
    desk.expect_whole("lake");
}

/// Names of files are bytes. Those that are not UTF-8 look alike where they are shown as text.
#[test]
fn files_whose_names_are_not_utf_8_are_converted_each() {
    let desk = Desk::with(40);
    for (n, records) in desk.records.chunks(10).enumerate() {
        let name = [
            &b"day\xe4.ndjson"[..],
            b"day\xf6.ndjson",
            b"day\xfc.ndjson",
            b"day.ndjson",
        ][n];
        let path = desk.path("in").join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, records.join("\n")).unwrap();
    }
    // A link to nothing is no file.
    std::os::unix::fs::symlink("nowhere", desk.path("in/a.ndjson")).unwrap();
    for (lake, inputs) in [
        ("folder", "in"),
        ("pattern", "in/*.ndjson"),
        ("deep", "i?/day*"),
    ] {
        let ran = desk.convert(lake, &[inputs]);
        assert_eq!(
            (ran.code, ran.tally()),
            (0, [4, 4, 0, 0]),
            "{inputs}: {}",
            ran.text
        );
        assert_same(&desk.ids(lake), &ids_of(&desk.records));
    }
    let planned = desk.convert("planned", &["in", "--dry-run"]);
    let plan = planned.report["plan"].to_string();
    assert!(plan.contains(r"day\\xe4.ndjson"), "{plan}");
    let ran = desk.convert("none", &["in/a*"]);
    assert_eq!(ran.code, 2, "{}", ran.text);
}

/// A pipe can be read once, and is read before a lake is made: what does not begin with records, and what
/// never comes, makes none.
#[test]
fn a_pipe_is_read_before_a_lake_is_made() {
    let desk = Desk::with(5);
    let lines = desk.records.join("\n");
    let feed = |text: &str| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        // Less than a pipe holds.
        writer.write_all(text.as_bytes()).unwrap();
        drop(writer);
        Ran::of(&desk.command("lake", &["-"]).stdin(reader).output().unwrap())
    };
    assert!(lines.len() < 60_000, "{}", lines.len());
    let ran = feed("<html>no such page</html>");
    let failed = ran.number("/slices/failed");
    assert_eq!((ran.code, failed), (5, 1), "{}", ran.text);
    assert!(!desk.path("lake").exists());

    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = desk.command("lake", &["-"]);
    let child = command
        .stdin(reader)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Long enough to wait for what comes; a signal before that would do as well.
    std::thread::park_timeout(Duration::from_millis(300));
    signal(child.id(), "INT");
    let ran = Ran::of(&child.wait_with_output().unwrap());
    drop((command, writer));
    assert_eq!(ran.code, 130, "{}", ran.text);
    assert!(!desk.path("lake").exists());

    let ran = feed(&lines);
    assert_eq!((ran.code, ran.tally()), (0, [1, 1, 0, 0]), "{}", ran.text);
    assert_eq!(ran.number("/bytes_planned"), lines.len() as u64);
    assert_same(&desk.ids("lake"), &ids_of(&desk.records));
    desk.expect_whole("lake");
}

#[test]
fn a_file_whose_commit_was_lost_is_not_converted_over_it() {
    let desk = Desk::with(20);
    desk.write("a.json", page(&desk.records));
    assert_eq!(desk.convert("lake", &["a.json"]).code, 0);
    let commit = files_below(&desk.path("lake/_mdca/commits")).remove(0);
    let kept = fs::read(&commit).unwrap();
    fs::remove_file(&commit).unwrap();
    let ran = desk.convert("lake", &["a.json"]);
    assert_eq!((ran.code, ran.tally()), (5, [1, 0, 0, 1]), "{}", ran.text);
    assert!(ran.text.contains("restore"), "{}", ran.text);
    let failures = ran.report["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1, "it is said once: {}", ran.text);
    fs::write(&commit, kept).unwrap();
    assert_eq!(desk.convert("lake", &["a.json"]).tally(), [1, 0, 1, 0]);
    assert_same(&desk.ids("lake"), &ids_of(&desk.records));
}

#[test]
fn a_lake_that_cannot_be_read_is_named_and_stays_as_it_was() {
    let desk = Desk::with(5);
    desk.write("a.json", page(&desk.records));
    desk.write("damaged/_mdca/lake.json", "{");
    desk.write(
        "lost/_mdca/commits/c-0123456789abcdef0123456789abcdef.json",
        "{}",
    );
    desk.write("file", "");
    for (lake, says) in [
        ("damaged", "lake.json"),
        ("lost", "lake.json"),
        ("file", "file"),
    ] {
        let before = files_below(&desk.path(lake));
        let ran = desk.convert(lake, &["a.json"]);
        assert_eq!(ran.code, 6, "{lake}: {}", ran.text);
        assert!(ran.text.contains(says), "{lake}: {}", ran.text);
        assert_eq!(files_below(&desk.path(lake)), before, "{lake}");
    }
}
