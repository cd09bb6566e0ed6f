//! CreateBackupPlan, UpdateBackupPlan, EnableBackupPlan, DisableBackupPlan, DeleteBackupPlan, DescribeBackupPlans,
//! ExecuteBackupPlan.

use std::collections::BTreeSet;

use lifeboat_model::files::FilesSpec;
use lifeboat_model::id::{ClientId, InstanceId, PlanId};
use lifeboat_model::plan::{BackupSpec, BackupType, Place, PlanCondition, PlanField, PlanRule, SourceType};
use lifeboat_service::{Labels, NewPlanRequest, NewPlanRule, PlanChange, PlanRow};
use serde_json::{Value, json};

use super::files::{files, options, patterns, retention, speed_limit};
use super::vaults::check_length;
use super::{at_most, cross_accounts, filters, nothing, paged, present, refuse, tags};
use crate::alibaba::{Answer, Call, Params, WireError};

const MOST_NAME_CHARACTERS: usize = 64;
const MOST_RULES: usize = 100;

pub(super) async fn create(call: Call<'_>) -> Answer {
    let params = &call.params;
    let source_type = source_type(params, "SourceType")?.ok_or_else(|| WireError::missing("SourceType"))?;
    let name = name(params)?.ok_or_else(|| WireError::missing("PlanName"))?;
    let vault = params.parsed("VaultId")?.ok_or_else(|| WireError::missing("VaultId"))?;
    let backup_type = params.text("BackupType").unwrap_or("COMPLETE");
    if backup_type != BackupType::Complete.as_str() {
        return Err(WireError::invalid("BackupType", backup_type, "It must be COMPLETE."));
    }
    let request = NewPlanRequest {
        cross: call.crossing().await?,
        vault,
        name,
        source_type,
        edition: call.edition()?,
        place: place(params, source_type)?,
        backup_type: BackupType::Complete,
        spec: spec(params)?,
        schedule: params.parsed("Schedule")?,
        rules: rules(params)?,
        is_disabled: params.boolean("Disabled")?.unwrap_or(false),
    };
    let made = call.service.create_plan(&call.caller, request).await.map_err(|error| refuse(&error))?;
    Ok(json!({ "PlanId": made.as_str() }))
}

