//! Text that was not all UTF-8 when it came.

use std::ops::Range;

use bytes::Bytes;

/// Bytes of a text that were no UTF-8, each stretch replaced by U+FFFD.
#[derive(Debug)]
pub struct Damage {
    raw: Bytes,
    /// For every stretch: where it lies in the text and in the raw bytes.
    stretches: Vec<(Range<usize>, Range<usize>)>,
}

impl Damage {
    /// Decodes bytes with U+FFFD in place of what is no UTF-8; `None` where all of it is.
    pub fn decode(raw: Vec<u8>) -> (String, Option<Self>) {
        let raw = match String::from_utf8(raw) {
            Ok(text) => return (text, None),
            Err(error) => error.into_bytes(),
        };
        let mut text = String::with_capacity(raw.len());
        let mut stretches = Vec::new();
        let mut at = 0;
        for chunk in raw.utf8_chunks() {
            text.push_str(chunk.valid());
            at += chunk.valid().len();
            let invalid = chunk.invalid().len();
            if invalid > 0 {
                let start = text.len();
                text.push(char::REPLACEMENT_CHARACTER);
                stretches.push((start..text.len(), at..at + invalid));
                at += invalid;
            }
        }
        (
            text,
            Some(Self {
                raw: raw.into(),
                stretches,
            }),
        )
    }

    /// All bytes as they came.
    pub fn into_raw(self) -> Vec<u8> {
        self.raw.into()
    }

    /// The bytes of a stretch of the text as they came, if any of them were no UTF-8.
    pub fn raw_record(&self, range: Range<usize>) -> Option<Vec<u8>> {
        let touched = self
            .stretches
            .iter()
            .any(|(text, _)| range.start <= text.start && text.end <= range.end);
        touched.then(|| {
            self.raw[self.raw_position(range.start)..self.raw_position(range.end)].to_vec()
        })
    }

    /// Where a position of the text lies in the raw bytes.
    fn raw_position(&self, position: usize) -> usize {
        let before = self
            .stretches
            .iter()
            .take_while(|(text, _)| text.end <= position)
            .last();
        before.map_or(position, |(text, raw)| raw.end + (position - text.end))
    }
}

#[cfg(test)]
mod tests {
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
}
