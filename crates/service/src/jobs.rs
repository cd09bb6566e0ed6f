//! Jobs as callers see them: asked for, listed, cancelled.

use lifeboat_catalog::{JobFilter, JobRow, NewJob, PlanRow};
use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::{JobId, PlanId};
use lifeboat_model::job::{JobKind, JobState, Trigger};

use crate::{Caller, Missing, Result, Service, ServiceError};

/// A backup outside any schedule.
#[derive(Clone, Debug)]
pub struct NewBackupJob {
    pub plan: PlanId,
}

impl Service {
    /// Runs a plan now.
    pub async fn execute_plan(&self, caller: &Caller, id: &PlanId) -> Result<JobId> {
        let plan = self.plan(caller, id).await?;
        let job = self.start_plan(&plan, Trigger::Manual).await?;
        job.ok_or_else(|| ServiceError::Conflict(format!("the plan {id} has a job that has not ended")))
    }

    /// Makes a job of a plan. A scheduled one is left out while the former has not ended.
    pub(crate) async fn start_plan(&self, plan: &PlanRow, trigger: Trigger) -> Result<Option<JobId>> {
        let id = JobId::new(self.random.number());
        let now = self.now();
        let waits = i64::try_from(self.limits.job_waits.as_millis()).unwrap_or(i64::MAX);
        let new = NewJob {
            id: id.to_string(),
            kind: JobKind::Backup,
            account: plan.account,
            vault: plan.vault.to_string(),
            region: self.region.clone(),
            plan: Some(plan.id.to_string()),
            parent: None,
            client: Some(plan.client.to_string()),
            instance: plan.instance.as_ref().map(ToString::to_string),
            source_type: plan.source_type.clone(),
            edition: plan.edition.clone(),
            name: plan.name.clone(),
            backup_type: plan.backup_type.clone(),
            trigger,
            spec: serde_json::to_string(&plan.spec).expect("a spec has text as keys"),
            snapshot: None,
            source_job: None,
            source_instance: None,
            expires: now.plus(waits),
        };
        let is_in = self.catalog.insert_job(&new, trigger == Trigger::Schedule, now).await?;
        self.wake.notify_one();
        Ok(is_in.then_some(id))
    }

    pub async fn jobs(&self, caller: &Caller, filter: &JobFilter, page: Page) -> Result<Paged<JobRow>> {
        Ok(self.catalog.jobs(caller.account, filter, page).await?)
    }

    /// Asks a job to stop. One that has ended is a conflict.
    pub async fn cancel_job(&self, caller: &Caller, kind: JobKind, id: &str) -> Result<JobState> {
        let missing = if kind == JobKind::Backup { Missing::Job } else { Missing::Restore };
        let found = self.catalog.job(caller.account, id).await?.filter(|job| job.kind == kind.as_str());
        found.ok_or_else(|| ServiceError::Missing(missing, id.to_owned()))?;
        Ok(self.catalog.cancel_job((caller.account, kind), id, self.now()).await?)
    }
}
