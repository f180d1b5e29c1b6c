//! How many list elements of one record are taken apart.

use crate::text::outline::elements_up_to;

/// Elements, over all lists of a record. A list for which there is no room stays as it is: its column
/// is null and its text goes to `unmapped`. Columns of many tiny elements take far more memory than
/// their text does.
pub(super) const MAX_ELEMENTS: usize = 1 << 16;

/// What is left of the bound in one record.
#[derive(Debug, Default)]
pub(super) struct Room {
    left: usize,
    /// Whether the record is long enough to reach the bound; most are far too short.
    is_counted: bool,
}

impl Room {
    /// The room of a record of so many bytes.
    pub(super) fn of_record(bytes: usize) -> Self {
        Self {
            left: MAX_ELEMENTS,
            // An element takes a byte, and so does what comes before it.
            is_counted: bytes / 2 > MAX_ELEMENTS,
        }
    }

    /// Takes room for the list at the begin of a text; false where it has more elements than are left.
    pub(super) fn take(&mut self, text: &str) -> bool {
        if !self.is_counted {
            return true;
        }
        let elements = elements_up_to(text, self.left);
        self.left -= elements.unwrap_or(0);
        elements.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_share_the_room_of_their_record() {
        let half = format!("[{}0]", "0,".repeat(MAX_ELEMENTS / 2 - 1));
        let mut room = Room::of_record(3 * MAX_ELEMENTS);
        assert!(room.take(&half) && room.take("[]") && room.take(&half));
        assert!(room.take("[]") && !room.take("[0]"));
        assert!(Room::of_record(2 * MAX_ELEMENTS).take(&half));
    }
}
