//! Members in their usual form: the key that followed the last time, and behind it a plain value of the
//! kind that is expected. A run of them is read without a look at anything else.

use super::grammar::{self, Open};
use super::leaf::is_usable_time;
use super::number::{plain_decimal, plain_integer};
use super::slots::{Slots, text_slot};
use super::tree::{Expects, Node, NodeId, ROOT};
use crate::schema::Kind;
use crate::text::look::{space, string_stop};

/// Where the walk is in an object that the schema knows.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) node: NodeId,
    /// Its table's row.
    pub(super) row: usize,
    /// Its number: a child with it was seen in this object.
    pub(super) stamp: u64,
    /// The child that came last.
    pub(super) before: NodeId,
}

/// What a run of plain members stops at.
#[derive(Debug)]
pub(super) enum Stop {
    /// A key that was not guessed.
    Key,
    /// A value of this child that is not plain.
    Value(NodeId),
    /// The last value's end: no comma is there.
    End,
}

impl Place {
    /// What came last in the object's place, or in the place of its child before.
    #[inline]
    pub(super) fn guesses<'n>(&self, nodes: &'n mut [Node]) -> &'n mut [NodeId; 2] {
        if self.before == ROOT {
            &mut nodes[usize::from(self.node)].first
        } else {
            &mut nodes[usize::from(self.before)].after
        }
    }

    /// Reads plain members from `at` on: why it stops, and where.
    pub(super) fn read_plain(
        &mut self,
        text: &[u8],
        nodes: &mut [Node],
        slots: &mut [Slots],
        open: &mut Open,
        mut at: usize,
    ) -> (Stop, usize) {
        loop {
            let guesses = *self.guesses(nodes);
            let Some((child, value)) = passed(nodes, guesses, text, at) else {
                return (Stop::Key, at);
            };
            let value = space(text, value);
            let node = &mut nodes[usize::from(child)];
            let Expects::Leaf(kind, leaf) = node.expects else {
                return (Stop::Value(child), value);
            };
            let Some((slot, end)) =
                plain(kind, text, value, open).filter(|_| node.seen != self.stamp)
            else {
                return (Stop::Value(child), value);
            };
            node.seen = self.stamp;
            self.before = child;
            slots[usize::from(leaf)].set(self.row, slot);
            if text.get(end) != Some(&b',') {
                return (Stop::End, end);
            }
            at = space(text, end + 1);
        }
    }
}

/// The child whose key stands at `at`, if it is one of the two that were guessed, and the position behind.
#[inline]
fn passed(nodes: &[Node], guesses: [NodeId; 2], text: &[u8], at: usize) -> Option<(NodeId, usize)> {
    let here = |guess: NodeId| Some((guess, nodes[usize::from(guess)].pass(text, at)?));
    here(guesses[0]).or_else(|| here(guesses[1]))
}

/// A plain value of a kind: its slot, and where it ends.
#[inline]
fn plain(kind: Kind, text: &[u8], at: usize, open: &mut Open) -> Option<(u64, usize)> {
    // Most values are text.
    if kind == Kind::String {
        return plain_text(text, at);
    }
    match kind {
        Kind::Int64 => {
            let (value, end) = plain_integer(text, at)?;
            Some((value.cast_unsigned(), end))
        }
        Kind::Time => {
            let (time_ms, end) = plain_integer(text, at)?;
            is_usable_time(time_ms).then(|| ((time_ms * 1_000).cast_unsigned(), end))
        }
        Kind::Double => {
            let (value, end) = plain_decimal(text, at)?;
            Some((value.to_bits(), end))
        }
        Kind::Bool => match text.get(at..)? {
            [b't', b'r', b'u', b'e', ..] => Some((1, at + 4)),
            [b'f', b'a', b'l', b's', b'e', ..] => Some((0, at + 5)),
            _ => None,
        },
        Kind::Json => {
            let end = grammar::value(text, at, open).ok()?;
            Some((text_slot(at, end), end))
        }
        // Where its elements end is said at the row's end.
        Kind::StringList => text.get(at..)?.starts_with(b"[]").then_some((0, at + 2)),
        Kind::String | Kind::ObjectList => None,
    }
}

/// A string without escapes that is not empty: its slot, and where it ends.
#[inline]
pub(super) fn plain_text(text: &[u8], at: usize) -> Option<(u64, usize)> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let end = string_stop(text, at + 1);
    let is_plain = text.get(end) == Some(&b'"') && end > at + 1;
    is_plain.then(|| (text_slot(at + 1, end), end + 1))
}
