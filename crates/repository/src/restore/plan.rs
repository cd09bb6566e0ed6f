//! What to do with each entry of the walk: make it at once, skip it, or have the workers restore its content.

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::file::{Output, OutputPlan};
use super::folder::{Folder, release};
use super::links::{Claim, LinkKey, Name};
use super::report::{ActionKind, ItemFacts, ItemOutcome};
use super::walk::{Entered, Visitor};
use super::window::Window;
use super::work::Job;
use super::{Overwrite, Shared};
use crate::Counters;
use crate::blob::{BlobKind, BlobRef};
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::index::Location;
use crate::target::{Access, Existing, ExistingKind, Place, TargetFolder};
use crate::tree::{Node, NodeKind};

/// Empty files are handed to a worker in batches.
const BATCH_FILES: usize = 64;

pub(super) struct Planner<'a> {
    shared: &'a Shared<'a>,
    jobs: Sender<Job>,
    window: Window,
    empty: Vec<Arc<Output>>,
}

/// What to do with an entry, in view of what is there.
enum Decision {
    Make(Place),
    /// The content is there already.
    Update(Existing),
    Skip(Existing),
}

impl<'a> Planner<'a> {
    pub(super) fn new(shared: &'a Shared<'a>, jobs: Sender<Job>) -> Self {
        Self { shared, jobs, window: Window::default(), empty: Vec::new() }
    }

