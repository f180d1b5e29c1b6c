//! The commands: each opens what it needs, runs, and leaves what is to be printed.

use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;

use mdca_lake::check::{self, Check, Checked};
use mdca_lake::cli::{
    Cli, Command, ConnectArgs, ExportArgs, OutputArgs, ProgressMode, ReportFormat, StatusArgs,
    VerifyArgs,
};
use mdca_lake::clock::{Clock, SystemClock};
use mdca_lake::config::{self, CompactConfig, ConvertConfig, Environment, ScanConfig};
use mdca_lake::convert::find_inputs;
use mdca_lake::error::JobError;
use mdca_lake::job::compact::report::CompactReport;
use mdca_lake::job::convert::report::ConvertReport;
use mdca_lake::job::process::Machine;
use mdca_lake::job::progress::Progress;
use mdca_lake::job::report::RunReport;
use mdca_lake::job::{self, Asking, Ids, Planned, StoreWorld, World};
use mdca_lake::scan::{ActivityClient, Budget, ClientOptions, ScanCounters, ScanError};
use mdca_lake::schema::{self, SchemaFormat};
use mdca_lake::sign_in::SignIn;
use mdca_lake::store::{ScratchFolder, Site, Store};
use mdca_lake::text::report::Report;
use mdca_lake::verify::{self, Depth, Sweep};
use mdca_lake::{status, write};
use serde_json::Value;
use tokio::sync::watch;
use tracing::warn;

use crate::logging::complain_of_all;

/// What a command leaves to print.
pub(crate) struct Finished {
    pub(crate) stdout: String,
    pub(crate) exit_code: u8,
    /// The report of a run, for its metrics.
    pub(crate) report: Option<Value>,
}

impl Finished {
    fn done(stdout: String) -> Self {
        Self {
            stdout,
            ..Self::without_output(0)
        }
    }

    pub(crate) fn without_output(exit_code: u8) -> Self {
        Self {
            stdout: String::new(),
            exit_code,
            report: None,
        }
    }

    fn reported(report: &impl Report, format: ReportFormat) -> Self {
        let stdout = match format {
            ReportFormat::Text => report.to_text(),
            ReportFormat::Json => report.to_json(),
        };
        Self {
            stdout,
            ..Self::without_output(report.exit_code())
        }
    }

    /// The same, with the report of a run for its metrics.
    fn run(report: &impl Report, format: ReportFormat) -> Self {
        Self {
            report: serde_json::to_value(report).ok(),
            ..Self::reported(report, format)
        }
    }
}

/// Runs a command. One that scans ends early when `interrupted` becomes true.
pub(crate) async fn run(
    cli: Cli,
    interrupted: watch::Receiver<bool>,
) -> Result<Finished, JobError> {
    let Cli { command, output } = cli;
    match command {
        Command::Scan(args) => {
            let config = ScanConfig::resolve(*args, Environment::of_process()?, now_ms())?;
            let report = scan(config, output.progress, interrupted).await?;
            Ok(Finished::run(&report, output.report))
        }
        Command::Convert(args) => {
            let config = ConvertConfig::resolve(*args)?;
            let report = convert(config, output.progress, interrupted).await?;
            Ok(Finished::run(&report, output.report))
        }
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo(args, &output, interrupted).await,
        Command::Check(args) => {
            let mut args = *args;
            // It writes nothing, and asks all the same.
            args.window.dry_run = false;
            let config = ScanConfig::resolve(args, Environment::of_process()?, now_ms())?;
            Ok(Finished::reported(&check(config).await?, output.report))
        }
        Command::Status(args) => status(args, &output).await,
        Command::Verify(args) => verify(args, &output).await,
        Command::Compact(args) => {
            let config = CompactConfig::resolve(args)?;
            let report = compact(config, output.progress, interrupted).await?;
            Ok(Finished::run(&report, output.report))
        }
        Command::Export(args) => export(args).await,
        Command::Connect(args) => connect(args).await,
        Command::Schema(args) => Ok(Finished::done(schema(args.format)?)),
    }
}

fn now_ms() -> i64 {
    SystemClock::new().now_ms()
}

