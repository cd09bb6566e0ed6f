//! Snapshots that a vault has and the catalog does not: made by restic, or before the catalog was lost. And rows
//! whose file is gone, because somebody has deleted it with restic.
//!
//! Rows are read before files are listed, because a file is there before its row; so a row without a file is one
//! whose file was deleted. Nothing is deleted in a vault here, and what is forgotten by mistake is found again. Ids are
//! those in the snapshot, else made of the vault and the file, so that they are the same whenever it is found.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;

use aws_lc_rs::digest::{SHA256, digest};
use lifeboat_catalog::{BackupSet, JobRow, KnownSnapshot, SnapshotRow, VaultRow};
use lifeboat_model::files::FilesSpec;
use lifeboat_model::id::{ClientId, InstanceId, SnapshotId, VaultId};
use lifeboat_model::plan::{BackupSpec, SourceType};
use lifeboat_model::retention::expiry;
use lifeboat_model::time::Millis;
use lifeboat_worker::{
    Ctx, FoundSnapshot, VaultAccess, is_locked, list_snapshots, read_snapshots, stored_bytes, vault_stamp,
};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::retention::Compared;
use crate::{Result, Service, ServiceError, bridge};

/// Something that was not ready to be told is looked at again after this.
const AGAIN_MILLIS: i64 = 60_000;

/// What a job notes of itself in its snapshot, beside the tags `job=`, `plan=` and `snapshot=`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct About {
    /// A copy of a snapshot in another vault is another snapshot.
    pub(crate) vault: VaultId,
    pub(crate) series: Option<String>,
    pub(crate) client: Option<ClientId>,
    pub(crate) instance: Option<InstanceId>,
    pub(crate) source_type: String,
    pub(crate) backup_type: String,
    pub(crate) spec: BackupSpec,
    pub(crate) created: Millis,
    pub(crate) started: Millis,
    /// Of a database or of Redis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) set: Option<AboutSet>,
}

/// By what the dialects of databases know a backup.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct AboutSet {
    pub(crate) number: i64,
    pub(crate) set_number: i64,
    pub(crate) node: Option<String>,
    pub(crate) trigger: String,
}

impl About {
    pub(crate) fn of(job: &JobRow, vault: &VaultId, spec: &BackupSpec) -> Self {
        Self {
            vault: vault.clone(),
            series: job.series.clone(),
            client: job.client.as_ref().and_then(|id| id.parse().ok()),
            instance: job.instance.as_ref().and_then(|id| id.parse().ok()),
            source_type: job.source_type.clone(),
            backup_type: job.backup_type.clone(),
            spec: spec.clone(),
            created: job.created,
            started: job.started.unwrap_or(job.created),
            set: job.number.zip(job.set_number).map(|(number, set_number)| AboutSet {
                number,
                set_number,
                node: job.node.clone(),
                trigger: job.trigger.clone(),
            }),
        }
    }
}

/// What a look at the files of a vault has shown.
struct Listed {
    /// Files without a row.
    found: Vec<FoundSnapshot>,
    /// Rows without a file.
    gone: Vec<KnownSnapshot>,
    files: Vec<String>,
    is_locked: bool,
    stored_bytes: u64,
}

impl Service {
    /// Brings the catalog's rows of a vault in line with its snapshot files. Cheap where nothing has changed.
    pub(crate) async fn compare(&self, vault: &VaultRow) -> Result<()> {
        let access = self.access_of(vault)?;
        let looked = access.clone();
        let stamp = bridge::run(move || vault_stamp(&looked)).await.map_err(ServiceError::Storage)?;
        let now = self.now();
        let known = self.compared().get(&vault.id).copied();
        if known.is_some_and(|known| known.stamp == stamp && known.again.is_none_or(|again| now < again)) {
            return Ok(());
        }
        let rows = self.catalog.known_snapshots(&vault.id).await?;
        let (looked, known) = (access.clone(), rows.clone());
        let listed = bridge::run(move || list(&looked, &known)).await.map_err(ServiceError::Vault)?;
        let is_settled = self.bring_in_line(vault, (&access, &rows), &listed).await?;
        self.catalog.set_vault_size(&vault.id, listed.stored_bytes).await?;
        self.write_vault_spec(vault, &access).await;
        let again = (!is_settled).then(|| now.plus(AGAIN_MILLIS));
        self.compared().insert(vault.id.clone(), Compared { stamp, again });
        Ok(())
    }

