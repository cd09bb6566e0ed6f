//! The tables, brought up to date step by step. Steps only ever go forward; each is one transaction with its number,
//! so a crash leaves the tables before a step or after it. Of two servers that start at once one waits for the other.

use crate::Result;
use crate::error::{CatalogError, CatalogErrorKind};
use crate::sql::{Db, Tx, sql};

/// In order; a step that was released is never changed.
const STEPS: &[&str] = &[
    include_str!("../migrations/0001_first.sql"),
    include_str!("../migrations/0002_access.sql"),
    include_str!("../migrations/0003_policies.sql"),
    include_str!("../migrations/0004_retention.sql"),
    include_str!("../migrations/0005_reports.sql"),
    include_str!("../migrations/0006_listing.sql"),
    include_str!("../migrations/0007_tags.sql"),
    include_str!("../migrations/0008_covering.sql"),
    include_str!("../migrations/0009_resources.sql"),
    include_str!("../migrations/0010_databases.sql"),
];

pub(crate) async fn run(db: &Db) -> Result<()> {
    while advance(db).await? {}
    Ok(())
}

/// Does the next step; false when there is none.
async fn advance(db: &Db) -> Result<bool> {
    let mut tx = db.begin().await?;
    let done = steps_done(db, &mut tx).await?;
    if done > STEPS.len() {
        let what = format!(
            "the catalog was changed by a newer Lifeboat: its tables are at step {done}, this one knows {} steps",
            STEPS.len()
        );
        return Err(CatalogError::new(CatalogErrorKind::Conflict, what));
    }
    let Some(step) = STEPS.get(done) else {
        tx.commit().await?;
        return Ok(false);
    };
    tx.script(step).await?;
    tx.change(sql("INSERT INTO schema_steps (step) VALUES ($1)").bind(done as u64 + 1)).await?;
    tx.commit().await?;
    Ok(true)
}

async fn steps_done(db: &Db, tx: &mut Tx) -> Result<usize> {
    // On SQLite a transaction that writes has the database for itself from its beginning.
    if let Db::Postgres(_) = db {
        tx.script("SELECT pg_advisory_xact_lock(5497847532)").await?;
    }
    tx.script("CREATE TABLE IF NOT EXISTS schema_steps (step BIGINT PRIMARY KEY)").await?;
    let rows = tx.rows(sql("SELECT COUNT(*) AS steps FROM schema_steps")).await?;
    let done = rows.first().map_or(Ok(0), |row| row.count("steps"))?;
    Ok(usize::try_from(done).unwrap_or(usize::MAX))
}
