//! The parent snapshot beside the walk: what was here last time, name by name.
//!
//! Both the walk and trees are sorted by name, so one streaming pass over the parent's trees suffices. A
//! parent that cannot be read is no parent: files are then read again, and a tree that turns out the same is
//! stored again, which mends it.

use crate::blob::{BlobKind, BlobRef};
use crate::error::{Error, ErrorKind};
use crate::id::BlobId;
use crate::repository::TreePath;
use crate::save::Saver;
use crate::tree::{Node, NodeKind};

/// More errors than these are not kept: whatever else is wrong, a check says.
const MOST_ERRORS: usize = 100;

/// The parent's trees along the path the walk is in.
pub(super) struct Parent<'r> {
    saver: &'r Saver<'r>,
    trees: TreePath<'r>,
    /// The next entry of each of these trees.
    ahead: Vec<Ahead>,
    errors: Vec<Error>,
}

struct Ahead {
    node: Node,
    is_there: bool,
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
        let trees = TreePath::new(saver.repository());
        let mut parent = Self { saver, trees, ahead: Vec::new(), errors: Vec::new() };
        parent.enter(root);
        parent
    }

    /// The parent's entry of this name in the current folder. Names must be asked for in ascending order.
    pub(super) fn find(&mut self, name: &[u8]) -> Option<&Node> {
        while self.ahead.last().is_some_and(|ahead| ahead.is_there && ahead.node.name.as_slice() < name) {
            self.advance();
        }
        self.ahead.last().filter(|ahead| ahead.is_there && ahead.node.name == name).map(|ahead| &ahead.node)
    }

    /// Goes down into the folder `node` (an entry found by [`Parent::find`]), or into nothing.
    pub(super) fn enter(&mut self, subtree: Option<BlobId>) {
        self.trees.enter(subtree);
        self.ahead.push(Ahead { node: Node::default(), is_there: subtree.is_some() });
        if subtree.is_some() {
            self.advance();
        }
    }

    /// Goes on to the next entry that makes sense; after an error there are none.
    fn advance(&mut self) {
        let Some(ahead) = self.ahead.last_mut() else { return };
        ahead.is_there = loop {
            match self.trees.read_into(&mut ahead.node) {
                Ok(is_there) => break is_there,
                Err(error) if self.trees.is_over() => {
                    let id = self.trees.id();
                    complain(&mut self.errors, self.saver, id, error);
                    break false;
                }
                Err(_) => {}
            }
        };
    }

    /// What could not be read of the parent.
    pub(super) fn into_errors(self) -> Vec<Error> {
        self.errors
    }

    pub(super) fn leave(&mut self) {
        self.trees.leave();
        self.ahead.pop();
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
fn complain(errors: &mut Vec<Error>, saver: &Saver<'_>, id: Option<BlobId>, error: Error) {
    if error.kind == ErrorKind::Cancelled {
        return;
    }
    if error.is_of_content()
        && let Some(id) = id
    {
        saver.distrust(BlobRef { kind: BlobKind::Tree, id });
    }
    if errors.len() < MOST_ERRORS {
        errors.push(error);
    }
}
