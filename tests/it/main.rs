//! All integration tests, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests may"
)]

mod cli; // the program as a user meets it: bad input, exit codes
mod crash; // kill -9 at random moments of a real process
mod damage; // what verify finds
mod failpoints; // a run that dies, or meets an error, at every single call on the store
mod faults; // every fault of the service
mod flow; // the main job against a tenant that behaves
mod lossless; // whatever comes in can be given back
mod remote; // the program on real object stores
mod schema; // what is derived from the schema
mod simulation; // service, store and several runs at once, by seed
mod store; // what every store keeps to, be it memory, a disk or a server
mod support;
