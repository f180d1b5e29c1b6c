//! `mdca-lake demo`: the main job, over real HTTP, against a simulated tenant in this process.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use clap::FromArgMatches;
use mdca_sim::{Sim, SimOptions, Tenant, TenantOptions};

use mdca_lake::cli::{self, Cli, Command};
use mdca_lake::config::{Environment, ScanConfig, SignInEnvironment};
use mdca_lake::error::{JobError, UsageError};
use mdca_lake::text::plain::one_line;
use mdca_lake::text::units::counted;
use mdca_lake::window::format_time;

/// The simulated tenant's days.
const DAYS: i64 = 3;
const HOUR_MS: i64 = 60 * 60_000;
/// The end of the tenant's time lies this far back, so that every slice is closed.
const BACK_HOURS: i64 = 2;
/// What the simulated tenant accepts; it is not a secret.
const TOKEN: &str = "demo-token";

/// A simulated tenant that listens on this machine.
pub(crate) struct DemoTenant {
    sim: Sim,
    lake: String,
    from_ms: i64,
    until_ms: i64,
    now_ms: i64,
}

/// Starts a tenant with so many activities over three days.
///
/// # Errors
/// The demo's lake is there already, or no port could be had.
pub(crate) async fn start(
    activities: u64,
    lake: &str,
    now_ms: i64,
) -> Result<DemoTenant, JobError> {
    if lake.contains("://") {
        return Err(UsageError::new(format!(
            "cannot make the demo's lake {lake}: it is a URL, and the demo writes to a folder"
        ))
        .advise("use a path as --lake")
        .into());
    }
    if Path::new(lake).join("_mdca").exists() {
        return Err(UsageError::new(format!(
            "cannot make the demo's lake {lake}: a lake is there already"
        ))
        .advise("use another --lake; if an earlier demo made this one, remove its folder")
        .into());
    }
    let until_ms = (now_ms / HOUR_MS - BACK_HOURS) * HOUR_MS;
    let from_ms = until_ms - DAYS * 24 * HOUR_MS;
    let tenant = Tenant::generate(&TenantOptions {
        activities,
        from_ms,
        until_ms,
        ..TenantOptions::default()
    });
    let options = SimOptions {
        accepted: vec![mdca_sim::Accepted::always(format!("Token {TOKEN}"))],
        requests_per_minute: None,
        ..SimOptions::default()
    };
    let sim = Sim::start(tenant, options)
        .await
        .map_err(|error| UsageError::new(format!("cannot start the simulated tenant: {error}")))?;
    Ok(DemoTenant {
        sim,
        lake: lake.to_owned(),
        from_ms,
        until_ms,
        now_ms,
    })
}

impl DemoTenant {
    /// What the real `scan` is asked to do, written as a user would.
    pub(crate) fn config(&self) -> Result<ScanConfig, JobError> {
        let (from, until) = (format_time(self.from_ms), format_time(self.until_ms));
        let url = self.sim.url();
        let command = [
            "mdca-lake",
            "scan",
            "--api-url",
            &url,
            "--lake",
            &self.lake,
            "--from",
            &from,
            "--until",
            &until,
            "--requests-per-minute",
            "0",
        ];
        let usage = |error: String| JobError::from(UsageError::new(error));
        let parsed = cli::command_with(&|_| false)
            .try_get_matches_from(command)
            .and_then(|matches| Cli::from_arg_matches(&matches))
            .map_err(|error| usage(error.to_string()))?;
        let Command::Scan(args) = parsed.command else {
            return Err(usage("the demo runs scan".to_owned()));
        };
        let environment = Environment {
            sign_in: SignInEnvironment {
                token: Some(TOKEN.into()),
                ..SignInEnvironment::default()
            },
        };
        ScanConfig::resolve(*args, environment, self.now_ms).map_err(JobError::from)
    }
}

/// The tree of the lake, and what to paste into `DuckDB`.
pub(crate) fn epilogue(lake: &str) -> Result<String, JobError> {
    let failed = |error: std::fmt::Error| UsageError::new(error.to_string());
    let mut out = String::new();
    writeln!(out, "\n{}", one_line(lake)).map_err(failed)?;
    for folder in ["activities", "_delta_log", "_mdca"] {
        writeln!(out, "├── {folder}/").map_err(failed)?;
        for (name, entries) in children(&Path::new(lake).join(folder)) {
            let name = one_line(&name);
            let inside = entries.map_or(String::new(), |n| {
                format!("/   {}", counted(n as u64, "entry", "entries"))
            });
            writeln!(out, "│   ├── {name}{inside}").map_err(failed)?;
        }
    }
    let lake = one_line(lake).replace('\'', "''");
    let files = format!(
        "read_parquet('{lake}/activities/**/*.parquet', hive_partitioning = true, union_by_name = true)"
    );
    writeln!(
        out,
        "\nAsk DuckDB:\n\n  SELECT event_date, app_name, count(*) AS activities\n  FROM {files}\n  GROUP BY ALL ORDER BY ALL;\n\n  SELECT timestamp, failed_user_data_user_name AS who, device_client_ip AS ip, location_country_code AS country\n  FROM {files}\n  WHERE event_type_name = 'EVENT_CATEGORY_FAILED_LOGIN'\n  ORDER BY timestamp DESC LIMIT 10;"
    )
    .map_err(failed)?;
    Ok(out)
}

/// What lies in a folder, by name; of folders also how much lies in them.
fn children(folder: &Path) -> Vec<(String, Option<usize>)> {
    let mut children: Vec<(String, Option<usize>)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let inside = fs::read_dir(entry.path()).ok().map(Iterator::count);
            (entry.file_name().to_string_lossy().into_owned(), inside)
        })
        .collect();
    children.sort();
    children
}
