//! The live set: which blobs the snapshots need, found by walking all their trees.
//!
//! One bit per index entry and four bytes per tree still to be walked are all the memory it takes; every tree is
//! read once, however many snapshots share it, and a giant one is never held. What is missing or damaged is
//! told to the findings and the walk goes on, so whoever deletes by this set must first look at the findings.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::blob::{BlobKind, BlobRef};
use crate::check::{Findings, HintKind, Problem, ProblemKind};
use crate::ctx::{Counters, Ctx};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{BlobId, SnapshotId};
use crate::index::Index;
use crate::repository::{BlobReader, Repository};
use crate::threads::or_drain;
use crate::tree::{Node, NodeKind};

/// Subtrees found are passed on when there are this many, or at the end of their tree.
const SUBTREES_TOGETHER: usize = 1024;

/// Marks on the first entries of blobs. Many threads may mark at once.
#[derive(Debug)]
pub(crate) struct LiveSet {
    words: Vec<AtomicU64>,
}

impl LiveSet {
    /// An empty set with room for all entries of `index`.
    pub(crate) fn new(index: &Index) -> Self {
        let words = (0..index.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { words }
    }

    /// Marks an entry; false if it was marked.
    fn mark(&self, ordinal: u32) -> bool {
        let bit = 1 << (ordinal % 64);
        let word = self.words.get(ordinal as usize / 64);
        word.is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0)
    }

    /// True when the entry with this number was marked; of a blob with several entries only the first is.
    pub(crate) fn contains(&self, ordinal: u32) -> bool {
        let word = self.words.get(ordinal as usize / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) & (1 << (ordinal % 64)) != 0)
    }
}

/// One walk: give it roots, then run it. Several walks may add to one set.
pub(crate) struct LiveWalk<'w> {
    repository: &'w Repository,
    live: &'w LiveSet,
    findings: &'w Findings,
    ctx: &'w Ctx,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Ordinals of trees that are marked but not yet walked.
    waiting: Vec<u32>,
    busy: usize,
    failure: Option<Error>,
}

impl<'w> LiveWalk<'w> {
    pub(crate) fn new(
        repository: &'w Repository,
        live: &'w LiveSet,
        findings: &'w Findings,
        ctx: &'w Ctx,
    ) -> Self {
        Self { repository, live, findings, ctx, queue: Mutex::default(), changed: Condvar::new() }
    }

    /// Adds the tree of a snapshot. One that is in no index is a problem of that snapshot.
    pub(crate) fn add_root(&self, snapshot: SnapshotId, tree: BlobId) {
        let blob = BlobRef { kind: BlobKind::Tree, id: tree };
        let found = self.repository.index().find(blob);
        match found {
            Some(entry) if self.live.mark(entry.ordinal) => self.queue().waiting.push(entry.ordinal),
            Some(_) => {}
            None => {
                let sentence = format!("snapshot {snapshot} needs the {blob}, which is in no index");
                self.findings.problem(Problem::new(blob, ProblemKind::Missing, sentence));
            }
        }
    }

