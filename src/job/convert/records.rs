//! The records of one input, on their way from its text to rows: read by one thread, decoded by
//! several, and classified in the order of the text.

use std::ops::Range;
use std::sync::Arc;

use arrow::error::ArrowError;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::classify::{Classifier, Fingerprints, RecordText, SameBy};
use crate::commit::SliceCounts;
use crate::convert::{
    Chunk, InputFault, InputHash, InputText, Readable, TextBuffers, TextLimits, goes_on,
    has_records,
};
use crate::decode::oddities::Oddities;
use crate::decode::{Ingest, PageDecoder, Piece, Position, Record};
use crate::error::JobError;
use crate::job::slice_memory::SlicePart;
use crate::layout::PartitionKey;
use crate::partition::{self, PartitionError, Rows};
use crate::scan::{ClockField, Place};
use crate::text::damage::Damage;

/// Chunks that were read and wait for a decoder.
const READ_AHEAD: usize = 1;

/// What the inputs of a run share: decoders, and memory for what is on its way.
pub(super) struct Workshop {
    /// Each learns in which order keys come.
    decoders: Mutex<Vec<PageDecoder>>,
    max_batch_bytes: usize,
    /// So many chunks are between their text and the files' writer, over all inputs.
    chunks: Arc<Semaphore>,
    texts: TextBuffers,
    limits: TextLimits,
    max_records: u64,
    same_by: Mutex<SameBy>,
}

/// Rows that follow each other, by the day, and what became of their neighbours.
pub(super) struct Parted {
    pub(super) parts: Vec<(PartitionKey, Rows)>,
    pub(super) rejects: String,
    /// Until it is dropped the memory for them is taken.
    pub(super) memory: OwnedSemaphorePermit,
}

/// What all records of an input came to.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) counts: SliceCounts,
    pub(super) oddities: Oddities<Arc<str>>,
}

/// A chunk whose records are columns.
struct Decoded {
    text: ChunkText,
    pieces: Vec<(Piece, Fingerprints)>,
    memory: OwnedSemaphorePermit,
}

/// A chunk as text.
struct ChunkText {
    text: String,
    damage: Option<Damage>,
    arrays: u64,
    /// Records of the input before it; known once these are counted.
    first_record: usize,
}

/// Everything in a converted file belongs to its slice. A reject is found by its place in the file.
impl RecordText for ChunkText {
    fn text(&self) -> &str {
        &self.text
    }

    fn number(&self) -> u32 {
        0
    }

    fn first_record(&self) -> usize {
        self.first_record
    }

    fn pages(&self) -> u64 {
        self.arrays
    }

    fn place(&self, _clock_ms: Option<i64>) -> Place {
        Place::Inside
    }

    fn raw_record(&self, record: Range<usize>) -> Option<&[u8]> {
        self.damage.as_ref()?.raw_record(record)
    }
}

impl Workshop {
    pub(super) fn new(
        chunks: usize,
        limits: TextLimits,
        max_batch_bytes: usize,
        max_records: u64,
    ) -> Self {
        Self {
            decoders: Mutex::default(),
            max_batch_bytes,
            chunks: Arc::new(Semaphore::new(chunks)),
            texts: TextBuffers::default(),
            limits,
            max_records,
            same_by: Mutex::new(SameBy::Bytes),
        }
    }

    /// By what the records of the next input are told apart.
    pub(super) fn same_by(&self) -> SameBy {
        *self.same_by.lock()
    }

    /// Has all inputs from now on told apart by their JSON: where one spells its repeats otherwise, others
    /// do, and each would be read twice.
    pub(super) fn tell_by_json(&self) {
        *self.same_by.lock() = SameBy::Json;
    }

