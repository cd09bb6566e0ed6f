//! Dispatch: takes jobs that wait, has them done, and says each second how far they are.
//!
//! A job is this server's only while its lease holds: the fence that came with the claim goes with every word about the
//! job, so a server that was thought dead writes nothing any more. A cancel is seen at the next renewal, a second later
//! at most. What a killed server leaves behind are rows whose lease runs out; the reaper puts them back in line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_catalog::{ClaimedJob, FinishedJob, JobRow, NewSnapshot};
use lifeboat_model::id::SnapshotId;
use lifeboat_model::job::{JobKind, Outcome};
use lifeboat_model::plan::{BackupSpec, RestoreSpec};
use lifeboat_worker::{BackupOrder, Ctx, Done, JobError, Progress, RestoreOrder, back_up, restore};
use tokio::sync::{Notify, Semaphore};
use tracing::{error, info, warn};

use crate::{Missing, Result, Service, ServiceError, bridge};

const RENEW_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs jobs until it is told to stop.
pub struct Dispatcher {
    service: Service,
    /// Who claims; another one at each start of a server.
    worker: String,
    slots: Arc<Semaphore>,
    stop: Arc<Notify>,
}

impl Dispatcher {
    pub fn new(service: Service) -> Self {
        let worker = format!("{}-{:x}", service.hostname, service.random.number());
        let slots = Arc::new(Semaphore::new(service.limits.jobs_at_once));
        Self { service, worker, slots, stop: Arc::default() }
    }

    /// Asks [`Dispatcher::run`] to end once the jobs under way are told to stop.
    pub fn stop_handle(&self) -> Arc<Notify> {
        Arc::clone(&self.stop)
    }

    /// Claims and runs jobs, starts plans whose time has come, and tidies up.
    pub async fn run(self) {
        loop {
            if let Err(failed) = self.look().await {
                warn!(error = %bridge::chain(&failed), "cannot look for jobs");
            }
            tokio::select! {
                () = self.stop.notified() => return,
                () = self.service.wake.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn look(&self) -> Result<()> {
        let now = self.service.now();
        self.service.catalog.reap_jobs(now).await?;
        self.service.catalog.delete_expired_nonces(now).await?;
        self.service.start_due_runs().await?;
        while let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            let now = self.service.now();
            let until = now.plus(millis(self.service.limits.lease));
            let Some(claimed) = self.service.catalog.claim_job(&self.worker, until, now).await? else {
                break;
            };
            let service = self.service.clone();
            info!(job.id = %claimed.job.id, "claimed job {}", claimed.job.id);
            bridge::spawn_task(async move {
                run_job(&service, claimed).await;
                drop(slot);
                service.wake.notify_one();
            });
        }
        Ok(())
    }
}

/// Does one job, and says what came of it.
async fn run_job(service: &Service, ClaimedJob { job, fence }: ClaimedJob) {
    let began = Instant::now();
    let running_millis = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (progress, ctx) = (Arc::<Progress>::default(), Ctx::default());
    let work = work(service.clone(), job.clone(), Arc::clone(&progress), ctx.clone());
    tokio::pin!(work);
    let mut heard = service.now();
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            () = tokio::time::sleep(RENEW_EVERY) => {}
        }
        let now = service.now();
        let until = now.plus(millis(service.limits.lease));
        let counters = progress.read(&ctx);
        match service.catalog.renew_job((&job.id, fence), (&counters, running_millis()), until, now).await {
            Ok(Some(is_canceling)) => {
                heard = now;
                if is_canceling {
                    ctx.cancel.cancel();
                }
            }
            Ok(None) => {
                warn!(job.id = %job.id, "lost the lease of job {}", job.id);
                ctx.cancel.cancel();
            }
            Err(failed) => {
                warn!(job.id = %job.id, error = %bridge::chain(&failed), "cannot renew the lease of job {}", job.id);
                if now.since(heard) >= u64::try_from(millis(service.limits.lease)).unwrap_or(0) {
                    ctx.cancel.cancel();
                }
            }
        }
    };
    let finished = finished(service, &job, &done, progress.read(&ctx));
    let now = service.now();
    match service.catalog.finish_job((&job.id, fence), (&finished, running_millis()), now).await {
        Ok(true) => {
            info!(job.id = %job.id, job.state = finished.outcome.state().as_str(), "finished job {}", job.id)
        }
        Ok(false) => warn!(job.id = %job.id, "job {} was given to somebody else", job.id),
        Err(failed) => {
            error!(job.id = %job.id, error = %bridge::chain(&failed), "cannot finish job {}", job.id)
        }
    }
}

