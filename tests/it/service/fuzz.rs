//! Whatever comes in, nothing panics, nothing hangs, and nothing that is damaged is taken for whole.
//!
//! Half of the inputs are valid ones with bytes changed, cut, moved and repeated: random ones seldom
//! get past the first check. `MDCA_FUZZ_CASES` sets how many of each are tried, `MDCA_FUZZ_SEED`
//! which; both are printed.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Debug;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use mdca_lake::cli::{Cli, Command};
use mdca_lake::commit::{self, Attempt, Cleaner, Commit, Identity};
use mdca_lake::config::{Environment, ScanConfig, SignInEnvironment};
use mdca_lake::decode::{Ingest, PageDecoder, RejectReason};
use mdca_lake::job::process::Machine;
use mdca_lake::layout::FileName;
use mdca_lake::layout::PartitionKey;
use mdca_lake::layout::{self, OwnObject};
use mdca_lake::partition;
use mdca_lake::read::RecordRestorer;
use mdca_lake::schema;
use mdca_lake::status;
use mdca_lake::store::Store;
use mdca_lake::text::fingerprint::fingerprint;
use mdca_lake::text::report::Report;
use mdca_lake::verify::{self, Depth, Sweep};
use mdca_lake::window::{Slice, parse_time};
use mdca_sim::{At, Canned, Fault, What};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::scenario::{Scenario, Story, expect_conserved};
use crate::support::sealed;

const NOW_MS: i64 = 1_795_176_000_000;

