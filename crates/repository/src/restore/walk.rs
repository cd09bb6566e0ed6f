//! The walk over the trees of a snapshot, depth first, one node in memory at a time.
//!
//! Folders are handed to the visitor only once something in them is selected, those above before those below.
//! However deep the trees, a [`TreePath`] keeps no more open than fit into its memory.

use super::{Selected, Selection};
use crate::ctx::Ctx;
use crate::error::Result;
use crate::id::BlobId;
use crate::repository::{Repository, TreePath};
use crate::tree::{Node, NodeKind};

/// What is done with what the walk finds.
pub(super) trait Visitor {
    type Folder;

    /// A folder in which something is selected; `None` when there is nothing to be done below it, which the
    /// visitor has reported.
    fn enter(&mut self, parent: &Self::Folder, place: &Entered<'_>) -> Option<Self::Folder>;

    /// Something selected that is no folder. The node may be taken apart.
    fn item(&mut self, folder: &Self::Folder, node: &mut Node, path: &[u8]) -> Result<()>;

    /// The end of a folder. Unless it `is_sound`, it had entries that could not be read.
    fn leave(&mut self, folder: Self::Folder, is_sound: bool);

    fn lose(&mut self, path: &[u8], op: &'static str, cause: crate::error::Cause);
}

/// A folder about to be entered.
pub(super) struct Entered<'a> {
    pub(super) node: &'a Node,
    pub(super) tree: BlobId,
    pub(super) path: &'a [u8],
    /// Selected itself, and not only on the way to something that is.
    pub(super) is_selected: bool,
}

/// A walk that has not begun.
pub(super) struct Walk<'a, F> {
    trees: TreePath<'a>,
    select: &'a dyn Selection,
    stack: Vec<Frame<F>>,
    /// The path of the innermost folder; empty for the root.
    path: Vec<u8>,
    ctx: &'a Ctx,
}

struct Frame<F> {
    tree: BlobId,
    node: Node,
    folder: Slot<F>,
    path_len: usize,
    last_name: Vec<u8>,
    is_sound: bool,
    is_selected: bool,
    /// Nothing below it is wanted.
    is_over: bool,
}

enum Slot<F> {
    NotYet,
    Entered(F),
    /// Not to be entered, and nothing below it either.
    Closed,
}

impl<'a, F> Walk<'a, F> {
    /// Opens the root, without which there is nothing to walk over.
    pub(super) fn new(
        repository: &'a Repository,
        tree: BlobId,
        select: &'a dyn Selection,
        ctx: &'a Ctx,
    ) -> Result<Self> {
        let mut trees = TreePath::new(repository);
        trees.enter(Some(tree));
        trees.open(&mut Node::default())?;
        let root = Frame::new(tree, Node::default(), 0);
        Ok(Self { trees, select, stack: vec![root], path: Vec::new(), ctx })
    }

    /// Walks to the end. Only a cancel, or an error of the visitor, ends it early.
    pub(super) fn run<V: Visitor<Folder = F>>(mut self, root: F, visitor: &mut V) -> Result<()> {
        if let Some(frame) = self.stack.first_mut() {
            frame.folder = Slot::Entered(root);
        }
        let mut node = Node::default();
        while let Some(frame) = self.stack.last_mut() {
            self.ctx.cancel.check()?;
            self.path.truncate(frame.path_len);
            let next = if frame.is_over { Ok(false) } else { self.trees.read_into(&mut node) };
            match next {
                Ok(true) => self.visit(&mut node, visitor)?,
                Ok(false) => self.leave(visitor),
                Err(error) => {
                    frame.is_sound = false;
                    visitor.lose(&self.path, "read all of", error.into());
                }
            }
        }
        Ok(())
    }

    fn visit<V: Visitor<Folder = F>>(&mut self, node: &mut Node, visitor: &mut V) -> Result<()> {
        self.path.push(b'/');
        self.path.extend_from_slice(&node.name);
        if let Some(frame) = self.stack.last_mut() {
            if frame.last_name == node.name {
                frame.is_sound = false;
                visitor.lose(&self.path, "restore", "the folder has two entries of this name".into());
                return Ok(());
            }
            // Whoever wrote it, the names are not in order, so nothing can be said of what is missing.
            frame.is_sound &= frame.last_name < node.name;
            frame.last_name.clone_from(&node.name);
        }
        let is_dir = node.kind == NodeKind::Dir;
        let selected = self.select.judge(&self.path, is_dir);
        match node.kind {
            NodeKind::Dir => self.visit_folder(node, selected, visitor),
            // Sockets come back when the program that listens does.
            NodeKind::Socket => {}
            _ if !selected.itself => {}
            _ => {
                if self.enter_all(visitor)
                    && let Some(Frame { folder: Slot::Entered(folder), .. }) = self.stack.last()
                {
                    visitor.item(folder, node, &self.path)?;
                }
            }
        }
        Ok(())
    }

    fn visit_folder<V: Visitor<Folder = F>>(&mut self, node: &mut Node, selected: Selected, visitor: &mut V) {
        if !selected.itself && !selected.below {
            return;
        }
        let Some(tree) = node.subtree else {
            visitor.lose(&self.path, "restore", "the folder has no tree".into());
            return;
        };
        let frame = Frame::new(tree, std::mem::take(node), self.path.len());
        self.stack.push(Frame { is_selected: selected.itself, ..frame });
        self.trees.enter(Some(tree));
        let is_closed = selected.itself && !self.enter_all(visitor);
        let Some(frame) = self.stack.last_mut() else { return };
        if is_closed || !selected.below {
            frame.is_over = true;
            frame.is_sound = false;
        }
    }

    /// Enters the folders on the way that are not entered yet. False if one of them is closed.
    fn enter_all<V: Visitor<Folder = F>>(&mut self, visitor: &mut V) -> bool {
        let first = self.stack.iter().rposition(|frame| !matches!(frame.folder, Slot::NotYet));
        for at in first.unwrap_or_default() + 1..self.stack.len() {
            let (above, rest) = self.stack.split_at_mut(at);
            let (Some(above), Some(frame)) = (above.last(), rest.first_mut()) else { break };
            let entered = match &above.folder {
                Slot::Entered(parent) => {
                    let path = self.path.get(..frame.path_len).unwrap_or_default();
                    let place =
                        Entered { node: &frame.node, tree: frame.tree, path, is_selected: frame.is_selected };
                    visitor.enter(parent, &place)
                }
                Slot::NotYet | Slot::Closed => None,
            };
            frame.folder = entered.map_or(Slot::Closed, Slot::Entered);
            frame.is_over |= matches!(frame.folder, Slot::Closed);
        }
        self.stack.last().is_some_and(|frame| matches!(frame.folder, Slot::Entered(_)))
    }

    fn leave<V: Visitor<Folder = F>>(&mut self, visitor: &mut V) {
        self.trees.leave();
        if let Some(Frame { folder: Slot::Entered(folder), is_sound, .. }) = self.stack.pop() {
            visitor.leave(folder, is_sound);
        }
    }
}

impl<F> Frame<F> {
    fn new(tree: BlobId, node: Node, path_len: usize) -> Self {
        let (folder, last_name) = (Slot::NotYet, Vec::new());
        Self { tree, node, folder, path_len, last_name, is_sound: true, is_selected: false, is_over: false }
    }
}
