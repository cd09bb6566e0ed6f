//! Saving blobs: known? → compress → seal → pack → store → index. Used by backup, copy and prune.
//!
//! Order on disk: a pack is durable before an index names it, and all indexes are durable when
//! [`Saver::finish`] returns. A crash leaves packs that no index names; the next backup may store those blobs
//! again, and `prune` removes the packs. Nothing is ever changed in place.

mod spooled;
mod stack;
mod upload;

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

pub(crate) use self::spooled::{GiantTree, cannot_spool};
pub(crate) use self::stack::{FinishedTree, TreeStack};
use self::upload::IndexFlusher;
use crate::blob::{BlobKind, BlobRef};
use crate::error::{Error, ErrorKind, Result};
use crate::id::PackId;
use crate::lock::LockGuard;
use crate::pack::{BlobCodec, PackBuilder};
use crate::repository::{Repository, Saving};
use crate::{Counters, Ctx};

/// What became of a blob handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saved {
    /// It is in the repository already, or on its way.
    Known,
    New {
        plain_bytes: u64,
        sealed_bytes: u64,
    },
}

impl Saved {
    /// How much plaintext was new.
    pub(crate) fn plain_bytes(self) -> u64 {
        match self {
            Self::Known => 0,
            Self::New { plain_bytes, .. } => plain_bytes,
        }
    }
}

/// What was new among the blobs handed in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SaveCounts {
    pub(crate) data_blobs: u64,
    pub(crate) tree_blobs: u64,
    pub(crate) plain_bytes: u64,
    pub(crate) sealed_bytes: u64,
}

/// What a [`Saver`] stores, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SaveMode {
    /// Blobs the index does not have.
    New,
    /// Every blob once, whether the index has it or not: repacking.
    Again,
    /// Nothing: only count what would be new.
    DryRun,
}

/// Takes blobs from many threads and gets them into packs.
pub(crate) struct Saver<'r> {
    repository: &'r Repository,
    saving: &'r Saving<'r>,
    lock: &'r LockGuard,
    ctx: &'r Ctx,
    mode: SaveMode,
    counts: Mutex<SaveCounts>,
    data: Mutex<PackBuilder>,
    trees: Mutex<PackBuilder>,
    pending: Mutex<HashSet<BlobRef>>,
    /// In a dry run, what would be new: never forgotten, and so only half of each id, less than the index takes for it.
    counted: Mutex<HashSet<[u8; 16]>>,
    distrusted: Mutex<HashSet<PackId>>,
    full: Mutex<Option<Sender<PackBuilder>>>,
    uploads: Receiver<PackBuilder>,
    flusher: Mutex<IndexFlusher>,
    failure: Mutex<Option<Error>>,
    stored: Mutex<Vec<PackId>>,
}

impl<'r> Saver<'r> {
    /// The index must have been brought up to date since the right to save was taken.
    pub(crate) fn new(saving: &'r Saving<'r>, lock: &'r LockGuard, mode: SaveMode, ctx: &'r Ctx) -> Self {
        let repository = saving.repository();
        let (full, uploads) = bounded(1);
        let builder = || Mutex::new(PackBuilder::new(repository.settings().pack_bytes));
        Self {
            repository,
            saving,
            lock,
            ctx,
            mode,
            counts: Mutex::default(),
            data: builder(),
            trees: builder(),
            pending: Mutex::default(),
            counted: Mutex::default(),
            distrusted: Mutex::default(),
            full: Mutex::new(Some(full)),
            uploads,
            flusher: Mutex::default(),
            failure: Mutex::default(),
            stored: Mutex::default(),
        }
    }

