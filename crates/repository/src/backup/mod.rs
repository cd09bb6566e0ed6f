//! Backup: a source becomes a snapshot.
//!
//! The walk runs on the caller's thread and hands batches of steps to workers (read, chunk, hash, compress,
//! seal) and to one assembler, which turns results into trees in the order of the walk. Everything between
//! them is bounded. The snapshot file is written last: what crashes before leaves a repository as it was,
//! plus blobs that the next backup finds and uses.

mod assemble;
mod parent;
mod report;
mod walk;
mod work;

use std::sync::mpsc::SyncSender;

use crossbeam_channel::bounded;
use jiff::Timestamp;

use self::assemble::Assembler;
pub use self::parent::ChangeDetection;
use self::parent::Parent;
pub use self::report::{BackupReport, Change, ItemCounts, SavedItem};
use self::walk::{Outlets, Walker};
use self::work::{Worker, drain};
use crate::chunker::Chunker;
use crate::ctx::Ctx;
use crate::error::Result;
use crate::id::{BlobId, SnapshotId};
use crate::lock::LockGuard;
use crate::repository::Repository;
use crate::save::{SaveMode, Saver};
use crate::snapshot::{SnapshotFile, SnapshotTime};
use crate::source::Source;
use crate::storage::FileKind;
use crate::threads::join;
use crate::tree::ZoneOffsets;

/// What to note in the snapshot, and how to go about the backup.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// The snapshot as far as it is known: paths, tags, host, time. Tree and summary are filled in.
    pub snapshot: SnapshotFile,
    /// The snapshot to compare with; its entries are trusted for files that look unchanged.
    pub parent: Option<SnapshotId>,
    pub detection: ChangeDetection,
    /// Find out what would be stored, but store nothing.
    pub dry_run: bool,
    /// Make no snapshot when its tree is the parent's.
    pub skip_if_unchanged: bool,
    /// How many threads read and compress.
    pub workers: usize,
    /// Is told of every file and folder, in the order of the walk; whoever listens must keep up.
    pub items: Option<SyncSender<SavedItem>>,
}

/// How many batches may be under way; bounds memory and how far a slow file lets others get ahead.
pub(crate) const BATCHES_AHEAD: usize = 64;
pub(crate) const UPLOADERS: usize = 2;

/// The parts of the pipeline behind the walk, for what arrives without one.
pub(crate) mod pipeline {
    pub(crate) use super::assemble::Assembler;
    pub(crate) use super::walk::{Batch, Step};
    pub(crate) use super::work::{ChunkJob, SavedChunk, Worker, drain};
    pub(crate) use super::{BATCHES_AHEAD, UPLOADERS};
}

impl Repository {
    /// Saves what `source` yields as a new snapshot. `lock` must be kept fresh meanwhile
    /// ([`LockGuard::keep_while`]).
    ///
    /// Entries that cannot be read are named in the report; only a repository that fails, or a cancel, is an
    /// error. What was stored until then is indexed and will be found by the next backup.
    pub fn backup(
        &self,
        source: &mut dyn Source,
        mut options: BackupOptions,
        lock: &LockGuard,
        ctx: &Ctx,
    ) -> Result<BackupReport> {
        let started = self.settings().time.clock.now();
        let parent = options.parent.map(|id| self.load_snapshot(id)).transpose()?;
        let parent_tree = parent.map(|snapshot| snapshot.tree);
        let mode = if options.dry_run { SaveMode::DryRun } else { SaveMode::New };
        let saving = self.begin_saving()?;
        // Only now that nobody else stores through this repository can what it knows be relied on.
        self.refresh_index(ctx)?;
        let saver = Saver::new(&saving, lock, mode, ctx);
        let ran = run_pipeline(&saver, source, &options, parent_tree, ctx);
        let finished = saver.finish();
        let (root, mut report) = match ran {
            // The failure that an upload left behind explains better than the end of the pipeline it caused.
            Err(error) => return Err(finished.err().unwrap_or(error)),
            Ok(ran) => {
                finished?;
                ran
            }
        };
        report.tree = Some(root);
        let is_unchanged = options.skip_if_unchanged && parent_tree == Some(root);
        if !options.dry_run && !is_unchanged && report.saw_a_root {
            ctx.cancel.check()?;
            let ended = self.settings().time.clock.now();
            report.ended = Some(ended);
            options.snapshot.unknown.extend(source.last_words());
            let snapshot = self.complete(options, root, &report, (started, ended));
            lock.assert_held()?;
            report.snapshot = Some(self.save_snapshot(&snapshot)?);
        }
        Ok(report)
    }