    /// Hands out what is left. The workers end when they have done it.
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        let empty = std::mem::take(&mut self.empty);
        if !empty.is_empty() {
            self.send(Job::Empty(empty))?;
        }
        for read in std::mem::take(&mut self.window).into_reads() {
            self.send(Job::Read(read))?;
        }
        Ok(())
    }

    fn send(&self, job: Job) -> Result<()> {
        self.shared.ctx.cancel.check()?;
        let stopped = || Error::new(ErrorKind::Cancelled, "the restore was stopped");
        self.jobs.send(job).map_err(|_| stopped())
    }

    /// The folder of the target at `place`; `None` when it is not there and may not be made.
    fn folder(&self, parent: &Folder, place: &Entered<'_>) -> Result<Option<Arc<dyn TargetFolder>>, Cause> {
        let name = &place.node.name;
        let options = self.shared.options;
        let Some(target) = parent.target() else {
            // A dry run, in which the folder above would be made, too.
            self.shared.tally.act(ActionKind::Create, place.path, 0);
            return Ok(None);
        };
        let existing = target.look(name)?;
        if existing.is_some_and(|existing| existing.kind == ExistingKind::Folder) {
            let access = if options.dry_run { Access::Look } else { Access::Fill };
            return Ok(Some(target.open_folder(name, access)?));
        }
        if existing.is_some() {
            if !matches!(options.overwrite, Overwrite::Always | Overwrite::IfChanged) {
                return Err("something else is there, which must not be overwritten".into());
            }
            if !options.dry_run {
                target.remove(name, false, &self.shared.ctx.cancel)?;
            }
        }
        let made = if options.dry_run { None } else { Some(target.make_folder(name)?) };
        let kind = if existing.is_some() { ActionKind::Replace } else { ActionKind::Create };
        self.shared.tally.act(kind, place.path, 0);
        Ok(made)
    }

    fn decide(&self, folder: &Folder, node: &Node) -> Result<Decision, Cause> {
        let Some(target) = folder.target() else { return Ok(Decision::Make(Place::New)) };
        let Some(existing) = target.look(&node.name)? else { return Ok(Decision::Make(Place::New)) };
        let options = self.shared.options;
        let may_overwrite = match options.overwrite {
            _ if existing.is_unfinished => true,
            Overwrite::Always => true,
            Overwrite::IfChanged if is_same(node, &existing) => return Ok(Decision::Update(existing)),
            Overwrite::IfChanged => true,
            Overwrite::IfNewer => node.mtime > existing.mtime,
            Overwrite::Never => false,
        };
        if !may_overwrite {
            return Ok(Decision::Skip(existing));
        }
        if existing.kind == ExistingKind::Folder && !options.dry_run {
            // A folder with content gives way only to who asked for deletions.
            target.remove(&node.name, options.delete, &self.shared.ctx.cancel)?;
            return Ok(Decision::Make(Place::New));
        }
        Ok(Decision::Make(Place::Over))
    }

    /// Does with an entry what was decided; `Err` names what failed.
    fn place(&mut self, folder: &Arc<Folder>, node: &mut Node, path: &[u8]) -> Result<(), Failure> {
        let decision = self.decide(folder, node).map_err(|cause| Failure::Entry("restore", cause))?;
        folder.note_entry();
        let (kind, place) = match decision {
            Decision::Skip(_) => (ActionKind::Skip, Place::Over),
            Decision::Update(_) => (ActionKind::Update, Place::Over),
            Decision::Make(place) => (place.into(), place),
        };
        if matches!(kind, ActionKind::Skip | ActionKind::Update) {
            self.skip(path, node.size);
        } else if self.shared.options.dry_run {
            self.count_dry(node);
        }
        if self.shared.options.dry_run {
            self.shared.tally.act(kind, path, node.size);
            return Ok(());
        }
        let link = LinkKey::of(node);
        let links = &self.shared.links;
        if let (Some(key), Decision::Skip(existing)) = (link, &decision) {
            let kept = passes(node, existing).then_some((folder, existing.identity));
            links.pass(key, node, kept, self.shared);
        }
        let existing = match decision {
            Decision::Skip(_) => {
                self.shared.tally.act(kind, path, node.size);
                self.shared.tally.end(path, ItemFacts::of(node), ItemOutcome::Skipped, false);
                return Ok(());
            }
            Decision::Update(existing) => Some(existing),
            Decision::Make(_) => None,
        };
        if let Some(key) = link {
            let facts = ItemFacts::of(node);
            let name = Name { folder: Arc::clone(folder), name: node.name.clone(), place, facts };
            let identity = existing.map(|existing| existing.identity);
            if let Claim::Taken = links.claim(key, (node, identity), name, self.shared) {
                return Ok(());
            }
        }
        match (&node.kind, existing) {
            (NodeKind::File, Some(existing)) => self.update(folder, node, (link, &existing))?,
            (NodeKind::File, None) => return self.restore(folder, node, (place, link)),
            _ => self.special(folder, node, (place, link))?,
        }
        self.shared.tally.act(kind, path, node.size);
        let outcome = if kind == ActionKind::Update { ItemOutcome::Skipped } else { ItemOutcome::Written };
        self.shared.tally.end(path, ItemFacts::of(node), outcome, false);
        Ok(())
    }

    fn fail(&self, path: &[u8], facts: ItemFacts, (op, cause): (&'static str, Cause)) {
        self.shared.tally.pass_over(path);
        self.shared.tally.fail(path, facts, op, cause);
    }

    fn skip(&self, path: &[u8], size: u64) {
        self.shared.tally.item_done();
        self.shared.tally.pass_over(path);
        let mut report = self.shared.tally.report();
        report.skipped += 1;
        report.skipped_bytes += size;
    }

    fn count_dry(&self, node: &Node) {
        self.shared.tally.item_done();
        let mut report = self.shared.tally.report();
        if node.kind == NodeKind::File {
            report.files += 1;
            report.bytes += node.size;
        } else {
            report.others += 1;
        }
    }

    /// Sets all but the content of a file whose content is there.
    fn update(
        &self,
        folder: &Arc<Folder>,
        node: &Node,
        (link, existing): (Option<LinkKey>, &Existing),
    ) -> Result<(), Failure> {
        let Some(target) = folder.target() else { return Ok(()) };
        let updated = match target.open_file(&node.name) {
            Ok(file) => file.finish(node).map_err(|e| Failure::Entry("restore all of", e.into())),
            Err(error) => Err(Failure::Entry("open", error.into())),
        };
        let first = (folder, node.name.as_slice());
        match link {
            Some(key) if updated.is_ok() => self.shared.links.keep(key, first, existing.identity),
            Some(key) => self.shared.links.settle(key, false, first, self.shared),
            None => {}
        }
        updated
    }

    fn special(
        &self,
        folder: &Arc<Folder>,
        node: &Node,
        (place, link): (Place, Option<LinkKey>),
    ) -> Result<(), Failure> {
        self.shared.tally.item_done();
        let made = folder.target().map_or(Ok(()), |target| target.create_special(node, place));
        if let Some(key) = link {
            self.shared.links.settle(key, made.is_ok(), (folder, &node.name), self.shared);
        }
        made.map_err(|error| Failure::Entry("restore all of", error.into()))?;
        self.shared.tally.report().others += 1;
        Ok(())
    }

    /// Plans the content of a file.
    fn restore(
        &mut self,
        folder: &Arc<Folder>,
        node: &mut Node,
        (place, link): (Place, Option<LinkKey>),
    ) -> Result<(), Failure> {
        let content = node.content.take().unwrap_or_default();
        let size = match self.size_of(&content) {
            Ok(size) => size,
            Err(error) => {
                if let Some(key) = link {
                    self.shared.links.settle(key, false, (folder, &node.name), self.shared);
                }
                return Err(Failure::Entry("restore", error.into()));
            }
        };
        let flaw = (size != node.size).then(|| {
            format!("it has {size} bytes of content, and not the {} the tree says", node.size).into()
        });
        let blobs = content.len() as u64;
        let plan = OutputPlan { size, blobs, place, link, flaw };
        let node = Box::new(std::mem::take(node));
        let file = Arc::new(Output::new(node, Arc::clone(folder), plan));
        if content.is_empty() {
            self.empty.push(file);
        } else {
            self.plan(&file, &content).map_err(Failure::All)?;
        }
        if self.empty.len() >= BATCH_FILES || self.window.is_full() {
            self.flush().map_err(Failure::All)?;
        }
        Ok(())
    }

    fn size_of(&self, content: &[crate::id::BlobId]) -> Result<u64> {
        let mut content = self.shared.ctx.cancel.checked(content);
        content.try_fold(0u64, |size, id| Ok(size.saturating_add(self.locate(id?)?.plain_length())))
    }

    fn locate(&self, id: &crate::id::BlobId) -> Result<Location> {
        let blob = BlobRef { kind: BlobKind::Data, id: *id };
        let location = self.shared.repository.index().get(blob);
        location.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("the {blob} is in no index")))
    }

    fn plan(&mut self, file: &Arc<Output>, content: &[crate::id::BlobId]) -> Result<()> {
        let mut offset = 0;
        if content.len() > 1 {
            self.window.note_long_file();
        }
        for id in self.shared.ctx.cancel.checked(content) {
            let id = id?;
            let location = self.locate(id)?;
            let length = location.plain_length();
            if self.shared.options.sparse && self.shared.zeros.contains(id) {
                Counters::add(&self.shared.ctx.counters.bytes_done, length);
                Counters::add(&self.shared.ctx.counters.bytes_written, length);
                file.blobs_done(1, self.shared);
            } else {
                self.window.want(*id, location, file, offset);
            }
            offset += length;
            if self.window.is_full() {
                self.flush()?;
            }
        }
        Ok(())
    }
}

