//! Parquet that somebody else made, or changed: nothing panics over it, hangs over it, or takes more
//! memory than a row group may.
//!
//! `MDCA_FUZZ_CASES` sets how many changed files are tried, `MDCA_FUZZ_SEED` which ones.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use fastrand::Rng;
use mdca_lake::layout::PartitionKey;
use mdca_lake::read::{self, Expected, Export, ExportFile, ReadError, SliceRows};
use mdca_lake::schema;
use mdca_lake::store::{Checksum, Store};
use mdca_lake::write::FileEntry;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::support::files::{ATTEMPT, RUN, SLICE, same_day, write};

/// Longer than this no file may be looked at.
const HANG: Duration = Duration::from_secs(10);
/// What may be resident while one is.
const PEAK_BYTES: u64 = 1536 * 1024 * 1024;
/// Set for the process that looks at the files, so that its memory is its own.
const ALONE: &str = "MDCA_TEST_ALONE";

fn number_in(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs one of this file's tests in a process of its own.
fn alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let (_, room) = module_path!().split_once("::").unwrap();
    let name = format!("{room}::{test}");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    println!("{said}");
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{}\n{said}{complained}",
        output.status
    );
    false
}

/// The most memory that this process held since the last call, in bytes.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    fs::write("/proc/self/clear_refs", "5").unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

/// Takes so many bytes, then no more.
struct Sink(usize);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a file as `export` does.
async fn export(store: &Store, entry: &FileEntry) -> Result<u64, ReadError> {
    let bytes = fs::read(Path::new(store.location()).join(&entry.path)).unwrap_or_default();
    let file = ExportFile {
        path: entry.path.clone(),
        bytes: entry.bytes,
        // What is forged comes with its own checksum.
        checksum: Checksum::of(&bytes),
        timestamp_ms: (entry.timestamp_min_ms, entry.timestamp_max_ms),
    };
    let mut export = Export::new(None);
    let mut out = Sink(256 * 1024 * 1024);
    export.write(store, vec![file], &mut out).await?;
    Ok(export.records())
}

/// Reads a file as `export` and as `verify --deep` do; what `export` said.
async fn look(lake: PathBuf, entry: FileEntry) -> Result<u64, ReadError> {
    let store = Store::open(lake.to_str().unwrap()).unwrap();
    let exported = export(&store, &entry).await;
    let folder = entry.path.split('/').nth(1).unwrap();
    let expected = Expected {
        day_us: folder.parse::<PartitionKey>().unwrap().range_us(),
        entry,
        slice: SLICE.to_owned(),
        attempt: ATTEMPT.to_owned(),
        run: RUN.to_owned(),
        clock: None,
    };
    let mut rows = SliceRows::default();
    drop(read::inspect(&store, &expected, &mut rows).await);
    exported
}

/// Changes a file: mostly its footer, now and then a page.
fn mutate(original: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = original.to_vec();
    let end = bytes.len() - 8;
    let length = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap());
    let footer = end - usize::try_from(length).unwrap();
    let place = |random: &mut Rng| match random.u8(..8) {
        0 => random.usize(4..footer),
        1 => random.usize(end..end + 8),
        _ => random.usize(footer..end),
    };
    for _ in 0..random.usize(1..5) {
        let at = place(random).min(bytes.len() - 1);
        match random.u8(..6) {
            0 => bytes[at] ^= 1 << random.u8(..8),
            1 => bytes[at] = *random.choice(&[0, 1, 0x7f, 0x80, 0xfe, 0xff]).unwrap(),
            2 => bytes[at] = random.u8(..),
            3 => {
                // A number as large as it gets.
                let to = (at + random.usize(1..6)).min(bytes.len());
                bytes[at..to].fill(0xff);
            }
            4 => {
                let from = random.usize(footer..end);
                let piece = bytes[from..(from + random.usize(1..40)).min(end)].to_vec();
                let to = (at + piece.len()).min(bytes.len());
                bytes[at..to].copy_from_slice(&piece[..to - at]);
            }
            _ => {
                // Something more, or less, and a length that fits again.
                if random.bool() {
                    bytes.insert(at, random.u8(..));
                } else {
                    bytes.remove(at);
                }
                let now = bytes.len() - 8;
                if let Some(length) = now.checked_sub(footer).and_then(|n| u32::try_from(n).ok()) {
                    bytes[now..now + 4].copy_from_slice(&length.to_le_bytes());
                }
            }
        }
    }
    bytes
}

