//! Policies as callers see them, and the sources that are bound to them.
//!
//! Changing or deleting a policy or a binding changes what runs from then on: jobs and snapshots that are there stay.

use lifeboat_catalog::{BindingRow, CatalogErrorKind, NewJob, NewRun, PolicyRow, Portion};
use lifeboat_model::id::{BindingId, JobId, PolicyId, RuleId};
use lifeboat_model::job::{JobKind, Trigger};
use lifeboat_model::plan::{BackupSpec, Place, SourceType};
use lifeboat_model::policy::{
    BackupRule, BindingCondition, BindingField, Cursor, PolicyRule, PolicyRules, RuleKind,
};
use lifeboat_model::time::Millis;

use crate::error::Invalid;
use crate::{Caller, Crossing, Missing, Result, Service, ServiceError};

/// More sources than one call binds, and more than an instance can be told apart by.
const MOST_BINDINGS: u32 = 10_000;

/// A rule as a caller writes it; the id is that of a former rule that it takes the place of.
#[derive(Clone, Debug)]
pub struct NewPolicyRule {
    pub id: Option<RuleId>,
    pub kind: RuleKind,
}

/// What is to become different in a policy; the rest stays.
#[derive(Clone, Debug, Default)]
pub struct PolicyChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub rules: Option<Vec<NewPolicyRule>>,
}

/// A source to be bound.
#[derive(Clone, Debug)]
pub struct NewBinding {
    pub source_type: SourceType,
    pub place: Place,
    pub description: String,
    /// What to back up, as asked for.
    pub source: String,
    pub spec: BackupSpec,
    pub is_disabled: bool,
    pub cross: Option<Crossing>,
}

/// What is to become different in a binding; the rest stays.
#[derive(Clone, Debug, Default)]
pub struct BindingChange {
    pub description: Option<String>,
    /// What to back up, as asked for, and what that means.
    pub source: Option<(String, Vec<String>)>,
    pub include: Option<Vec<String>>,
    pub exclude: Option<Vec<String>>,
    pub speed_limit: Option<Option<String>>,
    pub options: Option<Option<String>>,
    pub is_disabled: Option<bool>,
}

impl Service {
    /// Makes a policy. One without a name is named by its id.
    pub async fn create_policy(
        &self,
        caller: &Caller,
        (name, description): (Option<String>, String),
        rules: Vec<NewPolicyRule>,
    ) -> Result<PolicyId> {
        let rules = self.policy_rules(caller, rules, &[]).await?;
        let (id, now) = (PolicyId::new(self.random.number()), self.now());
        let policy = PolicyRow {
            id: id.clone(),
            account: caller.account,
            name: name.unwrap_or_else(|| id.to_string()),
            description,
            rules,
            created: now,
            updated: now,
            bindings: 0,
        };
        self.catalog.insert_policy(&policy).await?;
        Ok(id)
    }

    pub async fn policy(&self, caller: &Caller, id: &PolicyId) -> Result<PolicyRow> {
        let found = self.catalog.policy(caller.account, id).await?;
        found.ok_or_else(|| ServiceError::Missing(Missing::Policy, id.to_string()))
    }

