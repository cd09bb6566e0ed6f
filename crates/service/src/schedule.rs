//! What runs by itself. A run that was missed is not made up for; one whose former job has not ended is left out.
//!
//! Of several servers on one catalog one starts each run: see the catalog's runs.

use std::cmp::Reverse;

use jiff::tz::TimeZone;
use lifeboat_catalog::{DueRun, NewJob, NewRun, RunStart};
use lifeboat_model::id::{BindingId, PlanId};
use lifeboat_model::job::Trigger;
use lifeboat_model::plan::{BackupSpec, PlanRule};
use lifeboat_model::resource::ResourceId;
use lifeboat_model::schedule::Schedule;
use lifeboat_model::time::Millis;
use tracing::info;

use crate::{Result, Service};

/// A run that nobody came for in this time is missed: the server was not there.
const LATE_MILLIS: u64 = 60_000;

impl Service {
    /// Starts the runs whose time has come.
    pub(crate) async fn start_due_runs(&self) -> Result<()> {
        let now = self.now();
        let mut due = Vec::new();
        for run in self.catalog.due_runs(now).await? {
            let is_late = now.since(run.due) > LATE_MILLIS;
            let job = if is_late { None } else { self.job_of_run(&run).await? };
            due.push((run, job));
        }
        // Of rules of one series that are due at once the one whose snapshot is kept longest wins.
        due.sort_by_key(|(run, job)| (run.due, Reverse(job.as_ref().map_or(0, days_kept))));
        for (run, job) in due {
            let next = run.schedule.next_after(now, &self.zone_of(&run));
            match (self.catalog.start_run(&run, next, job.as_slice(), now).await?, &job) {
                (RunStart::Gone, _) => {}
                (RunStart::Started, Some(job)) => {
                    info!(
                        series.id = run.series,
                        job.id = job.id,
                        "{} has started job {}",
                        run.series,
                        job.id
                    );
                    self.wake.notify_one();
                }
                (_, Some(_)) => {
                    info!(series.id = run.series, "{} is left out: its last job has not ended", run.series)
                }
                (_, None) => info!(series.id = run.series, "a run of {} was missed", run.series),
            }
        }
        Ok(())
    }

    /// After the clock was set back: no run is further away than its schedule says.
    pub(crate) async fn bring_runs_nearer(&self, now: Millis) -> Result<()> {
        for run in self.catalog.due_runs(Millis(i64::MAX)).await? {
            let next = run.schedule.next_after(now, &self.zone_of(&run));
            if next.is_some_and(|next| next < run.due) && now < run.due {
                self.catalog.start_run(&run, next, &[], now).await?;
            }
        }
        Ok(())
    }

    async fn job_of_run(&self, run: &DueRun) -> Result<Option<NewJob>> {
        let job = if let Ok(id) = run.series.parse::<PlanId>() {
            let Some(plan) = self.catalog.plan_of_run(&id).await? else { return Ok(None) };
            let rule = plan.rules.iter().find(|rule| rule.id.as_str() == run.rule);
            self.job_of_plan(&plan, rule, Trigger::Schedule)
        } else if let Ok(id) = run.series.parse::<BindingId>() {
            let Some((binding, policy)) = self.catalog.binding_of_run(&id).await? else {
                return Ok(None);
            };
            let rule = policy.rules.backups().find(|(id, _)| id.as_str() == run.rule);
            let Some(rule) = rule else { return Ok(None) };
            self.job_of_binding(&policy, rule, &binding, Trigger::Schedule)
        } else {
            return self.job_of_resource_run(run).await;
        };
        Ok(Some(job))
    }

    /// What of a plan or a binding runs by itself from now on.
    pub(crate) fn runs<'a>(
        &self,
        schedules: impl IntoIterator<Item = (&'a str, &'a Schedule)>,
        now: Millis,
    ) -> Vec<NewRun> {
        let run = |(rule, schedule): (&str, &Schedule)| {
            let next = schedule.next_after(now, self.zone_of_client())?;
            Some(NewRun { rule: rule.to_owned(), schedule: schedule.clone(), next })
        };
        schedules.into_iter().filter_map(run).collect()
    }

    /// Of databases hours are those of UTC.
    fn zone_of(&self, run: &DueRun) -> TimeZone {
        let is_of_resource = run.series.parse::<ResourceId>().is_ok();
        if is_of_resource { TimeZone::UTC } else { self.zone_of_client().clone() }
    }

    /// Hours of schedules are those of the machine whose files are meant. The only one there is yet is the server's own.
    fn zone_of_client(&self) -> &TimeZone {
        &self.time.zone
    }
}

/// For how many days the snapshot of a job is kept.
fn days_kept(job: &NewJob) -> u32 {
    let spec = serde_json::from_str::<BackupSpec>(&job.spec).ok();
    spec.and_then(|spec| spec.retention_days).unwrap_or(u32::MAX)
}

/// The schedules of a plan with their rules; its own has none.
pub(crate) fn schedules_of_plan<'a>(
    own: Option<&'a Schedule>,
    rules: &'a [PlanRule],
) -> impl Iterator<Item = (&'a str, &'a Schedule)> {
    let own = own.map(|schedule| ("", schedule));
    let rules = rules.iter().filter(|rule| !rule.is_disabled);
    own.into_iter().chain(rules.map(|rule| (rule.id.as_str(), &rule.schedule)))
}

#[cfg(test)]
mod tests;
