//! Where things lie below `_mdca/`.

use object_store::path::Path;

/// The lake's identity.
pub fn identity() -> Path {
    Path::from("_mdca/lake.json")
}

/// The folder of all commits.
pub fn commits() -> Path {
    Path::from("_mdca/commits")
}

/// The commit of a slice.
pub fn commit(slice: &str) -> Path {
    Path::from(format!("_mdca/commits/{slice}.json"))
}

/// The slice whose commit lies at a path.
pub fn slice_of_commit(path: &Path) -> Option<String> {
    let name = path
        .as_ref()
        .strip_prefix("_mdca/commits/")?
        .strip_suffix(".json")?;
    (!name.contains('/')).then(|| name.to_owned())
}

/// The folder of all attempts.
pub fn attempts() -> Path {
    Path::from("_mdca/attempts")
}

/// The folder of the attempts at one slice.
pub fn attempts_at(slice: &str) -> Path {
    Path::from(format!("_mdca/attempts/{slice}"))
}

/// The commit that an attempt is about to make.
pub fn attempt(slice: &str, attempt: &str) -> Path {
    Path::from(format!("_mdca/attempts/{slice}/{attempt}.json"))
}

/// The rejects of an attempt.
pub fn rejects(slice: &str, attempt: &str) -> Path {
    Path::from(format!("_mdca/rejects/{slice}-{attempt}.jsonl"))
}

/// The folder of all reports.
pub fn runs() -> Path {
    Path::from("_mdca/runs")
}

/// The report of a run.
pub fn run(run: &str) -> Path {
    Path::from(format!("_mdca/runs/{run}.json"))
}