    pub async fn policies(
        &self,
        caller: &Caller,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Portion<PolicyRow>> {
        Ok(self.catalog.policies(caller.account, after, limit).await?)
    }

    pub async fn update_policy(&self, caller: &Caller, id: &PolicyId, change: PolicyChange) -> Result<()> {
        let mut policy = self.policy(caller, id).await?;
        policy.name = change.name.unwrap_or(policy.name);
        policy.description = change.description.unwrap_or(policy.description);
        if let Some(rules) = change.rules {
            policy.rules = self.policy_rules(caller, rules, policy.rules.all()).await?;
        }
        let now = self.now();
        let runs = |binding: &BindingRow| self.runs_of_binding(&policy, binding.is_disabled, now);
        was_done(self.catalog.update_policy(&policy, runs, now).await?, id)
    }

    pub async fn delete_policy(&self, caller: &Caller, id: &PolicyId) -> Result<()> {
        let is_deleted = self.catalog.delete_policy(caller.account, id).await?;
        if is_deleted { Ok(()) } else { Err(ServiceError::Missing(Missing::Policy, id.to_string())) }
    }

    /// Rules with their ids, whose vaults are there.
    async fn policy_rules(
        &self,
        caller: &Caller,
        rules: Vec<NewPolicyRule>,
        former: &[PolicyRule],
    ) -> Result<PolicyRules> {
        let mut checked: Vec<PolicyRule> = Vec::new();
        for NewPolicyRule { id, kind } in rules {
            if let RuleKind::Backup(backup) = &kind {
                let vault = self.vault(caller, &backup.vault).await?;
                if vault.state != "CREATED" {
                    return Err(ServiceError::Conflict(format!("the vault {} is {}", vault.id, vault.state)));
                }
            }
            let is_free = |rule: &&PolicyRule| !checked.iter().any(|taken| taken.id == rule.id);
            let known = match &id {
                Some(id) => {
                    let known = former.iter().filter(is_free).find(|rule| rule.id == *id);
                    Some(known.ok_or_else(|| ServiceError::Missing(Missing::Rule, id.to_string()))?)
                }
                // A rule that is written again without its id is still the same.
                None => former.iter().filter(is_free).find(|rule| rule.kind == kind),
            };
            let id = known.map_or_else(|| RuleId::new(self.random.number()), |rule| rule.id.clone());
            checked.push(PolicyRule { id, kind });
        }
        let given = format!("{} rules", checked.len());
        checked.try_into().map_err(|error: lifeboat_model::policy::PolicyRulesError| {
            Invalid::new("Rules", &given, error.to_string()).into()
        })
    }

    /// Binds sources to a policy, all or none.
    pub async fn bind(&self, caller: &Caller, id: &PolicyId, sources: Vec<NewBinding>) -> Result<()> {
        let policy = self.policy(caller, id).await?;
        let now = self.now();
        let mut bindings = Vec::new();
        for new in sources {
            let machines = new.cross.as_ref().map_or(caller.account, Crossing::managed);
            let client = self.client_at(machines, &new.place).await?;
            let binding = BindingRow {
                id: BindingId::new(self.random.number()),
                account: caller.account,
                policy: policy.id.clone(),
                source_type: new.source_type.as_str().to_owned(),
                data_source: data_source(&new.place),
                client: client.id,
                description: new.description,
                source: new.source,
                spec: BackupSpec { cross: new.cross.map(Crossing::into_inner), ..new.spec },
                is_disabled: new.is_disabled,
                created: now,
                updated: now,
            };
            let runs = self.runs_of_binding(&policy, binding.is_disabled, now);
            bindings.push((binding, runs));
        }
        let is_done = self.catalog.insert_bindings(&policy, &bindings).await;
        let is_taken = |error: lifeboat_catalog::CatalogError| match error.kind {
            CatalogErrorKind::Exists => {
                let what =
                    "one of the data sources is bound to a policy already; each can be bound to one only";
                ServiceError::Exists(what.to_owned())
            }
            _ => error.into(),
        };
        was_done(is_done.map_err(is_taken)?, id)
    }

    pub async fn bindings(
        &self,
        caller: &Caller,
        conditions: &[BindingCondition],
        portion: (Option<&Cursor>, u32),
    ) -> Result<Portion<BindingRow>> {
        Ok(self.catalog.bindings(caller.account, conditions, portion).await?)
    }

    pub async fn update_binding(
        &self,
        caller: &Caller,
        (id, source_type, data_source): (&PolicyId, SourceType, &str),
        change: BindingChange,
    ) -> Result<()> {
        let policy = self.policy(caller, id).await?;
        let found = self.bindings_of(&policy, Some(source_type), Some(data_source)).await?;
        let missing = || ServiceError::Missing(Missing::Binding, data_source.to_owned());
        let mut binding = found.into_iter().next().ok_or_else(missing)?;
        let files = &mut binding.spec.files;
        if let Some((source, paths)) = change.source {
            (binding.source, files.paths) = (source, paths);
        }
        files.include = change.include.unwrap_or(std::mem::take(&mut files.include));
        files.exclude = change.exclude.unwrap_or(std::mem::take(&mut files.exclude));
        binding.description = change.description.unwrap_or(binding.description);
        binding.spec.speed_limit = change.speed_limit.unwrap_or(binding.spec.speed_limit);
        binding.spec.options = change.options.unwrap_or(binding.spec.options);
        binding.is_disabled = change.is_disabled.unwrap_or(binding.is_disabled);
        let now = self.now();
        let runs = self.runs_of_binding(&policy, binding.is_disabled, now);
        was_done(self.catalog.update_binding(&policy, &binding, &runs, now).await?, id)
    }

    /// Takes sources out of a policy, all or none.
    pub async fn unbind(
        &self,
        caller: &Caller,
        (id, source_type): (&PolicyId, Option<SourceType>),
        data_sources: &[String],
    ) -> Result<()> {
        let policy = self.policy(caller, id).await?;
        let mut ids = Vec::new();
        for data_source in data_sources {
            let found = self.bindings_of(&policy, source_type, Some(data_source)).await?;
            let missing = || ServiceError::Missing(Missing::Binding, data_source.clone());
            ids.push(found.into_iter().next().ok_or_else(missing)?.id);
        }
        ids.sort();
        ids.dedup();
        was_done(self.catalog.delete_bindings(caller.account, &ids).await?, id)
    }

    /// Runs a rule now: for one source its job, for several a job over them all. Sources that are disabled are left out
    /// unless one is named.
    pub async fn execute_policy(
        &self,
        caller: &Caller,
        (id, rule): (&PolicyId, &RuleId),
        (source_type, data_source): (Option<SourceType>, Option<&str>),
    ) -> Result<JobId> {
        let policy = self.policy(caller, id).await?;
        let found = policy.rules.backups().find(|(known, _)| *known == rule);
        let found = found.ok_or_else(|| ServiceError::Missing(Missing::Rule, rule.to_string()))?;
        let mut bindings = self.bindings_of(&policy, source_type, data_source).await?;
        bindings.retain(|binding| data_source.is_some() || !binding.is_disabled);
        let job = |binding: &BindingRow| self.job_of_binding(&policy, found, binding, Trigger::Manual);
        let mut jobs: Vec<_> = bindings.iter().map(job).collect();
        let id = match (jobs.as_mut_slice(), data_source) {
            ([], Some(named)) => return Err(ServiceError::Missing(Missing::Binding, named.to_owned())),
            ([], None) => {
                let what = format!("no data source that is not disabled is bound to the policy {id}");
                return Err(ServiceError::Conflict(what));
            }
            ([job], _) => {
                self.add_job(job).await?;
                job.id.clone()
            }
            ([first, ..], _) => {
                let id = JobId::new(self.random.number()).to_string();
                let rule_alone = policy.rules.spec(found.1, &BackupSpec::default());
                let parent = NewJob {
                    id: id.clone(),
                    client: None,
                    instance: None,
                    series: None,
                    spec: serde_json::to_string(&rule_alone).expect("a spec has text as keys"),
                    ..first.clone()
                };
                jobs.iter_mut().for_each(|child| child.parent = Some(id.clone()));
                jobs.insert(0, parent);
                self.catalog.insert_family(&jobs, self.now()).await?;
                self.wake.notify_one();
                id
            }
        };
        id.parse().map_err(|_| ServiceError::Missing(Missing::Job, id))
    }

    async fn bindings_of(
        &self,
        policy: &PolicyRow,
        source_type: Option<SourceType>,
        data_source: Option<&str>,
    ) -> Result<Vec<BindingRow>> {
        let one =
            |field, value: &str| BindingCondition { field, is_not: false, values: vec![value.to_owned()] };
        let mut conditions = vec![one(BindingField::PolicyId, policy.id.as_str())];
        conditions.extend(source_type.map(|kind| one(BindingField::SourceType, kind.as_str())));
        conditions.extend(data_source.map(|id| one(BindingField::DataSourceId, id)));
        let (found, _) = self.catalog.bindings(policy.account, &conditions, (None, MOST_BINDINGS)).await?;
        Ok(found)
    }

    pub(crate) fn job_of_binding(
        &self,
        policy: &PolicyRow,
        (rule_id, rule): (&RuleId, &BackupRule),
        binding: &BindingRow,
        trigger: Trigger,
    ) -> NewJob {
        let spec = policy.rules.spec(rule, &binding.spec);
        let is_instance = binding.data_source.starts_with(lifeboat_model::id::InstanceId::PREFIX);
        NewJob {
            id: JobId::new(self.random.number()).to_string(),
            kind: JobKind::Backup,
            account: policy.account,
            vault: rule.vault.to_string(),
            region: self.region.clone(),
            plan: None,
            parent: None,
            series: Some(binding.id.to_string()),
            policy: Some(policy.id.to_string()),
            rule: Some(rule_id.to_string()),
            client: Some(binding.client.to_string()),
            instance: is_instance.then(|| binding.data_source.clone()),
            source_type: binding.source_type.clone(),
            edition: "STANDARD".to_owned(),
            name: policy.name.clone(),
            backup_type: rule.backup_type.as_str().to_owned(),
            trigger,
            spec: serde_json::to_string(&spec).expect("a spec has text as keys"),
            snapshot: None,
            source_job: None,
            source_instance: None,
            numbers: None,
            expires: self.job_expiry(),
        }
    }

    fn runs_of_binding(&self, policy: &PolicyRow, is_disabled: bool, now: Millis) -> Vec<NewRun> {
        if is_disabled {
            return Vec::new();
        }
        self.runs(policy.rules.backups().map(|(id, rule)| (id.as_str(), &rule.schedule)), now)
    }
}

fn data_source(place: &Place) -> String {
    match place {
        Place::Instance(id) => id.to_string(),
        Place::Client(id) => id.to_string(),
    }
}

fn was_done(is_done: bool, policy: &PolicyId) -> Result<()> {
    if is_done {
        return Ok(());
    }
    let what = format!(
        "the policy {policy} or what is bound to it was changed by somebody else just now; try again"
    );
    Err(ServiceError::Conflict(what))
}

#[cfg(test)]
mod tests;
