//! Vaults put together by hand, pack by pack.

use std::sync::Arc;

use lifeboat_repository::blob::{BlobKind, BlobRef, PackedBlob};
use lifeboat_repository::config::Version;
use lifeboat_repository::id::{BlobId, PackId, SnapshotId};
use lifeboat_repository::index::IndexFileBuilder;
use lifeboat_repository::pack::{BlobCodec, Compression, PackBuilder};
use lifeboat_repository::repository::Repository;
use lifeboat_repository::storage::{Body, FileId, FileKind, MemStorage, Storage};
use lifeboat_testkit::repository as kit;

use crate::vault;

/// Puts packs together by hand.
pub(crate) struct Craft {
    pub(crate) storage: MemStorage,
    pub(crate) repository: Repository,
}

impl Craft {
    pub(crate) fn new(version: Version) -> Self {
        let storage = MemStorage::new();
        let repository = kit::init_version(Arc::new(storage.clone()), version);
        Self { storage, repository }
    }

    pub(crate) fn over(storage: MemStorage) -> Self {
        let repository = vault::open(&storage);
        Self { storage, repository }
    }

    /// Stores a pack of these blobs; each may be compressed or not. No index names it.
    pub(crate) fn pack(&self, blobs: &[(BlobKind, &[u8], Compression)]) -> (PackId, Vec<PackedBlob>) {
        let mut builder = PackBuilder::new(1 << 20);
        for (kind, content, compression) in blobs {
            let mut codec = BlobCodec::new(self.repository.master_key(), *compression);
            let mut sealed = Vec::new();
            let uncompressed_length = codec.seal(content, &mut sealed);
            builder.add(BlobRef { kind: *kind, id: BlobId::of(content) }, &sealed, uncompressed_length);
        }
        let pack = builder.finish(self.repository.master_key());
        self.storage.put(pack.id.into(), &Body::from_bytes(pack.body)).unwrap();
        (pack.id, pack.blobs)
    }

    pub(crate) fn index(&self, packs: &[(PackId, &[PackedBlob])]) {
        let mut builder = IndexFileBuilder::new();
        for (pack, blobs) in packs {
            builder.add_pack(*pack, blobs);
        }
        self.repository.save_unpacked(FileKind::Index, &builder.encode()).unwrap();
    }

    /// Stores an indexed pack.
    pub(crate) fn indexed(&self, blobs: &[(BlobKind, &[u8], Compression)]) -> PackId {
        let (pack, blobs) = self.pack(blobs);
        self.index(&[(pack, &blobs)]);
        pack
    }

    /// Stores a snapshot of one file with this content, tree and all, but not the content.
    pub(crate) fn snapshot(&self, content: &[&[u8]]) -> SnapshotId {
        let ids: Vec<_> = content.iter().map(|blob| BlobId::of(blob).to_string()).collect();
        let size: usize = content.iter().map(|blob| blob.len()).sum();
        let node = serde_json::json!({"name": "file", "type": "file", "size": size, "content": ids});
        self.snapshot_of_tree(serde_json::json!({"nodes": [node]}).to_string().as_bytes())
    }

    pub(crate) fn snapshot_of_tree(&self, tree: &[u8]) -> SnapshotId {
        self.indexed(&[(BlobKind::Tree, tree, Compression::Auto)]);
        let mut snapshot = kit::snapshot_of(&["/file".into()]);
        snapshot.tree = BlobId::of(tree);
        self.repository.save_snapshot(&snapshot).unwrap()
    }

    pub(crate) fn flip(&self, pack: PackId, at: u32) {
        let mut content = self.storage.contents()[&FileId::from(pack)].to_vec();
        content[at as usize] ^= 1;
        self.storage.tamper(pack.into(), Some(content));
    }
}

/// A tree too large to be held in memory by the engine.
pub(crate) fn giant_tree() -> String {
    let name = "x".repeat(180);
    let nodes: Vec<_> =
        (0..90_000).map(|n| format!(r#"{{"name":"{n:08}{name}","type":"symlink"}}"#)).collect();
    format!(r#"{{"nodes":[{}]}}"#, nodes.join(","))
}
