//! Number tokens of JSON: what they say exactly, and the whole number nearest below.

use crate::text::look::chunk;

/// The whole number that a token of JSON's number grammar says exactly, as plain decimal digits:
/// writing the result back gives the same token.
pub(super) fn exact_integer(token: &str) -> Option<i64> {
    // `-0` would come back as `0`.
    if token == "-0" {
        None
    } else {
        token.parse().ok()
    }
}

/// The greatest whole number that is not above the value of a number token, and whether the
/// value is that number. `None` where it does not fit 64 bits or the token is not a number.
pub(super) fn floor(token: &str) -> Option<(i64, bool)> {
    let (negative, unsigned) = match token.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, token),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, clamped(exponent)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || !(whole.bytes().chain(fraction.bytes())).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut digits: String = [whole, fraction].concat();
    let kept = digits.trim_end_matches('0').len();
    // The value is `digits × 10^scale`.
    let scale =
        exponent - i64::try_from(fraction.len()).ok()? + i64::try_from(digits.len() - kept).ok()?;
    digits.truncate(kept);
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some((0, true));
    }
    let length = i64::try_from(digits.len()).ok()?;
    // 64 bits hold no more than 19 digits.
    if length + scale > 19 {
        return None;
    }
    let (magnitude, exact) = if scale >= 0 {
        let power = 10_i128.checked_pow(u32::try_from(scale).ok()?)?;
        (digits.parse::<i128>().ok()?.checked_mul(power)?, true)
    } else {
        let kept = usize::try_from((length + scale).max(0)).ok()?;
        // Trailing zeros are gone, so what is cut off is not zero.
        (
            if kept == 0 {
                0
            } else {
                digits[..kept].parse().ok()?
            },
            false,
        )
    };
    let value = match (negative, exact) {
        (false, _) => magnitude,
        (true, true) => -magnitude,
        (true, false) => -magnitude - 1,
    };
    Some((i64::try_from(value).ok()?, exact))
}

/// An exponent, cut to a size that cannot overflow: beyond it every value is 0 or too large.
fn clamped(exponent: &str) -> Option<i64> {
    const BOUND: i64 = 1 << 40;
    let digits = exponent.trim_start_matches(['+', '-']);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let magnitude = digits
        .parse::<i64>()
        .map_or(BOUND, |value| value.min(BOUND));
    Some(if exponent.starts_with('-') {
        -magnitude
    } else {
        magnitude
    })
}

