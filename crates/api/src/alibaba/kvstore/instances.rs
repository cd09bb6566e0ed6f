//! DescribeInstances: the Redis servers of the caller's account.

use lifeboat_model::resource::{ResourceKind, ResourceState};
use lifeboat_service::{ResourceFilter, ResourceRow};
use serde_json::{Value, json};

use super::refuse;
use crate::alibaba::rds::major;
use crate::alibaba::{Answer, Call, WireError, present, utc};

const MOST_ROWS: i64 = 100;
/// How many ids one request may ask for.
const MOST_IDS: usize = 30;

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let page = call.page_of(MOST_ROWS)?;
    let params = &call.params;
    let mut filter = ResourceFilter { kind: Some(ResourceKind::Redis), ..ResourceFilter::default() };
    if let Some(text) = params.text("InstanceIds") {
        filter.ids = text.split(',').map(str::to_owned).collect();
        if filter.ids.len() > MOST_IDS {
            let accepted = format!("At most {MOST_IDS} ids are accepted.");
            return Err(WireError::invalid("InstanceIds", text, accepted));
        }
    }
    if let Some(wanted) = params.text("InstanceStatus") {
        filter.state = ResourceState::ALL.into_iter().find(|state| status(*state) == wanted);
        // What no instance is in is none, and not all.
        if filter.state.is_none() {
            filter.ids = vec![String::new()];
        }
    }
    let found = call.service.resources(&call.caller, &filter, page).await.map_err(|error| refuse(&error))?;
    let region = call.service.region();
    let rows: Vec<Value> = found.rows.iter().map(|row| view(row, region)).collect();
    Ok(json!({
        "PageNumber": page.number,
        "PageSize": page.size,
        "TotalCount": found.total,
        "Instances": { "KVStoreInstance": rows },
    }))
}

fn view(row: &ResourceRow, region: &str) -> Value {
    let address = (!row.address.host.starts_with('/')).then_some(&row.address);
    present(json!({
        "InstanceId": row.id,
        "RegionId": region,
        "InstanceType": "Redis",
        "ArchitectureType": if row.is_cluster { "cluster" } else { "standard" },
        "EngineVersion": row.version.as_deref().map(|version| major(row.engine, version)),
        "InstanceStatus": status(row.state),
        "ConnectionDomain": address.map(|address| &address.host),
        "Port": address.map(|address| address.port),
        "CreateTime": utc(row.created),
    }))
}

fn status(state: ResourceState) -> &'static str {
    match state {
        ResourceState::Running => "Normal",
        ResourceState::Creating => "Creating",
        ResourceState::Restoring => "BackupRecovering",
        ResourceState::Failed => "Error",
    }
}
