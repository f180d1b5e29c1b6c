//! The command: parses, resolves, runs, prints the report, ends with its exit code.

use std::backtrace::BacktraceStatus;
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mdca_lake::cli::{
    Cli, Command, ExportArgs, LogFormat, ProgressMode, ReportFormat, StatusArgs, VerifyArgs,
};
#[cfg(feature = "demo")]
use mdca_lake::cli::{DemoArgs, OutputArgs};
use mdca_lake::clock::{Clock, SystemClock};
use mdca_lake::commit::CommitError;
use mdca_lake::config::{self, Environment, ScanConfig};
#[cfg(feature = "demo")]
use mdca_lake::demo;
use mdca_lake::error::{ErrorKind, JobError, UsageError};
use mdca_lake::job::process::Machine;
use mdca_lake::job::progress::{PROGRESS, Progress};
use mdca_lake::job::report::RunReport;
use mdca_lake::job::{self, Asking, Ids, World};
use mdca_lake::read::{self, ExportFile};
use mdca_lake::scan::{ActivityClient, Budget, ScanCounters};
use mdca_lake::store::Store;
use mdca_lake::text::fingerprint;
use mdca_lake::text::plain::{PlainText, chain, json_text, one_line};
use mdca_lake::verify::{self, Depth, Sweep};
use mdca_lake::{schema, signals, status, write};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tracing::error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::writer::MakeWriterExt;

/// The form of the logs, which is that of errors too.
static LOG_FORMAT: OnceLock<LogFormat> = OnceLock::new();
/// After a signal a scan has this long to stop by itself.
const STOP_WITHIN: Duration = Duration::from_secs(8);
/// Threads that do what may block, at most.
const BLOCKING_THREADS: usize = 64;
/// A thread that has nothing to do stays for so long: for ever.
const KEEP_THREADS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What a command leaves to print.
struct Finished {
    stdout: String,
    exit_code: u8,
}

impl Finished {
    fn done(stdout: String) -> Self {
        Self {
            stdout,
            exit_code: 0,
        }
    }

    fn of_report(report: &RunReport, format: ReportFormat) -> Self {
        let stdout = match format {
            ReportFormat::Text => report.to_text(),
            ReportFormat::Json => report.to_json(),
        };
        Self {
            stdout,
            exit_code: report.exit_code,
        }
    }
}

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    give_memory_back();
    forbid_core_dumps();
    fingerprint::seed_with(RandomState::new().build_hasher().finish());
    let cli = match config::command_line() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    start_logs(cli.output.log_format, cli.output.verbose);
    say_panics();
    let patience = match cli.command {
        Command::Scan(_) => STOP_WITHIN,
        #[cfg(feature = "demo")]
        Command::Demo(_) => STOP_WITHIN,
        // They write nothing, so there is nothing to bring to an end.
        _ => Duration::ZERO,
    };
    let interruption = if patience.is_zero() {
        JobError::ReadingInterrupted
    } else {
        JobError::Interrupted
    };
    let say = move || {
        complain(&interruption);
    };
    let interrupted = match signals::listen(patience, say) {
        Ok(interrupted) => interrupted,
        Err(source) => {
            let doing = "listen for signals";
            return complain(&JobError::System { doing, source });
        }
    };
    let runtime = match start_runtime() {
        Ok(runtime) => runtime,
        Err(source) => {
            let doing = "start the runtime";
            return complain(&JobError::System { doing, source });
        }
    };
    // In a task of its own: a panic becomes an error with its exit code.
    let ended = runtime.block_on(async { tokio::spawn(run(cli, interrupted)).await });
    runtime.shutdown_background();
    match ended {
        Ok(Ok(finished)) => print(&finished),
        Ok(Err(error)) => complain(&error),
        Err(_) => ExitCode::from(ErrorKind::Internal.exit_code()),
    }
}

/// Starts the runtime and the first of the threads that do what may block. Later ones are a gain, but
/// where the system gives no more, those that are there do all of it.
fn start_runtime() -> io::Result<Runtime> {
    let report_panic = panic::take_hook();
    // The runtime panics where it gets no thread, and its unwinding waits for those that it got.
    panic::set_hook(Box::new(|_| end_without_threads()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(KEEP_THREADS)
        .build();
    if let Ok(runtime) = &runtime {
        drop(runtime.spawn_blocking(|| ()));
    }
    panic::set_hook(report_panic);
    runtime
}

#[expect(clippy::exit, reason = "nothing has begun yet")]
fn end_without_threads() {
    let error = JobError::System {
        doing: "start the runtime",
        source: io::Error::other("the system gives no more threads"),
    };
    complain(&error);
    std::process::exit(i32::from(error.kind().exit_code()));
}

/// Has every block of 128 KiB and more come from the system and go back to it at once, and all
/// others come from one arena. Left alone, glibc raises that bound to the size of a page of records,
/// gives each thread an arena of its own, and keeps in each what pages leave behind: the peak is two
/// to three times as high, and creeps up with the length of the window (`benches/scan.py`).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "no safe function reaches these settings")]
fn give_memory_back() {
    for (setting, value) in [(libc::M_MMAP_THRESHOLD, 128 * 1024), (libc::M_ARENA_MAX, 1)] {
        // SAFETY: sets a number inside the allocator; nothing runs beside this thread yet.
        let accepted = unsafe { libc::mallopt(setting, value) };
        debug_assert_eq!(accepted, 1, "glibc knows the setting and takes the value");
    }
}

/// A core file would hold the token, and records.
#[expect(unsafe_code, reason = "no safe function reaches this limit")]
fn forbid_core_dumps() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: reads a struct that outlives the call. A limit can always be lowered.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
}

/// Says what the arguments are refused for, in the form of the logs as far as they tell it.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || !config::asks_for_json_logs(std::env::args_os()) {
        error.exit();
    }
    start_logs(LogFormat::Json, 0);
    complain(&UsageError::new(error.render().to_string()).into())
}

