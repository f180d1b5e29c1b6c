//! Text: of records on their way in, and of whatever is said on its way out.

pub mod damage;
pub mod fingerprint;
pub mod look;
pub mod outline;
pub mod plain;
pub mod redact;
pub mod report;
pub mod units;
