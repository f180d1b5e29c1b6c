//! The command line: syntax only. What it means is [`crate::config`]'s business.

use std::error::Error;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr;

use bytesize::ByteSize;
use clap::builder::{BoolishValueParser, PossibleValuesParser, Resettable, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::convert::Shard;
use crate::job::connect::Engine;
use crate::job::{IfRunning, OnReject};
use crate::scan::ClockField;
use crate::schema::SchemaFormat;
use crate::write::CompressionLevel;

/// The version, and of a released program the commit.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), env!("MDCA_LAKE_BUILD"));

/// Archive the activities of Microsoft Defender for Cloud Apps as partitioned Parquet.
#[derive(Debug, Parser)]
#[command(name = "mdca-lake", version = VERSION, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Scan the activities of a time window into a lake
    Scan(Box<ScanArgs>),
    /// Ask whether a scan with these flags can run: one line for each question, with the remedy
    ///
    /// Sends at most 7 requests to the service, and leaves nothing behind.
    Check(Box<ScanArgs>),
    /// Convert saved API pages, JSON arrays or NDJSON into a lake of their own
    Convert(Box<ConvertArgs>),
    /// Run a scan against a simulated tenant inside this process
    #[cfg(feature = "demo")]
    Demo(DemoArgs),
    /// Show what a lake holds: coverage, gaps, watermark, rows and bytes per day, last runs
    Status(StatusArgs),
    /// Check every committed file, and name what is missing, damaged or left over
    Verify(VerifyArgs),
    /// Merge the small files of past days
    ///
    /// A reader of `activities/**/*.parquet` may see a day twice for about a second, never less than once.
    /// Needs room for the files of one day, twice: in the lake's folder, or for object storage where temporary
    /// files go.
    Compact(CompactArgs),
    /// Write the original records as NDJSON to stdout, by `timestamp`
    Export(ExportArgs),
    /// Print what opens exactly the live rows of a lake in an engine, by its Delta table
    Connect(ConnectArgs),
    /// Print the schema
    Schema(SchemaArgs),
}

/// Reports, logs and progress of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Form of the report on stdout
    #[arg(long, global = true, env = "MDCA_REPORT", value_enum, default_value_t = ReportFormat::Text)]
    pub report: ReportFormat,
    /// Progress on stderr
    #[arg(long, global = true, env = "MDCA_PROGRESS", value_enum, default_value_t = ProgressMode::Auto)]
    pub progress: ProgressMode,
    /// Form of the logs on stderr
    #[arg(long, global = true, env = "MDCA_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Log more: -v slices and files, -vv pages, -vvv everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    Auto,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub struct LakeArgs {
    #[arg(
        long,
        env = "MDCA_LAKE",
        value_name = "URL",
        help = "The lake: a path, file:///folder, s3://bucket/folder, az://container/folder, abfss://container@account.dfs.core.windows.net/folder or gs://bucket/folder"
    )]
    pub lake: String,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub lake: LakeArgs,
    /// End with exit code 5 if the newest committed slice ended longer ago
    #[arg(long, env = "MDCA_MAX_AGE", value_name = "DURATION", value_parser = duration)]
    pub max_age: Option<humantime::Duration>,
    /// End with exit code 5 if there are more gaps
    #[arg(long, env = "MDCA_MAX_GAPS", value_name = "N")]
    pub max_gaps: Option<u64>,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub lake: LakeArgs,
    /// Also decode every row: counts, times, order, repeats, statistics, bloom filters, schema
    #[arg(long, env = "MDCA_DEEP", value_parser = BoolishValueParser::new())]
    pub deep: bool,
    /// Remove this program's leftover files of committed slices
    #[arg(long, env = "MDCA_SWEEP", value_parser = BoolishValueParser::new())]
    pub sweep: bool,
}

