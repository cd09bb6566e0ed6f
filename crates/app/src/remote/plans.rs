//! `plan`: which files go into which vault, and when.

use anyhow::Context;
use lifeboat_api::native::{CreatedPlan, NewPlan, Nothing, Plan, StartedJob};
use serde_json::json;

use super::{Remote, jobs};
use crate::cli::remote::{NewPlanArgs, PlanAction, PlanName};
use crate::exit::Status;

pub(super) fn run(remote: &Remote<'_>, action: &PlanAction) -> anyhow::Result<Status> {
    match action {
        PlanAction::Create(args) => create(remote, args),
        PlanAction::List(limit) => {
            let vault = remote.vault()?;
            let (plans, total) =
                remote.list("/plans", &[], &[("vault_id", vault.as_deref())], limit.limit)?;
            let headings = ["ID", "Name", "Vault", "Schedule", "Paths"];
            remote.table(&headings, (&plans, total), |plan: &Plan| {
                let when = match &plan.schedule {
                    _ if plan.is_disabled => "disabled",
                    None => "when told to",
                    Some(schedule) => schedule,
                };
                let paths = plan.paths.join(", ");
                vec![plan.plan_id.clone(), plan.name.clone(), plan.vault_id.clone(), when.to_owned(), paths]
            })
        }
        PlanAction::Show(PlanName { plan }) => {
            let plan: Plan = remote.get("/plans/{plan}", &[plan])?;
            remote.details(&plan)
        }
        PlanAction::Enable(PlanName { plan }) => {
            let is: Plan = remote.post("/plans/{plan}/enable", &[plan], &json!({}))?;
            remote.made("enabled plan", plan, &is)
        }
        PlanAction::Disable(PlanName { plan }) => {
            let is: Plan = remote.post("/plans/{plan}/disable", &[plan], &json!({}))?;
            remote.made("disabled plan", plan, &is)
        }
        PlanAction::Delete(PlanName { plan }) => {
            let done: Nothing = remote.delete("/plans/{plan}", &[plan])?;
            remote.made("deleted plan", plan, &done)
        }
        PlanAction::Execute { plan, watch } => {
            let job: StartedJob = remote.post("/plans/{plan}/execute", &[plan], &json!({}))?;
            if *watch {
                return jobs::watch(remote, "/jobs/{job}", &job.job_id);
            }
            remote.made("started job", &job.job_id, &job)
        }
    }
}

fn create(remote: &Remote<'_>, args: &NewPlanArgs) -> anyhow::Result<Status> {
    let vault = remote.vault()?.context("say with --vault into which vault the plan goes")?;
    let new = NewPlan {
        vault_id: vault,
        name: args.name.clone(),
        paths: args.paths.clone(),
        include: args.include.clone(),
        exclude: args.exclude.clone(),
        client_id: args.client.clone(),
        schedule: args.schedule.clone(),
        retention_days: args.keep_days,
        keep_latest: args.keep_latest,
        speed_limit: args.speed_limit.clone(),
        is_disabled: args.disabled,
    };
    let made: CreatedPlan = remote.post("/plans", &[], &new)?;
    remote.made("made plan", &made.plan_id, &made)
}
