//! Which pack holds which blob.
//!
//! The index in memory is what all index files of a repository say together. It numbers its entries: these
//! ordinals stay as they are while it grows, so that a bit per blob is enough to mark some. It is never
//! stored as a whole; after a crash it is read from the index files again.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;

mod blob_set;
mod file;
mod read;
mod record;
mod segments;
#[cfg(test)]
mod tests;

pub use blob_set::BlobSet;
pub use file::IndexFileBuilder;
pub use read::read_index_file;

use crate::blob::{BlobRef, PackedBlob, plain_length};
use crate::id::PackId;
use record::{BlobRecord, Lengths, LongLengths, PackRecord, hash_of};
use segments::ChainTable;

/// A place where a blob is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    pub pack: PackId,
    pub offset: u32,
    /// Length of the sealed blob.
    pub length: u32,
    /// Length of the plaintext when it was compressed before sealing.
    pub uncompressed_length: Option<NonZeroU32>,
}

impl Location {
    /// The bytes of the pack to read.
    pub fn range(&self) -> Range<u64> {
        u64::from(self.offset)..u64::from(self.offset) + u64::from(self.length)
    }

    /// Length of the plaintext.
    pub fn plain_length(&self) -> u64 {
        plain_length(self.length, self.uncompressed_length)
    }
}

/// One place of one blob, as the index numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub ordinal: u32,
    pub blob: BlobRef,
    pub pack_number: u32,
    pub location: Location,
}

/// All blobs by name. A blob that lies in several packs has an entry for each.
pub struct Index {
    blobs: ChainTable<BlobRecord>,
    packs: ChainTable<PackRecord>,
    long_lengths: LongLengths,
}

impl Index {
    pub fn new() -> Self {
        Self { blobs: ChainTable::new(), packs: ChainTable::new(), long_lengths: LongLengths::new() }
    }

    /// Adds the blobs of a pack. What the index has already, place for place, is not added again.
    pub fn insert_pack(&mut self, pack: PackId, blobs: &[PackedBlob]) {
        let pack_number = self.number_pack(pack);
        for blob in blobs {
            self.insert(pack_number, blob);
        }
    }

    fn number_pack(&mut self, pack: PackId) -> u32 {
        self.pack_number(pack).unwrap_or_else(|| self.packs.push(PackRecord::new(pack)))
    }

    fn insert(&mut self, pack_number: u32, packed: &PackedBlob) {
        let lengths = (packed.length, packed.uncompressed_length);
        let is_known = self.records(packed.blob).any(|(ordinal, record)| {
            record.pack() == pack_number
                && record.offset() == packed.offset
                && self.lengths(ordinal, record) == lengths
        });
        if is_known {
            return;
        }
        let (record, long) = BlobRecord::new(packed.blob, pack_number, packed.offset, lengths);
        let ordinal = self.blobs.push(record);
        if let Some(long) = long {
            self.long_lengths.insert(ordinal, long);
        }
        if let Some(pack) = self.packs.get_mut(pack_number) {
            pack.first_blob = pack.first_blob.min(ordinal);
            pack.blobs += 1;
        }
    }

    /// Where the blob is: the place that was added first.
    pub fn get(&self, blob: BlobRef) -> Option<Location> {
        self.find(blob).map(|entry| entry.location)
    }

    pub fn contains(&self, blob: BlobRef) -> bool {
        self.records(blob).next().is_some()
    }

    /// All places of the blob, in the order they were added.
    pub fn get_all(&self, blob: BlobRef) -> impl Iterator<Item = Location> {
        self.find_all(blob).map(|entry| entry.location)
    }

    /// The first entry of the blob: the one whose ordinal stands for it in a [`BlobSet`].
    pub fn find(&self, blob: BlobRef) -> Option<Entry> {
        self.find_all(blob).next()
    }

    /// All entries of the blob, in ascending order.
    pub fn find_all(&self, blob: BlobRef) -> impl Iterator<Item = Entry> {
        self.records(blob).filter_map(|(ordinal, record)| self.describe(ordinal, record))
    }

    /// The number of entries; ordinals are below it.
    pub fn len(&self) -> u32 {
        self.blobs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn entry(&self, ordinal: u32) -> Option<Entry> {
        self.describe(ordinal, self.blobs.get(ordinal)?)
    }

    /// All entries, in ascending order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        (0..self.len()).filter_map(|ordinal| self.entry(ordinal))
    }

    /// The number of packs; pack numbers are below it.
    pub fn pack_count(&self) -> u32 {
        self.packs.len()
    }

    /// All packs, in the order of their numbers.
    pub fn packs(&self) -> impl Iterator<Item = PackId> {
        (0..self.pack_count()).filter_map(|number| self.pack(number))
    }

    pub fn pack(&self, number: u32) -> Option<PackId> {
        self.packs.get(number).map(|pack| pack.id)
    }

    pub fn pack_number(&self, pack: PackId) -> Option<u32> {
        let mut chain = self.packs.chain(hash_of(pack.as_bytes()));
        chain.find(|(_, record)| record.id == pack).map(|(number, _)| number)
    }

    /// The entries of a pack, in ascending order; quick when the pack was added at once.
    pub fn entries_of_pack(&self, number: u32) -> impl Iterator<Item = Entry> {
        let (first, blobs) = self.packs.get(number).map_or((0, 0), |pack| (pack.first_blob, pack.blobs));
        (first..self.len())
            .filter_map(|ordinal| self.blobs.get(ordinal).map(|record| (ordinal, record)))
            .filter(move |(_, record)| record.pack() == number)
            .filter_map(|(ordinal, record)| self.describe(ordinal, record))
            .take(blobs as usize)
    }

    fn records(&self, blob: BlobRef) -> impl Iterator<Item = (u32, &BlobRecord)> {
        let chain = self.blobs.chain(hash_of(blob.id.as_bytes()));
        chain.filter(move |(_, record)| record.is(blob))
    }

    fn lengths(&self, ordinal: u32, record: &BlobRecord) -> Lengths {
        let lengths = record.lengths().or_else(|| self.long_lengths.get(&ordinal).copied());
        lengths.expect("a length that is not in its record is among the long ones")
    }

    fn describe(&self, ordinal: u32, record: &BlobRecord) -> Option<Entry> {
        let (length, uncompressed_length) = self.lengths(ordinal, record);
        let pack_number = record.pack();
        let pack = self.pack(pack_number)?;
        let location = Location { pack, offset: record.offset(), length, uncompressed_length };
        Some(Entry { ordinal, blob: record.blob(), pack_number, location })
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

/// Says how much it holds, not what.
impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("entries", &self.len()).field("packs", &self.pack_count()).finish()
    }
}
