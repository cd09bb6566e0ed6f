//! A pack while it grows, and when it is done.

use std::num::NonZeroU32;

use super::codec::BlobCodec;
use super::header::{encode_header, header_bytes};
use crate::blob::{BlobRef, PackedBlob};
use crate::crypto::{MasterKey, OVERHEAD_BYTES};
use crate::error::{Error, Result};
use crate::id::{Id, PackId};

/// Keeps the header far below the length at which restic refuses it.
const MOST_BLOBS: usize = 100_000;

/// Collects sealed blobs until the pack is worth uploading.
pub struct PackBuilder {
    body: Vec<u8>,
    blobs: Vec<PackedBlob>,
    target_bytes: usize,
}

impl PackBuilder {
    pub fn new(target_bytes: usize) -> Self {
        Self { body: Vec::new(), blobs: Vec::new(), target_bytes }
    }

    /// Appends a blob sealed by a [`BlobCodec`].
    pub fn add(&mut self, blob: BlobRef, sealed: &[u8], uncompressed_length: Option<NonZeroU32>) {
        let short = |length: usize| u32::try_from(length).expect("packs in memory are far below 4 GiB");
        let (offset, length) = (short(self.body.len()), short(sealed.len()));
        if self.body.capacity() == 0 {
            self.body.reserve_exact(self.target_bytes + self.target_bytes / 4);
        }
        self.body.extend_from_slice(sealed);
        self.blobs.push(PackedBlob { blob, offset, length, uncompressed_length });
    }

    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.body.len() >= self.target_bytes || self.blobs.len() >= MOST_BLOBS
    }

    /// Appends the sealed header and gives the pack up; nothing can be added after.
    pub fn finish(mut self, key: &MasterKey) -> FinishedPack {
        self.body.extend_from_slice(&encode_header(&self.blobs, key));
        let id = PackId::new(Id::of(&self.body));
        FinishedPack { id, body: self.body, blobs: self.blobs }
    }
}

/// A complete pack, not yet stored.
pub struct FinishedPack {
    pub id: PackId,
    pub body: Vec<u8>,
    pub blobs: Vec<PackedBlob>,
}

impl FinishedPack {
    /// Decodes every blob again from the very bytes that will be stored. What a faulty encoder, memory or
    /// processor did to them since they were hashed is found here, before anything refers to them.
    pub fn verify(&self, codec: &mut BlobCodec<'_>, scratch: &mut Vec<u8>) -> Result<()> {
        for packed in &self.blobs {
            let start = packed.offset as usize;
            let sealed = self.body.get(start..start + packed.length as usize);
            let sealed = sealed.ok_or_else(|| Error::damaged("a new pack is shorter than its blobs"))?;
            codec.open(packed.blob, sealed, packed.uncompressed_length, scratch).map_err(|error| {
                Error::damaged(format!(
                    "the new {} does not decode to what was read: memory, processor or compressor are faulty",
                    packed.blob
                ))
                .because(error)
            })?;
        }
        Ok(())
    }

    /// Bytes of the pack that are not blobs: header and its seal.
    pub fn header_bytes(&self) -> u64 {
        header_bytes(self.blobs.iter().copied())
    }

    /// Plaintext bytes of all blobs.
    pub fn plain_bytes(&self) -> u64 {
        self.blobs.iter().map(PackedBlob::plain_length).sum()
    }

    /// Sealed bytes of all blobs, seals included.
    pub fn sealed_bytes(&self) -> u64 {
        self.blobs.iter().map(|blob| u64::from(blob.length)).sum()
    }
}

const _: () = assert!(MOST_BLOBS * 41 + OVERHEAD_BYTES < super::MOST_HEADER_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::BlobKind;
    use crate::error::ErrorKind;
    use crate::id::BlobId;
    use crate::pack::Compression;

    fn data(plaintext: &[u8]) -> BlobRef {
        BlobRef { kind: BlobKind::Data, id: BlobId::of(plaintext) }
    }

    fn pack_of(key: &MasterKey, blobs: &[(BlobRef, &[u8])]) -> FinishedPack {
        let mut builder = PackBuilder::new(1000);
        for (blob, plaintext) in blobs {
            let mut sealed = Vec::new();
            let length = BlobCodec::new(key, Compression::Auto).seal(plaintext, &mut sealed);
            builder.add(*blob, &sealed, length);
        }
        builder.finish(key)
    }

    fn verify(pack: &FinishedPack, key: &MasterKey) -> Result<()> {
        pack.verify(&mut BlobCodec::new(key, Compression::Auto), &mut Vec::new())
    }

    const TEXT: &[u8] = b"text text text text text text text text text text text text text text text";

    #[test]
    fn a_bit_flipped_after_sealing_is_found_before_the_pack_is_stored() {
        let key = MasterKey::random();
        let mut pack = pack_of(&key, &[(data(TEXT), TEXT), (data(b"x"), b"x")]);
        verify(&pack, &key).unwrap();
        for bit in 0..usize::try_from(pack.sealed_bytes()).unwrap() * 8 {
            pack.body[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify(&pack, &key).unwrap_err().kind, ErrorKind::Damaged, "bit {bit}");
            pack.body[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_bit_flipped_between_hashing_and_compressing_is_found_before_the_pack_is_stored() {
        let key = MasterKey::random();
        let mut flipped = TEXT.to_vec();
        flipped[10] ^= 4;
        let error = verify(&pack_of(&key, &[(data(TEXT), &flipped)]), &key).unwrap_err();
        assert!(error.to_string().contains("faulty"), "{error}");
    }

    #[test]
    fn what_a_faulty_compressor_wrote_is_found_before_the_pack_is_stored() {
        let key = MasterKey::random();
        let mut frame = zstd::bulk::compress(TEXT, 3).unwrap();
        let last = frame.len() - 1;
        frame[last] ^= 1;
        let (mut sealed, mut builder) = (Vec::new(), PackBuilder::new(1000));
        key.seal(&frame, &mut sealed);
        builder.add(data(TEXT), &sealed, u32::try_from(TEXT.len()).ok().and_then(NonZeroU32::new));
        assert_eq!(verify(&builder.finish(&key), &key).unwrap_err().kind, ErrorKind::Damaged);
    }
}
