//! Looks into snapshots, for those who choose what to restore.

use lifeboat_catalog::SnapshotRow;
use lifeboat_model::id::{SnapshotId, VaultId};
use lifeboat_worker::{BrowseError, BrowseOrder, Folder, Listing, browse};

use crate::{Caller, Missing, Result, Service, ServiceError, bridge};

/// Beyond that they wait for each other.
pub(crate) const BROWSING_AT_ONCE: usize = 4;

/// Which folder of which snapshot to look into.
#[derive(Clone, Debug)]
pub struct BrowseRequest {
    pub snapshot: SnapshotRow,
    pub folder: Folder,
    /// How many entries to pass over, and how many to name.
    pub window: (u64, u64),
}

impl Service {
    /// The snapshot of a vault with this id or, where none is given, with this hash.
    pub async fn snapshot_to_browse(
        &self,
        caller: &Caller,
        (id, hash): (Option<&SnapshotId>, Option<&str>),
        vault: Option<&VaultId>,
    ) -> Result<SnapshotRow> {
        let found = match (id, vault, hash) {
            (Some(id), _, _) => self.catalog.snapshot(caller.account, id).await?,
            (None, Some(vault), Some(hash)) => {
                self.catalog.snapshot_of_hash((caller.account, vault), hash).await?
            }
            _ => None,
        };
        let found = found
            .filter(|snapshot| hash.is_none_or(|hash| snapshot.is_called(hash)))
            .filter(|snapshot| vault.is_none_or(|vault| *vault == snapshot.vault));
        let named = id.map(SnapshotId::as_str).or(hash).unwrap_or_default();
        found.ok_or_else(|| ServiceError::Missing(Missing::Snapshot, named.to_owned()))
    }

    pub async fn browse(&self, caller: &Caller, request: BrowseRequest) -> Result<Listing> {
        let vault = self.vault(caller, &request.snapshot.vault).await?;
        let order = BrowseOrder {
            vault: self.access_of(&vault)?,
            snapshot: request.snapshot.hash,
            folder: request.folder,
            window: request.window,
        };
        let place = self.browsing.acquire().await.expect("nobody closes it");
        let found = bridge::run(move || browse(&order)).await;
        drop(place);
        found.map_err(|error| match error {
            BrowseError::NoFolder(name) => ServiceError::Missing(Missing::Folder, name),
            error => ServiceError::Browse(error),
        })
    }
}
