//! The end of the pipeline: steps and outcomes become trees, folder by folder, from the leaves to the root.

use crossbeam_channel::{Receiver, Sender};

use super::report::BackupReport;
use super::walk::{Batch, Step};
use super::work::{ChunkJob, FileOutcome, stopped};
use crate::blob::{BlobKind, BlobRef};
use crate::error::{Error, ErrorKind, Result};
use crate::id::BlobId;
use crate::repository::Repository;
use crate::save::{Saver, TreeBuffer, TreeContent};
use crate::tree::{Node, TreeEncoder, ZoneOffsets};

pub(super) struct Assembler<'a> {
    repository: &'a Repository,
    saver: &'a Saver<'a>,
    zone: &'a ZoneOffsets,
    chunks: Sender<ChunkJob>,
    folders: Vec<Folder<'a>>,
    root: TreeEncoder<'a, TreeBuffer<'a>>,
    report: BackupReport,
}

struct Folder<'a> {
    node: Box<Node>,
    old_subtree: Option<BlobId>,
    tree: TreeEncoder<'a, TreeBuffer<'a>>,
}

impl<'a> Assembler<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        saver: &'a Saver<'a>,
        zone: &'a ZoneOffsets,
        chunks: Sender<ChunkJob>,
    ) -> Self {
        let root = TreeEncoder::new(TreeBuffer::new(repository), zone);
        Self { repository, saver, zone, chunks, folders: Vec::new(), root, report: BackupReport::default() }
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
        let tree =
            std::mem::replace(&mut self.root, TreeEncoder::new(TreeBuffer::new(self.repository), self.zone));
        let root = self.save(tree)?;
        Ok((root, self.report))
    }

    fn step(&mut self, step: Step, outcomes: &mut dyn Iterator<Item = FileOutcome>) -> Result<()> {
        match step {
            Step::Enter { node, old_subtree } => {
                let tree = TreeEncoder::new(TreeBuffer::new(self.repository), self.zone);
                self.folders.push(Folder { node, old_subtree, tree });
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
        let Some(Folder { mut node, old_subtree, tree }) = self.folders.pop() else {
            return Err(Error::new(ErrorKind::InvalidInput, "the source left a folder it had not entered"));
        };
        let id = self.save(tree)?;
        match old_subtree {
            None => self.report.dirs.new += 1,
            Some(old) if old == id => self.report.dirs.unmodified += 1,
            Some(_) => self.report.dirs.changed += 1,
        }
        node.subtree = Some(id);
        self.push(&node)
    }

    fn push(&mut self, node: &Node) -> Result<()> {
        let tree = self.folders.last_mut().map_or(&mut self.root, |folder| &mut folder.tree);
        tree.push(node).map_err(|e| Error::new(ErrorKind::Io, "cannot add an entry to its tree").because(e))
    }

    /// Names a tree and gets it saved: by a worker when it is in memory, right here when it is giant.
    fn save(&mut self, tree: TreeEncoder<'a, TreeBuffer<'a>>) -> Result<BlobId> {
        let buffer = tree.finish().map_err(|e| Error::new(ErrorKind::Io, "cannot end a tree").because(e))?;
        let finished = buffer.finish()?;
        let id = finished.id;
        match finished.content {
            TreeContent::Memory(plaintext) => {
                if !self.saver.is_known(BlobRef { kind: BlobKind::Tree, id }) {
                    self.chunks.send(ChunkJob::Tree { id, plaintext }).map_err(|_| stopped())?;
                }
            }
            TreeContent::Spool { sealed, uncompressed_length } => {
                self.saver.save_spooled(id, sealed, uncompressed_length)?;
            }
        }
        Ok(id)
    }
}
