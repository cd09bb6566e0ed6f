//! Vaults: made in the background, each in a folder of its own with a password of its own.

use lifeboat_catalog::{NewVault, TaskRow, VaultFilter, VaultRow};
use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::{TaskId, VaultId};
use lifeboat_worker::{VaultAccess, create_vault};

use crate::{Caller, Missing, Result, Service, ServiceError, bridge};

/// A vault to be made.
#[derive(Clone, Debug)]
pub struct NewVaultRequest {
    pub name: String,
    pub description: String,
    pub redundancy: String,
}

impl Service {
    /// Begins to make a vault; the task tells when it is there.
    pub async fn create_vault(&self, caller: &Caller, request: NewVaultRequest) -> Result<(VaultId, TaskId)> {
        let id = VaultId::new(self.random.number());
        let task = TaskId::new(self.random.number());
        let password = format!("{:032x}{:032x}", self.random.number(), self.random.number());
        let new = NewVault {
            id: id.clone(),
            account: caller.account,
            name: request.name,
            description: request.description,
            region: self.region.clone(),
            redundancy: request.redundancy,
            password: self.sealer.seal(&owner(&id), &password),
        };
        let now = self.now();
        let most = self.limits.vaults_per_account;
        self.catalog.insert_vault(new, most, now).await.map_err(|error| match ServiceError::from(error) {
            ServiceError::Conflict(_) => ServiceError::Quota(format!("an account may have {most} vaults")),
            other => other,
        })?;
        self.catalog.insert_task(caller.account, &task, "CreateVault", now).await?;
        let (service, made, told) = (self.clone(), id.clone(), task.clone());
        bridge::spawn_task(async move { service.make_vault(&made, Some(&told), password).await });
        Ok((id, task))
    }

    /// Makes the folder of a vault whose row is there.
    pub(crate) async fn make_vault(&self, id: &VaultId, task: Option<&TaskId>, password: String) {
        let access = self.access(id, password);
        let made = bridge::run(move || create_vault(&access, &Default::default())).await;
        let (state, progress) = match &made {
            Ok(()) => ("CREATED", 100),
            Err(error) => {
                tracing::error!(vault.id = %id, error = %bridge::chain(error), "cannot make vault {id}");
                ("ERROR", -1)
            }
        };
        let now = self.now();
        let noted = async {
            self.catalog.set_vault_state(id, state, now).await?;
            match task {
                Some(task) => self.catalog.finish_task(task, progress, None, now).await,
                None => Ok(()),
            }
        };
        if let Err(error) = noted.await {
            tracing::error!(vault.id = %id, error = %bridge::chain(&error), "cannot note that vault {id} is made");
        }
    }

    pub async fn vault(&self, caller: &Caller, id: &VaultId) -> Result<VaultRow> {
        let found = self.catalog.vault(caller.account, id).await?;
        found.ok_or_else(|| ServiceError::Missing(Missing::Vault, id.to_string()))
    }

    pub async fn vaults(&self, caller: &Caller, filter: &VaultFilter, page: Page) -> Result<Paged<VaultRow>> {
        Ok(self.catalog.vaults(caller.account, filter, page).await?)
    }

    pub async fn task(&self, caller: &Caller, id: &TaskId) -> Result<TaskRow> {
        let found = self.catalog.task(caller.account, id).await?;
        found.ok_or_else(|| ServiceError::Missing(Missing::Task, id.to_string()))
    }

    /// How to get into a vault.
    pub(crate) fn access(&self, id: &VaultId, password: String) -> VaultAccess {
        VaultAccess {
            place: self.vault_root.join(id.as_str()),
            password,
            hostname: self.hostname.clone(),
            time: self.time.clone(),
            spool_folder: self.spool_folder.clone(),
            lock_wait: std::time::Duration::from_secs(60),
        }
    }

    pub(crate) fn access_of(&self, vault: &VaultRow) -> Result<VaultAccess> {
        let password = self.sealer.open(&owner(&vault.id), &vault.password)?;
        Ok(self.access(&vault.id, password))
    }
}

fn owner(id: &VaultId) -> String {
    format!("vault {id}")
}
