//! The front of the pipeline: walks the source beside the parent and sorts out what must be read.
//!
//! Steps go to the assembler in the order of the walk, in batches; the files of a batch that must be read go
//! to a worker as one message, so that small files do not cost a message each.

use crossbeam_channel::{Receiver, Sender, bounded};

use super::ChangeDetection;
use super::parent::Parent;
use super::report::BackupReport;
use super::work::{ChunkJob, FileJob, FileOutcome, Work};
use crate::id::BlobId;
use crate::source::{Entry, EntryError, Event, Source};
use crate::tree::{Node, NodeKind, NodeTime};
use crate::{Counters, Ctx};

/// A batch is sent when it has this many steps,
const BATCH_STEPS: usize = 512;
/// or this many files to read,
const BATCH_FILES: usize = 64;
/// or this much to read, the paths to it included,
const BATCH_BYTES: u64 = 1 << 20;
/// or nodes that take this much: lists of blobs, attributes, names.
const BATCH_NODE_BYTES: usize = 256 << 10;

/// One step of the walk, for the assembler.
pub(crate) enum Step {
    Enter {
        node: Box<Node>,
        old_subtree: Option<BlobId>,
    },
    /// An entry that needs no reading.
    Node(Box<Node>),
    /// The next outcome of the batch's files.
    File,
    Leave,
}

/// Some steps, and where the outcomes of their files will come from.
pub(crate) struct Batch {
    pub(super) steps: Vec<Step>,
    pub(super) outcomes: Option<Receiver<Vec<FileOutcome>>>,
}

impl Batch {
    /// Steps without files that have to be read.
    pub(crate) fn of(steps: Vec<Step>) -> Self {
        Self { steps, outcomes: None }
    }
}

/// The channels the walk feeds. Dropping them ends the pipeline.
pub(super) struct Outlets {
    pub(super) batches: Sender<Batch>,
    pub(super) work: Sender<Work>,
    pub(super) chunks: Sender<ChunkJob>,
}

pub(super) struct Walker<'a> {
    parent: Parent<'a>,
    detection: ChangeDetection,
    outlets: Outlets,
    report: BackupReport,
    steps: Vec<Step>,
    jobs: Vec<FileJob>,
    job_bytes: u64,
    node_bytes: usize,
    ctx: &'a Ctx,
}

/// The receiving end is gone: somebody else has failed and will say why.
struct Disconnected;

impl<'a> Walker<'a> {
    pub(super) fn new(
        parent: Parent<'a>,
        detection: ChangeDetection,
        outlets: Outlets,
        ctx: &'a Ctx,
    ) -> Self {
        let report = BackupReport::default();
        let (steps, jobs) = (Vec::new(), Vec::new());
        Self { parent, detection, outlets, report, steps, jobs, job_bytes: 0, node_bytes: 0, ctx }
    }

    /// Walks to the end, or until cancelled, or until the pipeline behind has failed.
    pub(super) fn run(mut self, source: &mut dyn Source) -> BackupReport {
        self.walk(source);
        self.report.parent_errors = self.parent.into_errors();
        self.report
    }

    fn walk(&mut self, source: &mut dyn Source) {
        while !self.ctx.cancel.is_cancelled()
            && let Some(event) = source.next_event(self.ctx)
        {
            match event {
                Ok(event) => self.step(event),
                Err(error) => self.lose(error),
            }
            let is_full = self.steps.len() >= BATCH_STEPS
                || self.jobs.len() >= BATCH_FILES
                || self.job_bytes >= BATCH_BYTES
                || self.node_bytes >= BATCH_NODE_BYTES;
            if is_full && self.flush().is_err() {
                return;
            }
        }
        match self.flush() {
            Ok(()) | Err(Disconnected) => {}
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Enter(entry) => self.enter(entry),
            Event::Item(entry) if entry.node.kind == NodeKind::File => self.file(entry),
            Event::Item(mut entry) => {
                self.report.saw_a_root = true;
                self.complete(&mut entry);
                Counters::add(&self.ctx.counters.items_done, 1);
                self.push_node(entry.node);
            }
            Event::Leave => {
                self.parent.leave();
                self.steps.push(Step::Leave);
            }
        }
    }

