//! SearchHistoricalSnapshots, DeleteSnapshot.

use lifeboat_model::id::{ClientId, InstanceId, JobId, PlanId, VaultId};
use lifeboat_model::plan::SourceType;
use lifeboat_model::time::Millis;
use lifeboat_service::{
    SnapshotColumn, SnapshotCondition, SnapshotOperator, SnapshotRow, SnapshotValue, SnapshotWindow,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{at_most, filters, nothing, present, refuse};
use crate::alibaba::{Answer, Call, WireError};

/// One condition, as JSON.
#[derive(Deserialize)]
struct Term {
    field: String,
    #[serde(default)]
    operation: Option<String>,
    value: Value,
}

pub(super) async fn search(call: Call<'_>) -> Answer {
    let params = &call.params;
    let terms: Vec<Term> = params.json("Query")?.unwrap_or_default();
    at_most(filters::MOST_FILTERS, "Query", terms.len())?;
    let mut vault: Option<VaultId> = None;
    let mut conditions = Vec::new();
    for term in &terms {
        if term.field.eq_ignore_ascii_case("vaultId") {
            let text = text(&term.value);
            let accepted = "VaultId must be the id of a vault.";
            vault = Some(text.parse().map_err(|_| WireError::invalid("Query", &text, accepted))?);
        } else {
            conditions.extend(condition(term)?);
        }
    }
    let vault =
        vault.ok_or_else(|| WireError::bad_request("MissingQuery.VaultId", "Query must name a VaultId."))?;
    if let Some(kind) = call.source_type()? {
        conditions.push(is_of(kind));
    }
    let by_creation = match params.text("SortBy") {
        None | Some("CompleteTime") => false,
        Some("CreatedTime") => true,
        Some(other) => {
            return Err(WireError::invalid("SortBy", other, "It must be CompleteTime or CreatedTime."));
        }
    };
    let is_newest_first = match params.text("Order") {
        None | Some("ASC") => false,
        Some("DESC") => true,
        Some(other) => return Err(WireError::invalid("Order", other, "It must be ASC or DESC.")),
    };
    let limit = params.number("Limit", 0, 100)?.unwrap_or(10);
    let limit = u64::try_from(limit).unwrap_or(10);
    let offset = match params.text("NextToken") {
        None => 0,
        Some(text) => {
            let accepted = "It must be what the last answer said.";
            text.parse().map_err(|_| WireError::invalid("NextToken", text, accepted))?
        }
    };
    let window = SnapshotWindow { by_creation, is_newest_first, limit, offset };
    let found = call.service.snapshots(&call.caller, &vault, &conditions, window).await;
    let found = found.map_err(|error| refuse(&error))?;
    let rows: Vec<_> = found.rows.iter().map(view).collect();
    let next = offset + rows.len() as u64;
    Ok(present(json!({
        "Snapshots": { "Snapshot": rows },
        "TotalCount": found.total,
        "Limit": limit,
        "NextToken": (limit > 0 && next < found.total).then(|| next.to_string()),
    })))
}

/// Of one kind of source. Whose snapshots restic has made nobody knows: files are of any machine then.
fn is_of(kind: &str) -> SnapshotCondition {
    let is_file = SourceType::parse(kind).is_some();
    SnapshotCondition {
        column: if is_file { SnapshotColumn::FilesOf } else { SnapshotColumn::SourceType },
        operator: SnapshotOperator::Match,
        values: vec![SnapshotValue::Text(kind.to_owned())],
    }
}

/// ClientId and InstanceId, where they are given, must be the snapshot's.
pub(super) async fn delete(call: Call<'_>) -> Answer {
    let text = call.params.required("SnapshotId")?;
    let missing = || WireError::not_found("ResourceNotFound", format!("The Snapshot {text} does not exist."));
    let id = text.parse().map_err(|_| missing())?;
    let vault: Option<VaultId> = call.params.parsed("VaultId")?;
    let source_type = call.source_type()?;
    let snapshot = call.service.snapshot(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    let is_other = |name, own: Option<&str>| call.params.text(name).is_some_and(|given| own != Some(given));
    if is_other("ClientId", snapshot.client.as_ref().map(ClientId::as_str))
        || is_other("InstanceId", snapshot.instance.as_ref().map(InstanceId::as_str))
        || source_type.is_some_and(|kind| snapshot.job.is_some() && kind != snapshot.source_type)
    {
        return Err(missing());
    }
    let deleted = call.service.delete_snapshot(&call.caller, &id, vault.as_ref()).await;
    deleted.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

const COLUMNS: [(&str, SnapshotColumn); 9] = [
    ("SnapshotId", SnapshotColumn::SnapshotId),
    ("JobId", SnapshotColumn::JobId),
    ("PlanId", SnapshotColumn::PlanId),
    ("InstanceId", SnapshotColumn::InstanceId),
    ("ClientId", SnapshotColumn::ClientId),
    ("SourceType", SnapshotColumn::SourceType),
    ("Status", SnapshotColumn::Status),
    ("CompleteTime", SnapshotColumn::CompleteTime),
    ("CreatedTime", SnapshotColumn::CreatedTime),
];

const OPERATORS: [(&str, SnapshotOperator); 8] = [
    ("MATCH_TERM", SnapshotOperator::Match),
    ("GREATER_THAN", SnapshotOperator::Greater),
    ("GREATER_THAN_OR_EQUAL", SnapshotOperator::GreaterOrEqual),
    ("LESS_THAN", SnapshotOperator::Less),
    ("LESS_THAN_OR_EQUAL", SnapshotOperator::LessOrEqual),
    ("BETWEEN", SnapshotOperator::Between),
    ("IN", SnapshotOperator::In),
    ("NOT_IN", SnapshotOperator::NotIn),
];

fn condition(term: &Term) -> Result<Option<SnapshotCondition>, WireError> {
    let found = COLUMNS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&term.field));
    let unknown = || {
        let names = COLUMNS.map(|(name, _)| name).join(", ");
        WireError::invalid("Query", &term.field, format!("A field must be VaultId or one of {names}."))
    };
    let (_, column) = *found.ok_or_else(unknown)?;
    let operation = term.operation.as_deref().unwrap_or("MATCH_TERM");
    let unknown = || {
        let names = OPERATORS.map(|(name, _)| name).join(", ");
        WireError::invalid("Query", operation, format!("An operation must be one of {names}."))
    };
    let (_, operator) = *OPERATORS.iter().find(|(name, _)| *name == operation).ok_or_else(unknown)?;
    let given = match &term.value {
        Value::Array(values) => values.as_slice(),
        one => std::slice::from_ref(one),
    };
    at_most(filters::MOST_VALUES, "Query", given.len())?;
    let is_count_right = match operator {
        SnapshotOperator::Between => given.len() == 2,
        SnapshotOperator::In | SnapshotOperator::NotIn => !given.is_empty(),
        _ => given.len() == 1,
    };
    if !is_count_right {
        let accepted = format!("{operation} takes another number of values.");
        return Err(WireError::invalid("Query", &term.value.to_string(), accepted));
    }
    let values = given.iter().map(|given| value(term, column, given)).collect::<Result<_, _>>()?;
    Ok(Some(SnapshotCondition { column, operator, values }))
}

fn value(term: &Term, column: SnapshotColumn, given: &Value) -> Result<SnapshotValue, WireError> {
    let text = text(given);
    if !matches!(column, SnapshotColumn::CompleteTime | SnapshotColumn::CreatedTime) {
        return Ok(SnapshotValue::Text(text));
    }
    let accepted = format!("{} is compared with whole seconds since 1970.", term.field);
    let seconds = text.parse().map_err(|_| WireError::invalid("Query", &text, accepted))?;
    Ok(SnapshotValue::Time(Millis::from_seconds(seconds)))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn view(snapshot: &SnapshotRow) -> Value {
    let list = |patterns: &[String]| (!patterns.is_empty()).then(|| json!(patterns).to_string());
    present(json!({
        "SnapshotId": snapshot.id.as_str(),
        "SnapshotHash": snapshot.hash,
        "ParentSnapshotHash": snapshot.parent_hash,
        "VaultId": snapshot.vault.as_str(),
        "JobId": snapshot.job.as_ref().map(JobId::as_str),
        "PlanId": snapshot.plan.as_ref().map(PlanId::as_str),
        "ClientId": snapshot.client.as_ref().map(ClientId::as_str),
        "InstanceId": snapshot.instance.as_ref().map(InstanceId::as_str),
        "SourceType": snapshot.source_type,
        "BackupType": snapshot.backup_type,
        "Status": snapshot.state,
        "Paths": { "Path": snapshot.spec.files.paths },
        "Path": snapshot.spec.files.paths.first(),
        "Include": list(&snapshot.spec.files.include),
        "Exclude": list(&snapshot.spec.files.exclude),
        "ErrorFile": snapshot.error_file,
        "BytesTotal": snapshot.bytes_total,
        "BytesDone": snapshot.bytes_done,
        "ActualBytes": snapshot.bytes_actual,
        "ItemsTotal": snapshot.items_total,
        "ItemsDone": snapshot.items_done,
        "ActualItems": snapshot.items_actual,
        "StorageClass": "Standard",
        "Retention": snapshot.retention_days,
        "CreatedTime": snapshot.created.map(|time| time.seconds()),
        "StartTime": snapshot.started.seconds(),
        "CompleteTime": snapshot.completed.seconds(),
        "UpdatedTime": snapshot.completed.seconds(),
        "ExpireTime": snapshot.expires.map(|time| time.seconds()),
    }))
}
