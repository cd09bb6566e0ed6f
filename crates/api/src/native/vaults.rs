//! Vaults, and the tasks that make them.

use jiff::Timestamp;
use lifeboat_service::{NewVaultRequest, VaultFilter, VaultRow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, List, Nothing, list as list_of, refuse};
use crate::alibaba::WireError;

const MOST_NAME_CHARACTERS: usize = 64;
const MOST_DESCRIPTION_CHARACTERS: usize = 255;

/// A vault to be made.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVault {
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// Nothing in it can be deleted before its retention ends. Never to be taken back.
    #[serde(default)]
    pub is_immutable: bool,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreatedVault {
    pub vault_id: String,
    /// Tells when the vault is there.
    pub task_id: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Vault {
    pub vault_id: String,
    pub name: String,
    pub description: String,
    pub region: String,
    /// INITIALIZING, CREATED or ERROR.
    pub state: String,
    /// Whether nothing in it can be deleted before its retention ends.
    pub is_immutable: bool,
    /// What it takes on disk.
    pub stored_bytes: u64,
    pub snapshots: u64,
    /// What backups into it have read.
    pub bytes_done: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// Something that goes on beside the request that began it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    pub name: String,
    pub state: String,
    /// Percent; -1 when it has failed.
    pub progress: i64,
}

pub(super) async fn create(call: &Call<'_>, new: NewVault) -> Result<CreatedVault, WireError> {
    for (name, value, least, most) in [
        ("name", &new.name, 1, MOST_NAME_CHARACTERS),
        ("description", &new.description, 0, MOST_DESCRIPTION_CHARACTERS),
    ] {
        if !(least..=most).contains(&value.chars().count()) {
            let accepted = format!("It must have {least} to {most} characters.");
            return Err(WireError::invalid(name, value, accepted));
        }
    }
    let request = NewVaultRequest {
        name: new.name,
        description: new.description,
        redundancy: "LRS".to_owned(),
        is_worm: new.is_immutable,
    };
    let (vault, task) =
        call.service.create_vault(&call.caller, request).await.map_err(|error| refuse(&error))?;
    Ok(CreatedVault { vault_id: vault.into(), task_id: task.into() })
}

pub(super) async fn list(call: &Call<'_>, _: Nothing) -> Result<List<Vault>, WireError> {
    let page = call.page()?;
    let filter = VaultFilter { name: call.text("name").map(str::to_owned), ..VaultFilter::default() };
    let found = call.service.vaults(&call.caller, &filter, page).await.map_err(|error| refuse(&error))?;
    Ok(list_of(found, page, Vault::from))
}

pub(super) async fn show(call: &Call<'_>, _: Nothing) -> Result<Vault, WireError> {
    let id = call.id("vault")?;
    let found = call.service.vault(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    Ok(found.into())
}

/// What is being deleted is seen by nobody any more.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Deleted {}

pub(super) async fn delete(call: &Call<'_>, _: Nothing) -> Result<Deleted, WireError> {
    let id = call.id("vault")?;
    call.service.delete_vault(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    Ok(Deleted {})
}

pub(super) async fn task(call: &Call<'_>, _: Nothing) -> Result<Task, WireError> {
    let id = call.id("task")?;
    let found = call.service.task(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    Ok(Task { name: found.name, state: found.state, progress: found.progress })
}

impl From<VaultRow> for Vault {
    fn from(row: VaultRow) -> Self {
        Self {
            vault_id: row.id.into(),
            name: row.name,
            description: row.description,
            region: row.region,
            state: row.state,
            is_immutable: row.is_worm,
            stored_bytes: row.stored_bytes,
            snapshots: row.snapshots,
            bytes_done: row.bytes_done,
            created: row.created.into(),
            updated: row.updated.into(),
        }
    }
}
