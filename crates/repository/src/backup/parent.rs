//! The parent snapshot beside the walk: what was here last time, name by name.
//!
//! Both the walk and trees are sorted by name, so one streaming pass over the parent's trees suffices. A
//! parent that cannot be read is no parent: files are then read again.

use crate::blob::{BlobKind, BlobRef};
use crate::id::BlobId;
use crate::repository::{Repository, TreeReader};
use crate::tree::{Node, NodeKind};

/// The parent's trees along the path the walk is in.
pub(super) struct Parent<'r> {
    repository: &'r Repository,
    folders: Vec<Option<Folder<'r>>>,
}

struct Folder<'r> {
    tree: TreeReader<'r>,
    next: Node,
    has_next: bool,
}

/// What decides whether a file counts as unchanged, besides its size and mtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChangeDetection {
    /// Do not compare the time of the last status change.
    pub ignore_ctime: bool,
    /// Do not compare inode numbers.
    pub ignore_inode: bool,
}

impl<'r> Parent<'r> {
    pub(super) fn new(repository: &'r Repository, root: Option<BlobId>) -> Self {
        let folder = root.and_then(|root| Folder::open(repository, root));
        Self { repository, folders: vec![folder] }
    }

    /// The parent's entry of this name in the current folder. Names must be asked for in ascending order.
    pub(super) fn find(&mut self, name: &[u8]) -> Option<&Node> {
        self.folders.last_mut()?.as_mut()?.find(name)
    }

    /// Goes down into the folder `node` (an entry found by [`Parent::find`]), or into nothing.
    pub(super) fn enter(&mut self, subtree: Option<BlobId>) {
        let folder = subtree.and_then(|subtree| Folder::open(self.repository, subtree));
        self.folders.push(folder);
    }

    pub(super) fn leave(&mut self) {
        self.folders.pop();
    }

    /// True when the content of `old` may stand for that of the file `new`.
    pub(super) fn is_unchanged(&self, old: &Node, new: &Node, detection: ChangeDetection) -> bool {
        let is_same = old.kind == NodeKind::File
            && new.kind == NodeKind::File
            && old.size == new.size
            && old.mtime == new.mtime
            && (detection.ignore_ctime || old.ctime == new.ctime)
            && (detection.ignore_inode || old.inode == new.inode);
        is_same && old.content.as_ref().is_some_and(|content| self.has_all(content))
    }

    fn has_all(&self, content: &[BlobId]) -> bool {
        let index = self.repository.index();
        content.iter().all(|id| index.contains(BlobRef { kind: BlobKind::Data, id: *id }))
    }
}

impl<'r> Folder<'r> {
    fn open(repository: &'r Repository, id: BlobId) -> Option<Self> {
        let tree = repository.read_tree(id).ok()?;
        let mut folder = Self { tree, next: Node::default(), has_next: true };
        folder.advance();
        Some(folder)
    }

    fn advance(&mut self) {
        self.has_next = loop {
            match self.tree.read_into(&mut self.next) {
                Ok(has_next) => break has_next,
                Err(_) if self.tree.is_over() => break false,
                Err(_) => {}
            }
        };
    }

    fn find(&mut self, name: &[u8]) -> Option<&Node> {
        while self.has_next && self.next.name.as_slice() < name {
            self.advance();
        }
        (self.has_next && self.next.name == name).then_some(&self.next)
    }
}
