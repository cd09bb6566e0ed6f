//! ListProtectedResources, ListSnapshots: what is backed up, and the backup points of one such thing.
//!
//! A protected resource is the files of one client as one source type. It has no row of its own: its id says which
//! client and which source type are meant.

use lifeboat_model::id::VaultId;
use lifeboat_model::time::Millis;
use lifeboat_service::{
    ProtectedResource, SnapshotColumn, SnapshotCondition, SnapshotOperator, SnapshotValue, SnapshotWindow,
};
use serde_json::{Value, json};

use super::snapshots::view as view_snapshot;
use super::{present, refuse, window};
use crate::alibaba::{Answer, Call, WireError};

pub(super) async fn list(call: Call<'_>) -> Answer {
    let params = &call.params;
    let (most, at) = window(params)?;
    let source_type = call.source_type()?;
    let product = call.one_of("CreatedByProduct", &["HBR", "BASIC"])?;
    let has_snapshot = params.boolean("HasSnapshot")?;
    let all = call.service.protected_resources(&call.caller).await.map_err(|error| refuse(&error))?;
    let is_wanted = |resource: &&ProtectedResource| {
        product != Some("BASIC")
            && source_type.is_none_or(|kind| kind == resource.source_type)
            && params.text("ResourceId").is_none_or(|id| id == resource_id(resource))
            && has_snapshot.is_none_or(|has| has == (resource.snapshots > 0))
    };
    let wanted: Vec<_> = all.iter().filter(is_wanted).collect();
    let owner = call.caller.account.number();
    let view = |resource: &&ProtectedResource| {
        json!({
            "ProtectedResourceId": protected_id(resource),
            "ResourceId": resource_id(resource),
            "ResourceOwnerId": owner,
            "ResourceRegionId": call.service.region(),
            "SourceType": resource.source_type,
            "CreatedByProduct": "HBR",
            "BackupPlanCount": resource.plans,
            "SnapshotCount": resource.snapshots,
        })
    };
    let (skip, take) = (usize::try_from(at).unwrap_or(usize::MAX), usize::try_from(most).unwrap_or(10));
    let rows: Vec<Value> = wanted.iter().skip(skip).take(take).map(view).collect();
    Ok(listing("ProtectedResources", rows, (most, at), wanted.len() as u64))
}

pub(super) async fn snapshots(call: Call<'_>) -> Answer {
    let params = &call.params;
    let id = params.required("ProtectedResourceId")?;
    let source_type = call.source_type()?.ok_or_else(|| WireError::missing("SourceType"))?;
    let (most, at) = window(params)?;
    let all = call.service.protected_resources(&call.caller).await.map_err(|error| refuse(&error))?;
    let resource = all.iter().find(|resource| protected_id(resource) == id);
    let resource = resource.filter(|resource| resource.source_type == source_type).ok_or_else(|| {
        let what = format!("The protected resource {id} of the source type {source_type} does not exist.");
        WireError::not_found("ResourceNotFound", what)
    })?;
    let is = |column, operator, value| SnapshotCondition { column, operator, values: vec![value] };
    let text = |text: &str| SnapshotValue::Text(text.to_owned());
    let mut conditions = vec![
        is(SnapshotColumn::SourceType, SnapshotOperator::Match, text(source_type)),
        is(SnapshotColumn::ClientId, SnapshotOperator::Match, text(resource.client.as_str())),
    ];
    if let Some(plan) = params.text("PlanId") {
        conditions.push(is(SnapshotColumn::PlanId, SnapshotOperator::Match, text(plan)));
    }
    let bounds = [
        ("CompleteTimeStart", SnapshotOperator::GreaterOrEqual),
        ("CompleteTimeEnd", SnapshotOperator::Less),
    ];
    for (name, operator) in bounds {
        if let Some(seconds) = params.number(name, 0, i64::MAX / 1000)? {
            let time = SnapshotValue::Time(Millis::from_seconds(seconds));
            conditions.push(is(SnapshotColumn::CompleteTime, operator, time));
        }
    }
    let page = SnapshotWindow { is_newest_first: true, limit: most, offset: at, ..SnapshotWindow::default() };
    let found = match params.parsed::<VaultId>("VaultId")? {
        Some(vault) => call.service.snapshots(&call.caller, &vault, &conditions, page).await,
        None => call.service.snapshots_of_all_vaults(&call.caller, &conditions, page).await,
    };
    let found = found.map_err(|error| refuse(&error))?;
    let rows = found.rows.iter().map(view_snapshot).collect();
    Ok(listing("Snapshots", rows, (most, at), found.total))
}

fn listing(name: &str, rows: Vec<Value>, (most, at): (u64, u64), total: u64) -> Value {
    let next = at + rows.len() as u64;
    let has_more = !rows.is_empty() && next < total;
    present(json!({
        name: rows,
        "MaxResults": most,
        "TotalCount": total,
        "NextToken": has_more.then(|| next.to_string()),
    }))
}

/// The instance of files of instances, else the client.
pub(crate) fn resource_id(resource: &ProtectedResource) -> &str {
    match (&resource.instance, resource.source_type.as_str()) {
        (Some(instance), "ECS_FILE") => instance.as_str(),
        _ => resource.client.as_str(),
    }
}

/// The same for as long as there is such a client.
pub(crate) fn protected_id(resource: &ProtectedResource) -> String {
    let client = resource.client.as_str().trim_start_matches("c-");
    let kind = if resource.source_type == "ECS_FILE" { "e" } else { "f" };
    format!("pr-{kind}{client}")
}
