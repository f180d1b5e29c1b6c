//! The text of a file becomes chunks of records, and no more of it is held than a chunk and a record.
//!
//! Only quotes and brackets are looked at here: where a record ends. What is in it is the decoder's
//! business, which reads several chunks at once. What a file holds shows in its text:
//!
//! * API pages, `{"data":[…],…}`, one or several after each other: the records are those of `data`;
//! * arrays, `[…]`;
//! * lines with a record each, where the first record is a line of its own: a broken line costs
//!   only itself;
//! * records after each other in any other form, such as pretty-printed ones.

use std::io::{self, Read};
use std::ops::Range;

use super::buffers::TextBuffers;
use super::fault::InputFault;
use super::foreign::{Foreign, HEAD_BYTES};
use super::unpack::is_of_window;
use crate::text::outline::{Broken, element_end, is_space, skip_space, string_end, value_end};

/// A chunk ends with the record that reaches this size: some 500 usual records, which are enough to
/// make good use of a decoder and few enough to keep memory low.
const CHUNK_BYTES: usize = 2 * 1024 * 1024;
/// It ends with so many records at the latest: tiny ones weigh more as columns than as text.
const CHUNK_RECORDS: usize = 1_000;
/// Read at once.
const BLOCK_BYTES: usize = 512 * 1024;
/// What some programs put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Some records of a file that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// An array of the records, or lines with one each.
    pub text: Vec<u8>,
    /// Whether it is lines.
    pub is_lines: bool,
    /// Where the first record begins in the file's text, in bytes from its beginning.
    pub offset: u64,
    /// The same of every record, where white space between them was left out; else nothing.
    pub offsets: Vec<u64>,
    /// Arrays of records that begin in it: pages, as a rule.
    pub arrays: u64,
}

/// Cuts the text of a file into chunks.
pub struct Framer<R> {
    source: R,
    /// What was read. It is moved up once for each read, and not for each value that is passed.
    read: Vec<u8>,
    /// How much of that was passed. The rest is the window, which begins at the record that is being
    /// looked for.
    passed: usize,
    /// Where the window begins in the file's text.
    base: u64,
    has_ended: bool,
    state: State,
    /// Arrays that began since the last chunk.
    arrays: u64,
    /// Where the memory of chunks comes from.
    buffers: TextBuffers,
    most_record_bytes: usize,
    chunk_bytes: usize,
    block_bytes: usize,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The file's first value.
    Begin,
    /// What stands in the line of the first record, behind it.
    Behind,
    /// A value that is in nothing.
    Between,
    /// A line with a record.
    Lines,
    /// An element of an array, which is the `data` of a page or not.
    Array { of_page: bool, is_first: bool },
    /// A member of a page behind its `data`.
    Page,
}

/// An object that is in nothing.
enum Object {
    /// A page, whose records begin here.
    Page(usize),
    /// A record, which ends here.
    Record(usize),
}

/// What is next in an array.
enum Element {
    At { start: usize, end: usize },
    End(usize),
}

/// What is next in a page behind its records.
enum Member {
    Other(usize),
    End(usize),
}

impl<R: Read> Framer<R> {
    /// Cuts this text. A record of more bytes than `most_record_bytes` is an error. The text of a chunk
    /// may be given back to `buffers`.
    pub fn new(source: R, most_record_bytes: usize, buffers: TextBuffers) -> Self {
        Self {
            source,
            read: Vec::new(),
            passed: 0,
            base: 0,
            has_ended: false,
            state: State::Begin,
            arrays: 0,
            buffers,
            most_record_bytes,
            chunk_bytes: CHUNK_BYTES,
            block_bytes: BLOCK_BYTES,
        }
    }

