//! Scans the activities of a Microsoft Defender for Cloud Apps tenant over a time window and keeps
//! them as partitioned Parquet: the map of the program.
//!
//! ```text
//!  window ──▶ slices ──▶ pages (HTTP) ──▶ record batches ──▶ rows ──▶ parts by event_date ──▶ files ──▶ commit
//!  (asked)    (unit of   (text)           (fixed schema,     (each to  (hive partition)        (invisible  (visible,
//!              commit)                     nothing lost)      one place)                        so far)     recorded once)
//!
//!  window      job        scan             decode           classify    partition               write       commit
//! ```
//!
//! Read [`job`] next: it is the flow. Folders are its stages, single files the shell around it or
//! the vocabulary under it. Imports go one way, shell → job → stages → vocabulary, and never in a
//! circle; a stage may use what the stage before it hands on, never its machinery. A test holds the
//! table of who may use whom. The program itself, in `bin/mdca-lake`, is the outermost shell: process,
//! signals, logs, and one function for each command.
//!
//! | module | what it does | its door to the outside |
//! |---|---|---|
//! | [`job`] | the plan, the flow, spans of thin slices, turns and reports; what a run asks first and when it stops; the compaction of past days | |
//! | [`window`] | which time, in which slices | |
//! | [`scan`] | a slice → pages: the scan protocol, budget, retries | reqwest |
//! | [`sign_in`] | secrets, certificates, identities → the header of every request | reqwest |
//! | [`convert`] | saved files → chunks of records | files, pipes |
//! | [`decode`], [`schema`] | a page → record batch + flaws | arrow |
//! | [`classify`] | records → rows, rejects, repeats; every record goes one way, of a span to its slice | |
//! | [`partition`] | rows → parts by day | |
//! | [`write`](mod@write) | parts → sealed Parquet files that nobody sees | parquet |
//! | [`commit`] | sealed files → visible and recorded, once; recovery; which files are live | |
//! | [`table`] | the live files as a Delta table | parquet, for its checkpoints |
//! | [`store`] | invisible uploads, create-only objects | object storage, disk |
//! | [`read`] | committed files → the original records, or their rows by time | parquet |
//! | [`check`] | whether a scan can run, question by question | |
//! | [`status`], [`verify`] | what a lake holds, and whether it is whole | |
//! | [`cli`], [`config`] | flags → values | the environment |
//! | [`layout`] | every path and name in a lake | |
//! | [`https`] | what all HTTP clients have in common | TLS |
//! | [`text`] | text of records on its way in, and of anything on its way to a terminal | |
//! | [`clock`], [`error`] | time as an argument; kinds of failure | the wall clock |
//!
//! Deliberately absent: no stage reads the wall clock or the environment; no value of a record
//! reaches a log line, but for the tenant ids of two hosts that differ; no type that holds a secret can
//! be printed; crash safety never relies on a destructor.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

pub mod job;

pub mod window;

pub mod scan;
pub mod sign_in;

pub mod convert;

pub mod decode;
pub mod schema;

pub mod classify;

pub mod partition;

pub mod write;

pub mod commit;
pub mod store;
pub mod table;

pub mod check;
pub mod read;
pub mod status;
pub mod verify;

pub mod cli;
pub mod config;

pub mod clock;
pub mod error;
pub(crate) mod https;
pub mod layout;
pub mod text;
