//! One compaction of a day: from its live files to the merged ones, or to nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::path::Path;
use tracing::info;

use super::options::CompactOptions;
use super::pick::pick;
use super::spool::Spool;
use crate::commit::{self, Cleaner, Compaction, CompactionOutcome, PreparedCompaction};
use crate::error::{ErrorKind, JobError};
use crate::job::context::StoreWorld;
use crate::layout::{CompactionName, PartitionKey};
use crate::read::{MergedRows, ReadError, RowSum, sum_rows};
use crate::schema;
use crate::store::ScratchFolder;
use crate::write::{FileEntry, FinishedFile, Provenance, SliceWriter};

/// The live files of a day, and the number of its next compaction, from one reading.
#[derive(Debug, Clone)]
pub(super) struct Day {
    pub(super) key: PartitionKey,
    pub(super) number: u32,
    pub(super) files: Vec<FileEntry>,
}

impl Day {
    /// The files that its next compaction takes.
    pub(super) fn picked(&self, options: &CompactOptions) -> Vec<FileEntry> {
        pick(&self.files, options.write.max_file_bytes)
    }

    /// Its date.
    pub(super) fn date(&self) -> String {
        self.key.date().to_string()
    }

    fn name(&self) -> CompactionName {
        CompactionName {
            day: self.key,
            number: self.number,
        }
    }

    /// The day after a compaction.
    fn after(&mut self, inputs: &[FileEntry], outputs: &[FileEntry]) {
        let taken: BTreeSet<&str> = inputs.iter().map(|file| file.path.as_str()).collect();
        self.files
            .retain(|file| !taken.contains(file.path.as_str()));
        self.files.extend_from_slice(outputs);
        self.number += 1;
    }
}

/// How one compaction ended.
pub(super) enum DayEnd {
    /// It was made: what it took and left, and the SHA-256 of its object.
    Made {
        name: CompactionName,
        inputs: Vec<FileEntry>,
        outputs: Vec<FileEntry>,
        checksum: String,
    },
    /// Another run was faster.
    Lost,
    /// Nothing more would be gained.
    Done,
}

/// Compacts days, one after the other.
pub(super) struct Compactor<'c> {
    pub(super) options: &'c CompactOptions,
    pub(super) world: &'c StoreWorld,
    pub(super) scratch: &'c ScratchFolder,
    pub(super) cleaner: &'c Cleaner,
    pub(super) run: &'c str,
    /// The lake's clock.
    pub(super) clock: &'c str,
}

