//! Plans as callers see them.

use lifeboat_catalog::{CatalogError, CatalogErrorKind, ClientRow, NewPlan, PlanRow};
use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::{AccountId, PlanId, RuleId, VaultId};
use lifeboat_model::plan::{BackupSpec, BackupType, Place, PlanCondition, PlanRule, SourceType};
use lifeboat_model::schedule::Schedule;

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
                Place::Instance(instance) => Some(instance),
                Place::Client(_) => None,
            },
            backup_type: request.backup_type.as_str().to_owned(),
            spec: BackupSpec { cross: request.cross.map(Crossing::into_inner), ..request.spec },
            schedule: request.schedule,
            rules: self.rules_of_plan(request.rules, &[]),
            is_disabled: request.is_disabled,
        };
        let runs = if new.is_disabled {
            Vec::new()
        } else {
            self.runs(schedules_of_plan(new.schedule.as_ref(), &new.rules), now)
        };
        let name = new.name.clone();
        self.catalog.insert_plan(new, &runs, now).await.map_err(|error| name_is_taken(error, &name))?;
        Ok(id)
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

fn name_is_taken(error: CatalogError, name: &str) -> ServiceError {
    match error.kind {
        CatalogErrorKind::Exists => ServiceError::Exists(format!(
            "there is a plan named {name:?} for the same type of sources in the same vault already; names are unique there"
        )),
        _ => error.into(),
    }
}
