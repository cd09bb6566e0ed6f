//! The start of a server: the root account, its key, the built-in client, and what the last server left undone.
//!
//! Everything here can be done again: a start that dies in the middle is finished by the next.

use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_catalog::{Catalog, ClientRow, NewAccessKey};
use lifeboat_model::id::{AccountId, ClientId, InstanceId};
use lifeboat_worker::Slots;

use tokio::sync::Semaphore;

use crate::browse::BROWSING_AT_ONCE;
use crate::signing::owner;
use crate::{Clock, Limits, Random, Result, Sealer, Secret, Service, bridge};

/// What a service is made of.
pub struct Start {
    pub catalog: Catalog,
    pub sealer: Sealer,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub time: lifeboat_worker::Time,
    pub vault_root: PathBuf,
    pub region: String,
    pub hostname: String,
    /// Tells it from all others that work on the same catalog, also after a new start.
    pub server: String,
    pub spool_folder: PathBuf,
    /// Files to be fetched for some time are made in it.
    pub temp_folder: PathBuf,
    pub data_folder: PathBuf,
    /// Servers that are made of backups have their folders in it.
    pub instance_root: PathBuf,
    pub limits: Limits,
}

/// Whom the server belongs to: made once, the same ever after.
#[derive(Clone, Debug)]
pub struct Root {
    pub account: AccountId,
    pub access_key_id: String,
    pub access_key_secret: Secret,
    /// The client that is this server's own machine.
    pub client: ClientId,
    pub instance: InstanceId,
    pub version: String,
}

impl Start {
    /// Brings the catalog to where requests can be answered.
    pub async fn run(self, root: &Root) -> Result<Service> {
        let service = self.assemble(root);
        service.make_root(root).await?;
        service.finish_vaults().await?;
        Ok(service)
    }

    /// The same with only the rows of the root account brought up to date: for what is done while no server runs.
    pub async fn without_jobs(self, root: &Root) -> Result<Service> {
        let service = self.assemble(root);
        service.make_root(root).await?;
        Ok(service)
    }

    /// The service alone, which has not touched the catalog.
    pub fn assemble(self, root: &Root) -> Service {
        Service {
            catalog: self.catalog,
            sealer: Arc::new(self.sealer),
            clock: self.clock,
            random: self.random,
            time: self.time,
            vault_root: self.vault_root,
            region: self.region,
            root: root.account,
            client: root.client.clone(),
            hostname: self.hostname,
            server: self.server,
            spool_folder: self.spool_folder,
            temp_folder: self.temp_folder,
            making_vault: Arc::default(),
            data_folder: self.data_folder,
            instance_root: self.instance_root,
            uploads: Slots::new(self.limits.uploads_at_once),
            limits: self.limits,
            nonces: Arc::default(),
            figures: Arc::default(),
            wake: Arc::default(),
            running: Arc::default(),
            upkeep: Arc::default(),
            browsing: Arc::new(Semaphore::new(BROWSING_AT_ONCE)),
        }
    }
}

impl Service {
    async fn make_root(&self, root: &Root) -> Result<()> {
        let now = self.now();
        if self.catalog.account(root.account).await?.is_none() {
            self.catalog.insert_account(root.account, "root", now).await?;
        }
        let owner = owner(&root.access_key_id);
        match self.catalog.access_key(&root.access_key_id).await? {
            // A key that is another one is told of now, and not by each request.
            Some(known) => drop(self.sealer.open(&owner, &known.secret)?),
            None => {
                let secret = self.sealer.seal(&owner, root.access_key_secret.expose());
                let new = NewAccessKey {
                    id: root.access_key_id.clone(),
                    account: root.account,
                    user: None,
                    secret,
                };
                self.catalog.insert_access_key(new, now).await?;
            }
        }
        let client = ClientRow {
            id: root.client.clone(),
            account: root.account,
            instance: root.instance.clone(),
            hostname: self.hostname.clone(),
            version: root.version.clone(),
            created: now,
            heard_of: now,
            is_protected: false,
        };
        Ok(self.catalog.upsert_client(&client).await?)
    }

    /// Makes the vaults that were being made when the last server ended.
    async fn finish_vaults(&self) -> Result<()> {
        for vault in self.catalog.unfinished_vaults().await? {
            let password = self.access_of(&vault)?.password;
            let task = self.catalog.task_of_vault(&vault.id).await?;
            let service = self.clone();
            bridge::spawn_task(async move { service.make_vault(&vault.id, task.as_ref(), password).await });
        }
        Ok(())
    }
}
