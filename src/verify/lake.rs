//! What every slice of a lake has to fit.

use crate::commit::{Identity, LakeSource};
use crate::scan::ClockField;
use crate::schema::{self, CREATED, TIMESTAMP};
use crate::window::{Slice, SliceLength, TimeWindow};

/// What the identity says that every slice has to fit; nothing where it cannot be read.
#[derive(Debug, Default)]
pub(super) struct Lake {
    source: Option<LakeSource>,
    length: Option<SliceLength>,
    clock: Option<ClockField>,
}

impl Lake {
    /// The lake of an identity, and what is wrong with that.
    pub(super) fn of(identity: &Identity) -> (Self, Vec<String>) {
        let mut flaws = Vec::new();
        let clock = identity.clock.parse().ok();
        if clock.is_none() {
            flaws.push(format!(
                "its clock '{}' is unknown to this version",
                identity.clock
            ));
        }
        let length = identity.slice_length().ok();
        if length.is_none() {
            flaws.push(format!(
                "{} minutes is not a valid length of a slice",
                identity.slice_minutes
            ));
        }
        if identity.schema_version != schema::activity().version {
            flaws.push(format!(
                "it has schema version {}, and this program reads {}",
                identity.schema_version,
                schema::activity().version
            ));
        }
        let lake = Self {
            source: Some(identity.source),
            length,
            clock,
        };
        (lake, flaws)
    }

    /// The lake's clock in a slice: the name of its column, and the time that it may show.
    pub(super) fn clock_of(&self, slice: &str) -> Option<(&'static str, TimeWindow)> {
        let window = slice.parse::<Slice>().ok()?.window();
        Some(match self.clock? {
            ClockField::Created => (CREATED, window),
            ClockField::Date => (TIMESTAMP, window),
        })
    }

    /// Why a slice is none of this lake's.
    pub(super) fn refuses(&self, slice: &str) -> Option<String> {
        let time = slice.parse::<Slice>().ok();
        match (self.source?, time) {
            (LakeSource::Convert, None) => None,
            (LakeSource::Convert, Some(_)) => {
                Some("it names a slice of time, and the lake was made by convert".to_owned())
            }
            (LakeSource::Scan, None) => {
                Some("it does not name a slice of time, and the lake was made by scan".to_owned())
            }
            (LakeSource::Scan, Some(time)) => {
                let length = self.length?;
                let fits = length.floor(time.from_ms()) == time.from_ms()
                    && time.until_ms() - time.from_ms() == length.as_ms();
                (!fits).then(|| {
                    format!("it is not a slice of this lake, whose slices are {length} long")
                })
            }
        }
    }
}