/// Powers of ten.
const POWERS: [u64; 16] = {
    let mut powers = [1; 16];
    let mut exponent = 1;
    while exponent < 16 {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

/// A plain whole number of at most 15 digits that begins at `at` and is a member's or an element's whole
/// value: it, and the position behind. `None` where it is anything else, which need not be an error.
#[inline]
pub(super) fn plain_integer(text: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = text.get(at) == Some(&b'-');
    let start = at + usize::from(negative);
    let (value, end) = digits(text, start)?;
    let length = end - start;
    // Neither `01` nor `-0` is plain.
    let is_short = length == 1 && (value > 0 || !negative);
    let is_plain = (is_short || (length > 0 && text[start] != b'0'))
        && matches!(text.get(end), Some(b',' | b'}' | b']'));
    let value = value.cast_signed();
    is_plain.then_some((if negative { -value } else { value }, end))
}

/// A short decimal that begins at `at` and is a whole value: what `serde_json` prints as the same
/// token, and the position behind. `None` where that is not certain.
///
/// Up to 15 digits a decimal and its nearest double belong to each other, and with the power of ten
/// exact, one division rounds to that double.
#[inline]
pub(super) fn plain_decimal(text: &[u8], at: usize) -> Option<(f64, usize)> {
    let negative = text.get(at) == Some(&b'-');
    let start = at + usize::from(negative);
    let (whole, point) = digits(text, start)?;
    let (fraction, end) = digits(text, point + 1)?;
    let (before, after) = (point - start, end.checked_sub(point + 1)?);
    // Below a thousandth, an exponent may be printed.
    let is_plain = before > 0
        && after > 0
        && before + after <= 15
        && text[point] == b'.'
        && (text[start] != b'0' || before == 1)
        && (text[end - 1] != b'0' || after == 1)
        && (whole > 0 || (fraction > 0 && after <= 3))
        && matches!(text.get(end), Some(b',' | b'}' | b']'));
    if !is_plain {
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "15 digits are exact in a double"
    )]
    let value = (whole * POWERS[after] + fraction) as f64 / POWERS[after] as f64;
    Some((if negative { -value } else { value }, end))
}

/// What up to 15 digits from `at` say, and the position behind them; `None` where there are more, or
/// where the text ends within 16 bytes.
#[inline]
fn digits(text: &[u8], at: usize) -> Option<(u64, usize)> {
    let [first, second] = chunk::<16>(text, at)?.as_chunks::<8>().0 else {
        unreachable!("twice eight are sixteen");
    };
    let (value, count) = eight_digits(u64::from_le_bytes(*first));
    if count < 8 {
        return Some((value, at + count as usize));
    }
    let (rest, count) = eight_digits(u64::from_le_bytes(*second));
    (count < 8).then(|| {
        (
            value * POWERS[count as usize] + rest,
            at + 8 + count as usize,
        )
    })
}

/// What the digits at the beginning of eight bytes say, and how many there are. All of them are read at
/// once, in the bytes of one word: first pairs, then fours, then all eight.
#[inline]
fn eight_digits(bytes: u64) -> (u64, u32) {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let digits = bytes.wrapping_sub(ZEROS);
    // Above 9 there is a carry, below 0 a borrow; what they spill reaches only later bytes.
    let others = (bytes.wrapping_add(0x4646_4646_4646_4646) | digits) & HIGH_BITS;
    let count = others.trailing_zeros() / 8;
    if count == 0 {
        return (0, 0);
    }
    // Leading zeros take the place of what is not a digit.
    let digits = digits << (64 - 8 * count);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let even = pairs & 0x0000_00ff_0000_00ff;
    let odd = (pairs >> 16) & 0x0000_00ff_0000_00ff;
    let sum = even
        .wrapping_mul(0x000f_4240_0000_0064)
        .wrapping_add(odd.wrapping_mul(0x0000_2710_0000_0001));
    (sum >> 32, count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A value near the end of a text is not read at once.
    const BEHIND: &str = "               ";

    #[test]
    fn the_floor_of_odd_tokens() {
        let cases = [
            ("0", Some((0, true))),
            ("-0", Some((0, true))),
            ("-0.0", Some((0, true))),
            ("0e999999999999999999999", Some((0, true))),
            ("1.5", Some((1, false))),
            ("-1.5", Some((-2, false))),
            ("15e-1", Some((1, false))),
            ("1e3", Some((1000, true))),
            ("1.25E+2", Some((125, true))),
            ("1595096313000.0", Some((1_595_096_313_000, true))),
            ("9223372036854775807", Some((i64::MAX, true))),
            ("-9223372036854775808", Some((i64::MIN, true))),
            ("9223372036854775808", None),
            ("1e300", None),
            ("1e400", None),
            ("1e-400", Some((0, false))),
            ("-1e-400", Some((-1, false))),
            ("1e-99999999999999999999", Some((0, false))),
            ("1234567890123456789012345", None),
            ("", None),
            ("abc", None),
            ("1e", None),
            ("0e", None),
            ("0ex", None),
            ("0e1x", None),
        ];
        for (token, expected) in cases {
            assert_eq!(floor(token), expected, "{token}");
        }
    }

    proptest! {
        #[test]
        fn the_floor_of_a_decimal_is_its_whole_part(value in any::<i32>(), fraction in 0_u32..1000) {
            let token = format!("{value}.{fraction:03}");
            let below = i64::from(value) - i64::from(token.starts_with('-') && fraction > 0);
            prop_assert_eq!(floor(&token), Some((below, fraction == 0)));
        }

        #[test]
        fn a_plain_integer_is_what_its_token_says_exactly(value in any::<i64>(), digits in 0_u32..20) {
            let value = value / 10_i64.pow(digits.min(18));
            let text = format!("{value},{BEHIND}");
            let length = value.unsigned_abs().to_string().len();
            let expected = (length <= 15).then(|| (value, text.find(',').expect("it is there")));
            prop_assert_eq!(plain_integer(text.as_bytes(), 0), expected);
        }

        #[test]
        fn what_is_plain_is_exact(token in "-?[0-9]{1,20}(\\.[0-9]{1,17})?([eE.-][0-9]?)?", end in "[,\\]} x]", space in 0_usize..20) {
            let text = format!("{token}{end}{}", " ".repeat(space));
            if let Some((value, behind)) = plain_integer(text.as_bytes(), 0) {
                prop_assert_eq!(value.to_string(), &text[..behind]);
                prop_assert_eq!(behind, token.len());
            }
            if let Some((value, behind)) = plain_decimal(text.as_bytes(), 0) {
                prop_assert_eq!(serde_json::to_string(&value).expect("a number"), &text[..behind]);
                prop_assert_eq!(value.to_bits(), token.parse::<f64>().expect("a number").to_bits());
            }
        }

        #[test]
        fn short_decimals_are_plain(whole in 0_u32..1_000_000, fraction in 1_u32..100_000, negative in any::<bool>()) {
            let digits = format!("{fraction:05}");
            let sign = if negative { "-" } else { "" };
            let token = format!("{sign}{whole}.{}", digits.trim_end_matches('0'));
            let plain = plain_decimal(format!("{token}}}{BEHIND}").as_bytes(), 0).is_some();
            prop_assert_eq!(plain, whole > 0 || token.len() <= sign.len() + 5, "{}", token);
        }

        #[test]
        fn an_exact_integer_is_written_back_as_it_was(value in any::<i64>()) {
            prop_assert_eq!(exact_integer(&value.to_string()), Some(value));
            prop_assert_eq!(floor(&value.to_string()), Some((value, true)));
        }
    }
}
