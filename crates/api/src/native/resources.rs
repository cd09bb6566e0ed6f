//! Resources: databases and Redis servers that can be backed up. The URL that opens one comes in and never goes out.

use jiff::Timestamp;
use lifeboat_model::id::{AccountId, VaultId};
use lifeboat_model::resource::{Engine as ModelEngine, ResourceId, ResourceKind};
use lifeboat_service::{NewResourceRequest, ResourceFilter, ResourceRow, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, List, Nothing, list as list_of, refuse};
use crate::alibaba::WireError;

/// What a resource runs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Postgresql,
    Mariadb,
    Redis,
}

/// A resource to be added.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewResource {
    /// rm- for a database, r- for a Redis, then lower-case letters, digits and hyphens. Unique on the server.
    pub resource_id: String,
    pub engine: Engine,
    /// With user, password and, if need be, options. Kept sealed, never told.
    pub url: String,
    /// Of a Redis: the URL is one of the nodes of a cluster.
    #[serde(default)]
    pub is_cluster: bool,
    /// Where its backups go. Absent for the account's vault of databases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_id: Option<String>,
    /// Whose it is to be. Absent for the caller's own account; another only the server's owner can name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Resource {
    pub resource_id: String,
    pub account_id: String,
    /// database or redis.
    pub kind: String,
    pub engine: Engine,
    /// As the server told when it was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// RUNNING, CREATING, RESTORING or FAILED.
    pub state: String,
    pub scheme: String,
    /// A name, an address, or the path of a socket.
    pub host: String,
    pub port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    pub is_cluster: bool,
    /// Where its backups go. Absent for the account's vault of databases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_id: Option<String>,
    /// Of a server that this one runs itself: where its files are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// What came of a test.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ResourceTest {
    pub resource_id: String,
    /// Nothing was found that is in the way of backups.
    pub is_ready: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What is missing, in plain words.
    pub remarks: Vec<String>,
}

pub(super) async fn create(call: &Call<'_>, new: NewResource) -> Result<Resource, WireError> {
    let account = new.account_id.as_deref().map(account).transpose()?;
    let request = NewResourceRequest {
        id: parsed::<ResourceId>("resource_id", &new.resource_id)?,
        engine: new.engine.into(),
        url: Secret::new(new.url),
        is_cluster: new.is_cluster,
        vault: new.vault_id.as_deref().map(|id| parsed::<VaultId>("vault_id", id)).transpose()?,
        account,
    };
    let made = call.service.add_resource(&call.caller, request).await.map_err(|error| refuse(&error))?;
    Ok(view(call, made))
}

pub(super) async fn list(call: &Call<'_>, _: Nothing) -> Result<List<Resource>, WireError> {
    let page = call.page()?;
    let kind = match call.text("kind") {
        None => None,
        Some(text) => {
            let found = ResourceKind::ALL.into_iter().find(|kind| kind.as_str() == text);
            let refused = || WireError::invalid("kind", text, "It must be database or redis.");
            Some(found.ok_or_else(refused)?)
        }
    };
    let filter = ResourceFilter { kind, ..ResourceFilter::default() };
    let found = call.service.resources(&call.caller, &filter, page).await.map_err(|error| refuse(&error))?;
    Ok(list_of(found, page, |row| view(call, row)))
}

pub(super) async fn show(call: &Call<'_>, _: Nothing) -> Result<Resource, WireError> {
    let id = call.id("resource")?;
    let found = call.service.resource(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    Ok(view(call, found))
}

pub(super) async fn test(call: &Call<'_>, _: Nothing) -> Result<ResourceTest, WireError> {
    let id: ResourceId = call.id("resource")?;
    let report = call.service.test_resource(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    Ok(ResourceTest {
        resource_id: id.into(),
        is_ready: report.remarks.is_empty(),
        version: report.version,
        remarks: report.remarks,
    })
}

pub(super) async fn remove(call: &Call<'_>, _: Nothing) -> Result<Nothing, WireError> {
    let id = call.id("resource")?;
    call.service.remove_resource(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    Ok(Nothing {})
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str, text: &str) -> Result<T, WireError> {
    text.parse().map_err(|error: T::Err| WireError::invalid(name, text, format!("{error}.")))
}

fn account(text: &str) -> Result<AccountId, WireError> {
    let number = text.parse().ok().and_then(AccountId::from_number);
    number.ok_or_else(|| WireError::invalid("account_id", text, "It must be the number of an account."))
}

impl From<Engine> for ModelEngine {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Postgresql => Self::Postgresql,
            Engine::Mariadb => Self::Mariadb,
            Engine::Redis => Self::Redis,
        }
    }
}

impl From<ModelEngine> for Engine {
    fn from(engine: ModelEngine) -> Self {
        match engine {
            ModelEngine::Postgresql => Self::Postgresql,
            ModelEngine::Mariadb => Self::Mariadb,
            ModelEngine::Redis => Self::Redis,
        }
    }
}

fn view(call: &Call<'_>, row: ResourceRow) -> Resource {
    let folder = call.service.resource_folder(&row);
    Resource {
        resource_id: row.id.into(),
        account_id: row.account.to_string(),
        kind: row.engine.kind().as_str().to_owned(),
        engine: row.engine.into(),
        version: row.version,
        state: row.state.as_str().to_owned(),
        scheme: row.address.scheme,
        host: row.address.host,
        port: row.address.port,
        user: row.address.user,
        database: row.address.database,
        is_cluster: row.is_cluster,
        vault_id: row.vault.map(Into::into),
        folder: folder.map(|folder| folder.to_string_lossy().into_owned()),
        created: row.created.into(),
        updated: row.updated.into(),
    }
}
