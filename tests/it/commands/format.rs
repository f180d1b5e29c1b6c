//! What files are like, whoever reads them.

use std::fs::{self, File};

use mdca_lake::schema::{self, Column, Kind};
use parquet::basic::Compression;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::support::files::{same_day, write};
use crate::support::readers;

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

/// The schema file says what columns are like, and nothing else does.
#[tokio::test]
async fn a_large_row_group_is_laid_out_as_the_schema_file_says() {
    let lake = tempfile::tempdir().unwrap();
    let records = same_day(mdca_sim::generator::records(7, 4_200));
    let entry = write(lake.path(), &records).await;
    let file = File::open(lake.path().join(&entry.path)).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let columns = reader.metadata().row_group(0).columns();
    let looked_up: Vec<&str> = schema::activity().looked_up().collect();
    let wanted = [
        "activity_id",
        "user_name",
        "failed_user_data_user_name",
        "resolved_actor_id",
        "device_client_ip",
    ];
    assert_eq!(looked_up, wanted);
    for column in &schema::activity().columns {
        let Some(chunk) = columns
            .iter()
            .find(|chunk| chunk.column_path().string() == column.name)
        else {
            continue;
        };
        let name = &column.name;
        assert_eq!(
            chunk.bloom_filter_offset().is_some(),
            column.looked_up,
            "{name}"
        );
        let is_empty = chunk.compression() == Compression::UNCOMPRESSED;
        let plain = column.unique || column.kind == Kind::Bool || is_empty;
        assert_eq!(chunk.dictionary_page_offset().is_none(), plain, "{name}");
        let is_sought = column.looked_up || ["timestamp", "created"].contains(&name.as_str());
        assert_eq!(chunk.statistics().is_some(), is_sought, "{name}");
        assert!(chunk.offset_index_offset().is_some(), "{name}");
        if column.copy_of_id {
            assert!(chunk.compressed_size() < 200, "{}", chunk.compressed_size());
        }
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
