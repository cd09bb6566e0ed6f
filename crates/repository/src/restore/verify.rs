//! Reading restored files again, to see that they are what the snapshot says.
//!
//! The trees are walked once more. Files that were not restored, or only in part, were named before and are passed over.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Shared;
use super::report::shown;
use super::walk::{Entered, Visitor, Walk};
use crate::Counters;
use crate::blob::{BlobKind, BlobRef};
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::id::BlobId;
use crate::target::{Access, Target, TargetFolder};
use crate::threads::{join, or_drain};
use crate::tree::{Node, NodeKind};

struct Verifier<'a> {
    shared: &'a Shared<'a>,
    files: Sender<Restored>,
}

/// A file to be read.
struct Restored {
    folder: Arc<dyn TargetFolder>,
    name: Vec<u8>,
    path: Vec<u8>,
    content: Vec<BlobId>,
}

/// Walks the trees again and reads every file that was restored.
pub(super) fn verify(
    shared: &Shared<'_>,
    walk: Walk<'_, Arc<dyn TargetFolder>>,
    target: &dyn Target,
) -> Result<()> {
    let (files, bytes) = {
        let report = shared.tally.report();
        (report.files, report.bytes)
    };
    shared.ctx.counters.begin_phase("verify", files, bytes);
    let gone = || Error::new(ErrorKind::Io, "the folder restored to is gone");
    let root = target.root(false).map_err(|e| gone().because(e))?.ok_or_else(gone)?;
    let workers = shared.options.workers.clamp(1, 64);
    let (files_in, files) = bounded(workers * 4);
    let walked = std::thread::scope(|scope| {
        let work = || or_drain(|| read_all(shared, &files), || files.iter().for_each(drop));
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let walked = walk.run(root, &mut Verifier { shared, files: files_in });
        threads.into_iter().for_each(join);
        walked
    });
    walked.and(shared.ctx.cancel.check())
}

fn read_all(shared: &Shared<'_>, files: &Receiver<Restored>) {
    let mut buffer = Vec::new();
    for file in files {
        if shared.ctx.cancel.is_cancelled() {
            continue;
        }
        shared.ctx.counters.set_item(&shown(&file.path));
        match compare(shared, (&*file.folder, &file.name), &file.content, &mut buffer) {
            Ok(()) => shared.tally.report().verified += 1,
            Err(cause) => shared.tally.lose(&file.path, "verify", cause),
        }
        shared.tally.item_done();
    }
}

/// Reads a file; fails unless it has this content and no other.
pub(super) fn compare(
    shared: &Shared<'_>,
    (folder, name): (&dyn TargetFolder, &[u8]),
    content: &[BlobId],
    buffer: &mut Vec<u8>,
) -> Result<(), Cause> {
    let open = folder.open_file(name)?;
    let mut offset = 0;
    for id in content {
        shared.ctx.cancel.check()?;
        let blob = BlobRef { kind: BlobKind::Data, id: *id };
        let location = shared.repository.index().get(blob);
        let length = location.ok_or_else(|| format!("the {blob} is in no index"))?.plain_length();
        let _share = shared.budget.take(length);
        buffer.resize(usize::try_from(length)?, 0);
        open.read_at(buffer, offset)?;
        if BlobId::of(buffer) != *id {
            return Err(format!("the {length} bytes at {offset} are not those of the snapshot").into());
        }
        offset += length;
        Counters::add(&shared.ctx.counters.bytes_done, length);
    }
    match open.len()? {
        len if len == offset => Ok(()),
        len => Err(format!("it is {len} bytes long, and not {offset}").into()),
    }
}

impl Visitor for Verifier<'_> {
    type Folder = Arc<dyn TargetFolder>;

    fn enter(
        &mut self,
        parent: &Arc<dyn TargetFolder>,
        place: &Entered<'_>,
    ) -> Option<Arc<dyn TargetFolder>> {
        let opened = parent.open_folder(&place.node.name, Access::Look);
        opened.map_err(|cause| self.lose(place.path, "verify", cause.into())).ok()
    }

    fn item(&mut self, folder: &Arc<dyn TargetFolder>, node: &mut Node, path: &[u8]) -> Result<()> {
        if node.kind != NodeKind::File || self.shared.tally.is_passed_over(path) {
            return Ok(());
        }
        let content = node.content.take().unwrap_or_default();
        let (name, path) = (std::mem::take(&mut node.name), path.to_vec());
        let file = Restored { folder: Arc::clone(folder), name, path, content };
        let stopped = |_| Error::new(ErrorKind::Cancelled, "the verification was stopped");
        self.files.send(file).map_err(stopped)
    }

    fn leave(&mut self, _folder: Arc<dyn TargetFolder>, _is_sound: bool) {}

    fn lose(&mut self, path: &[u8], _op: &'static str, cause: Cause) {
        // What the first walk could not restore was named then.
        if !self.shared.tally.is_passed_over(path) {
            self.shared.tally.lose(path, "verify", cause);
        }
    }
}
