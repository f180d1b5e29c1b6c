//! The bytes of an input become its text: what is compressed is told by its first bytes, not by its name.

use std::io::{self, Cursor, Read};

use flate2::read::MultiGzDecoder;

/// The first bytes of gzip (RFC 1952, section 2.3.1).
const GZIP: &[u8] = &[0x1f, 0x8b];
/// The first bytes of a frame of zstd (RFC 8878, section 3.1.1).
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The bytes behind the first of a skippable frame of zstd.
const SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];

/// The text behind these bytes. What zstd looks back into takes at most `2^window_log` bytes of memory;
/// a file that wants more is refused.
pub(super) fn unpack(
    mut bytes: impl Read + Send + 'static,
    window_log: u32,
) -> io::Result<Box<dyn Read + Send>> {
    let mut head = Vec::with_capacity(ZSTD.len());
    bytes
        .by_ref()
        .take(ZSTD.len() as u64)
        .read_to_end(&mut head)?;
    let is_gzip = head.starts_with(GZIP);
    // Its first frame may be one that holds no text (section 3.1.2).
    let is_skippable = head.get(1..) == Some(SKIPPABLE) && head[0] & 0xf0 == 0x50;
    let is_zstd = head.starts_with(ZSTD) || is_skippable;
    let bytes = Cursor::new(head).chain(bytes);
    if is_gzip {
        return Ok(Box::new(MultiGzDecoder::new(bytes)));
    }
    if is_zstd {
        let mut text = zstd::Decoder::new(bytes)?;
        text.window_log_max(window_log)?;
        return Ok(Box::new(text));
    }
    Ok(Box::new(bytes))
}

/// Whether this is the error of a window that is larger than allowed: the library tells it by words alone.
pub(super) fn is_of_window(error: &io::Error) -> bool {
    error.to_string().contains("Frame requires too much memory")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(text).unwrap();
        packed.finish().unwrap()
    }

    fn text(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        unpack(Cursor::new(bytes), 26)?.read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn whatever_it_is_packed_with_the_text_is_the_same() {
        let plain = b"[{\"_id\":\"x\"}]".repeat(100);
        let zst = zstd::encode_all(plain.as_slice(), 3).unwrap();
        let twice = |packed: &[u8]| [packed, packed].concat();
        let with_frame = |byte| [&[byte, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7], &*zst].concat();
        for packed in [
            plain.clone(),
            gzip(&plain),
            zst.clone(),
            with_frame(0x50),
            with_frame(0x5f),
        ] {
            assert_eq!(text(packed).unwrap(), plain);
        }
        // Files that were packed one after the other and put together.
        for packed in [twice(&gzip(&plain)), twice(&zst)] {
            assert_eq!(text(packed).unwrap(), twice(&plain));
        }
        for short in [&b""[..], b"[", b"[]"] {
            assert_eq!(text(short.to_vec()).unwrap(), short);
        }
    }

    #[test]
    fn what_is_cut_is_an_error_wherever_it_is_cut() {
        let plain: Vec<u8> = (0..2_000_u32).flat_map(u32::to_le_bytes).collect();
        for packed in [gzip(&plain), zstd::encode_all(plain.as_slice(), 3).unwrap()] {
            for length in ZSTD.len()..packed.len() {
                assert!(text(packed[..length].to_vec()).is_err(), "{length}");
            }
        }
    }

    #[test]
    fn a_window_that_memory_has_no_room_for_is_refused() {
        let mut packed = zstd::Encoder::new(Vec::new(), 1).unwrap();
        packed.window_log(27).unwrap();
        packed.write_all(&vec![b' '; 1 << 20]).unwrap();
        let error = text(packed.finish().unwrap()).unwrap_err();
        assert!(is_of_window(&error), "{error}");
    }
}
