//! How fast does the text of a page become a record batch?
//!
//! Three contenders on the same page of 5,000 records, in one run: the decoder (every column,
//! `unmapped` included), arrow-json's decoder (the same leaves; JSON text as a column is beyond it,
//! so those keys are skipped, as is every key that the schema does not know), and `serde_json` into
//! typed structs (no columns made).

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mdca_lake::decode::{Ingest, PageDecoder};
use mdca_lake::schema::{self, Column, Kind};
use serde::Deserialize;

/// Records in the page: as many as one answer of the service can hold.
const RECORDS: u64 = 5_000;

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

fn decode(criterion: &mut Criterion) {
    // Without oddities: arrow-json gives up at the first value of another type.
    let records = plain_records();
    let array = format!("[{}]", records.join(","));
    let lines = records.join("\n");
    let mut group = criterion.benchmark_group("decode");
    group.sample_size(10);
    for (unit, throughput) in [
        ("bytes", Throughput::Bytes(array.len() as u64)),
        ("elements", Throughput::Elements(RECORDS)),
    ] {
        group.throughput(throughput);
        group.bench_function(format!("{unit}/mdca-lake"), |bencher| {
            let ingest = Ingest {
                run: "bench".to_owned(),
                received_ms: 0,
                keep_raw: false,
            };
            let mut decoder = PageDecoder::new(usize::MAX);
            bencher.iter(|| {
                decoder
                    .decode(black_box(&array), None, &ingest)
                    .expect("a page")
                    .batch
                    .num_rows()
            });
        });
        group.bench_function(format!("{unit}/arrow-json"), |bencher| {
            let shape = Arc::new(Schema::new(shape_of(&schema::activity().columns).fields()));
            bencher.iter(|| {
                let mut decoder = arrow_json::ReaderBuilder::new(Arc::clone(&shape))
                    .with_batch_size(usize::try_from(RECORDS).expect("a small number"))
                    .with_coerce_primitive(true)
                    .build_decoder()
                    .expect("a decoder");
                decoder
                    .decode(black_box(lines.as_bytes()))
                    .expect("records");
                decoder.flush().expect("a batch").expect("rows").num_rows()
            });
        });
        group.bench_function(format!("{unit}/serde structs"), |bencher| {
            bencher.iter(|| {
                serde_json::from_str::<Vec<Activity<'_>>>(black_box(&array))
                    .expect("records")
                    .len()
            });
        });
    }
    group.finish();
}

/// Generated records without values of another type than documented: arrow-json would stop there.
fn plain_records() -> Vec<String> {
    let tenant = mdca_sim::Tenant::generate(&mdca_sim::TenantOptions {
        activities: RECORDS,
        odd_per_mille: 0,
        ..mdca_sim::TenantOptions::default()
    });
    tenant
        .records(mdca_sim::ClockField::Created, 0..i64::MAX)
        .into_iter()
        .map(|record| record.json)
        .collect()
}

criterion_group!(benches, decode);
criterion_main!(benches);
