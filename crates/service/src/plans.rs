//! Plans as callers see them.

use lifeboat_catalog::{ClientRow, NewPlan, PlanRow};
use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::{PlanId, VaultId};
use lifeboat_model::plan::{BackupSpec, Place, SourceType};
use lifeboat_model::schedule::Schedule;

use crate::{Caller, Missing, Result, Service, ServiceError};

/// A plan to be made.
#[derive(Clone, Debug)]
pub struct NewPlanRequest {
    pub vault: VaultId,
    pub name: String,
    pub source_type: SourceType,
    pub edition: &'static str,
    pub place: Place,
    pub backup_type: String,
    pub spec: BackupSpec,
    pub schedule: Option<Schedule>,
    pub keep_latest: bool,
    pub is_disabled: bool,
}

impl Service {
    pub async fn create_plan(&self, caller: &Caller, request: NewPlanRequest) -> Result<PlanId> {
        let vault = self.vault(caller, &request.vault).await?;
        if vault.state != "CREATED" {
            return Err(ServiceError::Conflict(format!("the vault {} is {}", vault.id, vault.state)));
        }
        let client = self.client_at(caller, &request.place).await?;
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
            backup_type: request.backup_type,
            spec: request.spec,
            next_run: request.schedule.as_ref().and_then(|schedule| schedule.next_after(now)),
            schedule: request.schedule.map(|schedule| schedule.to_string()),
            keep_latest: request.keep_latest,
            is_disabled: request.is_disabled,
        };
        self.catalog.insert_plan(new, now).await?;
        Ok(id)
    }

    pub async fn plan(&self, caller: &Caller, id: &PlanId) -> Result<PlanRow> {
        let found = self.catalog.plan(caller.account, id).await?;
        found.ok_or_else(|| ServiceError::Missing(Missing::Plan, id.to_string()))
    }

    /// Plans whose columns have one of the values given.
    pub async fn plans(
        &self,
        caller: &Caller,
        equal: &[(&'static str, Vec<String>)],
        page: Page,
    ) -> Result<Paged<PlanRow>> {
        Ok(self.catalog.plans(caller.account, equal, page).await?)
    }

    pub async fn clients(&self, caller: &Caller) -> Result<Vec<ClientRow>> {
        Ok(self.catalog.clients(caller.account).await?)
    }

    /// The client whose files are meant.
    pub(crate) async fn client_at(&self, caller: &Caller, place: &Place) -> Result<ClientRow> {
        let (found, named) = match place {
            Place::Instance(id) => {
                (self.catalog.client_of_instance(caller.account, id).await?, id.to_string())
            }
            Place::Client(id) => (self.catalog.client(caller.account, id).await?, id.to_string()),
        };
        found.ok_or(ServiceError::Missing(Missing::Client, named))
    }
}
