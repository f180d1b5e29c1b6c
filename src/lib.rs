//! Placeholder for the map.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

pub mod clock;
pub mod commit;
pub mod decode;
pub mod partition;
pub mod schema;
pub mod store;
pub mod window;
pub mod write;
