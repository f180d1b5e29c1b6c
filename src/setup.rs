//! The lake and the flags, brought together: what a lake is, and which slices of it a run scans.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::commit::{Identity, LakeSource};
use crate::error::JobError;
use crate::job::{JobOptions, LakeWish};
use crate::plan::Plan;
use crate::report::RunReport;
use crate::scan::ClockField;
use crate::schema;
use crate::window::{SliceLength, TimeWindow};

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
}

impl Setup {
    /// What the lake is, or is to be; flags that contradict it are refused.
    pub(crate) fn resolve(
        options: &JobOptions,
        found: Option<Identity>,
        now_ms: i64,
    ) -> Result<Self, JobError> {
        let JobOptions { wish, .. } = options;
        let default_slice = SliceLength::try_new(DEFAULT_SLICE).expect("an hour is whole minutes");
        let identity = match found {
            Some(identity) => {
                check_wish(wish, &identity)?;
                identity
            }
            None => Identity::new(
                LakeSource::Scan,
                wish.api_host.clone(),
                wish.clock.unwrap_or(ClockField::Created).to_string(),
                wish.filters.clone().unwrap_or_default(),
                wish.slice.unwrap_or(default_slice).minutes(),
                schema::activity().version,
                options
                    .from_ms
                    .unwrap_or((now_ms - options.initial_ms).max(0)),
            ),
        };
        let clock: ClockField = identity.clock.parse().map_err(|_| {
            JobError::Usage(format!(
                "the lake's clock '{}' is not known; use the newer program",
                identity.clock
            ))
        })?;
        let minutes = u64::try_from(identity.slice_minutes).unwrap_or(0);
        let length = SliceLength::try_new(Duration::from_secs(minutes.saturating_mul(60)))
            .map_err(|error| JobError::Usage(format!("the lake's slice length: {error}")))?;
        if clock == ClockField::Created && identity.filters.contains_key("created")
            || clock == ClockField::Date && identity.filters.contains_key("date")
        {
            return Err(JobError::Usage(format!(
                "--filters names the lake's clock '{clock}', which the window decides; take it out and use --from and --until"
            )));
        }
        let settle_ms = options
            .settle_ms
            .unwrap_or_else(|| default_settle_ms(clock));
        Ok(Self {
            identity,
            clock,
            length,
            settle_ms,
        })
    }

    /// The slices that are to be scanned.
    pub(crate) fn plan(
        &self,
        options: &JobOptions,
        now_ms: i64,
        committed: &BTreeSet<String>,
    ) -> Plan {
        let from_ms = options.from_ms.unwrap_or(self.identity.begin_ms);
        let until_ms = options.until_ms.unwrap_or(now_ms).max(from_ms);
        Plan::new(
            TimeWindow { from_ms, until_ms },
            self.length,
            now_ms,
            self.settle_ms,
            committed,
        )
    }

    /// Says in the report what lake it is.
    pub(crate) fn describe(&self, report: &mut RunReport) {
        report.api_host.clone_from(&self.identity.api_host);
        report.clock = self.clock.to_string();
        if self.clock == ClockField::Date {
            let settle = Duration::from_millis(self.settle_ms.unsigned_abs());
            report.notes.push(format!(
                "by date, a slice settles for {} and misses whatever arrives later; by created it would not",
                humantime::format_duration(settle)
            ));
        }
    }
}

/// Refuses flags that ask for another lake than the one that is there.
fn check_wish(wish: &LakeWish, identity: &Identity) -> Result<(), JobError> {
    let LakeWish {
        api_host,
        clock,
        filters,
        slice,
    } = wish;
    let other = |flag: &str, asked: String, is: String| {
        Err(JobError::Usage(format!(
            "the lake was made with {flag} {is}, and this run says {asked}; leave the flag out, or give another --lake"
        )))
    };
    if identity.source != LakeSource::Scan {
        return Err(JobError::Usage(format!(
            "the lake was made by {}, so scan cannot add to it; give another --lake",
            identity.source
        )));
    }
    if identity.schema_version != schema::activity().version {
        return Err(JobError::Usage(format!(
            "the lake has schema version {}, and this program writes {}; use the matching program",
            identity.schema_version,
            schema::activity().version
        )));
    }
    if *api_host != identity.api_host {
        return other("--api-url", api_host.clone(), identity.api_host.clone());
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
