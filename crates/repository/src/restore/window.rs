//! A stretch of the walk: the blobs its files need, each once, and in the order in which they lie in packs.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::file::Output;
use crate::id::{BlobId, PackId};
use crate::index::Location;

/// A window is full when its blobs hold this much,
const MOST_BYTES: u64 = 64 << 20;
/// or they are used so often,
const MOST_USES: usize = 16 << 10;
/// or so many files have several blobs: these are open from their first to their last.
const MOST_LONG_FILES: usize = 64;
/// Blobs this near to each other are read at once, what is between them included,
const MOST_GAP_BYTES: u64 = 32 << 10;
/// up to this length,
const MOST_READ_BYTES: u64 = 1 << 20;
/// and this number.
const MOST_READ_BLOBS: usize = 256;

/// A blob and where it belongs.
pub(super) struct Wanted {
    pub(super) id: BlobId,
    pub(super) location: Location,
    pub(super) uses: Vec<(Arc<Output>, u64)>,
}

/// Neighbouring blobs of one pack.
pub(super) struct ReadJob {
    pub(super) pack: PackId,
    pub(super) range: Range<u64>,
    pub(super) blobs: Vec<Wanted>,
}

#[derive(Default)]
pub(super) struct Window {
    wanted: Vec<Wanted>,
    by_id: HashMap<BlobId, usize>,
    bytes: u64,
    uses: usize,
    long_files: usize,
}

impl Window {
    /// Asks for a blob of a file.
    pub(super) fn want(&mut self, id: BlobId, location: Location, file: &Arc<Output>, offset: u64) {
        self.uses += 1;
        let known = self.by_id.get(&id).and_then(|at| self.wanted.get_mut(*at));
        if let Some(wanted) = known {
            wanted.uses.push((Arc::clone(file), offset));
            return;
        }
        self.by_id.insert(id, self.wanted.len());
        self.bytes += location.plain_length();
        self.wanted.push(Wanted { id, location, uses: vec![(Arc::clone(file), offset)] });
    }

    pub(super) fn note_long_file(&mut self) {
        self.long_files += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MOST_BYTES || self.uses >= MOST_USES || self.long_files >= MOST_LONG_FILES
    }

    /// Gives the window up as reads, packs in the order in which they came up.
    pub(super) fn into_reads(self) -> impl Iterator<Item = ReadJob> {
        let mut ranks: HashMap<PackId, usize> = HashMap::new();
        for wanted in &self.wanted {
            let next = ranks.len();
            ranks.entry(wanted.location.pack).or_insert(next);
        }
        let mut wanted = self.wanted;
        wanted.sort_by_key(|wanted| {
            (ranks.get(&wanted.location.pack).copied().unwrap_or_default(), wanted.location.offset)
        });
        let mut wanted = wanted.into_iter().peekable();
        std::iter::from_fn(move || {
            let first = wanted.next()?;
            let mut job =
                ReadJob { pack: first.location.pack, range: first.location.range(), blobs: vec![first] };
            while let Some(next) = wanted.next_if(|next| job.may_take(&next.location)) {
                job.range.end = job.range.end.max(next.location.range().end);
                job.blobs.push(next);
            }
            Some(job)
        })
    }
}

impl ReadJob {
    fn may_take(&self, next: &Location) -> bool {
        let range = next.range();
        next.pack == self.pack
            && range.start <= self.range.end + MOST_GAP_BYTES
            && range.end.saturating_sub(self.range.start) <= MOST_READ_BYTES
            && self.blobs.len() < MOST_READ_BLOBS
    }

    /// Memory for what is read, and for the largest of its blobs unsealed and decompressed.
    pub(super) fn memory_bytes(&self) -> u64 {
        let largest =
            self.blobs.iter().map(|blob| blob.location.plain_length() + u64::from(blob.location.length));
        self.range.end.saturating_sub(self.range.start) + largest.max().unwrap_or_default()
    }
}