/// Runs the main job until it ends, by itself or by a signal.
async fn scan(
    config: ScanConfig,
    progress: ProgressMode,
    interrupted: watch::Receiver<bool>,
) -> Result<RunReport, JobError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let site = Site::look(&config.lake)?;
    // What the plan refuses is refused before a folder is made.
    let planned = match Planned::read(&config.job, site.store(), clock.as_ref()).await {
        Ok(planned) if config.dry_run => return Ok(planned.report(config.requests_per_minute)),
        Ok(planned) => planned,
        Err(report) => return Ok(*report),
    };
    for warning in planned.warnings() {
        warn!("{warning}");
    }
    let Some(sign_in) = config.sign_in else {
        return Err(config::no_credentials().into());
    };
    let counters = Arc::new(ScanCounters::default());
    let budget = Budget::new(
        config.requests_per_minute,
        Arc::clone(&clock),
        Arc::clone(&counters),
    );
    let counted = Arc::clone(&counters);
    let on_retry = Box::new(move |cause| counted.retry(cause));
    let authorize = sign_in.begin(Arc::clone(&clock), on_retry);
    let client = ActivityClient::new(
        config.client,
        authorize.map_err(ScanError::from)?,
        budget,
        Arc::clone(&clock),
        Arc::clone(&counters),
    )?;
    let asking = Asking {
        clock: clock.as_ref(),
        client: &client,
        counters: &counters,
        interrupted: interrupted.clone(),
    };
    let planned = match planned.ask_first(asking).await {
        Ok(planned) => planned,
        Err(report) => return Ok(*report),
    };
    let world = World {
        clock: Arc::clone(&clock),
        store: site.make()?,
        client: Arc::new(client),
        counters,
        interrupted,
        ids: Ids::new(fastrand::Rng::new()),
        machine: Machine::this(),
        progress: watched(progress),
    };
    Ok(job::run(planned, world).await)
}

fn watched(progress: ProgressMode) -> Progress {
    match progress {
        ProgressMode::Auto => Progress::auto(),
        ProgressMode::Never => Progress::never(),
    }
}

/// Converts saved files until all are done, or a signal comes.
async fn convert(
    config: ConvertConfig,
    progress: ProgressMode,
    interrupted: watch::Receiver<bool>,
) -> Result<ConvertReport, JobError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let site = Site::look(&config.lake)?;
    let mut inputs = find_inputs(&config.inputs, &site).await?;
    // What the plan refuses is refused before a folder is made.
    let planned = job::convert::plan(
        &config.job,
        &mut inputs,
        site.store(),
        clock.as_ref(),
        interrupted.clone(),
    );
    let planned = planned.await;
    if config.dry_run || planned.head.exit_code != 0 {
        return Ok(planned);
    }
    let world = StoreWorld {
        clock,
        store: site.make()?,
        interrupted,
        ids: Ids::new(fastrand::Rng::new()),
        machine: Machine::this(),
        progress: watched(progress),
    };
    Ok(job::convert::run(&config.job, world, inputs).await)
}

/// Compacts the past days of a lake until all are done, or a signal comes.
async fn compact(
    config: CompactConfig,
    progress: ProgressMode,
    interrupted: watch::Receiver<bool>,
) -> Result<CompactReport, JobError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = Store::open(&config.lake)?;
    if config.dry_run {
        return Ok(job::compact::plan(&config.job, &store, clock.now_ms()).await);
    }
    let site = Site::look(&config.lake)?;
    let scratch = site.folder().map(FilePath::to_owned);
    let scratch = scratch.map_or_else(ScratchFolder::of_system, ScratchFolder::of_lake);
    let world = StoreWorld {
        clock,
        store,
        interrupted,
        ids: Ids::new(fastrand::Rng::new()),
        machine: Machine::this(),
        progress: watched(progress),
    };
    Ok(job::compact::run(&config.job, world, &scratch).await)
}

/// Asks whether a scan could run. Each request is sent once: a check says what is, and does not wait.
async fn check(config: ScanConfig) -> Result<Check, JobError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let site = Site::look(&config.lake)?;
    let Some(mut sign_in) = config.sign_in else {
        return Err(config::no_credentials().into());
    };
    if let SignIn::Bearer(_, patience) = &mut sign_in {
        patience.max_attempts = 1;
    }
    let who = sign_in.who();
    let counters = Arc::new(ScanCounters::default());
    let authorize = sign_in
        .begin(Arc::clone(&clock), Box::new(|_| ()))
        .map_err(ScanError::from)?;
    let options = ClientOptions {
        max_attempts: 1,
        ..config.client
    };
    let page_limit = options.page_limit;
    let budget = Budget::new(None, Arc::clone(&clock), Arc::clone(&counters));
    let client = ActivityClient::new(
        options,
        authorize,
        budget,
        Arc::clone(&clock),
        Arc::clone(&counters),
    )?;
    let checked = Checked {
        options: &config.job,
        page_limit,
        who,
        client: &client,
        counters: &counters,
        site: &site,
        clock,
    };
    Ok(check::check(checked).await)
}

