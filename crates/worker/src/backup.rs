//! A backup job: files of this machine become a snapshot.
//!
//! The totals come from a walk beside the backup, which ends with it. A backup that stored no snapshot has failed,
//! whatever it read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lifeboat_adapters::files::{FilesOptions, FilesSource, OpenError};
use lifeboat_model::plan::BackupSpec;
use lifeboat_model::speed_limit::SpeedLimit;
use lifeboat_model::time::Millis;
use lifeboat_repository::Ctx;
use lifeboat_repository::backup::{BackupOptions, BackupReport, ChangeDetection};
use lifeboat_repository::id::{BlobId, SnapshotId};
use lifeboat_repository::lock::LockGuard;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::snapshot::{SnapshotFile, SnapshotTime};
use lifeboat_repository::source::Source;

use crate::counted::{Counted, Seen};
use crate::progress::Progress;
use crate::rules::{Chosen, Paths, Rules, is_allowed};
use crate::vault::VaultAccess;
use crate::{Done, JobError};

/// One backup to do.
#[derive(Clone)]
pub struct BackupOrder {
    pub vault: VaultAccess,
    pub spec: BackupSpec,
    /// By which the snapshot can be found without a catalog.
    pub tags: Vec<String>,
    /// What else the snapshot shall say of itself, for a catalog to be made of it.
    pub about: serde_json::Value,
    /// The snapshot to compare with, if it is still there.
    pub parent: Option<String>,
    /// The folders that may be read.
    pub allowed: Vec<PathBuf>,
    pub speed_limit: Option<SpeedLimit>,
    pub workers: usize,
}

/// The two walks of a backup.
struct Sources<S> {
    saved: Counted<S>,
    counted: S,
    paths: Arc<Paths>,
}

/// Runs a backup. What could not be read is told to `progress`; an error means that there is no snapshot.
pub fn back_up(order: &BackupOrder, progress: &Arc<Progress>, ctx: &Ctx) -> Result<Done, JobError> {
    let sources = open_sources(order, progress, ctx)?;
    let repository = order.vault.open(order.speed_limit.as_ref(), ctx).map_err(JobError::of_vault)?;
    let saved = order
        .vault
        .locked(&repository, ctx, |lock| save(order, (&repository, lock), sources, (progress, ctx)));
    let (report, parent) = saved.map_err(JobError::of_vault)?;
    let snapshot = report.snapshot.ok_or(JobError::NoSource)?;
    Ok(Done {
        snapshot: Some(snapshot.to_string()),
        parent: parent.map(|id| id.to_string()),
        ended: report.ended.map(Millis::from),
        is_partial: report.lost_count > 0 || progress.items_failed() > 0,
        ..Done::default()
    })
}

fn open_sources(
    order: &BackupOrder,
    progress: &Arc<Progress>,
    ctx: &Ctx,
) -> Result<Sources<FilesSource>, JobError> {
    let rules = Rules::new(&order.spec.files.include, &order.spec.files.exclude)?;
    let paths = Arc::new(Paths::new(&order.spec.files.paths)?);
    if let Some(path) = paths.roots().iter().find(|path| !is_allowed(path, &order.allowed)) {
        return Err(JobError::NotAllowed(path.display().to_string()));
    }
    if !paths.exist(&ctx.cancel) {
        return Err(JobError::NoSource);
    }
    let options = FilesOptions {
        select: Arc::new(Chosen { paths: Arc::clone(&paths), rules }),
        spool_folder: order.vault.spool_folder.clone(),
        ..FilesOptions::default()
    };
    let open = |options| {
        FilesSource::open(paths.roots(), Path::new("/"), options).map_err(|error| match error {
            OpenError::NoRoot { .. } => JobError::NoSource,
            OpenError::CurrentFolder { source, .. } => JobError::Begin(source),
        })
    };
    let saved = Counted::new(open(options.clone())?, Arc::clone(&paths), Arc::clone(progress));
    Ok(Sources { saved, counted: open(options)?, paths })
}

fn save<S: Source + Send>(
    order: &BackupOrder,
    (repository, lock): (&Repository, &LockGuard),
    mut sources: Sources<S>,
    (progress, ctx): (&Progress, &Ctx),
) -> lifeboat_repository::Result<(BackupReport, Option<SnapshotId>)> {
    progress.watch_backup(ctx);
    repository.load_index(ctx)?;
    let parent = order.parent.as_deref().and_then(|id| id.parse().ok());
    let parent = parent.filter(|id: &SnapshotId| repository.load_snapshot(*id).is_ok());
    let options = options_of(order, sources.paths.roots(), parent);
    let is_over = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| count(sources.counted, &sources.paths, (progress, ctx), &is_over));
        let report = repository.backup(&mut sources.saved, options, lock, ctx);
        is_over.store(true, Ordering::Relaxed);
        report
    })?;
    Ok((report, parent))
}

fn options_of(order: &BackupOrder, roots: &[PathBuf], parent: Option<SnapshotId>) -> BackupOptions {
    let time = &order.vault.time;
    let snapshot = SnapshotFile {
        paths: roots.iter().map(|root| root.to_string_lossy().into_owned()).collect(),
        hostname: order.vault.hostname.clone(),
        username: "lifeboat".to_owned(),
        excludes: order.spec.files.exclude.clone(),
        tags: order.tags.clone(),
        program_version: concat!("lifeboat ", env!("CARGO_PKG_VERSION")).to_owned(),
        unknown: crate::import::about(&order.about),
        ..SnapshotFile::new(SnapshotTime::new(time.clock.now(), &time.zone), BlobId::of(b""))
    };
    BackupOptions {
        snapshot,
        parent,
        detection: ChangeDetection::default(),
        dry_run: false,
        skip_if_unchanged: false,
        workers: order.workers,
        items: None,
    }
}

/// Walks beside the backup, for the totals, until that is over.
fn count<S: Source>(mut source: S, paths: &Paths, (progress, ctx): (&Progress, &Ctx), is_over: &AtomicBool) {
    let mut seen = Seen::default();
    while let Some(event) = source.next_event(ctx) {
        if ctx.cancel.is_cancelled() || is_over.load(Ordering::Relaxed) {
            return;
        }
        seen.count(&event, paths);
    }
    progress.publish(seen.totals);
}

#[cfg(test)]
mod tests;
