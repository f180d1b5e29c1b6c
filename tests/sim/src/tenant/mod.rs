//! The activities that the service holds, and the ground truth for tests.
//!
//! A [`Tenant`] is a handle: clones share the same activities, so a test can add records while a
//! server serves them. Lists by either clock; knows nothing of requests, pages or faults.

mod entry;

use std::ops::Range;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::Value;

pub(crate) use entry::{Attributes, Entry, lenient_integer};
use entry::{Body, Scripted};

use crate::clock::ClockField;
use crate::generator::{self, Kind, Seedling, Sketch, TenantOptions, World};
use crate::random::{Random, mix};

/// The activities of one tenant.
#[derive(Clone, Debug)]
pub struct Tenant {
    shared: Arc<RwLock<Holdings>>,
}

/// A record as the service holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `_id`, where it is a string.
    pub id: Option<String>,
    pub created_ms: i64,
    pub timestamp_ms: i64,
    /// Not listed before this moment.
    pub visible_from_ms: i64,
    /// The exact text that the service sends.
    pub json: String,
}

#[derive(Debug)]
pub(crate) struct Holdings {
    world: World,
    odd_per_mille: u32,
    seed: u64,
    /// In order of arrival; indices never change.
    entries: Vec<Entry>,
    by_created: Vec<u32>,
    by_date: Vec<u32>,
}

impl Tenant {
    /// A tenant full of invented activities.
    pub fn generate(options: &TenantOptions) -> Self {
        let entries: Vec<Entry> = generator::seedlings(options)
            .into_iter()
            .map(generated)
            .collect();
        let count = u32::try_from(entries.len())
            .expect("a simulated tenant holds fewer than 2^32 activities");
        let by_created: Vec<u32> = (0..count).collect();
        let mut by_date = by_created.clone();
        by_date.sort_by_key(|at| (entries[position(*at)].timestamp_ms, *at));
        Self::of(Holdings {
            world: World::new(options.seed),
            odd_per_mille: options.odd_per_mille,
            seed: options.seed,
            entries,
            by_created,
            by_date,
        })
    }

    /// A tenant without activities.
    pub fn empty() -> Self {
        Self::generate(&TenantOptions {
            activities: 0,
            ..TenantOptions::default()
        })
    }

    fn of(holdings: Holdings) -> Self {
        Self {
            shared: Arc::new(RwLock::new(holdings)),
        }
    }

    /// Adds a record, any JSON text (even one that is no object or no record). `created` and
    /// `timestamp` are read leniently: numbers or digits; one stands in for the other; else 0.
    pub fn push(&self, json: impl Into<String>) {
        self.add(json.into(), None, None);
    }

    /// Adds a record whose clocks are given instead of read from its text.
    pub fn push_at(&self, json: impl Into<String>, created_ms: i64, timestamp_ms: i64) {
        self.add(json.into(), Some((created_ms, timestamp_ms)), None);
    }

    /// Adds a record that is listed from `visible_from_ms` on, however early its `created` is.
    pub fn push_late(&self, json: impl Into<String>, visible_from_ms: i64) {
        self.add(json.into(), None, Some(visible_from_ms));
    }

    /// Adds an invented activity of any kind, saved at `created_ms`; happened minutes before, or later ones.
    pub fn push_generated(&self, created_ms: i64) {
        let mut held = self.write();
        let seed = mix(held.seed, held.entries.len() as u64);
        held.insert(generated(generator::seedling(seed, created_ms)));
    }

    /// Adds an invented activity of this kind with both clocks given.
    pub fn push_kind(&self, kind: Kind, created_ms: i64, timestamp_ms: i64) {
        let mut held = self.write();
        let seed = mix(held.seed, held.entries.len() as u64);
        held.insert(generated(Seedling {
            seed,
            kind,
            created_ms,
            timestamp_ms,
        }));
    }

