//! CreateBackup, DescribeBackupTasks: backups that are asked for, and how far they are on each data node.

use lifeboat_service::{DatabaseJobFilter, JobRow, NewDatabaseBackup};
use serde_json::{Value, json};

use super::{instance, node, refuse};
use crate::alibaba::backups::{Stages, mode, percent, retention, task_action};
use crate::alibaba::{Answer, Call, present, utc};

/// What the product's own gateway fills in where something is denied; here, as in its samples, empty.
const INTERNAL: [&str; 7] = [
    "AuthAction",
    "AuthPrincipalDisplayName",
    "AuthPrincipalOwnerId",
    "AuthPrincipalType",
    "EncodedDiagnosticMessage",
    "NoPermissionType",
    "PolicyType",
];

pub(super) async fn create(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    let request = NewDatabaseBackup { retention_days: retention(&call)?, ..NewDatabaseBackup::default() };
    let number = call.service.create_database_backup(&call.caller, &id, request).await;
    Ok(json!({ "BackupJobID": number.map_err(|error| refuse(&error))?.to_string() }))
}

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    let filter = DatabaseJobFilter {
        number: call.number("BackupJobId")?,
        trigger: call.mode("JobMode")?,
        ..DatabaseJobFilter::default()
    };
    let found =
        call.service.database_tasks(&call.caller, &id, filter).await.map_err(|error| refuse(&error))?;
    let rows: Vec<Value> = found.iter().filter_map(view).collect();
    let internal: serde_json::Map<_, _> =
        INTERNAL.map(|name| (name.to_owned(), Value::from(""))).into_iter().collect();
    Ok(json!({ "InstanceId": id, "BackupJobs": rows, "AccessDeniedDetail": internal }))
}

/// A task that has failed is told of by its set.
fn view(job: &JobRow) -> Option<Value> {
    let stages = Stages::of(job);
    let is_begun = stages.task != "NoStart";
    let process = if is_begun { percent(job) } else { "0".to_owned() };
    (stages.task != "Failed").then(|| {
        present(json!({
            "BackupJobID": job.number,
            "NodeId": job.instance.as_deref().map(|id| node(id, job.node.as_deref())),
            "BackupProgressStatus": stages.program,
            "JobMode": mode(&job.trigger),
            "TaskAction": task_action(&job.trigger),
            "Process": process,
            "StartTime": job.started.map(utc),
        }))
    })
}