impl Compactor<'_> {
    /// Makes the next compaction of a day.
    ///
    /// # Errors
    /// The day is left as it is.
    pub(super) async fn compact(&self, day: &mut Day) -> Result<DayEnd, JobError> {
        let inputs = day.picked(self.options);
        if inputs.is_empty() {
            return Ok(DayEnd::Done);
        }
        let (name, attempt) = (day.name(), self.world.ids.next());
        let made = match self.merge(day, &inputs, &attempt).await {
            Ok(files) if files.len() < inputs.len() => {
                self.make(name, attempt, &inputs, files).await
            }
            Ok(files) => {
                abort(files).await;
                return Ok(DayEnd::Done);
            }
            Err(error) => Err(error),
        };
        match made {
            Ok(Some((outputs, checksum))) => {
                day.after(&inputs, &outputs);
                Ok(DayEnd::Made {
                    name,
                    inputs,
                    outputs,
                    checksum,
                })
            }
            Ok(None) => Ok(DayEnd::Lost),
            // Who makes a compaction removes what it took, so those who lost meet missing files.
            Err(error) if self.is_lost(name, &error).await => Ok(DayEnd::Lost),
            Err(error) => Err(error),
        }
    }

    async fn is_lost(&self, name: CompactionName, error: &JobError) -> bool {
        let may_be = matches!(error.kind(), ErrorKind::Storage | ErrorKind::Data);
        let is_there = async {
            let made = Compaction::load(&self.world.store, name).await;
            matches!(made, Ok(Some(made)) if made.run != self.run)
        };
        may_be && is_there.await
    }

    /// Writes the rows of the inputs by time, and reads them back: sealed files that nobody sees.
    async fn merge(
        &self,
        day: &Day,
        inputs: &[FileEntry],
        attempt: &str,
    ) -> Result<Vec<FinishedFile>, JobError> {
        self.check_files(day, inputs).await?;
        let store = &self.world.store;
        let merge_bytes = self.options.merge_bytes;
        let mut rows = MergedRows::open(store, inputs, merge_bytes, self.scratch).await?;
        let spool = Spool::new(store.clone(), self.scratch.clone());
        let mut writer = self.writer(&spool, day.name(), attempt);
        if let Err(error) = self.write(day.key, &mut rows, &mut writer).await {
            writer.abort().await;
            return Err(error);
        }
        let files = writer.finish().await?;
        let outputs: Vec<FileEntry> = files.iter().map(|file| file.entry.clone()).collect();
        match compare(day, inputs, rows.sum(), &spool, &outputs).await {
            Ok(()) => Ok(files),
            Err(error) => {
                abort(files).await;
                Err(error)
            }
        }
    }

    /// Every live file of the day has to be there, and those that are merged byte for byte: damage must
    /// not be written anew as if it were whole.
    async fn check_files(&self, day: &Day, inputs: &[FileEntry]) -> Result<(), JobError> {
        let store = &self.world.store;
        let refuse = |file: &FileEntry, is: &'static str| {
            Err(JobError::NotLive {
                day: day.date(),
                path: file.path.clone(),
                is,
            })
        };
        for file in &day.files {
            self.unless_interrupted()?;
            let path = Path::from(file.path.as_str());
            let found = if inputs.contains(file) {
                store.checksum(&path, file.bytes).await?
            } else {
                let size = store.size(&path).await?;
                size.map(|size| (size, (size == file.bytes).then(|| file.checksum.clone())))
            };
            match found {
                None => return refuse(file, "is missing"),
                Some((_, Some(sum))) if sum == file.checksum => {}
                Some(_) => return refuse(file, "has other bytes than were committed"),
            }
        }
        Ok(())
    }

    fn writer(&self, spool: &Arc<Spool>, name: CompactionName, attempt: &str) -> SliceWriter {
        let provenance = Provenance {
            tool_version: concat!("mdca-lake ", env!("CARGO_PKG_VERSION")).to_owned(),
            schema_version: schema::activity().version.to_string(),
            run: self.run.to_owned(),
            clock: self.clock.to_owned(),
        };
        let (columns, options) = (schema::activity().arrow(), self.options.write);
        let owner = name.to_string();
        SliceWriter::new(spool.store(), columns, &owner, attempt, options, provenance)
            .of_compaction(name.in_file_names())
    }

    async fn write(
        &self,
        key: PartitionKey,
        rows: &mut MergedRows,
        writer: &mut SliceWriter,
    ) -> Result<(), JobError> {
        while let Some(batch) = rows.next().await? {
            self.unless_interrupted()?;
            writer.write(key, batch).await?;
        }
        Ok(())
    }

    /// Publishes what was merged: the outputs and the checksum of the compaction, or nothing where
    /// another was faster.
    async fn make(
        &self,
        name: CompactionName,
        attempt: String,
        inputs: &[FileEntry],
        files: Vec<FinishedFile>,
    ) -> Result<Option<(Vec<FileEntry>, String)>, JobError> {
        let outputs: Vec<FileEntry> = files.iter().map(|file| file.entry.clone()).collect();
        let compaction = Compaction::new(
            name,
            attempt,
            self.run.to_owned(),
            self.world.clock.now_ms(),
            schema::activity().version,
            inputs.iter().map(Into::into).collect(),
            outputs.clone(),
        );
        let prepared = PreparedCompaction { compaction, files };
        let clock = self.world.clock.as_ref();
        match commit::compact(self.cleaner, clock, prepared).await? {
            CompactionOutcome::Made(checksum) => {
                info!(compaction = %name, inputs = inputs.len(), outputs = outputs.len(), "compacted");
                Ok(Some((outputs, checksum)))
            }
            CompactionOutcome::Lost => Ok(None),
        }
    }

    fn unless_interrupted(&self) -> Result<(), JobError> {
        if *self.world.interrupted.borrow() {
            Err(JobError::Interrupted)
        } else {
            Ok(())
        }
    }
}

async fn abort(files: Vec<FinishedFile>) {
    for mut file in files {
        file.abort().await;
    }
}

/// Reads the sealed files back: they must have the rows of the inputs, each as often, over all columns.
async fn compare(
    day: &Day,
    inputs: &[FileEntry],
    merged: RowSum,
    spool: &Spool,
    outputs: &[FileEntry],
) -> Result<(), JobError> {
    let mut found = RowSum::default();
    let mut is_whole = true;
    for entry in outputs {
        let Some(copy) = spool.copy(&entry.path) else {
            is_whole = false;
            continue;
        };
        let checksum = spool.checksum(Arc::clone(&copy)).await;
        is_whole &= checksum.map_err(ReadError::from)? == entry.checksum;
        found += sum_rows(copy, &entry.path, entry.bytes).await?;
    }
    let taken = inputs
        .iter()
        .map(|file| file.rows)
        .fold(0, u64::saturating_add);
    if is_whole && found == merged && found.rows == taken {
        return Ok(());
    }
    Err(JobError::NotEqual {
        day: day.date(),
        taken,
        left: found.rows,
    })
}
