//! CreateBackupPlan, DescribeBackupPlans, ExecuteBackupPlan.

use lifeboat_model::files::FilesSpec;
use lifeboat_model::id::{ClientId, InstanceId};
use lifeboat_model::plan::{
    BackupSpec, BackupType, MOST_RETENTION_DAYS, Place, PlanCondition, PlanField, SourceType,
};
use lifeboat_model::schedule::Schedule;
use lifeboat_model::speed_limit::SpeedLimit;
use lifeboat_service::{Labels, NewPlanRequest, PlanRow};
use serde_json::{Value, json};

use super::{cross_accounts, paged, present, refuse, tags};
use crate::alibaba::{Answer, Call, Params, WireError};

pub(super) async fn create(call: Call<'_>) -> Answer {
    let params = &call.params;
    let source_type = source_type(params, "SourceType")?.ok_or_else(|| WireError::missing("SourceType"))?;
    let name = params.required("PlanName")?;
    if name.chars().count() > 64 {
        return Err(WireError::invalid("PlanName", name, "It must be at most 64 characters long."));
    }
    let vault = params.parsed("VaultId")?.ok_or_else(|| WireError::missing("VaultId"))?;
    let schedule: Option<Schedule> = params.parsed("Schedule")?;
    let backup_type = params.text("BackupType").unwrap_or("COMPLETE");
    if backup_type != BackupType::Complete.as_str() {
        return Err(WireError::invalid("BackupType", backup_type, "It must be COMPLETE."));
    }
    let request = NewPlanRequest {
        cross: call.crossing().await?,
        vault,
        name: name.to_owned(),
        source_type,
        edition: call.edition()?,
        place: place(params, source_type)?,
        backup_type: BackupType::Complete,
        spec: spec(&call)?,
        schedule,
        rules: Vec::new(),
        is_disabled: params.boolean("Disabled")?.unwrap_or(false),
    };
    let made = call.service.create_plan(&call.caller, request).await.map_err(|error| refuse(&error))?;
    Ok(json!({ "PlanId": made.as_str() }))
}

/// A source type that is built; the documented others are named as not supported.
pub(super) fn source_type(params: &Params, name: &str) -> Result<Option<SourceType>, WireError> {
    let Some(text) = params.text(name) else { return Ok(None) };
    let accepted = "It must be ECS_FILE or File.";
    SourceType::parse(text).map(Some).ok_or_else(|| WireError::invalid(name, text, accepted))
}

/// Which machine is meant: an instance, or for files of machines that are none, a client.
fn place(params: &Params, source_type: SourceType) -> Result<Place, WireError> {
    if let Some(id) = params.parsed::<InstanceId>("InstanceId")? {
        return Ok(Place::Instance(id));
    }
    if source_type == SourceType::File
        && let Some(id) = params.parsed::<ClientId>("DataSourceId")?
    {
        return Ok(Place::Client(id));
    }
    Err(WireError::missing(if source_type == SourceType::File { "DataSourceId" } else { "InstanceId" }))
}

fn spec(call: &Call<'_>) -> Result<BackupSpec, WireError> {
    let params = &call.params;
    let files = FilesSpec {
        paths: params.list("Path").into_iter().map(str::to_owned).collect(),
        include: call.json_list("Include")?,
        exclude: call.json_list("Exclude")?,
    };
    let files = files
        .checked()
        .map_err(|error| WireError::bad_request("InvalidParameter.Path", error.to_string()))?;
    let speed_limit: Option<SpeedLimit> = params.parsed("SpeedLimit")?;
    let retention = params.number("Retention", 1, MOST_RETENTION_DAYS.into())?;
    Ok(BackupSpec {
        files,
        speed_limit: speed_limit.map(|limit| limit.to_string()),
        options: options(params)?,
        retention_days: retention.and_then(|days| u32::try_from(days).ok()),
        retention_rules: Vec::new(),
        keep_latest: params.number("KeepLatestSnapshots", 0, 1)? == Some(1),
        cross: None,
    })
}

