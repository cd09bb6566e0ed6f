//! Jobs as callers see them: asked for, listed, cancelled.

use lifeboat_catalog::{JobRow, NewJob, PlanRow};
use lifeboat_model::id::{JobId, PlanId, RuleId};
use lifeboat_model::job::{JobKind, JobState, Trigger};
use lifeboat_model::plan::{BackupSpec, PlanRule};
use lifeboat_model::time::Millis;

use crate::{Caller, Missing, Result, Service, ServiceError};

impl Service {
    /// Runs a plan now, or one of its rules. Where a job of it has not ended, the new one waits behind that.
    pub async fn execute_plan(&self, caller: &Caller, id: &PlanId, rule: Option<&RuleId>) -> Result<JobId> {
        let plan = self.plan(caller, id).await?;
        let found = rule.map(|rule| {
            let found = plan.rules.iter().find(|known| known.id == *rule);
            found.ok_or_else(|| ServiceError::Missing(Missing::Rule, rule.to_string()))
        });
        // A plan that has nothing but rules is the first of them.
        let first = plan.rules.first().filter(|_| plan.schedule.is_none());
        let job = self.job_of_plan(&plan, found.transpose()?.or(first), Trigger::Manual);
        self.add_job(&job).await?;
        job.id.parse().map_err(|_| ServiceError::Missing(Missing::Job, job.id))
    }

    pub(crate) async fn add_job(&self, job: &NewJob) -> Result<()> {
        self.catalog.insert_job(job, self.now()).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// When a job that nobody has taken ends.
    pub(crate) fn job_expiry(&self) -> Millis {
        self.now().plus(i64::try_from(self.limits.job_waits.as_millis()).unwrap_or(i64::MAX))
    }

    pub(crate) fn job_of_plan(&self, plan: &PlanRow, rule: Option<&PlanRule>, trigger: Trigger) -> NewJob {
        let spec = BackupSpec {
            retention_days: rule.and_then(|rule| rule.retention_days).or(plan.spec.retention_days),
            ..plan.spec.clone()
        };
        NewJob {
            id: JobId::new(self.random.number()).to_string(),
            kind: JobKind::Backup,
            account: plan.account,
            vault: plan.vault.to_string(),
            region: self.region.clone(),
            plan: Some(plan.id.to_string()),
            parent: None,
            series: Some(plan.id.to_string()),
            policy: None,
            rule: rule.map(|rule| rule.id.to_string()),
            client: Some(plan.client.to_string()),
            instance: plan.instance.as_ref().map(ToString::to_string),
            source_type: plan.source_type.clone(),
            edition: plan.edition.clone(),
            name: plan.name.clone(),
            backup_type: rule
                .map_or_else(|| plan.backup_type.clone(), |rule| rule.backup_type.as_str().to_owned()),
            trigger,
            spec: serde_json::to_string(&spec).expect("a spec has text as keys"),
            snapshot: None,
            source_job: None,
            source_instance: None,
            numbers: None,
            expires: self.job_expiry(),
        }
    }

    /// A job of any kind.
    pub async fn job(&self, caller: &Caller, id: &str) -> Result<Option<JobRow>> {
        Ok(self.catalog.job(caller.account, id).await?)
    }

    /// Asks a job to stop. One that has ended is a conflict.
    pub async fn cancel_job(&self, caller: &Caller, kind: JobKind, id: &str) -> Result<JobState> {
        let missing = if kind == JobKind::Backup { Missing::Job } else { Missing::Restore };
        let found = self.catalog.job(caller.account, id).await?.filter(|job| job.kind == kind.as_str());
        found.ok_or_else(|| ServiceError::Missing(missing, id.to_owned()))?;
        let state = self.catalog.cancel_job((caller.account, kind), id, self.now()).await?;
        self.running.cancel(id);
        Ok(state)
    }
}
