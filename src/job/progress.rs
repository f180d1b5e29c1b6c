//! What is seen of a run while it is at work: a live view on a terminal, else a line a minute.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use parking_lot::Mutex;
use tracing::info;

use crate::clock::Clock;
use crate::job::screen::Screen;
use crate::job::view::View;
use crate::text::units::{bytes as size, counted, number};

/// The target of the lines in the log, which are shown at every level.
pub const PROGRESS: &str = "mdca_lake::job::progress";

/// The view is drawn no more often than this, whatever happens.
const FRAMES_PER_S: u8 = 20;
/// How often the view of a scan is drawn anew, if nothing else happens.
const DRAWN_EVERY: Duration = Duration::from_millis(500);

/// The bar that is on the terminal.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Writes something else to stderr while the view is off the terminal.
pub fn aside<T>(write: impl FnOnce() -> T) -> T {
    let shown = SHOWN.lock().clone();
    match shown {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// What becomes of a line.
type Say = dyn Fn(&str) + Send + Sync;

/// A view on stderr, lines in the log, or nothing.
#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
    line: Option<Arc<Say>>,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

impl Progress {
    /// A view where stderr is a terminal, else lines.
    pub fn auto() -> Self {
        if stderr().is_terminal() {
            let screen = Box::new(Screen::stderr());
            let target = ProgressDrawTarget::term_like_with_hz(screen, FRAMES_PER_S);
            let bar = ProgressBar::with_draw_target(None, target);
            *SHOWN.lock() = Some(bar.clone());
            return Self { bar, line: None };
        }
        Self::lines(|line| info!(target: PROGRESS, "{line}"))
    }

    /// A line a minute.
    pub fn lines(say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            bar: ProgressBar::hidden(),
            line: Some(Arc::new(say)),
        }
    }

    /// Nothing.
    pub fn never() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            line: None,
        }
    }

    /// Begins with so many slices to go, of which this is to be seen.
    pub(crate) fn begin(&self, slices: u64, view: View) {
        if self.bar.is_hidden() {
            self.count(slices);
            return;
        }
        let clock = Arc::clone(view.clock());
        let view = Arc::new(view);
        let style = ProgressStyle::with_template("{bar:30} {slices}\n{records}, {msg}\n{requests}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let of = |line: fn(&View, u64, u64) -> String| {
            let view = Arc::clone(&view);
            move |state: &ProgressState, out: &mut dyn fmt::Write| {
                let line = line(&view, state.pos(), state.len().unwrap_or_default());
                // A line that cannot be drawn is drawn next time.
                let _ = out.write_str(&line);
            }
        };
        let style = style
            .with_key("slices", of(View::slices))
            .with_key("records", of(View::records))
            .with_key("requests", of(View::requests));
        self.bar.set_style(style);
        self.count(slices);
        tokio::spawn(draw(self.bar.clone(), clock));
    }

    fn count(&self, slices: u64) {
        self.bar.set_message("no rows yet");
        self.bar.set_length(slices);
    }

    /// Begins with so many bytes to go.
    pub fn begin_bytes(&self, bytes: u64) {
        let style = ProgressStyle::with_template(
            "{bar:30} {bytes} of {total_bytes}, {msg} ({elapsed}, {eta} to go)",
        );
        self.bar
            .set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bar.set_length(bytes);
        self.bar.set_message("no rows yet");
    }

    /// So many bytes more are done.
    pub fn bytes_done(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// So many bytes that were done are to be done once more.
    pub fn bytes_again(&self, bytes: u64) {
        self.bar.dec(bytes);
    }

    /// The run has so many rows now.
    pub fn rows(&self, rows: u64) {
        self.bar.set_message(counted(rows, "row", "rows"));
    }

    /// Another minute has passed of a run over bytes, which took so many seconds until now.
    pub fn minute_of_bytes(&self, elapsed_s: f64) {
        let Some(say) = &self.line else { return };
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
        let left = match left_s(done, all, elapsed_s) {
            Some(left_s) => {
                let left = humantime::format_duration(Duration::from_secs(left_s));
                format!(", {left} to go")
            }
            None => String::new(),
        };
        say(&format!(
            "{} of {}, {}{left}",
            size(done),
            size(all),
            self.bar.message()
        ));
    }

    /// One more slice is done; the run has so many rows now.
    pub fn slice_done(&self, rows: u64) {
        self.bar.inc(1);
        self.bar.set_message(counted(rows, "row", "rows"));
    }

    /// Another minute has passed, in which so many requests were sent since the run began.
    pub fn minute(&self, requests: u64) {
        if let Some(say) = &self.line {
            say(&format!(
                "{} of {}, {}, {}",
                number(self.bar.position()),
                counted(self.bar.length().unwrap_or_default(), "slice", "slices"),
                self.bar.message(),
                counted(requests, "request", "requests")
            ));
        }
    }

    /// Takes the bar away: the report follows.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Draws the view anew until it is taken away: what it says changes while nothing comes.
async fn draw(bar: ProgressBar, clock: Arc<dyn Clock>) {
    while !bar.is_finished() {
        bar.tick();
        clock.sleep(DRAWN_EVERY).await;
    }
}

/// The seconds that the rest takes at the pace of what is done; `None` where nothing tells.
fn left_s(done: u64, all: u64, elapsed_s: f64) -> Option<u64> {
    if done == 0 || done >= all {
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a guess for people, never negative"
    )]
    let left_s = (elapsed_s * (all - done) as f64 / done as f64).ceil() as u64;
    Some(left_s)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_minute_of_bytes_says_what_is_done_and_how_long_the_rest_takes() {
        const MIB: u64 = 1024 * 1024;
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let said = Arc::clone(&lines);
        let progress = Progress::lines(move |line| said.lock().unwrap().push(line.to_owned()));
        progress.begin_bytes(400 * MIB);
        progress.minute_of_bytes(60.0);
        progress.bytes_done(60 * MIB);
        progress.bytes_done(40 * MIB);
        progress.rows(5_000);
        progress.minute_of_bytes(120.0);
        progress.bytes_done(300 * MIB);
        progress.minute_of_bytes(180.0);
        assert_eq!(
            *lines.lock().unwrap(),
            [
                "0 B of 400.0 MiB, no rows yet",
                "100.0 MiB of 400.0 MiB, 5,000 rows, 6m to go",
                "400.0 MiB of 400.0 MiB, 5,000 rows"
            ]
        );
    }
}
