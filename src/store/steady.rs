//! Objects that come, or do not: a body that stalls or breaks off again and again is given up.
//!
//! `object_store` reads on where a body ended, and counts no more than the time since the first request: an
//! object that never comes to its end would be waited for as long as one that comes slowly.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, try_unfold};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result,
};

use super::error_document::GaveUp;

/// What is waited for without bytes that flow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// So long, over all stalls of an object between which bytes did not flow for as long.
    pub(super) stalled_for: Duration,
    /// Bytes that come no faster than this do not flow. Several objects share a link, so it is less than
    /// the link must have.
    pub(super) slowest_bytes_per_s: u64,
}

impl Patience {
    /// That of a run: two answers that time out, and the pauses before the next.
    pub(super) const RUN: Self = Self {
        stalled_for: Duration::from_secs(45),
        slowest_bytes_per_s: 4 * 1024,
    };
}

/// A store whose objects are given up when they do not come.
#[derive(Debug)]
pub(super) struct Steady {
    objects: Arc<dyn ObjectStore>,
    patience: Patience,
}

impl Steady {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, patience: Patience) -> Self {
        Self { objects, patience }
    }
}

impl fmt::Display for Steady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.objects.fmt(f)
    }
}

/// How the body of one object comes.
#[derive(Debug)]
struct Flow {
    patience: Patience,
    stalled: Duration,
    bytes: u64,
}

impl Flow {
    fn took(&mut self, piece_bytes: usize, waited: Duration) {
        let piece_bytes = piece_bytes as u64;
        let due_us = piece_bytes * 1_000_000 / self.patience.slowest_bytes_per_s.max(1);
        let due = Duration::from_micros(due_us);
        // Time in which bytes flow makes up for as much in which they did not.
        self.stalled = if waited <= due {
            self.stalled.saturating_sub(waited)
        } else {
            self.stalled + waited.saturating_sub(due)
        };
        self.bytes += piece_bytes;
    }

    fn left(&self) -> Duration {
        self.patience.stalled_for.saturating_sub(self.stalled)
    }

    fn given_up(&self) -> Error {
        let given_up = GaveUp {
            silent: self.patience.stalled_for,
            last: format!("{} bytes of the object, and no more", self.bytes),
        };
        Error::Generic {
            store: "object storage",
            source: Box::new(given_up),
        }
    }
}

/// The same pieces, as long as they come.
fn watched(
    pieces: BoxStream<'static, Result<Bytes>>,
    patience: Patience,
) -> BoxStream<'static, Result<Bytes>> {
    let flow = Flow {
        patience,
        stalled: Duration::ZERO,
        bytes: 0,
    };
    try_unfold((pieces, flow), |(mut pieces, mut flow)| async move {
        // Only while the reader waits: what it does between two pieces is its own affair.
        let began = Instant::now();
        let Ok(next) = tokio::time::timeout(flow.left(), pieces.next()).await else {
            return Err(flow.given_up());
        };
        let Some(piece) = next.transpose()? else {
            return Ok(None);
        };
        flow.took(piece.len(), began.elapsed());
        Ok(Some((piece, (pieces, flow))))
    })
    .boxed()
}

#[async_trait]
impl ObjectStore for Steady {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut got = self.objects.get_opts(location, options).await?;
        got.payload = match got.payload {
            GetResultPayload::Stream(pieces) => {
                GetResultPayload::Stream(watched(pieces, self.patience))
            }
            file @ GetResultPayload::File(..) => file,
        };
        Ok(got)
    }

    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.objects.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.objects.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    /// What is left of the patience after pieces of so many bytes, each after so many seconds.
    fn left(pieces: impl IntoIterator<Item = (u64, usize)>) -> Duration {
        let mut flow = Flow {
            patience: Patience::RUN,
            stalled: Duration::ZERO,
            bytes: 0,
        };
        for (waited_s, bytes) in pieces {
            flow.took(bytes, Duration::from_secs(waited_s));
        }
        flow.left()
    }

    /// Half of what is left comes with each try, and each ends in a stall.
    #[test]
    fn a_body_that_stalls_again_and_again_is_given_up() {
        let halves = (0..4).map(|n| (20, 16_000_usize >> n));
        assert_eq!(left(halves), Duration::ZERO);
    }

    #[test]
    fn a_slow_body_that_comes_steadily_is_waited_for() {
        // 8 KiB a second, for an hour.
        assert_eq!(left(vec![(2, 16 * 1024); 1_800]), Patience::RUN.stalled_for);
        // A stall is made up for by as much time in which bytes flow.
        let pieces = [(30, 1), (30, 1024 * 1024), (30, 1)];
        assert!(left(pieces) > Duration::from_secs(14));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up_and_what_came_is_handed_on() {
        let patience = Patience {
            stalled_for: Duration::from_millis(50),
            ..Patience::RUN
        };
        let first = stream::iter([Ok(Bytes::from_static(b"half"))]);
        let mut pieces = watched(first.chain(stream::pending()).boxed(), patience);
        assert_eq!(pieces.next().await.unwrap().unwrap(), "half");
        let error = pieces.next().await.unwrap().unwrap_err();
        assert!(super::super::error::find::<GaveUp>(&error).is_some());
    }
}