    fn decode(
        &self,
        chunk: Chunk,
        ingest: &Ingest,
        same_by: SameBy,
        memory: OwnedSemaphorePermit,
    ) -> Result<Decoded, InputFault> {
        let Chunk {
            text,
            is_lines,
            offset,
            offsets,
            arrays,
        } = chunk;
        let (text, damage) = Damage::decode(text);
        let idle = self.decoders.lock().pop();
        let mut decoder = idle.unwrap_or_else(|| PageDecoder::new(self.max_batch_bytes));
        let mut pieces = Vec::with_capacity(1);
        let mut from = is_lines.then(Position::of_lines);
        loop {
            let piece = decoder
                .decode(&text, from, ingest)
                .map_err(|source| InputFault::Decode { at: offset, source })?;
            let hides = |record: &Record| hides_records(&text, record, is_lines);
            if let Some(index) = piece.records.iter().position(hides) {
                let start = piece.records[index].range.start;
                let start = damage
                    .as_ref()
                    .map_or(start, |damage| damage.raw_position(start));
                // An array has its bracket before the first record.
                let there = offset + start as u64 - u64::from(!is_lines);
                let known = offsets.get(piece.first_record + index).copied();
                let at = known.unwrap_or(there);
                return Err(InputFault::NotOneRecord { at });
            }
            let fingerprints = Fingerprints::of(&text, &piece, same_by);
            from = piece.next;
            pieces.push((piece, fingerprints));
            if from.is_none() {
                break;
            }
        }
        self.decoders.lock().push(decoder);
        Ok(Decoded {
            text: ChunkText {
                text,
                damage,
                arrays,
                first_record: 0,
            },
            pieces,
            memory,
        })
    }

    /// Reads an input ahead; `read` is told how far it is. Between two chunks no thread is held: where the
    /// system gives only one, a decoder needs it.
    fn read(
        &self,
        input: Readable,
        hash: InputHash,
        read: impl Fn(u64) + Send + 'static,
    ) -> (mpsc::Receiver<Chunk>, JoinHandle<Result<(), InputFault>>) {
        let (sender, chunks) = mpsc::channel(READ_AHEAD);
        let (limits, texts) = (self.limits, self.texts.clone());
        let runtime = Handle::current();
        let begin = move || InputText::begin(&input, &runtime, hash, limits, texts);
        let reading = tokio::spawn(async move {
            let mut text = unwound(spawn_blocking(begin).await)?;
            loop {
                let next;
                let work = move || {
                    let next = text.next_chunk();
                    (text, next)
                };
                (text, next) = unwound(spawn_blocking(work).await);
                let chunk = next?;
                read(text.bytes_read());
                let Some(chunk) = chunk else {
                    return Ok(());
                };
                if sender.send(chunk).await.is_err() {
                    // The input was given up.
                    return Ok(());
                }
            }
        });
        (chunks, reading)
    }
}

/// Whether a reject has records in it, which would be lost: whole ones, or the beginning of some that go on
/// in the lines behind it. Those would be a reject a line, and where they are alike not even that.
fn hides_records(text: &str, record: &Record, is_lines: bool) -> bool {
    let line = record.range.clone();
    record.flaw.is_some() && (has_records(&text[line.clone()]) || is_lines && goes_on(text, line))
}

/// Classifies chunks in the order of the text.
struct Sorter {
    classifier: Classifier,
    tally: Tally,
    slice: Arc<str>,
    texts: TextBuffers,
    max_records: u64,
    same_by: SameBy,
}

impl Sorter {
    fn sort(mut self, decoded: Decoded) -> Result<(Self, Parted), RowsError> {
        let Decoded {
            mut text,
            pieces,
            memory,
        } = decoded;
        let Tally { counts, oddities } = &mut self.tally;
        text.first_record = usize::try_from(counts.records).unwrap_or(usize::MAX);
        let mut rows = Parted {
            parts: Vec::new(),
            rejects: String::new(),
            memory,
        };
        for (piece, fingerprints) in pieces {
            let classified = self.classifier.classify(&text, &piece, &fingerprints)?;
            counts.add(&classified.counts);
            let odd = piece.odd.into_iter().chain(classified.odd);
            oddities.add(piece.unknown, odd, &self.slice);
            rows.parts.extend(partition::split(&classified.rows)?);
            rows.rejects.push_str(&classified.rejects);
        }
        self.texts.give_back(text.text.into_bytes());
        if self.same_by == SameBy::Bytes && counts.changed_repeats > 0 {
            return Err(RowsError::Respelled);
        }
        if counts.records - counts.repeats > self.max_records {
            let most = self.max_records;
            return Err(InputFault::TooManyRecords { most }.into());
        }
        Ok((self, rows))
    }
}

