//! The tables, brought up to date step by step. Steps only ever go forward; each is one transaction with its number,
//! so a crash leaves the tables before a step or after it.

use crate::Result;
use crate::error::{CatalogError, CatalogErrorKind};
use crate::sql::{Db, sql};

/// In order; a step that was released is never changed.
const STEPS: &[&str] = &[
    include_str!("../migrations/0001_first.sql"),
    include_str!("../migrations/0002_access.sql"),
    include_str!("../migrations/0003_policies.sql"),
    include_str!("../migrations/0007_tags.sql"),
];

pub(crate) async fn run(db: &Db) -> Result<()> {
    let mut tx = db.begin().await?;
    tx.script("CREATE TABLE IF NOT EXISTS schema_steps (step BIGINT PRIMARY KEY)").await?;
    tx.commit().await?;
    loop {
        let mut tx = db.begin().await?;
        // Two servers that start at once take turns: PostgreSQL by this lock, SQLite by its own.
        if let Db::Postgres(_) = db {
            tx.script("LOCK TABLE schema_steps IN EXCLUSIVE MODE").await?;
        }
        let rows = tx.rows(sql("SELECT COUNT(*) AS steps FROM schema_steps")).await?;
        let done = rows.first().map_or(Ok(0), |row| row.count("steps"))?;
        let done = usize::try_from(done).unwrap_or(usize::MAX);
        if done > STEPS.len() {
            let what = format!(
                "the catalog was changed by a newer Lifeboat: its tables are at step {done}, this one knows {}",
                STEPS.len()
            );
            return Err(CatalogError::new(CatalogErrorKind::Conflict, what));
        }
        let Some(step) = STEPS.get(done) else { return Ok(()) };
        tx.script(step).await?;
        tx.change(sql("INSERT INTO schema_steps (step) VALUES ($1)").bind(done as u64 + 1)).await?;
        tx.commit().await?;
    }
}
