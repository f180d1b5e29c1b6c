//! The doors to the environment: the command line with its variables, and what signs in.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::FromArgMatches;
use clap::builder::{BoolishValueParser, TypedValueParser};
use http::Uri;

use super::credentials::{self, SignInEnvironment, Workload};
use super::wrong;
use crate::cli::{self, Cli};
use crate::error::UsageError;

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
    /// A variable is not valid UTF-8, or names no proxy although it should.
    pub fn of_process() -> Result<Self, UsageError> {
        check_proxy()?;
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

/// The HTTP library passes over a proxy that it cannot read, and connects without it.
fn check_proxy() -> Result<(), UsageError> {
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let Some(value) = variable(name)? else {
            continue;
        };
        let is_proxy = value.parse::<Uri>().is_ok_and(|uri| {
            let scheme = uri.scheme_str().unwrap_or("http");
            uri.authority().is_some() && ["http", "https"].contains(&scheme)
        });
        // The value may hold a password.
        return if is_proxy {
            Ok(())
        } else {
            Err(wrong(format!("{name} is not the address of an HTTP proxy"))
                .advise("use one like http://proxy.contoso.com:8080, or unset it"))
        };
    }
    Ok(())
}

/// The command line of the process. A variable that is empty is one that is not set.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn command_line() -> Result<Cli, clap::Error> {
    let counts =
        |variable: &OsStr| std::env::var_os(variable).is_none_or(|value| !value.is_empty());
    let matches = cli::command_with(&counts).try_get_matches()?;
    Cli::from_arg_matches(&matches)
}

/// A command line that was refused, as far as its metrics go.
pub struct RefusedRun {
    /// The command.
    pub command: &'static str,
    /// The lake, as it was given.
    pub lake: String,
    /// Where its metrics were to go.
    pub metrics_file: PathBuf,
}

/// The run that these arguments and the environment ask for, of commands that leave metrics; for arguments
/// that are refused, so that nothing else reads them.
pub fn refused_run(args: impl Iterator<Item = OsString>) -> Option<RefusedRun> {
    let args: Vec<OsString> = args.collect();
    let commands = cli::command_with(&|_| true);
    let is_command = |arg: &&OsString| commands.find_subcommand(arg).is_some();
    let asked = args.iter().skip(1).find(is_command)?;
    let command = ["scan", "convert", "compact"];
    let command = command.into_iter().find(|command| asked == command)?;
    if asks_for_dry_run(&args, &commands) {
        return None;
    }
    Some(RefusedRun {
        command,
        lake: setting(&args, "--lake", "MDCA_LAKE")?.into_string().ok()?,
        metrics_file: setting(&args, "--metrics-file", "MDCA_METRICS_FILE")?.into(),
    })
}

/// Whether these arguments, or the environment, ask for a plan alone.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
fn asks_for_dry_run(args: &[OsString], commands: &clap::Command) -> bool {
    let is_yes = |value: OsString| {
        let parsed = BoolishValueParser::new().parse_ref(commands, None, &value);
        parsed.unwrap_or(false)
    };
    args.iter().any(|arg| arg == "--dry-run")
        || std::env::var_os("MDCA_DRY_RUN").is_some_and(is_yes)
}

/// What a flag or, without it, its variable says.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
fn setting(args: &[OsString], flag: &str, variable: &str) -> Option<OsString> {
    let behind = args.iter().skip_while(|arg| *arg != flag).nth(1).cloned();
    let within = || {
        let prefix = format!("{flag}=");
        let mut texts = args.iter().filter_map(|arg| arg.to_str());
        texts.find_map(|arg| arg.strip_prefix(&prefix).map(OsString::from))
    };
    let given = behind.or_else(within);
    let value = given.or_else(|| std::env::var_os(variable))?;
    (!value.is_empty()).then_some(value)
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
