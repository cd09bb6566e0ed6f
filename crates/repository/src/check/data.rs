//! Reading packs in full: the name is the digest of the bytes, the header says what the index says, and every
//! blob decodes to what it is named after.
//!
//! A pack passes as a stream; no more than one blob of ordinary size is held by each thread. Blobs that are
//! larger, which only giant directory listings are, are read once more through a spool.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use aws_lc_rs::digest::{Context, SHA256};

use super::subset::Candidate;
use super::{CheckOptions, CheckReport, Findings, PackSizes, Problem, ProblemKind, packed};
use crate::blob::PackedBlob;
use crate::ctx::{Counters, Ctx};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Id, PackId};
use crate::index::Location;
use crate::pack::parse_header;
use crate::repository::{BlobReader, Repository};
use crate::storage::FileId;

const PART_BYTES: u64 = 1 << 20;
/// Blobs up to this size are decoded in memory.
const IN_MEMORY_BYTES: u64 = 8 << 20;
/// restic refuses longer headers.
const MOST_HEADER_BYTES: u64 = 16 << 20;
const HEADER_LENGTH_BYTES: u64 = 4;

impl Repository {
    /// Reads the packs that `options` ask for.
    pub(super) fn check_data(
        &self,
        sizes: &PackSizes,
        options: &CheckOptions,
        (findings, report): (&Findings, &mut CheckReport),
        ctx: &Ctx,
    ) -> Result<()> {
        let mut packs: Vec<Candidate> = (0..)
            .zip(self.index().packs())
            .filter_map(|(number, pack)| Some(Candidate { number, pack, bytes: sizes.get(number)? }))
            .collect();
        options.read_data.choose(&mut packs, options.seed);
        let bytes = packs.iter().map(|pack| pack.bytes).sum();
        ctx.counters.begin_phase("read packs", packs.len() as u64, bytes);
        let next = AtomicUsize::new(0);
        let bytes_read = AtomicU64::new(0);
        let work = || -> Result<()> {
            let mut reader = PackReader::new(self, findings, ctx);
            while let Some(pack) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                reader.check(pack)?;
                bytes_read.fetch_add(pack.bytes, Ordering::Relaxed);
                Counters::add(&ctx.counters.items_done, 1);
            }
            Ok(())
        };
        std::thread::scope(|scope| -> Result<()> {
            let threads: Vec<_> = (0..options.workers.max(1)).map(|_| scope.spawn(work)).collect();
            let ends = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            ends.fold(Ok(()), Result::and)
        })?;
        report.packs_read = packs.len() as u64;
        report.bytes_read = bytes_read.into_inner();
        Ok(())
    }
}

/// Reads one pack after another, with buffers of its own.
struct PackReader<'r> {
    repository: &'r Repository,
    findings: &'r Findings,
    ctx: &'r Ctx,
    blobs: BlobReader<'r>,
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

impl<'r> PackReader<'r> {
    fn new(repository: &'r Repository, findings: &'r Findings, ctx: &'r Ctx) -> Self {
        let blobs = repository.blob_reader();
        Self { repository, findings, ctx, blobs, sealed: Vec::new(), plain: Vec::new() }
    }

    /// Tells the findings what is wrong with a pack. Fails only when cancelled.
    fn check(&mut self, pack: &Candidate) -> Result<()> {
        let indexed = self.indexed_blobs(pack.number);
        let blobs = match self.header(pack) {
            Ok(blobs) => {
                self.compare(pack.pack, &indexed, &blobs);
                blobs
            }
            Err(error) => {
                self.failed(pack.pack, &error)?;
                indexed
            }
        };
        self.content(pack, &blobs).or_else(|error| self.failed(pack.pack, &error))
    }

    /// The blobs of a pack by the index, in the order of their places.
    fn indexed_blobs(&self, number: u32) -> Vec<PackedBlob> {
        let index = self.repository.index();
        let mut blobs: Vec<_> = index.entries_of_pack(number).map(|entry| packed(&entry)).collect();
        blobs.sort_unstable_by_key(|blob| blob.offset);
        blobs
    }

    fn header(&self, pack: &Candidate) -> Result<Vec<PackedBlob>> {
        let damaged = |why: &str| {
            let what = format!("the header of pack {} is damaged", pack.pack);
            Error::damaged(what).because(why)
        };
        let length_at = pack.bytes.checked_sub(HEADER_LENGTH_BYTES);
        let length_at = length_at.ok_or_else(|| damaged("the pack is too short to have one"))?;
        let storage = self.repository.storage();
        let length = storage.read(pack.pack.into(), length_at..pack.bytes)?;
        let length = length.try_into().map(u32::from_le_bytes).map_err(|_| damaged("it has no length"))?;
        let length = u64::from(length);
        let start = length_at.checked_sub(length).filter(|_| length <= MOST_HEADER_BYTES);
        let start = start.ok_or_else(|| damaged("its length makes no sense"))?;
        let sealed = storage.read(pack.pack.into(), start..length_at)?;
        let mut plain = Vec::new();
        let opened = self.repository.master_key().open(&sealed, &mut plain);
        opened.map_err(|e| damaged(&e.to_string()))?;
        let blobs = parse_header(&plain).map_err(|e| damaged(&e.to_string()))?;
        let body_bytes: u64 = blobs.iter().map(|blob| u64::from(blob.length)).sum();
        if body_bytes != start {
            return Err(damaged("its blobs do not fill the pack"));
        }
        Ok(blobs)
    }

