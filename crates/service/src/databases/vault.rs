//! Where backups of databases go: into the vault that their resource names, else into the account's vault `databases`.

use lifeboat_catalog::{ResourceRow, VaultFilter};
use lifeboat_model::filter::Page;
use lifeboat_model::id::VaultId;

use crate::{NewVaultRequest, Result, Service, ServiceError};

const NAME: &str = "databases";

impl Service {
    /// The vault for the backups of a resource; made when it is needed for the first time.
    pub(crate) async fn vault_of_databases(&self, row: &ResourceRow) -> Result<VaultId> {
        if let Some(vault) = &row.vault {
            return Ok(vault.clone());
        }
        // Two backups that are the first at once make one vault.
        let _one_at_a_time = self.making_vault.lock().await;
        if let Some(vault) = self.found_vault(row).await? {
            return Ok(vault);
        }
        let request = NewVaultRequest {
            name: NAME.to_owned(),
            description: "backups of databases and of Redis".to_owned(),
            redundancy: "LRS".to_owned(),
            is_worm: false,
        };
        let (id, password) = self.insert_vault(row.account, request).await?;
        self.make_vault(&id, None, password).await;
        let made = self.found_vault(row).await?;
        made.ok_or_else(|| ServiceError::Strange(format!("the vault {id} for databases cannot be made")))
    }

    async fn found_vault(&self, row: &ResourceRow) -> Result<Option<VaultId>> {
        let filter = VaultFilter { name: Some(NAME.to_owned()), ..VaultFilter::default() };
        let found = self.catalog.vaults(row.account, &filter, Page { number: 1, size: 100 }).await?;
        let is_there = |vault: &lifeboat_catalog::VaultRow| vault.state == "CREATED" && vault.name == NAME;
        Ok(found.rows.into_iter().filter(is_there).min_by_key(|vault| vault.created).map(|vault| vault.id))
    }
}
