//! Placeholder for the map.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

pub mod clock;
pub mod partition;
pub mod store;
pub mod window;
pub mod write;