    fn enter(&mut self, mut entry: Entry) {
        self.report.saw_a_root = true;
        self.complete(&mut entry);
        let old = self.parent.find(&entry.node.name).filter(|old| old.kind == NodeKind::Dir);
        let old_subtree = old.and_then(|old| old.subtree);
        self.parent.enter(old_subtree);
        self.node_bytes += entry.node.memory_bytes();
        self.steps.push(Step::Enter { node: Box::new(entry.node), old_subtree });
    }

    fn file(&mut self, mut entry: Entry) {
        self.report.saw_a_root = true;
        // Taken out so that the parent can be asked again; names come only once.
        let old = self.parent.find(&entry.node.name).cloned();
        match &old {
            Some(old) if self.parent.is_unchanged(old, &entry.node, self.detection) => {
                self.complete_from(Some(old), &mut entry);
                let mut node = entry.node;
                node.content.clone_from(&old.content);
                self.report.files.unmodified += 1;
                self.report.bytes_processed += node.size;
                Counters::add(&self.ctx.counters.items_done, 1);
                Counters::add(&self.ctx.counters.bytes_done, node.size);
                self.push_node(node);
            }
            old => {
                self.job_bytes = self.job_bytes.saturating_add(entry.node.size);
                self.job_bytes = self.job_bytes.saturating_add(entry.path.as_os_str().len() as u64);
                let is_changed = old.as_ref().is_some_and(|old| old.kind == NodeKind::File);
                self.jobs.push(FileJob { entry, is_changed });
                self.steps.push(Step::File);
            }
        }
    }

    fn push_node(&mut self, node: Node) {
        self.node_bytes += node.memory_bytes();
        self.steps.push(Step::Node(Box::new(node)));
    }

    fn complete(&mut self, entry: &mut Entry) {
        let old = self.parent.find(&entry.node.name).cloned();
        self.complete_from(old.as_ref(), entry);
    }

    /// Adds extended attributes: from the parent where the status has not changed since, else by asking.
    fn complete_from(&mut self, old: Option<&Node>, entry: &mut Entry) {
        let new = &mut entry.node;
        match old.filter(|old| old.kind == new.kind && old.ctime == new.ctime && old.inode == new.inode) {
            Some(old) => new.extended_attributes.clone_from(&old.extended_attributes),
            None => {
                if let Err(error) = entry.access.complete(new) {
                    // Without its ctime the next backup does not take the entry for unchanged and asks again.
                    new.ctime = NodeTime::UNKNOWN;
                    self.lose(error);
                }
            }
        }
    }

    fn lose(&mut self, error: EntryError) {
        Counters::add(&self.ctx.counters.errors, 1);
        self.report.lose(error);
    }

    fn flush(&mut self) -> Result<(), Disconnected> {
        if self.steps.is_empty() {
            return Ok(());
        }
        let steps = std::mem::take(&mut self.steps);
        let jobs = std::mem::take(&mut self.jobs);
        (self.job_bytes, self.node_bytes) = (0, 0);
        let outcomes = if jobs.is_empty() { None } else { Some(self.send_work(jobs)?) };
        self.outlets.batches.send(Batch { steps, outcomes }).map_err(|_| Disconnected)
    }

    fn send_work(&self, jobs: Vec<FileJob>) -> Result<Receiver<Vec<FileOutcome>>, Disconnected> {
        let (reply, outcomes) = bounded(1);
        let work = Work { jobs, reply, chunks: self.outlets.chunks.clone() };
        self.outlets.work.send(work).map_err(|_| Disconnected)?;
        Ok(outcomes)
    }
}
