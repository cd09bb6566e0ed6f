//! Making and opening repositories, and the passwords that open them.

use std::sync::{Arc, Mutex, RwLock};

use super::{Repository, SealedFiles, Settings};
use crate::chunker::Polynomial;
use crate::config::{Config, Version};
use crate::crypto::{MasterKey, fill_random};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Id, KeyId};
use crate::index::Index;
use crate::key::{KdfCost, KeyFile, KeyOrigin, Password};
use crate::storage::{Body, FileId, FileKind, Storage, StorageErrorKind, list_ids};

/// What a new repository shall be.
pub struct NewRepository {
    pub version: Version,
    /// The polynomial of another repository, so that both cut files at the same places; random otherwise.
    pub polynomial: Option<Polynomial>,
    pub password: Password,
    pub cost: KdfCost,
    pub origin: KeyOrigin,
}

impl Repository {
    /// Makes a new repository in `storage` and opens it.
    ///
    /// Of two that do so at once, the one whose config is stored first has made it; the other takes its key
    /// back and fails. Keys that were there before belong to an `init` that died or lost, and go.
    pub fn init(storage: Arc<dyn Storage>, new: NewRepository, settings: Settings) -> Result<Self> {
        refuse_existing(&*storage)?;
        storage.create()?;
        let master = MasterKey::random();
        let key = KeyFile::create(&master, &new.password, new.cost, new.origin)?;
        let strangers = list_ids(&*storage, FileKind::Key)?;
        let key_id = put_key(&*storage, &key)?;
        let polynomial = new.polynomial.unwrap_or_else(|| Polynomial::random(&mut random_u64));
        let mut id = [0; 32];
        fill_random(&mut id);
        let version = if new.version == Version::V1 { 1 } else { 2 };
        let config = Config { version, id: Id::from_bytes(id), chunker_polynomial: polynomial };
        let mut sealed = Vec::new();
        master.seal(&serde_json::to_vec(&config).expect("ids and numbers serialize"), &mut sealed);
        match storage.put(FileId::CONFIG, &Body::from_bytes(sealed)) {
            Err(error) if error.kind == StorageErrorKind::AlreadyExists => {
                storage.delete(key_id.into())?;
                let what = format!("somebody else has just made a repository at {}", storage.describe());
                return Err(Error::new(ErrorKind::RepositoryExists, what).because(error));
            }
            stored => stored?,
        }
        for stranger in strangers {
            storage.delete(FileId::new(FileKind::Key, stranger))?;
        }
        let index = RwLock::new(Index::new());
        let files = Arc::new(SealedFiles::new(storage, master, new.version));
        Ok(Self { files, config, key_id, settings, index, loaded: Mutex::default() })
    }

    /// Opens the repository in `storage`. The index is not loaded yet.
    pub fn open(storage: Arc<dyn Storage>, password: &Password, settings: Settings) -> Result<Self> {
        let sealed = load_config(&*storage)?;
        let (key_id, master, plain) = find_key(&*storage, password, &sealed)?;
        let config: Config = serde_json::from_slice(&plain)
            .map_err(|e| Error::damaged("the config file is not what a config file is").because(e))?;
        let version = config.version()?;
        let index = RwLock::new(Index::new());
        let files = Arc::new(SealedFiles::new(storage, master, version));
        Ok(Self { files, config, key_id, settings, index, loaded: Mutex::default() })
    }

    /// Adds a password that opens this repository.
    pub fn add_key(&self, password: &Password, cost: KdfCost, origin: KeyOrigin) -> Result<KeyId> {
        let id = put_key(self.storage(), &KeyFile::create(self.master_key(), password, cost, origin)?)?;
        let stored = self.load_key(id)?;
        stored.open(password)?;
        Ok(id)
    }

