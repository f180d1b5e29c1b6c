//! The stage over a lake in a temporary folder, read back with Parquet's own reader.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListBuilder, RecordBatch,
    StringArray, StringBuilder, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit, TimestampMicrosecondType};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, SortingColumn,
};
use parquet::file::statistics::Statistics;
use parquet::schema::printer::print_schema;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::partition::split;
use crate::schema::{KIND_KEY, LOOKED_UP_KEY, UNIQUE_KEY};
use crate::store::RemoteUploads;

const DAY_US: i64 = 86_400_000_000;
const SLICE: &str = "20261119T1000Z-20261119T1100Z";
const ATTEMPT: &str = "k3v9";

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn object_fields() -> Fields {
    Fields::from(vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("role", DataType::Int64, true),
    ])
}

/// The mark that the schema puts on columns of a sort.
fn marked(field: Field, keys: &[&str]) -> Field {
    field.with_metadata(
        keys.iter()
            .map(|&key| (key.to_owned(), "true".to_owned()))
            .collect::<BTreeMap<String, String>>(),
    )
}

/// One column of each kind that the real schema has, and each mark that the layout knows.
fn schema() -> SchemaRef {
    let list = |item: DataType| DataType::List(Arc::new(Field::new("element", item, true)));
    Arc::new(Schema::new(vec![
        marked(
            Field::new("activity_id", DataType::Utf8, false),
            &[LOOKED_UP_KEY, UNIQUE_KEY],
        ),
        Field::new("timestamp", time(), false),
        Field::new("created", time(), true),
        marked(Field::new("uid", DataType::Utf8, true), &[UNIQUE_KEY]),
        marked(
            Field::new("user_name", DataType::Utf8, true),
            &[LOOKED_UP_KEY],
        ),
        marked(
            Field::new("device_client_ip", DataType::Utf8, true),
            &[LOOKED_UP_KEY],
        ),
        Field::new("app_id", DataType::Int64, true),
        Field::new("location_latitude", DataType::Float64, true),
        Field::new("resolved_actor_resolved", DataType::Boolean, true),
        Field::new("user_tags", list(DataType::Utf8), true),
        Field::new(
            "main_info_event_objects",
            list(DataType::Struct(object_fields())),
            true,
        ),
        marked(
            Field::new("raw_data_json", DataType::Utf8, true),
            &[KIND_KEY, UNIQUE_KEY],
        ),
        marked(
            Field::new("raw", DataType::Utf8, true),
            &[KIND_KEY, UNIQUE_KEY],
        ),
    ]))
}

/// A row: its number, which its id and all of its other values come from, and its time.
type Row = (u32, i64);

fn id(number: u32) -> String {
    format!("97134000_15600_{number:08}")
}

