//! How many list elements of one record are taken apart.

use crate::text::outline::elements_up_to;

/// Elements, over all lists of a record. A list for which there is no room stays as it is: its column
/// is null and its text goes to `unmapped`. Columns of many tiny elements take far more memory than
/// their text does.
pub(super) const MAX_ELEMENTS: usize = 1 << 16;
/// So many elements of a list are taken apart before it is looked at whole: most lists are shorter.
const FEW_ELEMENTS: usize = 64;

/// What is left of the bound in one record.
#[derive(Debug)]
pub(super) struct Room {
    left: usize,
}

impl Room {
    /// The room of a record.
    pub(super) fn new() -> Self {
        Self { left: MAX_ELEMENTS }
    }

    /// Takes room for one more element of the list that begins at `start`, of which so many were taken
    /// apart; false where the list has more elements than are left.
    #[inline]
    pub(super) fn take(&mut self, text: &str, start: usize, before: usize) -> bool {
        if before < FEW_ELEMENTS {
            return self.take_some(1);
        }
        // All others were taken together.
        before > FEW_ELEMENTS || self.take_rest(&text[start..], before)
    }

    fn take_rest(&mut self, list: &str, before: usize) -> bool {
        elements_up_to(list, before + self.left)
            .is_some_and(|elements| self.take_some(elements.saturating_sub(before)))
    }

    fn take_some(&mut self, elements: usize) -> bool {
        let left = self.left.checked_sub(elements);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether there is room for all elements of a list.
    fn take_all(room: &mut Room, elements: usize) -> bool {
        let list = format!("[{}]", vec!["0"; elements].join(","));
        (0..elements).all(|before| room.take(&list, 0, before))
    }

    #[test]
    fn lists_share_the_room_of_their_record() {
        let mut room = Room::new();
        assert!(take_all(&mut room, MAX_ELEMENTS / 2) && take_all(&mut room, 0));
        assert!(take_all(&mut room, MAX_ELEMENTS / 2 - 1));
        assert!(take_all(&mut room, 1) && !take_all(&mut room, 1));
        assert!(take_all(&mut Room::new(), MAX_ELEMENTS));
    }

    #[test]
    fn a_list_that_is_too_long_takes_few_elements() {
        let mut room = Room::new();
        assert!(!take_all(&mut room, MAX_ELEMENTS + 1));
        assert!(take_all(&mut room, MAX_ELEMENTS - FEW_ELEMENTS));
    }
}