/// No single input takes longer, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn number_in(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Tries so many inputs, or a share of what the variable says.
fn try_all<S: Strategy>(share: u32, strategy: &S, check: impl Fn(S::Value))
where
    S::Value: Debug,
{
    let cases = number_in("MDCA_FUZZ_CASES").unwrap_or(256);
    let cases = u32::try_from(cases).unwrap().div_ceil(share);
    let seed = number_in("MDCA_FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{cases} cases, MDCA_FUZZ_SEED={seed}");
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(strategy, |input| {
        let started = Instant::now();
        check(input);
        prop_assert!(
            started.elapsed() < PATIENCE,
            "it took {:?}",
            started.elapsed()
        );
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("MDCA_FUZZ_SEED={seed}: {error}");
    }
}

/// One change of some bytes.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Cut(Index),
    Drop(Index, usize),
    Repeat(Index, Index, usize),
    Insert(Index, &'static [u8]),
}

const TOKENS: &[&[u8]] = &[
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"[",
    b"]",
    b"{",
    b"}",
    b"\"",
    b",",
    b":",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"\x00",
    b"\xff",
    b"\xc3",
    b"-",
    b"0",
    b"9223372036854775808",
    b"18446744073709551615",
    b"1e999",
    b"0.5",
    b"\"data\":",
    b"\"hasNext\":true",
    b"\"nextQueryFilters\":{}",
    b"\"_id\":\"\"",
    b"\"timestamp\":-1",
    b"..",
    b"/",
    b"%",
    b"#1",
];

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let length = 1_usize..60;
    let change = prop_oneof![
        3 => (any::<Index>(), 0_u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => any::<Index>().prop_map(Change::Cut),
        2 => (any::<Index>(), length.clone()).prop_map(|(at, length)| Change::Drop(at, length)),
        2 => (any::<Index>(), any::<Index>(), length).prop_map(|(from, to, length)| Change::Repeat(from, to, length)),
        3 => (any::<Index>(), proptest::sample::select(TOKENS)).prop_map(|(at, token)| Change::Insert(at, token)),
    ];
    vec(change, 0..5)
}

fn apply(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes {
        let at = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
        match change {
            Change::Flip(index, bit) => {
                let at = at(index, &bytes);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            Change::Cut(index) => bytes.truncate(at(index, &bytes)),
            Change::Drop(index, length) => {
                let from = at(index, &bytes);
                let end = (from + length).min(bytes.len());
                bytes.drain(from..end);
            }
            Change::Repeat(from, to, length) => {
                let from = at(from, &bytes);
                let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
                let to = at(to, &bytes);
                bytes.splice(to..to, piece);
            }
            Change::Insert(index, token) => {
                let at = at(index, &bytes);
                bytes.splice(at..at, token.iter().copied());
            }
        }
    }
    bytes
}

/// Some bytes, or the valid ones with a few changes.
fn mutated(valid: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => vec(any::<u8>(), 0..200),
        1 => "[\\[\\]{}\",:0-9a-zé\\\\ ]{0,80}".prop_map(String::into_bytes),
        6 => (proptest::sample::select(valid), changes()).prop_map(|(valid, changes)| apply(&valid, &changes)),
    ]
}

fn ingest() -> Ingest {
    Ingest {
        run: "r".to_owned(),
        received_ms: 1,
        keep_raw: true,
    }
}

/// Decodes the text of a page's records; what can be decoded has a row for every record, and each
/// row goes to a part and can be restored.
fn decode(text: &str) {
    let Ok(page) = PageDecoder::new(usize::MAX).decode(text, None, &ingest()) else {
        return;
    };
    assert_eq!(page.batch.num_rows(), page.records.len());
    let restorer = RecordRestorer::new(schema::activity(), &page.batch).unwrap();
    if let Ok(served) = serde_json::from_str::<Vec<&RawValue>>(text) {
        let texts = page
            .records
            .iter()
            .map(|record| &text[record.range.clone()]);
        assert!(texts.eq(served.iter().map(|record| record.get())), "{text}");
    }
    for (row, record) in page.records.iter().enumerate() {
        if record.flaw.is_none() {
            let mut back = String::new();
            restorer.restore(row, &mut back);
            assert_eq!(
                fingerprint(&back),
                fingerprint(&text[record.range.clone()]),
                "{back}"
            );
        }
    }
    let parts = partition::split(&page.batch).unwrap();
    let rows: usize = parts.iter().map(|(_, part)| part.len()).sum();
    assert_eq!(rows, page.records.len());
}

#[test]
fn any_text_is_a_page_of_records_or_refused() {
    let pages = [1, 3].map(|count| {
        format!("[{}]", mdca_sim::generator::records(5, count).join(",")).into_bytes()
    });
    try_all(1, &mutated(pages.to_vec()), |bytes| {
        decode(&String::from_utf8_lossy(&bytes));
    });
}

/// A record between two others, changed: these are rows as if they had come alone. What is one JSON
/// value is no `not_json`, and what is none is no row.
#[test]
fn a_changed_record_costs_only_itself() {
    let records = mdca_sim::generator::records(9, 40);
    let one = proptest::sample::select(records.clone());
    let alone = |record: &str| {
        let array = format!("[{record}]");
        PageDecoder::new(usize::MAX)
            .decode(&array, None, &ingest())
            .unwrap()
            .batch
    };
    try_all(
        1,
        &(one, changes(), 0..20_usize),
        |(record, changes, at)| {
            let changed = apply(record.as_bytes(), &changes);
            let changed = String::from_utf8_lossy(&changed);
            let array = format!("[{},{changed},{}]", records[at], records[at + 1]);
            let Ok(page) = PageDecoder::new(usize::MAX).decode(&array, None, &ingest()) else {
                let valid = serde_json::from_str::<&RawValue>(&changed);
                assert!(valid.is_err(), "refused, although it is JSON: {changed}");
                return;
            };
            if page.records.len() != 3 || array[page.records[1].range.clone()] != *changed.trim() {
                return;
            }
            assert_eq!(page.batch.slice(0, 1), alone(&records[at]), "{changed}");
            assert_eq!(page.batch.slice(2, 1), alone(&records[at + 1]), "{changed}");
            let flaw = page.records[1].flaw.as_ref().map(|flaw| flaw.reason);
            let is_json = serde_json::from_str::<&RawValue>(&changed).is_ok();
            assert_eq!(flaw != Some(RejectReason::NotJson), is_json, "{changed}");
        },
    );
}

/// Lists at the paths where the schema has some, from none to more elements than are taken apart.
#[test]
fn known_lists_of_any_length_are_given_back() {
    let paths: [&[&str]; 5] = [
        &["mainInfo", "eventObjects"],
        &["mainInfo", "eventObjects", "0", "tags"],
        &["user", "userTags"],
        &["location", "ipTags"],
        &["classifications"],
    ];
    let elements = [
        "1",
        "null",
        "\"\"",
        "\"x\"",
        "{}",
        "[]",
        "{\"role\":1}",
        "{\"tags\":[7]}",
    ];
    let few = [0, 1, 63, 64, 65].map(|length| (length, elements.as_slice()));
    let many = [65_535, 65_536, 65_537, 100_000].map(|length| (length, &elements[1..2]));
    for path in paths {
        for (length, elements) in few.into_iter().chain(many) {
            for element in elements {
                let list = format!("[{}]", vec![*element; length].join(","));
                let value = path.iter().rev().fold(list, |inner, key| match *key {
                    "0" => format!("[{inner}]"),
                    key => format!("{{\"{key}\":{inner}}}"),
                });
                let record = format!("{{\"_id\":\"a\",\"timestamp\":1,{}", &value[1..]);
                let started = Instant::now();
                decode(&format!("[{record},{record},{{}}]"));
                assert!(started.elapsed() < PATIENCE, "{path:?} of {length}");
            }
        }
    }
}

/// Deep and wide texts of 200 KB: time and stack do not depend on the shape.
#[test]
fn depth_and_width_cost_no_more_than_their_bytes() {
    let bytes = 200_000;
    let nest = |open: &str, close: &str| {
        let levels = bytes / (open.len() + close.len());
        open.repeat(levels) + "1" + &close.repeat(levels)
    };
    let many = |piece: &str| piece.repeat(bytes / piece.len());
    let values = [
        nest("[", "]"),
        nest("{\"a\":", "}"),
        nest("{\"location\":[", "]}"),
        format!("[{}1]", many("1,")),
        format!(
            "{{{}\"z\":1}}",
            (0..12_000).fold(String::new(), |text, n| text + &format!("\"k{n}\":{n},"))
        ),
        format!("\"{}\"", many("\\u00e9")),
        format!("\"{}\"", many("\\\\")),
        format!("1{}", many("0")),
        format!("0.{}1e{}", many("0"), 999_999),
    ];
    let paths = [
        "location",
        "rawDataJson",
        "tags",
        "created",
        "severity",
        "mainInfo",
        "never_heard_of",
        "confidenceLevel",
    ];
    for value in &values {
        for path in paths {
            let started = Instant::now();
            let record = format!("{{\"_id\":\"a\",\"timestamp\":1,\"{path}\":{value}}}");
            decode(&format!("[{record}]"));
            assert!(
                started.elapsed() < PATIENCE,
                "{path} took {:?}",
                started.elapsed()
            );
        }
        decode(&format!("[{value}]"));
        decode(value);
    }
}

#[test]
fn any_numbers_are_times_or_none() {
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        (0..=253_402_300_800_000_i64).prop_map(|n| n.to_string()),
        (253_402_300_799_990..253_402_300_800_010_i64).prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        "-?[0-9]{1,25}(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?",
    ];
    try_all(
        1,
        &(number.clone(), number.clone(), number),
        |(timestamp, created, other)| {
            let record = format!(
                "{{\"_id\":\"a\",\"timestamp\":{timestamp},\"created\":{created},\"appId\":{other},\"location\":{{\"latitude\":{other}}}}}"
            );
            decode(&format!(
                "[{record},{{\"_id\":\"b\",\"timestamp\":\"{timestamp}\",\"created\":\"{created}\"}}]"
            ));
        },
    );
}

