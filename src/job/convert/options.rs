//! What a run of `convert` is to do.

use crate::convert::{Input, Shard, TextLimits};
use crate::error::UsageError;
use crate::job::memory::MemoryShares;
use crate::job::setup::OnReject;
use crate::write::WriteOptions;

/// What a run of `convert` is to do. Plain values.
#[derive(Debug, Clone)]
pub struct ConvertOptions {
    /// The share of the inputs that it takes; else all.
    pub shard: Option<Shard>,
    /// Inputs that are converted at once.
    pub parallel: usize,
    /// What to do with rejects.
    pub on_reject: OnReject,
    /// Whether the records' exact text is kept.
    pub keep_raw: bool,
    /// Whether only one run at a time ever writes to the lake.
    pub single_writer: bool,
    /// So many chunks of records are on their way at once, over all inputs.
    pub chunks: usize,
    /// What reading may take.
    pub text: TextLimits,
    /// What may be held at once.
    pub memory: MemoryShares,
    /// How files are written.
    pub write: WriteOptions,
}

impl ConvertOptions {
    /// Whether an input is of its share.
    pub(super) fn takes(&self, input: &Input) -> bool {
        self.shard.is_none_or(|shard| shard.takes(&input.name))
    }

    /// Refuses to take a share of what no other process has: nobody would take the rest.
    pub(super) fn check_share(&self, inputs: &[Input]) -> Result<(), UsageError> {
        let piped = inputs.iter().find(|input| input.is_of_pipe());
        match piped.filter(|_| self.shard.is_some()) {
            None => Ok(()),
            Some(input) => Err(UsageError::new(format!(
                "cannot take a share of {}: it is a pipe, which no other process has",
                input.name
            ))
            .advise("leave --shard (MDCA_SHARD) out, or name files")),
        }
    }
}
