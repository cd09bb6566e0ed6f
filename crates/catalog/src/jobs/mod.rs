//! Jobs: one row each, from the request until long after the end.
//!
//! A state changes only through [`JobState::after`]: every update names the states it may find. A worker that has
//! lost its lease is told so by the fence, which counts claims: what it says is written only while its fence is the
//! row's. The end of a backup and its snapshot are one transaction, and so are that of a restore and the server it made.

pub(crate) mod databases;
pub(crate) mod family;
mod filter;
mod reports;
mod row;

use lifeboat_model::id::{AccountId, JobId, VaultId};
use lifeboat_model::job::{FULL_PROGRESS, JobCounters, JobEvent, JobKind, JobState, Outcome, Trigger};
use lifeboat_model::resource::ResourceId;
use lifeboat_model::time::Millis;

pub use self::databases::{DatabaseJobFilter, RunningFilter};
use self::family::follow;
pub use self::filter::{JobFilter, JobPlace, Listed};
pub use self::reports::ReportOrder;
pub use self::row::JobRow;
use crate::error::{CatalogError, CatalogErrorKind};
use crate::resource_changes::{MadeInstance, set_instance};
use crate::snapshots::{NewSnapshot, insert_of_job};
use crate::sql::{Row, Statement, Tx, Value, sql};
use crate::{Catalog, Result};

/// A job as it is asked for.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// A [`JobId`] or a [`lifeboat_model::id::RestoreId`].
    pub id: String,
    pub kind: JobKind,
    pub account: AccountId,
    pub vault: String,
    pub region: String,
    pub plan: Option<String>,
    pub parent: Option<String>,
    /// The plan or the binding of a policy whose jobs run one after another.
    pub series: Option<String>,
    pub policy: Option<String>,
    pub rule: Option<String>,
    /// The client that is to run it.
    pub client: Option<String>,
    pub instance: Option<String>,
    pub source_type: String,
    pub edition: String,
    pub name: String,
    pub backup_type: String,
    pub trigger: Trigger,
    /// JSON of a [`lifeboat_model::plan::BackupSpec`] or [`lifeboat_model::plan::RestoreSpec`].
    pub spec: String,
    pub snapshot: Option<String>,
    pub source_job: Option<String>,
    pub source_instance: Option<String>,
    /// Of a database or of Redis.
    pub numbers: Option<JobNumbers>,
    pub expires: Millis,
}

/// What the dialects of databases call a job by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobNumbers {
    /// The jobs of one family share it.
    pub number: i64,
    /// Of the backup set that the job makes.
    pub set: i64,
    /// Of a cluster: the node that the job is about.
    pub node: Option<String>,
}

/// Why a job ended that no worker has ended: a code and a sentence.
type Why = Option<(&'static str, &'static str)>;
const CANCELED: Why = Some(("CANCELED", "the job was canceled"));
const EXPIRED: Why = Some(("EXPIRED", "nobody took the job in time"));
const GONE: Why = Some(("CLIENT_NOT_EXIST", "the client that was to run the job is gone"));
/// One that a worker has begun and lost does not expire.
const UNCLAIMED: &str = "expires_at <= $3 AND started_at IS NULL";
const CLIENT_GONE: &str =
    "client_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM clients c WHERE c.id = jobs.client_id)";

/// A job that a worker has the right to.
#[derive(Clone, Debug)]
pub struct ClaimedJob {
    pub job: JobRow,
    pub fence: i64,
}

/// How a job has ended, by its worker.
#[derive(Clone, Debug)]
pub struct FinishedJob {
    pub outcome: Outcome,
    pub counters: JobCounters,
    /// A token from the documented list, unless complete.
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub error_file: Option<String>,
    /// Of a backup that has one.
    pub snapshot: Option<NewSnapshot>,
    /// A server that the job has made, behind this resource.
    pub made: Option<(ResourceId, MadeInstance)>,
}

impl Catalog {
    /// Adds a job in the state CREATED.
    pub async fn insert_job(&self, new: &NewJob, now: Millis) -> Result<()> {
        self.db.change(insert(new, Unless::Never, now)).await.map(drop)
    }

