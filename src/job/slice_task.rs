//! One try at a slice: from the first page to the commit, or to nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, SemaphorePermit};
use tokio::task;
use tracing::warn;

use crate::classify::{Classified, Classifier, Fingerprints, SameBy};
use crate::clock::BothClocks;
use crate::commit::SliceCounts;
use crate::commit::{self, Cleaner, Commit, CommittedHole, Outcome, Rescue, Unproven};
use crate::decode::oddities::Oddities;
use crate::decode::{Ingest, PageDecoder, Position};
use crate::error::JobError;
use crate::job::context::World;
use crate::job::holes;
use crate::job::late::{OldestRecord, oldest_ms};
use crate::job::memory::PageTurns;
use crate::job::runs::History;
use crate::job::setup::{JobOptions, OnReject, Setup};
use crate::job::slice_attempt::{SliceAttempt, is_lost};
use crate::job::slice_memory::{SliceMemory, SlicePart};
use crate::job::span::Fill;
use crate::job::tenant::{
    self, ASKED_DAYS, ASKED_RECORDS, FEW_RECORDS, LakeTenant, Likeness, TenantCheck, TenantIds,
};
use crate::layout;
use crate::partition;
use crate::scan::{Dates, Page, PageSeen, ScanError, Scanned, SliceScan};
use crate::text::plain::chain;
use crate::window::Slice;
use crate::write::FileEntry;

/// What every slice of a run needs.
#[derive(Clone)]
pub(crate) struct SliceTask {
    pub(crate) world: Arc<World>,
    pub(crate) setup: Arc<Setup>,
    pub(crate) options: Arc<JobOptions>,
    pub(crate) run: String,
    /// The newest slice of the plan.
    pub(crate) newest: Slice,
    pub(crate) cleaner: Arc<Cleaner>,
    pub(crate) pages: Arc<PageTurns>,
    pub(crate) memory: Arc<SliceMemory>,
    pub(crate) oldest: Arc<OldestRecord>,
    /// What earlier runs reported, once it is asked for.
    pub(crate) history: Arc<OnceCell<History>>,
    pub(crate) tenant: Arc<LakeTenant>,
}

/// How a slice came to its end: none where another run has committed it since the plan was made.
pub(crate) type SliceResult = Result<Option<SliceDone>, JobError>;

/// Where the ends of slices are told, as they come, with the task that they are of.
#[derive(Clone)]
pub(crate) struct Telling(pub(crate) UnboundedSender<(task::Id, Slice, SliceResult)>);

impl Telling {
    /// Tells how a slice of this task ended.
    pub(crate) fn of(&self, slice: Slice, result: SliceResult) {
        // Nobody listens any more where the run itself was dropped.
        let _ = self.0.send((task::id(), slice, result));
    }
}

/// Where the pages of a slice come from.
pub(crate) enum Pages {
    /// From the service.
    Asked(Box<SliceScan>),
    /// From a span that was read before, with the service's clock on its answers.
    Shared { pages: VecDeque<Page>, dates: Dates },
}

impl Pages {
    async fn proceed(&mut self) -> Result<Option<Scanned>, ScanError> {
        match self {
            Self::Asked(scan) => scan.proceed().await,
            Self::Shared { pages, .. } => Ok(pages.pop_front().map(Scanned::Page)),
        }
    }

    fn observe(&mut self, seen: PageSeen) -> Result<(), ScanError> {
        match self {
            Self::Asked(scan) => scan.observe(seen),
            // What the service did was seen when the span was shared out.
            Self::Shared { .. } => Ok(()),
        }
    }

    fn dates(&self) -> Dates {
        match self {
            Self::Asked(scan) => scan.dates(),
            Self::Shared { dates, .. } => *dates,
        }
    }
}

/// How a slice that was scanned came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SliceEnd {
    /// It is committed, by this run or by another.
    Settled(Outcome),
    /// The service said nothing of it, too late for that to mean anything.
    Unproven,
}

