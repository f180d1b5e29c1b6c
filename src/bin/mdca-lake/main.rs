//! The program: parse, configure, run, print, and end with the exit code.

mod commands;
#[cfg(feature = "demo")]
mod demo;
mod logging;
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

/// After a signal a command that writes has this long to stop by itself.
const STOP_WITHIN: Duration = Duration::from_secs(8);

fn main() -> ExitCode {
    process::prepare();
    let cli = match config::command_line() {
        Ok(cli) => cli,
        Err(error) => return logging::refuse(&error),
    };
    logging::start(cli.output.log_format, cli.output.verbose);
    logging::log_panics();
    match run(cli) {
        Ok(finished) => print(&finished),
        Err(error) => complain(&error),
    }
}

/// Runs the command in a task of its own: a panic, which is logged by then, becomes an exit code.
fn run(cli: Cli) -> Result<Finished, JobError> {
    let interrupted = listen(&cli.command)?;
    let runtime = process::start_runtime()?;
    let ended = runtime.block_on(async { tokio::spawn(commands::run(cli, interrupted)).await });
    runtime.shutdown_background();
    ended.unwrap_or_else(|_| Ok(Finished::without_output(ErrorKind::Internal.exit_code())))
}

/// Takes the signals from now on. A command that only reads has nothing to bring to an end.
fn listen(command: &Command) -> Result<watch::Receiver<bool>, JobError> {
    let (patience, error) = match command {
        Command::Scan(_) | Command::Convert(_) => (STOP_WITHIN, JobError::Interrupted),
        #[cfg(feature = "demo")]
        Command::Demo(_) => (STOP_WITHIN, JobError::Interrupted),
        _ => (Duration::ZERO, JobError::ReadingInterrupted),
    };
    let say = move || {
        complain(&error);
    };
    let doing = "listen for signals";
    signals::listen(patience, say).map_err(|source| JobError::System { doing, source })
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
