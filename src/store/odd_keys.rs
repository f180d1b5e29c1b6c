//! Keys that no request can name, taken out of listings.
//!
//! Others may put objects under keys with an empty part, with `.` or `..` as a part, or with control
//! characters. The parser of listings refuses a whole page for one of them, which would hide the lake. Here
//! they are taken out before, and kept to be named. An empty object whose key ends in `/` stands for a folder.

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::path::Path;
use parking_lot::Mutex;
use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::Event;
use tracing::warn;

use super::Stranger;
use crate::text::plain::one_line;

/// Elements of an object, by S3 and by Azure.
const OBJECTS: [&[u8]; 2] = [b"Contents", b"Blob"];
/// Elements of what the keys of several objects begin with.
const PREFIXES: [&[u8]; 2] = [b"CommonPrefixes", b"BlobPrefix"];
/// Their children with the key, and with the size.
const KEYS: [&[u8]; 3] = [b"Key", b"Name", b"Prefix"];
const SIZES: [&[u8]; 2] = [b"Size", b"Content-Length"];
/// So many are kept, at most.
const MOST_KEYS: usize = 1_000;

/// The keys that were taken out of the listings of a store.
#[derive(Debug, Clone, Default)]
pub(super) struct OddKeys(Arc<Mutex<BTreeSet<String>>>);

impl OddKeys {
    /// What they are below a prefix, as far as a lake's `verify` names them.
    pub(super) fn below(&self, prefix: &Path) -> Vec<Stranger> {
        let keys = self.0.lock();
        let below = keys.iter().map(|key| {
            let inside = key.strip_prefix(prefix.as_ref());
            let path = inside.map_or(key.as_str(), |inside| {
                inside.strip_prefix('/').unwrap_or(inside)
            });
            let is = if key.ends_with('/') {
                "its key ends in '/', as if it were a folder; it alone is meant, not what is below it"
            } else {
                "no request can name its key"
            };
            let (path, is) = (path.to_owned(), is.to_owned());
            Stranger { path, is }
        });
        below.collect()
    }

    /// A page of a listing without them.
    pub(super) fn take_out(&self, page: &[u8]) -> Option<String> {
        let taken = Taken::of(std::str::from_utf8(page).ok()?)?;
        let mut keys = self.0.lock();
        for key in taken.keys {
            if keys.len() < MOST_KEYS && !keys.contains(&key) {
                warn!(key = %one_line(&key), "an object is passed over: no request can name its key");
                keys.insert(key);
                if keys.len() == MOST_KEYS {
                    warn!(
                        "{MOST_KEYS} such objects are named; more are passed over without a word"
                    );
                }
            }
        }
        Some(taken.page)
    }
}

/// A page and what it had.
struct Taken {
    page: String,
    keys: Vec<String>,
}

impl Taken {
    /// `None` where all of it can stay, or it is no XML.
    fn of(page: &str) -> Option<Self> {
        let page = page.trim_start_matches('\u{feff}');
        let mut reader = Reader::from_str(page);
        let (mut kept, mut copied, mut keys) = (String::new(), 0, Vec::new());
        loop {
            let start = at(reader.buffer_position())?;
            let element = match reader.read_event().ok()? {
                Event::Eof => break,
                Event::Start(element) => element,
                _ => continue,
            };
            let name = element.local_name();
            let is_object = OBJECTS.contains(&name.as_ref());
            if !is_object && !PREFIXES.contains(&name.as_ref()) {
                continue;
            }
            let inside = reader.read_to_end(element.name()).ok()?;
            let inside = page.get(at(inside.start)?..at(inside.end)?)?;
            let key = value_of(inside, &KEYS)?;
            let path = Path::parse(&key);
            let (is_path, is_exact) = match &path {
                Ok(path) => (true, path.as_ref() == key),
                Err(_) => (false, false),
            };
            if is_exact || is_path && !is_object {
                continue;
            }
            kept.push_str(page.get(copied..start)?);
            copied = at(reader.buffer_position())?;
            let is_empty = value_of(inside, &SIZES).is_some_and(|size| size == "0");
            // An empty object whose key is a path but for the slash only stands for a folder.
            let is_marker = is_path && is_empty;
            if is_object && !is_marker {
                keys.push(key);
            }
        }
        if copied == 0 {
            return None;
        }
        kept.push_str(page.get(copied..)?);
        Some(Self { page: kept, keys })
    }
}

