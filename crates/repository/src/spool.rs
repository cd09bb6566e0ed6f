//! Temporary files for what is too large to hold in memory: sealed giant trees, sorted runs of names.
//!
//! A spool has no name on disk where the file system allows it, so a crash leaves nothing behind.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An unnamed temporary file with positional reads.
#[derive(Debug)]
pub struct Spool {
    file: File,
    len: u64,
}

impl Spool {
    /// Creates an empty spool in `folder`.
    pub fn create(folder: &Path) -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(folder)?, len: 0 })
    }

    #[expect(clippy::len_without_is_empty, reason = "an empty spool is of no use to anyone")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Gives up all behind the first `len` bytes; what is written next takes their place.
    pub fn truncate(&mut self, len: u64) {
        self.len = self.len.min(len);
    }

    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Reads from the start; several readers may run at once.
    pub fn reader(&self) -> SpoolReader<'_> {
        SpoolReader { spool: self, at: 0 }
    }
}

/// Appends at the end.
impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write_at(bytes, self.len)?;
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sequential reader over a [`Spool`].
#[derive(Debug)]
pub struct SpoolReader<'a> {
    spool: &'a Spool,
    at: u64,
}

impl Read for SpoolReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.spool.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let read = self.spool.file.read_at(buffer.get_mut(..room).unwrap_or_default(), self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
