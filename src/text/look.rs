//! Looking ahead in text, many bytes at a time.

use wide::{u8x16, u8x32};

/// As many bytes of a string are looked at together, and of a number or a word, which are shorter.
const WIDTH: usize = 32;
const SCALAR_WIDTH: usize = 16;

/// The position from `at` of the first byte that a string cannot hold as it is: a quote, a backslash
/// or a control character; the length of the text if there is none.
#[inline]
pub fn string_stop(text: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = chunk::<WIDTH>(text, at) {
        let bytes = u8x32::new(*chunk);
        let stops = bytes.simd_eq(u8x32::splat(b'"'))
            | bytes.simd_eq(u8x32::splat(b'\\'))
            | bytes.min(u8x32::splat(0x1f)).simd_eq(bytes);
        let stops = stops.to_bitmask();
        if stops != 0 {
            return at + stops.trailing_zeros() as usize;
        }
        at += WIDTH;
    }
    let rest = text.get(at..).unwrap_or_default();
    let stops = |b: &u8| *b < 0x20 || *b == b'"' || *b == b'\\';
    at + rest.iter().position(stops).unwrap_or(rest.len())
}

/// The position from `at` of the first byte that ends a number or a word of JSON: a comma, a closing bracket
/// or white space; the length of the text if there is none.
#[inline]
pub fn scalar_stop(text: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = chunk::<SCALAR_WIDTH>(text, at) {
        let bytes = u8x16::new(*chunk);
        let stops = bytes.simd_eq(u8x16::splat(b','))
            | bytes.simd_eq(u8x16::splat(b'}'))
            | bytes.simd_eq(u8x16::splat(b']'))
            | bytes.min(u8x16::splat(b' ')).simd_eq(bytes);
        let stops = stops.to_bitmask();
        if stops != 0 {
            return at + stops.trailing_zeros() as usize;
        }
        at += SCALAR_WIDTH;
    }
    let rest = text.get(at..).unwrap_or_default();
    let stops = |b: &u8| *b <= b' ' || matches!(b, b',' | b'}' | b']');
    at + rest.iter().position(stops).unwrap_or(rest.len())
}

/// So many bytes from `at`, if there are as many.
#[inline]
pub fn chunk<const N: usize>(text: &[u8], at: usize) -> Option<&[u8; N]> {
    text.get(at..)?.first_chunk()
}

/// The position from `at` of the first byte that is not white space.
#[inline]
pub fn space(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(byte) if *byte <= b' ' => behind_space(text, at),
        _ => at,
    }
}

#[cold]
fn behind_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stop_is_the_first_byte_that_stops(text in "[a-zé\"\\\\\u{1}\u{1f}\u{7f} ]{0,80}", at in 0_usize..90) {
            let stops = |b: &u8| matches!(b, 0..=0x1f | b'"' | b'\\');
            let bytes = text.as_bytes();
            let found = (at..bytes.len()).find(|at| stops(&bytes[*at]));
            prop_assert_eq!(string_stop(bytes, at), found.unwrap_or(bytes.len().max(at)));
        }

        #[test]
        fn a_scalar_ends_before_the_first_byte_that_ends_it(text in "[0-9a-z.+,\\]} \n\t]{0,60}", at in 0_usize..70) {
            let stops = |b: &u8| matches!(b, b',' | b']' | b'}' | b' ' | b'\n' | b'\t');
            let bytes = text.as_bytes();
            let found = (at..bytes.len()).find(|at| stops(&bytes[*at]));
            prop_assert_eq!(scalar_stop(bytes, at), found.unwrap_or(bytes.len().max(at)));
        }
    }
}