/// A slice that ended so long ago is kept as it is, before the service forgets it.
const LAST_CHANCE_MS: i64 = 20 * 24 * 60 * 60_000;

/// A slice that came to its end.
pub(crate) struct SliceDone {
    pub(crate) end: SliceEnd,
    /// How full its pages were, where it was scanned to its end.
    pub(crate) fill: Option<Fill>,
    pub(crate) oddities: Oddities,
    /// What is wrong with the slice though it is committed.
    pub(crate) flaws: Vec<JobError>,
}

/// What the pages of a slice go through.
struct Flow {
    decoder: PageDecoder,
    classifier: Classifier,
    tenant: TenantCheck,
    found: Found,
}

/// What the pages of a slice leave behind, beside rows and rejects.
#[derive(Default)]
struct Found {
    counts: SliceCounts,
    /// The text of its pages, in bytes.
    text_bytes: u64,
    oddities: Oddities,
    holes: Vec<CommittedHole>,
    flaws: Vec<JobError>,
    /// The service's clock after its last answer.
    answered_ms: i64,
}

impl SliceTask {
    /// Scans a slice, writes its rows and commits them; `None` where another run has done so since
    /// the plan was made. The turn to scan ends where only the commit is missing.
    pub(crate) async fn scan_and_commit(
        &self,
        slice: Slice,
        turn: OwnedSemaphorePermit,
    ) -> SliceResult {
        let commit = layout::commit(&slice.to_string());
        if self.world.store.size(&commit).await?.is_some() {
            return Ok(None);
        }
        let options = Arc::new(self.setup.scan_options(&self.options));
        let client = Arc::clone(&self.world.client);
        let scan = SliceScan::new(client, slice, self.newest, options);
        let pages = Pages::Asked(Box::new(scan));
        self.take_in(slice, pages, turn).await.map(Some)
    }

    /// Writes what the pages of a slice hold, and commits it. The turn ends where only the commit is
    /// missing.
    pub(crate) async fn take_in(
        &self,
        slice: Slice,
        pages: Pages,
        turn: impl Send,
    ) -> Result<SliceDone, JobError> {
        let store = &self.world.store;
        let attempt = self.world.ids.next();
        let mut oddities = Oddities::default();
        let tried = self.attempt(slice, pages, turn, &attempt, &mut oddities);
        match tried.await {
            Ok(done) => Ok(SliceDone { oddities, ..done }),
            Err(error) if is_lost(store, &slice.to_string(), &attempt, &error).await => {
                Ok(SliceDone {
                    end: SliceEnd::Settled(Outcome::Lost),
                    fill: None,
                    oddities,
                    flaws: Vec::new(),
                })
            }
            Err(error) => Err(error),
        }
    }

    /// How many pages so many records with so many bytes fill.
    pub(crate) fn fill_of(&self, records: u64, text_bytes: u64) -> Fill {
        let cap = self.world.client.page_cap();
        // As many bytes as may be kept of a span are two pages.
        let page_bytes = self.options.memory.look_ahead_max_bytes / 2;
        Fill::of(records, cap).max(Fill::of(text_bytes, page_bytes))
    }

