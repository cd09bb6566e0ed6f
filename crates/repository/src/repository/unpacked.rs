//! Files that are one sealed message each: indexes, snapshots and locks.
//!
//! In format version 2 the plaintext begins with byte 2 and a zstd frame, or with `{` or `[` when it is bare
//! JSON. The file is named by the SHA-256 of its sealed bytes.

use std::io::{self, Read};
use std::sync::Arc;

use super::Repository;
use crate::blob::PackedBlob;
use crate::config::Version;
use crate::crypto::MasterKey;
use crate::error::{Error, Result};
use crate::id::{Id, IndexId, PackId};
use crate::index::{Index, read_index_file};
use crate::storage::{Body, FileId, FileKind, Storage, StorageErrorKind};

const COMPRESSED: u8 = 2;
/// Index and snapshot files beyond this are taken for damage.
const MOST_FILE_BYTES: u64 = 1 << 30;
/// What a hostile file may unpack to.
const MOST_PLAIN_BYTES: u64 = 4 << 30;

/// Reads and writes sealed files. Shared by a repository and its locks.
pub struct SealedFiles {
    storage: Arc<dyn Storage>,
    master: MasterKey,
    version: Version,
}

impl SealedFiles {
    pub(super) fn new(storage: Arc<dyn Storage>, master: MasterKey, version: Version) -> Self {
        Self { storage, master, version }
    }

    pub fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    pub fn master_key(&self) -> &MasterKey {
        &self.master
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// Stores a file durably and returns its name.
    pub fn save_unpacked(&self, kind: FileKind, plain: &[u8]) -> Result<Id> {
        let mut sealed = Vec::new();
        match self.version {
            Version::V1 => self.master.seal(plain, &mut sealed),
            Version::V2 => {
                let mut packed = vec![COMPRESSED];
                let frame = zstd::bulk::compress(plain, 3);
                packed.extend(frame.expect("zstd compresses anything that is in memory"));
                self.master.seal(&packed, &mut sealed);
            }
        }
        let id = Id::of(&sealed);
        let file = FileId::new(kind, id);
        if let Err(error) = self.storage.put(file, &Body::from_bytes(sealed)) {
            // A storage that broke its promise may have kept a part, which would be taken for damage. Nobody
            // else knows the name. A storage that hangs is not asked again.
            if error.kind != StorageErrorKind::Cancelled {
                self.storage.delete(file).ok();
            }
            return Err(error.into());
        }
        Ok(id)
    }

    /// The content of a small file: a snapshot or a lock.
    pub fn load_unpacked(&self, kind: FileKind, id: Id) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        let read = self.open_unpacked(kind, id)?.take(MOST_PLAIN_BYTES).read_to_end(&mut plain);
        read.map_err(|e| damaged(kind, id).because(e))?;
        Ok(plain)
    }

    /// The content of a file as a stream, for index files.
    pub fn open_unpacked(&self, kind: FileKind, id: Id) -> Result<Box<dyn Read + Send>> {
        let file = FileId::new(kind, id);
        let size = self.storage.size(file)?;
        if size > MOST_FILE_BYTES {
            return Err(damaged(kind, id).because(format!("it is {size} bytes long")));
        }
        let sealed = self.storage.read(file, 0..size)?;
        if Id::of(&sealed) != id {
            return Err(damaged(kind, id).because("its content has another name"));
        }
        let mut plain = Vec::new();
        self.master.open(&sealed, &mut plain).map_err(|e| damaged(kind, id).because(e))?;
        unframe(plain).map_err(|e| damaged(kind, id).because(e))
    }
}

impl Repository {
    /// Stores a file durably and returns its name.
    pub fn save_unpacked(&self, kind: FileKind, plain: &[u8]) -> Result<Id> {
        self.files.save_unpacked(kind, plain)
    }

    /// The content of a small file: a snapshot or a lock.
    pub fn load_unpacked(&self, kind: FileKind, id: Id) -> Result<Vec<u8>> {
        self.files.load_unpacked(kind, id)
    }

    /// Adds the content of one index file to `index`.
    pub(crate) fn read_index(&self, id: IndexId, index: &mut Index) -> Result<()> {
        self.visit_index(id, &mut |pack, blobs| index.insert_pack(pack, blobs))
    }

    /// Shows an index file pack by pack. Of a damaged one some may have been shown before the damage is met.
    pub(crate) fn visit_index(
        &self,
        id: IndexId,
        visit: &mut dyn FnMut(PackId, &[PackedBlob]),
    ) -> Result<()> {
        let content = self.files.open_unpacked(FileKind::Index, id.id())?;
        read_index_file(content, visit).map_err(|e| damaged(FileKind::Index, id.id()).because(e))
    }
}

/// The JSON in an opened file: bare, or a zstd frame behind the mark of compression.
pub fn unframe(opened: Vec<u8>) -> io::Result<Box<dyn Read + Send>> {
    match opened.first() {
        Some(&COMPRESSED) => {
            let mut packed = io::Cursor::new(opened);
            packed.set_position(1);
            Ok(Box::new(zstd::stream::read::Decoder::with_buffer(packed)?))
        }
        Some(b'{' | b'[') => Ok(Box::new(io::Cursor::new(opened))),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it begins with neither JSON nor the mark of compression",
        )),
    }
}

fn damaged(kind: FileKind, id: Id) -> Error {
    Error::damaged(format!("the {kind} file {id} is damaged"))
}
