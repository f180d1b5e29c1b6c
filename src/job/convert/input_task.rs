//! One input: its hash, its rows, its commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::spawn_blocking;
use tracing::info;

use super::options::ConvertOptions;
use super::records::{Parted, RowsError, Source, Tally, Workshop, send_rows, unwound};
use crate::classify::SameBy;
use crate::commit::{Cleaner, CommitError, Outcome, SliceCounts};
use crate::convert::{Input, InputFault, InputHash, Readable};
use crate::decode::Ingest;
use crate::decode::oddities::Oddities;
use crate::error::JobError;
use crate::job::context::StoreWorld;
use crate::job::setup::OnReject;
use crate::job::slice_attempt::{SliceAttempt, is_lost};
use crate::job::slice_memory::{SliceMemory, SlicePart};
use crate::layout;
use crate::scan::ClockField;

/// What every input of a run needs.
#[derive(Clone)]
pub(super) struct InputTask {
    pub(super) world: Arc<StoreWorld>,
    pub(super) options: Arc<ConvertOptions>,
    pub(super) run: String,
    pub(super) ingest: Arc<Ingest>,
    pub(super) cleaner: Arc<Cleaner>,
    pub(super) workshop: Arc<Workshop>,
    pub(super) memory: Arc<SliceMemory>,
    pub(super) slices: Arc<Slices>,
}

/// What is known of slices, by their names.
#[derive(Default)]
pub(super) struct Slices {
    /// Those that this run has begun or passed, and adopted.
    pub(super) met: Mutex<BTreeSet<String>>,
    pub(super) adopted: BTreeSet<String>,
    /// Those that may have lost their commit, until one of them is met.
    pub(super) orphans: Mutex<BTreeMap<String, CommitError>>,
}

/// How an input came to its end.
pub(super) enum InputEnd {
    /// It had a commit.
    Skipped,
    /// Another input of this run has the same bytes.
    Repeated,
    /// An earlier run had all but committed it, and this run has done so at its start.
    Adopted,
    /// It was converted.
    Settled(Outcome),
}

/// An input that came to its end.
pub(super) struct InputDone {
    pub(super) end: InputEnd,
    pub(super) oddities: Oddities<Arc<str>>,
    /// Its bytes that were read to be converted.
    pub(super) bytes_in: u64,
}

impl InputEnd {
    fn done(self) -> InputDone {
        InputDone {
            end: self,
            oddities: Oddities::default(),
            bytes_in: 0,
        }
    }
}

/// An attempt that has taken all records of its input.
struct Filled {
    attempt: SliceAttempt,
    tally: Tally,
    bytes_in: u64,
}

/// Why an attempt has not taken all records of its input.
enum Unfilled {
    /// They cannot be told apart by their bytes.
    Respelled,
    Failed(JobError),
}

impl<E: Into<JobError>> From<E> for Unfilled {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// An input, its bytes named.
struct Hashed {
    readable: Readable,
    hash: InputHash,
}

impl InputTask {
    /// Converts an input, unless its slice is there. The turn ends where only the commit is missing.
    pub(super) async fn convert(
        &self,
        input: Input,
        turn: OwnedSemaphorePermit,
    ) -> Result<InputDone, JobError> {
        let (name, bytes) = (input.name.clone(), input.bytes);
        let fault = |fault: InputFault| JobError::from(fault.of(&name));
        let Some(Hashed { readable, hash }) = self.hash(input).await.map_err(fault)? else {
            return Err(JobError::Interrupted);
        };
        let slice = layout::converted(hash);
        if let Some(end) = self.is_there(&slice).await? {
            self.world.progress.bytes_done(bytes);
            return Ok(end.done());
        }
        let mut source = Source {
            input: readable,
            hash,
            same_by: self.workshop.same_by(),
            slice: slice.as_str().into(),
            ingest: Arc::clone(&self.ingest),
        };
        let (id, ended) = loop {
            let id = self.world.ids.next();
            match self.filled(&name, source.clone(), &id).await {
                Ok(filled) => break (id, self.commit(filled, turn).await),
                Err(Unfilled::Failed(error)) => break (id, Err(error)),
                Err(Unfilled::Respelled) => {
                    info!(
                        "an id comes again with other bytes: reading once more, to compare the JSON"
                    );
                    self.workshop.tell_by_json();
                    source.same_by = SameBy::Json;
                }
            }
        };
        match ended {
            Err(error) if is_lost(&self.world.store, &slice, &id, &error).await => {
                Ok(InputEnd::Settled(Outcome::Lost).done())
            }
            ended => ended,
        }
    }

    /// Hashes an input; `None` where the run is to stop.
    async fn hash(&self, mut input: Input) -> Result<Option<Hashed>, InputFault> {
        let interrupted = self.world.interrupted.clone();
        let runtime = Handle::current();
        let work = move || {
            let readable = input.readable()?;
            let hash = readable.hash(&runtime, || !*interrupted.borrow())?;
            Ok(hash.map(|hash| Hashed { readable, hash }))
        };
        let mut stopped = self.world.interrupted.clone();
        tokio::select! {
            biased;
            hashed = spawn_blocking(work) => unwound(hashed),
            // What comes through a pipe may never come.
            _ = stopped.wait_for(|interrupted| *interrupted) => Ok(None),
        }
    }

