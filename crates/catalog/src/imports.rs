//! Snapshots that were found in their vaults: made by somebody else, or by a server whose catalog is lost.
//!
//! Every statement may be run again: a file has one row, whoever finds it first.

use lifeboat_model::id::{AccountId, SnapshotId, VaultId};
use lifeboat_model::job::JobState;

use crate::snapshots::{COLUMNS, SnapshotRow};
use crate::sql::{json, sql};
use crate::{Catalog, CatalogError, Result};

/// What the catalog knows of the files of a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSnapshot {
    pub id: SnapshotId,
    pub hash: String,
    /// What its file was called before restic has rewritten it.
    pub original_hash: Option<String>,
    pub is_condemned: bool,
}

impl Catalog {
    pub async fn known_snapshots(&self, vault: &VaultId) -> Result<Vec<KnownSnapshot>> {
        let select = sql("SELECT id, hash, original_hash, condemned_at FROM snapshots WHERE vault_id = $1");
        let rows = self.db.rows(select.bind(vault.as_str())).await?;
        let read = |row: &crate::sql::Row| {
            let is_condemned = row.maybe_number("condemned_at")?.is_some();
            Ok(KnownSnapshot {
                id: row.parsed("id")?,
                hash: row.text("hash")?,
                original_hash: row.maybe_text("original_hash")?,
                is_condemned,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Adds a snapshot that was found. False when its id or its file has a row already.
    pub async fn insert_found(&self, account: AccountId, found: &SnapshotRow) -> Result<bool> {
        let places: Vec<_> = (1..=34).map(|place| format!("${place}")).collect();
        let insert = sql(format!(
            "INSERT INTO snapshots (account_id, {COLUMNS}) VALUES ({}) ON CONFLICT DO NOTHING",
            places.join(", ")
        ));
        let insert = insert
            .bind(account.number())
            .bind(found.id.as_str())
            .bind(found.vault.as_str())
            .bind(found.hash.as_str())
            .bind(found.original_hash.as_deref())
            .bind(found.parent_hash.as_deref())
            .bind(found.job.as_ref().map(|id| id.as_str()))
            .bind(found.plan.as_ref().map(|id| id.as_str()))
            .bind(found.series.as_deref())
            .bind(found.client.as_ref().map(|id| id.as_str()))
            .bind(found.instance.as_ref().map(|id| id.as_str()))
            .bind(found.source_type.as_str())
            .bind(found.backup_type.as_str())
            .bind(found.state.as_str())
            .bind(json(&found.spec))
            .bind(found.error_file.as_deref())
            .bind(found.bytes_total)
            .bind(found.bytes_done)
            .bind(found.bytes_actual)
            .bind(found.items_total)
            .bind(found.items_done)
            .bind(found.items_actual)
            .bind(found.retention_days)
            .bind(found.keep_latest)
            .bind(found.created)
            .bind(found.started)
            .bind(found.completed)
            .bind(found.expires)
            .bind(found.set.as_ref().map(|set| set.resource.as_str()))
            .bind(found.set.as_ref().map(|set| set.number))
            .bind(found.set.as_ref().map(|set| set.set_number))
            .bind(found.set.as_ref().and_then(|set| set.node.as_deref()))
            .bind(found.set.as_ref().map(|set| set.trigger.as_str()))
            .bind(found.set.as_ref().map(|set| json(&set.detail)));
        Ok(self.db.change(insert).await? == 1)
    }

    /// Notes that restic has rewritten the file of a snapshot.
    pub async fn rename_snapshot(&self, id: &SnapshotId, from: &str, to: &str) -> Result<bool> {
        let update = sql(
            "UPDATE snapshots SET original_hash = COALESCE(original_hash, hash), hash = $1 WHERE id = $2 AND hash = $3",
        );
        Ok(self.db.change(update.bind(to).bind(id.as_str()).bind(from)).await? == 1)
    }

    /// The state of a job of whatever account, for the snapshots that name it.
    pub async fn state_of_job(&self, id: &str) -> Result<Option<JobState>> {
        let row = self.db.row(sql("SELECT state FROM jobs WHERE id = $1").bind(id)).await?;
        let Some(state) = row.map(|row| row.text("state")).transpose()? else { return Ok(None) };
        JobState::parse(&state).map(Some).ok_or_else(|| CatalogError::strange("state", &state))
    }
}