    /// Gives the oldest job that waits to `worker`, until `until`. The jobs of a series run one after another, and a
    /// prune has its vault for itself.
    pub async fn claim_job(&self, worker: &str, until: Millis, now: Millis) -> Result<Option<ClaimedJob>> {
        let mut tx = self.db.begin().await?;
        // Else two servers could each take a job of one plan at the same moment. SQLite has one writer anyhow.
        if self.db.has_many_writers() {
            tx.script("SELECT pg_advisory_xact_lock(4856001)").await?;
        }
        let waiting = states(JobState::before(JobEvent::Claim));
        let select = sql(format!(
            "SELECT j.id FROM jobs j WHERE j.state IN ({waiting}) AND (j.expires_at > $1 OR j.started_at IS NOT NULL) \
             AND j.child_count = 0 AND NOT EXISTS \
             (SELECT 1 FROM jobs o WHERE o.state IN ('RUNNING', 'CANCELING') AND (o.series_id = j.series_id \
             OR (o.vault_id = j.vault_id AND (o.kind = 'prune' OR j.kind = 'prune')))) \
             ORDER BY j.created_at, j.id LIMIT 1{}",
            self.db.skip_locked()
        ));
        let Some(row) = tx.rows(select.bind(now)).await?.into_iter().next() else { return Ok(None) };
        let id = row.text("id")?;
        let update = sql(
            "UPDATE jobs SET state = 'RUNNING', worker = $1, leased_until = $2, fence = fence + 1, \
             started_at = COALESCE(started_at, $3), updated_at = $3, progress = 0, speed = 0, phase = NULL, bytes_total = NULL, \
             items_total = NULL, files_total = NULL, bytes_done = 0, bytes_actual = 0, items_done = 0, items_actual = 0, \
             files_done = 0, files_actual = 0 WHERE id = $4",
        );
        match tx.change(update.bind(worker).bind(until).bind(now).bind(id.as_str())).await {
            // Another server has just claimed another job of the same series.
            Err(error) if error.kind == CatalogErrorKind::Exists => return Ok(None),
            changed => changed?,
        };
        let claimed = read(&mut tx, &id).await?;
        if let Some(parent) = claimed.as_ref().and_then(|claimed| claimed.job.parent.as_deref()) {
            follow(&mut tx, parent, now).await?;
        }
        tx.commit().await?;
        Ok(claimed)
    }

    /// Prolongs a lease and notes how far the job is. `None` when the lease is lost; else whether a cancel was asked.
    pub async fn renew_job(
        &self,
        (id, fence): (&str, i64),
        (counters, running_millis): (&JobCounters, u64),
        until: Millis,
        now: Millis,
    ) -> Result<Option<bool>> {
        let running = states(JobState::before(JobEvent::Finish(Outcome::Complete)));
        let update = sql(format!(
            "UPDATE jobs SET leased_until = $1, updated_at = $2, progress = CASE WHEN progress > $3 THEN progress ELSE $3 END, \
             speed = $4, {} WHERE id = $14 AND fence = $15 AND state IN ({running}) RETURNING state, parent_id",
            counter_columns(5)
        ));
        let update =
            update.bind(until).bind(now).bind(counters.progress()).bind(counters.speed(running_millis));
        let update = bind_counters(update, counters).bind(id).bind(fence);
        let rows = self.db.change_returning(update).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        if let Some(parent) = row.maybe_text("parent_id")? {
            // What a crash keeps from it here the next renewal tells.
            let mut tx = self.db.begin().await?;
            follow(&mut tx, &parent, now).await?;
            tx.commit().await?;
        }
        Ok(Some(row.text("state")? == JobState::Canceling.as_str()))
    }

