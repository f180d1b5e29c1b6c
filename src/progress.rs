//! What a person at a terminal watches.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of slices on stderr, or nothing.
#[derive(Debug, Clone)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar, hidden where stderr is no terminal.
    pub fn auto() -> Self {
        Self(ProgressBar::no_length())
    }

    /// Nothing.
    pub fn never() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Begins with so many slices to go.
    pub fn begin(&self, slices: u64) {
        let style = ProgressStyle::with_template(
            "{bar:30} {pos}/{len} slices, {msg} ({elapsed}, {eta} to go)",
        );
        self.0
            .set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.0.set_length(slices);
        self.0.set_message("no rows yet");
    }

    /// One more slice is done; the run has so many rows now.
    pub fn slice_done(&self, rows: u64) {
        self.0.inc(1);
        self.0.set_message(format!("{rows} rows"));
    }

    /// Takes the bar away: the report follows.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}
