//! A job over several sources: a parent that nobody works on, and a child for each source.
//!
//! Every change of a child is followed by its parent in the same transaction, so a crash never leaves a parent that has
//! missed the end of its last child. Children are locked before their parent, here and wherever both change.

use lifeboat_model::job::{JobCounters, JobEvent, JobState};
use lifeboat_model::policy::events_of_parent;
use lifeboat_model::time::Millis;

use super::row::counters;
use super::{NewJob, Unless, bind_counters, counter_columns, insert};
use crate::sql::{Tx, sql};
use crate::{Catalog, CatalogError, Result};

impl Catalog {
    /// Adds a job over several sources: the first is the parent of the others.
    pub async fn insert_family(&self, jobs: &[NewJob], now: Millis) -> Result<()> {
        let mut tx = self.db.begin().await?;
        add_family(&mut tx, jobs, Unless::Never, now).await?;
        tx.commit().await
    }

    /// Puts jobs of its own in the place of one that runs, which becomes their parent. False when nothing was changed: its
    /// lease is lost, or it is to stop.
    pub async fn split_job(
        &self,
        (id, fence): (&str, i64),
        children: &[NewJob],
        now: Millis,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let update =
            sql("UPDATE jobs SET child_count = $1, worker = NULL, leased_until = NULL, phase = NULL, \
             fence = fence + 1, updated_at = $2 WHERE id = $3 AND fence = $4 AND state = $5");
        let update = update.bind(children.len() as u64).bind(now).bind(id).bind(fence);
        if tx.change(update.bind(JobState::Running.as_str())).await? == 0 {
            return Ok(false);
        }
        for child in children {
            tx.change(insert(child, Unless::Never, now)).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}

/// Adds the first job, unless it may not be, and then the others, whose parent it is; false when nothing was added.
pub(crate) async fn add_family(tx: &mut Tx, jobs: &[NewJob], unless: Unless, now: Millis) -> Result<bool> {
    let Some((first, children)) = jobs.split_first() else { return Ok(false) };
    if tx.change(insert(first, unless, now)).await? == 0 {
        return Ok(false);
    }
    for child in children {
        tx.change(insert(child, Unless::Never, now)).await?;
    }
    if !children.is_empty() {
        let count = sql("UPDATE jobs SET child_count = $1 WHERE id = $2");
        tx.change(count.bind(children.len() as u64).bind(first.id.as_str())).await?;
    }
    Ok(true)
}

/// What a parent shows of one child.
struct Child {
    state: JobState,
    error_code: Option<String>,
    error_message: Option<String>,
    progress: u64,
    speed: u64,
    counters: JobCounters,
}

/// Lets a parent follow its children; a job that has none is left alone.
pub(super) async fn follow(tx: &mut Tx, parent: &str, now: Millis) -> Result<()> {
    // Of two children that end at once the second waits here, and then sees the first.
    let lock = sql("UPDATE jobs SET updated_at = $1 WHERE id = $2 AND child_count > 0");
    if tx.change(lock.bind(now).bind(parent)).await? == 0 {
        return Ok(());
    }
    let select = sql("SELECT state FROM jobs WHERE id = $1").bind(parent);
    let Some(row) = tx.rows(select).await?.into_iter().next() else { return Ok(()) };
    let mut state = parsed(&row.text("state")?)?;
    if state.is_final() {
        return Ok(());
    }
    let children = children(tx, parent).await?;
    let states: Vec<_> = children.iter().map(|child| child.state).collect();
    for event in events_of_parent(state, &states) {
        state = state.after(event).ok_or_else(|| CatalogError::strange("state", state.as_str()))?;
        if event == JobEvent::Claim {
            let start = sql("UPDATE jobs SET started_at = COALESCE(started_at, $1) WHERE id = $2");
            tx.change(start.bind(now).bind(parent)).await?;
        }
    }
    let average = children.iter().map(|child| child.progress).sum::<u64>() / (children.len() as u64).max(1);
    let (code, message) = error_of_parent(state, &children);
    let is_whole = matches!(state, JobState::Complete | JobState::PartialComplete);
    let update = sql(format!(
        "UPDATE jobs SET state = $1, progress = $2, speed = $3, completed_at = $4, {}, error_code = $14, error_message = $15 \
         WHERE id = $16",
        counter_columns(5)
    ));
    let update = update
        .bind(state.as_str())
        .bind(if is_whole { u64::from(lifeboat_model::job::FULL_PROGRESS) } else { average.min(9_999) })
        .bind(children.iter().map(|child| child.speed).sum::<u64>())
        .bind(state.is_final().then_some(now));
    let update = bind_counters(update, &sum(&children)).bind(code).bind(message).bind(parent);
    tx.change(update).await.map(drop)
}

async fn children(tx: &mut Tx, parent: &str) -> Result<Vec<Child>> {
    let select = sql(
        "SELECT state, error_code, error_message, progress, speed, bytes_total, items_total, files_total, bytes_done, bytes_actual, items_done, \
         items_actual, files_done, files_actual FROM jobs WHERE parent_id = $1 ORDER BY created_at, id",
    );
    let child = |row: &crate::sql::Row| {
        Ok(Child {
            state: parsed(&row.text("state")?)?,
            error_code: row.maybe_text("error_code")?,
            error_message: row.maybe_text("error_message")?,
            progress: row.count("progress")?,
            speed: row.count("speed")?,
            counters: counters(row)?,
        })
    };
    tx.rows(select.bind(parent)).await?.iter().map(child).collect()
}

/// Why a parent is not complete, as a code and a sentence: those of the first child that ended as it did, else of any.
fn error_of_parent(state: JobState, children: &[Child]) -> (Option<&str>, Option<&str>) {
    match state {
        JobState::PartialComplete => (Some("PARTIAL_COMPLETE"), None),
        JobState::Failed | JobState::Canceled | JobState::Expired | JobState::Unavailable => {
            let mut likely = children.iter().filter(|child| child.state == state).chain(children);
            let child = likely.find(|child| child.error_code.is_some());
            child.map_or((None, None), |child| (child.error_code.as_deref(), child.error_message.as_deref()))
        }
        _ => (None, None),
    }
}

/// Totals are known once all children know theirs; a child that never ran has none to know.
fn sum(children: &[Child]) -> JobCounters {
    let total = |of: fn(&JobCounters) -> Option<u64>| {
        let known = children.iter().filter(|child| !child.state.is_final() || of(&child.counters).is_some());
        let totals: Vec<_> = known.map(|child| of(&child.counters)).collect();
        if totals.is_empty() { None } else { totals.into_iter().sum::<Option<u64>>() }
    };
    let all = |of: fn(&JobCounters) -> u64| children.iter().map(|child| of(&child.counters)).sum();
    JobCounters {
        bytes_total: total(|counters| counters.bytes_total),
        items_total: total(|counters| counters.items_total),
        files_total: total(|counters| counters.files_total),
        bytes_done: all(|counters| counters.bytes_done),
        bytes_actual: all(|counters| counters.bytes_actual),
        items_done: all(|counters| counters.items_done),
        items_actual: all(|counters| counters.items_actual),
        files_done: all(|counters| counters.files_done),
        files_actual: all(|counters| counters.files_actual),
        bytes_handled: 0,
    }
}

fn parsed(state: &str) -> Result<JobState> {
    JobState::parse(state).ok_or_else(|| CatalogError::strange("state", state))
}
