//! What is said on stderr: logs, errors with their advice, panics. All of it in one form, text or JSON.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;
use std::sync::OnceLock;

use mdca_lake::cli::LogFormat;
use mdca_lake::config;
use mdca_lake::error::{ErrorKind, JobError, UsageError};
use mdca_lake::job::progress::{PROGRESS, aside};
use mdca_lake::read;
use mdca_lake::text::plain::{PlainText, chain, json_text, one_line};
use tracing::error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::writer::MakeWriterExt;

/// The form of the logs, which is that of errors too.
static LOG_FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Starts the logs on stderr.
pub(crate) fn start(format: LogFormat, verbose: u8) {
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
        to_stderr(&format!("{line}\n"));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to stderr, past what a person watches. There is nowhere left to report a failure of that to, and
/// a log that nobody reads any more or a full disk under it stops no run.
fn to_stderr(text: &str) {
    let _ = aside(|| io::stderr().write_all(text.as_bytes()));
}

/// Says on stderr what went wrong, and what to do about it. Returns the exit code for it.
pub(crate) fn complain(error: &JobError) -> u8 {
    let exit_code = error.kind().exit_code();
    if LOG_FORMAT.get() == Some(&LogFormat::Json) {
        let (kind, advice) = (error.kind().as_str(), error.advice());
        error!(kind, exit_code, advice, "{}", chain(error));
        return exit_code;
    }
    let mut text = PlainText::new();
    // A text takes anything.
    let _ = writeln!(text, "error: {}", chain(error));
    if let Some(advice) = error.advice() {
        let _ = writeln!(text, "       {advice}");
    }
    to_stderr(&text.into_string());
    exit_code
}

/// Says what was left out, and what the exit code is for it.
pub(crate) fn complain_of_all(left_out: &[JobError]) -> u8 {
    const SHOWN: usize = 10;
    let count = left_out.len();
    for error in left_out.iter().take(SHOWN) {
        complain(error);
    }
    if count > SHOWN {
        let more = format!("and {} more like these", count - SHOWN);
        match LOG_FORMAT.get() {
            Some(LogFormat::Json) => error!("{more}"),
            _ => to_stderr(&format!("       {more}\n")),
        }
    }
    ErrorKind::worst(left_out.iter().map(JobError::kind)).map_or(0, ErrorKind::exit_code)
}

/// Says what the arguments are refused for, in the form of the logs as far as they tell it.
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || !config::asks_for_json_logs(std::env::args_os()) {
        error.exit();
    }
    start(LogFormat::Json, 0);
    ExitCode::from(complain(
        &UsageError::new(error.render().to_string()).into(),
    ))
}

/// Has a panic said like any other error: its message may hold what came from outside. A file that the
/// decoder panics over is an error, which names it; that panic is not said as well.
pub(crate) fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        if read::in_decoder() {
            return;
        }
        let trace = Backtrace::capture();
        let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
        error!(trace, "this is a bug: {panic}");
    }));
}
