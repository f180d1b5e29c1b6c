//! Numbers in names.

/// Reads a number that is written in ASCII digits and nothing else; `None` where it is not, or is too
/// large.
pub(crate) fn digits(text: &str) -> Option<u32> {
    // `parse` takes a sign too.
    let are_digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| are_digits)
}
