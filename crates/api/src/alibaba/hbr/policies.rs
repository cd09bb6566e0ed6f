//! CreatePolicyV2, DescribePoliciesV2, UpdatePolicyV2, DeletePolicyV2, ExecutePolicyV2.

use lifeboat_model::id::{PolicyId, VaultId};
use lifeboat_model::plan::{BackupType, MOST_RETENTION_DAYS};
use lifeboat_model::policy::{BackupRule, Cursor, PolicyRule, RuleKind, TransitionRule};
use lifeboat_model::retention::{Period, RetentionRule};
use lifeboat_service::{NewPolicyRule, PolicyChange, PolicyRow};
use serde_json::{Value, json};

use super::files::retention;
use super::plans::source_type;
use super::vaults::check_length;
use super::{at_most, nothing, present, refuse};
use crate::alibaba::{Answer, Call, Params, WireError};

const MOST_NAME_CHARACTERS: usize = 64;
const MOST_DESCRIPTION_CHARACTERS: usize = 255;
const MOST_RULES: usize = 100;
/// What is documented of an archive that is not here.
const LEAST_ARCHIVE_DAYS: i64 = 30;
const LEAST_ARCHIVED_DAYS: i64 = 60;

pub(super) async fn create(call: Call<'_>) -> Answer {
    let params = &call.params;
    match params.text("PolicyType") {
        None | Some("STANDARD") => {}
        Some(other) => {
            let accepted = "It must be STANDARD: policies for whole instances are not supported.";
            return Err(WireError::invalid("PolicyType", other, accepted));
        }
    }
    let names = (name(params)?, description(params, "PolicyDescription")?.unwrap_or_default());
    let rules = rules(params)?.ok_or_else(|| WireError::missing("Rules"))?;
    let made = call.service.create_policy(&call.caller, names, rules).await;
    Ok(json!({ "PolicyId": made.map_err(|error| refuse(&error))?.as_str() }))
}

