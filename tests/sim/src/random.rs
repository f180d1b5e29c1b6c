//! Seeded randomness (splitmix64): the same seed gives the same tenant on every machine.
//!
//! Not for secrets, and not a general library: only the draws that the generator needs.

/// A stream of pseudo-random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        finish(self.0)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound.max(1)
    }

    /// A number in `from..until`; `from` when the range is empty.
    pub(crate) fn between(&mut self, from: i64, until: i64) -> i64 {
        let span = u64::try_from(until.saturating_sub(from)).unwrap_or(0);
        from.saturating_add_unsigned(self.below(span))
    }

    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("an index below a length is a usize")
    }

    pub(crate) fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.index(from.len())]
    }

    /// `digits` lower-case hexadecimal digits.
    pub(crate) fn hex(&mut self, digits: usize) -> String {
        let mut text = vec![0; digits];
        for piece in text.chunks_mut(16) {
            self.write_hex(piece);
        }
        String::from_utf8(text).expect("hexadecimal digits are ASCII")
    }

    /// 8-4-4-4-12 hexadecimal digits.
    pub(crate) fn guid(&mut self) -> String {
        let mut digits = [0; 32];
        let (left, right) = digits.split_at_mut(16);
        self.write_hex(left);
        self.write_hex(right);
        let mut text = Vec::with_capacity(36);
        for (at, range) in [0..8, 8..12, 12..16, 16..20, 20..32]
            .into_iter()
            .enumerate()
        {
            if at > 0 {
                text.push(b'-');
            }
            text.extend_from_slice(&digits[range]);
        }
        String::from_utf8(text).expect("hexadecimal digits are ASCII")
    }

    /// Fills at most sixteen bytes with digits.
    fn write_hex(&mut self, digits: &mut [u8]) {
        let mut bits = self.bits();
        for digit in digits {
            let value = u8::try_from(bits & 15).expect("four bits are a byte");
            *digit = value + if value < 10 { b'0' } else { b'a' - 10 };
            bits >>= 4;
        }
    }
}

/// Two numbers as one, so that neighbouring inputs have unrelated results.
pub(crate) fn mix(left: u64, right: u64) -> u64 {
    finish(finish(left ^ 0x6a09_e667_f3bc_c909).wrapping_add(right))
}

/// A text as a number; not collision-proof against an adversary, good for names.
pub(crate) fn hash_text(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        mix(hash, u64::from(byte))
    })
}

fn finish(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
