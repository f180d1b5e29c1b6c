//! Objects of a lake made by hand: an independent statement of how they are sealed.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// `sha256:` and the SHA-256 of bytes.
pub(crate) fn checksum(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", digits.concat())
}

/// An object's text: its members in this order, then the checksum of all that stands before it.
pub(crate) fn seal(text: &str) -> String {
    let body = text.strip_suffix('}').unwrap();
    format!("{body},\"checksum\":\"{}\"}}\n", checksum(body.as_bytes()))
}

/// Reads a sealed object.
pub(crate) fn read(path: &Path) -> Value {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    value.as_object_mut().unwrap().remove("checksum").unwrap();
    value
}

/// Writes a sealed object.
pub(crate) fn write(path: &Path, value: &Value) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, seal(&value.to_string())).unwrap();
}

/// The identity of a lake of hourly slices.
pub(crate) fn identity(begin_ms: i64) -> Value {
    json!({
        "version": 1, "source": "scan", "api_host": "contoso.example", "clock": "created",
        "filters": {}, "slice_minutes": 60, "schema_version": 1, "begin_ms": begin_ms,
    })
}

/// The commit of a slice without files.
pub(crate) fn commit(slice: &str) -> Value {
    json!({
        "version": 1, "slice": slice, "attempt": "0123456789abcdef", "run": "20261121T071800Z-0a1b2c3d",
        "prepared_ms": 0, "schema_version": 1, "files": [], "rejects": null,
        "counts": {
            "pages": 1, "records": 0, "rows": 0, "rejects": {}, "copies": 0, "repeats": 0,
            "changed_repeats": 0, "outside_probe": 0, "odd_created": 0,
        },
    })
}