    /// Adds, renames and forgets rows. False when something is still under way.
    async fn bring_in_line(
        &self,
        vault: &VaultRow,
        (access, rows): (&VaultAccess, &[KnownSnapshot]),
        listed: &Listed,
    ) -> Result<bool> {
        let mut gone: HashMap<&SnapshotId, &KnownSnapshot> =
            listed.gone.iter().map(|row| (&row.id, row)).collect();
        let mut is_settled = true;
        for found in &listed.found {
            let origin = gone.values().find(|row| is_made_of(found, row)).copied();
            if let Some(row) = origin {
                self.catalog.rename_snapshot(&row.id, &row.hash, &found.hash).await?;
                gone.remove(&row.id);
            } else if listed.is_locked && rows.iter().any(|row| is_made_of(found, row)) {
                // restic is about to replace the one by the other.
                is_settled = false;
            } else if self.is_job_under_way(found).await? {
                is_settled = false;
            } else {
                self.add_found(vault, found).await?;
            }
        }
        let forgotten: Vec<_> = gone.into_values().filter(|row| !row.is_condemned).collect();
        if forgotten.is_empty() {
            return Ok(is_settled);
        }
        // A listing that somebody adds to and deletes from meanwhile may miss both the new file and the old.
        let looked = access.clone();
        let files = bridge::run(move || list_snapshots(&looked, &Ctx::default())).await;
        if files.map_err(ServiceError::Vault)? != listed.files {
            return Ok(false);
        }
        let ids: Vec<_> = forgotten.iter().map(|row| row.id.clone()).collect();
        warn!(vault.id = %vault.id, snapshots = ids.len(), "snapshots of vault {} were deleted by hand", vault.id);
        self.catalog.forget_snapshots(&vault.id, &ids).await?;
        Ok(is_settled)
    }

    /// Whether the job that made a snapshot is still to say so itself.
    async fn is_job_under_way(&self, found: &FoundSnapshot) -> Result<bool> {
        let Some(job) = found.tag("job") else { return Ok(false) };
        Ok(self.catalog.state_of_job(job).await?.is_some_and(|state| !state.is_final()))
    }

