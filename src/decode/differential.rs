//! The decoder against its reference: every page is read alike by both.
//!
//! `MDCA_FUZZ_CASES` sets how many pages are made up, `MDCA_FUZZ_SEED` which ones.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;

use super::reference::ReferenceDecoder;
use super::*;

struct Both {
    decoder: PageDecoder,
    reference: ReferenceDecoder,
    ingest: Ingest,
    records: usize,
    refused: usize,
}

/// Pages that both read.
impl Both {
    fn new() -> Self {
        Self {
            decoder: PageDecoder::new(usize::MAX),
            reference: ReferenceDecoder::new(),
            ingest: Ingest {
                run: "r".to_owned(),
                received_ms: 1,
                keep_raw: true,
            },
            records: 0,
            refused: 0,
        }
    }

    /// Both decode the page, and find the same in it.
    fn expect_same(&mut self, array: &str) {
        let one = self.decoder.decode(array, None, &self.ingest);
        let other = self.reference.decode(array, &self.ingest);
        let (Ok(one), Ok(other)) = (&one, &other) else {
            assert!(one.is_err() && other.is_err(), "one refuses {array}");
            self.refused += 1;
            return;
        };
        self.records += one.records.len();
        let is_json = |record: &Record| {
            let reason = record.flaw.as_ref().map(|flaw| flaw.reason);
            reason != Some(RejectReason::NotJson)
        };
        assert_eq!(one.records.len(), other.records.len(), "{array}");
        for (one, other) in one.records.iter().zip(&other.records) {
            assert_eq!(one.range, other.range, "{array}");
            assert_eq!(is_json(one), is_json(other), "{array}");
            if is_json(one) {
                assert_eq!(one, other, "{array}");
            }
        }
        let (rows, expected) = (rows(one), rows(other));
        for (name, column) in rows
            .schema()
            .fields()
            .iter()
            .map(|f| f.name())
            .zip(rows.columns())
        {
            let expected = expected.column_by_name(name).unwrap();
            assert_eq!(column, expected, "{name} of {array}");
        }
        if one.records.iter().all(is_json) {
            assert_eq!(sorted(&one.unknown), sorted(&other.unknown), "{array}");
            assert_eq!(sorted(&one.odd), sorted(&other.odd), "{array}");
        }
    }
}

/// The rows that are not rejects.
fn rows(piece: &Piece) -> RecordBatch {
    let keep: BooleanArray = piece
        .records
        .iter()
        .map(|record| Some(record.flaw.is_none()))
        .collect();
    filter_record_batch(&piece.batch, &keep).unwrap()
}

fn sorted(counts: &[(String, u64)]) -> Vec<(String, u64)> {
    let mut counts = counts.to_vec();
    counts.sort();
    counts
}

/// What pages are changed with.
const PIECES: &[&str] = &[
    "null",
    "true",
    "{}",
    "[]",
    "[",
    "]",
    "{",
    "}",
    "\"",
    ",",
    ":",
    "\\",
    "\\u",
    "\\ud800",
    "\\u00e9",
    "\u{1}",
    "é",
    "-",
    "0",
    "1",
    "1.5",
    "1e5",
    "-0.0",
    ".",
    "e",
    "9223372036854775808",
    "\"1\"",
    "\"true\"",
    " ",
    "\n",
    "\"k\":1,",
    "\"\":1,",
    "\"\":{\"_id\":\"x\",\"appName\":\"y\"},",
    "\"_id\":\"x\",",
    "\"user\":[],",
    "\"timestamp\":\"2026-11-19T10:00:00Z\",",
    "[null,1,\"x\",{}]",
];

