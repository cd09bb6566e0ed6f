//! The end of snapshots: condemned in one statement, deleted in their vault, then forgotten here.
//!
//! Condemned rows are the list of what a prune is to delete. A crash leaves them, so the next prune deletes the same
//! again, which is harmless, and forgets them once that is done. No other statement condemns.

use lifeboat_model::id::{AccountId, SnapshotId, VaultId};
use lifeboat_model::job::{JobKind, JobState};
use lifeboat_model::retention::ClockWatch;
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::jobs::states;
use crate::sql::sql;
use crate::{Catalog, Result};

/// So many ids go into one statement.
const MOST_IDS: usize = 500;

/// A vault in which something is condemned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CondemnedVault {
    pub id: VaultId,
    pub account: AccountId,
}

/// True of snapshots that no restore waits for or reads.
fn unused() -> String {
    let active = states(JobState::ALL.into_iter().filter(|state| !state.is_final()));
    format!("NOT EXISTS (SELECT 1 FROM jobs j WHERE j.snapshot_id = s.id AND j.state IN ({active}))")
}

impl Catalog {
    /// Condemns the snapshots whose time is over, and returns how many.
    ///
    /// The newest of a series stays where it was made, or its plan is now, to keep the latest. One dated in the future
    /// is no newer one: a wrong clock made it.
    pub async fn condemn_expired(&self, now: Millis) -> Result<u64> {
        let update = sql(format!(
            "UPDATE snapshots AS s SET condemned_at = $1 WHERE s.condemned_at IS NULL AND s.expires_at <= $1 AND {} \
             AND NOT ((s.keep_latest = 1 OR EXISTS (SELECT 1 FROM plans p WHERE p.id = s.plan_id AND p.keep_latest = 1)) \
             AND NOT EXISTS (SELECT 1 FROM snapshots n WHERE n.vault_id = s.vault_id AND n.condemned_at IS NULL \
             AND n.completed_at <= $1 AND n.series_id = s.series_id AND (n.completed_at > s.completed_at OR (n.completed_at = s.completed_at AND n.id > s.id))))",
            unused()
        ));
        self.db.change(update.bind(now)).await
    }

    /// Condemns one snapshot before its time. False when its vault forbids that, or a restore needs it.
    pub async fn condemn_snapshot(&self, account: AccountId, id: &SnapshotId, now: Millis) -> Result<bool> {
        let update = sql(format!(
            "UPDATE snapshots AS s SET condemned_at = $1 WHERE s.account_id = $2 AND s.id = $3 AND s.condemned_at IS NULL AND {} \
             AND NOT EXISTS (SELECT 1 FROM vaults v WHERE v.id = s.vault_id AND v.is_worm = 1)",
            unused()
        ));
        Ok(self.db.change(update.bind(now).bind(account.number()).bind(id.as_str())).await? == 1)
    }

    /// Whether a restore waits for a snapshot or reads it.
    pub async fn is_being_restored(&self, id: &SnapshotId) -> Result<bool> {
        let select = format!("SELECT COUNT(*) AS free FROM snapshots s WHERE s.id = $1 AND {}", unused());
        let row = self.db.row(sql(select).bind(id.as_str())).await?;
        Ok(row.map_or(Ok(0), |row| row.count("free"))? == 0)
    }

    /// Vaults with condemned snapshots, without a prune that waits or runs, and none that failed since `failed_before`.
    pub async fn vaults_to_prune(&self, failed_before: Millis) -> Result<Vec<CondemnedVault>> {
        let active = states(JobState::ALL.into_iter().filter(|state| !state.is_final()));
        let select = sql(format!(
            "SELECT v.id, v.account_id FROM vaults v WHERE v.state = 'CREATED' \
             AND EXISTS (SELECT 1 FROM snapshots s WHERE s.vault_id = v.id AND s.condemned_at IS NOT NULL) \
             AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.vault_id = v.id AND j.kind = '{}' \
             AND (j.state IN ({active}) OR (j.state = 'FAILED' AND j.completed_at > $1))) ORDER BY v.id",
            JobKind::Prune.as_str()
        ));
        let rows = self.db.rows(select.bind(failed_before)).await?;
        let read = |row| Ok(CondemnedVault { id: row_id(row)?, account: account_id(row, "account_id")? });
        rows.iter().map(read).collect()
    }

    /// The condemned snapshots of a vault, and their files.
    pub async fn condemned_snapshots(&self, vault: &VaultId) -> Result<Vec<(SnapshotId, String)>> {
        let select = sql(
            "SELECT id, hash FROM snapshots WHERE vault_id = $1 AND condemned_at IS NOT NULL ORDER BY id",
        );
        let rows = self.db.rows(select.bind(vault.as_str())).await?;
        rows.iter().map(|row| Ok((row.parsed("id")?, row.text("hash")?))).collect()
    }

    /// Forgets snapshots whose files are gone.
    pub async fn forget_snapshots(&self, vault: &VaultId, ids: &[SnapshotId]) -> Result<()> {
        for ids in ids.chunks(MOST_IDS) {
            let places: Vec<_> = (2..ids.len() + 2).map(|number| format!("${number}")).collect();
            let text = format!("DELETE FROM snapshots WHERE vault_id = $1 AND id IN ({})", places.join(", "));
            let delete = sql(text).bind(vault.as_str());
            self.db.change(delete.bind_all(ids.iter().map(|id| id.as_str().into()))).await?;
        }
        Ok(())
    }

    /// When the last snapshot of a series was asked for before `before`.
    pub async fn time_of_snapshot_before(
        &self,
        (vault, series): (&str, &str),
        before: Millis,
    ) -> Result<Option<Millis>> {
        let select = sql("SELECT MAX(created_at) AS latest FROM snapshots WHERE vault_id = $1 \
             AND series_id = $2 AND created_at < $3");
        let row = self.db.row(select.bind(vault).bind(series).bind(before)).await?;
        Ok(row.map_or(Ok(None), |row| row.maybe_number("latest"))?.map(Millis))
    }

    /// Looks at the clock, and remembers that.
    pub async fn look_at_clock(&self, now: Millis) -> Result<ClockWatch> {
        let row = self.db.row(sql("SELECT seen_at, held_until FROM clock_watch WHERE id = 1")).await?;
        let watch = match row {
            None => ClockWatch::first(now),
            Some(row) => ClockWatch {
                seen: Millis(row.number("seen_at")?),
                held_until: Millis(row.number("held_until")?),
            }
            .look(now),
        };
        let upsert = sql("INSERT INTO clock_watch (id, seen_at, held_until) VALUES (1, $1, $2) \
             ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, held_until = excluded.held_until");
        self.db.change(upsert.bind(watch.seen).bind(watch.held_until)).await?;
        Ok(watch)
    }
}

fn row_id(row: &crate::sql::Row) -> Result<VaultId> {
    row.parsed("id")
}
