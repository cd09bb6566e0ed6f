//! The audit log: who did what, on what, when, from where, and what came of it.
//!
//! The row of a change is there before the change and gets its outcome after; one that keeps `STARTED` tells of an
//! action that a crash has cut off. Rows are only ever added and ended.

use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::AccountId;
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::sql::{Row, sql};
use crate::{Catalog, Result};

/// The outcome of what has not ended.
pub const AUDIT_STARTED: &str = "STARTED";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    pub id: String,
    pub account: AccountId,
    /// Absent for the account's own keys.
    pub user: Option<String>,
    pub access_key_id: String,
    /// Such as `hbr:CreateVault`.
    pub action: String,
    pub source_ip: String,
    /// The ids of what it was about.
    pub subject: Option<String>,
    /// `STARTED`, `OK`, or the code of the refusal.
    pub outcome: String,
    pub started: Millis,
    pub ended: Option<Millis>,
}

impl Catalog {
    pub async fn insert_audit(&self, row: &AuditRow) -> Result<()> {
        let insert = sql(
            "INSERT INTO audit (id, account_id, user_name, access_key_id, action, source_ip, subject, outcome, started_at, \
             ended_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        );
        let insert = insert
            .bind(row.id.as_str())
            .bind(row.account.number())
            .bind(row.user.as_deref())
            .bind(row.access_key_id.as_str())
            .bind(row.action.as_str())
            .bind(row.source_ip.as_str())
            .bind(row.subject.as_deref())
            .bind(row.outcome.as_str())
            .bind(row.started)
            .bind(row.ended);
        self.db.change(insert).await.map(drop)
    }

    /// Says what came of an action that was started. What has ended stays as it is.
    pub async fn end_audit(&self, id: &str, outcome: &str, subject: Option<&str>, now: Millis) -> Result<()> {
        let update = sql(
            "UPDATE audit SET outcome = $1, subject = $2, ended_at = $3 WHERE id = $4 AND ended_at IS NULL",
        );
        self.db.change(update.bind(outcome).bind(subject).bind(now).bind(id)).await.map(drop)
    }

    /// What was done in an account, newest first.
    pub async fn audit(&self, account: AccountId, page: Page) -> Result<Paged<AuditRow>> {
        let count = sql("SELECT COUNT(*) AS total FROM audit WHERE account_id = $1").bind(account.number());
        let total = self.db.row(count).await?.map_or(Ok(0), |row| row.count("total"))?;
        let select = sql(
            "SELECT id, account_id, user_name, access_key_id, action, source_ip, subject, outcome, started_at, ended_at \
             FROM audit WHERE account_id = $1 ORDER BY started_at DESC, id DESC LIMIT $2 OFFSET $3",
        );
        let rows = self.db.rows(select.bind(account.number()).bind(page.size).bind(page.offset())).await?;
        Ok(Paged { rows: rows.iter().map(AuditRow::of).collect::<Result<_>>()?, total })
    }
}

impl AuditRow {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.text("id")?,
            account: account_id(row, "account_id")?,
            user: row.maybe_text("user_name")?,
            access_key_id: row.text("access_key_id")?,
            action: row.text("action")?,
            source_ip: row.text("source_ip")?,
            subject: row.maybe_text("subject")?,
            outcome: row.text("outcome")?,
            started: Millis(row.number("started_at")?),
            ended: row.maybe_number("ended_at")?.map(Millis),
        })
    }
}
