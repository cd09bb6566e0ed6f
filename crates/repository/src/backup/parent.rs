//! The parent snapshot beside the walk: what was here last time, name by name.
//!
//! Both the walk and trees are sorted by name, so one streaming pass over the parent's trees suffices. A
//! parent that cannot be read is no parent: files are then read again, and a tree that turns out the same is
//! stored again, which mends it.

use crate::blob::{BlobKind, BlobRef};
use crate::error::{Error, ErrorKind};
use crate::id::BlobId;
use crate::repository::{Repository, TreeReader};
use crate::save::Saver;
use crate::tree::{Node, NodeKind};

/// More errors than these are not kept: whatever else is wrong, a check says.
const MOST_ERRORS: usize = 100;

/// The parent's trees along the path the walk is in.
pub(super) struct Parent<'r> {
    repository: &'r Repository,
    saver: &'r Saver<'r>,
    folders: Vec<Option<Folder<'r>>>,
    errors: Vec<Error>,
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
    pub(super) fn new(saver: &'r Saver<'r>, root: Option<BlobId>) -> Self {
        let repository = saver.repository();
        let mut parent = Self { repository, saver, folders: Vec::new(), errors: Vec::new() };
        parent.enter(root);
        parent
    }

    /// The parent's entry of this name in the current folder. Names must be asked for in ascending order.
    pub(super) fn find(&mut self, name: &[u8]) -> Option<&Node> {
        let folder = self.folders.last_mut()?.as_mut()?;
        while folder.has_next && folder.next.name.as_slice() < name {
            if let Err(error) = folder.advance() {
                let id = folder.tree.id();
                complain(&mut self.errors, self.saver, id, error);
            }
        }
        (folder.has_next && folder.next.name == name).then_some(&folder.next)
    }

    /// Goes down into the folder `node` (an entry found by [`Parent::find`]), or into nothing.
    pub(super) fn enter(&mut self, subtree: Option<BlobId>) {
        let folder = subtree.and_then(|id| match Folder::open(self.repository, id) {
            Ok(folder) => Some(folder),
            Err(error) => {
                complain(&mut self.errors, self.saver, id, error);
                None
            }
        });
        self.folders.push(folder);
    }

    /// What could not be read of the parent.
    pub(super) fn into_errors(self) -> Vec<Error> {
        self.errors
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
        content.iter().all(|id| self.saver.is_known(BlobRef { kind: BlobKind::Data, id: *id }))
    }
}

/// Notes what is wrong with a tree of the parent, and that it is not to be relied on.
fn complain(errors: &mut Vec<Error>, saver: &Saver<'_>, id: BlobId, error: Error) {
    if error.kind == ErrorKind::Cancelled {
        return;
    }
    if error.is_of_content() {
        saver.distrust(BlobRef { kind: BlobKind::Tree, id });
    }
    if errors.len() < MOST_ERRORS {
        errors.push(error);
    }
}

impl<'r> Folder<'r> {
    fn open(repository: &'r Repository, id: BlobId) -> Result<Self, Error> {
        let tree = repository.read_tree(id)?;
        let mut folder = Self { tree, next: Node::default(), has_next: true };
        folder.advance()?;
        Ok(folder)
    }

    /// Goes on to the next entry that makes sense; after an error there are none.
    fn advance(&mut self) -> Result<(), Error> {
        loop {
            match self.tree.read_into(&mut self.next) {
                Err(error) if self.tree.is_over() => {
                    self.has_next = false;
                    return Err(error);
                }
                Err(_) => {}
                Ok(has_next) => {
                    self.has_next = has_next;
                    return Ok(());
                }
            }
        }
    }
}
