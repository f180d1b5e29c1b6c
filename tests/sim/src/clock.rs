//! The server's idea of now: the one door to the wall clock, and the names of the two clocks of a record.

use std::fmt;
use std::sync::Arc;

/// Tells the server's time in milliseconds since the epoch. Tests give a simulated one.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The time of the machine.
pub fn system_now() -> Now {
    Arc::new(|| {
        #[expect(clippy::disallowed_methods, reason = "this is the door")]
        let now = std::time::SystemTime::now();
        now.duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| {
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            })
    })
}

/// A clock that stands still.
pub fn fixed_now(now_ms: i64) -> Now {
    Arc::new(move || now_ms)
}

/// Which time of a record a scan goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockField {
    /// When the service saved the record: `created`.
    Created,
    /// When it happened: `timestamp` in the record, `date` in filters and sort fields.
    Date,
}

impl ClockField {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Date => "date",
        }
    }
}

impl fmt::Display for ClockField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
