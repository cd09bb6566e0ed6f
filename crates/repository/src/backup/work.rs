//! The workers: read files, cut them into chunks, save the chunks.
//!
//! A small file is done by one worker from start to end. The chunks of a large file are offered to the other
//! workers; who finds the offer full, or waits for chunks given away, works on chunks himself. So nobody
//! waits for work that nobody does.

use std::num::NonZeroUsize;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, select, unbounded};

use crate::blob::{BlobKind, BlobRef};
use crate::chunker::{ChunkStream, Chunker};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::id::BlobId;
use crate::pack::BlobCodec;
use crate::save::Saver;
use crate::source::{Content, Entry, EntryError};
use crate::tree::{Node, NodeTime};
use crate::{Counters, Ctx};

/// Buffers that a worker keeps for the next chunks, and how large they may be.
const MOST_SPARE: usize = 2;
const LARGEST_SPARE_BYTES: usize = 2 << 20;

/// A file that must be read.
pub(super) struct FileJob {
    pub(super) entry: Entry,
    /// The parent has another version of it.
    pub(super) is_changed: bool,
}

/// Files to read, and where to say what came of them.
pub(crate) struct Work {
    pub(super) jobs: Vec<FileJob>,
    pub(super) reply: Sender<Vec<FileOutcome>>,
    pub(super) chunks: Sender<ChunkJob>,
}

/// What came of one file.
pub(super) struct FileOutcome {
    /// None when nothing of it could be saved.
    pub(super) node: Option<Node>,
    pub(super) is_changed: bool,
    pub(super) lost: Vec<EntryError>,
    /// Plaintext bytes that were new to the repository.
    pub(super) bytes_added: u64,
    pub(super) took: Duration,
}

/// A blob that any worker may save.
pub(crate) enum ChunkJob {
    Data {
        plaintext: Vec<u8>,
        position: usize,
        saved: Sender<(usize, Option<SavedChunk>)>,
    },
    Tree {
        id: BlobId,
        plaintext: Vec<u8>,
    },
    /// Chunks that lie behind each other, each `piece_bytes` long but the last. Nobody is told of those that could not
    /// be saved.
    Pieces {
        plaintext: Vec<u8>,
        piece_bytes: NonZeroUsize,
        saved: Box<dyn FnOnce(Vec<SavedChunk>) + Send>,
    },
}

pub(crate) struct SavedChunk {
    pub(crate) id: BlobId,
    /// None of them when the repository had it already.
    pub(crate) bytes_added: u64,
}

pub(crate) struct Worker<'a> {
    saver: &'a Saver<'a>,
    chunker: &'a Chunker,
    chunks: Receiver<ChunkJob>,
    codec: BlobCodec<'a>,
    sealed: Vec<u8>,
    spare: Vec<Vec<u8>>,
    clock: &'a dyn Clock,
    ctx: &'a Ctx,
}

/// Why a file could not be saved.
enum SaveError {
    /// It could not be read: one line in the report.
    Entry(EntryError),
    /// The repository failed; the saver knows why.
    Repository,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(
        saver: &'a Saver<'a>,
        chunker: &'a Chunker,
        chunks: Receiver<ChunkJob>,
        ctx: &'a Ctx,
    ) -> Self {
        let codec = saver.codec();
        let clock = &*saver.repository().settings().time.clock;
        Self { saver, chunker, chunks, codec, sealed: Vec::new(), spare: Vec::new(), clock, ctx }
    }

    /// Works until there are no more files and nobody is left who could offer chunks.
    pub(crate) fn run(mut self, work: &Receiver<Work>) {
        loop {
            if let Ok(chunk) = self.chunks.try_recv() {
                self.save_chunk(chunk);
                continue;
            }
            select! {
                recv(self.chunks) -> chunk => match chunk {
                    Ok(chunk) => self.save_chunk(chunk),
                    Err(_) => return,
                },
                recv(work) -> work => match work {
                    Ok(work) => self.save_files(work),
                    Err(_) => break,
                },
            }
        }
        while let Ok(chunk) = self.chunks.recv() {
            self.save_chunk(chunk);
        }
    }

    fn save_files(&mut self, work: Work) {
        let mut outcomes = Vec::with_capacity(work.jobs.len());
        for job in work.jobs {
            if self.saver.check().is_err() {
                return;
            }
            let FileJob { entry, is_changed } = job;
            let began = self.clock.now();
            let mut lost = Vec::new();
            let (node, bytes_added) = match self.save_file(&entry, &work.chunks, &mut lost) {
                Ok((node, bytes_added)) => (Some(node), bytes_added),
                Err(SaveError::Entry(error)) => {
                    lost.push(error);
                    (None, 0)
                }
                Err(SaveError::Repository) => return,
            };
            Counters::add(&self.ctx.counters.items_done, 1);
            Counters::add(&self.ctx.counters.errors, lost.len() as u64);
            let took = self.clock.since(began);
            outcomes.push(FileOutcome { node, is_changed, lost, bytes_added, took });
        }
        // Nobody waits for the outcomes only when the assembler has failed, and it says so itself.
        work.reply.send(outcomes).unwrap_or_default();
    }

