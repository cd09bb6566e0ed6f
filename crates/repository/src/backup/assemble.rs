//! The end of the pipeline: steps and outcomes become trees, folder by folder, from the leaves to the root.
//!
//! Of a folder that is entered and not left yet, its node is held; the trees begun share one encoder and one stack.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use jiff::Timestamp;

use super::report::{BackupReport, Change, SavedItem};
use super::walk::{Batch, Step};
use super::work::{ChunkJob, FileOutcome, stopped};
use crate::blob::{BlobKind, BlobRef};
use crate::clock::Clock;
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::id::BlobId;
use crate::save::{FinishedTree, Saver, TreeStack};
use crate::tree::{Node, NodeKind, Paused, TreeEncoder, ZoneOffsets};

pub(crate) struct Assembler<'a> {
    saver: &'a Saver<'a>,
    chunks: Sender<ChunkJob>,
    folders: Vec<Folder>,
    trees: TreeEncoder<'a, TreeStack<'a>>,
    report: BackupReport,
    items: Option<SyncSender<SavedItem>>,
}

struct Folder {
    node: Box<Node>,
    old_subtree: Option<BlobId>,
    /// Where its tree begins on the stack.
    start: u64,
    /// The tree of the folder above.
    outer: Paused,
    began: Timestamp,
}

impl<'a> Assembler<'a> {
    pub(crate) fn new(
        saver: &'a Saver<'a>,
        zone: &'a ZoneOffsets,
        chunks: Sender<ChunkJob>,
        items: Option<SyncSender<SavedItem>>,
    ) -> Self {
        let trees = TreeEncoder::new(TreeStack::new(saver.repository()), zone);
        Self { saver, chunks, folders: Vec::new(), trees, report: BackupReport::default(), items }
    }

    /// Assembles to the end; gives the root tree and what it counted.
    pub(crate) fn run(mut self, batches: &Receiver<Batch>) -> Result<(BlobId, BackupReport)> {
        for batch in batches {
            self.saver.check()?;
            let outcomes = match batch.outcomes {
                None => Vec::new(),
                Some(outcomes) => outcomes.recv().map_err(|_| stopped())?,
            };
            let mut outcomes = outcomes.into_iter();
            for step in batch.steps {
                self.step(step, &mut outcomes)?;
            }
        }
        self.saver.check()?;
        if !self.folders.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "the source ended inside a folder"));
        }
        let stack = self.trees.finish().map_err(cannot_write)?;
        let (root, _) = save(self.saver, &self.chunks, stack.finish()?)?;
        Ok((root, self.report))
    }

    fn step(&mut self, step: Step, outcomes: &mut dyn Iterator<Item = FileOutcome>) -> Result<()> {
        match step {
            Step::Enter { node, old_subtree } => {
                let outer = self.trees.begin_inner().map_err(cannot_write)?;
                let start = self.trees.writer_mut().len();
                let began = self.clock().now();
                self.folders.push(Folder { node, old_subtree, start, outer, began });
                Ok(())
            }
            Step::Node(node) => {
                if node.kind == NodeKind::File {
                    self.tell(&node, Change::Unmodified, 0, Duration::ZERO);
                }
                self.push(&node)
            }
            Step::File => {
                let outcome = outcomes.next().ok_or_else(stopped)?;
                self.file(outcome)
            }
            Step::Leave => self.leave(),
        }
    }

    fn file(&mut self, outcome: FileOutcome) -> Result<()> {
        for error in outcome.lost {
            self.report.lose(error);
        }
        let Some(node) = outcome.node else { return Ok(()) };
        let change = if outcome.is_changed { Change::Changed } else { Change::New };
        self.report.files.add(change);
        self.tell(&node, change, outcome.bytes_added, outcome.took);
        self.report.bytes_processed += node.size;
        self.report.bytes_read += node.size;
        self.push(&node)
    }

    fn leave(&mut self) -> Result<()> {
        let Some(Folder { mut node, old_subtree, start, outer, began }) = self.folders.pop() else {
            return Err(Error::new(ErrorKind::InvalidInput, "the source left a folder it had not entered"));
        };
        self.trees.end_inner(outer).map_err(cannot_write)?;
        let (id, bytes_added) = save(self.saver, &self.chunks, self.trees.writer_mut().take_off(start)?)?;
        let change = match old_subtree {
            None => Change::New,
            Some(old) if old == id => Change::Unmodified,
            Some(_) => Change::Changed,
        };
        self.report.dirs.add(change);
        self.tell(&node, change, bytes_added, self.clock().since(began));
        node.subtree = Some(id);
        self.push(&node)
    }

    /// Tells whoever listens of an entry of the current folder.
    fn tell(&self, node: &Node, change: Change, bytes_added: u64, took: Duration) {
        let Some(items) = &self.items else { return };
        let names = self.folders.iter().map(|folder| &folder.node.name).chain([&node.name]);
        let path = names.flat_map(|name| [b"/", name.as_slice()].concat()).collect();
        let (is_dir, path) = (node.kind == NodeKind::Dir, OsString::from_vec(path).into());
        // Who has stopped listening misses it.
        items.send(SavedItem { change, is_dir, path, bytes_added, took }).unwrap_or_default();
    }

    fn clock(&self) -> &dyn Clock {
        &*self.saver.repository().settings().time.clock
    }

    fn push(&mut self, node: &Node) -> Result<()> {
        self.trees.push(node).map_err(cannot_write)
    }
}

fn cannot_write(cause: impl Into<Cause>) -> Error {
    Error::new(ErrorKind::Io, "cannot add an entry to its tree").because(cause)
}

/// Gets a tree saved: by a worker when it is in memory, right here when it is giant. Tells how much of it was new.
fn save(saver: &Saver<'_>, chunks: &Sender<ChunkJob>, tree: FinishedTree) -> Result<(BlobId, u64)> {
    match tree {
        FinishedTree::InMemory { id, .. } if saver.is_known(BlobRef { kind: BlobKind::Tree, id }) => {
            Ok((id, 0))
        }
        FinishedTree::InMemory { id, json } => {
            let length = json.len() as u64;
            chunks.send(ChunkJob::Tree { id, plaintext: json }).map_err(|_| stopped())?;
            Ok((id, length))
        }
        FinishedTree::Sealed(tree) => Ok((tree.id, saver.save_giant(tree)?.plain_bytes())),
    }
}
