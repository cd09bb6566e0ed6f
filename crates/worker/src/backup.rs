//! A backup job: files of this machine become a snapshot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_adapters::files::{FilesOptions, FilesSource, OpenError};
use lifeboat_model::plan::BackupSpec;
use lifeboat_repository::Ctx;
use lifeboat_repository::backup::{BackupOptions, BackupReport, ChangeDetection};
use lifeboat_repository::id::{BlobId, SnapshotId};
use lifeboat_repository::snapshot::{SnapshotFile, SnapshotTime};
use lifeboat_repository::source::{Event, Source};
use lifeboat_repository::tree::NodeKind;

use crate::counted::Counted;
use crate::progress::{Progress, add};
use crate::rules::Rules;
use crate::vault::VaultAccess;
use crate::{Done, JobError, Lost};

/// One backup to do.
#[derive(Clone)]
pub struct BackupOrder {
    pub vault: VaultAccess,
    pub spec: BackupSpec,
    /// By which the snapshot can be found without a catalog.
    pub tags: Vec<String>,
    /// The snapshot to compare with, if it is still there.
    pub parent: Option<String>,
    pub kib_per_second: Option<u64>,
    pub workers: usize,
}

/// Runs a backup. What could not be read is in the result; an error means that there is no snapshot.
///
/// The engine's own counters in `ctx` say how many bytes are new; [`Progress::read`] is given them.
pub fn back_up(order: &BackupOrder, progress: &Arc<Progress>, ctx: &Ctx) -> Result<Done, JobError> {
    let rules = Arc::new(Rules::new(&order.spec.files.include, &order.spec.files.exclude)?);
    let options = FilesOptions {
        select: rules,
        spool_folder: order.vault.spool_folder.clone(),
        ..FilesOptions::default()
    };
    let roots: Vec<PathBuf> = order.spec.files.paths.iter().map(PathBuf::from).collect();
    let source = open(&roots, options.clone())?;
    let counting = open(&roots, options)?;
    let repository = order.vault.open(order.kib_per_second, ctx).map_err(JobError::of_vault)?;
    let parent = order
        .parent
        .as_deref()
        .and_then(|id| id.parse().ok())
        .filter(|id: &SnapshotId| repository.load_snapshot(*id).is_ok());
    let mut source = Counted::new(source, Arc::clone(progress));
    let saved = order.vault.locked(&repository, ctx, |lock| {
        repository.load_index(ctx)?;
        let options = options_of(order, parent);
        std::thread::scope(|scope| {
            scope.spawn(|| count(counting, progress, ctx));
            repository.backup(&mut source, options, lock, ctx)
        })
    });
    let report = saved.map_err(JobError::of_vault)?;
    Ok(done(report, parent))
}

fn open(roots: &[PathBuf], options: FilesOptions) -> Result<FilesSource, JobError> {
    FilesSource::open(roots, Path::new("/"), options).map_err(|error| match error {
        OpenError::NoRoot { .. } => JobError::NoSource,
        OpenError::CurrentFolder { source, .. } => JobError::Begin(source),
    })
}

fn options_of(order: &BackupOrder, parent: Option<SnapshotId>) -> BackupOptions {
    let time = &order.vault.time;
    let snapshot = SnapshotFile {
        paths: order.spec.files.paths.clone(),
        hostname: order.vault.hostname.clone(),
        username: "lifeboat".to_owned(),
        excludes: order.spec.files.exclude.clone(),
        tags: order.tags.clone(),
        program_version: concat!("lifeboat ", env!("CARGO_PKG_VERSION")).to_owned(),
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

/// Walks beside the backup, for the totals. Errors are left to the backup's own walk.
fn count(mut source: FilesSource, progress: &Progress, ctx: &Ctx) {
    while let Some(event) = source.next_event(ctx) {
        let (Ok(Event::Enter(entry)) | Ok(Event::Item(entry))) = event else { continue };
        add(&progress.items_total, 1);
        if entry.node.kind == NodeKind::File {
            add(&progress.files_total, 1);
            add(&progress.bytes_total, entry.node.size);
        }
    }
    if !ctx.cancel.is_cancelled() {
        progress.publish_totals();
    }
}

fn done(report: BackupReport, parent: Option<SnapshotId>) -> Done {
    Done {
        snapshot: report.snapshot.map(|id| id.to_string()),
        parent: parent.map(|id| id.to_string()),
        lost: report.lost.iter().map(Lost::of).collect(),
        lost_count: report.lost_count,
    }
}
