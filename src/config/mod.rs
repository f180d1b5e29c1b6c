//! What the command line and the environment mean: defaults, checks across flags, secrets.
//!
//! Nothing else looks at the environment, but for clap's own `env` on flags.

mod convert;

pub use self::convert::ConvertConfig;

use std::ffi::{OsStr, OsString};
use std::num::NonZeroU32;
use std::time::Duration;

use bytesize::ByteSize;
use clap::FromArgMatches;
use serde_json::{Map, Value};
use tracing::warn;

use crate::cli::{
    self, Cli, FilterArgs, LimitArgs, ScanArgs, ScanWindowArgs, SourceArgs, WindowArgs, WriteArgs,
};
use crate::credentials::{self, SignInEnvironment, Workload};
use crate::error::UsageError;
use crate::job::memory;
use crate::job::{JobOptions, LakeWish};
use crate::scan::{ApiUrl, ClientOptions, CommonFilters};
use crate::sign_in::SignIn;
use crate::window::{SliceLength, TimeWindow, parse_time};
use crate::write::WriteOptions;

/// A connection that does not come about in this time will not.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Clients have seen answers after two minutes; one that sends nothing for longer is dead.
const READ_TIMEOUT: Duration = Duration::from_secs(150);
/// What an answer may take whatever its size; beyond that it has to come on.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// The largest page that positions in Arrow's text columns reach with room to spare.
const MAX_PAGE_BYTES: u64 = 1024 * 1024 * 1024;
/// Less than this does not hold one row group and one page.
const MIN_MEMORY_BYTES: u64 = 32 * 1024 * 1024;
/// A slice may take a quarter of the memory to tell its records apart: 39 bytes for each, at most.
const BYTES_PER_RECORD: u64 = 160;
/// Smaller files help nobody.
const MIN_FILE_BYTES: u64 = 1024 * 1024;

/// What the service allows a tenant, over all its clients (page "API overview").
const REQUESTS_PER_MINUTE: u32 = 30;

fn wrong(what: impl Into<String>) -> UsageError {
    UsageError::new(what)
}

/// The variables of the environment that are looked at.
#[derive(Debug, Default)]
pub struct Environment {
    /// What signs in.
    pub sign_in: SignInEnvironment,
}

impl Environment {
    /// The process's own.
    ///
    /// # Errors
    /// A variable is not valid UTF-8.
    pub fn of_process() -> Result<Self, UsageError> {
        let secret = |name| Ok(variable(name)?.map(Into::into));
        Ok(Self {
            sign_in: SignInEnvironment {
                token: secret(credentials::TOKEN_VARIABLE)?,
                client_secret: secret(credentials::CLIENT_SECRET_VARIABLE)?,
                identity_endpoint: variable("IDENTITY_ENDPOINT")?,
                identity_header: secret("IDENTITY_HEADER")?,
                machine_endpoint: variable("AZURE_POD_IDENTITY_AUTHORITY_HOST")?,
                workload: Workload {
                    tenant: variable("AZURE_TENANT_ID")?,
                    client_id: variable("AZURE_CLIENT_ID")?,
                    token_file: variable("AZURE_FEDERATED_TOKEN_FILE")?,
                    authority: variable("AZURE_AUTHORITY_HOST")?,
                },
            },
        })
    }
}

/// A variable; one that is empty is one that is not set.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
fn variable(name: &str) -> Result<Option<String>, UsageError> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(wrong(format!("{name} is not valid UTF-8"))),
    }
}

/// The command line of the process. A variable that is empty is one that is not set.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn command_line() -> Result<Cli, clap::Error> {
    let counts =
        |variable: &OsStr| std::env::var_os(variable).is_none_or(|value| !value.is_empty());
    let matches = cli::command_with(&counts).try_get_matches()?;
    Cli::from_arg_matches(&matches)
}

