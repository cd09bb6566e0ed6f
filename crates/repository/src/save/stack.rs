//! The trees being made, as a stack of JSON: each lies behind the beginning of the one that it is in.
//!
//! Only the innermost grows, so however deep they are and however long, all of them share [`MEMORY_BYTES`] and one
//! spool. What the memory has no room for, the outermost first, goes to the spool in sealed runs and comes back once
//! the trees behind it have been taken off. The spool has no name on disk, so a crash leaves nothing behind.

use std::io::{self, Write};
use std::num::NonZeroU32;

use super::spooled::{GiantTree, SealedTree, cannot_spool};
use crate::blob::{BlobKind, BlobRef};
use crate::error::{Error, Result};
use crate::id::BlobId;
use crate::pack::{BlobCodec, Compression};
use crate::repository::Repository;
use crate::spool::Spool;

/// When this much is in memory, half of it goes to the spool.
const MEMORY_BYTES: usize = 8 << 20;
const RUN_BYTES: usize = 1 << 20;

/// A longer tree is sealed into a spool of its own.
const IN_MEMORY_BYTES: u64 = 4 << 20;

/// A tree that is complete and has a name.
pub(crate) enum FinishedTree {
    InMemory { id: BlobId, json: Vec<u8> },
    Sealed(SealedTree),
}

/// Takes the JSON of trees within trees.
pub(crate) struct TreeStack<'r> {
    repository: &'r Repository,
    codec: BlobCodec<'r>,
    /// Lie in front of what is in memory.
    runs: Vec<Run>,
    spool: Option<Spool>,
    top: Vec<u8>,
    sealed: Vec<u8>,
}

/// [`RUN_BYTES`] of the stack, in the spool.
#[derive(Clone, Copy)]
struct Run {
    blob: BlobRef,
    offset: u64,
    sealed_bytes: usize,
    uncompressed_length: Option<NonZeroU32>,
}

impl<'r> TreeStack<'r> {
    pub(crate) fn new(repository: &'r Repository) -> Self {
        let codec = BlobCodec::new(repository.master_key(), Compression::Auto);
        Self { repository, codec, runs: Vec::new(), spool: None, top: Vec::new(), sealed: Vec::new() }
    }

    pub(crate) fn len(&self) -> u64 {
        self.spooled_bytes() + self.top.len() as u64
    }

    fn spooled_bytes(&self) -> u64 {
        (self.runs.len() * RUN_BYTES) as u64
    }

    /// Takes off the innermost tree, which begins at `start` and is complete.
    pub(crate) fn take_off(&mut self, start: u64) -> Result<FinishedTree> {
        if self.len() - start > IN_MEMORY_BYTES {
            return self.take_off_giant(start).map(FinishedTree::Sealed);
        }
        while start < self.spooled_bytes() {
            self.fetch()?;
        }
        let place = self.place_in_top(start);
        let json = self.top.get(place..).unwrap_or_default().to_vec();
        self.top.truncate(place);
        Ok(FinishedTree::InMemory { id: BlobId::of(&json), json })
    }

    /// Takes off the last tree there is.
    pub(crate) fn finish(mut self) -> Result<FinishedTree> {
        self.take_off(0)
    }

    fn take_off_giant(&mut self, start: u64) -> Result<SealedTree> {
        let mut tree = GiantTree::new(self.repository).map_err(cannot_spool)?;
        let first = usize::try_from(start / RUN_BYTES as u64).unwrap_or(usize::MAX);
        let within = usize::try_from(start % RUN_BYTES as u64).unwrap_or_default();
        let mut plain = Vec::new();
        for at in first..self.runs.len() {
            self.load(at, &mut plain)?;
            let skip = if at == first { within } else { 0 };
            tree.write_all(plain.get(skip..).unwrap_or_default()).map_err(cannot_spool)?;
        }
        let place = self.place_in_top(start);
        tree.write_all(self.top.get(place..).unwrap_or_default()).map_err(cannot_spool)?;
        self.top.truncate(place);
        if start < self.spooled_bytes() {
            // What shares a run with the beginning of the tree stays.
            self.runs.truncate(first + 1);
            self.fetch()?;
            self.top.truncate(within);
        }
        tree.finish()
    }

    /// Where the byte `start` of the stack is in memory; 0 if it is not.
    fn place_in_top(&self, start: u64) -> usize {
        usize::try_from(start.saturating_sub(self.spooled_bytes())).unwrap_or(usize::MAX).min(self.top.len())
    }

    /// Sends the front of what is in memory to the spool.
    fn spill(&mut self) -> io::Result<()> {
        let spool = match &mut self.spool {
            Some(spool) => spool,
            None => self.spool.insert(Spool::create(&self.repository.settings().spool_folder)?),
        };
        let mut left = self.top.len();
        let runs = self.top.chunks_exact(RUN_BYTES).take_while(|_| {
            let goes = left > MEMORY_BYTES / 2;
            left -= RUN_BYTES;
            goes
        });
        let mut spilled = 0;
        for run in runs {
            self.sealed.clear();
            let blob = BlobRef { kind: BlobKind::Tree, id: BlobId::of(run) };
            let uncompressed_length = self.codec.seal(run, &mut self.sealed);
            let offset = spool.len();
            spool.write_all(&self.sealed)?;
            self.runs.push(Run { blob, offset, sealed_bytes: self.sealed.len(), uncompressed_length });
            spilled += RUN_BYTES;
        }
        self.top.drain(..spilled);
        Ok(())
    }

    /// Brings the last run back.
    fn fetch(&mut self) -> Result<()> {
        let mut plain = Vec::new();
        self.load(self.runs.len().saturating_sub(1), &mut plain)?;
        if let (Some(run), Some(spool)) = (self.runs.pop(), &mut self.spool) {
            spool.truncate(run.offset);
        }
        plain.extend_from_slice(&self.top);
        self.top = plain;
        Ok(())
    }

    fn load(&mut self, at: usize, plain: &mut Vec<u8>) -> Result<()> {
        let (Some(run), Some(spool)) = (self.runs.get(at), &self.spool) else {
            return Err(Error::damaged("a run of a tree is not there"));
        };
        self.sealed.resize(run.sealed_bytes, 0);
        spool.read_exact_at(&mut self.sealed, run.offset).map_err(cannot_spool)?;
        self.codec.open(run.blob, &self.sealed, run.uncompressed_length, plain)
    }
}

/// A write that fails may have kept a part; the backup ends with it.
impl Write for TreeStack<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.top.extend_from_slice(bytes);
        if self.top.len() > MEMORY_BYTES {
            self.spill()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
