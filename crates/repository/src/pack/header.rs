//! The header at the end of a pack: `sealed(entries) ‖ length of that (u32, little endian)`.
//!
//! An entry is a type byte (0 data, 1 tree, 2 compressed data, 3 compressed tree), the sealed length, for the
//! compressed types the plaintext length, and the blob's name. Blobs lie in this order without gaps.

use std::num::NonZeroU32;

use crate::blob::{BlobKind, BlobRef, PackedBlob};
use crate::crypto::{MasterKey, OVERHEAD_BYTES};
use crate::error::{Error, Result};
use crate::id::{BlobId, Id};

/// Length of the field that says how long the sealed header is.
pub(crate) const HEADER_LENGTH_BYTES: usize = 4;
/// A longer header is taken for damage; restic has the same limit.
pub(crate) const MOST_HEADER_BYTES: usize = 16 << 20;

/// Length of the whole header of a pack with these blobs, its length field included.
pub fn header_bytes(blobs: impl IntoIterator<Item = PackedBlob>) -> u64 {
    let entry = |blob: PackedBlob| if blob.uncompressed_length.is_some() { 41 } else { 37 };
    blobs.into_iter().map(entry).sum::<u64>() + (OVERHEAD_BYTES + HEADER_LENGTH_BYTES) as u64
}

/// The sealed header and its length field.
pub(crate) fn encode_header(blobs: &[PackedBlob], key: &MasterKey) -> Vec<u8> {
    let mut plain = Vec::with_capacity(blobs.len() * 41);
    for packed in blobs {
        let kind = match packed.blob.kind {
            BlobKind::Data => 0,
            BlobKind::Tree => 1,
        };
        plain.push(kind | if packed.uncompressed_length.is_some() { 2 } else { 0 });
        plain.extend_from_slice(&packed.length.to_le_bytes());
        if let Some(length) = packed.uncompressed_length {
            plain.extend_from_slice(&length.get().to_le_bytes());
        }
        plain.extend_from_slice(packed.blob.id.as_bytes());
    }
    let mut header = Vec::new();
    key.seal(&plain, &mut header);
    let length = u32::try_from(header.len()).expect("packs are full long before their header is 4 GiB long");
    header.extend_from_slice(&length.to_le_bytes());
    header
}

/// Reads an opened header (its plaintext). The blobs come with their offsets.
pub fn parse_header(plain: &[u8]) -> Result<Vec<PackedBlob>> {
    let mut entries = plain;
    let mut blobs = Vec::new();
    let mut offset = 0u32;
    while !entries.is_empty() {
        let packed = take_entry(&mut entries, offset).ok_or_else(|| {
            Error::damaged(format!("entry {} of a pack header makes no sense", blobs.len()))
        })?;
        offset = offset
            .checked_add(packed.length)
            .ok_or_else(|| Error::damaged("the blobs of a pack header are longer than a pack can be"))?;
        blobs.push(packed);
    }
    Ok(blobs)
}

fn take_entry(entries: &mut &[u8], offset: u32) -> Option<PackedBlob> {
    let kind = take::<1>(entries)?;
    let length = u32::from_le_bytes(take(entries)?);
    let (kind, compressed) = match kind {
        [0] => (BlobKind::Data, false),
        [1] => (BlobKind::Tree, false),
        [2] => (BlobKind::Data, true),
        [3] => (BlobKind::Tree, true),
        _ => return None,
    };
    let uncompressed_length =
        if compressed { Some(NonZeroU32::new(u32::from_le_bytes(take(entries)?))?) } else { None };
    let id = BlobId::new(Id::from_bytes(take(entries)?));
    (length as usize >= OVERHEAD_BYTES).then_some(PackedBlob {
        blob: BlobRef { kind, id },
        offset,
        length,
        uncompressed_length,
    })
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*front)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_blob() -> impl Strategy<Value = PackedBlob> {
        (any::<bool>(), any::<[u8; 32]>(), 32u32..5000, any::<u32>()).prop_map(|(tree, id, length, plain)| {
            let kind = if tree { BlobKind::Tree } else { BlobKind::Data };
            let blob = BlobRef { kind, id: BlobId::new(Id::from_bytes(id)) };
            PackedBlob { blob, offset: 0, length, uncompressed_length: NonZeroU32::new(plain % 3) }
        })
    }

    proptest! {
        #[test]
        fn headers_come_back_as_they_were_written(mut blobs in prop::collection::vec(any_blob(), 0..50)) {
            let mut offset = 0;
            for blob in &mut blobs {
                blob.offset = offset;
                offset += blob.length;
            }
            let key = MasterKey::random();
            let header = encode_header(&blobs, &key);
            prop_assert_eq!(header.len() as u64, header_bytes(blobs.iter().copied()));
            let mut plain = Vec::new();
            key.open(&header[..header.len() - HEADER_LENGTH_BYTES], &mut plain).unwrap();
            prop_assert_eq!(parse_header(&plain).unwrap(), blobs);
        }

        #[test]
        fn any_bytes_are_a_header_or_an_error(bytes in prop::collection::vec(0u8..5, 0..200)) {
            if let Ok(blobs) = parse_header(&bytes) {
                prop_assert!(blobs.len() * 37 <= bytes.len());
            }
        }
    }
}