fn batch(rows: &[Row]) -> RecordBatch {
    let text = |of: &dyn Fn(u32) -> Option<String>| -> ArrayRef {
        Arc::new(
            rows.iter()
                .map(|&(number, _)| of(number))
                .collect::<StringArray>(),
        )
    };
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.1));
    let created = rows
        .iter()
        .map(|&(number, time)| (number % 5 != 0).then_some(time + 240_000_000));
    let mut tags = ListBuilder::new(StringBuilder::new()).with_field(Field::new(
        "element",
        DataType::Utf8,
        true,
    ));
    let mut lengths = Vec::new();
    let (mut object_ids, mut roles) = (Vec::new(), Vec::new());
    for &(number, _) in rows {
        if number % 4 == 0 {
            tags.append_null();
        } else {
            tags.append_value((0..number % 3).map(|tag| Some(format!("tag{tag}"))));
        }
        lengths.push(usize::try_from(number % 3).unwrap());
        for object in 0..number % 3 {
            object_ids.push(Some(format!("{number}/{object}")));
            roles.push((object > 0).then_some(i64::from(object)));
        }
    }
    let objects = StructArray::new(
        object_fields(),
        vec![
            Arc::new(StringArray::from(object_ids)) as ArrayRef,
            Arc::new(Int64Array::from(roles)),
        ],
        None,
    );
    let objects = arrow::array::ListArray::new(
        Arc::new(Field::new(
            "element",
            DataType::Struct(object_fields()),
            true,
        )),
        OffsetBuffer::from_lengths(lengths),
        Arc::new(objects),
        None,
    );
    RecordBatch::try_new(
        schema(),
        vec![
            text(&|number| Some(id(number))),
            Arc::new(times.with_timezone("UTC")),
            Arc::new(
                created
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
            text(&|number| Some(id(number))),
            text(&|number| Some(format!("user{}@{}", number % 7, "x".repeat(100)))),
            text(&|number| Some(format!("10.0.0.{}", number % 250))),
            Arc::new(
                rows.iter()
                    .map(|row| Some(i64::from(row.0 % 3)))
                    .collect::<Int64Array>(),
            ),
            Arc::new(
                rows.iter()
                    .map(|row| Some(f64::from(row.0) / 3.0))
                    .collect::<Float64Array>(),
            ),
            Arc::new(
                rows.iter()
                    .map(|row| Some(row.0 % 2 == 0))
                    .collect::<BooleanArray>(),
            ),
            Arc::new(tags.finish()),
            Arc::new(objects),
            text(&|number| Some(format!(r#"{{"number":{number}}}"#))),
            text(&|number| (number % 2 == 0).then(|| format!("{number}"))),
        ],
    )
    .unwrap()
}

/// Rows of one day in an order that is not theirs.
fn shuffled(day: i64, first: u32, rows: u32) -> Vec<Row> {
    (0..rows)
        .map(|row| {
            let second = i64::from((row * 7_919 + 13) % 3_600);
            (first + row, day * DAY_US + second * 1_000_000)
        })
        .collect()
}

fn key(day: i64) -> PartitionKey {
    PartitionKey::of_timestamp_us(day * DAY_US).unwrap()
}

fn options() -> WriteOptions {
    WriteOptions {
        compression: CompressionLevel::DEFAULT,
        max_file_bytes: 512 * 1024 * 1024,
        buffer_bytes: 64 * 1024 * 1024,
    }
}

/// A writer that writes a row group with every call.
fn eager_writer(lake: &TempDir) -> SliceWriter {
    let options = WriteOptions {
        buffer_bytes: 0,
        ..options()
    };
    writer_with(lake, options)
}

fn writer_with(lake: &TempDir, options: WriteOptions) -> SliceWriter {
    let store = Store::open(lake.path().to_str().unwrap()).unwrap();
    let provenance = Provenance {
        tool_version: "mdca-lake 0.1.0".to_owned(),
        schema_version: "1".to_owned(),
        run: "r7".to_owned(),
        clock: "created".to_owned(),
    };
    SliceWriter::new(store, schema(), SLICE, ATTEMPT, options, provenance)
}

fn writer(lake: &TempDir) -> SliceWriter {
    writer_with(lake, options())
}

async fn write_split(writer: &mut SliceWriter, rows: &[Row]) {
    for (key, part) in split(&batch(rows)).unwrap() {
        writer.write(key, part).await.unwrap();
    }
}

async fn publish(files: Vec<FinishedFile>) -> Vec<FileEntry> {
    let mut entries = Vec::new();
    for mut file in files {
        file.publish().await.unwrap();
        entries.push(file.entry.clone());
    }
    entries
}

async fn write_and_publish(mut writer: SliceWriter, rows: &[Row]) -> Vec<FileEntry> {
    write_split(&mut writer, rows).await;
    publish(writer.finish().await.unwrap()).await
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn footer(lake: &TempDir, entry: &FileEntry) -> ParquetMetaData {
    ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Optional)
        .parse_and_finish(&File::open(lake.path().join(&entry.path)).unwrap())
        .unwrap()
}

/// The row groups of a file, one batch for each.
fn row_groups(lake: &TempDir, entry: &FileEntry) -> Vec<RecordBatch> {
    let count = footer(lake, entry).num_row_groups();
    (0..count)
        .map(|row_group| {
            let file = File::open(lake.path().join(&entry.path)).unwrap();
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            assert!(builder.schema().column_with_name("event_date").is_none());
            let reader = builder
                .with_row_groups(vec![row_group])
                .with_batch_size(1 << 20)
                .build()
                .unwrap();
            let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
            assert_eq!(batches.len(), 1);
            batches.into_iter().next().unwrap()
        })
        .collect()
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let ids = batch.column(0).as_string::<i32>();
    let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
    ids.iter()
        .zip(times.values())
        .map(|(id, &time)| (id.unwrap()[15..].parse().unwrap(), time))
        .collect()
}

/// All rows of the lake by the day that their file's folder names.
fn read_back(lake: &TempDir, entries: &[FileEntry]) -> BTreeMap<PartitionKey, Vec<Row>> {
    let mut rows: BTreeMap<PartitionKey, Vec<Row>> = BTreeMap::new();
    for entry in entries {
        let key: PartitionKey = entry.path.split('/').nth(1).unwrap().parse().unwrap();
        for group in row_groups(lake, entry) {
            rows.entry(key).or_default().extend(rows_of(&group));
        }
    }
    rows
}

fn by_day(rows: &[Row]) -> BTreeMap<PartitionKey, Vec<Row>> {
    let mut days: BTreeMap<PartitionKey, Vec<Row>> = BTreeMap::new();
    for &row in rows {
        days.entry(PartitionKey::of_timestamp_us(row.1).unwrap())
            .or_default()
            .push(row);
    }
    days
}

fn sorted(mut days: BTreeMap<PartitionKey, Vec<Row>>) -> BTreeMap<PartitionKey, Vec<Row>> {
    for rows in days.values_mut() {
        rows.sort_unstable();
    }
    days
}

fn column<'a>(footer: &'a ParquetMetaData, name: &str) -> &'a ColumnChunkMetaData {
    footer
        .row_group(0)
        .columns()
        .iter()
        .find(|column| column.column_path().string() == name)
        .unwrap()
}

#[tokio::test]
async fn rows_come_back_as_they_were_in_order_of_time() {
    let lake = TempDir::new().unwrap();
    let rows = shuffled(20_000, 0, 5_000);
    let entries = write_and_publish(writer(&lake), &rows).await;
    assert_eq!(entries.len(), 1);
    let groups = row_groups(&lake, &entries[0]);
    assert_eq!(groups.len(), 1);
    let mut expected = rows.clone();
    // Stable: rows of one second keep the order of their arrival.
    expected.sort_by_key(|row| row.1);
    // Every column, not only id and time.
    assert_eq!(groups[0].columns(), batch(&expected).columns());
}

#[tokio::test]
async fn a_compaction_has_a_row_group_for_each_range_of_users() {
    let lake = TempDir::new().unwrap();
    let rows = shuffled(20_000, 0, 20_000);
    let writer = writer(&lake).of_compaction("20241004-0".to_owned());
    let entries = write_and_publish(writer, &rows).await;
    let groups = row_groups(&lake, &entries[0]);
    let sizes: Vec<usize> = groups.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(sizes, [6_667, 6_667, 6_666]);
    let mut found = Vec::new();
    for group in &groups {
        let its_rows = rows_of(group);
        // Every column, not only id and time.
        assert_eq!(group.columns(), batch(&its_rows).columns());
        found.extend(its_rows);
    }
    let mut expected = rows;
    expected.sort_by_key(|&(number, time)| (number % 7, time));
    assert_eq!(found, expected);
    let footer = footer(&lake, &entries[0]);
    let sorting = |column_idx, nulls_first| SortingColumn {
        column_idx,
        descending: false,
        nulls_first,
    };
    let declared = vec![sorting(4, true), sorting(1, false)];
    for (at, group) in footer.row_groups().iter().enumerate() {
        let index = footer.page_index_for_row_group(at);
        let pages = |column| index.offset_index(column).unwrap().page_locations().len();
        assert_eq!(
            (pages(4), pages(1)),
            (7, 1),
            "whose rows lie in a page is known"
        );
        assert!(group.column(4).bloom_filter_offset().is_some());
        assert_eq!(group.sorting_columns(), Some(&declared));
        assert_eq!(RowOrder::declared_by(group), Some(RowOrder::User));
    }
}

#[tokio::test]
async fn rows_that_arrive_in_order_come_back_as_they_were() {
    let lake = TempDir::new().unwrap();
    let rows: Vec<Row> = (0..3_000).map(|row| (row, i64::from(row / 10))).collect();
    let mut writer = writer(&lake);
    for rows in rows.chunks(1_100) {
        write_split(&mut writer, rows).await;
    }
    let entries = publish(writer.finish().await.unwrap()).await;
    let groups = row_groups(&lake, &entries[0]);
    assert_eq!(groups.len(), 1, "a row group does not end with a batch");
    assert_eq!(groups[0].columns(), batch(&rows).columns());
}

#[tokio::test]
async fn nothing_is_visible_before_it_is_published() {
    let lake = TempDir::new().unwrap();
    let mut writer = writer(&lake);
    write_split(&mut writer, &shuffled(20_000, 0, 100)).await;
    let files = writer.finish().await.unwrap();
    assert!(files_below(&lake.path().join("activities")).is_empty());
    let entries = publish(files).await;
    assert_eq!(files_below(&lake.path().join("activities")).len(), 1);
    assert_eq!(
        entries[0].path,
        format!("activities/event_date=2024-10-04/{SLICE}-{ATTEMPT}-0.parquet")
    );
}

#[tokio::test]
async fn an_entry_says_what_is_in_its_file() {
    let lake = TempDir::new().unwrap();
    let start = 20_000 * DAY_US;
    let rows = [(1, start + 7_000), (2, start + 3_999), (5, start + 9_000)];
    let entries = write_and_publish(writer(&lake), &rows).await;
    let bytes = fs::read(lake.path().join(&entries[0].path)).unwrap();
    let start_ms = start / 1000;
    assert_eq!(
        entries[0],
        FileEntry {
            path: entries[0].path.clone(),
            rows: 3,
            bytes: bytes.len() as u64,
            checksum: crate::store::Checksum::of(&bytes),
            timestamp_min_ms: start_ms + 3,
            timestamp_max_ms: start_ms + 9,
            // Row 5 has no `created`.
            created_min_ms: Some(start_ms + 240_003),
            created_max_ms: Some(start_ms + 240_007),
        }
    );
    let text = serde_json::to_string(&entries[0]).unwrap();
    assert_eq!(
        serde_json::from_str::<FileEntry>(&text).unwrap(),
        entries[0]
    );
    // What a newer program says beside it is passed over.
    let more = text.replacen('{', r#"{"more":1,"#, 1);
    assert_eq!(
        serde_json::from_str::<FileEntry>(&more).unwrap(),
        entries[0]
    );
}

#[tokio::test]
async fn a_footer_says_where_its_rows_come_from() {
    let lake = TempDir::new().unwrap();
    let entries = write_and_publish(writer(&lake), &shuffled(20_000, 0, 10)).await;
    let footer = footer(&lake, &entries[0]);
    let found: BTreeMap<&str, &str> = footer
        .file_metadata()
        .key_value_metadata()
        .unwrap()
        .iter()
        .map(|pair| (pair.key.as_str(), pair.value.as_deref().unwrap()))
        .collect();
    let entry = &entries[0];
    let expected = BTreeMap::from([
        ("mdca.attempt", ATTEMPT.to_owned()),
        ("mdca.clock", "created".to_owned()),
        (
            "mdca.created_max_ms",
            entry.created_max_ms.unwrap().to_string(),
        ),
        (
            "mdca.created_min_ms",
            entry.created_min_ms.unwrap().to_string(),
        ),
        ("mdca.rows", "10".to_owned()),
        ("mdca.run", "r7".to_owned()),
        ("mdca.schema_version", "1".to_owned()),
        ("mdca.slice", SLICE.to_owned()),
        ("mdca.sort", "timestamp".to_owned()),
        ("mdca.timestamp_max_ms", entry.timestamp_max_ms.to_string()),
        ("mdca.timestamp_min_ms", entry.timestamp_min_ms.to_string()),
        ("mdca.tool_version", "mdca-lake 0.1.0".to_owned()),
    ]);
    assert!(
        found
            .iter()
            .map(|(&key, &value)| (key, value.to_owned()))
            .eq(expected)
    );
    assert!(
        footer
            .file_metadata()
            .created_by()
            .unwrap()
            .starts_with("parquet-rs")
    );
    assert_eq!(footer.file_metadata().version(), 1);
}

#[tokio::test]
async fn columns_are_laid_out_as_readers_like_them() {
    let lake = TempDir::new().unwrap();
    let entries = write_and_publish(writer(&lake), &shuffled(20_000, 0, 4_096)).await;
    let footer = footer(&lake, &entries[0]);

    for chunk in footer.row_group(0).columns() {
        let name = chunk.column_path().string();
        let name = name.as_str();
        let looked_up = ["activity_id", "user_name", "device_client_ip"].contains(&name);
        assert_eq!(chunk.bloom_filter_offset().is_some(), looked_up, "{name}");
        let plain = [
            "activity_id",
            "uid",
            "raw_data_json",
            "raw",
            "resolved_actor_resolved",
        ];
        let dictionary = chunk.dictionary_page_offset().is_some();
        assert_eq!(dictionary, !plain.contains(&name), "{name}");
        let text = ["raw_data_json", "raw"].contains(&name);
        let is_sought = looked_up || ["timestamp", "created"].contains(&name);
        assert_eq!(chunk.statistics().is_some(), is_sought, "{name}");
        assert_eq!(chunk.column_index_offset().is_none(), text, "{name}");
        assert!(chunk.offset_index_offset().is_some(), "{name}");
        assert!(
            matches!(chunk.compression(), Compression::ZSTD(_)),
            "{name}"
        );
        for encoding in chunk.encodings() {
            assert!(
                matches!(
                    encoding,
                    Encoding::PLAIN | Encoding::RLE | Encoding::RLE_DICTIONARY
                ),
                "{name} {encoding}"
            );
        }
    }

    let Some(Statistics::ByteArray(users)) = column(&footer, "user_name").statistics() else {
        panic!("user_name has statistics of text");
    };
    assert!(users.min_bytes_opt().unwrap().len() <= 64);
    assert!(users.max_bytes_opt().unwrap().len() <= 64);
    assert!(!users.min_is_exact());

    assert_eq!(
        footer.row_group(0).sorting_columns(),
        Some(&vec![SortingColumn {
            column_idx: 1,
            descending: false,
            nulls_first: false
        }])
    );
}

#[tokio::test]
async fn a_small_row_group_has_statistics_where_values_are_sought_and_no_indexes() {
    let lake = TempDir::new().unwrap();
    let entries = write_and_publish(writer(&lake), &shuffled(20_000, 0, 4_095)).await;
    let sought = [
        "activity_id",
        "timestamp",
        "created",
        "user_name",
        "device_client_ip",
    ];
    let footer = footer(&lake, &entries[0]);
    for chunk in footer.row_group(0).columns() {
        let name = chunk.column_path().string();
        assert_eq!(chunk.bloom_filter_offset(), None, "{name}");
        assert_eq!(chunk.offset_index_offset(), None, "{name}");
        assert_eq!(chunk.column_index_offset(), None, "{name}");
        let is_sought = sought.contains(&name.as_str());
        assert_eq!(chunk.statistics().is_some(), is_sought, "{name}");
    }
}

#[tokio::test]
async fn wide_rows_are_indexed_however_few() {
    let lake = TempDir::new().unwrap();
    let mut columns = batch(&shuffled(20_000, 0, 3)).columns().to_vec();
    let wide = schema().index_of("raw_data_json").unwrap();
    columns[wide] = Arc::new(StringArray::from(vec!["x".repeat(4 * 1024 * 1024); 3]));
    let mut writer = writer(&lake);
    let wide = RecordBatch::try_new(schema(), columns).unwrap();
    writer.write(key(20_000), wide).await.unwrap();
    let entries = publish(writer.finish().await.unwrap()).await;
    let footer = footer(&lake, &entries[0]);
    let ids = column(&footer, "activity_id");
    assert!(ids.bloom_filter_offset().is_some() && ids.offset_index_offset().is_some());
}

#[tokio::test]
async fn a_column_of_a_few_bytes_is_written_as_it_is() {
    let lake = TempDir::new().unwrap();
    for (rows, bare) in [(1, true), (200, false)] {
        let entries = write_and_publish(writer(&lake), &shuffled(20_000, 0, rows)).await;
        let footer = footer(&lake, &entries[0]);
        let apps = column(&footer, "app_id");
        assert_eq!(apps.compression() == Compression::UNCOMPRESSED, bare);
        assert_eq!(apps.dictionary_page_offset().is_none(), bare);
    }
}

#[tokio::test]
async fn a_file_has_the_same_schema_whether_values_are_null_or_not() {
    let lake = TempDir::new().unwrap();
    let full = batch(&shuffled(20_000, 0, 50));
    let mut nulls: Vec<ArrayRef> = full.columns()[..2].to_vec();
    nulls.extend(
        full.columns()[2..]
            .iter()
            .map(|column| arrow::array::new_null_array(column.data_type(), 50)),
    );
    let nulls = RecordBatch::try_new(schema(), nulls).unwrap();
    let mut messages = BTreeSet::new();
    for batch in [full, nulls] {
        let mut writer = writer(&lake);
        writer.write(key(20_000), batch).await.unwrap();
        let entries = publish(writer.finish().await.unwrap()).await;
        let mut message = Vec::new();
        print_schema(
            &mut message,
            footer(&lake, &entries[0]).file_metadata().schema(),
        );
        messages.insert(String::from_utf8(message).unwrap());
    }
    assert_eq!(messages.len(), 1);
    let message = messages.pop_first().unwrap();
    assert!(
        message.contains("REQUIRED INT64 timestamp (TIMESTAMP(MICROS,true))"),
        "{message}"
    );
    assert!(
        message.contains("REQUIRED BYTE_ARRAY activity_id (STRING)"),
        "{message}"
    );
    assert!(
        message.contains("OPTIONAL BYTE_ARRAY element (STRING)"),
        "{message}"
    );
    assert!(message.contains("OPTIONAL group element {"), "{message}");
}

#[tokio::test]
async fn sixty_days_share_eight_unfinished_files() {
    let lake = TempDir::new().unwrap();
    // So small that every write is a row group, and files are pushed out over and over.
    let mut writer = eager_writer(&lake);
    let mut all = Vec::new();
    for round in 0..2 {
        for day in 0..60 {
            let number = round * 600 + u32::try_from(day).unwrap() * 10;
            let rows = shuffled(20_000 + day, number, 10);
            write_split(&mut writer, &rows).await;
            assert!(writer.files.len() <= MAX_OPEN_FILES);
            all.extend(rows);
        }
    }
    let entries = publish(writer.finish().await.unwrap()).await;
    assert_eq!(entries.len(), 120);
    let names: BTreeSet<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(names.len(), 120);
    assert_eq!(sorted(read_back(&lake, &entries)), sorted(by_day(&all)));
}

#[tokio::test]
async fn unfinished_files_have_so_many_row_groups_together_and_one_alone_has_any() {
    for (days, files) in [(1, 1..=1), (2, 3..=8)] {
        let lake = TempDir::new().unwrap();
        let mut writer = eager_writer(&lake);
        let mut all = Vec::new();
        for round in 0..200 {
            for day in 0..days {
                let number = round * 10 + u32::try_from(day).unwrap() * 5;
                let rows = shuffled(20_000 + day, number, 2);
                write_split(&mut writer, &rows).await;
                all.extend(rows);
            }
            let row_groups: usize = writer.files.values().map(|file| file.row_groups).sum();
            assert!(days == 1 || row_groups <= MAX_ROW_GROUPS, "{row_groups}");
        }
        let entries = publish(writer.finish().await.unwrap()).await;
        assert!(files.contains(&entries.len()), "{} files", entries.len());
        assert_eq!(sorted(read_back(&lake, &entries)), sorted(by_day(&all)));
    }
}

/// A row of a day whose text hardly gets smaller.
fn noise(random: &mut fastrand::Rng, day: i64, bytes: usize) -> RecordBatch {
    let text: String = (0..bytes).map(|_| random.alphanumeric()).collect();
    let times = TimestampMicrosecondArray::from(vec![day * DAY_US]).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 2] = [
        ("timestamp", Arc::new(times)),
        ("text", Arc::new(StringArray::from(vec![text]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[tokio::test]
async fn what_waits_for_object_storage_is_bounded_over_all_files() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let uploads = RemoteUploads::new(Arc::clone(&objects), "memory".to_owned());
    let store = Store::new(objects, Arc::new(uploads), "memory".to_owned());
    let mut random = fastrand::Rng::with_seed(7);
    let schema = noise(&mut random, 0, 1).schema();
    let provenance = Provenance {
        tool_version: String::new(),
        schema_version: String::new(),
        run: String::new(),
        clock: String::new(),
    };
    let options = WriteOptions {
        buffer_bytes: 0,
        ..options()
    };
    let mut writer = SliceWriter::new(store, schema, SLICE, ATTEMPT, options, provenance);
    let mut most = 0;
    for day in 0..7 {
        let row = noise(&mut random, day, 7 << 20);
        writer.write(key(day), row).await.unwrap();
        most = most.max(writer.waiting_bytes());
    }
    assert!((8 << 20..=MAX_WAITING_BYTES).contains(&most), "{most}");
    let rows = writer.finish().await.unwrap();
    let rows = rows.iter().map(|file| file.entry.rows);
    assert_eq!(rows.sum::<u64>(), 7);
}

#[tokio::test]
async fn the_file_written_longest_ago_makes_room() {
    let lake = TempDir::new().unwrap();
    let mut writer = eager_writer(&lake);
    for day in [1, 2, 3, 4, 5, 6, 7, 8, 1, 9] {
        write_split(&mut writer, &shuffled(day, 0, 1)).await;
    }
    let unfinished: Vec<PartitionKey> = writer.files.keys().copied().collect();
    assert_eq!(unfinished, [1, 3, 4, 5, 6, 7, 8, 9].map(key));
    writer.abort().await;
}

#[tokio::test]
async fn many_days_in_a_large_buffer_are_one_row_group_each() {
    let lake = TempDir::new().unwrap();
    let mut writer = writer(&lake);
    let mut all = Vec::new();
    for page in 0..20 {
        let rows: Vec<Row> = (0..600)
            .map(|row| {
                (
                    page * 600 + row,
                    i64::from(row % 60) * DAY_US + i64::from(row),
                )
            })
            .collect();
        write_split(&mut writer, &rows).await;
        all.extend(rows);
    }
    assert_eq!(writer.begun_files, 0, "no row group for each page");
    let entries = publish(writer.finish().await.unwrap()).await;
    assert_eq!(entries.len(), 60);
    for entry in &entries {
        assert_eq!(footer(&lake, entry).num_row_groups(), 1);
    }
    assert_eq!(sorted(read_back(&lake, &entries)), sorted(by_day(&all)));
}

#[tokio::test]
async fn a_file_rolls_at_its_size() {
    let lake = TempDir::new().unwrap();
    let options = WriteOptions {
        max_file_bytes: 1,
        buffer_bytes: 0,
        ..options()
    };
    let mut writer = writer_with(&lake, options);
    for first in [0, 100, 200] {
        write_split(&mut writer, &shuffled(20_000, first, 100)).await;
    }
    let entries = publish(writer.finish().await.unwrap()).await;
    let rows: Vec<u64> = entries.iter().map(|entry| entry.rows).collect();
    assert_eq!(rows, [100, 100, 100]);
    for (number, entry) in entries.iter().enumerate() {
        assert!(entry.path.ends_with(&format!("-{number}.parquet")));
    }
}

#[tokio::test]
async fn a_row_group_closes_at_its_limit_of_rows() {
    let lake = TempDir::new().unwrap();
    let mut writer = writer(&lake);
    let mut all = Vec::new();
    for page in 0..15 {
        let rows = shuffled(20_000, page * 5_000, 5_000);
        write_split(&mut writer, &rows).await;
        all.extend(rows);
    }
    let entries = publish(writer.finish().await.unwrap()).await;
    let groups = row_groups(&lake, &entries[0]);
    let rows: Vec<usize> = groups.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(rows, [65_536, 75_000 - 65_536]);
    for group in &groups {
        assert!(rows_of(group).is_sorted_by_key(|row| row.1), "as declared");
    }
    assert_eq!(sorted(read_back(&lake, &entries)), sorted(by_day(&all)));
}

#[tokio::test]
async fn rows_that_wait_never_hold_more_than_the_buffer() {
    let lake = TempDir::new().unwrap();
    let buffer_bytes = 1024 * 1024;
    let mut writer = writer_with(
        &lake,
        WriteOptions {
            buffer_bytes,
            ..options()
        },
    );
    let mut waited = false;
    for page in 0..40 {
        let rows: Vec<Row> = (0..500)
            .map(|row| (page * 500 + row, i64::from(row % 5) * DAY_US))
            .collect();
        write_split(&mut writer, &rows).await;
        assert!(writer.buffered_bytes() <= buffer_bytes);
        waited |= writer.buffered_bytes() > buffer_bytes / 2;
    }
    assert!(waited, "the buffer is used");
    assert!(writer.row_groups > 5, "and was flushed early");
    assert!(
        writer.row_groups < 100,
        "the largest part only: {}",
        writer.row_groups
    );
    let entries = publish(writer.finish().await.unwrap()).await;
    assert_eq!(entries.iter().map(|entry| entry.rows).sum::<u64>(), 20_000);
}

#[tokio::test]
async fn rows_are_taken_while_others_are_encoded_as_far_as_the_buffer_holds_both() {
    let lake = TempDir::new().unwrap();
    let full = shuffled(20_000, 0, 65_536);
    let more = shuffled(20_000, 70_000, 10);
    let held = {
        let mut part = Part::new(properties::ROW_GROUP_BYTES);
        part.take(batch(&full).into()).unwrap();
        part.held_bytes()
    };
    for (buffer_bytes, encodes_on) in [(2 * held, true), (held - 1, false)] {
        let options = WriteOptions {
            buffer_bytes,
            ..options()
        };
        let mut writer = writer_with(&lake, options);
        write_split(&mut writer, &full).await;
        assert_eq!(writer.encoding.len(), usize::from(encodes_on));
        assert_eq!(writer.buffered_bytes() >= held, encodes_on);
        write_split(&mut writer, &more).await;
        assert_eq!(writer.row_groups, 1);
        let entries = publish(writer.finish().await.unwrap()).await;
        assert_eq!(entries[0].rows, 65_546);
    }
}

#[tokio::test]
async fn no_rows_make_no_file() {
    let lake = TempDir::new().unwrap();
    assert!(writer(&lake).finish().await.unwrap().is_empty());
    let mut writer = writer(&lake);
    writer.write(key(1), batch(&[])).await.unwrap();
    assert!(writer.finish().await.unwrap().is_empty());
    assert!(files_below(lake.path()).is_empty());
}

#[tokio::test]
async fn an_abort_leaves_nothing() {
    let lake = TempDir::new().unwrap();
    let options = WriteOptions {
        buffer_bytes: 0,
        max_file_bytes: 20_000,
        ..options()
    };
    let mut writer = writer_with(&lake, options);
    for day in 0..12 {
        write_split(
            &mut writer,
            &shuffled(day, 0, 1 + 200 * u32::try_from(day % 2).unwrap()),
        )
        .await;
    }
    assert!(!files_below(&lake.path().join("_mdca")).is_empty());
    writer.abort().await;
    assert_eq!(files_below(lake.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn finished_files_can_be_given_up_too() {
    let lake = TempDir::new().unwrap();
    let mut writer = writer(&lake);
    write_split(&mut writer, &shuffled(20_000, 0, 10)).await;
    for mut file in writer.finish().await.unwrap() {
        file.abort().await;
    }
    assert_eq!(files_below(lake.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn after_an_error_nothing_more_is_written() {
    let lake = TempDir::new().unwrap();
    let mut writer = eager_writer(&lake);
    write_split(&mut writer, &shuffled(20_000, 0, 10)).await;
    let misplaced = writer.write(key(7), batch(&shuffled(20_000, 0, 10))).await;
    assert!(matches!(misplaced, Err(WriteError::Misplaced { .. })));
    let again = writer
        .write(key(20_000), batch(&shuffled(20_000, 0, 10)))
        .await;
    assert!(matches!(again, Err(WriteError::Unfinished { .. })));
    assert!(matches!(
        writer.finish().await,
        Err(WriteError::Unfinished { .. })
    ));
    assert_eq!(
        files_below(lake.path()),
        Vec::<PathBuf>::new(),
        "finish aborts"
    );
}

#[tokio::test]
async fn a_batch_of_other_columns_is_refused() {
    let lake = TempDir::new().unwrap();
    let mut writer = writer(&lake);
    let other = batch(&shuffled(20_000, 0, 10)).project(&[0, 1]).unwrap();
    let refused = writer.write(key(20_000), other).await;
    assert!(matches!(refused, Err(WriteError::Columns { .. })));
}

#[tokio::test]
async fn a_schema_without_timestamp_is_refused() {
    let lake = TempDir::new().unwrap();
    let other = batch(&shuffled(20_000, 0, 10)).project(&[0]).unwrap();
    let mut writer = writer(&lake);
    writer.schema = other.schema();
    writer.write(key(20_000), other).await.unwrap();
    assert!(matches!(
        writer.finish().await,
        Err(WriteError::Layout { .. })
    ));
}

#[tokio::test]
async fn a_store_that_refuses_is_named() {
    let lake = TempDir::new().unwrap();
    let mut writer = writer(&lake);
    write_split(&mut writer, &shuffled(20_000, 0, 10)).await;
    // A file where the folder of all staged files should be.
    fs::write(lake.path().join("_mdca"), b"").unwrap();
    let Err(WriteError::Store { path, .. }) = writer.finish().await else {
        panic!("the store cannot stage anything");
    };
    assert!(path.starts_with("activities/event_date=2024-10-04/"));
}

#[test]
fn writing_can_run_in_a_task_of_its_own() {
    fn is_send<T: Send>(_: &T) {}
    let lake = TempDir::new().unwrap();
    let mut writing = writer(&lake);
    is_send(&writing.write(key(1), batch(&[])));
    is_send(&writer(&lake).finish());
    is_send(&writer(&lake).abort());
}

/// Writes pages of rows with these times, and reads all of them back.
fn expect_all_back(
    pages: Vec<Vec<i64>>,
    buffer_bytes: usize,
    max_file_bytes: u64,
) -> Result<(), TestCaseError> {
    let mut number = 0;
    let pages: Vec<Vec<Row>> = pages
        .into_iter()
        .map(|times| {
            let row = |time| {
                number += 1;
                (number, time)
            };
            times.into_iter().map(row).collect()
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let lake = TempDir::new().unwrap();
    let options = WriteOptions {
        max_file_bytes,
        buffer_bytes,
        ..options()
    };
    let entries = runtime.block_on(async {
        let mut writer = writer_with(&lake, options);
        for rows in &pages {
            write_split(&mut writer, rows).await;
        }
        publish(writer.finish().await.unwrap()).await
    });
    for entry in &entries {
        prop_assert!(entry.rows > 0);
        for group in row_groups(&lake, entry) {
            prop_assert!(rows_of(&group).is_sorted_by_key(|row| row.1));
        }
    }
    let all: Vec<Row> = pages.concat();
    prop_assert_eq!(sorted(read_back(&lake, &entries)), sorted(by_day(&all)));
    Ok(())
}

#[test]
fn a_page_without_rows_makes_no_file() {
    expect_all_back(vec![vec![]], 0, 1).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_row_comes_back_once_and_in_its_day(
        pages in prop::collection::vec(prop::collection::vec(0..20 * DAY_US, 0..60), 0..12),
        buffer_bytes in prop_oneof![Just(0_usize), Just(200_000), Just(64 * 1024 * 1024)],
        max_file_bytes in prop_oneof![Just(1_u64), Just(30_000), Just(u64::MAX)],
    ) {
        expect_all_back(pages, buffer_bytes, max_file_bytes)?;
    }
}
