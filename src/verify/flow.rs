//! All that is looked at, in an order that is safe.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::asked::{Depth, Sweep};
use super::sound::Harmed;
use super::unnamed::Judge;
use super::verification::Verification;
use crate::error::JobError;
use crate::store::Store;

/// Reads every object that a commit names, and says what no commit names.
///
/// Now is `now_ms`, in milliseconds since the epoch.
pub fn verify(
    store: &Store,
    depth: Depth,
    sweep: Sweep,
    now_ms: i64,
) -> BoxFuture<'_, Result<Verification, JobError>> {
    verify_all(store, depth, sweep, now_ms).boxed()
}

async fn verify_all(
    store: &Store,
    depth: Depth,
    sweep: Sweep,
    now_ms: i64,
) -> Result<Verification, JobError> {
    let mut done = Verification {
        version: 1,
        lake: store.location().to_owned(),
        deep: depth == Depth::Rows,
        ..Verification::default()
    };
    let mut known = done.read(store, depth, now_ms).await?;
    let committed = std::mem::take(&mut known.committed);
    let incomparable = done.judge_table(store, &known, committed).await?;
    let sweeper = known.sweeper(store, sweep);
    let mut judge = Judge {
        store,
        known: &known,
        sweeper: sweeper.as_ref(),
        harmed: Harmed::of(&done.findings),
        done: &mut done,
    };
    judge.judge().await?;
    if let Some(error) = incomparable {
        done.judge_incomparable(&error);
    }
    done.judge_loss(known.missing);
    done.not_cleared = sweeper.map_or(0, |sweeper| sweeper.not_cleared());
    done.advise_for_damage(&known.compactions, known.is_table_current);
    done.findings.sort();
    done.findings.dedup();
    Ok(done)
}
