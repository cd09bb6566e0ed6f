//! Restore jobs as callers ask for them.

use lifeboat_catalog::{ClientRow, NewJob};
use lifeboat_model::id::{AccountId, RestoreId, SnapshotId};
use lifeboat_model::job::{JobKind, Trigger};
use lifeboat_model::plan::{Place, RestoreSpec};

use crate::error::Invalid;
use crate::{Caller, Crossing, Missing, Result, Service, ServiceError};

/// A restore to be run.
#[derive(Clone, Debug)]
pub struct NewRestore {
    pub snapshot: SnapshotId,
    /// Must be that snapshot's, where it is given.
    pub snapshot_hash: Option<String>,
    /// Must be that snapshot's, where it is given.
    pub vault: Option<String>,
    /// Which machine to restore to; the one it came from where none is given.
    pub place: Option<Place>,
    pub restore_type: &'static str,
    pub edition: &'static str,
    pub spec: RestoreSpec,
    /// Where the machine is another account's: the proof that its role lets the caller in.
    pub cross: Option<Crossing>,
}

impl Service {
    /// The client to restore to where nobody says which, and the snapshot does not know where it came from.
    async fn only_client(&self, account: AccountId) -> Result<ClientRow> {
        let mut clients = self.catalog.clients(account).await?;
        match (clients.pop(), clients.is_empty()) {
            (Some(client), true) => Ok(client),
            _ => Err(Invalid::new(
                "TargetInstanceId",
                "",
                "the snapshot does not say which machine it came from, so the one to restore to must be named",
            )
            .into()),
        }
    }

    pub async fn create_restore(&self, caller: &Caller, request: NewRestore) -> Result<RestoreId> {
        let snapshot = self.snapshot(caller, &request.snapshot).await?;
        let missing = || ServiceError::Missing(Missing::Snapshot, request.snapshot.to_string());
        if request.snapshot_hash.as_ref().is_some_and(|hash| !snapshot.is_called(hash))
            || request.vault.as_ref().is_some_and(|vault| vault != snapshot.vault.as_str())
        {
            return Err(missing());
        }
        let machines = request.cross.as_ref().map_or(caller.account, Crossing::managed);
        let client = match &request.place {
            Some(place) => self.client_at(machines, place).await?,
            None => match snapshot.client.clone() {
                Some(source) => self.client_at(machines, &Place::Client(source)).await?,
                None => self.only_client(machines).await?,
            },
        };
        let spec = RestoreSpec { cross: request.cross.map(Crossing::into_inner), ..request.spec };
        let id = RestoreId::new(self.random.number());
        let now = self.now();
        let waits = i64::try_from(self.limits.job_waits.as_millis()).unwrap_or(i64::MAX);
        let new = NewJob {
            id: id.to_string(),
            kind: JobKind::Restore,
            account: caller.account,
            vault: snapshot.vault.to_string(),
            region: self.region.clone(),
            plan: snapshot.plan.as_ref().map(ToString::to_string),
            parent: None,
            series: None,
            policy: None,
            rule: None,
            client: Some(client.id.to_string()),
            instance: match request.place {
                Some(Place::Instance(instance)) => Some(instance.to_string()),
                Some(Place::Client(client)) => Some(client.to_string()),
                None => snapshot.instance.as_ref().map(ToString::to_string),
            },
            source_type: request.restore_type.to_owned(),
            edition: request.edition.to_owned(),
            name: String::new(),
            backup_type: snapshot.backup_type.clone(),
            trigger: Trigger::Manual,
            spec: serde_json::to_string(&spec).expect("a spec has text as keys"),
            snapshot: Some(snapshot.id.to_string()),
            source_job: snapshot.job.as_ref().map(ToString::to_string),
            source_instance: snapshot.instance.as_ref().map(ToString::to_string),
            numbers: None,
            expires: now.plus(waits),
        };
        self.add_job(&new).await?;
        Ok(id)
    }
}