#[test]
fn any_text_is_a_time_a_slice_a_path_or_refused() {
    let slice = "20261119T1000Z-20261119T1100Z";
    let valid = [
        "2026-11-20T13:00:00+01:00",
        "2026-11-20",
        "24h",
        "1d 2h",
        slice,
        "event_date=2026-11-19",
        "activities/event_date=2026-11-19/20261119T1000Z-20261119T1100Z-0123456789abcdef-12.parquet",
        "_mdca/commits/20261119T1000Z-20261119T1100Z.json",
        "_mdca/attempts/20261119T1000Z-20261119T1100Z/0123456789abcdef.json",
        "_mdca/runs/20261121T071800Z-0a1b2c3d.json",
        "9999-12-31T23:59:59.999Z",
        "999999999999999999999d",
    ];
    let valid: Vec<Vec<u8>> = valid.iter().map(|text| text.as_bytes().to_vec()).collect();
    try_all(1, &(mutated(valid), any::<i64>()), |(bytes, now_ms)| {
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(time_ms) = parse_time(&text, now_ms) {
            assert!((0..=253_402_300_799_999).contains(&time_ms), "{text}");
        }
        if let Ok(slice) = text.parse::<Slice>() {
            assert_eq!(slice.to_string(), text);
        }
        if let Ok(key) = text.parse::<PartitionKey>() {
            assert_eq!(key.to_string(), text);
        }
        if let Some(name) = FileName::parse(&text) {
            assert!(text.contains(&name.slice) && text.contains(&name.attempt));
        }
        if let Some(OwnObject::Commit { slice }) = OwnObject::at(&text) {
            assert_eq!(layout::commit(&slice).as_ref(), text);
        }
    });
}