pub(super) async fn update(call: Call<'_>) -> Answer {
    let id = policy_id(&call.params)?;
    let change = PolicyChange {
        name: name(&call.params)?,
        description: description(&call.params, "PolicyDescription")?,
        rules: rules(&call.params)?,
    };
    call.service.update_policy(&call.caller, &id, change).await.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

pub(super) async fn delete(call: Call<'_>) -> Answer {
    let id = policy_id(&call.params)?;
    call.service.delete_policy(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

pub(super) async fn execute(call: Call<'_>) -> Answer {
    let params = &call.params;
    let rule = params.parsed("RuleId")?.ok_or_else(|| WireError::missing("RuleId"))?;
    let sources = (source_type(params, "SourceType")?, params.text("DataSourceId"));
    let job = call.service.execute_policy(&call.caller, (&policy_id(params)?, &rule), sources).await;
    Ok(json!({ "JobId": job.map_err(|error| refuse(&error))?.as_str() }))
}

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let (limit, after) = portion(&call.params)?;
    let (rows, total) = match call.params.parsed::<PolicyId>("PolicyId")? {
        None => call
            .service
            .policies(&call.caller, after.as_ref(), limit)
            .await
            .map_err(|error| refuse(&error))?,
        Some(id) => match call.service.policy(&call.caller, &id).await {
            Ok(policy) => (vec![policy], 1),
            // A listing of what is not there is empty.
            Err(lifeboat_service::ServiceError::Missing(..)) => (Vec::new(), 0),
            Err(error) => return Err(refuse(&error)),
        },
    };
    let last = rows.last().map(|row| (row.created, row.id.as_str()));
    let views: Vec<_> = rows.iter().map(view).collect();
    Ok(with_token(json!({ "Policies": views }), (limit, last), total))
}

fn view(policy: &PolicyRow) -> Value {
    present(json!({
        "PolicyId": policy.id.as_str(),
        "PolicyName": policy.name,
        "PolicyDescription": policy.description,
        "PolicyType": "STANDARD",
        "BusinessStatus": "ACTIVE",
        "PolicyBindingCount": policy.bindings,
        "Rules": policy.rules.all().iter().map(view_rule).collect::<Vec<_>>(),
        "CreatedTime": policy.created.seconds(),
        "UpdatedTime": policy.updated.seconds(),
    }))
}

fn view_rule(rule: &PolicyRule) -> Value {
    present(match &rule.kind {
        RuleKind::Backup(backup) => json!({
            "RuleId": rule.id.as_str(),
            "RuleType": "BACKUP",
            "VaultId": backup.vault.as_str(),
            "Schedule": backup.schedule.to_string(),
            "BackupType": backup.backup_type.as_str(),
            "Retention": backup.retention_days,
            "KeepLatestSnapshots": i64::from(backup.keep_latest),
        }),
        RuleKind::Transition(transition) => json!({
            "RuleId": rule.id.as_str(),
            "RuleType": "TRANSITION",
            "Retention": transition.retention_days,
            "RetentionRules": transition.rules.iter().map(view_retention).collect::<Vec<_>>(),
        }),
    })
}

const PERIODS: [(&str, Period); 4] =
    [("DAILY", Period::Day), ("WEEKLY", Period::Week), ("MONTHLY", Period::Month), ("YEARLY", Period::Year)];

fn view_retention(rule: &RetentionRule) -> Value {
    let name = PERIODS.iter().find(|(_, period)| *period == rule.period).map(|(name, _)| *name);
    json!({ "AdvancedRetentionType": name, "Retention": rule.days, "WhichSnapshot": 1 })
}

pub(super) fn policy_id(params: &Params) -> Result<PolicyId, WireError> {
    params.parsed("PolicyId")?.ok_or_else(|| WireError::missing("PolicyId"))
}

fn name(params: &Params) -> Result<Option<String>, WireError> {
    Ok(short(params, "PolicyName", MOST_NAME_CHARACTERS)?.filter(|name| !name.is_empty()))
}

pub(super) fn description(params: &Params, name: &str) -> Result<Option<String>, WireError> {
    short(params, name, MOST_DESCRIPTION_CHARACTERS)
}

fn short(params: &Params, name: &str, most: usize) -> Result<Option<String>, WireError> {
    let Some(text) = params.raw(name) else { return Ok(None) };
    check_length(name, text, most)?;
    Ok(Some(text.to_owned()))
}

/// MaxResults and NextToken.
pub(super) fn portion(params: &Params) -> Result<(u32, Option<Cursor>), WireError> {
    let limit = params.number("MaxResults", 10, 100)?.unwrap_or(10);
    Ok((u32::try_from(limit).unwrap_or(u32::MAX), params.parsed("NextToken")?))
}

/// A full portion may have more behind it, and the token says where.
pub(super) fn with_token(
    mut body: Value,
    (limit, last): (u32, Option<(lifeboat_model::time::Millis, &str)>),
    total: u64,
) -> Value {
    let shown =
        body.as_object().and_then(|fields| fields.values().find_map(Value::as_array)).map_or(0, Vec::len);
    let is_full = u32::try_from(shown).is_ok_and(|shown| shown == limit) && total > u64::from(limit);
    let cursor = last.filter(|_| is_full).map(|(created, id)| Cursor { created, id: id.to_owned() });
    if let Value::Object(fields) = &mut body {
        fields.insert("MaxResults".to_owned(), limit.into());
        fields.insert("TotalCount".to_owned(), total.into());
        if let Some(cursor) = cursor {
            fields.insert("NextToken".to_owned(), cursor.to_string().into());
        }
    }
    body
}

/// `Rules`, if there are any.
fn rules(params: &Params) -> Result<Option<Vec<NewPolicyRule>>, WireError> {
    let structs = params.json_structs("Rules")?;
    at_most(MOST_RULES, "Rules", structs.len())?;
    if structs.is_empty() && params.text("Rules").is_none() {
        return Ok(None);
    }
    structs.iter().map(|(place, rule)| new_rule(place, rule)).collect::<Result<_, _>>().map(Some)
}

fn new_rule(place: &str, rule: &Params) -> Result<NewPolicyRule, WireError> {
    let read = || {
        let kind = match rule.required("RuleType")? {
            "BACKUP" => RuleKind::Backup(backup_rule(rule)?),
            "TRANSITION" => RuleKind::Transition(transition_rule(rule)?),
            other => {
                let accepted = "It must be BACKUP or TRANSITION: snapshots are not copied to other regions here, sources are \
                                bound by CreatePolicyBindings and not by tags, and WORM is a property of vaults.";
                return Err(WireError::invalid("RuleType", other, accepted));
            }
        };
        Ok(NewPolicyRule { id: rule.parsed("RuleId")?, kind })
    };
    read().map_err(|error: WireError| error.within(place))
}

fn backup_rule(rule: &Params) -> Result<BackupRule, WireError> {
    if rule.boolean("Immutable")? == Some(true) {
        let accepted = "It must be false: WORM is a property of vaults here, see UpdateVault.";
        return Err(WireError::invalid("Immutable", "true", accepted));
    }
    refuse_archive(rule)?;
    let backup_type = rule.text("BackupType").unwrap_or("COMPLETE");
    let accepted = "It must be COMPLETE or INCREMENTAL.";
    Ok(BackupRule {
        vault: rule.parsed::<VaultId>("VaultId")?.ok_or_else(|| WireError::missing("VaultId"))?,
        schedule: rule.parsed("Schedule")?.ok_or_else(|| WireError::missing("Schedule"))?,
        backup_type: BackupType::parse(backup_type)
            .ok_or_else(|| WireError::invalid("BackupType", backup_type, accepted))?,
        retention_days: retention(rule)?,
        keep_latest: rule.number("KeepLatestSnapshots", 0, 1)? == Some(1),
    })
}

fn transition_rule(rule: &Params) -> Result<TransitionRule, WireError> {
    refuse_archive(rule)?;
    let periods = rule.structs("RetentionRules");
    let periods =
        periods.iter().map(|(place, period)| period_rule(period).map_err(|error| error.within(place)));
    Ok(TransitionRule { retention_days: retention(rule)?, rules: periods.collect::<Result<_, _>>()? })
}

fn period_rule(rule: &Params) -> Result<RetentionRule, WireError> {
    let kind = rule.required("AdvancedRetentionType")?;
    let known = PERIODS.iter().find(|(name, _)| *name == kind);
    let accepted = "It must be DAILY, WEEKLY, MONTHLY or YEARLY.";
    let (_, period) = known.ok_or_else(|| WireError::invalid("AdvancedRetentionType", kind, accepted))?;
    rule.number("WhichSnapshot", 1, 1)?;
    let days = retention(rule)?.ok_or_else(|| WireError::missing("Retention"))?;
    Ok(RetentionRule { period: *period, days })
}

/// There is no storage of another class here. What a real one would refuse is refused by its codes.
fn refuse_archive(rule: &Params) -> Result<(), WireError> {
    for name in ["ArchiveDays", "ColdArchiveDays"] {
        // Clients send 0 where they mean none.
        let days = rule.number(name, 0, MOST_RETENTION_DAYS.into())?.filter(|days| *days > 0);
        let Some(days) = days else { continue };
        if days < LEAST_ARCHIVE_DAYS {
            let what = format!(
                "The value \"{days}\" of {name} is not valid. It must be at least {LEAST_ARCHIVE_DAYS}."
            );
            return Err(WireError::bad_request("ArchiveDaysTooShort", what));
        }
        let kept = retention(rule)?.map(i64::from);
        if kept.is_some_and(|kept| kept - days < LEAST_ARCHIVED_DAYS) {
            let what = format!(
                "The value \"{days}\" of {name} is not valid. Retention must be at least {LEAST_ARCHIVED_DAYS} days longer."
            );
            return Err(WireError::bad_request("ArchiveRetentionDaysTooShort", what));
        }
        let accepted = "It must be absent: there is no archive storage here.";
        return Err(WireError::invalid(name, &days.to_string(), accepted));
    }
    Ok(())
}
