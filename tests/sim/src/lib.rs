//! A simulated tenant of Microsoft Defender for Cloud Apps: invented activities, served by the
//! activities API over real HTTP on this machine.
//!
//! ```text
//!  generator ──▶ tenant ──▶ protocol ──▶ faults ──▶ server ──▶ 127.0.0.1
//!  (invents      (holds,    (filters,    (scripted   (HTTP, good
//!   records)      by two     pages,       damage)     and broken)
//!                 clocks)    throttle)
//! ```
//!
//! An independent reading of the public documentation and of what clients saw. It never imports the
//! program under test, so an error in one is not repeated in the other.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use mdca_sim::{At, ClockField, Fault, Sim, SimOptions, Tenant, TenantOptions, What};
//!
//! let tenant = Tenant::generate(&TenantOptions { activities: 1_200, ..TenantOptions::default() });
//! let sim = Sim::start(tenant, SimOptions {
//!     faults: vec![Fault::new(At::Page(1), What::throttled(Some(7)))],
//!     ..SimOptions::default()
//! }).await?;
//! println!("{}", sim.url());
//! // … scan it …
//! let truth = sim.tenant().records(ClockField::Created, 0..i64::MAX);
//! assert_eq!(truth.len(), 1_200);
//! assert_eq!(sim.faults_left(), 0);
//! # Ok(()) }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

mod random;

pub mod clock;
pub mod generator;

mod tenant;

mod protocol;

mod faults;

mod server;

mod authority;

pub use authority::{AuthorityOptions, TokenRequestLog};
pub use clock::{ClockField, Now};
pub use faults::{Asked, At, Canned, Change, Fault, Repeat, What};
pub use generator::{Kind, TenantOptions};
pub use protocol::continuation::ContinuationStyle;
pub use protocol::paging::Ties;
pub use server::{
    AboveCap, Accepted, DEFAULT_AUTHORIZATION, PageLimits, RequestLog, Sim, SimOptions, Throttled,
    Total,
};
pub use tenant::{Record, Tenant};
