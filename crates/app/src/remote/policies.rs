//! `policy`: rules over several sources, and the sources that are bound to them.

use anyhow::Context;
use lifeboat_api::native::{
    Binding, CreatedPolicy, ExecutePolicy, KeptPeriod, KeptPeriodKind, List, NewBinding, NewPolicy, NewRule,
    Nothing, Policy, StartedJob,
};

use super::{Remote, jobs};
use crate::cli::policy::{NewPolicyArgs, PolicyAction, PolicyName};
use crate::exit::Status;

const ONE: &str = "/policies/{policy}";
const BINDINGS: &str = "/policies/{policy}/bindings";

pub(super) fn run(remote: &Remote<'_>, action: &PolicyAction) -> anyhow::Result<Status> {
    match action {
        PolicyAction::Create(args) => create(remote, args),
        PolicyAction::List => list(remote),
        PolicyAction::Show(PolicyName { policy }) => remote.details(&remote.get::<Policy>(ONE, &[policy])?),
        PolicyAction::Delete(PolicyName { policy }) => {
            let done: Nothing = remote.delete(ONE, &[policy])?;
            remote.made("deleted policy", policy, &done)
        }
        PolicyAction::Execute { policy, rule, watch } => {
            let which = ExecutePolicy { rule_id: rule.clone() };
            let job: StartedJob = remote.post("/policies/{policy}/execute", &[policy], &which)?;
            if *watch {
                return jobs::watch(remote, "/jobs/{job}", &job.job_id);
            }
            remote.made("started job", &job.job_id, &job)
        }
        PolicyAction::Bind { policy, paths, include, exclude, client } => {
            let new = NewBinding {
                paths: paths.clone(),
                include: include.clone(),
                exclude: exclude.clone(),
                client_id: client.clone(),
            };
            let done: Nothing = remote.post(BINDINGS, &[policy], &new)?;
            remote.made("bound to policy", policy, &done)
        }
        PolicyAction::Bindings(PolicyName { policy }) => bindings(remote, policy),
        PolicyAction::Unbind { policy, source } => {
            let done: Nothing = remote.delete("/policies/{policy}/bindings/{source}", &[policy, source])?;
            remote.made("took out of the policy", source, &done)
        }
    }
}

fn list(remote: &Remote<'_>) -> anyhow::Result<Status> {
    let found: List<Policy> = remote.get("/policies", &[])?;
    remote.table(&["ID", "Name", "Sources", "Schedules"], (&found.rows, found.total), |policy| {
        let schedules: Vec<_> = policy.rules.iter().map(|rule| rule.schedule.clone()).collect();
        vec![policy.policy_id.clone(), policy.name.clone(), policy.bindings.to_string(), schedules.join(", ")]
    })
}

fn bindings(remote: &Remote<'_>, policy: &str) -> anyhow::Result<Status> {
    let found: List<Binding> = remote.get(BINDINGS, &[policy])?;
    remote.table(&["Source", "Client", "Runs", "Paths"], (&found.rows, found.total), |binding| {
        let runs = if binding.is_disabled { "disabled" } else { "by the policy" };
        let paths = binding.paths.join(", ");
        vec![binding.data_source_id.clone(), binding.client_id.clone(), runs.to_owned(), paths]
    })
}

fn create(remote: &Remote<'_>, args: &NewPolicyArgs) -> anyhow::Result<Status> {
    let vault = remote.vault()?.context("say with --vault into which vault the policy's backups go")?;
    let rule = NewRule {
        vault_id: vault,
        schedule: args.schedule.clone(),
        retention_days: args.keep_days,
        keep_latest: args.keep_latest,
    };
    let periods = [
        (KeptPeriodKind::Day, args.first_of_day),
        (KeptPeriodKind::Week, args.first_of_week),
        (KeptPeriodKind::Month, args.first_of_month),
        (KeptPeriodKind::Year, args.first_of_year),
    ];
    let kept = periods.into_iter().filter_map(|(period, days)| Some(KeptPeriod { period, days: days? }));
    let new = NewPolicy {
        name: args.name.clone(),
        description: args.description.clone(),
        rules: vec![rule],
        periods: kept.collect(),
    };
    let made: CreatedPolicy = remote.post("/policies", &[], &new)?;
    remote.made("made policy", &made.policy_id, &made)
}
