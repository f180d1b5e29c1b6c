//! All integration tests, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests may"
)]

mod canary; // marked secrets, in everything that is said and kept
mod check; // whether a scan can run, question by question
mod cli; // the program as a user meets it: bad input, exit codes
mod clocks; // a wall clock that is wrong
mod compact; // small files of past days become large ones
mod compact_processes; // the same by real processes
mod conversions; // conversions that die, are interrupted or run at once
mod convert; // saved files become a lake
mod crash; // kill -9 at random moments of a real process, and before every call on its disk
mod damage; // what verify finds
mod deploy; // what is given to schedulers
mod disks; // full, broken, read-only and hanging disks under a real process
mod docs; // what the documents tell people to run
mod failpoints; // a run that dies, or meets an error, at every single call on the store
mod faults; // every fault of the service
mod filters; // what a user asks the service for, beside the time
mod first_request; // what a new lake asks before it is made
mod flow; // the main job against a tenant that behaves
mod footers; // Parquet that somebody else made, or changed
mod forged; // lakes into which somebody wrote, or out of which something was lost
mod format; // what files are like, whoever reads them
mod fuzz; // whatever comes in, nothing panics and nothing hangs
mod holes; // what the service does not give, and a service that is down
mod host; // a tenant's host changes
mod hostile; // what hostile texts do: in records, answers, stores and lakes
mod hostile_lakes; // a lake in which somebody else has put things
mod layers; // imports between the rooms of src go one way
mod losing; // another run commits a slice in the middle of a run
mod lossless; // whatever comes in can be given back
mod memory; // records that are made to take much memory
mod metrics; // what is left for a monitor
mod power; // power cuts: what was not made durable is gone
mod processes; // several real processes over one lake
mod queries; // what people ask a lake, and six engines answer
mod remote; // the program on real object stores
mod reports; // what commands say as JSON
mod schema; // what is derived from the schema
mod sign_in; // every way of signing in, and what becomes of tokens and secrets
mod signals; // SIGTERM and SIGINT at any moment
mod simulation; // service, store and several runs at once, by seed
mod snapshots; // what people read, word by word
mod spans; // thin neighbouring slices in one range
mod status; // what a lake holds, and how long it takes to say
mod store; // what every store keeps to, be it memory, a disk or a server
mod support;
mod tenants; // what nobody knows for sure of the service, both ways
mod terminal; // what a person sees of a scan at work
mod turns; // runs that leave each other their work
mod unproven; // time that was asked for when the service may have forgotten it
mod words; // the turns of phrase of help, errors and documents
mod years; // what a scheduled scan costs in months