    /// Removes a password, but never the one in use.
    pub fn remove_key(&self, id: KeyId) -> Result<()> {
        if id == self.key_id {
            let what = format!("key {} is the one in use and cannot be removed", id.short());
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        Ok(self.storage().delete(id.into())?)
    }

    /// Puts a new password in the place of the one in use; the old one stays valid until the new one is stored.
    pub fn change_password(
        &mut self,
        password: &Password,
        cost: KdfCost,
        origin: KeyOrigin,
    ) -> Result<KeyId> {
        let old = self.key_id;
        self.key_id = self.add_key(password, cost, origin)?;
        self.remove_key(old)?;
        Ok(self.key_id)
    }

    pub fn list_keys(&self) -> Result<Vec<KeyId>> {
        Ok(list_ids(self.storage(), FileKind::Key)?.into_iter().map(KeyId::new).collect())
    }

    pub fn load_key(&self, id: KeyId) -> Result<KeyFile> {
        load_key(self.storage(), id)
    }
}

/// Refuses a place that holds a repository, or what is left of one. Keys alone are left by an `init` that died.
fn refuse_existing(storage: &dyn Storage) -> Result<()> {
    let place = storage.describe();
    match storage.size(FileId::CONFIG) {
        Ok(_) => {
            let what = format!("there is already a repository at {place}");
            return Err(Error::new(ErrorKind::RepositoryExists, what));
        }
        Err(error) if error.kind == StorageErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    for kind in [FileKind::Snapshot, FileKind::Index, FileKind::Pack] {
        if has_files(storage, kind)? {
            let what =
                format!("{place} holds {kind} files but no config: a repository that lost its config file");
            return Err(Error::new(ErrorKind::RepositoryExists, what));
        }
    }
    Ok(())
}

fn has_files(storage: &dyn Storage, kind: FileKind) -> Result<bool> {
    let mut found = false;
    let listed = storage.list(kind, &mut |_| {
        found = true;
        false
    });
    match listed {
        Ok(()) => Ok(found),
        Err(error) if error.kind == StorageErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    fill_random(&mut bytes);
    u64::from_le_bytes(bytes)
}

fn put_key(storage: &dyn Storage, file: &KeyFile) -> Result<KeyId> {
    let json = file.to_json();
    let id = KeyId::new(Id::of(&json));
    storage.put(id.into(), &Body::from_bytes(json))?;
    Ok(id)
}

fn load_config(storage: &dyn Storage) -> Result<Vec<u8>> {
    let size = match storage.size(FileId::CONFIG) {
        Ok(size) => size,
        Err(error) if error.kind == StorageErrorKind::NotFound => {
            let what = format!("there is no repository at {} (it has no config file)", storage.describe());
            return Err(Error::new(ErrorKind::NoRepository, what).because(error));
        }
        Err(error) => return Err(error.into()),
    };
    if size > 1 << 20 {
        return Err(Error::damaged(format!(
            "the config file is {size} bytes long, far too long for a config"
        )));
    }
    Ok(storage.read(FileId::CONFIG, 0..size)?)
}

fn load_key(storage: &dyn Storage, id: KeyId) -> Result<KeyFile> {
    let size = storage.size(id.into())?;
    if size > 1 << 20 {
        return Err(Error::damaged(format!("key {id} is {size} bytes long, far too long for a key")));
    }
    KeyFile::parse(&storage.read(id.into(), 0..size)?)
}

/// The first key that the password opens and that opens the config, and the config's content. Damaged keys
/// are passed over as long as another one opens.
fn find_key(
    storage: &dyn Storage,
    password: &Password,
    config: &[u8],
) -> Result<(KeyId, MasterKey, Vec<u8>)> {
    let mut failure = Error::damaged(format!("the repository at {} has no key files", storage.describe()));
    let mut unopened_config = None;
    for id in list_ids(storage, FileKind::Key)? {
        let id = KeyId::new(id);
        match load_key(storage, id).and_then(|file| file.open(password)) {
            Ok(master) => {
                let mut plain = Vec::new();
                match master.open(config, &mut plain) {
                    Ok(()) => return Ok((id, master, plain)),
                    Err(error) => {
                        unopened_config = Some(Error::damaged("the config file is damaged").because(error));
                    }
                }
            }
            Err(error) if error.kind == ErrorKind::WrongPassword => {
                failure = Error::new(ErrorKind::WrongPassword, "wrong password or no key found");
            }
            Err(_) if failure.kind == ErrorKind::WrongPassword => {}
            Err(error) => {
                failure = Error::damaged(format!("key {} cannot be used", id.short())).because(error)
            }
        }
    }
    // A password that opens some key is not wrong, whatever the other keys say.
    Err(unopened_config.unwrap_or(failure))
}