/// Why a job did not even begin, or what it did.
enum Ended {
    Ran(std::result::Result<Done, JobError>),
    NotBegun(ServiceError),
}

async fn work(service: Service, job: JobRow, progress: Arc<Progress>, ctx: Ctx) -> Ended {
    let order = match service.order(&job).await {
        Ok(order) => order,
        Err(error) => return Ended::NotBegun(error),
    };
    Ended::Ran(
        bridge::run(move || match order {
            Order::Backup(order) => back_up(&order, &progress, &ctx),
            Order::Restore(order) => restore(&order, &progress, &ctx),
        })
        .await,
    )
}

enum Order {
    Backup(BackupOrder),
    Restore(RestoreOrder),
}

impl Service {
    async fn order(&self, job: &JobRow) -> Result<Order> {
        let gone = || ServiceError::Missing(Missing::Vault, job.vault.clone());
        let vault_id = job.vault.parse().map_err(|_| gone())?;
        let vault = self.catalog.vault(job.account, &vault_id).await?.ok_or_else(gone)?;
        let vault = self.access_of(&vault)?;
        let strange = || ServiceError::Conflict(format!("the job {} says nothing that makes sense", job.id));
        if job.kind == JobKind::Restore.as_str() {
            let spec: RestoreSpec = serde_json::from_str(&job.spec).map_err(|_| strange())?;
            self.may_still_cross(job.account, spec.cross.as_ref(), "hbr:CreateRestoreJob").await?;
            let snapshot = job.snapshot_hash.clone();
            let snapshot = snapshot.ok_or_else(|| {
                ServiceError::Missing(Missing::Snapshot, job.snapshot.clone().unwrap_or_default())
            })?;
            let order =
                RestoreOrder { vault, snapshot, spec: spec.files, kib_per_second: None, workers: workers() };
            return Ok(Order::Restore(order));
        }
        let spec: BackupSpec = serde_json::from_str(&job.spec).map_err(|_| strange())?;
        self.may_still_cross(job.account, spec.cross.as_ref(), "hbr:CreateBackupJob").await?;
        let parent = self.catalog.latest_snapshot_like(job).await?;
        let tags = [Some(format!("job={}", job.id)), job.plan.as_ref().map(|plan| format!("plan={plan}"))];
        let order = BackupOrder {
            vault,
            spec,
            tags: tags.into_iter().flatten().collect(),
            parent,
            kib_per_second: None,
            workers: workers(),
        };
        Ok(Order::Backup(order))
    }
}

fn finished(
    service: &Service,
    job: &JobRow,
    ended: &Ended,
    counters: lifeboat_model::job::JobCounters,
) -> FinishedJob {
    let none = |outcome, code: &str, message: String| FinishedJob {
        outcome,
        counters,
        error_code: Some(code.to_owned()),
        error_message: Some(message),
        error_file: None,
        snapshot: None,
    };
    match ended {
        Ended::NotBegun(error) => {
            error!(job.id = %job.id, error = %bridge::chain(error), "cannot begin job {}", job.id);
            let code = match error {
                ServiceError::Denied(_)
                | ServiceError::NotTrusted { .. }
                | ServiceError::Missing(Missing::Role, _) => "HBR.NoRamRoleBound",
                _ => "INTERNAL_ERROR",
            };
            none(Outcome::Failed, code, error.to_string())
        }
        Ended::Ran(Err(JobError::Cancelled)) => {
            none(Outcome::Canceled, "CANCELED", "the job was canceled".to_owned())
        }
        Ended::Ran(Err(error)) => {
            warn!(job.id = %job.id, error = %bridge::chain(error), "job {} has failed", job.id);
            none(Outcome::Failed, error.code(), error.to_string())
        }
        Ended::Ran(Ok(done)) => {
            let is_whole = done.lost_count == 0;
            let retention_days =
                serde_json::from_str::<BackupSpec>(&job.spec).ok().and_then(|spec| spec.retention_days);
            FinishedJob {
                outcome: if is_whole { Outcome::Complete } else { Outcome::PartialComplete },
                counters,
                error_code: (!is_whole).then(|| "PARTIAL_COMPLETE".to_owned()),
                error_message: None,
                error_file: None,
                snapshot: done.snapshot.clone().map(|hash| NewSnapshot {
                    id: SnapshotId::new(service.random.number()),
                    hash,
                    parent_hash: done.parent.clone(),
                    retention_days,
                }),
            }
        }
    }
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(8)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
