//! Brings blobs from stored packs into new ones: how prune repacks and how copy copies.
//!
//! Every blob is decoded and verified, then sealed anew by a [`Saver`], which verifies it once more. What cannot be
//! read is told, and its pack named, so that the caller does not give up what may still be of use.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::blob::{BlobKind, BlobRef};
use crate::check::{Findings, Problem};
use crate::ctx::{Counters, Ctx};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{BlobSet, Entry};
use crate::pack::BlobCodec;
use crate::repository::{BlobReader, Repository};
use crate::save::{GiantTree, SaveCounts, Saver, cannot_spool};

const UPLOADERS: usize = 2;
/// Neighbours are read together up to this size.
const TOGETHER_BYTES: u64 = 4 << 20;
/// Reading this much for nothing is cheaper than another read.
const GAP_BYTES: u64 = 64 << 10;
/// Trees from this size on never lie in memory as a whole.
const GIANT_BYTES: u64 = 8 << 20;

/// What to bring, and where to.
pub(crate) struct Transfer<'t> {
    pub(crate) from: &'t Repository,
    /// The entries to bring, by their numbers in the index of `from`.
    pub(crate) wanted: &'t BlobSet,
    pub(crate) findings: &'t Findings,
    pub(crate) workers: usize,
    pub(crate) ctx: &'t Ctx,
}

/// What became of a transfer.
pub(crate) struct Transferred {
    /// Packs with a wanted blob that could not be read, neither there nor elsewhere.
    pub(crate) unreadable: Vec<u32>,
    pub(crate) counts: SaveCounts,
}

impl Transfer<'_> {
    /// Brings the wanted blobs of these packs. When this returns, all that was brought is stored and indexed.
    pub(crate) fn run(&self, packs: &[u32], saver: Saver<'_>) -> Result<Transferred> {
        let ran = self.run_threads(packs, &saver);
        let counts = saver.counts();
        let finished = saver.finish();
        match ran {
            // The failure that an upload left behind explains better than the end of the work it caused.
            Err(error) => Err(finished.err().unwrap_or(error)),
            Ok(unreadable) => finished.map(|()| Transferred { unreadable, counts }),
        }
    }

    fn run_threads(&self, packs: &[u32], saver: &Saver<'_>) -> Result<Vec<u32>> {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let uploads: Vec<_> = (0..UPLOADERS).map(|_| scope.spawn(|| saver.upload())).collect();
            // A mover that fails stops the others, not only itself.
            let work = || Mover::new(self, saver).run(packs, &next).map_err(|error| end(saver, error));
            let movers: Vec<_> = (0..self.workers.max(1)).map(|_| scope.spawn(work)).collect();
            let moved: Vec<_> = movers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            let is_complete = moved.iter().all(|result| matches!(result, Ok(Ok(_))));
            // The uploads must end before a panic goes on.
            let closed = if is_complete { saver.close() } else { saver.abandon() };
            uploads.into_iter().for_each(resume);
            let mut unreadable = Vec::new();
            for result in moved {
                unreadable.extend(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            closed.map(|()| unreadable)
        })
    }
}

/// Leaves an error with the saver, which then stops everybody and gives it back in the end.
fn end(saver: &Saver<'_>, error: Error) -> Error {
    saver.fail(error);
    Error::new(ErrorKind::Cancelled, "the transfer was stopped")
}

