//! Scans the activities of a Microsoft Defender for Cloud Apps tenant over a time window and keeps
//! them as partitioned Parquet: the map of the program.
//!
//! ```text
//!  window ──▶ slices ──▶ pages (HTTP) ──▶ record batches ──▶ rows ──▶ parts by event_date ──▶ files ──▶ commit
//!  (asked)    (unit of   (text)           (fixed schema,     (sifted:  (hive partition)        (invisible  (visible,
//!              commit)                     nothing lost)      no repeats)                       so far)     recorded once)
//!
//!  window      plan       scan             decode             sift      partition               write       commit
//! ```
//!
//! Read [`job`] next: it is the flow. Folders are its stages, single files the shell around it or
//! the vocabulary under it. Imports go one way, shell → job → stages → vocabulary; a stage may use
//! what the stage before it hands on, never its machinery.
//!
//! | module | what it does | its door to the outside |
//! |---|---|---|
//! | [`window`], [`plan`] | which time, in which slices | |
//! | [`scan`] | a slice → pages: the scan protocol, budget, retries | reqwest |
//! | [`decode`], [`schema`] | a page → record batch + flaws | arrow |
//! | [`sift`], [`rejects`] | records → rows, rejects, repeats; every record goes one way | |
//! | [`partition`] | rows → parts by day | |
//! | [`write`](mod@write) | parts → sealed Parquet files that nobody sees | parquet |
//! | [`commit`] | sealed files → visible and recorded, once; recovery | |
//! | [`store`] | invisible uploads, create-only objects | object storage, disk |
//! | [`read`] | committed files → the original records | parquet |
//! | [`job`], [`outage`], [`attempt`], [`holes`], [`setup`], [`world`] | the flow, and when it stops; one try at a slice, and what it cannot have; what is asked of a run, and of which lake; what touches reality | |
//! | [`first_request`], [`clocks`], [`late`] | what a new lake asks before it is made; whether the clocks agree; when an answer proves nothing | |
//! | [`host_change`] | the tenant moves to another host | |
//! | [`report`], [`failures`], [`oddities`], [`progress`] | what is said of it | |
//! | [`beat`], [`turns`], [`runs`], [`process`] | the report of a run at work; what it leaves to another one; reports read back; whether a process lives | `/proc` |
//! | [`status`], [`verify`] | what a lake holds, and whether it is whole | |
//! | [`cli`], [`config`] | flags → values | the environment |
//! | [`https`] | what all HTTP clients have in common | TLS |
//! | [`memory`] | what a run may take where it runs, and who may hold a page | control groups |
//! | [`stop`] | SIGINT, SIGTERM, SIGHUP | signals |
//! | [`clock`], [`checksum`], [`fingerprint`], [`outline`], [`plain_text`], [`redact`], [`units`], [`error`] | time as an argument; the bytes of an object; when two records are the same; where they lie; text from outside on its way to a terminal, and without secrets; counts and sizes for people; kinds of failure | the wall clock |
//!
//! Deliberately absent: no stage reads the wall clock or the environment; no value of a record
//! reaches a log line; no type that holds a secret can be printed; crash safety never relies on a
//! destructor.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

pub mod job;

mod attempt;
mod beat;
mod clocks;
mod first_request;
mod holes;
mod host_change;
mod late;
mod outage;
mod runs;
mod setup;
mod turns;
mod world;

pub mod plan;
pub mod window;

pub mod scan;

pub mod decode;
pub mod schema;

pub mod rejects;
pub mod sift;

pub mod partition;

pub mod write;

pub mod commit;
pub mod store;

pub mod read;
pub mod status;
pub mod verify;

pub mod failures;
pub mod process;
pub mod progress;
pub mod report;

pub mod cli;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod stop;

pub mod checksum;
pub mod clock;
pub mod error;
pub mod fingerprint;
mod https;
pub mod memory;
pub mod oddities;
pub mod outline;
pub mod plain_text;
pub mod redact;
pub mod units;
