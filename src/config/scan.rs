//! What the flags of `scan`, and of `check` with it, mean.

use std::fs::File;
use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::{Map, Value};
use tracing::warn;

use super::environment::Environment;
use super::{credentials, memory_bytes, read_flag_file, resolve_window, write_options, wrong};
use crate::cli::{FilterArgs, LimitArgs, ScanArgs, SourceArgs};
use crate::error::UsageError;
use crate::job::memory::MemoryShares;
use crate::job::{JobOptions, LakeWish};
use crate::scan::{ApiUrl, ClientOptions, CommonFilters};
use crate::sign_in::SignIn;
use crate::window::SliceLength;

/// A connection that does not come about in this time will not.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Clients have seen answers after two minutes; one that sends nothing for longer is dead.
const READ_TIMEOUT: Duration = Duration::from_secs(150);
/// What an answer may take whatever its size; beyond that it has to come on.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// The largest page that positions in Arrow's text columns reach with room to spare.
const MAX_PAGE_BYTES: u64 = 1024 * 1024 * 1024;

/// What the service allows a tenant, over all its clients (page "API overview").
const REQUESTS_PER_MINUTE: u32 = 30;

/// What `scan` is to do.
pub struct ScanConfig {
    /// The lake's location.
    pub lake: String,
    /// The job.
    pub job: JobOptions,
    /// The service.
    pub client: ClientOptions,
    /// The budget; `None` means unlimited.
    pub requests_per_minute: Option<NonZeroU32>,
    /// How to sign in; not needed for a plan.
    pub sign_in: Option<SignIn>,
    /// Whether only the plan is asked for.
    pub dry_run: bool,
}

impl ScanConfig {
    /// Resolves the flags of `scan`.
    pub fn resolve(
        args: ScanArgs,
        environment: Environment,
        now_ms: i64,
    ) -> Result<Self, UsageError> {
        let api_url: ApiUrl = args
            .source
            .api_url
            .parse()
            .map_err(|error| wrong(format!("--api-url: {error}")))?;
        let requests_per_minute = args.source.requests_per_minute;
        warn_of_odd_choices(
            requests_per_minute,
            api_url.is_plain(),
            args.window.settle.map(|settle| *settle),
        );
        let client = client_options(&args.source, &args.limits, api_url)?;
        let dry_run = args.window.dry_run;
        let sign_in = if dry_run {
            None
        } else {
            let host = client.api_url.host();
            let resolved = credentials::resolve(
                &args.sign_in,
                environment.sign_in,
                &host,
                client.max_attempts,
                CONNECT_TIMEOUT,
            );
            Some(resolved?)
        };
        Ok(Self {
            lake: args.lake.lake.clone(),
            job: job_options(args, client.api_url.host(), now_ms)?,
            client,
            requests_per_minute: NonZeroU32::new(requests_per_minute),
            sign_in,
            dry_run,
        })
    }
}

/// What the flags mean to the client of the service.
fn client_options(
    source: &SourceArgs,
    limits: &LimitArgs,
    api_url: ApiUrl,
) -> Result<ClientOptions, UsageError> {
    let max_page_bytes = limits.max_page_bytes;
    if !(1..=MAX_PAGE_BYTES).contains(&max_page_bytes.as_u64()) {
        return Err(wrong(format!(
            "--max-page-bytes: {max_page_bytes} is out of range; use 1 B to 1 GiB"
        )));
    }
    Ok(ClientOptions {
        api_url,
        page_limit: source.page_limit,
        max_page_bytes: max_page_bytes.as_u64(),
        max_attempts: source.max_attempts,
        connect_timeout: CONNECT_TIMEOUT,
        read_timeout: READ_TIMEOUT,
        answer_timeout: ANSWER_TIMEOUT,
    })
}

/// What the flags mean to the job.
fn job_options(args: ScanArgs, api_host: String, now_ms: i64) -> Result<JobOptions, UsageError> {
    let ScanArgs {
        source,
        filters,
        window,
        limits,
        writing,
        ..
    } = args;
    let (from_ms, until_ms) =
        resolve_window(window.from.as_deref(), window.until.as_deref(), now_ms)?;
    if from_ms.is_some_and(|from_ms| from_ms >= now_ms) {
        return Err(wrong("--from is not in the past"));
    }
    let slice = window.slice.map(|slice| SliceLength::try_new(*slice));
    let slice = slice
        .transpose()
        .map_err(|error| wrong(format!("--slice: {error}")))?;
    let settle = window.settle.map(|settle| to_ms("--settle", *settle));
    let parallel = usize::from(limits.parallel);
    let memory = MemoryShares::of(memory_bytes(limits.memory_limit)?, parallel);
    Ok(JobOptions {
        wish: LakeWish {
            api_host,
            change_host: source.change_host,
            clock: window.by,
            filters: resolve_filters(filters)?,
            slice,
        },
        from_ms,
        until_ms,
        initial_ms: to_ms("--initial", *window.initial)?,
        settle_ms: settle.transpose()?,
        parallel,
        if_running: limits.if_running.into(),
        on_reject: writing.on_reject.into(),
        keep_raw: writing.keep_raw,
        single_writer: writing.single_writer,
        memory,
        write: write_options(&writing, &memory)?,
    })
}

/// Warns of settings that are allowed and cost something.
fn warn_of_odd_choices(requests_per_minute: u32, is_plain: bool, settle: Option<Duration>) {
    if requests_per_minute == 0 && !is_plain {
        warn!(
            "--requests-per-minute 0 sets no bound, and the service allows {REQUESTS_PER_MINUTE} to all clients of a tenant together: it will answer with 429"
        );
    }
    if requests_per_minute > REQUESTS_PER_MINUTE {
        warn!(
            "--requests-per-minute {requests_per_minute} is above the {REQUESTS_PER_MINUTE} that the service allows all clients of a tenant together: it will answer with 429"
        );
    }
    if settle.is_some_and(|settle| settle.is_zero()) {
        warn!(
            "--settle 0s: records that the service shows late are missed, and no later run asks for them again"
        );
    }
}

fn to_ms(flag: &str, duration: Duration) -> Result<i64, UsageError> {
    // Longer than the archive's years cannot be meant.
    i64::try_from(duration.as_millis())
        .ok()
        .filter(|ms| *ms <= crate::window::MAX_TIME_MS)
        .ok_or_else(|| {
            wrong(format!(
                "{flag}: {} is too long",
                humantime::format_duration(duration)
            ))
        })
}

/// Reads `--filters`, adds the filters that have flags, and says what is not sure of them.
fn resolve_filters(args: FilterArgs) -> Result<Option<Map<String, Value>>, UsageError> {
    let FilterArgs {
        filters,
        service,
        app_instance,
        user,
        ip,
        activity_type,
    } = args;
    let text = match filters
        .as_deref()
        .map(|text| (text, text.strip_prefix('@')))
    {
        Some((_, Some(file))) => Some(
            File::open(file)
                .and_then(read_flag_file)
                .map_err(|error| wrong(format!("--filters @{file}: {error}")))?,
        ),
        Some((text, None)) => Some(text.to_owned()),
        None => None,
    };
    let common = CommonFilters {
        service,
        app_instance,
        user,
        ip,
        activity_type,
    };
    let checked = common
        .check_with(text.as_deref())
        .map_err(|error| wrong(error.to_string()))?;
    for remark in checked.remarks {
        warn!("{remark}");
    }
    Ok(checked.filters)
}
