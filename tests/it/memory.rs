//! How much memory the real program takes for records that are made to take much.

use mdca_sim::{At, Fault, SimOptions, What};

use crate::support::process::Place;

const MIB: u64 = 1024 * 1024;
/// The odd record's size.
const BYTES: usize = 8 * 1024 * 1024;
/// The default of `--memory-limit`, and what the documents allow beside it: twice the largest page.
const ALLOWED: u64 = 256 * MIB + 2 * (BYTES as u64 + MIB);

fn list_of(element: &str) -> String {
    format!(
        "[{element}{}]",
        format!(",{element}").repeat(BYTES / (element.len() + 1))
    )
}

/// An object whose values are lists as long as are just taken apart.
fn lists_of(element: &str) -> String {
    let list = format!("[{element}{}]", format!(",{element}").repeat((1 << 16) - 1));
    let items = vec![format!("{{\"tags\":{list}}}"); BYTES / list.len()];
    format!("[{}]", items.join(","))
}

fn object_of_keys() -> String {
    let members: Vec<String> = (0..BYTES / 12).map(|n| format!("\"{n:07}\":1")).collect();
    format!("{{{}}}", members.join(","))
}

/// One record of 8 MB, whatever is in it, is a row like the others, within the limit.
#[test]
fn a_large_record_takes_no_more_than_its_share() {
    let shapes = [
        ("/mainInfo/eventObjects", list_of("1")),
        ("/mainInfo/eventObjects", list_of("{}")),
        ("/mainInfo/eventObjects", lists_of("1")),
        ("/mainInfo/eventObjects", lists_of("[]")),
        ("/classifications", list_of("1")),
        ("/user", object_of_keys()),
        ("/description", format!("\"{}\"", "\\n".repeat(BYTES / 2))),
        ("/rawDataJson", list_of("1")),
    ];
    for (path, value) in shapes {
        let begin = value[..20].to_owned();
        let options = SimOptions {
            faults: vec![Fault::new(At::Record(3), What::set(path, &value)).always()],
            ..SimOptions::default()
        };
        let place = Place::new("2026-10-01T23:00:00Z", "2026-10-02T01:00:00Z", 40, options);
        let lake = place.lake();
        let ended = place.run(lake.scan().args(["--parallel", "1"]));
        assert_eq!(ended.code(), Some(0), "{ended}");
        lake.expect_exact(path);
        let report = ended.report();
        let peak = report["peak_memory_bytes"].as_u64().unwrap();
        println!("{path} {begin}… took {} MiB", peak / MIB);
        assert!(peak < ALLOWED, "{path} {begin}… took {} MiB", peak / MIB);
    }
}
