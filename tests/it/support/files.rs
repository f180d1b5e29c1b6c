//! Single files, written as a slice's scan writes them.

use std::path::Path;

use mdca_lake::decode::{Ingest, PageDecoder};
use mdca_lake::partition::split;
use mdca_lake::store::Store;
use mdca_lake::write::{CompressionLevel, FileEntry, Provenance, SliceWriter, WriteOptions};

pub(crate) const SLICE: &str = "20261119T1000Z-20261119T1100Z";
pub(crate) const ATTEMPT: &str = "0123456789abcdef";
pub(crate) const RUN: &str = "20261121T071800Z-0a1b2c3d";

/// Writes records as a slice's only file.
pub(crate) async fn write(lake: &Path, records: &[String]) -> FileEntry {
    let ingest = Ingest {
        run: RUN.to_owned(),
        received_ms: 1,
        keep_raw: false,
    };
    let page = PageDecoder::new(usize::MAX)
        .decode(&format!("[{}]", records.join(",")), None, &ingest)
        .unwrap();
    let mut writer = SliceWriter::new(
        Store::open(lake.to_str().unwrap()).unwrap(),
        page.batch.schema(),
        SLICE,
        ATTEMPT,
        WriteOptions {
            compression: CompressionLevel::DEFAULT,
            max_file_bytes: u64::MAX,
            buffer_bytes: usize::MAX,
        },
        Provenance {
            tool_version: "mdca-lake 0.1.0".to_owned(),
            schema_version: "1".to_owned(),
            run: ingest.run.clone(),
            clock: "created".to_owned(),
        },
    );
    for (key, part) in split(&page.batch).unwrap() {
        writer.write(key, part).await.unwrap();
    }
    let mut files = writer.finish().await.unwrap();
    assert_eq!(files.len(), 1);
    files[0].publish().await.unwrap();
    files[0].entry.clone()
}

/// The records with times of one day.
pub(crate) fn same_day(records: Vec<String>) -> Vec<String> {
    (0_i64..)
        .zip(records)
        .map(|(n, record)| {
            let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
            record["timestamp"] = (1_595_096_313_000 + n).into();
            record.to_string()
        })
        .collect()
}
