//! What a lake holds, read from its table, or its commits where that is behind, and from its reports.

mod gaps;
mod lake_status;
mod reading;
mod text;
mod unproven;

pub use self::lake_status::{
    DayStatus, GapStatus, LakeStatus, LeftOut, TableStatus, UnprovenStatus,
};
pub use self::reading::{no_lake, read};
pub use crate::job::runs::Begun;
