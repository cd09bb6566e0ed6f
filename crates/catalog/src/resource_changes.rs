//! What becomes of a resource: when it is backed up by itself, and the server that is ours behind it.

use lifeboat_model::id::AccountId;
use lifeboat_model::resource::{Address, ResourceId, ResourceState};
use lifeboat_model::time::Millis;

use crate::jobs::is_active;
use crate::resources::ResourceRow;
use crate::runs::{NewRun, set_runs};
use crate::sql::{Statement, json, sql};
use crate::{Catalog, Result};

/// A server of ours that is there now.
#[derive(Clone, Debug)]
pub struct MadeInstance {
    pub address: Address,
    /// Sealed.
    pub url: String,
    /// JSON about it.
    pub instance: String,
    pub version: String,
}

impl Catalog {
    /// A resource of whatever account.
    pub async fn any_resource(&self, id: &ResourceId) -> Result<Option<ResourceRow>> {
        let select = sql(format!("SELECT {} FROM resources WHERE id = $1", crate::resources::COLUMNS));
        self.db.row(select.bind(id.as_str())).await?.as_ref().map(ResourceRow::of).transpose()
    }

    /// Sets when a resource is backed up by itself. False when the account has none of that id.
    pub async fn set_resource_policy(
        &self,
        (account, id): (AccountId, &ResourceId),
        policy: &str,
        runs: &[NewRun],
        now: Millis,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let update =
            sql("UPDATE resources SET policy = $1, updated_at = $2 WHERE account_id = $3 AND id = $4");
        let update = update.bind(policy).bind(now).bind(account.number()).bind(id.as_str());
        if tx.change(update).await? == 0 {
            return Ok(false);
        }
        set_runs(&mut tx, id.as_str(), runs).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// When something next runs by itself.
    pub async fn next_run_of(&self, series: &str) -> Result<Option<Millis>> {
        let select = sql("SELECT MIN(next_run_at) AS next FROM runs WHERE series_id = $1").bind(series);
        let row = self.db.row(select).await?;
        Ok(row.map(|row| row.maybe_number("next")).transpose()?.flatten().map(Millis))
    }

    /// Notes the state of a resource, whatever it was.
    pub async fn set_resource_state(&self, id: &ResourceId, state: ResourceState, now: Millis) -> Result<()> {
        let update = sql("UPDATE resources SET state = $1, updated_at = $2 WHERE id = $3");
        self.db.change(update.bind(state.as_str()).bind(now).bind(id.as_str())).await.map(drop)
    }

    /// What no job holds any more is RUNNING again, or has failed to become something. Returns how many those were.
    pub async fn settle_resources(&self, now: Millis) -> Result<u64> {
        let (restoring, creating) = (ResourceState::Restoring.as_str(), ResourceState::Creating.as_str());
        let held = sql("SELECT 1 AS one FROM resources WHERE state IN ($1, $2) LIMIT 1");
        if self.db.row(held.bind(restoring).bind(creating)).await?.is_none() {
            return Ok(0);
        }
        let mut tx = self.db.begin().await?;
        // Whoever adds a job to one of them has done so before this, or waits: the next statement sees it.
        let hold = sql("UPDATE resources SET state = state WHERE state IN ($1, $2)");
        tx.change(hold.bind(restoring).bind(creating)).await?;
        let update = sql(format!(
            "UPDATE resources SET state = CASE WHEN state = $1 THEN $2 ELSE $3 END, updated_at = $4 \
             WHERE state IN ($1, $5) AND NOT {}",
            is_active("resources.id")
        ));
        let update = update.bind(restoring).bind(ResourceState::Running.as_str());
        let update = update.bind(ResourceState::Failed.as_str()).bind(now).bind(creating);
        let settled = tx.change(update).await?;
        tx.commit().await?;
        Ok(settled)
    }

    /// Resources behind which is a server of ours.
    pub async fn resources_with_instances(&self) -> Result<Vec<ResourceRow>> {
        let select = format!(
            "SELECT {} FROM resources WHERE instance IS NOT NULL ORDER BY id",
            crate::resources::COLUMNS
        );
        self.db.rows(sql(select)).await?.iter().map(ResourceRow::of).collect()
    }
}

/// Notes that a server of ours runs.
pub(crate) fn set_instance(id: &ResourceId, made: &MadeInstance, now: Millis) -> Statement {
    let update =
        sql("UPDATE resources SET address = $1, url = $2, instance = $3, version = $4, state = $5, \
         updated_at = $6 WHERE id = $7");
    update
        .bind(json(&made.address))
        .bind(made.url.as_str())
        .bind(made.instance.as_str())
        .bind(made.version.as_str())
        .bind(ResourceState::Running.as_str())
        .bind(now)
        .bind(id.as_str())
}