    /// One try at a slice. What it met that the schema does not know is said however it ends.
    async fn attempt(
        &self,
        slice: Slice,
        pages: Pages,
        turn: impl Send,
        attempt: &str,
        oddities: &mut Oddities,
    ) -> Result<SliceDone, JobError> {
        let memory = Arc::new(self.memory.begin());
        let mut attempt = SliceAttempt::begin(
            &self.world.store,
            slice.to_string(),
            attempt.to_owned(),
            self.run.clone(),
            self.setup.clock.to_string(),
            self.options.write,
            Arc::clone(&memory),
        );
        let found = match self.fill(slice, pages, &mut attempt, memory).await {
            Ok(found) => found,
            Err(error) => {
                attempt.abort().await;
                return Err(error);
            }
        };
        *oddities = found.oddities;
        let fill = self.fill_of(found.counts.records, found.text_bytes);
        let mut flaws = found.flaws;
        let sealed = attempt.seal().await?;
        self.note_oldest(sealed.entries(), found.answered_ms);
        let late = match self.may_commit(slice, found.answered_ms).await {
            Ok(late) => late,
            Err(error) => {
                sealed.abort().await;
                return Err(error);
            }
        };
        let is_empty = sealed.is_empty() && found.holes.is_empty();
        if is_empty
            && !late
            && let Err(error) = self.check_empty(slice).await
        {
            sealed.abort().await;
            return Err(error);
        }
        drop(turn);
        if late && is_empty {
            return self.end_forgotten(slice, found.answered_ms).await;
        }
        let clock = self.world.clock.as_ref();
        let say = |commit: Commit| commit.with_holes(found.holes).late(late);
        let outcome = sealed
            .commit(&self.cleaner, clock, found.counts, say)
            .await?;
        if outcome == Outcome::Lost {
            // What is in the lake is another attempt's.
            flaws.clear();
        }
        Ok(SliceDone {
            end: SliceEnd::Settled(outcome),
            fill: Some(fill),
            oddities: Oddities::default(),
            flaws,
        })
    }

