//! One file that arrives: its bytes are cut, handed to workers, and their names collected.
//!
//! The cuts depend on the bytes alone, not on the pieces they arrive in.

use std::io::{self, Write};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::assembly::Arrived;
use super::{Intake, UnderWay};
use crate::backup::pipeline::{ChunkJob, SavedChunk};
use crate::chunker::Chunker;
use crate::ctx::Counters;
use crate::error::{Error, ErrorKind, Result};
use crate::id::BlobId;
use crate::save::locked;
use crate::tree::Node;

/// So many bytes of equal pieces go to a worker at once.
const HAND_OVER_BYTES: usize = 512 << 10;

/// How the content of a file is cut into blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Where the content says so: what moves within a file is found again.
    Content,
    /// Every so many bytes from the start: for files of pages that change in place.
    Every(NonZeroU32),
}

/// A file under way. One that is dropped before it was finished makes the whole intake fail.
pub struct FileIntake<'a> {
    intake: &'a Intake<'a>,
    path: PathBuf,
    node: Node,
    cutter: Cutter,
    buffer: Vec<u8>,
    size: u64,
    /// How many blobs were handed over.
    pieces: usize,
    blobs: Arc<Mutex<Blobs>>,
    is_finished: bool,
}

enum Cutter {
    Content(Chunker),
    Every(NonZeroUsize),
}

/// The blobs of a file, as far as they are saved.
#[derive(Default)]
pub(super) struct Blobs {
    pub(super) ids: Vec<BlobId>,
    pub(super) bytes_added: u64,
}

impl<'a> FileIntake<'a> {
    pub(super) fn new(intake: &'a Intake<'a>, path: PathBuf, node: Node, cut: Cut) -> Self {
        let cutter = match cut {
            Cut::Content => Cutter::Content(intake.chunker.clone()),
            Cut::Every(bytes) => Cutter::Every(bytes.try_into().unwrap_or(NonZeroUsize::MIN)),
        };
        let (buffer, blobs) = (Vec::new(), Arc::default());
        Self { intake, path, node, cutter, buffer, size: 0, pieces: 0, blobs, is_finished: false }
    }

    /// Adds to the end of the file.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let counters = &self.intake.ctx.counters;
        self.size += bytes.len() as u64;
        Counters::add(&counters.bytes_done, bytes.len() as u64);
        Counters::add(&counters.bytes_read, bytes.len() as u64);
        self.buffer.extend_from_slice(bytes);
        self.cut(false)
    }

    /// Ends the file.
    pub fn finish(mut self) -> Result<()> {
        self.cut(true)?;
        self.is_finished = true;
        Counters::add(&self.intake.ctx.counters.items_done, 1);
        let node = Node { size: self.size, ..std::mem::take(&mut self.node) };
        let arrived = Arrived::file(std::mem::take(&mut self.path), node, Arc::clone(&self.blobs));
        locked(&self.intake.arrived).push(arrived);
        Ok(())
    }

    fn cut(&mut self, is_end: bool) -> Result<()> {
        while let Some((length, piece_bytes)) = self.next_cut(is_end) {
            let rest = self.buffer.split_off(length);
            let plaintext = std::mem::replace(&mut self.buffer, rest);
            self.hand_over(plaintext, piece_bytes)?;
        }
        Ok(())
    }

    /// How much of the buffer can go, in pieces of which size.
    fn next_cut(&mut self, is_end: bool) -> Option<(usize, NonZeroUsize)> {
        match &mut self.cutter {
            Cutter::Content(chunker) => {
                let length = chunker.next_cut(&self.buffer, is_end)?;
                Some((length, NonZeroUsize::new(length)?))
            }
            Cutter::Every(bytes) => {
                let batch = HAND_OVER_BYTES.next_multiple_of(bytes.get());
                let is_due = is_end || self.buffer.len() >= batch;
                (is_due && !self.buffer.is_empty()).then(|| (self.buffer.len().min(batch), *bytes))
            }
        }
    }

    fn hand_over(&mut self, plaintext: Vec<u8>, piece_bytes: NonZeroUsize) -> Result<()> {
        self.intake.saver.check()?;
        let first = self.pieces;
        self.pieces += plaintext.len().div_ceil(piece_bytes.get());
        let (blobs, end) = (Arc::clone(&self.blobs), self.pieces);
        let ticket = UnderWay::ticket(&self.intake.under_way);
        let saved = Box::new(move |saved: Vec<SavedChunk>| {
            place(&mut locked(&blobs), first, end, &saved);
            drop(ticket);
        });
        let job = ChunkJob::Pieces { plaintext, piece_bytes, saved };
        let stopped = |_| Error::new(ErrorKind::Cancelled, "the intake was stopped");
        self.intake.chunks.send(job).map_err(stopped)
    }
}

/// Workers are done in any order.
fn place(blobs: &mut Blobs, first: usize, end: usize, saved: &[SavedChunk]) {
    if blobs.ids.len() < end {
        blobs.ids.resize(end, BlobId::of(&[]));
    }
    for (slot, chunk) in blobs.ids.iter_mut().skip(first).zip(saved) {
        *slot = chunk.id;
        blobs.bytes_added += chunk.bytes_added;
    }
}

impl Write for FileIntake<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        FileIntake::write(self, bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for FileIntake<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.intake.under_way.leave_unfinished();
        }
    }
}