fn resume(thread: std::thread::ScopedJoinHandle<'_, ()>) {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// One thread of a transfer, with its buffers.
struct Mover<'m> {
    transfer: &'m Transfer<'m>,
    saver: &'m Saver<'m>,
    reader: BlobReader<'m>,
    codec: BlobCodec<'m>,
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

impl<'m> Mover<'m> {
    fn new(transfer: &'m Transfer<'m>, saver: &'m Saver<'m>) -> Self {
        let (reader, codec) = (transfer.from.blob_reader(), saver.codec());
        Self { transfer, saver, reader, codec, plain: Vec::new(), sealed: Vec::new() }
    }

    fn run(mut self, packs: &[u32], next: &AtomicUsize) -> Result<Vec<u32>> {
        let mut unreadable = Vec::new();
        while let Some(pack) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !self.pack(*pack)? {
                unreadable.push(*pack);
            }
            Counters::add(&self.transfer.ctx.counters.items_done, 1);
        }
        Ok(unreadable)
    }

    /// Brings the wanted blobs of one pack; false if one could not be read.
    fn pack(&mut self, number: u32) -> Result<bool> {
        let wanted = self.transfer.wanted;
        let mut entries: Vec<Entry> = {
            let index = self.transfer.from.index();
            index.entries_of_pack(number).filter(|entry| wanted.contains(entry.ordinal)).collect()
        };
        entries.sort_unstable_by_key(|entry| entry.location.offset);
        let mut is_whole = true;
        let mut rest = entries.as_slice();
        while let Some((group, after)) = rest.split_at_checked(neighbours(rest)).filter(|_| !rest.is_empty())
        {
            self.saver.check()?;
            is_whole &= self.group(group)?;
            rest = after;
        }
        Ok(is_whole)
    }

    fn group(&mut self, group: &[Entry]) -> Result<bool> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(true) };
        if is_giant(first) {
            let saved = self.giant_tree(first.blob);
            return self.judge(first.blob, saved);
        }
        let range = first.location.range().start..last.location.range().end;
        // What this read does not give is tried once more, blob by blob.
        let together = self.transfer.from.storage().read(first.location.pack.into(), range.clone());
        let together = together.unwrap_or_default();
        let mut is_whole = true;
        for entry in group {
            let sealed = part(&together, &range, &entry.location.range());
            let opened = match self.reader.open(entry.blob, &entry.location, sealed, &mut self.plain) {
                Ok(()) => Ok(()),
                Err(_) => self.reader.read(entry.blob, &mut self.plain),
            };
            let saved = match opened {
                Ok(()) => {
                    self.saver.save(entry.blob, &self.plain, &mut self.codec, &mut self.sealed)?;
                    Ok(())
                }
                Err(error) => Err(error),
            };
            is_whole &= self.judge(entry.blob, saved)?;
            let sealed_bytes = u64::from(entry.location.length);
            Counters::add(&self.transfer.ctx.counters.bytes_done, sealed_bytes);
        }
        Ok(is_whole)
    }

    /// Decodes a giant tree into a spool, in which it is sealed anew.
    fn giant_tree(&mut self, blob: BlobRef) -> Result<()> {
        let mut plain = self.reader.stream(blob)?;
        let mut tree = GiantTree::new(self.saver.repository()).map_err(cannot_spool)?;
        let failed = |e: io::Error| {
            let kind = match e.kind() {
                io::ErrorKind::InvalidData => ErrorKind::Damaged,
                _ => ErrorKind::Io,
            };
            Error::new(kind, format!("cannot copy the {blob}")).because(e)
        };
        io::copy(&mut plain, &mut tree).map_err(failed)?;
        let saved = self.saver.save_giant(tree.finish()?);
        // Not the blob's fault: only reading it is judged.
        saved.map(|_| ()).map_err(|error| end(self.saver, error))
    }

    /// Tells what could not be read; anything but damage and failed reads ends the transfer.
    fn judge(&self, blob: BlobRef, result: Result<()>) -> Result<bool> {
        let Err(error) = result else { return Ok(true) };
        self.saver.check()?;
        match error.kind {
            ErrorKind::Damaged | ErrorKind::Storage | ErrorKind::NotFound => {
                Counters::add(&self.transfer.ctx.counters.errors, 1);
                self.transfer.findings.problem(Problem::of_error(blob, &error));
                Ok(false)
            }
            _ => Err(error),
        }
    }
}

fn is_giant(entry: &Entry) -> bool {
    let bytes = entry.location.plain_length().max(entry.location.length.into());
    entry.blob.kind == BlobKind::Tree && bytes > GIANT_BYTES
}

/// How many of these entries, sorted by place, are best read together.
fn neighbours(entries: &[Entry]) -> usize {
    let Some(first) = entries.first() else { return 0 };
    let start = first.location.range().start;
    let fits = |pair: &[Entry]| match pair {
        [before, after] => {
            let (before, range) = (before.location.range(), after.location.range());
            let gap = range.start.saturating_sub(before.end);
            !is_giant(after) && gap <= GAP_BYTES && range.end.max(before.end) - start <= TOGETHER_BYTES
        }
        _ => false,
    };
    if is_giant(first) { 1 } else { 1 + entries.windows(2).take_while(|pair| fits(pair)).count() }
}

/// The bytes of `inner` within `bytes`, which are those of `outer`; none if they are not all there.
fn part<'b>(bytes: &'b [u8], outer: &Range<u64>, inner: &Range<u64>) -> &'b [u8] {
    let start = usize::try_from(inner.start - outer.start).ok();
    let end = inner.end.checked_sub(outer.start).and_then(|end| usize::try_from(end).ok());
    start.zip(end).and_then(|(start, end)| bytes.get(start..end)).unwrap_or_default()
}
