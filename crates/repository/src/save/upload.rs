//! The end of the saving pipeline: packs are finished, verified and stored, then named by an index file.

use super::{Saver, locked};
use crate::error::{Error, ErrorKind, Result};
use crate::index::IndexFileBuilder;
use crate::pack::{BlobCodec, FinishedPack, PackBuilder};
use crate::storage::{Body, FileKind};
use crate::threads;

/// An index file is written after this many packs, so that an interrupted backup loses little.
const PACKS_PER_INDEX: usize = 16;

/// Collects stored packs until an index file is worth writing.
#[derive(Default)]
pub(super) struct IndexFlusher {
    file: IndexFileBuilder,
    packs: usize,
}

impl Saver<'_> {
    /// Stores packs until there are no more. Run by the upload threads; failures are kept for `finish`.
    pub(crate) fn upload(&self) {
        let drain = || while self.uploads.recv().is_ok() {};
        self.or_drain(|| self.store_packs(), drain);
    }

    /// Does `work`. Should it panic, everyone is told to stop and `drain` takes what is still handed in, so that
    /// nobody waits for a thread that is no more; then the panic goes on.
    pub(crate) fn or_drain(&self, work: impl FnOnce(), drain: impl FnOnce()) {
        threads::or_drain(work, || {
            self.fail(Error::new(ErrorKind::Io, "a thread of the operation has panicked"));
            drain();
        });
    }

    fn store_packs(&self) {
        let mut codec = self.codec();
        let mut scratch = Vec::new();
        while let Ok(pack) = self.uploads.recv() {
            // After a failure packs are taken and dropped, so that nobody waits for room in the channel.
            if self.check().is_ok()
                && let Err(error) = self.store(pack, &mut codec, &mut scratch)
            {
                self.fail(error);
            }
        }
    }

    /// Keeps the first failure, which stops everyone at their next check.
    pub(crate) fn fail(&self, error: Error) {
        let mut failure = locked(&self.failure);
        failure.get_or_insert(error);
    }

    fn store(&self, pack: PackBuilder, codec: &mut BlobCodec<'_>, scratch: &mut Vec<u8>) -> Result<()> {
        let mut pack = pack.finish(self.repository.master_key());
        pack.verify(codec, scratch)?;
        let body = Body::from_bytes(std::mem::take(&mut pack.body));
        self.repository.storage().put(pack.id.into(), &body)?;
        self.publish(&pack)
    }

    /// Makes the blobs of a stored pack findable: in our index now, in an index file soon.
    pub(super) fn publish(&self, pack: &FinishedPack) -> Result<()> {
        self.saving.get_ahead();
        locked(&self.stored).push(pack.id);
        self.repository.add_to_index(pack.id, &pack.blobs);
        {
            let mut pending = locked(&self.pending);
            for packed in &pack.blobs {
                pending.remove(&packed.blob);
            }
        }
        let is_full = {
            let mut flusher = locked(&self.flusher);
            flusher.file.add_pack(pack.id, &pack.blobs);
            flusher.packs += 1;
            flusher.packs >= PACKS_PER_INDEX || flusher.file.is_full()
        };
        if is_full { self.flush_index() } else { Ok(()) }
    }

    /// Writes the index file of the packs collected, if there are any. They stay collected until it is stored.
    pub(super) fn flush_index(&self) -> Result<()> {
        let mut flusher = locked(&self.flusher);
        if flusher.packs == 0 {
            return Ok(());
        }
        self.lock.assert_held()?;
        let id = self.repository.save_unpacked(FileKind::Index, &flusher.file.encode())?;
        self.saving.add_file(id);
        *flusher = IndexFlusher::default();
        Ok(())
    }
}
