//! Restore: a tree of the repository becomes folders and files of a target.
//!
//! One thread walks the tree, makes folders, links and special files, and gathers the blobs of files in windows;
//! the windows leave it as reads of neighbouring blobs, which workers decode once and write to wherever they
//! belong. A folder gets its mode, owner and times when the last entry in it is done. An entry that cannot be
//! restored costs one line in the report. What a crash leaves behind is files marked as unfinished, which the next
//! restore replaces whatever it may overwrite, or hidden ones beside those they were to replace; a cancel leaves
//! neither.

mod budget;
mod delete;
mod file;
mod folder;
mod links;
mod plan;
mod report;
mod sparse;
mod verify;
mod walk;
mod window;
mod work;

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use crossbeam_channel::bounded;

use self::budget::Budget;
use self::folder::Folder;
use self::links::Links;
use self::plan::Planner;
use self::report::Tally;
pub use self::report::{Action, ActionKind, ItemFacts, ItemOutcome, KeptPart, RestoreReport, RestoredItem};
use self::sparse::ZeroBlobs;
use self::verify::verify;
use self::walk::Walk;
use self::work::Worker;
use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind, Result};
use crate::id::BlobId;
use crate::repository::Repository;
use crate::target::Target;
use crate::threads::{join, or_drain};

/// What to do with what is in the target already. Folders are always shared and get what the snapshot knows of
/// them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    #[default]
    Always,
    /// Files of the same size and time of modification are taken to have the same content.
    IfChanged,
    /// Only what is older than in the snapshot.
    IfNewer,
    Never,
}

/// What a [`Selection`] says of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selected {
    pub itself: bool,
    /// Something below may be selected; of no meaning for what is not a folder.
    pub below: bool,
}

/// Decides by path what to restore.
pub trait Selection: Send + Sync {
    /// `path` begins with `/`, the root of what is restored. Nothing below a folder is asked for unless `below`.
    fn judge(&self, path: &[u8], is_dir: bool) -> Selected;
}

/// Restores all there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct SelectAll;

impl Selection for SelectAll {
    fn judge(&self, _path: &[u8], _is_dir: bool) -> Selected {
        Selected { itself: true, below: true }
    }
}

/// How to go about a restore.
#[derive(Clone)]
pub struct RestoreOptions {
    pub select: Arc<dyn Selection>,
    pub overwrite: Overwrite,
    /// Remove what is in restored folders but not in the snapshot, as far as it is selected.
    pub delete: bool,
    /// Change nothing; the report and the actions say what would be done.
    pub dry_run: bool,
    /// Make all durable, then read every restored file again and compare.
    pub verify: bool,
    /// Leave out runs of zeros, which become holes.
    pub sparse: bool,
    /// How many threads decode and write.
    pub workers: usize,
    /// Files and bytes to expect, where the snapshot says so.
    pub expected: Option<(u64, u64)>,
    /// Is told of everything that is done; whoever listens must keep up.
    pub actions: Option<SyncSender<Action>>,
    /// Is told what became of each selected entry; whoever listens must keep up.
    pub items: Option<SyncSender<RestoredItem>>,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            select: Arc::new(SelectAll),
            overwrite: Overwrite::Always,
            delete: false,
            dry_run: false,
            verify: false,
            sparse: true,
            workers: 4,
            expected: None,
            actions: None,
            items: None,
        }
    }
}

/// What all parts of one restore share.
struct Shared<'a> {
    repository: &'a Repository,
    options: &'a RestoreOptions,
    tally: Tally<'a>,
    links: Links,
    zeros: ZeroBlobs,
    budget: Budget,
    ctx: &'a Ctx,
}

impl Repository {
    /// Restores the tree `tree` (a snapshot's, or one below it) into `target`. The index must be loaded.
    ///
    /// Only a root that cannot be read, a target that cannot be opened, or a cancel is an error.
    pub fn restore(
        &self,
        tree: BlobId,
        target: &dyn Target,
        options: &RestoreOptions,
        ctx: &Ctx,
    ) -> Result<RestoreReport> {
        let (files, bytes) = options.expected.unwrap_or_default();
        ctx.counters.begin_phase("restore", files, bytes);
        let shared = Shared {
            repository: self,
            options,
            tally: Tally::new(options, ctx),
            links: Links::default(),
            zeros: ZeroBlobs::default(),
            budget: Budget::default(),
            ctx,
        };
        let root = target.root(!options.dry_run).map_err(cannot_open)?;
        let walk = Walk::new(self, tree, &*options.select, ctx)?;
        shared.run(walk, Arc::new(Folder::root(root, tree)))?;
        if options.verify && !options.dry_run {
            target
                .sync()
                .map_err(|e| Error::new(ErrorKind::Io, "cannot make durable what was restored").because(e))?;
            let walk = Walk::new(self, tree, &*options.select, ctx)?;
            verify(&shared, walk, target)?;
        }
        let mut report = shared.tally.finish();
        report.warnings.extend(target.warnings());
        Ok(report)
    }
}

impl Shared<'_> {
    /// Runs the walk on this thread and the workers beside it, until all is done.
    fn run(&self, walk: Walk<'_, Arc<Folder>>, root: Arc<Folder>) -> Result<()> {
        let workers = self.options.workers.clamp(1, 64);
        let (jobs_in, jobs) = bounded(workers * 2);
        let walked = std::thread::scope(|scope| {
            let work = || or_drain(|| Worker::new(self).run(&jobs), || jobs.iter().for_each(drop));
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            let mut planner = Planner::new(self, jobs_in);
            let walked = walk.run(root, &mut planner);
            let flushed = planner.finish();
            threads.into_iter().for_each(join);
            walked.and(flushed)
        });
        // Folders that waited for names of the same file are finished by this.
        self.links.clear(self);
        walked?;
        self.ctx.cancel.check()
    }
}

fn cannot_open(cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot open the folder to restore to").because(cause)
}