    pub(crate) fn codec(&self) -> BlobCodec<'r> {
        BlobCodec::new(self.repository.master_key(), self.repository.compression())
    }

    /// Saves a blob unless it is known; `sealed` is scratch space.
    pub(crate) fn save(
        &self,
        blob: BlobRef,
        plaintext: &[u8],
        codec: &mut BlobCodec<'_>,
        sealed: &mut Vec<u8>,
    ) -> Result<Saved> {
        if !self.claim(blob) {
            return Ok(Saved::Known);
        }
        sealed.clear();
        let uncompressed_length = codec.seal(plaintext, sealed);
        self.add(blob, sealed, uncompressed_length)?;
        Ok(self.count_new(blob.kind, plaintext.len() as u64, sealed.len() as u64))
    }

    /// What was new so far.
    pub(crate) fn counts(&self) -> SaveCounts {
        *locked(&self.counts)
    }

    /// True for blobs that need not be saved.
    pub(crate) fn is_known(&self, blob: BlobRef) -> bool {
        if self.mode == SaveMode::Again {
            return false;
        }
        let index = self.repository.index();
        let distrusted = locked(&self.distrusted);
        if distrusted.is_empty() {
            return index.contains(blob);
        }
        index.get_all(blob).any(|place| !distrusted.contains(&place.pack))
    }

    /// Notes that a blob could not be read: what is in its pack is saved again, should it turn up.
    pub(crate) fn distrust(&self, blob: BlobRef) {
        let packs: Vec<PackId> = self.repository.index().get_all(blob).map(|place| place.pack).collect();
        locked(&self.distrusted).extend(packs);
    }

    /// True for the first to bring this blob. Whoever claims a blob must add it.
    fn claim(&self, blob: BlobRef) -> bool {
        if self.mode == SaveMode::DryRun {
            return !self.is_known(blob) && locked(&self.counted).insert(half_of(blob));
        }
        // Looked up twice: between the two, an upload may have moved the blob from pending to the index.
        !self.is_known(blob) && locked(&self.pending).insert(blob) && !self.is_known(blob)
    }

    fn count_new(&self, kind: BlobKind, plain_bytes: u64, sealed_bytes: u64) -> Saved {
        {
            let mut counts = locked(&self.counts);
            match kind {
                BlobKind::Data => counts.data_blobs += 1,
                BlobKind::Tree => counts.tree_blobs += 1,
            }
            counts.plain_bytes += plain_bytes;
            counts.sealed_bytes += sealed_bytes;
        }
        Counters::add(&self.ctx.counters.bytes_added, plain_bytes);
        if kind == BlobKind::Data {
            Counters::add(&self.ctx.counters.data_added, plain_bytes);
        }
        Counters::add(&self.ctx.counters.bytes_stored, sealed_bytes);
        Saved::New { plain_bytes, sealed_bytes }
    }

    fn add(&self, blob: BlobRef, sealed: &[u8], uncompressed_length: Option<NonZeroU32>) -> Result<()> {
        if self.mode == SaveMode::DryRun {
            return Ok(());
        }
        let builder = match blob.kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        };
        let mut pack = locked(builder);
        pack.add(blob, sealed, uncompressed_length);
        if pack.is_full() {
            let full = std::mem::replace(&mut *pack, PackBuilder::new(self.repository.settings().pack_bytes));
            // Sent while the builder is held: who has blobs for the next pack waits until this one is taken.
            self.hand_over(full)?;
        }
        Ok(())
    }

    fn hand_over(&self, pack: PackBuilder) -> Result<()> {
        self.check()?;
        let sender = locked(&self.full).clone();
        let sent = sender.and_then(|sender| sender.send(pack).ok());
        sent.ok_or_else(|| Error::new(ErrorKind::Cancelled, "the upload of packs has ended"))
    }

    /// Fails when the operation was cancelled or an upload has failed.
    pub(crate) fn check(&self) -> Result<()> {
        self.ctx.cancel.check()?;
        if locked(&self.failure).is_some() {
            return Err(Error::new(ErrorKind::Cancelled, "an upload has failed"));
        }
        Ok(())
    }

    /// Hands over what is in the packs begun. No blob may be saved after this.
    pub(crate) fn close(&self) -> Result<()> {
        let mut result = Ok(());
        for builder in [&self.data, &self.trees] {
            let last = std::mem::replace(&mut *locked(builder), PackBuilder::new(0));
            if !last.is_empty() && result.is_ok() {
                result = self.hand_over(last);
            }
        }
        locked(&self.full).take();
        result
    }

    /// Ends the uploads without handing over what is in the packs begun.
    pub(crate) fn abandon(&self) -> Result<()> {
        locked(&self.full).take();
        self.check()
    }

    /// Ends the uploads when dropped: also when somebody panics before he can [`Saver::close`], so that a panic
    /// does not become a wait without end.
    pub(crate) fn end_uploads_on_drop(&self) -> EndUploads<'_> {
        EndUploads(&self.full)
    }

    pub(crate) fn repository(&self) -> &'r Repository {
        self.repository
    }

    /// The packs that were stored so far.
    pub(crate) fn take_stored(&self) -> Vec<PackId> {
        std::mem::take(&mut *locked(&self.stored))
    }

    /// Writes the last index file, once all uploads have ended; gives the error that ended them, if any.
    pub(crate) fn finish(self) -> Result<()> {
        let failure = locked(&self.failure).take();
        // Packs that were stored are worth an index file even if the operation as a whole has failed.
        let flushed = self.flush_index();
        if flushed.is_ok() {
            self.saving.catch_up();
        }
        match failure {
            Some(error) => Err(error),
            None => flushed,
        }
    }
}

pub(crate) struct EndUploads<'s>(&'s Mutex<Option<Sender<PackBuilder>>>);

impl Drop for EndUploads<'_> {
    fn drop(&mut self) {
        locked(self.0).take();
    }
}

/// Half of an id, which tells blobs apart as long as nobody goes to great lengths to deceive a count.
fn half_of(blob: BlobRef) -> [u8; 16] {
    let half = blob.id.as_bytes().first_chunk().copied().unwrap_or_default();
    if blob.kind == BlobKind::Tree { half.map(|byte: u8| !byte) } else { half }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