/// Values that are odd somewhere.
const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "NaN",
    "-0",
    "-0.0",
    "01",
    "1.0",
    "1.50",
    "1e3",
    "1e400",
    "34.7604",
    "9223372036854775807",
    "9223372036854775808",
    "1595096313000",
    "253402300800000",
    "1595096313000.75",
    "\"\"",
    "\"x\"",
    "\"true\"",
    "\"-1\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00é\"",
    "\"\\x\"",
    "\"2026-11-19T10:00:00Z\"",
    "{}",
    "[]",
    "[null]",
    "[{}]",
    "[\"a\",5,null,{\"0\":1},[true],\"\\ud800\",\"\\u00e9\"]",
];

/// A text with a few changes, most of them small.
fn changed(random: &mut fastrand::Rng, text: &str) -> String {
    let mut text = text.to_owned();
    let place = |random: &mut fastrand::Rng, text: &str| {
        let mut at = random.usize(0..=text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    for _ in 0..random.usize(0..4) {
        let at = place(random, &text);
        match random.u8(0..6) {
            0 => text.truncate(at),
            1 => {
                let length = text[at..]
                    .chars()
                    .take(random.usize(0..60))
                    .map(char::len_utf8);
                let to = at + length.sum::<usize>();
                text.replace_range(at..to, "");
            }
            2 => {
                let piece = text[at..]
                    .chars()
                    .take(random.usize(0..60))
                    .collect::<String>();
                let to = place(random, &text);
                text.insert_str(to, &piece);
            }
            _ => text.insert_str(at, PIECES[random.usize(..PIECES.len())]),
        }
    }
    text
}

/// Any value, half of the objects with keys that the schema knows.
fn any_value(random: &mut fastrand::Rng, keys: &[String], depth: usize) -> String {
    let space = |random: &mut fastrand::Rng| if random.u8(0..8) == 0 { " \n" } else { "" };
    let kinds = if depth == 0 { 6 } else { 10 };
    match random.u8(0..kinds) {
        0 => random.i64(..).to_string(),
        1 => (f64::from(random.u32(..)) * 10_f64.powi(random.i32(-18..9))).to_string(),
        2 => format!("{}.{}", random.u32(..1000), random.u32(..100_000)),
        3 => format!("\"{}\"", random.u64(0..2_000_000_000_000)),
        4 if random.u8(0..100) == 0 => PIECES[random.usize(..PIECES.len())].to_owned(),
        4 | 5 => VALUES[random.usize(..VALUES.len())].to_owned(),
        6 | 7 => {
            let most = if random.u8(0..20) == 0 { 150 } else { 4 };
            let length = random.usize(0..most);
            let items: Vec<String> = (0..length)
                .map(|_| any_value(random, keys, depth - 1))
                .collect();
            let space = space(random);
            format!("[{space}{}]", items.join(&format!(",{space}")))
        }
        _ => {
            let members: Vec<String> = (0..random.usize(0..6))
                .map(|_| {
                    let key = &keys[random.usize(..keys.len())];
                    let space = space(random);
                    format!(
                        "\"{key}\"{space}:{space}{}",
                        any_value(random, keys, depth - 1)
                    )
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

/// A record that is a row, unless something odd is in it.
fn any_record(random: &mut fastrand::Rng, keys: &[String]) -> String {
    let members: Vec<String> = (0..random.usize(0..12))
        .map(|_| {
            let key = &keys[random.usize(..keys.len())];
            format!(",\"{key}\":{}", any_value(random, keys, 4))
        })
        .collect();
    let objects = any_value(random, keys, 4);
    format!(
        "{{\"_id\":\"a\",\"timestamp\":1,\"mainInfo\":{{\"eventObjects\":{objects}}}{}}}",
        members.concat()
    )
}

fn keys() -> Vec<String> {
    let columns = &schema::activity().columns;
    let all = columns
        .iter()
        .chain(columns.iter().flat_map(|column| &column.items));
    let known = all.flat_map(|column| column.path.split('.').map(str::to_owned));
    let others = ["", "k", "user", "User", "a.b", "0", "\\u0075ser", "é"].map(str::to_owned);
    known.filter(|key| !key.is_empty()).chain(others).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is tried is said by the environment"
)]
fn number_in(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// What pages are drawn from, and how many.
fn drawn(few: u64) -> (fastrand::Rng, usize) {
    let seed = number_in("MDCA_FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("MDCA_FUZZ_SEED={seed}");
    let cases = number_in("MDCA_FUZZ_CASES").unwrap_or(few);
    let cases = usize::try_from(cases).unwrap();
    (fastrand::Rng::with_seed(seed), cases)
}

#[test]
fn records_of_the_simulator_are_read_alike() {
    let mut both = Both::new();
    for odd_per_mille in [0, 10, 1_000] {
        let tenant = mdca_sim::Tenant::generate(&mdca_sim::TenantOptions {
            activities: 1_500,
            odd_per_mille,
            ..mdca_sim::TenantOptions::default()
        });
        let records = tenant.records(mdca_sim::ClockField::Created, 0..i64::MAX);
        let records: Vec<String> = records.into_iter().map(|record| record.json).collect();
        for page in records.chunks(500) {
            both.expect_same(&format!("[{}]", page.join(",")));
            both.expect_same(&format!("[\n{}\n]", page[..70].join(" ,\n")));
        }
        let pretty = |record: &String| {
            let value: serde_json::Value = serde_json::from_str(record).unwrap();
            serde_json::to_string_pretty(&value).unwrap()
        };
        let pretty: Vec<String> = records[..200].iter().map(pretty).collect();
        both.expect_same(&format!("[{}]", pretty.join(",")));
    }
    assert!(both.records > 5_000 && both.refused == 0);
}

/// A decoder that has learned nothing yet guesses no key at all, and an empty one is none that it knows.
#[test]
fn an_empty_key_is_unknown_wherever_it_stands() {
    for (before, after) in [
        ("", ""),
        (r#""appId":1,"#, ""),
        (r#""user":{"#, "}"),
        (r#""user":{"userName":"u","#, r#","userTags":[]}"#),
        (r#""mainInfo":{"eventObjects":[{"#, "}]}"),
        (
            r#""mainInfo":{"eventObjects":[{"role":1,"#,
            r#","name":"n"}]}"#,
        ),
    ] {
        for value in ["5", "true", "null", r#"{"_id":"x","appName":"y","":[{}]}"#] {
            let record = format!(r#"{{{before}"":{value}{after},"_id":"a","timestamp":1}}"#);
            let mut both = Both::new();
            both.expect_same(&format!("[{record}]"));
            let read = both
                .decoder
                .decode(&format!("[{record}]"), None, &both.ingest);
            let piece = read.unwrap();
            assert_eq!(piece.unknown.len(), 1, "{record}: {:?}", piece.unknown);
            assert_eq!(piece.odd, [], "{record}");
        }
    }
}

#[test]
fn changed_pages_are_read_alike() {
    let (mut random, cases) = drawn(1_000);
    let mut both = Both::new();
    let records = mdca_sim::generator::records(random.u64(0..1_000), 100);
    for _ in 0..cases {
        let at = random.usize(..records.len());
        let record = changed(&mut random, &records[at]);
        let page = format!("[{record},{{\"_id\":\"x\",\"timestamp\":1,\"appId\":2}}]");
        both.expect_same(&page);
    }
    println!("{} records, {} pages were none", both.records, both.refused);
    assert!(both.records > cases / 2 && both.refused > cases / 20);
}

#[test]
fn any_records_are_read_alike() {
    let (mut random, cases) = drawn(1_000);
    let mut both = Both::new();
    let keys = keys();
    for _ in 0..cases {
        // Some pages have more rows than a block of columns.
        let more = if random.u8(0..20) == 0 { 150 } else { 2 };
        let records: Vec<String> = (0..=random.usize(0..more))
            .map(|_| any_record(&mut random, &keys))
            .collect();
        let other = any_value(&mut random, &keys, 3);
        both.expect_same(&format!("[{},{other}]", records.join(",")));
    }
    println!("{} records, {} pages were none", both.records, both.refused);
    assert!(both.records > cases);
}
