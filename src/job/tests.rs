//! What commands say as JSON has a JSON Schema, which lies beside the schema of activities. It is
//! derived from the structs that say it; `tests/it/commands/reports.rs` holds real outputs against it.

use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::json;

use super::compact::report::CompactReport;
use super::convert::report::ConvertReport;
use super::report::RunReport;
use crate::check::Check;
use crate::status::LakeStatus;
use crate::verify::Verification;

/// Set this to write the golden copies anew.
const UPDATE: &str = "UPDATE_SCHEMAS";

/// The schema of what a struct says, as a text.
fn schema_of<T: JsonSchema>(title: &str) -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), json!(title));
    format!("{:#}\n", schema.to_value())
}

#[test]
fn the_golden_copies_are_what_the_structs_say() {
    let derived = [
        (
            "scan-report",
            schema_of::<RunReport>("What mdca-lake scan --report json says"),
        ),
        (
            "convert-report",
            schema_of::<ConvertReport>("What mdca-lake convert --report json says"),
        ),
        (
            "compact-report",
            schema_of::<CompactReport>("What mdca-lake compact --report json says"),
        ),
        (
            "status",
            schema_of::<LakeStatus>("What mdca-lake status --report json says"),
        ),
        (
            "check",
            schema_of::<Check>("What mdca-lake check --report json says"),
        ),
        (
            "verify",
            schema_of::<Verification>("What mdca-lake verify --report json says"),
        ),
    ];
    for (name, text) in derived {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{name}.v1.schema.json"));
        if std::env::var_os(UPDATE).is_some() {
            fs::write(&path, &text).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            golden == text,
            "{} is out of date: run with {UPDATE}=1 and look at the diff",
            path.display()
        );
    }
}