    /// Whether a slice needs no conversion any more.
    async fn is_there(&self, slice: &str) -> Result<Option<InputEnd>, JobError> {
        let is_new = self.slices.met.lock().insert(slice.to_owned());
        if !is_new {
            return Ok(Some(InputEnd::Repeated));
        }
        if self.slices.adopted.contains(slice) {
            return Ok(Some(InputEnd::Adopted));
        }
        let size = self.world.store.size(&layout::commit(slice)).await?;
        if size.is_some() {
            return Ok(Some(InputEnd::Skipped));
        }
        match self.slices.orphans.lock().remove(slice) {
            Some(orphaned) => Err(orphaned.into()),
            None => Ok(None),
        }
    }

    /// An attempt that has taken all records of an input. Of one that has not, nothing stays.
    async fn filled(&self, name: &str, source: Source, id: &str) -> Result<Filled, Unfilled> {
        let memory = Arc::new(self.memory.begin());
        let mut attempt = SliceAttempt::begin(
            &self.world.store,
            source.slice.to_string(),
            id.to_owned(),
            self.run.clone(),
            ClockField::Created.to_string(),
            self.options.write,
            Arc::clone(&memory),
        );
        match self.fill(name, source, &mut attempt, memory).await {
            Ok((tally, bytes_in)) => Ok(Filled {
                attempt,
                tally,
                bytes_in,
            }),
            Err(unfilled) => {
                attempt.abort().await;
                Err(unfilled)
            }
        }
    }

    async fn commit(
        &self,
        filled: Filled,
        turn: OwnedSemaphorePermit,
    ) -> Result<InputDone, JobError> {
        let Filled {
            attempt,
            tally,
            bytes_in,
        } = filled;
        let sealed = attempt.seal().await?;
        drop(turn);
        let clock = self.world.clock.as_ref();
        let outcome = sealed
            .commit(&self.cleaner, clock, tally.counts, |commit| commit)
            .await?;
        Ok(InputDone {
            end: InputEnd::Settled(outcome),
            oddities: tally.oddities,
            bytes_in,
        })
    }

    /// Takes all records of an input to the writer: decoding goes on while rows are encoded and sent.
    async fn fill(
        &self,
        name: &str,
        source: Source,
        attempt: &mut SliceAttempt,
        memory: Arc<SlicePart>,
    ) -> Result<(Tally, u64), Unfilled> {
        let (sender, rows) = mpsc::unbounded_channel();
        let seen = Arc::new(AtomicU64::new(0));
        let progress = self.world.progress.clone();
        let last = Arc::clone(&seen);
        let read = move |bytes: u64| {
            progress.bytes_done(bytes - last.swap(bytes, Ordering::Relaxed));
        };
        let reading = async {
            let tally = send_rows(&self.workshop, &memory, source, read, sender)
                .await
                .map_err(|error| match error {
                    RowsError::Input(fault) => fault.of(name).into(),
                    RowsError::Own(error) => error.into(),
                    RowsError::Respelled => Unfilled::Respelled,
                })?;
            self.check_rejects(&tally.counts)
                .map_err(|fault| fault.of(name))?;
            Ok(tally)
        };
        // Where reading fails, the writer still ends what it is at: a file that it is about to make would be there
        // after the attempt was cleared.
        let reading = async { Ok(reading.await) };
        let writing = async { Ok::<_, Unfilled>(write(attempt, rows).await?) };
        let mut interrupted = self.world.interrupted.clone();
        let filled = tokio::select! {
            biased;
            _ = interrupted.wait_for(|interrupted| *interrupted) => Err(JobError::Interrupted.into()),
            filled = async { tokio::try_join!(reading, writing) } => filled.and_then(|(tally, ())| tally),
        };
        let bytes_in = seen.load(Ordering::Relaxed);
        match filled {
            Err(Unfilled::Respelled) => {
                self.world.progress.bytes_again(bytes_in);
                Err(Unfilled::Respelled)
            }
            filled => Ok((filled?, bytes_in)),
        }
    }

    fn check_rejects(&self, counts: &SliceCounts) -> Result<(), InputFault> {
        let rejects: u64 = counts.rejects.values().sum();
        let reasons = || {
            let reasons = counts.rejects.iter();
            let reasons: Vec<String> = reasons
                .map(|(why, count)| format!("{why} {count}"))
                .collect();
            reasons.join(", ")
        };
        if self.options.on_reject == OnReject::Fail && rejects > 0 {
            let reasons = reasons();
            return Err(InputFault::Rejects { rejects, reasons });
        }
        if let Some(rejects) = counts.nothing_but_rejects() {
            let reasons = reasons();
            return Err(InputFault::AllRejects { rejects, reasons });
        }
        Ok(())
    }
}

async fn write(
    attempt: &mut SliceAttempt,
    mut rows: mpsc::UnboundedReceiver<Parted>,
) -> Result<(), JobError> {
    while let Some(Parted {
        parts,
        rejects,
        memory,
    }) = rows.recv().await
    {
        attempt.take(parts, rejects).await?;
        drop(memory);
    }
    Ok(())
}
