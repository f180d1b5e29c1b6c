//! The terminal on which a view is drawn. The view ends where its text ends, and not at the edge of the
//! screen: what a terminal says by itself (`^C`) stays on its last row, and goes with it.

use std::io;
use std::mem;

use console::Term;
use indicatif::TermLike;
use parking_lot::Mutex;

/// What clears the rest of a row (ECMA-48, "EL").
const CLEAR_REST: &str = "\x1b[K";

/// stderr, a terminal.
#[derive(Debug)]
pub(crate) struct Screen {
    term: Term,
    /// So many spaces were written last, with which a row is filled; of the last row they are not drawn.
    filler: Mutex<usize>,
}

impl Screen {
    pub(crate) fn stderr() -> Self {
        Self {
            term: Term::buffered_stderr(),
            filler: Mutex::default(),
        }
    }

    /// Takes what fills the row that was written last.
    fn take_filler(&self) -> usize {
        mem::take(&mut *self.filler.lock())
    }

    /// Goes on after that row, with something else.
    fn filled(&self) -> io::Result<&Term> {
        let filler = self.take_filler();
        self.term.write_str(&" ".repeat(filler))?;
        Ok(&self.term)
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        self.term.size().1
    }

    fn height(&self) -> u16 {
        self.term.size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.filled()?.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.filled()?.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.filled()?.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.filled()?.move_cursor_left(n)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.filled()?.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        if !text.is_empty() && text.bytes().all(|byte| byte == b' ') {
            *self.filler.lock() += text.len();
            return Ok(());
        }
        self.filled()?.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.filled()?.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        if self.take_filler() > 0 {
            self.term.write_str(CLEAR_REST)?;
        }
        self.term.flush()
    }
}
