//! CreateRestoreJob, DescribeRestoreJobs2, CancelRestoreJob.

use lifeboat_model::files::{ConflictPolicy, FilesRestoreSpec, check_patterns};
use lifeboat_model::filter::{JobCondition, Order, TextComparison, TextField};
use lifeboat_model::id::{ClientId, InstanceId};
use lifeboat_model::job::{JobKind, JobState};
use lifeboat_model::plan::{Place, RestoreSpec, SourceType};
use lifeboat_service::{JobFilter, JobRow, NewRestore};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::files::patterns;
use super::filters::{RESTORE_KEYS, conditions};
use super::plans::source_type;
use super::{cross_accounts, error_message, nothing, paged, present, refuse, report};
use crate::alibaba::{Answer, Call, WireError};

/// All documented types; those not built yet match nothing.
const RESTORE_TYPES: [&str; 12] = [
    "ECS_FILE",
    "OSS",
    "NAS",
    "COMMON_FILE_SYSTEM",
    "OTS_TABLE",
    "UDM_ECS",
    "UDM_ECS_DISK",
    "UDM_ECS_ROLLBACK",
    "UDM_ECS_DISK_ROLLBACK",
    "CONTAINER",
    "File",
    "COMMON_NAS",
];

pub(super) async fn create(call: Call<'_>) -> Answer {
    let params = &call.params;
    let restore_type =
        source_type(params, "RestoreType")?.ok_or_else(|| WireError::missing("RestoreType"))?;
    source_type(params, "SourceType")?.ok_or_else(|| WireError::missing("SourceType"))?;
    let snapshot = params.parsed("SnapshotId")?.ok_or_else(|| WireError::missing("SnapshotId"))?;
    let request = NewRestore {
        cross: call.crossing().await?,
        snapshot,
        snapshot_hash: params.text("SnapshotHash").map(str::to_owned),
        vault: params.text("VaultId").map(str::to_owned),
        place: place(&call)?,
        restore_type: restore_type.as_str(),
        edition: call.edition()?,
        spec: spec(&call)?,
    };
    let made = call.service.create_restore(&call.caller, request).await.map_err(|error| refuse(&error))?;
    Ok(json!({ "RestoreId": made.as_str() }))
}

/// An instance, or a client where it has none.
fn place(call: &Call<'_>) -> Result<Option<Place>, WireError> {
    let Some(text) = call.params.text("TargetInstanceId") else { return Ok(None) };
    if let Ok(client) = text.parse::<ClientId>() {
        return Ok(Some(Place::Client(client)));
    }
    let accepted = "It must be the id of an instance (i-…) or of a client (c-…).";
    let instance =
        text.parse::<InstanceId>().map_err(|_| WireError::invalid("TargetInstanceId", text, accepted))?;
    Ok(Some(Place::Instance(instance)))
}

fn spec(call: &Call<'_>) -> Result<RestoreSpec, WireError> {
    let params = &call.params;
    let options = params.json::<Map<String, Value>>("Options")?;
    let option = |name: &str| options.as_ref().and_then(|options| options.get(name));
    let in_options = |name: &str| {
        let list = option(name).map_or(Ok(Vec::new()), Vec::<String>::deserialize);
        let list = list.ok().filter(|list| check_patterns(list).is_ok());
        list.ok_or_else(|| {
            let accepted = format!("{name} must be an array of patterns of 1 to 255 characters.");
            WireError::invalid("Options", &option(name).map(Value::to_string).unwrap_or_default(), accepted)
        })
    };
    let conflict = match option("ConflictPolicy").map(Value::as_str) {
        None | Some(Some("SKIP_THE_FILE")) => ConflictPolicy::SkipTheFile,
        Some(Some("OVERWRITE_EXISTING")) => ConflictPolicy::OverwriteExisting,
        Some(Some("KEEP_LATEST")) => ConflictPolicy::KeepLatest,
        Some(_) => {
            let given = option("ConflictPolicy").map(Value::to_string).unwrap_or_default();
            let accepted = "ConflictPolicy must be SKIP_THE_FILE, OVERWRITE_EXISTING or KEEP_LATEST.";
            return Err(WireError::invalid("Options", &given, accepted));
        }
    };
    let of_parameter = |name| patterns(name, params.text(name).unwrap_or_default());
    let files = FilesRestoreSpec {
        target_path: target_path(call)?,
        include: [of_parameter("Include")?, in_options("includes")?].concat(),
        exclude: [of_parameter("Exclude")?, in_options("excludes")?].concat(),
        conflict,
    };
    let options = options.map(|options| Value::Object(options).to_string());
    Ok(RestoreSpec { files, options, cross: None })
}

