//! Merges the flags with the settings of the lake, and picks the slices that are scanned.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::commit::{Identity, KnownSlices, LakeSource};
use crate::error::{JobError, UsageError};
use crate::job::memory::MemoryShares;
use crate::job::plan::Plan;
use crate::job::report::RunReport;
use crate::job::turns::IfRunning;
use crate::scan::{ClockField, ScanOptions};
use crate::schema;
use crate::text::units::counted;
use crate::window::{SliceLength, TimeWindow, format_time};
use crate::write::WriteOptions;

/// What to do with rejects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnReject {
    /// Keep them beside the rows.
    Keep,
    /// Fail the slice.
    Fail,
}

/// What a lake is to be. What is not given is the lake's own, or the default of a new one.
#[derive(Debug, Clone)]
pub struct LakeWish {
    /// The service's host.
    pub api_host: String,
    /// Whether a lake of another host is to have this one from now on.
    pub change_host: bool,
    /// The clock.
    pub clock: Option<ClockField>,
    /// What narrows the records.
    pub filters: Option<Map<String, Value>>,
    /// The length of a slice.
    pub slice: Option<SliceLength>,
}

/// What a run of `scan` is to do. Plain values.
#[derive(Debug, Clone)]
pub struct JobOptions {
    /// What the lake is to be.
    pub wish: LakeWish,
    /// The start of the window, in milliseconds since the epoch; else the lake's begin.
    pub from_ms: Option<i64>,
    /// The end of the window; else now.
    pub until_ms: Option<i64>,
    /// How far back a new lake begins without `from_ms`.
    pub initial_ms: i64,
    /// How long a slice settles; else the default of the lake's clock.
    pub settle_ms: Option<i64>,
    /// Slices scanned at once.
    pub parallel: usize,
    /// What to do where another run is at work.
    pub if_running: IfRunning,
    /// What to do with rejects.
    pub on_reject: OnReject,
    /// Whether the records' exact text is kept.
    pub keep_raw: bool,
    /// Whether only one run at a time ever writes to the lake.
    pub single_writer: bool,
    /// What may be held at once.
    pub memory: MemoryShares,
    /// How files are written.
    pub write: WriteOptions,
}

/// Minutes that a slice settles before it is scanned, by the clock of the lake: records are saved
/// minutes after they happen, and become visible minutes after they are saved.
fn default_settle_ms(clock: ClockField) -> i64 {
    match clock {
        ClockField::Created => 15 * 60_000,
        ClockField::Date => 24 * 60 * 60_000,
    }
}

/// The length of a slice where nobody says.
const DEFAULT_SLICE: Duration = Duration::from_secs(60 * 60);

/// The lake and the flags, brought together.
pub(crate) struct Setup {
    pub(crate) identity: Identity,
    pub(crate) clock: ClockField,
    pub(crate) length: SliceLength,
    pub(crate) settle_ms: i64,
    /// The host that the lake has, where this run is to change it to the identity's.
    pub(crate) former_host: Option<String>,
}

impl Setup {
    /// What the lake is, or is to be; flags that contradict it are refused.
    pub(crate) fn resolve(
        options: &JobOptions,
        found: Option<Identity>,
        now_ms: i64,
    ) -> Result<Self, JobError> {
        let wish = &options.wish;
        let mut former_host = None;
        let identity = match found {
            Some(mut identity) => {
                identity.check_begin(now_ms)?;
                check_wish(wish, &identity)?;
                if identity.api_host != wish.api_host {
                    let api_host = wish.api_host.clone();
                    former_host = Some(std::mem::replace(&mut identity.api_host, api_host));
                }
                identity
            }
            None => new_identity(options, now_ms)?,
        };
        let clock: ClockField = identity.clock.parse().map_err(|_| {
            UsageError::new(format!(
                "cannot scan into the lake: its clock '{}' is unknown to this version",
                identity.clock
            ))
            .advise("use the version that wrote it, or a newer one")
        })?;
        let length = identity.slice_length().map_err(|error| {
            UsageError::new(format!("cannot use the lake's slice length: {error}"))
        })?;
        check_filters(&identity)?;
        check_until(options, identity.begin_ms)?;
        let settle_ms = options
            .settle_ms
            .unwrap_or_else(|| default_settle_ms(clock));
        Ok(Self {
            identity,
            clock,
            length,
            settle_ms,
            former_host,
        })
    }

    /// The slices that are to be scanned.
    pub(crate) fn plan(&self, options: &JobOptions, now_ms: i64, known: &KnownSlices) -> Plan {
        let from_ms = options.from_ms.unwrap_or(self.identity.begin_ms);
        let until_ms = options.until_ms.unwrap_or(now_ms).max(from_ms);
        Plan::new(
            TimeWindow { from_ms, until_ms },
            self.length,
            now_ms,
            self.settle_ms,
            &Self::not_again(options, known),
        )
    }

    /// The slices that a run does not scan again. Who says `--from` asks for unproven ones once more.
    pub(crate) fn not_again(options: &JobOptions, known: &KnownSlices) -> KnownSlices {
        let mut known = known.clone();
        if options.from_ms.is_some() {
            known.unproven.clear();
        }
        known
    }

    /// How its slices are asked for.
    pub(crate) fn scan_options(&self, options: &JobOptions) -> ScanOptions {
        ScanOptions {
            clock: self.clock,
            filters: self.identity.filters.clone(),
            look_ahead_max_bytes: options.memory.look_ahead_max_bytes,
            max_records: options.memory.max_slice_records,
        }
    }

