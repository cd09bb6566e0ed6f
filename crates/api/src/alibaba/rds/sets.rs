//! DescribeBackups, DeleteBackup: the backup sets of a database.

use std::collections::BTreeMap;

use lifeboat_model::filter::Page;
use lifeboat_model::resource::Engine;
use lifeboat_service::{JobRow, ServiceError, SetFilter, SetRequest, SetRow, SnapshotRow};
use serde_json::{Value, json};

use super::instances::{major, name};
use super::{instance, refuse, refuse_set};
use crate::alibaba::backups::{mode, moment, utc_minute};
use crate::alibaba::{Answer, Call, WireError, present, utc};

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    call.one_of("PageSize", &["30", "50", "100"])?;
    let page = call.page_of(100)?;
    let filter = filter(&call)?;
    // What this server makes is full.
    let is_full =
        call.one_of("BackupType", &["FullBackup", "IncrementalBackup"])? != Some("IncrementalBackup");
    let asked = if is_full { page } else { Page { number: u32::MAX, ..page } };
    let found = call.service.backup_sets(&call.caller, &id, &filter, asked).await;
    let found = found.map_err(|error| refuse(&error))?;
    let vaults = deletable(&call, &found.rows).await?;
    let rows: Vec<Value> = found
        .rows
        .iter()
        .map(|row| match row {
            SetRow::Good(set) => good(set, vaults.get(set.vault.as_str()) == Some(&true)),
            SetRow::Failed(job) => failed(job),
        })
        .collect();
    let total = if is_full { found.total } else { 0 };
    // Texts, as this operation has always sent them.
    Ok(json!({
        "PageNumber": page.number.to_string(),
        "PageRecordCount": rows.len().to_string(),
        "TotalRecordCount": total.to_string(),
        "Items": { "Backup": rows },
    }))
}

fn filter(call: &Call<'_>) -> Result<SetFilter, WireError> {
    let status = call.one_of("BackupStatus", &["Success", "Failed"])?;
    Ok(SetFilter {
        set_number: call.number("BackupId")?,
        number: None,
        trigger: call.mode("BackupMode")?,
        is_good: status.map(|status| status == "Success"),
        from: moment(&call.params, "StartTime")?,
        to: moment(&call.params, "EndTime")?,
    })
}

/// Whether what is in the vaults of sets may be deleted. A vault that is just being deleted has nothing to ask for.
async fn deletable(call: &Call<'_>, rows: &[SetRow]) -> Result<BTreeMap<String, bool>, WireError> {
    let mut vaults = BTreeMap::new();
    for row in rows {
        let SetRow::Good(set) = row else { continue };
        if !vaults.contains_key(set.vault.as_str()) {
            let is_deletable = match call.service.vault(&call.caller, &set.vault).await {
                Ok(vault) => !vault.is_worm,
                Err(ServiceError::Missing(..)) => false,
                Err(error) => return Err(refuse(&error)),
            };
            vaults.insert(set.vault.to_string(), is_deletable);
        }
    }
    Ok(vaults)
}

fn good(row: &SnapshotRow, is_deletable: bool) -> Value {
    let Some(set) = &row.set else { return json!({}) };
    let detail = &set.detail;
    let version = Some(&detail.engine_version).filter(|version| !version.is_empty());
    let engine = Engine::parse(&row.source_type);
    present(json!({
        "BackupId": set.set_number.to_string(),
        "DBInstanceId": set.resource,
        "BackupStatus": "Success",
        "BackupType": "FullBackup",
        "BackupMode": mode(&set.trigger),
        "BackupInitiator": initiator(&set.trigger),
        "BackupMethod": row.backup_type,
        "BackupStartTime": utc(row.started),
        "BackupEndTime": utc(row.completed),
        "BackupSize": row.bytes_total,
        "ConsistentTime": detail.consistent_at,
        "Checksum": Some(&detail.checksum).filter(|checksum| !checksum.is_empty()),
        "Engine": engine.map(name),
        "EngineVersion": engine.zip(version).map(|(engine, version)| major(engine, version)),
        "ExpectExpireTime": row.expires.map(utc_minute),
        "IsAvail": 1,
        "StoreStatus": if is_deletable { "Enabled" } else { "Disabled" },
    }))
}

/// A backup that has made no set. It has the number that its set would have had.
fn failed(job: &JobRow) -> Value {
    present(json!({
        "BackupId": job.set_number.map(|number| number.to_string()),
        "DBInstanceId": job.instance,
        "BackupStatus": "Failed",
        "BackupType": "FullBackup",
        "BackupMode": mode(&job.trigger),
        "BackupInitiator": initiator(&job.trigger),
        "BackupMethod": job.backup_type,
        "BackupStartTime": utc(job.started.unwrap_or(job.created)),
        "BackupEndTime": job.completed.map(utc),
        "Engine": Engine::parse(&job.source_type).map(name),
        "IsAvail": 0,
    }))
}

fn initiator(trigger: &str) -> &'static str {
    if mode(trigger) == "Automated" { "System" } else { "User" }
}

pub(super) async fn delete(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    let request = SetRequest { numbers: call.set_numbers()?, only_manual: false };
    let deleted = call.service.delete_backup_sets(&call.caller, &id, &request).await;
    deleted.map_err(|error| refuse_set(&error))?;
    Ok(json!({}))
}
