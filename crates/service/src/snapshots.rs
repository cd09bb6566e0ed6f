//! Snapshots as callers see them.

use lifeboat_catalog::{ProtectedResource, SnapshotCondition, SnapshotRow, SnapshotWindow};
use lifeboat_model::filter::Paged;
use lifeboat_model::id::{SnapshotId, VaultId};
use tracing::warn;

use crate::{Caller, Missing, Result, Service, ServiceError, bridge};

impl Service {
    /// Snapshots of a vault, those that restic has just made or deleted included.
    pub async fn snapshots(
        &self,
        caller: &Caller,
        vault: &VaultId,
        conditions: &[SnapshotCondition],
        window: SnapshotWindow,
    ) -> Result<Paged<SnapshotRow>> {
        let found = self.vault(caller, vault).await?;
        if found.state == "CREATED"
            && let Err(failed) = self.compare(&found).await
        {
            warn!(vault.id = %vault, error = %bridge::chain(&failed), "cannot look into vault {vault}");
        }
        Ok(self.catalog.snapshots((caller.account, Some(vault)), conditions, window).await?)
    }

    /// Snapshots of whatever vault of the caller's.
    pub async fn snapshots_of_all_vaults(
        &self,
        caller: &Caller,
        conditions: &[SnapshotCondition],
        window: SnapshotWindow,
    ) -> Result<Paged<SnapshotRow>> {
        Ok(self.catalog.snapshots((caller.account, None), conditions, window).await?)
    }

    /// What has a plan or a snapshot.
    pub async fn protected_resources(&self, caller: &Caller) -> Result<Vec<ProtectedResource>> {
        Ok(self.catalog.protected_resources(caller.account).await?)
    }

    pub async fn snapshot(&self, caller: &Caller, id: &SnapshotId) -> Result<SnapshotRow> {
        let found = self.catalog.snapshot(caller.account, id).await?;
        found.ok_or_else(|| ServiceError::Missing(Missing::Snapshot, id.to_string()))
    }

    /// Deletes a snapshot before its time: nobody sees it any more, and the next prune gives its space back.
    pub async fn delete_snapshot(
        &self,
        caller: &Caller,
        id: &SnapshotId,
        vault: Option<&VaultId>,
    ) -> Result<()> {
        let snapshot = self.snapshot(caller, id).await?;
        if vault.is_some_and(|vault| *vault != snapshot.vault) {
            return Err(ServiceError::Missing(Missing::Snapshot, id.to_string()));
        }
        if self.catalog.condemn_snapshot(caller.account, id, self.now()).await? {
            return Ok(());
        }
        if self.vault(caller, &snapshot.vault).await?.is_worm {
            let vault = &snapshot.vault;
            return Err(ServiceError::Worm(format!(
                "the vault {vault} is immutable: the snapshot {id} stays until its retention ends"
            )));
        }
        if self.catalog.is_being_restored(id).await? {
            return Err(ServiceError::Conflict(format!("the snapshot {id} is being restored")));
        }
        Err(ServiceError::Missing(Missing::Snapshot, id.to_string()))
    }
}