/// The text of the first element with one of these names.
fn value_of(elements: &str, names: &[&[u8]]) -> Option<String> {
    let mut reader = Reader::from_str(elements);
    loop {
        match reader.read_event().ok()? {
            Event::Eof => return None,
            Event::Start(element) if names.contains(&element.local_name().as_ref()) => {
                let inside = reader.read_to_end(element.name()).ok()?;
                let text = elements.get(at(inside.start)?..at(inside.end)?)?;
                return unescape(text).ok().map(std::borrow::Cow::into_owned);
            }
            _ => {}
        }
    }
}

fn at(position: u64) -> Option<usize> {
    usize::try_from(position).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[(&str, u64)]) -> String {
        let entry = |(key, size): &(&str, u64)| {
            format!(
                "<Contents><Key>{key}</Key><Owner><ID>x</ID></Owner><Size>{size}</Size></Contents>"
            )
        };
        let entries: String = keys.iter().map(entry).collect();
        format!(
            "<?xml version=\"1.0\"?><ListBucketResult><Name>b</Name>{entries}</ListBucketResult>"
        )
    }

    #[test]
    fn a_page_of_keys_that_can_be_named_stays_as_it_is() {
        let odd = OddKeys::default();
        let plain = page(&[
            ("l/a b", 1),
            ("l/a%2Fb", 1),
            ("l/x &amp; y/ü", 0),
            ("l/.a", 2),
        ]);
        assert_eq!(odd.take_out(plain.as_bytes()), None);
        for other in ["", "<html>", "no XML", "<ListBucketResult>"] {
            assert_eq!(odd.take_out(other.as_bytes()), None, "{other}");
        }
        assert_eq!(odd.below(&Path::from("l")), []);
    }

    #[test]
    fn keys_that_no_request_can_name_are_taken_out_and_kept() {
        let odd = OddKeys::default();
        let keys = [
            ("l//a", 1),
            ("l/b", 1),
            ("l/./c", 1),
            ("l/../d", 0),
            ("l/e/", 0),
            ("l/f/", 7),
            ("l/g&#9;h", 1),
            ("l/&lt;i&gt;", 1),
        ];
        let left = page(&[keys[1], keys[7]]);
        assert_eq!(odd.take_out(page(&keys).as_bytes()), Some(left));
        let strangers = odd.below(&Path::from("l"));
        let paths: Vec<&str> = strangers.iter().map(|odd| odd.path.as_str()).collect();
        // One slash is the one behind the prefix.
        assert_eq!(paths, ["../d", "./c", "/a", "f/", "g\th"]);
    }

    #[test]
    fn azure_says_it_in_other_words() {
        let odd = OddKeys::default();
        let blob = |name: &str| {
            format!(
                "<Blob><Name>{name}</Name><Properties><Content-Length>3</Content-Length></Properties></Blob>"
            )
        };
        let page = |blobs: &str| {
            format!(
                "\u{feff}<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>"
            )
        };
        let all = blob("l/a")
            + &blob("l//b")
            + "<BlobPrefix><Name>l//</Name></BlobPrefix><BlobPrefix><Name>l/c/</Name></BlobPrefix>";
        let left = page(&(blob("l/a") + "<BlobPrefix><Name>l/c/</Name></BlobPrefix>"));
        let left = left.trim_start_matches('\u{feff}');
        assert_eq!(odd.take_out(page(&all).as_bytes()).as_deref(), Some(left));
        assert_eq!(odd.below(&Path::from("l")).len(), 1);
    }
}
