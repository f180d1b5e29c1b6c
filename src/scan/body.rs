//! The body of an answer, unpacked while it comes.

use std::io::{self, Write};

use flate2::write::GzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::error::RequestError;
use crate::text::plain::chain;

/// Why a body was not read to its end, and what came of it.
pub(super) enum Unread {
    /// It is longer than allowed.
    TooLong(Vec<u8>),
    /// It came no further, or too slowly, or cannot be unpacked.
    Cut { error: RequestError, body: Vec<u8> },
}

/// What came of a body, unpacked.
pub(super) enum Body {
    Plain(Bounded),
    Gzip(Box<Gzip>),
}

/// One stream of gzip, or several that follow each other (RFC 1952, section 2.2).
pub(super) struct Gzip {
    stream: GzDecoder<Bounded>,
    /// Whether something else followed the last stream: as gzip(1) does, that is passed over.
    is_over: bool,
}

/// The first byte of a stream.
const MAGIC: u8 = 0x1f;

/// Bytes, up to a bound.
pub(super) struct Bounded {
    bytes: Vec<u8>,
    max_bytes: usize,
    is_full: bool,
}

impl Body {
    /// Of an answer with these headers, of which no more than `max_bytes` are taken.
    pub(super) fn begin(headers: &HeaderMap, announced: Option<u64>, max_bytes: u64) -> Self {
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let announced = announced.and_then(|bytes| usize::try_from(bytes).ok());
        let bounded = Bounded {
            // What the service announces is a hint, and no reason to allocate more than the bound.
            bytes: Vec::with_capacity(announced.unwrap_or(0).min(max_bytes)),
            max_bytes,
            is_full: false,
        };
        if is_gzip(headers) {
            Self::Gzip(Box::new(Gzip {
                stream: GzDecoder::new(bounded),
                is_over: false,
            }))
        } else {
            Self::Plain(bounded)
        }
    }

    /// Takes what came next.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), Unread> {
        let pushed = match self {
            Self::Plain(bounded) => bounded.write_all(chunk),
            Self::Gzip(gzip) => gzip.write(chunk),
        };
        pushed.map_err(|error| self.unread(&error))
    }

    /// All of it.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, Unread> {
        if let Self::Gzip(gzip) = &mut self
            && let Err(error) = gzip.stream.try_finish()
        {
            return Err(self.unread(&error));
        }
        Ok(self.take())
    }

    /// How much of it there is so far, unpacked.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(bounded) => bounded.bytes.len(),
            Self::Gzip(gzip) => gzip.stream.get_ref().bytes.len(),
        }
    }

    /// What came of it.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let bounded = match self {
            Self::Plain(bounded) => bounded,
            Self::Gzip(gzip) => gzip.stream.get_mut(),
        };
        std::mem::take(&mut bounded.bytes)
    }

    fn unread(&mut self, error: &io::Error) -> Unread {
        let is_full = match self {
            Self::Plain(bounded) => bounded.is_full,
            Self::Gzip(gzip) => gzip.stream.get_ref().is_full,
        };
        let body = self.take();
        if is_full {
            return Unread::TooLong(body);
        }
        let reason = format!("it cannot be unpacked: {}", chain(error));
        Unread::Cut {
            error: RequestError::Malformed { reason },
            body,
        }
    }
}

impl Gzip {
    fn write(&mut self, mut chunk: &[u8]) -> io::Result<()> {
        while !chunk.is_empty() && !self.is_over {
            match self.stream.write(chunk) {
                // The stream has ended.
                Ok(0) if chunk[0] == MAGIC => {
                    self.stream.try_finish()?;
                    let bounded = self.stream.get_mut().take();
                    self.stream = GzDecoder::new(bounded);
                }
                Ok(0) => self.is_over = true,
                Ok(taken) => chunk = &chunk[taken..],
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Bounded {
    /// All of it, for another stream to go on with.
    fn take(&mut self) -> Self {
        Self {
            bytes: std::mem::take(&mut self.bytes),
            ..*self
        }
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.max_bytes - self.bytes.len() {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a body is packed with gzip.
pub(super) fn is_gzip(headers: &HeaderMap) -> bool {
    let encoding = headers.get(CONTENT_ENCODING);
    encoding.is_some_and(|encoding| {
        encoding.as_bytes().eq_ignore_ascii_case(b"gzip")
            || encoding.as_bytes().eq_ignore_ascii_case(b"x-gzip")
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A body that comes in pieces of this length.
    fn read(packed: &[u8], piece: usize, max_bytes: u64) -> Result<Vec<u8>, Unread> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("GZIP"));
        let mut body = Body::begin(&headers, Some(packed.len() as u64), max_bytes);
        for piece in packed.chunks(piece) {
            body.push(piece)?;
        }
        body.finish()
    }

    #[test]
    fn streams_that_follow_each_other_are_one_body() {
        let (one, two) = (vec![b'a'; 100_000], vec![b'b'; 10]);
        let packed = [gzip(&one), gzip(b""), gzip(&two)].concat();
        for piece in [1, 7, 1_000, packed.len()] {
            let whole = [one.as_slice(), &two].concat();
            assert!(matches!(read(&packed, piece, 100_010), Ok(body) if body == whole));
            let short = read(&packed, piece, 100_009);
            assert!(matches!(short, Err(Unread::TooLong(body)) if body.len() < 100_010));
        }
    }

    #[test]
    fn what_follows_the_last_stream_is_passed_over() {
        for more in [b"\0\0\0".as_slice(), b"garbage", &[0; 600]] {
            let packed = [gzip(b"one"), gzip(b"two"), more.to_vec()].concat();
            for piece in [1, 5, packed.len()] {
                assert!(matches!(read(&packed, piece, 100), Ok(body) if body == b"onetwo"));
            }
        }
    }

    #[test]
    fn what_cannot_be_unpacked_is_named() {
        let packed = gzip(&vec![b'a'; 1_000]);
        let mut flipped = packed.clone();
        let crc = flipped.len() - 8;
        flipped[crc] ^= 1;
        for (body, piece) in [
            (b"{\"data\":[]}".as_slice(), 3),
            (&packed[..packed.len() - 3], 10),
            (&packed[..20], 20),
            (&flipped, 1),
        ] {
            let Err(Unread::Cut { error, .. }) = read(body, piece, 10_000) else {
                panic!("{body:?} was read");
            };
            let said = error.to_string();
            assert!(said.contains("it cannot be unpacked: "), "{said}");
        }
    }
}