    async fn add_found(&self, vault: &VaultRow, found: &FoundSnapshot) -> Result<()> {
        let own = found.tag("snapshot").and_then(|id| id.parse().ok());
        let derived = derived_id(&vault.id, found.original.as_ref().unwrap_or(&found.hash));
        let copy = derived_id(&vault.id, &found.hash);
        for id in own.into_iter().chain([derived, copy]) {
            let row = row_of(&vault.id, id, found);
            if let Some(set) = &row.set {
                self.catalog.pass_over_numbers(set.number.max(set.set_number)).await?;
            }
            if self.catalog.insert_found(vault.account, &row).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn compared(&self) -> std::sync::MutexGuard<'_, HashMap<VaultId, Compared>> {
        self.upkeep.compared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a file was made of the one of a row, by restic's `tag`.
fn is_made_of(found: &FoundSnapshot, row: &KnownSnapshot) -> bool {
    let original = found.original.as_deref();
    original.is_some_and(|original| row.hash == original || row.original_hash.as_deref() == Some(original))
}

fn list(access: &VaultAccess, rows: &[KnownSnapshot]) -> lifeboat_worker::VaultResult<Listed> {
    let ctx = Ctx::default();
    let files = list_snapshots(access, &ctx)?;
    let known: HashSet<&str> = rows.iter().map(|row| row.hash.as_str()).collect();
    let there: HashSet<&str> = files.iter().map(String::as_str).collect();
    let gone = rows.iter().filter(|row| !there.contains(row.hash.as_str())).cloned().collect();
    let new: Vec<String> = files.iter().filter(|file| !known.contains(file.as_str())).cloned().collect();
    let mut found = Vec::new();
    if !new.is_empty() {
        let (read, unreadable) = read_snapshots(access, &new, &ctx)?;
        for (hash, error) in unreadable {
            warn!(snapshot.hash = hash, error = %bridge::chain(&error), "cannot read snapshot {hash}");
        }
        found = read;
        // Those that were made of others come after these, whose ids they may bear.
        found.sort_by_key(|snapshot| snapshot.original.is_some());
    }
    let is_locked = is_locked(access, &ctx)?;
    let stored_bytes = stored_bytes(access, &ctx)?;
    Ok(Listed { found, gone, files, is_locked, stored_bytes })
}

/// The same for the same file, whenever it is found.
fn derived_id(vault: &VaultId, hash: &str) -> SnapshotId {
    let digest = digest(&SHA256, format!("{vault}/{hash}").as_bytes());
    let bits = digest.as_ref().first_chunk().copied().unwrap_or_default();
    SnapshotId::new(u128::from_be_bytes(bits))
}

/// What a file tells of its snapshot. Of one that restic made that is not much.
fn row_of(vault: &VaultId, id: SnapshotId, found: &FoundSnapshot) -> SnapshotRow {
    let about = found.about.clone().and_then(|about| serde_json::from_value::<About>(about).ok());
    let about = about.filter(|about| about.vault == *vault);
    // One that restic has rewritten holds something else than was counted.
    let counters = found.counters.filter(|_| about.is_some() && found.original.is_none());
    let spec = about.as_ref().map_or_else(|| spec_of(found), |about| about.spec.clone());
    let days = spec.retention_days;
    let set = about.as_ref().and_then(|about| set_of(found, about));
    SnapshotRow {
        id,
        vault: vault.clone(),
        hash: found.hash.clone(),
        original_hash: found.original.clone(),
        parent_hash: found.parent.clone(),
        job: found.tag("job").and_then(|id| id.parse().ok()),
        plan: found.tag("plan").and_then(|id| id.parse().ok()),
        series: about.as_ref().and_then(|about| about.series.clone()),
        client: about.as_ref().and_then(|about| about.client.clone()),
        instance: about.as_ref().and_then(|about| about.instance.clone()),
        source_type: about
            .as_ref()
            .map_or_else(|| SourceType::File.as_str().to_owned(), |about| about.source_type.clone()),
        backup_type: about.as_ref().map_or_else(|| "COMPLETE".to_owned(), |about| about.backup_type.clone()),
        state: if found.is_partial { "PARTIAL_COMPLETE" } else { "COMPLETE" }.to_owned(),
        keep_latest: spec.keep_latest,
        spec,
        error_file: None,
        bytes_total: counters.map(|counters| counters.bytes_total.unwrap_or(counters.bytes_done)),
        bytes_done: counters.map(|counters| counters.bytes_done),
        bytes_actual: counters.map(|counters| counters.bytes_actual),
        items_total: counters.map(|counters| counters.items_total.unwrap_or(counters.items_done)),
        items_done: counters.map(|counters| counters.items_done),
        items_actual: counters.map(|counters| counters.items_actual),
        retention_days: days.map(u64::from),
        created: about.as_ref().map(|about| about.created),
        started: about.as_ref().map_or(found.started, |about| about.started),
        completed: found.ended,
        expires: days.map(|days| expiry(found.ended, days)),
        set,
    }
}

fn set_of(found: &FoundSnapshot, about: &About) -> Option<BackupSet> {
    let set = about.set.as_ref()?;
    Some(BackupSet {
        resource: about.spec.database.as_ref()?.resource.to_string(),
        number: set.number,
        set_number: set.set_number,
        node: set.node.clone(),
        trigger: set.trigger.clone(),
        detail: found.detail.clone().unwrap_or_default(),
    })
}

fn spec_of(found: &FoundSnapshot) -> BackupSpec {
    let (paths, exclude) = (found.paths.clone(), found.excludes.clone());
    BackupSpec { files: FilesSpec { paths, exclude, ..FilesSpec::default() }, ..BackupSpec::default() }
}