    /// The next chunk; `None` where the text has ended as it should.
    ///
    /// # Errors
    /// The text breaks off, or is none that holds records. Nothing more comes then.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, InputFault> {
        loop {
            let chunk = match self.state {
                State::Begin => self.begin()?,
                State::Behind => {
                    self.pass_line()?;
                    None
                }
                State::Between => match self.between()? {
                    Some(chunk) => Some(chunk),
                    None if self.state == State::Between => return Ok(self.last_arrays()),
                    None => None,
                },
                State::Lines => return self.lines(),
                State::Array { of_page, is_first } => self.array(of_page, is_first)?,
                State::Page => {
                    self.pass_member()?;
                    None
                }
            };
            if chunk.is_some() {
                return Ok(chunk);
            }
        }
    }

    /// Passes a byte-order mark, and finds the first value. A record in one line is a chunk by itself: what
    /// stands behind it tells whether each line is one, and may be any amount of white space.
    fn begin(&mut self) -> Result<Option<Chunk>, InputFault> {
        while self.window().len() < HEAD_BYTES && self.read_on()? {}
        if let Some(kind) = Foreign::of(self.window()) {
            return Err(InputFault::Foreign { kind });
        }
        if self.window().starts_with(BYTE_ORDER_MARK) {
            self.drop(BYTE_ORDER_MARK.len());
        }
        self.state = State::Between;
        if self.next_value()? == Some(b'{')
            && let Object::Record(end) = self.find(object)?
            && memchr::memchr(b'\n', &self.window()[..end]).is_none()
        {
            self.state = State::Behind;
            return Ok(Some(self.array_of(0..end)));
        }
        Ok(None)
    }

    /// Finds out whether the first record is alone in its line.
    fn pass_line(&mut self) -> Result<(), InputFault> {
        loop {
            let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r');
            let blanks = self.window().iter().take_while(is_blank).count();
            self.drop(blanks);
            self.state = match self.window().first().copied() {
                Some(b'\n') => State::Lines,
                Some(_) => State::Between,
                None if self.read_on()? => continue,
                None => State::Lines,
            };
            return Ok(());
        }
    }

    /// Records that are in nothing, up to the next array; none where one begins at once, or the text
    /// ends.
    fn between(&mut self) -> Result<Option<Chunk>, InputFault> {
        let mut text = Vec::new();
        let mut offsets = Vec::new();
        loop {
            let array = match self.next_value()? {
                None => break,
                Some(b'[') => Some((1, false)),
                Some(b'{') => match self.find(object)? {
                    Object::Page(start) => Some((start, true)),
                    Object::Record(end) => {
                        let is_first = offsets.is_empty();
                        if is_first {
                            text = self.buffers.take(end + 2);
                        }
                        text.push(if is_first { b'[' } else { b',' });
                        text.extend_from_slice(&self.window()[..end]);
                        offsets.push(self.base);
                        self.drop(end);
                        None
                    }
                },
                Some(_) => return Err(InputFault::NotJson { at: self.base }),
            };
            if let Some((start, of_page)) = array {
                self.drop(start);
                self.arrays += 1;
                let is_first = true;
                self.state = State::Array { of_page, is_first };
                break;
            }
            if text.len() >= self.chunk_bytes || offsets.len() >= CHUNK_RECORDS {
                break;
            }
        }
        let Some(offset) = offsets.first().copied() else {
            return Ok(None);
        };
        text.push(b']');
        let chunk = self.chunk(text, false, offset);
        Ok(Some(Chunk { offsets, ..chunk }))
    }

    /// A chunk without records, for arrays behind the last record.
    fn last_arrays(&mut self) -> Option<Chunk> {
        (self.arrays > 0).then(|| self.chunk(b"[]".to_vec(), false, self.base))
    }

    /// Records of an array; none where it has no more.
    fn array(&mut self, of_page: bool, mut is_first: bool) -> Result<Option<Chunk>, InputFault> {
        if !is_first && self.next_value()? == Some(b',') {
            self.drop(1);
            is_first = true;
            if self.next_value()? == Some(b']') {
                return Err(InputFault::NotJson { at: self.base });
            }
        }
        self.next_value()?;
        let mut records: Option<(usize, usize)> = None;
        let mut count = 0;
        let (passed, has_ended) = loop {
            let from = records.map_or(0, |(_, end)| end);
            match element(self.window(), from, is_first) {
                Ok(Element::At { start, end }) => {
                    is_first = false;
                    count += 1;
                    let start = records.map_or(start, |(start, _)| start);
                    records = Some((start, end));
                    if end - start >= self.chunk_bytes || count >= CHUNK_RECORDS {
                        break (end, false);
                    }
                }
                Ok(Element::End(end)) => break (end, true),
                // White space behind a record does not wait with it for what follows.
                Err(_) if records.is_some() && is_blank_on(self.window(), from) => {
                    break (from, false);
                }
                Err(broken) => self.wait(broken, from)?,
            }
        };
        let chunk = records.map(|(start, end)| self.array_of(start..end));
        self.drop(passed - records.map_or(0, |(_, end)| end));
        self.state = match (has_ended, of_page) {
            (false, _) => State::Array {
                of_page,
                is_first: false,
            },
            (true, true) => State::Page,
            (true, false) => State::Between,
        };
        Ok(chunk)
    }

    /// A chunk of the records that lie there in the window, with commas between them. They are passed.
    fn array_of(&mut self, records: Range<usize>) -> Chunk {
        let offset = self.base + records.start as u64;
        let mut text = self.buffers.take(records.len() + 2);
        text.push(b'[');
        text.extend_from_slice(&self.window()[records.clone()]);
        text.push(b']');
        self.drop(records.end);
        self.chunk(text, false, offset)
    }

    /// Lines; `None` where there are no more.
    fn lines(&mut self) -> Result<Option<Chunk>, InputFault> {
        if self.next_value()?.is_none() {
            return Ok(None);
        }
        self.move_up();
        let mut looked_at = 0;
        let mut count = 0;
        let mut end = 0;
        'window: loop {
            for newline in memchr::memchr_iter(b'\n', &self.read[looked_at..]) {
                let line = &self.read[end..looked_at + newline];
                count += usize::from(skip_space(line, 0) < line.len());
                end = looked_at + newline + 1;
                if end >= self.chunk_bytes || count >= CHUNK_RECORDS {
                    break 'window;
                }
            }
            looked_at = self.read.len();
            if let Some(length) = self.ended_line(end) {
                end += length;
                break;
            }
            if looked_at - end > self.most_record_bytes {
                return Err(self.too_large(end));
            }
            if !self.read_on()? {
                self.check_last_line(end)?;
                end = self.read.len();
                break;
            }
        }
        let offset = self.base;
        // Little is behind the chunk, so that is what is copied.
        let behind = &self.read[end..];
        let room = behind.len().max(self.chunk_bytes) + self.block_bytes;
        let mut rest = self.buffers.take(room);
        rest.extend_from_slice(behind);
        self.read.truncate(end);
        let text = std::mem::replace(&mut self.read, rest);
        self.base += end as u64;
        Ok(Some(self.chunk(text, true, offset)))
    }

    /// The length of the last line, as far as it is there, without the white space at its end; `None` where
    /// its record may go on. White space may be more than memory holds, so that a chunk does not wait for
    /// its end.
    fn ended_line(&self, start: usize) -> Option<usize> {
        let line = &self.read[start..];
        let length = line.len()
            - line
                .iter()
                .rev()
                .take_while(|byte| is_space(**byte))
                .count();
        let blanks = line.len() - length;
        if length == 0 {
            return (blanks > 0).then_some(0);
        }
        // Looked at once for each stretch of white space that is as long as all before it.
        let most = length.max(self.block_bytes);
        let is_due = (most..most + self.block_bytes).contains(&blanks)
            || line.len() > self.most_record_bytes && length <= self.most_record_bytes;
        (is_due && !is_open(&line[..length])).then_some(length)
    }

    /// A last line without a newline must not break off in the middle of its record.
    fn check_last_line(&self, start: usize) -> Result<(), InputFault> {
        if is_open(&self.window()[start..]) {
            return Err(self.cut());
        }
        Ok(())
    }

    /// Passes a member of a page behind its records, or the page's end.
    fn pass_member(&mut self) -> Result<(), InputFault> {
        self.next_value()?;
        match self.find(member)? {
            Member::Other(end) => self.drop(end),
            Member::End(end) => {
                self.drop(end);
                self.state = State::Between;
            }
        }
        Ok(())
    }

    /// The first byte of the next value, at which the window begins then; `None` at the text's end.
    fn next_value(&mut self) -> Result<Option<u8>, InputFault> {
        loop {
            let start = skip_space(self.window(), 0);
            self.drop(start);
            match self.window().first().copied() {
                Some(byte) => return Ok(Some(byte)),
                None if self.read_on()? => {}
                None => return Ok(None),
            }
        }
    }

    /// What is found at the window's beginning, once enough was read.
    fn find<T>(&mut self, what: fn(&[u8]) -> Result<T, Fault>) -> Result<T, InputFault> {
        loop {
            match what(self.window()) {
                Ok(found) => return Ok(found),
                Err(Fault::Broken(broken)) => self.wait(broken, 0)?,
                Err(Fault::Mixed(at)) => {
                    let at = self.base + at as u64;
                    return Err(InputFault::Mixed { at });
                }
            }
        }
    }

    /// Reads on where more of the text may tell what is there. `start` is where that begins.
    fn wait(&mut self, broken: Broken, start: usize) -> Result<(), InputFault> {
        if broken.at < self.window().len() {
            let at = self.base + broken.at as u64;
            return Err(InputFault::NotJson { at });
        }
        let there = self.window().len() - start;
        if there > self.most_record_bytes {
            return Err(self.too_large(start));
        }
        // As much again as is there: what is long is not looked at time and again.
        if self.read(there.max(self.block_bytes))? {
            Ok(())
        } else {
            Err(self.cut())
        }
    }

    /// Reads a block more. False at the text's end.
    fn read_on(&mut self) -> Result<bool, InputFault> {
        self.read(self.block_bytes)
    }

    fn read(&mut self, most_bytes: usize) -> Result<bool, InputFault> {
        if self.has_ended {
            return Ok(false);
        }
        self.move_up();
        let read = self
            .source
            .by_ref()
            .take(most_bytes as u64)
            .read_to_end(&mut self.read);
        match read {
            Ok(0) => {
                self.has_ended = true;
                Ok(false)
            }
            Ok(_) => Ok(true),
            Err(source) => Err(self.unread(source)),
        }
    }

    /// The text could not be read on.
    fn unread(&self, source: io::Error) -> InputFault {
        if is_of_window(&source) {
            return InputFault::Window(source);
        }
        let at = self.base + self.window().len() as u64;
        InputFault::Unreadable { at, source }
    }

    fn cut(&self) -> InputFault {
        let at = self.base + self.window().len() as u64;
        InputFault::Cut { at }
    }

    /// The record that follows here is too large.
    fn too_large(&self, behind: usize) -> InputFault {
        let mut start = skip_space(self.window(), behind);
        if self.window().get(start) == Some(&b',') {
            start = skip_space(self.window(), start + 1);
        }
        InputFault::RecordTooLarge {
            at: self.base + start as u64,
            most_bytes: self.most_record_bytes as u64,
        }
    }

    /// Lets go of the window's first bytes.
    fn drop(&mut self, bytes: usize) {
        self.passed += bytes;
        self.base += bytes as u64;
    }

    /// What was read and not passed.
    fn window(&self) -> &[u8] {
        &self.read[self.passed..]
    }

    /// Makes what was read the window.
    fn move_up(&mut self) {
        self.read.drain(..self.passed);
        self.passed = 0;
    }

    fn chunk(&mut self, text: Vec<u8>, is_lines: bool, offset: u64) -> Chunk {
        Chunk {
            text,
            is_lines,
            offset,
            offsets: Vec::new(),
            arrays: std::mem::take(&mut self.arrays),
        }
    }
}

