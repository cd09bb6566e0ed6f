//! Content-defined chunking with the repository's own Rabin polynomial.
//!
//! The cuts are those of restic's chunker, place for place, so that the same content gives the same blobs
//! whoever wrote it: at least 512 KiB and at most 8 MiB, cut where the digest of the last 64 bytes says so.
//! Nothing is stored here; after a crash the same bytes give the same chunks again.

use std::io::{self, Read};
use std::sync::Arc;

mod polynomial;
mod scan;
#[cfg(test)]
mod tests;

pub use polynomial::{InvalidPolynomial, Polynomial};

use scan::{BLOCK_BYTES, Tables, WINDOW_BYTES};

/// No chunk but the last of a file is shorter.
pub const MIN_CHUNK_BYTES: usize = 512 * 1024;

/// No chunk is longer.
pub const MAX_CHUNK_BYTES: usize = 8 * 1024 * 1024;

/// How much is read at once: little enough to stay in a core's cache until it has been scanned.
const READ_BYTES: usize = 256 * 1024;

/// Finds where files are cut. Clones share the tables, so one for each file costs nothing.
#[derive(Clone, Debug)]
pub struct Chunker {
    tables: Arc<Tables>,
    /// The unfinished chunk has no cut up to here.
    scanned: usize,
}

impl Chunker {
    pub fn new(polynomial: Polynomial) -> Self {
        Self { tables: Arc::new(Tables::new(polynomial)), scanned: 0 }
    }

    /// The length of the chunk that `data` starts with, or none while more data is needed to tell.
    ///
    /// `data` starts where the last chunk ended and only ever grows until this returns a length; what has
    /// been scanned is not scanned again. With `is_end` nothing follows `data`, and only empty data has no
    /// chunk.
    pub fn next_cut(&mut self, data: &[u8], is_end: bool) -> Option<usize> {
        let cut = self.find_cut(data, is_end);
        let cut = cut.or_else(|| (is_end && !data.is_empty()).then_some(data.len()));
        if cut.is_some() {
            self.scanned = 0;
        }
        cut
    }

    fn find_cut(&mut self, data: &[u8], is_end: bool) -> Option<usize> {
        if data.len() < MIN_CHUNK_BYTES {
            return None;
        }
        // The first place that may be cut is the shortest chunk itself, so start one byte before it.
        let scanned = self.scanned.max(MIN_CHUNK_BYTES - 1);
        let limit = data.len().min(MAX_CHUNK_BYTES);
        let is_last = is_end || limit == MAX_CHUNK_BYTES;
        // A part of a block can wait: with the next data it will be a whole one, which scans faster.
        let waiting = if is_last { 0 } else { (limit - scanned) % BLOCK_BYTES };
        let unscanned = data.get(scanned - WINDOW_BYTES..limit - waiting)?;
        let cut = scan::first_cut(&self.tables, unscanned).map(|passed| scanned + passed);
        self.scanned = limit - waiting;
        cut.or_else(|| (limit == MAX_CHUNK_BYTES).then_some(limit))
    }
}

/// Cuts what a reader delivers into chunks.
#[derive(Debug)]
pub struct ChunkStream<R> {
    chunker: Chunker,
    reader: R,
    /// Bytes read beyond the last cut.
    carry: Vec<u8>,
    /// The reader is expected to deliver this many bytes more; only the size of buffers depends on it.
    expected_bytes: u64,
    is_end: bool,
}

impl<R: Read> ChunkStream<R> {
    /// `expected_bytes` is the size of the file as far as known; a wrong one only costs time.
    pub fn new(chunker: Chunker, reader: R, expected_bytes: u64) -> Self {
        let chunker = Chunker { scanned: 0, ..chunker };
        Self { chunker, reader, carry: Vec::new(), expected_bytes, is_end: false }
    }

    /// Replaces the content of `buffer` by the next chunk; false, and an empty buffer, at the end.
    ///
    /// After an error the buffer holds what could be read of a chunk, and the stream is of no more use.
    pub fn next_chunk(&mut self, buffer: &mut Vec<u8>) -> io::Result<bool> {
        buffer.clear();
        buffer.extend_from_slice(&self.carry);
        self.carry.clear();
        loop {
            if let Some(cut) = self.chunker.next_cut(buffer, self.is_end) {
                self.carry.extend_from_slice(buffer.get(cut..).unwrap_or_default());
                buffer.truncate(cut);
                return Ok(true);
            }
            if self.is_end {
                return Ok(false);
            }
            self.read_more(buffer)?;
        }
    }

    /// The reader, wherever it stands.
    pub fn into_inner(self) -> R {
        self.reader
    }

    fn read_more(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let held = buffer.len();
        // One byte more than expected shows, without another call, that a file has grown.
        let expected = usize::try_from(self.expected_bytes.saturating_add(1)).unwrap_or(usize::MAX);
        buffer.resize(held + expected.clamp(512, READ_BYTES), 0);
        let read = loop {
            match self.reader.read(buffer.get_mut(held..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        buffer.truncate(held + read.as_ref().map_or(0, |read| *read));
        let read = read?;
        self.is_end = read == 0;
        self.expected_bytes = self.expected_bytes.saturating_sub(read as u64);
        Ok(())
    }
}