    /// How many records the tenant holds, visible or not.
    pub fn len(&self) -> usize {
        self.read().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ground truth: every record whose `clock` lies in `[start, end)`, in order of that clock,
    /// records that are not visible yet included.
    pub fn records(&self, clock: ClockField, range_ms: Range<i64>) -> Vec<Record> {
        let held = self.read();
        held.indices(clock, range_ms.start, range_ms.end.saturating_sub(1))
            .iter()
            .map(|at| held.record(*at))
            .collect()
    }

    /// As [`Tenant::records`], but only what the service lists at `now_ms`.
    pub fn records_at(&self, clock: ClockField, range_ms: Range<i64>, now_ms: i64) -> Vec<Record> {
        let held = self.read();
        held.indices(clock, range_ms.start, range_ms.end.saturating_sub(1))
            .iter()
            .filter(|at| held.entry(**at).is_visible(now_ms))
            .map(|at| held.record(*at))
            .collect()
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Holdings> {
        self.shared.read().expect("no holder of this lock panics")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Holdings> {
        self.shared.write().expect("no holder of this lock panics")
    }

    fn add(&self, json: String, clocks: Option<(i64, i64)>, visible_from_ms: Option<i64>) {
        let value: Value = serde_json::from_str(&json).unwrap_or(Value::Null);
        let read = |key: &str| value.get(key).and_then(lenient_integer);
        let (created_ms, timestamp_ms) = clocks.unwrap_or_else(|| {
            let created = read("created").or_else(|| read("timestamp")).unwrap_or(0);
            (created, read("timestamp").unwrap_or(created))
        });
        let attributes = Attributes::read(&value);
        self.write().insert(Entry {
            created_ms,
            timestamp_ms,
            visible_from_ms: visible_from_ms.unwrap_or(created_ms),
            body: Body::Scripted(Arc::new(Scripted { json, attributes })),
        });
    }
}

impl Entry {
    pub(crate) fn is_visible(&self, now_ms: i64) -> bool {
        self.created_ms <= now_ms && self.visible_from_ms <= now_ms
    }
}

impl Holdings {
    pub(crate) fn entry(&self, at: u32) -> &Entry {
        &self.entries[position(at)]
    }

    /// Activities whose clock lies in `lowest..=highest`, in order of that clock, then of arrival.
    pub(crate) fn indices(&self, clock: ClockField, lowest: i64, highest: i64) -> &[u32] {
        let sorted = self.sorted(clock);
        let start = sorted.partition_point(|at| self.entry(*at).clock(clock) < lowest);
        let end = sorted.partition_point(|at| self.entry(*at).clock(clock) <= highest);
        &sorted[start..end.max(start)]
    }

    pub(crate) fn attributes(&self, at: u32) -> Attributes {
        let entry = self.entry(at);
        match &entry.body {
            Body::Scripted(scripted) => scripted.attributes.clone(),
            Body::Generated { seed, kind } => {
                let sketch = Sketch::draw(
                    &self.world,
                    *kind,
                    entry.created_ms,
                    &mut Random::new(*seed),
                );
                Attributes {
                    app_id: Some(sketch.app_id),
                    user_name: Some(sketch.person.upn.clone()),
                    ip: Some(sketch.ip),
                    id: Some(sketch.id),
                }
            }
        }
    }

    pub(crate) fn text(&self, at: u32) -> String {
        let entry = self.entry(at);
        match &entry.body {
            Body::Scripted(scripted) => scripted.json.clone(),
            Body::Generated { seed, kind } => generator::render(
                &self.world,
                Seedling {
                    seed: *seed,
                    kind: *kind,
                    created_ms: entry.created_ms,
                    timestamp_ms: entry.timestamp_ms,
                },
                self.odd_per_mille,
            ),
        }
    }

    /// The activity with this `_id`; the latest, where several have it.
    pub(crate) fn find(&self, id: &str) -> Option<u32> {
        let mut found = self.by_created.iter().rev().copied();
        found.find(|at| self.attributes(*at).id.as_deref() == Some(id))
    }

    /// The `rank`th activity in order of `created`.
    pub(crate) fn at_rank(&self, rank: u64) -> Option<u32> {
        self.by_created.get(usize::try_from(rank).ok()?).copied()
    }

    fn record(&self, at: u32) -> Record {
        let entry = self.entry(at);
        Record {
            id: self.attributes(at).id,
            created_ms: entry.created_ms,
            timestamp_ms: entry.timestamp_ms,
            visible_from_ms: entry.visible_from_ms,
            json: self.text(at),
        }
    }

    fn sorted(&self, clock: ClockField) -> &[u32] {
        match clock {
            ClockField::Created => &self.by_created,
            ClockField::Date => &self.by_date,
        }
    }

    fn insert(&mut self, entry: Entry) {
        let at = u32::try_from(self.entries.len())
            .expect("a simulated tenant holds fewer than 2^32 activities");
        let created_place = self.place_after(ClockField::Created, entry.created_ms);
        let date_place = self.place_after(ClockField::Date, entry.timestamp_ms);
        self.entries.push(entry);
        self.by_created.insert(created_place, at);
        self.by_date.insert(date_place, at);
    }

    fn place_after(&self, clock: ClockField, moment: i64) -> usize {
        self.sorted(clock)
            .partition_point(|at| self.entry(*at).clock(clock) <= moment)
    }
}

fn generated(seedling: Seedling) -> Entry {
    Entry {
        created_ms: seedling.created_ms,
        timestamp_ms: seedling.timestamp_ms,
        visible_from_ms: seedling.created_ms,
        body: Body::Generated {
            seed: seedling.seed,
            kind: seedling.kind,
        },
    }
}

fn position(at: u32) -> usize {
    usize::try_from(at).expect("an index of 32 bits is a usize")
}
