//! When a resource is backed up by itself. A policy becomes a schedule in UTC, run as those of plans are.

use lifeboat_catalog::{DueRun, NewJob, NewRun};
use lifeboat_model::database::DatabasePolicy;
use lifeboat_model::resource::{ResourceId, ResourceState};
use lifeboat_model::schedule::Schedule;
use lifeboat_model::time::Millis;
use tracing::warn;

use super::NewDatabaseBackup;
use crate::{Caller, Missing, Result, Service, ServiceError, bridge};

impl Service {
    /// The policy of a resource; `None` while nobody has set one, and then nothing runs by itself.
    pub async fn database_policy(&self, caller: &Caller, id: &ResourceId) -> Result<Option<DatabasePolicy>> {
        let row = self.resource(caller, id).await?;
        let parsed = row.policy.as_deref().map(serde_json::from_str).transpose();
        parsed.map_err(|_| ServiceError::Strange(format!("the policy of {id} makes no sense")))
    }

    pub async fn set_database_policy(
        &self,
        caller: &Caller,
        id: &ResourceId,
        policy: &DatabasePolicy,
    ) -> Result<()> {
        let row = self.resource(caller, id).await?;
        self.check_method(&row, policy.method)?;
        let schedule = schedule_of(policy);
        let next = schedule.next_after(self.now(), &jiff::tz::TimeZone::UTC);
        let runs: Vec<_> = next
            .into_iter()
            .map(|next| NewRun { rule: String::new(), schedule: schedule.clone(), next })
            .collect();
        let json = serde_json::to_string(policy).expect("a policy is JSON");
        if self.catalog.set_resource_policy((caller.account, id), &json, &runs, self.now()).await? {
            return Ok(());
        }
        Err(ServiceError::Missing(Missing::Resource, id.to_string()))
    }

    /// When a resource is next backed up by itself.
    pub async fn next_database_backup(&self, id: &ResourceId) -> Result<Option<Millis>> {
        Ok(self.catalog.next_run_of(id.as_str()).await?)
    }

    /// The job of a run.
    pub(crate) async fn job_of_resource_run(&self, run: &DueRun) -> Result<Option<NewJob>> {
        let Ok(id) = run.series.parse::<ResourceId>() else { return Ok(None) };
        let Some(row) = self.catalog.any_resource(&id).await? else { return Ok(None) };
        if row.state != ResourceState::Running {
            return Ok(None);
        }
        let policy =
            row.policy.as_deref().and_then(|policy| serde_json::from_str::<DatabasePolicy>(policy).ok());
        let request = NewDatabaseBackup {
            method: policy.map(|policy| policy.method).unwrap_or_default(),
            ..NewDatabaseBackup::default()
        };
        match self.job_of_schedule(&row, &request).await {
            Ok(job) => Ok(Some(job)),
            Err(error @ (ServiceError::Unavailable(_) | ServiceError::Internal(_))) => Err(error),
            Err(error) => {
                warn!(resource.id = %id, error = %bridge::chain(&error), "cannot begin the backup of {id}");
                Ok(None)
            }
        }
    }
}

/// At the beginning of the window, on each of the days. Quartz counts days from Sunday, which is 1.
fn schedule_of(policy: &DatabasePolicy) -> Schedule {
    let days: Vec<_> = policy.weekdays.iter().map(|day| ((day + 1) % 7 + 1).to_string()).collect();
    let (hour, minute) = (policy.from_minute / 60, policy.from_minute % 60);
    let text = format!("C|0|0 {minute} {hour} ? * {}", days.join(","));
    text.parse().expect("a checked policy is a schedule")
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use lifeboat_model::database::BackupMethod;

    use super::*;

    #[test]
    fn a_policy_runs_at_the_beginning_of_its_window_on_its_days() {
        let policy = DatabasePolicy {
            weekdays: vec![0, 6],
            from_minute: 18 * 60 + 30,
            to_minute: 19 * 60,
            retention_days: 7,
            method: BackupMethod::Physical,
        };
        let schedule = schedule_of(&policy);
        let time = |text: &str| Millis::from(text.parse::<jiff::Timestamp>().unwrap());
        let next = |now: &str| schedule.next_after(time(now), &TimeZone::UTC).unwrap();
        // The 23rd of November 2026 is a Monday.
        assert_eq!(next("2026-11-23T10:00:00Z"), time("2026-11-23T18:30:00Z"));
        assert_eq!(next("2026-11-23T18:30:00Z"), time("2026-11-29T18:30:00Z"));
        assert_eq!(next("2026-11-29T18:30:00Z"), time("2026-11-30T18:30:00Z"));
    }
}
