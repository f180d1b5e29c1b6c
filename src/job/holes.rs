//! What is kept of a stretch of a slice that the service does not give.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::commit::CommittedHole;
use crate::commit::SliceCounts;
use crate::scan::Hole;

/// The reason under which the bytes are kept that came in place of a page.
const UNREADABLE_PAGE: &str = "unreadable_page";

/// A hole as a commit names it, and the reject that keeps what came in place of its page: a line of
/// JSON, in base64 where it was no text; empty where nothing came.
pub(crate) fn keep(hole: Hole, counts: &mut SliceCounts) -> (CommittedHole, String) {
    let Hole {
        range,
        reason,
        body,
    } = hole;
    let mut line = String::new();
    if !body.is_empty() {
        let mut reject = json!({
            "reason": UNREADABLE_PAGE,
            "place": reason,
            "from_ms": range.from_ms,
            "until_ms": range.until_ms,
        });
        let (key, text) = match String::from_utf8(body) {
            Ok(text) => ("text", text),
            Err(error) => ("base64", BASE64_STANDARD.encode(error.as_bytes())),
        };
        reject[key] = text.into();
        line = reject.to_string() + "\n";
        *counts
            .rejects
            .entry(UNREADABLE_PAGE.to_owned())
            .or_default() += 1;
        counts.copies += 1;
    }
    let hole = CommittedHole {
        from_ms: range.from_ms,
        until_ms: range.until_ms,
        reason,
    };
    (hole, line)
}
