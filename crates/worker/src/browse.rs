//! A look into one folder of a snapshot: what is in it, without restoring anything.
//!
//! A folder is read as a stream and only the window asked for is kept, so the length of a folder costs time and no
//! memory. Nothing but a lock is written, which the next prune takes away if this process dies.

use lifeboat_repository::id::{BlobId, SnapshotId};
use lifeboat_repository::repository::Repository;
use lifeboat_repository::tree::{Node, NodeKind};
use lifeboat_repository::{Ctx, Error, ErrorKind, Result};

use crate::vault::VaultAccess;

/// Which folder to look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// Where it was, from `/` on.
    Path(String),
    /// What [`Entry::subtree`] said of it.
    Tree(String),
}

/// What to look for.
#[derive(Clone)]
pub struct BrowseOrder {
    pub vault: VaultAccess,
    pub snapshot: String,
    pub folder: Folder,
    /// How many entries to pass over, and how many to name.
    pub window: (u64, u64),
}

/// One entry of a folder. A name that is not UTF-8 carries U+FFFD in place of what cannot be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// `file`, `dir`, `symlink` and so on, as trees call it.
    pub kind: String,
    /// Of a file.
    pub size: Option<u64>,
    /// Of a folder.
    pub subtree: Option<String>,
}

/// A window on a folder, and how many entries it has in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    pub entries: Vec<Entry>,
    pub total: u64,
}

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub enum BrowseError {
    #[error("the snapshot has no folder {0}")]
    NoFolder(String),
    #[error("cannot look into the snapshot")]
    Vault(#[source] Error),
}

/// Looks into one folder of a snapshot. Entries are in the order of their names, which never changes.
pub fn browse(order: &BrowseOrder) -> std::result::Result<Listing, BrowseError> {
    let ctx = Ctx::default();
    let repository = order.vault.open(None, &ctx).map_err(BrowseError::Vault)?;
    let found = order.vault.locked(&repository, &ctx, |_| {
        repository.load_index(&ctx)?;
        let Some(tree) = find(&repository, order)? else { return Ok(None) };
        list(&repository, tree, order.window).map(Some)
    });
    let missing = || {
        let (Folder::Path(name) | Folder::Tree(name)) = &order.folder;
        BrowseError::NoFolder(name.clone())
    };
    match found {
        Ok(found) => found.ok_or_else(missing),
        Err(error) if error.kind == ErrorKind::NotFound && matches!(order.folder, Folder::Tree(_)) => {
            Err(missing())
        }
        Err(error) => Err(BrowseError::Vault(error)),
    }
}

/// The tree of the folder; `None` when there is no such folder.
fn find(repository: &Repository, order: &BrowseOrder) -> Result<Option<BlobId>> {
    let path = match &order.folder {
        Folder::Tree(tree) => return Ok(tree.parse().ok()),
        Folder::Path(path) => path,
    };
    let unknown = || Error::new(ErrorKind::NotFound, format!("there is no snapshot {}", order.snapshot));
    let id: SnapshotId = order.snapshot.parse().map_err(|_| unknown())?;
    let mut tree = repository.load_snapshot(id)?.tree;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        match subtree(repository, tree, name)? {
            Some(below) => tree = below,
            None => return Ok(None),
        }
    }
    Ok(Some(tree))
}

fn subtree(repository: &Repository, tree: BlobId, name: &str) -> Result<Option<BlobId>> {
    for node in repository.read_tree(tree)? {
        let node = node?;
        if node.name == name.as_bytes() {
            return Ok(node.subtree);
        }
    }
    Ok(None)
}

fn list(repository: &Repository, tree: BlobId, (skip, most): (u64, u64)) -> Result<Listing> {
    let mut nodes = repository.read_tree(tree)?;
    let (mut listing, mut node) = (Listing::default(), Node::default());
    while nodes.read_into(&mut node)? {
        if listing.total >= skip && listing.total - skip < most {
            listing.entries.push(Entry::of(&node));
        }
        listing.total += 1;
    }
    Ok(listing)
}

impl Entry {
    fn of(node: &Node) -> Self {
        Self {
            name: String::from_utf8_lossy(&node.name).into_owned(),
            kind: node.kind.name().to_owned(),
            size: (node.kind == NodeKind::File).then_some(node.size),
            subtree: node.subtree.map(|tree| tree.to_string()),
        }
    }
}