pub(super) async fn update(call: Call<'_>) -> Answer {
    let id = plan_named(&call).await?;
    let params = &call.params;
    let paths: Vec<_> = params.list("Path").into_iter().map(str::to_owned).collect();
    // UpdatePaths says whether paths are meant where that is in doubt.
    let are_paths_meant = params.boolean("UpdatePaths")?.unwrap_or(!paths.is_empty());
    let paths = are_paths_meant.then(|| files("Path", FilesSpec { paths, ..FilesSpec::default() }));
    let list = |name: &str| params.raw(name).map(|text| patterns(name, text)).transpose();
    let rules = rules(params)?;
    let change = PlanChange {
        name: name(params)?,
        paths: paths.transpose()?.map(|files| files.paths),
        include: list("Include")?,
        exclude: list("Exclude")?,
        speed_limit: params.raw("SpeedLimit").map(|_| speed_limit(params)).transpose()?,
        options: params.raw("Options").map(|_| options(params)).transpose()?,
        retention_days: retention(params)?,
        keep_latest: params.number("KeepLatestSnapshots", 0, 1)?.map(|number| number == 1),
        schedule: params.parsed("Schedule")?,
        rules: (!rules.is_empty()).then_some(rules),
        is_disabled: None,
    };
    call.service.update_plan(&call.caller, &id, change).await.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

pub(super) async fn enable(call: Call<'_>, is_disabled: bool) -> Answer {
    let id = plan_named(&call).await?;
    let change = PlanChange { is_disabled: Some(is_disabled), ..PlanChange::default() };
    call.service.update_plan(&call.caller, &id, change).await.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

pub(super) async fn delete(call: Call<'_>) -> Answer {
    let id = plan_named(&call).await?;
    let unless_active = call.params.boolean("RequireNoRunningJobs")?.unwrap_or(false);
    call.service.delete_plan(&call.caller, &id, unless_active).await.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

/// PlanId; what else a request says of that plan must be so.
async fn plan_named(call: &Call<'_>) -> Result<PlanId, WireError> {
    let params = &call.params;
    let id: PlanId = params.parsed("PlanId")?.ok_or_else(|| WireError::missing("PlanId"))?;
    let plan = call.service.plan(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    for (name, value) in [
        ("VaultId", plan.vault.as_str()),
        ("SourceType", plan.source_type.as_str()),
        ("Edition", plan.edition.as_str()),
    ] {
        if let Some(given) = params.text(name).filter(|given| *given != value) {
            return Err(WireError::invalid(name, given, format!("That of the plan {id} is {value}.")));
        }
    }
    Ok(id)
}

fn name(params: &Params) -> Result<Option<String>, WireError> {
    let name = params.text("PlanName");
    check_length("PlanName", name.unwrap_or_default(), MOST_NAME_CHARACTERS)?;
    Ok(name.map(str::to_owned))
}

/// `Rule.N`: each a schedule with a retention of its own. A rule without a name is named by its number.
fn rules(params: &Params) -> Result<Vec<NewPlanRule>, WireError> {
    let structs = params.structs("Rule");
    at_most(MOST_RULES, "Rule", structs.len())?;
    let rules = structs.iter().map(|(place, rule)| new_rule(place, rule));
    let rules: Vec<_> = rules.collect::<Result<_, _>>()?;
    let mut names = BTreeSet::new();
    for ((place, _), rule) in structs.iter().zip(&rules) {
        if !names.insert(rule.name.as_str()) {
            let accepted = "Each rule of a plan has a name of its own.";
            return Err(WireError::invalid(&format!("{place}.RuleName"), &rule.name, accepted));
        }
    }
    Ok(rules)
}

fn new_rule(place: &str, rule: &Params) -> Result<NewPlanRule, WireError> {
    let within = |error: WireError| error.within(place);
    if rule.boolean("DoCopy").map_err(within)? == Some(true) {
        let accepted = "It must be false: snapshots are not copied to other regions here.";
        return Err(within(WireError::invalid("DoCopy", "true", accepted)));
    }
    let backup_type = rule.text("BackupType").unwrap_or("COMPLETE");
    let known = BackupType::parse(backup_type);
    let accepted = "It must be COMPLETE or INCREMENTAL.";
    let name = rule.text("RuleName").or(place.strip_prefix("Rule.")).unwrap_or(place);
    check_length("RuleName", name, MOST_NAME_CHARACTERS).map_err(within)?;
    let schedule = rule.parsed("Schedule").map_err(within)?;
    Ok(NewPlanRule {
        name: name.to_owned(),
        schedule: schedule.ok_or_else(|| within(WireError::missing("Schedule")))?,
        backup_type: known.ok_or_else(|| within(WireError::invalid("BackupType", backup_type, accepted)))?,
        retention_days: retention(rule).map_err(within)?,
        is_disabled: rule.boolean("Disabled").map_err(within)?.unwrap_or(false),
    })
}

/// A source type that is built; the documented others are named as not supported.
pub(super) fn source_type(params: &Params, name: &str) -> Result<Option<SourceType>, WireError> {
    let Some(text) = params.text(name) else { return Ok(None) };
    let accepted = "It must be ECS_FILE or File.";
    SourceType::parse(text).map(Some).ok_or_else(|| WireError::invalid(name, text, accepted))
}

/// Which machine is meant: an instance, or for files of machines that are none, a client.
fn place(params: &Params, source_type: SourceType) -> Result<Place, WireError> {
    if source_type != SourceType::File {
        let id: Option<InstanceId> = params.parsed("InstanceId")?;
        return id.map(Place::Instance).ok_or_else(|| WireError::missing("InstanceId"));
    }
    let of_files = |name: &str| {
        let Some(text) = params.text(name) else { return Ok(None) };
        if let Ok(id) = text.parse::<InstanceId>() {
            return Ok(Some(Place::Instance(id)));
        }
        let accepted = "It must be the id of a client (c-…) or of its instance (i-…).";
        let id = text.parse::<ClientId>().map_err(|_| WireError::invalid(name, text, accepted))?;
        Ok(Some(Place::Client(id)))
    };
    let (client, instance) = (of_files("DataSourceId")?, of_files("InstanceId")?);
    client.or(instance).ok_or_else(|| WireError::missing("DataSourceId"))
}

fn spec(params: &Params) -> Result<BackupSpec, WireError> {
    let list = |name: &str| patterns(name, params.raw(name).unwrap_or_default());
    let given = FilesSpec {
        paths: params.list("Path").into_iter().map(str::to_owned).collect(),
        include: list("Include")?,
        exclude: list("Exclude")?,
    };
    Ok(BackupSpec {
        files: files("Path", given)?,
        speed_limit: speed_limit(params)?,
        options: options(params)?,
        retention_days: retention(params)?,
        keep_latest: params.number("KeepLatestSnapshots", 0, 1)? == Some(1),
        ..BackupSpec::default()
    })
}

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let page = call.page()?;
    let one = |field, value: &str| PlanCondition { field, values: vec![value.to_owned()] };
    let mut conditions = vec![one(PlanField::Edition, call.edition()?)];
    if let Some(kind) = call.source_type()? {
        conditions.push(one(PlanField::SourceType, kind));
    }
    for (place, filter) in filters::given(&call.params)? {
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
        "DataSourceId": plan.instance.is_none().then(|| plan.client.as_str()),
        "Paths": { "Path": plan.spec.files.paths },
        "Include": list(&plan.spec.files.include),
        "Exclude": list(&plan.spec.files.exclude),
        "Options": plan.spec.options,
        "SpeedLimit": plan.spec.speed_limit,
        "Schedule": plan.schedule.as_ref().map(ToString::to_string),
        "Rules": (!plan.rules.is_empty()).then(|| json!({ "Rule": plan.rules.iter().map(view_rule).collect::<Vec<_>>() })),
        "Retention": plan.spec.retention_days,
        "KeepLatestSnapshots": i64::from(plan.spec.keep_latest),
        "Disabled": plan.is_disabled,
        "Tags": { "Tag": tags::view(labels) },
        "LatestExecuteJobId": plan.last_job,
        "LatestFinishJobId": plan.last_ended_job,
        "BusinessStatus": "ACTIVE",
        "CrossAccountType": cross_accounts::kind(plan.spec.cross.as_ref()),
        "CrossAccountUserId": plan.spec.cross.as_ref().map(|cross| cross.account.number()),
        "CrossAccountRoleName": plan.spec.cross.as_ref().map(|cross| cross.role.as_str()),
        "CreatedTime": plan.created.seconds(),
        "UpdatedTime": plan.updated.seconds(),
    }))
}

fn view_rule(rule: &PlanRule) -> Value {
    present(json!({
        "RuleId": rule.id.as_str(),
        "RuleName": rule.name,
        "Schedule": rule.schedule.to_string(),
        "BackupType": rule.backup_type.as_str(),
        "Retention": rule.retention_days,
        "Disabled": rule.is_disabled,
        "DoCopy": false,
    }))
}

pub(super) async fn execute(call: Call<'_>) -> Answer {
    let id = plan_named(&call).await?;
    let rule = call.params.parsed("RuleId")?;
    let job = call.service.execute_plan(&call.caller, &id, rule.as_ref()).await;
    Ok(json!({ "JobId": job.map_err(|error| refuse(&error))?.as_str() }))
}
