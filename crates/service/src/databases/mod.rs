//! Backups of databases and of Redis as callers ask for them: one at a time for each resource, by number.
//!
//! The job is a row before anything is asked of the server, except of a cluster: its shards have to be known, because each
//! is a job of its own.

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
use lifeboat_model::id::JobId;
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
        let jobs = self.jobs_of_backup(&row, &request, Trigger::Manual).await?;
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

    /// The job of a backup; of a cluster a job for each node behind one for all of them.
    pub(crate) async fn jobs_of_backup(
        &self,
        row: &ResourceRow,
        request: &NewDatabaseBackup,
        trigger: Trigger,
    ) -> Result<Vec<NewJob>> {
        self.check_method(row, request.method)?;
        let nodes = if row.is_cluster { self.nodes_of(row).await? } else { Vec::new() };
        let vault = self.vault_of_databases(row).await?;
        let count = nodes.len() as u64 + 2;
        let first = self.catalog.next_numbers(count, self.now()).await?;
        let job = |set: i64, node: Option<DataNode>| {
            let id = JobId::new(self.random.number()).to_string();
            let numbers = JobNumbers { number: first, set, node: node.as_ref().map(|node| node.id.clone()) };
            let nodes = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            let spec = spec_of(row, request, (node, nodes));
            NewJob {
                id,
                kind: JobKind::DatabaseBackup,
                account: row.account,
                vault: vault.to_string(),
                region: self.region.clone(),
                plan: None,
                parent: None,
                series: Some(row.id.to_string()),
                policy: None,
                rule: None,
                client: None,
                instance: Some(row.id.to_string()),
                source_type: row.engine.as_str().to_owned(),
                edition: "STANDARD".to_owned(),
                name: row.id.to_string(),
                backup_type: request.method.as_str().to_owned(),
                trigger,
                spec: serde_json::to_string(&spec).expect("a spec has text as keys"),
                snapshot: None,
                source_job: None,
                source_instance: None,
                numbers: Some(numbers),
                expires: self.job_expiry(),
            }
        };
        let mut jobs = vec![job(first + 1, None)];
        let parent = jobs.first().map(|job| job.id.clone());
        for (set, node) in (first + 2..).zip(nodes.clone()) {
            // Side by side: each node is a series of its own, and the parent stands for all.
            let series = Some(format!("{}/{}", row.id, node.id));
            jobs.push(NewJob { parent: parent.clone(), series, ..job(set, Some(node)) });
        }
        Ok(jobs)
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

fn spec_of(
    row: &ResourceRow,
    request: &NewDatabaseBackup,
    (node, nodes): (Option<DataNode>, u32),
) -> BackupSpec {
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
            node,
            nodes,
        }),
        ..BackupSpec::default()
    }
}