    fn compare(&self, pack: PackId, indexed: &[PackedBlob], in_header: &[PackedBlob]) {
        let key =
            |packed: &PackedBlob| (packed.offset, packed.blob, packed.length, packed.uncompressed_length);
        let by_header: BTreeSet<_> = in_header.iter().map(key).collect();
        let by_index: BTreeSet<_> = indexed.iter().map(key).collect();
        let wrong = by_index.difference(&by_header).count();
        let unknown = by_header.difference(&by_index).count();
        if wrong + unknown > 0 {
            let sentence = format!(
                "the index contradicts the header of pack {pack}: {wrong} blobs are not where it says, {unknown} are \
                 not in it"
            );
            self.findings.problem(Problem::new(FileId::from(pack), ProblemKind::Contradicted, sentence));
        }
    }

    /// Reads the whole pack, blob by blob in the order of `blobs`.
    fn content(&mut self, pack: &Candidate, blobs: &[PackedBlob]) -> Result<()> {
        let mut stream = PackStream::new(self.repository, pack, self.ctx);
        for packed in blobs {
            let start = u64::from(packed.offset);
            let end = start + u64::from(packed.length);
            if start < stream.at || end > pack.bytes {
                continue;
            }
            stream.pass(start, None)?;
            let is_giant = packed.plain_length().max(u64::from(packed.length)) > IN_MEMORY_BYTES;
            self.sealed.clear();
            stream.pass(end, (!is_giant).then_some(&mut self.sealed))?;
            let place = Location {
                pack: pack.pack,
                offset: packed.offset,
                length: packed.length,
                uncompressed_length: packed.uncompressed_length,
            };
            let decoded = if is_giant {
                self.drain(packed, &place)
            } else {
                self.blobs.open(packed.blob, &place, &self.sealed, &mut self.plain)
            };
            if let Err(error) = decoded {
                self.ctx.cancel.check()?;
                let in_pack = Error::new(error.kind, format!("in pack {}", pack.pack)).because(error);
                self.findings.problem(Problem::of_error(packed.blob, &in_pack));
            }
        }
        stream.pass(pack.bytes, None)?;
        if Id::from_digest(&stream.digest.finish()) != pack.pack.id() {
            let sentence = format!("pack {} is damaged: its content has another name", pack.pack);
            self.findings.problem(Problem::new(FileId::from(pack.pack), ProblemKind::Damaged, sentence));
        }
        Ok(())
    }

    /// Decodes a giant blob as a stream, which verifies it.
    fn drain(&mut self, packed: &PackedBlob, place: &Location) -> Result<()> {
        let mut stream = self.blobs.stream_at(packed.blob, place)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            self.ctx.cancel.check()?;
            let read = stream.read(&mut buffer);
            if read.map_err(|e| Error::damaged(format!("the {} is damaged", packed.blob)).because(e))? == 0 {
                return Ok(());
            }
        }
    }

    fn failed(&self, pack: PackId, error: &Error) -> Result<()> {
        self.ctx.cancel.check()?;
        if error.kind == ErrorKind::Cancelled {
            return Err(Error::new(ErrorKind::Cancelled, "the reading of packs was cancelled"));
        }
        Counters::add(&self.ctx.counters.errors, 1);
        self.findings.problem(Problem::of_error(FileId::from(pack), error));
        Ok(())
    }
}

/// The bytes of a pack from front to end, with their digest. Small blobs share a read.
struct PackStream<'p> {
    repository: &'p Repository,
    pack: &'p Candidate,
    at: u64,
    /// What was read last; its end is where the next read begins.
    part: Vec<u8>,
    part_end: u64,
    digest: Context,
    ctx: &'p Ctx,
}

impl<'p> PackStream<'p> {
    fn new(repository: &'p Repository, pack: &'p Candidate, ctx: &'p Ctx) -> Self {
        Self { repository, pack, at: 0, part: Vec::new(), part_end: 0, digest: Context::new(&SHA256), ctx }
    }

    /// Goes on to `end`, and appends what it passes to `out`.
    fn pass(&mut self, end: u64, mut out: Option<&mut Vec<u8>>) -> Result<()> {
        while self.at < end {
            if self.at == self.part_end {
                self.read_part()?;
            }
            let stop = end.min(self.part_end);
            if let Some(out) = &mut out {
                out.extend_from_slice(self.passed(stop));
            }
            self.at = stop;
        }
        Ok(())
    }

    fn read_part(&mut self) -> Result<()> {
        self.ctx.cancel.check()?;
        let range = self.part_end..self.pack.bytes.min(self.part_end + PART_BYTES);
        self.part_end = range.end;
        self.part = self.repository.storage().read(self.pack.pack.into(), range)?;
        self.digest.update(&self.part);
        let bytes = self.part.len() as u64;
        Counters::add(&self.ctx.counters.bytes_done, bytes);
        Counters::add(&self.ctx.counters.bytes_read, bytes);
        Ok(())
    }

    /// The bytes of the part from where the stream is to `stop`.
    fn passed(&self, stop: u64) -> &[u8] {
        let bytes = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let from_behind = |place: u64| self.part.len().saturating_sub(bytes(self.part_end - place));
        self.part.get(from_behind(self.at)..from_behind(stop)).unwrap_or_default()
    }
}