/// The window of a command that reads. No variables: those of a scheduled `scan` would cut what is
/// read, and nobody would see it.
#[derive(Debug, Args)]
pub struct WindowArgs {
    /// Start of the window: RFC 3339, a date, or a duration before now (24h, 7d)
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// End of the window, exclusive
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// What of a run is kept beside its lake.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct MetricsArgs {
    /// File for the metrics of the run, in the form that Prometheus' textfile collector reads
    #[arg(long, env = "MDCA_METRICS_FILE", value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ScanArgs {
    #[command(flatten)]
    pub lake: LakeArgs,
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub sign_in: SignInArgs,
    #[command(flatten)]
    pub filters: FilterArgs,
    #[command(flatten)]
    pub window: ScanWindowArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub writing: WriteArgs,
    #[command(flatten)]
    pub metrics: MetricsArgs,
}

/// Saved files are recognised by their content, plain, gzip or zstd. One file is committed as one
/// slice, named by the hash of its bytes: a file that is in the lake already is skipped.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    #[arg(
        required = true,
        value_name = "INPUT",
        help = "Files, quoted patterns, folders (with all below them), URLs of objects or prefixes (s3://bucket/folder, as in --lake), or - for stdin, which is kept in a temporary file"
    )]
    pub inputs: Vec<String>,
    #[command(flatten)]
    pub lake: LakeArgs,
    /// Take only share K of N of the inputs, by the hash of their names; K counts from 0 to N-1 or from 1 to N
    #[arg(long, env = "MDCA_SHARD", value_name = "K/N")]
    pub shard: Option<Shard>,
    /// Files converted at the same time; each uses all cores
    #[arg(long, env = "MDCA_PARALLEL", value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub parallel: u8,
    /// Memory for buffered rows and records in flight, for all files together [half of the
    /// container's, at most 256MiB]
    #[arg(long, env = "MDCA_MEMORY_LIMIT", value_name = "SIZE", value_parser = size)]
    pub memory_limit: Option<ByteSize>,
    /// Print the inputs; write nothing
    #[arg(long, env = "MDCA_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub dry_run: bool,
    #[command(flatten)]
    pub writing: WriteArgs,
    #[command(flatten)]
    pub metrics: MetricsArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Service")]
pub struct SourceArgs {
    /// The tenant's API URL, as the portal shows it under Settings, Cloud Apps, System, About
    #[arg(long, env = "MDCA_API_URL", value_name = "URL")]
    pub api_url: String,
    /// The tenant has moved: change the lake's host to that of --api-url
    ///
    /// Refused if the host's records belong to another tenant than the lake's.
    #[arg(long, env = "MDCA_CHANGE_HOST", value_parser = BoolishValueParser::new())]
    pub change_host: bool,
    /// Maximum records per page
    #[arg(long, env = "MDCA_PAGE_LIMIT", value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub page_limit: u32,
    /// Maximum requests per minute; a tenant allows 30 for all its clients; 0 is unlimited
    #[arg(
        long,
        env = "MDCA_REQUESTS_PER_MINUTE",
        value_name = "N",
        default_value_t = 30
    )]
    pub requests_per_minute: u32,
    /// Maximum attempts per request
    #[arg(long, env = "MDCA_MAX_ATTEMPTS", value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub max_attempts: u32,
}

