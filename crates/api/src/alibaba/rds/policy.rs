//! DescribeBackupPolicy, ModifyBackupPolicy: when a database is backed up by itself.
//!
//! Most of what the product can be told has no meaning here, such as logs beside backups: there are none. Such a parameter
//! may say what is so anyway, and is refused otherwise.

use lifeboat_model::database::{BackupMethod, DEFAULT_RETENTION_DAYS};
use serde_json::json;

use super::{instance, refuse};
use crate::alibaba::backups::{PolicyWords, utc_minute, weekdays, window};
use crate::alibaba::{Answer, Call, present};

/// What is so, of what cannot be changed.
const FIXED: [(&str, &[&str]); 22] = [
    ("ArchiveBackupKeepCount", &[]),
    ("ArchiveBackupKeepPolicy", &[]),
    ("ArchiveBackupRetentionPeriod", &["0"]),
    ("BackupInterval", &["-1"]),
    ("BackupLog", &["Disabled"]),
    ("BackupPriority", &[]),
    ("Category", &["Standard"]),
    ("CompressType", &[]),
    ("EnableAdvancedBackupPolicy", &["0"]),
    ("EnableBackupLog", &["0", "False", "false"]),
    ("EnableIncrementDataBackup", &["False", "false"]),
    ("EnablePitrProtection", &["False", "false"]),
    ("HighSpaceUsageProtection", &["Disable"]),
    ("IncBackupInterval", &[]),
    ("LocalLogRetentionHours", &["0"]),
    ("LocalLogRetentionSpace", &["0"]),
    ("LogBackupFrequency", &[]),
    ("LogBackupLocalRetentionNumber", &[]),
    ("LogBackupRetentionPeriod", &["0"]),
    ("ReleasedKeepPolicy", &["All"]),
    ("AdvancedDataPolicies", &[]),
    ("AdvancedLogPolicies", &[]),
];

const OF_DATA: &str = "DataBackupPolicy";
const OF_LOGS: &str = "LogBackupPolicy";

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    call.one_of("BackupPolicyMode", &[OF_DATA, OF_LOGS])?;
    let policy = call.service.database_policy(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    let next = call.service.next_database_backup(&id).await.map_err(|error| refuse(&error))?;
    let policy = policy.as_ref();
    Ok(present(json!({
        "BackupRetentionPeriod": policy.map_or(DEFAULT_RETENTION_DAYS, |policy| policy.retention_days),
        "PreferredBackupTime": policy.map(window),
        "PreferredBackupPeriod": policy.map(weekdays),
        "PreferredNextBackupTime": next.map(utc_minute),
        "BackupMethod": policy.map(|policy| policy.method.as_str()),
        "BackupLog": "Disabled",
        "EnableBackupLog": "0",
        "ReleasedKeepPolicy": "All",
    })))
}

pub(super) async fn modify(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    let mode = call.one_of("BackupPolicyMode", &[OF_DATA, OF_LOGS])?;
    call.fixed(&FIXED)?;
    let methods = BackupMethod::ALL.map(BackupMethod::as_str);
    let method = call.one_of("BackupMethod", &methods)?.and_then(BackupMethod::parse);
    let known = call.service.database_policy(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    if mode != Some(OF_LOGS) {
        let words = PolicyWords { call: &call, known, least_days: 2, is_whole_hour: false };
        let mut policy = words.read()?;
        policy.method = method.unwrap_or(policy.method);
        let set = call.service.set_database_policy(&call.caller, &id, &policy).await;
        set.map_err(|error| refuse(&error))?;
    }
    Ok(json!({ "DBInstanceID": id }))
}
