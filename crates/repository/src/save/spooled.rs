//! A giant tree on its way to be saved: sealed into a spool, which becomes a pack of its own.
//!
//! A directory of a million entries is one blob of hundreds of megabytes: its JSON is never in memory as a whole.

use std::io::{self, Read, Write};
use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use zstd::stream::write::Encoder;

use super::{SaveMode, Saved, Saver};
use crate::blob::{BlobKind, BlobRef, PackedBlob};
use crate::crypto::{OpenReader, SealWriter};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{BlobId, Id, PackId};
use crate::pack::{FinishedPack, encode_header};
use crate::repository::Repository;
use crate::spool::Spool;
use crate::storage::Body;

/// Takes the JSON of one giant tree.
pub(crate) struct GiantTree<'r> {
    digest: Context,
    length: u64,
    sealed: SpoolWriter<'r>,
}

/// A giant tree that is complete, sealed as it will be stored.
pub(crate) struct SealedTree {
    pub(crate) id: BlobId,
    sealed: Spool,
    uncompressed_length: Option<NonZeroU32>,
}

enum SpoolWriter<'r> {
    Plain(Box<SealWriter<'r, Spool>>),
    Packed(Box<Encoder<'static, SealWriter<'r, Spool>>>),
}

impl<'r> GiantTree<'r> {
    pub(crate) fn new(repository: &'r Repository) -> io::Result<Self> {
        let spool = Spool::create(&repository.settings().spool_folder)?;
        let seal = SealWriter::new(repository.master_key(), spool)?;
        let sealed = match repository.compression().level() {
            None => SpoolWriter::Plain(Box::new(seal)),
            Some(level) => {
                let mut encoder = Encoder::new(seal, level)?;
                for limit in repository.compression().limits() {
                    encoder.set_parameter(*limit)?;
                }
                SpoolWriter::Packed(Box::new(encoder))
            }
        };
        Ok(Self { digest: Context::new(&SHA256), length: 0, sealed })
    }

    pub(crate) fn finish(self) -> Result<SealedTree> {
        let id = BlobId::new(Id::from_digest(&self.digest.finish()));
        let (writer, length) = match self.sealed {
            SpoolWriter::Plain(writer) => (*writer, None),
            SpoolWriter::Packed(encoder) => (encoder.finish().map_err(cannot_spool)?, Some(self.length)),
        };
        let uncompressed_length = match length {
            None => None,
            Some(length) => Some(u32::try_from(length).ok().and_then(NonZeroU32::new).ok_or_else(too_long)?),
        };
        let (sealed, _) = writer.finish().map_err(cannot_spool)?;
        Ok(SealedTree { id, sealed, uncompressed_length })
    }
}

impl Write for GiantTree<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sealed.write_all(bytes)?;
        self.digest.update(bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for SpoolWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(writer) => writer.write(bytes),
            Self::Packed(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Saver<'_> {
    /// Saves a giant tree as a pack of its own, unless it is known.
    pub(crate) fn save_giant(&self, tree: SealedTree) -> Result<Saved> {
        let SealedTree { id, mut sealed, uncompressed_length } = tree;
        let blob = BlobRef { kind: BlobKind::Tree, id };
        if !self.claim(blob) {
            return Ok(Saved::Known);
        }
        let length = u32::try_from(sealed.len()).map_err(|_| too_long())?;
        let packed = PackedBlob { blob, offset: 0, length, uncompressed_length };
        let saved = self.count_new(BlobKind::Tree, packed.plain_length(), sealed.len());
        if self.mode == SaveMode::DryRun {
            return Ok(saved);
        }
        sealed.write_all(&encode_header(&[packed], self.repository.master_key())).map_err(cannot_spool)?;
        let pack_id = PackId::new(digest_of(&mut sealed.reader()).map_err(cannot_spool)?);
        let sealed = self.verify_spooled(packed, sealed).map_err(|e| {
            Error::damaged(format!("the new {blob} does not decode to what was written")).because(e)
        })?;
        self.repository.storage().put(pack_id.into(), &Body::Spool(Arc::new(sealed)))?;
        self.publish(&FinishedPack { id: pack_id, body: Vec::new(), blobs: vec![packed] })?;
        Ok(saved)
    }

    /// Decodes the spooled blob again, as [`FinishedPack::verify`] does for packs in memory.
    fn verify_spooled(&self, packed: PackedBlob, spool: Spool) -> io::Result<Spool> {
        let mut opened =
            OpenReader::open_front(self.repository.master_key(), spool, u64::from(packed.length))?;
        let digest = match packed.uncompressed_length {
            None => digest_of(&mut opened)?,
            Some(_) => digest_of(&mut zstd::stream::read::Decoder::new(&mut opened)?)?,
        };
        if digest != packed.blob.id.id() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its content has another name"));
        }
        Ok(opened.into_spool())
    }
}

fn digest_of(reader: &mut dyn Read) -> io::Result<Id> {
    let mut digest = Context::new(&SHA256);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(Id::from_digest(&digest.finish()));
        }
        digest.update(buffer.get(..read).unwrap_or_default());
    }
}

pub(crate) fn cannot_spool(cause: io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot spool a giant tree").because(cause)
}

fn too_long() -> Error {
    Error::new(ErrorKind::Unsupported, "a directory listing of 4 GiB or more does not fit into the format")
}
