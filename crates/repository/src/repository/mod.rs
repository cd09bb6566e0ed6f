//! An open repository: its storage, its key and the index of its blobs.
//!
//! Nothing is kept here that the storage does not hold; a repository can be dropped at any moment. `init`
//! writes the key before the config, and without a config there is no repository: a crash in between leaves
//! a key that the next `init` removes.

mod index_guard;
mod loaded;
mod lock_files;
mod open;
mod path;
mod read;
mod unpacked;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};

pub use self::index_guard::IndexGuard;
use self::index_guard::IndexGuardMut;
use self::loaded::LoadedFiles;
pub(crate) use self::loaded::Saving;
pub use self::open::NewRepository;
pub use self::path::TreePath;
pub use self::read::{BlobReader, TreeReader};
pub use self::unpacked::{SealedFiles, unframe};
use crate::blob::PackedBlob;
use crate::clock::Time;
use crate::config::{Config, Version};
use crate::crypto::MasterKey;
use crate::id::{KeyId, PackId};
use crate::index::Index;
use crate::pack::Compression;
use crate::storage::Storage;

/// What the surroundings decide about an open repository.
#[derive(Clone)]
pub struct Settings {
    pub time: Time,
    /// Where giant trees and long listings are kept while they are worked on.
    pub spool_folder: PathBuf,
    pub compression: Compression,
    /// At which size a pack is full.
    pub pack_bytes: usize,
}

impl Settings {
    /// restic's default size of a pack.
    pub const PACK_BYTES: usize = 16 << 20;
}

/// An open repository. All methods may be called from many threads.
pub struct Repository {
    files: Arc<SealedFiles>,
    config: Config,
    key_id: KeyId,
    settings: Settings,
    index: RwLock<Index>,
    loaded: Mutex<LoadedFiles>,
}

impl Repository {
    pub fn storage(&self) -> &dyn Storage {
        self.files.storage()
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn version(&self) -> Version {
        self.files.version()
    }

    /// The key file that the password opened.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn master_key(&self) -> &MasterKey {
        self.files.master_key()
    }

    /// The files that are one sealed message each.
    pub fn files(&self) -> &Arc<SealedFiles> {
        &self.files
    }

    /// The compression in force: none in format version 1.
    pub fn compression(&self) -> Compression {
        match self.version() {
            Version::V1 => Compression::Off,
            Version::V2 => self.settings.compression,
        }
    }

    /// The index as far as it is loaded. To be held for a moment, and never twice: see [`IndexGuard`].
    pub fn index(&self) -> IndexGuard<'_> {
        IndexGuard::new(&self.index)
    }

    /// Makes the blobs of a pack findable.
    pub(crate) fn add_to_index(&self, pack: PackId, blobs: &[PackedBlob]) {
        self.index_mut().insert_pack(pack, blobs);
    }

    fn index_mut(&self) -> IndexGuardMut<'_> {
        IndexGuardMut::new(&self.index)
    }
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository({})", self.storage().describe())
    }
}

#[cfg(test)]
mod tests;