/// One way of signing in: as an application of Entra, as a managed identity, or with an API token.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sign-in")]
pub struct SignInArgs {
    /// Tenant of the application in Entra: its id or a domain
    #[arg(long, env = "MDCA_ENTRA_TENANT", value_name = "TENANT")]
    pub entra_tenant: Option<String>,
    /// Id of the application; of the identity, with --managed-identity, where there are several
    #[arg(long, env = "MDCA_CLIENT_ID", value_name = "ID")]
    pub client_id: Option<String>,
    /// File with the application's secret; otherwise `MDCA_CLIENT_SECRET` holds the secret
    #[arg(long, env = "MDCA_CLIENT_SECRET_FILE", value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// PEM file with a certificate of the application and its private key
    #[arg(long, env = "MDCA_CLIENT_CERTIFICATE_FILE", value_name = "FILE")]
    pub client_certificate_file: Option<PathBuf>,
    /// File with a token of an issuer that the application trusts, as Kubernetes gives it
    ///
    /// What Kubernetes tells a pod (`AZURE_FEDERATED_TOKEN_FILE`, `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`,
    /// `AZURE_AUTHORITY_HOST`) counts where no other way is given.
    #[arg(long, env = "MDCA_FEDERATED_TOKEN_FILE", value_name = "FILE")]
    pub federated_token_file: Option<PathBuf>,
    /// Sign in as the managed identity of this machine or service of Azure
    #[arg(long, env = "MDCA_MANAGED_IDENTITY", value_parser = BoolishValueParser::new())]
    pub managed_identity: bool,
    /// Entra's address [that of --api-url's cloud: <https://login.microsoftonline.com>,
    /// <https://login.microsoftonline.us>]
    #[arg(long, env = "MDCA_AUTHORITY", value_name = "URL")]
    pub authority: Option<String>,
    /// File with an API token, the older way; otherwise `MDCA_API_TOKEN` holds the token
    #[arg(long, env = "MDCA_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub struct FilterArgs {
    /// Filters of the service: a JSON object, or @FILE with one
    ///
    /// Filters are part of the lake's identity and cannot set its clock.
    #[arg(long, env = "MDCA_FILTERS", value_name = "JSON|@FILE")]
    pub filters: Option<String>,
    /// Scan only the activities of this app (several: by commas, or repeated), such as 20893 for Exchange
    #[arg(long, env = "MDCA_SERVICE", value_name = "ID", value_delimiter = ',')]
    pub service: Vec<i64>,
    /// Scan only the activities of this instance of an app (several: by commas, or repeated)
    #[arg(
        long,
        env = "MDCA_APP_INSTANCE",
        value_name = "ID",
        value_delimiter = ','
    )]
    pub app_instance: Vec<i64>,
    /// Scan only the activities of this user name (several: by commas, or repeated)
    #[arg(long, env = "MDCA_USER", value_name = "NAME", value_delimiter = ',')]
    pub user: Vec<String>,
    /// Scan only the activities from this address (several: by commas, or repeated)
    #[arg(long, env = "MDCA_IP", value_name = "ADDRESS", value_delimiter = ',')]
    pub ip: Vec<String>,
    /// Scan only the activities of this type (several: by commas, or repeated), such as `EVENT_CATEGORY_LOGIN`
    #[arg(
        long,
        env = "MDCA_ACTIVITY_TYPE",
        value_name = "TYPE",
        value_delimiter = ','
    )]
    pub activity_type: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Window")]
pub struct ScanWindowArgs {
    /// Start of the window: RFC 3339, a date, or a duration before now (24h, 7d)
    #[arg(long, env = "MDCA_FROM", value_name = "TIME")]
    pub from: Option<String>,
    /// End of the window, exclusive
    #[arg(long, env = "MDCA_UNTIL", value_name = "TIME")]
    pub until: Option<String>,
    /// Clock of the lake: created (when the service saved a record) or date (when it happened)
    #[arg(long, env = "MDCA_BY", value_name = "CLOCK", value_parser = one_of::<ClockField>(["created", "date"]))]
    pub by: Option<ClockField>,
    /// Length of a slice, in whole minutes [new lakes: 1h]
    #[arg(long, env = "MDCA_SLICE", value_name = "DURATION", value_parser = duration)]
    pub slice: Option<humantime::Duration>,
    /// Wait this long after the end of a slice before scanning it [by created: 15m, by date: 24h]
    #[arg(long, env = "MDCA_SETTLE", value_name = "DURATION", value_parser = duration)]
    pub settle: Option<humantime::Duration>,
    /// Where a new lake begins without --from, before now
    #[arg(
        long,
        env = "MDCA_INITIAL",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "24h"
    )]
    pub initial: humantime::Duration,
    /// Print the plan; send nothing and write nothing
    #[arg(long, env = "MDCA_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Slices scanned at the same time; they share the request budget
    #[arg(long, env = "MDCA_PARALLEL", value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub parallel: u8,
    /// If another run is active: yield leaves it the slices of its plan, go does not
    #[arg(long, env = "MDCA_IF_RUNNING", value_enum, default_value_t = IfRunningArg::Yield)]
    pub if_running: IfRunningArg,
    /// Memory for buffered rows and pages in flight, for all slices together [half of the
    /// container's, at most 256MiB]
    #[arg(long, env = "MDCA_MEMORY_LIMIT", value_name = "SIZE", value_parser = size)]
    pub memory_limit: Option<ByteSize>,
    /// Maximum size of a page, decompressed
    #[arg(
        long,
        env = "MDCA_MAX_PAGE_BYTES",
        value_name = "SIZE",
        value_parser = size,
        default_value = "128MiB"
    )]
    pub max_page_bytes: ByteSize,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Writing")]
