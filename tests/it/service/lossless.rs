//! Whatever comes in can be given back: decode, Parquet, export.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use mdca_lake::decode::{Ingest, PageDecoder, Piece};
use mdca_lake::read::RecordRestorer;
use mdca_lake::schema;
use mdca_lake::text::fingerprint::fingerprint;
use mdca_lake::text::report::Report;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use crate::support::json;
use crate::support::scenario::Scenario;

fn decode(records: &[String]) -> Piece {
    let ingest = Ingest {
        run: "r".to_owned(),
        received_ms: 1,
        keep_raw: false,
    };
    PageDecoder::new(usize::MAX)
        .decode(&format!("[{}]", records.join(" ,\n")), None, &ingest)
        .unwrap()
}

/// Decodes records, writes them as Parquet, reads them, and restores each.
fn there_and_back(records: &[String]) -> Vec<Result<String, String>> {
    let page = decode(records);
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, page.batch.schema(), None).unwrap();
    writer.write(&page.batch).unwrap();
    writer.close().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file))
        .unwrap()
        .with_batch_size(records.len().max(1))
        .build()
        .unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    let Some(batch) = batches.first() else {
        return Vec::new();
    };
    let restorer = RecordRestorer::new(schema::activity(), batch).unwrap();
    page.records
        .iter()
        .enumerate()
        .map(|(row, record)| {
            if let Some(flaw) = &record.flaw {
                return Err(flaw.reason.to_string());
            }
            let mut text = String::new();
            restorer.restore(row, &mut text);
            Ok(text)
        })
        .collect()
}

fn expect_same(record: &str, restored: &Result<String, String>) {
    let restored = restored
        .as_ref()
        .unwrap_or_else(|reason| panic!("{reason}: {record}"));
    assert_eq!(
        json::parse(record),
        json::parse(restored),
        "\n  {record}\n  {restored}"
    );
    assert!(!restored.contains(['\n', '\r']), "one line: {restored}");
}

/// Values that are odd somewhere.
const ODD: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-0.0",
    "7",
    "-7",
    "1.0",
    "1.5",
    "1e3",
    "1E+2",
    "1e300",
    "1e400",
    "-1e-400",
    "9223372036854775807",
    "9223372036854775808",
    "1234567890123456789012345",
    "0.1",
    "1595096313000",
    "34.7604",
    "253402300799999",
    "253402300800000",
    "1595096313000.75",
    "\"\"",
    "\"x\"",
    "\"true\"",
    "\"15600\"",
    "\"-1\"",
    "\"1e3\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\udc00x\"",
    "\"\\ud83d\\ude00\"",
    "\"é\\n\\\"\\\\/\\/\"",
    "{}",
    "[]",
    "[null]",
    "[[]]",
    "[{}]",
    "[\"a\",5,null,{\"0\":1},[true],\"\\ud800\",\"\\u00e9\"]",
    "{\"0\":\"x\"}",
    "{\"0\":{}}",
    "{\"a.b\":1,\"A.b\":null}",
    " [ 1 , {\"k\" : [ ] } ] ",
    "{\n  \"k\": [\r\n    5,\r    \"\\n\"\n  ]\n}",
    "[\n  \"x\",\r\n  5,\n  {\n}\n]",
    "{\"userName\":null,\"UserName\":\"x\"}",
    "{\"name\":{},\"tags\":\"x\",\"extra\":[]}",
    "[{\"tags\":[1,\"x\",null],\"role\":\"4\",\"x\":{}},7,null,{}]",
];

fn deep(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        8 => proptest::sample::select(ODD).prop_map(str::to_owned),
        2 => any::<i64>().prop_map(|n| n.to_string()),
        2 => any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:?}")),
        2 => "\\PC{0,8}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        1 => (1_usize..220).prop_map(deep),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::btree_map(any_key(), inner, 0..4)
                .prop_map(|members| object(&members)),
        ]
    })
}

