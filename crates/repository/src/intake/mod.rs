//! Intake: files that arrive as streams, in any order and several at once, become a snapshot.
//!
//! A backup walks what can be read again; what a database sends can be read once, in the order it likes. So contents
//! are cut and saved as they arrive, and trees are made at the end, when all names are known. Three steps make a
//! snapshot of it: [`Repository::receive`] stores contents, trees and indexes; [`Received::read_back`] reads what was
//! stored and compares it with what it was meant to be; [`Received::commit`] writes the snapshot file. What crashes
//! before leaves blobs that nothing refers to yet. Of each blob 32 bytes are held until then, of each file its node.

mod assembly;
mod file;
mod received;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use crossbeam_channel::{Sender, bounded};

use self::assembly::{Arrived, assemble};
pub use self::file::{Cut, FileIntake};
pub use self::received::Received;
use crate::backup::BackupReport;
use crate::backup::pipeline::{Assembler, BATCHES_AHEAD, ChunkJob, UPLOADERS, Worker, drain};
use crate::chunker::Chunker;
use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind, Result};
use crate::id::BlobId;
use crate::lock::LockGuard;
use crate::repository::Repository;
use crate::save::{SaveMode, Saver, locked};
use crate::threads::join;
use crate::tree::{Node, NodeKind, ZoneOffsets};

/// How to go about an intake.
#[derive(Clone, Debug)]
pub struct IntakeOptions {
    /// The folder of the snapshot that everything goes below; empty for none.
    pub folder: PathBuf,
    /// How many threads compress.
    pub workers: usize,
}

/// Takes files in. Several may be under way, on several threads.
pub struct Intake<'a> {
    saver: &'a Saver<'a>,
    folder: &'a Path,
    chunker: &'a Chunker,
    chunks: Sender<ChunkJob>,
    arrived: Mutex<Vec<Arrived>>,
    /// What has been handed to workers and is not saved yet, and the files begun.
    under_way: Arc<UnderWay>,
    ctx: &'a Ctx,
}

impl Intake<'_> {
    /// Begins a regular file at `path`: relative, without `.` and `..`. `node` tells its mode, owner and times.
    pub fn file(&self, path: &Path, node: Node, cut: Cut) -> Result<FileIntake<'_>> {
        let path = self.folder.join(assembly::checked(path)?);
        self.saver.check()?;
        self.ctx.counters.set_item(&path);
        Ok(FileIntake::new(self, path, node, cut))
    }

    /// Adds what has no content: a folder, a symlink. A folder that is never added but has something in it is made up.
    pub fn entry(&self, path: &Path, node: Node) -> Result<()> {
        if node.kind == NodeKind::File {
            let what = format!("{} is a file and has content", path.display());
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        let path = self.folder.join(assembly::checked(path)?);
        self.saver.check()?;
        locked(&self.arrived).push(Arrived::entry(path, node));
        Ok(())
    }

    /// Takes back what has arrived at the paths of which this is true; how many there were. Their contents stay
    /// behind and belong to nothing.
    pub fn take_back(&self, is_meant: impl Fn(&Path) -> bool) -> usize {
        let mut arrived = locked(&self.arrived);
        let before = arrived.len();
        arrived.retain(|one| !one.path().strip_prefix(self.folder).is_ok_and(&is_meant));
        before - arrived.len()
    }

    /// Moves the file that has arrived at `path` to where `to` was, if there is one; true if there was.
    pub fn rename(&self, path: &Path, to: &Path) -> Result<bool> {
        let path = self.folder.join(assembly::checked(path)?);
        let to = self.folder.join(assembly::checked(to)?);
        let mut arrived = locked(&self.arrived);
        let Some(at) = arrived.iter().position(|one| one.is_file_at(&path)) else { return Ok(false) };
        let moved = arrived.swap_remove(at).at(to.clone());
        arrived.retain(|one| !one.path().starts_with(&to));
        arrived.push(moved);
        Ok(true)
    }

    /// Everything that has arrived, once all of it is saved.
    fn end(self) -> Result<Vec<Arrived>> {
        self.under_way.wait();
        self.saver.check()?;
        if self.under_way.has_unfinished_file() {
            return Err(Error::new(ErrorKind::InvalidInput, "a file was begun and never finished"));
        }
        Ok(self.arrived.into_inner().unwrap_or_default())
    }
}

/// Counts what is not done yet.
#[derive(Default)]
struct UnderWay {
    state: Mutex<UnderWayState>,
    is_done: Condvar,
}

#[derive(Default)]
struct UnderWayState {
    jobs: usize,
    has_unfinished_file: bool,
}

