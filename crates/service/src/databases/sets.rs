//! Backup sets as callers see them: listed, kept longer, deleted.

use lifeboat_catalog::{SetFilter, SetRow, SnapshotRow};
use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::job::Trigger;
use lifeboat_model::resource::ResourceId;
use lifeboat_model::time::Millis;

use crate::{Caller, Missing, Result, Service, ServiceError};

/// Which sets are meant, and whether those count that a schedule has made.
#[derive(Clone, Debug)]
pub struct SetRequest {
    pub numbers: Vec<i64>,
    pub only_manual: bool,
}

impl Service {
    /// Sets of a resource, newest first; also of one that was removed and added again.
    pub async fn backup_sets(
        &self,
        caller: &Caller,
        id: &ResourceId,
        filter: &SetFilter,
        page: Page,
    ) -> Result<Paged<SetRow>> {
        self.resource(caller, id).await?;
        Ok(self.catalog.backup_sets((caller.account, id), filter, page).await?)
    }

    /// One set of a resource.
    pub async fn backup_set(&self, caller: &Caller, id: &ResourceId, number: i64) -> Result<SnapshotRow> {
        let found = self.catalog.sets_of_numbers((caller.account, id), &[number]).await?;
        found.into_iter().next().ok_or_else(|| ServiceError::Missing(Missing::BackupSet, number.to_string()))
    }

    /// Deletes sets before their time: all of them or, where one cannot be deleted, none.
    pub async fn delete_backup_sets(
        &self,
        caller: &Caller,
        id: &ResourceId,
        request: &SetRequest,
    ) -> Result<()> {
        self.resource(caller, id).await?;
        let mut sets = Vec::with_capacity(request.numbers.len());
        for number in &request.numbers {
            let set = self.backup_set(caller, id, *number).await?;
            let is_manual = set.set.as_ref().is_some_and(|set| set.trigger == Trigger::Manual.as_str());
            if request.only_manual && !is_manual {
                let what =
                    format!("the set {number} was made by the schedule and stays until its time is over");
                return Err(ServiceError::Conflict(what));
            }
            if self.catalog.is_being_restored(&set.id).await? {
                return Err(ServiceError::Conflict(format!("the set {number} is being restored")));
            }
            if self.vault(caller, &set.vault).await?.is_worm {
                let what = format!("the vault {} is immutable: the set {number} stays in it", set.vault);
                return Err(ServiceError::Worm(what));
            }
            sets.push(set);
        }
        for set in sets {
            self.delete_snapshot(caller, &set.id, None).await?;
        }
        Ok(())
    }

    /// Keeps a set longer. Nothing is ever kept shorter.
    pub async fn extend_backup_set(
        &self,
        caller: &Caller,
        id: &ResourceId,
        number: i64,
        until: Millis,
    ) -> Result<()> {
        self.resource(caller, id).await?;
        let set = self.backup_set(caller, id, number).await?;
        if self.catalog.extend_set(caller.account, &set.id, until).await? {
            return Ok(());
        }
        let what =
            format!("the set {number} is kept longer than that already; its time can only be extended");
        Err(ServiceError::Conflict(what))
    }
}
