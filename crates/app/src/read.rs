//! Reading snapshots: finding a path in one, and walking what is below it.
//!
//! A walk keeps no more trees open than fit into the memory of a [`TreePath`]. A tree that cannot be read is an error
//! for which the walk goes on with what comes after it.

use lifeboat_repository::blob::{BlobKind, BlobRef};
use lifeboat_repository::id::{BlobId, SnapshotId};
use lifeboat_repository::repository::{Repository, TreePath};
use lifeboat_repository::snapshot::SnapshotFile;
use lifeboat_repository::tree::{Node, NodeKind};
use lifeboat_repository::{Error, ErrorKind};

use crate::app::App;
use crate::choose::{self, Filter};
use crate::cli::values::SnapshotPath;
use crate::exit::Status;
use crate::output::progress::Kind;
use crate::output::text;

/// A snapshot, and the folder in it that a command starts from.
pub(crate) struct Opened {
    pub(crate) id: SnapshotId,
    pub(crate) snapshot: SnapshotFile,
    /// The tree of the folder that was named, else of the snapshot.
    pub(crate) tree: BlobId,
}

/// Finds the snapshot that is named, and the folder in it. The index must be loaded.
pub(crate) fn open(
    app: &App,
    repository: &Repository,
    name: &SnapshotPath,
    filter: &Filter,
) -> anyhow::Result<Opened> {
    let id = choose::find(app, repository, &name.snapshot, filter)?;
    let snapshot = repository.load_snapshot(id)?;
    let tree = match &name.path {
        None => snapshot.tree,
        Some(path) => match find(repository, snapshot.tree, path.as_bytes())? {
            Found::Tree(tree) => tree,
            Found::Node(node) => subtree(&node).ok_or_else(|| {
                let what = format!("{path} in snapshot {} is not a folder", id.short());
                Error::new(ErrorKind::InvalidInput, what)
            })?,
        },
    };
    Ok(Opened { id, snapshot, tree })
}

/// Loads the index and shows how far that is.
pub(crate) fn load_index(app: &App, repository: &Repository) -> anyhow::Result<()> {
    Ok(app.watch(Kind::Upkeep, || repository.load_index(&app.ctx))?)
}

/// What a path leads to.
pub(crate) enum Found {
    /// The start itself.
    Tree(BlobId),
    Node(Box<Node>),
}

/// Follows a path from a tree.
pub(crate) fn find(repository: &Repository, tree: BlobId, path: &[u8]) -> Result<Found, Error> {
    let mut found = Found::Tree(tree);
    for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".") {
        let tree = match &found {
            Found::Tree(tree) => Some(*tree),
            Found::Node(node) => subtree(node),
        };
        let missing = || {
            let path = String::from_utf8_lossy(path).into_owned();
            Error::new(ErrorKind::NotFound, format!("the snapshot holds no {path}"))
        };
        let mut entries = repository.read_tree(tree.ok_or_else(missing)?)?;
        let node = entries.find(|node| node.as_ref().map_or(true, |node| node.name == name));
        found = Found::Node(Box::new(node.ok_or_else(missing)??));
    }
    Ok(found)
}

/// The tree of a folder.
pub(crate) fn subtree(node: &Node) -> Option<BlobId> {
    node.subtree.filter(|_| node.kind == NodeKind::Dir)
}

pub(crate) fn tree_blob(id: BlobId) -> BlobRef {
    BlobRef { kind: BlobKind::Tree, id }
}

pub(crate) fn data_blob(id: BlobId) -> BlobRef {
    BlobRef { kind: BlobKind::Data, id }
}

/// Goes through all that is below a tree, depth first, folders before what is in them.
pub(crate) struct Walk<'r> {
    trees: TreePath<'r>,
    /// Lengths of the paths of the folders entered.
    path_bytes: Vec<usize>,
    /// The folder to go into next, unless it is skipped.
    below: Option<BlobId>,
    path: Vec<u8>,
    lost: u64,
}

impl<'r> Walk<'r> {
    pub(crate) fn new(repository: &'r Repository, tree: BlobId) -> Self {
        let trees = TreePath::new(repository);
        Self { trees, path_bytes: Vec::new(), below: Some(tree), path: Vec::new(), lost: 0 }
    }

    /// The same for the tree of a folder whose path shall be in front of all others.
    pub(crate) fn below(repository: &'r Repository, tree: BlobId, folder: &[u8]) -> Self {
        let names = folder.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".");
        let path = names.flat_map(|name| [b"/", name].concat()).collect();
        Self { path, ..Self::new(repository, tree) }
    }

    /// The next entry; `None` at the end.
    pub(crate) fn next(&mut self, app: &App) -> Option<Result<Node, Error>> {
        if let Err(cancelled) = app.ctx.cancel.check() {
            return Some(Err(cancelled));
        }
        if let Some(tree) = self.below.take() {
            self.trees.enter(Some(tree));
            self.path_bytes.push(self.path.len());
        }
        while let Some(path_bytes) = self.path_bytes.last() {
            self.path.truncate(*path_bytes);
            let mut node = Node::default();
            match self.trees.read_into(&mut node) {
                Ok(false) => {
                    self.trees.leave();
                    self.path_bytes.pop();
                }
                Err(error) => return Some(Err(error)),
                Ok(true) => {
                    self.path.push(b'/');
                    self.path.extend_from_slice(&node.name);
                    self.below = subtree(&node);
                    return Some(Ok(node));
                }
            }
        }
        None
    }

    /// The next entry that can be read. What cannot be read is named, and makes the command a failure.
    pub(crate) fn next_readable(&mut self, app: &App, status: &mut Status) -> anyhow::Result<Option<Node>> {
        while let Some(entry) = self.next(app) {
            match entry {
                Ok(node) => return Ok(Some(node)),
                Err(error) => {
                    app.ctx.cancel.check()?;
                    app.output.warn(text::chain(&error));
                    *status = Status::Failure;
                    self.lost += 1;
                }
            }
        }
        Ok(None)
    }

    /// How often [`Walk::next_readable`] met something that cannot be read.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// The path of the last entry, from the start of the walk, with a slash in front.
    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    /// The tree that the last entry is in.
    pub(crate) fn parent(&self) -> Option<BlobId> {
        self.trees.id()
    }

    /// How many folders the last entry is in.
    pub(crate) fn depth(&self) -> usize {
        self.trees.depth()
    }

    /// Leaves out what is below the last entry.
    pub(crate) fn skip_below(&mut self) {
        self.below = None;
    }
}
