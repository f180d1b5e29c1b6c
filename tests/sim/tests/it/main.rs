//! The simulated service as a client sees it: a naive scanner over real HTTP.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod client;
mod faults;
mod generator;
mod protocol;