/// Why an entry was not placed.
enum Failure {
    /// One line in the report.
    Entry(&'static str, Cause),
    /// The end of the restore.
    All(Error),
}

impl Visitor for Planner<'_> {
    type Folder = Arc<Folder>;

    fn enter(&mut self, parent: &Arc<Folder>, place: &Entered<'_>) -> Option<Arc<Folder>> {
        parent.note_entry();
        match self.folder(parent, place) {
            Ok(target) => Some(Arc::new(Folder::below(parent, place, target))),
            Err(cause) => {
                self.fail(place.path, ItemFacts::of(place.node), ("restore", cause));
                None
            }
        }
    }

    fn item(&mut self, folder: &Arc<Folder>, node: &mut Node, path: &[u8]) -> Result<()> {
        if self.shared.options.expected.is_none() {
            Counters::add(&self.shared.ctx.counters.total_items, 1);
            Counters::add(&self.shared.ctx.counters.total_bytes, node.size);
        }
        if let NodeKind::Other(kind) = &node.kind {
            let cause = format!("it is of the unknown kind {kind:?}").into();
            self.fail(path, ItemFacts::of(node), ("restore", cause));
            return Ok(());
        }
        match self.place(folder, node, path) {
            Ok(()) => Ok(()),
            Err(Failure::All(error)) => Err(error),
            Err(Failure::Entry(op, cause)) => {
                self.fail(path, ItemFacts::of(node), (op, cause));
                Ok(())
            }
        }
    }

    fn leave(&mut self, folder: Arc<Folder>, is_sound: bool) {
        if is_sound {
            folder.set_sound();
        }
        release(folder, self.shared);
    }

    fn lose(&mut self, path: &[u8], op: &'static str, cause: Cause) {
        self.shared.tally.pass_over(path);
        self.shared.tally.fail_folder(path, op, cause);
    }
}

/// Whether what is there may be linked to, should its content be that of the snapshot: its other names would share
/// what is said of the file as well.
fn passes(node: &Node, existing: &Existing) -> bool {
    is_same(node, existing) && (existing.mode, existing.uid, existing.gid) == (node.mode, node.uid, node.gid)
}

/// Whether what is there passes for the file of the snapshot. One with further names that the snapshot does not
/// know is not touched, lest these change as well.
fn is_same(node: &Node, existing: &Existing) -> bool {
    node.kind == NodeKind::File
        && existing.kind == ExistingKind::File
        && (existing.size, existing.mtime) == (node.size, node.mtime)
        && existing.links <= node.links.max(1)
}