    /// Walks until nothing is left. Fails only when cancelled.
    pub(crate) fn run(self, workers: usize) -> Result<()> {
        std::thread::scope(|scope| {
            for _ in 0..workers.max(1) {
                scope.spawn(|| or_drain(|| Walker::new(&self).run(), || self.give_up()));
            }
        });
        let queue = self.queue.into_inner().unwrap_or_else(PoisonError::into_inner);
        queue.failure.map_or(Ok(()), Err)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next tree to walk, once there is one; `None` when there will be none.
    fn next(&self) -> Option<u32> {
        let mut queue = self.queue();
        loop {
            if queue.failure.is_some() {
                return None;
            }
            if let Some(ordinal) = queue.waiting.pop() {
                queue.busy += 1;
                return Some(ordinal);
            }
            if queue.busy == 0 {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn add(&self, subtrees: &mut Vec<u32>) {
        if !subtrees.is_empty() {
            self.queue().waiting.append(subtrees);
            self.changed.notify_all();
        }
    }

    /// Lets the others end, after a panic.
    fn give_up(&self) {
        let panicked = || Error::new(ErrorKind::Io, "a thread that reads trees has panicked");
        self.queue().failure.get_or_insert_with(panicked);
        self.changed.notify_all();
    }

    fn done(&self, result: Result<()>) {
        let mut queue = self.queue();
        queue.busy -= 1;
        if let Err(error) = result {
            queue.failure.get_or_insert(error);
        }
        drop(queue);
        self.changed.notify_all();
    }
}

/// One thread of a walk.
struct Walker<'w, 'a> {
    walk: &'a LiveWalk<'w>,
    reader: BlobReader<'w>,
    subtrees: Vec<u32>,
    node: Node,
}

impl<'w, 'a> Walker<'w, 'a> {
    fn new(walk: &'a LiveWalk<'w>) -> Self {
        let reader = walk.repository.blob_reader();
        Self { walk, reader, subtrees: Vec::new(), node: Node::default() }
    }

    fn run(mut self) {
        while let Some(ordinal) = self.walk.next() {
            let result = self.tree(ordinal);
            self.walk.add(&mut self.subtrees);
            self.walk.done(result);
        }
    }

    fn tree(&mut self, ordinal: u32) -> Result<()> {
        let Some(blob) = self.walk.repository.index().entry(ordinal).map(|entry| entry.blob) else {
            return Ok(());
        };
        self.walk.ctx.cancel.check()?;
        let mut tree = match self.reader.tree(blob.id) {
            Ok(tree) => tree,
            Err(error) => return self.failed(blob, &error),
        };
        let mut node = std::mem::take(&mut self.node);
        loop {
            self.walk.ctx.cancel.check()?;
            match tree.read_into(&mut node) {
                Ok(true) => self.node(blob, &node)?,
                Ok(false) => break,
                Err(error) => {
                    self.failed(blob, &error)?;
                    if tree.is_over() {
                        break;
                    }
                }
            }
        }
        self.node = node;
        Counters::add(&self.walk.ctx.counters.items_done, 1);
        Ok(())
    }

    fn failed(&self, blob: BlobRef, error: &Error) -> Result<()> {
        self.walk.ctx.cancel.check()?;
        if error.kind == ErrorKind::Cancelled {
            return Err(Error::new(ErrorKind::Cancelled, "the reading of trees was cancelled"));
        }
        Counters::add(&self.walk.ctx.counters.errors, 1);
        self.walk.findings.problem(Problem::of_error(blob, error));
        Ok(())
    }

    fn node(&mut self, tree: BlobRef, node: &Node) -> Result<()> {
        match (&node.kind, &node.content, node.subtree) {
            (NodeKind::Dir, _, Some(subtree)) => self.subtree(tree, node, subtree),
            (NodeKind::Dir, _, None) => self.malformed(tree, node, "is a folder without a tree"),
            (NodeKind::File, None, _) => {
                self.malformed(tree, node, "is a file without a list of its content")
            }
            (NodeKind::File, Some(content), _) => self.content(tree, node, content)?,
            (NodeKind::Other(kind), ..) => {
                let sentence = format!("{} is of the unknown kind {kind:?}", name(tree, node));
                self.walk.findings.hint(tree, HintKind::UnknownEntry, sentence);
            }
            _ => {}
        }
        // Whatever an unknown kind of entry refers to must not be taken for garbage.
        if let NodeKind::Other(_) = node.kind {
            if let Some(content) = &node.content {
                self.content(tree, node, content)?;
            }
            if let Some(subtree) = node.subtree {
                self.subtree(tree, node, subtree);
            }
        }
        Ok(())
    }

    fn subtree(&mut self, tree: BlobRef, node: &Node, id: BlobId) {
        let blob = BlobRef { kind: BlobKind::Tree, id };
        let found = self.walk.repository.index().find(blob);
        let Some(entry) = found else { return self.missing(tree, node, blob) };
        if self.walk.live.mark(entry.ordinal) {
            self.subtrees.push(entry.ordinal);
            if self.subtrees.len() >= SUBTREES_TOGETHER {
                self.walk.add(&mut self.subtrees);
            }
        }
    }

    fn content(&self, tree: BlobRef, node: &Node, content: &[BlobId]) -> Result<()> {
        let mut size = 0;
        let mut is_complete = true;
        let index = self.walk.repository.index();
        for id in self.walk.ctx.cancel.checked(content) {
            let blob = BlobRef { kind: BlobKind::Data, id: *id? };
            match index.find(blob) {
                Some(entry) => {
                    self.walk.live.mark(entry.ordinal);
                    size += entry.location.plain_length();
                }
                None => {
                    is_complete = false;
                    self.missing(tree, node, blob);
                }
            }
        }
        if is_complete && size != node.size {
            let name = name(tree, node);
            let sentence = format!("{name} is noted with {} bytes, but its content has {size}", node.size);
            self.walk.findings.hint(tree, HintKind::SizeDiffers, sentence);
        }
        Ok(())
    }

    fn missing(&self, tree: BlobRef, node: &Node, blob: BlobRef) {
        let sentence = format!("{} needs the {blob}, which is in no index", name(tree, node));
        self.walk.findings.problem(Problem::new(blob, ProblemKind::Missing, sentence));
    }

    fn malformed(&self, tree: BlobRef, node: &Node, what: &str) {
        let sentence = format!("{} {what}", name(tree, node));
        self.walk.findings.problem(Problem::new(tree, ProblemKind::Malformed, sentence));
    }
}

fn name(tree: BlobRef, node: &Node) -> String {
    format!("the entry \"{}\" of the {tree}", node.name.escape_ascii())
}
