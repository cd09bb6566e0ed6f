//! The trees on the way from the root of a walk down to the folder it is in.
//!
//! Those further out are closed once all together take more than [`OPEN_BYTES`], and opened again, and passed over up
//! to where they were, when the walk comes back. A tree is closed only for others of that size to be read, so what is
//! read again stays in proportion to what is read. Neither depth nor long listings within each other add up: a closed
//! tree takes some hundred bytes, and [`OPEN_BYTES`] and the tree being opened (4 MiB at most) bound all the others.

use super::{BlobReader, Repository, TreeReader};
use crate::error::Result;
use crate::id::BlobId;
use crate::tree::Node;

const OPEN_BYTES: usize = 16 << 20;

/// The open trees of one walk, the innermost last.
pub struct TreePath<'r> {
    blobs: BlobReader<'r>,
    levels: Vec<Level<'r>>,
    /// All levels before this one are closed.
    first_open: usize,
    open_bytes: usize,
    most_bytes: usize,
}

struct Level<'r> {
    /// `None` for a folder that is not there and has no entries.
    tree: Option<BlobId>,
    reader: Option<TreeReader<'r>>,
    /// Nodes read so far, those that made no sense included.
    read: u64,
    is_over: bool,
}

impl<'r> TreePath<'r> {
    pub fn new(repository: &'r Repository) -> Self {
        let blobs = repository.blob_reader();
        Self { blobs, levels: Vec::new(), first_open: 0, open_bytes: 0, most_bytes: OPEN_BYTES }
    }

    /// Goes down into a folder, or into one that is not there. The tree is opened when its first node is read.
    pub fn enter(&mut self, tree: Option<BlobId>) {
        self.levels.push(Level { tree, reader: None, read: 0, is_over: tree.is_none() });
    }

    /// Goes back up.
    pub fn leave(&mut self) {
        self.end();
        self.levels.pop();
        self.first_open = self.first_open.min(self.levels.len());
    }

    /// How many folders the walk is in.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// The tree of the innermost folder.
    pub fn id(&self) -> Option<BlobId> {
        self.levels.last().and_then(|level| level.tree)
    }

    /// True when nothing more can be read of the innermost tree.
    pub fn is_over(&self) -> bool {
        self.levels.last().is_none_or(|level| level.is_over)
    }

    /// Replaces `node` with the next one of the innermost tree; false at its end. After an error the next call may
    /// give the next one.
    pub fn read_into(&mut self, node: &mut Node) -> Result<bool> {
        if self.is_over() {
            return Ok(false);
        }
        if self.levels.last().is_some_and(|level| level.reader.is_none())
            && let Err(error) = self.open(node)
        {
            self.end();
            return Err(error);
        }
        let Some(Level { reader: Some(reader), read, .. }) = self.levels.last_mut() else { return Ok(false) };
        *read += 1;
        let outcome = reader.read_into(node);
        if matches!(outcome, Ok(false)) || reader.is_over() {
            self.end();
        }
        outcome
    }

    /// Opens the innermost tree, as reading it would, and passes over what was read of it.
    pub(crate) fn open(&mut self, node: &mut Node) -> Result<()> {
        let Some((level, outer)) = self.levels.split_last_mut() else { return Ok(()) };
        let Some(tree) = level.tree else { return Ok(()) };
        let mut reader = self.blobs.tree(tree)?;
        for _ in 0..level.read {
            // What was wrong with a node was said the first time.
            if reader.read_into(node).is_err() && reader.is_over() {
                break;
            }
        }
        self.open_bytes += reader.memory_bytes();
        level.reader = Some(reader);
        self.first_open = self.first_open.min(outer.len());
        while self.open_bytes > self.most_bytes
            && let Some(outermost) = outer.get_mut(self.first_open)
        {
            let closed = outermost.reader.take();
            self.open_bytes -= closed.map_or(0, |closed| closed.memory_bytes());
            self.first_open += 1;
        }
        Ok(())
    }

    /// Nothing more is read of the innermost tree.
    fn end(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.is_over = true;
            let closed = level.reader.take();
            self.open_bytes -= closed.map_or(0, |closed| closed.memory_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::blob::{BlobKind, BlobRef};
    use crate::pack::PackBuilder;
    use crate::repository::tests::init;
    use crate::storage::{Body, MemStorage, Storage};
    use crate::tree::{TreeEncoder, ZoneOffsets};

    const DEPTH: u64 = 6;
    const ENTRIES: u64 = 5;

    /// Stores folders in folders, each with the next one in the midst of its entries; the root's tree.
    fn store(repository: &Repository, storage: &MemStorage) -> BlobId {
        let zone = ZoneOffsets::new(&TimeZone::UTC);
        let (mut pack, mut sealed) = (PackBuilder::new(1 << 20), Vec::new());
        let mut below = None;
        for level in 0..DEPTH {
            let mut tree = TreeEncoder::new(Vec::new(), &zone);
            for entry in 0..ENTRIES {
                let subtree = below.filter(|_| entry == ENTRIES / 2);
                let name = entry.to_string().into_bytes();
                tree.push(&Node { name, size: level, subtree, ..Node::default() }).unwrap();
            }
            let json = tree.finish().unwrap();
            let id = BlobId::of(&json);
            sealed.clear();
            repository.master_key().seal(&json, &mut sealed);
            pack.add(BlobRef { kind: BlobKind::Tree, id }, &sealed, None);
            below = Some(id);
        }
        let pack = pack.finish(repository.master_key());
        storage.put(pack.id.into(), &Body::from_bytes(pack.body)).unwrap();
        repository.index_mut().insert_pack(pack.id, &pack.blobs);
        below.unwrap()
    }

    /// Level and name of all entries, folders before what is in them, and how many trees were open at most.
    fn walk(mut trees: TreePath<'_>, root: BlobId) -> (Vec<(u64, Vec<u8>)>, usize) {
        let (mut found, mut most_open) = (Vec::new(), 0);
        trees.enter(Some(root));
        let mut node = Node::default();
        while trees.depth() > 0 {
            if !trees.read_into(&mut node).unwrap() {
                trees.leave();
                continue;
            }
            most_open = most_open.max(trees.levels.iter().filter(|level| level.reader.is_some()).count());
            found.push((node.size, node.name.clone()));
            if node.subtree.is_some() {
                trees.enter(node.subtree);
            }
        }
        assert_eq!(trees.open_bytes, 0);
        (found, most_open)
    }

    #[test]
    fn trees_that_had_to_be_closed_go_on_where_they_were() {
        let storage = MemStorage::new();
        let repository = init(&storage);
        let root = store(&repository, &storage);
        let (found, most_open) = walk(TreePath::new(&repository), root);
        assert_eq!((found.len() as u64, most_open as u64), (DEPTH * ENTRIES, DEPTH));
        let narrow = TreePath { most_bytes: 1, ..TreePath::new(&repository) };
        assert_eq!(walk(narrow, root), (found, 1));
    }

    #[test]
    fn a_tree_that_is_not_there_is_said_once_and_then_over() {
        let repository = init(&MemStorage::new());
        let mut trees = TreePath::new(&repository);
        trees.enter(Some(BlobId::of(b"nowhere")));
        trees.read_into(&mut Node::default()).unwrap_err();
        assert!(trees.is_over() && !trees.read_into(&mut Node::default()).unwrap());
    }
}
