//! The way back from the vaults to a catalog that is lost.
//!
//! Beside each repository lies a file that says whose it is and holds its password, sealed with the server's key. It is
//! written after the row, and again by every look into the vault, so it is behind by one look at the most. A rebuild
//! only adds rows; one that dies is finished by the next.

use std::collections::BTreeMap;

use lifeboat_catalog::{NewVault, VaultRow};
use lifeboat_model::id::{AccountId, VaultId};
use lifeboat_model::time::Millis;
use lifeboat_worker::{VaultAccess, opens, read_spec, vault_folders, write_spec};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::vaults::owner;
use crate::{Result, Service, ServiceError, bridge};

/// What the file beside a repository says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct VaultSpec {
    id: VaultId,
    account: AccountId,
    name: String,
    description: String,
    region: String,
    redundancy: String,
    is_worm: bool,
    created: Millis,
    /// Sealed.
    password: String,
}

/// What a rebuild has found.
#[derive(Debug, Default)]
pub struct Rebuilt {
    /// The vaults, and how many snapshots each has now.
    pub vaults: BTreeMap<VaultId, u64>,
    /// Folders that no vault could be made of, and why.
    pub left_out: BTreeMap<String, String>,
}

impl Service {
    /// Adds what the vaults have and the catalog does not. `passwords` are for vaults whose own this server cannot
    /// open, because another server has sealed it; these become `root`'s.
    pub async fn rebuild(&self, root: AccountId, passwords: &[String]) -> Result<Rebuilt> {
        let folder = self.vault_root.clone();
        let names = bridge::run(move || vault_folders(&folder)).await.map_err(ServiceError::Storage)?;
        let mut rebuilt = Rebuilt::default();
        for name in names {
            match self.rebuild_vault(&name, root, passwords).await {
                Ok(vault) => {
                    rebuilt.vaults.insert(vault.id.clone(), vault.snapshots);
                }
                Err(failed @ (ServiceError::Unavailable(_) | ServiceError::Internal(_))) => {
                    return Err(failed);
                }
                Err(failed) => {
                    rebuilt.left_out.insert(name, bridge::chain(&failed));
                }
            }
        }
        Ok(rebuilt)
    }

    async fn rebuild_vault(&self, name: &str, root: AccountId, passwords: &[String]) -> Result<VaultRow> {
        let id: VaultId =
            name.parse().map_err(|_| ServiceError::Strange(format!("{name:?} is no id of a vault")))?;
        if self.catalog.any_vault(&id).await?.is_none() {
            let spec = self.found_spec(&id, root, passwords).await?;
            self.add_account(spec.account).await?;
            let new = NewVault {
                id: id.clone(),
                account: spec.account,
                name: spec.name,
                description: spec.description,
                region: spec.region,
                redundancy: spec.redundancy,
                is_worm: spec.is_worm,
                password: spec.password,
            };
            self.catalog.insert_found_vault(new, spec.created, self.now()).await?;
        }
        let gone = || ServiceError::Missing(crate::Missing::Vault, id.to_string());
        let vault = self.catalog.any_vault(&id).await?.ok_or_else(gone)?;
        self.compare(&vault).await?;
        self.catalog.any_vault(&id).await?.ok_or_else(gone)
    }

    /// What is known of a vault without a row, with a password that this server can open.
    async fn found_spec(&self, id: &VaultId, root: AccountId, passwords: &[String]) -> Result<VaultSpec> {
        let access = self.access(id, String::new());
        let content = bridge::run(move || read_spec(&access)).await.map_err(ServiceError::Storage)?;
        let spec = content.and_then(|content| serde_json::from_slice::<VaultSpec>(&content).ok());
        if let Some(spec) = &spec
            && spec.id == *id
            && self.sealer.open(&owner(id), &spec.password).is_ok()
        {
            return Ok(spec.clone());
        }
        let mut tries = passwords.iter();
        let password = loop {
            let Some(password) = tries.next() else {
                return Err(ServiceError::Strange(
                    "none of the passwords that are known or given opens it".to_owned(),
                ));
            };
            let access = self.access(id, password.clone());
            if bridge::run(move || opens(&access)).await {
                break password;
            }
        };
        let found = spec.filter(|spec| spec.id == *id);
        let text = |field: fn(&VaultSpec) -> &String| found.as_ref().map(field).cloned();
        Ok(VaultSpec {
            id: id.clone(),
            account: root,
            name: text(|spec| &spec.name).unwrap_or_else(|| id.to_string()),
            description: text(|spec| &spec.description).unwrap_or_default(),
            region: self.region.clone(),
            redundancy: text(|spec| &spec.redundancy).unwrap_or_else(|| "LRS".to_owned()),
            is_worm: found.as_ref().is_some_and(|spec| spec.is_worm),
            created: found.as_ref().map_or_else(|| self.now(), |spec| spec.created),
            password: self.sealer.seal(&owner(id), password),
        })
    }

    async fn add_account(&self, id: AccountId) -> Result<()> {
        if self.catalog.account(id).await?.is_none() {
            self.catalog.insert_account(id, &format!("account-{id}"), self.now()).await?;
        }
        Ok(())
    }

    /// Writes down beside the repository what a rebuild will want to know. A failure is told and made good later.
    pub(crate) async fn write_vault_spec(&self, vault: &VaultRow, access: &VaultAccess) {
        let spec = VaultSpec {
            id: vault.id.clone(),
            account: vault.account,
            name: vault.name.clone(),
            description: vault.description.clone(),
            region: vault.region.clone(),
            redundancy: vault.redundancy.clone(),
            is_worm: vault.is_worm,
            created: vault.created,
            password: vault.password.clone(),
        };
        let content = serde_json::to_vec_pretty(&spec).expect("a spec has text as keys");
        let access = access.clone();
        if let Err(failed) = bridge::run(move || write_spec(&access, &content)).await {
            warn!(vault.id = %vault.id, error = %failed, "cannot write lifeboat.json beside vault {}", vault.id);
        }
    }
}
