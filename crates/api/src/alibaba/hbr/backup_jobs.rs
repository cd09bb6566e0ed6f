//! CreateBackupJob, DescribeBackupJobs2, CancelBackupJob.

use lifeboat_model::filter::{JobCondition, Order, TextField};
use lifeboat_model::job::JobKind;
use lifeboat_model::plan::BackupSpec;
use lifeboat_service::{JobFilter, JobRow};
use serde_json::{Value, json};

use super::filters::{BACKUP_KEYS, conditions};
use super::{cross_accounts, error_message, nothing, paged, present, refuse, report};
use crate::alibaba::{Answer, Call, WireError};

/// One-off jobs are for whole instances, which are not built yet; files are backed up through plans and policies.
pub(super) async fn create(call: Call<'_>) -> Answer {
    let source_type = call.params.required("SourceType")?;
    let accepted = "One-off jobs of files are not accepted: make a plan, and run it with ExecuteBackupPlan.";
    Err(WireError::invalid("SourceType", source_type, accepted))
}

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let params = &call.params;
    let page = call.page()?;
    let source_type = call.source_type()?;
    let order = match params.text("SortDirection") {
        None | Some("DESCEND") => Order::NewestFirst,
        Some("ASCEND") => Order::OldestFirst,
        Some(other) => {
            return Err(WireError::invalid("SortDirection", other, "It must be ASCEND or DESCEND."));
        }
    };
    let edition = call.edition()?;
    let conditions = conditions(params, BACKUP_KEYS)?;
    let is_of = |wanted: TextField| move |condition: &JobCondition| matches!(condition, JobCondition::Text { field, .. } if *field == wanted);
    let names_parent = conditions.iter().any(is_of(TextField::ParentId));
    if source_type == Some("UDM_ECS_DISK") && !names_parent {
        let what = "The source type UDM_ECS_DISK needs a filter with the key ParentId.";
        return Err(WireError::bad_request("MissingFilters", what));
    }
    let filter = JobFilter {
        kind: Some(JobKind::Backup),
        source_types: source_type.map(str::to_owned).into_iter().collect(),
        edition: Some(edition.to_owned()),
        only_top_level: !names_parent,
        conditions,
        order,
    };
    let found = call.service.jobs(&call.caller, &filter, page).await.map_err(|error| refuse(&error))?;
    let rows: Vec<_> = found.rows.iter().map(view).collect();
    Ok(paged(json!({ "BackupJobs": { "BackupJob": rows } }), page, found.total))
}

fn view(job: &JobRow) -> Value {
    let spec: Option<BackupSpec> = serde_json::from_str(&job.spec).ok();
    let spec = spec.as_ref();
    let cross = spec.and_then(|spec| spec.cross.as_ref());
    let list = |patterns: &[String]| (!patterns.is_empty()).then(|| json!(patterns).to_string());
    present(json!({
        "JobId": job.id,
        "JobName": job.name,
        "Status": job.state.as_str(),
        "ErrorMessage": error_message(job),
        "Report": report(job),
        "PlanId": job.plan,
        "VaultId": job.vault,
        "SourceType": job.source_type,
        "BackupType": job.backup_type,
        "ClientId": job.client,
        "InstanceId": job.instance,
        "Paths": { "Path": spec.map(|spec| spec.files.paths.clone()).unwrap_or_default() },
        "Include": spec.and_then(|spec| list(&spec.files.include)),
        "Exclude": spec.and_then(|spec| list(&spec.files.exclude)),
        "Options": spec.and_then(|spec| spec.options.clone()),
        "SpeedLimit": spec.and_then(|spec| spec.speed_limit.clone()),
        "BytesTotal": job.counters.bytes_total,
        "BytesDone": job.counters.bytes_done,
        "ActualBytes": job.counters.bytes_actual,
        "ItemsTotal": job.counters.items_total,
        "ItemsDone": job.counters.items_done,
        "ActualItems": job.counters.items_actual,
        "FilesTotal": job.counters.files_total,
        "FilesDone": job.counters.files_done,
        "ActualFiles": job.counters.files_actual,
        "Progress": job.progress,
        "Speed": job.speed,
        "CreatedTime": job.created.seconds(),
        "StartTime": job.started.map(|time| time.seconds()),
        "CompleteTime": job.completed.map(|time| time.seconds()),
        "UpdatedTime": job.updated.seconds(),
        "CrossAccountType": cross_accounts::kind(cross),
        "CrossAccountUserId": cross.map(|cross| cross.account.number()),
        "CrossAccountRoleName": cross.map(|cross| cross.role.as_str()),
        "TriggerMode": job.trigger,
    }))
}

pub(super) async fn cancel(call: Call<'_>) -> Answer {
    let id = call.params.required("JobId")?;
    call.service.cancel_job(&call.caller, JobKind::Backup, id).await.map_err(|error| refuse(&error))?;
    Ok(nothing())
}
