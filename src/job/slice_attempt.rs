//! One attempt at a slice from its first rows to its commit, or to nothing. Where the rows come from
//! is the source's business: a scan of the service, or a file.

use std::sync::Arc;

use tracing::info;

use crate::classify::RejectsWriter;
use crate::clock::Clock;
use crate::commit::{self, Cleaner, Commit, CommitError, Outcome, Prepared, SliceCounts};
use crate::error::{ErrorKind, JobError};
use crate::job::slice_memory::SlicePart;
use crate::layout::PartitionKey;
use crate::partition::Rows;
use crate::schema;
use crate::store::{Store, StoreError, Upload};
use crate::write::{FileEntry, FinishedFile, Provenance, SliceWriter, WriteOptions};

/// An attempt that takes rows. It is ended by [`seal`](SliceAttempt::seal) or by
/// [`abort`](SliceAttempt::abort).
pub(crate) struct SliceAttempt {
    slice: String,
    id: String,
    run: String,
    writer: SliceWriter,
    rejects: RejectsWriter,
    memory: Arc<SlicePart>,
}

/// An attempt whose files are whole, and that nobody sees.
pub(crate) struct SealedAttempt {
    slice: String,
    id: String,
    run: String,
    files: Vec<FinishedFile>,
    rejects: Option<(commit::RejectsEntry, Box<dyn Upload>)>,
}

impl SliceAttempt {
    /// Begins an attempt at a slice of a lake with this clock. Nothing is written yet.
    pub(crate) fn begin(
        store: &Store,
        slice: String,
        id: String,
        run: String,
        clock: String,
        options: WriteOptions,
        memory: Arc<SlicePart>,
    ) -> Self {
        let provenance = Provenance {
            tool_version: concat!("mdca-lake ", env!("CARGO_PKG_VERSION")).to_owned(),
            schema_version: schema::activity().version.to_string(),
            run: run.clone(),
            clock,
        };
        let columns = schema::activity().arrow();
        Self {
            writer: SliceWriter::new(store.clone(), columns, &slice, &id, options, provenance),
            rejects: RejectsWriter::new(store.clone(), &slice, &id),
            memory,
            slice,
            id,
            run,
        }
    }

    /// Takes rows that follow each other, parted, and the lines of their rejects.
    pub(crate) async fn take(
        &mut self,
        parts: Vec<(PartitionKey, Rows)>,
        rejects: String,
    ) -> Result<(), JobError> {
        for (key, part) in parts {
            self.writer.set_buffer_bytes(self.memory.rows_bytes());
            self.writer.write(key, part).await?;
            self.memory
                .holds_for_uploads(self.writer.waiting_bytes() as u64);
        }
        Ok(self.take_rejects(rejects).await?)
    }

    /// Takes lines of rejects.
    pub(crate) async fn take_rejects(&mut self, lines: String) -> Result<(), StoreError> {
        self.rejects.write(lines).await
    }

    /// Gives the attempt up: nothing of it stays.
    pub(crate) async fn abort(mut self) {
        self.writer.abort().await;
        self.rejects.abort().await;
    }

    /// Ends the files.
    ///
    /// # Errors
    /// Nothing of the attempt stays.
    pub(crate) async fn seal(self) -> Result<SealedAttempt, JobError> {
        let Self {
            slice,
            id,
            run,
            writer,
            mut rejects,
            memory,
        } = self;
        let mut files = match writer.finish().await {
            Ok(files) => files,
            Err(error) => {
                rejects.abort().await;
                return Err(error.into());
            }
        };
        let sealed = rejects.seal().await;
        drop(memory);
        match sealed {
            Ok(rejects) => Ok(SealedAttempt {
                slice,
                id,
                run,
                files,
                rejects,
            }),
            Err(error) => {
                for file in &mut files {
                    file.abort().await;
                }
                Err(error.into())
            }
        }
    }
}

impl SealedAttempt {
    /// Whether it has neither rows nor rejects.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.rejects.is_none()
    }

    /// What the commit says of its files.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &FileEntry> {
        self.files.iter().map(|file| &file.entry)
    }

    /// Gives the attempt up: nothing of it stays.
    pub(crate) async fn abort(self) {
        for mut file in self.files {
            file.abort().await;
        }
        if let Some((_, mut rejects)) = self.rejects {
            rejects.abort().await;
        }
    }

    /// Commits it, with what else `say` has the commit say.
    pub(crate) async fn commit(
        self,
        cleaner: &Cleaner,
        clock: &dyn Clock,
        counts: SliceCounts,
        say: impl FnOnce(Commit) -> Commit,
    ) -> Result<Outcome, CommitError> {
        let (rejects_entry, rejects) = self.rejects.unzip();
        let version = schema::activity().version;
        let mut commit = Commit::empty(self.slice, self.id, self.run, clock.now_ms(), version);
        commit.files = self.files.iter().map(|file| file.entry.clone()).collect();
        commit.rejects = rejects_entry;
        commit.counts = counts;
        let prepared = Prepared {
            commit: say(commit),
            files: self.files,
            rejects,
        };
        commit::commit(cleaner, clock, prepared).await
    }
}

/// Whether an attempt failed because another one has won meanwhile: whoever commits a slice sweeps away
/// what others have staged of it, so those who lost meet missing files wherever they are.
pub(crate) async fn is_lost(store: &Store, slice: &str, attempt: &str, error: &JobError) -> bool {
    if error.kind() != ErrorKind::Storage {
        return false;
    }
    match Commit::load(store, slice).await {
        Ok(Some(commit)) if commit.attempt != attempt => {
            let reason = crate::text::plain::chain(error);
            info!(slice, attempt, winner = %commit.attempt, reason, "another attempt won");
            true
        }
        _ => false,
    }
}