/// Why an input does not become rows.
pub(super) enum RowsError {
    /// It is the input's fault.
    Input(InputFault),
    /// An id came again with other bytes: whether its JSON is other, too, takes [`SameBy::Json`].
    Respelled,
    /// It is this program's.
    Own(JobError),
}

impl From<InputFault> for RowsError {
    fn from(fault: InputFault) -> Self {
        Self::Input(fault)
    }
}

impl From<ArrowError> for RowsError {
    fn from(error: ArrowError) -> Self {
        Self::Own(error.into())
    }
}

impl From<PartitionError> for RowsError {
    fn from(error: PartitionError) -> Self {
        Self::Own(error.into())
    }
}

impl From<JobError> for RowsError {
    fn from(error: JobError) -> Self {
        Self::Own(error)
    }
}

/// An input whose records are to become rows of a slice.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) input: Readable,
    pub(super) hash: InputHash,
    pub(super) same_by: SameBy,
    pub(super) slice: Arc<str>,
    pub(super) ingest: Arc<Ingest>,
}

/// Takes the records of an input to `rows`, in the order of its text. `read` is told how many bytes of
/// it were read.
///
/// # Errors
/// The input is broken, or its records cannot be told apart so. What was sent before is to be given up.
pub(super) async fn send_rows(
    workshop: &Arc<Workshop>,
    part: &SlicePart,
    source: Source,
    read: impl Fn(u64) + Send + 'static,
    rows: mpsc::UnboundedSender<Parted>,
) -> Result<Tally, RowsError> {
    let Source {
        input,
        hash,
        same_by,
        slice,
        ingest,
    } = source;
    let (mut chunks, reading) = workshop.read(input, hash, read);
    let mut sorter = Sorter {
        classifier: Classifier::new(ClockField::Created),
        tally: Tally::default(),
        slice,
        texts: workshop.texts.clone(),
        max_records: workshop.max_records,
        same_by,
    };
    let mut decoding: FuturesOrdered<JoinHandle<_>> = FuturesOrdered::new();
    let mut has_ended = false;
    loop {
        let next = async {
            // Memory first: chunks get it in the order of the text, so that none waits for one behind it,
            // and an input that may not grow holds none.
            part.may_grow().await;
            let memory = Arc::clone(&workshop.chunks).acquire_owned().await;
            (memory.expect("it is never closed"), chunks.recv().await)
        };
        tokio::select! {
            // Decoders first: they have work while what they have done is classified.
            biased;
            (memory, chunk) = next, if !has_ended => match chunk {
                Some(chunk) => {
                    let (workshop, ingest) = (Arc::clone(workshop), Arc::clone(&ingest));
                    let work = move || workshop.decode(chunk, &ingest, same_by, memory);
                    decoding.push_back(spawn_blocking(work));
                }
                None => has_ended = true,
            },
            Some(decoded) = decoding.next() => {
                let decoded: Decoded = unwound(decoded)?;
                let next_rows;
                (sorter, next_rows) = unwound(spawn_blocking(move || sorter.sort(decoded)).await)?;
                part.holds_for_records(sorter.classifier.held_bytes());
                // Where nobody takes them the writer has failed, and says why.
                let _ = rows.send(next_rows);
            }
            else => break,
        }
    }
    unwound(reading.await)?;
    part.holds_for_records(0);
    Ok(sorter.tally)
}

/// What a thread came to. Where it has panicked, so does this.
pub(super) fn unwound<T>(ended: Result<T, JoinError>) -> T {
    ended.unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic()))
}