    /// Takes note of how far back the records of a slice go.
    fn note_oldest<'f>(&self, files: impl Iterator<Item = &'f FileEntry>, answered_ms: i64) {
        for time_ms in files.filter_map(|file| oldest_ms(file, self.setup.clock)) {
            self.oldest.note(time_ms, answered_ms);
        }
    }

    /// Ends a slice that the service said nothing of, too late.
    async fn end_forgotten(&self, slice: Slice, asked_ms: i64) -> Result<SliceDone, JobError> {
        let mut flaws = Vec::new();
        let end = match commit::rescue(&self.cleaner, self.world.clock.as_ref(), slice).await? {
            Rescue::Nothing => {
                self.mark_unproven(slice, asked_ms).await?;
                SliceEnd::Unproven
            }
            Rescue::TooSoon => return Err(JobError::Forgotten { slice }),
            Rescue::Done(outcome) => {
                if let Outcome::Committed(made) = &outcome {
                    flaws.extend(of_holes(slice, &made.commit.holes));
                }
                SliceEnd::Settled(outcome)
            }
        };
        Ok(SliceDone {
            end,
            fill: Some(self.fill_of(0, 0)),
            oddities: Oddities::default(),
            flaws,
        })
    }

    async fn mark_unproven(&self, slice: Slice, asked_ms: i64) -> Result<(), JobError> {
        let store = &self.world.store;
        let name = slice.to_string();
        let (now_ms, machine) = (self.world.clock.now_ms(), &self.world.machine);
        let history = || History::before(store, &self.run, now_ms, machine);
        let last_failure = self
            .history
            .get_or_try_init(history)
            .await?
            .last_failure(slice.window());
        let marker = Unproven::new(name, self.run.clone(), asked_ms, last_failure);
        Ok(marker.create(store).await?)
    }

    /// Makes sure that the service answers a plain request, unless the run is to stop anyway.
    pub(crate) async fn check_service(&self) -> Result<(), JobError> {
        let options = Arc::new(self.setup.scan_options(&self.options));
        let check = self.world.client.check(self.newest, &options);
        match self.world.unless_interrupted(check).await {
            Ok(answer) => answer.map_err(JobError::ServiceDown),
            Err(_interrupted) => Ok(()),
        }
    }

    /// Takes every page of a slice to the writer.
    async fn fill(
        &self,
        slice: Slice,
        mut pages: Pages,
        attempt: &mut SliceAttempt,
        memory: Arc<SlicePart>,
    ) -> Result<Found, JobError> {
        let mut flow = Flow {
            decoder: PageDecoder::new(self.options.memory.max_batch_bytes),
            classifier: Classifier::new(self.setup.clock),
            tenant: TenantCheck::default(),
            found: Found::default(),
        };
        loop {
            let next = async {
                let turn = match &pages {
                    Pages::Asked(_) => Some(self.turn_for_a_page(&memory).await),
                    // They are there, with the turn to hold them.
                    Pages::Shared { .. } => None,
                };
                (turn, pages.proceed().await)
            };
            let (_turn, scanned) = self.world.unless_interrupted(next).await?;
            let page = match scanned? {
                None => break,
                Some(Scanned::Page(page)) => page,
                Some(Scanned::Hole(hole)) => {
                    let (hole, line) = holes::keep(hole, &mut flow.found.counts);
                    flow.found.holes.push(hole);
                    attempt.take_rejects(line).await?;
                    continue;
                }
            };
            let seen;
            (flow, seen) = self.take_page(slice, flow, page, attempt, &memory).await?;
            self.world.counters.received(seen.records);
            pages.observe(seen)?;
        }
        memory.holds_for_records(0);
        let Flow {
            mut found, tenant, ..
        } = flow;
        let is_silent = tenant.is_silent();
        let is_foreign = self.check_tenant(slice, tenant).await?;
        self.count_tenant(is_silent, is_foreign).await;
        self.check_rejects(slice, &found.counts)?;
        found.answered_ms = self.check_closed(slice, pages.dates())?;
        let all_rejects = check_form(slice, &found.counts, pages.dates().last_ms)?;
        found.flaws.extend(all_rejects);
        found.flaws.extend(of_holes(slice, &found.holes));
        Ok(found)
    }

    /// Waits until a slice may fetch its next page, and hold it until its rows are handed on.
    async fn turn_for_a_page(&self, memory: &SlicePart) -> SemaphorePermit<'_> {
        memory.may_grow().await;
        self.pages.wait().await
    }

    /// Takes a page to the writer, piece by piece; says what it held.
    async fn take_page(
        &self,
        slice: Slice,
        mut flow: Flow,
        page: Page,
        attempt: &mut SliceAttempt,
        memory: &SlicePart,
    ) -> Result<(Flow, PageSeen), JobError> {
        flow.found.text_bytes += page.text.len() as u64;
        let page = Arc::new(page);
        let mut seen = PageSeen::default();
        let mut from = None;
        loop {
            let classified;
            (flow, classified, from) = self.take_piece(slice, flow, &page, from).await?;
            memory.holds_for_records(flow.classifier.held_bytes());
            seen.add(classified.seen);
            let rows = &classified.rows;
            if rows.num_rows() > 0 || !classified.rejects.is_empty() {
                let lake = self.tenant.ids(&self.world.store).await;
                let rejects = tenant::records_of_rejects(&classified.rejects);
                let records = tenant::records_of(rows).chain(rejects);
                flow.tenant.look_at(records, lake);
            }
            let parts = partition::split(rows)?;
            attempt.take(parts, classified.rejects).await?;
            if from.is_none() {
                return Ok((flow, seen));
            }
        }
    }

    /// Decodes and sifts a piece of a page where it may take its time; says where the next begins.
    async fn take_piece(
        &self,
        slice: Slice,
        mut flow: Flow,
        page: &Arc<Page>,
        from: Option<Position>,
    ) -> Result<(Flow, Classified, Option<Position>), JobError> {
        let ingest = Ingest {
            run: self.run.clone(),
            received_ms: self.world.clock.now_ms(),
            keep_raw: self.options.keep_raw,
        };
        let page = Arc::clone(page);
        let work = task::spawn_blocking(move || {
            let array = &page.text[page.data.clone()];
            let piece = flow.decoder.decode(array, from, &ingest)?;
            let fingerprints = Fingerprints::of(array, &piece, SameBy::Json);
            let classified = flow.classifier.classify(&*page, &piece, &fingerprints)?;
            let found = &mut flow.found;
            found.counts.add(&classified.counts);
            let odd = piece.odd.into_iter().chain(classified.odd.iter().cloned());
            found.oddities.add(piece.unknown, odd, &slice);
            Ok((flow, classified, piece.next))
        });
        work.await
            .unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic()))
    }

    fn check_rejects(&self, slice: Slice, counts: &SliceCounts) -> Result<(), JobError> {
        let rejects: u64 = counts.rejects.values().sum();
        if self.options.on_reject == OnReject::Keep || rejects == 0 {
            return Ok(());
        }
        Err(JobError::Rejects {
            slice,
            rejects,
            reasons: reasons(counts),
        })
    }

    /// Counts a slice whose records do not say whose they are, or are of others.
    async fn count_tenant(&self, is_silent: bool, is_foreign: bool) {
        if is_silent && self.tenant.ids(&self.world.store).await.is_some() {
            self.tenant.met_silent();
        }
        if is_foreign {
            self.tenant.met_foreign();
        }
    }

    /// Makes sure that records of which none agrees with the lake's are not of another tenant: a few odd
    /// ones condemn nothing, and what else the service has of late decides. True where they are of others,
    /// and the service answers for the lake's tenant.
    pub(crate) async fn check_tenant(
        &self,
        slice: Slice,
        tenant: TenantCheck,
    ) -> Result<bool, JobError> {
        if tenant.is_same() {
            self.tenant.met();
        }
        let told = tenant.told().cloned();
        let Some(seen) = tenant.doubtful() else {
            return Ok(false);
        };
        let Some(lake) = self.tenant.all_ids(&self.world.store).await else {
            if let Some(told) = told {
                self.tenant.learn(told);
            }
            return Ok(false);
        };
        self.doubt_tenant(slice, lake, seen).await
    }

    /// Makes sure, before the first slice without records is committed as the lake's, that the service answers for
    /// the lake's tenant: another may have nothing where that has records. Once a run, and only where no record of
    /// the tenant came before.
    async fn check_empty(&self, slice: Slice) -> Result<(), JobError> {
        if self.tenant.has_met() {
            return Ok(());
        }
        let Some(lake) = self.tenant.all_ids(&self.world.store).await else {
            return Ok(());
        };
        let doubt = self.tenant.doubt().await;
        if self.tenant.has_met() || self.tenant.is_refused() {
            drop(doubt);
            return self.unless_refused(slice).await;
        }
        let seen = self.ask_whose_at_all().await?;
        if let Some(seen) = seen
            && let Some(Likeness::Other(_)) = lake.any_likeness(&seen)
        {
            drop(doubt);
            self.doubt_tenant(slice, lake, seen).await?;
        }
        self.tenant.met();
        Ok(())
    }

    /// What few records say of their tenant: of the last day, or else of more. A service that does not answer
    /// for so long a range is not another's.
    async fn ask_whose_at_all(&self) -> Result<Option<TenantIds>, JobError> {
        for days in ASKED_DAYS {
            match self.ask_whose(days, FEW_RECORDS).await {
                Ok(None) => {}
                Err(JobError::Scan(error))
                    if !error.is_sign_in() && !error.is_of_all_requests() =>
                {
                    warn!(error = %chain(&error), "cannot ask whose the service's records are");
                    break;
                }
                told => return told,
            }
        }
        Ok(None)
    }

    /// What up to so many records of so many days say of their tenant, if they say anything.
    async fn ask_whose(&self, days: i64, limit: u32) -> Result<Option<TenantIds>, JobError> {
        let options = Arc::new(self.setup.scan_options(&self.options));
        let range = Slice::minutes_before(self.world.clock.now_ms(), days * 24 * 60);
        let asked = self.world.client.ask_up_to(limit, range, &options);
        let asked = self.world.unless_interrupted(asked).await??;
        Ok(tenant::Found::of_array(&asked.records).ids().cloned())
    }

    /// The same of records that are not of the lake's tenant, as far as they say.
    async fn doubt_tenant(
        &self,
        slice: Slice,
        lake: &TenantIds,
        mut seen: TenantIds,
    ) -> Result<bool, JobError> {
        let doubt = self.tenant.doubt().await;
        if self.tenant.is_refused() {
            drop(doubt);
            return self.unless_refused(slice).await.map(|()| false);
        }
        let mut asked_days = ASKED_DAYS.into_iter();
        loop {
            let Some(Likeness::Other(difference)) = lake.any_likeness(&seen) else {
                return Ok(asked_days.len() < ASKED_DAYS.len());
            };
            let Some(days) = asked_days.next() else {
                self.tenant.refuse(difference);
                drop(doubt);
                return self.unless_refused(slice).await.map(|()| true);
            };
            if let Some(more) = self.ask_whose(days, ASKED_RECORDS).await? {
                seen.add_all(&more);
            }
        }
    }

    /// Once records of another tenant came, an empty answer says nothing of the lake's own either.
    async fn unless_refused(&self, slice: Slice) -> Result<(), JobError> {
        let refused = self.tenant.refused().await;
        refused.map_or(Ok(()), |difference| {
            let (slice, difference) = (Some(slice), Box::new(difference.clone()));
            Err(JobError::OtherTenant { slice, difference })
        })
    }

    /// Whether a slice may be committed, and whether as a late one.
    async fn may_commit(&self, slice: Slice, service_ms: i64) -> Result<bool, JobError> {
        self.unless_refused(slice).await?;
        self.is_late(slice, service_ms)
    }

    /// Whether a slice was asked for so late that an answer of this time proves nothing.
    ///
    /// # Errors
    /// The clocks are far apart, and say different things: what is marked as late is so for ever.
    fn is_late(&self, slice: Slice, service_ms: i64) -> Result<bool, JobError> {
        let local_ms = self.world.clock.now_ms();
        let clocks = BothClocks {
            local_ms,
            service_ms,
        };
        let is_late = |now_ms| !self.oldest.proves(&slice, now_ms);
        if is_late(local_ms) != is_late(service_ms) && !clocks.agree_roughly() {
            return Err(JobError::Disputed { slice, clocks });
        }
        Ok(is_late(service_ms))
    }

    /// Makes sure by the service's own clock that nothing can be added to the slice any more: a
    /// local clock that runs fast must not lose records. The first of its answers has to be that late. Returns
    /// that clock's time on the last one.
    fn check_closed(&self, slice: Slice, dates: Dates) -> Result<i64, JobError> {
        let (Some(service_ms), Some(last_ms)) = (dates.earliest_ms, dates.last_ms) else {
            return Err(JobError::NoDate { slice });
        };
        // A date says the second, which may be all but over.
        if service_ms + 999 - self.setup.settle_ms >= slice.until_ms() {
            Ok(last_ms)
        } else {
            let clocks = BothClocks {
                local_ms: self.world.clock.now_ms() - (last_ms - service_ms),
                service_ms,
            };
            Err(JobError::NotClosed { slice, clocks })
        }
    }
}

