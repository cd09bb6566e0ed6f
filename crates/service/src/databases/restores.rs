//! Restores of databases and of Redis as callers ask for them, and what becomes of the resource meanwhile.
//!
//! The resource is held by the job: RESTORING or CREATING as long as that has not ended, whoever began it and whatever
//! became of him. A new server is noted with the end of its job, so a crash before that makes it again.

use std::collections::HashSet;
use std::path::PathBuf;

use lifeboat_catalog::{
    CatalogErrorKind, JobRow, MadeInstance, NewJob, NewResource, ResourceRow, SnapshotRow,
};
use lifeboat_model::database::{DatabaseBackup, DatabaseRestore, DatabaseRestoreTarget, RestoredDatabase};
use lifeboat_model::id::{AccountId, RestoreId, random_characters};
use lifeboat_model::job::{JobKind, Trigger};
use lifeboat_model::resource::{Address, Engine, ResourceId, ResourceState};
use lifeboat_worker::{DatabaseRestoreOrder, MadeServer, VaultAccess, check_key_filter};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::error::Invalid;
use crate::{Caller, Missing, Result, Secret, Service, ServiceError, bridge};

/// A server that is made of a backup; its files are in a folder named after its resource.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct OwnServer {
    pub(crate) port: u16,
    /// Who runs it, of all that share the catalog; nobody yet, while it is being made.
    pub(crate) server: Option<String>,
}

impl Service {
    /// Overwrites a Redis with a set of whatever Redis of the caller's; with a filter only the keys that match.
    pub async fn restore_redis(
        &self,
        caller: &Caller,
        id: &ResourceId,
        (set, filter): (i64, Option<String>),
    ) -> Result<String> {
        let row = self.resource(caller, id).await?;
        if let Some(list) = &filter {
            check_key_filter(list).map_err(|error| {
                let accepted = format!("{error}. It is a list of regular expressions, parted by commas.");
                Invalid::new("filter key", list, accepted)
            })?;
        }
        let found = self.set_to_restore(caller, set, Engine::Redis).await?;
        self.restore_into(&row, (&found, DatabaseRestoreTarget::Keys { filter })).await
    }

    /// Restores databases or tables of a set into the server that it was taken of.
    pub async fn restore_tables(
        &self,
        caller: &Caller,
        id: &ResourceId,
        (set, databases): (i64, Vec<RestoredDatabase>),
    ) -> Result<String> {
        let row = self.resource(caller, id).await?;
        let found = self.backup_set(caller, id, set).await?;
        self.check_server(&row, backup_of(&found)?.method)?;
        self.restore_into(&row, (&found, DatabaseRestoreTarget::Tables(databases))).await
    }

    /// Makes a new server of a set; returns the id of its resource, which is RUNNING when it is there. The same again with
    /// the same token makes none as long as that one is there.
    pub async fn clone_database(
        &self,
        caller: &Caller,
        id: &ResourceId,
        (set, token): (i64, Option<&str>),
    ) -> Result<ResourceId> {
        let row = self.resource(caller, id).await?;
        let found = self.backup_set(caller, id, set).await?;
        let backup = backup_of(&found)?;
        if backup.method != lifeboat_model::database::BackupMethod::Physical {
            let accepted = "A new server is made of a physical set; of a logical one tables can be restored.";
            return Err(Invalid::new("backup id", &set.to_string(), accepted).into());
        }
        self.check_server(&row, backup.method)?;
        let number = match token {
            Some(token) => self.sealer.number_of(&format!("clone {} {id} {set} {token}", row.account)),
            None => self.random.number(),
        };
        let new: ResourceId = format!("rm-{}", random_characters(number))
            .parse()
            .map_err(|_| ServiceError::Strange("an id was made that is none".to_owned()))?;
        let url = self.resource_endpoint(&row)?;
        let instance = serde_json::to_string(&OwnServer::default()).expect("a number is JSON");
        let resource = NewResource {
            id: new.clone(),
            account: row.account,
            engine: row.engine,
            address: Address { host: "127.0.0.1".to_owned(), port: 0, ..row.address.clone() },
            url: self.seal_url(&new, url.expose()),
            is_cluster: false,
            vault: row.vault.clone(),
            instance: Some(instance),
            state: ResourceState::Creating,
        };
        let target = DatabaseRestoreTarget::Instance(new.clone());
        let job = self.job_of_restore(&row, &new, (&found, target))?;
        match self.catalog.insert_resource_with_job(resource, &job, self.now()).await {
            Err(error) if error.kind == CatalogErrorKind::Exists && token.is_some() => return Ok(new),
            inserted => inserted?,
        }
        self.wake.notify_one();
        Ok(new)
    }

