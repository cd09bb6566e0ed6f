//! Jobs of every kind.

use jiff::Timestamp;
use lifeboat_model::filter::{JobCondition, Order, TextComparison, TextField};
use lifeboat_model::job::JobKind;
use lifeboat_model::plan::{BackupSpec, RestoreSpec};
use lifeboat_service::{JobFilter, JobRow, Missing, ServiceError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, List, Nothing, list as list_of, refuse};
use crate::alibaba::WireError;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    pub job_id: String,
    /// backup, restore, …
    pub kind: String,
    /// CREATED, QUEUED, RUNNING, CANCELING, or how it has ended: COMPLETE, PARTIAL_COMPLETE, FAILED, CANCELED, EXPIRED,
    /// UNAVAILABLE.
    pub state: String,
    pub is_final: bool,
    /// Of a backup of a database or of Redis that was begun: checking, waiting, preparing, streaming or reading_back; of one
    /// that has ended, the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The database or Redis that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    pub name: String,
    pub vault_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    pub source_type: String,
    /// MANUAL or SCHEDULE.
    pub trigger: String,
    /// Of a backup: what was to be backed up.
    pub paths: Vec<String>,
    /// Of a restore: where to; its original place where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_path: Option<String>,
    /// Of a restore: what of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    /// A word for programs that says why it is not COMPLETE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Parts of ten thousand; 10000 only once it is complete.
    pub progress: u64,
    pub kib_per_second: u64,
    /// Known once all was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
    /// Of a backup: bytes of new and changed files read; of a restore: bytes written.
    pub bytes_done: u64,
    /// Of a backup: bytes new to the vault; of a restore: bytes fetched from it.
    pub bytes_actual: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items_total: Option<u64>,
    pub items_done: u64,
    pub items_actual: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files_total: Option<u64>,
    pub files_done: u64,
    pub files_actual: u64,
    pub created: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<Timestamp>,
    pub updated: Timestamp,
}

pub(super) async fn list(call: &Call<'_>, _: Nothing) -> Result<List<Job>, WireError> {
    list_kind(call, None).await
}

/// Jobs of one kind, or of all.
pub(super) async fn list_kind(call: &Call<'_>, kind: Option<JobKind>) -> Result<List<Job>, WireError> {
    let page = call.page()?;
    let fields =
        [("vault_id", TextField::VaultId), ("plan_id", TextField::PlanId), ("state", TextField::State)];
    let conditions = fields.into_iter().filter_map(|(name, field)| {
        let values = vec![call.text(name)?.to_owned()];
        Some(JobCondition::Text { field, comparison: TextComparison::Equal, values })
    });
    let filter = JobFilter {
        kind,
        source_types: Vec::new(),
        edition: None,
        only_top_level: false,
        conditions: conditions.collect(),
        order: Order::NewestFirst,
    };
    let found = call.service.jobs(&call.caller, &filter, page).await.map_err(|error| refuse(&error))?;
    Ok(list_of(found, page, Job::from))
}

pub(super) async fn show(call: &Call<'_>, _: Nothing) -> Result<Job, WireError> {
    Ok(find(call, "job", |_| true).await?.into())
}

pub(super) async fn cancel(call: &Call<'_>, _: Nothing) -> Result<Job, WireError> {
    cancel_of(call, "job", |kind| kind != JobKind::Restore).await
}

/// The job that the path names, if it is of a kind that is wanted there.
pub(super) async fn find(
    call: &Call<'_>,
    name: &'static str,
    is_wanted: impl Fn(JobKind) -> bool,
) -> Result<JobRow, WireError> {
    let id: String = call.id(name)?;
    let found = call.service.job(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    let found = found.filter(|job| JobKind::parse(&job.kind).is_some_and(is_wanted));
    found.ok_or_else(|| refuse(&ServiceError::Missing(Missing::Job, id)))
}

pub(super) async fn cancel_of(
    call: &Call<'_>,
    name: &'static str,
    is_wanted: impl Fn(JobKind) -> bool,
) -> Result<Job, WireError> {
    let job = find(call, name, is_wanted).await?;
    let kind = JobKind::parse(&job.kind).ok_or_else(WireError::internal)?;
    call.service.cancel_job(&call.caller, kind, &job.id).await.map_err(|error| refuse(&error))?;
    Ok(find(call, name, |_| true).await?.into())
}

impl From<JobRow> for Job {
    fn from(row: JobRow) -> Self {
        let is_of_database = [JobKind::DatabaseBackup, JobKind::DatabaseRestore].map(JobKind::as_str);
        let is_of_database = is_of_database.contains(&row.kind.as_str());
        let backup: Option<BackupSpec> = serde_json::from_str(&row.spec).ok();
        let restore: Option<RestoreSpec> = serde_json::from_str(&row.spec).ok();
        Self {
            job_id: row.id,
            phase: row.phase.map(|phase| phase.as_str().to_owned()),
            resource_id: row.instance.filter(|_| is_of_database),
            is_final: row.state.is_final(),
            state: row.state.as_str().to_owned(),
            name: row.name,
            vault_id: row.vault,
            plan_id: row.plan,
            client_id: row.client,
            source_type: row.source_type,
            trigger: row.trigger,
            paths: backup.map(|spec| spec.files.paths).unwrap_or_default(),
            target_path: restore
                .filter(|_| row.kind == JobKind::Restore.as_str())
                .and_then(|spec| spec.files.target_path),
            kind: row.kind,
            snapshot_id: row.snapshot,
            error_code: row.error_code,
            error_message: row.error_message,
            progress: row.progress,
            kib_per_second: row.speed,
            bytes_total: row.counters.bytes_total,
            bytes_done: row.counters.bytes_done,
            bytes_actual: row.counters.bytes_actual,
            items_total: row.counters.items_total,
            items_done: row.counters.items_done,
            items_actual: row.counters.items_actual,
            files_total: row.counters.files_total,
            files_done: row.counters.files_done,
            files_actual: row.counters.files_actual,
            created: row.created.into(),
            started: row.started.map(Timestamp::from),
            completed: row.completed.map(Timestamp::from),
            updated: row.updated.into(),
        }
    }
}
