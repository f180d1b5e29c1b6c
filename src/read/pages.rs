//! What the pages of a column take when they are unpacked, told from their headers before any is.
//!
//! A page of some bytes may unpack to gigabytes, and a run of some bytes may stand for billions of
//! list elements. What the footer says of sizes nobody has to believe; the headers are what the
//! decoder goes by. Parquet's own parser of them is not public, and this takes two of their numbers.

/// What one value costs beside its bytes, in bytes: its levels, and the view of a text.
const BYTES_PER_VALUE: u64 = 20;

/// Bytes that the pages of column chunks take when they are unpacked. `None` where the bytes are not
/// pages one after the other.
pub(super) fn unpacked_bytes<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> Option<u64> {
    let mut total: u64 = 0;
    for chunk in chunks {
        let mut rest = chunk;
        while !rest.is_empty() {
            let mut header = Compact { bytes: rest, at: 0 };
            let page = header.page()?;
            total = total
                .checked_add(page.unpacked_bytes)?
                .checked_add(page.values.checked_mul(BYTES_PER_VALUE)?)?;
            rest = rest.get(header.at..)?.get(page.packed_bytes..)?;
        }
    }
    Some(total)
}

/// What a page header says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    unpacked_bytes: u64,
    packed_bytes: usize,
    values: u64,
}

/// Kinds of a field in Thrift's compact protocol.
mod kind {
    /// No field: the structure ends.
    pub(super) const STOP: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const INTEGERS: std::ops::RangeInclusive<u8> = 4..=6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LISTS: std::ops::RangeInclusive<u8> = 9..=10;
    pub(super) const STRUCT: u8 = 12;
}

/// Structures inside structures that are followed; a page header has three levels.
const MAX_DEPTH: u8 = 8;