#[test]
fn any_flags_are_a_scan_or_refused() {
    const FLAGS: &[&str] = &[
        "--from",
        "--until",
        "--slice",
        "--settle",
        "--initial",
        "--filters",
        "--service",
        "--page-limit",
        "--max-page-bytes",
        "--requests-per-minute",
        "--parallel",
        "--max-attempts",
        "--compression",
        "--max-file-bytes",
        "--memory-limit",
        "--api-url",
        "--by",
    ];
    let values = [
        "1h",
        "90s",
        "366d",
        "0",
        "1",
        "24h",
        "2026-01-01",
        "512MiB",
        "18446744073709551615",
        "zstd:3",
        "30",
        "{\"service\":{\"eq\":[1]}}",
        "https://contoso.example",
        "https://contoso.example:99999/x?y#z",
        "created",
        "584542046y",
        "1ns",
        "16EiB",
        "-1",
    ];
    let values: Vec<Vec<u8>> = values.iter().map(|text| text.as_bytes().to_vec()).collect();
    let flags = vec((proptest::sample::select(FLAGS), mutated(values)), 1..4);
    try_all(1, &flags, |flags| {
        let mut args = vec![
            "mdca-lake".to_owned(),
            "scan".to_owned(),
            "--lake=/nowhere".to_owned(),
        ];
        args.extend(
            flags
                .iter()
                .map(|(flag, value)| format!("{flag}={}", String::from_utf8_lossy(value))),
        );
        if !flags.iter().any(|(flag, _)| *flag == "--api-url") {
            args.push("--api-url=https://contoso.example".to_owned());
        }
        let Ok(Cli {
            command: Command::Scan(args),
            ..
        }) = Cli::try_parse_from(args)
        else {
            return;
        };
        let environment = Environment {
            sign_in: SignInEnvironment {
                token: Some("t".into()),
                ..SignInEnvironment::default()
            },
        };
        let _ = ScanConfig::resolve(*args, environment, 1_795_176_000_000);
    });
}

/// A lake of one slice without files.
fn small_lake(folder: &Path, commit: &[u8], identity: &[u8], attempt: &[u8]) {
    let slice = "20261119T1000Z-20261119T1100Z";
    let attempts = folder.join("_mdca/attempts/20261119T1100Z-20261119T1200Z");
    std::fs::create_dir_all(&attempts).unwrap();
    std::fs::create_dir_all(folder.join("_mdca/commits")).unwrap();
    std::fs::write(folder.join(format!("_mdca/commits/{slice}.json")), commit).unwrap();
    std::fs::write(folder.join("_mdca/lake.json"), identity).unwrap();
    std::fs::write(attempts.join("0123456789abcdef.json"), attempt).unwrap();
}

fn full_commit(slice: &str) -> Value {
    let mut commit = sealed::commit(slice);
    commit["files"] = json!([{
        "path": format!("activities/event_date=2026-11-19/{slice}-0123456789abcdef-0.parquet"),
        "rows": 7, "bytes": 1_000, "checksum": sealed::checksum(b""),
        "timestamp_min_ms": 0, "timestamp_max_ms": 1, "created_min_ms": null, "created_max_ms": null,
    }]);
    commit["rejects"] = json!({
        "path": format!("_mdca/rejects/{slice}-0123456789abcdef.jsonl"), "lines": 1, "bytes": 10,
        "checksum": sealed::checksum(b""),
    });
    commit["counts"]["records"] = 8.into();
    commit["counts"]["rows"] = 7.into();
    commit["counts"]["rejects"] = json!({"no_id": 1});
    commit
}

/// The three objects of [`small_lake`], not sealed.
fn small_objects() -> [String; 3] {
    let next = "20261119T1100Z-20261119T1200Z";
    let attempt = json!({
        "version": 1, "commit_path": format!("_mdca/commits/{next}.json"), "commit": full_commit(next),
    });
    [
        full_commit("20261119T1000Z-20261119T1100Z"),
        sealed::identity(1_795_082_400_000),
        attempt,
    ]
    .map(|object| object.to_string())
}

#[test]
fn a_changed_object_of_the_lake_is_never_taken_for_whole() {
    let whole = small_objects().map(|text| sealed::seal(&text).into_bytes());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let inputs = (
        0..3_usize,
        changes(),
        vec(any::<u8>(), 0..64),
        any::<bool>(),
    );
    try_all(2, &inputs, |(which, changes, noise, random)| {
        let changed = if random {
            noise
        } else {
            apply(&whole[which], &changes)
        };
        let is_whole = changed == whole[which];
        let mut objects = whole.clone();
        objects[which] = changed;
        let folder = tempfile::tempdir().unwrap();
        small_lake(folder.path(), &objects[0], &objects[1], &objects[2]);
        runtime.block_on(async {
            let store = Store::open(folder.path().to_str().unwrap()).unwrap();
            let loaded = match which {
                0 => Commit::load(&store, "20261119T1000Z-20261119T1100Z")
                    .await
                    .is_ok(),
                1 => Identity::load(&store).await.is_ok(),
                _ => {
                    let path = layout::attempt("20261119T1100Z-20261119T1200Z", "0123456789abcdef");
                    Attempt::load(&store, &path).await.is_ok()
                }
            };
            assert_eq!(loaded, is_whole);
        });
    });
}

