//! Blobs: chunks of file data and directory listings, each named by the SHA-256 of its plaintext.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::crypto::OVERHEAD_BYTES;
use crate::id::BlobId;

/// What a blob holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobKind {
    Data,
    Tree,
}

/// A blob by kind and name: the same bytes may exist once as data and once as a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobRef {
    pub kind: BlobKind,
    pub id: BlobId,
}

/// Where in a pack a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedBlob {
    pub blob: BlobRef,
    pub offset: u32,
    /// Length of the sealed blob.
    pub length: u32,
    /// Length of the plaintext when it was compressed before sealing.
    pub uncompressed_length: Option<NonZeroU32>,
}

impl PackedBlob {
    /// Length of the plaintext.
    pub fn plain_length(&self) -> u64 {
        plain_length(self.length, self.uncompressed_length)
    }
}

pub(crate) fn plain_length(sealed_length: u32, uncompressed_length: Option<NonZeroU32>) -> u64 {
    let sealed_plain = u64::from(sealed_length).saturating_sub(OVERHEAD_BYTES as u64);
    uncompressed_length.map_or(sealed_plain, |length| u64::from(length.get()))
}

impl fmt::Display for BlobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Tree => "tree",
        })
    }
}

impl fmt::Display for BlobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} blob {}", self.kind, self.id)
    }
}
