//! The export of a lake: the original records, as text.

use std::io::Write;

use super::ReadError;
use super::by_time::{ByTime, ExportFile, Wanted};
use crate::store::{ScratchFolder, Store};
use crate::window::TimeWindow;

/// Text gathered before it is handed on.
const WRITE_BYTES: usize = 256 * 1024;
/// Text of one time that is held until it is whole. The service saves some thousand records in a
/// millisecond, of some kilobytes each.
const TIME_BYTES: usize = 64 * 1024 * 1024;

/// The export of a lake. Whole times are written, each with all of its records, so that it can go on
/// with other files of the same rows where one is gone.
pub struct Export {
    window: Option<TimeWindow>,
    /// The last time of which everything is written, in microseconds since the epoch.
    written_us: Option<i64>,
    /// Whether a part of the next time is written.
    is_torn: bool,
    /// Records written.
    records: u64,
}

impl Export {
    /// An export of the records whose `timestamp` lies in the window; else of all.
    pub fn new(window: Option<TimeWindow>) -> Self {
        Self {
            window,
            written_us: None,
            is_torn: false,
            records: 0,
        }
    }

    /// Whether it can go on with other files of the same rows: not within a time that has more records
    /// than are held.
    pub fn can_go_on(&self) -> bool {
        !self.is_torn
    }

    /// Records written so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Writes the records of files that were not written yet, one a line, by time.
    ///
    /// # Errors
    /// A file cannot be read, or the output takes no more. Where it is gone
    /// ([`ReadError::gone`]) the export goes on with the files that are there.
    pub async fn write(
        &mut self,
        store: &Store,
        files: Vec<ExportFile>,
        out: &mut impl Write,
    ) -> Result<(), ReadError> {
        let wanted = Wanted {
            window: self.window,
            after_us: self.written_us,
        };
        let mut records = ByTime::of(files, wanted, ScratchFolder::of_system());
        let mut text = Text::default();
        while let Some(time_us) = records.next(store).await? {
            text.begin(time_us);
            records.restore(&mut text.held)?;
            if text.is_enough() {
                self.hand_on(&mut text, out)?;
            }
            if text.is_too_much() {
                self.hand_on_torn(&mut text, out)?;
            }
        }
        text.end();
        self.hand_on(&mut text, out)?;
        out.flush().map_err(ReadError::Output)
    }

    /// Writes the times that are whole.
    fn hand_on(&mut self, text: &mut Text, out: &mut impl Write) -> Result<(), ReadError> {
        let Some(whole_us) = text.whole_us else {
            return Ok(());
        };
        let whole = &text.held.as_bytes()[..text.whole];
        out.write_all(whole).map_err(ReadError::Output)?;
        text.held.drain(..text.whole);
        self.is_torn &= text.whole == 0;
        text.whole = 0;
        self.written_us = Some(whole_us);
        self.records += std::mem::take(&mut text.whole_records);
        Ok(())
    }

    /// Writes what there is of a time, too.
    fn hand_on_torn(&mut self, text: &mut Text, out: &mut impl Write) -> Result<(), ReadError> {
        self.hand_on(text, out)?;
        out.write_all(text.held.as_bytes())
            .map_err(ReadError::Output)?;
        text.held.clear();
        self.is_torn = true;
        Ok(())
    }
}

/// Text that was not handed on yet.
#[derive(Default)]
struct Text {
    held: String,
    /// The time of the record that was begun last.
    time_us: Option<i64>,
    /// Records of it.
    records: u64,
    /// The last time before it, up to where its text goes, and the records that this holds.
    whole_us: Option<i64>,
    whole: usize,
    whole_records: u64,
}

impl Text {
    /// A record of this time follows.
    fn begin(&mut self, time_us: i64) {
        if self.time_us != Some(time_us) {
            self.end();
            self.time_us = Some(time_us);
        }
        self.records += 1;
    }

    /// No more records of the last time follow. They are put in the order of their text: the same rows are
    /// the same export, in whatever files they lie (but for a time that is torn).
    fn end(&mut self) {
        if self.time_us.is_some() {
            if self.records > 1 {
                let mut lines: Vec<&str> = self.held[self.whole..].split_inclusive('\n').collect();
                lines.sort_unstable();
                let sorted = lines.concat();
                self.held.replace_range(self.whole.., &sorted);
            }
            self.whole_us = self.time_us;
            self.whole = self.held.len();
            self.whole_records += std::mem::take(&mut self.records);
        }
    }

    fn is_enough(&self) -> bool {
        self.whole >= WRITE_BYTES
    }

    fn is_too_much(&self) -> bool {
        self.held.len() - self.whole >= TIME_BYTES
    }
}