/// The reasons of rejects, with their counts.
fn reasons(counts: &SliceCounts) -> String {
    let reasons: Vec<String> = counts
        .rejects
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    reasons.join(", ")
}

/// A slice of rejects only says that the form of records has changed: it is not committed as if that
/// were all there is, until the service is about to forget it.
fn check_form(
    slice: Slice,
    counts: &SliceCounts,
    service_ms: Option<i64>,
) -> Result<Option<JobError>, JobError> {
    let Some(rejects) = counts.nothing_but_rejects() else {
        return Ok(None);
    };
    let committed = service_ms.is_some_and(|now_ms| now_ms - slice.until_ms() >= LAST_CHANCE_MS);
    let error = JobError::AllRejects {
        slice,
        rejects,
        reasons: reasons(counts),
        committed,
    };
    if committed {
        Ok(Some(error))
    } else {
        Err(error)
    }
}

/// What is to be said of the holes of a slice.
fn of_holes(slice: Slice, holes: &[CommittedHole]) -> Option<JobError> {
    let first = holes.iter().min_by_key(|hole| hole.from_ms)?;
    Some(JobError::Holes {
        slice,
        count: holes.iter().map(|hole| hole.until_ms - hole.from_ms).sum(),
        first_ms: first.from_ms,
        reason: first.reason.clone(),
    })
}
