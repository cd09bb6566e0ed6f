//! CreateVault, DescribeVaults, UpdateVault, DeleteVault, DescribeTask.

use lifeboat_model::id::VaultId;
use lifeboat_service::{Labels, NewVaultRequest, VaultChange, VaultFilter, VaultRow};
use serde_json::{Value, json};

use super::{nothing, paged, present, refuse, tags};
use crate::alibaba::{Answer, Call, WireError};

pub(super) async fn create(call: Call<'_>) -> Answer {
    let name = call.params.required("VaultName")?;
    check_length("VaultName", name, 64)?;
    let region = call.params.required("VaultRegionId")?;
    if region != call.service.region() {
        let accepted = format!("This server's region is {}.", call.service.region());
        return Err(WireError::invalid("VaultRegionId", region, accepted));
    }
    let description = call.params.text("Description").unwrap_or_default();
    check_length("Description", description, 255)?;
    call.one_of("VaultType", &["STANDARD", "OTS_BACKUP"])?;
    call.one_of("VaultStorageClass", &["STANDARD"])?;
    call.one_of("EncryptType", &["HBR_PRIVATE"])?;
    let redundancy = call.one_of("RedundancyType", &["LRS", "ZRS"])?.unwrap_or("LRS");
    let request = NewVaultRequest {
        name: name.to_owned(),
        description: description.to_owned(),
        redundancy: redundancy.to_owned(),
        is_worm: call.params.boolean("WormEnabled")?.unwrap_or(false),
    };
    let made = call.service.create_vault(&call.caller, request).await;
    let (vault, task) = made.map_err(|error| refuse(&error))?;
    Ok(json!({ "VaultId": vault.as_str(), "TaskId": task.as_str() }))
}

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let page = call.page()?;
    let params = &call.params;
    let empty = paged(json!({ "Vaults": { "Vault": [] } }), page, 0);
    if params.text("VaultRegionId").is_some_and(|region| region != call.service.region())
        || params.boolean("Replication")? == Some(true)
        || params.text("VaultType").is_some_and(|kind| kind != "STANDARD")
    {
        return Ok(empty);
    }
    let text = |name| params.text(name).map(str::to_owned);
    let filter = VaultFilter {
        id: text("VaultId"),
        name: text("VaultName"),
        state: text("Status"),
        labels: tags::wanted(params)?,
    };
    let found = call.service.vaults(&call.caller, &filter, page).await.map_err(|error| refuse(&error))?;
    let ids: Vec<_> = found.rows.iter().map(|vault| vault.id.as_str()).collect();
    let written = call.service.labels(&call.caller, &ids).await.map_err(|error| refuse(&error))?;
    let rows: Vec<_> = found.rows.iter().map(|row| view(row, written.get(row.id.as_str()))).collect();
    Ok(paged(json!({ "Vaults": { "Vault": rows } }), page, found.total))
}

fn view(vault: &VaultRow, labels: Option<&Labels>) -> Value {
    let kinds = [("ECS_FILE", vault.instance_plans), ("File", vault.file_plans)];
    let kinds: Vec<_> = kinds.into_iter().filter(|(_, plans)| *plans > 0).map(|(kind, _)| kind).collect();
    present(json!({
        "VaultId": vault.id.as_str(),
        "VaultName": vault.name,
        "Description": vault.description,
        "VaultRegionId": vault.region,
        "VaultType": "STANDARD",
        "VaultStorageClass": "STANDARD",
        "RedundancyType": vault.redundancy,
        "EncryptType": "HBR_PRIVATE",
        "Status": vault.state,
        "Dedup": true,
        "CompressionAlgorithm": "ZSTD",
        "Replication": false,
        "ReplicationSourceVault": false,
        "SnapshotCount": vault.snapshots,
        "BytesDone": vault.bytes_done,
        // A vault that was measured has its keys at least.
        "StorageSize": (vault.stored_bytes > 0).then_some(vault.stored_bytes),
        "WormEnabled": vault.is_worm,
        "ChargeType": "FREE",
        "SearchEnabled": false,
        "IndexAvailable": false,
        "IndexLevel": "OFF",
        "SourceTypes": { "SourceType": kinds },
        "BackupPlanStatistics": { "EcsFile": vault.instance_plans, "LocalFile": vault.file_plans },
        "Tags": { "Tag": tags::view(labels) },
        "ResourceGroupId": labels.and_then(|labels| labels.group.clone()),
        "VaultOwnerId": vault.account.number(),
        "CreatedTime": vault.created.seconds(),
        "UpdatedTime": vault.updated.seconds(),
    }))
}

/// Changes what is given and leaves the rest.
pub(super) async fn update(call: Call<'_>) -> Answer {
    let id = vault_id(&call)?;
    let name = call.params.text("VaultName");
    if let Some(name) = name {
        check_length("VaultName", name, 64)?;
    }
    let description = call.params.raw("Description");
    check_length("Description", description.unwrap_or_default(), 255)?;
    let worm = call.params.boolean("WormEnabled")?;
    if worm == Some(false) {
        let vault = call.service.vault(&call.caller, &id).await.map_err(|error| refuse(&error))?;
        if vault.is_worm {
            let accepted = "It must be true: a vault that is immutable stays so.";
            return Err(WireError::invalid("WormEnabled", "false", accepted));
        }
    }
    let change = VaultChange {
        name: name.map(str::to_owned),
        description: description.map(str::to_owned),
        make_worm: worm == Some(true),
    };
    call.service.update_vault(&call.caller, &id, &change).await.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

pub(super) async fn delete(call: Call<'_>) -> Answer {
    let id = vault_id(&call)?;
    call.service.delete_vault(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    Ok(nothing())
}

/// The vault that is meant. What is no id is the id of no vault.
fn vault_id(call: &Call<'_>) -> Result<VaultId, WireError> {
    let text = call.params.required("VaultId")?;
    text.parse().map_err(|_| {
        let what = format!("The vault {text} does not exist.");
        WireError::not_found("VaultNotExist", what)
    })
}

pub(super) async fn task(call: Call<'_>) -> Answer {
    let id = call.params.required("TaskId")?;
    let unknown = || WireError::not_found("TaskNotFound", format!("The task {id} does not exist."));
    let task = call.service.task(&call.caller, &id.parse().map_err(|_| unknown())?).await;
    let task = task.map_err(|error| refuse(&error))?;
    Ok(present(json!({
        "Name": task.name,
        "Description": task.state,
        "Progress": task.progress,
        "CreatedTime": task.created.seconds(),
        "UpdatedTime": task.updated.seconds(),
        "CompletedTime": task.completed.map(|time| time.seconds()),
    })))
}

pub(super) fn check_length(name: &str, value: &str, most: usize) -> Result<(), WireError> {
    if value.chars().count() <= most {
        return Ok(());
    }
    Err(WireError::invalid(name, value, format!("It must be at most {most} characters long.")))
}
