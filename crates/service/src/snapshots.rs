//! Snapshots as callers see them.

use lifeboat_catalog::{SnapshotCondition, SnapshotRow};
use lifeboat_model::filter::Paged;
use lifeboat_model::id::{SnapshotId, VaultId};

use crate::{Caller, Missing, Result, Service, ServiceError};

impl Service {
    pub async fn snapshots(
        &self,
        caller: &Caller,
        vault: &VaultId,
        conditions: &[SnapshotCondition],
        window: (bool, u64, u64),
    ) -> Result<Paged<SnapshotRow>> {
        self.vault(caller, vault).await?;
        Ok(self.catalog.snapshots((caller.account, vault), conditions, window).await?)
    }

    pub async fn snapshot(&self, caller: &Caller, id: &SnapshotId) -> Result<SnapshotRow> {
        let found = self.catalog.snapshot(caller.account, id).await?;
        found.ok_or_else(|| ServiceError::Missing(Missing::Snapshot, id.to_string()))
    }
}