pub struct WriteArgs {
    /// Records that cannot become rows: keep them, or fail their slice
    #[arg(long, env = "MDCA_ON_REJECT", value_enum, default_value_t = OnRejectArg::Keep)]
    pub on_reject: OnRejectArg,
    /// Store every record's exact text in the column `raw`
    #[arg(long, env = "MDCA_KEEP_RAW", value_parser = BoolishValueParser::new())]
    pub keep_raw: bool,
    /// Compression of the files, zstd:1 to zstd:22
    #[arg(long, env = "MDCA_COMPRESSION", value_name = "CODEC", default_value_t = CompressionLevel::DEFAULT)]
    pub compression: CompressionLevel,
    /// Maximum size of a file, approximately
    #[arg(
        long,
        env = "MDCA_MAX_FILE_BYTES",
        value_name = "SIZE",
        value_parser = size,
        default_value = "512MiB"
    )]
    pub max_file_bytes: ByteSize,
    /// Allow stores without conditional writes (one writer only)
    #[arg(long, env = "MDCA_SINGLE_WRITER", value_parser = BoolishValueParser::new())]
    pub single_writer: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnRejectArg {
    Keep,
    Fail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IfRunningArg {
    Yield,
    Go,
}

impl From<IfRunningArg> for IfRunning {
    fn from(arg: IfRunningArg) -> Self {
        match arg {
            IfRunningArg::Yield => Self::Yield,
            IfRunningArg::Go => Self::Go,
        }
    }
}

impl From<OnRejectArg> for OnReject {
    fn from(arg: OnRejectArg) -> Self {
        match arg {
            OnRejectArg::Keep => Self::Keep,
            OnRejectArg::Fail => Self::Fail,
        }
    }
}

#[derive(Debug, Args)]
pub struct CompactArgs {
    #[command(flatten)]
    pub lake: LakeArgs,
    /// Compact the days (UTC, of the activities) that ended at least this long ago
    #[arg(
        long,
        env = "MDCA_BEFORE",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "24h"
    )]
    pub before: humantime::Duration,
    /// Remove the reports of runs that are older than this, at least 30d
    #[arg(
        long,
        env = "MDCA_KEEP_REPORTS",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "400d"
    )]
    pub keep_reports: humantime::Duration,
    /// Memory for the rows that are merged and written [half of the container's, at most 256MiB]
    #[arg(long, env = "MDCA_MEMORY_LIMIT", value_name = "SIZE", value_parser = size)]
    pub memory_limit: Option<ByteSize>,
    /// Compression of the files, zstd:1 to zstd:22
    #[arg(long, env = "MDCA_COMPRESSION", value_name = "CODEC", default_value_t = CompressionLevel::DEFAULT)]
    pub compression: CompressionLevel,
    /// Maximum size of a file, approximately; files of half of it or more are left as they are
    #[arg(
        long,
        env = "MDCA_MAX_FILE_BYTES",
        value_name = "SIZE",
        value_parser = size,
        default_value = "512MiB"
    )]
    pub max_file_bytes: ByteSize,
    /// Allow stores without conditional writes (one writer only)
    #[arg(long, env = "MDCA_SINGLE_WRITER", value_parser = BoolishValueParser::new())]
    pub single_writer: bool,
    /// Print the days with their files and bytes before and after; write nothing
    #[arg(long, env = "MDCA_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub dry_run: bool,
    #[command(flatten)]
    pub metrics: MetricsArgs,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub lake: LakeArgs,
    #[command(flatten)]
    pub window: WindowArgs,
}

