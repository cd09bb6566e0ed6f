//! The bytes of an RDB, one after the other, with their checksum and their offset.
//!
//! A value can be recorded while it is read. Where it grows longer than the record may be, it is read again from its
//! start: first what was recorded, then what follows. Nothing else is ever held but one buffer.

use std::io::{ErrorKind, Read};

use super::crc64::Crc64;
use super::error::{RdbError, RdbErrorKind, Result};

const BUFFER_BYTES: usize = 1 << 16;

pub(crate) struct Input<R> {
    reader: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// How far into the buffer the checksum has come.
    summed: usize,
    crc: Crc64,
    /// Of the byte at `start`.
    offset: u64,
    record: Option<Record>,
    /// What was recorded and is read again.
    replay: Vec<u8>,
    replayed: usize,
}

struct Record {
    bytes: Vec<u8>,
    most: usize,
}

/// A length, or how a string is encoded that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Plain(u64),
    Encoded(u8),
}

impl<R: Read> Input<R> {
    pub(crate) fn new(reader: R) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        let (crc, replay) = (Crc64::default(), Vec::new());
        Self {
            reader,
            buffer,
            start: 0,
            end: 0,
            summed: 0,
            crc,
            offset: 0,
            record: None,
            replay,
            replayed: 0,
        }
    }

    /// Of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.offset - (self.replay.len() - self.replayed) as u64
    }

    pub(crate) fn damaged(&self, what: impl Into<String>) -> RdbError {
        RdbError::new(RdbErrorKind::Damaged, self.offset(), what)
    }

    pub(crate) fn unsupported(&self, what: impl Into<String>) -> RdbError {
        RdbError::new(RdbErrorKind::Unsupported, self.offset(), what)
    }

    /// The next bytes: at least one, at most `most`, which is not zero.
    pub(crate) fn take(&mut self, most: u64) -> Result<&[u8]> {
        let is_again = self.replayed < self.replay.len();
        if !is_again && self.start == self.end && !self.refill()? {
            return Err(self.damaged("the end comes too early"));
        }
        let (bytes, at) = match is_again {
            true => (self.replay.as_slice(), &mut self.replayed),
            false => (self.buffer.get(..self.end).unwrap_or_default(), &mut self.start),
        };
        let rest = bytes.get(*at..).unwrap_or_default();
        let taken = rest.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        let piece = rest.get(..taken).unwrap_or_default();
        *at += taken;
        if !is_again {
            self.offset += taken as u64;
        }
        if let Some(record) = &mut self.record {
            record.bytes.extend_from_slice(piece);
            if record.bytes.len() > record.most {
                return Err(RdbError::new(RdbErrorKind::Long, self.offset, "a long value"));
            }
        }
        Ok(piece)
    }

    /// Fills the empty buffer; false at the end.
    fn refill(&mut self) -> Result<bool> {
        self.sum();
        self.replay = Vec::new();
        (self.replayed, self.start, self.end, self.summed) = (0, 0, 0, 0);
        loop {
            match self.reader.read(&mut self.buffer) {
                Ok(read) => {
                    self.end = read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(RdbError::read(self.offset, error)),
            }
        }
    }

    fn sum(&mut self) {
        self.crc.update(self.buffer.get(self.summed..self.start).unwrap_or_default());
        self.summed = self.start;
    }

    /// Of everything so far.
    pub(crate) fn checksum(&mut self) -> u64 {
        self.sum();
        self.crc.value()
    }

    pub(crate) fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.start == self.end && !self.refill()?)
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        let mut rest = array.as_mut_slice();
        while !rest.is_empty() {
            let piece = self.take(rest.len() as u64)?;
            let (filled, left) = rest.split_at_mut(piece.len());
            filled.copy_from_slice(piece);
            rest = left;
        }
        Ok(array)
    }

    pub(crate) fn skip(&mut self, mut bytes: u64) -> Result<()> {
        while bytes > 0 {
            bytes -= self.take(bytes)?.len() as u64;
        }
        Ok(())
    }

    pub(crate) fn length_or_encoding(&mut self) -> Result<Length> {
        let first = self.byte()?;
        let low = first & 0x3f;
        match (first >> 6, first) {
            (0, _) => Ok(Length::Plain(low.into())),
            (1, _) => Ok(Length::Plain(u64::from(u16::from_be_bytes([low, self.byte()?])))),
            (3, _) => Ok(Length::Encoded(low)),
            (_, 0x80) => Ok(Length::Plain(u64::from(u32::from_be_bytes(self.array()?)))),
            (_, 0x81) => Ok(Length::Plain(u64::from_be_bytes(self.array()?))),
            _ => Err(self.damaged(format!("{first:#04x} is not a length"))),
        }
    }

    pub(crate) fn length(&mut self) -> Result<u64> {
        match self.length_or_encoding()? {
            Length::Plain(length) => Ok(length),
            Length::Encoded(_) => Err(self.damaged("a length is a string")),
        }
    }

    /// Records what is read from now on, up to `most` bytes: then `take` fails as [`RdbErrorKind::Long`].
    pub(crate) fn record(&mut self, bytes: Vec<u8>, most: usize) {
        let most = most.saturating_add(bytes.len());
        self.record = Some(Record { bytes, most });
    }

    pub(crate) fn recorded(&mut self) -> Vec<u8> {
        self.record.take().map(|record| record.bytes).unwrap_or_default()
    }

    /// Reads what was recorded again, apart from its first bytes, which were never read.
    pub(crate) fn again(&mut self, but: usize) {
        let mut bytes = self.recorded();
        bytes.extend_from_slice(self.replay.get(self.replayed..).unwrap_or_default());
        (self.replay, self.replayed) = (bytes, but);
    }
}
