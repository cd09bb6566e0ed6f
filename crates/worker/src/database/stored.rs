//! What a backup of a database has in its snapshot: one folder named after the resource, read file by file or restored
//! as it is.

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use lifeboat_adapters::files::FilesTarget;
use lifeboat_repository::blob::{BlobKind, BlobRef};
use lifeboat_repository::id::{BlobId, SnapshotId};
use lifeboat_repository::repository::{BlobReader, Repository};
use lifeboat_repository::restore::RestoreOptions;
use lifeboat_repository::tree::Node;
use lifeboat_repository::{Cancel, Ctx, Error, ErrorKind, Result};

use crate::progress::{Progress, Totals};

/// The folder of one set.
pub(super) struct Stored<'r> {
    repository: &'r Repository,
    tree: BlobId,
}

impl<'r> Stored<'r> {
    /// Finds what a snapshot holds; the index must be loaded.
    pub(super) fn open(repository: &'r Repository, snapshot: &str) -> Result<Self> {
        let unknown = || Error::new(ErrorKind::NotFound, format!("there is no snapshot {snapshot}"));
        let id: SnapshotId = snapshot.parse().map_err(|_| unknown())?;
        let root = repository.load_snapshot(id)?.tree;
        let top = repository.read_tree(root)?.next().transpose()?;
        let tree = top.and_then(|node| node.subtree);
        Ok(Self { repository, tree: tree.ok_or_else(|| strange("has no folder of a resource"))? })
    }

    /// Reads a file.
    pub(super) fn file(&self, path: &Path, cancel: &Cancel) -> Result<StoredFile<'r>> {
        let missing = || strange(&format!("has no file {}", path.display()));
        let mut node = Node { subtree: Some(self.tree), ..Node::default() };
        for name in path.iter() {
            let is_it = |node: &Result<Node>| node.as_ref().map_or(true, |node| node.name == name.as_bytes());
            let mut nodes = self.repository.read_tree(node.subtree.ok_or_else(missing)?)?;
            node = nodes.find(is_it).ok_or_else(missing)??;
        }
        Ok(StoredFile {
            reader: self.repository.blob_reader(),
            size: node.size,
            blobs: node.content.unwrap_or_default().into_iter(),
            plain: Vec::new(),
            at: 0,
            cancel: cancel.clone(),
        })
    }

    /// Restores all of it into `folder`, which is made anew: what an earlier attempt has left is removed.
    pub(super) fn restore_to(
        &self,
        folder: &Path,
        (workers, spools): (usize, &Path),
        (progress, ctx): (&Progress, &Ctx),
    ) -> Result<()> {
        let cannot =
            |cause| Error::new(ErrorKind::Io, format!("cannot make {}", folder.display())).because(cause);
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(cannot)?,
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot)?;
        let target = FilesTarget::open(folder, Path::new("/"), spools).map_err(cannot)?;
        let options = RestoreOptions { workers, ..RestoreOptions::default() };
        let ctx = progress.watch_restore(ctx);
        let report = self.repository.restore(self.tree, &target, &options, &ctx)?;
        if report.lost_count == 0 {
            return Ok(());
        }
        let what = format!("{} files of the set cannot be restored", report.lost_count);
        Err(Error::new(ErrorKind::Damaged, what))
    }
}

/// The content of a file, blob after blob.
pub(super) struct StoredFile<'r> {
    reader: BlobReader<'r>,
    size: u64,
    blobs: std::vec::IntoIter<BlobId>,
    plain: Vec<u8>,
    at: usize,
    cancel: Cancel,
}

impl StoredFile<'_> {
    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

impl Read for StoredFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.plain.len() {
            let Some(id) = self.blobs.next() else { return Ok(0) };
            self.cancel.check().map_err(io::Error::other)?;
            let blob = BlobRef { kind: BlobKind::Data, id };
            self.reader.read(blob, &mut self.plain).map_err(io::Error::other)?;
            self.at = 0;
        }
        let mut left = self.plain.get(self.at..).unwrap_or_default();
        let read = left.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

/// A restore counts what it reads.
pub(super) struct Counted<'p, R>(pub(super) R, pub(super) &'p Progress);

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.read_bytes(read as u64);
        Ok(read)
    }
}

/// So much will be read.
pub(super) fn expect(progress: &Progress, files: u64, bytes: u64) {
    progress.publish(Totals { items: files, files, bytes });
}

fn strange(what: &str) -> Error {
    Error::damaged(format!("the snapshot {what}, so it is no backup of a database"))
}
