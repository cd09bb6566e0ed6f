//! One file while its blobs arrive, from any thread and in any order.
//!
//! It is opened when its first bytes come and placed when its last blob is done. A file that lost a blob never gets
//! its name: what there is of it is kept beside, and named in the report.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Shared;
use super::folder::{Folder, release};
use super::links::LinkKey;
use super::report::{ItemFacts, ItemOutcome, KeptPart, reason, shown};
use super::sparse::data_runs;
use crate::Counters;
use crate::error::Cause;
use crate::target::{Place, TargetError, TargetFile};
use crate::tree::Node;

/// A file to be restored, or being restored.
pub(super) struct Output {
    pub(super) node: Box<Node>,
    /// Of all blobs together.
    pub(super) size: u64,
    place: Place,
    link: Option<LinkKey>,
    /// Blobs that are not done yet.
    blobs_left: AtomicU64,
    /// Where the last byte written is.
    end: AtomicU64,
    /// Gone when the file is over.
    folder: Mutex<Option<Arc<Folder>>>,
    file: Mutex<Option<Arc<dyn TargetFile>>>,
    /// Why the file cannot be complete.
    loss: Mutex<Option<Loss>>,
    /// What else is wrong with it.
    flaw: Option<Cause>,
}

/// What failed first.
struct Loss {
    op: &'static str,
    cause: Cause,
    /// Nothing more can be written.
    is_final: bool,
}

/// How to restore a file.
pub(super) struct OutputPlan {
    pub(super) size: u64,
    pub(super) blobs: u64,
    pub(super) place: Place,
    pub(super) link: Option<LinkKey>,
    pub(super) flaw: Option<Cause>,
}

impl Output {
    pub(super) fn new(node: Box<Node>, folder: Arc<Folder>, plan: OutputPlan) -> Self {
        Self {
            node,
            size: plan.size,
            place: plan.place,
            link: plan.link,
            blobs_left: AtomicU64::new(plan.blobs),
            end: AtomicU64::new(0),
            folder: Mutex::new(Some(folder)),
            file: Mutex::default(),
            loss: Mutex::default(),
            flaw: plan.flaw,
        }
    }

    /// Writes a blob's content; zeros are left out where `sparse` is wanted.
    pub(super) fn write(&self, bytes: &[u8], offset: u64, shared: &Shared<'_>) {
        if self.loss().as_ref().is_some_and(|loss| loss.is_final) {
            return;
        }
        let written = self.open(shared).and_then(|file| {
            let op = |cause: std::io::Error| ("write", Cause::from(cause));
            if shared.options.sparse {
                for run in data_runs(bytes, offset) {
                    let start = offset + run.start as u64;
                    let run = bytes.get(run).unwrap_or_default();
                    file.write_at(run, start).map_err(op)?;
                    self.end.fetch_max(start + run.len() as u64, Ordering::Relaxed);
                }
                return Ok(());
            }
            file.write_at(bytes, offset).map_err(op)?;
            self.end.fetch_max(offset + bytes.len() as u64, Ordering::Relaxed);
            Ok(())
        });
        if let Err((op, cause)) = written {
            self.lose(Loss { op, cause, is_final: true });
            // The room it took is somebody else's at once: this may have been the end of it.
            drop(self.file.lock().unwrap_or_else(PoisonError::into_inner).take());
            return;
        }
        Counters::add(&shared.ctx.counters.bytes_written, bytes.len() as u64);
    }

    /// Notes that a blob cannot be had.
    pub(super) fn lose_blob(&self, cause: Cause) {
        self.lose(Loss { op: "restore all of", cause, is_final: false });
    }

    fn lose(&self, loss: Loss) {
        let mut first = self.loss();
        match &mut *first {
            None => *first = Some(loss),
            Some(first) => first.is_final |= loss.is_final,
        }
    }

