//! Repositories with trees made by hand, good ones and such as no backup would make.

use std::sync::Arc;

use lifeboat_repository::Ctx;
use lifeboat_repository::blob::{BlobKind, BlobRef};
use lifeboat_repository::id::BlobId;
use lifeboat_repository::index::IndexFileBuilder;
use lifeboat_repository::pack::{BlobCodec, Compression, PackBuilder};
use lifeboat_repository::repository::Repository;
use lifeboat_repository::storage::{Body, FileKind, MemStorage, Storage};
use lifeboat_testkit::repository::{init, open};

/// A repository in the making: one pack, one index.
pub(crate) struct HandMade {
    pub(crate) storage: MemStorage,
    repository: Repository,
    pack: PackBuilder,
}

impl HandMade {
    pub(crate) fn new() -> Self {
        let storage = MemStorage::new();
        let repository = init(Arc::new(storage.clone()));
        Self { storage, repository, pack: PackBuilder::new(16 << 20) }
    }

    fn add(&mut self, kind: BlobKind, content: &[u8]) -> BlobId {
        let id = BlobId::of(content);
        let mut sealed = Vec::new();
        let length =
            BlobCodec::new(self.repository.master_key(), Compression::Auto).seal(content, &mut sealed);
        self.pack.add(BlobRef { kind, id }, &sealed, length);
        id
    }

    pub(crate) fn data(&mut self, content: &[u8]) -> BlobId {
        self.add(BlobKind::Data, content)
    }

    /// A tree of the nodes given as JSON.
    pub(crate) fn tree(&mut self, nodes: &[String]) -> BlobId {
        self.add(BlobKind::Tree, format!("{{\"nodes\":[{}]}}\n", nodes.join(",")).as_bytes())
    }

    /// A file node with one blob, that of `content`.
    pub(crate) fn file(&mut self, name: &str, content: &str) -> String {
        let id = self.data(content.as_bytes());
        file(name, content.len(), &[id])
    }

    /// Stores all, and opens it anew.
    pub(crate) fn open(self) -> (MemStorage, Repository) {
        let Self { storage, repository, pack } = self;
        let pack = pack.finish(repository.master_key());
        storage.put(pack.id.into(), &Body::from_bytes(pack.body)).unwrap();
        let mut index = IndexFileBuilder::new();
        index.add_pack(pack.id, &pack.blobs);
        repository.files().save_unpacked(FileKind::Index, &index.encode()).unwrap();
        let repository = open(Arc::new(storage.clone()));
        repository.load_index(&Ctx::default()).unwrap();
        (storage, repository)
    }
}

/// A node of a kind; `rest` are further fields, each with a comma before it. The name is put into JSON as it is.
pub(crate) fn node(name: &str, kind: &str, rest: &str) -> String {
    let times =
        ["mtime", "atime", "ctime"].map(|field| format!("\"{field}\":\"2021-02-03T04:05:06.000000007Z\""));
    let times = times.join(",");
    let mode = if kind == "dir" { 0o755 | 1u32 << 31 } else { 0o644 };
    format!("{{\"name\":\"{name}\",\"type\":\"{kind}\",\"mode\":{mode},{times},\"uid\":0,\"gid\":0{rest}}}")
}

pub(crate) fn file(name: &str, size: usize, content: &[BlobId]) -> String {
    let content: Vec<String> = content.iter().map(|id| format!("\"{id}\"")).collect();
    node(name, "file", &format!(",\"size\":{size},\"content\":[{}]", content.join(",")))
}

pub(crate) fn dir(name: &str, subtree: BlobId) -> String {
    node(name, "dir", &format!(",\"subtree\":\"{subtree}\",\"content\":null"))
}

pub(crate) fn symlink(name: &str, target: &str) -> String {
    node(name, "symlink", &format!(",\"linktarget\":\"{target}\",\"content\":null"))
}
