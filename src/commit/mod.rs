//! Finished files become visible and are recorded, once.
//!
//! The steps, and what a crash after each of them leaves behind:
//!
//! 1. The files of an attempt are written into invisible uploads and sealed (`write`). *After a
//!    crash:* unfinished uploads; readers see nothing. On a disk they go once the slice is committed,
//!    in object storage with `verify --sweep` or the bucket's own rule.
//! 2. Conservation is checked. If the slice has a commit already the attempt is lost and its
//!    uploads are aborted. Else the **attempt object** is put, which holds the whole commit to be.
//!    From here the owner deletes nothing of its own until it has read a commit that names another
//!    attempt. *After a crash:* an attempt object whose files are missing; the slice is scanned again.
//! 3. The commit is looked for once more, then the rejects and each file are published: after the
//!    attempt object, so that nothing is ever there that no attempt names. An error is an unknown
//!    outcome: a file of the right size is there. *After a crash:* some whole files of an attempt
//!    without a commit, or all of them: then the next run adopts the attempt.
//! 4. The commit is created, only if none is there. On an error or "exists" it is read back: this
//!    attempt → committed; another → lost; none → tried again. A loser removes its files itself and
//!    leaves its attempt object, which names them should it have missed one. *After a crash:* the
//!    commit is there or it is not; the next run finishes step 5 or adopts the attempt.
//! 5. The files of every other attempt at the slice that the commit does not name are removed; those
//!    attempt objects once the commit is an hour old, because until then a loser may be asleep before
//!    its last put. The own attempt object goes last. What cannot be removed is counted and stays.
//!    *After a crash:* the next run does this step again.
//!
//! Files become fewer by compactions, whose steps `compacting` has. Which files are live is said by
//! commits and compactions together (`live`).
//!
//! Unfinished work is swept only once its slice is committed: until then it may be somebody's who
//! is still running. An unfinished upload of an object that a commit names is never aborted: some
//! stores then lose the object. Nothing here scans or reads Parquet.

pub mod caps;
mod changes;
mod checked_json;
mod clearing;
mod committed;
mod compacting;
mod compaction;
mod counts;
mod damage;
mod error;
mod identity;
mod live;
mod objects;
mod orphans;
mod protocol;
mod recovery;
mod rescue;
mod taken;
mod unproven;

pub use changes::{Change, ChangeKind, Changes, announce_compactions, check_writable};
pub use clearing::{Cleaner, Projection};
pub use committed::{KnownSlices, committed_slices, load_commits};
pub use compacting::{
    CompactionOutcome, PreparedCompaction, clear_staged, compact, is_compaction_lost,
    recover_compactions,
};
pub use compaction::{CompactedInput, Compaction, load_compaction_attempt};
pub use counts::SliceCounts;
pub use damage::{Damage, RESTORE, RESTORE_CHANGES};
pub use error::CommitError;
pub use identity::{Identity, LakeSource};
pub use live::{Compactions, live_files, read_live, read_live_days};
pub use objects::{Attempt, Commit, CommittedHole, RejectsEntry};
pub use orphans::{find_lost_compaction, find_lost_compaction_of, find_orphans};
pub use protocol::{Made, Outcome, Prepared, commit};
pub use recovery::{Recovered, recover};
pub use rescue::{Rescue, rescue};
pub use unproven::{KnownFailure, Unproven};

#[cfg(test)]
mod tests;
