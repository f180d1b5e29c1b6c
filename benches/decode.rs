//! How fast does the text of a page become a record batch?
//!
//! Every contender reads the same page in the same run: the decoder (every column, `unmapped`
//! included); arrow-json's (the same leaves; JSON text as a column is beyond it, so those keys are
//! skipped, as is every key that the schema does not know); `serde_json` into typed structs and into its
//! `Value`s, which make no columns; and `serde_json` passing over the page, which is the limit. Who
//! cannot read a page is left out there. Behind criterion's figures comes the table of ratios, from rounds
//! in which all contenders take turns: what else the machine does falls on all of them alike.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mdca_lake::decode::{Ingest, PageDecoder};
use mdca_lake::schema::{self, Column, Kind};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A node of the record's own shape, rebuilt from the columns' paths.
#[derive(Default)]
struct Shape {
    leaf: Option<DataType>,
    below: BTreeMap<String, Shape>,
}

impl Shape {
    fn insert(&mut self, path: &str, data_type: DataType) {
        match path.split_once('.') {
            Some((key, rest)) => self
                .below
                .entry(key.to_owned())
                .or_default()
                .insert(rest, data_type),
            None => self.below.entry(path.to_owned()).or_default().leaf = Some(data_type),
        }
    }

    fn fields(&self) -> Fields {
        let field = |(key, shape): (&String, &Self)| {
            let data_type = shape
                .leaf
                .clone()
                .unwrap_or_else(|| DataType::Struct(shape.fields()));
            Field::new(key, data_type, true)
        };
        self.below.iter().map(field).collect()
    }
}

/// The type of a column in the record's own names.
fn record_type(column: &Column) -> DataType {
    match column.kind {
        // arrow-json reads numbers as times in the unit of the type; the record has milliseconds.
        Kind::Time => DataType::Timestamp(TimeUnit::Millisecond, None),
        Kind::ObjectList => {
            DataType::new_list(DataType::Struct(shape_of(&column.items).fields()), true)
        }
        _ => column.data_type(),
    }
}

fn shape_of(columns: &[Column]) -> Shape {
    let mut shape = Shape::default();
    for column in columns
        .iter()
        .filter(|column| !column.path.is_empty() && column.kind != Kind::Json)
    {
        shape.insert(&column.path, record_type(column));
    }
    shape
}

/// What a program would write by hand for these records.
#[derive(Deserialize)]
#[expect(dead_code, reason = "reading them is what is measured")]
#[serde(rename_all = "camelCase")]
struct Activity<'a> {
    #[serde(rename = "_id")]
    id: String,
    timestamp: i64,
    created: Option<i64>,
    instantiation: Option<i64>,
    uid: Option<String>,
    tenant_id: Option<i64>,
    app_id: Option<i64>,
    app_name: Option<String>,
    event_type_value: Option<String>,
    event_type_name: Option<String>,
    severity: Option<String>,
    description: Option<String>,
    classifications: Option<Vec<String>>,
    #[serde(borrow)]
    user: Option<&'a serde_json::value::RawValue>,
    #[serde(borrow)]
    device: Option<&'a serde_json::value::RawValue>,
    #[serde(borrow)]
    location: Option<&'a serde_json::value::RawValue>,
    #[serde(borrow)]
    main_info: Option<MainInfo<'a>>,
    #[serde(borrow)]
    raw_data_json: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "reading them is what is measured")]
#[serde(rename_all = "camelCase")]
struct MainInfo<'a> {
    #[serde(borrow)]
    event_objects: Option<Vec<&'a serde_json::value::RawValue>>,
    raw_operation_name: Option<String>,
    pretty_operation_name: Option<String>,
}

/// A page, and what it is called.
struct Page {
    name: String,
    records: Vec<String>,
}

impl Page {
    fn new(name: &str, records: Vec<String>) -> Self {
        Self {
            name: format!("{name}/{}", records.len()),
            records,
        }
    }
}

/// As many records as an answer holds by default in the documents, and as many as it can hold.
const SIZES: &[u64] = &[500, 5_000];

