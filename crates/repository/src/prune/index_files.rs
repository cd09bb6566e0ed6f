//! Writing index files anew so that they name the packs that stay and no others.
//!
//! New files are written and read back before the first old one is deleted, so a crash at any point leaves files
//! that together name all packs that stay. A pack is written with all entries of the index in memory, which holds
//! what all files say of it, and no entry of an old file may be missing there.

use crate::blob::PackedBlob;
use crate::check::packed;
use crate::ctx::{Counters, Ctx};
use crate::error::{Error, Result};
use crate::id::{Id, IndexId, PackId};
use crate::index::{BlobSet, IndexFileBuilder};
use crate::lock::LockGuard;
use crate::repository::Repository;
use crate::storage::{FileKind, StorageErrorKind};

/// Files with fewer blobs are merged with others.
const SMALL_BLOBS: u64 = 25_000;

pub(super) struct IndexRewrite<'p> {
    pub(super) repository: &'p Repository,
    pub(super) lock: &'p LockGuard,
    /// The packs that go, by number.
    pub(super) gone: &'p BlobSet,
    pub(super) ctx: &'p Ctx,
}

#[derive(Default)]
struct Writing {
    builder: IndexFileBuilder,
    blobs: u64,
    /// Packs already in a new file, by number.
    written: BlobSet,
    files: u64,
}

impl IndexRewrite<'_> {
    /// Writes anew what must be, and returns how many files were written and how many deleted.
    pub(super) fn run(&self, files: &[IndexId]) -> Result<(u64, u64)> {
        let old = self.outdated(files)?;
        self.ctx.counters.begin_phase("write index", old.len() as u64, 0);
        let mut writing = Writing::default();
        for id in &old {
            self.ctx.cancel.check()?;
            self.rewrite(*id, &mut writing)?;
            Counters::add(&self.ctx.counters.items_done, 1);
        }
        self.flush(&mut writing)?;
        self.ctx.counters.begin_phase("delete old index files", old.len() as u64, 0);
        for id in &old {
            self.ctx.cancel.check()?;
            self.lock.assert_held()?;
            match self.repository.storage().delete((*id).into()) {
                Err(error) if error.kind != StorageErrorKind::NotFound => return Err(error.into()),
                _ => Counters::add(&self.ctx.counters.items_done, 1),
            }
        }
        Ok((writing.files, old.len() as u64))
    }

    /// The files that name packs that go, and small ones if there are several.
    fn outdated(&self, files: &[IndexId]) -> Result<Vec<IndexId>> {
        self.ctx.counters.begin_phase("search index files", files.len() as u64, 0);
        let (mut old, mut small) = (Vec::new(), Vec::new());
        for id in files {
            self.ctx.cancel.check()?;
            let (mut blobs, mut is_outdated) = (0, false);
            self.repository.visit_index(*id, &mut |pack, entries| {
                blobs += entries.len() as u64;
                let number = self.repository.index().pack_number(pack);
                is_outdated |= number.is_some_and(|number| self.gone.contains(number));
            })?;
            if is_outdated {
                old.push(*id);
            } else if blobs < SMALL_BLOBS {
                small.push(*id);
            }
            Counters::add(&self.ctx.counters.items_done, 1);
        }
        if old.len() + small.len() > 1 {
            old.append(&mut small);
        }
        Ok(old)
    }

    fn rewrite(&self, id: IndexId, writing: &mut Writing) -> Result<()> {
        let mut result = Ok(());
        self.repository.visit_index(id, &mut |pack, blobs| {
            if result.is_ok() {
                result = self.rewrite_pack(pack, blobs, writing);
            }
        })?;
        result
    }

    fn rewrite_pack(&self, pack: PackId, blobs: &[PackedBlob], writing: &mut Writing) -> Result<()> {
        let all: Vec<PackedBlob> = {
            let index = self.repository.index();
            let number = index.pack_number(pack).ok_or_else(|| forgotten(pack))?;
            if self.gone.contains(number) {
                return Ok(());
            }
            let is_known = |blob: &PackedBlob| {
                let mut copies = index.find_all(blob.blob).filter(|entry| entry.pack_number == number);
                copies.any(|entry| packed(&entry) == *blob)
            };
            if !blobs.iter().all(is_known) {
                return Err(forgotten(pack));
            }
            if !writing.written.insert(number) {
                return Ok(());
            }
            index.entries_of_pack(number).map(|entry| packed(&entry)).collect()
        };
        writing.blobs += all.len() as u64;
        writing.builder.add_pack(pack, &all);
        if writing.builder.is_full() { self.flush(writing) } else { Ok(()) }
    }

    /// Stores what was collected, and makes sure that it can be read.
    fn flush(&self, writing: &mut Writing) -> Result<()> {
        let builder = std::mem::take(&mut writing.builder);
        let expected = std::mem::take(&mut writing.blobs);
        if builder.is_empty() {
            return Ok(());
        }
        self.lock.assert_held()?;
        let id: Id = self.repository.save_unpacked(FileKind::Index, &builder.encode())?;
        let mut blobs = 0;
        self.repository.visit_index(IndexId::new(id), &mut |_, entries| blobs += entries.len() as u64)?;
        if blobs != expected {
            return Err(Error::damaged(format!(
                "the new index file {id} has lost {} blobs",
                expected - blobs
            )));
        }
        writing.files += 1;
        Ok(())
    }
}

fn forgotten(pack: PackId) -> Error {
    Error::damaged(format!("the index in memory does not have all that an index file says of pack {pack}"))
}
