//! Jobs of databases and of Redis: numbered, one at a time for each resource, and shown with what they do.
//!
//! Jobs of a resource are added while its row is held, so of two callers at once one finds the other's job. A number is
//! given away before the job that gets it: a crash between them leaves a gap, never two jobs of one number.

use lifeboat_model::database::Phase;
use lifeboat_model::id::AccountId;
use lifeboat_model::job::{JobEvent, JobKind, JobState, Outcome, Trigger};
use lifeboat_model::resource::{ResourceId, ResourceState};
use lifeboat_model::time::Millis;

use super::family::add_family;
use super::row::COLUMNS;
use super::{JobRow, NewJob, Unless, states};
use crate::sql::{Value, sql};
use crate::{Catalog, Result};

/// More rows than these nobody is shown at once.
const MOST_JOBS: u64 = 1000;

/// Which jobs of a resource to list; what is `None` is not asked for.
#[derive(Clone, Debug, Default)]
pub struct DatabaseJobFilter {
    pub number: Option<i64>,
    pub trigger: Option<Trigger>,
    pub running: Option<RunningFilter>,
    /// Leaves out what has ended before.
    pub ended_since: Option<Millis>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunningFilter {
    /// Nobody has begun it.
    Waits,
    Runs,
}

impl Catalog {
    /// Gives so many numbers away, the first of which is returned; none is ever given twice.
    pub async fn next_numbers(&self, count: u64, now: Millis) -> Result<i64> {
        // Seconds since 1970 at least: those that a lost catalog has given away are behind.
        let update = sql(
            "UPDATE numbers SET last = CASE WHEN last < CAST($2 AS BIGINT) THEN CAST($2 AS BIGINT) ELSE last END \
             + $1 WHERE id = 1 RETURNING last - $1 + 1 AS first",
        );
        let rows = self.db.change_returning(update.bind(count).bind(now.seconds())).await?;
        let strange = || crate::CatalogError::strange("numbers", "no row");
        rows.first().ok_or_else(strange)?.number("first")
    }

    /// Adds the jobs of a resource, which gets the state `state`, unless one of it has not ended; false when nothing was
    /// added. Of several jobs the first is the parent of the others.
    pub async fn insert_resource_jobs(
        &self,
        resource: &ResourceId,
        jobs: &[NewJob],
        state: Option<ResourceState>,
        now: Millis,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let hold = sql("UPDATE resources SET state = COALESCE(CAST($2 AS TEXT), state) WHERE id = $1");
        let hold = hold.bind(resource.as_str()).bind(state.map(ResourceState::as_str));
        if tx.change(hold).await? == 0 || !add_family(&mut tx, jobs, Unless::IsActive, now).await? {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Notes what a job does now. False when its lease is lost.
    pub async fn note_phase(&self, (id, fence): (&str, i64), phase: Phase, now: Millis) -> Result<bool> {
        let running = states(JobState::before(JobEvent::Finish(Outcome::Complete)));
        let update = sql(format!(
            "UPDATE jobs SET phase = $1, updated_at = $2 WHERE id = $3 AND fence = $4 AND state IN ({running})"
        ));
        let update = update.bind(phase.as_str()).bind(now).bind(id).bind(fence);
        Ok(self.db.change(update).await? == 1)
    }

    /// The backups of a resource that are under way or ended not long ago, newest first; of a cluster one for each node.
    pub async fn database_jobs(
        &self,
        (account, resource): (AccountId, &ResourceId),
        filter: &DatabaseJobFilter,
    ) -> Result<Vec<JobRow>> {
        let mut values = vec![
            Value::from(account.number()),
            Value::from(resource.as_str()),
            Value::from(JobKind::DatabaseBackup.as_str()),
        ];
        let mut text =
            "j.account_id = $1 AND j.instance_id = $2 AND j.kind = $3 AND j.child_count = 0".to_owned();
        if let Some(number) = filter.number {
            values.push(number.into());
            text.push_str(&format!(" AND j.number = ${}", values.len()));
        }
        if let Some(trigger) = filter.trigger {
            values.push(trigger.as_str().into());
            text.push_str(&format!(" AND j.trigger_mode = ${}", values.len()));
        }
        if let Some(since) = filter.ended_since {
            values.push(since.into());
            text.push_str(&format!(" AND (j.completed_at IS NULL OR j.completed_at >= ${})", values.len()));
        }
        if let Some(running) = filter.running {
            let before = match running {
                RunningFilter::Waits => JobEvent::Claim,
                RunningFilter::Runs => JobEvent::Finish(Outcome::Complete),
            };
            text.push_str(&format!(" AND j.state IN ({})", states(JobState::before(before))));
        }
        let select = sql(format!(
            "SELECT {COLUMNS} FROM jobs j WHERE {text} ORDER BY j.created_at DESC, j.id DESC LIMIT {MOST_JOBS}"
        ));
        self.db.rows(select.bind_all(values)).await?.iter().map(JobRow::of).collect()
    }

    /// Whether a job of a resource, of whatever kind, has not ended.
    pub async fn is_resource_busy(&self, resource: &ResourceId) -> Result<bool> {
        let select = sql(format!("SELECT 1 AS one WHERE {}", super::is_active("$1")));
        Ok(self.db.row(select.bind(resource.as_str())).await?.is_some())
    }

    /// Whether a job, of whatever account, is there and has not ended.
    pub async fn is_job_active(&self, id: &str) -> Result<bool> {
        let active = states(JobState::ALL.into_iter().filter(|state| !state.is_final()));
        let select = sql(format!("SELECT 1 AS one FROM jobs WHERE id = $1 AND state IN ({active})"));
        Ok(self.db.row(select.bind(id)).await?.is_some())
    }

    /// How many backups of a resource were asked for since.
    pub async fn count_database_jobs(
        &self,
        (account, resource): (AccountId, &ResourceId),
        since: Millis,
    ) -> Result<u64> {
        let select = sql("SELECT COUNT(*) AS total FROM jobs WHERE instance_id = $1 AND kind = $2 \
             AND parent_id IS NULL AND trigger_mode = $3 AND created_at >= $4 AND account_id = $5");
        let select = select.bind(resource.as_str()).bind(JobKind::DatabaseBackup.as_str());
        let select = select.bind(Trigger::Manual.as_str()).bind(since).bind(account.number());
        let row = self.db.row(select).await?;
        row.map_or(Ok(0), |row| row.count("total"))
    }
}
