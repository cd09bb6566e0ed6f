//! Which index files the index in memory comes from, so that it never says more than the storage does.
//!
//! A blob that the index knows is not stored again, and a snapshot may refer to it. So an index that is older
//! than the lock (a prune may have run in between), or one that knows packs whose index file could not be
//! written, would end in snapshots with holes. Before anything is saved the index is therefore compared with
//! the index files of that moment, and read anew where it may promise too much.

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};

use super::Repository;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Id, IndexId};
use crate::index::Index;
use crate::storage::{FileKind, list_ids};
use crate::{Counters, Ctx};

/// What the index in memory was made of.
#[derive(Debug, Default)]
pub(super) struct LoadedFiles {
    files: BTreeSet<Id>,
    /// The index knows packs that perhaps no index file names.
    is_ahead: bool,
    is_saving: bool,
}

/// The right to add to the index; one at a time for each open repository, because what one has stored but not
/// yet indexed the other must not rely on. It is taken before the index is brought up to date, and kept to the end.
pub(crate) struct Saving<'r>(&'r Repository);

impl Repository {
    /// Loads all index files anew.
    pub fn load_index(&self, ctx: &Ctx) -> Result<()> {
        let ids = list_ids(self.storage(), FileKind::Index)?;
        self.load_anew(&ids, ctx)
    }

    /// Brings the index up to date; reads only what is new as long as nothing it was made of is gone.
    pub fn refresh_index(&self, ctx: &Ctx) -> Result<()> {
        let listed = list_ids(self.storage(), FileKind::Index)?;
        let new: Vec<Id> = {
            let loaded = self.loaded();
            let is_gone = |id: &Id| listed.binary_search(id).is_err();
            if loaded.is_ahead || loaded.files.iter().any(is_gone) {
                drop(loaded);
                return self.load_anew(&listed, ctx);
            }
            listed.into_iter().filter(|id| !loaded.files.contains(id)).collect()
        };
        self.load_more(&new, ctx)
    }

    fn load_anew(&self, ids: &[Id], ctx: &Ctx) -> Result<()> {
        // The old one goes first: two of them would take twice the memory.
        self.replace_index(Index::new(), []);
        let mut index = Index::new();
        ctx.counters.begin_phase("load index", ids.len() as u64, 0);
        for id in ids {
            ctx.cancel.check()?;
            self.read_index(IndexId::new(*id), &mut index)?;
            Counters::add(&ctx.counters.items_done, 1);
        }
        self.replace_index(index, ids.iter().copied());
        Ok(())
    }

    /// Takes another index, made of these index files.
    pub(crate) fn replace_index(&self, index: Index, files: impl IntoIterator<Item = Id>) {
        let mut loaded = self.loaded();
        loaded.files = files.into_iter().collect();
        loaded.is_ahead &= loaded.is_saving;
        *self.index_mut() = index;
    }

    fn load_more(&self, ids: &[Id], ctx: &Ctx) -> Result<()> {
        for id in ids {
            ctx.cancel.check()?;
            let added =
                self.visit_index(IndexId::new(*id), &mut |pack, blobs| self.add_to_index(pack, blobs));
            // Of a file that could not be read to its end the index may know some packs.
            added.inspect_err(|_| self.loaded().is_ahead = true)?;
            self.loaded().files.insert(*id);
        }
        Ok(())
    }

    /// Takes the right to add to the index; fails while somebody else has it.
    pub(crate) fn begin_saving(&self) -> Result<Saving<'_>> {
        let mut loaded = self.loaded();
        if loaded.is_saving {
            let what = "another operation of this process is storing through the same open repository";
            return Err(Error::new(ErrorKind::Locked, what));
        }
        loaded.is_saving = true;
        Ok(Saving(self))
    }

    fn loaded(&self) -> MutexGuard<'_, LoadedFiles> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'r> Saving<'r> {
    pub(crate) fn repository(&self) -> &'r Repository {
        self.0
    }

    /// To be called before the index learns of a pack that no index file names yet.
    pub(crate) fn get_ahead(&self) {
        self.0.loaded().is_ahead = true;
    }

    /// To be called with each index file written.
    pub(crate) fn add_file(&self, id: Id) {
        self.0.loaded().files.insert(id);
    }

    /// To be called when all packs that the index knows are in index files.
    pub(crate) fn catch_up(&self) {
        self.0.loaded().is_ahead = false;
    }
}

impl Drop for Saving<'_> {
    fn drop(&mut self) {
        self.0.loaded().is_saving = false;
    }
}
