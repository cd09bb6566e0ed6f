//! Vaults: made in the background, each in a folder of its own with a password of its own.

use lifeboat_catalog::{AuditRow, NewVault, TaskRow, VaultChange, VaultFilter, VaultRow};
use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::{AccountId, TaskId, VaultId, random_characters};
use lifeboat_worker::{VaultAccess, create_vault};

use crate::{Caller, Missing, Result, Secret, Service, ServiceError, bridge};

/// A vault to be made.
#[derive(Clone, Debug)]
pub struct NewVaultRequest {
    pub name: String,
    pub description: String,
    pub redundancy: String,
    pub is_worm: bool,
}

impl Service {
    /// Begins to make a vault; the task tells when it is there.
    pub async fn create_vault(&self, caller: &Caller, request: NewVaultRequest) -> Result<(VaultId, TaskId)> {
        let task = TaskId::new(self.random.number());
        let (id, password) = self.insert_vault(caller.account, request).await?;
        let now = self.now();
        self.catalog.insert_task(caller.account, &task, ("CreateVault", Some(&id)), now).await?;
        let (service, made, told) = (self.clone(), id.clone(), task.clone());
        bridge::spawn_task(async move { service.make_vault(&made, Some(&told), password).await });
        Ok((id, task))
    }

    /// The row of a vault that is to be made, and its password.
    pub(crate) async fn insert_vault(
        &self,
        account: AccountId,
        request: NewVaultRequest,
    ) -> Result<(VaultId, String)> {
        let id = VaultId::new(self.random.number());
        let password = format!("{:032x}{:032x}", self.random.number(), self.random.number());
        let new = NewVault {
            id: id.clone(),
            account,
            name: request.name,
            description: request.description,
            region: self.region.clone(),
            redundancy: request.redundancy,
            is_worm: request.is_worm,
            password: self.sealer.seal(&owner(&id), &password),
        };
        let most = self.limits.vaults_per_account;
        self.catalog.insert_vault(new, most, self.now()).await.map_err(|error| {
            match ServiceError::from(error) {
                ServiceError::Conflict(_) => {
                    ServiceError::Quota(format!("an account may have {most} vaults"))
                }
                other => other,
            }
        })?;
        Ok((id, password))
    }

    /// Makes the folder of a vault whose row is there.
    pub(crate) async fn make_vault(&self, id: &VaultId, task: Option<&TaskId>, password: String) {
        let access = self.access(id, password);
        let spec_place = access.clone();
        let made = bridge::run(move || create_vault(&access, &Default::default())).await;
        let (state, progress) = match &made {
            Ok(()) => ("CREATED", 100),
            Err(error) => {
                tracing::error!(vault.id = %id, error = %bridge::chain(error), "cannot make vault {id}");
                ("ERROR", -1)
            }
        };
        let now = self.now();
        // The state comes last: who sees that the vault is there finds all else done.
        let noted = async {
            if made.is_ok()
                && let Some(vault) = self.catalog.any_vault(id).await?
            {
                self.write_vault_spec(&vault, &spec_place).await;
            }
            if let Some(task) = task {
                self.catalog.finish_task(task, progress, now).await?;
            }
            self.catalog.set_vault_state(id, state, now).await
        };
        if let Err(error) = noted.await {
            tracing::error!(vault.id = %id, error = %bridge::chain(&error), "cannot note that vault {id} is made");
        }
    }

    /// Changes a vault. What makes it immutable is never undone.
    pub async fn update_vault(&self, caller: &Caller, id: &VaultId, change: &VaultChange) -> Result<()> {
        let missing = || ServiceError::Missing(Missing::Vault, id.to_string());
        if !self.catalog.update_vault(caller.account, id, change, self.now()).await? {
            return Err(missing());
        }
        let vault = self.vault(caller, id).await?;
        if vault.state == "CREATED" {
            let access = self.access_of(&vault)?;
            self.write_vault_spec(&vault, &access).await;
        }
        Ok(())
    }

    /// Begins to delete a vault with its plans, jobs and snapshots: nobody sees it any more, and the rest follows.
    pub async fn delete_vault(&self, caller: &Caller, id: &VaultId) -> Result<()> {
        let vault = self.vault(caller, id).await?;
        if vault.state == "INITIALIZING" {
            return Err(ServiceError::Conflict(format!("the vault {id} is still being made")));
        }
        let now = self.now();
        if let Some(wait) = self.limits.vault_deletion_wait
            && u128::from(now.since(vault.created)) < wait.as_millis()
        {
            let minutes = wait.as_secs() / 60;
            let what =
                format!("the vault {id} was made less than {minutes} minutes ago and cannot be deleted yet");
            return Err(ServiceError::Conflict(what));
        }
        if vault.is_worm && vault.state == "CREATED" {
            // What restic has stored counts, too.
            self.compare(&vault).await?;
        }
        if let Some(policy) = self.catalog.policy_naming_vault(caller.account, id).await? {
            let what =
                format!("a rule of the policy {policy} names the vault {id}; change or delete it first");
            return Err(ServiceError::VaultBound(what));
        }
        if let Some(resource) = self.catalog.resource_naming_vault(caller.account, id).await? {
            let what = format!("backups of {resource} go into the vault {id}; remove that resource first");
            return Err(ServiceError::VaultBound(what));
        }
        if self.catalog.begin_vault_deletion(caller.account, id, now).await? {
            self.wake.notify_one();
            return Ok(());
        }
        if self.vault(caller, id).await?.is_worm {
            let what = format!("the vault {id} is immutable and has snapshots whose retention has not ended");
            return Err(ServiceError::Worm(what));
        }
        Err(ServiceError::Conflict(format!("the vault {id} cannot be deleted now; try again")))
    }

    pub async fn vault(&self, caller: &Caller, id: &VaultId) -> Result<VaultRow> {
        let found = self.catalog.vault(caller.account, id).await?;
        found.ok_or_else(|| ServiceError::Missing(Missing::Vault, id.to_string()))
    }

    pub async fn vaults(&self, caller: &Caller, filter: &VaultFilter, page: Page) -> Result<Paged<VaultRow>> {
        Ok(self.catalog.vaults(caller.account, filter, page).await?)
    }

    /// What opens a vault's repository, for who has the server's folder and key in his hands. Written down in the audit
    /// log of the vault's account first.
    pub async fn vault_password(&self, id: &VaultId) -> Result<Secret> {
        let found = self.catalog.any_vault(id).await?;
        let vault = found.ok_or_else(|| ServiceError::Missing(Missing::Vault, id.to_string()))?;
        let password = Secret::new(self.access_of(&vault)?.password);
        let now = self.now();
        let row = AuditRow {
            id: format!("audit-{}", random_characters(self.random.number())),
            account: vault.account,
            user: None,
            access_key_id: String::new(),
            action: "lifeboat:ReadVaultPassword".to_owned(),
            source_ip: String::new(),
            subject: Some(id.to_string()),
            outcome: "OK".to_owned(),
            started: now,
            ended: Some(now),
        };
        self.catalog.insert_audit(&row).await?;
        Ok(password)
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

pub(crate) fn owner(id: &VaultId) -> String {
    format!("vault {id}")
}
