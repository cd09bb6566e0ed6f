//! The backup of a database or of one data node of Redis: one function, and in it the phases.

use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_adapters::endpoint::Endpoint;
use lifeboat_model::database::{DatabaseBackup, Phase, SetDetail};
use lifeboat_model::resource::Engine;
use lifeboat_model::time::Millis;
use lifeboat_repository::Ctx;
use lifeboat_repository::id::BlobId;
use lifeboat_repository::intake::{Intake, IntakeOptions};
use lifeboat_repository::snapshot::{SnapshotFile, SnapshotTime};
use lifeboat_repository::tree::{Node, NodeTime};

use super::slots::Slots;
use crate::import::{JobResult, about, detail_fields, result_fields};
use crate::progress::Progress;
use crate::resource::Reach;
use crate::vault::VaultAccess;
use crate::{Done, JobError};

/// One backup to do.
#[derive(Clone)]
pub struct DatabaseBackupOrder {
    pub vault: VaultAccess,
    pub backup: DatabaseBackup,
    /// Opens the resource; it may hold a password.
    pub endpoint: Endpoint,
    pub reach: Reach,
    /// By which the snapshot can be found without a catalog.
    pub tags: Vec<String>,
    /// What else the snapshot shall say of itself, for a catalog to be made of it.
    pub about: serde_json::Value,
    /// For the time of streaming.
    pub uploads: Arc<Slots>,
    pub workers: usize,
}

/// A server that was found fit to be backed up.
pub(super) trait Source {
    /// Lets it get ready; returns when it begins to send.
    fn begin(self: Box<Self>, ctx: &Ctx) -> Result<Box<dyn Stream>, JobError>;
}

/// A server that sends.
pub(super) trait Stream {
    /// How much it will be, more or less.
    fn estimated_bytes(&self) -> u64;

    /// Takes everything in, and verifies it as the engine allows.
    /// `node` tells mode and times of files that have none of their own.
    fn take_in(self: Box<Self>, intake: &Intake<'_>, node: Node, ctx: &Ctx) -> Result<SetDetail, JobError>;
}

/// Runs a backup. An error means that there is no set.
pub fn back_up_database(
    order: &DatabaseBackupOrder,
    progress: &Arc<Progress>,
    ctx: &Ctx,
) -> Result<Done, JobError> {
    progress.enter(Phase::Checking);
    let source = open_source(order, ctx)?;
    let slot = order.uploads.take(|| progress.enter(Phase::Waiting), &ctx.cancel)?;
    progress.enter(Phase::Preparing);
    let repository = order.vault.open(None, ctx)?;
    let done = order.vault.locked(&repository, ctx, |lock| {
        repository.load_index(ctx)?;
        let stream = source.begin(ctx)?;
        progress.begin_intake(stream.estimated_bytes(), ctx);
        progress.enter(Phase::Streaming);
        let folder = PathBuf::from(order.backup.resource.as_str());
        let options = IntakeOptions { folder, workers: order.workers };
        let take_in = |intake: &Intake<'_>| stream.take_in(intake, node(order), ctx);
        let (received, mut detail) = repository.receive(&options, take_in, lock, ctx)?;
        // Unless it is known better, it shows the moment when all had come.
        detail.consistent_at.get_or_insert_with(|| order.vault.time.clock.now().as_second());
        progress.enter(Phase::ReadingBack);
        received.read_back(&repository, ctx)?;
        progress.end_intake();
        let snapshot = snapshot_of(order, &detail, progress);
        let report = received.commit(&repository, snapshot, lock, ctx)?;
        Ok::<_, JobError>(Done {
            snapshot: report.snapshot.map(|id| id.to_string()),
            ended: report.ended.map(Millis::from),
            detail: Some(detail),
            ..Done::default()
        })
    });
    drop(slot);
    done
}

fn open_source(order: &DatabaseBackupOrder, ctx: &Ctx) -> Result<Box<dyn Source>, JobError> {
    match order.backup.engine {
        Engine::Postgresql => super::postgres::open(order, ctx),
        Engine::Mariadb => super::mariadb::open(order, ctx),
        Engine::Redis => super::redis::open(order, ctx),
    }
}

/// Of files that come without a mode and times.
fn node(order: &DatabaseBackupOrder) -> Node {
    let now = order.vault.time.clock.now();
    let time = NodeTime { seconds: now.as_second(), nanoseconds: 0 };
    Node { mode: 0o600, mtime: time, atime: time, ctime: time, ..Node::default() }
}

fn snapshot_of(order: &DatabaseBackupOrder, detail: &SetDetail, progress: &Progress) -> SnapshotFile {
    let time = &order.vault.time;
    let mut unknown = about(&order.about);
    unknown.extend(detail_fields(detail));
    unknown.extend(result_fields(&JobResult { counters: progress.read(), is_partial: false }));
    SnapshotFile {
        paths: vec![format!("/{}", order.backup.resource)],
        hostname: order.vault.hostname.clone(),
        username: "lifeboat".to_owned(),
        tags: order.tags.clone(),
        program_version: concat!("lifeboat ", env!("CARGO_PKG_VERSION")).to_owned(),
        unknown,
        ..SnapshotFile::new(SnapshotTime::new(time.clock.now(), &time.zone), BlobId::of(b""))
    }
}
