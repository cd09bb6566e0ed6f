//! A pull scanner over the JSON of foreign trees: tokens out of a reader through one buffer.
//!
//! Nothing here recurses, nesting ends at 64, one string at 32 MiB, and no input makes it panic. Only strings
//! have to fit in the buffer.

use std::io::{self, Read};

const BUFFER_BYTES: usize = 64 << 10;
/// The longest string token. The largest there are in practice carry macOS resource forks (16 MiB, in base64).
const STRING_BYTES: usize = 32 << 20;
const NESTING: u32 = 64;

/// Why scanning ended early.
#[derive(Debug)]
pub(super) enum ScanError {
    Read(io::Error),
    /// What was wrong with the JSON at the scanner's offset.
    Malformed(&'static str),
}

pub(super) type Scan<T> = Result<T, ScanError>;

/// The text between two quotes, escapes not yet undone.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawString<'a> {
    pub(super) text: &'a [u8],
    pub(super) is_escaped: bool,
}

/// The reader and what was read ahead from it.
#[derive(Debug)]
pub(super) struct Input<R> {
    reader: R,
    buffer: Vec<u8>,
    /// The unread part of the buffer.
    at: usize,
    end: usize,
    /// Bytes that came before the buffer.
    before: u64,
    is_drained: bool,
}

impl<R: Read> Input<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; BUFFER_BYTES], at: 0, end: 0, before: 0, is_drained: false }
    }

    /// Over bytes that are in memory already, and then those of the reader.
    pub(super) fn behind(ahead: Vec<u8>, reader: R) -> Self {
        Self { reader, end: ahead.len(), buffer: ahead, at: 0, before: 0, is_drained: false }
    }

    /// Bytes scanned so far.
    pub(super) fn offset(&self) -> u64 {
        self.before + self.at as u64
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..self.end).unwrap_or_default()
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        self.at = self.end.min(self.at + bytes);
    }

    /// Reads more behind the unread part, which moves to the front. False at the end of the input.
    #[cold]
    fn refill(&mut self) -> Scan<bool> {
        self.buffer.copy_within(self.at..self.end, 0);
        self.before += self.at as u64;
        self.end -= self.at;
        self.at = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        while !self.is_drained {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.reader.read(room) {
                Ok(0) => self.is_drained = true,
                Ok(read) => {
                    self.end = self.buffer.len().min(self.end + read);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ScanError::Read(error)),
            }
        }
        Ok(false)
    }

    /// The next `N` bytes without taking them, if there are so many.
    pub(super) fn ahead<const N: usize>(&mut self) -> Scan<Option<&[u8; N]>> {
        while self.end - self.at < N {
            if !self.refill()? {
                return Ok(None);
            }
        }
        Ok(self.rest().first_chunk())
    }

    /// The next byte that is not white space, without taking it.
    pub(super) fn peek(&mut self) -> Scan<u8> {
        self.peek_or_end()?.ok_or(ScanError::Malformed("ends too early"))
    }

    pub(super) fn peek_or_end(&mut self) -> Scan<Option<u8>> {
        loop {
            match self.rest().first().copied() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(byte) => return Ok(Some(byte)),
                None if self.refill()? => {}
                None => return Ok(None),
            }
        }
    }

    /// Takes `byte`, which must come next.
    pub(super) fn expect(&mut self, byte: u8, otherwise: &'static str) -> Scan<()> {
        if self.take(byte)? { Ok(()) } else { Err(ScanError::Malformed(otherwise)) }
    }

    /// Takes `byte` if it comes next.
    pub(super) fn take(&mut self, byte: u8) -> Scan<bool> {
        let found = self.peek()? == byte;
        self.at += usize::from(found);
        Ok(found)
    }

    /// Takes a string.
    pub(super) fn string(&mut self) -> Scan<RawString<'_>> {
        self.expect(b'"', "expected a string")?;
        let (mut length, mut is_escaped) = (0, false);
        loop {
            length += plain_length(self.rest().get(length..).unwrap_or_default());
            match self.rest().get(length).copied() {
                Some(b'"') => break,
                Some(b'\\') => {
                    is_escaped = true;
                    length += 2;
                }
                Some(_) => return Err(ScanError::Malformed("has a control character in a string")),
                None if length > STRING_BYTES => {
                    return Err(ScanError::Malformed("has a string without end"));
                }
                None if self.refill()? => {}
                None => return Err(ScanError::Malformed("ends within a string")),
            }
        }
        let start = self.at;
        self.at += length + 1;
        let text = self.buffer.get(start..start + length).unwrap_or_default();
        Ok(RawString { text, is_escaped })
    }

    /// Takes a number; `None` for one that is not a whole number below 2^64. Appends its text to `keep`.
    pub(super) fn number(&mut self, mut keep: Option<&mut Vec<u8>>) -> Scan<Option<u64>> {
        let (mut value, mut digits, mut is_whole) = (Some(0_u64), 0_u32, true);
        loop {
            match self.rest().first().copied() {
                Some(digit @ b'0'..=b'9') => {
                    let digit_value = u64::from(digit - b'0');
                    value = value.and_then(|value| value.checked_mul(10)?.checked_add(digit_value));
                    digits += u32::from(digits < u32::MAX);
                }
                Some(b'-' | b'+' | b'.' | b'e' | b'E') => is_whole = false,
                None if self.refill()? => continue,
                _ => break,
            }
            if let (Some(keep), Some(&byte)) = (keep.as_deref_mut(), self.rest().first()) {
                keep.push(byte);
            }
            self.at += 1;
        }
        if digits == 0 {
            return Err(ScanError::Malformed("expected a value"));
        }
        Ok(value.filter(|_| is_whole))
    }

    fn literal(&mut self, keep: Option<&mut Vec<u8>>) -> Scan<()> {
        let word: &[u8] = match self.peek()? {
            b't' => b"true",
            b'f' => b"false",
            _ => b"null",
        };
        for &byte in word {
            if self.ahead::<1>()? != Some(&[byte]) {
                return Err(ScanError::Malformed("expected a value"));
            }
            self.skip(1);
        }
        if let Some(keep) = keep {
            keep.extend_from_slice(word);
        }
        Ok(())
    }

    /// Takes `null` if it comes next.
    pub(super) fn take_null(&mut self) -> Scan<bool> {
        if self.peek()? != b'n' {
            return Ok(false);
        }
        self.literal(None)?;
        Ok(true)
    }

    /// Takes any value and appends it to `keep`, white space left out.
    pub(super) fn value(&mut self, mut keep: Option<&mut Vec<u8>>) -> Scan<()> {
        let mut nesting = Nesting::default();
        loop {
            match self.peek()? {
                open @ (b'{' | b'[') => {
                    self.punctuation(open, keep.as_deref_mut());
                    nesting.enter(open)?;
                    let close = nesting.closing();
                    if self.take(close)? {
                        kept(keep.as_deref_mut(), close);
                        nesting.leave();
                    } else {
                        self.key_in(&nesting, keep.as_deref_mut())?;
                        continue;
                    }
                }
                b'"' => self.kept_string(keep.as_deref_mut())?,
                b't' | b'f' | b'n' => self.literal(keep.as_deref_mut())?,
                _ => self.number(keep.as_deref_mut()).map(drop)?,
            }
            if !self.next_in(&mut nesting, keep.as_deref_mut())? {
                return Ok(());
            }
        }
    }

    /// After a value: closes what ends and takes the comma. False when the outermost value has ended.
    fn next_in(&mut self, nesting: &mut Nesting, mut keep: Option<&mut Vec<u8>>) -> Scan<bool> {
        while nesting.depth > 0 {
            match self.peek()? {
                b',' => {
                    self.punctuation(b',', keep.as_deref_mut());
                    self.key_in(nesting, keep)?;
                    return Ok(true);
                }
                close if close == nesting.closing() => {
                    self.punctuation(close, keep.as_deref_mut());
                    nesting.leave();
                }
                _ => return Err(ScanError::Malformed("expected a comma or an end")),
            }
        }
        Ok(false)
    }

    fn key_in(&mut self, nesting: &Nesting, mut keep: Option<&mut Vec<u8>>) -> Scan<()> {
        if nesting.closing() == b'}' {
            self.kept_string(keep.as_deref_mut())?;
            self.expect(b':', "expected a colon")?;
            kept(keep, b':');
        }
        Ok(())
    }

    fn kept_string(&mut self, keep: Option<&mut Vec<u8>>) -> Scan<()> {
        let string = self.string()?;
        if let Some(keep) = keep {
            keep.push(b'"');
            keep.extend_from_slice(string.text);
            keep.push(b'"');
        }
        Ok(())
    }

    fn punctuation(&mut self, byte: u8, keep: Option<&mut Vec<u8>>) {
        self.skip(1);
        kept(keep, byte);
    }
}

