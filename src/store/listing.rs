//! Whether an answer is the listing that was asked for.
//!
//! The parsers of listings take any document for one, and find nothing listed in it: an error document or
//! a proxy's page that comes with 200 would say that nothing is there.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::error_document::Refusal;

/// What opens a page of objects of S3 and Google.
pub(super) const OF_OBJECTS: &str = "ListBucketResult";
/// What opens a page of objects of Azure.
pub(super) const OF_BLOBS: &str = "EnumerationResults";
/// What opens a page of uploads that were not ended.
pub(super) const OF_UPLOADS: &str = "ListMultipartUploadsResult";

/// A longer name is not repeated: it may be anybody's.
const MAX_NAME: usize = 40;

/// A listing was asked for, and something else came with 200.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what came is not a listing: {came}")]
pub(super) struct NoListing {
    came: String,
}

impl NoListing {
    /// The same with what the store said in it.
    pub(super) fn saying(self, said: Option<&Refusal>) -> Self {
        let Some(Refusal { code, words, .. }) = said else {
            return self;
        };
        let came = format!("{}, {code} {words}", self.came)
            .trim_end()
            .to_owned();
        Self { came }
    }
}

/// Looks at the first element of an answer.
///
/// # Errors
/// It is not `root`.
pub(super) fn check(body: &[u8], root: &str) -> Result<(), NoListing> {
    let came = match first_element(body) {
        Some(name) if name == root => return Ok(()),
        Some(name) if is_plain(&name) => format!("an answer with <{name}>"),
        _ if body.is_empty() => "an empty answer".to_owned(),
        _ => "an answer that is not XML".to_owned(),
    };
    Err(NoListing { came })
}

fn is_plain(name: &str) -> bool {
    let is_of_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    name.len() <= MAX_NAME && name.bytes().all(is_of_name)
}

/// The name of a document's first element, without its prefix.
fn first_element(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}').trim_start());
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element) => {
                let name = element.local_name();
                return Some(String::from_utf8_lossy(name.as_ref()).into_owned());
            }
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Text(text) if text.iter().all(u8::is_ascii_whitespace) => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_known_by_its_first_element() {
        for listing in [
            "<ListBucketResult/>",
            "\u{feff}<?xml version=\"1.0\"?>\n<!-- x -->\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name></ListBucketResult>",
            "<s3:ListBucketResult xmlns:s3=\"x\"></s3:ListBucketResult>",
        ] {
            assert_eq!(check(listing.as_bytes(), OF_OBJECTS), Ok(()), "{listing}");
        }
    }

    #[test]
    fn what_is_no_listing_is_refused_and_named() {
        for (body, came) in [
            ("", "an empty answer"),
            ("{\"Contents\":[]}", "an answer that is not XML"),
            (
                "ListBucketResult <ListBucketResult/>",
                "an answer that is not XML",
            ),
            (
                "<!DOCTYPE html>\n<html><body/></html>",
                "an answer with <html>",
            ),
            (
                "<Error><Code>SlowDown</Code></Error>",
                "an answer with <Error>",
            ),
            (
                "<ListAllMyBucketsResult/>",
                "an answer with <ListAllMyBucketsResult>",
            ),
            (
                "<ListMultipartUploadsResult/>",
                "an answer with <ListMultipartUploadsResult>",
            ),
        ] {
            let refused = check(body.as_bytes(), OF_OBJECTS).unwrap_err();
            let said = format!("what came is not a listing: {came}");
            assert_eq!(refused.to_string(), said, "{body}");
        }
    }
}
