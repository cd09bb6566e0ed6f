//! DescribeBackupClients, DescribeClients, OpenHbrService.

use std::collections::BTreeMap;

use lifeboat_service::{ClientRow, Labels};
use serde_json::{Value, json};

use super::filters::given;
use super::{nothing, paged, present, refuse, tags};
use crate::alibaba::{Answer, Call, WireError};

/// What the clients here are.
const KIND: &str = "ECS_CLIENT";
/// Kinds that there are in the protocol; those not built yet match nothing.
const KINDS: [&str; 4] = [KIND, "CONTAINER_CLIENT", "ECS_AGENT", "LOCAL_CLIENT"];
const STATUS: &str = "ACTIVATED";

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let page = call.page()?;
    call.params.required("ClientType")?;
    let kind = call.one_of("ClientType", &KINDS)?;
    let (ids, instances) = (call.json_list("ClientIds")?, call.json_list("InstanceIds")?);
    let filters = filters(&call)?;
    let labels = tags::wanted(&call.params)?;
    // There are no groups of clients yet.
    let is_possible = kind == Some(KIND) && call.params.text("ClusterId").is_none();
    let (all, written) = clients(&call).await?;
    let is_wanted = |client: &&ClientRow| {
        is_possible
            && (ids.is_empty() || ids.iter().any(|id| id == client.id.as_str()))
            && (instances.is_empty() || instances.iter().any(|id| id == client.instance.as_str()))
            && filters.iter().all(|(field, values)| values.iter().any(|value| value == field.of(client)))
            && tags::is_wanted(&labels, written.get(client.id.as_str()))
    };
    let found: Vec<_> = all.iter().filter(is_wanted).collect();
    let view = |client: &&ClientRow| view(client, written.get(client.id.as_str()));
    let rows: Vec<_> = window(&found, page).map(view).collect();
    Ok(paged(json!({ "Clients": rows }), page, found.len() as u64))
}

/// `Filters.N`: what it compares, and with which values.
fn filters(call: &Call<'_>) -> Result<Vec<(Field, Vec<String>)>, WireError> {
    let mut filters = Vec::new();
    for (place, filter) in given(&call.params)? {
        let key = filter.text("Key").ok_or_else(|| WireError::missing(&format!("{place}.Key")))?;
        let values: Vec<_> = filter.list("Values").into_iter().map(str::to_owned).collect();
        if values.is_empty() {
            return Err(WireError::missing(&format!("{place}.Values")));
        }
        let field = Field::ALL.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        let unknown = || {
            let accepted = format!("It must be one of {}.", Field::ALL.map(|(name, _)| name).join(", "));
            WireError::invalid(&format!("{place}.Key"), key, accepted)
        };
        filters.push((field.ok_or_else(unknown)?.1, values));
    }
    Ok(filters)
}

#[derive(Clone, Copy)]
enum Field {
    ClientId,
    InstanceId,
    Hostname,
    Version,
    Status,
    BackupStatus,
    OsType,
}

impl Field {
    const ALL: [(&str, Self); 8] = [
        ("ClientId", Self::ClientId),
        ("InstanceId", Self::InstanceId),
        ("Hostname", Self::Hostname),
        ("InstanceName", Self::Hostname),
        ("ClientVersion", Self::Version),
        ("Status", Self::Status),
        ("BackupStatus", Self::BackupStatus),
        ("OsType", Self::OsType),
    ];

    fn of(self, client: &ClientRow) -> &str {
        match self {
            Self::ClientId => client.id.as_str(),
            Self::InstanceId => client.instance.as_str(),
            Self::Hostname => &client.hostname,
            Self::Version => &client.version,
            Self::Status => STATUS,
            Self::BackupStatus => protection(client),
            Self::OsType => OS,
        }
    }
}

const OS: &str = "linux";

fn protection(client: &ClientRow) -> &'static str {
    if client.is_protected { "PROTECTED" } else { "UNPROTECTED" }
}

fn view(client: &ClientRow, labels: Option<&Labels>) -> Value {
    present(json!({
        "ClientId": client.id.as_str(),
        "InstanceId": client.instance.as_str(),
        "InstanceName": client.hostname,
        "ClientType": KIND,
        "ClientVersion": client.version,
        "MaxClientVersion": client.version,
        "Status": STATUS,
        "BackupStatus": protection(client),
        "Appliance": false,
        "Hostname": client.hostname,
        "OsType": OS,
        "Tags": tags::view(labels),
        "CreatedTime": client.created.seconds(),
        "UpdatedTime": client.heard_of.seconds(),
        "LastHeartBeatTime": client.heard_of.seconds(),
    }))
}

/// The older listing, which names fewer things of a client.
pub(super) async fn describe_plain(call: Call<'_>) -> Answer {
    let page = call.page()?;
    let kind = call.one_of("ClientType", &KINDS)?;
    let source = call.one_of("SourceType", &["HANA", "ECS_FILE", "File"])?;
    let id = call.params.text("ClientId");
    let labels = tags::wanted(&call.params)?;
    let mut is_possible = kind.is_none_or(|kind| kind == KIND)
        && source.is_none_or(|source| source != "HANA")
        && call.params.text("ClusterId").is_none();
    if let Some(vault) = call.params.parsed("VaultId")? {
        // Any client may back up to any vault of its account.
        is_possible &= call.service.vault(&call.caller, &vault).await.is_ok();
    }
    let (all, written) = clients(&call).await?;
    let is_wanted = |client: &&ClientRow| {
        is_possible
            && id.is_none_or(|id| id == client.id.as_str())
            && tags::is_wanted(&labels, written.get(client.id.as_str()))
    };
    let found: Vec<_> = all.iter().filter(is_wanted).collect();
    let rows: Vec<_> = window(&found, page).map(|client| plain_view(client)).collect();
    Ok(paged(json!({ "Clients": { "Client": rows } }), page, found.len() as u64))
}

fn plain_view(client: &ClientRow) -> Value {
    json!({
        "ClientId": client.id.as_str(),
        "ClientName": client.hostname,
        "ClientType": KIND,
        "ClientVersion": client.version,
        "MaxVersion": client.version,
        "InstanceId": client.instance.as_str(),
        "InstanceName": client.hostname,
        "Status": STATUS,
        "CreatedTime": client.created.seconds(),
        "UpdatedTime": client.heard_of.seconds(),
        "HeartBeatTime": client.heard_of.seconds(),
    })
}

/// The service is open to everybody who has a key: there is nothing to order.
pub(super) async fn open_service(_: Call<'_>) -> Answer {
    Ok(nothing())
}

async fn clients(call: &Call<'_>) -> Result<(Vec<ClientRow>, BTreeMap<String, Labels>), WireError> {
    let all = match call.crossing().await? {
        None => call.service.clients(&call.caller).await,
        Some(crossing) => call.service.clients_across(&crossing).await,
    };
    let all = all.map_err(|error| refuse(&error))?;
    let ids: Vec<_> = all.iter().map(|client| client.id.as_str()).collect();
    let written = call.service.labels(&call.caller, &ids).await.map_err(|error| refuse(&error))?;
    Ok((all, written))
}

fn window<T>(all: &[T], page: lifeboat_model::filter::Page) -> impl Iterator<Item = &T> {
    let start = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    all.iter().skip(start).take(page.size as usize)
}
