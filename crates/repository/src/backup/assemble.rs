//! The end of the pipeline: steps and outcomes become trees, folder by folder, from the leaves to the root.
//!
//! Of a folder that is entered and not left yet, its node is held; the trees begun share one encoder and one stack.

use crossbeam_channel::{Receiver, Sender};

use super::report::BackupReport;
use super::walk::{Batch, Step};
use super::work::{ChunkJob, FileOutcome, stopped};
use crate::blob::{BlobKind, BlobRef};
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::id::BlobId;
use crate::repository::Repository;
use crate::save::{FinishedTree, Saver, TreeContent, TreeStack};
use crate::tree::{Node, Paused, TreeEncoder, ZoneOffsets};

pub(super) struct Assembler<'a> {
    saver: &'a Saver<'a>,
    chunks: Sender<ChunkJob>,
    folders: Vec<Folder>,
    trees: TreeEncoder<'a, TreeStack<'a>>,
    report: BackupReport,
}

struct Folder {
    node: Box<Node>,
    old_subtree: Option<BlobId>,
    /// Where its tree begins on the stack.
    start: u64,
    /// The tree of the folder above.
    outer: Paused,
}

impl<'a> Assembler<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        saver: &'a Saver<'a>,
        zone: &'a ZoneOffsets,
        chunks: Sender<ChunkJob>,
    ) -> Self {
        let trees = TreeEncoder::new(TreeStack::new(repository), zone);
        Self { saver, chunks, folders: Vec::new(), trees, report: BackupReport::default() }
    }

    /// Assembles to the end; gives the root tree and what it counted.
    pub(super) fn run(mut self, batches: &Receiver<Batch>) -> Result<(BlobId, BackupReport)> {
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
        let root = save(self.saver, &self.chunks, stack.finish()?)?;
        Ok((root, self.report))
    }

    fn step(&mut self, step: Step, outcomes: &mut dyn Iterator<Item = FileOutcome>) -> Result<()> {
        match step {
            Step::Enter { node, old_subtree } => {
                let outer = self.trees.begin_inner().map_err(cannot_write)?;
                let start = self.trees.writer_mut().len();
                self.folders.push(Folder { node, old_subtree, start, outer });
                Ok(())
            }
            Step::Node(node) => self.push(&node),
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
        match outcome.is_changed {
            true => self.report.files.changed += 1,
            false => self.report.files.new += 1,
        }
        self.report.bytes_processed += node.size;
        self.report.bytes_read += node.size;
        self.push(&node)
    }

    fn leave(&mut self) -> Result<()> {
        let Some(Folder { mut node, old_subtree, start, outer }) = self.folders.pop() else {
            return Err(Error::new(ErrorKind::InvalidInput, "the source left a folder it had not entered"));
        };
        self.trees.end_inner(outer).map_err(cannot_write)?;
        let id = save(self.saver, &self.chunks, self.trees.writer_mut().take_off(start)?)?;
        match old_subtree {
            None => self.report.dirs.new += 1,
            Some(old) if old == id => self.report.dirs.unmodified += 1,
            Some(_) => self.report.dirs.changed += 1,
        }
        node.subtree = Some(id);
        self.push(&node)
    }

    fn push(&mut self, node: &Node) -> Result<()> {
        self.trees.push(node).map_err(cannot_write)
    }
}

fn cannot_write(cause: impl Into<Cause>) -> Error {
    Error::new(ErrorKind::Io, "cannot add an entry to its tree").because(cause)
}

/// Gets a tree saved: by a worker when it is in memory, right here when it is giant.
fn save(saver: &Saver<'_>, chunks: &Sender<ChunkJob>, tree: FinishedTree) -> Result<BlobId> {
    let id = tree.id;
    match tree.content {
        TreeContent::Memory(plaintext) => {
            if !saver.is_known(BlobRef { kind: BlobKind::Tree, id }) {
                chunks.send(ChunkJob::Tree { id, plaintext }).map_err(|_| stopped())?;
            }
        }
        TreeContent::Spool { sealed, uncompressed_length } => {
            saver.save_spooled(id, sealed, uncompressed_length)?;
        }
    }
    Ok(id)
}
