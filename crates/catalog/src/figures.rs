//! What is counted for those who watch over a server: over all accounts, from indexes alone.

use lifeboat_model::job::JobState;
use lifeboat_model::time::Millis;

use crate::sql::sql;
use crate::{Catalog, Result};

/// More sources than anybody draws.
const MOST_SOURCES: u64 = 10_000;

/// A plan or a binding that is not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFigure {
    pub id: String,
    /// Empty for a binding, whose rules may name several.
    pub vault: String,
    /// When its last backup that is complete ended.
    pub last_success: Option<Millis>,
}

impl Catalog {
    /// How many jobs have not ended, by kind and state.
    pub async fn open_jobs(&self) -> Result<Vec<(String, String, u64)>> {
        let open: Vec<_> = JobState::ALL
            .into_iter()
            .filter(|state| !state.is_final())
            .map(|state| format!("'{}'", state.as_str()))
            .collect();
        let select = sql(format!(
            "SELECT kind, state, COUNT(*) AS jobs FROM jobs WHERE state IN ({}) GROUP BY kind, state ORDER BY kind, state",
            open.join(", ")
        ));
        let rows = self.db.rows(select).await?;
        rows.iter().map(|row| Ok((row.text("kind")?, row.text("state")?, row.count("jobs")?))).collect()
    }

    /// Sources that are to be backed up by their ids, and when each last succeeded.
    pub async fn source_figures(&self) -> Result<Vec<SourceFigure>> {
        let select = sql(
            "SELECT s.id, s.vault_id, (SELECT j.completed_at FROM jobs j WHERE j.series_id = s.id AND j.state = 'COMPLETE' \
             AND j.kind = 'backup' ORDER BY j.created_at DESC, j.id DESC LIMIT 1) AS last_success \
             FROM (SELECT id, vault_id FROM plans WHERE is_deleted = 0 AND is_disabled = 0 \
             UNION ALL SELECT id, '' AS vault_id FROM bindings WHERE is_disabled = 0) s ORDER BY s.id LIMIT $1",
        );
        let rows = self.db.rows(select.bind(MOST_SOURCES)).await?;
        let figure = |row: &crate::sql::Row| {
            Ok(SourceFigure {
                id: row.text("id")?,
                vault: row.text("vault_id")?,
                last_success: row.maybe_number("last_success")?.map(Millis),
            })
        };
        rows.iter().map(figure).collect()
    }
}
