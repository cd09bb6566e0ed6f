//! Dispatch: takes jobs that wait and has them done, starts plans whose time has come, and tidies up.
//!
//! A job is this server's only while its lease holds: the fence that came with the claim goes with every word about the
//! job, so a server that was thought dead writes nothing any more. What a killed server leaves behind are rows whose
//! lease runs out; the reaper puts them back in line. It looks away for a moment after the clock has leapt, or after this
//! process was stopped for long: leases whose workers live are renewed first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_catalog::JobRow;
use lifeboat_model::database::DatabaseBackup;
use lifeboat_model::id::{SnapshotId, VaultId};
use lifeboat_model::job::JobKind;
use lifeboat_model::plan::{BackupSpec, RestoreSpec};
use lifeboat_model::time::Millis;
use lifeboat_worker::{
    BackupOrder, Ctx, DatabaseBackupOrder, DatabaseRestoreOrder, Progress, PruneOrder, RestoreOrder,
    VaultAccess, back_up, back_up_database, find_nodes, restore, restore_database,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tracing::{info, warn};

use crate::import::About;
use crate::running::{Ended, millis, run_job};
use crate::{Missing, Result, Service, ServiceError, bridge};

const LOOK_EVERY: Duration = Duration::from_secs(1);
const SWEEP_EVERY_MILLIS: u64 = 60 * 60 * 1000;
/// In this time every lease that a living server holds is renewed.
const RENEWED_WITHIN: Duration = Duration::from_secs(3);
/// How long jobs may take to stop with the server.
const STOP_WITHIN: Duration = Duration::from_secs(4);

/// Runs jobs until it is told to stop.
pub struct Dispatcher {
    service: Service,
    /// Who claims; another one at each start of a server.
    worker: String,
    slots: Arc<Semaphore>,
    /// Held by who makes reports.
    reporting: Arc<Semaphore>,
    /// When old files were last looked for.
    swept: Option<Millis>,
    seen: Seen,
    stop: Arc<Notify>,
}

impl Dispatcher {
    pub fn new(service: Service) -> Self {
        let worker = format!("{}-{:x}", service.hostname, service.random.number());
        let slots = Arc::new(Semaphore::new(service.limits.jobs_at_once));
        let reporting = Arc::new(Semaphore::new(1));
        Self { service, worker, slots, reporting, swept: None, seen: Seen::default(), stop: Arc::default() }
    }

    /// Asks [`Dispatcher::run`] to end.
    pub fn stop_handle(&self) -> Arc<Notify> {
        Arc::clone(&self.stop)
    }

    /// Claims and runs jobs. At the end the jobs under way are given up, for the next server to go on with.
    pub async fn run(mut self) {
        loop {
            if let Err(failed) = self.look().await {
                warn!(error = %bridge::chain(&failed), "cannot look for jobs");
            }
            tokio::select! {
                () = self.stop.notified() => break,
                () = self.service.wake.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        let all = u32::try_from(self.service.limits.jobs_at_once).unwrap_or(u32::MAX);
        // What ends by itself in time need not be begun again.
        if tokio::time::timeout(self.service.limits.stop_waits, self.slots.acquire_many(all)).await.is_ok() {
            return;
        }
        self.service.running.stop();
        if tokio::time::timeout(STOP_WITHIN, self.slots.acquire_many(all)).await.is_err() {
            warn!("some jobs do not stop in time and are left to their leases");
        }
    }

    pub(crate) async fn look(&mut self) -> Result<()> {
        let now = self.service.now();
        if self.seen.was_set_back(now) {
            self.service.bring_runs_nearer(now).await?;
        }
        self.seen.note(now, self.service.limits.lease);
        if self.seen.is_steady() {
            self.service.catalog.reap_jobs(now).await?;
        }
        self.service.catalog.delete_expired_nonces(now).await?;
        self.service.catalog.delete_expired_listings(now).await?;
        self.service.catalog.settle_resources(now).await?;
        self.service.start_due_runs().await?;
        self.service.look_after();
        self.report(now).await?;
        let looked = self.service.now();
        while let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            let now = self.service.now();
            let until = now.plus(millis(self.service.limits.lease));
            let Some(claimed) = self.service.catalog.claim_job(&self.worker, until, now).await? else {
                break;
            };
            let service = self.service.clone();
            info!(job.id = %claimed.job.id, "claimed job {}", claimed.job.id);
            bridge::spawn_task(async move {
                run_job(&service, claimed, slot).await;
                service.wake.notify_one();
            });
        }
        // Whoever could not be taken waits for a slot, or for the former job of its plan.
        Ok(self.service.catalog.queue_waiting_jobs(looked, self.service.now()).await?)
    }

    /// Has reports made, beside everything else, and old ones removed.
    async fn report(&mut self, now: Millis) -> Result<()> {
        if self.swept.is_none_or(|swept| now < swept || now.since(swept) >= SWEEP_EVERY_MILLIS) {
            self.swept = Some(now);
            self.service.remove_old_reports().await?;
            let service = self.service.clone();
            bridge::spawn_task(async move {
                if let Err(failed) = service.sweep_instances().await {
                    warn!(error = %bridge::chain(&failed), "cannot look for what restores have left");
                }
            });
        }
        if let Ok(turn) = Arc::clone(&self.reporting).try_acquire_owned() {
            let service = self.service.clone();
            bridge::spawn_task(async move {
                if let Err(failed) = service.make_due_reports().await {
                    warn!(error = %bridge::chain(&failed), "cannot make reports");
                }
                drop(turn);
            });
        }
        Ok(())
    }
}

/// How the clock has gone on from one look to the next.
#[derive(Default)]
struct Seen {
    at: Option<Millis>,
    /// When it went on by so much that leases may seem to be over whose workers live.
    leapt: Option<Instant>,
}

impl Seen {
    /// At the first look nobody knows.
    fn was_set_back(&self, now: Millis) -> bool {
        self.at.is_none_or(|at| now < at)
    }

    fn note(&mut self, now: Millis, lease: Duration) {
        let former = self.at.replace(now).unwrap_or(now);
        if Duration::from_millis(now.since(former)) >= lease / 2 {
            self.leapt = Some(Instant::now());
        }
    }

    fn is_steady(&self) -> bool {
        self.leapt.is_none_or(|leapt| leapt.elapsed() >= RENEWED_WITHIN)
    }
}

enum Order {
    /// On one thread that may block.
    Work(Box<Work>),
    Prune(PruneOrder, VaultId),
}

enum Work {
    Backup(BackupOrder),
    Restore(RestoreOrder),
    DatabaseBackup(DatabaseBackupOrder),
    /// Of a cluster whose nodes are to be found first.
    DatabaseNodes(DatabaseBackupOrder),
    DatabaseRestore(DatabaseRestoreOrder),
}

impl Service {
    /// Does a job to its end on a thread that may block.
    pub(crate) async fn work(
        self,
        job: JobRow,
        progress: Arc<Progress>,
        (ctx, slot): (Ctx, Arc<OwnedSemaphorePermit>),
    ) -> Ended {
        let order = match self.order(&job).await {
            Ok(order) => order,
            Err(error) => return Ended::NotBegun(error),
        };
        let order = match order {
            Order::Prune(order, vault) => {
                return match self.run_prune(order, &vault, (ctx, slot)).await {
                    Ok(pruned) => Ended::Ran(pruned),
                    Err(error) => Ended::NotBegun(error),
                };
            }
            Order::Work(order) => order,
        };
        let work = move || {
            let done = match *order {
                Work::Backup(order) => back_up(&order, &progress, &ctx),
                Work::Restore(order) => restore(&order, &progress, &ctx),
                Work::DatabaseBackup(order) => back_up_database(&order, &progress, &ctx),
                Work::DatabaseNodes(order) => find_nodes(&order, &progress, &ctx),
                Work::DatabaseRestore(order) => restore_database(&order, &progress, &ctx),
            };
            drop(slot);
            done
        };
        Ended::Ran(bridge::run(work).await)
    }

    async fn database_order(
        &self,
        job: &JobRow,
        backup: DatabaseBackup,
        (vault, about): (VaultAccess, serde_json::Value),
    ) -> Result<Work> {
        let gone = || ServiceError::Missing(Missing::Resource, backup.resource.to_string());
        let row = self.catalog.resource(job.account, &backup.resource).await?.ok_or_else(gone)?;
        self.must_be_here(&row)?;
        let url = self.resource_endpoint(&row)?;
        let strange = || ServiceError::Conflict(format!("the URL of {} makes no sense", backup.resource));
        let endpoint = url.expose().parse().map_err(|_| strange())?;
        let (uploads, workers) = (Arc::clone(&self.uploads), workers());
        let are_nodes_unknown = row.is_cluster && backup.node.is_none();
        let (reach, tags) = (self.reach(&row), tags_of(job));
        let order = DatabaseBackupOrder { vault, backup, endpoint, reach, tags, about, uploads, workers };
        Ok(if are_nodes_unknown { Work::DatabaseNodes(order) } else { Work::DatabaseBackup(order) })
    }

    async fn order(&self, job: &JobRow) -> Result<Order> {
        let gone = || ServiceError::Missing(Missing::Vault, job.vault.clone());
        let vault_id = job.vault.parse().map_err(|_| gone())?;
        let vault = self.catalog.vault(job.account, &vault_id).await?.ok_or_else(gone)?;
        let vault = self.access_of(&vault)?;
        if job.kind == JobKind::Prune.as_str() {
            let order = PruneOrder { vault, snapshots: Vec::new(), workers: workers() };
            return Ok(Order::Prune(order, vault_id));
        }
        if job.kind == JobKind::DatabaseRestore.as_str() {
            let order = self.database_restore_order(job, vault).await?;
            return Ok(Order::Work(Box::new(Work::DatabaseRestore(order))));
        }
        let strange = || ServiceError::Conflict(format!("the job {} says nothing that makes sense", job.id));
        let allowed = self.limits.client_paths.clone();
        if job.kind == JobKind::Restore.as_str() {
            let spec: RestoreSpec = serde_json::from_str(&job.spec).map_err(|_| strange())?;
            self.may_still_cross(job.account, spec.cross.as_ref(), "hbr:CreateRestoreJob").await?;
            let snapshot = job.snapshot_hash.clone();
            let snapshot = snapshot.ok_or_else(|| {
                ServiceError::Missing(Missing::Snapshot, job.snapshot.clone().unwrap_or_default())
            })?;
            let order = RestoreOrder { vault, snapshot, spec: spec.files, allowed, workers: workers() };
            return Ok(Order::Work(Box::new(Work::Restore(order))));
        }
        let spec: BackupSpec = serde_json::from_str(&job.spec).map_err(|_| strange())?;
        self.may_still_cross(job.account, spec.cross.as_ref(), "hbr:CreateBackupJob").await?;
        let parent = self.catalog.latest_snapshot_like(job).await?;
        let speed_limit = spec.speed_limit.as_deref().map(str::parse).transpose().map_err(|_| strange())?;
        let about = About::of(job, &vault_id, &spec);
        let about = serde_json::to_value(&about).expect("what is noted has text as keys");
        if let Some(backup) = spec.database {
            let work = self.database_order(job, backup, (vault, about)).await?;
            return Ok(Order::Work(Box::new(work)));
        }
        let order = BackupOrder {
            vault,
            spec,
            tags: tags_of(job),
            about,
            parent,
            allowed,
            speed_limit,
            workers: workers(),
        };
        Ok(Order::Work(Box::new(Work::Backup(order))))
    }
}

/// By which the snapshot of a job can be found without a catalog.
fn tags_of(job: &JobRow) -> Vec<String> {
    let plan = job.plan.as_ref().map(|plan| format!("plan={plan}"));
    let snapshot = format!("snapshot={}", SnapshotId::of_job(&job.id));
    [Some(format!("job={}", job.id)), plan, Some(snapshot)].into_iter().flatten().collect()
}

pub(crate) fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(8)
}