/// Has a panic said like any other error: its message may hold what came from outside. A file that the
/// decoder panics over is an error, which names it; that panic is not said as well.
fn say_panics() {
    panic::set_hook(Box::new(|panic| {
        if read::in_decoder() {
            return;
        }
        let trace = std::backtrace::Backtrace::capture();
        let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
        error!(trace, "this is a bug: {panic}");
    }));
}

async fn run(cli: Cli, interrupted: watch::Receiver<bool>) -> Result<Finished, JobError> {
    let Cli { command, output } = cli;
    match command {
        Command::Scan(args) => {
            let now_ms = SystemClock::new().now_ms();
            let environment = Environment::of_process()?;
            let config = ScanConfig::resolve(*args, environment, now_ms)?;
            Ok(Finished::of_report(
                &scan(config, output.progress, interrupted).await?,
                output.report,
            ))
        }
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo(args, &output, interrupted).await,
        Command::Status(StatusArgs {
            lake,
            max_age,
            max_gaps,
        }) => {
            let now_ms = SystemClock::new().now_ms();
            let store = Store::open(&lake.lake)?;
            let mut status = status::read(&store, now_ms, &Machine::this()).await?;
            status.judge(max_age.map(Into::into), max_gaps, now_ms);
            let stdout = match output.report {
                ReportFormat::Text => status.to_text(),
                ReportFormat::Json => status.to_json(),
            };
            Ok(Finished {
                stdout,
                exit_code: status.exit_code(),
            })
        }
        Command::Verify(VerifyArgs { lake, deep, sweep }) => {
            let now_ms = SystemClock::new().now_ms();
            let depth = if deep { Depth::Rows } else { Depth::Bytes };
            let sweep = if sweep { Sweep::Unnamed } else { Sweep::Never };
            let store = Store::open(&lake.lake)?;
            let verification = verify::verify(&store, depth, sweep, now_ms).await?;
            let stdout = match output.report {
                ReportFormat::Text => verification.to_text(),
                ReportFormat::Json => verification.to_json(),
            };
            Ok(Finished {
                stdout,
                exit_code: verification.exit_code(),
            })
        }
        Command::Export(args) => export(args).await,
        Command::Schema(args) => Ok(Finished::done(render(args.format)?)),
    }
}

/// Runs the main job until it ends, by itself or by a signal.
async fn scan(
    config: ScanConfig,
    progress: ProgressMode,
    interrupted: watch::Receiver<bool>,
) -> Result<RunReport, JobError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = Store::open_if_there(&config.lake)?;
    // What the plan refuses is refused before a folder is made.
    let planned = job::plan(&config.job, store.as_ref(), clock.as_ref()).await;
    if config.dry_run || planned.exit_code != 0 {
        return Ok(planned);
    }
    let Some(token) = config.token else {
        return Err(config::no_token().into());
    };
    let counters = Arc::new(ScanCounters::default());
    let budget = Budget::new(
        config.requests_per_minute,
        Arc::clone(&clock),
        Arc::clone(&counters),
    );
    let client = ActivityClient::new(
        config.client,
        Box::new(token),
        budget,
        Arc::clone(&clock),
        Arc::clone(&counters),
    )?;
    // A folder that is not there is made only once the service has answered.
    let first = if store.is_some() {
        None
    } else {
        let asking = Asking {
            clock: clock.as_ref(),
            client: &client,
            counters: &counters,
            interrupted: interrupted.clone(),
        };
        match job::ask_first(&config.job, asking).await {
            Ok(first) => Some(first),
            Err(report) => return Ok(*report),
        }
    };
    let world = World {
        clock: Arc::clone(&clock),
        store: Store::make(&config.lake, store)?,
        client: Arc::new(client),
        counters,
        interrupted,
        ids: Ids::new(fastrand::Rng::new()),
        machine: Machine::this(),
        progress: match progress {
            ProgressMode::Auto => Progress::auto(),
            ProgressMode::Never => Progress::never(),
        },
    };
    Ok(job::run(&config.job, world, first).await)
}