/// A job under way; also one that gets lost is done with when this is dropped.
struct Ticket(Arc<UnderWay>);

impl UnderWay {
    fn ticket(under_way: &Arc<Self>) -> Ticket {
        locked(&under_way.state).jobs += 1;
        Ticket(Arc::clone(under_way))
    }

    fn leave_unfinished(&self) {
        locked(&self.state).has_unfinished_file = true;
    }

    fn has_unfinished_file(&self) -> bool {
        locked(&self.state).has_unfinished_file
    }

    fn wait(&self) {
        let state = locked(&self.state);
        let waited = self.is_done.wait_while(state, |state| state.jobs > 0);
        drop(waited);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        locked(&self.0.state).jobs -= 1;
        self.0.is_done.notify_all();
    }
}

impl Repository {
    /// Stores what `fill` hands in. `lock` must be kept fresh meanwhile
    /// ([`LockGuard::keep_while`]). When `fill` fails nothing refers to what was stored; the next backup finds it.
    pub fn receive<T, E: From<Error>>(
        &self,
        options: &IntakeOptions,
        fill: impl FnOnce(&Intake<'_>) -> Result<T, E>,
        lock: &LockGuard,
        ctx: &Ctx,
    ) -> Result<(Received, T), E> {
        let started = self.settings().time.clock.now();
        let saving = self.begin_saving()?;
        self.refresh_index(ctx)?;
        let saver = Saver::new(&saving, lock, SaveMode::New, ctx);
        let ran = run(&saver, options, fill, ctx);
        let packs = saver.take_stored();
        let finished = saver.finish();
        // The failure that an upload left behind explains better than what it caused.
        finished.map_err(E::from)?;
        let ((root, report), filled) = ran?;
        Ok((Received { root, report, packs, started }, filled))
    }
}

type Stored = (BlobId, BackupReport);

fn run<T, E: From<Error>>(
    saver: &Saver<'_>,
    options: &IntakeOptions,
    fill: impl FnOnce(&Intake<'_>) -> Result<T, E>,
    ctx: &Ctx,
) -> Result<(Stored, T), E> {
    let workers = options.workers.max(1);
    let chunker = Chunker::new(saver.repository().config().chunker_polynomial);
    std::thread::scope(|scope| {
        let _ends_uploads = saver.end_uploads_on_drop();
        let uploads: Vec<_> = (0..UPLOADERS).map(|_| scope.spawn(|| saver.upload())).collect();
        let (chunks_in, chunks) = bounded(workers);
        // Nothing has to be read by the workers: it arrives.
        let (_, work) = bounded(0);
        let savers: Vec<_> = (0..workers)
            .map(|_| {
                let worker = Worker::new(saver, &chunker, chunks.clone(), ctx);
                let (work, chunks) = (work.clone(), chunks.clone());
                scope.spawn(move || saver.or_drain(|| worker.run(&work), || drain(&work, &chunks)))
            })
            .collect();
        drop(chunks);
        let (arrived, under_way) = (Mutex::default(), Arc::default());
        let folder = options.folder.as_path();
        let intake = Intake { saver, folder, chunker: &chunker, chunks: chunks_in, arrived, under_way, ctx };
        let ran = fill_and_assemble(intake, fill);
        savers.into_iter().for_each(join);
        let closed = if ran.is_ok() { saver.close() } else { saver.abandon() };
        uploads.into_iter().for_each(join);
        let ((root, mut report), filled) = ran?;
        closed?;
        report.add_saved(&saver.counts());
        Ok(((root, report), filled))
    })
}

fn fill_and_assemble<T, E: From<Error>>(
    intake: Intake<'_>,
    fill: impl FnOnce(&Intake<'_>) -> Result<T, E>,
) -> Result<(Stored, T), E> {
    let filled = fill(&intake)?;
    let (saver, chunks) = (intake.saver, intake.chunks.clone());
    let arrived = intake.end()?;
    let zone = ZoneOffsets::new(&saver.repository().settings().time.zone);
    let now = saver.repository().settings().time.clock.now();
    let assembler = Assembler::new(saver, &zone, chunks, None);
    let (batches_in, batches) = bounded(BATCHES_AHEAD);
    std::thread::scope(|scope| {
        // Moved in: should it fail, its end of the channel goes with it and who feeds it notices.
        let assembler = scope.spawn(move || assembler.run(&batches));
        let report = assemble(arrived, now, batches_in);
        let (root, assembled) = join(assembler)?;
        Ok(((root, report?.merge(assembled)), filled))
    })
}