    fn save_file(
        &mut self,
        entry: &Entry,
        offers: &Sender<ChunkJob>,
        lost: &mut Vec<EntryError>,
    ) -> Result<(Node, u64), SaveError> {
        self.ctx.counters.set_item(&entry.path);
        let mut content = entry.access.open().map_err(SaveError::Entry)?;
        let mut node = content.node().map_err(SaveError::Entry)?;
        node.name.clone_from(&entry.node.name);
        if let Err(error) = entry.access.complete(&mut node) {
            // Without its ctime the next backup does not take the file for unchanged and asks again.
            node.ctime = NodeTime::UNKNOWN;
            lost.push(error);
        }
        let blobs = self.save_content(entry, &mut *content, node.size, offers)?;
        node.size = blobs.bytes;
        node.content = Some(blobs.ids);
        match content.changed() {
            Ok(None) => {}
            Ok(Some(how)) => {
                lost.push(EntryError {
                    path: entry.path.clone(),
                    op: "read a steady state of",
                    cause: how.into(),
                });
            }
            Err(error) => lost.push(error),
        }
        Ok((node, blobs.bytes_added))
    }

    fn save_content(
        &mut self,
        entry: &Entry,
        content: &mut dyn Content,
        expected_bytes: u64,
        offers: &Sender<ChunkJob>,
    ) -> Result<Blobs, SaveError> {
        let mut stream = ChunkStream::new(self.chunker.clone(), content, expected_bytes);
        let (saved, results) = unbounded();
        let mut blobs = Blobs::default();
        let mut away = 0;
        loop {
            let mut plaintext = self.spare.pop().unwrap_or_default();
            let has_chunk = stream.next_chunk(&mut plaintext).map_err(|cause| {
                SaveError::Entry(EntryError { path: entry.path.clone(), op: "read", cause: cause.into() })
            })?;
            if !has_chunk {
                self.spare.push(plaintext);
                break;
            }
            let length = plaintext.len() as u64;
            blobs.bytes += length;
            Counters::add(&self.ctx.counters.bytes_done, length);
            Counters::add(&self.ctx.counters.bytes_read, length);
            let position = blobs.ids.len();
            blobs.ids.push(BlobId::of(&[]));
            let is_whole_file = position == 0 && length >= expected_bytes;
            let chunk = ChunkJob::Data { plaintext, position, saved: saved.clone() };
            away += 1;
            match if is_whole_file { Err(TrySendError::Full(chunk)) } else { offers.try_send(chunk) } {
                Ok(()) => {}
                Err(TrySendError::Full(chunk) | TrySendError::Disconnected(chunk)) => self.save_chunk(chunk),
            }
            self.saver.check().map_err(|_| SaveError::Repository)?;
        }
        // So that a chunk that gets lost with its worker is noticed.
        drop(saved);
        while away > 0 {
            select! {
                recv(results) -> result => {
                    away -= 1;
                    blobs.place(result.ok()).ok_or(SaveError::Repository)?;
                }
                recv(self.chunks) -> chunk => if let Ok(chunk) = chunk { self.save_chunk(chunk) },
            }
        }
        Ok(blobs)
    }

    fn save_chunk(&mut self, chunk: ChunkJob) {
        let plaintext = match chunk {
            ChunkJob::Data { plaintext, position, saved } => {
                let result = self.save_blob(BlobKind::Data, BlobId::of(&plaintext), &plaintext);
                // Whoever does not wait for the result any more has failed at something else.
                saved.send((position, result)).unwrap_or_default();
                plaintext
            }
            ChunkJob::Tree { id, plaintext } => {
                self.save_blob(BlobKind::Tree, id, &plaintext);
                plaintext
            }
            ChunkJob::Pieces { plaintext, piece_bytes, saved } => {
                let pieces = plaintext.chunks(piece_bytes.get());
                let pieces = pieces.map(|piece| self.save_blob(BlobKind::Data, BlobId::of(piece), piece));
                if let Some(pieces) = pieces.collect() {
                    saved(pieces);
                }
                plaintext
            }
        };
        if self.spare.len() < MOST_SPARE && plaintext.capacity() <= LARGEST_SPARE_BYTES {
            self.spare.push(plaintext);
        }
    }

    /// None when the repository failed; the saver knows why.
    fn save_blob(&mut self, kind: BlobKind, id: BlobId, plaintext: &[u8]) -> Option<SavedChunk> {
        let result = self.saver.save(BlobRef { kind, id }, plaintext, &mut self.codec, &mut self.sealed);
        if self.sealed.capacity() > LARGEST_SPARE_BYTES {
            self.sealed = Vec::new();
        }
        match result {
            Ok(saved) => Some(SavedChunk { id, bytes_added: saved.plain_bytes() }),
            Err(error) => {
                self.saver.fail(error);
                None
            }
        }
    }
}

/// The content of one file as far as it is saved.
#[derive(Default)]
struct Blobs {
    ids: Vec<BlobId>,
    bytes: u64,
    bytes_added: u64,
}

impl Blobs {
    fn place(&mut self, result: Option<(usize, Option<SavedChunk>)>) -> Option<()> {
        let (position, saved) = result?;
        let SavedChunk { id, bytes_added } = saved?;
        *self.ids.get_mut(position)? = id;
        self.bytes_added += bytes_added;
        Some(())
    }
}

/// Takes and drops all work until there is no more.
pub(crate) fn drain(work: &Receiver<Work>, chunks: &Receiver<ChunkJob>) {
    loop {
        select! {
            recv(chunks) -> chunk => if chunk.is_err() { return },
            recv(work) -> work => if work.is_err() { break },
        }
    }
    while chunks.recv().is_ok() {}
}

/// What the saver says when a worker stops without an error of its own.
pub(super) fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "the backup was stopped")
}
