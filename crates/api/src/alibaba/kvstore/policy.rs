//! DescribeBackupPolicy, ModifyBackupPolicy: when a Redis server is backed up by itself.

use lifeboat_model::database::DEFAULT_RETENTION_DAYS;
use serde_json::json;

use super::{instance, refuse};
use crate::alibaba::backups::{PolicyWords, utc_minute, weekdays, window};
use crate::alibaba::{Answer, Call, present};

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    let policy = call.service.database_policy(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    let next = call.service.next_database_backup(&id).await.map_err(|error| refuse(&error))?;
    let policy = policy.as_ref();
    let days = policy.map_or(DEFAULT_RETENTION_DAYS, |policy| policy.retention_days);
    Ok(present(json!({
        "BackupRetentionPeriod": days.to_string(),
        "PreferredBackupTime": policy.map(window),
        "PreferredBackupPeriod": policy.map(weekdays),
        "PreferredNextBackupTime": next.map(utc_minute),
        "EnableBackupLog": 0,
    })))
}

pub(super) async fn modify(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    call.params.required("PreferredBackupTime")?;
    call.params.required("PreferredBackupPeriod")?;
    call.fixed(&[("EnableBackupLog", &["0"])])?;
    let known = call.service.database_policy(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    let policy = PolicyWords { call: &call, known, least_days: 1, is_whole_hour: true }.read()?;
    let set = call.service.set_database_policy(&call.caller, &id, &policy).await;
    set.map_err(|error| refuse(&error))?;
    Ok(json!({}))
}
