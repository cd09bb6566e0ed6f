//! One blob between plaintext and sealed bytes: compress and seal, open and decompress.
//!
//! Every worker has a codec of its own, so that compression contexts are made once, not per blob.

use std::num::NonZeroU32;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::blob::BlobRef;
use crate::crypto::MasterKey;
use crate::error::{Error, ErrorKind, Result};
use crate::id::BlobId;

/// A buffer grown beyond this by a rare blob is not kept.
const KEPT_BYTES: usize = 4 << 20;

/// How hard to try to make blobs smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: data stays as it is (format version 1 always).
    Off,
    /// zstd level 3.
    #[default]
    Auto,
    /// zstd level 19: slow.
    Max,
}

impl Compression {
    pub(crate) fn level(self) -> Option<i32> {
        match self {
            Self::Off => None,
            Self::Auto => Some(3),
            Self::Max => Some(19),
        }
    }

    /// What keeps the tables of zstd small: by itself level 19 takes 80 MiB for each thread that compresses chunks of
    /// 8 MiB, and gains next to nothing by that on those of usual size.
    pub(crate) fn limits(self) -> &'static [CParameter] {
        match self {
            Self::Off | Self::Auto => &[],
            Self::Max => &[CParameter::ChainLog(21), CParameter::HashLog(20)],
        }
    }
}

/// Seals and opens blobs with reused buffers.
pub struct BlobCodec<'k> {
    key: &'k MasterKey,
    compressor: Option<Compressor<'static>>,
    decompressor: Decompressor<'static>,
    packed: Vec<u8>,
}

impl<'k> BlobCodec<'k> {
    pub fn new(key: &'k MasterKey, compression: Compression) -> Self {
        let compressor = compression.level().map(|level| {
            let mut compressor = Compressor::new(level).expect("zstd takes every level up to 22");
            compressor.include_checksum(false).expect("zstd can leave checksums out");
            for limit in compression.limits() {
                compressor.set_parameter(*limit).expect("zstd takes tables of this size");
            }
            compressor
        });
        let decompressor =
            Decompressor::new().expect("a zstd context without a dictionary needs only memory");
        Self { key, compressor, decompressor, packed: Vec::new() }
    }

    /// Appends the sealed blob to `out`; returns the plaintext length if it was compressed.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Option<NonZeroU32> {
        if self.packed.capacity() > KEPT_BYTES {
            self.packed = Vec::new();
        }
        if let Some(compressor) = &mut self.compressor {
            self.packed.clear();
            self.packed.reserve(zstd::zstd_safe::compress_bound(plaintext.len()));
            let fits = compressor.compress_to_buffer(plaintext, &mut self.packed).is_ok();
            let length = u32::try_from(plaintext.len()).ok().and_then(NonZeroU32::new);
            if fits && self.packed.len() < plaintext.len() && length.is_some() {
                self.key.seal(&self.packed, out);
                return length;
            }
        }
        self.key.seal(plaintext, out);
        None
    }

    /// Opens a sealed blob into `out`, and makes sure that it is the one named.
    pub fn open(
        &mut self,
        blob: BlobRef,
        sealed: &[u8],
        uncompressed_length: Option<NonZeroU32>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let damaged = || Error::damaged(format!("the {blob} is damaged"));
        match uncompressed_length {
            None => self.key.open(sealed, out).map_err(|e| damaged().because(e))?,
            Some(length) => {
                self.key.open(sealed, &mut self.packed).map_err(|e| damaged().because(e))?;
                let length = length.get() as usize;
                out.clear();
                out.try_reserve_exact(length).map_err(|e| {
                    Error::new(ErrorKind::Io, format!("no memory for the {length} bytes of the {blob}"))
                        .because(e)
                })?;
                let unpacked = self.decompressor.decompress_to_buffer(&self.packed, out);
                unpacked.map_err(|e| damaged().because(e))?;
                if out.len() != length {
                    return Err(damaged().because("its length is not what the header says"));
                }
            }
        }
        if BlobId::of(out) == blob.id {
            Ok(())
        } else {
            Err(damaged().because("its content has another name"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::BlobKind;

    fn round_trip(compression: Compression, plaintext: &[u8]) -> Option<NonZeroU32> {
        let key = MasterKey::random();
        let mut codec = BlobCodec::new(&key, compression);
        let blob = BlobRef { kind: BlobKind::Data, id: BlobId::of(plaintext) };
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        let length = codec.seal(plaintext, &mut sealed);
        codec.open(blob, &sealed, length, &mut opened).unwrap();
        assert_eq!(opened, plaintext);
        let other = BlobRef { id: BlobId::of(b"other"), ..blob };
        assert_eq!(codec.open(other, &sealed, length, &mut opened).unwrap_err().kind, ErrorKind::Damaged);
        length
    }

    #[test]
    fn blobs_are_compressed_only_where_it_helps() {
        let noise: Vec<u8> = (0..100u32).flat_map(|i| *BlobId::of(&i.to_le_bytes()).as_bytes()).collect();
        assert!(round_trip(Compression::Auto, &[b'a'; 5000]).is_some());
        assert!(round_trip(Compression::Max, &[b'a'; 5000]).is_some());
        assert!(round_trip(Compression::Off, &[b'a'; 5000]).is_none());
        assert!(round_trip(Compression::Auto, &noise).is_none());
        assert!(round_trip(Compression::Auto, b"").is_none());
    }
}