    async fn set_to_restore(&self, caller: &Caller, set: i64, engine: Engine) -> Result<SnapshotRow> {
        let found = self.catalog.set_of_number(caller.account, set).await?;
        let is_of_engine = |found: &SnapshotRow| backup_of(found).is_ok_and(|backup| backup.engine == engine);
        let found = found.filter(is_of_engine);
        found.ok_or_else(|| ServiceError::Missing(Missing::BackupSet, set.to_string()))
    }

    async fn restore_into(
        &self,
        row: &ResourceRow,
        (set, target): (&SnapshotRow, DatabaseRestoreTarget),
    ) -> Result<String> {
        if row.state != ResourceState::Running {
            let what =
                format!("{} is {}; it can be restored to when it is RUNNING", row.id, row.state.as_str());
            return Err(ServiceError::Conflict(what));
        }
        let job = self.job_of_restore(row, &row.id, (set, target))?;
        let id = job.id.clone();
        let state = Some(ResourceState::Restoring);
        if !self.catalog.insert_resource_jobs(&row.id, &[job], state, self.now()).await? {
            let what = format!("a backup or a restore of {} is under way", row.id);
            return Err(ServiceError::BackupRuns(what));
        }
        self.wake.notify_one();
        Ok(id)
    }

    fn job_of_restore(
        &self,
        row: &ResourceRow,
        into: &ResourceId,
        (set, target): (&SnapshotRow, DatabaseRestoreTarget),
    ) -> Result<NewJob> {
        let backup = backup_of(set)?;
        let spec =
            DatabaseRestore { resource: row.id.clone(), engine: row.engine, method: backup.method, target };
        Ok(NewJob {
            id: RestoreId::new(self.random.number()).to_string(),
            kind: JobKind::DatabaseRestore,
            account: row.account,
            vault: set.vault.to_string(),
            region: self.region.clone(),
            plan: None,
            parent: None,
            series: Some(into.to_string()),
            policy: None,
            rule: None,
            client: None,
            instance: Some(into.to_string()),
            source_type: row.engine.as_str().to_owned(),
            edition: "STANDARD".to_owned(),
            name: into.to_string(),
            backup_type: set.backup_type.clone(),
            trigger: Trigger::Manual,
            spec: serde_json::to_string(&spec).expect("a spec has text as keys"),
            snapshot: Some(set.id.to_string()),
            source_job: set.job.as_ref().map(ToString::to_string),
            source_instance: set.set.as_ref().map(|set| set.resource.clone()),
            numbers: None,
            expires: self.job_expiry(),
        })
    }

    /// What a restore job has to do.
    pub(crate) async fn database_restore_order(
        &self,
        job: &JobRow,
        vault: VaultAccess,
    ) -> Result<DatabaseRestoreOrder> {
        let strange = || ServiceError::Conflict(format!("the job {} says nothing that makes sense", job.id));
        let restore: DatabaseRestore = serde_json::from_str(&job.spec).map_err(|_| strange())?;
        let gone = || ServiceError::Missing(Missing::Snapshot, job.snapshot.clone().unwrap_or_default());
        let id = job.snapshot.as_deref().and_then(|id| id.parse().ok()).ok_or_else(gone)?;
        let set = self.catalog.snapshot(job.account, &id).await?.ok_or_else(gone)?;
        let sets = self.sets_of_cluster(job.account, &set).await?;
        let no_resource = || ServiceError::Missing(Missing::Resource, restore.resource.to_string());
        let row = self.catalog.resource(job.account, &restore.resource).await?.ok_or_else(no_resource)?;
        if !matches!(restore.target, DatabaseRestoreTarget::Keys { .. }) {
            self.check_server(&row, restore.method)?;
        }
        if !matches!(restore.target, DatabaseRestoreTarget::Instance(_)) {
            self.must_be_here(&row)?;
        }
        let url = self.resource_endpoint(&row)?;
        let endpoint = url.expose().parse().map_err(|_| strange())?;
        // A new server has a folder of its own for ever, a restore of tables one for a while.
        let folder = match &restore.target {
            DatabaseRestoreTarget::Instance(new) => self.instance_root.join(new.as_str()),
            _ => self.instance_root.join(format!(".{}", job.id)),
        };
        let notes = self.notes_of(job);
        let detail = set.set.map(|set| set.detail).unwrap_or_default();
        let workers = crate::dispatch::workers();
        Ok(DatabaseRestoreOrder { vault, snapshots: sets, restore, detail, endpoint, folder, notes, workers })
    }

