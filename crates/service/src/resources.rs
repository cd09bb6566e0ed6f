//! Resources: databases and Redis servers that can be backed up, each with the URL that opens it, sealed.
//!
//! An id is taken for all accounts at once; whose it is is told to nobody. A resource that is removed takes nothing with
//! it: its backups stay, and are its again when it is added under the same id.

use lifeboat_catalog::{NewResource, ResourceFilter, ResourceRow};
use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::{AccountId, VaultId};
use lifeboat_model::resource::{Engine, ResourceId, ResourceState};
use lifeboat_worker::{Ctx, TestReport, resource_address, test_resource};

use crate::error::Invalid;
use crate::{Caller, Missing, Result, Secret, Service, ServiceError, bridge};

/// A resource to be added.
#[derive(Clone, Debug)]
pub struct NewResourceRequest {
    pub id: ResourceId,
    pub engine: Engine,
    pub url: Secret,
    /// Of a Redis: the URL is one of the nodes of a cluster.
    pub is_cluster: bool,
    /// Absent for the account's vault of databases.
    pub vault: Option<VaultId>,
    /// Absent for the caller's own.
    pub account: Option<AccountId>,
}

impl Service {
    /// Adds a resource; nobody asks the server itself yet.
    pub async fn add_resource(&self, caller: &Caller, request: NewResourceRequest) -> Result<ResourceRow> {
        let NewResourceRequest { id, engine, url, is_cluster, vault, account } = request;
        let account = self.account_of(caller, account).await?;
        let kind = engine.kind();
        if id.kind() != kind {
            let accepted = format!("The id of a {} begins with {}.", kind.as_str(), kind.prefix());
            return Err(Invalid::new("resource id", id.as_str(), accepted).into());
        }
        if is_cluster && engine != Engine::Redis {
            return Err(Invalid::new("is cluster", "true", "Only Redis has clusters here.").into());
        }
        // What is wrong with a URL is told without it: it may hold a password.
        let address = resource_address(engine, url.expose())
            .map_err(|error| Invalid::new("url", "***", format!("{error}.")))?;
        self.check_url(account, url.expose())?;
        if let Some(vault) = &vault {
            let found = self.catalog.vault(account, vault).await?;
            found.ok_or_else(|| ServiceError::Missing(Missing::Vault, vault.to_string()))?;
        }
        let sealed = self.sealer.seal(&owner(&id), url.expose());
        let new = NewResource {
            id: id.clone(),
            account,
            engine,
            address,
            url: sealed,
            is_cluster,
            vault,
            instance: None,
            state: ResourceState::Running,
        };
        self.catalog.insert_resource(new, self.now()).await.map_err(|error| {
            match ServiceError::from(error) {
                ServiceError::Exists(_) => ServiceError::Exists(format!(
                    "the id {id} is taken on this server; give the resource another"
                )),
                other => other,
            }
        })?;
        self.resource_in(account, &id).await
    }

    pub async fn resource(&self, caller: &Caller, id: &ResourceId) -> Result<ResourceRow> {
        self.resource_in(caller.account, id).await
    }

    /// Resources of the caller's account, oldest first.
    pub async fn resources(
        &self,
        caller: &Caller,
        filter: &ResourceFilter,
        page: Page,
    ) -> Result<Paged<ResourceRow>> {
        Ok(self.catalog.resources(caller.account, filter, page).await?)
    }

    /// Forgets a resource and how to open it; its backups stay. A server of ours behind it goes with it: it has stopped
    /// before the resource is forgotten, and its files go last.
    pub async fn remove_resource(&self, caller: &Caller, id: &ResourceId) -> Result<()> {
        let row = self.resource(caller, id).await?;
        let busy = || {
            let what = format!("a job of {id} is under way; wait for its end or stop it first");
            ServiceError::Conflict(what)
        };
        if self.catalog.is_resource_busy(id).await? {
            return Err(busy());
        }
        self.stop_server_of(&row).await?;
        if !self.catalog.delete_resource(caller.account, id).await? {
            return Err(busy());
        }
        self.remove_files_of(&row).await;
        Ok(())
    }

    /// Connects to a resource and tells what is missing for backups of it. Remembers its version.
    pub async fn test_resource(&self, caller: &Caller, id: &ResourceId) -> Result<TestReport> {
        let row = self.resource(caller, id).await?;
        self.must_be_here(&row)?;
        let url = self.resource_endpoint(&row)?;
        let reach = self.reach(&row);
        let tested = bridge::run(move || {
            test_resource(row.engine, url.expose(), (row.is_cluster, &reach), &Ctx::default())
        })
        .await;
        let report = match tested {
            Ok(report) => report,
            Err(error) => TestReport { version: None, remarks: vec![bridge::chain(&error)] },
        };
        if let Some(version) = &report.version {
            self.catalog.set_resource_version(id, version, self.now()).await?;
        }
        Ok(report)
    }

    /// The URL that opens a resource, if its account may use what it names.
    pub(crate) fn resource_endpoint(&self, row: &ResourceRow) -> Result<Secret> {
        let url = Secret::new(self.sealer.open(&owner(&row.id), &row.url)?);
        self.check_url(row.account, url.expose())?;
        Ok(url)
    }

    async fn resource_in(&self, account: AccountId, id: &ResourceId) -> Result<ResourceRow> {
        let found = self.catalog.resource(account, id).await?;
        found.ok_or_else(|| ServiceError::Missing(Missing::Resource, id.to_string()))
    }

    /// The account that something is added to: another than the caller's only by the server's owner.
    async fn account_of(&self, caller: &Caller, named: Option<AccountId>) -> Result<AccountId> {
        let Some(account) = named.filter(|account| *account != caller.account) else {
            return Ok(caller.account);
        };
        self.must_be_owners_own(caller, "lifeboat:CreateResource")?;
        let found = self.catalog.account(account).await?;
        found.map(|row| row.id).ok_or_else(|| ServiceError::Missing(Missing::Account, account.to_string()))
    }
}

pub(crate) fn owner(id: &ResourceId) -> String {
    format!("resource {id}")
}