    /// What the user should know of the closed slices that the lake lacks before the plan's window, if any:
    /// no window of a run that goes on from there takes them.
    pub(crate) fn remark_before(&self, plan: &Plan, known: &KnownSlices) -> Option<String> {
        let before = TimeWindow {
            from_ms: self.length.floor(self.identity.begin_ms),
            until_ms: plan.covered.from_ms.min(plan.closed_until_ms),
        };
        let left = self
            .length
            .slices(before)
            .filter(|slice| !known.contains(&slice.to_string()))
            .count();
        (left > 0).then(|| {
            format!(
                "{} between the lake's begin {} and the window: a scan without --from takes them",
                counted(
                    left as u64,
                    "slice is not committed",
                    "slices are not committed"
                ),
                format_time(self.identity.begin_ms)
            )
        })
    }

    /// What a run would record first.
    pub(crate) fn remark_on_host(&self) -> Option<String> {
        let (from, to) = (self.former_host.as_ref()?, &self.identity.api_host);
        Some(format!("a run changes the lake's host from {from} to {to}"))
    }

    /// Says in the report what lake it is.
    pub(crate) fn describe(&self, options: &JobOptions, report: &mut RunReport) {
        report.api_host.clone_from(&self.identity.api_host);
        report.clock = self.clock.to_string();
        if options.wish.change_host && self.former_host.is_none() {
            report
                .result
                .notes
                .push("the lake has this host already; leave --change-host out".to_owned());
        }
        if self.clock == ClockField::Date {
            let settle = Duration::from_millis(self.settle_ms.unsigned_abs());
            report.result.notes.push(format!(
                "by date, a slice is scanned {} after its end, and records that arrive later are missed; by created they are not",
                humantime::format_duration(settle)
            ));
        }
    }
}

/// The identity of a lake that the options make.
fn new_identity(options: &JobOptions, now_ms: i64) -> Result<Identity, UsageError> {
    if options.from_ms.is_some_and(|from_ms| from_ms > now_ms) {
        return Err(UsageError::new(
            "cannot make the lake: --from is in the future",
        ));
    }
    let wish = &options.wish;
    let default_slice = SliceLength::try_new(DEFAULT_SLICE).expect("an hour is whole minutes");
    Ok(Identity::new(
        LakeSource::Scan,
        wish.api_host.clone(),
        wish.clock.unwrap_or(ClockField::Created).to_string(),
        wish.filters.clone().unwrap_or_default(),
        wish.slice.unwrap_or(default_slice).minutes(),
        schema::activity().version,
        options
            .from_ms
            .unwrap_or((now_ms - options.initial_ms).max(0)),
    ))
}

/// The window alone decides on the lake's clock.
fn check_filters(identity: &Identity) -> Result<(), UsageError> {
    let Identity { filters, clock, .. } = identity;
    if !filters.contains_key(clock) {
        return Ok(());
    }
    Err(UsageError::new(format!(
        "--filters sets '{clock}', the lake's clock, which the window decides"
    ))
    .advise("use --from and --until instead"))
}

/// A window without a start begins where the lake does.
fn check_until(options: &JobOptions, begin_ms: i64) -> Result<(), UsageError> {
    match (options.from_ms, options.until_ms) {
        (None, Some(until_ms)) if until_ms <= begin_ms => Err(UsageError::new(format!(
            "--until {} is not after the begin of the lake, {}",
            format_time(until_ms),
            format_time(begin_ms)
        ))
        .advise("use --from as well")),
        _ => Ok(()),
    }
}

/// Refuses flags that ask for another lake than the one that is there.
fn check_wish(wish: &LakeWish, identity: &Identity) -> Result<(), UsageError> {
    let LakeWish {
        api_host,
        change_host,
        clock,
        filters,
        slice,
    } = wish;
    let other = |flag: &str, asked: String, is: String| {
        Err(UsageError::new(format!(
            "cannot use {flag} {asked}: the lake was made with {is}"
        ))
        .advise("leave the flag out, or use another --lake"))
    };
    if identity.source != LakeSource::Scan {
        return Err(UsageError::new(format!(
            "cannot scan into the lake: it was made by {}",
            identity.source
        ))
        .advise("use another --lake"));
    }
    if identity.schema_version != schema::activity().version {
        return Err(UsageError::new(format!(
            "cannot scan into the lake: it has schema version {}, and this program writes {}",
            identity.schema_version,
            schema::activity().version
        )));
    }
    if *api_host != identity.api_host && !change_host {
        return Err(UsageError::new(format!(
            "cannot scan {api_host} into the lake: its host is {}",
            identity.api_host
        ))
        .advise("correct --api-url; if the tenant has moved, add --change-host once"));
    }
    if let Some(clock) = clock.filter(|clock| clock.as_str() != identity.clock) {
        return other("--by", clock.to_string(), identity.clock.clone());
    }
    if let Some(filters) = filters
        .as_ref()
        .filter(|filters| **filters != identity.filters)
    {
        let text = |filters: &Map<String, Value>| Value::Object(filters.clone()).to_string();
        return other("--filters", text(filters), text(&identity.filters));
    }
    if let Some(slice) = slice.filter(|slice| slice.minutes() != identity.slice_minutes) {
        return other(
            "--slice",
            slice.to_string(),
            format!("{}m", identity.slice_minutes),
        );
    }
    Ok(())
}
