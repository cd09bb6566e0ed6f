//! Pack files: many sealed blobs in one file, with an encrypted header at the end.
//!
//! A pack is written once and never changed. Its blobs become findable only when the index file naming it is
//! saved, so a crash in between leaves an unreferenced pack for `prune`, never a snapshot with a hole.

mod builder;
mod codec;
mod header;

pub use builder::{FinishedPack, PackBuilder};
pub use codec::{BlobCodec, Compression};
use header::MOST_HEADER_BYTES;
pub(crate) use header::encode_header;
pub use header::{header_bytes, parse_header};
