//! DescribeBackups, DeleteBackup, ModifyBackupExpireTime: the backup sets of a Redis server, one for each data node.

use lifeboat_model::resource::Engine;
use lifeboat_service::{JobRow, SetFilter, SetRequest, SetRow, SnapshotRow};
use serde_json::{Value, json};

use super::{instance, node, refuse, refuse_set};
use crate::alibaba::backups::{mode, moment, utc_minute};
use crate::alibaba::rds::major;
use crate::alibaba::{Answer, Call, WireError, present, utc};

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    call.one_of("PageSize", &["30", "50", "100", "200", "300"])?;
    let page = call.page_of(300)?;
    let filter = SetFilter {
        set_number: call.number("BackupId")?,
        number: call.number("BackupJobId")?,
        ..within(&call)?
    };
    let found = call.service.backup_sets(&call.caller, &id, &filter, page).await;
    let found = found.map_err(|error| refuse(&error))?;
    let rows: Vec<Value> = found
        .rows
        .iter()
        .map(|row| match row {
            SetRow::Good(set) => good(set),
            SetRow::Failed(job) => failed(job),
        })
        .collect();
    Ok(json!({
        "PageNumber": page.number,
        "PageSize": page.size,
        "TotalCount": found.total,
        "Backups": { "Backup": rows },
    }))
}

/// StartTime and EndTime, which must be there.
pub(super) fn within(call: &Call<'_>) -> Result<SetFilter, WireError> {
    let [from, to] = ["StartTime", "EndTime"]
        .map(|name| moment(&call.params, name)?.map(Some).ok_or_else(|| WireError::missing(name)));
    Ok(SetFilter { from: from?, to: to?, ..SetFilter::default() })
}

fn good(row: &SnapshotRow) -> Value {
    let Some(set) = &row.set else { return json!({}) };
    let version = Some(&set.detail.engine_version).filter(|version| !version.is_empty());
    present(json!({
        "BackupId": set.set_number,
        "BackupJobID": set.number,
        "NodeInstanceId": node(&set.resource, set.node.as_deref()),
        "BackupStatus": "Success",
        "BackupType": "FullBackup",
        "BackupMode": mode(&set.trigger),
        "BackupMethod": "Physical",
        "BackupDBNames": "all",
        "BackupStartTime": utc(row.started),
        "BackupEndTime": utc(row.completed),
        "BackupSize": row.bytes_total,
        "EngineVersion": version.map(|version| major(Engine::Redis, version)),
        "ExpectExpireTime": row.expires.map(utc_minute),
    }))
}

/// A backup that has made no set. It has the number that its set would have had.
fn failed(job: &JobRow) -> Value {
    present(json!({
        "BackupId": job.set_number,
        "BackupJobID": job.number,
        "NodeInstanceId": job.instance.as_deref().map(|id| node(id, job.node.as_deref())),
        "BackupStatus": "Failed",
        "BackupType": "FullBackup",
        "BackupMode": mode(&job.trigger),
        "BackupMethod": "Physical",
        "BackupDBNames": "all",
        "BackupStartTime": utc(job.started.unwrap_or(job.created)),
        "BackupEndTime": job.completed.map(utc),
    }))
}

pub(super) async fn delete(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    let request = SetRequest { numbers: call.set_numbers()?, only_manual: true };
    let deleted = call.service.delete_backup_sets(&call.caller, &id, &request).await;
    deleted.map_err(|error| refuse_set(&error))?;
    Ok(json!({}))
}

pub(super) async fn extend(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    let number = call.number("BackupId")?.ok_or_else(|| WireError::missing("BackupId"))?;
    let until =
        moment(&call.params, "ExpectExpireTime")?.ok_or_else(|| WireError::missing("ExpectExpireTime"))?;
    let extended = call.service.extend_backup_set(&call.caller, &id, number, until).await;
    extended.map_err(|error| refuse_set(&error))?;
    Ok(json!({}))
}
