//! Stopping: SIGINT, SIGTERM and SIGHUP, whatever holds the rest of the process up.
//!
//! All that is needed for it is made at the start: later there may be no thread to be had.

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use mdca_lake::clock::{Clock, SystemClock};
use mdca_lake::error::ErrorKind;

/// Whatever held the run up may hold the last message up as well; it has this long.
const SAY_WITHIN: Duration = Duration::from_millis(500);

/// Signals within this time of the first are the same one: `timeout` sends it to a process and then to its
/// group, and a terminal to all that run in it.
const SAME_SIGNAL: Duration = Duration::from_millis(100);

/// Takes the signals from now on. The first makes what is returned true; a later one, or the end of
/// `patience`, ends the process, after `say` has said so.
///
/// On threads and a runtime of their own: a disk that hangs or a reader that no longer reads may hold
/// up every other thread, and must not hold up these.
///
/// # Errors
/// The system has no thread or no signals to give.
pub(crate) fn listen(
    patience: Duration,
    say: impl FnOnce() + Send + 'static,
) -> io::Result<watch::Receiver<bool>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut signals = {
        let _context = runtime.enter();
        Signals::take()?
    };
    let last_words = LastWords::ready(say)?;
    let (interrupt, interrupted) = watch::channel(false);
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let clock = SystemClock::new();
            runtime.block_on(async {
                signals.next().await;
                interrupt.send_replace(true);
                tokio::select! {
                    () = clock.sleep(patience) => {}
                    () = signals.later_one(&clock) => {}
                }
            });
            last_words.say();
            end_now();
        })?;
    Ok(interrupted)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None where the process was started so that it outlives its terminal (`nohup`).
    hangup: Option<Signal>,
}

impl Signals {
    fn take() -> io::Result<Self> {
        // A file that would pass the limit of the process (`ulimit -f`) is one that cannot be written, and
        // not the end: who takes the signal once is not ended by it any more.
        let _ = signal(SignalKind::from_raw(libc::SIGXFSZ))?;
        let hangup = (!ignores_hangup()).then(|| signal(SignalKind::hangup()));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: hangup.transpose()?,
        })
    }

    /// Returns when the process is asked to stop once more.
    async fn later_one(&mut self, clock: &SystemClock) {
        let same = async {
            loop {
                self.next().await;
            }
        };
        tokio::select! {
            () = clock.sleep(SAME_SIGNAL) => {}
            () = same => {}
        }
        self.next().await;
    }

    /// Returns when the process is asked to stop.
    async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether SIGHUP is ignored, as proc(5) tells: the lowest bit of `SigIgn`.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|ignored| ignored & 1 == 1)
}

/// A thread that waits for the last moment.
struct LastWords {
    go: mpsc::Sender<()>,
    said: mpsc::Receiver<()>,
}

impl LastWords {
    fn ready(say: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let ((go, going), (done, said)) = (mpsc::channel(), mpsc::channel());
        std::thread::Builder::new()
            .name("last words".to_owned())
            .spawn(move || {
                if going.recv() == Ok(()) {
                    say();
                    // Whoever waits for this may have given up.
                    let _ = done.send(());
                }
            })?;
        Ok(Self { go, said })
    }

    fn say(self) {
        // Said, or given up: either way the process ends.
        let _ = self.go.send(());
        let _ = self.said.recv_timeout(SAY_WITHIN);
    }
}

/// Ends the process whatever its other threads do. The lake survives it like any crash.
#[expect(clippy::exit, reason = "the other threads may never come back")]
fn end_now() -> ! {
    std::process::exit(i32::from(ErrorKind::Interrupted.exit_code()));
}