/// Files as they are written: a row, some, and so many (short ones) that there are indexes.
async fn originals(lake: &Path) -> Vec<(FileEntry, Vec<u8>)> {
    let short = (0..4_200).map(|n| {
        format!(
            r#"{{"_id":"{n}","timestamp":{n},"user":{{"userName":"ada{}"}}}}"#,
            n % 100
        )
    });
    let mut originals = Vec::new();
    for records in [
        same_day(mdca_sim::generator::records(7, 1)),
        same_day(mdca_sim::generator::records(7, 40)),
        same_day(short.collect()),
    ] {
        let entry = write(lake, &records).await;
        let bytes = fs::read(lake.join(&entry.path)).unwrap();
        originals.push((entry, bytes));
    }
    originals
}

#[test]
fn changed_footers_never_stop_the_reader() {
    if !alone("changed_footers_never_stop_the_reader") {
        return;
    }
    let cases = number_in("MDCA_FUZZ_CASES").unwrap_or(400);
    let seed = number_in("MDCA_FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{cases} cases, MDCA_FUZZ_SEED={seed}");
    // As the program does.
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !read::in_decoder() {
            say(panic);
        }
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let originals = runtime.block_on(originals(folder.path()));
    let (mut refused, mut peak) = (0, 0);
    peak_bytes();
    for case in 0..cases {
        let mut random = Rng::with_seed(seed.wrapping_add(case));
        // The small ones are quicker, and as good.
        let which = if case % 10 == 0 { 2 } else { random.usize(..2) };
        let (entry, bytes) = &originals[which];
        let bytes = mutate(bytes, &mut random);
        let mut entry = entry.clone();
        entry.bytes = bytes.len() as u64;
        fs::write(folder.path().join(&entry.path), bytes).unwrap();
        let (said, heard) = mpsc::channel();
        let lake = folder.path().to_owned();
        runtime.spawn(async move { said.send(look(lake, entry).await.is_err()) });
        let outcome = heard.recv_timeout(HANG);
        let outcome = outcome.unwrap_or_else(|error| {
            panic!(
                "MDCA_FUZZ_SEED={} MDCA_FUZZ_CASES=1: {error}",
                seed.wrapping_add(case)
            )
        });
        refused += u64::from(outcome);
        let used = peak_bytes();
        assert!(
            used < PEAK_BYTES,
            "MDCA_FUZZ_SEED={}: {used} bytes",
            seed.wrapping_add(case)
        );
        peak = peak.max(used);
    }
    println!("{refused} of {cases} refused, at most {peak} bytes");
    assert!(refused > cases / 4, "{refused}");
}

/// A batch of activities that have nothing but a time, an id and one more column.
fn with_column(rows: usize, name: &str, values: &ArrayRef) -> RecordBatch {
    let arrow = schema::activity().arrow();
    let columns = arrow
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            found if found == name => Arc::clone(values),
            schema::ACTIVITY_ID => Arc::new(StringArray::from(vec!["x"; rows])),
            schema::TIMESTAMP => Arc::new(
                arrow::array::TimestampMicrosecondArray::from(vec![1_595_096_313_000_000; rows])
                    .with_timezone("UTC"),
            ),
            _ => new_null_array(field.data_type(), rows),
        });
    RecordBatch::try_new(Arc::clone(&arrow), columns.collect()).unwrap()
}

/// One text of 8 MB that a dictionary puts into every row: two gigabytes in a batch.
#[test]
fn a_small_file_of_large_texts_takes_little_memory() {
    if !alone("a_small_file_of_large_texts_takes_little_memory") {
        return;
    }
    let rows = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let path = "activities/event_date=2020-07-18/f.parquet";
    fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_page_size_limit(usize::MAX)
        .build();
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a".repeat(8 * 1024 * 1024)]));
    let row = with_column(1, "description", &text);
    let file = File::create(folder.path().join(path)).unwrap();
    let mut writer = ArrowWriter::try_new(file, row.schema(), Some(properties)).unwrap();
    for _ in 0..rows {
        writer.write(&row).unwrap();
    }
    writer.close().unwrap();
    let bytes = fs::metadata(folder.path().join(path)).unwrap().len();
    println!("{rows} rows in {bytes} bytes");
    assert!(bytes < 64 * 1024);
    let entry = FileEntry {
        path: path.to_owned(),
        rows,
        bytes,
        checksum: String::new(),
        timestamp_min_ms: 1_595_096_313_000,
        timestamp_max_ms: 1_595_096_313_000,
        created_min_ms: None,
        created_max_ms: None,
    };
    peak_bytes();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let store = Store::open(folder.path().to_str().unwrap()).unwrap();
    let exported = runtime.block_on(export(&store, &entry));
    assert!(
        matches!(exported, Err(ReadError::Output(_))),
        "as much as the sink takes"
    );
    let peak = peak_bytes();
    println!("at most {peak} bytes");
    assert!(peak < 256 * 1024 * 1024, "{peak}");
}