/// Whether these arguments, or the environment, ask for logs as JSON; for arguments that are refused,
/// so that nothing else reads them.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn asks_for_json_logs(args: impl Iterator<Item = OsString>) -> bool {
    let args: Vec<OsString> = args.collect();
    let is_pair = |pair: &[OsString]| pair[0] == "--log-format" && pair[1] == "json";
    args.windows(2).any(is_pair)
        || args.iter().any(|arg| arg == "--log-format=json")
        || std::env::var_os("MDCA_LOG_FORMAT").is_some_and(|format| format == "json")
}

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
        let ScanArgs {
            lake,
            source,
            sign_in,
            filters,
            window,
            limits,
            writing,
            metrics: _,
        } = args;
        let SourceArgs {
            api_url,
            change_host,
            page_limit,
            requests_per_minute,
            max_attempts,
        } = source;
        let ScanWindowArgs {
            from,
            until,
            by,
            slice,
            settle,
            initial,
            dry_run,
        } = window;
        let LimitArgs {
            parallel,
            if_running,
            memory_limit,
            max_page_bytes,
        } = limits;
        let WriteArgs {
            on_reject,
            keep_raw,
            compression,
            max_file_bytes,
            single_writer,
        } = writing;

        let api_url: ApiUrl = api_url
            .parse()
            .map_err(|error| wrong(format!("--api-url: {error}")))?;
        let (from_ms, until_ms) = resolve_window(from.as_deref(), until.as_deref(), now_ms)?;
        if from_ms.is_some_and(|from_ms| from_ms >= now_ms) {
            return Err(wrong("--from is in the future"));
        }
        let slice = slice
            .map(|slice| {
                SliceLength::try_new(*slice).map_err(|error| wrong(format!("--slice: {error}")))
            })
            .transpose()?;
        warn_of_odd_choices(requests_per_minute, settle.map(|settle| *settle));
        let settle_ms = settle
            .map(|settle| to_ms("--settle", *settle))
            .transpose()?;
        let sign_in = if dry_run {
            None
        } else {
            let host = api_url.host();
            let environment = environment.sign_in;
            let resolved =
                credentials::resolve(&sign_in, environment, &host, max_attempts, CONNECT_TIMEOUT);
            Some(resolved?)
        };
        let memory_bytes = memory_bytes(memory_limit)?;
        if !(1..=MAX_PAGE_BYTES).contains(&max_page_bytes.as_u64()) {
            return Err(wrong(format!(
                "--max-page-bytes: {max_page_bytes} is out of range; use 1 B to 1 GiB"
            )));
        }
        check_file_bytes(max_file_bytes)?;
        let parallel = usize::from(parallel);
        // Half of the memory is for what slices hold: rows that wait, and what tells records apart. The
        // other half is for pages, their columns and the row group that is being written.
        let slices_bytes = memory_bytes / 2;
        let buffer_bytes = usize::try_from(slices_bytes).unwrap_or(usize::MAX) / parallel;
        Ok(Self {
            lake: lake.lake,
            job: JobOptions {
                wish: LakeWish {
                    api_host: api_url.host(),
                    change_host,
                    clock: by,
                    filters: resolve_filters(filters)?,
                    slice,
                },
                from_ms,
                until_ms,
                initial_ms: to_ms("--initial", *initial)?,
                settle_ms,
                parallel,
                if_running: if_running.into(),
                on_reject: on_reject.into(),
                keep_raw,
                single_writer,
                page_bytes: memory_bytes / 2,
                slices_bytes,
                // One with its turn has a page; what is fetched ahead without a turn stays small.
                look_ahead_max_bytes: memory_bytes / 4 / parallel as u64,
                max_slice_records: memory_bytes / BYTES_PER_RECORD,
                max_batch_bytes: usize::try_from(memory_bytes / 8).unwrap_or(usize::MAX),
                write: WriteOptions {
                    compression,
                    max_file_bytes: max_file_bytes.as_u64(),
                    buffer_bytes,
                },
            },
            client: ClientOptions {
                api_url,
                page_limit,
                max_page_bytes: max_page_bytes.as_u64(),
                max_attempts,
                connect_timeout: CONNECT_TIMEOUT,
                read_timeout: READ_TIMEOUT,
                answer_timeout: ANSWER_TIMEOUT,
            },
            requests_per_minute: NonZeroU32::new(requests_per_minute),
            sign_in,
            dry_run,
        })
    }
}

/// Resolves `--memory-limit`.
fn memory_bytes(limit: Option<ByteSize>) -> Result<u64, UsageError> {
    match limit {
        Some(limit) if limit.as_u64() < MIN_MEMORY_BYTES => Err(wrong(format!(
            "--memory-limit: {limit} is too little; use 32 MiB or more"
        ))),
        Some(limit) => Ok(limit.as_u64()),
        None => Ok(memory::default_limit_bytes()),
    }
}

/// Refuses a `--max-file-bytes` that helps nobody.
fn check_file_bytes(bytes: ByteSize) -> Result<(), UsageError> {
    if bytes.as_u64() >= MIN_FILE_BYTES {
        return Ok(());
    }
    Err(wrong(format!(
        "--max-file-bytes: {bytes} is too little; use 1 MiB or more"
    )))
}

/// Warns of settings that are allowed and cost something.
fn warn_of_odd_choices(requests_per_minute: u32, settle: Option<Duration>) {
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

/// Resolves `--from` and `--until`, in milliseconds since the epoch.
fn resolve_window(
    from: Option<&str>,
    until: Option<&str>,
    now_ms: i64,
) -> Result<(Option<i64>, Option<i64>), UsageError> {
    let time = |flag: &str, text: Option<&str>| {
        let parsed = text.map(|text| parse_time(text, now_ms)).transpose();
        parsed.map_err(|error| wrong(format!("{flag}: {error}")))
    };
    let from_ms = time("--from", from)?;
    let until_ms = time("--until", until)?;
    match (from_ms, until_ms) {
        (Some(from_ms), Some(until_ms)) if until_ms <= from_ms => {
            Err(wrong("--until is not after --from, so the window is empty"))
        }
        _ => Ok((from_ms, until_ms)),
    }
}

/// Resolves the window of a command that reads: what is not given is unbounded.
pub fn read_window(args: &WindowArgs, now_ms: i64) -> Result<Option<TimeWindow>, UsageError> {
    let WindowArgs { from, until } = args;
    let (from_ms, until_ms) = resolve_window(from.as_deref(), until.as_deref(), now_ms)?;
    if from_ms.is_none() && until_ms.is_none() {
        return Ok(None);
    }
    Ok(Some(TimeWindow {
        from_ms: from_ms.unwrap_or(i64::MIN),
        until_ms: until_ms.unwrap_or(i64::MAX),
    }))
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
            std::fs::read_to_string(file)
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
