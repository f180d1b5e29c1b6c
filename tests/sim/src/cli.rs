//! The command line of the stand-alone simulator.

use mdca_sim::{At, Fault, Repeat, What};

/// A simulated tenant of Microsoft Defender for Cloud Apps, on this machine.
///
/// Prints its URL on the first line. The token is accepted as `Token …` and as `Bearer …`.
#[derive(Debug, clap::Parser)]
#[command(name = "mdca-sim", version, after_help = FAULTS)]
pub(crate) struct Cli {
    /// Port on 127.0.0.1; 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// The same seed gives the same activities.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many activities the tenant holds.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) activities: u64,
    /// Over how many days before now they were saved.
    #[arg(long, default_value_t = 2)]
    pub(crate) days: u32,
    /// Activities saved in the same millisecond as another, in a thousand.
    #[arg(long, default_value_t = 200)]
    pub(crate) ties_per_mille: u32,
    /// Records with a rare irregularity, in a thousand.
    #[arg(long, default_value_t = 10)]
    pub(crate) odd_per_mille: u32,
    /// The API token that is accepted.
    #[arg(
        long,
        env = "MDCA_SIM_TOKEN",
        hide_env_values = true,
        default_value = "sim-token"
    )]
    pub(crate) token: String,
    /// The secret of the application 11111111-2222-3333-4444-555555555555 in the tenant contoso.example,
    /// whose authority is this server.
    #[arg(
        long,
        env = "MDCA_SIM_CLIENT_SECRET",
        hide_env_values = true,
        default_value = "sim-secret"
    )]
    pub(crate) client_secret: String,
    /// How long a bearer token lives, in seconds.
    #[arg(long, default_value_t = 3_599)]
    pub(crate) token_life: u32,
    /// The most records of a page, whatever is asked for.
    #[arg(long, default_value_t = 5_000)]
    pub(crate) page_cap: usize,
    /// Requests in any 60 seconds; 0 is no limit.
    #[arg(long, default_value_t = 30)]
    pub(crate) requests_per_minute: u32,
    /// Throttles without saying for how long.
    #[arg(long)]
    pub(crate) no_retry_after: bool,
    /// Never compresses.
    #[arg(long)]
    pub(crate) no_gzip: bool,
    /// NAME@PLACE, or NAME@PLACE*TIMES; repeatable.
    #[arg(long = "fault", value_name = "FAULT", value_parser = parse_fault)]
    pub(crate) faults: Vec<Fault>,
}

const FAULTS: &str = "\
Faults: a status (429, 503, …), 429-json, html-200, html-404, html-500, bad-keys, no-role, close, reset, stall,
  malformed, truncated, cut, no-data, no-next, null-next, stuck, next-on-last, empty, short, ends-early,
  ignore-order, shuffle, ignore-filters, stray, repeat, repeat-changed, null-row, no-id, invalid-utf8
Places: request:N, page:N, from:N (all pages from N on), first (first page of any scan), every; N begins at 0
Example: --fault 503@page:2*3 --fault shuffle@every*1000";

fn parse_fault(text: &str) -> Result<Fault, String> {
    let (name, rest) = text.split_once('@').ok_or("no place: write NAME@PLACE")?;
    let (place, times) = rest.split_once('*').unwrap_or((rest, "1"));
    let times = times
        .parse()
        .map_err(|_| format!("{times:?} is no number of times"))?;
    Ok(Fault::new(parse_place(place)?, parse_name(name)?).times(times))
}

fn parse_place(place: &str) -> Result<At, String> {
    let (name, number) = place.split_once(':').unwrap_or((place, "0"));
    let number = number
        .parse()
        .map_err(|_| format!("{number:?} is no position"))?;
    match name {
        "request" => Ok(At::Request(number)),
        "page" => Ok(At::Page(number)),
        "from" => Ok(At::PagesFrom(number)),
        "first" => Ok(At::FirstPages),
        "every" => Ok(At::Every),
        _ => Err(format!("unknown place {name:?}")),
    }
}

fn parse_name(name: &str) -> Result<What, String> {
    Ok(match name {
        "429" => What::throttled(Some(2)),
        "429-json" => What::throttled_json(None),
        "html-200" => What::html(200),
        "html-404" => What::html(404),
        "html-500" => What::html(500),
        "bad-keys" => What::invalid_key_set(),
        "no-role" => What::missing_role(),
        "close" => What::Close,
        "reset" => What::Reset,
        "stall" => What::Stall,
        "malformed" => What::MalformedJson,
        "truncated" => What::TruncatedJson,
        "cut" => What::CutBody { after: 1_000 },
        "no-data" => What::DataMissing,
        "no-next" => What::NextFiltersMissing,
        "null-next" => What::NextFiltersNull,
        "stuck" => What::Stuck {
            range_at_least_ms: 60_000,
        },
        "next-on-last" => What::NextFiltersOnLast,
        "empty" => What::EmptyPage,
        "short" => What::ShortPage { records: 3 },
        "ends-early" => What::EndsEarly,
        "ignore-order" => What::IgnoreOrder,
        "shuffle" => What::Shuffle,
        "ignore-filters" => What::IgnoreFilters,
        "stray" => What::Stray,
        "repeat" => What::Repeat(Repeat::Exact),
        "repeat-changed" => What::Repeat(Repeat::Changed),
        "null-row" => What::null_row(),
        "no-id" => What::without_id(),
        "invalid-utf8" => What::Record(mdca_sim::Change::InvalidUtf8),
        status => match status.parse() {
            Ok(status) if (400..600).contains(&status) => What::gateway(status),
            _ => return Err(format!("unknown fault {name:?}")),
        },
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_fault_has_a_name_a_place_and_a_count() {
        let fault = parse_fault("503@page:2*3").unwrap();
        assert_eq!(fault.times, 3);
        assert!(matches!(fault.at, At::Page(2)));
        assert!(parse_fault("503").is_err());
        assert!(parse_fault("nonsense@every").is_err());
    }
}
