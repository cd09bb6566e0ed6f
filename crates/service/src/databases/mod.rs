//! Backups of databases and of Redis as callers ask for them: one at a time for each resource, by number.
//!
//! The job is a row before anything is asked of the server, except of a cluster that a caller wants backed up: its shards
//! have to be known, because each is a job of its own. A cluster whose time has come gets one job, which finds the shards
//! and then stands for theirs; a crash between leaves that one job, to be begun again.

mod local;
mod policy;
mod restores;
mod servers;
mod sets;
mod vault;

use lifeboat_catalog::{DatabaseJobFilter, JobNumbers, JobRow, NewJob, ResourceRow};
use lifeboat_model::database::{
    BackupMethod, DEFAULT_RETENTION_DAYS, DataNode, DatabaseBackup, DatabasePolicy,
};
use lifeboat_model::id::{AccountId, JobId};
use lifeboat_model::job::{JobKind, Trigger};
use lifeboat_model::plan::{BackupSpec, MOST_RETENTION_DAYS};
use lifeboat_model::resource::{Engine, ResourceId, ResourceState};
use lifeboat_worker::{Ctx, data_nodes};

pub use self::sets::SetRequest;
use crate::error::Invalid;
use crate::running::millis;
use crate::{Caller, Result, Service, ServiceError, bridge};

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// A backup to be made now.
#[derive(Clone, Debug, Default)]
pub struct NewDatabaseBackup {
    pub method: BackupMethod,
    /// Of a logical backup: these alone.
    pub databases: Vec<String>,
    /// As the resource's policy says where none is given.
    pub retention_days: Option<u32>,
}

impl Service {
    /// Makes a backup of a resource now; returns the number by which it is followed.
    pub async fn create_database_backup(
        &self,
        caller: &Caller,
        id: &ResourceId,
        request: NewDatabaseBackup,
    ) -> Result<i64> {
        let row = self.resource(caller, id).await?;
        self.check_backup(&row, &request)?;
        let exists = || ServiceError::BackupRuns(format!("a backup or a restore of {id} is under way"));
        if self.catalog.is_resource_busy(id).await? {
            return Err(exists());
        }
        let most = self.limits.database_backups_a_day;
        let day_ago = self.now().plus(-DAY_MILLIS);
        if self.catalog.count_database_jobs((caller.account, id), day_ago).await? >= most {
            let what =
                format!("{id} was backed up by hand {most} times in the last 24 hours, which is the most");
            return Err(ServiceError::Quota(what));
        }
        let jobs = self.jobs_of_request(&row, &request).await?;
        if !self.catalog.insert_resource_jobs(id, &jobs, None, self.now()).await? {
            return Err(exists());
        }
        self.wake.notify_one();
        Ok(jobs.first().and_then(|job| job.numbers.as_ref()).map_or(0, |numbers| numbers.number))
    }

    fn check_backup(&self, row: &ResourceRow, request: &NewDatabaseBackup) -> Result<()> {
        if row.state != ResourceState::Running {
            let what =
                format!("{} is {}; it can be backed up when it is RUNNING", row.id, row.state.as_str());
            return Err(ServiceError::Conflict(what));
        }
        if request.method == BackupMethod::Logical && row.engine == Engine::Redis {
            return Err(Invalid::new("backup method", "Logical", "Redis is backed up whole.").into());
        }
        if request.method == BackupMethod::Physical
            && let Some(name) = request.databases.first()
        {
            let accepted = "Databases are named only in a logical backup; a physical one is of all of them.";
            return Err(Invalid::new("database", name, accepted).into());
        }
        match request.retention_days {
            Some(days) if !(1..=MOST_RETENTION_DAYS).contains(&days) => {
                let accepted = format!("It must be a number of days from 1 to {MOST_RETENTION_DAYS}.");
                Err(Invalid::new("retention period", &days.to_string(), accepted).into())
            }
            _ => Ok(()),
        }
    }

    /// What the jobs of a new backup have in common.
    async fn family(
        &self,
        row: &ResourceRow,
        request: &NewDatabaseBackup,
        trigger: Trigger,
    ) -> Result<Family> {
        self.check_method(row, request.method)?;
        let vault = self.vault_of_databases(row).await?.to_string();
        let number = self.catalog.next_numbers(2, self.now()).await?;
        Ok(Family { account: row.account, vault, trigger, number, spec: spec_of(row, request) })
    }

    /// The jobs of a backup that is asked for now; of a cluster a job for each node behind one for all of them.
    async fn jobs_of_request(&self, row: &ResourceRow, request: &NewDatabaseBackup) -> Result<Vec<NewJob>> {
        let nodes = if row.is_cluster { self.nodes_of(row).await? } else { Vec::new() };
        let family = self.family(row, request, Trigger::Manual).await?;
        let parent = self.job_of(&family, family.number + 1);
        let children = self.jobs_of_nodes(&family, &parent.id, nodes).await?;
        Ok([vec![parent], children].concat())
    }

    /// The job of a run. Nobody is asked for it, so that nobody who is silent keeps other runs from being started: what
    /// a cluster is made of the job finds out itself.
    pub(crate) async fn job_of_schedule(
        &self,
        row: &ResourceRow,
        request: &NewDatabaseBackup,
    ) -> Result<NewJob> {
        let family = self.family(row, request, Trigger::Schedule).await?;
        Ok(self.job_of(&family, family.number + 1))
    }