/// Why something is not what it should be.
enum Fault {
    Broken(Broken),
    /// An object is a page and a record in one, by the member here.
    Mixed(usize),
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// The next element of an array, from `at` on.
fn element(bytes: &[u8], at: usize, is_first: bool) -> Result<Element, Broken> {
    let mut at = skip_space(bytes, at);
    match bytes.get(at) {
        Some(b']') => return Ok(Element::End(at + 1)),
        Some(b',') if !is_first => at = skip_space(bytes, at + 1),
        Some(_) if is_first => {}
        _ => return Err(Broken { at }),
    }
    let end = element_end(bytes, at)?;
    Ok(Element::At { start: at, end })
}

/// Whether the value in a line goes on behind its end.
fn is_open(line: &[u8]) -> bool {
    let begin = skip_space(line, 0);
    begin < line.len() && value_end(line, begin).is_err_and(|broken| broken.at >= line.len())
}

/// Whether nothing stands there from `at` on but white space, and a comma at most.
fn is_blank_on(bytes: &[u8], at: usize) -> bool {
    let at = skip_space(bytes, at);
    let at = at + usize::from(bytes.get(at) == Some(&b','));
    skip_space(bytes, at) == bytes.len()
}

/// Whether the object at the beginning is a page or a record. A page has an array `data`, and no `_id`
/// before it.
fn object(bytes: &[u8]) -> Result<Object, Fault> {
    let record = || Ok(Object::Record(element_end(bytes, 0)?));
    let mut at = 1;
    loop {
        let Some((key, value)) = key(bytes, at)? else {
            return record();
        };
        if is_key(key, "data") && bytes[value] == b'[' {
            return Ok(Object::Page(value + 1));
        }
        if is_key(key, "_id") {
            return record();
        }
        at = skip_space(bytes, value_end(bytes, value)?);
        match bytes.get(at) {
            Some(b',') => at += 1,
            None => return Err(Broken { at }.into()),
            Some(_) => return record(),
        }
    }
}

/// Whether a value has records in it and is none: an array of objects, or an object with one as its `data`,
/// as API pages have it, or `value`.
pub fn has_records(value: &str) -> bool {
    let bytes = value.as_bytes();
    let is_object = |at: usize| bytes.get(skip_space(bytes, at)) == Some(&b'{');
    match bytes.first() {
        Some(b'[') => is_object(1),
        Some(b'{') => match object(bytes) {
            Ok(Object::Page(start)) => is_object(start),
            _ => value_list(bytes).is_some_and(is_object),
        },
        _ => false,
    }
}

/// Whether a line of a text begins a value that goes on in the lines behind it, as a pretty-printed one does: a
/// bracket is open at its end, a token has just ended there, and the next line is no record of its own. A line
/// that ends inside of a token, or before a record, was torn.
pub fn goes_on(text: &str, line: Range<usize>) -> bool {
    let bytes = &text.as_bytes()[line.clone()];
    let ends_at_mark = matches!(bytes.last(), Some(b'{' | b'[' | b',' | b':'));
    let is_open = || {
        matches!(bytes[0], b'{' | b'[')
            && element_end(bytes, 0).is_err_and(|broken| broken.at >= bytes.len())
    };
    ends_at_mark && is_open() && !ends_in_string(bytes) && !has_record_next(text, line.end)
}

/// Whether the next line that is not blank is an object, whole, or there is none.
fn has_record_next(text: &str, at: usize) -> bool {
    let Some(next) = text[at..].lines().find(|line| !line.trim().is_empty()) else {
        return true;
    };
    let next = next.trim().as_bytes();
    next[0] == b'{' && value_end(next, 0).is_ok_and(|end| end == next.len())
}

fn ends_in_string(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(length) = memchr::memchr(b'"', &bytes[at..]) {
        match string_end(bytes, at + length) {
            Some(end) => at = end,
            None => return true,
        }
    }
    false
}

/// Where the elements of an object's array `value` begin; `None` where it has none, or an `_id` before it.
fn value_list(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    while let Ok(Some((key, value))) = key(bytes, at) {
        if is_key(key, "value") && bytes[value] == b'[' {
            return Some(value + 1);
        }
        if is_key(key, "_id") {
            return None;
        }
        at = skip_space(bytes, value_end(bytes, value).ok()?);
        if bytes.get(at) != Some(&b',') {
            return None;
        }
        at += 1;
    }
    None
}

/// The member of a page that follows its records, or the page's end.
fn member(bytes: &[u8]) -> Result<Member, Fault> {
    let at = skip_space(bytes, 0);
    match bytes.get(at) {
        Some(b'}') => return Ok(Member::End(at + 1)),
        Some(b',') => {}
        _ => return Err(Broken { at }.into()),
    }
    match key(bytes, at + 1)? {
        Some((key, _)) if is_key(key, "data") || is_key(key, "_id") => Err(Fault::Mixed(at)),
        Some((_, value)) => Ok(Member::Other(value_end(bytes, value)?)),
        None => Err(Broken { at: at + 1 }.into()),
    }
}

/// A key with its quotes, and where its value begins; `None` where there is none.
fn key(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Broken> {
    let more = || Broken { at: bytes.len() };
    let start = skip_space(bytes, at);
    if *bytes.get(start).ok_or_else(more)? != b'"' {
        return Ok(None);
    }
    let end = string_end(bytes, start).ok_or_else(more)?;
    let colon = skip_space(bytes, end);
    if *bytes.get(colon).ok_or_else(more)? != b':' {
        return Ok(None);
    }
    let value = skip_space(bytes, colon + 1);
    if value == bytes.len() {
        return Err(more());
    }
    Ok(Some((&bytes[start..end], value)))
}

/// Whether a key, with its quotes, is this one, however it is spelled.
fn is_key(key: &[u8], name: &str) -> bool {
    let decoded = || serde_json::from_slice::<String>(key);
    key[1..key.len() - 1] == *name.as_bytes()
        || key.contains(&b'\\') && decoded().is_ok_and(|key| key == name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::outline::Elements;

    /// Gives a few bytes at a time.
    struct Dripping<'t>(&'t [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    /// All chunks of a text that is read in small steps into small chunks.
    fn chunks(text: &[u8], step: usize) -> Result<Vec<Chunk>, InputFault> {
        let mut framer = Framer::new(Dripping(text, step), 1_000, TextBuffers::default());
        framer.chunk_bytes = 40;
        framer.block_bytes = step.max(2);
        let mut chunks = Vec::new();
        while let Some(chunk) = framer.next_chunk()? {
            chunks.push(chunk);
        }
        Ok(chunks)
    }

    fn records_of(chunk: &Chunk) -> Vec<String> {
        let text = std::str::from_utf8(&chunk.text).unwrap();
        let mut elements = if chunk.is_lines {
            Elements::of_lines()
        } else {
            Elements::of(text, 0).unwrap()
        };
        let mut records = Vec::new();
        while let Some(range) = elements.next(text).unwrap() {
            records.push(text[range].to_owned());
        }
        records
    }

    /// The records of a text. Every chunk begins where it says.
    fn records(text: &str, step: usize) -> Result<Vec<String>, InputFault> {
        let mut records = Vec::new();
        for chunk in chunks(text.as_bytes(), step)? {
            let of_chunk = records_of(&chunk);
            let rest = &text[usize::try_from(chunk.offset).unwrap()..];
            if let Some(first) = of_chunk.first() {
                assert!(rest.trim_start().starts_with(first.as_str()), "{rest}");
            }
            records.extend(of_chunk);
        }
        Ok(records)
    }

    fn at(text: &str) -> u64 {
        match records(text, 3).unwrap_err() {
            InputFault::NotJson { at } | InputFault::Mixed { at } | InputFault::Cut { at } => at,
            other => panic!("{other:?}"),
        }
    }

    const RECORDS: [&str; 4] = [
        r#"{"_id":"a","x":"]}\"","data":[1,[2]]}"#,
        r#"{"n":null}"#,
        r#"{ "_id" : "c", "e":{"f":[{}]} }"#,
        r#"{"_id":"d","long":"0123456789012345678901234567890123456789"}"#,
    ];

    #[test]
    fn all_forms_hold_the_same_records() {
        let list = RECORDS.join(" ,\n");
        let pretty = RECORDS.map(|record| record.replacen(':', ":\n ", 1));
        let forms = [
            format!("[{list}]"),
            format!(" \u{feff}[ {list}\n]\n").trim_start().to_owned(),
            format!("{{\"data\":[{list}],\"hasNext\":false}}"),
            format!(
                "{{\"total\":3,\"x\":{{\"data\":[1]}},\n\"data\" : [{list}] , \"n\":[{{}}] }} "
            ),
            RECORDS.join("\n"),
            format!("\n{}\r\n\n", RECORDS.join("\r\n")),
            format!(
                "[{}]\n{{\"data\":[]}}[]{{\"data\":[{}]}}",
                RECORDS[..2].join(","),
                RECORDS[2..].join(",")
            ),
        ];
        for form in &forms {
            for step in [1, 2, 7, 1_000] {
                assert_eq!(records(form, step).unwrap(), RECORDS, "{form}");
            }
        }
        for between in ["", "\n", " \n\n"] {
            assert_eq!(records(&pretty.join(between), 5).unwrap(), pretty);
        }
    }

    #[test]
    fn nothing_is_a_text_without_records() {
        for text in ["", " \n", "\u{feff}", "[]", "[ ]\n", r#"{"data":[]}"#] {
            assert_eq!(records(text, 1).unwrap(), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn pages_and_arrays_are_counted() {
        let arrays = |text: &str| -> u64 {
            let chunks = chunks(text.as_bytes(), 9).unwrap();
            chunks.iter().map(|chunk| chunk.arrays).sum()
        };
        let [a, b] = [RECORDS[0], RECORDS[1]];
        let empty = r#"{"data":[],"hasNext":false}"#;
        assert_eq!(arrays(&format!("[{a}]{empty}{{\"data\":[{b}]}}")), 3);
        assert_eq!(arrays(&format!("[{a}]{empty} {empty}")), 3);
        assert_eq!(arrays(empty), 1);
        assert_eq!(arrays(&format!("{a}\n{b}")), 0);
    }

    #[test]
    fn a_broken_line_costs_only_itself() {
        let text = format!("{}\n{{]\n{}\nnot JSON\n", RECORDS[0], RECORDS[1]);
        let expected = [RECORDS[0], "{]", RECORDS[1], "not JSON"];
        assert_eq!(records(&text, 4).unwrap(), expected);
    }

    #[test]
    fn a_line_goes_on_where_it_ends_between_tokens_of_an_open_value() {
        let goes_on = |line: &str, next: &str| goes_on(&format!("{line}{next}"), 0..line.len());
        for line in [
            "{",
            "[",
            "{\"data\":[",
            "{\"a\":",
            "[{},",
            "{\"a\":\",\\\"\",",
        ] {
            for next in ["\n\"b\": 1,\n", "\n\n {}, \n", "\n{\n}\n"] {
                assert!(goes_on(line, next), "{line}{next}");
            }
            for torn in ["", "\n", "\n {\"b\":[1]} \n\"b\":"] {
                assert!(!goes_on(line, torn), "{line}{torn}");
            }
        }
        for line in [
            "",
            "{}",
            "[],",
            "{]{",
            "\"a\":",
            "not JSON,",
            "{\"a\":1",
            "{\"a\":\"x,",
            "{\"a\":\"x\\\",",
        ] {
            assert!(!goes_on(line, "\n\"b\": 1,\n"), "{line}");
        }
    }

    #[test]
    fn lists_of_records_are_told_from_records() {
        for lists in [
            "[{}]",
            r#"[ {"a":NaN},{}]"#,
            r#"{"data":[{}],"a":1,"a":2}"#,
            r#"{"d\u0061ta":[{}]}"#,
            r#"{"x":1,"value":[ {}],"_id":"x"}"#,
        ] {
            assert!(has_records(lists), "{lists}");
        }
        for one in [
            "",
            "[1]",
            "x\"data\":[{}]",
            r#"{"data":[1]}"#,
            r#"{"_id":"x","data":[{}]}"#,
            r#"{"\u005fid":"x","value":[{}]}"#,
            r#"{"x":{"data":[{}]}}"#,
        ] {
            assert!(!has_records(one), "{one}");
        }
    }

    #[test]
    fn what_is_broken_is_said_with_its_place() {
        for (text, place) in [
            ("x", 0),
            ("  12", 2),
            ("[{}{}]", 3),
            ("[{} {]}]", 4),
            ("[{}, {]}]", 6),
            ("[1,]", 3),
            ("[{}] x", 5),
            ("[{}]]", 4),
            (r#"{"data":[{}] "a":1}"#, 13),
            (r#"{"data":[{}],"data":[]}"#, 12),
            (r#"{"data":[{}],"_id":"x"}"#, 12),
            (r#"{"data":[{}],}"#, 13),
            ("[{}", 3),
            ("{\"a\":1}\n{\"b\"", 12),
            ("{\"a\":\n", 6),
        ] {
            let expected = if text == "{\"a\":\n" { 6 } else { place };
            assert_eq!(at(text), expected, "{text}");
        }
    }

    #[test]
    fn a_record_that_is_too_large_is_said_with_its_place() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(3_000));
        for (text, place) in [
            (format!("[{{}},{long}]"), 4),
            (format!("{{}}\n{long}\n"), 3),
            (long.clone(), 0),
        ] {
            match records(&text, 100) {
                Err(InputFault::RecordTooLarge { at, .. }) => assert_eq!(at, place, "{text}"),
                other => panic!("{other:?}"),
            }
        }
    }

    /// A gigabyte of it would be no more: what is held is a chunk and a block.
    #[test]
    fn white_space_of_any_length_is_passed_and_not_held() {
        const LENGTH: usize = 40_000;
        for blank in [" ", "\n", " \r\n\t"] {
            let blanks = blank.repeat(LENGTH / blank.len());
            let forms = [
                format!("{blanks}{}\n{}", RECORDS[0], RECORDS[1]),
                format!("{}{blanks}\n{}", RECORDS[0], RECORDS[1]),
                format!("{}\n{blanks}{}{blanks}", RECORDS[0], RECORDS[1]),
                format!(
                    "{blanks}[{blanks}{}{blanks},{blanks}{}{blanks}]{blanks}",
                    RECORDS[0], RECORDS[1]
                ),
                format!(
                    "{{\"data\":[{}]{blanks},\"n\":1}}{blanks}{{\"data\":[{}]}}",
                    RECORDS[0], RECORDS[1]
                ),
            ];
            for form in forms {
                let mut framer =
                    Framer::new(Dripping(form.as_bytes(), 64), 1_000, TextBuffers::default());
                framer.chunk_bytes = 40;
                framer.block_bytes = 64;
                let mut found = Vec::new();
                while let Some(chunk) = framer.next_chunk().unwrap() {
                    found.extend(records_of(&chunk));
                    let held = chunk.text.len().max(framer.read.capacity());
                    assert!(held < 2_000, "{held}");
                }
                assert_eq!(found, RECORDS[..2]);
            }
        }
    }

    #[test]
    fn a_record_with_white_space_behind_it_is_as_large_as_without() {
        let blanks = " ".repeat(5_000);
        let lines = format!("{}\n{}{blanks}\n{}\n", RECORDS[0], RECORDS[1], RECORDS[2]);
        for step in [1, 30, 700, 10_000] {
            assert_eq!(records(&lines, step).unwrap(), RECORDS[..3]);
        }
        let inside = format!("{}\n{{\"a\":{blanks}1}}\n", RECORDS[0]);
        let too_large = records(&inside, 30).unwrap_err();
        assert!(
            matches!(too_large, InputFault::RecordTooLarge { .. }),
            "{too_large:?}"
        );
    }

    #[test]
    fn blank_lines_do_not_cut_chunks_short() {
        let text = format!(
            "{}\n{}",
            RECORDS[1],
            format!("\n\n{}", RECORDS[1]).repeat(2_000)
        );
        let mut framer = Framer::new(text.as_bytes(), 1_000, TextBuffers::default());
        let mut lengths = Vec::new();
        while let Some(chunk) = framer.next_chunk().unwrap() {
            lengths.push(records_of(&chunk).len());
        }
        assert_eq!(lengths, [1, CHUNK_RECORDS, CHUNK_RECORDS]);
    }

    proptest! {
        #[test]
        fn a_cut_text_is_an_error_or_whole_lines(
            form in 0..4_usize,
            picks in prop::collection::vec(0..4_usize, 1..6),
            step in 1..50_usize,
        ) {
            let picked: Vec<&str> = picks.iter().map(|pick| RECORDS[*pick]).collect();
            let text = match form {
                0 => format!("[{}]", picked.join(",")),
                1 => format!("{{\"data\":[{}],\"hasNext\":true}}", picked.join(",")),
                2 => picked.join("\n"),
                _ => picked.join("\n").replace(':', ":\n"),
            };
            let all = records(&text, step).unwrap();
            for cut in 1..text.len() {
                let Ok(some) = records(&text[..cut], step) else { continue };
                prop_assert!(form >= 2, "{}", &text[..cut]);
                prop_assert_eq!(&all[..some.len()], &some[..]);
            }
        }
    }
}