#[derive(Debug, Args)]
pub struct ConnectArgs {
    #[command(flatten)]
    pub lake: LakeArgs,
    /// Engine that is to read the lake
    #[arg(long, env = "MDCA_ENGINE", value_enum, default_value_t = Engine::Duckdb)]
    pub engine: Engine,
}

#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Format
    #[arg(long, env = "MDCA_FORMAT", default_value = "table", value_parser = one_of::<SchemaFormat>(SchemaFormat::ALL.map(|(name, _)| name)))]
    pub format: SchemaFormat,
}

/// No variables: those of a scheduled `scan` name a lake that must not get simulated records.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Lake to create
    #[arg(long, value_name = "PATH", default_value = "./demo-lake")]
    pub lake: String,
    /// Number of activities of the simulated tenant, over three days
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=5_000_000))]
    pub activities: u64,
}

fn size(text: &str) -> Result<ByteSize, &'static str> {
    text.parse().map_err(|_| "use a size such as 64MiB")
}

fn duration(text: &str) -> Result<humantime::Duration, &'static str> {
    text.parse()
        .map_err(|_| "use a duration such as 30m, 2h or 7d")
}

/// Takes one of these names, which `--help` lists.
fn one_of<T>(names: impl Into<PossibleValuesParser>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Into<Box<dyn Error + Send + Sync>>> + Clone + Send + Sync + 'static,
{
    names.into().try_map(|name| name.parse())
}

/// The command line, with only those variables for which `counts` is true.
pub fn command_with(counts: &dyn Fn(&OsStr) -> bool) -> clap::Command {
    fn only(command: clap::Command, counts: &dyn Fn(&OsStr) -> bool) -> clap::Command {
        command
            .mut_args(|arg| match arg.get_env() {
                Some(variable) if !counts(variable) => arg.env(Resettable::Reset),
                _ => arg,
            })
            .mut_subcommands(|command| only(command, counts))
    }
    only(Cli::command(), counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags that take one of a few names.
    const CHOICES: [&str; 8] = [
        "by",
        "engine",
        "format",
        "if-running",
        "log-format",
        "on-reject",
        "progress",
        "report",
    ];

    #[test]
    fn help_lists_the_values_of_every_choice_and_every_default() {
        let mut cli = Cli::command();
        cli.build();
        let mut met = std::collections::BTreeSet::new();
        for command in cli.get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            let args = command.get_arguments().cloned();
            for arg in args.filter(|arg| arg.get_action().takes_values()) {
                let Some(flag) = arg.get_long() else { continue };
                let values = arg.get_possible_values();
                if CHOICES.contains(&flag) {
                    assert!(values.len() > 1, "--{flag}");
                    met.insert(flag.to_owned());
                }
                for value in values.iter().filter(|_| CHOICES.contains(&flag)) {
                    assert!(
                        help.contains(value.get_name()),
                        "--{flag}: {}",
                        value.get_name()
                    );
                }
                for default in arg.get_default_values() {
                    let default = default.to_str().unwrap();
                    assert!(
                        help.contains(&format!("[default: {default}]")),
                        "--{flag} {default}"
                    );
                }
            }
        }
        assert_eq!(met.into_iter().collect::<Vec<_>>(), CHOICES);
    }
}