/// Objects whose checksums are right and that say anything: nothing panics over them.
#[test]
fn whatever_a_sealed_object_says_it_is_read_or_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    try_all(2, &(0..3_usize, changes()), |(which, changes)| {
        let mut objects = small_objects();
        let changed = apply(objects[which].as_bytes(), &changes);
        let changed = String::from_utf8_lossy(&changed).into_owned();
        if !changed.ends_with('}') {
            return;
        }
        objects[which] = changed;
        let objects = objects.map(|text| sealed::seal(&text));
        let folder = tempfile::tempdir().unwrap();
        let [commit, identity, attempt] = objects.map(String::into_bytes);
        small_lake(folder.path(), &commit, &identity, &attempt);
        runtime.block_on(async {
            let store = Store::open(folder.path().to_str().unwrap()).unwrap();
            if let Ok(done) = verify::verify(&store, Depth::Rows, Sweep::Unnamed, NOW_MS).await {
                assert_ne!(done.exit_code(), 0, "its files are missing");
            }
            if let Ok(status) = status::read(&store, NOW_MS, &Machine::untold()).await {
                status.to_text();
            }
            let clock = crate::support::clock::TestClock::at(NOW_MS);
            let cleaner = Cleaner::new(store.clone(), None);
            let _ = commit::recover(&cleaner, &clock, &BTreeSet::new(), |_| true).await;
        });
    });
}

/// Every row is, as JSON, a record of the tenant or an object in the changed answer.
fn expect_only_what_was_served(story: &Story, answer: &[u8]) {
    let answer = String::from_utf8_lossy(answer);
    let mut served: HashSet<u128> = story
        .truth()
        .iter()
        .map(|record| fingerprint(&record.json))
        .collect();
    for (at, _) in answer.match_indices('{') {
        let mut values = serde_json::Deserializer::from_str(&answer[at..]).into_iter::<&RawValue>();
        if let Some(Ok(object)) = values.next() {
            served.insert(fingerprint(object.get()));
        }
    }
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mdca-lake"))
        .args(["export", "--lake"])
        .arg(story.lake())
        .output()
        .unwrap();
    for row in String::from_utf8(output.stdout).unwrap().lines() {
        assert!(served.contains(&fingerprint(row)), "nobody served {row}");
    }
}

/// Answers of the service that are changed on their way, through the whole program: it ends, within
/// a bounded number of requests, with an exit code that says what happened, the lake is whole, and
/// holds nothing that was not served.
#[test]
fn whatever_the_service_answers_the_lake_stays_whole() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let records = mdca_sim::generator::records(5, 3).join(",");
    let answers = [
        format!("{{\"data\":[{records}],\"hasNext\":false}}"),
        format!(
            "{{\"data\":[{records}],\"hasNext\":true,\"nextQueryFilters\":{{\"created\":{{\"gte\":1,\"lte\":[2,\"é\"]}}}},\"total\":7}}"
        ),
        "{\"data\":[],\"hasNext\":true,\"nextQueryFilters\":null}".to_owned(),
    ];
    let answers = answers.map(String::into_bytes).to_vec();
    try_all(
        8,
        &(mutated(answers), 0..3_u64, any::<bool>()),
        |(bytes, page, always)| {
            runtime.block_on(async {
                let answer = What::Answer(Canned {
                    status: 200,
                    content_type: "application/json".to_owned(),
                    body: bytes.clone(),
                    headers: vec![],
                });
                let fault = Fault::new(At::Page(page), answer);
                let story = Scenario::hours(2)
                    .activities(60)
                    .page_cap(20)
                    .fault(if always { fault.always() } else { fault })
                    .flags(&["--max-attempts", "2"])
                    .start()
                    .await;
                let report = story.scan(&[]).await;
                assert!(
                    matches!(report.head.exit_code, 0 | 4),
                    "{}",
                    report.to_text()
                );
                assert!(
                    story.sim.requests().len() < 2_000,
                    "{} requests",
                    story.sim.requests().len()
                );
                expect_conserved(&report);
                if report.slices.committed > 0 || report.slices.failed > 0 {
                    story.expect_clean().await;
                    expect_only_what_was_served(&story, &bytes);
                }
            });
        },
    );
}
