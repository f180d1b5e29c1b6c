//! Number tokens of JSON: what they say exactly, and the whole number nearest below.

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
/// value is that number. `None` where it does not fit 64 bits or the token is no number.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        fn an_exact_integer_is_written_back_as_it_was(value in any::<i64>()) {
            prop_assert_eq!(exact_integer(&value.to_string()), Some(value));
            prop_assert_eq!(floor(&value.to_string()), Some((value, true)));
        }
    }
}
