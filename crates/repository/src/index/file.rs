//! Index files: `{"packs":[{"id":…,"blobs":[{"id":…,"type":…,"offset":…,"length":…}]}]}`.
//!
//! One is written when some ten thousand blobs are new. It may only name packs that are stored: it is saved
//! after them, so that a crash in between leaves packs nobody knows, never an index that promises too much.

use std::cell::RefCell;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::blob::{BlobKind, BlobRef, PackedBlob};
use crate::id::{BlobId, PackId};

/// An index file with this many blobs is worth saving.
const FULL_BLOBS: usize = 50_000;

/// One blob as an index file describes it.
#[derive(Serialize, Deserialize)]
pub(super) struct BlobJson {
    id: BlobId,
    #[serde(rename = "type")]
    kind: BlobKind,
    offset: u32,
    length: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    uncompressed_length: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(length: &u32) -> bool {
    *length == 0
}

impl From<&PackedBlob> for BlobJson {
    fn from(packed: &PackedBlob) -> Self {
        Self {
            id: packed.blob.id,
            kind: packed.blob.kind,
            offset: packed.offset,
            length: packed.length,
            uncompressed_length: packed.uncompressed_length.map_or(0, NonZeroU32::get),
        }
    }
}

impl From<BlobJson> for PackedBlob {
    fn from(json: BlobJson) -> Self {
        Self {
            blob: BlobRef { kind: json.kind, id: json.id },
            offset: json.offset,
            length: json.length,
            uncompressed_length: NonZeroU32::new(json.uncompressed_length),
        }
    }
}

/// Collects packs until an index file is worth saving.
#[derive(Debug, Default)]
pub struct IndexFileBuilder {
    /// Each pack with the end of its blobs.
    packs: Vec<(PackId, usize)>,
    blobs: Vec<PackedBlob>,
}

impl IndexFileBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add_pack(&mut self, pack: PackId, blobs: &[PackedBlob]) {
        self.blobs.extend_from_slice(blobs);
        self.packs.push((pack, self.blobs.len()));
    }

    pub fn is_empty(&self) -> bool {
        self.packs.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.blobs.len() >= FULL_BLOBS
    }

    /// The file's content, as Go would write it.
    pub fn encode(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct PackJson {
            id: PackId,
            blobs: Vec<BlobJson>,
        }
        #[derive(Serialize)]
        struct IndexJson<P> {
            packs: P,
        }
        let mut start = 0;
        let packs = self.packs.iter().map(|&(id, end)| {
            let blobs = self.blobs.get(start..end).unwrap_or_default();
            start = end;
            PackJson { id, blobs: blobs.iter().map(BlobJson::from).collect() }
        });
        let mut json = Vec::with_capacity(200 * self.blobs.len());
        let packs = Streamed(RefCell::new(packs));
        serde_json::to_writer(&mut json, &IndexJson { packs }).expect("ids and numbers always become JSON");
        json
    }
}

/// Serializes what an iterator yields without collecting it.
struct Streamed<I>(RefCell<I>);

impl<I: Iterator<Item: Serialize>> Serialize for Streamed<I> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&mut *self.0.borrow_mut())
    }
}