    /// Puts a job for each node of a cluster in the place of the one that has found them; false when that is not to go on.
    pub(crate) async fn split_backup(
        &self,
        (job, fence): (&JobRow, i64),
        nodes: Vec<DataNode>,
    ) -> Result<bool> {
        let strange = || ServiceError::Conflict(format!("the job {} says nothing that makes sense", job.id));
        let family = Family::of(job).ok_or_else(strange)?;
        let children = self.jobs_of_nodes(&family, &job.id, nodes).await?;
        Ok(self.catalog.split_job((&job.id, fence), &children, self.now()).await?)
    }

    async fn jobs_of_nodes(
        &self,
        family: &Family,
        parent: &str,
        nodes: Vec<DataNode>,
    ) -> Result<Vec<NewJob>> {
        if nodes.is_empty() {
            return Ok(Vec::new());
        }
        let count = nodes.len() as u64;
        let first = self.catalog.next_numbers(count, self.now()).await?;
        let job = |(set, node): (i64, DataNode)| {
            let own = family.of_node(node, u32::try_from(count).unwrap_or(u32::MAX));
            NewJob { parent: Some(parent.to_owned()), ..self.job_of(&own, set) }
        };
        Ok((first..).zip(nodes).map(job).collect())
    }

    fn job_of(&self, family: &Family, set: i64) -> NewJob {
        let backup = family.spec.database.as_ref().expect("the spec is of a database");
        let (id, node) = (backup.resource.to_string(), backup.node.as_ref().map(|node| node.id.clone()));
        // Side by side: each node is a series of its own, and the parent stands for all.
        let series = node.as_ref().map_or_else(|| id.clone(), |node| format!("{id}/{node}"));
        NewJob {
            id: JobId::new(self.random.number()).to_string(),
            kind: JobKind::DatabaseBackup,
            account: family.account,
            vault: family.vault.clone(),
            region: self.region.clone(),
            plan: None,
            parent: None,
            series: Some(series),
            policy: None,
            rule: None,
            client: None,
            instance: Some(id.clone()),
            source_type: backup.engine.as_str().to_owned(),
            edition: "STANDARD".to_owned(),
            name: id,
            backup_type: backup.method.as_str().to_owned(),
            trigger: family.trigger,
            spec: serde_json::to_string(&family.spec).expect("a spec has text as keys"),
            snapshot: None,
            source_job: None,
            source_instance: None,
            numbers: Some(JobNumbers { number: family.number, set, node }),
            expires: self.job_expiry(),
        }
    }

    async fn nodes_of(&self, row: &ResourceRow) -> Result<Vec<DataNode>> {
        let url = self.resource_endpoint(row)?;
        let asked = bridge::run(move || data_nodes(url.expose(), &Ctx::default())).await;
        asked.map_err(ServiceError::Source)
    }

    /// The backups of a resource that are under way or ended not long ago; of a cluster one for each node.
    pub async fn database_tasks(
        &self,
        caller: &Caller,
        id: &ResourceId,
        filter: DatabaseJobFilter,
    ) -> Result<Vec<JobRow>> {
        self.resource(caller, id).await?;
        let kept = self.now().plus(-millis(self.limits.tasks_kept));
        let filter = DatabaseJobFilter { ended_since: Some(kept), ..filter };
        Ok(self.catalog.database_jobs((caller.account, id), &filter).await?)
    }
}

/// What the jobs of one backup have in common.
#[derive(Clone)]
struct Family {
    account: AccountId,
    vault: String,
    trigger: Trigger,
    number: i64,
    /// Of a database.
    spec: BackupSpec,
}

impl Family {
    /// That of a job that was claimed.
    fn of(job: &JobRow) -> Option<Self> {
        let spec = serde_json::from_str::<BackupSpec>(&job.spec).ok()?;
        spec.database.as_ref()?;
        let trigger = Trigger::parse(&job.trigger)?;
        Some(Self { account: job.account, vault: job.vault.clone(), trigger, number: job.number?, spec })
    }

    fn of_node(&self, node: DataNode, nodes: u32) -> Self {
        let mut family = self.clone();
        if let Some(backup) = &mut family.spec.database {
            (backup.node, backup.nodes) = (Some(node), nodes);
        }
        family
    }
}

fn spec_of(row: &ResourceRow, request: &NewDatabaseBackup) -> BackupSpec {
    let policy = row.policy.as_deref().and_then(|policy| serde_json::from_str::<DatabasePolicy>(policy).ok());
    let days = request.retention_days.or(policy.map(|policy| policy.retention_days));
    BackupSpec {
        retention_days: Some(days.unwrap_or(DEFAULT_RETENTION_DAYS)),
        // While newer ones fail, the last good one stays.
        keep_latest: true,
        database: Some(DatabaseBackup {
            resource: row.id.clone(),
            engine: row.engine,
            method: request.method,
            databases: request.databases.clone(),
            node: None,
            nodes: 0,
        }),
        ..BackupSpec::default()
    }
}

#[cfg(test)]
mod tests;
