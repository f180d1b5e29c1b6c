//! All integration tests, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests may"
)]

mod commands;
mod house;
mod process;
mod protocol;
mod remote; // the program on real object stores
mod service;
mod support;