/// Whether anything is measured; `cargo test` only tries whether everything works.
fn is_measured() -> bool {
    std::env::args().any(|arg| arg == "--bench")
}

fn pages() -> Vec<Page> {
    let mut pages = Vec::new();
    let sizes = if is_measured() { SIZES } else { &[50] };
    for &size in sizes {
        pages.push(Page::new("believable", generated(size, 0)));
        pages.push(Page::new("hostile", generated(size, 1_000)));
        pages.push(Page::new("tiny", (0..size).map(tiny).collect()));
        // Of 100 KB each: a tenth of the records is a page already.
        let huge = generated(size / 10, 0);
        pages.push(Page::new(
            "huge",
            huge.iter().map(|record| grown(record)).collect(),
        ));
    }
    pages
}

/// Generated records, of which so many in a thousand have a value of another type than documented.
fn generated(activities: u64, odd_per_mille: u32) -> Vec<String> {
    let tenant = mdca_sim::Tenant::generate(&mdca_sim::TenantOptions {
        activities,
        odd_per_mille,
        ..mdca_sim::TenantOptions::default()
    });
    tenant
        .records(mdca_sim::ClockField::Created, 0..i64::MAX)
        .into_iter()
        .map(|record| record.json)
        .collect()
}

fn tiny(number: u64) -> String {
    let time_ms = 1_795_046_400_000 + number;
    format!("{{\"_id\":\"52065257_20892_{number}\",\"timestamp\":{time_ms},\"created\":{time_ms}}}")
}

/// A record with hundreds of event objects more, and of keys in its raw data.
fn grown(record: &str) -> String {
    let object = "{\"objType\":1,\"role\":3,\"tags\":[],\"name\":\"https://contoso.sharepoint.com/sites/operations/\",\"serviceObjectType\":\"File\"},";
    let member =
        |number| format!("\"Property{number}\":{{\"OldValue\":\"{number}\",\"NewValue\":null}},");
    let members: String = (0..1_000).map(member).collect();
    record
        .replacen(
            "\"eventObjects\":[{",
            &format!("\"eventObjects\":[{}{{", object.repeat(400)),
            1,
        )
        .replacen(
            "\"rawDataJson\":{\"",
            &format!("\"rawDataJson\":{{{members}\""),
            1,
        )
}

/// Reads a page over and over: the rows that it found; none where it cannot read the page.
type Contender<'p> = (&'static str, Box<dyn FnMut() -> Option<usize> + 'p>);

fn contenders<'p>(page: &'p Page, array: &'p str, lines: &'p str) -> Vec<Contender<'p>> {
    let records = page.records.len();
    let ingest = Ingest {
        run: "bench".to_owned(),
        received_ms: 0,
        keep_raw: false,
    };
    let mut decoder = PageDecoder::new(usize::MAX);
    let shape = Arc::new(Schema::new(shape_of(&schema::activity().columns).fields()));
    let mut contenders: Vec<Contender<'p>> = vec![
        (
            "mdca-lake",
            Box::new(move || {
                let piece = decoder.decode(black_box(array), None, &ingest).ok()?;
                Some(piece.batch.num_rows())
            }),
        ),
        (
            "arrow-json",
            Box::new(move || {
                let mut decoder = arrow_json::ReaderBuilder::new(Arc::clone(&shape))
                    .with_batch_size(records)
                    .with_coerce_primitive(true)
                    .build_decoder()
                    .ok()?;
                decoder.decode(black_box(lines.as_bytes())).ok()?;
                Some(decoder.flush().ok()??.num_rows())
            }),
        ),
        (
            "typed structs",
            Box::new(move || {
                let records = serde_json::from_str::<Vec<Activity<'_>>>(black_box(array));
                Some(records.ok()?.len())
            }),
        ),
        (
            "serde_json::Value",
            Box::new(move || {
                let values = serde_json::from_str::<Vec<serde_json::Value>>(black_box(array));
                Some(values.ok()?.len())
            }),
        ),
        (
            "skip",
            Box::new(move || {
                let records = serde_json::from_str::<Vec<IgnoredAny>>(black_box(array));
                Some(records.ok()?.len())
            }),
        ),
    ];
    contenders.retain_mut(|(_, read)| read() == Some(records));
    contenders
}

