//! A span, from its first request to the commits of its slices; or to nothing, if it has to be given up.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;
use tracing::{Instrument, error_span};

use crate::classify::{Shares, Unfit};
use crate::decode::{Ingest, PageDecoder, Record};
use crate::error::JobError;
use crate::job::late::may_be_one_range;
use crate::job::slice_task::{Pages, SliceTask, Telling};
use crate::job::span::Fill;
use crate::job::tenant::TenantCheck;
use crate::layout;
use crate::scan::{Dates, Page, ReadRange, SpanError, SpanScan};
use crate::window::Slice;

/// Commits that are looked for at once.
const LOOKS_AT_ONCE: usize = 8;

/// Why a span was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GivenUp {
    /// It cannot be had as one range.
    #[error(transparent)]
    Scan(#[from] SpanError),
    /// It cannot be shared out.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// What stops the run.
    #[error(transparent)]
    Job(#[from] JobError),
}

/// How a span came to its end. Slices of it that nothing was told of are still to be scanned.
#[derive(Debug)]
pub(crate) enum SpanEnd {
    /// It was read, and was so full.
    Read(Fill),
    /// Slices of it are committed already, so that it was not asked for.
    Parted,
    /// It has to be asked for otherwise.
    GivenUp(GivenUp),
}

impl SliceTask {
    /// Reads a span, and commits its slices one by one; tells how each of them ended.
    pub(crate) async fn scan_span(
        &self,
        slices: &[Slice],
        turn: OwnedSemaphorePermit,
        tell: Telling,
    ) -> SpanEnd {
        match self.committed_among(slices).await {
            Ok(committed) if committed.is_empty() => {}
            Ok(committed) => {
                for slice in committed {
                    tell.of(slice, Ok(None));
                }
                return SpanEnd::Parted;
            }
            Err(error) => return SpanEnd::GivenUp(error.into()),
        }
        // Held until the last rows are handed on: the pages are kept so long.
        let page_turn = self.pages.wait().await;
        let (shares, dates) = match self.read_span(slices).await {
            Ok(read) => read,
            Err(given_up) => return SpanEnd::GivenUp(given_up),
        };
        let fill = self.fill_of(shares.records, shares.bytes);
        let mut turns = Some((turn, page_turn));
        let mut left = slices.len();
        for share in shares.into_shares() {
            left -= 1;
            let slice = share.slice;
            let pages = Pages::Shared {
                pages: share.pages,
                dates,
            };
            let turn = if left == 0 { turns.take() } else { None };
            let scanned = self.take_in(slice, pages, turn);
            let result = scanned.instrument(error_span!("slice", %slice)).await;
            let goes_on = match &result {
                Ok(_) => true,
                Err(error) => {
                    !error.stops_the_run() && !matches!(error, JobError::NotClosed { .. })
                }
            };
            tell.of(slice, result.map(Some));
            if !goes_on {
                break;
            }
        }
        SpanEnd::Read(fill)
    }

    /// The slices that have been committed since the plan was made.
    async fn committed_among(&self, slices: &[Slice]) -> Result<Vec<Slice>, JobError> {
        let looks = slices.iter().copied().map(|slice| async move {
            let commit = layout::commit(&slice.to_string());
            let size = self.world.store.size(&commit).await?;
            Ok::<_, JobError>(size.map(|_| slice))
        });
        let looks: Vec<_> = looks.collect();
        let looked = stream::iter(looks).buffered(LOOKS_AT_ONCE);
        let found: Vec<Option<Slice>> = looked.try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Reads a span whole and shares it out; with the service's clock on its answers.
    async fn read_span(&self, slices: &[Slice]) -> Result<(Shares, Dates), GivenUp> {
        let (first, last) = (slices[0], slices[slices.len() - 1]);
        let options = Arc::new(self.setup.scan_options(&self.options));
        let whole = Slice::spanning(first, last);
        let mut scan = SpanScan::new(Arc::clone(&self.world.client), whole, options);
        let mut shares = Shares::new(slices, self.setup.clock);
        let read = self.unless_interrupted(scan.read()).await?;
        let mut tenant = TenantCheck::default();
        let read = self.share_out(&mut shares, read, &mut tenant).await?;
        scan.check_total(&read, shares.records)?;
        if let Some(stretch) = shares.longest_empty() {
            let was_empty = shares.records == 0;
            let probed = self.unless_interrupted(scan.probe(stretch)).await?;
            self.share_out(&mut shares, probed, &mut tenant).await?;
            if !was_empty && shares.any_in(stretch) {
                return Err(Unfit::Contradicted.into());
            }
        }
        // Before the empty ones among its slices are committed.
        self.check_tenant(whole, tenant).await?;
        let dates = scan.dates();
        // By the service's clock, which may be another than the one by which the span was planned.
        let says = [dates.earliest_ms, dates.last_ms];
        if says
            .into_iter()
            .flatten()
            .any(|now_ms| !may_be_one_range(&first, &last, now_ms))
        {
            return Err(Unfit::Forgotten.into());
        }
        Ok((shares, dates))
    }

    async fn unless_interrupted(
        &self,
        work: impl Future<Output = Result<ReadRange, SpanError>>,
    ) -> Result<ReadRange, GivenUp> {
        match self.world.unless_interrupted(work).await? {
            // No slice of it would be answered otherwise.
            Err(SpanError::Scan(error)) if error.is_sign_in() || error.is_of_all_requests() => {
                Err(JobError::Scan(error).into())
            }
            read => Ok(read?),
        }
    }

    /// Shares out the pages of a range, and leaves what else is known of it; sees whose its records are.
    async fn share_out(
        &self,
        shares: &mut Shares,
        mut read: ReadRange,
        tenant: &mut TenantCheck,
    ) -> Result<ReadRange, GivenUp> {
        while let Some(page) = read.pages.pop_front() {
            let (page, records) = self.records_of(page).await?;
            if !records.is_empty() {
                let lake = self.tenant.ids(&self.world.store).await;
                let array = &page.text[page.data.clone()];
                let texts = records.iter().map(|record| &array[record.range.clone()]);
                tenant.look_at(
                    texts.filter_map(|text| serde_json::from_str(text).ok()),
                    lake,
                );
            }
            shares.take(&page, &records)?;
        }
        Ok(read)
    }

    /// The records of a page, with their clocks as a slice's own scan reads them.
    async fn records_of(&self, page: Page) -> Result<(Page, Vec<Record>), JobError> {
        let max_batch_bytes = self.options.memory.max_batch_bytes;
        let work = spawn_blocking(move || {
            let ingest = Ingest {
                run: String::new(),
                received_ms: 0,
                keep_raw: false,
            };
            let mut decoder = PageDecoder::new(max_batch_bytes);
            let (mut records, mut from) = (Vec::new(), None);
            loop {
                let piece = decoder.decode(&page.text[page.data.clone()], from, &ingest)?;
                records.extend(piece.records);
                from = piece.next;
                if from.is_none() {
                    return Ok((page, records));
                }
            }
        });
        work.await
            .unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic()))
    }
}
