//! DescribeBackupClients.

use lifeboat_service::ClientRow;
use serde_json::{Value, json};

use super::{paged, present, refuse};
use crate::alibaba::{Answer, Call, WireError};

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let page = call.page()?;
    let kind = call.params.required("ClientType")?;
    const KINDS: [&str; 3] = ["ECS_CLIENT", "CONTAINER_CLIENT", "ECS_AGENT"];
    if !KINDS.contains(&kind) {
        return Err(WireError::invalid(
            "ClientType",
            kind,
            format!("It must be one of {}.", KINDS.join(", ")),
        ));
    }
    let wanted = |name: &str| call.json_list(name);
    let (ids, instances) = (wanted("ClientIds")?, wanted("InstanceIds")?);
    let all = call.service.clients(&call.caller).await.map_err(|error| refuse(&error))?;
    let is_wanted = |client: &&ClientRow| {
        kind == "ECS_CLIENT"
            && (ids.is_empty() || ids.iter().any(|id| id == client.id.as_str()))
            && (instances.is_empty() || instances.iter().any(|id| id == client.instance.as_str()))
    };
    let found: Vec<_> = all.iter().filter(is_wanted).collect();
    let start = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    let rows: Vec<_> = found.iter().skip(start).take(page.size as usize).map(|client| view(client)).collect();
    Ok(paged(json!({ "Clients": rows }), page, found.len() as u64))
}

fn view(client: &ClientRow) -> Value {
    present(json!({
        "ClientId": client.id.as_str(),
        "InstanceId": client.instance.as_str(),
        "ClientType": "ECS_CLIENT",
        "ClientVersion": client.version,
        "MaxClientVersion": client.version,
        "Status": "ACTIVATED",
        "Hostname": client.hostname,
        "OsType": "linux",
        "CreatedTime": client.created.seconds(),
        "UpdatedTime": client.heard_of.seconds(),
        "LastHeartBeatTime": client.heard_of.seconds(),
    }))
}
