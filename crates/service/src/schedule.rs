//! Plans that run by themselves. A run that was missed is not made up for; one whose former job has not ended is left
//! out.

use lifeboat_model::job::Trigger;
use lifeboat_model::schedule::Schedule;
use tracing::info;

use crate::{Result, Service};

impl Service {
    /// Starts the plans whose time has come. Of several servers on one catalog one starts each run.
    pub(crate) async fn run_due_plans(&self) -> Result<()> {
        let now = self.now();
        for plan in self.catalog.due_plans(now).await? {
            let Some(due) = plan.next_run else { continue };
            let schedule = plan.schedule.as_deref().and_then(|text| text.parse::<Schedule>().ok());
            let next = schedule.and_then(|schedule| schedule.next_after(now));
            if !self.catalog.advance_plan(&plan.id, due, next).await? {
                continue;
            }
            match self.start_plan(&plan, Trigger::Schedule).await? {
                Some(job) => {
                    info!(plan.id = %plan.id, job.id = %job, "plan {} has started job {job}", plan.id)
                }
                None => info!(plan.id = %plan.id, "plan {} is left out: its last job has not ended", plan.id),
            }
        }
        Ok(())
    }
}