/// Runs the main job against a simulated tenant, and says how to look at what it made.
#[cfg(feature = "demo")]
async fn demo(
    args: DemoArgs,
    output: &OutputArgs,
    interrupted: watch::Receiver<bool>,
) -> Result<Finished, JobError> {
    let DemoArgs { lake, activities } = args;
    let tenant = demo::start(activities, &lake, SystemClock::new().now_ms()).await?;
    let report = scan(tenant.config()?, output.progress, interrupted).await?;
    let mut finished = Finished::of_report(&report, output.report);
    if output.report == ReportFormat::Text && finished.exit_code == 0 {
        finished.stdout.push_str(&demo::epilogue(&lake)?);
    }
    Ok(finished)
}

/// Writes the records of all committed files to stdout. Of commits that cannot be read it says so, and
/// goes on.
async fn export(args: ExportArgs) -> Result<Finished, JobError> {
    let window = config::read_window(&args.window, SystemClock::new().now_ms())?;
    let store = Store::open(&args.lake.lake)?;
    let (files, left_out) = status::committed_files(&store).await?;
    let files = files.into_iter().map(|file| ExportFile {
        path: file.path,
        bytes: file.bytes,
        timestamp_ms: (file.timestamp_min_ms, file.timestamp_max_ms),
    });
    match read::export(&store, files.collect(), window, &mut io::stdout()).await {
        Err(error) if !error.is_broken_pipe() => Err(error.into()),
        _ => Ok(Finished {
            stdout: String::new(),
            exit_code: complain_of_all(left_out),
        }),
    }
}

/// Says what was left out, and what the exit code is for it.
fn complain_of_all(left_out: Vec<CommitError>) -> u8 {
    const SHOWN: usize = 10;
    let count = left_out.len();
    let left_out: Vec<JobError> = left_out.into_iter().map(JobError::from).collect();
    for error in left_out.iter().take(SHOWN) {
        complain(error);
    }
    if count > SHOWN {
        // As above: there is nowhere left to report a failure of stderr to.
        let _ = writeln!(io::stderr(), "       and {} more like these", count - SHOWN);
    }
    ErrorKind::worst(left_out.iter().map(JobError::kind)).map_or(0, ErrorKind::exit_code)
}

fn render(format: schema::SchemaFormat) -> Result<String, JobError> {
    let activity = schema::activity();
    Ok(match format {
        schema::SchemaFormat::Table => activity.to_table(),
        schema::SchemaFormat::Arrow => activity.to_arrow_text(),
        schema::SchemaFormat::Parquet => write::message_type(activity.arrow())?,
        schema::SchemaFormat::Duckdb => activity.to_duckdb(),
        schema::SchemaFormat::Spark => activity.to_spark(),
        schema::SchemaFormat::Markdown => activity.to_markdown(),
    })
}

fn start_logs(format: LogFormat, verbose: u8) {
    // Set once: the logs start once.
    let _ = LOG_FORMAT.set(format);
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let logs = tracing_subscriber::fmt()
        .with_writer(
            (move || LogLine(format))
                .with_filter(move |event| *event.level() <= level || event.target() == PROGRESS),
        )
        // Colours are escapes like those that a hostile text would send.
        .with_ansi(false)
        .with_max_level(level.max(LevelFilter::INFO));
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}

/// Takes one event of the log, which comes in one piece, to stderr: a line that steers no terminal,
/// whatever its values are.
struct LogLine(LogFormat);

impl Write for LogLine {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let line = match self.0 {
            LogFormat::Text => one_line(text),
            LogFormat::Json => json_text(text),
        };
        io::stderr().write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Prints what a command left. A reader that has gone away is not a failure.
fn print(finished: &Finished) -> ExitCode {
    match io::stdout().write_all(finished.stdout.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let said = complain(&JobError::Output(error));
            // What the run itself ended with weighs more.
            match finished.exit_code {
                0 => said,
                code => ExitCode::from(code),
            }
        }
        _ => ExitCode::from(finished.exit_code),
    }
}

/// Says on stderr what went wrong, and what to do about it.
fn complain(error: &JobError) -> ExitCode {
    let exit_code = error.kind().exit_code();
    if LOG_FORMAT.get() == Some(&LogFormat::Json) {
        let (kind, advice) = (error.kind().as_str(), error.advice());
        error!(kind, exit_code, advice, "{}", chain(error));
        return ExitCode::from(exit_code);
    }
    let mut text = PlainText::new();
    // A text takes anything.
    let _ = writeln!(text, "error: {}", chain(error));
    if let Some(advice) = error.advice() {
        let _ = writeln!(text, "       {advice}");
    }
    // There is nowhere left to report a failure of stderr to.
    let _ = io::stderr().write_all(text.into_string().as_bytes());
    ExitCode::from(exit_code)
}