fn kept(keep: Option<&mut Vec<u8>>, byte: u8) {
    if let Some(keep) = keep {
        keep.push(byte);
    }
}

/// The open brackets around a value: a bit for each, set for objects.
#[derive(Default)]
struct Nesting {
    depth: u32,
    objects: u64,
}

impl Nesting {
    fn enter(&mut self, open: u8) -> Scan<()> {
        if self.depth == NESTING {
            return Err(ScanError::Malformed("is nested too deeply"));
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u64::from(open == b'{');
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
    }

    fn closing(&self) -> u8 {
        if self.objects & 1 == 1 { b'}' } else { b']' }
    }
}

/// How many bytes come before a quote, a backslash or a control character.
fn plain_length(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    let in_words = words.iter().position(|word| has_special(u64::from_le_bytes(*word)));
    let start = 8 * in_words.unwrap_or(words.len());
    let rest = if in_words.is_some() { text.get(start..).unwrap_or_default() } else { tail };
    let is_special = |&byte: &u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    start + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// True if one of the eight bytes of `word` ends a run of plain text; may be true for others than ASCII as well.
fn has_special(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let quotes = word ^ (ONES * 0x22);
    let backslashes = word ^ (ONES * 0x5c);
    let below = word.wrapping_sub(ONES * 0x20) | quotes.wrapping_sub(ONES) | backslashes.wrapping_sub(ONES);
    below & (ONES * 0x80) != 0
}
