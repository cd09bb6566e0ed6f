//! CreateBackup, DescribeBackupTasks: backups that are asked for, and how far they are.

use lifeboat_model::database::BackupMethod;
use lifeboat_service::{DatabaseJobFilter, JobRow, NewDatabaseBackup, RunningFilter};
use serde_json::{Value, json};

use super::{client_token, instance, refuse};
use crate::alibaba::backups::{Stages, mode, percent, retention, task_action};
use crate::alibaba::{Answer, Call, WireError, present};

const MOST_DATABASES: usize = 1000;

pub(super) async fn create(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    call.fixed(&[("BackupType", &["Auto", "FullBackup"])])?;
    let method = method(&call)?;
    let request =
        NewDatabaseBackup { method, databases: databases(&call)?, retention_days: retention(&call)? };
    let number = call.service.create_database_backup(&call.caller, &id, request).await;
    Ok(json!({ "BackupJobId": number.map_err(|error| refuse(&error))?.to_string() }))
}

fn method(call: &Call<'_>) -> Result<BackupMethod, WireError> {
    let Some(text) = call.params.text("BackupMethod") else { return Ok(BackupMethod::Physical) };
    BackupMethod::parse(text).ok_or_else(|| {
        let what =
            format!("The value {text:?} of BackupMethod is not supported. It must be Physical or Logical.");
        WireError::bad_request("InvalidBackupMethod.ValueNotSupport", what)
    })
}

/// The databases of a backup that is made of some alone.
fn databases(call: &Call<'_>) -> Result<Vec<String>, WireError> {
    let strategy = call.one_of("BackupStrategy", &["db", "instance"])?;
    let text = call.params.text("DBName");
    let names: Vec<String> = text.into_iter().flat_map(|text| text.split(',')).map(str::to_owned).collect();
    match (strategy, text) {
        (Some("db"), None) => Err(WireError::missing("DBName")),
        (None | Some("instance"), Some(text)) => {
            Err(WireError::invalid("DBName", text, "It goes with the BackupStrategy db."))
        }
        (_, Some(text)) if names.len() > MOST_DATABASES || names.iter().any(String::is_empty) => {
            let accepted = format!("It must be 1 to {MOST_DATABASES} names, joined by commas.");
            Err(WireError::invalid("DBName", text, accepted))
        }
        _ => Ok(names),
    }
}

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    client_token(&call)?;
    let number = call.number("BackupJobId")?;
    let running = match call.one_of("BackupJobStatus", &["NoStart", "Progressing"])? {
        Some("NoStart") => Some(RunningFilter::Waits),
        Some(_) => Some(RunningFilter::Runs),
        None => None,
    };
    let filter = DatabaseJobFilter {
        number,
        trigger: call.mode("BackupMode")?,
        running,
        ..DatabaseJobFilter::default()
    };
    let found =
        call.service.database_tasks(&call.caller, &id, filter).await.map_err(|error| refuse(&error))?;
    let rows: Vec<Value> = found.iter().map(|job| view(job, number.is_some())).collect();
    Ok(json!({ "Items": { "BackupJob": rows } }))
}

/// The set of a job is told to who asks for that job, once it is there.
fn view(job: &JobRow, is_named: bool) -> Value {
    let stages = Stages::of(job);
    let is_begun = stages.task != "NoStart";
    let set = job.set_number.filter(|_| is_named && stages.task == "Finished");
    present(json!({
        "BackupJobId": job.number,
        "BackupId": set.map(|number| number.to_string()),
        "BackupProgressStatus": stages.program,
        "BackupStatus": stages.task,
        "JobMode": mode(&job.trigger),
        "TaskAction": task_action(&job.trigger),
        "Process": is_begun.then(|| percent(job)),
    }))
}
