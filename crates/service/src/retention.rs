//! The end of things: snapshots whose time is over, and vaults that are being deleted.
//!
//! Order for a snapshot: its row is condemned, and from then on nobody sees it; a prune job deletes its file and gives
//! the space back; its row goes. Several snapshots of a vault are one job. Order for a vault: its row says so, its plans
//! and jobs end; its folder is moved aside and deleted; its rows go. A crash leaves rows that say what is left to do,
//! and each look takes them up again. A clock that has leapt ends no retention for a day: see [`ClockWatch`].
//!
//! [`ClockWatch`]: lifeboat_model::retention::ClockWatch

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use lifeboat_catalog::{CondemnedVault, JobRow, NewJob};
use lifeboat_model::id::{JobId, SnapshotId, VaultId};
use lifeboat_model::job::{JobKind, Trigger};
use lifeboat_model::plan::BackupSpec;
use lifeboat_model::time::Millis;
use lifeboat_worker::{Ctx, Done, PruneOrder, VaultStamp, prune};
use tokio::sync::OwnedSemaphorePermit;
use tracing::{error, info, warn};

use crate::{Result, Service, bridge};

/// A prune that has failed is tried again after this.
const RETRY_MILLIS: i64 = 60 * 60 * 1000;

/// What one server remembers of its looks.
#[derive(Default)]
pub(crate) struct Upkeep {
    is_busy: AtomicBool,
    looked: Mutex<Option<Millis>>,
    /// The vaults as they were when their snapshots were last compared with the catalog.
    pub(crate) compared: Mutex<HashMap<VaultId, Compared>>,
}

/// Ends with the look, however that ends.
struct Busy<'a>(&'a AtomicBool);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A vault whose snapshots were compared with the catalog.
#[derive(Clone, Copy)]
pub(crate) struct Compared {
    pub(crate) stamp: VaultStamp,
    /// Something was not ready to be told yet; time to look again.
    pub(crate) again: Option<Millis>,
}

impl Service {
    /// Looks after what has come to its end, now and then, beside whoever calls this.
    pub(crate) fn look_after(&self) {
        let now = self.now();
        {
            let mut looked = self.upkeep.looked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let every = u64::try_from(self.limits.upkeep_every.as_millis()).unwrap_or(u64::MAX);
            // A clock that was set back is no reason to wait.
            if looked.is_some_and(|looked| now >= looked && now.since(looked) < every)
                || self.upkeep.is_busy.swap(true, Ordering::AcqRel)
            {
                return;
            }
            *looked = Some(now);
        }
        let service = self.clone();
        bridge::spawn_task(async move {
            let _busy = Busy(&service.upkeep.is_busy);
            if let Err(failed) = service.end_what_is_over().await {
                warn!(error = %bridge::chain(&failed), "cannot look after what has come to its end");
            }
        });
    }

    /// One look: everything that is over is on its way after it.
    pub async fn end_what_is_over(&self) -> Result<()> {
        let now = self.now();
        self.catalog.hear_of_client(&self.client, now).await?;
        let watch = self.catalog.look_at_clock(now).await?;
        if watch.may_expire() {
            let condemned = self.catalog.condemn_expired(now).await?;
            if condemned > 0 {
                info!(snapshots = condemned, "the time of {condemned} snapshots is over");
            }
        } else {
            let until = jiff::Timestamp::from(watch.held_until);
            warn!(%until, "the clock has leapt by more than a day: no snapshot expires before {until}");
        }
        for vault in self.catalog.vaults_to_prune(now.plus(-RETRY_MILLIS)).await? {
            self.add_job(&self.prune_of(&vault, now)).await?;
        }
        self.delete_vaults().await?;
        for vault in self.catalog.all_vaults().await? {
            if let Err(failed) = self.compare(&vault).await {
                warn!(vault.id = %vault.id, error = %bridge::chain(&failed), "cannot look into vault {}", vault.id);
            }
        }
        Ok(())
    }

    fn prune_of(&self, vault: &CondemnedVault, now: Millis) -> NewJob {
        NewJob {
            id: JobId::new(self.random.number()).to_string(),
            kind: JobKind::Prune,
            account: vault.account,
            vault: vault.id.to_string(),
            region: self.region.clone(),
            plan: None,
            parent: None,
            series: None,
            policy: None,
            rule: None,
            client: None,
            instance: None,
            source_type: String::new(),
            edition: String::new(),
            name: format!("prune {}", vault.id),
            backup_type: String::new(),
            trigger: Trigger::Schedule,
            spec: "{}".to_owned(),
            snapshot: None,
            source_job: None,
            source_instance: None,
            numbers: None,
            expires: now.plus(i64::try_from(self.limits.job_waits.as_millis()).unwrap_or(i64::MAX)),
        }
    }

    /// Does a prune job: what is condemned by the time it runs.
    pub(crate) async fn run_prune(
        &self,
        mut order: PruneOrder,
        vault: &VaultId,
        (ctx, slot): (Ctx, Arc<OwnedSemaphorePermit>),
    ) -> Result<Pruned> {
        let condemned = self.catalog.condemned_snapshots(vault).await?;
        let (ids, hashes): (Vec<SnapshotId>, Vec<String>) = condemned.into_iter().unzip();
        order.snapshots = hashes;
        let work = move || {
            let pruned = prune(&order, &ctx);
            drop(slot);
            pruned
        };
        let pruned = bridge::run(work).await;
        if pruned.is_ok() {
            self.catalog.forget_snapshots(vault, &ids).await?;
        }
        Ok(pruned)
    }

    /// Deletes what is left of the vaults that are being deleted.
    async fn delete_vaults(&self) -> Result<()> {
        for vault in self.catalog.deleting_vaults().await? {
            let access = self.access(&vault.id, String::new());
            match bridge::run(move || lifeboat_worker::delete_vault(&access)).await {
                Ok(()) => self.catalog.finish_vault_deletion(&vault.id).await?,
                Err(failed) => {
                    error!(vault.id = %vault.id, error = %bridge::chain(&failed), "cannot delete vault {}", vault.id);
                }
            }
        }
        Ok(())
    }

    /// The same job, with the days that its snapshot is to live: decided once, before it is made.
    pub(crate) async fn with_retention(&self, mut job: JobRow) -> JobRow {
        let spec = serde_json::from_str::<BackupSpec>(&job.spec).ok();
        let (Some(series), Some(mut spec)) = (&job.series, spec) else { return job };
        if spec.retention_rules.is_empty() {
            return job;
        }
        // Taken for the first of its periods where nobody can tell: it lives longer then, never shorter.
        let previous = self.catalog.time_of_snapshot_before((&job.vault, series), job.created).await;
        let previous = previous.unwrap_or_else(|failed| {
            warn!(job.id = %job.id, error = %bridge::chain(&failed), "cannot find the snapshot before that of job {}", job.id);
            None
        });
        spec.retention_days = spec.retention().days_of(job.created, previous, &self.time.zone);
        job.spec = serde_json::to_string(&spec).expect("a spec has text as keys");
        job
    }
}

pub(crate) type Pruned = std::result::Result<Done, lifeboat_worker::JobError>;
