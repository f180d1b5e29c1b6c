//! How fast do record batches become Parquet files, and how fast are they parted by day?
//!
//! The rows of a page of believable records, over and over: `encode` writes them through
//! [`SliceWriter`] to a disk, sealed and not published, at the levels of zstd that are asked for;
//! `split` parts them by day, once for a page of one day and once for a page of a week. Throughput is
//! in bytes of the JSON that they came from, so that it can be laid beside the decoder's.

use std::hint::black_box;
use std::time::Duration;

use arrow::array::RecordBatch;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mdca_lake::decode::{Ingest, PageDecoder};
use mdca_lake::partition;
use mdca_lake::schema;
use mdca_lake::store::Store;
use mdca_lake::write::{Provenance, SliceWriter, WriteOptions};
use mdca_sim::{ClockField, Tenant, TenantOptions};
use tokio::runtime::Runtime;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const RECORDS: u64 = 5_000;
/// Pages of one slice: about what a row group holds.
const PAGES: u64 = 4;
/// Settings of `--compression`: none of the others is in between.
const LEVELS: [&str; 3] = ["zstd:1", "zstd:3", "zstd:9"];

/// A page whose records are saved within so many days, as rows, and the length of its text.
fn page(days: i64) -> (RecordBatch, u64) {
    let until_ms = 20_000 * DAY_MS;
    let tenant = Tenant::generate(&TenantOptions {
        activities: RECORDS,
        from_ms: until_ms - days * DAY_MS,
        until_ms,
        ..TenantOptions::default()
    });
    let records = tenant.records(ClockField::Created, 0..i64::MAX);
    let texts: Vec<String> = records.into_iter().map(|record| record.json).collect();
    let array = format!("[{}]", texts.join(","));
    let ingest = Ingest {
        run: "bench".to_owned(),
        received_ms: 0,
        keep_raw: false,
    };
    let piece = PageDecoder::new(usize::MAX)
        .decode(&array, None, &ingest)
        .expect("the simulator makes pages");
    (piece.batch, array.len() as u64)
}

async fn encode(store: &Store, page: &RecordBatch, level: &str) -> u64 {
    let options = WriteOptions {
        compression: level.parse().expect("a level"),
        max_file_bytes: 512 << 20,
        buffer_bytes: 64 << 20,
    };
    let provenance = Provenance {
        tool_version: "bench".to_owned(),
        schema_version: "1".to_owned(),
        run: "bench".to_owned(),
        clock: "created".to_owned(),
    };
    let schema = schema::activity().arrow();
    let mut writer = SliceWriter::new(
        store.clone(),
        schema,
        "20261119T1000Z-20261119T1100Z",
        "bench",
        options,
        provenance,
    );
    for _ in 0..PAGES {
        for (key, rows) in partition::split(page).expect("every row has its day") {
            writer.write(key, rows).await.expect("a disk with room");
        }
    }
    let mut bytes = 0;
    for mut file in writer.finish().await.expect("a disk with room") {
        bytes += file.entry.bytes;
        file.abort().await;
    }
    bytes
}

fn encode_by_level(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads");
    let folder = tempfile::tempdir().expect("a folder");
    let location = folder.path().join("lake");
    let location = location.to_str().expect("a name that is text");
    let store = Store::make(location).expect("a folder");
    let (page, text_bytes) = page(1);
    let mut group = criterion.benchmark_group("encode");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5))
        .throughput(Throughput::ElementsAndBytes {
            elements: PAGES * RECORDS,
            bytes: PAGES * text_bytes,
        });
    for level in LEVELS {
        group.bench_function(BenchmarkId::from_parameter(level), |bencher| {
            bencher.iter(|| runtime.block_on(encode(&store, black_box(&page), level)));
        });
    }
    group.finish();
}

fn split_by_day(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("split");
    for days in [1, 7] {
        let (page, text_bytes) = page(days);
        group.throughput(Throughput::ElementsAndBytes {
            elements: RECORDS,
            bytes: text_bytes,
        });
        group.bench_function(BenchmarkId::new("days", days), |bencher| {
            bencher.iter(|| partition::split(black_box(&page)));
        });
    }
    group.finish();
}

criterion_group!(benches, encode_by_level, split_by_day);
criterion_main!(benches);