fn object(members: &std::collections::BTreeMap<String, String>) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(key, value)| format!("{} :{value}", serde_json::to_string(key).unwrap()))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Keys that the schema knows, and others.
fn any_key() -> impl Strategy<Value = String> {
    let mut keys: Vec<String> = [
        "0", "1", "a.b", "A.B", "", "é", "user", "User", "tags", "name", "role", "\u{0}",
    ]
    .map(str::to_owned)
    .to_vec();
    for column in &schema::activity().columns {
        keys.extend(
            column
                .path
                .split('.')
                .filter(|key| !key.is_empty())
                .map(str::to_owned),
        );
    }
    prop_oneof![4 => proptest::sample::select(keys), 1 => "[a-z\"\\\\]{0,3}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn any_object_with_an_id_and_a_time_is_given_back(
        mut members in proptest::collection::btree_map(any_key(), any_json(), 0..8),
        rest in any_json(),
    ) {
        members.insert("_id".to_owned(), "\"id\"".to_owned());
        members.insert("timestamp".to_owned(), "1595096313000".to_owned());
        members.insert("mainInfo".to_owned(), format!("{{\"eventObjects\":{rest}}}"));
        let record = object(&members);
        expect_same(&record, &there_and_back(std::slice::from_ref(&record))[0]);
    }

    #[test]
    fn any_value_is_a_row_or_the_reject_that_the_rules_name(value in any_json(), id in any_json(), time in any_json()) {
        let record = format!(r#"{{"_id":{id},"timestamp":{time},"x":{value}}}"#);
        let restored = there_and_back(&[value.clone(), record.clone()]);
        if !value.trim_start().starts_with('{') {
            prop_assert_eq!(&restored[0], &Err("not_an_object".to_owned()));
        }
        match &restored[1] {
            Ok(_) => expect_same(&record, &restored[1]),
            Err(reason) if reason == "no_id" => {
                let usable = id.starts_with('"') && serde_json::from_str::<String>(&id).is_ok_and(|id| !id.is_empty());
                prop_assert!(!usable, "{}", id);
            }
            Err(reason) => {
                prop_assert_eq!(reason, "no_timestamp");
                let plain = time.parse::<i64>();
                prop_assert!(!plain.is_ok_and(|ms| (0..=253_402_300_799_999).contains(&ms)), "{}", time);
            }
        }
    }
}

/// Believable records with each path that the schema maps replaced by each odd value in turn.
#[test]
fn each_mapped_path_takes_each_odd_value() {
    let samples: Vec<serde_json::Value> = mdca_sim::generator::records(7, 3)
        .iter()
        .map(|record| serde_json::from_str(record).unwrap())
        .collect();
    let mut tried = 0;
    for column in schema::activity()
        .columns
        .iter()
        .filter(|column| !column.path.is_empty())
    {
        let own = std::iter::once(column.path.clone());
        let items = column
            .items
            .iter()
            .map(|item| format!("{}.0.{}", column.path, item.path));
        // The object above a path can be odd as well.
        let above = column
            .path
            .rsplit_once('.')
            .map(|(above, _)| above.to_owned());
        for path in own.chain(items).chain(above) {
            let mut records = Vec::new();
            for (sample, odd) in samples.iter().cycle().zip(ODD) {
                let mut record = sample.clone();
                let marker = "\u{1}MARK\u{1}";
                set(&mut record, &path, marker);
                let text = record.to_string();
                let place = serde_json::to_string(marker).unwrap();
                assert_eq!(text.matches(&place).count(), 1, "{path}");
                records.push(text.replace(&place, odd));
            }
            for (record, restored) in records.iter().zip(there_and_back(&records)) {
                tried += 1;
                match &restored {
                    Err(reason) => assert!(
                        ["_id", "timestamp"].contains(&path.as_str()),
                        "{path} {reason}"
                    ),
                    Ok(_) => expect_same(record, &restored),
                }
            }
        }
    }
    println!("tried {tried} records");
    assert!(tried > 4_000);
}

#[test]
fn a_uid_that_repeats_the_id_is_an_empty_text_and_comes_back() {
    let cases = [
        (r#","uid":"id-1""#, Some("")),
        (r#","uid":"\u0069d-1""#, Some("")),
        (r#","uid":"other""#, Some("other")),
        (r#","uid":"""#, None),
        (r#","uid":5"#, Some("5")),
        (r#","uid":null"#, None),
        ("", None),
    ];
    let records: Vec<String> = cases
        .iter()
        .map(|(uid, _)| format!(r#"{{"_id":"id-1","timestamp":1595096313000{uid}}}"#))
        .collect();
    let page = decode(&records);
    let column = page.batch.column_by_name("uid").unwrap();
    let found: Vec<Option<&str>> = column.as_string::<i32>().iter().collect();
    assert_eq!(found, cases.map(|(_, held)| held));
    for (record, restored) in records.iter().zip(there_and_back(&records)) {
        expect_same(record, &restored);
    }
}

/// How long this thread has been on a core: what runs beside it does not count.
fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let ns = text.split(' ').next().unwrap();
    Duration::from_nanos(ns.parse().unwrap())
}

/// A list of integers where text is due: none of it fits the column, all of it is in `unmapped`.
#[test]
fn the_time_to_restore_a_list_grows_with_its_length_and_not_with_its_square() {
    let quickest = |length: usize| {
        let integers: Vec<String> = (0..length).map(|n| n.to_string()).collect();
        let list = integers.join(",");
        let record =
            format!(r#"{{"_id":"x","timestamp":1595096313000,"classifications":[{list}]}}"#);
        let page = decode(std::slice::from_ref(&record));
        let restorer = RecordRestorer::new(schema::activity(), &page.batch).unwrap();
        let restore = |_| {
            let began = on_cpu();
            let mut text = String::new();
            restorer.restore(0, &mut text);
            assert_eq!(fingerprint(&text), fingerprint(&record));
            on_cpu().saturating_sub(began)
        };
        (0..5).map(restore).min().unwrap()
    };
    let (short, long) = (quickest(15_000), quickest(60_000));
    println!("15,000 in {short:?}, 60,000 in {long:?}");
    assert!(
        long < 9 * short,
        "linear is 4, a square 16: {short:?}, {long:?}"
    );
}

/// Puts a text at a dotted path, making what is missing on the way.
fn set(record: &mut serde_json::Value, path: &str, text: &str) {
    let mut at = record;
    for key in path.split('.') {
        if let Ok(index) = key.parse::<usize>() {
            if !at.is_array() {
                *at = serde_json::json!([{}]);
            }
            at = &mut at[index];
        } else {
            if !at.is_object() {
                *at = serde_json::json!({});
            }
            at = &mut at[key];
        }
    }
    *at = text.into();
}

/// Through the whole program: what the service sent is what `export` gives back, by time.
#[tokio::test(flavor = "multi_thread")]
async fn export_gives_back_what_the_service_sent() {
    let (story, report) = Scenario::hours(6)
        .activities(1_500)
        .page_cap(100)
        .run()
        .await;
    assert_eq!(report.head.exit_code, 0, "{}", report.to_text());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mdca-lake"))
        .args(["export", "--lake"])
        .arg(story.lake())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let exported = String::from_utf8(output.stdout).unwrap();
    let times: Vec<i64> = exported
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|record| {
            record["timestamp"]
                .as_i64()
                .or_else(|| record["timestamp"].as_str()?.parse().ok())
                .unwrap()
        })
        .collect();
    assert!(times.is_sorted());
    let mut given: Vec<json::Json> = exported.lines().map(json::parse).collect();
    let mut sent: Vec<json::Json> = story
        .truth()
        .iter()
        .map(|record| json::parse(&record.json))
        .collect();
    given.sort();
    sent.sort();
    assert_eq!(given.len(), sent.len());
    assert!(given == sent, "some records came back otherwise");
    let _keep = Arc::new(story);
}
