//! What runs by itself, and when next: a row for each rule of each plan and each binding that is not disabled.
//!
//! A run is started by moving its row on and adding its job in one transaction, and only by who finds the row where he
//! saw it. So of several servers one starts it, and a crash leaves it to be started or started, never half.

use lifeboat_model::schedule::Schedule;
use lifeboat_model::time::Millis;

use crate::jobs::NewJob;
use crate::jobs::Unless;
use crate::jobs::family::add_family;
use crate::sql::{Tx, sql};
use crate::{Catalog, Result};

/// A rule that is to run by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// Empty for a plan's own schedule.
    pub rule: String,
    pub schedule: Schedule,
    pub next: Millis,
}

/// A run whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueRun {
    /// A plan or a binding.
    pub series: String,
    pub rule: String,
    pub schedule: Schedule,
    pub due: Millis,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStart {
    Started,
    /// The former job of the series has not ended, or there is nothing to do.
    LeftOut,
    /// Somebody else was there first.
    Gone,
}

impl Catalog {
    /// Runs whose time has come, the earliest first.
    pub async fn due_runs(&self, now: Millis) -> Result<Vec<DueRun>> {
        let select =
            sql("SELECT series_id, rule_id, schedule, next_run_at FROM runs WHERE next_run_at <= $1 \
             ORDER BY next_run_at, series_id, rule_id");
        let rows = self.db.rows(select.bind(now)).await?;
        let run = |row: &crate::sql::Row| {
            Ok(DueRun {
                series: row.text("series_id")?,
                rule: row.text("rule_id")?,
                schedule: row.parsed("schedule")?,
                due: Millis(row.number("next_run_at")?),
            })
        };
        rows.iter().map(run).collect()
    }

    /// Moves a run on to `next`, and adds its job unless the former one has not ended; of several jobs the first is the
    /// parent of the others.
    pub async fn start_run(
        &self,
        run: &DueRun,
        next: Option<Millis>,
        jobs: &[NewJob],
        now: Millis,
    ) -> Result<RunStart> {
        let mut tx = self.db.begin().await?;
        // Who asks for a backup of a database at this moment holds its row, too.
        let hold = sql("UPDATE resources SET state = state WHERE id = $1");
        tx.change(hold.bind(run.series.as_str())).await?;
        // Two rules of one series that are due at once take turns, so that the second sees the job of the first.
        let lock = sql("UPDATE runs SET next_run_at = next_run_at WHERE series_id = $1");
        tx.change(lock.bind(run.series.as_str())).await?;
        let change = match next {
            Some(next) => sql(
                "UPDATE runs SET next_run_at = $4 WHERE series_id = $1 AND rule_id = $2 AND next_run_at = $3",
            )
            .bind(run.series.as_str())
            .bind(run.rule.as_str())
            .bind(run.due)
            .bind(next),
            None => sql("DELETE FROM runs WHERE series_id = $1 AND rule_id = $2 AND next_run_at = $3")
                .bind(run.series.as_str())
                .bind(run.rule.as_str())
                .bind(run.due),
        };
        if tx.change(change).await? == 0 {
            return Ok(RunStart::Gone);
        }
        let has_started = add_family(&mut tx, jobs, Unless::IsActive, now).await?;
        tx.commit().await?;
        Ok(if has_started { RunStart::Started } else { RunStart::LeftOut })
    }
}

/// Makes `runs` all that a series runs by itself. A rule whose schedule stays keeps its next run, so that a change at the
/// very moment does not lose it.
pub(crate) async fn set_runs(tx: &mut Tx, series: &str, runs: &[NewRun]) -> Result<()> {
    let select = sql("SELECT rule_id, schedule FROM runs WHERE series_id = $1").bind(series);
    let mut kept = Vec::new();
    for row in tx.rows(select).await? {
        let (rule, schedule) = (row.text("rule_id")?, row.text("schedule")?);
        if runs.iter().any(|run| run.rule == rule && run.schedule.to_string() == schedule) {
            kept.push(rule);
            continue;
        }
        let delete = sql("DELETE FROM runs WHERE series_id = $1 AND rule_id = $2");
        tx.change(delete.bind(series).bind(rule)).await?;
    }
    for run in runs.iter().filter(|run| !kept.contains(&run.rule)) {
        let insert =
            sql("INSERT INTO runs (series_id, rule_id, schedule, next_run_at) VALUES ($1, $2, $3, $4)");
        let insert = insert.bind(series).bind(run.rule.as_str()).bind(run.schedule.to_string());
        tx.change(insert.bind(run.next)).await?;
    }
    Ok(())
}
