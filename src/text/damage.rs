//! Text that was not all UTF-8 when it came.

use std::ops::Range;

use bytes::Bytes;

/// The most text of a block. A position inside of one is found by going through it.
const BLOCK_BYTES: usize = 1024;

/// Bytes of a text that were no UTF-8, each stretch replaced by U+FFFD.
#[derive(Debug)]
pub struct Damage {
    raw: Bytes,
    /// In the order of the text. There is no entry for every stretch: there may be as many as bytes.
    blocks: Vec<Block>,
}

/// Stretches, and what lies between them: from the beginning of the first to the end of the last.
#[derive(Debug)]
struct Block {
    text: Range<usize>,
    raw: Range<usize>,
}

impl Damage {
    /// Decodes bytes with U+FFFD in place of what is no UTF-8; `None` where all of it is.
    pub fn decode(raw: Vec<u8>) -> (String, Option<Self>) {
        let raw = match String::from_utf8(raw) {
            Ok(text) => return (text, None),
            Err(error) => error.into_bytes(),
        };
        let mut text = String::with_capacity(raw.len());
        let mut blocks: Vec<Block> = Vec::new();
        let mut at = 0;
        for chunk in raw.utf8_chunks() {
            text.push_str(chunk.valid());
            at += chunk.valid().len();
            let invalid = chunk.invalid().len();
            if invalid > 0 {
                let begin = (text.len(), at);
                text.push(char::REPLACEMENT_CHARACTER);
                at += invalid;
                match blocks.last_mut() {
                    Some(block) if text.len() - block.text.start <= BLOCK_BYTES => {
                        block.text.end = text.len();
                        block.raw.end = at;
                    }
                    _ => blocks.push(Block {
                        text: begin.0..text.len(),
                        raw: begin.1..at,
                    }),
                }
            }
        }
        (
            text,
            Some(Self {
                raw: raw.into(),
                blocks,
            }),
        )
    }

    /// All bytes as they came.
    pub fn into_raw(self) -> Vec<u8> {
        self.raw.into()
    }

    /// The bytes of a stretch of the text as they came, if any of them were no UTF-8.
    pub fn raw_record(&self, range: Range<usize>) -> Option<&[u8]> {
        let before = self
            .blocks
            .partition_point(|block| block.text.end <= range.start);
        let next = self.blocks.get(before)?;
        if range.end <= next.text.start {
            return None;
        }
        let raw = &self.raw[self.raw_position(range.start)..self.raw_position(range.end)];
        // It may lie between two stretches of a block.
        std::str::from_utf8(raw).is_err().then_some(raw)
    }

    /// Where a position of the text lies in the raw bytes.
    pub fn raw_position(&self, position: usize) -> usize {
        let begun = self
            .blocks
            .partition_point(|block| block.text.start <= position);
        let Some(block) = self.blocks[..begun].last() else {
            return position;
        };
        if position >= block.text.end {
            return block.raw.end + (position - block.text.end);
        }
        let (mut text, mut at) = (block.text.start, block.raw.start);
        for chunk in self.raw[block.raw.clone()].utf8_chunks() {
            let valid = chunk.valid().len();
            let end = text + valid + char::REPLACEMENT_CHARACTER.len_utf8();
            if position < end {
                return at + (position - text).min(valid);
            }
            text = end;
            at += valid + chunk.invalid().len();
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_of_a_touched_record_are_kept() {
        let raw = b"[{\"a\":\"x\xff\xfey\"},{\"b\":1},{\"c\":\"\xc3\"}]".to_vec();
        let (text, damage) = Damage::decode(raw);
        let damage = damage.unwrap();
        let record = |part: &str| {
            let start = text.find(part).unwrap();
            damage.raw_record(start..start + part.len())
        };
        assert_eq!(
            record("{\"a\":\"x\u{fffd}\u{fffd}y\"}").unwrap(),
            b"{\"a\":\"x\xff\xfey\"}"
        );
        assert_eq!(record("{\"b\":1}"), None);
        assert_eq!(record("{\"c\":\"\u{fffd}\"}").unwrap(), b"{\"c\":\"\xc3\"}");
        assert!(Damage::decode(b"{}".to_vec()).1.is_none());
    }

    /// What is held beside the text, and what is gone through to find a record, stay the same however many
    /// stretches there are.
    #[test]
    fn a_text_without_any_utf_8_costs_little_more_than_its_bytes() {
        let mut raw = b"\xff".repeat(1 << 20);
        raw.extend_from_slice(&b"\xffa".repeat(1 << 19));
        let (text, damage) = Damage::decode(raw);
        let damage = damage.unwrap();
        let held = damage.blocks.len() * size_of::<Block>();
        assert!(held < text.len() / 16, "{held}");
        let longest = damage.blocks.iter().map(|block| block.text.len()).max();
        assert!(longest <= Some(BLOCK_BYTES), "{longest:?}");
    }

    proptest! {
        #[test]
        fn every_piece_of_a_text_has_the_bytes_that_it_was_decoded_from(
            parts in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(vec![
                        &b"\xff"[..], b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", "\u{fffd}".as_bytes(),
                    ]).prop_map(<[u8]>::to_vec),
                    "[a-z\u{e9}]{0,9}".prop_map(String::into_bytes),
                    (0..3 * BLOCK_BYTES).prop_map(|length| vec![b'x'; length]),
                ],
                0..40,
            ),
            repeated in 1..20_usize,
        ) {
            // Commas are no part of any stretch, so that both sides are cut at the same places.
            let mut parts = parts;
            parts.push(parts.concat().repeat(repeated));
            let raw = parts.join(&b',');
            let (text, damage) = Damage::decode(raw);
            let mut start = 0;
            for (part, piece) in parts.iter().zip(text.split(',')) {
                let found = damage.as_ref().and_then(|damage| damage.raw_record(start..start + piece.len()));
                let is_damaged = std::str::from_utf8(part).is_err();
                prop_assert_eq!(found, is_damaged.then_some(part.as_slice()));
                start += piece.len() + 1;
            }
        }
    }
}