/// Options are JSON; shadow copies are for Windows, which this client is not.
fn options(params: &Params) -> Result<Option<String>, WireError> {
    let Some(options) = params.json::<Value>("Options")? else { return Ok(None) };
    if options.get("UseVSS") == Some(&Value::Bool(true)) {
        let accepted = "UseVSS must be false: the client does not run on Windows.";
        return Err(WireError::invalid("Options", &options.to_string(), accepted));
    }
    Ok(Some(options.to_string()))
}

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let page = call.page()?;
    let one = |field, value: &str| PlanCondition { field, values: vec![value.to_owned()] };
    let mut conditions = vec![one(PlanField::Edition, call.edition()?)];
    if let Some(kind) = call.source_type()? {
        conditions.push(one(PlanField::SourceType, kind));
    }
    for (place, filter) in call.params.structs("Filters") {
        conditions.extend(condition(&place, &filter, call.service.region())?);
    }
    let found = call.service.plans(&call.caller, &conditions, page).await.map_err(|error| refuse(&error))?;
    let ids: Vec<_> = found.rows.iter().map(|plan| plan.id.as_str()).collect();
    let written = call.service.labels(&call.caller, &ids).await.map_err(|error| refuse(&error))?;
    let rows: Vec<_> = found.rows.iter().map(|row| view(row, written.get(row.id.as_str()))).collect();
    Ok(paged(json!({ "BackupPlans": { "BackupPlan": rows } }), page, found.total))
}

/// Keys of real clients begin with a small letter, those of documents with a capital one.
const KEYS: [(&str, PlanField); 10] = [
    ("planId", PlanField::Id),
    ("planName", PlanField::Name),
    ("sourceType", PlanField::SourceType),
    ("vaultId", PlanField::VaultId),
    ("instanceId", PlanField::InstanceId),
    ("dataSourceId", PlanField::ClientId),
    ("clientId", PlanField::ClientId),
    ("instanceName", PlanField::Elsewhere),
    ("bucket", PlanField::Elsewhere),
    ("fileSystemId", PlanField::Elsewhere),
];

/// All plans are in the server's region, so that a filter by it leaves all or none.
fn condition(place: &str, filter: &Params, region: &str) -> Result<Option<PlanCondition>, WireError> {
    let key = filter.text("Key").ok_or_else(|| WireError::missing(&format!("{place}.Key")))?;
    let values: Vec<_> = filter.list("Values").into_iter().map(str::to_owned).collect();
    if values.is_empty() {
        return Err(WireError::missing(&format!("{place}.Values")));
    }
    if key.eq_ignore_ascii_case("regionId") {
        let is_here = values.iter().any(|value| value == region);
        return Ok((!is_here).then_some(PlanCondition { field: PlanField::Elsewhere, values }));
    }
    let Some((_, field)) = KEYS.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) else {
        let names: Vec<_> = KEYS.iter().map(|(name, _)| *name).collect();
        let accepted = format!("It must be one of regionId, {}.", names.join(", "));
        return Err(WireError::invalid(&format!("{place}.Key"), key, accepted));
    };
    Ok(Some(PlanCondition { field: *field, values }))
}

fn view(plan: &PlanRow, labels: Option<&Labels>) -> Value {
    let list = |patterns: &[String]| (!patterns.is_empty()).then(|| json!(patterns).to_string());
    present(json!({
        "PlanId": plan.id.as_str(),
        "PlanName": plan.name,
        "VaultId": plan.vault.as_str(),
        "SourceType": plan.source_type,
        "BackupType": plan.backup_type,
        "ClientId": plan.client.as_str(),
        "InstanceId": plan.instance.as_ref().map(InstanceId::as_str),
        "Paths": { "Path": plan.spec.files.paths },
        "Include": list(&plan.spec.files.include),
        "Exclude": list(&plan.spec.files.exclude),
        "Options": plan.spec.options,
        "SpeedLimit": plan.spec.speed_limit,
        "Schedule": plan.schedule.as_ref().map(ToString::to_string),
        "Retention": plan.spec.retention_days,
        "KeepLatestSnapshots": i64::from(plan.spec.keep_latest),
        "Disabled": plan.is_disabled,
        "Tags": { "Tag": tags::view(labels) },
        "BusinessStatus": "ACTIVE",
        "CrossAccountType": cross_accounts::kind(plan.spec.cross.as_ref()),
        "CrossAccountUserId": plan.spec.cross.as_ref().map(|cross| cross.account.number()),
        "CrossAccountRoleName": plan.spec.cross.as_ref().map(|cross| cross.role.as_str()),
        "CreatedTime": plan.created.seconds(),
        "UpdatedTime": plan.updated.seconds(),
    }))
}

pub(super) async fn execute(call: Call<'_>) -> Answer {
    let id = call.params.parsed("PlanId")?.ok_or_else(|| WireError::missing("PlanId"))?;
    let rule = call.params.parsed("RuleId")?;
    let job = call.service.execute_plan(&call.caller, &id, rule.as_ref()).await;
    let job = job.map_err(|error| refuse(&error))?;
    Ok(json!({ "JobId": job.as_str() }))
}
