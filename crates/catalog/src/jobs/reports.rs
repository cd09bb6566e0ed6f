//! The reports of jobs that have ended: who makes them, and whether they are there.
//!
//! A report is made by whoever has claimed it, for as long as that is prolonged; one whose maker has died is claimed
//! again. Each change here is a change of the job's row.

use lifeboat_model::id::AccountId;
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::sql::sql;
use crate::{Catalog, Result};

/// A report to be made.
#[derive(Clone, Debug)]
pub struct ReportOrder {
    pub job: String,
    pub account: AccountId,
    /// Tells this claim from later ones.
    pub until: Millis,
}

impl Catalog {
    /// Gives the report of the job that ended first and has none, until `until`.
    pub async fn claim_report(&self, until: Millis, now: Millis) -> Result<Option<ReportOrder>> {
        let select = "SELECT id, account_id FROM jobs WHERE report_state IN ('CREATED', 'RUNNING') \
             AND (report_state = 'CREATED' OR report_until < $1) ORDER BY completed_at LIMIT 1";
        if self.db.row(sql(select).bind(now)).await?.is_none() {
            return Ok(None);
        }
        let mut tx = self.db.begin().await?;
        let select = sql(format!("{select}{}", self.db.skip_locked())).bind(now);
        let Some(row) = tx.rows(select).await?.into_iter().next() else { return Ok(None) };
        let order = ReportOrder { job: row.text("id")?, account: account_id(&row, "account_id")?, until };
        let update =
            sql("UPDATE jobs SET report_state = 'RUNNING', report_until = $1, updated_at = $2 WHERE id = $3");
        tx.change(update.bind(until).bind(now).bind(order.job.as_str())).await?;
        tx.commit().await?;
        Ok(Some(order))
    }

    /// Prolongs a claim; false when somebody else has it.
    pub async fn prolong_report(&self, order: &mut ReportOrder, until: Millis) -> Result<bool> {
        let update = sql(
            "UPDATE jobs SET report_until = $1 WHERE id = $2 AND report_state = 'RUNNING' AND report_until = $3",
        );
        let is_ours =
            self.db.change(update.bind(until).bind(order.job.as_str()).bind(order.until)).await? == 1;
        if is_ours {
            order.until = until;
        }
        Ok(is_ours)
    }

    /// Says what came of a report; nothing when somebody else has claimed it since.
    pub async fn finish_report(&self, order: &ReportOrder, is_made: bool, now: Millis) -> Result<()> {
        let state = if is_made { "COMPLETE" } else { "FAILED" };
        let update = sql("UPDATE jobs SET report_state = $1, report_until = NULL, updated_at = $2 \
             WHERE id = $3 AND report_state = 'RUNNING' AND report_until = $4");
        self.db
            .change(update.bind(state).bind(now).bind(order.job.as_str()).bind(order.until))
            .await
            .map(drop)
    }

    /// Forgets the files about a job, which have been removed.
    pub async fn forget_report(&self, job: &str, now: Millis) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let update = sql(
            "UPDATE jobs SET report_state = NULL, report_until = NULL, error_file = NULL, updated_at = $1 \
             WHERE id = $2 AND (report_state IS NOT NULL OR error_file IS NOT NULL)",
        );
        tx.change(update.bind(now).bind(job)).await?;
        tx.change(sql("UPDATE snapshots SET error_file = NULL WHERE job_id = $1").bind(job)).await?;
        tx.commit().await
    }
}
