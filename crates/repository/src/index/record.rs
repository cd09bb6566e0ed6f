//! What the index holds of each blob and each pack, byte by byte: 50 bytes a blob, 44 a pack.
//!
//! Lengths of 16 MiB and more, which only giant directory listings have, do not fit in here: [`LongLengths`]
//! has them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::segments::{END, Link};
use crate::blob::{BlobKind, BlobRef};
use crate::id::{BlobId, Id, PackId};

/// Set in the pack number of a tree.
const TREE_BIT: u32 = 1 << 31;

/// Stands for a length that is kept elsewhere.
const LONG: u32 = (1 << 24) - 1;

/// One place of one blob.
pub(super) struct BlobRecord {
    id: [u8; 32],
    pack_and_kind: [u8; 4],
    offset: [u8; 4],
    length: [u8; 3],
    uncompressed_length: [u8; 3],
    next: [u8; 4],
}

const _: () = assert!(size_of::<BlobRecord>() == 50);

/// Sealed and uncompressed lengths of the blobs that have a long one, by ordinal.
pub(super) type LongLengths = BTreeMap<u32, Lengths>;

/// Sealed length, and length of the plaintext if it was compressed.
pub(super) type Lengths = (u32, Option<NonZeroU32>);

impl BlobRecord {
    /// The second part is what belongs into [`LongLengths`].
    pub(super) fn new(blob: BlobRef, pack: u32, offset: u32, lengths: Lengths) -> (Self, Option<Lengths>) {
        assert!(pack < TREE_BIT, "an index of two billion packs does not fit in memory");
        let kind = if blob.kind == BlobKind::Tree { TREE_BIT } else { 0 };
        let (length, uncompressed_length) = (lengths.0, lengths.1.map_or(0, NonZeroU32::get));
        let is_long = length >= LONG || uncompressed_length >= LONG;
        let record = Self {
            id: *blob.id.as_bytes(),
            pack_and_kind: (pack | kind).to_le_bytes(),
            offset: offset.to_le_bytes(),
            length: low_bytes(if is_long { LONG } else { length }),
            uncompressed_length: low_bytes(if is_long { LONG } else { uncompressed_length }),
            next: END.to_le_bytes(),
        };
        (record, is_long.then_some(lengths))
    }

    pub(super) fn is(&self, blob: BlobRef) -> bool {
        self.id == *blob.id.as_bytes() && self.kind() == blob.kind
    }

    pub(super) fn blob(&self) -> BlobRef {
        BlobRef { kind: self.kind(), id: BlobId::new(Id::from_bytes(self.id)) }
    }

    pub(super) fn pack(&self) -> u32 {
        u32::from_le_bytes(self.pack_and_kind) & !TREE_BIT
    }

    pub(super) fn offset(&self) -> u32 {
        u32::from_le_bytes(self.offset)
    }

    /// None when they are kept in [`LongLengths`].
    pub(super) fn lengths(&self) -> Option<Lengths> {
        let length = from_low_bytes(self.length);
        let uncompressed_length = from_low_bytes(self.uncompressed_length);
        (length != LONG).then_some((length, NonZeroU32::new(uncompressed_length)))
    }

    fn kind(&self) -> BlobKind {
        let is_tree = u32::from_le_bytes(self.pack_and_kind) & TREE_BIT != 0;
        if is_tree { BlobKind::Tree } else { BlobKind::Data }
    }
}

impl Link for BlobRecord {
    fn hash(&self) -> u32 {
        hash_of(&self.id)
    }

    fn next(&self) -> u32 {
        u32::from_le_bytes(self.next)
    }

    fn set_next(&mut self, next: u32) {
        self.next = next.to_le_bytes();
    }
}

/// One pack, and where its blobs begin.
pub(super) struct PackRecord {
    pub(super) id: PackId,
    next: u32,
    /// Ordinal of the first blob; the others usually follow at once.
    pub(super) first_blob: u32,
    pub(super) blobs: u32,
}

const _: () = assert!(size_of::<PackRecord>() == 44);

impl PackRecord {
    pub(super) fn new(id: PackId) -> Self {
        Self { id, next: END, first_blob: END, blobs: 0 }
    }
}

impl Link for PackRecord {
    fn hash(&self) -> u32 {
        hash_of(self.id.as_bytes())
    }

    fn next(&self) -> u32 {
        self.next
    }

    fn set_next(&mut self, next: u32) {
        self.next = next;
    }
}

/// Names are digests already: any four of their bytes will do.
pub(super) fn hash_of(name: &[u8; 32]) -> u32 {
    let [a, b, c, d, ..] = *name;
    u32::from_le_bytes([a, b, c, d])
}

fn low_bytes(value: u32) -> [u8; 3] {
    let [a, b, c, _] = value.to_le_bytes();
    [a, b, c]
}

fn from_low_bytes([a, b, c]: [u8; 3]) -> u32 {
    u32::from_le_bytes([a, b, c, 0])
}