    fn loss(&self) -> MutexGuard<'_, Option<Loss>> {
        self.loss.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, shared: &Shared<'_>) -> Result<Arc<dyn TargetFile>, (&'static str, Cause)> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*file {
            return Ok(Arc::clone(file));
        }
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = &*folder {
            shared.ctx.counters.set_item(&shown(&folder.path_of(&self.node.name)));
        }
        let target = folder.as_ref().and_then(|folder| folder.target());
        let created = target.map(|target| target.create_file(&self.node.name, self.place));
        match created {
            Some(Ok(created)) => Ok(Arc::clone(file.insert(Arc::from(created)))),
            Some(Err(cause)) => Err(("create", cause.into())),
            None => Err(("create", "its folder is not there".into())),
        }
    }

    /// Notes that `blobs` more are done, lost or written. The last one ends the file.
    pub(super) fn blobs_done(&self, blobs: u64, shared: &Shared<'_>) {
        if self.blobs_left.fetch_sub(blobs, Ordering::AcqRel) == blobs {
            self.finish(shared);
        }
    }

    /// Ends a file, as well as can be.
    pub(super) fn finish(&self, shared: &Shared<'_>) {
        // Taken out only when nothing opens the file any more: opening asks for the folder.
        let outcome = if shared.ctx.cancel.is_cancelled() { None } else { Some(self.complete(shared)) };
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(self.file.lock().unwrap_or_else(PoisonError::into_inner).take());
        let (Some(outcome), Some(folder)) = (outcome, folder) else { return };
        Counters::add(&shared.ctx.counters.items_done, 1);
        if let Some(key) = self.link {
            shared.links.settle(key, outcome.is_ok(), (&folder, &self.node.name), shared);
        }
        match outcome {
            Ok(finished) => {
                self.tell(finished.err().map(Cause::from), &folder, shared);
                if shared.tally.is_heard() {
                    shared.tally.act(self.place.into(), &folder.path_of(&self.node.name), self.size);
                }
                let mut report = shared.tally.report();
                report.files += 1;
                report.bytes += self.size;
            }
            Err(Loss { op, cause, .. }) => {
                let path = folder.path_of(&self.node.name);
                shared.tally.pass_over(&path);
                let lost = ItemOutcome::Lost(reason(op, &*cause));
                shared.tally.end(&path, ItemFacts::of(&self.node), lost, true);
                shared.tally.lose(&path, op, cause);
                folder.note_part();
            }
        }
        release(folder, shared);
    }

    /// Tells of a file that is in its place, and of what is wrong with it all the same.
    fn tell(&self, flaw: Option<Cause>, folder: &Folder, shared: &Shared<'_>) {
        let op = "restore all of";
        if flaw.is_none() && self.flaw.is_none() && !shared.tally.wants_items() {
            return;
        }
        let path = folder.path_of(&self.node.name);
        let outcome = match flaw.as_ref().or(self.flaw.as_ref()) {
            None => ItemOutcome::Written,
            Some(flaw) => ItemOutcome::Flawed(reason(op, &**flaw)),
        };
        shared.tally.end(&path, ItemFacts::of(&self.node), outcome, true);
        if let Some(flaw) = &self.flaw {
            shared.tally.lose(&path, "trust the size of", flaw.to_string());
        }
        if let Some(flaw) = flaw {
            shared.tally.lose(&path, op, flaw);
        }
    }

    /// Puts a file into its place; what of it could not be set is no loss but a flaw.
    fn complete(&self, shared: &Shared<'_>) -> Result<Result<(), TargetError>, Loss> {
        let loss = self.loss().take();
        let lost = |op, cause| Loss { op, cause, is_final: true };
        if let Some(mut loss) = loss {
            // What the target would not take is not worth its room: it can be restored again.
            if !loss.is_final {
                loss.cause = self.keep_part(loss.cause);
            }
            return Err(loss);
        }
        let file = self.open(shared).map_err(|(op, cause)| lost(op, cause))?;
        if self.end.load(Ordering::Relaxed) < self.size {
            file.set_len(self.size).map_err(|cause| lost("write", cause.into()))?;
        }
        let finished = file.finish(&self.node);
        file.place().map_err(|cause| lost("put into its place", cause.into()))?;
        Ok(finished)
    }

    /// Keeps what was written, if anything was.
    fn keep_part(&self, cause: Cause) -> Cause {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        match file.filter(|_| self.end.load(Ordering::Relaxed) > 0) {
            None => cause,
            Some(file) => match file.set_len(self.size).and_then(|()| file.keep_part()) {
                Ok(name) => Box::new(KeptPart { name, cause }),
                Err(_) => cause,
            },
        }
    }
}