    fn complete(
        &self,
        options: BackupOptions,
        root: BlobId,
        report: &BackupReport,
        (started, ended): (Timestamp, Timestamp),
    ) -> SnapshotFile {
        let local = |time| SnapshotTime::new(time, &self.settings().time.zone);
        let summary = report.to_summary(local(started), local(ended));
        SnapshotFile { tree: root, parent: options.parent, summary: Some(summary), ..options.snapshot }
    }

    /// Stores a snapshot file. From then on everything it refers to is live.
    pub fn save_snapshot(&self, snapshot: &SnapshotFile) -> Result<SnapshotId> {
        Ok(SnapshotId::new(self.save_unpacked(FileKind::Snapshot, &snapshot.to_json())?))
    }

    pub fn load_snapshot(&self, id: SnapshotId) -> Result<SnapshotFile> {
        let json = self.load_unpacked(FileKind::Snapshot, id.id())?;
        SnapshotFile::parse(&json).map_err(|e| {
            crate::Error::damaged(format!("snapshot {id} is not what a snapshot file is")).because(e)
        })
    }
}

/// Runs walk, workers, assembler and uploads side by side; returns when all have ended.
fn run_pipeline(
    saver: &Saver<'_>,
    source: &mut dyn Source,
    options: &BackupOptions,
    parent_tree: Option<BlobId>,
    ctx: &Ctx,
) -> Result<(BlobId, BackupReport)> {
    let repository = saver.repository();
    let zone = ZoneOffsets::new(&repository.settings().time.zone);
    let chunker = Chunker::new(repository.config().chunker_polynomial);
    let workers = options.workers.max(1);
    let (batches_in, batches) = bounded(BATCHES_AHEAD);
    let (work_in, work) = bounded(workers);
    let (chunks_in, chunks) = bounded(workers);
    let assembler = Assembler::new(saver, &zone, chunks_in.clone(), options.items.clone());
    let outlets = Outlets { batches: batches_in, work: work_in, chunks: chunks_in };
    let walker = Walker::new(Parent::new(saver, parent_tree), options.detection, outlets, ctx);
    std::thread::scope(|scope| {
        let _ends_uploads = saver.end_uploads_on_drop();
        let uploads: Vec<_> = (0..UPLOADERS).map(|_| scope.spawn(|| saver.upload())).collect();
        let savers: Vec<_> = (0..workers)
            .map(|_| {
                let worker = Worker::new(saver, &chunker, chunks.clone(), ctx);
                scope.spawn(|| saver.or_drain(|| worker.run(&work), || drain(&work, &chunks)))
            })
            .collect();
        // Moved in: should the assembler fail, its end of the channel goes with it and the walk notices.
        let assembler = scope.spawn(move || assembler.run(&batches));
        let walked = walker.run(source);
        let assembled = join(assembler);
        savers.into_iter().for_each(join);
        let closed = if assembled.is_ok() { saver.close() } else { saver.abandon() };
        uploads.into_iter().for_each(join);
        let (root, assembled) = assembled?;
        closed?;
        let mut report = walked.merge(assembled);
        report.add_saved(&saver.counts());
        Ok((root, report))
    })
}