/// Runs the main job against a simulated tenant, and says how to look at what it made.
#[cfg(feature = "demo")]
async fn demo(
    args: mdca_lake::cli::DemoArgs,
    output: &OutputArgs,
    interrupted: watch::Receiver<bool>,
) -> Result<Finished, JobError> {
    let mdca_lake::cli::DemoArgs { lake, activities } = args;
    let tenant = crate::demo::start(activities, &lake, now_ms()).await?;
    let report = scan(tenant.config()?, output.progress, interrupted).await?;
    let mut finished = Finished::reported(&report, output.report);
    if output.report == ReportFormat::Text && finished.exit_code == 0 {
        finished.stdout.push_str(&crate::demo::epilogue(&lake)?);
    }
    Ok(finished)
}

/// Says what a lake holds.
async fn status(args: StatusArgs, output: &OutputArgs) -> Result<Finished, JobError> {
    let StatusArgs {
        lake,
        max_age,
        max_gaps,
    } = args;
    let now_ms = now_ms();
    let store = Store::open(&lake.lake)?;
    let mut status = status::read(&store, now_ms, &Machine::this()).await?;
    status.judge(max_age.map(Into::into), max_gaps, now_ms)?;
    Ok(Finished::reported(&status, output.report))
}

/// Says whether a lake is whole.
async fn verify(args: VerifyArgs, output: &OutputArgs) -> Result<Finished, JobError> {
    let VerifyArgs { lake, deep, sweep } = args;
    let depth = if deep { Depth::Rows } else { Depth::Bytes };
    let sweep = if sweep { Sweep::Unnamed } else { Sweep::Never };
    let store = Store::open(&lake.lake)?;
    let found = verify::verify(&store, depth, sweep, now_ms()).await?;
    Ok(Finished::reported(&found, output.report))
}

/// Writes the records of all live files to stdout. Of commits and compactions that cannot be read it
/// says so, and goes on.
async fn export(args: ExportArgs) -> Result<Finished, JobError> {
    let window = config::read_window(&args.window, now_ms())?;
    let store = Store::open(&args.lake.lake)?;
    let exported = job::export::export(&store, window, &mut io::stdout()).await?;
    let loss = exported.loss.map(JobError::from);
    let left_out = exported.left_out.into_iter().map(JobError::from);
    let left_out: Vec<JobError> = left_out.chain(loss).collect();
    let exit_code = complain_of_all(&left_out);
    Ok(Finished::without_output(exit_code))
}

async fn connect(args: ConnectArgs) -> Result<Finished, JobError> {
    let site = Site::look(&args.lake.lake)?;
    let store = Store::open(&args.lake.lake)?;
    // Engines run elsewhere: a path from here means nothing there.
    let whole = site.folder().map(std::path::absolute).transpose();
    let whole = whole.map_err(|source| JobError::System {
        doing: "tell the folder that this process is in",
        source,
    })?;
    let url = whole.map_or_else(
        || store.location().to_owned(),
        |path| path.display().to_string(),
    );
    Ok(Finished::done(
        job::connect::script(&store, &url, args.engine).await?,
    ))
}

fn schema(format: SchemaFormat) -> Result<String, JobError> {
    let activity = schema::activity();
    Ok(match format {
        SchemaFormat::Table => activity.to_table(),
        SchemaFormat::Arrow => activity.to_arrow_text(),
        SchemaFormat::Parquet => write::message_type(activity.arrow())?,
        SchemaFormat::Duckdb => activity.to_duckdb(),
        SchemaFormat::Spark => activity.to_spark(),
        SchemaFormat::Trino => activity.to_trino(),
        SchemaFormat::Athena => activity.to_athena(),
        SchemaFormat::Delta => activity.to_delta() + "\n",
        SchemaFormat::Markdown => activity.to_markdown(),
    })
}
