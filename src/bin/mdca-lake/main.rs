//! The program: parse, configure, run, print, and end with the exit code.

mod commands;
#[cfg(feature = "demo")]
mod demo;
mod logging;
mod metrics;
mod process;
mod signals;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use mdca_lake::cli::{Cli, Command};
use mdca_lake::config;
use mdca_lake::error::{ErrorKind, JobError};
use tokio::sync::watch;

use crate::commands::Finished;
use crate::logging::complain;
use crate::metrics::MetricsFile;
use crate::process::FreeMemory;

/// After a signal a command that writes has this long to stop by itself.
const STOP_WITHIN: Duration = Duration::from_secs(8);

fn main() -> ExitCode {
    process::prepare();
    let cli = match config::command_line() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    process::set_free_memory(free_memory(&cli.command));
    logging::start(cli.output.log_format, cli.output.verbose);
    logging::log_panics();
    ExitCode::from(run(cli))
}

/// Says why the command line is refused, or what it asks to be told of the program.
fn refuse(error: &clap::Error) -> ExitCode {
    let run = error
        .use_stderr()
        .then(|| config::refused_run(std::env::args_os()));
    if let Some(metrics) = run.flatten().and_then(MetricsFile::of_refused) {
        // What the program says on stderr is said all the same.
        let _ = metrics.write(None, ErrorKind::Usage.exit_code());
    }
    logging::refuse(error)
}

/// Only `convert` is as fast as the machine, and it takes the memory that it was given for that.
fn free_memory(command: &Command) -> FreeMemory {
    match command {
        Command::Convert(args) if config::may_keep_memory(args) => FreeMemory::Kept,
        _ => FreeMemory::GivenBack,
    }
}

/// Runs the command to its end, whatever that is, and says it. Returns the exit code.
fn run(cli: Cli) -> u8 {
    let metrics = match MetricsFile::asked_for(&cli.command) {
        Ok(metrics) => metrics,
        Err(error) => return complain(&error.into()),
    };
    let (report, exit_code) = match work(cli, metrics.clone()) {
        Ok(finished) => {
            let exit_code = print(&finished);
            (finished.report, exit_code)
        }
        Err(error) => (None, complain(&error)),
    };
    let written = metrics.map(|metrics| metrics.write(report.as_ref(), exit_code));
    match written {
        Some(Err(error)) => worse(exit_code, complain(&error)),
        _ => exit_code,
    }
}

/// What the run itself ended with weighs more than that it could not be said.
fn worse(of_run: u8, said: u8) -> u8 {
    if of_run == 0 { said } else { of_run }
}

/// Runs the command in a task of its own: a panic, which is logged by then, becomes an exit code.
fn work(cli: Cli, metrics: Option<MetricsFile>) -> Result<Finished, JobError> {
    let interrupted = listen(&cli.command, metrics)?;
    let runtime = process::start_runtime()?;
    let ended = runtime.block_on(async { tokio::spawn(commands::run(cli, interrupted)).await });
    // Its threads end with the process. To let go of them one by one, while some of them are just ending, is
    // not safe in every C library: glibc 2.36 has read what was freed, and the report was lost.
    std::mem::forget(runtime);
    ended.unwrap_or_else(|_| Ok(Finished::without_output(ErrorKind::Internal.exit_code())))
}

/// Takes the signals from now on. A command that only reads has nothing to bring to an end.
fn listen(
    command: &Command,
    metrics: Option<MetricsFile>,
) -> Result<watch::Receiver<bool>, JobError> {
    let (patience, error) = match command {
        Command::Scan(_) | Command::Convert(_) | Command::Compact(_) => {
            (STOP_WITHIN, JobError::Interrupted)
        }
        #[cfg(feature = "demo")]
        Command::Demo(_) => (STOP_WITHIN, JobError::Interrupted),
        _ => (Duration::ZERO, JobError::ReadingInterrupted),
    };
    let say = move || {
        let exit_code = complain(&error);
        if let Some(metrics) = metrics {
            // The process ends, and what it says was said.
            let _ = metrics.write(None, exit_code);
        }
    };
    let doing = "listen for signals";
    signals::listen(patience, say).map_err(|source| JobError::System { doing, source })
}

/// Prints what a command left. A reader that has gone away is not a failure. Returns the exit code.
fn print(finished: &Finished) -> u8 {
    match io::stdout().write_all(finished.stdout.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            worse(finished.exit_code, complain(&JobError::Output(error)))
        }
        _ => finished.exit_code,
    }
}
