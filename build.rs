//! Says which commit a released program is of, for `--version`.
//!
//! A build for development does not ask: it would be built anew after every commit.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script has no other way to be told"
)]

use std::env::var;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=MDCA_LAKE_COMMIT");
    let given = var("MDCA_LAKE_COMMIT")
        .ok()
        .filter(|commit| !commit.is_empty());
    let commit = match given {
        // Where the sources come without their history.
        Some(commit) => Some(commit),
        None if var("PROFILE").as_deref() == Ok("release") => commit(),
        None => Some("development build".to_owned()),
    };
    let shown = commit.map_or(String::new(), |commit| format!(" ({commit})"));
    println!(
        "cargo::rustc-env=MDCA_LAKE_BUILD={}",
        shown.replace('\n', " ")
    );
}

/// The commit of the sources, and whether they differ from it; none where there is no git.
fn commit() -> Option<String> {
    // The history of other sources may lie above: one that was unpacked inside them is not of it.
    let own = git(&["ls-files", "--error-unmatch", "build.rs"]).is_some();
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).filter(|_| own)?;
    for file in ["HEAD", "logs/HEAD", "index"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let is_clean = git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if is_clean {
        commit
    } else {
        commit + " and changes"
    })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