fn decode(criterion: &mut Criterion) {
    let mut table = Vec::new();
    for page in pages() {
        let array = format!("[{}]", page.records.join(","));
        let lines = page.records.join("\n");
        let mut contenders = contenders(&page, &array, &lines);
        let mut group = criterion.benchmark_group(&page.name);
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(2))
            .throughput(Throughput::ElementsAndBytes {
                elements: page.records.len() as u64,
                bytes: array.len() as u64,
            });
        for (name, read) in &mut contenders {
            group.bench_function(*name, |bencher| bencher.iter(&mut *read));
        }
        group.finish();
        if is_measured() {
            table.push((page.name.clone(), array.len(), in_turns(&mut contenders)));
        }
    }
    print(&table);
}

/// What each contender takes, in seconds.
type Times = Vec<(&'static str, f64)>;

/// What each contender takes in the middle of many rounds.
fn in_turns(contenders: &mut [Contender<'_>]) -> Times {
    let mut seconds = vec![Vec::new(); contenders.len()];
    let begin = Instant::now();
    while seconds[0].len() < 5
        || (begin.elapsed() < Duration::from_secs(3) && seconds[0].len() < 101)
    {
        for ((_, read), seconds) in contenders.iter_mut().zip(&mut seconds) {
            // Once more before: nobody pays for the memory that the one before gave back.
            black_box(read());
            let begin = Instant::now();
            black_box(read());
            seconds.push(begin.elapsed().as_secs_f64());
        }
    }
    let middle = |mut seconds: Vec<f64>| {
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    };
    let names = contenders.iter().map(|(name, _)| *name);
    names.zip(seconds.into_iter().map(middle)).collect()
}

/// The table: how much faster than arrow-json, or than `Value`s where arrow-json cannot read the page.
#[expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a table for people"
)]
fn print(table: &[(String, usize, Times)]) {
    for (page, bytes, times) in table {
        let of = |wanted| times.iter().find(|(name, _)| *name == wanted);
        let (unit, one) = of("arrow-json")
            .or(of("serde_json::Value"))
            .expect("it reads any page");
        print!("{page:<16} {:>6.1} MB, in {unit}s:", *bytes as f64 / 1e6);
        for (name, seconds) in times {
            let rate = *bytes as f64 / seconds / 1e6;
            print!("  {name} {:.2} ({rate:.0} MB/s)", one / seconds);
        }
        println!();
    }
}

/// The most that decoding may take, in times that `serde_json` takes to skip the same page. It is 1.6
/// with the optimisation of tests, and less in a release.
const SLOWEST: f64 = 2.5;
/// The most by which that may grow from 500 records to 5,000.
const GROWTH: f64 = 1.5;

/// A guard against slow-down, where nothing else is measured: a ratio in one run, which hardly depends
/// on the machine and what else it does.
#[expect(clippy::print_stdout, reason = "a line for people")]
fn guard(_: &mut Criterion) {
    if is_measured() {
        return;
    }
    let ratio = |records| {
        let page = Page::new("believable", generated(records, 0));
        let array = format!("[{}]", page.records.join(","));
        let mut contenders = contenders(&page, &array, "");
        contenders.retain(|(name, _)| ["mdca-lake", "skip"].contains(name));
        let times = in_turns(&mut contenders);
        times[0].1 / times[1].1
    };
    let (few, many) = (ratio(500), ratio(5_000));
    println!(
        "decoding takes {few:.2} times as long as skipping, and {many:.2} times on a large page"
    );
    assert!(few < SLOWEST, "decoding has become slow: {few:.2}");
    assert!(
        many < few * GROWTH,
        "decoding is slower on a large page: {few:.2}, {many:.2}"
    );
}

criterion_group!(benches, decode, guard);
criterion_main!(benches);