    fn notes_of(&self, job: &JobRow) -> PathBuf {
        self.instance_root.join(format!(".{}.notes", job.id))
    }

    /// Forgets what attempts at a restore had to tell each other: its end is known.
    pub(crate) async fn forget_notes_of(&self, job: &JobRow) {
        if job.kind != JobKind::DatabaseRestore.as_str() {
            return;
        }
        let notes = self.notes_of(job);
        let removed = bridge::run(move || std::fs::remove_file(notes)).await;
        if let Err(failed) = removed
            && failed.kind() != std::io::ErrorKind::NotFound
        {
            warn!(job.id = %job.id, error = %failed, "cannot remove the notes of job {}", job.id);
        }
    }

    /// The snapshot files of a set; of a cluster those of all nodes.
    async fn sets_of_cluster(&self, account: AccountId, set: &SnapshotRow) -> Result<Vec<String>> {
        let (Some(known), backup) = (&set.set, backup_of(set)?) else { return Ok(vec![set.hash.clone()]) };
        if backup.nodes <= 1 {
            return Ok(vec![set.hash.clone()]);
        }
        let mut all = self.catalog.sets_of_job(account, known.number).await?;
        // A worker that was thought dead may have stored a node again.
        let mut nodes = HashSet::new();
        all.retain(|set| nodes.insert(set.set.as_ref().and_then(|set| set.node.clone())));
        if all.len() as u64 == u64::from(backup.nodes) {
            return Ok(all.into_iter().map(|set| set.hash).collect());
        }
        let what = format!(
            "the cluster had {} nodes when it was backed up, and there are sets of {} of them",
            backup.nodes,
            all.len()
        );
        Err(ServiceError::Conflict(what))
    }

    /// What is to be noted, with the end of a job, of the server that it has made.
    pub(crate) async fn note_of_server(
        &self,
        job: &JobRow,
        made: &MadeServer,
    ) -> Result<Option<(ResourceId, MadeInstance)>> {
        let Ok(restore) = serde_json::from_str::<DatabaseRestore>(&job.spec) else { return Ok(None) };
        let DatabaseRestoreTarget::Instance(new) = restore.target else { return Ok(None) };
        let gone = || ServiceError::Missing(Missing::Resource, new.to_string());
        let row = self.catalog.any_resource(&new).await?.ok_or_else(gone)?;
        let url = self.resource_endpoint(&row)?;
        let url = lifeboat_worker::url_at(url.expose(), made.port).map_err(ServiceError::Source)?;
        let own = OwnServer { port: made.port, server: Some(self.server.clone()) };
        let note = MadeInstance {
            address: Address { host: "127.0.0.1".to_owned(), port: made.port, ..row.address },
            url: self.seal_url(&new, &url),
            instance: serde_json::to_string(&own).expect("a number and a text are JSON"),
            version: made.version.clone(),
        };
        Ok(Some((new, note)))
    }

    fn seal_url(&self, id: &ResourceId, url: &str) -> String {
        self.sealer.seal(&crate::resources::owner(id), Secret::new(url.to_owned()).expose())
    }
}

fn backup_of(set: &SnapshotRow) -> Result<DatabaseBackup> {
    let strange = || ServiceError::Strange(format!("the snapshot {} is no set of a database", set.id));
    set.spec.database.clone().ok_or_else(strange)
}
