//! The simulated tenant as a program of its own: prints its URL on the first line and serves until interrupted.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use mdca_sim::{
    Accepted, AuthorityOptions, PageLimits, Sim, SimOptions, Tenant, TenantOptions, Throttled,
    clock::system_now,
};

use cli::Cli;

const DAY_MS: i64 = 86_400_000;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::INFO)
        .init();
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "failed to serve");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> std::io::Result<()> {
    let Cli {
        port,
        seed,
        activities,
        days,
        ties_per_mille,
        odd_per_mille,
        token,
        client_secret,
        token_life,
        page_cap,
        requests_per_minute,
        no_retry_after,
        no_gzip,
        faults,
    } = cli;
    let now = system_now();
    let until_ms = now();
    let tenant = Tenant::generate(&TenantOptions {
        seed,
        activities,
        from_ms: until_ms - i64::from(days) * DAY_MS,
        until_ms,
        ties_per_mille,
        odd_per_mille,
    });
    let sim = Sim::start_blocking(
        tenant,
        SimOptions {
            port,
            accepted: vec![
                Accepted::always(format!("Token {token}")),
                Accepted::always(format!("Bearer {token}")),
            ],
            now,
            page_limits: PageLimits::capped(page_cap),
            requests_per_minute: (requests_per_minute > 0).then_some(requests_per_minute),
            throttled: Throttled {
                retry_after: !no_retry_after,
                json: false,
            },
            gzip: !no_gzip,
            faults,
            authority: Some(AuthorityOptions {
                secrets: vec![client_secret],
                machine_identity: true,
                life_s: token_life,
                ..AuthorityOptions::default()
            }),
            ..SimOptions::default()
        },
    )?;
    #[expect(clippy::print_stdout, reason = "the URL is what a caller waits for")]
    {
        println!("{}", sim.url());
    }
    tracing::info!(activities, days, seed, "serving");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(tokio::signal::ctrl_c())?;
    tracing::info!(requests = sim.requests().len(), "stopping");
    Ok(())
}
