//! Plans as callers see them.

use lifeboat_catalog::{CatalogError, CatalogErrorKind, ClientRow, NewPlan, NewRun, PlanRow};
use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::{AccountId, PlanId, RuleId, VaultId};
use lifeboat_model::plan::{BackupSpec, BackupType, Place, PlanCondition, PlanRule, SourceType};
use lifeboat_model::schedule::Schedule;
use lifeboat_model::time::Millis;

use crate::schedule::schedules_of_plan;
use crate::{Caller, Crossing, Missing, Result, Service, ServiceError};

/// A plan to be made.
#[derive(Clone, Debug)]
pub struct NewPlanRequest {
    pub vault: VaultId,
    pub name: String,
    pub source_type: SourceType,
    pub edition: &'static str,
    pub place: Place,
    pub backup_type: BackupType,
    pub spec: BackupSpec,
    pub schedule: Option<Schedule>,
    pub rules: Vec<NewPlanRule>,
    pub is_disabled: bool,
    /// Where the machine is another account's: the proof that its role lets the caller in.
    pub cross: Option<Crossing>,
}

/// A rule as a caller writes it.
#[derive(Clone, Debug)]
pub struct NewPlanRule {
    pub name: String,
    pub schedule: Schedule,
    pub backup_type: BackupType,
    pub retention_days: Option<u32>,
    pub is_disabled: bool,
}

/// What is to become different in a plan; the rest stays.
#[derive(Clone, Debug, Default)]
pub struct PlanChange {
    pub name: Option<String>,
    pub paths: Option<Vec<String>>,
    pub include: Option<Vec<String>>,
    pub exclude: Option<Vec<String>>,
    /// `Some(None)` takes it away.
    pub speed_limit: Option<Option<String>>,
    pub options: Option<Option<String>>,
    pub retention_days: Option<u32>,
    pub keep_latest: Option<bool>,
    pub schedule: Option<Schedule>,
    pub rules: Option<Vec<NewPlanRule>>,
    pub is_disabled: Option<bool>,
}

impl Service {
    pub async fn create_plan(&self, caller: &Caller, request: NewPlanRequest) -> Result<PlanId> {
        let vault = self.vault(caller, &request.vault).await?;
        if vault.state != "CREATED" {
            return Err(ServiceError::Conflict(format!("the vault {} is {}", vault.id, vault.state)));
        }
        let machines = request.cross.as_ref().map_or(caller.account, Crossing::managed);
        let client = self.client_at(machines, &request.place).await?;
        let now = self.now();
        let id = PlanId::new(self.random.number());
        let new = NewPlan {
            id: id.clone(),
            account: caller.account,
            vault: request.vault,
            name: request.name,
            source_type: request.source_type.as_str(),
            edition: request.edition,
            client: client.id,
            instance: match request.place {
                Place::Instance(instance) if request.source_type == SourceType::EcsFile => Some(instance),
                Place::Instance(_) | Place::Client(_) => None,
            },
            backup_type: request.backup_type.as_str().to_owned(),
            spec: BackupSpec { cross: request.cross.map(Crossing::into_inner), ..request.spec },
            schedule: request.schedule,
            rules: self.rules_of_plan(request.rules, &[]),
            is_disabled: request.is_disabled,
        };
        let runs = self.runs_of_plan((new.schedule.as_ref(), &new.rules), new.is_disabled, now);
        let name = new.name.clone();
        self.catalog.insert_plan(new, &runs, now).await.map_err(|error| name_is_taken(error, &name))?;
        Ok(id)
    }