fn target_path(call: &Call<'_>) -> Result<Option<String>, WireError> {
    match call.params.text("TargetPath") {
        Some(path) if !path.starts_with('/') => {
            Err(WireError::invalid("TargetPath", path, "It must be an absolute path."))
        }
        path => Ok(path.map(str::to_owned)),
    }
}

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let page = call.page()?;
    let restore_type = call.params.text("RestoreType");
    if let Some(text) = restore_type
        && !RESTORE_TYPES.contains(&text)
    {
        let accepted = format!("It must be one of {}.", RESTORE_TYPES.join(", "));
        return Err(WireError::invalid("RestoreType", text, accepted));
    }
    let filter = JobFilter {
        kind: Some(JobKind::Restore),
        source_types: restore_type.map(str::to_owned).into_iter().collect(),
        edition: Some(call.edition()?.to_owned()),
        only_top_level: false,
        conditions: conditions(&call.params, RESTORE_KEYS)?.into_iter().flat_map(as_shown).collect(),
        order: Order::NewestFirst,
    };
    let found = call.service.jobs(&call.caller, &filter, page).await.map_err(|error| refuse(&error))?;
    let rows: Vec<_> = found.rows.iter().map(view).collect();
    Ok(paged(json!({ "RestoreJobs": { "RestoreJob": rows } }), page, found.total))
}

/// A job that is queued is shown as created, and so it is found.
fn as_shown(condition: JobCondition) -> Vec<JobCondition> {
    let JobCondition::Text { field: TextField::State, comparison, values } = condition else {
        return vec![condition];
    };
    let (created, queued) = (JobState::Created.as_str(), JobState::Queued.as_str());
    let mut shown: Vec<String> = values.into_iter().filter(|value| value != queued).collect();
    if shown.iter().any(|value| value == created) {
        shown.push(queued.to_owned());
    }
    let state = |comparison, values| JobCondition::Text { field: TextField::State, comparison, values };
    match comparison {
        TextComparison::NotEqual => shown.into_iter().map(|value| state(comparison, vec![value])).collect(),
        TextComparison::Equal | TextComparison::In => vec![state(TextComparison::In, shown)],
    }
}

fn view(job: &JobRow) -> Value {
    let spec: Option<RestoreSpec> = serde_json::from_str(&job.spec).ok();
    let spec = spec.as_ref();
    let cross = spec.and_then(|spec| spec.cross.as_ref());
    let list = |patterns: &[String]| (!patterns.is_empty()).then(|| json!(patterns).to_string());
    // Clients that wait for a restore know no other word for one that has not begun.
    let state = if job.state == JobState::Queued { JobState::Created } else { job.state };
    let source_type =
        SourceType::parse(&job.source_type).map_or(job.source_type.as_str(), |known| known.as_str());
    present(json!({
        "RestoreId": job.id,
        "RestoreType": job.source_type,
        "SourceType": source_type,
        "Status": state.as_str(),
        "ErrorMessage": error_message(job),
        "ErrorFile": job.error_file,
        "Report": report(job),
        "VaultId": job.vault,
        "SnapshotId": job.snapshot,
        "SnapshotHash": job.snapshot_hash,
        "SourceInstanceId": job.source_instance,
        "SourceResourceId": job.source_instance,
        "TargetInstanceId": job.instance,
        "TargetClientId": job.started.and(job.client.as_ref()),
        "TargetPath": spec.and_then(|spec| spec.files.target_path.clone()),
        "Include": spec.and_then(|spec| list(&spec.files.include)),
        "Exclude": spec.and_then(|spec| list(&spec.files.exclude)),
        "Options": spec.and_then(|spec| spec.options.clone()),
        "BytesTotal": job.counters.bytes_total,
        "BytesDone": job.counters.bytes_done,
        "ActualBytes": job.counters.bytes_actual,
        "ItemsTotal": job.counters.items_total,
        "ItemsDone": job.counters.items_done,
        "ActualItems": job.counters.items_actual,
        "Progress": job.progress,
        "Speed": job.speed,
        "CreatedTime": job.created.seconds(),
        "StartTime": job.started.map(|time| time.seconds()),
        "CompleteTime": job.completed.map(|time| time.seconds()),
        "UpdatedTime": job.updated.seconds(),
        "ExpireTime": job.expires.seconds(),
        "StorageClass": "STANDARD",
        "CrossAccountType": cross_accounts::kind(cross),
        "CrossAccountUserId": cross.map(|cross| cross.account.number()),
        "CrossAccountRoleName": cross.map(|cross| cross.role.as_str()),
    }))
}

pub(super) async fn cancel(call: Call<'_>) -> Answer {
    let id = call.params.required("RestoreId")?;
    call.service.cancel_job(&call.caller, JobKind::Restore, id).await.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queued_job_is_found_by_the_word_it_is_shown_with() {
        let state = |comparison, values: &[&str]| JobCondition::Text {
            field: TextField::State,
            comparison,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        use TextComparison::{Equal, In, NotEqual};
        for (asked, looked_for) in [
            (state(Equal, &["CREATED"]), vec![state(In, &["CREATED", "QUEUED"])]),
            (state(Equal, &["QUEUED"]), vec![state(In, &[])]),
            (state(In, &["QUEUED", "FAILED"]), vec![state(In, &["FAILED"])]),
            (
                state(NotEqual, &["CREATED"]),
                vec![state(NotEqual, &["CREATED"]), state(NotEqual, &["QUEUED"])],
            ),
            (state(NotEqual, &["QUEUED"]), vec![]),
        ] {
            assert_eq!(as_shown(asked.clone()), looked_for, "{asked:?}");
        }
    }
}