/// Reads Thrift's compact protocol.
struct Compact<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Compact<'_> {
    /// A `PageHeader`: field 2 is the unpacked size, 3 the packed one, and in the headers of data
    /// pages (5 and 8) field 1 is the number of values.
    fn page(&mut self) -> Option<Page> {
        let mut page = Page::default();
        let mut id = 0;
        loop {
            let kind = self.field(&mut id)?;
            match (id, kind) {
                (_, kind::STOP) => return Some(page),
                (2, 5) => page.unpacked_bytes = u64::try_from(self.integer()?).ok()?,
                (3, 5) => page.packed_bytes = usize::try_from(self.integer()?).ok()?,
                (5 | 8, kind::STRUCT) => page.values = self.first_number()?,
                _ => self.skip(kind, MAX_DEPTH)?,
            }
        }
    }

    /// Reads a structure for its first field, a number.
    fn first_number(&mut self) -> Option<u64> {
        let (mut id, mut number) = (0, 0);
        loop {
            let kind = self.field(&mut id)?;
            match (id, kind) {
                (_, kind::STOP) => return Some(number),
                (1, 5) => number = u64::try_from(self.integer()?).ok()?,
                _ => self.skip(kind, MAX_DEPTH)?,
            }
        }
    }

    /// The kind of the next field of a structure, its id put in place of the one before.
    fn field(&mut self, id: &mut i64) -> Option<u8> {
        let byte = self.byte()?;
        let kind = byte & 0xf;
        if byte != kind::STOP {
            *id = match byte >> 4 {
                0 => self.integer()?,
                delta => id.checked_add(i64::from(delta))?,
            };
        }
        (kind != kind::STOP || byte == kind::STOP).then_some(kind)
    }

    fn skip(&mut self, kind: u8, depth: u8) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            kind::TRUE | kind::FALSE => Some(()),
            kind::BYTE => self.pass(1),
            kind if kind::INTEGERS.contains(&kind) => self.varint().map(drop),
            kind::DOUBLE => self.pass(8),
            kind::BINARY => {
                let length = self.varint()?;
                self.pass(usize::try_from(length).ok()?)
            }
            kind if kind::LISTS.contains(&kind) => self.skip_list(depth),
            kind::STRUCT => {
                let mut id = 0;
                loop {
                    match self.field(&mut id)? {
                        kind::STOP => return Some(()),
                        kind => self.skip(kind, depth)?,
                    }
                }
            }
            _ => None,
        }
    }

    fn skip_list(&mut self, depth: u8) -> Option<()> {
        let byte = self.byte()?;
        let length = match byte >> 4 {
            15 => self.varint()?,
            length => u64::from(length),
        };
        // Every element has a byte at least, true and false as well.
        for _ in 0..length {
            match byte & 0xf {
                kind::TRUE | kind::FALSE => self.pass(1)?,
                kind => self.skip(kind, depth)?,
            }
        }
        Some(())
    }

    fn integer(&mut self) -> Option<i64> {
        let zigzag = self.varint()?;
        Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn pass(&mut self, bytes: usize) -> Option<()> {
        self.at = self
            .at
            .checked_add(bytes)
            .filter(|&at| at <= self.bytes.len())?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    };
    use bytes::Bytes;
    use parquet::arrow::ArrowWriter;
    use parquet::basic::{Compression, ZstdLevel};
    use parquet::file::metadata::ParquetMetaDataReader;
    use parquet::file::properties::{WriterProperties, WriterVersion};

    use super::*;

    fn file(version: WriterVersion) -> Bytes {
        let mut lists = ListBuilder::new(StringBuilder::new());
        for row in 0..3_000 {
            lists.append_value((0..row % 4).map(|item| Some(format!("{row}/{item}"))));
        }
        let columns: [(&str, ArrayRef); 3] = [
            ("numbers", Arc::new(Int64Array::from_iter_values(0..3_000))),
            (
                "texts",
                Arc::new(StringArray::from_iter_values(
                    (0..3_000).map(|row| (row % 7).to_string()),
                )),
            ),
            ("lists", Arc::new(lists.finish())),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.map(|(name, column)| (name, column, true)),
        )
        .unwrap();
        let properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_data_page_row_count_limit(500)
            .set_write_page_header_statistics(true)
            .build();
        let mut bytes = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes.into()
    }

    /// The footer counts the headers, and no values.
    #[test]
    fn pages_take_what_an_honest_footer_says() {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            let bytes = file(version);
            let footer = ParquetMetaDataReader::new()
                .parse_and_finish(&bytes)
                .unwrap();
            for column in footer.row_group(0).columns() {
                let (start, length) = column.byte_range();
                let [start, length] = [start, length].map(|n| usize::try_from(n).unwrap());
                let chunk = &bytes[start..start + length];
                let values = u64::try_from(column.num_values()).unwrap() * BYTES_PER_VALUE;
                let found = unpacked_bytes([chunk]).unwrap() - values;
                let said = u64::try_from(column.uncompressed_size()).unwrap();
                let name = column.column_path().string();
                assert!(
                    (said - said / 5..=said).contains(&found),
                    "{name} {found} {said}"
                );
                assert_eq!(unpacked_bytes([&chunk[..length - 1]]), None, "{name}");
            }
        }
    }

    #[test]
    fn a_header_that_lies_is_taken_at_its_word() {
        // DATA_PAGE, unpacked 2,000,000,000, packed 1, and 1,000,000,000 values.
        let chunk = [
            0x15, 0, 0x15, 0x80, 0xd0, 0xac, 0xf3, 0x0e, 0x15, 2, 0x2c, 0x15, 0x80, 0xa8, 0xd6,
            0xb9, 0x07, 0, 0, 0xaa,
        ];
        assert_eq!(
            unpacked_bytes([&chunk[..]]),
            Some(2_000_000_000 + 1_000_000_000 * BYTES_PER_VALUE)
        );
    }

    #[test]
    fn what_is_not_a_header_is_none() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random.usize(1..60)).map(|_| random.u8(..)).collect();
            unpacked_bytes([&bytes[..]]);
        }
        assert_eq!(
            unpacked_bytes([&[0x1c; 40][..]]),
            None,
            "structures without end"
        );
    }
}