    /// Changes a plan. Jobs and snapshots that are there already stay as they are.
    pub async fn update_plan(&self, caller: &Caller, id: &PlanId, change: PlanChange) -> Result<()> {
        let mut plan = self.plan(caller, id).await?;
        let spec = &mut plan.spec;
        set(&mut plan.name, change.name);
        set(&mut spec.files.paths, change.paths);
        set(&mut spec.files.include, change.include);
        set(&mut spec.files.exclude, change.exclude);
        set(&mut spec.speed_limit, change.speed_limit);
        set(&mut spec.options, change.options);
        set(&mut spec.retention_days, change.retention_days.map(Some));
        set(&mut spec.keep_latest, change.keep_latest);
        set(&mut plan.schedule, change.schedule.map(Some));
        set(&mut plan.is_disabled, change.is_disabled);
        if let Some(rules) = change.rules {
            plan.rules = self.rules_of_plan(rules, &plan.rules);
        }
        plan.spec.files = std::mem::take(&mut plan.spec.files).checked()?;
        let now = self.now();
        let runs = self.runs_of_plan((plan.schedule.as_ref(), &plan.rules), plan.is_disabled, now);
        let updated = self.catalog.update_plan(&plan, &runs, now).await;
        if updated.map_err(|error| name_is_taken(error, &plan.name))? {
            return Ok(());
        }
        Err(ServiceError::Conflict(format!("the plan {id} was changed by somebody else just now; try again")))
    }

    /// Deletes a plan. Its jobs and snapshots stay, for as long as they would have.
    pub async fn delete_plan(&self, caller: &Caller, id: &PlanId, unless_active: bool) -> Result<()> {
        self.plan(caller, id).await?;
        if self.catalog.delete_plan(caller.account, id, unless_active, self.now()).await? {
            return Ok(());
        }
        Err(ServiceError::Conflict(format!("the plan {id} has a job that has not ended")))
    }

    fn runs_of_plan(
        &self,
        (own, rules): (Option<&Schedule>, &[PlanRule]),
        is_disabled: bool,
        now: Millis,
    ) -> Vec<NewRun> {
        if is_disabled { Vec::new() } else { self.runs(schedules_of_plan(own, rules), now) }
    }

    /// Gives rules their ids: a rule that is named as a former one is that one.
    fn rules_of_plan(&self, rules: Vec<NewPlanRule>, former: &[PlanRule]) -> Vec<PlanRule> {
        let rule = |new: NewPlanRule| {
            let known = former.iter().find(|rule| rule.name == new.name).map(|rule| rule.id.clone());
            PlanRule {
                id: known.unwrap_or_else(|| RuleId::new(self.random.number())),
                name: new.name,
                schedule: new.schedule,
                backup_type: new.backup_type,
                retention_days: new.retention_days,
                is_disabled: new.is_disabled,
            }
        };
        rules.into_iter().map(rule).collect()
    }

    pub async fn plan(&self, caller: &Caller, id: &PlanId) -> Result<PlanRow> {
        let found = self.catalog.plan(caller.account, id).await?;
        found.ok_or_else(|| ServiceError::Missing(Missing::Plan, id.to_string()))
    }

    /// Plans for which all conditions hold.
    pub async fn plans(
        &self,
        caller: &Caller,
        conditions: &[PlanCondition],
        page: Page,
    ) -> Result<Paged<PlanRow>> {
        Ok(self.catalog.plans(caller.account, conditions, page).await?)
    }

    pub async fn clients(&self, caller: &Caller) -> Result<Vec<ClientRow>> {
        Ok(self.catalog.clients(caller.account).await?)
    }

    /// The client whose files are meant.
    pub(crate) async fn client_at(&self, account: AccountId, place: &Place) -> Result<ClientRow> {
        let (found, named) = match place {
            Place::Instance(id) => (self.catalog.client_of_instance(account, id).await?, id.to_string()),
            Place::Client(id) => (self.catalog.client(account, id).await?, id.to_string()),
        };
        found.ok_or(ServiceError::Missing(Missing::Client, named))
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn name_is_taken(error: CatalogError, name: &str) -> ServiceError {
    match error.kind {
        CatalogErrorKind::Exists => ServiceError::Exists(format!(
            "there is a plan named {name:?} for the same type of sources in the same vault already; names are unique there"
        )),
        _ => error.into(),
    }
}