    /// Ends a job, and adds its snapshot or the server it has made in the same transaction. False when the lease was lost: then nothing is
    /// written.
    pub async fn finish_job(
        &self,
        (id, fence): (&str, i64),
        (done, running_millis): (&FinishedJob, u64),
        now: Millis,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let from = states(JobState::before(JobEvent::Finish(done.outcome)));
        let is_whole = matches!(done.outcome, Outcome::Complete | Outcome::PartialComplete);
        let progress = if is_whole { FULL_PROGRESS } else { done.counters.progress() };
        let update = sql(format!(
            "UPDATE jobs SET state = $1, updated_at = $2, progress = CASE WHEN progress > $3 THEN progress ELSE $3 END, \
             speed = $4, {}, completed_at = $2, worker = NULL, leased_until = NULL, error_code = $14, error_message = $15, \
             error_file = $16, report_state = CASE WHEN number IS NULL AND kind <> $19 THEN 'CREATED' END WHERE id = $17 AND fence = $18 AND state IN ({from}) \
             RETURNING parent_id",
            counter_columns(5)
        ));
        let update = update
            .bind(done.outcome.state().as_str())
            .bind(now)
            .bind(progress)
            .bind(done.counters.speed(running_millis));
        let update = bind_counters(update, &done.counters)
            .bind(done.error_code.as_deref())
            .bind(done.error_message.as_deref())
            .bind(done.error_file.as_deref())
            .bind(id)
            .bind(fence)
            // Of databases nothing is told entry by entry.
            .bind(JobKind::DatabaseRestore.as_str());
        let rows = tx.rows(update).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        if let Some(snapshot) = &done.snapshot {
            let job: JobId = id.parse().map_err(|_| CatalogError::strange("id", id))?;
            tx.change(insert_of_job(snapshot, &job, done.outcome.state().as_str())).await?;
        }
        if let Some((resource, made)) = &done.made {
            tx.change(set_instance(resource, made, now)).await?;
        }
        follow_of(&mut tx, row, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Asks a job to stop; returns its new state. [`CatalogErrorKind::Conflict`] when it has ended.
    pub async fn cancel_job(
        &self,
        (account, kind): (AccountId, JobKind),
        id: &str,
        now: Millis,
    ) -> Result<JobState> {
        let mut tx = self.db.begin().await?;
        let whose = [Value::from(id), Value::from(account.number()), Value::from(kind.as_str())];
        // The children of a job over several sources first; an other has none.
        let of_parent = "parent_id = $7 AND account_id = $8 AND kind = $9";
        ask_cancel(&mut tx, of_parent, &whose, now).await?;
        let asked = ask_cancel(&mut tx, "id = $7 AND account_id = $8 AND kind = $9", &whose, now).await?;
        if let Some((to, row)) = asked.into_iter().next() {
            follow_of(&mut tx, &row, now).await?;
            follow(&mut tx, id, now).await?;
            tx.commit().await?;
            return Ok(to);
        }
        Err(CatalogError::new(CatalogErrorKind::Conflict, format!("the job {id} has ended or is stopping")))
    }

    /// Gives a job up before its end, so that it begins again at once; one that was to stop has done so. False when the
    /// lease was lost.
    pub async fn release_job(&self, (id, fence): (&str, i64), now: Millis) -> Result<bool> {
        for from in JobState::before(JobEvent::LoseWorker) {
            let Some(to) = from.after(JobEvent::LoseWorker) else { continue };
            let update =
                sql("UPDATE jobs SET state = $1, worker = NULL, leased_until = NULL, updated_at = $2, \
                 fence = fence + 1, completed_at = $3, error_code = $4, error_message = $5 \
                 WHERE id = $6 AND fence = $7 AND state = $8 RETURNING parent_id");
            let why = CANCELED.filter(|_| to.is_final());
            let update = update
                .bind(to.as_str())
                .bind(now)
                .bind(to.is_final().then_some(now))
                .bind(why.map(|(code, _)| code))
                .bind(why.map(|(_, text)| text))
                .bind(id)
                .bind(fence)
                .bind(from.as_str());
            let mut tx = self.db.begin().await?;
            if let Some(row) = tx.rows(update).await?.first() {
                follow_of(&mut tx, row, now).await?;
                tx.commit().await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Says of the jobs that were there before `before`, and that nobody could take, that they wait in line.
    pub async fn queue_waiting_jobs(&self, before: Millis, now: Millis) -> Result<()> {
        for from in JobState::before(JobEvent::Queue) {
            let Some(to) = from.after(JobEvent::Queue) else { continue };
            let update =
                sql("UPDATE jobs SET state = $1, updated_at = $2 WHERE state = $3 AND created_at < $4");
            let update = update.bind(to.as_str()).bind(now).bind(from.as_str()).bind(before);
            self.db.change(update).await?;
        }
        Ok(())
    }

    /// Puts jobs back whose worker was not heard of in time, and ends those that nobody took in time. Returns how many
    /// rows it changed.
    pub async fn reap_jobs(&self, now: Millis) -> Result<u64> {
        let mut changed = 0;
        for (event, condition, why) in [
            (JobEvent::LoseWorker, "leased_until < $3", None),
            (JobEvent::Expire, UNCLAIMED, EXPIRED),
            (JobEvent::BecomeUnavailable, CLIENT_GONE, GONE),
        ] {
            for from in JobState::before(event) {
                let Some(to) = from.after(event) else { continue };
                let update = sql(format!(
                    "UPDATE jobs SET state = $1, worker = NULL, leased_until = NULL, updated_at = $3, \
                     fence = fence + 1, completed_at = CAST($4 AS BIGINT), error_code = CAST($5 AS TEXT), \
                     error_message = CAST($6 AS TEXT) WHERE state = $2 AND child_count = 0 AND {condition} RETURNING parent_id"
                ));
                let completed = to.is_final().then_some(now);
                let why: Why = if to == JobState::Canceled { CANCELED } else { why };
                let update = update.bind(to.as_str()).bind(from.as_str()).bind(now).bind(completed);
                let update = update.bind(why.map(|(code, _)| code)).bind(why.map(|(_, text)| text));
                let mut tx = self.db.begin().await?;
                let rows = tx.rows(update).await?;
                for row in &rows {
                    follow_of(&mut tx, row, now).await?;
                }
                tx.commit().await?;
                changed += rows.len() as u64;
            }
        }
        Ok(changed)
    }

    pub async fn job(&self, account: AccountId, id: &str) -> Result<Option<JobRow>> {
        let select =
            sql(format!("SELECT {} FROM jobs j WHERE j.account_id = $1 AND j.id = $2", row::COLUMNS));
        let row = self.db.row(select.bind(account.number()).bind(id)).await?;
        row.as_ref().map(JobRow::of).transpose()
    }
}

/// Asks all jobs of a vault to stop.
pub(crate) async fn cancel_jobs_of_vault(tx: &mut Tx, vault: &VaultId, now: Millis) -> Result<()> {
    let whose = [Value::from(vault.as_str())];
    // Jobs over several sources end when the last of their children has.
    let children = ask_cancel(tx, "vault_id = $7 AND child_count = 0", &whose, now).await?;
    let parents = ask_cancel(tx, "vault_id = $7 AND child_count > 0", &whose, now).await?;
    for (_, row) in &children {
        follow_of(tx, row, now).await?;
    }
    for (_, row) in &parents {
        follow(tx, &row.text("id")?, now).await?;
    }
    Ok(())
}

/// Asks jobs to stop; the new states of those that can, and their rows. The values of `whose` are in `which` from $7 on.
async fn ask_cancel(tx: &mut Tx, which: &str, whose: &[Value], now: Millis) -> Result<Vec<(JobState, Row)>> {
    let mut asked = Vec::new();
    for from in JobState::before(JobEvent::AskCancel) {
        let Some(to) = from.after(JobEvent::AskCancel) else { continue };
        let update = sql(format!(
            "UPDATE jobs SET state = $1, updated_at = $2, completed_at = CAST($3 AS BIGINT), error_code = CAST($4 AS TEXT), \
             error_message = CAST($5 AS TEXT) WHERE state = $6 AND {which} RETURNING id, parent_id"
        ));
        let why = CANCELED.filter(|_| to.is_final());
        let update = update.bind(to.as_str()).bind(now).bind(to.is_final().then_some(now));
        let update = update.bind(why.map(|(code, _)| code)).bind(why.map(|(_, text)| text));
        let update = update.bind(from.as_str()).bind_all(whose.iter().cloned());
        asked.extend(tx.rows(update).await?.into_iter().map(|row| (to, row)));
    }
    Ok(asked)
}

/// Lets the parent of a job that has changed follow; most have none.
async fn follow_of(tx: &mut Tx, row: &Row, now: Millis) -> Result<()> {
    match row.maybe_text("parent_id")? {
        Some(parent) => follow(tx, &parent, now).await,
        None => Ok(()),
    }
}

/// When a job is not added after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unless {
    Never,
    /// A job of the same series has not ended.
    IsActive,
}

/// SQL for whether a job of the series `series` has not ended.
pub(crate) fn is_active(series: &str) -> String {
    let active = states(JobState::ALL.into_iter().filter(|state| !state.is_final()));
    format!("EXISTS (SELECT 1 FROM jobs a WHERE a.series_id = {series} AND a.state IN ({active}))")
}

/// Adds a job in the state CREATED.
pub(crate) fn insert(new: &NewJob, unless: Unless, now: Millis) -> Statement {
    let guard = match unless {
        Unless::Never => String::new(),
        Unless::IsActive => {
            format!(" WHERE NOT {}", is_active("$21"))
        }
    };
    let insert = sql(format!(
        "INSERT INTO jobs (id, kind, account_id, vault_id, region, plan_id, parent_id, client_id, instance_id, source_type, \
         edition, name, backup_type, trigger_mode, spec, snapshot_id, source_job_id, source_instance_id, state, progress, \
         speed, bytes_done, bytes_actual, items_done, items_actual, files_done, files_actual, created_at, updated_at, \
         expires_at, fence, series_id, policy_id, rule_id, number, set_number, node_id) \
         SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS TEXT), CAST($5 AS TEXT), \
         CAST($6 AS TEXT), CAST($7 AS TEXT), CAST($8 AS TEXT), CAST($9 AS TEXT), CAST($10 AS TEXT), CAST($11 AS TEXT), \
         CAST($12 AS TEXT), CAST($13 AS TEXT), CAST($14 AS TEXT), CAST($15 AS TEXT), CAST($16 AS TEXT), \
         CAST($17 AS TEXT), CAST($18 AS TEXT), 'CREATED', 0, 0, 0, 0, 0, 0, 0, 0, CAST($19 AS BIGINT), \
         CAST($19 AS BIGINT), CAST($20 AS BIGINT), 0, CAST($21 AS TEXT), CAST($22 AS TEXT), CAST($23 AS TEXT), \
         CAST($24 AS BIGINT), CAST($25 AS BIGINT), CAST($26 AS TEXT){guard}"
    ));
    insert
        .bind(new.id.as_str())
        .bind(new.kind.as_str())
        .bind(new.account.number())
        .bind(new.vault.as_str())
        .bind(new.region.as_str())
        .bind(new.plan.as_deref())
        .bind(new.parent.as_deref())
        .bind(new.client.as_deref())
        .bind(new.instance.as_deref())
        .bind(new.source_type.as_str())
        .bind(new.edition.as_str())
        .bind(new.name.as_str())
        .bind(new.backup_type.as_str())
        .bind(new.trigger.as_str())
        .bind(new.spec.as_str())
        .bind(new.snapshot.as_deref())
        .bind(new.source_job.as_deref())
        .bind(new.source_instance.as_deref())
        .bind(now)
        .bind(new.expires)
        .bind(new.series.as_deref())
        .bind(new.policy.as_deref())
        .bind(new.rule.as_deref())
        .bind(new.numbers.as_ref().map(|numbers| numbers.number))
        .bind(new.numbers.as_ref().map(|numbers| numbers.set))
        .bind(new.numbers.as_ref().and_then(|numbers| numbers.node.as_deref()))
}

async fn read(tx: &mut Tx, id: &str) -> Result<Option<ClaimedJob>> {
    let select = sql(format!("SELECT {}, j.fence FROM jobs j WHERE j.id = $1", row::COLUMNS)).bind(id);
    let Some(row) = tx.rows(select).await?.into_iter().next() else { return Ok(None) };
    Ok(Some(ClaimedJob { job: JobRow::of(&row)?, fence: row.number("fence")? }))
}

/// States as SQL lists them. They are words of ours, never a caller's.
pub(crate) fn states(states: impl Iterator<Item = JobState>) -> String {
    states.map(|state| format!("'{}'", state.as_str())).collect::<Vec<_>>().join(", ")
}

/// `column = $n` for the nine counters that are kept.
fn counter_columns(first: usize) -> String {
    const COLUMNS: [&str; 9] = [
        "bytes_total",
        "items_total",
        "files_total",
        "bytes_done",
        "bytes_actual",
        "items_done",
        "items_actual",
        "files_done",
        "files_actual",
    ];
    let set: Vec<_> = (first..).zip(COLUMNS).map(|(at, column)| format!("{column} = ${at}")).collect();
    set.join(", ")
}

fn bind_counters(statement: Statement, counters: &JobCounters) -> Statement {
    statement
        .bind(counters.bytes_total)
        .bind(counters.items_total)
        .bind(counters.files_total)
        .bind(counters.bytes_done)
        .bind(counters.bytes_actual)
        .bind(counters.items_done)
        .bind(counters.items_actual)
        .bind(counters.files_done)
        .bind(counters.files_actual)
}

impl Catalog {
    /// The snapshot file of the last backup of the same series or, without one, of the same sources.
    pub async fn latest_snapshot_like(&self, job: &JobRow) -> Result<Option<String>> {
        let select = sql(
            "SELECT s.hash FROM snapshots s JOIN jobs j ON j.id = s.job_id WHERE s.account_id = $1 AND s.vault_id = $2 \
             AND (j.series_id = $3 OR (CAST($3 AS TEXT) IS NULL AND j.series_id IS NULL AND j.spec = $4)) \
             ORDER BY s.completed_at DESC, s.id DESC LIMIT 1",
        );
        let select = select
            .bind(job.account.number())
            .bind(job.vault.as_str())
            .bind(job.series.as_deref())
            .bind(job.spec.as_str());
        self.db.row(select).await?.map(|row| row.text("hash")).transpose()
    }
}
