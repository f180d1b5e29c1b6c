//! Placeholder for the map.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

pub mod cli;
pub mod clock;
pub mod commit;
pub mod config;
pub mod decode;
#[cfg(feature = "demo")]
pub mod demo;
pub mod error;
pub mod fingerprint;
pub mod job;
pub mod partition;
pub mod plan;
pub mod progress;
pub mod rejects;
pub mod report;
pub mod scan;
pub mod schema;
pub mod sift;
pub mod status;
pub mod store;
pub mod verify;
pub mod window;
pub mod write;
