//! What files are like, whoever reads them.

use std::fs;
use std::path::Path;

use mdca_lake::decode::{Ingest, PageDecoder};
use mdca_lake::partition::split;
use mdca_lake::schema::{self, Column, Kind};
use mdca_lake::store::Store;
use mdca_lake::write::{CompressionLevel, FileEntry, Provenance, SliceWriter, WriteOptions};

use crate::support::readers;

/// Writes records as a slice's only file.
async fn write(lake: &Path, records: &[String]) -> FileEntry {
    let ingest = Ingest {
        run: "20261121T071800Z-0a1b2c3d".to_owned(),
        received_ms: 1,
        keep_raw: false,
    };
    let page = PageDecoder::new(usize::MAX)
        .decode(&format!("[{}]", records.join(",")), None, &ingest)
        .unwrap();
    let mut writer = SliceWriter::new(
        Store::open(lake.to_str().unwrap()).unwrap(),
        page.batch.schema(),
        "20261119T1000Z-20261119T1100Z",
        "0123456789abcdef",
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

/// Late activities come to a day one at a time. The hundred columns cost 12 KiB, the rest is the
/// record itself.
#[tokio::test]
async fn a_file_of_one_row_is_12_kib_beside_its_record() {
    let lake = tempfile::tempdir().unwrap();
    let bare = r#"{"_id":"97134000_15600_97ee2049","timestamp":1595096313000,"created":1595096373000,"appId":15600,"user":{"userName":"ada@contoso.example"}}"#;
    let mut records = mdca_sim::generator::records(7, 12);
    records.push(bare.to_owned());
    for record in records {
        let entry = write(lake.path(), std::slice::from_ref(&record)).await;
        let size = fs::metadata(lake.path().join(&entry.path)).unwrap().len();
        println!("{size} bytes for a record of {}", record.len());
        assert_eq!(size, entry.bytes);
        let own_bytes = if record == bare {
            0
        } else {
            record.len() as u64
        };
        assert!(size <= 12 * 1024 + own_bytes, "{size}: {record}");
    }
}

/// Types are Parquet's own: there is no copy of Arrow's schema from which a reader could take others.
#[tokio::test]
async fn duckdb_and_pyarrow_read_the_types_of_the_schema() {
    let lake = tempfile::tempdir().unwrap();
    let entry = write(lake.path(), &mdca_sim::generator::records(7, 1)).await;
    let found = readers::types(&lake.path().join(&entry.path));
    let expected = schema::activity().columns.iter().map(|column| {
        let (duckdb, pyarrow) = types(column);
        (column.name.clone(), duckdb, pyarrow)
    });
    assert_eq!(found, expected.collect::<Vec<_>>());
}

/// A column's type to `DuckDB` and to pyarrow.
fn types(column: &Column) -> (String, String) {
    let (duckdb, pyarrow) = match column.kind {
        Kind::String | Kind::Json => ("VARCHAR", "string"),
        Kind::Int64 => ("BIGINT", "int64"),
        Kind::Bool => ("BOOLEAN", "bool"),
        Kind::Double => ("DOUBLE", "double"),
        Kind::Time => ("TIMESTAMP WITH TIME ZONE", "timestamp[us, tz=UTC]"),
        Kind::StringList => ("VARCHAR[]", "list<element: string>"),
        Kind::ObjectList => {
            let (mut duckdb, mut pyarrow) = (Vec::new(), Vec::new());
            for item in &column.items {
                let (in_duckdb, in_pyarrow) = types(item);
                // A word of SQL is quoted.
                let quoted = ["role", "name", "value"].contains(&item.name.as_str());
                let name = if quoted {
                    format!("\"{}\"", item.name)
                } else {
                    item.name.clone()
                };
                duckdb.push(format!("{name} {in_duckdb}"));
                pyarrow.push(format!("{}: {in_pyarrow}", item.name));
            }
            return (
                format!("STRUCT({})[]", duckdb.join(", ")),
                format!("list<element: struct<{}>>", pyarrow.join(", ")),
            );
        }
    };
    (duckdb.to_owned(), pyarrow.to_owned())
}
